/* SPDX-License-Identifier: MIT */
/* process_posix.c - this process: its signals, its name, its memory. */
#include "base/fs.h"
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int kt_process_id(void)
{
    return (int)getpid();
}

static char host_name[256];
static pthread_once_t host_name_once = PTHREAD_ONCE_INIT;

static void read_host_name(void)
{
    if (gethostname(host_name, sizeof host_name - 1) != 0 || !host_name[0]) {
        memcpy(host_name, "localhost", sizeof "localhost");
    }
}

const char *kt_host_name(void)
{
    pthread_once(&host_name_once, read_host_name);
    return host_name;
}

static struct {
    kt_signal_fn fn;
    void *arg;
    sigset_t set;
    struct kt_thread thread;
    atomic_bool started;
} signals;

/* Lives as long as the process: there is nobody to wake it for the end. */
static void wait_for_signals(void *arg)
{
    (void)arg;
    for (;;) {
        int number;
        if (sigwait(&signals.set, &number) == 0) {
            signals.fn(signals.arg, number == SIGHUP ? KT_SIGNAL_RELOAD : KT_SIGNAL_STOP);
        }
    }
}

enum kt_status kt_signals_start(kt_signal_fn fn, void *arg, struct kt_error *err)
{
    KT_ASSERT(!atomic_exchange(&signals.started, true));
    signals.fn = fn;
    signals.arg = arg;
    sigemptyset(&signals.set);
    sigaddset(&signals.set, SIGTERM);
    sigaddset(&signals.set, SIGINT);
    sigaddset(&signals.set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    /* Blocked here, hence in every thread started later; only sigwait sees them. */
    KT_ASSERT(pthread_sigmask(SIG_BLOCK, &signals.set, NULL) == 0);
    enum kt_status status =
        kt_thread_start(&signals.thread, "signals", wait_for_signals, NULL, err);
    if (status != KT_OK) {
        pthread_sigmask(SIG_UNBLOCK, &signals.set, NULL);
        atomic_store(&signals.started, false);
        return status;
    }
    pthread_detach(signals.thread.impl);
    return KT_OK;
}

uint64_t kt_process_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) {
        return 0;
    }
    char line[128] = "";
    struct kt_str rest = kt_str(fgets(line, sizeof line, file) ? line : "");
    fclose(file);
    kt_str_cut(&rest, ' ');
    uint64_t pages;
    return kt_parse_u64(kt_str_cut(&rest, ' '), &pages) ? pages * (uint64_t)sysconf(_SC_PAGESIZE)
                                                        : 0;
}

uint64_t kt_process_raise_files(uint64_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return wanted;
    }
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted) {
        struct rlimit raised = limit;
        raised.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted
                              ? (rlim_t)wanted
                              : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit = raised;
        }
    }
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

uint64_t kt_process_peak_bytes(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}
