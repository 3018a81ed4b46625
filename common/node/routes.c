/* SPDX-License-Identifier: MIT */
/* Every path that a data node answers. What is not here is 404. */
#include "node/node_impl.h"

#define API "/kamaitachi/api/data/v1"
#define OLD "/data/v1" /* of the first Kamaitachi: generic series */
#define SELECTION "/kamaitachi/api/selection/v1"

const struct kt_http_route kt_node_routes[] = {
    {KT_HTTP_POST | KT_HTTP_GET, API "/snapshot", KT_ACCESS_PUBLIC, false, kt_node_snapshot, true},
    {KT_HTTP_POST | KT_HTTP_GET, API "/period", KT_ACCESS_PUBLIC, false, kt_node_period, true},
    {KT_HTTP_POST | KT_HTTP_GET, SELECTION "/snapshot", KT_ACCESS_PUBLIC, false,
     kt_node_selection_snapshot, true},
    {KT_HTTP_POST | KT_HTTP_GET, SELECTION "/period", KT_ACCESS_PUBLIC, false,
     kt_node_selection_period, true},
    {KT_HTTP_POST, API "/batch", KT_ACCESS_PUBLIC, false, kt_node_batch, false},
    {KT_HTTP_POST | KT_HTTP_GET, API "/subjects", KT_ACCESS_PUBLIC, false, kt_node_subjects, true},
    {KT_HTTP_POST | KT_HTTP_GET, API "/topics", KT_ACCESS_PUBLIC, false, kt_node_topics, true},
    {KT_HTTP_POST | KT_HTTP_GET, API "/indicators", KT_ACCESS_PUBLIC, false, kt_node_indicators,
     true},
    {KT_HTTP_POST, API "/save", KT_ACCESS_WRITE, false, kt_node_save, false},
    {KT_HTTP_POST, API "/delete", KT_ACCESS_WRITE, false, kt_node_delete, false},
    {KT_HTTP_POST, API "/import", KT_ACCESS_WRITE, true, kt_node_import, true},
    {KT_HTTP_GET, API "/export", KT_ACCESS_PUBLIC, false, kt_node_export, true},
    {KT_HTTP_GET, API "/changes", KT_ACCESS_PUBLIC, false, kt_node_changes, true},
    {KT_HTTP_GET, API "/stats", KT_ACCESS_PUBLIC, false, kt_node_stats, false},
    {KT_HTTP_POST, OLD "/save", KT_ACCESS_WRITE, false, kt_node_generic_save, true},
    {KT_HTTP_GET, OLD "/get/{id}", KT_ACCESS_PUBLIC, false, kt_node_generic_get, true},
    {KT_HTTP_DELETE, OLD "/delete/{id}", KT_ACCESS_WRITE, false, kt_node_generic_delete, true},
    {KT_HTTP_POST, OLD "/search", KT_ACCESS_PUBLIC, false, kt_node_generic_search, false},
    {KT_HTTP_GET, "/health", KT_ACCESS_PUBLIC, false, kt_node_health, false},
    {KT_HTTP_GET, "/health/live", KT_ACCESS_PUBLIC, false, kt_node_live, false},
    {KT_HTTP_GET, "/health/ready", KT_ACCESS_PUBLIC, false, kt_node_ready, false},
    {KT_HTTP_GET, "/version", KT_ACCESS_PUBLIC, false, kt_node_version, false},
    {KT_HTTP_GET, "/metrics", KT_ACCESS_PUBLIC, false, kt_node_metrics, false},
    {KT_HTTP_GET, "/cluster/info", KT_ACCESS_PUBLIC, false, kt_node_cluster_info, false},
    {KT_HTTP_GET, "/cluster/leader", KT_ACCESS_PUBLIC, false, kt_node_cluster_leader, false},
    {KT_HTTP_GET, "/cluster/events", KT_ACCESS_PUBLIC, false, kt_node_cluster_events, false},
    {KT_HTTP_POST, "/cluster/failover", KT_ACCESS_ADMIN, false, kt_node_failover, false},
    {KT_HTTP_POST, "/cluster/recover", KT_ACCESS_ADMIN, false, kt_node_recover, false},
    {KT_HTTP_POST, "/cluster/forget", KT_ACCESS_ADMIN, false, kt_node_forget, false},
    {KT_HTTP_POST, "/cluster/register", KT_ACCESS_ADMIN, false, kt_node_register, false},
    {KT_HTTP_POST, "/cluster/heartbeat", KT_ACCESS_ADMIN, false, kt_node_heartbeat, false},
    {KT_HTTP_POST, "/cluster/deregister", KT_ACCESS_ADMIN, false, kt_node_deregister, false},
    {KT_HTTP_POST, "/replication/v1/fetch", KT_ACCESS_CLUSTER, false, kt_node_fetch, false},
    {KT_HTTP_POST, "/replication/v1/copy", KT_ACCESS_CLUSTER, false, kt_node_copy, false},
    {KT_HTTP_POST, "/replication/v1/campaign", KT_ACCESS_CLUSTER, false, kt_node_campaign, false},
};
const size_t kt_node_route_count = sizeof(kt_node_routes) / sizeof(kt_node_routes[0]);
