// Mapped files that outlive a cut. Reading a page that the file no longer has raises SIGBUS in the reading thread. The handler puts zeros in
// its place, marks the mapping and lets the thread read on; whoever computes with the bytes asks for the mark before a result is used.
#define _GNU_SOURCE
#include "CMemory.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/// The handler may interrupt any thread at any place, so it takes no lock: the list only grows, and places in it are used again.
struct cm_mapping {
    _Atomic uintptr_t start, end;   // whole pages
    atomic_uint phase;              // odd while the mapping stands; changes before and after `start` and `end` do
    atomic_bool isTaken, isDamaged;
    cm_mapping *next;
};

static _Atomic(cm_mapping *) mappings;
static struct sigaction former;
static uintptr_t pageSize;

/// The mapping that stands at an address. One that is opened or closed meanwhile is another thread's and passed over.
static cm_mapping *mapping_at(uintptr_t address) {
    for (cm_mapping *mapping = atomic_load(&mappings); mapping; mapping = mapping->next) {
        unsigned phase = atomic_load(&mapping->phase);
        bool isInside = address >= atomic_load(&mapping->start) && address < atomic_load(&mapping->end);
        if (isInside && phase % 2 == 1 && atomic_load(&mapping->phase) == phase) return mapping;
    }
    return NULL;
}

/// Puts zeros from a lost page on: what a cut leaves is the start of a file, and a signal for every page would take its time.
static bool fill(cm_mapping *mapping, uintptr_t address) {
    uintptr_t start = address / pageSize * pageSize;
    atomic_store(&mapping->isDamaged, true);    // first: another thread may read the zeros as soon as they are there
    return mmap((void *)start, atomic_load(&mapping->end) - start, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void pass_on(int number, siginfo_t *info, void *context) {
    if (former.sa_flags & SA_SIGINFO) {
        former.sa_sigaction(number, info, context);
    } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
        former.sa_handler(number);
    } else if (former.sa_handler == SIG_DFL || info->si_code > 0) {    // a fault cannot be ignored
        signal(number, SIG_DFL);
        raise(number);          // held back until the handler returns
    }
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    int error = errno;
    cm_mapping *mapping = info->si_code > 0 ? mapping_at((uintptr_t)info->si_addr) : NULL;     // not positive: sent by somebody
    if (!mapping || !fill(mapping, (uintptr_t)info->si_addr)) pass_on(number, info, context);
    errno = error;
}

static void install(void) {
    pageSize = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    action.sa_sigaction = on_bus_error;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &former);
}

/// A place in the list that nobody else has.
static cm_mapping *take_place(void) {
    for (cm_mapping *mapping = atomic_load(&mappings); mapping; mapping = mapping->next) {
        if (!atomic_exchange(&mapping->isTaken, true)) return mapping;
    }
    cm_mapping *mapping = calloc(1, sizeof *mapping);
    if (!mapping) return NULL;
    atomic_store(&mapping->isTaken, true);
    mapping->next = atomic_load(&mappings);
    while (!atomic_compare_exchange_weak(&mappings, &mapping->next, mapping)) {}
    return mapping;
}

cm_mapping *cm_mapping_open(int descriptor, size_t count) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    size_t bytes = (count + pageSize - 1) / pageSize * pageSize;
    cm_mapping *mapping = take_place();
    if (!mapping) return NULL;
    void *start = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (start == MAP_FAILED) {
        atomic_store(&mapping->isTaken, false);
        return NULL;
    }
    atomic_store(&mapping->isDamaged, false);
    atomic_store(&mapping->start, (uintptr_t)start);
    atomic_store(&mapping->end, (uintptr_t)start + bytes);
    atomic_fetch_add(&mapping->phase, 1);
    return mapping;
}

const void *cm_mapping_bytes(const cm_mapping *mapping) { return (const void *)atomic_load(&mapping->start); }

bool cm_mapping_is_damaged(const cm_mapping *mapping) { return atomic_load(&mapping->isDamaged); }

void cm_mapping_close(cm_mapping *mapping) {
    uintptr_t start = atomic_load(&mapping->start), end = atomic_load(&mapping->end);
    atomic_fetch_add(&mapping->phase, 1);       // before the addresses become somebody else's
    munmap((void *)start, end - start);
    atomic_store(&mapping->isTaken, false);
}
