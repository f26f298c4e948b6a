/* The gradient of maximum pooling over windows that overlap, or lie in an order that pool_spread.c does not take.
 *
 * It takes two steps, so that its cost grows with the sides of a window. Maxima of the windows' rows are made first. Each output
 * finds its maximum among these and adds dy to the share of that row; then each row finds its own maximum and adds its share to
 * dx there. The first of equals stays the first, since rows come before what is in them. What is outside of a tile is left
 * out: outputs at the edges of tiles are looked at twice, so that tiles are apart and nothing is added to by two tasks.
 * Vectors run along channels.
 */
#include "pool_job.h"

/* Along one axis: outputs first, …, n of them, whose windows are `count` inputs at one distance, of which those from `low` up
 * to `high` lie in the tile. */
typedef struct {
    int64_t n, start, distance, count, low, high;
} claims;

static claims claim_of(const window *w, int64_t o, span tile) {
    const int64_t start = start_of(w, o), count = count_of(w, o), low = min_of(count, max_of(0, tile.begin - start));
    return (claims){1, start, 0, count, low, max_of(low, min_of(count, tile.end - start))};
}

static claims claims_from(const window *w, int64_t first, int64_t end, span tile) {
    claims all = claim_of(w, first, tile);
    for (int64_t last = all.start, o = first + 1; o < end; o++, all.n++) {
        const claims next = claim_of(w, o, tile);
        if (all.n == 1) all.distance = next.start - last;
        if (next.count != all.count || next.low != all.low || next.high != all.high || next.start - last != all.distance) break;
        last = next.start;
    }
    return all;
}

static void clear(const pool_job *job, const pool_tile *t, const grid *dx) {
    const box *b = &t->to;
    const size_t bytes = (size_t)(t->channels * job->size);
    for (int64_t d = b->axis[D].begin; d < b->axis[D].end; d++)
        for (int64_t h = b->axis[H].begin; h < b->axis[H].end; h++) {
            const int64_t first[] = {d, h, b->axis[W].begin}, pixels = length(b->axis[W]);
            char *row = dx->data + offset_at(dx, first) * job->size;
            if (dx->step[W] == t->channels) memset(row, 0, bytes * (size_t)pixels);
            else
                for (int64_t p = 0; p < pixels; p++) memset(row + p * dx->step[W] * job->size, 0, bytes);
        }
}

/* Lists the taps of alike windows, and those in the tile. */
static void list_claims(const claims axis[SPATIAL], const grid *x, const grid *dx, spread_args *args, int64_t *offset, int64_t *to,
                        int64_t *tap) {
    for (int64_t d = 0; d < axis[D].count; d++)
        for (int64_t h = 0; h < axis[H].count; h++)
            for (int64_t w = 0; w < axis[W].count; w++) {
                if (d >= axis[D].low && d < axis[D].high && h >= axis[H].low && h < axis[H].high && w >= axis[W].low &&
                    w < axis[W].high) {
                    to[args->written] = d * dx->step[D] + h * dx->step[H] + w * dx->step[W];
                    tap[args->written++] = args->taps;
                }
                offset[args->taps++] = d * x->step[D] + h * x->step[H] + w * x->step[W];
            }
}

/* dx += dy at the maxima of outputs, where these are in the tile. */
static void claim(const pool_job *job, const window axis[SPATIAL], int64_t lanes, const grid *x, const grid *dy, const box *outputs,
                  const grid *dx, const box *tile) {
    claims d, h, w;
    for (int64_t depth = outputs->axis[D].begin; depth < outputs->axis[D].end; depth++) {
        d = claim_of(&axis[D], depth, tile->axis[D]);
        for (int64_t row = outputs->axis[H].begin; row < outputs->axis[H].end; row += h.n) {
            h = claims_from(&axis[H], row, outputs->axis[H].end, tile->axis[H]);
            for (int64_t pixel = outputs->axis[W].begin; pixel < outputs->axis[W].end; pixel += w.n) {
                w = claims_from(&axis[W], pixel, outputs->axis[W].end, tile->axis[W]);
                int64_t offset[CLAIMED_TAPS], to[CLAIMED_TAPS], tap[CLAIMED_TAPS];
                const int64_t from[] = {d.start, h.start, w.start}, at[] = {depth, row, pixel};
                spread_args args = {.x = x->data + offset_at(x, from) * job->size,
                                    .dx = dx->data + offset_at(dx, from) * job->size,
                                    .dy = dy->data + offset_at(dy, at) * job->size,
                                    .offset = offset,
                                    .to = to,
                                    .tap = tap,
                                    .rows = h.n,
                                    .pixels = w.n,
                                    .lanes = lanes,
                                    .x_row = h.distance * x->step[H],
                                    .dx_row = h.distance * dx->step[H],
                                    .dy_row = dy->step[H],
                                    .x_step = w.distance * x->step[W],
                                    .dx_step = w.distance * dx->step[W],
                                    .dy_step = dy->step[W]};
                list_claims((const claims[]){d, h, w}, x, dx, &args, offset, to, tap);
                if (args.x_step == lanes && args.dx_step == lanes && args.dy_step == lanes) { /* pixels that follow each other */
                    args.lanes *= args.pixels;
                    args.pixels = 1;
                }
                if (args.written) job->table->pool_claim(&args);
            }
        }
    }
}

void claim_tile(const pool_job *job, const pool_tile *t, const grid *x, const box *from, const grid *dy, const box *outputs,
                const grid *dx) {
    const window *axis = job->axis, one[] = {inputs_of(&axis[D]), inputs_of(&axis[H]), inputs_of(&axis[W])};
    const box *tile = &t->to, rows = {{from->axis[D], from->axis[H], outputs->axis[W]}},
              shares = {{tile->axis[D], tile->axis[H], outputs->axis[W]}};
    const grid most = in_scratch(job, t, &rows, MIDDLE), part = in_scratch(job, t, &shares, SHARES);
    fold_boxes(job, t, job->table->pool_max, (const window[]){one[D], one[H], axis[W]}, x, from, &most, &rows);
    memset(part.data, 0, (size_t)(part.level_step * job->size));
    claim(job, (const window[]){axis[D], axis[H], one[W]}, t->channels, &most, dy, outputs, &part, &shares);
    clear(job, t, dx);
    claim(job, (const window[]){one[D], one[H], axis[W]}, t->channels, x, &part, &shares, dx, tile);
}
