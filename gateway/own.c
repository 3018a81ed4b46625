/* SPDX-License-Identifier: MIT */
/* own.c - workers that answer the gateway's own paths. */
#include <uv.h>

#include "gateway/own_impl.h"

#include "base/clock.h"
#include "base/mem.h"
#include "http/envelope.h"

#include <string.h>

#define QUEUE_MAX 256
#define ANSWER_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define ARENA_BYTES 16384
#define ARENA_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define HOUR_MS 3600000

struct kt_own_job *kt_own_job_new(struct kt_exchange *exchange)
{
    struct kt_own_job *job = kt_calloc(1, sizeof(*job));
    struct kt_conn *conn = exchange->conn;

    if (!job) {
        return NULL;
    }
    job->loop = exchange->loop;
    job->exchange = exchange;
    kt_buf_init(&job->head, 0);
    kt_buf_init(&job->body, 0);
    kt_buf_init(&job->answer_head, 65536);
    kt_buf_init(&job->answer_body, ANSWER_BYTES_MAX);
    kt_buf_append(&job->head, conn->io.in + conn->io.start, exchange->head_len);
    kt_buf_append_str(&job->body, exchange->mode == KT_BODY_IN_PLACE
                                      ? kt_str_n(conn->io.in + conn->io.start + exchange->head_len,
                                                 (size_t)exchange->request.head.content_length)
                                      : kt_buf_str(&exchange->body));
    memcpy(job->host, conn->host, sizeof(job->host));
    job->port = conn->port;
    memcpy(job->request_id, exchange->request_id, sizeof(job->request_id));
    memcpy(job->path_text, exchange->route.path.data, exchange->route.path.len);
    job->path = kt_str_n(job->path_text, exchange->route.path.len);
    job->deadline_ms = kt_now_mono_ms() + (exchange->deadline_ms - kt_loop_now(exchange->loop));
    job->deadline_given = exchange->timeout_given;
    job->slow = kt_own_path_is_slow(job->path);
    if (kt_buf_status(&job->head) != KT_OK || kt_buf_status(&job->body) != KT_OK) {
        kt_own_job_free(&job);
    }
    return job;
}

void kt_own_job_free(struct kt_own_job **job)
{
    struct kt_own_job *self = *job;

    if (self) {
        kt_buf_done(&self->head);
        kt_buf_done(&self->body);
        kt_buf_done(&self->answer_head);
        kt_buf_done(&self->answer_body);
        kt_free(self);
    }
    *job = NULL;
}

static void queue_init(struct kt_own_queue *queue)
{
    queue->end = &queue->first;
}

static bool push(struct kt_own_queue *queue, struct kt_own_job *job)
{
    if (queue->count >= QUEUE_MAX) {
        return false;
    }
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
    queue->count++;
    return true;
}

static struct kt_own_job *pop(struct kt_own_queue *queue)
{
    struct kt_own_job *job = queue->first;

    if (job) {
        queue->first = job->next;
        if (!queue->first) {
            queue->end = &queue->first;
        }
        queue->count--;
    }
    return job;
}

bool kt_own_submit(struct kt_own *own, struct kt_own_job *job)
{
    bool taken;

    kt_mutex_lock(&own->lock);
    taken = !own->stopping && push(job->slow ? &own->slow : &own->quick, job);
    kt_mutex_unlock(&own->lock);
    if (taken) {
        kt_cond_signal(&own->cond);
    }
    return taken;
}

/* What may be begun now; the lock is held. */
static struct kt_own_job *choose_job(struct kt_own *own)
{
    struct kt_own_job *job = pop(&own->quick);
    size_t most = own->options.workers > 1 ? own->options.workers - 1 : 1;

    if (!job && own->slow_running < most) {
        job = pop(&own->slow);
        own->slow_running += job != NULL;
    }
    return job;
}

static struct kt_own_job *next_job(struct kt_own *own)
{
    struct kt_own_job *job;

    kt_mutex_lock(&own->lock);
    while (!(job = choose_job(own)) && !(own->stopping && !own->slow.first)) {
        (void)kt_cond_wait(&own->cond, &own->lock, kt_now_mono_ms() + HOUR_MS);
    }
    kt_mutex_unlock(&own->lock);
    return job;
}

/* Another slow one may begin, on any worker. */
static void end_slow(struct kt_own *own)
{
    kt_mutex_lock(&own->lock);
    own->slow_running--;
    kt_mutex_unlock(&own->lock);
    kt_cond_broadcast(&own->cond);
}

/* The front has parsed this head already: here it is read again from the job's own copy. */
static void fill_request(struct kt_own_job *job, const struct kt_h1_request *parsed,
                         struct kt_arena *arena, struct kt_http_request *ret_request)
{
    *ret_request = (struct kt_http_request){
        .method = parsed->method,
        .raw_target = parsed->target,
        .path = job->path,
        .query = parsed->query,
        .headers = parsed->head.headers,
        .header_count = parsed->head.header_count,
        .body = kt_buf_str(&job->body),
        .content_length = parsed->head.content_length,
        .remote_port = job->port,
        .remote_is_loopback = kt_host_is_loopback(job->host),
        .deadline_mono_ms = job->deadline_ms,
        .deadline_given = job->deadline_given,
        .arena = arena,
    };
    memcpy(ret_request->remote_host, job->host, sizeof(ret_request->remote_host));
    memcpy(ret_request->request_id, job->request_id, sizeof(ret_request->request_id));
}

static void put_head(struct kt_own_job *job, const struct kt_http_response *response)
{
    struct kt_buf *out = &job->answer_head;

    for (size_t i = 0; i < response->header_count; i++) {
        const struct kt_http_header *header = &response->headers[i];

        if (kt_str_eq_nocase(header->name, KT_STR("X-Request-Id"))) {
            continue; /* the front writes it */
        }
        kt_buf_append_str(out, header->name);
        kt_buf_append(out, ": ", 2);
        kt_buf_append_str(out, header->value);
        kt_buf_append(out, "\r\n", 2);
    }
    if (response->content_type) {
        kt_buf_printf(out, "Content-Type: %s\r\n", response->content_type);
    }
    if (response->status != 304) {
        kt_buf_printf(out, "Content-Length: %zu\r\n", response->body.len_bytes);
    }
}

static void serve(struct kt_own *own, struct kt_own_job *job, struct kt_arena *arena)
{
    struct kt_error err = KT_ERROR_INIT;
    const struct kt_http_route *route = NULL;
    struct kt_h1_request parsed;
    struct kt_http_request request;
    struct kt_http_response response;
    enum kt_status found;
    unsigned allowed = 0;

    KT_ASSERT(kt_h1_parse_request(kt_buf_str(&job->head), &parsed) == KT_H1_OK);
    fill_request(job, &parsed, arena, &request);
    kt_http_response_init(&response, arena, ANSWER_BYTES_MAX);
    found = kt_router_find(&own->router, &request, &route, &allowed, &err);
    kt_router_serve(&own->router, &request, route, found, allowed, &err, &response);
    kt_content_finish(own->content, &request, &response);
    job->status = response.status;
    job->close = response.close;
    put_head(job, &response);
    kt_buf_append_str(&job->answer_body, kt_buf_str(&response.body));
    kt_http_response_done(&response);
}

static void run(void *arg)
{
    struct kt_own_worker *worker = arg;
    struct kt_own_job *job;

    while ((job = next_job(worker->own))) {
        bool slow = job->slow;

        kt_arena_reset(worker->arena);
        serve(worker->own, job, worker->arena);
        kt_loop_deliver(job->loop, job);
        if (slow) {
            end_slow(worker->own);
        }
    }
}

static enum kt_status start_workers(struct kt_own *own, struct kt_error *err)
{
    own->workers = kt_calloc(own->options.workers, sizeof(own->workers[0]));
    for (size_t i = 0; i < own->options.workers; i++) {
        struct kt_own_worker *worker = own->workers ? &own->workers[i] : NULL;
        enum kt_status status;

        if (!worker || !(worker->arena = kt_arena_new(ARENA_BYTES, ARENA_BYTES_MAX))) {
            return kt_fail(err, KT_NO_MEMORY, "no memory for the workers");
        }
        own->worker_count++;
        worker->own = own;
        status = kt_thread_start(&worker->thread, "own", run, worker, err);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

enum kt_status kt_own_start(const struct kt_own_options *options, struct kt_own **ret_own,
                            struct kt_error *err)
{
    struct kt_own *own = kt_calloc(1, sizeof(*own));
    struct kt_etcd_security security = kt_gateway_etcd_security(options->shared->config);
    struct kt_etcd_options etcd = {.endpoints = options->shared->config->etcd_endpoints,
                                   .security = &security,
                                   .call_timeout_ms = 500};
    enum kt_status status;

    if (!own) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the gateway's own paths");
    }
    own->options = *options;
    own->router = (struct kt_http_router){.routes = kt_own_routes,
                                          .count = kt_own_route_count,
                                          .ctx = own,
                                          .access = options->shared->access};
    own->started_ms = kt_now_mono_ms();
    queue_init(&own->quick);
    queue_init(&own->slow);
    kt_mutex_init(&own->lock, "own paths", KT_RANK_GATEWAY);
    kt_cond_init(&own->cond);
    own->content = kt_content_new();
    status = own->content ? KT_OK : kt_fail(err, KT_NO_MEMORY, "no memory for answers");
    if (status == KT_OK && etcd.endpoints[0]) {
        status = kt_etcd_new(&etcd, &own->etcd, err);
    }
    if (status == KT_OK) {
        status = start_workers(own, err);
    }
    if (status != KT_OK) {
        kt_own_stop(&own);
        return status;
    }
    *ret_own = own;
    return KT_OK;
}

void kt_own_stop(struct kt_own **own)
{
    struct kt_own *self = *own;

    if (!self) {
        return;
    }
    kt_mutex_lock(&self->lock);
    self->stopping = true;
    kt_mutex_unlock(&self->lock);
    kt_cond_broadcast(&self->cond);
    if (self->etcd) {
        kt_etcd_cancel(self->etcd);
    }
    for (size_t i = 0; i < self->worker_count; i++) {
        kt_thread_join(&self->workers[i].thread);
        kt_arena_free(&self->workers[i].arena);
    }
    KT_ASSERT(!self->quick.first && !self->slow.first);
    kt_etcd_free(&self->etcd);
    kt_content_free(&self->content);
    kt_free(self->workers);
    kt_cond_done(&self->cond);
    kt_mutex_done(&self->lock);
    kt_free(self);
    *own = NULL;
}
