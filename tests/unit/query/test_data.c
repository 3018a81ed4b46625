/* SPDX-License-Identifier: MIT */
/* The two real data sets, read by a loader of this test's own, and the answers known of them. */
#include "kt_test.h"

#include "world.h"

#include "base/mem.h"

#include <stdlib.h>
#include <zlib.h>

enum { COLUMNS_MAX = 32, LINE_BYTES = 4096, BATCH = 4000 };

static struct world world;

struct table {
    gzFile file;
    char head[LINE_BYTES], line[LINE_BYTES];
    struct kt_str names[COLUMNS_MAX], cells[COLUMNS_MAX];
    size_t count;
    uint64_t records, values;
};

/* Cuts a line in place; quotes are dropped, doubled ones don't occur. */
static size_t cut_line(char *line, struct kt_str *cells)
{
    size_t count = 0, len = strcspn(line, "\r\n");
    char *start = line, *to = line;
    bool quoted = false;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && line[i] == '"') {
            quoted = !quoted;
        } else if (i == len || (line[i] == ',' && !quoted)) {
            KT_ASSERT(count < COLUMNS_MAX);
            cells[count++] = kt_str_n(start, (size_t)(to - start));
            start = to = line + i + 1;
        } else {
            *to++ = line[i];
        }
    }
    return count;
}

/* "Bunker fuels (Not in Total)" -> "bunker_fuels_not_in_total" */
static struct kt_str indicator_name(struct kt_str name)
{
    char *data = (char *)(uintptr_t)name.data;
    size_t len = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = data[i];
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            data[len++] = c;
        } else if (c >= 'A' && c <= 'Z') {
            data[len++] = (char)(c + 32);
        } else if (len && data[len - 1] != '_') {
            data[len++] = '_';
        }
    }
    return kt_str_n(data, len && data[len - 1] == '_' ? len - 1 : len);
}

static bool open_table(struct table *table, const char *name)
{
    char path[512];
    const char *dir = getenv("KT_DATA_DIR"), *root = getenv("KT_SOURCE_ROOT");
    memset(table, 0, sizeof *table);
    if (dir) {
        snprintf(path, sizeof path, "%s/%s", dir, name);
    } else {
        snprintf(path, sizeof path, "%s/../shared/data/%s", root ? root : ".", name);
    }
    table->file = gzopen(path, "rb");
    if (!table->file) {
        kt_test_skip("data", path);
        return false;
    }
    KT_ASSERT(gzgets(table->file, table->head, LINE_BYTES));
    table->count = cut_line(table->head, table->names);
    return true;
}

static size_t column(const struct table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (kt_str_eq_text(table->names[i], name)) {
            return i;
        }
    }
    abort();
}

static int64_t time_of(struct kt_str cell)
{
    int64_t year, time_s = 0;
    if (kt_parse_i64(cell, &year)) {
        return kt_days_from_civil((int)year, 1, 1) * KT_DAY_S;
    }
    KT_ASSERT(kt_parse_date(cell, &time_s));
    return time_s;
}

static void add_line(struct table *table, size_t subject, size_t time, size_t name)
{
    struct kt_change_value values[COLUMNS_MAX];
    struct kt_change_record record = {
        .subject = table->cells[subject], .time_s = time_of(table->cells[time]), .values = values};
    struct kt_change_subject about = {.key = record.subject};
    for (size_t i = 0; i < table->count; i++) {
        double number;
        struct kt_str cell = table->cells[i];
        if (i == subject || i == time || i == name || kt_str_eq_text(table->names[i], "sector") ||
            cell.len == 0) {
            continue;
        }
        KT_ASSERT(kt_parse_f64(cell, &number));
        values[record.value_count++] = (struct kt_change_value){table->names[i], false, number};
    }
    if (name != SIZE_MAX && table->cells[name].len) {
        about.name = (struct kt_opt_text){KT_NAMED, table->cells[name]};
        KT_ASSERT(kt_change_add_subject(world.builder, &about, &world.err) == KT_OK);
    }
    KT_ASSERT(kt_change_add_record(world.builder, &record, &world.err) == KT_OK);
    table->records++;
    table->values += record.value_count;
}

static void load(struct table *table, const char *subject, const char *time, const char *name)
{
    size_t subject_at = column(table, subject), time_at = column(table, time);
    size_t name_at = name ? column(table, name) : SIZE_MAX;
    for (size_t i = 0; i < table->count; i++) {
        if (i != subject_at && i != time_at && i != name_at) {
            table->names[i] = indicator_name(table->names[i]);
        }
    }
    while (gzgets(table->file, table->line, LINE_BYTES)) {
        KT_ASSERT(cut_line(table->line, table->cells) == table->count);
        add_line(table, subject_at, time_at, name_at);
        if (table->records % BATCH == 0) {
            world_commit(&world, kt_now_wall_ms());
        }
    }
    gzclose(table->file);
    world_commit(&world, kt_now_wall_ms());
}

/* "NVDA=4722368446464@2026-06-30 …": the rows of a snapshot with one value each, and total. */
static const char *rows_of(const char *body, const char *value_key)
{
    static char text[8192];
    char number[KT_F64_TEXT_MAX + 1];
    struct kt_json *json = NULL;
    const struct kt_json_value *row = NULL;
    size_t len = 0;
    if (world_ask(&world, false, body) != KT_OK) {
        return world.err.message;
    }
    KT_ASSERT(kt_json_parse(kt_buf_str(&world.response.body), 16, &json, &world.err) == KT_OK);
    const struct kt_json_value *root = kt_json_root(json);
    while ((row = kt_json_next(kt_json_member(root, "data"), row)) != NULL) {
        const struct kt_json_value *key = kt_json_member(kt_json_member(row, "subject"), "subject");
        const struct kt_json_value *value = kt_json_member(kt_json_member(row, "data"), value_key);
        number[0] = '\0';
        if (value) {
            number[kt_format_f64(kt_json_number(value), number)] = '\0';
        }
        KT_ASSERT(len + 256 < sizeof text);
        len += (size_t)snprintf(text + len, sizeof text - len, KT_STR_FMT "=%s@" KT_STR_FMT " ",
                                KT_STR_ARG(kt_json_string(key)), number,
                                KT_STR_ARG(kt_json_string(kt_json_member(row, "end_date"))));
    }
    snprintf(text + len, sizeof text - len, "/%.0f", kt_json_number(kt_json_member(root, "total")));
    kt_json_free(&json);
    return text;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + strlen(part), part)) {
        count++;
    }
    return count;
}

static void check_catalogue(size_t records, size_t subjects)
{
    struct kt_catalogue *view = kt_store_view(world.store);
    size_t found_records = (size_t)kt_catalogue_record_count(view);
    size_t found_subjects = kt_catalogue_subject_count(view);
    kt_catalogue_unref(&view);
    CHECK_INT(found_records, records);
    CHECK_INT(found_subjects, subjects);
}

static void check_market(void)
{
    const char *newest = rows_of("{\"ids\":\"market_cap\",\"limit\":3}", "market_cap");
    CHECK(kt_str_starts(kt_str(newest), KT_STR("NVDA=4722368446464@2026-06-30 GOOGL=")));
    CHECK(strstr(newest, "@2026-06-30 GOOG=") != NULL);
    CHECK_INT(count_of(newest, "@2026-06-30"), 3);
    CHECK(kt_str_ends(kt_str(newest), KT_STR("/767")));
    CHECK_STR(rows_of("{\"field\":\"market_cap\",\"limit\":3,\"timestamp\":\"2016-12-31\"}",
                      "market_cap"),
              "AAPL=529.56@2016-07-10 GOOGL=492.8@2016-07-10 GOOG=484.45@2016-07-10 /606");
}

static void check_unsorted_last(void)
{
    const char *all =
        rows_of("{\"ids\":\"price_earnings\",\"order\":1,\"limit\":1}", "price_earnings");
    CHECK_STR(all, "NOV=-77.71@2018-02-09 /767");
    char body[128];
    int offset = 767 - 78;
    snprintf(body, sizeof body,
             "{\"ids\":\"price_earnings\",\"order\":1,\"limit\":100,\"offset\":%d}", offset);
    all = rows_of(body, "price_earnings");
    CHECK_INT(count_of(all, "=@"), 78);
    snprintf(body, sizeof body,
             "{\"ids\":\"price_earnings\",\"order\":-1,\"limit\":2,\"offset\":%d}", offset - 1);
    all = rows_of(body, "price_earnings");
    CHECK_INT(count_of(all, "=@"), 1);
    CHECK(kt_str_starts(kt_str(all), KT_STR("NOV=-77.71@")));
}

static void the_companies_answer_as_known(void)
{
    static struct table table;
    if (!open_table(&table, "sp500-fundamentals.csv.gz")) {
        return;
    }
    world_open(&world, "sp500.db", 1000);
    load(&table, "symbol", "date", "name");
    CHECK_INT(table.records, 44450);
    CHECK_INT(table.values, 447267);
    check_catalogue(44450, 767);
    check_market();
    check_unsorted_last();
    world_close(&world);
}

static void the_nations_answer_as_known(void)
{
    static struct table table;
    if (!open_table(&table, "co2-by-nation.csv.gz")) {
        return;
    }
    world_open(&world, "co2.db", 1000);
    load(&table, "Country", "Year", NULL);
    CHECK_INT(table.records, 18769);
    check_catalogue(18769, 259);
    const char *then = world_snapshot(&world, "{\"timestamp\":\"1970-01-01\",\"limit\":1000}");
    CHECK(strstr(then, "\"total\":210}") != NULL);
    CHECK_INT(count_of(then, "\"end_date\":\"1970-01-01\""), 188);
    then = world_snapshot(&world, "{\"timestamp\":0,\"limit\":1}");
    CHECK(strstr(then, "\"total\":259,\"next_cursor\":\"") != NULL);
    then = world_snapshot(&world,
                          "{\"subjects\":[\"BONAIRE, SAINT EUSTATIUS, AND SABA\"],\"ids\":[]}");
    CHECK(strstr(then, "\"total\":1}") != NULL);
    then = world_period(&world, "{\"subjects\":[\"UNITED KINGDOM\"],\"order\":1,\"limit\":2}");
    CHECK(strstr(then, "{\"end_date\":\"1751-01-01\",\"period\":\"\",\"declare_date\":\"\","
                       "\"year\":\"1751\",\"bunker_fuels_not_in_total\":0,") != NULL);
    CHECK(strstr(then, "\"end_date\":\"1752-01-01\"") != NULL);
    world_close(&world);
}

static const struct kt_test tests[] = {
    TEST(the_companies_answer_as_known),
    TEST(the_nations_answer_as_known),
};
KT_TEST_MAIN(tests)
