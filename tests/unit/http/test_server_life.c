/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "../kt_test.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/net.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

static struct wire wire;
static struct wire_answer answer;
static uint16_t port;

static bool start(void)
{
    if (!world_start()) {
        return false;
    }
    port = kt_http_server_port(world);
    return true;
}

static bool begin(void)
{
    world_defaults();
    return start();
}

static void end(void)
{
    wire_close(&wire);
    wire_answer_free(&answer);
    world_stop();
}

static void wait_until_gated(int count)
{
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;

    while (atomic_load(&world_gated) < count && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
}

static int64_t stop_takes_ms(int64_t allow_ms)
{
    int64_t began_ms = kt_now_mono_ms();

    kt_http_server_stop(&world, began_ms + allow_ms);
    return kt_now_mono_ms() - began_ms;
}

static void an_idle_server_stops_at_once(void)
{
    CHECK(begin());
    CHECK(stop_takes_ms(5000) < 500);
    CHECK(world == NULL);
}

static void open_connections_do_not_delay_stopping(void)
{
    struct wire used[4], silent[4];

    CHECK(begin());
    for (int i = 0; i < 4; i++) {
        CHECK(wire_open(&used[i], port));
        CHECK(wire_text(&used[i], "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
        CHECK(wire_answer(&used[i], &answer, false));
        wire_answer_free(&answer);
        CHECK(wire_open(&silent[i], port));
    }
    CHECK(wire_text(&silent[0], "GET /wh"));
    CHECK(stop_takes_ms(5000) < 500);
    for (int i = 0; i < 4; i++) {
        CHECK(wire_ends(&used[i], 1000));
        CHECK(wire_ends(&silent[i], 1000));
        wire_close(&used[i]);
        wire_close(&silent[i]);
    }
}

static void stopping_finishes_what_runs(void)
{
    int64_t took_ms;

    CHECK(begin());
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    wait_until_gated(1);
    kt_http_server_drain(world);
    atomic_store(&world_gate, true);
    took_ms = stop_takes_ms(5000);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_STR(answer.body, "through");
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(wire_ends(&wire, 1000));
    CHECK(took_ms < 1000);
    end();
}

static void draining_closes_after_each_answer(void)
{
    CHECK(begin());
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(wire_header(&answer, "Connection"), "");
    wire_answer_free(&answer);
    kt_http_server_drain(world);
    CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    CHECK_STR(wire_header(&answer, "Connection"), "close");
    CHECK(wire_ends(&wire, 1000));
    end();
}

static void stop_in_background(void *arg)
{
    kt_http_server_stop(arg, kt_now_mono_ms() + 5000);
}

static void who_comes_while_we_stop_is_told(void)
{
    struct kt_thread stopper = {0};
    struct kt_error err = KT_ERROR_INIT;
    struct wire late;

    CHECK(begin());
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    wait_until_gated(1);
    CHECK_OK(kt_thread_start(&stopper, "stopper", stop_in_background, &world, &err));
    do {
        /* Until the stop has begun this is served. */
        CHECK(wire_open(&late, port));
        CHECK(wire_text(&late, "GET /what HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        CHECK(wire_answer(&late, &answer, false));
        wire_close(&late);
        if (answer.status == 503) {
            CHECK_STR(wire_header(&answer, "Retry-After"), "1");
        }
        wire_answer_free(&answer);
    } while (answer.status == 200);
    CHECK_INT(answer.status, 503);
    atomic_store(&world_gate, true);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    kt_thread_join(&stopper);
    CHECK(world == NULL);
    end();
}

/* Clients that ask without a pause and count what they get. */
struct load {
    struct kt_thread thread;
    int answered, refused, broken;
};

static void ask_until_it_ends(void *arg)
{
    struct load *load = arg;
    int64_t deadline_ms = kt_now_mono_ms() + WIRE_WAIT_MS;

    while (kt_now_mono_ms() < deadline_ms) {
        struct wire_answer got = {0};
        struct wire own;
        bool closes = false;

        if (!wire_open(&own, port)) {
            return;
        }
        while (!closes &&
               wire_text(&own, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")) {
            if (!wire_answer(&own, &got, false)) {
                load->broken++;
                wire_close(&own);
                return;
            }
            load->answered += got.status == 200;
            load->refused += got.status == 503;
            load->broken += got.status != 200 && got.status != 503;
            closes = strcmp(wire_header(&got, "Connection"), "close") == 0;
            wire_answer_free(&got);
        }
        wire_close(&own);
    }
}

static void stopping_under_load_breaks_no_answer_that_was_begun(void)
{
    struct load loads[4];
    struct kt_error err = KT_ERROR_INIT;
    struct kt_http_server_stats stats;
    int64_t took_ms;
    int answered = 0;

    CHECK(begin());
    memset(loads, 0, sizeof(loads));
    for (int i = 0; i < 4; i++) {
        CHECK_OK(kt_thread_start(&loads[i].thread, "load", ask_until_it_ends, &loads[i], &err));
    }
    do {
        kt_http_server_stats(world, &stats);
    } while (stats.requests < 500);
    kt_http_server_drain(world);
    took_ms = stop_takes_ms(5000);
    for (int i = 0; i < 4; i++) {
        kt_thread_join(&loads[i].thread);
        answered += loads[i].answered;
        /* One request each may be caught by the end of its connection, before it was taken. */
        CHECK(loads[i].broken <= 1);
    }
    CHECK(answered >= 490);
    CHECK(took_ms < 2000);
    end();
}

static void stopping_does_not_wait_beyond_its_deadline_for_a_slow_peer(void)
{
    CHECK(begin());
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"));
    while (true) {
        struct kt_http_server_stats stats;

        kt_http_server_stats(world, &stats);
        if (stats.active == 1) {
            break;
        }
    }
    CHECK(stop_takes_ms(200) < 1500);
    end();
}

static void a_silent_connection_is_closed_in_time(void)
{
    int64_t began_ms;

    world_defaults();
    world_options.first_byte_ms = 500;
    world_options.idle_timeout_ms = 60000;
    CHECK(start());
    began_ms = kt_now_mono_ms();
    CHECK(wire_open(&wire, port));
    CHECK(wire_ends(&wire, 5000));
    CHECK(kt_now_mono_ms() - began_ms >= 450);
    CHECK(kt_now_mono_ms() - began_ms < 4000);
    end();
}

static void an_idle_connection_is_closed_in_time(void)
{
    int64_t began_ms;

    world_defaults();
    world_options.idle_timeout_ms = 400;
    CHECK(start());
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wire_answer(&wire, &answer, false));
    began_ms = kt_now_mono_ms();
    CHECK(wire_ends(&wire, 5000));
    CHECK(kt_now_mono_ms() - began_ms >= 350);
    CHECK(kt_now_mono_ms() - began_ms < 2000);
    end();
}

/* More connections than workers: who is idle makes room for who waits. */
static void idle_connections_make_room(void)
{
    struct wire idle[2];
    int64_t began_ms;

    world_defaults();
    world_options.num_threads = 2;
    world_options.idle_timeout_ms = 60000;
    CHECK(start());
    for (int i = 0; i < 2; i++) {
        CHECK(wire_open(&idle[i], port));
        CHECK(wire_text(&idle[i], "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"));
        CHECK(wire_answer(&idle[i], &answer, false));
        wire_answer_free(&answer);
    }
    began_ms = kt_now_mono_ms();
    CHECK_INT(wire_once(port, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n", &answer), 200);
    CHECK(kt_now_mono_ms() - began_ms < 4000);
    CHECK_INT(wire_ends(&idle[0], 300) + wire_ends(&idle[1], 300), 1);
    wire_close(&idle[0]);
    wire_close(&idle[1]);
    end();
}

static void a_taken_port_names_the_address_and_who_holds_it(void)
{
    struct kt_http_server *second = NULL;
    struct kt_error err = KT_ERROR_INIT;
    char expected[64];

    CHECK(begin());
    world_options.port = port;
    CHECK_FAILS(kt_http_server_start(&world_options, &second, &err), KT_BUSY);
    CHECK(second == NULL);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u: address in use", port);
    CHECK(strstr(err.message, expected) != NULL);
#if defined(__linux__)
    snprintf(expected, sizeof(expected), "held by process %d", kt_process_id());
    CHECK(strstr(err.message, expected) != NULL);
#endif
    end();
}

static void an_address_that_is_not_ours_is_refused(void)
{
    struct kt_http_server *none = NULL;
    struct kt_error err = KT_ERROR_INIT;

    world_defaults();
    world_options.listen = "192.0.2.1";
    CHECK(kt_http_server_start(&world_options, &none, &err) != KT_OK);
    CHECK(strstr(err.message, "192.0.2.1") != NULL);
    CHECK(none == NULL);
    world_options.port = 1;
    CHECK(kt_http_server_start(&world_options, &none, &err) != KT_OK);
    CHECK(none == NULL);
}

static void a_port_is_free_again_after_stopping(void)
{
    CHECK(begin());
    CHECK_INT(wire_once(port, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n", &answer), 200);
    wire_answer_free(&answer);
    kt_http_server_stop(&world, kt_now_mono_ms() + 1000);
    world_options.port = port;
    CHECK(world_start());
    CHECK_INT(kt_http_server_port(world), port);
    CHECK_INT(wire_once(port, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n", &answer), 200);
    end();
}

static void servers_start_and_stop_side_by_side(void)
{
    struct kt_http_server *second = NULL;
    struct kt_error err = KT_ERROR_INIT;

    CHECK(begin());
    CHECK_OK(kt_http_server_start(&world_options, &second, &err));
    CHECK(kt_http_server_port(second) != port);
    CHECK_INT(
        wire_once(kt_http_server_port(second), "GET /what HTTP/1.1\r\nHost: x\r\n\r\n", &answer),
        200);
    wire_answer_free(&answer);
    kt_http_server_stop(&second, kt_now_mono_ms() + 1000);
    CHECK_INT(wire_once(port, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n", &answer), 200);
    end();
}

static void a_start_without_memory_leaves_nothing(void)
{
    struct kt_error err = KT_ERROR_INIT;

    world_defaults();
    for (uint64_t nth = 1; nth < 11; nth++) {
        struct kt_http_server *server = NULL;
        enum kt_status status;

        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        status = kt_http_server_start(&world_options, &server, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        CHECK(status == KT_OK || status == KT_NO_MEMORY);
        CHECK((server != NULL) == (status == KT_OK));
        kt_http_server_stop(&server, kt_now_mono_ms() + 1000);
    }
}

/* A worker that could not be made serves its connections with an error, not with silence. */
static void workers_without_memory_answer_500(void)
{
    world_defaults();
    world_options.num_threads = 1;
    kt_fault_set(KT_FAULT_ALLOC, 9, 1); /* the server, its parts, its watch, then no more */
    if (!world_start()) {
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        return;
    }
    port = kt_http_server_port(world);
    CHECK_INT(wire_once(port, "GET /what HTTP/1.1\r\nHost: x\r\n\r\n", &answer), 500);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    CHECK(strstr(answer.body, "no_memory") != NULL);
    end();
}

static const struct kt_test tests[] = {
    TEST(an_idle_server_stops_at_once),
    TEST(open_connections_do_not_delay_stopping),
    TEST(stopping_finishes_what_runs),
    TEST(draining_closes_after_each_answer),
    TEST(who_comes_while_we_stop_is_told),
    TEST(stopping_under_load_breaks_no_answer_that_was_begun),
    TEST(stopping_does_not_wait_beyond_its_deadline_for_a_slow_peer),
    TEST(a_silent_connection_is_closed_in_time),
    TEST(an_idle_connection_is_closed_in_time),
    TEST(idle_connections_make_room),
    TEST(a_taken_port_names_the_address_and_who_holds_it),
    TEST(an_address_that_is_not_ours_is_refused),
    TEST(a_port_is_free_again_after_stopping),
    TEST(servers_start_and_stop_side_by_side),
    TEST(a_start_without_memory_leaves_nothing),
    TEST(workers_without_memory_answer_500),
};

KT_TEST_MAIN(tests)
