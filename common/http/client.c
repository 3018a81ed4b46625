/* SPDX-License-Identifier: MIT */
/* client.c - one call at a time over a libcurl multi handle of its own.
 *
 * The multi interface and not the easy one, because its wait can be woken from another thread: a
 * cancelled call ends at once. It also holds the connections that are kept between calls. All
 * deadlines are watched here, since libcurl's own can't tell a silent stream from a slow one.
 */
#include "http/client.h"

#include <curl/curl.h>

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define HEAD_BYTES_MAX 65536
#define CONNECTIONS_MAX 16L

struct kt_http_client {
    CURLM *multi;
    CURL *easy;
    atomic_bool cancelled;
};

/* The call under way, as libcurl's callbacks see it. */
struct running {
    struct kt_http_client *client;
    const struct kt_http_call *call;
    struct kt_http_answer *answer;
    struct curl_slist *headers;
    char why[CURL_ERROR_SIZE];
    int64_t start_ms, last_data_ms;
    bool head_done;
    bool too_large, no_memory, refused; /* why a callback ended the call */
};

static void init_library(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct kt_http_client *kt_http_client_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct kt_http_client *client;

    (void)pthread_once(&once, init_library);
    client = kt_calloc(1, sizeof(*client));
    if (!client) {
        return NULL;
    }
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    if (!client->multi || !client->easy) {
        kt_http_client_free(&client);
        return NULL;
    }
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
    return client;
}

void kt_http_client_free(struct kt_http_client **client)
{
    struct kt_http_client *self = *client;

    if (!self) {
        return;
    }
    if (self->easy) {
        curl_easy_cleanup(self->easy);
    }
    if (self->multi) {
        (void)curl_multi_cleanup(self->multi);
    }
    kt_free(self);
    *client = NULL;
}

void kt_http_answer_init(struct kt_http_answer *answer)
{
    answer->status = 0;
    kt_buf_init(&answer->body, 0);
    kt_buf_init(&answer->head, HEAD_BYTES_MAX);
}

void kt_http_answer_done(struct kt_http_answer *answer)
{
    kt_buf_done(&answer->body);
    kt_buf_done(&answer->head);
}

struct kt_str kt_http_answer_header(const struct kt_http_answer *answer, const char *lower_name)
{
    struct kt_str rest = kt_buf_str(&answer->head), name = kt_str(lower_name);

    while (rest.data && rest.len > 0) {
        struct kt_str line = kt_str_cut(&rest, '\n');

        if (line.len > name.len + 1 && kt_str_starts(line, name) && line.data[name.len] == ':') {
            return (struct kt_str){line.data + name.len + 2, line.len - name.len - 2};
        }
    }
    return (struct kt_str){NULL, 0};
}

/* One line of the head, as it came. */
static size_t on_header(const char *data, size_t size, size_t count, void *ctx)
{
    struct running *run = ctx;
    struct kt_buf *head = &run->answer->head;
    struct kt_str line = {data, size * count}, name;

    run->last_data_ms = kt_now_mono_ms();
    if (kt_str_starts(line, KT_STR("HTTP/"))) {
        kt_buf_clear(head); /* an interim answer came before this one */
        return line.len;
    }
    line = kt_str_trim(line);
    if (line.len == 0) {
        long status = 0;

        (void)curl_easy_getinfo(run->client->easy, CURLINFO_RESPONSE_CODE, &status);
        run->answer->status = (int)status;
        run->head_done = status >= 200;
        return size * count;
    }
    name = kt_str_cut(&line, ':');
    if (!line.data) {
        return size * count;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];

        kt_buf_append_byte(head, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    kt_buf_append(head, ": ", 2);
    kt_buf_append_str(head, kt_str_trim(line));
    kt_buf_append_byte(head, '\n');
    run->too_large = kt_buf_status(head) == KT_TOO_LARGE;
    run->no_memory = kt_buf_status(head) == KT_NO_MEMORY;
    return run->too_large || run->no_memory ? 0 : size * count;
}

static bool streams(const struct running *run)
{
    return run->call->on_data && run->answer->status >= 200 && run->answer->status < 300;
}

static size_t on_body(const char *data, size_t size, size_t count, void *ctx)
{
    struct running *run = ctx;
    struct kt_buf *body = &run->answer->body;
    size_t len = size * count;

    run->last_data_ms = kt_now_mono_ms();
    if (streams(run)) {
        run->refused = !run->call->on_data(run->call->on_data_ctx, kt_str_n(data, len));
        /* The callee's own time is not the peer's silence. */
        run->last_data_ms = kt_now_mono_ms();
        return run->refused ? 0 : len;
    }
    kt_buf_append(body, data, len);
    run->too_large = kt_buf_status(body) == KT_TOO_LARGE;
    run->no_memory = kt_buf_status(body) == KT_NO_MEMORY;
    return run->too_large || run->no_memory ? 0 : len;
}

static bool add_header(struct running *run, const char *line)
{
    struct curl_slist *longer = curl_slist_append(run->headers, line);

    if (!longer) {
        return false;
    }
    run->headers = longer;
    return true;
}

static bool set_headers(struct running *run)
{
    const struct kt_http_call *call = run->call;
    struct kt_buf line;
    bool added;

    kt_buf_init(&line, 4096);
    kt_buf_append_text(&line, "Content-Type:");
    if (call->content_type) {
        kt_buf_append_byte(&line, ' ');
        kt_buf_append_text(&line, call->content_type);
    }
    added = kt_buf_status(&line) == KT_OK && add_header(run, line.data) &&
            add_header(run, "Expect:"); /* curl would wait a second for a 100 */
    kt_buf_done(&line);
    for (size_t i = 0; added && i < KT_ARRAY_LEN(call->headers) && call->headers[i]; i++) {
        added = add_header(run, call->headers[i]);
    }
    return added &&
           curl_easy_setopt(run->client->easy, CURLOPT_HTTPHEADER, run->headers) == CURLE_OK;
}

static void set_method(CURL *easy, const struct kt_http_call *call)
{
    bool has_body = strcmp(call->method, "POST") == 0 || strcmp(call->method, "PUT") == 0;

    if (has_body) {
        (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.data ? call->body.data : "");
    }
    if (strcmp(call->method, "HEAD") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(call->method, "GET") != 0 && strcmp(call->method, "POST") != 0) {
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
    }
}

static int64_t connect_timeout_ms(const struct kt_http_call *call)
{
    int64_t ms = call->connect_timeout_ms;

    if (ms <= 0 || (call->timeout_ms > 0 && ms > call->timeout_ms)) {
        ms = call->timeout_ms;
    }
    return ms;
}

static bool set_options(struct running *run)
{
    const struct kt_http_call *call = run->call;
    CURL *easy = run->client->easy;

    curl_easy_reset(easy); /* keeps the connections */
    if (curl_easy_setopt(easy, CURLOPT_URL, call->url) != CURLE_OK) {
        return false;
    }
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
#if CURL_AT_LEAST_VERSION(7, 85, 0)
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "kamaitachi");
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, run->why);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, run);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, run);
    if (connect_timeout_ms(call) > 0) {
        (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout_ms(call));
    }
    if (call->fresh) {
        (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    }
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
#if CURL_AT_LEAST_VERSION(7, 87, 0)
    /* A CA file that was replaced is to be seen without a restart; libcurl keeps it for a day. */
    (void)curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 60L);
#endif
    if (call->ca_file) {
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, call->ca_file);
    }
    if (call->cert_file) {
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, call->cert_file);
    }
    if (call->key_file) {
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, call->key_file);
    }
    set_method(easy, call);
    return set_headers(run);
}

/* When must the next byte (or the end) have come? INT64_MAX: no bound. */
static int64_t deadline_ms(const struct running *run)
{
    const struct kt_http_call *call = run->call;
    int64_t deadline = INT64_MAX;

    if (call->timeout_ms > 0 && !(streams(run) && run->head_done)) {
        deadline = run->start_ms + call->timeout_ms;
    }
    if (call->on_data && call->idle_timeout_ms > 0 && run->head_done &&
        run->last_data_ms + call->idle_timeout_ms < deadline) {
        deadline = run->last_data_ms + call->idle_timeout_ms;
    }
    return deadline;
}

/* Was anything sent that the peer may have acted upon? */
static bool was_sent(const struct running *run)
{
    long request_bytes = 0;

    (void)curl_easy_getinfo(run->client->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    return request_bytes > 0;
}

static enum kt_status fail_code(const struct running *run, CURLcode code, struct kt_error *err)
{
    const char *why = run->why[0] ? run->why : curl_easy_strerror(code);
    const char *url = run->call->url;

    if (run->too_large) {
        return kt_fail(err, KT_TOO_LARGE, "%s: the answer is larger than %zu bytes", url,
                       run->call->max_answer_bytes);
    }
    if (run->refused) {
        return kt_fail(err, KT_BUSY, "%s: the stream was ended by its reader", url);
    }
    if (run->no_memory || code == CURLE_OUT_OF_MEMORY) {
        return kt_fail(err, KT_NO_MEMORY, "%s: no memory for the answer", url);
    }
    if (was_sent(run)) {
        return kt_fail(err, KT_BAD_GATEWAY, "%s: %s", url, why);
    }
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) {
        return kt_fail(err, KT_BAD_VALUE, "%s: %s", url, why);
    }
    return kt_fail(err, KT_UNAVAILABLE, "%s: %s", url, why);
}

static bool is_finished(struct kt_http_client *client, CURLcode *ret_code)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            *ret_code = message->data.result;
            return true;
        }
    }
    return false;
}

static enum kt_status drive(struct running *run, struct kt_error *err)
{
    struct kt_http_client *client = run->client;
    CURLcode code = CURLE_OK;
    int active = 0;

    for (;;) {
        int64_t deadline, now_ms, wait_ms;

        if (curl_multi_perform(client->multi, &active) != CURLM_OK) {
            return kt_fail(err, KT_INTERNAL, "%s: libcurl failed", run->call->url);
        }
        if (is_finished(client, &code)) {
            if (code == CURLE_OK && !run->head_done) {
                code = CURLE_GOT_NOTHING; /* to libcurl a head that was cut is an empty body */
            }
            return code == CURLE_OK ? KT_OK : fail_code(run, code, err);
        }
        if (atomic_load(&client->cancelled)) {
            return kt_fail(err, KT_BUSY, "%s: cancelled", run->call->url);
        }
        deadline = deadline_ms(run);
        now_ms = kt_now_mono_ms();
        if (now_ms >= deadline && !was_sent(run)) {
            return kt_fail(err, KT_UNAVAILABLE, "%s: no connection within %lld ms", run->call->url,
                           (long long)run->call->timeout_ms);
        }
        if (now_ms >= deadline) {
            return kt_fail(err, KT_TIMEOUT, "%s: no answer within %lld ms", run->call->url,
                           (long long)(run->head_done && run->call->on_data
                                           ? run->call->idle_timeout_ms
                                           : run->call->timeout_ms));
        }
        wait_ms = deadline - now_ms;
        (void)curl_multi_poll(client->multi, NULL, 0, wait_ms < 1000 ? (int)wait_ms : 1000, NULL);
    }
}

enum kt_status kt_http_client_call(struct kt_http_client *client, const struct kt_http_call *call,
                                   struct kt_http_answer *ret_answer, struct kt_error *err)
{
    struct running run = {.client = client, .call = call, .answer = ret_answer};
    enum kt_status status;

    KT_ASSERT(call->timeout_ms > 0 || call->on_data);
    if (atomic_load(&client->cancelled)) {
        return kt_fail(err, KT_BUSY, "%s: cancelled", call->url);
    }
    ret_answer->status = 0;
    kt_buf_clear(&ret_answer->body);
    kt_buf_clear(&ret_answer->head);
    if (call->max_answer_bytes > 0 && ret_answer->body.cap_bytes > call->max_answer_bytes) {
        kt_buf_done(&ret_answer->body); /* memory beyond the bound would let more in */
    }
    ret_answer->body.max_bytes = call->max_answer_bytes;
    run.start_ms = run.last_data_ms = kt_now_mono_ms();
    if (!set_options(&run) || curl_multi_add_handle(client->multi, client->easy) != CURLM_OK) {
        status = kt_fail(err, KT_NO_MEMORY, "%s: no memory for a call", call->url);
    } else {
        status = drive(&run, err);
        /* An unfinished transfer's connection is closed by this. */
        (void)curl_multi_remove_handle(client->multi, client->easy);
    }
    curl_easy_reset(client->easy); /* it still points into this frame */
    curl_slist_free_all(run.headers);
    return status;
}

void kt_http_client_cancel(struct kt_http_client *client)
{
    atomic_store(&client->cancelled, true);
    (void)curl_multi_wakeup(client->multi);
}

void kt_http_client_reset(struct kt_http_client *client)
{
    atomic_store(&client->cancelled, false);
}
