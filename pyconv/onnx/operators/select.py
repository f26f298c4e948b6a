"""Places of the largest and smallest elements."""

from __future__ import annotations

from pyconv.onnx.registry import UnsupportedError, axis_of, integers, operator
from pyconv.ops.select import ArgMax, TakeAlong, TopK


def _arg(name, smallest):
    @operator(name)
    def entry(x, *, axis=0, keepdims=1, select_last_index=0):
        axis = axis_of(axis, x.ndim)
        if x.shape[axis] == 0:
            raise UnsupportedError("nothing to choose from")
        return ArgMax(axis, bool(keepdims), smallest, bool(select_last_index))(x)


_arg("ArgMax", False)
_arg("ArgMin", True)


@operator("TopK", until=9)
def top_k_by_attribute(x, *, k, axis=-1):
    return _top_k(x, k, axis, False)


@operator("TopK", since=10)
def top_k(x, k, *, axis=-1, largest=1, sorted=1):
    return _top_k(x, integers(k)[0], axis, not largest)


def _top_k(x, k, axis, smallest):
    axis = axis_of(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"k must lie in 0 … {x.shape[axis]}, the elements of axis {axis}, not be {k}")
    places = TopK(axis, k, smallest)(x)
    return TakeAlong(axis)(x, places), places
