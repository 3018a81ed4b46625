/* SPDX-License-Identifier: MIT */
/* What a client sees of the gateway: its own paths, what is passed on, what is refused. */
#include <uv.h>

#include "rig.h"

#include "kt_test.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(path, len, body)                                                                      \
    "POST " path " HTTP/1.1\r\nHost: h\r\nContent-Length: " len "\r\n\r\n" body
#define SNAPSHOT "/data/kamaitachi/api/data/v1/snapshot"
#define SAVE "/data/kamaitachi/api/data/v1/save"

static struct rig rig;
static struct rig_answer answer;

#define BODY_HAS(text) CHECK(kt_str_find(kt_buf_str(&answer.body), kt_str(text)) >= 0)
#define HEAD_HAS(node, text) CHECK(kt_str_find(kt_buf_str(&(node)->last_head), kt_str(text)) >= 0)
#define HEAD_LACKS(node, text) CHECK(kt_str_find(kt_buf_str(&(node)->last_head), kt_str(text)) < 0)

static bool start_with_node(const char *const *settings, struct rig_node **ret_node)
{
    rig_answer_init(&answer);
    if (!rig_start(&rig, settings)) {
        return false;
    }
    *ret_node = rig_node_add(&rig, "{\"n\":1}");
    return *ret_node && rig_wait_up(&rig, 1);
}

static void stop(void)
{
    rig_stop(&rig);
    rig_answer_done(&answer);
}

static bool says_no_nodes(void *ctx)
{
    (void)ctx;
    return rig_call(&rig, GET("/health"), &answer) &&
           kt_str_find(kt_buf_str(&answer.body), KT_STR("\"status\":\"no nodes\"")) >= 0;
}

static void without_nodes_it_says_what_is_missing(void)
{
    rig_answer_init(&answer);
    CHECK(rig_start(&rig, NULL));
    CHECK(rig_wait(&rig, says_no_nodes, NULL, "the first list, an empty one"));
    CHECK_INT(answer.status, 503);
    CHECK(rig_call(&rig, GET("/health/live"), &answer));
    CHECK_INT(answer.status, 200);
    CHECK(rig_call(&rig, GET("/health/ready"), &answer));
    CHECK_INT(answer.status, 503);
    CHECK(rig_call(&rig, POST(SNAPSHOT, "2", "{}"), &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("no data node is registered in etcd under /kamaitachi");
    CHECK_SLICE(rig_answer_header(&answer, "Retry-After"), "1");
    CHECK(rig_call(&rig, POST(SAVE, "2", "{}"), &answer));
    CHECK_INT(answer.status, 503);
    CHECK_SLICE(rig_answer_header(&answer, "X-Kamaitachi-Outcome"), "none");
    CHECK(rig_call(&rig, GET("/cluster/leader"), &answer));
    CHECK_INT(answer.status, 503);
    stop();
}

static void own_paths_answer(void)
{
    struct rig_node *node;

    CHECK(start_with_node(NULL, &node));
    CHECK(rig_call(&rig, GET("/health"), &answer));
    CHECK_INT(answer.status, 200);
    BODY_HAS("{\"status\":\"ok\"");
    BODY_HAS("\"count\":1");
    BODY_HAS(node->addr);
    CHECK(rig_call(&rig, GET("/version"), &answer));
    CHECK_INT(answer.status, 200);
    BODY_HAS("\"version\":");
    CHECK(rig_lead(&rig, node));
    CHECK(rig_call(&rig, GET("/cluster/leader"), &answer));
    CHECK_INT(answer.status, 200);
    BODY_HAS(node->addr);
    CHECK(rig_call(&rig, GET("/cluster/info"), &answer));
    CHECK_INT(answer.status, 200);
    BODY_HAS("\"role\":\"leader\"");
    BODY_HAS("\"revision\":7");
    BODY_HAS("\"lag_ms\":3");
    CHECK(rig_call(&rig, GET("/no/such"), &answer));
    CHECK_INT(answer.status, 404);
    BODY_HAS("\"code\":\"not_found\"");
    CHECK(rig_call(&rig, POST("/health", "0", ""), &answer));
    CHECK_INT(answer.status, 405);
    CHECK_SLICE(rig_answer_header(&answer, "Allow"), "GET, HEAD");
    CHECK(rig_call(&rig, "HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 200);
    stop();
}

static void stats_are_asked_of_all_nodes_and_summed_up(void)
{
    static const char stats[] =
        "{\"status_code\":0,\"status_msg\":\"success\",\"data\":{\"total_records\":5,"
        "\"cache\":{\"entries\":2,\"hits\":3,\"misses\":1}}}";
    struct rig_node *node, *silent;

    CHECK(start_with_node(NULL, &node));
    node->text = stats;
    CHECK(rig_node_add(&rig, stats));
    silent = rig_node_add(&rig, "not json");
    CHECK(silent);
    CHECK(rig_wait_up(&rig, 3));
    CHECK(rig_call(&rig, GET("/kamaitachi/api/data/v1/stats"), &answer));
    CHECK_INT(answer.status, 200);
    BODY_HAS("\"nodes\":3");
    BODY_HAS("\"total_records\":5");
    BODY_HAS("\"ok\":false");
    BODY_HAS("\"aggregate\":{\"entries\":4,\"hits\":6,\"misses\":2,\"hit_rate\":\"75.00%\"}");
    BODY_HAS("\"gateway\":{");
    /* Behind /data it is a node's. */
    CHECK(rig_call(&rig, GET("/data/kamaitachi/api/data/v1/stats"), &answer));
    CHECK(kt_str_find(kt_buf_str(&answer.body), KT_STR("per_node")) < 0);
    stop();
}

static void a_request_is_passed_on_without_data_and_hop_by_hop_headers(void)
{
    struct rig_node *node;

    CHECK(start_with_node(NULL, &node));
    CHECK(rig_call(&rig,
                   "POST " SNAPSHOT "?a=%20b HTTP/1.1\r\nHost: example:9000\r\n"
                   "Content-Length: 2\r\nConnection: X-Drop, keep-alive\r\nX-Drop: 1\r\n"
                   "X-Keep: 2\r\nTE: trailers\r\nKeep-Alive: x\r\nUpgrade: h2c\r\n"
                   "Proxy-Authorization: secret\r\nX-Kamaitachi-Auth: v1 forged\r\n"
                   "Via: 1.0 edge\r\nX-Forwarded-For: 10.0.0.1\r\n"
                   "X-Request-Id: my-id\r\nAuthorization: Bearer t\r\n\r\n{}",
                   &answer));
    CHECK_INT(answer.status, 200);
    CHECK_SLICE(kt_buf_str(&answer.body), "{\"n\":1}");
    HEAD_HAS(node, "POST /kamaitachi/api/data/v1/snapshot?a=%20b HTTP/1.1\r\n");
    HEAD_HAS(node, "\r\nHost: 127.0.0.1:");
    HEAD_HAS(node, "\r\nX-Keep: 2\r\n");
    HEAD_HAS(node, "\r\nAuthorization: Bearer t\r\n");
    HEAD_HAS(node, "\r\nVia: 1.0 edge\r\n");
    HEAD_HAS(node, "\r\nVia: 1.1 kamaitachi-gateway\r\n");
    HEAD_HAS(node, "\r\nX-Forwarded-For: 10.0.0.1, 127.0.0.1\r\n");
    HEAD_HAS(node, "\r\nX-Forwarded-Proto: http\r\n");
    HEAD_HAS(node, "\r\nX-Forwarded-Host: example:9000\r\n");
    HEAD_HAS(node, "\r\nX-Request-Id: my-id\r\n");
    HEAD_HAS(node, "\r\nContent-Length: 2\r\n");
    HEAD_LACKS(node, "X-Drop");
    HEAD_LACKS(node, "TE:");
    HEAD_LACKS(node, "Keep-Alive");
    HEAD_LACKS(node, "Upgrade");
    HEAD_LACKS(node, "Connection");
    HEAD_LACKS(node, "secret");
    HEAD_LACKS(node, "forged");
    CHECK_SLICE(kt_buf_str(&node->last_body), "{}");
    CHECK_SLICE(rig_answer_header(&answer, "X-Request-Id"), "my-id");
    CHECK_SLICE(rig_answer_header(&answer, "Via"), "1.1 kamaitachi-gateway");
    CHECK(rig_answer_header(&answer, "Date").len == 29);
    stop();
}

static void a_request_without_id_gets_one(void)
{
    struct rig_node *node;

    CHECK(start_with_node(NULL, &node));
    CHECK(rig_call(&rig, GET(SNAPSHOT), &answer));
    CHECK_INT(rig_answer_header(&answer, "X-Request-Id").len, 16);
    HEAD_HAS(node, "X-Request-Id: ");
    CHECK(rig_call(&rig, GET("/health"), &answer));
    CHECK_INT(rig_answer_header(&answer, "X-Request-Id").len, 16);
    CHECK(rig_call(&rig, "GET /health HTTP/1.1\r\nHost: h\r\nX-Request-Id: a b\r\n\r\n", &answer));
    CHECK_INT(answer.status, 400);
    BODY_HAS("\"field\":\"X-Request-Id\"");
    stop();
}

static void what_cannot_be_read_in_one_way_is_refused_and_closed(void)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "POST " SAVE " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST " SAVE " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "GET /data//cluster/info HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /data/../cluster/info HTTP/1.1\r\nHost: a\r\n\r\n",
        "nonsense\r\n\r\n",
    };
    struct rig_node *node;

    CHECK(start_with_node(NULL, &node));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(rig_call(&rig, bad[i], &answer));
        CHECK_INT(answer.status, 400);
        BODY_HAS("\"code\":\"bad_request\"");
    }
    CHECK_INT(node->requests, 0);
    stop();
}

static void nothing_hides_behind_a_refused_request(void)
{
    struct rig_node *node;
    struct rig_client client;

    CHECK(start_with_node(NULL, &node));
    CHECK(rig_client_open(&rig, &client));
    rig_client_send(&client, "POST " SNAPSHOT " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n" GET(SNAPSHOT));
    CHECK(rig_client_take(&client, &answer, false));
    CHECK_INT(answer.status, 400);
    CHECK_SLICE(rig_answer_header(&answer, "Connection"), "close");
    CHECK(rig_client_wait_end(&client));
    CHECK_INT(client.in.len_bytes, 0);
    CHECK_INT(node->requests, 0);
    rig_client_close(&client);
    stop();
}

static void too_many_headers_are_431(void)
{
    struct rig_node *node;
    struct kt_buf text;

    CHECK(start_with_node(NULL, &node));
    kt_buf_init(&text, 0);
    kt_buf_append_text(&text, "GET /health HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 64; i++) {
        kt_buf_printf(&text, "X-%d: y\r\n", i);
    }
    kt_buf_append_text(&text, "\r\n");
    CHECK(rig_call(&rig, text.data, &answer));
    CHECK_INT(answer.status, 431);
    BODY_HAS("head_too_large");
    kt_buf_done(&text);
    stop();
}

static void processes_paths_are_never_passed_on(void)
{
    struct rig_node *node;

    CHECK(start_with_node(NULL, &node));
    CHECK(rig_call(&rig, POST("/data/replication/v1/fetch", "2", "{}"), &answer));
    CHECK_INT(answer.status, 403);
    CHECK(rig_call(&rig, POST("/data/%72eplication/v1/fetch", "2", "{}"), &answer));
    CHECK_INT(answer.status, 403);
    CHECK_INT(node->requests, 0);
    stop();
}

#define ADMIN_POST(headers)                                                                        \
    "POST /data/cluster/failover HTTP/1.1\r\nHost: h\r\nContent-Type: "                            \
    "application/json\r\n" headers "Content-Length: 2\r\n\r\n{}"

static void operators_are_judged_here_and_asked_for_in_its_own_name(void)
{
    struct rig_node *node;

    CHECK(start_with_node(NULL, &node));
    CHECK(rig_lead(&rig, node));
    /* From loopback, without a proxy in between. */
    CHECK(rig_call(&rig, ADMIN_POST(""), &answer));
    CHECK_INT(answer.status, 200);
    HEAD_LACKS(node, "Via");
    HEAD_LACKS(node, "X-Forwarded");
    HEAD_LACKS(node, "X-Kamaitachi-Auth");
    CHECK(rig_call(&rig, ADMIN_POST("Via: 1.1 x\r\n"), &answer));
    CHECK_INT(answer.status, 403);
    CHECK(rig_call(&rig, ADMIN_POST("X-Forwarded-For: 127.0.0.1\r\n"), &answer));
    CHECK_INT(answer.status, 403);
    CHECK(rig_call(&rig, ADMIN_POST("Origin: http://evil\r\n"), &answer));
    CHECK_INT(answer.status, 403);
    CHECK(rig_call(&rig, POST("/data/cluster/failover", "2", "{}"), &answer));
    CHECK_INT(answer.status, 415);
    CHECK_INT(node->requests, 1);
    /* Its own admin paths, built or not. */
    CHECK(rig_call(&rig, POST("/api/admin/reload", "2", "{}"), &answer));
    CHECK_INT(answer.status, 415);
    stop();
}

static void with_tokens_operators_and_writers_need_them(void)
{
    static const char *const settings[] = {"auth.admin_token=boss", "auth.write_token=pen",
                                           "cluster.secret=s3cret", NULL};
    struct rig_node *node;

    CHECK(start_with_node(settings, &node));
    CHECK(rig_lead(&rig, node));
    CHECK(rig_call(&rig, ADMIN_POST(""), &answer));
    CHECK_INT(answer.status, 401);
    CHECK_SLICE(rig_answer_header(&answer, "WWW-Authenticate"), "Bearer");
    CHECK(rig_call(&rig, ADMIN_POST("Authorization: Bearer boss\r\n"), &answer));
    CHECK_INT(answer.status, 200);
    HEAD_HAS(node, "X-Kamaitachi-Auth: v1 time=");
    CHECK(rig_call(&rig, POST(SAVE, "2", "{}"), &answer));
    CHECK_INT(answer.status, 401);
    CHECK(rig_call(&rig,
                   "POST " SAVE " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer pen\r\n"
                   "Content-Length: 2\r\n\r\n{}",
                   &answer));
    CHECK_INT(answer.status, 200);
    CHECK(rig_call(&rig, POST(SNAPSHOT, "2", "{}"), &answer));
    CHECK_INT(answer.status, 200);
    stop();
}

static void options_of_the_whole_server_are_refused(void)
{
    struct rig_node *node;

    CHECK(start_with_node(NULL, &node));
    CHECK(rig_call(&rig, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    CHECK_INT(answer.status, 405);
    CHECK(rig_answer_header(&answer, "Allow").len > 0);
    stop();
}

static void old_clients_generic_paths_stay_as_they_are(void)
{
    struct rig_node *node;

    CHECK(start_with_node(NULL, &node));
    CHECK(rig_lead(&rig, node));
    CHECK(rig_call(&rig, POST("/data/v1/search", "2", "{}"), &answer));
    HEAD_HAS(node, "POST /data/v1/search HTTP/1.1\r\n");
    CHECK(rig_call(&rig, POST("/data/data/v1/save?id=1", "2", "{}"), &answer));
    HEAD_HAS(node, "POST /data/v1/save?id=1 HTTP/1.1\r\n");
    CHECK(rig_call(&rig, GET("http://h" SNAPSHOT "?x"), &answer));
    HEAD_HAS(node, "GET /kamaitachi/api/data/v1/snapshot?x HTTP/1.1\r\n");
    CHECK(
        rig_call(&rig, "DELETE /data/v1/delete/a?tableId=1 HTTP/1.1\r\nHost: h\r\n\r\n", &answer));
    HEAD_HAS(node, "DELETE /data/v1/delete/a?tableId=1 HTTP/1.1\r\n");
    /* Errors of the gateway's own have the old shape there too. */
    CHECK(rig_lead(&rig, NULL));
    CHECK(rig_call(&rig, POST("/data/v1/save?id=1", "2", "{}"), &answer));
    CHECK_INT(answer.status, 503);
    BODY_HAS("\"code\":503,\"message\":\"no node leads");
    BODY_HAS("\"status_code\":503");
    CHECK(rig_call(&rig, POST(SAVE, "2", "{}"), &answer));
    CHECK(kt_str_find(kt_buf_str(&answer.body), KT_STR("\"code\":503")) < 0);
    stop();
}

static bool has_two(void *ctx)
{
    return ((struct rig_node *)ctx)->requests >= 2;
}

static void connections_beyond_the_limit_are_told_so(void)
{
    static const char *const settings[] = {"server.max_connections=2", "server.loops=1",
                                           "proxy.first_byte_ms=30000", NULL};
    struct rig_client clients[3];
    struct rig_node *node;

    CHECK(start_with_node(settings, &node));
    node->handler = rig_stay_silent;
    /* When this one has ended the gateway knows of the end of all before it. */
    CHECK(rig_client_open(&rig, &clients[0]));
    rig_client_send(&clients[0], "GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(rig_client_take(&clients[0], &answer, false));
    CHECK(rig_client_wait_end(&clients[0]));
    rig_client_close(&clients[0]);
    for (int i = 0; i < 2; i++) {
        CHECK(rig_client_open(&rig, &clients[i]));
        rig_client_send(&clients[i], GET(SNAPSHOT));
    }
    CHECK(rig_wait(&rig, has_two, node, "two requests that wait for an answer"));
    CHECK(rig_client_open(&rig, &clients[2]));
    CHECK(rig_client_take(&clients[2], &answer, false));
    CHECK_INT(answer.status, 503);
    BODY_HAS("max_connections");
    CHECK(rig_client_wait_end(&clients[2]));
    for (int i = 0; i < 3; i++) {
        rig_client_close(&clients[i]);
    }
    stop();
}

static const struct kt_test tests[] = {
    TEST(without_nodes_it_says_what_is_missing),
    TEST(own_paths_answer),
    TEST(stats_are_asked_of_all_nodes_and_summed_up),
    TEST(a_request_is_passed_on_without_data_and_hop_by_hop_headers),
    TEST(a_request_without_id_gets_one),
    TEST(what_cannot_be_read_in_one_way_is_refused_and_closed),
    TEST(nothing_hides_behind_a_refused_request),
    TEST(too_many_headers_are_431),
    TEST(processes_paths_are_never_passed_on),
    TEST(operators_are_judged_here_and_asked_for_in_its_own_name),
    TEST(with_tokens_operators_and_writers_need_them),
    TEST(options_of_the_whole_server_are_refused),
    TEST(old_clients_generic_paths_stay_as_they_are),
    TEST(connections_beyond_the_limit_are_told_so),
};
KT_TEST_MAIN(tests)
