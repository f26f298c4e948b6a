"""ONNX models beside ONNX Runtime and OpenVINO: latency, loading, first call, memory.

    python benchmarks/onnx_models.py [--models resnet50,rapidocr-det] [--seconds 2] [--rounds 3] [--threads 2]

Each engine runs in a process of its own that sleeps while another is timed; they take turns, and the least of the lower
quartiles counts. Models are onnx's light_* networks with random weights and, where it is installed, RapidOCR's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np

RAPIDOCR = {
    "rapidocr-cls": ("ch_ppocr_mobile_v2.0_cls_mobile", (6, 3, 48, 192)),
    "rapidocr-det": ("PP-OCRv6_det_small", (1, 3, 736, 480)),
    "rapidocr-rec": ("PP-OCRv6_rec_small", (6, 3, 48, 320)),
}


def pyconv_session(path, threads):
    import pyconv as pc

    session = pc.onnx.load(path, threads=threads)
    (name,) = (i.name for i in session.get_inputs())
    return lambda x: session.run(None, {name: x})


def onnxruntime_session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def openvino_session(path, threads):
    import openvino

    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(path, "CPU", settings).create_infer_request()
    return lambda x: request.infer([x])


ENGINES = {"pyconv": pyconv_session, "onnxruntime": onnxruntime_session, "openvino": openvino_session}


def worker(engine, path, shape, threads, pipe):
    """Load, call once, then time calls whenever told for how long."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    __import__(engine if engine != "pyconv" else "pyconv.onnx")
    begin, before = perf_counter(), resident()
    run = ENGINES[engine](path, threads)
    loaded = perf_counter()
    run(x)
    pipe.send((loaded - begin, perf_counter() - loaded, resident() - before))
    while seconds := pipe.recv():
        times = []
        while sum(times) < seconds or len(times) < 3:
            begin = perf_counter()
            run(x)
            times.append(perf_counter() - begin)
        pipe.send(float(np.quantile(times, 0.25)))


def resident():
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measured(path, shape, given):
    """engine -> (load, first call, resident bytes, warm call), in seconds."""
    context, found, running = multiprocessing.get_context("spawn"), {}, {}
    for engine in [e for e in ENGINES if find_spec(e)]:
        pipe, theirs = context.Pipe()
        process = context.Process(target=worker, args=(engine, path, shape, given.threads, theirs), daemon=True)
        process.start()
        found[engine], running[engine] = pipe.recv(), (process, pipe)
    best = dict.fromkeys(running, np.inf)
    for _ in range(given.rounds):
        for engine, (_, pipe) in running.items():
            pipe.send(given.seconds)
            best[engine] = min(best[engine], pipe.recv())
    for process, pipe in running.values():
        pipe.send(0)
        process.join()
    return {engine: (*found[engine], best[engine]) for engine in running}


def models(folder, chosen):
    """(name, path, input shape) of each model, written to a folder."""
    from pyconv.bench import light

    for name in light.NAMES:
        if not chosen or name in chosen:
            proto = light.network(name)
            held = {t.name for t in proto.graph.initializer}
            shape = [d.dim_value for i in proto.graph.input if i.name not in held for d in i.type.tensor_type.shape.dim]
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(proto.SerializeToString())
            yield name, str(path), shape
    if find_spec("rapidocr"):
        trained = Path(find_spec("rapidocr").origin).parent / "models"
        for name, (file, shape) in RAPIDOCR.items():
            if not chosen or name in chosen:
                yield name, str(trained / f"{file}.onnx"), shape


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", default="", help="names, comma-separated (default: all)")
    arguments.add_argument("--seconds", type=float, default=1.0, help="time an engine gets a round (%(default)s)")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds (%(default)s)")
    arguments.add_argument("--threads", type=int, default=2, help="threads of each engine (%(default)s)")
    given = arguments.parse_args()
    print("| model | engine | call, ms | ratio | first call, ms | load, ms | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, path, shape in models(folder, set(filter(None, given.models.split(",")))):
            found = measured(path, shape, given)
            peer = min((call for engine, (*_, call) in found.items() if engine != "pyconv"), default=np.nan)
            for engine, (load, first, memory, call) in found.items():
                times = f"{1e3 * call:.2f} | {peer / call:.2f} | {1e3 * first:.1f} | {1e3 * load:.1f}"
                print(f"| {name} | {engine} | {times} | {memory / 1e6:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
