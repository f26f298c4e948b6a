"""Dumps: a graph as text and as a picture, one pair of files for each pass."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from itertools import count
from os import PathLike
from pathlib import Path

from pyconv.graph.graph import Graph, array_text, op_text

_ROW, _WIDTH, _BEND = 26, 560, 14  # pixels: the height of a row, the width of the text, how far an edge bends out


def dump_to(folder: str | PathLike[str]) -> Callable[[str, Graph], None]:
    """A watcher of passes that writes `00-traced.txt`, `00-traced.svg` and so on into a folder, which it makes."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = count()

    def watch(name: str, graph: Graph) -> None:
        stem = f"{next(numbers):02}-{name}"
        (folder / f"{stem}.txt").write_text(f"{graph}\n", encoding="utf-8")
        (folder / f"{stem}.svg").write_text(picture(graph), encoding="utf-8")

    return watch


def picture(graph: Graph) -> str:
    """The graph as SVG: a row for each input and node, top to bottom, and an arc from each to those that read it.

    What only the next row reads needs no arc to be found, so the arcs that reach far out are the network's branches.
    """
    names = graph.names()
    rows = [*graph.inputs, *graph.nodes]
    place = {id(node): i for i, node in enumerate(rows)}
    returned = {id(o) for o in graph.outputs}
    parts = []
    for i, node in enumerate(rows):
        y = _ROW * (i + 1)
        text = f"{names[id(node)]}  {op_text(node) if node.op else 'input'}  {array_text(node)}"
        text += "  → output" if id(node) in returned else ""
        parts.append(f'<text x="8" y="{y}">{escape(text)}</text>')
        for source in {id(s) for s in node.inputs if s is not None and id(s) in place}:
            above = _ROW * (place[source] + 1)
            bend = _WIDTH + _BEND * min(i - place[source], 20)
            parts.append(f'<path d="M{_WIDTH} {above - 4} C{bend} {above - 4} {bend} {y - 4} {_WIDTH} {y - 4}"/>')
    size = f'width="{_WIDTH + 20 * _BEND}" height="{_ROW * (len(rows) + 1)}"'
    style = "text{font:13px monospace;white-space:pre}path{fill:none;stroke:#357}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>\n' + "\n".join(parts) + "\n</svg>\n"
