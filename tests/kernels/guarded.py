"""Runs native kernels on arrays that end, or begin, where the process may not read: a stray access kills the process.

`python guarded.py <instruction set>` is what test_native_process.py starts; it prints how many calls it made.
"""

import ctypes
import mmap
import sys

import numpy as np

from pyconv import kernels
from pyconv.kernels.native import elementwise, library
from pyconv.kernels.resample import ResampleSpec
from pyconv.kernels.spec import AdaptivePoolSpec, ConvSpec, PoolSpec
from pyconv.kernels.threads import num_threads

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
calls = 0


def guarded(like, side):
    """A copy of an array, in its memory order, flush against an unreadable page on one side ("before" or "after")."""
    size = max(1, like.nbytes)
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (begin, begin + (pages + 1) * PAGE):
        if libc.mprotect(page, PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = PAGE if side == "before" else (pages + 1) * PAGE - size
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    flat = np.frombuffer(memory, like.dtype, like.size, offset).reshape([like.shape[axis] for axis in order])
    copy = flat.transpose(np.argsort(order))
    copy[...] = like
    return copy


def channels_last(a):
    return np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim > 2 else a


def run(name, out, *arguments):
    """Run every row of a kernel that takes these arguments, as they are and channels-last, at both edges of a page."""
    global calls
    for arrange in (np.asarray, channels_last):
        for side in ("before", "after"):
            placed = [guarded(arrange(a), side) if isinstance(a, np.ndarray) else a for a in (out, *arguments)]
            for row in kernels.rows(name):
                if row.algorithm != "numpy" and (row.refuse is None or row.refuse(*placed) is None):
                    row.function(*placed)
                    calls += 1


def convolutions(rng, dtype):
    for size, channels, outputs, groups, kernel, stride, padding in (
        ((7, 9), 3, 5, 1, (3, 3), (1, 1), 1),
        ((9, 8), 5, 19, 1, (5, 2), (2, 3), 0),
        ((6, 11), 17, 33, 1, (1, 1), (1, 1), 0),
        ((8, 8), 13, 13, 13, (3, 3), (1, 2), 1),
        ((7, 7), 6, 9, 3, (3, 3), (2, 2), 2),
        ((13,), 7, 4, 1, (4,), (1,), 3),
        ((4, 5, 6), 3, 7, 1, (2, 3, 2), (1, 2, 1), 1),
    ):
        n = len(size)
        spec = ConvSpec(stride, ((padding, padding),) * n, (1,) * n, groups)
        x = rng.standard_normal((2, channels, *size)).astype(dtype)
        w = rng.standard_normal((outputs, channels // groups, *kernel)).astype(dtype)
        dy = rng.standard_normal((2, outputs, *spec.output_size(size, kernel))).astype(dtype)
        run("conv", np.empty_like(dy), x, w, w.sum(tuple(range(1, w.ndim))), spec)
        run("conv_backward_data", np.empty_like(x), dy, w, None, spec)
        run("conv_backward_weights", np.empty_like(w), dy, x, spec)


def poolings(rng, dtype):
    for spec, size in (
        (PoolSpec((2, 2), (2, 2), ((0, 0),) * 2, (1, 1)), (7, 11)),
        (PoolSpec((3, 3), (2, 2), ((1, 1),) * 2, (1, 1), True), (8, 13)),
        (PoolSpec((3, 3), (1, 1), ((1, 1),) * 2, (2, 2)), (9, 35)),
        (PoolSpec((2, 2), (3, 3), ((0, 0),) * 2, (1, 1)), (6, 17)),
        (AdaptivePoolSpec((1, 1)), (9, 10)),
        (AdaptivePoolSpec((3, 4)), (7, 9)),
        (PoolSpec((4,), (2,), ((1, 1),), (1,)), (131,)),
        (PoolSpec((2,) * 3, (2,) * 3, ((1, 0),) * 3, (1,) * 3), (5, 6, 7)),
    ):
        for channels in (1, 5, 37):
            x = rng.standard_normal((2, channels, *size)).astype(dtype)
            dy = rng.standard_normal((2, channels, *spec.output_size(size))).astype(dtype)
            windows, indices = spec.windows(size), np.zeros(dy.shape, np.int64)
            run("max_pool", np.empty_like(dy), x, windows)
            run("max_pool_indices", indices, x, windows)
            run("max_pool_backward", np.empty_like(x), dy, x, windows)
            run("avg_pool", np.empty_like(dy), x, windows)
            run("avg_pool_backward", np.empty_like(x), dy, windows)
            run("unpool", np.empty_like(x), dy, indices, True)
            run("gather", np.empty_like(dy), x, indices)


def rows(rng, dtype):
    for shape in ((1, 1), (3, 7), (5, 33), (2, 3, 5, 7), (2, 19, 3, 1)):
        x, dy, out = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
        for name in elementwise.UNARY:
            parameters = (0.5, 2.0)[
                : {"power": 1, "leaky_relu": 1, "elu": 1, "clip": 2, "hardtanh": 2, "softplus": 2}.get(name, 0)
            ]
            run("unary", out, x, name, *parameters)
            run("unary_backward", out, dy, x, x, name, *parameters)
        for name in elementwise.BINARY:
            for operand in (dy, dy[:1, :, ...].sum(tuple(range(2, dy.ndim)), keepdims=True), np.ones((), dtype)):
                run("binary", out, x, operand, name)
                run("binary", out, operand, x, name)
        for source in (x, dy.astype(np.int64), np.ascontiguousarray(dy[..., :1]), dy[:, :1].T.copy().T):
            run("copy", out, source)
        run("copy", np.empty(shape, bool), x > 0)
        run("binary", np.empty(shape, bool), x, dy, "less")
        run("where", out, x > 0, x, dy)
        run("concat", np.empty((shape[0], 2 * shape[1], *shape[2:]), dtype), x, dy, 1)
        pads = ((1, 0), (2, -1 if shape[1] > 1 else 1), *[(0, 1)] * (x.ndim - 2))
        padded = np.empty([n + begin + end for n, (begin, end) in zip(shape, pads, strict=True)], dtype)
        run("pad", padded, x, pads, "constant", 1.0)
        run("pad_backward", out, padded, pads, "constant")
        run("slice_backward", out, x[:, ::2].copy(), (slice(None), slice(None, None, 2)))
        if x.ndim > 2:
            for mode in ("nearest", "linear"):
                size = tuple(2 * n - 1 for n in shape[2:])
                larger = np.empty((*shape[:2], *size), dtype)
                run("interpolate", larger, x, ResampleSpec(size, mode).tables(shape[2:]))
        run("dropout_mask", out, np.array([1, 2], np.uint64), 0.5)
        labels, weight = rng.integers(0, shape[1], (shape[0], *shape[2:])), x[0].reshape(shape[1], -1)[:, 0].copy()
        loss = np.empty(labels.shape, dtype)
        run("cross_entropy", loss, x, labels, weight, 0.1, -100)
        run("cross_entropy_backward", out, loss, x, labels, weight, 0.1, -100)
        run("label_weights", loss, labels, weight, shape[1], 0.1, -100)
        run("nll", loss, x, labels, weight, -100)
        run("nll_backward", out, loss, labels, weight, -100)
        for kernel in ("softmax", "log_softmax"):
            run(kernel, out, x, len(shape) - 1)
            run(f"{kernel}_backward", out, dy, x, 1)
        channel = rng.standard_normal((2, shape[1])).astype(dtype) ** 2
        run("sum", np.empty(shape[1], dtype), x, (0, *range(2, x.ndim)), False)
        for axis in range(x.ndim):
            run("sum", np.empty(x.sum(axis).shape, dtype), x, (axis,), False)
        run("moments", np.empty_like(channel), x)
        run("normalize", out, x, channel, channel[0].copy(), channel[1].copy(), 1e-5)
        run("normalize_sums", np.empty_like(channel), dy, x, channel, 1e-5)
        for name in ("relu", "gelu"):
            affine = channel[0].copy(), channel[1].copy(), 1e-5, name
            run("fused_normalize", out, x, channel, *affine[:2], dy, *affine[2:])
            run("fused_normalize_sums", np.empty_like(channel), dy, x, channel, *affine)
            run("fused_batch_norm_backward", out, dy, x, channel, channel.copy(), *affine)
        run("batch_norm_backward", out, dy, x, channel, channel, None, 1e-5)
    for m, i, o in ((8, 1, 1), (9, 17, 33), (31, 5, 16)):
        x, w, dy = (rng.standard_normal(s).astype(dtype) for s in ((m, i), (o, i), (m, o)))
        run("linear", np.empty_like(dy), x, w, w[:, 0].copy())
        run("matmul", np.empty_like(x), dy, w, False, False)
        run("matmul", np.empty_like(w), dy, x, True, False)


def main(isa):
    library.set_isa(isa)
    rng = np.random.default_rng(0)
    with kernels.backend("native"), num_threads(1):
        for dtype in (np.float32, np.float64):
            convolutions(rng, dtype)
            poolings(rng, dtype)
            rows(rng, dtype)
    print(calls)


if __name__ == "__main__":
    main(sys.argv[1])
