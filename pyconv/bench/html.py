"""A report as one HTML page: the table, a roofline and the ratios of each class, drawn as SVG; it needs no network."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from time import perf_counter

import numpy as np

from pyconv.bench.problems import Problem, find
from pyconv.bench.report import Report, heading

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 420, 70, 45
_COLOURS = (
    "#1f77b4",
    "#d62728",
    "#2ca02c",
    "#ff7f0e",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)
_STYLE = """
body { font: 14px/1.4 sans-serif; margin: 2em auto; max-width: 70em; color: #222 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .1em .7em; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
svg { font: 12px sans-serif; display: block; margin: 1em 0 }
"""


@cache
def bandwidth() -> float:
    """Bytes a second that one thread moves between arrays larger than the caches, read and written ones together."""
    source = np.ones(16 << 20, np.float32)
    target = np.empty_like(source)
    best = math.inf
    for _ in range(6):
        begin = perf_counter()
        np.copyto(target, source)
        best = min(best, perf_counter() - begin)
    return 2 * source.nbytes / best


def write(report: Report, path: str | os.PathLike[str], bytes_a_second: float) -> None:
    """Write the page; `bytes_a_second` is the slope of the roofline."""
    parts = [
        f"<h1>pyconv bench</h1><p>{escape(heading(report.machine))}",
        f"; memory {bytes_a_second / 1e9:.1f} GB/s, by a copy in one thread</p>",
        "<h2>Roofline</h2><p>Operations by the direct algorithm, bytes of each array once.</p>",
        _roofline(report, bytes_a_second),
        "<h2>Best peer's time over ours</h2>",
        _ratios(report),
        "<h2>All measurements</h2>",
        _table(report),
    ]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>pyconv bench</title><style>{_STYLE}</style>'
    Path(path).write_text(page + "\n".join(parts) + "</html>\n", encoding="utf-8")


def _intensity(problem: Problem, pass_: str) -> float:
    """Operations a byte, if each array goes through memory once."""
    shapes = (problem.input_shape, problem.output_shape, problem.weight_shape or (0,))
    return problem.flops(pass_) / (4 * sum(map(math.prod, shapes)) * (2 if pass_ == "backward" else 1))


def _roofline(report: Report, bytes_a_second: float) -> str:
    ran = [(m, find(m.problem)) for m in report.measurements if m.seconds]
    ran = [(m, p) for m, p in ran if not p.is_pool]  # which does no multiply-adds
    if not ran:
        return "<p>No convolution ran.</p>"
    peak = report.machine["peak_flops"]
    points = [(_intensity(p, m.pass_), p.flops(m.pass_) / m.seconds, m) for m, p in ran if m.seconds]
    left, right = min(x for x, *_ in points) / 2, 2 * max(*(x for x, *_ in points), peak / bytes_a_second)
    bottom, top = min(y for _, y, _ in points) / 2, 2 * max(peak, *(y for _, y, _ in points))

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = math.log(x / left) / math.log(right / left), math.log(y / bottom) / math.log(top / bottom)
        return _LEFT + across * (_WIDTH - _LEFT - 20), 10 + (1 - up) * (_HEIGHT - _BOTTOM - 10)

    ridge = max(left, min(right, peak / bytes_a_second))
    roof = [min(max(left, bottom / bytes_a_second), ridge), ridge, right]
    line = " ".join("{:.1f},{:.1f}".format(*place(x, min(peak, x * bytes_a_second))) for x in roof)
    shapes = [f'<polyline points="{line}" fill="none" stroke="black" stroke-dasharray="6 3"/>']
    for power in range(math.ceil(math.log10(left)), math.floor(math.log10(right)) + 1):
        x, _ = place(10.0**power, bottom)
        shapes.append(f'<text x="{x:.1f}" y="{_HEIGHT - 25}" text-anchor="middle">{10.0**power:g}</text>')
    for power in range(math.ceil(math.log10(bottom)), math.floor(math.log10(top)) + 1):
        _, y = place(left, 10.0**power)
        shapes.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power / 1e9:g}</text>')
        shapes.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 20}" stroke="#ddd"/>')
    engines = list(dict.fromkeys(m.engine for m, _ in ran))
    for intensity, speed, m in points:
        x, y = place(intensity, speed)
        text = escape(f"{m.problem} {m.pass_} {m.engine}: {speed / 1e9:.3g} GFLOP/s")
        colour = _COLOURS[engines.index(m.engine) % len(_COLOURS)]
        shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{text}</title></circle>')
    shapes += _legend(engines)
    shapes.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 5}" text-anchor="middle">FLOP a byte; upwards GFLOP/s</text>')
    return _svg(_HEIGHT, shapes)


def _ratios(report: Report) -> str:
    """A bar a class, pass and engine of ours: the geometric mean."""
    classes: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for (problem, pass_, engine), ratio in report.ratios().items():
        classes[find(problem).group, pass_, engine].append(ratio)
    if not classes:
        return "<p>No peer ran.</p>"
    means = {key: math.exp(sum(map(math.log, found)) / len(found)) for key, found in sorted(classes.items())}
    engines = list(dict.fromkeys(engine for *_, engine in means))
    scale = (_WIDTH - 330) / max(1.0, *means.values())
    shapes = []
    for i, ((group, pass_, engine), mean) in enumerate(means.items()):
        y, colour = 30 + 18 * i, _COLOURS[engines.index(engine) % len(_COLOURS)]
        shapes.append(f'<text x="250" y="{y + 11}" text-anchor="end">{escape(f"{group} {pass_} {engine}")}</text>')
        shapes.append(f'<rect x="260" y="{y}" width="{mean * scale:.1f}" height="14" fill="{colour}"/>')
        shapes.append(f'<text x="{265 + mean * scale:.1f}" y="{y + 11}">{mean:.2f}</text>')
    height = 40 + 18 * len(means)
    shapes.append(f'<path d="M{260 + scale:.1f} 20V{height}" stroke="black" stroke-dasharray="4 3"/>')
    return _svg(height, shapes)


def _table(report: Report) -> str:
    ratios = report.ratios()
    names = ("problem", "pass", "engine", "ms", "GFLOP/s", "of peak", "ratio", "error")
    rows = ["<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"]
    for m in report.measurements:
        problem = find(m.problem)
        cells = [m.problem, m.pass_, m.engine]
        if m.seconds is None:
            rows.append(f"<tr>{_cells(cells)}<td colspan=5>{escape(m.note)}</td></tr>")
            continue
        speed, ratio = problem.flops(m.pass_) / m.seconds, ratios.get((m.problem, m.pass_, m.engine))
        cells += [f"{1e3 * m.seconds:.4g}", f"{speed / 1e9:.1f}"]
        cells.append("" if problem.is_pool else f"{speed / report.machine['peak_flops']:.0%}")
        cells += ["" if ratio is None else f"{ratio:.2f}", "" if m.error is None else f"{m.error:.1e}"]
        rows.append(f"<tr>{_cells(cells)}</tr>")
    return "<table>" + "\n".join(rows) + "</table>"


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def _legend(engines: Sequence[str]) -> list[str]:
    lines = []
    for i, name in enumerate(engines):
        y, colour = _HEIGHT - _BOTTOM - 16 * (len(engines) - i), _COLOURS[i % len(_COLOURS)]
        lines.append(f'<text x="{_WIDTH - 130}" y="{y}" fill="{colour}">{escape(name)}</text>')
    return lines


def _svg(height: int, shapes: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">' + "\n".join(shapes) + "</svg>"
