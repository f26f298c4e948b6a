/* Convolution, backward weights: dw[k, c, tap] = sum over output pixels of dy[pixel, k] · x[pixel·stride + tap, c].
 *
 * The output is cut into chunks of pixels that do not depend on the number of threads. For each chunk, in order, dy is
 * packed into panels of nr channels and x gathered with its padding; then every register tile of dw adds the chunk's
 * products, one run a row of pixels. Sums are made in one order, so the result does not depend on threads either.
 */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

#include <string.h>

enum { CHUNK_BYTES = 384 << 10 }; /* of gathered x: together with the panels of dy it should stay in L2 and L3 */

typedef struct {
    correlation q; /* the forward pass; y is dy */
    tiling cutting;
    tile chunk;
    const char *dy;
    char *panels, *gathered, *offsets, *sums; /* sums: [group][panel][tap, ci][nr] */
    int64_t columns_panels, rows, panel_bytes, gathered_bytes, sums_bytes;
    int64_t run_taps, run_rows; /* kernel rows (or taps) a group has, and how many rows of dw lie side by side in each */
    int first;
} weights_job;

static int64_t lay_out(weights_job *job, const pyconv_conv *p, char *base) {
    workspace memory = {base, 0};
    correlation *q = &job->q;
    *q = correlation_forward(p);
    merge_axes(q);
    const axis *d = &q->axes[DEPTH], *h = &q->axes[HEIGHT], *w = &q->axes[WIDTH];
    const int64_t nr = q->table->nr;
    job->cutting = cut(q, q->groups * q->ci, CHUNK_BYTES, 1, 1);
    while (job->cutting.pixels * q->groups * round_up(q->co, nr) * q->size > 2 * CHUNK_BYTES) {
        tiling finer = cut(q, q->groups * q->ci, CHUNK_BYTES, 2 * job->cutting.tiles, 1);
        if (finer.tiles == job->cutting.tiles) break;
        job->cutting = finer;
    }
    int merged = w->dilation == 1;
    job->run_taps = d->taps * h->taps * (merged ? 1 : w->taps);
    job->run_rows = q->ci * (merged ? w->taps : 1);
    job->rows = job->run_taps * job->run_rows;
    job->columns_panels = ceil_div(q->co, nr);
    job->panel_bytes = lines(job->cutting.pixels * nr * q->size);
    job->gathered_bytes = lines(job->cutting.reach_pixels * q->ci * q->size);
    job->sums_bytes = lines(job->rows * nr * q->size);
    int64_t output_rows = job->cutting.pixels / job->cutting.extent[WIDTH];
    job->panels = take(&memory, q->groups * job->columns_panels * job->panel_bytes);
    job->gathered = take(&memory, q->groups * job->gathered_bytes);
    job->offsets = take(&memory, output_rows * (int64_t)sizeof(int64_t));
    job->sums = take(&memory, q->groups * job->columns_panels * job->sums_bytes);
    return memory.used;
}

static void pack_chunk(void *context, int64_t i, int worker) {
    (void)worker;
    const weights_job *job = context;
    const correlation *q = &job->q;
    if (i < q->groups) {
        gather_tile(q, &job->cutting, &job->chunk, i * q->ci, q->ci, job->gathered + i * job->gathered_bytes);
        return;
    }
    i -= q->groups;
    int64_t nr = q->table->nr, group = i / job->columns_panels, k = i % job->columns_panels * nr;
    int64_t columns = min_of(nr, q->co - k);
    const tile *t = &job->chunk;
    char *to = job->panels + i * job->panel_bytes;
    if (columns < nr) memset(to, 0, (size_t)job->panel_bytes);
    const char *from = job->dy + (group * q->co + k) * q->y_channel * q->size;
    from += output_offset(t->begin, q->y_step) * q->size;
    FOR_EACH_ROW(t, at) {
        q->table->copy_block(to, nr, from + output_offset(at, q->y_step) * q->size, q->y_step[WIDTH], q->y_channel,
                             t->extent[WIDTH], columns);
        to += t->extent[WIDTH] * nr * q->size;
    }
}

/* One kernel row (or tap) of one panel: all register tiles of dw's rows there. */
static void add_chunk(void *context, int64_t i, int worker) {
    (void)worker;
    const weights_job *job = context;
    const correlation *q = &job->q;
    const kernel_table *table = q->table;
    const int64_t size = q->size, nr = table->nr, pair = table->group_rows;
    int64_t tap = i % job->run_taps, panel = i / job->run_taps, group = panel / job->columns_panels;
    int64_t steps[AXES], taps_across = q->axes[WIDTH].dilation == 1 ? 1 : q->axes[WIDTH].taps;
    dense_steps(job->cutting.reach, q->ci, steps);
    int64_t w = tap % taps_across, h = tap / taps_across % q->axes[HEIGHT].taps, d = tap / taps_across / q->axes[HEIGHT].taps;
    const char *base = job->gathered + group * job->gathered_bytes +
                       (d * q->axes[DEPTH].dilation * steps[DEPTH] + h * q->axes[HEIGHT].dilation * steps[HEIGHT] +
                        w * q->axes[WIDTH].dilation * steps[WIDTH]) * size;
    char *sums = job->sums + panel * job->sums_bytes + tap * job->run_rows * nr * size;

    const tile *t = &job->chunk;
    tile_args args = {.offset = (const int64_t *)job->offsets,
                      .runs = t->extent[IMAGE] * t->extent[DEPTH] * t->extent[HEIGHT],
                      .length = t->extent[WIDTH],
                      .step = q->axes[WIDTH].step * steps[WIDTH],
                      .b = job->panels + panel * job->panel_bytes,
                      .row_step = job->run_rows < pair ? 0 : 1,
                      .c_row_step = job->run_rows < pair ? 0 : nr,
                      .accumulate = !job->first};
    int groups = 0;
    for (int64_t row = 0; row < job->run_rows; row += pair) {
        int64_t at = max_of(0, min_of(row, job->run_rows - pair)); /* rows that overlap are computed twice, alike */
        args.a[groups] = base + at * size;
        args.c[groups] = sums + at * nr * size;
        if (++groups == table->groups || row + pair >= job->run_rows) {
            table->tile(groups, &args);
            groups = 0;
        }
    }
}

static void list_rows(const weights_job *job) {
    const correlation *q = &job->q;
    const tile *t = &job->chunk;
    int64_t *offset = (int64_t *)job->offsets, steps[AXES];
    dense_steps(job->cutting.reach, q->ci, steps);
    FOR_EACH_ROW(t, at) *offset++ = input_offset(q, at, steps);
}

void conv_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw_, void *base, int threads) {
    weights_job job = {0};
    lay_out(&job, p, base);
    correlation *q = &job.q;
    q->x = x;
    job.dy = dy;
    const int64_t panels = q->groups * job.columns_panels, nr = q->table->nr;
    if (job.cutting.tiles == 0) memset(job.sums, 0, (size_t)(panels * job.sums_bytes));
    for (int64_t i = 0; i < job.cutting.tiles; i++) {
        job.chunk = tile_at(q, &job.cutting, i);
        job.first = i == 0;
        list_rows(&job);
        pyconv_parallel_for(q->groups + panels, threads, pack_chunk, &job);
        pyconv_parallel_for(panels * job.run_taps, threads, add_chunk, &job);
    }
    char *dw = dw_;
    const axis *d = &q->axes[DEPTH], *h = &q->axes[HEIGHT], *w = &q->axes[WIDTH];
    for (int64_t i = 0; i < panels; i++) {
        const char *from = job.sums + i * job.sums_bytes;
        int64_t k = i % job.columns_panels * nr;
        char *to = dw + (i / job.columns_panels * q->co + k) * p->w_strides[0] * q->size;
        for (int64_t a = 0; a < d->taps; a++)
            for (int64_t b = 0; b < h->taps; b++)
                for (int64_t c = 0; c < w->taps; c++) {
                    q->table->spread_block(to + (a * p->w_strides[2] + b * p->w_strides[3] + c * p->w_strides[4]) * q->size,
                                           p->w_strides[1], p->w_strides[0], from, nr, q->ci, min_of(nr, q->co - k));
                    from += q->ci * nr * q->size;
                }
    }
}

int64_t conv_weights_workspace(const pyconv_conv *p, int threads) {
    (void)threads;
    weights_job job;
    return lay_out(&job, p, 0);
}
