/* The register tiles of the images engine (see images_args): a vector holds one number of LANES images. */

INLINE void NAME(images_body)(const int rows, const int pixels, const images_args *args) {
    vec sum[IMAGES_ROWS][IMAGES_PIXELS];
    const real *bias = args->bias;
    const int64_t x_pixel = args->x_pixel;
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int p = 0; p < pixels; p++) sum[i][p] = v_set1(bias ? bias[i] : 0);
    for (int64_t plane = 0; plane < args->planes; plane++)
        for (int64_t run = 0; run < args->runs; run++) {
            const real *x = (const real *)args->x + plane * args->x_plane + run * args->x_run;
            const real *w = (const real *)args->w + plane * args->w_plane + run * args->w_run;
            for (int64_t k = 0; k < args->length; k++, x += LANES, w += rows) {
                vec pixel[IMAGES_PIXELS];
                UNROLL for (int p = 0; p < pixels; p++) pixel[p] = v_load(x + p * x_pixel);
                UNROLL for (int i = 0; i < rows; i++) {
                    vec weight = v_set1(w[i]);
                    KEEP_IN_REGISTER(weight);
                    UNROLL for (int p = 0; p < pixels; p++) sum[i][p] = v_fma(weight, pixel[p], sum[i][p]);
                }
            }
        }
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int i = 0; i < rows; i++) v_store((real *)args->y + p * args->y_pixel + i * LANES, sum[i][p]);
}

INLINE void NAME(images_weights_body)(const int rows, const int columns, const images_weights_args *args) {
    vec sum[IMAGES_ROWS][IMAGES_PIXELS];
    real *to = args->sums;
    int64_t offset[IMAGES_PIXELS];
    const int64_t x_pixel = args->x_pixel, dy_pixel = args->dy_pixel;
    UNROLL for (int j = 0; j < columns; j++) offset[j] = args->offset[j];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < columns; j++) sum[i][j] = v_load(to + i * args->sums_row + j * LANES);
    for (int64_t plane = 0; plane < args->planes; plane++)
        for (int64_t row = 0; row < args->height; row++) {
            const real *x = (const real *)args->x + plane * args->x_plane + row * args->x_row;
            const real *dy = (const real *)args->dy + plane * args->dy_plane + row * args->dy_row;
            for (int64_t p = 0; p < args->width; p++, x += x_pixel, dy += dy_pixel) {
                vec column[IMAGES_PIXELS];
                UNROLL for (int j = 0; j < columns; j++) column[j] = v_load(x + offset[j]);
                UNROLL for (int i = 0; i < rows; i++) {
                    const vec gradient = v_load(dy + i * LANES);
                    UNROLL for (int j = 0; j < columns; j++) sum[i][j] = v_fma(gradient, column[j], sum[i][j]);
                }
            }
        }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < columns; j++) v_store(to + i * args->sums_row + j * LANES, sum[i][j]);
}

#define IMAGES_CASE(kernel, n)                                                      \
    case n: NAME(kernel)(n, n <= IMAGES_ROWS / 2 ? IMAGES_PIXELS : IMAGES_PIXELS / 2, args); break;
#define IMAGES_CASES(kernel)                                                                                         \
    IMAGES_CASE(kernel, 1) IMAGES_CASE(kernel, 2) IMAGES_CASE(kernel, 3) IMAGES_CASE(kernel, 4) IMAGES_CASE(kernel, 5) \
    IMAGES_CASE(kernel, 6)

static void NAME(images)(int rows, const images_args *args) {
    switch (rows) { IMAGES_CASES(images_body) }
}
static void NAME(images_weights)(int rows, const images_weights_args *args) {
    switch (rows) { IMAGES_CASES(images_weights_body) }
}
#undef IMAGES_CASE
#undef IMAGES_CASES
