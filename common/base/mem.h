/* mem.h - allocation that tests can make fail, and scope-bound cleanup.
 *
 * All of our own heap memory goes through these, so that a test can fail the nth call and walk
 * every error path. In production the check is one relaxed atomic load.
 *
 * Threads: any.
 * Owns:    the caller owns what is returned; kt_free(NULL) is allowed.
 * Fails:   NULL when memory is exhausted (or a test asked for it); sizes that overflow give NULL.
 */
#ifndef KT_BASE_MEM_H
#define KT_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *kt_malloc(size_t size);
void *kt_calloc(size_t count, size_t size);
void *kt_realloc(void *ptr, size_t size); /* as realloc: old block stays on failure */
void *kt_reallocarray(void *ptr, size_t count, size_t size);
char *kt_strdup(const char *text);
char *kt_strndup(const char *text, size_t len); /* copies exactly len bytes and adds NUL */
void kt_free(void *ptr);

/* Gives freed pages back to the system, where the allocator can. What one large request used would
 * else stay resident for ever. Walks the whole heap: now and then, never for each request. */
void kt_mem_trim(void);

/* `KT_CLEANUP(fn) T x`: fn(&x) runs when x leaves its scope. */
#define KT_CLEANUP(fn) __attribute__((cleanup(fn)))
void kt_free_ptr(void *ptr_to_ptr); /* for KT_CLEANUP on heap pointers */
#define KT_AUTOFREE KT_CLEANUP(kt_free_ptr)

#define KT_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Fault injection, for tests only. */
enum kt_fault { KT_FAULT_ALLOC, KT_FAULT_IO, KT_FAULT_COUNT };

/* The nth call from now on (1 = the next) fails, and each one after it too if `sticky`; 0 = off. */
void kt_fault_set(enum kt_fault kind, uint64_t nth, int sticky);
/* Calls seen since the last kt_fault_set. */
uint64_t kt_fault_calls(enum kt_fault kind);
/* For code that does I/O outside fs.h: returns 1 when this call has to fail. */
int kt_fault_hit(enum kt_fault kind);

#endif
