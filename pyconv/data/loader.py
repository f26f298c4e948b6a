"""Batches of a data set: shuffled, augmented and prepared by a thread ahead of the training step.

What a batch holds depends on (seed, epoch, position) alone, never on what was drawn before, so that training which is
resumed at any batch sees the same batches as training that was never stopped.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import NamedTuple

import numpy as np

from pyconv.data.augment import Augment, Occasion
from pyconv.data.dataset import ArrayDataset, as_float

_ORDER, _AUGMENT = 0, 1  # streams of random numbers


class Batch(NamedTuple):
    """One batch: inputs (B, C, *spatial), targets (B, …), weights (B,) or None, and its position in the epoch."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    position: int


class Loader:
    """Divides a data set into batches.

    Parameters
    ----------
    data : ArrayDataset
    batch_size : int
        Samples a batch. The last batch may be smaller; a single left-over sample joins the batch before it, since batch
        normalisation cannot train on one.
    shuffle : bool
        Draw a new order each epoch.
    drop_last : bool
        Leave out what does not fill a batch, other samples in each epoch.
    augment : Augment or callable (x, rng) -> x, optional
        Applied to each batch of inputs.
    seed : int
        Of the order and of the augmentation.
    prefetch : int
        How many batches a thread prepares ahead; 0 prepares them in the caller's thread.

    Examples
    --------
    >>> data = ArrayDataset(np.arange(10, dtype=np.float32).reshape(10, 1), np.zeros(10, int))
    >>> [len(b.x) for b in Loader(data, 4).batches(epoch=0)]
    [4, 4, 2]
    """

    def __init__(
        self,
        data: ArrayDataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
        seed: int = 0,
        prefetch: int = 0,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.data = data
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.augment = augment
        self.seed = seed
        self.prefetch = prefetch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.data), self.batch_size)
        if self.drop_last and whole:
            return whole
        joins = rest == 1 and whole > 0 and self.batch_size > 1
        return whole + (rest > 0 and not joins)

    def batches(self, epoch: int = 0, start: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch from position `start` on. Closing the iterator stops the thread."""
        if self.prefetch > 0:
            return _ahead(self._make(epoch, start), self.prefetch)
        return self._make(epoch, start)

    def _make(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        data, count = self.data, len(self)
        order = self._rng(epoch, 0, _ORDER).permutation(len(data)) if self.shuffle else np.arange(len(data))
        for position in range(start, count):
            last = position == count - 1 and not (self.drop_last and len(data) >= self.batch_size)
            stop = len(data) if last else (position + 1) * self.batch_size
            chosen = order[position * self.batch_size : stop]
            x = as_float(data.x[chosen])
            if self.augment is not None:
                rng = self._rng(epoch, position, _AUGMENT)
                if isinstance(self.augment, Augment):
                    x = self.augment(x, rng, Occasion(self.seed, epoch, chosen))
                else:
                    x = self.augment(x, rng)
            yield Batch(x, data.y[chosen], None if data.weights is None else data.weights[chosen], position)

    def _rng(self, epoch: int, position: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, position, stream])


def _ahead(source: Generator[Batch, None, None], depth: int) -> Generator[Batch, None, None]:
    """The items of `source`, taken by a thread up to `depth` ahead; an error in it is raised here."""
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()
    end = object()

    def put(item) -> None:
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in source:
                if stopped.is_set():
                    return
                put(item)
            put(end)
        except BaseException as error:  # handed to the consumer, whatever it is
            put(error)

    thread = threading.Thread(target=produce, name="pyconv-prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        while not ready.empty():  # lets a blocked `put` return at once
            ready.get_nowait()
        thread.join()
