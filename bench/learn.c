/* SPDX-License-Identifier: MIT */
/* learn.c - the listings, page by page, and the counters. */
#include "bench/learn.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define URL_MAX 2048

static struct kt_str text_of(const struct kt_json_value *object, const char *name)
{
    const struct kt_json_value *value = kt_json_member_as(object, name, KT_JSON_STRING);
    return value ? kt_json_string(value) : kt_str("");
}

static double number_of(const struct kt_json_value *object, const char *name)
{
    const struct kt_json_value *value = kt_json_member_as(object, name, KT_JSON_NUMBER);
    return value ? kt_json_number(value) : 0;
}

static void put_escaped(struct kt_buf *url, struct kt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        kt_buf_printf(url, "%%%02X", (unsigned char)text.data[i]);
    }
}

typedef enum kt_status (*row_fn)(struct kt_learnt *learnt, const struct kt_json_value *row,
                                 struct kt_error *err);

/* Walks a listing until `more` (of the learnt) says that it is enough. */
static enum kt_status walk(struct kt_ask *ask, const struct kt_pt_options *options,
                           const char *listing, struct kt_str topic, struct kt_learnt *learnt,
                           row_fn take, const size_t *count, size_t enough, struct kt_error *err)
{
    enum kt_status status = KT_OK;
    struct kt_buf url;
    char cursor[URL_MAX / 2] = "";
    kt_buf_init(&url, URL_MAX);
    do {
        const struct kt_json_value *root;
        kt_buf_clear(&url);
        kt_buf_printf(&url, "%s" KT_PT_API "/%s?limit=1000", options->targets[0].text, listing);
        if (topic.len) {
            kt_buf_append_text(&url, "&topic=");
            put_escaped(&url, topic);
        }
        if (cursor[0]) {
            kt_buf_printf(&url, "&cursor=%s", cursor);
        }
        status = kt_buf_status(&url);
        if (status == KT_OK) {
            status = kt_ask(ask, url.data, kt_str(""), &root, err);
        }
        if (status != KT_OK) {
            break;
        }
        const struct kt_json_value *data = kt_json_member(root, "data"), *row = NULL;
        if (!data || kt_json_type(data) != KT_JSON_ARRAY) {
            status = kt_fail(err, KT_BAD_GATEWAY, "%s: data is no array", url.data);
            break;
        }
        while (status == KT_OK && *count < enough && (row = kt_json_next(data, row))) {
            status = take(learnt, row, err);
        }
        kt_str_copy(cursor, sizeof(cursor), text_of(root, "next_cursor"));
    } while (status == KT_OK && cursor[0] && *count < enough);
    kt_buf_done(&url);
    return status;
}

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory for what the cluster holds");
}

static enum kt_status take_subject(struct kt_learnt *learnt, const struct kt_json_value *row,
                                   struct kt_error *err)
{
    struct kt_learnt_subject subject = {.key = text_of(row, "subject"),
                                        .known = number_of(row, "records") > 0,
                                        .first = (int64_t)number_of(row, "first"),
                                        .last = (int64_t)number_of(row, "last")};
    /* Subjects without records, and those of an earlier run's writes, are not asked for. */
    if (!subject.known || kt_str_starts(subject.key, KT_STR("pt:"))) {
        return KT_OK;
    }
    subject.key = kt_arena_dup(learnt->arena, subject.key);
    if (!subject.key.data) {
        return no_memory(err);
    }
    learnt->subjects[learnt->subject_count++] = subject;
    return KT_OK;
}

static enum kt_status take_id(struct kt_learnt *learnt, const struct kt_json_value *row,
                              struct kt_error *err)
{
    struct kt_str id = text_of(row, "indicator");
    if (kt_str_starts(id, KT_STR("pressure_test"))) {
        return KT_OK;
    }
    learnt->ids[learnt->id_count] = kt_arena_dup(learnt->arena, id);
    return learnt->ids[learnt->id_count++].data ? KT_OK : no_memory(err);
}

static enum kt_status take_topic(struct kt_learnt *learnt, const struct kt_json_value *row,
                                 struct kt_error *err)
{
    size_t subjects = (size_t)number_of(row, "subjects");
    if (subjects > learnt->topic_subjects) {
        learnt->topic = kt_arena_dup(learnt->arena, text_of(row, "topic"));
        learnt->topic_subjects = subjects;
    }
    return learnt->topic.data ? KT_OK : no_memory(err);
}

/* A csv list of a flag: names of 1 to 128 bytes. */
static enum kt_status read_list(struct kt_learnt *learnt, const char *flag, const char *list,
                                size_t max, void (*take)(struct kt_learnt *, struct kt_str),
                                struct kt_error *err)
{
    struct kt_str rest = kt_str(list);
    for (size_t i = 0; rest.data; i++) {
        struct kt_str name = kt_str_trim(kt_str_cut(&rest, ','));
        if (i == max) {
            return kt_fail(err, KT_BAD_VALUE, "-%s: more than %zu names", flag, max);
        }
        if (!kt_utf8_is_name(name, 1, 128)) {
            return kt_fail(err, KT_BAD_VALUE, "-%s: '" KT_STR_FMT "' is no name", flag,
                           KT_STR_ARG(name));
        }
        name = kt_arena_dup(learnt->arena, name);
        if (!name.data) {
            return no_memory(err);
        }
        take(learnt, name);
    }
    return KT_OK;
}

static void name_subject(struct kt_learnt *learnt, struct kt_str name)
{
    learnt->subjects[learnt->subject_count++] = (struct kt_learnt_subject){.key = name};
}

static void name_id(struct kt_learnt *learnt, struct kt_str name)
{
    learnt->ids[learnt->id_count++] = name;
}

static enum kt_status learn_all(struct kt_ask *ask, const struct kt_pt_options *options,
                                struct kt_learnt *learnt, struct kt_error *err)
{
    static const size_t never = 0;
    enum kt_status status = KT_OK;
    struct kt_str none = kt_str(""), topic = options->topic ? kt_str(options->topic) : none;
    if (options->topic) {
        learnt->topic = topic;
    } else if (!options->subjects || !options->ids) {
        status = walk(ask, options, "topics", none, learnt, take_topic, &never, 1, err);
    }
    if (status == KT_OK && options->subjects) {
        status = read_list(learnt, "subjects", options->subjects, KT_LEARN_SUBJECTS_MAX,
                           name_subject, err);
    } else if (status == KT_OK) {
        status = walk(ask, options, "subjects", topic, learnt, take_subject, &learnt->subject_count,
                      KT_LEARN_SUBJECTS_MAX, err);
    }
    if (status == KT_OK && options->ids) {
        status = read_list(learnt, "ids", options->ids, KT_LEARN_IDS_MAX, name_id, err);
    } else if (status == KT_OK) {
        status = walk(ask, options, "indicators", none, learnt, take_id, &learnt->id_count,
                      KT_LEARN_IDS_MAX, err);
    }
    return status;
}

enum kt_status kt_learn(struct kt_ask *ask, const struct kt_pt_options *options,
                        struct kt_learnt *ret_learnt, struct kt_error *err)
{
    struct kt_learnt learnt = {.arena = kt_arena_new(65536, (size_t)64 << 20),
                               .topic = KT_STR("*")};
    if (learnt.arena) {
        learnt.subjects =
            kt_arena_zalloc(learnt.arena, KT_LEARN_SUBJECTS_MAX, sizeof(*learnt.subjects));
        learnt.ids = kt_arena_zalloc(learnt.arena, KT_LEARN_IDS_MAX, sizeof(*learnt.ids));
    }
    enum kt_status status =
        learnt.subjects && learnt.ids ? learn_all(ask, options, &learnt, err) : no_memory(err);
    if (status != KT_OK) {
        kt_learnt_done(&learnt);
        return status;
    }
    *ret_learnt = learnt;
    return KT_OK;
}

void kt_learnt_done(struct kt_learnt *learnt)
{
    kt_arena_free(&learnt->arena);
}

static void take_cache(const struct kt_json_value *object, const char *name, uint64_t *ret_hits,
                       uint64_t *ret_misses)
{
    const struct kt_json_value *cache = kt_json_member(object, name);
    *ret_hits = (uint64_t)number_of(cache, "hits");
    *ret_misses = (uint64_t)number_of(cache, "misses");
}

static void take_node(struct kt_stats *stats, struct kt_str id, struct kt_str address,
                      const struct kt_json_value *object)
{
    struct kt_stats_node node;
    memset(&node, 0, sizeof(node));
    kt_str_copy(node.node, sizeof(node.node), id);
    kt_str_copy(node.address, sizeof(node.address), address);
    if (stats->count == KT_STATS_NODES_MAX || !id.len || kt_stats_find(stats, node.node) ||
        !kt_json_member(object, "http")) {
        return;
    }
    node.requests = (uint64_t)number_of(kt_json_member(object, "http"), "requests");
    take_cache(object, "cache", &node.hits, &node.misses);
    take_cache(object, "response_cache", &node.response_hits, &node.response_misses);
    stats->nodes[stats->count++] = node;
}

/* A gateway's own stats, before its /data, speak of every node; a node's of itself. */
void kt_stats_ask(struct kt_ask *ask, const struct kt_pt_options *options,
                  struct kt_stats *ret_stats)
{
    ret_stats->count = 0;
    for (size_t i = 0; i < options->target_count; i++) {
        const struct kt_target *target = &options->targets[i];
        const struct kt_json_value *root, *data, *row = NULL;
        struct kt_error err = KT_ERROR_INIT;
        struct kt_str base = kt_str(target->text);
        char url[sizeof(target->text) + 64];
        if (kt_str_ends(base, KT_STR("/data"))) {
            base.len -= 5;
        }
        snprintf(url, sizeof(url), KT_STR_FMT KT_PT_API "/stats", KT_STR_ARG(base));
        if (kt_ask(ask, url, kt_str(""), &root, &err) != KT_OK) {
            continue;
        }
        data = kt_json_member_as(root, "data", KT_JSON_OBJECT);
        if (!data) {
            continue;
        }
        const struct kt_json_value *nodes = kt_json_member(data, "per_node");
        if (!nodes) {
            take_node(ret_stats, kt_http_answer_header(&ask->answer, "x-kamaitachi-node"),
                      kt_str(target->addr), data);
        } else if (kt_json_type(nodes) == KT_JSON_ARRAY) {
            while ((row = kt_json_next(nodes, row))) {
                take_node(ret_stats, text_of(row, "node"), text_of(row, "address"), row);
            }
        }
    }
}

const struct kt_stats_node *kt_stats_find(const struct kt_stats *stats, const char *node)
{
    for (size_t i = 0; i < stats->count; i++) {
        if (strcmp(stats->nodes[i].node, node) == 0) {
            return &stats->nodes[i];
        }
    }
    return NULL;
}
