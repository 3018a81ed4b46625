/* SPDX-License-Identifier: MIT */
/* access.c - who may ask what.
 *
 * The mutex guards the nonces and the registered hosts; everything else is fixed at creation.
 * Secrets are compared in constant time, and a signature is checked before its nonce is kept, so
 * that nobody without the secret can fill the table.
 */
#include "http/access.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/net.h"
#include "base/thread.h"
#include "http/nonces.h"

#include <string.h>

#define NONCES_MAX 1000000
#define SIGNATURE_HEADER "X-Kamaitachi-Auth"

struct kt_access {
    char *admin_token, *write_token, *secret, *allow;
    struct kt_mutex lock;
    struct kt_nonces nonces;
    char (*hosts)[64];
    size_t host_count;
};

/* A compiler may drop a memset before free; it may not drop volatile stores. */
static void wipe_free(char **text)
{
    volatile char *pos = *text;

    if (*text) {
        for (size_t left = strlen(*text); left > 0; left--) {
            *pos++ = 0;
        }
    }
    kt_free(*text);
    *text = NULL;
}

struct kt_access *kt_access_new(const struct kt_access_options *options)
{
    struct kt_access *access = kt_calloc(1, sizeof(*access));

    if (!access) {
        return NULL;
    }
    kt_mutex_init(&access->lock, "access", KT_RANK_HTTP);
    kt_nonces_init(&access->nonces, NONCES_MAX);
    access->admin_token = kt_strdup(options->admin_token ? options->admin_token : "");
    access->write_token = kt_strdup(options->write_token ? options->write_token : "");
    access->secret = kt_strdup(options->cluster_secret ? options->cluster_secret : "");
    access->allow = kt_strdup(options->cluster_allow ? options->cluster_allow : "");
    if (!access->admin_token || !access->write_token || !access->secret || !access->allow) {
        kt_access_free(&access);
    }
    return access;
}

void kt_access_free(struct kt_access **access)
{
    struct kt_access *self = *access;

    if (!self) {
        return;
    }
    wipe_free(&self->admin_token);
    wipe_free(&self->write_token);
    wipe_free(&self->secret);
    kt_free(self->allow);
    kt_nonces_done(&self->nonces);
    kt_free(self->hosts);
    kt_mutex_done(&self->lock);
    kt_free(self);
    *access = NULL;
}

/* An IPv4 peer of an IPv6 socket is written ::ffff:a.b.c.d. */
static struct kt_str plain_literal(struct kt_str literal)
{
    struct kt_str mapped = KT_STR("::ffff:");

    if (literal.len > mapped.len &&
        kt_str_eq_nocase((struct kt_str){literal.data, mapped.len}, mapped) &&
        memchr(literal.data, '.', literal.len)) {
        return (struct kt_str){literal.data + mapped.len, literal.len - mapped.len};
    }
    return literal;
}

enum kt_status kt_access_set_hosts(struct kt_access *access, const char *const *literals,
                                   size_t count)
{
    char(*hosts)[64] = NULL;
    char(*old)[64];

    if (count > 0) {
        hosts = kt_calloc(count, sizeof(*hosts));
        if (!hosts) {
            return KT_NO_MEMORY;
        }
    }
    for (size_t i = 0; i < count; i++) {
        kt_str_copy(hosts[i], sizeof(hosts[i]), plain_literal(kt_str(literals[i])));
    }
    kt_mutex_lock(&access->lock);
    old = access->hosts;
    access->hosts = hosts;
    access->host_count = count;
    kt_mutex_unlock(&access->lock);
    kt_free(old);
    return KT_OK;
}

static bool is_registered(struct kt_access *access, const char *literal)
{
    struct kt_str wanted = plain_literal(kt_str(literal));
    bool found = false;

    kt_mutex_lock(&access->lock);
    for (size_t i = 0; i < access->host_count && !found; i++) {
        found = kt_str_eq_nocase(kt_str(access->hosts[i]), wanted);
    }
    kt_mutex_unlock(&access->lock);
    return found;
}

/* The MAC of a request in hex, see access.h; false when out of memory. */
static bool compute_mac(const struct kt_access *access, const char *method, struct kt_str path,
                        struct kt_str query, int64_t time_s, struct kt_str nonce,
                        struct kt_str body, char ret_hex[64])
{
    unsigned char digest[32];
    struct kt_buf text, hex;
    bool done;

    kt_buf_init(&text, 0);
    kt_buf_init(&hex, 0);
    kt_sha256(body.data ? body.data : "", body.len, digest);
    kt_buf_append_text(&text, "v1\n");
    kt_buf_append_text(&text, method);
    kt_buf_append_byte(&text, '\n');
    kt_buf_append_str(&text, path);
    kt_buf_append_byte(&text, '\n');
    kt_buf_append_str(&text, query);
    kt_buf_append_byte(&text, '\n');
    kt_buf_append_i64(&text, time_s);
    kt_buf_append_byte(&text, '\n');
    kt_buf_append_str(&text, nonce);
    kt_buf_append_byte(&text, '\n');
    kt_buf_append_hex(&text, digest, sizeof(digest));
    done = kt_buf_status(&text) == KT_OK;
    if (done) {
        kt_hmac_sha256(kt_str(access->secret), kt_buf_str(&text), digest);
        kt_buf_append_hex(&hex, digest, sizeof(digest));
        done = kt_buf_status(&hex) == KT_OK;
    }
    if (done) {
        memcpy(ret_hex, hex.data, 64);
    }
    kt_buf_done(&text);
    kt_buf_done(&hex);
    return done;
}

struct kt_str kt_access_sign(struct kt_access *access, const char *method, struct kt_str path,
                             struct kt_str query, struct kt_str body, struct kt_arena *arena)
{
    char nonce[KT_ID_LEN + 1], mac[64];
    struct kt_str value = {NULL, 0};
    int64_t time_s = kt_now_wall_ms() / 1000;
    struct kt_buf text;

    if (access->secret[0] == '\0') {
        return value;
    }
    kt_random_id(nonce);
    if (!compute_mac(access, method, path, query, time_s, kt_str(nonce), body, mac)) {
        return value;
    }
    kt_buf_init(&text, 256);
    kt_buf_printf(&text, "v1 time=%lld nonce=%s mac=%.64s", (long long)time_s, nonce, mac);
    if (kt_buf_status(&text) == KT_OK) {
        value = kt_arena_dup(arena, kt_buf_str(&text));
    }
    kt_buf_done(&text);
    return value;
}

/* Cuts "name=" and its value up to the next space from *rest. */
static bool take_part(struct kt_str *rest, struct kt_str prefix, struct kt_str *ret_value)
{
    struct kt_str part = kt_str_cut(rest, ' ');

    if (!kt_str_starts(part, prefix)) {
        return false;
    }
    *ret_value = (struct kt_str){part.data + prefix.len, part.len - prefix.len};
    return true;
}

static bool parse_signature(struct kt_str text, int64_t *ret_time_s, struct kt_str *ret_nonce,
                            uint64_t *ret_nonce_bits, struct kt_str *ret_mac)
{
    struct kt_str rest = text, time_text;

    return kt_str_eq(kt_str_cut(&rest, ' '), KT_STR("v1")) &&
           take_part(&rest, KT_STR("time="), &time_text) &&
           take_part(&rest, KT_STR("nonce="), ret_nonce) &&
           take_part(&rest, KT_STR("mac="), ret_mac) && !rest.data &&
           kt_parse_i64(time_text, ret_time_s) && ret_nonce->len == KT_ID_LEN &&
           kt_parse_hex_u64(*ret_nonce, ret_nonce_bits) && ret_mac->len == 64;
}

static enum kt_status check_signature(struct kt_access *access, struct kt_http_request *request,
                                      struct kt_str header, struct kt_error *err)
{
    struct kt_str nonce, mac;
    char expected[64];
    uint64_t nonce_bits;
    int64_t time_s, off_s;
    enum kt_status status;

    if (request->pull) {
        return kt_fail(err, KT_FORBIDDEN, "a streamed body cannot be signed");
    }
    if (kt_http_header_count(request, SIGNATURE_HEADER) != 1 ||
        !parse_signature(header, &time_s, &nonce, &nonce_bits, &mac)) {
        return kt_fail_field(err, KT_UNAUTHORIZED, SIGNATURE_HEADER,
                             SIGNATURE_HEADER ": expected v1 time=… nonce=… mac=…");
    }
    if (!compute_mac(access, kt_http_method_name(request->method), request->path, request->query,
                     time_s, nonce, request->body, expected)) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to check a signature");
    }
    if (!kt_equal_const_time(kt_str_n(expected, sizeof(expected)), mac)) {
        return kt_fail_field(err, KT_UNAUTHORIZED, SIGNATURE_HEADER,
                             SIGNATURE_HEADER ": the signature does not match");
    }
    off_s = kt_now_wall_ms() / 1000 - time_s;
    if (off_s > KT_NONCE_WINDOW_S || off_s < -KT_NONCE_WINDOW_S) {
        return kt_fail_field(err, KT_UNAUTHORIZED, SIGNATURE_HEADER,
                             SIGNATURE_HEADER ": signed %lld s off this node's clock",
                             (long long)off_s);
    }
    kt_mutex_lock(&access->lock);
    status = kt_nonces_add(&access->nonces, nonce_bits, time_s, err);
    kt_mutex_unlock(&access->lock);
    return status;
}

static bool is_forwarded(const struct kt_http_request *request)
{
    return kt_http_header(request, "Via").data || kt_http_header(request, "Forwarded").data ||
           kt_http_header(request, "X-Forwarded-For").data;
}

static bool bearer_is(const struct kt_http_request *request, const char *token)
{
    struct kt_str value = kt_http_header(request, "Authorization");
    struct kt_str scheme = KT_STR("Bearer ");

    return token[0] != '\0' && value.len > scheme.len &&
           kt_http_header_count(request, "Authorization") == 1 &&
           kt_str_eq_nocase((struct kt_str){value.data, scheme.len}, scheme) &&
           kt_equal_const_time(
               kt_str_trim((struct kt_str){value.data + scheme.len, value.len - scheme.len}),
               kt_str(token));
}

static enum kt_status judge_cluster(struct kt_access *access, struct kt_http_request *request,
                                    struct kt_error *err)
{
    struct kt_str signature = kt_http_header(request, SIGNATURE_HEADER);

    if (access->secret[0] != '\0') {
        if (!signature.data) {
            return kt_fail_field(err, KT_UNAUTHORIZED, SIGNATURE_HEADER,
                                 SIGNATURE_HEADER
                                 ": this path needs a request signed with the cluster's secret");
        }
        return check_signature(access, request, signature, err);
    }
    if (!is_forwarded(request) &&
        (request->remote_is_loopback || is_registered(access, request->remote_host))) {
        return KT_OK;
    }
    return kt_fail(err, KT_FORBIDDEN, "this path is for processes of the cluster only");
}

static bool is_registration(struct kt_str path)
{
    return kt_str_eq_text(path, "/cluster/register") ||
           kt_str_eq_text(path, "/cluster/deregister") ||
           kt_str_eq_text(path, "/cluster/heartbeat");
}

static enum kt_status judge_operator(struct kt_access *access, struct kt_http_request *request,
                                     struct kt_error *err)
{
    struct kt_str signature = kt_http_header(request, SIGNATURE_HEADER);

    if (signature.data && access->secret[0] != '\0') {
        return check_signature(access, request, signature, err);
    }
    if (access->allow[0] != '\0' && is_registration(request->path) && !is_forwarded(request) &&
        kt_cidr_list_contains(kt_str(access->allow), request->remote_host)) {
        return KT_OK;
    }
    if (access->admin_token[0] != '\0') {
        if (bearer_is(request, access->admin_token)) {
            return KT_OK;
        }
        return kt_fail_field(err, KT_UNAUTHORIZED, "Authorization",
                             "Authorization: expected Bearer and the admin token");
    }
    if (!is_forwarded(request) &&
        (request->remote_is_loopback ||
         (access->secret[0] == '\0' && is_registered(access, request->remote_host)))) {
        return KT_OK;
    }
    return kt_fail(err, KT_FORBIDDEN,
                   "without an admin token this path answers loopback only, and no proxy");
}

/* A page of another site can make a browser send a request, but not with this type or origin. */
static enum kt_status check_browser(const struct kt_http_request *request, struct kt_error *err)
{
    struct kt_str origin = kt_http_header(request, "Origin");
    struct kt_str type = kt_http_header(request, "Content-Type");

    if (origin.data) {
        ptrdiff_t at = kt_str_find(origin, KT_STR("://"));
        struct kt_str host = {NULL, 0};

        if (at >= 0) {
            host = (struct kt_str){origin.data + at + 3, origin.len - (size_t)at - 3};
        }
        if (host.len == 0 || !kt_str_eq_nocase(host, kt_http_header(request, "Host"))) {
            return kt_fail_field(err, KT_FORBIDDEN, "Origin", "Origin: another site may not ask");
        }
    }
    if (request->method == KT_HTTP_POST) {
        struct kt_str media = kt_str_trim(kt_str_cut(&type, ';'));

        if (!kt_str_eq_nocase(media, KT_STR("application/json"))) {
            return kt_fail_field(err, KT_MEDIA_TYPE, "Content-Type",
                                 "Content-Type: expected application/json");
        }
    }
    return KT_OK;
}

enum kt_status kt_access_judge(struct kt_access *access, struct kt_http_request *request,
                               enum kt_http_access route_access, struct kt_error *err)
{
    enum kt_status status;

    if (route_access == KT_ACCESS_CLUSTER || kt_path_is_cluster(request->path)) {
        return judge_cluster(access, request, err);
    }
    if (route_access == KT_ACCESS_ADMIN || kt_path_is_admin(request->path)) {
        status = judge_operator(access, request, err);
        if (status == KT_OK) {
            status = check_browser(request, err);
        }
        request->may_admin = status == KT_OK;
        return status;
    }
    if (route_access == KT_ACCESS_WRITE && access->write_token[0] != '\0' &&
        !bearer_is(request, access->write_token) && !bearer_is(request, access->admin_token)) {
        return kt_fail_field(err, KT_UNAUTHORIZED, "Authorization",
                             "Authorization: expected Bearer and the write token");
    }
    return KT_OK;
}
