/* SPDX-License-Identifier: MIT */
/* sync_report.c - times from what the writer and the watchers have noted, for people and as JSON.
 */
#include "bench/sync_latency.h"

#include "base/clock.h"
#include "base/fs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROBES 100

void sync_sum_up(struct sync_run *run)
{
    for (int64_t i = 0; i < run->options.writes; i++) {
        const struct sync_write *write = &run->writes[i];
        int64_t latest_us = 0;
        bool everywhere = write->acked_us != 0;

        for (size_t s = 0; s < run->slave_count && write->acked_us; s++) {
            struct sync_slave *slave = &run->slaves[s];
            int64_t at_us = sync_first_sight(slave, run->options.by_revision ? write->revision
                                                                             : (uint64_t)i + 1);
            if (at_us == 0) {
                everywhere = false;
                continue;
            }
            /* It may be there before the writer has heard that it is done. */
            kt_times_add(&slave->after_ack,
                         at_us > write->acked_us ? (double)(at_us - write->acked_us) / 1000 : 0);
            kt_times_add(&slave->from_send, (double)(at_us - write->sent_us) / 1000);
            latest_us = at_us > latest_us ? at_us : latest_us;
        }
        if (everywhere) {
            kt_times_add(&run->all_after_ack, latest_us > write->acked_us
                                                  ? (double)(latest_us - write->acked_us) / 1000
                                                  : 0);
            kt_times_add(&run->all_from_send, (double)(latest_us - write->sent_us) / 1000);
        }
    }
}

/* A file of 4 KB written beside, synced, renamed, its directory synced: what the disk takes. */
void sync_probe_disk(struct sync_run *run)
{
    char path[1024], content[4096];
    struct kt_error err = KT_ERROR_INIT;

    memset(content, 'x', sizeof(content));
    (void)snprintf(path, sizeof(path), "%s/sync_latency.%s", run->options.probe_dir, run->id);
    for (int i = 0; i < PROBES; i++) {
        int64_t start_us = kt_now_mono_us();
        if (kt_fs_write_durably(path, kt_str_n(content, sizeof(content)), &err) != KT_OK) {
            fprintf(stderr, "sync_latency: no probe of the disk: %s\n", err.message);
            return;
        }
        kt_times_add(&run->durable, (double)(kt_now_mono_us() - start_us) / 1000);
    }
    if (kt_fs_remove(path, &err) != KT_OK) {
        fprintf(stderr, "sync_latency: %s\n", err.message);
    }
}

/* --- the report --- */

uint64_t sync_lost_of(const struct sync_run *run)
{
    uint64_t lost = 0;

    for (size_t s = 0; s < run->slave_count; s++) {
        lost += run->slaves[s].lost;
    }
    return lost;
}

static void write_json(struct sync_run *run, int64_t took_us, struct kt_buf *out)
{
    struct kt_jw jw;

    kt_jw_init(&jw, out);
    kt_jw_object(&jw);
    kt_jw_kv_text(&jw, "by", run->options.by_revision ? "revision" : "value");
    kt_jw_kv_i64(&jw, "writes", run->options.writes);
    kt_jw_kv_u64(&jw, "acked", run->acked);
    kt_jw_kv_u64(&jw, "failed", run->failed);
    kt_jw_kv_u64(&jw, "lost", sync_lost_of(run));
    kt_jw_kv_f64(&jw, "seconds", (double)took_us / 1e6);
    kt_jw_kv_f64(&jw, "rate", (double)run->acked * 1e6 / (double)(took_us > 0 ? took_us : 1));
    kt_times_write(&run->acks, "ack_ms", &jw);
    kt_jw_key_text(&jw, "all");
    kt_jw_object(&jw);
    kt_times_write(&run->all_after_ack, "after_ack_ms", &jw);
    kt_times_write(&run->all_from_send, "from_send_ms", &jw);
    kt_jw_object_end(&jw);
    kt_jw_key_text(&jw, "slaves");
    kt_jw_array(&jw);
    for (size_t s = 0; s < run->slave_count; s++) {
        struct sync_slave *slave = &run->slaves[s];
        kt_jw_object(&jw);
        kt_jw_kv_text(&jw, "addr", slave->addr);
        kt_jw_kv_u64(&jw, "lost", slave->lost);
        kt_jw_kv_u64(&jw, "polls", slave->polls);
        kt_jw_kv_u64(&jw, "failed_polls", slave->failed_polls);
        kt_times_write(&slave->after_ack, "after_ack_ms", &jw);
        kt_times_write(&slave->from_send, "from_send_ms", &jw);
        kt_times_write(&slave->gaps, "resolution_ms", &jw);
        kt_jw_object_end(&jw);
    }
    kt_jw_array_end(&jw);
    kt_times_write(&run->durable, "durable_write_ms", &jw);
    kt_jw_object_end(&jw);
    kt_buf_append_byte(out, '\n');
}

static void print_row(const char *name, struct kt_times *times, uint64_t lost)
{
    printf("%-28s %9.3f %9.3f %9.3f %9.3f %9.3f %7" PRIu64 "\n", name,
           kt_times_percentile(times, 50), kt_times_percentile(times, 90),
           kt_times_percentile(times, 95), kt_times_percentile(times, 99),
           kt_times_percentile(times, 100), lost);
}

static void print_table(struct sync_run *run, int64_t took_us)
{
    printf("%zu writes acknowledged in %.1f s (%.1f/s), %zu failed; seen by %s\n\n", run->acked,
           (double)took_us / 1e6, (double)run->acked * 1e6 / (double)(took_us > 0 ? took_us : 1),
           run->failed, run->options.by_revision ? "revision" : "value");
    printf("%-28s %9s %9s %9s %9s %9s %7s\n", "milliseconds", "p50", "p90", "p95", "p99", "max",
           "lost");
    print_row("write acknowledged", &run->acks, run->failed);
    for (size_t s = 0; s < run->slave_count; s++) {
        print_row(run->slaves[s].addr, &run->slaves[s].after_ack, run->slaves[s].lost);
    }
    print_row("on every slave, after ack", &run->all_after_ack, sync_lost_of(run));
    print_row("on every slave, from send", &run->all_from_send, sync_lost_of(run));
    print_row("4 KB made durable here", &run->durable, 0);
    for (size_t s = 0; s < run->slave_count; s++) {
        if (run->slaves[s].failed_polls > 0) {
            printf("%s: %" PRIu64 " of %" PRIu64 " questions failed: %s\n", run->slaves[s].addr,
                   run->slaves[s].failed_polls, run->slaves[s].polls, run->slaves[s].why);
        }
    }
    if (run->failed > 0) {
        printf("the last write that failed: %s\n", run->why);
    }
}

void sync_report(struct sync_run *run, int64_t took_us)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf out;

    if (!run->options.json || strcmp(run->options.json, "-") != 0) {
        print_table(run, took_us);
    }
    if (run->options.json) {
        kt_buf_init(&out, 0);
        write_json(run, took_us, &out);
        if (strcmp(run->options.json, "-") == 0) {
            (void)fwrite(out.data, 1, out.len_bytes, stdout);
        } else if (kt_fs_write_durably(run->options.json, kt_buf_str(&out), &err) != KT_OK) {
            sync_give_up("-json", err.message);
        }
        kt_buf_done(&out);
    }
}
