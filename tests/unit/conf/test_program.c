/* SPDX-License-Identifier: MIT */
/* test_program.c - the life of a process: stopped by a signal, started again when it asks for it.
 */
#include "conf/program.h"
#include "made_up.h"

#include "base/log.h"
#include "base/thread.h"

#include <signal.h>
#include <unistd.h>

struct life {
    struct kt_program_life *handle;
    struct kt_thread thread;
    int starts, stops;
    int restarts; /* how many of the first starts ask for another */
};

static int level = KT_LOG_OFF, format;

/* What a node does when a copy waits: it asks from a thread of its own. */
static void ask(void *arg)
{
    struct life *life = arg;
    if (life->starts <= life->restarts) {
        kt_program_restart(life->handle);
    } else {
        kill(getpid(), SIGTERM);
    }
}

static void attach(void *ctx, struct kt_program_life *handle)
{
    struct life *life = ctx;
    life->handle = handle;
}

static enum kt_status start(void *ctx, const struct kt_flags *flags, struct kt_error *why)
{
    struct life *life = ctx;
    (void)flags;
    life->starts++;
    return kt_thread_start(&life->thread, "ask", ask, life, why);
}

static void stop(void *ctx)
{
    struct life *life = ctx;
    kt_thread_join(&life->thread);
    life->stops++;
}

static int run(struct life *life)
{
    static char name[] = "made_up";
    char *argv[] = {name};
    struct kt_program program = {
        .name = "made_up",
        .about = "a test",
        .table = made_up_table,
        .config = &made_up,
        .log_level = &level,
        .log_format = &format,
        .start = start,
        .stop = stop,
        .attach = attach,
        .ctx = life,
    };
    return kt_program_main(1, argv, &program);
}

/* One program a process: signals are taken over. */
static void a_program_starts_again_as_often_as_it_asks_until_a_signal_ends_it(void)
{
    struct life life = {.restarts = 2};
    CHECK_INT(run(&life), 0);
    CHECK_INT(life.starts, 3);
    CHECK_INT(life.stops, 3);
}

static const struct kt_test tests[] = {
    TEST(a_program_starts_again_as_often_as_it_asks_until_a_signal_ends_it),
};
KT_TEST_MAIN(tests)
