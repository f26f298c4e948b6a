/* Convolution, backward weights: dw[k, (c, tap)] = sum over output pixels of dy[k, pixel] · x[c, pixel·stride + tap].
 *
 * A product of matrices: rows are output channels, columns pairs of input channel and tap in dw's own order. A task owns a
 * block of dw, whose sums stay in its cache, and walks through the pixels in chunks: it packs its columns of x into panels
 * of nr, and takes dy row by row, in place where pixels lie side by side. No task waits for another. Where dw has too
 * few blocks to go round, the chunks are split into parts, whose sums are added in order at the end. How work is cut depends on
 * shapes alone, so the order of sums does too.
 */
#include "conv.h"
#include "rows.h"
#include "threads.h"
#include "workspace.h"

enum {
    CHUNK_PIXELS = 600,
    PANEL_BYTES = 192 << 10, /* of a block's panels of x, */
    SUMS_BYTES = 192 << 10,  /* and of its sums: both stay in L2 */
    SHARED_BYTES = 16 << 20, /* of a copy of dy for all tasks */
    COPIED_ROWS = 32,
    ENOUGH_BLOCKS = 16
};

typedef struct {
    correlation q; /* the forward pass; y is dy */
    tiling cutting;
    const char *dy;
    char *dw;
    int64_t k_step, c_step, tap_step[AXES]; /* of dw */
    int64_t taps, columns, panels, block_panels, column_blocks, block_rows, row_blocks, parts, chunks_a_part;
    int64_t channels, pitch; /* input channels that a block touches at most; pixels of a row of their copy */
    int64_t dy_step;  /* elements between the rows of a copy of dy */
    int copies_dy, shares_dy, contiguous; /* contiguous: a row of dw, (c, tap), is */
    int64_t *place;  /* of pixel i of a panel */
    char *sums;      /* of all parts: [part][group][row block][column block], or NULL */
    char *shared;    /* a copy of dy: [chunk][group][row][dy_step], or NULL */
    char *scratch;
    int64_t list_bytes, run_bytes, input_bytes, panel_bytes, dy_bytes, sums_bytes, scratch_bytes;
} weights_job;

/* A worker's scratch. */
typedef struct {
    int64_t *columns, *runs; /* where the columns of a block begin in x, and the runs of a row of dy */
    char *input, *panels, *dy, *sums;
} weights_scratch;

static weights_scratch scratch_of(const weights_job *job, int worker) {
    char *list = job->scratch + worker * job->scratch_bytes, *runs = list + job->list_bytes, *input = runs + job->run_bytes;
    char *panels = input + job->input_bytes, *dy = panels + job->block_panels * job->panel_bytes;
    return (weights_scratch){(int64_t *)list, (int64_t *)runs, input, panels, dy, dy + job->dy_bytes};
}

/* Which part of dw a task owns. */
typedef struct {
    int64_t part, group, row, rows, column, columns, channel, channels;
} dw_block;

static dw_block block_at(const weights_job *job, int64_t i) {
    const correlation *q = &job->q;
    const int64_t block_columns = job->block_panels * q->table->nr;
    dw_block b;
    b.column = i % job->column_blocks * block_columns;
    i /= job->column_blocks;
    b.row = i % job->row_blocks * job->block_rows;
    i /= job->row_blocks;
    b.group = i % q->groups;
    b.part = i / q->groups;
    b.columns = min_of(block_columns, job->columns - b.column);
    b.rows = min_of(job->block_rows, q->co - b.row);
    b.channel = b.column / job->taps;
    b.channels = (b.column + b.columns - 1) / job->taps - b.channel + 1;
    return b;
}

/* Where each column of a block begins: channels lie channel_step apart, taps as the steps say. In a copy by gather_planar
 * (`phase_step` > 0) positions along the width lie side by side phase by phase of the stride. */
static void list_columns(const weights_job *job, const dw_block *b, int64_t channel_step, const int64_t steps[AXES],
                         int64_t phase_step, int64_t *offset) {
    const correlation *q = &job->q;
    const axis *h = &q->axes[HEIGHT], *w = &q->axes[WIDTH], *d = &q->axes[DEPTH];
    for (int64_t j = 0; j < b->columns; j++) {
        int64_t tap = (b->column + j) % job->taps, channel = (b->column + j) / job->taps - b->channel;
        int64_t across = tap % w->taps * w->dilation, down = tap / w->taps % h->taps * h->dilation;
        int64_t deep = tap / w->taps / h->taps * d->dilation;
        offset[j] = channel * channel_step + deep * steps[DEPTH] + down * steps[HEIGHT];
        offset[j] += phase_step ? across % w->step * phase_step + across / w->step : across * steps[WIDTH];
    }
}

/* Packs a block's columns of one chunk of x into panels: [panel][pixel][nr]. */
static void pack_columns(const weights_job *job, const dw_block *b, const tile *t, const weights_scratch *scratch) {
    const correlation *q = &job->q;
    const kernel_table *table = q->table;
    const int64_t size = q->size, nr = table->nr, width = t->extent[WIDTH], stride = q->axes[WIDTH].step;
    int64_t *offset = scratch->columns, steps[AXES];
    const int inside = is_interior(q, t), last = inside && q->x_channel == 1 && job->taps == 1;
    const char *from = tile_input(q, t) + (b->group * q->ci + b->channel) * q->x_channel * size;
    memcpy(steps, q->x_step, sizeof steps);
    if (!last && inside && stride == 1 && q->x_step[WIDTH] == 1) {
        list_columns(job, b, q->x_channel, steps, 0, offset);
    } else if (!last) {
        int64_t rows[AXES] = {job->cutting.reach[IMAGE], job->cutting.reach[DEPTH], job->cutting.reach[HEIGHT], 1};
        gather_planar(q, &job->cutting, t, b->group * q->ci + b->channel, b->channels, job->pitch, scratch->input);
        dense_steps(rows, b->channels * stride * job->pitch, steps);
        steps[WIDTH] = 0;
        list_columns(job, b, stride * job->pitch, steps, job->pitch, offset);
        from = scratch->input;
    }
    for (int64_t j = 0; j < b->columns; j += nr) {
        const int64_t columns = min_of(nr, b->columns - j);
        char *to = scratch->panels + j / nr * job->panel_bytes;
        if (columns < nr) memset(to, 0, (size_t)job->panel_bytes);
        FOR_EACH_ROW(t, at) {
            const char *row = from + input_offset(q, at, steps) * size;
            if (last) table->copy_block(to, nr, row + j * size, steps[WIDTH] * stride, 1, width, columns);
            else table->pack(to, job->place, row, offset + j, width, columns);
            to += width * nr * size;
        }
    }
}

/* Rows of dy: where they begin, how far apart they are, and the runs of pixels in each. */
typedef struct {
    const char *base;
    int64_t step, runs, length;
} dy_rows;

/* Copies some rows of a chunk of dy, so that pixels lie side by side. */
static void copy_dy(const weights_job *job, const tile *t, int64_t group, int64_t row, int64_t rows, char *to) {
    const correlation *q = &job->q;
    const int64_t width = t->extent[WIDTH], size = q->size;
    const char *dy = job->dy + ((group * q->co + row) * q->y_channel + output_offset(t->begin, q->y_step)) * size;
    FOR_EACH_ROW(t, at) {
        q->table->copy_block(to, job->dy_step, dy + output_offset(at, q->y_step) * size, q->y_channel, q->y_step[WIDTH], rows, width);
        to += width * size;
    }
}

static char *shared_dy(const weights_job *job, int64_t chunk, int64_t group, int64_t row) {
    return job->shared + ((chunk * job->q.groups + group) * job->q.co + row) * job->dy_step * job->q.size;
}

static void copy_task(void *context, int64_t i, int worker) {
    (void)worker;
    const weights_job *job = context;
    const int64_t pieces = ceil_div(job->q.co, COPIED_ROWS), row = i % pieces * COPIED_ROWS;
    const int64_t group = i / pieces % job->q.groups, chunk = i / pieces / job->q.groups;
    const tile t = tile_at(&job->q, &job->cutting, chunk);
    copy_dy(job, &t, group, row, min_of(COPIED_ROWS, job->q.co - row), shared_dy(job, chunk, group, row));
}

static dy_rows view_dy(const weights_job *job, const dw_block *b, int64_t chunk, const tile *t, const weights_scratch *scratch) {
    const correlation *q = &job->q;
    dy_rows view = {.step = q->y_channel, .length = t->extent[WIDTH]};
    int64_t *offset = scratch->runs, n = 0;
    if (job->copies_dy) {
        *offset = 0;
        view = (dy_rows){scratch->dy, job->dy_step, 1, view.length * t->extent[HEIGHT] * t->extent[DEPTH] * t->extent[IMAGE]};
        if (job->shares_dy) view.base = shared_dy(job, chunk, b->group, b->row);
        else copy_dy(job, t, b->group, b->row, b->rows, scratch->dy);
        return view;
    }
    view.base = job->dy + ((b->group * q->co + b->row) * q->y_channel + output_offset(t->begin, q->y_step)) * q->size;
    FOR_EACH_ROW(t, at) offset[n++] = output_offset(at, q->y_step);
    view.runs = join_runs(offset, n, &view.length);
    return view;
}

static int64_t column_offset(const weights_job *job, int64_t column) {
    int64_t offset = column / job->taps * job->c_step, tap = column % job->taps;
    for (int a = WIDTH; a >= DEPTH; a--) {
        offset += tap % job->q.axes[a].taps * job->tap_step[a];
        tap /= job->q.axes[a].taps;
    }
    return offset;
}

/* Copies the sums of a block, [panel][row][nr], to where they belong in dw. */
static void store_block(const weights_job *job, const dw_block *b, const char *sums) {
    const correlation *q = &job->q;
    const int64_t size = q->size, nr = q->table->nr;
    char *to = job->dw + (b->group * q->co + b->row) * job->k_step * size;
    for (int64_t j = 0; j < b->columns; j += nr, sums += job->block_rows * nr * size)
        if (job->contiguous || job->taps == 1) {
            const int64_t step = job->taps == 1 ? job->c_step : 1;
            q->table->spread_block(to + (b->column + j) * step * size, job->k_step, step, sums, nr, b->rows, min_of(nr, b->columns - j));
        } else {
            for (int64_t i = 0; i < min_of(nr, b->columns - j); i++)
                q->table->spread_block(to + column_offset(job, b->column + j + i) * size, job->k_step, 0, sums + i * size, nr, b->rows, 1);
        }
}

static char *sums_of(const weights_job *job, int64_t i) { return job->sums + i * job->sums_bytes; }

static void block_task(void *context, int64_t i, int worker) {
    const weights_job *job = context;
    const kernel_table *table = job->q.table;
    const int64_t nr = table->nr, size = job->q.size;
    const dw_block b = block_at(job, i);
    const weights_scratch scratch = scratch_of(job, worker);
    char *sums = job->parts > 1 ? sums_of(job, i) : scratch.sums;
    const int64_t first = b.part * job->chunks_a_part, last = min_of(job->cutting.tiles, first + job->chunks_a_part);
    for (int64_t chunk = first; chunk < last; chunk++) {
        tile t = tile_at(&job->q, &job->cutting, chunk);
        pack_columns(job, &b, &t, &scratch);
        dy_rows dy = view_dy(job, &b, chunk, &t, &scratch);
        tile_args args = {.offset = scratch.runs, .runs = dy.runs, .length = dy.length, .accumulate = chunk > first};
        for (int64_t panel = 0; panel * nr < b.columns; panel++) {
            args.b = scratch.panels + panel * job->panel_bytes;
            args.narrow = b.columns - panel * nr <= nr / 2;
            multiply_rows(table, size, args, dy.base, dy.step, sums + panel * job->block_rows * nr * size, nr, b.rows);
        }
    }
    if (job->parts == 1) store_block(job, &b, sums);
}

/* Adds up the parts of a block, in order. */
static void add_parts(void *context, int64_t i, int worker) {
    (void)worker;
    const weights_job *job = context;
    const dw_block b = block_at(job, i);
    const int64_t blocks = job->q.groups * job->row_blocks * job->column_blocks, elements = job->sums_bytes / job->q.size;
    binary_args add = {.y = sums_of(job, i), .a = sums_of(job, i), .rows = 1, .columns = elements};
    for (int64_t part = 1; part < job->parts; part++) {
        add.b = sums_of(job, part * blocks + i);
        job->q.table->binary(PYCONV_ADD, &add);
    }
    store_block(job, &b, sums_of(job, i));
}

/* Where dw is but a product of pixels, x and dy may change places. What is packed lies well where channels are contiguous, what
 * are rows where pixels are: the larger of the two should lie well. */
static void choose_roles(weights_job *job) {
    correlation *q = &job->q;
    const int last = q->x_channel == 1;
    int product = q->groups == 1 && last == (q->y_channel == 1) && (last ? q->co > q->ci : q->ci > q->co);
    for (int a = DEPTH; a < AXES; a++) {
        const axis *it = &q->axes[a];
        product = product && it->taps == 1 && it->step == 1 && it->first == 0 && it->in == it->out;
    }
    if (!product) return;
    const weights_job turned = *job;
    job->dy = turned.q.x;
    q->x = turned.dy;
    q->ci = turned.q.co, q->co = turned.q.ci;
    q->x_channel = turned.q.y_channel, q->y_channel = turned.q.x_channel;
    memcpy(q->x_step, turned.q.y_step, sizeof q->x_step);
    memcpy(q->y_step, turned.q.x_step, sizeof q->y_step);
    job->k_step = turned.c_step, job->c_step = turned.k_step;
}

/* How dw and the pixels are split. */
static void divide(weights_job *job) {
    correlation *q = &job->q;
    const int64_t nr = q->table->nr, together = q->table->groups * q->table->group_rows;
    job->cutting = cut_pixels(q, CHUNK_PIXELS, 1);
    job->taps = count_taps(q);
    job->columns = q->ci * job->taps;
    job->panels = ceil_div(job->columns, nr);
    job->panel_bytes = lines(job->cutting.pixels * nr * q->size);
    job->block_panels = max_of(1, min_of(job->panels, PANEL_BYTES / max_of(nr * q->size, job->panel_bytes)));
    job->block_rows = max_of(together, min_of(q->co, SUMS_BYTES / (job->block_panels * nr * q->size)));
    job->row_blocks = ceil_div(q->co, job->block_rows);
    job->block_rows = round_up(ceil_div(q->co, job->row_blocks), together);
    job->row_blocks = ceil_div(q->co, job->block_rows);
    int64_t blocks = q->groups * job->row_blocks * ceil_div(job->panels, job->block_panels);
    job->parts = max_of(1, min_of(job->cutting.tiles, ENOUGH_BLOCKS / max_of(1, blocks)));
    job->chunks_a_part = ceil_div(job->cutting.tiles, job->parts);
    job->parts = max_of(1, ceil_div(job->cutting.tiles, max_of(1, job->chunks_a_part)));
    int64_t column_blocks = ceil_div(ENOUGH_BLOCKS / 3, job->parts * q->groups * job->row_blocks); /* at least */
    job->block_panels = max_of(1, min_of(job->block_panels, job->panels / column_blocks));
    job->column_blocks = ceil_div(job->panels, job->block_panels);
    job->block_panels = ceil_div(job->panels, job->column_blocks);
}

static int64_t lay_out(weights_job *job, const pyconv_conv *p, const void *dy, const void *x, int threads, char *base) {
    workspace memory = {base, 0};
    correlation *q = &job->q;
    *q = correlation_forward(p);
    q->x = x;
    merge_axes(q);
    job->dy = dy;
    job->k_step = p->w_strides[0];
    job->c_step = p->w_strides[1];
    choose_roles(job);
    divide(job);
    const axis *w = &q->axes[WIDTH];
    const int64_t nr = q->table->nr, width = job->cutting.extent[WIDTH];
    int64_t step = 1;
    job->contiguous = 1;
    for (int a = WIDTH; a >= DEPTH; a--) {
        job->tap_step[a] = p->w_strides[1 + a];
        if (q->axes[a].taps > 1 && job->tap_step[a] != step) job->contiguous = 0;
        step *= q->axes[a].taps;
    }
    if (q->ci > 1 && job->c_step != step) job->contiguous = 0;
    job->copies_dy = (q->y_step[WIDTH] != 1 && width > 1) || rows_collide(q->y_channel, q->size);
    job->channels = min_of(q->ci, (job->block_panels * nr - 2) / job->taps + 2);
    job->pitch = width + (w->taps - 1) * w->dilation / w->step + 1;
    const int64_t rows = job->cutting.reach[IMAGE] * job->cutting.reach[DEPTH] * job->cutting.reach[HEIGHT];
    const int64_t word = (int64_t)sizeof(int64_t);
    job->list_bytes = lines(job->block_panels * nr * word);
    job->run_bytes = lines(max_of(1, job->cutting.pixels / max_of(1, width)) * word);
    job->input_bytes = lines(rows * job->channels * w->step * job->pitch * q->size);
    job->dy_step = round_up(job->cutting.pixels, 16) + 16;
    const int64_t dy_bytes = job->cutting.tiles * q->groups * q->co * job->dy_step * q->size;
    job->shares_dy = job->copies_dy && job->column_blocks > 1 && dy_bytes <= SHARED_BYTES;
    job->dy_bytes = lines(job->copies_dy && !job->shares_dy ? job->block_rows * job->dy_step * q->size : 0);
    job->sums_bytes = lines(job->block_panels * job->block_rows * nr * q->size);
    job->scratch_bytes = job->list_bytes + job->run_bytes + job->input_bytes + job->block_panels * job->panel_bytes;
    job->scratch_bytes += job->dy_bytes + (job->parts == 1 ? job->sums_bytes : 0);
    job->place = (int64_t *)take(&memory, width * word);
    job->sums = take(&memory, job->parts > 1 ? job->parts * q->groups * job->row_blocks * job->column_blocks * job->sums_bytes : 0);
    job->shared = take(&memory, job->shares_dy ? dy_bytes : 0);
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

void conv_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *base, int threads) {
    weights_job job;
    lay_out(&job, p, dy, x, threads, base);
    job.dw = dw;
    for (int64_t i = 0; i < job.cutting.extent[WIDTH]; i++) job.place[i] = i * job.q.table->nr;
    const int64_t blocks = job.q.groups * job.row_blocks * job.column_blocks;
    if (job.cutting.tiles == 0) {
        memset(job.scratch, 0, (size_t)job.sums_bytes);
        for (int64_t i = 0; i < blocks; i++) {
            dw_block b = block_at(&job, i);
            store_block(&job, &b, job.scratch);
        }
        return;
    }
    if (job.shares_dy)
        pyconv_parallel_for(job.cutting.tiles * job.q.groups * ceil_div(job.q.co, COPIED_ROWS), threads, copy_task, &job);
    pyconv_parallel_for(job.parts * blocks, threads, block_task, &job);
    if (job.parts > 1) pyconv_parallel_for(blocks, threads, add_parts, &job);
}

int64_t conv_weights_workspace(const pyconv_conv *p, int threads) {
    weights_job job;
    return lay_out(&job, p, 0, 0, threads, 0);
}
