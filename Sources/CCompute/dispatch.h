// Inside CCompute: one table of functions per instruction set.
#pragma once
#include "CCompute.h"

typedef struct {
#define F(result, name, parameters, arguments) result (*name) parameters;
#include "functions.def"
#undef F
} loops_t;

extern const loops_t loops_generic;
#if defined(__x86_64__)
extern const loops_t loops_avx2, loops_avx512;
#elif defined(__aarch64__)
extern const loops_t loops_neon;
#endif
