/* SPDX-License-Identifier: MIT */
#include "base/status.h"
#include "kt_test.h"

static void every_status_has_name_code_http_and_retry(void)
{
    for (int i = 0; i < KT_STATUS_COUNT; i++) {
        enum kt_status status = (enum kt_status)i;
        CHECK(kt_status_name(status)[0] != '\0');
        CHECK(kt_status_code(status)[0] != '\0');
        CHECK(kt_status_http(status) >= 200 && kt_status_http(status) < 600);
        const char *retry = kt_status_retry(status);
        CHECK(strcmp(retry, "no") == 0 || strcmp(retry, "same") == 0 ||
              strcmp(retry, "later") == 0);
    }
    CHECK_STR(kt_status_name(KT_NOT_LEADER), "NOT_LEADER");
    CHECK_STR(kt_status_code(KT_NOT_LEADER), "not_leader");
    CHECK_INT(kt_status_http(KT_NOT_LEADER), 421);
    CHECK_STR(kt_status_retry(KT_NOT_LEADER), "same");
}

static void a_strange_status_reads_as_internal(void)
{
    CHECK_STR(kt_status_code((enum kt_status)9999), "internal");
    CHECK_STR(kt_status_code((enum kt_status) - 1), "internal");
    CHECK_INT(kt_status_http((enum kt_status)9999), 500);
}

static void fail_fills_the_error_and_returns_the_status(void)
{
    struct kt_error err = KT_ERROR_INIT;
    CHECK_INT(kt_fail_field(&err, KT_BAD_VALUE, "from", "is %d", 7), KT_BAD_VALUE);
    CHECK_STR(err.field, "from");
    CHECK_STR(err.message, "is 7");
    CHECK_INT(kt_fail(&err, KT_IO, "open %s", "x"), KT_IO);
    CHECK_INT(err.status, KT_IO);
    CHECK_STR(err.field, "");
    CHECK_STR(err.message, "open x");
}

static void fail_works_without_an_error(void)
{
    CHECK_INT(kt_fail(NULL, KT_IO, "x"), KT_IO);
    CHECK_INT(kt_fail_field(NULL, KT_GONE, "f", "x"), KT_GONE);
    CHECK_INT(kt_wrap(NULL, "x"), KT_INTERNAL);
}

static void an_argument_may_be_the_old_message(void)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)kt_fail_field(&err, KT_IO, "path", "disk full");
    (void)kt_fail(&err, KT_UNAVAILABLE, "write failed: %s", err.message);
    CHECK_STR(err.message, "write failed: disk full");
    (void)kt_fail_field(&err, KT_IO, "path", "a");
    (void)kt_fail_field(&err, KT_IO, err.field, "%s b", err.message);
    CHECK_STR(err.message, "a b");
    CHECK_STR(err.field, "path");
}

static void wrap_puts_context_before_and_keeps_the_rest(void)
{
    struct kt_error err = KT_ERROR_INIT;
    (void)kt_fail_field(&err, KT_CORRUPT, "crc", "bad checksum");
    CHECK_INT(kt_wrap(&err, "load snapshot %s", "x"), KT_CORRUPT);
    CHECK_STR(err.message, "load snapshot x: bad checksum");
    CHECK_STR(err.field, "crc");
}

static void long_messages_are_cut_between_characters(void)
{
    char text[700];
    /* Each shift puts the cut at another byte of a 2-, 3- or 4-byte character. */
    const char *characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8C\x8A"};
    for (size_t c = 0; c < 3; c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            memset(text, 'x', sizeof text);
            size_t len = shift, step = strlen(characters[c]);
            while (len + step < sizeof text) {
                memcpy(text + len, characters[c], step);
                len += step;
            }
            text[len] = '\0';
            struct kt_error err = KT_ERROR_INIT;
            (void)kt_fail_field(&err, KT_IO, text, "%s", text);
            CHECK(kt_utf8_valid(kt_str(err.message)));
            CHECK(strlen(err.message) > sizeof err.message - 5);
            CHECK(kt_utf8_valid(kt_str(err.field)));
            CHECK(strlen(err.field) > sizeof err.field - 5);
            (void)kt_wrap(&err, "context");
            CHECK(kt_utf8_valid(kt_str(err.message)));
            (void)kt_wrap(&err, "%s", text);
            CHECK(kt_utf8_valid(kt_str(err.message)));
        }
    }
}

static const struct kt_test tests[] = {
    TEST(every_status_has_name_code_http_and_retry),
    TEST(a_strange_status_reads_as_internal),
    TEST(fail_fills_the_error_and_returns_the_status),
    TEST(fail_works_without_an_error),
    TEST(an_argument_may_be_the_old_message),
    TEST(wrap_puts_context_before_and_keeps_the_rest),
    TEST(long_messages_are_cut_between_characters),
};
KT_TEST_MAIN(tests)
