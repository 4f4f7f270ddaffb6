// Checks everything that CCUDA does on a card against CCompute on the processor: values, with outputs poisoned before, and times.
//
//   check [GROUP…]     The folder `kernels` lies beside the program; results go into $OUT if set.
//
// Built with -DEMULATED it runs here, on a card made of nothing, without the large shapes: a check of the checks.
// Needs NVIDIA's driver and libraries, nothing of Swift. Each group runs in a process of its own, so that a fault ends only its group.
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <glob.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef EMULATED
#include "EmulatedCUDA.h"
#include "KernelsOnHost.h"
enum { EMULATED_CARD = true };
static void install(void) {
    emulated_install();
    emulated_configure(13000, 1, 90, (size_t)8 << 30);
    emulated_set_kernels((emulated_kernels){koh_find_kernel, koh_run_kernel, koh_copy_arguments});
}
#else
enum { EMULATED_CARD = false };
static void install(void) {}
#endif

ccuda_context *card;

bool too_large(double operations) { return EMULATED_CARD && operations > 5e7; }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// MARK: - Tensors

static uint64_t state = 0x9e3779b97f4a7c15;
static float uniform(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (float)(state >> 40) * 0x1p-24f;
}

static uint16_t bfloat16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static float float_of(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/// Rounds the host's values to the type and sends them.
static void send(tensor *t) {
    t->card = ccuda_allocate(card, t->n * ccuda_type_size(t->type));
    if (t->type == CCUDA_F32) return ccuda_upload(card, t->card, t->host, t->n * sizeof(float));
    uint16_t *halves = malloc(t->n * sizeof *halves);
    for (size_t i = 0; i < t->n; i++) t->host[i] = float_of(halves[i] = bfloat16_of(t->host[i]));
    ccuda_upload(card, t->card, halves, t->n * sizeof *halves);
    free(halves);
}

tensor input_between(ccuda_type type, size_t n, float low, float high) {
    tensor t = {type, n, malloc((n + 1) * sizeof(float)), NULL};
    for (size_t i = 0; i < n; i++) t.host[i] = low + (high - low) * uniform();
    send(&t);
    return t;
}

tensor input(ccuda_type type, size_t n, float scale) {
    const float half = 1.7320508f * scale;  // a uniform variable of unit variance
    return input_between(type, n, -half, half);
}

tensor output(ccuda_type type, size_t n) {
    tensor t = {type, n, calloc(n + 1, sizeof(float)), ccuda_allocate(card, n * ccuda_type_size(type))};
    ccuda_set_bytes(card, t.card, 0xff, n * ccuda_type_size(type));
    return t;
}

tensor copy_of(const tensor *t) {
    tensor copy = {t->type, t->n, memcpy(malloc((t->n + 1) * sizeof(float)), t->host, t->n * sizeof(float)), NULL};
    send(&copy);
    return copy;
}

/// What the card has, as float32.
static float *fetch(const tensor *t, size_t n) {
    float *values = malloc((n + 1) * sizeof(float));
    if (t->type == CCUDA_F32) return ccuda_download(card, values, t->card, n * sizeof(float)), values;
    uint16_t *halves = malloc((n + 1) * sizeof *halves);
    ccuda_download(card, halves, t->card, n * sizeof *halves);
    for (size_t i = 0; i < n; i++) values[i] = float_of(halves[i]);
    free(halves);
    return values;
}

// MARK: - Rows of the table

/// A check: its worst error, its time.
static struct row {
    const char *group, *name;
    char shape[120], wrong[600];
    ccuda_type type;
    bool rounded, good;
    double error, microseconds, operations, bytes, first;
} row;
static const char *group, *const typeNames[] = {"float32", "float16", "bfloat16"};
static FILE *rows;
static int failures;

void begin(const char *name, ccuda_type type, const char *shape, ...) {
    va_list arguments;
    row = (struct row){.group = group, .name = name, .type = type, .good = true};
    va_start(arguments, shape);
    vsnprintf(row.shape, sizeof row.shape, shape, arguments);
    va_end(arguments);
}

void expect(const tensor *t) {
    float *found = fetch(t, t->n);
    double difference = 0, norm = 0;
    for (size_t i = 0; i < t->n; i++) {
        double d = (double)found[i] - t->host[i];
        difference += d * d;
        norm += (double)t->host[i] * t->host[i];
    }
    free(found);
    double error = sqrt(difference / (norm > 0 ? norm : 1)), tolerance = row.rounded || t->type != CCUDA_F32 ? 1e-2 : 1e-5;
    row.rounded |= t->type != CCUDA_F32;
    if (!(error <= row.error)) row.error = error;
    if (!(error <= tolerance)) row.good = false;  // so that NaN never passes
}

void expect_that(bool condition, const char *what, ...) {
    va_list arguments;
    if (condition) return;
    row.good = false;
    va_start(arguments, what);
    vsnprintf(row.wrong, sizeof row.wrong, what, arguments);
    va_end(arguments);
}

void costs(double operations, double bytes) { row.operations = operations, row.bytes = bytes; }

static void quote(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text; text++) fprintf(file, *text == '"' || *text == '\\' ? "\\%c" : *text == '\n' ? " " : "%c", *text);
    fputc('"', file);
}

/// One line for people, one in JSON.
static void write_row(void) {
    double seconds = row.microseconds * 1e-6;
    char rate[40] = "", first[40] = "";
    if (row.first > 0.005) snprintf(first, sizeof first, "first %.0f ms ", row.first * 1e3);
    if (seconds > 0 && row.operations > 0) snprintf(rate, sizeof rate, "%.1f TFLOP/s", row.operations / seconds * 1e-12);
    else if (seconds > 0 && row.bytes > 0) snprintf(rate, sizeof rate, "%.0f GB/s", row.bytes / seconds * 1e-9);
    printf("%s %-26s %-9s %-46s %9.2e %10.1f µs  %-14s %s%s\n", row.good ? "  " : "✗ ", row.name, typeNames[row.type], row.shape, row.error,
           row.microseconds, rate, first, row.wrong);
    if (!rows) return;
    fprintf(rows, "{\"group\": \"%s\", \"name\": \"%s\", \"type\": \"%s\", \"shape\": ", row.group, row.name, typeNames[row.type]);
    quote(rows, row.shape);
    fprintf(rows, ", \"good\": %s, \"error\": %.3e, \"microseconds\": %.2f", row.good ? "true" : "false",
            isfinite(row.error) ? row.error : -1, row.microseconds);
    fprintf(rows, ", \"operations\": %.0f, \"bytes\": %.0f, \"first_milliseconds\": %.1f, \"wrong\": ", row.operations, row.bytes, row.first * 1e3);
    quote(rows, row.wrong);
    fprintf(rows, "}\n");
    fflush(rows);
}

void end(void) {
    ccuda_synchronize(card);
    const ccuda_error *failure = ccuda_failure(card);
    if (failure) expect_that(false, "%.560s", failure->text);
    write_row();
    fflush(stdout);
    failures += !row.good;
    if (failure && !ccuda_clear_failure(card)) exit(1);
}

void end_spoiled(void) {
    write_row();
    failures += !row.good;
}

// MARK: - Time

void start_of_first(void) { row.first = -now(); }
void end_of_first(void) { row.first += now(); }

/// How often work is repeated: seldom if it takes milliseconds.
static int repeats(void) { return EMULATED_CARD ? 1 : row.operations > 2e10 ? 4 : 20; }

repeat timing(void) {
    if (ccuda_failure(card)) return (repeat){-1};
    ccuda_begin_recording(card);
    return (repeat){repeats()};
}

bool more(repeat *r) {
    if (r->left-- > 0) return true;
    if (r->left < -1) return false;
    ccuda_graph *graph = ccuda_end_recording(card);
    ccuda_event *from = ccuda_event_create(card), *to = ccuda_event_create(card);
    ccuda_replay(card, graph);
    ccuda_event_record(card, from);
    ccuda_replay(card, graph);
    ccuda_event_record(card, to);
    row.microseconds = (double)ccuda_event_elapsed(card, from, to) * 1e3 / repeats();
    ccuda_event_destroy(card, from), ccuda_event_destroy(card, to);
    ccuda_graph_destroy(card, graph);
    return false;
}

// MARK: - Groups

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    char *text = calloc((size_t)length + 1, 1);
    if (fread(text, 1, (size_t)length, file) != (size_t)length) text[0] = 0;
    fclose(file);
    return text;
}

/// Loads our kernels, from the folder beside the program, the common text before each file; returns how many files.
static int load_kernels(void) {
    char folder[4096], pattern[4200];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    while (length > 0 && folder[length - 1] != '/') length--;
    snprintf(pattern, sizeof pattern, "%.*skernels/prelude.cuh", (int)length, folder);
    char *prelude = read_file(pattern);
    snprintf(pattern, sizeof pattern, "%.*skernels/*.cu", (int)length, folder);
    glob_t files;
    if (!prelude || glob(pattern, 0, NULL, &files)) return 0;
    ccuda_source sources[64];
    int count = 0;
    for (size_t i = 0; i < files.gl_pathc && count < 64; i++) {
        char *text = read_file(files.gl_pathv[i]), *whole = NULL;
        if (asprintf(&whole, "%s\n%s", prelude, text) > 0) sources[count++] = (ccuda_source){strrchr(files.gl_pathv[i], '/') + 1, whole};
    }
    return ccuda_load_kernels(card, sources, count) ? count : 0;
}

static bool open_card(void) {
    ccuda_error error;
    card = ccuda_open(0, &error);
    if (!card) printf("✗ %s\n", error.text);
    return card;
}

/// What was found, and how long opening takes with a cold and a warm cache.
static void check_opening(void) {
    ccuda_library libraries[CCUDA_LIBRARIES];
    ccuda_properties properties;
    double start = now();
    ccuda_find_libraries(libraries);
    double found = now();
    for (int i = 0; i < CCUDA_LIBRARIES; i++) printf("   %-9s %-10s %s\n", libraries[i].name, libraries[i].version, libraries[i].path);
    if (!open_card()) exit(2);
    double opened = now();
    int files = load_kernels();
    double loaded = now();
    ccuda_get_properties(card, &properties);
    printf("   %s, compute capability %d.%d, %d multiprocessors, %.1f of %.1f GiB free\n", properties.name, properties.capability / 10,
           properties.capability % 10, properties.multiprocessors, (double)properties.memoryFree / (1 << 30), (double)properties.memory / (1 << 30));
    printf("   libraries %.2f s, card %.2f s, %d files of kernels %.2f s\n", found - start, opened - found, files, loaded - opened);
    begin("opening", CCUDA_F32, "%s; libraries %.2f s, card %.2f s, kernels %.2f s", properties.name, found - start, opened - found, loaded - opened);
    expect_that(files > 0, "no kernels");
    row.microseconds = (loaded - start) * 1e6;
    end();
}

typedef struct check_group { const char *name; void (*run)(void); } check_group;
static const check_group groups[] = {
    {"opening, cold", check_opening}, {"opening, warm", check_opening}, {"memory", check_memory}, {"failures", check_failures},
    {"elementwise", check_elementwise}, {"reductions", check_reductions}, {"norms", check_norms}, {"movement", check_movement},
    {"training", check_training}, {"products", check_products}, {"convolutions", check_convolutions}, {"attention", check_attention},
    {"attention backward", check_attention_backward}, {"recording", check_recording},
};

static bool wanted(const char *name, int count, char **names) {
    for (int i = 1; i < count; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0) return true;
    return count < 2;
}

/// Runs a group in a process of its own, for at most a minute (ten without a card); returns whether all was well.
static bool run_group(const check_group *g) {
    printf("── %s\n", g->name);
    fflush(stdout);
    double start = now();
    pid_t child = fork();
    if (child == 0) {
        alarm(EMULATED_CARD ? 600 : 60);
        group = g->name;
        if (g->run != check_opening && (!open_card() || load_kernels() == 0)) {
            const ccuda_error *failure = card ? ccuda_failure(card) : NULL;
            if (card) printf("✗ %s\n", failure ? failure->text : "there is no folder of kernels beside the program");
            exit(2);
        }
        g->run();
        exit(failures ? 1 : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!WIFEXITED(status)) printf("✗ ended by signal %d\n", WTERMSIG(status));
    printf("   %s in %.1f s\n", well ? "all well" : "NOT well", now() - start);
    return well;
}

int main(int count, char **names) {
    install();
    const char *out = getenv("OUT");
    char path[4096];
    if (out && snprintf(path, sizeof path, "%s/check.jsonl", out) < (int)sizeof path) rows = fopen(path, "a");
    int wrong = 0;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (wanted(groups[i].name, count, names)) wrong += !run_group(&groups[i]);
    printf(wrong ? "%d groups are not well\n" : "all groups are well\n", wrong);
    return wrong ? 1 : 0;
}
