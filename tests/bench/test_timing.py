"""The timing protocol, with engines and clocks that are made up: nothing here depends on how fast the machine is."""

import itertools
import os

import numpy as np
import pytest

from pyconv.bench.engines import Engine
from pyconv.bench.problems import find
from pyconv.bench.timing import ROUNDS, Block, Worker, WorkerStopped, environment, error, race, time_block

PROBLEM = find("lecture/conv")


class Clock:
    """Shows what it is told to: each call of the timed function takes the next of `durations`."""

    def __init__(self, durations):
        self.now, self.durations, self.calls = 0.0, iter(durations), 0

    def __call__(self):
        return self.now

    def work(self):
        self.now += next(self.durations)
        self.calls += 1


def test_block_drops_the_first_call_and_keeps_the_lower_quartile():
    clock = Clock([0.2, 0.1, 0.2, 0.3, 0.4, 0.5])
    block = time_block(clock.work, 1.0, clock)
    assert block.calls == 4  # until a second has gone
    assert block.quartile == pytest.approx(np.quantile([0.1, 0.2, 0.3, 0.4], 0.25))


@pytest.mark.parametrize("durations", [(7.0, 6.0), (6.0, 7.0), (9.0, 0.5)])
def test_block_of_a_slow_call_is_the_quicker_of_two(durations):
    clock = Clock(durations)
    assert time_block(clock.work, 1.0, clock) == Block(min(durations), 2)


def test_block_always_times_a_call_of_its_own():
    clock = Clock([0.9, 30.0])
    assert time_block(clock.work, 1.0, clock) == Block(30.0, 1)


def test_block_times_quick_calls_several_at_a_time():
    clock = Clock(itertools.repeat(10e-6))
    block = time_block(clock.work, 1e-3, clock)
    assert block.calls % 10 == 0
    assert block.calls >= 100
    assert block.quartile == pytest.approx(10e-6)


class FakeWorker:
    """Answers as a worker does, from a script of quartiles; writes down whose turn it was."""

    def __init__(self, name, quartiles, log, refusal="", peer=False):
        self.engine = Engine()
        self.engine.name, self.engine.peer = name, peer
        self.quartiles, self.log, self.refusal = iter(quartiles), log, refusal

    def prepare(self, problem, pass_, reference):
        if self.refusal == "dies":
            raise WorkerStopped("stopped with exit code 1")
        return self.refusal, None if self.refusal else 1e-6

    def block(self, seconds):
        self.log.append(self.engine.name)
        quartile = next(self.quartiles)
        if quartile is None:
            raise WorkerStopped("stopped with exit code -11")
        return Block(quartile, 10)


def test_race_takes_turns_and_keeps_the_least_quartile():
    log = []
    workers = [
        FakeWorker("ours", [5.0, 3.0, 4.0, 6.0, 3.5], log),
        FakeWorker("theirs", [1.0, 2.0, 1.0, 1.0, 1.0], log, peer=True),
    ]
    ours, theirs = race(workers, PROBLEM, "forward", 10.0, [])
    assert log == ["ours", "theirs", "theirs", "ours"] * 2 + ["ours", "theirs"]  # nobody always goes first
    assert (ours.seconds, ours.spread, ours.calls, ours.error) == (3.0, 2.0, 10 * ROUNDS, 1e-6)
    assert (ours.problem, ours.pass_, ours.engine, ours.peer) == ("lecture/conv", "forward", "ours", False)
    assert (theirs.seconds, theirs.peer) == (1.0, True)


def test_race_reports_who_refuses_or_dies_and_goes_on():
    log = []
    workers = [
        FakeWorker("refuses", [], log, "it only infers"),
        FakeWorker("fails", [], log, "dies"),
        FakeWorker("crashes", [1.0, None], log),
        FakeWorker("runs", [2.0] * ROUNDS, log),
    ]
    results = race(workers, PROBLEM, "backward", 10.0, [])
    assert [m.note for m in results] == [
        "it only infers", "stopped with exit code 1", "stopped with exit code -11", "",
    ]  # fmt: skip
    assert [m.seconds for m in results] == [None, None, None, 2.0]
    assert log.count("crashes") == 2
    assert log.count("runs") == ROUNDS


def test_race_calls_a_very_slow_engine_once():
    log = []
    slow, quick = race(
        [FakeWorker("slow", [9.0], log), FakeWorker("quick", [0.1] * ROUNDS, log)], PROBLEM, "forward", 1.0, []
    )
    assert log.count("slow") == 1
    assert slow.seconds == 9.0
    assert quick.seconds == 0.1


class Doubler(Engine):
    """A tiny engine for a real process: gives back twice its input, raises or exits if told to."""

    name = "doubler"

    def __init__(self, behaviour="works"):
        self.behaviour = behaviour

    def unavailable(self):
        return "not installed: pip install doubler" if self.behaviour == "absent" else None

    def start(self, threads):
        self.threads = threads
        self.seen = os.environ["OMP_NUM_THREADS"]

    def refuse(self, problem, pass_):
        return "no gradients" if pass_ == "backward" else None

    def prepare(self, problem, pass_, arrays):
        if self.behaviour == "exits" and problem.n > 1:
            os._exit(3)
        y = np.full(problem.output_shape, float(f"{self.threads}{self.seen}"))
        return lambda: (y,)


@pytest.fixture
def worker():
    workers = []

    def make(*arguments):
        workers.append(Worker(Doubler(*arguments), 3))
        return workers[-1]

    yield make
    for each in workers:
        each.close()


def test_worker_runs_an_engine_in_a_process_of_its_own(worker, tmp_path):
    np.save(tmp_path / "y.npy", np.full(PROBLEM.output_shape, 32.0))
    doubler = worker()
    refusal, difference = doubler.prepare(PROBLEM, "forward", [str(tmp_path / "y.npy")])
    assert refusal == ""
    assert difference == 1 / 32  # so it gave 33: told three threads by the call and by the environment
    assert doubler.block(1e-3).calls >= 1
    assert doubler.prepare(PROBLEM, "backward", []) == ("no gradients", None)
    assert doubler.prepare(PROBLEM, "forward", []) == ("", None)


def test_worker_tells_what_is_missing(worker):
    assert worker("absent").prepare(PROBLEM, "forward", []) == ("not installed: pip install doubler", None)


def test_worker_that_died_is_reported_and_started_again(worker):
    exits = worker("exits")
    with pytest.raises(WorkerStopped, match="exit code 3"):
        exits.prepare(PROBLEM.at_batch(2), "forward", [])
    assert exits.prepare(PROBLEM, "forward", []) == ("", None)


def test_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with environment(2):
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "2"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_error_is_relative_to_the_largest_value_and_keeps_nan():
    exact = np.array([[1.0, -4.0], [2.0, 0.0]])
    assert error((np.array([[1.0, -4.0], [2.5, 0.0]], np.float32),), [exact]) == 0.125
    assert np.isnan(error((np.array([[np.nan, -4.0], [2.0, 0.0]]),), [exact]))
    assert np.isnan(error((np.array([[1.0, -4.0], [2.0, np.nan]]),), [exact]))
    with pytest.raises(ValueError, match=r"\(2,\)"):
        error((np.zeros(2),), [exact])
