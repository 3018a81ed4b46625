/* SPDX-License-Identifier: MIT */
/* Encoding and decoding changes: what goes in comes out, and bytes that were damaged anywhere are
 * refused or read as some other valid change, but never beyond their end.
 */
#include "base/hash.h"
#include "tests/unit/store/store_help.h"

static const struct kt_str tag_values[] = {{"a", 1}, {"\xe4\xba\x92", 3}};

static enum kt_status add_sample(struct kt_change_builder *builder, struct kt_error *err)
{
    struct kt_change_stay stays[2] = {{KT_STR("pool"), KT_TIME_MIN, KT_TIME_MAX},
                                      {KT_STR("old"), -5, 5}};
    struct kt_change_tag tags[2] = {{KT_STR("concept"), tag_values, 2}, {KT_STR("gone"), NULL, 0}};
    struct kt_change_subject subject = {.key = KT_STR("33:1"),
                                        .name = {KT_NAMED, KT_STR("one")},
                                        .status = {KT_NAMED_NULL, {NULL, 0}},
                                        .category = {KT_NAMED, KT_STR("stock")},
                                        .topics_mode = KT_TOPICS_REPLACE,
                                        .stays = stays,
                                        .stay_count = 2,
                                        .tags = tags,
                                        .tag_count = 2};
    struct kt_change_value values[3] = {
        {KT_STR("income"), false, -1.5e300}, {KT_STR("x"), true, 0}, {KT_STR("z"), false, 5e-324}};
    struct kt_change_record first = {.subject = KT_STR("33:1"),
                                     .time_s = -6911136000,
                                     .period = KT_STR("Q4"),
                                     .declare_given = true,
                                     .declare_s = KT_TIME_MAX,
                                     .end_date = {KT_NAMED, KT_STR("2020-12-31")},
                                     .year = {KT_NAMED_NULL, {NULL, 0}},
                                     .values = values,
                                     .value_count = 3};
    struct kt_change_record second = {.subject = KT_STR("33:2"), .period = KT_STR("")};
    enum kt_status status = kt_change_add_subject(builder, &subject, err);
    if (status == KT_OK) {
        status = kt_change_add_record(builder, &first, err);
    }
    return status == KT_OK ? kt_change_add_record(builder, &second, err) : status;
}

static void check_sample(const struct kt_change *change)
{
    CHECK_INT(change->kind, KT_CHANGE_SAVE);
    CHECK_INT(change->subject_count, 1);
    CHECK_INT(change->record_count, 2);
    const struct kt_change_subject *s = &change->subjects[0];
    CHECK_SLICE(s->key, "33:1");
    CHECK_SLICE(s->name.text, "one");
    CHECK_INT(s->status.named, KT_NAMED_NULL);
    CHECK_INT(s->listing_date.named, KT_NOT_NAMED);
    CHECK_SLICE(s->category.text, "stock");
    CHECK_INT(s->topics_mode, KT_TOPICS_REPLACE);
    CHECK_INT(s->stay_count, 2);
    CHECK_INT(s->stays[0].from_s, KT_TIME_MIN);
    CHECK_INT(s->stays[0].to_s, KT_TIME_MAX);
    CHECK_SLICE(s->stays[1].topic, "old");
    CHECK_INT(s->stays[1].from_s, -5);
    CHECK_INT(s->tag_count, 2);
    CHECK_INT(s->tags[0].count, 2);
    CHECK_SLICE(s->tags[0].values[1], "\xe4\xba\x92");
    CHECK_INT(s->tags[1].count, 0);
    const struct kt_change_record *r = &change->records[0];
    CHECK_INT(r->time_s, -6911136000);
    CHECK(r->declare_given);
    CHECK_INT(r->declare_s, KT_TIME_MAX);
    CHECK_SLICE(r->end_date.text, "2020-12-31");
    CHECK_INT(r->year.named, KT_NAMED_NULL);
    CHECK_INT(r->value_count, 3);
    CHECK(r->values[0].number == -1.5e300);
    CHECK(r->values[1].is_null);
    CHECK(r->values[2].number == 5e-324);
    CHECK_SLICE(r->values[2].indicator, "z");
    CHECK(!change->records[1].declare_given);
    CHECK_INT(change->records[1].value_count, 0);
}

static void encode_sample(struct kt_buf *bytes)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    CHECK_OK(add_sample(builder, &err));
    CHECK_OK(kt_change_encode(builder, bytes, &err));
    CHECK(kt_change_bytes(builder) >= bytes->len_bytes);
    kt_change_builder_free(&builder);
}

static void a_change_comes_out_as_it_went_in(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf bytes;
    struct kt_change change;
    kt_buf_init(&bytes, 0);
    encode_sample(&bytes);
    CHECK_INT(kt_change_kind_of(kt_buf_str(&bytes)), KT_CHANGE_SAVE);
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    check_sample(&change);
    kt_change_done(&change);
    kt_buf_done(&bytes);
}

static void a_builder_can_be_reset_and_used_again(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_buf first, second;
    kt_buf_init(&first, 0);
    kt_buf_init(&second, 0);
    CHECK_OK(add_sample(builder, &err));
    CHECK_OK(kt_change_encode(builder, &first, &err));
    kt_change_builder_reset(builder);
    CHECK_INT(kt_change_record_count(builder), 0);
    CHECK_INT(kt_change_subject_count(builder), 0);
    CHECK_OK(add_sample(builder, &err));
    CHECK_INT(kt_change_record_count(builder), 2);
    CHECK_INT(kt_change_subject_count(builder), 1);
    CHECK_OK(kt_change_encode(builder, &second, &err));
    CHECK(kt_str_eq(kt_buf_str(&first), kt_buf_str(&second)));
    kt_buf_done(&first);
    kt_buf_done(&second);
    kt_change_builder_free(&builder);
}

static void an_empty_change_is_a_change(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_buf bytes;
    struct kt_change change;
    kt_buf_init(&bytes, 0);
    CHECK_OK(kt_change_encode(builder, &bytes, &err));
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    CHECK_INT(change.record_count, 0);
    kt_change_done(&change);
    kt_change_done(&change);
    kt_buf_done(&bytes);
    kt_change_builder_free(&builder);
}

static void a_change_that_is_cut_anywhere_is_refused(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf bytes;
    struct kt_change change;
    kt_buf_init(&bytes, 0);
    encode_sample(&bytes);
    for (size_t len = 0; len < bytes.len_bytes; len++) {
        char *cut = kt_strndup(bytes.data, len); /* so that a sanitizer sees one byte too far */
        CHECK_FAILS(kt_change_decode(kt_str_n(cut, len), &change, &err), KT_CORRUPT);
        kt_free(cut);
    }
    kt_buf_append_byte(&bytes, 0);
    CHECK_FAILS(kt_change_decode(kt_buf_str(&bytes), &change, &err), KT_CORRUPT);
    kt_buf_done(&bytes);
}

static void encode_delete(struct kt_buf *bytes, bool conditional)
{
    struct kt_error err = KT_ERROR_INIT;
    static const struct kt_str subjects[] = {{"33:1", 4}, {"b", 1}},
                               periods[] = {{"", 0}, {"Q", 1}};
    struct kt_change_delete what = {.subjects = subjects,
                                    .subject_count = 2,
                                    .from_s = KT_TIME_MIN,
                                    .to_s = -7,
                                    .periods = periods,
                                    .period_count = 2,
                                    .has_if_revision = conditional,
                                    .if_revision = 300};
    CHECK_OK(kt_change_encode_delete(&what, bytes, &err));
}

static void damage(const struct kt_buf *bytes, uint64_t *seed)
{
    struct kt_error err = KT_ERROR_INIT;
    char *copy = kt_strndup(bytes->data, bytes->len_bytes);
    for (uint64_t n = 1 + kt_prng_next(seed) % 3; n > 0; n--) {
        copy[kt_prng_next(seed) % bytes->len_bytes] = (char)kt_prng_next(seed);
    }
    struct kt_change change;
    if (kt_change_decode(kt_str_n(copy, bytes->len_bytes), &change, &err) == KT_OK) {
        for (size_t j = 0; j < change.record_count; j++) {
            CHECK(change.records[j].subject.len > 0);
            CHECK(change.records[j].time_s >= KT_TIME_MIN);
        }
        for (size_t j = 0; j < change.erase.subject_count; j++) {
            CHECK(change.erase.subjects[j].len > 0);
        }
        kt_change_done(&change);
    }
    kt_free(copy);
}

static void damaged_bytes_are_never_read_beyond_their_end(void)
{
    uint64_t seed = 1;
    int rounds = kt_test_is_slow() ? 5000 : 200000;
    for (int kind = 0; kind < 2; kind++) {
        struct kt_buf bytes;
        kt_buf_init(&bytes, 0);
        if (kind == 0) {
            encode_sample(&bytes);
        } else {
            encode_delete(&bytes, true);
        }
        for (int i = 0; i < rounds; i++) {
            damage(&bytes, &seed);
        }
        kt_buf_done(&bytes);
    }
}

static void a_delete_comes_back_as_it_was(void)
{
    struct kt_error err = KT_ERROR_INIT;
    for (int conditional = 0; conditional < 2; conditional++) {
        struct kt_buf bytes;
        struct kt_change change;
        kt_buf_init(&bytes, 0);
        encode_delete(&bytes, conditional);
        CHECK_INT(kt_change_kind_of(kt_buf_str(&bytes)), KT_CHANGE_DELETE);
        CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
        CHECK_INT(change.erase.subject_count, 2);
        CHECK_SLICE(change.erase.subjects[1], "b");
        CHECK(!change.erase.all);
        CHECK(change.erase.from_s == KT_TIME_MIN && change.erase.to_s == -7);
        CHECK_INT(change.erase.period_count, 2);
        CHECK_SLICE(change.erase.periods[0], "");
        CHECK_INT(change.has_if_revision, conditional);
        CHECK_INT(change.if_revision, conditional ? 300 : 0);
        CHECK_INT(change.subject_count + change.record_count, 0);
        kt_change_done(&change);
        size_t whole = bytes.len_bytes - (conditional ? 3 : 0);
        for (size_t len = 0; len < bytes.len_bytes; len++) {
            if (len != whole) { /* without its condition it is another change, and whole */
                CHECK_FAILS(kt_change_decode(kt_str_n(bytes.data, len), &change, &err), KT_CORRUPT);
            }
        }
        kt_buf_done(&bytes);
    }
}

static void a_delete_that_no_encoder_makes_is_damaged(void)
{
    struct kt_error err = KT_ERROR_INIT;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
#define BYTES(text) {"\1\3" text, sizeof("\1\3" text) - 1}
        BYTES("\0\1\1a\2\4\0\1"),       /* bytes behind the end */
        BYTES("\0\1\1a\2\4\0\2\1"),     /* an option that nobody knows */
        BYTES("\0\1\1a\2\4\0\1\1\1\1"), /* an option twice */
        BYTES("\2\1\1a\2\4\0"),         /* a flag that nobody knows */
        BYTES("\0\1\0\2\4\0"),          /* an empty key */
        BYTES("\0\x7f\1a\2\4\0"),       /* more subjects than bytes */
        BYTES("\0\1\1a\2\4\2\1Q\1A"),   /* periods that descend */
        BYTES("\0\1\1a\2\4\2\1Q\1Q"),   /* a period twice */
        BYTES("\0\1\1a\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\4\0"), /* no time */
    };
    struct kt_change change;
    struct kt_str good = KT_STR("\1\3\0\1\1a\2\4\0");
    CHECK_OK(kt_change_decode(good, &change, &err));
    kt_change_done(&change);
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        if (kt_change_decode(kt_str_n(cases[i].bytes, cases[i].len), &change, &err) != KT_CORRUPT) {
            kt_test_fail(__FILE__, __LINE__, "case %zu is taken", i);
        }
    }
}

static void topics_edited_and_a_condition_come_back_as_they_were(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_change_stay stay = {KT_STR("in"), 3, 4};
    struct kt_str leaves[] = {KT_STR("out"), KT_STR("off")};
    struct kt_change_tag tag = {KT_STR("concept"), tag_values, 2};
    struct kt_change_subject subject = {.key = KT_STR("s"),
                                        .topics_mode = KT_TOPICS_EDIT,
                                        .stays = &stay,
                                        .stay_count = 1,
                                        .leaves = leaves,
                                        .leave_count = 2,
                                        .tags = &tag,
                                        .tag_count = 1};
    struct kt_change change;
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    CHECK_OK(kt_change_add_subject(builder, &subject, &err));
    kt_change_set_if_revision(builder, UINT64_MAX);
    CHECK_OK(kt_change_encode(builder, &bytes, &err));
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    const struct kt_change_subject *s = &change.subjects[0];
    CHECK_INT(s->topics_mode, KT_TOPICS_EDIT);
    CHECK_INT(s->stays[0].to_s, 4);
    CHECK_INT(s->leave_count, 2);
    CHECK_SLICE(s->leaves[1], "off");
    CHECK_INT(s->tags[0].count, 2);
    CHECK_SLICE(s->tags[0].values[0], "a");
    CHECK(change.has_if_revision && change.if_revision == UINT64_MAX);
    kt_change_done(&change);
    leaves[0] = KT_STR("");
    CHECK_FAILS(kt_change_add_subject(builder, &subject, &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "topics_remove");
    /* The condition goes with the change that it was for. */
    kt_change_builder_reset(builder);
    subject.leave_count = 0;
    CHECK_OK(kt_change_add_subject(builder, &subject, &err));
    kt_buf_clear(&bytes);
    CHECK_OK(kt_change_encode(builder, &bytes, &err));
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    CHECK(!change.has_if_revision);
    kt_change_done(&change);
    kt_buf_done(&bytes);
    kt_change_builder_free(&builder);
}

/* What a log of an earlier version holds: nothing of what came later in it. */
static void changes_of_earlier_versions_are_read_as_before(void)
{
    struct kt_error err = KT_ERROR_INIT;
    static const char save[] = "\1\2"
                               "\4\1s\1p\1Q\1a"                    /* texts: s p Q a */
                               "\1\1\0\0"                          /* a subject with a stay */
                               "\0\0\1\1\1\2\4\0"                  /* s: replaces by p@1..2 */
                               "\1\1"                              /* a record with a value */
                               "\0\2\2\0\1\6\0\0\0\0\0\0\xf8\x3f"; /* (s, 1, Q): a=1.5 */
    static const char start[] = "\1\1\x10"
                                "0123456789abcdef\1\x0emax_indicators\x9a\1\x20"
                                "abcdefghijklmnopqrstuvwxyzabcdef";
    struct kt_change change;
    CHECK_OK(kt_change_decode(kt_str_n(save, sizeof(save) - 1), &change, &err));
    CHECK_SLICE(change.subjects[0].stays[0].topic, "p");
    CHECK_INT(change.subjects[0].leave_count, 0);
    CHECK_SLICE(change.records[0].period, "Q");
    CHECK(change.records[0].values[0].number == 1.5);
    CHECK(!change.has_if_revision);
    kt_change_done(&change);
    CHECK_OK(kt_change_decode(kt_str_n(start, sizeof(start) - 1), &change, &err));
    CHECK_INT(change.epoch_start.max_indicators, 77);
    CHECK_INT(change.epoch_start.max_keys, 0);
    CHECK_INT(change.epoch_start.key_window_ms, 0);
    kt_change_done(&change);
}

static void settings_that_are_said_are_read_and_none_may_be_less_than_one(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_epoch_start start = {.epoch_id = KT_STR("0123456789abcdef"),
                                          .first = true,
                                          .max_indicators = 77,
                                          .max_keys = 5,
                                          .key_window_ms = 1000};
    struct kt_change change;
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    kt_change_encode_epoch_start(&start, &bytes);
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    CHECK_INT(change.epoch_start.max_keys, 5);
    CHECK_INT(change.epoch_start.key_window_ms, 1000);
    kt_change_done(&change);
    start.max_keys = -1;
    kt_buf_clear(&bytes);
    kt_change_encode_epoch_start(&start, &bytes);
    CHECK_FAILS(kt_change_decode(kt_buf_str(&bytes), &change, &err), KT_CORRUPT);
    kt_buf_done(&bytes);
}

static void epoch_starts_carry_settings_only_when_first(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_epoch_start start = {
        .epoch_id = KT_STR("0123456789abcdef"), .first = true, .max_indicators = 77};
    struct kt_change change;
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    memset(start.cursor_key, 9, sizeof(start.cursor_key));
    kt_change_encode_epoch_start(&start, &bytes);
    CHECK_INT(kt_change_kind_of(kt_buf_str(&bytes)), KT_CHANGE_EPOCH_START);
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    CHECK_SLICE(change.epoch_start.epoch_id, "0123456789abcdef");
    CHECK(change.epoch_start.first);
    CHECK_INT(change.epoch_start.max_indicators, 77);
    CHECK(memcmp(change.epoch_start.cursor_key, start.cursor_key, KT_CURSOR_KEY_BYTES) == 0);
    kt_change_done(&change);
    for (size_t len = 0; len < bytes.len_bytes; len++) {
        CHECK_FAILS(kt_change_decode(kt_str_n(bytes.data, len), &change, &err), KT_CORRUPT);
    }
    kt_buf_clear(&bytes);
    start.first = false;
    kt_change_encode_epoch_start(&start, &bytes);
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    CHECK(!change.epoch_start.first);
    kt_change_done(&change);
    bytes.data[0] = 2; /* a format of the future */
    CHECK_INT(kt_change_kind_of(kt_buf_str(&bytes)), 0);
    CHECK_FAILS(kt_change_decode(kt_buf_str(&bytes), &change, &err), KT_CORRUPT);
    kt_buf_done(&bytes);
}

static void what_does_not_fit_is_too_large_and_leaves_the_builder(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1200);
    int added = 0;
    struct help_record r = {"s", 0, "", HELP_NO_D, "a", 1};
    for (;; added++) {
        struct kt_change_value value = {KT_STR("a"), false, 1};
        struct kt_change_record record = {.subject = KT_STR("s"),
                                          .time_s = added,
                                          .period = KT_STR(""),
                                          .values = &value,
                                          .value_count = 1};
        enum kt_status status = kt_change_add_record(builder, &record, &err);
        if (status != KT_OK) {
            CHECK_INT(status, KT_TOO_LARGE);
            break;
        }
    }
    CHECK(added > 10);
    CHECK_INT(kt_change_record_count(builder), added);
    struct kt_buf bytes;
    struct kt_change change;
    kt_buf_init(&bytes, 0);
    CHECK_OK(kt_change_encode(builder, &bytes, &err));
    CHECK(bytes.len_bytes <= 1200);
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    CHECK_INT(change.record_count, added);
    kt_change_done(&change);
    kt_change_builder_reset(builder);
    help_add(builder, &r);
    kt_buf_done(&bytes);
    kt_buf_init(&bytes, 3);
    CHECK_FAILS(kt_change_encode(builder, &bytes, &err), KT_TOO_LARGE);
    kt_buf_done(&bytes);
    kt_change_builder_free(&builder);
}

static void what_no_row_could_hold_is_a_bad_value(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_change_value value = {KT_STR("end_date"), false, 1};
    struct kt_change_record record = {
        .subject = KT_STR("s"), .period = KT_STR(""), .values = &value, .value_count = 1};
    CHECK_FAILS(kt_change_add_record(builder, &record, &err), KT_BAD_VALUE);
    value.indicator = KT_STR("");
    CHECK_FAILS(kt_change_add_record(builder, &record, &err), KT_BAD_VALUE);
    value = (struct kt_change_value){KT_STR("a"), false, NAN};
    CHECK_FAILS(kt_change_add_record(builder, &record, &err), KT_BAD_VALUE);
    CHECK_STR(err.field, "data");
    value.number = 1;
    record.time_s = KT_TIME_MAX + 1;
    CHECK_FAILS(kt_change_add_record(builder, &record, &err), KT_BAD_VALUE);
    record.time_s = 0;
    record.declare_given = true;
    record.declare_s = KT_TIME_MIN - 1;
    CHECK_FAILS(kt_change_add_record(builder, &record, &err), KT_BAD_VALUE);
    record.declare_given = false;
    record.subject = KT_STR("");
    CHECK_FAILS(kt_change_add_record(builder, &record, &err), KT_BAD_VALUE);
    struct kt_change_subject subject = {.key = KT_STR("")};
    CHECK_FAILS(kt_change_add_subject(builder, &subject, &err), KT_BAD_VALUE);
    CHECK_INT(kt_change_record_count(builder), 0);
    kt_change_builder_free(&builder);
}

static void memory_that_runs_out_anywhere_in_a_build_is_reported(void)
{
    struct kt_error err = KT_ERROR_INIT;
    for (uint64_t nth = 1;; nth++) {
        kt_fault_set(KT_FAULT_ALLOC, nth, 0);
        struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
        struct kt_buf bytes;
        struct kt_change change;
        kt_buf_init(&bytes, 0);
        enum kt_status status = builder ? add_sample(builder, &err) : KT_NO_MEMORY;
        if (status == KT_OK) {
            status = kt_change_encode(builder, &bytes, &err);
        }
        if (status == KT_OK) {
            status = kt_change_decode(kt_buf_str(&bytes), &change, &err);
        }
        bool reached = kt_fault_calls(KT_FAULT_ALLOC) >= nth;
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        if (status == KT_OK) {
            check_sample(&change);
            kt_change_done(&change);
        } else {
            CHECK_INT(status, KT_NO_MEMORY);
        }
        kt_buf_done(&bytes);
        kt_change_builder_free(&builder);
        if (!reached) {
            return;
        }
    }
}

static void a_thousand_texts_are_each_stored_once(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "s%d", i % 1000);
        struct kt_change_record record = {
            .subject = kt_str(key), .time_s = i, .period = KT_STR("p")};
        CHECK_OK(kt_change_add_record(builder, &record, &err));
    }
    struct kt_buf bytes;
    struct kt_change change;
    kt_buf_init(&bytes, 0);
    CHECK_OK(kt_change_encode(builder, &bytes, &err));
    CHECK(bytes.len_bytes < 1000 * 5 + 3000 * 8 + 32);
    CHECK_OK(kt_change_decode(kt_buf_str(&bytes), &change, &err));
    CHECK_SLICE(change.records[2999].subject, "s999");
    CHECK(change.records[999].subject.data == change.records[2999].subject.data);
    kt_change_done(&change);
    kt_buf_done(&bytes);
    kt_change_builder_free(&builder);
}

static const struct kt_test tests[] = {
    TEST(a_change_comes_out_as_it_went_in),
    TEST(a_builder_can_be_reset_and_used_again),
    TEST(an_empty_change_is_a_change),
    TEST(a_change_that_is_cut_anywhere_is_refused),
    TEST(damaged_bytes_are_never_read_beyond_their_end),
    TEST(a_delete_comes_back_as_it_was),
    TEST(a_delete_that_no_encoder_makes_is_damaged),
    TEST(topics_edited_and_a_condition_come_back_as_they_were),
    TEST(changes_of_earlier_versions_are_read_as_before),
    TEST(settings_that_are_said_are_read_and_none_may_be_less_than_one),
    TEST(epoch_starts_carry_settings_only_when_first),
    TEST(what_does_not_fit_is_too_large_and_leaves_the_builder),
    TEST(what_no_row_could_hold_is_a_bad_value),
    TEST(memory_that_runs_out_anywhere_in_a_build_is_reported),
    TEST(a_thousand_texts_are_each_stored_once),
};
KT_TEST_MAIN(tests)
