/* SPDX-License-Identifier: MIT */
/* More connections than workers: those that bring nothing make way for those that ask. */
#include "wire.h"

#include "../kt_test.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

#define WORKERS 4
#define CROWD 60
#define FIRST_BYTE_MS 1000
/* The bound itself is measured where the machine is quieter, by the cluster tests. */
#define PATIENCE_MS 6000

#define WHAT "GET /what HTTP/1.1\r\nHost: x\r\n\r\n"

static struct wire wire, crowd[CROWD];
static struct wire_answer answer;
static uint16_t port;

static bool begin(void)
{
    world_defaults();
    world_options.num_threads = WORKERS;
    world_options.first_byte_ms = FIRST_BYTE_MS;
    world_options.idle_timeout_ms = 60000;
    world_options.request_timeout_ms = 60000;
    for (int i = 0; i < CROWD; i++) {
        crowd[i].fd = -1;
    }
    wire.fd = -1;
    if (!world_start()) {
        return false;
    }
    port = kt_http_server_port(world);
    return true;
}

static void end(void)
{
    for (int i = 0; i < CROWD; i++) {
        wire_close(&crowd[i]);
    }
    wire_close(&wire);
    wire_answer_free(&answer);
    world_stop();
}

static bool gather(int count, const char *text)
{
    for (int i = 0; i < count; i++) {
        if (!wire_open(&crowd[i], port) || !wire_text(&crowd[i], text)) {
            return false;
        }
    }
    return true;
}

/* A request on a connection of its own, answered long before any time-out but the first byte's. */
static bool is_served(void)
{
    int64_t began_ms = kt_now_mono_ms();
    int status;

    wire_answer_free(&answer);
    status = wire_once(port, WHAT, &answer);
    if (status != 200 || kt_now_mono_ms() - began_ms > PATIENCE_MS) {
        kt_test_fail(__FILE__, __LINE__, "status %d after %lld ms", status,
                     (long long)(kt_now_mono_ms() - began_ms));
        return false;
    }
    return true;
}

static void silent_connections_make_way(void)
{
    CHECK(begin());
    CHECK(gather(CROWD, ""));
    CHECK(is_served());
    for (int i = 0; i < CROWD; i++) {
        CHECK(wire_ends(&crowd[i], PATIENCE_MS));
    }
    end();
}

static void heads_that_do_not_end_make_way(void)
{
    CHECK(begin());
    CHECK(gather(CROWD, "GET /what HTTP/1.1\r\nX-A: "));
    CHECK(is_served());
    end();
}

struct trickle {
    struct kt_thread thread;
    atomic_bool stop;
};

static void trickle(void *arg)
{
    struct trickle *self = arg;

    while (!atomic_load(&self->stop)) {
        for (int i = 0; i < CROWD; i++) {
            (void)wire_send(&crowd[i], "a", 1);
        }
        for (int i = 0; i < 200 && !atomic_load(&self->stop); i++) {
            kt_test_pause();
        }
    }
}

static void trickled_bytes_do_not_buy_time(void)
{
    static const char *const texts[] = {
        "GET /what HTTP/1.1\r\nX-A: ",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n",
        "POST /pull HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n",
        WHAT "GET /",
    };

    for (size_t i = 0; i < KT_ARRAY_LEN(texts); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct trickle self = {0};
        bool served;

        CHECK(begin());
        CHECK(gather(CROWD, texts[i]));
        CHECK_OK(kt_thread_start(&self.thread, "trickle", trickle, &self, &err));
        served = is_served() && is_served();
        atomic_store(&self.stop, true);
        kt_thread_join(&self.thread);
        CHECK(served);
        end();
    }
}

static void a_body_that_comes_too_slowly_is_told_that_others_wait(void)
{
    CHECK(begin());
    CHECK(gather(WORKERS, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"));
    CHECK(is_served());
    wire_answer_free(&answer);
    CHECK(wire_answer(&crowd[0], &answer, false));
    CHECK_INT(answer.status, 503);
    CHECK_STR(wire_header(&answer, "Retry-After"), "1");
    CHECK(strstr(answer.body, "others wait") != NULL);
    end();
}

static void who_takes_an_answer_too_slowly_makes_way(void)
{
    CHECK(begin());
    CHECK(gather(WORKERS / 2, "GET /stream/endless HTTP/1.1\r\nHost: x\r\n\r\n"));
    for (int i = WORKERS / 2; i < WORKERS; i++) {
        CHECK(wire_open(&crowd[i], port));
        CHECK(wire_text(&crowd[i], "GET /huge HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    CHECK(is_served());
    end();
}

static void garbage_whose_sender_stays_makes_way(void)
{
    CHECK(begin());
    CHECK(gather(CROWD, "\x01\x02\x03\x04\r\n\r\n"));
    CHECK(is_served());
    end();
}

static void without_a_crowd_nobody_is_hurried(void)
{
    CHECK(begin());
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"));
    for (int i = 0; i < 5; i++) {
        int64_t until_ms = kt_now_mono_ms() + 400;

        while (kt_now_mono_ms() < until_ms) {
            kt_test_pause();
        }
        CHECK(wire_send(&wire, "abcde" + i, 1));
    }
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_STR(answer.body, "abcde");
    end();
}

/* A whole request that waits for a worker is not at fault, however long it waits. */
static void who_has_asked_keeps_its_place_in_the_queue(void)
{
    int64_t until_ms;

    CHECK(begin());
    CHECK(gather(WORKERS, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    while (atomic_load(&world_gated) < WORKERS) {
        kt_test_pause();
    }
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"));
    until_ms = kt_now_mono_ms() + 2 * FIRST_BYTE_MS;
    while (kt_now_mono_ms() < until_ms) {
        kt_test_pause();
    }
    atomic_store(&world_gate, true);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    end();
}

static void imports_and_streams_leave_half_of_the_workers(void)
{
    CHECK(begin());
    CHECK(wire_open(&crowd[0], port));
    CHECK(wire_text(&crowd[0], "POST /pull HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"));
    CHECK(wire_open(&crowd[1], port));
    CHECK(wire_text(&crowd[1], "GET /stream/forever HTTP/1.1\r\nHost: x\r\n\r\n"));
    while (true) {
        struct kt_http_server_stats stats;

        kt_http_server_stats(world, &stats);
        if (stats.active == 2) {
            break;
        }
        kt_test_pause();
    }
    CHECK_INT(wire_once(port, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", &answer), 503);
    CHECK(strstr(answer.body, "\"code\":\"busy\"") != NULL);
    CHECK_STR(wire_header(&answer, "Retry-After"), "1");
    wire_answer_free(&answer);
    CHECK_INT(wire_once(port, "POST /pull HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
                        &answer),
              503);
    CHECK(is_served());
    wire_answer_free(&answer);
    CHECK(wire_text(&crowd[0], "abcde"));
    CHECK(wire_answer(&crowd[0], &answer, false));
    CHECK_STR(answer.body, "pulled=5 status=OK");
    end();
}

/* More clients than workers, none of them at fault: each has its turn. */
static void workers_go_round_among_busy_connections(void)
{
    int64_t deadline_ms = kt_now_mono_ms() + 2 * PATIENCE_MS;
    bool served = false;

    CHECK(begin());
    CHECK(gather(WORKERS, WHAT));
    CHECK(wire_open(&wire, port));
    CHECK(wire_text(&wire, WHAT));
    /* Each of those asks again at once, for as long as it may. */
    while (!served && kt_now_mono_ms() < deadline_ms) {
        for (int i = 0; i < WORKERS; i++) {
            if (crowd[i].fd >= 0 && wire_answer(&crowd[i], &answer, false)) {
                bool closes = strcmp(wire_header(&answer, "Connection"), "close") == 0;

                served = served || closes;
                if (!closes) {
                    CHECK(wire_text(&crowd[i], WHAT));
                }
            }
            wire_answer_free(&answer);
        }
        kt_test_pause();
    }
    CHECK(served);
    CHECK(wire_answer(&wire, &answer, false));
    CHECK_INT(answer.status, 200);
    end();
}

static const struct kt_test tests[] = {
    TEST(silent_connections_make_way),
    TEST(heads_that_do_not_end_make_way),
    TEST(trickled_bytes_do_not_buy_time),
    TEST(a_body_that_comes_too_slowly_is_told_that_others_wait),
    TEST(who_takes_an_answer_too_slowly_makes_way),
    TEST(garbage_whose_sender_stays_makes_way),
    TEST(without_a_crowd_nobody_is_hurried),
    TEST(who_has_asked_keeps_its_place_in_the_queue),
    TEST(imports_and_streams_leave_half_of_the_workers),
    TEST(workers_go_round_among_busy_connections),
};

KT_TEST_MAIN(tests)
