"""Models of ours as ONNX files: valid, and computing the same in ONNX Runtime."""

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from zoo import as_list, network

import pyconv as pc
import pyconv.functional as F
from pyconv import models, nn, optim


def in_onnxruntime(proto, *inputs):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # the file, as it stands
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs, strict=True)))


def agree(ours, theirs, tolerance=1e-5):
    for y, expected in zip(as_list(ours), as_list(theirs), strict=True):
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-30))


@pytest.mark.parametrize("name", models.names())
def test_zoo(name):
    model, x = network(name)
    proto = pc.onnx.export(model, None, (1, *x.shape[1:]))
    onnx.checker.check_model(proto, full_check=True)
    weights = {t.name for t in proto.graph.initializer}
    assert weights == {n for n in model.state_dict() if not n.endswith("num_batches_tracked")}
    agree(model.eval()(x), in_onnxruntime(proto, x))


FUNCTIONS = {
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
    "adaptive_avg_pool_larger": lambda x: F.adaptive_avg_pool2d(x, (9, 10)),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, (3, 2)),
    "adaptive_max_pool_even": lambda x: F.adaptive_max_pool2d(x, (4, 5)),
    "avg_pool_ceil": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg_pool_ceil_inside": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
    "avg_pool_ceil_no_padding": lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
    "batch_norm_of_the_batch": lambda x: F.batch_norm(x, None, None, training=True),
    "broadcast": lambda x: (
        F.broadcast_to(x, (*x.shape[:2], 8, 10)) + F.broadcast_to(F.sum(x, (1, 2, 3), True), x.shape)
    ),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "clip": lambda x: F.clip(x, -0.5, 0.25),
    "compare": lambda x: F.where(x > 0, x, F.where(x != x, 0.0, x * 2)),
    "concat": lambda x: F.concat([x, F.neg(x), x], 1),
    "elu": lambda x: F.elu(x, 0.5),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, "tanh"),
    "group_norm": lambda x: F.group_norm(x, 2),
    "hardswish": lambda x: F.hardswish(x) + F.hardsigmoid(x),
    "instance_norm": F.instance_norm,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "local_response_norm": lambda x: F.local_response_norm(x, 3),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "max_pool_ceil": lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "max_pool_dilated": lambda x: F.max_pool2d(x, 2, 1, 0, 2),
    "maximum": lambda x: F.maximum(F.minimum(x, 0.5), F.max(x, 3, True)),
    "mean": lambda x: F.mean(x, (2, 3)),
    "mish": F.mish,
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest-exact": lambda x: F.interpolate(x, size=(12, 7), mode="nearest-exact"),
    "bilinear": lambda x: F.interpolate(x, size=(5, 13), mode="bilinear"),
    "bilinear_corners": lambda x: F.interpolate(x, size=(5, 13), mode="bilinear", align_corners=True),
    "bicubic": lambda x: F.interpolate(x, size=(11, 13), mode="bicubic"),
    "pad_circular": lambda x: F.pad(x, (1, 2, 3, 0), "circular"),
    "pad_constant": lambda x: F.pad(x, (1, 2, 0, 1), "constant", 0.5),
    "pad_reflect": lambda x: F.pad(x, (1, 2, 0, 1), "reflect"),
    "pad_replicate": lambda x: F.pad(x, (1, 2, 0, 1), "replicate"),
    "pixel_shuffle": lambda x: F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2),
    "power": lambda x: F.sqrt(F.abs(x)) ** 3 + F.exp(F.sin(x)) ** (x * 0 + 2),
    "silu": F.silu,
    "slice": lambda x: x[:, 1:3, ::-1, 2:9:3],
    "softmax": lambda x: F.softmax(x, 2),
    "softplus": lambda x: F.softplus(x, 2.0, 3.0),
    "split": lambda x: F.split(x, [1, 3], 1)[1],
    "sum": lambda x: F.sum(x, (1, 3)),
    "transpose_matmul": lambda x: F.matmul(x, F.transpose(x, 2, 3)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    """Whatever a model may be made of, on another batch size than it was recorded for where the file allows it."""
    function, rng = FUNCTIONS[name], np.random.default_rng(0)
    proto = pc.onnx.export(function, None, (2, 4, 8, 10))
    onnx.checker.check_model(proto, full_check=True)
    x = rng.standard_normal((3, 4, 8, 10)).astype(np.float32)
    agree(function(x), in_onnxruntime(proto, x))
    agree(function(x), pc.onnx.load(proto).run(None, {"x": x}))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_convolutions(axes, mode):
    layer = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes](4, 6, 3, 2, (1,) * axes, 1, 2, padding_mode=mode)
    transposed = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[axes]
    model = nn.Sequential(layer, transposed(6, 4, 3, 2, 1, 1, 2, dilation=2))
    x = np.random.default_rng(0).standard_normal((2, 4, 7, 6, 5)[: 2 + axes]).astype(np.float32)
    proto = pc.onnx.export(model, None, x.shape)
    onnx.checker.check_model(proto, full_check=True)
    agree(model(x), in_onnxruntime(proto, x))


def test_train_here_deploy_there(tmp_path):
    nn.init.manual_seed(0)
    model = models.create("digitsnet", in_channels=1)
    train, test = pc.data.load("digits")
    trainer = pc.Trainer(model, optimizer=optim.Adam(lr=3e-3), seed=0, progress=False)
    trainer.fit(train, epochs=1, batch_size=64)
    pc.onnx.export(model, tmp_path / "digits.onnx", (1, 1, 8, 8))
    x = np.ascontiguousarray(test.x[:100], np.float32)
    agree(model.eval()(x), in_onnxruntime(onnx.load(tmp_path / "digits.onnx"), x))
    assert model.training is False


def test_double_precision():
    model = models.create("lenet5").astype(np.float64)
    x = np.random.default_rng(0).standard_normal((2, 3, 28, 28))
    proto = pc.onnx.export(model, None, x.shape)
    agree(model(x), ReferenceEvaluator(proto).run(None, {"x": x}), 1e-12)


def test_names_and_several_inputs_and_outputs():
    def function(a, b):
        c = F.concat([a, b], 1)
        return {"sum": a + b, "again": c, "same": a, "twice": c}

    proto = pc.onnx.export(function, None, (1, 2), (1, 2), input_names=["a", "b"], output_names=["s", "t", "u", "v"])
    onnx.checker.check_model(proto, full_check=True)
    assert [o.name for o in proto.graph.output] == ["s", "t", "u", "v"]
    a, b = np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32)
    outputs = pc.onnx.load(proto).run(None, {"a": a, "b": b})
    for y, expected in zip(outputs, function(a, b).values(), strict=True):
        np.testing.assert_array_equal(y, expected)


def test_names_of_outputs_are_given_to_nothing_else():
    proto = pc.onnx.export(lambda x: F.relu(F.neg(F.relu(x))), None, (1, 2), output_names=["relu_0"])
    onnx.checker.check_model(proto, full_check=True)
    assert proto.graph.output[0].name == proto.graph.node[-1].output[0] == "relu_0"


def test_fixed_batch():
    def function(x):
        return F.reshape(x, (2, 2, 3))  # no batch axis is left

    proto = pc.onnx.export(function, None, (4, 3), dynamic_batch=False)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 4
    with pytest.raises(ValueError):
        pc.onnx.export(function, None, (4, 3))


def test_what_cannot_be_exported():
    with pytest.raises(TypeError, match="batch axis included"):
        pc.onnx.export(F.relu, None, 3)
    with pytest.raises(ValueError, match="input_shapes"):
        pc.onnx.export(F.relu, None)
    with pytest.raises(ValueError, match="no counterpart"):
        pc.onnx.export(lambda x: F.max_pool2d(x, 2, return_indices=True)[1], None, (1, 1, 4, 4))
    with pytest.raises(ValueError, match="dynamic_batch=False"):
        pc.onnx.export(lambda x: F.relu(x) if x.shape[0] < 3 else x, None, (1, 2))
    with pytest.raises(ValueError, match="name of a parameter"):
        pc.onnx.export(nn.Linear(2, 2), None, (1, 2), input_names=["weight"])
