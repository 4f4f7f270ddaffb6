#include "cases.h"

namespace on_host {

/// A shape; `gap` elements lie between the heads of one token and those of the next. With `low`, scores are near −100, so that a sum of
/// exponentials without their maximum is lost.
struct attention_shape {
    ptrdiff_t batch, queries, keys, heads, width, gap;
    bool causal;
    ptrdiff_t offset;
    std::vector<int32_t> lengths;
    bool low = false;
};

static const attention_shape shapes[] = {
    {1, 1, 1, 1, 1, 0, false, 0, {}}, {2, 3, 5, 2, 5, 0, false, 0, {}}, {1, 7, 33, 3, 8, 0, false, 0, {}}, {1, 33, 77, 2, 40, 4, false, 0, {}},
    {2, 10, 10, 1, 33, 0, true, 0, {}}, {1, 9, 40, 2, 16, 3, true, 31, {}}, {1, 6, 6, 1, 4, 0, true, -2, {}},
    {3, 5, 37, 2, 12, 0, false, 0, {50, 0, 18}},
    {2, 40, 36, 1, 20, 0, true, 1, {36, 7}}, {1, 4, 0, 2, 8, 0, false, 0, {}}, {1, 0, 4, 2, 8, 0, false, 0, {}}, {0, 4, 4, 1, 8, 0, false, 0, {}},
    {1, 5, 70, 1, 160, 0, false, 0, {}}, {1, 3, 6, 1, 512, 0, false, 0, {}}, {1, 130, 34, 1, 3, 0, false, 0, {}},
    {1, 6, 40, 1, 16, 0, false, 0, {}, true},
};

/// Everything about one case: operands, and what CCompute makes of them.
struct attention_case {
    cc_attention plain;
    ccuda_attention shape;
    std::vector<ptrdiff_t> lengths;
    values q, k, v, dout, out, lse, dq, dk, dv;

    attention_case(const attention_shape &s, ccuda_type type) : lengths(s.lengths.begin(), s.lengths.end()) {
        ptrdiff_t row = s.heads * s.width + s.gap, Q = s.batch * s.queries * row, K = s.batch * s.keys * row;
        float scale = 1 / std::sqrt((float)s.width);
        plain = {s.batch, s.queries, s.keys, s.heads, s.width, row, row, row, scale, s.causal, s.offset, lengths.empty() ? nullptr : lengths.data()};
        shape = {type, s.batch, s.queries, s.keys, s.heads, s.width, row, row, row, scale, s.causal, s.offset, nullptr};
        q = numbers(Q, 70, type); k = numbers(K, 71, type); v = numbers(K, 72, type); dout = numbers(Q, 73, type);
        for (float &x : q) if (s.low) x = 4;
        for (float &x : k) if (s.low) x = -6 - std::round(2 * std::fabs(x)) / 8;  // products are exact
        out.resize((size_t)Q); dq.resize((size_t)Q); dk.resize((size_t)K); dv.resize((size_t)K); lse.resize((size_t)(s.batch * s.heads * s.queries));
        cc_attention_forward(&plain, q.data(), k.data(), v.data(), out.data(), lse.data());
        values kept = rounded(type, out);
        cc_attention_backward(&plain, q.data(), k.data(), v.data(), kept.data(), lse.data(), dout.data(), dq.data(), dk.data(), dv.data());
    }
};

/// `expected` with NaN where the kernels must not write: between the heads of tokens.
static values with_gaps(values expected, const attention_shape &s) {
    ptrdiff_t row = s.heads * s.width + s.gap;
    for (size_t i = 0; i < expected.size(); i++) if ((ptrdiff_t)i % row >= s.heads * s.width) expected[i] = NAN;
    return expected;
}

CASE(attentions) {
    for (ccuda_type type : types) for (const attention_shape &s : shapes) for (bool wantsSums : {true, false}) {
        attention_case c(s, type);
        report.check(named(type, s.batch, s.queries, s.keys, s.heads, s.width, s.causal), [&](bench &b) {
            ccuda_attention a = c.shape;
            if (!s.lengths.empty()) a.keyLengths = b.raw(s.lengths);
            void *out = b.output(type, (ptrdiff_t)c.out.size());
            float *lse = wantsSums ? b.output((ptrdiff_t)c.lse.size()) : nullptr;
            ccuda_plain_attention(&b.context, &a, b.input(type, c.q), b.input(type, c.k), b.input(type, c.v), out, lse);
            b.expect(out, type, with_gaps(c.out, s));
            if (lse) b.expect(lse, c.lse);
        });
    }
}

CASE(attention_gradients) {
    for (ccuda_type type : types) for (const attention_shape &s : shapes) {
        attention_case c(s, type);
        report.check(named(type, s.batch, s.queries, s.keys, s.heads, s.width, s.causal), [&](bench &b) {
            ccuda_attention a = c.shape;
            if (!s.lengths.empty()) a.keyLengths = b.raw(s.lengths);
            ptrdiff_t Q = (ptrdiff_t)c.dq.size(), K = (ptrdiff_t)c.dk.size();
            void *dq = b.output(type, Q), *dk = b.output(type, K), *dv = b.output(type, K);
            ccuda_plain_attention_backward(&b.context, &a, b.input(type, c.q), b.input(type, c.k), b.input(type, c.v), b.input(type, c.out),
                                           b.input(c.lse), b.input(type, c.dout), dq, dk, dv);
            if (s.keys > 1) b.expect(dq, type, with_gaps(c.dq, s));  // with one key the weights are constant: what is left is rounding
            if (s.keys > 1) b.expect(dk, type, with_gaps(c.dk, s));
            b.expect(dv, type, with_gaps(c.dv, s));
        });
    }
}

static const ccuda_conv convolutions[] = {
    {CCUDA_F32, 0, 3, 3, 2, 3, 1, 1, 1, 0, 0, 0, 0}, {CCUDA_F32, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}, {CCUDA_F32, 2, 3, 4, 5, 7, 1, 1, 1, 0, 0, 0, 0},
    {CCUDA_F32, 1, 5, 6, 3, 5, 3, 3, 1, 1, 1, 1, 1}, {CCUDA_F32, 2, 7, 6, 4, 17, 3, 3, 2, 0, 0, 1, 1},
    {CCUDA_F32, 1, 9, 8, 19, 4, 5, 4, 3, 2, 1, 0, 2},
    {CCUDA_F32, 1, 6, 5, 18, 33, 3, 3, 1, 1, 1, 1, 1},
};

/// Weights as checkpoints have them, `[Cout, Cin, kH, kW]`, in the card's order `[Cout, kH, kW, Cin]`; or back.
static values reordered(const ccuda_conv &c, const values &w, bool toCard) {
    values result(w.size());
    ptrdiff_t taps = c.kernelHeight * c.kernelWidth;
    for (ptrdiff_t o = 0; o < c.outChannels; o++) for (ptrdiff_t i = 0; i < c.channels; i++) for (ptrdiff_t t = 0; t < taps; t++) {
        ptrdiff_t file = (o * c.channels + i) * taps + t, card = (o * taps + t) * c.channels + i;
        if (toCard) result[card] = w[file];
        else result[file] = w[card];
    }
    return result;
}

CASE(convolving) {
    for (ccuda_type type : types) for (ccuda_conv c : convolutions) for (int present = 0; present < 4; present++) {
        c.type = type;
        cc_conv p = {c.batch, c.height, c.width, c.channels, c.outChannels, c.kernelHeight, c.kernelWidth, c.stride, c.padTop, c.padLeft,
                     c.padBottom, c.padRight, CC_F32, true};
        ptrdiff_t xCount = c.batch * c.height * c.width * c.channels;
        ptrdiff_t yCount = c.batch * cc_conv_out_height(&p) * cc_conv_out_width(&p) * c.outChannels;
        ptrdiff_t wCount = c.outChannels * c.channels * c.kernelHeight * c.kernelWidth;
        bool accumulate = present & 1;
        report.check(named(type, c.batch, c.height, c.width, c.channels, c.outChannels, c.kernelHeight, c.stride, present), [&](bench &b) {
            values x = numbers(xCount, 74, type), w = numbers(wCount, 75, type), bias = numbers(c.outChannels, 76, type);
            values addend = numbers(yCount, 77, type), dy = numbers(yCount, 78, type), y((size_t)yCount);
            values dx = numbers(xCount, 79, type), dw = numbers(wCount, 80), beforeX = dx, beforeW = dw;
            cc_conv2d_forward(&p, x.data(), w.data(), present & 1 ? bias.data() : nullptr, present & 2 ? addend.data() : nullptr, y.data());
            cc_conv2d_backward_input(&p, w.data(), dy.data(), dx.data(), accumulate);
            cc_conv2d_backward_weight(&p, x.data(), dy.data(), dw.data(), nullptr, accumulate);
            const void *xIn = b.input(type, x), *wIn = b.input(type, reordered(c, w, true)), *dyIn = b.input(type, dy);
            const void *biasIn = present & 1 ? b.input(type, bias) : nullptr, *addendIn = present & 2 ? b.input(type, addend) : nullptr;
            void *out = b.output(type, yCount), *outX = accumulate ? b.both(type, beforeX) : b.output(type, xCount);
            float *outW = accumulate ? b.both(reordered(c, beforeW, true)) : b.output(wCount);
            ccuda_plain_convolve(&b.context, &c, xIn, wIn, biasIn, addendIn, out);
            ccuda_plain_convolve_backward_input(&b.context, &c, wIn, dyIn, outX, accumulate);
            ccuda_plain_convolve_backward_weight(&b.context, &c, xIn, dyIn, outW, accumulate);
            b.expect(out, type, y);
            b.expect(outX, type, dx);
            b.expect(outW, reordered(c, dw, true));
        });
    }
}

}  // namespace on_host
