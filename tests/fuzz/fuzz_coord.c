/* SPDX-License-Identifier: MIT */
/* The values that stand in etcd and the configuration kept on disk. What parses is written and
 * parsed again to the same.
 */
#include "fuzz.h"

#include "coord/coord_internal.h"

#include <string.h>

static void config(struct kt_str json)
{
    static struct kt_cluster_config parsed, again; /* large */
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf text;
    if (kt_cluster_config_parse(json, &parsed, &err) != KT_OK) {
        FUZZ_CHECK(err.message[0] != '\0');
        return;
    }
    FUZZ_CHECK(parsed.member_count <= KT_MEMBERS_MAX && parsed.in_sync_count <= KT_MEMBERS_MAX);
    kt_buf_init(&text, 0);
    kt_cluster_config_format(&parsed, &text);
    FUZZ_CHECK(kt_cluster_config_parse(kt_buf_str(&text), &again, &err) == KT_OK);
    FUZZ_CHECK(again.version == parsed.version && again.epoch == parsed.epoch &&
               again.member_count == parsed.member_count && strcmp(again.nonce, parsed.nonce) == 0);
    kt_buf_done(&text);
}

static void service(struct kt_str json)
{
    static struct kt_service parsed, again;
    struct kt_error err = KT_ERROR_INIT;
    struct kt_buf text;
    if (kt_service_parse(json, &parsed, &err) != KT_OK) {
        FUZZ_CHECK(err.message[0] != '\0');
        return;
    }
    kt_buf_init(&text, 0);
    kt_service_format(&parsed, &text);
    FUZZ_CHECK(kt_service_parse(kt_buf_str(&text), &again, &err) == KT_OK);
    FUZZ_CHECK(strcmp(again.id, parsed.id) == 0 && again.revision == parsed.revision &&
               again.role == parsed.role && again.state == parsed.state);
    kt_buf_done(&text);
}

/* What another node says that it sees. */
static void facts(struct kt_str json)
{
    struct kt_json *doc = NULL;
    struct kt_json_fields fields;
    struct coord_facts read;
    bool complete = false, reachable = false;
    struct kt_error err = KT_ERROR_INIT;
    if (kt_json_parse(json, KT_JSON_DEPTH_DEFAULT, &doc, &err) == KT_OK &&
        kt_json_fields_init(&fields, kt_json_root(doc), "", &err) == KT_OK &&
        kt_facts_read(&fields, "/p", &read, &complete, &reachable, &err) == KT_OK) {
        kt_facts_done(&read);
    } else {
        FUZZ_CHECK(err.message[0] != '\0');
    }
    kt_json_free(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_str json = fuzz_str(data, size);
    config(json);
    service(json);
    facts(json);
    return 0;
}
