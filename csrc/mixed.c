/* Elementwise functions of arrays whose types may differ: integers and flags among them. Rows are widened to 64-bit integers
 * or doubles, worked on in the cache, and narrowed again. */
#include "geometry.h"
#include "loops.h"

#include <math.h>

enum { WIDE = 512 }; /* elements of a row at a time */

#define INTEGER_TYPES(_) _(PYCONV_BOOL, uint8_t) _(PYCONV_UINT8, uint8_t) _(PYCONV_INT32, int32_t) _(PYCONV_INT64, int64_t)
#define REAL_TYPES(_) _(PYCONV_FLOAT32, float) _(PYCONV_FLOAT64, double)

static int64_t size_of(int64_t type) {
    return type == PYCONV_BOOL || type == PYCONV_UINT8 ? 1 : type == PYCONV_INT32 || type == PYCONV_FLOAT32 ? 4 : 8;
}
static int is_integer(int64_t type) { return type <= PYCONV_INT64; }

#define COPY(label, from_type, to_type, to_step, from_step)                                                   \
    case label:                                                                                               \
        for (int64_t i = 0; i < n; i++) ((to_type *)to)[i * (to_step)] = (to_type)((const from_type *)from)[i * (from_step)]; \
        break;
#define TO_REALS(label, type) COPY(label, type, double, 1, step)
#define TO_INTEGERS(label, type) COPY(label, type, int64_t, 1, step)
#define FROM_REALS(label, type) COPY(label, double, type, step, 1)
#define FROM_INTEGERS(label, type) COPY(label, int64_t, type, step, 1)

static void load_reals(int64_t type, void *to, const void *from, int64_t step, int64_t n) {
    switch (type) { INTEGER_TYPES(TO_REALS) REAL_TYPES(TO_REALS) default: break; }
}
static void load_integers(int64_t type, void *to, const void *from, int64_t step, int64_t n) {
    switch (type) { INTEGER_TYPES(TO_INTEGERS) default: break; }
}
static void store_flags(char *to, const double *from, int64_t step, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i * step] = from[i] != 0;
}
static void store_reals(int64_t type, void *to, const void *from, int64_t step, int64_t n) {
    switch (type) { REAL_TYPES(FROM_REALS) default: store_flags(to, from, step, n); }
}
static void store_integers(int64_t type, void *to, const void *from, int64_t step, int64_t n) {
    if (type == PYCONV_BOOL)
        for (int64_t i = 0; i < n; i++) ((char *)to)[i * step] = ((const int64_t *)from)[i] != 0;
    else
        switch (type) { INTEGER_TYPES(FROM_INTEGERS) REAL_TYPES(FROM_INTEGERS) default: break; }
}

/* A row of doubles or 64-bit integers. */
typedef union {
    double real[WIDE];
    int64_t integer[WIDE];
} wide_row;

typedef struct {
    int integer;
    int64_t n;
    wide_row y, a, b;
    double flag[WIDE];
} wide_rows;

static void load(const wide_rows *rows, int64_t type, wide_row *to, const char *from, int64_t step) {
    if (rows->integer) load_integers(type, to, from, step, rows->n);
    else load_reals(type, to, from, step, rows->n);
}
static void store(const wide_rows *rows, int64_t type, char *to, int64_t step) {
    if (rows->integer) store_integers(type, to, &rows->y, step, rows->n);
    else store_reals(type, to, &rows->y, step, rows->n);
}

#define APPLY(label, value)                                   \
    case label:                                               \
        for (int64_t i = 0; i < n; i++) y[i] = (value);       \
        break;
#define COMPARISONS                                           \
    APPLY(PYCONV_LESS, a[i] < b[i])                           \
    APPLY(PYCONV_LESS_EQUAL, a[i] <= b[i])                    \
    APPLY(PYCONV_EQUAL, a[i] == b[i])                         \
    APPLY(PYCONV_NOT_EQUAL, a[i] != b[i])

static void apply_reals(int op, double *y, const double *a, const double *b, int64_t n) {
    switch (op) {
        APPLY(PYCONV_ADD, a[i] + b[i])
        APPLY(PYCONV_SUB, a[i] - b[i])
        APPLY(PYCONV_MUL, a[i] * b[i])
        COMPARISONS
        APPLY(PYCONV_MAXIMUM, a[i] > b[i] || a[i] != a[i] ? a[i] : b[i]) /* NaN if one is */
        APPLY(PYCONV_MINIMUM, a[i] < b[i] || a[i] != a[i] ? a[i] : b[i])
        APPLY(PYCONV_DIV, a[i] / b[i])
        APPLY(PYCONV_POW, pow(a[i], b[i]))
        default: break;
    }
}
#define WRAP(label, operator)                                                                     \
    case label:                                                                                   \
        for (int64_t i = 0; i < n; i++) y[i] = (int64_t)((uint64_t)a[i] operator (uint64_t) b[i]); \
        break;
static void apply_integers(int op, int64_t *y, const int64_t *a, const int64_t *b, int64_t n) {
    switch (op) {
        WRAP(PYCONV_ADD, +)
        WRAP(PYCONV_SUB, -)
        WRAP(PYCONV_MUL, *)
        APPLY(PYCONV_MAXIMUM, a[i] > b[i] ? a[i] : b[i])
        APPLY(PYCONV_MINIMUM, a[i] < b[i] ? a[i] : b[i])
        COMPARISONS
        default: break;
    }
}

enum { CAST = -1, WHERE = -2 };

/* Rows that need no conversion: flags of a comparison of contiguous reals of one type, b a single one if step is 0. */
#define COMPARE_ROW(label, operator)                                              \
    case label:                                                                   \
        if (step) for (int64_t i = 0; i < n; i++) y[i] = a[i] operator b[i];      \
        else for (int64_t i = 0; i < n; i++) y[i] = a[i] operator one;            \
        return 1;
#define COMPARE(real)                                                                                             \
    static int compare_##real(int op, uint8_t *y, const real *a, const real *b, int64_t step, int64_t n) {        \
        const real one = *b;                                                                                      \
        switch (op) {                                                                                             \
            COMPARE_ROW(PYCONV_LESS, <)                                                                           \
            COMPARE_ROW(PYCONV_LESS_EQUAL, <=)                                                                    \
            COMPARE_ROW(PYCONV_EQUAL, ==)                                                                         \
            COMPARE_ROW(PYCONV_NOT_EQUAL, !=)                                                                     \
            default: return 0;                                                                                    \
        }                                                                                                         \
    }
COMPARE(float)
COMPARE(double)

/* Elements of a where flags are set, else of b, of 32 or 64 bits; a or b is a single one if its step is 0. */
#define SELECT_ROW(integer, a_value, b_value) /* without a branch, so that it becomes vectors */ \
    for (int64_t i = 0; i < n; i++) y[i] = (b_value) ^ (((a_value) ^ (b_value)) & -(integer)(flag[i] != 0))
#define SELECT(integer)                                                                                               \
    static void select_##integer(integer *y, const uint8_t *flag, const integer *a, int64_t a_step, const integer *b, \
                                 int64_t b_step, int64_t n) {                                                         \
        const integer one = *a, other = *b;                                                                           \
        if (a_step && b_step) SELECT_ROW(integer, a[i], b[i]);                                                                 \
        else if (a_step) SELECT_ROW(integer, a[i], other);                                                                     \
        else if (b_step) SELECT_ROW(integer, one, b[i]);                                                                       \
        else SELECT_ROW(integer, one, other);                                                                                  \
    }
SELECT(uint32_t)
SELECT(uint64_t)

/* Does a row if it needs no conversion. */
static int direct_row(const loops_job *job, const char *const at[ARRAYS], int64_t n) {
    const pyconv_loops *p = job->p;
    const int64_t *type = p->types;
    int64_t step[ARRAYS];
    for (int a = 0; a < ARRAYS; a++) step[a] = p->strides[a][COLUMN];
    if (step[0] != 1 || step[1] != 1) return 0;
    if (job->op == WHERE) {
        if (type[1] != PYCONV_BOOL || type[2] != type[0] || type[3] != type[0] || job->size[0] == 1) return 0;
        if ((step[2] != 0 && step[2] != 1) || (step[3] != 0 && step[3] != 1)) return 0;
        if (job->size[0] == 4) select_uint32_t((void *)at[0], (void *)at[1], (void *)at[2], step[2], (void *)at[3], step[3], n);
        else select_uint64_t((void *)at[0], (void *)at[1], (void *)at[2], step[2], (void *)at[3], step[3], n);
        return 1;
    }
    if (job->op < PYCONV_LESS || type[1] != type[2] || (step[2] != 0 && step[2] != 1)) return 0;
    if (type[1] == PYCONV_FLOAT32) return compare_float(job->op, (void *)at[0], (void *)at[1], (void *)at[2], step[2], n);
    if (type[1] == PYCONV_FLOAT64) return compare_double(job->op, (void *)at[0], (void *)at[1], (void *)at[2], step[2], n);
    return 0;
}

static void mixed_block(const loops_job *job, const loops_block *block) {
    const pyconv_loops *p = job->p;
    const int64_t *type = p->types;
    const int first = job->op == WHERE ? 2 : 1; /* the first operand */
    wide_rows rows;
    rows.n = block->columns;
    rows.integer = is_integer(type[first]) && (job->op == CAST || is_integer(type[first + 1])) && job->op != PYCONV_DIV &&
                   job->op != PYCONV_POW;
    for (int64_t row = 0; row < block->rows; row++) {
        const char *at[ARRAYS] = {0};
        for (int k = 0; k < job->arrays; k++) at[k] = block->at[k] + row * p->strides[k][ROW] * job->size[k];
        if (direct_row(job, at, rows.n)) continue;
        wide_row *to = job->op == CAST ? &rows.y : &rows.a;
        load(&rows, type[first], to, at[first], p->strides[first][COLUMN]);
        if (job->op != CAST) load(&rows, type[first + 1], &rows.b, at[first + 1], p->strides[first + 1][COLUMN]);
        if (job->op == WHERE) {
            load_reals(type[1], rows.flag, at[1], p->strides[1][COLUMN], rows.n);
            for (int64_t i = 0; i < rows.n; i++) rows.y.integer[i] = rows.flag[i] != 0 ? rows.a.integer[i] : rows.b.integer[i];
        } else if (job->op != CAST) {
            if (rows.integer) apply_integers(job->op, rows.y.integer, rows.a.integer, rows.b.integer, rows.n);
            else apply_reals(job->op, rows.y.real, rows.a.real, rows.b.real, rows.n);
        }
        store(&rows, type[0], (char *)at[0], p->strides[0][COLUMN]);
    }
}

static void run(loops_job *job, int threads) {
    for (int a = 0; a < job->arrays; a++) job->size[a] = size_of(job->p->types[a]);
    job->work = mixed_block;
    run_loops(job, WIDE, 4 * WIDE, threads);
}

void pyconv_cast(const pyconv_loops *p, void *y, const void *x, int threads) {
    loops_job job = {.p = p, .op = CAST, .arrays = 2, .array = {y, (char *)x}};
    run(&job, threads);
}

void pyconv_mixed(const pyconv_loops *p, int op, void *y, const void *a, const void *b, int threads) {
    loops_job job = {.p = p, .op = op, .arrays = 3, .array = {y, (char *)a, (char *)b}};
    run(&job, threads);
}

/* Whether one flag decides for all elements, which need no conversion. */
static int has_one_flag(const pyconv_loops *p) {
    for (int d = 0; d < DIMS; d++)
        if (p->shape[d] > 1 && p->strides[1][d] != 0) return 0;
    return p->types[1] == PYCONV_BOOL && p->types[2] == p->types[0] && p->types[3] == p->types[0];
}

void pyconv_where(const pyconv_loops *p, void *y, const void *condition, const void *a, const void *b, int threads) {
    if (has_one_flag(p)) {
        const int chosen = *(const uint8_t *)condition ? 2 : 3;
        const void *x = chosen == 2 ? a : b;
        pyconv_loops copy = *p;
        memcpy(copy.strides[1], p->strides[chosen], sizeof copy.strides[1]);
        if (x != y || memcmp(copy.strides[0], copy.strides[1], sizeof copy.strides[0])) pyconv_copy(&copy, y, x, threads);
        return;
    }
    loops_job job = {.p = p, .op = WHERE, .arrays = 4, .array = {y, (char *)condition, (char *)a, (char *)b}};
    run(&job, threads);
}
