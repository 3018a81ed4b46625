/* SPDX-License-Identifier: MIT */
/* fs_win.c - fs_os.h on Windows: UTF-8 paths become wide ones, and files are opened so that others
 * may rename and remove them meanwhile, as on POSIX systems. */
#include "base/fs.h"
#include "base/fs_os.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <limits.h>
#include <stdio.h>
#include <windows.h>

static wchar_t *widen(const char *path)
{
    int len = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
    if (len <= 0) {
        errno = EINVAL;
        return NULL;
    }
    wchar_t *wide = kt_reallocarray(NULL, (size_t)len, sizeof *wide);
    if (!wide) {
        errno = ENOMEM;
        return NULL;
    }
    MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, len);
    return wide;
}

/* -1 with errno for the last error. */
static int fail_last(void)
{
    switch (GetLastError()) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        errno = ENOENT;
        break;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
        errno = EACCES;
        break;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS:
        errno = EEXIST;
        break;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
        errno = ENOSPC;
        break;
    default:
        errno = EIO;
    }
    return -1;
}

static bool attributes_of(const char *path, WIN32_FILE_ATTRIBUTE_DATA *ret)
{
    KT_AUTOFREE wchar_t *wide = widen(path);
    return wide && GetFileAttributesExW(wide, GetFileExInfoStandard, ret);
}

bool kt_os_is_separator(char c)
{
    return c == '/' || c == '\\';
}

bool kt_fs_exists(const char *path)
{
    WIN32_FILE_ATTRIBUTE_DATA info;
    return attributes_of(path, &info);
}

bool kt_fs_is_dir(const char *path)
{
    WIN32_FILE_ATTRIBUTE_DATA info;
    return attributes_of(path, &info) && (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY);
}

int64_t kt_fs_size(const char *path)
{
    WIN32_FILE_ATTRIBUTE_DATA info;
    if (!attributes_of(path, &info)) {
        return -1;
    }
    return (int64_t)((uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow);
}

int kt_os_mkdir(const char *path)
{
    KT_AUTOFREE wchar_t *wide = widen(path);
    if (!wide) {
        return -1;
    }
    return CreateDirectoryW(wide, NULL) ? 0 : fail_last();
}

static int open_file(const char *path, DWORD access, DWORD disposition, int flags)
{
    KT_AUTOFREE wchar_t *wide = widen(path);
    if (!wide) {
        return -1;
    }
    HANDLE file = CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                              NULL, disposition, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return fail_last();
    }
    int fd = _open_osfhandle((intptr_t)file, flags | _O_BINARY);
    if (fd < 0) {
        CloseHandle(file);
    }
    return fd;
}

int kt_os_open_read(const char *path)
{
    return open_file(path, GENERIC_READ, OPEN_EXISTING, _O_RDONLY);
}

int kt_os_create(const char *path)
{
    return open_file(path, GENERIC_WRITE, CREATE_NEW, _O_WRONLY);
}

ptrdiff_t kt_os_read(int fd, void *dest, size_t size)
{
    return _read(fd, dest, size > INT_MAX ? INT_MAX : (unsigned)size);
}

ptrdiff_t kt_os_write(int fd, const void *data, size_t len_bytes)
{
    return _write(fd, data, len_bytes > INT_MAX ? INT_MAX : (unsigned)len_bytes);
}

int kt_os_sync(int fd)
{
    return _commit(fd);
}

int kt_os_close(int fd)
{
    return _close(fd);
}

int kt_os_remove(const char *path)
{
    KT_AUTOFREE wchar_t *wide = widen(path);
    if (!wide) {
        return -1;
    }
    return DeleteFileW(wide) ? 0 : fail_last();
}

/* Virus scanners hold new files open for a moment without sharing them. */
int kt_os_rename(const char *from, const char *to)
{
    KT_AUTOFREE wchar_t *wide_from = widen(from);
    KT_AUTOFREE wchar_t *wide_to = widen(to);
    if (!wide_from || !wide_to) {
        return -1;
    }
    const DWORD flags = MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH;
    for (int attempt = 0; attempt < 100; attempt++) {
        if (MoveFileExW(wide_from, wide_to, flags)) {
            return 0;
        }
        DWORD code = GetLastError();
        if (code != ERROR_SHARING_VIOLATION && code != ERROR_ACCESS_DENIED) {
            break;
        }
        Sleep(20);
        SetLastError(code);
    }
    return fail_last();
}

/* A directory cannot be flushed here; the rename above is written through. */
int kt_os_sync_dir(const char *path)
{
    if (kt_fs_is_dir(path)) {
        return 0;
    }
    errno = ENOENT;
    return -1;
}

int64_t kt_os_free_bytes(const char *directory)
{
    KT_AUTOFREE wchar_t *wide = widen(directory);
    ULARGE_INTEGER bytes;
    if (!wide || !GetDiskFreeSpaceExW(wide, &bytes, NULL, NULL)) {
        return -1;
    }
    return bytes.QuadPart > INT64_MAX ? INT64_MAX : (int64_t)bytes.QuadPart;
}

/* Locks bind readers here, so the locked byte lies far behind the text. */
enum kt_os_lock kt_os_lock_open(const char *path, int *ret_fd)
{
    int fd = open_file(path, GENERIC_READ | GENERIC_WRITE, OPEN_ALWAYS, _O_RDWR);
    if (fd < 0) {
        return KT_OS_LOCK_FAILED;
    }
    OVERLAPPED where = {.Offset = 0x7FFFFFFF};
    *ret_fd = fd;
    if (LockFileEx((HANDLE)_get_osfhandle(fd), LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY,
                   0, 1, 0, &where)) {
        return KT_OS_LOCK_TAKEN;
    }
    return KT_OS_LOCK_HELD;
}

ptrdiff_t kt_os_lock_read(int fd, void *dest, size_t size)
{
    return _lseeki64(fd, 0, SEEK_SET) < 0 ? -1 : _read(fd, dest, (unsigned)size);
}

int kt_os_lock_write(int fd, const void *data, size_t len_bytes)
{
    if (_chsize_s(fd, 0) != 0 || _lseeki64(fd, 0, SEEK_SET) < 0) {
        return -1;
    }
    return _write(fd, data, (unsigned)len_bytes) == (int)len_bytes ? 0 : -1;
}
