"""Reading a model file in parts: the data of large weights goes from the file into arrays, and nowhere in between.

The protobuf library would hold a copy of all weights beside these. So fields are walked through here, which takes a
look at the beginning of each; the library parses what is left without the data. A file that is not laid out as writers
lay it out (broken, or with a graph in pieces) is left to the library as a whole.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from os import SEEK_END
from typing import Any

import numpy as np

from pyconv.graph.shared import Folded
from pyconv.onnx.kept import CAN_STAY, WeightFile

_GRAPH, _FUNCTIONS, _INITIALIZER, _RAW_DATA = 7, 25, 5, 9  # fields of ModelProto, GraphProto and TensorProto
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_HEAD = 20  # bytes of the longest key and length
_LEAST = 4096  # bytes of data that are worth it
_MOST_FIELDS = 200_000  # that are walked through
_ALIGNMENT = 64


class _OddError(Exception):
    """The library has to parse this."""


class Data:
    """The data of a file's large initializers, each read when it is asked for."""

    def __init__(self, file: BufferedIOBase, places: dict[int, tuple[int, int]], lasting: WeightFile | None):
        self._file = file
        self._lasting = lasting
        self._places = places  # number of the initializer -> first byte of its data, and the one past the last
        self._offsets, total = {}, 0
        for number, (begin, end) in places.items():
            self._offsets[number] = total
            total += -(-(end - begin) // _ALIGNMENT) * _ALIGNMENT
        self._memory = _pages(total)

    def nbytes(self, number: int) -> int | None:
        """How many bytes an initializer's data has, or None if the parsed message holds it."""
        if number not in self._places:
            return None
        begin, end = self._places[number]
        return end - begin

    def read(self, number: int) -> np.ndarray:
        """An initializer's data."""
        begin, end = self._places[number]
        part = self._memory[self._offsets[number] : self._offsets[number] + end - begin]
        self._file.seek(begin)
        if self._file.readinto(part.data) != len(part):
            raise OSError("the model file became shorter while it was read")
        return part

    def kept(self, number: int, shape: tuple[int, ...], dtype: np.dtype) -> Folded | None:
        """An initializer's elements, read each time that they are asked for; None if the file may not last."""
        return None if self._lasting is None else self._lasting.weight(self._places[number][0], shape, dtype)

    def close(self) -> None:
        """Nothing is written any more."""
        self._memory.flags.writeable = False


def _pages(size: int) -> np.ndarray:
    """Fresh memory. NumPy would ask for huge pages, whose price only memory repays that is read often."""
    if size == 0 or not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(size, np.uint8)
    return np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)


@contextmanager
def apart(source: Any) -> Iterator[tuple[bytes, Data] | None]:
    """A model's message without the data of its large initializers, and these; None if the library has to parse it.

    `source` is a path or bytes. Data are read inside the `with` block, and not written to after it.
    """
    with BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        lasting = None if isinstance(source, bytes) or not CAN_STAY else WeightFile(file.fileno())
        try:
            kept, places = _walk(file)
        except _OddError:
            yield None
            return
        data = Data(file, places, lasting)
        try:
            yield kept, data
        finally:
            data.close()


def _walk(file: BufferedIOBase) -> tuple[bytes, dict[int, tuple[int, int]]]:
    left = [_MOST_FIELDS]
    places: dict[int, tuple[int, int]] = {}
    kept, graphs = [], 0
    for number, kind, begin, payload, end in _fields(file, 0, file.seek(0, SEEK_END), left):
        if number == _FUNCTIONS:
            raise _OddError
        if (number, kind) == (_GRAPH, _BYTES):
            graphs += 1
            kept.append(_field(_GRAPH, _without_data(file, payload, end, places, left)))
        else:
            kept.append(_bytes(file, begin, end))
    if graphs != 1:
        raise _OddError
    return b"".join(kept), places


def _without_data(
    file: BufferedIOBase, begin: int, end: int, places: dict[int, tuple[int, int]], left: list[int]
) -> bytes:
    """A graph without the data of its large initializers, whose places are noted."""
    kept, count = [], 0
    for number, kind, first, payload, stop in _fields(file, begin, end, left):
        data = []
        if (number, kind) == (_INITIALIZER, _BYTES):
            if stop - payload > _LEAST:
                fields = _fields(file, payload, stop, left)
                data = [field for field in fields if field[0] == _RAW_DATA and field[1] == _BYTES]
            if len(data) > 1:
                raise _OddError
            count += 1
        if data and data[0][4] - data[0][3] >= _LEAST:
            ((_, _, cut, *place),) = data
            places[count - 1] = place[0], place[1]
            kept.append(_field(_INITIALIZER, _bytes(file, payload, cut) + _bytes(file, place[1], stop)))
        else:
            kept.append(_bytes(file, first, stop))
    return b"".join(kept)


def _fields(file: BufferedIOBase, begin: int, end: int, left: list[int]) -> Iterator[tuple[int, int, int, int, int]]:
    """Number and kind of each field of a message, where it begins, where what it holds does, and where that ends."""
    while begin < end:
        left[0] -= 1
        head = _bytes(file, begin, min(end, begin + _HEAD))
        key, payload = _varint(head, 0)
        kind, length = key & 7, {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(key & 7, 0)
        if kind == _VARINT:
            _, payload = _varint(head, payload)
        elif kind == _BYTES:
            length, payload = _varint(head, payload)
        elif length == 0:
            raise _OddError
        stop = begin + payload + length
        if left[0] < 0 or stop > end:
            raise _OddError
        yield key >> 3, kind, begin, begin + payload, stop
        begin = stop


def _varint(head: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for i, byte in enumerate(head[place:]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, place + i + 1
    raise _OddError


def _field(number: int, payload: bytes) -> bytes:
    """A field that holds bytes."""
    length, head = len(payload), bytearray([number << 3 | _BYTES])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    return bytes(head) + bytes([length]) + payload


def _bytes(file: BufferedIOBase, begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(end - begin)
