"""Graphs as values: their text, their pictures, and what a dump writes."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from graph_networks import network, normal

import pyconv as pc
import pyconv.functional as F
from pyconv.graph.dump import picture
from pyconv.graph.layout import reshaped
from pyconv.graph.passes import PASSES
from pyconv.graph.trace import trace
from pyconv.ops.elementwise import Unary


def test_the_text_names_inputs_constants_ops_and_outputs():
    graph, _ = trace(lambda x: F.relu(F.conv2d(x, np.ones((4, 3, 3, 3)), padding=1)), [normal(1, 3, 8, 8)])
    assert str(graph).splitlines() == [
        "x0  input            float64 1×3×8×8",
        "c0  constant         float64 4×3×3×3",
        "%1  Conv(padding=1)  float64 1×4×8×8  x0, c0, -",
        "%2  Unary(relu)      float64 1×4×8×8  %1",
        "returns %2",
    ]


def test_a_dump_has_a_text_and_a_picture_after_each_pass(tmp_path):
    model, (x,) = network("resnet")
    pc.compile(model, x, dump=tmp_path / "new")
    stems = [f"{i:02}-{name}" for i, name in enumerate(["traced", *PASSES])]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(
        f"{stem}.{end}" for stem in stems for end in ("txt", "svg")
    )
    first, last = ((tmp_path / "new" / f"{stem}.txt").read_text(encoding="utf-8") for stem in (stems[0], stems[-1]))
    assert "Normalize" in first
    assert "Normalize" not in last


def test_the_picture_is_svg_with_a_row_for_each_node():
    model, (x,) = network("resnet")
    graph, _ = trace(model, [x])
    root = ElementTree.fromstring(picture(graph))
    rows = root.findall("{http://www.w3.org/2000/svg}text")
    assert len(rows) == 1 + len(graph.nodes)
    assert "output" in rows[-1].text


def test_a_rewrite_may_not_change_a_shape():
    graph, _ = trace(F.relu, [normal(2, 3)])
    with pytest.raises(ValueError, match="shape and dtype must stay"):
        graph.rewrite(lambda node, inputs: F.sum(inputs[0]))


def test_a_rewrite_leaves_the_graph_it_started_from():
    graph, _ = trace(lambda x: F.exp(F.relu(x)), [normal(2, 3)])
    after = graph.rewrite(lambda node, inputs: Unary("tanh")(*inputs) if node.op.name == "relu" else None)
    assert [node.op.name for node in graph.nodes] == ["relu", "exp"]
    assert [node.op.name for node in after.nodes] == ["tanh", "exp"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("shape", "new"),
    [
        ((2, 3, 4), (6, 4)),
        ((2, 3, 4), (2, 12)),
        ((6, 4), (2, 3, 4)),
        ((4, 1, 3), (2, 2, 3, 1)),
        ((1, 1), ()),
        ((6,), (3, 2)),
    ],
)
def test_reshaped_strides_are_numpys(shape, new, order):
    a = np.arange(np.prod(shape)).reshape(shape, order=order)
    view = a.reshape(new)
    strides = reshaped(a.shape, a.strides, new)
    if np.shares_memory(a, view):
        np.testing.assert_array_equal(np.lib.stride_tricks.as_strided(a, new, strides), view)
    else:
        assert strides is None


def test_the_graphs_on_the_page_are_what_its_code_dumps(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "graph.md").read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)
    shown = re.findall(r"^```text\n(.*?)^```", page, re.S | re.M)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in code[:2]:
        exec(compile(block, "docs/graph.md", "exec"), names)
    dumps = sorted((tmp_path / "dump").glob("*.txt"))
    assert shown[:2] == [dumps[0].read_text(encoding="utf-8"), dumps[-1].read_text(encoding="utf-8")]
    for name in PASSES:
        assert f"| `{name}` |" in page
