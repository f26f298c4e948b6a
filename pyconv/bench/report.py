"""What a run found: a table, JSON that two commits can be compared by, and a bar chart."""

from __future__ import annotations

import json
import math
import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pyconv._extras import require
from pyconv.bench.problems import Problem, find
from pyconv.bench.timing import Measurement
from pyconv.config import show_config
from pyconv.kernels.machine import cpu_name

VERSION = 1
_PACKAGES = ("numba", "torch", "onnxruntime", "openvino", "scipy")


@dataclass(slots=True)
class Report:
    """Measurements and the machine they were taken on."""

    machine: dict[str, Any]
    measurements: list[Measurement]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON."""
        content = {"version": VERSION, "machine": self.machine, "measurements": [asdict(m) for m in self.measurements]}
        Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["version"] != VERSION:
                raise ValueError(f"its version is {content['version']}, not {VERSION}")
            return cls(content["machine"], [Measurement(**m) for m in content["measurements"]])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a report of `pyconv bench --json`: {error}") from error

    def ratios(self, references: set[str] | None = None) -> dict[tuple[str, str, str], float]:
        """(problem, pass, engine of ours) -> best reference's time over ours; above 1 we are faster.

        `references` names the engines to hold the others against (default: all peers).
        """
        if references is None:
            references = self.peers
        best: dict[tuple[str, str], float] = {}
        for m in self.measurements:
            if m.engine in references and m.seconds is not None:
                key = (m.problem, m.pass_)
                best[key] = min(m.seconds, best.get(key, math.inf))
        return {
            (m.problem, m.pass_, m.engine): best[m.problem, m.pass_] / m.seconds
            for m in self.measurements
            if not (m.peer or m.engine in references) and m.seconds is not None and (m.problem, m.pass_) in best
        }

    @property
    def peers(self) -> set[str]:
        """The peers that ran."""
        return {m.engine for m in self.measurements if m.peer and m.seconds is not None}


def machine(threads: int, peak: float, peak_method: str) -> dict[str, Any]:
    """The facts that times depend on."""
    config = show_config("dict")
    assert config is not None
    versions = dict(config["versions"])
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cpu": cpu_name(),
        "isa": config["isa"],
        "cores": os.cpu_count(),
        "threads": threads,
        "peak_flops": peak,
        "peak_method": peak_method,
        "system": platform.platform(),
        "blas": config["blas"],
        "versions": versions,
        "environment": {n: v for n, v in sorted(os.environ.items()) if n.startswith(("PYCONV_", "ONEDNN_", "ATEN_"))},
    }


def heading(facts: dict[str, Any]) -> str:
    """One line on the machine."""
    peak = facts["peak_flops"] / 1e9
    isa = facts["isa"] or "no C kernels"
    return f"{facts['cpu']}, {isa}, threads: {facts['threads']}, peak {peak:.0f} GFLOP/s by {facts['peak_method']}"


def table(
    problem: Problem, measurements: Sequence[Measurement], peak: float, references: set[str] | None = None
) -> str:
    """The engines on one pass of one problem, fastest first; those that did not run say why."""
    pass_ = measurements[0].pass_
    ratios = Report({}, list(measurements)).ratios(references)
    lines = [f"{problem.name} {pass_}: {problem}"]
    lines.append(f"  {'engine':<12}{'time':>12}{'GFLOP/s':>10}{'of peak':>9}{'ratio':>8}{'error':>10}")
    for m in sorted(measurements, key=lambda m: m.seconds or math.inf):
        if m.seconds is None:
            lines.append(f"  {m.engine:<12}{'–':>12}  {m.note}")
            continue
        speed = problem.flops(pass_) / m.seconds
        share = "–" if problem.is_pool else f"{speed / peak:.0%}"  # a pooling does no multiply-adds
        ratio = ratios.get((m.problem, m.pass_, m.engine))
        lines.append(
            f"  {m.engine:<12}{_duration(m.seconds):>12}{speed / 1e9:>10.2f}{share:>9}"
            f"{'–' if ratio is None else f'{ratio:.2f}':>8}{'–' if m.error is None else f'{m.error:.1e}':>10}"
        )
    return "\n".join(lines)


def summary(report: Report, references: set[str] | None = None) -> str:
    """Best reference over ours in time, an engine and class of problems a line: geometric mean, least, where."""
    classes: dict[tuple[str, str, str], list[tuple[float, str]]] = defaultdict(list)
    for (problem, pass_, engine), ratio in report.ratios(references).items():
        classes[engine, pass_, find(problem).group].append((ratio, problem))
    who = "best peer" if references is None else ", ".join(sorted(references))
    if not classes:
        return f"no ratios: {who} did not run"
    lines = [f"{f'time of {who} / ours':<40}{'mean':>8}{'least':>8}"]
    for (engine, pass_, group), found in sorted(classes.items()):
        mean = math.exp(sum(math.log(ratio) for ratio, _ in found) / len(found))
        least, where = min(found)
        lines.append(f"  {engine:<12}{pass_:<17}{group:<11}{mean:>6.2f}{least:>8.2f}  {where}")
    return "\n".join(lines)


def slower(report: Report, references: set[str] | None = None) -> str:
    """Of our best engine a pass: geometric mean and least ratio, and where the best reference is quicker."""
    best: dict[str, dict[str, float]] = defaultdict(dict)
    for (problem, pass_, _), ratio in report.ratios(references).items():
        best[pass_][problem] = max(ratio, best[pass_].get(problem, 0.0))
    lines = [f"{'our best engine':<18}{'problems':>9}{'mean':>8}{'least':>8}{'below 1':>9}"]
    for pass_, found in best.items():
        mean = math.exp(sum(map(math.log, found.values())) / len(found))
        below = sorted((ratio, problem) for problem, ratio in found.items() if ratio < 1)
        lines.append(f"{pass_:<18}{len(found):>9}{mean:>8.2f}{min(found.values()):>8.2f}{len(below):>9}")
        lines += [f"  {ratio:.2f}  {problem:<14}{find(problem)}" for ratio, problem in below]
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}" if seconds < 1000 * scale else f"{seconds / scale:.0f} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


@dataclass(frozen=True, slots=True)
class Regression:
    """A ratio to the best peer that has fallen."""

    problem: str
    pass_: str
    engine: str
    before: float
    after: float

    def __str__(self) -> str:
        change = 1 - self.after / self.before
        return f"{self.problem} {self.pass_} {self.engine}: {self.before:.2f} -> {self.after:.2f} ({change:.0%} slower)"


def compare(old: Report, new: Report, tolerance: float = 0.1) -> list[Regression]:
    """Where the new ratio to the best peer lies more than `tolerance` under the old one, worst first.

    Ratios count only the peers that are in both reports, and the rows that are.

    Raises
    ------
    ValueError
        If the reports share no peer or no row, so that nothing can be compared.
    """
    peers = old.peers & new.peers
    before, after = old.ratios(peers), new.ratios(peers)
    common = before.keys() & after.keys()
    if not common:
        raise ValueError("the reports cannot be compared: they share no problem that both ours and a common peer ran")
    fallen = [Regression(*key, before[key], after[key]) for key in common if after[key] < (1 - tolerance) * before[key]]
    return sorted(fallen, key=lambda r: (r.after / r.before, r.problem, r.pass_, r.engine))


def plot(report: Report, path: str | os.PathLike[str]) -> None:
    """Bars of GFLOP/s, one chart a pass and a group of bars a problem, the machine's peak as a line; written as PNG."""
    require("matplotlib", "bench").use("agg")
    pyplot = require("matplotlib.pyplot", "bench")
    ran = [m for m in report.measurements if m.seconds is not None]
    passes = _unique(m.pass_ for m in ran)
    engines = _unique(m.engine for m in ran)
    rows = max(len(passes), 1)
    widest = max((len(_unique(m.problem for m in ran if m.pass_ == p)) for p in passes), default=1)
    size = (max(8.0, 0.9 * widest), 4.5 * rows)
    figure, charts = pyplot.subplots(rows, 1, figsize=size, squeeze=False, layout="constrained")
    for pass_, chart in zip(passes, charts[:, 0], strict=False):
        problems = _unique(m.problem for m in ran if m.pass_ == pass_)
        width = 0.8 / len(engines)
        for i, engine in enumerate(engines):
            mine = [m for m in ran if m.pass_ == pass_ and m.engine == engine]
            if not mine:
                continue
            places = [problems.index(m.problem) + (i - (len(engines) - 1) / 2) * width for m in mine]
            speeds = [find(m.problem).flops(pass_) / m.seconds / 1e9 for m in mine if m.seconds]
            chart.bar(places, speeds, width, label=engine, color=pyplot.get_cmap("tab20")(i % 20))
        chart.axhline(report.machine["peak_flops"] / 1e9, color="black", linestyle="--", linewidth=1, label="peak")
        chart.set(title=pass_, yscale="log", ylabel="GFLOP/s", xlim=(-0.6, len(problems) - 0.4))
        chart.set_xticks(range(len(problems)), problems, rotation=30, ha="right")
        chart.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    figure.suptitle(heading(report.machine))
    figure.savefig(path, format="png", dpi=100)
    pyplot.close(figure)


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
