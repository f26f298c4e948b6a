"""Broken and hostile model files are refused, in words that say where."""

import fuzz
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

import pyconv as pc
from pyconv.onnx import ModelError


def model_of(nodes, inputs=("x",), outputs=("y",), initializers=(), opset=17, **options):
    declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N"]) for n in inputs]
    made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
    graph = helper.make_graph(nodes, "g", declared, made, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **options)


def refused(model, **options):
    with pytest.raises(ModelError) as caught:
        pc.onnx.load(model, **options)
    return str(caught.value)


def test_truncated_at_every_length():
    whole = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        initializers=[numpy_helper.from_array(np.ones(3, np.float32), "w")],
    ).SerializeToString()
    for length in range(len(whole)):
        with pytest.raises(ModelError):
            pc.onnx.load(whole[:length]).run(None, {"x": np.zeros(3, np.float32)})


def test_no_protobuf():
    assert "no ONNX model" in refused(b"\xff" * 100)
    assert "no ONNX model" in refused(b"")
    with pytest.raises(TypeError, match="path, bytes or a ModelProto"):
        pc.onnx.load(7)


def test_cycle():
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    assert "cycle" in refused(model_of(nodes, outputs=("b",)))


def test_missing_initializer():
    assert "'w'" in refused(model_of([helper.make_node("Add", ["x", "w"], ["y"])]))


def test_output_that_nobody_makes():
    assert "'z'" in refused(model_of([helper.make_node("Relu", ["x"], ["y"])], outputs=("z",)))


def test_name_made_twice():
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Relu", ["x"], ["y"])]
    assert "there already" in refused(model_of(nodes))


def test_unknown_operators_are_listed_at_once():
    nodes = [
        helper.make_node("Foo", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Bar", ["b"], ["y"], name="second", domain="com.example"),
    ]
    message = refused(model_of(nodes))
    for part in ("Foo", "first", "com.example::Bar", "second"):
        assert part in message
    assert "Relu" not in message


def test_operator_set_from_the_future():
    assert "operator set 999" in refused(model_of([helper.make_node("Relu", ["x"], ["y"])], opset=999))


@pytest.mark.parametrize(
    ("dims", "data", "word"),
    [
        ([3], b"\0" * 8, "needs 12 bytes"),
        ([-1], b"", "negative"),
        ([1 << 40, 1 << 40], b"", "memory limit"),
        ([1 << 62, 1 << 62, 1 << 62], b"\0" * 4, "memory limit"),
    ],
)
def test_tensor_that_is_not_what_it_says(dims, data, word):
    tensor = TensorProto(dims=dims, data_type=TensorProto.FLOAT, raw_data=data, name="w")
    assert word in refused(model_of([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[tensor]))


def test_memory_limit():
    tensor = numpy_helper.from_array(np.ones(1000, np.float32), "w")
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[tensor])
    assert "memory_limit" in refused(model, memory_limit=3999)
    pc.onnx.load(model, memory_limit=4000)


def test_constant_made_of_nothing():
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> '
        "g (float[N] x) => (float[M] y) <int64[1] n = {1000000000000}> { y = ConstantOfShape(n) }"
    )
    with pytest.raises(ModelError, match="elements"):
        pc.onnx.load(model).run(None, {"x": np.zeros(1, np.float32)})


@pytest.mark.parametrize(
    "node",
    [
        "y = Tile(x, n)",
        "y = Expand(x, n)",
        "z = Constant<value = float[1] {0}>() t = Tile(z, n) y = Add(x, t)",
        "z = Constant<value = float[1] {0}>() p = Constant<value = int64[2] {0, 1000000000}>() "
        "t = Pad(z, p) y = Add(x, t)",
        "a = Concat<axis = 0>(n, n) y = Tile(x, a)",
    ],
)
def test_much_made_of_little(node):
    """Nothing is allocated for it: the message comes before."""
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (float[N] x) => (y) <int64[1] n = {{100000000000}}> {{ {node} }}'
    )
    session = pc.onnx.load(model)
    with pytest.raises(ModelError):
        session.run(None, {"x": np.zeros(1, np.float32)})


def test_memory_limit_of_what_is_made():
    model = model_of([helper.make_node("Concat", ["x"] * 10, ["y"], axis=0)])
    x = {"x": np.zeros(100, np.float32)}
    with pytest.raises(ModelError, match="memory_limit"):
        pc.onnx.load(model, memory_limit=3999).run(None, x)
    pc.onnx.load(model, memory_limit=4000).run(None, x)


def test_deep_nesting():
    inner = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [onnx.ValueInfoProto(name="y")])
    for _ in range(20):
        node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name="y")])
        for attribute in node.attribute:
            if attribute.name == "else_branch":
                attribute.g.Clear()
        inner = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name="y")])
    assert "deep" in refused(model_of(list(inner.node)))


def external(location, **entries):
    tensor = TensorProto(dims=[2], data_type=TensorProto.FLOAT, name="w", data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model_of([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[tensor])


def test_external_data(tmp_path):
    (tmp_path / "w.bin").write_bytes(np.float32([9, 1, 2]).tobytes())
    path = tmp_path / "m.onnx"
    path.write_bytes(external("w.bin", offset=4, length=8).SerializeToString())
    assert pc.onnx.load(path).run(None, {"x": np.zeros(2, np.float32)})[0].tolist() == [1, 2]
    assert "by its path" in refused(external("w.bin"))


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "link", ""])
def test_external_data_outside_of_the_folder(tmp_path, location):
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (folder / "link").symlink_to(tmp_path / "w.bin")
    path = folder / "m.onnx"
    path.write_bytes(external(location).SerializeToString())
    assert "outside" in refused(path)


@pytest.mark.parametrize("entries", [{"offset": 4}, {"offset": -4}, {"length": 4}, {"offset": "x"}])
def test_external_data_that_is_not_there(tmp_path, entries):
    (tmp_path / "w.bin").write_bytes(bytes(8))
    path = tmp_path / "m.onnx"
    path.write_bytes(external("w.bin", **entries).SerializeToString())
    refused(path)


def test_mutants_are_refused_or_run(tmp_path, monkeypatch):
    """Files with bytes changed, cut out or put in; `python tests/onnx/fuzz.py` does it to as many as one likes."""
    monkeypatch.chdir(tmp_path)  # where it would leave one that breaks the rule
    shapes = [pc.onnx.load(whole).run(None, {"x": fuzz.INPUT})[0].shape for whole in fuzz.seeds()]
    assert shapes == [(1, 2, 3, 3), (1, 384)]
    found = fuzz.fuzz(1500, seed=0)
    assert min(found[kind] for kind in ("refused", "refused in its run", "ran")) > 5
