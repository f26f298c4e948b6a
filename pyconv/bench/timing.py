"""How engines are timed against each other on a noisy machine.

Each engine lives in a process of its own, with its own thread pools, and blocks on a pipe while another runs. They take
turns in blocks of a fraction of a second over several rounds. A block begins with a call that does not count and ends
when the engine's threads have stopped spinning. An engine's time is the least of its blocks' lower quartiles: that
leaves out what the neighbours did, and one lucky call counts no more than one unlucky. Quote ratios of such times.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

import numpy as np

ROUNDS = 5
_SHORTEST = 100e-6  # calls quicker than this are timed several at a time


class Timed(Protocol):
    """What is timed: a layer (`problems.Problem`) or a network (`networks.Network`)."""

    @property
    def name(self) -> str: ...

    def arrays(self) -> dict[str, np.ndarray]: ...


class Block(NamedTuple):
    """One turn of one engine."""

    quartile: float  # seconds a call
    calls: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One engine on one pass of one problem; where it did not run `seconds` is None and `note` says why."""

    problem: str
    pass_: str
    engine: str
    peer: bool
    seconds: float | None = None
    error: float | None = None  # largest difference from float64 over the largest value
    calls: int = 0
    spread: float = 1.0  # worst block over best: how noisy the machine was
    note: str = ""


def time_block(call: Callable[[], Any], seconds: float, clock: Callable[[], float] = time.perf_counter) -> Block:
    """Call for about `seconds`, after one call that does not count; of slow calls the quicker of two."""
    start = clock()
    call()
    once = clock() - start
    if once >= seconds:  # perhaps because it was the first
        start = clock()
        call()
        return Block(min(once, clock() - start), 2)
    batch = max(1, round(_SHORTEST / max(once, 1e-9)))
    times: list[float] = []
    end = clock() + seconds
    while not times or clock() < end:
        start = clock()
        for _ in range(batch):
            call()
        times.append((clock() - start) / batch)
    return Block(float(np.quantile(times, 0.25)), batch * len(times))


def race(
    workers: Sequence[Worker], problem: Timed, pass_: str, seconds: float, reference: list[str]
) -> list[Measurement]:
    """Time engines on one pass of one problem, turn by turn.

    Parameters
    ----------
    seconds
        Time an engine gets in all. One whose single call takes longer gets two calls alone.
    reference
        Files (`.npy`) of the float64 results to measure errors against; may be empty.
    """
    notes: dict[Worker, str] = {}
    errors: dict[Worker, float | None] = {}
    blocks: dict[Worker, list[Block]] = {worker: [] for worker in workers}
    for worker in workers:
        try:
            notes[worker], errors[worker] = worker.prepare(problem, pass_, reference)
        except WorkerStopped as stopped:
            notes[worker], errors[worker] = str(stopped), None
    for turn in range(ROUNDS):
        for worker in [*workers[turn % len(workers) :], *workers[: turn % len(workers)]]:
            done = blocks[worker]
            if notes[worker] or (done and done[0].quartile > seconds):
                continue
            try:
                done.append(worker.block(seconds / ROUNDS))
            except WorkerStopped as stopped:
                notes[worker] = str(stopped)
    results = []
    for worker in workers:
        who = (problem.name, pass_, worker.engine.name, worker.engine.peer)
        if notes[worker]:
            results.append(Measurement(*who, note=notes[worker]))
            continue
        quartiles = [block.quartile for block in blocks[worker]]
        calls = sum(block.calls for block in blocks[worker])
        results.append(Measurement(*who, min(quartiles), errors[worker], calls, max(quartiles) / min(quartiles)))
    return results


class WorkerStopped(RuntimeError):
    """The engine's process ended: it raised (the traceback is on stderr) or crashed."""


class Worker:
    """An engine in a process of its own; started by the first `prepare`, and again if it has died since."""

    def __init__(self, engine: Any, threads: int):
        self.engine = engine
        self._threads = threads
        self._process: Any = None

    def prepare(self, problem: Timed, pass_: str, reference: list[str]) -> tuple[str, float | None]:
        """Get ready; returns (why it refuses or "", error against the reference or None)."""
        if self._process is None:
            self._start()
        return self._ask("prepare", problem, pass_, reference)

    def block(self, seconds: float) -> Block:
        """Run what was prepared for about `seconds`."""
        return self._ask("block", seconds)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._pipe.close()  # the worker's next read ends it
            self._process.join(5)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.engine, self._threads), daemon=True)
        with environment(self._threads):
            self._process.start()
        theirs.close()  # so that its end shows as the end of file here

    def _ask(self, *message: Any) -> Any:
        try:
            self._pipe.send(message)
            return self._pipe.recv()
        except (EOFError, ConnectionError) as end:
            self._process.join(5)
            code = self._process.exitcode
            self.close()
            raise WorkerStopped(f"stopped with exit code {code}") from end


@contextmanager
def started(engines: Sequence[Any], threads: int) -> Iterator[list[Worker]]:
    """A worker for each engine, closed afterwards."""
    with ExitStack() as stack:
        workers = [Worker(engine, threads) for engine in engines]
        for worker in workers:
            stack.callback(worker.close)
        yield workers


@contextmanager
def environment(threads: int) -> Iterator[None]:
    """What thread pools read as their libraries load, for a process started inside the block."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    ours = {f"{name}_NUM_THREADS": str(threads) for name in names}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, engine: Any, threads: int) -> None:
    """A worker's life: obey until the pipe closes. An engine that raises ends it, with a traceback."""
    unavailable = engine.unavailable()
    if unavailable is None:
        engine.start(threads)
    call: Callable[[], Any] | None = None
    while True:
        try:
            command, *arguments = pipe.recv()
        except EOFError:
            return
        if command == "prepare":
            call = None  # frees the arrays of the problem before
            problem, pass_, reference = arguments
            refusal = unavailable or engine.refuse(problem, pass_)
            if refusal is None:
                call = engine.prepare(problem, pass_, problem.arrays())
                exact = [np.load(path, mmap_mode="r") for path in reference]
                pipe.send(("", error(call(), exact) if exact else None))
            else:
                pipe.send((refusal, None))
        else:
            assert call is not None
            block = time_block(call, *arguments)
            _wait_until_idle()
            pipe.send(block)


def _wait_until_idle() -> None:
    """Thread pools spin for a while after their work, which would spoil the next engine's turn."""
    for _ in range(50):
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 0.001:
            return


def error(results: Sequence[Any], reference: Sequence[np.ndarray]) -> float:
    """Largest difference from the float64 reference over its largest value, the worst of a pass's results.

    NaN where a result holds one.
    """
    worst = []
    for result, exact in zip(results, reference, strict=True):
        ours = np.asarray(result)
        if ours.shape != exact.shape:
            raise ValueError(f"the engine gave shape {ours.shape} where {exact.shape} is due")
        differences = [np.abs(o - e).max() for o, e in zip(ours, exact, strict=True)]  # a slice at a time: less memory
        worst.append(np.max(differences) / np.abs(exact).max())
    return float(np.max(worst))
