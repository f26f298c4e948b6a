"""A folder of photographs: of every kind, some broken."""

import warnings

import numpy as np
import pytest

from pyconv.data import load
from pyconv.data.folder import read_image

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def picture(height, width, mode="RGB"):
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(5):
            picture(20 + 7 * k, 33).save(tmp_path / name / f"{k}.jpg")
    return tmp_path


def test_images_of_every_kind_are_brought_to_one_size(photos):
    picture(9, 40, "L").save(photos / "cat" / "grey.png")
    picture(40, 9, "RGBA").save(photos / "cat" / "alpha.png")
    picture(12, 12, "CMYK").save(photos / "dog" / "cmyk.jpg")
    picture(12, 12, "P").save(photos / "dog" / "palette.PNG")
    picture(1, 1, "LA").save(photos / "dog" / "one.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train, test = load("folder", photos, image_size=16)
    assert train.x.shape[1:] == (3, 16, 16)
    assert train.x.dtype == np.uint8
    assert (len(train), len(test)) == (12, 3)
    assert train.classes == ("cat", "dog")


def test_broken_files_are_named_and_left_out(photos):
    whole = (photos / "cat" / "0.jpg").read_bytes()
    (photos / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "dog" / "text.png").write_text("not an image")
    (photos / "dog" / "empty.png").touch()
    (photos / "dog" / "notes.txt").write_text("no image, and none is expected")
    with pytest.warns(UserWarning, match=r"(?s)3 files were left out.*cut\.jpg.*empty\.png.*text\.png") as caught:
        train, test = load("folder", photos)
    assert "notes" not in str(caught[0].message)
    assert len(train) + len(test) == 10


def test_class_without_an_image_warns(photos):
    (photos / "fish").mkdir()
    with pytest.warns(UserWarning, match="nothing to train fish on"):
        train, _ = load("folder", photos)
    assert train.classes == ("cat", "dog", "fish")


def test_too_few_classes_are_refused(photos, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ValueError, match="at least two sub-folders"):
        load("folder", empty)
    for name in ("a", "b"):
        (empty / name).mkdir()
    with pytest.raises(ValueError, match="found 0 images"):
        load("folder", empty)
    picture(5, 5).save(empty / "a" / "only.png")
    with pytest.raises(ValueError, match="found 1 images"):
        load("folder", empty)


def test_given_train_and_test_are_kept(photos):
    (photos / "train").mkdir()
    (photos / "val").mkdir()
    for name in ("cat", "dog"):
        (photos / name).rename(photos / "train" / name)
        (photos / "val" / name).mkdir()
        picture(8, 8).save(photos / "val" / name / "0.png")
    train, test = load("folder", photos)
    assert (len(train), len(test)) == (10, 2)


def test_alpha_is_laid_over_white_and_16_bits_are_scaled(tmp_path):
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    clear.save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()
    Image.fromarray(np.full((2, 2), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert (read_image(tmp_path / "deep.png") == 127).all()


def test_exif_orientation_is_obeyed(tmp_path):
    picture(10, 20).save(
        tmp_path / "turned.jpg",
        exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00",
    )
    assert read_image(tmp_path / "turned.jpg").shape == (3, 20, 10)


def test_image_is_cut_at_the_centre(tmp_path):
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (read_image(tmp_path / "wide.png", (4, 4)) == 200).all()
    assert read_image(tmp_path / "wide.png", (4, 4), channels=1).shape == (1, 4, 4)


def test_missing_image_and_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")
    with pytest.raises(FileNotFoundError, match="existing folder"):
        load("folder", tmp_path / "none")
