/* SPDX-License-Identifier: MIT */
/* A full copy: what is given is one moment of the data; what is taken is checked, and put in place
 * by the next open, wherever an earlier one was killed.
 */
#include "base/fs.h"
#include "base/hash.h"
#include "store/copy.h"
#include "store/db.h"
#include "store/detach.h"
#include "store/touched.h"
#include "tests/unit/store/store_help.h"

#define CLUSTER "00000000000000cc"

#ifndef _WIN32
/* Hundreds of stores are opened, and what a real disk adds to each is only its fsync. */
__attribute__((constructor)) static void use_memory_disk(void)
{
    if (kt_fs_is_dir("/dev/shm")) {
        setenv("TMPDIR", "/dev/shm", 0);
    }
}
#endif

/* --- help --- */

static char last_notice[1000];

static void on_notice(void *ctx, const char *text)
{
    (void)ctx;
    snprintf(last_notice, sizeof(last_notice), "%s", text);
}

static enum kt_status try_open(const char *path, struct kt_store **ret_store, struct kt_error *err)
{
    struct kt_store_options options = {.path = path, .read_connections = 2, .on_notice = on_notice};
    last_notice[0] = '\0';
    return kt_store_open(&options, ret_store, err);
}

static struct kt_store *open_noticing(const char *path)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = NULL;
    if (try_open(path, &store, &err) != KT_OK) {
        help_fatal("open", &err);
    }
    return store;
}

/* "…/x.db" and ".copy" -> "…/x.copy". */
static const char *beside(const char *path, const char *suffix)
{
    static char names[4][400];
    static int next;
    char *name = names[next++ % 4];
    snprintf(name, sizeof(names[0]), "%.*s%s", (int)(strlen(path) - 3), path, suffix);
    return name;
}

static void keep(struct kt_store *store, uint64_t epoch, bool half_copy)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store_kept kept = {.cluster_id = CLUSTER,
                                 .config_json = KT_STR("{\"kept\":true}"),
                                 .growth = KT_STR("00000000000000b1"),
                                 .epoch = epoch,
                                 .half_copy = half_copy};
    if (kt_store_keep(store, &kept, &err) != KT_OK) {
        help_fatal("keep", &err);
    }
}

static struct kt_store_kept read_kept(struct kt_store *store, struct kt_buf *memory)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store_kept kept;
    kt_buf_clear(memory);
    if (kt_store_read_kept(store, &kept, memory, &err) != KT_OK) {
        help_fatal("read kept", &err);
    }
    return kept;
}

static void epoch_start(struct kt_store *store, uint64_t epoch, const char *id, bool apply)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_epoch_start start = {.epoch_id = kt_str(id)};
    struct kt_buf body;
    kt_buf_init(&body, 0);
    kt_change_encode_epoch_start(&start, &body);
    uint64_t seq = help_end(store) + 1;
    struct kt_entry entry = {seq, epoch, (int64_t)seq * 1000, KT_STR(""), kt_buf_str(&body)};
    if (kt_store_log_append(store, &entry, 1, apply ? seq : 0, &err) != KT_OK ||
        (apply && kt_store_apply(store, &entry, 1, NULL, &err) != KT_OK)) {
        help_fatal("epoch", &err);
    }
    kt_buf_done(&body);
}

/* Of epoch 1: the first entry, saves of s = 1, 2, 3, …, each under a key. */
static void fill(struct kt_store *store, int saves)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    help_found(store, 4096);
    for (int i = 1; i <= saves; i++) {
        struct kt_buf body;
        char key[16];
        kt_buf_init(&body, 0);
        kt_change_builder_reset(builder);
        help_add(builder, &(struct help_record){"s", i, "", HELP_NO_D, "a", i});
        if (kt_change_encode(builder, &body, &err) != KT_OK) {
            help_fatal("encode", &err);
        }
        snprintf(key, sizeof(key), "key%d", i);
        uint64_t seq = help_end(store) + 1;
        struct kt_entry entry = {seq, 1, (int64_t)seq * 1000, kt_str(key), kt_buf_str(&body)};
        if (kt_store_log_append(store, &entry, 1, seq, &err) != KT_OK ||
            kt_store_apply(store, &entry, 1, NULL, &err) != KT_OK) {
            help_fatal("save", &err);
        }
        kt_buf_done(&body);
    }
    kt_change_builder_free(&builder);
}

/* Epoch 1 with two saves, epoch 4 with its start: applied up to 4. */
static struct kt_store *new_giver(void)
{
    struct kt_store *store = help_open(help_path());
    keep(store, 4, false);
    fill(store, 2);
    epoch_start(store, 4, "00000000000000e4", true);
    return store;
}

#define GIVEN_TEXT "1/ a=1; 2/ a=2"

/* A node of the cluster with the mark of a copy and nothing else. */
static struct kt_store *new_taker(const char *path)
{
    struct kt_store *store = help_open(path);
    keep(store, 5, true);
    return store;
}

struct change_byte {
    bool wanted;
    uint64_t at;
};

static enum kt_status transfer(struct kt_copy_out *out, struct kt_copy_in *in,
                               struct change_byte change, struct kt_error *err)
{
    static char piece[3000];
    uint64_t total = 0;
    size_t got = 1;
    enum kt_status status = KT_OK;
    while (status == KT_OK && got > 0) {
        status = kt_store_copy_out_read(out, piece, sizeof(piece), &got, err);
        if (change.wanted && change.at >= total && change.at < total + got) {
            piece[change.at - total] ^= 0x55;
        }
        if (status == KT_OK && got > 0) {
            status = kt_store_copy_in_write(in, piece, got, err);
        }
        total += got;
    }
    if (status == KT_OK && total != kt_store_copy_out_size(out)) {
        kt_test_fail(__FILE__, __LINE__, "%llu bytes came", (unsigned long long)total);
    }
    return status;
}

static enum kt_status begin(struct kt_store *taker, struct kt_copy_in **ret_in,
                            struct kt_error *err)
{
    return kt_store_copy_in_begin(taker, 4096, kt_store_copy_schema(), ret_in, err);
}

/* The whole way; what is open is closed again whatever happens. */
static enum kt_status copy(struct kt_store *giver, struct kt_store *taker, struct kt_error *err)
{
    struct kt_copy_out *out = NULL;
    struct kt_copy_in *in = NULL;
    size_t count = 0;
    enum kt_status status = kt_store_copy_out_open(giver, &out, err);
    if (status == KT_OK) {
        status = begin(taker, &in, err);
    }
    if (status == KT_OK) {
        status = transfer(out, in, (struct change_byte){false, 0}, err);
    }
    if (status == KT_OK) {
        const struct kt_epoch *epochs = kt_store_copy_out_epochs(out, &count);
        uint64_t applied = kt_store_copy_out_applied(out);
        status = kt_store_copy_in_check(in, epochs, count, applied, applied + 1, err);
    }
    if (status == KT_OK) {
        status = kt_store_copy_in_finish(&in, err);
    }
    kt_store_copy_in_abort(&in);
    kt_store_copy_out_close(&out);
    return status;
}

static void check_no_files(const char *path)
{
    static const char *const suffixes[] = {".copy",        ".db.copy",          ".log.db.copy",
                                           ".db.copy-wal", ".db.copy-shm",      ".db.copy-journal",
                                           ".db.give-0",   ".db.give-0-journal"};
    for (size_t i = 0; i < KT_ARRAY_LEN(suffixes); i++) {
        if (kt_fs_exists(beside(path, suffixes[i]))) {
            kt_test_fail(__FILE__, __LINE__, "%s is left", beside(path, suffixes[i]));
        }
    }
}

/* What the taker is once the copy of new_giver() is in its place. */
static void check_taken(struct kt_store *store, const char *node_id, uint64_t kept_epoch)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store_identity id;
    struct kt_epoch *epochs = NULL, at;
    size_t count = 0;
    struct kt_buf memory;
    struct kt_entries entries;
    kt_store_identity(store, &id);
    CHECK_STR(id.node_id, node_id);
    CHECK_STR(id.cluster_id, CLUSTER);
    CHECK(id.was_in_cluster);
    CHECK_INT(id.end_seq, 4);
    CHECK_INT(id.end_epoch, 4);
    CHECK_INT(id.commit_seq, 4);
    CHECK_INT(kt_store_applied(store), 4);
    CHECK_INT(kt_store_log_first(store), 5);
    CHECK_INT(kt_store_log_last_wall_ms(store), 4000);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), GIVEN_TEXT);
    CHECK_OK(kt_store_epochs(store, &epochs, &count, &err));
    kt_free(epochs);
    CHECK_INT(count, 2);
    CHECK_OK(kt_store_log_entry_id(store, 4, &at, &err));
    CHECK_STR(at.epoch_id, "00000000000000e4");
    CHECK_OK(kt_store_log_entry_id(store, 3, &at, &err));
    CHECK_INT(at.epoch, 1);
    CHECK_FAILS(kt_store_log_read(store, 3, 9, 99, &entries, &err), KT_GONE);
    CHECK_FAILS(kt_store_touched(store, 3, 4, NULL, NULL, &err), KT_GONE);
    kt_buf_init(&memory, 0);
    struct kt_store_kept kept = read_kept(store, &memory);
    CHECK(!kept.half_copy);
    CHECK_INT(kept.epoch, kept_epoch);
    CHECK_SLICE(kept.config_json, "{\"kept\":true}");
    CHECK_SLICE(kept.growth, "00000000000000b1");
    kt_buf_done(&memory);
}

static void node_id_of(struct kt_store *store, char dest[KT_ID_LEN + 1])
{
    struct kt_store_identity id;
    kt_store_identity(store, &id);
    memcpy(dest, id.node_id, KT_ID_LEN + 1);
}

/* --- the whole way --- */

static void a_copy_is_all_that_the_giver_had_under_the_takers_name(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1], key[KT_CURSOR_KEY_BYTES], own[KT_CURSOR_KEY_BYTES];
    node_id_of(taker, node_id);
    CHECK_OK(copy(giver, taker, &err));
    CHECK_INT(kt_store_applied(taker), 0); /* the running store does not change */
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK(strstr(last_notice, "a full copy took the place of"));
    CHECK(strstr(last_notice, "it has all that this node had"));
    check_taken(taker, node_id, 5);
    check_no_files(path);
    CHECK(kt_store_cursor_key(giver, (unsigned char *)key));
    CHECK(kt_store_cursor_key(taker, (unsigned char *)own));
    CHECK(memcmp(key, own, sizeof(key)) == 0);
    /* It goes on from there, and what requests came to is known. */
    struct kt_apply_result result;
    struct kt_entry repeated = {5, 4, 5000, KT_STR("key2"), KT_STR("")};
    struct kt_entries theirs;
    CHECK_OK(kt_store_log_read(giver, 2, 3, SIZE_MAX, &theirs, &err));
    repeated.body = theirs.items[0].body;
    CHECK_OK(kt_store_log_append(taker, &repeated, 1, 5, &err));
    CHECK_OK(kt_store_apply(taker, &repeated, 1, &result, &err));
    CHECK_INT(result.revision, 3);
    CHECK_INT(kt_store_log_first(taker), 5);
    kt_entries_done(&theirs);
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK_STR(last_notice, "");
    CHECK_INT(kt_store_applied(taker), 5);
    CHECK_INT(kt_store_log_first(taker), 5);
    CHECK_OK(kt_store_log_read(taker, 4, 9, SIZE_MAX, &theirs, &err));
    CHECK_INT(theirs.count, 1);
    kt_entries_done(&theirs);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_copy_of_an_empty_store_can_be_taken(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = help_open(help_path());
    keep(giver, 1, false);
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK_INT(help_end(taker), 0);
    CHECK_INT(kt_store_log_first(taker), 1);
    help_found(taker, 4096);
    CHECK_INT(help_end(taker), 1);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void what_is_given_is_one_moment_though_writes_go_on(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    struct kt_copy_out *out = NULL;
    struct kt_copy_in *in = NULL;
    char node_id[KT_ID_LEN + 1];
    size_t count;
    bool ready = false;
    node_id_of(taker, node_id);
    CHECK_OK(kt_store_copy_out_open(giver, &out, &err));
    CHECK_INT(kt_store_copy_out_applied(out), 4);
    epoch_start(giver, 9, "00000000000000e9", true);
    uint64_t seq = help_end(giver) + 1;
    struct kt_entries saved;
    CHECK_OK(kt_store_log_read(giver, 1, 2, SIZE_MAX, &saved, &err));
    struct kt_entry more = {seq, 9, 1, KT_STR(""), saved.items[0].body};
    CHECK_OK(kt_store_log_append(giver, &more, 1, seq, &err));
    CHECK_OK(kt_store_apply(giver, &more, 1, NULL, &err));
    kt_entries_done(&saved);
    while (!ready) {
        CHECK_OK(kt_store_copy_out_make(out, &ready, &err));
    }
    CHECK_OK(kt_store_copy_out_make(out, &ready, &err));
    CHECK(ready);
    CHECK_OK(begin(taker, &in, &err));
    CHECK_OK(transfer(out, in, (struct change_byte){false, 0}, &err));
    const struct kt_epoch *epochs = kt_store_copy_out_epochs(out, &count);
    CHECK_INT(count, 2);
    CHECK_OK(kt_store_copy_in_check(in, epochs, count, 4, 6, &err));
    CHECK_OK(kt_store_copy_in_finish(&in, &err));
    kt_store_copy_out_close(&out);
    kt_store_close(&taker);
    taker = open_noticing(path);
    check_taken(taker, node_id, 5);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void what_is_kept_at_the_swap_counts_not_at_the_copy(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1];
    node_id_of(taker, node_id);
    CHECK_OK(copy(giver, taker, &err));
    keep(taker, 8, true); /* another epoch was seen meanwhile */
    kt_store_close(&taker);
    taker = open_noticing(path);
    check_taken(taker, node_id, 8);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

/* --- what the taker had --- */

static bool has_diverged(const char *path)
{
    return strstr(last_notice, "is kept in") && strstr(last_notice, path);
}

/* The path behind "kept in " of the notice. */
static const char *diverged_path(void)
{
    static char path[400];
    const char *at = strstr(last_notice, "is kept in ") + strlen("is kept in ");
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, " "), at);
    return path;
}

static void a_taker_that_was_only_behind_leaves_nothing(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1];
    node_id_of(taker, node_id);
    fill(taker, 1);
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK(!has_diverged(path));
    check_taken(taker, node_id, 5);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_taker_with_another_history_keeps_it_beside(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver(), *old = NULL;
    char node_id[KT_ID_LEN + 1];
    node_id_of(taker, node_id);
    fill(taker, 1);
    epoch_start(taker, 3, "00000000000000e3", true);
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK(has_diverged(path));
    check_taken(taker, node_id, 5);
    check_no_files(path);
    /* The old pair opens under names of a pair. */
    CHECK(kt_fs_exists(diverged_path()));
    char data[400], log[400], at[20];
    snprintf(at, sizeof(at), "%s", strrchr(diverged_path(), '-'));
    snprintf(data, sizeof(data), "%s", beside(path, ".old.db"));
    snprintf(log, sizeof(log), "%s", beside(path, ".old.log.db"));
    CHECK_OK(kt_fs_rename(diverged_path(), data, &err));
    char name[400];
    snprintf(name, sizeof(name), "%s.diverged%s", beside(path, ".log.db"), at);
    CHECK_OK(kt_fs_rename(name, log, &err));
    CHECK_OK(try_open(data, &old, &err));
    CHECK_INT(kt_store_applied(old), 3);
    CHECK_STR(help_tell(old, "s", ALL_D, ALL_W), "1/ a=1");
    struct kt_store_detached as = {"00000000000000aa", "00000000000000bb", KT_STR("{}")};
    CHECK_OK(kt_store_detach(&old, &as, &err)); /* so that a person can look into it */
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_tail_that_the_copy_lacks_is_kept_too(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1];
    node_id_of(taker, node_id);
    fill(taker, 2);
    epoch_start(taker, 4, "00000000000000e4", true);
    epoch_start(taker, 5, "00000000000000e5", false); /* not even committed */
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    CHECK(has_diverged(path));
    check_taken(taker, node_id, 5);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void read_file(const char *path, struct kt_buf *ret_content)
{
    struct kt_error err = KT_ERROR_INIT;
    if (kt_fs_read(path, 64 << 20, ret_content, &err) != KT_OK) {
        help_fatal("read", &err);
    }
}

/* As after a kill: the taker's own WALs are still there when the new files come. */
static void a_wal_of_the_old_files_never_meets_the_new_ones(void)
{
    struct kt_error err = KT_ERROR_INIT;
    for (int diverged = 0; diverged < 2; diverged++) {
        const char *path = kt_strdup(help_path());
        struct kt_store *taker = new_taker(path), *giver = new_giver();
        struct kt_buf wal, log_wal, data;
        char node_id[KT_ID_LEN + 1];
        node_id_of(taker, node_id);
        kt_buf_init(&wal, 0);
        kt_buf_init(&log_wal, 0);
        kt_buf_init(&data, 0);
        read_file(path, &data); /* before the WAL is played in */
        fill(taker, 1);
        if (diverged) {
            epoch_start(taker, 3, "00000000000000e3", true);
        }
        CHECK_OK(copy(giver, taker, &err));
        read_file(beside(path, ".db-wal"), &wal);
        CHECK(wal.len_bytes > 0);
        kt_store_close(&taker);
        CHECK_OK(kt_fs_write_durably(path, kt_buf_str(&data), &err));
        CHECK_OK(kt_fs_write_durably(beside(path, ".db-wal"), kt_buf_str(&wal), &err));
        taker = open_noticing(path);
        CHECK_INT(has_diverged(path), diverged);
        check_taken(taker, node_id, 5);
        if (diverged) {
            char moved[420];
            snprintf(moved, sizeof(moved), "%s-wal", diverged_path());
            CHECK(kt_fs_exists(moved)); /* with the file that it belongs to */
        }
        kt_buf_done(&wal);
        kt_buf_done(&log_wal);
        kt_buf_done(&data);
        kt_store_close(&taker);
        kt_store_close(&giver);
        kt_free((char *)path);
    }
}

/* --- who may, and what is refused --- */

static void without_the_mark_no_copy_is_begun(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *taker = help_open(path);
    struct kt_copy_in *in = NULL, *second = NULL;
    CHECK_FAILS(begin(taker, &in, &err), KT_CONFLICT);
    check_no_files(path);
    keep(taker, 1, true);
    CHECK_OK(begin(taker, &in, &err));
    CHECK_FAILS(begin(taker, &second, &err), KT_BUSY);
    kt_store_copy_in_abort(&in);
    check_no_files(path);
    CHECK_OK(begin(taker, &in, &err));
    kt_store_copy_in_abort(&in);
    kt_store_close(&taker);
}

static void what_cannot_be_taken_is_refused_before_its_first_byte(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *taker = new_taker(path);
    struct kt_copy_in *in = NULL;
    int64_t ours = kt_store_copy_schema();
    CHECK_FAILS(kt_store_copy_in_begin(taker, 4096, ours + 1, &in, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "use a newer program"));
    CHECK_FAILS(kt_store_copy_in_begin(taker, 4096, 2, &in, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "update the node that gives it"));
    CHECK_FAILS(kt_store_copy_in_begin(taker, UINT64_C(1) << 52, ours, &in, &err), KT_IO);
    CHECK(strstr(err.message, "free space"));
    check_no_files(path);
    CHECK_OK(begin(taker, &in, &err));
    kt_store_copy_in_abort(&in);
    kt_store_close(&taker);
}

static void a_whole_copy_waits_for_the_next_open(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *taker = new_taker(help_path()), *giver = new_giver();
    struct kt_copy_in *in = NULL;
    CHECK_OK(copy(giver, taker, &err));
    CHECK_FAILS(begin(taker, &in, &err), KT_CONFLICT);
    kt_store_close(&taker);
    kt_store_close(&giver);
}

static void only_so_many_copies_are_given_at_once(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *giver = help_open(path);
    struct kt_copy_out *out[KT_COPIES_OUT_MAX + 1] = {NULL};
    help_found(giver, 10);
    for (int i = 0; i < KT_COPIES_OUT_MAX; i++) {
        CHECK_OK(kt_store_copy_out_open(giver, &out[i], &err));
    }
    CHECK_FAILS(kt_store_copy_out_open(giver, &out[KT_COPIES_OUT_MAX], &err), KT_BUSY);
    kt_store_copy_out_close(&out[1]);
    CHECK_OK(kt_store_copy_out_open(giver, &out[1], &err));
    for (int i = 0; i < KT_COPIES_OUT_MAX; i++) {
        kt_store_copy_out_close(&out[i]);
    }
    check_no_files(path);
    kt_store_close(&giver);
}

static void what_a_killed_giver_left_goes_at_the_next_open(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = help_path();
    struct kt_store *giver = help_open(path);
    kt_store_close(&giver);
    CHECK_OK(kt_fs_write_durably(beside(path, ".db.give-0"), KT_STR("half"), &err));
    giver = help_open(path);
    check_no_files(path);
    kt_store_close(&giver);
}

/* The giver's data after `sql`, as if it had always been so. */
static void check_refused(const char *sql, const char *why)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    struct sqlite3 *db = NULL;
    struct kt_copy_out *out = NULL;
    struct kt_copy_in *in = NULL;
    struct kt_buf name;
    size_t count;
    /* The store is open, and so this is what another process would do to it. */
    const struct kt_epoch *epochs;
    kt_buf_init(&name, 0);
    CHECK_OK(kt_store_copy_out_open(giver, &out, &err));
    CHECK_OK(begin(taker, &in, &err));
    CHECK_OK(transfer(out, in, (struct change_byte){false, 0}, &err));
    CHECK_OK(db_open(beside(path, ".db.copy"), DB_WHOLE, &db, &err));
    CHECK_OK(db_exec(db, sql, &err));
    db_close(&db);
    epochs = kt_store_copy_out_epochs(out, &count);
    CHECK_FAILS(kt_store_copy_in_check(in, epochs, count, 4, 4, &err), KT_CORRUPT);
    kt_store_copy_in_abort(&in);
    if (!strstr(err.message, why)) {
        kt_test_fail(__FILE__, __LINE__, "after %s: %s", sql, err.message);
    }
    CHECK(!in);
    kt_store_copy_out_close(&out);
    check_no_files(path);
    kt_buf_done(&name);
    kt_store_close(&taker);
    taker = open_noticing(path); /* as if nothing had come */
    CHECK_STR(last_notice, "");
    CHECK_INT(help_end(taker), 0);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_file_that_is_no_copy_of_this_cluster_is_refused(void)
{
    check_refused("UPDATE meta SET value='00000000000000dd' WHERE name='cluster_id'",
                  "of cluster 00000000000000dd");
    check_refused("UPDATE meta SET value=3 WHERE name='applied_seq'", "has applied 3, not 4");
    check_refused("CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM version; END",
                  "tables are not those");
    check_refused("DROP TABLE touched", "tables are not those");
    check_refused("PRAGMA user_version=2", "is older than this program can take");
    check_refused("PRAGMA user_version=99", "newer than this program's");
}

static void a_damaged_file_is_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    int refused = 0;
    for (int i = 0; i < 12; i++) {
        struct kt_copy_out *out = NULL;
        struct kt_copy_in *in = NULL;
        size_t count;
        CHECK_OK(kt_store_copy_out_open(giver, &out, &err));
        CHECK_OK(begin(taker, &in, &err));
        /* The beginnings of pages hold what quick_check looks at. */
        struct change_byte change = {true, (uint64_t)i * 4096 + (i == 0 ? 3 : i % 2)};
        CHECK_OK(transfer(out, in, change, &err));
        const struct kt_epoch *epochs = kt_store_copy_out_epochs(out, &count);
        refused += kt_store_copy_in_check(in, epochs, count, 4, 4, &err) == KT_CORRUPT;
        kt_store_copy_in_abort(&in);
        kt_store_copy_out_close(&out);
        check_no_files(path);
    }
    CHECK_INT(refused, 12);
    CHECK(read_kept(taker, &memory).half_copy);
    kt_buf_done(&memory);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_vector_that_no_log_has_is_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *taker = new_taker(help_path());
    static const struct {
        struct kt_epoch epochs[2];
        size_t count;
        uint64_t applied, commit;
    } cases[] = {
        {{{1, "00000000000000e1", 2}}, 1, 4, 4},
        {{{0, "00000000000000e1", 1}}, 1, 4, 4},
        {{{1, "00e1", 1}}, 1, 4, 4},
        {{{1, "00000000000000e1", 1}, {1, "00000000000000e2", 3}}, 2, 4, 4},
        {{{1, "00000000000000e1", 1}, {2, "00000000000000e2", 1}}, 2, 4, 4},
        {{{1, "00000000000000e1", 1}, {2, "00000000000000e2", 5}}, 2, 4, 4},
        {{{1, "00000000000000e1", 1}}, 1, 4, 3},
        {{{1, "00000000000000e1", 1}}, 0, 4, 4},
        {{{1, "00000000000000e1", 1}}, 1, 0, 4},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct kt_copy_in *in = NULL;
        CHECK_OK(begin(taker, &in, &err));
        CHECK_FAILS(kt_store_copy_in_check(in, cases[i].epochs, cases[i].count, cases[i].applied,
                                           cases[i].commit, &err),
                    KT_CORRUPT);
        CHECK(strstr(err.message, "epochs of the copy"));
        kt_store_copy_in_abort(&in);
    }
    kt_store_close(&taker);
}

/* --- starting anew --- */

static enum kt_status rejoin(const char *path, struct kt_store **ret_store, struct kt_error *err)
{
    struct kt_store_options options = {
        .path = path, .read_connections = 2, .on_notice = on_notice, .rejoin = true};
    last_notice[0] = '\0';
    return kt_store_open(&options, ret_store, err);
}

static void files_that_do_not_fit_are_put_aside_when_asked_for(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = help_open(path), *giver = new_giver();
    struct kt_buf memory, damaged;
    char node_id[KT_ID_LEN + 1];
    kt_buf_init(&memory, 0);
    kt_buf_init(&damaged, 0);
    node_id_of(taker, node_id);
    keep(taker, 5, false);
    fill(taker, 1);
    kt_store_close(&taker);
    CHECK_OK(rejoin(path, &taker, &err)); /* nothing is wrong: nothing happens */
    CHECK_STR(last_notice, "");
    CHECK_INT(kt_store_applied(taker), 2);
    kt_store_close(&taker);
    read_file(path, &damaged);
    memset(damaged.data, 'x', 4096);
    CHECK_OK(kt_fs_write_durably(path, kt_buf_str(&damaged), &err));
    CHECK_FAILS(try_open(path, &taker, &err), KT_CORRUPT);
    CHECK_OK(rejoin(path, &taker, &err));
    CHECK(strstr(last_notice, "as -rejoin asks for") && strstr(last_notice, ".diverged-"));
    check_no_files(path);
    CHECK(read_kept(taker, &memory).half_copy);
    CHECK_INT(read_kept(taker, &memory).epoch, 5);
    CHECK_INT(help_end(taker), 0);
    CHECK_INT(kt_store_applied(taker), 0);
    CHECK_OK(copy(giver, taker, &err));
    kt_store_close(&taker);
    taker = open_noticing(path);
    check_taken(taker, node_id, 5);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_buf_done(&memory);
    kt_buf_done(&damaged);
    kt_free((char *)path);
}

static void without_a_cluster_or_a_log_nothing_is_put_aside(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *store = help_open(path);
    fill(store, 1);
    kt_store_close(&store);
    CHECK_OK(kt_fs_write_durably(path, KT_STR("no database, but long enough to be one"), &err));
    CHECK_FAILS(rejoin(path, &store, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "this node was in none"));
    CHECK_OK(kt_fs_remove(beside(path, ".log.db"), &err));
    CHECK_FAILS(rejoin(path, &store, &err), KT_CORRUPT);
    CHECK(strstr(err.message, "does not know who it is"));
    check_no_files(path);
    kt_free((char *)path);
}

/* --- killed on the way --- */

static void a_half_copy_goes_and_its_mark_stays(void)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path);
    struct kt_buf memory;
    kt_buf_init(&memory, 0);
    fill(taker, 1);
    kt_store_close(&taker);
    CHECK_OK(kt_fs_write_durably(beside(path, ".copy"), KT_STR("loading\n"), &err));
    CHECK_OK(kt_fs_write_durably(beside(path, ".db.copy"), KT_STR("half"), &err));
    CHECK_OK(kt_fs_write_durably(beside(path, ".db.copy-journal"), KT_STR("half"), &err));
    CHECK_OK(kt_fs_write_durably(beside(path, ".log.db.copy"), KT_STR("half"), &err));
    taker = open_noticing(path);
    CHECK(strstr(last_notice, "was removed"));
    check_no_files(path);
    CHECK(read_kept(taker, &memory).half_copy);
    CHECK_STR(help_tell(taker, "s", ALL_D, ALL_W), "1/ a=1");
    kt_store_close(&taker);
    /* Given up at its very end: the side file says swap, and one of the files is gone. */
    CHECK_OK(kt_fs_write_durably(beside(path, ".copy"), KT_STR("swap\n"), &err));
    CHECK_OK(kt_fs_write_durably(beside(path, ".log.db.copy"), KT_STR("half"), &err));
    taker = open_noticing(path);
    check_no_files(path);
    CHECK(read_kept(taker, &memory).half_copy);
    kt_store_close(&taker);
    CHECK_OK(kt_fs_write_durably(beside(path, ".copy"), KT_STR("what\n"), &err));
    CHECK_FAILS(try_open(path, &taker, &err), KT_CORRUPT);
    CHECK(strstr(err.message, beside(path, ".copy")));
    kt_buf_done(&memory);
    kt_free((char *)path);
}

/* The nth call to a file fails, which leaves what a kill there leaves; the next open goes on. */
static void swap_with_fault(enum kt_fault kind, bool diverged)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *giver = new_giver();
    bool done = false;
    uint64_t step = kt_test_is_slow() ? 5 : 1;
    for (uint64_t nth = 1; !done; nth += step) {
        const char *path = kt_strdup(help_path());
        struct kt_store *taker = new_taker(path);
        char node_id[KT_ID_LEN + 1];
        node_id_of(taker, node_id);
        fill(taker, 1);
        if (diverged) {
            epoch_start(taker, 3, "00000000000000e3", true);
        }
        CHECK_OK(copy(giver, taker, &err));
        kt_store_close(&taker);
        kt_fault_set(kind, nth, true);
        enum kt_status status = try_open(path, &taker, &err);
        done = status == KT_OK && kt_fault_calls(kind) < nth;
        kt_fault_set(kind, 0, false);
        if (status == KT_OK) {
            kt_store_close(&taker);
        }
        if (try_open(path, &taker, &err) != KT_OK) {
            kt_test_fail(__FILE__, __LINE__, "after call %d failed: %s", (int)nth, err.message);
            return;
        }
        check_taken(taker, node_id, 5);
        check_no_files(path);
        kt_store_close(&taker);
        kt_free((char *)path);
    }
    kt_store_close(&giver);
}

static void a_swap_that_was_killed_anywhere_is_carried_out(void)
{
    swap_with_fault(KT_FAULT_IO, false);
    swap_with_fault(KT_FAULT_IO, true);
    swap_with_fault(KT_FAULT_ALLOC, true);
}

/* As if the power had gone between two renames. */
static void any_number_of_renames_may_have_been_done(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *giver = new_giver();
    for (int renames = 0; renames <= 2; renames++) {
        const char *path = kt_strdup(help_path());
        struct kt_store *taker = new_taker(path);
        char node_id[KT_ID_LEN + 1];
        node_id_of(taker, node_id);
        CHECK_OK(copy(giver, taker, &err));
        kt_store_close(&taker);
        struct sqlite3 *db = NULL; /* what was decided is in the new log already */
        char sql[600];
        CHECK_OK(db_open(beside(path, ".log.db.copy"), DB_WHOLE, &db, &err));
        snprintf(sql, sizeof(sql),
                 "ATTACH '%s' AS old; INSERT OR REPLACE INTO meta SELECT * FROM old.meta WHERE"
                 " name<>'commit_seq' AND name<>'half_copy'; INSERT OR REPLACE INTO meta"
                 " VALUES('half_copy',0)",
                 beside(path, ".log.db"));
        CHECK_OK(db_exec(db, sql, &err));
        db_close(&db);
        CHECK_OK(kt_fs_write_durably(beside(path, ".copy"), KT_STR("swap replace\n"), &err));
        if (renames >= 1) {
            CHECK_OK(kt_fs_rename(beside(path, ".log.db.copy"), beside(path, ".log.db"), &err));
        }
        if (renames >= 2) {
            CHECK_OK(kt_fs_rename(beside(path, ".db.copy"), path, &err));
        }
        CHECK_OK(try_open(path, &taker, &err));
        check_taken(taker, node_id, 5);
        check_no_files(path);
        kt_store_close(&taker);
        kt_free((char *)path);
    }
    kt_store_close(&giver);
}

/* Giving and taking fail at each call; nothing is left, nothing has changed, and it works then. */
static void copy_with_faults(enum kt_fault kind)
{
    struct kt_error err = KT_ERROR_INIT;
    const char *path = kt_strdup(help_path());
    struct kt_store *taker = new_taker(path), *giver = new_giver();
    char node_id[KT_ID_LEN + 1];
    bool done = false;
    uint64_t step = kt_test_is_slow() ? 5 : 1;
    node_id_of(taker, node_id);
    for (uint64_t nth = 1; !done; nth += step) {
        kt_fault_set(kind, nth, false);
        enum kt_status status = copy(giver, taker, &err);
        bool reached = kt_fault_calls(kind) >= nth;
        kt_fault_set(kind, 0, false);
        if (status == KT_OK) {
            done = true; /* a failure while removing is none */
        } else if (!reached || (status != KT_IO && status != KT_NO_MEMORY)) {
            kt_test_fail(__FILE__, __LINE__, "call %d: %s", (int)nth, err.message);
            return;
        }
    }
    kt_store_close(&taker);
    taker = open_noticing(path);
    check_taken(taker, node_id, 5);
    check_no_files(path);
    kt_store_close(&taker);
    kt_store_close(&giver);
    kt_free((char *)path);
}

static void a_copy_that_fails_anywhere_can_be_repeated(void)
{
    copy_with_faults(KT_FAULT_IO);
    copy_with_faults(KT_FAULT_ALLOC);
}

static const struct kt_test tests[] = {
    TEST(a_copy_is_all_that_the_giver_had_under_the_takers_name),
    TEST(a_copy_of_an_empty_store_can_be_taken),
    TEST(what_is_given_is_one_moment_though_writes_go_on),
    TEST(what_is_kept_at_the_swap_counts_not_at_the_copy),
    TEST(a_taker_that_was_only_behind_leaves_nothing),
    TEST(a_taker_with_another_history_keeps_it_beside),
    TEST(a_tail_that_the_copy_lacks_is_kept_too),
    TEST(a_wal_of_the_old_files_never_meets_the_new_ones),
    TEST(without_the_mark_no_copy_is_begun),
    TEST(what_cannot_be_taken_is_refused_before_its_first_byte),
    TEST(a_whole_copy_waits_for_the_next_open),
    TEST(only_so_many_copies_are_given_at_once),
    TEST(what_a_killed_giver_left_goes_at_the_next_open),
    TEST(a_file_that_is_no_copy_of_this_cluster_is_refused),
    TEST(a_damaged_file_is_refused),
    TEST(a_vector_that_no_log_has_is_refused),
    TEST(files_that_do_not_fit_are_put_aside_when_asked_for),
    TEST(without_a_cluster_or_a_log_nothing_is_put_aside),
    TEST(a_half_copy_goes_and_its_mark_stays),
    TEST(a_swap_that_was_killed_anywhere_is_carried_out),
    TEST(any_number_of_renames_may_have_been_done),
    TEST(a_copy_that_fails_anywhere_can_be_repeated),
};
KT_TEST_MAIN(tests)
