/* etcd.h - a client of etcd's v3 JSON gateway: kv, txn, lease, watch.
 *
 * Works with etcd 3.4 to 3.6. What the gateway does and a reader of its protobuf would not expect
 * is handled here and nowhere else: keys and values in base64, int64 as strings, zero values absent
 * (`succeeded` missing = false, `TTL` missing = the lease is gone, event `type` missing = PUT),
 * errors as {"error","code","message"}, as {"code","message"} or as no JSON at all.
 *
 * With a user, a token is asked for first and carried in `Authorization`; a token that is refused
 * (etcd was restarted, its users were changed) is replaced and the call made again: a refused call
 * did nothing. Over https etcd's certificate is always verified, name and dates included.
 *
 * Endpoints are tried in turn from the last good one; a refused connection, UNAVAILABLE (14) and
 * DEADLINE_EXCEEDED (4) mean the next one. Reads and lease calls move on within the call's time;
 * a txn or a put without a lease is sent on a fresh connection and to one endpoint only unless
 * nothing can have been processed there.
 *
 * Threads: any; calls borrow an HTTP client from a small pool (mutex KT_RANK_ETCD, never held
 * across a call). A watch occupies its caller's thread. Owns:    connections. Results belong to the
 * caller (kt_etcd_list_done). Fails:   KT_UNAVAILABLE (no endpoint answered; nothing was done),
 * KT_OUTCOME_UNKNOWN (a txn, put or delete may have been done), KT_NOT_FOUND (lease gone),
 * KT_UNAUTHORIZED (user, password or token), KT_FORBIDDEN (the user's rights), KT_GONE (compacted),
 * KT_CORRUPT (an answer that is not etcd's), KT_BUSY (cancelled).
 */
#ifndef KT_ETCD_ETCD_H
#define KT_ETCD_ETCD_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

struct kt_etcd; /* opaque */

/* Who we are to etcd and whom we take for it. NULL and "" = not given. The strings are borrowed. */
struct kt_etcd_security {
    const char *user, *password;
    const char *ca_file;              /* PEM; not given: the system's */
    const char *cert_file, *key_file; /* PEM; key_file not given: it stands in cert_file */
};

struct kt_etcd_options {
    const char *endpoints;   /* "127.0.0.1:2379,http://b:2379"; http:// when there is no scheme */
    int64_t call_timeout_ms; /* one call to one endpoint; 1000 */
    const struct kt_etcd_security *security; /* NULL = none */
};

enum kt_status kt_etcd_new(const struct kt_etcd_options *options, struct kt_etcd **ret_etcd,
                           struct kt_error *err) KT_MUST_CHECK;
void kt_etcd_free(struct kt_etcd **etcd);
/* Ends calls and watches under way; later calls fail with KT_BUSY. For stopping. */
void kt_etcd_cancel(struct kt_etcd *etcd);
/* Checks the list's syntax alone, for the configuration. */
enum kt_status kt_etcd_endpoints_check(const char *endpoints, struct kt_error *err) KT_MUST_CHECK;
/* What goes together, and whether the files can be read, for the configuration; names the keys. */
enum kt_status kt_etcd_security_check(const char *endpoints,
                                      const struct kt_etcd_security *security,
                                      struct kt_error *err) KT_MUST_CHECK;

struct kt_etcd_kv {
    struct kt_str key, value; /* decoded; inside the list's memory */
    int64_t create_revision, mod_revision, lease;
};

struct kt_etcd_list {
    struct kt_etcd_kv *kvs;
    size_t count;
    int64_t revision; /* the store's, when it answered */
    uint64_t cluster_id;
    struct kt_buf memory; /* where keys and values live */
};
void kt_etcd_list_init(struct kt_etcd_list *list);
void kt_etcd_list_done(struct kt_etcd_list *list);

/* One key (prefix = false) or all that begin with it. Linearizable. */
enum kt_status kt_etcd_range(struct kt_etcd *etcd, struct kt_str key, bool prefix,
                             struct kt_etcd_list *ret_list, struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_put(struct kt_etcd *etcd, struct kt_str key, struct kt_str value,
                           int64_t lease, int64_t *ret_revision,
                           struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_delete(struct kt_etcd *etcd, struct kt_str key, bool prefix,
                              int64_t *ret_deleted, struct kt_error *err) KT_MUST_CHECK;

enum kt_etcd_target { KT_ETCD_CREATE_REVISION, KT_ETCD_MOD_REVISION, KT_ETCD_LEASE, KT_ETCD_VALUE };
struct kt_etcd_compare { /* equality; a revision of 0 = the key is absent */
    struct kt_str key;
    enum kt_etcd_target target;
    int64_t number;
    struct kt_str value; /* with KT_ETCD_VALUE */
};
enum kt_etcd_op_kind { KT_ETCD_OP_PUT, KT_ETCD_OP_DELETE };
struct kt_etcd_op {
    enum kt_etcd_op_kind kind;
    struct kt_str key, value;
    int64_t lease;
};
/* Always on a fresh connection, never sent twice. *ret_succeeded tells whether the compares held.
 */
enum kt_status kt_etcd_txn(struct kt_etcd *etcd, const struct kt_etcd_compare *compares,
                           size_t compare_count, const struct kt_etcd_op *ops, size_t op_count,
                           bool *ret_succeeded, int64_t *ret_revision,
                           struct kt_error *err) KT_MUST_CHECK;

/* *ret_ttl_s is what was granted: it may differ from what was asked. */
enum kt_status kt_etcd_lease_grant(struct kt_etcd *etcd, int64_t ttl_s, int64_t *ret_lease,
                                   int64_t *ret_ttl_s, struct kt_error *err) KT_MUST_CHECK;
/* KT_NOT_FOUND when the lease is gone. */
enum kt_status kt_etcd_lease_keepalive(struct kt_etcd *etcd, int64_t lease, int64_t *ret_ttl_s,
                                       struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_lease_revoke(struct kt_etcd *etcd, int64_t lease,
                                    struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_version(struct kt_etcd *etcd, char ret_version[32],
                               struct kt_error *err) KT_MUST_CHECK;

struct kt_etcd_event {
    bool is_delete;
    struct kt_etcd_kv kv; /* of a DELETE: key and mod_revision only */
};
struct kt_etcd_watch {
    struct kt_str prefix;
    int64_t start_revision;
    int64_t silence_ms; /* silent for so long: returns KT_TIMEOUT, to be checked by a read */
    int64_t total_ms;   /* ends with KT_OK after so long (the caller lists again); 0 = never */
    /* All events of one revision arrive in one call. False ends the watch (KT_OK). `created` is
     * called once etcd has confirmed the watch; may be NULL. */
    bool (*on_events)(void *ctx, const struct kt_etcd_event *events, size_t count,
                      int64_t revision);
    void (*on_created)(void *ctx, int64_t revision);
    void *ctx;
};
/* Blocks. KT_GONE: compacted or cancelled by the server, list again. KT_UNAUTHORIZED, KT_FORBIDDEN:
 * cancelled for who asks; a list says whether that still holds. KT_UNAVAILABLE/KT_BAD_GATEWAY:
 * the stream ended. KT_BUSY: kt_etcd_cancel. Start over from the last revision seen + 1 or from a
 * list; a timeout is no reason to move the start revision. */
enum kt_status kt_etcd_watch(struct kt_etcd *etcd, const struct kt_etcd_watch *watch,
                             struct kt_error *err) KT_MUST_CHECK;

/* The decoders, apart from the network, for golden bytes and fuzzing (etcd_decode.c). */
enum kt_status kt_etcd_decode_range(struct kt_str json, struct kt_etcd_list *ret_list,
                                    struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_decode_txn(struct kt_str json, bool *ret_succeeded, int64_t *ret_revision,
                                  struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_decode_lease(struct kt_str json, int64_t *ret_lease, int64_t *ret_ttl_s,
                                    struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_etcd_decode_token(struct kt_str json, struct kt_buf *ret_token,
                                    struct kt_error *err) KT_MUST_CHECK;
struct kt_etcd_watch_part {
    bool created, canceled;
    char cancel_reason[120]; /* "" = none given */
    int64_t compact_revision, revision;
    struct kt_etcd_event *events; /* in `memory` */
    size_t count;
    struct kt_buf memory;
};
void kt_etcd_watch_part_done(struct kt_etcd_watch_part *part);
enum kt_status kt_etcd_decode_watch(struct kt_str json, struct kt_etcd_watch_part *ret_part,
                                    struct kt_error *err) KT_MUST_CHECK;
/* Maps an error answer to a status: 14 and 4 -> KT_UNAVAILABLE, 5 -> KT_NOT_FOUND, 11 -> KT_GONE,
 * 16 -> KT_UNAUTHORIZED, 7 -> KT_FORBIDDEN, else KT_BAD_GATEWAY; what etcd says of its users under
 * other codes goes by its text (authentication switched off -> KT_NOT_SUPPORTED). */
enum kt_status kt_etcd_decode_error(int http_status, struct kt_str body, struct kt_error *err);
/* prefix -> range_end: last byte + 1, truncated there; all 0xff -> one zero byte (everything). */
void kt_etcd_range_end(struct kt_str prefix, struct kt_buf *ret_end);

#endif
