/* SPDX-License-Identifier: MIT */
/* options.c - one table of flags. */
#include "bench/options.h"

#include "base/mem.h"
#include "base/thread.h"

#include <stddef.h>
#include <string.h>

#define THREADS_USUAL_MAX 8

static const struct kt_scenario_about scenarios[] = {
    {"multi", "5 subjects, 3 indicators, newest values", 300},
    {"newest", "1 subject, 2 indicators, newest values", 500},
    {"paged", "50 subjects, 4 indicators, sorted, a page of 10", 10000},
    {"at_date", "3 subjects, 2 indicators, as they stood at a date", 300},
    {"period", "3 subjects, 2 indicators, the records of two years", 0},
    {"topic", "the 20 greatest of a whole topic", 0},
    {"writes", "one record a save, to subjects of their own", 0},
    {"mixed", "95 % multi, 5 % writes", 0},
    {"file", "the requests of -requests-file", 0},
};

const struct kt_scenario_about *kt_scenario_about(enum kt_scenario scenario)
{
    KT_ASSERT(scenario >= 1 && scenario <= KT_SCENARIO_COUNT);
    return &scenarios[scenario - 1];
}

enum flag_type { TEXT, WHOLE, REAL, SWITCH, TARGETS, VERIFY, SCENARIOS };

struct flag {
    const char *name;
    enum flag_type type;
    size_t offset;
    double min, max;
    const char *value, *about;
};

#define AT(member) offsetof(struct kt_pt_options, member)

static const struct flag flags[] = {
    {"target", TARGETS, 0, 0, 0, "URL,…",
     "where to (http://localhost:9000/data); connections take turns"},
    {"scenario", SCENARIOS, 0, 0, 0, "LIST",
     "names or numbers, one after the other (1,2,3,4); see below"},
    {"requests", WHOLE, AT(requests), 1, 1e12, "N", "so many requests a scenario (5000)"},
    {"duration", REAL, AT(duration_s), 0.1, 86400, "S", "or for so many seconds"},
    {"concurrent", WHOLE, AT(concurrent), 1, 20000, "N",
     "connections, each with one request under way (100)"},
    {"warmup", REAL, AT(warmup_s), 0, 3600, "S",
     "seconds of the same load before, not counted (0)"},
    {"rate", REAL, AT(rate), 0.1, 1e6, "R",
     "requests a second by plan; latency counts from the planned moment"},
    {"repeat", WHOLE, AT(repeat), 1, 1000000, "N",
     "distinct requests, cycled (1000; of a file: all)"},
    {"seed", WHOLE, AT(seed), 0, 9e15, "N", "of what is drawn (1)"},
    {"zipf", REAL, AT(zipf), 0, 5, "T", "subjects and ids by Zipf's law, 0.99 say (0: uniform)"},
    {"subjects", TEXT, AT(subjects), 0, 0, "LIST", "these subjects (learnt from the cluster)"},
    {"ids", TEXT, AT(ids), 0, 0, "LIST", "these indicators (learnt)"},
    {"topic", TEXT, AT(topic), 0, 0, "NAME", "this topic, and its subjects (the largest)"},
    {"requests-file", TEXT, AT(requests_file), 0, 0, "FILE",
     "lines {\"method\",\"path\",\"body\",\"status\"}: scenario file"},
    {"idempotent", SWITCH, AT(idempotent), 0, 0, NULL, "writes carry an Idempotency-Key each"},
    {"keep", SWITCH, AT(keep), 0, 0, NULL, "leave what writes have written"},
    {"token", TEXT, AT(token), 0, 0, "T", "sent as Authorization: Bearer T"},
    {"timeout", REAL, AT(timeout_s), 0.01, 3600, "S",
     "an answer later than this is a failure (10)"},
    {"give-up", REAL, AT(give_up_s), 0.1, 3600, "S",
     "stop when nothing right came for so long (10)"},
    {"threads", WHOLE, AT(threads), 1, 64, "N", "loops (as many as cores, at most 8)"},
    {"verify", VERIFY, 0, 0, 0, "URL", "compare values with this node's afterwards"},
    {"json", TEXT, AT(json), 0, 0, "FILE", "write everything measured"},
    {"csv", TEXT, AT(csv), 0, 0, "FILE", "write one line a scenario"},
    {"html", TEXT, AT(html), 0, 0, "FILE", "write a report with curves, one file"},
    {"compare", TEXT, AT(compare), 0, 0, "FILE", "compare with an earlier -json"},
    {"quiet", SWITCH, AT(quiet), 0, 0, NULL, "no progress, only the report"},
    {"help", SWITCH, AT(help), 0, 0, NULL, "this text"},
    {"version", SWITCH, AT(version), 0, 0, NULL, "the version"},
};

static const struct flag *find_flag(struct kt_str name)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(flags); i++) {
        if (kt_str_eq_text(name, flags[i].name)) {
            return &flags[i];
        }
    }
    return NULL;
}

static enum kt_status read_number(const struct flag *flag, struct kt_str text, double *ret_value,
                                  struct kt_error *err)
{
    double value;
    bool whole = flag->type == WHOLE;
    if (!kt_parse_f64(text, &value) || (whole && value != (double)(int64_t)value)) {
        return kt_fail(err, KT_BAD_VALUE, "-%s wants a %snumber, not '" KT_STR_FMT "'", flag->name,
                       whole ? "whole " : "", KT_STR_ARG(text));
    }
    if (value < flag->min || value > flag->max) {
        return kt_fail(err, KT_BAD_VALUE, "-%s must be from %.10g to %.10g, not " KT_STR_FMT,
                       flag->name, flag->min, flag->max, KT_STR_ARG(text));
    }
    *ret_value = value;
    return KT_OK;
}

static enum kt_status read_targets(struct kt_str text, struct kt_pt_options *options,
                                   struct kt_error *err)
{
    struct kt_str rest = text;
    options->target_count = 0;
    while (rest.data) {
        struct kt_str url = kt_str_trim(kt_str_cut(&rest, ','));
        if (options->target_count == KT_TARGETS_MAX) {
            return kt_fail(err, KT_BAD_VALUE, "more than %d URLs", KT_TARGETS_MAX);
        }
        enum kt_status status =
            kt_target_parse(url, &options->targets[options->target_count++], err);
        if (status != KT_OK) {
            return status;
        }
    }
    return KT_OK;
}

static enum kt_status read_scenarios(struct kt_str text, struct kt_pt_options *options,
                                     struct kt_error *err)
{
    struct kt_str rest = text;
    options->scenario_count = 0;
    while (rest.data) {
        struct kt_str name = kt_str_trim(kt_str_cut(&rest, ','));
        int found = 0;
        for (int i = 1; i <= KT_SCENARIO_COUNT; i++) {
            char number = (char)('0' + i);
            if (kt_str_eq_text(name, scenarios[i - 1].name) ||
                kt_str_eq(name, kt_str_n(&number, 1))) {
                found = i;
            }
        }
        if (!found) {
            return kt_fail(err, KT_BAD_VALUE, "there is no scenario '" KT_STR_FMT "'",
                           KT_STR_ARG(name));
        }
        for (size_t i = 0; i < options->scenario_count; i++) {
            if (options->scenarios[i] == (enum kt_scenario)found) {
                return kt_fail(err, KT_BAD_VALUE, "%s is named twice", scenarios[found - 1].name);
            }
        }
        options->scenarios[options->scenario_count++] = (enum kt_scenario)found;
    }
    return KT_OK;
}

static enum kt_status take(const struct flag *flag, const char *text, struct kt_pt_options *options,
                           struct kt_error *err)
{
    void *slot = (char *)options + flag->offset;
    enum kt_status status = KT_OK;
    double number = 0;
    switch (flag->type) {
    case SWITCH:
        *(bool *)slot = true;
        return KT_OK;
    case TEXT:
        if (!*text) {
            return kt_fail(err, KT_BAD_VALUE, "-%s is empty", flag->name);
        }
        *(const char **)slot = text;
        return KT_OK;
    case WHOLE:
    case REAL:
        status = read_number(flag, kt_str(text), &number, err);
        if (status == KT_OK && flag->type == WHOLE) {
            *(uint64_t *)slot = (uint64_t)number;
        } else if (status == KT_OK) {
            *(double *)slot = number;
        }
        return status;
    case TARGETS:
        status = read_targets(kt_str(text), options, err);
        break;
    case VERIFY:
        status = kt_target_parse(kt_str(text), &options->verify, err);
        break;
    case SCENARIOS:
        status = read_scenarios(kt_str(text), options, err);
        break;
    }
    if (status != KT_OK) {
        return kt_wrap(err, "-%s", flag->name);
    }
    return status;
}

static bool has_scenario(const struct kt_pt_options *options, enum kt_scenario scenario)
{
    for (size_t i = 0; i < options->scenario_count; i++) {
        if (options->scenarios[i] == scenario) {
            return true;
        }
    }
    return false;
}

/* What no flag can tell alone, and what follows from what was given. */
static enum kt_status settle(struct kt_pt_options *options, struct kt_error *err)
{
    if (options->requests && options->duration_s > 0) {
        return kt_fail(err, KT_BAD_VALUE, "-requests and -duration can't both be given");
    }
    if (options->scenario_count == 0) {
        enum kt_scenario only[] = {KT_SCENARIO_FILE};
        enum kt_scenario usual[] = {KT_SCENARIO_MULTI, KT_SCENARIO_NEWEST, KT_SCENARIO_PAGED,
                                    KT_SCENARIO_AT_DATE};
        options->scenario_count = options->requests_file ? 1 : KT_ARRAY_LEN(usual);
        memcpy(options->scenarios, options->requests_file ? only : usual,
               options->scenario_count * sizeof(usual[0]));
    }
    bool file = has_scenario(options, KT_SCENARIO_FILE);
    if (file != (options->requests_file != NULL)) {
        return kt_fail(err, KT_BAD_VALUE, "%s",
                       file ? "-scenario file wants -requests-file"
                            : "-requests-file wants -scenario file");
    }
    if (options->token && !kt_is_visible_ascii(kt_str(options->token), 1024)) {
        return kt_fail(err, KT_BAD_VALUE, "-token must be visible ASCII");
    }
    if (!options->requests && options->duration_s == 0) {
        options->requests = 5000;
    }
    if (!options->threads) {
        unsigned cores = kt_cpu_count();
        options->threads = cores < THREADS_USUAL_MAX ? cores : THREADS_USUAL_MAX;
    }
    if (options->threads > options->concurrent) {
        options->threads = options->concurrent;
    }
    return KT_OK;
}

/* `-name value`, `--name value`, `-name=value`. */
static enum kt_status read_flag(int argc, char **argv, int *at, uint64_t *given,
                                struct kt_pt_options *options, struct kt_error *err)
{
    const char *arg = argv[*at];
    const char *name = arg[0] != '-' ? "" : arg[1] == '-' ? arg + 2 : arg + 1;
    struct kt_str bare = kt_str_n(name, strcspn(name, "="));
    const struct flag *flag = find_flag(bare);
    if (!flag) {
        return kt_fail(err, KT_BAD_VALUE, "unknown argument '%s'", arg);
    }
    uint64_t bit = UINT64_C(1) << (flag - flags);
    if (*given & bit) {
        return kt_fail(err, KT_BAD_VALUE, "-%s is given twice", flag->name);
    }
    *given |= bit;
    const char *value = name[bare.len] == '=' ? name + bare.len + 1 : NULL;
    if (flag->type == SWITCH && value) {
        return kt_fail(err, KT_BAD_VALUE, "-%s takes no value", flag->name);
    }
    if (flag->type != SWITCH && !value) {
        if (*at + 1 >= argc) {
            return kt_fail(err, KT_BAD_VALUE, "-%s wants a value", flag->name);
        }
        value = argv[++*at];
    }
    return take(flag, value, options, err);
}

enum kt_status kt_pt_options_parse(int argc, char **argv, struct kt_pt_options *ret_options,
                                   struct kt_error *err)
{
    struct kt_pt_options options = {.concurrent = 100, .seed = 1, .timeout_s = 10, .give_up_s = 10};
    uint64_t given = 0;
    enum kt_status status = read_targets(KT_STR("http://localhost:9000/data"), &options, err);
    for (int i = 1; i < argc && status == KT_OK; i++) {
        status = read_flag(argc, argv, &i, &given, &options, err);
    }
    if (status == KT_OK && !options.help && !options.version) {
        status = settle(&options, err);
    }
    if (status == KT_OK) {
        *ret_options = options;
    }
    return status;
}

void kt_pt_options_usage(FILE *stream)
{
    fprintf(stream,
            "usage: pressure_test [flags]\n\n"
            "Puts load on a Kamaitachi cluster over HTTP, checks every answer and reports.\n\n");
    for (size_t i = 0; i < KT_ARRAY_LEN(flags); i++) {
        char left[40];
        snprintf(left, sizeof(left), "-%s %s", flags[i].name, flags[i].value ? flags[i].value : "");
        /* "URL,…" is one column shorter than its bytes. */
        int width = strstr(left, "…") ? 24 : 22;
        fprintf(stream, "  %-*s %s\n", width, left, flags[i].about);
    }
    fprintf(stream, "\nscenarios:\n");
    for (size_t i = 0; i < KT_ARRAY_LEN(scenarios); i++) {
        fprintf(stream, "  %zu %-10s %s", i + 1, scenarios[i].name, scenarios[i].about);
        if (scenarios[i].target_qps > 0) {
            fprintf(stream, "; target %.0f a second", scenarios[i].target_qps);
        }
        fprintf(stream, "\n");
    }
    fprintf(stream,
            "\nFlags take one or two dashes. Exit status: 0 every answer was right; 1 some was"
            " not, or it\ncould not start; 2 wrong usage; 130 stopped by ^C, with the report"
            " so far.\n");
}
