/* ask.h - single questions to the cluster beside the load: what there is, counters, values.
 *
 * Threads: one at a time per asker.
 * Owns:    the HTTP client and the last answer, whose JSON is borrowed until the next question.
 * Fails:   KT_UNAVAILABLE, KT_TIMEOUT … when no answer came; KT_BAD_GATEWAY when it is none of
 *          Kamaitachi's, or says no (its status and message are in the error).
 */
#ifndef KT_BENCH_ASK_H
#define KT_BENCH_ASK_H

#include "bench/target.h"
#include "http/client.h"
#include "json/read.h"

#define KT_PT_API "/kamaitachi/api/data/v1"
#define KT_PT_ANSWER_MAX ((size_t)64 << 20)

struct kt_ask {
    struct kt_http_client *client;
    struct kt_http_answer answer;
    struct kt_json *json;
    int64_t timeout_ms;
    char auth[1100]; /* "Authorization: Bearer …", "" = none */
};

enum kt_status kt_ask_init(struct kt_ask *ask, const char *token, double timeout_s,
                           struct kt_error *err) KT_MUST_CHECK;
void kt_ask_done(struct kt_ask *ask);
/* `url` is whole; a body makes it a POST. *ret_root is the envelope of a 200 with status_code 0. */
enum kt_status kt_ask(struct kt_ask *ask, const char *url, struct kt_str body,
                      const struct kt_json_value **ret_root, struct kt_error *err) KT_MUST_CHECK;
/* Any answer at all, unread. */
enum kt_status kt_ask_raw(struct kt_ask *ask, const char *method, const char *url,
                          struct kt_str body, struct kt_error *err) KT_MUST_CHECK;

#endif
