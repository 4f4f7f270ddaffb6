// Every loop for AVX2 with fused multiply-add and F16C.
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#define LANES 8
#define HAS_F16C 1
#define LOOPS loops_avx2
#include "loops/all.h"
#pragma clang attribute pop
#endif
