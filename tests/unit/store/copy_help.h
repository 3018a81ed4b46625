/* copy_help.h - a store that gives a full copy, one that takes it, and what is there afterwards.
 *
 * The giver has four entries of two epochs; the taker is a node of the same cluster that carries
 * the mark of a copy. Stores are in memory where the machine offers that.
 *
 * Threads: the test's.
 * Owns:    nothing; stores and paths are the test's.
 * Fails:   by aborting, except where a status is returned; the checks fail the test.
 */
#ifndef KT_TEST_STORE_COPY_HELP_H
#define KT_TEST_STORE_COPY_HELP_H

#include "base/fs.h"
#include "store/copy.h"
#include "store/touched.h"
#include "tests/unit/store/memory_disk.h"
#include "tests/unit/store/store_help.h"

#define CLUSTER "00000000000000cc"
#define GIVEN_TEXT "1/ a=1; 2/ a=2"

/* What the last open had to say; "" = nothing. */
static char last_notice[1000];

static inline void on_notice(void *ctx, const char *text)
{
    (void)ctx;
    snprintf(last_notice, sizeof(last_notice), "%s", text);
}

static inline enum kt_status try_open(const char *path, struct kt_store **ret_store,
                                      struct kt_error *err)
{
    struct kt_store_options options = {.path = path, .read_connections = 2, .on_notice = on_notice};
    last_notice[0] = '\0';
    return kt_store_open(&options, ret_store, err);
}

static inline struct kt_store *open_noticing(const char *path)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store *store = NULL;
    if (try_open(path, &store, &err) != KT_OK) {
        help_fatal("open", &err);
    }
    return store;
}

static inline void keep(struct kt_store *store, uint64_t epoch, bool half_copy)
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

static inline struct kt_store_kept read_kept(struct kt_store *store, struct kt_buf *memory)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store_kept kept;
    kt_buf_clear(memory);
    if (kt_store_read_kept(store, &kept, memory, &err) != KT_OK) {
        help_fatal("read kept", &err);
    }
    return kept;
}

static inline void epoch_start(struct kt_store *store, uint64_t epoch, const char *id, bool apply)
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
static inline void fill(struct kt_store *store, int saves)
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
static inline struct kt_store *new_giver(void)
{
    struct kt_store *store = help_open(help_path());
    keep(store, 4, false);
    fill(store, 2);
    epoch_start(store, 4, "00000000000000e4", true);
    return store;
}

/* A node of the cluster with the mark of a copy and nothing else. */
static inline struct kt_store *new_taker(const char *path)
{
    struct kt_store *store = help_open(path);
    keep(store, 5, true);
    return store;
}

struct change_byte {
    bool wanted;
    uint64_t at;
};

static inline enum kt_status transfer(struct kt_copy_out *out, struct kt_copy_in *in,
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

static inline enum kt_status begin(struct kt_store *taker, struct kt_copy_in **ret_in,
                                   struct kt_error *err)
{
    return kt_store_copy_in_begin(taker, 4096, kt_store_copy_schema(), ret_in, err);
}

/* The whole way; what is open is closed again whatever happens. */
static inline enum kt_status copy(struct kt_store *giver, struct kt_store *taker,
                                  struct kt_error *err)
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

static inline void check_no_files(const char *path)
{
    static const char *const suffixes[] = {".copy",        ".db.copy",          ".log.db.copy",
                                           ".db.copy-wal", ".db.copy-shm",      ".db.copy-journal",
                                           ".db.give-0",   ".db.give-0-journal"};
    for (size_t i = 0; i < KT_ARRAY_LEN(suffixes); i++) {
        if (kt_fs_exists(help_beside(path, suffixes[i]))) {
            kt_test_fail(__FILE__, __LINE__, "%s is left", help_beside(path, suffixes[i]));
        }
    }
}

/* What the taker is once the copy of new_giver() is in its place. */
static inline void check_taken(struct kt_store *store, const char *node_id, uint64_t kept_epoch)
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

static inline void node_id_of(struct kt_store *store, char dest[KT_ID_LEN + 1])
{
    struct kt_store_identity id;
    kt_store_identity(store, &id);
    memcpy(dest, id.node_id, KT_ID_LEN + 1);
}

#endif
