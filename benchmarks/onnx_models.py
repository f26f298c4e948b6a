"""ONNX models beside ONNX Runtime and OpenVINO: latency, loading, first call, memory.

    python benchmarks/onnx_models.py [--models resnet50,rapidocr-det] [--seconds 1] [--threads 2]

Times are taken in turns as `pyconv bench` takes them (`pyconv/bench/timing.py`). Loading, the first call and the memory
that both take are those of one more process, which does nothing else. Models are onnx's light_* networks with random
weights and, where it is installed, RapidOCR's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np

from pyconv.bench.engines import missing
from pyconv.bench.timing import environment, race, started

RAPIDOCR = {
    "rapidocr-cls": ("ch_ppocr_mobile_v2.0_cls_mobile", (6, 3, 48, 192)),
    "rapidocr-det": ("PP-OCRv6_det_small", (1, 3, 736, 480)),
    "rapidocr-rec": ("PP-OCRv6_rec_small", (6, 3, 48, 320)),
}


@dataclass(frozen=True)
class Model:
    """A file, and the shape of its only input."""

    name: str
    path: str
    shape: tuple[int, ...]

    def arrays(self):
        return {"x": np.random.default_rng(0).standard_normal(self.shape, np.float32)}


class Pyconv:
    """Ours, as `pc.onnx.load` gives it."""

    name, peer, module = "pyconv", False, "pyconv.onnx"

    def unavailable(self):
        return missing(self.module.partition(".")[0])

    def start(self, threads):
        self.threads = threads
        import_module(self.module)

    def refuse(self, model, pass_):
        return None

    def prepare(self, model, pass_, arrays):
        run = self.session(model.path)
        return lambda: run(arrays["x"])

    def session(self, path):
        """A function of the input."""
        session = import_module(self.module).load(path, threads=self.threads)
        (name,) = (i.name for i in session.get_inputs())
        return lambda x: session.run(None, {name: x})


class OnnxRuntime(Pyconv):
    name, peer, module = "onnxruntime", True, "onnxruntime"

    def session(self, path):
        onnxruntime = import_module(self.module)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self.threads, 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda x: session.run(None, {name: x})


class OpenVino(Pyconv):
    name, peer, module = "openvino", True, "openvino"

    def session(self, path):
        core = import_module(self.module).Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        request = core.compile_model(path, "CPU", settings).create_infer_request()
        return lambda x: request.infer([x])


ENGINES = (Pyconv(), OnnxRuntime(), OpenVino())


def alone(engine, model, threads):
    """Seconds of loading and of the first call, and the bytes that a process of its own has more after them."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(theirs, engine, model, threads), daemon=True)
    with environment(threads):
        process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def _measure(pipe, engine, model, threads):
    engine.start(threads)
    x = model.arrays()["x"]
    before, begin = resident(), perf_counter()
    run = engine.session(model.path)
    loaded = perf_counter()
    run(x)
    pipe.send((loaded - begin, perf_counter() - loaded, resident() - before))


def resident():
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def models(folder, chosen):
    """Each model, those of the onnx package written to a folder."""
    from pyconv.bench import light

    for name in light.NAMES:
        if not chosen or name in chosen:
            proto = light.network(name)
            held = {t.name for t in proto.graph.initializer}
            (shape,) = (
                tuple(d.dim_value for d in i.type.tensor_type.shape.dim)
                for i in proto.graph.input
                if i.name not in held
            )
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(proto.SerializeToString())
            yield Model(name, str(path), shape)
    if find_spec("rapidocr"):
        trained = Path(find_spec("rapidocr").origin).parent / "models"
        for name, (file, shape) in RAPIDOCR.items():
            if not chosen or name in chosen:
                yield Model(name, str(trained / f"{file}.onnx"), shape)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", default="", help="names, comma-separated (default: all)")
    arguments.add_argument("--seconds", type=float, default=1.0, help="time an engine gets a model (%(default)s)")
    arguments.add_argument("--threads", type=int, default=2, help="threads of each engine (%(default)s)")
    given = arguments.parse_args()
    engines = [engine for engine in ENGINES if engine.unavailable() is None]
    print("| model | engine | call, ms | ratio | first call, ms | load, ms | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, started(engines, given.threads) as workers:
        for model in models(folder, set(filter(None, given.models.split(",")))):
            found = race(workers, model, "inference", given.seconds, [])
            peer = min((m.seconds for m in found if m.peer and m.seconds), default=np.nan)
            for engine, m in zip(engines, found, strict=True):
                if m.seconds is None:
                    print(f"| {model.name} | {engine.name} | {m.note} | | | | |", flush=True)
                    continue
                load, first, memory = alone(engine, model, given.threads)
                times = f"{1e3 * m.seconds:.2f} | {peer / m.seconds:.2f} | {1e3 * first:.1f} | {1e3 * load:.1f}"
                print(f"| {model.name} | {engine.name} | {times} | {memory / 1e6:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
