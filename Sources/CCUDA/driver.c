// The card itself: opening it, its memory, the queue of its work, and what goes wrong there.
#define _GNU_SOURCE
#include "context.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: - Failures

static void keep_failure(ccuda_context *context, ccuda_kind kind, const char *text) {
    if (atomic_load(&context->failed)) return;
    cuda_set_error(&context->failure, kind, "%s", text);
    atomic_store(&context->failed, true);
}

void cuda_fail(ccuda_context *context, ccuda_kind kind, const char *format, ...) {
    char text[sizeof context->failure.text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    keep_failure(context, kind, text);
}

/// Errors after which the driver refuses everything in this process: faults within a kernel, uncorrectable memory, a lost context.
static bool spoils(int status) {
    static const int fatal[] = {214, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        if (fatal[i] == status) return true;
    return false;
}

bool cuda_check(ccuda_context *context, int status, const char *doing) {
    if (status == 0) return true;
    const char *text = "unknown error";
    cuda.driver_getErrorString(status, &text);
    if (status == 2) {
        cuda_fail(context, CCUDA_NO_MEMORY, "The memory of %s (%.1f GiB) is used up (%s).", context->properties.name,
                  (double)context->properties.memory / (1 << 30), doing);
    } else if (spoils(status)) {
        cuda_fail(context, CCUDA_SPOILED,
                  "%s: %s (CUDA error %d, found while %s). The driver refuses all further work of this process: it has to be started anew.",
                  context->properties.name, text, status, doing);
    } else {
        cuda_fail(context, CCUDA_LIBRARY, "NVIDIA's driver refused a call: %s (CUDA error %d, %s).", text, status, doing);
    }
    return false;
}

const ccuda_error *ccuda_failure(const ccuda_context *context) { return atomic_load(&context->failed) ? &context->failure : NULL; }

void ccuda_fail(ccuda_context *context, ccuda_kind kind, const char *text) {
    pthread_mutex_lock(&context->lock);
    keep_failure(context, kind, text);
    pthread_mutex_unlock(&context->lock);
}

bool ccuda_clear_failure(ccuda_context *context) {
    pthread_mutex_lock(&context->lock);
    bool usable = !atomic_load(&context->failed) || context->failure.kind != CCUDA_SPOILED;
    if (usable) {
        context->failure.kind = CCUDA_OK;
        atomic_store(&context->failed, false);
    }
    pthread_mutex_unlock(&context->lock);
    return usable;
}

// MARK: - Calls

/// The context that this thread's calls go to, by its serial number: an address may come again.
static _Thread_local unsigned current;
static atomic_uint opened;

static void make_current(ccuda_context *context) {
    if (current == context->serial) return;
    current = context->serial;
    cuda.driver_setCurrent(context->primary);
}

bool cuda_enter(ccuda_context *context) {
    if (atomic_load_explicit(&context->failed, memory_order_relaxed)) return false;
    pthread_mutex_lock(&context->lock);
    make_current(context);
    return true;
}

void cuda_leave(ccuda_context *context) { pthread_mutex_unlock(&context->lock); }

// MARK: - Cards

enum { ATTRIBUTE_MULTIPROCESSORS = 16, ATTRIBUTE_CAPABILITY_MAJOR = 75, ATTRIBUTE_CAPABILITY_MINOR = 76, ATTRIBUTE_SHARED_MEMORY = 97 };

int ccuda_device_count(ccuda_error *error) {
    int count = 0;
    if (!cuda_open_driver(error)) return 0;
    if (cuda.driver_deviceGetCount(&count) || count == 0) cuda_set_error(error, CCUDA_NO_DEVICE, "NVIDIA's driver sees no card.");
    return count;
}

bool ccuda_describe(int device, ccuda_properties *properties, ccuda_error *error) {
    int count = ccuda_device_count(error), handle = 0, major = 0, minor = 0;
    *properties = (ccuda_properties){0};
    if (count == 0) return false;
    if (device < 0 || device >= count || cuda.driver_deviceGet(&handle, device)) {
        cuda_set_error(error, CCUDA_NO_DEVICE, "There is no card %d: NVIDIA's driver sees %d, numbered from 0.", device, count);
        return false;
    }
    cuda.driver_deviceGetName(properties->name, sizeof properties->name, handle);
    cuda.driver_deviceGetAttribute(&major, ATTRIBUTE_CAPABILITY_MAJOR, handle);
    cuda.driver_deviceGetAttribute(&minor, ATTRIBUTE_CAPABILITY_MINOR, handle);
    cuda.driver_deviceGetAttribute(&properties->multiprocessors, ATTRIBUTE_MULTIPROCESSORS, handle);
    cuda.driver_deviceGetAttribute(&properties->sharedMemory, ATTRIBUTE_SHARED_MEMORY, handle);
    cuda.driver_deviceTotalMem(&properties->memory, handle);
    properties->capability = 10 * major + minor;
    return true;
}

/// Everything that can be refused before the card is touched.
static bool admit(int device, ccuda_properties *properties, ccuda_error *error) {
    if (!ccuda_describe(device, properties, error)) return false;
    if (properties->capability < 80) {
        cuda_set_error(error, CCUDA_OLD_DEVICE,
                       "%s has compute capability %d.%d; bfloat16 needs 8.0 or newer (the cards of 2020, Ampere, and later).",
                       properties->name, properties->capability / 10, properties->capability % 10);
        return false;
    }
    for (int library = LIBRARY_nvrtc; library < CCUDA_LIBRARIES; library++)
        if (!cuda_open_library(library, error)) return false;
    return true;
}

/// Starts the card's context, the stream and the libraries' handles.
static bool start(ccuda_context *context, ccuda_error *error) {
    int handle = 0;
    cuda.driver_deviceGet(&handle, context->device);
    if (!cuda_check(context, cuda.driver_primaryRetain(&context->primary, handle), "opening the card")) return false;
    make_current(context);
    return cuda_check(context, cuda.driver_streamCreate(&context->stream, 1), "making a stream")  // 1: does not wait for the default stream
        && cuda_products_open(context, error) && cuda_plans_open(context, error);
}

ccuda_context *ccuda_open(int device, ccuda_error *error) {
    *error = (ccuda_error){.kind = CCUDA_OK};
    ccuda_properties properties;
    if (!admit(device, &properties, error)) return NULL;
    ccuda_context *context = calloc(1, sizeof *context);
    const char *checking = getenv("LORALAB_CUDA_CHECK");
    *context = (ccuda_context){.serial = atomic_fetch_add(&opened, 1) + 1, .device = device, .properties = properties};
    context->checking = checking && *checking && *checking != '0';
    pthread_mutex_init(&context->lock, NULL);
    if (start(context, error)) return context;
    if (error->kind == CCUDA_OK) *error = context->failure;
    ccuda_close(context);
    return NULL;
}

static void close_block(block *b) {
    for (int i = 0; i < b->outgrownCount; i++) cuda.driver_memFree((uintptr_t)b->outgrown[i]);
    if (b->pointer) cuda.driver_memFree((uintptr_t)b->pointer);
}

static void close_staging(staging *s) {
    for (int i = 0; i < STAGING_PARTS; i++)
        if (s->read[i]) cuda.driver_eventDestroy(s->read[i]);
    if (s->memory) cuda.driver_memFreeHost(s->memory);
}

void ccuda_close(ccuda_context *context) {
    if (!context) return;
    if (context->primary) make_current(context);
    if (context->stream) cuda.driver_streamSynchronize(context->stream);
    cuda_kernels_close(context);
    cuda_products_close(context);
    cuda_plans_close(context);
    close_block(&context->scratch), close_block(&context->workspace), close_block(&context->between), close_block(&context->trial);
    close_staging(&context->staging);
    if (context->stream) cuda.driver_streamDestroy(context->stream);
    int handle = 0;
    if (context->primary && !cuda.driver_deviceGet(&handle, context->device)) {
        cuda.driver_setCurrent(NULL);
        current = 0;
        cuda.driver_primaryRelease(handle);
    }
    pthread_mutex_destroy(&context->lock);
    free(context);
}

void ccuda_get_properties(ccuda_context *context, ccuda_properties *properties) {
    *properties = context->properties;
    if (!cuda_enter(context)) return;
    size_t total;
    cuda_check(context, cuda.driver_memGetInfo(&properties->memoryFree, &total), "asking for free memory");
    cuda_leave(context);
}

// MARK: - Memory

void *ccuda_allocate(ccuda_context *context, size_t bytes) {
    if (bytes == 0 || !cuda_enter(context)) return NULL;
    uintptr_t address = 0;
    int status = cuda.driver_memAlloc(&address, bytes);
    if (status != 2) cuda_check(context, status, "allocating memory");
    cuda_leave(context);
    return status ? NULL : (void *)address;
}

void ccuda_free(ccuda_context *context, void *pointer) {
    if (!pointer) return;
    pthread_mutex_lock(&context->lock);  // after a failure too: the memory may be what is missing
    make_current(context);
    cuda_check(context, cuda.driver_memFree((uintptr_t)pointer), "freeing memory");
    cuda_leave(context);
}

void *cuda_block(ccuda_context *context, block *b, size_t bytes) {
    if (bytes <= b->bytes) return b->pointer;
    if (b->pointer && b->outgrownCount == (int)(sizeof b->outgrown / sizeof b->outgrown[0])) {
        cuda_fail(context, CCUDA_MISUSE, "A block of the card's memory was outgrown %d times.", b->outgrownCount);
        return NULL;
    }
    size_t wanted = bytes > 2 * b->bytes ? (bytes + 0xfffff) & ~(size_t)0xfffff : 2 * b->bytes;
    uintptr_t address = 0;
    int status = cuda.driver_memAlloc(&address, wanted);
    if (status == 2 && wanted > bytes) status = cuda.driver_memAlloc(&address, wanted = bytes);
    if (!cuda_check(context, status, "allocating memory to compute in")) return NULL;
    if (b->pointer) b->outgrown[b->outgrownCount++] = b->pointer;
    b->pointer = (void *)address;
    b->bytes = wanted;
    return b->pointer;
}

void *ccuda_scratch(ccuda_context *context, size_t bytes) {
    if (!cuda_enter(context)) return NULL;
    void *pointer = cuda_block(context, &context->scratch, bytes);
    cuda_leave(context);
    return pointer;
}

/// Whether the host may wait for the card now; recorded work does not run.
static bool may_wait(ccuda_context *context, const char *doing) {
    if (context->recording) cuda_fail(context, CCUDA_MISUSE, "%s is not possible while work is recorded.", doing);
    return !context->recording;
}

static bool open_staging(ccuda_context *context) {
    staging *s = &context->staging;
    if (s->memory) return true;
    for (int i = 0; i < STAGING_PARTS; i++)
        if (!cuda_check(context, cuda.driver_eventCreate(&s->read[i], 2), "making an event")) return false;  // 2: without time
    return cuda_check(context, cuda.driver_memAllocHost((void **)&s->memory, (size_t)STAGING_PARTS * STAGING_BYTES), "allocating pinned memory");
}

/// Goes on to the next part, once the card has read what was in it.
static bool next_part(ccuda_context *context) {
    staging *s = &context->staging;
    if (!cuda_check(context, cuda.driver_eventRecord(s->read[s->part], context->stream), "recording an event")) return false;
    s->part = (s->part + 1) % STAGING_PARTS;
    s->used = 0;
    return cuda_check(context, cuda.driver_eventSynchronize(s->read[s->part]), "waiting for an upload");
}

/// Sends up to a part's rest of memory; returns how much, 0 after a failure.
static size_t upload_piece(ccuda_context *context, uintptr_t to, const uint8_t *host, size_t bytes) {
    staging *s = &context->staging;
    if (s->used == STAGING_BYTES && !next_part(context)) return 0;
    size_t piece = bytes < STAGING_BYTES - s->used ? bytes : STAGING_BYTES - s->used;
    uint8_t *from = s->memory + (size_t)s->part * STAGING_BYTES + s->used;
    memcpy(from, host, piece);
    s->used += (piece + 255) & ~(size_t)255;
    return cuda_check(context, cuda.driver_copyToDevice(to, from, piece, context->stream), "uploading") ? piece : 0;
}

void ccuda_upload(ccuda_context *context, void *to, const void *host, size_t bytes) {
    if (bytes == 0 || !cuda_enter(context)) return;
    if (may_wait(context, "An upload") && open_staging(context))
        for (size_t done = 0, piece = 1; done < bytes && piece; done += piece)
            piece = upload_piece(context, (uintptr_t)to + done, (const uint8_t *)host + done, bytes - done);
    cuda_leave(context);
}

void ccuda_download(ccuda_context *context, void *host, const void *from, size_t bytes) {
    if (bytes == 0) return;
    bool arrived = false;
    if (cuda_enter(context)) {
        arrived = may_wait(context, "A download")
            && cuda_check(context, cuda.driver_copyToHost(host, (uintptr_t)from, bytes, context->stream), "downloading")
            && cuda_check(context, cuda.driver_streamSynchronize(context->stream), "waiting for a download");
        cuda_leave(context);
    }
    if (!arrived) memset(host, 0, bytes);
}

void ccuda_copy(ccuda_context *context, void *to, const void *from, size_t bytes) {
    if (bytes == 0 || !cuda_enter(context)) return;
    cuda_check(context, cuda.driver_copyOnDevice((uintptr_t)to, (uintptr_t)from, bytes, context->stream), "copying");
    cuda_leave(context);
}

void ccuda_set_bytes(ccuda_context *context, void *to, uint8_t value, size_t bytes) {
    if (bytes == 0 || !cuda_enter(context)) return;
    cuda_check(context, cuda.driver_setBytes((uintptr_t)to, value, bytes, context->stream), "setting bytes");
    cuda_leave(context);
}

// MARK: - Waiting and time

bool ccuda_synchronize(ccuda_context *context) {
    if (!cuda_enter(context)) return false;
    bool done = may_wait(context, "Waiting") && cuda_check(context, cuda.driver_streamSynchronize(context->stream), "waiting for the card");
    cuda_leave(context);
    return done;
}

ccuda_event *ccuda_event_create(ccuda_context *context) {
    if (!cuda_enter(context)) return NULL;
    void *event = NULL;
    cuda_check(context, cuda.driver_eventCreate(&event, 0), "making an event");
    cuda_leave(context);
    return event;
}

void ccuda_event_destroy(ccuda_context *context, ccuda_event *event) {
    if (!event) return;
    pthread_mutex_lock(&context->lock);
    make_current(context);
    cuda.driver_eventDestroy(event);
    cuda_leave(context);
}

void ccuda_event_record(ccuda_context *context, ccuda_event *event) {
    if (!event || !cuda_enter(context)) return;
    cuda_check(context, cuda.driver_eventRecord(event, context->stream), "recording an event");
    cuda_leave(context);
}

float ccuda_event_elapsed(ccuda_context *context, ccuda_event *from, ccuda_event *to) {
    float milliseconds = NAN;
    if (!from || !to || !cuda_enter(context)) return milliseconds;
    if (may_wait(context, "Waiting") && cuda_check(context, cuda.driver_eventSynchronize(to), "waiting for an event"))
        if (!cuda_check(context, cuda.driver_eventElapsedTime(&milliseconds, from, to), "measuring time")) milliseconds = NAN;
    cuda_leave(context);
    return milliseconds;
}

float cuda_time(ccuda_context *context, bool (*run)(ccuda_context *, void *), void *job) {
    void *from = NULL, *to = NULL;
    float milliseconds = -1;
    if (!cuda.driver_eventCreate(&from, 0) && !cuda.driver_eventCreate(&to, 0) && run(context, job) && !cuda.driver_eventRecord(from, context->stream)
        && run(context, job) && !cuda.driver_eventRecord(to, context->stream) && !cuda.driver_eventSynchronize(to))
        cuda.driver_eventElapsedTime(&milliseconds, from, to);
    if (from) cuda.driver_eventDestroy(from);
    if (to) cuda.driver_eventDestroy(to);
    return milliseconds;
}
