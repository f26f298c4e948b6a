"""One step of training as a function of a state and a batch: it computes on arrays and records on nodes.

Weights of samples and classes, mixup, batches that are run in parts, the optimizer's update and the average of the
weights are all here; `stepper.py` runs it, op by op or as one plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import pyconv.functional as F
from pyconv import nn, optim
from pyconv.data.loader import Batch
from pyconv.graph.transforms import value_and_grad
from pyconv.ops.elementwise import Cast
from pyconv.train.average import averaged
from pyconv.train.losses import mean_loss

_MIXUP = 2  # a stream of random numbers beside those of the loader

State = dict[str, Any]  # params, buffers, optimizer, average: dicts of arrays, or of the nodes that stand for them


class Inputs(NamedTuple):
    """What a step takes of a batch of B samples: arrays, or the nodes that stand for them; None where left out."""

    x: Any
    y: Any
    weights: Any = None  # (B,): what each sample counts
    partner_y: Any = None  # targets of the samples that mixup mixed in
    partner_weights: Any = None
    shares: Any = None  # (parts,): of the samples' own targets, in each part

    def part(self, begin: int, end: int) -> Inputs:
        """Some of the samples."""
        by_sample = {name: a[begin:end] for name, a in self._asdict().items() if a is not None and name != "shares"}
        return Inputs(**by_sample, shares=self.shares)


@dataclass(frozen=True)
class TrainingStep:
    """Forward, loss, backward; clipping and update; statistics, random states and averages.

    A batch is run in up to `parts` nearly equal parts, whose gradients are added in the share of what each weighs.
    """

    model: nn.Module
    loss: Callable[..., Any]
    optimizer: Any
    ema: optim.EMA | None = None
    parts: int = 1

    def state(self, optimizer_state: State | None = None, average: State | None = None) -> State:
        """The model's own arrays, and the optimizer's and the average's; new ones where none are given."""
        params, buffers = dict(self.model.named_parameters()), dict(self.model.named_buffers())
        if optimizer_state is None:
            optimizer_state = self.optimizer.init(params)
        if average is None:
            average = {} if self.ema is None else self.ema.init(averaged(params, buffers))
        return {"params": params, "buffers": buffers, "optimizer": optimizer_state, "average": average}

    def gradients(self, state: State, batch: Inputs) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
        """The batch's mean loss, the model's outputs, the gradients by parameters, and the buffers afterwards."""
        buffers, loss, outputs = state["buffers"], None, []
        total: dict[str, Any] = {}
        bounds = list(pairwise(divided(batch.x.shape[0], self.parts)))
        for number, (begin, end) in enumerate(bounds):
            alone = len(bounds) == 1
            part = batch if alone else batch.part(begin, end)
            value, output, grads, buffers = self._of_part(state["params"], buffers, part, number)
            if not alone:
                share = _share(batch, part)
                value, grads = _scaled(value, share), {name: _scaled(g, share) for name, g in grads.items()}
            loss = value if loss is None else loss + value
            total = {name: total[name] + g for name, g in grads.items()} if total else grads
            outputs.append(output)
        return loss, outputs[0] if len(outputs) == 1 else F.concat(outputs, 0), total, buffers

    def update(self, state: State, grads: dict[str, Any], buffers: dict[str, Any]) -> State:
        """The state after a step with these gradients."""
        params, optimizer_state = self.optimizer.update(state["params"], grads, state["optimizer"])
        average = state["average"]
        if self.ema is not None:
            average = self.ema.update(averaged(params, buffers), average)
        return {"params": params, "buffers": buffers, "optimizer": optimizer_state, "average": average}

    def __call__(self, state: State, batch: Inputs) -> tuple[tuple[Any, Any], State]:
        """(loss, output), and the state after the step: the old one if the loss is NaN or infinite."""
        loss, output, grads, buffers = self.gradients(state, batch)
        finite = F.abs(loss) <= np.finfo(loss.dtype).max
        return (loss, output), _chosen(finite, self.update(state, grads, buffers), state)

    def _of_part(
        self, params: dict[str, Any], buffers: dict[str, Any], batch: Inputs, number: int
    ) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
        def cost(params):
            output, updates = nn.functional_call(self.model, {**params, **buffers}, batch.x)
            value = mean_loss(self.loss, output, batch.y, batch.weights)
            if batch.shares is not None:
                share = Cast(value.dtype)(F.reshape(batch.shares[number : number + 1], ()))
                value = value * share + mean_loss(self.loss, output, batch.partner_y, batch.partner_weights) * (
                    1 - share
                )
            return value, (output, updates)

        (value, (output, updates)), grads = value_and_grad(cost, has_aux=True)(params)
        return value, output, grads, {**buffers, **updates}


class Mixup(NamedTuple):
    """Each sample is mixed with another of its batch, in the share Beta(alpha, alpha), and so is the loss.

    Zhang et al., mixup: beyond empirical risk minimization, 2018.
    """

    alpha: float
    seed: int

    def mix(self, batch: Batch, epoch: int, part: int) -> tuple[Batch, Batch, float]:
        """The batch with mixed inputs, the batch of the partners' targets, and the share of the batch's own."""
        rng = np.random.default_rng([self.seed, epoch, batch.position, _MIXUP, part])
        share = float(rng.beta(self.alpha, self.alpha))
        order = rng.permutation(len(batch.x))
        partners = Batch(
            batch.x[order], batch.y[order], None if batch.weights is None else batch.weights[order], batch.position
        )
        x = batch.x * batch.x.dtype.type(share) + partners.x * batch.x.dtype.type(1 - share)
        return batch._replace(x=x), partners, share

    def inputs(self, batch: Batch, epoch: int, parts: int) -> Inputs:
        """The batch with each part mixed within itself."""
        mixed = []
        for number, (begin, end) in enumerate(pairwise(divided(len(batch.x), parts))):
            weights = None if batch.weights is None else batch.weights[begin:end]
            part = Batch(batch.x[begin:end], batch.y[begin:end], weights, batch.position)
            mixed.append(self.mix(part, epoch, number))
        own, partners, shares = zip(*mixed, strict=True)
        return Inputs(
            np.concatenate([part.x for part in own]),
            batch.y,
            batch.weights,
            np.concatenate([part.y for part in partners]),
            None if batch.weights is None else np.concatenate([part.weights for part in partners]),
            np.array(shares),
        )


def divided(size: int, parts: int) -> list[int]:
    """Where at most so many nearly equal parts of a batch begin, and where the last ends."""
    count = max(1, min(parts, size))
    return [-(-size * k // count) for k in range(count + 1)]


def _share(whole: Inputs, part: Inputs) -> Any:
    """How much of the whole batch's weight a part has."""
    if whole.weights is None:
        return part.x.shape[0] / whole.x.shape[0]
    return F.sum(part.weights) / F.maximum(F.sum(whole.weights), 1e-12)


def _scaled(value: Any, share: Any) -> Any:
    return value * (share if isinstance(share, float) else Cast(value.dtype)(share))


def _chosen(condition: Any, new: Any, old: Any) -> Any:
    """A tree of the new values if the condition holds, of the old ones otherwise."""
    if isinstance(old, dict):
        return {name: _chosen(condition, new[name], value) for name, value in old.items()}
    if new is old:
        return old
    if old.dtype.kind == "u":  # kernels choose among numbers that a float can stand for
        return old + (new - old) * condition
    return F.where(condition, new, old)


def sample_weights(batch: Batch, class_weights: np.ndarray | None) -> np.ndarray | None:
    """What each sample counts, by itself and by its class, in the inputs' precision; None where all count the same."""
    weights = batch.weights
    if class_weights is not None:
        by_class = class_weights[batch.y]
        weights = by_class if weights is None else weights * by_class
    if weights is None:
        return None
    return np.asarray(weights, batch.x.dtype if batch.x.dtype.kind == "f" else None)
