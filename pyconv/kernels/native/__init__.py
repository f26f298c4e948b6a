"""The native backend: the C library in csrc/, reached through cffi."""

from pyconv.kernels import Row
from pyconv.kernels.native import channels, conv, elementwise, linear, pool, softmax, winograd

KERNELS = {
    "conv": (Row("winograd", winograd.conv, winograd.refuse, winograd.decline), Row("direct", conv.conv)),
    "conv_backward_data": (
        Row("winograd", winograd.conv_backward_data, winograd.refuse_backward_data, winograd.decline_backward_data),
        Row("direct", conv.conv_backward_data),
    ),
    "conv_backward_weights": (Row("direct", conv.conv_backward_weights),),
    "max_pool": (Row("direct", pool.max_pool),),
    "max_pool_indices": (Row("direct", pool.max_pool_indices),),
    "max_pool_backward": (Row("direct", pool.max_pool_backward),),
    "avg_pool": (Row("direct", pool.avg_pool),),
    "avg_pool_backward": (Row("direct", pool.avg_pool_backward),),
    "unpool": (Row("direct", pool.unpool),),
    "gather": (Row("direct", pool.gather),),
    "linear": (Row("direct", linear.linear, linear.refuse_linear),),
    "matmul": (Row("direct", linear.matmul, linear.refuse_matmul),),
    "unary": (Row("vector", elementwise.unary, elementwise.refuse_unary),),
    "unary_backward": (Row("vector", elementwise.unary_backward, elementwise.refuse_unary_backward),),
    "binary": (Row("vector", elementwise.binary, elementwise.refuse_binary),),
    "sum": (Row("vector", channels.sum, channels.refuse_sum),),
    "moments": (Row("vector", channels.moments, channels.refuse_moments),),
    "normalize": (Row("vector", channels.normalize, channels.refuse_normalize),),
    "normalize_sums": (Row("vector", channels.normalize_sums, channels.refuse_normalize_sums),),
    "batch_norm_backward": (Row("vector", channels.batch_norm_backward, channels.refuse_batch_norm_backward),),
    "softmax": (Row("vector", softmax.softmax, softmax.refuse),),
    "log_softmax": (Row("vector", softmax.log_softmax, softmax.refuse),),
    "softmax_backward": (Row("vector", softmax.softmax_backward, softmax.refuse),),
    "log_softmax_backward": (Row("vector", softmax.log_softmax_backward, softmax.refuse),),
}
