// Every loop for AVX-512 (F, BW, DQ, VL).
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#define LANES 16
#define HAS_F16C 1
#define LOOPS loops_avx512
#include "loops/all.h"
#pragma clang attribute pop
#endif
