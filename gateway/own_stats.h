/* own_stats.h - GET …/data/v1/stats at the gateway: all nodes asked at once, summed up. Include
 * <uv.h> first.
 *
 * Threads: workers.
 * Owns:    nothing.
 * Fails:   never as a whole: a node that does not answer is listed with ok = false and why.
 */
#ifndef KT_GATEWAY_OWN_STATS_H
#define KT_GATEWAY_OWN_STATS_H

#include "http/message.h"

void kt_own_stats(void *ctx, struct kt_http_request *request, struct kt_http_response *response);

#endif
