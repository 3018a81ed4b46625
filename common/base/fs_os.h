/* fs_os.h - the calls that fs.c needs of an operating system; private to common/base.
 *
 * fs_posix.c and fs_win.c implement them. All but the lock return as the POSIX call of that name
 * does: -1 and errno. Interrupted calls are repeated inside.
 *
 * Threads: any.
 * Owns:    descriptors until kt_os_close; none is inherited by children.
 * Fails:   -1 with errno set.
 */
#ifndef KT_BASE_FS_OS_H
#define KT_BASE_FS_OS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

bool kt_os_is_separator(char c);
int kt_os_mkdir(const char *path);
int kt_os_open_read(const char *path);
int kt_os_create(const char *path); /* for writing; fails when it exists */
ptrdiff_t kt_os_read(int fd, void *dest, size_t size);
ptrdiff_t kt_os_write(int fd, const void *data, size_t len_bytes);
int kt_os_sync(int fd);
int kt_os_close(int fd);
int kt_os_remove(const char *path);
int kt_os_rename(const char *from, const char *to); /* replaces */
int kt_os_sync_dir(const char *path);
int64_t kt_os_free_bytes(const char *directory); /* -1 = unknown */

/* Opens (creating) and locks. HELD: *ret_fd is open for kt_os_lock_read. */
enum kt_os_lock { KT_OS_LOCK_TAKEN, KT_OS_LOCK_HELD, KT_OS_LOCK_FAILED };
enum kt_os_lock kt_os_lock_open(const char *path, int *ret_fd);
ptrdiff_t kt_os_lock_read(int fd, void *dest, size_t size);
int kt_os_lock_write(int fd, const void *data, size_t len_bytes); /* replaces the content */

/* "verb path: reason of errno", KT_NOT_FOUND for ENOENT, else KT_IO. */
enum kt_status kt_os_fail(struct kt_error *err, const char *verb, const char *path);

#endif
