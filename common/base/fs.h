/* fs.h - files, directories, durable writes, and the lock on a database.
 *
 * Paths are UTF-8. Every write that must survive a crash goes: write beside, fsync, rename, fsync
 * the directory. This is one of the few places that know the operating system.
 *
 * Threads: any.
 * Owns:    kt_lock_file until kt_lock_release, kt_file until kt_file_close.
 * Fails:   KT_IO with path and reason; KT_NOT_FOUND when a file to read is absent; KT_TOO_LARGE;
 *          KT_BUSY when the lock is held, with the holder named in the message.
 */
#ifndef KT_BASE_FS_H
#define KT_BASE_FS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

bool kt_fs_exists(const char *path);
bool kt_fs_is_dir(const char *path);
enum kt_status kt_fs_mkdirs(const char *path, struct kt_error *err) KT_MUST_CHECK;
/* The directories above `path`. */
enum kt_status kt_fs_mkdirs_for(const char *path, struct kt_error *err) KT_MUST_CHECK;
/* Appends the file to `ret_content`; refuses more than max_bytes. */
enum kt_status kt_fs_read(const char *path, size_t max_bytes, struct kt_buf *ret_content,
                          struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_fs_write_durably(const char *path, struct kt_str content,
                                   struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_fs_remove(const char *path,
                            struct kt_error *err) KT_MUST_CHECK; /* absent is OK */
enum kt_status kt_fs_rename(const char *from, const char *to, struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_fs_sync_dir(const char *path, struct kt_error *err) KT_MUST_CHECK;
/* The directory that `path` lies in. */
enum kt_status kt_fs_sync_parent(const char *path, struct kt_error *err) KT_MUST_CHECK;
int64_t kt_fs_size(const char *path); /* -1 when absent */
/* What a process without privileges may still write beside `path`; -1 when unknown. */
int64_t kt_fs_free_beside(const char *path);

/* A new file that is written from its beginning to its end (create; KT_BUSY when the path exists),
 * or one that is read so (open). Closing does not make it durable; sync does, but not its name:
 * that is kt_fs_sync_parent's. */
struct kt_file;
enum kt_status kt_file_create(const char *path, struct kt_file **ret_file,
                              struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_file_write(struct kt_file *file, const void *data, size_t len_bytes,
                             struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_file_sync(struct kt_file *file, struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_file_open(const char *path, struct kt_file **ret_file,
                            struct kt_error *err) KT_MUST_CHECK;
/* Fewer than `size` only at the end of the file. */
enum kt_status kt_file_read(struct kt_file *file, void *dest, size_t size, size_t *ret_got,
                            struct kt_error *err) KT_MUST_CHECK;
enum kt_status kt_file_close(struct kt_file **file, struct kt_error *err) KT_MUST_CHECK;

/* An exclusive lock that ends with the process, however it ends. The lock file says who holds it
 * (pid and `what`), and a refusal quotes that. */
struct kt_lock_file;
enum kt_status kt_lock_acquire(const char *path, const char *what, struct kt_lock_file **ret_lock,
                               struct kt_error *err) KT_MUST_CHECK;
void kt_lock_release(struct kt_lock_file **lock);

int kt_process_id(void);
const char *kt_host_name(void); /* static storage */

/* Calls fn(arg, signal) on a thread of its own, for SIGTERM and SIGINT (Ctrl-C and close events on
 * Windows) and, where there is one, SIGHUP. Call once, before any other thread starts; SIGPIPE is
 * ignored from then on. */
enum kt_signal { KT_SIGNAL_STOP, KT_SIGNAL_RELOAD };
typedef void (*kt_signal_fn)(void *arg, enum kt_signal signal);
enum kt_status kt_signals_start(kt_signal_fn fn, void *arg, struct kt_error *err) KT_MUST_CHECK;

/* Raises the number of files and sockets that this process may have open towards `wanted`, as far
 * as the system lets it. Returns what it may have now. */
uint64_t kt_process_raise_files(uint64_t wanted);

/* Present and peak resident memory of this process in bytes, 0 when unknown. */
uint64_t kt_process_resident_bytes(void);
uint64_t kt_process_peak_bytes(void);

/* The system's sentence for an errno value, for any thread; returns dest. */
#define KT_ERRNO_TEXT_MAX 96
const char *kt_errno_text(int code, char dest[KT_ERRNO_TEXT_MAX]);

#endif
