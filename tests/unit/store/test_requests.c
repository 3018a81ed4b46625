/* SPDX-License-Identifier: MIT */
/* Requests with a key: carried out once, alike on every node, for as long as the log's time says.
 */
#include "base/fs.h"
#include "store/apply_internal.h"
#include "tests/unit/store/store_help.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static struct kt_error err;

struct asked {
    const char *key;
    int64_t wall_ms;
    int value; /* which body */
};

static void body_of(int value, struct kt_buf *ret_body)
{
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    help_add(builder, &(struct help_record){"s", value, "", HELP_NO_D, "a", value});
    if (kt_change_encode(builder, ret_body, &err) != KT_OK) {
        help_fatal("encode", &err);
    }
    kt_change_builder_free(&builder);
}

/* All of them in one transaction, appended and, if wanted, applied. */
static void ask_all(struct kt_store *store, const struct asked *asked, size_t count, bool apply,
                    struct kt_apply_result *ret_results)
{
    struct kt_entry entries[8];
    struct kt_buf bodies[8];
    uint64_t seq = help_end(store);
    for (size_t i = 0; i < count; i++) {
        kt_buf_init(&bodies[i], 0);
        body_of(asked[i].value, &bodies[i]);
        entries[i] = (struct kt_entry){seq + 1 + i, 1, asked[i].wall_ms, kt_str(asked[i].key),
                                       kt_buf_str(&bodies[i])};
    }
    if (kt_store_log_append(store, entries, count, seq + count, &err) != KT_OK ||
        (apply && kt_store_apply(store, entries, count, ret_results, &err) != KT_OK)) {
        help_fatal("append or apply", &err);
    }
    for (size_t i = 0; i < count; i++) {
        kt_buf_done(&bodies[i]);
    }
}

static struct kt_apply_result ask(struct kt_store *store, const char *key, int64_t wall_ms,
                                  int value)
{
    struct kt_apply_result result = {0};
    ask_all(store, &(struct asked){key, wall_ms, value}, 1, true, &result);
    return result;
}

static struct kt_store *found(int64_t max_keys, int64_t window_ms)
{
    struct kt_store *store = help_open(help_path());
    struct kt_change_epoch_start start = {.epoch_id = KT_STR("0123456789abcdef"),
                                          .first = true,
                                          .max_indicators = 2,
                                          .max_keys = max_keys,
                                          .key_window_ms = window_ms};
    struct kt_buf bytes;
    kt_buf_init(&bytes, 0);
    kt_change_encode_epoch_start(&start, &bytes);
    (void)help_commit(store, kt_buf_str(&bytes), true);
    kt_buf_done(&bytes);
    return store;
}

static void reopen(struct kt_store **store)
{
    char path[400];
    kt_str_copy(path, sizeof(path), kt_str((*store)->path));
    kt_store_close(store);
    *store = help_open(path);
}

#define CHECK_RESULT(result, status_, revision_, records_)                                         \
    do {                                                                                           \
        struct kt_apply_result r_ = (result);                                                      \
        CHECK_STR(kt_status_name(r_.status), kt_status_name(status_));                             \
        CHECK_INT(r_.revision, revision_);                                                         \
        CHECK_INT(r_.records, records_);                                                           \
    } while (0)

static void a_repeated_request_changes_nothing_and_comes_to_the_first_ones_result(void)
{
    struct kt_store *store = found(0, 0);
    CHECK_RESULT(ask(store, "k", 5000, 1), KT_OK, 2, 1);
    CHECK_RESULT(ask(store, "", 5001, 2), KT_OK, 3, 1);
    struct kt_apply_result again = ask(store, "k", 5002, 1);
    CHECK_RESULT(again, KT_OK, 2, 1);
    CHECK_INT(again.seq, 4);
    CHECK_INT(again.values, 1);
    CHECK_INT(again.subjects, 1);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/ a=1; 2/ a=2");
    struct kt_series *series = help_series(store, "s");
    CHECK_INT(kt_series_record_count(series), 2);
    kt_series_unref(&series);
    reopen(&store);
    CHECK_RESULT(ask(store, "k", 5003, 1), KT_OK, 2, 1);
    CHECK_INT(kt_store_applied(store), 5);
    kt_store_close(&store);
}

static void the_same_key_with_another_body_is_a_mismatch_that_is_not_kept(void)
{
    struct kt_store *store = found(0, 0);
    CHECK_RESULT(ask(store, "k", 5000, 1), KT_OK, 2, 1);
    struct kt_apply_result other = ask(store, "k", 5001, 2);
    CHECK_RESULT(other, KT_IDEMPOTENCY_MISMATCH, 3, 0);
    CHECK_STR(other.field, "Idempotency-Key");
    CHECK_RESULT(ask(store, "k", 5002, 1), KT_OK, 2, 1);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/ a=1");
    kt_store_close(&store);
}

static void requests_of_one_transaction_see_each_other(void)
{
    struct kt_store *store = found(0, 0);
    struct kt_apply_result results[5];
    struct asked asked[] = {
        {"k", 5000, 1}, {"k", 5000, 1}, {"l", 5000, 1}, {"k", 5000, 2}, {"", 5000, 3}};
    ask_all(store, asked, 5, true, results);
    CHECK_RESULT(results[0], KT_OK, 2, 1);
    CHECK_RESULT(results[1], KT_OK, 2, 1);
    CHECK_RESULT(results[2], KT_OK, 4, 1);
    CHECK_RESULT(results[3], KT_IDEMPOTENCY_MISMATCH, 5, 0);
    CHECK_RESULT(results[4], KT_OK, 6, 1);
    kt_store_close(&store);
}

static void what_the_log_redoes_is_known_as_well(void)
{
    struct kt_store *store = found(0, 0);
    ask_all(store, (struct asked[]){{"k", 5000, 1}, {"k", 5001, 1}}, 2, false, NULL);
    reopen(&store);
    CHECK_INT(kt_store_applied(store), 3);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/ a=1");
    CHECK_RESULT(ask(store, "k", 5002, 1), KT_OK, 2, 1);
    CHECK_RESULT(ask(store, "k", 5003, 7), KT_IDEMPOTENCY_MISMATCH, 5, 0);
    kt_store_close(&store);
}

static void a_refusal_is_a_result_that_is_told_again(void)
{
    struct kt_store *store = found(0, 0); /* two indicators at most */
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_buf body;
    struct kt_apply_result results[2];
    kt_buf_init(&body, 0);
    help_add(builder, &(struct help_record){"s", 1, "", HELP_NO_D, "a", 1, "b", 1});
    help_add(builder, &(struct help_record){"s", 2, "", HELP_NO_D, "c", 1});
    CHECK_OK(kt_change_encode(builder, &body, &err));
    for (uint64_t i = 0; i < 2; i++) {
        struct kt_entry entry = {2 + i, 1, 5000, KT_STR("k"), kt_buf_str(&body)};
        CHECK_OK(kt_store_log_append(store, &entry, 1, 2, &err));
        CHECK_OK(kt_store_apply(store, &entry, 1, &results[i], &err));
        CHECK_RESULT(results[i], KT_BAD_VALUE, 2, 0);
        CHECK_STR(results[i].field, "indicators");
    }
    CHECK_STR(results[0].message, results[1].message);
    CHECK(results[0].message[0] != '\0');
    kt_buf_done(&body);
    kt_change_builder_free(&builder);
    kt_store_close(&store);
}

static void a_key_is_forgotten_by_the_logs_own_time(void)
{
    struct kt_store *store = found(0, 0);
    CHECK_RESULT(ask(store, "k", 5000, 1), KT_OK, 2, 1);
    CHECK_RESULT(ask(store, "k", 5000 + DAY - 1, 1), KT_OK, 2, 1); /* and is not kept for longer */
    CHECK_RESULT(ask(store, "k", 5000 + DAY, 2), KT_OK, 4, 1);
    CHECK_RESULT(ask(store, "k", 5000 + DAY + 1, 2), KT_OK, 4, 1);
    kt_store_close(&store);
    store = found(0, 1000);
    CHECK_RESULT(ask(store, "k", 5000, 1), KT_OK, 2, 1);
    reopen(&store); /* the window is the cluster's, and stays */
    CHECK_RESULT(ask(store, "k", 5999, 1), KT_OK, 2, 1);
    CHECK_RESULT(ask(store, "k", 6000, 1), KT_OK, 4, 1);
    kt_store_close(&store);
}

static void a_gateways_key_lives_ten_minutes_and_an_old_one_is_refused(void)
{
    struct kt_store *store = found(0, 0);
    int64_t now = 1000 * HOUR;
    char key[64], old[64], ahead[64], soon[64];
    snprintf(key, sizeof(key), "g-%lld-1f", (long long)now - 1000);
    CHECK_RESULT(ask(store, key, now, 1), KT_OK, 2, 1);
    CHECK_RESULT(ask(store, key, now + 10 * MINUTE - 2000, 1), KT_OK, 2, 1);
    /* From here on it would be refused if nobody knew it. */
    CHECK_RESULT(ask(store, key, now + 10 * MINUTE - 1, 1), KT_OK, 2, 1);
    struct kt_apply_result late = ask(store, key, now + 10 * MINUTE, 1);
    CHECK_RESULT(late, KT_UNAVAILABLE, 5, 0);
    CHECK_STR(late.field, "Idempotency-Key");
    snprintf(old, sizeof(old), "g-%lld", (long long)(now + HOUR - 10 * MINUTE));
    CHECK_RESULT(ask(store, old, now + HOUR, 1), KT_UNAVAILABLE, 6, 0);
    snprintf(ahead, sizeof(ahead), "g-%lld-x", (long long)(now + HOUR + 10 * MINUTE));
    CHECK_RESULT(ask(store, ahead, now + HOUR, 1), KT_UNAVAILABLE, 7, 0);
    /* A clock ahead: known until its age alone refuses it. */
    snprintf(soon, sizeof(soon), "g-%lld-x", (long long)(now + HOUR + 5 * MINUTE));
    CHECK_RESULT(ask(store, soon, now + HOUR, 9), KT_OK, 8, 1);
    CHECK_RESULT(ask(store, soon, now + HOUR + 15 * MINUTE - 1, 9), KT_OK, 8, 1);
    CHECK_RESULT(ask(store, soon, now + HOUR + 15 * MINUTE, 9), KT_UNAVAILABLE, 10, 0);
    /* A client's own key of that beginning has no time to be judged by. */
    CHECK_RESULT(ask(store, "g-mine", now + 2 * HOUR, 3), KT_OK, 11, 1);
    CHECK_RESULT(ask(store, "g-12x", now + 2 * HOUR, 3), KT_OK, 12, 1);
    CHECK_RESULT(ask(store, "g-mine", now + 2 * HOUR + 10 * MINUTE, 3), KT_OK, 13, 1);
    kt_store_close(&store);
}

static void keys_of_gateways_leave_room_for_those_of_clients(void)
{
    struct kt_store *store = found(4, 0);
    int64_t now = 1000 * HOUR;
    char first[64], second[64], third[64], batch[64];
    snprintf(first, sizeof(first), "g-%lld-1", (long long)now);
    snprintf(second, sizeof(second), "g-%lld-2 1", (long long)now);
    snprintf(third, sizeof(third), "g-%lld-3", (long long)now);
    snprintf(batch, sizeof(batch), "g-%lld-2 2", (long long)now);
    CHECK_RESULT(ask(store, first, now, 1), KT_OK, 2, 1);
    CHECK_RESULT(ask(store, second, now, 2), KT_OK, 3, 1);
    CHECK_RESULT(ask(store, third, now, 3), KT_UNAVAILABLE, 4, 0);
    /* An import that has begun goes on. */
    CHECK_RESULT(ask(store, batch, now, 4), KT_OK, 5, 1);
    CHECK_RESULT(ask(store, "mine", now, 5), KT_OK, 6, 1);
    CHECK_RESULT(ask(store, "another", now, 6), KT_UNAVAILABLE, 7, 0);
    CHECK_RESULT(ask(store, first, now, 1), KT_OK, 2, 1);
    kt_store_close(&store);
}

static void batches_have_keys_that_no_client_can_send(void)
{
    char dest[KT_REQUEST_BATCH_KEY_MAX + 1], longest[KT_REQUEST_KEY_MAX + 1];
    CHECK_SLICE(kt_request_batch_key(KT_STR("k"), 12, dest), "k 12");
    CHECK(!kt_is_visible_ascii(kt_request_batch_key(KT_STR("k"), 12, dest), 200));
    memset(longest, 'x', KT_REQUEST_KEY_MAX);
    longest[KT_REQUEST_KEY_MAX] = '\0';
    CHECK_INT(kt_request_batch_key(kt_str(longest), UINT64_MAX, dest).len,
              KT_REQUEST_BATCH_KEY_MAX);
    struct kt_store *store = found(0, 0);
    int64_t now = 1000 * HOUR;
    char key[64];
    snprintf(key, sizeof(key), "g-%lld-1 1", (long long)now);
    CHECK_RESULT(ask(store, key, now, 1), KT_OK, 2, 1);
    /* An import goes on for hours; its first batch alone is judged by age. */
    snprintf(key, sizeof(key), "g-%lld-1 2", (long long)now);
    CHECK_RESULT(ask(store, key, now + HOUR, 2), KT_OK, 3, 1);
    snprintf(key, sizeof(key), "g-%lld-1 1", (long long)now);
    CHECK_RESULT(ask(store, key, now + HOUR, 1), KT_UNAVAILABLE, 4, 0);
    kt_store_close(&store);
}

static void beyond_the_clusters_number_of_keys_new_ones_are_refused(void)
{
    struct kt_store *store = found(2, 1000);
    CHECK_RESULT(ask(store, "a", 5000, 1), KT_OK, 2, 1);
    CHECK_RESULT(ask(store, "b", 5100, 2), KT_OK, 3, 1);
    struct kt_apply_result third = ask(store, "c", 5200, 3);
    CHECK_RESULT(third, KT_UNAVAILABLE, 4, 0);
    CHECK_INT(kt_status_http(third.status), 503);
    CHECK_RESULT(ask(store, "b", 5300, 2), KT_OK, 3, 1); /* known ones go on */
    CHECK_RESULT(ask(store, "", 5300, 4), KT_OK, 6, 1);  /* and those without */
    reopen(&store);
    CHECK_RESULT(ask(store, "c", 5999, 3), KT_UNAVAILABLE, 7, 0);
    CHECK_RESULT(ask(store, "c", 6000, 3), KT_OK, 8, 1); /* a is over */
    CHECK_RESULT(ask(store, "d", 6001, 3), KT_UNAVAILABLE, 9, 0);
    kt_store_close(&store);
}

/* Many that end at once are removed a thousand at a time; those that wait are over all the same. */
static void ended_requests_are_removed_in_pieces(void)
{
    enum { KEYS = 2500 };
    struct kt_store *store = found(KEYS, 1000);
    struct kt_apply_result results[8];
    char keys[8][16];
    struct asked asked[8];
    for (int i = 0; i < KEYS;) {
        size_t count = 0;
        for (; count < 8 && i < KEYS; i++, count++) {
            snprintf(keys[count], sizeof(keys[count]), "k%05d", i);
            asked[count] = (struct asked){keys[count], 5000, 1};
        }
        ask_all(store, asked, count, true, results);
    }
    struct kt_apply_result last = ask(store, "k02499", 6000, 2);
    CHECK_STR(kt_status_name(last.status), "OK"); /* with another body: the old one was over */
    CHECK_INT(store->applier->request_count, KEYS - 1000);
    CHECK_STR(kt_status_name(ask(store, "new", 6000, 1).status), "OK");
    CHECK_INT(store->applier->request_count, KEYS - 2000 + 1);
    CHECK_STR(kt_status_name(ask(store, "newer", 6001, 1).status), "OK");
    CHECK_INT(store->applier->request_count, 3);
    CHECK_STR(kt_status_name(ask(store, "k02499", 6002, 1).status), "IDEMPOTENCY_MISMATCH");
    kt_store_close(&store);
}

static enum kt_status find(struct kt_store *store, const char *key, int value, int64_t now_ms,
                           struct kt_apply_result *ret_result)
{
    struct kt_buf body;
    kt_buf_init(&body, 0);
    body_of(value, &body);
    enum kt_status status =
        kt_store_find_request(store, kt_str(key), kt_buf_str(&body), now_ms, ret_result, &err);
    kt_buf_done(&body);
    return status;
}

static void what_is_done_can_be_looked_up(void)
{
    struct kt_store *store = found(0, 0);
    struct kt_apply_result result = {0};
    CHECK_FAILS(find(store, "k", 1, 5000, &result), KT_NOT_FOUND);
    (void)ask(store, "k", 5000, 1);
    CHECK_OK(find(store, "k", 1, 5001, &result));
    CHECK_RESULT(result, KT_OK, 2, 1);
    CHECK_FAILS(find(store, "k", 2, 5001, &result), KT_IDEMPOTENCY_MISMATCH);
    CHECK_FAILS(find(store, "k", 1, 5000 + DAY, &result), KT_NOT_FOUND);
    kt_store_close(&store);
}

/* --- a file of the first schema --- */

/* Puts a data file of schema 1 in place of the store's, which had applied all of `applied`. */
static void put_old_file(const char *path, uint64_t applied)
{
    struct sqlite3 *db = NULL;
    char sql[800], id[KT_ID_LEN + 1];
    struct kt_buf text;
    kt_buf_init(&text, 0);
    if (db_open(help_log_path(path), DB_LOG, &db, &err) != KT_OK ||
        db_meta_get_text(db, "node_id", &text, &err) != KT_OK ||
        db_exec(db, "UPDATE meta SET value=1 WHERE name='commit_seq'", &err) != KT_OK) {
        help_fatal("log", &err);
    }
    db_close(&db);
    kt_str_copy(id, sizeof(id), kt_buf_str(&text));
    kt_buf_done(&text);
    snprintf(sql, sizeof(sql), "%s-wal", path);
    remove(sql);
    remove(path);
    if (db_open(path, DB_DATA, &db, &err) != KT_OK ||
        db_migrate(db, path, store_data_migrations, 1, &err) != KT_OK) {
        help_fatal("schema 1", &err);
    }
    db_close(&db);
    snprintf(sql, sizeof(sql),
             "INSERT INTO meta VALUES('node_id','%s'),('applied_seq',%d),('record_count',9);"
             "INSERT INTO indicator VALUES(0,'a');"
             "INSERT INTO subject VALUES(0,'s','old','','','',2);"
             "INSERT INTO topic VALUES(0,'pool'); INSERT INTO stay VALUES(0,0,0,9);"
             "INSERT INTO tag VALUES(0,'t','v');"
             "INSERT INTO version VALUES(0,1,'',1,2,0,0,'{\"a\":1}')",
             id, (int)applied);
    help_sql(path, sql);
}

static void a_data_file_of_the_first_schema_is_made_again_from_the_log(void)
{
    struct kt_store *store = found(0, 0);
    struct kt_change_builder *builder = kt_change_builder_new(1 << 20);
    struct kt_change_subject named = {.key = KT_STR("s"), .name = {KT_NAMED, KT_STR("one")}};
    (void)ask(store, "", 5000, 1);
    CHECK_OK(kt_change_add_subject(builder, &named, &err));
    (void)help_commit_builder(store, builder);
    kt_change_builder_free(&builder);
    char path[400];
    kt_str_copy(path, sizeof(path), kt_str(store->path));
    kt_store_close(&store);
    put_old_file(path, 3);
    store = help_open(path);
    struct kt_store_identity identity;
    kt_store_identity(store, &identity);
    CHECK_INT(identity.commit_seq, 3); /* although the log alone knew of 1 */
    CHECK_INT(kt_store_applied(store), 3);
    CHECK_STR(help_tell(store, "s", ALL_D, ALL_W), "1/ a=1");
    struct kt_catalogue *view = kt_store_view(store);
    const struct kt_subject *s = kt_catalogue_find_subject(view, KT_STR("s"));
    CHECK_SLICE(s->name, "one");
    CHECK_INT(s->changed_revision, 2);
    CHECK_INT(s->touched_revision, 3);
    CHECK_INT(kt_catalogue_record_count(view), 1);
    CHECK_INT(kt_catalogue_topic_count(view), 0);
    kt_catalogue_unref(&view);
    CHECK_RESULT(ask(store, "k", 6000, 2), KT_OK, 4, 1);
    kt_store_close(&store);
    /* A log that ends before what the file had applied is found out as before. */
    put_old_file(path, 5);
    struct kt_store_options options = {.path = path, .read_connections = 2};
    CHECK_FAILS(kt_store_open(&options, &store, &err), KT_CORRUPT);
}

static const struct kt_test tests[] = {
    TEST(a_repeated_request_changes_nothing_and_comes_to_the_first_ones_result),
    TEST(the_same_key_with_another_body_is_a_mismatch_that_is_not_kept),
    TEST(requests_of_one_transaction_see_each_other),
    TEST(what_the_log_redoes_is_known_as_well),
    TEST(a_refusal_is_a_result_that_is_told_again),
    TEST(a_key_is_forgotten_by_the_logs_own_time),
    TEST(a_gateways_key_lives_ten_minutes_and_an_old_one_is_refused),
    TEST(keys_of_gateways_leave_room_for_those_of_clients),
    TEST(batches_have_keys_that_no_client_can_send),
    TEST(beyond_the_clusters_number_of_keys_new_ones_are_refused),
    TEST(ended_requests_are_removed_in_pieces),
    TEST(what_is_done_can_be_looked_up),
    TEST(a_data_file_of_the_first_schema_is_made_again_from_the_log),
};

KT_TEST_MAIN(tests)
