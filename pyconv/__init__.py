"""pyconv: convolutional networks on ordinary CPUs, from a small wheel on top of NumPy.

    import pyconv as pc
    import pyconv.functional as F
    from pyconv import nn, optim

Everything below is loaded when it is first touched, so `import pyconv` costs next to nothing and starts no thread.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyconv._version import __version__

if TYPE_CHECKING:
    from pyconv import analysis, data, functional, kernels, models, nn, onnx, optim, train, viz
    from pyconv.config import show_config
    from pyconv.graph.compile import compile, compile_step
    from pyconv.graph.plan import Plan
    from pyconv.graph.transforms import check_gradients, grad, value_and_grad
    from pyconv.kernels import backend, get_backend, set_backend
    from pyconv.kernels.precision import get_precision, precision, set_precision
    from pyconv.kernels.threads import get_num_threads, num_threads, set_num_threads
    from pyconv.serialization import load, save
    from pyconv.train import History, Trainer

# name -> the module that defines it; a subpackage stands for itself
_EXPORTS = {
    **dict.fromkeys(("analysis", "data", "functional", "kernels", "models", "nn", "onnx", "optim", "train", "viz"), ""),
    **dict.fromkeys(("Trainer", "History"), "train"),
    **dict.fromkeys(("save", "load"), "serialization"),
    **dict.fromkeys(("value_and_grad", "grad", "check_gradients"), "graph.transforms"),
    **dict.fromkeys(("compile", "compile_step"), "graph.compile"),
    "Plan": "graph.plan",
    **dict.fromkeys(("set_backend", "get_backend", "backend"), "kernels"),
    **dict.fromkeys(("set_num_threads", "get_num_threads", "num_threads"), "kernels.threads"),
    **dict.fromkeys(("set_precision", "get_precision", "precision"), "kernels.precision"),
    "show_config": "config",
}

__all__ = [
    "History",
    "Plan",
    "Trainer",
    "__version__",
    "analysis",
    "backend",
    "check_gradients",
    "compile",
    "compile_step",
    "data",
    "functional",
    "get_backend",
    "get_num_threads",
    "get_precision",
    "grad",
    "kernels",
    "load",
    "models",
    "nn",
    "onnx",
    "num_threads",
    "optim",
    "precision",
    "save",
    "set_backend",
    "set_num_threads",
    "set_precision",
    "show_config",
    "train",
    "value_and_grad",
    "viz",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'pyconv' has no attribute {name!r}")
    home = _EXPORTS[name]
    value = getattr(import_module(f"pyconv.{home}"), name) if home else import_module(f"pyconv.{name}")
    globals()[name] = value  # the next access costs nothing
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
