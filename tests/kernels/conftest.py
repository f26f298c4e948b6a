"""Workspaces that hold garbage: a kernel that reads what it has not written, or writes past its end, is found out."""

import threading

import numpy as np
import pytest

from pyconv import kernels

FENCE = 4096  # bytes that follow a workspace


@pytest.fixture(autouse=True)
def hostile_workspaces(monkeypatch):
    """Every workspace of the native backend is filled with NaN, and what lies behind it must stay as it was."""
    if kernels.available("native") is not None:
        yield
        return
    from pyconv.kernels.native import channels, library

    kept, usual = threading.local(), library.workspace
    overrun = []

    def check():
        if (last := getattr(kept, "last", None)) is not None and not (last[-FENCE:] == 0xFF).all():
            overrun.append(last.size - FENCE)

    def workspace(size):
        if getattr(library._local, "program", None) is not None:
            return usual(size)
        check()
        kept.last = np.full(size + 2 * FENCE, 0xFF, np.uint8)  # as reals: NaN
        start = -kept.last.ctypes.data % FENCE
        kept.last = kept.last[start : start + size + FENCE]
        return library.ffi.cast("void *", kept.last.ctypes.data)

    monkeypatch.setattr(library, "workspace", workspace)
    monkeypatch.setattr(channels, "workspace", workspace)
    yield
    check()
    assert not overrun, f"kernels wrote past workspaces of {overrun} bytes"
