# SPDX-License-Identifier: MIT
"""etcd dies, comes back, forgets, while clients write and read; the history is judged in the
end."""

import os
import shutil

from cluster import check, equal, test, wait_until
from faults import PROBE, TTL, Field, compact, no_failures, wipe

SLOW_TESTS = ("etcd_down_for_longer_than_the_ttl_loses_nothing",
              "an_etcd_restored_from_an_older_backup_loses_nothing",
              "an_etcd_that_lost_its_disk_under_load_loses_nothing")


def load(field):
    return field.clients(writer=10, keyed=5, reader=5, stroller=5, session=5, counter=2, rate=8)


def in_sync_again(field):
    field.wait_in_sync(field.nodes, 40)


@test
def an_etcd_restarted_at_once_fails_nothing(bench):
    field = Field(bench)
    in_sync_again(field)
    with load(field) as clients:
        for _ in range(3):
            clients.wait(50)
            field.etcd.kill()
            field.etcd.start()
        clients.wait(50)
        in_sync_again(field)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")


@test
def etcd_down_for_longer_than_the_ttl_loses_nothing(bench):
    """The leader steps down by its own clock; reads that promise no more than session go on."""
    field = Field(bench)
    in_sync_again(field)
    with load(field) as clients:
        clients.wait(50)
        field.etcd.kill()
        wait_until(lambda: not field.leaders(), "nobody leads", 3 * TTL)
        clients.wait(50, "read")
        answer = field.nodes[0].data_post("save", {"records": [PROBE]},
                                          {"X-Kamaitachi-Timeout-Ms": "1000"})
        equal([answer.status, answer.headers.get("x-kamaitachi-outcome")], [503, "none"], "a write")
        field.etcd.start()
        field.wait_writes(5 * TTL)
        clients.wait(50)
        in_sync_again(field)
        field.judge(clients)
    failed = [op for op in clients.failed("read") if op.level != "linearizable"]
    equal(failed[:3], [], "%d reads of levels any and session failed" % len(failed))
    for op in clients.failed("write"):
        check(op.outcome == "none" or op.status == 504, "how a write failed: %s", op)


@test
def a_compacted_etcd_loses_nothing(bench):
    """Watches end, and what is listed again is compared; an election works after it."""
    field = Field(bench)
    in_sync_again(field)
    with load(field) as clients:
        for _ in range(5):
            clients.wait(20)
            compact(field.etcd)
        leader = field.leader()
        leader.kill()
        compact(field.etcd)
        clients.wait(50)
        leader.launch()
        compact(field.etcd)
        in_sync_again(field)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")


@test
def an_etcd_that_lost_its_disk_under_load_loses_nothing(bench):
    """The nodes bring the configuration back from their disks: all of in_sync must be there, the
    one with the most leads, in a later epoch of the same cluster."""
    field = Field(bench)
    in_sync_again(field)
    with load(field) as clients:
        for _ in range(2):
            clients.wait(50)
            before = field.etcd.config()
            wipe(field.etcd)
            wait_until(lambda: field.etcd.config(), "a config is there again", 8 * TTL)
            field.wait_writes(5 * TTL)
            after = field.etcd.config()
            equal(after["cluster"], before["cluster"], "the cluster")
            check(after["epoch"] > before["epoch"], "epochs %d, %d", before["epoch"],
                  after["epoch"])
            clients.wait(50)
            in_sync_again(field)
        field.judge(clients)


@test
def an_etcd_wiped_while_one_of_in_sync_is_dead_waits_for_it(bench):
    """It may hold what was acknowledged; nobody leads until it is back, and it is named."""
    field = Field(bench)
    in_sync_again(field)
    with load(field) as clients:
        clients.wait(50)
        dead = field.leader()
        # At the same moment, so that nobody takes the dead one out of in_sync.
        field.etcd.kill()
        dead.kill()
        field.etcd.start()
        wipe(field.etcd)
        rest = field.running()
        for node in rest:
            wait_until(lambda n=node: field.waits_for(n, dead),
                       "%s names whom it waits for" % node.name, 8 * TTL)
        equal(field.leaders(), [], "who leads")
        dead.launch()
        field.wait_writes(8 * TTL)
        in_sync_again(field)
        field.judge(clients)


@test
def an_etcd_restored_from_an_older_backup_loses_nothing(bench):
    """Its configuration is older than what the nodes keep: it is not taken for the truth, in which
    the leader of then leads. (A node that was away since the backup can't know better:
    docs/OPERATIONS.md.)"""
    field = Field(bench)
    in_sync_again(field)
    with load(field) as clients:
        clients.wait(30)
        field.etcd.kill()
        data = os.path.join(field.etcd.dir, "data")
        shutil.copytree(data, data + ".backup")
        field.etcd.start()
        field.wait_writes(5 * TTL)
        in_sync_again(field)
        old = field.leader()
        old.kill()
        clients.wait(50)
        old.launch()
        in_sync_again(field)
        before = field.etcd.config()
        field.etcd.kill()
        shutil.rmtree(data)
        shutil.copytree(data + ".backup", data)
        field.etcd.start()
        wait_until(lambda: field.etcd.config()["epoch"] > before["epoch"], "a later epoch",
                   10 * TTL)
        field.wait_writes(5 * TTL)
        clients.wait(50)
        in_sync_again(field)
        field.judge(clients)
