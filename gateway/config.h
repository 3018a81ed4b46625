/* config.h - what a gateway can be told: one table, one struct.
 *
 * Threads: written while loading, read-only afterwards.
 * Owns:    strings, until kt_conf_done.
 * Fails:   see conf/conf.h.
 */
#ifndef KT_GATEWAY_CONFIG_H
#define KT_GATEWAY_CONFIG_H

#include "base/net.h"
#include "conf/conf.h"
#include "etcd/etcd.h"

struct kt_gateway_config {
    /* [server] */
    int64_t port;
    int mode;
    char *service_name, *service_addr, *listen;
    int64_t loops, workers, max_connections;
    int64_t head_timeout_ms, idle_timeout_ms, drain_ms;
    /* [log] */
    int log_level, log_format;
    bool log_access;
    /* [etcd] */
    char *etcd_endpoints, *etcd_prefix;
    char *etcd_user, *etcd_password, *etcd_ca_file, *etcd_cert_file, *etcd_key_file;
    int64_t etcd_ttl_s;
    /* [balance] */
    int policy;
    /* [health] */
    int64_t health_interval_ms, health_timeout_ms, health_down, health_up;
    /* [proxy] */
    int64_t timeout_ms, connect_timeout_ms, first_byte_ms, stream_idle_ms;
    int64_t import_wait_ms, failover_wait_ms;
    int64_t pool_per_node, pool_idle_ms;
    int64_t retry_body_bytes, retry_answer_bytes, buffer_bytes, retry_budget, retry_percent;
    /* [limits] */
    int64_t body_bytes;
    /* [auth], [cluster] */
    char *admin_token, *write_token, *secret, *allow;
};

extern const struct kt_conf_table kt_gateway_table;

/* Borrows the strings of `config`. */
struct kt_etcd_security kt_gateway_etcd_security(const struct kt_gateway_config *config);

/* host:port to register and to be known by: [server] service_addr, with `port` when it names none
 * or `port_wins` (the flag -port). KT_BAD_VALUE. */
enum kt_status kt_gateway_addr(const struct kt_gateway_config *config, uint16_t port,
                               bool port_wins, char ret_addr[KT_ADDR_MAX], char ret_host[256],
                               struct kt_error *err) KT_MUST_CHECK;

#endif
