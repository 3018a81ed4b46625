/* SPDX-License-Identifier: MIT */
/* Answers of etcd 3.4, 3.5 and 3.6, byte for byte but for headers that nobody reads, through the
 * mock: each file of golden/ says where it is from, which call it answers and what that gives.
 *
 * Those of 3.4 were seen from Debian's etcd; the others are written after what etcd and the two
 * generations of its JSON gateway document.
 */
#include "etcd/mock.h"
#include "kt_test.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "etcd/etcd.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>

#define LEASE 77

static struct kt_error err;
static struct mock mock;

static struct golden {
    struct kt_buf text;
    char call[32], gives[256];
    struct kt_str head, body, trailer;
    bool chunked;
} golden;

static char carried[128]; /* the token of the last call; its connection has ended by then */
static char seen[1024];   /* what the call gave, as text */

static void see(const char *fmt, ...) KT_PRINTF(1, 2);
static void see(const char *fmt, ...)
{
    size_t len = strlen(seen);
    va_list args;

    va_start(args, fmt);
    vsnprintf(seen + len, sizeof(seen) - len, fmt, args);
    va_end(args);
}

/* --- the file --- */

static struct kt_str cut_line(struct kt_str *rest)
{
    return kt_str_cut(rest, '\n');
}

static bool read_golden(const char *path)
{
    struct kt_str rest, line;
    ptrdiff_t at;

    kt_buf_clear(&golden.text);
    if (kt_fs_read(path, 1 << 20, &golden.text, &err) != KT_OK) {
        return false;
    }
    rest = kt_buf_str(&golden.text);
    golden.call[0] = golden.gives[0] = '\0';
    while (kt_str_starts(rest, KT_STR("# "))) {
        line = cut_line(&rest);
        if (kt_str_starts(line, KT_STR("# call: "))) {
            kt_str_copy(golden.call, sizeof(golden.call), kt_str_n(line.data + 8, line.len - 8));
        } else if (kt_str_starts(line, KT_STR("# gives: "))) {
            kt_str_copy(golden.gives, sizeof(golden.gives), kt_str_n(line.data + 9, line.len - 9));
        }
    }
    at = kt_str_find(rest, KT_STR("\n\n"));
    if (at < 0) {
        return false;
    }
    golden.head = kt_str_n(rest.data, (size_t)at);
    golden.body = kt_str_n(rest.data + at + 2, rest.len - (size_t)at - 2);
    golden.trailer = kt_str_n("", 0);
    at = kt_str_find(golden.body, KT_STR("-- trailer\n"));
    if (at >= 0) {
        golden.trailer = kt_str_n(golden.body.data + at + 11, golden.body.len - (size_t)at - 11);
        golden.body.len = (size_t)at;
    }
    golden.chunked = kt_str_find(golden.head, KT_STR("Transfer-Encoding: chunked")) >= 0;
    return golden.call[0] && golden.gives[0];
}

/* --- the server --- */

static void send_lines(struct mock_conn *conn, struct kt_str lines)
{
    char line[300];

    while (lines.data && lines.len > 0) {
        kt_str_copy(line, sizeof(line) - 2, cut_line(&lines));
        snprintf(line + strlen(line), 3, "\r\n");
        mock_send(conn, line);
    }
}

static void send_golden(struct mock_conn *conn)
{
    struct kt_str rest = golden.body;
    char length[60];

    send_lines(conn, golden.head);
    if (!golden.chunked) {
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", golden.body.len);
        mock_send(conn, length);
        mock_send(conn, golden.body.len > 0 ? golden.body.data : ""); /* the text ends with it */
        return;
    }
    mock_send(conn, "\r\n");
    while (rest.data && rest.len > 0) { /* a message a line, and its line end */
        struct kt_str line = cut_line(&rest);

        mock_chunk(conn, kt_str_n(line.data, line.len + 1));
    }
    if (strcmp(golden.call, "watch") == 0) {
        mock_hold(conn, 30000);
    }
    mock_send(conn, "0\r\n");
    send_lines(conn, golden.trailer);
    mock_send(conn, "\r\n");
}

static bool is_login(const struct mock_request *request)
{
    return strcmp(request->path, "/v3/auth/authenticate") == 0;
}

static bool answer(struct mock_conn *conn, const struct mock_request *request, void *ctx)
{
    (void)ctx;
    if (strcmp(golden.call, "login") == 0 && !is_login(request)) {
        memcpy(carried, request->authorization, sizeof(carried));
        mock_json(conn, 200, "{\"header\":{\"revision\":\"1\"}}");
    } else if (strcmp(golden.call, "logged_in") == 0 && is_login(request)) {
        mock_json(conn, 200, "{\"header\":{\"revision\":\"1\"},\"token\":\"t.1\"}");
    } else {
        send_golden(conn);
    }
    return false;
}

/* --- the calls --- */

static enum kt_status call_range(struct kt_etcd *etcd)
{
    struct kt_etcd_list list;
    enum kt_status status;

    kt_etcd_list_init(&list);
    status = kt_etcd_range(etcd, KT_STR("/a"), true, &list, &err);
    if (status == KT_OK) {
        see("revision=%lld cluster=%llu", (long long)list.revision,
            (unsigned long long)list.cluster_id);
    }
    for (size_t i = 0; i < list.count; i++) {
        const struct kt_etcd_kv *kv = &list.kvs[i];

        see(" " KT_STR_FMT "=" KT_STR_FMT " create=%lld mod=%lld lease=%lld", KT_STR_ARG(kv->key),
            KT_STR_ARG(kv->value), (long long)kv->create_revision, (long long)kv->mod_revision,
            (long long)kv->lease);
    }
    kt_etcd_list_done(&list);
    return status;
}

static enum kt_status call_put(struct kt_etcd *etcd, int64_t lease)
{
    int64_t revision = 0;
    enum kt_status status = kt_etcd_put(etcd, KT_STR("/a"), KT_STR("1"), lease, &revision, &err);

    see("revision=%lld", (long long)revision);
    return status;
}

static enum kt_status call_txn(struct kt_etcd *etcd)
{
    struct kt_etcd_op op = {KT_ETCD_OP_PUT, KT_STR("/a"), KT_STR("v"), 0};
    bool succeeded = false;
    int64_t revision = 0;
    enum kt_status status = kt_etcd_txn(etcd, NULL, 0, &op, 1, &succeeded, &revision, &err);

    see("succeeded=%s revision=%lld", succeeded ? "true" : "false", (long long)revision);
    return status;
}

static enum kt_status call_delete(struct kt_etcd *etcd)
{
    int64_t deleted = -1;
    enum kt_status status = kt_etcd_delete(etcd, KT_STR("/a"), false, &deleted, &err);

    see("deleted=%lld", (long long)deleted);
    return status;
}

static enum kt_status call_lease(struct kt_etcd *etcd)
{
    int64_t lease = LEASE, ttl_s = 0;
    enum kt_status status;

    if (strcmp(golden.call, "revoke") == 0) {
        return kt_etcd_lease_revoke(etcd, lease, &err);
    }
    if (strcmp(golden.call, "keepalive") == 0) {
        status = kt_etcd_lease_keepalive(etcd, lease, &ttl_s, &err);
    } else {
        status = kt_etcd_lease_grant(etcd, 5, &lease, &ttl_s, &err);
        see("lease=%lld ", (long long)lease);
    }
    see("ttl=%lld", (long long)ttl_s);
    return status;
}

static bool on_events(void *ctx, const struct kt_etcd_event *events, size_t count, int64_t revision)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        see("%s" KT_STR_FMT, events[i].is_delete ? "-" : "+", KT_STR_ARG(events[i].kv.key));
    }
    see("@%lld|", (long long)revision);
    return true;
}

static void on_created(void *ctx, int64_t revision)
{
    (void)revision;
    ++*(int *)ctx;
    see("created=%d ", *(int *)ctx);
}

static enum kt_status call_watch(struct kt_etcd *etcd)
{
    int created = 0;
    struct kt_etcd_watch watch = {.prefix = KT_STR("/"),
                                  .start_revision = 5,
                                  .silence_ms = 200,
                                  .on_events = on_events,
                                  .on_created = on_created,
                                  .ctx = &created};
    enum kt_status status = kt_etcd_watch(etcd, &watch, &err);

    if (created == 0) {
        see("created=0 ");
    }
    return status;
}

static enum kt_status call_version(struct kt_etcd *etcd)
{
    char version[32] = "";
    enum kt_status status = kt_etcd_version(etcd, version, &err);

    see("%s", version);
    return status;
}

/* The token as the next call carried it. */
static enum kt_status call_login(struct kt_etcd *etcd)
{
    struct kt_etcd_list list;
    enum kt_status status;

    kt_etcd_list_init(&list);
    status = kt_etcd_range(etcd, KT_STR("/a"), true, &list, &err);
    kt_etcd_list_done(&list);
    see("token=<%s>", carried);
    return status;
}

static enum kt_status make_call(struct kt_etcd *etcd)
{
    if (strcmp(golden.call, "range") == 0 || strcmp(golden.call, "logged_in") == 0) {
        return call_range(etcd);
    }
    if (strncmp(golden.call, "put", 3) == 0) {
        return call_put(etcd, strcmp(golden.call, "put_leased") == 0 ? LEASE : 0);
    }
    return strcmp(golden.call, "txn") == 0       ? call_txn(etcd)
           : strcmp(golden.call, "delete") == 0  ? call_delete(etcd)
           : strcmp(golden.call, "watch") == 0   ? call_watch(etcd)
           : strcmp(golden.call, "version") == 0 ? call_version(etcd)
           : strcmp(golden.call, "login") == 0   ? call_login(etcd)
                                                 : call_lease(etcd);
}

static enum kt_status run_golden(void)
{
    bool with_user = strncmp(golden.call, "log", 3) == 0;
    struct kt_etcd_security security = {.user = "kt", .password = "secret"};
    struct kt_etcd_options options = {.call_timeout_ms = 5000};
    struct kt_etcd *etcd = NULL;
    enum kt_status status = KT_INTERNAL;

    seen[0] = carried[0] = '\0';
    memset(&err, 0, sizeof(err));
    if (!mock_start(&mock, answer, NULL)) {
        return KT_INTERNAL;
    }
    options.endpoints = mock.endpoint;
    options.security = with_user ? &security : NULL;
    if (kt_etcd_new(&options, &etcd, &err) == KT_OK) {
        status = make_call(etcd);
    }
    kt_etcd_free(&etcd);
    mock_stop(&mock);
    if (status != KT_OK) {
        see("; %s", err.message);
    }
    return status;
}

/* "STATUS text": the status, and the text within what was seen. */
static bool is_as_told(enum kt_status status)
{
    struct kt_str rest = kt_str(golden.gives), name = kt_str_cut(&rest, ' ');

    return kt_str_eq(name, kt_str(kt_status_name(status))) && rest.data &&
           kt_str_find(kt_str(seen), rest) >= 0;
}

static void every_golden_answer_is_understood_as_its_file_says(void)
{
    const char *root = getenv("KT_SOURCE_ROOT");
    char dir[400], path[800];
    struct dirent *entry;
    int count = 0, wrong = 0;
    DIR *listing;

    snprintf(dir, sizeof(dir), "%s/tests/unit/etcd/golden", root ? root : ".");
    listing = opendir(dir);
    CHECK(listing);
    kt_buf_init(&golden.text, 0);
    while ((entry = readdir(listing)) != NULL) {
        enum kt_status status;

        if (!kt_str_ends(kt_str(entry->d_name), KT_STR(".http"))) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (!read_golden(path)) {
            printf("  %s is no golden file\n", path);
            wrong++;
            continue;
        }
        status = run_golden();
        if (!is_as_told(status)) {
            printf("  %s: gave %s %s, should give %s\n", entry->d_name, kt_status_name(status),
                   seen, golden.gives);
            wrong++;
        }
        count++;
    }
    closedir(listing);
    kt_buf_done(&golden.text);
    CHECK_INT(wrong, 0);
    CHECK(count >= 50);
}

static const struct kt_test tests[] = {
    TEST(every_golden_answer_is_understood_as_its_file_says),
};

KT_TEST_MAIN(tests)
