/* Pooling in two passes: the rows of a window are folded into one row, then the pixels of that row into outputs.
 *
 * The first pass walks contiguous memory whatever the window; the second has contiguous channels, or one channel and
 * outputs whose windows start evenly. Sums are made of short partial sums, so that large windows stay accurate.
 */

#define FOLDED_ROWS 8  /* rows folded at once */
#define FOLDED_TAPS 16 /* pixels summed at once, at least */
#define LINE (FOLDED_TAPS * PARTS * LANES)
#define BLOCK 64 /* outputs in local memory */
#define LOAD_TAP(t) (count == LANES ? v_load(x + (t) * tap_step + k * LANES) : v_load_n(x + (t) * tap_step, count))

enum { NAME(fold_max), NAME(fold_sum) };

INLINE vec NAME(fold)(const int kind, vec x, vec folded) {
    return kind == NAME(fold_max) ? v_max_nan(x, folded) : (vec)(folded + x);
}
INLINE real NAME(fold_one)(const int kind, real x, real folded) {
    return kind == NAME(fold_sum) ? folded + x : x > folded || x != x ? x : folded;
}

/* to[i] = fold over rows of x[row[r] + i], and over to[i] itself unless `first` */
INLINE void NAME(fold_rows)(const int kind, const int first, real *to, const real *x, const int64_t *row, int64_t rows,
                            int64_t n) {
    int64_t i = 0;
    for (; i + PARTS * LANES <= n; i += PARTS * LANES) {
        vec folded[PARTS];
        UNROLL for (int k = 0; k < PARTS; k++) folded[k] = v_load(x + row[0] + i + k * LANES);
        for (int64_t r = 1; r < rows; r++)
            UNROLL for (int k = 0; k < PARTS; k++)
                folded[k] = NAME(fold)(kind, v_load(x + row[r] + i + k * LANES), folded[k]);
        UNROLL for (int k = 0; k < PARTS; k++)
            v_store(to + i + k * LANES, first ? folded[k] : NAME(fold)(kind, folded[k], v_load(to + i + k * LANES)));
    }
    const int64_t rest = n - i;
    x += i;
    to += i;
    FOR_VECTORS(rest, {
        vec folded = LOAD(x + row[0]);
        for (int64_t r = 1; r < rows; r++) folded = NAME(fold)(kind, LOAD(x + row[r]), folded);
        STORE(to, first ? folded : NAME(fold)(kind, folded, LOAD(to)));
    });
}

/* Folds rows x[row[r]] into args->pixels. */
INLINE void NAME(fold_window_rows)(const int kind, const pool_args *args, const int64_t *row, int64_t rows) {
    const int flat = args->x_step == args->inner;
    const int64_t pixels = flat ? 1 : args->width, n = flat ? args->width * args->inner : args->inner;
    real *to = args->pixels;
    for (int64_t begin = 0; begin < rows; begin += FOLDED_ROWS) {
        const int64_t some = rows - begin < FOLDED_ROWS ? rows - begin : FOLDED_ROWS, *those = row + begin;
        for (int64_t p = 0; p < pixels; p++) {
            const real *from = (const real *)args->x + p * args->x_step;
            if (n == 1) {
                real folded = from[those[0]];
                for (int64_t r = 1; r < some; r++) folded = NAME(fold_one)(kind, from[those[r]], folded);
                to[p] = begin ? NAME(fold_one)(kind, folded, to[p]) : folded;
            } else if (begin) {
                NAME(fold_rows)(kind, 0, to + p * n, from, those, some, n);
            } else if (some == 2) { /* pooling's common windows have two or three rows */
                NAME(fold_rows)(kind, 1, to + p * n, from, those, 2, n);
            } else if (some == 3) {
                NAME(fold_rows)(kind, 1, to + p * n, from, those, 3, n);
            } else {
                NAME(fold_rows)(kind, 1, to + p * n, from, those, some, n);
            }
        }
    }
}

/* The same for maxima, and args->numbers gets the row that each stands in: the first of equals, the last NaN. */
static void NAME(argmax_window_rows)(const pool_args *args, const int64_t *row, int64_t rows) {
    const int flat = args->x_step == args->inner;
    const int64_t pixels = flat ? 1 : args->width, n = flat ? args->width * args->inner : args->inner;
    for (int64_t p = 0; p < pixels; p++) {
        const real *x = (const real *)args->x + p * args->x_step;
        real *to = (real *)args->pixels + p * n, *number = (real *)args->numbers + p * n;
        if (n == 1) {
            int64_t best = 0;
            for (int64_t r = 1; r < rows; r++)
                if (x[row[r]] > x[row[best]] || x[row[r]] != x[row[r]]) best = r;
            *to = x[row[best]];
            *number = (real)best;
            continue;
        }
        FOR_VECTORS(n, {
            vec most = LOAD(x + row[0]), best = ZERO;
            for (int64_t r = 1; r < rows; r++) {
                vec v = LOAD(x + row[r]);
                ivec better = (v > most) | (v != v);
                most = NAME(select)(better, v, most);
                best = NAME(select)(better, CONSTANT(r), best);
            }
            STORE(to, most);
            STORE(number, best);
        });
    }
}

/* y = fold over taps t of x[t·tap_step], for `parts` vectors of contiguous outputs or one of `count`; sums are divided. */
INLINE void NAME(fold_taps)(const int kind, const int parts, const int64_t count, real *y, const real *x, int64_t taps,
                            int64_t tap_step, real divisor) {
    vec folded[PARTS] = {ZERO};
    int64_t piece = taps; /* of a sum: about the square root of it */
    if (kind == NAME(fold_sum))
        for (piece = FOLDED_TAPS; piece * piece < taps;) piece *= 2;
    for (int64_t begin = 0; begin < taps; begin += piece) {
        const int64_t end = begin + piece < taps ? begin + piece : taps;
        vec part[PARTS];
        UNROLL for (int k = 0; k < parts; k++) part[k] = LOAD_TAP(begin);
        for (int64_t t = begin + 1; t < end; t++)
            UNROLL for (int k = 0; k < parts; k++) part[k] = NAME(fold)(kind, LOAD_TAP(t), part[k]);
        UNROLL for (int k = 0; k < parts; k++) folded[k] = begin ? NAME(fold)(kind, part[k], folded[k]) : part[k];
    }
    UNROLL for (int k = 0; k < parts; k++) {
        vec result = kind == NAME(fold_sum) ? (vec)(folded[k] / v_set1(divisor)) : folded[k];
        if (count == LANES) v_store(y + k * LANES, result);
        else v_store_n(y, result, count);
    }
}

INLINE void NAME(fold_contiguous)(const int kind, real *y, const real *x, int64_t n, int64_t taps, int64_t tap_step,
                                  real divisor) {
    int64_t i = 0;
    for (; i + PARTS * LANES <= n; i += PARTS * LANES)
        NAME(fold_taps)(kind, PARTS, LANES, y + i, x + i, taps, tap_step, divisor);
    for (; i + LANES <= n; i += LANES) NAME(fold_taps)(kind, 1, LANES, y + i, x + i, taps, tap_step, divisor);
    if (i < n) NAME(fold_taps)(kind, 1, n - i, y + i, x + i, taps, tap_step, divisor);
}

/* The same for n outputs `stride` apart. */
INLINE void NAME(fold_strided)(const int kind, real *restrict y, const real *restrict x, int64_t stride, int64_t n,
                               int64_t taps, int64_t tap_step, real divisor) {
    if (kind == NAME(fold_sum) && taps > FOLDED_TAPS) {
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t t = 0; t < taps; t++) sum += (double)x[i * stride + t * tap_step];
            y[i] = (real)(sum / (double)divisor);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) y[i] = x[i * stride];
    for (int64_t t = 1; t < taps; t++)
        for (int64_t i = 0; i < n; i++) y[i] = NAME(fold_one)(kind, x[i * stride + t * tap_step], y[i]);
    if (kind == NAME(fold_sum))
        for (int64_t i = 0; i < n; i++) y[i] /= divisor;
}

/* One output whose window is long and contiguous. */
INLINE void NAME(fold_line)(const int kind, real *y, const real *x, int64_t taps, real divisor) {
    if (kind == NAME(fold_max)) {
        *y = NAME(row_max)(x, taps);
        return;
    }
    double sum = 0, piece;
    for (int64_t t = 0; t < taps; t += LINE) {
        const real *from = x + t;
        const int64_t n = taps - t < LINE ? taps - t : LINE;
        SUM_ROW(piece, n, LOAD(from));
        sum += piece;
    }
    *y = (real)(sum / (double)divisor);
}

INLINE void NAME(fold_outputs)(const int kind, real *y, const real *x, int64_t stride, int64_t n, int64_t taps,
                               int64_t tap_step, real divisor) {
    if (n == 1 && tap_step == 1 && taps >= LANES) NAME(fold_line)(kind, y, x, taps, divisor);
    else if (stride == 1) NAME(fold_contiguous)(kind, y, x, n, taps, tap_step, divisor);
    else if (stride == 2) NAME(fold_strided)(kind, y, x, 2, n, taps, tap_step, divisor);
    else NAME(fold_strided)(kind, y, x, stride, n, taps, tap_step, divisor);
}

/* How many outputs from `o` on can be made at once: those whose windows are alike and start evenly. */
static int64_t NAME(alike)(const pool_args *args, int64_t o) {
    if (args->inner != 1 || o < args->even_begin || o >= args->even_end) return 1;
    return args->even_end - o < BLOCK ? args->even_end - o : BLOCK;
}

/* Folds a row of pixels, step apart, into a row of outputs. */
INLINE void NAME(fold_window_columns)(const int kind, const pool_args *args, const real *pixels, int64_t step, real *y,
                                      double row_divisor) {
    const int64_t inner = args->inner, tap_step = args->step * step, stride = inner == 1 ? args->even_step * step : 1;
    for (int64_t o = 0, n; o < args->outputs; o += n) {
        n = NAME(alike)(args, o);
        const int64_t taps = args->count[o], elements = inner * n;
        const real *x = pixels + args->start[o] * step, divisor = (real)(row_divisor * (double)args->divisor[o]);
        real block[BLOCK], *at = y + o * args->y_step, *to = n == 1 || args->y_step == 1 ? at : block;
        if (taps) NAME(fold_outputs)(kind, to, x, stride, elements, taps, tap_step, divisor);
        else
            for (int64_t i = 0; i < elements; i++) to[i] = kind == NAME(fold_max) ? -(real)__builtin_inf() : 0;
        if (to == block)
            for (int64_t i = 0; i < n; i++) at[i * args->y_step] = block[i];
    }
}

INLINE void NAME(pool)(const int kind, const pool_args *args) {
    for (int64_t i = 0; i < args->rows; i++) {
        const int64_t *row = args->row + args->row_begin[i], rows = args->row_begin[i + 1] - args->row_begin[i];
        real *y = (real *)args->y + args->y_row[i];
        if (rows == 0) {
            for (int64_t o = 0; o < args->outputs; o++)
                for (int64_t c = 0; c < args->inner; c++)
                    y[o * args->y_step + c] = kind == NAME(fold_max) ? -(real)__builtin_inf() : 0;
        } else if (rows == 1) { /* nothing to fold: the columns read x itself */
            NAME(fold_window_columns)(kind, args, (const real *)args->x + row[0], args->x_step, y, args->row_divisor[i]);
        } else {
            NAME(fold_window_rows)(kind, args, row, rows);
            NAME(fold_window_columns)(kind, args, args->pixels, args->inner, y, args->row_divisor[i]);
        }
    }
}
static void NAME(pool_max)(const pool_args *args) { NAME(pool)(NAME(fold_max), args); }
static void NAME(pool_sum)(const pool_args *args) { NAME(pool)(NAME(fold_sum), args); }

/* Row and tap of the maximum of each of n windows: the first of equals in row order, the last NaN. */
INLINE void NAME(argmax_outputs)(real *row, real *tap, const real *x, const real *number, int64_t stride, int64_t n,
                                 int64_t taps, int64_t tap_step) {
    if (stride == 1) {
        FOR_VECTORS(n, {
            vec most = LOAD(x), at = LOAD(number), best = ZERO;
            for (int64_t t = 1; t < taps; t++) {
                vec v = LOAD(x + t * tap_step), r = LOAD(number + t * tap_step);
                ivec better = (v > most) | ((v == most) & (r < at)) | ((v != v) & ((most == most) | (r >= at)));
                most = NAME(select)(better, v, most);
                at = NAME(select)(better, r, at);
                best = NAME(select)(better, CONSTANT(t), best);
            }
            STORE(row, at);
            STORE(tap, best);
        });
        return;
    }
    for (int64_t i = 0; i < n; i++, x += stride, number += stride) {
        real most = *x, at = *number;
        int64_t best = 0;
        for (int64_t t = 1; t < taps; t++) {
            const real v = x[t * tap_step], r = number[t * tap_step];
            if (v > most || (v == most && r < at) || (v != v && (most == most || r >= at))) {
                most = v;
                at = r;
                best = t;
            }
        }
        row[i] = at;
        tap[i] = (real)best;
    }
}

/* y (int64) = row_place[row] + pixel · place_step of each maximum, -1 for an empty window */
static void NAME(pool_argmax)(const pool_args *args) {
    const int64_t inner = args->inner, tap_step = args->step * inner, stride = inner == 1 ? args->even_step : 1;
    for (int64_t i = 0; i < args->rows; i++) {
        const int64_t *row = args->row + args->row_begin[i], rows = args->row_begin[i + 1] - args->row_begin[i];
        const int64_t *row_place = args->row_place + args->row_begin[i];
        if (rows) NAME(argmax_window_rows)(args, row, rows);
        for (int64_t o = 0, n; o < args->outputs; o += n) {
            n = NAME(alike)(args, o);
            const int64_t taps = rows ? args->count[o] : 0, elements = inner * n, first = args->start[o] * inner;
            int64_t *y = (int64_t *)args->y + args->y_row[i] + o * args->y_step;
            for (int64_t e = 0; e < elements; e += BLOCK) {
                const int64_t m = elements - e < BLOCK ? elements - e : BLOCK, at = first + e * stride;
                real best_row[BLOCK], best_tap[BLOCK];
                if (taps)
                    NAME(argmax_outputs)(best_row, best_tap, (const real *)args->pixels + at, (const real *)args->numbers + at,
                                         stride, m, taps, tap_step);
                for (int64_t k = 0; k < m; k++) {
                    int64_t *to = inner == 1 ? y + k * args->y_step : y + e + k;
                    if (!taps) *to = -1;
                    else {
                        const int64_t pixel = args->start[inner == 1 ? o + k : o] + (int64_t)best_tap[k] * args->step;
                        *to = row_place[(int64_t)best_row[k]] + pixel * args->place_step;
                    }
                }
            }
        }
    }
}

/* x[place + c] += y, where place (rows × outputs × inner) is what pool_argmax found; nothing for empty windows */
static void NAME(pool_scatter)(void *x, const int64_t *place, const pool_args *args) {
    const int64_t inner = args->inner;
    for (int64_t i = 0; i < args->rows; i++) {
        const real *y = (const real *)args->y + args->y_row[i];
        const int64_t rows = args->row_begin[i + 1] - args->row_begin[i];
        for (int64_t o = 0; o < args->outputs; o++, place += inner)
            if (rows && args->count[o])
                for (int64_t c = 0; c < inner; c++) ((real *)x)[place[c] + c] += y[o * args->y_step + c];
    }
}

/* y[p·y_step + c] += x[p·inner + c] */
INLINE void NAME(add_pixels)(real *y, int64_t y_step, const real *x, int64_t pixels, int64_t inner) {
    if (y_step == inner) {
        inner *= pixels;
        pixels = 1;
    } else if (inner == 1) {
        for (int64_t p = 0; p < pixels; p++) y[p * y_step] += x[p];
        return;
    }
    for (int64_t p = 0; p < pixels; p++, y += y_step, x += inner) FOR_VECTORS(inner, { STORE(y, LOAD(y) + LOAD(x)); });
}

/* The adjoint of pool_sum: every element of a window of x += y / divisor */
static void NAME(pool_spread)(void *x, const pool_args *args) {
    const int64_t inner = args->inner;
    real *pixels = args->pixels;
    for (int64_t i = 0; i < args->rows; i++) {
        memset(pixels, 0, (size_t)(args->width * inner) * sizeof(real));
        for (int64_t o = 0; o < args->outputs; o++) {
            const real *y = (const real *)args->y + args->y_row[i] + o * args->y_step;
            const real divisor = (real)(args->row_divisor[i] * (double)args->divisor[o]), share = *y / divisor;
            for (int64_t t = 0; t < args->count[o]; t++) {
                real *to = pixels + (args->start[o] + t * args->step) * inner;
                if (inner == 1) *to += share;
                else FOR_VECTORS(inner, { STORE(to, LOAD(to) + LOAD(y) / v_set1(divisor)); });
            }
        }
        for (int64_t r = args->row_begin[i]; r < args->row_begin[i + 1]; r++)
            NAME(add_pixels)((real *)x + args->row[r], args->x_step, pixels, args->width, inner);
    }
}
#undef FOLDED_ROWS
#undef FOLDED_TAPS
#undef LINE
#undef BLOCK
#undef LOAD_TAP
