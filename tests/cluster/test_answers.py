# SPDX-License-Identifier: MIT
"""The shapes and rules of answers that the other modules do not meet."""

import http.client
import os
import re
import shutil
from urllib.parse import urlencode

from cluster import API, Node, check, equal, group, test, wait_until


@group
class Answers:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=2)
        self.node = self.cluster.master
        self.gateway = self.cluster.gateway
        self.slave = self.cluster.slaves[0]

    def _save(self, *records, subjects=None):
        body = {"records": list(records)}
        if subjects:
            body["subjects"] = subjects
        revision = self.gateway.save(**body)["revision"]
        for slave in self.cluster.slaves:
            slave.wait_revision(revision)
        return revision

    def get_asks_what_post_asks(self):
        self._save({"subject": "g,1", "time": "2024-01-01", "period": "Q4", "data": {"a": 1, "b": 2}},
                   {"subject": "g2", "time": "2024-02-01", "period": "Q1", "data": {"a": 3}},
                   subjects=[{"subject": "g2", "topics": ["gt"]}])
        for name, fields in [
                ("snapshot", {"subjects": "g2", "ids": "a,b", "order": "1", "limit": 5}),
                ("snapshot", {"topic": "gt", "field": "a", "timestamp": "2024-12-31"}),
                ("period", {"subjects": "g2", "from": "2024-01-01", "to": "2024-12-31"}),
                ("snapshot", {"subjects": "g2", "timestamp": "1704067199"})]:
            for server in self.cluster.everyone():
                path = server.data_prefix + API + "/" + name + "?" + urlencode(fields)
                got, posted = server.get(path), server.data_post(name, fields)
                equal([got.status, got.body], [posted.status, posted.body],
                      "GET %s at %s" % (fields, server.name))
                equal(got.status, 200, "status")
        answer = self.node.get(API + "/snapshot?colour=red")
        equal([answer.status, answer.error().get("code")], [400, "unknown_field"], "a stray field")

    def a_trailing_slash_changes_nothing(self):
        for server in (self.node, self.gateway):
            equal(server.data_post("snapshot/", {}).body, server.data_post("snapshot", {}).body,
                  "snapshot/ at " + server.name)
            equal(server.get("/health/").status, 200, "/health/")

    def the_level_leader_is_answered_by_the_leader(self):
        level = {"X-Kamaitachi-Consistency": "leader"}
        answer = self.slave.data_post("snapshot", {}, level)
        equal([answer.status, answer.headers.get("x-kamaitachi-leader")], [421, self.node.addr],
              "status and leader at a slave")
        for _ in range(10):
            answer = self.gateway.data_post("snapshot", {}, level)
            equal([answer.status, answer.headers.get("x-kamaitachi-role")], [200, "leader"],
                  "status and role through the gateway")
        answer = self.slave.data_post("snapshot", {}, {"X-Kamaitachi-Consistency": "any"})
        equal([answer.status, answer.headers.get("x-kamaitachi-role")], [200, "follower"],
              "status and role at a slave")

    def a_topic_is_asked_as_it_was_then(self):
        self._save({"subject": "t1", "time": "2010-01-01", "data": {"a": 1}},
                   {"subject": "t2", "time": "2010-01-01", "data": {"a": 2}},
                   subjects=[{"subject": "t1", "topics": [
                       {"topic": "pool", "from": "2012-01-01", "to": "2015-12-31"}]},
                       {"subject": "t2", "topics": ["pool"]}])
        for moment, total in [("2011-12-31", 1), ("2012-01-01", 2), ("2015-12-31", 2),
                              ("2016-01-01", 1), (0, 1)]:
            answer = self.cluster.ask_all("snapshot", {"topic": "pool", "timestamp": moment})
            equal(answer["total"], total, "total at %s" % moment)
        answer = self.cluster.ask_all("period", {"topic": "pool", "from": "2015-06-01",
                                                 "to": "2020-01-01"})
        equal([s["subject"]["subject"] for s in answer["data"]], ["t1", "t2"],
              "who was in the pool at any moment of from..to")

    def naming_a_subject_again_merges(self):
        self._save(subjects=[{"subject": "m", "name": "One", "status": "s", "category": "c",
                              "listing_date": "2001-01-01", "tags": {"concept": ["互联网金融"]}}])
        self._save({"subject": "m", "time": 0, "data": {"a": 1, "b": 2}},
                   subjects=[{"subject": "m", "name": "Zwei 二"}])
        self._save({"subject": "m", "time": 0, "data": {"b": None, "c": 3}})
        row = self.cluster.ask_all("snapshot", {"subjects": "m"})["data"][0]
        equal(row, {"subject": {"subject": "m", "name": "Zwei 二", "status": "s",
                                "listing_date": "2001-01-01", "category": "c"},
                    "data": {"a": 1, "c": 3}, "report_date": 0, "end_date": "1970-01-01",
                    "period": "", "declare_date": ""}, "the row")

    def subjects_without_records_have_no_row_and_an_empty_series(self):
        self._save(subjects=[{"subject": "bare", "name": "Bare"}])
        equal(self.cluster.ask_all("snapshot", {"subjects": "bare,never"}),
              {"status_code": 0, "status_msg": "success", "data": [], "total": 0}, "snapshot")
        answer = self.cluster.ask_all("period", {"subjects": "bare,never"})
        equal([(s["subject"]["subject"], s["data"]) for s in answer["data"]], [("bare", [])],
              "period")

    def a_period_row_has_its_date_year_and_combine(self):
        self._save({"subject": "33:000001", "time": "2020-12-31", "period": "Q4",
                    "declare_date": "2021-03-30", "data": {"operating_income": 1.5}},
                   {"subject": "33:000001", "time": "2021-12-31", "period": "Q4",
                    "end_date": "2021-12-30", "year": "FY21", "data": {"operating_income": 2}})
        answer = self.cluster.ask_all("period", {"subjects": "33:000001"})
        equal(answer["data"][0]["data"], [
            {"end_date": "2021-12-30", "period": "Q4", "declare_date": "", "year": "FY21",
             "operating_income": 2, "combine": "33:000001:FY21_Q4"},
            {"end_date": "2020-12-31", "period": "Q4", "declare_date": "2021-03-30",
             "year": "2020", "operating_income": 1.5, "combine": "33:000001:2020_Q4"}], "rows")

    def of_one_time_the_greatest_period_is_the_newest(self):
        self._save(*[{"subject": "p", "time": 0, "period": period, "data": {"a": i}}
                     for i, period in enumerate(["", "Q1", "H2", "é", "Q10"])])
        row = self.cluster.ask_all("snapshot", {"subjects": "p"})["data"][0]
        equal([row["period"], row["data"]["a"]], ["é", 3], "the newest")
        row = self.cluster.ask_all("snapshot", {"subjects": "p", "periods": ["Q1", "H2"]})["data"][0]
        equal(row["period"], "Q1", "the newest of Q1 and H2")

    def rows_without_a_value_come_last_and_ties_by_key_in_both_orders(self):
        self._save(*[{"subject": "o" + key, "time": day * 86400, "data": data} for key, day, data in [
            ("b", 1, {"v": 2, "w": 0}), ("a", 2, {"v": 2, "w": 0}), ("d", 3, {"w": 0}),
            ("c", 4, {"w": 0}), ("e", 5, {"v": -1, "w": 0}), ("f", 6, {"v": 9, "w": 0})]],
                   subjects=[{"subject": "oa", "name": "Z", "topics": ["ord"]}] + [
                       {"subject": "o" + k, "topics": ["ord"]} for k in "bcdef"])

        def order(**fields):
            answer = self.cluster.ask_all("snapshot", dict({"topic": "ord"}, **fields))
            return "".join(row["subject"]["subject"][1] for row in answer["data"])
        equal(order(field="v"), "fabecd", "descending")
        equal(order(field="v", order=1), "eabfcd", "ascending")
        equal(order(ids="nothing,v"), "fabecd", "by the first known of ids")
        equal(order(field="report_date", order=1), "badcef", "by report_date")
        equal(order(field="subject", order="asc"), "abcdef", "by subject")
        equal(order(), "fedcba", "by default")
        equal(order(field="name", order=1), "abcdef", "by name: Z stands before all that begin with o")
        equal(order(field="name", order=-1), "fedcba", "by name, descending")
        equal(order(field="w"), "abcdef", "all alike")
        equal(order(field="v", offset=1, limit=2), "ab", "a page")

    def numbers_are_the_shortest_that_read_back(self):
        numbers = [0.1, 1 / 3, 1e21, 1e-7, 1e-6, 123456789012345680000.0, 5e-324, 2.5e-8,
                   1.7976931348623157e308, -1.5, 9007199254740993, 4722368446464, 0.30000000000000004]
        self._save(*[{"subject": "n%02d" % i, "time": 0, "data": {"n": n}}
                     for i, n in enumerate(numbers)])
        for i, number in enumerate(numbers):
            body = self.node.data_post("snapshot", {"subjects": "n%02d" % i}).body.decode()
            text = re.search(r'"n":([^}]*)}', body).group(1)
            equal(float(text), float(number), "n%02d" % i)
            if 1e-6 <= abs(number) < 1e21:
                check("e" not in text.lower(), "%s has an exponent", text)
        body = self.node.data_post("snapshot", {"subjects": "n00,n02"}).body.decode()
        check('"n":0.1}' in body and '"n":1e+21}' in body, "texts in %s", body)
        self._save({"subject": "nz", "time": 0, "data": {"n": -0.0}})
        check(b'"n":0}' in self.node.data_post("snapshot", {"subjects": "nz"}).body, "-0 is 0")

    def names_in_any_script_come_back(self):
        key = "键:🦊 é\"\\/'"
        self._save({"subject": key, "time": 0, "data": {"指标": 1}},
                   subjects=[{"subject": key, "name": "Ωmega \"q\" \\ /"}])
        row = self.cluster.ask_all("snapshot", {"subjects": [key], "ids": ["指标"]})["data"][0]
        equal([row["subject"]["subject"], row["subject"]["name"], row["data"]],
              [key, "Ωmega \"q\" \\ /", {"指标": 1}], "the row")

    def the_gateways_stats_are_those_of_all_nodes(self):
        data = self.gateway.get(API + "/stats").data()
        equal(data["nodes"], 3, "nodes")
        equal(sorted(node["ok"] for node in data["per_node"]), [True] * 3, "ok per node")
        check(all(node["latency_ms"] >= 0 for node in data["per_node"]), "latencies")
        check(re.fullmatch(r"\d+(\.\d+)?%", data["aggregate"]["hit_rate"]), "hit_rate %s",
              data["aggregate"])
        check(isinstance(data["gateway"], dict), "the gateway's own")
        stats = self.node.stats()
        equal(sorted(set(stats) & {"total_records", "stock_count", "subjects", "indicators",
                                   "revision", "cache"}),
              ["cache", "indicators", "revision", "stock_count", "subjects", "total_records"],
              "a node's stats")

    def operators_paths_answer(self):
        for server in self.cluster.everyone():
            equal(server.get("/health/live").status, 200, "live")
            equal(server.get("/health/ready").status, 200, "ready")
            check("version" in server.get("/version").data(), "version")
            info = server.info()
            equal(sorted(n["address"] for n in info["nodes"]),
                  sorted(n.addr for n in self.cluster.nodes), "addresses in info")
            equal([n["address"] for n in info["nodes"] if n["role"] == "leader"], [self.node.addr],
                  "the leader in info")
            equal(server.get("/cluster/leader").data()["address"], self.node.addr, "the leader")
            head = self._head(server)
            equal(head, 200, "HEAD")
        health = self.gateway.health()
        equal([health["status"], health["count"], len(health["nodes"])], ["ok", 3, 3], "health")

    @staticmethod
    def _head(server):
        connection = http.client.HTTPConnection(*server.addr.split(":"), timeout=30)
        connection.request("HEAD", "/health")
        answer = connection.getresponse()
        equal(answer.read(), b"", "the body of an answer to HEAD")
        connection.close()
        return answer.status


@test
def round_robin_asks_the_nodes_in_turn(bench):
    from cluster import Gateway
    cluster = bench.cluster(slaves=2, gateway=False)
    gateway = Gateway(bench, "gateway", cluster.etcd, balance_policy="round_robin",
                      server_loops=1).start()
    gateway.wait_nodes(cluster.nodes)
    wait_until(lambda: gateway.health()["count"] == 3, "three nodes are up")
    seen = {}
    for _ in range(30):
        node = gateway.data_post("snapshot", {}).headers["x-kamaitachi-node"]
        seen[node] = seen.get(node, 0) + 1
    equal(sorted(seen.values()), [10, 10, 10], "answers of each node")


@test
def a_copied_disk_is_no_second_node(bench):
    cluster = bench.cluster(slaves=1)
    slave = cluster.slaves[0]
    slave.terminate()
    copy = os.path.join(bench.dir, "copy")
    shutil.copytree(slave.dir, copy)
    slave.start()
    twin = Node(bench, "slave2", cluster.etcd, store_db=os.path.join(copy, "node.db"))
    twin.expected_log = [r" error "]
    twin.launch()
    own = slave.health()["node"]

    def says_so():
        return own in twin.log() and (not twin.is_running() or not twin.is_well())
    wait_until(says_so, "the twin names the id and is not well")
    # The twin ends, and the one that was there first goes on all the while.
    slave.wait_revision(cluster.gateway.save(records=[
        {"subject": "s", "time": 0, "data": {"a": 1}}])["revision"])
    wait_until(lambda: "its database was copied" in twin.log(), "it says why", 20)
    equal(slave.is_well(), True, "the first one is well")
    slave.wait_revision(cluster.gateway.save(records=[
        {"subject": "s", "time": 0, "data": {"a": 2}}])["revision"])
    cluster.wait_in_sync(cluster.nodes)
    if twin.is_running():
        twin.terminate()
    else:
        twin.wait_exit()


@test
def a_service_addr_that_leads_nowhere_is_told(bench):
    from cluster import free_ports
    etcd = bench.etcd()
    port = free_ports(1)
    node = Node(bench, "master", etcd, server_service_addr="127.0.0.1:%d" % port)
    node.launch()
    wait_until(lambda: "service_addr_unreachable" in node.log(), "the log tells of it")
    check(str(port) in node.log(), "and names it: %s", node.log()[-500:])
