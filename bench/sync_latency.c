/* SPDX-License-Identifier: MIT */
/* sync_latency - how long after a write at the leader every slave answers with it, and whether any
 * write is never seen.
 *
 * One thread writes numbered records at a steady rate; one thread per slave asks, again and again,
 * for the newest number (-by value), or looks at X-Kamaitachi-Revision of a cheap answer (-by
 * revision), and notes when it first saw which. A number stands for those before it, since the
 * leader puts writes in order; whether none is missing in between is asked at the end, record by
 * record. What a slave shows is known only when its answer is here, so every time is an upper
 * bound; `resolution_ms` is the time from one answer to the next.
 *
 * The subjects "sync_latency:…" are deleted at the end, unless -keep.
 */
#include "bench/sync_latency.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WRITES_MAX 1000000

static int usage(FILE *stream)
{
    fputs(
        "usage: sync_latency -leader HOST:PORT -slaves HOST:PORT[,HOST:PORT…]\n"
        "                    [-writes N] [-rate R] [-by value|revision] [-poll-us U] [-wait S]\n"
        "                    [-json FILE|-] [-probe-dir DIR] [-keep]\n"
        "Writes N records (1000) at the leader, R a second (100), and measures how long it takes\n"
        "until every slave answers with them. Waits S seconds (10) for the last one. Exit status\n"
        "1 when a write failed or an acknowledged one is missing on a slave.\n"
        "  -by         what is looked at: the value itself, or X-Kamaitachi-Revision\n"
        "  -poll-us    pause between two questions to a slave (200)\n"
        "  -probe-dir  where the disk is probed (.)\n"
        "  -keep       leaves the written subjects, sync_latency:…, in the cluster\n",
        stream);
    return stream == stderr ? 2 : 0;
}

struct flag {
    const char *name;
    const char **text;
    int64_t *number, min, max;
};

/* -1: go on; else the exit status. */
static int take_flag(const struct flag *flags, size_t count, const char *name, const char *value)
{
    for (size_t i = 0; i < count; i++) {
        const struct flag *flag = &flags[i];
        int64_t number;
        if (strcmp(flag->name, name) != 0) {
            continue;
        }
        if (!value || value[0] == '\0') {
            fprintf(stderr, "sync_latency: %s wants a value\n", name);
            return usage(stderr);
        }
        if (flag->text) {
            *flag->text = value;
        } else if (kt_parse_i64(kt_str(value), &number) && number >= flag->min &&
                   number <= flag->max) {
            *flag->number = number;
        } else {
            fprintf(stderr, "sync_latency: %s wants a number in %" PRId64 "..%" PRId64 "\n", name,
                    flag->min, flag->max);
            return usage(stderr);
        }
        return -1;
    }
    fprintf(stderr, "sync_latency: unknown flag %s\n", name);
    return usage(stderr);
}

static int parse_flags(struct sync_options *options, int argc, char **argv)
{
    const char *by = "value";
    const struct flag flags[] = {
        {"-leader", &options->leader, NULL, 0, 0},
        {"-slaves", &options->slaves, NULL, 0, 0},
        {"-json", &options->json, NULL, 0, 0},
        {"-probe-dir", &options->probe_dir, NULL, 0, 0},
        {"-by", &by, NULL, 0, 0},
        {"-writes", NULL, &options->writes, 1, WRITES_MAX},
        {"-rate", NULL, &options->rate, 1, 100000},
        {"-poll-us", NULL, &options->poll_us, 0, 1000000},
        {"-wait", NULL, &options->wait_s, 1, 600},
    };

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        if (strcmp(name, "-help") == 0 || strcmp(name, "-h") == 0) {
            return usage(stdout);
        }
        if (strcmp(name, "-keep") == 0) {
            options->keep = true;
            continue;
        }
        int status = take_flag(flags, KT_ARRAY_LEN(flags), name, i + 1 < argc ? argv[++i] : NULL);
        if (status >= 0) {
            return status;
        }
    }
    options->by_revision = strcmp(by, "revision") == 0;
    if (!options->leader || !options->slaves ||
        (!options->by_revision && strcmp(by, "value") != 0)) {
        fputs("sync_latency: -leader and -slaves are needed; -by is value or revision\n", stderr);
        return usage(stderr);
    }
    return -1;
}

static bool split_slaves(struct sync_run *run)
{
    struct kt_str rest = kt_str(run->options.slaves);

    while (rest.data) {
        struct kt_str addr = kt_str_trim(kt_str_cut(&rest, ','));
        if (addr.len == 0 || run->slave_count == SYNC_SLAVES_MAX ||
            addr.len >= sizeof(run->slaves[0].addr)) {
            fprintf(stderr, "sync_latency: -slaves wants 1..%d addresses\n", SYNC_SLAVES_MAX);
            return false;
        }
        struct sync_slave *slave = &run->slaves[run->slave_count++];
        kt_str_copy(slave->addr, sizeof(slave->addr), addr);
        slave->run = run;
    }
    return run->slave_count > 0;
}

static void stop_now(void *arg, enum kt_signal signal)
{
    struct sync_run *run = arg;

    if (signal == KT_SIGNAL_STOP) {
        atomic_store(&run->stop, true);
    }
}

/* The slaves' threads end when they have seen all, or at the deadline. */
static void wait_for_slaves(struct sync_run *run)
{
    int64_t deadline_us = kt_now_mono_us() + run->options.wait_s * 1000000;

    for (size_t s = 0; s < run->slave_count; s++) {
        while (!atomic_load(&run->stop) && !atomic_load(&run->slaves[s].done) &&
               kt_now_mono_us() < deadline_us) {
            kt_sleep_until_us(kt_now_mono_us() + 1000);
        }
    }
    atomic_store(&run->stop, true);
    for (size_t s = 0; s < run->slave_count; s++) {
        kt_thread_join(&run->slaves[s].thread);
    }
}

int main(int argc, char **argv)
{
    static struct sync_run run = {
        .options = {.writes = 1000, .rate = 100, .poll_us = 200, .wait_s = 10, .probe_dir = "."}};
    struct kt_error err = KT_ERROR_INIT;
    int status = parse_flags(&run.options, argc, argv);

    if (status >= 0) {
        return status;
    }
    if (!split_slaves(&run)) {
        return 2;
    }
    kt_random_id(run.id);
    run.writes = kt_calloc((size_t)run.options.writes, sizeof(*run.writes));
    if (!run.writes) {
        sync_give_up("-writes", "no memory");
    }
    if (kt_signals_start(stop_now, &run, &err) != KT_OK) {
        sync_give_up("start", err.message);
    }
    sync_probe_disk(&run);
    for (size_t s = 0; s < run.slave_count; s++) {
        if (kt_thread_start(&run.slaves[s].thread, "watch", sync_watch, &run.slaves[s], &err) !=
            KT_OK) {
            sync_give_up("start", err.message);
        }
    }
    int64_t took_us = sync_write_all(&run);
    wait_for_slaves(&run);
    sync_sum_up(&run);
    for (size_t s = 0; s < run.slave_count; s++) {
        sync_count_lost(&run.slaves[s]);
    }
    if (!run.options.keep) {
        sync_remove_subjects(&run);
    }
    sync_report(&run, took_us);
    return run.failed > 0 || run.acked == 0 || sync_lost_of(&run) > 0 ? 1 : 0;
}
