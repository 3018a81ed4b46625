/* SPDX-License-Identifier: MIT */
/* What the applier remembers of subjects spares it looks into the tables, and must change nothing:
 * a store that stays open, and whose calls fail now and then, against one that is opened anew
 * before each entry and so remembers nothing.
 */
#include "base/hash.h"
#include "store/export.h"
#include "store/store_internal.h"
#include "tests/unit/store/memory_disk.h"
#include "tests/unit/store/store_help.h"

static struct kt_error err;

static const char *const keys[] = {"a", "b"};
static const char *const periods[] = {"", "Q1", "longer than is remembered"};
static const int64_t times[] = {-5, 10, 20};

static unsigned pick(uint64_t *seed, unsigned count)
{
    return (unsigned)(kt_prng_next(seed) % count);
}

static void make_save(uint64_t *seed, struct kt_buf *body)
{
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    for (unsigned i = 1 + pick(seed, 3); i > 0; i--) {
        struct help_record record = {.subject = keys[pick(seed, KT_ARRAY_LEN(keys))],
                                     .time_s = times[pick(seed, KT_ARRAY_LEN(times))],
                                     .period = periods[pick(seed, KT_ARRAY_LEN(periods))],
                                     .declare_s = HELP_NO_D,
                                     .a_key = "v",
                                     .a = pick(seed, 100)};
        if (pick(seed, 3) == 0) {
            record.declare_s = (int64_t)pick(seed, 60) - 20;
        }
        help_add(builder, &record);
    }
    CHECK_OK(kt_change_encode(builder, body, &err));
    kt_change_builder_free(&builder);
}

static void make_delete(uint64_t *seed, struct kt_buf *body)
{
    struct kt_str subject = kt_str(keys[pick(seed, KT_ARRAY_LEN(keys))]);
    struct kt_str period = kt_str(periods[pick(seed, KT_ARRAY_LEN(periods))]);
    struct kt_change_delete what = {.subjects = &subject,
                                    .subject_count = 1,
                                    .periods = &period,
                                    .period_count = pick(seed, 2),
                                    .from_s = times[pick(seed, KT_ARRAY_LEN(times))],
                                    .to_s = KT_TIME_MAX,
                                    .all = pick(seed, 5) == 0};
    CHECK_OK(kt_change_encode_delete(&what, body, &err));
}

/* With `failing_io` > 0 the so-manieth access to the file fails; then it is tried again. */
static void commit(struct kt_store *store, struct kt_str body, uint64_t failing_io)
{
    uint64_t seq = help_end(store) + 1;
    struct kt_entry entry = {seq, 1, (int64_t)seq * 1000, KT_STR(""), body};
    CHECK_OK(kt_store_log_append(store, &entry, 1, seq, &err));
    kt_fault_set(KT_FAULT_IO, failing_io, 0);
    enum kt_status status = kt_store_apply(store, &entry, 1, NULL, &err);
    kt_fault_set(KT_FAULT_IO, 0, 0);
    CHECK(status == KT_OK || (failing_io > 0 && status == KT_IO));
    if (status != KT_OK) {
        CHECK_OK(kt_store_apply(store, &entry, 1, NULL, &err));
    }
}

/* Every version with its stamps, and the subject's own. */
static void tell(struct kt_store *store, struct kt_buf *ret_text)
{
    struct kt_export *export = NULL;
    struct kt_version version;
    kt_buf_clear(ret_text);
    CHECK_OK(kt_export_open(store, &export, &err));
    for (size_t k = 0; k < KT_ARRAY_LEN(keys); k++) {
        const struct kt_subject *subject =
            kt_catalogue_find_subject(kt_export_view(export), kt_str(keys[k]));
        if (!subject) {
            continue;
        }
        kt_buf_printf(ret_text, "\n%s changed=%llu touched=%llu:", keys[k],
                      (unsigned long long)subject->changed_revision,
                      (unsigned long long)subject->touched_revision);
        kt_export_seek(export, subject->number, KT_TIME_MIN, KT_TIME_MAX);
        while (kt_export_next(export, &version, &err) == KT_OK) {
            kt_buf_printf(ret_text, " %lld/" KT_STR_FMT " D=%lld W=%llu v=%g;",
                          (long long)version.time_s, KT_STR_ARG(version.period),
                          (long long)version.declare_s, (unsigned long long)version.revision,
                          version.value_count > 0 ? version.values[0].number : -1);
        }
    }
    kt_export_close(&export);
}

static void run(uint64_t seed)
{
    char path[400];
    struct kt_store *lasting = help_new(), *fresh = help_new();
    struct kt_buf body, one, other;
    size_t most_bytes = 0;
    kt_buf_init(&body, 0);
    kt_buf_init(&one, 0);
    kt_buf_init(&other, 0);
    kt_str_copy(path, sizeof(path), kt_str(fresh->path));
    for (int step = 0; step < 60; step++) {
        kt_buf_clear(&body);
        if (pick(&seed, 5) == 0) {
            make_delete(&seed, &body);
        } else {
            make_save(&seed, &body);
        }
        commit(lasting, kt_buf_str(&body), pick(&seed, 8) == 0 ? 1 + pick(&seed, 6) : 0);
        kt_store_close(&fresh);
        fresh = help_open(path);
        commit(fresh, kt_buf_str(&body), 0);
        if (step % 6 == 5) {
            tell(lasting, &one);
            tell(fresh, &other);
            CHECK_STR(one.data, other.data);
            most_bytes = one.len_bytes > most_bytes ? one.len_bytes : most_bytes;
        }
    }
    CHECK(most_bytes > 200);
    kt_str_copy(path, sizeof(path), kt_str(lasting->path));
    kt_store_close(&lasting);
    lasting = help_open(path);
    tell(lasting, &one); /* the same after a restart */
    CHECK_STR(one.data, other.data);
    kt_store_close(&lasting);
    kt_store_close(&fresh);
    kt_buf_done(&body);
    kt_buf_done(&one);
    kt_buf_done(&other);
}

static void nothing_hangs_on_what_is_remembered(void)
{
    for (uint64_t seed = 1; seed <= (kt_test_is_slow() ? 3 : 20); seed++) {
        run(seed);
    }
}

static const struct kt_test tests[] = {
    TEST(nothing_hangs_on_what_is_remembered),
};

KT_TEST_MAIN(tests)
