/* SPDX-License-Identifier: MIT */
/* bare_epoll - the ceiling of the machine: one epoll loop per thread, each with a listening socket
 * of its own (SO_REUSEPORT). A request's end is found by its Content-Length and nothing else is
 * read of it; the fixed answer is sent in one write. Linux only. For load generators that behave: a
 * request whose head is larger than the buffer ends its connection.
 */
#include "bench/peers/answer.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 64
#define HEAD_MAX 16384

struct connection {
    int fd;
    size_t len;       /* bytes in `input` */
    size_t body_left; /* of the request whose head was read */
    bool in_body, wants_out;
    size_t unsent; /* bytes of answers that are due */
    char input[HEAD_MAX];
};

struct loop {
    struct bare_options *options;
    struct kt_thread thread;
    int epoll, listener;
};

static int listen_on(uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof(addr);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &size) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static bool want_out(const struct loop *loop, struct connection *conn, bool wanted)
{
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = conn};

    if (conn->wants_out == wanted) {
        return true;
    }
    conn->wants_out = wanted;
    return epoll_ctl(loop->epoll, EPOLL_CTL_MOD, conn->fd, &event) == 0;
}

/* Sends the answers that are due; false when the connection is to end. */
static bool send_due(const struct loop *loop, struct connection *conn)
{
    const struct kt_buf *answer = &loop->options->answer;

    while (conn->unsent > 0) {
        size_t part = conn->unsent % answer->len_bytes;
        size_t size = part > 0 ? part : answer->len_bytes;
        ssize_t sent = send(conn->fd, answer->data + answer->len_bytes - size, size, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN && want_out(loop, conn, true);
        }
        conn->unsent -= (size_t)sent;
    }
    return want_out(loop, conn, false);
}

/* The length of the head that `input` begins with, its blank line included; 0 = not all here. */
static size_t head_length(const struct connection *conn)
{
    const char *end = memmem(conn->input, conn->len, "\r\n\r\n", 4);

    return end ? (size_t)(end - conn->input) + 4 : 0;
}

static size_t content_length(const char *head, size_t len)
{
    static const char name[] = "\r\ncontent-length:";

    for (const char *at = head; (at = memchr(at, '\r', len - (size_t)(at - head))) != NULL; at++) {
        if (len - (size_t)(at - head) > sizeof(name) &&
            strncasecmp(at, name, sizeof(name) - 1) == 0) {
            return strtoul(at + sizeof(name) - 1, NULL, 10);
        }
    }
    return 0;
}

/* Takes whole requests from the input; false when a head does not fit. */
static bool take_requests(const struct loop *loop, struct connection *conn)
{
    size_t used = 0;

    for (;;) {
        if (conn->in_body) {
            size_t here = conn->len < conn->body_left ? conn->len : conn->body_left;
            used = here;
            conn->body_left -= here;
            if (conn->body_left == 0) {
                conn->in_body = false;
                conn->unsent += loop->options->answer.len_bytes;
            }
        } else {
            used = head_length(conn);
            if (used == 0) {
                return conn->len < HEAD_MAX;
            }
            conn->body_left = content_length(conn->input, used);
            conn->in_body = true;
        }
        conn->len -= used;
        memmove(conn->input, conn->input + used, conn->len);
        if (conn->in_body && conn->body_left > 0 && conn->len == 0) {
            return true;
        }
    }
}

/* False when the connection is to end. */
static bool serve(const struct loop *loop, struct connection *conn)
{
    ssize_t got = recv(conn->fd, conn->input + conn->len, HEAD_MAX - conn->len, 0);

    if (got <= 0) {
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    conn->len += (size_t)got;
    return take_requests(loop, conn) && send_due(loop, conn);
}

static void accept_all(const struct loop *loop)
{
    int fd, on = 1;

    while ((fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *conn = kt_calloc(1, sizeof(*conn));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (!conn || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
            kt_free(conn);
            close(fd);
            continue;
        }
        conn->fd = fd;
    }
}

static void run(void *arg)
{
    struct loop *loop = arg;
    struct epoll_event events[EVENTS];

    for (;;) {
        int count = epoll_wait(loop->epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *conn = events[i].data.ptr;
            if (!conn) {
                accept_all(loop);
            } else if (!send_due(loop, conn) ||
                       (events[i].events != EPOLLOUT && !serve(loop, conn))) {
                close(conn->fd);
                kt_free(conn);
            }
        }
    }
}

static bool start_loop(struct loop *loop, struct bare_options *options, uint16_t *port)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    struct kt_error err = KT_ERROR_INIT;

    loop->options = options;
    loop->listener = listen_on(*port, port);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->listener < 0 || loop->epoll < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->listener, &event) != 0) {
        return false;
    }
    return kt_thread_start(&loop->thread, "bare_loop", run, loop, &err) == KT_OK;
}

static void stop(void *arg, enum kt_signal signal)
{
    (void)arg;
    if (signal == KT_SIGNAL_STOP) {
        exit(0);
    }
}

int main(int argc, char **argv)
{
    static struct loop loops[64];
    static struct bare_options options = {.bytes = 300};
    struct kt_error err = KT_ERROR_INIT;
    options.threads = kt_cpu_count();
    int status = bare_options_parse(&options, argc, argv);
    uint16_t port = (uint16_t)options.port;

    if (status >= 0) {
        return status;
    }
    if (kt_signals_start(stop, NULL, &err) != KT_OK) {
        fprintf(stderr, "%s: %s\n", argv[0], err.message);
        return 1;
    }
    if (options.threads > (int64_t)KT_ARRAY_LEN(loops)) {
        options.threads = KT_ARRAY_LEN(loops);
    }
    for (int64_t i = 0; i < options.threads; i++) {
        if (!start_loop(&loops[i], &options, &port)) {
            fprintf(stderr, "%s: can't listen on 127.0.0.1:%u: %s\n", argv[0], (unsigned)port,
                    kt_errno_text(errno, (char[KT_ERRNO_TEXT_MAX]){0}));
            return 1;
        }
    }
    printf("listening on 127.0.0.1:%u\n", (unsigned)port);
    (void)fflush(stdout);
    for (int64_t i = 0; i < options.threads; i++) {
        kt_thread_join(&loops[i].thread);
    }
    return 0;
}
