/* SPDX-License-Identifier: MIT */
/* https, against an etcd that is installed here, with certificates made for the test. */
#include "etcd/real_etcd.h"
#include "kt_test.h"

#include "base/fs.h"
#include "base/mem.h"

static struct kt_error err;
static struct real_etcd server; /* asks clients for a certificate */
static char certs[340];

static char *path_of(const char *file)
{
    static char paths[4][400];
    static unsigned turn;
    char *path = paths[turn++ % KT_ARRAY_LEN(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", certs, file);
    return path;
}

static bool begin(void)
{
    return (certs[0] || real_etcd_certs("certs", certs)) &&
           (server.pid != 0 || real_etcd_start_tls(&server, "asking", certs, "server", true));
}

static enum kt_status open_at(struct kt_etcd **ret_client, const char *endpoints, const char *ca,
                              const char *client)
{
    char cert[400], key[400], authority[400];
    struct kt_etcd_security security = {.ca_file = authority, .cert_file = cert, .key_file = key};
    struct kt_etcd_options options = {
        .endpoints = endpoints, .call_timeout_ms = 3000, .security = &security};
    struct kt_etcd_list list;
    enum kt_status status;

    snprintf(authority, sizeof(authority), "%s/%s", certs, ca);
    snprintf(cert, sizeof(cert), "%s/%s.pem", certs, client ? client : "");
    snprintf(key, sizeof(key), "%s/%s.key", certs, client ? client : "");
    if (!client) {
        cert[0] = key[0] = '\0';
    }
    status = kt_etcd_new(&options, ret_client, &err);
    if (status == KT_OK) {
        kt_etcd_list_init(&list);
        status = kt_etcd_range(*ret_client, KT_STR("/"), true, &list, &err);
        kt_etcd_list_done(&list);
        kt_etcd_free(ret_client);
    }
    return status;
}

static bool on_events(void *ctx, const struct kt_etcd_event *events, size_t count, int64_t revision)
{
    (void)events;
    (void)count;
    (void)revision;
    *(bool *)ctx = true;
    return false;
}

static void calls_transactions_and_watches_go_over_tls_with_a_clients_certificate(void)
{
    struct kt_etcd_security security = {0};
    struct kt_etcd_options options = {.call_timeout_ms = 5000, .security = &security};
    struct kt_etcd_op op = {KT_ETCD_OP_PUT, KT_STR("/kt/txn"), KT_STR("v"), 0};
    struct kt_etcd *client = NULL;
    bool succeeded = false, seen = false;
    int64_t revision = 0;
    struct kt_etcd_watch watch = {.prefix = KT_STR("/kt/"),
                                  .start_revision = 1,
                                  .silence_ms = 5000,
                                  .on_events = on_events,
                                  .ctx = &seen};

    if (!begin()) {
        return;
    }
    options.endpoints = server.endpoint;
    security.ca_file = path_of("ca.pem");
    security.cert_file = path_of("client.pem");
    security.key_file = path_of("client.key");
    CHECK_OK(kt_etcd_security_check(options.endpoints, &security, &err));
    CHECK_OK(kt_etcd_new(&options, &client, &err));
    CHECK_OK(kt_etcd_txn(client, NULL, 0, &op, 1, &succeeded, &revision, &err));
    CHECK_OK(kt_etcd_put(client, KT_STR("/kt/a"), KT_STR("1"), 0, NULL, &err));
    CHECK_OK(kt_etcd_watch(client, &watch, &err));
    CHECK(seen);
    kt_etcd_free(&client);
}

static void a_certificate_of_another_authority_is_refused_and_the_log_line_names_the_key(void)
{
    struct kt_etcd *client = NULL;

    if (!begin()) {
        return;
    }
    CHECK_FAILS(open_at(&client, server.endpoint, "other_ca.pem", "client"), KT_UNAVAILABLE);
    CHECK(strstr(err.message, "certificate"));
    CHECK(strstr(err.message, "check [etcd] ca_file"));
    CHECK(strstr(err.message, server.endpoint));
}

static void without_a_ca_file_the_systems_authorities_count(void)
{
    struct kt_etcd_options options = {.call_timeout_ms = 3000};
    struct kt_etcd *client = NULL;
    char version[32];

    if (!begin()) {
        return;
    }
    options.endpoints = server.endpoint;
    CHECK_OK(kt_etcd_new(&options, &client, &err));
    CHECK_FAILS(kt_etcd_version(client, version, &err), KT_UNAVAILABLE);
    CHECK(strstr(err.message, "check [etcd] ca_file"));
    kt_etcd_free(&client);
}

static void without_the_certificate_that_etcd_asks_for_nothing_is_done(void)
{
    struct kt_etcd *client = NULL;
    enum kt_status status;

    if (!begin()) {
        return;
    }
    /* With TLS 1.3 the refusal comes behind the first bytes that were sent. */
    status = open_at(&client, server.endpoint, "ca.pem", NULL);
    CHECK(status == KT_UNAVAILABLE || status == KT_BAD_GATEWAY);
    CHECK(strstr(err.message, "cert_file"));
}

static void expired_and_foreign_certificates_are_refused_and_the_next_endpoint_taken(void)
{
    static const char *const served[] = {"expired", "elsewhere"};
    static const char *const said[] = {"expired", "certificate subject name"};
    struct kt_etcd *client = NULL;
    char endpoints[200];

    if (!begin()) {
        return;
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(served); i++) {
        struct real_etcd wrong;

        CHECK(real_etcd_start_tls(&wrong, served[i], certs, served[i], false));
        CHECK_FAILS(open_at(&client, wrong.endpoint, "ca.pem", NULL), KT_UNAVAILABLE);
        CHECK(strstr(err.message, said[i]));
        CHECK(strstr(err.message, "the names and dates in etcd's certificate"));
        snprintf(endpoints, sizeof(endpoints), "%s,%s", wrong.endpoint, server.endpoint);
        CHECK_OK(open_at(&client, endpoints, "ca.pem", "client"));
        real_etcd_stop(&wrong);
    }
}

static void the_wrong_scheme_is_told(void)
{
    struct kt_etcd_options options = {.call_timeout_ms = 3000};
    struct kt_etcd *client = NULL;
    struct real_etcd plain;
    char endpoint[100], version[32];

    if (!begin()) {
        return;
    }
    options.endpoints = server.endpoint + strlen("https://");
    CHECK_OK(kt_etcd_new(&options, &client, &err));
    CHECK_FAILS(kt_etcd_version(client, version, &err), KT_UNAVAILABLE);
    CHECK(strstr(err.message, "wants https:// in [etcd] endpoints"));
    kt_etcd_free(&client);
    CHECK(real_etcd_start(&plain, "plain"));
    snprintf(endpoint, sizeof(endpoint), "https://%s", plain.endpoint);
    options.endpoints = endpoint;
    CHECK_OK(kt_etcd_new(&options, &client, &err));
    CHECK_FAILS(kt_etcd_version(client, version, &err), KT_UNAVAILABLE);
    CHECK(strstr(err.message, "and that it speaks https"));
    kt_etcd_free(&client);
    real_etcd_stop(&plain);
}

static void what_does_not_go_together_is_refused_with_the_key(void)
{
    char missing[400], empty[400];
    struct kt_etcd_security security;

    kt_test_path(missing, sizeof(missing), "missing.pem");
    kt_test_path(empty, sizeof(empty), "no_pem.pem");
    CHECK_OK(kt_fs_write_durably(empty, KT_STR("hello\n"), &err));
    const struct {
        const char *endpoints;
        struct kt_etcd_security security;
        const char *says; /* NULL: it is good */
    } cases[] = {
        {"a:1", {.user = "u", .password = "p"}, NULL},
        {"https://a:1", {.user = "", .password = "", .ca_file = ""}, NULL},
        {"", {.user = "u", .ca_file = missing}, NULL}, /* standalone */
        {"a:1", {.user = "u"}, "[etcd] user is set, but not [etcd] password"},
        {"a:1", {.user = "u", .password = ""}, "[etcd] user is set, but not [etcd] password"},
        {"a:1", {.password = "hush"}, "[etcd] password is set, but not [etcd] user"},
        {"https://a:1", {.key_file = missing}, "[etcd] key_file is set, but not [etcd] cert_file"},
        {"a:1,http://b:2", {.ca_file = missing}, "[etcd] ca_file is set, but no endpoint begins"},
        {"a:1", {.cert_file = missing}, "[etcd] cert_file is set, but no endpoint begins"},
        {"a:1, https://b:2", {.ca_file = missing}, "[etcd] ca_file: "},
        {"https://a:1", {.cert_file = missing}, "[etcd] cert_file: "},
        {"https://a:1", {.ca_file = empty}, "holds nothing in PEM"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        security = cases[i].security;
        if (!cases[i].says) {
            CHECK_OK(kt_etcd_security_check(cases[i].endpoints, &security, &err));
            continue;
        }
        CHECK_FAILS(kt_etcd_security_check(cases[i].endpoints, &security, &err), KT_BAD_VALUE);
        CHECK(strstr(err.message, cases[i].says));
        CHECK(!strstr(err.message, "hush"));
    }
}

static const struct kt_test tests[] = {
    TEST(calls_transactions_and_watches_go_over_tls_with_a_clients_certificate),
    TEST(a_certificate_of_another_authority_is_refused_and_the_log_line_names_the_key),
    TEST(without_a_ca_file_the_systems_authorities_count),
    TEST(without_the_certificate_that_etcd_asks_for_nothing_is_done),
    TEST(expired_and_foreign_certificates_are_refused_and_the_next_endpoint_taken),
    TEST(the_wrong_scheme_is_told),
    TEST(what_does_not_go_together_is_refused_with_the_key),
};

int main(int argc, char **argv)
{
    int status = kt_test_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);

    real_etcd_stop(&server);
    return status;
}
