/* The images engine: a vector holds one number of as many images as it has lanes, so that a weight serves a whole vector whatever
 * the numbers of channels and the width of the images are. For batches of images with few channels, where pixels fill no vectors
 * and output channels no panels. A tile's input is transposed to [depth][height][width][channel][image]; taps in the padding
 * are left out. Backward weights keeps the sums of each lane apart and adds up the lanes of a part of the batch at its end; batches are
 * split into parts by their size alone. */
#include "conv.h"
#include "threads.h"
#include "workspace.h"

enum {
    SCRATCH_BYTES = 256 << 10,
    FEW_PIXELS = 32,   /* of a tile that is not cut to keep threads busy */
    PARTS = 8,          /* of a batch, in backward weights */
    LEAST_IMAGES = 8,
    MOST_CHANNELS = 16, /* that are read */
    LEAST_ROWS = 4,     /* output channels: fewer leave most of a register tile empty */
    LEAST_TERMS = 16    /* of dw's columns: fewer do not pay for transposing dy */
};

typedef struct {
    const conv_problem *problem;
    correlation q; /* of one vector of images */
    tiling cutting;
    int64_t vectors, images; /* of the batch */
    int64_t panels, row_bytes, scratch_bytes, panel_elements;
    char *packed, *scratch;
} images_job;

static int64_t lanes_of(const correlation *q) { return q->table->lanes; }

/* Whether vectors are well filled, and taps of a row side by side. */
static int takes(const correlation *q) {
    const int64_t n = q->axes[IMAGE].in, filled = round_up(n, lanes_of(q));
    if (q->groups != 1 || q->ci > MOST_CHANNELS || n < LEAST_IMAGES || 4 * n < 3 * filled) return 0;
    for (int a = DEPTH; a < AXES; a++)
        if (q->axes[a].dilation != 1 && q->axes[a].taps > 1) return 0;
    return 1;
}

int images_engine_suits(const conv_problem *problem) {
    const correlation *q = &problem->q;
    const int64_t nr = q->table->nr, panels = round_up(q->co, nr);
    const int fills_panels = 4 * q->co > 3 * panels; /* of the general engine, which does better then */
    if (problem->all_phases != 1 || q->co < LEAST_ROWS || q->co > 2 * nr || fills_panels) return 0;
    return takes(q) && count_taps(q) > 1;
}

static correlation of_a_vector(correlation q) {
    q.axes[IMAGE].in = q.axes[IMAGE].out = 1;
    return q;
}

/* Element strides of a tile's input, [depth][height][width][channel][image]. */
static void steps_of(const correlation *q, const tiling *cutting, int64_t steps[AXES]) {
    dense_steps(cutting->reach, q->ci * lanes_of(q), steps);
}

/* Copies one row of the width of a vector of images, all channels, as far as it lies inside x. */
static void gather_row(const correlation *q, int64_t low, int64_t begin, int64_t end, int64_t images, const char *from,
                       char *to) {
    const int64_t lanes = lanes_of(q), size = q->size, x_step = q->x_step[WIDTH];
    from += (low + begin) * x_step * size;
    to += begin * q->ci * lanes * size;
    if (q->x_channel == 1 && x_step == q->ci) {
        q->table->copy_block(to, lanes, from, 1, q->x_step[IMAGE], (end - begin) * q->ci, images);
        return;
    }
    for (int64_t c = 0; c < q->ci; c++)
        q->table->copy_block(to + c * lanes * size, q->ci * lanes, from + c * q->x_channel * size, x_step, q->x_step[IMAGE],
                             end - begin, images);
}

/* A tile's input, with its padding, of so many images from `image` on. */
static void gather(const correlation *q, const tiling *cutting, const tile *t, int64_t image, int64_t images, char *to) {
    const axis *w = &q->axes[WIDTH];
    const int64_t size = q->size, low = t->begin[WIDTH] * w->step + w->first, width = cutting->reach[WIDTH];
    const int64_t begin = min_of(width, max_of(0, -low)), end = max_of(begin, min_of(width, w->in - low));
    const char *x = q->x + image * q->x_step[IMAGE] * size;
    int64_t steps[AXES];
    steps_of(q, cutting, steps);
    if (images < lanes_of(q) || !is_interior(q, t)) memset(to, 0, (size_t)(cutting->reach[DEPTH] * steps[DEPTH] * size));
    for (int64_t d = 0; d < cutting->reach[DEPTH]; d++)
        for (int64_t h = 0; h < cutting->reach[HEIGHT]; h++) {
            const int64_t deep = t->begin[DEPTH] * q->axes[DEPTH].step + q->axes[DEPTH].first + d;
            const int64_t down = t->begin[HEIGHT] * q->axes[HEIGHT].step + q->axes[HEIGHT].first + h;
            const int64_t z = input_position(q->padding_mode, deep, q->axes[DEPTH].in);
            const int64_t y = input_position(q->padding_mode, down, q->axes[HEIGHT].in);
            if (z < 0 || z >= q->axes[DEPTH].in || y < 0 || y >= q->axes[HEIGHT].in) continue; /* a zero, or beyond the tile */
            const char *from = x + (z * q->x_step[DEPTH] + y * q->x_step[HEIGHT]) * size;
            char *row = to + (d * steps[DEPTH] + h * steps[HEIGHT]) * size;
            if (end > begin) gather_row(q, low, begin, end, images, from, row);
            if (q->padding_mode == 0) continue;
            for (int64_t i = begin > 0 ? 0 : end; i < width; i = i + 1 == begin ? end : i + 1) {
                const int64_t at = input_position(q->padding_mode, low + i, w->in);
                if (at >= 0 && at < w->in) gather_row(q, at - i, i, i + 1, images, from, row);
            }
        }
}

static int64_t panel_begin(const images_job *job, int64_t panel) { return panel * job->q.co / job->panels; }

static int64_t lay_out(images_job *job, const conv_problem *problem, int threads, char *base) {
    workspace memory = {base, 0};
    correlation *q = &job->q;
    job->problem = problem;
    *q = of_a_vector(problem->q);
    const int64_t lanes = lanes_of(q), word = q->size;
    job->images = problem->q.axes[IMAGE].in;
    job->vectors = ceil_div(job->images, lanes);
    job->cutting = cut(q, q->ci * lanes, SCRATCH_BYTES, ceil_div(2 * threads, max_of(1, job->vectors)), FEW_PIXELS);
    for (int a = DEPTH; a < AXES; a++) job->cutting.reach[a] += a == WIDTH ? (q->table->images_pixels - 1) * q->axes[a].step : 0;
    job->panels = ceil_div(q->co, q->table->images_rows);
    job->panel_elements = q->ci * count_taps(q);
    job->row_bytes = lines((job->cutting.extent[WIDTH] + q->table->images_pixels - 1) * q->co * lanes * word);
    int64_t pixels = 1;
    for (int a = DEPTH; a < AXES; a++) pixels *= job->cutting.reach[a];
    job->scratch_bytes = lines(pixels * q->ci * lanes * word);
    const int64_t packed = job->panel_elements * q->co * word;
    job->packed = problem->packing == PACK_AND_SOLVE ? take(&memory, packed) : problem->packed;
    job->scratch = take(&memory, threads * (job->scratch_bytes + job->row_bytes));
    return memory.used;
}

typedef struct {
    int64_t begin, end;
} tap_range;

/* The taps of an axis that any of so many outputs from `o` on meets inside the input. */
static tap_range taps_inside(const correlation *q, int a, int64_t o, int64_t outputs) {
    const axis *it = &q->axes[a];
    const int64_t first = o * it->step + it->first, last = first + (outputs - 1) * it->step;
    tap_range taps = {0, it->taps};
    if (q->padding_mode != 0) return taps;
    taps.begin = min_of(it->taps, max_of(0, -last));
    taps.end = max_of(taps.begin, min_of(it->taps, it->in - first));
    return taps;
}

/* One row of outputs, [width][channel][image]. */
static void solve_row(const images_job *job, const tile *t, const int64_t at[AXES], const int64_t steps[AXES], const char *x,
                      char *row) {
    const correlation *q = &job->q;
    const kernel_table *table = q->table;
    const axis *d = &q->axes[DEPTH], *h = &q->axes[HEIGHT], *w = &q->axes[WIDTH];
    const int64_t size = q->size, lanes = table->lanes;
    const tap_range deep = taps_inside(q, DEPTH, t->begin[DEPTH] + at[DEPTH], 1);
    const tap_range down = taps_inside(q, HEIGHT, t->begin[HEIGHT] + at[HEIGHT], 1);
    x += ((at[DEPTH] * d->step + deep.begin) * steps[DEPTH] + (at[HEIGHT] * h->step + down.begin) * steps[HEIGHT]) * size;
    for (int64_t panel = 0; panel < job->panels; panel++) {
        const int64_t k = panel_begin(job, panel), rows = panel_begin(job, panel + 1) - k, term = q->ci * rows;
        const int64_t pixels = table->images_pixels / (2 * rows > table->images_rows ? 2 : 1);
        const int64_t tap = (deep.begin * h->taps + down.begin) * w->taps;
        const char *weights = job->packed + (k * job->panel_elements + tap * term) * size;
        images_args args = {.bias = job->problem->bias ? job->problem->bias + k * size : 0,
                            .planes = deep.end - deep.begin,
                            .runs = down.end - down.begin,
                            .x_plane = steps[DEPTH],
                            .x_run = steps[HEIGHT],
                            .x_pixel = w->step * steps[WIDTH],
                            .w_plane = h->taps * w->taps * term,
                            .w_run = w->taps * term,
                            .y_pixel = q->co * lanes};
        for (int64_t o = 0; o < t->extent[WIDTH]; o += pixels) {
            const tap_range across = taps_inside(q, WIDTH, t->begin[WIDTH] + o, pixels);
            args.x = x + (o * w->step + across.begin) * steps[WIDTH] * size;
            args.w = weights + across.begin * term * size;
            args.length = (across.end - across.begin) * q->ci;
            args.y = row + (o * q->co + k) * lanes * size;
            table->images((int)rows, &args);
        }
    }
}

/* Copies so many images' outputs of a row to where they belong. */
static void spread_row(const correlation *q, const tile *t, int64_t images, const char *row, char *y) {
    const int64_t lanes = lanes_of(q), width = t->extent[WIDTH], y_step = q->y_step[WIDTH];
    if (q->y_channel == 1 && (y_step == q->co || width == 1)) {
        q->table->spread_block(y, 1, q->y_step[IMAGE], row, lanes, width * q->co, images);
        return;
    }
    for (int64_t k = 0; k < q->co; k++)
        q->table->spread_block(y + k * q->y_channel * q->size, y_step, q->y_step[IMAGE], row + k * lanes * q->size, q->co * lanes,
                               width, images);
}

static void images_task(void *context, int64_t i, int worker) {
    const images_job *job = context;
    const correlation *q = &job->q;
    const int64_t image = i / job->cutting.tiles * lanes_of(q), images = min_of(lanes_of(q), job->images - image);
    tile t = tile_at(q, &job->cutting, i % job->cutting.tiles);
    char *scratch = job->scratch + worker * (job->scratch_bytes + job->row_bytes), *row = scratch + job->scratch_bytes;
    int64_t steps[AXES];
    steps_of(q, &job->cutting, steps);
    gather(q, &job->cutting, &t, image, images, scratch);
    FOR_EACH_ROW(&t, at) {
        solve_row(job, &t, at, steps, scratch, row);
        const int64_t offset = image * q->y_step[IMAGE] + output_offset(t.begin, q->y_step) + output_offset(at, q->y_step);
        spread_row(q, &t, images, row, q->y + offset * q->size);
    }
    t.begin[IMAGE] = image, t.extent[IMAGE] = images;
    finish_tile(job->problem, q, &t, 0, q->co);
}

static int64_t images_packed(const conv_problem *problem) {
    return count_taps(&problem->q) * problem->q.ci * problem->q.co * problem->q.size;
}

static int64_t images_workspace(const conv_problem *problem, int threads) {
    images_job job;
    return lay_out(&job, problem, threads, 0);
}

static void pack_panel(const images_job *job, int64_t panel) {
    const correlation *q = &job->q;
    const weight_view *view = &job->problem->weights;
    const int64_t k = panel_begin(job, panel), rows = panel_begin(job, panel + 1) - k, size = q->size;
    char *to = job->packed + k * job->panel_elements * size;
    FOR_EACH_TAP(q, at) {
        const char *from = view->w + (k * view->k_step + tap_offset(job->problem, kernel_tap(job->problem, 0, at))) * size;
        q->table->copy_block(to, rows, from, view->c_step, view->k_step, q->ci, rows);
        to += q->ci * rows * size;
    }
}

static void images_solve(const conv_problem *problem, int threads, char *base) {
    images_job job;
    lay_out(&job, problem, threads, base);
    for (int64_t panel = 0; problem->packing != PACKED && panel < job.panels; panel++) pack_panel(&job, panel);
    if (problem->packing != PACK_ONLY) pyconv_parallel_for(job.vectors * job.cutting.tiles, threads, images_task, &job);
}

const conv_engine images_engine = {images_packed, images_workspace, images_solve, 0, 0};

/* Backward weights. Sums stand [output channel][tap, input channel][image], a tile of dy stands
 * [panel][depth][height][width][channel][image], where a panel is the output channels of a register tile. */
typedef struct {
    correlation q, dy; /* of one vector of images; dy: as if it were the input of a 1×1 convolution */
    tiling cutting, dy_cutting;
    char *dw;
    int64_t k_step, c_step, tap_step[AXES]; /* of dw */
    int64_t vectors, images, parts, panels, columns, row; /* columns of dw, and those of a row of sums */
    int64_t *offset;                              /* of a column in a tile's input */
    int64_t input_bytes, dy_bytes, sums_bytes, scratch_bytes;
    char *scratch, *sums; /* sums: of each part, [channel][column] */
} weights_job;

int images_weights_suits(const correlation *q) {
    return takes(q) && q->co <= MOST_CHANNELS && q->ci * count_taps(q) >= LEAST_TERMS;
}

static int64_t lay_out_weights(weights_job *job, const pyconv_conv *p, const void *dy, const void *x, int threads, char *base) {
    workspace memory = {base, 0};
    correlation q = correlation_forward(p), from = q;
    const int64_t lanes = lanes_of(&q);
    job->images = q.axes[IMAGE].in;
    job->vectors = ceil_div(job->images, lanes);
    job->parts = min_of(job->vectors, PARTS);
    q.x = x;
    from.x = dy;
    from.ci = q.co;
    from.x_channel = q.y_channel;
    memcpy(from.x_step, q.y_step, sizeof from.x_step);
    for (int a = DEPTH; a < AXES; a++) {
        const int64_t out = q.axes[a].out;
        from.axes[a] = (axis){.in = out, .out = out, .step = 1, .taps = 1, .dilation = 1};
    }
    job->q = of_a_vector(q);
    job->dy = of_a_vector(from);
    job->cutting = cut(&job->q, (q.ci + q.co) * lanes, SCRATCH_BYTES, 1, 1);
    job->dy_cutting = cut_alike(&job->dy, &job->cutting);
    job->k_step = p->w_strides[0], job->c_step = p->w_strides[1];
    for (int a = DEPTH; a < AXES; a++) job->tap_step[a] = p->w_strides[1 + a];
    job->columns = q.ci * count_taps(&q);
    job->row = round_up(job->columns, q.table->images_pixels);
    job->input_bytes = lines(job->cutting.reach_pixels * q.ci * lanes * q.size);
    job->dy_bytes = lines(job->dy_cutting.reach_pixels * q.co * lanes * q.size);
    job->sums_bytes = lines(q.co * job->row * lanes * q.size);
    job->panels = ceil_div(q.co, q.table->images_rows);
    job->scratch_bytes = job->input_bytes + 2 * (job->dy_bytes + job->sums_bytes);
    job->offset = (int64_t *)take(&memory, job->row * (int64_t)sizeof(int64_t));
    job->sums = take(&memory, job->parts * job->sums_bytes / lanes);
    job->scratch = take(&memory, threads * job->scratch_bytes);
    return memory.used;
}

static int64_t first_row(const weights_job *job, int64_t panel) { return panel * job->q.co / job->panels; }

/* A tile of dy; `whole` is room for it as it is gathered. */
static void gather_dy(const weights_job *job, const tile *t, int64_t image, int64_t images, char *whole, char *to) {
    const correlation *dy = &job->dy;
    const int64_t lanes = lanes_of(dy), pixels = job->dy_cutting.reach_pixels;
    gather(dy, &job->dy_cutting, t, image, images, whole);
    for (int64_t panel = 0; panel < job->panels; panel++) {
        const int64_t k = first_row(job, panel), row = (first_row(job, panel + 1) - k) * lanes;
        const char *from = whole + k * lanes * dy->size;
        dy->table->copy_block(to + k * pixels * lanes * dy->size, row, from, dy->ci * lanes, 1, pixels, row);
    }
}

/* Adds to the sums what a tile of a vector of images gives. */
static void add_tile(const weights_job *job, const tile *t, const char *x, const char *dy, char *sums) {
    const correlation *q = &job->q;
    const kernel_table *table = q->table;
    const int64_t size = q->size, lanes = table->lanes;
    int64_t steps[AXES], dy_steps[AXES];
    steps_of(q, &job->cutting, steps);
    images_weights_args args = {.planes = t->extent[DEPTH],
                                .height = t->extent[HEIGHT],
                                .width = t->extent[WIDTH],
                                .x = x,
                                .x_plane = q->axes[DEPTH].step * steps[DEPTH],
                                .x_row = q->axes[HEIGHT].step * steps[HEIGHT],
                                .x_pixel = q->axes[WIDTH].step * steps[WIDTH],
                                .sums_row = job->row * lanes};
    for (int64_t panel = 0; panel < job->panels; panel++) {
        const int64_t k = first_row(job, panel), rows = first_row(job, panel + 1) - k;
        const int64_t columns = table->images_pixels / (2 * rows > table->images_rows ? 2 : 1);
        dense_steps(job->dy_cutting.reach, rows * lanes, dy_steps);
        args.dy_plane = dy_steps[DEPTH], args.dy_row = dy_steps[HEIGHT], args.dy_pixel = dy_steps[WIDTH];
        args.dy = dy + k * job->dy_cutting.reach_pixels * lanes * size;
        for (int64_t j = 0; j < job->columns; j += columns) {
            args.offset = job->offset + j;
            args.sums = sums + (k * job->row + j) * lanes * size;
            table->images_weights((int)rows, &args);
        }
    }
}

static void part_task(void *context, int64_t part, int worker) {
    const weights_job *job = context;
    const correlation *q = &job->q;
    const int64_t size = q->size, lanes = lanes_of(q), elements = q->co * job->row;
    char *x = job->scratch + worker * job->scratch_bytes, *dy = x + job->input_bytes, *panels = dy + job->dy_bytes;
    char *sums = panels + job->dy_bytes, *turned = sums + job->sums_bytes, *total = job->sums + part * job->sums_bytes / lanes;
    memset(sums, 0, (size_t)job->sums_bytes);
    for (int64_t i = part * job->vectors / job->parts; i < (part + 1) * job->vectors / job->parts; i++) {
        const int64_t images = min_of(lanes, job->images - i * lanes);
        for (int64_t k = 0; k < job->cutting.tiles; k++) {
            const tile t = tile_at(q, &job->cutting, k);
            gather(q, &job->cutting, &t, i * lanes, images, x);
            gather_dy(job, &t, i * lanes, images, dy, panels);
            add_tile(job, &t, x, panels, sums);
        }
    }
    q->table->spread_block(turned, 1, elements, sums, lanes, elements, lanes);
    binary_args add = {.y = total, .a = turned, .rows = 1, .columns = elements};
    for (int64_t lane = 1; lane < lanes; lane++, add.a = total) {
        add.b = turned + lane * elements * size;
        q->table->binary(PYCONV_ADD, &add);
    }
}

static void store_weights(const weights_job *job) {
    const correlation *q = &job->q;
    const char *sums = job->sums;
    for (int64_t k = 0; k < q->co; k++, sums += job->row * q->size) {
        const char *from = sums;
        FOR_EACH_TAP(q, at) {
            char *to = job->dw + (k * job->k_step + output_offset(at, job->tap_step)) * q->size;
            q->table->spread_block(to, 0, job->c_step, from, 0, 1, q->ci);
            from += q->ci * q->size;
        }
    }
}

void images_weights(const pyconv_conv *p, const void *dy, const void *x, void *dw, void *base, int threads) {
    weights_job job;
    lay_out_weights(&job, p, dy, x, threads, base);
    const correlation *q = &job.q;
    const int64_t lanes = lanes_of(q);
    int64_t steps[AXES], column = 0;
    job.dw = dw;
    steps_of(q, &job.cutting, steps);
    memset(job.offset, 0, (size_t)job.row * sizeof *job.offset);
    FOR_EACH_TAP(q, at)
        for (int64_t c = 0; c < q->ci; c++) job.offset[column++] = output_offset(at, steps) + c * lanes;
    pyconv_parallel_for(job.parts, threads, part_task, &job);
    binary_args add = {.y = job.sums, .a = job.sums, .rows = 1, .columns = q->co * job.row};
    for (int64_t part = 1; part < job.parts; part++) {
        add.b = job.sums + part * job.sums_bytes / lanes;
        q->table->binary(PYCONV_ADD, &add);
    }
    store_weights(&job);
}

int64_t images_weights_workspace(const pyconv_conv *p, int threads) {
    weights_job job;
    return lay_out_weights(&job, p, 0, 0, threads, 0);
}
