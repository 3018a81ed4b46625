/* SPDX-License-Identifier: MIT */
/* etcd_call.c - endpoints, the pool of HTTP clients, and one call with its change of endpoint.
 *
 * The pool grows to the number of threads that call at one time. A busy slot stays listed so that a
 * cancel reaches it.
 */
#include "etcd/etcd_internal.h"

#include "base/clock.h"
#include "base/hash.h"

#include <stdio.h>
#include <string.h>

static enum kt_status parse_endpoint(struct kt_str text, char dest[ETCD_URL_MAX],
                                     struct kt_error *err)
{
    struct kt_str http = KT_STR("http://"), https = KT_STR("https://");
    struct kt_str rest = text;
    const char *scheme = "http";
    char host[256], addr[KT_ADDR_MAX];
    struct kt_error why = KT_ERROR_INIT;
    uint16_t port = 0;

    if (kt_str_starts(text, https)) {
        scheme = "https";
        rest = kt_str_n(text.data + https.len, text.len - https.len);
    } else if (kt_str_starts(text, http)) {
        rest = kt_str_n(text.data + http.len, text.len - http.len);
    }
    if (kt_str_ends(rest, KT_STR("/"))) {
        rest.len--;
    }
    if (rest.len == 0) {
        return kt_fail(err, KT_BAD_VALUE, "an endpoint of etcd is empty");
    }
    if (kt_addr_parse(rest, 2379, host, &port, &why) != KT_OK) {
        return kt_fail(err, KT_BAD_VALUE, "etcd endpoint \"" KT_STR_FMT "\": %s", KT_STR_ARG(text),
                       why.message);
    }
    kt_addr_format(host, port, addr);
    snprintf(dest, ETCD_URL_MAX, "%s://%s", scheme, addr);
    return KT_OK;
}

static enum kt_status parse_endpoints(const char *text, struct etcd_endpoints *endpoints,
                                      struct kt_error *err)
{
    struct kt_str rest = kt_str_trim(kt_str(text));
    enum kt_status status = KT_OK;

    endpoints->count = 0;
    if (rest.len == 0) {
        return kt_fail(err, KT_BAD_VALUE, "no endpoint of etcd is given");
    }
    while (status == KT_OK && rest.data) {
        struct kt_str part = kt_str_trim(kt_str_cut(&rest, ','));

        if (endpoints->count == ETCD_ENDPOINTS_MAX) {
            return kt_fail(err, KT_BAD_VALUE, "more than %d endpoints of etcd", ETCD_ENDPOINTS_MAX);
        }
        status = parse_endpoint(part, endpoints->urls[endpoints->count], err);
        endpoints->count++;
    }
    return status;
}

enum kt_status kt_etcd_endpoints_check(const char *endpoints, struct kt_error *err)
{
    struct etcd_endpoints parsed; /* 5 KB: called at start, not on a worker */

    return parse_endpoints(endpoints, &parsed, err);
}

enum kt_status kt_etcd_new(const struct kt_etcd_options *options, struct kt_etcd **ret_etcd,
                           struct kt_error *err)
{
    struct kt_etcd *etcd = kt_calloc(1, sizeof(*etcd));
    enum kt_status status;

    if (!etcd) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for the client of etcd");
    }
    status = parse_endpoints(options->endpoints, &etcd->endpoints, err);
    if (status != KT_OK) {
        kt_free(etcd);
        return status;
    }
    if (options->security) {
        etcd->security = *options->security;
    }
    kt_buf_init(&etcd->token, 0);
    etcd->call_timeout_ms = options->call_timeout_ms > 0 ? options->call_timeout_ms : 1000;
    kt_mutex_init(&etcd->mutex, "etcd", KT_RANK_ETCD);
    *ret_etcd = etcd;
    return KT_OK;
}

void kt_etcd_free(struct kt_etcd **etcd)
{
    struct etcd_slot *slot, *next;

    if (!*etcd) {
        return;
    }
    for (slot = (*etcd)->slots; slot; slot = next) {
        KT_ASSERT(!slot->busy);
        next = slot->next;
        kt_http_client_free(&slot->client);
        kt_buf_done(&slot->authorization);
        kt_free(slot);
    }
    kt_buf_done(&(*etcd)->token);
    kt_mutex_done(&(*etcd)->mutex);
    kt_free(*etcd);
    *etcd = NULL;
}

void kt_etcd_cancel(struct kt_etcd *etcd)
{
    kt_mutex_lock(&etcd->mutex);
    etcd->cancelled = true;
    for (struct etcd_slot *slot = etcd->slots; slot; slot = slot->next) {
        kt_http_client_cancel(slot->client); /* sticky: also when its call has yet to begin */
    }
    kt_mutex_unlock(&etcd->mutex);
}

static struct etcd_slot *idle_slot(struct kt_etcd *etcd)
{
    for (struct etcd_slot *slot = etcd->slots; slot; slot = slot->next) {
        if (!slot->busy) {
            slot->busy = true;
            return slot;
        }
    }
    return NULL;
}

enum kt_status kt_etcd_slot_borrow(struct kt_etcd *etcd, struct etcd_slot **ret_slot,
                                   struct kt_error *err)
{
    struct etcd_slot *slot = NULL;
    bool cancelled;

    kt_mutex_lock(&etcd->mutex);
    cancelled = etcd->cancelled;
    slot = cancelled ? NULL : idle_slot(etcd);
    kt_mutex_unlock(&etcd->mutex);
    if (!cancelled && !slot) {
        slot = kt_calloc(1, sizeof(*slot));
        if (slot) {
            kt_buf_init(&slot->authorization, 0);
            slot->client = kt_http_client_new();
        }
        if (!slot || !slot->client) {
            kt_free(slot);
            return kt_fail(err, KT_NO_MEMORY, "no memory for a connection to etcd");
        }
        slot->busy = true;
        kt_mutex_lock(&etcd->mutex);
        cancelled = etcd->cancelled;
        slot->busy = !cancelled;
        slot->next = etcd->slots;
        etcd->slots = slot;
        kt_mutex_unlock(&etcd->mutex);
    }
    if (cancelled) {
        return kt_fail(err, KT_BUSY, "the client of etcd is stopping");
    }
    *ret_slot = slot;
    return KT_OK;
}

void kt_etcd_slot_return(struct kt_etcd *etcd, struct etcd_slot *slot)
{
    kt_mutex_lock(&etcd->mutex);
    slot->busy = false;
    kt_mutex_unlock(&etcd->mutex);
}

size_t kt_etcd_preferred(struct kt_etcd *etcd)
{
    size_t preferred;

    kt_mutex_lock(&etcd->mutex);
    preferred = etcd->preferred;
    kt_mutex_unlock(&etcd->mutex);
    return preferred;
}

void kt_etcd_endpoint_good(struct kt_etcd *etcd, size_t index)
{
    kt_mutex_lock(&etcd->mutex);
    etcd->preferred = index;
    kt_mutex_unlock(&etcd->mutex);
}

void kt_etcd_endpoint_bad(struct kt_etcd *etcd, size_t index)
{
    kt_mutex_lock(&etcd->mutex);
    if (etcd->preferred == index) { /* else another thread has moved on already */
        etcd->preferred = (index + 1) % etcd->endpoints.count;
    }
    kt_mutex_unlock(&etcd->mutex);
}

int64_t kt_etcd_connect_ms(const struct kt_etcd *etcd, int64_t timeout_ms)
{
    return etcd->endpoints.count > 1 ? (timeout_ms + 1) / 2 : 0;
}

/* What one endpoint made of the call. */
struct attempt {
    enum kt_status status;
    bool maybe_done; /* it may have been processed there */
    bool unwell;     /* another endpoint may do better */
};

static struct attempt send_once(struct kt_etcd *etcd, struct etcd_slot *slot,
                                const struct etcd_request *request, size_t index,
                                int64_t timeout_ms, struct kt_http_answer *answer,
                                struct kt_error *err)
{
    struct attempt result = {KT_OK, false, false};
    char url[ETCD_URL_MAX + 64];
    struct kt_http_call call = {
        .method = request->method,
        .url = url,
        .body = request->body,
        .content_type = "application/json",
        .timeout_ms = timeout_ms,
        .connect_timeout_ms = kt_etcd_connect_ms(etcd, timeout_ms),
        .max_answer_bytes = ETCD_ANSWER_MAX,
        .fresh = request->once,
    };

    snprintf(url, sizeof(url), "%s%s", etcd->endpoints.urls[index], request->path);
    kt_etcd_secure(etcd, slot, &call);
    result.status = kt_http_client_call(slot->client, &call, answer, err);
    if (result.status != KT_OK) {
        result.maybe_done = result.status != KT_UNAVAILABLE && result.status != KT_NO_MEMORY;
        result.unwell = result.status == KT_UNAVAILABLE || result.status == KT_TIMEOUT ||
                        result.status == KT_BAD_GATEWAY;
        kt_etcd_explain(etcd, index, err);
    } else if (answer->status != 200) {
        result.status = kt_etcd_decode_error(answer->status, kt_buf_str(&answer->body), err);
        /* "request timed out", "leader changed": the entry may be in the log all the same. */
        result.maybe_done = result.status == KT_UNAVAILABLE || result.status == KT_BAD_GATEWAY;
        result.unwell = result.maybe_done;
        kt_etcd_explain(etcd, index, err);
    }
    return result;
}

/* With a token; one that is refused is replaced once. A refused call did nothing. */
static struct attempt try_endpoint(struct kt_etcd *etcd, struct etcd_slot *slot,
                                   const struct etcd_request *request, size_t index,
                                   int64_t deadline_mono_ms, struct kt_http_answer *answer,
                                   struct kt_error *err)
{
    struct attempt result = {kt_fail(err, KT_UNAVAILABLE, "etcd: no time is left"), false, true};

    for (int i = 0; i < 2; i++) {
        int64_t left_ms = deadline_mono_ms - kt_now_mono_ms();

        if (left_ms <= 0) {
            break; /* what the refusal said stands */
        }
        result.status = kt_etcd_login(etcd, slot, index, left_ms, err);
        if (result.status != KT_OK) {
            result.unwell = result.status == KT_UNAVAILABLE || result.status == KT_TIMEOUT ||
                            result.status == KT_BAD_GATEWAY;
            break;
        }
        left_ms = deadline_mono_ms - kt_now_mono_ms();
        result = send_once(etcd, slot, request, index, left_ms > 0 ? left_ms : 1, answer, err);
        if (result.status != KT_UNAUTHORIZED || slot->token_number == 0) {
            break;
        }
        kt_etcd_token_refused(etcd, slot);
    }
    return result;
}

static enum kt_status call_in_turn(struct kt_etcd *etcd, struct etcd_slot *slot,
                                   const struct etcd_request *request,
                                   struct kt_http_answer *answer, struct kt_error *err)
{
    int64_t deadline_ms = kt_now_mono_ms() + etcd->call_timeout_ms;
    size_t start = kt_etcd_preferred(etcd);
    struct attempt last = {KT_UNAVAILABLE, false, true};
    struct kt_error why = KT_ERROR_INIT;
    bool maybe_done = false;

    for (size_t i = 0; i < etcd->endpoints.count; i++) {
        size_t index = (start + i) % etcd->endpoints.count;
        int64_t left_ms = deadline_ms - kt_now_mono_ms();

        if (left_ms <= 0) {
            break;
        }
        last = try_endpoint(etcd, slot, request, index, deadline_ms, answer, &why);
        maybe_done = maybe_done || last.maybe_done;
        if (!last.unwell) {
            if (last.status != KT_BUSY) {
                kt_etcd_endpoint_good(etcd, index);
            }
            break;
        }
        kt_etcd_endpoint_bad(etcd, index);
        if (request->once && maybe_done) {
            break;
        }
    }
    if (last.status == KT_OK) {
        return KT_OK;
    }
    if (request->once && maybe_done) {
        return kt_fail(err, KT_OUTCOME_UNKNOWN, "%s", why.message);
    }
    return kt_fail(err, last.unwell ? KT_UNAVAILABLE : last.status, "%s", why.message);
}

enum kt_status kt_etcd_call(struct kt_etcd *etcd, const struct etcd_request *request,
                            struct kt_buf *ret_body, struct kt_error *err)
{
    struct etcd_slot *slot = NULL;
    struct kt_http_answer answer;
    enum kt_status status = kt_etcd_slot_borrow(etcd, &slot, err);

    if (status != KT_OK) {
        return status;
    }
    kt_http_answer_init(&answer);
    status = call_in_turn(etcd, slot, request, &answer, err);
    kt_etcd_slot_return(etcd, slot);
    if (status == KT_OK) {
        kt_buf_done(ret_body);
        *ret_body = answer.body;
        kt_buf_init(&answer.body, 0); /* handed over */
    }
    kt_http_answer_done(&answer);
    return status;
}

void kt_etcd_put_bytes(struct kt_buf *buf, const char *name, struct kt_str bytes)
{
    size_t room = 4 * ((bytes.len + 2) / 3) + 1;

    kt_buf_printf(buf, "\"%s\":\"", name);
    if (kt_buf_reserve(buf, room)) {
        buf->len_bytes += kt_base64_encode(bytes.data, bytes.len, buf->data + buf->len_bytes);
    }
    kt_buf_append_byte(buf, '"');
}

void kt_etcd_put_number(struct kt_buf *buf, const char *name, int64_t value)
{
    kt_buf_printf(buf, "\"%s\":\"%lld\"", name, (long long)value);
}
