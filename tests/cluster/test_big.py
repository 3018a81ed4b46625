# SPDX-License-Identifier: MIT
"""Three masters and five slaves over an etcd of three members: one of each dies under load."""

from cluster import check, equal, test, wait_until
from faults import Field, no_failures

SLOW_TESTS = ("eight_nodes_lose_an_etcd_member_a_leader_and_a_follower",)


@test
def eight_nodes_lose_an_etcd_member_a_leader_and_a_follower(bench):
    field = Field(bench, masters=3, slaves=5, etcds=3, server_num_threads=64)
    wait_until(lambda: len(field.in_sync()) == 3, "three are in sync (max_in_sync)", 20)
    with field.clients(writer=20, keyed=10, reader=10, stroller=5, session=10, counter=3,
                       rate=4) as clients:
        clients.wait(60)
        field.etcd.members[0].kill()
        clients.wait(60)
        leader = field.leader()
        leader.kill()
        clients.wait(60)
        wait_until(lambda: len(field.in_sync()) == 3, "another takes its place", 30)
        follower = next(node for node in field.followers() if node.name in field.in_sync())
        follower.kill()
        clients.wait(60)
        wait_until(lambda: len(field.in_sync()) == 3 and follower.name not in field.in_sync(),
                   "and another", 30)
        for node in (leader, follower):
            node.launch()
        clients.wait(60)
        field.judge(clients, deadline=90)
    no_failures(clients, "read", "write", "raise")
    check(len({op.server for op in clients.ops}) == 1, "all went through the gateway")
    equal(len(field.etcd.config()["members"]), 8, "members")
