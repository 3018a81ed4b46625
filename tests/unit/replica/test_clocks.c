/* SPDX-License-Identifier: MIT */
#include "kt_test.h"

#include "replica/clocks.h"

static void one_late_answer_is_no_wrong_clock(void)
{
    struct kt_clock_watch watch = {0};
    for (int i = 0; i < 20; i++) {
        CHECK_INT(kt_clock_watch_note(&watch, i % KT_CLOCK_TIMES == 0 ? 3 : 90000), KT_CLOCK_QUIET);
    }
}

static void a_lasting_difference_is_said_once_and_its_end_too(void)
{
    struct kt_clock_watch watch = {0};
    for (int i = 1; i < KT_CLOCK_TIMES; i++) {
        CHECK_INT(kt_clock_watch_note(&watch, -KT_CLOCK_DIFFERENCE_MS - 1), KT_CLOCK_QUIET);
    }
    CHECK_INT(kt_clock_watch_note(&watch, KT_CLOCK_DIFFERENCE_MS + 1), KT_CLOCK_DIFFERS);
    CHECK_INT(kt_clock_watch_note(&watch, -3600000), KT_CLOCK_QUIET);
    CHECK_INT(kt_clock_watch_note(&watch, KT_CLOCK_DIFFERENCE_MS), KT_CLOCK_AGREES);
    CHECK_INT(kt_clock_watch_note(&watch, 0), KT_CLOCK_QUIET);
}

static const struct kt_test tests[] = {
    TEST(one_late_answer_is_no_wrong_clock),
    TEST(a_lasting_difference_is_said_once_and_its_end_too),
};
KT_TEST_MAIN(tests)
