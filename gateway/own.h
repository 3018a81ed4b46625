/* own.h - the gateway's own paths, answered off the loops. Include <uv.h> first.
 *
 * A request is copied into a job and answered by one of a few worker threads through the same
 * router, access rules and envelope as a data node's; what it costs (asking all nodes, say) stays
 * away from the loops. The answer goes back to the loop it came from. What has to ask others first
 * (stats, version) never takes the last worker, so that /health does not wait behind it.
 *
 * Threads: [server] workers of its own; submit on loops.
 * Owns:    jobs while they wait or run; a bounded queue.
 * Fails:   submit with false when the queue is full.
 */
#ifndef KT_GATEWAY_OWN_H
#define KT_GATEWAY_OWN_H

#include "gateway/loop.h"

struct kt_own_job {
    struct kt_own_job *next;
    struct kt_loop *loop;
    struct kt_exchange *exchange; /* NULL = nobody waits any more; the loop's */
    struct kt_buf head, body;     /* of the request, copied */
    char host[64];
    uint16_t port;
    char request_id[129];
    struct kt_str path; /* normalised; inside path_text */
    char path_text[1032];
    int64_t deadline_ms;
    bool deadline_given;
    bool slow; /* its handler asks others */
    /* The answer: status and header lines but Connection, then the body. */
    int status;
    bool close;
    struct kt_buf answer_head, answer_body;
};

struct kt_own_options {
    struct kt_loop_shared *shared;
    struct kt_loop *const *loops; /* for the counters; filled in before the first request */
    size_t loop_count;
    size_t workers;
    char node_id[KT_ID_LEN + 1], addr[KT_ADDR_MAX];
};

enum kt_status kt_own_start(const struct kt_own_options *options, struct kt_own **ret_own,
                            struct kt_error *err) KT_MUST_CHECK;
/* Copies the exchange's request. NULL when out of memory. */
struct kt_own_job *kt_own_job_new(struct kt_exchange *exchange);
void kt_own_job_free(struct kt_own_job **job);
/* Takes the job on success. */
bool kt_own_submit(struct kt_own *own, struct kt_own_job *job);
void kt_own_stop(struct kt_own **own);

#endif
