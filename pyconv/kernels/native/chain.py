"""Chains of elementwise functions in C, in one pass over memory."""

from __future__ import annotations

from functools import lru_cache

from pyconv.kernels.native.elementwise import BINARY, UNARY
from pyconv.kernels.native.library import call, ffi, lib, pointer
from pyconv.kernels.native.loops import axes_of, by_stride, merged, unsupported

_FIELDS = dict(ffi.typeof("pyconv_steps").fields)
_DIMS = _FIELDS["shape"].type.length
INPUTS, STEPS = _FIELDS["strides"].type.length - 1, _FIELDS["steps"].type.length
NUMBERS = _FIELDS["number"].type.length
_ROWS, _COPIES = 6, 4  # intermediate results at a time, inputs that do not lie in a row (csrc/chain.c)


def chain(y, *arguments):
    """y = the last of some steps."""
    *inputs, numbers, steps = arguments
    addresses = [*map(pointer, inputs), *[ffi.NULL] * (INPUTS - len(inputs))]
    call(lib.pyconv_chain, _describe(y, inputs, numbers, steps), pointer(y), *addresses)


def refuse(y, *arguments):
    *inputs, numbers, steps = arguments
    if any(i.shape not in (y.shape, ()) for i in inputs) or not y.shape:
        return "its inputs differ in shape"
    condition = steps[-1].values[0] if steps[-1].name == "where" else -1
    others = [x for i, x in enumerate(inputs) if i != condition]
    problem = unsupported(y, *others) or _describe(y, inputs, numbers, steps)
    return problem if isinstance(problem, str) else None


def _describe(y, inputs, numbers, steps):
    """The `pyconv_steps`, or why there is none."""
    strides = tuple(i.strides if i.shape else (0,) * y.ndim for i in inputs)
    flags = tuple(not i.shape and i.dtype.char == "?" for i in inputs)
    return _described(y.shape, (y.strides, *strides), y.itemsize, flags, numbers, steps)


@lru_cache(maxsize=256)
def _described(shape, strides, itemsize, flags, numbers, steps):
    reads = len(strides) - 1
    if reads > INPUTS or len(numbers) > NUMBERS or len(steps) > STEPS:
        return f"it has {reads} inputs, {len(numbers)} numbers and {len(steps)} steps"
    if any(s % itemsize for own in strides for s in own):
        return "strides are no multiples of an element"
    if any(step.name == "where" for step in steps[:-1]):
        return "it chooses between values on the way"
    condition, otherwise, last = -1, -1, len(steps) - 1
    if steps[-1].name == "where":
        condition, last, otherwise = steps[-1].values
        last -= reads + len(numbers)
        if not flags[condition] or otherwise >= reads or last != len(steps) - 2:
            return "it chooses by more than a flag between more than its result and an input"
    lowered = _lower(steps[: last + 1], reads + len(numbers))
    if isinstance(lowered, str):
        return lowered
    axes = merged(by_stride(axes_of(shape, strides, itemsize))) or [(1, (1, *[0] * reads))]
    axes = [(1, (0,) * (1 + reads))] * (_DIMS - len(axes)) + axes
    if len(axes) > _DIMS or (axes[-1][0] > 1 and axes[-1][1][0] != 1):
        return "its result does not lie in a row"
    if sum(s not in (0, 1) for s in axes[-1][1]) > _COPIES:
        return "too many inputs do not lie in a row"
    steps_of = [[s[i] for _, s in axes] for i in range(1 + reads)]
    sizes = reads, len(numbers), len(lowered)
    return ffi.new(
        "pyconv_steps *",
        [[n for n, _ in axes], steps_of, 8 * itemsize, *sizes, condition, otherwise, numbers, lowered],
    )


def _lower(steps, given):
    """The steps as C has them, their results in as few rows as are needed at a time; or why it cannot be."""
    last_read = {value: number for number, step in enumerate(steps) for value in step.values}
    free = list(range(_ROWS))
    row: dict[int, int] = {}  # of a value
    lowered = []
    for number, (name, values, parameters) in enumerate(steps):
        if name not in BINARY and name not in UNARY:
            return f"it has no {name}"
        from_ = [row.get(v, v) for v in values]
        free += [from_[i] - given for i, v in enumerate(dict.fromkeys(values)) if v >= given and last_read[v] == number]
        to = -1
        if number < len(steps) - 1:
            if not free:
                return "it keeps too many results at a time"
            to = free.pop()
            row[given + number] = given + to
        unary = name in UNARY
        code = UNARY[name] if unary else BINARY[name]
        lowered.append([code, unary, to, (from_ * 2)[:2], [*parameters, 0.0, 0.0][:2]])
    return lowered
