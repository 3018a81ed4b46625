# SPDX-License-Identifier: MIT
"""What of the contract's headers passes the gateway: validators, encodings, HEAD, times, levels. The
same on a node and through the gateway, on connections that live on."""

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time

from cluster import (API, SLOW, Answer, Gateway, Node, check, equal, free_ports, group, test,
                     wait_until)
from faults import Field
from test_pressure import Run

SLOW_TESTS = ["five_hundred_writers_wait_out_an_election"]

TIMEOUT = "X-Kamaitachi-Timeout-Ms"
SNAPSHOT = API + "/snapshot"


class Kept:
    """One connection for many requests: what is wrong with one answer's end spoils the next."""

    def __init__(self, server):
        host, port = server.addr.rsplit(":", 1)
        self.server = server
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60 * SLOW)

    def ask(self, method, path, body=None, headers=None):
        self.connection.request(method, self.server.data_prefix + path, body, headers or {})
        check(self.connection.sock is not None, "a connection")
        answer = self.connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def close(self):
        self.connection.close()


@group
class ThroughTheGateway:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=2)
        self.gateway = self.cluster.gateway
        self.gateway.save(records=[
            {"subject": "s%03d" % i, "time": 0, "data": {"x": i, "y": -i}} for i in range(300)])
        self.cluster.wait_level()

    @contextlib.contextmanager
    def _kept(self, server):
        kept = Kept(server)
        try:
            yield kept
        finally:
            kept.close()

    def what_a_client_has_is_304_on_every_node(self):
        path = SNAPSHOT + "?topic=*&limit=200&order=1&field=x"
        tags = set()
        for server in self.cluster.everyone():
            with self._kept(server) as kept:
                for _ in range(6):
                    full = kept.ask("GET", path)
                    equal(full.status, 200, "a question at %s" % server.name)
                    equal(full.headers["cache-control"], "no-cache", "Cache-Control")
                    tags.add(full.headers["etag"])
                    for value in (full.headers["etag"], "*", '"x", W/' + full.headers["etag"]):
                        same = kept.ask("GET", path, None, {"If-None-Match": value})
                        equal([same.status, same.body, same.headers["etag"]],
                              [304, b"", full.headers["etag"]], "If-None-Match: " + value)
                    other = kept.ask("GET", path, None, {"If-None-Match": '"another"'})
                    equal([other.status, other.body], [200, full.body], "another tag")
        equal(len(tags), 1, "tags of one answer")
        before = tags.pop()
        revision = self.gateway.save(records=[
            {"subject": "s000", "time": 0, "data": {"x": 0.5}}])["revision"]
        changed = self.gateway.get("/data" + path, {
            "If-None-Match": before, "X-Kamaitachi-Consistency": "session",
            "X-Kamaitachi-Min-Revision": str(revision)})
        equal(changed.status, 200, "what has changed since")
        check(changed.headers["etag"] != before, "the tag stays %s", before)
        self.cluster.wait_level()

    def answers_are_compressed_for_who_wants_it(self):
        body = json.dumps({"topic": "*", "limit": 300, "field": "y"})
        for server in self.cluster.everyone():
            with self._kept(server) as kept:
                plain = kept.ask("POST", SNAPSHOT, body)
                equal(plain.headers.get("content-encoding"), None, "an encoding nobody asked for")
                equal(plain.headers["vary"], "Accept-Encoding", "Vary")
                for wish, zipped in (("gzip", True), ("gzip;q=0", False), ("br, gzip;q=0.5", True),
                                     ("identity", False)):
                    answer = kept.ask("POST", SNAPSHOT, body, {"Accept-Encoding": wish})
                    equal(answer.headers.get("content-encoding"), "gzip" if zipped else None,
                          "the encoding for " + wish)
                    text = gzip.decompress(answer.body) if zipped else answer.body
                    equal(text, plain.body, "the answer to " + wish)
                export = kept.ask("GET", API + "/export", None, {"Accept-Encoding": "gzip"})
                equal(export.headers.get("content-encoding"), "gzip", "an export's encoding")
                equal(gzip.decompress(export.body), kept.ask("GET", API + "/export").body,
                      "a compressed export")
        own = self.gateway.get(API + "/stats", {"Accept-Encoding": "gzip"})
        equal([own.status, own.headers.get("content-encoding"), own.headers.get("vary")],
              [200, "gzip", "Accept-Encoding"], "the gateway's own answer")
        equal(json.loads(gzip.decompress(own.body))["data"]["nodes"], 3, "nodes in it")

    def own_answers_have_tags_too(self):
        with self._kept(self.gateway) as kept:
            kept.server = self.cluster.master  # whose paths have no /data in front
            for path in ("/version", "/cluster/leader"):
                full = kept.ask("GET", path)
                head = kept.ask("HEAD", path)
                equal([head.status, head.body, head.headers["content-length"]],
                      [200, b"", str(len(full.body))], "HEAD " + path)
                same = kept.ask("GET", path, None, {"If-None-Match": full.headers["etag"]})
                equal([same.status, same.body], [304, b""], "what the client has of " + path)
            equal(kept.ask("GET", "/health").headers.get("etag"), None, "a tag on /health")

    def head_is_get_without_a_body(self):
        for server in self.cluster.everyone():
            with self._kept(server) as kept:
                for path in (SNAPSHOT + "?subjects=s001", SNAPSHOT + "?topic=*&limit=300",
                             API + "/subjects", "/cluster/leader", API + "/nothing"):
                    full, head = kept.ask("GET", path), kept.ask("HEAD", path)
                    equal([head.status, head.body], [full.status, b""], "HEAD " + path)
                    equal(head.headers.get("content-length"), str(len(full.body)),
                          "the length of HEAD " + path)
                    equal(head.headers.get("etag"), full.headers.get("etag"), "its tag")

    def bad_headers_are_refused_alike(self):
        for name, value, code in [
                (TIMEOUT, "0", "bad_value"), (TIMEOUT, "60001", "bad_value"),
                (TIMEOUT, "", "bad_value"), (TIMEOUT, "1s", "bad_value"),
                (TIMEOUT, "-5", "bad_value"),
                ("X-Kamaitachi-Consistency", "strong", "bad_value"),
                ("X-Kamaitachi-Consistency", "", "bad_value"),
                ("X-Kamaitachi-Min-Revision", "new", "bad_value"),
                ("X-Request-Id", "a b", "bad_value"), ("X-Request-Id", "", "bad_value"),
                ("X-Request-Id", "x" * 129, "bad_value"),
                ("Content-Encoding", "gzip", "media_type")]:
            for server in (self.cluster.master, self.gateway):
                answer = server.data_post("snapshot", {}, {name: value})
                error = answer.error()
                equal([answer.status, error.get("code"), error.get("field")],
                      [415 if code == "media_type" else 400, code, name],
                      "%s: %r at %s" % (name, value, server.name))
                equal(answer.headers["content-type"], "application/json", "the type of a refusal")
                check(answer.headers.get("x-request-id"), "a refusal without X-Request-Id")

    def a_time_bounds_what_waits(self):
        revision = self.cluster.master.revision()
        for server in self.cluster.everyone():
            start = time.monotonic()
            answer = server.data_get("changes?after=%d&wait_ms=20000" % revision, {TIMEOUT: "600"})
            check(answer.status in (200, 504), "changes at %s: %d", server.name, answer.status)
            check(time.monotonic() - start < 10 * SLOW, "changes at %s took too long", server.name)
        # Without one a feed may wait for as long as it was told to.
        answer = self.gateway.data_get("changes?after=%d&wait_ms=2600" % revision)
        equal([answer.status, answer.body], [200, b""], "a feed that has nothing to say")

    def levels_of_the_leader_reach_the_leader(self):
        leader = self.cluster.master.get("/health").json()["node"]
        for level in ["leader", "linearizable"] * 6:
            answer = self.gateway.data_post("snapshot", {"subjects": "s001"},
                                            {"X-Kamaitachi-Consistency": level})
            equal([answer.status, answer.headers["x-kamaitachi-node"]], [200, leader],
                  "who answers at level " + level)

    def every_answer_names_its_request(self):
        for path in ("/health", "/nowhere", "/data" + SNAPSHOT, "/data/nowhere", "//", "/data/%00"):
            answer = self.gateway.get(path, {"X-Request-Id": "mine-1"})
            equal(answer.headers.get("x-request-id"), "mine-1", "the id of " + path)
            check(answer.headers.get("date"), "%s without Date", path)
            if answer.status >= 400:
                equal(answer.json()["status_code"], answer.status, "the body of " + path)


class Line:
    """Stands between a node and all others, and cuts connections at the worst moment."""

    def __init__(self, port, behind):
        self.behind = behind  # the node's port
        self.cuts = 0         # answers to saves that never arrive
        self.server = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            try:
                node = socket.create_connection(("127.0.0.1", self.behind))
            except OSError:
                client.close()
                continue
            link = {"saves": False}
            for source, sink, back in ((client, node, False), (node, client, True)):
                threading.Thread(target=self._pass_on, args=(link, source, sink, back),
                                 daemon=True).start()

    def _pass_on(self, link, source, sink, back):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if not back and data.startswith((b"GET ", b"POST ")):
                    link["saves"] = data.startswith((b"POST " + API.encode() + b"/save",
                                                     b"POST " + API.encode() + b"/import",
                                                     b"POST /data/v1/save"))
                if back and link["saves"] and self.cuts > 0:
                    self.cuts -= 1
                    break
                if not data:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.server.close()


@group
class BrokenLine:
    """The leader does a write and its answer is lost on the way."""

    def setup(self, bench):
        etcd = bench.etcd()
        port = free_ports(1)
        self.master = Node(bench, "master", etcd, server_service_addr="127.0.0.1:%d" % port)
        self.line = Line(port, self.master.port)
        bench.cleanups.append(self.line.close)
        self.master.start()
        self.gateway = Gateway(bench, "gateway", etcd).start()
        self.gateway.wait_answers()
        self._save("first", 0).data()

    def _counted(self):
        return self.gateway.get("/monitor/status").data()["repeats"]

    def _save(self, subject, value, headers=None):
        return self.gateway.data_post("save", {"records": [
            {"subject": subject, "time": 0, "data": {"x": value}}]}, headers)

    def without_a_key_the_gateways_own_does_it(self):
        self.line.cuts = 1
        before, counted = self.master.revision(), self._counted()
        answer = self._save("plain", 1)
        equal(answer.data()["revision"], before + 1, "the revision of a write that was repeated")
        equal(self.master.revision(), before + 1, "the revision: it was done once")
        now = self._counted()
        equal([now[name] - counted[name] for name in ("keys_added", "writes")], [1, 1],
              "keys added, writes repeated")

    def what_is_too_large_to_be_kept_is_not_repeated(self):
        body = json.dumps({"records": [{"subject": "big", "time": 0, "data": {"x": 1}}]})
        self.line.cuts = 1
        before = self.master.revision()
        answer = self.gateway.post("/data" + API + "/save", (body + " " * 1100000).encode())
        equal([answer.status, answer.error().get("code"), answer.headers["x-kamaitachi-outcome"]],
              [504, "outcome_unknown", "unknown"], "a write whose answer was lost")
        equal(self.master.revision(), before + 1, "the revision: it was done, once")
        # The client can do what the gateway could not, under the gateway's key.
        key = answer.headers["idempotency-key"]
        check(key.startswith("g-"), "the key is %s", key)
        again = self.gateway.post("/data" + API + "/save", (body + " " * 1100000).encode(),
                                  {"Idempotency-Key": key})
        equal(again.data()["revision"], before + 1, "the revision of the client's repetition")

    def an_import_is_repeated_under_the_gateways_key(self):
        self.line.cuts, before = 1, self.master.revision()
        answer = self.gateway.post("/data" + API + "/import?subject=s&time=t", b"s,t,x\na,1,2\n")
        equal([answer.data()["revision"], answer.data()["records"]], [before + 1, 1], "the import")
        equal(self.master.revision(), before + 1, "the revision")

    def under_a_key_it_is_repeated_and_done_once(self):
        self.line.cuts = 1
        before = self.master.revision()
        answer = self._save("keyed", 2, {"Idempotency-Key": "line-1"})
        equal(answer.data()["revision"], before + 1, "the revision of a write that was repeated")
        equal(self.master.revision(), before + 1, "the revision")
        again = self._save("keyed", 2, {"Idempotency-Key": "line-1"})
        equal(again.data()["revision"], before + 1, "the revision of a client's own repetition")

    def losses_in_a_row_are_got_over(self):
        self.line.cuts = 4
        before = self.master.revision()
        answer = self._save("twice", 3, {"Idempotency-Key": "line-2"})
        equal(answer.data()["revision"], before + 1, "the revision of a write lost four times")
        equal(self.master.revision(), before + 1, "the revision")

    def what_is_lost_to_the_end_of_its_time_is_unknown_and_the_client_may_repeat(self):
        self.line.cuts = 1000000
        before = self.master.revision()
        answer = self._save("lost", 4, {"Idempotency-Key": "line-4", TIMEOUT: "1500"})
        equal([answer.status, answer.headers["x-kamaitachi-outcome"]], [504, "unknown"],
              "a write whose answers were all lost")
        equal(answer.error().get("retry"), "same", "the advice")
        self.line.cuts = 0
        answer = self._save("lost", 4, {"Idempotency-Key": "line-4"})
        equal(answer.data()["revision"], before + 1, "the revision of the client's repetition")
        equal(self.master.revision(), before + 1, "the revision")

    def generic_series_are_repeated_under_their_key_too(self):
        self.line.cuts = 1
        before = self.master.revision()
        answer = self.gateway.post("/data/v1/save?id=1", {"id": "g", "data": {"0": [1]}},
                                   {"Idempotency-Key": "line-3"})
        equal([answer.status, answer.json()["code"]], [200, 200], "a series that was repeated")
        equal(self.master.revision(), before + 1, "the revision")

    def reads_do_not_notice(self):
        for _ in range(20):
            equal(self.gateway.snapshot(subjects=["first"])["total"], 1, "rows")


@test
def writes_are_done_without_a_key_when_no_more_are_remembered(bench):
    """Keys of gateways have half of the room; a client's own has the rest."""
    cluster = bench.cluster(slaves=0, limits_idempotency_keys=4)
    gateway = cluster.gateway
    gateway.expected_log.append("key_refused")
    for value in range(8):
        gateway.save(records=[{"subject": "s", "time": value, "data": {"x": value}}])
    equal(gateway.snapshot(subjects=["s"])["data"][0]["data"]["x"], 7, "the last write")
    equal(cluster.master.stats()["total_records"], 8, "records")
    check(gateway.get("/monitor/status").data()["repeats"]["keys_refused"] >= 1, "keys refused")

    def status_under(key):
        return gateway.data_post("save", {"records": [
            {"subject": "t", "time": 0, "data": {"x": 1}}]},
            {"Idempotency-Key": key, TIMEOUT: "1000"}).status
    for key in ("a", "b"):
        equal(status_under(key), 200, "a write under the key " + key)
    # On a slow machine its time may end before it is refused for the last time.
    wait_until(lambda: status_under("c") == 503, "a write under one key too many is refused", 20)


@test
def five_hundred_writers_wait_out_an_election(bench):
    """kill -9 of the leader: they wait, ask nobody meanwhile, and all of them are served."""
    field = Field(bench)
    field.wait_in_sync(field.nodes)
    load = Run(bench, "-target", "http://%s/data" % field.gateway.addr, "-scenario", "writes",
               "-concurrent", 500, "-duration", 12, "-timeout", 30, "-give-up", 30, wait=False)

    def status():
        return field.gateway.get("/monitor/status").data()["waiting_for_leader"]
    wait_until(lambda: field.gateway.get(API + "/stats").data()["gateway"]["writes"] > 1000,
               "writes go on", 30)
    field.leader().kill()
    wait_until(lambda: status()["now"] >= 400, "writers wait", 10)
    wait_until(lambda: status()["now"] == 0, "nobody waits any more", 20)
    run = load.finish().only()
    equal([load.status, run["wrong"]], [0, {}], "exit and wrong answers: %s" % load.out)
    equal([status()[name] for name in ("failed", "refused")], [0, 0], "waits in vain, refused")
    check(status()["served"] >= 400, "waits that ended well: %s", status())
