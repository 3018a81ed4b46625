/* SPDX-License-Identifier: MIT */
/* The handlers of /cluster/register, heartbeat and deregister: for data nodes that cannot reach
 * etcd. A node that says what it is (`service`) is told what it would see there.
 */
#include "base/mem.h"
#include "coord/guests.h"
#include "http/envelope.h"
#include "node/node_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct registration {
    char id[KT_ID_LEN + 1], addr[KT_ADDR_MAX];
    struct kt_service *entry; /* NULL = not given */
};

static enum kt_status get_addr(struct kt_json_fields *fields, bool required, char dest[KT_ADDR_MAX],
                               struct kt_error *err)
{
    struct kt_str text = {NULL, 0};
    char host[256];
    int64_t port = 0;
    uint16_t given = 0;
    bool has_host = false, has_port = false;
    enum kt_status status = kt_json_get_string(fields, "address", &text, &has_host, err);
    if (status == KT_OK && (required || has_host) &&
        (kt_addr_parse(text, 0, host, &given, NULL) != KT_OK || given != 0)) {
        return kt_fail_field(err, KT_BAD_VALUE, "address",
                             "address must be a host name or an IP address, without a port");
    }
    if (status == KT_OK) {
        status = kt_json_get_int(fields, "port", 1, 65535, &port, &has_port, err);
    }
    if (status == KT_OK && required && !has_port) {
        return kt_fail_field(err, KT_BAD_VALUE, "port", "port must be a number from 1 to 65535");
    }
    if (status == KT_OK && has_host) {
        kt_addr_format(host, (uint16_t)port, dest);
    }
    return status;
}

/* A newer version may say more of itself than this one knows. */
static enum kt_status get_entry(struct kt_json_fields *fields, struct registration *ret,
                                struct kt_error *err)
{
    const struct kt_json_value *object = NULL;
    struct kt_error why = KT_ERROR_INIT;
    enum kt_status status = kt_json_get_object(fields, "service", &object, NULL, err);
    if (status != KT_OK || !object) {
        return status;
    }
    ret->entry = kt_calloc(1, sizeof(*ret->entry));
    if (!ret->entry) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for an entry");
    }
    if (kt_service_read(object, ret->entry, &why) != KT_OK) {
        return kt_fail_field(err, why.status == KT_NO_MEMORY ? KT_NO_MEMORY : KT_BAD_VALUE,
                             "service", "service: %s", why.message);
    }
    if (strcmp(ret->entry->id, ret->id) != 0 || ret->entry->role == KT_ROLE_GATEWAY) {
        return kt_fail_field(err, KT_BAD_VALUE, "service",
                             "service must be the entry of data node %s", ret->id);
    }
    return KT_OK;
}

static enum kt_status read_guest(struct kt_json_fields *fields, void *ret, struct kt_error *err)
{
    struct registration *of = ret;
    enum kt_status status = kt_node_get_id(fields, "node_id", of->id, err);
    if (status == KT_OK) {
        status = get_addr(fields, true, of->addr, err);
    }
    return status == KT_OK ? get_entry(fields, of, err) : status;
}

/* The id alone says who leaves. */
static enum kt_status read_leaving(struct kt_json_fields *fields, void *ret, struct kt_error *err)
{
    struct registration *of = ret;
    enum kt_status status = kt_node_get_id(fields, "node_id", of->id, err);
    return status == KT_OK ? get_addr(fields, false, of->addr, err) : status;
}

static enum kt_status check_asked(struct kt_node *node, const struct registration *of,
                                  struct kt_error *err)
{
    if (!node->guests) {
        return kt_fail(err, KT_CONFLICT,
                       node->standalone ? "this node is standalone: there is no cluster to join"
                                        : "this node has no etcd of its own: ask another one");
    }
    if (atomic_load(&node->draining)) {
        return kt_fail(err, KT_UNAVAILABLE, "this node is stopping: ask another one");
    }
    if (strcmp(of->id, node->id) == 0) {
        return kt_fail_field(err, KT_CONFLICT, "node_id", "node_id: %s is this node itself",
                             of->id);
    }
    return KT_OK;
}

static enum kt_status write_answer(const struct kt_guest *guest, int64_t lease,
                                   const struct kt_coord_view *view,
                                   struct kt_http_response *response, struct kt_error *err)
{
    char digits[24];
    struct kt_jw jw;
    enum kt_status status = KT_OK;
    snprintf(digits, sizeof(digits), "%" PRId64, lease);
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "node_id", guest->id);
    kt_jw_kv_text(&jw, "address", guest->addr);
    kt_jw_kv_i64(&jw, "ttl", guest->ttl_s);
    kt_jw_kv_text(&jw, "lease", digits);
    if (guest->entry) {
        kt_jw_key_text(&jw, "etcd");
        kt_jw_object(&jw);
        status = kt_coord_view_format(view, &jw);
        kt_jw_object_end(&jw);
    }
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
    return status == KT_OK ? KT_OK : kt_fail(err, status, "no memory for the answer");
}

typedef enum kt_status (*ask_fn)(struct kt_guests *guests, const struct kt_guest *guest,
                                 const struct kt_coord_view *view, int64_t *ret_lease,
                                 struct kt_error *err);

static void serve(struct kt_node *node, struct kt_http_request *request,
                  struct kt_http_response *response, ask_fn ask)
{
    struct kt_error err = KT_ERROR_INIT;
    struct registration of = {.entry = NULL};
    int64_t lease = 0;
    enum kt_status status = kt_node_read_body(request->body, read_guest, &of, &err);
    if (status == KT_OK) {
        status = check_asked(node, &of, &err);
    }
    if (status == KT_OK) {
        struct kt_coord_view *view = kt_replica_view(node->replica);
        bool knows = view->config.present && view->config.valid;
        struct kt_guest guest = {of.id, of.addr, of.entry,
                                 knows ? view->config.value.ttl_s : node->config->etcd.ttl};
        status = ask(node->guests, &guest, view, &lease, &err);
        kt_coord_view_unref(&view);
        if (status == KT_OK) {
            view = kt_replica_view(node->replica); /* it may show the entry already */
            status = write_answer(&guest, lease, view, response, &err);
            kt_coord_view_unref(&view);
        }
    }
    kt_free(of.entry);
    if (status != KT_OK) {
        kt_node_fail(node, response, false, &err);
    }
}

void kt_node_register(void *ctx, struct kt_http_request *request, struct kt_http_response *response)
{
    serve(ctx, request, response, kt_guests_register);
}

void kt_node_heartbeat(void *ctx, struct kt_http_request *request,
                       struct kt_http_response *response)
{
    serve(ctx, request, response, kt_guests_heartbeat);
}

void kt_node_deregister(void *ctx, struct kt_http_request *request,
                        struct kt_http_response *response)
{
    struct kt_node *node = ctx;
    struct kt_error err = KT_ERROR_INIT;
    struct registration of = {.entry = NULL};
    enum kt_status status = kt_node_read_body(request->body, read_leaving, &of, &err);
    if (status == KT_OK) {
        status = check_asked(node, &of, &err);
    }
    if (status == KT_OK) {
        status = kt_guests_deregister(node->guests, of.id, &err);
    }
    if (status != KT_OK) {
        kt_node_fail(node, response, false, &err);
        return;
    }
    struct kt_jw jw;
    kt_envelope_begin(response, &jw);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "node_id", of.id);
    kt_jw_object_end(&jw);
    kt_envelope_end(&jw);
}
