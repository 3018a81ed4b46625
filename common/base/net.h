/* net.h - addresses, and the few socket calls that are ours.
 *
 * civetweb, libcurl and libuv own nearly all sockets; this is for parsing what people write as
 * addresses, for judging where a request came from, and for the gateway's accept thread.
 *
 * Threads: any.
 * Owns:    kt_net_listen's socket until kt_net_close.
 * Fails:   KT_BAD_VALUE on text that is no address; KT_IO with address and reason; KT_TIMEOUT.
 */
#ifndef KT_BASE_NET_H
#define KT_BASE_NET_H

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

#define KT_ADDR_MAX 272 /* "host:port" with NUL: 255 + [] + : + 5 digits */

/* "host", "host:port", "[v6]:port"; without a port *ret_port is default_port. The host is without
 * brackets, at most 255 bytes of letters, digits, '-', '.', '_' (or an IPv6 literal). */
enum kt_status kt_addr_parse(struct kt_str text, uint16_t default_port, char ret_host[256],
                             uint16_t *ret_port, struct kt_error *err) KT_MUST_CHECK;
/* "host:port" with brackets around an IPv6 literal. */
void kt_addr_format(const char *host, uint16_t port, char dest[KT_ADDR_MAX]);
bool kt_host_is_loopback(const char *host); /* localhost, 127.0.0.0/8, ::1, ::ffff:127.x */
/* Do the two hosts (names or literals) share an address? Resolves names: may block, so never on an
 * event loop. */
bool kt_host_same(const char *host_a, const char *host_b);

typedef intptr_t kt_socket;
#define KT_NO_SOCKET ((kt_socket)-1)
/* A listening TCP socket on a literal address ("0.0.0.0", "::", "127.0.0.1"); close-on-exec; on
 * Windows exclusive. *ret_port tells the port when 0 was asked for. KT_BUSY when it is taken: the
 * message then names the process that holds it, where the system tells. */
enum kt_status kt_net_listen(const char *host, uint16_t port, int backlog, kt_socket *ret_socket,
                             uint16_t *ret_port, struct kt_error *err) KT_MUST_CHECK;
/* Waits at most wait_ms for a connection: KT_TIMEOUT when none came. KT_BUSY: out of descriptors,
 * try again later. The accepted socket is non-blocking with TCP_NODELAY set; ret_peer gets the
 * peer's literal address. */
enum kt_status kt_net_accept(kt_socket listener, int64_t wait_ms, kt_socket *ret_socket,
                             char ret_peer[64], uint16_t *ret_peer_port,
                             struct kt_error *err) KT_MUST_CHECK;
void kt_net_close(kt_socket *socket);
/* Are there bytes to be read from a non-blocking socket? The end of the stream is none. */
bool kt_net_has_input(kt_socket socket);
/* Resolves a name to its first literal address (IPv4 preferred); blocks. */
enum kt_status kt_net_resolve(const char *host, char ret_literal[64],
                              struct kt_error *err) KT_MUST_CHECK;
/* CIDR lists such as "10.0.0.0/8, ::1/128" (bare addresses too). */
bool kt_cidr_list_valid(struct kt_str list);
bool kt_cidr_list_contains(struct kt_str list, const char *literal);

#endif
