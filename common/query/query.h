/* query.h - snapshot and period: parse, plan, run, write.
 *
 * A question is parsed strictly (every field of the contract, unknown ones refused), planned
 * against one view of the catalogue, and run over the series of the subjects it picked. Everything
 * in an answer speaks of the view's revision.
 *
 * Where the contract leaves a choice: an empty list (ids, subjects, periods) counts as absent; an
 * empty string is no name (topic, field: KT_BAD_VALUE); periods as an array may hold "", the period
 * of records without one; period's `limit` 0 is really all, more than 10000 is refused.
 *
 * Threads: any; one env per request.
 * Owns:    nothing beyond the call.
 * Fails:   KT_BAD_VALUE / KT_UNKNOWN_FIELD naming the field, KT_TOO_LARGE (answer beyond the
 *          limit), KT_UNAVAILABLE (recorded_by or a cursor's revision not yet held by this node),
 *          KT_GONE (a cursor under a replaced key), KT_BUSY (see kt_query_env.erased), KT_TIMEOUT,
 *          store faults. On failure the
 *          response is untouched.
 */
#ifndef KT_QUERY_QUERY_H
#define KT_QUERY_QUERY_H

#include "cache/series_cache.h"
#include "http/message.h"
#include "json/read.h"

/* What a period by date may take: some 70 bytes a row beside the answer. */
#define KT_QUERY_ROWS_MAX (INT64_C(1) << 20)

struct kt_query_limits {
    int64_t max_subjects; /* named in a request: 10000 */
    int64_t max_values;   /* in an answer: KT_TOO_LARGE beyond */
    int64_t max_rows;     /* that meet in a period by date: KT_TOO_LARGE beyond */
    int json_depth;       /* 16 */
};

struct kt_query_env {
    struct kt_store *store;
    struct kt_series_cache *cache;
    struct kt_query_limits limits;
    int64_t now_wall_ms; /* taken once per request */
    int64_t deadline_mono_ms;
    /* Waits until this node certainly holds everything the leader stamped up to wall_ms (or
     * revision `seq` when wall_ms is 0): KT_OK, KT_UNAVAILABLE at the deadline, KT_BAD_VALUE for a
     * revision beyond the newest. NULL = the node holds everything that it has applied. */
    enum kt_status (*hold)(void *ctx, uint64_t seq, int64_t wall_ms, int64_t deadline_mono_ms,
                           struct kt_error *err);
    void *hold_ctx;
    /* Set when an answer failed, or an entry of a batch, since records were deleted while it was
     * made: asked again it sees them gone. May be NULL. */
    bool *erased;
};

/* POST …/data/v1/snapshot and …/period: body in, the whole envelope into response->body, and the
 * view's revision as X-Kamaitachi-Revision. */
enum kt_status kt_query_snapshot(const struct kt_query_env *env, struct kt_str body,
                                 struct kt_http_response *response,
                                 struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_query_period(const struct kt_query_env *env, struct kt_str body,
                               struct kt_http_response *response,
                               struct kt_error *err) KT_MUST_CHECK;
/* POST …/selection/v1/snapshot: as snapshot, of the subjects that `selection` picks. */
enum kt_status kt_query_selection_snapshot(const struct kt_query_env *env, struct kt_str body,
                                           struct kt_http_response *response,
                                           struct kt_error *err) KT_MUST_CHECK;
/* POST …/selection/v1/period: an object of dates (the rows' end_date, ascending by bytes), each
 * with
 * `{"subject":…,"data":row}` sorted by field and order, offset and limit counted on each date. */
enum kt_status kt_query_selection_period(const struct kt_query_env *env, struct kt_str body,
                                         struct kt_http_response *response,
                                         struct kt_error *err) KT_MUST_CHECK;
/* POST …/data/v1/batch: up to KT_QUERY_BATCH_MAX of the above, all at one view. A question that
 * fails has its error in its place; what fails the batch is its own form, and an answer that has no
 * room even for errors. */
#define KT_QUERY_BATCH_MAX 100
enum kt_status kt_query_batch(const struct kt_query_env *env, struct kt_str body,
                              struct kt_http_response *response,
                              struct kt_error *err) KT_MUST_CHECK;
/* POST …/data/v1/subjects, topics, indicators: what there is, by key, a page at a time (listing.c).
 */
enum kt_status kt_query_subjects(const struct kt_query_env *env, struct kt_str body,
                                 struct kt_http_response *response,
                                 struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_query_topics(const struct kt_query_env *env, struct kt_str body,
                               struct kt_http_response *response,
                               struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_query_indicators(const struct kt_query_env *env, struct kt_str body,
                                   struct kt_http_response *response,
                                   struct kt_error *err) KT_MUST_CHECK;
/* GET …?ids=…&limit=5: the query string as the JSON body that says the same (params.c). Digits
 * become numbers where the field is one; everything else stays text, which those above judge;
 * `selection.topic=…` and its kin are members of an object. */
enum kt_status kt_query_body_of_params(const struct kt_http_request *request,
                                       struct kt_buf *ret_body, struct kt_error *err) KT_MUST_CHECK;

/* Field rules shared with writes (fields.c). */
/* A list: an array of strings, or a csv string split at commas and trimmed. Keys are names
 * of 1..128 bytes. The strings live in the document or in `arena`. An empty array and a blank csv
 * are present with no items; more than max_items are KT_TOO_LARGE. */
enum kt_status kt_field_list(struct kt_json_fields *fields, const char *name, size_t max_items,
                             struct kt_arena *arena, struct kt_str **ret_items, size_t *ret_count,
                             bool *ret_present, struct kt_error *err) KT_MUST_CHECK;
/* The same, but an array may hold "": periods. */
enum kt_status kt_field_texts(struct kt_json_fields *fields, const char *name, size_t max_items,
                              struct kt_arena *arena, struct kt_str **ret_items, size_t *ret_count,
                              bool *ret_present, struct kt_error *err) KT_MUST_CHECK;
enum kt_time_rule { KT_TIME_STORED, KT_TIME_LOWER, KT_TIME_UPPER };
/* A number of seconds, digits in a string, or "YYYY-MM-DD". STORED: a date is 00:00:00. LOWER: a
 * date is 00:00:00, UPPER: 23:59:59; for both the number 0 counts as absent (not the string
 * "1970-01-01"). */
enum kt_status kt_field_time(struct kt_json_fields *fields, const char *name,
                             enum kt_time_rule rule, int64_t *ret_time_s, bool *ret_present,
                             struct kt_error *err) KT_MUST_CHECK;
/* The same for a text that stands alone (a csv cell, a query parameter). */
enum kt_status kt_time_parse_text(struct kt_str text, enum kt_time_rule rule, const char *field,
                                  int64_t *ret_time_s, bool *ret_is_zero_number,
                                  struct kt_error *err) KT_MUST_CHECK;
/* Indicator keys: valid names that are not one of the reserved words (subject name time …). */
bool kt_indicator_name_ok(struct kt_str key);

#endif
