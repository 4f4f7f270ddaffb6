// The kernels on the processor (Tests/KernelsOnHost) as the emulated driver wants them.
#include "../KernelsOnHost/cuda_on_host.h"

extern "C" void *find_kernel(const char *name) { return const_cast<on_host::kernel *>(on_host::kernel::named(name)); }

extern "C" const char *run_kernel(void *kernel, const unsigned grid[3], unsigned block, unsigned sharedBytes, void **params) {
    return on_host::run((const on_host::kernel *)kernel, {grid[0], grid[1], grid[2]}, block, sharedBytes, params, on_host::order::shuffled);
}

/// Never given back: recorded work keeps it.
extern "C" void **copy_arguments(void *kernel, void **params) { return ((const on_host::kernel *)kernel)->copy(params); }
