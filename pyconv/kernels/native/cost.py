"""How long a convolution takes: the model that `algorithm="auto"` chooses by, and that predictions are made with.

It counts cycles of one core at its FMA peak from the problem's sizes and the instruction set, so a choice depends on
neither the number of threads nor this machine's clock. An algorithm's cost is a sum: its products, edges of the
register tile included; every number that it reads, copies, transforms or packs; and a call. The coefficients are
fitted to measured times (docs/decisions/0009-cost-model.md); `pyconv bench --choices` holds the model to the machine.
"""

from __future__ import annotations

from functools import cache, lru_cache
from math import prod
from typing import Any, NamedTuple

from pyconv.kernels.native.library import get_isa, lib
from pyconv.kernels.threads import get_num_threads

FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS = range(3)

# The register tile of each instruction set, for float32: rows, columns, and lanes of a vector (docs/native.md).
_TILES = {"avx512": (14, 32, 16), "avx2": (6, 16, 8), "neon": (8, 8, 4), "scalar": (6, 8, 4)}
_FMAS = 2  # vectors of products a cycle
_CALL = 5_000  # cycles of a call into C, whatever the number of threads
_SERIAL = 256 << 10  # products below which one thread does all (csrc/conv.c)
_NARROW = 1.15  # what a panel that is at most half full costs, in narrow panels

# Cycles a vector. Direct: a number of the input that is copied with its padding and read again by each tap, one that is
# read in place, a weight that is packed, an output.
_PRODUCT, _COPIED, _IN_PLACE, _PACKED, _OUTPUT = 1.15, 24.0, 4.0, 15.5, 7.0
_PLANAR = 2.0  # products of the planar register tile, to those of the general one
# The depthwise engine: products (of backward weights too), the input and the weights, which it rearranges.
_DEPTHWISE, _DEPTHWISE_WEIGHTS, _DEPTHWISE_INPUT, _DEPTHWISE_WEIGHT = 1.6, 2.4, 5.0, 60.0
# Backward weights: an element of x, which is packed for each tap, of dy, which is read once a block, and of dw.
_WEIGHTS_PRODUCT, _WEIGHTS_X, _WEIGHTS_DY, _WEIGHTS_DW = 1.03, 11.8, 26.0, 27.0
# Winograd: a product, and one of the 36 points of an input tile, an output tile, and a weight: the latter less where so
# many output channels a tile keep transformed weights in L2 (csrc/conv_winograd.c).
_POINTS, _TILE, _MANY_CHANNELS = 36, 4, 4
_W_PRODUCT, _W_INPUT, _W_OUTPUT, _W_WEIGHT, _W_WEIGHT_IN_CACHE = 1.45, 11.6, 8.2, 7.7, 4.9
# The same of backward weights: x, dy, and a point of dw, which grows by a block of tiles at a time; and the loops of
# a group, which wait for each other.
_WW_PRODUCT, _WW_X, _WW_DY, _WW_SUM, _WW_BLOCK, _WW_GROUP = 1.92, 16.7, 7.8, 18.0, 128, 40_000

_PLANAR_ENGINE, _TURNED_ENGINE, _DEPTHWISE_ENGINE = 5, 4, 2  # as pyconv_conv_engine numbers them


class _Sizes(NamedTuple):
    """A pass of one group: ci channels are summed over, for co channels of so many outputs."""

    groups: int
    ci: int
    co: int
    inputs: int  # pixels that are read
    outputs: int
    taps: int
    phases: int  # of the outputs: more than 1 in backward data of a strided convolution
    products: int  # an output channel, by the definition
    rows: int
    columns: int
    lanes: int


def seconds(problem: Any, pass_: int, winograd: bool, packed: bool = False) -> float:
    """Predicted time of a `pyconv_conv` on this machine with the threads set now; `packed`: weights beforehand."""
    cycles = _cycles(problem, pass_, winograd, packed, lib.pyconv_isa())
    p = problem[0]
    products = p.n * p.k * (p.c // p.groups) * prod(p.out) * prod(p.kernel)
    threads = 1 if products < _SERIAL else max(1, lib.pyconv_effective_threads(get_num_threads()))
    return (cycles / threads + _CALL) / _cycles_a_second(p.real_bits, get_isa())


def winograd_pays(problem: Any, pass_: int) -> bool:
    """Whether a pass that both can do takes Winograd's algorithm fewer cycles than the direct one, weights unpacked."""
    isa = lib.pyconv_isa()
    return _cycles(problem, pass_, True, False, isa) < _cycles(problem, pass_, False, False, isa)


@lru_cache(maxsize=512)
def _cycles(problem: Any, pass_: int, winograd: bool, packed: bool, isa: Any) -> float:
    """Cycles of one core. `problem` is one of those that `describe` keeps, the same object for the same problem."""
    s = _sizes(problem[0], pass_)
    if pass_ == BACKWARD_WEIGHTS:
        cycles = (
            _winograd_weights(problem[0], s)
            if winograd
            else _direct_weights(s, lib.pyconv_conv_engine(problem, FORWARD))
        )
    elif winograd:
        cycles = _winograd(problem[0], s, pass_, packed)
    else:
        cycles = _direct(s, lib.pyconv_conv_engine(problem, pass_), packed, _channels_last(problem[0], pass_))
    return s.groups * cycles


def _direct(s: _Sizes, engine: int, packed: bool, channels_last: bool) -> float:
    weights = 0 if packed else s.taps * s.ci * s.co
    products = s.products * s.co / (_FMAS * s.lanes)
    if engine == _DEPTHWISE_ENGINE:
        moved = _DEPTHWISE_INPUT * s.ci * s.inputs + _OUTPUT * s.co * s.outputs + _DEPTHWISE_WEIGHT * weights
        return _DEPTHWISE * products + moved / s.lanes
    if engine == _PLANAR_ENGINE:
        reads = _COPIED if channels_last else _IN_PLACE
        moved = reads * s.ci * s.inputs + _OUTPUT * s.co * s.outputs
        return _PRODUCT * _PLANAR * products + moved / s.lanes
    if engine == _TURNED_ENGINE:
        edges = _up(s.co, s.rows) / s.co
    else:
        together = min(s.phases, max(1, s.columns // s.co))  # phases that share a panel
        edges = _columns(s.co * together, s.columns) / (s.co * together)
    reads = _COPIED if s.taps > 1 or engine == _TURNED_ENGINE else _IN_PLACE
    moved = reads * s.ci * s.inputs + _PACKED * weights + _OUTPUT * s.co * s.outputs
    return _PRODUCT * edges * products + moved / s.lanes


def _direct_weights(s: _Sizes, engine: int) -> float:
    if engine == _DEPTHWISE_ENGINE:
        moved = _DEPTHWISE_INPUT * (s.ci * s.inputs + s.co * s.outputs) + _DEPTHWISE_WEIGHT * s.taps * s.ci * s.co
        return _DEPTHWISE_WEIGHTS * s.products * s.co / (_FMAS * s.lanes) + moved / s.lanes
    columns = s.taps * s.ci
    products = s.outputs * _up(s.co, s.rows) * _up(columns, s.columns)
    moved = _WEIGHTS_X * s.taps * s.ci * s.outputs + _WEIGHTS_DY * s.co * s.outputs + _WEIGHTS_DW * columns * s.co
    return _WEIGHTS_PRODUCT * products / (_FMAS * s.lanes) + moved / s.lanes


def _winograd(p: Any, s: _Sizes, pass_: int, packed: bool) -> float:
    tiles = _tiles(p, pass_)
    in_cache = tiles * _MANY_CHANNELS <= s.co
    weight = 0.0 if packed else _W_WEIGHT_IN_CACHE if in_cache else _W_WEIGHT
    products = _up(tiles, s.rows) * s.ci * _columns(s.co, s.columns) / (_FMAS * s.lanes)
    vectors = s.lanes if s.groups > 1 else 0  # a group's channels are a few of each pixel's, and its products short
    ci, co = _up(s.ci, s.lanes) + vectors, _up(s.co, s.lanes) + vectors
    moved = tiles * (_W_INPUT * ci + _W_OUTPUT * co) + weight * s.ci * _up(s.co, s.columns)
    return _POINTS * (_W_PRODUCT * products + moved / s.lanes)


def _winograd_weights(p: Any, s: _Sizes) -> float:
    tiles = _tiles(p, FORWARD)
    products = tiles * _up(s.co, s.rows) * _columns(s.ci, s.columns) / (_FMAS * s.lanes)
    moved = tiles * (_WW_X * s.ci + _WW_DY * s.co) + _WW_SUM * s.ci * s.co * -(-tiles // _WW_BLOCK)
    return _POINTS * (_WW_PRODUCT * products + moved / s.lanes) + _WW_GROUP * (s.groups > 1)


def _sizes(p: Any, pass_: int) -> _Sizes:
    rows, columns, lanes = _TILES[get_isa()]
    if p.real_bits == 64:
        columns, lanes = columns // 2, lanes // 2
    c, k, taps = p.c // p.groups, p.k // p.groups, prod(p.kernel)
    small, large = p.n * prod(p.out), p.n * prod(getattr(p, "in"))
    if pass_ == BACKWARD_DATA:
        products = small * taps * k
        return _Sizes(p.groups, k, c, small, large, taps, prod(p.stride), products, rows, columns, lanes)
    return _Sizes(p.groups, c, k, large, small, taps, 1, small * taps * c, rows, columns, lanes)


def _tiles(p: Any, pass_: int) -> int:
    """Winograd's tiles of the images that a pass computes, of 4×4 outputs."""
    depth, height, width = getattr(p, "in") if pass_ == BACKWARD_DATA else p.out
    return p.n * depth * -(-height // _TILE) * -(-width // _TILE)


def _channels_last(p: Any, pass_: int) -> bool:
    """Whether the channels of what a pass reads lie side by side."""
    return (p.y_strides if pass_ == BACKWARD_DATA else p.x_strides)[1] == 1


def _columns(n: int, width: int) -> float:
    """Columns that the register tile computes for n of them: the last panel may be a narrow one."""
    rest = n % width
    return n - rest + (0 if rest == 0 else _NARROW * width / 2 if rest <= width / 2 else width)


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


@cache
def _cycles_a_second(bits: int, isa: str) -> float:
    """Of one core, measured the first time that somebody asks for seconds."""
    lanes = _TILES[isa][2] * 32 // bits
    return max(lib.pyconv_measure_peak(bits, 2e-3, 1) for _ in range(3)) / (2 * _FMAS * lanes)
