"""Model files read in parts: the same as the protobuf library reads, whatever the bytes; weights in memory once."""

import gc
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import pyconv as pc  # noqa: E402
from pyconv.graph.shared import Folded, may_change  # noqa: E402
from pyconv.onnx import kept, model, wire  # noqa: E402
from pyconv.onnx.errors import ModelError  # noqa: E402


def proto(*arrays, **more):
    tensors = [numpy_helper.from_array(a, f"w{i}") for i, a in enumerate(arrays)]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 64]) for name in ("x", "y")]
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["y"])]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more)


def arrays():
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((64, 64)).astype(np.float32),
        rng.standard_normal(3).astype(np.float32),  # small
        rng.standard_normal((40, 33)),
        np.array(["a", "b"], object),
        rng.integers(0, 9, (1000,)),
        rng.standard_normal((5000,)).astype(np.float16),
        np.zeros((0, 4), np.float32),
        rng.integers(0, 2, 4097).astype(bool),
    )


def read(source):
    """What is read, or what is wrong with it."""
    try:
        return {name: (a.dtype, a.shape, a.tobytes()) for name, a in model.read(source).constants.items()}
    except ModelError as error:
        return str(error)


def whole(source, monkeypatch):
    """The same, by the library alone."""
    with monkeypatch.context() as patch:
        patch.setattr(wire, "_MOST_FIELDS", 0)
        return read(source)


def test_constants_are_those_of_the_library(tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(proto(*arrays()).SerializeToString())
    with wire.apart(path.read_bytes()) as (message, data):
        assert [data.nbytes(i) is not None for i in range(8)] == [True, False, True, False, True, True, False, True]
        assert len(message) < 1500
    expected = whole(path.read_bytes(), monkeypatch)
    assert len(expected) == 8
    assert read(path) == read(path.read_bytes()) == read(bytearray(path.read_bytes())) == expected
    x = np.ones((2, 64), np.float32)
    (y,) = pc.onnx.load(path).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ arrays()[0], rtol=0, atol=1e-4)


def test_arrays_are_aligned_and_read_only(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(proto(*arrays()).SerializeToString())
    for constant in model.read(path).constants.values():
        assert constant.flags.aligned
        assert not constant.flags.writeable
        assert constant.dtype not in (np.float32, np.float64) or not may_change(constant)  # nor any array it is part of


def odd_files():
    message = proto(*arrays())
    source = message.SerializeToString()
    graph = message.graph.SerializeToString()
    head = source[: source.index(graph) - 4]
    double = message.graph.initializer[0].SerializeToString()
    double = double + wire._field(9, b"\0" * 16384)
    yield "two graphs", source + wire._field(7, graph)
    yield "no graph", head
    yield "empty", b""
    yield "data twice", source[: len(head)] + wire._field(7, graph + wire._field(5, double))
    yield "a group", source + bytes([11, 12])
    yield "a long number", source + bytes([8]) + b"\xff" * 12
    yield "a number in 32 bits", source + bytes([255 & (90 << 3 | 5), 5, 1, 2, 3, 4])
    yield "a length beyond the end", source + bytes([10, 100, 1])
    message.graph.initializer[0].dims[0] = 65
    yield "another size", message.SerializeToString()
    message.graph.initializer[0].data_location = TensorProto.EXTERNAL
    yield "external", message.SerializeToString()
    with_function = proto(*arrays(), functions=[helper.make_function("d", "f", ["a"], ["a"], [], [])])
    yield "functions", with_function.SerializeToString()
    for count in (1, 40, 5000, len(source) - 3):
        yield f"truncated at {count}", source[:count]


@pytest.mark.parametrize(("name", "source"), list(odd_files()))
def test_odd_files_are_what_the_library_says(name, source, monkeypatch):
    assert read(source) == whole(source, monkeypatch)


def test_mutants_are_what_the_library_says(monkeypatch):
    source = proto(*arrays()[:2]).SerializeToString()
    rng = np.random.default_rng(5)
    places = np.r_[:60, len(source) - 500 : len(source), source.index(b"w0") - 40 : source.index(b"w0") + 40]
    for _ in range(400):
        mutant = bytearray(source)
        for place in rng.choice(places, rng.integers(1, 4)):
            mutant[place] = rng.integers(256)
        assert read(bytes(mutant)) == whole(bytes(mutant), monkeypatch)


def test_files_are_closed_though_they_be_refused(tmp_path):
    path = tmp_path / "m.onnx"
    for _, source in odd_files():
        path.write_bytes(source)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            read(path)
            gc.collect()


def test_data_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(proto(*arrays()).SerializeToString())
    monkeypatch.setattr(wire.Data, "read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ModelError, match="past the memory limit of 100"):
        model.read(path, 100)


WEIGHTS = """
    <ir_version: 8, opset_import: ["": 17]>
    g (float[N, 8, H, H] x) => (float[N, 16, H, H] y) { c = Conv<pads = [1, 1, 1, 1]>(x, w) y = Add(c, b) }"""


def with_weights(path):
    """A file of one convolution; what it computes of x."""
    rng = np.random.default_rng(1)
    w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((16, 8, 3, 3), (16, 40, 40)))
    message = onnx.parser.parse_model(WEIGHTS)
    message.graph.initializer.extend([numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")])
    path.write_bytes(message.SerializeToString())
    return lambda x: pc.functional.conv2d(x, w, padding=1) + b


@pytest.mark.skipif(not kept.CAN_STAY, reason="weights stay in files where files can be read at a place")
@pytest.mark.parametrize("backend", ["native", "im2col"])
def test_weights_stay_in_a_file_that_may_be_replaced(tmp_path, backend):
    path = tmp_path / "m.onnx"
    expected = with_weights(path)
    constants = model.read(path, stay=True).constants
    assert {name: type(value) for name, value in constants.items()} == {"w": Folded, "b": np.ndarray}
    session = pc.onnx.load(path)
    path.unlink()
    path.write_bytes(b"another")
    x = np.random.default_rng(2).standard_normal((1, 8, 40, 40)).astype(np.float32)
    with pc.backend(backend):
        for batch in (x, np.concatenate([x, x])):
            np.testing.assert_allclose(session.run(None, {"x": batch})[0], expected(batch), rtol=0, atol=2e-5)


@pytest.mark.skipif(not kept.CAN_STAY, reason="weights stay in files where files can be read at a place")
def test_a_file_that_is_written_to_is_noticed(tmp_path):
    path = tmp_path / "m.onnx"
    with_weights(path)
    session = pc.onnx.load(path)
    with path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(ModelError, match="written to after it was loaded"):
        session.run(None, {"x": np.zeros((1, 8, 40, 40), np.float32)})
