"""A whole step of training as one plan: forward, loss, gradients, clipping, update, statistics, random states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyconv.graph.compile import compile_step
from pyconv.graph.plan import Plan
from pyconv.graph.transforms import value_and_grad
from pyconv.nn.functional_call import functional_call
from pyconv.nn.module import Module


def compile_training_step(
    model: Module,
    loss: Callable[..., Any],
    optimizer: Any,
    *examples: Any,
    optimizer_state: dict[str, Any] | None = None,
    **options: Any,
) -> Plan:
    """Compile a step of training for batches of given shapes.

    Parameters
    ----------
    model : Module
        Compiled in the mode that each of its modules is in now; each step writes into its parameters and buffers.
    loss : callable
        Of (output, target), in terms of `pyconv.functional`; gives the mean over the batch.
    optimizer : optimizer of `pyconv.optim`
    *examples
        What the batch's x and y will be like, as for `pyconv.compile`.
    optimizer_state : dict, optional
        From ``optimizer.init``; each step writes into its arrays, so ``optimizer_state["lr"][...] = 1e-4`` changes the
        rate of those to come. A new one by default.
    **options
        Those of `pyconv.compile`.

    Returns
    -------
    Plan
        ``plan(x, y)`` runs a step and returns (loss, output), both from before the update.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconv.functional as F
    >>> from pyconv import nn, optim
    >>> from pyconv.train.compiled import compile_training_step
    >>> model = nn.Linear(4, 3)
    >>> step = compile_training_step(model, F.cross_entropy, optim.SGD(lr=0.1), (2, 4), ((2,), "int64"))
    >>> x, y = np.eye(2, 4, dtype=np.float32), np.array([0, 2])
    >>> first, _ = step(x, y)
    >>> bool(step(x, y)[0] < first)
    True
    """
    params, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    state = {
        "params": params,
        "buffers": buffers,
        "optimizer": optimizer.init(params) if optimizer_state is None else optimizer_state,
    }

    def step(state, x, y):
        def cost(params):
            output, updates = functional_call(model, {**params, **state["buffers"]}, x)
            return loss(output, y), (output, updates)

        (value, (output, updates)), grads = value_and_grad(cost, has_aux=True)(state["params"])
        new, kept = optimizer.update(state["params"], grads, state["optimizer"])
        return (value, output), {"params": new, "buffers": {**state["buffers"], **updates}, "optimizer": kept}

    return compile_step(step, state, *examples, **options)
