/* SPDX-License-Identifier: MIT */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>

#define PULSE_MS 2
/* Enough for small traffic: a test that lets allocations fail means the gateway's, not these. */
#define RESERVED_BYTES 65536

static void init_reserved(struct kt_buf *buf)
{
    kt_buf_init(buf, 0);
    buf->data = malloc(RESERVED_BYTES);
    buf->cap_bytes = RESERVED_BYTES;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)handle;
    *ret_buf = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

struct write_job {
    uv_write_t request;
    uint64_t *queued;
    size_t len;
    char data[];
};

static void on_written(uv_write_t *request, int status)
{
    struct write_job *job = (struct write_job *)request;

    if (job->queued && status != UV_ECANCELED) {
        *job->queued -= job->len;
    }
    free(job);
}

static void write_copy(uv_stream_t *stream, const void *data, size_t len, uint64_t *queued)
{
    struct write_job *job = malloc(sizeof(*job) + len);
    uv_buf_t buf;

    memcpy(job->data, data, len);
    job->queued = queued;
    job->len = len;
    if (queued) {
        *queued += len;
    }
    buf = uv_buf_init(job->data, (unsigned)len);
    if (uv_write(&job->request, stream, &buf, 1, on_written) != 0) {
        free(job);
    }
}

/* --- waiting --- */

static void on_pulse(uv_timer_t *timer)
{
    (void)timer;
}

bool rig_wait(struct rig *rig, bool (*condition)(void *ctx), void *ctx, const char *what)
{
    int64_t deadline_ms = kt_now_mono_ms() + RIG_WAIT_MS;

    while (!condition(ctx)) {
        if (kt_now_mono_ms() > deadline_ms) {
            kt_test_fail(__FILE__, __LINE__, "waited in vain: %s", what);
            return false;
        }
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
    return true;
}

static bool is_past(void *ctx)
{
    return kt_now_mono_ms() >= *(int64_t *)ctx;
}

void rig_turn(struct rig *rig, int64_t ms)
{
    int64_t until_ms = kt_now_mono_ms() + ms;

    (void)rig_wait(rig, is_past, &until_ms, "time");
}

/* --- nodes --- */

static void on_link_closed(uv_handle_t *handle)
{
    struct rig_link *link = handle->data;

    link->closed = true;
}

void rig_link_close(struct rig_link *link)
{
    if (!uv_is_closing((uv_handle_t *)&link->tcp)) {
        uv_close((uv_handle_t *)&link->tcp, on_link_closed);
    }
}

void rig_link_write(struct rig_link *link, const void *data, size_t len)
{
    if (!uv_is_closing((uv_handle_t *)&link->tcp)) {
        write_copy((uv_stream_t *)&link->tcp, data, len, NULL);
    }
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

static void shut(uv_stream_t *stream)
{
    uv_shutdown_t *request = malloc(sizeof(*request));

    if (uv_shutdown(request, stream, on_shutdown) != 0) {
        free(request);
    }
}

void rig_link_shutdown(struct rig_link *link)
{
    if (!uv_is_closing((uv_handle_t *)&link->tcp)) {
        shut((uv_stream_t *)&link->tcp);
    }
}

void rig_client_shutdown(struct rig_client *client)
{
    shut((uv_stream_t *)&client->tcp);
}

void rig_reply(const struct rig_request *request, const char *raw)
{
    rig_link_write(request->link, raw, strlen(raw));
}

void rig_stay_silent(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    (void)request;
}

void rig_hang_up(struct rig_node *node, const struct rig_request *request)
{
    (void)node;
    rig_link_close(request->link);
}

void rig_not_me(struct rig_node *node, const struct rig_request *request)
{
    char text[300];

    snprintf(text, sizeof(text),
             "HTTP/1.1 421 Misdirected\r\nX-Kamaitachi-Leader: %s\r\nContent-Length: 0\r\n\r\n",
             node->rig->hint);
    rig_reply(request, text);
}

void rig_keep_link(struct rig_node *node, const struct rig_request *request)
{
    node->rig->kept = request->link;
}

static bool is_kept(void *ctx)
{
    return ((struct rig *)ctx)->kept != NULL;
}

bool rig_wait_kept(struct rig *rig)
{
    return rig_wait(rig, is_kept, rig, "a request at a node");
}

static void standard_handler(struct rig_node *node, const struct rig_request *request)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "X-Kamaitachi-Node: %s\r\n\r\n%s",
             strlen(node->text), node->id,
             request->parsed.method == KT_HTTP_HEAD ? "" : node->text);
    rig_reply(request, text);
}

static void answer_probe(struct rig_node *node, struct rig_link *link)
{
    char text[256];

    node->probes++;
    if (node->health == 0) {
        return;
    }
    snprintf(text, sizeof(text),
             "HTTP/1.1 %d X\r\nX-Kamaitachi-Revision: %u\r\nX-Kamaitachi-Lag-Ms: 3\r\n"
             "Content-Length: 2\r\nConnection: close\r\n\r\n{}",
             node->health, node->revision);
    rig_link_write(link, text, strlen(text));
}

/* Takes one request off the link's input; false when it is not whole. */
static bool take_request(struct rig_link *link)
{
    struct rig_node *node = link->node;
    struct rig_request request = {.link = link};
    struct kt_h1_scan scan = {0};
    struct kt_h1_chunks chunks;
    size_t head_len, used = 0, payload = 0, behind;
    char *body;

    if (link->reading_body) {
        node->raw_bytes += link->in.len_bytes;
        kt_buf_clear(&link->in);
        return false;
    }
    if (link->in.len_bytes == 0 ||
        kt_h1_scan_request(&scan, link->in.data, link->in.len_bytes, &head_len) != KT_H1_OK) {
        return false;
    }
    request.head = kt_str_n(link->in.data, head_len);
    KT_ASSERT(kt_h1_parse_request(request.head, &request.parsed) == KT_H1_OK);
    body = link->in.data + head_len;
    behind = link->in.len_bytes - head_len;
    if (kt_str_eq_text(request.parsed.path, "/health")) {
        answer_probe(node, link);
        kt_buf_consume(&link->in, head_len);
        return true;
    }
    if (kt_str_eq_text(request.parsed.path, "/rig/lead")) {
        rig_reply(&request, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        kt_buf_consume(&link->in, head_len);
        return true;
    }
    if (node->early) {
        link->reading_body = true;
        node->raw_bytes += behind;
    } else if (request.parsed.head.chunked) {
        struct kt_buf copy;

        kt_buf_init(&copy, 0);
        kt_buf_append(&copy, body, behind);
        kt_h1_chunks_init(&chunks);
        if (kt_h1_chunks_decode(&chunks, copy.data ? copy.data : body, behind, &used, &payload) !=
            KT_H1_OK) {
            kt_buf_done(&copy);
            return false;
        }
        memcpy(body, copy.data, payload);
        kt_buf_done(&copy);
    } else if (request.parsed.head.content_length > 0) {
        used = payload = (size_t)request.parsed.head.content_length;
        if (behind < used) {
            return false;
        }
    }
    request.body = kt_str_n(body, payload);
    request.number = ++node->requests;
    kt_buf_clear(&node->last_head);
    kt_buf_append_str(&node->last_head, request.head);
    kt_buf_clear(&node->last_body);
    kt_buf_append_str(&node->last_body, request.body);
    node->handler(node, &request);
    if (node->early) {
        kt_buf_clear(&link->in);
        if (node->deaf) {
            uv_read_stop((uv_stream_t *)&link->tcp);
        }
        return false;
    }
    kt_buf_consume(&link->in, head_len + used);
    return true;
}

static void on_link_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct rig_link *link = stream->data;

    if (count > 0) {
        kt_buf_append(&link->in, buf->base, (size_t)count);
    }
    free(buf->base);
    if (count < 0) {
        rig_link_close(link);
        return;
    }
    while (!uv_is_closing((uv_handle_t *)stream) && take_request(link)) {
    }
}

void rig_link_resume(struct rig_link *link)
{
    uv_read_start((uv_stream_t *)&link->tcp, on_alloc, on_link_read);
}

static void on_link(uv_stream_t *server, int status)
{
    struct rig_node *node = server->data;
    struct rig_link *link = calloc(1, sizeof(*link));

    if (status < 0) {
        free(link);
        return;
    }
    link->node = node;
    link->next = node->links;
    node->links = link;
    node->links_made++;
    init_reserved(&link->in);
    uv_tcp_init(&node->rig->loop, &link->tcp);
    link->tcp.data = link;
    uv_accept(server, (uv_stream_t *)&link->tcp);
    uv_read_start((uv_stream_t *)&link->tcp, on_alloc, on_link_read);
}

struct rig_node *rig_node_add(struct rig *rig, const char *text)
{
    struct rig_node *node = &rig->nodes[rig->node_count];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_service self = {.role = KT_ROLE_FOLLOWER, .state = KT_STATE_WHOLE};
    struct kt_coord_options options = {.prefix = "/kamaitachi",
                                       .ttl_s = 5,
                                       .service_name = "data",
                                       .self = &self,
                                       .register_now = true};
    struct sockaddr_storage name;
    struct sockaddr_in any;
    int len = sizeof(name);

    init_reserved(&node->last_head);
    init_reserved(&node->last_body);
    node->rig = rig;
    node->text = text;
    node->health = 200;
    node->revision = 7;
    node->handler = standard_handler;
    uv_ip4_addr("127.0.0.1", 0, &any);
    uv_tcp_init(&rig->loop, &node->server);
    node->server.data = node;
    uv_tcp_bind(&node->server, (const struct sockaddr *)&any, 0);
    uv_tcp_getsockname(&node->server, (struct sockaddr *)&name, &len);
    memcpy(&any, &name, sizeof(any));
    node->port = (uint16_t)(((any.sin_port & 0xff) << 8) | (any.sin_port >> 8));
    uv_listen((uv_stream_t *)&node->server, 128, on_link);
    node->listening = true;
    snprintf(node->addr, sizeof(node->addr), "127.0.0.1:%u", node->port);
    kt_random_id(node->id);
    memcpy(self.id, node->id, sizeof(self.id));
    options.addr = node->addr;
    kt_str_copy(self.addr, sizeof(self.addr), kt_str(node->addr));
    kt_str_copy(self.service_name, sizeof(self.service_name), KT_STR("data"));
    if (kt_coord_start_fake(rig->fake, &options, &node->coord, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "register: %s", err.message);
        return NULL;
    }
    rig->node_count++;
    return node;
}

void rig_node_unlisten(struct rig_node *node)
{
    if (node->listening) {
        node->listening = false;
        uv_close((uv_handle_t *)&node->server, NULL);
    }
    for (struct rig_link *link = node->links; link; link = link->next) {
        rig_link_close(link);
    }
}

void rig_node_unregister(struct rig_node *node)
{
    if (node->coord) {
        kt_coord_deregister(node->coord, 1000);
        kt_coord_free(&node->coord);
    }
}

/* --- the gateway --- */

static enum kt_status start_coord(void *ctx, const struct kt_coord_options *options,
                                  struct kt_coord **ret_coord, struct kt_error *err)
{
    return kt_coord_start_fake(ctx, options, ret_coord, err);
}

static bool set(struct rig *rig, const char *section, const char *key, const char *value)
{
    struct kt_error err = KT_ERROR_INIT;

    if (kt_conf_set(&rig->conf, section, key, value, KT_CONF_FLAG, "test", &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "%s", err.message);
        return false;
    }
    return true;
}

static bool apply(struct rig *rig, const char *const *settings)
{
    if (!set(rig, "server", "port", "0") || !set(rig, "server", "loops", "2") ||
        !set(rig, "server", "drain_ms", "2000") || !set(rig, "health", "interval_ms", "200") ||
        !set(rig, "proxy", "failover_wait", "1")) {
        return false;
    }
    for (; settings && *settings; settings++) {
        struct kt_str rest = kt_str(*settings), section = kt_str_cut(&rest, '.'),
                      key = kt_str_cut(&rest, '=');
        char section_text[32], key_text[64];

        kt_str_copy(section_text, sizeof(section_text), section);
        kt_str_copy(key_text, sizeof(key_text), key);
        if (!set(rig, section_text, key_text, rest.data ? rest.data : "")) {
            return false;
        }
    }
    return true;
}

bool rig_start(struct rig *rig, const char *const *settings)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_gateway_options options = {.config = &rig->config, .start_coord = start_coord};

    memset(rig, 0, sizeof(*rig));
    kt_log_setup(stderr, KT_LOG_OFF, false);
    uv_loop_init(&rig->loop);
    uv_timer_init(&rig->loop, &rig->pulse);
    uv_timer_start(&rig->pulse, on_pulse, PULSE_MS, PULSE_MS);
    rig->fake = kt_coord_fake_new();
    options.start_coord_ctx = rig->fake;
    if (kt_conf_init(&rig->conf, &kt_gateway_table, &rig->config, NULL, 0, &err) != KT_OK ||
        !apply(rig, settings) || kt_gateway_start(&options, &rig->gateway, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "start: %s", err.message);
        return false;
    }
    rig->started = true;
    return true;
}

static void close_walk(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void rig_stop(struct rig *rig)
{
    kt_gateway_stop(&rig->gateway);
    for (size_t i = 0; i < rig->node_count; i++) {
        rig_node_unregister(&rig->nodes[i]);
    }
    uv_walk(&rig->loop, close_walk, NULL);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    KT_ASSERT(uv_loop_close(&rig->loop) == 0);
    for (size_t i = 0; i < rig->node_count; i++) {
        struct rig_node *node = &rig->nodes[i];

        while (node->links) {
            struct rig_link *link = node->links;

            node->links = link->next;
            kt_buf_done(&link->in);
            free(link);
        }
        kt_buf_done(&node->last_head);
        kt_buf_done(&node->last_body);
    }
    kt_conf_done(&rig->conf);
    kt_coord_fake_free(&rig->fake);
}

/* --- clients --- */

void rig_answer_init(struct rig_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    kt_buf_init(&answer->head, 0);
    kt_buf_init(&answer->body, 0);
}

void rig_answer_done(struct rig_answer *answer)
{
    kt_buf_done(&answer->head);
    kt_buf_done(&answer->body);
}

struct kt_str rig_answer_header(const struct rig_answer *answer, const char *name)
{
    for (uint32_t i = 0; i < answer->parsed.head.header_count; i++) {
        if (kt_str_eq_nocase(answer->parsed.head.headers[i].name, kt_str(name))) {
            return answer->parsed.head.headers[i].value;
        }
    }
    return kt_str(NULL);
}

static void on_client_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct rig_client *client = stream->data;

    if (count > 0) {
        kt_buf_append(&client->in, buf->base, (size_t)count);
    } else if (count < 0) {
        client->ended = true;
        uv_read_stop(stream);
    }
    free(buf->base);
}

static void on_client_connected(uv_connect_t *request, int status)
{
    struct rig_client *client = request->data;

    client->connected = status == 0;
    client->ended = status != 0;
    if (client->connected && !client->paused) {
        uv_read_start((uv_stream_t *)&client->tcp, on_alloc, on_client_read);
    }
    free(request);
}

static bool is_connected(void *ctx)
{
    struct rig_client *client = ctx;

    return client->connected || client->ended;
}

bool rig_client_open(struct rig *rig, struct rig_client *client)
{
    uv_connect_t *request = calloc(1, sizeof(*request));
    struct sockaddr_in addr;

    memset(client, 0, sizeof(*client));
    client->rig = rig;
    init_reserved(&client->in);
    uv_tcp_init(&rig->loop, &client->tcp);
    client->tcp.data = client;
    request->data = client;
    uv_ip4_addr("127.0.0.1", kt_gateway_port(rig->gateway), &addr);
    uv_tcp_connect(request, &client->tcp, (const struct sockaddr *)&addr, on_client_connected);
    return rig_wait(rig, is_connected, client, "a connection to the gateway") && client->connected;
}

void rig_client_send_n(struct rig_client *client, const void *data, size_t len)
{
    write_copy((uv_stream_t *)&client->tcp, data, len, &client->queued_bytes);
}

void rig_client_send(struct rig_client *client, const char *text)
{
    rig_client_send_n(client, text, strlen(text));
}

/* How many bytes of input the first whole answer has; 0 = it is not whole. */
static size_t whole_answer(struct rig_client *client, bool to_head, struct rig_answer *answer)
{
    struct kt_h1_scan scan = {0};
    size_t head_len, used, payload;
    struct kt_str body;

    if (client->in.len_bytes == 0 ||
        kt_h1_scan_response(&scan, client->in.data, client->in.len_bytes, &head_len) != KT_H1_OK) {
        return 0;
    }
    kt_buf_clear(&answer->head);
    kt_buf_clear(&answer->body);
    kt_buf_append(&answer->head, client->in.data, head_len);
    if (kt_h1_parse_response(kt_buf_str(&answer->head), to_head, &answer->parsed) != KT_H1_OK) {
        kt_test_fail(__FILE__, __LINE__, "an answer that is not HTTP: %s", answer->head.data);
        return 0;
    }
    answer->status = answer->parsed.status;
    body = kt_str_n(client->in.data + head_len, client->in.len_bytes - head_len);
    if (!answer->parsed.has_body) {
        return head_len;
    }
    kt_buf_append_str(&answer->body, body);
    if (answer->parsed.head.chunked) {
        struct kt_h1_chunks chunks;

        kt_h1_chunks_init(&chunks);
        if (body.len == 0 || kt_h1_chunks_decode(&chunks, answer->body.data, body.len, &used,
                                                 &payload) != KT_H1_OK) {
            return 0;
        }
        answer->body.len_bytes = payload;
        answer->body.data[payload] = '\0';
        return head_len + used;
    }
    if (answer->parsed.until_close) {
        return client->ended ? client->in.len_bytes : 0;
    }
    if (body.len < (uint64_t)answer->parsed.head.content_length) {
        return 0;
    }
    answer->body.len_bytes = (size_t)answer->parsed.head.content_length;
    answer->body.data[answer->body.len_bytes] = '\0';
    return head_len + answer->body.len_bytes;
}

struct take {
    struct rig_client *client;
    struct rig_answer *answer;
    size_t len;
    bool to_head;
};

static bool has_answer(void *ctx)
{
    struct take *take = ctx;

    take->len = whole_answer(take->client, take->to_head, take->answer);
    return take->len > 0 || take->client->ended;
}

bool rig_client_take(struct rig_client *client, struct rig_answer *ret_answer, bool to_head)
{
    struct take take = {client, ret_answer, 0, to_head};

    if (!rig_wait(client->rig, has_answer, &take, "an answer")) {
        return false;
    }
    if (take.len == 0) {
        kt_test_fail(__FILE__, __LINE__, "the connection ended without a whole answer: %s",
                     client->in.data ? client->in.data : "(nothing)");
        return false;
    }
    kt_buf_consume(&client->in, take.len);
    return true;
}

static bool has_ended(void *ctx)
{
    return ((struct rig_client *)ctx)->ended;
}

bool rig_client_wait_end(struct rig_client *client)
{
    return rig_wait(client->rig, has_ended, client, "the end of a connection");
}

void rig_client_pause(struct rig_client *client, bool pause)
{
    client->paused = pause;
    if (pause) {
        uv_read_stop((uv_stream_t *)&client->tcp);
    } else {
        uv_read_start((uv_stream_t *)&client->tcp, on_alloc, on_client_read);
    }
}

static void on_client_closed(uv_handle_t *handle)
{
    struct rig_client *client = handle->data;

    client->closed = true;
}

static bool is_closed(void *ctx)
{
    return ((struct rig_client *)ctx)->closed;
}

void rig_client_close(struct rig_client *client)
{
    uv_close((uv_handle_t *)&client->tcp, on_client_closed);
    (void)rig_wait(client->rig, is_closed, client, "a closed client");
    kt_buf_done(&client->in);
}

void rig_client_reset(struct rig_client *client)
{
    if (uv_tcp_close_reset(&client->tcp, on_client_closed) != 0) {
        uv_close((uv_handle_t *)&client->tcp, on_client_closed);
    }
    (void)rig_wait(client->rig, is_closed, client, "a closed client");
    kt_buf_done(&client->in);
}

bool rig_call(struct rig *rig, const char *raw, struct rig_answer *ret_answer)
{
    struct rig_client client;
    bool done = false;

    if (rig_client_open(rig, &client)) {
        rig_client_send(&client, raw);
        done = rig_client_take(&client, ret_answer, strncmp(raw, "HEAD ", 5) == 0);
    }
    rig_client_close(&client);
    return done;
}

bool rig_wait_up(struct rig *rig, size_t count)
{
    int64_t deadline_ms = kt_now_mono_ms() + RIG_WAIT_MS;
    char wanted[32];
    struct rig_answer answer;
    bool up = false;

    snprintf(wanted, sizeof(wanted), "\"count\":%zu,", count);
    rig_answer_init(&answer);
    while (!up && kt_now_mono_ms() < deadline_ms) {
        if (!rig_call(rig, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", &answer)) {
            break;
        }
        up = kt_str_find(kt_buf_str(&answer.body), kt_str(wanted)) >= 0;
        if (!up) {
            rig_turn(rig, 10);
        }
    }
    if (!up) {
        kt_test_fail(__FILE__, __LINE__, "%zu nodes should be up: %s", count,
                     answer.body.data ? answer.body.data : "");
    }
    rig_answer_done(&answer);
    return up;
}

/* Each loop learns of it on its own: connections go to them in turn. */
bool rig_lead(struct rig *rig, const struct rig_node *node)
{
    int64_t deadline_ms = kt_now_mono_ms() + RIG_WAIT_MS;
    struct rig_answer answer;
    int64_t in_a_row = 0;

    kt_coord_fake_set_leader(rig->fake, node ? node->id : NULL, node ? node->addr : NULL, 1);
    rig_answer_init(&answer);
    while (in_a_row < rig->config.loops && kt_now_mono_ms() < deadline_ms &&
           rig_call(rig,
                    "POST /data/rig/lead HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer pen\r\n\r\n",
                    &answer)) {
        in_a_row = answer.status == (node ? 200 : 503) ? in_a_row + 1 : 0;
    }
    rig_answer_done(&answer);
    if (in_a_row < rig->config.loops) {
        kt_test_fail(__FILE__, __LINE__, "the leader is not known: %d", answer.status);
    }
    return in_a_row >= rig->config.loops;
}
