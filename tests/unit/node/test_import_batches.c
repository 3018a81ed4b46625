/* SPDX-License-Identifier: MIT */
/* test_import_batches.c - how an import is cut into batches, what stays when it fails, packed
 * bodies, chance, and the public data sets. */
#include "gzip.h"
#include "importer.h"
#include "kt_test.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

/* --- batches --- */

static void fill_lines(struct kt_buf *body, int subjects, int lines)
{
    kt_buf_clear(body);
    kt_buf_append_text(body, "subject,time,name,topic,x,y\n");
    for (int i = 0; i < lines; i++) {
        kt_buf_printf(body, "s%d,%d,name %d,p%d,%d,%d.5\n", i % subjects, 1000 + i / subjects,
                      i / 10, i % 3, i, i * 7);
    }
}

/* A SQLite file is here as a whole before its rows are read: no read and no batch looks at the
 * time.
 */
static void lines_that_are_rejected_take_time_too(void)
{
    struct importer importer;
    importer_init(&importer);
    importer.body = KT_STR("subject,time,x\ns,when,1\n");
    importer.limits.deadline_mono_ms = kt_now_mono_ms() + 600000;
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_INT(importer.report.rejected, 1);
    importer.limits.deadline_mono_ms = kt_now_mono_ms() - 1;
    CHECK_INT(importer_run(&importer), KT_TIMEOUT);
    importer_done(&importer);
}

static void what_an_import_holds_counts_with_all_large_bodies(void)
{
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    importer.quiet = true;
    importer.limits.held = kt_budget_new(1 << 20);
    importer.limits.parsed = kt_budget_new(1 << 20);
    importer.limits.atomic_bytes = 8 << 20;
    fill_lines(&body, 7, 101);
    importer.body = kt_buf_str(&body);
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_INT(importer.most_held_bytes, 0); /* a little is free */
    fill_lines(&body, 9000, 50000);
    importer.body = kt_buf_str(&body);
    for (int i = 0; i < 2; i++) {
        importer.query = i == 0 ? "" : "atomic=1";
        CHECK_INT(importer_run(&importer), KT_OK);
        CHECK(importer.most_held_bytes > (int64_t)importer.largest_batch_bytes);
        CHECK_INT(kt_budget_used(importer.limits.held), 0);
    }
    CHECK(importer.most_held_bytes > 4 << 20); /* one alone gets what it needs */
    importer.query = "format=ndjson";
    kt_buf_clear(&body);
    kt_buf_printf(&body, "{\"record\":{\"subject\":\"s\",\"time\":1,\"data\":{\"x%0*d\":1}}}\n",
                  60000, 1);
    kt_buf_append_text(&body, "{\"subject\":{\"subject\":\"s\"}}\n");
    importer.body = kt_buf_str(&body);
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_INT(importer.report.rejected, 1);
    CHECK_INT(importer.most_held_bytes, 0);
    CHECK_INT(kt_budget_used(importer.limits.parsed), 0);
    kt_budget_free(&importer.limits.parsed);
    kt_budget_free(&importer.limits.held);
    kt_buf_done(&body);
    importer_done(&importer);
}

static void batches_are_cut_by_lines_whatever_the_pieces(void)
{
    struct importer importer;
    struct kt_buf body, text;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    fill_lines(&body, 7, 101);
    importer.body = kt_buf_str(&body);
    for (int64_t lines = 1; lines <= 128; lines *= 2) {
        importer.limits.batch_records = lines;
        CHECK(importer_run_all_ways(&importer, &text));
        CHECK_INT(importer.report.batches, (101 + lines - 1) / lines);
        CHECK_INT(importer.report.revision, 100 + importer.report.batches);
        CHECK_INT(importer.report.records, 101);
        CHECK_INT(importer.report.subjects, 7);
        CHECK_INT(importer.report.values, 202);
    }
    kt_buf_done(&text);
    kt_buf_done(&body);
    importer_done(&importer);
}

static void batches_are_cut_by_bytes_whatever_the_pieces(void)
{
    struct importer importer;
    struct kt_buf body, text;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    fill_lines(&body, 700, 7000);
    importer.body = kt_buf_str(&body);
    importer.limits = (struct kt_import_limits){
        .line_max_bytes = 4096, .batch_records = 100000, .batch_bytes = 65536};
    CHECK(importer_run_all_ways(&importer, &text));
    CHECK(importer.report.batches > 3);
    CHECK(importer.largest_batch_bytes <= 65536 + 4096);
    CHECK_INT(importer.report.records, 7000);
    CHECK_INT(importer.report.subjects, 700);
    kt_buf_done(&text);
    kt_buf_done(&body);
    importer_done(&importer);
}

/* Names are held back until the batch is cut; they count nevertheless. */
static void long_names_fill_a_batch_too(void)
{
    struct importer importer;
    struct kt_buf body;
    char name[129];
    importer_init(&importer);
    kt_buf_init(&body, 0);
    memset(name, 'n', 128);
    name[128] = '\0';
    for (int subjects = 1; subjects <= 20000; subjects *= 20000) {
        kt_buf_clear(&body);
        kt_buf_append_text(&body, "subject,time,name,status,category,topic\n");
        for (int i = 0; i < 20000; i++) {
            kt_buf_printf(&body, "%d,1970,%.120s%d,%.120s%d,%.120s%d,t%d\n", i % subjects, name, i,
                          name, i + 1, name, i + 2, i);
        }
        importer.body = kt_buf_str(&body);
        importer.quiet = true;
        importer.limits = (struct kt_import_limits){
            .line_max_bytes = 4096, .batch_records = 100000, .batch_bytes = 65536};
        CHECK_INT(importer_run(&importer), KT_OK);
        CHECK_INT(importer.report.records, 20000);
        CHECK_INT(importer.report.subjects, subjects);
        CHECK(importer.report.batches > 50);
        CHECK(importer.largest_batch_bytes <= 65536 + 4096);
    }
    kt_buf_done(&body);
    importer_done(&importer);
}

static void names_are_said_again_in_each_batch_by_its_own_lines(void)
{
    struct importer importer;
    struct kt_buf text;
    importer_init(&importer);
    kt_buf_init(&text, 0);
    importer.limits.batch_records = 2;
    importer.body = KT_STR("subject,time,name,topic\na,1970,one,p\na,1971,two,p\nb,1970,B,q\n"
                           "x,bad,,\na,1972,three,q\na,1973,,\n");
    CHECK(importer_run_all_ways(&importer, &text));
    CHECK_SLICE(kt_buf_str(&text),
                "batch 1\nsubject a name=\"two\" topics=add[p@open..open]\n"
                "record a 0\nrecord a 31536000\n"
                "batch 2\nsubject b name=\"B\" topics=add[q@open..open]\n"
                "subject a name=\"three\" topics=add[q@open..open]\n"
                "record b 0\nrecord a 63072000\n"
                "batch 3\nrecord a 94694400\n"
                "{\"revision\":103,\"records\":5,\"subjects\":2,\"values\":0,\"rejected\":1,"
                "\"errors\":[{\"line\":5,\"reason\":\"time must be a year from 1 to 9999\"}]}\n");
    kt_buf_done(&text);
    importer_done(&importer);
}

static void abort_stops_at_the_first_bad_line_and_earlier_batches_stay(void)
{
    struct importer importer;
    struct kt_buf text;
    importer_init(&importer);
    kt_buf_init(&text, 0);
    importer.query = "on_error=abort";
    importer.limits.batch_records = 2;
    importer.body =
        KT_STR("subject,time,x\na,1970,1\nb,1970,2\nc,1970,3\nd,1970,four\ne,1970,5\nf,1970,6\n");
    CHECK(importer_run_all_ways(&importer, &text));
    CHECK_SLICE(kt_buf_str(&text),
                "batch 1\nrecord a 0 x=1\nrecord b 0 x=2\n"
                "bad_value body: line 5: x: 'four' is not a finite number\n"
                "{\"revision\":101,\"records\":2,\"subjects\":2,\"values\":2,\"rejected\":1,"
                "\"errors\":[{\"line\":5,\"reason\":\"x: 'four' is not a finite number\"}]}\n");
    CHECK(importer.report.aborted);
    importer.body = KT_STR("subject,time,x\na,1970,1\nb,1970\n");
    CHECK_INT(importer_run(&importer), KT_BAD_VALUE);
    CHECK_INT(importer.report.batches, 0);
    CHECK_INT(importer.submits, 0);
    importer.body = KT_STR("subject,time,x\na,1970,1\n");
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK(!importer.report.aborted);
    kt_buf_done(&text);
    importer_done(&importer);
}

static void a_batch_that_is_not_taken_ends_the_import_and_the_report_says_what_is(void)
{
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    fill_lines(&body, 10, 55);
    importer.body = kt_buf_str(&body);
    importer.limits.batch_records = 10;
    importer.refuse_with = KT_UNAVAILABLE;
    for (uint64_t nth = 1; nth <= 6; nth++) {
        importer.refuse_batch = nth;
        CHECK_INT(importer_run(&importer), KT_UNAVAILABLE);
        CHECK_STR(importer.err.message, "the batch was not taken");
        CHECK_INT(importer.submits, nth);
        CHECK_INT(importer.report.batches, nth - 1);
        CHECK_INT(importer.report.records, (nth - 1) * 10);
        CHECK_INT(importer.report.values, (nth - 1) * 20);
        CHECK_INT(importer.report.subjects, nth > 1 ? 10 : 0);
        CHECK_INT(importer.report.revision, nth > 1 ? 100 + nth - 1 : 0);
    }
    importer.refuse_batch = 7;
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_INT(importer.report.records, 55);
    kt_buf_done(&body);
    importer_done(&importer);
}

static void a_body_that_breaks_off_leaves_whole_batches(void)
{
    struct importer importer;
    struct kt_buf body;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    fill_lines(&body, 10, 55);
    importer.body = kt_buf_str(&body);
    importer.limits.batch_records = 10;
    importer.piece = 100;
    for (size_t at = 1; at <= body.len_bytes; at += 97) {
        importer.source_fails_at = at;
        CHECK_INT(importer_run(&importer), KT_TIMEOUT);
        CHECK_STR(importer.err.message, "the source failed");
        CHECK_INT(importer.report.records % 10, 0);
        CHECK_INT(importer.report.records, importer.report.batches * 10);
        CHECK_INT(importer.report.rejected, 0);
    }
    kt_buf_done(&body);
    importer_done(&importer);
}

/* --- gzip --- */

static void a_packed_body_that_is_damaged_leaves_whole_batches(void)
{
    struct importer importer;
    struct kt_buf body, packed;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    kt_buf_init(&packed, 0);
    fill_lines(&body, 10, 500);
    gzip_append(kt_buf_str(&body), GZIP_MEMBER, &packed);
    importer.encoding = "gzip";
    importer.limits.batch_records = 10;
    for (size_t len = 0; len < packed.len_bytes; len += 13) {
        importer.body = kt_str_n(packed.data, len);
        CHECK_INT(importer_run(&importer), KT_BAD_REQUEST);
        CHECK_STR(importer.err.message, "the gzip body is cut short");
        CHECK_INT(importer.report.records, importer.report.batches * 10);
        CHECK_INT(importer.report.rejected, 0);
    }
    kt_buf_append_text(&packed, "garbage");
    importer.body = kt_buf_str(&packed);
    CHECK_INT(importer_run(&importer), KT_BAD_REQUEST);
    CHECK(strstr(importer.err.message, "not valid gzip"));
    kt_buf_done(&packed);
    kt_buf_done(&body);
    importer_done(&importer);
}

static void a_body_in_two_members_is_one_body(void)
{
    struct importer importer;
    struct kt_buf packed;
    importer_init(&importer);
    kt_buf_init(&packed, 0);
    gzip_append(KT_STR("subject,time,x\na,19"), GZIP_MEMBER, &packed);
    gzip_append(KT_STR("70,1\nb,1970,2"), GZIP_MEMBER, &packed);
    importer.encoding = "gzip";
    importer.body = kt_buf_str(&packed);
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK_SLICE(kt_buf_str(&importer.batches), "batch 1\nrecord a 0 x=1\nrecord b 0 x=2\n");
    kt_buf_done(&packed);
    importer_done(&importer);
}

/* One line of zeros without an end, a thousandfold larger than its packing. */
static void a_bomb_takes_no_more_memory_than_a_line(void)
{
    struct importer importer;
    struct kt_buf packed;
    size_t bytes = (size_t)(kt_test_is_slow() ? 8 : 128) << 20;
    importer_init(&importer);
    kt_buf_init(&packed, 0);
    gzip_append(KT_STR("subject,time,x\na,1970,1\nb,1970,"), GZIP_MEMBER, &packed);
    gzip_append_run('0', bytes, &packed);
    gzip_append(KT_STR("\nc,1970,2\n"), GZIP_MEMBER, &packed);
    importer.encoding = "gzip";
    importer.body = kt_buf_str(&packed);
    importer.limits.line_max_bytes = 65536;
    kt_fault_set(KT_FAULT_ALLOC, 0, 0);
    CHECK_INT(importer_run(&importer), KT_OK);
    CHECK(kt_fault_calls(KT_FAULT_ALLOC) < 100);
    CHECK_INT(importer.report.records, 2);
    CHECK_INT(importer.report.rejected, 1);
    CHECK_INT(importer.report.errors[0].line, 3);
    kt_buf_done(&packed);
    importer_done(&importer);
}

/* --- faults and chance --- */

static void lack_of_memory_is_said_and_nothing_leaks(void)
{
    struct importer importer;
    struct kt_buf body, packed;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    kt_buf_init(&packed, 0);
    fill_lines(&body, 10, 55);
    gzip_append(kt_buf_str(&body), GZIP_MEMBER, &packed);
    importer.query = "skip=y&subject=subject&name=na%6De";
    importer.quiet = true;
    importer.limits.batch_records = 10;
    for (int gzip = 0; gzip < 2; gzip++) {
        enum kt_status status = KT_NO_MEMORY;
        uint64_t nth = 0;
        importer.body = gzip ? kt_buf_str(&packed) : kt_buf_str(&body);
        importer.encoding = gzip ? "gzip" : NULL;
        while (status != KT_OK) {
            kt_fault_set(KT_FAULT_ALLOC, ++nth, 0);
            status = importer_run(&importer);
            kt_fault_set(KT_FAULT_ALLOC, 0, 0);
            if (status != KT_OK) {
                CHECK_INT(status, KT_NO_MEMORY);
                CHECK_INT(importer.err.status, KT_NO_MEMORY);
                CHECK(importer.err.message[0]);
            }
            CHECK_INT(importer.report.records,
                      importer.report.batches == 6 ? 55 : importer.report.batches * 10);
            CHECK(nth < 10000);
        }
        CHECK(nth > 20);
        CHECK_INT(importer.report.records, 55);
    }
    kt_buf_done(&packed);
    kt_buf_done(&body);
    importer_done(&importer);
}

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 16) % bound);
}

/* Whatever the body: every line is a record or rejected, and the pieces make no difference. */
static void damaged_bodies_import_alike_in_any_pieces(void)
{
    static const char hostile[] = "\"\",,\r\n\n\"a1-.e\xEF\xBB\xBF\xFF\0 ";
    const char *given = getenv("KT_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    int rounds = kt_test_is_slow() ? 100 : 2000;
    struct importer importer;
    struct kt_buf body, text;
    importer_init(&importer);
    kt_buf_init(&body, 0);
    kt_buf_init(&text, 0);
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int round = 0; round < rounds; round++) {
        fill_lines(&body, 3, 20);
        for (uint32_t n = random_below(6); n > 0; n--) {
            body.data[random_below((uint32_t)body.len_bytes)] =
                hostile[random_below(sizeof(hostile) - 1)];
        }
        importer.body = kt_buf_str(&body);
        importer.query = random_below(4) ? "" : "on_error=abort";
        importer.limits = (struct kt_import_limits){.line_max_bytes = random_below(4) ? 4096 : 64,
                                                    .batch_records = 1 + random_below(9),
                                                    .batch_bytes = 1 << 20};
        bool good = importer_run_all_ways(&importer, &text);
        const struct kt_import_report *report = &importer.report;
        good = good && report->records + report->rejected <= 20 + 6; /* new line ends */
        if (!good) {
            kt_test_fail(__FILE__, __LINE__, "KT_TEST_SEED=%llu, round %d: " KT_STR_FMT,
                         (unsigned long long)seed, round, KT_STR_ARG(kt_buf_str(&body)));
            break;
        }
    }
    kt_buf_done(&text);
    kt_buf_done(&body);
    importer_done(&importer);
}

/* --- the public data sets --- */

static bool read_data_set(const char *name, struct kt_buf *ret_bytes)
{
    const char *dir = getenv("KT_DATA_DIR"), *root = getenv("KT_SOURCE_ROOT");
    char path[600], piece[8192];
    if (dir) {
        snprintf(path, sizeof(path), "%s/%s", dir, name);
    } else {
        snprintf(path, sizeof(path), "%s/../shared/data/%s", root ? root : ".", name);
    }
    FILE *file = fopen(path, "rb");
    if (!file) {
        kt_test_skip("data", path);
        return false;
    }
    for (size_t n = fread(piece, 1, sizeof(piece), file); n > 0;
         n = fread(piece, 1, sizeof(piece), file)) {
        kt_buf_append(ret_bytes, piece, n);
    }
    fclose(file);
    return true;
}

/* RFC 1952: a member's last four bytes are its unpacked length. */
static uint32_t unpacked_bytes(const struct kt_buf *packed)
{
    struct kt_rd rd;
    kt_rd_init(&rd, packed->data + packed->len_bytes - 4, 4);
    return kt_rd_u32(&rd);
}

static void the_500_companies_come_in_whole(void)
{
    struct importer importer;
    struct kt_buf packed;
    importer_init(&importer);
    kt_buf_init(&packed, 0);
    if (read_data_set("sp500-fundamentals.csv.gz", &packed)) {
        importer.query = "subject=symbol&time=date&name=name&category=sector&topic==literal:sp500";
        importer.encoding = "gzip";
        importer.body = kt_buf_str(&packed);
        importer.quiet = true;
        int64_t began = kt_now_mono_us();
        CHECK_INT(importer_run(&importer), KT_OK);
        int64_t took_us = kt_now_mono_us() - began;
        CHECK_INT(importer.report.records, 44450);
        CHECK_INT(importer.report.subjects, 767);
        CHECK_INT(importer.report.values, 447267);
        CHECK_INT(importer.report.rejected, 0);
        double plain_mb = (double)unpacked_bytes(&packed) / 1e6;
        printf("  %.1f MB of csv, gzip to encoded batches: %.1f ms, %.0f MB/s\n", plain_mb,
               (double)took_us / 1000, plain_mb * 1e6 / (double)(took_us ? took_us : 1));
    }
    kt_buf_done(&packed);
    importer_done(&importer);
}

static void the_nations_come_in_whole(void)
{
    struct importer importer;
    struct kt_buf packed;
    importer_init(&importer);
    kt_buf_init(&packed, 0);
    if (read_data_set("co2-by-nation.csv.gz", &packed)) {
        importer.query = "subject=Country&time=Year";
        importer.encoding = "gzip";
        importer.body = kt_buf_str(&packed);
        CHECK_INT(importer_run(&importer), KT_OK);
        CHECK_INT(importer.report.records, 18769);
        CHECK_INT(importer.report.subjects, 259);
        CHECK_INT(importer.report.rejected, 0);
        CHECK(kt_str_find(kt_buf_str(&importer.batches),
                          KT_STR("record BONAIRE, SAINT EUSTATIUS, AND SABA ")) >= 0);
        CHECK(kt_str_find(kt_buf_str(&importer.batches), KT_STR(" bunker_fuels_not_in_total=")) >=
              0);
    }
    kt_buf_done(&packed);
    importer_done(&importer);
}

static const struct kt_test tests[] = {
    TEST(lines_that_are_rejected_take_time_too),
    TEST(what_an_import_holds_counts_with_all_large_bodies),
    TEST(batches_are_cut_by_lines_whatever_the_pieces),
    TEST(batches_are_cut_by_bytes_whatever_the_pieces),
    TEST(long_names_fill_a_batch_too),
    TEST(names_are_said_again_in_each_batch_by_its_own_lines),
    TEST(abort_stops_at_the_first_bad_line_and_earlier_batches_stay),
    TEST(a_batch_that_is_not_taken_ends_the_import_and_the_report_says_what_is),
    TEST(a_body_that_breaks_off_leaves_whole_batches),
    TEST(a_packed_body_that_is_damaged_leaves_whole_batches),
    TEST(a_body_in_two_members_is_one_body),
    TEST(a_bomb_takes_no_more_memory_than_a_line),
    TEST(lack_of_memory_is_said_and_nothing_leaks),
    TEST(damaged_bodies_import_alike_in_any_pieces),
    TEST(the_500_companies_come_in_whole),
    TEST(the_nations_come_in_whole),
};
KT_TEST_MAIN(tests)
