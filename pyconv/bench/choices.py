"""Whether `algorithm="auto"` chooses well: every algorithm that can serve a layer is timed beside the chosen one.

A layer is taken as a functional call of arrays in C order, and as a plan has it: channels-last, weights packed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from pyconv import kernels
from pyconv.bench.engines import channels_last
from pyconv.bench.problems import Problem
from pyconv.graph import autotune
from pyconv.kernels.measure import measure

PASSES = ("forward", "backward_data", "backward_weights")
ENOUGH = 1.1  # times the best one: as good as that
SHARE = 0.95  # of the choices that must be


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for one pass of a layer, and the seconds of every algorithm as predicted and as measured."""

    problem: str
    pass_: str
    use: str  # call or plan
    chosen: str
    predicted: dict[str, float]
    measured: dict[str, float]

    @property
    def loss(self) -> float:
        """The chosen one's time over the best one's."""
        return self.measured[self.chosen] / min(self.measured.values())

    def __str__(self) -> str:
        times = (f"{name} {1e3 * s:.3g} ms ({1e3 * self.predicted[name]:.3g})" for name, s in self.measured.items())
        return f"{self.problem:<28}{self.pass_:<17}{self.use:<5}{self.chosen:<9} {self.loss:>5.2f}  {', '.join(times)}"


def run(problems: Sequence[Problem], seconds: float) -> Iterator[Choice]:
    """The choices of the native backend, one after another; `seconds` is what each algorithm gets."""
    for problem in problems:
        for pass_ in PASSES:
            for use in ("call", "plan"):
                choice = None if problem.is_pool else _choice(problem, pass_, use, seconds)
                if choice is not None:
                    yield choice


def summary(choices: Sequence[Choice]) -> str:
    """How many of the choices are good ones, and how near the predictions are."""
    several = [c for c in choices if len(c.measured) > 1]
    good = sum(c.loss <= ENOUGH for c in choices)
    lines = [
        f"{good} of {len(choices)} choices ({good / len(choices):.1%}) within 10 % of the best; "
        f"{good - len(choices) + len(several)} of the {len(several)} with more than one algorithm"
    ]
    ratios = np.log([c.predicted[name] / s for c in choices for name, s in c.measured.items()])
    middle = np.median(ratios)
    near = np.mean(np.abs(ratios - middle) < np.log(1.5))
    lines.append(f"predicted / measured: median {np.exp(middle):.2f}, {near:.0%} within a factor of 1.5 of that")
    return "\n".join(lines)


def good_enough(choices: Sequence[Choice]) -> bool:
    """Whether enough of them are within 10 % of the best."""
    return sum(c.loss <= ENOUGH for c in choices) >= SHARE * len(choices)


def as_json(facts: dict[str, Any], choices: Sequence[Choice]) -> dict[str, Any]:
    """The choices and the machine that they were measured on."""
    return {"machine": facts, "choices": [{**asdict(c), "loss": c.loss} for c in choices]}


def _choice(problem: Problem, pass_: str, use: str, seconds: float) -> Choice | None:
    """None for the weight gradient of a plan, whose operands are those of a call."""
    if use == "plan" and pass_ == "backward_weights":
        return None
    kernel, arguments = _call(problem, pass_, use)
    rows = autotune.candidates(kernel, arguments)
    runs: dict[str, Callable[[], None] | None]
    if use == "plan":
        runs = {row.algorithm: autotune.recorded(row, arguments, True) for row in rows}
    else:
        runs = {row.algorithm: partial(row.function, *arguments) for row in rows}
    predicted = {r.algorithm: r.predict(*arguments, packed=use == "plan") for r in rows if r.predict}
    chosen = kernels.choose(kernel, *arguments).algorithm
    times = measure({name: ready for name, ready in runs.items() if ready is not None}, seconds)
    return Choice(problem.name, pass_, use, chosen, predicted, times)


def _call(problem: Problem, pass_: str, use: str) -> tuple[str, tuple[Any, ...]]:
    """The kernel of a pass and its arguments. A transposed convolution is backward data, and the other way round."""
    arrays = problem.arrays()
    if use == "plan":
        arrays = {name: channels_last(a) if name in ("x", "dy") else a for name, a in arrays.items()}
    x, y, w, b = (arrays[name] for name in ("x", "dy", "w", "b"))
    bias = b if pass_ == "forward" else None
    transposed = problem.kind == "conv_transpose"
    if transposed:  # in terms of the convolution beneath it
        x, y = y, x
    if pass_ == "backward_weights":
        return "conv_backward_weights", (np.empty_like(w), y, x, problem.spec)
    if (pass_ == "forward") != transposed:
        return "conv", (np.empty_like(y), x, w, bias, problem.spec)
    return "conv_backward_data", (np.empty_like(x), y, w, bias, problem.spec)
