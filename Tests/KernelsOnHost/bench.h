// A bench on which a case runs kernels: operands in guarded memory, every order of threads, expectations.
#pragma once
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>
#include "CCUDA.h"
#include "CCompute.h"
#include "cuda_on_host.h"

namespace on_host {

typedef std::vector<float> values;

/// A context of the tests' own, so that launch.c's text runs here with kernels on the processor.
struct ccuda_context {
    order order = order::ascending;
    std::string fault;
    bool onlyNames = false;  // kernels are named, not run
};

/// Relative error (Euclidean norm) that is allowed.
static constexpr double floatTolerance = 1e-5, halfTolerance = 4e-3;

/// Runs of one body: each order of threads, operands aligned to 16 bytes and not. Every run must give the same bits; what lies around operands
/// and operands that are only read must stay as they were; the result must be what is expected.
class bench {
public:
    ccuda_context context;

    /// Copies of operands in guarded memory, in the format `type` (`values` are rounded to it).
    const void *input(ccuda_type type, const values &values);
    const float *input(const values &values) { return (const float *)input(CCUDA_F32, values); }
    template <typename V> const V *raw(const std::vector<V> &values) {
        return (const V *)place(values.data(), values.size() * sizeof(V), sizeof(V), false);
    }
    /// Memory full of NaN.
    void *output(ccuda_type type, ptrdiff_t count);
    template <typename V> V *raw_output(size_t count) { return (V *)place(nullptr, count * sizeof(V), sizeof(V), true); }
    float *output(ptrdiff_t count) { return (float *)output(CCUDA_F32, count); }
    /// An operand that is read and written.
    void *both(ccuda_type type, const values &values);
    float *both(const values &values) { return (float *)both(CCUDA_F32, values); }

    /// What an output must hold. `type` is what it holds; the tolerance is that of `type`.
    void expect(const void *output, ccuda_type type, const values &expected);
    void expect(const float *output, const values &expected) { expect(output, CCUDA_F32, expected); }
    void expect_bits(const void *output, const void *expected, size_t bytes);
    void launch(const char *name, unsigned grid, unsigned block, void **parameters);

    /// Runs `body` in every way. Returns what was wrong, or nothing.
    static std::string run(const std::function<void(bench &)> &body);
    /// Goes through `body` without running its kernels: for `kernelsNamed`.
    static void name_kernels(const std::function<void(bench &)> &body);

private:
    struct region { char *data; size_t bytes, slack; bool written; std::vector<char> before; };
    std::vector<region> regions;
    bool aligned = true;
    std::string wrong;

    void *place(const void *data, size_t bytes, size_t element, bool written);
    void check_surroundings();
    std::vector<char> results() const;
    void complain(const std::string &text) { if (wrong.empty()) wrong = text; }
};

values widened(ccuda_type type, const void *data, size_t count);
/// `values` as they are after rounding to `type`.
values rounded(ccuda_type type, const values &values);

/// Kernels that cases have asked for.
extern std::set<std::string> kernelsNamed;

}  // namespace on_host
