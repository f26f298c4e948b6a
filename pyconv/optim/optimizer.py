"""What all optimizers share: pure functions from (parameters, gradients, state) to new parameters and a new state.

Nothing is written in place and no optimizer holds a number that changes, so one object may serve many models, a state
can be saved and resumed bit for bit, and the rules, written with operators and `F`, run on arrays or record a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from pyconv.ops.elementwise import Cast
from pyconv.optim.clip import clip_by_norm, clip_by_value

State = dict[str, Any]


@dataclass(frozen=True)
class Optimizer:
    """Base of the optimizers.

    Parameters
    ----------
    lr : float
        The learning rate that `init` puts into the state; setting `state["lr"]` changes it from then on.
    weight_decay : float
        How much of each parameter is added to its gradient (L2 regularisation), unless the optimizer says otherwise.
    clip_value : float, optional
        Bound on each element of the gradients.
    clip_norm : float, optional
        Bound on the norm of all gradients together, after `clip_value`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import optim
    >>> optimizer = optim.SGD(lr=0.1)
    >>> params = {"w": np.ones(2)}
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.update(params, {"w": np.ones(2)}, state)
    >>> params["w"], int(state["step"])
    (array([0.9, 0.9]), 1)
    """

    lr: float = 1e-3
    _: KW_ONLY
    weight_decay: float = 0.0
    clip_value: float | None = None
    clip_norm: float | None = None

    slots: ClassVar[tuple[str, ...]] = ()  # names of the arrays that are kept for each parameter

    def __post_init__(self):
        for name in ("lr", "weight_decay"):
            check(name, getattr(self, name), 0)
        for name in ("clip_value", "clip_norm"):
            if getattr(self, name) is not None:
                check(name, getattr(self, name), 0)

    def init(self, params: Mapping[str, Any]) -> State:
        """The state before the first step: `step` and `lr` (0-d arrays), and per slot an array for each parameter."""
        zeros = {slot: {name: np.zeros_like(p) for name, p in params.items()} for slot in self.active_slots()}
        return {"step": np.asarray(0, np.int64), "lr": np.asarray(self.lr, np.float64), **zeros}

    def update(self, params: Mapping[str, Any], grads: Mapping[str, Any], state: State) -> tuple[dict[str, Any], State]:
        """One step.

        Parameters
        ----------
        params, grads : mapping of str to ndarray or Node
            Under the same names, in the same shapes.
        state : dict
            From `init` or the step before.

        Returns
        -------
        params, state : dict
            New ones; nothing that was given is changed.

        Raises
        ------
        ValueError
            If the names of the three differ.
        """
        slots = self.active_slots()
        _check_names(params, grads, "grads")
        for slot in slots:
            _check_names(params, state.get(slot, {}), f"state[{slot!r}]")
        if self.clip_value is not None:
            grads = clip_by_value(grads, self.clip_value)
        if self.clip_norm is not None:
            grads, _ = clip_by_norm(grads, self.clip_norm)
        step, lr = state["step"] + 1, state["lr"]
        new: dict[str, Any] = {}
        kept: dict[str, dict[str, Any]] = {slot: {} for slot in slots}
        for name, p in params.items():
            new[name], *values = self.rule(p, grads[name], step, lr, *(state[slot][name] for slot in slots))
            for slot, value in zip(slots, values, strict=True):
                kept[slot][name] = value
        return new, {"step": np.asarray(step) if isinstance(step, np.generic) else step, "lr": lr, **kept}

    def active_slots(self) -> tuple[str, ...]:
        """The slots that these settings need."""
        return self.slots

    def rule(self, p: Any, g: Any, step: Any, lr: Any, *slots: Any) -> tuple[Any, ...]:
        """The new parameter and its new slots; `step` counts from 1."""
        raise NotImplementedError(f"{type(self).__name__} has no rule")

    def _decayed(self, p, g):
        """The gradient with the parameter's L2 penalty."""
        return g + p * self.weight_decay if self.weight_decay else g


def scalar(value: Any, like: Any) -> Any:
    """A 0-d value, computed in float64, in the precision of the parameter that it will scale."""
    return Cast(like.dtype)(value)


def check(name: str, value: Any, least: float, below: float = float("inf")) -> None:
    """`value` is a number in [least, below)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not least <= value < below:
        bounds = f"at least {least}" + ("" if below == float("inf") else f" and less than {below}")
        raise ValueError(f"{name} must be {bounds}, not {value}")


def check_betas(betas: Any) -> None:
    """Two decay rates in [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be two numbers, not {betas!r}")
    for i, beta in enumerate(betas):
        check(f"betas[{i}]", beta, 0, 1)


def _check_names(params: Mapping[str, Any], others: Mapping[str, Any], what: str) -> None:
    if params.keys() != others.keys():
        differing = ", ".join(sorted(params.keys() ^ others.keys()))
        raise ValueError(f"{what} must name the same parameters as params; only one of them has {differing}")
