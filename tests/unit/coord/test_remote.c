/* SPDX-License-Identifier: MIT */
/* The maker for nodes without etcd, where nobody answers; what it does with one that does is shown
 * by tests/cluster/test_cluster_api.py. */
#include "coord/coord.h"
#include "kt_test.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

static struct kt_error err;
static struct kt_service self;
static struct kt_cluster_config config;

static struct kt_coord_options options_with(const char *nodes)
{
    memset(&self, 0, sizeof(self));
    kt_str_copy(self.id, sizeof(self.id), KT_STR("00000000000000a1"));
    self.role = KT_ROLE_FOLLOWER;
    return (struct kt_coord_options){.register_with = nodes,
                                     .prefix = "/kamaitachi",
                                     .ttl_s = 3,
                                     .service_name = "data",
                                     .addr = "127.0.0.1:4",
                                     .self = &self,
                                     .register_now = true};
}

/* Port 1: nobody listens there. */
#define NOBODY "127.0.0.1:1, 127.0.0.1:1"

static void lists_of_nodes_are_checked(void)
{
    static const char *const good[] = {"a:1", "a:1,b:2", " a:1 , [::1]:2 "};
    static const char *const bad[] = {"",     "a",     "a:0",   "a:1,",
                                      ",a:1", "a:1,b", "a b:1", "http://a:1"};
    for (size_t i = 0; i < KT_ARRAY_LEN(good); i++) {
        CHECK_OK(kt_coord_nodes_check(good[i], &err));
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct kt_coord *coord = NULL;
        struct kt_coord_options options = options_with(bad[i]);
        CHECK_FAILS(kt_coord_nodes_check(bad[i], &err), KT_BAD_VALUE);
        CHECK_FAILS(kt_coord_start_remote(&options, &coord, &err), KT_BAD_VALUE);
        CHECK(!coord);
    }
}

static void who_reaches_nobody_leads_nothing_and_stops_at_once(void)
{
    struct kt_coord_options options = options_with(NOBODY);
    struct kt_coord *coord = NULL;
    CHECK_OK(kt_coord_start_remote(&options, &coord, &err));
    kt_coord_set_service(coord, &self);
    kt_coord_set_ttl(coord, 5);
    struct kt_coord_view *view = kt_coord_view(coord);
    CHECK(!view->complete && !view->reachable && !view->own_key_present);
    CHECK_INT(kt_coord_lease_end_mono_ms(coord, KT_COORD_CURRENT_LEASE), 0);
    CHECK_INT(kt_coord_campaign(coord, view, &config, &err), KT_TXN_REFUSED);
    CHECK_INT(kt_coord_update_config(coord, view, &config, &err), KT_TXN_REFUSED);
    CHECK_INT(kt_coord_delete_leader(coord, view, &err), KT_TXN_REFUSED);
    kt_coord_view_unref(&view);
    kt_coord_withdraw(coord);
    int64_t began_ms = kt_now_mono_ms();
    kt_coord_deregister(coord, 10000);
    CHECK(kt_now_mono_ms() - began_ms < 8000);
    view = kt_coord_view(coord);
    CHECK(!view->own_key_present && view->own_lease == 0);
    kt_coord_view_unref(&view);
    kt_coord_free(&coord);
    CHECK(!coord);
}

static void starting_survives_every_failed_allocation(void)
{
    bool done = false;
    for (uint64_t nth = 1; !done && nth < 500; nth++) {
        struct kt_coord_options options = options_with(NOBODY);
        struct kt_coord *coord = NULL;
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        enum kt_status status = kt_coord_start_remote(&options, &coord, &err);
        done = kt_fault_calls(KT_FAULT_ALLOC) < nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
        kt_coord_free(&coord);
    }
    CHECK(done);
}

static const struct kt_test tests[] = {
    TEST(lists_of_nodes_are_checked),
    TEST(who_reaches_nobody_leads_nothing_and_stops_at_once),
    TEST(starting_survives_every_failed_allocation),
};

int main(int argc, char **argv)
{
    kt_log_setup(stderr, KT_LOG_OFF, false);
    return kt_test_main(tests, KT_ARRAY_LEN(tests), argc, argv);
}
