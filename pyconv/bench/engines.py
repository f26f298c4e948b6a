"""What is timed: pyconv's backends, and the peers that are installed. One small class each.

An engine turns (problem, pass, arrays) into a call without arguments that does the work once and returns a tuple of
its results: (y,), (dx,), (dw,) or for the whole backward pass (dx, dw, db), (dx,) for a pooling. Everything that can be
done once (compiling, packing constant weights, converting layouts) happens before.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import Any, TypeVar

import numpy as np

from pyconv import kernels
from pyconv.bench.problems import Problem

Arrays = dict[str, np.ndarray]
Call = Callable[[], tuple[Any, ...]]
AnyEngine = TypeVar("AnyEngine")


class Engine:
    """Base of all engines. They are sent to their process by pickle, so `__init__` imports nothing."""

    name: str
    peer = True

    def unavailable(self) -> str | None:
        """None if it can be used here, else what is missing."""
        return None

    def start(self, threads: int) -> None:
        """Called once in the engine's process, before anything else."""

    def refuse(self, problem: Problem, pass_: str) -> str | None:
        """None if it can do this pass, else why not."""
        return None

    def prepare(self, problem: Problem, pass_: str, arrays: Arrays) -> Call:
        """Do once what need not be done at each call."""
        raise NotImplementedError


def channels_last(array: np.ndarray) -> np.ndarray:
    """The same N, C, *spatial array with channels last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


class Pyconv(Engine):
    """One of our backends, called through `pyconv.functional` as users do."""

    peer = False

    def __init__(self, backend: str, memory: str = "contiguous"):
        self.name = backend if memory == "contiguous" else f"{backend}-cl"
        self.backend = backend
        self.memory = memory

    def unavailable(self) -> str | None:
        return kernels.available(self.backend)

    def start(self, threads: int) -> None:
        from pyconv.kernels.threads import set_num_threads

        set_num_threads(threads)
        kernels.set_backend(self.backend)

    def prepare(self, problem: Problem, pass_: str, arrays: Arrays) -> Call:
        if self.memory == "channels-last":
            arrays = {name: channels_last(a) if name in ("x", "dy") else a for name, a in arrays.items()}
        make = {"conv": _conv, "conv_transpose": _conv_transpose}.get(problem.kind, _pool)
        return make(problem, pass_, arrays)


def _conv(problem: Problem, pass_: str, arrays: Arrays) -> Call:
    F, rank = import_module("pyconv.functional"), len(problem.size)
    forward = getattr(F, f"conv{rank}d")
    backward_data = getattr(F, f"conv{rank}d_backward_data")
    backward_weights = getattr(F, f"conv{rank}d_backward_weights")
    x, dy, w, b = (arrays[name] for name in ("x", "dy", "w", "b"))
    options = (problem.stride, problem.padding, problem.dilation, problem.groups)
    axes = (0, *range(2, rank + 2))

    def backward() -> tuple[Any, ...]:
        dx = backward_data(dy, w, problem.size, *options)
        dw = backward_weights(dy, x, problem.kernel, *options)
        return dx, dw, F.sum(dy, axes)

    return {
        "forward": lambda: (forward(x, w, b, *options),),
        "backward_data": lambda: (backward_data(dy, w, problem.size, *options),),
        "backward_weights": lambda: (backward_weights(dy, x, problem.kernel, *options),),
        "backward": backward,
    }[pass_]


def _conv_transpose(problem: Problem, pass_: str, arrays: Arrays) -> Call:
    """Its gradients are convolutions: dx is the forward pass over dy, dw has the roles of x and dy swapped."""
    F, rank = import_module("pyconv.functional"), len(problem.size)
    forward = getattr(F, f"conv_transpose{rank}d")
    conv = getattr(F, f"conv{rank}d")
    backward_weights = getattr(F, f"conv{rank}d_backward_weights")
    x, dy, w, b = (arrays[name] for name in ("x", "dy", "w", "b"))
    options = (problem.stride, problem.padding, problem.dilation, problem.groups)
    axes = (0, *range(2, rank + 2))
    return {
        "forward": lambda: (forward(x, w, b, problem.stride, problem.padding, 0, problem.groups, problem.dilation),),
        "backward_data": lambda: (conv(dy, w, None, *options),),
        "backward_weights": lambda: (backward_weights(x, dy, problem.kernel, *options),),
        "backward": lambda: (
            conv(dy, w, None, *options),
            backward_weights(x, dy, problem.kernel, *options),
            F.sum(dy, axes),
        ),
    }[pass_]


def _pool(problem: Problem, pass_: str, arrays: Arrays) -> Call:
    F, name = import_module("pyconv.functional"), f"{problem.kind}{len(problem.size)}d"
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x, dy = arrays["x"], arrays["dy"]
    options = (problem.kernel, problem.stride, problem.padding)
    if pass_ == "forward":
        return lambda: (forward(x, *options),)
    if problem.kind == "avg_pool":
        return lambda: (backward(dy, problem.size, *options),)
    return lambda: (backward(dy, x, *options),)


class Torch(Engine):
    """PyTorch, in either of its memory formats; backward passes through autograd, the graph being built once."""

    def __init__(self, memory: str = "contiguous"):
        self.name = "torch" if memory == "contiguous" else "torch-cl"
        self.memory = memory

    def unavailable(self) -> str | None:
        return missing("torch")

    def start(self, threads: int) -> None:
        import_module("torch").set_num_threads(threads)

    def refuse(self, problem: Problem, pass_: str) -> str | None:
        if self.memory == "channels-last" and len(problem.size) == 1:
            return "PyTorch has no channels-last format for 1-d data"
        return None

    def prepare(self, problem: Problem, pass_: str, arrays: Arrays) -> Call:
        torch = import_module("torch")
        F = torch.nn.functional
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if self.memory == "channels-last":
            form = torch.channels_last if len(problem.size) == 2 else torch.channels_last_3d
            tensors = {n: t.contiguous(memory_format=form) if t.ndim > 1 else t for n, t in tensors.items()}
        function = getattr(F, f"{problem.kind}{len(problem.size)}d")
        inputs = [tensors[name] for name in ("x", "w", "b") if name in tensors]
        options: tuple[Any, ...] = (problem.stride, problem.padding)
        if problem.is_pool:
            options = (problem.kernel, *options)
        elif problem.kind == "conv":
            options += (problem.dilation, problem.groups)
        else:
            options += (0, problem.groups, problem.dilation)  # 0: output padding

        if pass_ == "forward":
            return lambda: (function(*inputs, *options),)  # records nothing: no input requires a gradient
        wanted = {"backward_data": inputs[:1], "backward_weights": inputs[1:2], "backward": inputs}[pass_]
        for tensor in wanted:
            tensor.requires_grad_()
        y, dy = function(*inputs, *options), tensors["dy"]
        return lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)


class OnnxRuntime(Engine):
    """ONNX Runtime: a model of one node whose weights are constants, arrays bound without copies."""

    name = "onnxruntime"

    def unavailable(self) -> str | None:
        return missing("onnxruntime", "onnx")

    def start(self, threads: int) -> None:
        self.threads = threads

    def refuse(self, problem: Problem, pass_: str) -> str | None:
        return None if pass_ == "forward" else "ONNX Runtime only infers"

    def prepare(self, problem: Problem, pass_: str, arrays: Arrays) -> Call:
        return self.bound(onnx_model(problem, arrays), arrays["x"], np.empty(problem.output_shape, np.float32))

    def bound(self, model: bytes, x: np.ndarray, y: np.ndarray) -> Call:
        """A call of a model from x to y, without copies."""
        ort = import_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self.threads, 3
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
        binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)

        def call() -> tuple[Any, ...]:
            session.run_with_iobinding(binding)
            return (y,)

        call.keep = x  # type: ignore[attr-defined]  # the binding holds its address alone
        return call


class OpenVino(Engine):
    """OpenVINO, in float32 and latency mode, on the same ONNX model; input shared, output read in place."""

    name = "openvino"

    def unavailable(self) -> str | None:
        return missing("openvino", "onnx")

    def start(self, threads: int) -> None:
        self.threads = threads
        self.core = import_module("openvino").Core()

    def refuse(self, problem: Problem, pass_: str) -> str | None:
        return None if pass_ == "forward" else "OpenVINO only infers"

    def prepare(self, problem: Problem, pass_: str, arrays: Arrays) -> Call:
        openvino = import_module("openvino")
        model = self.core.read_model(BytesIO(onnx_model(problem, arrays)))
        hints = {
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = self.core.compile_model(model, "CPU", hints).create_infer_request()
        x = arrays["x"]
        request.set_input_tensor(openvino.Tensor(x, shared_memory=True))

        def call() -> tuple[Any, ...]:
            request.infer()
            return (request.get_output_tensor().data,)

        call.keep = x  # type: ignore[attr-defined]  # the tensor shares its memory
        return call


class SciPy(Engine):
    """SciPy as its users do it: a correlation a pair of image and filter, filters of `scipy.ndimage` for pooling.

    Strides are taken by computing every position and keeping some.
    """

    name = "scipy"

    def unavailable(self) -> str | None:
        return missing("scipy")

    def refuse(self, problem: Problem, pass_: str) -> str | None:
        if pass_ != "forward":
            return "SciPy has no gradients"
        if problem.kind == "conv_transpose":
            return "SciPy has no transposed convolution"
        if set(problem.dilation) != {1}:
            return "SciPy has no dilation"
        if not problem.is_pool and problem.flops() * np.prod(problem.stride) > 5e7:
            return "SciPy would take seconds a call"
        return None

    def prepare(self, problem: Problem, pass_: str, arrays: Arrays) -> Call:
        if problem.is_pool:
            return self._pool(problem, arrays["x"])
        correlate = import_module("scipy.signal").correlate
        x, w, b = arrays["x"], arrays["w"], arrays["b"]
        padding = [(p, p) for p in problem.padding]
        strides = (0, *(slice(None, None, s) for s in problem.stride))
        channels, per_group = problem.c // problem.groups, problem.k // problem.groups
        y = np.empty(problem.output_shape, x.dtype)

        def call() -> tuple[Any, ...]:
            padded = np.pad(x, [(0, 0), (0, 0), *padding])
            for n in range(problem.n):
                for k in range(problem.k):
                    first = k // per_group * channels
                    image = padded[n, first : first + channels]
                    y[n, k] = correlate(image, w[k], "valid")[strides] + b[k]
            return (y,)

        return call

    def _pool(self, problem: Problem, x: np.ndarray) -> Call:
        ndimage = import_module("scipy.ndimage")
        size = (1, 1, *problem.kernel)
        # a filter's window is centred: output o of the pooling sits at o · stride - padding + kernel // 2
        outputs = problem.output_shape[2:]
        first = [k // 2 - p for k, p in zip(problem.kernel, problem.padding, strict=True)]
        kept = tuple(slice(f, f + (o - 1) * s + 1, s) for f, o, s in zip(first, outputs, problem.stride, strict=True))
        kept = (slice(None), slice(None), *kept)
        if problem.kind == "max_pool":
            return lambda: (ndimage.maximum_filter(x, size, mode="constant", cval=-np.inf)[kept],)
        return lambda: (ndimage.uniform_filter(x, size, mode="constant")[kept],)


def onnx_model(problem: Problem, arrays: Arrays) -> bytes:
    """A serialised ONNX model of one node, x -> y; weights are initializers."""
    onnx = import_module("onnx")
    helper, shapes = import_module("onnx.helper"), (problem.input_shape, problem.output_shape)
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in zip("xy", shapes, strict=True))
    attributes: dict[str, Any] = {
        "kernel_shape": problem.kernel,
        "strides": problem.stride,
        "pads": problem.padding * 2,
    }
    inputs, constants = ["x"], []
    if problem.is_pool:
        name = {"max_pool": "MaxPool", "avg_pool": "AveragePool"}[problem.kind]
        if name == "AveragePool":
            attributes["count_include_pad"] = 1
    else:
        name = {"conv": "Conv", "conv_transpose": "ConvTranspose"}[problem.kind]
        attributes |= {"dilations": problem.dilation, "group": problem.groups}
        inputs += ["w", "b"]
        constants = [import_module("onnx.numpy_helper").from_array(arrays[n], n) for n in ("w", "b")]
    graph = helper.make_graph([helper.make_node(name, inputs, ["y"], **attributes)], "layer", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


def missing(*modules: str) -> str | None:
    """None if they are installed, else what to do."""
    absent = [module for module in modules if find_spec(module) is None]
    return f"not installed: pip install {' '.join(absent)}" if absent else None


BACKENDS: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Pyconv("naive"),
        Pyconv("im2col"),
        Pyconv("numba"),
        Pyconv("numba", "channels-last"),
        Pyconv("native"),
        Pyconv("native", "channels-last"),
    )
}
PEERS: dict[str, Engine] = {
    engine.name: engine for engine in (Torch(), Torch("channels-last"), OnnxRuntime(), OpenVino(), SciPy())
}


def choose(known: dict[str, AnyEngine], patterns: str) -> list[AnyEngine]:
    """The engines that comma-separated globs name; `none` names none.

    Raises
    ------
    ValueError
        If a pattern matches nothing.
    """
    if patterns == "none":
        return []
    chosen: dict[str, AnyEngine] = {}
    for pattern in patterns.split(","):
        matched = {name: engine for name, engine in known.items() if fnmatchcase(name, pattern.strip())}
        if not matched:
            raise ValueError(f"engine {pattern!r} is unknown: use {', '.join(known)} or none")
        chosen |= matched
    return list(chosen.values())


def reference(problem: Problem, pass_: str) -> tuple[np.ndarray, ...]:
    """The pass in float64, by im2col, image by image to save memory."""
    arrays = problem.arrays("float64")
    image = problem.at_batch(1)
    parts: list[tuple[np.ndarray, ...]] = []
    with kernels.backend("im2col"):
        for n in range(problem.n):
            one = {name: array[n : n + 1] if name in ("x", "dy") else array for name, array in arrays.items()}
            parts.append(Pyconv("im2col").prepare(image, pass_, one)())
    per_image = [pass_ != "backward_weights", False, False]  # dw and db are sums over the images
    results = zip(*parts, strict=True)
    return tuple(np.concatenate(r) if each else np.sum(r, 0) for each, r in zip(per_image, results, strict=False))
