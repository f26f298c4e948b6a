"""LSTM and GRU, written out step by step: what does not depend on the step before is one product for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

import pyconv.functional as F
from pyconv.onnx.registry import UnsupportedError, floats, operator, static

LONGEST = 512  # steps that a plan is made of


@operator("LSTM", since=7)
def lstm(
    x,
    w,
    r,
    b=None,
    lengths=None,
    first_h=None,
    first_c=None,
    peepholes=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    input_forget=0,
    layout=0,
):
    """Gates in the order input, output, forget, cell."""
    floats(x, w, r, b, first_h, first_c, peepholes)
    if input_forget:
        raise UnsupportedError("coupled gates")

    def step(state, gates, parts):
        h, c = state
        total = F.add(gates, F.linear(h, parts["r"]))
        i, o, f, g = F.split(total, r.shape[-1], 1)
        if parts["p"] is not None:
            i, f = F.add(i, F.mul(parts["p"][0], c)), F.add(f, F.mul(parts["p"][2], c))
        c = F.add(F.mul(F.sigmoid(f), c), F.mul(F.sigmoid(i), F.tanh(g)))
        if parts["p"] is not None:
            o = F.add(o, F.mul(parts["p"][1], c))
        return F.mul(F.sigmoid(o), F.tanh(c)), c

    def parts(d):
        p = None if peepholes is None else F.split(peepholes[d], r.shape[-1], 0)
        return {"r": r[d], "w": w[d], "b": None if b is None else _summed(b[d]), "p": p}

    _check(x, lengths, activations, ("Sigmoid", "Tanh", "Tanh"), activation_alpha, activation_beta, clip, layout)
    y, (h, c) = _recurrent(x, (first_h, first_c), r, direction, layout, step, parts)
    return y, h, c


@operator("GRU", since=7)
def gru(
    x,
    w,
    r,
    b=None,
    lengths=None,
    first_h=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    layout=0,
    linear_before_reset=0,
):
    """Gates in the order update, reset, hidden."""
    floats(x, w, r, b, first_h)
    size = r.shape[-1]

    def step(state, gates, parts):
        (h,) = state
        zr, n = F.split(gates, [2 * size, size], 1)
        z, reset = F.split(F.sigmoid(F.add(zr, F.linear(h, parts["r"]))), size, 1)
        if linear_before_reset:
            n = F.add(n, F.mul(reset, F.linear(h, parts["rh"], parts["bh"])))
        else:
            n = F.add(n, F.linear(F.mul(reset, h), parts["rh"], parts["bh"]))
        n = F.tanh(n)
        return (F.add(n, F.mul(z, F.sub(h, n))),)

    def parts(d):
        weight, recurrent = w[d], r[d]
        found = {"w": weight, "r": recurrent[: 2 * size], "rh": recurrent[2 * size :], "b": None, "bh": None}
        if b is not None:
            of_x, of_h = F.split(b[d], 3 * size, 0)
            zeros = np.zeros(size, x.dtype)
            found["b"] = F.add(of_x, F.concat([of_h[: 2 * size], zeros], 0))
            found["bh"] = of_h[2 * size :]
        return found

    _check(x, lengths, activations, ("Sigmoid", "Tanh"), activation_alpha, activation_beta, clip, layout)
    y, (h,) = _recurrent(x, (first_h,), r, direction, layout, step, parts)
    return y, h


def _check(x, lengths, activations, usual, alpha, beta, clip, layout):
    steps, batch = x.shape[:2] if not layout else x.shape[1::-1]
    if any(name not in usual or name != usual[i % len(usual)] for i, name in enumerate(activations or ())):
        raise UnsupportedError("other activations")
    if alpha or beta or clip is not None:
        raise UnsupportedError("activations with parameters, or clipped")
    if lengths is not None and (static(lengths) != steps).any():
        raise UnsupportedError("sequences of different lengths")
    if not 0 < steps <= LONGEST or batch == 0:
        raise UnsupportedError(f"sequences of {steps} steps")


def _recurrent(x, first, r, direction, layout, step, parts):
    """Outputs (T, D, N, H) of all steps, and the state (D, N, H) after the last."""
    if direction not in ("forward", "reverse", "bidirectional") or r.shape[0] != 1 + (direction == "bidirectional"):
        raise ValueError(f"direction must go with the {r.shape[0]} directions of the weights, not be {direction!r}")
    if layout:
        x = F.transpose(x, 0, 1)
        first = [None if f is None else F.transpose(f, 0, 1) for f in first]
    steps, batch, size = x.shape
    rows, lasts = [], []
    for d in range(r.shape[0]):
        found = parts(d)
        gates = F.linear(F.reshape(x, (steps * batch, size)), found["w"], found["b"])
        state: Any = tuple(np.zeros((batch, r.shape[-1]), x.dtype) if f is None else f[d] for f in first)
        backward = direction == "reverse" or d == 1
        outputs: list[Any] = [None] * steps
        for t in reversed(range(steps)) if backward else range(steps):
            state = step(state, gates[t * batch : (t + 1) * batch], found)
            outputs[t] = state[0]
        rows.append(F.stack(outputs, 0))
        lasts.append(state)
    y = F.stack(rows, 1)
    last = [F.stack(list(part), 0) for part in zip(*lasts, strict=True)]
    if layout:
        return F.transpose(F.transpose(y, 0, 2), 1, 2), [F.transpose(part, 0, 1) for part in last]
    return y, last


def _summed(b):
    """The biases of the input's product and of the state's, in one."""
    half = b.shape[0] // 2
    return F.add(b[:half], b[half:])
