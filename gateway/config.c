/* SPDX-License-Identifier: MIT */
/* config.c - the gateway's configuration table: parser, checks and docs come from it. */
#include "gateway/config.h"

#include "base/mem.h"
#include "etcd/etcd.h"

#define AT(field) offsetof(struct kt_gateway_config, field)
#define INT(section, key, field, min, max, preset, unit, text)                                     \
    {                                                                                              \
        section, key, KT_CONF_INT, AT(field), min, max, preset, unit, NULL, text, NULL             \
    }
#define MS(section, key, field, min, max, preset, text)                                            \
    {                                                                                              \
        section, key, KT_CONF_MS, AT(field), min, max, preset, "ms", NULL, text, NULL              \
    }
#define BYTES(section, key, field, min, max, preset, text)                                         \
    {                                                                                              \
        section, key, KT_CONF_BYTES, AT(field), min, max, preset, "bytes", NULL, text, NULL        \
    }
#define STR(section, key, field, min, max, preset, text, check)                                    \
    {                                                                                              \
        section, key, KT_CONF_STR, AT(field), min, max, preset, "", NULL, text, check              \
    }
#define SECRET(section, key, field, text)                                                          \
    {                                                                                              \
        section, key, KT_CONF_SECRET, AT(field), 0, 256, "", "", NULL, text, NULL                  \
    }
#define ENUM(section, key, field, preset, choices, text)                                           \
    {                                                                                              \
        section, key, KT_CONF_ENUM, AT(field), 0, 0, preset, "", choices, text, NULL               \
    }
#define BOOL(section, key, field, preset, text)                                                    \
    {                                                                                              \
        section, key, KT_CONF_BOOL, AT(field), 0, 0, preset, "", NULL, text, NULL                  \
    }

static enum kt_status check_addr(const char *value, struct kt_error *err)
{
    char host[256];
    uint16_t port;

    return kt_addr_parse(kt_str(value), 1, host, &port, err);
}

static enum kt_status check_listen(const char *value, struct kt_error *err)
{
    return value[0] == '\0' ? KT_OK : check_addr(value, err);
}

static enum kt_status check_name(const char *value, struct kt_error *err)
{
    for (const char *pos = value; *pos; pos++) {
        if (*pos == '/') {
            return kt_fail(err, KT_BAD_VALUE, "a name without '/'");
        }
    }
    return KT_OK;
}

static enum kt_status check_prefix(const char *value, struct kt_error *err)
{
    struct kt_str prefix = kt_str(value);

    if (prefix.len < 2 || prefix.data[0] != '/' || prefix.data[prefix.len - 1] == '/') {
        return kt_fail(err, KT_BAD_VALUE, "a prefix begins with '/' and does not end with it");
    }
    return KT_OK;
}

static enum kt_status check_networks(const char *value, struct kt_error *err)
{
    if (value[0] == '\0' || kt_cidr_list_valid(kt_str(value))) {
        return KT_OK;
    }
    return kt_fail(err, KT_BAD_VALUE, "addresses or CIDRs, by comma");
}

static enum kt_status check_endpoints(const char *value, struct kt_error *err)
{
    return value[0] == '\0' ? KT_OK : kt_etcd_endpoints_check(value, err);
}

#define HOUR_MS 3600000

static const struct kt_conf_key keys[] = {
    INT("server", "port", port, 0, 65535, "9000", "",
        "TCP port clients connect to; 0 = any free one."),
    ENUM("server", "mode", mode, "gateway", "gateway",
         "What this process is; the other modes are those of data nodes."),
    STR("server", "service_name", service_name, 1, 63, "gateway",
        "Name under which the gateway registers itself in etcd.", check_name),
    STR("server", "service_addr", service_addr, 1, 271, "127.0.0.1",
        "Address others reach this gateway at, host or host:port; without a port, port is added.",
        check_addr),
    STR("server", "listen", listen, 0, 64, "",
        "Literal address to bind. Empty: 127.0.0.1 when service_addr is loopback, else 0.0.0.0.",
        check_listen),
    INT("server", "loops", loops, 0, 64, "0", "",
        "Event loops that serve clients, each on a thread of its own; 0 = one per core."),
    INT("server", "workers", workers, 1, 64, "4", "",
        "Threads that answer the gateway's own paths, off the loops."),
    INT("server", "max_connections", max_connections, 1, 1000000, "10000", "",
        "Client connections at a time, each with up to 64 KB of buffer. Beyond it those that wait "
        "for a request the longest are closed, and a new one is answered 503 when none does. Fewer "
        "when the system allows fewer open files."),
    MS("server", "head_timeout_ms", head_timeout_ms, 100, HOUR_MS, "15000",
       "Time a client has to send a request's head, from its first byte or from connecting."),
    MS("server", "idle_timeout_ms", idle_timeout_ms, 100, HOUR_MS, "60000",
       "A connection without a request for so long is closed."),
    MS("server", "drain_ms", drain_ms, 0, HOUR_MS, "10000",
       "On stop, time that running requests have to finish."),
    ENUM("log", "level", log_level, "info", "debug|info|warn|error|off",
         "What is logged to standard error: this level and above."),
    ENUM("log", "format", log_format, "text", "text|json", "One line of text or one JSON object."),
    BOOL("log", "access", log_access, "false", "One line per request."),
    STR("etcd", "endpoints", etcd_endpoints, 0, 1024, "127.0.0.1:2379",
        "etcd's addresses, separated by commas; http:// may be left out.", check_endpoints),
    STR("etcd", "prefix", etcd_prefix, 2, 200, "/kamaitachi",
        "Prefix of this cluster's keys; alike on every node and gateway.", check_prefix),
    INT("etcd", "ttl", etcd_ttl_s, 3, 60, "5", "s",
        "Lease of the gateway's own key until the cluster's configuration says otherwise."),
    STR("etcd", "user", etcd_user, 0, 256, "",
        "etcd's user, when its authentication is on; it needs readwrite on the keys below prefix.",
        NULL),
    SECRET("etcd", "password", etcd_password,
           "The user's password. Over http:// it can be read on the way."),
    STR("etcd", "ca_file", etcd_ca_file, 0, 900, "",
        "PEM file with the authority that signed etcd's certificate. Empty: the system's. For "
        "https:// endpoints.",
        NULL),
    STR("etcd", "cert_file", etcd_cert_file, 0, 900, "",
        "PEM file with our own certificate, when etcd asks clients for one; without common name "
        "(CN) "
        "when etcd's users are on.",
        NULL),
    STR("etcd", "key_file", etcd_key_file, 0, 900, "",
        "PEM file with its key. Empty: it stands in cert_file.", NULL),
    ENUM("balance", "policy", policy, "p2c", "p2c|round_robin",
         "How reads are spread: the less busy of two random nodes, or in turn."),
    MS("health", "interval_ms", health_interval_ms, 50, HOUR_MS, "2000",
       "Time between two probes of a node's /health; a node that is down is probed four times as "
       "often."),
    MS("health", "timeout_ms", health_timeout_ms, 10, 60000, "1000",
       "A probe without an answer for so long has failed."),
    INT("health", "down", health_down, 1, 100, "2", "",
        "Failed probes in a row after which a node gets no more traffic."),
    INT("health", "up", health_up, 1, 100, "1", "",
        "Good probes in a row after which a node gets traffic."),
    MS("proxy", "timeout_ms", timeout_ms, 100, 60000, "30000",
       "Deadline of a request, repetitions included; import, export and changes are bounded by "
       "stream_idle_ms instead."),
    MS("proxy", "connect_timeout_ms", connect_timeout_ms, 10, 60000, "1000",
       "Time to connect to a node."),
    MS("proxy", "first_byte_ms", first_byte_ms, 10, 60000, "2000",
       "A read without a byte of answer for so long is sent to another node, within the retry "
       "budget."),
    MS("proxy", "stream_idle_ms", stream_idle_ms, 100, HOUR_MS, "35000",
       "A body or an answer that does not move for so long is given up. Longer than the nodes' "
       "[server] keep_alive_ms, so that a node's own word comes first."),
    MS("proxy", "import_wait_ms", import_wait_ms, 100, HOUR_MS, "600000",
       "How long the leader may work on an import whose body it has: a SQLite file or a history is "
       "read, and written, only then."),
    MS("proxy", "failover_wait", failover_wait_ms, 0, 60000, "0",
       "While no node leads, writes and reads at the leader's levels wait for so long, and never "
       "beyond their own time, instead of failing. 0: the cluster's ttl and 5 s more."),
    INT("proxy", "pool_per_node", pool_per_node, 1, 65535, "128", "",
        "Connections to one node, over all loops. Each occupies a thread of the node ([server] "
        "num_threads there)."),
    MS("proxy", "pool_idle_ms", pool_idle_ms, 100, HOUR_MS, "15000",
       "An unused connection to a node is closed after so long; below the nodes' idle timeout."),
    BYTES("proxy", "retry_body_bytes", retry_body_bytes, 0, 67108864, "1m",
          "Request bodies up to this size are read whole before they are sent, so that they can be "
          "sent again; larger ones are streamed."),
    BYTES(
        "proxy", "retry_answer_bytes", retry_answer_bytes, 0, 67108864, "1m",
        "Answers to reads up to this size are kept until they are whole, so that another node can "
        "be asked when one ends in the middle; larger ones are passed on as they come, and so are "
        "all that would take more than a quarter of buffer_bytes together."),
    BYTES("proxy", "buffer_bytes", buffer_bytes, 1048576, 1099511627776, "256m",
          "Request bodies that are kept at a time, all together, and 64 KB for each request that "
          "waits for a leader. Beyond it bodies are streamed, and can't be sent again; who would "
          "have to wait is answered 503."),
    INT("proxy", "retry_budget", retry_budget, 0, 100000, "100", "",
        "Repetitions that may be saved up, per loop; 0 = none."),
    INT("proxy", "retry_percent", retry_percent, 0, 100, "20", "%",
        "Share of a repetition that each request adds to the budget."),
    BYTES("limits", "body_bytes", body_bytes, 1024, 1073741824, "16m",
          "Largest request body, import apart (413 beyond)."),
    SECRET("auth", "admin_token", admin_token,
           "Bearer token of operators; empty: they are answered from loopback only."),
    SECRET("auth", "write_token", write_token,
           "Bearer token of writers; empty: writes are public. The nodes judge by their own."),
    STR("cluster", "allow", allow, 0, 1000, "",
        "Networks from which nodes without etcd may register through this gateway: addresses or "
        "CIDRs, by comma. Others need what an operator needs.",
        check_networks),
    SECRET("cluster", "secret", secret,
           "Shared by all processes of the cluster; signs what the gateway asks in its own name."),
};

const struct kt_conf_table kt_gateway_table = {
    .program = "gateway",
    .keys = keys,
    .count = KT_ARRAY_LEN(keys),
    .struct_size = sizeof(struct kt_gateway_config),
};

struct kt_etcd_security kt_gateway_etcd_security(const struct kt_gateway_config *config)
{
    return (struct kt_etcd_security){.user = config->etcd_user,
                                     .password = config->etcd_password,
                                     .ca_file = config->etcd_ca_file,
                                     .cert_file = config->etcd_cert_file,
                                     .key_file = config->etcd_key_file};
}

enum kt_status kt_gateway_addr(const struct kt_gateway_config *config, uint16_t port,
                               bool port_wins, char ret_addr[KT_ADDR_MAX], char ret_host[256],
                               struct kt_error *err)
{
    uint16_t named;
    enum kt_status status =
        kt_addr_parse(kt_str(config->service_addr), port, ret_host, &named, err);

    if (status != KT_OK) {
        return status;
    }
    kt_addr_format(ret_host, port_wins ? port : named, ret_addr);
    return KT_OK;
}
