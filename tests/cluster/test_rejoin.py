# SPDX-License-Identifier: MIT
"""Nodes that come back far behind, with nothing, or in the middle of a copy; the leader goes on
meanwhile.

KT_FAULTS_BEHIND=1000000 is how many revisions a follower has missed. KT_FAULTS_MEASURE=1 also
demands that the leader pauses for no more than 100 ms: for a quiet machine.
"""

import http.client
import os
import shutil
import sqlite3
import threading
import time

from clients import now
from cluster import SLOW, Failure, check, equal, test, wait_until
from faults import Field, log_file, no_failures
from proxy import OPEN

SLOW_TESTS = ("a_follower_far_behind_catches_up_under_load",
              "a_follower_killed_during_its_copy_begins_again")

MEASURE = os.environ.get("KT_FAULTS_MEASURE")
PAUSE = 0.1 if MEASURE else 3.0


def load(field):
    return field.clients(writer=6, keyed=2, reader=4, session=2, counter=1, rate=10)


def in_sync_again(field, deadline=60):
    field.wait_in_sync(field.nodes, deadline)


def no_pause(clients, *spans):
    """Writes that begin within a span do not wait for who comes back; beside it, how long they
    waited before the first."""
    writes = [op for op in clients.ops if op.kind == "write"]
    before = max(op.took for op in writes if op.end < spans[0][0])
    longest = max((op for op in writes if any(begin <= op.begin < end for begin, end in spans)),
                  key=lambda op: op.took)
    print("  the longest write: %.3f s before, %.3f s meanwhile" % (before, longest.took))
    check(longest.took <= PAUSE * SLOW, "the leader paused for %.3f s: %s", longest.took, longest)


def many_revisions(field, count, name, lanes=16):
    """So many changes of one record each; side by side, so that one fsync is good for several. Sent
    to the leader itself: the gateway would add keys, and a cluster remembers a million."""
    leader, failures = field.leader(), []

    def bring(lane):
        for first in range(lane * 1000, count, lanes * 1000):
            lines = ["%s%d,%d,%d\n" % (name, i % 1000, i, i)
                     for i in range(first, min(count, first + 1000))]
            try:
                leader.bring("subject=s&time=t&time_format=seconds", "s,t,v\n" + "".join(lines))
            except (Failure, OSError, http.client.HTTPException) as failure:
                failures.append(str(failure))
                return
    threads = [threading.Thread(target=bring, args=(lane,), daemon=True) for lane in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3600)
    equal(failures, [], "imports that failed")


def big_writes(field, count, name):
    """So many changes of some 100 KB."""
    for number in range(count):
        field.gateway.save(records=[
            {"subject": "%s%d" % (name, i), "time": number, "data": {"v": i * 1.37 + number}}
            for i in range(1500)])


def left_behind(field):
    """A follower that is killed, and a leader whose log no longer has what comes next for it."""
    in_sync_again(field)
    behind = field.followers()[0]
    behind.kill()
    field.wait_in_sync(field.running())
    big_writes(field, 60, "m")
    wait_until(lambda: first_in_log(field.leader()) > 20, "the leader's log is cut", 60)
    return behind


@test
def a_follower_far_behind_catches_up_under_load(bench):
    """By its log: it fetches what it missed, while the leader goes on as if nothing were."""
    count = int(os.environ.get("KT_FAULTS_BEHIND") or 10000)
    field = Field(bench, limits_import_batch_records=1, replication_log_keep_bytes="1g")
    in_sync_again(field)
    behind = field.followers()[0]
    behind.kill()
    field.wait_in_sync(field.running())
    many_revisions(field, count, "m")
    missed = field.leader().revision() - count
    check(missed >= 0, "the leader stands at %d", missed + count)
    with load(field) as clients:
        clients.wait(100)
        since = now()
        behind.launch()
        in_sync_again(field, 600)
        clients.wait(20)
        span = (since, now())
        field.judge(clients, deadline=120)
    check(" copy" not in behind.log(), "it needed no copy")
    no_failures(clients, "read", "write", "raise")
    no_pause(clients, span)


@test
def a_follower_whose_log_was_cut_away_takes_a_full_copy(bench):
    """Far behind a short log, and with an empty disk: both take a copy, while the leader goes
    on."""
    field = Field(bench, replication_log_keep_bytes="1m")
    behind = left_behind(field)
    with load(field) as clients:
        clients.wait(100)
        since = now()
        behind.launch()
        in_sync_again(field)
        clients.wait(20)
        spans = [(since, now())]
        behind.kill()  # for which they wait
        field.wait_in_sync(field.running())
        clients.wait(20)
        wipe_disk(behind)
        since = now()
        behind.launch()
        # A new node, in the place of the old one, which is still a member.
        behind.wait_well(60)
        clients.wait(20)
        spans.append((since, now()))
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")
    no_pause(clients, *spans)


@test
def a_follower_killed_during_its_copy_begins_again(bench):
    """A half copy is marked before its first byte and never served; so often the copy is broken, it
    begins again. Its leader is killed during one too."""
    field = Field(bench, wires=True, replication_log_keep_bytes="1m")
    behind = left_behind(field)
    for node in field.running():  # so that a copy takes a while
        field.wires.set(behind.name, node.name, OPEN, delay=0.15)
    with load(field) as clients:
        caught = 0
        for number in range(5):
            caught += copies(behind, number << 20)
            behind.kill()
            clients.wait(5)
        check(caught >= 3, "copies that were broken: %d", caught)
        copies(behind, 1 << 20)
        field.leader().kill()
        field.leader(besides=[behind], deadline=30)
        clients.wait(20)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")


def copies(node, size):
    """Starts it; 1 when so much of a new copy lies on its disk, 0 when it is through before."""
    path = node.environment["KAMAITACHI_STORE_DB"] + ".copy"
    begin = time.time()
    node.launch()

    def half():
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return False
        return status.st_ctime >= begin and status.st_size >= size
    wait_until(lambda: half() or node.is_well(), "it copies", 60)
    return 1 if half() else 0


def first_in_log(node):
    log = sqlite3.connect("file:%s?mode=ro" % log_file(node.environment["KAMAITACHI_STORE_DB"]),
                          uri=True, timeout=10)
    try:
        return log.execute("SELECT min(seq) FROM entry").fetchone()[0] or 0
    finally:
        log.close()


def wipe_disk(node):
    folder = os.path.dirname(node.environment["KAMAITACHI_STORE_DB"])
    shutil.rmtree(folder)
    os.makedirs(folder)


@test
def a_wiped_node_is_a_new_one(bench):
    """What a lost disk held is not remembered by whoever comes in its place: the id is another, the
    old member is not in sync, and forget drops it."""
    field = Field(bench)
    in_sync_again(field)
    with load(field) as clients:
        clients.wait(20)
        gone = field.followers()[0]
        old = next(one["id"] for one in field.etcd.config()["members"] if one["addr"] == gone.front)
        gone.kill()
        wipe_disk(gone)
        gone.launch()
        gone.wait_well(30)
        wait_until(lambda: len(field.etcd.config()["members"]) == 4, "four members")
        wait_until(lambda: old not in field.etcd.config()["in_sync"], "the old one is not in sync")
        answer = field.leader().post("/cluster/forget", {"id": old})
        equal(answer.status, 200, "status of forget: %s" % answer.body)
        equal(len(field.etcd.config()["members"]), 3, "members")
        clients.wait(20)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")
