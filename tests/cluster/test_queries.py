# SPDX-License-Identifier: MIT
"""Selections, buckets, batches, listings: on every node and through the gateway."""

import threading
from urllib.parse import urlencode

from cluster import API, check, equal, group, request

SELECTION = "/kamaitachi/api/selection/v1"


@group
class Queries:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=2)
        self.gateway = self.cluster.gateway
        self._save(
            subjects=[
                {"subject": "q1", "name": "甲", "topics": ["q"],
                 "tags": {"concept": ["互联网金融", "5G"]}},
                {"subject": "q2", "name": "乙", "topics": ["q"], "tags": {"concept": ["银行"]}},
                {"subject": "q,3", "name": "丙", "topics": ["q"]}],
            records=[{"subject": s, "time": time, "period": p, "data": {"a": a, "b": -a}}
                     for s in ("q1", "q2", "q,3")
                     for time, p, a in (("2023-06-30", "Q2", 1), ("2023-12-31", "Q4", 2.5),
                                        ("2024-03-31", "Q1", 4 + len(s)))])

    def _save(self, **fields):
        self.gateway.save(**fields)
        return self.cluster.wait_level()

    def _post_all(self, path, body):
        """The same question to every node and the gateway: one answer, byte for byte."""
        answers = [server.post(server.data_prefix + path, body)
                   for server in self.cluster.everyone()]
        for server, answer in zip(self.cluster.everyone(), answers):
            equal([answer.status, answer.body], [200, answers[0].body],
                  "%s at %s" % (path, server.name))
        return answers[0].json()

    def _subjects(self, **selection):
        rows = self._post_all(SELECTION + "/snapshot",
                              {"selection": selection, "order": 1})["data"]
        return [row["subject"]["subject"] for row in rows]

    def a_tag_is_found_by_a_part_and_gone_everywhere_once_replaced(self):
        self._save(subjects=[{"subject": "t1", "tags": {"concept": ["互联网金融"]}}],
                   records=[{"subject": "t1", "time": "2024-01-01", "data": {"a": 1}}])
        equal(self._subjects(id="concept", keyword="金融"), ["q1", "t1"], "with 金融")
        equal(self._subjects(keyword="互联网金融"), ["q1", "t1"], "with 互联网金融")
        self._save(subjects=[{"subject": "t1", "tags": {"concept": ["银行"]}}])
        equal(self._subjects(id="concept", keyword="金融"), ["q1"], "with 金融 after the change")
        equal(self._subjects(id="concept", keyword="银行"), ["q2", "t1"], "with 银行")
        self._save(subjects=[{"subject": "t1", "tags": {"concept": []}}])
        equal(self._subjects(id="concept", keyword="银行"), ["q2"], "with 银行 in the end")

    def a_period_by_date_is_one_answer_on_every_node(self):
        answer = self._post_all(SELECTION + "/period", {
            "selection": {"topic": "q"}, "from": "2023-07-01", "field": "a", "limit": 2,
            "ids": "a"})
        equal([[date, [(r["subject"]["subject"], r["data"]["a"], r["data"]["period"])
                       for r in rows]] for date, rows in answer["data"].items()],
              [["2023-12-31", [("q,3", 2.5, "Q4"), ("q1", 2.5, "Q4")]],
               ["2024-03-31", [("q,3", 7, "Q1"), ("q1", 6, "Q1")]]], "rows by date")

    def buckets_are_one_answer_on_every_node(self):
        answer = self.cluster.ask_all("period", {"subjects": ["q1"], "interval": "1Y",
                                                 "agg": "avg", "ids": "a,b", "order": 1})
        equal([(r["end_date"], r["a"], r["b"]) for r in answer["data"][0]["data"]],
              [("2023-12-31", 1.75, -1.75), ("2024-12-31", 6, -6)], "years")

    def every_query_can_be_asked_by_get_and_head(self):
        for path, parameters, body in [
                (SELECTION + "/snapshot",
                 {"selection.topic": "q", "selection.id": "concept", "selection.keyword": "金融",
                  "ids": "a,b", "limit": 5},
                 {"selection": {"topic": "q", "id": "concept", "keyword": "金融"},
                  "ids": ["a", "b"], "limit": 5}),
                (SELECTION + "/period",
                 {"selection.subject": "q,3", "from": "2023-12-31", "order": "1", "offset": 0},
                 {"selection": {"subject": "q,3"}, "from": "2023-12-31", "order": 1}),
                (API + "/period",
                 {"topic": "q", "interval": "1Q", "agg": "count", "limit": 1},
                 {"topic": "q", "interval": "1Q", "agg": "count", "limit": 1})]:
            posted = self._post_all(path, body)
            for server in self.cluster.everyone():
                target = server.data_prefix + path + "?" + urlencode(parameters)
                got = server.get(target)
                equal([got.status, got.json()], [200, posted], "GET %s" % target)
                head = request(server.addr, "HEAD", target)
                equal([head.status, head.body], [200, b""], "HEAD %s" % target)

    def a_stray_field_is_refused_by_name_through_the_gateway_too(self):
        for server in self.cluster.everyone():
            for path, field in [("/snapshot?selection.topic=q&colour=1", "colour"),
                                ("/period?selection.topic=q&selection.colour=1",
                                 "selection.colour"),
                                ("/period?selection.topic=q&timestamp=1", "timestamp")]:
                answer = server.get(server.data_prefix + SELECTION + path)
                equal([answer.status, answer.error().get("code"), answer.error().get("field")],
                      [400, "unknown_field", field], path)

    def a_batch_is_one_answer_on_every_node(self):
        answer = self._post_all(API + "/batch", {"queries": [
            {"id": "s", "op": "snapshot", "body": {"subjects": "q1"}},
            {"id": "p", "op": "period", "body": {"subjects": ["q2"], "limit": 1}},
            {"id": "bad", "op": "snapshot", "body": {"limit": -1}},
            {"id": "t", "op": "selection_snapshot", "body": {"selection": {"keyword": "5G"}}},
            {"id": "d", "op": "selection_period", "body": {"selection": {"subject": "q1"}}}]})
        entries = {entry["id"]: entry for entry in answer["data"]}
        equal([e["status_code"] for e in answer["data"]], [0, 0, 400, 0, 0], "status codes")
        equal(entries["bad"]["error"]["field"], "limit", "the field of the bad one")
        equal(entries["s"], dict(self.cluster.ask_all("snapshot", {"subjects": "q1"}), id="s"),
              "the snapshot in the batch")
        equal(list(entries["d"]["data"]), ["2023-06-30", "2023-12-31", "2024-03-31"], "dates")

    def a_batch_is_asked_by_post_only(self):
        for server in self.cluster.everyone():
            for method in ("GET", "HEAD"):
                answer = request(server.addr, method, server.data_prefix + API + "/batch")
                equal([answer.status, answer.headers.get("allow")], [405, "POST"], method)

    def a_batch_speaks_of_one_revision_while_writes_land(self):
        queries = {"queries": [{"id": str(i), "op": "snapshot", "body": {"subjects": "w1,w2"}}
                               for i in range(20)]}
        stop = threading.Event()
        failures = []

        def write():
            number = 0
            while not stop.is_set():
                number += 1
                answer = self.gateway.data_post("save", {"records": [
                    {"subject": s, "time": "2024-01-01", "data": {"n": number}}
                    for s in ("w1", "w2")]})
                if answer.status != 200:
                    failures.append(answer.body)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = set()
            for _ in range(40):
                for server in self.cluster.everyone():
                    answer = server.data_post("batch", queries)
                    values = {row["data"]["n"] for entry in answer.data() for row in entry["data"]}
                    check(len(values) <= 1, "one batch of %s shows %s", server.name, values)
                    seen |= values
        finally:
            stop.set()
            writer.join()
        equal(failures, [], "writes that failed")
        check(len(seen) > 1, "writes landed meanwhile: %s", seen)

    def listings_say_what_there_is_on_every_node(self):
        # The other tests of this group have subjects of their own.
        subjects = self._post_all(API + "/subjects", {"topic": "q"})
        equal([(r["subject"], r["name"], r["records"], r["first"], r["last"])
               for r in subjects["data"]],
              [("q,3", "丙", 3, 1688083200, 1711843200), ("q1", "甲", 3, 1688083200, 1711843200),
               ("q2", "乙", 3, 1688083200, 1711843200)], "subjects")
        equal(subjects["total"], 3, "total")
        equal(self._post_all(API + "/topics", {"prefix": "q"})["data"],
              [{"topic": "q", "subjects": 3}], "topics")
        equal([(r["indicator"], r["subjects"], r["records"])
               for r in self._post_all(API + "/indicators", {"topic": "q"})["data"]],
              [("a", 3, 9), ("b", 3, 9)], "indicators")

    def a_listing_goes_on_at_another_node(self):
        everyone = self.cluster.everyone()
        keys, cursor = [], {}
        for page in range(10):
            server = everyone[page % len(everyone)]
            target = server.data_prefix + API + "/subjects?" + urlencode(
                dict({"topic": "q", "limit": 1}, **cursor))
            answer = server.get(target)
            answer.data()
            keys += [row["subject"] for row in answer.data()]
            check(answer.headers.get("x-kamaitachi-revision"), "no revision at %s", server.name)
            equal(request(server.addr, "HEAD", target).status, 200, "HEAD")
            if "next_cursor" not in answer.json():
                break
            cursor = {"cursor": answer.json()["next_cursor"]}
        equal(keys, ["q,3", "q1", "q2"], "keys")

    def a_bad_listing_is_refused_by_name(self):
        for server in self.cluster.everyone():
            for name in ("subjects", "topics", "indicators"):
                for query, code, field in [("topic=", "bad_value", "topic"),
                                           ("limit=x", "bad_value", "limit"),
                                           ("limit=1001", "bad_value", "limit"),
                                           ("cursor=abc", "bad_value", "cursor"),
                                           ("colour=1", "unknown_field", "colour"),
                                           ("q=a&q=b", "bad_value", "q")]:
                    answer = server.data_get(name + "?" + query)
                    equal([answer.status, answer.error().get("code"),
                           answer.error().get("field")], [400, code, field],
                          "%s?%s at %s" % (name, query, server.name))
