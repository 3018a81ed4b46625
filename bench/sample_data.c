/* SPDX-License-Identifier: MIT */
/* sample_data - prints an invented stock market, always the same one.
 *
 * For trying Kamaitachi out: 5,000 companies with 16 quarterly reports of six indicators, with
 * losses, companies that were listed later, reports that are missing and cells that are empty.
 * Money is kept in whole hundredths, so that every machine prints the same bytes. What is random
 * depends on the company's number alone: a smaller market is the beginning of a greater one.
 */
#include "base/clock.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "stock_a_listing_pool"
#define FIRST_YEAR 2022
#define INDICATORS 6

static const char *const indicator_names[INDICATORS] = {
    "operating_income", "parent_holder_net_profit", "total_operating_cost",
    "net_profit",       "operating_profit",         "total_profit"};

enum format { FORMAT_CSV, FORMAT_NDJSON };

struct options {
    enum format format;
    long subjects, quarters;
};

struct company {
    long number; /* from 1 */
    char key[32];
    char name[96];
    const char *status;
    uint64_t random;
    int64_t income; /* of one quarter, in hundredths */
    int cost_permille, parent_permille;
    long first_quarter; /* listed then */
};

struct report {
    char end_date[11], declare_date[11];
    int year, quarter; /* 1..4 */
    bool given[INDICATORS];
    int64_t values[INDICATORS]; /* in hundredths */
};

static int64_t between(uint64_t *random, int64_t low, int64_t high)
{
    return low + (int64_t)(kt_prng_next(random) % (uint64_t)(high - low + 1));
}

static void name_company(struct company *company)
{
    static const char *const places[] = {"华东", "长江", "黄河", "泰山", "东方", "金龙", "海天",
                                         "江南", "燕京", "岭南", "天府", "西湖", "钱塘", "昆仑",
                                         "南岭", "北辰", "中原", "滨海", "太湖", "珠江"};
    static const char *const trades[] = {
        "科技", "电子", "医药", "银行", "能源", "化工", "机械", "钢铁", "食品", "纺织",
        "传媒", "地产", "航空", "汽车", "软件", "通信", "建材", "农业", "物流", "互联网金融"};
    static const char *const forms[] = {"股份", "集团", "控股", "实业", "国际",
                                        "发展", "新材", "制造", "投资", "环保"};
    static const char *const latin[] = {"Harbour", "Summit",  "Pioneer",  "Crane",  "Lantern",
                                        "Willow",  "Granite", "Meridian", "Cobalt", "Juniper"};
    long i = company->number - 1;
    if (i % 5 == 4) {
        snprintf(company->name, sizeof(company->name), "%s %s No. %ld", latin[i / 5 % 10],
                 i % 2 ? "Holdings" : "Industries", company->number);
        return;
    }
    snprintf(company->name, sizeof(company->name), "%s%s%s", places[i % 20], trades[i / 20 % 20],
             forms[i / 400 % 10]);
    if (i >= 4000) { /* the names are used up */
        size_t len = strlen(company->name);
        snprintf(company->name + len, sizeof(company->name) - len, "%ld", i / 4000 + 1);
    }
}

static void make_company(struct company *company, long number, long quarters)
{
    static const int64_t sizes[] = {500000000, 2000000000, 8000000000, 50000000000, 900000000000};
    memset(company, 0, sizeof(*company));
    company->number = number;
    company->random = (uint64_t)number * UINT64_C(0x9E3779B97F4A7C15) | 1;
    for (int i = 0; i < 4; i++) { /* neighbours' first numbers resemble each other */
        kt_prng_next(&company->random);
    }
    snprintf(company->key, sizeof(company->key), "33:%08ld", number);
    name_company(company);
    int64_t size = sizes[between(&company->random, 0, 9) * between(&company->random, 0, 9) / 20];
    company->income = between(&company->random, size / 2, size * 2);
    company->cost_permille = (int)between(&company->random, 640, 1060);
    company->parent_permille = (int)between(&company->random, 600, 1000);
    company->status = between(&company->random, 1, 100) <= 3 ? "ST" : "listed";
    if (between(&company->random, 1, 100) <= 12) {
        company->first_quarter = between(&company->random, 0, quarters - 1);
    }
}

/* False when the company did not report that quarter. */
static bool make_report(struct company *company, long index, long quarters, struct report *report)
{
    uint64_t *random = &company->random;
    memset(report, 0, sizeof(*report));
    report->year = FIRST_YEAR + (int)(index / 4);
    report->quarter = (int)(index % 4) + 1;
    int64_t next_quarter = report->quarter == 4
                               ? kt_days_from_civil(report->year + 1, 1, 1)
                               : kt_days_from_civil(report->year, report->quarter * 3 + 1, 1);
    kt_format_date((next_quarter - 1) * KT_DAY_S, report->end_date);
    kt_format_date((next_quarter + between(random, 14, 88)) * KT_DAY_S, report->declare_date);

    int64_t income = company->income / 1000 * between(random, 800, 1250);
    int64_t cost = income / 1000 * (company->cost_permille + between(random, -60, 90));
    int64_t operating = income - cost + income / 1000 * between(random, -8, 12);
    int64_t total = operating + income / 1000 * between(random, -5, 6);
    int64_t net = total > 0 ? total - total / 4 : total;
    int64_t values[INDICATORS] = {
        income, net / 1000 * company->parent_permille, cost, net, operating, total};
    memcpy(report->values, values, sizeof(values));
    for (int i = 0; i < INDICATORS; i++) {
        report->given[i] = between(random, 1, 1000) > 15;
    }
    company->income += company->income / 1000 * between(random, -30, 55);
    bool missing = between(random, 1, 1000) <= 10;
    return index >= company->first_quarter && (!missing || index == quarters - 1);
}

static void print_money(int64_t value)
{
    int64_t whole = value / 100, rest = value % 100;
    rest = rest < 0 ? -rest : rest;
    printf("%s%" PRId64, value < 0 && whole == 0 ? "-" : "", whole);
    if (rest % 10) {
        printf(".%02" PRId64, rest);
    } else if (rest) {
        printf(".%" PRId64, rest / 10);
    }
}

static void print_csv_header(void)
{
    printf("subject,name,status,category,date,period,declare_date");
    for (int i = 0; i < INDICATORS; i++) {
        printf(",%s", indicator_names[i]);
    }
    printf("\n");
}

static void print_csv(const struct company *company, const struct report *report)
{
    printf("%s,%s,%s,stock,%s,Q%d,%s", company->key, company->name, company->status,
           report->end_date, report->quarter, report->declare_date);
    for (int i = 0; i < INDICATORS; i++) {
        printf(",");
        if (report->given[i]) {
            print_money(report->values[i]);
        }
    }
    printf("\n");
}

static void print_ndjson_subject(const struct company *company)
{
    printf("{\"subject\":{\"subject\":\"%s\",\"name\":\"%s\",\"status\":\"%s\","
           "\"category\":\"stock\",\"topics\":[\"" TOPIC "\"]}}\n",
           company->key, company->name, company->status);
}

static void print_ndjson(const struct company *company, const struct report *report)
{
    printf("{\"record\":{\"subject\":\"%s\",\"time\":\"%s\",\"period\":\"Q%d\","
           "\"declare_date\":\"%s\",\"data\":{",
           company->key, report->end_date, report->quarter, report->declare_date);
    const char *comma = "";
    for (int i = 0; i < INDICATORS; i++) {
        if (report->given[i]) {
            printf("%s\"%s\":", comma, indicator_names[i]);
            print_money(report->values[i]);
            comma = ",";
        }
    }
    printf("}}}\n");
}

static void print_market(const struct options *options)
{
    if (options->format == FORMAT_CSV) {
        print_csv_header();
    }
    for (long number = 1; number <= options->subjects; number++) {
        struct company company;
        make_company(&company, number, options->quarters);
        if (options->format == FORMAT_NDJSON) {
            print_ndjson_subject(&company);
        }
        for (long index = 0; index < options->quarters; index++) {
            struct report report;
            if (!make_report(&company, index, options->quarters, &report)) {
                continue;
            }
            if (options->format == FORMAT_CSV) {
                print_csv(&company, &report);
            } else {
                print_ndjson(&company, &report);
            }
        }
    }
}

static int usage(FILE *stream)
{
    fprintf(stream, "usage: sample_data [-format csv|ndjson] [-subjects 1..100000] "
                    "[-quarters 1..100]\n"
                    "Prints an invented stock market, always the same: by default 5000 companies\n"
                    "with 16 quarters each, as CSV.\n");
    return stream == stdout ? 0 : 2;
}

static bool parse_number(const char *text, long max, long *ret_number)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end || number < 1 || number > max) {
        return false;
    }
    *ret_number = number;
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {FORMAT_CSV, 5000, 16};
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i][0] == '-' && argv[i][1] == '-' ? argv[i] + 1 : argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(flag, "-help") == 0) {
            return usage(stdout);
        }
        if (strcmp(flag, "-format") == 0 && strcmp(value, "csv") == 0) {
            options.format = FORMAT_CSV;
        } else if (strcmp(flag, "-format") == 0 && strcmp(value, "ndjson") == 0) {
            options.format = FORMAT_NDJSON;
        } else if (!(strcmp(flag, "-subjects") == 0 &&
                     parse_number(value, 100000, &options.subjects)) &&
                   !(strcmp(flag, "-quarters") == 0 &&
                     parse_number(value, 100, &options.quarters))) {
            return usage(stderr);
        }
        i++;
    }
    print_market(&options);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "sample_data: cannot write\n");
        return 1;
    }
    return 0;
}
