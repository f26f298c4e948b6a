/* Loops over up to four arrays of one shape, cut into blocks of the last two axes. */
#ifndef PYCONV_LOOPS_H
#define PYCONV_LOOPS_H

#include "kernels.h"
#include "pyconv.h"

enum { DIMS = 6, ARRAYS = 4, COLUMN = DIMS - 1, ROW = DIMS - 2 }; /* axes of the last two */

/* Where the arrays of a block begin, and how many rows and columns it has. */
typedef struct {
    char *at[ARRAYS];
    int64_t rows, columns;
} loops_block;

typedef struct loops_job {
    const pyconv_loops *p;
    void (*work)(const struct loops_job *job, const loops_block *block);
    int op, arrays;
    char *array[ARRAYS];
    int64_t size[ARRAYS]; /* bytes of an element */
    const double *parameters;
    const kernel_table *table;
    unsigned staged; /* bit a: array a is worked on in a copy */
    int64_t rows, columns, across, down, blocks, blocks_a_task;
} loops_job;

/* Calls job->work on every block, of at most `columns` columns and `elements` elements; fills in the fields from `table` on,
 * but `staged`. */
void run_loops(loops_job *job, int64_t columns, int64_t elements, int threads);

#endif
