# SPDX-License-Identifier: MIT
"""Deletes, repeated writes with a key, if_revision, topics added and removed: through the gateway."""

import http.client
import json
import threading

from cluster import SLOW, Failure, check, equal, group, test, wait_until

SLOW_TESTS = ["saves_with_keys_are_done_once_through_kills_of_the_leader"]


def record(subject, time, period="", **data):
    return {"subject": subject, "time": time, "period": period, "data": data}


def refused(answer, status, code, field, outcome="none"):
    what = "%d %s" % (status, code)
    equal((answer.status, answer.error().get("code")), (status, code), what)
    equal(answer.error().get("field"), field, what + ": field")
    equal(answer.headers.get("x-kamaitachi-outcome"), outcome, what + ": outcome")
    return answer


def restart(cluster):
    for node in cluster.nodes:
        node.terminate()
    for node in cluster.nodes:
        node.launch()
    for node in cluster.nodes:
        node.wait_well()
    cluster.gateway.wait_nodes(cluster.nodes)


def alike(cluster, name, body):
    """The one answer that all give."""
    cluster.wait_level()
    return cluster.ask_all(name, body)["data"]


@test
def a_delete_through_the_gateway_is_alike_on_every_node_also_after_a_restart(bench):
    cluster = bench.cluster(slaves=2)
    gateway = cluster.gateway
    gateway.save(subjects=[{"subject": s, "name": s.upper(), "topics": ["pool"]} for s in "abc"],
                 records=[record(s, time, period, x=time) for s in "abc" for time in (1, 2, 3)
                          for period in ("H1", "Q4")])
    # Series in the caches of all nodes, so that a stale one would show.
    ask = {"subjects": ["a", "b", "c"], "order": "asc"}
    equal(len(alike(cluster, "period", ask)[0]["data"]), 6, "records of a")
    deleted = gateway.data_post("delete", {"subjects": ["a"], "from": 2, "periods": ["Q4"]}).data()
    equal((deleted["records"], deleted["subjects"]), (2, 1), "what was deleted of a")
    deleted = gateway.data_post("delete", {"subjects": ["b", "nobody"], "all": True}).data()
    equal((deleted["records"], deleted["subjects"]), (6, 1), "what was deleted of b")
    want = [("a", [("H1", 1), ("Q4", 1), ("H1", 2), ("H1", 3)]), ("c", None)]
    for _ in range(2):
        found = alike(cluster, "period", ask)
        equal([row["subject"]["subject"] for row in found], [key for key, _ in want], "subjects")
        equal([(r["period"], r["x"]) for r in found[0]["data"]], want[0][1], "records of a")
        equal(len(found[1]["data"]), 6, "records of c")
        pool = alike(cluster, "snapshot", {"topic": "pool", "field": "subject", "order": "asc"})
        equal([row["subject"]["subject"] for row in pool], ["a", "c"], "the pool")
        equal({(n.stats()["total_records"], n.stats()["subjects"]) for n in cluster.nodes},
              {(10, 2)}, "records and subjects")
        restart(cluster)
    # A later save of the key starts from nothing.
    gateway.save(records=[record("b", 9, x=1)])
    found = alike(cluster, "period", {"subjects": ["b"]})
    equal(found[0]["subject"]["name"], "b", "the name of the new b: its key")
    equal(len(found[0]["data"]), 1, "records of the new b")
    equal(len(alike(cluster, "snapshot", {"topic": "pool"})), 2, "the pool")


@group
class Writes:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=1)
        self.gateway, self.master = self.cluster.gateway, self.cluster.master

    def _save(self, key=None, server=None, **fields):
        headers = {"Idempotency-Key": key} if key else {}
        return (server or self.gateway).data_post("save", fields, headers)

    def a_repeated_save_comes_to_the_first_ones_answer_and_writes_nothing(self):
        first = self._save("k1", records=[record("once", 1, x=1)]).data()
        end = self.master.stats()["revision"]
        for server in (self.gateway, self.master):
            equal(self._save("k1", server, records=[record("once", 1, x=1)]).data(), first, "again")
        equal(self.master.stats()["revision"], end, "the revision after repetitions")
        refused(self._save("k1", records=[record("once", 1, x=2)]), 409, "idempotency_mismatch",
                "Idempotency-Key")
        # A delete is another change than a save, whatever its key.
        refused(self.gateway.data_post("delete", {"subjects": ["once"], "all": True},
                                       {"Idempotency-Key": "k1"}),
                409, "idempotency_mismatch", "Idempotency-Key")
        self.cluster.wait_level()
        equal(self.gateway.snapshot(subjects=["once"])["data"][0]["data"], {"x": 1}, "the value")

    def a_repeated_delete_deletes_nothing_that_came_since(self):
        self._save(records=[record("again", 1, x=1)])
        body = {"subjects": ["again"], "from": 1}
        first = self.gateway.data_post("delete", body, {"Idempotency-Key": "d1"}).data()
        equal(first["records"], 1, "deleted")
        self._save(records=[record("again", 2, x=2)])
        equal(self.gateway.data_post("delete", body, {"Idempotency-Key": "d1"}).data(), first,
              "repeated")
        self.cluster.wait_level()
        equal(len(self.gateway.snapshot(subjects=["again"])["data"]), 1, "what came since")

    def a_dry_run_only_counts(self):
        self._save(records=[record("dry", time, x=1) for time in range(5)])
        before = self.master.stats()["revision"]
        for key in ({}, {"Idempotency-Key": "dry"}):
            found = self.gateway.data_post("delete", {"subjects": ["dry", "none"], "to": 3,
                                                      "dry_run": True}, key).data()
            equal(found, {"revision": before, "records": 4, "subjects": 1, "dry_run": True},
                  "what would go")
        equal(self.master.stats()["revision"], before, "the revision")
        self.cluster.wait_level()
        refused(self.cluster.slaves[0].data_post("delete", {"subjects": ["dry"], "all": True}),
                421, "not_leader", "")

    def if_revision_refuses_what_changed_meanwhile(self):
        seen = self._save(subjects=[{"subject": "guarded", "name": "one"}]).data()["revision"]
        later = self._save(subjects=[{"subject": "guarded", "name": "two"}]).data()["revision"]
        answer = refused(self._save("guard", if_revision=seen,
                                   subjects=[{"subject": "guarded", "name": "three"}]),
                         409, "changed", "if_revision")
        check("revision %d" % later in answer.json()["status_msg"], "it says which: %s",
              answer.json()["status_msg"])
        # The refusal is a result: told again under its key, also when the condition would hold.
        refused(self._save("guard", if_revision=seen,
                          subjects=[{"subject": "guarded", "name": "three"}]),
                409, "changed", "if_revision")
        self._save(if_revision=later, subjects=[{"subject": "guarded", "name": "three"}]).data()
        refused(self.gateway.data_post("delete", {"subjects": ["guarded"], "all": True,
                                                  "if_revision": later}),
                409, "changed", "if_revision")
        equal(alike(self.cluster, "period", {"subjects": ["guarded"]})[0]["subject"]["name"],
              "three", "the name")

    def topics_are_added_and_removed_beside_others(self):
        def edit(**topics):
            self._save(subjects=[dict(subject="mover", **topics)]).data()

        def at(topic, moment):
            rows = alike(self.cluster, "snapshot", {"topic": topic, "timestamp": moment})
            return [row["subject"]["subject"] for row in rows]

        self._save(records=[record("mover", 1, x=1)])
        edit(topics=[{"topic": "old", "from": 1, "to": 10}])
        edit(topics_add=["open", {"topic": "old", "from": 20}])
        equal((at("old", 5), at("old", 15), at("old", 25), at("open", 15)),
              (["mover"], [], ["mover"], ["mover"]), "after adding")
        edit(topics_add=[{"topic": "old", "from": 20, "to": 22}])
        equal((at("old", 5), at("old", 25)), (["mover"], []), "with an end set")
        edit(topics_remove=["old"])
        equal((at("old", 5), at("old", 21), at("open", 15)), ([], [], ["mover"]), "after removing")


@test
def keys_and_revisions_are_right_after_kill_9_of_every_node(bench):
    cluster = bench.cluster(slaves=1)
    gateway = cluster.gateway
    body = {"records": [record("s", 1, x=1)]}
    first = gateway.data_post("save", body, {"Idempotency-Key": "k"}).data()
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.launch()
    for node in cluster.nodes:
        node.wait_well()
    gateway.wait_nodes(cluster.nodes)
    # The gateway may hear of the new epoch a moment later.
    wait_until(lambda: gateway.data_post("save", body, {"Idempotency-Key": "k"}).data() == first,
               "the repeated save comes to the first one's answer")
    refused(gateway.data_post("save", dict(body, if_revision=first["revision"] - 1)), 409,
            "changed", "if_revision")
    gateway.data_post("save", dict(body, if_revision=first["revision"])).data()


@test
def more_keys_than_the_cluster_remembers_are_refused_for_certain(bench):
    cluster = bench.cluster(slaves=0, gateway=False, limits_idempotency_keys=2)
    for key in ("a", "b"):
        cluster.master.data_post("save", {"records": [record("s", 1, x=1)]},
                                 {"Idempotency-Key": key}).data()
    answer = cluster.master.data_post("save", {"records": [record("s", 2, x=1)]},
                                      {"Idempotency-Key": "c"})
    refused(answer, 503, "unavailable", "Idempotency-Key")
    check("retry-after" in answer.headers, "no Retry-After in %s", answer.headers)
    equal(cluster.master.stats()["total_records"], 1, "records")
    cluster.master.save(records=[record("s", 2, x=1)])


class Writer:
    """Saves one record after the other, each under its key until it is answered 200."""

    def __init__(self, gateway, number):
        self.gateway, self.number, self.revisions = gateway, number, {}
        self.stop, self.fault = threading.Event(), None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _once(self, body, key):
        """The answer's data, or None when nobody knows or it was not done."""
        try:
            answer = self.gateway.data_post("save", body, {"Idempotency-Key": key},
                                            timeout=60 * SLOW)
        except (OSError, http.client.HTTPException):
            return None
        if answer.status in (502, 503, 504):
            return None
        return answer.data()

    def _run(self):
        try:
            while not self.stop.is_set():
                n = len(self.revisions)
                body = {"records": [record("w%d" % self.number, n, x=n)]}
                key = "writer-%d-%d" % (self.number, n)
                data = wait_until(lambda: self._once(body, key), "save " + key, 60)
                # What was answered once is answered so again.
                again = wait_until(lambda: self._once(body, key), "again " + key, 60)
                equal(again, data, "the second answer to " + key)
                self.revisions[n] = data["revision"]
        except Failure as failure:
            self.fault = failure


@test
def saves_with_keys_are_done_once_through_kills_of_the_leader(bench):
    cluster = bench.cluster(slaves=1)
    writers = [Writer(cluster.gateway, number) for number in range(4)]
    for _ in range(3):
        before = [len(writer.revisions) for writer in writers]
        wait_until(lambda: all(len(w.revisions) > b + 5 or w.fault
                               for w, b in zip(writers, before)), "saves go on", 60)
        cluster.wait_in_sync(cluster.nodes, 60)
        leader = cluster.leader()
        leader.kill()
        leader.launch()
        leader.wait_well(60)
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.thread.join()
        check(writer.fault is None, "writer %d: %s", writer.number, writer.fault)
    cluster.wait_level()
    for node in cluster.nodes:
        lines = node.data_get("export?format=ndjson&versions=1").body.decode().splitlines()
        versions = [json.loads(line) for line in lines]
        versions = [line for line in versions if "record" in line]
        found = sorted((line["record"]["subject"], line["record"]["time"],
                        line["record"].get("recorded", line.get("recorded"))["revision"])
                       for line in versions)
        want = sorted(("w%d" % writer.number, n, revision) for writer in writers
                      for n, revision in writer.revisions.items())
        equal(found, want, "each record, once, at the revision that was answered")
