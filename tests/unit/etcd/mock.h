/* mock.h - an HTTP server that answers with given bytes and misbehaves on purpose.
 *
 * Each connection has a thread; each request on it is handed to the test's function, which sends
 * what it likes and says whether the connection stays open. Connections and requests are counted.
 *
 * Threads: the answer function runs on the connections' threads, several at a time; it reports
 *          through atomics and makes no checks.
 * Owns:    its threads and sockets until mock_stop.
 * Fails:   mock_start returns false when no port is to be had.
 */
#ifndef KT_TESTS_ETCD_MOCK_H
#define KT_TESTS_ETCD_MOCK_H

#include "base/buf.h"
#include "base/net.h"
#include "base/thread.h"

#define MOCK_CONNECTIONS_MAX 32

struct mock;
struct mock_conn {
    struct mock *mock;
    struct kt_thread thread;
    kt_socket socket;
    int index;    /* 0 for the first connection */
    int requests; /* this one included */
    bool broken;
    int over;         /* atomic: the slot can be used again */
    char text[65536]; /* not of our heap: its failures are injected by tests */
    size_t len;
};
struct mock_request {
    char path[128];
    char authorization[128]; /* "" = none */
    struct kt_str body;
    int number; /* over all connections, from 1 */
};
/* False closes the connection. */
typedef bool (*mock_fn)(struct mock_conn *conn, const struct mock_request *request, void *ctx);

struct mock {
    kt_socket listener;
    uint16_t port;
    char endpoint[64]; /* "127.0.0.1:port" */
    mock_fn fn;
    void *ctx;
    int stop;                  /* atomic */
    int connections, requests; /* atomic */
    struct kt_thread thread;
    struct mock_conn conns[MOCK_CONNECTIONS_MAX];
};

bool mock_start(struct mock *mock, mock_fn fn, void *ctx);
void mock_stop(struct mock *mock);
void mock_send(struct mock_conn *conn, const char *text);
void mock_json(struct mock_conn *conn, int status, const char *body);
void mock_stream(struct mock_conn *conn); /* the head of a chunked answer */
void mock_chunk(struct mock_conn *conn, struct kt_str bytes);
/* Sleeps until the mock stops, the peer is gone or so many ms have passed. */
void mock_hold(struct mock_conn *conn, int64_t ms);

#endif
