# SPDX-License-Identifier: MIT
"""Every status that the contract knows but 429, asked for by bad requests: the tables of
bad_requests.py against nodes and the gateway. All rows are run; what deviates is listed with the
whole answer. Nothing of it is stored, and nobody minds."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import threading
from urllib.parse import quote

import bad_queries as queries
import bad_requests as table
import bad_rows as rows
import bad_writes as writes
from cluster import (Answer, Failure, Gateway, Node, SLOW, check, equal, group, test,
                     wait_until)

RETRY = {"not_member": "later", "not_leader": "same", "no_memory": "later", "bad_gateway": "same",
         "unavailable": "later", "busy": "later", "timeout": "same", "outcome_unknown": "same"}
OF_NODES = ("x-kamaitachi-revision", "x-kamaitachi-epoch", "x-kamaitachi-node", "x-kamaitachi-role",
            "x-kamaitachi-lag-ms")


def send(addr, row, target, body):
    """One request, its head exactly as its row says."""
    host, port = addr.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=60 * SLOW)
    try:
        connection.putrequest(row.method, target, skip_accept_encoding=True)
        for name, values in row.headers.items():
            for value in values if isinstance(values, list) else [values]:
                connection.putheader(name, value.encode("utf-8"))
        if row.length and (body is not None or row.method in ("POST", "PUT", "PATCH")):
            connection.putheader("Content-Length", str(len(body or b"") + row.missing))
        try:
            connection.endheaders(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent; the answer may be here
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


def whole(answer):
    head = "".join("\n  %s: %s" % pair for pair in answer.headers)
    return "%d%s\n  %s" % (answer.status, head, answer.body[:2000].decode("utf-8", "replace"))


def faults_of_envelope(row, answer, old_manner):
    """What is wrong with the body of an error."""
    try:
        envelope = json.loads(answer.body)
        error = envelope["error"]
        message = envelope["status_msg"]
        members = {"status_code", "status_msg", "data", "error"}
        if old_manner:
            members |= {"code", "message"}
        if set(envelope) != members or set(error) != {"code", "field", "retry"}:
            return ["members %s of %s" % (sorted(error), sorted(envelope))]
    except (ValueError, KeyError, TypeError) as error:
        return ["no envelope (%r)" % error]
    faults = []
    if old_manner and (envelope["code"], envelope["message"]) != (row.status, message):
        faults.append("code and message in the old manner")
    if envelope["status_code"] != row.status:
        faults.append("status_code %s" % envelope["status_code"])
    if envelope["data"] is not None:
        faults.append("data is not null")
    # A body is said to be wrong by its line or byte, a fault of the form by its name.
    if not isinstance(message, str) or not message or (
            row.field not in message and row.field != "body"):
        faults.append("a message that does not name the field")
    if error["code"] != row.code:
        faults.append("code %s" % error["code"])
    if error["field"] != row.field:
        faults.append("field %r" % error["field"])
    if error["retry"] != RETRY.get(row.code, "no"):
        faults.append("retry %s" % error["retry"])
    return faults


def faults_of_headers(row, answer, headers, from_node):
    """What is wrong with the head of an error."""
    wanted = ["x-request-id", "date"] + list(OF_NODES if from_node else ())
    wanted += {405: ["allow"], 401: ["www-authenticate"], 421: ["x-kamaitachi-leader"],
               503: ["retry-after"]}.get(row.status, [])
    faults = ["no %s" % name for name in wanted if not headers.get(name)]
    outcome = {421: "none", 503: "none", 504: "unknown"}.get(row.status) if row.writes() else None
    if outcome and headers.get("x-kamaitachi-outcome") != outcome:
        faults.append("outcome %s" % headers.get("x-kamaitachi-outcome"))
    doubled = [name for name, _ in answer.headers
               if [n.lower() for n, _ in answer.headers].count(name.lower()) > 1]
    if doubled:
        faults.append("%s is sent twice" % doubled[0])
    if headers.get("content-type") != "application/json":
        faults.append("content type %s" % headers.get("content-type"))
    if row.status == 405 and row.method in re.split(", *", headers.get("allow", "")):
        faults.append("%s, which Allow names" % row.method)
    for name in ("etag", "cache-control", "content-encoding"):
        if name in headers:
            faults.append("an error with %s" % name)
    return faults


def faults(row, answer, path, from_node):
    """What of an answer is not as the row and the contract want it."""
    headers = {name.lower(): value for name, value in answer.headers}
    found = []
    if answer.status != row.status:
        found.append("status %d" % answer.status)
    found += faults_of_headers(row, answer, headers, from_node)
    if row.method == "HEAD":
        return found + (["a body for HEAD"] if answer.body else [])
    return found + faults_of_envelope(row, answer, path.startswith(rows.OLD + "/"))


class Tables:
    """Servers, what stands for what in requests, and what is stored."""

    def __init__(self, cluster, words=None):
        self.cluster = cluster
        self._init(cluster.master, cluster.gateway, words)
        if cluster.slaves:
            self.servers[rows.FOLLOWER] = (cluster.slaves[0], "")

    @classmethod
    def of(cls, node, gateway):
        """For a node and a gateway that are no cluster yet."""
        self = cls.__new__(cls)
        self._init(node, gateway, None)
        return self

    def _init(self, node, gateway, words):
        self.words = words or {}
        self.servers = {rows.NODE: (node, ""), rows.GATEWAY: (gateway, "/data"),
                        rows.OWN: (gateway, "")}
        self.revisions = 0  # that the rows took, refused when applied

    def _fill(self, text, quote):
        for word, value in self.words.items():
            text = text.replace(word, quote(value))
        return text

    def _ask(self, row, where):
        server, prefix = self.servers[where]
        target = prefix + row.path
        if row.query:
            target += "?" + self._fill(row.query, quote)
        body = row.payload()
        if body is not None and len(body) < 100000:
            body = self._fill(body.decode("latin-1"), str).encode("latin-1")
        answer = send(server.addr, row, target, body)
        from_node = where in (rows.NODE, rows.FOLLOWER)
        return answer, faults(row, answer, row.path, from_node)

    def run(self, group_of_rows):
        """All of them; a Failure that lists every deviation."""
        wrong, done = [], 0
        for row in group_of_rows:
            for where in row.where:
                name = "%s, %s" % (row.name(), where)
                done += 1
                self.revisions += row.revision
                try:
                    answer, found = self._ask(row, where)
                except (OSError, http.client.HTTPException) as error:
                    wrong.append("%s:\n  %r" % (name, error))
                    continue
                if found:
                    wrong.append("%s: %s:\n  %s" % (name, ", ".join(found), whole(answer)))
        if wrong:
            raise Failure("%d of %d deviate:\n%s" % (len(wrong), done, "\n".join(wrong)))
        check(done > 0, "no row was run")

    def stored(self):
        """By node: what its statistics count, and all that it exports."""
        self.cluster.wait_level()
        facts = {}
        for node in self.cluster.nodes:
            stats = node.stats()
            export = node.data_get("export?versions=1")
            series = node.post(rows.OLD + "/search", {"limit": 10000})
            equal([export.status, series.status], [200, 200], "the export of %s" % node.name)
            facts[node.name] = ([stats[key] for key in ("total_records", "subjects", "indicators")],
                                stats["revision"], export.body + series.body)
        return facts

    def check_stored(self, before):
        """As it was, but for the revisions that were taken to refuse something."""
        for name, (counts, revision, data) in self.stored().items():
            equal(counts, before[name][0], "records, subjects, indicators of %s" % name)
            equal(revision, before[name][1] + self.revisions, "the revision of %s" % name)
            check(data == before[name][2], "the data of %s are others now", name)


def some_data(server):
    """What must be there unchanged when all is over."""
    server.save(
        subjects=[{"subject": "kept", "name": "Kept", "topics": ["t"], "tags": {"concept": ["a"]}},
                  {"subject": "other", "topics": ["t"]}],
        records=[{"subject": "kept", "time": "2024-01-01", "period": "Q1",
                  "declare_date": "2024-02-01", "data": {"x": 1, "y": -0.5}},
                 {"subject": "kept", "time": "2024-01-01", "period": "Q1", "data": {"y": None}},
                 {"subject": "other", "time": "2024-01-01", "data": {"x": 2}}])
    answer = server.post(rows.OLD + "/save?id=1",
                         {"id": "kept", "data": {"1": [1, 2], "2": [3]}})
    equal(answer.status, 200, "a generic series")


@group
class BadRequests:
    """Whatever a bad request can be, at the leader, at a follower, and through the gateway."""

    def setup(self, bench):
        self.cluster = bench.cluster(slaves=1)
        some_data(self.cluster.master)
        first = self.cluster.master.data_post(
            "save", {"subjects": [{"subject": "once"}]}, {"Idempotency-Key": rows.USED_KEY})
        equal(first.status, 200, "a save with a key")
        foreign = Node(bench, "master2", "", cluster_expect=1).start()
        some_data(foreign)
        self.tables = Tables(self.cluster, {
            rows.CURSOR: self.cluster.master.snapshot(limit=1)["next_cursor"],
            rows.FOREIGN_CURSOR: foreign.snapshot(limit=1)["next_cursor"]})
        foreign.terminate()
        self.before = self.tables.stored()

    def the_tables_know_every_status(self):
        check(len(table.TABLE) >= 300, "%d rows", len(table.TABLE))
        everything = table.TABLE + table.OF_OWN_CLUSTERS
        equal(sorted({row.status for row in everything}),
              [400, 401, 403, 404, 405, 409, 410, 411, 413, 415, 421, 431, 500, 502, 503, 504],
              "the statuses: those of the contract but 429")

    def snapshots_are_refused(self):
        self.tables.run(queries.SNAPSHOT)

    def periods_are_refused(self):
        self.tables.run(queries.PERIOD)

    def selections_are_refused(self):
        self.tables.run(queries.SELECTIONS)

    def batches_are_refused(self):
        self.tables.run(queries.BATCH)

    def entries_of_a_batch_fail_alone(self):
        entries = [dict(entry, id=str(i)) for i, (entry, _) in enumerate(queries.BATCH_ENTRIES)]
        body = json.dumps(queries.batch(*entries)).replace(
            rows.FOREIGN_CURSOR, self.tables.words[rows.FOREIGN_CURSOR])
        wrong = []
        for server in self.cluster.everyone():
            answer = server.data_post("batch", body, rows.JSON_TYPE)
            for i, (entry, said) in enumerate(zip(queries.BATCH_ENTRIES, answer.data())):
                row = rows.Row("batch", "", entry[1], {"where": ()})
                found = faults_of_envelope(row, Answer(200, [], json.dumps(
                    {name: said[name] for name in said if name != "id"})), False)
                if found or said["id"] != str(i):
                    wrong.append("%s: %s: %s: %s" % (server.name, entry, found, said))
        check(not wrong, "%d deviate:\n%s", len(wrong), "\n".join(wrong))

    def listings_are_refused(self):
        self.tables.run(queries.LISTINGS)

    def feeds_of_changes_are_refused(self):
        self.tables.run(queries.CHANGES)

    def exports_are_refused(self):
        self.tables.run(queries.EXPORT)

    def saves_are_refused(self):
        self.tables.run(writes.SAVE)

    def deletes_are_refused(self):
        self.tables.run(writes.DELETE)

    def imports_are_refused(self):
        self.tables.run(writes.IMPORT)

    def generic_series_are_refused(self):
        self.tables.run(writes.GENERIC)

    def headers_are_refused(self):
        self.tables.run(table.HEADERS)

    def methods_are_refused(self):
        self.tables.run(table.METHODS)

    def strangers_are_refused(self):
        self.tables.run(table.WHO_MAY)

    def what_is_not_there_is_not_found(self):
        self.tables.run(table.UNBUILT)

    def paths_of_two_meanings_are_refused(self):
        self.tables.run(table.PATHS)

    def parameters_of_paths_without_any_are_refused(self):
        self.tables.run(table.NO_PARAMETERS)

    def nothing_is_stored(self):
        self.tables.check_stored(self.before)

    def a_wrong_method_names_the_right_ones(self):
        for server in self.cluster.everyone():
            for name, allowed in (("save", "POST"), ("export", "GET, HEAD")):
                answer = server.get(server.data_prefix + rows.API + "/" + name) if (
                    name == "save") else server.data_post(name, {})
                equal([answer.status, answer.headers.get("allow")], [405, allowed],
                      "status and Allow of %s at %s" % (name, server.name))

    def good_answers_carry_the_headers_of_all(self):
        for server in self.cluster.everyone():
            answer = server.data_post("snapshot", {}, {"X-Request-Id": "abc-123"})
            missing = [name for name in ("date",) + OF_NODES if name not in answer.headers]
            equal([answer.status, missing], [200, []], "headers at %s" % server.name)
            equal(answer.headers["x-request-id"], "abc-123", "X-Request-Id given")
            check(server.data_post("snapshot", {}).headers["x-request-id"], "X-Request-Id made")

    def everybody_is_well(self):
        for server in self.cluster.everyone():
            equal([server.is_running(), server.is_well()], [True, True], server.name)
        self.cluster.ask_all("snapshot", {"topic": "t"})


@group
class BadTokens:
    """Who writes and who operates has tokens; processes of the cluster sign."""

    def setup(self, bench):
        tokens = {"auth_admin_token": "admin-token", "auth_write_token": "write-token",
                  "cluster_secret": "between us"}
        self.cluster = bench.cluster(slaves=0, gateway=False, **tokens)
        self.cluster.gateway = Gateway(bench, "gateway", self.cluster.etcd, **tokens).start()
        self.cluster.gateway.wait_nodes(self.cluster.nodes)
        self.tables = Tables(self.cluster)
        self.before = self.tables.stored()

    def without_the_token_nothing_is_done(self):
        self.tables.run(table.TOKENS)

    def without_a_signature_nothing_is_said(self):
        self.tables.run(table.SIGNATURES)

    def nothing_is_stored(self):
        self.tables.check_stored(self.before)

    def with_the_token_it_is_done(self):
        for server in (self.cluster.master, self.cluster.gateway):
            answer = server.data_post("save", writes.GOOD_SAVE,
                                      {"Authorization": "Bearer write-token"})
            equal(answer.status, 200, "a save at %s" % server.name)


@test
def without_a_leader_writes_are_certainly_not_done(bench):
    etcd = bench.etcd()
    node = Node(bench, "slave", etcd, cluster_expect=2)
    gateway = Gateway(bench, "gateway", etcd, proxy_failover_wait=100)
    for process in (node, gateway):
        process.launch()
    for process in (node, gateway):
        process.wait_answers()
    wait_until(lambda: gateway.nodes() == [node.addr], "the gateway knows the node")
    Tables.of(node, gateway).run(table.NO_LEADER)


@group
class SmallLimits:
    """Every limit that a request or an answer can go beyond."""

    def setup(self, bench):
        self.cluster = bench.cluster(
            slaves=1, limits_subjects=5, limits_records=10, limits_values=12, limits_indicators=2,
            limits_body_bytes=4096, limits_import_line_bytes=4096, limits_import_atomic_bytes=65536)
        for name in table.MANY[:10]:
            self.cluster.master.save(records=[
                {"subject": name, "time": i, "data": {"x": i, "y": i}} for i in range(3)])
        self.tables = Tables(self.cluster)
        self.before = self.tables.stored()

    def what_goes_beyond_is_refused(self):
        self.tables.run(table.LIMITS)

    def nothing_is_stored(self):
        self.tables.check_stored(self.before)


@test
def a_damaged_database_is_500(bench):
    cluster = bench.cluster(slaves=0, cache_max_bytes=0)
    some_data(cluster.master)
    cluster.master.terminate()
    base = sqlite3.connect(os.path.join(cluster.master.dir, "node.db"))
    for change in ("UPDATE version SET data='{\"x\":'", "UPDATE generic_point SET numbers='[1,'",
                   "UPDATE touched SET subjects='['"):
        base.execute(change)
    base.commit()
    base.close()
    cluster.master.expected_log.append("damaged")
    cluster.master.start()
    cluster.gateway.wait_nodes(cluster.nodes)
    Tables(cluster).run(table.DAMAGED)
    equal(cluster.master.is_well(), True, "the node is well")


@test
def what_the_log_no_longer_has_is_410(bench):
    cluster = bench.cluster(slaves=0)
    foreign = Node(bench, "master2", "").start()
    for node in (cluster.master, foreign):
        some_data(node)
    words = {rows.FOREIGN_CURSOR: foreign.snapshot(limit=1)["next_cursor"]}
    newest = cluster.master.revision()
    cluster.master.terminate()
    log = sqlite3.connect(os.path.join(cluster.master.dir, "node.log.db"))
    log.execute("DELETE FROM entry WHERE seq<?", (newest - 1,))  # as if it had been cut there
    log.commit()
    log.close()
    cluster.master.start()
    cluster.gateway.wait_nodes(cluster.nodes)
    Tables(cluster, words).run(table.GONE)


@test
def what_is_not_done_in_time_says_so(bench):
    cluster = bench.cluster(slaves=0, cache_max_bytes=0, limits_import_batch_records=1)
    for time_s in range(4):
        cluster.master.save(records=[{"subject": "k%d" % i, "time": time_s, "data": {"x": i}}
                                     for i in range(9000)])
    Tables(cluster).run(table.LATE)
    names = [[row["subject"] for row in cluster.master.data_get("subjects?prefix=" + prefix).data()]
             for prefix in ("late", "never")]
    equal(names, [["late"], []], "what the imports had committed")
    equal(cluster.master.is_well(), True, "the node is well")


class FakeNode(threading.Thread):
    """Answers /health as the node did whose place it has, and everything else badly."""

    HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    ANSWERS = {
        "noise": bytes(range(256)) * 4,
        "nothing": b"",
        "half_a_head": HEAD,
        "two_lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "bad_length": HEAD + b"Content-Length: +2\r\n\r\n{}",
        "old_version": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "no_status": b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\n{}",
        "large_head": HEAD + b"X-Large: " + b"y" * 200000 + b"\r\n\r\n",
        "bad_chunks_at_once": HEAD + b"Transfer-Encoding: identity\r\n\r\nxyz",
    }

    def __init__(self, port, health):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", port))
        self.health = health
        self.ending = threading.Event()
        self.start()

    def run(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        with link, contextlib.suppress(OSError):
            link.settimeout(60 * SLOW)
            while True:
                head = self._read(link)
                if not head:
                    return
                mode = re.search(rb"[?&]mode=(\w+)", head)
                if mode is None:
                    link.sendall(self.health)
                    continue
                if mode.group(1) == b"silence":
                    self.ending.wait(60 * SLOW)
                    return
                link.sendall(self.ANSWERS[mode.group(1).decode()])
                return

    @staticmethod
    def _read(link):
        """One request; its head, or b"" at the end."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = link.recv(65536)
            if not more:
                return b""
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        left = (int(length.group(1)) if length else 0) - len(body)
        while left > 0:
            left -= len(link.recv(65536)) or left
        return head

    def close(self):
        self.ending.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@test
def a_node_that_answers_nonsense_is_502_or_504(bench):
    cluster = bench.cluster(slaves=0)
    real = cluster.master.get("/health")
    health = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n%s" % (
        "\r\n".join("%s: %s" % (name, value) for name, value in real.headers.items()
                    if name not in ("content-length", "connection", "transfer-encoding")).encode(),
        len(real.body), real.body)
    keys = {key: value for key, (value, _) in cluster.etcd.get_prefix().items()}
    cluster.master.kill()
    fake = FakeNode(cluster.master.port, health)
    bench.cleanups.append(fake.close)
    for key, value in keys.items():  # without a lease: nobody keeps it alive
        if cluster.gateway.addr not in key:
            cluster.etcd.put(key, value)
    cluster.gateway.wait_nodes([cluster.master])
    Tables(cluster).run(table.FAKE)
    wait_until(cluster.gateway.is_well, "the gateway is well")
