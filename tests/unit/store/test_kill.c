/* SPDX-License-Identifier: MIT */
/* A child writes, is killed at a moment of its own, and what it had said was durable must be there.
 * The child says so through a pipe after each append; each entry holds its own number, so a lost,
 * doubled or half entry shows.
 */
#include "base/hash.h"
#include "tests/unit/store/store_help.h"

#ifndef _WIN32
#include <signal.h>
#include <unistd.h>

static void child_writes(const char *path, int report)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(path);
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    if (help_end(store) == 0) {
        help_found(store, 4096);
    }
    for (;;) {
        uint64_t seq = help_end(store) + 1;
        struct kt_buf bytes;
        char subject[16];
        kt_buf_init(&bytes, 0);
        kt_change_builder_reset(builder);
        for (int i = 0; i < 3; i++) {
            snprintf(subject, sizeof(subject), "s%d", (int)(seq % 5) + i);
            help_add(builder,
                     &(struct help_record){subject, (int64_t)seq, "", HELP_NO_D, "v", (double)seq});
        }
        if (kt_change_encode(builder, &bytes, &err) != KT_OK) {
            help_fatal("encode", &err);
        }
        struct kt_entry entry = {seq, 1, (int64_t)seq, KT_STR(""), kt_buf_str(&bytes)};
        if (kt_store_log_append(store, &entry, 1, seq, &err) != KT_OK) {
            help_fatal("append", &err);
        }
        if (write(report, &seq, sizeof(seq)) != sizeof(seq)) {
            _exit(3);
        }
        if (kt_store_apply(store, &entry, 1, NULL, &err) != KT_OK) {
            help_fatal("apply", &err);
        }
        kt_buf_done(&bytes);
    }
}

/* The last number that a child reported before it was killed after about `ms`. */
static uint64_t run_and_kill(const char *path, unsigned us)
{
    int ends[2];
    signal(SIGCHLD, SIG_IGN); /* so that a dead child is gone without a wait() */
    if (pipe(ends) != 0) {
        abort();
    }
    pid_t child = fork();
    if (child < 0) {
        abort();
    }
    if (child == 0) {
        close(ends[0]);
        child_writes(path, ends[1]);
    }
    close(ends[1]);
    uint64_t last = 0, seq;
    bool killed = false;
    int64_t kill_at = 0;
    while (read(ends[0], &seq, sizeof(seq)) == sizeof(seq)) {
        last = seq;
        if (kill_at == 0) { /* from the first entry on, so that even a slow start gets somewhere */
            kill_at = kt_now_mono_us() + us;
        }
        if (!killed && kt_now_mono_us() >= kill_at) {
            kill(child, SIGKILL);
            killed = true; /* what is in the pipe by now was reported before */
        }
    }
    close(ends[0]);
    int64_t deadline = kt_now_mono_ms() + 20000;
    while (kill(child, 0) == 0 && kt_now_mono_ms() < deadline) {
    }
    if (!killed) {
        kt_test_fail(__FILE__, __LINE__, "the child ended by itself");
    }
    return last;
}

static void check_all(const char *path, uint64_t reported)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = help_open(path);
    uint64_t end = help_end(store);
    CHECK(end >= reported);
    CHECK_INT(kt_store_applied(store), end); /* each entry was committed by its own append */
    struct kt_catalogue *view = kt_store_view(store);
    CHECK_INT(kt_catalogue_record_count(view), (end - 1) * 3);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < kt_catalogue_subject_limit(view); i++) {
        struct kt_series *series = NULL;
        struct kt_bounds bounds = {KT_TIME_MAX, KT_REVISION_MAX};
        CHECK_OK(kt_store_load_series(store, i, &series, &err));
        for (size_t j = 0; j < kt_series_record_count(series); j++) {
            struct kt_record record;
            double value = 0;
            kt_series_record(series, j, &bounds, &record);
            CHECK(kt_series_value(series, j, 0, &bounds, &value));
            CHECK_INT(value, record.time_s);
            seen++;
        }
        kt_series_unref(&series);
    }
    CHECK_INT(seen, (end - 1) * 3);
    kt_catalogue_unref(&view);
    kt_store_close(&store);
}

static void nothing_durable_is_lost_when_the_process_is_killed(void)
{
    const char *path = help_path();
    uint64_t seed = 99;
    int rounds = kt_test_is_slow() ? 6 : 40;
    for (int i = 0; i < rounds; i++) {
        uint64_t reported = run_and_kill(path, (unsigned)(kt_prng_next(&seed) % 20000));
        check_all(path, reported);
    }
}

static const struct kt_test tests[] = {
    TEST(nothing_durable_is_lost_when_the_process_is_killed),
};
#else
static void kill_is_tested_on_posix_only(void)
{
    kt_test_skip("fork", "there is none here");
}
static const struct kt_test tests[] = {TEST(kill_is_tested_on_posix_only)};
#endif

KT_TEST_MAIN(tests)
