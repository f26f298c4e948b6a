"""From the shapes and options of a convolution or pooling to the one op or spec that describes it, checked once.

The caches are bounded and keyed by shapes and normalised options alone. Errors are those that the public functions in
`conv.py`, `pool.py` and `adaptive_pool.py` promise.
"""

from __future__ import annotations

from functools import lru_cache

from pyconv.functional.arguments import check_choice, check_extent, check_least, padding_pairs, sizes
from pyconv.kernels.spec import PADDING_MODES, AdaptivePoolSpec, ConvSpec, PoolSpec
from pyconv.ops.conv import Conv, ConvBackwardData, ConvBackwardWeights


@lru_cache(maxsize=1024)
def conv_op(n, x_shape, weight_shape, bias_shape, stride, padding, dilation, groups, padding_mode, algorithm):
    """A convolution."""
    spec, _ = _geometry(n, x_shape, "x", weight_shape, stride, padding, dilation, groups, padding_mode)
    if weight_shape[1] * groups != x_shape[1]:
        raise ValueError(
            f"weight must have C/groups = {x_shape[1] // groups} channels on its second axis for x of shape {x_shape}, "
            f"its shape is {weight_shape}"
        )
    _check_bias(bias_shape, weight_shape[0])
    return Conv(spec, algorithm)


@lru_cache(maxsize=1024)
def backward_data_op(n, dy_shape, weight_shape, size, stride, padding, dilation, groups, padding_mode):
    """Its gradient for the input; `size` is the input's whole shape or its spatial part."""
    x_shape = (dy_shape[0], weight_shape[1] * groups, *size[-n:])
    if len(size) == n + 2 and size != x_shape:
        raise ValueError(
            f"input_size must be (N, C, *I) = {x_shape} for dy of shape {dy_shape} and weight of shape {weight_shape} "
            f"in {groups} groups, not {size}"
        )
    spec, y_shape = _geometry(n, x_shape, "input_size", weight_shape, stride, padding, dilation, groups, padding_mode)
    _check_dy(dy_shape, y_shape)
    return ConvBackwardData(spec, size[-n:])


@lru_cache(maxsize=1024)
def backward_weights_op(n, dy_shape, x_shape, size, stride, padding, dilation, groups, padding_mode):
    """Its gradient for the weight; `size` is the weight's whole shape or its spatial part."""
    weight_shape = (dy_shape[1], x_shape[1] // groups, *size[-n:])
    if len(size) == n + 2 and size != weight_shape:
        raise ValueError(
            f"weight_size must be (K, C/groups, *R) = {weight_shape} for dy of shape {dy_shape} and x of "
            f"shape {x_shape} in {groups} groups, not {size}"
        )
    spec, y_shape = _geometry(n, x_shape, "x", weight_shape, stride, padding, dilation, groups, padding_mode)
    _check_dy(dy_shape, y_shape)
    return ConvBackwardWeights(spec, size[-n:])


@lru_cache(maxsize=1024)
def transpose_op(n, x_shape, weight_shape, bias_shape, stride, padding, output_padding, groups, dilation):
    """A transposed convolution."""
    check_extent(x_shape, "x")
    spec = _spec(n, weight_shape, stride, padding, dilation, groups, "zeros")
    check_least(output_padding, "output_padding", 0)
    if weight_shape[0] != x_shape[1]:
        raise ValueError(f"weight must have x's {x_shape[1]} channels on its first axis, its shape is {weight_shape}")
    if weight_shape[0] % groups:
        raise ValueError(f"groups must divide x's {weight_shape[0]} channels, not be {groups}")
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise ValueError(
            f"output_padding must be less than the stride {stride} or the dilation {dilation}, not {output_padding}"
        )
    size = tuple(
        (i - 1) * s - begin - end + d * (k - 1) + o + 1
        for i, k, s, (begin, end), d, o in zip(
            x_shape[2:], weight_shape[2:], stride, spec.padding, dilation, output_padding, strict=True
        )
    )
    if min(size) < 1:
        raise ValueError(f"padding {padding} leaves an empty result of size {size}: x has shape {x_shape}")
    _check_bias(bias_shape, weight_shape[1] * groups)
    # Where output_padding reaches whole strides, the convolution whose adjoint this is must not see them.
    seen = tuple((b, e - o // s * s) for (b, e), o, s in zip(spec.padding, output_padding, stride, strict=True))
    return ConvBackwardData(ConvSpec(stride, seen, dilation, groups), size)


def _geometry(n, x_shape, x_name, weight_shape, stride, padding, dilation, groups, padding_mode):
    """The checked descriptor of a convolution, and the shape of its result."""
    check_extent(x_shape, x_name)
    spec = _spec(n, weight_shape, stride, padding, dilation, groups, padding_mode)
    if x_shape[1] % groups or weight_shape[0] % groups:
        raise ValueError(
            f"groups must divide the channels in and out, {x_shape[1]} and {weight_shape[0]}, not be {groups}"
        )
    size = x_shape[2:]
    if padding_mode in ("reflect", "circular"):
        for i, pair in zip(size, spec.padding, strict=True):
            most = i - 1 if padding_mode == "reflect" else i
            if max(pair) > most:
                raise ValueError(
                    f"padding of size {i} in padding_mode {padding_mode!r} must be at most {most}, not {pair}"
                )
    out = spec.output_size(size, weight_shape[2:])
    if min(out) < 1:
        raise ValueError(
            f"{x_name} is too small: spatial size {size} with padding {spec.padding} leaves no room for a kernel "
            f"of size {weight_shape[2:]} with dilation {dilation}"
        )
    return spec, (x_shape[0], weight_shape[0], *out)


def _spec(n, weight_shape, stride, padding, dilation, groups, padding_mode):
    """The checked descriptor, apart from what depends on the input's size."""
    check_least(stride, "stride", 1)
    check_least(dilation, "dilation", 1)
    check_choice(padding_mode, "padding_mode", PADDING_MODES)
    if 0 in weight_shape:
        raise ValueError(f"weight must not be empty along any axis, its shape is {weight_shape}")
    if padding == "same":
        if max(stride) > 1:
            raise ValueError(f"padding 'same' needs stride 1, not {stride}")
        reach = [d * (k - 1) for d, k in zip(dilation, weight_shape[2:], strict=True)]
        padding = tuple((r // 2, r - r // 2) for r in reach)
    elif padding == "valid":
        padding = ((0, 0),) * n
    elif isinstance(padding, str):
        raise ValueError(
            f"padding must be an int, {n} ints, {n} (begin, end) pairs, 'same' or 'valid', not {padding!r}"
        )
    for pair in padding:
        check_least(pair, "padding", 0)
    return ConvSpec(stride, padding, dilation, groups, padding_mode)


def _check_bias(bias_shape, channels):
    if bias_shape is not None and bias_shape != (channels,):
        raise ValueError(f"bias must have shape ({channels},), one entry an output channel, not {bias_shape}")


def _check_dy(dy_shape, y_shape):
    if dy_shape != y_shape:
        raise ValueError(f"dy must have the shape {y_shape} of the convolution's result, not {dy_shape}")


def fixed_pool(n, x_shape, kernel_size, stride, padding, dilation, ceil_mode, count_include_pad=True):
    """The checked descriptor of a pooling with fixed windows, and the shape of its result."""
    kernel_size = sizes(kernel_size, "kernel_size", n)
    return _fixed_spec(
        n,
        x_shape,
        kernel_size,
        kernel_size if stride is None else sizes(stride, "stride", n),
        padding_pairs(padding, "padding", n),
        sizes(dilation, "dilation", n),
        bool(ceil_mode),
        bool(count_include_pad),
    )


@lru_cache(maxsize=1024)
def _fixed_spec(n, x_shape, kernel_size, stride, padding, dilation, ceil_mode, count_include_pad):
    check_extent(x_shape, "x")
    check_least(kernel_size, "kernel_size", 1)
    check_least(stride, "stride", 1)
    check_least(dilation, "dilation", 1)
    for pair, k, d in zip(padding, kernel_size, dilation, strict=True):
        check_least(pair, "padding", 0)
        if 2 * max(pair) > d * (k - 1) + 1:
            raise ValueError(f"padding must be at most half of the window's extent {d * (k - 1) + 1}, not {max(pair)}")
    spec = PoolSpec(kernel_size, stride, padding, dilation, ceil_mode, count_include_pad)
    size = spec.output_size(x_shape[2:])
    if min(size) < 1:
        raise ValueError(
            f"kernel_size {kernel_size} with dilation {dilation} leaves an empty result of size {size}: x has shape "
            f"{x_shape} and padding {padding}"
        )
    return spec, (*x_shape[:2], *size)


def adaptive_pool(n, x_shape, name, output_size):
    """The checked descriptor of a pooling to a given size."""
    check_extent(x_shape, name)
    if isinstance(output_size, (tuple, list)) and len(output_size) == n:
        output_size = tuple(i if o is None else o for i, o in zip(x_shape[2:], output_size, strict=True))
    elif output_size is None:
        output_size = x_shape[2:]
    size = sizes(output_size, "output_size", n)
    check_least(size, "output_size", 1)
    return AdaptivePoolSpec(size)
