/* SPDX-License-Identifier: MIT */
/* What etcd, or whoever answers at its port, may say. */
#include "fuzz.h"

#include "etcd/etcd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_str text = fuzz_str(data, size);
    struct kt_error err = KT_ERROR_INIT;
    struct kt_etcd_list list;
    struct kt_etcd_watch_part part;
    bool succeeded;
    int64_t revision, lease, ttl_s;
    struct kt_buf token;
    kt_buf_init(&token, 0);
    (void)!kt_etcd_decode_token(text, &token, &err);
    kt_buf_done(&token);
    kt_etcd_list_init(&list);
    if (kt_etcd_decode_range(text, &list, &err) == KT_OK) {
        for (size_t i = 0; i < list.count; i++) {
            FUZZ_CHECK(list.kvs[i].key.data && list.kvs[i].value.len <= size);
        }
    }
    kt_etcd_list_done(&list);
    (void)!kt_etcd_decode_txn(text, &succeeded, &revision, &err);
    (void)!kt_etcd_decode_lease(text, &lease, &ttl_s, &err);
    if (kt_etcd_decode_watch(text, &part, &err) == KT_OK) {
        kt_etcd_watch_part_done(&part);
    }
    FUZZ_CHECK(kt_etcd_decode_error(500, text, &err) != KT_OK && err.message[0] != '\0');
    return 0;
}
