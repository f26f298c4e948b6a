"""Batches and augmentation: what they hold follows from (seed, epoch, position) alone, and the thread always stops."""

import threading

import numpy as np
import pytest

from pyconv.data import ArrayDataset, Augment, Loader, views
from pyconv.data.augment import TRANSFORMS, as_augment


def data(n=10):
    return ArrayDataset(
        np.random.default_rng(0).random((n, 3, 8, 9), np.float32), np.arange(n) % 2, weights=np.arange(n)
    )


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("samples", "size", "expected"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (3, 1, [1, 1, 1]), (0, 4, [])],
)
def test_batches_cover_the_data_and_leave_no_single_sample(samples, size, expected):
    loader = Loader(data(samples), size, shuffle=True)
    batches = list(loader.batches())
    assert [len(b.x) for b in batches] == expected
    assert len(loader) == len(expected)
    seen = np.concatenate([b.weights for b in batches]) if batches else np.zeros(0)
    assert sorted(seen) == list(range(samples))


@pytest.mark.parametrize(("samples", "size", "expected"), [(10, 4, [4, 4]), (8, 4, [4, 4]), (3, 4, [3])])
def test_what_fills_no_batch_can_be_dropped(samples, size, expected):
    loader = Loader(data(samples), size, shuffle=True, drop_last=True)
    assert [len(b.x) for b in loader.batches()] == expected
    assert len(loader) == len(expected)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_any_batch_can_be_the_first(prefetch):
    loader = Loader(data(), 3, shuffle=True, augment=Augment(*TRANSFORMS), seed=5, prefetch=prefetch)
    whole = list(loader.batches(epoch=2))
    for start in range(len(whole) + 1):
        rest = list(loader.batches(epoch=2, start=start))
        assert len(rest) == len(whole) - start
        assert all(same(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_epochs_and_seeds_differ():
    first = next(Loader(data(), 10, shuffle=True, seed=0).batches(0)).weights
    assert not np.array_equal(first, next(Loader(data(), 10, shuffle=True, seed=0).batches(1)).weights)
    assert not np.array_equal(first, next(Loader(data(), 10, shuffle=True, seed=1).batches(0)).weights)


def test_thread_ends_when_the_consumer_leaves():
    before = threading.active_count()
    batches = Loader(data(100), 1, prefetch=2).batches()
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


def test_error_in_the_thread_reaches_the_consumer():
    def fail(x, rng):
        raise RuntimeError("from the thread")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="from the thread"):
        list(Loader(data(), 4, augment=fail, prefetch=2).batches())
    assert threading.active_count() == before


def test_batch_size_is_checked():
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Loader(data(), 0)


# --- augmentation


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 1, 1, 1), (5, 1, 7, 12), (4, 3, 8, 8)])
def test_transforms_keep_shape_dtype_and_range_and_leave_their_input(name, shape):
    x = np.random.default_rng(1).random(shape, np.float32)
    kept = x.copy()
    y = Augment(name)(x, np.random.default_rng(0))
    assert y.shape == shape
    assert y.dtype == np.float32
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(x, kept)
    if y.size:
        assert y.min() >= -1e-6
        assert y.max() <= 1 + 1e-6


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_change_something_and_amount_0_nothing(name):
    x = np.random.default_rng(1).random((16, 3, 12, 12), np.float32)
    assert not np.array_equal(Augment(name)(x, np.random.default_rng(0)), x)
    if name != "cutout":  # its square is at least a pixel
        np.testing.assert_allclose(Augment(f"{name}=0")(x, np.random.default_rng(0)), x, atol=1e-5)


def test_flip_mirrors():
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    np.testing.assert_array_equal(Augment("flip=1")(x, np.random.default_rng(0)), x[..., ::-1])


def test_alternate_mirrors_each_image_in_every_other_epoch():
    images = ArrayDataset(np.random.default_rng(0).random((40, 1, 3, 4), np.float32), np.zeros(40, int))
    loader = Loader(images, 7, augment=Augment("alternate"), seed=3)
    mirrored = []
    for epoch in range(4):
        x = np.concatenate([b.x for b in loader.batches(epoch)])
        same = (x == images.x).all((1, 2, 3))
        assert (same | (x == images.x[..., ::-1]).all((1, 2, 3))).all()
        mirrored.append(~same)
    assert 10 < mirrored[0].sum() < 30
    np.testing.assert_array_equal(mirrored[1], ~mirrored[0])
    np.testing.assert_array_equal(mirrored[2], mirrored[0])
    np.testing.assert_array_equal(mirrored[3], mirrored[1])
    other = next(Loader(images, 40, augment=Augment("alternate"), seed=4).batches()).x
    assert not np.array_equal((other != images.x).any((1, 2, 3)), mirrored[0])


def test_views_are_the_image_moved_and_mirrored():
    x = np.random.default_rng(0).random((2, 3, 5, 6), np.float32)
    seen = views(x)
    assert sum(share for share, _ in seen) == 1
    assert all(y.shape == x.shape and y.dtype == x.dtype for _, y in seen)
    np.testing.assert_array_equal(seen[0][1], x)
    np.testing.assert_array_equal(seen[2][1][:, :, 1:, 1:], x[:, :, :-1, :-1])
    np.testing.assert_array_equal(seen[4][1][:, :, :-1, :-1], x[:, :, 1:, 1:])
    for (_, plain), (_, mirrored) in zip(seen[::2], seen[1::2], strict=True):
        np.testing.assert_array_equal(mirrored, plain[..., ::-1])


def test_shift_moves_by_whole_pixels():
    x = np.zeros((200, 1, 9, 9), np.float32)
    x[:, 0, 4, 4] = 1
    y = Augment("shift=0.25")(x, np.random.default_rng(0))
    places = {tuple(p) for p in np.argwhere(y[:, 0])[:, 1:]}
    assert places == {(r, c) for r in range(2, 7) for c in range(2, 7)}


def test_rotate_by_a_right_angle_is_exact(monkeypatch):
    class Right:
        def uniform(self, low, high, n):
            return np.full(n, high)

    x = np.random.default_rng(0).random((2, 1, 6, 6), np.float32)
    y = TRANSFORMS["rotate"].function(x, Right(), 90)
    assert np.allclose(y, np.rot90(x, 1, (2, 3)), atol=1e-6) or np.allclose(y, np.rot90(x, -1, (2, 3)), atol=1e-6)


@pytest.mark.parametrize("bad", ["twirl", "shift=2", "shift=-0.1", "rotate=much", "flip=nan"])
def test_unknown_transforms_and_amounts_are_refused(bad):
    with pytest.raises(ValueError, match=r"augmentation must be|the amount of"):
        Augment(bad)


def test_only_images_are_augmented():
    with pytest.raises(ValueError, match=r"images \(N, C, H, W\)"):
        Augment("flip")(np.zeros((2, 3), np.float32), np.random.default_rng(0))
    assert as_augment([]) is None
    assert as_augment("flip").transforms == ("flip",)
