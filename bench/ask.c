/* SPDX-License-Identifier: MIT */
/* ask.c - single questions, over libcurl. */
#include "bench/ask.h"

#include <stdio.h>

enum kt_status kt_ask_init(struct kt_ask *ask, const char *token, double timeout_s,
                           struct kt_error *err)
{
    *ask = (struct kt_ask){.timeout_ms = (int64_t)(timeout_s * 1000) + 1};
    ask->client = kt_http_client_new();
    kt_http_answer_init(&ask->answer);
    if (!ask->client) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for an HTTP client");
    }
    if (token) {
        snprintf(ask->auth, sizeof(ask->auth), "Authorization: Bearer %s", token);
    }
    return KT_OK;
}

void kt_ask_done(struct kt_ask *ask)
{
    kt_json_free(&ask->json);
    kt_http_answer_done(&ask->answer);
    kt_http_client_free(&ask->client);
}

enum kt_status kt_ask_raw(struct kt_ask *ask, const char *method, const char *url,
                          struct kt_str body, struct kt_error *err)
{
    struct kt_http_call call = {
        .method = method,
        .url = url,
        .body = body,
        .content_type = body.len ? "application/json" : NULL,
        .headers = {ask->auth[0] ? ask->auth : NULL},
        .timeout_ms = ask->timeout_ms,
        .max_answer_bytes = KT_PT_ANSWER_MAX,
    };
    return kt_http_client_call(ask->client, &call, &ask->answer, err); /* names the URL */
}

enum kt_status kt_ask(struct kt_ask *ask, const char *url, struct kt_str body,
                      const struct kt_json_value **ret_root, struct kt_error *err)
{
    enum kt_status status = kt_ask_raw(ask, body.len ? "POST" : "GET", url, body, err);
    if (status != KT_OK) {
        return status;
    }
    struct kt_error why = KT_ERROR_INIT;
    struct kt_str text = kt_buf_str(&ask->answer.body);
    kt_json_free(&ask->json);
    status = kt_json_parse(text, KT_JSON_DEPTH_DEFAULT, &ask->json, &why);
    if (status != KT_OK) {
        return kt_fail(err, KT_BAD_GATEWAY, "%s: status %d and no JSON (%s)", url,
                       ask->answer.status, why.message);
    }
    const struct kt_json_value *root = kt_json_root(ask->json);
    const struct kt_json_value *code = kt_json_member_as(root, "status_code", KT_JSON_NUMBER);
    const struct kt_json_value *message = kt_json_member_as(root, "status_msg", KT_JSON_STRING);
    if (ask->answer.status != 200 || !code || kt_json_number(code) != 0) {
        struct kt_str said = message ? kt_json_string(message)
                                     : kt_str_n(text.data, text.len < 200 ? text.len : 200);
        return kt_fail(err, KT_BAD_GATEWAY, "%s: status %d, " KT_STR_FMT, url, ask->answer.status,
                       KT_STR_ARG(said));
    }
    *ret_root = root;
    return KT_OK;
}
