/* SPDX-License-Identifier: MIT */
/* Golden bytes of etcd 3.4, 3.5 and 3.6, and what is not etcd's. */
#include "etcd/etcd.h"
#include "kt_test.h"

#include "base/mem.h"

static struct kt_error err;

#define HEADER                                                                                     \
    "\"header\":{\"cluster_id\":\"14841639068965178418\",\"member_id\":\"1\","                     \
    "\"revision\":\"41\",\"raft_term\":\"2\"}"

static void keys_and_values_are_base64_and_numbers_are_strings(void)
{
    struct kt_etcd_list list;

    kt_etcd_list_init(&list);
    CHECK_OK(kt_etcd_decode_range(
        KT_STR("{" HEADER ",\"kvs\":[{\"key\":\"Zm9v\",\"create_revision\":\"2\","
               "\"mod_revision\":\"9007199254740993\",\"version\":\"1\",\"value\":\"YmFy\","
               "\"lease\":\"7103480619591219205\"},{\"key\":\"YQ==\",\"create_revision\":\"3\","
               "\"mod_revision\":\"3\",\"version\":\"1\"}],\"count\":\"2\"}\n"),
        &list, &err));
    CHECK_INT(list.count, 2);
    CHECK_INT(list.revision, 41);
    CHECK(list.cluster_id == UINT64_C(14841639068965178418));
    CHECK_SLICE(list.kvs[0].key, "foo");
    CHECK_SLICE(list.kvs[0].value, "bar");
    CHECK_INT(list.kvs[0].create_revision, 2);
    CHECK_INT(list.kvs[0].mod_revision, INT64_C(9007199254740993));
    CHECK_INT(list.kvs[0].lease, INT64_C(7103480619591219205));
    CHECK_SLICE(list.kvs[1].key, "a");
    CHECK_INT(list.kvs[1].value.len, 0);
    CHECK_INT(list.kvs[1].lease, 0);
    kt_etcd_list_done(&list);
}

static void a_range_without_kvs_is_empty(void)
{
    struct kt_etcd_list list;

    kt_etcd_list_init(&list);
    CHECK_OK(kt_etcd_decode_range(KT_STR("{" HEADER "}"), &list, &err));
    CHECK_INT(list.count, 0);
    CHECK_INT(list.revision, 41);
    kt_etcd_list_done(&list);
}

static void plain_numbers_are_read_too(void)
{
    struct kt_etcd_list list;

    kt_etcd_list_init(&list);
    CHECK_OK(kt_etcd_decode_range(KT_STR("{\"header\":{\"revision\":7},\"kvs\":[{\"key\":\"YQ==\","
                                         "\"mod_revision\":5}]}"),
                                  &list, &err));
    CHECK_INT(list.revision, 7);
    CHECK_INT(list.kvs[0].mod_revision, 5);
    kt_etcd_list_done(&list);
}

static void what_is_not_etcds_is_corrupt_and_leaves_the_output(void)
{
    static const char *const texts[] = {
        "",
        "404 page not found",
        "<html></html>",
        "[]",
        "{}",
        "{\"header\":[]}",
        "{\"header\":{\"revision\":\"x\"}}",
        "{\"header\":{\"revision\":1.5}}",
        "{" HEADER ",\"kvs\":{}}",
        "{" HEADER ",\"kvs\":[1]}",
        "{" HEADER ",\"kvs\":[{}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"a\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":7}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"YQ==\",\"value\":\"*\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"YQ==\",\"lease\":true}]}",
        "{" HEADER "} trailing",
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        struct kt_etcd_list list;

        kt_etcd_list_init(&list);
        list.revision = 99;
        if (kt_etcd_decode_range(kt_str(texts[i]), &list, &err) != KT_CORRUPT) {
            kt_test_fail(__FILE__, __LINE__, "accepted: %s", texts[i]);
        }
        CHECK_INT(list.revision, 99);
        kt_etcd_list_done(&list);
    }
}

static void succeeded_missing_is_false(void)
{
    bool succeeded = true;
    int64_t revision = 0;

    CHECK_OK(kt_etcd_decode_txn(KT_STR("{" HEADER "}"), &succeeded, &revision, &err));
    CHECK(!succeeded);
    CHECK_INT(revision, 41);
    CHECK_OK(kt_etcd_decode_txn(
        KT_STR("{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":"
               "{\"revision\":\"41\"}}}]}"),
        &succeeded, &revision, &err));
    CHECK(succeeded);
    CHECK_FAILS(kt_etcd_decode_txn(KT_STR("{" HEADER ",\"succeeded\":\"true\"}"), &succeeded,
                                   &revision, &err),
                KT_CORRUPT);
}

static void ttl_missing_means_the_lease_is_gone(void)
{
    int64_t lease = 0, ttl_s = -1;

    CHECK_OK(kt_etcd_decode_lease(KT_STR("{\"result\":{" HEADER ",\"ID\":\"123\"}}\n"), &lease,
                                  &ttl_s, &err));
    CHECK_INT(lease, 123);
    CHECK_INT(ttl_s, 0);
    CHECK_OK(kt_etcd_decode_lease(KT_STR("{\"result\":{" HEADER ",\"ID\":\"123\",\"TTL\":\"5\"}}"),
                                  &lease, &ttl_s, &err));
    CHECK_INT(ttl_s, 5);
    CHECK_OK(kt_etcd_decode_lease(KT_STR("{" HEADER ",\"ID\":\"7\",\"TTL\":\"9\"}"), &lease, &ttl_s,
                                  &err));
    CHECK_INT(lease, 7);
    CHECK_INT(ttl_s, 9);
}

static void an_error_in_a_keepalives_stream_is_found(void)
{
    int64_t lease = 0, ttl_s = 0;

    CHECK_FAILS(kt_etcd_decode_lease(
                    KT_STR("{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":"
                           "\"etcdserver: no leader\",\"http_status\":\"Service Unavailable\"}}"),
                    &lease, &ttl_s, &err),
                KT_UNAVAILABLE);
    CHECK_FAILS(kt_etcd_decode_lease(KT_STR("{\"pong\":1}"), &lease, &ttl_s, &err), KT_CORRUPT);
}

static void an_events_type_missing_means_put(void)
{
    struct kt_etcd_watch_part part;

    CHECK_OK(kt_etcd_decode_watch(
        KT_STR("{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"key\":\"Zm9v\",\"create_revision\":"
               "\"2\",\"mod_revision\":\"40\",\"version\":\"1\",\"value\":\"YmFy\"}},"
               "{\"type\":\"DELETE\",\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"41\"}}]}}"),
        &part, &err));
    CHECK_INT(part.count, 2);
    CHECK_INT(part.revision, 41);
    CHECK(!part.created && !part.canceled);
    CHECK(!part.events[0].is_delete);
    CHECK_SLICE(part.events[0].kv.value, "bar");
    CHECK(part.events[1].is_delete);
    kt_etcd_watch_part_done(&part);
}

static void a_delete_carries_no_value_but_its_key(void)
{
    struct kt_etcd_watch_part part;

    CHECK_OK(kt_etcd_decode_watch(KT_STR("{\"result\":{" HEADER
                                         ",\"events\":[{\"type\":\"DELETE\",\"kv\":{\"key\":"
                                         "\"YS9i\",\"mod_revision\":\"41\"}}]}}"),
                                  &part, &err));
    CHECK(part.events[0].is_delete);
    CHECK_SLICE(part.events[0].kv.key, "a/b");
    CHECK_INT(part.events[0].kv.value.len, 0);
    CHECK_INT(part.events[0].kv.mod_revision, 41);
    CHECK_INT(part.events[0].kv.create_revision, 0);
    kt_etcd_watch_part_done(&part);
}

static void created_and_cancelled_parts_are_told_apart(void)
{
    struct kt_etcd_watch_part part;

    CHECK_OK(
        kt_etcd_decode_watch(KT_STR("{\"result\":{" HEADER ",\"created\":true}}"), &part, &err));
    CHECK(part.created && !part.canceled && part.count == 0);
    kt_etcd_watch_part_done(&part);
    CHECK_OK(kt_etcd_decode_watch(
        KT_STR("{\"result\":{\"header\":{\"cluster_id\":\"1\"},\"canceled\":true,"
               "\"compact_revision\":\"3\"}}"),
        &part, &err));
    CHECK(part.canceled);
    CHECK_INT(part.compact_revision, 3);
    CHECK_INT(part.revision, 0);
    kt_etcd_watch_part_done(&part);
}

static void a_reason_for_cancelling_is_cut_to_what_fits_a_line(void)
{
    struct kt_etcd_watch_part part;
    struct kt_buf text;

    kt_buf_init(&text, 0);
    kt_buf_append_text(&text, "{\"result\":{" HEADER ",\"canceled\":true,\"cancel_reason\":\"no");
    for (int i = 0; i < 1000; i++) {
        kt_buf_append_byte(&text, '!');
    }
    kt_buf_append_text(&text, "\"}}");
    CHECK_OK(kt_etcd_decode_watch(kt_buf_str(&text), &part, &err));
    CHECK(part.canceled);
    CHECK_INT(strlen(part.cancel_reason), sizeof(part.cancel_reason) - 1);
    CHECK(strncmp(part.cancel_reason, "no!!!", 5) == 0);
    kt_etcd_watch_part_done(&part);
    kt_buf_done(&text);
}

/* It becomes a header's value. */
static void a_token_is_visible_text_and_nothing_else(void)
{
    static const char *const bad[] = {
        "{}",
        "{\"token\":7}",
        "{\"token\":null}",
        "{\"token\":\"\"}",
        "{\"token\":\"a b\"}",
        "{\"token\":\"a\\r\\nX: y\"}",
        "{\"token\":\"\\u00e9\"}",
        "[\"token\"]",
        "token",
    };
    struct kt_buf token;

    kt_buf_init(&token, 0);
    CHECK_OK(kt_etcd_decode_token(KT_STR("{" HEADER ",\"token\":\"aB.1\"}"), &token, &err));
    CHECK_SLICE(kt_buf_str(&token), "aB.1");
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        if (kt_etcd_decode_token(kt_str(bad[i]), &token, &err) != KT_CORRUPT) {
            kt_test_fail(__FILE__, __LINE__, "accepted: %s", bad[i]);
        }
    }
    CHECK_SLICE(kt_buf_str(&token), "aB.1");
    kt_buf_done(&token);
}

static void broken_parts_of_a_watch_are_refused(void)
{
    static const char *const texts[] = {
        "{\"result\":1}",
        "{\"result\":{}}",
        "{\"result\":{" HEADER ",\"created\":1}}",
        "{\"result\":{" HEADER ",\"canceled\":true,\"cancel_reason\":7}}",
        "{\"result\":{" HEADER ",\"events\":{}}}",
        "{\"result\":{" HEADER ",\"events\":[null]}}",
        "{\"result\":{" HEADER ",\"events\":[{}]}}",
        "{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"key\":\"%\"}}]}}",
    };
    struct kt_etcd_watch_part part;

    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        if (kt_etcd_decode_watch(kt_str(texts[i]), &part, &err) != KT_CORRUPT) {
            kt_test_fail(__FILE__, __LINE__, "accepted: %s", texts[i]);
        }
    }
    CHECK_FAILS(
        kt_etcd_decode_watch(KT_STR("{\"error\":{\"code\":16,\"message\":\"no\"}}"), &part, &err),
        KT_UNAUTHORIZED);
}

static void errors_have_two_shapes_and_sometimes_no_json(void)
{
    static const struct {
        int http;
        const char *body;
        enum kt_status status;
        const char *message;
    } cases[] = {
        {404,
         "{\"error\":\"etcdserver: requested lease not found\",\"message\":\"etcdserver: requested "
         "lease not found\",\"code\":5}",
         KT_NOT_FOUND, "etcdserver: requested lease not found (code 5)"},
        {503, "{\"code\":14, \"message\":\"etcdserver: leader changed\", \"details\":[]}",
         KT_UNAVAILABLE, "etcdserver: leader changed (code 14)"},
        {504, "{\"code\":4,\"message\":\"context deadline exceeded\"}", KT_UNAVAILABLE,
         "context deadline exceeded (code 4)"},
        {400, "{\"error\":\"compacted\",\"code\":11}", KT_GONE, "compacted (code 11)"},
        {401, "{\"code\":16,\"message\":\"etcdserver: invalid auth token\"}", KT_UNAUTHORIZED,
         "etcdserver: invalid auth token (code 16)"},
        {403, "{\"code\":7,\"message\":\"permission denied\"}", KT_FORBIDDEN,
         "permission denied (code 7)"},
        {400, "{\"code\":3,\"message\":\"bad\"}", KT_BAD_GATEWAY, "bad (code 3)"},
        {404, "404 page not found\n", KT_BAD_GATEWAY, "HTTP status 404: 404 page not found "},
        {503, "", KT_UNAVAILABLE, "HTTP status 503: no text"},
        {502, "<html>bad gateway</html>", KT_UNAVAILABLE,
         "HTTP status 502: <html>bad gateway</html>"},
        {401, "go away", KT_UNAUTHORIZED, "HTTP status 401: go away"},
        {500, "{\"pong\":true}", KT_BAD_GATEWAY, "HTTP status 500: {\"pong\":true}"},
        {500, "{\"code\":1e300}", KT_BAD_GATEWAY, "HTTP status 500: {\"code\":1e300}"},
        {400, "{\"code\":3,\"message\":\"etcdserver: user name is empty\"}", KT_UNAUTHORIZED,
         "etcdserver: user name is empty (code 3)"},
        {412, "{\"code\":9,\"message\":\"etcdserver: authentication is not enabled\"}",
         KT_NOT_SUPPORTED, "etcdserver: authentication is not enabled (code 9)"},
        {500, "{\"code\":\"5\"}", KT_BAD_GATEWAY, "HTTP status 500: {\"code\":\"5\"}"},
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        CHECK_FAILS(kt_etcd_decode_error(cases[i].http, kt_str(cases[i].body), &err),
                    cases[i].status);
        CHECK_STR(err.message, cases[i].message);
    }
}

static void check_end(struct kt_str prefix, struct kt_str expected, int line)
{
    struct kt_buf end;

    kt_buf_init(&end, 0);
    kt_etcd_range_end(prefix, &end);
    if (!kt_str_eq(kt_buf_str(&end), expected)) {
        kt_test_fail(__FILE__, line, "range_end of %zu bytes is %zu bytes", prefix.len,
                     end.len_bytes);
    }
    kt_buf_done(&end);
}

static void range_end_is_the_last_byte_plus_one_truncated_there(void)
{
    check_end(KT_STR("/kamaitachi/"), KT_STR("/kamaitachi0"), __LINE__);
    check_end(KT_STR("a"), KT_STR("b"), __LINE__);
    check_end(KT_STR("a\xff"), KT_STR("b"), __LINE__);
    check_end(KT_STR("a\xff\xff"), KT_STR("b"), __LINE__);
    check_end(KT_STR("a\x7f"), KT_STR("a\x80"), __LINE__);
    check_end(KT_STR("\xff\xff"), KT_STR("\0"), __LINE__);
    check_end(KT_STR(""), KT_STR("\0"), __LINE__);
    check_end(KT_STR("a\xfe"), KT_STR("a\xff"), __LINE__);
}

static void endpoints_are_a_comma_separated_list_with_optional_scheme(void)
{
    static const char *const good[] = {"127.0.0.1:2379",     "localhost",      "http://a:1",
                                       "a:1,http://b:2",     "a , b",          "https://a:2379",
                                       "http://[::1]:2379",  "http://a:2379/", "[::1]",
                                       "etcd-1.example:2379"};
    static const char *const bad[] = {"",         " ",       ",",         "a,",      "a,,b",
                                      "ftp://a",  "http://", "a:0x1",     "a:99999", "a b",
                                      "a:1/path", "u:p@a:1", "http://a?x"};

    for (size_t i = 0; i < KT_ARRAY_LEN(good); i++) {
        err = (struct kt_error)KT_ERROR_INIT;
        if (kt_etcd_endpoints_check(good[i], &err) != KT_OK) {
            kt_test_fail(__FILE__, __LINE__, "refused: %s: %s", good[i], err.message);
        }
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        err = (struct kt_error)KT_ERROR_INIT;
        if (kt_etcd_endpoints_check(bad[i], &err) != KT_BAD_VALUE || !err.message[0]) {
            kt_test_fail(__FILE__, __LINE__, "accepted: %s", bad[i]);
        }
    }
    CHECK_FAILS(kt_etcd_endpoints_check("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", &err), KT_BAD_VALUE);
}

static void decoders_survive_every_failed_allocation(void)
{
    struct kt_str range = KT_STR("{" HEADER ",\"kvs\":[{\"key\":\"Zm9v\",\"value\":\"YmFy\"}]}");
    struct kt_str watch =
        KT_STR("{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"key\":\"Zm9v\"}}]}}");
    bool done = false;

    for (uint64_t nth = 1; !done && nth < 200; nth++) {
        struct kt_etcd_list list;
        struct kt_etcd_watch_part part;
        enum kt_status a, b, c;

        kt_etcd_list_init(&list);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        a = kt_etcd_decode_range(range, &list, &err);
        b = kt_etcd_decode_watch(watch, &part, &err);
        c = kt_etcd_decode_error(500, range, &err);
        done = kt_fault_calls(KT_FAULT_ALLOC) < nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        kt_etcd_list_done(&list);
        if (b == KT_OK) {
            kt_etcd_watch_part_done(&part);
        }
        CHECK(done == (a == KT_OK && b == KT_OK && c == KT_BAD_GATEWAY));
        CHECK(a == KT_OK || a == KT_NO_MEMORY);
        CHECK(b == KT_OK || b == KT_NO_MEMORY);
    }
    CHECK(done);
}

static void no_cut_of_an_answer_crashes_or_passes(void)
{
    static const char text[] = "{" HEADER ",\"kvs\":[{\"key\":\"Zm9v\",\"value\":\"YmFy\"}]}";

    for (size_t len = 0; len + 1 < sizeof(text); len++) {
        struct kt_etcd_list list;
        char *copy = kt_strndup(text, len);

        kt_etcd_list_init(&list);
        CHECK(copy);
        if (len < sizeof(text) - 1) {
            CHECK_FAILS(kt_etcd_decode_range(kt_str_n(copy, len), &list, &err), KT_CORRUPT);
        }
        kt_etcd_list_done(&list);
        kt_free(copy);
    }
}

static const struct kt_test tests[] = {
    TEST(keys_and_values_are_base64_and_numbers_are_strings),
    TEST(a_range_without_kvs_is_empty),
    TEST(plain_numbers_are_read_too),
    TEST(what_is_not_etcds_is_corrupt_and_leaves_the_output),
    TEST(succeeded_missing_is_false),
    TEST(ttl_missing_means_the_lease_is_gone),
    TEST(an_error_in_a_keepalives_stream_is_found),
    TEST(an_events_type_missing_means_put),
    TEST(a_delete_carries_no_value_but_its_key),
    TEST(created_and_cancelled_parts_are_told_apart),
    TEST(a_reason_for_cancelling_is_cut_to_what_fits_a_line),
    TEST(a_token_is_visible_text_and_nothing_else),
    TEST(broken_parts_of_a_watch_are_refused),
    TEST(errors_have_two_shapes_and_sometimes_no_json),
    TEST(range_end_is_the_last_byte_plus_one_truncated_there),
    TEST(endpoints_are_a_comma_separated_list_with_optional_scheme),
    TEST(decoders_survive_every_failed_allocation),
    TEST(no_cut_of_an_answer_crashes_or_passes),
};

KT_TEST_MAIN(tests)
