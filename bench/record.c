/* SPDX-License-Identifier: MIT */
/* record.c - outcomes: counted, timed, and the bodies that are known to be right. */
#include <uv.h>

#include "bench/load_impl.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define BODY_KEPT_MAX ((size_t)1 << 20)

static const struct kt_planned *planned_of(const struct kt_conn *conn)
{
    return &conn->loop->load->plan->requests[conn->request];
}

/* As much of what was answered as a person wants to see, on one line. */
static void append_excerpt(char *dest, size_t size, struct kt_str text)
{
    size_t at = strlen(dest), most = 300;
    for (size_t i = 0; i < text.len && i < most && at + 2 < size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        dest[at++] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
    }
    dest[at] = '\0';
    /* Not within a character. */
    while (at > 0 && !kt_utf8_valid(kt_str_n(dest, at))) {
        dest[--at] = '\0';
    }
}

static void keep_example(struct kt_conn *conn, enum kt_wrong wrong, const char *why)
{
    struct kt_load_example *example = &conn->loop->result.examples[wrong];
    const struct kt_planned *planned = planned_of(conn);
    if (example->set) {
        return;
    }
    example->set = true;
    example->wall_ms = kt_now_wall_ms();
    snprintf(example->text, sizeof(example->text), "%s %s%.200s ", planned->method,
             conn->loop->load->options->targets[conn->target].text, planned->path.data);
    append_excerpt(example->text, 700, planned->body);
    size_t at = strlen(example->text);
    snprintf(example->text + at, sizeof(example->text) - at, ": %.200s", why);
    if (conn->state == KT_CONN_BUSY && conn->reply.head_len && conn->reply.body_len) {
        at = strlen(example->text);
        snprintf(example->text + at, sizeof(example->text) - at, ": ");
        append_excerpt(example->text, sizeof(example->text), kt_reply_body(&conn->reply, conn->in));
    }
}

static struct kt_load_node *find_node(struct kt_load_loop *loop, struct kt_str name)
{
    struct kt_load_result *result = &loop->result;
    if (loop->last_node && kt_str_eq_text(name, loop->last_node->node)) {
        return loop->last_node;
    }
    for (size_t i = 0; i < result->node_count; i++) {
        if (kt_str_eq_text(name, result->nodes[i].node)) {
            loop->last_node = &result->nodes[i];
            return loop->last_node;
        }
    }
    if (result->node_count == KT_LOAD_NODES_MAX || name.len >= sizeof(result->nodes[0].node)) {
        return NULL;
    }
    struct kt_load_node *node = &result->nodes[result->node_count];
    node->latency = kt_calloc(1, sizeof(struct kt_hist));
    if (!node->latency) {
        return NULL;
    }
    kt_str_copy(node->node, sizeof(node->node), name);
    result->node_count++;
    return node;
}

static void count_second(struct kt_conn *conn, bool right, int64_t latency_us, bool timed)
{
    struct kt_load_loop *loop = conn->loop;
    kt_mutex_lock(&loop->mutex);
    loop->counted += conn->measured;
    if (right) {
        loop->second.right++;
    } else {
        loop->second.wrong++;
        loop->all_wrong++;
    }
    if (timed) {
        kt_hist_add(loop->second_hist, (uint64_t)latency_us);
    }
    kt_mutex_unlock(&loop->mutex);
}

static void count(struct kt_conn *conn, enum kt_wrong wrong, bool timed, int64_t now_us)
{
    struct kt_load_loop *loop = conn->loop;
    struct kt_load_result *result = &loop->result;
    struct kt_load *load = loop->load;
    int64_t latency_us = now_us > conn->from_us ? now_us - conn->from_us : 0;
    bool right = wrong == KT_WRONG_NONE;
    count_second(conn, right, latency_us, timed);
    if (right) {
        atomic_store_explicit(&load->last_right_us, now_us, memory_order_relaxed);
        atomic_store_explicit(&load->failures_since_right, 0, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&load->failures_since_right, 1, memory_order_relaxed);
    }
    if (!conn->measured) {
        result->warmup_requests++;
        result->warmup_wrong += !right;
        return;
    }
    result->requests++;
    result->right += right;
    result->wrong[wrong] += !right;
    result->late += right && now_us > load->end_us;
    if (timed && wrong != KT_WRONG_TIMEOUT) {
        loop->last_done_us = now_us;
    }
    if (!timed) {
        return;
    }
    kt_hist_add(result->latency, (uint64_t)latency_us);
    if (conn->reply.node_len) {
        struct kt_load_node *node = find_node(loop, kt_reply_node(&conn->reply, conn->in));
        if (node) {
            node->right += right;
            node->wrong += !right;
            kt_hist_add(node->latency, (uint64_t)latency_us);
        }
    }
}

void kt_record_failure(struct kt_conn *conn, enum kt_wrong wrong, const char *why, int64_t now_us)
{
    keep_example(conn, wrong, why);
    conn->reply.node_len = 0;
    count(conn, wrong, wrong == KT_WRONG_TIMEOUT && conn->state == KT_CONN_BUSY, now_us);
}

/* A body that takes the place of another. With -verify the other is kept for later. */
static void keep_body(struct kt_load_loop *loop, uint32_t request, const struct kt_reply *reply,
                      struct kt_str body, const struct kt_hole *hole)
{
    struct kt_load_body *old = loop->seen[request].body, *kept = NULL;
    size_t size = sizeof(*kept) + body.len;
    bool verify = loop->load->options->verify.text[0] != '\0';
    if (old && !verify) {
        loop->seen_bytes -= sizeof(*old) + old->len;
    }
    if (body.len <= BODY_KEPT_MAX && loop->seen_bytes + size <= loop->load->seen_bytes_max) {
        kept = kt_malloc(size);
    }
    if (old && verify) {
        old->next = loop->result.bodies;
        loop->result.bodies = old;
    } else {
        kt_free(old);
    }
    loop->seen[request].body = kept;
    if (!kept) {
        return;
    }
    *kept = (struct kt_load_body){
        .request = request, .revision = reply->revision, .hole = *hole, .len = body.len};
    memcpy(kept->data, body.data, body.len);
    loop->seen_bytes += size;
}

void kt_record_answer(struct kt_conn *conn, int64_t now_us)
{
    struct kt_load_loop *loop = conn->loop;
    const struct kt_planned *planned = planned_of(conn);
    struct kt_str body = kt_reply_body(&conn->reply, conn->in);
    struct kt_load_body *seen = loop->seen[conn->request].body;
    /* Known bodies were answers of the right status. */
    bool usual = conn->reply.status == (planned->status ? planned->status : 200);
    if (!(usual && seen && kt_check_same(kt_str_n(seen->data, seen->len), &seen->hole, body))) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_hole hole;
        enum kt_wrong wrong = kt_check(planned, &conn->reply, body, &hole, &err);
        if (wrong != KT_WRONG_NONE) {
            keep_example(conn, wrong, err.message);
            count(conn, wrong, true, now_us);
            return;
        }
        seen = NULL;
        if (usual) {
            keep_body(loop, conn->request, &conn->reply, body, &hole);
            seen = loop->seen[conn->request].body;
        }
    }
    if (conn->measured && seen) {
        seen->answers++;
    } else if (conn->measured) {
        loop->result.unverified++;
    }
    count(conn, KT_WRONG_NONE, true, now_us);
}
