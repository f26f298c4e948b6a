"""Exact resume: training that was stopped, in whatever way and at whatever batch, ends as if it had never stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_helpers import everything, figures, make_data, make_model, make_trainer

import pyconv as pc
from pyconv import optim, serialization
from pyconv.train import Callback, Checkpoint, EarlyStopping, ReduceOnPlateau

EPOCHS, BATCH = 3, 9  # 40 samples: 5 batches, the last smaller
KILLED_EPOCHS = 12
KILLS = int(os.environ.get("PYCONV_KILLS", "3"))


class StopAt(Callback):
    """Sends this process a signal after so many batches of the run."""

    order = -1

    def __init__(self, batches, number=signal.SIGINT):
        self.left = batches
        self.number = number

    def on_batch_end(self, trainer, loss):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)


@pytest.fixture(scope="module")
def whole():
    with pc.num_threads(1):
        trainer = make_trainer()
        trainer.fit(make_data(), EPOCHS, BATCH, validation=make_data())
    return trainer


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("stop", [1, 4, 5, 6, 10, 14, 15])
def test_stopped_at_any_batch(tmp_path, data, whole, stop, suffix):
    path = tmp_path / f"checkpoint{suffix}"
    with pytest.raises(KeyboardInterrupt):
        make_trainer(callbacks=[Checkpoint(path), StopAt(stop)]).fit(data, EPOCHS, BATCH, validation=data)
    resumed = make_trainer()
    for array in resumed.model.parameters():
        array[...] = 7  # nothing of the new model may survive
    resumed.fit(data, EPOCHS, BATCH, validation=data, resume=path)
    assert everything(resumed) == everything(whole)
    assert figures(resumed) == figures(whole)


def test_stopped_again_and_again(tmp_path, data, whole):
    path = tmp_path / "checkpoint.safetensors"
    for k in range(EPOCHS * 5):
        with pytest.raises(KeyboardInterrupt):
            make_trainer(callbacks=[Checkpoint(path), StopAt(1)]).fit(
                data, EPOCHS, BATCH, validation=data, resume=path if k else None
            )
    resumed = make_trainer()
    resumed.fit(data, EPOCHS, BATCH, validation=data, resume=path)
    assert everything(resumed) == everything(whole)
    assert figures(resumed) == figures(whole)


@pytest.mark.parametrize("name", optim.names())
def test_every_optimizer_resumes(tmp_path, data, name):
    def run(**options):
        schedule = optim.schedules.create("one_cycle", 1e-3, 15)
        return make_trainer(optimizer=optim.create(name, lr=1e-3), schedule=schedule, **options)

    whole, stopped, resumed = run(), run(callbacks=[Checkpoint(tmp_path / "c.npz"), StopAt(7)]), run()
    whole.fit(data, EPOCHS, BATCH)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(data, EPOCHS, BATCH)
    resumed.fit(data, EPOCHS, BATCH, resume=tmp_path / "c.npz")
    assert everything(resumed) == everything(whole)


def test_callbacks_remember(tmp_path, data):
    def callbacks():
        plateau = optim.schedules.ReduceOnPlateau(1e-3, factor=0.5, patience=0, threshold=0.5)
        return [EarlyStopping("loss", patience=3, min_delta=10), ReduceOnPlateau(plateau, "loss")]

    whole, resumed = make_trainer(callbacks=callbacks()), make_trainer(callbacks=callbacks())
    whole.fit(data, 9, BATCH)
    assert whole.epoch == 4  # the first epoch is the best; three more may pass
    with pytest.raises(KeyboardInterrupt):
        make_trainer(callbacks=[*callbacks(), Checkpoint(tmp_path / "c.npz"), StopAt(12)]).fit(data, 9, BATCH)
    resumed.fit(data, 9, BATCH, resume=tmp_path / "c.npz")
    assert everything(resumed) == everything(whole)
    assert figures(resumed) == figures(whole)
    assert whole.history["lr"][-1] < 1e-3


def test_a_run_that_stopped_early_has_ended(tmp_path, data):
    """Killed after its last epoch, before its weights were written: resuming must not train on."""

    def run():
        return make_trainer(callbacks=[EarlyStopping("loss", patience=1, min_delta=10), Checkpoint(tmp_path / "c.npz")])

    whole, resumed = run(), run()
    whole.fit(data, 9, BATCH)
    resumed.fit(data, 9, BATCH, resume=tmp_path / "c.npz")
    assert resumed.epoch == whole.epoch == 2
    assert everything(resumed) == everything(whole)


def test_resuming_a_finished_run_does_nothing(tmp_path, data, whole):
    make_trainer(callbacks=[Checkpoint(tmp_path / "c.npz")]).fit(data, EPOCHS, BATCH, validation=data)
    again = make_trainer()
    again.fit(data, EPOCHS, BATCH, validation=data, resume=tmp_path / "c.npz")
    assert everything(again) == everything(whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": make_data(39)}, "samples 40, not 39"),
        ({"batch": 8}, "batch_size 9, not 8"),
        ({"seed": 4}, "seed 3, not 4"),
        ({"model": make_model(4)}, "parameter 5.weight has the shape"),
        ({"optimizer": optim.SGD(lr=0.1)}, "optimizer m/0.bias, which is not here"),
        ({"ema": None}, "average params/0.bias, which is not here"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path, data, change, message):
    make_trainer(callbacks=[Checkpoint(tmp_path / "c.npz")]).fit(data, 1, BATCH)
    trainer = make_trainer(**{k: v for k, v in change.items() if k in ("seed", "optimizer", "ema")})
    trainer.model = change.get("model", trainer.model)
    before = {n: a.tobytes() for n, a in trainer.model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        trainer.fit(change.get("data", data), EPOCHS, change.get("batch", BATCH), resume=tmp_path / "c.npz")
    assert {n: a.tobytes() for n, a in trainer.model.state_dict().items()} == before
    assert trainer.epoch == 0


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 2000, -1])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_truncated_checkpoint_is_refused(tmp_path, data, keep, suffix):
    path = tmp_path / f"c{suffix}"
    make_trainer(callbacks=[Checkpoint(path)]).fit(data, 1, BATCH)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="damaged"):
        make_trainer().fit(data, EPOCHS, BATCH, resume=path)


def test_a_foreign_file_is_refused(tmp_path, data):
    trainer = make_trainer()
    trainer.save_model(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="not a checkpoint of a training run but a file of model"):
        trainer.fit(data, 1, BATCH, resume=tmp_path / "model.npz")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        trainer.fit(data, 1, BATCH, resume=tmp_path / "none.npz")


# --- files that cannot be written


def test_a_failed_save_warns_and_keeps_the_old_one(tmp_path, data, monkeypatch):
    path = tmp_path / "c.npz"
    trainer = make_trainer(callbacks=[Checkpoint(path)])
    trainer.fit(data, 1, BATCH)
    old = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="No space left on device; the last checkpoint stands"):
        trainer.fit(data, 1, BATCH)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["c.npz"]
    assert trainer.epoch == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files, which Windows has not")
def test_a_disk_that_fills_up(tmp_path, data):
    """A real short write: the kernel lets files grow to 1,000 bytes and no further."""
    import resource

    path = tmp_path / "c.npz"
    make_trainer(callbacks=[Checkpoint(path)]).fit(data, 1, BATCH)
    old = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.warns(UserWarning, match="could not be written: File too large"):
            make_trainer(callbacks=[Checkpoint(path)]).fit(data, 2, BATCH)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["c.npz"]


# --- killed


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
    """What the child writes that nobody kills."""
    folder = tmp_path_factory.mktemp("whole")
    assert _child(folder / "c.npz", folder, "run").wait(60) == 0
    return (folder / "run.bin").read_bytes()


def test_killed_in_the_middle_of_a_write(tmp_path, never_killed):
    """The child stops, for good, when half of the new checkpoint is on the disk; the old one must still serve."""
    path = tmp_path / "c.safetensors"
    child = _child(path, tmp_path, "half")
    assert child.wait(60) == -signal.SIGKILL
    leftovers = [p for p in tmp_path.iterdir() if p.suffix == ".part"]
    assert len(leftovers) == 1
    assert leftovers[0].stat().st_size > 0
    _, about = serialization.read(path)
    assert about["kind"] == "checkpoint"
    assert _child(path, tmp_path, "resume").wait(60) == 0
    assert (tmp_path / "resume.bin").read_bytes() == never_killed
    assert not list(tmp_path.glob(".*.part"))


def test_killed_at_random_moments(tmp_path, never_killed):
    """Killed, resumed, killed again, until the run is through; then another run. PYCONV_KILLS says how often in all."""
    path, rng = tmp_path / "c.safetensors", random.Random()
    kills = runs = 0
    while kills < KILLS or runs == 0:
        before, child = _written(path), _child(path, tmp_path, "run")
        while _written(path) == before and child.poll() is None:  # until it trains
            time.sleep(0.001)
        if kills < KILLS:
            time.sleep(rng.uniform(0, 0.3))
            child.kill()
        code = child.wait(60)
        if code == -signal.SIGKILL:
            kills += 1
            continue
        assert code == 0, f"resuming failed after {kills} kills"
        assert (tmp_path / "run.bin").read_bytes() == never_killed
        assert not list(tmp_path.glob(".*.part"))
        path.unlink()
        runs += 1


def _written(path):
    return path.stat().st_mtime_ns if path.exists() else None


def _child(path, folder, mode):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen([sys.executable, __file__, str(path), str(folder), mode], env=environment)


def _run_child(path, folder, mode):
    pc.set_num_threads(1)
    trainer = make_trainer(callbacks=[Checkpoint(path, every_seconds=0)])
    if mode == "half":
        writes = []
        plain_fsync = os.fsync

        def fsync(handle):
            writes.append(handle)
            if len(writes) == 9:  # in the middle of a later save
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
                plain_fsync(handle)
                os.kill(os.getpid(), signal.SIGKILL)
            plain_fsync(handle)

        os.fsync = fsync
    trainer.fit(make_data(), KILLED_EPOCHS, BATCH, validation=make_data(), resume=path if path.exists() else None)
    content = b"".join(np.asarray(a).tobytes() for _, a in sorted(trainer.model.named_parameters()))
    (folder / f"{mode}.bin").write_bytes(content + repr(figures(trainer)).encode())


if __name__ == "__main__":
    _run_child(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
