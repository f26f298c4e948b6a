"""Ops on symbolic nodes: what they infer is what computing gives, and gradient rules record as they compute."""

import numpy as np
import pytest

import pyconv.functional as F
from pyconv import kernels
from pyconv.graph.differentiate import gradients, topological_order
from pyconv.graph.transforms import grad, value_and_grad
from pyconv.ops.node import Node


def evaluate(outputs, feeds):
    """Run recorded nodes; every node must come out with the shape and dtype that were inferred for it."""
    values = {id(node): array for node, array in feeds}
    for output in outputs:
        for node in topological_order(output):
            if id(node) in values:
                continue
            if node.op is None:
                values[id(node)] = node.value
                continue
            value = node.op(*(None if i is None else values[id(i)] for i in node.inputs))
            assert (value.shape, value.dtype) == (node.shape, node.dtype), node
            values[id(node)] = value
    return [values[id(output)] for output in outputs]


def normal(*size, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(size).astype(dtype)


LABELS = np.array([0, 2, 1])
STATE = np.array([5, 1], np.uint64)
X = (3, 4)
IMAGES = (2, 4, 5, 6)

CASES = {
    **{
        name: (getattr(F, name), [X])
        for name in (
            *("relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardswish", "hardsigmoid"),
            *(
                "sigmoid",
                "tanh",
                "softplus",
                "softmax",
                "log_softmax",
                "exp",
                "abs",
                "sign",
                "neg",
                "sin",
                "cos",
                "erf",
            ),
            *("floor", "ceil", "round", "sum", "mean", "max", "min", "flatten"),
        )
    },
    "clip": (lambda x: F.clip(x, -0.5, 0.5), [X]),
    "prelu": (F.prelu, [X, (4,)]),
    "gelu_tanh": (lambda x: F.gelu(x, "tanh"), [X]),
    **{name: (getattr(F, name), [X, (4,)]) for name in ("add", "sub", "mul", "div", "maximum", "minimum")},
    "add_wider": (F.add, [(4,), X]),
    "scalars": (lambda x: (2 * x + 1) / (3 - x) ** 2, [X]),
    "pow": (lambda a, b: F.pow(F.exp(a), b), [X, (4,)]),
    "where": (lambda a, b: F.where(a < b, a, b), [X, (4,)]),
    "mask": (lambda a, b: F.mul(a >= b, a), [X, (4,)]),
    "max_dim": (lambda x: F.max(x, 1, True), [X]),
    "mean_dims": (lambda x: F.mean(x, (0, 2)), [IMAGES]),
    "linear": (F.linear, [X, (5, 4), (5,)]),
    "linear_nd": (F.linear, [(2, 3, 4), (5, 4)]),
    "matmul": (F.matmul, [X, (4, 2)]),
    "batched_matmul": (F.matmul, [(2, 3, 4), (4, 2)]),
    "operators": (lambda a, b: (a @ b.T)[::-1, :1].reshape(-1).sum() + a.mean(0, keepdims=True), [X, (5, 4)]),
    "batch_norm": (lambda x, w, b: F.batch_norm_train(x, None, None, w, b)[0], [IMAGES, (4,), (4,)]),
    "batch_norm_statistics": (lambda x, m, v: F.stack(F.batch_norm_train(x, m, v)[1:]), [IMAGES, (4,), (4,)]),
    "batch_norm_eval": (lambda x, m, v, w: F.batch_norm(x, m, F.exp(v), w), [IMAGES, (4,), (4,), (4,)]),
    "layer_norm": (lambda x, w: F.layer_norm(x, (5, 6), w), [IMAGES, (5, 6)]),
    "group_norm": (lambda x, w: F.group_norm(x, 2, w), [IMAGES, (4,)]),
    "instance_norm": (lambda x: F.instance_norm(x), [IMAGES]),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3), [IMAGES]),
    "cross_entropy": (lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1), [X]),
    "cross_entropy_weighted": (lambda x, w: F.cross_entropy(x, LABELS, F.exp(w)), [X, (4,)]),
    "cross_entropy_probabilities": (lambda x, t: F.cross_entropy(x, F.softmax(t)), [X, X]),
    "nll_loss": (lambda x: F.nll_loss(x, LABELS), [X]),
    "bce": (lambda x, t: F.binary_cross_entropy_with_logits(x, F.sigmoid(t)), [X, X]),
    "mse_loss": (F.mse_loss, [X, X]),
    "l1_loss": (F.l1_loss, [X, X]),
    "hinge_loss": (lambda x: F.hinge_loss(x, LABELS), [X]),
    "dropout": (lambda x: F.dropout(x, rng_state=STATE), [X]),
    "dropout2d": (lambda x: F.dropout2d(x, rng_state=STATE), [IMAGES]),
    "reshape": (lambda x: F.reshape(x, (2, -1)), [X]),
    "transpose": (lambda x: F.transpose(x, 1, 3), [IMAGES]),
    "permute": (lambda x: F.permute(x, (0, 2, 3, 1)), [IMAGES]),
    "broadcast_to": (lambda x: F.broadcast_to(x, (2, 3, 4)), [X]),
    "getitem": (lambda x: F.getitem(x, (0, ..., slice(None, None, -2), None)), [IMAGES]),
    "concat": (lambda a, b: F.concat([a, b, a], 1), [X, (3, 2)]),
    "stack": (lambda a, b: F.stack([a, b], 1), [X, X]),
    "split": (lambda x: F.mul(*F.split(x, 2, 1)), [X]),
    "pad": (lambda x: F.pad(x, (1, 2, -1, 0)), [IMAGES]),
    "pad_reflect": (lambda x: F.pad(x, (1, 2, 3, 0), "reflect"), [IMAGES]),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"), [IMAGES]),
}
# The weights of a cross-entropy are constants: a gradient in them is not asked for.
DIFFERENTIATED = {"cross_entropy_weighted": 1, "batch_norm_eval": 1}
EXACT = {np.float32: 1e-6, np.float64: 1e-13}  # what the order of a few additions may change


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_recording_agrees_with_computing(name, dtype):
    function, sizes = CASES[name]
    arrays = [normal(*size, seed=i, dtype=dtype) for i, size in enumerate(sizes)]
    leaves = [Node.placeholder(a.shape, a.dtype) for a in arrays]
    output = function(*leaves)
    taped = function(*map(Node.leaf, arrays))
    (value,) = evaluate([output], zip(leaves, arrays, strict=True))
    np.testing.assert_array_equal(value, taped.value)
    np.testing.assert_allclose(value, function(*arrays), rtol=EXACT[dtype], atol=EXACT[dtype])
    assert value.dtype == taped.dtype == dtype

    number = DIFFERENTIATED.get(name, len(leaves))
    recorded = gradients(output, leaves[:number])
    expected = grad(lambda *a: F.sum(function(*a)), argnums=tuple(range(number)))(*arrays)
    nodes = [g for g in recorded if isinstance(g, Node)]
    values = iter(evaluate(nodes, zip(leaves, arrays, strict=True)))
    for g, want in zip(recorded, expected, strict=True):
        got = next(values) if isinstance(g, Node) else g
        np.testing.assert_allclose(got, want, rtol=EXACT[dtype], atol=EXACT[dtype])
        assert (got.shape, got.dtype) == (want.shape, dtype)


@pytest.mark.parametrize("backend", [b for b in kernels.BACKENDS if kernels.available(b) is None])
@pytest.mark.parametrize("name", CASES)
def test_backends_agree(name, backend):
    """Each backend in both precisions against NumPy in float64, forward and backward."""
    function, sizes = CASES[name]
    number = DIFFERENTIATED.get(name, len(sizes))

    def weighted(*a):
        y = function(*a)
        return F.sum(F.mul(y, normal(*y.shape, seed=9, dtype=y.dtype))), y

    both = value_and_grad(weighted, tuple(range(number)), has_aux=True)
    exact = [normal(*size, seed=i) for i, size in enumerate(sizes)]
    with kernels.backend("naive"):
        (_, y), grads = both(*exact)
    with kernels.backend(backend):
        for dtype, rtol in ((np.float32, 2e-5), (np.float64, 1e-12)):
            (_, y_here), grads_here = both(*(a.astype(dtype) for a in exact))
            for here, there in zip([y_here, *grads_here], [y, *grads], strict=True):
                np.testing.assert_allclose(here, there, rtol=rtol, atol=rtol * max(np.abs(there).max(), 1e-30))


@pytest.mark.parametrize("name", CASES)
def test_memory_order_of_the_input_does_not_change_the_result(name):
    function, sizes = CASES[name]
    arrays = [normal(*size, seed=i) for i, size in enumerate(sizes)]
    expected = function(*arrays)
    for change in (
        np.asfortranarray,
        lambda a: np.flip(np.flip(a).copy()),
        lambda a: np.repeat(a, 2, -1)[..., ::2],
        read_only,
    ):
        np.testing.assert_allclose(function(*(change(a) for a in arrays)), expected, rtol=1e-12)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("name", ["relu", "add", "softmax", "batch_norm", "pad", "dropout"])
def test_channels_last_stays_channels_last(name):
    function, sizes = CASES[name]
    x = normal(2, 5, 6, 4).transpose(0, 3, 1, 2)
    y = function(x, *(normal(*size) for size in sizes[1:])) if name != "add" else F.add(x, np.ones((4, 1, 1)))
    assert y.strides == y.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2).strides


def test_a_symbolic_node_has_no_array_and_no_truth():
    x = Node.placeholder((2,), np.float32)
    with pytest.raises(TypeError, match="symbolic"):
        np.asarray(x)
    with pytest.raises(TypeError, match=r"F\.where"):
        bool(x > 0)
