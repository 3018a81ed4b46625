# SPDX-License-Identifier: MIT
"""The first Kamaitachi's generic series, as its clients ask for them: through the gateway and at nodes."""

import time

from cluster import check, equal, group, request, test

OLD = "/data/v1"
SERIES = {"id": "000001", "data": {"1672502400": [100.5, 200.3]}}


def read(server, path, prefix=""):
    answer = server.get(prefix + OLD + path)
    equal(answer.status, 200, "GET %s at %s: status" % (path, server.name))
    equal(answer.headers["content-type"], "application/json", "content type")
    body = answer.json()
    equal((body["code"], body["message"]), (200, "success"), "envelope")
    return body["data"]


def save(server, table, body, prefix=""):
    answer = server.post("%s%s/save?id=%s" % (prefix, OLD, table), body)
    equal(answer.status, 200, "save: status")
    return answer.json()["data"]


def delete(server, path):
    return request(server.addr, "DELETE", OLD + path)


@test
def a_series_saved_through_the_gateway_is_read_on_slave_2_after_all_nodes_restarted(bench):
    cluster = bench.cluster(slaves=2)
    before = int(time.time())
    saved = save(cluster.gateway, 1, SERIES)
    equal((saved["id"], saved["tableId"], saved["points"]), ("000001", 1, 1), "what was saved")
    cluster.wait_level()
    series = [read(node, "/get/000001?tableId=1") for node in cluster.nodes]
    equal(series[0]["data"], SERIES["data"], "the series at the master")
    check(before - 1 <= series[0]["createTime"] == series[0]["updateTime"] <= time.time() + 1,
          "the times are the log's: %s", series[0])
    equal(series[1:], series[:1] * 2, "the series at the slaves")
    for node in cluster.nodes:
        node.terminate()
    for node in cluster.nodes:
        node.launch()
    for node in cluster.nodes:
        node.wait_well()
    equal(read(cluster.slaves[1], "/get/000001?tableId=stock_data"), series[0],
          "the series at slave 2 after the restart")
    cluster.gateway.wait_nodes(cluster.nodes)
    equal(read(cluster.gateway, "/get/000001?tableId=1"), series[0], "the series at the gateway")


@group
class GenericSeries:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=1)
        self.gateway, self.master = self.cluster.gateway, self.cluster.master

    def both_spellings_of_the_path_work_through_the_gateway(self):
        save(self.gateway, 2, {"id": "p", "data": {"5": [1]}})
        save(self.gateway, 2, {"id": "q", "data": {"5": [1]}}, prefix="/data")
        self.cluster.wait_level()
        for prefix in ("", "/data"):
            equal([read(self.gateway, "/get/%s?tableId=2" % name, prefix)["data"]
                   for name in "pq"], [{"5": [1]}] * 2, "series below '%s'" % prefix)
            answer = self.gateway.post(prefix + OLD + "/search", {"tableId": 2})
            equal([row["id"] for row in answer.json()["data"]], ["p", "q"], "search")
        equal(request(self.gateway.addr, "DELETE", "/data" + OLD + "/delete/q?tableId=2").status, 200,
              "delete below /data/data")

    def a_save_merges_and_given_times_are_kept(self):
        save(self.gateway, 3, {"id": "m", "data": {"10": [1, 2], "20": [3]}, "createTime": 7})
        save(self.gateway, 3, {"id": "m", "data": {"20": [4], "1970-01-01": [0.1], "10": None},
                               "updateTime": "2023-01-01"})
        self.cluster.wait_level()
        for node in self.cluster.nodes:
            equal(read(node, "/get/m?tableId=3"),
                  {"id": "m", "data": {"0": [0.1], "20": [4]}, "createTime": 7,
                   "updateTime": 1672531200}, "the series")

    def a_deleted_series_is_gone_everywhere(self):
        save(self.gateway, 1, {"id": "股 票%?", "data": {"1": [1], "2": [2]}})
        path = "/%s/%%E8%%82%%A1%%20%%E7%%A5%%A8%%25%%3f?tableId=1"
        self.cluster.wait_level()
        equal(read(self.gateway, path % "get")["id"], "股 票%?", "the id, decoded once")
        answer = delete(self.gateway, path % "delete")
        equal((answer.status, answer.json()["data"]["points"]), (200, 2), "delete")
        self.cluster.wait_level()
        for server in self.cluster.everyone():
            answer = server.get(OLD + path % "get")
            equal((answer.status, answer.error()["code"], answer.error()["field"]),
                  (404, "not_found", "id"), "get after delete")
        equal(delete(self.gateway, path % "delete").status, 404, "delete again")

    def a_search_filters_and_pages(self):
        for i in range(25):
            save(self.master, 1, {"id": "s%02d" % i, "data": {str(i): [i], "1000": [0]}})

        def find(**fields):
            answer = self.master.post(OLD + "/search", fields)
            equal(answer.status, 200, "search %s" % fields)
            body = answer.json()
            return [row["id"] for row in body["data"]], body["has_more"]
        equal(find(tableId=1, prefix="s"), (["s%02d" % i for i in range(10)], True), "first page")
        equal(find(tableId="1", prefix="s2", offset=3), (["s23", "s24"], False), "prefix, offset")
        equal(find(ids="s20,nobody,s03"), (["s20", "s03"], False), "ids")
        equal(find(tableId=2, id="s03"), ([], False), "another table")
        equal(find(prefix="s", **{"from": 7, "to": 8}), (["s07", "s08"], False), "times")
        row = self.master.post(OLD + "/search", {"id": "s07", "to": 999}).json()["data"][0]
        equal((row["data"], row["tableId"]), ({"7": [7]}, 1), "only what is within the times")

    def what_is_wrong_is_refused_in_both_manners(self):
        revision = self.master.revision()
        good = {"id": "x", "data": {"1": [1]}}
        cases = [  # method, path, body, status, code, field
            ("POST", "/save", good, 400, "bad_value", "id"),
            ("POST", "/save?id=4", good, 400, "bad_value", "id"),
            ("POST", "/save?id=1&id=1", good, 400, "bad_value", "id"),
            ("POST", "/save?id=1&x=1", good, 400, "unknown_field", "x"),
            ("POST", "/save?tableId=1", good, 400, "unknown_field", "tableId"),
            ("POST", "/save?id=1", b"{", 400, "bad_value", ""),
            ("POST", "/save?id=1", {"id": "x"}, 400, "bad_value", "data"),
            ("POST", "/save?id=1", {"id": "a/b", "data": {}}, 400, "bad_value", "id"),
            ("POST", "/save?id=1", {"id": "x", "data": {"1": ["1"]}}, 400, "bad_value", "data.1"),
            ("POST", "/save?id=1", {"id": "x", "data": {"y": [1]}}, 400, "bad_value", "data.y"),
            ("POST", "/save?id=1", dict(good, more=1), 400, "unknown_field", "more"),
            ("POST", "/save?id=1", {"id": "x", "data": {str(i): [0] for i in range(100001)}}, 413,
             "too_large", "data"),
            ("GET", "/save?id=1", None, 405, "method_not_allowed", ""),
            ("GET", "/get/x", None, 400, "bad_value", "tableId"),
            ("GET", "/get/x?tableId=0", None, 400, "bad_value", "tableId"),
            ("GET", "/get/x?tableId=1", None, 404, "not_found", "id"),
            ("GET", "/get/%s?tableId=1" % ("x" * 129), None, 400, "bad_value", "id"),
            ("GET", "/get/a%2fb?tableId=1", None, 400, "bad_request", "path"),
            ("GET", "/get/a/b?tableId=1", None, 404, "not_found", ""),
            ("GET", "/get?tableId=1", None, 404, "not_found", ""),
            ("POST", "/get/x?tableId=1", {}, 405, "method_not_allowed", ""),
            ("GET", "/delete/x?tableId=1", None, 405, "method_not_allowed", ""),
            ("DELETE", "/delete/x?tableId=1&y=", None, 400, "unknown_field", "y"),
            ("DELETE", "/delete/x", None, 400, "bad_value", "tableId"),
            ("POST", "/search?tableId=1", {}, 400, "unknown_field", "tableId"),
            ("POST", "/search", {"limit": 10001}, 400, "bad_value", "limit"),
            ("POST", "/search", {"table": 1}, 400, "unknown_field", "table"),
        ]
        for server in (self.master, self.gateway):
            for method, path, body, status, code, field in cases:
                answer = request(server.addr, method, OLD + path, body)
                what = "%s %s at %s" % (method, path[:60], server.name)
                equal(answer.headers["content-type"], "application/json", what + ": content type")
                equal((answer.status, answer.error().get("code"), answer.error().get("field")),
                      (status, code, field), what)
                envelope = answer.json()
                equal((envelope["status_code"], envelope["data"]), (status, None), what)
                if code != "bad_request":
                    equal((envelope["code"], envelope["message"]),
                          (status, envelope["status_msg"]), what + ": the old members")
        equal(self.master.revision(), revision, "the revision: nothing of it was stored")

    def a_repeated_request_is_carried_out_once(self):
        path = OLD + "/save?id=3"
        key = {"Idempotency-Key": "generic-1"}
        body = {"id": "once", "data": {"1": [1], "2": [2]}}
        first = self.gateway.post(path, body, key)
        equal(first.status, 200, "save: status")
        save(self.gateway, 3, {"id": "once", "data": {"2": [3]}})
        again = self.gateway.post(path, body, key)
        equal((again.status, again.json()), (200, first.json()), "the save, repeated")
        equal(read(self.master, "/get/once?tableId=3")["data"], {"1": [1], "2": [3]}, "the series")
        other = self.gateway.post(path, {"id": "once", "data": {}}, key)
        equal((other.status, other.json()["code"], other.error()["code"]),
              (409, 409, "idempotency_mismatch"), "another body with that key")
        for name, status in (("once", 200), ("nobody", 404)):
            path = OLD + "/delete/%s?tableId=3" % name
            key = {"Idempotency-Key": "delete-" + name}
            answers = [request(self.gateway.addr, "DELETE", path, None, key) for _ in range(2)]
            equal([answer.status for answer in answers], [status] * 2, "delete of %s" % name)
            equal(answers[1].json(), answers[0].json(), "delete of %s, repeated" % name)

    def a_slave_names_the_leader_to_who_writes(self):
        answer = self.cluster.slaves[0].post(OLD + "/save?id=1", SERIES)
        equal((answer.status, answer.headers["x-kamaitachi-leader"]), (421, self.master.addr),
              "save at a slave")
        equal(answer.headers["x-kamaitachi-outcome"], "none", "outcome")
