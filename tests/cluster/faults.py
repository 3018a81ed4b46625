# SPDX-License-Identifier: MIT
"""A cluster to be broken, what breaks it, and the judgement afterwards.

A Field has data nodes of which each can lead, an etcd of one or three members, a gateway, and with
wires=True links that can be cut (proxy.py). `judge` ends the clients, heals everything, waits until
all nodes are level, and then demands: every table of every node the same, the exports of all nodes
the same bytes, and a history (history.py) in which nothing is wrong.
"""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import clients as load
import history
from cluster import (SLOW, Etcd, Failure, Gateway, Node, b64, check, equal, free_ports, missing,
                     wait_until)
from proxy import Wires

# Under a sanitizer etcd's answers are late, and a leader is soon out of its lease.
TTL = 3 if SLOW == 1 else 6

# A record that no history knows of.
PROBE = {"subject": "probe", "time": -1000, "data": {"v": 1}}

# What tells nodes apart, and what each may have cut off in the front at its own time.
OWN_TABLES = {"data.meta", "log.meta", "log.base"}
CUT_TABLES = {"touched": "seq", "entry": "seq"}


# --- etcd ----------------------------------------------------------------------------------------

class EtcdMember(Etcd):
    """One of several."""

    def __init__(self, bench, number):
        super().__init__(bench, "etcd%d" % number)
        self.number, self.members = number, None

    def peer(self):
        return "http://127.0.0.1:%d" % (self.port + 1)

    def command(self):
        words = super().command()
        words[words.index("--name") + 1] = self.name
        words[words.index("--initial-cluster") + 1] = ",".join(
            "%s=%s" % (one.name, one.peer()) for one in self.members)
        return words


class EtcdGroup:
    """Three members; asks the first that answers."""

    def __init__(self, bench, count=3):
        self.members = [EtcdMember(bench, number + 1) for number in range(count)]
        for member in self.members:
            member.members = self.members
        for member in self.members:
            member.launch()
        for member in self.members:
            wait_until(member.is_healthy, "%s is healthy" % member.name, 30)
        self.addr = ",".join(member.addr for member in self.members)

    def __getattr__(self, name):
        def ask(*arguments):
            last = None
            for member in self.members:
                if member.is_running():
                    try:
                        return getattr(member, name)(*arguments)
                    except (OSError, http.client.HTTPException, Failure) as error:
                        last = error
            raise last or Failure("no member of etcd runs")
        return ask


def wipe(etcd):
    """etcd is killed and comes back with an empty disk."""
    etcd.kill()
    shutil.rmtree(os.path.join(etcd.dir, "data"))
    etcd.start()


def compact(etcd):
    """All but the newest revision of etcd goes, so that watches from older ones end."""
    newest = int(etcd.call("/kv/range", {"key": b64("x")})["header"]["revision"])
    etcd.call("/kv/compaction", {"revision": str(newest)})


# --- disks ---------------------------------------------------------------------------------------

class SmallDisk:
    """A file system of its own for one node, which can be filled up. Needs root."""

    def __init__(self, bench, node, megabytes=48):
        if os.geteuid() != 0 or not shutil.which("mount"):
            missing("netns", "a small tmpfs needs root and mount")
        self.path = os.path.join(node.dir, "disk")
        os.makedirs(self.path)
        self._remove_leftovers()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes,
                               "ktdisk%d" % os.getpid(), self.path],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            missing("netns", "mount: " + done.stderr.strip())
        bench.cleanups.append(self.remove)
        self.filler = os.path.join(self.path, "filler")
        node.environment["KAMAITACHI_STORE_DB"] = os.path.join(self.path, "node.db")

    def fill(self):
        """Nothing is left, not even a page."""
        with open(self.filler, "ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(512))

    def free(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.filler)

    def remove(self):
        subprocess.run(["umount", self.path], capture_output=True, check=False)

    @staticmethod
    def _remove_leftovers():
        """What a run that was killed has left mounted."""
        with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                name, path = line.split()[:2]
                if name.startswith("ktdisk") and not os.path.exists("/proc/" + name[6:]):
                    subprocess.run(["umount", path], capture_output=True, check=False)


class DiskProbe:
    """How long the disk itself keeps everybody waiting, while something is measured: a few bytes
    fsynced again and again."""

    def __init__(self, bench):
        self.path = os.path.join(bench.dir, "probe")
        self.longest = 0.0
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(60)
        print("  an fsync beside it took %.3f s at most" % self.longest)

    def _run(self):
        with open(self.path, "wb", buffering=0) as file:
            while not self.ending.wait(0.02):
                begin = time.monotonic()
                file.write(bytes(512))
                os.fsync(file.fileno())
                self.longest = max(self.longest, time.monotonic() - begin)


# --- the cluster ---------------------------------------------------------------------------------

class Field:
    def __init__(self, bench, masters=1, slaves=2, etcds=1, wires=False, small_disks=(),
                 **settings):
        self.bench = bench
        self.etcd = bench.etcd() if etcds == 1 else EtcdGroup(bench, etcds)
        self.wires = Wires(bench) if wires else None
        self.settings = dict(settings, cluster_expect=masters + slaves, etcd_ttl=TTL)
        if SLOW > 1:
            self.settings.setdefault("replication_lag_timeout", 2000)
        endpoints = self.etcd.addr
        if wires:
            port = free_ports(1)
            endpoints = self.wires.front("etcd", port, self.etcd.port)
        self.endpoints = endpoints
        self.nodes, self.disks = [], {}
        self.stopping = []  # nodes that were told to stop
        names = ["master%s" % (i + 1 if i else "") for i in range(masters)]
        names += ["slave%s" % (i + 1 if i else "") for i in range(slaves)]
        for name in names:
            self.add(name)
            if name in small_disks:
                self.disks[name] = SmallDisk(bench, self.nodes[-1])
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_well(30)
        self.gateway = Gateway(bench, "gateway", endpoints, etcd_ttl=TTL).start()
        wait_until(lambda: self.gateway.health()["count"] == len(self.nodes),
                   "the gateway has all nodes", 20)
        wait_until(self.takes_writes, "writes are taken", 20)
        for node in self.nodes:
            node.id = node.info()["node_id"]

    def add(self, name):
        """One more node, not started yet."""
        settings = dict(self.settings)
        if self.wires:
            ports = free_ports(2)
            front = self.wires.front(name, ports + 1, ports)
            settings.update(port=ports, server_service_addr=front)
        node = Node(self.bench, name, self.endpoints, **settings)
        node.id = None  # known when it has started
        node.front = node.addr if not self.wires else front
        self.nodes.append(node)
        return node

    def named(self, name):
        return next(node for node in self.nodes if node.name == name)

    def clients(self, servers=None, **roles):
        return load.Clients(self.bench, servers or self.gateway, **roles)

    # --- who is who

    def running(self):
        return [node for node in self.nodes if node.is_running()]

    def leaders(self, besides=()):
        """Who believes it leads and says so at once."""
        found = []
        for node in self.running():
            if node not in besides:
                with contextlib.suppress(OSError, http.client.HTTPException, Failure):
                    if node.get("/cluster/info", timeout=1 * SLOW).data()["is_leader"]:
                        found.append(node)
        return found

    def leader(self, besides=(), deadline=20.0):
        """The one that leads, as soon as there is just one."""
        def one():
            found = self.leaders(besides)
            return found[0] if len(found) == 1 else None
        return wait_until(one, "one node leads", deadline)

    def followers(self):
        leader = self.leader()
        return [node for node in self.running() if node is not leader]

    def takes_writes(self, server=None):
        """One that no history knows of."""
        return (server or self.gateway).data_post(
            "save", {"records": [PROBE]},
            {"X-Kamaitachi-Timeout-Ms": "1000"}, timeout=5 * SLOW).status == 200

    def wait_writes(self, deadline=20.0):
        wait_until(self.takes_writes, "writes are taken", deadline)

    def in_sync(self):
        """Names of the nodes in the configuration's in-sync set."""
        config = self.etcd.config() or {}
        members = {one["id"]: one["addr"] for one in config.get("members", [])}
        addrs = {members.get(one, one) for one in config.get("in_sync", [])}
        return sorted(node.name for node in self.nodes if node.front in addrs)

    @staticmethod
    def waits_for(node, other):
        """Does a node say that it waits for another?"""
        return other.id in (node.info()["waiting_for"] or "")

    def wait_in_sync(self, nodes, deadline=20.0):
        """Until these, and no others, are in sync."""
        names = sorted(node.name for node in nodes)
        wait_until(lambda: self.in_sync() == names, "in sync are %s" % ", ".join(names), deadline)

    # --- faults

    @staticmethod
    def pause(node):
        node.signal(signal.SIGSTOP)

    @staticmethod
    def go_on(node):
        node.signal(signal.SIGCONT)

    def stop(self, node):
        """SIGTERM; it takes the time it needs, and must end with status 0."""
        if node not in self.stopping:
            node.signal(signal.SIGTERM)
            self.stopping.append(node)

    def revoke(self, node):
        """The lease of a living node goes, and with it what hangs on it."""
        lease = self.etcd.lease_of(node.front)
        check(lease != 0, "%s has a lease", node.name)
        self.etcd.revoke(lease)

    def heal(self):
        """Everything runs and everybody reaches everybody."""
        if self.wires:
            self.wires.heal()
        for disk in self.disks.values():
            disk.free()
        for member in getattr(self.etcd, "members", [self.etcd]):
            if not member.is_running():
                member.launch()
        for node in self.nodes:
            if node.is_running():
                node.signal(signal.SIGCONT)
        while self.stopping:
            node = self.stopping.pop()
            if node.popen is not None:  # it was not killed meanwhile
                equal(node.wait_exit(60), 0, "exit status of %s" % node.name)
        for node in self.nodes:
            if not node.is_running():
                node.launch()
        for member in getattr(self.etcd, "members", [self.etcd]):
            wait_until(member.is_healthy, "%s is healthy" % member.name, 30)

    # --- the judgement

    def wait_level(self, deadline=60.0):
        """Until all nodes are well and have applied the same."""
        def level():
            for node in self.nodes:
                if node.popen is None or node.popen.poll() is not None:
                    raise SystemError("%s has ended:\n%s" % (node.name, node.log()[-3000:]))
            check(all(node.is_well() for node in self.nodes), "not all nodes are well: %s",
                  {node.name: (node.health().get("status"), node.health().get("waiting_for"))
                   for node in self.nodes})
            revisions = {node.name: node.revision() for node in self.nodes}
            check(len(set(revisions.values())) == 1, "they stand at %s", revisions)
            return self.leader().name and revisions.popitem()[1]
        try:
            return wait_until(level, "all nodes are well and level", deadline)
        except SystemError as error:
            raise Failure(str(error)) from None

    def judge(self, *clients, deadline=60.0):
        """Clients that still run are ended; the account of what is there."""
        for one in clients:
            one.stop()
        self.heal()
        self.wait_writes(deadline)
        self.wait_level(deadline)
        self.compare_tables()
        versions = self.compare_exports()
        ops = [op for one in clients for op in one.ops]
        counters = {key for key in versions if key.startswith("c")}
        counters |= {op.key for op in ops if op.key.startswith("c")}
        wrong = history.all_wrong(ops, versions, counters)
        report(*clients)
        if wrong:
            raise Failure("%d things are wrong with the history (seeds %s):\n%s" % (
                len(wrong), [one.seed for one in clients], "\n".join(wrong[:8])))
        for one in clients:
            equal(one.bad_exits, [], "exits of processes of clients")
        return history.Account(versions)

    def compare_tables(self, deadline=20.0):
        """Every table of every node, by what stands in it; the data may be written a little
        later."""
        def same():
            sums = {node.name: table_sums(node) for node in self.nodes}
            first = sums[self.nodes[0].name]
            for name, its in sums.items():
                equal(set(its), set(first), "tables of %s" % name)
                for table in its:
                    check(_agree(its[table], first[table]), "table %s of %s and of %s: %s and %s",
                          table, name, self.nodes[0].name, its[table].brief(), first[table].brief())
            return True
        wait_until(same, "all nodes hold the same tables", deadline)

    def compare_exports(self):
        """All versions of our keys, as each node tells them: {key: [(revision, value), …]}."""
        told = {}
        for node in self.nodes:
            answer = node.data_get("export?versions=1")
            equal(answer.status, 200, "status of an export of %s" % node.name)
            told[node.name] = answer.body
        first = self.nodes[0].name
        for name, body in told.items():
            check(body == told[first], "the exports of %s and %s differ: %d and %d bytes", name,
                  first, len(body), len(told[first]))
        versions = {}
        for line in told[first].split(b"\n"):
            if line.startswith(b'{"record"'):
                entry = json.loads(line)
                versions.setdefault(entry["record"]["subject"], []).append(
                    (entry["recorded"]["revision"], entry["record"]["data"]["v"]))
        return {key: its for key, its in versions.items() if key[0] in "kc"}


def report(*clients):
    """Numbers for who reads along."""
    for one in clients:
        kinds = sorted({op.kind for op in one.ops})
        print("  " + "; ".join("%d %ss, %d failed, longest %.2f s" % (
            sum(1 for op in one.ops if op.kind == kind), kind, len(one.failed(kind)),
            one.longest(kind).took) for kind in kinds))


def no_failures(clients, *kinds):
    """No client was told that something did not work."""
    for kind in kinds:
        failed = clients.failed(kind)
        equal(failed[:3], [], "%d failed %ss of %d" % (
            len(failed), kind, sum(1 for op in clients.ops if op.kind == kind)))


# --- checksums -----------------------------------------------------------------------------------

class TableSum:
    """Of a table without a front that may be cut: one digest. Else one for each row, by its
    number."""

    def __init__(self, rows, digest):
        self.rows, self.digest = rows, digest

    def brief(self):
        if isinstance(self.digest, dict):
            return "%d rows %s..%s" % (self.rows, min(self.digest, default=None),
                                       max(self.digest, default=None))
        return "%d rows %s" % (self.rows, self.digest[:12])


def _agree(one, other):
    if not isinstance(one.digest, dict):
        return one.rows == other.rows and one.digest == other.digest
    if not one.digest or not other.digest:
        return True
    first = max(min(one.digest), min(other.digest))
    return ({k: v for k, v in one.digest.items() if k >= first} ==
            {k: v for k, v in other.digest.items() if k >= first})


def table_sums(node):
    """{file.table: TableSum} of a node's two files, read beside the running node."""
    sums = {}
    path = node.environment["KAMAITACHI_STORE_DB"]
    for kind, name in (("data", path), ("log", log_file(path))):
        connection = sqlite3.connect("file:%s?mode=ro" % name, uri=True, timeout=10)
        try:
            connection.execute("BEGIN")
            tables = [row[0] for row in connection.execute(
                "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%'")]
            for table in tables:
                if kind + "." + table not in OWN_TABLES:
                    sums[kind + "." + table] = _sum_of(connection, table)
        finally:
            connection.close()
    return sums


def log_file(path):
    """X.log.db beside X.db."""
    stem, dot, end = path.rpartition(".")
    return stem + ".log" + dot + end


def _sum_of(connection, table):
    columns = [row[1] for row in connection.execute('PRAGMA table_info("%s")' % table)]
    order = ",".join('"%s"' % column for column in columns)
    rows = connection.execute('SELECT %s FROM "%s" ORDER BY %s' % (order, table, order))
    if table in CUT_TABLES:
        at = columns.index(CUT_TABLES[table])
        digests = {row[at]: int.from_bytes(hashlib.sha256(repr(row).encode()).digest()[:8], "big")
                   for row in rows}
        return TableSum(len(digests), digests)
    whole, count = hashlib.sha256(), 0
    for row in rows:
        whole.update(repr(row).encode())
        count += 1
    return TableSum(count, whole.hexdigest())
