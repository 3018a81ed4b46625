/* SPDX-License-Identifier: MIT */
/* log.c - a line is built from the format piece by piece, so that what is structure (keys, spaces
 * and quotes of the format) and what is data (arguments) never mix: no argument can end its own
 * value or begin another line.
 *
 * Lines are built in static memory under the mutex: logging allocates nothing and needs little
 * stack, and it is the last lock in the order. */
#include "base/log.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log_fields.h"
#include "base/thread.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

enum { SLOTS = 64, REPEATS_SHOWN = 10, REPEAT_WINDOW_MS = 10000 };

/* One (level, area, event) seen in the last window. */
struct slot {
    uint64_t hash;
    int64_t since_mono_ms;
    uint64_t count; /* 0: free */
    enum kt_log_level level;
    char area[32], event[64];
};

static struct {
    struct kt_mutex lock;
    FILE *stream; /* NULL: stderr */
    bool json;
    char node[64];
    struct slot slots[SLOTS];
    struct kt_log_line line;
} logger = {.lock = {PTHREAD_MUTEX_INITIALIZER, "log", KT_RANK_LOG}};

/* Relaxed: a thread may see a change of level a moment late. */
static atomic_int min_level = KT_LOG_INFO;

void kt_log_setup(FILE *stream, enum kt_log_level level, bool json)
{
    kt_mutex_lock(&logger.lock);
    logger.stream = stream;
    logger.json = json;
    memset(logger.slots, 0, sizeof logger.slots);
    kt_mutex_unlock(&logger.lock);
    kt_log_set_level(level);
}

void kt_log_set_node(const char *name)
{
    kt_mutex_lock(&logger.lock);
    kt_str_copy(logger.node, sizeof logger.node, kt_str(name));
    kt_mutex_unlock(&logger.lock);
}

void kt_log_set_level(enum kt_log_level level)
{
    atomic_store_explicit(&min_level, (int)level, memory_order_relaxed);
}

bool kt_log_level_parse(const char *text, enum kt_log_level *ret_level)
{
    for (int i = KT_LOG_DEBUG; i <= KT_LOG_OFF; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum kt_log_level)i;
            return true;
        }
    }
    return false;
}

bool kt_log_enabled(enum kt_log_level level)
{
    return level < KT_LOG_OFF &&
           (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

static void begin_line(enum kt_log_level level, const char *area, const char *event)
{
    char stamp[25];
    kt_format_wall_ms(kt_now_wall_ms(), stamp);
    const char *node = logger.node[0] ? logger.node : "-";
    kt_log_line_begin(&logger.line, logger.json);
    kt_log_line_head(&logger.line, "time", stamp, 24);
    kt_log_line_head(&logger.line, "level", level_names[level], 5);
    kt_log_line_head(&logger.line, "node", node, 0);
    kt_log_line_head(&logger.line, "area", area, 0);
    kt_log_line_head(&logger.line, "event", event, 0);
}

static void end_line(void)
{
    FILE *stream = logger.stream ? logger.stream : stderr;
    kt_log_line_end(&logger.line);
    (void)fwrite(logger.line.data, 1, logger.line.len, stream);
    (void)fflush(stream);
}

/* Closes a window: says how many lines it swallowed. */
static void close_slot(struct slot *slot)
{
    if (slot->count > REPEATS_SHOWN) {
        begin_line(slot->level, slot->area, slot->event);
        kt_log_line_number(&logger.line, "repeated", slot->count - REPEATS_SHOWN);
        end_line();
    }
    slot->count = 0;
}

static struct slot *find_slot(uint64_t hash)
{
    struct slot *oldest = &logger.slots[0];
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &logger.slots[i];
        if (slot->count && slot->hash == hash) {
            return slot;
        }
        if (oldest->count && (!slot->count || slot->since_mono_ms < oldest->since_mono_ms)) {
            oldest = slot;
        }
    }
    close_slot(oldest);
    return oldest;
}

static void close_expired(int64_t now_mono_ms)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &logger.slots[i];
        if (slot->count && now_mono_ms - slot->since_mono_ms >= REPEAT_WINDOW_MS) {
            close_slot(slot);
        }
    }
}

/* Counts the line; false when it is one too many. */
static bool count_line(enum kt_log_level level, const char *area, const char *event)
{
    int64_t now_mono_ms = kt_now_mono_ms();
    close_expired(now_mono_ms);
    uint64_t hash =
        kt_hash64(area, strlen(area)) * 31 + kt_hash64(event, strlen(event)) * 4 + (unsigned)level;
    struct slot *slot = find_slot(hash);
    if (!slot->count) {
        slot->hash = hash;
        slot->since_mono_ms = now_mono_ms;
        slot->level = level;
        kt_str_copy(slot->area, sizeof slot->area, kt_str(area));
        kt_str_copy(slot->event, sizeof slot->event, kt_str(event));
    }
    return ++slot->count <= REPEATS_SHOWN;
}

void kt_log_write(enum kt_log_level level, const char *area, const char *event, const char *fields,
                  ...)
{
    if (!kt_log_enabled(level)) {
        return;
    }
    va_list args;
    va_start(args, fields);
    kt_mutex_lock(&logger.lock);
    if (count_line(level, area, event)) {
        begin_line(level, area, event);
        kt_log_line_fields(&logger.line, fields, &args);
        end_line();
    }
    kt_mutex_unlock(&logger.lock);
    va_end(args);
}

void kt_log_flush(void)
{
    kt_mutex_lock(&logger.lock);
    for (size_t i = 0; i < SLOTS; i++) {
        close_slot(&logger.slots[i]);
    }
    kt_mutex_unlock(&logger.lock);
}
