// What the checks on a card share: tensors on both sides, comparing, timing, rows of the table.
#pragma once
#include "CCUDA.h"
#include "CCompute.h"
#include <stdbool.h>
#include <stddef.h>

/// The card, open; each group of checks has a process and a context of its own.
extern ccuda_context *card;

/// Values on the host, float32 whatever `type` is, and the same on the card.
typedef struct tensor {
    ccuda_type type;
    size_t n;
    float *host;
    void *card;
} tensor;

/// Random values of about unit variance times `scale`, rounded to `type`, on both sides.
tensor input(ccuda_type type, size_t n, float scale);
/// Random values between `low` and `high`.
tensor input_between(ccuda_type type, size_t n, float low, float high);
/// Room for a result: NaN on the card; on the host zeros, for the reference.
tensor output(ccuda_type type, size_t n);
/// The same values again, on memory of their own (for what is added to).
tensor copy_of(const tensor *t);

/// Begins a check: its name, the activations' type, and the shape in words.
__attribute__((format(printf, 3, 4)))
void begin(const char *name, ccuda_type type, const char *shape, ...);
/// Compares what the card has with what the host has, by the norm of the difference over the norm; the check's worst counts.
void expect(const tensor *t);
/// A check that is not a comparison.
__attribute__((format(printf, 2, 3)))
void expect_that(bool condition, const char *what, ...);
/// Ends the check: writes its row. A failure of the card is told, and cleared if it can be.
void end(void);
/// Ends a check that was to spoil the context.
void end_spoiled(void);
/// Around a shape's first call, in which its plan is made.
void start_of_first(void);
void end_of_first(void);
/// The work and the memory traffic of the check's function, for rates.
void costs(double operations, double bytes);

/// Times work: `for (repeat r = timing(); more(&r);) work;`. Runs it a number of times out of a recorded graph.
typedef struct repeat { int left; } repeat;
repeat timing(void);
bool more(repeat *r);

/// Whether a check of so many operations is left out: the emulated card works through each of them.
bool too_large(double operations);

/// The groups of checks.
void check_memory(void);
void check_failures(void);
void check_elementwise(void);
void check_reductions(void);
void check_norms(void);
void check_movement(void);
void check_training(void);
void check_products(void);
void check_convolutions(void);
void check_attention(void);
void check_attention_backward(void);
void check_recording(void);
