/* Handing out a workspace: the same code first counts the bytes and later divides them. */
#ifndef PYCONV_WORKSPACE_H
#define PYCONV_WORKSPACE_H

#include <stdint.h>

typedef struct {
    char *base; /* NULL: only count */
    int64_t used;
} workspace;

/* The next piece of so many bytes, on a cache line of its own. */
static inline char *take(workspace *memory, int64_t bytes) {
    char *piece = memory->base ? memory->base + memory->used : 0;
    memory->used += (bytes + 63) / 64 * 64;
    return piece;
}

#endif
