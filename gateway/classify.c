/* SPDX-License-Identifier: MIT */
/* classify.c - the API's paths by what they do.
 *
 * Nearly every request is a POST to …/data/v1/snapshot or /period; those are found by the first
 * comparisons.
 */
#include "gateway/classify.h"

#include "http/router.h"

#include <string.h>

#define API "/kamaitachi/api"

static bool path_is(struct kt_str path, const char *text, size_t len)
{
    return path.len == len && memcmp(path.data, text, len) == 0;
}
#define IS(path, literal) path_is((path), (literal), sizeof(literal) - 1)

/* POSTs that change nothing. */
static bool is_reading_post(struct kt_str path)
{
    return IS(path, API "/data/v1/snapshot") || IS(path, API "/data/v1/period") ||
           IS(path, API "/data/v1/batch") || IS(path, API "/selection/v1/snapshot") ||
           IS(path, API "/selection/v1/period") || IS(path, API "/data/v1/stats") ||
           IS(path, API "/data/v1/subjects") || IS(path, API "/data/v1/topics") ||
           IS(path, API "/data/v1/indicators") || IS(path, API "/data/v1/changes") ||
           IS(path, API "/data/v1/export") || IS(path, "/data/v1/search");
}

static bool is_idle_bound(struct kt_str path)
{
    return IS(path, API "/data/v1/import") || IS(path, API "/data/v1/export") ||
           IS(path, API "/data/v1/changes");
}

#define CLUSTER_LEN (sizeof("/cluster/") - 1)

/* What of the cluster's paths a node does, whoever is asked: what follows /cluster/. */
static enum kt_place place_of_cluster(struct kt_str path, bool *ret_is_one)
{
    static const struct {
        const char *name;
        enum kt_place place;
    } known[] = {
        {"failover", KT_PLACE_LEADER},       {"forget", KT_PLACE_LEADER},
        {"recover", KT_PLACE_LEADER_OR_ANY}, {"events", KT_PLACE_LEADER_OR_ANY},
        {"register", KT_PLACE_FIRST},        {"deregister", KT_PLACE_FIRST},
        {"heartbeat", KT_PLACE_FIRST},
    };
    struct kt_str name;

    *ret_is_one = false;
    if (!kt_str_starts(path, KT_STR("/cluster/"))) {
        return KT_PLACE_ANY;
    }
    name = kt_str_n(path.data + CLUSTER_LEN, path.len - CLUSTER_LEN);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (kt_str_eq_text(name, known[i].name)) {
            *ret_is_one = true;
            return known[i].place;
        }
    }
    return KT_PLACE_ANY;
}

static enum kt_place place_of(enum kt_class kind, enum kt_place of_cluster, bool is_of_cluster)
{
    if (is_of_cluster && (kind == KT_CLASS_ADMIN || kind == KT_CLASS_READ)) {
        return of_cluster;
    }
    return kind == KT_CLASS_WRITE || kind == KT_CLASS_ADMIN ? KT_PLACE_LEADER : KT_PLACE_ANY;
}

/* The first Kamaitachi's own paths begin with /data already and stay as they are. */
static bool is_generic(struct kt_str below_data)
{
    static const char *const names[] = {"/v1/save", "/v1/get", "/v1/delete", "/v1/search"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct kt_str name = kt_str(names[i]);

        if (kt_str_starts(below_data, name) &&
            (below_data.len == name.len || below_data.data[name.len] == '/')) {
            return true;
        }
    }
    return false;
}

/* Cuts /data once. False when the path is not below it. */
static bool strip_data(struct kt_str *path, struct kt_str *target)
{
    struct kt_str prefix = KT_STR("/data"), below;

    if (!kt_str_starts(*path, prefix) ||
        (path->len > prefix.len && path->data[prefix.len] != '/')) {
        return false;
    }
    below = kt_str_n(path->data + prefix.len, path->len - prefix.len);
    if (is_generic(below)) {
        return true;
    }
    if (below.len == 0) {
        *path = KT_STR("/");
        *target = *path;
        return true;
    }
    *path = below;
    *target = kt_str_n(target->data + prefix.len, target->len - prefix.len);
    return true;
}

enum kt_status kt_classify(enum kt_http_method method, struct kt_str raw_path,
                           struct kt_str raw_target, struct kt_arena *arena,
                           struct kt_route *ret_route, struct kt_error *err)
{
    struct kt_route route = {.target = raw_target};
    struct kt_str path = raw_path;
    bool below_data = strip_data(&path, &route.target);
    enum kt_status status = kt_path_normalise(path, arena, &route.path, err);
    enum kt_place of_cluster;
    bool is_of_cluster;

    if (status != KT_OK) {
        return status;
    }
    of_cluster = place_of_cluster(route.path, &is_of_cluster);
    if (!below_data && !is_of_cluster) {
        route.kind = KT_CLASS_OWN;
    } else if (kt_path_is_cluster(route.path)) {
        route.kind = KT_CLASS_CLUSTER;
    } else if (kt_path_is_admin(route.path)) {
        route.kind = KT_CLASS_ADMIN;
    } else if (is_of_cluster || method == KT_HTTP_GET || method == KT_HTTP_HEAD ||
               method == KT_HTTP_OPTIONS ||
               (method == KT_HTTP_POST && is_reading_post(route.path))) {
        route.kind = KT_CLASS_READ;
    } else {
        route.kind = KT_CLASS_WRITE;
    }
    route.place = place_of(route.kind, of_cluster, is_of_cluster);
    route.idle_bound = below_data && is_idle_bound(route.path);
    *ret_route = route;
    return KT_OK;
}
