/* net_os.h - the socket headers of the system and what differs in them; private to common/base.
 *
 * Threads: any.
 * Owns:    nothing.
 * Fails:   as the system's calls.
 */
#ifndef KT_BASE_NET_OS_H
#define KT_BASE_NET_OS_H

#include "base/str.h"

#ifdef _WIN32
#include <winsock2.h>

#include <windows.h>
#include <ws2tcpip.h>
#define KT_SOCKET_CODE() WSAGetLastError()
#define KT_SOCKET_IN_USE(code) ((code) == WSAEADDRINUSE || (code) == WSAEACCES)
#define KT_SOCKET_TRY_AGAIN(code)                                                                  \
    ((code) == WSAEWOULDBLOCK || (code) == WSAECONNRESET || (code) == WSAEINTR)
#define KT_SOCKET_EXHAUSTED(code) ((code) == WSAEMFILE || (code) == WSAENOBUFS)
#else
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#define KT_SOCKET_CODE() errno
#define KT_SOCKET_IN_USE(code) ((code) == EADDRINUSE)
#define KT_SOCKET_TRY_AGAIN(code)                                                                  \
    ((code) == EAGAIN || (code) == EWOULDBLOCK || (code) == EINTR || (code) == ECONNABORTED ||     \
     (code) == EPROTO)
#define KT_SOCKET_EXHAUSTED(code)                                                                  \
    ((code) == EMFILE || (code) == ENFILE || (code) == ENOBUFS || (code) == ENOMEM)
#endif

struct kt_ip {
    unsigned char bytes[16];
    size_t len; /* 4 or 16 */
};

/* Who listens on the port: "process 1234 (name)", or "" when it can't be told. */
#define KT_HOLDER_MAX 96
void kt_net_port_holder(uint16_t port, char dest[KT_HOLDER_MAX]);

bool kt_ip_parse(struct kt_str text, struct kt_ip *ret_ip);
void kt_ip_unmap(struct kt_ip *ip); /* ::ffff:a.b.c.d becomes a.b.c.d */

#endif
