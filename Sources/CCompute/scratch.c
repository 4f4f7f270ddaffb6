// Memory from the system: mappings, and scratch blocks that are kept for the next call, so that a training step that repeats asks for nothing.
#define _GNU_SOURCE
#include "pool.h"
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { slots = 64, headerBytes = 64, mappedFrom = 64 << 10, hugePage = 2 << 20 };

typedef struct { size_t bytes; } header_t;

void *cc_map(size_t bytes) {
    size_t spare = bytes >= 2 * hugePage ? hugePage : 0;
    char *start = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    if (!spare) return start;
    // Huge pages begin at multiples of their size. What lies before the first and after the block goes back.
    size_t before = -(uintptr_t)start % hugePage;
    if (before > 0) munmap(start, before);
    munmap(start + before + bytes, spare - before);
    madvise(start + before, bytes, MADV_HUGEPAGE);
    return start + before;
}

void *cc_remap(void *pointer, size_t bytes, size_t wanted) {
    void *moved = mremap(pointer, bytes, wanted, MREMAP_MAYMOVE);
    return moved == MAP_FAILED ? NULL : moved;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static header_t *kept[slots];
static int keptCount = 0;
static size_t heldBytes = 0;

/// The smallest kept block that fits without wasting more than half of it.
static header_t *take_kept(size_t bytes) {
    int best = -1;
    for (int i = 0; i < keptCount; i++) {
        if (kept[i]->bytes < bytes || kept[i]->bytes > 2 * bytes + 4096) continue;
        if (best < 0 || kept[i]->bytes < kept[best]->bytes) best = i;
    }
    if (best < 0) return NULL;
    header_t *block = kept[best];
    kept[best] = kept[--keptCount];
    return block;
}

static void discard(header_t *block) {
    heldBytes -= block->bytes;
    if (block->bytes >= mappedFrom) munmap(block, block->bytes); else free(block);
}

float *scratch_take(ptrdiff_t count) {
    size_t bytes = ((size_t)(count > 0 ? count : 1) * sizeof(float) + headerBytes + 4095) & ~(size_t)4095;
    pthread_mutex_lock(&lock);
    header_t *block = take_kept(bytes);
    if (!block) {
        block = bytes >= mappedFrom ? cc_map(bytes) : aligned_alloc(64, bytes);
        if (!block) {
            fprintf(stderr, "LoRALab: out of memory: %zu bytes of scratch memory were asked for\n", bytes);
            abort();
        }
        block->bytes = bytes;
        heldBytes += bytes;
    }
    pthread_mutex_unlock(&lock);
    return (float *)((char *)block + headerBytes);
}

void scratch_release(float *pointer) {
    if (!pointer) return;
    header_t *block = (header_t *)((char *)pointer - headerBytes);
    pthread_mutex_lock(&lock);
    if (keptCount == slots) discard(kept[--keptCount]);
    kept[keptCount++] = block;
    pthread_mutex_unlock(&lock);
}

void cc_trim(void) {
    pthread_mutex_lock(&lock);
    while (keptCount > 0) discard(kept[--keptCount]);
    pthread_mutex_unlock(&lock);
    malloc_trim(0);
}

size_t cc_scratch_bytes(void) {
    pthread_mutex_lock(&lock);
    size_t bytes = heldBytes;
    pthread_mutex_unlock(&lock);
    return bytes;
}
