#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many clients at once, whose requests go down in a history (history.py).

They run in processes of their own, so that whoever judges and breaks things has this process to
himself: `Clients` starts them and reads their histories while they go on. Each client sends one
request after the other, `rate` a second, on a connection that stays open:

- writers (half of them with Idempotency-Keys, who repeat what came to nothing or is unknown) put
  unique values into a few keys that they share;
- readers read them linearizably; strollers at level any; sessions write and read at level session,
  with the greatest revision that they have seen;
- counters read a counter and raise it with if_revision.

A process ends when its standard input is closed, or after `seconds`, whatever comes first.
"""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from cluster import SLOW, wait_until  # pylint: disable=wrong-import-position
from history import NONE, OK, UNKNOWN, Op  # pylint: disable=wrong-import-position

ROLES = ("writer", "keyed", "reader", "stroller", "session", "counter")
API = "/kamaitachi/api/data/v1/"


# --- inside a process of clients -----------------------------------------------------------------

class NotSent(OSError):
    """Nothing of the request can have arrived."""


class Connection:
    """HTTP/1.1 with bodies of known length, as little of it as is needed: http.client takes three
    times as long."""

    def __init__(self, addr, timeout):
        self.host, port = addr.rsplit(":", 1)
        self.port, self.timeout = int(port), timeout
        self.socket = None

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None

    def post(self, path, body, headers=""):
        """(status, {header: value}, body). OSError: the answer did not come; NotSent: see there."""
        if self.socket is None:
            try:
                self.socket = socket.create_connection((self.host, self.port), self.timeout)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                raise NotSent(str(error)) from None
        try:
            self.socket.settimeout(self.timeout)
            self.socket.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                                 "Content-Length: %d\r\n%s\r\n" % (path, len(body), headers)
                                 ).encode() + body)
            return self._answer()
        except OSError:
            self.close()
            raise

    def _answer(self):
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._some()
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers["content-length"])
        while len(body) < length:
            body += self._some()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split(" ")[1]), headers, body

    def _some(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise OSError("the connection ended before the answer did")
        return piece


class Client:
    def __init__(self, number, role, order, report, ending):
        self.name, self.role, self.number = "%s%d" % (role, number), role, number
        self.order, self.report, self.ending = order, report, ending
        self.rng = random.Random("%s %s" % (order["seed"], self.name))
        servers = order["servers"]
        self.server, self.prefix = servers[number % len(servers)]
        self.link = Connection(self.server, order["timeout"])
        self.count = 0
        self.seen = 0  # the greatest revision of an answer

    def run(self):
        act = getattr(self, "_" + self.role)
        pause = 1.0 / self.order["rate"]
        due = time.monotonic() + pause * self.rng.random()
        while not self.ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic())
            act()
        self.link.close()

    def _key(self):
        return "k%d" % self.rng.randrange(self.order["keys"])

    def _headers(self, level="", min_revision=0, key=""):
        text = "X-Kamaitachi-Timeout-Ms: %d\r\n" % (self.order["timeout_ms"])
        if level:
            text += "X-Kamaitachi-Consistency: %s\r\n" % level
        if min_revision:
            text += "X-Kamaitachi-Min-Revision: %d\r\n" % min_revision
        if key:
            text += "Idempotency-Key: %s\r\n" % key
        return text

    def _send(self, name, body, headers):
        """status (0: no answer, -1: nothing was sent), headers, envelope, what went wrong."""
        try:
            status, heads, raw = self.link.post(self.prefix + API + name,
                                                json.dumps(body).encode(), headers)
            envelope = json.loads(raw)
        except NotSent as error:
            return -1, {}, {}, str(error)
        except (OSError, ValueError, KeyError, IndexError) as error:
            self.link.close()
            return 0, {}, {}, repr(error)
        return status, heads, envelope, "" if status == 200 else str(envelope.get("status_msg"))

    def _save(self, kind, key, value, level="", keyed="", **more):
        """One write; repeated under its key until it is done, when it has one: in the end, once
        more."""
        self.count += 1
        body = dict(more, records=[{"subject": key, "time": 1, "data": {"v": value}}])
        headers = self._headers(key=keyed)
        begin = time.monotonic_ns()
        give_up = time.monotonic() + self.order["timeout"]
        doubt = last = False
        while True:
            status, heads, envelope, why = self._send("save", body, headers)
            outcome = _outcome(status, heads)
            doubt = doubt or outcome == UNKNOWN
            last = last or time.monotonic() > give_up
            if outcome == OK or not keyed or status in (400, 409) or last:
                break
            last = self.ending.wait(0.05)  # a client's manners: it does not repeat at once
        end = time.monotonic_ns()
        if outcome == NONE and doubt:
            outcome = UNKNOWN
        revision = envelope["data"]["revision"] if outcome == OK else None
        self.seen = max(self.seen, revision or 0)
        self.report(Op(self.name, kind, key, value, begin, end, outcome, revision, level, status,
                       why, self.server))
        return outcome

    def _read(self, key, level, min_revision=0):
        begin = time.monotonic_ns()
        status, heads, envelope, why = self._send(
            "snapshot", {"subjects": [key], "ids": ["v"]}, self._headers(level, min_revision))
        end = time.monotonic_ns()
        value = revision = None
        if status == 200:
            rows = envelope["data"]
            value = rows[0]["data"].get("v") if rows else None
            revision = int(heads["x-kamaitachi-revision"])
            self.seen = max(self.seen, revision)
        self.report(Op(self.name, "read", key, value, begin, end, OK if status == 200 else NONE,
                       revision, level, status, why, self.server))
        return status == 200, value, revision

    def _value(self):
        return self.order["base"] + self.number * 100000 + self.count

    def _writer(self):
        self._save("write", self._key(), self._value())

    def _keyed(self):
        value = self._value()
        self._save("write", self._key(), value, keyed="%s-%d" % (self.order["seed"], value))

    def _reader(self):
        self._read(self._key(), self.order["strong"])

    def _stroller(self):
        self._read(self._key(), "any")

    def _session(self):
        if self.rng.random() < 0.3:
            self._save("write", self._key(), self._value(), "session")
        else:
            self._read(self._key(), "session", self.seen)

    def _counter(self):
        key = "c%d" % (self.number % self.order["counters"])
        good, value, revision = self._read(key, self.order["strong"])
        if good:
            self._save("raise", key, (value or 0) + 1, if_revision=revision)


def _outcome(status, headers):
    said = headers.get("x-kamaitachi-outcome")
    if status == 200:
        return OK
    if said in (NONE, UNKNOWN):
        return said
    return NONE if status == -1 or 400 <= status < 500 or status == 503 else UNKNOWN


def main():
    order = json.loads(sys.argv[1])
    lock = threading.Lock()
    file = open(order["path"], "w", encoding="utf-8")  # pylint: disable=consider-using-with

    def report(op):
        line = op.line() + "\n"
        with lock:
            file.write(line)
            file.flush()
    threading.stack_size(256 << 10)
    ending = threading.Event()
    threads = []
    for role, first, count in order["roles"]:
        for number in range(first, first + count):
            client = Client(number, role, order, report, ending)
            threads.append(threading.Thread(target=client.run, daemon=True))
    for thread in threads:
        thread.start()
    timer = threading.Timer(order["seconds"], ending.set)
    timer.daemon = True
    timer.start()

    def wait_for_the_end():
        sys.stdin.buffer.read()
        ending.set()
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    for thread in threads:
        thread.join(order["seconds"] + 2 * order["timeout"] + 10)
    file.close()
    return 1 if any(thread.is_alive() for thread in threads) else 0


# --- in the process that judges ------------------------------------------------------------------

class Clients:
    """with Clients(bench, gateway, writer=25, keyed=25, reader=50) as clients: …

    servers: a Server, or a list of them, over which clients are spread by their numbers.
    strong: the level of readers and counters."""
    _bases = 0

    def __init__(self, bench, servers, rate=5.0, keys=8, counters=1, timeout_ms=30000, seconds=600,
                 processes=1, strong="linearizable", **roles):
        self.bench, self.ops, self.bad_exits = bench, [], []
        self._orders = []
        self._parts = []  # (process, file, rest of a line)
        servers = servers if isinstance(servers, list) else [servers]
        Clients._bases += 1
        order = {"seed": random.randrange(1 << 30), "rate": rate, "keys": keys,
                 "counters": counters, "strong": strong,
                 "timeout_ms": timeout_ms, "seconds": seconds,
                 "timeout": timeout_ms / 1000 + 5, "base": Clients._bases * 1000000000,
                 "servers": [(server.addr, server.data_prefix) for server in servers]}
        self.seed = order["seed"]
        for part in range(processes):
            its, first = [], 0
            for role in ROLES:
                count = roles.get(role, 0)
                share = [count * i // processes for i in (part, part + 1)]
                its.append((role, first + share[0], share[1] - share[0]))
                first += count
            path = os.path.join(bench.dir, "history-%d-%d" % (Clients._bases, part))
            self._orders.append(dict(order, roles=its, path=path))
        unknown = set(roles) - set(ROLES)
        assert not unknown, unknown

    def __enter__(self):
        for order in self._orders:
            open(order["path"], "w", encoding="utf-8").close()
            process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), json.dumps(order)],
                stdin=subprocess.PIPE, cwd=self.bench.dir)
            self._parts.append([process, open(order["path"], encoding="utf-8"), ""])
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Each client ends its request first. Whoever hangs is killed, and that is a fault."""
        for process, _, _ in self._parts:
            if not process.stdin.closed:
                process.stdin.close()
        for part in self._parts:
            if part[0].returncode is None:
                try:
                    status = part[0].wait(90 * SLOW)
                except subprocess.TimeoutExpired:
                    part[0].kill()
                    status = part[0].wait()
                if status != 0:
                    self.bad_exits.append(status)
        self.look()
        for _, file, _ in self._parts:
            file.close()
        self._parts = []

    def look(self):
        """Reads what has been reported since."""
        for part in self._parts:
            part[2] += part[1].read()
            lines = part[2].split("\n")
            part[2] = lines.pop()
            self.ops.extend(Op.parse(line) for line in lines)
        return self.ops

    def wait(self, count, kind="write", deadline=30.0):
        """Until so many more have gone well that began from now on."""
        since = now()
        wait_until(lambda: sum(1 for op in self.look() if op.kind == kind and op.outcome == OK and
                               op.begin > since) >= count,
                   "%d more %ss go well" % (count, kind), deadline)

    def failed(self, kind):
        """Those that came to nothing; a compare-and-set that was too late is none of them."""
        return [op for op in self.ops if op.kind == kind and op.outcome != OK and op.status != 409]

    def longest(self, kind):
        """The one that took longest."""
        return max((op for op in self.ops if op.kind == kind), key=lambda op: op.took)


def now():
    return time.monotonic_ns()


if __name__ == "__main__":
    sys.exit(main())
