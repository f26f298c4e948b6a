"""Sessions: names, shapes that vary, outputs into arrays of the caller's, and nodes that fall back."""

import gc

import numpy as np
import onnx
import pytest
from onnx import parser
from onnx.reference import ReferenceEvaluator

import pyconv as pc


def parsed(text, opset=17):
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')


NETWORK = parsed("""g (float[N, 3, H, W] x) => (float[N, 4] y)
    { c = Conv<pads = [1, 1, 1, 1]>(x, w, b)  r = Relu(c)  p = GlobalAveragePool(r)  y = Flatten(p) }""")
for name, size in {"w": (4, 3, 3, 3), "b": (4,)}.items():
    values = np.random.default_rng(len(size)).standard_normal(size).astype(np.float32)
    NETWORK.graph.initializer.append(onnx.numpy_helper.from_array(values, name))


def test_shapes_that_vary():
    session = pc.onnx.load(NETWORK)
    reference = ReferenceEvaluator(NETWORK)
    for shape in ((1, 3, 8, 8), (2, 3, 9, 5), (1, 3, 8, 8), (0, 3, 8, 8)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        (y,) = session.run(None, {"x": x})
        if shape[0]:
            np.testing.assert_allclose(y, reference.run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)
        else:
            assert y.shape == (0, 4)
    assert session.fallbacks() == []
    assert "Conv" in session.explain()


def test_names_shapes_and_types():
    session = pc.onnx.load(NETWORK)
    (x,), (y,) = session.get_inputs(), session.get_outputs()
    assert (x.name, x.shape, x.type) == ("x", ["N", 3, "H", "W"], "tensor(float)")
    assert (y.name, y.shape) == ("y", ["N", 4])


def test_inputs_are_checked():
    session = pc.onnx.load(NETWORK)
    x = np.zeros((1, 3, 8, 8), np.float32)
    with pytest.raises(ValueError, match="x missing"):
        session.run(None, {})
    with pytest.raises(ValueError, match="z unknown"):
        session.run(None, {"x": x, "z": x})
    with pytest.raises(ValueError, match="shape N × 3 × H × W"):
        session.run(None, {"x": x[:, :2]})
    with pytest.raises(TypeError, match="float32"):
        session.run(None, {"x": x.astype(np.float64)})
    with pytest.raises(ValueError, match="no output 'z'"):
        session.run(["z"], {"x": x})


def test_precision_and_threads():
    x = np.ones((1, 3, 8, 8), np.float32)
    one, two = (pc.onnx.load(NETWORK, precision="float32", threads=n).run(None, {"x": x})[0] for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match="threads must be a positive int"):
        pc.onnx.load(NETWORK, threads=0)
    with pytest.raises(ValueError, match="precision must be"):
        pc.onnx.load(NETWORK, precision="int4")


def test_what_a_model_says_about_itself():
    model = onnx.ModelProto()
    model.CopyFrom(NETWORK)
    model.producer_name, model.model_version = "tests", 7
    onnx.helper.set_model_props(model, {"labels": "cat\ndog"})
    meta = pc.onnx.load(model).get_modelmeta()
    assert (meta.producer_name, meta.version, meta.graph_name) == ("tests", 7, "g")
    assert meta.custom_metadata_map == {"labels": "cat\ndog"}


def test_out():
    session = pc.onnx.load(NETWORK)
    x, y = np.ones((1, 3, 8, 8), np.float32), np.empty((1, 4), np.float32)
    (result,) = session.run(["y"], {"x": x}, out=[y])
    assert result is y
    np.testing.assert_array_equal(y, session.run(None, {"x": x})[0])
    with pytest.raises(ValueError, match="out must"):
        session.run(None, {"x": x}, out=[np.empty(4, np.float32)])


def test_values_that_decide_shapes_may_come_with_a_call():
    session = pc.onnx.load(parsed("g (float[N] x, int64[K] shape) => (float[a, b] y) { y = Reshape(x, shape) }"))
    x = np.arange(6, dtype=np.float32)
    for shape in ((2, 3), (3, 2), (-1, 1)):
        (y,) = session.run(None, {"x": x, "shape": np.array(shape)})
        np.testing.assert_array_equal(y, x.reshape(shape))
    assert session.fallbacks() == []


def test_shapes_computed_in_the_model():
    session = pc.onnx.load(
        parsed("""g (float[N, C, H] x) => (float[a, b] y)
            <int64 zero = {0}, int64[1] rest = {-1}, int64[1] first = {0}> {
            s = Shape(x)  n = Gather(s, zero)  m = Unsqueeze(n, first)
            shape = Concat<axis = 0>(m, rest)  y = Reshape(x, shape) }""")
    )
    assert session.run(None, {"x": np.zeros((2, 3, 4), np.float32)})[0].shape == (2, 12)
    assert session.fallbacks() == []
    assert len(session.explain().splitlines()) < 8  # one view, and no step for the shapes


def test_a_node_that_falls_back_between_two_plans():
    model = parsed("""g (float[N] x) => (float[M] y, float[N] z) {
        a = Relu(x)  i = NonZero(a)  f = Cast<to = 1>(i)  s = Squeeze(f)  y = Exp(s)  z = Neg(a) }""")
    session = pc.onnx.load(model)
    for x in ([1.0, -1.0, 2.0], [1.0, 1.0, 2.0, 0.0]):
        x = np.array(x, np.float32)
        for ours, theirs in zip(
            session.run(None, {"x": x}), ReferenceEvaluator(model).run(None, {"x": x}), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert session.fallbacks() == ["NonZero 'i'"]
    assert "NonZero 'i' runs in onnx.reference" in session.explain()


def test_results_are_the_callers_own():
    session = pc.onnx.load(parsed("g (float[N] x) => (float[N] y, int64[1] s) { y = Identity(x)  s = Shape(x) }"))
    x = np.zeros(2, np.float32)
    y, s = session.run(None, {"x": x})
    y += 1
    s += 1
    assert x.tolist() == [0, 0]
    assert session.run(["s"], {"x": x})[0].tolist() == [2]


def test_inference_session():
    class Options:
        intra_op_num_threads = 1

    session = pc.onnx.InferenceSession(NETWORK.SerializeToString(), Options(), providers=["CPUExecutionProvider"])
    x = np.ones((1, 3, 8, 8), np.float32)
    np.testing.assert_array_equal(session.run([], {"x": x}, None)[0], pc.onnx.load(NETWORK).run(None, {"x": x})[0])
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_standard_interface():
    node = onnx.helper.make_node("Add", ["a", "b"], ["c"])
    (c,) = pc.onnx.run_node(node, [np.ones(2, np.float32), np.ones(2, np.float32)])
    assert c.tolist() == [2, 2]
    assert pc.onnx.is_compatible(NETWORK)
    assert pc.onnx.supports_device("CPU")
    assert not pc.onnx.supports_device("CUDA")
    outputs = pc.onnx.run_model(NETWORK, [np.ones((1, 3, 8, 8), np.float32)])
    assert outputs["y"].shape == (1, 4)


def test_shapes_share_weights_and_what_is_made_of_them():
    weight = np.random.default_rng(0).standard_normal((64, 64, 3, 3)).astype(np.float32)
    model = parsed("""g (float[N, C, H, W] x) => (float[a, b, c, d] y)
        <float[1] two = {2}, int64[4] turned = {64, 64, 3, 3}>
        { doubled = Mul(weight, two)  w = Reshape(doubled, turned)  y = Conv<pads = [1, 1, 1, 1]>(x, w) }""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    reference = ReferenceEvaluator(model)
    session = pc.onnx.load(model)
    held = []
    for shape in ((1, 64, 16, 16), (1, 64, 20, 18), (2, 64, 17, 16)):
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        (y,) = session.run(None, {"x": x})
        np.testing.assert_allclose(y, reference.run(None, {"x": x})[0], rtol=0, atol=1e-3)
        held.append({id(h) for h in session._shared._held.values()})
    assert held[0] == held[1] == held[2]
    assert "w" in session._model.folded
    session._stretches.clear()
    gc.collect()
    assert len(session._model.folded) == len(session._shared) == 0


def test_constants_that_a_call_replaces_are_not_folded():
    model = parsed("g (float[N] x, float[2] c) => (float[N] y) <float[2] c = {1, 2}> { d = Mul(c, c)  y = Add(x, d) }")
    session, x = pc.onnx.load(model), np.zeros(2, np.float32)
    for c, expected in ((None, [1, 4]), ([3, 4], [9, 16]), (None, [1, 4])):
        given = {} if c is None else {"c": np.array(c, np.float32)}
        assert session.run(None, {"x": x, **given})[0].tolist() == expected


def test_a_model_that_says_every_size_is_planned_when_it_is_loaded():
    model = parsed("g (float[2, 3] x) => (float[2, 3] y) { y = Mul(x, x) }")
    session, x = pc.onnx.load(model), np.arange(6, dtype=np.float32).reshape(2, 3)
    planned = session.explain()
    assert "Mul" in planned
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x * x)
    assert session.explain() == planned
    assert len(session._stretches[0]) == 1
    decided = parsed("g (float[2, 3] x, int64[2] n) => (float[a, b] y) { y = Reshape(x, n) }")
    assert pc.onnx.load(decided).run(None, {"x": x, "n": np.array([3, 2])})[0].shape == (3, 2)
    huge = parsed("g (float[1099511627776] x) => (float[1099511627776] y) { y = Relu(x) }")
    assert pc.onnx.load(huge).explain() == pc.onnx.load(huge, memory_limit=None).explain()
