# SPDX-License-Identifier: MIT
"""What is measured: one table, LINES, at the end of this file.

Who builds what a line of the table waits for sets `built` and, where it is still None, writes its
measure. A measure gets the run and a result to fill; the helpers take turns, keep raw numbers, and
hold ratios against their bars.
"""

import os
import time

import failover
import host
import loads
from loads import Sample
from servers import (INDICATORS, TOPIC, EtcdGroup, Haproxy, Nginx, Peer, Replicas, cluster, program,
                     puts, raw_answer, typical_answer)
from turns import (NO_RESPONSE_CACHE, Contender, bare_server, compare, driven, fact, median_of,
                   optional, replicas, take_turns)

SNAPSHOT = cluster.API + "/snapshot"
SAVE = cluster.API + "/save"


class Line:
    def __init__(self, name, what, bar, measure, built=True, uses=(), samples=1, setup=2,
                 round_s=0):
        self.name, self.what, self.bar = name, what, bar
        self.measure, self.built = measure, built
        self.uses = uses        # fixtures that other lines may use too
        self.samples = samples  # contenders, for the time that is announced
        self.setup = setup      # seconds before and between
        self.round_s = round_s  # of each round, whatever a sample is to take

    def seconds(self, run):
        return self.setup + run.rounds * (self.round_s + self.samples * (run.seconds + 0.4))


# --- nodes ---

def node_against_bare(run, result, node, bodies, bar):
    """A node's answers against a bare handler that sends one of them: of the mean length."""
    answer = typical_answer(node.addr, SNAPSHOT, bodies)
    bare = bare_server(run, "bare", answer)
    result["notes"].append("the bare handler sends %d bytes, head included" % len(answer))
    take_turns(run, result, [
        driven(run, result, "node", node.addr, SNAPSHOT, bodies, 100, lambda: [node.popen.pid]),
        driven(run, result, "bare civetweb", bare.addr, SNAPSHOT, bodies, 100, bare.pids)])
    compare(result, "node", "bare civetweb", "rate", bar)
    compare(result, "node", "bare civetweb", "cpu_us")


def response_cache_hit(run, result):
    whole = run.fixtures.get("remembering", lambda bench: Replicas(bench, run.market, 1))
    node_against_bare(run, result, whole.master, run.market.snapshots(1, 3, 2), (">=", 0.95))


def snapshot_small(run, result):
    node_against_bare(run, result, replicas(run, 3).slaves[0], run.market.snapshots(5000, 3, 2),
                      (">=", 0.8))


def snapshot_wide(run, result):
    node_against_bare(run, result, replicas(run, 3).slaves[0],
                      run.market.snapshots(1000, 50, 4, least_subjects=50), (">=", 0.5))


def memory_per_value(run, result):
    """A node of its own that was only ever imported into, every subject in memory: what its cache
    says that it holds."""
    node = run.fixtures.get("memory", lambda bench: cluster.Node(bench, "master", "").start())
    report = run.market.bring(node)
    node.snapshot(topic=TOPIC, limit=1, field=INDICATORS[0])
    cache = node.stats()["cache"]
    cluster.equal(cache["entries"], run.market.subjects, "subjects in the cache")
    fact(result, "bytes in the series cache", cache["bytes"], "bytes")
    fact(result, "values in it", report["values"], "values")
    fact(result, "memory per cached value", round(cache["bytes"] / report["values"], 2), "bytes",
         ("<=", 16))


# --- gateways ---

def gateways(run, result, connections, nginx_bar):
    whole = replicas(run, 3)
    nodes = [node.addr for node in whole.nodes]
    bodies = run.market.snapshots(5000, 3, 2)
    path = SNAPSHOT
    gateway = whole.gateway
    peers = [
        optional(run, result, lambda: run.fixtures.get(
            "haproxy", lambda bench: Haproxy(bench, "haproxy", nodes).start())),
        optional(run, result, lambda: run.fixtures.get(
            "nginx", lambda bench: Nginx(bench, "nginx", nodes).start()))]
    contenders = [driven(run, result, "gateway", gateway.addr, "/data" + path, bodies, connections,
                         lambda: [gateway.popen.pid])]
    ours = body_of(raw_answer(gateway.addr, "/data" + path, bodies[0]))
    for peer in filter(None, peers):
        theirs = body_of(raw_answer(peer.addr, path, bodies[0]))
        cluster.check(theirs == ours, "%s answers %s, the gateway %s", peer.name, theirs, ours)
        contenders.append(driven(run, result, peer.name, peer.addr, path, bodies, connections,
                                 peer.pids))
    take_turns(run, result, contenders)
    compare(result, "gateway", "haproxy", "rate", (">=", 1.0))
    compare(result, "gateway", "nginx", "rate", (">=", nginx_bar))
    compare(result, "gateway", "haproxy", "cpu_us", ("<=", 1.0))
    compare(result, "gateway", "nginx", "cpu_us", ("<=", 1.0))


def body_of(answer):
    return answer.partition(b"\r\n\r\n")[2]


def gateways_16(run, result):
    gateways(run, result, 16, 0.95)


def gateways_100(run, result):
    gateways(run, result, 100, 1.0)


PROMISED = {1: (200, 5), 3: (600, 10), 5: (1000, 15)}  # nodes -> rate, p50 in ms


def scale(run, result):
    """1, 3 and 5 data nodes behind a gateway each: as fast as they can, and at the promised rate."""
    bodies = run.market.snapshots(5000, 3, 2)
    path = "/data" + SNAPSHOT
    full, planned = [], []
    for count in sorted(PROMISED):
        whole = replicas(run, count)
        name = "%d node%s" % (count, "" if count == 1 else "s")
        addr = whole.gateway.addr
        full.append(driven(run, result, name, addr, path, bodies, 100,
                           lambda whole=whole: whole.pids() + [whole.gateway.popen.pid]))
        if loads.PressureTest.available(run.tools):
            tool, rate = loads.PressureTest(run.folder, run.tools), PROMISED[count][0]
            planned.append(Contender(
                "%s, %d/s by plan" % (name, rate), lambda tool=tool, addr=addr, rate=rate: tool.run(
                    "http://" + addr + path, bodies, 100, run.seconds, rate)))
    take_turns(run, result, full + planned)
    for number, count in enumerate(sorted(PROMISED)):
        rate, p50_ms = PROMISED[count]
        fact(result, "%s: rate" % full[number].name, median_of(result, full[number].name, "rate"),
             "requests/s", (">=", rate))
        for contender in [full[number]] + planned[number:number + 1]:
            for what, bar in (("p50", ("<=", p50_ms)), ("p99", None)):
                fact(result, "%s: %s" % (contender.name, what),
                     round(median_of(result, contender.name, what + "_us") / 1000, 3), "ms", bar)
    result["notes"].append(
        "all processes and the load generator share the cores of one machine: more nodes add "
        "copies here, not processors; by plan latency counts from the planned moment")


# --- writes ---

def etcd_puts(run, result, bodies, count, clients):
    def make():
        program("etcd")
        group = run.fixtures.get("etcds%d" % count, lambda bench: EtcdGroup(bench, count))
        return driven(run, result, "%s, %s" % (members(count), people(clients)), group.addr,
                      "/v3/kv/put", puts(bodies), clients, group.pids)
    return optional(run, result, make)


def members(count):
    return "etcd, %d member%s" % (count, "" if count == 1 else "s")


def people(clients):
    return "%d client%s" % (clients, "" if clients == 1 else "s")


def counted(whole, leader, contender):
    """The contender, with what the leader's own counters and the kernel's say of each sample: how
    many writes a batch had, how many bytes each write was to each follower."""
    plain = contender.sample
    followers = [node for node in whole.nodes if node is not leader]

    def wire():
        return host.tcp_bytes(leader.port, [node.popen.pid for node in followers])

    def sample():
        before, wire_before = leader.stats()["replication"], wire()
        said = plain()
        after, wire_after = leader.stats()["replication"], wire()
        more = {name: after[name] - before[name] for name in (
            "batches", "batched_entries", "served_bytes", "served_fetches")}
        if more["batches"] and more["batched_entries"]:
            copies = more["batched_entries"] * len(followers)
            said["batch"] = more["batched_entries"] / more["batches"]
            said["fetch_bytes"] = more["served_bytes"] / copies
            said["fetches"] = more["served_fetches"] / copies
            if wire_before is not None and wire_after is not None:
                said["wire_bytes"] = host.bytes_between(wire_before, wire_after) / copies
        return said

    return Contender(contender.name, sample, contender.pids)


def writes(run, result, whole, ours, clients, bar):
    """Saves at the leader beside etcd's puts, for each number of clients."""
    leader = whole.wait_leader()
    bodies = run.market.saves(2000)
    result["notes"].append("a save's body has %d bytes on average" % (
        sum(map(len, bodies)) / len(bodies)))
    contenders = []
    for count in clients:
        contenders.append(counted(whole, leader, driven(
            run, result, "%s, %s" % (ours, people(count)), leader.addr, SAVE, bodies, count,
            whole.pids)))
        contenders += [etcd_puts(run, result, bodies, size, count) for size in (3, 1)]
    take_turns(run, result, [c for c in contenders if c], probe_disk=True)
    cluster.check(whole.leader() is leader, "%s does not lead any more", leader.name)
    for count in clients:
        name = "%s, %s" % (ours, people(count))
        for size, limit in ((3, bar), (1, None)):
            peer = "%s, %s" % (members(size), people(count))
            compare(result, name, peer, "rate", limit if count == 100 else None)
            compare(result, name, peer, "cpu_us")
        for what, label, unit in (("batch", "writes in a batch", ""),
                                  ("fetch_bytes", "answered to a fetch, each write", "bytes"),
                                  ("fetches", "fetches of a follower, each write", ""),
                                  ("wire_bytes", "over TCP to a follower and back, each write",
                                   "bytes")):
            value = median_of(result, name, what)
            if value is not None:
                fact(result, "%s: %s" % (people(count), label), round(value, 2), unit)


def writes_in_sync(run, result):
    whole = replicas(run, 3)
    whole.wait_in_sync()
    writes(run, result, whole, "save, 3 in sync", (1, 100), (">=", 2.0))
    result["notes"].append("a save is acknowledged when three nodes have it on their disks, fsynced, "
                           "and the leader has applied it; CPU is that of all three nodes, or members")


def writes_leader(run, result):
    whole = run.fixtures.get("cluster3alone", lambda bench: Replicas(
        bench, run.market, 3, replication_max_in_sync=1, **NO_RESPONSE_CACHE))
    writes(run, result, whole, "save, leader alone", (100,), None)
    result["notes"].append("max_in_sync = 1: a save is acknowledged when the leader has it on its "
                           "disk; the two others follow. etcd with one member promises as much")


def timed_import(run, make, node_of, wait=None):
    """A Sample of one import into what make(bench) starts, ended afterwards; rate in values/s."""
    started = run.fixtures.get("importing", make)
    try:
        node = node_of(started)
        before = host.cpu_seconds([node.popen.pid])
        start = time.monotonic()
        report = run.import_market.bring(node)
        took = time.monotonic() - start
        cpu = host.cpu_seconds([node.popen.pid]) - before
        sample = Sample(rate=report["values"] / took, requests=report["values"], seconds=took,
                        cpu_us=cpu * 1e6 / report["values"])
        if wait:
            wait(started)
            sample["everywhere_s"] = time.monotonic() - start
        return sample
    finally:
        run.fixtures.stop("importing")


def raw_inserts(run):
    database = os.path.join(run.folder, "raw.db")
    said, cpu = loads.json_of(
        [program("raw_sqlite", run.tools), "-csv", run.import_market.path, "-db", database], 120)
    return Sample(rate=said["values"] / said["seconds"], requests=said["values"],
                  seconds=said["seconds"], cpu_us=said["cpu_us"] / said["values"],
                  whole_cpu_s=cpu)


def bulk_import(run, result):
    program("raw_sqlite", run.tools)

    def standalone(bench):
        return cluster.Node(bench, "master", "").start()

    def replicated(bench):
        return bench.cluster(2, False)

    result["unit"] = "values/s"
    result["commands"].append("raw SQLite: bench/raw_sqlite -csv market.csv -db DIR/raw.db")
    result["commands"].append("import: POST …/import of market.csv, %d bytes" %
                              os.path.getsize(run.import_market.path))
    take_turns(run, result, [
        Contender("import, standalone", lambda: timed_import(run, standalone, lambda node: node)),
        Contender("raw SQLite", lambda: raw_inserts(run)),
        Contender("import, 3 nodes", lambda: timed_import(
            run, replicated, lambda whole: whole.master, lambda whole: whole.wait_level(120)))],
               probe_disk=True)
    compare(result, "import, standalone", "raw SQLite", "rate", (">=", 0.5))
    compare(result, "import, 3 nodes", "raw SQLite", "rate")


def visible(run, result):
    whole = replicas(run, 3)
    leader = whole.wait_in_sync()
    path = program("sync_latency", run.tools)
    count = 200 if run.quick else 1000
    command = [path, "-leader", leader.addr,
               "-slaves", ",".join(node.addr for node in whole.nodes if node is not leader),
               "-writes", str(count), "-rate", "100", "-json", "-", "-probe-dir", run.folder]

    def sample():
        said, _ = loads.json_of(command, count / 100 + 60)
        return Sample(rate=said["rate"], requests=said["writes"], lost=said["lost"],
                      p50_us=said["all"]["after_ack_ms"]["p50"] * 1000,
                      p90_us=said["all"]["after_ack_ms"]["p90"] * 1000,
                      p99_us=said["all"]["after_ack_ms"]["p99"] * 1000,
                      max_us=said["all"]["after_ack_ms"]["max"] * 1000,
                      from_send_p99_us=said["all"]["from_send_ms"]["p99"] * 1000,
                      durable_write_ms=said["durable_write_ms"]["p50"])

    result["unit"] = "writes/s"
    result["commands"].append(run.shorten(command))
    take_turns(run, result, [Contender("visible on both slaves", sample)], probe_disk=True)
    name = "visible on both slaves"
    fact(result, "visible on every slave after a write: p50",
         round(median_of(result, name, "p50_us") / 1000, 3), "ms")
    fact(result, "visible on every slave after a write: p99",
         round(median_of(result, name, "p99_us") / 1000, 3), "ms", ("<=", 50))
    fact(result, "p99 from the sending of the write",
         round(median_of(result, name, "from_send_p99_us") / 1000, 3), "ms")
    fact(result, "writes that were never seen", max(
        s.get("lost", 0) for s in result["contenders"][name]["rounds"]), "writes", ("<=", 0))


# --- orientation ---

def bare_rates(run, result):
    """What this machine gives at most."""
    node = replicas(run, 3).slaves[0]
    bodies = run.market.snapshots(5000, 3, 2)
    answer = typical_answer(node.addr, SNAPSHOT, bodies)
    epoll = bare_server(run, "epoll", answer, "bare_epoll")
    webs = [bare_server(run, "bare%d" % i, answer) for i in range(3)]
    addrs = [web.addr for web in webs]
    contenders = [
        driven(run, result, "bare epoll", epoll.addr, SNAPSHOT, bodies, 100, epoll.pids),
        driven(run, result, "bare civetweb", webs[0].addr, SNAPSHOT, bodies, 100, webs[0].pids)]
    for kind in (Haproxy, Nginx):
        name = kind.__name__.lower()
        peer = optional(run, result, lambda kind=kind, name=name: run.fixtures.get(
            name + "_bare", lambda bench: kind(bench, name, addrs).start()))
        if peer:
            contenders.append(driven(run, result, name + " before 3 bare civetweb", peer.addr,
                                     SNAPSHOT, bodies, 100, peer.pids))
    take_turns(run, result, contenders)


def redis_note(run, result):
    """GET and SET of 300 bytes by redis-benchmark: another protocol, no HTTP, no JSON."""
    tool = program("redis-benchmark")
    redis = run.fixtures.get("redis", lambda bench: Peer(bench, "redis", [
        program("redis-server"), "--port", "@PORT@", "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "yes", "--appendfsync", "always"]).start())

    def sample(kind, count):
        output, _ = loads.run_program(
            [tool, "-p", str(redis.port), "-t", kind, "-n", str(count), "-c", "100", "-d", "300",
             "-r", "5000", "--csv"], 120)
        rows = [row.split(",") for row in output.splitlines() if row.startswith('"')]
        columns = [cell.strip('"') for cell in rows[0]]
        values = dict(zip(columns, (cell.strip('"') for cell in rows[-1])))
        return Sample(rate=float(values["rps"]), requests=count,
                      p50_us=float(values["p50_latency_ms"]) * 1000,
                      p99_us=float(values["p99_latency_ms"]) * 1000)

    count = 20000 if run.quick else 200000
    result["commands"].append("redis-benchmark -p PORT -t get,set -n %d -c 100 -d 300 -r 5000" % count)
    take_turns(run, result, [
        Contender("redis get", lambda: sample("get", count), redis.pids),
        Contender("redis set, synced", lambda: sample("set", count // 4), redis.pids)],
               probe_disk=True)


def tool_agreement(run, result):
    """The same request to a bare civetweb from each load generator."""
    node = replicas(run, 3).slaves[0]
    bodies = run.market.snapshots(1, 3, 2)
    bare = bare_server(run, "bare", typical_answer(node.addr, SNAPSHOT, bodies))
    url = "http://%s%s" % (bare.addr, SNAPSHOT)
    contenders = []
    for kind in loads.GENERATORS:
        if not kind.available(run.tools):
            result["notes"].append("left out: %s is not there" % kind.name)
            continue
        tool = kind(run.folder, run.tools)
        result["commands"].append(run.shorten(tool.command(url, bodies, 100, run.seconds),
                                              bare.addr))
        contenders.append(Contender(
            tool.name, lambda tool=tool: tool.run(url, bodies, 100, run.seconds), bare.pids))
    take_turns(run, result, contenders)
    compare(result, "pressure_test", "wrk", "rate", (">=", 0.9))
    compare(result, "pressure_test", "wrk", "p50_us")
    compare(result, "hey", "wrk", "rate")
    result["notes"].append(
        "wrk starts a request's clock when its loop comes to writing it, so that its latency leaves "
        "out the wait for that; 100 connections at R a second take 100/R on average")


# --- operations, without a server ---

def table_of(result, key, command, run, limit_s):
    result[key], _ = loads.json_of(command, limit_s)
    result["commands"].append(run.shorten(command))


def micro(run, result):
    command = [program("microbench", run.tools), "-json", "-dir", run.folder]
    table_of(result, "operations", command + (["-quick"] if run.quick else []), run, 300)


def instructions(run, result):
    program("valgrind")
    program("microbench", run.tools)
    script = os.path.join(run.root, "bench", "instructions.sh")
    command = [script, "--json", "--tools", run.tools, "--dir", run.folder]
    table_of(result, "operations", command + (["--quick"] if run.quick else []), run, 900)


# --- the table ---

LINES = [
    Line("response_cache_hit",
         "response-cache hit on a node against a bare civetweb handler, the same POST, headers "
         "and bytes", ">= 0.95 x", response_cache_hit, built=False, samples=2),
    Line("snapshot_small",
         "snapshot from the series cache (1-3 subjects, 2 indicators), no response-cache hit, "
         "against the bare handler", ">= 0.8 x", snapshot_small, uses=("cluster3",), samples=2,
         setup=8),
    Line("snapshot_wide", "the same with 50 subjects x 4 indicators", ">= 0.5 x", snapshot_wide,
         uses=("cluster3",), samples=2),
    Line("gateway_16", "gateway, near cache off, over three nodes, 16 connections",
         ">= 1.0 x HAProxy, >= 0.95 x nginx, CPU per request no more than either's", gateways_16,
         uses=("cluster3", "haproxy", "nginx"), samples=3),
    Line("gateway_100", "the same with 100 connections",
         ">= 1.0 x HAProxy, >= 1.0 x nginx, CPU per request no more than either's", gateways_100,
         uses=("cluster3", "haproxy", "nginx"), samples=3),
    Line("near_cache_hit", "gateway, near cache hit, against HAProxy in front of the nodes",
         ">= 2.0 x", None, built=False),
    Line("scale", "1, 3 and 5 data nodes behind the gateway, 100 connections",
         "200, 600 and 1000 requests/s; p50 below 5, 10 and 15 ms", scale,
         uses=("cluster1", "cluster3", "cluster5"), samples=6, setup=14),
    Line("writes_in_sync",
         "single-record writes to the leader, acknowledged by 3 in-sync nodes (fsynced on each), "
         "1 and 100 clients, against puts of a three-member etcd through its JSON gateway",
         ">= 2 x", writes_in_sync, uses=("cluster3", "etcds1", "etcds3"), samples=6, setup=12),
    Line("writes_leader",
         "single-record writes to the leader, fsynced there, 100 clients, beside etcd's puts", "-",
         writes_leader, uses=("etcds1", "etcds3"), samples=3, setup=8),
    Line("bulk_import",
         "bulk import, standalone, against the same values, already parsed, into our own data "
         "tables in one connection and one transaction; the replicated rate beside it",
         ">= 0.5 x", bulk_import, samples=3, setup=0),
    Line("visible", "visible on every slave after a write", "p99 <= 50 ms", visible,
         uses=("cluster3",), samples=3),
    Line("unplanned_failover", "the leader killed (kill -9) while clients write and read",
         "longest wait <= ttl + 1.5 s; no request fails, no write is lost", failover.unplanned,
         uses=("failing",), samples=0, setup=8, round_s=18),
    Line("planned_handover", "handovers while clients write and read",
         "longest wait <= 200 ms; no request fails, no write is lost", failover.planned,
         uses=("failing",), samples=0, setup=8, round_s=20),
    Line("memory", "memory per cached value", "<= 16 bytes", memory_per_value, samples=0),
    Line("bare_rates", "bare rates, for orientation", "-", bare_rates, uses=("cluster3",),
         samples=4),
    Line("redis", "a note: Redis, its own protocol, 300 bytes, 100 connections", "-", redis_note,
         samples=2),
    Line("tools", "load generators, the same request to a bare civetweb, 100 connections",
         "pressure_test >= 0.9 x wrk, figures within 10 %", tool_agreement,
         uses=("cluster3",), samples=3),
    Line("micro", "single operations: ns, bytes", "-", micro, samples=0, setup=20),
    Line("instructions", "the hot paths in instructions (callgrind), whatever the machine does",
         "-", instructions, samples=0, setup=40),
]
