// Module Kernel.
