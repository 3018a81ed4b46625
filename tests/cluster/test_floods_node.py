# SPDX-License-Identifier: MIT
"""Clients that open many connections and say little, or nonsense: real requests go on, and none waits
longer than [server] first_byte_ms (2 s by default)."""

import gzip
import random
import socket
import threading
import time

from cluster import API, SLOW, Load, Node, check, equal, group, wait_until

THREADS = 16
FIRST_BYTE_S = 2.0
PROBES = 12


class Crowd:
    """Connections that do something, while the with-block runs."""

    def __init__(self, addr, count, first=b"", each_second=b"", again=False):
        self.host, port = addr.rsplit(":", 1)
        self.port, self.count = int(port), count
        self.first, self.each_second, self.again = first, each_second, again
        self.sockets = []
        self.stopping = threading.Event()

    def _open(self):
        connection = socket.create_connection((self.host, self.port), timeout=10 * SLOW)
        connection.setblocking(False)
        try:
            connection.send(self.first)
        except OSError:
            pass
        return connection

    def __enter__(self):
        self.sockets = [self._open() for _ in range(self.count)]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def _run(self):
        while not self.stopping.wait(1.0 if self.each_second else 0.2):
            for i, connection in enumerate(self.sockets):
                try:
                    if self.each_second:
                        connection.send(self.each_second)
                    elif self.again and not connection.recv(65536):
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
                except OSError:
                    connection.close()
                    if self.again and not self.stopping.is_set():
                        self.sockets[i] = self._open()

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(30 * SLOW)
        for connection in self.sockets:
            connection.close()


@group
class NodeFloods:
    """One node with few workers, and what strangers do to it."""

    def setup(self, bench):
        self.node = Node(bench, "master", None, server_num_threads=THREADS,
                         limits_body_memory_bytes="256m").start()
        self.node.save(subjects=[{"subject": "s"}],
                       records=[{"subject": "s", "time": 0, "data": {"x": 1}}])

    def _probe(self, what):
        """Requests on connections of their own, one after the other: the longest wait."""
        longest = 0.0
        for _ in range(PROBES):
            start = time.monotonic()
            answer = self.node.data_post("snapshot", {"limit": 1})
            took = time.monotonic() - start
            equal(answer.status, 200, "%s: status of a real request" % what)
            longest = max(longest, took)
        check(longest <= FIRST_BYTE_S * SLOW, "%s: a real request waited %.2f s", what, longest)

    def _stands(self, what, *args, **kwargs):
        with Crowd(self.node.addr, *args, **kwargs):
            self._probe(what)

    def silent_connections_do_not_keep_requests_out(self):
        self._stands("silent", THREADS + 50)
        self._stands("silent, again and again", THREADS + 50, again=True)

    def two_hundred_that_send_a_byte_a_second_do_not(self):
        self._stands("heads", 200, b"GET /health HTTP/1.1\r\nX-A: ", b"a")
        self._stands("bodies", 200, b"POST %s/snapshot HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 5000\r\n\r\n" % API.encode(), b" ")
        self._stands("imports", 200, b"POST %s/import?subject=a&time=b HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 5000\r\n\r\n" % API.encode(), b"a")
        self._stands("second requests", 200, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", b"G")

    def random_bytes_do_not(self):
        noise = random.Random(5)
        for size in (10, 1000, 30000):
            self._stands("random bytes", 100, noise.randbytes(size), again=True)
            self._stands("random lines", 100, noise.randbytes(size) + b"\r\n\r\n", again=True)

    def heads_of_64_kilobytes_do_not(self):
        self._stands("large heads", 100,
                     b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 65536 + b"\r\n\r\n",
                     again=True)

    def gzip_bombs_do_not(self):
        """A hundred at once: imports have half of the workers at most, and each has its bounds."""
        bombs = [gzip.compress(b"a,b,c\n" + b"x" * (64 << 20)),
                 gzip.compress(b"a,b,c\n" + b"\n" * (64 << 20)),
                 gzip.compress(b"a,b,c\n" + b",,\n" * (8 << 20))]
        for bomb in bombs:
            head = (b"POST %s/import?subject=a&time=b HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
                    b"Content-Length: %d\r\n\r\n" % (API.encode(), len(bomb)))
            self._stands("gzip bombs", 100, head + bomb)
            answer = wait_until(lambda sent=bomb: self._import(sent), "the others' imports end", 60)
            equal((answer.status, answer.error().get("code"), b"gzip_ratio" in answer.body),
                  (413, "too_large", True), "what a bomb gets")
        peak_mb = self._peak_kb() >> 10
        check(peak_mb < 400 * (1 if SLOW == 1 else 4), "the node took %d MB", peak_mb)

    def _import(self, packed):
        """The answer; None while others have the workers that imports may have."""
        answer = self.node.data_post("import?subject=a&time=b", packed,
                                     {"Content-Encoding": "gzip"})
        return None if answer.status == 503 else answer

    def _peak_kb(self):
        with open("/proc/%d/status" % self.node.popen.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    def many_large_bodies_share_a_bounded_memory(self):
        """Two bytes a value is the most that a body can become: forty times its length."""
        body = b'{"ids":[' + b"1," * ((7 << 20) // 2) + b"1]}"
        statuses = []

        def ask():
            statuses.append(self.node.data_post("snapshot", body).status)
        before_kb = self._peak_kb()
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(12)]
        for thread in threads:
            thread.start()
        self._probe("large bodies")
        for thread in threads:
            thread.join(60 * SLOW)
        check(len(statuses) == 12 and set(statuses) <= {400, 413, 503} and statuses.count(503) < 12,
              "statuses %s", statuses)
        # The first of them fills the budget of 256 MB, so they come one after the other.
        grown_mb = (self._peak_kb() - before_kb) >> 10
        check(grown_mb < 600 * (1 if SLOW == 1 else 4), "the node grew by %d MB", grown_mb)

    def long_lines_of_many_imports_share_it_too(self):
        """A line is parsed like a body: it must count like one."""
        line = b'{"record":{"subject":"s","time":1,"data":{' + b",".join(
            b'"%x":1' % i for i in range(350000)) + b"}}}\n"
        statuses = []

        def ask():
            statuses.append(self.node.data_post("import?format=ndjson", line).status)
        before_kb = self._peak_kb()
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(24)]
        for thread in threads:
            thread.start()
        self._probe("long lines")
        for thread in threads:
            thread.join(60 * SLOW)
        # 400: beyond the cluster's indicators; 503: others have the memory or the workers.
        check(len(statuses) == 24 and set(statuses) <= {400, 503} and 400 in statuses,
              "statuses %s", statuses)
        grown_mb = (self._peak_kb() - before_kb) >> 10
        check(grown_mb < 600 * (1 if SLOW == 1 else 4), "the node grew by %d MB", grown_mb)

    def a_steady_load_goes_on_meanwhile(self):
        with Load(self.node, 50, {"limit": 1}, threads=4) as load:
            self._stands("under load", 200, b"GET /health HTTP/1.1\r\nX-A: ", b"a", again=True)
        # A connection that others waited for is told `close`; what is caught on its way is repeated.
        check(load.done > 20 and load.failed <= load.done // 20 + 2, "%d of %d failed: %s",
              load.failed, load.done, load.failures[:5])
