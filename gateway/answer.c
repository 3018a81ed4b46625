/* SPDX-License-Identifier: MIT */
/* answer.c - what comes back: held until it is whole when it fits into the node's buffer; kept in
 * memory of its own when it is longer and answers a read, within [proxy] retry_answer_bytes; else
 * streamed. Until the client has been sent something another node can be asked.
 *
 * The framing towards the client is our own: chunks are taken apart and put together again, so that
 * nothing the node's head says can make client and gateway disagree about where an answer ends.
 */
#include <uv.h>

#include "gateway/exchange.h"

#include "gateway/conn.h"
#include "gateway/own.h"
#include "gateway/upstream.h"

#include <string.h>

static void put_connection(struct kt_exchange *exchange, struct kt_buf *out)
{
    struct kt_loop *loop = exchange->loop;

    exchange->keep = exchange->body_done && exchange->request.head.keep_alive && !loop->draining &&
                     !exchange->conn->close_after;
    if (!exchange->keep) {
        kt_buf_append_str(out, KT_STR("Connection: close\r\n"));
    } else if (exchange->request.head.minor == 0) {
        kt_buf_append_str(out, KT_STR("Connection: keep-alive\r\n"));
    }
}

static void put_status(struct kt_buf *out, int status, struct kt_str reason)
{
    char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                      (char)('0' + status % 10)};

    kt_buf_clear(out);
    kt_buf_append_str(out, KT_STR("HTTP/1.1 "));
    kt_buf_append(out, digits, 3);
    kt_buf_append_byte(out, ' ');
    kt_buf_append_str(out, reason);
    kt_buf_append(out, "\r\n", 2);
}

static void put_date(struct kt_exchange *exchange, struct kt_buf *out)
{
    kt_buf_append_str(out, KT_STR("Date: "));
    kt_buf_append_text(out, exchange->loop->date);
    kt_buf_append(out, "\r\n", 2);
}

static void put_request_id(struct kt_exchange *exchange, struct kt_buf *out)
{
    kt_buf_append_str(out, KT_STR("X-Request-Id: "));
    kt_buf_append(out, exchange->request_id, exchange->request_id_len);
    kt_buf_append(out, "\r\n", 2);
}

void kt_answer_begin_head(struct kt_exchange *exchange, int status)
{
    struct kt_buf *out = &exchange->loop->out;

    exchange->status = status;
    put_status(out, status, kt_str(kt_http_reason(status)));
    put_date(exchange, out);
    put_request_id(exchange, out);
    put_connection(exchange, out);
}

void kt_answer_added_key(struct kt_exchange *exchange)
{
    struct kt_buf *out = &exchange->loop->out;

    if (exchange->key_len > 0) {
        kt_buf_append_str(out, KT_STR("Idempotency-Key: "));
        kt_buf_append(out, exchange->key, exchange->key_len);
        kt_buf_append(out, "\r\n", 2);
    }
}

void kt_answer_own(struct kt_exchange *exchange, struct kt_own_job *job)
{
    struct kt_buf *out = &exchange->loop->out;
    struct kt_error err = KT_ERROR_INIT;
    uv_buf_t pieces[2];

    exchange->job = NULL;
    if (kt_buf_status(&job->answer_head) != KT_OK || kt_buf_status(&job->answer_body) != KT_OK) {
        (void)kt_fail(&err, KT_NO_MEMORY, "no memory for the answer");
        kt_exchange_fail(exchange, &err);
        return;
    }
    if (job->close) {
        exchange->conn->close_after = true;
    }
    kt_answer_begin_head(exchange, job->status);
    kt_buf_append_str(out, kt_buf_str(&job->answer_head));
    kt_buf_append(out, "\r\n", 2);
    if (kt_buf_status(out) != KT_OK) {
        kt_exchange_abort(exchange);
        return;
    }
    pieces[0] = uv_buf_init(out->data, (unsigned)out->len_bytes);
    pieces[1] = uv_buf_init(job->answer_body.data, (unsigned)job->answer_body.len_bytes);
    exchange->answer_bytes = job->answer_body.len_bytes;
    (void)kt_io_write(&exchange->conn->io, pieces,
                      exchange->request.method == KT_HTTP_HEAD ? 1 : 2);
    kt_exchange_finish(exchange);
}

/* Does the client get chunks? HTTP/1.0 knows none: there the answer ends with the connection. */
static bool is_chunked_out(const struct kt_exchange *exchange)
{
    return exchange->answer.has_body && exchange->answer.head.content_length < 0 &&
           exchange->request.head.minor == 1;
}

/* A node that refuses the second attempt says nothing of the first. */
static struct kt_str value_of(const struct kt_exchange *exchange, uint32_t index)
{
    const struct kt_h1_head *head = &exchange->answer.head;

    if (head->names[index] == KT_H1_OUTCOME && exchange->maybe_done &&
        exchange->answer.status >= 400) {
        return KT_STR("unknown");
    }
    return head->headers[index].value;
}

static bool is_unknown(const struct kt_exchange *exchange)
{
    return exchange->answer.status >= 400 &&
           (exchange->maybe_done ||
            kt_str_eq_nocase(exchange->answer.head.known[KT_H1_OUTCOME], KT_STR("unknown")));
}

static void put_answer_headers(struct kt_exchange *exchange, struct kt_buf *out)
{
    const struct kt_h1_head *head = &exchange->answer.head;

    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct kt_http_header *header = &head->headers[i];
        enum kt_h1_name name = head->names[i];

        if (name == KT_H1_HOP || name == KT_H1_CONNECTION || name == KT_H1_TRANSFER_ENCODING ||
            name == KT_H1_LEADER ||
            (name == KT_H1_CONTENT_LENGTH && exchange->answer.status == 204) ||
            (head->nominates && kt_h1_is_nominated(head, header->name))) {
            continue;
        }
        kt_buf_append_str(out, header->name);
        kt_buf_append(out, ": ", 2);
        kt_buf_append_str(out, value_of(exchange, i));
        kt_buf_append(out, "\r\n", 2);
    }
}

static void put_answer_head(struct kt_exchange *exchange)
{
    struct kt_buf *out = &exchange->loop->out;
    const struct kt_h1_head *head = &exchange->answer.head;

    exchange->status = exchange->answer.status;
    put_status(out, exchange->answer.status, exchange->answer.reason);
    put_answer_headers(exchange, out);
    if (is_unknown(exchange)) {
        kt_answer_added_key(exchange);
    }
    kt_buf_append_str(out, KT_STR("Via: 1.1 kamaitachi-gateway\r\n"));
    if (!head->known[KT_H1_DATE].data) {
        put_date(exchange, out);
    }
    if (!head->known[KT_H1_REQUEST_ID].data) {
        put_request_id(exchange, out);
    }
    if (is_chunked_out(exchange)) {
        kt_buf_append_str(out, KT_STR("Transfer-Encoding: chunked\r\n"));
    } else if (exchange->answer.has_body && head->content_length < 0) {
        exchange->conn->close_after = true;
    }
    put_connection(exchange, out);
    kt_buf_append(out, "\r\n", 2);
}

static void send_whole(struct kt_exchange *exchange)
{
    struct kt_io *io = &exchange->upstream->io;
    struct kt_buf *out = &exchange->loop->out;
    size_t body_len = exchange->answer.has_body ? (size_t)exchange->answer_left : 0;
    uv_buf_t pieces[2];

    put_answer_head(exchange);
    if (kt_buf_status(out) != KT_OK) {
        kt_exchange_abort(exchange);
        return;
    }
    pieces[0] = uv_buf_init(out->data, (unsigned)out->len_bytes);
    pieces[1] = uv_buf_init(io->in + io->start + exchange->answer_head_len, (unsigned)body_len);
    exchange->answer_started = exchange->answer_done = true;
    exchange->answer_bytes = body_len;
    (void)kt_io_write(&exchange->conn->io, pieces, body_len > 0 ? 2 : 1);
    io->start += exchange->answer_head_len + body_len;
    kt_exchange_finish(exchange);
}

static void fail_broken(struct kt_exchange *exchange, const char *why)
{
    kt_exchange_on_failed(exchange, KT_FAIL_BROKEN, why);
}

/* Sessions are sent to nodes that are known to have their revision. */
static void note_revision(struct kt_exchange *exchange)
{
    struct kt_str text = exchange->answer.head.known[KT_H1_REVISION];
    uint64_t revision;

    if (text.data && kt_parse_u64(text, &revision)) {
        exchange->peer->revision = revision;
    }
}

void kt_answer_reset(struct kt_exchange *exchange)
{
    exchange->answer_parsed = exchange->answer_held = false;
    exchange->answer_scan = (struct kt_h1_scan){0};
    if (exchange->answer_kept) {
        exchange->loop->answer_bytes -= (int64_t)exchange->answer_body.cap_bytes;
        kt_buf_done(&exchange->answer_body);
        kt_buf_init(&exchange->answer_body, 0);
        exchange->answer_kept = false;
    }
}

/* Makes room for all of a longer answer, if it is worth it and there is some. */
static bool keep(struct kt_exchange *exchange)
{
    struct kt_loop *loop = exchange->loop;
    int64_t len = exchange->answer_left;

    if (exchange->route.kind != KT_CLASS_READ || !exchange->answer.has_body || len < 0 ||
        len > loop->config->retry_answer_bytes ||
        loop->answer_bytes + len > loop->answer_bytes_max ||
        exchange->upstream->io.start + exchange->answer_head_len > KT_IO_BUFFER_BYTES / 2) {
        return false; /* the last: the buffer has little room beside the head */
    }
    if (!kt_buf_reserve(&exchange->answer_body, (size_t)len)) {
        kt_buf_init(&exchange->answer_body, 0);
        return false;
    }
    loop->answer_bytes += (int64_t)exchange->answer_body.cap_bytes;
    exchange->answer_sent = 0;
    return true;
}

/* Understands the head once it is whole. False: not yet, or the exchange went another way. */
static bool parse_answer(struct kt_exchange *exchange)
{
    struct kt_io *io = &exchange->upstream->io;
    bool to_head = exchange->request.method == KT_HTTP_HEAD;
    enum kt_h1_verdict verdict;
    size_t head_len;

    for (;;) {
        verdict = kt_h1_scan_response(&exchange->answer_scan, io->in + io->start, kt_io_len(io),
                                      &head_len);
        if (verdict == KT_H1_MORE) {
            kt_io_read(io, true);
            return false;
        }
        if (verdict == KT_H1_OK) {
            verdict = kt_h1_parse_response(kt_str_n(io->in + io->start, head_len), to_head,
                                           &exchange->answer);
        }
        if (verdict != KT_H1_OK || exchange->answer.status == 101) {
            fail_broken(exchange, "its answer is not HTTP");
            return false;
        }
        if (exchange->answer.status >= 200) {
            break;
        }
        io->start += head_len; /* 100 Continue: ours was sent long ago */
        exchange->answer_scan = (struct kt_h1_scan){0};
        if (kt_io_len(io) == 0) {
            io->start = io->end = 0;
            return false;
        }
    }
    note_revision(exchange);
    exchange->answer_head_len = head_len;
    exchange->answer_left = exchange->answer.head.content_length;
    exchange->answer_parsed = true;
    exchange->answer_held =
        !exchange->answer.has_body ||
        (exchange->answer_left >= 0 &&
         io->start + head_len + (uint64_t)exchange->answer_left <= KT_IO_BUFFER_BYTES);
    exchange->answer_kept = !exchange->answer_held && keep(exchange);
    kt_h1_chunks_init(&exchange->answer_chunks);
    return true;
}

/* Gives the client more of a kept answer, unless it still has to read what it was given. The head
 * is in the loop's own memory, and goes at once. */
static void send_kept(struct kt_exchange *exchange)
{
    struct kt_buf *out = &exchange->loop->out;
    struct kt_buf *body = &exchange->answer_body;

    while (!exchange->answer_done &&
           (!exchange->answer_started || exchange->conn->io.queued_bytes == 0)) {
        size_t left = body->len_bytes - exchange->answer_sent;
        size_t len = left < KT_IO_BUFFER_BYTES ? left : KT_IO_BUFFER_BYTES;
        uv_buf_t pieces[2] = {uv_buf_init(out->data, (unsigned)out->len_bytes),
                              uv_buf_init(body->data + exchange->answer_sent, (unsigned)len)};
        bool first = !exchange->answer_started;

        exchange->answer_started = true;
        exchange->answer_sent += len;
        exchange->answer_bytes = exchange->answer_sent;
        exchange->answer_done = exchange->answer_sent == body->len_bytes;
        if (!kt_io_write(&exchange->conn->io, first ? pieces : pieces + 1, first ? 2 : 1)) {
            kt_exchange_abort(exchange);
            return;
        }
        if (first && !exchange->answer_done) {
            /* However slowly the client reads, the node is free for the next. */
            kt_upstream_release(exchange, kt_exchange_link_is_good(exchange));
        }
    }
    if (exchange->answer_done) {
        kt_exchange_finish(exchange);
    }
}

/* Moves what has come behind the head out of the node's buffer, which keeps the head. */
static void collect(struct kt_exchange *exchange)
{
    struct kt_io *io = &exchange->upstream->io;
    size_t head_end = io->start + exchange->answer_head_len;
    size_t got = io->end - head_end;
    size_t taken = got < (uint64_t)exchange->answer_left ? got : (size_t)exchange->answer_left;

    kt_buf_append(&exchange->answer_body, io->in + head_end, taken);
    exchange->answer_left -= (int64_t)taken;
    if (exchange->answer_left > 0) {
        io->end = head_end;
        kt_io_read(io, false);
    } else if (!kt_dispatch_instead(exchange)) {
        put_answer_head(exchange);
        if (kt_buf_status(&exchange->loop->out) != KT_OK) {
            kt_exchange_abort(exchange);
            return;
        }
        io->start = head_end + taken;
        send_kept(exchange);
    }
}

/* The next piece of body in the node's buffer; false when its chunks are broken. */
static bool take_piece(struct kt_exchange *exchange, struct kt_str *ret_piece)
{
    struct kt_io *io = &exchange->upstream->io;
    size_t len = kt_io_len(io), used = len, payload = len;

    ret_piece->data = io->in ? io->in + io->start : "";
    if (exchange->answer.head.chunked) {
        enum kt_h1_verdict verdict =
            kt_h1_chunks_decode(&exchange->answer_chunks, io->in + io->start, len, &used, &payload);

        if (verdict == KT_H1_BAD) {
            return false;
        }
        exchange->answer_done = verdict == KT_H1_OK;
    } else if (!exchange->answer.until_close) {
        if (exchange->answer_left < (int64_t)len) {
            used = payload = (size_t)exchange->answer_left;
        }
        exchange->answer_left -= (int64_t)used;
        exchange->answer_done = exchange->answer_left == 0;
    }
    ret_piece->len = payload;
    exchange->answer_bytes += payload;
    io->start += used;
    return true;
}

static bool send_piece(struct kt_exchange *exchange, struct kt_str piece)
{
    static char end[] = "\r\n0\r\n\r\n";
    struct kt_buf *out = &exchange->loop->out;
    uv_buf_t pieces[4];
    char size[24];
    unsigned count = 0;
    bool chunked;

    if (!exchange->answer_started) {
        pieces[count++] = uv_buf_init(out->data, (unsigned)out->len_bytes);
        exchange->answer_started = true;
    }
    chunked = is_chunked_out(exchange);
    if (chunked && piece.len > 0) {
        int len = snprintf(size, sizeof(size), "%zx\r\n", piece.len);

        pieces[count++] = uv_buf_init(size, (unsigned)len);
    }
    if (piece.len > 0) {
        pieces[count++] = uv_buf_init((char *)piece.data, (unsigned)piece.len);
    }
    if (chunked && piece.len > 0) {
        pieces[count++] = uv_buf_init(end, exchange->answer_done ? 7 : 2);
    } else if (chunked && exchange->answer_done) {
        pieces[count++] = uv_buf_init(end + 2, 5);
    }
    return kt_io_write(&exchange->conn->io, pieces, count);
}

/* What the node sent so far, unless the client still has to read what it was given. */
static void pass_on(struct kt_exchange *exchange)
{
    struct kt_io *io = &exchange->upstream->io;
    struct kt_str piece;

    if (exchange->answer_started && exchange->conn->io.queued_bytes > 0) {
        kt_io_pause(io);
        return;
    }
    if (!exchange->answer_started) {
        put_answer_head(exchange);
        io->start += exchange->answer_head_len;
        if (kt_buf_status(&exchange->loop->out) != KT_OK) {
            kt_exchange_abort(exchange);
            return;
        }
    }
    if (!take_piece(exchange, &piece)) {
        kt_exchange_on_failed(exchange, KT_FAIL_BROKEN, "its chunks are broken");
        return;
    }
    if (!send_piece(exchange, piece)) {
        kt_exchange_abort(exchange);
    } else if (exchange->answer_done) {
        kt_exchange_finish(exchange);
    } else {
        io->start = io->end = 0;
        kt_io_read(io, true);
    }
}

void kt_answer_on_data(struct kt_exchange *exchange)
{
    struct kt_io *io = &exchange->upstream->io;

    exchange->got_byte = true;
    exchange->progress_ms = kt_loop_now(exchange->loop);
    if (!exchange->sent) {
        fail_broken(exchange, "it answers what was not asked");
        return;
    }
    /* One that is streamed is judged by its head, which is here now, the others when they are
     * whole. */
    if (!exchange->answer_parsed &&
        (!parse_answer(exchange) ||
         (!exchange->answer_held && !exchange->answer_kept && kt_dispatch_instead(exchange)))) {
        return;
    }
    if (exchange->answer_kept) {
        collect(exchange);
    } else if (!exchange->answer_held) {
        pass_on(exchange);
    } else if (exchange->answer.has_body &&
               kt_io_len(io) < exchange->answer_head_len + (uint64_t)exchange->answer_left) {
        kt_io_read(io, false);
    } else if (!kt_dispatch_instead(exchange)) {
        send_whole(exchange);
    }
}

void kt_answer_on_drained(struct kt_exchange *exchange)
{
    if (exchange->answer_kept && exchange->answer_started) {
        send_kept(exchange);
    } else if (exchange->answer_parsed && !exchange->answer_held && !exchange->answer_kept) {
        pass_on(exchange);
    }
}

void kt_answer_on_end(struct kt_exchange *exchange)
{
    struct kt_str nothing = kt_str_n("", 0);

    if (exchange->answer_parsed && exchange->answer.until_close) {
        exchange->answer_done = true;
        exchange->progress_ms = kt_loop_now(exchange->loop);
        if (!exchange->answer_started) {
            put_answer_head(exchange);
        }
        (void)send_piece(exchange, nothing);
        kt_exchange_finish(exchange);
        return;
    }
    kt_exchange_on_failed(exchange, KT_FAIL_CLOSED,
                          exchange->got_byte ? "the answer was cut off"
                                             : "the connection was closed");
}
