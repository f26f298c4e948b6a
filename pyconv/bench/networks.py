"""Whole networks, as inference and as a step of training: our plans beside PyTorch and ONNX Runtime.

The peers run the very graph that pyconv records of a model, in PyTorch by `twins.py` and in ONNX Runtime as
`pyconv.onnx` exports it, so nobody wrote it twice. Times are taken in turns as those of layers are (`timing.py`); peak
memory is that of a process which does nothing else.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from pyconv import kernels
from pyconv.bench.engines import Arrays, Call, OnnxRuntime, Torch
from pyconv.bench.timing import environment, race, started
from pyconv.bench.twins import TORCH_OPS, torch_twin

PASSES = ("inference", "training")
LR, MOMENTUM = 0.01, 0.9  # of the SGD in a step of training; the loss is the cross-entropy


@dataclass(frozen=True, slots=True)
class Network:
    """A model of `pyconv.models` on a batch of square images, and the passes that are worth a time."""

    model: str
    batch: int
    channels: int
    size: int
    classes: int
    passes: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.model}@{self.batch}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.batch, self.channels, self.size, self.size)

    def build(self) -> Any:
        """The model, with weights freshly drawn."""
        return import_module("pyconv.models").create(self.model, num_classes=self.classes, in_channels=self.channels)

    def arrays(self) -> Arrays:
        """Images `x` and their `labels`, always the same."""
        rng = np.random.default_rng(0)
        return {
            "x": rng.standard_normal(self.input_shape, dtype=np.float32),
            "labels": rng.integers(0, self.classes, self.batch),
        }

    def scaled(self) -> Network:
        """The same network for two small images."""
        return replace(self, batch=2, size=min(self.size, 32), classes=min(self.classes, 10))

    def __str__(self) -> str:
        return "×".join(map(str, self.input_shape))


NETWORKS = {
    network.name: network
    for network in (
        Network("lenet5", 1, 1, 28, 10, ("inference",)),
        Network("lenet5", 64, 1, 28, 10, ("training",)),
        Network("airbench94", 128, 3, 32, 10, ("training",)),
        Network("resnet18_cifar", 1, 3, 32, 10, ("inference",)),
        Network("resnet18_cifar", 128, 3, 32, 10, ("training",)),
        Network("mobilenet_v2", 1, 3, 224, 1000, ("inference",)),
        Network("mobilenet_v2", 8, 3, 224, 1000, ("training",)),
        Network("resnet50", 1, 3, 224, 1000, ("inference",)),
        Network("resnet50", 8, 3, 224, 1000, ("training",)),
        Network("vgg16", 1, 3, 224, 1000, ("inference",)),
    )
}


def select(patterns: str) -> list[Network]:
    """The networks that comma-separated globs name: `lenet5*`, `*@1`.

    Raises
    ------
    ValueError
        If a pattern matches none.
    """
    chosen: dict[str, Network] = {}
    for pattern in patterns.split(","):
        matched = {name: n for name, n in NETWORKS.items() if fnmatchcase(name, pattern.strip())}
        if not matched:
            raise ValueError(f"network {pattern!r} is unknown: use {', '.join(NETWORKS)}")
        chosen |= matched
    return list(chosen.values())


class Plans:
    """One of our backends: `plan(x, out=y)`, and a compiled step of training."""

    peer = False

    def __init__(self, name: str):
        self.name = name
        self.facts: dict[str, float] = {}  # of the plan made last

    def unavailable(self) -> str | None:
        return kernels.available(self.name)

    def start(self, threads: int) -> None:
        from pyconv.kernels.threads import set_num_threads

        set_num_threads(threads)
        kernels.set_backend(self.name)

    def refuse(self, network: Network, pass_: str) -> str | None:
        return None

    def prepare(self, network: Network, pass_: str, arrays: Arrays) -> Call:
        model, x, labels = network.build(), arrays["x"], arrays["labels"]
        begin = time.perf_counter()
        if pass_ == "inference":
            plan = import_module("pyconv.graph.compile").compile(model, x)
        else:
            step = import_module("pyconv.train.compiled").compile_training_step
            optim = import_module("pyconv.optim")
            plan = step(model.train(), "cross_entropy", optim.SGD(lr=LR, momentum=MOMENTUM), x, labels)
        self.facts = _facts(plan, time.perf_counter() - begin)
        if pass_ == "training":
            return lambda: (plan(x, labels)[0],)
        y = np.empty((network.batch, network.classes), np.float32)
        return lambda: (plan(x, out=y),)


def _facts(plan: Any, seconds: float) -> dict[str, float]:
    """What only our plans tell."""
    return {
        "compile_seconds": seconds,
        "arena_bytes": plan.arena_bytes,
        "live_bytes": plan.live_bytes,
        "memory_bytes": plan.memory,
        "packed_bytes": plan.packed_bytes,
        "steps": plan.steps,
    }


class TorchNetworks(Torch):
    """PyTorch in either memory format: eager, as it is used; training through autograd and its fused SGD."""

    def refuse(self, network: Any, pass_: str) -> str | None:
        ops = {type(node.op).__name__ for node in _traced(network, network.build()).nodes}
        unknown = sorted(ops - set(TORCH_OPS))
        return f"there is no twin of {', '.join(unknown)}" if unknown else None

    def prepare(self, network: Any, pass_: str, arrays: Arrays) -> Call:
        torch = import_module("torch")
        model = network.build()
        function, parameters = torch_twin(_traced(network, model), model.parameters() if pass_ == "training" else ())
        x, labels = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["labels"])
        if self.memory == "channels-last":
            x = x.contiguous(memory_format=torch.channels_last)
            for parameter in parameters:
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if pass_ == "inference":

            def infer() -> tuple[Any, ...]:
                with torch.inference_mode():
                    return (function(x),)

            return infer
        optimizer = torch.optim.SGD(parameters, lr=LR, momentum=MOMENTUM, fused=True)

        def train() -> tuple[Any, ...]:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(function(x), labels)
            loss.backward()
            optimizer.step()
            return (loss.detach(),)

        return train


class OnnxRuntimeNetworks(OnnxRuntime):
    """ONNX Runtime with its own optimizations, input and output bound."""

    def refuse(self, network: Any, pass_: str) -> str | None:
        return "ONNX Runtime only infers" if pass_ == "training" else None

    def prepare(self, network: Any, pass_: str, arrays: Arrays) -> Call:
        export = import_module("pyconv.onnx").export
        model = export(network.build(), None, network.input_shape, dynamic_batch=False).SerializeToString()
        return self.bound(model, arrays["x"], np.empty((network.batch, network.classes), np.float32))


BACKENDS: dict[str, Any] = {name: Plans(name) for name in ("native", "numba", "im2col")}
PEERS: dict[str, Any] = {e.name: e for e in (TorchNetworks(), TorchNetworks("channels-last"), OnnxRuntimeNetworks())}


def _traced(network: Network, model: Any) -> Any:
    """The model as recorded, in evaluation mode and before any pass."""
    return import_module("pyconv.graph.trace").trace(model, [np.empty(network.input_shape, np.float32)])[0]


@dataclass(slots=True)
class Result:
    """One engine on one pass of one network; where it did not run `seconds` is None and `note` says why."""

    network: str
    pass_: str
    engine: str
    peer: bool
    seconds: float | None = None
    spread: float = 1.0
    peak_bytes: int | None = None  # of a process that does this alone, all its libraries included
    facts: dict[str, float] = field(default_factory=dict)
    note: str = ""


def run(
    networks: Sequence[Network],
    passes: Sequence[str],
    engines: Sequence[Any],
    threads: int,
    seconds: float = 0.5,
    memory: bool = True,
) -> Iterator[list[Result]]:
    """Yield what was found of one pass of one network after another; see `session.run`."""
    with started(engines, threads) as workers:
        for network in networks:
            for pass_ in network.passes:
                if pass_ not in passes:
                    continue
                results = []
                for m, engine in zip(race(workers, network, pass_, seconds, []), engines, strict=True):
                    result = Result(m.problem, pass_, m.engine, m.peer, m.seconds, m.spread, note=m.note)
                    if memory and m.seconds is not None:
                        result.peak_bytes, result.facts = alone(engine, network, pass_, threads)
                    results.append(result)
                yield results


def alone(engine: Any, network: Network, pass_: str, threads: int) -> tuple[int | None, dict[str, float]]:
    """Peak memory of a process that prepares and makes three calls, where the system tells, and a plan's facts."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure_alone, args=(theirs, engine, network, pass_, threads), daemon=True)
    with environment(threads):
        process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return None, {}
    finally:
        process.join()


def _measure_alone(pipe: Connection, engine: Any, network: Network, pass_: str, threads: int) -> None:
    engine.start(threads)
    call = engine.prepare(network, pass_, network.arrays())
    for _ in range(3):
        call()
    pipe.send((peak_resident(), getattr(engine, "facts", {})))


def peak_resident() -> int | None:
    """The most memory that this process has had, in bytes; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)


def call_costs(calls: int = 2000) -> dict[str, float]:
    """Seconds of calls of next to no work: of a plan before C begins and after it ends, and of each step inside C; of
    `F.conv2d` on 1 × 8 × 8² with eight 3 × 3 kernels, all of it.
    """
    functional = import_module("pyconv.functional")
    compile, relu, neg = import_module("pyconv.graph.compile").compile, functional.relu, functional.neg
    x, y = np.ones(1, np.float32), np.empty(1, np.float32)
    image, weight = np.ones((1, 8, 8, 8), np.float32), np.ones((8, 8, 3, 3), np.float32)

    def timed(call: Callable[[], Any]) -> float:
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            times.append((time.perf_counter() - begin) / calls)
        return min(times)

    def planned(steps: int) -> float:
        def function(value: Any) -> Any:
            for _ in range(steps // 2):
                value = neg(relu(value))
            return value

        plan = compile(function, x)
        return timed(lambda: plan(x, out=y))

    few, many = planned(2), planned(102)
    step = (many - few) / 100
    return {
        "python_seconds": few - 2 * step,
        "step_seconds": step,
        "functional_seconds": timed(lambda: functional.conv2d(image, weight, padding=1)),
    }


def table(results: Sequence[Result]) -> str:
    """The engines on one pass of one network, quickest first, and what our plans tell of themselves."""
    network = NETWORKS[results[0].network]
    peers = [r.seconds for r in results if r.peer and r.seconds]
    lines = [f"{network.name} {results[0].pass_}: {network}"]
    lines.append(f"  {'engine':<12}{'ms':>10}{'/ best peer':>13}{'peak MB':>10}")
    for r in sorted(results, key=lambda r: r.seconds or float("inf")):
        if r.seconds is None:
            lines.append(f"  {r.engine:<12}{'–':>10}  {r.note}")
            continue
        share = f"{r.seconds / min(peers):.2f}" if peers and not r.peer else "–"
        peak = "–" if r.peak_bytes is None else f"{r.peak_bytes / 1e6:.0f}"
        lines.append(f"  {r.engine:<12}{1e3 * r.seconds:>10.4g}{share:>13}{peak:>10}")
        if r.facts:
            f = r.facts
            arena, live, packed = (f[f"{name}_bytes"] / 1e6 for name in ("arena", "live", "packed"))
            lines += [
                f"    compiled in {f['compile_seconds']:.2f} s, {f['steps']:.0f} steps; packed weights {packed:.1f} MB",
                f"    arena {arena:.2f} MB, {arena / (live or 1):.3f} × what is needed at one time",
            ]
    return "\n".join(lines)


def as_json(facts: dict[str, Any], costs: dict[str, float], results: Sequence[Result]) -> dict[str, Any]:
    """What `pyconv bench --networks --json` writes."""
    return {"version": 1, "machine": facts, "call": costs, "networks": [asdict(r) for r in results]}
