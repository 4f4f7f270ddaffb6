#include "cases.h"

namespace on_host {

CASE(rows_of_slices) {
    const ptrdiff_t shapes[][4] = {{0, 4, 4, 4}, {3, 0, 1, 2}, {1, 1, 1, 1}, {4, 8, 8, 8}, {3, 5, 7, 6}, {9, 16, 24, 40}, {5, 300, 300, 301},
                                   {2, 1025, 1025, 1025}, {70, 3, 4, 3}};
    for (ccuda_type type : types) for (auto &s : shapes) report.check(named(type, s[0], s[1], s[2], s[3]), [&](bench &b) {
        ptrdiff_t xCount = s[0] > 0 ? (s[0] - 1) * s[2] + s[1] : 0, yCount = s[0] > 0 ? (s[0] - 1) * s[3] + s[1] : 0;
        values x = numbers(xCount, 40, type), before = numbers(yCount, 41, type), copied = before, sum = before;
        cc_copy_rows(s[0], s[1], x.data(), s[2], copied.data(), s[3]);
        cc_add_rows(s[0], s[1], x.data(), s[2], sum.data(), s[3]);
        const void *in = b.input(type, x);
        void *y = b.both(type, before), *z = b.both(type, before);
        ccuda_copy_rows(&b.context, type, s[0], s[1], in, s[2], y, s[3]);
        ccuda_add_rows(&b.context, type, s[0], s[1], in, s[2], z, s[3]);
        b.expect(y, type, copied);
        b.expect(z, type, sum);
    });
}

struct permutation { std::vector<ptrdiff_t> shape; std::vector<int> axes; };

CASE(transpositions) {
    const permutation all[] = {
        {{}, {}}, {{5}, {0}}, {{1, 1}, {1, 0}}, {{3, 0}, {1, 0}}, {{3, 5}, {1, 0}}, {{33, 70}, {1, 0}}, {{64, 32}, {1, 0}}, {{2, 3, 4}, {0, 1, 2}},
        {{2, 3, 4}, {2, 1, 0}}, {{3, 4, 7}, {1, 0, 2}}, {{5, 3, 16}, {1, 0, 2}}, {{2, 40, 9}, {0, 2, 1}}, {{7, 5, 3, 3}, {0, 2, 3, 1}},
        {{34, 3, 3, 37}, {0, 3, 1, 2}}, {{2, 3, 4, 5}, {3, 1, 0, 2}}, {{2, 3, 1, 4, 2, 3}, {4, 0, 5, 2, 1, 3}},
        {{2, 2, 2, 2, 2, 2, 2, 2}, {7, 5, 3, 1, 6, 4, 2, 0}}, {{2, 2, 2, 2, 2, 2, 2, 2}, {6, 4, 2, 0, 5, 3, 1, 7}},
    };
    for (ccuda_type type : types) for (const permutation &p : all) {
        ptrdiff_t n = 1;
        for (ptrdiff_t extent : p.shape) n *= extent;
        report.check(named(type, n, p.shape.size()), [&](bench &b) {
            values x = numbers(n, 42, type), expected((size_t)n);
            cc_transpose((int)p.shape.size(), p.shape.data(), p.axes.data(), x.data(), expected.data());
            void *y = b.output(type, n);
            ccuda_transpose(&b.context, type, (int)p.shape.size(), p.shape.data(), p.axes.data(), b.input(type, x), y);
            b.expect(y, type, expected);
        });
    }
}

CASE(upsampling) {
    const ptrdiff_t shapes[][4] = {{0, 2, 2, 3}, {1, 1, 1, 1}, {2, 3, 2, 5}, {1, 4, 5, 8}, {2, 2, 3, 320}, {1, 9, 7, 12}};
    for (ccuda_type type : types) for (auto &s : shapes) report.check(named(type, s[0], s[1], s[2], s[3]), [&](bench &b) {
        ptrdiff_t n = s[0] * s[1] * s[2] * s[3];
        values x = numbers(n, 43, type), dy = numbers(4 * n, 44, type), y((size_t)(4 * n)), dx((size_t)n);
        cc_upsample2(s[0], s[1], s[2], s[3], x.data(), y.data());
        cc_upsample2_backward(s[0], s[1], s[2], s[3], dy.data(), dx.data());
        void *out = b.output(type, 4 * n), *slope = b.output(type, n);
        ccuda_upsample2(&b.context, type, s[0], s[1], s[2], s[3], b.input(type, x), out);
        ccuda_upsample2_backward(&b.context, type, s[0], s[1], s[2], s[3], b.input(type, dy), slope);
        b.expect(out, type, y);
        b.expect(slope, type, dx);
    });
}

CASE(tables) {
    // count, n, rows of the table
    const ptrdiff_t shapes[][3] = {{0, 4, 5}, {1, 1, 1}, {5, 3, 4}, {9, 8, 6}, {40, 13, 7}, {3, 700, 2}, {300, 4, 11}};
    for (ccuda_type type : types) for (auto &s : shapes)
        for (int table = 0; table < 3; table++) report.check(named(type, s[0], s[1], s[2], table), [&](bench &b) {
        std::vector<int64_t> indices((size_t)s[0]);
        for (size_t i = 0; i < indices.size(); i++) indices[i] = (int64_t)(i * i * 7 + i / 3) % s[2];
        values x = numbers(s[0] * s[1], 45, type), rows = numbers(s[2] * s[1], 46, (ccuda_type)table), expected((size_t)(s[0] * s[1])), sums = rows;
        std::vector<ptrdiff_t> places(indices.begin(), indices.end());
        cc_gather_rows(s[0], s[1], rows.data(), CC_F32, places.data(), expected.data());
        cc_scatter_add_rows(s[0], s[1], x.data(), places.data(), sums.data());
        const int64_t *at = b.raw(indices);
        void *y = b.output(type, s[0] * s[1]);
        ccuda_gather_rows(&b.context, type, s[0], s[1], b.input((ccuda_type)table, rows), (ccuda_type)table, at, y);
        b.expect(y, type, expected);
        float *added = b.both(rows);
        ccuda_scatter_add_rows(&b.context, type, s[0], s[1], b.input(type, x), at, added);
        b.expect(added, sums);
    });
}

}  // namespace on_host
