"""Packed weights and epilogues: the same results as of plain calls, whatever engine serves and however arrays lie."""

import numpy as np
import pytest
from arrays import arranged

from pyconv import kernels
from pyconv.kernels.spec import ConvSpec

if (reason := kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)

from pyconv.kernels.native import KERNELS, fused, library, linear


@pytest.fixture(params=library.isas(), autouse=True)
def isa(request):
    before = library.get_isa()
    library.set_isa(request.param)
    yield
    library.set_isa(before)


def same(n):
    return ConvSpec((1, 1), ((n // 2, n // 2),) * 2, (1, 1))


PROBLEMS = [  # x, w, spec; each goes to another engine, or another way through one
    ((1, 1, 12, 12), (6, 1, 5, 5), same(5)),  # planar
    ((2, 24, 6, 7), (70, 24, 3, 3), same(3)),  # gemm, Winograd
    ((1, 300, 5, 9), (40, 300, 3, 3), ConvSpec((2, 2), ((1, 1),) * 2, (1, 1))),  # several blocks of channels
    ((1, 40, 4, 4), (75, 40, 3, 3), same(3)),  # turned
    ((1, 256, 20, 60), (64, 256, 1, 1), same(1)),
    ((2, 21, 9, 10), (21, 1, 3, 3), ConvSpec((1, 1), ((1, 1),) * 2, (1, 1), 21)),  # depthwise
    ((1, 12, 7, 6), (18, 4, 2, 3), ConvSpec((1, 1), ((0, 2), (1, 1)), (2, 1), 3)),
    ((5, 30, 1, 1), (19, 30, 1, 1), same(1)),  # dot
    ((0, 4, 6, 6), (8, 4, 3, 3), same(3)),
]
ORDERS = ("C", "channels_last", "F")


def arrays_of(problem, order, dtype):
    shape, w_shape, spec = problem
    rng = np.random.default_rng(3)
    x, w, b = (rng.integers(-3, 4, s).astype(dtype) for s in (shape, w_shape, w_shape[0]))  # direct sums are exact
    y = np.full((shape[0], w_shape[0], *spec.output_size(shape[2:], w_shape[2:])), np.nan, dtype)
    return arranged(y, order), arranged(x, order), w, b, spec


def rows_for(kernel, *arguments):
    rows = [row for row in KERNELS[kernel] if row.pack and not (row.refuse and row.refuse(*arguments))]
    assert rows
    return rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_packed_weights_give_the_same_results(problem, order, dtype):
    y, x, w, b, spec = arrays_of(problem, order, dtype)
    packs = 0
    for weights in (w, arranged(w, "F")):
        for row in rows_for("conv", y, x, weights, b, spec):
            packing = row.pack(y, x, weights, b, spec)
            row.function(y, x, weights, b, spec)
            expected = y.copy()
            y[...] = np.nan
            if packing is not None:
                packed = packing.pack(weights)
                assert packed.nbytes >= w.nbytes
                packs += 1
                row.function(y, x, packed, b, spec)
                np.testing.assert_array_equal(y, expected)
    assert packs or x.shape[0] in (1, 5)  # some engines read weights where they lie


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_packed_weights_of_backward_data(problem):
    dy, dx, w, _, spec = arrays_of(problem, "channels_last", np.float32)
    dy[...] = np.random.default_rng(4).integers(-3, 4, dy.shape)
    for row in rows_for("conv_backward_data", dx, dy, w, None, spec):
        packing = row.pack(dx, dy, w, None, spec)
        row.function(dx, dy, w, None, spec)
        expected = dx.copy()
        if packing is not None:
            row.function(dx, dy, packing.pack(w), None, spec)
            np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize(
    "activation", [(), ("relu",), ("clip", 0.0, 0.5), ("hardswish",), ("gelu",), ("leaky_relu", 0.1)]
)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_epilogue_of_a_convolution(problem, order, activation):
    y, x, w, b, spec = arrays_of(problem, order, np.float32)
    expected = np.empty_like(y)
    some = arranged(np.random.default_rng(5).standard_normal(y.shape).astype(np.float32), order)
    for residual in (None, some):
        arguments = (x, w, b, residual, spec, *(activation or ("",)))
        for row in rows_for("fused_conv", y, *arguments):
            plain = next(r for r in KERNELS["conv"] if r.algorithm == row.algorithm)
            plain.function(expected, x, w, b, spec)
            fused._finish(expected, residual, *((activation[0], activation[1:]) if activation else ("", ())))
            packing = row.pack(y, *arguments)
            for weights in (w, *([] if packing is None else [packing.pack(w)])):
                y[...] = np.nan
                row.function(y, x, weights, *arguments[2:])
                np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 200])
def test_the_epilogue_of_a_linear_layer(rows):
    rng = np.random.default_rng(6)
    x, w, b, residual = (rng.standard_normal(s).astype(np.float32) for s in ((rows, 70), (45, 70), 45, (rows, 45)))
    y, expected = np.empty((rows, 45), np.float32), np.maximum(x @ w.T + b + residual, 0)
    (row,) = rows_for("fused_linear", y, x, w, b, residual, "relu")
    packing = row.pack(y, x, w, b, residual, "relu")
    for weights in (w, *([] if packing is None else [packing.pack(w)])):
        row.function(y, x, weights, b, residual, "relu")
        np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5)
    assert (linear.pack_linear(y, x, w, b) is not None) == (rows == 200)


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
def test_a_packed_matrix_is_multiplied_as_it_was(transpose_a, transpose_b):
    rng = np.random.default_rng(7)
    a, b = (rng.integers(-3, 4, s).astype(np.float32) for s in ((200, 70), (70, 45)))
    expected, y = a @ b, np.full((200, 45), np.nan, np.float32)
    operands = (a.T.copy() if transpose_a else a), (b.T.copy() if transpose_b else b)
    (row,) = rows_for("matmul", y, *operands, transpose_a, transpose_b)
    packing = row.pack(y, *operands, transpose_a, transpose_b)
    assert (packing is None) == (transpose_a and not transpose_b)
    for matrix in (operands[1], *([] if packing is None else [packing.pack(operands[1])])):
        row.function(y, operands[0], matrix, transpose_a, transpose_b)
        np.testing.assert_array_equal(y, expected)


def test_a_residual_in_another_order_is_added_afterwards():
    y, x, w, b, spec = arrays_of(PROBLEMS[1], "channels_last", np.float32)
    residual = np.ones(y.shape, np.float32)
    (direct,) = (row for row in kernels.rows("fused_conv") if row.algorithm == "direct")
    assert "does not lie" in direct.refuse(y, x, w, b, residual, spec, "relu")
    assert "no cos" in direct.refuse(y, x, w, b, None, spec, "cos")
    assert fused.refuse_conv_in_parts(y, x, w, b, residual, spec, "relu") is None
    fused.conv_in_parts(y, x, w, b, residual, spec, "relu")
    expected = np.empty_like(y)
    kernels.run("conv", expected, x, w, b, spec)
    np.testing.assert_array_equal(y, np.maximum(expected + 1, 0))


LAYERS = [  # c, k, kernel, spec; with images of several sizes each goes to several engines, or to one in several ways
    (16, 40, 3, same(3)),
    (300, 40, 3, ConvSpec((2, 2), ((1, 1),) * 2, (1, 1))),
    (64, 256, 1, same(1)),
    (40, 75, 3, same(3)),
    (1, 6, 5, same(5)),
    (21, 21, 3, ConvSpec((1, 1), ((1, 1),) * 2, (1, 1), 21)),
]


@pytest.mark.parametrize("order", ["C", "channels_last"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_weights_packed_for_one_image_size_serve_others_with_the_same_key(layer, order):
    c, k, taps, spec = layer
    rng = np.random.default_rng(7)
    w = rng.integers(-3, 4, (k, c // spec.groups, taps, taps)).astype(np.float32)
    packed, shared = {}, 0
    for shape in ((1, 5, 5), (1, 14, 14), (3, 14, 15), (1, 30, 9), (2, 56, 56)):
        x = arranged(rng.integers(-3, 4, (shape[0], c, *shape[1:])).astype(np.float32), order)
        y = arranged(np.empty((shape[0], k, *spec.output_size(shape[1:], (taps, taps))), np.float32), order)
        for row in rows_for("conv", y, x, w, None, spec):
            packing = row.pack(y, x, w, None, spec)
            if packing is None:
                continue
            own = packing.pack(w)
            row.function(y, x, own, None, spec)
            expected = y.copy()
            shared += packing.key in packed
            row.function(y, x, packed.setdefault(packing.key, own), None, spec)
            np.testing.assert_array_equal(y, expected)
    assert shared >= 3 or (taps, order) == (1, "C")  # where weights are read as they lie
