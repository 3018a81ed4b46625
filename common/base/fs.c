/* SPDX-License-Identifier: MIT */
/* fs.c - what is the same on every system: reading whole files, the durable write, directories
 * above a path. The system's own calls are behind fs_os.h. */
#include "base/fs.h"

#include "base/fs_os.h"
#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

const char *kt_errno_text(int code, char dest[KT_ERRNO_TEXT_MAX])
{
#ifdef __GLIBC__
    const char *text = strerror_r(code, dest, KT_ERRNO_TEXT_MAX);
    if (text != dest) {
        kt_str_copy(dest, KT_ERRNO_TEXT_MAX, kt_str(text));
    }
#else
    kt_str_copy(dest, KT_ERRNO_TEXT_MAX, kt_str(strerror(code)));
#endif
    return dest;
}

enum kt_status kt_os_fail(struct kt_error *err, const char *verb, const char *path)
{
    int code = errno;
    char why[KT_ERRNO_TEXT_MAX];
    return kt_fail(err, code == ENOENT ? KT_NOT_FOUND : KT_IO, "%s %s: %s", verb, path,
                   kt_errno_text(code, why));
}

/* For calls whose contract has no KT_NOT_FOUND. */
static enum kt_status fail_io(struct kt_error *err, const char *verb, const char *path)
{
    (void)kt_os_fail(err, verb, path);
    if (err) {
        err->status = KT_IO;
    }
    return KT_IO;
}

static int fault(void)
{
    if (kt_fault_hit(KT_FAULT_IO)) {
        errno = EIO;
        return 1;
    }
    return 0;
}

/* Length of the directory part of `path` without the last separator (but "/" stays); 0 when there
 * is none. */
static size_t parent_len(const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && kt_os_is_separator(path[len - 1])) {
        len--;
    }
    while (len > 0 && !kt_os_is_separator(path[len - 1])) {
        len--;
    }
    while (len > 1 && kt_os_is_separator(path[len - 1])) {
        len--;
    }
    return len;
}

enum kt_status kt_fs_mkdirs(const char *path, struct kt_error *err)
{
    KT_AUTOFREE char *partial = kt_strdup(path);
    if (!partial) {
        return kt_fail(err, KT_NO_MEMORY, "create directory %s: out of memory", path);
    }
    size_t len = strlen(path);
    for (size_t i = 1; i <= len; i++) {
        if (i < len && (!kt_os_is_separator(path[i]) || kt_os_is_separator(path[i - 1]))) {
            continue;
        }
        partial[i] = '\0';
        /* What exists is not made: the root of a drive or a read-only parent would refuse. */
        if (!kt_fs_is_dir(partial) && (fault() || kt_os_mkdir(partial) != 0) &&
            !(errno == EEXIST && kt_fs_is_dir(partial))) {
            return fail_io(err, "create directory", partial);
        }
        partial[i] = path[i];
    }
    return KT_OK;
}

/* Heap, NULL without memory. */
static char *parent_of(const char *path)
{
    size_t len = parent_len(path);
    return len ? kt_strndup(path, len) : kt_strdup(".");
}

enum kt_status kt_fs_mkdirs_for(const char *path, struct kt_error *err)
{
    size_t len = parent_len(path);
    if (len == 0) {
        return KT_OK;
    }
    KT_AUTOFREE char *parent = kt_strndup(path, len);
    if (!parent) {
        return kt_fail(err, KT_NO_MEMORY, "create directory for %s: out of memory", path);
    }
    return kt_fs_mkdirs(parent, err);
}

static enum kt_status read_all(int fd, const char *path, size_t max_bytes, struct kt_buf *content,
                               struct kt_error *err)
{
    size_t total = 0;
    for (;;) {
        /* One byte more than allowed, to see that there is more. */
        size_t want = max_bytes - total < 65536 ? max_bytes - total + 1 : 65536;
        char chunk[4096];
        ptrdiff_t got =
            fault() ? -1 : kt_os_read(fd, chunk, want < sizeof chunk ? want : sizeof chunk);
        if (got < 0) {
            return fail_io(err, "read", path);
        }
        if (got == 0) {
            return KT_OK;
        }
        if ((size_t)got > max_bytes - total) {
            return kt_fail(err, KT_TOO_LARGE, "read %s: larger than %zu bytes", path, max_bytes);
        }
        total += (size_t)got;
        kt_buf_append(content, chunk, (size_t)got);
        if (kt_buf_status(content) != KT_OK) {
            return kt_fail(err, kt_buf_status(content), "read %s: no room for its content", path);
        }
    }
}

enum kt_status kt_fs_read(const char *path, size_t max_bytes, struct kt_buf *ret_content,
                          struct kt_error *err)
{
    if (kt_buf_status(ret_content) != KT_OK) {
        return kt_fail(err, kt_buf_status(ret_content), "read %s: the buffer failed before", path);
    }
    size_t before = ret_content->len_bytes;
    int fd = fault() ? -1 : kt_os_open_read(path);
    if (fd < 0) {
        return kt_os_fail(err, "open", path);
    }
    enum kt_status status = read_all(fd, path, max_bytes, ret_content, err);
    kt_os_close(fd);
    if (status != KT_OK) {
        ret_content->len_bytes = before;
        ret_content->failed = KT_OK;
        if (ret_content->data) {
            ret_content->data[before] = '\0';
        }
    }
    return status;
}

static enum kt_status write_all(int fd, const char *path, struct kt_str content,
                                struct kt_error *err)
{
    while (content.len > 0) {
        ptrdiff_t put = fault() ? -1 : kt_os_write(fd, content.data, content.len);
        if (put < 0) {
            return fail_io(err, "write", path);
        }
        content.data += put;
        content.len -= (size_t)put;
    }
    return KT_OK;
}

static enum kt_status write_and_sync(int fd, const char *path, struct kt_str content,
                                     struct kt_error *err)
{
    enum kt_status status = write_all(fd, path, content, err);
    if (status == KT_OK && (fault() || kt_os_sync(fd) != 0)) {
        return fail_io(err, "sync", path);
    }
    return status;
}

enum kt_status kt_fs_sync_parent(const char *path, struct kt_error *err)
{
    KT_AUTOFREE char *parent = parent_of(path);
    if (!parent) {
        return kt_fail(err, KT_NO_MEMORY, "sync directory of %s: out of memory", path);
    }
    return kt_fs_sync_dir(parent, err);
}

enum kt_status kt_fs_write_durably(const char *path, struct kt_str content, struct kt_error *err)
{
    /* A name of its own for every attempt: two threads may write the same file. */
    char id[KT_ID_LEN + 1];
    kt_random_id(id);
    struct kt_buf name;
    kt_buf_init(&name, 0);
    kt_buf_printf(&name, "%s.%s.tmp", path, id);
    KT_AUTOFREE char *beside = kt_buf_take(&name, NULL);
    kt_buf_done(&name);
    if (!beside) {
        return kt_fail(err, KT_NO_MEMORY, "write %s: out of memory", path);
    }
    int fd = fault() ? -1 : kt_os_create(beside);
    if (fd < 0) {
        return fail_io(err, "create", beside);
    }
    enum kt_status status = write_and_sync(fd, beside, content, err);
    if (kt_os_close(fd) != 0 && status == KT_OK) {
        status = fail_io(err, "close", beside);
    }
    if (status == KT_OK) {
        status = kt_fs_rename(beside, path, err);
    }
    if (status != KT_OK) {
        (void)kt_os_remove(beside);
        return status;
    }
    return kt_fs_sync_parent(path, err);
}

enum kt_status kt_fs_remove(const char *path, struct kt_error *err)
{
    if ((fault() || kt_os_remove(path) != 0) && errno != ENOENT) {
        return fail_io(err, "remove", path);
    }
    return KT_OK;
}

enum kt_status kt_fs_rename(const char *from, const char *to, struct kt_error *err)
{
    if (fault() || kt_os_rename(from, to) != 0) {
        char why[KT_ERRNO_TEXT_MAX];
        return kt_fail(err, KT_IO, "rename %s to %s: %s", from, to, kt_errno_text(errno, why));
    }
    return KT_OK;
}

enum kt_status kt_fs_sync_dir(const char *path, struct kt_error *err)
{
    if (fault() || kt_os_sync_dir(path) != 0) {
        return fail_io(err, "sync directory", path);
    }
    return KT_OK;
}

int64_t kt_fs_free_beside(const char *path)
{
    KT_AUTOFREE char *parent = parent_of(path);
    return parent ? kt_os_free_bytes(parent) : -1;
}

struct kt_file {
    int fd;
    char path[];
};

static enum kt_status new_file(const char *path, bool create, struct kt_file **ret_file,
                               struct kt_error *err)
{
    size_t size = strlen(path) + 1;
    struct kt_file *file = kt_malloc(sizeof *file + size);
    if (!file) {
        return kt_fail(err, KT_NO_MEMORY, "open %s: out of memory", path);
    }
    memcpy(file->path, path, size);
    file->fd = fault() ? -1 : create ? kt_os_create(path) : kt_os_open_read(path);
    if (file->fd < 0) {
        enum kt_status status = KT_OK;
        if (create) {
            status = errno == EEXIST ? kt_fail(err, KT_BUSY, "create %s: it exists", path)
                                     : fail_io(err, "create", path);
        } else {
            status = kt_os_fail(err, "open", path);
        }
        kt_free(file);
        return status;
    }
    *ret_file = file;
    return KT_OK;
}

enum kt_status kt_file_create(const char *path, struct kt_file **ret_file, struct kt_error *err)
{
    return new_file(path, true, ret_file, err);
}

enum kt_status kt_file_open(const char *path, struct kt_file **ret_file, struct kt_error *err)
{
    return new_file(path, false, ret_file, err);
}

enum kt_status kt_file_sync(struct kt_file *file, struct kt_error *err)
{
    return fault() || kt_os_sync(file->fd) != 0 ? fail_io(err, "sync", file->path) : KT_OK;
}

enum kt_status kt_file_read(struct kt_file *file, void *dest, size_t size, size_t *ret_got,
                            struct kt_error *err)
{
    size_t total = 0;
    while (total < size) {
        ptrdiff_t got = fault() ? -1 : kt_os_read(file->fd, (char *)dest + total, size - total);
        if (got < 0) {
            return fail_io(err, "read", file->path);
        }
        if (got == 0) {
            break;
        }
        total += (size_t)got;
    }
    *ret_got = total;
    return KT_OK;
}

enum kt_status kt_file_write(struct kt_file *file, const void *data, size_t len_bytes,
                             struct kt_error *err)
{
    return write_all(file->fd, file->path, kt_str_n(data, len_bytes), err);
}

enum kt_status kt_file_close(struct kt_file **file, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    if (*file && kt_os_close((*file)->fd) != 0) {
        status = fail_io(err, "close", (*file)->path);
    }
    kt_free(*file);
    *file = NULL;
    return status;
}

struct kt_lock_file {
    int fd;
};

static enum kt_status refuse_lock(int fd, const char *path, struct kt_error *err)
{
    char holder[200];
    ptrdiff_t got = kt_os_lock_read(fd, holder, sizeof holder - 1);
    holder[got > 0 ? got : 0] = '\0';
    holder[strcspn(holder, "\r\n")] = '\0';
    if (!holder[0]) {
        return kt_fail(err, KT_BUSY, "lock %s: held by another process", path);
    }
    return kt_fail(err, KT_BUSY, "lock %s: held by process %s", path, holder);
}

enum kt_status kt_lock_acquire(const char *path, const char *what, struct kt_lock_file **ret_lock,
                               struct kt_error *err)
{
    struct kt_lock_file *lock = kt_malloc(sizeof *lock);
    struct kt_buf line;
    kt_buf_init(&line, 0);
    kt_buf_printf(&line, "%d %s\n", kt_process_id(), what);
    enum kt_status status = kt_buf_status(&line);
    int fd = -1;
    if (!lock || status != KT_OK) {
        status = kt_fail(err, KT_NO_MEMORY, "lock %s: out of memory", path);
        goto out;
    }
    enum kt_os_lock result = fault() ? KT_OS_LOCK_FAILED : kt_os_lock_open(path, &fd);
    if (result == KT_OS_LOCK_HELD) {
        status = refuse_lock(fd, path, err);
        goto out;
    }
    if (result == KT_OS_LOCK_FAILED) {
        status = fail_io(err, "lock", path);
        goto out;
    }
    if (fault() || kt_os_lock_write(fd, line.data, line.len_bytes) != 0) {
        status = fail_io(err, "write lock", path);
        goto out;
    }
    lock->fd = fd;
    *ret_lock = lock;
    lock = NULL;
    fd = -1;
out:
    if (fd >= 0) {
        (void)kt_os_close(fd);
    }
    kt_buf_done(&line);
    kt_free(lock);
    return status;
}

/* The file stays: removing it could remove the one that another process locked in between. */
void kt_lock_release(struct kt_lock_file **lock)
{
    if (!*lock) {
        return;
    }
    (void)kt_os_lock_write((*lock)->fd, "", 0);
    (void)kt_os_close((*lock)->fd);
    kt_free(*lock);
    *lock = NULL;
}
