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
DIRECT, WINOGRAD, WINOGRAD_SMALL = range(3)  # algorithms, as csrc/conv.h numbers them

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
# Winograd, in 36 points, 16, and along one axis: a product, a point of an input tile, one of an output tile, one of a
# weight; the latter less where so many output channels a tile keep transformed weights in L2 (csrc/conv_winograd.c).
_MANY_CHANNELS = 4
_W_LARGE, _W_SMALL, _W_LINE = (1.45, 11.6, 8.2, 7.7, 4.9), (1.38, 5.3, 6.7, 9.5, 6.7), (1.4, 7.0, 15.0, 20.0, 12.0)
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


class _Scheme(NamedTuple):
    """How one of Winograd's algorithms takes a kernel."""

    taps: int  # along each of the axes that are transformed
    out: int  # outputs of a tile along these
    axes: tuple[int, ...]  # of depth, height, width
    points: int
    runs: int  # taps of the depth that are not transformed

    def tiles(self, size: Any) -> list[int]:
        """Tiles of so large an output along each axis."""
        return [-(-n // self.out) if axis in self.axes else n for axis, n in enumerate(size)]


def seconds(problem: Any, pass_: int, algorithm: int, packed: bool = False) -> float:
    """Predicted time of a `pyconv_conv` on this machine with the threads set now; `packed`: weights beforehand."""
    cycles = _cycles(problem, pass_, algorithm, packed, lib.pyconv_isa())
    p = problem[0]
    products = p.n * p.k * (p.c // p.groups) * prod(p.out) * prod(p.kernel)
    threads = 1 if products < _SERIAL else max(1, lib.pyconv_effective_threads(get_num_threads()))
    return (cycles / threads + _CALL) / _cycles_a_second(p.real_bits, get_isa())


def best(problem: Any, pass_: int) -> int:
    """The algorithm that takes fewest cycles for a pass that Winograd's can do, weights unpacked."""
    isa = lib.pyconv_isa()
    algorithms = [DIRECT, WINOGRAD]
    if pass_ != BACKWARD_WEIGHTS and _scheme(problem[0], WINOGRAD).taps == 3:
        algorithms.append(WINOGRAD_SMALL)
    return min(algorithms, key=lambda algorithm: _cycles(problem, pass_, algorithm, False, isa))


@lru_cache(maxsize=512)
def _cycles(problem: Any, pass_: int, algorithm: int, packed: bool, isa: Any) -> float:
    """Cycles of one core. `problem` is one of those that `describe` keeps, the same object for the same problem."""
    p = problem[0]
    s = _sizes(p, pass_)
    if pass_ == BACKWARD_WEIGHTS:
        if algorithm == DIRECT:
            cycles = _direct_weights(s, lib.pyconv_conv_engine(problem, FORWARD))
        else:
            cycles = _winograd_weights(p, s)
    elif algorithm == DIRECT:
        cycles = _direct(s, lib.pyconv_conv_engine(problem, pass_), packed, _channels_last(p, pass_))
    else:
        cycles = _winograd(p, s, pass_, _scheme(p, algorithm), packed)
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


def _winograd(p: Any, s: _Sizes, pass_: int, scheme: _Scheme, packed: bool) -> float:
    depth, *area = scheme.tiles(getattr(p, "in") if pass_ == BACKWARD_DATA else p.out)
    tiles, read = (p.n * planes * prod(area) for planes in (depth, depth + scheme.runs - 1))
    line = len(scheme.axes) == 1
    product, an_input, output, weight, weight_in_cache = (
        _W_LINE if line else _W_SMALL if scheme.points == 16 else _W_LARGE
    )
    if packed:
        weight = 0
    elif tiles * _MANY_CHANNELS <= s.co:
        weight = weight_in_cache
    products = _up(tiles, s.rows) * scheme.runs * s.ci * _columns(s.co, s.columns) / (_FMAS * s.lanes)
    vectors = s.lanes if s.groups > 1 else 0  # a group's channels are a few of each pixel's, and its products short
    ci, co = _up(s.ci, s.lanes) + vectors, _up(s.co, s.lanes) + vectors
    moved = read * an_input * ci + tiles * output * co + weight * scheme.runs * s.ci * _up(s.co, s.columns)
    return scheme.points * (product * products + moved / s.lanes)


def _winograd_weights(p: Any, s: _Sizes) -> float:
    scheme = _scheme(p, WINOGRAD)
    tiles = p.n * prod(scheme.tiles(p.out))
    products = tiles * _up(s.co, s.rows) * _columns(s.ci, s.columns) / (_FMAS * s.lanes)
    moved = tiles * (_WW_X * s.ci + _WW_DY * s.co) + _WW_SUM * s.ci * s.co * -(-tiles // _WW_BLOCK)
    return scheme.points * (_WW_PRODUCT * products + moved / s.lanes) + _WW_GROUP * (s.groups > 1)


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


def _scheme(p: Any, algorithm: int) -> _Scheme:
    """What csrc/conv_winograd.c does for a kernel that it fits."""
    depth, height, width = p.kernel
    square = height == width > 1
    taps = width if square else max(p.kernel)
    out = 4 if taps == 3 and algorithm == WINOGRAD else 2
    axes = (1, 2) if square else (list(p.kernel).index(taps),)
    return _Scheme(taps, out, axes, (out + taps - 1) ** len(axes), depth if len(axes) == 2 else 1)


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
