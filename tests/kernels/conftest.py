"""Instruction sets to test; workspaces that hold garbage, so that it shows if a kernel reads what was not written."""

import threading

import numpy as np
import pytest

from pyconv import kernels

FENCE = 4096  # bytes that follow a workspace


def isas():
    if kernels.available("native") is not None:
        return ()
    from pyconv.kernels.native import library

    return library.isas()


@pytest.fixture(params=isas())
def isa(request):
    """Each instruction set of this machine in turn, in use."""
    from pyconv.kernels.native import library

    before = library.get_isa()
    library.set_isa(request.param)
    yield request.param
    library.set_isa(before)


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
        if library._local.program is not None:
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
