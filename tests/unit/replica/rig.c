/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kt_test.h"
#include "store/store_internal.h"

#include <stdlib.h>

struct rig rig;

static void fatal(const char *what, const struct kt_error *err)
{
    fprintf(stderr, "rig: %s: %s\n", what, err->message);
    abort();
}

/* --- nodes --- */

typedef void (*serve_fn)(struct kt_replica *replica, struct kt_http_request *request,
                         struct kt_http_response *response);

/* The node that asks; RIG_NODES = none of these. */
static size_t who_asks(struct kt_str body)
{
    for (size_t n = 0; n < RIG_NODES; n++) {
        struct rig_node *node = &rig.nodes[n];
        char field[40];
        kt_mutex_lock(&node->guard);
        snprintf(field, sizeof(field), "\"node\":\"%s\"", node->id);
        bool asks = node->id[0] && kt_str_find(body, kt_str(field)) >= 0;
        kt_mutex_unlock(&node->guard);
        if (asks) {
            return n;
        }
    }
    return RIG_NODES;
}

/* A request must not meet a replica that is being freed. */
static void serve(struct rig_node *node, serve_fn fn, struct kt_http_request *request,
                  struct kt_http_response *response)
{
    size_t from = who_asks(request->body);
    kt_mutex_lock(&node->guard);
    bool refused = node->cut_off || (from < RIG_NODES && node->refuses[from]);
    struct kt_replica *replica = refused ? NULL : node->replica;
    node->busy += replica != NULL;
    if (replica && from < RIG_NODES) {
        node->busy_of[from]++;
    }
    kt_mutex_unlock(&node->guard);
    if (!replica) {
        response->status = 503;
        return;
    }
    fn(replica, request, response);
    int64_t until_ms = kt_now_mono_ms() + atomic_load(&node->slow_ms);
    while (kt_now_mono_ms() < until_ms) {
        kt_test_pause();
    }
    kt_mutex_lock(&node->guard);
    node->busy--;
    if (from < RIG_NODES) {
        node->busy_of[from]--;
    }
    kt_cond_broadcast(&node->idle);
    kt_mutex_unlock(&node->guard);
}

static void serve_fetch(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    serve(ctx, kt_replica_serve_fetch, request, response);
}

static void serve_copy(void *ctx, struct kt_http_request *request,
                       struct kt_http_response *response)
{
    serve(ctx, kt_replica_serve_copy, request, response);
}

static void serve_campaign(void *ctx, struct kt_http_request *request,
                           struct kt_http_response *response)
{
    serve(ctx, kt_replica_serve_campaign, request, response);
}

static void make_routes(struct rig_node *node)
{
    static const struct {
        const char *path;
        void (*handler)(void *ctx, struct kt_http_request *, struct kt_http_response *);
    } paths[] = {{"/replication/v1/fetch", serve_fetch},
                 {"/replication/v1/copy", serve_copy},
                 {"/replication/v1/campaign", serve_campaign}};
    for (size_t i = 0; i < KT_ARRAY_LEN(paths); i++) {
        node->routes[i].methods = KT_HTTP_POST;
        node->routes[i].path = paths[i].path;
        node->routes[i].access = KT_ACCESS_PUBLIC;
        node->routes[i].handler = paths[i].handler;
    }
    node->router = (struct kt_http_router){node->routes, KT_ARRAY_LEN(paths), node, NULL};
}

static void open_node(size_t n)
{
    static int dirs;
    struct kt_error err = KT_ERROR_INIT;
    struct rig_node *node = &rig.nodes[n];
    char name[64];
    memset(node, 0, sizeof(*node));
    snprintf(name, sizeof(name), "rig%d/n%zu.db", dirs++, n);
    kt_test_path(node->path, sizeof(node->path), name);
    snprintf(node->name, sizeof(node->name), "node%zu", n);
    kt_mutex_init(&node->guard, "rig", KT_RANK_NODE);
    kt_cond_init(&node->idle);
    make_routes(node);
    struct kt_http_server_options options;
    memset(&options, 0, sizeof(options));
    options.listen = "127.0.0.1";
    options.num_threads = 8;
    options.body_max_bytes = 4 << 20;
    options.body_memory_bytes = 256 << 20;
    options.response_max_bytes = 65536; /* the least that may be configured */
    options.request_timeout_ms = 30000;
    options.idle_timeout_ms = 60000;
    options.first_byte_ms = 10000;
    options.router = &node->router;
    if (kt_http_server_start(&options, &node->server, &err) != KT_OK) {
        fatal("server", &err);
    }
    snprintf(node->addr, sizeof(node->addr), "127.0.0.1:%u",
             (unsigned)kt_http_server_port(node->server));
}

enum kt_status rig_make_fake(void *ctx, const struct kt_coord_options *options,
                             struct kt_coord **ret_coord, struct kt_error *err)
{
    return kt_coord_start_fake(ctx, options, ret_coord, err);
}

static enum kt_status make_standalone(void *ctx, const struct kt_coord_options *options,
                                      struct kt_coord **ret_coord, struct kt_error *err)
{
    (void)ctx;
    return kt_coord_start_standalone(options, ret_coord, err);
}

void rig_open(void)
{
    memset(&rig, 0, sizeof(rig));
    const char *level = getenv("KT_TEST_LOG");
    kt_log_setup(stderr, level ? KT_LOG_DEBUG : KT_LOG_OFF, false);
    rig.fake = kt_coord_fake_new();
    KT_ASSERT(rig.fake != NULL);
    rig.options.service_name = "data";
    rig.options.expect = rig.options.min_in_sync = 1;
    rig.options.max_in_sync = 3;
    rig.options.ttl_s = 3;
    rig.options.lag_timeout_ms = 1000;
    rig.options.fetch_max_bytes = 1 << 20;
    rig.options.queue_max_bytes = 16 << 20;
    rig.options.batch_max_bytes = 4 << 20;
    rig.options.max_indicators = 4096;
    rig.options.endpoints = "";
    rig.options.prefix = "/rig";
    for (size_t n = 0; n < RIG_NODES; n++) {
        open_node(n);
    }
}

enum kt_status rig_try_start(size_t n, bool standalone, struct kt_error *err)
{
    struct rig_node *node = &rig.nodes[n];
    struct kt_replica_options options = rig.options;
    struct kt_store_options store;
    struct kt_replica *replica = NULL;
    memset(&store, 0, sizeof(store));
    store.path = node->path;
    store.read_connections = 4;
    store.max_indicators = 4096;
    if (!node->store && kt_store_open(&store, &node->store, err) != KT_OK) {
        fatal("store", err);
    }
    options.store = node->store;
    options.addr = node->addr;
    options.electable = n == 0 || rig.all_electable;
    options.standalone = standalone;
    options.make_coord = standalone ? make_standalone : rig_make_fake;
    options.make_coord_ctx = rig.fake;
    enum kt_status status = kt_replica_new(&options, &replica, err);
    if (status != KT_OK) {
        kt_store_close(&node->store);
        return status;
    }
    struct kt_store_identity identity;
    kt_store_identity(node->store, &identity);
    kt_mutex_lock(&node->guard);
    memcpy(node->id, identity.node_id, sizeof(node->id));
    node->replica = replica;
    kt_mutex_unlock(&node->guard);
    if (kt_replica_start(replica, err) != KT_OK) {
        fatal("start", err);
    }
    return KT_OK;
}

void rig_start(size_t n)
{
    struct kt_error err = KT_ERROR_INIT;
    if (rig_try_start(n, false, &err) != KT_OK) {
        fatal("replica", &err);
    }
}

void rig_start_standalone(size_t n)
{
    struct kt_error err = KT_ERROR_INIT;
    if (rig_try_start(n, true, &err) != KT_OK) {
        fatal("replica", &err);
    }
}

void rig_stop(size_t n)
{
    struct rig_node *node = &rig.nodes[n];
    struct kt_replica *replica = node->replica;
    if (!replica) {
        return;
    }
    kt_replica_stop(replica);
    kt_mutex_lock(&node->guard);
    node->replica = NULL;
    while (node->busy > 0) {
        (void)kt_cond_wait(&node->idle, &node->guard, kt_now_mono_ms() + 1000);
    }
    kt_mutex_unlock(&node->guard);
    kt_replica_free(&replica);
    kt_store_close(&node->store);
}

static bool is_zero(void *ctx)
{
    return atomic_load((atomic_int *)ctx) == 0;
}

void rig_refuse(size_t n, size_t from)
{
    kt_mutex_lock(&rig.nodes[n].guard);
    atomic_store(&rig.nodes[n].refuses[from], true);
    kt_mutex_unlock(&rig.nodes[n].guard);
    KT_ASSERT(rig_until(is_zero, &rig.nodes[n].busy_of[from], "the end of a request"));
}

void rig_allow(size_t n, size_t from)
{
    atomic_store(&rig.nodes[n].refuses[from], false);
}

static bool append_stands(void *ctx)
{
    size_t n = *(size_t *)ctx;
    uint64_t end = 0, epoch = 0;
    kt_store_log_end(rig.nodes[n].store, &end, &epoch);
    return rig_status(n)->end_seq > end;
}

void rig_lose_leader(size_t n)
{
    rig_stall(n, false);
    KT_ASSERT(rig_until(append_stands, &n, "an append under way"));
    kt_coord_fake_drop_lease(rig.fake, rig.nodes[n].addr);
}

void rig_close(void)
{
    for (size_t n = RIG_NODES; n-- > 0;) {
        struct rig_node *node = &rig.nodes[n];
        rig_go_on(n);
        rig_stop(n);
        kt_http_server_stop(&node->server, kt_now_mono_ms() + 5000);
        kt_cond_done(&node->idle);
        kt_mutex_done(&node->guard);
    }
    kt_coord_fake_free(&rig.fake);
}

/* --- looking --- */

struct kt_replica *rig_replica(size_t n)
{
    return rig.nodes[n].replica;
}

const struct kt_replica_status *rig_status(size_t n)
{
    static struct kt_replica_status status[RIG_NODES];
    kt_replica_status(rig.nodes[n].replica, &status[n]);
    return &status[n];
}

bool rig_leads(size_t n)
{
    struct kt_replica_brief brief;
    kt_replica_brief(rig.nodes[n].replica, &brief);
    return brief.is_leader;
}

uint64_t rig_applied(size_t n)
{
    return kt_store_applied(rig.nodes[n].store);
}

bool rig_until(bool (*holds)(void *ctx), void *ctx, const char *what)
{
    int64_t deadline = kt_now_mono_ms() + RIG_WAIT_MS;
    while (!holds(ctx)) {
        if (kt_now_mono_ms() > deadline) {
            printf("  never came: %s\n", what);
            return false;
        }
        kt_test_pause();
    }
    return true;
}

static bool node_leads(void *ctx)
{
    return rig_leads(*(size_t *)ctx);
}

bool rig_until_leads(size_t n)
{
    return rig_until(node_leads, &n, "the lead");
}

bool rig_until_applied(size_t n, uint64_t seq)
{
    if (!kt_store_wait_applied(rig.nodes[n].store, seq, kt_now_mono_ms() + RIG_WAIT_MS)) {
        printf("  node %zu never applied %llu, it is at %llu\n", n, (unsigned long long)seq,
               (unsigned long long)rig_applied(n));
        return false;
    }
    return true;
}

void rig_start_cluster(size_t count)
{
    rig.options.expect = (uint32_t)count; /* more than one found it at once */
    for (size_t n = 0; n < count; n++) {
        rig_start(n);
    }
    KT_ASSERT(rig_until_leads(0));
    for (size_t n = 1; n < count; n++) {
        KT_ASSERT(rig_until_applied(n, rig_applied(0)));
    }
}

/* --- writing and reading --- */

void rig_change(const char *subject, int64_t time_s, double value, size_t pad, struct kt_buf *body)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(64 << 20);
    KT_ASSERT(builder != NULL);
    struct kt_change_value values = {KT_STR("v"), false, value};
    struct kt_change_record record;
    memset(&record, 0, sizeof(record));
    record.subject = kt_str(subject);
    record.values = &values;
    record.value_count = 1;
    /* Padding is more records of the same subject, some 20 bytes each. */
    for (size_t i = 0; i <= pad / 20; i++) {
        record.time_s = time_s - (int64_t)i * KT_DAY_S;
        values.number = value + 0.001 * (double)i;
        if (kt_change_add_record(builder, &record, &err) != KT_OK) {
            fatal("add", &err);
        }
    }
    if (kt_change_encode(builder, body, &err) != KT_OK) {
        fatal("encode", &err);
    }
    kt_change_builder_free(&builder);
}

enum kt_status rig_write(size_t n, const char *subject, int64_t time_s, double value,
                         int64_t timeout_ms, struct kt_submit_result *ret_result,
                         struct kt_error *err)
{
    struct kt_submit_result result;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    rig_change(subject, time_s, value, 0, &body);
    enum kt_status status =
        kt_replica_submit(rig.nodes[n].replica, KT_STR(""), kt_buf_str(&body),
                          kt_now_mono_ms() + timeout_ms, ret_result ? ret_result : &result, err);
    kt_buf_done(&body);
    return status;
}

double rig_value(size_t n, const char *subject)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = rig.nodes[n].store;
    struct kt_series *series = NULL;
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_subject *found = kt_catalogue_find_subject(view, kt_str(subject));
    double value = -1;
    if (found && kt_store_load_series(store, found->number, &series, &err) != KT_OK) {
        fatal("load", &err);
    }
    if (series && kt_series_record_count(series) > 0) {
        struct kt_bounds bounds = {KT_TIME_MAX, UINT64_MAX >> 1};
        size_t last = kt_series_record_count(series) - 1;
        uint32_t v = 0;
        if (kt_catalogue_find_indicator(view, KT_STR("v"), &v)) {
            (void)kt_series_value(series, last, v, &bounds, &value);
        }
    }
    kt_series_unref(&series);
    kt_catalogue_unref(&view);
    return value;
}

/* --- stalling --- */

static void stall_main(void *arg)
{
    struct rig_node *node = arg;
    struct kt_mutex *mutex =
        node->stall_apply ? &node->store->apply_mutex : &node->store->log_mutex;
    kt_mutex_lock(mutex);
    atomic_store(&node->stalled, true);
    while (atomic_load(&node->stall)) {
        kt_test_pause();
    }
    kt_mutex_unlock(mutex);
}

static bool is_stalled(void *ctx)
{
    return atomic_load(&((struct rig_node *)ctx)->stalled);
}

void rig_stall(size_t n, bool apply)
{
    struct kt_error err = KT_ERROR_INIT;
    struct rig_node *node = &rig.nodes[n];
    node->stall_apply = apply;
    atomic_store(&node->stalled, false);
    atomic_store(&node->stall, true);
    if (kt_thread_start(&node->staller, "staller", stall_main, node, &err) != KT_OK) {
        fatal("thread", &err);
    }
    KT_ASSERT(rig_until(is_stalled, node, "the stall"));
}

void rig_go_on(size_t n)
{
    atomic_store(&rig.nodes[n].stall, false);
    kt_thread_join(&rig.nodes[n].staller);
}

/* --- jobs --- */

static void job_main(void *arg)
{
    struct rig_job *job = arg;
    struct kt_buf body;
    kt_buf_init(&body, 0);
    rig_change(job->subject, 0, job->value, job->pad, &body);
    job->status =
        kt_replica_submit(rig.nodes[job->node].replica, kt_str(job->key), kt_buf_str(&body),
                          kt_now_mono_ms() + job->timeout_ms, &job->result, &job->err);
    kt_buf_done(&body);
    atomic_store(&job->done, true);
}

void rig_submit(struct rig_job *job, size_t n, const char *subject, double value,
                int64_t timeout_ms)
{
    struct kt_error err = KT_ERROR_INIT;
    size_t pad = job->pad;
    const char *key = job->key;
    memset(job, 0, sizeof(*job));
    job->pad = pad;
    job->key = key;
    job->node = n;
    job->value = value;
    job->timeout_ms = timeout_ms;
    snprintf(job->subject, sizeof(job->subject), "%s", subject);
    if (kt_thread_start(&job->thread, "job", job_main, job, &err) != KT_OK) {
        fatal("thread", &err);
    }
}

void rig_join(struct rig_job *job)
{
    kt_thread_join(&job->thread);
}
