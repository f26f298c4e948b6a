/* Products of rows that are read where they lie with a packed panel of columns; and runs of memory. */
#ifndef PYCONV_ROWS_H
#define PYCONV_ROWS_H

#include "kernels.h"

/* Multiplies the rows that fill register tiles, in one call, where rows of a and of c are args.row_step and args.c_row_step
 * apart; returns how many these are. */
int64_t multiply_whole_tiles(const kernel_table *table, int64_t size, tile_args args, const char *a, char *c, int64_t rows);

/* c[i] = a[i] · panel for so many rows i, a_row and c_row elements apart. `args` says all but where rows and results are. */
void multiply_rows(const kernel_table *table, int64_t size, tile_args args, const char *a, int64_t a_row, char *c, int64_t c_row,
                   int64_t rows);

/* Joins pieces of `length` elements at `offset`, where equally many always follow each other; returns how many remain and
 * sets the new length. */
int64_t join_runs(int64_t *offset, int64_t pieces, int64_t *length);

#endif
