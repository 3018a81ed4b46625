/* SPDX-License-Identifier: MIT */
/* server_socket.c - what civetweb does not offer on its sockets.
 *
 * civetweb hides the socket of a connection. It is the one whose peer is the connection's: peer
 * address and port and our own port name a connection, and sockets that belong to other workers
 * are skipped without asking, so a look-up costs a few dozen short system calls per connection.
 * Where that is impossible the server works on with civetweb's own, coarser timeouts.
 */
#include "http/server_impl.h"

#include "base/clock.h"

#include <string.h>

#if defined(_WIN32)

kt_socket kt_http_socket_find(const uint64_t *owned, const char *peer, uint16_t peer_port,
                              uint16_t local_port)
{
    (void)owned, (void)peer, (void)peer_port, (void)local_port;
    return KT_NO_SOCKET;
}

size_t kt_http_socket_shut_strangers(const struct kt_http_look *look)
{
    (void)look;
    return 0;
}

int64_t kt_http_socket_moved(kt_socket sock)
{
    (void)sock;
    return -1;
}

void kt_http_socket_close_strangers(uint16_t local_port)
{
    (void)local_port;
}

size_t kt_http_socket_available(kt_socket sock)
{
    (void)sock;
    return 0;
}

int64_t kt_http_socket_taken(kt_socket sock)
{
    (void)sock;
    return -1;
}

int64_t kt_http_socket_receive(kt_socket sock, void *dest, size_t size, int64_t deadline_mono_ms)
{
    (void)sock, (void)dest, (void)size, (void)deadline_mono_ms;
    return -1;
}

bool kt_http_socket_at_end(kt_socket sock)
{
    (void)sock;
    return false;
}

void kt_http_socket_shut_read(kt_socket sock)
{
    (void)sock;
}

void kt_http_socket_shut_both(kt_socket sock)
{
    (void)sock;
}

void kt_http_socket_linger(kt_socket sock, int64_t wait_ms, const atomic_bool *hurry)
{
    (void)sock, (void)wait_ms, (void)hurry;
}

void kt_http_socket_reset(kt_socket sock)
{
    (void)sock;
}

void kt_http_socket_poke(const char *host, uint16_t port)
{
    (void)host, (void)port;
}

#else

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#if defined(__linux__)
#include <linux/tcp.h> /* the C library's struct tcp_info lacks the byte counts */
#endif
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* accept() gives the lowest free number, so a long gap means that we are past the last. */
#define GAP_MAX 1024
#define TAKEN_TRIES_MAX 8
/* TCP_CLOSE_WAIT of the C library's header, which is not to be had with the one above. */
#define STATE_CLOSE_WAIT 8
#define POLL_MS_MAX 1000
#define LINGER_STEP_MS 50
#define HURRIED_MS 10

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
};

static uint16_t port_of(const union address *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

static bool peer_is(const union address *address, bool v6, const unsigned char bits[16],
                    uint16_t port)
{
    if (port_of(address) != port) {
        return false;
    }
    if (v6) {
        return address->any.sa_family == AF_INET6 && memcmp(&address->v6.sin6_addr, bits, 16) == 0;
    }
    return address->any.sa_family == AF_INET && memcmp(&address->v4.sin_addr, bits, 4) == 0;
}

kt_socket kt_http_socket_find(const uint64_t *owned, const char *peer, uint16_t peer_port,
                              uint16_t local_port)
{
    unsigned char bits[16];
    bool v6 = strchr(peer, ':') != NULL;
    int absent = 0;

    if (inet_pton(v6 ? AF_INET6 : AF_INET, peer, bits) != 1) {
        return KT_NO_SOCKET;
    }
    for (int fd = 3; fd < KT_HTTP_FDS_MAX && absent < GAP_MAX; fd++) {
        union address address = {0};
        socklen_t len = sizeof(address);

        if (owned[fd / 64] >> (fd % 64) & 1) {
            absent = 0;
            continue;
        }
        if (getpeername(fd, &address.any, &len) != 0) {
            absent = errno == EBADF ? absent + 1 : 0;
            continue;
        }
        absent = 0;
        len = sizeof(address);
        if (peer_is(&address, v6, bits, peer_port) && getsockname(fd, &address.any, &len) == 0 &&
            port_of(&address) == local_port) {
            return fd;
        }
    }
    return KT_NO_SOCKET;
}

/* Peer's port of a connection to our port, 0 when it is none. */
static uint16_t connection_peer(int fd, uint16_t local_port)
{
    union address address = {0};
    socklen_t len = sizeof(address);

    errno = 0;
    if (getsockname(fd, &address.any, &len) != 0 ||
        (address.any.sa_family != AF_INET && address.any.sa_family != AF_INET6) ||
        port_of(&address) != local_port) {
        return 0;
    }
    len = sizeof(address);
    return getpeername(fd, &address.any, &len) == 0 ? port_of(&address) : 0;
}

/* Is a whole head there to be read? */
static bool holds_head(int fd, char *scratch)
{
    ssize_t len = recv(fd, scratch, KT_HTTP_HEAD_BYTES_MAX, MSG_PEEK | MSG_DONTWAIT);

    return len > 0 && memmem(scratch, (size_t)len, "\r\n\r\n", 4) != NULL;
}

/* Through a duplicate, which nobody can close and open again as something else in between. A worker
 * that has just taken the head has not said so yet: hence the second look. */
static void shut_if_still(int fd, const struct kt_http_look *look, struct kt_http_stranger *entry)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    bool lacked = entry->lacks;

    if (copy < 0) {
        return;
    }
    if (connection_peer(copy, look->local_port) == entry->peer_port) {
        entry->lacks = !look->scratch || !holds_head(copy, look->scratch);
        if (entry->lacks && (lacked || !look->scratch)) {
            (void)shutdown(copy, SHUT_RD);
        }
    }
    (void)close(copy);
}

size_t kt_http_socket_shut_strangers(const struct kt_http_look *look)
{
    size_t count = 0;
    int absent = 0;

    for (int fd = 3; fd < KT_HTTP_FDS_MAX && absent < GAP_MAX; fd++) {
        struct kt_http_stranger *entry = &look->seen[fd];
        uint16_t peer_port = 0;

        if (!(look->owned[fd / 64] >> (fd % 64) & 1)) {
            peer_port = connection_peer(fd, look->local_port);
            absent = peer_port == 0 && errno == EBADF ? absent + 1 : 0;
        } else {
            absent = 0;
        }
        if (peer_port != entry->peer_port) {
            *entry = (struct kt_http_stranger){look->now_ms, peer_port, false};
        }
        count += peer_port != 0;
        if (peer_port != 0 && entry->since_ms <= look->until_ms) {
            shut_if_still(fd, look, entry);
        }
    }
    return count;
}

void kt_http_socket_close_strangers(uint16_t local_port)
{
    int absent = 0;

    for (int fd = 3; fd < KT_HTTP_FDS_MAX && absent < GAP_MAX; fd++) {
        uint16_t peer_port = connection_peer(fd, local_port);

        absent = peer_port == 0 && errno == EBADF ? absent + 1 : 0;
        if (peer_port != 0) {
            (void)close(fd);
        }
    }
}

size_t kt_http_socket_available(kt_socket sock)
{
    int bytes = 0;

    if (sock == KT_NO_SOCKET || ioctl((int)sock, FIONREAD, &bytes) != 0 || bytes < 0) {
        return 0;
    }
    return (size_t)bytes;
}

#if defined(__linux__)

static bool get_info(kt_socket sock, struct tcp_info *ret_info)
{
    socklen_t len = sizeof(*ret_info);

    memset(ret_info, 0, sizeof(*ret_info));
    return sock != KT_NO_SOCKET &&
           getsockopt((int)sock, IPPROTO_TCP, TCP_INFO, ret_info, &len) == 0;
}

/* The end of the stream is counted like a byte of it, but never waits to be read. We have not ended
 * our side. */
static bool counts_end(const struct tcp_info *info)
{
    return info->tcpi_state == STATE_CLOSE_WAIT;
}

/* Received minus waiting; again when something came in between. */
int64_t kt_http_socket_taken(kt_socket sock)
{
    struct tcp_info before, after;

    if (!get_info(sock, &after)) {
        return -1;
    }
    for (int i = 0; i < TAKEN_TRIES_MAX; i++) {
        size_t waiting = kt_http_socket_available(sock);

        before = after;
        if (!get_info(sock, &after)) {
            return -1;
        }
        if (before.tcpi_bytes_received == after.tcpi_bytes_received &&
            counts_end(&before) == counts_end(&after)) {
            return (int64_t)after.tcpi_bytes_received - (int64_t)waiting - counts_end(&after);
        }
    }
    return -1;
}

int64_t kt_http_socket_moved(kt_socket sock)
{
    struct tcp_info info;

    if (!get_info(sock, &info)) {
        return -1;
    }
    return (int64_t)(info.tcpi_bytes_received + info.tcpi_bytes_acked);
}

#else

int64_t kt_http_socket_taken(kt_socket sock)
{
    (void)sock;
    return -1;
}

int64_t kt_http_socket_moved(kt_socket sock)
{
    (void)sock;
    return -1;
}

#endif

int64_t kt_http_socket_receive(kt_socket sock, void *dest, size_t size, int64_t deadline_mono_ms)
{
    for (;;) {
        ssize_t got = recv((int)sock, dest, size, MSG_DONTWAIT);
        struct pollfd waiting = {(int)sock, POLLIN, 0};
        int64_t left_ms = deadline_mono_ms - kt_now_mono_ms();

        if (got >= 0) {
            return got;
        }
        if ((errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) || left_ms <= 0) {
            return -1;
        }
        (void)poll(&waiting, 1, left_ms < POLL_MS_MAX ? (int)left_ms : POLL_MS_MAX);
    }
}

bool kt_http_socket_at_end(kt_socket sock)
{
    char byte;

    return sock != KT_NO_SOCKET && recv((int)sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void kt_http_socket_shut_read(kt_socket sock)
{
    if (sock != KT_NO_SOCKET) {
        (void)shutdown((int)sock, SHUT_RD);
    }
}

void kt_http_socket_shut_both(kt_socket sock)
{
    if (sock != KT_NO_SOCKET) {
        (void)shutdown((int)sock, SHUT_RDWR);
    }
}

void kt_http_socket_linger(kt_socket sock, int64_t wait_ms, const atomic_bool *hurry)
{
    int64_t began_ms = kt_now_mono_ms();
    char scrap[4096];

    if (sock == KT_NO_SOCKET) {
        return;
    }
    (void)shutdown((int)sock, SHUT_WR);
    for (;;) {
        struct pollfd waiting = {(int)sock, POLLIN, 0};
        int64_t left_ms =
            began_ms - kt_now_mono_ms() +
            (atomic_load_explicit(hurry, memory_order_relaxed) ? LINGER_STEP_MS : wait_ms);
        int ready;

        if (left_ms <= 0) {
            return;
        }
        ready = poll(&waiting, 1, left_ms < LINGER_STEP_MS ? (int)left_ms : LINGER_STEP_MS);
        if (ready < 0 || (ready > 0 && recv((int)sock, scrap, sizeof(scrap), MSG_DONTWAIT) <= 0)) {
            return;
        }
    }
}

void kt_http_socket_reset(kt_socket sock)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};

    if (sock != KT_NO_SOCKET) {
        /* Dissolving an association sends a reset at once, where a close would send an end. */
        (void)connect((int)sock, &none, sizeof(none));
    }
}

void kt_http_socket_poke(const char *host, uint16_t port)
{
    union address address = {0};
    socklen_t len;
    int fd;

    memset(&address, 0, sizeof(address));
    if (strchr(host, ':')) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        if (inet_pton(AF_INET6, strcmp(host, "::") == 0 ? "::1" : host, &address.v6.sin6_addr) !=
            1) {
            return;
        }
        len = sizeof(address.v6);
    } else {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        if (inet_pton(AF_INET, strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : host,
                      &address.v4.sin_addr) != 1) {
            return;
        }
        len = sizeof(address.v4);
    }
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)connect(fd, &address.any, len);
        (void)close(fd);
    }
}

#endif
