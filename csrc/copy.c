/* Copies between any two memory orders, broadcast or not, and fills. Vectors of reals move elements of their size whatever
 * these are. */
#include "geometry.h"
#include "loops.h"

enum { BLOCK = 8192, TILE = 4096, TILE_COLUMNS = 64 }; /* elements; a tile is transposed in L1 */

/* One element again and again. */
#define REPEAT(integer)                                                             \
    static void repeat_##integer(char *to_, const char *from, int64_t step, int64_t n) { \
        integer *to = (integer *)to_, value = *(const integer *)from;               \
        if (step == 1)                                                              \
            for (int64_t i = 0; i < n; i++) to[i] = value;                          \
        else                                                                        \
            for (int64_t i = 0; i < n; i++) to[i * step] = value;                   \
    }
REPEAT(uint8_t)
REPEAT(uint32_t)
REPEAT(uint64_t)

static void repeat(int64_t size, char *to, const char *from, int64_t step, int64_t n) {
    if (size == 1) repeat_uint8_t(to, from, step, n);
    else if (size == 4) repeat_uint32_t(to, from, step, n);
    else repeat_uint64_t(to, from, step, n);
}

static void copy_bytes(const loops_job *job, const loops_block *block) {
    const int64_t *y = job->p->strides[0], *x = job->p->strides[1];
    for (int64_t row = 0; row < block->rows; row++) {
        char *to = block->at[0] + row * y[ROW];
        const char *from = block->at[1] + row * x[ROW];
        if (y[COLUMN] == 1 && x[COLUMN] == 1) memcpy(to, from, (size_t)block->columns);
        else
            for (int64_t i = 0; i < block->columns; i++) to[i * y[COLUMN]] = from[i * x[COLUMN]];
    }
}

static void copy_block(const loops_job *job, const loops_block *block) {
    const int64_t *y = job->p->strides[0], *x = job->p->strides[1], size = job->size[0];
    const int64_t rows = block->rows, columns = block->columns;
    char *to = block->at[0], *from = block->at[1];
    if (x[COLUMN] == 0) {
        for (int64_t row = 0; row < rows; row++) repeat(size, to + row * y[ROW] * size, from + row * x[ROW] * size, y[COLUMN], columns);
    } else if (size == 1) {
        copy_bytes(job, block);
    } else if (y[COLUMN] == 1) {
        job->table->copy_block(to, y[ROW], from, x[ROW], x[COLUMN], rows, columns);
    } else if (x[COLUMN] == 1) {
        job->table->spread_block(to, y[ROW], y[COLUMN], from, x[ROW], rows, columns);
    } else {
        char memory[TILE * 8];
        job->table->copy_block(memory, columns, from, x[ROW], x[COLUMN], rows, columns);
        job->table->spread_block(to, y[ROW], y[COLUMN], memory, columns, rows, columns);
    }
}

void pyconv_copy(const pyconv_loops *p, void *y, const void *x, int threads) {
    const int64_t size = p->real_bits / 8;
    loops_job job = {.p = p, .work = copy_block, .arrays = 2, .array = {y, (char *)x}, .size = {size, size}};
    const int alike = p->strides[0][COLUMN] == 1 && p->strides[1][COLUMN] <= 1;
    job.table = pyconv_table(size == 4 ? 32 : 64);
    run_loops(&job, alike ? BLOCK : TILE_COLUMNS, alike ? BLOCK : TILE, threads);
}

static void fill_block(const loops_job *job, const loops_block *block) {
    const int64_t *y = job->p->strides[0], size = job->size[0];
    const float narrow = (float)job->parameters[0];
    const char *value = size == 4 ? (const char *)&narrow : (const char *)job->parameters;
    for (int64_t row = 0; row < block->rows; row++) repeat(size, block->at[0] + row * y[ROW] * size, value, y[COLUMN], block->columns);
}

void pyconv_fill(const pyconv_loops *p, void *y, const double value[1], int threads) {
    loops_job job = {.p = p, .work = fill_block, .arrays = 1, .array = {y}, .size = {p->real_bits / 8}, .parameters = value};
    run_loops(&job, BLOCK, BLOCK, threads);
}
