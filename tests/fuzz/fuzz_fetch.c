/* SPDX-License-Identifier: MIT */
/* What travels between a follower and its leader: a request ('q' first) or an answer. */
#include "fuzz.h"

#include "replica/fetch.h"

static void request(struct kt_str json)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_request parsed, again;
    struct kt_buf text;
    if (kt_fetch_request_parse(json, &parsed, &err) != KT_OK) {
        return;
    }
    kt_buf_init(&text, 0);
    kt_fetch_request_format(&parsed, &text);
    FUZZ_CHECK(kt_fetch_request_parse(kt_buf_str(&text), &again, &err) == KT_OK);
    FUZZ_CHECK(again.after == parsed.after && again.vector_count == parsed.vector_count &&
               again.commit == parsed.commit);
    kt_fetch_request_done(&again);
    kt_fetch_request_done(&parsed);
    kt_buf_done(&text);
}

static void answer(struct kt_str bytes)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_fetch_head head;
    struct kt_str frames;
    if (kt_fetch_head_parse(bytes, &head, &frames, &err) != KT_OK) {
        return;
    }
    FUZZ_CHECK(frames.data + frames.len == bytes.data + bytes.len);
    struct kt_entry entry;
    bool more = true;
    while (more && kt_fetch_frame_next(&frames, &entry, &more, &err) == KT_OK) {
        FUZZ_CHECK(!more || entry.body.data + entry.body.len <= bytes.data + bytes.len);
    }
    kt_fetch_head_done(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_str bytes = fuzz_str(data, size);
    if (size > 0 && data[0] == 'q') {
        request(kt_str_n(bytes.data + 1, bytes.len - 1));
    } else {
        answer(bytes);
    }
    return 0;
}
