# SPDX-License-Identifier: MIT
"""Pages by cursor through the gateway, while the data changes."""

import itertools
import random
import signal
import threading
from urllib.parse import urlencode

from cluster import API, Node, SLOW, check, equal, group, test, wait_until

STILL, MOVING = 150, 50
FIELDS = ["x", "report_date", "subject", "name"]


def day(number):
    return "2020-%02d-%02d" % (1 + number // 28 % 12, 1 + number % 28)


class Writes:
    """About `rate` changes a second to the subjects that move, and newcomers, in the same pool."""

    def __init__(self, server, rate):
        self.server, self.rate = server, rate
        self.done, self.failures = 0, []
        self.stopping = threading.Event()
        self.numbers = itertools.count()

    def __enter__(self):
        self.workers = [threading.Thread(target=self._run, args=(i,), daemon=True)
                        for i in range(4)]
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for worker in self.workers:
            worker.join(60 * SLOW)

    def _run(self, seed):
        chance = random.Random(seed)
        while not self.stopping.wait(4 / self.rate):
            number = next(self.numbers)
            who = chance.randrange(MOVING) if number % 10 else MOVING + number
            try:
                self.server.save(
                    subjects=[{"subject": "m%05d" % who, "name": "n%03d" % chance.randrange(100),
                               "topics": ["pool"] if chance.random() < 0.9 else []}],
                    records=[{"subject": "m%05d" % who, "time": day(chance.randrange(300)),
                              "data": {"x": chance.choice([None, chance.randrange(40)])}}])
                self.done += 1
            except Exception as error:  # judged by the test's own thread
                self.failures.append(repr(error))


def rows_of(answer):
    return [(row["subject"]["subject"], row["data"], row["report_date"], row["subject"]["name"])
            for row in answer.data()]


@group
class Pages:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=2)
        self.gateway = self.cluster.gateway
        # Values, dates and names stand between those of the ones that move; every seventh has none.
        self.gateway.save(
            subjects=[{"subject": "%s%04d" % ("az"[i % 2], i), "topics": ["pool"],
                       "name": "n%03d" % (i * 7 % 100) if i % 6 else ""} for i in range(STILL)],
            records=[{"subject": "%s%04d" % ("az"[i % 2], i), "time": day(i * 11),
                      "data": {"x": i * 13 % 40} if i % 7 else {"y": 1}} for i in range(STILL)])
        self.gateway.save(
            subjects=[{"subject": "m%05d" % i, "topics": ["pool"]} for i in range(MOVING)],
            records=[{"subject": "m%05d" % i, "time": 0, "data": {"x": i}} for i in range(MOVING)])
        self.cluster.wait_level()

    def _walk(self, body, servers, page=None):
        """All pages, each asked of the next server; the rows as they came, who answered."""
        rows, cursor, who = [], {}, set()
        for number in range(1000):
            server = servers[number % len(servers)]
            size = page or random.randrange(1, 15)
            answer = server.data_post("snapshot", dict(body, limit=size, **cursor))
            page_rows = rows_of(answer)
            who.add(answer.headers["x-kamaitachi-node"])
            rows += page_rows
            envelope = answer.json()
            if "next_cursor" not in envelope:
                return rows, who
            equal(len(page_rows), size, "rows of a page that is not the last")
            cursor = {"cursor": envelope["next_cursor"]}
        check(False, "the pages do not end")

    def _whole(self, body):
        return rows_of(self.cluster.master.data_post("snapshot", dict(body, limit=10000)))

    def pages_of_all_nodes_together_are_the_whole(self):
        for field in FIELDS + ["y", None]:
            for order in (1, -1):
                body = {"topic": "pool", "order": order, "fill": "previous"}
                if field:
                    body["field"] = field
                rows, who = self._walk(body, self.cluster.nodes)
                equal(rows, self._whole(body), "pages by %s %d" % (field, order))
                equal(len(who), 3, "nodes that answered")

    def rows_that_do_not_change_come_once_while_others_do(self):
        """For every sort field and both orders, while 100 writes a second land."""
        answered = set()
        with Writes(self.gateway, 100) as writes:
            wait_until(lambda: writes.done > 20, "writes land")
            while writes.done < 400:
                for field, order in itertools.product(FIELDS, (1, -1)):
                    body = {"topic": "pool", "field": field, "order": order}
                    for servers in ([self.gateway], self.cluster.nodes):
                        rows, who = self._walk(body, servers)
                        answered |= who
                        still = [row for row in rows if row[0][0] in "az"]
                        expected = [row for row in self._whole(body) if row[0][0] in "az"]
                        equal(len(still), STILL, "rows by %s %d" % (field, order))
                        equal(still, expected, "rows by %s %d" % (field, order))
                equal(writes.failures, [], "failed writes")
        equal(writes.failures, [], "failed writes")
        equal(len(answered), 3, "nodes that answered")

    def every_node_takes_the_cursor_of_every_other(self):
        body = {"topic": "pool", "field": "subject", "order": 1, "limit": 3, "timestamp": "2020-06-01"}
        self.cluster.wait_level()  # with what the writers wrote last
        first = self.cluster.ask_all("snapshot", body)  # the same bytes, cursor and all
        second = self.cluster.ask_all("snapshot", dict(body, cursor=first["next_cursor"]))
        check(second["data"][0]["subject"]["subject"] > first["data"][-1]["subject"]["subject"],
              "page two begins behind page one")
        fields = dict(body, cursor=first["next_cursor"])
        for server in self.cluster.everyone():
            path = server.data_prefix + API + "/snapshot?" + urlencode(fields)
            equal(server.get(path).json(), second, "page two as GET at %s" % server.name)

    def a_bad_cursor_is_refused_everywhere(self):
        body = {"topic": "pool", "limit": 3}
        cursor = self.gateway.snapshot(**body)["next_cursor"]
        bad = [dict(body, cursor=cursor[:-1]), dict(body, cursor="A" + cursor),
               dict(body, cursor=cursor.swapcase()), dict(body, cursor=cursor, offset=3),
               dict(body, cursor=cursor, order=1), dict(body, cursor=cursor, topic="*"),
               dict(body, cursor=cursor, field="x"), dict(body, cursor="=" * 2000)]
        for server in self.cluster.everyone():
            for fields in bad:
                answer = server.data_post("snapshot", fields)
                error = answer.error()
                equal([answer.status, error.get("code"), error.get("field")],
                      [400, "bad_value", "cursor"], "refusal at %s" % server.name)
            equal(server.data_post("snapshot", dict(body, cursor=cursor)).status, 200, "the good one")


@test
def a_cursor_outlives_a_restart_and_not_its_cluster(bench):
    node = Node(bench, "master", None).start()
    records = [{"subject": "s%d" % i, "time": 0, "data": {"x": i}} for i in range(5)]
    node.save(records=records)
    first = node.snapshot(limit=2)
    node.terminate()
    node.start()
    equal([row["subject"]["subject"] for row in node.snapshot(cursor=first["next_cursor"])["data"]],
          ["s2", "s1", "s0"], "page two after a restart")
    other = Node(bench, "master2", None).start()
    other.save(records=records)
    answer = other.data_post("snapshot", {"cursor": first["next_cursor"]})
    equal([answer.status, answer.error().get("code"), answer.error().get("field")],
          [410, "gone", "cursor"], "the cursor of another cluster")


@test
def a_node_that_missed_a_change_before_page_one_does_not_show_it_twice(bench):
    """It refuses until it has heard of it; so does a session's question."""
    cluster = bench.cluster(slaves=1, gateway=False, etcd_ttl=10)
    master, slave = cluster.master, cluster.slaves[0]
    master.save(records=[{"subject": "s%d" % i, "time": 0, "data": {"x": i}} for i in range(1, 6)])
    cluster.wait_level()
    slave.wait_written()
    slave.kill()
    revision = master.save(records=[{"subject": "s5", "time": 0, "data": {"x": 0}}])["revision"]
    body = {"field": "x", "order": 1, "limit": 2}
    first = master.snapshot(**body)
    equal([row["subject"]["subject"] for row in first["data"]], ["s5", "s1"], "page one")
    body["cursor"], body["limit"] = first["next_cursor"], 10
    master.signal(signal.SIGSTOP)
    slave.launch()
    slave.wait_answers()
    equal(slave.snapshot(subjects="s5")["data"][0]["data"], {"x": 5}, "what the slave knows")
    hurry = {"X-Kamaitachi-Timeout-Ms": "300"}
    answer = slave.data_post("snapshot", body, hurry)
    equal([answer.status, answer.error().get("field"), answer.headers.get("retry-after")],
          [503, "cursor", "1"], "page two before the slave knows")
    session = {"X-Kamaitachi-Consistency": "session", "X-Kamaitachi-Min-Revision": str(revision)}
    answer = slave.data_post("snapshot", {}, dict(session, **hurry))
    equal([answer.status, answer.error().get("field")], [503, "X-Kamaitachi-Min-Revision"],
          "a session before the slave knows")
    master.signal(signal.SIGCONT)
    answer = slave.data_post("snapshot", body)
    equal([row[0] for row in rows_of(answer)], ["s2", "s3", "s4"], "page two")
    equal(slave.data_post("snapshot", {"subjects": "s5"}, session).data()[0]["data"], {"x": 0},
          "a session")
    for node in cluster.nodes:
        node.wait_well()
