# SPDX-License-Identifier: MIT
"""Imports that break and are repeated with their key; large ones, and what they take of memory.

KT_TEST_IMPORT_MB=2000 makes the large import as large as that.
"""

import http.client
import json
import os
import random
import re
import socket
import zlib

from cluster import API, SLOW, Node, check, equal, test, wait_until

SLOW_TESTS = ("a_large_import_broken_ten_times_has_every_record_once",)

LINES = 1000  # of a block
COLUMNS = 20
HEAD = b"k,t," + b",".join(b"v%d" % i for i in range(COLUMNS)) + b"\n"


def block(number):
    """Lines that no other block has: ten subjects, a hundred years each."""
    tail = b",".join(b"%d.%04d" % (number % 97, i * 37) for i in range(COLUMNS))
    return b"".join(b"s%d-%d,%d,%s\n" % (number, i // 100, 1900 + i % 100, tail)
                    for i in range(LINES))


def blocks(count):
    yield HEAD
    for number in range(count):
        yield block(number)


def packed(pieces):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def send(server, query, pieces, headers=(), cut=None, timeout=600):
    """Streams a body in chunks; status and envelope, or None when it was cut after so many bytes."""
    host, port = server.addr.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=timeout * SLOW)
    head = "POST %s%s/import?%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" % (
        server.data_prefix, API, query)
    head += "".join("%s: %s\r\n" % header for header in headers) + "\r\n"
    sent = 0
    try:
        connection.sendall(head.encode())
        for piece in pieces:
            if cut is not None and sent + len(piece) >= cut:
                connection.sendall(b"%x\r\n" % len(piece) + piece[:max(0, cut - sent)])
                return None
            if piece:
                connection.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            sent += len(piece)
        connection.sendall(b"0\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def peak_mb(process):
    with open("/proc/%d/status" % process.popen.pid, encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) / 1024


def quiet(node):
    """No import goes on: a broken one ends when the node notices."""
    log = node.log()
    return log.count(" import begun") == log.count(" import ended")


@test
def a_large_import_broken_ten_times_has_every_record_once(bench):
    megabytes = int(os.environ.get("KT_TEST_IMPORT_MB") or (100 if SLOW == 1 else 30))
    count = max(2, megabytes * 1000000 // len(block(1)))
    cluster = bench.cluster(slaves=1, log_level="info")
    gateway, node = cluster.gateway, cluster.master
    query = "subject=k&time=t&time_format=year"
    rng = random.Random(5)
    total = len(HEAD) + sum(len(block(n)) for n in (1,)) * count
    cuts = sorted(rng.randrange(total) for _ in range(10))
    rng.shuffle(cuts)
    for cut in cuts:
        equal(send(gateway, query, blocks(count), [("Idempotency-Key", "large")], cut), None,
              "the answer to a broken import")
    status, envelope = send(gateway, query, blocks(count), [("Idempotency-Key", "large")])
    equal(status, 200, "status: %s" % envelope)
    report = envelope["data"]
    equal([report[k] for k in ("records", "subjects", "values", "rejected")],
          [count * LINES, count * LINES // 100, count * LINES * COLUMNS, 0], "the report")
    equal(node.stats()["total_records"], count * LINES, "records")
    # One that breaks at once may never have reached the node.
    begun = node.log().count(" import begun")
    check(begun >= 6 or "repeated=" in node.log(), "imports that began: %d", begun)
    again = send(gateway, query, packed(blocks(count)),
                 [("Idempotency-Key", "large"), ("Content-Encoding", "gzip")])
    equal(again, (200, envelope), "the answer to one more, packed")
    cluster.wait_level(120)
    for process in cluster.everyone():
        peak = peak_mb(process)
        print("  %s: %.0f MB at most" % (process.name, peak))
        # A sanitizer's shadow is no memory of ours.
        check(SLOW > 1 or peak < 400, "%s took %.0f MB", process.name, peak)
    lines = versions(node, "from=1905-01-01&to=1914-01-01")
    equal(lines, count * LINES // 10, "versions of a tenth of the records")


def versions(node, query):
    """How many lines of records an export has."""
    host, port = node.addr.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=600 * SLOW)
    connection.request("GET", "%s/export?versions=1&%s" % (API, query))
    answer = connection.getresponse()
    count = sum(1 for line in answer if line.startswith(b'{"record"'))
    connection.close()
    return count


@test
def a_repeated_import_skips_what_was_done_and_another_body_is_a_mismatch(bench):
    node = Node(bench, "master", None, limits_import_batch_records=100).start()
    query = "subject=k&time=t&time_format=year"
    key = {"Idempotency-Key": "one"}
    rows = ["r%d,%d,%d" % (i // 10, 2000 + i % 10, i) for i in range(1000)]
    body = "k,t,v\n" + "\n".join(rows) + "\n"
    first = node.bring(query, body, key)
    revision = node.revision()
    equal(node.bring(query, body, key), first, "the report of a repetition")
    equal(node.revision(), revision, "the revision after a repetition")
    node.terminate()
    node.start()
    revision = node.revision()
    equal(node.bring(query, body, key), first, "the report after a restart")
    equal(node.revision(), revision, "the revision after that")
    rows[550] = rows[550] + "9"
    answer = node.data_post("import?" + query, "k,t,v\n" + "\n".join(rows) + "\n", key)
    equal([answer.status, answer.error().get("code"), answer.error().get("field")],
          [409, "idempotency_mismatch", "Idempotency-Key"], "another body")
    check("500 records" in answer.body.decode(), "what is committed is named: %s", answer.body)
    equal(node.revision(), revision, "the revision after a mismatch")
    equal(versions(node, ""), 1000, "versions")
    equal(node.bring(query, body)["records"], 1000, "without a key it is done again")
    equal(versions(node, ""), 2000, "versions after that")
    for bad in ("", "a b", "x" * 129, "\u00e9"):
        answer = node.data_post("import?" + query, body, {"Idempotency-Key": bad})
        equal([answer.status, answer.error().get("field")], [400, "Idempotency-Key"],
              "the key %r" % bad)


@test
def every_format_is_resumed(bench):
    node = Node(bench, "master", None, limits_import_batch_records=50).start()
    source = Node(bench, "master2", None).start()
    source.bring("subject=k&time=t&time_format=year", "k,t,v\n" + "".join(
        "r%d,%d,%d\n" % (i // 10, 2000 + i % 10, i) for i in range(1000)))
    body = source.data_get("export").body
    rng = random.Random(3)
    for name, pieces in (("plain", [body]), ("gzip", list(packed([body])))):
        headers = [("Idempotency-Key", name)]
        if name == "gzip":
            headers.append(("Content-Encoding", "gzip"))
        whole = sum(len(piece) for piece in pieces)
        for _ in range(4):
            equal(send(node, "format=ndjson", pieces, headers, rng.randrange(1, whole)), None,
                  "a broken import")
        wait_until(lambda: quiet(node) or "repeated" in node.log(), "broken imports end", 40)
        status, envelope = send(node, "format=ndjson", pieces, headers)
        equal([status, envelope["data"]["records"]], [200, 1000], "the import by " + name)
    equal(versions(node, ""), 2000, "versions: once for each key")
    equal(node.data_get("export").body, body, "the export")


@test
def an_atomic_import_is_resumed_as_one(bench):
    node = Node(bench, "master", None).start()
    body = "k,t,v\n" + "".join("r%d,2020,%d\n" % (i, i) for i in range(3000))
    key = {"Idempotency-Key": "atom"}
    first = node.bring("subject=k&time=t&atomic=1", body, key)
    revision = node.revision()
    equal(node.bring("subject=k&time=t&atomic=1", body, key), first, "the report")
    equal(node.revision(), revision, "the revision")
