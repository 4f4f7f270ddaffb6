// Pages of loaded objects that need not be held. A list of the process's mappings is old as soon as it is read: another thread may have put
// its stack or a tensor where a library's table was. The loader's own list is not, as long as its lock is held.
#define _GNU_SOURCE
#include "CMemory.h"
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

enum { pagesAtOnce = 512 };

/// The words of /proc/self/pagemap: the page is in memory; it is a file's and was not written to (Documentation/admin-guide/mm/pagemap.rst).
static const uint64_t isPresent = 1ull << 63, isOfFile = 1ull << 61;

/// Whether the loader itself writes into read-only segments, which it does after the object has been listed.
static bool has_text_relocations(const struct dl_phdr_info *object) {
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
        const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && entry->d_un.d_val & DF_TEXTREL)) return true;
        }
    }
    return false;
}

/// Lets go of the pages `first ..< end` (numbers, not addresses) that are as the file has them. A written page, a debugger's breakpoint for
/// one, would be lost.
static void release_unwritten(int pagemap, uintptr_t first, uintptr_t end, uintptr_t pageSize) {
    uint64_t pages[pagesAtOnce];
    for (uintptr_t page = first; page < end; page += pagesAtOnce) {
        size_t count = end - page < pagesAtOnce ? end - page : pagesAtOnce;
        if (pread(pagemap, pages, count * sizeof *pages, (off_t)(page * sizeof *pages)) != (ssize_t)(count * sizeof *pages)) return;
        for (size_t i = 0, run = 0; i < count; i += run + 1, run = 0) {
            while (i + run < count && (pages[i + run] & (isPresent | isOfFile)) == (isPresent | isOfFile)) run++;
            if (run > 0) madvise((void *)((page + i) * pageSize), run * pageSize, MADV_DONTNEED);
        }
    }
}

static int release_object(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    if (object->dlpi_addr == getauxval(AT_SYSINFO_EHDR) || has_text_relocations(object)) return 0;  // the first is the system's own, no file
    uintptr_t pageSize = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;    // what was read-only only after relocation is listed as writable
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        // Whole pages: the first and the last may be shared with a neighbour.
        release_unwritten(*(int *)context, (start + pageSize - 1) / pageSize, (start + segment->p_filesz) / pageSize, pageSize);
    }
    return 0;
}

void cm_release_program_pages(void) {
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0) return;
    dl_iterate_phdr(release_object, &pagemap);  // holds the loader's lock: nothing is unloaded meanwhile
    close(pagemap);
}
