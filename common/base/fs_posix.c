/* SPDX-License-Identifier: MIT */
/* fs_posix.c - fs_os.h on POSIX systems. */
#include "base/fs.h"
#include "base/fs_os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool kt_os_is_separator(char c)
{
    return c == '/';
}

bool kt_fs_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool kt_fs_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int64_t kt_fs_size(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : -1;
}

int kt_os_mkdir(const char *path)
{
    return mkdir(path, 0777); /* the umask decides */
}

static int open_repeating(const char *path, int flags)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, 0666);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int kt_os_open_read(const char *path)
{
    return open_repeating(path, O_RDONLY);
}

int kt_os_create(const char *path)
{
    return open_repeating(path, O_WRONLY | O_CREAT | O_EXCL);
}

ptrdiff_t kt_os_read(int fd, void *dest, size_t size)
{
    ssize_t got;
    do {
        got = read(fd, dest, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

ptrdiff_t kt_os_write(int fd, const void *data, size_t len_bytes)
{
    ssize_t put;
    do {
        put = write(fd, data, len_bytes);
    } while (put < 0 && errno == EINTR);
    return put;
}

int kt_os_sync(int fd)
{
    int result;
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    return result;
}

/* After EINTR Linux has closed the descriptor all the same; a second try could hit a stranger's. */
int kt_os_close(int fd)
{
    return close(fd) != 0 && errno != EINTR ? -1 : 0;
}

int kt_os_remove(const char *path)
{
    return unlink(path);
}

int kt_os_rename(const char *from, const char *to)
{
    return rename(from, to);
}

int kt_os_sync_dir(const char *path)
{
    int fd = open_repeating(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return -1;
    }
    int result = kt_os_sync(fd);
    int code = errno;
    (void)kt_os_close(fd);
    errno = code;
    /* File systems that cannot sync a directory say EINVAL and order renames themselves. */
    return result != 0 && code == EINVAL ? 0 : result;
}

int64_t kt_os_free_bytes(const char *directory)
{
    struct statvfs info;
    if (statvfs(directory, &info) != 0) {
        return -1;
    }
    uint64_t bytes = (uint64_t)info.f_bavail * (uint64_t)info.f_frsize;
    return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

/* A lock on a file that was removed or replaced meanwhile locks nothing. */
static bool is_still_at(int fd, const char *path)
{
    struct stat held, there;
    return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_dev == there.st_dev &&
           held.st_ino == there.st_ino;
}

enum kt_os_lock kt_os_lock_open(const char *path, int *ret_fd)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        int fd = open_repeating(path, O_RDWR | O_CREAT);
        if (fd < 0) {
            return KT_OS_LOCK_FAILED;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK) {
                *ret_fd = fd;
                return KT_OS_LOCK_HELD;
            }
            int code = errno;
            (void)kt_os_close(fd);
            errno = code;
            if (code == EINTR) {
                continue;
            }
            return KT_OS_LOCK_FAILED;
        }
        if (is_still_at(fd, path)) {
            *ret_fd = fd;
            return KT_OS_LOCK_TAKEN;
        }
        (void)kt_os_close(fd);
    }
    errno = EAGAIN;
    return KT_OS_LOCK_FAILED;
}

ptrdiff_t kt_os_lock_read(int fd, void *dest, size_t size)
{
    return pread(fd, dest, size, 0);
}

int kt_os_lock_write(int fd, const void *data, size_t len_bytes)
{
    if (ftruncate(fd, 0) != 0) {
        return -1;
    }
    return pwrite(fd, data, len_bytes, 0) == (ssize_t)len_bytes ? 0 : -1;
}
