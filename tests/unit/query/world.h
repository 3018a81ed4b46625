/* world.h - a real store in a directory of its own, changes made by hand, questions asked as text.
 *
 * Threads: the test's own.
 * Owns:    the store, cache, builder and the last answer, until world_close.
 * Fails:   what only prepares a test aborts with a message; asking returns the status.
 */
#ifndef KT_TEST_QUERY_WORLD_H
#define KT_TEST_QUERY_WORLD_H

#include "query/query.h"
#include "store/store.h"

struct world {
    struct kt_store *store;
    struct kt_series_cache *cache;
    struct kt_change_builder *builder;
    struct kt_arena *arena;
    struct kt_query_env env;
    uint64_t seq; /* the newest revision; 1 is the epoch start */
    int64_t wall_ms;
    struct kt_http_response response;
    struct kt_error err;
};

/* The epoch start is stamped with start_ms; later commits with what they are given. */
void world_open(struct world *world, const char *name, int64_t start_ms);
/* The same with a cursor key all of whose bytes are `key`; world_open's is 0. */
void world_open_keyed(struct world *world, const char *name, int64_t start_ms, unsigned char key);
void world_close(struct world *world);
/* Another series cache of that many bytes; 0 keeps nothing. */
void world_set_cache(struct world *world, uint64_t max_bytes);

void world_subject(struct world *world, const char *key, const char *name, const char *category);
void world_stay(struct world *world, const char *key, const char *topic, int64_t from_s,
                int64_t to_s);
/* Replaces the tag by the values of a csv. */
void world_tag(struct world *world, const char *key, const char *name, const char *values);
/* data: "eps=1.5 rev=null"; declare, end_date and year may be NULL; declare and time are dates. */
void world_record(struct world *world, const char *subject, const char *time, const char *period,
                  const char *declare, const char *data);
void world_record_texts(struct world *world, const char *subject, const char *time,
                        const char *period, const char *end_date, const char *year,
                        const char *data);
/* Makes what was added one revision, stamped wall_ms; returns its number. */
uint64_t world_commit(struct world *world, int64_t wall_ms);
uint64_t world_commit_on(struct world *world, const char *date); /* at noon */

int64_t world_date(const char *date); /* seconds at 00:00:00 */
/* The answer's text, or "" with world->err filled. */
const char *world_snapshot(struct world *world, const char *body);
const char *world_period(struct world *world, const char *body);
/* "A B/5": the subjects of the snapshot's rows, and total; or the error's code and field. */
const char *world_rows(struct world *world, const char *body);
/* The same; the status. */
enum kt_status world_ask(struct world *world, bool period, const char *body);
/* The last answer's next_cursor, "" when it has none. */
const char *world_next(struct world *world);

/* The same for any of the questions. */
typedef enum kt_status (*world_query_fn)(const struct kt_query_env *env, struct kt_str body,
                                         struct kt_http_response *response, struct kt_error *err);
enum kt_status world_ask_of(struct world *world, world_query_fn query, const char *body);
const char *world_answer_of(struct world *world, world_query_fn query, const char *body);
const char *world_rows_of(struct world *world, world_query_fn query, const char *body);
/* The test fails unless the question is refused so and leaves nothing in the response. */
void world_check_refused(struct world *world, world_query_fn query, const char *body,
                         const char *code, const char *field);
/* Asks with the nth allocation failing, for each n until it works: no memory is the only failure,
 * and leaves nothing in the response. */
void world_check_memory(struct world *world, world_query_fn query, const char *body);
/* Asks after the deadline: KT_TIMEOUT. */
void world_check_deadline(struct world *world, world_query_fn query, const char *body);

#endif
