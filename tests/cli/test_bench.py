"""`pyconv bench`: what its options choose, what it prints and writes, and its exit codes."""

import argparse
import json
import re
from xml.etree import ElementTree

import pytest

from pyconv import kernels
from pyconv.bench import choices, session
from pyconv.bench.problems import PROBLEMS, find
from pyconv.bench.report import Report
from pyconv.bench.timing import Measurement
from pyconv.cli import bench


def run(*arguments):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(arguments))


@pytest.fixture
def timed(monkeypatch):
    """Runs nothing: every engine takes the time that this dictionary gives it (1 s if none)."""
    seconds, asked = {}, {}

    def fake(problems, passes, engines, threads, budget, check):
        asked.update(
            problems=[p.name for p in problems],
            passes=passes,
            engines=[e.name for e in engines],
            threads=threads,
            check=check,
        )
        for problem in problems:
            for pass_ in passes:
                if pass_ in problem.passes:
                    yield [
                        Measurement(problem.name, pass_, e.name, e.peer, seconds.get(e.name, 1.0), 1e-6)
                        for e in engines
                    ]

    monkeypatch.setattr(session, "run", fake)
    monkeypatch.setattr(bench, "peak_flops", lambda threads: (1e11, "a test"))
    monkeypatch.setattr("pyconv.bench.engines.Pyconv.unavailable", lambda self: None)
    monkeypatch.setattr("pyconv.bench.engines.Torch.unavailable", lambda self: None)
    seconds["asked"] = asked
    return seconds


def test_list_names_every_problem(capsys):
    assert run("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PROBLEMS)
    assert str(find(lines[0].split()[0])) in lines[0]


def test_list_of_some(capsys):
    assert run("--list", "--problems", "dilated") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["deeplabv3/conv5", "deeplabv3/aspp12"]


def test_run_asks_for_what_the_options_say_and_prints_it(timed, capsys):
    assert run(
        "--problems", "lenet5/conv1,lenet5/pool1@small", "--backends", "native*", "--peers", "torch",
        "--passes", "forward,backward_data", "--threads", "1",
    ) == 0  # fmt: skip
    assert timed["asked"] == {
        "problems": ["lenet5/conv1", "lenet5/pool1@small"],
        "passes": ["forward", "backward_data"],
        "engines": ["native", "native-cl", "torch"],
        "threads": 1,
        "check": True,
    }
    out = capsys.readouterr().out
    assert "lenet5/conv1 backward_data: 64×1×32×32 → 6, conv 5×5" in out
    assert "lenet5/pool1@small forward" in out
    assert "threads: 1, peak 100 GFLOP/s by a test" in out
    assert "time of best peer / ours" in out


def test_random_layers_and_where_a_peer_is_quicker(timed, capsys, tmp_path):
    timed.update({"native": 2.0, "native-cl": 0.8, "torch": 0.5})
    path = tmp_path / "random.json"
    assert run("--random", "3", "--seed", "5", "--backends", "native*", "--peers", "torch", "--json", str(path)) == 0
    assert timed["asked"]["problems"] == ["random/5.0", "random/5.1", "random/5.2"]
    out = capsys.readouterr().out
    assert "forward                   3    0.62    0.62        3" in out
    assert f"0.62  random/5.1    {find('random/5.1')}" in out
    assert {m.problem for m in Report.load(path).measurements} == {"random/5.0", "random/5.1", "random/5.2"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--random", "0"), "--random must be at least 1, not 0"),
        (("--random", "1", "--seed", "-1"), "--seed must be at least 0, not -1"),
        (("--random", "1", "--problems", "short"), "leave out --problems"),
    ],
)
def test_bad_random_options(arguments, message):
    with pytest.raises(ValueError, match=message):
        run(*arguments)


def test_ratios_to_an_engine_of_ours(timed, capsys):
    timed["im2col"] = 3.0
    options = ("--problems", "lecture/conv", "--backends", "im2col,native", "--peers", "none", "--passes", "forward")
    assert run(*options, "--baseline", "im2col", "--no-check") == 0
    assert timed["asked"]["check"] is False
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("time of im2col / ours")
    assert lines[-1].split()[:5] == ["native", "forward", "few", "3.00", "3.00"]
    with pytest.raises(ValueError, match="--baseline must be an engine that runs, not 'torch'"):
        run(*options, "--baseline", "torch")


def test_json_and_compare(timed, tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    options = ("--problems", "lecture/*", "--backends", "native", "--peers", "torch", "--passes", "forward")
    assert run(*options, "--json", str(old)) == 0
    assert len(Report.load(old).measurements) == 2
    assert run(*options, "--compare", str(old)) == 0
    timed["native"] = 1.2
    assert run(*options, "--compare", str(old), "--json", str(new)) == 1
    assert "regression: lecture/conv forward native: 1.00 -> 0.83 (17% slower)" in capsys.readouterr().err
    assert new.exists()


def test_an_engine_of_ours_that_fails_shows_in_the_exit_code(timed, capsys):
    timed["native"] = None
    assert run("--problems", "lecture/*", "--backends", "native", "--peers", "torch", "--passes", "forward") == 1
    assert "failed: lecture/conv forward native" in capsys.readouterr().err
    timed.update({"native": 1.0, "torch": None})
    assert run("--problems", "lecture/*", "--backends", "native", "--peers", "torch", "--passes", "forward") == 0


def test_png(timed, monkeypatch):
    pytest.importorskip("matplotlib")
    drawn = {}
    monkeypatch.setattr(bench.report, "plot", lambda report, path: drawn.update({path: report}))
    assert run("--problems", "lecture/*", "--backends", "native", "--peers", "none", "--png", "chart.png") == 0
    assert [m.engine for m in drawn["chart.png"].measurements] == ["native", "native"]


def test_html_is_one_page_with_table_roofline_and_ratios(timed, tmp_path):
    timed["native"] = 0.5
    path = tmp_path / "report.html"
    options = ("--problems", "lecture/*,lenet5/conv1,vgg16/pool3", "--backends", "native*", "--peers", "torch")
    assert run(*options, "--html", str(path)) == 0
    text = path.read_text(encoding="utf-8")
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    circles, bars = (list(svg.iter(tag)) for svg, tag in zip(drawings, ("circle", "rect"), strict=True))
    assert len(circles) == 2 * 2 * 3  # convolutions, passes, engines
    assert all(0 <= float(c.get("cx")) <= 900 and 0 <= float(c.get("cy")) <= 420 for c in circles)
    assert len(bars) == 2 * 2 * 2  # classes, passes, engines of ours
    assert text.count("<tr>") == 1 + 3 * 2 * 3
    assert "<td>2.00</td>" in text
    assert "://" not in text


def test_engine_that_is_missing_is_named(timed, monkeypatch, capsys):
    monkeypatch.setattr("pyconv.bench.engines.Torch.unavailable", lambda self: "not installed: pip install torch")
    assert run("--problems", "lecture/*", "--backends", "native", "--peers", "torch") == 0
    assert "torch is left out: not installed: pip install torch" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no engine"):
        run("--problems", "lecture/*", "--backends", "none", "--peers", "torch")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--problems", "nothing"), "--list"),
        (("--passes", "sideways"), "forward, backward_data"),
        (("--backends", "cuda"), "naive, im2col"),
        (("--peers", "cuda"), "torch"),
        (("--seconds", "0"), "above 0"),
        (("--seconds", "nan"), "above 0"),
        (("--threads", "0"), "at least 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(*options)


def test_compare_with_a_foreign_file_is_refused_before_the_run(timed, tmp_path):
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a report"):
        run("--compare", str(tmp_path / "old.json"))
    assert timed["asked"] == {}


def test_a_real_run_of_one_small_problem(tmp_path):
    path = tmp_path / "r.json"
    options = ("--problems", "lecture/conv@small", "--backends", "naive,im2col", "--peers", "none", "--seconds", "0.01")
    assert run(*options, "--threads", "1", "--json", str(path)) == 0
    measured = Report.load(path).measurements
    assert [(m.engine, m.pass_) for m in measured] == [
        (engine, pass_) for pass_ in ("forward", "backward") for engine in ("naive", "im2col")
    ]
    assert all(m.seconds > 0 and m.error < 3e-6 for m in measured)


def test_choices_time_every_algorithm_beside_the_chosen_one(tmp_path, capsys):
    if (reason := kernels.available("native")) is not None:
        pytest.skip(reason)
    path = tmp_path / "choices.json"
    options = (
        "--choices",
        "--problems",
        "cifar-resnet18/conv3@small,dcgan/up3@small,vgg16/pool5",
        "--seconds",
        "0.001",
    )
    assert run(*options, "--threads", "1", "--json", str(path)) in (0, 1)  # a machine that others use decides
    found = json.loads(path.read_text())["choices"]
    assert [(c["problem"], c["pass_"], c["use"]) for c in found] == [
        (name, pass_, use)
        for name in ("cifar-resnet18/conv3@small", "dcgan/up3@small")
        for pass_, use in (
            *(("forward", use) for use in ("call", "plan")),
            *(("backward_data", use) for use in ("call", "plan")),
            ("backward_weights", "call"),
        )
    ]
    for choice in found:
        assert choice["measured"].keys() == choice["predicted"].keys()
        assert choice["loss"] == choice["measured"][choice["chosen"]] / min(choice["measured"].values())
    assert set(found[0]["measured"]) == {"direct", "winograd", "winograd-small"}
    assert "of the 5 with more than one algorithm" in capsys.readouterr().out


def test_choices_that_are_bad_show_in_the_exit_code(monkeypatch):
    bad = choices.Choice(
        "a", "forward", "call", "direct", {"direct": 1.0, "winograd": 1.0}, {"direct": 2, "winograd": 1}
    )
    good = choices.Choice("a", "forward", "call", "winograd", bad.predicted, bad.measured)
    assert choices.good_enough([good] * 19 + [bad])
    assert not choices.good_enough([good] * 18 + [bad])
    assert choices.summary([good] * 3 + [bad]).startswith("3 of 4 choices (75.0%) within 10 % of the best; 3 of the 4")
