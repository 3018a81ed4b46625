/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "kt_test.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#ifndef _WIN32
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

static struct kt_error err;
static char path[400];

static const char *at(const char *name)
{
    kt_test_path(path, sizeof path, name);
    return path;
}

static int entries_of(const char *name)
{
    char dir_path[400];
    kt_test_path(dir_path, sizeof dir_path, name);
    DIR *dir = opendir(dir_path);
    int count = 0;
    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count - 2;
}

static void directories_are_made_with_all_above(void)
{
    CHECK_OK(kt_fs_mkdirs(at("d1/d2/d3"), &err));
    CHECK(kt_fs_is_dir(at("d1/d2/d3")));
    CHECK_OK(kt_fs_mkdirs(at("d1/d2/d3"), &err));
    CHECK_OK(kt_fs_mkdirs(at("d1//d4/"), &err));
    CHECK(kt_fs_is_dir(at("d1/d4")));
    CHECK_OK(kt_fs_mkdirs_for(at("d5/d6/file"), &err));
    CHECK(kt_fs_is_dir(at("d5/d6")) && !kt_fs_exists(at("d5/d6/file")));
    CHECK_OK(kt_fs_mkdirs_for("no_directory", &err));
    CHECK_OK(kt_fs_mkdirs_for("/no_directory", &err));
    CHECK_OK(kt_fs_mkdirs("/", &err));
}

static void a_file_in_the_way_is_an_io_error_with_the_path(void)
{
    CHECK_OK(kt_fs_write_durably(at("plain"), KT_STR("x"), &err));
    CHECK_FAILS(kt_fs_mkdirs(at("plain"), &err), KT_IO);
    CHECK_FAILS(kt_fs_mkdirs(at("plain/sub"), &err), KT_IO);
    CHECK(strstr(err.message, at("plain")));
}

static void what_is_written_durably_is_read(void)
{
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    CHECK_OK(kt_fs_mkdirs(at("w"), &err));
    CHECK_OK(kt_fs_write_durably(at("w/file"), KT_STR("first"), &err));
    CHECK_OK(kt_fs_write_durably(at("w/file"), KT_STR("second text"), &err));
    kt_buf_append_text(&buf, "before:");
    CHECK_OK(kt_fs_read(at("w/file"), 100, &buf, &err));
    CHECK_STR(buf.data, "before:second text");
    CHECK_INT(kt_fs_size(at("w/file")), 11);
    CHECK_OK(kt_fs_write_durably(at("w/file"), (struct kt_str){NULL, 0}, &err));
    kt_buf_clear(&buf);
    CHECK_OK(kt_fs_read(at("w/file"), 0, &buf, &err));
    CHECK_INT(buf.len_bytes, 0);
    CHECK_INT(entries_of("w"), 1);
    kt_buf_done(&buf);
}

static void reading_keeps_its_bound(void)
{
    enum { SIZE = 100000 };
    char *content = malloc(SIZE);
    CHECK(content);
    memset(content, 'x', SIZE);
    struct kt_buf buf;
    kt_buf_init(&buf, 0);
    kt_buf_append_text(&buf, "kept");
    enum kt_status written = kt_fs_write_durably(at("big"), kt_str_n(content, SIZE), &err);
    enum kt_status exact = kt_fs_read(at("big"), SIZE, &buf, &err);
    size_t len = buf.len_bytes;
    bool same = len == SIZE + 4 && memcmp(buf.data + 4, content, SIZE) == 0;
    free(content);
    CHECK_OK(written);
    CHECK_OK(exact);
    CHECK(same);
    kt_buf_clear(&buf);
    kt_buf_append_text(&buf, "kept");
    CHECK_FAILS(kt_fs_read(at("big"), SIZE - 1, &buf, &err), KT_TOO_LARGE);
    CHECK_STR(buf.data, "kept");
    CHECK_FAILS(kt_fs_read(at("big"), 0, &buf, &err), KT_TOO_LARGE);
    CHECK_OK(kt_fs_read(at("big"), SIZE_MAX, &buf, &err));
    kt_buf_done(&buf);
    kt_buf_init(&buf, 50);
    CHECK_FAILS(kt_fs_read(at("big"), SIZE, &buf, &err), KT_TOO_LARGE);
    CHECK_INT(buf.len_bytes, 0);
    kt_buf_done(&buf);
}

static void the_room_on_a_disk_is_known(void)
{
    CHECK(kt_fs_free_beside(at("no_such_file")) > 0);
    CHECK(kt_fs_free_beside("no_directory_above_it") > 0);
    CHECK_INT(kt_fs_free_beside(at("no_such_directory/x")), -1);
}

static void absent_files_are_not_found(void)
{
    struct kt_buf buf = {0};
    CHECK_FAILS(kt_fs_read(at("absent"), 10, &buf, &err), KT_NOT_FOUND);
    CHECK(strstr(err.message, "absent"));
    CHECK_INT(kt_fs_size(at("absent")), -1);
    CHECK(!kt_fs_exists(at("absent")) && !kt_fs_is_dir(at("absent")));
    CHECK_OK(kt_fs_remove(at("absent"), &err));
    CHECK_FAILS(kt_fs_sync_dir(at("absent"), &err), KT_IO);
    char to[400];
    kt_test_path(to, sizeof to, "to");
    CHECK_FAILS(kt_fs_rename(at("absent"), to, &err), KT_IO);
    CHECK_FAILS(kt_fs_write_durably(at("absent/file"), KT_STR("x"), &err), KT_IO);
}

static void files_are_renamed_over_others_and_removed(void)
{
    char to[400];
    kt_test_path(to, sizeof to, "r2");
    CHECK_OK(kt_fs_write_durably(at("r1"), KT_STR("new"), &err));
    CHECK_OK(kt_fs_write_durably(to, KT_STR("older"), &err));
    CHECK_OK(kt_fs_rename(at("r1"), to, &err));
    CHECK(!kt_fs_exists(at("r1")));
    CHECK_INT(kt_fs_size(to), 3);
    CHECK_OK(kt_fs_remove(to, &err));
    CHECK(!kt_fs_exists(to));
    CHECK_OK(kt_fs_sync_dir(kt_test_dir(), &err));
}

/* Every call fails once: the old content stays, and nothing is left beside it. */
static void a_failed_write_leaves_the_old_file_alone(void)
{
    CHECK_OK(kt_fs_mkdirs(at("f"), &err));
    CHECK_OK(kt_fs_write_durably(at("f/file"), KT_STR("old"), &err));
    for (int kind = 0; kind < KT_FAULT_COUNT; kind++) {
        uint64_t nth = 1;
        for (;; nth++) {
            kt_fault_set((enum kt_fault)kind, nth, 0);
            enum kt_status status = kt_fs_write_durably(at("f/file"), KT_STR("newer"), &err);
            uint64_t calls = kt_fault_calls((enum kt_fault)kind);
            kt_fault_set((enum kt_fault)kind, 0, 0);
            if (status == KT_OK) {
                break;
            }
            CHECK_INT(status, kind == KT_FAULT_ALLOC ? KT_NO_MEMORY : KT_IO);
            CHECK_INT(entries_of("f"), 1);
            /* Behind the rename the new content is there, though not surely for ever. */
            CHECK(kt_fs_size(at("f/file")) == 3 || calls >= 2);
        }
        CHECK(nth > 1);
        CHECK_INT(kt_fs_size(at("f/file")), 5);
        CHECK_OK(kt_fs_write_durably(at("f/file"), KT_STR("old"), &err));
    }
}

static void a_failed_read_leaves_the_buffer_alone(void)
{
    CHECK_OK(kt_fs_write_durably(at("file"), KT_STR("content"), &err));
    struct kt_buf buf = {0};
    for (int kind = 0; kind < KT_FAULT_COUNT; kind++) {
        for (uint64_t nth = 1;; nth++) {
            kt_fault_set((enum kt_fault)kind, nth, 0);
            enum kt_status status = kt_fs_read(at("file"), 100, &buf, &err);
            kt_fault_set((enum kt_fault)kind, 0, 0);
            if (status == KT_OK) {
                break;
            }
            CHECK_INT(status, kind == KT_FAULT_ALLOC ? KT_NO_MEMORY : KT_IO);
            CHECK_INT(buf.len_bytes, 0);
            CHECK_INT(kt_buf_status(&buf), KT_OK);
        }
        CHECK_STR(buf.data, "content");
        kt_buf_done(&buf);
    }
    buf.failed = KT_NO_MEMORY;
    CHECK_FAILS(kt_fs_read(at("file"), 100, &buf, &err), KT_NO_MEMORY);
}

static void other_calls_report_faults(void)
{
    char to[400];
    kt_test_path(to, sizeof to, "other");
    kt_fault_set(KT_FAULT_IO, 1, 1);
    enum kt_status mkdirs = kt_fs_mkdirs(at("fault/dir"), &err);
    enum kt_status removed = kt_fs_remove(at("file"), &err);
    enum kt_status renamed = kt_fs_rename(at("file"), to, &err);
    enum kt_status synced = kt_fs_sync_dir(kt_test_dir(), &err);
    kt_fault_set(KT_FAULT_ALLOC, 1, 1);
    enum kt_status dirs = kt_fs_mkdirs(at("fault/dir"), &err);
    enum kt_status dirs_for = kt_fs_mkdirs_for(at("fault/dir"), &err);
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK_INT(mkdirs, KT_IO);
    CHECK_INT(removed, KT_IO);
    CHECK_INT(renamed, KT_IO);
    CHECK_INT(synced, KT_IO);
    CHECK_INT(dirs, KT_NO_MEMORY);
    CHECK_INT(dirs_for, KT_NO_MEMORY);
}

static void the_lock_names_its_holder(void)
{
    struct kt_lock_file *lock = NULL, *second = NULL;
    CHECK_OK(kt_lock_acquire(at("lock"), "master on host:7000", &lock, &err));
    char expected[64];
    snprintf(expected, sizeof expected, "%d master on host:7000", kt_process_id());
    struct kt_buf buf = {0};
    CHECK_OK(kt_fs_read(at("lock"), 100, &buf, &err));
    CHECK(kt_str_starts(kt_buf_str(&buf), kt_str(expected)));
    CHECK_INT(buf.data[buf.len_bytes - 1], '\n');
    kt_buf_done(&buf);
    CHECK_FAILS(kt_lock_acquire(at("lock"), "other", &second, &err), KT_BUSY);
    CHECK(!second);
    CHECK(strstr(err.message, expected));
    kt_lock_release(&lock);
    CHECK(!lock);
    kt_lock_release(&lock);
    CHECK_OK(kt_lock_acquire(at("lock"), "other", &second, &err));
    kt_lock_release(&second);
}

static void a_lock_that_fails_is_not_held(void)
{
    for (int kind = 0; kind < KT_FAULT_COUNT; kind++) {
        uint64_t nth = 1;
        for (;; nth++) {
            struct kt_lock_file *lock = NULL;
            kt_fault_set((enum kt_fault)kind, nth, 0);
            enum kt_status status = kt_lock_acquire(at("lock2"), "x", &lock, &err);
            kt_fault_set((enum kt_fault)kind, 0, 0);
            if (status == KT_OK) {
                kt_lock_release(&lock);
                break;
            }
            CHECK_INT(status, kind == KT_FAULT_ALLOC ? KT_NO_MEMORY : KT_IO);
            CHECK(!lock);
            CHECK_OK(kt_lock_acquire(at("lock2"), "x", &lock, &err));
            kt_lock_release(&lock);
        }
        CHECK(nth > 1);
    }
    struct kt_lock_file *lock = NULL;
    CHECK_FAILS(kt_lock_acquire(at("no/dir/lock"), "x", &lock, &err), KT_IO);
}

#ifndef _WIN32
static bool wait_for_byte(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1;
}

/* The holder is killed: no destructor runs, and the lock is free all the same. */
static void the_lock_ends_with_its_process(void)
{
    int ready[2];
    CHECK(pipe(ready) == 0);
    at("lock3");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct kt_lock_file *lock = NULL;
        if (kt_lock_acquire(path, "child", &lock, NULL) == KT_OK && write(ready[1], "x", 1) == 1) {
            for (;;) {
                pause();
            }
        }
        _exit(1);
    }
    CHECK(pid > 0 && wait_for_byte(ready[0]));
    struct kt_lock_file *lock = NULL;
    CHECK_FAILS(kt_lock_acquire(path, "parent", &lock, &err), KT_BUSY);
    char expected[64];
    snprintf(expected, sizeof expected, "%d child", (int)pid);
    CHECK(strstr(err.message, expected));
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
    CHECK_OK(kt_lock_acquire(path, "parent", &lock, &err));
    kt_lock_release(&lock);
    close(ready[0]);
    close(ready[1]);
}

/* A program started meanwhile must not keep the lock when we are gone. */
static void programs_started_do_not_inherit_the_lock(void)
{
    struct kt_lock_file *lock = NULL;
    CHECK_OK(kt_lock_acquire(at("lock4"), "x", &lock, &err));
    int inherited = 0;
    for (int fd = 3; fd < 64; fd++) {
        struct stat there, mine;
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && fstat(fd, &there) == 0 && stat(path, &mine) == 0 &&
            there.st_ino == mine.st_ino && !(flags & FD_CLOEXEC)) {
            inherited++;
        }
    }
    CHECK_INT(inherited, 0);
    kt_lock_release(&lock);
}

/* Whoever removes the lock file while it is held must not make two holders of the new one. */
static void a_removed_lock_file_is_noticed(void)
{
    struct kt_lock_file *lock = NULL, *second = NULL, *third = NULL;
    CHECK_OK(kt_lock_acquire(at("lock5"), "x", &lock, &err));
    CHECK_OK(kt_fs_remove(path, &err));
    CHECK_OK(kt_lock_acquire(path, "y", &second, &err));
    kt_lock_release(&lock);
    CHECK_FAILS(kt_lock_acquire(path, "z", &third, &err), KT_BUSY);
    kt_lock_release(&second);
}

static atomic_int stops, reloads;

static void count_signal(void *arg, enum kt_signal signal)
{
    (void)arg;
    atomic_fetch_add(signal == KT_SIGNAL_STOP ? &stops : &reloads, 1);
}

static bool reaches(atomic_int *counter, int value)
{
    int64_t deadline_ms = kt_now_mono_ms() + 20000;
    while (atomic_load(counter) < value && kt_now_mono_ms() < deadline_ms) {
        kt_test_pause();
    }
    return atomic_load(counter) >= value;
}

static void signals_arrive_on_their_thread(void)
{
    CHECK_OK(kt_signals_start(count_signal, NULL, &err));
    kill(getpid(), SIGTERM);
    CHECK(reaches(&stops, 1));
    kill(getpid(), SIGINT);
    CHECK(reaches(&stops, 2));
    kill(getpid(), SIGHUP);
    CHECK(reaches(&reloads, 1));
    int ends[2];
    CHECK(pipe(ends) == 0);
    close(ends[0]);
    CHECK(write(ends[1], "x", 1) < 0 && errno == EPIPE);
    close(ends[1]);
}
#endif

static void the_process_knows_itself(void)
{
    CHECK(kt_process_id() > 0);
    CHECK(kt_host_name()[0] != '\0');
    CHECK(kt_host_name() == kt_host_name());
    CHECK(kt_process_resident_bytes() > 100000);
    CHECK(kt_process_peak_bytes() > 100000);
}

static void the_limit_of_open_files_is_raised_as_far_as_allowed(void)
{
    uint64_t now = kt_process_raise_files(1);

    CHECK(now > 1);
    CHECK_INT(kt_process_raise_files(now), now);
    CHECK(kt_process_raise_files(now + 1) >= now);
}

static void errno_has_a_text(void)
{
    char text[KT_ERRNO_TEXT_MAX];
    CHECK_STR(kt_errno_text(ENOENT, text), strerror(ENOENT));
    CHECK(kt_errno_text(99999, text)[0] != '\0');
}

static void a_file_is_written_synced_and_read_in_pieces(void)
{
    struct kt_file *file = NULL;
    char piece[8];
    size_t got = 0;
    kt_test_path(path, sizeof path, "pieces");
    CHECK_FAILS(kt_file_open(path, &file, &err), KT_NOT_FOUND);
    CHECK_OK(kt_file_create(path, &file, &err));
    CHECK_OK(kt_file_write(file, "0123456789", 10, &err));
    CHECK_OK(kt_file_sync(file, &err));
    kt_fault_set(KT_FAULT_IO, 1, 0);
    CHECK_FAILS(kt_file_sync(file, &err), KT_IO);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK(strstr(err.message, path));
    CHECK_OK(kt_file_close(&file, &err));
    CHECK_OK(kt_fs_sync_parent(path, &err));
    CHECK_OK(kt_file_open(path, &file, &err));
    CHECK_OK(kt_file_read(file, piece, sizeof piece, &got, &err));
    CHECK_INT(got, 8);
    CHECK(memcmp(piece, "01234567", 8) == 0);
    CHECK_OK(kt_file_read(file, piece, sizeof piece, &got, &err));
    CHECK_INT(got, 2);
    CHECK_OK(kt_file_read(file, piece, sizeof piece, &got, &err));
    CHECK_INT(got, 0);
    kt_fault_set(KT_FAULT_IO, 1, 0);
    CHECK_FAILS(kt_file_read(file, piece, sizeof piece, &got, &err), KT_IO);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK_OK(kt_file_close(&file, &err));
}

static const struct kt_test tests[] = {
    TEST(directories_are_made_with_all_above),
    TEST(a_file_in_the_way_is_an_io_error_with_the_path),
    TEST(what_is_written_durably_is_read),
    TEST(reading_keeps_its_bound),
    TEST(a_file_is_written_synced_and_read_in_pieces),
    TEST(the_room_on_a_disk_is_known),
    TEST(absent_files_are_not_found),
    TEST(files_are_renamed_over_others_and_removed),
    TEST(a_failed_write_leaves_the_old_file_alone),
    TEST(a_failed_read_leaves_the_buffer_alone),
    TEST(other_calls_report_faults),
    TEST(the_lock_names_its_holder),
    TEST(a_lock_that_fails_is_not_held),
#ifndef _WIN32
    TEST(the_lock_ends_with_its_process),
    TEST(programs_started_do_not_inherit_the_lock),
    TEST(a_removed_lock_file_is_noticed),
    TEST(signals_arrive_on_their_thread),
#endif
    TEST(the_process_knows_itself),
    TEST(the_limit_of_open_files_is_raised_as_far_as_allowed),
    TEST(errno_has_a_text),
};
KT_TEST_MAIN(tests)
