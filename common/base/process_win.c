/* SPDX-License-Identifier: MIT */
/* process_win.c - this process on Windows: console events instead of signals. */
#include "base/fs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <windows.h>

#include <psapi.h>
#include <string.h>

int kt_process_id(void)
{
    return (int)GetCurrentProcessId();
}

static char host_name[256];
static pthread_once_t host_name_once = PTHREAD_ONCE_INIT;

static void read_host_name(void)
{
    DWORD size = sizeof host_name;
    if (!GetComputerNameExA(ComputerNameDnsHostname, host_name, &size) || !host_name[0]) {
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
    atomic_bool started;
} events;

/* The system calls this on a thread of its own, and ends the process when it returns from a close
 * event; so it stays until the main thread has ended the process, at most as long as it may. */
static BOOL WINAPI on_console_event(DWORD type)
{
    events.fn(events.arg, KT_SIGNAL_STOP);
    if (type != CTRL_C_EVENT && type != CTRL_BREAK_EVENT) {
        Sleep(10000);
    }
    return TRUE;
}

enum kt_status kt_signals_start(kt_signal_fn fn, void *arg, struct kt_error *err)
{
    KT_ASSERT(!atomic_exchange(&events.started, true));
    events.fn = fn;
    events.arg = arg;
    if (!SetConsoleCtrlHandler(on_console_event, TRUE)) {
        atomic_store(&events.started, false);
        return kt_fail(err, KT_INTERNAL, "console events cannot be handled: error %lu",
                       (unsigned long)GetLastError());
    }
    return KT_OK;
}

static PROCESS_MEMORY_COUNTERS memory_counters(void)
{
    PROCESS_MEMORY_COUNTERS counters = {.cb = sizeof counters};
    if (!K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters)) {
        memset(&counters, 0, sizeof counters);
    }
    return counters;
}

uint64_t kt_process_resident_bytes(void)
{
    return memory_counters().WorkingSetSize;
}

/* Sockets are handles here, and those are bounded by memory alone. */
uint64_t kt_process_raise_files(uint64_t wanted)
{
    return wanted;
}

uint64_t kt_process_peak_bytes(void)
{
    return memory_counters().PeakWorkingSetSize;
}
