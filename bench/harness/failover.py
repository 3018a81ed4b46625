# SPDX-License-Identifier: MIT
"""The leader killed, and the lead handed over, while clients write and read through the gateway.

Requests go by plan, so that one that had to wait does not keep others from being counted: the
longest wait is the slowest request's, from its planned moment to its answer. Afterwards every
acknowledged write is read back.
"""

import threading
import time

import loads
from servers import Missing, Replicas, cluster
from turns import Contender, fact, take_turns

CLIENTS = 50  # that write, and as many that read
RATE = 300    # of each, in requests a second: a load, not a race
HANDOVERS = 4  # in one round
PAUSE_S = 1    # from one to the next


def ttl_of(run):
    """Seconds of the leader's lease: as it comes, in quick runs the shortest."""
    return 3 if run.quick else 5


def three_nodes(run):
    """A cluster of its own: its leaders change."""
    if not loads.PressureTest.available(run.tools):
        raise Missing("pressure_test is not built")
    return run.fixtures.get("failing", lambda bench: Replicas(
        bench, run.market, 3, etcd_ttl=ttl_of(run)))


def lost_of(account):
    """Acknowledged writes that were not there afterwards, or had another value."""
    return account["wrong"].get("wrong_value", 0)


def failed_of(account):
    """Requests without a right answer."""
    return sum(account["wrong"].values()) - lost_of(account) + account["abandoned"]


def sample_of(writes, reads, **more):
    """A Sample of both accounts: latencies are the writes'."""
    latency = writes["latency_us"]
    return loads.Sample(
        rate=writes["rate"], requests=writes["right"], p50_us=latency["p50"],
        p90_us=latency["p90"], p99_us=latency["p99"], max_us=latency["max"],
        read_max_us=reads["latency_us"]["max"], failed_writes=failed_of(writes),
        failed_reads=failed_of(reads), lost=lost_of(writes),
        unsent=writes["unsent"] + reads["unsent"],
        errors=failed_of(writes) + failed_of(reads),
        examples=list(writes["examples"].values()) + list(reads["examples"].values()), **more)


def under_load(run, whole, seconds, meanwhile):
    """Writers and readers through the gateway for so long, and meanwhile() after the first second;
    (the writers' account, the readers', what meanwhile() gave)."""
    tool = loads.PressureTest(run.folder, run.tools)
    addr = whole.gateway.addr
    reads = tool.start(addr, "multi", CLIENTS, seconds, RATE)
    writes = None
    try:
        writes = tool.start(addr, "writes", CLIENTS, seconds, RATE, verify=addr)
        threading.Event().wait(1)  # they run
        told = meanwhile()
        return writes.finish(), reads.finish(), told
    finally:
        for load in filter(None, (reads, writes)):
            load.abandon()


def kill_leader(run, whole):
    """One round: `kill -9` of who leads; whoever was killed comes back before the next."""
    leader = whole.wait_in_sync()

    def kill():
        before = leader.info()["epoch"]
        leader.kill()
        start = time.monotonic()

        def another():
            now = whole.leader()
            return now is not leader and now.info()["is_leader"] and now.info()["epoch"] > before
        cluster.wait_until(another, "another node leads", ttl_of(run) + 10)
        return time.monotonic() - start

    try:
        writes, reads, leaderless_s = under_load(run, whole, ttl_of(run) + 5, kill)
        return sample_of(writes, reads, leaderless_us=leaderless_s * 1e6)
    finally:
        if not leader.is_running():
            leader.start(60)


def hand_over(run, whole):
    """One round: the lead goes from node to node."""
    took = []

    def another():
        leader = whole.wait_leader()
        following = whole.nodes[(whole.nodes.index(leader) + 1) % len(whole.nodes)]
        start = time.monotonic()
        answer = whole.gateway.post("/cluster/failover", {"to": following.addr}, timeout=30)
        took.append((time.monotonic() - start) * 1e6)
        cluster.check(answer.status == 200, "the handover to %s was answered %d: %s",
                      following.addr, answer.status, cluster.shorten(answer.body))
        cluster.wait_until(lambda: following.info()["is_leader"],
                           "%s leads, as %s said" % (following.name, answer.body), 10)
        threading.Event().wait(max(0, PAUSE_S - (time.monotonic() - start)))

    whole.wait_in_sync()
    writes, reads, _ = under_load(run, whole, HANDOVERS + 3,
                                  lambda: [another() for _ in range(HANDOVERS)])
    return sample_of(writes, reads, handover_us=max(took))


def nothing(run, whole):
    """The same load, and nothing happens: what the longest wait is on this machine anyway."""
    whole.wait_in_sync()
    writes, reads, _ = under_load(run, whole, HANDOVERS + 3, lambda: None)
    return sample_of(writes, reads)


def worst(result, contender, what):
    values = [sample[what] for sample in result["contenders"][contender]["rounds"]
              if sample.get(what) is not None]
    return max(values) if values else None


def milliseconds(us):
    return None if us is None else round(us / 1000, 1)


def tell(result, contender, bar_ms):
    """The worst of all rounds counts: a failover that is quick most of the time is not quick."""
    def of(what):
        return worst(result, contender, what)
    fact(result, "longest wait of a write", milliseconds(of("max_us")), "ms", ("<=", bar_ms))
    fact(result, "longest wait of a read", milliseconds(of("read_max_us")), "ms")
    for what, name in (("failed_writes", "failed writes"), ("failed_reads", "failed reads"),
                       ("lost", "acknowledged writes that are gone")):
        fact(result, name, sum(sample.get(what, 0) for sample in
                               result["contenders"][contender]["rounds"]), "", ("<=", 0))
    unsent = of("unsent")
    if unsent:
        result["notes"].append("the machine was too busy: up to %d requests could not be sent by the "
                               "end of a round, and their wait is not counted" % unsent)
    for sample in result["contenders"][contender]["rounds"]:
        result["notes"] += ["an answer that was wrong: %s" % text
                            for text in sample.get("examples", [])[:2]]
    result["notes"].append(
        "%d writers and %d readers through the gateway, %d requests a second each by plan" % (
            CLIENTS, CLIENTS, RATE))


def unplanned(run, result):
    whole = three_nodes(run)
    name = "kill -9 of the leader"
    result["unit"] = "writes/s"
    take_turns(run, result, [Contender(name, lambda: kill_leader(run, whole))])
    tell(result, name, ttl_of(run) * 1000 + 1500)
    fact(result, "without a leader", milliseconds(worst(result, name, "leaderless_us")), "ms")
    result["notes"].append("ttl %d s; a round: load, the kill after a second, another leader, the "
                           "killed node back and in sync" % ttl_of(run))


def planned(run, result):
    whole = three_nodes(run)
    name = "%d handovers" % HANDOVERS
    result["unit"] = "writes/s"
    result["commands"].append("POST /cluster/failover {\"to\": \"…\"} at the gateway")
    take_turns(run, result, [Contender(name, lambda: hand_over(run, whole)),
                             Contender("no handover", lambda: nothing(run, whole))])
    tell(result, name, 200)
    fact(result, "a handover, asked and answered",
         milliseconds(worst(result, name, "handover_us")), "ms")
    fact(result, "longest wait of a write, no handover",
         milliseconds(worst(result, "no handover", "max_us")), "ms")
