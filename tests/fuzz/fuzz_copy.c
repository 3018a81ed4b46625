/* SPDX-License-Identifier: MIT */
/* A full copy as it comes from the leader: whatever the bytes are and however they are cut, it is
 * refused with a reason, or is a database that holds together; and it leaves no file when it is
 * dropped. The first byte says where the answer is cut.
 */
#include "fuzz.h"

#include "base/fs.h"
#include "base/mem.h"
#include "replica/copy.h"
#include "unit/kt_test.h"

#include <string.h>

static struct kt_store *store;
static char path[512], half[560];

static void close_store(void)
{
    kt_store_close(&store);
    kt_test_dir_remove();
}

/* Of cluster 00000000000000cc, with the mark of a copy. */
static void open_store(void)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_store_kept kept = {
        .cluster_id = "00000000000000cc", .config_json = KT_STR("{}"), .half_copy = true};
    kt_test_path(path, sizeof(path), "taker.db");
    snprintf(half, sizeof(half), "%s.copy", path);
    struct kt_store_options options = {.path = path, .read_connections = 1};
    FUZZ_CHECK(kt_store_open(&options, &store, &err) == KT_OK);
    FUZZ_CHECK(kt_store_keep(store, &kept, &err) == KT_OK);
    FUZZ_CHECK(atexit(close_store) == 0);
}

static void head(struct kt_str json)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_copy_head parsed, again;
    struct kt_epoch *vector = NULL, *vector_again = NULL;
    struct kt_buf text;
    if (kt_copy_head_parse(json, &parsed, &vector, &err) != KT_OK) {
        FUZZ_CHECK(err.message[0] != '\0');
        return;
    }
    kt_buf_init(&text, 0);
    kt_copy_head_format(&parsed, &text);
    FUZZ_CHECK(kt_copy_head_parse(kt_str_n(text.data + 4, text.len_bytes - 4), &again,
                                  &vector_again, &err) == KT_OK);
    FUZZ_CHECK(strcmp(again.cluster, parsed.cluster) == 0 && again.bytes == parsed.bytes &&
               again.applied_seq == parsed.applied_seq &&
               again.vector_count == parsed.vector_count);
    kt_buf_done(&text);
    kt_free(vector);
    kt_free(vector_again);
}

static void answer(struct kt_str bytes, size_t most)
{
    struct kt_error err = KT_ERROR_INIT;
    struct kt_copy_taker *taker = NULL;
    enum kt_status status = kt_copy_taker_new(store, &taker, &err);
    while (status == KT_OK && bytes.len > 0) {
        size_t len = bytes.len < most ? bytes.len : most;
        status = kt_copy_taker_put(taker, kt_str_n(bytes.data, len), &err);
        bytes.data += len;
        bytes.len -= len;
    }
    if (status == KT_OK) {
        status = kt_copy_taker_check(taker, &err);
    }
    FUZZ_CHECK(status == KT_OK || err.message[0] != '\0');
    kt_copy_taker_free(&taker);
    FUZZ_CHECK(!kt_fs_exists(half));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_str bytes = fuzz_str(data, size);
    if (!store) {
        open_store();
    }
    if (size > 0 && data[0] == '{') {
        head(bytes);
    } else if (size > 0) {
        answer(kt_str_n(bytes.data + 1, bytes.len - 1), data[0] + 1u);
    }
    return 0;
}
