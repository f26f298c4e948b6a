"""Small networks drawn by hypothesis, against the onnx package's reference implementation."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import pyconv as pc

ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu", "Softplus", "Identity", "Neg")


class Network:
    """Nodes and weights as they are drawn; every value keeps its channels and size."""

    def __init__(self, draw):
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
        self.nodes, self.weights = [], []
        shape = draw(st.integers(1, 2)), draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
        self.x = self.rng.standard_normal(shape).astype(np.float32)
        self.values = [("x", shape[1:])]

    def weight(self, *shape, positive=False):
        name = f"w{len(self.weights)}"
        array = self.rng.uniform(0.5, 1.5, shape) if positive else self.rng.standard_normal(shape)
        self.weights.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def add(self, op_type, inputs, shape, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        self.values.append((name, shape))

    def conv(self, x, shape):
        c, h, w = shape
        groups = self.draw(st.sampled_from([g for g in (1, 2, 3, c) if c % g == 0]))
        k = groups * self.draw(st.integers(1, 3))
        size = self.draw(st.integers(1, 3)), self.draw(st.integers(1, 3))
        stride, pad = self.draw(st.integers(1, 2)), [self.draw(st.integers(0, 2)) for _ in range(4)]
        out = [(n + pad[a] + pad[a + 2] - size[a]) // stride + 1 for a, n in enumerate((h, w))]
        if min(out) < 1:
            return
        inputs = [x, self.weight(k, c // groups, *size)] + [self.weight(k)] * self.draw(st.booleans())
        self.add("Conv", inputs, (k, *out), group=groups, strides=[stride] * 2, pads=pad, kernel_shape=size)

    def conv_transpose(self, x, shape):
        c, h, w = shape
        k, size, stride = self.draw(st.integers(1, 4)), self.draw(st.integers(1, 3)), self.draw(st.integers(1, 2))
        out = [(n - 1) * stride + size for n in (h, w)]
        if max(out) < 24:
            self.add("ConvTranspose", [x, self.weight(c, k, size, size)], (k, *out), strides=[stride] * 2)

    def batch_norm(self, x, shape):
        c = shape[0]
        inputs = [x, self.weight(c), self.weight(c), self.weight(c), self.weight(c, positive=True)]
        self.add("BatchNormalization", inputs, shape)

    def pool(self, x, shape):
        c, h, w = shape
        kind = self.draw(st.sampled_from(["MaxPool", "AveragePool"]))
        size, stride = self.draw(st.integers(1, 3)), self.draw(st.integers(1, 2))
        out = [(n - size) // stride + 1 for n in (h, w)]
        if min(out) > 0 and min(h, w) >= size:
            self.add(kind, [x], (c, *out), kernel_shape=[size] * 2, strides=[stride] * 2)

    def activation(self, x, shape):
        self.add(self.draw(st.sampled_from(ACTIVATIONS)), [x], shape)

    def join(self, x, shape):
        """With another value of the same shape, or a number for each channel."""
        others = [name for name, s in self.values if s == shape]
        kind = self.draw(st.sampled_from(["Add", "Mul", "Sub", "Concat"]))
        if kind == "Concat":
            self.add(kind, [x, self.draw(st.sampled_from(others))], (2 * shape[0], *shape[1:]), axis=1)
        else:
            other = self.draw(st.sampled_from([*others, self.weight(shape[0], 1, 1), self.weight(1)]))
            self.add(kind, [x, other], shape)

    def model(self):
        read = {name for node in self.nodes for name in node.input}
        outputs = [name for name, _ in self.values[1:] if name not in read] or ["x"]
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.x.shape[1:]])
        graph = helper.make_graph(self.nodes, "g", [x], made, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@st.composite
def networks(draw):
    network = Network(draw)
    for _ in range(draw(st.integers(1, 10))):
        x, shape = draw(st.sampled_from(network.values))
        kinds = (
            network.conv,
            network.conv_transpose,
            network.batch_norm,
            network.pool,
            network.activation,
            network.join,
        )
        if shape[0] <= 12:
            draw(st.sampled_from(kinds))(x, shape)
    return network


@settings(max_examples=60, deadline=None)
@given(networks())
def test_random_networks(network):
    if not network.nodes:
        return
    model, feed = network.model(), {"x": network.x}
    session = pc.onnx.load(model)
    for y, expected in zip(session.run(None, feed), ReferenceEvaluator(model).run(None, feed), strict=True):
        scale = max(np.abs(expected).max(initial=0), 1e-3)
        np.testing.assert_allclose(y / scale, expected / scale, rtol=0, atol=1e-4)
    assert session.fallbacks() == []
