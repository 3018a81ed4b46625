/* SPDX-License-Identifier: MIT */
/* seeds.c - inputs whose bytes nobody would type: changes, frames, compressed bodies.
 *
 * usage: fuzz_seeds NAME DIRECTORY     writes the seeds of target NAME, which may be none
 */
#include "base/fs.h"
#include "replica/fetch.h"
#include "store/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *directory;

static void must(enum kt_status status, const struct kt_error *err)
{
    if (status != KT_OK) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
}

static void write_seed(const char *name, struct kt_str content)
{
    struct kt_error err = KT_ERROR_INIT;
    char path[1024];
    snprintf(path, sizeof(path), "%s/made-%s", directory, name);
    must(kt_fs_write_durably(path, content, &err), &err);
}

static void make_save(struct kt_buf *ret_bytes)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new((size_t)1 << 20);
    struct kt_str tags[] = {KT_STR("internet"), KT_STR("finance")};
    struct kt_change_stay stay = {KT_STR("pool"), 0, KT_TIME_MAX};
    struct kt_change_tag tag = {KT_STR("concept"), tags, 2};
    struct kt_change_subject subject = {.key = KT_STR("33:000001"),
                                        .name = {KT_NAMED, KT_STR("Alpha")},
                                        .status = {KT_NAMED_NULL, KT_STR("")},
                                        .topics_mode = KT_TOPICS_REPLACE,
                                        .stays = &stay,
                                        .stay_count = 1,
                                        .tags = &tag,
                                        .tag_count = 1};
    struct kt_change_value values[] = {{KT_STR("income"), false, 1.5}, {KT_STR("x"), true, 0}};
    struct kt_change_record record = {.subject = KT_STR("33:000001"),
                                      .time_s = 1703980800,
                                      .period = KT_STR("Q4"),
                                      .declare_given = true,
                                      .declare_s = 1711756800,
                                      .year = {KT_NAMED, KT_STR("2023")},
                                      .values = values,
                                      .value_count = 2};
    if (!builder) {
        exit(1);
    }
    must(kt_change_add_subject(builder, &subject, &err), &err);
    must(kt_change_add_record(builder, &record, &err), &err);
    must(kt_change_encode(builder, ret_bytes, &err), &err);
    kt_change_builder_free(&builder);
}

static void make_start(struct kt_buf *ret_bytes)
{
    struct kt_change_epoch_start start = {
        .epoch_id = KT_STR("0123456789abcdef"), .first = true, .max_indicators = 4096};
    kt_change_encode_epoch_start(&start, ret_bytes);
}

static void make_generic(struct kt_buf *ret_bytes)
{
    static const double numbers[] = {100.5, -1};
    struct kt_generic_point points[] = {{-5, NULL, 0}, {1672502400, numbers, 2}};
    struct kt_generic_change change = {
        .table = 1, .id = KT_STR("000001"), .update_given = true, .update_s = 7, .point_count = 2};
    kt_generic_encode(&change, points, ret_bytes);
}

static void make_delete(struct kt_buf *ret_bytes)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_str subjects[] = {KT_STR("33:000001"), KT_STR("a")}, period = KT_STR("Q4");
    struct kt_change_delete erase = {.subjects = subjects,
                                     .subject_count = 2,
                                     .from_s = -5,
                                     .to_s = 1703980800,
                                     .periods = &period,
                                     .period_count = 1,
                                     .has_if_revision = true,
                                     .if_revision = 300};
    must(kt_change_encode_delete(&erase, ret_bytes, &err), &err);
}

/* Topics edited, under a condition. */
static void make_edit(struct kt_buf *ret_bytes)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new((size_t)1 << 20);
    struct kt_str leaves[] = {KT_STR("out"), KT_STR("off")};
    struct kt_change_stay stay = {KT_STR("in"), KT_TIME_MIN, 9};
    struct kt_change_subject subject = {.key = KT_STR("a"),
                                        .topics_mode = KT_TOPICS_EDIT,
                                        .stays = &stay,
                                        .stay_count = 1,
                                        .leaves = leaves,
                                        .leave_count = 2};
    if (!builder) {
        exit(1);
    }
    kt_change_set_if_revision(builder, 300);
    must(kt_change_add_subject(builder, &subject, &err), &err);
    must(kt_change_encode(builder, ret_bytes, &err), &err);
    kt_change_builder_free(&builder);
}

static void changes(void)
{
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    make_save(&bytes);
    write_seed("save", kt_buf_str(&bytes));
    kt_buf_clear(&bytes);
    make_start(&bytes);
    write_seed("start", kt_buf_str(&bytes));
    kt_buf_clear(&bytes);
    make_generic(&bytes);
    write_seed("generic", kt_buf_str(&bytes));
    kt_buf_clear(&bytes);
    make_delete(&bytes);
    write_seed("delete", kt_buf_str(&bytes));
    kt_buf_clear(&bytes);
    make_edit(&bytes);
    write_seed("edit", kt_buf_str(&bytes));
    kt_buf_done(&bytes);
}

static void fetches(void)
{
    struct kt_epoch epochs[] = {{1, "0123456789abcdef", 1}, {2, "fedcba9876543210", 9}};
    struct kt_fetch_request request = {.cluster = "0123456789abcdef",
                                       .node = "1123456789abcdef",
                                       .session = "2123456789abcdef",
                                       .request = 7,
                                       .took = 6,
                                       .epoch = 2,
                                       .after = 9,
                                       .after_id = epochs[1],
                                       .vector = epochs,
                                       .vector_count = 2,
                                       .commit = 9,
                                       .wait_ms = 500,
                                       .max_bytes = 4096};
    struct kt_fetch_head head = {
        .epoch = 2, .request = 7, .commit = 10, .now_wall_ms = 1700000000000};
    struct kt_entry entry = {10, 2, 1700000000000, KT_STR("key"), KT_STR("")};
    struct kt_buf bytes, body;
    kt_buf_init(&bytes, 0);
    kt_buf_init(&body, 0);
    kt_buf_append_byte(&bytes, 'q');
    kt_fetch_request_format(&request, &bytes);
    write_seed("request", kt_buf_str(&bytes));
    kt_buf_clear(&bytes);
    make_save(&body);
    entry.body = kt_buf_str(&body);
    kt_fetch_head_format(&head, &bytes);
    kt_fetch_frame_append(&entry, &bytes);
    write_seed("answer", kt_buf_str(&bytes));
    kt_buf_clear(&bytes);
    head.differs = true;
    head.end_seq = 12;
    head.vector = epochs;
    head.vector_count = 2;
    kt_fetch_head_format(&head, &bytes);
    write_seed("differs", kt_buf_str(&bytes));
    kt_buf_done(&bytes);
    kt_buf_done(&body);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: fuzz_seeds NAME DIRECTORY\n");
        return 2;
    }
    directory = argv[2];
    if (strcmp(argv[1], "change") == 0) {
        changes();
    } else if (strcmp(argv[1], "fetch") == 0) {
        fetches();
    }
    return 0;
}
