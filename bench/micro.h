/* micro.h - what single operations are measured on, and their table.
 *
 *   microbench.c  flags, calibration, output
 *   micro_world.c stores with an invented market in them, requests, texts
 *   micro_ops.c   the operations
 *
 * Threads: one.
 * Owns:    the world everything that its operations use, until micro_world_close.
 * Fails:   micro_must ends the program: what prepares a measurement has to work.
 */
#ifndef KT_BENCH_MICRO_H
#define KT_BENCH_MICRO_H

#include "node/import.h"
#include "query/query.h"
#include "store/store.h"

#define MICRO_QUARTERS 16
#define MICRO_INDICATORS 6
#define MICRO_TOPIC "stock_a_listing_pool"
#define MICRO_DOUBLES 1024
#define MICRO_CSV_LINES 1000
#define MICRO_SPREAD 20 /* entries of one call, each of another subject */

struct micro_world {
    struct kt_store *store;  /* the market */
    struct kt_store *writes; /* a store that operations write to */
    uint64_t seq, writes_seq;
    size_t subjects;
    struct kt_catalogue *view;
    struct kt_series_cache *cache, *small_cache; /* all subjects; a tenth of them */
    struct kt_query_env env;
    struct kt_arena *arena;
    struct kt_http_response response;
    struct kt_change_builder *builder;
    struct kt_buf change, one_change, encoded, out; /* of a hundred records; of one; scratch */
    struct kt_buf csv, save, few, wide, topic, period;
    struct kt_buf spread; /* a change of one record for each subject, encoded */
    size_t *spread_ends;  /* of each within it */
    double doubles[MICRO_DOUBLES];
    struct kt_import_options *import_options;
    struct kt_import_report *report;
    uint64_t random;
    uint64_t sink; /* results go here, so that nothing is left out as unused */
};

struct micro_op {
    const char *name, *what;
    void (*run)(struct micro_world *world, uint64_t times);
    /* Bytes that one operation reads or makes, after it ran; NULL = none worth naming. */
    size_t (*bytes)(const struct micro_world *world);
    uint64_t counted; /* how often under callgrind; 0 = not there (it waits for the disk) */
};

extern const struct micro_op micro_ops[];
extern const size_t micro_op_count;

void micro_must(enum kt_status status, const struct kt_error *err, const char *what);
void micro_world_open(struct micro_world *world, const char *folder, size_t subjects);
/* Removes its files too. */
void micro_world_close(struct micro_world *world, const char *folder);
/* A record of the invented market; strings and values borrow from static storage until the next
 * call. */
struct kt_change_record micro_record(struct micro_world *world, size_t subject, size_t quarter);

#endif
