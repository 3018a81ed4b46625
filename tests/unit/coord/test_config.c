/* SPDX-License-Identifier: MIT */
/* The JSON of the cluster's configuration and of a service. */
#include "coord/config.h"
#include "kt_test.h"

#include "base/mem.h"

#include <stdio.h>

static struct kt_error err;
static struct kt_cluster_config config, other; /* 22 KB each */

static const char good_config[] =
    "{\"cluster\":\"00000000000000c1\",\"version\":3,\"epoch\":2,\"epoch_id\":\"00000000000000e2\","
    "\"leader\":\"00000000000000a1\",\"in_sync\":[\"00000000000000a1\",\"00000000000000a2\"],"
    "\"min_in_sync\":1,\"ttl\":5,\"members\":[{\"id\":\"00000000000000a1\",\"addr\":\"h:1\","
    "\"electable\":true,\"priority\":10},{\"id\":\"00000000000000a2\",\"addr\":\"[::1]:2\","
    "\"electable\":false,\"priority\":-1000}],\"nonce\":\"00000000000000f1\"}";

static void a_config_is_written_as_it_was_read(void)
{
    struct kt_buf text;

    CHECK_OK(kt_cluster_config_parse(kt_str(good_config), &config, &err));
    CHECK_STR(config.cluster, "00000000000000c1");
    CHECK_INT(config.version, 3);
    CHECK_INT(config.epoch, 2);
    CHECK_INT(config.in_sync_count, 2);
    CHECK_INT(config.ttl_s, 5);
    CHECK_INT(config.member_count, 2);
    CHECK_STR(config.members[1].addr, "[::1]:2");
    CHECK_INT(config.members[1].priority, -1000);
    CHECK(config.members[0].electable && !config.members[1].electable);
    kt_buf_init(&text, 0);
    kt_cluster_config_format(&config, &text);
    CHECK_SLICE(kt_buf_str(&text), good_config);
    kt_buf_done(&text);
}

static void unknown_members_of_a_config_are_ignored(void)
{
    char text[1024];

    snprintf(text, sizeof(text), "{\"union\":[1],\"newer\":{\"a\":[]},%s", good_config + 1);
    CHECK_OK(kt_cluster_config_parse(kt_str(text), &config, &err));
    CHECK_INT(config.version, 3);
}

/* Replaces `what` in the good text. */
static void check_refused(const char *what, const char *by, const char *field, int line)
{
    struct kt_str good = kt_str(good_config);
    ptrdiff_t at = kt_str_find(good, kt_str(what));
    char text[1200];

    if (at < 0) {
        kt_test_fail(__FILE__, line, "no %s in the text", what);
        return;
    }
    snprintf(text, sizeof(text), "%.*s%s%s", (int)at, good_config, by,
             good_config + at + strlen(what));
    memset(&other, 7, sizeof(other));
    err = (struct kt_error)KT_ERROR_INIT;
    if (kt_cluster_config_parse(kt_str(text), &other, &err) != KT_CORRUPT ||
        strcmp(err.field, field) != 0 || !strstr(err.message, field) || other.version < 1000) {
        kt_test_fail(__FILE__, line, "%s by %s: field \"%s\", message %s", what, by, err.field,
                     err.message);
    }
}

static void a_config_that_is_not_understood_to_the_last_field_is_refused(void)
{
    check_refused("\"cluster\":\"00000000000000c1\"", "\"cluster\":\"c1\"", "cluster", __LINE__);
    check_refused("\"cluster\":\"00000000000000c1\",", "", "cluster", __LINE__);
    check_refused("00000000000000c1", "00000000000000C1", "cluster", __LINE__);
    check_refused("\"version\":3", "\"version\":0", "version", __LINE__);
    check_refused("\"version\":3", "\"version\":1.5", "version", __LINE__);
    check_refused("\"version\":3,", "", "version", __LINE__);
    check_refused("\"epoch\":2", "\"epoch\":\"2\"", "epoch", __LINE__);
    check_refused("\"epoch\":2", "\"epoch\":null", "epoch", __LINE__);
    check_refused("\"epoch\":2", "\"epoch\":1e300", "epoch", __LINE__);
    check_refused("\"epoch_id\":\"00000000000000e2\"", "\"epoch_id\":\"\"", "epoch_id", __LINE__);
    check_refused("\"leader\":\"00000000000000a1\"", "\"leader\":7", "leader", __LINE__);
    check_refused("[\"00000000000000a1\",\"00000000000000a2\"]", "[]", "in_sync", __LINE__);
    check_refused("[\"00000000000000a1\",\"00000000000000a2\"]", "{}", "in_sync", __LINE__);
    check_refused("[\"00000000000000a1\",\"00000000000000a2\"]", "[\"x\"]", "in_sync", __LINE__);
    check_refused("[\"00000000000000a1\",\"00000000000000a2\"]", "[1]", "in_sync", __LINE__);
    check_refused("\"min_in_sync\":1", "\"min_in_sync\":0", "min_in_sync", __LINE__);
    check_refused("\"min_in_sync\":1", "\"min_in_sync\":65", "min_in_sync", __LINE__);
    check_refused("\"ttl\":5", "\"ttl\":2", "ttl", __LINE__);
    check_refused("\"ttl\":5", "\"ttl\":61", "ttl", __LINE__);
    check_refused("\"addr\":\"h:1\"", "\"addr\":\"\"", "members[0].addr", __LINE__);
    check_refused("{\"id\":\"00000000000000a2\"", "{\"id\":\"a2\"", "members[1].id", __LINE__);
    check_refused("\"priority\":10", "\"priority\":1001", "members[0].priority", __LINE__);
    check_refused("\"electable\":true", "\"electable\":1", "members[0].electable", __LINE__);
    check_refused("\"nonce\":\"00000000000000f1\"", "\"nonce\":[]", "nonce", __LINE__);
    check_refused(",\"nonce\":\"00000000000000f1\"", "", "nonce", __LINE__);
}

static void what_is_no_json_object_is_no_config(void)
{
    static const char *const texts[] = {"", "null", "[]", "7", "{", "{\"cluster\":", "junk"};

    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        CHECK_FAILS(kt_cluster_config_parse(kt_str(texts[i]), &config, &err), KT_CORRUPT);
        CHECK(err.message[0]);
    }
}

static void more_members_than_fit_are_refused(void)
{
    struct kt_buf text;

    kt_buf_init(&text, 0);
    CHECK_OK(kt_cluster_config_parse(kt_str(good_config), &config, &err));
    config.member_count = config.in_sync_count = KT_MEMBERS_MAX;
    for (size_t i = 0; i < KT_MEMBERS_MAX; i++) {
        config.members[i] = config.members[0];
        memcpy(config.in_sync[i], config.in_sync[0], sizeof(config.in_sync[0]));
    }
    kt_cluster_config_format(&config, &text);
    CHECK_OK(kt_cluster_config_parse(kt_buf_str(&text), &other, &err));
    CHECK_INT(other.member_count, KT_MEMBERS_MAX);
    CHECK_INT(other.in_sync_count, KT_MEMBERS_MAX);
    kt_buf_clear(&text);
    kt_buf_append_text(&text, "{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"kept\":{"
                              "\"in_sync\":[");
    for (size_t i = 0; i <= KT_MEMBERS_MAX; i++) {
        kt_buf_append_text(&text, i ? ",\"00000000000000a1\"" : "\"00000000000000a1\"");
    }
    kt_buf_append_text(&text, "]}}");
    {
        struct kt_service service = {0};

        CHECK_FAILS(kt_service_parse(kt_buf_str(&text), &service, &err), KT_CORRUPT);
        CHECK_STR(err.field, "kept.in_sync");
    }
    kt_buf_done(&text);
}

static void members_and_in_sync_are_found_by_id(void)
{
    CHECK_OK(kt_cluster_config_parse(kt_str(good_config), &config, &err));
    CHECK(kt_cluster_config_member(&config, "00000000000000a2") == &config.members[1]);
    CHECK(kt_cluster_config_member(&config, "00000000000000a3") == NULL);
    CHECK(kt_cluster_config_in_sync(&config, "00000000000000a1"));
    CHECK(!kt_cluster_config_in_sync(&config, "00000000000000a3"));
}

static const char good_service[] =
    "{\"id\":\"00000000000000a1\",\"cluster\":\"00000000000000c1\",\"addr\":\"127.0.0.1:8080\","
    "\"role\":\"leader\",\"software\":\"0.1.0\",\"electable\":true,\"priority\":5,"
    "\"state\":\"whole\",\"kept\":{\"version\":3,\"epoch\":2,\"epoch_id\":\"00000000000000e2\","
    "\"in_sync\":[\"00000000000000a1\"],\"union\":[\"00000000000000a1\",\"00000000000000b2\"]},"
    "\"end\":{\"epoch\":2,\"seq\":17},\"revision\":17,\"started_at\":1700000000123}";

static void a_service_is_written_as_it_was_read(void)
{
    struct kt_service service = {.service_name = "data", .addr = "127.0.0.1:8080", .lease = 7};
    struct kt_buf text;

    CHECK_OK(kt_service_parse(kt_str(good_service), &service, &err));
    CHECK_STR(service.service_name, "data");
    CHECK_STR(service.addr, "127.0.0.1:8080");
    CHECK_INT(service.lease, 7);
    CHECK_INT(service.role, KT_ROLE_LEADER);
    CHECK_INT(service.state, KT_STATE_WHOLE);
    CHECK_INT(service.kept.version, 3);
    CHECK_INT(service.kept.in_sync_count, 1);
    CHECK_INT(service.kept.growth_count, 1);
    CHECK_STR(service.kept.growth[0], "00000000000000b2");
    CHECK_INT(service.end_seq, 17);
    CHECK_INT(service.started_at_ms, INT64_C(1700000000123));
    kt_buf_init(&text, 0);
    kt_service_format(&service, &text);
    CHECK_SLICE(kt_buf_str(&text), good_service);
    kt_buf_done(&text);
}

static void the_address_of_a_service_is_the_keys_and_not_the_values(void)
{
    struct kt_service service = {.service_name = "data", .addr = "127.0.0.1:9999"};

    CHECK_OK(kt_service_parse(kt_str(good_service), &service, &err));
    CHECK_STR(service.addr, "127.0.0.1:9999");
}

static void a_service_needs_an_id_and_a_role_and_nothing_else(void)
{
    struct kt_service service = {0};

    CHECK_OK(kt_service_parse(
        KT_STR("{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"newer\":[{}]}"), &service,
        &err));
    CHECK_INT(service.state, KT_STATE_EMPTY);
    CHECK_INT(service.kept.version, 0);
    CHECK_OK(kt_service_parse(KT_STR("{\"role\":\"gateway\"}"), &service, &err));
    CHECK_INT(service.role, KT_ROLE_GATEWAY);
    CHECK_STR(service.id, "");
}

static void a_service_that_cannot_be_read_is_refused_and_leaves_the_output(void)
{
    static const struct {
        const char *text, *field;
    } cases[] = {
        {"{\"role\":\"follower\"}", "id"},
        {"{\"id\":\"00000000000000a1\"}", "role"},
        {"{\"id\":\"00000000000000a1\",\"role\":\"boss\"}", "role"},
        {"{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"state\":\"x\"}", "state"},
        {"{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"cluster\":\"x\"}", "cluster"},
        {"{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"kept\":[]}", "kept"},
        {"{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"kept\":{\"epoch\":-1}}",
         "kept.epoch"},
        {"{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"end\":{\"seq\":\"1\"}}", "end.seq"},
        {"{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"priority\":5000}", "priority"},
        {"{\"id\":\"00000000000000a1\",\"role\":\"follower\",\"electable\":1}", "electable"},
        {"[]", ""},
        {"", ""},
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_service service = {.revision = 99};

        err = (struct kt_error)KT_ERROR_INIT;
        CHECK_FAILS(kt_service_parse(kt_str(cases[i].text), &service, &err), KT_CORRUPT);
        CHECK_STR(err.field, cases[i].field);
        CHECK_INT(service.revision, 99);
    }
}

static void names_of_roles_and_states_are_the_words_of_the_json(void)
{
    CHECK_STR(kt_node_role_name(KT_ROLE_FOLLOWER), "follower");
    CHECK_STR(kt_node_role_name(KT_ROLE_LEADER), "leader");
    CHECK_STR(kt_node_role_name(KT_ROLE_GATEWAY), "gateway");
    CHECK_STR(kt_node_state_name(KT_STATE_EMPTY), "empty");
    CHECK_STR(kt_node_state_name(KT_STATE_WHOLE), "whole");
    CHECK_STR(kt_node_state_name(KT_STATE_COPYING), "copying");
    CHECK_STR(kt_node_state_name(KT_STATE_DIVERGED), "diverged");
}

static void parsing_survives_every_failed_allocation(void)
{
    bool done = false;

    for (uint64_t nth = 1; !done && nth < 500; nth++) {
        struct kt_service service = {0};
        enum kt_status a, b;

        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        a = kt_cluster_config_parse(kt_str(good_config), &config, &err);
        b = kt_service_parse(kt_str(good_service), &service, &err);
        done = kt_fault_calls(KT_FAULT_ALLOC) < nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(a == KT_OK || a == KT_NO_MEMORY);
        CHECK(b == KT_OK || b == KT_NO_MEMORY);
        CHECK(done == (a == KT_OK && b == KT_OK));
    }
    CHECK(done);
}

static void no_cut_of_a_text_crashes_or_passes(void)
{
    for (size_t len = 0; len + 1 < sizeof(good_config); len++) {
        char *copy = kt_strndup(good_config, len);

        CHECK(copy);
        CHECK_FAILS(kt_cluster_config_parse(kt_str_n(copy, len), &config, &err), KT_CORRUPT);
        kt_free(copy);
    }
}

static const struct kt_test tests[] = {
    TEST(a_config_is_written_as_it_was_read),
    TEST(unknown_members_of_a_config_are_ignored),
    TEST(a_config_that_is_not_understood_to_the_last_field_is_refused),
    TEST(what_is_no_json_object_is_no_config),
    TEST(more_members_than_fit_are_refused),
    TEST(members_and_in_sync_are_found_by_id),
    TEST(a_service_is_written_as_it_was_read),
    TEST(the_address_of_a_service_is_the_keys_and_not_the_values),
    TEST(a_service_needs_an_id_and_a_role_and_nothing_else),
    TEST(a_service_that_cannot_be_read_is_refused_and_leaves_the_output),
    TEST(names_of_roles_and_states_are_the_words_of_the_json),
    TEST(parsing_survives_every_failed_allocation),
    TEST(no_cut_of_a_text_crashes_or_passes),
};

KT_TEST_MAIN(tests)
