"""Elements moved, repeated, padded, resampled, and reduced over axes."""

from __future__ import annotations

import numpy as np

from pyconv.onnx.writer import rule
from pyconv.ops.reduce import Broadcast, Reshape, Sum
from pyconv.ops.shape import Concat, Interpolate, Pad, Slice, Transpose
from pyconv.ops.statistics import Max

_ALL = np.iinfo(np.int64)


@rule(Reshape)
def reshape(w, node, x):
    return w.reshape(x, node)


@rule(Transpose)
def transpose(w, node, x):
    return w.add("Transpose", x, perm=list(node.op.axes))


@rule(Slice)
def slice_(w, node, x):
    """Only the axes of which something is left out are mentioned; the batch's may have any size."""
    cut = []
    for axis, ((start, count, step), size) in enumerate(zip(node.op.ranges, node.inputs[0].shape, strict=True)):
        if (start, count, step) == (0, size, 1):
            continue
        if axis in w.varying(node):
            raise ValueError("a slice whose bounds go with the batch: export with dynamic_batch=False")
        stop = start + count * step
        cut.append((start, stop if stop >= 0 else _ALL.min, axis, step))
    if not cut:
        return w.add("Identity", x)
    return w.add("Slice", x, *(w.integers(column) for column in zip(*cut, strict=True)))


@rule(Concat)
def concat(w, node, *arrays):
    return w.add(
        "Concat", *(w.cast(x, i, node.dtype) for x, i in zip(arrays, node.inputs, strict=True)), axis=node.op.axis
    )


@rule(Broadcast)
def broadcast(w, node, x):
    shape, source = list(node.shape), node.inputs[0]
    for axis in w.varying(node):
        inner = axis - node.ndim + source.ndim
        if inner < 0 or source.shape[inner] != shape[axis]:
            raise ValueError("an array is repeated along the batch: export with dynamic_batch=False")
        shape[axis] = 1  # Expand leaves x's own size there
    return w.add("Expand", x, w.integers(shape))


@rule(Sum, Max)
def reduce(w, node, x):
    kind = "ReduceSum" if isinstance(node.op, Sum) else "ReduceMax"
    return w.add(kind, x, w.integers(node.op.axes), keepdims=int(node.op.keepdims))


@rule(Pad)
def pad(w, node, x):
    return padded(w, x, node.inputs[0], node.op.pads, node.op.mode, node.op.value)


def padded(w, x, source, pads, mode, value=0.0):
    """x, which has the shape of `source`, with (begin, end) elements more on each axis."""
    if mode == "circular":
        return _wrapped(w, x, source, pads)
    if mode != "constant" and min(map(min, pads)) < 0:
        raise ValueError(f"a negative padding of the kind {mode!r} cannot be exported")
    amounts = w.integers([begin for begin, _ in pads] + [end for _, end in pads])
    fill = w.constant(value, source.dtype) if value else None
    return w.add("Pad", x, amounts, fill, mode={"replicate": "edge"}.get(mode, mode))


def _wrapped(w, x, source, pads):
    """Circular padding in slices: Pad itself has it from operator set 19 on."""
    for axis, (begin, end) in enumerate(pads):
        size = source.shape[axis]
        parts = [(size - begin, size)] * (begin > 0) + [(0, _ALL.max)] + [(0, end)] * (end > 0)
        if len(parts) > 1:
            cut = [w.add("Slice", x, *(w.integers([n]) for n in (start, stop, axis))) for start, stop in parts]
            x = w.add("Concat", *cut, axis=axis)
    return x


@rule(Interpolate)
def interpolate(w, node, x):
    spec = node.op.spec
    axes = list(range(2, node.ndim))
    coordinates = {"nearest": "asymmetric"}.get(spec.mode, "align_corners" if spec.align_corners else "half_pixel")
    rounding = {"nearest": "floor", "nearest-exact": "round_prefer_ceil"}.get(spec.mode)
    scales = spec.scale and w.constant([s or o / i for s, o, i in _sizes(node)], np.float32)
    return w.add(
        "Resize",
        *(x, None, scales or None, None if scales else w.integers(node.shape[2:])),
        mode="nearest" if rounding else spec.mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode=rounding,
        axes=axes,
    )


def _sizes(node):
    """(scale, output size, input size) of each spatial axis."""
    return zip(node.op.spec.scale, node.shape[2:], node.inputs[0].shape[2:], strict=True)
