/* What may follow a convolution: the sum with a residual and an activation, for a tile of outputs that have just been
 * written and are still in cache. */
#include "conv.h"

void finish_tile(const conv_problem *problem, const correlation *q, const tile *t, int64_t channel, int64_t channels) {
    if (problem->activation < 0 && !problem->residual) return;
    const int64_t width = t->extent[WIDTH], pixel_step = q->y_step[WIDTH];
    finish_args args = {.rows = width,
                        .columns = channels,
                        .step = pixel_step,
                        .activation = problem->activation,
                        .parameters = problem->parameters};
    int64_t parts = 1, part_step = 0; /* elements that follow each other are the columns */
    if (q->y_channel != 1 && pixel_step == 1) {
        args.rows = channels, args.columns = width, args.step = q->y_channel;
    } else if (q->y_channel != 1 && channels > 1) {
        args.columns = 1;
        parts = channels, part_step = q->y_channel;
    }
    FOR_EACH_ROW(t, at) {
        const int64_t first = channel * q->y_channel + output_offset(t->begin, q->y_step) + output_offset(at, q->y_step);
        for (int64_t part = 0; part < parts; part++) {
            const int64_t offset = (first + part * part_step) * q->size;
            args.y = q->y + offset;
            args.residual = problem->residual ? problem->residual + offset : 0;
            q->table->finish(&args);
        }
    }
}
