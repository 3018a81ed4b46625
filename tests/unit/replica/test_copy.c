/* SPDX-License-Identifier: MIT */
/* A full copy on the wire: it arrives whole however it is cut, or not at all. */
#include "base/hash.h"
#include "replica/copy.h"
#include "store/db.h"
#include "tests/unit/store/store_help.h"

#define CLUSTER "00000000000000cc"

static struct kt_store *new_member(const char *cluster, bool half_copy)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(help_path());
    struct kt_store_kept kept = {.config_json = KT_STR("{}"), .epoch = 1, .half_copy = half_copy};
    kt_str_copy(kept.cluster_id, sizeof(kept.cluster_id), kt_str(cluster));
    if (kt_store_keep(store, &kept, &err) != KT_OK) {
        help_fatal("keep", &err);
    }
    return store;
}

static struct kt_store *new_giver(void)
{
    struct kt_store *store = new_member(CLUSTER, false);
    help_found(store, 4096);
    SAVE(store, {"s", 1, "", HELP_NO_D, "a", 1});
    return store;
}

/* The whole answer. */
static void give(struct kt_store *giver, struct kt_buf *ret_bytes)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_http_response response;
    struct kt_copy_head head = {.cluster = CLUSTER, .epoch = 7, .request = 9};
    struct kt_buf chunk;
    kt_buf_init(&chunk, 0);
    memset(&response, 0, sizeof(response));
    if (kt_copy_give(giver, &head, &response, &err) != KT_OK) {
        help_fatal("give", &err);
    }
    do {
        kt_buf_clear(&chunk);
        if (response.stream_next(response.stream_ctx, &chunk, &err) != KT_OK) {
            help_fatal("next", &err);
        }
        kt_buf_append_str(ret_bytes, kt_buf_str(&chunk));
    } while (chunk.len_bytes > 0);
    response.stream_done(response.stream_ctx);
    kt_buf_done(&chunk);
}

/* In pieces of up to `most` bytes. */
static enum kt_status take(struct kt_store *store, struct kt_str bytes, size_t most, bool finish,
                           struct kt_error *err)
{
    struct kt_copy_taker *taker = NULL;
    uint64_t seed = 1;
    enum kt_status status = kt_copy_taker_new(store, &taker, err);
    while (status == KT_OK && bytes.len > 0) {
        size_t len = kt_prng_next(&seed) % most + 1;
        len = len < bytes.len ? len : bytes.len;
        status = kt_copy_taker_put(taker, kt_str_n(bytes.data, len), err);
        bytes.data += len;
        bytes.len -= len;
    }
    if (status == KT_OK) {
        status = kt_copy_taker_check(taker, err);
    }
    if (status == KT_OK) {
        const struct kt_copy_head *head = kt_copy_taker_head(taker);
        if (head->epoch != 7 || head->request != 9 || head->applied_seq != 2 || head->commit != 2 ||
            head->vector_count != 1) {
            kt_test_fail(__FILE__, __LINE__, "another head came");
        }
    }
    if (status == KT_OK && finish) {
        status = kt_copy_taker_finish(taker, err);
    }
    kt_copy_taker_free(&taker);
    return status;
}

static void a_copy_arrives_however_it_is_cut(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *giver = new_giver(), *taker = new_member(CLUSTER, true);
    static const size_t cuts[] = {1, 7, 5000, 1 << 20};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    give(giver, &bytes);
    for (size_t i = 0; i < KT_ARRAY_LEN(cuts); i++) {
        bool last = i + 1 == KT_ARRAY_LEN(cuts);
        CHECK_OK(take(taker, kt_buf_str(&bytes), cuts[i], last, &err));
    }
    CHECK_FAILS(take(taker, kt_buf_str(&bytes), 100, true, &err), KT_CONFLICT); /* one waits */
    kt_buf_done(&bytes);
    kt_store_close(&giver);
    kt_store_close(&taker);
}

static void a_large_copy_goes_in_pieces_behind_signs_of_life(void)
{
    struct kt_store *giver = new_giver();
    struct kt_change_builder *builder = kt_change_builder_new(16 << 20);
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    for (int i = 0; i < 30000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "s%d", i % 100);
        help_add(builder, &(struct help_record){key, i, "Q", 5, "a", i, "b", -i});
    }
    (void)help_commit_builder(giver, builder);
    kt_change_builder_free(&builder);
    give(giver, &bytes);
    struct kt_rd rd;
    kt_rd_init(&rd, bytes.data, bytes.len_bytes);
    uint32_t head = kt_rd_u32(&rd);
    (void)kt_rd_raw(&rd, head);
    int empty = 0, full = 0;
    while (!rd.bad && kt_rd_left(&rd) > 4) {
        uint32_t len = kt_rd_u32(&rd);
        (void)kt_rd_raw(&rd, len);
        empty += len == 0 && full == 0;
        full += len > 0;
        CHECK(len <= KT_COPY_PIECE_BYTES);
    }
    CHECK(!rd.bad);
    CHECK(empty >= 1);
    CHECK(full >= 4);
    kt_buf_done(&bytes);
    kt_store_close(&giver);
}

static void any_changed_byte_is_noticed(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *giver = new_giver(), *taker = new_member(CLUSTER, true);
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    give(giver, &bytes);
    size_t step = kt_test_is_slow() ? 40009 : 2003;
    for (size_t at = 0; at < bytes.len_bytes; at += at < 300 ? 1 : step) {
        bytes.data[at] ^= 0x10;
        enum kt_status status = take(taker, kt_buf_str(&bytes), 1 << 20, true, &err);
        bytes.data[at] ^= 0x10;
        if (status != KT_CORRUPT) {
            kt_test_fail(__FILE__, __LINE__, "byte %d: %s %s", (int)at, kt_status_name(status),
                         err.message);
            return;
        }
    }
    bytes.data[bytes.len_bytes - 1] ^= 1;
    CHECK_FAILS(take(taker, kt_buf_str(&bytes), 1 << 20, true, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "checksum"));
    kt_buf_done(&bytes);
    kt_store_close(&giver);
    kt_store_close(&taker);
}

static void an_answer_that_ends_early_or_late_is_no_copy(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *giver = new_giver(), *taker = new_member(CLUSTER, true);
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    give(giver, &bytes);
    for (size_t len = 0; len < bytes.len_bytes; len += len < 300 ? 3 : 4099) {
        CHECK_FAILS(take(taker, kt_str_n(bytes.data, len), 9000, true, &err), KT_CORRUPT);
        CHECK(strstr(err.message, "cut short"));
    }
    CHECK_FAILS(take(taker, kt_str_n(bytes.data, bytes.len_bytes - 1), 9000, true, &err),
                KT_CORRUPT);
    kt_buf_append_byte(&bytes, 0);
    CHECK_FAILS(take(taker, kt_buf_str(&bytes), 9000, true, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "behind the end"));
    kt_buf_done(&bytes);
    kt_store_close(&giver);
    kt_store_close(&taker);
}

static void a_copy_of_another_cluster_is_not_even_begun(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *giver = new_giver(), *taker = new_member("00000000000000dd", true);
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    give(giver, &bytes);
    CHECK_FAILS(take(taker, kt_buf_str(&bytes), 100, true, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "of cluster " CLUSTER));
    kt_store_close(&taker);
    taker = new_member(CLUSTER, false);
    CHECK_FAILS(take(taker, kt_buf_str(&bytes), 100, true, &err), KT_CONFLICT);
    kt_buf_done(&bytes);
    kt_store_close(&giver);
    kt_store_close(&taker);
}

/* A head, as JSON, with its length before it and nothing else. */
static enum kt_status take_head(struct kt_store *taker, const char *json, struct kt_error *err)
{
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    kt_buf_put_u32(&bytes, (uint32_t)strlen(json));
    kt_buf_append_text(&bytes, json);
    enum kt_status status = take(taker, kt_buf_str(&bytes), 100, true, err);
    kt_buf_done(&bytes);
    return status;
}

#define HEAD(cluster, bytes, vector)                                                               \
    "{\"cluster\":" cluster ",\"epoch\":7,\"request\":9,\"applied_seq\":2,\"commit\":2,"           \
    "\"bytes\":" bytes ",\"schema\":3,\"vector\":" vector "}"

static void a_head_that_is_none_is_refused(void)
{
    static const struct {
        const char *json, *why;
    } cases[] = {
        {"{", "the head of a full copy"},
        {"[]", "the head of a full copy"},
        {"{}", "cluster must be 16"},
        {HEAD("\"cc\"", "4096", "[]"), "cluster must be 16"},
        {HEAD("\"" CLUSTER "\"", "-1", "[]"), "bytes"},
        {HEAD("\"" CLUSTER "\"", "1.5", "[]"), "bytes"},
        {HEAD("\"" CLUSTER "\"", "null", "[]"), "bytes is missing"},
        {HEAD("\"" CLUSTER "\"", "4096", "null"), "vector must have"},
        {HEAD("\"" CLUSTER "\"", "4096", "{}"), "vector"},
        {HEAD("\"" CLUSTER "\"", "4096", "[[1,\"00000000000000e1\"]]"), "vector must hold"},
        {HEAD("\"" CLUSTER "\"", "4096", "[[1,\"e1\",1]]"), "vector must hold"},
        {HEAD("\"" CLUSTER "\"", "4096", "[[0,\"00000000000000e1\",1]]"), "vector must hold"},
        {HEAD("\"" CLUSTER "\"", "4096", "[[1,\"00000000000000e1\",1.5]]"), "vector must hold"},
        {HEAD("\"" CLUSTER "\"", "4096", "[7]"), "vector must hold"},
        {HEAD("\"" CLUSTER "\"", "4096", "[[1,\"00000000000000e1\",1]]"), "cut short"},
    };
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *taker = new_member(CLUSTER, true);
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        enum kt_status status = take_head(taker, cases[i].json, &err);
        if (status != KT_CORRUPT || !strstr(err.message, cases[i].why)) {
            kt_test_fail(__FILE__, __LINE__, "%s gives %s: %s", cases[i].json,
                         kt_status_name(status), err.message);
        }
    }
    CHECK_FAILS(take(taker, kt_str_n("\xff\xff\xff\xff", 4), 4, true, &err), KT_CORRUPT);
    CHECK_FAILS(take(taker, kt_str_n("\0\0\0\0", 4), 4, true, &err), KT_CORRUPT);
    kt_store_close(&taker);
}

static void pieces_beyond_their_bound_are_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *taker = new_member(CLUSTER, true);
    static const char json[] = HEAD("\"" CLUSTER "\"", "5000", "[[1,\"00000000000000e1\",1]]");
    static const uint32_t lengths[] = {5001, KT_COPY_PIECE_BYTES + 1, UINT32_MAX};
    for (size_t i = 0; i < KT_ARRAY_LEN(lengths); i++) {
        struct kt_buf bytes;
        kt_buf_init(&bytes, 0);
        kt_buf_put_u32(&bytes, sizeof(json) - 1);
        kt_buf_append_text(&bytes, json);
        kt_buf_put_u32(&bytes, 0); /* a sign of life */
        kt_buf_put_u32(&bytes, lengths[i]);
        CHECK_FAILS(take(taker, kt_buf_str(&bytes), 100, true, &err), KT_CORRUPT);
        CHECK(strstr(err.message, "a piece of a copy"));
        kt_buf_done(&bytes);
    }
    kt_store_close(&taker);
}

static const struct kt_test tests[] = {
    TEST(a_copy_arrives_however_it_is_cut),
    TEST(a_large_copy_goes_in_pieces_behind_signs_of_life),
    TEST(any_changed_byte_is_noticed),
    TEST(an_answer_that_ends_early_or_late_is_no_copy),
    TEST(a_copy_of_another_cluster_is_not_even_begun),
    TEST(a_head_that_is_none_is_refused),
    TEST(pieces_beyond_their_bound_are_refused),
};
KT_TEST_MAIN(tests)
