/* SPDX-License-Identifier: MIT */
/* sync_watch.c - who writes, who looks, and what is asked when both are done. */
#include "bench/sync_latency.h"

#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define API "/kamaitachi/api/data/v1/"
/* Loading a subject takes time in proportion to its records: so many writes go to one subject. */
#define WRITES_PER_SUBJECT 100
#define ANSWER_MAX ((size_t)16 << 20)

_Noreturn void sync_give_up(const char *what, const char *why)
{
    fprintf(stderr, "sync_latency: %s: %s\n", what, why);
    exit(1);
}

/* POST (GET when there is no body) of a path; KT_OK only for a 200. */
static enum kt_status ask(struct kt_http_client *client, const char *addr, const char *path,
                          const struct kt_buf *body, struct kt_http_answer *answer,
                          struct kt_error *err)
{
    char url[512];
    struct kt_http_call call = {.method = body ? "POST" : "GET",
                                .url = url,
                                .content_type = "application/json",
                                .timeout_ms = 10000,
                                .connect_timeout_ms = 2000,
                                .max_answer_bytes = ANSWER_MAX};

    (void)snprintf(url, sizeof(url), "http://%s%s", addr, path);
    if (body) {
        call.body = kt_buf_str(body);
    }
    enum kt_status status = kt_http_client_call(client, &call, answer, err);
    if (status == KT_OK && answer->status != 200) {
        struct kt_str text = kt_buf_str(&answer->body);
        return kt_fail(err, KT_BAD_GATEWAY, "%s answers %d: %.*s", url, answer->status,
                       (int)(text.len < 200 ? text.len : 200), text.data ? text.data : "");
    }
    return status;
}

static uint64_t revision_of(const struct kt_http_answer *answer)
{
    uint64_t revision = 0;

    (void)kt_parse_u64(kt_http_answer_header(answer, "x-kamaitachi-revision"), &revision);
    return revision;
}

static void subject_key(const struct sync_run *run, uint64_t number, char dest[64])
{
    (void)snprintf(dest, 64, SYNC_INDICATOR ":%s:%" PRIu64, run->id,
                   (number - 1) / WRITES_PER_SUBJECT);
}

/* --- the writer --- */

static void write_one(struct sync_run *run, uint64_t number, struct kt_http_client *client,
                      struct kt_buf *body, struct kt_http_answer *answer)
{
    struct sync_write *write = &run->writes[number - 1];
    struct kt_error err = KT_ERROR_INIT;
    char key[64];

    subject_key(run, number, key);
    kt_buf_clear(body);
    kt_buf_printf(body,
                  "{\"records\":[{\"subject\":\"%s\",\"time\":%" PRIu64
                  ",\"data\":{\"" SYNC_INDICATOR "\":%" PRIu64 "}}]}",
                  key, number, number);
    write->sent_us = kt_now_mono_us();
    enum kt_status status = ask(client, run->options.leader, API "save", body, answer, &err);
    if (status == KT_OK) {
        write->acked_us = kt_now_mono_us();
        write->revision = revision_of(answer);
        run->acked++;
        kt_times_add(&run->acks, (double)(write->acked_us - write->sent_us) / 1000);
    } else {
        run->failed++;
        kt_str_copy(run->why, sizeof(run->why), kt_str(err.message));
    }
}

int64_t sync_write_all(struct sync_run *run)
{
    struct kt_http_client *client = kt_http_client_new();
    struct kt_http_answer answer;
    struct kt_buf body;
    uint64_t last = 0;

    if (!client) {
        sync_give_up("writing", "no memory");
    }
    kt_http_answer_init(&answer);
    kt_buf_init(&body, 4096);
    int64_t start_us = kt_now_mono_us();
    for (int64_t i = 0; i < run->options.writes && !atomic_load(&run->stop); i++) {
        kt_sleep_until_us(start_us + i * 1000000 / run->options.rate);
        write_one(run, (uint64_t)i + 1, client, &body, &answer);
        if (run->writes[i].acked_us) {
            last = run->options.by_revision ? run->writes[i].revision : (uint64_t)i + 1;
        }
    }
    int64_t took_us = kt_now_mono_us() - start_us;
    atomic_store(&run->last, last > 0 ? last : 1);
    kt_buf_done(&body);
    kt_http_answer_done(&answer);
    kt_http_client_free(&client);
    return took_us;
}

/* --- the watchers --- */

/* The greatest number behind the indicator's name in an answer; 0 when there is none. */
static uint64_t number_in(struct kt_str text)
{
    static const struct kt_str name = {"\"" SYNC_INDICATOR "\":", sizeof(SYNC_INDICATOR) + 2};
    uint64_t greatest = 0;
    ptrdiff_t at;

    while ((at = kt_str_find(text, name)) >= 0) {
        text = kt_str_n(text.data + at + name.len, text.len - (size_t)at - name.len);
        size_t digits = 0;
        while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
            digits++;
        }
        uint64_t number;
        if (kt_parse_u64(kt_str_n(text.data, digits), &number) && number > greatest) {
            greatest = number;
        }
    }
    return greatest;
}

static void note_sight(struct sync_slave *slave, uint64_t number, int64_t at_us)
{
    if (slave->sight_count == slave->sight_cap) {
        slave->sight_cap = slave->sight_cap ? slave->sight_cap * 2 : 1024;
        slave->sights = kt_reallocarray(slave->sights, slave->sight_cap, sizeof(*slave->sights));
        if (!slave->sights) {
            sync_give_up(slave->addr, "no memory");
        }
    }
    slave->sights[slave->sight_count++] = (struct sync_sight){at_us, number};
}

static enum kt_status look(const struct sync_slave *slave, uint64_t seen,
                           struct kt_http_client *client, struct kt_buf *body,
                           struct kt_http_answer *answer, uint64_t *ret_number,
                           struct kt_error *err)
{
    const struct sync_run *run = slave->run;
    char key[64];
    enum kt_status status;

    if (run->options.by_revision) {
        status = ask(client, slave->addr, "/health/live", NULL, answer, err);
        *ret_number = status == KT_OK ? revision_of(answer) : 0;
        return status;
    }
    subject_key(run, seen + 1, key);
    kt_buf_clear(body);
    kt_buf_printf(body, "{\"subjects\":[\"%s\"],\"ids\":[\"" SYNC_INDICATOR "\"]}", key);
    status = ask(client, slave->addr, API "snapshot", body, answer, err);
    *ret_number = status == KT_OK ? number_in(kt_buf_str(&answer->body)) : 0;
    return status;
}

void sync_watch(void *arg)
{
    struct sync_slave *slave = arg;
    struct sync_run *run = slave->run;
    struct kt_http_client *client = kt_http_client_new();
    struct kt_http_answer answer;
    struct kt_buf body;
    struct kt_error err = KT_ERROR_INIT;
    uint64_t seen = 0, last, number;
    int64_t before_us = 0;

    if (!client) {
        sync_give_up(slave->addr, "no memory");
    }
    kt_http_answer_init(&answer);
    kt_buf_init(&body, 4096);
    while (!atomic_load(&run->stop) && ((last = atomic_load(&run->last)) == 0 || seen < last)) {
        slave->polls++;
        if (look(slave, seen, client, &body, &answer, &number, &err) != KT_OK) {
            slave->failed_polls++;
            kt_str_copy(slave->why, sizeof(slave->why), kt_str(err.message));
            number = 0;
        }
        int64_t now_us = kt_now_mono_us();
        if (before_us) {
            kt_times_add(&slave->gaps, (double)(now_us - before_us) / 1000);
        }
        before_us = now_us;
        if (number > seen) {
            note_sight(slave, number, now_us);
            seen = number;
        }
        kt_sleep_until_us(now_us + run->options.poll_us);
    }
    atomic_store(&slave->done, true);
    kt_buf_done(&body);
    kt_http_answer_done(&answer);
    kt_http_client_free(&client);
}

int64_t sync_first_sight(const struct sync_slave *slave, uint64_t number)
{
    size_t low = 0, high = slave->sight_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slave->sights[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < slave->sight_count ? slave->sights[low].at_us : 0;
}

/* --- afterwards --- */

static bool holds(struct kt_str text, uint64_t number)
{
    char name[64];
    int len = snprintf(name, sizeof(name), "\"" SYNC_INDICATOR "\":%" PRIu64, number);

    /* "1" is no beginning of "12": a comma or brace follows. */
    for (ptrdiff_t at; (at = kt_str_find(text, kt_str_n(name, (size_t)len))) >= 0;) {
        text = kt_str_n(text.data + at + len, text.len - (size_t)at - (size_t)len);
        if (text.len == 0 || text.data[0] < '0' || text.data[0] > '9') {
            return true;
        }
    }
    return false;
}

void sync_count_lost(struct sync_slave *slave)
{
    const struct sync_run *run = slave->run;
    struct kt_http_client *client = kt_http_client_new();
    struct kt_http_answer answer;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    char key[64];

    kt_http_answer_init(&answer);
    kt_buf_init(&body, 4096);
    for (uint64_t first = 1; first <= (uint64_t)run->options.writes; first += WRITES_PER_SUBJECT) {
        subject_key(run, first, key);
        kt_buf_clear(&body);
        kt_buf_printf(&body, "{\"subjects\":[\"%s\"],\"ids\":[\"" SYNC_INDICATOR "\"]}", key);
        bool there =
            client && ask(client, slave->addr, API "period", &body, &answer, &err) == KT_OK;
        if (!there) {
            kt_str_copy(slave->why, sizeof(slave->why), kt_str(err.message));
        }
        for (uint64_t n = first;
             n < first + WRITES_PER_SUBJECT && n <= (uint64_t)run->options.writes; n++) {
            bool acked = run->writes[n - 1].acked_us != 0;
            slave->lost += acked && !(there && holds(kt_buf_str(&answer.body), n));
        }
    }
    kt_buf_done(&body);
    kt_http_answer_done(&answer);
    kt_http_client_free(&client);
}

void sync_remove_subjects(const struct sync_run *run)
{
    struct kt_http_client *client = kt_http_client_new();
    struct kt_http_answer answer;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf body;
    char key[64];

    kt_http_answer_init(&answer);
    kt_buf_init(&body, 0);
    kt_buf_append_text(&body, "{\"all\":true,\"subjects\":[");
    for (uint64_t n = 1; n <= (uint64_t)run->options.writes; n += WRITES_PER_SUBJECT) {
        subject_key(run, n, key);
        kt_buf_printf(&body, "%s\"%s\"", n == 1 ? "" : ",", key);
    }
    kt_buf_append_text(&body, "]}");
    if (!client || ask(client, run->options.leader, API "delete", &body, &answer, &err) != KT_OK) {
        fprintf(stderr, "sync_latency: the subjects " SYNC_INDICATOR ":%s:… stay: %s\n", run->id,
                err.message);
    }
    kt_buf_done(&body);
    kt_http_answer_done(&answer);
    kt_http_client_free(&client);
}
