// What the emulated libraries share.
#pragma once
#include "include/EmulatedCUDA.h"
#include <stdbool.h>
#include <stdint.h>

/// The status that a call of `symbol` answers by plan.
int emulated_answer(const char *symbol);
#define ANSWER do { int status = emulated_answer(__func__); if (status) return status; } while (0)

/// Does or records a piece of work; `job` is copied if need be.
int emulated_queue(void (*call)(void *job), const void *job, size_t bytes);

/// Numbers in memory: 0 float32, 2 float16, 14 and 9 bfloat16 (cuBLASLt's and cuDNN's).
double emulated_read(const void *values, int type, int64_t index);
void emulated_write(void *values, int type, int64_t index, double value);
