/* SPDX-License-Identifier: MIT */
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "kt_test.h"

static int values[2000];

static struct kt_str key_of(unsigned n, char dest[16])
{
    return kt_str_n(dest, (size_t)snprintf(dest, 16, "key-%u", n));
}

static void put_get_replace_remove(void)
{
    struct kt_map *map = kt_map_new();
    void *old = &values[9];
    CHECK(!kt_map_get(map, KT_STR("a")));
    CHECK_INT(kt_map_put(map, KT_STR("a"), &values[1], &old), KT_OK);
    CHECK(!old);
    CHECK(kt_map_get(map, KT_STR("a")) == &values[1]);
    CHECK_INT(kt_map_put(map, KT_STR("a"), &values[2], &old), KT_OK);
    CHECK(old == &values[1]);
    CHECK_INT(kt_map_put(map, (struct kt_str){NULL, 0}, &values[3], NULL), KT_OK);
    CHECK(kt_map_get(map, KT_STR("")) == &values[3]);
    CHECK_INT(kt_map_count(map), 2);
    CHECK(kt_map_remove(map, KT_STR("a")) == &values[2]);
    CHECK(!kt_map_remove(map, KT_STR("a")));
    CHECK_INT(kt_map_count(map), 1);
    kt_map_clear(map);
    CHECK_INT(kt_map_count(map), 0);
    CHECK(!kt_map_get(map, KT_STR("")));
    kt_map_free(&map);
    CHECK(!map);
    kt_map_free(&map);
}

static void keys_are_copied_and_compared_whole(void)
{
    struct kt_map *map = kt_map_new();
    char key[] = "a\0b";
    CHECK_INT(kt_map_put(map, kt_str_n(key, 3), &values[0], NULL), KT_OK);
    key[0] = 'x';
    CHECK(kt_map_get(map, kt_str_n("a\0b", 3)) == &values[0]);
    CHECK(!kt_map_get(map, KT_STR("a")));
    CHECK(!kt_map_get(map, kt_str_n("a\0c", 3)));
    kt_map_free(&map);
}

static void next_gives_each_entry_once(void)
{
    struct kt_map *map = kt_map_new();
    char text[16];
    for (unsigned i = 0; i < 1000; i++) {
        CHECK_INT(kt_map_put(map, key_of(i, text), &values[i], NULL), KT_OK);
    }
    bool seen[1000] = {false};
    size_t pos = 0, count = 0;
    struct kt_str key;
    void *value;
    while (kt_map_next(map, &pos, &key, &value)) {
        size_t index = (size_t)((int *)value - values);
        CHECK(index < 1000 && !seen[index]);
        CHECK(kt_str_eq(key, key_of((unsigned)index, text)));
        seen[index] = true;
        count++;
    }
    CHECK_INT(count, 1000);
    kt_map_free(&map);
}

/* Long churn against an array that cannot be wrong; small tables make long probe runs. */
static void churn_agrees_with_an_array(void)
{
    uint64_t state = 1;
    for (unsigned range = 5; range <= 500; range *= 10) {
        struct kt_map *map = kt_map_new();
        bool there[500] = {false};
        size_t count = 0;
        for (int step = 0; step < 50000; step++) {
            unsigned n = (unsigned)(kt_prng_next(&state) % range);
            char text[16];
            struct kt_str key = key_of(n, text);
            if (kt_prng_next(&state) % 2) {
                CHECK_INT(kt_map_put(map, key, &values[n], NULL), KT_OK);
                count += !there[n];
                there[n] = true;
            } else {
                CHECK(kt_map_remove(map, key) == (there[n] ? &values[n] : NULL));
                count -= there[n];
                there[n] = false;
            }
            unsigned other = (unsigned)(kt_prng_next(&state) % range);
            CHECK(kt_map_get(map, key_of(other, text)) == (there[other] ? &values[other] : NULL));
            CHECK_INT(kt_map_count(map), count);
        }
        kt_map_free(&map);
    }
}

static void a_put_without_memory_changes_nothing(void)
{
    struct kt_map *map = kt_map_new();
    char text[16];
    size_t failures = 0;
    for (unsigned i = 0; i < 200; i++) {
        for (uint64_t nth = 1;; nth++) {
            kt_fault_set(KT_FAULT_ALLOC, nth, 0);
            void *old = &values[7];
            enum kt_status status = kt_map_put(map, key_of(i, text), &values[i], &old);
            kt_fault_set(KT_FAULT_ALLOC, 0, 0);
            if (status == KT_OK) {
                break;
            }
            failures++;
            CHECK_INT(status, KT_NO_MEMORY);
            CHECK_INT(kt_map_count(map), i);
            CHECK(!kt_map_get(map, key_of(i, text)) && old == &values[7]);
        }
        for (unsigned j = 0; j <= i; j++) {
            CHECK(kt_map_get(map, key_of(j, text)) == &values[j]);
        }
    }
    CHECK(failures > 200);
    kt_map_free(&map);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        map = kt_map_new();
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(!map);
    }
}

static const struct kt_test tests[] = {
    TEST(put_get_replace_remove),
    TEST(keys_are_copied_and_compared_whole),
    TEST(next_gives_each_entry_once),
    TEST(churn_agrees_with_an_array),
    TEST(a_put_without_memory_changes_nothing),
};
KT_TEST_MAIN(tests)
