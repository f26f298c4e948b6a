"""What exporters write out is recognized, and computes the same."""

import numpy as np
import pytest
from onnx import parser
from onnx.reference import ReferenceEvaluator

import pyconv as pc

GATE = "float six = {6}, float three = {3}, float zero = {0}, float one = {1}, float half = {0.5}, float r = {1.414214}"


def model_of(nodes, constants=GATE):
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (float[N, 4, H] x) => (float[a, b, c] y)<{constants}> {{ {nodes} }}'
    )


@pytest.mark.parametrize(
    ("nodes", "name"),
    [
        ("d = Div(x, r) e = Erf(d) p = Add(e, one) m = Mul(x, p) y = Mul(m, half)", "gelu"),
        ("d = Div(x, r) e = Erf(d) p = Add(one, e) h = Mul(half, x) y = Mul(h, p)", "gelu"),
        ("a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, six)", "hardswish"),
        ("a = Add(x, three) c = Clip(a, zero, six) y = Div(c, six)", "hardsigmoid"),
        ("s = Sigmoid(x) y = Mul(x, s)", "silu"),
        ("s = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x) y = Mul(s, x)", "hardswish"),
    ],
)
def test_activations(nodes, name):
    model = model_of(nodes)
    session = pc.onnx.load(model)
    x = np.linspace(-5, 5, 40, dtype=np.float32).reshape(1, 4, 10)
    (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(y, ReferenceEvaluator(model).run(None, {"x": x})[0], rtol=1e-5, atol=1e-6)
    assert f"Unary({name})" in session.explain()
    assert "1 steps" in session.explain()


@pytest.mark.parametrize(
    "nodes",
    [
        "d = Div(x, six) e = Erf(d) p = Add(e, one) m = Mul(x, p) y = Mul(m, half)",
        "a = Add(x, one) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, six)",
        "s = Sigmoid(x) t = Mul(x, x) y = Mul(t, s)",
        "y = Div(six, x)",
    ],
)
def test_what_only_looks_alike(nodes):
    model = model_of(nodes)
    x = np.linspace(-5, 5, 40, dtype=np.float32).reshape(1, 4, 10)
    (y,) = pc.onnx.load(model).run(None, {"x": x})
    np.testing.assert_allclose(y, ReferenceEvaluator(model).run(None, {"x": x})[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_bias_and_scale_join_the_layer(kind):
    weights = ", ".join(str(v) for v in np.random.default_rng(0).standard_normal(16).round(3))
    constants = f"float[4, 4, 1] w = {{{weights}}}, float[1, 4, 1] b = {{1, 2, 3, 4}}, float[4, 1] s = {{2, 4, 5, 8}}"
    model = model_of(f"c = {kind}(x, w) a = Add(b, c) m = Mul(a, s) d = Div(m, s) y = Relu(d)", constants)
    session = pc.onnx.load(model)
    x = np.random.default_rng(1).standard_normal((2, 4, 5)).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(y, ReferenceEvaluator(model).run(None, {"x": x})[0], rtol=1e-5, atol=1e-5)
    assert f"{1 if kind == 'Conv' else 4} steps" in session.explain()


@pytest.mark.parametrize("nodes", ["m = MatMul(x, w) y = Add(b, m)", "m = MatMul(x, w) a = Add(m, b) y = Add(a, m)"])
def test_bias_joins_the_product(nodes):
    constants = "float[5, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6}, float[1, 3] b = {1, 2, 4}"
    model = model_of(nodes, constants)
    session = pc.onnx.load(model)
    x = np.random.default_rng(1).standard_normal((2, 4, 5)).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(y, ReferenceEvaluator(model).run(None, {"x": x})[0], rtol=1e-5, atol=1e-5)
    assert ("Linear" in session.explain()) == (nodes.count("m") == 2)  # nothing else reads the product
