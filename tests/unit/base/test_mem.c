/* SPDX-License-Identifier: MIT */
#include "base/arena.h"
#include "base/fs.h"
#include "base/mem.h"
#include "kt_test.h"

static void sizes_that_overflow_give_null(void)
{
    CHECK(!kt_calloc(SIZE_MAX / 2, 3));
    CHECK(!kt_reallocarray(NULL, SIZE_MAX / 2, 3));
    CHECK(!kt_strndup("x", SIZE_MAX));
}

static void no_bytes_are_a_block_too(void)
{
    KT_AUTOFREE void *a = kt_malloc(0);
    KT_AUTOFREE void *b = kt_calloc(0, 8);
    KT_AUTOFREE void *c = kt_realloc(NULL, 0);
    CHECK(a && b && c);
    kt_free(NULL);
}

static void copies_end_with_nul(void)
{
    KT_AUTOFREE char *a = kt_strdup("abc");
    KT_AUTOFREE char *b = kt_strndup("a\0c", 3);
    KT_AUTOFREE char *c = kt_strndup(NULL, 0);
    CHECK_STR(a, "abc");
    CHECK(memcmp(b, "a\0c", 4) == 0);
    CHECK_STR(c, "");
}

static void the_nth_call_fails_once_or_for_ever(void)
{
    kt_fault_set(KT_FAULT_ALLOC, 2, 0);
    KT_AUTOFREE void *a = kt_malloc(1);
    KT_AUTOFREE void *b = kt_calloc(1, 1);
    KT_AUTOFREE void *c = kt_strdup("x");
    uint64_t calls = kt_fault_calls(KT_FAULT_ALLOC);
    kt_fault_set(KT_FAULT_ALLOC, 1, 1);
    KT_AUTOFREE void *d = kt_malloc(1);
    KT_AUTOFREE void *e = kt_realloc(NULL, 1);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    KT_AUTOFREE void *f = kt_malloc(1);
    CHECK(a && !b && c && !d && !e && f);
    CHECK_INT(calls, 3);
}

static void kinds_of_faults_are_apart(void)
{
    kt_fault_set(KT_FAULT_IO, 1, 1);
    KT_AUTOFREE void *a = kt_malloc(1);
    int io = kt_fault_hit(KT_FAULT_IO);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK(a);
    CHECK(io == 1);
    CHECK(kt_fault_hit(KT_FAULT_IO) == 0);
    CHECK_INT(kt_fault_calls(KT_FAULT_IO), 1);
}

static void realloc_keeps_the_old_block_on_failure(void)
{
    KT_AUTOFREE char *block = kt_strdup("keep");
    kt_fault_set(KT_FAULT_ALLOC, 1, 0);
    void *larger = kt_realloc(block, 100);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    CHECK(!larger);
    CHECK_STR(block, "keep");
}

static void arena_blocks_are_aligned_and_apart(void)
{
    struct kt_arena *arena = kt_arena_new(64, 100000);
    CHECK(arena);
    unsigned char *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = kt_arena_alloc(arena, i);
        CHECK(blocks[i] && (uintptr_t)blocks[i] % 16 == 0);
        memset(blocks[i], (int)i, i);
    }
    for (size_t i = 0; i < 100; i++) {
        for (size_t j = 0; j < i; j++) {
            CHECK_INT(blocks[i][j], i);
        }
    }
    CHECK(blocks[0] != blocks[1]);
    kt_arena_free(&arena);
    CHECK(!arena);
    kt_arena_free(&arena);
}

static void arena_keeps_its_bound(void)
{
    struct kt_arena *arena = kt_arena_new(16, 160);
    CHECK(kt_arena_alloc(arena, 100));
    CHECK_INT(kt_arena_used(arena), 112);
    CHECK(!kt_arena_alloc(arena, 49));
    CHECK(kt_arena_alloc(arena, 48));
    CHECK(!kt_arena_alloc(arena, 0));
    CHECK(!kt_arena_alloc(arena, SIZE_MAX));
    CHECK(!kt_arena_zalloc(arena, SIZE_MAX / 2, 4));
    kt_arena_reset(arena);
    CHECK_INT(kt_arena_used(arena), 0);
    CHECK(kt_arena_alloc(arena, 160));
    kt_arena_free(&arena);
}

static void a_reset_arena_allocates_nothing_in_its_first_chunk(void)
{
    struct kt_arena *arena = kt_arena_new(1024, 1 << 20);
    void *first = kt_arena_alloc(arena, 1000);
    CHECK(kt_arena_alloc(arena, 5000));
    kt_arena_reset(arena);
    kt_fault_set(KT_FAULT_ALLOC, 1, 1);
    void *again = kt_arena_alloc(arena, 1000);
    void *more = kt_arena_alloc(arena, 1000);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    CHECK(again == first);
    CHECK(!more);
    CHECK_INT(kt_arena_used(arena), 1008);
    CHECK(kt_arena_alloc(arena, 1000));
    kt_arena_free(&arena);
}

static void arena_zeroes_and_duplicates(void)
{
    struct kt_arena *arena = kt_arena_new(1024, 1 << 20);
    memset(kt_arena_alloc(arena, 64), 0xAA, 64);
    kt_arena_reset(arena);
    unsigned char *zeroed = kt_arena_zalloc(arena, 8, 8);
    for (size_t i = 0; i < 64; i++) {
        CHECK_INT(zeroed[i], 0);
    }
    struct kt_str copy = kt_arena_dup(arena, KT_STR("text"));
    CHECK_SLICE(copy, "text");
    CHECK_INT(copy.data[4], 0);
    struct kt_str empty = kt_arena_dup(arena, (struct kt_str){NULL, 0});
    CHECK(empty.data && empty.len == 0);
    CHECK(!kt_arena_dup(arena, kt_str_n("x", 1 << 20)).data);
    kt_arena_free(&arena);
}

static void arena_new_fails_cleanly(void)
{
    for (uint64_t n = 1; n <= 2; n++) {
        kt_fault_set(KT_FAULT_ALLOC, n, 0);
        struct kt_arena *arena = kt_arena_new(64, 64);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(!arena);
    }
}

/* Small blocks below one that stays: without a trim none of their pages goes back. */
static void a_trim_gives_freed_pages_back(void)
{
    enum { BLOCKS = 65536, BLOCK_BYTES = 1024 };
    void **blocks = kt_calloc(BLOCKS, sizeof(*blocks));
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = kt_malloc(BLOCK_BYTES);
        memset(blocks[i], 0xAA, BLOCK_BYTES);
    }
    uint64_t full = kt_process_resident_bytes();
    for (size_t i = 0; i + 1 < BLOCKS; i++) {
        kt_free(blocks[i]);
    }
    kt_mem_trim();
    uint64_t trimmed = kt_process_resident_bytes();
    CHECK(full > 0 && trimmed > 0);
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(trimmed + (UINT64_C(48) << 20) < full);
#endif
    kt_free(blocks[BLOCKS - 1]);
    kt_free(blocks);
}

static const struct kt_test tests[] = {
    TEST(sizes_that_overflow_give_null),
    TEST(no_bytes_are_a_block_too),
    TEST(copies_end_with_nul),
    TEST(the_nth_call_fails_once_or_for_ever),
    TEST(kinds_of_faults_are_apart),
    TEST(realloc_keeps_the_old_block_on_failure),
    TEST(arena_blocks_are_aligned_and_apart),
    TEST(arena_keeps_its_bound),
    TEST(a_reset_arena_allocates_nothing_in_its_first_chunk),
    TEST(arena_zeroes_and_duplicates),
    TEST(arena_new_fails_cleanly),
    TEST(a_trim_gives_freed_pages_back),
};
KT_TEST_MAIN(tests)
