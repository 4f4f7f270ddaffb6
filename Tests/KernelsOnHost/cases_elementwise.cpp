#include "cases.h"

namespace on_host {

CASE(conversions) {
    const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, 6e-8f, 5.9e-8f, 3.05e-5f, 65504.0f, 65519.0f, 65520.0f, 1e38f, 3.4e38f,
                             1.00390625f, 1.01171875f, -2.5f};
    for (ptrdiff_t n : counts) for (int from = 0; from < 3; from++) for (int to = 0; to < 3; to++) {
        values x = numbers(n, 1);
        for (size_t i = 0; i < x.size() && i < std::size(special); i++) x[x.size() - 1 - i] = special[i];
        report.check(named(CCUDA_F32, from, to, n), [&](bench &b) {
            std::vector<char> narrow((size_t)n * ccuda_type_size((ccuda_type)from)), expected((size_t)n * ccuda_type_size((ccuda_type)to));
            cc_convert(n, x.data(), CC_F32, narrow.data(), (cc_dtype)from);
            cc_convert(n, narrow.data(), (cc_dtype)from, expected.data(), (cc_dtype)to);
            const void *in = b.input((ccuda_type)from, x);
            void *y = b.output((ccuda_type)to, n);
            ccuda_convert(&b.context, n, in, (ccuda_type)from, y, (ccuda_type)to);
            if (to != from) b.expect_bits(y, expected.data(), expected.size());
            else b.expect(y, (ccuda_type)to, widened((ccuda_type)from, narrow.data(), (size_t)n));
        });
    }
}

CASE(fills) {
    for (ccuda_type type : types) for (ptrdiff_t n : counts) report.check(named(type, n), [&](bench &b) {
        void *y = b.output(type, n), *z = b.output(type, n);
        ccuda_fill(&b.context, type, n, 1.5f, nullptr, y);
        ccuda_fill(&b.context, type, n, 1.5f, b.input({3.0f}), z);
        b.expect(y, type, values((size_t)n, 1.5f));
        b.expect(z, type, values((size_t)n, 4.5f));
    });
}

/// Numbers in the domain of a function, the hard ones at the end.
static values domain(int f, ptrdiff_t n, ccuda_type type) {
    bool positive = f == CC_LOG || f == CC_SQRT || f == CC_RECIPROCAL, periodic = f == CC_SIN || f == CC_COS;
    values x = numbers(n, 2, type, positive ? 0.1f : periodic ? -20.0f : -6.0f, periodic ? 20.0f : 6.0f);
    const float hard[] = {0.0f, -0.0f, 30.0f, -30.0f, f == CC_EXP ? 3.0f : 88.0f, -100.0f, 1e-30f};
    if (positive || periodic) return x;
    for (size_t i = 0; i < x.size() && i < std::size(hard); i++) x[x.size() - 1 - i] = hard[i];
    return rounded(type, x);
}

CASE(functions) {
    for (ccuda_type type : types) for (ptrdiff_t n : counts) for (int f = CC_EXP; f <= CC_COS; f++) report.check(named(type, n, f), [&](bench &b) {
        values x = domain(f, n, type), expected((size_t)n);
        void *y = b.output(type, n), *inPlace = b.both(type, x);
        cc_apply((cc_function)f, n, x.data(), expected.data());
        ccuda_apply(&b.context, type, f, n, b.input(type, x), y);
        ccuda_apply(&b.context, type, f, n, inPlace, inPlace);
        b.expect(y, type, expected);
        b.expect(inPlace, type, expected);
    });
}

CASE(slopes) {
    for (ccuda_type type : types) for (ptrdiff_t n : counts) for (int f = CC_EXP; f <= CC_COS; f++) report.check(named(type, n, f), [&](bench &b) {
        values x = domain(f, n, type), y((size_t)n), dy = numbers(n, 3, type), expected((size_t)n);
        cc_apply((cc_function)f, n, x.data(), y.data());
        y = rounded(type, y);
        cc_apply_backward((cc_function)f, n, x.data(), y.data(), dy.data(), expected.data());
        void *dx = b.output(type, n);
        bool byOutput = f == CC_EXP || f == CC_SQRT || f == CC_RECIPROCAL || f == CC_SIGMOID || f == CC_TANH;
        const void *xOperand = byOutput ? nullptr : b.input(type, x), *yOperand = byOutput ? b.input(type, y) : nullptr;
        if (f == CC_NEGATE) xOperand = xOperand ? b.input(type, x) : nullptr;
        ccuda_apply_backward(&b.context, type, f, n, xOperand, yOperand, b.input(type, dy), dx);
        b.expect(dx, type, expected);
    });
}

CASE(clamping) {
    for (ccuda_type type : types) for (ptrdiff_t n : counts) report.check(named(type, n), [&](bench &b) {
        values x = numbers(n, 4, type), dy = numbers(n, 5, type), y((size_t)n), expected((size_t)n);
        if (n > 2) { x[0] = -0.5f; x[1] = 0.75f; x[2] = NAN; }  // the bounds themselves pass the gradient
        cc_clamp(n, x.data(), -0.5f, 0.75f, y.data());
        cc_clamp_backward(n, x.data(), -0.5f, 0.75f, dy.data(), expected.data());
        const void *in = b.input(type, x);
        void *out = b.output(type, n), *dx = b.output(type, n);
        ccuda_clamp(&b.context, type, n, in, -0.5f, 0.75f, out);
        ccuda_clamp_backward(&b.context, type, n, in, -0.5f, 0.75f, b.input(type, dy), dx);
        b.expect(out, type, y);
        b.expect(dx, type, expected);
    });
}

CASE(operators) {
    for (ccuda_type type : types) for (ptrdiff_t n : counts)
        for (int op = CC_ADD; op <= CC_MINIMUM; op++) report.check(named(type, n, op), [&](bench &b) {
        values p = numbers(n, 6, type), q = numbers(n, 7, type, 0.5f, 3.0f), pair((size_t)n), single((size_t)n);
        if (n > 2 && op >= CC_MAXIMUM) { p[0] = NAN; q[1] = NAN; }
        cc_combine((cc_operator)op, n, p.data(), q.data(), pair.data());
        cc_combine_scalar((cc_operator)op, n, p.data(), 1.25f, single.data());
        const void *a = b.input(type, p);
        void *y = b.output(type, n), *z = b.output(type, n), *w = b.output(type, n);
        ccuda_combine(&b.context, type, op, n, a, b.input(type, q), y);
        ccuda_combine_scalar(&b.context, type, op, n, a, 1.25f, nullptr, z);
        ccuda_combine_scalar(&b.context, type, op, n, a, 2.5f, b.input({0.5f}), w);
        b.expect(y, type, pair);
        b.expect(z, type, single);
        b.expect(w, type, single);
    });
}

struct broadcast_shape { std::vector<ptrdiff_t> shape, aStrides, bStrides; };

CASE(broadcasts) {
    const broadcast_shape shapes[] = {
        {{}, {}, {}}, {{1, 1}, {0, 0}, {5, 5}}, {{7}, {1}, {0}}, {{0, 3}, {3, 1}, {0, 1}}, {{3, 5}, {5, 1}, {0, 1}}, {{3, 5}, {5, 1}, {1, 0}},
        {{5, 3}, {0, 1}, {1, 0}}, {{2, 3, 4}, {12, 4, 1}, {12, 4, 1}}, {{2, 1, 33, 7}, {231, 0, 7, 1}, {7, 0, 0, 1}}, {{4, 700}, {700, 1}, {0, 0}},
        {{2, 9, 1, 131}, {0, 131, 131, 1}, {131, 0, 0, 1}}, {{2, 3, 2, 3, 2, 3}, {54, 0, 9, 3, 0, 1}, {0, 18, 0, 6, 3, 1}}, {{3, 2}, {1, 3}, {2, 1}},
    };
    for (ccuda_type type : types) for (const broadcast_shape &s : shapes) for (int op : {CC_SUBTRACT, CC_MULTIPLY}) {
        ptrdiff_t n = 1, aCount = 1, bCount = 1;
        for (size_t i = 0; i < s.shape.size(); i++) {
            n *= s.shape[i];
            aCount += (s.shape[i] - 1) * s.aStrides[i];
            bCount += (s.shape[i] - 1) * s.bStrides[i];
        }
        if (n == 0) aCount = bCount = 0;
        report.check(named(type, n, s.shape.size(), op), [&](bench &b) {
            values p = numbers(aCount, 8, type), q = numbers(bCount, 9, type), expected((size_t)n);
            int rank = (int)s.shape.size();
            cc_combine_broadcast((cc_operator)op, rank, s.shape.data(), p.data(), s.aStrides.data(), q.data(), s.bStrides.data(), expected.data());
            void *y = b.output(type, n);
            ccuda_combine_broadcast(&b.context, type, op, rank, s.shape.data(), b.input(type, p), s.aStrides.data(), b.input(type, q),
                                    s.bStrides.data(), y);
            b.expect(y, type, expected);
        });
    }
}

CASE(sums_in_place) {
    for (ptrdiff_t n : counts) for (int pair = 0; pair < 3; pair++) {
        ccuda_type xType = pair == 0 ? CCUDA_F32 : CCUDA_BF16, yType = pair == 1 ? CCUDA_BF16 : CCUDA_F32;
        report.check(named(xType, n, pair), [&](bench &b) {
            values x = numbers(n, 10, xType), sum = numbers(n, 11, yType), expected = sum;
            cc_axpy(n, 0.75f, x.data(), expected.data());
            void *y = b.both(yType, sum);
            ccuda_axpy(&b.context, n, 0.75f, b.input(xType, x), xType, y, yType);
            b.expect(y, yType, expected);
        });
    }
}

struct rows_shape { ptrdiff_t rows, n; };
static const rows_shape rowsShapes[] = {{0, 5}, {3, 0}, {1, 1}, {2, 3}, {3, 4}, {5, 8}, {6, 13}, {4, 320}, {3, 1031}, {37, 40}};

CASE(biases) {
    for (ccuda_type type : types) for (rows_shape s : rowsShapes) for (int present = 0; present < 8; present++) for (ptrdiff_t pixels : {1, 2, 3}) {
        if (s.rows % pixels != 0) continue;
        report.check(named(type, s.rows, s.n, present, pixels), [&](bench &b) {
            ptrdiff_t n = s.rows * s.n;
            values h = numbers(n, 12, type), bias = numbers(s.n, 13, type), shift = numbers(n / pixels, 14, type);
            values addend = numbers(n, 15, type), expected((size_t)n);
            for (ptrdiff_t i = 0; i < n; i++) {
                ptrdiff_t r = i / s.n, c = i % s.n;
                double terms = (present & 1 ? bias[c] : 0) + (present & 2 ? shift[r / pixels * s.n + c] : 0) + (present & 4 ? addend[i] : 0);
                expected[i] = (float)(h[i] + terms);
            }
            void *y = b.output(type, n);
            const void *in = b.input(type, h), *biasIn = present & 1 ? b.input(type, bias) : nullptr;
            const void *shiftIn = present & 2 ? b.input(type, shift) : nullptr, *addendIn = present & 4 ? b.input(type, addend) : nullptr;
            ccuda_add_bias(&b.context, type, s.rows, pixels, s.n, in, biasIn, shiftIn, addendIn, y);
            b.expect(y, type, expected);
        });
    }
}

CASE(gated_gelu) {
    for (ccuda_type type : types) for (rows_shape s : rowsShapes)
        for (bool biased : {false, true}) report.check(named(type, s.rows, s.n, biased), [&](bench &b) {
        values x = numbers(s.rows * 2 * s.n, 16, type, -4, 4), bias = numbers(2 * s.n, 17, type), dy = numbers(s.rows * s.n, 18, type), sum = x;
        for (size_t i = 0; biased && i < sum.size(); i++) sum[i] += bias[i % bias.size()];
        values expected((size_t)(s.rows * s.n)), slope(x.size());
        cc_geglu(s.rows, s.n, sum.data(), expected.data());
        cc_geglu_backward(s.rows, s.n, sum.data(), dy.data(), slope.data());
        const void *in = b.input(type, x), *biasIn = biased ? b.input(type, bias) : nullptr;
        void *y = b.output(type, s.rows * s.n), *dx = b.output(type, s.rows * 2 * s.n);
        ccuda_geglu(&b.context, type, s.rows, s.n, in, biasIn, y);
        ccuda_geglu_backward(&b.context, type, s.rows, s.n, in, biasIn, b.input(type, dy), dx);
        b.expect(y, type, expected);
        b.expect(dx, type, slope);
    });
}

CASE(division) {
    std::vector<long long> a = {0, 1, 6, 7, 0xffffffffLL, 0x100000000LL, 0x123456789abLL, 0x7fffffffffffffffLL, 0x7fffffffffffffffLL, 5,
                                0x100000001LL, 0x4000000000000000LL};
    std::vector<long long> d = {5, 1, 7, 7, 3, 3, 0x1234567LL, 1, 0x7ffffffffffffffeLL, 0x200000000LL, 0x100000001LL, 3}, expected;
    for (size_t i = 0; i < a.size(); i++) expected.push_back(a[i] / d[i]);
    report.check("quotients", [&](bench &b) {
        long long n = (long long)a.size();
        const long long *p = b.raw(a), *q = b.raw(d);
        long long *y = b.raw_output<long long>(a.size());
        void *params[] = {&n, &p, &q, &y};
        b.launch("quotients", 1, 32, params);
        b.expect_bits(y, expected.data(), expected.size() * sizeof(long long));
    });
}

}  // namespace on_host
