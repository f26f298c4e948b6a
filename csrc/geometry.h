/* What all convolution passes share: a correlation over four axes (images, depth, height, width), cut into tiles, and
 * the copy of a tile's input into channels-last scratch with its padding filled in. */
#ifndef PYCONV_GEOMETRY_H
#define PYCONV_GEOMETRY_H

#include "kernels.h"
#include "pyconv.h"

enum { AXES = 4, IMAGE = 0, DEPTH = 1, HEIGHT = 2, WIDTH = 3 };

/* Output position o and tap t read input position o·step + first + t·dilation. The image axis has one tap. */
typedef struct {
    int64_t in, out, step, taps, first, dilation;
} axis;

/* y[o, g·co + k] = bias + sum over taps and channels of x[o·step + first + t·dilation, g·ci + c] · w[k, c, t] */
typedef struct {
    axis axes[AXES];
    int64_t groups, ci, co; /* channels a group */
    const char *x;
    char *y;
    int64_t x_begin; /* x is so many elements into the array that was given: what merge_axes dropped before it */
    int64_t x_step[AXES], x_channel, y_step[AXES], y_channel; /* strides in elements */
    int padding_mode;
    int64_t size; /* bytes of an element */
    const kernel_table *table;
} correlation;

/* The output in tiles of at most `extent`; `reach` is how far a tile's input extends along each axis. */
typedef struct {
    int64_t extent[AXES], reach[AXES], count[AXES];
    int64_t tiles, pixels, reach_pixels;
} tiling;

/* One tile: where it begins, how large it is. */
typedef struct {
    int64_t begin[AXES], extent[AXES];
} tile;

static inline int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/* Offset in bytes of `size` elements rounded up to whole cache lines. */
static inline int64_t lines(int64_t bytes) { return round_up(bytes, 64); }

/* Rows so many elements apart fall on the same lines of L1 (a way of it is 4 KB everywhere): read side by side they would
 * evict each other, so that copying them first is quicker. */
static inline int rows_collide(int64_t step, int64_t size) { return step != 0 && step * size % 4096 == 0; }

correlation correlation_forward(const pyconv_conv *p);

/* Lets it read and write the arrays of another, which lie alike and of which merge_axes dropped nothing. */
static inline void place_arrays(correlation *q, const correlation *other) {
    q->x = other->x + q->x_begin * q->size;
    q->y = other->y;
}

/* Strides become part of the steps in memory along axes that one tap reads without padding, and such axes are merged where
 * memory is contiguous over them. */
void merge_axes(correlation *q);

/* Cuts until a tile's input of `channels` channels takes at most `bytes`, then until there are at least `at_least` tiles
 * or tiles have as few as `few` pixels. */
tiling cut(const correlation *q, int64_t channels, int64_t bytes, int64_t at_least, int64_t few);

/* Tiles of an even extent along an axis, whose outputs are so many. */
void make_even(const correlation *q, tiling *t, int axis);

/* Cuts into tiles of at most so many output pixels; along the width, by a multiple of `multiple`. */
tiling cut_pixels(const correlation *q, int64_t pixels, int64_t multiple);

/* Cuts one problem as another one, whose output is as large, was cut. */
tiling cut_alike(const correlation *q, const tiling *cutting);

tile tile_at(const correlation *q, const tiling *t, int64_t index);

/* Whether every input position of the tile lies inside x, so that it can be read in place. */
int is_interior(const correlation *q, const tile *t);

/* Where padded position i of an axis of n elements is read; -1: a zero. */
int64_t input_position(int padding_mode, int64_t i, int64_t n);

/* Copies channels [channel, channel + channels) of a tile's input to `to`, shaped (reach of the tile..., pitch) with the
 * tiling's full reach. Padding is filled according to the mode. */
void gather_tile(const correlation *q, const tiling *cutting, const tile *t, int64_t channel, int64_t channels, int64_t pitch,
                 char *to);

/* The same for the planar engine: to `to` shaped (reach of images, depth, height, channels, phase, pitch), where position
 * i along the width stands at [i % step][i / step]. */
void gather_planar(const correlation *q, const tiling *cutting, const tile *t, int64_t channel, int64_t channels,
                   int64_t pitch, char *to);

/* Element strides of a dense array shaped (extent..., channels). */
void dense_steps(const int64_t extent[AXES], int64_t channels, int64_t steps[AXES]);

/* Offset in elements of output position `at` under the given strides, and of the input position it reads first. */
static inline int64_t output_offset(const int64_t at[AXES], const int64_t steps[AXES]) {
    return at[IMAGE] * steps[IMAGE] + at[DEPTH] * steps[DEPTH] + at[HEIGHT] * steps[HEIGHT] + at[WIDTH] * steps[WIDTH];
}
static inline int64_t input_offset(const correlation *q, const int64_t at[AXES], const int64_t steps[AXES]) {
    int64_t offset = 0;
    for (int a = 0; a < AXES; a++) offset += at[a] * q->axes[a].step * steps[a];
    return offset;
}

/* Where a tile's first input position stands in x; it may lie in the padding. */
static inline const char *tile_input(const correlation *q, const tile *t) {
    int64_t offset = input_offset(q, t->begin, q->x_step);
    for (int a = 0; a < AXES; a++) offset += q->axes[a].first * q->x_step[a];
    return q->x + offset * q->size;
}

/* Calls body for the first pixel `at` of each row of a tile. */
#define FOR_EACH_ROW(tile, at)                                                        \
    for (int64_t at[AXES] = {0}; at[IMAGE] < (tile)->extent[IMAGE]; at[IMAGE]++)       \
        for (at[DEPTH] = 0; at[DEPTH] < (tile)->extent[DEPTH]; at[DEPTH]++)           \
            for (at[HEIGHT] = 0; at[HEIGHT] < (tile)->extent[HEIGHT]; at[HEIGHT]++)

/* Offsets of the first tap of each kernel row under the given input strides. */
int64_t list_kernel_rows(const correlation *q, const int64_t steps[AXES], int64_t *offset);
int64_t count_taps(const correlation *q);

#endif
