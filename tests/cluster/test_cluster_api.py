# SPDX-License-Identifier: MIT
"""What operators ask of a cluster, and what nodes without etcd ask of the others."""

import json
import os
import re
import signal
import time

from cluster import Node, check, equal, group, test, wait_until

GUEST = {"node_id": "00000000000000a1", "address": "127.0.0.1", "port": 4}


@test
def detach_makes_a_member_a_cluster_of_its_own(bench):
    cluster = bench.cluster(slaves=1, gateway=False)
    cluster.master.save(records=[{"subject": "s1", "time": 1, "data": {"x": 1}}])
    cluster.wait_level()
    slave = cluster.slaves[0]
    before = slave.info()
    slave.terminate()

    slave.environment["KAMAITACHI_ETCD_ENDPOINTS"] = cluster.etcd.addr
    slave.flags = ["-detach"]
    slave.expected_log = [r" error "]
    slave.launch()
    equal(slave.wait_exit(), 1, "status of -detach with etcd")
    check("[etcd] endpoints" in slave.log(), "the log does not say why: %s", slave.log()[-600:])

    slave.environment["KAMAITACHI_ETCD_ENDPOINTS"] = ""
    slave.start()
    alone = slave.info()
    check(alone["node_id"] != before["node_id"], "the node has kept its id")
    check(alone["cluster"] != before["cluster"], "the node is still of its cluster")
    equal((alone["standalone"], alone["is_leader"]), (True, True), "standalone, is_leader")
    slave.save(records=[{"subject": "s2", "time": 1, "data": {"x": 2}}])
    equal(slave.snapshot(ids="x")["total"], 2, "subjects")

    # The flag may stay: a second start changes nothing, and without it neither.
    for flags in (["-detach"], []):
        slave.terminate()
        slave.flags = flags
        slave.start()
        equal(slave.info()["cluster"], alone["cluster"], "cluster after a restart")
        equal(slave.info()["node_id"], alone["node_id"], "node after a restart")

    # The old cluster does not take it back, and goes on.
    slave.terminate()
    slave.environment["KAMAITACHI_ETCD_ENDPOINTS"] = cluster.etcd.addr
    slave.launch()
    slave.wait_answers()
    cluster.master.save(records=[{"subject": "s3", "time": 1, "data": {"x": 3}}])
    equal(cluster.master.snapshot(ids="x")["total"], 2, "subjects of the old cluster")
    equal(slave.snapshot(ids="x")["total"], 2, "subjects of the detached node")
    check(slave.info()["cluster"] == alone["cluster"], "it has joined the old cluster")


def refused(answer, status, code, field):
    equal((answer.status, answer.error().get("code"), answer.error().get("field")),
          (status, code, field), "status, code, field of %s" % answer.body)


def of(info, node_id):
    return [node for node in info["nodes"] if node["node_id"] == node_id]


@group
class Registration:
    """Nodes that cannot reach etcd: entries that another one holds for them."""

    def setup(self, bench):
        self.cluster = bench.cluster(slaves=1, gateway=False)
        self.etcd, self.master, self.slave = \
            self.cluster.etcd, self.cluster.master, self.cluster.slaves[0]

    def _entry(self, addr="127.0.0.1:4"):
        text = self.etcd.get("/kamaitachi/services/data/" + addr)
        return json.loads(text) if text else None

    def a_guest_is_listed_and_becomes_a_member(self):
        answer = self.slave.post("/cluster/register", GUEST).data()
        equal((answer["node_id"], answer["address"], answer["ttl"]),
              (GUEST["node_id"], "127.0.0.1:4", 3), "node_id, address, ttl")
        check("etcd" not in answer, "more than was asked for: %s", answer)
        entry = self._entry()
        equal((entry["id"], entry["electable"], entry["role"], entry["via"]),
              (GUEST["node_id"], False, "follower", self.slave.info()["node_id"]), "the entry")
        wait_until(lambda: of(self.master.info(), GUEST["node_id"]), "the guest is a member")
        self.slave.post("/cluster/register", GUEST).data()  # again is no fault
        self.slave.post("/cluster/deregister", GUEST).data()
        equal(self._entry(), None, "the entry after deregister")

    def heartbeats_keep_it_and_their_end_ends_it(self):
        self.slave.post("/cluster/register", GUEST).data()
        lease = self.etcd.lease_of("127.0.0.1:4")
        for _ in range(3):
            equal(self.slave.post("/cluster/heartbeat", GUEST).data()["lease"], str(lease), "lease")
        wait_until(lambda: self._entry() is None, "the entry runs out", 20)
        refused(self.slave.post("/cluster/heartbeat", GUEST), 404, "not_found", "node_id")
        refused(self.slave.post("/cluster/deregister", GUEST), 404, "not_found", "node_id")

    def an_entry_that_vanishes_is_put_again(self):
        self.slave.post("/cluster/register", GUEST).data()
        self.etcd.delete("/kamaitachi/services/data/127.0.0.1:4")

        def is_back():
            self.slave.post("/cluster/heartbeat", GUEST).data()
            return self._entry()
        wait_until(is_back, "the entry is back")
        self.slave.post("/cluster/deregister", GUEST).data()

    def a_guest_moves_to_another_node(self):
        self.slave.post("/cluster/register", GUEST).data()
        self.master.post("/cluster/register", GUEST).data()
        equal(self._entry()["via"], self.master.info()["node_id"], "via")

        def has_let_go():
            answer = self.slave.post("/cluster/heartbeat", GUEST)
            check(answer.status != 200, "it still holds the entry")
            return answer
        refused(wait_until(has_let_go, "the first lets go"), 409, "conflict", "node_id")
        equal(self._entry()["via"], self.master.info()["node_id"], "via after that")
        self.slave.post("/cluster/register", GUEST).data()  # and back
        equal(self._entry()["via"], self.slave.info()["node_id"], "via")
        self.slave.post("/cluster/deregister", GUEST).data()

    def ids_and_addresses_of_others_are_refused(self):
        other = dict(GUEST, node_id=self.master.info()["node_id"])
        refused(self.slave.post("/cluster/register", other), 409, "conflict", "node_id")
        own = dict(GUEST, node_id=self.slave.info()["node_id"])
        refused(self.slave.post("/cluster/register", own), 409, "conflict", "node_id")
        there = dict(GUEST, port=self.master.port)
        refused(self.slave.post("/cluster/register", there), 409, "conflict", "address")
        copied = dict(other, port=self.master.port)
        refused(self.slave.post("/cluster/register", copied), 409, "conflict", "node_id")
        self.master.post("/cluster/register", GUEST).data()
        moved = dict(GUEST, port=5)
        wait_until(lambda: self.slave.post("/cluster/register", moved).status == 409, "it is seen")
        refused(self.slave.post("/cluster/register", moved), 409, "conflict", "node_id")
        self.master.post("/cluster/deregister", GUEST).data()

    def bodies_are_strict(self):
        def with_(**fields):
            return {k: v for k, v in dict(GUEST, **fields).items() if v is not None}
        for path in ("register", "heartbeat"):
            for body, code, field in (
                    ({}, "bad_value", "node_id"), ([], "bad_value", ""),
                    (with_(node_id=None), "bad_value", "node_id"),
                    (with_(node_id="a1"), "bad_value", "node_id"),
                    (with_(node_id="00000000000000A1"), "bad_value", "node_id"),
                    (with_(node_id=1), "bad_value", "node_id"),
                    (with_(address=None), "bad_value", "address"),
                    (with_(address=""), "bad_value", "address"),
                    (with_(address="a b"), "bad_value", "address"),
                    (with_(address="h:8080"), "bad_value", "address"),
                    (with_(address="h" * 256), "bad_value", "address"),
                    (with_(port=None), "bad_value", "port"),
                    (with_(port=0), "bad_value", "port"),
                    (with_(port=65536), "bad_value", "port"),
                    (with_(port="4"), "bad_value", "port"),
                    (with_(port=4.5), "bad_value", "port"),
                    (with_(electable=True), "unknown_field", "electable"),
                    (with_(service=1), "bad_value", "service"),
                    (with_(service={}), "bad_value", "service"),
                    (with_(service={"id": "00000000000000a2", "role": "follower"}),
                     "bad_value", "service"),
                    (with_(service={"id": GUEST["node_id"], "role": "gateway"}),
                     "bad_value", "service")):
                refused(self.slave.post("/cluster/" + path, body), 400, code, field)
        refused(self.slave.post("/cluster/deregister", {}), 400, "bad_value", "node_id")
        refused(self.slave.post("/cluster/deregister", with_(x=1)), 400, "unknown_field", "x")
        refused(self.slave.post("/cluster/register", "{"), 415, "media_type", "Content-Type")
        equal(self.slave.get("/cluster/register").status, 405, "status of GET")

    def who_says_what_it_is_sees_what_stands_in_etcd(self):
        entry = {"id": GUEST["node_id"], "cluster": self.master.info()["cluster"],
                 "addr": "elsewhere:1", "role": "leader", "electable": True, "state": "whole",
                 "revision": 7, "newer": {"x": 1}}
        answer = self.slave.post("/cluster/register", dict(GUEST, service=entry)).data()
        stands = self._entry()
        equal((stands["electable"], stands["role"], stands["revision"], stands["addr"]),
              (False, "follower", 7, "127.0.0.1:4"), "the entry")
        keys = {key["key"]: key for key in answer["etcd"]["keys"]}
        equal((answer["etcd"]["complete"], answer["etcd"]["reachable"]), (True, True), "the view")
        for key, (value, lease) in self.etcd.get_prefix("/kamaitachi/").items():
            name = key[len("/kamaitachi"):]
            if name == "/services/data/127.0.0.1:4":
                continue  # the view may be a moment older
            check(name in keys, "%s is not told", key)
            equal(json.loads(keys[name]["value"]).get("id"), json.loads(value).get("id"), key)
            equal(keys[name]["lease"], str(lease), "lease of " + key)
        entry["revision"] = 8
        self.slave.post("/cluster/heartbeat", dict(GUEST, service=entry)).data()
        equal(self._entry()["revision"], 8, "revision in the entry")
        self.slave.post("/cluster/deregister", {"node_id": GUEST["node_id"]}).data()


@test
def registration_is_for_admins_and_allowed_networks(bench):
    cluster = bench.cluster(slaves=0, gateway=False, auth_admin_token="secret")
    node = cluster.master
    refused(node.post("/cluster/register", GUEST), 401, "unauthorized", "Authorization")
    node.post("/cluster/register", GUEST, {"Authorization": "Bearer secret"}).data()
    node.post("/cluster/deregister", GUEST, {"Authorization": "Bearer secret"}).data()
    node.terminate()
    node.environment["KAMAITACHI_CLUSTER_ALLOW"] = "10.0.0.0/8, 127.0.0.1"
    node.start()
    node.post("/cluster/register", GUEST).data()
    refused(node.post("/cluster/register", GUEST, {"Via": "1.1 proxy"}), 401, "unauthorized",
            "Authorization")
    equal(node.post("/cluster/failover", {}).status, 401, "status of another admin path")


@test
def registration_needs_an_etcd_behind_the_node_asked(bench):
    alone = Node(bench, "master2", None).start()
    refused(alone.post("/cluster/register", GUEST), 409, "conflict", "")
    cluster = bench.cluster(slaves=0, gateway=False)
    cluster.master.post("/cluster/register", GUEST).data()
    cluster.etcd.kill()
    answer = cluster.master.post("/cluster/heartbeat", GUEST)
    equal((answer.status, answer.error()["code"]), (503, "unavailable"), "without etcd")
    check(answer.headers.get("retry-after"), "no Retry-After: %s", answer.headers)
    cluster.etcd.start()

    def lives_again():
        return cluster.master.post("/cluster/register", GUEST).status == 200
    wait_until(lives_again, "the guest is registered again", 20)


@test
def a_node_without_etcd_follows_through_others(bench):
    cluster = bench.cluster(slaves=1, gateway=True)
    master, slave = cluster.master, cluster.slaves[0]
    master.save(records=[{"subject": "s1", "time": 1, "data": {"x": 1}}])
    # A port that nobody listens on comes first: the next one of the list is asked.
    lonely = Node(bench, "slave7", None, cluster_register_with="127.0.0.1:1, %s, %s" % (
        slave.addr, master.addr))
    lonely.start()
    equal(lonely.info()["standalone"], False, "standalone")
    equal(lonely.info()["leader"], master.addr, "leader")
    equal(lonely.snapshot(ids="x")["total"], 1, "subjects")
    me = wait_until(lambda: of(master.info(), lonely.info()["node_id"]), "it is a member")[0]
    equal((me["electable"], me["address"]), (False, lonely.addr), "electable, address")
    entry = json.loads(cluster.etcd.get("/kamaitachi/services/data/" + lonely.addr))
    equal(entry["via"], slave.info()["node_id"], "via")
    refused(lonely.post("/cluster/register", GUEST), 409, "conflict", "")
    cluster.gateway.wait_nodes([master, slave, lonely])

    # The node that holds its entry dies: the next one takes over, and it goes on following.
    slave.kill()
    master.save(records=[{"subject": "s2", "time": 1, "data": {"x": 2}}])
    lonely.wait_revision(master.revision())

    def has_moved():
        text = cluster.etcd.get("/kamaitachi/services/data/" + lonely.addr)
        return text and json.loads(text)["via"] == master.info()["node_id"]
    wait_until(has_moved, "the master holds its entry", 20)
    # Who holds its entry may take a moment to hear that it stops.
    master.signal(signal.SIGSTOP)
    lonely.signal(signal.SIGTERM)
    wait_until(lambda: "program stopping" in lonely.log(), "it stops")
    seen = time.monotonic()
    wait_until(lambda: time.monotonic() - seen > 0.5, "the master is silent")
    master.signal(signal.SIGCONT)
    equal(lonely.wait_exit(), 0, "its exit status")
    equal(cluster.etcd.get("/kamaitachi/services/data/" + lonely.addr), None, "its entry")


# --- what operators ask ---

def in_sync(node):
    return sorted(n["address"] for n in node.info()["nodes"] if n["in_sync"])


def leads(node):
    check(node.info()["is_leader"], "%s does not lead", node.name)
    return True


@group
class Operators:
    """Failover, and what the nodes say of the cluster meanwhile."""

    def setup(self, bench):
        self.cluster = bench.cluster(slaves=2, gateway=False)
        self.nodes = self.cluster.nodes
        self.by_addr = {node.addr: node for node in self.nodes}
        everyone = sorted(self.by_addr)
        wait_until(lambda: in_sync(self.cluster.master) == everyone, "all are in sync", 20)

    def _leader(self):
        return wait_until(lambda: self.by_addr.get(
            self.nodes[0].get("/cluster/leader").data()["address"]), "there is a leader")

    def info_tells_positions_and_clocks_of_all(self):
        leader = self._leader()
        leader.save(records=[{"subject": "s1", "time": 1, "data": {"x": 1}}])
        revision = leader.revision()

        def is_told():
            info = leader.info()
            equal((info["is_leader"], info["in_sync"], info["in_sync_count"], info["min_in_sync"],
                   info["waiting_for"]), (True, True, 3, 1, ""), "the leader's own")
            equal((info["commit"], info["log_end"]), (revision, revision), "commit, log_end")
            equal(len(info["nodes"]), 3, "nodes")
            for node in info["nodes"]:
                equal((node["revision"], node["in_sync"], node["electable"], node["status"]),
                      (revision, True, True, "whole"), "revision, in_sync, electable, status")
                check(isinstance(node["lag_ms"], int), "lag_ms is %r", node["lag_ms"])
                check(abs(node["clock_skew_ms"]) < 500, "skew is %r", node["clock_skew_ms"])
            return True
        wait_until(is_told, "the leader tells all")
        follower = next(n for n in self.nodes if n is not leader)
        info = follower.info()
        equal((info["is_leader"], info["in_sync"], info["leader"]), (False, True, leader.addr),
              "a follower's own")
        stats = leader.stats()["replication"]
        equal((stats["in_sync_count"], len(stats["peers"]), stats["elections_won"] >= 1),
              (3, 2, True), "in_sync_count, peers, elections_won")

    def metrics_are_prometheus_text_and_say_the_same(self):
        leader = self._leader()
        answer = leader.get("/metrics")
        equal((answer.status, answer.headers["content-type"]),
              (200, "text/plain; version=0.0.4; charset=utf-8"), "status, type")
        values, kinds = {}, {}
        for line in answer.body.decode().splitlines():
            sample = re.fullmatch(r'(kamaitachi_node_\w+)(?:\{node="([0-9a-f]{16})"\})? (-?\d+)', line)
            comment = re.fullmatch(r"# (HELP|TYPE) (kamaitachi_node_\w+) (.+)", line)
            check(sample or comment, "no metric: %s", line)
            if comment and comment.group(1) == "TYPE":
                check(comment.group(2) not in kinds, "%s comes twice", comment.group(2))
                kinds[comment.group(2)] = comment.group(3)
            if sample:
                check(sample.group(1) in kinds, "%s has no type", sample.group(1))
                values[sample.group(1, 2)] = int(sample.group(3))
        for name, kind in kinds.items():
            equal(kind, "counter" if name.endswith("_total") else "gauge", "type of " + name)
        followers = [n.info()["node_id"] for n in self.nodes if n is not leader]
        for name, expected in (("is_leader", 1), ("in_sync_count", 3), ("min_in_sync", 1),
                               ("ready", 1), ("epoch", leader.info()["epoch"])):
            equal(values["kamaitachi_node_" + name, None], expected, name)
        for name in followers:
            equal(values["kamaitachi_node_peer_in_sync", name], 1, "in_sync of a follower")
        quiet = next(n for n in self.nodes if n is not leader).get("/metrics").body.decode()
        check("\nkamaitachi_node_is_leader 0\n" in quiet, "a follower leads")

    def failover_without_a_target_goes_to_one_in_sync(self):
        leader = self._leader()
        epoch = leader.info()["epoch"]
        answer = leader.post("/cluster/failover", {}).data()
        check(answer["leader"] != leader.addr, "it leads again")
        successor = self.by_addr[answer["leader"]]
        wait_until(lambda: leads(successor), "the successor leads")
        check(successor.info()["epoch"] > epoch, "the epoch has not risen")
        successor.save(records=[{"subject": "s2", "time": 1, "data": {"x": 2}}])
        check(successor.snapshot(ids="x")["total"] >= 1, "it does not answer")

    def failover_to_an_id_or_an_address(self):
        for name in ("node_id", "address"):
            leader = self._leader()
            wait_until(lambda: len(in_sync(leader)) == 3, "all are in sync again", 20)
            target = next(n for n in self.nodes if n is not leader)
            to = {"node_id": target.info()["node_id"], "address": target.addr}[name]
            answer = leader.post("/cluster/failover", {"to": to}).data()
            equal(answer["leader"], target.addr, "leader after failover by " + name)
            wait_until(lambda: leads(target), "the target leads")

    def failover_is_for_the_leader_and_its_members(self):
        leader = self._leader()
        follower = next(n for n in self.nodes if n is not leader)
        answer = follower.post("/cluster/failover", {})
        refused(answer, 421, "not_leader", "")
        equal(answer.headers.get("x-kamaitachi-leader"), leader.addr, "X-Kamaitachi-Leader")
        refused(leader.post("/cluster/failover", {"to": "127.0.0.1:1"}), 400, "bad_value", "to")
        refused(leader.post("/cluster/failover", {"to": leader.addr}), 400, "bad_value", "to")
        refused(leader.post("/cluster/failover", {"to": 7}), 400, "bad_value", "to")
        refused(leader.post("/cluster/failover", {"to": ""}), 400, "bad_value", "to")
        refused(leader.post("/cluster/failover", {"too": ""}), 400, "unknown_field", "too")

    def events_tell_what_has_happened(self):
        leader = self._leader()
        events = leader.get("/cluster/events").data()["events"]
        check(events, "there are none")
        for event in events:
            equal(sorted(event), ["node", "time", "what", "why"], "members of an event")
        equal([e["time"] for e in events], sorted(e["time"] for e in events), "their order")
        told = {event["what"] for node in self.nodes
                for event in node.get("/cluster/events").data()["events"]}
        for what in ("won", "stepped_down", "handover"):
            check(what in told, "nobody tells of %s: %s", what, sorted(told))

    def levels_are_kept(self):
        leader = self._leader()
        follower = next(n for n in self.nodes if n is not leader)
        level = {"X-Kamaitachi-Consistency": "linearizable"}

        def is_served():
            equal(leader.data_post("snapshot", {"ids": "x"}, level).status, 200, "status")
            return True
        wait_until(is_served, "the leader answers linearizable")
        leader.data_post("snapshot", {"ids": "x"}, {"X-Kamaitachi-Consistency": "leader"}).data()
        for name in ("leader", "linearizable"):
            answer = follower.data_post("snapshot", {"ids": "x"},
                                        {"X-Kamaitachi-Consistency": name})
            refused(answer, 421, "not_leader", "X-Kamaitachi-Consistency")
            equal(answer.headers.get("x-kamaitachi-leader"), leader.addr, "X-Kamaitachi-Leader")

    def forget_drops_who_is_gone(self):
        leader = self._leader()
        followers = [n for n in self.nodes if n is not leader]
        gone, there = followers[0], followers[1]
        gone_id, there_id = gone.info()["node_id"], there.info()["node_id"]
        refused(leader.post("/cluster/forget", {}), 400, "bad_value", "id")
        refused(leader.post("/cluster/forget", {"id": "x"}), 400, "bad_value", "id")
        refused(leader.post("/cluster/forget", {"id": "0" * 16}), 404, "not_found", "id")
        refused(leader.post("/cluster/forget", {"id": there_id}), 409, "conflict", "id")
        refused(there.post("/cluster/forget", {"id": gone_id}), 421, "not_leader", "")
        gone.terminate()
        wait_until(lambda: len(in_sync(leader)) == 2, "it is out of sync", 20)
        equal(leader.post("/cluster/forget", {"id": gone_id}).data(), {"id": gone_id}, "answer")
        check(not of(leader.info(), gone_id), "it is still a member")
        gone.start()  # who comes back is taken in again
        wait_until(lambda: of(leader.info(), gone_id), "it is a member again")

    def recover_is_refused_while_somebody_leads(self):
        leader = self._leader()
        refused(leader.post("/cluster/recover", {}), 400, "bad_value", "accept_loss")
        refused(leader.post("/cluster/recover", {"accept_loss": False}), 400, "bad_value",
                "accept_loss")
        refused(leader.post("/cluster/recover", {"accept_loss": True}), 409, "conflict", "")


@test
def recover_is_the_way_out_when_who_was_in_sync_is_gone(bench):
    cluster = bench.cluster(slaves=1, gateway=False)
    master, slave = cluster.master, cluster.slaves[0]
    both = sorted([master.addr, slave.addr])
    wait_until(lambda: in_sync(master) == both, "both are in sync", 20)
    master.save(records=[{"subject": "s1", "time": 1, "data": {"x": 1}}])
    slave.wait_revision(master.revision())
    # The slave leaves, the master goes on alone, and is then gone for good.
    slave.kill()
    wait_until(lambda: in_sync(master) == [master.addr], "the slave is out of sync", 20)
    master.save(records=[{"subject": "s2", "time": 1, "data": {"x": 2}}])
    gone = master.info()["node_id"]
    master.wait_written()  # so that it knows what was committed
    master.kill()
    slave.launch()
    slave.wait_answers()

    def waits():
        answer = slave.get("/cluster/leader")
        equal(answer.status, 503, "status of /cluster/leader")
        text = slave.info()["waiting_for"]
        check(gone in text or master.addr in text, "it waits for %r", text)
        return True
    wait_until(waits, "it says whom it waits for", 30)
    answer = slave.data_post("save", {"records": [{"subject": "s3", "time": 1, "data": {"x": 3}}]})
    equal(answer.status, 503, "status of a write without a leader")
    answer = slave.data_post("snapshot", {"ids": "x"}, {"X-Kamaitachi-Consistency": "leader"})
    refused(answer, 503, "unavailable", "X-Kamaitachi-Consistency")

    answer = wait_until(lambda: slave.post("/cluster/recover", {"accept_loss": True}),
                        "recover answers")
    data = answer.data()
    equal(data["address"], slave.addr, "who leads")
    check(gone in data["missing"] or master.addr in data["missing"], "missing is %r", data)
    slave.wait_well(30)
    slave.save(records=[{"subject": "s3", "time": 1, "data": {"x": 3}}])
    equal(slave.snapshot(ids="x")["total"], 2, "subjects, without what was lost")
    told = [e["what"] for e in slave.get("/cluster/events").data()["events"]]
    check("recover" in told, "events: %s", told)

    # The other one comes back with what was acknowledged and is lost now: it stops and says so.
    master.expected_log = [r"replica stopped"]
    master.launch()
    master.wait_answers()

    def has_stopped():
        health = master.health()
        equal(health["status"], "stopped", "status")
        check("-rejoin" in health["why"], "why: %s", health["why"])
        return True
    wait_until(has_stopped, "the diverged node stops", 30)
    equal(master.get("/health/ready").status, 503, "status of /health/ready")
    check("-rejoin" in master.info()["waiting_for"], "waiting_for: %r", master.info())
    master.terminate()
    # With -rejoin it takes a full copy, starts again within its process, and is in sync again.
    master.flags = ["-rejoin"]
    master.launch()
    process = master.popen.pid
    master.wait_well(60)
    slave.save(records=[{"subject": "s4", "time": 1, "data": {"x": 4}}])
    wait_until(lambda: in_sync(slave) == both, "both are in sync again", 30)
    master.wait_revision(slave.revision())
    equal(master.snapshot(ids="x")["total"], 3, "subjects at the node that rejoined")
    equal((master.popen.pid, master.is_running()), (process, True), "the process")
    check("reason=restart" in master.log(), "it did not start again by itself")
    check(any(".diverged-" in name for name in os.listdir(master.dir)), "its old file is gone")
    # The flag may stay.
    master.terminate()
    master.start()
    wait_until(lambda: in_sync(slave) == both, "both are in sync after a restart", 30)


@test
def recover_is_asked_of_the_most_advanced_node(bench):
    cluster = bench.cluster(slaves=2, gateway=False)
    master, second, third = cluster.nodes
    wait_until(lambda: len(in_sync(master)) == 3, "all are in sync", 20)
    third.kill()
    wait_until(lambda: len(in_sync(master)) == 2, "two are in sync", 20)
    master.save(records=[{"subject": "s1", "time": 1, "data": {"x": 1}}])
    second.wait_revision(master.revision())
    second.kill()
    wait_until(lambda: in_sync(master) == [master.addr], "one is in sync", 20)
    master.save(records=[{"subject": "s2", "time": 1, "data": {"x": 2}}])
    gone = master.info()["node_id"]
    master.kill()
    for node in (second, third):
        node.launch()
        node.wait_answers()
    wait_until(lambda: cluster.etcd.service_key(master.addr) is None and
               cluster.etcd.get("/kamaitachi/cluster/leader") is None, "the master is gone", 20)

    def is_sent_on():
        answer = third.post("/cluster/recover", {"accept_loss": True})
        refused(answer, 421, "not_leader", "")
        return answer
    answer = wait_until(is_sent_on, "the less advanced one names the other", 20)
    equal(answer.headers.get("x-kamaitachi-leader"), second.addr, "X-Kamaitachi-Leader")
    data = second.post("/cluster/recover", {"accept_loss": True}).data()
    equal(data["address"], second.addr, "who leads")
    for node in (second, third):
        node.wait_well(30)
    wait_until(lambda: second.post("/cluster/forget", {"id": gone}).status == 200,
               "the gone node is forgotten")
    second.save(records=[{"subject": "s3", "time": 1, "data": {"x": 3}}])
    third.wait_revision(second.revision())
    equal(third.snapshot(ids="x")["total"], 2, "subjects")
