/* own_monitor.h - how the gateway itself is doing: GET /monitor/status and GET /metrics. Include
 * <uv.h> first.
 *
 * Threads: workers.
 * Owns:    nothing.
 * Fails:   never.
 * Format:  /metrics is Prometheus' text format 0.0.4.
 */
#ifndef KT_GATEWAY_OWN_MONITOR_H
#define KT_GATEWAY_OWN_MONITOR_H

#include "http/message.h"

void kt_own_monitor(void *ctx, struct kt_http_request *request, struct kt_http_response *response);
void kt_own_metrics(void *ctx, struct kt_http_request *request, struct kt_http_response *response);

#endif
