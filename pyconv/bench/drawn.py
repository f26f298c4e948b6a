"""Layers drawn at random, such as a network might have: what the named problems, which kernels are made for, leave out.

`random/S.I` names layer I of seed S, always the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyconv.bench.problems import Problem, avg_pool, conv, depthwise, max_pool, pointwise, transposed

PREFIX = "random/"
MOST_FLOPS = 2e9  # of a forward pass: what costs more is drawn again
_CHANNELS = (16, 24, 32, 40, 48, 64, 72, 80, 96, 112, 120, 128, 144, 160, 192, 200, 240, 256, 288, 320, 384, 480, 512)
_SIZES = (7, 8, 10, 12, 13, 14, 16, 17, 20, 24, 26, 28, 32, 35, 40, 48, 52, 56, 64, 80, 104, 112, 128)
_BATCHES = (1, 1, 1, 2, 4, 8, 16)


def drawn(seed: int, index: int) -> Problem:
    """Layer `index` of a seed."""
    name = f"{PREFIX}{seed}.{index}"
    rng = np.random.default_rng([seed, index])

    def pick(values: tuple[int, ...]) -> int:
        return int(rng.choice(values))

    def shape(c: int, rank: int = 2, sizes: tuple[int, ...] = _SIZES) -> tuple[int, ...]:
        first = pick(sizes)
        second = first if rng.random() < 0.8 else pick(sizes)
        return pick(_BATCHES), c, *(first, second, first)[:rank]

    def full() -> Problem:
        kernel = pick((3, 3, 3, 3, 5, 7))
        size = shape(pick(_CHANNELS))
        group = "mixed" if kernel != 3 or min(size[2:]) < 14 else "3x3" if min(size[2:]) > 16 else "3x3-14"
        return conv(name, group, size, pick(_CHANNELS), kernel, padding=kernel // 2)

    def strided() -> Problem:
        kernel = pick((3, 3, 5))
        return conv(name, "mixed", shape(pick(_CHANNELS)), pick(_CHANNELS), kernel, 2, kernel // 2)

    def stem() -> Problem:
        kernel = pick((3, 3, 5, 7))
        size = shape(pick((1, 2, 3)), sizes=(28, 32, 64, 96, 112, 128, 160, 192, 224))
        return conv(name, "few", size, pick(_CHANNELS[:6]), kernel, pick((1, 2)), kernel // 2)

    def grouped() -> Problem:
        groups = pick((2, 4, 8, 16, 32))
        c, k = (groups * pick((2, 4, 6, 8, 16)) for _ in range(2))
        kernel = pick((1, 3, 3))
        return conv(name, "grouped", shape(c), k, kernel, pick((1, 1, 2)), kernel // 2, groups=groups)

    def dilated() -> Problem:
        d = pick((2, 4, 6))
        return conv(name, "dilated", shape(pick(_CHANNELS)), pick(_CHANNELS), 3, padding=d, dilation=d)

    def audio() -> Problem:
        kernel = pick((3, 5, 7, 9))
        size = shape(pick(_CHANNELS), 1, (100, 256, 400, 1000, 1024, 2048, 4000))
        return conv(name, "1d", size, pick(_CHANNELS), kernel, pick((1, 1, 2)), kernel // 2)

    def volume() -> Problem:
        size = shape(pick(_CHANNELS[:10]), 3, (4, 7, 8, 12, 14, 16, 28, 32))
        return conv(name, "3d", size, pick(_CHANNELS[:10]), 3, pick((1, 1, 2)), 1)

    def pooled() -> Problem:
        kernel, stride = ((2, 2), (3, 2), (3, 1), (5, 1))[pick((0, 0, 1, 1, 2, 3))]
        pool = (max_pool, avg_pool)[pick((0, 1))]
        return pool(name, shape(pick(_CHANNELS)), kernel, stride, kernel // 2 if kernel > 2 else 0)

    kinds: tuple[tuple[Callable[[], Problem], float], ...] = (
        (full, 0.22),
        (strided, 0.08),
        (stem, 0.06),
        (lambda: pointwise(name, shape(pick(_CHANNELS)), pick(_CHANNELS), pick((1, 1, 1, 2))), 0.20),
        (lambda: depthwise(name, shape(pick(_CHANNELS)), pick((3, 3, 3, 5, 7)), pick((1, 1, 2))), 0.14),
        (grouped, 0.08),
        (dilated, 0.04),
        (audio, 0.04),
        (volume, 0.04),
        (lambda: transposed(name, shape(pick(_CHANNELS)), pick(_CHANNELS), *((2, 2), (4, 2, 1))[pick((0, 1))]), 0.04),
        (pooled, 0.06),
    )
    kind = kinds[rng.choice(len(kinds), p=[share for _, share in kinds])][0]
    while (problem := kind()).flops() > MOST_FLOPS:
        pass
    return problem


def find(name: str) -> Problem | None:
    """The layer that a name such as `random/0.12` stands for; None if it is no such name."""
    seed, dot, index = name.removeprefix(PREFIX).partition(".")
    if name.startswith(PREFIX) and dot and seed.isdecimal() and index.isdecimal():
        return drawn(int(seed), int(index))
    return None
