/* SPDX-License-Identifier: MIT */
/* read.c - the tree: check, then cJSON, then the getters.
 *
 * A document's nodes and texts lie in one block, which is freed as a whole: most documents are
 * small and short-lived, and two blocks for each value would cost more than reading it.
 *
 * cJSON converts numbers with strtod. That rounds correctly and reads '.' as the point because no
 * part of Kamaitachi calls setlocale(); its static error pointer is written by every parse, but
 * nobody reads it. A struct kt_json_value is a cJSON node under another name. */
#include "json/read.h"

#include "base/mem.h"
#include "json/json_internal.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdalign.h>
#include <string.h>

enum {
    ALIGN = alignof(cJSON),
    NODE_BYTES = sizeof(cJSON) + 2 * ALIGN, /* with what rounds up its name and its string */
    VALUE_BYTES = 96                        /* of an estimate */
};
static_assert(NODE_BYTES <= VALUE_BYTES, "the estimate is too low");

struct kt_json {
    cJSON *root;
    alignas(ALIGN) unsigned char block[]; /* everything that cJSON has allocated */
};

/* What is left of the block of the document that this thread is building. */
static _Thread_local unsigned char *block_next, *block_end;

static const cJSON *node(const struct kt_json_value *value)
{
    return (const cJSON *)(const void *)value;
}

/* cJSON's own questions are calls into a library. */
static bool is_object(const cJSON *item)
{
    return (item->type & 0xFF) == cJSON_Object;
}

static bool is_container(const cJSON *item)
{
    return (item->type & 0xFF) == cJSON_Array || is_object(item);
}

static const struct kt_json_value *value_of(const cJSON *item)
{
    return (const struct kt_json_value *)(const void *)item;
}

static void *take(size_t size)
{
    size_t padded = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (padded < size || padded > (size_t)(block_end - block_next)) {
        return NULL;
    }
    void *taken = block_next;
    block_next += padded;
    return taken;
}

static void give_back(void *taken)
{
    (void)taken; /* with the whole block */
}

static void set_hooks(void)
{
    cJSON_Hooks hooks = {take, give_back};
    cJSON_InitHooks(&hooks);
}

static enum kt_status fail_memory(size_t len, struct kt_error *err)
{
    return kt_fail(err, KT_NO_MEMORY, "no memory for a JSON document of %zu bytes", len);
}

/* The check has told how many nodes there will be; their texts are together no longer than the
 * document. cJSON gives no reason, but after the check memory is all that it can lack. */
static enum kt_status build(struct kt_str text, size_t values, struct kt_json **ret_json,
                            struct kt_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_hooks);
    size_t bytes = text.len + values * NODE_BYTES;
    struct kt_json *json = kt_malloc(sizeof(*json) + bytes);
    if (!json) {
        return fail_memory(text.len, err);
    }
    block_next = json->block;
    block_end = json->block + bytes;
    json->root = cJSON_ParseWithLengthOpts(text.data, text.len, NULL, 0);
    enum kt_status status =
        json->root ? kt_json_check_unique(json->root, err) : fail_memory(text.len, err);
    if (status != KT_OK) {
        kt_json_free(&json);
        return status;
    }
    *ret_json = json;
    return KT_OK;
}

size_t kt_json_values_at_most(struct kt_str text)
{
    size_t values = 1;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        values += (size_t)(c == ',') + (size_t)(c == '[') + (size_t)(c == '{');
    }
    return values < KT_JSON_VALUES_MAX ? values : KT_JSON_VALUES_MAX;
}

size_t kt_json_parse_bytes(struct kt_str text)
{
    return text.len + VALUE_BYTES * kt_json_values_at_most(text);
}

enum kt_status kt_json_parse(struct kt_str text, int max_depth, struct kt_json **ret_json,
                             struct kt_error *err)
{
    KT_AUTOFREE char *copy = NULL;
    size_t values = 0;
    enum kt_status status = kt_json_check(text, max_depth, &copy, &values, err);
    return status == KT_OK ? build(copy ? kt_str_n(copy, text.len) : text, values, ret_json, err)
                           : status;
}

void kt_json_free(struct kt_json **json)
{
    kt_free(*json);
    *json = NULL;
}

const struct kt_json_value *kt_json_root(const struct kt_json *json)
{
    return value_of(json->root);
}

enum kt_json_type kt_json_type(const struct kt_json_value *value)
{
    switch (node(value)->type & 0xFF) {
    case cJSON_NULL:
        return KT_JSON_NULL;
    case cJSON_True:
    case cJSON_False:
        return KT_JSON_BOOL;
    case cJSON_Number:
        return KT_JSON_NUMBER;
    case cJSON_String:
        return KT_JSON_STRING;
    case cJSON_Array:
        return KT_JSON_ARRAY;
    default:
        KT_ASSERT(is_object(node(value)));
        return KT_JSON_OBJECT;
    }
}

const char *kt_json_type_name(enum kt_json_type type)
{
    static const char *const names[] = {
        [KT_JSON_NULL] = "null",       [KT_JSON_BOOL] = "true or false",
        [KT_JSON_NUMBER] = "a number", [KT_JSON_STRING] = "a string",
        [KT_JSON_ARRAY] = "an array",  [KT_JSON_OBJECT] = "an object",
    };
    KT_ASSERT((size_t)type < KT_ARRAY_LEN(names));
    return names[type];
}

/* Texts hold no NUL: the check refuses \u0000 and raw control characters. */
struct kt_str kt_json_string(const struct kt_json_value *value)
{
    KT_ASSERT(cJSON_IsString(node(value)));
    return kt_str(node(value)->valuestring);
}

/* Adding 0 turns -0 into 0 and changes nothing else. */
double kt_json_number(const struct kt_json_value *value)
{
    KT_ASSERT(cJSON_IsNumber(node(value)));
    return node(value)->valuedouble + 0.0;
}

bool kt_json_bool(const struct kt_json_value *value)
{
    KT_ASSERT(cJSON_IsBool(node(value)));
    return cJSON_IsTrue(node(value));
}

size_t kt_json_count(const struct kt_json_value *value)
{
    size_t count = 0;
    KT_ASSERT(is_container(node(value)));
    for (const cJSON *item = node(value)->child; item; item = item->next) {
        count++;
    }
    return count;
}

const struct kt_json_value *kt_json_next(const struct kt_json_value *container,
                                         const struct kt_json_value *previous)
{
    KT_ASSERT(is_container(node(container)));
    return value_of(previous ? node(previous)->next : node(container)->child);
}

struct kt_str kt_json_name(const struct kt_json_value *member)
{
    KT_ASSERT(node(member)->string);
    return kt_str(node(member)->string);
}

const struct kt_json_value *kt_json_member_at(const struct kt_json_value *object, const char *name,
                                              size_t *ret_index)
{
    KT_ASSERT(is_object(node(object)));
    size_t index = 0;
    for (const cJSON *item = node(object)->child; item; item = item->next, index++) {
        /* Most are not it, which the first byte tells. */
        if (item->string[0] == name[0] && strcmp(item->string, name) == 0) {
            *ret_index = index;
            return value_of(item);
        }
    }
    return NULL;
}

const struct kt_json_value *kt_json_member(const struct kt_json_value *object, const char *name)
{
    size_t index;
    return kt_json_member_at(object, name, &index);
}

const struct kt_json_value *kt_json_member_as(const struct kt_json_value *object, const char *name,
                                              enum kt_json_type type)
{
    const struct kt_json_value *member =
        object && is_object(node(object)) ? kt_json_member(object, name) : NULL;
    return member && kt_json_type(member) == type ? member : NULL;
}
