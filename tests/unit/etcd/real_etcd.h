/* real_etcd.h - an etcd of the test's own, in the test's directory, on free ports.
 *
 * Threads: one at a time.
 * Owns:    the process, ended by its id in real_etcd_stop.
 * Fails:   real_etcd_start skips the test (or fails it where etcd is required) and returns false.
 */
#ifndef KT_TESTS_ETCD_REAL_ETCD_H
#define KT_TESTS_ETCD_REAL_ETCD_H

#include "etcd/etcd.h"

#include <stdint.h>

struct real_etcd {
    long pid; /* 0 = not running */
    uint16_t client_port, peer_port;
    char endpoint[64];
    char dir[300];
    char certs[340];    /* where tests/certs.sh put them; "" = plain http */
    const char *served; /* "server", "expired" … of them */
    bool ask_clients;   /* for a certificate of the same authority */
};

bool real_etcd_start(struct real_etcd *etcd, const char *name);
/* Over https with one of the certificates in `certs`; skips the test too. */
bool real_etcd_start_tls(struct real_etcd *etcd, const char *name, const char *certs,
                         const char *served, bool ask_clients);
/* Makes the certificates in a directory of that name; the path in `dest`. */
bool real_etcd_certs(const char *name, char dest[340]);
/* Again on the same ports and data directory; waits until it answers. */
bool real_etcd_restart(struct real_etcd *etcd);
void real_etcd_kill(struct real_etcd *etcd);  /* SIGKILL, waited for */
void real_etcd_pause(struct real_etcd *etcd); /* SIGSTOP */
void real_etcd_resume(struct real_etcd *etcd);
void real_etcd_stop(struct real_etcd *etcd);
/* What the client has no call for: a POST to the JSON gateway; the answer's text into `dest`. */
bool real_etcd_post(const struct real_etcd *etcd, const char *path, const char *body, char *dest,
                    size_t size);

#endif
