"""`pyconv bench`: our backends and the installed peers on the named problems, or on whole networks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyconv import kernels
from pyconv._extras import require
from pyconv.bench import choices, drawn, engines, html, networks, problems, report, session
from pyconv.bench.peak import peak_flops
from pyconv.kernels.threads import get_num_threads, num_threads

EXAMPLE = """\
examples:
  pyconv bench
  pyconv bench --problems 'resnet50/*' --backends 'native*' --passes forward,backward --json new.json --png new.png
  pyconv bench --problems depthwise,convnext/dw96.7x7@16 --peers torch,torch-cl
  pyconv bench --problems '*' --peers none --baseline im2col --seconds 0.1 --no-check
  pyconv bench --networks 'lenet5*,resnet50@1' --peers torch,onnxruntime --json networks.json
  pyconv bench --random 200 --seed 1 --passes forward,backward --no-check --json random.json
  pyconv bench --choices --seconds 0.02 --json choices.json    (exit code 1 if the cost model often chooses badly)
  pyconv bench --problems short --compare old.json      (exit code 1 if a ratio fell by more than 10 %)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLE
    parser.add_argument(
        "--problems",
        metavar="GLOBS",
        help="names, classes, short; comma-separated; @N behind one: batch N, @small: scaled down (default: short)",
    )
    parser.add_argument(
        "--networks",
        nargs="?",
        const="*",
        metavar="GLOBS",
        help=f"whole networks instead of layers: times, memory, compilation; of {', '.join(networks.NETWORKS)} (all)",
    )
    parser.add_argument(
        "--choices",
        action="store_true",
        help="time every algorithm of the native backend: how often is the chosen one within 10 %% of the best?",
    )
    parser.add_argument("--random", type=int, metavar="N", help="N layers drawn at random instead of named ones")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which layers --random draws (%(default)s)")
    ours, peers, passes = (", ".join(names) for names in (engines.BACKENDS, engines.PEERS, problems.PASSES))
    parser.add_argument(
        "--backends", metavar="GLOBS", help=f"of {ours} (default: all); for networks native, numba, im2col (native)"
    )
    parser.add_argument("--peers", default="*", metavar="GLOBS", help=f"of {peers}, or none (default: all)")
    parser.add_argument(
        "--passes",
        metavar="LIST",
        help=f"of {passes} (default: forward,backward); for networks of {', '.join(networks.PASSES)} (both)",
    )
    parser.add_argument(
        "--seconds", type=float, default=0.5, metavar="S", help="time an engine gets a pass (%(default)s)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each engine (default: the usable cores)")
    parser.add_argument("--baseline", metavar="ENGINE", help="an engine to take the ratios to (default: the best peer)")
    parser.add_argument(
        "--check",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure errors against float64, which takes longer than the timing (default: yes)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the measurements and the machine's facts")
    parser.add_argument("--html", metavar="FILE", help="write a page: table, roofline, ratios of each class")
    parser.add_argument("--png", metavar="FILE", help="draw GFLOP/s as bars")
    parser.add_argument("--compare", metavar="FILE", help="hold the ratios to the best peer against an earlier --json")
    parser.add_argument("--list", action="store_true", help="list the problems (all, or those of --problems) and stop")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code: 0, or 1 if a ratio fell or an engine of ours failed."""
    if args.networks is not None:
        return _networks(args)
    random = _drawn(args)
    if args.choices:
        return _choices(args, random)
    if args.list:
        _list(random or (problems.select(args.problems) if args.problems else problems.PROBLEMS.values()))
        return 0
    chosen = random or problems.select(args.problems or "short")
    passes = _passes(args.passes or "forward,backward", problems.PASSES)
    _check_numbers(args)
    old = report.Report.load(args.compare) if args.compare else None
    if args.png:
        require("matplotlib", "bench")  # now rather than after the run
    racing = _available(
        engines.choose(engines.BACKENDS, args.backends or "*") + engines.choose(engines.PEERS, args.peers)
    )

    references = None
    if args.baseline is not None:
        if args.baseline not in [engine.name for engine in racing]:
            raise ValueError(f"--baseline must be an engine that runs, not {args.baseline!r}")
        references = {args.baseline}

    threads = args.threads or get_num_threads()
    facts = report.machine(threads, *peak_flops(threads))
    bytes_a_second = html.bandwidth() if args.html else 0.0
    print(report.heading(facts), flush=True)
    new = report.Report(facts, [])
    by_name = {p.name: p for p in chosen}
    for measurements in session.run(chosen, passes, racing, threads, args.seconds, args.check):
        new.measurements += measurements
        problem = by_name[measurements[0].problem]
        print(report.table(problem, measurements, facts["peak_flops"], references), end="\n\n", flush=True)
    print(report.summary(new, references))
    if random:
        print(report.slower(new, references))
    if args.json:
        new.save(args.json)
    if args.html:
        html.write(new, args.html, bytes_a_second)
    if args.png:
        report.plot(new, args.png)
    failed = [m for m in new.measurements if not m.peer and m.seconds is None]
    for m in failed:
        print(f"failed: {m.problem} {m.pass_} {m.engine}: {m.note}", file=sys.stderr)
    fallen = report.compare(old, new) if old else []
    for regression in fallen:
        print(f"regression: {regression}", file=sys.stderr)
    return 1 if failed or fallen else 0


def _choices(args: argparse.Namespace, random: list[problems.Problem]) -> int:
    """`pyconv bench --choices`; 1 if fewer than 95 % of the choices are good ones."""
    _check_numbers(args)
    reason = kernels.available("native")
    if reason is not None:
        raise ValueError(f"--choices is about the native backend: {reason}")
    chosen = random or (problems.select(args.problems) if args.problems else list(problems.PROBLEMS.values()))
    threads = args.threads or get_num_threads()
    facts = report.machine(threads, *peak_flops(threads))
    print(report.heading(facts), flush=True)
    found = []
    with kernels.backend("native"), num_threads(threads):
        for choice in choices.run(chosen, args.seconds):
            found.append(choice)
            if len(choice.measured) > 1:
                print(choice, flush=True)
    if not found:
        raise ValueError("--choices needs a convolution among the problems")
    print(choices.summary(found))
    if args.json:
        content = choices.as_json(facts, found)
        Path(args.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if choices.good_enough(found) else 1


def _drawn(args: argparse.Namespace) -> list[problems.Problem]:
    """The layers of --random; none without it."""
    if args.random is None:
        return []
    if args.problems:
        raise ValueError("--random draws problems: leave out --problems")
    for name, value, least in (("random", args.random, 1), ("seed", args.seed, 0)):
        if value < least:
            raise ValueError(f"--{name} must be at least {least}, not {value}")
    return [drawn.drawn(args.seed, index) for index in range(args.random)]


def _networks(args: argparse.Namespace) -> int:
    """`pyconv bench --networks`; 1 if an engine of ours failed."""
    chosen = networks.select(args.networks)
    if args.list:
        for network in chosen:
            print(f"{network.name:<22}{', '.join(network.passes):<12}{network}")
        return 0
    passes = _passes(args.passes or ",".join(networks.PASSES), networks.PASSES)
    _check_numbers(args)
    ours = engines.choose(networks.BACKENDS, args.backends or "native")
    racing = _available(ours + engines.choose(networks.PEERS, args.peers))
    threads = args.threads or get_num_threads()
    facts = report.machine(threads, *peak_flops(threads))
    print(report.heading(facts), flush=True)
    results: list[networks.Result] = []
    for some in networks.run(chosen, passes, racing, threads, args.seconds):
        results += some
        print(networks.table(some), end="\n\n", flush=True)
    costs = networks.call_costs()
    python, step, functional = (1e6 * costs[f"{name}_seconds"] for name in ("python", "step", "functional"))
    print(f"a call costs {python:.2f} µs in Python, {step:.3f} µs a step in C; F.conv2d of 1×8×8×8 {functional:.1f} µs")
    if args.json:
        content = networks.as_json(facts, costs, results)
        Path(args.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    failed = [r for r in results if not r.peer and r.seconds is None]
    for r in failed:
        print(f"failed: {r.network} {r.pass_} {r.engine}: {r.note}", file=sys.stderr)
    return 1 if failed else 0


def _check_numbers(args: argparse.Namespace) -> None:
    if not args.seconds > 0:
        raise ValueError(f"--seconds must be above 0, not {args.seconds}")
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads must be at least 1, not {args.threads}")


def _list(listed: Iterable[problems.Problem]) -> None:
    for problem in listed:
        print(f"{problem.name:<30}{problem.group:<12}{problem.flops() / 1e6:>10.1f} MFLOP  {problem}")


def _passes(text: str, known: Iterable[str]) -> list[str]:
    passes = [name.strip() for name in text.split(",")]
    for name in passes:
        if name not in known:
            raise ValueError(f"pass {name!r} is unknown: use {', '.join(known)}")
    return passes


def _available(chosen: list[Any]) -> list[Any]:
    """Those that can run here; the others are named on stderr."""
    available = []
    for engine in chosen:
        reason = engine.unavailable()
        if reason is None:
            available.append(engine)
        else:
            print(f"{engine.name} is left out: {reason}", file=sys.stderr)
    if not available:
        raise ValueError("no engine to time: every backend and peer named is left out")
    return available
