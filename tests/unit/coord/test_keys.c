/* SPDX-License-Identifier: MIT */
/* What a view shows, as JSON and back: who sees etcd through another node sees the same; and whom
 * it means by an id. */
#include "coord/coord_internal.h"
#include "kt_test.h"

#include "base/log.h"

#include <stdlib.h>

static struct kt_error err;
static struct kt_cluster_config config;
static struct kt_service self[2];

static void format(const struct kt_coord_view *view, struct kt_buf *ret_text)
{
    struct kt_jw jw;
    kt_jw_init(&jw, ret_text);
    kt_jw_object(&jw);
    if (kt_coord_view_format(view, &jw) != KT_OK) {
        abort();
    }
    kt_jw_object_end(&jw);
}

static enum kt_status read_text(struct kt_str text, const char *prefix,
                                struct coord_facts *ret_facts, bool *ret_complete,
                                bool *ret_reachable)
{
    struct kt_json *doc = NULL;
    struct kt_json_fields fields;
    enum kt_status status = kt_json_parse(text, KT_JSON_DEPTH_DEFAULT, &doc, &err);
    if (status == KT_OK) {
        status = kt_json_fields_init(&fields, kt_json_root(doc), "", &err);
    }
    if (status == KT_OK) {
        status = kt_facts_read(&fields, prefix, ret_facts, ret_complete, ret_reachable, &err);
    }
    kt_json_free(&doc);
    return status;
}

static struct kt_coord *start(struct kt_coord_fake *fake, int number)
{
    struct kt_service *service = &self[number - 1];
    struct kt_coord *coord = NULL;
    memset(service, 0, sizeof(*service));
    snprintf(service->id, sizeof(service->id), "%016x", (unsigned)number);
    snprintf(service->addr, sizeof(service->addr), "127.0.0.1:%d", 8000 + number);
    kt_str_copy(service->via, sizeof(service->via), KT_STR("00000000000000ff"));
    service->revision = 7;
    struct kt_coord_options options = {.ttl_s = 3,
                                       .service_name = "data",
                                       .addr = service->addr,
                                       .self = service,
                                       .register_now = true};
    return kt_coord_start_fake(fake, &options, &coord, &err) == KT_OK ? coord : NULL;
}

static void what_one_shows_another_sees(void)
{
    struct kt_coord_fake *fake = kt_coord_fake_new();
    struct kt_coord *first = start(fake, 1), *second = start(fake, 2);
    kt_log_setup(stderr, KT_LOG_OFF, false);
    CHECK(first && second);
    for (int with_leader = 0; with_leader < 2; with_leader++) {
        struct kt_coord_view *view = kt_coord_view(first);
        struct coord_facts facts;
        bool complete = false, reachable = false;
        struct kt_buf text;
        kt_buf_init(&text, 0);
        format(view, &text);
        CHECK_OK(read_text(kt_buf_str(&text), "/elsewhere", &facts, &complete, &reachable));
        struct coord_own own = {"data", self[0].addr, view->own_lease, complete, reachable};
        struct kt_coord_view *copy = kt_coord_view_build(&facts, &own);
        CHECK(copy && kt_coord_view_same(view, copy));
        CHECK_INT(copy->revision, view->revision);
        CHECK_INT(copy->service_count, 2);
        CHECK_INT(copy->services[1].revision, 7);
        CHECK_STR(copy->services[1].via, "00000000000000ff");
        CHECK(copy->own_key_present);
        CHECK_INT(copy->leader.mine, with_leader);
        CHECK_INT(copy->config.valid, with_leader);
        kt_facts_done(&facts);
        kt_coord_view_unref(&copy);
        if (!with_leader) {
            memset(&config, 0, sizeof(config));
            kt_str_copy(config.cluster, sizeof(config.cluster), KT_STR("00000000000000c1"));
            kt_str_copy(config.epoch_id, sizeof(config.epoch_id), KT_STR("00000000000000e1"));
            kt_str_copy(config.leader, sizeof(config.leader), kt_str(self[0].id));
            kt_str_copy(config.in_sync[0], sizeof(config.in_sync[0]), kt_str(self[0].id));
            kt_str_copy(config.nonce, sizeof(config.nonce), KT_STR("00000000000000f1"));
            config.version = config.epoch = config.min_in_sync = 1;
            config.in_sync_count = 1;
            config.ttl_s = 3;
            CHECK_INT(kt_coord_campaign(first, view, &config, &err), KT_TXN_DONE);
        }
        kt_buf_done(&text);
        kt_coord_view_unref(&view);
    }
    kt_coord_free(&first);
    kt_coord_free(&second);
    kt_coord_fake_free(&fake);
}

static void what_is_no_view_is_refused(void)
{
    static const char *const texts[] = {
        "[]",
        "{}",
        "{\"revision\":1}",
        "{\"revision\":-1,\"keys\":[]}",
        "{\"revision\":1,\"keys\":{}}",
        "{\"revision\":1,\"keys\":[1]}",
        "{\"revision\":1,\"keys\":[{}]}",
        "{\"revision\":1,\"complete\":1,\"keys\":[]}",
        "{\"revision\":1,\"keys\":[{\"key\":\"/x\",\"create_revision\":1,\"mod_revision\":1,"
        "\"lease\":7}]}",
        "{\"revision\":1,\"keys\":[{\"key\":\"/x\",\"create_revision\":1,\"mod_revision\":1,"
        "\"lease\":\"-7\"}]}",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        struct coord_facts facts;
        bool complete = false, reachable = false;
        err = (struct kt_error)KT_ERROR_INIT;
        if (read_text(kt_str(texts[i]), "/p", &facts, &complete, &reachable) == KT_OK) {
            kt_test_fail(__FILE__, __LINE__, "%s was read", texts[i]);
            return;
        }
        CHECK(err.message[0]);
    }
}

static void keys_of_no_known_kind_are_left_out(void)
{
    struct coord_facts facts;
    bool complete = true, reachable = true;
    char text[2000];
    snprintf(text, sizeof(text),
             "{\"revision\":5,\"keys\":[{\"key\":\"/other\",\"value\":\"x\",\"create_revision\":1,"
             "\"mod_revision\":1,\"lease\":\"0\"},{\"key\":\"/services/data/%01000d\",\"value\":"
             "\"{}\",\"create_revision\":1,\"mod_revision\":1,\"lease\":\"0\"}]}",
             1);
    CHECK_OK(read_text(kt_str(text), "/p", &facts, &complete, &reachable));
    CHECK_INT(facts.count, 0);
    CHECK_INT(facts.revision, 5);
    CHECK(!complete && !reachable);
    kt_facts_done(&facts);
}

static void who_was_registered_first_is_the_node_of_an_id(void)
{
    struct kt_service services[4];
    struct kt_coord_view view = {.services = services, .service_count = 4};
    memset(services, 0, sizeof(services));
    for (size_t i = 0; i < 4; i++) {
        kt_str_copy(services[i].id, sizeof(services[i].id), KT_STR("00000000000000a1"));
        services[i].create_revision = 9 - (int64_t)i;
        services[i].state = KT_STATE_WHOLE;
    }
    kt_str_copy(services[0].id, sizeof(services[0].id), KT_STR("00000000000000a2"));
    services[3].role = KT_ROLE_GATEWAY;
    CHECK(kt_coord_view_node(&view, services[1].id) == &services[2]);
    services[2].state = KT_STATE_DIVERGED; /* it has found out that it is the copy */
    CHECK(kt_coord_view_node(&view, services[1].id) == &services[1]);
    services[1].state = KT_STATE_DIVERGED;
    CHECK(kt_coord_view_node(&view, services[1].id) == &services[1]);
    services[2].state = KT_STATE_WHOLE;
    CHECK(kt_coord_view_node(&view, services[1].id) == &services[2]);
    CHECK(kt_coord_view_node(&view, services[0].id) == &services[0]);
    CHECK(!kt_coord_view_node(&view, "00000000000000a3"));
}

static const struct kt_test tests[] = {
    TEST(what_one_shows_another_sees),
    TEST(what_is_no_view_is_refused),
    TEST(keys_of_no_known_kind_are_left_out),
    TEST(who_was_registered_first_is_the_node_of_an_id),
};
KT_TEST_MAIN(tests)
