/* Programs: recorded calls, made again in order on the segments at hand. */
#include "pyconv.h"
#include "prepared.h"
#include "threads.h"

enum { ARGUMENTS = sizeof((pyconv_call *)0)->value / sizeof(int64_t) };

#define NUMBER(i) ((int)(intptr_t)a[i])

/* One line a function of pyconv.h. */
static void make(int64_t function, void *const a[ARGUMENTS], int threads) {
    switch (function) {
        case PYCONV_CALL_CONV_FORWARD: pyconv_conv_forward(a[0], a[1], a[2], a[3], a[4], a[5], threads); break;
        case PYCONV_CALL_CONV_FUSED: pyconv_conv_fused(a[0], a[1], a[2], a[3], a[4], a[5], a[6], threads); break;
        case PYCONV_CALL_CONV_BACKWARD_DATA: pyconv_conv_backward_data(a[0], a[1], a[2], a[3], a[4], a[5], threads); break;
        case PYCONV_CALL_CONV_BACKWARD_WEIGHTS: pyconv_conv_backward_weights(a[0], a[1], a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_MAX_POOL: pyconv_max_pool(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_MAX_POOL_INDICES: pyconv_max_pool_indices(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_MAX_POOL_BACKWARD: pyconv_max_pool_backward(a[0], a[1], a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_AVG_POOL: pyconv_avg_pool(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_AVG_POOL_BACKWARD: pyconv_avg_pool_backward(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_UNPOOL: pyconv_unpool(a[0], a[1], a[2], a[3], NUMBER(4), threads); break;
        case PYCONV_CALL_GATHER: pyconv_gather(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_UNARY: pyconv_unary(a[0], NUMBER(1), a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_UNARY_BACKWARD:
            pyconv_unary_backward(a[0], NUMBER(1), a[2], a[3], a[4], a[5], a[6], threads);
            break;
        case PYCONV_CALL_BINARY: pyconv_binary(a[0], NUMBER(1), a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_COPY: pyconv_copy(a[0], a[1], a[2], threads); break;
        case PYCONV_CALL_FILL: pyconv_fill(a[0], a[1], a[2], threads); break;
        case PYCONV_CALL_CAST: pyconv_cast(a[0], a[1], a[2], threads); break;
        case PYCONV_CALL_MIXED: pyconv_mixed(a[0], NUMBER(1), a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_WHERE: pyconv_where(a[0], a[1], a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_SUM: pyconv_sum(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_MOMENTS: pyconv_moments(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_NORMALIZE: pyconv_normalize(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], threads); break;
        case PYCONV_CALL_NORMALIZE_SUMS:
            pyconv_normalize_sums(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], threads);
            break;
        case PYCONV_CALL_BATCH_NORM_BACKWARD:
            pyconv_batch_norm_backward(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], threads);
            break;
        case PYCONV_CALL_SOFTMAX: pyconv_softmax(a[0], NUMBER(1), a[2], a[3], threads); break;
        case PYCONV_CALL_SOFTMAX_BACKWARD: pyconv_softmax_backward(a[0], NUMBER(1), a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_CROSS_ENTROPY: pyconv_cross_entropy(a[0], a[1], a[2], a[3], a[4], a[5], threads); break;
        case PYCONV_CALL_CROSS_ENTROPY_BACKWARD:
            pyconv_cross_entropy_backward(a[0], a[1], a[2], a[3], a[4], a[5], a[6], threads);
            break;
        case PYCONV_CALL_LABEL_WEIGHTS: pyconv_label_weights(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_NLL: pyconv_nll(a[0], a[1], a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_NLL_BACKWARD: pyconv_nll_backward(a[0], a[1], a[2], a[3], a[4], threads); break;
        case PYCONV_CALL_DROPOUT_MASK: pyconv_dropout_mask(a[0], a[1], a[2], (intptr_t)a[3], NUMBER(4), threads); break;
        case PYCONV_CALL_RESAMPLE: pyconv_resample(a[0], a[1], a[2], a[3], threads); break;
        case PYCONV_CALL_CHAIN:
            pyconv_chain(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], threads);
            break;
        default: break;
    }
}

/* Bytes of what can be prepared of a call, in memory unless that is NULL. */
static size_t prepare(const pyconv_call *call, int threads, void *memory) {
    const void *problem = (const void *)(intptr_t)call->value[0];
    switch (call->function) {
        case PYCONV_CALL_CONV_FORWARD: return prepare_conv(problem, 0, 0, threads, memory);
        case PYCONV_CALL_CONV_FUSED: return prepare_conv(problem, 0, 1, threads, memory);
        case PYCONV_CALL_CONV_BACKWARD_DATA: return prepare_conv(problem, 1, 0, threads, memory);
        case PYCONV_CALL_MAX_POOL: return prepare_pool(problem, PYCONV_MAX_POOL, threads, memory);
        case PYCONV_CALL_MAX_POOL_INDICES: return prepare_pool(problem, PYCONV_MAX_POOL_INDICES, threads, memory);
        case PYCONV_CALL_AVG_POOL: return prepare_pool(problem, PYCONV_AVG_POOL, threads, memory);
        case PYCONV_CALL_AVG_POOL_BACKWARD: return prepare_pool(problem, PYCONV_AVG_POOL_BACKWARD, threads, memory);
        default: return 0;
    }
}

static void make_prepared(int64_t function, const void *prepared, void *const a[ARGUMENTS]) {
    switch (function) {
        case PYCONV_CALL_CONV_FORWARD:
        case PYCONV_CALL_CONV_BACKWARD_DATA: run_conv(prepared, a[1], a[2], a[3], 0, a[4], a[5]); break;
        case PYCONV_CALL_CONV_FUSED: run_conv(prepared, a[1], a[2], a[3], a[4], a[5], a[6]); break;
        default: run_pool(prepared, a[1], a[2], a[3]); break;
    }
}

/* The memory begins with where a call's part of it is, in words, or 0. */
size_t pyconv_program_prepare(const pyconv_program *p, int64_t *memory) {
    const int can = p->isa == pyconv_isa();
    int64_t words = p->count;
    for (int64_t i = 0; i < p->count; i++) {
        const size_t bytes = can ? prepare(p->calls + i, (int)p->threads, memory ? memory + words : 0) : 0;
        if (memory) memory[i] = bytes ? words : 0;
        words += (int64_t)(bytes + sizeof *memory - 1) / (int64_t)sizeof *memory;
    }
    return (size_t)words * sizeof *memory;
}

int pyconv_program_run(const pyconv_program *p, const intptr_t *segments, int threads, double *seconds) {
    if (p->isa != pyconv_isa()) return -1;
    if (threads > p->threads) threads = (int)p->threads;
    const int64_t *prepared = threads == p->threads ? p->prepared : 0;
    for (int64_t i = 0; i < p->count; i++) {
        const pyconv_call *call = p->calls + i;
        const double begin = seconds ? pyconv_now() : 0;
        void *arguments[ARGUMENTS];
        for (int k = 0; k < ARGUMENTS; k++)
            arguments[k] = (void *)((call->segment[k] < 0 ? 0 : segments[call->segment[k]]) + (intptr_t)call->value[k]);
        if (prepared && prepared[i]) make_prepared(call->function, prepared + prepared[i], arguments);
        else make(call->function, arguments, threads);
        if (seconds) seconds[i] = pyconv_now() - begin;
    }
    return 0;
}
