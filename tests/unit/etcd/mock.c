/* SPDX-License-Identifier: MIT */
/* mock.c - non-blocking sockets, looked at every millisecond: slow, simple, and always ready to
 * stop. */
#include "etcd/mock.h"

#include "base/clock.h"
#include "base/status.h"
#include "kt_test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_stopping(const struct mock *mock)
{
    return __atomic_load_n(&mock->stop, __ATOMIC_ACQUIRE) != 0;
}

static void send_bytes(struct mock_conn *conn, const char *data, size_t len)
{
    size_t done = 0;

    while (done < len && !conn->broken && !is_stopping(conn->mock)) {
        ssize_t n = write((int)conn->socket, data + done, len - done);

        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            kt_test_pause();
        } else {
            conn->broken = true;
        }
    }
}

void mock_send(struct mock_conn *conn, const char *text)
{
    send_bytes(conn, text, strlen(text));
}

void mock_json(struct mock_conn *conn, int status, const char *body)
{
    char head[160];

    snprintf(head, sizeof(head),
             "HTTP/1.1 %d Mock\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             status, strlen(body));
    mock_send(conn, head);
    mock_send(conn, body);
}

void mock_stream(struct mock_conn *conn)
{
    mock_send(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n");
}

void mock_chunk(struct mock_conn *conn, struct kt_str bytes)
{
    char head[32];

    snprintf(head, sizeof(head), "%zx\r\n", bytes.len);
    mock_send(conn, head);
    send_bytes(conn, bytes.data, bytes.len);
    mock_send(conn, "\r\n");
}

void mock_hold(struct mock_conn *conn, int64_t ms)
{
    int64_t deadline_ms = kt_now_mono_ms() + ms;
    char byte;

    while (!is_stopping(conn->mock) && !conn->broken && kt_now_mono_ms() < deadline_ms) {
        ssize_t n = read((int)conn->socket, &byte, 1);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            conn->broken = true;
        }
        kt_test_pause();
    }
}

static bool parse_request(struct mock_conn *conn, struct mock_request *request)
{
    struct kt_str all = kt_str_n(conn->text, conn->len);
    ptrdiff_t head = kt_str_find(all, KT_STR("\r\n\r\n"));
    ptrdiff_t at = kt_str_find(all, KT_STR("Content-Length: "));
    size_t len = 0;

    if (head < 0) {
        return false;
    }
    if (at >= 0 && at < head) {
        (void)sscanf(all.data + at, "Content-Length: %zu", &len);
    }
    request->authorization[0] = '\0';
    at = kt_str_find(all, KT_STR("Authorization: "));
    if (at >= 0 && at < head) {
        (void)sscanf(all.data + at, "Authorization: %127[^\r]", request->authorization);
    }
    request->body = kt_str_n(all.data + head + 4, len);
    return all.len >= (size_t)head + 4 + len && sscanf(all.data, "%*s %127s", request->path) == 1;
}

/* False at the end of the connection. */
static bool read_request(struct mock_conn *conn, struct mock_request *request)
{
    memset(conn->text, 0, sizeof(conn->text));
    conn->len = 0;
    while (!is_stopping(conn->mock)) {
        ssize_t n;

        if (parse_request(conn, request)) {
            return true;
        }
        n = read((int)conn->socket, conn->text + conn->len, sizeof(conn->text) - 1 - conn->len);
        if (n > 0) {
            conn->len += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            kt_test_pause();
        } else {
            return false;
        }
    }
    return false;
}

static void serve(void *arg)
{
    struct mock_conn *conn = arg;
    struct mock_request request;

    while (read_request(conn, &request)) {
        conn->requests++;
        request.number = __atomic_add_fetch(&conn->mock->requests, 1, __ATOMIC_ACQ_REL);
        if (!conn->mock->fn(conn, &request, conn->mock->ctx) || conn->broken) {
            break;
        }
    }
    kt_net_close(&conn->socket);
    __atomic_store_n(&conn->over, 1, __ATOMIC_RELEASE);
}

static struct mock_conn *free_slot(struct mock *mock)
{
    for (int i = 0; i < MOCK_CONNECTIONS_MAX; i++) {
        struct mock_conn *conn = &mock->conns[i];

        if (__atomic_load_n(&conn->over, __ATOMIC_ACQUIRE)) {
            kt_thread_join(&conn->thread);
            return conn;
        }
    }
    return NULL;
}

static void accept_all(void *arg)
{
    struct mock *mock = arg;

    while (!is_stopping(mock)) {
        struct mock_conn *conn = free_slot(mock);
        kt_socket socket = KT_NO_SOCKET;
        char peer[64];
        uint16_t peer_port = 0;

        if (!conn || kt_net_accept(mock->listener, 20, &socket, peer, &peer_port, NULL) != KT_OK) {
            continue;
        }
        conn->mock = mock;
        conn->socket = socket;
        conn->index = __atomic_fetch_add(&mock->connections, 1, __ATOMIC_ACQ_REL);
        conn->requests = conn->over = 0;
        conn->broken = false;
        if (kt_thread_start(&conn->thread, "mock-conn", serve, conn, NULL) != KT_OK) {
            kt_net_close(&conn->socket);
            conn->over = 1;
        }
    }
}

bool mock_start(struct mock *mock, mock_fn fn, void *ctx)
{
    signal(SIGPIPE, SIG_IGN);
    memset(mock, 0, sizeof(*mock));
    mock->fn = fn;
    mock->ctx = ctx;
    for (int i = 0; i < MOCK_CONNECTIONS_MAX; i++) {
        mock->conns[i].over = 1;
    }
    if (kt_net_listen("127.0.0.1", 0, 64, &mock->listener, &mock->port, NULL) != KT_OK) {
        return false;
    }
    snprintf(mock->endpoint, sizeof(mock->endpoint), "127.0.0.1:%u", (unsigned)mock->port);
    return kt_thread_start(&mock->thread, "mock-accept", accept_all, mock, NULL) == KT_OK;
}

void mock_stop(struct mock *mock)
{
    __atomic_store_n(&mock->stop, 1, __ATOMIC_RELEASE);
    kt_thread_join(&mock->thread);
    for (int i = 0; i < MOCK_CONNECTIONS_MAX; i++) {
        kt_thread_join(&mock->conns[i].thread);
    }
    kt_net_close(&mock->listener);
}
