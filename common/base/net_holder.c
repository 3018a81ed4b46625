/* SPDX-License-Identifier: MIT */
/* net_holder.c - who holds a port that should have been ours?
 *
 * Linux tells in two steps: /proc/net/tcp names the inode of the listening socket, and some
 * process has a descriptor that points to that inode. Only processes that we may look into can be
 * named.
 */
#include "base/net_os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)

#include <dirent.h>
#include <unistd.h>

#define TCP_LISTENING 0x0A

/* The inode of a socket listening on the port, from a table such as /proc/net/tcp; 0 = none. */
static unsigned long listening_inode(const char *table, uint16_t port)
{
    FILE *file = fopen(table, "r");
    char line[512];
    unsigned long found = 0;

    if (!file) {
        return 0;
    }
    while (!found && fgets(line, sizeof(line), file)) {
        unsigned local_port, state;
        unsigned long inode;

        /* sl local:port remote:port state queues timer retransmits uid timeout inode */
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu",
                   &local_port, &state, &inode) == 3 &&
            local_port == port && state == TCP_LISTENING) {
            found = inode;
        }
    }
    (void)fclose(file);
    return found;
}

static bool process_has(const char *pid, const char *wanted)
{
    char path[300], target[64];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    dir = opendir(path);
    if (!dir) {
        return false;
    }
    while (!found && (entry = readdir(dir)) != NULL) {
        char link[600];
        ssize_t len;

        (void)snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
        len = readlink(link, target, sizeof(target) - 1);
        if (len > 0) {
            target[len] = '\0';
            found = strcmp(target, wanted) == 0;
        }
    }
    (void)closedir(dir);
    return found;
}

static void process_name(const char *pid, char dest[32])
{
    char path[300];
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    file = fopen(path, "r");
    dest[0] = '\0';
    if (file) {
        if (fgets(dest, 32, file)) {
            dest[strcspn(dest, "\n")] = '\0';
        }
        (void)fclose(file);
    }
}

void kt_net_port_holder(uint16_t port, char dest[KT_HOLDER_MAX])
{
    unsigned long inode = listening_inode("/proc/net/tcp", port);
    struct dirent *entry;
    char wanted[64], name[32];
    bool found = false;
    DIR *dir;

    dest[0] = '\0';
    if (inode == 0) {
        inode = listening_inode("/proc/net/tcp6", port);
    }
    dir = inode ? opendir("/proc") : NULL;
    if (!dir) {
        return;
    }
    (void)snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    while (!found && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            !process_has(entry->d_name, wanted)) {
            continue;
        }
        found = true;
        process_name(entry->d_name, name);
        (void)snprintf(dest, KT_HOLDER_MAX, "process %.16s (%s)", entry->d_name, name);
    }
    (void)closedir(dir);
}

#else

void kt_net_port_holder(uint16_t port, char dest[KT_HOLDER_MAX])
{
    (void)port;
    dest[0] = '\0';
}

#endif
