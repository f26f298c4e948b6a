"""Number of threads: what the process was given, what it is told, and who is told what."""

import os
import subprocess
import sys
import threading

import pytest

import pyconv as pc
from pyconv.kernels import threads


def machine(folder, groups, files):
    """A /proc and a /sys/fs/cgroup: this process's groups, and files of control groups with their content."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = cgroups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc, cgroups


def version_1(folder, quota, period=100_000):
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        # version 2
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "200000 100000\n"}, 0.5),
        ("0::/host/path\n", {"cpu.max": "300000 100000\n"}, 3),  # the container's root is its own group
        ("0::/../..\n", {"cpu.max": "300000 100000\n"}, 3),
        # version 1
        ("4:cpu,cpuacct:/a\n", version_1("cpu,cpuacct/a", -1), None),
        ("4:cpu,cpuacct:/a\n", version_1("cpu,cpuacct/a", 250_000), 2.5),
        ("4:cpuacct,cpu:/\n", version_1("cpu", 50_000, 25_000), 2),
        # both: the smaller counts
        ("1:cpu:/x\n0::/y\n", {**version_1("cpu/x", 400_000), "unified/y/cpu.max": "100000 100000"}, 1),
        # nothing, or nothing that makes sense
        ("", {}, None),
        ("9:memory:/\n", {}, None),
        ("nonsense\n", {}, None),
        ("0::/\n", {"cpu.max": "\n"}, None),
        ("0::/\n", {"cpu.max": "lots 100000\n"}, None),
        ("0::/\n", {"cpu.max": "100000 0\n"}, None),
    ],
)
def test_quotas_of_control_groups(tmp_path, groups, files, quota):
    assert threads.cgroup_quota(*machine(tmp_path, groups, files)) == quota


@pytest.mark.parametrize(
    ("text", "cores"), [("10000 100000", 1), ("150000 100000", 2), ("900000 100000", 4), ("max 1", 4)]
)
def test_a_quota_cuts_the_cores(tmp_path, monkeypatch, text, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert threads.usable_cores(*machine(tmp_path, "0::/\n", {"cpu.max": text})) == cores


def test_without_control_groups_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert threads.usable_cores(tmp_path, tmp_path) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.usable_cores(tmp_path, tmp_path) == 1


def default(environment, before=""):
    code = f"{before}\nimport pyconv; print(pyconv.get_num_threads())"
    names = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], env={**names, **environment}, capture_output=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize(("value", "count"), [("3", 3), ("64", 64), (" 2 ,4", 2)])
def test_the_environment_is_obeyed(value, count):
    assert default({"OMP_NUM_THREADS": value}) == count


@pytest.mark.parametrize("value", ["", "0", "-1", "many"])
def test_an_environment_that_makes_no_sense_is_passed_over(value):
    assert default({"OMP_NUM_THREADS": value}) == threads.usable_cores()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_the_real_affinity_is_obeyed():
    assert default({}, "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})") == 1


def test_process_and_block():
    before = pc.get_num_threads()
    try:
        pc.set_num_threads(3)
        with pc.num_threads(2):
            assert pc.get_num_threads() == 2
            with pc.num_threads(1):
                assert pc.get_num_threads() == 1
            pc.set_num_threads(5)  # the block has its own number
            assert pc.get_num_threads() == 2
        assert pc.get_num_threads() == 5
    finally:
        pc.set_num_threads(before)


def test_a_block_is_its_threads_own():
    before, seen = pc.get_num_threads(), []
    with pc.num_threads(before + 7):
        worker = threading.Thread(target=lambda: seen.append(pc.get_num_threads()))
        worker.start()
        worker.join()
    assert seen == [before]


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "n must be at least 1 thread, not 0"),
        (-2, ValueError, "n must be at least 1 thread, not -2"),
        (1.5, TypeError, "n must be an integer number of threads, not 1.5"),
        ("2", TypeError, "n must be an integer number of threads, not '2'"),
    ],
)
def test_bad_numbers_are_refused(n, error, message):
    for call in (pc.set_num_threads, lambda n: pc.num_threads(n).__enter__()):
        with pytest.raises(error, match=message):
            call(n)
