/* model.h - the contract's definitions, evaluated as slowly and plainly as they are written.
 *
 * Nothing here comes from common/query or common/series: versions are one flat list, a question
 * looks at all of them for each value.
 *
 * Threads: the test's own.
 * Owns:    everything in fixed arrays; texts are borrowed from the test's tables.
 * Fails:   aborts when the arrays are full.
 */
#ifndef KT_TEST_QUERY_MODEL_H
#define KT_TEST_QUERY_MODEL_H

#include "base/buf.h"
#include "base/clock.h"

enum {
    MODEL_SUBJECTS = 14,
    MODEL_INDICATORS = 6,
    MODEL_VERSIONS = 4096,
    MODEL_STAYS = 64,
    MODEL_TAGS = 128
};
enum model_said { MODEL_SILENT, MODEL_CLEARED, MODEL_SAID };

struct model_value {
    enum model_said said;
    double number;
};
struct model_text {
    enum model_said said;
    const char *text;
};
struct model_version {
    int subject;
    int64_t time_s;
    const char *period;
    int64_t declare_s;
    bool declare_given;
    uint64_t revision;
    int line;
    struct model_text end_date, year;
    struct model_value values[MODEL_INDICATORS];
};
struct model_tag {
    int subject;
    const char *name, *value;
};
struct model_stay {
    int subject;
    const char *topic;
    int64_t from_s, to_s;
};

struct model {
    const char *const *keys; /* of subjects, ascending by bytes */
    const char *const *indicators;
    const char *names[MODEL_SUBJECTS];
    bool subject_known[MODEL_SUBJECTS], indicator_known[MODEL_INDICATORS];
    struct model_version versions[MODEL_VERSIONS];
    size_t version_count;
    struct model_stay stays[MODEL_STAYS];
    size_t stay_count;
    struct model_tag tags[MODEL_TAGS];
    size_t tag_count;
    int64_t stamps[512]; /* wall ms by revision */
    uint64_t newest;
};

/* Declares absent: fills in the greatest declare time of the record so far, else its own time. */
void model_add(struct model *model, struct model_version version);

struct model_question {
    bool period;  /* else snapshot */
    bool selects; /* by `selection` */
    const char *tag, *keyword;
    int ids[16]; /* indicators in the order asked, MODEL_INDICATORS = one that nobody knows */
    int id_count;
    int subjects[16]; /* MODEL_SUBJECTS = one that nobody knows */
    int subject_count;
    const char *topic;
    const char *periods[16];
    int period_count;
    const char *field; /* NULL = default */
    bool ascending;
    int64_t offset, limit;
    int64_t from_s, until_s; /* resolved: defaults are the ends of time */
    int64_t member_from_s, member_to_s;
    bool fill;         /* previous */
    int64_t max_age_s; /* -1 = any */
    int64_t moment_s;  /* what an age counts from */
    char interval;     /* d w M Q Y; 0 = none */
    const char *agg;   /* resolved */
    int64_t as_of_s;
    uint64_t revision; /* resolved */
};
/* The whole envelope, with an empty text where a next_cursor stands; false when the question must
 * be refused (unknown field). */
bool model_answer(const struct model *model, const struct model_question *question,
                  struct kt_buf *ret_text);

#endif
