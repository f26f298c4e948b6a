/* Winograd F(3×3, 4×4): backward weights of 3×3 kernels of stride and dilation 1, with a fourth of the direct products.
 *
 * The transpose of F(4×4, 3×3) in its weights: dw = Gᵀ [sum over tiles of (A dy Aᵀ) ∘ (Bᵀ x B)] G. Each 4×4 tile of dy and the
 * 6×6 pixels of x that it meets are transformed to 36 points, pixel by pixel of channels. At each point the sum over tiles is
 * a product of matrices, dyᵀ · x, whose sums stay in memory. It grows by a chunk of tiles at a time: one parallel loop
 * transforms them, another one multiplies, a point a task. Chunks depend on shapes alone, so the order of sums does too.
 */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

enum {
    POINTS = 36,
    OUT = 4, /* outputs of a tile along an axis */
    TAPS = 3,
    PIXEL_BYTES = 96 << 10,  /* of the pixels that a task transforms */
    CHUNK_BYTES = 12 << 20,  /* of a chunk's points: they should stay in L3 */
    LEAST_TILES = 128,       /* of a chunk: the sums are read and written once in each */
    BLOCK_TILES = 128        /* that a register tile goes through at once: their columns stay in L1 */
};

typedef struct {
    correlation x, dy;             /* with one output a 4×4 tile: 6 taps of x, 4 of dy, each 4 apart */
    tiling x_cutting, dy_cutting;  /* alike, but for their reach */
    int64_t pieces_a_chunk, chunk_tiles;
    int64_t first, pieces, group;  /* of the chunk in hand */
    int64_t rows, columns;         /* of the sums: channels of dy and x, in whole register tiles */
    int64_t x_pitch, dy_pitch, x_point, dy_point, sum_point; /* elements from tile to tile, from point to point */
    char *x_points, *dy_points, *sums, *scratch;
    int64_t scratch_bytes;
    char *dw;
    const int64_t *dw_steps;       /* (K, C, depth, height, width) */
} winograd_weights_job;

int fits_winograd_weights(const pyconv_conv *p) {
    const int64_t *kernel = p->kernel, lanes = pyconv_table((int)p->real_bits)->lanes;
    if (kernel[0] != 1 || p->padding_mode != 0) return 0;
    for (int a = 1; a < 3; a++)
        if (kernel[a] != TAPS || p->stride[a] != 1 || p->dilation[a] != 1) return 0;
    return p->c / p->groups >= lanes && p->k / p->groups >= lanes;
}

/* Elements of a row of n channels: not a power of two, so that the rows of a column do not fall into the same sets of L1. */
static int64_t pitch_of(int64_t n, int64_t size) { return (lines(n * size) + 64) / size; }

static int64_t lay_out(winograd_weights_job *job, const pyconv_conv *p, const void *dy, const void *x, int threads, char *base) {
    workspace memory = {base, 0};
    correlation *q = &job->x, *g = &job->dy;
    *q = correlation_forward(p);
    q->x = x;
    *g = *q;
    g->x = dy;
    g->ci = q->co;
    g->x_channel = q->y_channel;
    memcpy(g->x_step, q->y_step, sizeof g->x_step);
    for (int a = IMAGE; a < AXES; a++) {
        const int tiled = a >= HEIGHT;
        q->axes[a].step *= tiled ? OUT : 1;
        q->axes[a].taps = tiled ? OUT + TAPS - 1 : 1;
        g->axes[a] = (axis){q->axes[a].out, q->axes[a].out, tiled ? OUT : 1, tiled ? OUT : 1, 0, 1};
        q->axes[a].out = g->axes[a].out = ceil_div(q->axes[a].out, tiled ? OUT : 1);
    }
    const kernel_table *table = q->table;
    const int64_t size = q->size, tile_rows = table->groups * table->group_rows;
    job->rows = round_up(q->co, tile_rows);
    job->columns = round_up(q->ci, table->nr);
    job->x_pitch = pitch_of(job->columns, size);
    job->dy_pitch = pitch_of(job->rows, size);
    job->x_cutting = cut(q, q->ci, PIXEL_BYTES, 1, 1);
    job->dy_cutting = cut_alike(g, &job->x_cutting);
    const int64_t fitting = max_of(LEAST_TILES, CHUNK_BYTES / (POINTS * (job->x_pitch + job->dy_pitch) * size));
    job->pieces_a_chunk = max_of(1, fitting / job->x_cutting.pixels);
    job->chunk_tiles = job->pieces_a_chunk * job->x_cutting.pixels;
    job->x_point = pitch_of(job->chunk_tiles * job->x_pitch, size);
    job->dy_point = pitch_of(job->chunk_tiles * job->dy_pitch, size);
    job->sum_point = pitch_of(job->rows * job->columns, size);
    const int64_t x_bytes = lines(job->x_cutting.reach_pixels * q->ci * size);
    const int64_t dy_bytes = lines(job->dy_cutting.reach_pixels * g->ci * size);
    job->scratch_bytes = max_of(max_of(x_bytes, dy_bytes), TAPS * TAPS * lines(q->ci * size));
    job->x_points = take(&memory, POINTS * job->x_point * size);
    job->dy_points = take(&memory, POINTS * job->dy_point * size);
    job->sums = take(&memory, POINTS * job->sum_point * size);
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

static int64_t tiles_of(const tile *t) { return t->extent[IMAGE] * t->extent[DEPTH] * t->extent[HEIGHT] * t->extent[WIDTH]; }

/* Tiles in pieces [first, first + pieces) of the cutting. */
static int64_t tiles_before(const winograd_weights_job *job, int64_t first, int64_t pieces) {
    int64_t tiles = 0;
    for (int64_t i = first; i < first + pieces; i++) {
        const tile t = tile_at(&job->x, &job->x_cutting, i);
        tiles += tiles_of(&t);
    }
    return tiles;
}

/* A piece of x (even tasks) or dy (odd ones) to points, each tile a row of channels. */
static void transform_task(void *context, int64_t i, int worker) {
    const winograd_weights_job *job = context;
    const int of_dy = i % 2;
    const correlation *q = of_dy ? &job->dy : &job->x;
    const tiling *cutting = of_dy ? &job->dy_cutting : &job->x_cutting;
    const int64_t piece = i / 2, pitch = of_dy ? job->dy_pitch : job->x_pitch;
    const tile t = tile_at(q, cutting, job->first + piece);
    char *pixels = job->scratch + worker * job->scratch_bytes;
    char *points = (of_dy ? job->dy_points : job->x_points) + tiles_before(job, job->first, piece) * pitch * q->size;
    int64_t steps[AXES];
    gather_tile(q, cutting, &t, job->group * q->ci, q->ci, q->ci, pixels);
    dense_steps(cutting->reach, q->ci, steps);
    winograd_args args = {.row_step = steps[HEIGHT],
                          .pixel_step = steps[WIDTH],
                          .point_step = of_dy ? job->dy_point : job->x_point,
                          .channels = q->ci};
    FOR_EACH_ROW(&t, at)
        for (at[WIDTH] = 0; at[WIDTH] < t.extent[WIDTH]; at[WIDTH]++, points += pitch * q->size) {
            args.pixels = pixels + input_offset(q, at, steps) * q->size;
            args.points = points;
            if (of_dy) q->table->winograd_gradients(&args);
            else q->table->winograd_input(&args);
        }
}

/* Adds a chunk's products at one point to the sums. */
static void multiply_task(void *context, int64_t point, int worker) {
    (void)worker;
    const winograd_weights_job *job = context;
    const kernel_table *table = job->x.table;
    const int64_t size = job->x.size, nr = table->nr, tile_rows = table->groups * table->group_rows;
    const int64_t tiles = tiles_before(job, job->first, job->pieces);
    for (int64_t begin = 0; begin < tiles; begin += BLOCK_TILES) {
        const char *x = job->x_points + (point * job->x_point + begin * job->x_pitch) * size;
        const char *dy = job->dy_points + (point * job->dy_point + begin * job->dy_pitch) * size;
        char *sums = job->sums + point * job->sum_point * size;
        outer_args args = {.a_step = job->dy_pitch,
                           .b_step = job->x_pitch,
                           .c_step = job->columns,
                           .length = min_of(BLOCK_TILES, tiles - begin),
                           .accumulate = job->first + begin > 0};
        for (int64_t column = 0; column < job->x.ci; column += nr) {
            args.b = x + column * size;
            args.narrow = job->x.ci - column <= nr / 2;
            for (int64_t row = 0; row < job->dy.ci; row += tile_rows) {
                args.a = dy + row * size;
                args.c = sums + (row * job->columns + column) * size;
                table->outer(&args);
            }
        }
    }
}

/* The sums of one output channel to dw. */
static void store_task(void *context, int64_t k, int worker) {
    const winograd_weights_job *job = context;
    const correlation *q = &job->x;
    const int64_t size = q->size, tap = lines(q->ci * size) / size, *steps = job->dw_steps;
    char *taps = job->scratch + worker * job->scratch_bytes, *to = job->dw + (job->group * job->dy.ci + k) * steps[0] * size;
    winograd_args args = {.pixels = taps,
                          .points = job->sums + k * job->columns * size,
                          .row_step = TAPS * tap,
                          .pixel_step = tap,
                          .point_step = job->sum_point,
                          .channels = q->ci};
    q->table->winograd_weight_gradients(&args);
    for (int64_t i = 0; i < TAPS; i++, to += steps[3] * size, taps += TAPS * tap * size) {
        if (steps[4] == 1) q->table->copy_block(to, steps[1], taps, 1, tap, q->ci, TAPS);
        else q->table->spread_block(to, steps[4], steps[1], taps, tap, TAPS, q->ci);
    }
}

int64_t winograd_weights_workspace(const pyconv_conv *p, int threads) {
    winograd_weights_job job;
    return lay_out(&job, p, 0, 0, threads, 0);
}

void winograd_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *base, int threads) {
    winograd_weights_job job;
    lay_out(&job, p, dy, x, threads, base);
    job.dw = dw;
    job.dw_steps = p->w_strides;
    const int64_t all = job.x_cutting.tiles;
    for (job.group = 0; job.group < p->groups; job.group++) {
        if (all == 0) memset(job.sums, 0, (size_t)(POINTS * job.sum_point * job.x.size));
        for (job.first = 0; job.first < all; job.first += job.pieces) {
            job.pieces = min_of(job.pieces_a_chunk, all - job.first);
            pyconv_parallel_for(2 * job.pieces, threads, transform_task, &job);
            pyconv_parallel_for(POINTS, threads, multiply_task, &job);
        }
        pyconv_parallel_for(job.dy.ci, threads, store_task, &job);
    }
}
