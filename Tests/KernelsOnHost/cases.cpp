#include "cases.h"
#include <mutex>
#include "KernelsOnHost.h"

namespace on_host {

const test_case *test_case::first = nullptr;

values numbers(ptrdiff_t count, unsigned seed, ccuda_type type, float low, float high) {
    values result((size_t)count);
    uint64_t state = seed * 0x9E3779B97F4A7C15u | 1;
    for (float &x : result) {
        state ^= state >> 12;  // xorshift64*, Vigna 2016
        state ^= state << 25;
        state ^= state >> 27;
        x = low + (float)(state * 0x2545F4914F6CDD1Du >> 40) / (float)(1 << 24) * (high - low);
    }
    return rounded(type, result);
}

void report::check(const std::string &what, const std::function<void(bench &)> &body) {
    if (onlyNames) bench::name_kernels(body);
    if (onlyNames || !fault.empty()) return;
    std::string wrong = bench::run(body);
    if (!wrong.empty()) fault = what + ": " + wrong;
}

static const test_case *case_at(int index) {
    const test_case *c = test_case::first;
    while (c && index-- > 0) c = c->next;
    return c;
}

}  // namespace on_host

using namespace on_host;

int koh_case_count(void) {
    int count = 0;
    while (case_at(count)) count++;
    return count;
}

const char *koh_case_name(int index) { return case_at(index)->name; }

static std::mutex one;  // the block that runs is the process'

const char *koh_run_case(int index) {
    static std::string text;
    std::lock_guard<std::mutex> lock(one);
    report report;
    case_at(index)->body(report);
    text = report.fault;
    return text.empty() ? nullptr : text.c_str();
}

const char *koh_kernel_not_run(int index) {
    std::lock_guard<std::mutex> lock(one);
    static bool named = false;
    report names;
    names.onlyNames = true;
    for (int i = 0; !named && case_at(i); i++) case_at(i)->body(names);
    named = true;
    for (const kernel *k = kernel::first; k; k = k->next) if (!kernelsNamed.count(k->name) && index-- == 0) return k->name;
    return nullptr;
}

void *koh_find_kernel(const char *name) { return (void *)kernel::named(name); }

const char *koh_run_kernel(void *kernel, const unsigned grid[3], unsigned block, unsigned sharedBytes, void **params) {
    std::lock_guard<std::mutex> lock(one);
    return run((const struct kernel *)kernel, {grid[0], grid[1], grid[2]}, block, sharedBytes, params, order::ascending);
}

void **koh_copy_arguments(void *kernel, void **params) { return ((const struct kernel *)kernel)->copy(params); }

#ifdef KERNELS_ON_HOST_ALONE
/// A program of its own, for planting faults: runs the cases named, or all; ends with 1 at the first that fails, saying why.
int main(int count, char **arguments) {
    cc_set_isa(CC_ISA_GENERIC);
    for (int i = 0; i < koh_case_count(); i++) {
        bool wanted = count == 1;
        for (int j = 1; j < count; j++) wanted = wanted || strcmp(arguments[j], koh_case_name(i)) == 0;
        const char *fault = wanted ? koh_run_case(i) : nullptr;
        if (fault) { printf("%s: %s\n", koh_case_name(i), fault); return 1; }
    }
    if (count == 1 && koh_kernel_not_run(0)) { printf("%s was not run\n", koh_kernel_not_run(0)); return 1; }
    return 0;
}
#endif
