#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Raw requests (table.py) against a data node and the gateway, over sockets with deadlines.

usage: run.py [--bin DIR] [--slow FACTOR] [--list] [WORD…]

Behind each request that must end its connection stands a write. If it were ever run, there would be
a second answer, and a revision that nobody asked for: both are looked for. Every answer is read
strictly, and every error must be the envelope. Only rows whose name contains one of the words run.
The last line is the sum.
"""

import argparse
import json
import os
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "cluster"))

DEADLINE = 10.0
SMUGGLED_BODY = b'{"records":[{"subject":"smuggled","time":0,"data":{"x":1}}]}'


class Wrong(Exception):
    """An answer that is not what it should be."""


class Wire:
    """A connection; what was received and not yet taken."""

    def __init__(self, addr, deadline):
        host, port = addr.rsplit(":", 1)
        self.end = time.monotonic() + deadline
        self.socket = socket.create_connection((host, int(port)), timeout=deadline)
        self.data = b""
        self.ended = False

    def send(self, data, finish):
        try:
            self.socket.sendall(data)
            if finish:
                self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before all was sent

    def receive(self):
        """More data; False at the end."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise Wrong("no answer and no end within the deadline, got %r" % self.data[:200])
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(65536)
        except socket.timeout:
            raise Wrong("no answer and no end within the deadline, got %r" %
                        self.data[:200]) from None
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self.data += data
        return bool(data)

    def take_until(self, mark):
        while mark not in self.data:
            if not self.receive():
                raise Wrong("the connection ended within an answer: %r" % self.data[:200])
        part, self.data = self.data.split(mark, 1)
        return part

    def take(self, count):
        while len(self.data) < count:
            if not self.receive():
                raise Wrong("the connection ended within a body")
        part, self.data = self.data[:count], self.data[count:]
        return part

    def at_end(self):
        """Nothing more comes. Waits for it."""
        return not self.data and (self.ended or not self.receive())


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.closes = "close" in headers.get("connection", "").lower()


def read_answer(wire, to_head):
    """The next answer that is no 100; None when the connection ends before one."""
    while True:
        if wire.at_end():
            return None
        head = wire.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        parts = head[0].split(" ", 2)
        if len(parts) != 3 or parts[0] != "HTTP/1.1" or not parts[1].isdigit():
            raise Wrong("a status line %r" % head[0])
        headers = {}
        for line in head[1:]:
            name, colon, value = line.partition(": ")
            if not colon or name.lower() in headers:
                raise Wrong("a header line %r" % line)
            headers[name.lower()] = value
        status = int(parts[1])
        if status != 100:
            break
    if to_head or status in (204, 304):
        body = b""
    elif headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            size = int(wire.take_until(b"\r\n"), 16)
            body += wire.take(size)
            if wire.take(2) != b"\r\n":
                raise Wrong("a chunk without its end")
            if size == 0:
                break
    else:
        body = wire.take(int(headers["content-length"]))
    return Answer(status, headers, body)


def check_error(answer):
    """An error has the envelope, whoever made it."""
    if answer.headers.get("content-type") != "application/json":
        raise Wrong("%d with content type %s" % (answer.status, answer.headers.get("content-type")))
    try:
        envelope = json.loads(answer.body)
        right = (envelope["status_code"] == answer.status and envelope["data"] is None and
                 envelope["status_msg"] and set(envelope["error"]) == {"code", "field", "retry"})
    except (ValueError, KeyError, TypeError):
        right = False
    if not right:
        raise Wrong("%d with a body %r" % (answer.status, answer.body[:200]))


class Target:
    """The server under test, and where its paths are."""

    def __init__(self, kind, server, prefix):
        self.kind, self.addr = kind, server.addr
        self.paths = {b"SNAPSHOT": prefix + b"/kamaitachi/api/data/v1/snapshot",
                      b"IMPORT": prefix + b"/kamaitachi/api/data/v1/import?subject=a&time=b",
                      b"ADDR": server.addr.encode()}
        save = prefix + b"/kamaitachi/api/data/v1/save"
        self.smuggled = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
            save, len(SMUGGLED_BODY), SMUGGLED_BODY)

    def fill(self, request):
        for mark, text in self.paths.items():
            request = request.replace(mark, text)
        return request


FOLLOWING = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-Id: following\r\n\r\n"


def attempt(table, target, row, deadline):
    """Raises Wrong when the row does not hold."""
    name, _, request, statuses, connection = row[:5]
    if len(row) > 5 and target.kind in row[5]:
        statuses, connection = row[5][target.kind]
    request = target.fill(request)
    half_closed = name in table.HALF_CLOSED
    follower = b"" if half_closed else FOLLOWING if connection == table.KEEP else target.smuggled
    if connection == table.EITHER:
        follower = FOLLOWING
    wire = Wire(target.addr, deadline)
    try:
        wire.send(request + follower, half_closed)
        answers = []
        expected = request.count(b"GET /health/live HTTP/1.1\r\n") if connection == table.KEEP else 1
        while len(answers) < max(1, expected):
            answer = read_answer(wire, request.startswith(b"HEAD "))
            if answer is None:
                break
            answers.append(answer)
        judge(table, wire, answers, statuses, connection, half_closed)
    finally:
        wire.socket.close()


def judge(table, wire, answers, statuses, connection, half_closed):
    if not answers:
        if table.NONE not in statuses:
            raise Wrong("an end without an answer")
        return
    for answer in answers:
        if answer.status not in statuses:
            raise Wrong("%d, expected %s: %r" % (answer.status, sorted(statuses),
                                                 answer.body[:200]))
        if answer.status >= 400:
            check_error(answer)
        if not answer.headers.get("x-request-id") or not answer.headers.get("date"):
            raise Wrong("no X-Request-Id or no Date")
    last = answers[-1]
    if connection == table.CLOSE or last.closes:
        if connection == table.KEEP:
            raise Wrong("%d closes the connection" % last.status)
        if not last.closes and not half_closed:
            raise Wrong("%d does not say Connection: close" % last.status)
        if not wire.at_end():
            raise Wrong("%d, and then more: %r" % (last.status, wire.data[:200]))
        return
    following = read_answer(wire, False)
    if following is None or following.status != 200 or (
            following.headers.get("x-request-id") != "following"):
        raise Wrong("the request behind it is not answered: %r" % (
            following and (following.status, following.headers),))


def check_nothing_stored(target, node, before):
    """What is wrong, as text, or None. The write by itself must be seen, or this shows nothing."""
    after = node.stats()["revision"]
    if after != before:
        return "the revision is %d, it was %d" % (after, before)
    wire = Wire(target.addr, DEADLINE)
    wire.send(target.smuggled, False)
    answer = read_answer(wire, False)
    wire.socket.close()
    if not answer or answer.status != 200 or node.stats()["revision"] == before:
        return "the write does not work: %s" % (answer and answer.body)
    return None


def run(table, cluster, bench, words):
    passed = failed = 0
    group = bench.cluster(slaves=0)
    node = group.master
    for target in (Target("node", node, b""), Target("gateway", group.gateway, b"/data")):
        before = node.stats()["revision"]
        for row in table.TABLE:
            if words and not any(word in row[0] for word in words):
                continue
            label = "%s: %s (RFC %s)" % (target.kind, row[0], row[1])
            try:
                attempt(table, target, row, DEADLINE * cluster.SLOW)
            except (Wrong, OSError) as error:
                failed += 1
                print("FAIL - %s\n  %s" % (label, error))
            else:
                passed += 1
                print("ok - %s" % label)
        wrong = check_nothing_stored(target, node, before)
        passed, failed = passed + (not wrong), failed + bool(wrong)
        print("%s - %s: no smuggled write was run%s" % (
            "FAIL" if wrong else "ok", target.kind, "\n  " + wrong if wrong else ""))
    return passed, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin")
    parser.add_argument("--slow", default="1")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    if options.bin:
        os.environ["KT_TEST_BIN"] = options.bin
    os.environ["KT_TEST_SLOW"] = options.slow
    sys.stdout.reconfigure(line_buffering=True)
    import cluster
    import table
    if options.list:
        print("\n".join("%-60s %s" % row[:2] for row in table.TABLE))
        return 0
    bench = cluster.Bench("conformance")
    passed = failed = 0
    try:
        passed, failed = run(table, cluster, bench, options.words)
    except Exception as error:  # pylint: disable=broad-except
        failed += 1
        print("FAIL - %s" % cluster.explain(error))
    faults = bench.finish()
    if faults:
        failed += 1
        print("FAIL - the end: %s" % "\n".join(faults))
    if failed:
        bench.print_logs()
    bench.remove()
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
