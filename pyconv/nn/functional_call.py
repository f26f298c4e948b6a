"""functional_call: a model as a pure function of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyconv.nn.module import Module
from pyconv.nn.trace import Trace, trace


def functional_call(model: Module, state: Mapping[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """Call a model with these values in place of its parameters and buffers; the model itself is left as it is.

    Parameters
    ----------
    model : Module
    state : mapping of str to ndarray or Node
        Values by dotted name; what is not named stays the model's own. A shared parameter may be given under any of its
        names.
    *args, **kwargs
        Handed to the model.

    Returns
    -------
    output : Any
        What the model returned.
    updates : dict of str to ndarray or Node
        New values of the buffers that the call assigned (running statistics, random states).

    Raises
    ------
    ValueError
        If a name is not the model's, or a shape differs.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconv import nn
    >>> layer = nn.Linear(2, 1)
    >>> y, updates = nn.functional_call(layer, {"weight": np.ones((1, 2)), "bias": np.zeros(1)}, np.ones((1, 2)))
    >>> float(y[0, 0]), updates
    (2.0, {})
    """
    outer = trace.get()
    values = {} if outer is None else dict(outer.values)
    buffers = dict(model._named("_buffers"))
    held = {**{name: table[key] for name, table, key in model._slots()}, **buffers}
    for name, value in state.items():
        if name not in held:
            raise ValueError(f"state names {name!r}, which this {type(model).__name__} does not have")
        if tuple(value.shape) != held[name].shape:
            raise ValueError(f"state gives {name} the shape {tuple(value.shape)}; it must be {held[name].shape}")
        values[id(held[name])] = value
    call = Trace(values, {id(array): name for name, array in buffers.items()})
    token = trace.set(call)
    try:
        return model(*args, **kwargs), call.updates
    finally:
        trace.reset(token)
