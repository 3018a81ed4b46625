/* rig.h - coords over an etcd of the test's own; each test has a prefix of its own.
 *
 * Threads: the main one; on_change is counted from the coords' threads.
 * Owns:    the shared etcd until the end of the program, the test's client of it between begin and
 *          end.
 * Fails:   begin returns false where etcd is not installed (the test is skipped then) or does not
 *          start; start returns false, the failure is told.
 */
#ifndef KT_TESTS_COORD_RIG_H
#define KT_TESTS_COORD_RIG_H

#include "coord/coord.h"
#include "etcd/real_etcd.h"
#include "kt_test.h"

extern struct real_etcd server;
extern struct kt_etcd *etcd; /* the test's own look at it */

struct node {
    struct kt_coord *coord;
    struct kt_service self;
    char prefix[64], key[400];
    int changes; /* atomic: calls of on_change */
};

bool begin(void);
void end(void);
void fill_self(struct node *node, const char *prefix, int number);
bool start_at(struct node *node, const char *endpoints, bool register_now);
bool start(struct node *node, const char *prefix, int number); /* at the shared etcd */

/* Waits for a view that `holds`; the last one looked at is handed back, counted; NULL: none did. */
typedef bool (*view_fn)(const struct kt_coord_view *view, const void *arg);
struct kt_coord_view *wait_view(struct node *node, view_fn holds, const void *arg,
                                int64_t timeout_ms);
bool holds_within(struct node *node, view_fn holds, const void *arg, int64_t timeout_ms);
bool is_registered(const struct kt_coord_view *view, const void *arg);
bool is_registered_elsewhere(const struct kt_coord_view *view, const void *lease);
bool is_registered_later(const struct kt_coord_view *view, const void *revision);
bool has_services(const struct kt_coord_view *view, const void *count);
bool leads(const struct kt_coord_view *view, const void *arg);
bool has_leader(const struct kt_coord_view *view, const void *wanted);
bool is_reachable(const struct kt_coord_view *view, const void *wanted);
bool has_config_version(const struct kt_coord_view *view, const void *version);
bool is_config_invalid(const struct kt_coord_view *view, const void *arg);

size_t keys_of(const char *key); /* 0 or 1; 99 when etcd does not answer */
void fill_config(struct kt_cluster_config *config, const struct node *node, uint64_t version);
enum kt_txn_outcome campaign(struct node *node, const struct kt_coord_view *view, uint64_t version);
/* main() of each program: runs its tests, then ends the shared etcd. */
int run_tests(const struct kt_test *tests, size_t count, int argc, char **argv);

#endif
