// NVIDIA's libraries as tables of functions, found and opened when they are asked for.
#pragma once
#include "include/CCUDA.h"

/// cuBLASLt's way of doing a product; opaque, but of this size.
typedef struct blas_algorithm { uint64_t data[8]; } blas_algorithm;
/// A way that cuBLASLt proposes.
typedef struct blas_candidate {
    blas_algorithm algorithm;
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
} blas_candidate;

#define F(library, result, name, symbol, parameters) result (*library##_##name) parameters;
/// All functions, prefixed with their library: `cuda.driver_init`.
typedef struct cuda_functions {
#include "libraries.def"
} cuda_functions;
#undef F

/// Which library; also the index into `ccuda_find_libraries`' answer.
typedef enum cuda_library { LIBRARY_driver, LIBRARY_nvrtc, LIBRARY_blas, LIBRARY_dnn } cuda_library;

/// The functions of the libraries that are open.
extern cuda_functions cuda;

/// Opens a library unless it is open. Returns false, and the reason in `error`, if that cannot be done.
bool cuda_open_library(cuda_library library, ccuda_error *error);
/// Opens the driver and starts it; finds out whether it is new enough.
bool cuda_open_driver(ccuda_error *error);
/// NVRTC's version, 1300 for 13.0; it is open.
int cuda_compiler_version(void);
/// cuDNN's version, 91900 for 9.19.0, or 0 if it is not open.
int cuda_dnn_version(void);

/// Fills `error`, formatted as by printf.
__attribute__((format(printf, 3, 4)))
void cuda_set_error(ccuda_error *error, ccuda_kind kind, const char *format, ...);
