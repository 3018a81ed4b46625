/* SPDX-License-Identifier: MIT */
/* mock.c - non-blocking sockets, looked at every millisecond: slow, simple, and always ready to
 * stop. */
#include "etcd/mock.h"

#include "base/clock.h"
#include "base/status.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void nap(void)
{
    struct timespec ms = {0, 1000000};

    nanosleep(&ms, NULL);
}

static bool is_stopping(const struct mock *mock)
{
    return __atomic_load_n(&mock->stop, __ATOMIC_ACQUIRE) != 0;
}

void mock_send(struct mock_conn *conn, const char *text)
{
    size_t len = strlen(text), done = 0;

    while (done < len && !conn->broken && !is_stopping(conn->mock)) {
        ssize_t n = write((int)conn->socket, text + done, len - done);

        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            nap();
        } else {
            conn->broken = true;
        }
    }
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

void mock_chunk(struct mock_conn *conn, const char *text)
{
    char head[32];

    snprintf(head, sizeof(head), "%zx\r\n", strlen(text));
    mock_send(conn, head);
    mock_send(conn, text);
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
        nap();
    }
}

/* Reads one request into `text`; false at the end of the connection. */
static bool read_request(struct mock_conn *conn, struct kt_buf *text, struct mock_request *request)
{
    char chunk[4096];

    kt_buf_clear(text);
    while (!is_stopping(conn->mock)) {
        struct kt_str all = kt_buf_str(text);
        ptrdiff_t head = kt_str_find(all, KT_STR("\r\n\r\n"));

        if (head >= 0) {
            ptrdiff_t at = kt_str_find(all, KT_STR("Content-Length: "));
            size_t body = (size_t)head + 4, len = 0;

            if (at >= 0 && at < head) {
                (void)sscanf(all.data + at, "Content-Length: %zu", &len);
            }
            if (all.len >= body + len) {
                request->body = kt_str_n(all.data + body, len);
                return sscanf(all.data, "%*s %127s", request->path) == 1;
            }
        }
        ssize_t n = read((int)conn->socket, chunk, sizeof(chunk));
        if (n > 0) {
            kt_buf_append(text, chunk, (size_t)n);
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            nap();
        } else {
            return false;
        }
    }
    return false;
}

static void serve(void *arg)
{
    struct mock_conn *conn = arg;
    struct kt_buf text;
    bool open = true;

    kt_buf_init(&text, 1024 * 1024);
    while (open) {
        struct mock_request request;

        if (!read_request(conn, &text, &request)) {
            break;
        }
        conn->requests++;
        request.number = __atomic_add_fetch(&conn->mock->requests, 1, __ATOMIC_ACQ_REL);
        open = conn->mock->fn(conn, &request, conn->mock->ctx) && !conn->broken;
    }
    kt_buf_done(&text);
    kt_net_close(&conn->socket);
}

static void accept_all(void *arg)
{
    struct mock *mock = arg;

    while (!is_stopping(mock)) {
        int index = __atomic_load_n(&mock->connections, __ATOMIC_ACQUIRE);
        struct mock_conn *conn = &mock->conns[index];
        kt_socket socket = KT_NO_SOCKET;
        char peer[64];
        uint16_t peer_port = 0;

        if (index == MOCK_CONNECTIONS_MAX) {
            return;
        }
        if (kt_net_accept(mock->listener, 20, &socket, peer, &peer_port, NULL) != KT_OK) {
            continue;
        }
        memset(conn, 0, sizeof(*conn));
        conn->mock = mock;
        conn->socket = socket;
        conn->index = index;
        if (kt_thread_start(&conn->thread, "mock-conn", serve, conn, NULL) != KT_OK) {
            kt_net_close(&conn->socket);
        }
        __atomic_add_fetch(&mock->connections, 1, __ATOMIC_ACQ_REL);
    }
}

bool mock_start(struct mock *mock, mock_fn fn, void *ctx)
{
    signal(SIGPIPE, SIG_IGN);
    memset(mock, 0, sizeof(*mock));
    mock->fn = fn;
    mock->ctx = ctx;
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
    for (int i = 0; i < mock->connections; i++) {
        kt_thread_join(&mock->conns[i].thread);
    }
    kt_net_close(&mock->listener);
}
