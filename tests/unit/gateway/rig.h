/* rig.h - a whole gateway in this process, between clients and data nodes that a test plays itself.
 * Include <uv.h> first.
 *
 * The gateway runs on its own threads as ever; nodes and clients live on one loop that only turns
 * inside of rig_wait. A node answers /health by itself and gives everything else to the test's
 * handler as raw head and body; what the handler writes goes out byte for byte.
 *
 * Threads: the test's main thread.
 * Owns:    everything, until rig_stop.
 * Fails:   rig_start and rig_node_add through kt_test_fail.
 */
#ifndef KT_TESTS_GATEWAY_RIG_H
#define KT_TESTS_GATEWAY_RIG_H

#include "gateway/gateway.h"
#include "gateway/parser.h"

#define RIG_NODES_MAX 4
#define RIG_WAIT_MS 10000

struct rig;
struct rig_node;

/* A connection that the gateway made to a node. */
struct rig_link {
    uv_tcp_t tcp;
    struct rig_node *node;
    struct kt_buf in;
    struct rig_link *next;
    bool closed;
    bool reading_body; /* the handler was already called for the present request */
};

struct rig_request {
    struct rig_link *link;
    struct kt_str head; /* raw, with the empty line */
    struct kt_h1_request parsed;
    struct kt_str body; /* whole, chunks taken apart */
    unsigned number;    /* 1 = the node's first */
};

struct rig_node {
    struct rig *rig;
    uv_tcp_t server;
    struct kt_coord *coord;
    char id[KT_ID_LEN + 1], addr[KT_ADDR_MAX];
    uint16_t port;
    struct rig_link *links;
    unsigned requests, links_made, probes;
    int health;         /* status it answers probes with; 0 = none */
    unsigned revision;  /* that its probes tell */
    bool early;         /* call the handler when the head is there, without waiting for the body */
    uint64_t raw_bytes; /* received behind the head of an early request */
    bool deaf;          /* reads nothing more: early requests only */
    bool listening;
    void (*handler)(struct rig_node *node, const struct rig_request *request);
    const char *text; /* what the standard handler answers as its body */
    struct kt_buf last_head, last_body;
};

struct rig_client {
    uv_tcp_t tcp;
    struct rig *rig;
    struct kt_buf in;
    bool connected, ended, closed;
    uint64_t queued_bytes;
    bool paused;
};

struct rig {
    uv_loop_t loop;
    uv_timer_t pulse;
    struct kt_gateway_config config;
    struct kt_conf conf;
    struct kt_coord_fake *fake;
    struct kt_gateway *gateway;
    struct rig_node nodes[RIG_NODES_MAX];
    size_t node_count;
    bool started;
    const char *hint;      /* whom rig_not_me names */
    struct rig_link *kept; /* of the newest request that rig_keep_link took */
};

/* settings: "section.key=value", NULL at the end. Unless they say otherwise nobody waits for a
 * leader for longer than a millisecond. False when it failed. */
bool rig_start(struct rig *rig, const char *const *settings);
void rig_stop(struct rig *rig);
/* Listens and registers; `text` is the body of the standard answer. */
struct rig_node *rig_node_add(struct rig *rig, const char *text);
void rig_node_unlisten(struct rig_node *node); /* refuses connections, closes those it has */
void rig_node_unregister(struct rig_node *node);
/* NULL = nobody. Returns when all loops know it. */
bool rig_lead(struct rig *rig, const struct rig_node *node);

/* Turns the loop until the condition holds. False (and the test fails) at the deadline. */
bool rig_wait(struct rig *rig, bool (*condition)(void *ctx), void *ctx, const char *what);
/* Until all registered nodes take traffic. */
bool rig_wait_up(struct rig *rig, size_t count);
void rig_turn(struct rig *rig, int64_t ms);

void rig_reply(const struct rig_request *request, const char *raw);
/* Handlers: no answer, an end without one, 421 with the leader's address, an answer by the test. */
void rig_stay_silent(struct rig_node *node, const struct rig_request *request);
void rig_hang_up(struct rig_node *node, const struct rig_request *request);
void rig_not_me(struct rig_node *node, const struct rig_request *request);
void rig_keep_link(struct rig_node *node, const struct rig_request *request);
bool rig_wait_kept(struct rig *rig); /* until there is one */
void rig_link_write(struct rig_link *link, const void *data, size_t len);
void rig_link_close(struct rig_link *link);
void rig_link_resume(struct rig_link *link); /* a deaf node reads again */
void rig_link_shutdown(struct rig_link *link);

struct rig_answer {
    int status;
    struct kt_buf head, body;
    struct kt_h1_response parsed; /* slices of head */
};
void rig_answer_init(struct rig_answer *answer);
void rig_answer_done(struct rig_answer *answer);
struct kt_str rig_answer_header(const struct rig_answer *answer, const char *name);

bool rig_client_open(struct rig *rig, struct rig_client *client);
void rig_client_send(struct rig_client *client, const char *text);
void rig_client_send_n(struct rig_client *client, const void *data, size_t len);
/* Waits for one whole answer and takes it out of the client's input. */
bool rig_client_take(struct rig_client *client, struct rig_answer *ret_answer, bool to_head);
bool rig_client_wait_end(struct rig_client *client);
void rig_client_pause(struct rig_client *client, bool pause);
void rig_client_shutdown(struct rig_client *client);
void rig_client_close(struct rig_client *client);
/* Closes as a process that dies does: the gateway is not left to think that it still reads. */
void rig_client_reset(struct rig_client *client);
/* A connection for one request. */
bool rig_call(struct rig *rig, const char *raw, struct rig_answer *ret_answer);

#endif
