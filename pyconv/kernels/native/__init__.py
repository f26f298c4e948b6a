"""The native backend: the C library in csrc/, reached through cffi."""

from pyconv.kernels import Row
from pyconv.kernels.im2col import KERNELS as IM2COL
from pyconv.kernels.native import conv

KERNELS = {
    **{name: rows for name, rows in IM2COL.items() if not name.startswith("conv")},
    "conv": (Row("direct", conv.conv),),
    "conv_backward_data": (Row("direct", conv.conv_backward_data),),
    "conv_backward_weights": (Row("direct", conv.conv_backward_weights),),
}
