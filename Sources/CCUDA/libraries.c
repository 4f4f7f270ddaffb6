// Finds NVIDIA's libraries, opens them, and says in full sentences what is missing.
#define _GNU_SOURCE
#include "libraries.h"
#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cuda_functions cuda;

void cuda_set_error(ccuda_error *error, ccuda_kind kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    error->kind = kind;
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
}

// MARK: - What there is to find

typedef struct symbol { const char *name; void **address; } symbol;

#define F(library, result, name, symbol, parameters) {#symbol, (void **)&cuda.library##_##name},
static const symbol symbols[] = {
#include "libraries.def"
};
#undef F
#define F(library, result, name, symbol, parameters) LIBRARY_##library,
static const cuda_library owners[] = {
#include "libraries.def"
};
#undef F

enum { SYMBOLS = sizeof symbols / sizeof symbols[0] };

/// A library's name for people, its file names, newest first, and the packages that bring it for CUDA 13 and 12.
typedef struct description { const char *name, *files[3], *package13, *package12; } description;
static const description descriptions[CCUDA_LIBRARIES] = {
    {"driver", {"libcuda.so.1"}, NULL, NULL},
    {"NVRTC", {"libnvrtc.so.13", "libnvrtc.so.12"}, "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"},
    {"cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12"}, "nvidia-cublas", "nvidia-cublas-cu12"},
    {"cuDNN", {"libcudnn.so.9"}, "nvidia-cudnn-cu13", "nvidia-cudnn-cu12"},
};

/// What became of a library: open or not, the file it came from, or why there is none.
typedef struct outcome { void *handle; char path[1024]; } outcome;
static outcome outcomes[CCUDA_LIBRARIES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/// The driver's CUDA version, 13000 for 13.0; 0 until it is known.
static int driverVersion;

// MARK: - Where to look

/// Folders of libraries below what `LORALAB_CUDA` names, and below a Python environment or a prefix.
static const char *const belowNamed[] = {"", "/lib", "/lib64", "/*/lib", "/nvidia/*/lib", "/lib/python3*/site-packages/nvidia/*/lib", NULL};
static const char *const belowPrefix[] = {
    "/lib/python3*/site-packages/nvidia/*/lib", "/lib/python3*/dist-packages/nvidia/*/lib", "/local/lib/python3*/dist-packages/nvidia/*/lib",
    "/lib", NULL,
};
static const char *const systemFolders[] = {"/lib64", "/targets/*/lib", NULL};

static void note(outcome *o, const char *text) { snprintf(o->path, sizeof o->path, "%s", text); }

static bool open_file(outcome *o, const char *path) {
    o->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    note(o, o->handle ? path : dlerror());
    return o->handle;
}

/// Opens `file` in the first folder `root` + pattern that has it and from which it can be opened.
static bool open_below(outcome *o, const char *root, const char *const *patterns, const char *file) {
    for (; *patterns; patterns++) {
        char pattern[PATH_MAX];
        if (snprintf(pattern, sizeof pattern, "%s%s/%s", root, *patterns, file) >= (int)sizeof pattern) continue;
        glob_t found;
        bool open = false;
        if (glob(pattern, 0, NULL, &found) == 0)
            for (size_t i = 0; i < found.gl_pathc && !open; i++) open = open_file(o, found.gl_pathv[i]);
        globfree(&found);
        if (open) return true;
    }
    return false;
}

/// As `open_below` for each part of a list with colons.
static bool open_below_each(outcome *o, const char *list, const char *const *patterns, const char *file) {
    char *copy = list ? strdup(list) : NULL, *rest = copy;
    bool open = false;
    for (char *root; !open && (root = strsep(&rest, ":"));) open = *root && open_below(o, root, patterns, file);
    free(copy);
    return open;
}

/// The prefix of the `python3` on PATH, by its name (an environment's) or where its links end (an installation's).
static bool python_prefix(char prefix[PATH_MAX], bool resolved) {
    char *copy = strdup(getenv("PATH") ?: ""), *rest = copy, path[PATH_MAX];
    bool found = false;
    for (char *folder; !found && (folder = strsep(&rest, ":"));) {
        snprintf(path, sizeof path, "%s/python3", folder);
        found = *folder && realpath(path, prefix);
    }
    free(copy);
    if (found && !resolved) memcpy(prefix, path, sizeof path);
    for (int i = 0; found && i < 2; i++) {
        char *slash = strrchr(prefix, '/');
        if ((found = slash)) *slash = 0;
    }
    return found;
}

static bool search(outcome *o, const char *file) {
    char prefix[PATH_MAX];
    if (open_below_each(o, getenv("LORALAB_CUDA"), belowNamed, file)) return true;
    if (open_below_each(o, getenv("VIRTUAL_ENV"), belowPrefix, file)) return true;
    if (open_below_each(o, getenv("CONDA_PREFIX"), belowPrefix, file)) return true;
    for (int resolved = 0; resolved < 2; resolved++)
        if (python_prefix(prefix, resolved) && open_below(o, prefix, belowPrefix, file)) return true;
    snprintf(prefix, sizeof prefix, "%s/.local", getenv("HOME") ?: "");
    if (open_below(o, prefix, belowPrefix, file)) return true;
    if (open_below(o, "/usr/local/cuda*", systemFolders, file)) return true;
    char why[sizeof o->path];
    memcpy(why, o->path, sizeof why);
    if (open_file(o, file)) return true;
    if (*why) note(o, why);  // a file that was there and would not open tells more than "not found"
    return false;
}

// MARK: - Opening

/// Where an open library's file is.
static void note_origin(outcome *o, void *address) {
    Dl_info info;
    if (dladdr(address, &info) && info.dli_fname) note(o, info.dli_fname);
}

/// NVRTC 13.0 does not find its builtins by itself: they lie beside it and have to be open for all.
static void open_builtins(const char *path) {
    char pattern[PATH_MAX];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%.*s/libnvrtc-builtins.so.*", (int)(strrchr(path, '/') ? strrchr(path, '/') - path : 0), path);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_GLOBAL);
    globfree(&found);
}

/// Stands in for all libraries, if set.
static void *(*standIn)(const char *symbol);

void ccuda_set_stand_in(void *(*lookup)(const char *symbol)) {
    pthread_mutex_lock(&lock);
    standIn = lookup;
    driverVersion = 0;
    for (int i = 0; i < CCUDA_LIBRARIES; i++) outcomes[i] = (outcome){0};
    pthread_mutex_unlock(&lock);
}

/// Looks up all functions of an open library. Returns the name of the first that it lacks.
static const char *resolve(cuda_library library) {
    for (int i = 0; i < SYMBOLS; i++) {
        if (owners[i] != library) continue;
        *symbols[i].address = standIn ? standIn(symbols[i].name) : dlsym(outcomes[library].handle, symbols[i].name);
        if (!*symbols[i].address) return symbols[i].name;
        note_origin(&outcomes[library], *symbols[i].address);
    }
    return NULL;
}

static bool open_once(cuda_library library) {
    outcome *o = &outcomes[library];
    if (o->handle) return true;
    o->path[0] = 0;
    if (standIn) {
        o->handle = resolve(library) ? NULL : (void *)symbols;  // any address will do
        return o->handle;
    }
    const char *const *file = descriptions[library].files;
    if (driverVersion && driverVersion < 13000 && file[1]) file++;  // a driver for CUDA 12 runs nothing of CUDA 13
    while (*file && !search(o, *file)) file++;
    if (!o->handle) return false;
    const char *missing = resolve(library);
    if (missing) {
        char text[sizeof o->path];
        snprintf(text, sizeof text, "%.700s is too old or damaged: it has no function %s", o->path, missing);
        note(o, text);
        dlclose(o->handle);
        o->handle = NULL;
    }
    if (o->handle && library == LIBRARY_nvrtc) open_builtins(o->path);
    return o->handle;
}

/// `pip install` with the packages of all libraries that could not be opened.
static void append_remedy(char *text, size_t length) {
    bool old = driverVersion && driverVersion < 13000;
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, length - used, "\nTo install what is missing: pip install");
    for (int i = LIBRARY_nvrtc; i < CCUDA_LIBRARIES && used < length; i++)
        if (!outcomes[i].handle)
            used += (size_t)snprintf(text + used, length - used, " %s", old ? descriptions[i].package12 : descriptions[i].package13);
    if (used < length)
        snprintf(text + used, length - used,
                 "\nLooked in the folders that LORALAB_CUDA names, the Python environments VIRTUAL_ENV and CONDA_PREFIX, that of python3 on "
                 "PATH, ~/.local, /usr/local/cuda* and where the loader looks. PyTorch for CUDA brings these libraries: "
                 "LORALAB_CUDA=PATH/TO/site-packages/nvidia.");
}

bool cuda_open_library(cuda_library library, ccuda_error *error) {
    pthread_mutex_lock(&lock);
    bool open = open_once(library);
    if (!open && library == LIBRARY_driver) {
        cuda_set_error(error, CCUDA_MISSING_LIBRARY,
                       "NVIDIA's driver is missing: libcuda.so.1 cannot be opened (%s). It comes with the system's NVIDIA driver, "
                       "580 or newer for CUDA 13, 525 or newer for CUDA 12; within a container it has to be passed in.", outcomes[library].path);
    } else if (!open) {
        for (int i = LIBRARY_nvrtc; i < CCUDA_LIBRARIES; i++) open_once(i);
        cuda_set_error(error, CCUDA_MISSING_LIBRARY, "%s cannot be opened: %s.", descriptions[library].name, outcomes[library].path);
        append_remedy(error->text, sizeof error->text);
    }
    pthread_mutex_unlock(&lock);
    return open;
}

bool cuda_open_driver(ccuda_error *error) {
    if (!cuda_open_library(LIBRARY_driver, error)) return false;
    int version = 0, status = cuda.driver_init(0);
    const char *text = "unknown error";
    if (status) cuda.driver_getErrorString(status, &text);
    if (status == 100) {
        cuda_set_error(error, CCUDA_NO_DEVICE, "NVIDIA's driver is there but sees no card (%s). CUDA_VISIBLE_DEVICES is %s.", text,
                       getenv("CUDA_VISIBLE_DEVICES") ?: "not set");
    } else if (status) {
        cuda_set_error(error, CCUDA_LIBRARY, "NVIDIA's driver does not start: %s (CUDA error %d). nvidia-smi may tell more.", text, status);
    } else if (cuda.driver_driverGetVersion(&version) || version < 12000) {
        cuda_set_error(error, CCUDA_OLD_DRIVER,
                       "NVIDIA's driver is too old: it supports CUDA %d.%d; 12.0 or newer is needed, which drivers from 525 on have, "
                       "better 580 or newer (CUDA 13). Install a newer driver.", version / 1000, version % 1000 / 10);
    } else {
        pthread_mutex_lock(&lock);
        driverVersion = version;
        pthread_mutex_unlock(&lock);
        return true;
    }
    return false;
}

// MARK: - Telling

int cuda_compiler_version(void) {
    int major = 0, minor = 0;
    return cuda.nvrtc_version(&major, &minor) ? 0 : major * 100 + minor;
}

int cuda_dnn_version(void) { return cuda.dnn_version ? (int)cuda.dnn_version() : 0; }

static void tell_version(cuda_library library, char *text, size_t length) {
    int version = library == LIBRARY_nvrtc ? cuda_compiler_version() : library == LIBRARY_blas ? (int)cuda.blas_version() : cuda_dnn_version();
    if (library == LIBRARY_driver && !cuda.driver_driverGetVersion(&version))
        snprintf(text, length, "%d.%d", version / 1000, version % 1000 / 10);
    else if (library == LIBRARY_nvrtc)
        snprintf(text, length, "%d.%d", version / 100, version % 100);
    else
        snprintf(text, length, "%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}

void ccuda_find_libraries(ccuda_library libraries[CCUDA_LIBRARIES]) {
    ccuda_error ignored;
    cuda_open_driver(&ignored);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CCUDA_LIBRARIES; i++) {
        libraries[i] = (ccuda_library){.found = open_once(i)};
        snprintf(libraries[i].name, sizeof libraries[i].name, "%s", descriptions[i].name);
        if (libraries[i].found) tell_version(i, libraries[i].version, sizeof libraries[i].version);
        memcpy(libraries[i].path, outcomes[i].path, sizeof libraries[i].path);
    }
    pthread_mutex_unlock(&lock);
}
