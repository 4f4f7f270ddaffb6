// The thread pool. One call at a time owns the workers; its items are handed out in pieces from an atomic counter, so a
// thread that is held up by other work on the machine delays nothing but its own piece.
#define _GNU_SOURCE
#include "pool.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { maxThreads = 256, spinNanoseconds = 100000 };

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;  // held by the call whose job is on the pool
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;   // guards `job`, `isOpen`, `active` and `started`
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;     // a job has been opened
static pthread_cond_t left = PTHREAD_COND_INITIALIZER;     // the last worker has left the job

typedef struct { cc_body body; void *context; ptrdiff_t n, grain; int threads; } job_t;
static job_t job;
static bool isOpen = false;                                // workers may still join the job
static int started = 0;                                    // worker threads running (the caller is one more)
static atomic_int active = 0;                              // workers inside the job
static atomic_uint generation = 0;                         // counts jobs; a change is what workers wait for
static _Atomic ptrdiff_t next = 0;                         // first item not handed out yet
static atomic_int wanted = 0;                              // threads asked for; 0: not asked yet
static _Thread_local bool insideBody = false;

static int processors(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (int)count : 1;
}

int cc_threads(void) {
    int count = atomic_load(&wanted);
    if (count == 0) {
        count = processors();
        if (count > maxThreads) count = maxThreads;
        atomic_store(&wanted, count);
    }
    return count;
}

void cc_set_threads(int count) {
    if (count <= 0) count = processors();
    atomic_store(&wanted, count > maxThreads ? maxThreads : count);
}

static void take_pieces(const job_t *job, int worker) {
    for (;;) {
        ptrdiff_t begin = atomic_fetch_add(&next, job->grain);
        if (begin >= job->n) return;
        ptrdiff_t end = begin + job->grain < job->n ? begin + job->grain : job->n;
        job->body(job->context, begin, end, worker);
    }
}

static int64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// Waits until the generation differs from `seen`: a short spin, then sleep.
static unsigned await_job(unsigned seen) {
    int64_t limit = nanoseconds() + spinNanoseconds;
    do {
        for (int i = 0; i < 64; i++) {
            unsigned now = atomic_load_explicit(&generation, memory_order_acquire);
            if (now != seen) return now;
            relax();
        }
    } while (nanoseconds() < limit);
    pthread_mutex_lock(&lock);
    while (atomic_load(&generation) == seen) pthread_cond_wait(&wake, &lock);
    unsigned now = atomic_load(&generation);
    pthread_mutex_unlock(&lock);
    return now;
}

typedef struct { int worker; unsigned seen; } worker_start;

static void *work(void *argument) {
    worker_start start = *(worker_start *)argument;
    free(argument);
#ifdef __linux__
    setpriority(PRIO_PROCESS, (id_t)gettid(), 1);  // threads that answer messages go first; may fail, harmless
#endif
    insideBody = true;
    for (unsigned seen = start.seen;;) {
        seen = await_job(seen);
        pthread_mutex_lock(&lock);
        bool joins = isOpen && start.worker < job.threads;
        job_t mine = job;
        if (joins) atomic_fetch_add(&active, 1);
        pthread_mutex_unlock(&lock);
        if (!joins) continue;
        take_pieces(&mine, start.worker);
        pthread_mutex_lock(&lock);
        if (atomic_fetch_sub(&active, 1) == 1) pthread_cond_signal(&left);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/// Starts workers until `count` threads, the caller included, can share a job. Signals stay with the threads the program knows, but for
/// faults of a worker's own: a mapped file that is cut must not end the process (CMemory), which a fault that is blocked does.
static void start_workers(int count) {
    if (started + 1 >= count) return;
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    while (started + 1 < count) {
        worker_start *start = malloc(sizeof *start);
        if (!start) break;
        *start = (worker_start){started + 1, atomic_load(&generation)};
        pthread_t thread;
        if (pthread_create(&thread, &attributes, work, start) != 0) { free(start); break; }  // go on with fewer
        started++;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_inline(const job_t *job) {
    bool before = insideBody;
    insideBody = true;
    for (ptrdiff_t begin = 0; begin < job->n; begin += job->grain)
        job->body(job->context, begin, begin + job->grain < job->n ? begin + job->grain : job->n, 0);
    insideBody = before;
}

/// Opens the job to the workers.
static void open_job(const job_t *mine) {
    pthread_mutex_lock(&lock);
    start_workers(mine->threads);
    job = *mine;
    isOpen = true;
    atomic_store(&next, 0);
    atomic_fetch_add_explicit(&generation, 1, memory_order_release);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
}

/// Lets no more workers in and waits for those inside. One that never got to run is not waited for.
static void close_job(void) {
    pthread_mutex_lock(&lock);
    isOpen = false;
    pthread_mutex_unlock(&lock);
    int64_t limit = nanoseconds() + spinNanoseconds;
    while (atomic_load(&active) > 0 && nanoseconds() < limit) for (int i = 0; i < 64 && atomic_load_explicit(&active, memory_order_relaxed) > 0; i++) relax();
    pthread_mutex_lock(&lock);
    while (atomic_load(&active) > 0) pthread_cond_wait(&left, &lock);
    pthread_mutex_unlock(&lock);
}

void cc_parallel_for(ptrdiff_t n, ptrdiff_t grain, cc_body body, void *context) {
    if (n <= 0) return;
    job_t mine = {body, context, n, grain < 1 ? 1 : grain, cc_threads()};
    if (insideBody || mine.threads == 1 || n <= mine.grain) { run_inline(&mine); return; }
    pthread_mutex_lock(&owner);
    open_job(&mine);
    insideBody = true;
    take_pieces(&mine, 0);
    insideBody = false;
    close_job();
    pthread_mutex_unlock(&owner);
}
