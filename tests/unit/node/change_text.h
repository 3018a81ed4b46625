/* change_text.h - an encoded change as text, to be compared with what a test expects.
 *
 *   subject KEY name="N" category=null topics=replace[p@open..86399] tags{concept=[a,b],gone=[]}
 *   record KEY 1704067200 period="Q4" declared=1711756800 end="2023-12-31" x=1.5 y=null
 *
 * A line each, subjects first, in the change's order; what is not named is left out.
 *
 * Threads: any.
 * Owns:    nothing; the buffer is the caller's.
 * Fails:   change_text returns false and appends "undecodable: why".
 */
#ifndef KT_TEST_NODE_CHANGE_TEXT_H
#define KT_TEST_NODE_CHANGE_TEXT_H

#include "base/buf.h"

bool change_text(struct kt_str change, struct kt_buf *ret_text);

#endif
