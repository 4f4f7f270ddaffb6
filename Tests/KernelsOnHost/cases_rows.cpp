#include "cases.h"

namespace on_host {

CASE(sums) {
    const ptrdiff_t lengths[] = {0, 1, 3, 5, 8, 33, 255, 2049, 8191, 8192, 8193, 16384, 16391, 40001};  // around pieces
    for (ccuda_type type : types) for (ptrdiff_t n : lengths) report.check(named(type, n), [&](bench &b) {
        values x = numbers(n, 20, type, -0.5f, 1.5f), y = numbers(n, 21, type, -0.5f, 1.5f);
        const void *a = b.input(type, x), *q = b.input(type, y);
        float *sum = b.output(1), *dot = b.output(1), *square = b.output(1);
        ccuda_sum(&b.context, type, n, a, 0.5, sum);
        ccuda_dot(&b.context, type, n, a, q, 2, dot);
        ccuda_dot(&b.context, type, n, a, a, 1, square);
        b.expect(sum, {(float)(0.5 * cc_sum(n, x.data()))});
        b.expect(dot, {(float)(2 * cc_dot(n, x.data(), y.data()))});
        b.expect(square, {(float)cc_dot(n, x.data(), x.data())});
    });
}

CASE(largest_values) {
    for (ccuda_type type : types) for (ptrdiff_t n : {0, 1, 3, 5, 8, 33, 255, 2049, 8193, 16391})
        for (float outlier : {0.0f, -7.0f, 7.0f, -INFINITY, (float)NAN})
        for (ptrdiff_t at : {n - 1, n / 2, (ptrdiff_t)0}) report.check(named(type, n, outlier, at), [&](bench &b) {
            values x = numbers(n, 22, type);
            if (n > 0 && outlier != 0) x[at] = outlier;
            float *result = b.output(1);
            ccuda_max_abs(&b.context, type, n, b.input(type, x), result);
            b.expect(result, {cc_max_abs(n, x.data())});
        });
}

/// The second launches with more pieces than threads.
CASE(many_pieces) {
    for (long long count : {0, 1, 31, 255, 256, 257, 1000}) report.check(named(CCUDA_F32, count), [&](bench &b) {
        std::vector<double> partial((size_t)count);
        std::vector<unsigned> bits((size_t)count);
        double sum = 0;
        unsigned largest = 0;
        for (long long i = 0; i < count; i++) {
            sum += partial[i] = 0.25 + (double)(i * 7919 % 1000);
            bits[i] = (unsigned)((i + 1) * 2654435761u) >> 2;
            largest = bits[i] > largest ? bits[i] : largest;
        }
        const double *p = b.raw(partial);
        const unsigned *q = b.raw(bits);
        double factor = 0.5;
        float *total = b.output(1), *maximum = b.output(1);
        void *sumParams[] = {&count, &p, &factor, &total}, *maxParams[] = {&count, &q, &maximum};
        b.launch("sum_finish", 1, 256, sumParams);
        b.launch("max_abs_finish", 1, 256, maxParams);
        b.expect(total, {(float)(0.5 * sum)});
        b.expect_bits(maximum, &largest, sizeof largest);
    });
}

CASE(axis_sums) {
    const ptrdiff_t shapes[][3] = {{0, 3, 2}, {2, 0, 3}, {2, 0, 1}, {1, 1, 1}, {5, 3, 1}, {9, 130, 1}, {3, 2048, 1}, {2, 2049, 1}, {1, 5003, 1},
                                   {1, 1, 2}, {2, 3, 31}, {1, 64, 32}, {3, 65, 33}, {1, 200, 40}, {2, 17, 100}, {1, 600, 5}, {4, 129, 3}};
    for (auto &s : shapes) for (int pair = 0; pair < 3; pair++) for (bool accumulate : {false, true}) {
        ccuda_type type = pair == 0 ? CCUDA_F32 : CCUDA_BF16, result = pair == 1 ? CCUDA_BF16 : CCUDA_F32;
        report.check(named(type, s[0], s[1], s[2], pair, accumulate), [&](bench &b) {
            values x = numbers(s[0] * s[1] * s[2], 23, type, -0.5f, 1.5f), before = numbers(s[0] * s[2], 24, result), expected = before;
            cc_sum_axis(s[0], s[1], s[2], x.data(), expected.data(), accumulate);
            void *y = accumulate ? b.both(result, before) : b.output(result, s[0] * s[2]);
            ccuda_sum_axis(&b.context, type, result, s[0], s[1], s[2], b.input(type, x), y, accumulate);
            b.expect(y, result, expected);
        });
    }
}

static const float epsilon = 0.05f;  // of the norms: large enough that leaving it out shows

struct rows_shape { ptrdiff_t rows, n; };
static const rows_shape rowsShapes[] = {{0, 5}, {1, 1}, {3, 2}, {4, 31}, {5, 32}, {2, 33}, {9, 77}, {3, 128}, {2, 129}, {2, 257}, {5, 320},
                                        {1, 1031}, {70, 12}};

CASE(softmaxes) {
    for (ccuda_type type : types) for (rows_shape s : rowsShapes)
        for (float offset : {0.0f, 60.0f, -300.0f}) report.check(named(type, s.rows, s.n, offset), [&](bench &b) {
        ptrdiff_t n = s.rows * s.n;
        values x = numbers(n, 25, type, offset - 4, offset + 4), dy = numbers(n, 26, type), y((size_t)n), logs((size_t)n);
        values dx((size_t)n), dlogs((size_t)n);
        cc_softmax(s.rows, s.n, x.data(), y.data());
        cc_log_softmax(s.rows, s.n, x.data(), logs.data());
        values kept = rounded(type, y), keptLogs = rounded(type, logs);
        cc_softmax_backward(s.rows, s.n, kept.data(), dy.data(), dx.data());
        cc_log_softmax_backward(s.rows, s.n, keptLogs.data(), dy.data(), dlogs.data());
        const void *in = b.input(type, x), *d = b.input(type, dy);
        void *out = b.output(type, n), *outLogs = b.output(type, n), *slope = b.output(type, n), *slopeLogs = b.output(type, n);
        ccuda_softmax(&b.context, type, s.rows, s.n, in, out);
        ccuda_log_softmax(&b.context, type, s.rows, s.n, in, outLogs);
        ccuda_softmax_backward(&b.context, type, s.rows, s.n, b.input(type, kept), d, slope);
        ccuda_log_softmax_backward(&b.context, type, s.rows, s.n, b.input(type, keptLogs), d, slopeLogs);
        b.expect(out, type, y);
        b.expect(outLogs, type, logs);
        if (s.n > 1) b.expect(slope, type, dx);  // a single class has no slope: what is left is rounding
        if (s.n > 1) b.expect(slopeLogs, type, dlogs);
    });
}

CASE(layer_norms) {
    for (ccuda_type type : types) for (rows_shape s : rowsShapes)
        for (int present = 0; present < 4; present++) report.check(named(type, s.rows, s.n, present), [&](bench &b) {
        if (s.n < 4) return;  // too few values to have a spread
        ptrdiff_t n = s.rows * s.n;
        values x = numbers(n, 27, type, 3, 7), scale = numbers(s.n, 28), shift = numbers(s.n, 29), dy = numbers(n, 30, type);
        values y((size_t)n), mean((size_t)s.rows), rstd((size_t)s.rows), dx((size_t)n), dscale((size_t)s.n), dshift((size_t)s.n);
        const float *scaleData = present & 1 ? scale.data() : nullptr, *shiftData = present & 2 ? shift.data() : nullptr;
        cc_layer_norm(s.rows, s.n, epsilon, x.data(), scaleData, shiftData, y.data(), mean.data(), rstd.data());
        cc_layer_norm_backward(s.rows, s.n, x.data(), scaleData, mean.data(), rstd.data(), dy.data(), dx.data(), dscale.data(), dshift.data());
        const void *in = b.input(type, x), *d = b.input(type, dy);
        const float *scaleIn = present & 1 ? b.input(scale) : nullptr, *shiftIn = present & 2 ? b.input(shift) : nullptr;
        void *out = b.output(type, n), *slope = b.output(type, n);
        float *outMean = present == 3 ? nullptr : b.output(s.rows), *outRstd = present == 3 ? nullptr : b.output(s.rows);
        ccuda_layer_norm(&b.context, type, s.rows, s.n, epsilon, in, scaleIn, shiftIn, out, outMean, outRstd);
        b.expect(out, type, y);
        if (outMean) { b.expect(outMean, mean); b.expect(outRstd, rstd); }
        float *outScale = present == 1 ? nullptr : b.output(s.n), *outShift = present <= 1 ? nullptr : b.output(s.n);
        ccuda_layer_norm_backward(&b.context, type, s.rows, s.n, in, scaleIn, b.input(mean), b.input(rstd), d, slope, outScale, outShift);
        b.expect(slope, type, dx);
        if (outScale) b.expect(outScale, dscale);
        if (outShift) b.expect(outShift, dshift);
    });
}

struct group_shape { ptrdiff_t batch, pixels, channels, groups; };

static void check_group_norm(report &report, ccuda_type type, group_shape s, bool silu, int present) {
    report.check(named(type, s.batch, s.pixels, s.channels, s.groups, silu, present), [&](bench &b) {
        ptrdiff_t n = s.batch * s.pixels * s.channels, groups = s.batch * s.groups;
        float low = present == 3 ? 30 : 1;  // far from zero the variance must not drown in the mean
        values x = numbers(n, 31, type, low, low + 4), scale = numbers(s.channels, 32, CCUDA_F32, 0.5f, 2), shift = numbers(s.channels, 33);
        values dy = numbers(n, 34, type, -1, 3);
        values y((size_t)n), mean((size_t)groups), rstd((size_t)groups), dx((size_t)n), dscale((size_t)s.channels), dshift((size_t)s.channels);
        const float *scaleData = present & 1 ? scale.data() : nullptr, *shiftData = present & 2 ? shift.data() : nullptr;
        cc_group_norm(s.batch, s.pixels, s.channels, s.groups, epsilon, silu, x.data(), scaleData, shiftData, y.data(), mean.data(), rstd.data());
        cc_group_norm_backward(s.batch, s.pixels, s.channels, s.groups, silu, x.data(), scaleData, shiftData, mean.data(), rstd.data(), dy.data(),
                               dx.data(), dscale.data(), dshift.data());
        const void *in = b.input(type, x), *d = b.input(type, dy);
        const float *scaleIn = present & 1 ? b.input(scale) : nullptr, *shiftIn = present & 2 ? b.input(shift) : nullptr;
        void *out = b.output(type, n), *slope = b.output(type, n);
        bool tells = present > 0 && s.pixels > 0;  // no pixels have no mean
        float *outMean = tells ? b.output(groups) : nullptr, *outRstd = tells ? b.output(groups) : nullptr;
        ccuda_group_norm(&b.context, type, s.batch, s.pixels, s.channels, s.groups, epsilon, silu, in, scaleIn, shiftIn, out, outMean, outRstd);
        b.expect(out, type, y);
        if (outMean) { b.expect(outMean, mean); b.expect(outRstd, rstd); }
        float *outScale = present & 1 ? b.output(s.channels) : nullptr, *outShift = present & 2 ? b.output(s.channels) : nullptr;
        ccuda_group_norm_backward(&b.context, type, s.batch, s.pixels, s.channels, s.groups, silu, in, scaleIn, shiftIn, b.input(mean),
                                  b.input(rstd), d, slope, outScale, outShift);
        b.expect(slope, type, dx);
        if (outScale) b.expect(outScale, dscale);
        if (outShift) b.expect(outShift, dshift);
    });
}

CASE(group_norms) {
    const group_shape shapes[] = {{0, 3, 4, 2}, {2, 0, 4, 2}, {1, 9, 4, 1}, {2, 5, 12, 3}, {2, 9, 15, 5}, {1, 64, 32, 32}, {2, 33, 40, 4},
                                  {1, 7, 1032, 8}};
    for (ccuda_type type : types) for (group_shape s : shapes) for (bool silu : {false, true}) for (int present = 0; present < 4; present++)
        check_group_norm(report, type, s, silu, present);
}

/// More pieces than a picture of this size would do with, more channels than threads of a block can keep.
CASE(large_group_norms) {
    const group_shape shapes[] = {{2, 1700, 40, 4}, {1, 3, 2560, 32}, {1, 2, 2048, 8}, {1, 200, 320, 32}};
    for (ccuda_type type : types) for (group_shape s : shapes) check_group_norm(report, type, s, true, 3);
    check_group_norm(report, CCUDA_F32, {1, 17000, 64, 8}, true, 3);
}

}  // namespace on_host
