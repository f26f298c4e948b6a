"""Mutants of model files: each is refused with a ValueError or TypeError, or runs; none crashes, hangs or eats memory.

    python tests/onnx/fuzz.py --mutants 100000 --seed 1

prints what became of them, and stops with the mutant in a file if one breaks the rule. A mutant has five seconds of
computing, the process 4 GiB of address space beyond what it has when it begins.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

import pyconv as pc

SECONDS, ROOM = 5, 4 << 30
INPUT = np.ones((1, 3, 8, 8), np.float32)

NETWORK = """<ir_version: 8, opset_import: ["": 17]> g (float[N, C, H, W] x) => (y)
    <int64[2] shape = {0, -1}, int64[4] pads = {0, 0, 1, 1}, float[4] scales = {1, 1, 2, 2}, int64[1] one = {1}> {
    r = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , scales)
    p = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(r)
    t = Transpose<perm = [0, 2, 3, 1]>(p)  f = Reshape(t, shape)  s = Softmax<axis = 1>(f)
    q = Shape(s)  g = Gather<axis = 0>(q, one)  e = Expand(s, q)  y = Concat<axis = 1>(e, s) }"""


def seeds() -> list[bytes]:
    """Small models that hold a little of everything."""
    layer = helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2])
    nodes = [
        layer,
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["y"], kernel_shape=[2, 2]),
    ]
    weights = [("w", np.ones((2, 3, 3, 3), np.float32)), ("b", np.ones(2, np.float32))]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(array, name) for name, array in weights])
    convolution = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return [convolution.SerializeToString(), parser.parse_model(NETWORK).SerializeToString()]


def mutants(whole: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Bytes changed, cut out, put in or repeated, one to three times."""
    while True:
        mutant = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            place, kind = int(rng.integers(len(mutant) + 1)), rng.integers(4)
            if kind == 0 and place < len(mutant):
                mutant[place] = rng.integers(256)
            elif kind == 1:
                del mutant[place : place + int(rng.integers(1, 8))]
            elif kind == 2:
                mutant[place:place] = rng.bytes(int(rng.integers(1, 5)))
            else:
                mutant[place:place] = mutant[place : place + int(rng.integers(1, 40))]
        yield bytes(mutant)


def outcome(mutant: bytes) -> str:
    """Whether it was refused while loading or running, or ran."""
    try:
        session = pc.onnx.load(mutant, memory_limit=1 << 28)
    except (ValueError, TypeError):
        return "refused"
    try:
        session.run(None, {i.name: INPUT for i in session.get_inputs()})
    except (ValueError, TypeError):
        return "refused in its run"
    return "ran"


def fuzz(count: int, seed: int, seconds: float = 0) -> Counter[str]:
    """What became of so many mutants; a timer goes off if one takes longer than `seconds`, if they are given."""
    rng = np.random.default_rng(seed)
    sources = [mutants(whole, rng) for whole in seeds()]
    found: Counter[str] = Counter()
    for number in range(count):
        mutant = next(sources[number % len(sources)])
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            found[outcome(mutant)] += 1
        except BaseException:
            Path("mutant.onnx").write_bytes(mutant)
            raise
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mutants", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    signal.signal(signal.SIGVTALRM, _too_long)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    found = fuzz(given.mutants, given.seed, SECONDS)
    print(f"{given.mutants:,} mutants of onnx {onnx.__version__} models: {dict(found)}")
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB of memory")
    return 0


def _too_long(*_: object) -> None:
    raise TimeoutError(f"a mutant took more than {SECONDS} seconds: see mutant.onnx")


if __name__ == "__main__":
    sys.exit(main())
