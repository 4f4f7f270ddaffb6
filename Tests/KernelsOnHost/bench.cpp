#include "bench.h"
#include <sys/mman.h>

namespace on_host {

std::set<std::string> kernelsNamed;

values widened(ccuda_type type, const void *data, size_t count) {
    values result(count);
    cc_convert((ptrdiff_t)count, data, (cc_dtype)type, result.data(), CC_F32);
    return result;
}

static std::vector<char> narrowed(ccuda_type type, const values &values) {
    std::vector<char> result(values.size() * ccuda_type_size(type));
    cc_convert((ptrdiff_t)values.size(), values.data(), CC_F32, result.data(), (cc_dtype)type);
    return result;
}

values rounded(ccuda_type type, const values &values) { return widened(type, narrowed(type, values).data(), values.size()); }

// MARK: - Guarded memory

enum { arenaBytes = 16 << 20, arenas = 24, margin = 256 };

/// Memory whose end, and whose beginning, must not be crossed: the pages beyond are closed.
static char *arena(size_t index) {
    static char *all[arenas];
    if (!all[index]) {
        char *pages = (char *)mmap(nullptr, arenaBytes + 2 * 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        all[index] = pages + 65536;
        mprotect(all[index], arenaBytes, PROT_READ | PROT_WRITE);
    }
    return all[index];
}

/// A place for `bytes` at the end of an arena: at the last address that 16 divides, or at the last that it does not. One of the two leaves
/// nothing between the operand and the closed page. All around is NaN.
static char *place_in(char *arena, size_t bytes, size_t element, bool aligned, size_t *slack) {
    uintptr_t end = (uintptr_t)arena + arenaBytes, start = end - bytes;
    if (aligned) start &= ~(uintptr_t)15;
    else if (start % 16 == 0) start -= element;
    *slack = end - start - bytes;
    memset((char *)start - margin, 0xff, end - start + margin);
    return (char *)start;
}

static char *scratchStart;

void *ccuda_scratch(ccuda_context *, size_t bytes) {
    size_t slack;
    return scratchStart = place_in(arena(0), bytes, 8, true, &slack);
}

void ccuda_fail(ccuda_context *context, ccuda_kind, const char *text) { context->fault = text; }

void ccuda_upload(ccuda_context *, void *to, const void *host, size_t bytes) { memcpy(to, host, bytes); }

void ccuda_launch(ccuda_context *context, const char *name, ccuda_type type, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned block,
                  unsigned sharedBytes, void **params) {
    static const char *const suffixes[] = {"_f32", "_f16", "_bf16"};
    std::string full = std::string(name) + suffixes[type];
    const kernel *k = kernel::named(full.c_str());
    if (!context->fault.empty()) return;
    if (!k) { context->fault = "there is no kernel " + full; return; }
    kernelsNamed.insert(full);
    if (context->onlyNames) return;
    const char *fault = run(k, {gridX, gridY, gridZ}, block, sharedBytes, params, context->order);
    if (fault) context->fault = full + ": " + fault;
}

// MARK: - Operands

void *bench::place(const void *data, size_t bytes, size_t element, bool written) {
    size_t slack;
    if (regions.size() + 1 >= arenas || bytes > arenaBytes / 2) { complain("a case with too many or too large operands"); abort(); }
    char *start = place_in(arena(regions.size() + 1), bytes, element, aligned, &slack);
    if (data) memcpy(start, data, bytes);
    regions.push_back({start, bytes, slack, written, std::vector<char>(start, start + bytes)});
    return start;
}

const void *bench::input(ccuda_type type, const values &values) {
    std::vector<char> data = narrowed(type, values);
    return place(data.data(), data.size(), ccuda_type_size(type), false);
}
void *bench::both(ccuda_type type, const values &values) {
    std::vector<char> data = narrowed(type, values);
    return place(data.data(), data.size(), ccuda_type_size(type), true);
}
void *bench::output(ccuda_type type, ptrdiff_t count) { return place(nullptr, (size_t)count * ccuda_type_size(type), ccuda_type_size(type), true); }

void bench::launch(const char *name, unsigned grid, unsigned block, void **parameters) {
    ccuda_launch(&context, name, CCUDA_F32, grid, 1, 1, block, 0, parameters);
}

// MARK: - Expectations

static std::string unlike(size_t i, float found, float expected) {
    return "element " + std::to_string(i) + " is " + std::to_string(found) + ", expected " + std::to_string(expected);
}

/// Empty, or how far `found` is from `expected`: in norm, and in single elements (a wrong one may drown among many).
static std::string difference(const values &found, const values &expected, double tolerance) {
    double error = 0, size = 0;
    for (size_t i = 0; i < found.size(); i++) {
        float f = found[i], e = expected[i];
        bool special = std::isnan(e) || std::isinf(e);
        if (special ? !(f == e || (std::isnan(f) && std::isnan(e))) : !std::isfinite(f))
            return unlike(i, f, e);
        if (special) continue;
        error += ((double)f - e) * ((double)f - e);
        size += (double)e * e;
    }
    double typical = found.empty() ? 0 : std::sqrt(size / (double)found.size());
    if (std::sqrt(error) > tolerance * std::sqrt(size) + 1e-12)
        return "the relative error over " + std::to_string(found.size()) + " elements is " + std::to_string(std::sqrt(error / (size + 1e-30)));
    for (size_t i = 0; i < found.size(); i++) {
        if (!std::isfinite(expected[i])) continue;
        double worst = std::fabs((double)found[i] - expected[i]) / (std::fabs((double)expected[i]) + typical + 1e-30);
        if (worst > 10 * tolerance) return unlike(i, found[i], expected[i]);
    }
    return "";
}

void bench::expect(const void *output, ccuda_type type, const values &expected) {
    std::string text = difference(widened(type, output, expected.size()), expected, type == CCUDA_F32 ? floatTolerance : halfTolerance);
    if (!text.empty()) complain(text);
}

void bench::expect_bits(const void *output, const void *expected, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (((const char *)output)[i] != ((const char *)expected)[i]) { complain("byte " + std::to_string(i) + " differs"); return; }
}

static bool is_poison(const char *from, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) if (from[i] != (char)0xff) return false;
    return true;
}

void bench::check_surroundings() {
    for (size_t i = 0; i < regions.size(); i++) {
        const region &r = regions[i];
        std::string name = "operand " + std::to_string(i);
        if (!is_poison(r.data - margin, margin) || !is_poison(r.data + r.bytes, r.slack)) complain(name + " was written outside of its bounds");
        if (!r.written && memcmp(r.data, r.before.data(), r.bytes) != 0) complain(name + " is an input and was changed");
    }
    if (scratchStart && !is_poison(scratchStart - margin, margin)) complain("scratch memory was written outside of its bounds");
}

std::vector<char> bench::results() const {
    std::vector<char> all;
    for (const region &r : regions) if (r.written) all.insert(all.end(), r.data, r.data + r.bytes);
    return all;
}

void bench::name_kernels(const std::function<void(bench &)> &body) {
    bench b;
    b.context.onlyNames = true;
    body(b);
}

std::string bench::run(const std::function<void(bench &)> &body) {
    static const char *const names[] = {"ascending", "descending", "shuffled"};
    std::vector<char> first;
    for (bool aligned : {true, false}) for (order order : {order::ascending, order::descending, order::shuffled}) {
        bench b;
        b.context.order = order;
        b.aligned = aligned;
        scratchStart = nullptr;
        body(b);
        if (!b.context.fault.empty()) b.wrong = b.context.fault;
        b.check_surroundings();
        std::vector<char> results = b.results();
        bool isFirst = aligned && order == order::ascending;
        if (isFirst) first = results;
        else if (results != first) b.complain("the bits differ from those of another order of threads or another alignment");
        if (!b.wrong.empty()) return b.wrong + " (threads " + names[(int)order] + (aligned ? ")" : ", unaligned)");
    }
    return "";
}

}  // namespace on_host
