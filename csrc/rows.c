/* See rows.h. */
#include "rows.h"

int64_t multiply_whole_tiles(const kernel_table *table, int64_t size, tile_args args, const char *a, char *c, int64_t rows) {
    const int64_t pair = table->group_rows, tile = pair * table->groups;
    if (rows < tile) return 0;
    args.again = rows / tile - 1;
    args.a_tile = tile * args.row_step;
    args.c_tile = tile * args.c_row_step;
    for (int g = 0; g < table->groups; g++) {
        args.a[g] = a + g * pair * args.row_step * size;
        args.c[g] = c + g * pair * args.c_row_step * size;
    }
    table->tile(table->groups, &args);
    return rows - rows % tile;
}

void multiply_rows(const kernel_table *table, int64_t size, tile_args args, const char *a, int64_t a_row, char *c, int64_t c_row,
                   int64_t rows) {
    const int64_t pair = table->group_rows;
    const char *bias = args.row_bias;
    int groups = 0;
    args.row_step = a_row;
    args.c_row_step = c_row;
    const int64_t done = bias ? 0 : multiply_whole_tiles(table, size, args, a, c, rows);
    for (int64_t i = done; i + pair <= rows; i += pair) {
        args.a[groups] = a + i * a_row * size;
        args.c[groups] = c + i * c_row * size;
        if (++groups == table->groups || i + 2 * pair > rows) {
            table->tile(groups, &args);
            if (bias) args.row_bias = bias + (i + pair) * size;
            groups = 0;
        }
    }
    if (rows % pair) { /* a last row without its neighbour stands in for it */
        args.row_step = args.c_row_step = 0;
        if (bias) args.row_bias = bias + (rows - 1) * size;
        args.a[0] = a + (rows - 1) * a_row * size;
        args.c[0] = c + (rows - 1) * c_row * size;
        table->tile(1, &args);
    }
}

int64_t join_runs(int64_t *offset, int64_t pieces, int64_t *length) {
    int64_t n = 1;
    while (n < pieces && offset[n] == offset[0] + n * *length) n++;
    for (int64_t i = 0; i < pieces; i++)
        if (pieces % n || offset[i] != offset[i - i % n] + i % n * *length) n = 1;
    for (int64_t i = 0; i < pieces / n; i++) offset[i] = offset[i * n];
    *length *= n;
    return pieces / n;
}
