# SPDX-License-Identifier: MIT
"""All nodes at once, and all one after the other, under load; the history is judged in the end."""

from cluster import check, equal, measured, test, wait_until
from faults import TTL, Field, no_failures

SLOW_TESTS = ("all_nodes_killed_at_once_lose_nothing",)


def load(field, **more):
    return field.clients(writer=15, keyed=10, reader=10, session=5, counter=3, rate=8, **more)


def in_sync_again(field):
    field.wait_in_sync(field.nodes, 40)


@test
def all_nodes_killed_at_once_lose_nothing(bench):
    """Every acknowledged write is on the disks of all that were in sync, whoever leads next."""
    field = Field(bench)
    with load(field) as clients:
        for number in range(3):
            in_sync_again(field)
            clients.wait(60)
            for node in field.nodes:
                node.kill()
            for node in field.nodes[number:] + field.nodes[:number]:
                node.launch()
            field.wait_writes(6 * TTL)
        in_sync_again(field)
        clients.wait(60)
        field.judge(clients)


@test
def a_rolling_restart_fails_nothing(bench):
    """SIGTERM, one node after the other, the leader too; each is in sync again before the next."""
    field = Field(bench)
    with load(field) as clients:
        for node in field.nodes:
            in_sync_again(field)
            clients.wait(60)
            node.terminate()
            node.launch()
        in_sync_again(field)
        clients.wait(60)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")


@test
def nodes_that_were_all_stopped_need_not_wait_for_the_ttl(bench):
    """Who stops cleanly, bound by no promise, may lead at once when it is back."""
    field = Field(bench, slaves=2)
    in_sync_again(field)
    equal(field.gateway.data_post("save", {"records": [
        {"subject": "k0", "time": 1, "data": {"v": 1}}]}).status, 200, "a write")
    for node in field.followers():
        node.terminate()
    field.leader().terminate()
    epoch = field.etcd.config()["epoch"]
    with measured("writes are taken again", TTL + 1.5):
        for node in field.nodes:
            node.launch()
        field.wait_writes()
    check(field.etcd.config()["epoch"] > epoch, "a later epoch than %d", epoch)
    field.wait_level()
    field.compare_tables()


@test
def a_node_in_sync_alone_is_waited_for(bench):
    """All are killed when one alone was in sync: the others say so and wait, it leads with all it
    had."""
    field = Field(bench)
    in_sync_again(field)
    with load(field, timeout_ms=5000) as clients:
        alone = field.leader()
        for node in field.followers():
            node.kill()
        field.wait_in_sync([alone])
        clients.wait(60)
        alone.kill()
        rest = [node for node in field.nodes if node is not alone]
        for node in rest:
            node.launch()
            node.wait_answers()
        for node in rest:
            wait_until(lambda n=node: field.waits_for(n, alone),
                       "%s names whom it waits for" % node.name, 5 * TTL)
        equal(field.leaders(), [], "who leads")
        alone.launch()
        field.wait_writes(5 * TTL)
        equal(field.leader(), alone, "who leads")
        in_sync_again(field)
        field.judge(clients)
