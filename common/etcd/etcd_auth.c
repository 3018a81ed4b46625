/* SPDX-License-Identifier: MIT */
/* etcd_auth.c - user, password and token; certificates; what a refusal means for the operator.
 *
 * A token is asked for before the first call and again when etcd refuses it: simple tokens live in
 * etcd's memory only, for five minutes without use, and any change of its users makes older ones
 * void. All members know a token, so one is enough for the whole client. The lock is not held while
 * one is asked for: two threads may then ask at once, and the later answer stays.
 *
 * An etcd whose authentication is switched off says so; calls then go without a token until one is
 * refused for want of it.
 */
#include "etcd/etcd_internal.h"

#include "base/fs.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

/* A simple token has some 30 bytes; a JWT can have a few KB. */
#define TOKEN_MAX ((size_t)8 * 1024)
#define FILE_MAX ((size_t)16 * 1024 * 1024) /* of a CA bundle */

static bool is_given(const char *text)
{
    return text && text[0];
}

static enum kt_status check_file(const char *key, const char *path, struct kt_error *err)
{
    struct kt_error why = KT_ERROR_INIT;
    struct kt_buf content;
    enum kt_status status;

    if (!is_given(path)) {
        return KT_OK;
    }
    kt_buf_init(&content, 0);
    status = kt_fs_read(path, FILE_MAX, &content, &why);
    if (status == KT_OK && kt_str_find(kt_buf_str(&content), KT_STR("-----BEGIN ")) < 0) {
        status = kt_fail(&why, KT_BAD_VALUE, "%s holds nothing in PEM", path);
    }
    kt_buf_done(&content);
    return status == KT_OK ? KT_OK : kt_fail(err, KT_BAD_VALUE, "[etcd] %s: %s", key, why.message);
}

static bool has_https(const char *endpoints)
{
    struct kt_str rest = kt_str(endpoints);

    while (rest.data) {
        if (kt_str_starts(kt_str_trim(kt_str_cut(&rest, ',')), KT_STR("https://"))) {
            return true;
        }
    }
    return false;
}

enum kt_status kt_etcd_security_check(const char *endpoints,
                                      const struct kt_etcd_security *security, struct kt_error *err)
{
    enum kt_status status;

    if (!is_given(endpoints)) {
        return KT_OK; /* standalone: what is set here is not used */
    }
    if (is_given(security->user) != is_given(security->password)) {
        return kt_fail(err, KT_BAD_VALUE, "[etcd] %s is set, but not [etcd] %s",
                       is_given(security->user) ? "user" : "password",
                       is_given(security->user) ? "password" : "user");
    }
    if (is_given(security->key_file) && !is_given(security->cert_file)) {
        return kt_fail(err, KT_BAD_VALUE, "[etcd] key_file is set, but not [etcd] cert_file");
    }
    if ((is_given(security->ca_file) || is_given(security->cert_file)) && !has_https(endpoints)) {
        return kt_fail(err, KT_BAD_VALUE,
                       "[etcd] %s is set, but no endpoint begins with https://: nothing would be "
                       "encrypted",
                       is_given(security->ca_file) ? "ca_file" : "cert_file");
    }
    status = check_file("ca_file", security->ca_file, err);
    if (status == KT_OK) {
        status = check_file("cert_file", security->cert_file, err);
    }
    if (status == KT_OK) {
        status = check_file("key_file", security->key_file, err);
    }
    return status;
}

void kt_etcd_secure(const struct kt_etcd *etcd, const struct etcd_slot *slot,
                    struct kt_http_call *call)
{
    const struct kt_etcd_security *security = &etcd->security;

    call->ca_file = is_given(security->ca_file) ? security->ca_file : NULL;
    call->cert_file = is_given(security->cert_file) ? security->cert_file : NULL;
    call->key_file = is_given(security->key_file) ? security->key_file : NULL;
    if (slot->authorization.len_bytes > 0) {
        call->headers[0] = slot->authorization.data;
    }
}

/* The header line for the token that is known. False: none is. */
static bool take_known(struct kt_etcd *etcd, struct etcd_slot *slot)
{
    bool known;

    kt_mutex_lock(&etcd->mutex);
    known = etcd->has_token;
    if (known && slot->token_number != etcd->token_number) {
        kt_buf_clear(&slot->authorization);
        if (etcd->token.len_bytes > 0) {
            kt_buf_append_text(&slot->authorization, "Authorization: ");
            kt_buf_append_str(&slot->authorization, kt_buf_str(&etcd->token));
            kt_buf_append_byte(&slot->authorization, '\0'); /* libcurl wants it terminated */
        }
        slot->token_number = etcd->token_number;
    }
    kt_mutex_unlock(&etcd->mutex);
    return known;
}

/* Takes the token's memory. An empty one stands for "no token is asked for". */
static void set_token(struct kt_etcd *etcd, struct kt_buf *token)
{
    kt_mutex_lock(&etcd->mutex);
    kt_buf_done(&etcd->token);
    etcd->token = *token;
    etcd->has_token = true;
    etcd->token_number++;
    kt_mutex_unlock(&etcd->mutex);
    kt_buf_init(token, 0);
}

void kt_etcd_token_refused(struct kt_etcd *etcd, const struct etcd_slot *slot)
{
    kt_mutex_lock(&etcd->mutex);
    if (slot->token_number == etcd->token_number) { /* else another thread has a newer one */
        etcd->has_token = false;
    }
    kt_mutex_unlock(&etcd->mutex);
}

enum kt_status kt_etcd_decode_token(struct kt_str json, struct kt_buf *ret_token,
                                    struct kt_error *err)
{
    struct kt_json *doc = NULL;
    const struct kt_json_value *root = NULL, *token;
    enum kt_status status = kt_etcd_open(json, &doc, &root, err);

    if (status != KT_OK) {
        return status;
    }
    token = kt_json_member(root, "token");
    if (!token || kt_json_type(token) != KT_JSON_STRING) {
        status = kt_fail(err, KT_CORRUPT, "an answer that is not etcd's: no token");
    } else if (!kt_is_visible_ascii(kt_json_string(token), TOKEN_MAX)) {
        /* It becomes a header's value. */
        status = kt_fail(err, KT_CORRUPT, "etcd's token is no text of 1 to %zu visible characters",
                         TOKEN_MAX);
    } else {
        kt_buf_clear(ret_token);
        kt_buf_append_str(ret_token, kt_json_string(token));
        if (kt_buf_status(ret_token) != KT_OK) {
            status = kt_fail(err, KT_NO_MEMORY, "no memory for etcd's token");
        }
    }
    kt_json_free(&doc);
    return status;
}

static enum kt_status post_login(struct kt_etcd *etcd, struct etcd_slot *slot, size_t index,
                                 int64_t timeout_ms, struct kt_http_answer *answer,
                                 struct kt_error *err)
{
    char url[ETCD_URL_MAX + 32];
    struct kt_buf body;
    struct kt_jw jw;
    enum kt_status status;
    struct kt_http_call call = {
        .method = "POST",
        .url = url,
        .content_type = "application/json",
        .timeout_ms = timeout_ms,
        .connect_timeout_ms = kt_etcd_connect_ms(etcd, timeout_ms),
        .max_answer_bytes = 64 * 1024,
    };

    snprintf(url, sizeof(url), "%s/v3/auth/authenticate", etcd->endpoints.urls[index]);
    kt_buf_init(&body, 0);
    kt_jw_init(&jw, &body);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "name", etcd->security.user);
    kt_jw_kv_text(&jw, "password", etcd->security.password);
    kt_jw_object_end(&jw);
    status = kt_buf_status(&body);
    if (status != KT_OK) {
        status = kt_fail(err, status, "no memory for a request to etcd");
    } else {
        call.body = kt_buf_str(&body);
        kt_buf_clear(&slot->authorization);
        slot->token_number = 0;
        kt_etcd_secure(etcd, slot, &call);
        status = kt_http_client_call(slot->client, &call, answer, err);
        memset(body.data, 0, body.len_bytes);
    }
    kt_buf_done(&body);
    return status;
}

/* One token from one endpoint. */
static enum kt_status log_in(struct kt_etcd *etcd, struct etcd_slot *slot, size_t index,
                             int64_t timeout_ms, struct kt_error *err)
{
    struct kt_http_answer answer;
    struct kt_buf token;
    enum kt_status status;

    kt_http_answer_init(&answer);
    kt_buf_init(&token, 0);
    status = post_login(etcd, slot, index, timeout_ms, &answer, err);
    if (status != KT_OK) {
        kt_etcd_explain(etcd, index, err);
    } else if (answer.status == 200) {
        status = kt_etcd_decode_token(kt_buf_str(&answer.body), &token, err);
    } else {
        status = kt_etcd_decode_error(answer.status, kt_buf_str(&answer.body), err);
        if (status == KT_NOT_SUPPORTED) { /* authentication is switched off */
            status = KT_OK;
        } else {
            kt_etcd_explain(etcd, index, err);
        }
    }
    if (status == KT_OK) {
        set_token(etcd, &token);
    }
    if (answer.body.data) {
        memset(answer.body.data, 0, answer.body.len_bytes);
    }
    kt_buf_done(&token);
    kt_http_answer_done(&answer);
    return status;
}

enum kt_status kt_etcd_login(struct kt_etcd *etcd, struct etcd_slot *slot, size_t index,
                             int64_t timeout_ms, struct kt_error *err)
{
    enum kt_status status = KT_OK;

    if (!is_given(etcd->security.user)) {
        return KT_OK;
    }
    if (!take_known(etcd, slot)) {
        status = log_in(etcd, slot, index, timeout_ms, err);
        if (status == KT_OK) {
            (void)take_known(etcd, slot);
        }
    }
    if (status == KT_OK && kt_buf_status(&slot->authorization) != KT_OK) {
        kt_buf_done(&slot->authorization);
        slot->token_number = 0;
        status = kt_fail(err, KT_NO_MEMORY, "no memory for etcd's token");
    }
    return status;
}

/* libcurl's messages about TLS and certificates all hold one of these words. */
/* A peer that closes in the middle of the handshake, or never meant to have one, may be seen as no
 * more than a connection that was reset. */
static bool is_about_tls(const char *message)
{
    static const char *const words[] = {"SSL", "certificate", "reset by peer"};

    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++) {
        if (kt_str_find(kt_str(message), kt_str(words[i])) >= 0) {
            return true;
        }
    }
    return false;
}

void kt_etcd_explain(const struct kt_etcd *etcd, size_t index, struct kt_error *err)
{
    const char *url = etcd->endpoints.urls[index];
    bool has_user = is_given(etcd->security.user);
    struct kt_error why;

    if (!err) {
        return;
    }
    why = *err;
    if (why.status == KT_UNAUTHORIZED && has_user) {
        (void)kt_fail(err, why.status,
                      "etcd at %s refuses user \"%s\": %s; check [etcd] user and password", url,
                      etcd->security.user, why.message);
    } else if (why.status == KT_UNAUTHORIZED) {
        (void)kt_fail(err, why.status,
                      "etcd at %s wants to know who asks: %s; set [etcd] user and password", url,
                      why.message);
    } else if (why.status == KT_FORBIDDEN) {
        (void)kt_fail(err, why.status,
                      "etcd at %s forbids it to user \"%s\": %s; grant this user a role with "
                      "readwrite on the keys below [etcd] prefix",
                      url, has_user ? etcd->security.user : "", why.message);
    } else if (kt_str_starts(kt_str(url), KT_STR("https://")) && is_about_tls(why.message)) {
        (void)kt_fail(err, why.status,
                      "etcd: %s; check [etcd] ca_file, cert_file and key_file, the names and dates "
                      "in etcd's certificate, and that it speaks https",
                      why.message);
    } else if (kt_str_find(kt_str(why.message), KT_STR("CommonName of client")) >= 0) {
        /* With its users on, etcd's gateway takes no certificate that could be one's name. */
        (void)kt_fail(err, why.status,
                      "etcd at %s: %s; [etcd] cert_file must be a certificate without common name "
                      "(CN)",
                      url, why.message);
    } else if (kt_str_starts(kt_str(url), KT_STR("http://")) &&
               kt_str_find(kt_str(why.message), KT_STR("Empty reply")) >= 0) {
        (void)kt_fail(err, why.status,
                      "etcd: %s (as from an etcd that wants https:// in [etcd] endpoints)",
                      why.message);
    } else if (kt_str_starts(kt_str(why.message), kt_str(url))) {
        (void)kt_fail(err, why.status, "etcd: %s", why.message);
    } else {
        (void)kt_fail(err, why.status, "etcd at %s: %s", url, why.message);
    }
}
