/* Loops over contiguous elements: whole vectors first, then the rest with masked loads and stores. */

/* Runs a body over [0, n): whole vectors with count = LANES, then the rest. i is where they begin. */
#define FOR_VECTORS(n, ...)                     \
    do {                                        \
        int64_t i = 0;                          \
        for (; i + LANES <= (n); i += LANES) {  \
            enum { count = LANES };             \
            __VA_ARGS__                         \
        }                                       \
        if (i < (n)) {                          \
            const int64_t count = (n) - i;      \
            __VA_ARGS__                         \
        }                                       \
    } while (0)
#define LOAD(p) (count == LANES ? v_load((p) + i) : v_load_n((p) + i, count))
#define STORE(p, v)                              \
    do {                                         \
        if (count == LANES) v_store((p) + i, v); \
        else v_store_n((p) + i, v, count);       \
    } while (0)

#define PARTS 4 /* vectors summed side by side */

/* result (double) = the sum of `value`, which may use i and count, over [0, n). */
#define SUM_ROW(result, n, value)                                                           \
    do {                                                                                    \
        vec part[PARTS];                                                                    \
        real lane[LANES];                                                                   \
        int64_t i = 0;                                                                      \
        UNROLL for (int k = 0; k < PARTS; k++) part[k] = v_set1(0);                         \
        while (i + PARTS * LANES <= (n)) {                                                  \
            enum { count = LANES };                                                         \
            UNROLL for (int k = 0; k < PARTS; k++, i += LANES) part[k] = part[k] + (value); \
        }                                                                                   \
        for (; i + LANES <= (n); i += LANES) {                                              \
            enum { count = LANES };                                                         \
            part[0] = part[0] + (value);                                                    \
        }                                                                                   \
        if (i < (n)) {                                                                      \
            const int64_t count = (n) - i;                                                  \
            v_store(lane, (value));                                                         \
            for (int64_t l = count; l < LANES; l++) lane[l] = 0;                            \
            part[1] = part[1] + v_load(lane);                                               \
        }                                                                                   \
        v_store(lane, (part[0] + part[1]) + (part[2] + part[3]));                           \
        (result) = 0;                                                                       \
        for (int l = 0; l < LANES; l++) (result) += (double)lane[l];                        \
    } while (0)
