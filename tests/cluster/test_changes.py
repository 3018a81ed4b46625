# SPDX-License-Identifier: MIT
"""…/changes: what each revision touched, by long poll, alike on every node."""

import json
import threading
import time

from cluster import API, SLOW, Node, check, equal, group, test, wait_until


def ask(server, after, **params):
    query = "".join("&%s=%s" % pair for pair in params.items())
    return server.data_get("changes?after=%s%s" % (after, query))


def changes(server, after, **params):
    """[(revision, subjects, topics)] of a 200."""
    answer = ask(server, after, **params)
    equal(answer.status, 200, "changes after %s at %s: %s" % (after, server.name, answer.body[:300]))
    equal(answer.headers["content-type"], "application/x-ndjson", "content type")
    lines = answer.body.decode().split("\n")
    equal(lines.pop(), "", "what follows the last line")
    rows = [json.loads(line) for line in lines]
    for row in rows:
        equal(sorted(row), ["revision", "subjects", "topics"], "members of a line")
    return [(row["revision"],
             row["subjects"] if row["subjects"] == "*" else sorted(row["subjects"]),
             row["topics"] if row["topics"] == "*" else sorted(row["topics"])) for row in rows]


def record(*subjects):
    return [{"subject": key, "time": 1, "data": {"v": 1}} for key in subjects]


@group
class Changes:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=1)
        self.gateway, self.master = self.cluster.gateway, self.cluster.master
        self.slave = self.cluster.slaves[0]

    def a_line_for_each_revision_names_subjects_and_topics_before_and_after(self):
        start = self.master.revision()
        equal([row[1:] for row in changes(self.master, 0, limit=start)], [([], [])] * start,
              "the epoch's start")
        self.gateway.save(subjects=[{"subject": "a", "topics": ["p", "q"]}], records=record("b"))
        self.gateway.save(subjects=[{"subject": "a", "topics": ["q", "r"]}])
        self.gateway.save(records=record("a", "b", "a"))
        self.gateway.bring("subject=s&time=t&topic==literal:w", "s,t,v\nc,2020,1\nb,2020,2\n")
        self.gateway.post("/data/v1/save?id=1", {"id": "g", "data": {}})
        self.cluster.wait_level()
        expected = [(start + 1, ["a", "b"], ["p", "q"]), (start + 2, ["a"], ["p", "q", "r"]),
                    (start + 3, ["a", "b"], ["q", "r"]), (start + 4, ["b", "c"], ["w"]),
                    (start + 5, [], [])]
        for server in self.cluster.everyone():
            equal(changes(server, start), expected, "changes at %s" % server.name)
            equal(changes(server, start + 1, limit=2), expected[1:3], "a page of two")
            revision = int(ask(server, start).headers["x-kamaitachi-revision"])
            check(revision >= start + 5, "the answer's revision is %d", revision)

    def a_long_poll_is_answered_by_the_next_write(self):
        for server in self.cluster.everyone():
            after = self.cluster.wait_level()
            found = []
            poll = threading.Thread(
                target=lambda s=server, a=after: found.append(changes(s, a, wait_ms=25000)))
            poll.start()
            key = "long " + server.name
            self.gateway.save(subjects=[{"subject": key, "topics": ["pool"]}])
            poll.join(20 * SLOW)
            equal(found, [[(after + 1, [key], ["pool"])]], "the poll at %s" % server.name)

    def without_a_change_the_answer_is_empty_when_the_wait_is_over(self):
        after = self.cluster.wait_level()
        for server in self.cluster.everyone():
            equal(changes(server, after, wait_ms=0), [], "at once")
            began = time.monotonic()
            equal(changes(server, after, wait_ms=300), [], "after the wait")
            check(time.monotonic() - began >= 0.25, "it waited")

    def what_is_wrong_is_refused(self):
        newest = self.cluster.wait_level()
        cases = [("changes", 400, "bad_value", "after"), ("changes?after=", 400, "bad_value", "after"),
                 ("changes?after=-1", 400, "bad_value", "after"),
                 ("changes?after=1.0", 400, "bad_value", "after"),
                 ("changes?after=99999999999999999999", 400, "bad_value", "after"),
                 ("changes?after=%d" % (newest + 1), 400, "bad_value", "after"),
                 ("changes?after=1&after=2", 400, "bad_value", "after"),
                 ("changes?after=1&wait_ms=x", 400, "bad_value", "wait_ms"),
                 ("changes?after=1&wait_ms=30001", 400, "bad_value", "wait_ms"),
                 ("changes?after=1&limit=10001", 400, "bad_value", "limit"),
                 ("changes?after=1&limits=1", 400, "unknown_field", "limits")]
        for server in self.cluster.everyone():
            for name, status, code, field in cases:
                answer = server.data_get(name)
                equal((answer.status, answer.error().get("code"), answer.error().get("field")),
                      (status, code, field), "%s at %s" % (name, server.name))
        equal(self.master.data_post("changes?after=0").status, 405, "POST")

    def an_import_of_many_subjects_is_one_short_line(self):
        after = self.cluster.wait_level()
        body = "s,t,v\n" + "".join("many%05d,2020,1\n" % i for i in range(1500))
        self.gateway.bring("subject=s&time=t&topic==literal:crowd", body)
        self.cluster.wait_level()
        rows = changes(self.gateway, after)
        check(("*", ["crowd"]) in [row[1:] for row in rows], "a line of everything: %s", rows)

    def few_wait_so_that_workers_are_left_for_others(self):
        bench = self.cluster.bench
        small = Node(bench, "master2", "", server_num_threads=8).start()
        small.wait_revision(1)
        after = small.revision()

        def poll_long():  # the probe below may have taken its place for a moment
            while ask(small, after, wait_ms=20000).status == 503 and small.is_running():
                pass
        polls = [threading.Thread(target=poll_long) for _ in range(2)]
        for poll in polls:
            poll.start()

        def refused():
            answer = ask(small, after, wait_ms=100)
            return answer if answer.status != 200 else None
        answer = wait_until(refused, "a third poll is refused", 10)
        equal((answer.status, answer.error()["code"], answer.error()["field"]),
              (503, "busy", "wait_ms"), "the third poll")
        equal(ask(small, after, wait_ms=0).status, 200, "who does not wait is answered")
        small.terminate(10)  # a node that stops ends the waits
        for poll in polls:
            poll.join(10 * SLOW)
            check(not poll.is_alive(), "the poll has ended")


@test
def what_the_log_no_longer_has_is_gone(bench):
    """The log is cut by itself, and the feed begins where it does."""
    node = Node(bench, "master", "", replication_log_keep_bytes="1m",
                limits_import_batch_records=2000).start()
    newest = node.bring("subject=s&time=t&time_format=seconds", "s,t,v\n" + "".join(
        "s%d,%d,%d.37\n" % (i % 1500, i, i * 7919) for i in range(90000)))["revision"]

    def first():
        return node.stats()["replication"]["log_first"]
    wait_until(lambda: first() > 10, "the log is cut", 30)

    def begins_there():
        start = first()
        for after in (0, start - 2):
            answer = ask(node, after)
            equal((answer.status, answer.error()["code"]), (410, "gone"), "changes after %d" % after)
            equal(answer.json()["data"], None, "the body")
        equal([row[0] for row in changes(node, start - 1)], list(range(start, newest + 1)),
              "revisions within the log")
        return start
    start = wait_until(begins_there, "the feed begins with the log")
    node.terminate()
    node.start()
    equal(ask(node, start - 2).status, 410, "status after a restart")
    more = node.save(records=record("a", "b"))["revision"]
    equal(changes(node, more - 1), [(more, ["a", "b"], [])], "what came since")
