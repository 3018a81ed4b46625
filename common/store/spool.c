/* SPDX-License-Identifier: MIT */
#include "store/spool.h"

#include "base/fs.h"
#include "base/mem.h"
#include "store/db.h"

#include <stdio.h>
#include <string.h>

#define SUFFIX_BYTES 32

struct kt_spool {
    struct kt_file *file; /* NULL when it is finished */
    uint64_t bytes, max_bytes;
    char path[];
};

static void name_spool(char *dest, size_t size, const char *beside, int number)
{
    snprintf(dest, size, "%s.spool-%d", beside, number);
}

enum kt_status kt_spool_new(const char *beside, uint64_t max_bytes, struct kt_spool **ret_spool,
                            struct kt_error *err)
{
    size_t size = strlen(beside) + SUFFIX_BYTES;
    struct kt_spool *spool = kt_malloc(sizeof(*spool) + size);
    if (!spool) {
        return kt_fail(err, KT_NO_MEMORY, "no memory for a temporary file");
    }
    spool->file = NULL;
    spool->bytes = 0;
    spool->max_bytes = max_bytes;
    enum kt_status status = KT_BUSY;
    for (int i = 0; i < KT_SPOOLS_MAX && status == KT_BUSY; i++) {
        name_spool(spool->path, size, beside, i);
        status = kt_file_create(spool->path, &spool->file, err); /* who makes it has it */
    }
    if (status != KT_OK) {
        kt_free(spool);
        return status == KT_BUSY ? kt_fail(err, KT_BUSY,
                                           "%d imports that need a temporary file are under way "
                                           "already",
                                           KT_SPOOLS_MAX)
                                 : status;
    }
    *ret_spool = spool;
    return KT_OK;
}

enum kt_status kt_spool_write(struct kt_spool *spool, const void *data, size_t len_bytes,
                              struct kt_error *err)
{
    if (len_bytes > spool->max_bytes - spool->bytes) {
        return kt_fail_field(err, KT_TOO_LARGE, "body",
                             "the body is larger than the %llu bytes that are kept in a temporary "
                             "file ([limits] import_spool_bytes)",
                             (unsigned long long)spool->max_bytes);
    }
    spool->bytes += len_bytes;
    return kt_file_write(spool->file, data, len_bytes, err);
}

enum kt_status kt_spool_finish(struct kt_spool *spool, const char **ret_path, struct kt_error *err)
{
    enum kt_status status = kt_file_close(&spool->file, err);
    *ret_path = spool->path;
    return status;
}

void kt_spool_free(struct kt_spool **spool)
{
    if (!*spool) {
        return;
    }
    (void)!kt_file_close(&(*spool)->file, NULL);
    /* SQLite may leave a journal beside it. What cannot be removed now is in nobody's way: the next
     * start tries again. */
    (void)!db_remove((*spool)->path, NULL);
    kt_free(*spool);
    *spool = NULL;
}

void kt_spools_remove(const char *beside)
{
    size_t size = strlen(beside) + SUFFIX_BYTES;
    char *path = kt_malloc(size);
    for (int i = 0; path && i < KT_SPOOLS_MAX; i++) {
        name_spool(path, size, beside, i);
        (void)!db_remove(path, NULL);
    }
    kt_free(path);
}
