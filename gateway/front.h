/* front.h - the listening socket and the thread that accepts. Include <uv.h> first.
 *
 * One thread accepts and hands sockets to the loops in turn: an accepted uv handle could not change
 * loops on Windows, a socket can.
 *
 * Threads: one of its own.
 * Owns:    the listening socket.
 * Fails:   start with KT_BUSY when the port is taken.
 */
#ifndef KT_GATEWAY_FRONT_H
#define KT_GATEWAY_FRONT_H

#include "gateway/loop.h"

struct kt_front; /* opaque */

/* Binds; connections wait in the kernel until kt_front_start. */
enum kt_status kt_front_open(const char *listen, uint16_t port, struct kt_front **ret_front,
                             struct kt_error *err) KT_MUST_CHECK;
uint16_t kt_front_port(const struct kt_front *front);
enum kt_status kt_front_start(struct kt_front *front, struct kt_loop_shared *shared,
                              struct kt_loop *const *loops, struct kt_error *err) KT_MUST_CHECK;
/* Accepts no more, and waits until the thread has ended. */
void kt_front_close(struct kt_front **front);

#endif
