"""One step's loss and gradients: weights of samples and classes, mixup, and batches that are run in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from pyconv import nn
from pyconv.data.loader import Batch
from pyconv.graph.transforms import value_and_grad
from pyconv.train.losses import weighted

_MIXUP = 2  # a stream of random numbers beside those of the loader


class Objective(NamedTuple):
    """What training minimises: a loss, with what each class counts (K,), if not the same."""

    loss: Callable[..., Any]
    class_weights: np.ndarray | None

    def __call__(self, output: Any, batch: Batch) -> Any:
        """The batch's mean loss, over samples as they count."""
        weights = self.weights(batch)
        return self.loss(output, batch.y) if weights is None else weighted(self.loss, output, batch.y, weights)

    def weights(self, batch: Batch) -> np.ndarray | None:
        """What each sample counts, by itself and by its class; None where all count the same."""
        if self.class_weights is None:
            return batch.weights
        by_class = self.class_weights[batch.y]
        return by_class if batch.weights is None else batch.weights * by_class


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


def loss_and_gradients(
    model: nn.Module,
    params: dict[str, np.ndarray],
    objective: Objective,
    batch: Batch,
    parts: int = 1,
    mix: Callable[[Batch, int], tuple[Batch, Batch, float]] | None = None,
) -> tuple[float, dict[str, np.ndarray], np.ndarray]:
    """The batch's loss, its gradients by `params`, and the model's outputs; the model's buffers are brought up to date.

    With `parts` the batch is run in so many pieces, whose gradients are added in the share of what each weighs.
    """
    loss, total, outputs = 0.0, {}, []
    for number, (part, share) in enumerate(_divided(batch, objective.weights(batch), parts)):
        value, grads, output = _one_part(model, params, objective, part, None if mix is None else mix(part, number))
        loss += share * value
        outputs.append(output)
        if share == 1:
            total = grads
        else:
            total = {name: share * g + total.get(name, 0) for name, g in grads.items()}
    return loss, total, outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def _one_part(
    model: nn.Module,
    params: dict[str, np.ndarray],
    objective: Objective,
    batch: Batch,
    mixed: tuple[Batch, Batch, float] | None,
) -> tuple[float, dict[str, np.ndarray], np.ndarray]:
    def cost(values):
        if mixed is None:
            output, updates = nn.functional_call(model, values, batch.x)
            return objective(output, batch), (output, updates)
        own, partners, share = mixed
        output, updates = nn.functional_call(model, values, own.x)
        return objective(output, own) * share + objective(output, partners) * (1 - share), (output, updates)

    (loss, (output, updates)), grads = value_and_grad(cost, has_aux=True)(params)
    buffers = dict(model.named_buffers())
    for name, value in updates.items():
        np.copyto(buffers[name], value)
    return float(loss), grads, output


def _divided(batch: Batch, weights: np.ndarray | None, count: int) -> Iterator[tuple[Batch, float]]:
    """The batch in at most `count` nearly equal parts, each with its share of what the whole weighs."""
    count = min(count, len(batch.x))
    if count <= 1:
        yield batch, 1.0
        return
    weights = np.ones(len(batch.x)) if weights is None else weights
    total = max(float(weights.sum()), 1e-12)
    for chosen in np.array_split(np.arange(len(batch.x)), count):
        part = slice(chosen[0], chosen[-1] + 1)
        own = None if batch.weights is None else batch.weights[part]
        yield Batch(batch.x[part], batch.y[part], own, batch.position), float(weights[part].sum()) / total
