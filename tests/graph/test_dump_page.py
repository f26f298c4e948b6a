"""The dump of ResNet-18 in docs/graph.md is what its command writes, and its table counts that."""

import re
from collections import Counter
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "graph.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("### A whole network")[2].partition("\n### ")[0]


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """The folder that the page's command fills."""
    folder = tmp_path_factory.mktemp("page")
    (command,) = re.findall(r"^```python\n(.*?)^```", SECTION, re.S | re.M)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(f"import pyconv as pc\n{command}", str(PAGE), "exec"), {})
    return folder


def lines(dump, file, kind):
    return [line for line in (dump / file).read_text(encoding="utf-8").splitlines() if line.startswith(kind)]


FILES = re.findall(r"from `(resnet18/\S+\.txt)`", SECTION)
EXCERPTS = re.findall(r"^```text\n(.*?)^```", SECTION, re.S | re.M)


def test_the_files_are_the_first_and_the_last(dump):
    assert [dump / file for file in FILES] == [min(dump.glob("*/*.txt")), max(dump.glob("*/*.txt"))]
    assert all((dump / file).with_suffix(".svg").stat().st_size for file in FILES)


@pytest.mark.parametrize(("file", "excerpt"), [*zip(FILES, EXCERPTS, strict=True)], ids=FILES)
def test_excerpts(dump, file, excerpt):
    shown = [line for line in excerpt.splitlines() if line.startswith("%")]
    nodes, constants = lines(dump, file, "%"), lines(dump, file, "c")
    (first,), (last,) = lines(dump, file, "x"), lines(dump, file, "returns")
    expected = [
        first,
        f"({len(constants)} constants)",
        *nodes[: len(shown)],
        f"({len(nodes) - len(shown)} more nodes)",
        last,
    ]
    assert excerpt.splitlines() == expected


def test_table_of_nodes(dump):
    before, after = (Counter(line.split()[1].partition("(")[0] for line in lines(dump, file, "%")) for file in FILES)
    rows = {
        kind.strip("`"): (int(n), int(m))
        for kind, n, m in re.findall(r"^\| (\S+) \| (\d+) \| (\d+) \|$", SECTION, re.M)
    }
    assert rows.pop("all") == (before.total(), after.total())
    assert rows == {kind: (before[kind], after[kind]) for kind in before | after}
