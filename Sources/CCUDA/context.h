// What an open card is made of, and how every function begins and ends.
#pragma once
#include "libraries.h"
#include <pthread.h>
#include <stdatomic.h>

/// A block that grows: the outgrown ones are kept until the end, since recorded work may hold their addresses.
typedef struct block {
    void *pointer;
    size_t bytes;
    void *outgrown[32];
    int outgrownCount;
} block;

/// Pinned memory on the way to the card, in parts that are used in turn; a part is used again once the card has read it.
enum { STAGING_PARTS = 8, STAGING_BYTES = 2 << 20 };
typedef struct staging {
    uint8_t *memory;
    void *read[STAGING_PARTS];
    int part;
    size_t used;
} staging;

/// Kernels and plans by the bytes of their key.
typedef struct table_entry { uint64_t hash; size_t length; void *key, *value; } table_entry;
typedef struct table { table_entry *entries; size_t capacity, count; } table;

/// The value under a key, or NULL.
void *table_find(const table *t, const void *key, size_t length);
/// Keeps a value under a key that is not there yet; the key is copied.
void table_insert(table *t, const void *key, size_t length, void *value);
/// Forgets everything, handing each value to `destroy`.
void table_clear(table *t, void (*destroy)(void *value));
/// FNV-1a, continued from `hash`.
uint64_t table_hash(uint64_t hash, const void *bytes, size_t length);

struct ccuda_context {
    pthread_mutex_t lock;
    atomic_bool failed;
    ccuda_error failure;

    unsigned serial;
    int device;
    ccuda_properties properties;
    void *primary, *stream;
    staging staging;
    /// `scratch` is for our kernels, `workspace` for the libraries, `between` for tensors within a plan, `trial` for results of
    /// timed candidates.
    block scratch, workspace, between, trial;
    bool recording, tuning, checking;

    void **modules;
    int moduleCount;
    table functions, products, plans;
    void *blas, *dnn;
};

/// Begins a call: takes the lock and makes the context this thread's. Returns false, and takes nothing, after a failure.
bool cuda_enter(ccuda_context *context);
/// Ends it.
void cuda_leave(ccuda_context *context);

/// Whether a call of the driver succeeded; if not, the failure says what it was `doing`.
bool cuda_check(ccuda_context *context, int status, const char *doing);
/// Keeps a failure unless there is one; the lock is held.
__attribute__((format(printf, 3, 4)))
void cuda_fail(ccuda_context *context, ccuda_kind kind, const char *format, ...);
/// At least `bytes` in a block, or NULL and a failure; the lock is held.
void *cuda_block(ccuda_context *context, block *b, size_t bytes);

/// Makes and ends what cuBLASLt and cuDNN keep.
bool cuda_products_open(ccuda_context *context, ccuda_error *error);
void cuda_products_close(ccuda_context *context);
bool cuda_plans_open(ccuda_context *context, ccuda_error *error);
void cuda_plans_close(ccuda_context *context);
/// Unloads kernels.
void cuda_kernels_close(ccuda_context *context);

/// Milliseconds of one of several ways to do the same, by the second run of two; negative if it fails.
float cuda_time(ccuda_context *context, bool (*run)(ccuda_context *context, void *job), void *job);
