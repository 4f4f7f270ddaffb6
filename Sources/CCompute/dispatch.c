// Chooses the instruction set at run time and forwards the public functions to it.
#include "dispatch.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const loops_t *table(cc_isa isa) {
    switch (isa) {
    case CC_ISA_GENERIC: return &loops_generic;
#if defined(__x86_64__)
    case CC_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") ? &loops_avx2 : NULL;
    case CC_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl") ? &loops_avx512 : NULL;
#elif defined(__aarch64__)
    case CC_ISA_NEON: return &loops_neon;
#endif
    default: return NULL;
    }
}

static const cc_isa widestFirst[] = {CC_ISA_AVX512, CC_ISA_AVX2, CC_ISA_NEON, CC_ISA_GENERIC};
enum { isaCount = sizeof widestFirst / sizeof *widestFirst };
static _Atomic(const loops_t *) current = NULL;
static atomic_int currentISA = CC_ISA_GENERIC;

/// Uses the instruction set that LORALAB_ISA names. Returns false, and says why where it names one that cannot be had here, if there is none.
static bool use_named_isa(void) {
    const char *name = getenv("LORALAB_ISA");
    if (!name || !*name) return false;
    for (int i = 0; i < isaCount; i++) if (strcmp(name, cc_isa_name(widestFirst[i])) == 0 && cc_set_isa(widestFirst[i])) return true;
    fprintf(stderr, "LORALAB_ISA=%.32s: this machine has", name);
    const char *separator = " ";
    for (int i = 0; i < isaCount; i++) if (cc_supports_isa(widestFirst[i])) {
        fprintf(stderr, "%s%s", separator, cc_isa_name(widestFirst[i]));
        separator = ", ";
    }
    fputs("; the first of them is used.\n", stderr);
    return false;
}

static void choose_isa(void) {
    if (use_named_isa()) return;
    for (int i = 0; !cc_set_isa(widestFirst[i]); i++) {}  // ends: the generic one runs everywhere
}

static const loops_t *loops(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const loops_t *known = atomic_load_explicit(&current, memory_order_acquire);
    if (known) return known;
    pthread_once(&once, choose_isa);
    return atomic_load(&current);
}

bool cc_supports_isa(cc_isa isa) { return table(isa) != NULL; }

bool cc_set_isa(cc_isa isa) {
    const loops_t *chosen = table(isa);
    if (!chosen) return false;
    atomic_store(&currentISA, (int)isa);
    atomic_store_explicit(&current, chosen, memory_order_release);
    return true;
}

cc_isa cc_current_isa(void) {
    loops();
    return (cc_isa)atomic_load(&currentISA);
}

const char *cc_isa_name(cc_isa isa) {
    static const char *const names[] = {"generic", "avx2", "avx512", "neon"};
    return isa <= CC_ISA_NEON ? names[isa] : "unknown";
}

#define F(result, name, parameters, arguments) result cc_##name parameters { return loops()->name arguments; }
#include "functions.def"
#undef F

ptrdiff_t cc_conv_out_height(const cc_conv *c) { return (c->height + c->padTop + c->padBottom - c->kernelHeight) / c->stride + 1; }
ptrdiff_t cc_conv_out_width(const cc_conv *c) { return (c->width + c->padLeft + c->padRight - c->kernelWidth) / c->stride + 1; }
