// The cases: each compares a family of kernels, as launch.c runs them, with CCompute's loops or with plain loops in double.
#pragma once
#include <string>
#include "bench.h"

namespace on_host {

/// Checks one family over its sizes; ends at the first fault.
class report {
public:
    std::string fault;
    bool onlyNames = false;  // kernels are named, not run

    /// Runs `body` in every order. `what` names the size, for the message.
    void check(const std::string &what, const std::function<void(bench &)> &body);
};

/// A case that has made itself known.
struct test_case {
    const char *name;
    void (*body)(report &);
    const test_case *next;
    static const test_case *first;
    test_case(const char *name, void (*body)(report &)) : name(name), body(body), next(first) { first = this; }
};
#define CASE(name) \
    static void name(on_host::report &report); \
    static const on_host::test_case name##_known(#name, &name); \
    static void name(on_host::report &report)

/// Both types of activations.
static const ccuda_type types[] = {CCUDA_F32, CCUDA_BF16};

/// Counts around runs of 4 and 8, warps and blocks of one type or the other.
static const ptrdiff_t counts[] = {0, 1, 3, 4, 5, 7, 8, 9, 31, 33, 255, 1023, 1024, 1025, 2047, 2053, 5000};

/// `count` numbers between `low` and `high`, rounded to `type`; others for each `seed`.
values numbers(ptrdiff_t count, unsigned seed, ccuda_type type = CCUDA_F32, float low = -2, float high = 2);

/// What a shape is called in a message.
template <typename... N> std::string named(ccuda_type type, N... sizes) {
    std::string text = type == CCUDA_F32 ? "float32" : "bfloat16";
    ((text += " " + std::to_string(sizes)), ...);
    return text;
}

// launch.c's text for the tests' own context, once in each file of cases.
void *ccuda_scratch(ccuda_context *, size_t bytes);
void ccuda_fail(ccuda_context *context, ccuda_kind, const char *text);
void ccuda_upload(ccuda_context *, void *to, const void *host, size_t bytes);
void ccuda_launch(ccuda_context *context, const char *name, ccuda_type type, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned block,
                  unsigned sharedBytes, void **params);
#pragma clang diagnostic ignored "-Wunused-function"
namespace {
#include "../../Sources/CCUDA/launch.c"
}

}  // namespace on_host
