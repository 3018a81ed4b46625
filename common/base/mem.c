/* SPDX-License-Identifier: MIT */
/* mem.c - malloc and friends behind a switch that tests can pull. */
#include "base/mem.h"

#include "base/status.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Relaxed throughout: the counters order nothing else, and a test sets them before it starts the
 * threads that it wants to see fail. */
struct fault {
    atomic_bool armed; /* counting, so that the usual path is this one load */
    atomic_uint_fast64_t calls, nth;
    atomic_int sticky;
};
static struct fault faults[KT_FAULT_COUNT];

void kt_fault_set(enum kt_fault kind, uint64_t nth, int sticky)
{
    struct fault *fault = &faults[kind];
    atomic_store_explicit(&fault->nth, nth, memory_order_relaxed);
    atomic_store_explicit(&fault->sticky, sticky, memory_order_relaxed);
    atomic_store_explicit(&fault->calls, 0, memory_order_relaxed);
    atomic_store_explicit(&fault->armed, true, memory_order_relaxed);
}

uint64_t kt_fault_calls(enum kt_fault kind)
{
    return atomic_load_explicit(&faults[kind].calls, memory_order_relaxed);
}

int kt_fault_hit(enum kt_fault kind)
{
    struct fault *fault = &faults[kind];
    if (!atomic_load_explicit(&fault->armed, memory_order_relaxed)) {
        return 0;
    }
    uint64_t call = atomic_fetch_add_explicit(&fault->calls, 1, memory_order_relaxed) + 1;
    uint64_t nth = atomic_load_explicit(&fault->nth, memory_order_relaxed);
    if (nth == 0 || call < nth) {
        return 0;
    }
    return call == nth || atomic_load_explicit(&fault->sticky, memory_order_relaxed);
}

/* A size of 0 still gives a block of its own, so that NULL always means failure. */
void *kt_malloc(size_t size)
{
    return kt_fault_hit(KT_FAULT_ALLOC) ? NULL : malloc(size ? size : 1);
}

void *kt_calloc(size_t count, size_t size)
{
    /* calloc checks the product too, but the sanitizers' one ends the program. */
    size_t total;
    if (__builtin_mul_overflow(count, size, &total) || kt_fault_hit(KT_FAULT_ALLOC)) {
        return NULL;
    }
    return calloc(1, total ? total : 1);
}

void *kt_realloc(void *ptr, size_t size)
{
    return kt_fault_hit(KT_FAULT_ALLOC) ? NULL : realloc(ptr, size ? size : 1);
}

void *kt_reallocarray(void *ptr, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    return kt_realloc(ptr, total);
}

char *kt_strdup(const char *text)
{
    return kt_strndup(text, strlen(text));
}

char *kt_strndup(const char *text, size_t len)
{
    if (len == SIZE_MAX) {
        return NULL;
    }
    char *copy = kt_malloc(len + 1);
    if (!copy) {
        return NULL;
    }
    if (len) {
        memcpy(copy, text, len);
    }
    copy[len] = '\0';
    return copy;
}

void kt_free(void *ptr)
{
    free(ptr);
}

void kt_free_ptr(void *ptr_to_ptr)
{
    void *block;
    memcpy(&block, ptr_to_ptr, sizeof block);
    free(block);
}

void kt_mem_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
