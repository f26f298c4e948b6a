/* Transforms of Winograd's algorithms, a vector of channels at a time: Y = Aᵀ [(G w Gᵀ) ∘ (Bᵀ x B)] A, or Aᵀ [G w ∘ Bᵀ x] along one
 * axis.
 *
 * Lavin and Gray, Fast algorithms for convolutional neural networks, 2015. m outputs of r taps take m + r - 1 points: the four
 * 0, ±1, ∞, or the six 0, ±a, ±b, ∞ with a = √½ and b = √2 in place of 1 and 2, which is the same work and a third of the
 * rounding error. F(4, 3) and F(2, 5) share the latter and with them Bᵀ. In two dimensions a point is one of 4 × 4 or 6 × 6.
 */
#define WINOGRAD_A ((real)0.70710678118654752440)
#define WINOGRAD_B ((real)1.41421356237309504880)

/* Bᵀ: as many inputs as points to points. It depends on the points alone, not on how many of them are outputs. */
INLINE void NAME(winograd_to_points)(int n, const vec *x, vec *p) {
    if (n == 4) {
        p[0] = x[0] - x[2];
        p[1] = x[2] + x[1];
        p[2] = x[2] - x[1];
        p[3] = x[3] - x[1];
        return;
    }
    const vec half = v_set1(0.5), two = v_set1(2), five_halves = v_set1(2.5);
    vec even_a = x[4] - two * x[2], odd_a = v_set1(WINOGRAD_A) * (x[3] - two * x[1]);
    vec even_b = x[4] - half * x[2], odd_b = v_set1(WINOGRAD_B) * (x[3] - half * x[1]);
    p[0] = x[0] + x[4] - five_halves * x[2];
    p[1] = even_a + odd_a;
    p[2] = even_a - odd_a;
    p[3] = even_b + odd_b;
    p[4] = even_b - odd_b;
    p[5] = x[1] + x[5] - five_halves * x[3];
}

/* Aᵀ: points to outputs. */
INLINE void NAME(winograd_from_points)(int n, int out, const vec *p, vec *y) {
    if (n == 4) {
        y[0] = p[0] + (p[1] + p[2]);
        y[1] = p[1] - p[2] + p[3];
        return;
    }
    const vec half = v_set1(0.5), two = v_set1(2);
    vec sum_a = p[1] + p[2], sum_b = p[3] + p[4];
    vec difference_a = v_set1(WINOGRAD_A) * (p[1] - p[2]), difference_b = v_set1(WINOGRAD_B) * (p[3] - p[4]);
    y[0] = p[0] + sum_a + sum_b;
    y[1] = difference_a + difference_b;
    if (out == 2) {
        y[1] += p[5];
        return;
    }
    y[2] = half * sum_a + two * sum_b;
    y[3] = half * difference_a + two * difference_b + p[5];
}

/* G: weights to points. */
INLINE void NAME(winograd_weights_to_points)(int n, int taps, const vec *w, vec *p) {
    const vec half = v_set1(0.5), two = v_set1(2);
    if (n == 4) {
        vec even = half * (w[0] + w[2]), odd = half * w[1];
        p[0] = w[0];
        p[1] = even + odd;
        p[2] = even - odd;
        p[3] = w[2];
        return;
    }
    const vec by_a = v_set1((real)(-2.0 / 3)), by_b = v_set1((real)(1.0 / 6)); /* 1 / Π (point - other points) */
    vec even_a = w[0] + half * w[2], odd_a = w[1];
    vec even_b = w[0] + two * w[2], odd_b = w[1];
    if (taps == 5) {
        even_a += v_set1(0.25) * w[4], odd_a += half * w[3];
        even_b += v_set1(4) * w[4], odd_b += two * w[3];
    }
    even_a *= by_a, odd_a *= v_set1(WINOGRAD_A) * by_a;
    even_b *= by_b, odd_b *= v_set1(WINOGRAD_B) * by_b;
    p[0] = w[0];
    p[1] = even_a + odd_a;
    p[2] = even_a - odd_a;
    p[3] = even_b + odd_b;
    p[4] = even_b - odd_b;
    p[5] = w[taps - 1];
}

/* A, the transpose of Aᵀ: four gradients of outputs to six points. */
INLINE void NAME(winograd_gradients_to_points)(const vec dy[4], vec p[6]) {
    const vec half = v_set1(0.5), two = v_set1(2), a = v_set1(WINOGRAD_A), b = v_set1(WINOGRAD_B);
    vec even_a = dy[0] + half * dy[2], odd_a = a * (dy[1] + half * dy[3]);
    vec even_b = dy[0] + two * dy[2], odd_b = b * (dy[1] + two * dy[3]);
    p[0] = dy[0];
    p[1] = even_a + odd_a;
    p[2] = even_a - odd_a;
    p[3] = even_b + odd_b;
    p[4] = even_b - odd_b;
    p[5] = dy[3];
}

/* Gᵀ: six points to the gradients of three weights. */
INLINE void NAME(winograd_weights_from_points)(const vec p[6], vec dw[3]) {
    const vec by_a = v_set1((real)(-2.0 / 3)), by_b = v_set1((real)(1.0 / 6));
    vec sum_a = by_a * (p[1] + p[2]), sum_b = by_b * (p[3] + p[4]);
    vec difference_a = by_a * (p[1] - p[2]), difference_b = by_b * (p[3] - p[4]);
    dw[0] = p[0] + sum_a + sum_b;
    dw[1] = v_set1(WINOGRAD_A) * difference_a + v_set1(WINOGRAD_B) * difference_b;
    dw[2] = v_set1(0.5) * sum_a + v_set1(2) * sum_b + p[5];
}

/* Channels in whole vectors; the last one overlaps the one before where they do not divide evenly. */
#define FOR_EACH_VECTOR(c, channels)                                        \
    for (int64_t begin_ = 0, c = 0; begin_ < (channels); begin_ += LANES)   \
        if (c = begin_ + LANES <= (channels) ? begin_ : (channels) - LANES, 1)

/* One tile of n × n pixels, or of n along one axis. */
INLINE void NAME(winograd_input_of)(const winograd_args *args, int axes, int n) {
    const int64_t row = args->row_step, pixel = args->pixel_step, point = args->point_step;
    FOR_EACH_VECTOR(c, args->channels) {
        const real *x = (const real *)args->pixels + c;
        real *to = (real *)args->points + c;
        vec down[6][6], p[6]; /* [column][point of the height] */
        if (axes == 1) {
            UNROLL for (int j = 0; j < n; j++) down[0][j] = v_load(x + j * pixel);
            NAME(winograd_to_points)(n, down[0], p);
            UNROLL for (int j = 0; j < n; j++) v_store(to + j * point, p[j]);
            continue;
        }
        for (int j = 0; j < n; j++) {
            vec column[6];
            UNROLL for (int i = 0; i < n; i++) column[i] = v_load(x + i * row + j * pixel);
            NAME(winograd_to_points)(n, column, down[j]);
        }
        for (int i = 0; i < n; i++) {
            vec across[6];
            UNROLL for (int j = 0; j < n; j++) across[j] = down[j][i];
            NAME(winograd_to_points)(n, across, p);
            UNROLL for (int j = 0; j < n; j++) v_store(to + (i * n + j) * point, p[j]);
        }
    }
}

INLINE void NAME(winograd_output_of)(const winograd_args *args, int axes, int n, int out) {
    const int64_t row = args->row_step, pixel = args->pixel_step, point = args->point_step;
    FOR_EACH_VECTOR(c, args->channels) {
        const real *from = (const real *)args->points + c;
        real *y = (real *)args->pixels + c;
        vec down[6][6], results[4], bias = args->bias ? v_load((const real *)args->bias + c) : v_set1(0);
        if (axes == 1) {
            UNROLL for (int j = 0; j < n; j++) down[0][j] = v_load(from + j * point);
            NAME(winograd_from_points)(n, out, down[0], results);
            UNROLL for (int j = 0; j < out; j++) v_store(y + j * pixel, results[j] + bias);
            continue;
        }
        for (int j = 0; j < n; j++) {
            vec column[6];
            UNROLL for (int i = 0; i < n; i++) column[i] = v_load(from + (i * n + j) * point);
            NAME(winograd_from_points)(n, out, column, down[j]);
        }
        for (int i = 0; i < out; i++) {
            vec across[6];
            UNROLL for (int j = 0; j < n; j++) across[j] = down[j][i];
            NAME(winograd_from_points)(n, out, across, results);
            UNROLL for (int j = 0; j < out; j++) v_store(y + i * row + j * pixel, results[j] + bias);
        }
    }
}

INLINE void NAME(winograd_weights_of)(const winograd_args *args, int axes, int n, int taps) {
    const int64_t row = args->row_step, pixel = args->pixel_step, point = args->point_step;
    FOR_EACH_VECTOR(c, args->channels) {
        const real *w = (const real *)args->pixels + c;
        real *to = (real *)args->points + c;
        vec down[5][6], p[6];
        if (axes == 1) {
            vec of_row[5];
            UNROLL for (int j = 0; j < taps; j++) of_row[j] = v_load(w + j * pixel);
            NAME(winograd_weights_to_points)(n, taps, of_row, p);
            UNROLL for (int j = 0; j < n; j++) v_store(to + j * point, p[j]);
            continue;
        }
        UNROLL for (int j = 0; j < taps; j++) {
            vec column[5];
            UNROLL for (int i = 0; i < taps; i++) column[i] = v_load(w + i * row + j * pixel);
            NAME(winograd_weights_to_points)(n, taps, column, down[j]);
        }
        for (int i = 0; i < n; i++) {
            vec across[5];
            UNROLL for (int j = 0; j < taps; j++) across[j] = down[j][i];
            NAME(winograd_weights_to_points)(n, taps, across, p);
            UNROLL for (int j = 0; j < n; j++) v_store(to + (i * n + j) * point, p[j]);
        }
    }
}

static void NAME(winograd_input)(const winograd_args *args) {
    switch (args->scheme) {
        case F4X4_3X3: case F2X2_5X5: NAME(winograd_input_of)(args, 2, 6); return;
        case F2X2_3X3: NAME(winograd_input_of)(args, 2, 4); return;
        case F4_3: case F2_5: NAME(winograd_input_of)(args, 1, 6); return;
        case F2_3: NAME(winograd_input_of)(args, 1, 4); return;
    }
}

static void NAME(winograd_output)(const winograd_args *args) {
    switch (args->scheme) {
        case F4X4_3X3: NAME(winograd_output_of)(args, 2, 6, 4); return;
        case F2X2_5X5: NAME(winograd_output_of)(args, 2, 6, 2); return;
        case F2X2_3X3: NAME(winograd_output_of)(args, 2, 4, 2); return;
        case F4_3: NAME(winograd_output_of)(args, 1, 6, 4); return;
        case F2_5: NAME(winograd_output_of)(args, 1, 6, 2); return;
        case F2_3: NAME(winograd_output_of)(args, 1, 4, 2); return;
    }
}

static void NAME(winograd_weights)(const winograd_args *args) {
    switch (args->scheme) {
        case F4X4_3X3: NAME(winograd_weights_of)(args, 2, 6, 3); return;
        case F2X2_5X5: NAME(winograd_weights_of)(args, 2, 6, 5); return;
        case F2X2_3X3: NAME(winograd_weights_of)(args, 2, 4, 3); return;
        case F4_3: NAME(winograd_weights_of)(args, 1, 6, 3); return;
        case F2_5: NAME(winograd_weights_of)(args, 1, 6, 5); return;
        case F2_3: NAME(winograd_weights_of)(args, 1, 4, 3); return;
    }
}

/* 4×4 gradients of outputs to points. */
static void NAME(winograd_gradients)(const winograd_args *args) {
    const int64_t row = args->row_step, pixel = args->pixel_step, point = args->point_step;
    FOR_EACH_VECTOR(c, args->channels) {
        const real *dy = (const real *)args->pixels + c;
        real *to = (real *)args->points + c;
        vec down[4][6];
        for (int j = 0; j < 4; j++) {
            vec column[4];
            UNROLL for (int i = 0; i < 4; i++) column[i] = v_load(dy + i * row + j * pixel);
            NAME(winograd_gradients_to_points)(column, down[j]);
        }
        for (int i = 0; i < 6; i++) {
            vec across[4], p[6];
            UNROLL for (int j = 0; j < 4; j++) across[j] = down[j][i];
            NAME(winograd_gradients_to_points)(across, p);
            UNROLL for (int j = 0; j < 6; j++) v_store(to + (i * 6 + j) * point, p[j]);
        }
    }
}

/* Points to 3×3 gradients of weights. */
static void NAME(winograd_weight_gradients)(const winograd_args *args) {
    const int64_t row = args->row_step, pixel = args->pixel_step, point = args->point_step;
    FOR_EACH_VECTOR(c, args->channels) {
        const real *from = (const real *)args->points + c;
        real *dw = (real *)args->pixels + c;
        vec down[6][3];
        for (int j = 0; j < 6; j++) {
            vec column[6];
            UNROLL for (int i = 0; i < 6; i++) column[i] = v_load(from + (i * 6 + j) * point);
            NAME(winograd_weights_from_points)(column, down[j]);
        }
        for (int i = 0; i < 3; i++) {
            vec across[6], out[3];
            UNROLL for (int j = 0; j < 6; j++) across[j] = down[j][i];
            NAME(winograd_weights_from_points)(across, out);
            UNROLL for (int j = 0; j < 3; j++) v_store(dw + i * row + j * pixel, out[j]);
        }
    }
}
