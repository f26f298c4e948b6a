"""Trained models from the wild: RapidOCR's detector, text-direction classifier and recognizer, and RapidOCR itself."""

from pathlib import Path

import numpy as np
import pytest

import pyconv as pc

rapidocr = pytest.importorskip("rapidocr", reason="rapidocr, whose wheel holds trained models, is not installed")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="ONNX Runtime, which RapidOCR is compared with, is not installed"
)

MODELS = Path(rapidocr.__file__).parent / "models"
WORDS = ("Convolution 2026", "share weights", "sparse CONNECTIONS", "translate 3.14159")


def picture(size, angle, noise):
    """A page with text: perspective, uneven light and a camera's noise."""
    image, draw, font = (pytest.importorskip(f"PIL.{name}") for name in ("Image", "ImageDraw", "ImageFont"))
    page = image.new("RGB", size, (235, 230, 220))
    pen = draw.Draw(page)
    for i, words in enumerate(WORDS):
        pen.text((30, 25 + i * (size[1] - 40) // 4), words, (20 + 10 * i, 30, 60), font.load_default(28 + 4 * i))
    page = page.rotate(angle, resample=image.Resampling.BILINEAR, fillcolor=(235, 230, 220))
    pixels = np.asarray(page, np.float32)
    pixels = pixels * np.linspace(0.7, 1.0, size[0])[None, :, None]
    pixels += np.random.default_rng(0).normal(0, noise, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)


PICTURES = {"plain": ((480, 320), 0, 0), "photographed": ((544, 352), 4, 6), "turned": ((480, 320), 180, 3)}


def test_the_same_text(monkeypatch):
    """RapidOCR end to end: one import is changed, and what it hands to its models comes out alike as well."""
    from rapidocr.inference_engine.onnxruntime import main

    quiet = {"Global.log_level": "critical"}
    pages = [picture(*arguments) for arguments in PICTURES.values()]
    theirs = rapidocr.RapidOCR(params=quiet)
    expected = [theirs(page) for page in pages]
    seen, run = [], pc.onnx.InferenceSession.run

    def watched(self, names, feed, *args, **options):
        outputs = run(self, names, feed, *args, **options)
        seen.append((self, feed, outputs))
        return outputs

    monkeypatch.setattr(main, "InferenceSession", pc.onnx.InferenceSession)
    monkeypatch.setattr(pc.onnx.InferenceSession, "run", watched)
    ours = rapidocr.RapidOCR(params=quiet)
    for page, known in zip(pages, expected, strict=True):
        found = ours(page)
        assert found.txts == known.txts
        assert len(found.txts) == len(WORDS)
        np.testing.assert_allclose(found.boxes, known.boxes, atol=1e-2)
        np.testing.assert_allclose(found.scores, known.scores, atol=1e-4)
    stages = ("text_det", "text_cls", "text_rec")
    same = {id(getattr(ours, s).session.session): getattr(theirs, s).session.session for s in stages}
    assert {id(session) for session, _, _ in seen} == same.keys()
    for session, feed, outputs in seen:
        assert session.fallbacks() == []
        for y, known in zip(outputs, same[id(session)].run(None, feed), strict=True):
            np.testing.assert_allclose(y, known, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("ch_ppocr_mobile_v2.0_cls_mobile", [(1, 3, 48, 192), (6, 3, 48, 192)]),
        ("PP-OCRv6_det_small", [(1, 3, 160, 224), (1, 3, 224, 96), (2, 3, 64, 64)]),
        ("PP-OCRv6_rec_small", [(1, 3, 48, 96), (3, 3, 48, 64)]),
    ],
)
def test_dynamic_sizes(name, shapes):
    path = MODELS / f"{name}.onnx"
    ours = pc.onnx.load(path)
    theirs = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = picture((256, 256), 3, 5).astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
    for n, _, h, w in shapes:
        x = np.stack([image[:, 5 * i : 5 * i + h, 20 + i : 20 + i + w] for i in range(n)])
        feed = {ours.get_inputs()[0].name: np.ascontiguousarray(x)}
        for y, expected in zip(ours.run(None, feed), theirs.run(None, feed), strict=True):
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4)
    assert ours.fallbacks() == []


def test_a_trained_detector_can_be_trained_further():
    module = pc.onnx.to_module(MODELS / "ch_ppocr_mobile_v2.0_cls_mobile.onnx")
    assert module.num_parameters() > 100_000
    trainer = pc.Trainer(module, optimizer=pc.optim.SGD(lr=1e-3), progress=False)
    x, y = np.random.default_rng(0).standard_normal((2, 3, 48, 192)).astype(np.float32), np.array([0, 1])
    assert np.isfinite(trainer.train_on_batch(x, y))
