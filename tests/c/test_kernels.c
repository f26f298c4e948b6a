/* The C library against plain loops, on every table of microkernels that this machine can run.
 *
 * Arrays hold small integers, so sums are exact and results must be equal; each is allocated to the byte, so that the
 * address sanitizer sees a stray access. Takes the place of dispatch.c.
 */
#include "kernels.h"
#include "pyconv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

extern const kernel_table pyconv_wide_f32, pyconv_wide_f64;
static const kernel_table *tables[2];
static const char *table_name;
static int failures;

const kernel_table *pyconv_table(int real_bits) { return tables[real_bits == 64]; }
const char *pyconv_isa(void) { return "under test"; }

/* An array of float or double, N × C × D × H × W or as many of those as it has, in either memory order. */
typedef struct {
    int bits;
    int64_t shape[5], strides[5], size;
    void *data;
} array;

static double get(const array *a, int64_t i) {
    return a->bits == 32 ? (double)((float *)a->data)[i] : ((double *)a->data)[i];
}
static void set(const array *a, int64_t i, double v) {
    if (a->bits == 32) ((float *)a->data)[i] = (float)v;
    else ((double *)a->data)[i] = v;
}

static uint32_t seed = 1;
static uint32_t draw(uint32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static array new_array(int bits, int channels_last, const int64_t shape[5]) {
    static const int orders[2][5] = {{0, 1, 2, 3, 4}, {0, 2, 3, 4, 1}};
    array a = {.bits = bits, .size = 1};
    for (int i = 4; i >= 0; i--) {
        const int axis = orders[channels_last][i];
        a.shape[axis] = shape[axis];
        a.strides[axis] = a.size;
        a.size *= shape[axis];
    }
    a.data = malloc((size_t)(a.size * bits / 8));
    for (int64_t i = 0; i < a.size; i++) set(&a, i, (double)draw(9) - 4);
    return a;
}

static int64_t at(const array *a, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) {
    const int64_t *s = a->strides;
    return n * s[0] + c * s[1] + d * s[2] + h * s[3] + w * s[4];
}

static double largest(const array *a) {
    double most = 0;
    for (int64_t i = 0; i < a->size; i++) most = fmax(most, fabs(get(a, i)));
    return most;
}

static void check(const char *what, const array *a, const double *expected, double tolerance) {
    for (int64_t i = 0; i < a->size; i++)
        if (!(fabs(get(a, i) - expected[i]) <= tolerance * (1 + fabs(expected[i])))) {
            printf("%s f%d %s: element %ld is %.17g, not %.17g\n", table_name, a->bits, what, (long)i, get(a, i),
                   expected[i]);
            failures++;
            return;
        }
}

#define FOR_SPATIAL(at, size)                          \
    for (int64_t at[3] = {0}; at[0] < (size)[0]; at[0]++) \
        for (at[1] = 0; at[1] < (size)[1]; at[1]++)    \
            for (at[2] = 0; at[2] < (size)[2]; at[2]++)

static int inside(const int64_t at[3], const int64_t size[3]) {
    return at[0] >= 0 && at[0] < size[0] && at[1] >= 0 && at[1] < size[1] && at[2] >= 0 && at[2] < size[2];
}

static void *new_memory(size_t bytes) {
    void *memory = 0;
    if (posix_memalign(&memory, 64, bytes + 64)) abort();
    return memory;
}

/* The forward pass with weights packed before it, and with its epilogue: relu(y + residual). */
static void test_packed(pyconv_conv p, const array *x, const array *w, const array *bias, const array *residual, const double *sums,
                        double tolerance, int threads) {
    array y = *residual;
    y.data = new_memory((size_t)y.size * (size_t)y.bits / 8);
    double *expected = calloc((size_t)y.size + 1, sizeof *expected);
    for (int64_t i = 0; i < y.size; i++) {
        const double sum = sums[i] + get(residual, i);
        expected[i] = sum > 0 ? sum : 0;
    }
    p.packed = 1;
    p.activation = PYCONV_RELU;
    const size_t bytes = pyconv_conv_packed_size(&p, 0);
    void *packed = new_memory(bytes), *memory = new_memory(pyconv_conv_workspace(&p, 0, threads));
    if (bytes) pyconv_conv_pack(&p, 0, w->data, packed, memory, threads);
    else p.packed = 0;
    pyconv_conv_forward(&p, x->data, bytes ? packed : w->data, bias->data, y.data, memory, threads);
    check("conv, packed", &y, sums, tolerance);
    pyconv_conv_fused(&p, x->data, bytes ? packed : w->data, bias->data, residual->data, y.data, memory, threads);
    check("conv_fused", &y, expected, tolerance);
    free(packed), free(memory), free(expected), free(y.data);
}

/* Convolution: the three passes of one problem, by the definition. */
static void test_conv(int bits, int last, pyconv_conv p, int threads) {
    const int64_t cg = p.c / p.groups, kg = p.k / p.groups;
    p.real_bits = bits;
    for (int a = 0; a < 3; a++)
        p.out[a] = (p.in[a] + 2 * p.pad[a] - p.dilation[a] * (p.kernel[a] - 1) - 1) / p.stride[a] + 1;
    array x = new_array(bits, last, (int64_t[]){p.n, p.c, p.in[0], p.in[1], p.in[2]});
    array y = new_array(bits, last, (int64_t[]){p.n, p.k, p.out[0], p.out[1], p.out[2]});
    array w = new_array(bits, 0, (int64_t[]){p.k, cg, p.kernel[0], p.kernel[1], p.kernel[2]});
    array bias = new_array(bits, 0, (int64_t[]){p.k, 1, 1, 1, 1}), dy = new_array(bits, last, y.shape);
    array dx = new_array(bits, last, x.shape), dw = new_array(bits, 0, w.shape);
    memcpy(p.x_strides, x.strides, sizeof x.strides);
    memcpy(p.y_strides, y.strides, sizeof y.strides);
    memcpy(p.w_strides, w.strides, sizeof w.strides);
    double *ey = calloc((size_t)y.size + 1, sizeof *ey), *ex = calloc((size_t)x.size + 1, sizeof *ex);
    double *ew = calloc((size_t)w.size + 1, sizeof *ew);
    for (int64_t n = 0; n < p.n; n++)
        for (int64_t k = 0; k < p.k; k++)
            FOR_SPATIAL(o, p.out) {
                const int64_t iy = at(&y, n, k, o[0], o[1], o[2]);
                ey[iy] = get(&bias, k);
                for (int64_t c = 0; c < cg; c++)
                    FOR_SPATIAL(r, p.kernel) {
                        int64_t i[3];
                        for (int a = 0; a < 3; a++) i[a] = o[a] * p.stride[a] + r[a] * p.dilation[a] - p.pad[a];
                        if (!inside(i, p.in)) continue;
                        const int64_t ix = at(&x, n, k / kg * cg + c, i[0], i[1], i[2]);
                        const int64_t iw = at(&w, k, c, r[0], r[1], r[2]);
                        ey[iy] += get(&x, ix) * get(&w, iw);
                        ex[ix] += get(&dy, iy) * get(&w, iw);
                        ew[iw] += get(&dy, iy) * get(&x, ix);
                    }
            }
    for (int winograd = 0; winograd <= 2; winograd++) /* in large tiles, in small ones */
        for (int pass = 0; pass < 3; pass++) {
            p.algorithm = winograd;
            if (winograd && !pyconv_conv_has_winograd(&p, pass)) continue;
            const double pixels = (double)(p.n * p.out[0] * p.out[1] * p.out[2]), eps = bits == 32 ? 0x1p-23 : 0x1p-52;
            const double terms = pass == 2 ? pixels : 9.0 * (double)(cg > kg ? cg : kg);
            const double tolerance = winograd ? 4 * eps * terms * largest(&x) * largest(pass == 2 ? &dy : &w) : 0;
            void *memory = new_memory(pyconv_conv_workspace(&p, pass, threads));
            if (pass == 0) {
                pyconv_conv_forward(&p, x.data, w.data, bias.data, y.data, memory, threads);
                check("conv", &y, ey, tolerance);
                test_packed(p, &x, &w, &bias, &dy, ey, tolerance, threads);
            } else if (pass == 1) {
                pyconv_conv_backward_data(&p, dy.data, w.data, 0, dx.data, memory, threads);
                check("conv_backward_data", &dx, ex, tolerance);
            } else {
                pyconv_conv_backward_weights(&p, dy.data, x.data, dw.data, memory, threads);
                check("conv_backward_weights", &dw, ew, tolerance);
            }
            free(memory);
        }
    free(x.data), free(y.data), free(w.data), free(bias.data), free(dx.data), free(dw.data), free(dy.data);
    free(ey), free(ex), free(ew);
}

/* Pooling with square windows: all passes. */
static void test_pool(int bits, int last, int64_t c, const int64_t in[3], int64_t k, int64_t stride, int64_t pad,
                      int threads) {
    int64_t tables_of[3 * 5 * 64], *table = tables_of, *start[3], *count[3];
    pyconv_pool p = {.n = 2, .c = c, .real_bits = bits, .windows = tables_of};
    for (int a = 0; a < 3; a++) {
        const int64_t kernel = in[a] == 1 ? 1 : k, before = in[a] == 1 ? 0 : pad, s = in[a] == 1 ? 1 : stride;
        const int64_t out = (in[a] + 2 * before - kernel) / s + 1;
        p.in[a] = in[a];
        p.out[a] = out;
        p.step[a] = 1;
        start[a] = table;
        count[a] = table + out;
        for (int64_t o = 0; o < out; o++) {
            const int64_t first = o * s - before, end = first + kernel < in[a] ? first + kernel : in[a];
            table[o] = first < 0 ? 0 : first;
            table[out + o] = end - table[o];
            table[2 * out + o] = kernel;
        }
        table += 3 * out;
        for (int64_t i = 0; i < in[a]; i++) {
            table[i] = table[in[a] + i] = 0;
            for (int64_t o = out - 1; o >= 0; o--)
                if (start[a][o] <= i && i < start[a][o] + count[a][o]) {
                    table[i] = o;
                    table[in[a] + i]++;
                }
        }
        table += 2 * in[a];
    }
    array x = new_array(bits, last, (int64_t[]){p.n, c, in[0], in[1], in[2]}), dx = new_array(bits, last, x.shape);
    array y = new_array(bits, last, (int64_t[]){p.n, c, p.out[0], p.out[1], p.out[2]});
    array dy = new_array(bits, last, y.shape);
    memcpy(p.x_strides, x.strides, sizeof x.strides);
    memcpy(p.y_strides, y.strides, sizeof y.strides);
    memcpy(p.dx_strides, x.strides, sizeof x.strides);
    double *most = calloc((size_t)y.size, sizeof *most), *mean = calloc((size_t)y.size, sizeof *mean);
    double *place = calloc((size_t)y.size, sizeof *place);
    double *most_dx = calloc((size_t)x.size, sizeof *most_dx), *mean_dx = calloc((size_t)x.size, sizeof *mean_dx);
    int64_t *indices = malloc((size_t)y.size * sizeof *indices);
    for (int64_t n = 0; n < p.n; n++)
        for (int64_t ch = 0; ch < c; ch++)
            FOR_SPATIAL(o, p.out) {
                const int64_t iy = at(&y, n, ch, o[0], o[1], o[2]);
                const int64_t window[3] = {count[0][o[0]], count[1][o[1]], count[2][o[2]]};
                double divisor = 1;
                for (int a = 0; a < 3; a++) divisor *= in[a] == 1 ? 1 : (double)k;
                int64_t best = -1;
                FOR_SPATIAL(t, window) {
                    const int64_t d = start[0][o[0]] + t[0], h = start[1][o[1]] + t[1], w = start[2][o[2]] + t[2];
                    const int64_t ix = at(&x, n, ch, d, h, w);
                    if (best < 0 || get(&x, ix) > get(&x, best)) {
                        best = ix;
                        place[iy] = (double)((d * in[1] + h) * in[2] + w);
                    }
                    mean[iy] += get(&x, ix) / divisor;
                    mean_dx[ix] += get(&dy, iy) / divisor;
                }
                most[iy] = get(&x, best);
                most_dx[best] += get(&dy, iy);
            }
    for (int pass = PYCONV_MAX_POOL; pass <= PYCONV_AVG_POOL_BACKWARD; pass++) {
        void *memory = 0;
        const size_t bytes = pyconv_pool_workspace(&p, pass, threads);
        if (posix_memalign(&memory, 64, bytes + 64)) abort();
        if (pass == PYCONV_MAX_POOL) {
            pyconv_max_pool(&p, x.data, y.data, memory, threads);
            check("max_pool", &y, most, 0);
        } else if (pass == PYCONV_MAX_POOL_INDICES) {
            pyconv_max_pool_indices(&p, x.data, indices, memory, threads);
            for (int64_t i = 0; i < y.size; i++) set(&y, i, (double)indices[i]);
            check("max_pool_indices", &y, place, 0);
        } else if (pass == PYCONV_MAX_POOL_BACKWARD) {
            pyconv_max_pool_backward(&p, dy.data, x.data, dx.data, memory, threads);
            check("max_pool_backward", &dx, most_dx, 0);
        } else if (pass == PYCONV_AVG_POOL) {
            pyconv_avg_pool(&p, x.data, y.data, memory, threads);
            check("avg_pool", &y, mean, 1e-5);
        } else {
            pyconv_avg_pool_backward(&p, dy.data, dx.data, memory, threads);
            check("avg_pool_backward", &dx, mean_dx, 1e-5);
        }
        free(memory);
    }
    free(x.data), free(dx.data), free(y.data), free(dy.data), free(indices);
    free(most), free(mean), free(place), free(most_dx), free(mean_dx);
}

/* copy_block and spread_block of the table itself. */
static void test_move(int bits, int64_t rows, int64_t columns) {
    array from = new_array(bits, 0, (int64_t[]){columns, rows, 1, 1, 1});
    array to = new_array(bits, 0, (int64_t[]){rows, columns, 1, 1, 1});
    double *transposed = malloc((size_t)to.size * sizeof *transposed), *back = malloc((size_t)to.size * sizeof *back);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            transposed[i * columns + j] = get(&from, j * rows + i);
            back[j * rows + i] = get(&from, j * rows + i);
        }
    pyconv_table(bits)->copy_block(to.data, columns, from.data, 1, rows, rows, columns);
    check("copy_block", &to, transposed, 0);
    for (int64_t i = 0; i < from.size; i++) set(&from, i, NAN);
    pyconv_table(bits)->spread_block(from.data, 1, rows, to.data, columns, rows, columns);
    check("spread_block", &from, back, 0);
    free(from.data), free(to.data), free(transposed), free(back);
}

/* Loads and stores of lanes two apart, by pooling with windows of one pixel; and of pairs. */
static void test_lanes(int bits, int64_t n) {
    array x = new_array(bits, 0, (int64_t[]){2 * n - 1, 1, 1, 1, 1}), y = new_array(bits, 0, (int64_t[]){n, 1, 1, 1, 1});
    array pairs = new_array(bits, 0, (int64_t[]){2 * n, 1, 1, 1, 1});
    double *expected = malloc((size_t)(2 * n) * sizeof *expected);
    const int64_t offset = 0;
    pool_args args = {.offset = &offset, .taps = 1, .rows = 1, .pixels = 1, .lanes = n, .divisor = 1};
    args.x = x.data, args.y = y.data, args.x_lane = 2, args.y_lane = 1;
    for (int64_t i = 0; i < n; i++) expected[i] = get(&x, 2 * i);
    pyconv_table(bits)->pool_sum(&args);
    check("load_even", &y, expected, 0);
    args.x = y.data, args.y = x.data, args.x_lane = 1, args.y_lane = 2;
    for (int64_t i = 0; i < 2 * n - 1; i++) {
        if (i % 2 == 0) set(&x, i, 9);
        expected[i] = i % 2 ? get(&x, i) : get(&y, i / 2);
    }
    pyconv_table(bits)->pool_sum(&args);
    check("store_even", &x, expected, 0);
    args.y = pairs.data, args.in_pairs = 1;
    for (int64_t i = 0; i < 2 * n; i++) expected[i] = get(&y, i / 2);
    pyconv_table(bits)->pool_sum(&args);
    check("store_pairs", &pairs, expected, 0);
    free(x.data), free(y.data), free(pairs.data), free(expected);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static void test_rows(int bits, int64_t n) {
    static const double parameters[2] = {0.5, 2};
    const double eps = bits == 32 ? 1e-6 : 1e-14;
    array x = new_array(bits, 0, (int64_t[]){n, 1, 1, 1, 1}), y = new_array(bits, 0, x.shape);
    double *expected = malloc((size_t)n * sizeof *expected), sum = 0, square = 0, total = 0;
    const kernel_table *table = pyconv_table(bits);
    for (int64_t i = 0; i < n; i++) {
        set(&x, i, get(&x, i) + 0.25 * draw(4));
        sum += get(&x, i);
        total += exp(get(&x, i));
    }
#define EACH(name, op, value)                               \
    for (int64_t i = 0; i < n; i++) {                       \
        const double v = get(&x, i);                        \
        expected[i] = value;                                \
    }                                                       \
    table->unary(op, y.data, x.data, n, parameters);        \
    check(name, &y, expected, eps);
    EACH("exp", PYCONV_EXP, exp(v))
    EACH("sign", PYCONV_SIGN, (v > 0) - (v < 0))
    EACH("tanh", PYCONV_TANH, tanh(v))
    EACH("relu", PYCONV_RELU, v > 0 ? v : 0)
    EACH("sigmoid", PYCONV_SIGMOID, sigmoid(v))
    EACH("gelu", PYCONV_GELU, 0.5 * v * erfc(-v / sqrt(2)))
    EACH("elu", PYCONV_ELU, v > 0 ? v : 0.5 * expm1(v))
    EACH("softplus", PYCONV_SOFTPLUS, v * 0.5 > 2 ? v : log1p(exp(0.5 * v)) / 0.5)
    EACH("mish", PYCONV_MISH, v * tanh(log1p(exp(v))))
    table->softmax(0, y.data, x.data, n);
    for (int64_t i = 0; i < n; i++) expected[i] = exp(get(&x, i)) / total;
    check("softmax", &y, expected, eps);
    table->softmax(1, y.data, x.data, n);
    for (int64_t i = 0; i < n; i++) expected[i] = get(&x, i) - log(total);
    check("log_softmax", &y, expected, 10 * eps);
    binary_args add = {.y = y.data, .a = x.data, .b = x.data, .rows = 1, .columns = n, .b_repeats = 1};
    table->binary(PYCONV_ADD, &add);
    for (int64_t i = 0; i < n; i++) expected[i] = get(&x, i) + get(&x, 0);
    check("add", &y, expected, 0);
    double moments[2], exact[2] = {sum / (double)n, 0};
    for (int64_t i = 0; i < n; i++) square += (get(&x, i) - exact[0]) * (get(&x, i) - exact[0]);
    exact[1] = square;
    reduce_args row = {.x = x.data, .rows = 1, .columns = n, .first = moments, .second = moments + 1};
    table->reduce_row(MOMENTS, &row);
    array as_array = {.bits = 64, .size = 2, .data = moments};
    check("moments", &as_array, exact, 10 * eps);
    free(x.data), free(y.data), free(expected);
}

static void test_table(const char *name, const kernel_table *f32, const kernel_table *f64) {
    static const pyconv_conv problems[] = {
        {.n = 2, .c = 3, .k = 5, .groups = 1, .in = {1, 7, 9}, .kernel = {1, 3, 3},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}},
        {.n = 1, .c = 19, .k = 70, .groups = 1, .in = {1, 9, 8}, .kernel = {1, 3, 3},
         .stride = {1, 2, 2}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}},
        {.n = 2, .c = 33, .k = 17, .groups = 1, .in = {1, 6, 5}, .kernel = {1, 1, 1},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
        {.n = 1, .c = 6, .k = 9, .groups = 3, .in = {1, 8, 11}, .kernel = {1, 2, 3},
         .stride = {1, 1, 2}, .dilation = {1, 2, 2}, .pad = {0, 2, 1}},
        {.n = 2, .c = 21, .k = 21, .groups = 21, .in = {1, 9, 10}, .kernel = {1, 3, 3},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}},
        {.n = 1, .c = 18, .k = 18, .groups = 18, .in = {1, 11, 9}, .kernel = {1, 5, 3},
         .stride = {1, 2, 3}, .dilation = {1, 1, 2}, .pad = {0, 2, 1}},
        {.n = 1, .c = 4, .k = 6, .groups = 1, .in = {4, 5, 6}, .kernel = {2, 3, 2},
         .stride = {1, 2, 1}, .dilation = {1, 1, 2}, .pad = {1, 1, 0}},
        {.n = 1, .c = 150, .k = 40, .groups = 1, .in = {1, 3, 15}, .kernel = {1, 3, 3},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}},
        {.n = 2, .c = 400, .k = 37, .groups = 1, .in = {1, 5, 9}, .kernel = {1, 1, 1},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
        {.n = 1, .c = 40, .k = 75, .groups = 1, .in = {1, 4, 4}, .kernel = {1, 3, 3},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}},
        {.n = 1, .c = 3, .k = 20, .groups = 1, .in = {1, 13, 15}, .kernel = {1, 7, 7},
         .stride = {1, 2, 2}, .dilation = {1, 1, 1}, .pad = {0, 3, 3}},
        {.n = 2, .c = 35, .k = 33, .groups = 1, .in = {1, 7, 6}, .kernel = {1, 1, 1},
         .stride = {1, 2, 2}, .dilation = {1, 1, 1}},
        {.n = 2, .c = 20, .k = 19, .groups = 1, .in = {3, 5, 7}, .kernel = {3, 3, 3},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {1, 1, 1}},
        {.n = 1, .c = 17, .k = 20, .groups = 1, .in = {1, 7, 6}, .kernel = {1, 5, 5},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 2, 1}},
        {.n = 2, .c = 20, .k = 21, .groups = 1, .in = {7, 2, 3}, .kernel = {3, 1, 1},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {1, 0, 0}},
        {.n = 8, .c = 2, .k = 3, .groups = 1, .in = {1, 20, 20}, .kernel = {1, 3, 3},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}},
        {.n = 5, .c = 37, .k = 29, .groups = 1, .in = {1, 1, 1}, .kernel = {1, 1, 1},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
        {.n = 3, .c = 1, .k = 1, .groups = 1, .in = {1, 1, 1}, .kernel = {1, 1, 1},
         .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
    };
    table_name = name;
    tables[0] = f32;
    tables[1] = f64;
    for (int bits = 32; bits <= 64; bits += 32) {
        for (int last = 0; last < 2; last++)
            for (int threads = 1; threads <= 2; threads++) {
                for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
                    test_conv(bits, last, problems[i], threads);
                test_pool(bits, last, 3, (int64_t[]){1, 9, 37}, 2, 2, 0, threads);
                test_pool(bits, last, 37, (int64_t[]){1, 10, 9}, 3, 2, 1, threads);
                test_pool(bits, last, 5, (int64_t[]){5, 6, 7}, 3, 1, 1, threads);
                test_pool(bits, last, 18, (int64_t[]){1, 8, 8}, 8, 1, 0, threads);
                test_pool(bits, last, 2, (int64_t[]){1, 8, 63}, 3, 2, 1, threads);
                test_pool(bits, last, 3, (int64_t[]){1, 7, 60}, 3, 1, 1, threads);
                test_pool(bits, last, 9, (int64_t[]){1, 1, 61}, 40, 1, 0, threads);
                test_pool(bits, last, 7, (int64_t[]){1, 13, 40}, 12, 1, 6, threads);
            }
        for (int64_t n = 1; n < 200; n = 2 * n + 1) {
            test_rows(bits, n);
            test_move(bits, n, 5), test_move(bits, 33, n);
            test_lanes(bits, n);
        }
    }
    printf("%s: %s\n", name, failures ? "failed" : "passed");
}

int main(void) {
    test_table("wide", &pyconv_wide_f32, &pyconv_wide_f64);
    test_table("scalar", &pyconv_scalar_f32, &pyconv_scalar_f64);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        test_table("avx2", &pyconv_avx2_f32, &pyconv_avx2_f64);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        test_table("avx512", &pyconv_avx512_f32, &pyconv_avx512_f64);
#endif
#ifdef __aarch64__
    test_table("neon", &pyconv_neon_f32, &pyconv_neon_f64);
#endif
    return failures != 0;
}
