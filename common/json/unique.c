/* SPDX-License-Identifier: MIT */
/* unique.c - finds doubled members, after escapes have been decoded.
 *
 * Small objects are compared pairwise. Larger ones are sorted by a merge sort of our own: unlike a
 * hash table or quicksort it has no input that makes it quadratic, and it says when it gets no
 * memory. */
#include "json/json_internal.h"

#include "base/mem.h"

#include <cjson/cJSON.h>
#include <string.h>

enum { PAIRWISE_MAX = 12 };

static enum kt_status fail_doubled(const char *name, struct kt_error *err)
{
    char shown[84];
    kt_str_copy(shown, sizeof(shown), kt_str(name));
    return kt_fail_field(err, KT_BAD_VALUE, name, "JSON: the member \"%s\" is given twice", shown);
}

/* Merges the runs [low, mid) and [mid, high) of `from` into `to`. */
static void merge(const char **from, const char **to, size_t low, size_t mid, size_t high)
{
    size_t left = low, right = mid;
    for (size_t i = low; i < high; i++) {
        bool take_left = right == high || (left < mid && strcmp(from[left], from[right]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

/* Sorts names[0..count), with names[count..2*count) as scratch; returns where the result is. */
static const char **sort_names(const char **names, size_t count)
{
    const char **from = names, **to = names + count;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t low = 0; low < count; low += 2 * run) {
            size_t mid = low + run < count ? low + run : count;
            size_t high = low + 2 * run < count ? low + 2 * run : count;
            merge(from, to, low, mid, high);
        }
        const char **sorted = to;
        to = from;
        from = sorted;
    }
    return from;
}

static enum kt_status check_large(const cJSON *object, size_t count, struct kt_error *err)
{
    KT_AUTOFREE const char **names = kt_reallocarray(NULL, count, 2 * sizeof(*names));
    if (!names) {
        return kt_fail(err, KT_NO_MEMORY, "no memory to check a JSON object");
    }
    size_t at = 0;
    for (const cJSON *member = object->child; member; member = member->next) {
        names[at++] = member->string;
    }
    const char **sorted = sort_names(names, count);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1], sorted[i]) == 0) {
            return fail_doubled(sorted[i], err);
        }
    }
    return KT_OK;
}

static enum kt_status check_object(const cJSON *object, struct kt_error *err)
{
    size_t count = 0;
    for (const cJSON *member = object->child; member; member = member->next) {
        count++;
    }
    if (count > PAIRWISE_MAX) {
        return check_large(object, count, err);
    }
    for (const cJSON *member = object->child; member; member = member->next) {
        for (const cJSON *other = member->next; other; other = other->next) {
            if (strcmp(member->string, other->string) == 0) {
                return fail_doubled(other->string, err);
            }
        }
    }
    return KT_OK;
}

/* Recursion is bounded by the depth that the text was admitted with. */
enum kt_status kt_json_check_unique(const struct cJSON *root, struct kt_error *err)
{
    enum kt_status status = cJSON_IsObject(root) ? check_object(root, err) : KT_OK;
    for (const cJSON *item = root->child; item && status == KT_OK; item = item->next) {
        if (item->child) {
            status = kt_json_check_unique(item, err);
        }
    }
    return status;
}
