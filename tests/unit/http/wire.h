/* wire.h - raw bytes to and from the server under test, and a server with handlers for tests.
 *
 * Threads: one at a time per wire; the gate of /gate is opened from any.
 * Owns:    a wire its socket; the world its server.
 * Fails:   false or NULL; every wait ends after WIRE_WAIT_MS.
 */
#ifndef KT_TEST_HTTP_WIRE_H
#define KT_TEST_HTTP_WIRE_H

#include "http/server.h"

#include <stdatomic.h>

#define WIRE_WAIT_MS 10000

struct wire {
    int fd;
    char *data; /* received and not yet taken */
    size_t len, cap;
    bool ended; /* the server has closed */
    bool reset; /* … by a reset */
};

struct wire_answer {
    int status;
    char head[16384]; /* status line and headers, NUL-terminated */
    char *body;
    size_t body_len;
    bool whole; /* framed to its end */
};

bool wire_open(struct wire *wire, uint16_t port);
void wire_close(struct wire *wire);
bool wire_send(struct wire *wire, const void *data, size_t len);
bool wire_text(struct wire *wire, const char *text);
bool wire_finish(struct wire *wire); /* we send no more, but still read */
/* One answer, 100 Continue included. `to_head`: it answers a HEAD, so no body follows. */
bool wire_answer(struct wire *wire, struct wire_answer *answer, bool to_head);
void wire_answer_free(struct wire_answer *answer);
/* Value of a header of the answer, "" when absent; storage of the thread. */
const char *wire_header(const struct wire_answer *answer, const char *name);
/* Waits for the end of the connection. */
bool wire_ends(struct wire *wire, int64_t wait_ms);
/* Sends all, closes our side, reads to the end: the status of the first answer, 0 = none. */
int wire_once(uint16_t port, const char *text, struct wire_answer *answer);

extern struct kt_http_server_options world_options; /* changed before world_start */
extern struct kt_http_server *world;
extern atomic_int world_gated;   /* requests that wait at /gate */
extern atomic_bool world_gate;   /* open */
extern atomic_int world_done;    /* streams released */
extern atomic_int world_handled; /* handlers run */
extern atomic_int world_pulled;  /* status with which /pull ended */
void world_defaults(void);
bool world_start(void);
void world_stop(void);

#endif
