/* SPDX-License-Identifier: MIT */
/* The table. Its order is that of the .ini files and of docs/CONFIG.md. */
#include "node/config.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"
#include "coord/coord.h"
#include "etcd/etcd.h"

#include <string.h>

static enum kt_status check_endpoints(const char *value, struct kt_error *err)
{
    return value[0] ? kt_etcd_endpoints_check(value, err) : KT_OK;
}

static enum kt_status check_addr(const char *value, struct kt_error *err)
{
    char host[256];
    uint16_t port = 0;
    enum kt_status status = kt_addr_parse(kt_str(value), 1, host, &port, err);
    if (status == KT_OK && port == 0) {
        return kt_fail(err, KT_BAD_VALUE, "nobody can be reached at port 0");
    }
    return status;
}

static enum kt_status check_prefix(const char *value, struct kt_error *err)
{
    size_t len = strlen(value);
    if (value[0] != '/' || len < 2 || value[len - 1] == '/' ||
        !kt_is_visible_ascii(kt_str(value), 200)) {
        return kt_fail(err, KT_BAD_VALUE,
                       "must begin with '/', not end with it, and hold visible ASCII only");
    }
    return KT_OK;
}

static enum kt_status check_networks(const char *value, struct kt_error *err)
{
    if (!kt_cidr_list_valid(kt_str(value))) {
        return kt_fail(err, KT_BAD_VALUE,
                       "must be addresses and networks such as 10.0.0.0/8, ::1, by comma");
    }
    return KT_OK;
}

static enum kt_status check_name(const char *value, struct kt_error *err)
{
    if (!kt_is_visible_ascii(kt_str(value), 63) || strchr(value, '/')) {
        return kt_fail(err, KT_BAD_VALUE, "must be 1 to 63 visible ASCII characters without '/'");
    }
    return KT_OK;
}

#define AT(member) offsetof(struct kt_node_config, member)
#define MB (INT64_C(1) << 20)
#define GB (INT64_C(1) << 30)

static const struct kt_conf_key keys[] = {
    {"server", "port", KT_CONF_INT, AT(server.port), 1, 65535, "8080", "", NULL,
     "The port for HTTP. service_addr without a port uses it too.", NULL},
    {"server", "mode", KT_CONF_ENUM, AT(server.mode), 0, 0, "master", "", "master|slave",
     "The name of this process in its log. Who leads: [cluster] electable and priority.", NULL},
    {"server", "service_name", KT_CONF_STR, AT(server.service_name), 1, 63, "data", "", NULL,
     "The name under which this node registers: <prefix>/services/<service_name>/<addr>.",
     check_name},
    {"server", "service_addr", KT_CONF_STR, AT(server.service_addr), 1, 261, "127.0.0.1", "", NULL,
     "host or host:port at which the other processes reach this node.", check_addr},
    {"server", "listen", KT_CONF_STR, AT(server.listen), 0, 64, "", "", NULL,
     "The address to bind. Empty: 127.0.0.1 when service_addr is loopback, else every address.",
     NULL},
    {"server", "num_threads", KT_CONF_INT, AT(server.num_threads), 8, 4096, "512", "threads", NULL,
     "HTTP workers. Each open connection holds one: count gateways times their pools, followers, "
     "and direct clients.",
     NULL},
    {"server", "request_timeout_ms", KT_CONF_MS, AT(server.request_timeout_ms), 100, 60000, "30000",
     "ms", NULL, "The longest that a request may take in total. Imports are bounded by silence.",
     NULL},
    {"server", "keep_alive_ms", KT_CONF_MS, AT(server.keep_alive_ms), 1000, 600000, "30000", "ms",
     NULL, "A connection without a request is closed after so long; so is a silent body.", NULL},
    {"server", "first_byte_ms", KT_CONF_MS, AT(server.first_byte_ms), 100, 60000, "2000", "ms",
     NULL,
     "A new connection must have sent a whole head within this time; within a third of it while "
     "every "
     "worker is taken and others wait. So it is the longest that a flood keeps a request waiting.",
     NULL},
    {"server", "stop_grace_ms", KT_CONF_MS, AT(server.stop_grace_ms), 0, 600000, "30000", "ms",
     NULL, "How long requests under way may go on after SIGTERM.", NULL},
    {"log", "level", KT_CONF_ENUM, AT(log.level), 0, 0, "info", "", "debug|info|warn|error|off",
     "Lines below this level are not written. info is for changes of state only.", NULL},
    {"log", "format", KT_CONF_ENUM, AT(log.format), 0, 0, "text", "", "text|json",
     "One line per event on standard error, as text or as a JSON object.", NULL},
    {"log", "access", KT_CONF_BOOL, AT(log.access), 0, 0, "false", "", NULL,
     "Also one line per request.", NULL},
    {"store", "db", KT_CONF_STR, AT(store.db), 1, 900, "data/master.db", "", NULL,
     "The data file; the log stands beside it (X.log.db). Directories are made.", NULL},
    {"store", "read_connections", KT_CONF_INT, AT(store.read_connections), 1, 64, "4", "", NULL,
     "SQLite connections for reading.", NULL},
    {"cache", "max_bytes", KT_CONF_BYTES, AT(cache.max_bytes), 0, 1024 * GB, "256m", "bytes", NULL,
     "Memory for recently asked subjects. 0 reads every question from the database.", NULL},
    {"cache", "snapshot_path", KT_CONF_STR, AT(cache.snapshot_path), 0, 900, "", "", NULL,
     "Where the cache is to be saved. This version fills its cache from the database and saves "
     "none.",
     NULL},
    {"cache", "snapshot_interval", KT_CONF_INT, AT(cache.snapshot_interval), 0, 10080, "10",
     "minutes", NULL, "How often the cache is to be saved. Not used by this version.", NULL},
    {"etcd", "endpoints", KT_CONF_STR, AT(etcd.endpoints), 0, 1000, "127.0.0.1:2379", "", NULL,
     "Comma-separated etcd endpoints. Empty: standalone, a leader of itself without any etcd.",
     check_endpoints},
    {"etcd", "prefix", KT_CONF_STR, AT(etcd.prefix), 2, 200, "/kamaitachi", "", NULL,
     "All keys of one cluster stand below it.", check_prefix},
    {"etcd", "ttl", KT_CONF_INT, AT(etcd.ttl), 3, 60, "5", "s", NULL,
     "Lifetime of leases. Who founds the cluster decides; later nodes use the cluster's.", NULL},
    {"etcd", "user", KT_CONF_STR, AT(etcd.user), 0, 256, "", "", NULL,
     "etcd's user, when its authentication is on; it needs readwrite on the keys below prefix.",
     NULL},
    {"etcd", "password", KT_CONF_SECRET, AT(etcd.password), 0, 256, "", "", NULL,
     "The user's password. Over http:// it can be read on the way.", NULL},
    {"etcd", "ca_file", KT_CONF_STR, AT(etcd.ca_file), 0, 900, "", "", NULL,
     "PEM file with the authority that signed etcd's certificate. Empty: the system's. For "
     "https:// endpoints.",
     NULL},
    {"etcd", "cert_file", KT_CONF_STR, AT(etcd.cert_file), 0, 900, "", "", NULL,
     "PEM file with our own certificate, when etcd asks clients for one; without common name (CN) "
     "when etcd's users are on.",
     NULL},
    {"etcd", "key_file", KT_CONF_STR, AT(etcd.key_file), 0, 900, "", "", NULL,
     "PEM file with its key. Empty: it stands in cert_file.", NULL},
    {"cluster", "expect", KT_CONF_INT, AT(cluster.expect), 1, 64, "1", "nodes", NULL,
     "Data nodes that must be registered before empty ones found a cluster.", NULL},
    {"cluster", "electable", KT_CONF_BOOL, AT(cluster.electable), 0, 0, "true", "", NULL,
     "false: this node never leads, and no write waits for it.", NULL},
    {"cluster", "priority", KT_CONF_INT, AT(cluster.priority), -1000, 1000, "0", "", NULL,
     "Of several nodes that could lead the highest does; each gives those above it a moment.",
     NULL},
    {"cluster", "allow", KT_CONF_STR, AT(cluster.allow), 0, 1000, "", "", NULL,
     "Networks from which nodes without etcd may register: addresses or CIDRs, by comma. Others "
     "need what an operator needs.",
     check_networks},
    {"cluster", "register_with", KT_CONF_STR, AT(cluster.register_with), 0, 1000, "", "", NULL,
     "host:port of data nodes, by comma, through which to register when etcd can't be reached from "
     "here; [etcd] endpoints must be empty. Such a node never leads.",
     kt_coord_nodes_check},
    {"cluster", "secret", KT_CONF_SECRET, AT(cluster.secret), 0, 256, "", "", NULL,
     "Shared by all processes of the cluster; signs what they ask of each other.", NULL},
    {"replication", "lag_timeout", KT_CONF_MS, AT(replication.lag_timeout), 100, 60000, "1000",
     "ms", NULL,
     "A follower that is silent or behind for so long is no longer waited for by writes. Half of "
     "it bounds a follower's long poll.",
     NULL},
    {"replication", "min_in_sync", KT_CONF_INT, AT(replication.min_in_sync), 1, KT_MEMBERS_MAX, "1",
     "nodes", NULL,
     "Nodes, the leader included, that must have a write before it is acknowledged; with fewer "
     "there writes are refused. Who founds the cluster decides.",
     NULL},
    {"replication", "max_in_sync", KT_CONF_INT, AT(replication.max_in_sync), 1, KT_MEMBERS_MAX, "3",
     "nodes", NULL,
     "At most so many nodes, the leader included, are waited for by writes and may lead next; the "
     "others follow. At least min_in_sync.",
     NULL},
    {"replication", "log_keep_bytes", KT_CONF_BYTES, AT(replication.log_keep_bytes), MB, 1024 * GB,
     "256m", "bytes", NULL,
     "The log is cut when it is larger, oldest entries first. Who needs what was cut takes a full "
     "copy; /changes no longer reaches back there.",
     NULL},
    {"replication", "fetch_max_bytes", KT_CONF_BYTES, AT(replication.fetch_max_bytes), 65536,
     64 * MB, "4m", "bytes", NULL, "Asked for in one fetch; one larger entry comes nevertheless.",
     NULL},
    {"replication", "queue_max_bytes", KT_CONF_BYTES, AT(replication.queue_max_bytes), MB, 4 * GB,
     "64m", "bytes", NULL, "Writes that may wait for their turn; beyond, 503.", NULL},
    {"replication", "batch_max_bytes", KT_CONF_BYTES, AT(replication.batch_max_bytes), 65536,
     256 * MB, "4m", "bytes", NULL, "Writes made durable by one fsync.", NULL},
    {"auth", "admin_token", KT_CONF_SECRET, AT(auth.admin_token), 0, 256, "", "", NULL,
     "Bearer token for operators' paths. Empty: these answer to loopback only.", NULL},
    {"auth", "write_token", KT_CONF_SECRET, AT(auth.write_token), 0, 256, "", "", NULL,
     "Bearer token for writes. Empty: everybody may write.", NULL},
    {"limits", "body_bytes", KT_CONF_BYTES, AT(limits.body_bytes), 1024, GB, "16m", "bytes", NULL,
     "The largest request body that is read as a whole; imports are not bound by it.", NULL},
    {"limits", "body_memory_bytes", KT_CONF_BYTES, AT(limits.body_memory_bytes), 16 * MB, 1024 * GB,
     "1g", "bytes", NULL,
     "Memory for request bodies and lines of imports of more than 16k that are held and parsed at "
     "the same time, as estimated, and for answers and batches of imports of more than 256k. A "
     "request beyond it waits a second (an import five), then 503; one alone is always taken.",
     NULL},
    {"limits", "response_bytes", KT_CONF_BYTES, AT(limits.response_bytes), 65536, 4 * GB, "512m",
     "bytes", NULL, "The largest answer.", NULL},
    {"limits", "subjects", KT_CONF_INT, AT(limits.subjects), 1, 1000000, "10000", "", NULL,
     "Subjects named in one request.", NULL},
    {"limits", "records", KT_CONF_INT, AT(limits.records), 1, 1000000, "100000", "", NULL,
     "Records in one save.", NULL},
    {"limits", "values", KT_CONF_INT, AT(limits.values), 1, INT64_C(1000000000), "5000000", "",
     NULL, "Values in one answer.", NULL},
    {"limits", "indicators", KT_CONF_INT, AT(limits.indicators), 1, 65000, "4096", "", NULL,
     "Indicators of a cluster. Who founds it decides.", NULL},
    {"limits", "idempotency_keys", KT_CONF_INT, AT(limits.idempotency_keys), 1, 1000000, "1000000",
     "", NULL,
     "Requests with an Idempotency-Key that a cluster remembers for a day. Who founds it decides.",
     NULL},
    {"limits", "gzip_ratio", KT_CONF_INT, AT(limits.gzip_ratio), 10, 1100, "200", "times", NULL,
     "An import's gzip body of more than 16m, unpacked, may unpack to so many times its length. "
     "gzip "
     "can a thousand.",
     NULL},
    {"limits", "import_line_bytes", KT_CONF_BYTES, AT(limits.import_line_bytes), 4096, 256 * MB,
     "4m", "bytes", NULL, "The longest line of an import, quoted line ends included.", NULL},
    {"limits", "import_batch_records", KT_CONF_INT, AT(limits.import_batch_records), 1, 100000,
     "2000", "records", NULL, "Records that an import commits at a time.", NULL},
    {"limits", "import_batch_bytes", KT_CONF_BYTES, AT(limits.import_batch_bytes), 65536, 64 * MB,
     "1m", "bytes", NULL, "Bytes that an import commits at a time.", NULL},
    {"limits", "import_atomic_bytes", KT_CONF_BYTES, AT(limits.import_atomic_bytes), 65536, 64 * MB,
     "32m", "bytes", NULL,
     "The largest import with atomic=1, and the largest revision of a history, encoded.", NULL},
    {"limits", "import_spool_bytes", KT_CONF_BYTES, AT(limits.import_spool_bytes), 65536, 1024 * GB,
     "4g", "bytes", NULL,
     "The largest import that needs a temporary file, unpacked; the file lies beside the database.",
     NULL},
    {"limits", "exports", KT_CONF_INT, AT(limits.exports), 1, 64, "4", "", NULL,
     "Exports under way at once; beyond, 503. Each holds a worker and keeps the WAL from "
     "shrinking.",
     NULL},
    {"limits", "export_s", KT_CONF_INT, AT(limits.export_s), 1, 604800, "3600", "s", NULL,
     "The longest that one export may take; then its connection is broken.", NULL},
};

struct kt_etcd_security kt_node_etcd_security(const struct kt_node_config *config)
{
    return (struct kt_etcd_security){.user = config->etcd.user,
                                     .password = config->etcd.password,
                                     .ca_file = config->etcd.ca_file,
                                     .cert_file = config->etcd.cert_file,
                                     .key_file = config->etcd.key_file};
}

bool kt_node_is_standalone(const struct kt_node_config *config)
{
    return !config->etcd.endpoints[0] && !config->cluster.register_with[0];
}

enum kt_status kt_node_config_check(const struct kt_node_config *config, struct kt_error *err)
{
    struct kt_etcd_security security = kt_node_etcd_security(config);
    if (config->replication.min_in_sync > config->replication.max_in_sync) {
        return kt_fail(
            err, KT_BAD_VALUE, "[replication] min_in_sync is %lld, more than max_in_sync, %lld",
            (long long)config->replication.min_in_sync, (long long)config->replication.max_in_sync);
    }
    if (config->etcd.endpoints[0] && config->cluster.register_with[0]) {
        return kt_fail(err, KT_BAD_VALUE,
                       "[cluster] register_with is for nodes without etcd, but [etcd] endpoints is "
                       "set");
    }
    if (kt_node_is_standalone(config) && config->replication.min_in_sync > 1) {
        return kt_fail(
            err, KT_BAD_VALUE,
            "[replication] min_in_sync is %lld, but without [etcd] endpoints this node is "
            "alone",
            (long long)config->replication.min_in_sync);
    }
    return kt_etcd_security_check(config->etcd.endpoints, &security, err);
}

struct kt_conf_table kt_node_config_table(const char *program)
{
    struct kt_conf_table table = {program, keys, KT_ARRAY_LEN(keys), sizeof(struct kt_node_config)};
    return table;
}
