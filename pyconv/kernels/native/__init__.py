"""The native backend: the C library in csrc/, reached through cffi."""

from pyconv.kernels import Row
from pyconv.kernels.native import conv

KERNELS = {
    "conv": (Row("direct", conv.conv),),
    "conv_backward_data": (Row("direct", conv.conv_backward_data),),
    "conv_backward_weights": (Row("direct", conv.conv_backward_weights),),
}
