"""ONNX files as modules: parameters under their names, trained further, exported again."""

import copy

import numpy as np
import onnx
import pytest
from onnx import parser
from zoo import as_list, network

import pyconv as pc
import pyconv.functional as F
from pyconv import models, nn, optim


def one_step(model, x):
    """A step of gradient descent on some cost; returns the cost before it."""
    params = dict(model.named_parameters())

    def cost(params):
        outputs, updates = nn.functional_call(model.train(), params, x)
        return sum(F.mean(y * y) for y in as_list(outputs)), updates

    (value, updates), grads = pc.value_and_grad(cost, has_aux=True)(params)
    new, _ = optim.SGD(lr=1e-3).update(params, grads, optim.SGD(lr=1e-3).init(params))
    model.load_state_dict({**new, **updates}, strict=False)
    return value


@pytest.mark.parametrize("name", models.names())
def test_zoo_there_and_back(name):
    """Exported, imported, trained one step, exported again; the step is the one that the network itself would take."""
    model, x = network(name, headless=("alexnet", "vgg"))
    model, x = model.astype(np.float64), x.astype(np.float64)  # batch norm of two pixels enlarges what is rounded
    for module in model.modules():
        if isinstance(module, (nn.Dropout, nn.StochasticDepth)):
            module.p = 0.0  # no part of a file
        if hasattr(module, "eps"):
            module.eps = 2.0**-10  # a file rounds it to float32
    imported = pc.onnx.to_module(pc.onnx.export(model, None, x.shape))
    assert {n for n, _ in imported.named_parameters()} >= {n for n, _ in model.named_parameters()}
    assert one_step(imported, x) == pytest.approx(one_step(model, x), rel=1e-9)
    trained = dict(model.named_parameters())
    for key, array in imported.named_parameters():
        if key in trained:
            np.testing.assert_allclose(array, trained[key], rtol=0, atol=1e-9 * np.abs(trained[key]).max() + 1e-12)
    again = pc.onnx.export(imported, None, x.shape)
    onnx.checker.check_model(again, full_check=True)
    expected = imported.eval()(x)
    for y, z in zip(pc.onnx.load(again).run(None, {"x": x}), as_list(expected), strict=True):
        np.testing.assert_allclose(y, z, rtol=0, atol=1e-5 * max(np.abs(z).max(), 1e-30))


def test_trainer_fine_tunes_an_imported_model(tmp_path):
    nn.init.manual_seed(0)
    train, test = pc.data.load("digits")
    pc.onnx.export(models.create("digitsnet", in_channels=1), tmp_path / "m.onnx", (1, 1, 8, 8))
    model = pc.onnx.to_module(tmp_path / "m.onnx")
    trainer = pc.Trainer(model, optimizer=optim.Adam(lr=3e-3), seed=0, progress=False)
    trainer.fit(train, epochs=2, batch_size=64)
    assert trainer.evaluate(test)["accuracy"] > 0.9
    proto = pc.onnx.export(model, None, (1, 1, 8, 8))
    x = np.ascontiguousarray(test.x[:50], np.float32)
    (y,) = pc.onnx.load(proto).run(None, {"x": x})
    np.testing.assert_allclose(y, model.eval()(x), rtol=0, atol=1e-5 * np.abs(y).max())


def module_of(body, constants, opset=17):
    graph = f"g (float[N, 2] x) => (float[N, M] y) <{constants}> {{ {body} }}"
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {graph}')
    for tensor in proto.graph.initializer:
        tensor.name = tensor.name.replace("__", ".")  # the parser takes no dots
    for node in proto.graph.node:
        node.input[:] = [name.replace("__", ".") for name in node.input]
    return pc.onnx.to_module(proto)


def test_what_becomes_a_parameter():
    model = module_of(
        "h = MatMul(x, a__weight) b = Add(h, a__bias) s = Mul(b, half) t = Transpose(w2) y = MatMul(s, t)",
        "float[2, 2] a__weight = {1, 2, 3, 4}, float[2] a__bias = {1, 2}, float half = {0.5}, float[1, 2] w2 = {1, 1}",
    )
    assert sorted(model.state_dict()) == ["a.bias", "a.weight", "w2"]
    assert model(np.ones((1, 2), np.float32)).tolist() == [[6.5]]
    with pytest.raises(ValueError, match="takes 1 inputs"):
        model()


def test_names_that_clash():
    model = module_of(
        "h = Add(x, a) i = Add(h, a__b) j = Add(i, forward) k = Add(j, a____c) y = Add(k, a__b__d)",
        "float[2] a = {1, 2}, float[2] a__b = {1, 2}, float[2] forward = {1, 2}, float[2] a____c = {1, 2}, "
        "float[2] a__b__d = {1, 2}",
    )
    assert len(model.state_dict()) == 5
    assert model(np.zeros((1, 2), np.float32)).tolist() == [[5, 10]]


def test_weights_in_constants():
    model = module_of("w = Constant<value = float[2, 2] {1, 2, 3, 4}>() y = MatMul(x, w)", "float half = {0.5}")
    assert list(model.state_dict()) == ["w"]


def test_batch_norm_and_dropout_in_training():
    model = module_of(
        "n = BatchNormalization<momentum = 0.75>(x, s, b, m, v) y = Dropout(n)",
        "float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] m = {0, 0}, float[2] v = {1, 1}",
    )
    assert [n for n, _ in model.named_parameters()] == ["s", "b"]
    x = np.array([[1, 2], [3, 6]], np.float32)
    assert model.eval()(x) == pytest.approx(x, rel=1e-4)
    nn.init.manual_seed(0)
    y = model.train()(x)
    assert set(np.abs(y).round(3).ravel().tolist()) <= {0, 2}
    np.testing.assert_allclose(model.m, [0.5, 1], rtol=1e-6)
    twin = copy.deepcopy(model)
    twin(x)
    np.testing.assert_allclose(model.m, [0.5, 1], rtol=1e-6)


def test_nodes_without_gradient_are_named():
    model = module_of("i = NonZero(x) f = Cast<to = 1>(i) y = Mul(f, w)", "float[2, 1] w = {1, 2}")
    assert model(np.ones((1, 2), np.float32)).tolist() == [[0, 0], [0, 2]]
    with pytest.raises(TypeError, match="NonZero 'i'"):
        pc.compile(model, (1, 2))
