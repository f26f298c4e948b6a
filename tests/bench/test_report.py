"""The report: table, ratios, JSON, comparison of two runs, chart."""

import json

import pytest

from pyconv.bench.problems import find
from pyconv.bench.report import Report, compare, heading, machine, plot, summary, table
from pyconv.bench.timing import Measurement

FACTS = {"cpu": "Test CPU", "isa": "avx2", "threads": 2, "peak_flops": 100e9, "peak_method": "FMA instructions"}
CONV, POOL = "resnet50/conv2.3x3", "vgg16/pool3"


def row(engine, seconds, *, peer=False, problem=CONV, pass_="forward", **rest):
    return Measurement(problem, pass_, engine, peer, seconds, **rest)


def report(*rows):
    return Report(FACTS, list(rows))


def test_ratio_is_the_best_peers_time_over_ours():
    both = report(
        row("native", 1e-3), row("naive", 1.0), row("torch", 3e-3, peer=True), row("openvino", 2e-3, peer=True),
        row("scipy", None, peer=True, note="not installed"), row("native", 1e-3, pass_="backward"),
    )  # fmt: skip
    assert both.ratios() == {(CONV, "forward", "native"): 2.0, (CONV, "forward", "naive"): 2e-3}
    assert both.ratios({"torch"})[CONV, "forward", "native"] == 3.0
    assert both.ratios({"naive"}) == {(CONV, "forward", "native"): 1e3}
    assert both.peers == {"torch", "openvino"}


def test_table_shows_speed_share_ratio_error_and_why_not():
    problem = find(CONV)
    seconds = problem.flops() / 50e9
    rows = [
        row("naive", None, note="stopped with exit code 1"),
        row("torch", 2 * seconds, peer=True),
        row("native", seconds, error=1.3e-6),
    ]
    lines = table(problem, rows, 100e9).splitlines()
    assert lines[0] == f"{CONV} forward: {problem}"
    assert lines[1].split() == ["engine", "time", "GFLOP/s", "of", "peak", "ratio", "error"]
    assert lines[2].split() == ["native", "4.62", "ms", "50.00", "50%", "2.00", "1.3e-06"]
    assert lines[3].split() == ["torch", "9.25", "ms", "25.00", "25%", "–", "–"]
    assert lines[4].split(maxsplit=2) == ["naive", "–", "stopped with exit code 1"]


def test_table_of_a_pooling_has_no_share_of_the_fma_peak():
    lines = table(find(POOL), [row("native", 12e-6, problem=POOL)], 100e9).splitlines()
    assert lines[2].split()[:5] == ["native", "12", "µs", f"{find(POOL).flops() / 12e-6 / 1e9:.2f}", "–"]


def test_summary_gives_geometric_mean_and_least_by_class():
    text = summary(
        report(
            row("native", 1.0), row("torch", 4.0, peer=True),
            row("native", 1.0, problem="vgg16/conv1_2"), row("torch", 1.0, peer=True, problem="vgg16/conv1_2"),
        )
    )  # fmt: skip
    assert text.splitlines()[1].split() == ["native", "forward", "3x3", "2.00", "1.00", "vgg16/conv1_2"]
    assert summary(report(row("native", 1.0))) == "no ratios: best peer did not run"


def test_json_round_trip(tmp_path):
    before = report(row("native", 1e-3, error=1e-6, calls=5, spread=1.5), row("scipy", None, peer=True, note="absent"))
    before.save(tmp_path / "r.json")
    assert Report.load(tmp_path / "r.json") == before
    assert json.loads((tmp_path / "r.json").read_text())["machine"]["cpu"] == "Test CPU"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "nonsense",
        '{"version": 1}',
        '{"version": 99}',
        '{"version": 1, "machine": {}, "measurements": [{}]}',
    ],
)
def test_load_refuses_a_foreign_file(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"r\.json is not a report of `pyconv bench --json`"):
        Report.load(path)


def test_compare_finds_what_fell_by_more_than_a_tenth():
    old = report(row("native", 1.0), row("numba", 1.0), row("im2col", 1.0), row("torch", 2.0, peer=True))
    new = report(row("native", 1.2), row("numba", 1.1), row("im2col", 2.0), row("torch", 2.0, peer=True))
    fallen = compare(old, new)
    assert [(r.engine, r.before, r.after) for r in fallen] == [("im2col", 2.0, 1.0), ("native", 2.0, 2.0 / 1.2)]
    assert str(fallen[0]) == f"{CONV} forward im2col: 2.00 -> 1.00 (50% slower)"
    assert compare(old, new, tolerance=0.6) == []
    assert compare(old, old) == []


def test_compare_is_by_ratio_so_a_slower_machine_is_no_regression():
    old = report(row("native", 1.0), row("torch", 2.0, peer=True))
    new = report(row("native", 3.0), row("torch", 6.0, peer=True))
    assert compare(old, new) == []


def test_compare_counts_common_peers_only():
    old = report(row("native", 1.0), row("torch", 2.0, peer=True))
    new = report(row("native", 1.0), row("torch", 2.0, peer=True), row("openvino", 1.0, peer=True))
    assert compare(old, new) == []


@pytest.mark.parametrize(
    "new",
    [
        report(row("native", 1.0)),
        report(row("native", 1.0), row("openvino", 1.0, peer=True)),
        report(row("native", 1.0, problem=POOL), row("torch", 1.0, peer=True, problem=POOL)),
    ],
)
def test_compare_refuses_reports_with_nothing_in_common(new):
    with pytest.raises(ValueError, match="share no"):
        compare(report(row("native", 1.0), row("torch", 1.0, peer=True)), new)


def test_machine_facts():
    facts = machine(2, 1e11, "FMA instructions")
    assert facts["threads"] == 2
    assert "numpy" in facts["versions"]
    assert json.loads(json.dumps(facts)) == facts
    assert heading(FACTS) == "Test CPU, avx2, threads: 2, peak 100 GFLOP/s by FMA instructions"


def test_plot_writes_a_png(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        row(e, 1e-3, problem=p, pass_=q)
        for e in ("native", "torch")
        for p in (CONV, POOL)
        for q in ("forward", "backward")
    ]
    plot(report(*rows, row("scipy", None, note="absent")), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
