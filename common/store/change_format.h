/* change_format.h - numbers that change_build.c and change_decode.c share; for common/store only.
 *
 * After u8 format and u8 kind, a SAVE is:
 *   count, texts                                      the string table
 *   subjects, stays, tags, tag values                 totals: the decoder allocates once
 *   subject*: key | u8 flags | u8 topics_mode and the named texts | stays | [leaves] | tags
 *     (leaves only in mode EDIT; the total of tag values counts them too)
 *   records, values                                   totals
 *   record*: subject | time | period | u8 flags | [declare] [end_date] [year] | count, values
 *   value: indicator * 2 + is_null | [f64]
 *   [u8 OPTION_IF_REVISION | revision]                only when asked for
 *   [u8 OPTION_RECORDED | revision | wall_ms]         the same
 * a DELETE is:
 *   u8 flags (1 = all) | count, subjects | from | to | count, periods | [options as above]
 * In a SAVE texts are indices into the table, numbers varints, times zigzag varints.
 *
 * Threads: none. Owns: nothing. Fails: never.
 */
#ifndef KT_CHANGE_FORMAT_H
#define KT_CHANGE_FORMAT_H

#include "store/change.h"

#define CHANGE_FORMAT 1

/* Flags of an optional text: two bits, the value of enum kt_named. */
#define NAMED_BITS 2
#define NAMED_MASK 3u

#define RECORD_DECLARE_GIVEN 1u
#define RECORD_END_DATE_SHIFT 1
#define RECORD_YEAR_SHIFT 3
#define RECORD_FLAGS_MAX 31u

#define OPTION_IF_REVISION 1u
#define OPTION_RECORDED 2u
#define DELETE_ALL 1u

#define SETTING_MAX_INDICATORS "max_indicators"
#define SETTING_MAX_KEYS "max_keys"
#define SETTING_KEY_WINDOW_MS "key_window_ms"

/* end_date and year stand beside indicators in a stored row (rowdata.h), so none may be so named.
 */
static inline bool change_indicator_ok(struct kt_str key)
{
    return key.len > 0 && !kt_str_eq_text(key, "end_date") && !kt_str_eq_text(key, "year");
}

static inline bool change_time_ok(int64_t time_s)
{
    return time_s >= KT_TIME_MIN && time_s <= KT_TIME_MAX;
}

/* change_generic.c: the body of a GENERIC; false when it is damaged. */
bool change_decode_generic(struct kt_rd *rd, struct kt_generic_change *ret_change);

#endif
