/* What the files of pooling share: a pass in terms of boxes of pixels, cut into blocks of channels and tiles. */
#ifndef PYCONV_POOL_JOB_H
#define PYCONV_POOL_JOB_H

#include "pool_windows.h"

enum { D, H, W, SPATIAL };
enum { CLAIMED_TAPS = 9 }; /* along a row, or of columns, of overlapping windows whose maxima are claimed, at most */
enum { INPUT, SHARES, MIDDLE, PLACES, COTANGENT, RESULT, LISTS, AREAS }; /* of a worker's scratch */

typedef struct {
    span axis[SPATIAL];
} box;

typedef struct {
    char *data;
    int64_t image, channel, step[SPATIAL]; /* strides in elements */
} array;

/* Pixels of a block, in an array or in scratch: that at `first` stands at `data`, its place (if any) at `place`. In scratch
 * there may be levels, level_step apart, of which level l holds folds of 2^l pixels. */
typedef struct {
    char *data, *place;
    int64_t first[SPATIAL], step[SPATIAL], channel, level_step;
} grid;

typedef struct {
    const kernel_table *table;
    void (*kernel)(const pool_args *); /* folds x: a maximum, a sum, or the places of maxima */
    array x, y, dy;                    /* what is folded, the result, and for the backward pass of a maximum dy */
    window axis[SPATIAL];              /* from y to x, or in that pass from dy to x */
    window turned[SPATIAL];            /* in that pass from dx to dy */
    window divisors[SPATIAL];          /* of x, where is_shared: x is divided before it is summed */
    int is_shared, is_separable, is_claimed, is_scattered;
    int along_rows; /* vectors run along rows, not channels */
    int reads_in_place;
    int64_t size, plane[SPATIAL];            /* bytes of an element; steps of places */
    int64_t images, channels, block, blocks; /* channels are cut into blocks, */
    int64_t whole[SPATIAL], extent[SPATIAL], tiles[SPATIAL]; /* and y, or dy where it is scattered, into tiles */
    int64_t area[AREAS], taps;
    char *scratch;
    int64_t scratch_bytes; /* a worker */
} pool_job;

/* A tile of one block. */
typedef struct {
    int64_t image, channel, channels;
    box to;
    int64_t base[SPATIAL]; /* place 0 */
    char *scratch;
} pool_tile;

/* What a pass is to do, how, in which tiles, and what scratch a worker needs (pool_plan.c). */
pool_job plan_pooling(const pyconv_pool *p, int pass);

/* Whether it looks for places of maxima. Where it does so in two steps, that is along rows first: of equal maxima the first is
 * then that of the first row. */
static inline int is_of_places(const pool_job *job) { return job->kernel == job->table->pool_argmax; }

/* pool_fold.c */

static inline int is_in_place(const pool_job *job, const array *of) { return job->along_rows || of->channel == 1; }

/* A tile's block of an array in place; a box of pixels in an area of scratch. */
grid in_array(const pool_job *job, const pool_tile *t, const array *of);
grid in_scratch(const pool_job *job, const pool_tile *t, const box *b, int area);

/* Offset in elements of the pixel at a position. */
int64_t offset_at(const grid *g, const int64_t at[SPATIAL]);

/* Copies a box of an array to scratch, or back. */
void move_box(const pool_job *job, const pool_tile *t, const array *of, const box *b, const grid *scratch, int back);

/* y = the windows of x over the outputs `to`; x covers the box `from`. */
void fold_boxes(const pool_job *job, const pool_tile *t, void (*kernel)(const pool_args *), const window axis[SPATIAL],
                const grid *x, const box *from, const grid *y, const box *to);

/* The same for the windows of the job: in one step, or where they are large down their columns and then along the rows,
 * or the other way round. */
void fold_windows(const pool_job *job, const pool_tile *t, const grid *x, const box *from, const grid *y, const box *to);

/* pool_claim.c */

/* dx = the part in tile t of the gradient of maxima; x covers the box `from` that its outputs look at, dy these. */
void claim_tile(const pool_job *job, const pool_tile *t, const grid *x, const box *from, const grid *dy, const box *outputs,
                const grid *dx);

#endif
