"""Progress of training: a tqdm bar on a terminal, else one line an epoch."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from pyconv.train.callbacks import Callback


class Progress(Callback):
    """Shows loss, metrics, samples a second and the time left.

    A bar appears only on a terminal and where tqdm is installed (extra ``[train]``). Each epoch prints a line,
    which ends with its time and the share of it in which training waited for data.
    """

    order = -100

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream

    def on_fit_begin(self, trainer):
        self._out = self.stream or sys.stderr
        self._bar = None
        self._drawn = self._out.isatty() and _has_tqdm()

    def on_epoch_begin(self, trainer):
        if self._drawn:
            from tqdm import tqdm

            self._bar = tqdm(
                desc=f"epoch {trainer.epoch + 1}/{trainer.last_epoch}",
                total=trainer.samples,
                initial=trainer.seen,
                unit=" samples",
                file=self._out,
                leave=False,
                dynamic_ncols=True,
            )

    def on_batch_end(self, trainer, loss):
        if self._bar is not None:
            self._bar.set_postfix({k: f"{v:.4f}" for k, v in trainer.running().items()}, refresh=False)
            self._bar.update(trainer.seen - self._bar.n)

    def on_epoch_end(self, trainer, row):
        self._close()
        numbers = "  ".join(f"{name} {_format(name, value)}" for name, value in row.items() if name != "epoch")
        print(f"epoch {row['epoch']}/{trainer.last_epoch}  {numbers}", file=self._out, flush=True)

    def on_interrupt(self, trainer):
        self._close()

    def on_fit_end(self, trainer):
        self._close()
        del self._out  # a stream would keep the trainer from being sent to another process

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


_FORMATS = {"seconds": ".1f", "lr": ".2e", "waiting": ".1%"}


def _has_tqdm() -> bool:
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return True


def _format(name: str, value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:{_FORMATS.get(name, '.4f')}}"
