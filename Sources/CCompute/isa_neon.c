// Every loop for 64-bit Arm, whose baseline has NEON and fused multiply-add.
#if defined(__aarch64__)
#define LANES 4
#define LOOPS loops_neon
#include "loops/all.h"
#endif
