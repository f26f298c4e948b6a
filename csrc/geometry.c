/* See geometry.h. */
#include "geometry.h"

correlation correlation_forward(const pyconv_conv *p) {
    correlation q = {.groups = p->groups,
                     .ci = p->c / p->groups,
                     .co = p->k / p->groups,
                     .x_channel = p->x_strides[1],
                     .y_channel = p->y_strides[1],
                     .padding_mode = p->padding_mode,
                     .size = p->real_bits / 8,
                     .table = pyconv_table(p->real_bits)};
    q.axes[IMAGE] = (axis){.in = p->n, .out = p->n, .step = 1, .taps = 1, .first = 0, .dilation = 1};
    q.x_step[IMAGE] = p->x_strides[0];
    q.y_step[IMAGE] = p->y_strides[0];
    for (int a = 0; a < 3; a++) {
        q.axes[DEPTH + a] = (axis){.in = p->in[a],
                                   .out = p->out[a],
                                   .step = p->stride[a],
                                   .taps = p->kernel[a],
                                   .first = -p->pad[a],
                                   .dilation = p->dilation[a]};
        q.x_step[DEPTH + a] = p->x_strides[2 + a];
        q.y_step[DEPTH + a] = p->y_strides[2 + a];
    }
    return q;
}

static int reads_in_place(const axis *a) {
    return a->taps == 1 && a->step == 1 && a->first == 0 && a->in == a->out;
}

/* An axis of one tap that only meets inputs becomes those inputs. */
static void drop_stride(correlation *q, int a) {
    axis *it = &q->axes[a];
    if (it->taps != 1 || it->out < 1 || it->first < 0 || it->first + (it->out - 1) * it->step >= it->in) return;
    const int64_t dropped = it->first * q->x_step[a];
    q->x_begin += dropped;
    if (q->x) q->x += dropped * q->size; /* else only sizes are wanted */
    q->x_step[a] *= it->step;
    it->in = it->out;
    it->first = 0;
    it->step = 1;
}

void merge_axes(correlation *q) {
    axis *w = &q->axes[WIDTH];
    for (int a = DEPTH; a < AXES; a++) drop_stride(q, a);
    for (int a = HEIGHT; a >= IMAGE; a--) {
        axis *outer = &q->axes[a];
        if (!reads_in_place(w) || !reads_in_place(outer)) return;
        if (outer->out == 1) continue;
        if (w->in == 1) { /* the stride of an axis of one element means nothing */
            q->x_step[WIDTH] = q->x_step[a];
            q->y_step[WIDTH] = q->y_step[a];
        } else if (q->x_step[a] != w->in * q->x_step[WIDTH] || q->y_step[a] != w->in * q->y_step[WIDTH]) {
            return;
        }
        w->in *= outer->in;
        w->out *= outer->out;
        outer->in = outer->out = 1;
    }
}

static int64_t reach(const axis *a, int64_t extent) {
    return a->taps == 0 ? 0 : (extent - 1) * a->step + (a->taps - 1) * a->dilation + 1;
}

static void measure(const correlation *q, tiling *t) {
    t->tiles = t->pixels = t->reach_pixels = 1;
    for (int a = 0; a < AXES; a++) {
        t->count[a] = ceil_div(max_of(0, q->axes[a].out), t->extent[a]);
        t->reach[a] = reach(&q->axes[a], t->extent[a]);
        t->tiles *= t->count[a];
        t->pixels *= t->extent[a];
        t->reach_pixels *= t->reach[a];
    }
}

static tiling whole(const correlation *q) {
    tiling t;
    for (int a = 0; a < AXES; a++) t.extent[a] = max_of(1, q->axes[a].out);
    measure(q, &t);
    return t;
}

/* Halves images, else the longer of depth and height, so that tiles reach little beyond themselves, else the width. */
static int halve(const correlation *q, tiling *t) {
    int a = t->extent[IMAGE] > 1 ? IMAGE : t->extent[DEPTH] >= t->extent[HEIGHT] ? DEPTH : HEIGHT;
    if (t->extent[a] == 1) a = WIDTH;
    if (t->extent[a] == 1) return 0;
    int64_t out = q->axes[a].out;
    t->extent[a] = ceil_div(out, ceil_div(out, ceil_div(out, 2 * t->count[a]))); /* evenly */
    measure(q, t);
    return 1;
}

tiling cut(const correlation *q, int64_t channels, int64_t bytes, int64_t at_least, int64_t few) {
    tiling t = whole(q);
    while (t.reach_pixels * channels * q->size > bytes && halve(q, &t)) {}
    while (t.tiles < at_least && t.pixels >= 2 * few && halve(q, &t)) {}
    return t;
}

void make_even(const correlation *q, tiling *t, int a) {
    t->extent[a] = round_up(t->extent[a], 2);
    measure(q, t);
}

tiling cut_pixels(const correlation *q, int64_t pixels, int64_t multiple) {
    tiling t = whole(q);
    while (t.pixels > max_of(pixels, t.extent[WIDTH])) halve(q, &t);
    if (t.pixels > pixels) {
        int64_t out = q->axes[WIDTH].out;
        t.extent[WIDTH] = min_of(out, round_up(ceil_div(out, ceil_div(out, pixels)), multiple));
        measure(q, &t);
    }
    return t;
}

tiling cut_alike(const correlation *q, const tiling *cutting) {
    tiling t = *cutting;
    measure(q, &t);
    return t;
}

tile tile_at(const correlation *q, const tiling *t, int64_t index) {
    tile it;
    for (int a = AXES - 1; a >= 0; a--) {
        it.begin[a] = index % t->count[a] * t->extent[a];
        it.extent[a] = min_of(t->extent[a], q->axes[a].out - it.begin[a]);
        index /= t->count[a];
    }
    return it;
}

int is_interior(const correlation *q, const tile *t) {
    for (int a = 0; a < AXES; a++) {
        int64_t low = t->begin[a] * q->axes[a].step + q->axes[a].first;
        if (low < 0 || low + reach(&q->axes[a], t->extent[a]) > q->axes[a].in) return 0;
    }
    return 1;
}

int64_t input_position(int padding_mode, int64_t i, int64_t n) {
    if (i >= 0 && i < n) return i;
    switch (padding_mode) {
        case 1: i = i < 0 ? -i : i; return i >= n ? 2 * (n - 1) - i : i;
        case 2: return i < 0 ? 0 : n - 1;
        case 3: return i < 0 ? i + n : i - n;
        default: return -1;
    }
}

typedef struct gathering {
    const correlation *q;
    const tile *t;
    const int64_t *steps; /* of the scratch: images, depth, height */
    int64_t channels, pitch;
    void (*row)(const struct gathering *g, const char *from, char *to); /* copies one row of the width */
} gathering;

/* Which part of a tile's input row lies inside x: [begin, end) of `width` positions, the first at `low`. */
typedef struct {
    int64_t low, width, begin, end;
} row_span;

static row_span span_of(const gathering *g) {
    const axis *w = &g->q->axes[WIDTH];
    row_span s = {.low = g->t->begin[WIDTH] * w->step + w->first, .width = reach(w, g->t->extent[WIDTH])};
    s.begin = min_of(s.width, max_of(0, -s.low));
    s.end = max_of(s.begin, min_of(s.width, w->in - s.low));
    return s;
}

/* The next position of a row from i on that lies in the padding, or width. */
static int64_t next_padding(const row_span *s, int64_t i) { return i == s->begin ? s->end : i; }

static void channels_last_row(const gathering *g, const char *from, char *to) {
    const correlation *q = g->q;
    row_span s = span_of(g);
    int64_t pixel = g->pitch * q->size, x_step = q->x_step[WIDTH];
    if (s.end > s.begin)
        q->table->copy_block(to + s.begin * pixel, g->pitch, from + (s.low + s.begin) * x_step * q->size, x_step, q->x_channel,
                             s.end - s.begin, g->channels);
    for (int64_t i = next_padding(&s, 0); i < s.width; i = next_padding(&s, i + 1)) {
        int64_t at = input_position(q->padding_mode, s.low + i, q->axes[WIDTH].in);
        if (at < 0) memset(to + i * pixel, 0, (size_t)pixel);
        else q->table->copy_block(to + i * pixel, g->pitch, from + at * x_step * q->size, 0, q->x_channel, 1, g->channels);
    }
}

/* Bytes [begin, end), whole elements, of so many rows become 0. */
static void clear_columns(char *to, int64_t row, int64_t rows, int64_t begin, int64_t end) {
    for (int64_t c = 0; c < rows; c++)
        for (int64_t i = begin; i < end; i += 4) memcpy(to + c * row + i, &(uint32_t){0}, 4);
}

static void planar_row(const gathering *g, const char *from, char *to) {
    const correlation *q = g->q;
    row_span s = span_of(g);
    int64_t step = q->axes[WIDTH].step, x_step = q->x_step[WIDTH], plane = step * g->pitch;
    for (int64_t phase = 0; phase < step; phase++) {
        int64_t first = s.begin + (phase - s.begin % step + step) % step; /* of this phase, inside */
        if (first < s.end)
            q->table->copy_block(to + (phase * g->pitch + first / step) * q->size, plane, from + (s.low + first) * x_step * q->size,
                                 q->x_channel, x_step * step, g->channels, ceil_div(s.end - first, step));
    }
    if (q->padding_mode == 0 && step == 1) { /* the usual case without a call for each zero */
        clear_columns(to, plane * q->size, g->channels, 0, s.begin * q->size);
        clear_columns(to, plane * q->size, g->channels, s.end * q->size, s.width * q->size);
        return;
    }
    for (int64_t i = next_padding(&s, 0); i < s.width; i = next_padding(&s, i + 1)) {
        int64_t at = input_position(q->padding_mode, s.low + i, q->axes[WIDTH].in);
        char *column = to + (i % step * g->pitch + i / step) * q->size;
        if (at >= 0) q->table->copy_block(column, plane, from + at * x_step * q->size, q->x_channel, 1, g->channels, 1);
        else
            for (int64_t c = 0; c < g->channels; c++) memset(column + c * plane * q->size, 0, (size_t)q->size);
    }
}

static void gather_axis(const gathering *g, int a, const char *from, char *to) {
    if (a == WIDTH) {
        g->row(g, from, to);
        return;
    }
    const axis *it = &g->q->axes[a];
    int64_t low = g->t->begin[a] * it->step + it->first, length = reach(it, g->t->extent[a]);
    for (int64_t i = 0; i < length; i++, to += g->steps[a] * g->q->size) {
        int64_t at = input_position(g->q->padding_mode, low + i, it->in);
        if (at < 0) memset(to, 0, (size_t)(g->steps[a] * g->q->size));
        else gather_axis(g, a + 1, from + at * g->q->x_step[a] * g->q->size, to);
    }
}

void gather_tile(const correlation *q, const tiling *cutting, const tile *t, int64_t channel, int64_t channels, int64_t pitch,
                 char *to) {
    int64_t steps[AXES];
    dense_steps(cutting->reach, pitch, steps);
    gathering g = {q, t, steps, channels, pitch, channels_last_row};
    gather_axis(&g, IMAGE, q->x + channel * q->x_channel * q->size, to);
}

void gather_planar(const correlation *q, const tiling *cutting, const tile *t, int64_t channel, int64_t channels,
                   int64_t pitch, char *to) {
    int64_t steps[AXES], rows[AXES] = {cutting->reach[IMAGE], cutting->reach[DEPTH], cutting->reach[HEIGHT], 1};
    dense_steps(rows, channels * q->axes[WIDTH].step * pitch, steps);
    gathering g = {q, t, steps, channels, pitch, planar_row};
    gather_axis(&g, IMAGE, q->x + channel * q->x_channel * q->size, to);
}

void dense_steps(const int64_t extent[AXES], int64_t channels, int64_t steps[AXES]) {
    for (int a = AXES - 1; a >= 0; a--) {
        steps[a] = channels;
        channels *= extent[a];
    }
}

int64_t count_taps(const correlation *q) { return q->axes[DEPTH].taps * q->axes[HEIGHT].taps * q->axes[WIDTH].taps; }

int64_t list_kernel_rows(const correlation *q, const int64_t steps[AXES], int64_t *offset) {
    const axis *d = &q->axes[DEPTH], *h = &q->axes[HEIGHT];
    int64_t n = 0;
    for (int64_t i = 0; i < d->taps; i++)
        for (int64_t j = 0; j < h->taps; j++) offset[n++] = i * d->dilation * steps[DEPTH] + j * h->dilation * steps[HEIGHT];
    return n;
}
