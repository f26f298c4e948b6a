"""The native backend: the C library in csrc/, reached through cffi."""

from pyconv.kernels import Row
from pyconv.kernels.im2col import pool as slices
from pyconv.kernels.native import (
    chain,
    channels,
    conv,
    copies,
    cost,
    elementwise,
    fused,
    linear,
    losses,
    pool,
    random,
    resample,
    softmax,
    winograd,
)

_WINOGRAD = {"winograd": winograd.LARGE, "winograd-small": winograd.SMALL}  # tiles as large as it knows, or small ones

_CONV = (
    *(Row(name, it.conv, it.refuse, it.decline, it.pack_conv, it.predict) for name, it in _WINOGRAD.items()),
    Row("direct", conv.conv, pack=conv.pack_conv, predict=conv.predict_conv),
)

KERNELS = {
    "conv": _CONV,
    "conv_backward_data": (
        *(
            Row(
                name,
                it.conv_backward_data,
                it.refuse_backward_data,
                it.decline_backward_data,
                it.pack_backward_data,
                it.predict_backward_data,
            )
            for name, it in _WINOGRAD.items()
        ),
        Row(
            "direct",
            conv.conv_backward_data,
            pack=conv.pack_backward_data,
            predict=conv.predict_backward_data,
        ),
    ),
    "conv_backward_weights": (
        Row(
            "winograd",
            winograd.LARGE.conv_backward_weights,
            winograd.LARGE.refuse_backward_weights,
            winograd.LARGE.decline_backward_weights,
            predict=winograd.LARGE.predict_backward_weights,
        ),
        Row("direct", conv.conv_backward_weights, predict=conv.predict_backward_weights),
    ),
    "max_pool": (Row("direct", pool.max_pool),),
    "max_pool_indices": (Row("direct", pool.max_pool_indices),),
    "max_pool_backward": (Row("direct", pool.max_pool_backward),),
    "avg_pool": (Row("direct", pool.avg_pool),),
    "avg_pool_backward": (
        Row("direct", pool.avg_pool_backward, pool.refuse_avg_pool_backward),
        Row("slices", slices.avg_pool_backward),  # dilated windows, which no function of F makes
    ),
    "unpool": (Row("direct", pool.unpool),),
    "gather": (Row("direct", pool.gather),),
    "interpolate": (Row("rows", resample.interpolate, resample.refuse),),
    "linear": (Row("direct", linear.linear, linear.refuse_linear, pack=linear.pack_linear),),
    "matmul": (Row("direct", linear.matmul, linear.refuse_matmul, pack=linear.pack_matmul),),
    "fused_conv": (
        *map(fused.row, (cost.WINOGRAD, cost.WINOGRAD_SMALL, cost.DIRECT), _CONV),
        Row("parts", fused.conv_in_parts, fused.refuse_conv_in_parts),
    ),
    "pooled_conv": (Row("direct", fused.pooled_conv, fused.refuse_pooled_conv, pack=fused.pack_pooled_conv),),
    "fused_linear": (
        Row("direct", linear.fused_linear, fused.refuse_direct_linear, pack=fused.pack_linear),
        Row("parts", fused.linear_in_parts, fused.refuse_linear_in_parts),
    ),
    "unary": (Row("vector", elementwise.unary, elementwise.refuse_unary),),
    "unary_backward": (Row("vector", elementwise.unary_backward, elementwise.refuse_unary_backward),),
    "binary": (
        Row("vector", elementwise.binary, elementwise.refuse_binary),
        Row("wide", elementwise.mixed, elementwise.refuse_mixed),
    ),
    "where": (Row("wide", elementwise.where, elementwise.refuse_where),),
    "chain": (Row("blocks", chain.chain, chain.refuse),),
    "copy": (Row("blocks", copies.copy, copies.refuse_copy),),
    "concat": (Row("blocks", copies.concat, copies.refuse_concat),),
    "slice_backward": (Row("blocks", copies.slice_backward, copies.refuse_slice_backward),),
    "pad": (Row("blocks", copies.pad, copies.refuse_pad),),
    "pad_backward": (Row("blocks", copies.pad_backward, copies.refuse_pad_backward),),
    "sum": (Row("vector", channels.sum, channels.refuse_sum),),
    "moments": (Row("vector", channels.moments, channels.refuse_moments),),
    "normalize": (Row("vector", channels.normalize, channels.refuse_normalize),),
    "fused_normalize": (Row("vector", channels.fused_normalize, channels.refuse_fused_normalize),),
    "fused_normalize_sums": (Row("vector", channels.fused_normalize_sums, channels.refuse_fused_normalize_sums),),
    "fused_batch_norm_backward": (
        Row("vector", channels.fused_batch_norm_backward, channels.refuse_fused_batch_norm_backward),
    ),
    "normalize_sums": (Row("vector", channels.normalize_sums, channels.refuse_normalize_sums),),
    "batch_norm_backward": (Row("vector", channels.batch_norm_backward, channels.refuse_batch_norm_backward),),
    "softmax": (Row("vector", softmax.softmax, softmax.refuse),),
    "log_softmax": (Row("vector", softmax.log_softmax, softmax.refuse),),
    "softmax_backward": (Row("vector", softmax.softmax_backward, softmax.refuse),),
    "log_softmax_backward": (Row("vector", softmax.log_softmax_backward, softmax.refuse),),
    "cross_entropy": (Row("direct", losses.cross_entropy, losses.refuse_cross_entropy),),
    "cross_entropy_backward": (Row("direct", losses.cross_entropy_backward, losses.refuse_cross_entropy_backward),),
    "label_weights": (Row("direct", losses.label_weights, losses.refuse_label_weights),),
    "nll": (Row("direct", losses.nll, losses.refuse_nll),),
    "nll_backward": (Row("direct", losses.nll_backward, losses.refuse_nll_backward),),
    "dropout_mask": (Row("philox", random.dropout_mask, random.refuse_dropout_mask),),
}
