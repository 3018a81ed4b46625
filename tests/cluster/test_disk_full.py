# SPDX-License-Identifier: MIT
"""A disk that is full: a small tmpfs, filled to the last byte, under load. Needs root."""

from cluster import check, test, wait_until
from faults import TTL, Field, no_failures

FULL = [r" error "]  # a node may say so, and must


def load(field):
    return field.clients(writer=10, keyed=5, reader=5, session=5, counter=2, rate=8)


@test
def a_follower_whose_disk_is_full_is_not_waited_for(bench):
    field = Field(bench, small_disks=("slave",))
    node = field.named("slave")
    field.wait_in_sync(field.nodes)
    node.expected_log = FULL
    with load(field) as clients:
        clients.wait(50)
        field.disks["slave"].fill()
        wait_until(lambda: "slave" not in field.in_sync(), "it is out of in_sync", 20)
        clients.wait(50)
        field.disks["slave"].free()
        if not node.is_running():
            node.launch()
        field.wait_in_sync(field.nodes, 30)
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")


@test
def a_leader_whose_disk_is_full_gives_way(bench):
    """It can't make a write durable: it steps down, another leads; what it had taken is done once
    or not."""
    field = Field(bench, small_disks=("master",), cluster_priority=0)
    node = field.named("master")
    field.wait_in_sync(field.nodes)
    if field.leader() is not node:
        answer = field.leader().post("/cluster/failover", {"to": node.front})
        check(answer.status == 200, "handover: %s", answer.body)
    field.wait_in_sync(field.nodes)
    node.expected_log = FULL
    with load(field) as clients:
        clients.wait(50)
        field.disks["master"].fill()
        field.leader(besides=[node], deadline=4 * TTL)
        wait_until(lambda: node not in field.leaders(), "it has stepped down")
        clients.wait(50)
        field.disks["master"].free()
        if not node.is_running():
            node.launch()
        field.wait_in_sync(field.nodes, 30)
        field.judge(clients)
