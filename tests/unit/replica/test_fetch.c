/* SPDX-License-Identifier: MIT */
/* The bytes between follower and leader: round trips, damage of every kind, epoch vectors. */
#include "base/mem.h"
#include "kt_test.h"
#include "replica/fetch.h"

#include <stdlib.h>

#define A "aaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbb"
#define C "cccccccccccccccc"
#define D "dddddddddddddddd"

/* --- requests --- */

static void fill_request(struct kt_fetch_request *request, struct kt_epoch *vector, size_t count)
{
    memset(request, 0, sizeof(*request));
    memcpy(request->cluster, A, sizeof(A));
    memcpy(request->node, B, sizeof(B));
    memcpy(request->leader, D, sizeof(D));
    memcpy(request->session, C, sizeof(C));
    request->request = 7;
    request->took = 6;
    request->epoch = 3;
    request->after = 90;
    request->after_id.epoch = 2;
    memcpy(request->after_id.epoch_id, B, sizeof(B));
    request->vector = vector;
    request->vector_count = count;
    request->commit = 88;
    request->wait_ms = 500;
    request->max_bytes = 1 << 20;
}

static void a_request_reads_back_as_it_was_written(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_epoch vector[3] = {{1, A, 1}, {2, B, 40}, {UINT64_C(1) << 53, C, 91}};
    struct kt_fetch_request request, back;
    struct kt_buf json;
    fill_request(&request, vector, 3);
    kt_buf_init(&json, 0);
    kt_fetch_request_format(&request, &json);
    CHECK_OK(kt_fetch_request_parse(kt_buf_str(&json), &back, &err));
    CHECK_STR(back.cluster, A);
    CHECK_STR(back.node, B);
    CHECK_STR(back.leader, D);
    CHECK_STR(back.session, C);
    CHECK_INT(back.request, 7);
    CHECK_INT(back.took, 6);
    CHECK_INT(back.epoch, 3);
    CHECK_INT(back.after, 90);
    CHECK_INT(back.after_id.epoch, 2);
    CHECK_STR(back.after_id.epoch_id, B);
    CHECK_INT(back.commit, 88);
    CHECK_INT(back.wait_ms, 500);
    CHECK_INT(back.max_bytes, 1 << 20);
    CHECK_INT(back.vector_count, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(back.vector[i].epoch, vector[i].epoch);
        CHECK_STR(back.vector[i].epoch_id, vector[i].epoch_id);
        CHECK_INT(back.vector[i].first_seq, vector[i].first_seq);
    }
    kt_fetch_request_done(&back);
    kt_buf_done(&json);
}

static void an_empty_logs_request_has_no_id_and_no_vector(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_request request, back;
    struct kt_buf json;
    fill_request(&request, NULL, 0);
    request.after = 0;
    kt_buf_init(&json, 0);
    kt_fetch_request_format(&request, &json);
    CHECK(kt_str_find(kt_buf_str(&json), KT_STR("\"after_id\":null")) > 0);
    CHECK_OK(kt_fetch_request_parse(kt_buf_str(&json), &back, &err));
    CHECK_INT(back.after, 0);
    CHECK_INT(back.vector_count, 0);
    CHECK(back.vector == NULL);
    kt_fetch_request_done(&back);
    kt_buf_done(&json);
}

/* A node that was restarted very often must not be refused for ever. */
static void of_a_very_long_vector_the_newest_epochs_are_sent(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_request request, back;
    struct kt_buf json;
    size_t count = KT_FETCH_VECTOR_MAX + 100;
    struct kt_epoch *vector = kt_calloc(count, sizeof(*vector));
    CHECK(vector != NULL);
    for (size_t i = 0; i < count; i++) {
        vector[i].epoch = vector[i].first_seq = i + 1;
        memcpy(vector[i].epoch_id, A, sizeof(A));
    }
    fill_request(&request, vector, count);
    kt_buf_init(&json, 0);
    kt_fetch_request_format(&request, &json);
    CHECK_OK(kt_fetch_request_parse(kt_buf_str(&json), &back, &err));
    CHECK_INT(back.vector_count, KT_FETCH_VECTOR_MAX);
    CHECK_INT(back.vector[0].epoch, 101);
    CHECK_INT(back.vector[KT_FETCH_VECTOR_MAX - 1].epoch, count);
    kt_fetch_request_done(&back);
    kt_buf_done(&json);
    kt_free(vector);
}

#define IDS "\"cluster\":\"" A "\",\"node\":\"" B "\",\"leader\":\"" D "\",\"session\":\"" C "\","
#define NUMBERS "\"request\":1,\"took\":0,\"epoch\":1,\"after\":0,\"commit\":0"

static void what_is_no_request_is_refused_by_field(void)
{
    static const struct {
        const char *json, *field;
    } cases[] = {
        {"", NULL},
        {"{", NULL},
        {"[]", NULL},
        {"null", NULL},
        {"{}", "cluster"},
        {"{\"cluster\":7}", "cluster"},
        {"{\"cluster\":\"short\"}", "cluster"},
        {"{\"cluster\":\"" A A "\"}", "cluster"},
        {"{\"cluster\":\"zzzzzzzzzzzzzzzz\"}", "cluster"},
        {"{\"cluster\":\"" A "\",\"cluster\":\"" A "\"}", NULL},
        {"{\"cluster\":\"" A "\"}", "node"},
        {"{\"cluster\":\"" A "\",\"node\":\"" B "\"}", "leader"},
        {"{\"cluster\":\"" A "\",\"node\":\"" B "\",\"leader\":\"" D "\"}", "session"},
        {"{" IDS "\"request\":1}", "took"},
        {"{" IDS "\"request\":-1,\"took\":0,\"epoch\":1,\"after\":0,\"commit\":0}", "request"},
        {"{" IDS "\"request\":1.5,\"took\":0,\"epoch\":1,\"after\":0,\"commit\":0}", "request"},
        {"{" IDS "\"request\":1e300,\"took\":0,\"epoch\":1,\"after\":0,\"commit\":0}", "request"},
        {"{" IDS "\"request\":1e999,\"took\":0,\"epoch\":1,\"after\":0,\"commit\":0}", NULL},
        {"{" IDS "\"request\":\"1\",\"took\":0,\"epoch\":1,\"after\":0,\"commit\":0}", "request"},
        {"{" IDS NUMBERS ",\"wait_ms\":-1}", "wait_ms"},
        {"{" IDS NUMBERS ",\"wait_ms\":30001}", "wait_ms"},
        {"{" IDS NUMBERS ",\"max_bytes\":0}", "max_bytes"},
        {"{" IDS NUMBERS ",\"max_bytes\":true}", "max_bytes"},
        {"{" IDS NUMBERS ",\"extra\":1}", "extra"},
        {"{" IDS NUMBERS ",\"vector\":{}}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[1]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1,\"" A "\"]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1,\"" A "\",1,1]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1,\"x\",1]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[0,\"" A "\",1]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1,\"" A "\",0]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1.5,\"" A "\",1]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1,\"" A "\",1.25]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1e17,\"" A "\",1]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[\"1\",\"" A "\",1]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[2,\"" A "\",1],[1,\"" B "\",5]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1,\"" A "\",5],[2,\"" B "\",5]]}", "vector"},
        {"{" IDS NUMBERS ",\"vector\":[[1,\"" A "\",5],[2,\"" B "\",4]]}", "vector"},
        {"{" IDS "\"request\":1,\"took\":0,\"epoch\":1,\"after\":4,\"commit\":0}", "after_id"},
        {"{" IDS "\"request\":1,\"took\":0,\"epoch\":1,\"after\":4,\"commit\":0,\"after_id\":3}",
         "after_id"},
        {"{" IDS "\"request\":1,\"took\":0,\"epoch\":1,\"after\":4,\"commit\":0,\"after_id\":{}}",
         "after_id.epoch"},
        {"{" IDS "\"request\":1,\"took\":0,\"epoch\":1,\"after\":4,\"commit\":0,\"after_id\":"
         "{\"epoch\":1}}",
         "after_id.epoch_id"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_fetch_request request;
        memset(&request, 0xee, sizeof(request));
        enum kt_status status = kt_fetch_request_parse(kt_str(cases[i].json), &request, &err);
        if (status == KT_OK || kt_status_http(status) != 400 ||
            (cases[i].field && !strstr(err.field, cases[i].field) &&
             !strstr(cases[i].field, err.field[0] ? err.field : "?"))) {
            kt_test_fail(__FILE__, __LINE__, "%s gave %s, field \"%s\"", cases[i].json,
                         kt_status_name(status), err.field);
            return;
        }
        CHECK(err.message[0] != '\0');
        CHECK_INT(((unsigned char *)&request)[0], 0xee); /* untouched */
    }
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_request request;
    CHECK_OK(kt_fetch_request_parse(KT_STR("{" IDS NUMBERS "}"), &request, &err));
    CHECK_INT(request.wait_ms, 0);
    CHECK(request.max_bytes > 0);
    kt_fetch_request_done(&request);
}

static void a_request_with_too_many_epochs_is_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_request request;
    struct kt_buf json;
    kt_buf_init(&json, 0);
    kt_buf_append_text(&json, "{" IDS NUMBERS ",\"vector\":[");
    for (int i = 1; i <= KT_FETCH_VECTOR_MAX + 1; i++) {
        kt_buf_printf(&json, "%s[%d,\"" A "\",%d]", i > 1 ? "," : "", i, i);
    }
    kt_buf_append_text(&json, "]}");
    CHECK_FAILS(kt_fetch_request_parse(kt_buf_str(&json), &request, &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "vector");
    kt_buf_done(&json);
}

static void parsing_a_request_survives_every_shortage_of_memory(void)
{
    struct kt_epoch vector[2] = {{1, A, 1}, {2, B, 40}};
    struct kt_fetch_request request, back;
    struct kt_buf json;
    fill_request(&request, vector, 2);
    kt_buf_init(&json, 0);
    kt_fetch_request_format(&request, &json);
    enum kt_status status = KT_NO_MEMORY;
    for (uint64_t nth = 1; status != KT_OK && nth < 1000; nth++) {
        struct kt_error err = KT_ERROR_INIT;
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_fetch_request_parse(kt_buf_str(&json), &back, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
    }
    CHECK_INT(status, KT_OK);
    kt_fetch_request_done(&back);
    kt_buf_done(&json);
}

/* --- answers --- */

static void fill_answer(struct kt_buf *bytes)
{
    struct kt_fetch_head head = {.epoch = 3, .request = 7, .commit = 90, .now_wall_ms = 123456};
    struct kt_entry first = {91, 3, -5, KT_STR("key-1"), KT_STR("a body")};
    struct kt_entry second = {92, 3, 1700000000000, KT_STR(""), KT_STR("")};
    struct kt_entry third = {93, 3, 1700000000001, KT_STR("k"), {"\0\xff\n", 3}};
    kt_buf_init(bytes, 0);
    kt_fetch_head_format(&head, bytes);
    kt_fetch_frame_append(&first, bytes);
    kt_fetch_frame_append(&second, bytes);
    kt_fetch_frame_append(&third, bytes);
}

static void an_answer_reads_back_as_it_was_written(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_head head;
    struct kt_str frames;
    struct kt_entry entry;
    struct kt_buf bytes;
    bool more = false;
    fill_answer(&bytes);
    CHECK_OK(kt_fetch_head_parse(kt_buf_str(&bytes), &head, &frames, &err));
    CHECK_INT(head.epoch, 3);
    CHECK_INT(head.request, 7);
    CHECK_INT(head.commit, 90);
    CHECK_INT(head.now_wall_ms, 123456);
    CHECK(!head.differs);
    CHECK_OK(kt_fetch_frame_next(&frames, &entry, &more, &err));
    CHECK(more);
    CHECK_INT(entry.seq, 91);
    CHECK_INT(entry.epoch, 3);
    CHECK_INT(entry.wall_ms, -5);
    CHECK_SLICE(entry.key, "key-1");
    CHECK_SLICE(entry.body, "a body");
    CHECK_OK(kt_fetch_frame_next(&frames, &entry, &more, &err));
    CHECK_INT(entry.seq, 92);
    CHECK_INT(entry.key.len, 0);
    CHECK_INT(entry.body.len, 0);
    CHECK_OK(kt_fetch_frame_next(&frames, &entry, &more, &err));
    CHECK_INT(entry.body.len, 3);
    CHECK(memcmp(entry.body.data, "\0\xff\n", 3) == 0);
    CHECK(more);
    CHECK_OK(kt_fetch_frame_next(&frames, &entry, &more, &err));
    CHECK(!more);
    kt_buf_done(&bytes);
}

static void a_differing_answer_carries_the_end_and_the_vector(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_epoch vector[2] = {{1, A, 1}, {2, B, 40}};
    struct kt_fetch_head head = {.epoch = 3,
                                 .request = 7,
                                 .commit = 90,
                                 .differs = true,
                                 .end_seq = 99,
                                 .vector = vector,
                                 .vector_count = 2};
    struct kt_fetch_head back;
    struct kt_str frames;
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    kt_fetch_head_format(&head, &bytes);
    CHECK(kt_str_find(kt_buf_str(&bytes), KT_STR("[[1,\"" A "\",1],[2,\"" B "\",40]]")) > 0);
    CHECK_OK(kt_fetch_head_parse(kt_buf_str(&bytes), &back, &frames, &err));
    CHECK(back.differs);
    CHECK(!back.copy);
    CHECK_INT(back.end_seq, 99);
    CHECK_INT(back.vector_count, 2);
    CHECK_STR(back.vector[1].epoch_id, B);
    CHECK_INT(back.vector[1].first_seq, 40);
    CHECK_INT(frames.len, 0);
    kt_fetch_head_done(&back);
    kt_buf_clear(&bytes);
    head.differs = false;
    head.copy = true;
    kt_fetch_head_format(&head, &bytes);
    CHECK_OK(kt_fetch_head_parse(kt_buf_str(&bytes), &back, &frames, &err));
    CHECK(back.copy && !back.differs);
    kt_fetch_head_done(&back);
    kt_buf_done(&bytes);
}

/* Reads everything; counts the entries that came out right. */
static enum kt_status read_all(struct kt_str bytes, int *ret_entries, bool *ret_same)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_head head;
    struct kt_str frames;
    struct kt_entry entry;
    bool more = true;
    *ret_entries = 0;
    enum kt_status status = kt_fetch_head_parse(bytes, &head, &frames, &err);
    *ret_same = status == KT_OK && head.epoch == 3 && head.request == 7 && head.commit == 90 &&
                head.now_wall_ms == 123456 && !head.differs;
    while (status == KT_OK && more) {
        status = kt_fetch_frame_next(&frames, &entry, &more, &err);
        *ret_entries += status == KT_OK && more;
    }
    if (status != KT_OK && (err.status != status || !err.message[0])) {
        return KT_INTERNAL;
    }
    return status;
}

static void every_truncation_of_an_answer_is_corrupt_or_ends_between_frames(void)
{
    struct kt_buf bytes;
    fill_answer(&bytes);
    int whole_prefixes = 0;
    for (size_t len = 0; len < bytes.len_bytes; len++) {
        int entries = 0;
        bool same = false;
        /* In a block of its own size, so that a sanitizer sees any step beyond it. */
        char *part = kt_malloc(len ? len : 1);
        CHECK(part != NULL);
        memcpy(part, bytes.data, len);
        enum kt_status status = read_all(kt_str_n(part, len), &entries, &same);
        kt_free(part);
        CHECK(status == KT_CORRUPT || (status == KT_OK && same && entries < 3));
        whole_prefixes += status == KT_OK;
    }
    CHECK_INT(whole_prefixes, 3); /* after the head, and after each frame but the last */
    kt_buf_done(&bytes);
}

static void no_flipped_bit_of_an_answer_changes_an_entry_unseen(void)
{
    struct kt_buf bytes;
    fill_answer(&bytes);
    size_t head_len = 4 + (unsigned char)bytes.data[0];
    for (size_t bit = 0; bit < bytes.len_bytes * 8; bit++) {
        int entries = 0;
        bool same = false;
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ (1 << (bit % 8)));
        enum kt_status status = read_all(kt_buf_str(&bytes), &entries, &same);
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ (1 << (bit % 8)));
        if (bit / 8 >= head_len) {
            CHECK_INT(status, KT_CORRUPT); /* every bit of a frame is checked */
        } else {
            /* A head has no checksum of its own (TCP and HTTP carry it): it must stay harmless. */
            CHECK(status == KT_CORRUPT || status == KT_OK);
        }
    }
    kt_buf_done(&bytes);
}

static void heads_that_are_none_are_corrupt(void)
{
    static const char *const heads[] = {
        "",
        "{}",
        "[]",
        "{\"epoch\":1}",
        "{\"epoch\":1,\"request\":1}",
        "{\"epoch\":-1,\"request\":1,\"commit\":0}",
        "{\"epoch\":1,\"request\":1,\"commit\":\"0\"}",
        "{\"epoch\":1,\"request\":1,\"commit\":0,\"differs\":1}",
        "{\"epoch\":1,\"request\":1,\"commit\":0,\"differs\":true}",
        "{\"epoch\":1,\"request\":1,\"commit\":0,\"now_wall_ms\":1.5}",
        "{\"epoch\":1,\"request\":1,\"commit\":0}x",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(heads); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_fetch_head head;
        struct kt_str frames;
        struct kt_buf bytes;
        kt_buf_init(&bytes, 0);
        kt_buf_put_u32(&bytes, (uint32_t)strlen(heads[i]));
        kt_buf_append_text(&bytes, heads[i]);
        CHECK_FAILS(kt_fetch_head_parse(kt_buf_str(&bytes), &head, &frames, &err), KT_CORRUPT);
        CHECK_INT(err.status, KT_CORRUPT);
        kt_buf_done(&bytes);
    }
}

static void lengths_beyond_the_answer_are_corrupt(void)
{
    static const uint32_t lengths[] = {0, 1, 25, 1000, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < KT_ARRAY_LEN(lengths); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_entry entry;
        struct kt_buf bytes;
        bool more = false;
        kt_buf_init(&bytes, 0);
        kt_buf_put_u32(&bytes, lengths[i]);
        kt_buf_put_u32(&bytes, 0);
        for (int k = 0; k < 30; k++) {
            kt_buf_append_byte(&bytes, 0);
        }
        struct kt_str frames = kt_buf_str(&bytes);
        CHECK_FAILS(kt_fetch_frame_next(&frames, &entry, &more, &err), KT_CORRUPT);
        CHECK_INT(frames.len, 38); /* untouched */
        struct kt_fetch_head head;
        CHECK_FAILS(kt_fetch_head_parse(kt_buf_str(&bytes), &head, &frames, &err), KT_CORRUPT);
        kt_buf_done(&bytes);
    }
}

static void random_bytes_are_never_taken_for_entries(void)
{
    unsigned state = 1;
    char bytes[200];
    for (int round = 0; round < 20000; round++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_entry entry;
        bool more = false;
        state = state * 1664525 + 1013904223;
        size_t len = 1 + (state >> 16) % sizeof(bytes);
        for (size_t i = 0; i < len; i++) {
            state = state * 1664525 + 1013904223;
            bytes[i] = (char)(state >> 24);
        }
        if (len >= 8) {
            bytes[0] = (char)(len - 8); /* a length that fits */
            bytes[1] = bytes[2] = bytes[3] = 0;
        }
        struct kt_str frames = kt_str_n(bytes, len);
        CHECK_FAILS(kt_fetch_frame_next(&frames, &entry, &more, &err), KT_CORRUPT);
    }
}

/* --- epoch vectors --- */

struct vector_case {
    const char *what;
    struct kt_epoch a[4], b[4];
    size_t a_count, b_count;
    uint64_t a_end, b_end, common;
};

static void two_logs_agree_up_to_the_end_of_their_last_common_epoch(void)
{
    static const struct vector_case cases[] = {
        {"both empty", {{0}}, {{0}}, 0, 0, 0, 0, 0},
        {"one empty", {{1, A, 1}}, {{0}}, 1, 0, 9, 0, 0},
        {"the same", {{1, A, 1}}, {{1, A, 1}}, 1, 1, 9, 9, 9},
        {"one shorter", {{1, A, 1}}, {{1, A, 1}}, 1, 1, 9, 4, 4},
        {"one longer", {{1, A, 1}}, {{1, A, 1}}, 1, 1, 4, 9, 4},
        {"another id", {{1, A, 1}}, {{1, B, 1}}, 1, 1, 9, 9, 0},
        {"a later epoch here", {{1, A, 1}, {2, B, 5}}, {{1, A, 1}}, 2, 1, 9, 9, 4},
        {"a later epoch there", {{1, A, 1}}, {{1, A, 1}, {2, B, 7}}, 1, 2, 9, 9, 6},
        {"a later epoch there, beyond the own end",
         {{1, A, 1}},
         {{1, A, 1}, {2, B, 7}},
         1,
         2,
         3,
         9,
         3},
        {"one number, two epochs", {{1, A, 1}, {2, B, 5}}, {{1, A, 1}, {2, C, 7}}, 2, 2, 9, 9, 4},
        {"the last is common", {{1, A, 1}, {2, B, 5}}, {{1, A, 1}, {2, B, 5}}, 2, 2, 8, 9, 8},
        {"a gap here", {{1, A, 1}, {3, C, 5}}, {{1, A, 1}, {2, B, 3}, {3, C, 5}}, 2, 3, 8, 9, 8},
        {"an id that came back under another epoch",
         {{1, A, 1}, {2, A, 5}},
         {{1, A, 1}, {3, A, 5}},
         2,
         2,
         9,
         9,
         4},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        const struct vector_case *c = &cases[i];
        uint64_t ab = kt_epochs_common(c->a, c->a_count, c->a_end, c->b, c->b_count, c->b_end);
        uint64_t ba = kt_epochs_common(c->b, c->b_count, c->b_end, c->a, c->a_count, c->a_end);
        if (ab != c->common || ba != c->common) {
            kt_test_fail(__FILE__, __LINE__, "%s: %llu and %llu, expected %llu", c->what,
                         (unsigned long long)ab, (unsigned long long)ba,
                         (unsigned long long)c->common);
            return;
        }
    }
}

static void an_entry_belongs_to_the_last_epoch_that_began_at_or_before_it(void)
{
    static const struct kt_epoch epochs[3] = {{1, A, 1}, {4, B, 5}, {5, C, 6}};
    CHECK(kt_epochs_at(epochs, 3, 0) == NULL);
    CHECK(kt_epochs_at(NULL, 0, 7) == NULL);
    CHECK(kt_epochs_at(epochs, 3, 1) == &epochs[0]);
    CHECK(kt_epochs_at(epochs, 3, 4) == &epochs[0]);
    CHECK(kt_epochs_at(epochs, 3, 5) == &epochs[1]);
    CHECK(kt_epochs_at(epochs, 3, 6) == &epochs[2]);
    CHECK(kt_epochs_at(epochs, 3, 600) == &epochs[2]);
    CHECK(kt_epochs_at(epochs + 1, 2, 4) == NULL);
}

static const struct kt_test tests[] = {
    TEST(a_request_reads_back_as_it_was_written),
    TEST(an_empty_logs_request_has_no_id_and_no_vector),
    TEST(of_a_very_long_vector_the_newest_epochs_are_sent),
    TEST(what_is_no_request_is_refused_by_field),
    TEST(a_request_with_too_many_epochs_is_refused),
    TEST(parsing_a_request_survives_every_shortage_of_memory),
    TEST(an_answer_reads_back_as_it_was_written),
    TEST(a_differing_answer_carries_the_end_and_the_vector),
    TEST(every_truncation_of_an_answer_is_corrupt_or_ends_between_frames),
    TEST(no_flipped_bit_of_an_answer_changes_an_entry_unseen),
    TEST(heads_that_are_none_are_corrupt),
    TEST(lengths_beyond_the_answer_are_corrupt),
    TEST(random_bytes_are_never_taken_for_entries),
    TEST(two_logs_agree_up_to_the_end_of_their_last_common_epoch),
    TEST(an_entry_belongs_to_the_last_epoch_that_began_at_or_before_it),
};

KT_TEST_MAIN(tests)
