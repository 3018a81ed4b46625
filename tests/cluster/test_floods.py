# SPDX-License-Identifier: MIT
"""Clients that want to be a burden, and a node that hangs: what others ask of the gateway goes on, in
bounded time and bounded memory."""

import contextlib
import hashlib
import http.client
import json
import random
import re
import resource
import signal
import socket
import threading
import time

from cluster import API, SLOW, Gateway, Load, check, equal, group, test, wait_until

SNAPSHOT = "/data" + API + "/snapshot"
IMPORT = "/data" + API + "/import?subject=subject&time=time&time_format=seconds"
# A read waits no longer than this for its first byte, whatever goes on beside it ([proxy]
# first_byte_ms), with room for a machine that does other things too.
FIRST_BYTE = 2.0


def peak_megabytes(process):
    with open("/proc/%d/status" % process.popen.pid, encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) / 1024


def connect(server, receive_buffer=0):
    host, port = server.addr.rsplit(":", 1)
    link = socket.socket()
    if receive_buffer:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    link.settimeout(30 * SLOW)
    link.connect((host, int(port)))
    return link


def head(method, path, *headers):
    return ("%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (
        method, path, "".join(line + "\r\n" for line in headers))).encode()


def status_of(link):
    received = b""
    while b"\r\n" not in received:
        piece = link.recv(4096)
        check(piece, "the connection ended with %r", received)
        received += piece
    return int(received.split(b" ")[1])


@contextlib.contextmanager
def many(count, server):
    links = []
    try:
        for _ in range(count):
            links.append(connect(server))
        yield links
    finally:
        for link in links:
            link.close()


class Drip:
    """Keeps sending a byte now and then on all of the links."""

    def __init__(self, links, pause):
        self.links, self.pause = links, pause
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def _run(self):
        while not self.stopping.wait(self.pause):
            for link in self.links:
                with contextlib.suppress(OSError):
                    link.send(b"a")


@group
class Floods:
    def setup(self, bench):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 8192:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
        self.cluster = bench.cluster(slaves=1)
        self.gateway = self.cluster.gateway
        self.gateway.save(records=[
            {"subject": "s%04d" % i, "time": 0, "data": {"x": i, "y": i * 0.5}}
            for i in range(4000)])
        self.cluster.wait_level()

    def _reads_go_on(self, what, seconds=2.0):
        """Reads at a steady rate, and the slowest of others on fresh connections."""
        slowest = 0.0
        with Load(self.gateway, 100, {"subjects": ["s0001"]}, threads=4) as load:
            until = time.monotonic() + seconds * SLOW
            while time.monotonic() < until:
                start = time.monotonic()
                equal(self.gateway.snapshot(subjects=["s0002"])["total"], 1, "rows")
                slowest = max(slowest, time.monotonic() - start)
        equal(load.failed, 0, "%s: reads that failed of %d (%s)" % (
            what, load.done, load.failures[:3]))
        check(load.done > 0, "no read under %s", what)
        check(slowest < FIRST_BYTE * SLOW, "%s: a read took %.2f s", what, slowest)

    def silent_connections_hold_nobody_up(self):
        with many(3000, self.gateway):
            self._reads_go_on("3000 silent connections")

    def silent_connections_at_a_node_hold_nobody_up(self):
        """As many as it has threads, and more: its workers and its place at the gateway are taken."""
        with many(562, self.cluster.slaves[0]):
            self._reads_go_on("562 silent connections at a node")

    def drips_hold_nobody_up(self):
        with many(200, self.gateway) as links:
            for i, link in enumerate(links):
                if i % 2:
                    link.send(head("POST", SNAPSHOT, "Content-Length: 1000"))
                else:
                    link.send(b"POST " + SNAPSHOT.encode() + b" HTTP/1.1\r\nHost: h\r\nX-")
            with Drip(links, 0.2):
                self._reads_go_on("200 that send a byte now and then")

    def noise_is_refused(self):
        source = random.Random(4)
        with many(200, self.gateway) as links:
            for link in links:
                with contextlib.suppress(OSError):
                    link.sendall(source.randbytes(source.randrange(1, 5000)))
            self._reads_go_on("random bytes", 1.0)

    def large_heads_are_431(self):
        line = b"X-Long: " + b"a" * 1000 + b"\r\n"
        with many(100, self.gateway) as links:
            for link in links:
                with contextlib.suppress(OSError):
                    link.sendall(head("GET", SNAPSHOT)[:-2] + line * 64)
            for link in links:
                equal(status_of(link), 431, "a head of 64 KB")
            self._reads_go_on("heads of 64 KB", 1.0)

    def half_bodies_are_kept_within_bounds(self):
        """A megabyte each announced, and half of it sent: more than the gateway keeps."""
        half = b" " * 500000
        with many(150, self.gateway) as links:
            for link in links:
                link.sendall(head("POST", SNAPSHOT, "Content-Length: 1000000") + half)
            self._reads_go_on("150 half bodies", 1.0)

    def readers_that_do_not_read_hold_nobody_up(self):
        body = json.dumps({"topic": "*", "limit": 4000}).encode()
        links = []
        try:
            for _ in range(60):
                link = connect(self.gateway, receive_buffer=4096)
                links.append(link)
                link.sendall(head("POST", SNAPSHOT, "Content-Length: %d" % len(body)) + body)
            self._reads_go_on("60 that do not read their answers")
        finally:
            for link in links:
                link.close()

    def memory_stays_bounded(self):
        megabytes = peak_megabytes(self.gateway)
        # A sanitizer's shadow and quarantine are not the gateway's.
        check(megabytes < 400 or SLOW > 1, "the gateway took %d MB", megabytes)
        stats = self.gateway.get(API + "/stats").data()["gateway"]
        equal(stats["refused"], 0, "connections that were refused")


@group
class HungNode:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=2)
        self.cluster.gateway.save(records=[{"subject": "s", "time": 0, "data": {"x": 1}}])
        self.cluster.wait_level()

    def reads_leave_a_node_that_hangs(self):
        """Seen before: reads waited 3 to 4 s for a stopped node, until its probes had failed."""
        gateway, hung = self.cluster.gateway, self.cluster.slaves[0]
        slowest, lock = [0.0], threading.Lock()
        stopping = threading.Event()
        failures = []

        def read():
            while not stopping.is_set():
                start = time.monotonic()
                try:
                    equal(gateway.snapshot(subjects=["s"])["total"], 1, "rows")
                except Exception as error:  # pylint: disable=broad-except
                    failures.append(repr(error))
                with lock:
                    slowest[0] = max(slowest[0], time.monotonic() - start)
        threads = [threading.Thread(target=read, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            hung.signal(signal.SIGSTOP)
            wait_until(lambda: gateway.health()["count"] == 2, "the hung node is out", 20)
        finally:
            stopping.set()
            for thread in threads:
                thread.join(60 * SLOW)
            hung.signal(signal.SIGCONT)
        equal(failures, [], "reads that failed")
        check(slowest[0] < (FIRST_BYTE + 0.9) * SLOW, "a read took %.2f s", slowest[0])
        wait_until(lambda: gateway.health()["count"] == 3, "the node is back", 20)

    def a_hung_leader_costs_reads_nothing_and_writes_say_what_they_know(self):
        gateway, leader = self.cluster.gateway, self.cluster.master
        leader.signal(signal.SIGSTOP)
        try:
            answer = gateway.data_post("save", {"records": [
                {"subject": "s", "time": 0, "data": {"x": 2}}]},
                {"X-Kamaitachi-Timeout-Ms": "700"})
            check(answer.status in (503, 504), "a write to a hung leader: %d", answer.status)
            equal(answer.headers["x-kamaitachi-outcome"],
                  "unknown" if answer.status == 504 else "none", "its outcome")
            start = time.monotonic()
            for _ in range(10):
                equal(gateway.snapshot(subjects=["s"])["total"], 1, "rows")
            check(time.monotonic() - start < 3 * FIRST_BYTE * SLOW, "ten reads took too long")
        finally:
            leader.signal(signal.SIGCONT)
        wait_until(lambda: gateway.health()["count"] == 3, "the leader is back", 20)


@test
def a_gateway_that_may_open_few_files_takes_fewer_connections(bench):
    """A connection that cannot be accepted for want of a descriptor would hold up all others."""
    cluster = bench.cluster(slaves=1, gateway=False)
    gateway = Gateway(bench, "gateway", cluster.etcd, proxy_pool_per_node=16)
    program = gateway.command()
    gateway.command = lambda: ["sh", "-c", 'ulimit -n 600; exec "$@"', "sh"] + program
    gateway.start()
    gateway.wait_nodes(cluster.nodes)
    check("few_files" in gateway.log(), "the log does not say that files are few")
    gateway.save(records=[{"subject": "s", "time": 0, "data": {"x": 1}}])
    cluster.wait_level()
    with many(1500, gateway):
        for _ in range(20):
            start = time.monotonic()
            equal(gateway.snapshot(subjects=["s"])["total"], 1, "rows")
            check(time.monotonic() - start < FIRST_BYTE * SLOW, "a read took too long")
    check("accept_failed" not in gateway.log(), "it could not accept")
    check(gateway.get(API + "/stats").data()["gateway"]["evicted"] > 0, "nobody made room")


def csv_pieces(lines, piece_lines=2000):
    """A CSV of that many records, in pieces; alike every time."""
    yield b"subject,time,a,b,c,d,e,f\n"
    for first in range(0, lines, piece_lines):
        yield "".join(
            "k%05d,%d,%d.25,%d,0.%06d,%d,1e%d,%d\n" % (
                i % 50000, 86400 * (i // 50000), i, i * 7, i % 999983, -i, i % 20, i * i % 1000003)
            for i in range(first, min(first + piece_lines, lines))).encode()


@group
class Streams:
    LINES = 400000

    def setup(self, bench):
        self.cluster = bench.cluster(slaves=1)
        self.gateway = self.cluster.gateway

    def an_import_of_any_size_passes_in_bounded_memory(self):
        host, port = self.gateway.addr.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=300 * SLOW)
        connection.request("POST", IMPORT, csv_pieces(self.LINES), {"Expect": "100-continue"},
                           encode_chunked=True)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        equal(answer.status, 200, "an import (%s)" % body)
        equal(body["data"]["records"], self.LINES, "records")
        connection.close()
        self._is_small()

    def an_export_waits_for_a_slow_reader(self):
        """It reads a little, then nothing for a while: what it did not read is not kept."""
        direct = hashlib.sha256()
        answer = self.cluster.master.get(API + "/export?format=csv", timeout=300 * SLOW)
        equal(answer.status, 200, "an export from the master")
        direct.update(answer.body)
        check(len(answer.body) > 20000000, "an export of %d bytes", len(answer.body))
        host, port = self.gateway.addr.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=300 * SLOW)
        connection.request("GET", "/data" + API + "/export?format=csv")
        passed = connection.getresponse()
        equal(passed.status, 200, "an export through the gateway")
        through = hashlib.sha256(passed.read(100000))
        start = time.monotonic()
        # Others are served meanwhile, by the same loops.
        while time.monotonic() - start < 2:
            self.gateway.snapshot(subjects=["k00001"])
        while True:
            piece = passed.read(1 << 20)
            if not piece:
                break
            through.update(piece)
        connection.close()
        equal(through.hexdigest(), direct.hexdigest(), "the export through the gateway")
        self._is_small()

    def an_import_that_breaks_off_leaves_a_gateway_that_goes_on(self):
        with many(5, self.gateway) as links:
            for link in links:
                link.sendall(head("POST", IMPORT, "Transfer-Encoding: chunked"))
                for piece in csv_pieces(10000):
                    link.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.gateway.snapshot(subjects=["k00001"])
        with many(1, self.gateway) as links:
            links[0].sendall(head("POST", IMPORT, "Transfer-Encoding: chunked"))
            links[0].sendall(b"8\r\nsubject,\r\n0x8\r\n")
            equal(status_of(links[0]), 400, "an import with a chunk size that is none")

    def _is_small(self):
        megabytes = peak_megabytes(self.gateway)
        check(megabytes < 100 or SLOW > 1, "the gateway took %d MB", megabytes)


SLOW_TESTS = ["Floods", "Streams"]
