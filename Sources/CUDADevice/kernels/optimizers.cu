// The step over the flat buffer of trained weights.

/// The factor that brings a gradient's norm to at most `maximum`, as `torch.nn.utils.clip_grad_norm_` does, and the norm. 0 clips nothing.
KERNEL(clip_factor_f32, (const float *squaredNorm, float maximum, float *norm, float *factor)) {
    if (global_thread() > 0) return;
    float found = sqrtf(*squaredNorm), wanted = maximum / (found + 1e-6f);
    *norm = found;
    *factor = maximum > 0.0f && wanted < 1.0f ? wanted : 1.0f;
}

/// What a step of AdamW takes beside its buffers: `decay = 1 − lr λ`, `rate = lr / (1 − β₁ᵗ)`, `root = √(1 − β₂ᵗ)`.
struct adamw_t { float decay, beta1, beta2, rate, root, epsilon, gradientScale; };

/// One step of AdamW (arXiv:1711.05101; PyTorch's order of operations). Gradients are multiplied by `gradientScale` and by `factor`, which
/// lies on the card; `mirror` receives the weights in bfloat16.
KERNEL(adamw_f32, (index_t n, float *p, const float *g, float *m, float *v, bf16 *mirror, adamw_t t, const float *factor)) {
    constexpr int W = run_length<float>();
    index_t i = global_thread() * W;
    if (i >= n) return;
    index_t count = n - i;
    float scale = factor ? t.gradientScale * *factor : t.gradientScale;
    floats<W> weight = load<W>(p + i, count), gradient = load<W>(g + i, count), mean = load<W>(m + i, count), square = load<W>(v + i, count);
#pragma unroll
    for (int k = 0; k < W; k++) {
        float d = gradient.at[k] * scale;
        mean.at[k] += (d - mean.at[k]) * (1.0f - t.beta1);
        square.at[k] = square.at[k] * t.beta2 + d * d * (1.0f - t.beta2);
        weight.at[k] = weight.at[k] * t.decay - t.rate * (mean.at[k] / (sqrtf(square.at[k]) / t.root + t.epsilon));
    }
    store<W>(m + i, count, mean);
    store<W>(v + i, count, square);
    store<W>(p + i, count, weight);
    if (mirror) store<W>(mirror + i, count, weight);
}

// MARK: - Gradients in many places

/// A piece of one of the runs that are treated together.
struct piece_t { float *start; index_t count; };

/// `partial[piece] = Σ x²`: a block for each piece.
KERNEL(squares_of_runs_f32, (const piece_t *pieces, double *partial)) {
    constexpr int W = run_length<float>();
    piece_t piece = pieces[blockIdx.x];
    double total = 0;
    for (index_t i = threadIdx.x * W; i < piece.count; i += blockDim.x * W) {
        floats<W> v = load<W>(piece.start + i, piece.count - i);
        float sum = 0;
#pragma unroll
        for (int k = 0; k < W; k++) sum += v.at[k] * v.at[k];
        total += sum;
    }
    total = block_sum(total);
    if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

/// One block: the norm, from the squares of the pieces.
KERNEL(norm_of_runs_f32, (index_t count, const double *partial, float *norm)) {
    double total = 0;
    for (index_t i = threadIdx.x; i < count; i += blockDim.x) total += partial[i];
    total = block_sum(total);
    if (threadIdx.x == 0) *norm = (float)sqrt(total);
}

/// Multiplies the pieces by `limit / (norm + 1e-6)` where that is below 1.
KERNEL(clip_runs_f32, (const piece_t *pieces, const float *norm, float limit)) {
    constexpr int W = run_length<float>();
    piece_t piece = pieces[blockIdx.x];
    float factor = limit / (*norm + 1e-6f);
    if (!(factor < 1.0f)) return;
    for (index_t i = threadIdx.x * W; i < piece.count; i += blockDim.x * W)
        map_run<W>(piece.count - i, [=](float v) { return v * factor; }, piece.start + i, load<W>(piece.start + i, piece.count - i));
}
