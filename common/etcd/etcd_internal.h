/* etcd_internal.h - what the client's files share: endpoints, the pool, and one call.
 *
 * A call is either repeatable (reads, leases, puts of a leased key: twice is as good as once) or
 * sent once. A repeatable call goes on to the next endpoint on any trouble; one that is sent once
 * goes on only when nothing can have been processed.
 *
 * Threads: any; the pool's mutex is never held across a call.
 * Owns:    the pool owns its HTTP clients; a borrowed slot goes back with kt_etcd_slot_return.
 * Fails:   as etcd.h says.
 */
#ifndef KT_ETCD_ETCD_INTERNAL_H
#define KT_ETCD_ETCD_INTERNAL_H

#include "base/mem.h"
#include "base/net.h"
#include "base/thread.h"
#include "etcd/etcd.h"
#include "http/client.h"
#include "json/read.h"

#define ETCD_ENDPOINTS_MAX 16
#define ETCD_URL_MAX (KT_ADDR_MAX + 16)
/* Everything below one prefix: 64 services of some KB each and a config of the same order. */
#define ETCD_ANSWER_MAX ((size_t)16 * 1024 * 1024)

struct etcd_slot {
    struct kt_http_client *client;
    struct etcd_slot *next;
    bool busy;
    struct kt_buf authorization; /* the header line with its NUL; empty = none */
    uint64_t token_number;       /* of the token in it; 0 = none */
};

struct etcd_endpoints {
    char urls[ETCD_ENDPOINTS_MAX][ETCD_URL_MAX]; /* "http://host:port" */
    size_t count;
};

struct kt_etcd {
    struct etcd_endpoints endpoints;
    int64_t call_timeout_ms;
    struct kt_etcd_security security;
    struct kt_mutex mutex;   /* what follows */
    struct etcd_slot *slots; /* idle and busy ones */
    size_t preferred;        /* where the next call begins */
    bool cancelled;
    struct kt_buf token;   /* empty: etcd asks for none */
    bool has_token;        /* what `token` says is believed to hold */
    uint64_t token_number; /* rises with each */
};

struct etcd_request {
    const char *method, *path;
    struct kt_str body;
    bool once; /* must not be processed twice */
};

enum kt_status kt_etcd_slot_borrow(struct kt_etcd *etcd, struct etcd_slot **ret_slot,
                                   struct kt_error *err) KT_MUST_CHECK;
void kt_etcd_slot_return(struct kt_etcd *etcd, struct etcd_slot *slot);
size_t kt_etcd_preferred(struct kt_etcd *etcd);
/* The endpoint answered, or did not: the next call begins there, or behind it. */
void kt_etcd_endpoint_good(struct kt_etcd *etcd, size_t index);
void kt_etcd_endpoint_bad(struct kt_etcd *etcd, size_t index);
/* An address that swallows packets must leave time for another endpoint; 0 = there is none. */
int64_t kt_etcd_connect_ms(const struct kt_etcd *etcd, int64_t timeout_ms);
/* etcd_auth.c. Makes the slot carry the token, asking this endpoint for one if none is known. */
enum kt_status kt_etcd_login(struct kt_etcd *etcd, struct etcd_slot *slot, size_t index,
                             int64_t timeout_ms, struct kt_error *err) KT_MUST_CHECK;
/* The next login asks for another token than this slot's. */
void kt_etcd_token_refused(struct kt_etcd *etcd, const struct etcd_slot *slot);
/* Puts certificates and the slot's token into a call; headers[0] is taken. */
void kt_etcd_secure(const struct kt_etcd *etcd, const struct etcd_slot *slot,
                    struct kt_http_call *call);
/* Adds to an error whose it is and, where an operator can do something, what. */
void kt_etcd_explain(const struct kt_etcd *etcd, size_t index, struct kt_error *err);
/* By etcd's words about users and tokens, whatever the code. */
enum kt_status kt_etcd_status_of_text(const char *text, enum kt_status otherwise);
enum kt_status kt_etcd_call(struct kt_etcd *etcd, const struct etcd_request *request,
                            struct kt_buf *ret_body, struct kt_error *err) KT_MUST_CHECK;

/* Building requests: "name":"<base64>" and "name":"<decimal>". */
void kt_etcd_put_bytes(struct kt_buf *buf, const char *name, struct kt_str bytes);
void kt_etcd_put_number(struct kt_buf *buf, const char *name, int64_t value);

/* Reading answers: an absent member is 0, "" or false. KT_CORRUPT when the type is another. */
enum kt_status kt_etcd_open(struct kt_str text, struct kt_json **ret_json,
                            const struct kt_json_value **ret_root,
                            struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_i64(const struct kt_json_value *object, const char *name, int64_t *ret_value,
                           struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_bool(const struct kt_json_value *object, const char *name, bool *ret_value,
                            struct kt_error *err) KT_MUST_CHECK;
/* header.revision */
enum kt_status kt_etcd_revision(const struct kt_json_value *answer, int64_t *ret_revision,
                                struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_read_kv(const struct kt_json_value *value, struct kt_buf *memory,
                               struct kt_etcd_kv *ret_kv, struct kt_error *err) KT_MUST_CHECK;
/* One block for an array of `count` items and the bytes decoded from a text of that length; the
 * array comes first, zeroed. Nothing in it moves afterwards. */
enum kt_status kt_etcd_reserve(struct kt_buf *memory, size_t count, size_t item_bytes,
                               size_t text_bytes, void **ret_items,
                               struct kt_error *err) KT_MUST_CHECK;

#endif
