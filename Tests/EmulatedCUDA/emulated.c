// The names by which CCUDA finds what is emulated; number formats; the compiler.
#include "emulated.h"
#include "../../Sources/CCUDA/libraries.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: - Names

#define F(library, result, name, symbol, parameters) result symbol parameters;
#include "../../Sources/CCUDA/libraries.def"
#undef F

static char hidden[32];
void emulated_hide(const char *prefix) { snprintf(hidden, sizeof hidden, "%s", prefix); }

static void *lookup(const char *name) {
    if (*hidden && strncmp(name, hidden, strlen(hidden)) == 0) return NULL;
#define F(library, result, short, symbol, parameters) {#symbol, (void *)&symbol},
    static const struct { const char *name; void *function; } functions[] = {
#include "../../Sources/CCUDA/libraries.def"
    };
#undef F
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(functions[i].name, name) == 0) return functions[i].function;
    return NULL;
}

void emulated_install(void) { ccuda_set_stand_in(lookup); }

// MARK: - Number formats

double emulated_read(const void *values, int type, int64_t index) {
    if (type == 0) return ((const float *)values)[index];
    if (type == 2) return (double)((const _Float16 *)values)[index];
    uint32_t bits = (uint32_t)((const uint16_t *)values)[index] << 16;
    float value;
    return memcpy(&value, &bits, sizeof value), value;
}

void emulated_write(void *values, int type, int64_t index, double wide) {
    float value = (float)wide;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (type == 0) ((float *)values)[index] = value;
    else if (type == 2) ((_Float16 *)values)[index] = (_Float16)wide;
    else ((uint16_t *)values)[index] = (uint16_t)(value != value ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// MARK: - NVRTC: "machine code" is the text, refused if it says #error

typedef struct program { char *text, *name, log[256]; } program;

int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, 0; }
const char *nvrtcGetErrorString(int error) { return error == 6 ? "NVRTC_ERROR_COMPILATION" : error ? "NVRTC_ERROR" : "NVRTC_SUCCESS"; }
int nvrtcCreateProgram(void **result, const char *text, const char *name, int headers, const char *const *headerTexts,
                       const char *const *headerNames) {
    (void)headers, (void)headerTexts, (void)headerNames;
    ANSWER;
    program *p = calloc(1, sizeof *p);
    p->text = strdup(text), p->name = strdup(name);
    return *result = p, 0;
}
int nvrtcDestroyProgram(void **result) {
    program *p = *result;
    free(p->text), free(p->name), free(p);
    return *result = NULL, 0;
}
int nvrtcCompileProgram(void *result, int count, const char *const *options) {
    ANSWER;
    program *p = result;
    (void)count;
    const char *error = strstr(p->text, "#error");
    if (error) snprintf(p->log, sizeof p->log, "%s: %.*s (%s)", p->name, (int)strcspn(error, "\n"), error, options[0]);
    return error ? 6 : 0;
}
int nvrtcGetCUBINSize(void *result, size_t *bytes) { return *bytes = strlen(((program *)result)->text) + 1, 0; }
int nvrtcGetCUBIN(void *result, char *code) { return strcpy(code, ((program *)result)->text), 0; }
int nvrtcGetProgramLogSize(void *result, size_t *bytes) { return *bytes = strlen(((program *)result)->log) + 1, 0; }
int nvrtcGetProgramLog(void *result, char *log) { return strcpy(log, ((program *)result)->log), 0; }
