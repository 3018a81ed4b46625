# SPDX-License-Identifier: MIT
"""The leader dies, stops, hands over, while clients write and read through the gateway: the history
of what they saw is judged in the end (faults.py).

KT_FAULTS_KILLS=20 kills the leader so often, KT_FAULTS_RECORDS=500000 is the size of the import.
KT_FAULTS_MEASURE=1 also demands the times that are promised: for a quiet machine.
"""

import http.client
import json
import os
import signal
import threading

from cluster import SLOW, Failure, check, equal, test, wait_until
from faults import PROBE, TTL, DiskProbe, Field, no_failures
from test_resume import send, versions

SLOW_TESTS = ("killing_the_leader_under_load_fails_nothing",
              "a_paused_leader_comes_back_as_a_follower",
              "an_import_during_two_kills_is_done_once",
              "who_was_not_in_sync_leads_only_by_recover")

MEASURE = os.environ.get("KT_FAULTS_MEASURE")


def kills(default):
    return int(os.environ.get("KT_FAULTS_KILLS") or default)


def within(clients, kind, seconds, probe):
    """The longest wait of a client; a busy machine gets more, unless it is measured. Then only the
    disk's own pauses are forgiven: what is acknowledged has been fsynced."""
    longest = clients.longest(kind)
    limit = seconds + (2 * probe.longest if MEASURE else 5)
    check(longest.took <= limit * SLOW, "the longest %s took %.2f s, at most %.2f s: %s", kind,
          longest.took, limit * SLOW, longest)


def failover(server, to=None):
    body = {"to": to} if to else {}
    answer = server.post("/cluster/failover", body, timeout=30 * SLOW)
    equal(answer.status, 200, "status of a handover: %s" % answer.body)


@test
def killing_the_leader_under_load_fails_nothing(bench):
    """kill -9 under 50 writers and 50 readers: nothing fails, nothing is lost, nothing is
    doubled."""
    field = Field(bench)
    with DiskProbe(bench) as probe, field.clients(
            writer=35, keyed=15, reader=25, stroller=15, session=10, counter=5, rate=4) as clients:
        for number in range(kills(3)):
            field.wait_in_sync(field.nodes, 30)
            clients.wait(100)
            leader = field.leader()
            leader.kill()
            if number % 2:
                leader.launch()  # before anybody has noticed
            clients.wait(100)
            check(number % 2 or field.leader() is not leader, "another node leads")
            if not number % 2:
                leader.launch()
        clients.wait(100)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")
    within(clients, "write", TTL + 1.5, probe)


@test
def a_paused_leader_comes_back_as_a_follower(bench):
    """SIGSTOP for longer than the ttl: another leads; when it goes on, it serves nothing stale.
    Half of the clients ask the nodes themselves, also the one that was stopped."""
    field = Field(bench)
    field.wait_in_sync(field.nodes)
    with DiskProbe(bench) as probe, \
            field.clients(writer=5, keyed=5, reader=5, session=3, counter=2, rate=10) as clients, \
            field.clients(field.nodes, writer=9, reader=15, stroller=6, session=6, counter=3,
                          rate=10, timeout_ms=2000) as direct:
        clients.wait(50)
        leader = field.leader()
        field.pause(leader)
        other = field.leader(besides=[leader])
        clients.wait(50)
        field.go_on(leader)
        wait_until(lambda: field.leaders() == [other], "the one that was stopped follows")
        field.wait_in_sync(field.nodes)
        clients.wait(50)
        # And for about a second, shorter than the ttl.
        leader = field.leader()
        field.pause(leader)
        direct.wait(100, "read")
        field.go_on(leader)
        clients.wait(50)
        field.judge(clients, direct)
    no_failures(clients, "write", "read", "raise")
    within(clients, "write", TTL + 1.5, probe)


@test
def a_handover_costs_no_request(bench):
    """POST /cluster/failover, to each node in turn and to whom the leader chooses."""
    field = Field(bench)
    with DiskProbe(bench) as probe, field.clients(
            writer=15, keyed=5, reader=15, stroller=5, session=5, counter=3, rate=8) as clients:
        for to in field.nodes[1:] + field.nodes[:1] + [None]:
            field.wait_in_sync(field.nodes)
            clients.wait(50)
            before = field.leader()
            failover(before, to and to.front)
            leader = field.leader()
            check(leader is (to or leader) and leader is not before, "%s leads after %s, wanted %s",
                  leader.name, before.name, to and to.name)
        clients.wait(50)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")
    within(clients, "write", 0.2, probe)


@test
def the_last_of_three_takes_writes(bench):
    """min_in_sync 1: two are killed one after the other, the last goes on; they come back and catch
    up."""
    field = Field(bench)
    with field.clients(writer=10, keyed=5, reader=5, session=5, counter=2, rate=8) as clients:
        killed = []
        for left in (2, 1):
            field.wait_in_sync(field.running())
            clients.wait(50)
            killed.append(field.leader())
            killed[-1].kill()
            field.wait_in_sync(field.running())
            equal(len(field.in_sync()), left, "in sync")
        clients.wait(50)
        for node in killed:
            node.launch()
        field.wait_in_sync(field.nodes)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")


@test
def with_min_in_sync_2_the_last_of_three_refuses_writes(bench):
    """503, certainly not done; when another is there again, writes are taken again."""
    field = Field(bench, replication_min_in_sync=2)
    field.wait_in_sync(field.nodes)
    with field.clients(writer=10, keyed=5, reader=5, stroller=5, rate=8,
                       timeout_ms=3000) as clients:
        clients.wait(50)
        killed = field.followers()
        killed[0].kill()
        field.wait_in_sync(field.running())
        clients.wait(50)
        killed[1].kill()
        last = field.leader()
        save = {"records": [PROBE]}

        def refused():
            answer = last.data_post("save", save, {"X-Kamaitachi-Timeout-Ms": "3000"})
            check(answer.status != 200, "taken by one alone")
            return answer.status == 503 and answer.headers["x-kamaitachi-outcome"] == "none"
        wait_until(refused, "a write is refused", 20)
        equal(len(field.in_sync()), 2, "in sync is never less than min_in_sync")
        check("retry-after" in last.data_post("save", save).headers, "with Retry-After")
        # Reads of level any go on.
        equal(last.data_post("snapshot", {"subjects": ["k0"]}).status, 200, "a read at the last")
        killed[0].launch()
        field.wait_writes()
        clients.wait(50)
        field.judge(clients)
    # Whoever can't be taken out of in_sync is asked for its promise by linearizable reads too.
    equal([op for op in clients.failed("read") if op.level == "any"][:3], [], "failed reads")


@test
def who_was_not_in_sync_leads_only_by_recover(bench):
    """It says whom it waits for. Who had more than the recovered one stops, and comes back by
    -rejoin."""
    field = Field(bench, slaves=1)
    field.wait_in_sync(field.nodes)
    save = {"records": [{"subject": "k0", "time": 1, "data": {"v": 1}}]}
    equal(field.gateway.data_post("save", save).status, 200, "a write to both")
    ahead, behind = field.leader(), field.followers()[0]
    behind.kill()
    field.wait_in_sync([ahead])
    for value in (2, 3):  # with the second it keeps that the first is committed
        save["records"][0]["data"]["v"] = value
        equal(field.gateway.data_post("save", save).status, 200, "a write to one")
    ahead.wait_written()  # so that it knows what was committed
    ahead.kill()
    wait_until(lambda: field.etcd.service_key(ahead.front) is None, "it is gone from etcd", 3 * TTL)
    behind.launch()
    behind.wait_answers()
    wait_until(lambda: field.waits_for(behind, ahead),
               "it names whom it waits for", 4 * TTL)
    equal(behind.post("/cluster/recover", {}).status, 400, "without accept_loss")
    equal(field.leaders(), [], "who leads")
    answer = behind.post("/cluster/recover", {"accept_loss": True}, timeout=30 * SLOW)
    equal(answer.status, 200, "status of recover: %s" % answer.body)
    check(ahead.id in answer.body.decode(), "what may be lost is named: %s", answer.body)
    equal(field.leader(), behind, "who leads")
    field.wait_writes()
    equal(field.gateway.snapshot(subjects=["k0"], ids="v")["data"][0]["data"], {"v": 1},
          "what is left")
    # The other one has what nobody else has: it is not thrown away unasked.
    ahead.expected_log = [".*"]
    ahead.launch()
    ahead.wait_answers()
    wait_until(lambda: "-rejoin" in ahead.log(), "it says what to do", 30)
    check(not ahead.is_well(), "it serves nobody")
    ahead.terminate()
    ahead.flags = ["-rejoin"]
    ahead.launch()
    field.wait_level()
    field.compare_tables()
    folder = os.path.dirname(ahead.environment["KAMAITACHI_STORE_DB"])
    check(any(".diverged-" in name for name in os.listdir(folder)), "the old file is kept: %s",
          os.listdir(folder))


@test
def revoked_leases_lose_nothing(bench):
    """etcd may drop the lease of a living leader: it steps down, and nobody serves what is
    stale."""
    field = Field(bench)
    with field.clients(writer=10, keyed=5, reader=5, session=5, counter=3, rate=8) as clients, \
            field.clients(field.nodes, reader=9, writer=6, rate=8, timeout_ms=2000) as direct:
        for _ in range(3):
            field.wait_in_sync(field.nodes)
            clients.wait(30)
            epoch = field.leader().health()["epoch"]
            field.revoke(field.leader())
            wait_until(lambda: field.leader().health()["epoch"] > epoch, "a new epoch", 4 * TTL)
            clients.wait(30)
        for node in field.followers():
            field.revoke(node)
        clients.wait(30)
        for node in field.nodes:
            wait_until(lambda n=node: field.etcd.service_key(n.front), "it is registered", 3 * TTL)
        clients.wait(30)
        field.judge(clients, direct)
    no_failures(clients, "read", "write", "raise")


@test
def all_leases_revoked_at_once_lose_nothing(bench):
    """For a moment nobody is registered: the gateway goes on with whom it can reach."""
    field = Field(bench)
    with field.clients(writer=10, keyed=5, reader=5, session=5, counter=3, rate=8) as clients, \
            field.clients(field.nodes, reader=9, writer=6, rate=8, timeout_ms=2000) as direct:
        for _ in range(3):
            field.wait_in_sync(field.nodes)
            clients.wait(30)
            for node in field.nodes:
                field.revoke(node)
        clients.wait(30)
        field.judge(clients, direct)
    no_failures(clients, "read", "write", "raise")


class LargeReads:
    """Asks the gateway for every subject, again and again, on a few threads."""

    def __init__(self, server, count, threads=5):
        self.server, self.count = server, count
        self.good, self.failed = 0, []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        question = {"topic": "all", "ids": "v,w", "limit": self.count}
        while not self.ending.is_set():
            try:
                answer = self.server.data_post("snapshot", question, timeout=30 * SLOW)
                check(answer.status == 200 and len(answer.data()) == self.count,
                      "answered %d: %s", answer.status, answer.body[:200])
                check(len(answer.body) > 150000, "an answer of %d bytes", len(answer.body))
                self.good += 1
            except (OSError, ValueError, http.client.HTTPException, Failure) as failure:
                self.failed.append(repr(failure))

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(60 * SLOW)


@test
def large_answers_outlive_the_nodes_that_give_them(bench):
    """Longer than a buffer of the gateway, and asked of another node when theirs dies or stands
    still in the middle."""
    field = Field(bench)
    count = 2000
    save = {"subjects": [{"subject": "many%d" % i, "topics": ["all"]} for i in range(count)],
            "records": [{"subject": "many%d" % i, "time": "2024-12-31",
                         "data": {"v": i / 7, "w": i / 11}} for i in range(count)]}
    equal(field.gateway.data_post("save", save, timeout=30 * SLOW).status, 200, "a large save")
    field.wait_level()
    reads = LargeReads(field.gateway, count)
    try:
        for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
            seen = reads.good
            wait_until(lambda s=seen: reads.good >= s + 30, "reads go on", 60)
            node = field.followers()[0] if number == signal.SIGSTOP else field.leader()
            node.signal(number)
            seen = reads.good
            wait_until(lambda s=seen: reads.good >= s + 30, "reads go on without it", 60)
            if number == signal.SIGSTOP:
                node.signal(signal.SIGCONT)
            else:
                node.popen.wait()
                node.launch()
            field.wait_in_sync(field.nodes)
    finally:
        reads.stop()
    equal(reads.failed[:3], [], "%d reads failed of %d" % (
        len(reads.failed), len(reads.failed) + reads.good))


class Feed:
    """Follows the feed of changes through the gateway, again and again from where it stands."""

    def __init__(self, server):
        self.server, self.revisions, self.gone = server, [], 0
        self.at = 0
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ending.is_set():
            try:
                answer = self.server.data_get("changes?after=%d&wait_ms=500&limit=1000" % self.at)
            except (OSError, http.client.HTTPException):
                continue
            for line in answer.body.split(b"\n") if answer.status == 200 else ():
                if line.startswith(b'{"revision"'):
                    self.at = json.loads(line)["revision"]
                    self.revisions.append(self.at)
            self.gone += answer.status == 410

    def stop(self):
        self.ending.set()
        self.thread.join(60 * SLOW)


@test
def the_feed_of_changes_skips_nothing_across_leaders(bench):
    """From whichever node a line comes, each revision comes once, and none that vanishes later."""
    field = Field(bench)
    with field.clients(writer=10, rate=8) as clients:
        feed = Feed(field.gateway)
        for _ in range(2):
            field.wait_in_sync(field.nodes)
            clients.wait(50)
            leader = field.leader()
            leader.kill()
            clients.wait(50)
            leader.launch()
        account = field.judge(clients)
        newest = max(revision for its in account.revisions.values() for revision in its)
        wait_until(lambda: feed.at >= newest, "the feed has told all")
        feed.stop()
    equal(feed.gone, 0, "answers 410")
    equal(feed.revisions, list(range(1, feed.at + 1)), "the revisions told")


@test
def an_import_during_two_kills_is_done_once(bench):
    """Its client repeats it under its key until it is done; every record is there once."""
    count = int(os.environ.get("KT_FAULTS_RECORDS") or 60000)
    field = Field(bench, limits_import_batch_records=1000)
    field.wait_in_sync(field.nodes)

    def pieces():
        yield b"s,t,v\n"
        for first in range(0, count, 1000):
            yield b"".join(b"s%d,%d,%d\n" % (i // 100, i % 100, i)
                           for i in range(first, first + 1000))
    answers = []

    def bring():
        while not answers or answers[-1] is None or answers[-1][0] != 200:
            if len(answers) > 100:
                return
            try:
                answers.append(send(field.gateway, "subject=s&time=t&time_format=seconds", pieces(),
                                    [("Idempotency-Key", "twice")], timeout=120))
            except (OSError, ValueError):
                answers.append(None)
    worker = threading.Thread(target=bring, daemon=True)
    worker.start()
    for part in (1, 2):
        field.wait_in_sync(field.nodes, 60)
        wait_until(lambda: field.leader().stats()["total_records"] >= count * part // 4 or
                   not worker.is_alive(), "a part of it is in", 600)
        check(worker.is_alive(), "it still runs: %s", answers[-1:])
        leader = field.leader()
        leader.kill()
        field.leader(besides=[leader])
        leader.launch()
    worker.join(600 * SLOW)
    check(answers and answers[-1] and answers[-1][0] == 200, "it was done: %s", answers[-3:])
    summary = answers[-1][1]["data"]
    equal([summary["records"], summary["rejected"]], [count, 0], "the report")
    print("  %d attempts: %s" % (len(answers), [one and one[0] for one in answers]))
    field.wait_level()
    field.compare_tables()
    for node in field.nodes:
        equal(versions(node, "from=-1"), count, "versions at %s" % node.name)
