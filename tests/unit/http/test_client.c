/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "../kt_test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/net.h"
#include "base/thread.h"
#include "http/client.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct kt_http_client *client;
static struct kt_http_answer answer;
static struct kt_error err;
static uint16_t port;
static char url[128];

static const char *at(uint16_t to, const char *path)
{
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", to, path);
    return url;
}

static bool begin(void)
{
    world_defaults();
    kt_http_answer_done(&answer);
    kt_http_client_free(&client);
    client = kt_http_client_new();
    kt_http_answer_init(&answer);
    err = (struct kt_error)KT_ERROR_INIT;
    if (!client || !world_start()) {
        return false;
    }
    port = kt_http_server_port(world);
    return true;
}

static void end(void)
{
    world_stop();
    kt_http_answer_done(&answer);
    kt_http_client_free(&client);
    CHECK(client == NULL);
}

static enum kt_status get(const char *path)
{
    struct kt_http_call call = {
        .method = "GET", .url = at(port, path), .timeout_ms = 3000, .max_answer_bytes = 4 << 20};

    return kt_http_client_call(client, &call, &answer, &err);
}

/* A peer that says what it is told to, once, to whoever connects. */
struct peer {
    struct kt_thread thread;
    kt_socket listener;
    uint16_t port;
    const char *says; /* NULL = nothing */
    bool reads;       /* a request first */
    bool stays;       /* holds the connection until told */
    atomic_bool leaves;
    atomic_int accepted;
};

static void peer_run(void *arg)
{
    struct peer *peer = arg;
    kt_socket sock = KT_NO_SOCKET;
    struct kt_error ignored;
    char literal[64], scrap[4096];
    uint16_t from;

    if (kt_net_accept(peer->listener, 5000, &sock, literal, &from, &ignored) != KT_OK) {
        return;
    }
    atomic_fetch_add(&peer->accepted, 1);
    for (int64_t deadline_ms = kt_now_mono_ms() + 5000;
         peer->reads && kt_now_mono_ms() < deadline_ms;) {
        if (recv((int)sock, scrap, sizeof(scrap), MSG_DONTWAIT) > 0) {
            break;
        }
    }
    if (peer->says) {
        (void)!send((int)sock, peer->says, strlen(peer->says), MSG_NOSIGNAL);
    }
    for (int64_t deadline_ms = kt_now_mono_ms() + 5000;
         peer->stays && !atomic_load(&peer->leaves) && kt_now_mono_ms() < deadline_ms;) {
        kt_test_pause();
    }
    kt_net_close(&sock);
}

static bool peer_start(struct peer *peer, const char *says, bool stays)
{
    memset(peer, 0, sizeof(*peer));
    peer->says = says;
    peer->reads = true;
    peer->stays = stays;
    return kt_net_listen("127.0.0.1", 0, 8, &peer->listener, &peer->port, &err) == KT_OK &&
           kt_thread_start(&peer->thread, "peer", peer_run, peer, &err) == KT_OK;
}

static void peer_stop(struct peer *peer)
{
    atomic_store(&peer->leaves, true);
    kt_thread_join(&peer->thread);
    kt_net_close(&peer->listener);
}

static struct wire connecting(uint16_t to)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to)};
    struct wire wire = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)!connect(wire.fd, (struct sockaddr *)&address, sizeof(address));
    return wire;
}

static void an_answer_is_collected_with_its_head(void)
{
    CHECK(begin());
    CHECK_OK(get("/what?a=1"));
    CHECK_INT(answer.status, 200);
    CHECK(kt_str_find(kt_buf_str(&answer.body), KT_STR("|/what|a=1|")) > 0);
    CHECK_SLICE(kt_http_answer_header(&answer, "x-kamaitachi-node"), "test");
    CHECK_SLICE(kt_http_answer_header(&answer, "content-type"), "application/json");
    CHECK(kt_http_answer_header(&answer, "x-kamaitachi").data == NULL);
    CHECK(kt_http_answer_header(&answer, "absent").data == NULL);
    end();
}

static void any_status_is_an_answer(void)
{
    CHECK(begin());
    CHECK_OK(get("/nothing"));
    CHECK_INT(answer.status, 404);
    CHECK(kt_str_find(kt_buf_str(&answer.body), KT_STR("not_found")) > 0);
    CHECK_OK(get("/error"));
    CHECK_INT(answer.status, 500);
    end();
}

static void a_body_is_posted_with_the_given_headers(void)
{
    static char body[60000];
    struct kt_http_call call = {.method = "POST",
                                .timeout_ms = 3000,
                                .content_type = "application/json",
                                .headers = {"X-Request-Id: from-here", "X-Test: yes"},
                                .max_answer_bytes = 100000};

    CHECK(begin());
    memset(body, 'b', sizeof(body));
    call.url = at(port, "/echo");
    call.body = kt_str_n(body, sizeof(body));
    CHECK_OK(kt_http_client_call(client, &call, &answer, &err));
    CHECK_INT(answer.status, 200);
    CHECK_INT(answer.body.len_bytes, sizeof(body));
    CHECK_SLICE(kt_http_answer_header(&answer, "x-request-id"), "from-here");
    call.body = KT_STR("");
    CHECK_OK(kt_http_client_call(client, &call, &answer, &err));
    CHECK_INT(answer.body.len_bytes, 0);
    end();
}

static void every_method_can_be_asked(void)
{
    static const struct {
        const char *method, *path;
        int status;
    } table[] = {{"HEAD", "/big", 200},
                 {"DELETE", "/echo", 405},
                 {"PUT", "/echo", 405},
                 {"OPTIONS", "/echo", 405},
                 {"GET", "/echo", 200}};

    CHECK(begin());
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct kt_http_call call = {.method = table[i].method,
                                    .url = at(port, table[i].path),
                                    .timeout_ms = 3000,
                                    .max_answer_bytes = 1000};

        CHECK_OK(kt_http_client_call(client, &call, &answer, &err));
        CHECK_INT(answer.status, table[i].status);
    }
    end();
}

static void a_connection_is_kept_unless_it_shall_be_fresh(void)
{
    struct kt_http_server_stats stats;
    struct kt_http_call call = {.method = "GET", .timeout_ms = 3000, .fresh = true};

    CHECK(begin());
    for (int i = 0; i < 5; i++) {
        CHECK_OK(get("/what"));
    }
    kt_http_server_stats(world, &stats);
    CHECK_INT(stats.connections, 1);
    call.url = at(port, "/what");
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kt_http_client_call(client, &call, &answer, &err));
    }
    CHECK_OK(get("/what"));
    kt_http_server_stats(world, &stats);
    CHECK_INT(stats.connections, 4);
    end();
}

static void redirects_are_not_followed(void)
{
    struct peer peer;

    CHECK(begin());
    CHECK(peer_start(&peer, "HTTP/1.1 302 Found\r\nLocation: /what\r\nContent-Length: 0\r\n\r\n",
                     false));
    port = peer.port;
    CHECK_OK(get("/"));
    CHECK_INT(answer.status, 302);
    CHECK_SLICE(kt_http_answer_header(&answer, "location"), "/what");
    peer_stop(&peer);
    end();
}

static void proxies_of_the_environment_are_ignored(void)
{
    CHECK(begin());
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    CHECK_OK(get("/what"));
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    CHECK_INT(answer.status, 200);
    end();
}

static void an_answer_beyond_its_bound_is_too_large(void)
{
    struct kt_http_call call = {.method = "GET", .timeout_ms = 3000, .max_answer_bytes = 1000};

    CHECK(begin());
    call.url = at(port, "/big");
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_TOO_LARGE);
    /* Memory of a larger bound does not widen a smaller one. */
    CHECK_OK(get("/big"));
    CHECK_INT(answer.body.len_bytes, 1000000);
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_TOO_LARGE);
    end();
}

static void a_refused_connection_is_unavailable(void)
{
    kt_socket listener;
    uint16_t free_port;

    CHECK(begin());
    CHECK_OK(kt_net_listen("127.0.0.1", 0, 1, &listener, &free_port, &err));
    kt_net_close(&listener);
    port = free_port;
    CHECK_FAILS(get("/"), KT_UNAVAILABLE);
    CHECK(err.message[0] != '\0');
    end();
}

/* A listener that accepts nobody: its queue fills, and further connections are not answered. */
static void a_connection_that_is_not_made_in_time_is_unavailable(void)
{
    kt_socket listener;
    uint16_t full_port;
    struct wire fill[8];
    struct kt_http_call call = {.method = "GET", .timeout_ms = 300, .max_answer_bytes = 1000};

    CHECK(begin());
    CHECK_OK(kt_net_listen("127.0.0.1", 0, 1, &listener, &full_port, &err));
    for (int i = 0; i < 8; i++) {
        fill[i] = connecting(full_port);
    }
    call.url = at(full_port, "/");
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_UNAVAILABLE);
    call.timeout_ms = 3000;
    call.connect_timeout_ms = 200;
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_UNAVAILABLE);
    for (int i = 0; i < 8; i++) {
        wire_close(&fill[i]);
    }
    kt_net_close(&listener);
    end();
}

static void an_unknown_name_is_unavailable(void)
{
    struct kt_http_call call = {
        .method = "GET", .url = "http://no-such-name.invalid/", .timeout_ms = 5000};

    CHECK(begin());
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_UNAVAILABLE);
    end();
}

static void other_protocols_are_refused(void)
{
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "not a url", ""};

    CHECK(begin());
    for (size_t i = 0; i < KT_ARRAY_LEN(urls); i++) {
        struct kt_http_call call = {.method = "GET", .url = urls[i], .timeout_ms = 1000};

        CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_BAD_VALUE);
    }
    end();
}

static void a_connection_that_breaks_after_sending_is_a_bad_gateway(void)
{
    static const char *const table[] = {
        NULL,
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
    };

    CHECK(begin());
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct peer peer;

        CHECK(peer_start(&peer, table[i], false));
        port = peer.port;
        CHECK_FAILS(get("/"), KT_BAD_GATEWAY);
        peer_stop(&peer);
    }
    end();
}

static void a_silent_peer_times_out(void)
{
    struct kt_http_call call = {.method = "GET", .timeout_ms = 200};
    struct peer peer;
    int64_t began_ms, took_ms;

    CHECK(begin());
    CHECK(peer_start(&peer, NULL, true));
    call.url = at(peer.port, "/");
    began_ms = kt_now_mono_ms();
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_TIMEOUT);
    took_ms = kt_now_mono_ms() - began_ms;
    CHECK(took_ms >= 200 && took_ms < 1000);
    peer_stop(&peer);
    /* The client is good for the next call. */
    CHECK_OK(get("/what"));
    end();
}

static void a_peer_that_stalls_within_its_body_times_out(void)
{
    struct kt_http_call call = {.method = "GET", .timeout_ms = 200};
    struct peer peer;

    CHECK(begin());
    CHECK(peer_start(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", true));
    call.url = at(peer.port, "/");
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_TIMEOUT);
    peer_stop(&peer);
    end();
}

/* ---- streams ---- */

struct seen {
    struct kt_buf text;
    int stop_after; /* pieces; 0 = never */
    int pieces;
};

static bool on_data(void *ctx, struct kt_str data)
{
    struct seen *seen = ctx;

    kt_buf_append_str(&seen->text, data);
    seen->pieces++;
    return seen->stop_after == 0 || seen->pieces < seen->stop_after;
}

static void a_stream_is_handed_on_as_it_comes(void)
{
    struct seen seen = {0};
    struct kt_http_call call = {
        .method = "GET", .on_data = on_data, .on_data_ctx = &seen, .idle_timeout_ms = 1000};

    CHECK(begin());
    call.url = at(port, "/stream");
    CHECK_OK(kt_http_client_call(client, &call, &answer, &err));
    CHECK_SLICE(kt_buf_str(&seen.text), "part-0\npart-1\npart-2\npart-3\npart-4\n");
    CHECK_INT(answer.body.len_bytes, 0);
    kt_buf_done(&seen.text);
    end();
}

static void a_broken_stream_is_a_bad_gateway(void)
{
    struct seen seen = {0};
    struct kt_http_call call = {
        .method = "GET", .on_data = on_data, .on_data_ctx = &seen, .idle_timeout_ms = 1000};

    CHECK(begin());
    call.url = at(port, "/stream/broken");
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_BAD_GATEWAY);
    CHECK_SLICE(kt_buf_str(&seen.text), "part-0\npart-1\npart-2\n");
    kt_buf_done(&seen.text);
    end();
}

static void an_error_in_place_of_a_stream_is_collected(void)
{
    struct seen seen = {0};
    struct kt_http_call call = {.method = "GET",
                                .timeout_ms = 2000,
                                .max_answer_bytes = 1000,
                                .on_data = on_data,
                                .on_data_ctx = &seen};

    CHECK(begin());
    call.url = at(port, "/nothing");
    CHECK_OK(kt_http_client_call(client, &call, &answer, &err));
    CHECK_INT(answer.status, 404);
    CHECK_INT(seen.pieces, 0);
    CHECK(kt_str_find(kt_buf_str(&answer.body), KT_STR("not_found")) > 0);
    end();
}

static void a_reader_can_end_a_stream(void)
{
    struct seen seen = {.stop_after = 3};
    struct kt_http_call call = {
        .method = "GET", .on_data = on_data, .on_data_ctx = &seen, .idle_timeout_ms = 1000};

    CHECK(begin());
    call.url = at(port, "/stream/endless");
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_BUSY);
    CHECK_INT(seen.pieces, 3);
    kt_buf_done(&seen.text);
    end();
}

static void a_silent_stream_times_out_by_its_idle_time(void)
{
    struct seen seen = {0};
    struct kt_http_call call = {.method = "GET",
                                .timeout_ms = 100,
                                .on_data = on_data,
                                .on_data_ctx = &seen,
                                .idle_timeout_ms = 400};
    struct peer peer;
    int64_t began_ms, took_ms;

    CHECK(begin());
    CHECK(peer_start(&peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                     true));
    call.url = at(peer.port, "/");
    began_ms = kt_now_mono_ms();
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_TIMEOUT);
    took_ms = kt_now_mono_ms() - began_ms;
    CHECK(took_ms >= 400 && took_ms < 1500);
    CHECK_SLICE(kt_buf_str(&seen.text), "hello");
    peer_stop(&peer);
    kt_buf_done(&seen.text);
    end();
}

static void a_stream_without_a_head_times_out(void)
{
    struct seen seen = {0};
    struct kt_http_call call = {.method = "GET",
                                .timeout_ms = 150,
                                .on_data = on_data,
                                .on_data_ctx = &seen,
                                .idle_timeout_ms = 5000};
    struct peer peer;

    CHECK(begin());
    CHECK(peer_start(&peer, NULL, true));
    call.url = at(peer.port, "/");
    CHECK_FAILS(kt_http_client_call(client, &call, &answer, &err), KT_TIMEOUT);
    peer_stop(&peer);
    end();
}

static void an_interim_answer_is_not_the_answer(void)
{
    struct peer peer;

    CHECK(begin());
    CHECK(peer_start(&peer,
                     "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                     "HTTP/1.1 200 OK\r\nX-Own: y\r\nContent-Length: 2\r\n\r\nok",
                     false));
    port = peer.port;
    CHECK_OK(get("/"));
    CHECK_INT(answer.status, 200);
    CHECK(kt_http_answer_header(&answer, "link").data == NULL);
    CHECK_SLICE(kt_http_answer_header(&answer, "x-own"), "y");
    CHECK_SLICE(kt_buf_str(&answer.body), "ok");
    peer_stop(&peer);
    end();
}

/* ---- cancelling ---- */

static void cancel_when_gated(void *arg)
{
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;

    while (atomic_load(&world_gated) == 0 && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
    *(int64_t *)arg = kt_now_mono_ms();
    kt_http_client_cancel(client);
}

static void cancelling_ends_a_call_at_once_and_sticks(void)
{
    struct kt_thread thread = {0};
    int64_t cancelled_ms = 0;

    CHECK(begin());
    CHECK_OK(kt_thread_start(&thread, "cancel", cancel_when_gated, &cancelled_ms, &err));
    CHECK_FAILS(get("/gate"), KT_BUSY);
    kt_thread_join(&thread);
    CHECK(kt_now_mono_ms() - cancelled_ms < 150);
    CHECK_FAILS(get("/what"), KT_BUSY);
    kt_http_client_reset(client);
    CHECK_OK(get("/what"));
    end();
}

static void running_out_of_memory_is_said(void)
{
    CHECK(begin());
    for (uint64_t nth = 1; nth < 8; nth++) {
        enum kt_status status;

        kt_http_answer_done(&answer);
        kt_http_answer_init(&answer);
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = get("/what");
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY || status == KT_BAD_GATEWAY);
    }
    kt_fault_set(KT_FAULT_ALLOC, 1, 0);
    CHECK(kt_http_client_new() == NULL);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    end();
}

static const struct kt_test tests[] = {
    TEST(an_answer_is_collected_with_its_head),
    TEST(any_status_is_an_answer),
    TEST(a_body_is_posted_with_the_given_headers),
    TEST(every_method_can_be_asked),
    TEST(a_connection_is_kept_unless_it_shall_be_fresh),
    TEST(redirects_are_not_followed),
    TEST(proxies_of_the_environment_are_ignored),
    TEST(an_answer_beyond_its_bound_is_too_large),
    TEST(a_refused_connection_is_unavailable),
    TEST(a_connection_that_is_not_made_in_time_is_unavailable),
    TEST(an_unknown_name_is_unavailable),
    TEST(other_protocols_are_refused),
    TEST(a_connection_that_breaks_after_sending_is_a_bad_gateway),
    TEST(a_silent_peer_times_out),
    TEST(a_peer_that_stalls_within_its_body_times_out),
    TEST(a_stream_is_handed_on_as_it_comes),
    TEST(a_broken_stream_is_a_bad_gateway),
    TEST(an_error_in_place_of_a_stream_is_collected),
    TEST(a_reader_can_end_a_stream),
    TEST(a_silent_stream_times_out_by_its_idle_time),
    TEST(a_stream_without_a_head_times_out),
    TEST(an_interim_answer_is_not_the_answer),
    TEST(cancelling_ends_a_call_at_once_and_sticks),
    TEST(running_out_of_memory_is_said),
};

KT_TEST_MAIN(tests)
