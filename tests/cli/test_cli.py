"""The command line: what each command writes and prints, which exit code it ends with, and that nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import pyconv as pc
from pyconv.cli import toml
from pyconv.cli.main import COMMANDS, main
from pyconv.train import History

pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
Image = pytest.importorskip("PIL.Image")

TINY = ["--model", "catnet", "--epochs", "2", "--batch-size", "8", "--threads", "1", "--quiet"]


@pytest.fixture(autouse=True)
def _restored():
    threads, backend = pc.get_num_threads(), pc.get_backend()
    yield
    pc.set_num_threads(threads)
    pc.set_backend(backend)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """24 noisy images of 16×16, bright at the left or at the right."""
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    x = rng.integers(0, 100, (24, 3, 16, 16), np.uint8)
    x[y == 0, :, :, :8] += 100
    x[y == 1, :, :, 8:] += 100
    path = tmp_path_factory.mktemp("data") / "own.npz"
    np.savez(path, x=x, y=y, classes=np.array(["left", "right"]))
    return path


@pytest.fixture(scope="module")
def finished(arrays, tmp_path_factory):
    """A run that was trained once, for the commands that use one."""
    folder = tmp_path_factory.mktemp("run")
    assert (
        main(["train", "--dataset", "npz", "--data-dir", str(arrays), *TINY, "--epochs", "8", "--out", str(folder)])
        == 0
    )
    return folder


# --- train


def test_train_writes_a_whole_run(finished, arrays):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["dataset"] == "npz"
    assert metrics["model"] == "catnet"
    assert metrics["epochs"] == 8
    assert metrics["threads"] == 1
    assert metrics["seed"] == 0
    assert metrics["backend"] == pc.get_backend()
    assert 0 <= metrics["test_accuracy"] <= 1
    assert metrics["final_cost"] < metrics["initial_cost"]
    assert metrics["seconds"] > 0
    assert isinstance(metrics["isa"], str)
    model = pc.load(finished / "model.safetensors")
    assert model.num_parameters() == metrics["parameters"]
    assert History.from_csv(finished / "history.csv").epochs == 8
    for name in ("curves.png", "confusion.png"):
        assert (finished / name).read_bytes().startswith(b"\x89PNG")
    assert toml.read(finished / "config.toml")["data_dir"] == str(arrays)


def test_digits_are_the_default(tmp_path, capsys):
    assert main(["train", "--epochs", "3", "--threads", "1", "--quiet", "--out", str(tmp_path / "new" / "run")]) == 0
    metrics = json.loads((tmp_path / "new" / "run" / "metrics.json").read_text())
    assert metrics["dataset"] == "digits"
    assert metrics["test_accuracy"] > 0.9
    assert "test accuracy" in capsys.readouterr().out


def test_a_config_repeats_a_run_bit_for_bit(finished, tmp_path):
    assert main(["train", "--config", str(finished / "config.toml"), "--quiet", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "config.toml").read_text() == (finished / "config.toml").read_text()
    assert (tmp_path / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


def test_the_command_line_wins_over_the_config(finished, tmp_path):
    config = str(finished / "config.toml")
    assert (
        main(["train", "--config", config, "--epochs", "1", "--augment", "none", "--quiet", "--out", str(tmp_path)])
        == 0
    )
    values = toml.read(tmp_path / "config.toml")
    assert values["epochs"] == 1
    assert values["augment"] == []
    assert values["batch_size"] == 8


def test_progress_is_lines_where_there_is_no_terminal(arrays, tmp_path, capsys):
    assert main(["train", "--dataset", "npz", "--data-dir", str(arrays), *TINY[:-1], "--out", str(tmp_path)]) == 0
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 2
    assert "\r" not in err
    assert "val_accuracy" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "imagenet"], "dataset must be one of digits"),
        (["--dataset", "catvnoncat"], "needs data_dir (--data-dir)"),
        (["--dataset", "mnist", "--data-dir", "/nowhere"], "existing folder"),
        (["--model", "resnet9000"], "model must be one of"),
        (["--optimizer", "adamm"], "optimizer must be one of"),
        (["--schedule", "linear"], "schedule must be one of"),
        (["--augment", "twirl"], "augmentation must be one of"),
        (["--backend", "cuda"], "backend must be one of"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--schedule", "plateau", "--warm-up", "1"], "every schedule but plateau"),
        (["--epochs", "2", "--warm-up", "2"], "warm_up must be"),
        (["--ema", "1"], "decay must be"),
        (["--optimizer", "adam", "--momentum", "0.9"], "momentum is no setting of the optimizer 'adam'"),
        (["--last-batch", "half"], "last_batch must be one of keep, drop"),
        (["--views", "two"], "views must be one of one, six"),
        (["--lr", "-1"], "lr must be at least 0"),
        (["--lr", "nan"], "lr must be at least 0"),
        (["--image-size", "32"], "image_size is a setting of the dataset 'folder'"),
        (["--config", "/nowhere.toml"], "nowhere.toml"),
        (["--resume", "/nowhere"], "not the folder of a run"),
        (["--resume", "/nowhere", "--lr", "1"], "leave out --lr"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(options, message, tmp_path, capsys):
    out = [] if "--resume" in options else ["--out", str(tmp_path / "run")]
    assert main(["train", *options, *out]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("pyconv train: error:")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments", [["train", "--epochs", "many"], ["fly"], [], ["predict"], ["train", "--colour", "1"]]
)
def test_what_argparse_refuses_is_exit_code_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "not a TOML file"),
        ("epoch = 3", "unknown setting 'epoch'"),
        ('epochs = "3"', "epochs must be int, not '3'"),
        ("epochs = true", "epochs must be int, not True"),
        ("augment = [3]", "augment must be str, not 3"),
    ],
)
def test_a_bad_config_is_exit_code_2(text, message, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err


def test_bad_data_are_exit_code_2(tmp_path, capsys):
    x = np.zeros((8, 1, 8, 8), np.float32)
    for y, value, message in (([0, 1] * 4, np.nan, "NaN"), ([0, -1] * 4, 0, "label -1 of sample 1 is out of range")):
        x[5] = value
        np.savez(tmp_path / "own.npz", x=x, y=y)
        assert main(["train", "--dataset", "npz", "--data-dir", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("y", "names", "code", "message"),
    [
        ([0] * 8, None, 2, "at least two classes to tell apart, labelled with whole numbers from 0; it has 1"),
        ([0.5] * 8, None, 2, "it has targets that are no whole numbers"),
        ([0, 1] * 4, ["a", "b", "c"], 0, "warning: nothing to train c on"),
        ([0, 1] * 3 + [0, 2], None, 0, "warning: only one sample of 2"),
        ([0], None, 2, "1 samples are too few"),
        ([], None, 2, "0 samples are too few"),
    ],
)
def test_classes_that_lack_samples(y, names, code, message, tmp_path, capsys):
    arrays = {"x": np.zeros((len(y), 3, 8, 8), np.float32), "y": np.array(y) if y else np.zeros(0, int)}
    np.savez(tmp_path / "own.npz", **arrays, **({} if names is None else {"classes": names}))
    options = ["--dataset", "npz", "--data-dir", str(tmp_path), *TINY, "--epochs", "1", "--out", str(tmp_path / "run")]
    assert main(["train", *options]) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    ("size", "code", "message", "left"),
    [
        (100, 1, "config.toml", set()),  # no room at all: it says so before it trains
        (20_000, 1, "pyconv train --resume", {"config.toml", "history.csv"}),  # room for what is small
    ],
)
def test_a_full_disk(size, code, message, left, arrays, tmp_path):
    """A real short write: the kernel lets files grow so far and no further."""
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)"
    run = f"{limit}; from pyconv.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = ["train", "--dataset", "npz", "--data-dir", str(arrays), *TINY, "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", run, str(size), *command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "File too large" in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert {p.name for p in (tmp_path / "run").iterdir()} == left
    if left:  # with room again the run goes on
        assert main(["train", "--resume", str(tmp_path / "run"), "--quiet"]) == 0
        assert (tmp_path / "run" / "metrics.json").exists()


def test_what_training_can_be_told(arrays, tmp_path):
    """The settings that most runs leave alone, all at once."""
    options = ["--ema", "0.9", "--clip-norm", "1", "--accumulate", "2", "--patience", "1", "--schedule", "plateau"]
    run = ["--dataset", "npz", "--data-dir", str(arrays), *TINY, "--epochs", "12", *options, "--out", str(tmp_path)]
    assert main(["train", *run, "--lr", "0.5", "--tensorboard"]) == 0
    history = History.from_csv(tmp_path / "history.csv")
    assert history.epochs < 12
    assert history["lr"][-1] <= history["lr"][0] == 0.5
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert toml.read(tmp_path / "config.toml")["ema"] == 0.9


def test_the_recipe_of_a_speed_run_can_be_told(arrays, tmp_path, capsys):
    options = ["--optimizer", "nesterov", "--momentum", "0.85", "--shift-rate", "64", "--lookahead", "2"]
    options += ["--schedule", "triangle", "--lr", "0.1", "--augment", "alternate", "--last-batch", "drop"]
    run = ["--dataset", "npz", "--data-dir", str(arrays), *TINY, "--model", "airbench94", *options, "--views", "six"]
    assert main(["train", *run, "--out", str(tmp_path)]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["accuracy"] == metrics["test_accuracy"]
    assert report["loss"] == pytest.approx(metrics["test_loss"], rel=1e-6)  # seen the same six ways
    weight = pc.load(tmp_path / "model.safetensors").state_dict()["network.whitening.weight"]
    np.testing.assert_array_equal(weight[:12], -weight[12:])


def test_warm_up_raises_the_rate_over_its_epochs(arrays, tmp_path):
    options = ["--schedule", "constant", "--lr", "0.01", "--warm-up", "1"]
    assert main(["train", "--dataset", "npz", "--data-dir", str(arrays), *TINY, *options, "--out", str(tmp_path)]) == 0
    rates = History.from_csv(tmp_path / "history.csv")["lr"]
    assert rates[0] < rates[1] == 0.01


def test_a_loss_that_explodes_is_exit_code_1_with_advice(arrays, tmp_path, capsys):
    options = ["--dataset", "npz", "--data-dir", str(arrays), *TINY, "--optimizer", "sgd", "--schedule", "constant"]
    with np.errstate(all="ignore"):
        code = main(["train", *options, "--lr", "1e38", "--out", str(tmp_path)])
    assert code == 1
    assert "lower the learning rate" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_an_out_that_cannot_be_a_folder_is_exit_code_2(out, arrays, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["train", "--dataset", "npz", "--data-dir", str(arrays), *TINY, "--out", str(tmp_path / out)]) == 2
    assert "file" in capsys.readouterr().err


def test_a_folder_of_photographs_from_one_command(tmp_path, capsys):
    """200 of several sizes: colour, grey, palette, with alpha, CMYK; one is broken, one is cut short."""
    rng = np.random.default_rng(0)
    modes = {"RGB": "jpg", "L": "jpg", "RGBA": "png", "CMYK": "jpg", "P": "png"}
    for label, name in enumerate(("dark", "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k, (mode, suffix) in zip(range(100), list(modes.items()) * 20, strict=True):
            height, width = rng.integers(10, 80, 2)
            pixels = rng.integers(0, 100, (height, width, 3), np.uint8) + np.uint8(140 * label)
            Image.fromarray(pixels).convert(mode).save(tmp_path / "photos" / name / f"{k}.{suffix}")
    broken, cut = (tmp_path / "photos" / "dark" / name for name in ("0.jpg", "1.jpg"))
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    cut.write_bytes(cut.read_bytes()[:-200])
    options = ["--dataset", "folder", "--data-dir", str(tmp_path / "photos"), "--image-size", "16", *TINY]
    assert main(["train", *options, "--augment", "none", "--out", str(tmp_path / "run")]) == 0
    err = capsys.readouterr().err
    assert "2 files were left out" in err
    assert str(broken) in err
    assert str(cut) in err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["train_samples"] + metrics["test_samples"] == 198
    assert metrics["test_accuracy"] == 1
    images = [str(tmp_path / "photos" / "light" / f"{k}.{suffix}") for k, suffix in enumerate(modes.values())]
    assert main(["predict", str(tmp_path / "run"), *images, str(broken), "--top", "1"]) == 2
    printed = capsys.readouterr()
    assert [line.split()[1] for line in printed.out.splitlines()] == ["light"] * 5
    assert printed.err.count("\n") == 1
    assert str(broken) in printed.err
    assert main(["evaluate", str(tmp_path / "run")]) == 0


# --- stopped and resumed

LONGER = ["--epochs", "25"]


@pytest.fixture(scope="module")
def whole(finished, tmp_path_factory):
    """The run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["train", "--config", str(finished / "config.toml"), *LONGER, "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_and_resumed_is_the_run_that_was_not(number, finished, whole, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "pyconv", "train", "--config", str(finished / "config.toml"), *LONGER]
    child = subprocess.Popen([*command, "--out", run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (run / "checkpoint.safetensors").exists() and child.poll() is None:
        time.sleep(0.01)
    time.sleep(0.1)
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert not (run / "metrics.json").exists()
    if number != signal.SIGKILL:
        assert f"pyconv train --resume {run} goes on" in out
    again = subprocess.run([*command, "--out", run], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "holds a run that was stopped" in again.stderr
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_resuming_a_finished_run_changes_nothing(finished):
    before = (finished / "model.safetensors").read_bytes()
    assert main(["train", "--resume", str(finished), "--quiet"]) == 0
    assert (finished / "model.safetensors").read_bytes() == before


# --- the other commands


@pytest.fixture
def photos(tmp_path):
    paths = []
    for name, columns, mode in (("left", slice(0, 20), "RGB"), ("right", slice(20, 40), "RGBA")):
        pixels = np.full((30, 40, 3), 50, np.uint8)
        pixels[:, columns] = 150
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(pixels).convert(mode).save(paths[-1])
    return paths


def test_predict_prints_classes(finished, photos, capsys):
    assert main(["predict", str(finished), *map(str, photos)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("left" in line and "right" in line and "%" in line for line in lines)


def test_predict_prints_json_and_names_what_it_cannot_read(finished, photos, tmp_path, capsys):
    (tmp_path / "text.png").write_text("no image")
    arguments = [str(photos[0]), str(tmp_path / "text.png"), str(tmp_path / "absent.png")]
    assert main(["predict", str(finished / "model.safetensors"), *arguments, "--json"]) == 2
    printed = capsys.readouterr()
    good, broken, absent = json.loads(printed.out)
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert good["class"] == max(good["probabilities"], key=good["probabilities"].get)
    assert "not a readable image" in broken["error"]
    assert "absent.png" in absent["error"]
    assert printed.err.count("\n") == 2


def test_evaluate_agrees_with_training(finished, capsys):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert main(["evaluate", str(finished), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["accuracy"] == metrics["test_accuracy"]
    assert report["loss"] == pytest.approx(metrics["test_loss"], rel=1e-6)
    assert np.sum(report["confusion"]) == report["samples"] == metrics["test_samples"]
    assert main(["evaluate", str(finished)]) == 0
    assert "precision" in capsys.readouterr().out


def test_evaluate_on_other_data_is_refused(finished, capsys):
    assert main(["evaluate", str(finished), "--dataset", "digits"]) == 2
    assert "the model knows the classes left, right" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_damaged_model_is_exit_code_2(command, finished, tmp_path, capsys):
    more = ["x.png"] if command == "predict" else []
    assert main([command, str(tmp_path), *more]) == 2
    (tmp_path / "model.safetensors").write_bytes((finished / "model.safetensors").read_bytes()[:-9])
    assert main([command, str(tmp_path), *more]) == 2
    assert "damaged" in capsys.readouterr().err


def test_summary_by_name_and_of_a_run(finished, capsys):
    assert main(["summary", "lenet5", "--input", "1", "28", "28"]) == 0
    assert "61,706" in capsys.readouterr().out
    assert main(["summary", str(finished)]) == 0
    assert "Conv2d" in capsys.readouterr().out
    assert main(["summary", "nonet"]) == 2


def test_summary_alone_is_the_lecture_s(capsys):
    assert main(["summary"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "Conv2d" in line).split()
    assert {"456", "75", "14,450,688"} <= set(row)
    assert "156 parameters" in out


def test_info(capsys):
    assert main(["info"]) == 0
    assert pc.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert f"  pyconv {command}" in out[out.index("example") :]


def test_the_module_runs_and_knows_its_version():
    done = subprocess.run([sys.executable, "-m", "pyconv", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"pyconv {pc.__version__}"


def test_toml_strings_survive(tmp_path):
    values = {
        "text": 'a "quoted" \\ path\twith\nall of it, ü',
        "number": 1e-05,
        "flag": True,
        "list": ["a", "b"],
        "left": None,
    }
    (tmp_path / "c.toml").write_text(toml.dumps(values), "utf-8")
    assert toml.read(tmp_path / "c.toml") == {k: v for k, v in values.items() if v is not None}


def test_the_order_of_the_readers_leaving(finished):
    """`pyconv … | head -0`: no traceback when nobody reads."""
    command = f"{sys.executable} -m pyconv evaluate {finished} --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
