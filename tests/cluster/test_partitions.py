# SPDX-License-Identifier: MIT
"""Links that are cut, both ways or one, while clients ask the gateway and the nodes themselves: on
both sides of a cut at once. The history is judged when all is healed (faults.py, proxy.py).

KT_FAULTS_SECONDS=600 lets the random one go on so long, KT_FAULTS_SEED chooses what it does.
"""

import contextlib
import glob
import http.client
import json
import os
import random
import time

from cluster import SLOW, check, equal, test, wait_until
from faults import TTL, Field, compact, no_failures
from proxy import NO_ANSWERS, NO_REQUESTS, OPEN, RESET, SILENT

SLOW_TESTS = ("a_leader_cut_off_from_everybody_commits_and_serves_nothing",
              "one_way_cuts_lose_nothing", "random_cuts_lose_nothing")


def both_sides(field, rate=6):
    """Clients of the gateway, and clients of each node, whichever side it is on."""
    return (field.clients(writer=6, keyed=4, reader=4, session=4, counter=2, rate=rate,
                          timeout_ms=20000),
            field.clients(field.nodes, writer=6, reader=9, stroller=3, session=3, counter=3,
                          rate=rate, timeout_ms=2000))


def field_to_cut(bench, **settings):
    """With everybody in sync, and clients on both sides."""
    field = Field(bench, wires=True, **settings)
    field.wait_in_sync(field.nodes)
    return (field, *both_sides(field))


def others(field, node):
    return [one.name for one in field.nodes if one is not node]


@test
def a_leader_cut_off_from_everybody_commits_and_serves_nothing(bench):
    """Its clients still reach it. What they wrote there is refused or of unknown outcome; what lay
    in its log alone is put aside when it comes back."""
    field, through, direct = field_to_cut(bench, replication_batch_max_bytes=65536)
    # It fills a batch, and so has a number at once, whatever is still on its way.
    large = {"subjects": [{"subject": "alone%d" % i, "name": "x" * 120} for i in range(600)]}
    with through, direct:
        through.wait(50)
        old = field.leader()
        field.wires.cut([old.name], others(field, old) + ["etcd", "gateway"])
        answer = old.data_post("save", large, {"X-Kamaitachi-Timeout-Ms": "%d" % (500 * SLOW)})
        equal([answer.status, answer.headers["x-kamaitachi-outcome"]], [504, "unknown"],
              "a write that nobody else has: %s" % answer.body)
        new = field.leader(besides=[old], deadline=30)
        through.wait(50)
        wait_until(lambda: old not in field.leaders(), "the old one has stepped down", 3 * TTL)
        answer = old.data_post("snapshot", {"subjects": ["k0"]},
                               {"X-Kamaitachi-Consistency": "linearizable",
                                "X-Kamaitachi-Timeout-Ms": "1000"})
        check(answer.status in (421, 503), "a linearizable read at the old one: %s", answer.body)
        equal(old.data_post("snapshot", {"subjects": ["k0"]}).status, 200, "a read of level any")
        field.wires.heal()
        field.wait_in_sync(field.nodes, 30)
        equal(field.leaders(), [new], "who leads")
        field.judge(through, direct)
    no_failures(through, "read", "write", "raise")
    aside = glob.glob(os.path.join(old.dir, "rollback", "*.ndjson"))
    check(aside, "the tail is put aside")
    for path in aside:
        with open(path, encoding="utf-8") as file:
            for line in file:
                entry = json.loads(line)
                check(entry["seq"] > 0 and entry["epoch"] > 0, "a line of %s: %s", path, entry)


@test
def a_leader_cut_off_from_etcd_alone_steps_down(bench):
    """Its followers still fetch from it; by its own clock it stops before somebody else leads."""
    field, through, direct = field_to_cut(bench)
    with through, direct:
        for state in (SILENT, RESET):
            field.wait_in_sync(field.nodes, 30)
            through.wait(30)
            old = field.leader()
            field.wires.set(old.name, "etcd", state)
            field.leader(besides=[old], deadline=30)
            through.wait(30)
            field.wires.heal()
        field.wait_in_sync(field.nodes, 30)
        field.judge(through, direct)
    no_failures(through, "read", "write", "raise")


@test
def a_leader_cut_off_from_its_followers_goes_on_alone(bench):
    """It takes them out of in_sync, by etcd's word; when they are back they are taken in again."""
    field, through, direct = field_to_cut(bench)
    with through, direct:
        for state in (SILENT, RESET):
            field.wait_in_sync(field.nodes, 30)
            through.wait(30)
            leader = field.leader()
            field.wires.cut([leader.name], others(field, leader), state)
            field.wait_in_sync([leader], 20)
            through.wait(30)
            equal(field.leader(), leader, "who leads")
            field.wires.heal()
        field.wait_in_sync(field.nodes, 30)
        field.judge(through, direct)
    no_failures(through, "read", "write", "raise")


@test
def one_way_cuts_lose_nothing(bench):
    """Requests arrive and their answers do not, or the other way round: between leader and
    follower, leader and etcd, gateway and leader."""
    field, through, direct = field_to_cut(bench)
    with through, direct:
        for state in (NO_ANSWERS, NO_REQUESTS):
            leader = field.leader(deadline=40)
            follower = field.followers()[0]
            field.wires.set(follower.name, leader.name, state)
            wait_until(lambda: follower.name not in field.in_sync(), "it is out of in_sync")
            through.wait(20)
            field.wires.heal()
            field.wait_in_sync(field.nodes, 30)
        for state in (NO_ANSWERS, NO_REQUESTS):
            leader = field.leader(deadline=40)
            field.wires.set(leader.name, "etcd", state)
            # The lease may live on at etcd, whose answers nobody hears, and then nobody can lead.
            wait_until(lambda: leader not in field.leaders(), "it steps down", 3 * TTL)
            field.wires.heal()
            field.wait_writes(30)
            field.wait_in_sync(field.nodes, 30)
        for state in (NO_ANSWERS, NO_REQUESTS):
            leader = field.leader(deadline=40)
            field.wires.set("gateway", leader.name, state)
            direct.wait(60)
            field.wires.heal()
            through.wait(20)
        field.judge(through, direct)


@test
def a_gateway_cut_off_from_etcd_finds_the_next_leader(bench):
    """It keeps its last list, and a node that does not lead says who does."""
    field = Field(bench, wires=True)
    field.wait_in_sync(field.nodes)
    with field.clients(writer=10, keyed=5, reader=5, session=5, counter=2, rate=6) as clients:
        clients.wait(30)
        for state in (SILENT, RESET):
            field.wires.set("gateway", "etcd", state)
            field.wait_in_sync(field.nodes, 30)
            leader = field.leader()
            leader.kill()
            field.leader(besides=[leader], deadline=4 * TTL)
            clients.wait(30)
            leader.launch()
            clients.wait(30)
            field.wires.heal()
        field.judge(clients)
    no_failures(clients, "read", "write", "raise")


@test
def slow_links_lose_nothing(bench):
    """Everything that one follower and etcd hear and say comes a quarter of a second later."""
    field, through, direct = field_to_cut(bench)
    with through, direct:
        leader = field.leader()
        slow = field.followers()[0]
        field.wires.set(slow.name, leader.name, OPEN, delay=0.25)
        through.wait(40)
        field.wires.set(leader.name, "etcd", OPEN, delay=0.25)
        through.wait(40)
        leader.kill()
        through.wait(40)
        field.judge(through, direct)
    no_failures(through, "read", "write", "raise")


@test
def random_cuts_lose_nothing(bench):
    """Every link in any state, nodes killed, paused, stopped and told to hand over, leases revoked,
    etcd killed and compacted; seeded."""
    seed = int(os.environ.get("KT_FAULTS_SEED") or random.randrange(1 << 30))
    seconds = float(os.environ.get("KT_FAULTS_SECONDS") or 20)
    rng = random.Random(seed)
    slaves, min_in_sync = rng.choice([(2, 1), (2, 2), (4, 1), (4, 2)])
    print("  KT_FAULTS_SEED=%d: %d nodes, min_in_sync %d" % (seed, 1 + slaves, min_in_sync))
    field = Field(bench, slaves=slaves, wires=True, replication_min_in_sync=min_in_sync)
    through, direct = both_sides(field, 4)
    with through, direct:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            _disturb(field, rng)
            until = time.monotonic() + rng.uniform(0.1, 4)
            wait_until(lambda t=until: time.monotonic() >= t, "a while has passed")
            if rng.random() < 0.5:
                field.heal()
                if rng.random() < 0.5:
                    field.wait_writes(40)
        field.judge(through, direct)


def _disturb(field, rng):
    node = rng.choice(field.nodes)
    act = rng.randrange(15)
    runs, etcd_runs = node.is_running(), field.etcd.is_running()
    if act == 0 and runs:
        node.kill()
    elif act == 1 and runs:
        field.pause(node)
    elif act == 2 and etcd_runs and field.etcd.lease_of(node.front):
        field.revoke(node)
    elif act == 3 and etcd_runs:
        compact(field.etcd)
    elif act == 4 and etcd_runs:
        field.etcd.kill()
    elif act == 5 and runs:
        field.stop(node)
    elif act == 6:
        for leader in field.leaders():  # whatever comes of it
            with contextlib.suppress(OSError, http.client.HTTPException):
                leader.post("/cluster/failover", {"to": node.front}, timeout=2)
    else:
        _cut_something(field, rng)


def _cut_something(field, rng):
    everyone = [node.name for node in field.nodes]
    source = rng.choice(everyone + ["gateway"])
    to = rng.choice([name for name in everyone + ["etcd"] if name != source])
    state = rng.choice([SILENT, RESET, NO_ANSWERS, NO_REQUESTS, OPEN])
    delay = rng.choice([0, 0.05, 0.3]) if state == OPEN else 0
    field.wires.set(source, to, state, delay)
    if rng.random() < 0.5:
        field.wires.set(to, source, state, delay)
