// Inside CCompute: what the loops need of the pool and of scratch memory.
#pragma once
#include "CCompute.h"

/// A block of at least `count` floats, aligned to 64 bytes, with unspecified contents. Give it back with `scratch_release`.
float *scratch_take(ptrdiff_t count);
void scratch_release(float *block);
