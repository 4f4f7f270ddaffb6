// Runs the threads of a block as fibers.
#include <csignal>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>
#include "cuda_on_host.h"

extern "C" char __start_cuda_shared[], __stop_cuda_shared[];  // the linker's: where `__shared__` variables lie

namespace on_host {

block now;
const kernel *kernel::first = nullptr;

const kernel *kernel::named(const char *name) {
    const kernel *k = first;
    while (k && strcmp(k->name, name) != 0) k = k->next;
    return k;
}

void **kernel::copied(size_t count, const size_t *sizes, void **parameters) {
    size_t bytes = count * sizeof(void *);
    for (size_t i = 0; i < count; i++) bytes += 16 + sizes[i];
    void **copies = (void **)malloc(bytes);
    char *at = (char *)(copies + count);
    for (size_t i = 0; i < count; i++) {
        at = (char *)(((uintptr_t)at + 15) & ~(uintptr_t)15);
        copies[i] = memcpy(at, parameters[i], sizes[i]);
        at += sizes[i];
    }
    return copies;
}

// MARK: - Fibers

enum { stackBytes = 64 << 10 };
static char *stacks;
static void *scheduler;  // its saved stack pointer
static const kernel *running;
static void **arguments;

static void fiber_main();

#if defined(__x86_64__)
/// Saves the registers a function must keep on this stack, its pointer in `*from`, and goes on from `to`.
extern "C" void on_host_switch(void **from, void *to);
__asm__(
    ".text\n.globl on_host_switch\n.type on_host_switch,@function\non_host_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size on_host_switch, .-on_host_switch\n");

static void *fresh_stack(char *stack) {
    void **top = (void **)(stack + stackBytes) - 1;  // the stack as a call leaves it: its pointer 8 beyond a multiple of 16
    *--top = (void *)&fiber_main;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    return top;
}
#else
#include <ucontext.h>
static ucontext_t contexts[maxThreads + 1];
static ucontext_t *context_of(void *stack) { return (ucontext_t *)stack; }
static void on_host_switch(void **from, void *to) {
    ucontext_t *mine = from == &scheduler ? &contexts[maxThreads] : &contexts[now.current - now.threads];
    *from = mine;
    swapcontext(mine, context_of(to));
}
static void *fresh_stack(char *stack) {
    ucontext_t *context = &contexts[(stack - stacks) / stackBytes];
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = stackBytes;
    makecontext(context, fiber_main, 0);
    return context;
}
#endif

// The thread sanitizer keeps a stack of calls for each fiber; it is told of every change.
#if __has_feature(thread_sanitizer)
extern "C" void *__tsan_get_current_fiber(void);
extern "C" void *__tsan_create_fiber(unsigned flags);
extern "C" void __tsan_switch_to_fiber(void *fiber, unsigned flags);
static void *fibers[maxThreads], *home;
static void tell_fiber() {
    void *&fiber = fibers[now.current - now.threads];
    home = __tsan_get_current_fiber();
    if (!fiber) fiber = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(fiber, 0);
}
static void tell_home() { __tsan_switch_to_fiber(home, 0); }
#else
static void tell_fiber() {}
static void tell_home() {}
#endif

/// From the scheduler to the thread that is to run, and back.
static void go_on() {
    tell_fiber();
    on_host_switch(&scheduler, now.current->stack);
}
static void go_back() {
    tell_home();
    on_host_switch(&now.current->stack, scheduler);
}

static void fiber_main() {
    running->call(running->function, arguments);
    now.current->state = thread::done;
    go_back();
    abort();  // a thread that is done does not run again
}

void wait_for(int state, int line) {
    now.current->state = (decltype(now.current->state))state;
    now.current->line = line;
    go_back();
}

// MARK: - Scheduling

/// A permutation of `0 ..< count`, another one each time when shuffled.
struct sequence {
    order kind;
    unsigned count, step, offset;
    sequence(order kind, unsigned count, unsigned &seed) : kind(kind), count(count) {
        seed = seed * 1664525u + 1013904223u;
        step = (seed >> 8) % count | 1;
        while (gcd(step, count) != 1) step += 2;
        offset = (seed >> 20) % count;
    }
    static unsigned gcd(unsigned a, unsigned b) { return b == 0 ? a : gcd(b, a % b); }
    unsigned operator[](unsigned i) const {
        return kind == order::ascending ? i : kind == order::descending ? count - 1 - i : (unsigned)(((uint64_t)i * step + offset) % count);
    }
};

/// Lets the threads of a warp that wait for each other go on, if all do. Returns false when none of them can.
static bool release(thread *threads, unsigned count, int waiting) {
    for (unsigned i = 0; i < count; i++) if (threads[i].state != waiting || threads[i].line != threads[0].line) return false;
    for (unsigned i = 0; i < count; i++) threads[i].state = thread::ready;
    return true;
}

/// Runs a warp as far as it can go alone.
static void run_warp(thread *threads, order order, unsigned &seed) {
    do {
        sequence lane(order, lanes, seed);
        for (unsigned i = 0; i < lanes; i++) {
            now.current = &threads[lane[i]];
            if (now.current->state == thread::fresh) now.current->stack = fresh_stack(stacks + (now.current - now.threads) * stackBytes);
            if (now.current->state == thread::fresh || now.current->state == thread::ready) go_on();
        }
    } while (release(threads, lanes, thread::atWarp));
}

static bool all_done() {
    for (unsigned t = 0; t < now.size.x; t++) if (now.threads[t].state != thread::done) return false;
    return true;
}

static void run_block(size_t sharedBytes, order order, unsigned &seed) {
    memset(__start_cuda_shared, 0xff, (size_t)(__stop_cuda_shared - __start_cuda_shared));
    memset(now.shared, 0xff, sharedBytes);
    for (unsigned t = 0; t < now.size.x; t++) {
        now.threads[t] = {};
        now.threads[t].index.x = t;
    }
    do {
        sequence warp(order, now.size.x / lanes, seed);
        for (unsigned w = 0; w < now.size.x / lanes; w++) run_warp(now.threads + warp[w] * lanes, order, seed);
    } while (release(now.threads, now.size.x, thread::atBlock));
    if (!all_done()) now.fault = "some threads wait where the others do not";
}

// MARK: - Running a kernel

static sigjmp_buf outside;
static void fault_found(int) { siglongjmp(outside, 1); }

/// Shared memory that ends where the next page must not be touched.
static float *dynamic_shared(size_t bytes) {
    static char *pages = nullptr;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = 256 << 10;
    if (!pages) {
        pages = (char *)mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(pages + room, page, PROT_NONE);
    }
    return (float *)(pages + room - bytes);
}

static void run_grid(dim grid, size_t sharedBytes, order order) {
    unsigned seed = 1;
    sequence blockAt(order, grid.x, seed);
    for (unsigned b = 0; b < grid.x && !now.fault; b++) {
        now.index.x = blockAt[b];
        run_block(sharedBytes, order, seed);
    }
}

const char *run(const kernel *k, dim grid, unsigned size, size_t sharedBytes, void **parameters, order order) {
    if (grid.x == 0) return nullptr;
    if (grid.y != 1 || grid.z != 1 || size % lanes != 0 || size > maxThreads) return "a grid or block of a form that is not ours";
    if (!stacks) stacks = (char *)mmap(nullptr, stackBytes * maxThreads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    running = k;
    arguments = parameters;
    now.grid = grid;
    now.size = {size, 1, 1};
    now.shared = dynamic_shared(sharedBytes);
    now.fault = nullptr;
    struct sigaction caught = {}, before[4];
    caught.sa_handler = fault_found;
    const int signals[4] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};  // the last one: the compiler's checks
    for (int i = 0; i < 4; i++) sigaction(signals[i], &caught, &before[i]);
    if (sigsetjmp(outside, 1) == 0) run_grid(grid, sharedBytes, order);
    else now.fault = "an access outside of all buffers, beyond an array or of an address that its size does not divide; or a division by zero";
    for (int i = 0; i < 4; i++) sigaction(signals[i], &before[i], nullptr);
    return now.fault;
}

}  // namespace on_host
