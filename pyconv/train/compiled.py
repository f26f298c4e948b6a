"""A whole step of training as one plan: forward, loss, gradients, clipping, update, statistics, averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyconv import optim
from pyconv.graph.compile import compile_step
from pyconv.graph.plan import Plan
from pyconv.nn.module import Module
from pyconv.train.losses import as_loss
from pyconv.train.step import Inputs, TrainingStep


def compile_training_step(
    model: Module,
    loss: str | Callable[..., Any],
    optimizer: Any,
    *examples: Any,
    optimizer_state: dict[str, Any] | None = None,
    ema: optim.EMA | None = None,
    average: dict[str, Any] | None = None,
    accumulate: int = 1,
    recompute: bool = False,
    **options: Any,
) -> Plan:
    """Compile a step of training for batches of given shapes.

    `Trainer` does so by itself; this is for loops of your own.

    Parameters
    ----------
    model : Module
        Compiled in the mode that each of its modules is in now; each step writes into its parameters and buffers.
    loss : str or callable
        The name of a loss, as `Trainer` takes it, or a function of (output, target), in terms of `pyconv.functional`,
        that gives the mean over the batch.
    optimizer : optimizer of `pyconv.optim`
    *examples
        What the batch's x and y will be like, as for `pyconv.compile`; a third input is what each sample counts.
    optimizer_state : dict, optional
        From ``optimizer.init``; each step writes into its arrays, so ``optimizer_state["lr"][...] = 1e-4`` changes the
        rate of those to come. A new one by default.
    ema : optim.EMA, optional
        Keep a moving average of the weights and of batch norm's statistics.
    average : dict, optional
        The state of `ema`, written by each step. A new one by default.
    accumulate : int
        Run the batch in so many parts and add their gradients.
    recompute : bool
        Compute cheap activations again in the backward pass rather than keep them: less memory for some time.
    **options
        Those of `pyconv.compile`.

    Returns
    -------
    Plan
        ``plan(x, y)`` runs a step and returns (loss, output), both from before the update. A step whose loss is NaN or
        infinite leaves everything as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn, optim
    >>> from pyconv.train.compiled import compile_training_step
    >>> model = nn.Linear(4, 3)
    >>> step = compile_training_step(model, "cross_entropy", optim.SGD(lr=0.1), (2, 4), ((2,), "int64"))
    >>> x, y = np.eye(2, 4, dtype=np.float32), np.array([0, 2])
    >>> first, _ = step(x, y)
    >>> bool(step(x, y)[0] < first)
    True
    """
    step = TrainingStep(model, as_loss(loss), optimizer, ema, accumulate)
    state = step.state(optimizer_state, average)
    return compile_step(
        lambda state, *batch: step(state, Inputs(*batch)), state, *examples, recompute=recompute, **options
    )
