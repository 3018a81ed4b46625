/* SPDX-License-Identifier: MIT */
/* net.c - names to addresses, a listening socket, and connections from it. */
#include "base/net.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/net_os.h"

#include <stdio.h>
#include <string.h>

#ifdef _WIN32
#include <pthread.h>

static void start_winsock(void)
{
    WSADATA data;
    KT_ASSERT(WSAStartup(MAKEWORD(2, 2), &data) == 0);
}

static void net_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_winsock);
}

static const char *code_text(int code, char dest[KT_ERRNO_TEXT_MAX])
{
    snprintf(dest, KT_ERRNO_TEXT_MAX, "Winsock error %d", code);
    return dest;
}
#else
static void net_ready(void)
{
}

static const char *code_text(int code, char dest[KT_ERRNO_TEXT_MAX])
{
    return kt_errno_text(code, dest);
}
#endif

static enum kt_status fail_code(struct kt_error *err, const char *verb, const char *host,
                                uint16_t port, int code)
{
    char why[KT_ERRNO_TEXT_MAX], addr[KT_ADDR_MAX];
    kt_addr_format(host, port, addr);
    return kt_fail(err, KT_SOCKET_IN_USE(code) ? KT_BUSY : KT_IO, "%s %s: %s", verb, addr,
                   code_text(code, why));
}

static bool ip_of_sockaddr(const struct sockaddr *addr, struct kt_ip *ret_ip)
{
    struct kt_ip ip = {.len = 0};
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, addr, sizeof v4);
        ip.len = 4;
        memcpy(ip.bytes, &v4.sin_addr, 4);
    } else if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, addr, sizeof v6);
        ip.len = 16;
        memcpy(ip.bytes, &v6.sin6_addr, 16);
        kt_ip_unmap(&ip);
    } else {
        return false;
    }
    *ret_ip = ip;
    return true;
}

static void format_ip(const struct kt_ip *ip, char dest[64])
{
    if (!inet_ntop(ip->len == 4 ? AF_INET : AF_INET6, ip->bytes, dest, 64)) {
        dest[0] = '\0';
    }
}

/* NULL, and *ret_code for gai_strerror, when the name is unknown. */
static struct addrinfo *look_up(const char *host, int *ret_code)
{
    net_ready();
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    *ret_code = getaddrinfo(host, NULL, &hints, &list);
    return *ret_code == 0 ? list : NULL;
}

bool kt_host_same(const char *host_a, const char *host_b)
{
    if (kt_str_eq_nocase(kt_str(host_a), kt_str(host_b))) {
        return true;
    }
    int code;
    struct addrinfo *list_a = look_up(host_a, &code), *list_b = look_up(host_b, &code);
    bool same = false;
    for (struct addrinfo *a = list_a; a && !same; a = a->ai_next) {
        for (struct addrinfo *b = list_b; b && !same; b = b->ai_next) {
            struct kt_ip ip_a = {.len = 0}, ip_b = {.len = 0};
            same = ip_of_sockaddr(a->ai_addr, &ip_a) && ip_of_sockaddr(b->ai_addr, &ip_b) &&
                   ip_a.len == ip_b.len && memcmp(ip_a.bytes, ip_b.bytes, ip_a.len) == 0;
        }
    }
    if (list_a) {
        freeaddrinfo(list_a);
    }
    if (list_b) {
        freeaddrinfo(list_b);
    }
    return same;
}

enum kt_status kt_net_resolve(const char *host, char ret_literal[64], struct kt_error *err)
{
    int code;
    struct addrinfo *list = look_up(host, &code);
    struct kt_ip best = {.len = 0}, ip;
    for (struct addrinfo *at = list; at; at = at->ai_next) {
        if (ip_of_sockaddr(at->ai_addr, &ip) &&
            (best.len == 0 || (best.len == 16 && ip.len == 4))) {
            best = ip;
        }
    }
    if (list) {
        freeaddrinfo(list);
    }
    if (best.len == 0) {
        return kt_fail(err, KT_IO, "resolve %.255s: %s", host,
                       code ? gai_strerror(code) : "no address");
    }
    format_ip(&best, ret_literal);
    return KT_OK;
}

union any_addr {
    struct sockaddr base;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t fill_addr(union any_addr *addr, const struct kt_ip *ip, uint16_t port)
{
    memset(addr, 0, sizeof *addr);
    if (ip->len == 4) {
        addr->v4.sin_family = AF_INET;
        addr->v4.sin_port = htons(port);
        memcpy(&addr->v4.sin_addr, ip->bytes, 4);
        return sizeof addr->v4;
    }
    addr->v6.sin6_family = AF_INET6;
    addr->v6.sin6_port = htons(port);
    memcpy(&addr->v6.sin6_addr, ip->bytes, 16);
    return sizeof addr->v6;
}

static uint16_t port_of(const union any_addr *addr)
{
    return ntohs(addr->base.sa_family == AF_INET ? addr->v4.sin_port : addr->v6.sin6_port);
}

/* Non-blocking and closed in children; returns 0 or the error's code. */
static int make_private(kt_socket sock)
{
#ifdef _WIN32
    u_long on = 1;
    SetHandleInformation((HANDLE)sock, HANDLE_FLAG_INHERIT, 0);
    return ioctlsocket((SOCKET)sock, FIONBIO, &on) == 0 ? 0 : WSAGetLastError();
#else
    if (fcntl((int)sock, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl((int)sock, F_SETFL, fcntl((int)sock, F_GETFL) | O_NONBLOCK) != 0) {
        return errno;
    }
    return 0;
#endif
}

static kt_socket open_socket(int family)
{
#ifdef SOCK_CLOEXEC
    return (kt_socket)socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    kt_socket sock = (kt_socket)socket(family, SOCK_STREAM, 0);
    if (sock != KT_NO_SOCKET && make_private(sock) != 0) {
        kt_net_close(&sock);
    }
    return sock;
#endif
}

static void set_option(kt_socket sock, int level, int option, int value)
{
#ifdef _WIN32
    (void)setsockopt((SOCKET)sock, level, option, (const char *)&value, sizeof value);
#else
    (void)setsockopt((int)sock, level, option, &value, sizeof value);
#endif
}

/* Listens on the open socket; 0 or the error's code. */
static int bind_and_listen(kt_socket sock, const struct kt_ip *ip, uint16_t port, int backlog,
                           uint16_t *ret_port)
{
#ifdef _WIN32
    SOCKET handle = (SOCKET)sock;
    /* SO_REUSEADDR means on Windows that others may take the port away. */
    set_option(sock, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
#else
    int handle = (int)sock;
    set_option(sock, SOL_SOCKET, SO_REUSEADDR, 1);
#endif
    if (ip->len == 16) {
        set_option(sock, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* "::" takes IPv4 too, everywhere */
    }
    union any_addr addr;
    socklen_t len = fill_addr(&addr, ip, port);
    if (kt_fault_hit(KT_FAULT_IO)) {
        return ENOBUFS;
    }
    if (bind(handle, &addr.base, len) != 0 || listen(handle, backlog) != 0 ||
        getsockname(handle, &addr.base, &len) != 0) {
        return KT_SOCKET_CODE();
    }
    *ret_port = port_of(&addr);
    return 0;
}

static enum kt_status fail_in_use(struct kt_error *err, const char *host, uint16_t port)
{
    char address[KT_ADDR_MAX], holder[KT_HOLDER_MAX];
    kt_addr_format(host, port, address);
    kt_net_port_holder(port, holder);
    return kt_fail(err, KT_BUSY, "%s: address in use%s%s", address, holder[0] ? ", held by " : "",
                   holder);
}

enum kt_status kt_net_listen(const char *host, uint16_t port, int backlog, kt_socket *ret_socket,
                             uint16_t *ret_port, struct kt_error *err)
{
    net_ready();
    struct kt_ip ip;
    if (!kt_ip_parse(kt_str(host), &ip)) {
        return kt_fail(err, KT_BAD_VALUE, "listen: \"%.255s\" is not a literal address", host);
    }
    kt_socket sock = open_socket(ip.len == 4 ? AF_INET : AF_INET6);
    if (sock == KT_NO_SOCKET) {
        return fail_code(err, "listen on", host, port, KT_SOCKET_CODE());
    }
    uint16_t bound = 0;
    int code = bind_and_listen(sock, &ip, port, backlog, &bound);
    if (code != 0) {
        kt_net_close(&sock);
        return KT_SOCKET_IN_USE(code) ? fail_in_use(err, host, port)
                                      : fail_code(err, "listen on", host, port, code);
    }
    *ret_socket = sock;
    if (ret_port) {
        *ret_port = bound;
    }
    return KT_OK;
}

/* 1: a connection may be there; 0: none in time; -1: failed. */
static int wait_readable(kt_socket sock, int64_t wait_ms)
{
    int span = wait_ms < 0 ? 0 : wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms;
#ifdef _WIN32
    WSAPOLLFD entry = {.fd = (SOCKET)sock, .events = POLLRDNORM};
    return WSAPoll(&entry, 1, span);
#else
    struct pollfd entry = {.fd = (int)sock, .events = POLLIN};
    return poll(&entry, 1, span);
#endif
}

bool kt_net_has_input(kt_socket socket)
{
    char byte;
#ifdef _WIN32
    return recv((SOCKET)socket, &byte, 1, MSG_PEEK) > 0;
#else
    return recv((int)socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
#endif
}

static kt_socket accept_one(kt_socket listener, union any_addr *addr)
{
    socklen_t len = sizeof *addr;
#if defined(_WIN32)
    return (kt_socket)accept((SOCKET)listener, &addr->base, &len);
#elif defined(__linux__)
    return accept4((int)listener, &addr->base, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    return accept((int)listener, &addr->base, &len);
#endif
}

/* Until a connection is there or the deadline has passed. */
static enum kt_status accept_until(kt_socket listener, int64_t deadline_us, kt_socket *ret_socket,
                                   union any_addr *ret_addr, struct kt_error *err)
{
    for (;;) {
        int64_t left_us = deadline_us - kt_now_mono_us();
        int ready = wait_readable(listener, (left_us + 999) / 1000);
        int code = ready < 0 ? KT_SOCKET_CODE() : 0;
        if (ready > 0) {
            kt_socket sock = accept_one(listener, ret_addr);
            if (sock != KT_NO_SOCKET) {
                *ret_socket = sock;
                return KT_OK;
            }
            code = KT_SOCKET_CODE();
            if (KT_SOCKET_EXHAUSTED(code)) {
                return kt_fail(err, KT_BUSY, "accept: out of descriptors or memory");
            }
        }
        if (code != 0 && !KT_SOCKET_TRY_AGAIN(code)) {
            char why[KT_ERRNO_TEXT_MAX];
            return kt_fail(err, KT_IO, "accept: %s", code_text(code, why));
        }
        if (left_us <= 0) {
            return kt_fail(err, KT_TIMEOUT, "accept: no connection came");
        }
    }
}

enum kt_status kt_net_accept(kt_socket listener, int64_t wait_ms, kt_socket *ret_socket,
                             char ret_peer[64], uint16_t *ret_peer_port, struct kt_error *err)
{
    int64_t span_ms = wait_ms < 0 ? 0 : wait_ms > INT32_MAX ? INT32_MAX : wait_ms;
    union any_addr addr = {.v6 = {0}};
    kt_socket sock = KT_NO_SOCKET;
    if (kt_fault_hit(KT_FAULT_IO)) {
        return kt_fail(err, KT_IO, "accept: injected fault");
    }
    enum kt_status status =
        accept_until(listener, kt_now_mono_us() + span_ms * 1000, &sock, &addr, err);
    if (status != KT_OK) {
        return status;
    }
    if (make_private(sock) != 0) {
        kt_net_close(&sock);
        return kt_fail(err, KT_IO, "accept: the connection cannot be made non-blocking");
    }
    set_option(sock, IPPROTO_TCP, TCP_NODELAY, 1);
    struct kt_ip ip;
    ret_peer[0] = '\0';
    if (ip_of_sockaddr(&addr.base, &ip)) {
        format_ip(&ip, ret_peer);
    }
    *ret_peer_port = port_of(&addr);
    *ret_socket = sock;
    return KT_OK;
}

void kt_net_close(kt_socket *socket)
{
    if (*socket == KT_NO_SOCKET) {
        return;
    }
#ifdef _WIN32
    closesocket((SOCKET)*socket);
#else
    (void)close((int)*socket);
#endif
    *socket = KT_NO_SOCKET;
}
