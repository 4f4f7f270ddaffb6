// A hash table with open addressing: few keys, many look-ups.
#include "context.h"
#include <stdlib.h>
#include <string.h>

uint64_t table_hash(uint64_t hash, const void *bytes, size_t length) {
    for (const uint8_t *p = bytes; length--; p++) hash = (hash ^ *p) * 0x100000001b3;
    return hash;
}

/// The entry of a key, or the free one where it belongs.
static table_entry *locate(const table *t, uint64_t hash, const void *key, size_t length) {
    for (size_t i = hash;; i++) {
        table_entry *e = &t->entries[i & (t->capacity - 1)];
        if (!e->key || (e->hash == hash && e->length == length && memcmp(e->key, key, length) == 0)) return e;
    }
}

void *table_find(const table *t, const void *key, size_t length) {
    return t->capacity ? locate(t, table_hash(0xcbf29ce484222325, key, length), key, length)->value : NULL;
}

static void grow(table *t) {
    table old = *t;
    t->capacity = old.capacity ? 2 * old.capacity : 64;
    t->entries = calloc(t->capacity, sizeof *t->entries);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].key) *locate(t, old.entries[i].hash, old.entries[i].key, old.entries[i].length) = old.entries[i];
    free(old.entries);
}

void table_insert(table *t, const void *key, size_t length, void *value) {
    if (2 * (t->count + 1) > t->capacity) grow(t);
    uint64_t hash = table_hash(0xcbf29ce484222325, key, length);
    void *copy = malloc(length);
    memcpy(copy, key, length);
    *locate(t, hash, key, length) = (table_entry){hash, length, copy, value};
    t->count++;
}

void table_clear(table *t, void (*destroy)(void *)) {
    for (size_t i = 0; i < t->capacity; i++) {
        if (!t->entries[i].key) continue;
        if (destroy) destroy(t->entries[i].value);
        free(t->entries[i].key);
    }
    free(t->entries);
    *t = (table){0};
}
