/* config.h - what a data node can be told: the table behind conf/master.ini and conf/slave.ini.
 *
 * Threads: filled on one thread before anything starts; read-only afterwards.
 * Owns:    strings, freed by kt_conf_done.
 * Fails:   see conf/conf.h.
 */
#ifndef KT_NODE_CONFIG_H
#define KT_NODE_CONFIG_H

#include "conf/conf.h"
#include "etcd/etcd.h"

enum kt_node_mode { KT_MODE_MASTER, KT_MODE_SLAVE };

struct kt_node_config {
    struct {
        int64_t port, num_threads, request_timeout_ms, keep_alive_ms, first_byte_ms, stop_grace_ms;
        int mode;
        char *service_name, *service_addr, *listen;
    } server;
    struct {
        int level, format;
        bool access;
    } log;
    struct {
        char *db;
        int64_t read_connections;
    } store;
    struct {
        int64_t max_bytes, snapshot_interval;
        char *snapshot_path;
    } cache;
    struct {
        char *endpoints, *prefix, *user, *password, *ca_file, *cert_file, *key_file;
        int64_t ttl;
    } etcd;
    struct {
        int64_t expect, priority;
        bool electable;
        char *allow, *register_with, *secret;
    } cluster;
    struct {
        int64_t lag_timeout, min_in_sync, max_in_sync, log_keep_bytes;
        int64_t fetch_max_bytes, queue_max_bytes, batch_max_bytes;
    } replication;
    struct {
        char *admin_token, *write_token;
    } auth;
    struct {
        int64_t body_bytes, body_memory_bytes, response_bytes, subjects, records, values,
            indicators;
        int64_t idempotency_keys;
        int64_t gzip_ratio, import_line_bytes, import_batch_records, import_batch_bytes;
        int64_t import_atomic_bytes, import_spool_bytes, exports, export_s;
    } limits;
};

/* The same keys for every data node; the name decides which .ini is read without -config. */
struct kt_conf_table kt_node_config_table(const char *program);

/* Neither etcd nor nodes to register with. */
bool kt_node_is_standalone(const struct kt_node_config *config);
/* What no key alone can tell: KT_BAD_VALUE naming the keys. */
enum kt_status kt_node_config_check(const struct kt_node_config *config,
                                    struct kt_error *err) KT_MUST_CHECK;
/* Borrows the strings of `config`. */
struct kt_etcd_security kt_node_etcd_security(const struct kt_node_config *config);

struct kt_node_program {
    const char *name; /* "master" or "slave": conf/<name>.ini, and the default mode */
    const struct kt_conf_preset *presets;
    size_t preset_count;
};

#endif
