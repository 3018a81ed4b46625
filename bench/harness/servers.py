# SPDX-License-Identifier: MIT
"""Everything that a measurement needs running, each on ports and in a directory of its own.

Built upon tests/cluster/cluster.py, whose Bench ends what was started on it, gateway first. A
fixture is made when it is first asked for and kept until no later line needs it.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from host import children_of, cores

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "cluster"))

import cluster  # noqa: E402  pylint: disable=wrong-import-position

TOPIC = "stock_a_listing_pool"
IMPORT_QUERY = ("format=csv&subject=subject&name=name&status=status&category=category&time=date"
                "&period=period&declare_date=declare_date&topic==literal:" + TOPIC)
INDICATORS = ["operating_income", "parent_holder_net_profit", "total_operating_cost", "net_profit",
              "operating_profit", "total_profit"]


class Missing(Exception):
    """A program that the line needs is not installed or not built: the line is skipped."""


def program(name, *folders):
    """The path of a program: in one of the folders, else in PATH or where root's programs are."""
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if not path:
        raise Missing("%s is not installed" % name if not folders else "%s is not built" % name)
    return path


class Peer(cluster.Process):
    """A server of somebody else (or one of bench/peers): one port, ready when it can be connected."""

    def __init__(self, bench, name, arguments=None):
        super().__init__(bench, name)
        self.port = cluster.free_ports(1)
        self.addr = "127.0.0.1:%d" % self.port
        self.arguments = arguments

    def command(self):
        return [part.replace("@PORT@", str(self.port)) for part in self.arguments]

    def start(self):
        self.launch()
        cluster.wait_until(self.is_up, "%s listens" % self.name, 15)
        return self

    def is_up(self):
        if self.popen.poll() is not None:
            raise Missing("%s ended with status %d: %s" % (
                self.name, self.popen.returncode, self.log().strip()[-400:]))
        with socket.create_connection(("127.0.0.1", self.port), timeout=2):
            return True

    def good_exit(self, status):
        return status

    def faults_in_log(self):
        return []

    def pids(self):
        return [self.popen.pid] + children_of(self.popen.pid)


class Haproxy(Peer):
    """As HAProxy's manual advises for throughput: a thread per core, connections to servers kept and
    shared (http-reuse always), no log, no health checks that would cost anything."""

    def __init__(self, bench, name, upstreams):
        super().__init__(bench, name)
        servers = "".join("    server n%d %s maxconn 1024\n" % (i, addr)
                          for i, addr in enumerate(upstreams))
        self.config = os.path.join(self.dir, "haproxy.cfg")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("""global
    maxconn 4000
    nbthread %d
defaults
    mode http
    no log
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    timeout http-request 15s
    retries 2
frontend front
    bind 127.0.0.1:%d
    default_backend nodes
backend nodes
    balance roundrobin
%s""" % (cores(), self.port, servers))
        self.arguments = [program("haproxy"), "-db", "-f", self.config]


class Nginx(Peer):
    """As nginx's own documentation advises: a worker per core, keep-alive to the upstreams with
    HTTP/1.1 and an empty Connection header, no access log, connections not ended by a count."""

    def __init__(self, bench, name, upstreams):
        super().__init__(bench, name)
        self.config = os.path.join(self.dir, "nginx.conf")
        places = "".join("    %s_temp_path %s;\n" % (kind, os.path.join(self.dir, kind)) for kind in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("""daemon off;
%sworker_processes %d;
worker_rlimit_nofile 16384;
error_log stderr error;
pid %s;
events {
    worker_connections 4096;
}
http {
    access_log off;
%s    tcp_nodelay on;
    keepalive_timeout 60s;
    keepalive_requests 1000000000;
    upstream nodes {
%s        keepalive 256;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:%d backlog=1024;
        location / {
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
""" % ("user root;\n" if os.getuid() == 0 else "", cores(), os.path.join(self.dir, "nginx.pid"),
                places, "".join("        server %s;\n" % addr for addr in upstreams), self.port))
        self.arguments = [program("nginx"), "-e", "stderr", "-p", self.dir, "-c", self.config]


class EtcdMember(cluster.Etcd):
    """One of several members."""

    def __init__(self, bench, name):
        super().__init__(bench, name)
        self.everyone = None

    def command(self):
        words = super().command()
        words[words.index("--name") + 1] = self.name
        words[words.index("--initial-cluster") + 1] = ",".join(
            "%s=http://127.0.0.1:%d" % (member.name, member.port + 1) for member in self.everyone)
        return words

    def leads(self):
        status = self.call("/maintenance/status", {})
        return status["leader"] == status["header"]["member_id"]

    def pids(self):
        return [self.popen.pid]


class EtcdGroup:
    """`count` members; addr is the leader's, which takes puts the quickest."""

    def __init__(self, bench, count):
        self.members = [EtcdMember(bench, "etcd%d" % i) for i in range(count)]
        for member in self.members:
            member.everyone = self.members
            member.launch()
        for member in self.members:
            cluster.wait_until(member.is_healthy, "%s is healthy" % member.name, 20)
        self.leader = cluster.wait_until(
            lambda: next((m for m in self.members if m.leads()), None), "etcd has a leader", 20)
        self.addr = self.leader.addr

    def pids(self):
        return [member.popen.pid for member in self.members]


class Replicas:
    """etcd, a master, slaves and a gateway, filled with the invented market."""

    def __init__(self, bench, market, nodes, **settings):
        self.whole = bench.cluster(nodes - 1, **settings)
        self.master, self.gateway = self.whole.master, self.whole.gateway
        self.slaves, self.nodes = self.whole.slaves, self.whole.nodes
        self.report = market.bring(self.wait_leader())
        for node in self.nodes:
            node.wait_revision(self.report["revision"], 120)
        for node in self.nodes:  # every subject is in memory before anything is measured
            node.snapshot(topic=TOPIC, limit=1, field=INDICATORS[0])

    def pids(self):
        return [process.popen.pid for process in self.nodes]

    def leader(self):
        """The node that leads now, as the gateway sees it."""
        addr = self.gateway.get("/cluster/leader").data()["address"]
        found = [node for node in self.nodes if node.addr == addr]
        cluster.check(found, "%s leads, which is none of the nodes", addr)
        return found[0]

    def wait_leader(self, deadline=30):
        """The node that leads, once it says so itself."""
        def leading():
            node = self.leader()
            return node if node.info()["is_leader"] else None
        return cluster.wait_until(leading, "there is a leader", deadline)

    def wait_in_sync(self, deadline=60):
        """Until all nodes are in sync and well; the leader."""
        def all_in_sync():
            leader = self.leader()
            info = leader.info()
            return leader if info["is_leader"] and sum(
                bool(node["in_sync"]) for node in info["nodes"]) == len(self.nodes) else None
        for node in self.nodes:
            node.wait_well(deadline)
        self.gateway.wait_nodes(self.nodes, deadline)
        return cluster.wait_until(all_in_sync, "%d nodes are in sync" % len(self.nodes), deadline)


class Market:
    """The invented data, and requests for it."""

    def __init__(self, folder, bin_dir, subjects):
        self.subjects = subjects
        self.path = os.path.join(folder, "market%d.csv" % subjects)
        with open(self.path, "wb") as file:
            subprocess.run([program("sample_data", bin_dir), "-subjects", str(subjects)],
                           stdout=file, stdin=subprocess.DEVNULL, timeout=120, check=True)
        self.keys = []
        with open(self.path, encoding="utf-8") as file:
            next(file)
            for line in file:
                key = line.partition(",")[0]
                if not self.keys or self.keys[-1] != key:
                    self.keys.append(key)

    def bring(self, node):
        """Imports it; the node's report."""
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=300,
                                                blocksize=1 << 20)
        try:
            with open(self.path, "rb") as file:
                connection.request("POST", node.data_prefix + cluster.API + "/import?" +
                                   IMPORT_QUERY, file,
                                   {"Content-Length": str(os.path.getsize(self.path))})
                answer = connection.getresponse()
                body = json.loads(answer.read())
        finally:
            connection.close()
        cluster.check(answer.status == 200, "the import was answered %d: %s", answer.status, body)
        cluster.equal(body["data"]["rejected"], 0, "lines that the import rejected")
        return body["data"]

    def snapshots(self, count, most_subjects, ids, least_subjects=None, seed=1):
        """`count` snapshot requests about random subjects, no two alike as far as that is possible."""
        chance = random.Random(seed)
        bodies = []
        for _ in range(count):
            many = chance.randint(least_subjects or 1, most_subjects)
            bodies.append(json.dumps({
                "subjects": chance.sample(self.keys, min(many, len(self.keys))),
                "ids": chance.sample(INDICATORS, ids), "limit": many}, separators=(",", ":")))
        return bodies

    def saves(self, count, seed=2):
        """`count` writes of one record each."""
        chance = random.Random(seed)
        return [json.dumps({"records": [{
            "subject": chance.choice(self.keys), "time": "2027-03-31", "period": "Q1",
            "data": {"operating_income": chance.randrange(10 ** 9) / 100}}]}, separators=(",", ":"))
                for _ in range(count)]


def puts(bodies):
    """The same number of bytes as puts for etcd: a thousand keys, the bodies as values."""
    return [json.dumps({"key": cluster.b64("/bench/%03d" % (i % 1000)), "value": cluster.b64(body)},
                       separators=(",", ":")) for i, body in enumerate(bodies)]


def raw_answer(addr, path, body):
    """One answer as it comes over the wire, head and body."""
    text = body.encode()
    host, port = addr.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as conn:
        conn.sendall(b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n" % (path.encode(), addr.encode(), len(text)) + text)
        got = b""
        while b"\r\n\r\n" not in got:
            piece = conn.recv(65536)
            cluster.check(piece, "%s closed the connection within a head", addr)
            got += piece
        head, _, rest = got.partition(b"\r\n\r\n")
        found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        cluster.check(found and head.startswith(b"HTTP/1.1 200"), "%s answers %s", addr,
                      head.partition(b"\r\n")[0])
        while len(rest) < int(found.group(1)):
            piece = conn.recv(65536)
            cluster.check(piece, "%s closed the connection within a body", addr)
            rest += piece
    return head + b"\r\n\r\n" + rest


def typical_answer(addr, path, bodies):
    """Of the answers to some of the bodies the one whose length is nearest to their mean."""
    answers = [raw_answer(addr, path, body) for body in bodies[:100]]
    mean = sum(len(answer) for answer in answers) / len(answers)
    return min(answers, key=lambda answer: abs(len(answer) - mean))


class Fixtures:
    """What runs, by name; each has a Bench of its own, so that each can be ended alone."""

    def __init__(self, folder):
        self.folder = folder
        self.running = {}  # name -> (what, bench), in the order of their start

    def _bench(self, name):
        """A Bench below the run's directory; locks on ports stay where everybody looks for them."""
        before, tempfile.tempdir = tempfile.tempdir, self.folder
        try:
            return cluster.Bench("bench_" + name)
        finally:
            tempfile.tempdir = before

    def get(self, name, make):
        """make(bench) when it does not run yet; whatever it started is ended if it fails."""
        if name not in self.running:
            bench = self._bench(name)
            try:
                self.running[name] = (make(bench), bench)
            except BaseException:
                end(bench)
                raise
        return self.running[name][0]

    def stop(self, name):
        if name in self.running:
            end(self.running.pop(name)[1])

    def stop_all(self):
        for name in reversed(list(self.running)):
            self.stop(name)


def end(bench):
    """Ends what a Bench started. A second ^C meanwhile must not leave half of it running."""
    before = {number: signal.signal(number, signal.SIG_IGN)
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for fault in bench.finish():
            print("    warning: " + fault, file=sys.stderr)
        bench.remove()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
