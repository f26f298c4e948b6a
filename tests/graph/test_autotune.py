"""Autotune: the quickest algorithm is taken, times are saved and read again, files that hold none are refused."""

import json
import threading

import numpy as np
import pytest
from graph_networks import normal

import pyconv as pc
import pyconv.functional as F
from pyconv import nn
from pyconv.graph import autotune
from pyconv.kernels import measure as timing

if (reason := pc.kernels.available("native")) is not None:
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(autouse=True)
def native(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "cache"))
    with pc.backend("native"):
        yield


@pytest.fixture
def measured(monkeypatch):
    """Problems that were measured; the algorithm of this name wins."""
    seen = []

    def quickest(name):
        def measure(runs):
            seen.append(sorted(runs))
            for run in runs.values():
                run()
            return {algorithm: 1e-3 if algorithm == name else 2e-3 for algorithm in runs}

        monkeypatch.setattr(autotune, "measure", measure)
        return seen

    return quickest


MODEL = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 8, 1), nn.MaxPool2d(2))
SHAPE = (1, 32, 28, 28)


def algorithms(plan):
    return [c.row.algorithm for c in plan._latest.code.choices if c.measured]


@pytest.mark.parametrize("name", ["winograd", "winograd-small", "direct", "parts"])
def test_the_quickest_is_taken(name, measured, tmp_path):
    seen = measured(name)
    plan = pc.compile(MODEL, SHAPE, autotune=tmp_path / "times.json")
    assert seen == [["direct", "parts", "winograd", "winograd-small"]]
    assert algorithms(plan) == [name]
    assert f"{name} (measured: {name} 1 ms, " in plan.explain()
    x = normal(*SHAPE).astype(np.float32)
    np.testing.assert_allclose(plan(x), MODEL(x), rtol=0, atol=1e-5)


def test_times_are_saved_and_read_again(measured, tmp_path):
    path = tmp_path / "folder" / "times.json"
    measured("parts")
    pc.compile(MODEL, SHAPE, autotune=path)
    seen = measured("direct")
    seen.clear()
    plan = pc.compile(MODEL, SHAPE, autotune=str(path))
    assert seen == []
    assert algorithms(plan) == ["parts"]
    plan(np.ones((1, 32, 20, 28), np.float32))  # another problem
    assert len(seen) == 1
    assert algorithms(plan) == ["direct"]
    assert [p.name for p in path.parent.iterdir()] == ["times.json"]
    ((machine, problems),) = json.loads(path.read_text())["machines"].items()
    assert "threads: " in machine
    assert len(problems) == 2


def test_equal_layers_are_measured_once(measured, tmp_path):
    seen = measured("direct")
    layers = [nn.Conv2d(32, 32, 3, padding=1) for _ in range(4)]
    pc.compile(nn.Sequential(*layers), SHAPE, autotune=tmp_path / "times.json")
    assert len(seen) == 3  # of images in C order to channels-last, between channels-last images, to C order


def test_the_users_cache_is_the_default(measured):
    measured("direct")
    pc.compile(MODEL, SHAPE, autotune=True)
    path = autotune.default_path()
    assert path.is_file()
    path.write_text("{")
    with pytest.warns(RuntimeWarning, match="or a broken one.*it will be replaced"):
        pc.compile(MODEL, SHAPE, autotune=True)
    assert json.loads(path.read_text())["format"] == autotune.FORMAT


def test_other_threads_and_strict_precision_are_other_problems(measured, tmp_path):
    seen, path = measured("winograd"), tmp_path / "times.json"
    for threads in (1, 2, 1):
        with pc.num_threads(threads):
            pc.compile(MODEL, SHAPE, autotune=path)
    assert len(seen) == 2
    with pc.precision("strict"):
        plan = pc.compile(MODEL, SHAPE, autotune=path)
    assert seen[2:] == [["direct", "parts"]]
    assert algorithms(plan) != ["winograd"]


def test_what_the_caller_chose_or_another_backend_runs_is_left_alone(measured, tmp_path):
    seen = measured("winograd")
    x, w = (1, 32, 28, 28), normal(32, 32, 3, 3).astype(np.float32)
    plan = pc.compile(lambda x: F.conv2d(x, w, algorithm="direct"), x, autotune=tmp_path / "times.json")
    assert plan._latest.code.choices[0].row.algorithm == "direct"
    with pc.backend("im2col"):
        pc.compile(MODEL, SHAPE, autotune=tmp_path / "times.json")
    assert seen == []


def test_transposed_convolutions_and_weights_that_a_call_brings(measured, tmp_path):
    measured("direct")
    x, w = normal(1, 32, 28, 28), normal(32, 32, 3, 3)
    for function in (F.conv2d, F.conv_transpose2d):
        plan = pc.compile(function, x.shape, w.shape, autotune=tmp_path / "times.json")
        assert algorithms(plan) == ["direct"]
        arrays = x.astype(np.float32), w.astype(np.float32)
        np.testing.assert_allclose(plan(*arrays), function(*arrays), rtol=0, atol=2e-4)


FOREIGN = ["", "{", "[]", '"x"', "{}", '{"format": "other"}', "[" * 100_000, b"\xff\xfe\x00"]
FOREIGN += [json.dumps({"format": autotune.FORMAT, "machines": m}) for m in (None, [], {"a": 1}, {"a": {"b": 1}})]
FOREIGN += [
    f'{{"format": "{autotune.FORMAT}", "machines": {{"a": {{"b": {{"c": {t}}}}}}}}}' for t in ("-1", "NaN", '"1"')
]


@pytest.mark.parametrize("content", FOREIGN, ids=range(len(FOREIGN)))
def test_files_that_hold_no_times_are_refused_and_left(content, tmp_path):
    path = tmp_path / "times.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"times.json is (no|a broken) file of measured times"):
        pc.compile(MODEL, SHAPE, autotune=path)
    assert path.read_bytes() == before


def test_algorithms_that_there_are_not_are_measured_again(measured, tmp_path):
    measured("direct")
    path = tmp_path / "times.json"
    pc.compile(MODEL, SHAPE, autotune=path)
    path.write_text(path.read_text().replace('"direct"', '"magic"'))
    assert algorithms(pc.compile(MODEL, SHAPE, autotune=path)) == ["direct"]


def test_several_may_write_at_once(tmp_path):
    path = tmp_path / "times.json"

    def write(number):
        for i in range(10):
            tuner = autotune.Tuner(path)
            tuner._measured = {"machine": {f"problem {number} {i}": {"direct": 1.0}}}
            tuner.save()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert autotune.Tuner(path)._known["machine"]
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ""] == ["times.json"]


def test_a_file_keeps_a_bounded_number(tmp_path, monkeypatch):
    monkeypatch.setattr(autotune, "MOST_PROBLEMS", 3)
    for i in range(5):
        tuner = autotune.Tuner(tmp_path / "times.json")
        tuner._measured = {"machine": {f"problem {i}": {"direct": 1.0}}}
        tuner.save()
    assert list(autotune.Tuner(tmp_path / "times.json")._known["machine"]) == ["problem 2", "problem 3", "problem 4"]


def test_a_place_that_cannot_be_written(measured, tmp_path):
    measured("direct")
    (tmp_path / "cache").write_text("a file where a folder should be")
    for path in (True, tmp_path / "cache" / "times.json"):
        with pytest.warns(RuntimeWarning, match="cannot be saved"):
            assert algorithms(pc.compile(MODEL, SHAPE, autotune=path)) == ["direct"]


def test_measuring_takes_turns(monkeypatch):
    order, clock = [], iter(np.arange(1000.0))
    monkeypatch.setattr(timing, "perf_counter", lambda: next(clock))
    times = timing.measure({"a": lambda: order.append("a"), "b": lambda: (order.append("b"), next(clock))})
    assert times == {"a": 1.0, "b": 2.0}
    assert order == ["a", "b"] * (1 + timing._LEAST_ROUNDS)


@pytest.mark.parametrize("wrong", [None, 1, b"x"])
def test_what_is_no_path_is_refused(wrong):
    with pytest.raises(TypeError, match="autotune must be True, False or a path"):
        pc.compile(MODEL, SHAPE, autotune=wrong)
