#include "cases.h"

namespace on_host {

CASE(adamw_steps) {
    for (ptrdiff_t n : counts) for (int present = 0; present < 4; present++)
        for (ptrdiff_t step : {1, 7}) report.check(named(CCUDA_F32, n, present, step), [&](bench &b) {
        values p = numbers(n, 50), g = numbers(n, 51), m = numbers(n, 52), v = numbers(n, 53, CCUDA_F32, 0.01f, 1);
        values newP = p, newM = m, newV = v;
        cc_adamw(n, newP.data(), g.data(), newM.data(), newV.data(), 1e-2f, 0.9f, 0.99f, 1e-3f, 0.1f, step, present & 1 ? 0.25f : 0.5f);
        float *weights = b.both(p), *mean = b.both(m), *square = b.both(v);
        void *mirror = present & 2 ? b.output(CCUDA_BF16, n) : nullptr;
        const float *factor = present & 1 ? b.input({0.5f}) : nullptr;
        ccuda_adamw(&b.context, n, weights, b.input(g), mean, square, mirror, 1e-2f, 0.9f, 0.99f, 1e-3f, 0.1f, step, 0.5f, factor);
        b.expect(weights, newP);
        b.expect(mean, newM);
        b.expect(square, newV);
        if (mirror) b.expect(mirror, CCUDA_BF16, newP);
    });
}

CASE(clipping) {
    const float cases[][2] = {{4, 1}, {4, 3}, {4, 2}, {0, 1}, {9, 0}, {1e-20f, 1}, {1e-10f, 1e-6f}};  // squared norm, maximum
    for (auto &c : cases) report.check(named(CCUDA_F32, c[0], c[1]), [&](bench &b) {
        float found = std::sqrt(c[0]), wanted = c[1] / (found + 1e-6f), *norm = b.output(1), *factor = b.output(1);
        ccuda_clip_factor(&b.context, b.input({c[0]}), c[1], norm, factor);
        b.expect(norm, {found});
        b.expect(factor, {c[1] > 0 && wanted < 1 ? wanted : 1});
    });
}

CASE(gradients_in_many_places) {
    const std::vector<ptrdiff_t> sizes[] = {{}, {0}, {1}, {3, 0, 9}, {5000, 1, 17, 260}, {16384, 16385, 40001}};
    for (auto &counts : sizes) for (float limit : {0.5f, 1e6f}) report.check(named(CCUDA_F32, counts.size(), limit), [&](bench &b) {
        std::vector<ccuda_run> runs;
        std::vector<values> parts;
        double squares = 0;
        for (ptrdiff_t n : counts) {
            parts.push_back(numbers(n, 90 + (unsigned)parts.size()));
            for (float x : parts.back()) squares += (double)x * x;
            runs.push_back({b.both(parts.back()), n});
        }
        float found = (float)std::sqrt(squares), *norm = b.output(1), factor = std::min(1.0f, limit / (found + 1e-6f));
        ccuda_norm(&b.context, (ptrdiff_t)runs.size(), runs.data(), norm);
        ccuda_clip(&b.context, (ptrdiff_t)runs.size(), runs.data(), norm, limit);
        b.expect(norm, {found});
        for (size_t i = 0; i < runs.size(); i++) {
            for (float &x : parts[i]) x *= factor;
            b.expect(runs[i].start, parts[i]);
        }
    });
}

CASE(cross_entropies) {
    const ptrdiff_t shapes[][2] = {{1, 1}, {2, 3}, {5, 33}, {9, 260}};  // rows, classes
    for (auto &s : shapes) for (float smoothing : {0.0f, 0.25f}) report.check(named(CCUDA_F32, s[0], s[1], smoothing), [&](bench &b) {
        ptrdiff_t rows = s[0], classes = s[1], counted = 0;
        values logs = numbers(rows * classes, 95, CCUDA_F32, -6, -1), gradient(logs.size());
        std::vector<int64_t> targets;
        double total = 0;
        for (ptrdiff_t r = 0; r < rows; r++) targets.push_back(r % 3 == 1 ? -100 : (r * 7 + 2) % classes), counted += r % 3 != 1;
        for (ptrdiff_t i = 0; i < rows * classes; i++) {
            int64_t target = targets[i / classes];
            double q = smoothing / (double)classes + (i % classes == target ? 1 - smoothing : 0);
            if (target != -100) total -= q * logs[i];
            gradient[i] = target == -100 ? 0 : (float)((std::exp((double)logs[i]) - q) * 3 / (double)counted);
        }
        float *loss = b.output(1), *dx = b.output((ptrdiff_t)gradient.size());
        const float *in = b.input(logs);
        const int64_t *wanted = b.raw(targets);
        ccuda_cross_entropy(&b.context, rows, classes, in, wanted, -100, smoothing, counted, loss);
        ccuda_cross_entropy_backward(&b.context, rows, classes, in, wanted, -100, smoothing, counted, b.input({3.0f}), dx);
        b.expect(loss, {(float)(total / (double)counted)});
        b.expect(dx, gradient);
    });
}

CASE(depthwise_convolutions) {
    const ptrdiff_t shapes[][5] = {{0, 2, 2, 3, 3}, {1, 1, 1, 1, 1}, {2, 4, 3, 5, 3}, {1, 9, 8, 33, 7}};  // batch, height, width, channels, kernel
    for (auto &s : shapes) report.check(named(CCUDA_F32, s[0], s[1], s[2], s[3], s[4]), [&](bench &b) {
        ptrdiff_t H = s[1], W = s[2], C = s[3], K = s[4];
        values x = numbers(s[0] * H * W * C, 97), taps = numbers(K * K * C, 98), shift = numbers(C, 99), expected(x.size());
        for (ptrdiff_t i = 0; i < (ptrdiff_t)x.size(); i++) {
            ptrdiff_t c = i % C, column = i / C % W, row = i / C / W % H, picture = i / C / W / H;
            double sum = shift[c];
            for (ptrdiff_t j = 0; j < K * K; j++) {
                ptrdiff_t r = row + j / K - K / 2, w = column + j % K - K / 2;
                if (r >= 0 && r < H && w >= 0 && w < W) sum += (double)x[((picture * H + r) * W + w) * C + c] * taps[j * C + c];
            }
            expected[i] = (float)sum;
        }
        float *y = b.output((ptrdiff_t)x.size());
        ccuda_depthwise(&b.context, s[0], H, W, C, K, b.input(x), b.input(taps), b.input(shift), y);
        b.expect(y, expected);
    });
}

CASE(noised_latents) {
    const ptrdiff_t shapes[][2] = {{0, 4}, {2, 0}, {1, 1}, {2, 3}, {3, 8}, {5, 1030}, {2, 260}};
    for (ccuda_type type : types) for (auto &s : shapes) for (float sign : {1.0f, -1.0f}) report.check(named(type, s[0], s[1], sign), [&](bench &b) {
        ptrdiff_t n = s[0] * s[1];
        values x = numbers(n, 54), e = numbers(n, 55), signal = numbers(s[0], 56), deviation = numbers(s[0], 57), expected((size_t)n);
        for (ptrdiff_t i = 0; i < n; i++) expected[i] = (float)((double)signal[i / s[1]] * x[i] + (double)sign * deviation[i / s[1]] * e[i]);
        void *y = b.output(type, n);
        ccuda_mix(&b.context, type, s[0], s[1], b.input(signal), b.input(x), sign, b.input(deviation), b.input(e), y);
        b.expect(y, type, expected);
    });
}

struct expected_loss { double loss; values gradient; };

/// The loss of Training's objective and its gradient, in double.
static expected_loss plain_loss(ccuda_loss_kind kind, ptrdiff_t batch, ptrdiff_t n, ptrdiff_t channels, const values &prediction,
                                const values &target, const float *weights, const float *mask, const float *widths, double upstream) {
    expected_loss result = {0, values((size_t)(batch * n))};
    for (ptrdiff_t i = 0; i < batch * n; i++) {
        double e = (double)prediction[i] - target[i], c = widths ? widths[i / n] : 1, root = std::sqrt(e * e + c * c);
        double factor = (weights ? weights[i / n] : 1.0) * (mask ? mask[i / channels] : 1.0) / (double)(batch * n), loss, slope;
        switch (kind) {
        case CCUDA_L2: loss = e * e; slope = 2 * e; break;
        case CCUDA_L1: loss = std::fabs(e); slope = e > 0 ? 1 : e < 0 ? -1 : 0; break;
        case CCUDA_HUBER: loss = 2 * c * (root - c); slope = root > 0 ? 2 * c * e / root : 0; break;
        default: loss = 2 * (root - c); slope = root > 0 ? 2 * e / root : 0; break;
        }
        result.loss += factor * loss;
        result.gradient[i] = (float)(factor * slope * upstream);
    }
    return result;
}

CASE(losses) {
    const ptrdiff_t shapes[][3] = {{0, 4, 1}, {1, 1, 1}, {2, 12, 4}, {3, 9, 3}, {2, 4100, 4}, {300, 5, 1}, {1, 9000, 4}};  // batch, n, channels
    for (ccuda_type type : types) for (auto &s : shapes) for (int kind = CCUDA_L2; kind <= CCUDA_SMOOTH_L1; kind++)
        for (int present : {0, 1, 2, 4, 7, 15}) {
        if (s[0] * s[1] > 1000 && (present % 15 != 0 || kind % 2 != 0)) continue;  // many blocks take their time
        report.check(named(type, s[0], s[1], kind, present), [&](bench &b) {
            values prediction = numbers(s[0] * s[1], 58, type), target = numbers(s[0] * s[1], 59), weights = numbers(s[0], 60, CCUDA_F32, 0.5f, 2);
            values mask = numbers(s[0] * s[1] / s[2], 61, CCUDA_F32, 0, 1), widths = numbers(s[0], 62, CCUDA_F32, 0.1f, 1);
            bool huber = kind >= CCUDA_HUBER;
            if (s[0] * s[1] > 2) prediction[1] = target[1] = 0.5f;  // no error, no slope
            if (s[0] * s[1] > 2) widths[0] = 0;
            const float *w = present & 1 ? weights.data() : nullptr, *m = present & 2 ? mask.data() : nullptr;
            expected_loss expected = plain_loss((ccuda_loss_kind)kind, s[0], s[1], s[2], prediction, target, w, m, huber ? widths.data() : nullptr,
                                                present & 4 ? 3 : 1);
            const float *weightsIn = w ? b.input(weights) : nullptr, *maskIn = m ? b.input(mask) : nullptr;
            const float *widthsIn = huber ? b.input(widths) : nullptr, *upstream = present & 4 ? b.input({3.0f}) : nullptr;
            void *gradient = present & 8 ? nullptr : b.output(type, s[0] * s[1]);
            float *loss = b.output(1);
            ccuda_loss(&b.context, type, (ccuda_loss_kind)kind, s[0], s[1], s[2], b.input(type, prediction), b.input(target), weightsIn, maskIn,
                       widthsIn, upstream, gradient, loss);
            b.expect(loss, {(float)expected.loss});
            if (gradient) b.expect(gradient, type, expected.gradient);
        });
    }
}

}  // namespace on_host
