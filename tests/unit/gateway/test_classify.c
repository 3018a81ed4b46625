/* SPDX-License-Identifier: MIT */
#include "gateway/classify.h"

#include "kt_test.h"

#include "base/mem.h"

#define API "/kamaitachi/api"

static const struct {
    enum kt_http_method method;
    const char *target, *forwarded, *path;
    enum kt_class kind;
    bool idle_bound;
} cases[] = {
    {KT_HTTP_POST, "/data" API "/data/v1/snapshot", API "/data/v1/snapshot",
     API "/data/v1/snapshot", KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/snapshot?ids=a", API "/data/v1/snapshot?ids=a",
     API "/data/v1/snapshot", KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/data/v1/period/", API "/data/v1/period/", API "/data/v1/period",
     KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/data/v1/batch", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/selection/v1/snapshot", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/selection/v1/period", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/batch", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/selection/v1/period?selection.topic=a",
     API "/selection/v1/period?selection.topic=a", API "/selection/v1/period", KT_CLASS_READ,
     false},
    {KT_HTTP_HEAD, "/data" API "/selection/v1/snapshot", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/subjects?q=a", API "/data/v1/subjects?q=a", NULL,
     KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/data/v1/subjects", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/data/v1/topics", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/data/v1/indicators", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/stats", API "/data/v1/stats", NULL, KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/data/v1/save", NULL, NULL, KT_CLASS_WRITE, false},
    {KT_HTTP_POST, "/data" API "/data/v1/delete", NULL, NULL, KT_CLASS_WRITE, false},
    {KT_HTTP_POST, "/data" API "/data/v1/import?subject=a", API "/data/v1/import?subject=a",
     API "/data/v1/import", KT_CLASS_WRITE, true},
    {KT_HTTP_GET, "/data" API "/data/v1/export", NULL, NULL, KT_CLASS_READ, true},
    {KT_HTTP_GET, "/data" API "/data/v1/changes?after=1", NULL, NULL, KT_CLASS_READ, true},
    /* GET forms of every query. */
    {KT_HTTP_GET, "/data" API "/data/v1/period?subjects=a", API "/data/v1/period?subjects=a",
     API "/data/v1/period", KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/selection/v1/snapshot?topic=p", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/selection/v1/period", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/batch", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_HEAD, "/data" API "/data/v1/snapshot", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/subjects?prefix=a", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/topics", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/indicators", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data" API "/data/v1/subjects", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data" API "/data/v1/export?format=csv&versions=1",
     API "/data/v1/export?format=csv&versions=1", NULL, KT_CLASS_READ, true},
    {KT_HTTP_HEAD, "/data" API "/data/v1/export", NULL, NULL, KT_CLASS_READ, true},
    {KT_HTTP_POST, "/data" API "/data/v1/import/", NULL, API "/data/v1/import", KT_CLASS_WRITE,
     true},
    {KT_HTTP_POST, "/data" API "/data/v1/%69mport", API "/data/v1/%69mport", API "/data/v1/import",
     KT_CLASS_WRITE, true},
    /* Section 4 below /data: a node's own word. */
    {KT_HTTP_GET, "/data/health/ready", "/health/ready", NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data/version", "/version", NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data/cluster/info", "/cluster/info", NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data/cluster/leader", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data/cluster/events", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data/metrics", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data/monitor/status", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data/unknown", "/unknown", "/unknown", KT_CLASS_WRITE, false},
    {KT_HTTP_GET, "/data/unknown", NULL, NULL, KT_CLASS_READ, false},
    {KT_HTTP_HEAD, "/data/health", "/health", NULL, KT_CLASS_READ, false},
    {KT_HTTP_PUT, "/data" API "/data/v1/snapshot", NULL, NULL, KT_CLASS_WRITE, false},
    {KT_HTTP_DELETE, "/data/x", NULL, NULL, KT_CLASS_WRITE, false},
    {KT_HTTP_OTHER, "/data/x", NULL, NULL, KT_CLASS_WRITE, false},
    /* Operators and processes, however the path is written. */
    {KT_HTTP_POST, "/data/cluster/failover", "/cluster/failover", NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/cluster/%66ailover", "/cluster/%66ailover", "/cluster/failover",
     KT_CLASS_ADMIN, false},
    {KT_HTTP_GET, "/data/api/anything", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data" API "/data/v1/cache/reset/", NULL, API "/data/v1/cache/reset",
     KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data" API "/data/v1/cache/snapshot", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/cluster/recover", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/cluster/forget", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/cluster/register", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/cluster/deregister", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/cluster/heartbeat", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/api/admin/reload", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/api/admin/sync/push", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/api/admin/sync/request", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_GET, "/data/api/sync/conflicts", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/api/sync/resolve", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_GET, "/data/api", "/api", "/api", KT_CLASS_ADMIN, false},
    {KT_HTTP_POST, "/data/%61pi/%61dmin/reload", NULL, "/api/admin/reload", KT_CLASS_ADMIN, false},
    {KT_HTTP_DELETE, "/data/api/x", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_OTHER, "/data/cluster/failover", NULL, NULL, KT_CLASS_ADMIN, false},
    {KT_HTTP_GET, "/data/replication", NULL, NULL, KT_CLASS_CLUSTER, false},
    {KT_HTTP_GET, "/data/replication/", NULL, NULL, KT_CLASS_CLUSTER, false},
    {KT_HTTP_POST, "/data/replication/v1/fetch", NULL, NULL, KT_CLASS_CLUSTER, false},
    {KT_HTTP_POST, "/data/%72eplication/v1/fetch", NULL, NULL, KT_CLASS_CLUSTER, false},
    /* The first Kamaitachi's own paths begin with /data themselves. */
    {KT_HTTP_POST, "/data/v1/search", "/data/v1/search", "/data/v1/search", KT_CLASS_READ, false},
    {KT_HTTP_POST, "/data/v1/save?id=1", "/data/v1/save?id=1", "/data/v1/save", KT_CLASS_WRITE,
     false},
    {KT_HTTP_GET, "/data/v1/get/a?tableId=1", "/data/v1/get/a?tableId=1", NULL, KT_CLASS_READ,
     false},
    {KT_HTTP_DELETE, "/data/v1/delete/a%2eb?tableId=1", "/data/v1/delete/a%2eb?tableId=1",
     "/data/v1/delete/a.b", KT_CLASS_WRITE, false},
    {KT_HTTP_DELETE, "/data/data/v1/delete/a?tableId=1", "/data/v1/delete/a?tableId=1",
     "/data/v1/delete/a", KT_CLASS_WRITE, false},
    {KT_HTTP_GET, "/data/data/v1/get/a", "/data/v1/get/a", NULL, KT_CLASS_READ, false},
    {KT_HTTP_HEAD, "/data/v1/get/a", "/data/v1/get/a", NULL, KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data/v1/delete/a", "/data/v1/delete/a", NULL, KT_CLASS_READ, false},
    {KT_HTTP_DELETE, "/data/v1/delete/a", "/data/v1/delete/a", NULL, KT_CLASS_WRITE, false},
    {KT_HTTP_POST, "/data/data/v1/search", "/data/v1/search", "/data/v1/search", KT_CLASS_READ,
     false},
    {KT_HTTP_POST, "/data/v1/searches", "/v1/searches", "/v1/searches", KT_CLASS_WRITE, false},
    /* /data is stripped once only. */
    {KT_HTTP_POST, "/data/data/cluster/failover", "/data/cluster/failover",
     "/data/cluster/failover", KT_CLASS_WRITE, false},
    /* Its own. */
    {KT_HTTP_GET, "/health", NULL, "/health", KT_CLASS_OWN, false},
    {KT_HTTP_GET, "/", NULL, "/", KT_CLASS_OWN, false},
    {KT_HTTP_GET, API "/data/v1/stats", NULL, NULL, KT_CLASS_OWN, false},
    {KT_HTTP_POST, API "/data/v1/import", NULL, NULL, KT_CLASS_OWN, false},
    {KT_HTTP_GET, "/database", NULL, NULL, KT_CLASS_OWN, false},
    {KT_HTTP_GET, "/%64ata/x", NULL, "/data/x", KT_CLASS_OWN, false},
    {KT_HTTP_GET, "/data", "/", "/", KT_CLASS_READ, false},
    {KT_HTTP_GET, "/data/", "/", "/", KT_CLASS_READ, false},
};

static enum kt_status classify(enum kt_http_method method, const char *target,
                               struct kt_arena *arena, struct kt_route *ret_route)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str rest = kt_str(target), path = kt_str_cut(&rest, '?');

    return kt_classify(method, path, kt_str(target), arena, ret_route, &err);
}

static void every_request_is_told_apart(void)
{
    struct kt_arena *arena = kt_arena_new(4096, 65536);

    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_route route;

        CHECK_INT(classify(cases[i].method, cases[i].target, arena, &route), KT_OK);
        if (route.kind != cases[i].kind) {
            kt_test_fail(__FILE__, __LINE__, "%s is %d, expected %d", cases[i].target, route.kind,
                         cases[i].kind);
            return;
        }
        CHECK_INT(route.idle_bound, cases[i].idle_bound);
        if (cases[i].forwarded) {
            CHECK_SLICE(route.target, cases[i].forwarded);
        }
        if (cases[i].path) {
            CHECK_SLICE(route.path, cases[i].path);
        }
        kt_arena_reset(arena);
    }
    kt_arena_free(&arena);
}

static void paths_that_can_be_read_in_two_ways_are_refused(void)
{
    static const char *const targets[] = {
        "/data//cluster/failover",
        "/data/./x",
        "/data/a/../b",
        "/data/%2e%2e/x",
        "/a%2fb",
        "/data/cluster%2Ffailover",
        "/data/x%00",
        "/data/x%",
        "/data/%zz",
        "//data/x",
        "/data/%c3",
        "/data/a%0ab",
        "/data/x/..",
    };
    struct kt_arena *arena = kt_arena_new(4096, 65536);

    for (size_t i = 0; i < KT_ARRAY_LEN(targets); i++) {
        struct kt_route route;

        if (classify(KT_HTTP_GET, targets[i], arena, &route) != KT_BAD_REQUEST) {
            kt_test_fail(__FILE__, __LINE__, "%s is not refused", targets[i]);
            return;
        }
    }
    kt_arena_free(&arena);
}

/* What only a node can do has the same place under its own path and below /data. */
static void what_a_node_does_has_its_place(void)
{
    static const struct {
        enum kt_http_method method;
        const char *path;
        enum kt_class kind;
        enum kt_place place;
    } places[] = {
        {KT_HTTP_POST, "/cluster/failover", KT_CLASS_ADMIN, KT_PLACE_LEADER},
        {KT_HTTP_POST, "/cluster/failover/", KT_CLASS_ADMIN, KT_PLACE_LEADER},
        {KT_HTTP_POST, "/cluster/%66orget", KT_CLASS_ADMIN, KT_PLACE_LEADER},
        {KT_HTTP_POST, "/cluster/recover", KT_CLASS_ADMIN, KT_PLACE_LEADER_OR_ANY},
        {KT_HTTP_POST, "/cluster/register", KT_CLASS_ADMIN, KT_PLACE_FIRST},
        {KT_HTTP_POST, "/cluster/deregister", KT_CLASS_ADMIN, KT_PLACE_FIRST},
        {KT_HTTP_POST, "/cluster/heartbeat", KT_CLASS_ADMIN, KT_PLACE_FIRST},
        {KT_HTTP_GET, "/cluster/failover", KT_CLASS_ADMIN, KT_PLACE_LEADER},
        {KT_HTTP_GET, "/cluster/events", KT_CLASS_READ, KT_PLACE_LEADER_OR_ANY},
        {KT_HTTP_HEAD, "/cluster/events", KT_CLASS_READ, KT_PLACE_LEADER_OR_ANY},
    };
    struct kt_arena *arena = kt_arena_new(1024, 65536);
    struct kt_route route;
    char below[64];

    for (size_t i = 0; i < KT_ARRAY_LEN(places); i++) {
        snprintf(below, sizeof(below), "/data%s", places[i].path);
        CHECK_INT(classify(places[i].method, below, arena, &route), KT_OK);
        CHECK_INT(route.kind, places[i].kind);
        CHECK_INT(route.place, places[i].place);
        CHECK_SLICE(route.target, places[i].path);
        CHECK_INT(classify(places[i].method, places[i].path, arena, &route), KT_OK);
        CHECK_INT(route.kind, places[i].kind);
        CHECK_INT(route.place, places[i].place);
        CHECK_SLICE(route.target, places[i].path);
    }
    CHECK_INT(classify(KT_HTTP_GET, "/cluster/info", arena, &route), KT_OK);
    CHECK_INT(route.kind, KT_CLASS_OWN);
    CHECK_INT(classify(KT_HTTP_GET, "/cluster/leader", arena, &route), KT_OK);
    CHECK_INT(route.kind, KT_CLASS_OWN);
    CHECK_INT(classify(KT_HTTP_POST, "/cluster/failover/x", arena, &route), KT_OK);
    CHECK_INT(route.kind, KT_CLASS_OWN);
    CHECK_INT(classify(KT_HTTP_GET, "/data" API "/data/v1/snapshot", arena, &route), KT_OK);
    CHECK_INT(route.place, KT_PLACE_ANY);
    CHECK_INT(classify(KT_HTTP_POST, "/data" API "/data/v1/save", arena, &route), KT_OK);
    CHECK_INT(route.place, KT_PLACE_LEADER);
    CHECK_INT(classify(KT_HTTP_POST, "/data/api/admin/reload", arena, &route), KT_OK);
    CHECK_INT(route.place, KT_PLACE_LEADER);
    kt_arena_free(&arena);
}

static const struct kt_test tests[] = {
    TEST(every_request_is_told_apart),
    TEST(what_a_node_does_has_its_place),
    TEST(paths_that_can_be_read_in_two_ways_are_refused),
};
KT_TEST_MAIN(tests)
