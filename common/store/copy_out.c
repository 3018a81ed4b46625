/* SPDX-License-Identifier: MIT */
#include "store/copy.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/store_internal.h"

#include <stdio.h>
#include <string.h>

#define SLICE_BYTES (2u << 20)
#define SPARE_BYTES (8u << 20) /* must stay free beside the file */
#define HOLD_MS 300000         /* for the taker to check it, to start again and to fetch */

struct kt_copy_out {
    struct kt_store *store;
    char *path;
    int slot;
    struct sqlite3 *from, *to;
    struct sqlite3_backup *backup; /* NULL = the file is made */
    struct kt_file *file;          /* open for reading then */
    int slice_pages;
    uint64_t size_bytes, read_bytes, applied_seq;
    struct kt_epoch *epochs;
    size_t epoch_count;
};

static char *out_path(const struct kt_store *store, int slot)
{
    char suffix[24];
    snprintf(suffix, sizeof(suffix), ".db.give-%d", slot);
    return store_beside(store, suffix);
}

void copies_out_remove(const struct kt_store *store)
{
    for (int i = 0; i < KT_COPIES_OUT_MAX; i++) {
        KT_AUTOFREE char *path = out_path(store, i);
        if (path) {
            (void)!db_remove(path, NULL);
        }
    }
}

/* The one that is held for another's sake no more, or soonest. */
static int take_slot(struct kt_store *store)
{
    int slot = -1;
    kt_mutex_lock(&store->state_mutex);
    for (int i = 0; i < KT_COPIES_OUT_MAX; i++) {
        const struct copy_hold *hold = &store->copies_out[i];
        if (!hold->open &&
            (slot < 0 || hold->until_mono_ms < store->copies_out[slot].until_mono_ms)) {
            slot = i;
        }
    }
    if (slot >= 0) {
        /* What is applied now is the least that the copy will have. */
        store->copies_out[slot] = (struct copy_hold){.open = true, .seq = kt_store_applied(store)};
    }
    kt_mutex_unlock(&store->state_mutex);
    return slot;
}

static void give_slot(struct kt_store *store, int slot, bool was_read)
{
    kt_mutex_lock(&store->state_mutex);
    store->copies_out[slot].open = false;
    store->copies_out[slot].until_mono_ms = was_read ? kt_now_mono_ms() + HOLD_MS : 0;
    kt_mutex_unlock(&store->state_mutex);
}

/* The first read begins the transaction: from then on this is one moment of the data. */
static enum kt_status fix_moment(struct kt_copy_out *out, struct kt_error *err)
{
    int64_t applied = 0, pages = 0, page_size = 0;
    enum kt_status status = kt_store_flush(out->store, err);
    if (status == KT_OK) {
        status = db_exec(out->from, "BEGIN", err);
    }
    if (status == KT_OK) {
        status = db_meta_get_i64(out->from, "applied_seq", 0, &applied, err);
    }
    if (status == KT_OK) {
        status = db_number(out->from, "PRAGMA page_count", &pages, err);
    }
    if (status == KT_OK) {
        status = db_number(out->from, "PRAGMA page_size", &page_size, err);
    }
    if (status == KT_OK) {
        out->applied_seq = (uint64_t)applied;
        out->size_bytes = (uint64_t)pages * (uint64_t)page_size;
        out->slice_pages = (int)(SLICE_BYTES / (uint64_t)page_size);
    }
    return status;
}

/* A full disk would cost the giver more than a copy is worth: it may be the leader. */
static enum kt_status check_room(const struct kt_copy_out *out, struct kt_error *err)
{
    int64_t unused = kt_fs_free_beside(out->path);
    if (unused < 0 || (uint64_t)unused > out->size_bytes + out->size_bytes / 4 + SPARE_BYTES) {
        return KT_OK;
    }
    return kt_fail(err, KT_IO,
                   "%s would need %llu bytes and leave too little of the %lld that are free; free "
                   "space on its file system",
                   out->path, (unsigned long long)out->size_bytes, (long long)unused);
}

static enum kt_status take_epochs(struct kt_copy_out *out, struct kt_error *err)
{
    enum kt_status status = kt_store_epochs(out->store, &out->epochs, &out->epoch_count, err);
    if (status == KT_OK) {
        const struct kt_epoch *last = kt_epochs_at(out->epochs, out->epoch_count, out->applied_seq);
        out->epoch_count = last ? (size_t)(last - out->epochs) + 1 : 0;
    }
    return status;
}

static enum kt_status begin(struct kt_copy_out *out, struct kt_error *err)
{
    out->path = out_path(out->store, out->slot);
    if (!out->path) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to copy the data");
    }
    (void)!db_remove(out->path, NULL);
    enum kt_status status = db_open(out->store->path, DB_READER, &out->from, err);
    if (status == KT_OK) {
        status = fix_moment(out, err);
    }
    if (status == KT_OK) {
        status = check_room(out, err);
    }
    if (status == KT_OK) {
        status = take_epochs(out, err);
    }
    if (status == KT_OK) {
        status = db_open(out->path, DB_SCRATCH, &out->to, err);
    }
    return status == KT_OK ? db_backup_start(out->from, out->to, &out->backup, err) : status;
}

enum kt_status kt_store_copy_out_open(struct kt_store *store, struct kt_copy_out **ret_out,
                                      struct kt_error *err)
{
    struct kt_copy_out *out = kt_calloc(1, sizeof(*out));
    if (!out) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to copy the data");
    }
    out->store = store;
    out->slot = take_slot(store);
    enum kt_status status =
        out->slot < 0
            ? kt_fail(err, KT_BUSY, "%d copies are being given already", KT_COPIES_OUT_MAX)
            : begin(out, err);
    if (status != KT_OK) {
        kt_store_copy_out_close(&out);
        return status;
    }
    *ret_out = out;
    return KT_OK;
}

uint64_t kt_store_copy_out_size(const struct kt_copy_out *out)
{
    return out->size_bytes;
}

uint64_t kt_store_copy_out_applied(const struct kt_copy_out *out)
{
    return out->applied_seq;
}

const struct kt_epoch *kt_store_copy_out_epochs(const struct kt_copy_out *out, size_t *ret_count)
{
    *ret_count = out->epoch_count;
    return out->epochs;
}

static void close_databases(struct kt_copy_out *out)
{
    if (out->backup) {
        db_backup_end(&out->backup);
    }
    if (out->from) {
        db_rollback(out->from); /* ends the read transaction */
    }
    db_close(&out->from);
    db_close(&out->to);
}

static enum kt_status open_made(struct kt_copy_out *out, struct kt_error *err)
{
    close_databases(out);
    int64_t size = kt_fs_size(out->path);
    if (size < 0 || (uint64_t)size != out->size_bytes) {
        return kt_fail(err, KT_IO, "%s has %lld bytes instead of %llu", out->path, (long long)size,
                       (unsigned long long)out->size_bytes);
    }
    return kt_file_open(out->path, &out->file, err);
}

enum kt_status kt_store_copy_out_make(struct kt_copy_out *out, bool *ret_ready,
                                      struct kt_error *err)
{
    bool done = true;
    enum kt_status status = KT_OK;
    if (out->backup) {
        status = db_backup_step(out->backup, out->slice_pages, out->to, &done, err);
    }
    if (status == KT_OK && done && !out->file) {
        status = open_made(out, err);
    }
    if (status == KT_OK) {
        *ret_ready = done;
    }
    return status;
}

enum kt_status kt_store_copy_out_read(struct kt_copy_out *out, void *dest, size_t len_bytes,
                                      size_t *ret_got, struct kt_error *err)
{
    bool ready = out->file != NULL;
    while (!ready) {
        enum kt_status status = kt_store_copy_out_make(out, &ready, err);
        if (status != KT_OK) {
            return status;
        }
    }
    enum kt_status status = kt_file_read(out->file, dest, len_bytes, ret_got, err);
    out->read_bytes += status == KT_OK ? *ret_got : 0;
    return status;
}

void kt_store_copy_out_close(struct kt_copy_out **out)
{
    struct kt_copy_out *o = *out;
    if (!o) {
        return;
    }
    close_databases(o);
    (void)!kt_file_close(&o->file, NULL);
    if (o->path) {
        (void)!db_remove(o->path, NULL);
    }
    if (o->slot >= 0) {
        give_slot(o->store, o->slot, o->read_bytes > 0 && o->read_bytes == o->size_bytes);
    }
    kt_free(o->epochs);
    kt_free(o->path);
    kt_free(o);
    *out = NULL;
}
