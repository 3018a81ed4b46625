# SPDX-License-Identifier: MIT
"""How fresh an answer must be: X-Kamaitachi-Consistency and X-Kamaitachi-Min-Revision."""

import http.client
import json
import signal
import threading
import time
from urllib.parse import urlencode

from cluster import API, Node, SLOW, check, equal, group, test, wait_until

LEVEL = "X-Kamaitachi-Consistency"
REVISION = "X-Kamaitachi-Min-Revision"
TIMEOUT = "X-Kamaitachi-Timeout-Ms"


def session(revision, **more):
    return dict({LEVEL: "session", REVISION: str(revision)}, **more)


def waiting_at(node):
    return node.stats()["http"]["waiting_for_revision"]


class Asking(threading.Thread):
    """A question that is asked while the test goes on."""

    def __init__(self, server, body, headers):
        super().__init__(daemon=True)
        self.server, self.body, self.headers = server, body, headers
        self.result, self.error = None, None
        self.start()

    def run(self):
        try:
            self.result = self.server.data_post("snapshot", self.body, self.headers)
        except Exception as error:  # judged by the test's own thread
            self.error = error

    def answer(self):
        self.join(60 * SLOW)
        check(self.result is not None, "no answer: %s", self.error)
        return self.result


@group
class Sessions:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=2)
        self.gateway = self.cluster.gateway
        self.slave = self.cluster.slaves[0]

    def _save(self, value):
        return self.gateway.save(records=[{"subject": "s", "time": 0, "data": {"x": value}}],
                                 subjects=[{"subject": "s", "topics": ["t"]}])["revision"]

    def what_was_written_is_read_at_once_everywhere(self):
        for i in range(60):
            revision = self._save(i)
            for server in self.cluster.slaves + [self.gateway]:
                answer = server.data_post("snapshot", {"subjects": "s"}, session(revision))
                equal(answer.data()[0]["data"], {"x": i}, "read at %s" % server.name)
                check(int(answer.headers["x-kamaitachi-revision"]) >= revision,
                      "%s answers at %s, asked for %d", server.name,
                      answer.headers["x-kamaitachi-revision"], revision)

    def every_question_keeps_the_session(self):
        fields = {"subjects": "s", "ids": "x"}
        chosen = {"selection": {"topic": "t"}}
        for i in range(10):
            revision = self._save(1000 + i)
            for server in self.cluster.slaves + [self.gateway]:
                headers = session(revision)
                answer = server.data_post("period", fields, headers)
                equal(answer.data()[0]["data"][0]["x"], 1000 + i, "period")
                for name in ("snapshot", "period"):
                    path = server.data_prefix + API + "/" + name + "?" + urlencode(fields)
                    check(str(1000 + i) in server.get(path, headers).body.decode(), "GET %s", name)
                path = server.data_prefix + API.replace("/data/", "/selection/") + "/snapshot"
                answer = server.post(path, chosen, headers)
                equal(answer.data()[0]["data"]["x"], 1000 + i, "selection")

    def a_node_that_is_behind_waits(self):
        for server in (self.slave, self.cluster.master):
            revision = self._save(1)
            asking = Asking(server, {"subjects": "s"}, session(revision + 1))
            wait_until(lambda: waiting_at(server) == 1, "the question waits")
            check(asking.is_alive(), "%s answered without the revision", server.name)
            self._save(2)
            answer = asking.answer()
            equal(answer.data()[0]["data"], {"x": 2}, "what %s answers" % server.name)

    def a_revision_that_does_not_come_is_refused_in_time(self):
        far = self._save(3) + 1000000
        for server in self.cluster.everyone():
            began = time.monotonic()
            answer = server.data_post("snapshot", {"subjects": "s"}, session(far, **{TIMEOUT: "400"}))
            error = answer.error()
            equal([answer.status, error.get("code"), error.get("field"), error.get("retry")],
                  [503, "unavailable", REVISION, "later"], "refusal of %s" % server.name)
            equal(answer.headers.get("retry-after"), "1", "Retry-After")
            check(REVISION in answer.json()["status_msg"], "the message names the header")
            check(time.monotonic() - began < 10 * SLOW, "it took too long")

    def the_bound_holds_at_every_level(self):
        revision = self._save(4)
        for level in ({}, {LEVEL: "any"}, {LEVEL: "session"}):
            for bound in (0, 1, revision):
                answer = self.slave.data_post("snapshot", {"subjects": "s"},
                                              dict(level, **{REVISION: str(bound)}))
                equal(answer.status, 200, "status of %s with %d" % (level, bound))
            answer = self.slave.data_post("snapshot", {"subjects": "s"}, dict(
                level, **{REVISION: str(revision + 1000000), TIMEOUT: "200"}))
            equal(answer.status, 503, "status of %s with a revision to come" % level)
        answer = self.slave.data_post("snapshot", {"subjects": "s"}, {LEVEL: "session"})
        equal(answer.status, 200, "a session that has seen nothing")
        headers = {LEVEL: "leader", REVISION: str(revision)}
        equal(self.cluster.master.data_post("snapshot", {}, headers).status, 200, "the leader")
        equal(self.slave.data_post("snapshot", {}, headers).status, 421, "a follower")

    def a_bad_header_is_refused_by_name(self):
        for name, value, code in [
                (REVISION, "", "bad_value"), (REVISION, "x", "bad_value"),
                (REVISION, "-1", "bad_value"), (REVISION, "+1", "bad_value"),
                (REVISION, "1.0", "bad_value"), (REVISION, "0x10", "bad_value"),
                (REVISION, "1 2", "bad_value"), (REVISION, "9223372036854775808", "bad_value"),
                (REVISION, "99999999999999999999999", "bad_value"),
                (LEVEL, "", "bad_value"), (LEVEL, "Session", "bad_value"),
                (LEVEL, "strong", "bad_value")]:
            for server in (self.slave, self.cluster.master):
                for headers in ({name: value}, session(1, **{name: value})):
                    answer = server.data_post("snapshot", {}, headers)
                    error = answer.error()
                    equal([answer.status, error.get("code"), error.get("field")],
                          [400, code, name], "%s: %r" % (name, value))

    def a_header_that_is_given_twice_is_refused_by_name(self):
        for name, value in ((REVISION, "1"), (LEVEL, "any")):
            connection = http.client.HTTPConnection("127.0.0.1", self.slave.port, timeout=30 * SLOW)
            connection.putrequest("GET", API + "/snapshot")
            connection.putheader(name, value)
            connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            error = json.loads(answer.read())["error"]
            connection.close()
            equal([answer.status, error["code"], error["field"]], [400, "bad_value", name],
                  "twice " + name)


@test
def a_stopping_node_does_not_wait_for_a_revision(bench):
    node = Node(bench, "master", None).start()
    revision = node.save(records=[{"subject": "s", "time": 0, "data": {"x": 1}}])["revision"]
    asking = Asking(node, {}, session(revision + 1))
    wait_until(lambda: waiting_at(node) == 1, "the question waits")
    node.signal(signal.SIGTERM)
    answer = asking.answer()
    equal([answer.status, answer.error().get("field")], [503, REVISION], "the refusal")
    equal(node.wait_exit(20), 0, "exit status")


@test
def only_a_part_of_the_workers_waits_for_revisions(bench):
    node = Node(bench, "master", None, server_num_threads=12).start()
    revision = node.save(records=[{"subject": "s", "time": 0, "data": {"x": 1}}])["revision"]
    waiting = [Asking(node, {}, session(revision + 1)) for _ in range(3)]
    wait_until(lambda: waiting_at(node) == 3, "three questions wait")
    answer = node.data_post("snapshot", {}, session(revision + 1))
    equal([answer.status, answer.error().get("code"), answer.error().get("field")],
          [503, "busy", REVISION], "the fourth")
    equal(node.data_post("snapshot", {}, session(revision)).status, 200, "who need not wait")
    node.save(records=[{"subject": "s", "time": 0, "data": {"x": 2}}])
    for asking in waiting:
        equal(asking.answer().status, 200, "status of who waited")
