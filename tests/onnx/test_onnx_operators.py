"""Operators whose standard cases are few: against ONNX Runtime, on sizes and options that those leave out."""

import itertools

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import pyconv as pc


def model_of(nodes, inputs, outputs, opset=20):
    def declared(name, array):
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim)

    nodes = nodes if isinstance(nodes, list) else [nodes]
    made = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(nodes, "g", [declared(*item) for item in inputs.items()], made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def ours(model, inputs):
    session = pc.onnx.load(model)
    results = session.run(None, inputs)
    assert session.fallbacks() == []
    return results


def theirs(model, inputs):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "GRU_linear"])
def test_recurrent(kind, direction):
    kind, linear = kind.partition("_")[::2]
    gates, ways = {"LSTM": 4, "GRU": 3}[kind], 1 + (direction == "bidirectional")
    inputs = {
        "x": normal(7, 2, 5),
        "w": normal(ways, gates * 3, 5, seed=1),
        "r": normal(ways, gates * 3, 3, seed=2),
        "b": normal(ways, 2 * gates * 3, seed=3),
        "h": normal(ways, 2, 3, seed=4),
    }
    outputs = ["y", "last"] + (["cell"] if kind == "LSTM" else [])
    options = {"linear_before_reset": 1} if linear else {}
    node = helper.make_node(kind, ["x", "w", "r", "b", "", "h"], outputs, hidden_size=3, direction=direction, **options)
    model = model_of(node, inputs, outputs)
    for y, expected in zip(ours(model, inputs), theirs(model, inputs), strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_grid_sample(mode, padding, align):
    node = helper.make_node("GridSample", ["x", "g"], ["y"], mode=mode, padding_mode=padding, align_corners=align)
    inputs = {"x": normal(2, 3, 5, 6), "g": 1.5 * normal(2, 4, 7, 2, seed=1)}
    model = model_of(node, inputs, ["y"])
    np.testing.assert_allclose(ours(model, inputs)[0], theirs(model, inputs)[0], rtol=1e-4, atol=1e-4)


def test_grid_sample_of_a_volume():
    node = helper.make_node("GridSample", ["x", "g"], ["y"], padding_mode="border")
    inputs = {"x": normal(1, 2, 3, 4, 5), "g": normal(1, 2, 2, 3, 3, seed=1)}
    model = model_of(node, inputs, ["y"])
    np.testing.assert_allclose(ours(model, inputs)[0], theirs(model, inputs)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_deform_conv(masked):
    inputs = {
        "x": normal(2, 4, 7, 6),
        "w": normal(6, 2, 3, 2, seed=1),
        "o": 2 * normal(2, 2 * 2 * 6, 4, 3, seed=2),
        "b": normal(6, seed=3),
    }
    if masked:
        inputs["m"] = normal(2, 2 * 6, 4, 3, seed=4)
    node = helper.make_node(
        "DeformConv", list(inputs), ["y"], group=2, offset_group=2, strides=[2, 2], pads=[1, 0, 2, 1], dilations=[1, 2]
    )
    model = model_of(node, inputs, ["y"], 22)
    (expected,) = ReferenceEvaluator(model).run(None, inputs)
    np.testing.assert_allclose(ours(model, inputs)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("mode", "ratio", "transform"),
    [("avg", 0, "half_pixel"), ("avg", 2, "output_half_pixel"), ("max", 3, "half_pixel")],
)
def test_roi_align(mode, ratio, transform):
    rois = np.array([[1, 2, 9, 11], [-4, 0, 3, 5], [0.2, 0.4, 0.6, 0.7], [8, 8, 40, 60]], np.float32)
    inputs = {"x": normal(2, 3, 6, 7), "r": rois, "i": np.array([0, 1, 1, 0])}
    node = helper.make_node(
        "RoiAlign",
        list(inputs),
        ["y"],
        mode=mode,
        sampling_ratio=ratio,
        spatial_scale=0.5,
        output_height=2,
        output_width=3,
        coordinate_transformation_mode=transform,
    )
    model = model_of(node, inputs, ["y"])
    expected = (theirs if mode == "avg" else ReferenceEvaluator(model).run)(
        *([model, inputs] if mode == "avg" else [None, inputs])
    )
    np.testing.assert_allclose(ours(model, inputs)[0], expected[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="batch_indices"):
        pc.onnx.load(model).run(None, {**inputs, "i": np.array([0, 1, 2, 0])})


def test_unpooling_of_a_pooling_in_one_plan():
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("MaxUnpool", ["p", "i"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    inputs = {"x": normal(2, 3, 6, 8)}
    model = model_of(nodes, inputs, ["y"])
    np.testing.assert_array_equal(ours(model, inputs)[0], theirs(model, inputs)[0])


def quantized(*shape, dtype=np.uint8, seed=0):
    bounds = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(bounds.min, bounds.max + 1, shape, dtype)


def test_conv_integer_is_exact():
    """Also where the sums have more digits than float32, and the kernel is one of Winograd's."""
    inputs = {
        "x": quantized(1, 256, 9, 9),
        "w": quantized(32, 256, 3, 3, seed=1),
        "xz": np.array(3, np.uint8),
        "wz": np.array(250, np.uint8),
    }
    node = helper.make_node("ConvInteger", list(inputs), ["y"], pads=[1] * 4)
    (y,) = ours(model_of(node, inputs, ["y"]), inputs)
    x = np.pad(inputs["x"].astype(np.int64) - 3, ((0, 0), (0, 0), (1, 1), (1, 1)))
    w = inputs["w"].astype(np.int64) - 250
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    np.testing.assert_array_equal(y, np.einsum("nchwrs,kcrs->nkhw", windows, w))
    assert y.dtype == np.int32


def test_qlinear_conv_for_each_channel():
    inputs = {
        "x": quantized(2, 4, 6, 6),
        "xs": np.float32(0.03),
        "xz": np.array(128, np.uint8),
        "w": quantized(6, 4, 3, 3, dtype=np.int8, seed=1),
        "ws": np.linspace(0.01, 0.05, 6, dtype=np.float32),
        "wz": np.zeros(6, np.int8),
        "ys": np.float32(0.4),
        "yz": np.array(100, np.uint8),
        "b": quantized(6, dtype=np.int16, seed=2).astype(np.int32),
    }
    node = helper.make_node("QLinearConv", list(inputs), ["y"], pads=[1] * 4, strides=[2, 1])
    inputs = {name: np.asarray(value) for name, value in inputs.items()}
    model = model_of(node, inputs, ["y"])
    (expected,) = ReferenceEvaluator(model).run(None, inputs)  # ONNX Runtime's own sums saturate on AVX2
    np.testing.assert_array_equal(ours(model, inputs)[0], expected)


def test_quantize_and_back():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=1),
    ]
    inputs = {
        "x": 100 * normal(2, 3, 5),
        "s": np.array([0.5, 1, 2], np.float32),
        "z": np.array([0, -3, 5], np.int8),
    }
    model = model_of(nodes, inputs, ["q", "y"])
    for y, expected in zip(ours(model, inputs), theirs(model, inputs), strict=True):
        np.testing.assert_array_equal(y, expected)


def test_places_of_equals():
    x = np.array([[2, 1, 2, 0, 2], [0, 0, 1, 1, 0]], np.float32)
    for kind, last in itertools.product(("ArgMax", "ArgMin"), (0, 1)):
        node = helper.make_node(kind, ["x"], ["y"], axis=1, keepdims=0, select_last_index=last)
        model = model_of(node, {"x": x}, ["y"])
        np.testing.assert_array_equal(ours(model, {"x": x})[0], theirs(model, {"x": x})[0])
    for largest in (0, 1):
        inputs = {"x": x, "k": np.array([3])}
        model = model_of(helper.make_node("TopK", ["x", "k"], ["v", "i"], largest=largest), inputs, ["v", "i"])
        for y, expected in zip(ours(model, inputs), theirs(model, inputs), strict=True):
            np.testing.assert_array_equal(y, expected)


def test_labels_are_looked_at():
    inputs = {"x": normal(3, 4), "t": np.array([0, 3, 1])}
    model = model_of(helper.make_node("SoftmaxCrossEntropyLoss", ["x", "t"], ["l", "p"]), inputs, ["l", "p"], 13)
    ours(model, inputs)
    with pytest.raises(ValueError, match="0 … 3"):
        pc.onnx.load(model).run(None, {**inputs, "t": np.array([0, 4, 1])})
