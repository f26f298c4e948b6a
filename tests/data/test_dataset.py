"""ArrayDataset: what it accepts, what it refuses, how it splits and standardises."""

import numpy as np
import pytest

from pyconv.data import ArrayDataset, load, names
from pyconv.data.dataset import as_float, stratified_split


def images(n, dtype=np.float32):
    return np.arange(n * 8, dtype=np.float64).reshape(n, 2, 2, 2).astype(dtype)


def test_names_classes_after_the_labels():
    data = ArrayDataset(images(3), [0, 2, 1])
    assert data.classes == ("0", "1", "2")
    assert data.y.dtype == np.int64
    assert data.input_shape == (2, 2, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_values_that_are_not_finite(bad):
    x = images(5)
    x[3, 1, 0, 0] = bad
    with pytest.raises(ValueError, match="x holds NaN or infinity, first in sample 3"):
        ArrayDataset(x, np.zeros(5, int))


@pytest.mark.parametrize(("labels", "sample"), [([0, 1, 2], 2), ([0, -1, 1], 1)])
def test_refuses_labels_out_of_range(labels, sample):
    with pytest.raises(ValueError, match=f"of sample {sample} is out of range: there are 2 classes"):
        ArrayDataset(images(3), labels, ["cat", "dog"])


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (images(3), [0, 1], ValueError, "same length"),
        (np.zeros(3), [0, 0, 0], ValueError, r"shape \(N, C"),
        (images(2), ["a", "b"], TypeError, "y must be"),
        (np.array([["a"], ["b"]]), [0, 1], TypeError, "x must hold numbers"),
        (images(2), [[0], [1]], ValueError, r"shape \(N,\)"),
        (images(2), [0.0, np.nan], ValueError, "y holds NaN"),
    ],
)
def test_refuses_what_is_no_data_set(x, y, error, message):
    with pytest.raises(error, match=message):
        ArrayDataset(x, y)


def test_refuses_bad_weights():
    with pytest.raises(ValueError, match="weights must be 2"):
        ArrayDataset(images(2), [0, 1], weights=[1, -1])


def test_uint8_becomes_floats_from_0_to_1():
    x = as_float(np.array([[0, 51, 255]], np.uint8))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [[0, 0.2, 1]], rtol=1e-7)


def test_mean_and_deviation_match_numpy_over_blocks():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (5000, 2, 2, 3), np.uint8)
    x[:, 1] = 7  # a constant channel must not divide by 0
    mean, std = ArrayDataset(x, np.zeros(5000, int)).mean_std()
    np.testing.assert_allclose(mean, [x[:, 0].mean() / 255, 7 / 255], rtol=1e-6)
    np.testing.assert_allclose(std, [x[:, 0].std() / 255, 1], rtol=1e-5)


def test_split_is_stratified_disjoint_and_repeatable():
    y = np.repeat([0, 1, 2], [50, 10, 1])
    data = ArrayDataset(np.arange(61, dtype=np.float32)[:, None], y, weights=np.ones(61))
    with pytest.warns(UserWarning, match="only one sample of 2: it is trained on, and not tested"):
        (train, test), again = (stratified_split(data, 0.2, seed=3) for _ in range(2))
    assert train.counts().tolist() == [40, 8, 1]
    assert test.counts().tolist() == [10, 2, 0]
    assert sorted(np.concatenate([train.x, test.x])[:, 0]) == list(range(61))
    np.testing.assert_array_equal(test.x, again.test.x)


def test_targets_that_are_no_classes_are_split_too():
    train, test = stratified_split(ArrayDataset(np.arange(10.0)[:, None], np.arange(10.0)), 0.2)
    assert (len(train), len(test)) == (8, 2)
    assert sorted([*train.y, *test.y]) == list(range(10))


def test_split_of_a_single_image_says_what_would_do():
    with pytest.raises(ValueError, match="at least two a class"):
        stratified_split(ArrayDataset(images(1), [0]), 0.2)


def test_digits_are_whole_and_divided_alike():
    train, test = load("digits")
    assert train.x.dtype == np.float32
    assert train.x.min() == 0
    assert train.x.max() == 1
    assert len(train) + len(test) == 1797
    assert test.counts().tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    assert not {i.tobytes() for i in train.x} & {i.tobytes() for i in test.x}


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="digits, mnist"):
        load("imagenet")
    assert "folder" in names()


def test_sets_that_cannot_be_downloaded_ask_for_their_folder():
    for name in ("catvnoncat", "folder", "npz"):
        with pytest.raises(ValueError, match="needs data_dir"):
            load(name)
