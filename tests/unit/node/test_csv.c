/* SPDX-License-Identifier: MIT */
/* test_csv.c - each text is read with the source giving 1, 2, 3, 7 bytes and everything at a time;
 * the outcome is written as one line a record: "2[a|b]" or "3!why". */
#include "drip.h"
#include "kt_test.h"
#include "node/csv.h"

#include "base/mem.h"

#include <stdlib.h>

static const size_t pieces[] = {1, 2, 3, 7, 0};
#define LINE_MAX_BYTES 64

static enum kt_status describe(struct drip *drip, size_t line_max, struct kt_buf *ret_text,
                               struct kt_error *err)
{
    struct kt_csv csv;
    bool more = true;
    enum kt_status status = kt_csv_init(&csv, drip_read, drip, line_max, err);
    while (status == KT_OK) {
        status = kt_csv_next(&csv, &more, err);
        if (status != KT_OK || !more) {
            break;
        }
        kt_buf_printf(ret_text, "%llu", (unsigned long long)csv.line);
        if (csv.bad) {
            kt_buf_printf(ret_text, "!%s\n", csv.bad);
            continue;
        }
        for (size_t i = 0; i < csv.cell_count; i++) {
            kt_buf_append_byte(ret_text, i ? '|' : '[');
            kt_buf_append_str(ret_text, kt_csv_cell(&csv, i));
        }
        kt_buf_append_text(ret_text, "]\n");
    }
    kt_csv_done(&csv);
    return status;
}

static bool reads_as(struct kt_str text, size_t line_max, struct kt_str expected)
{
    struct kt_buf got;
    struct kt_error err = KT_ERROR_INIT;
    bool good = true;
    kt_buf_init(&got, 0);
    for (size_t i = 0; i < KT_ARRAY_LEN(pieces) && good; i++) {
        struct drip drip = {.text = text, .piece = pieces[i]};
        kt_buf_clear(&got);
        enum kt_status status = describe(&drip, line_max, &got, &err);
        if (status != KT_OK || !kt_str_eq(kt_buf_str(&got), expected)) {
            kt_test_fail(__FILE__, __LINE__,
                         "pieces of %zu (%s): \"" KT_STR_FMT "\"\n    got  " KT_STR_FMT
                         "\n    want " KT_STR_FMT,
                         pieces[i], status == KT_OK ? "ok" : err.message, KT_STR_ARG(text),
                         KT_STR_ARG(kt_buf_str(&got)), KT_STR_ARG(expected));
            good = false;
        } else if (drip.asked_beyond > 0) {
            kt_test_fail(__FILE__, __LINE__, "pieces of %zu: the source was asked after its end",
                         pieces[i]);
            good = false;
        }
    }
    kt_buf_done(&got);
    return good;
}

struct example {
    const char *text, *expected;
};

static void check_all(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        reads_as(kt_str(examples[i].text), LINE_MAX_BYTES, kt_str(examples[i].expected));
    }
}

static void cells_and_lines_are_those_of_rfc_4180(void)
{
    static const struct example examples[] = {
        {"a,b\n1,2\n", "1[a|b]\n2[1|2]\n"},
        {"a", "1[a]\n"},
        {",\n", "1[|]\n"},
        {"a,,c\n,,\n", "1[a||c]\n2[||]\n"},
        {" a , b \n", "1[ a | b ]\n"},
        {"\"a\",\"b\"\n", "1[a|b]\n"},
        {"\"a,b\",c\n", "1[a,b|c]\n"},
        {"\"say \"\"hi\"\"\",x\n", "1[say \"hi\"|x]\n"},
        {"\"\"\"\"\n", "1[\"]\n"},
        {"\"\"\"\"\"\"\n", "1[\"\"]\n"},
        {"\"\"\n", "1[]\n"},
        {"\"\",\"\"\n", "1[|]\n"},
        {"\"a\",\n", "1[a|]\n"},
        {"a,\"b\nc\",d\ne\n", "1[a|b\nc|d]\n3[e]\n"},
        {"\"\n\n\"\nx\n", "1[\n\n]\n4[x]\n"},
        {"\"\n\"\"\n\"\n", "1[\n\"\n]\n"},
        {"\xE4\xB8\xAD,\xE6\x96\x87\n", "1[\xE4\xB8\xAD|\xE6\x96\x87]\n"},
    };
    check_all(examples, KT_ARRAY_LEN(examples));
}

static void lines_end_with_lf_or_crlf_or_the_stream(void)
{
    static const struct example examples[] = {
        {"a,b\r\n1,2\r\n", "1[a|b]\n2[1|2]\n"},
        {"a\r\nb\nc", "1[a]\n2[b]\n3[c]\n"},
        {"a,\r\n,\r\n", "1[a|]\n2[|]\n"},
        {"\"a\"\r\n\"b\"", "1[a]\n2[b]\n"},
        {"a,", "1[a|]\n"},
        {"\"x\r\ny\"\r\nz\r\n", "1[x\r\ny]\n3[z]\n"},
        {"\"x\ry\"\n", "1[x\ry]\n"},
    };
    check_all(examples, KT_ARRAY_LEN(examples));
}

static void lines_without_a_character_are_passed_over_and_counted(void)
{
    static const struct example examples[] = {
        {"", ""},          {"\n", ""},
        {"\r\n\r\n", ""},  {"\n\r\n\na\n\n\nb\n\n", "4[a]\n7[b]\n"},
        {" \n", "1[ ]\n"}, {"a\n\r\n", "1[a]\n"},
    };
    check_all(examples, KT_ARRAY_LEN(examples));
}

static void a_bom_is_skipped_at_the_start_only(void)
{
    static const struct example examples[] = {
        {"\xEF\xBB\xBF"
         "a,b\n1,2\n",
         "1[a|b]\n2[1|2]\n"},
        {"\xEF\xBB\xBF\"a\"\n", "1[a]\n"},
        {"\xEF\xBB\xBF", ""},
        {"\xEF\xBB\xBF\n\na", "3[a]\n"},
        {"\xEF\xBB", "1[\xEF\xBB]\n"},
        {"\xEF", "1[\xEF]\n"},
        {"\xEF\xBB\xBF\xEF\xBB\xBF"
         "a\n",
         "1[\xEF\xBB\xBF"
         "a]\n"},
        {"a\n\xEF\xBB\xBF"
         "b\n",
         "1[a]\n2[\xEF\xBB\xBF"
         "b]\n"},
    };
    check_all(examples, KT_ARRAY_LEN(examples));
}

#define CR "a carriage return without a line feed"
#define BEHIND "text behind the closing quote of a cell"
#define INSIDE "a quote inside a cell that does not begin with one"
#define OPEN "the quote of the last cell is not closed"
#define LONG "the line is longer than [limits] import_line_bytes"

static void a_malformed_line_says_why_and_the_next_one_is_read(void)
{
    static const struct example examples[] = {
        {"a\rb\nc\n", "1!" CR "\n2[c]\n"},
        {"a\r\r\nc\n", "1!" CR "\n2[c]\n"},
        {"\r\r\nc\n", "1!" CR "\n2[c]\n"},
        {"\ra\nc\n", "1!" CR "\n2[c]\n"},
        {"a\r", "1!" CR "\n"},
        {"a\n\r", "1[a]\n2!" CR "\n"},
        {"a\r,b\n", "1!" CR "\n"},
        {"\"a\"\rb\n", "1!" CR "\n"},
        {"\"a\"b,c\nd\n", "1!" BEHIND "\n2[d]\n"},
        {"\"a\" ,c\nd\n", "1!" BEHIND "\n2[d]\n"},
        {"a\"b\nd\n", "1!" INSIDE "\n2[d]\n"},
        {"x,5\"\nd\n", "1!" INSIDE "\n2[d]\n"},
        {" \"a\"\nd\n", "1!" INSIDE "\n2[d]\n"},
        {"\"a\"b\"\nd\n", "1!" BEHIND "\n2[d]\n"},
        {"a\n\"b,c\nd\ne", "1[a]\n2!" OPEN "\n"},
        {"\"", "1!" OPEN "\n"},
        {"\"\"\"", "1!" OPEN "\n"},
    };
    check_all(examples, KT_ARRAY_LEN(examples));
}

static void a_long_line_is_bad_and_the_next_one_is_read(void)
{
    static const struct example examples[] = {
        {"1234,5678\nok\n", "1[1234|5678]\n2[ok]\n"},
        {"1234,56789\nok\n", "1!" LONG "\n2[ok]\n"},
        {"123456789\nok\n", "1!" LONG "\n2[ok]\n"},
        {"\"12345678\"\nok\n", "1[12345678]\n2[ok]\n"},
        {"\"123456789\"\nok\n", "1!" LONG "\n2[ok]\n"},
        {"\"1234\n6789\",a\nok\n", "1!" LONG "\n3[ok]\n"},
        {"\"1234567\"\"9\",a\nok\n", "1!" LONG "\n2[ok]\n"},
        {"123456789", "1!" LONG "\n"},
        {"123456789\"x\nok\n", "1!" LONG "\n2[ok]\n"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(examples); i++) {
        reads_as(kt_str(examples[i].text), 8, kt_str(examples[i].expected));
    }
}

static void a_megabyte_in_a_cell_takes_no_more_memory_than_the_bound(void)
{
    size_t big = (size_t)1 << 20;
    char *text = malloc(2 * big + 64);
    for (int quoted = 0; quoted < 2; quoted++) {
        struct kt_error err = KT_ERROR_INIT;
        struct kt_csv csv;
        bool more = false;
        size_t len = 0;
        len += (size_t)sprintf(text, "a,b\n1,%s", quoted ? "\"" : "");
        memset(text + len, 'x', big);
        len += big;
        len += (size_t)sprintf(text + len, "%s\n2,3\n", quoted ? "\"" : "");
        struct drip drip = {.text = kt_str_n(text, len), .piece = 1000};
        CHECK_OK(kt_csv_init(&csv, drip_read, &drip, 4096, &err));
        CHECK_OK(kt_csv_next(&csv, &more, &err));
        CHECK_OK(kt_csv_next(&csv, &more, &err));
        CHECK(more);
        CHECK_STR(csv.bad, LONG);
        CHECK_INT(csv.line, 2);
        CHECK(csv.text.cap_bytes <= 12288);
        CHECK_OK(kt_csv_next(&csv, &more, &err));
        CHECK(more && !csv.bad);
        CHECK_INT(csv.line, 3);
        CHECK_SLICE(kt_csv_cell(&csv, 1), "3");
        CHECK_OK(kt_csv_next(&csv, &more, &err));
        CHECK(!more);
        kt_csv_done(&csv);
    }
    free(text);
}

static void a_megabyte_in_a_cell_within_the_bound_comes_whole(void)
{
    struct kt_error err = KT_ERROR_INIT;
    size_t big = (size_t)1 << 20;
    char *text = malloc(big + 8);
    memset(text, 'x', big);
    text[big] = '\n';
    struct drip drip = {.text = kt_str_n(text, big + 1), .piece = 70001};
    struct kt_csv csv;
    bool more = false;
    CHECK_OK(kt_csv_init(&csv, drip_read, &drip, big, &err));
    CHECK_OK(kt_csv_next(&csv, &more, &err));
    CHECK(more && !csv.bad);
    CHECK_INT(kt_csv_cell(&csv, 0).len, big);
    CHECK(memcmp(kt_csv_cell(&csv, 0).data, text, big) == 0);
    kt_csv_done(&csv);
    free(text);
}

static void columns_are_bounded(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf text;
    kt_buf_init(&text, 0);
    for (int i = 0; i < 8191; i++) {
        kt_buf_append_byte(&text, ',');
    }
    kt_buf_append_byte(&text, '\n');
    for (int i = 0; i < 100000; i++) {
        kt_buf_append_text(&text, "x,");
    }
    kt_buf_append_text(&text, "\nok\n");
    struct drip drip = {.text = kt_buf_str(&text)};
    struct kt_csv csv;
    bool more = false;
    CHECK_OK(kt_csv_init(&csv, drip_read, &drip, 1 << 20, &err));
    CHECK_OK(kt_csv_next(&csv, &more, &err));
    CHECK(more && !csv.bad);
    CHECK_INT(csv.cell_count, 8192);
    CHECK_OK(kt_csv_next(&csv, &more, &err));
    CHECK_STR(csv.bad, "more than 8192 columns");
    CHECK(csv.cell_cap <= 8192);
    CHECK_OK(kt_csv_next(&csv, &more, &err));
    CHECK(more && !csv.bad);
    CHECK_INT(csv.line, 3);
    kt_csv_done(&csv);
    kt_buf_done(&text);
}

static void bytes_that_are_no_text_come_as_they_are(void)
{
    static const char text[] = "a\0b,\xFF\xFE\n\0\n";
    static const char first[] = "a\0b", second[] = "\xFF\xFE";
    for (size_t i = 0; i < KT_ARRAY_LEN(pieces); i++) {
        struct kt_error err = KT_ERROR_INIT;
        struct drip drip = {.text = kt_str_n(text, sizeof(text) - 1), .piece = pieces[i]};
        struct kt_csv csv;
        bool more = false;
        CHECK_OK(kt_csv_init(&csv, drip_read, &drip, 100, &err));
        CHECK_OK(kt_csv_next(&csv, &more, &err));
        CHECK(more && !csv.bad && csv.cell_count == 2);
        CHECK(kt_str_eq(kt_csv_cell(&csv, 0), kt_str_n(first, 3)));
        CHECK(kt_str_eq(kt_csv_cell(&csv, 1), kt_str_n(second, 2)));
        CHECK_OK(kt_csv_next(&csv, &more, &err));
        CHECK(more && !csv.bad && csv.cell_count == 1);
        CHECK_INT(kt_csv_cell(&csv, 0).len, 1);
        kt_csv_done(&csv);
    }
}

static void a_failing_source_fails_the_read_with_its_status(void)
{
    const char *text = "\xEF\xBB\xBF"
                       "a,b\n1,\"2\n3\"\r\n";
    for (size_t at = 0; at < strlen(text); at++) {
        for (size_t i = 0; i < KT_ARRAY_LEN(pieces); i++) {
            struct kt_error err = KT_ERROR_INIT;
            struct kt_buf got;
            struct drip drip = {
                .text = kt_str(text), .piece = pieces[i], .fail_at = at, .fail_with = KT_TIMEOUT};
            kt_buf_init(&got, 0);
            CHECK_FAILS(describe(&drip, 100, &got, &err), KT_TIMEOUT);
            CHECK_STR(err.message, "the source failed");
            kt_buf_done(&got);
        }
    }
}

static void lack_of_memory_is_said_and_nothing_leaks(void)
{
    struct kt_buf text, got;
    struct kt_error err = KT_ERROR_INIT;
    enum kt_status status = KT_NO_MEMORY;
    uint64_t nth = 0;
    kt_buf_init(&text, 0);
    kt_buf_init(&got, 0);
    for (int i = 0; i < 300; i++) {
        kt_buf_append_text(&text, "cell,\"quoted\ncell\",");
    }
    kt_buf_append_text(&text, "\n1,2\n");
    kt_buf_reserve(&got, 65536); /* the test's own buffer takes no part */
    while (status != KT_OK) {
        struct drip drip = {.text = kt_buf_str(&text), .piece = 100};
        memset(&err, 0, sizeof(err));
        kt_buf_clear(&got);
        kt_fault_set(KT_FAULT_ALLOC, ++nth, 0);
        status = describe(&drip, 1 << 20, &got, &err);
        kt_fault_set(KT_FAULT_ALLOC, 0, 0);
        if (status != KT_OK) {
            CHECK_INT(status, KT_NO_MEMORY);
            CHECK_INT(err.status, KT_NO_MEMORY);
            CHECK(err.message[0]);
        }
        CHECK(nth < 100);
    }
    CHECK(nth > 3);
    kt_buf_done(&got);
    kt_buf_done(&text);
}

/* --- at random --- */

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 16) % bound);
}

static uint64_t first_seed(void)
{
    const char *given = getenv("KT_TEST_SEED");
    return given ? strtoull(given, NULL, 10) : 1;
}

static void append_random_cell(struct kt_buf *text, struct kt_buf *expected)
{
    static const char *const parts[] = {"a",  "7", " ", ",", "\"", "\n", "\r\n", "\xC3\xA9",
                                        "-1", "|", "]", ".", "b",  "c",  "dd",   "eee"};
    struct kt_buf cell;
    bool quoted = random_below(3) == 0;
    kt_buf_init(&cell, 0);
    for (uint32_t n = random_below(5); n > 0; n--) {
        kt_buf_append_text(&cell, parts[random_below(KT_ARRAY_LEN(parts))]);
    }
    for (size_t i = 0; i < cell.len_bytes; i++) {
        quoted |= strchr(",\"\r\n", cell.data[i]) != NULL;
    }
    quoted |= cell.len_bytes == 0; /* a line of one empty cell would be a blank line */
    if (quoted) {
        kt_buf_append_byte(text, '"');
    }
    for (size_t i = 0; i < cell.len_bytes; i++) {
        if (cell.data[i] == '"') {
            kt_buf_append_byte(text, '"');
        }
        kt_buf_append_byte(text, cell.data[i]);
    }
    if (quoted) {
        kt_buf_append_byte(text, '"');
    }
    kt_buf_append(expected, cell.data, cell.len_bytes);
    kt_buf_done(&cell);
}

static size_t count_lines(const struct kt_buf *text)
{
    size_t lines = 1;
    for (size_t i = 0; i < text->len_bytes; i++) {
        lines += text->data[i] == '\n';
    }
    return lines;
}

static void random_table(struct kt_buf *text, struct kt_buf *expected)
{
    uint32_t lines = random_below(6);
    if (random_below(4) == 0) {
        kt_buf_append_text(text, "\xEF\xBB\xBF");
    }
    for (uint32_t i = 0; i < lines; i++) {
        uint32_t cells = 1 + random_below(5);
        kt_buf_printf(expected, "%zu", count_lines(text));
        for (uint32_t j = 0; j < cells; j++) {
            kt_buf_append_text(expected, j ? "|" : "[");
            kt_buf_append_text(text, j ? "," : "");
            append_random_cell(text, expected);
        }
        kt_buf_append_text(expected, "]\n");
        if (i + 1 < lines || random_below(2)) {
            kt_buf_append_text(text, random_below(2) ? "\n" : random_below(2) ? "\r\n" : "\n\n");
        }
    }
}

static void what_is_written_by_the_rfc_reads_back(void)
{
    uint64_t seed = first_seed();
    int rounds = kt_test_is_slow() ? 500 : 5000;
    struct kt_buf text, expected;
    kt_buf_init(&text, 0);
    kt_buf_init(&expected, 0);
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int round = 0; round < rounds; round++) {
        kt_buf_clear(&text);
        kt_buf_clear(&expected);
        random_table(&text, &expected);
        if (!reads_as(kt_buf_str(&text), 1 << 16, kt_buf_str(&expected))) {
            printf("  KT_TEST_SEED=%llu, round %d\n", (unsigned long long)seed, round);
            break;
        }
    }
    kt_buf_done(&text);
    kt_buf_done(&expected);
}

/* Whatever the bytes: the reading ends, does not depend on the pieces, and no cell holds more than
 * the line may. */
static void damaged_texts_read_alike_in_any_pieces(void)
{
    static const char hostile[] = "\"\",,\r\n\n\"a1\xEF\xBB\xBF\xFF\0 ";
    uint64_t seed = first_seed();
    int rounds = kt_test_is_slow() ? 1000 : 20000;
    struct kt_buf text, expected;
    kt_buf_init(&text, 0);
    kt_buf_init(&expected, 0);
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 7;
    for (int round = 0; round < rounds; round++) {
        struct kt_error err = KT_ERROR_INIT;
        kt_buf_clear(&text);
        kt_buf_clear(&expected);
        random_table(&text, &expected);
        kt_buf_clear(&expected);
        for (uint32_t n = random_below(8); n > 0; n--) {
            char c = hostile[random_below(sizeof(hostile) - 1)];
            if (text.len_bytes == 0 || random_below(2)) {
                kt_buf_append_byte(&text, c);
            } else {
                text.data[random_below((uint32_t)text.len_bytes)] = c;
            }
        }
        struct drip drip = {.text = kt_buf_str(&text)};
        size_t line_max = random_below(4) ? 1000 : 5;
        enum kt_status status = describe(&drip, line_max, &expected, &err);
        if (status != KT_OK || !reads_as(kt_buf_str(&text), line_max, kt_buf_str(&expected))) {
            kt_test_fail(__FILE__, __LINE__, "KT_TEST_SEED=%llu, round %d: %s",
                         (unsigned long long)seed, round, err.message);
            break;
        }
    }
    kt_buf_done(&text);
    kt_buf_done(&expected);
}

static const struct kt_test tests[] = {
    TEST(cells_and_lines_are_those_of_rfc_4180),
    TEST(lines_end_with_lf_or_crlf_or_the_stream),
    TEST(lines_without_a_character_are_passed_over_and_counted),
    TEST(a_bom_is_skipped_at_the_start_only),
    TEST(a_malformed_line_says_why_and_the_next_one_is_read),
    TEST(a_long_line_is_bad_and_the_next_one_is_read),
    TEST(a_megabyte_in_a_cell_takes_no_more_memory_than_the_bound),
    TEST(a_megabyte_in_a_cell_within_the_bound_comes_whole),
    TEST(columns_are_bounded),
    TEST(bytes_that_are_no_text_come_as_they_are),
    TEST(a_failing_source_fails_the_read_with_its_status),
    TEST(lack_of_memory_is_said_and_nothing_leaks),
    TEST(what_is_written_by_the_rfc_reads_back),
    TEST(damaged_texts_read_alike_in_any_pieces),
};
KT_TEST_MAIN(tests)
