"""A chain of elementwise ops as one, whose intermediate results are never arrays. Made by a pass.

Gradients are taken before ops are fused, so there is no gradient rule here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from pyconv.ops.node import Op


class ChainStep(NamedTuple):
    """A function of two values, of one, or "where": a condition and two values.

    A value is numbered: inputs first, then the chain's own numbers, then the results of the steps before.
    """

    name: str
    values: tuple[int, ...]
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain(Op):
    """y = the last step's result. Of `reads` inputs some have y's shape and dtype, the others are 0-d."""

    steps: tuple[ChainStep, ...]
    reads: int
    numbers: tuple[float, ...] = ()
    kernel: ClassVar[str] = "chain"

    @property
    def in_place(self) -> tuple[int, ...]:
        return tuple(range(self.reads))

    def infer(self, *inputs: Any) -> Any:
        like = next(i for i in inputs if i.shape)
        return like.shape, like.dtype

    def attributes(self, *inputs: Any) -> tuple[Any, ...]:
        return (self.numbers, self.steps)
