/* SPDX-License-Identifier: MIT */
#include "etcd/real_etcd.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/net.h"
#include "http/client.h"
#include "kt_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static uint16_t free_port(void)
{
    kt_socket socket = KT_NO_SOCKET;
    uint16_t port = 0;

    if (kt_net_listen("127.0.0.1", 0, 1, &socket, &port, NULL) != KT_OK) {
        return 0;
    }
    kt_net_close(&socket);
    return port;
}

static void run_etcd(const struct real_etcd *etcd)
{
    char client[96], peer[96], cluster[120], data[360], log[360], cert[400], key[400], ca[400];
    const char *args[32] = {"etcd", "--name", "test"};
    size_t count = 3;
    bool tls = etcd->certs[0] != '\0';
    int fd;

    snprintf(client, sizeof(client), "%s://127.0.0.1:%u", tls ? "https" : "http",
             (unsigned)etcd->client_port);
    snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", (unsigned)etcd->peer_port);
    snprintf(cluster, sizeof(cluster), "test=%s", peer);
    snprintf(data, sizeof(data), "%s/data", etcd->dir);
    snprintf(log, sizeof(log), "%s/log", etcd->dir);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
    snprintf(cert, sizeof(cert), "%s/%s.pem", etcd->certs, tls ? etcd->served : "");
    snprintf(key, sizeof(key), "%s/%s.key", etcd->certs, tls ? etcd->served : "");
    snprintf(ca, sizeof(ca), "%s/ca.pem", etcd->certs);
    const char *const plain[] = {"--data-dir",
                                 data,
                                 "--listen-client-urls",
                                 client,
                                 "--advertise-client-urls",
                                 client,
                                 "--listen-peer-urls",
                                 peer,
                                 "--initial-advertise-peer-urls",
                                 peer,
                                 "--initial-cluster",
                                 cluster,
                                 "--log-level",
                                 "warn"};
    const char *const secured[] = {"--cert-file", cert, "--key-file", key};
    const char *const asked[] = {"--client-cert-auth", "--trusted-ca-file", ca};
    for (size_t i = 0; i < KT_ARRAY_LEN(plain); i++) {
        args[count++] = plain[i];
    }
    for (size_t i = 0; tls && i < KT_ARRAY_LEN(secured); i++) {
        args[count++] = secured[i];
    }
    for (size_t i = 0; etcd->ask_clients && i < KT_ARRAY_LEN(asked); i++) {
        args[count++] = asked[i];
    }
    execvp("etcd", (char *const *)args);
    _exit(127);
}

static bool is_running(const struct real_etcd *etcd)
{
    return etcd->pid > 0 && kill((pid_t)etcd->pid, 0) == 0;
}

/* Also with a certificate that is refused here, or to a user that it does not know. */
static bool answers(const struct real_etcd *etcd)
{
    char ca[400], cert[400], key[400];
    struct kt_etcd_security security = {.ca_file = ca, .cert_file = cert, .key_file = key};
    struct kt_etcd_options options = {.endpoints = etcd->endpoint, .call_timeout_ms = 500};
    struct kt_error err = KT_ERROR_INIT;
    struct kt_etcd *client = NULL;
    struct kt_etcd_list list;
    enum kt_status status;

    snprintf(ca, sizeof(ca), "%s/ca.pem", etcd->certs);
    snprintf(cert, sizeof(cert), "%s/client.pem", etcd->certs);
    snprintf(key, sizeof(key), "%s/client.key", etcd->certs);
    options.security = etcd->certs[0] ? &security : NULL;
    if (kt_etcd_new(&options, &client, NULL) != KT_OK) {
        return false;
    }
    kt_etcd_list_init(&list);
    status = kt_etcd_range(client, KT_STR("/ready"), false, &list, &err);
    kt_etcd_list_done(&list);
    kt_etcd_free(&client);
    return status == KT_OK || status == KT_UNAUTHORIZED || strstr(err.message, "certificate");
}

bool real_etcd_restart(struct real_etcd *etcd)
{
    int64_t deadline_ms = kt_now_mono_ms() + 30000;

    /* Ignored children leave no zombie, so that a signal 0 tells whether one lives. */
    signal(SIGCHLD, SIG_IGN);
    fflush(stdout);
    etcd->pid = fork();
    if (etcd->pid == 0) {
        run_etcd(etcd);
    }
    while (kt_now_mono_ms() < deadline_ms && is_running(etcd)) {
        if (answers(etcd)) {
            return true;
        }
        kt_test_pause();
    }
    return false;
}

static bool is_installed(void)
{
    return access("/usr/bin/etcd", X_OK) == 0 || access("/usr/local/bin/etcd", X_OK) == 0;
}

static bool start(struct real_etcd *etcd, const char *name)
{
    struct kt_error err = KT_ERROR_INIT;

    if (!is_installed()) {
        kt_test_skip("etcd", "not installed");
        return false;
    }
    kt_test_path(etcd->dir, sizeof(etcd->dir), name);
    if (kt_fs_mkdirs(etcd->dir, &err) != KT_OK) {
        kt_test_fail(__FILE__, __LINE__, "%s", err.message);
        return false;
    }
    for (int attempt = 0; attempt < 3; attempt++) { /* another may take the port in between */
        etcd->client_port = free_port();
        etcd->peer_port = free_port();
        snprintf(etcd->endpoint, sizeof(etcd->endpoint), "%s127.0.0.1:%u",
                 etcd->certs[0] ? "https://" : "", (unsigned)etcd->client_port);
        if (real_etcd_restart(etcd)) {
            return true;
        }
        real_etcd_stop(etcd);
    }
    kt_test_fail(__FILE__, __LINE__, "etcd did not start, see %s/log", etcd->dir);
    return false;
}

bool real_etcd_start(struct real_etcd *etcd, const char *name)
{
    memset(etcd, 0, sizeof(*etcd));
    return start(etcd, name);
}

bool real_etcd_start_tls(struct real_etcd *etcd, const char *name, const char *certs,
                         const char *served, bool ask_clients)
{
    memset(etcd, 0, sizeof(*etcd));
    snprintf(etcd->certs, sizeof(etcd->certs), "%s", certs);
    etcd->served = served;
    etcd->ask_clients = ask_clients;
    return start(etcd, name);
}

bool real_etcd_certs(const char *name, char dest[340])
{
    const char *root = getenv("KT_SOURCE_ROOT");
    char command[900];

    if (access("/usr/bin/openssl", X_OK) != 0) {
        kt_test_skip("openssl", "the command is not installed");
        return false;
    }
    kt_test_path(dest, 340, name);
    if (kt_fs_mkdirs(dest, NULL) != KT_OK) {
        return false;
    }
    signal(SIGCHLD, SIG_DFL); /* or its exit status would be lost */
    snprintf(command, sizeof(command), "'%s/tests/certs.sh' '%s'", root ? root : ".", dest);
    if (system(command) != 0) {
        kt_test_fail(__FILE__, __LINE__, "tests/certs.sh failed, see %s/openssl.log", dest);
        return false;
    }
    return true;
}

void real_etcd_kill(struct real_etcd *etcd)
{
    int64_t deadline_ms = kt_now_mono_ms() + 10000;

    if (etcd->pid <= 0) {
        return;
    }
    kill((pid_t)etcd->pid, SIGKILL);
    while (is_running(etcd) && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
    etcd->pid = 0;
}

void real_etcd_pause(struct real_etcd *etcd)
{
    kill((pid_t)etcd->pid, SIGSTOP);
}

void real_etcd_resume(struct real_etcd *etcd)
{
    kill((pid_t)etcd->pid, SIGCONT);
}

void real_etcd_stop(struct real_etcd *etcd)
{
    real_etcd_kill(etcd);
}

bool real_etcd_post(const struct real_etcd *etcd, const char *path, const char *body, char *dest,
                    size_t size)
{
    struct kt_http_client *client = kt_http_client_new();
    struct kt_http_answer answer;
    char url[200];
    struct kt_http_call call = {.method = "POST",
                                .url = url,
                                .body = kt_str(body),
                                .timeout_ms = 5000,
                                .max_answer_bytes = 65536};
    bool ok;

    if (!client) {
        return false;
    }
    snprintf(url, sizeof(url), "http://%s%s", etcd->endpoint, path);
    kt_http_answer_init(&answer);
    ok = kt_http_client_call(client, &call, &answer, NULL) == KT_OK && answer.status == 200;
    kt_str_copy(dest, size, kt_buf_str(&answer.body));
    kt_http_answer_done(&answer);
    kt_http_client_free(&client);
    return ok;
}
