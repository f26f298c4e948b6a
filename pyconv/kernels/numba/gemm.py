"""Dense convolution as implicit GEMM: a block of pixels at a time is gathered (im2col) into a panel that stays in L2.

The lanes of a tile (see `tile.py`) are what the memory order makes contiguous:

- rows (channels-last): a row of the panel is a pixel, gathered in runs of channels; the weights give the lanes;
- planar (C-contiguous): a row of the panel is one channel at one tap, gathered in runs of pixels, which are the lanes.

*Depth* is the axis that a convolution sums over, numbered t * C + c in rows and c * T + t in planar form. Output
positions are numbered through images and space: pixel = ((n * OD + od) * OH + oh) * OW + ow. Offsets count elements.
"""

from __future__ import annotations

import numpy as np

from pyconv.kernels.numba.runtime import jit
from pyconv.kernels.numba.tile import MR, VECTOR_BYTES, get, multiply_tile, put

PIXELS = 96  # of a panel: a multiple of MR and of NR
DEPTH = 252  # of a panel: a multiple of MR; 96 × 252 float32 are 97 KB
STEP = PIXELS + 16  # between the rows of a planar panel: an odd number of cache lines, so that they share no set


@jit
def _locate(table, first, count, x_start, x_strides, y_start, y_strides, y_size, stride):
    """Fill a column of `table` for each pixel from `first`: the input position (d, h, w) that offset 0 reads, where its
    image starts in x, where it stands in y, and how far the row of the output goes on from it."""
    ow = first % y_size[3]
    rest = first // y_size[3]
    oh = rest % y_size[2]
    rest //= y_size[2]
    od = rest % y_size[1]
    n = rest // y_size[1]
    for p in range(count):
        table[0, p] = od * stride[0]
        table[1, p] = oh * stride[1]
        table[2, p] = ow * stride[2]
        table[3, p] = x_start + n * x_strides[0]
        table[4, p] = y_start + n * y_strides[0] + od * y_strides[2] + oh * y_strides[3] + ow * y_strides[4]
        table[5, p] = min(y_size[3] - ow, count - p)
        ow += 1
        if ow == y_size[3]:
            ow = 0
            oh += 1
            if oh == y_size[2]:
                oh = 0
                od += 1
                if od == y_size[1]:
                    od = 0
                    n += 1


@jit
def _gather_rows(panel, row, table, count, x, x_strides, x_size, offsets, channel, channels, begin, end):
    """panel[p * row + i] = the input of pixel p at depth begin + i (t * channels + c, c from `channel`)."""
    for p in range(count):
        to = p * row
        t = begin // channels
        c = begin % channels
        left = end - begin
        while left > 0:
            d = table[0, p] + offsets[t, 0]
            h = table[1, p] + offsets[t, 1]
            w = table[2, p] + offsets[t, 2]
            run = min(channels - c, left)
            if 0 <= d < x_size[0] and 0 <= h < x_size[1] and 0 <= w < x_size[2]:
                at = table[3, p] + d * x_strides[2] + h * x_strides[3] + w * x_strides[4] + (channel + c) * x_strides[1]
                if x_strides[1] == 1 and x_strides[4] == channels:  # the taps that follow may be its neighbours
                    while run < left and t + 1 < len(offsets):
                        w += 1
                        if (
                            w >= x_size[2]
                            or offsets[t + 1, 2] - offsets[t, 2] != 1
                            or offsets[t + 1, 1] != offsets[t, 1]
                            or offsets[t + 1, 0] != offsets[t, 0]
                        ):
                            break
                        t += 1
                        run = min(run + channels, left)
                if x_strides[1] == 1:
                    for i in range(run):
                        put(panel, to + i, get(x, at + i))
                else:
                    for i in range(run):
                        put(panel, to + i, get(x, at + i * x_strides[1]))
            else:
                for i in range(run):
                    put(panel, to + i, panel.dtype.type(0))
            to += run
            left -= run
            c = 0
            t += 1


@jit
def _gather_planar(panel, table, count, x, x_strides, x_size, step, offsets, channel, begin, end):
    """panel[i * STEP + p] = the input of pixel p at depth begin + i (c * T + t, c from `channel`)."""
    for i in range(end - begin):
        c = channel + (begin + i) // len(offsets)
        t = (begin + i) % len(offsets)
        p = 0
        while p < count:
            run = table[5, p]
            d = table[0, p] + offsets[t, 0]
            h = table[1, p] + offsets[t, 1]
            w = table[2, p] + offsets[t, 2]
            low, high = 0, run  # the part that lies inside the image
            if not (0 <= d < x_size[0] and 0 <= h < x_size[1]):
                high = 0
            else:
                if w < 0:
                    low = min(run, (step - 1 - w) // step)
                if w + (run - 1) * step >= x_size[2]:
                    high = max(low, (x_size[2] - w + step - 1) // step)
            to = i * STEP + p
            at = table[3, p] + c * x_strides[1] + d * x_strides[2] + h * x_strides[3] + w * x_strides[4]
            for j in range(low):
                put(panel, to + j, panel.dtype.type(0))
            along = step * x_strides[4]
            if along == 1:
                for j in range(low, high):
                    put(panel, to + j, get(x, at + j))
            elif along == 2:
                for j in range(low, high):
                    put(panel, to + j, get(x, at + 2 * j))
            else:
                for j in range(low, high):
                    put(panel, to + j, get(x, at + j * along))
            for j in range(high, run):
                put(panel, to + j, panel.dtype.type(0))
            p += run


@jit
def pack_weights(begin, end, packed, w, start, strides, places, outs, ins, rows):
    """The weights in the order that tiles read, zeros up to whole tiles; a unit is a tile of output channels.

    rows: packed[group, tile, depth, NR]; planar: packed[group, tile, MR, depth]. In w, strides go from one group,
    output channel and input channel to the next, and places[t] is where tap t stands.
    """
    lanes = VECTOR_BYTES // packed.itemsize if rows else MR
    tiles = (outs + lanes - 1) // lanes
    taps = len(places)
    depth = ins * taps
    for unit in range(begin, end):
        first = unit % tiles * lanes
        at = start + unit // tiles * strides[0] + first * strides[1]
        to = unit * lanes * depth
        if rows:
            for near in range(0, ins, 16):  # 16 input channels at a time stay in L1 while the taps go by
                for t in range(taps):
                    for c in range(near, min(near + 16, ins)):
                        for lane in range(lanes):
                            value = packed.dtype.type(0)
                            if first + lane < outs:
                                value = get(w, at + lane * strides[1] + c * strides[2] + places[t])
                            put(packed, to + (t * ins + c) * lanes + lane, value)
        else:
            for lane in range(lanes):
                for c in range(ins):
                    for t in range(taps):
                        value = packed.dtype.type(0)
                        if first + lane < outs:
                            value = get(w, at + lane * strides[1] + c * strides[2] + places[t])
                        put(packed, to + lane * depth + c * taps + t, value)


@jit
def convolve(
    begin, end, y, y_start, y_strides, y_size, x, x_start, x_strides, x_size, stride, offsets,
    packed, bias, counts, rows,
):  # fmt: skip
    """y = x * w + bias. A unit is a block of pixels of one part of one group's output channels.

    counts: groups, outs and ins a group, parts. No bias: of size 0.
    """
    _, outs, ins, parts = counts
    pixels = y_size[0] * y_size[1] * y_size[2] * y_size[3]
    blocks = (pixels + PIXELS - 1) // PIXELS
    width = VECTOR_BYTES // y.itemsize
    lanes = width if rows else MR
    tiles = (outs + lanes - 1) // lanes
    depth = ins * len(offsets)
    table = np.empty((6, PIXELS), np.int64)
    panel = np.zeros(DEPTH * STEP, y.dtype)
    sums = np.zeros(PIXELS * lanes * ((tiles + parts - 1) // parts), y.dtype)
    for unit in range(begin, end):
        block = unit % blocks
        part = unit // blocks % parts
        group = unit // blocks // parts
        first_tile, last_tile = tiles * part // parts, tiles * (part + 1) // parts
        first = block * PIXELS
        count = min(PIXELS, pixels - first)
        row = (last_tile - first_tile) * lanes if rows else PIXELS  # of sums
        _locate(table, first, count, x_start, x_strides, y_start, y_strides, y_size, stride)
        if depth == 0:
            sums[:] = 0
        for low in range(0, depth, DEPTH):
            high = min(low + DEPTH, depth)
            if rows:
                _gather_rows(
                    panel, np.int64(DEPTH), table, count, x, x_strides, x_size, offsets, group * ins, ins, low, high
                )
                for tile in range(first_tile, last_tile):
                    b = ((group * tiles + tile) * depth + low) * width
                    for p in range(0, count, MR):
                        c = p * row + (tile - first_tile) * width
                        multiply_tile(sums, c, row, panel, p * DEPTH, DEPTH, 1, packed, b, width, high - low, low > 0)
            else:
                _gather_planar(panel, table, count, x, x_strides, x_size, stride[2], offsets, group * ins, low, high)
                for p in range(0, count, width):
                    for tile in range(first_tile, last_tile):
                        a = (group * tiles + tile) * MR * depth + low
                        c = (tile - first_tile) * MR * PIXELS + p
                        multiply_tile(sums, c, PIXELS, packed, a, depth, 1, panel, p, STEP, high - low, low > 0)
        last = min(last_tile * lanes, outs)
        _scatter(y, y_strides, table, count, sums, row, bias, group * outs, first_tile * lanes, last, rows)


@jit
def _scatter(y, y_strides, table, count, sums, row, bias, channel, begin, end, rows):
    """Write the sums of a block's pixels and of the output channels begin:end of the group that starts at `channel`."""
    if rows:
        for p in range(count):
            to = table[4, p] + (channel + begin) * y_strides[1]
            if y_strides[1] == 1 and len(bias):
                for k in range(end - begin):
                    put(y, to + k, get(sums, p * row + k) + get(bias, channel + begin + k))
            elif y_strides[1] == 1:
                for k in range(end - begin):
                    put(y, to + k, get(sums, p * row + k))
            else:
                for k in range(end - begin):
                    extra = bias[channel + begin + k] if len(bias) else y.dtype.type(0)
                    put(y, to + k * y_strides[1], get(sums, p * row + k) + extra)
        return
    for k in range(begin, end):
        extra = bias[channel + k] if len(bias) else y.dtype.type(0)
        p = 0
        while p < count:
            to = table[4, p] + (channel + k) * y_strides[1]
            at = (k - begin) * row + p
            run = table[5, p]
            if y_strides[4] == 1:
                for j in range(run):
                    put(y, to + j, get(sums, at + j) + extra)
            else:
                for j in range(run):
                    put(y, to + j * y_strides[4], get(sums, at + j) + extra)
            p += run


@jit
def correlate(
    begin, end, parts, dy, dy_start, dy_strides, y_size, x, x_start, x_strides, x_size, stride, offsets, counts, rows
):
    """Sums of dy[pixel, k] * (the input of the pixel at a depth) -> parts[slice, group, depth, k], in whole tiles.

    counts: groups, outs and ins a group, slices of the pixels. A unit is a panel's depth of one group in one slice.
    """
    groups, outs, ins, slices = counts
    pixels = y_size[0] * y_size[1] * y_size[2] * y_size[3]
    blocks = (pixels + PIXELS - 1) // PIXELS
    width = VECTOR_BYTES // dy.itemsize
    tiles = (outs + width - 1) // width
    depth = ins * len(offsets)
    panels = (depth + DEPTH - 1) // DEPTH
    depth_up = (depth + MR - 1) // MR * MR
    table = np.empty((6, PIXELS), np.int64)
    panel = np.zeros(DEPTH * STEP, dy.dtype)
    gradients = np.zeros(PIXELS * tiles * width, dy.dtype)  # [tile, pixel, NR]
    row, step = (1, DEPTH + 20) if rows else (STEP, 1)  # that too is an odd number of cache lines
    for unit in range(begin, end):
        low = unit % panels * DEPTH
        high = min(low + DEPTH, depth)
        group = unit // panels % groups
        part = unit // panels // groups
        to = ((part * groups + group) * depth_up + low) * tiles * width
        for block in range(blocks * part // slices, blocks * (part + 1) // slices):
            first = block * PIXELS
            count = min(PIXELS, pixels - first)
            _locate(table, first, count, x_start, x_strides, dy_start, dy_strides, y_size, stride)
            if rows:
                _gather_rows(panel, step, table, count, x, x_strides, x_size, offsets, group * ins, ins, low, high)
            else:
                _gather_planar(panel, table, count, x, x_strides, x_size, stride[2], offsets, group * ins, low, high)
            for k in range(outs):
                for p in range(count):
                    value = get(dy, table[4, p] + (group * outs + k) * dy_strides[1])
                    put(gradients, (k // width * PIXELS + p) * width + k % width, value)
            for tile in range(tiles):
                for i in range(0, high - low, MR):
                    c = to + i * tiles * width + tile * width
                    b = tile * PIXELS * width
                    added = block > blocks * part // slices
                    multiply_tile(parts, c, tiles * width, panel, i * row, row, step, gradients, b, width, count, added)


@jit
def gather_weights(begin, end, dw, start, strides, places, parts, counts, rows):
    """dw = the sum of correlate's parts, slice after slice; a unit is a tile of output channels of a group."""
    groups, outs, ins, slices = counts
    width = VECTOR_BYTES // parts.itemsize
    tiles = (outs + width - 1) // width
    taps = len(places)
    depth = ins * taps
    row = tiles * width
    size = (depth + MR - 1) // MR * MR * row
    for unit in range(begin, end):
        group = unit // tiles
        first = unit % tiles * width
        for c in range(ins):
            for t in range(taps):
                at = group * size + (t * ins + c if rows else c * taps + t) * row + first
                to = start + (group * outs + first) * strides[0] + c * strides[1] + places[t]
                for k in range(min(width, outs - first)):
                    total = get(parts, at + k)
                    for i in range(1, slices):
                        total += get(parts, at + k + i * groups * size)
                    put(dw, to + k * strides[0], total)


@jit
def add_columns(
    begin, end, x, x_start, x_strides, x_size, columns, c_start, c_strides, y_size, stride, offsets, channels, bias
):
    """x = bias plus each column (n, c * T + t, position) where tap t reads (col2im). A unit is a plane (n, c) of x."""
    taps = len(offsets)
    for unit in range(begin, end):
        n, c = unit // channels, unit % channels
        plane = x_start + n * x_strides[0] + c * x_strides[1]
        value = bias[c] if len(bias) else x.dtype.type(0)
        for d in range(x_size[0]):
            for h in range(x_size[1]):
                to = plane + d * x_strides[2] + h * x_strides[3]
                for w in range(x_size[2]):
                    put(x, to + w * x_strides[4], value)
        along, step = stride[2] * x_strides[4], c_strides[4]
        for t in range(taps):
            column = c_start + n * c_strides[0] + (c * taps + t) * c_strides[1]
            low = min(y_size[3], max(0, -(offsets[t, 2] // stride[2])))
            high = max(low, min(y_size[3], -((offsets[t, 2] - x_size[2]) // stride[2])))
            for od in range(y_size[1]):
                for oh in range(y_size[2]):
                    d, h = od * stride[0] + offsets[t, 0], oh * stride[1] + offsets[t, 1]
                    if not (0 <= d < x_size[0] and 0 <= h < x_size[1]):
                        continue
                    to = plane + d * x_strides[2] + h * x_strides[3] + offsets[t, 2] * x_strides[4]
                    at = column + od * c_strides[2] + oh * c_strides[3]
                    if along == 1 and step == 1:
                        for w in range(low, high):
                            put(x, to + w, get(x, to + w) + get(columns, at + w))
                    else:
                        for w in range(low, high):
                            put(x, to + w * along, get(x, to + w * along) + get(columns, at + w * step))
