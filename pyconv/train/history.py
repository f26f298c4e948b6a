"""What training recorded, an epoch a row: a mapping from column to values that keeps itself as CSV and plots itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from pyconv._files import write_atomically


class History(Mapping):
    """Columns of numbers by name, one entry an epoch (None where an epoch has no such number).

    Examples
    --------
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 0.7})
    >>> history.append({"epoch": 2, "loss": 0.4, "val_loss": 0.5})
    >>> history["loss"], history["val_loss"]
    ([0.7, 0.4], [None, 0.5])
    """

    def __init__(self, columns: Mapping[str, list[Any]] | None = None):
        self._columns = {name: list(values) for name, values in (columns or {}).items()}

    def __getitem__(self, column: str) -> list[Any]:
        return self._columns[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"History({self.epochs} epochs: {', '.join(self)})"

    @property
    def epochs(self) -> int:
        """How many epochs are recorded."""
        return max((len(values) for values in self._columns.values()), default=0)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add an epoch."""
        before = self.epochs
        for name in row:
            self._columns.setdefault(name, [None] * before)
        for name, values in self._columns.items():
            values.append(row.get(name))

    def rows(self) -> list[dict[str, Any]]:
        """The epochs, each as a dictionary."""
        return [dict(zip(self._columns, values, strict=True)) for values in zip(*self._columns.values(), strict=True)]

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns as plain lists."""
        return {name: list(values) for name, values in self._columns.items()}

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write a header and one line an epoch; numbers are written so that they read back exactly."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self._columns)
        writer.writerows(row.values() for row in self.rows())
        write_atomically(path, text.getvalue().encode())

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> History:
        """Read what `to_csv` wrote."""
        history = cls()
        with Path(path).open(newline="") as file:
            for row in csv.DictReader(file):
                history.append({name: _number(text) for name, text in row.items()})
        return history

    def plot(self, path: str | PathLike[str] | None = None):
        """Draw loss and metrics against the epoch; save them to `path` if given. Returns the matplotlib figure."""
        from pyconv.viz.curves import plot_history

        return plot_history(self, path)


def _number(text: str) -> float | int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)
