/* memory_disk.h - include it, and the program's temporary directory is in memory where the machine
 * offers that. For tests that open hundreds of stores: what a real disk adds to each is only its
 * fsync.
 *
 * Threads: none; before main().
 * Owns:    nothing.
 * Fails:   never; a TMPDIR that is set stays.
 */
#ifndef KT_TEST_STORE_MEMORY_DISK_H
#define KT_TEST_STORE_MEMORY_DISK_H

#include "base/fs.h"

#include <stdlib.h>

#ifndef _WIN32
__attribute__((constructor)) static void use_memory_disk(void)
{
    if (kt_fs_is_dir("/dev/shm")) {
        setenv("TMPDIR", "/dev/shm", 0);
    }
}
#endif

#endif
