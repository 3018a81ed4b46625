# SPDX-License-Identifier: MIT
"""Clients at another address than loopback: a network namespace of its own, joined to this one by a
pair of virtual interfaces. Needs root and iproute2; skips at a desk (netns in KAMAITACHI_REQUIRE).

The namespace goes when the bench ends. What a killed run left behind is removed by the next one: the
names carry the process id.
"""

import atexit
import base64
import json
import os
import random
import re
import shutil
import subprocess
import sys

from cluster import SLOW, Answer, Failure, missing

NAME = re.compile(r"^ktns(\d+)x")

# Runs inside. Each request is a whole message sent as it is; the answer is what comes until the end.
CLIENT = r"""
import base64, json, socket, sys
answers = []
order = json.load(sys.stdin)
for host, port, raw in order["requests"]:
    received = b""
    try:
        with socket.create_connection((host, port), timeout=order["timeout"]) as link:
            link.sendall(base64.b64decode(raw))
            while True:
                piece = link.recv(65536)
                if not piece:
                    break
                received += piece
    except OSError as error:
        if not received:
            answers.append({"error": repr(error)})
            continue
    answers.append({"raw": base64.b64encode(received).decode()})
json.dump(answers, sys.stdout)
"""


def _run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)


def _remove_leftovers():
    for line in _run("ip", "netns", "list").stdout.splitlines():
        found = NAME.match(line)
        if found and not os.path.exists("/proc/" + found.group(1)):
            _run("ip", "netns", "del", line.split()[0])


class Namespace:
    """`host` is this side's address, `client` the other's."""

    def __init__(self, bench):
        if not shutil.which("ip") or os.geteuid() != 0:
            missing("netns", "a network namespace needs root and ip (iproute2)")
        _remove_leftovers()
        number = random.randrange(1 << 15)
        # 198.18.0.0/15 is for measurements between networks (RFC 2544): nobody routes to it.
        base = "198.%d.%d." % (18 + (number >> 14), number >> 6 & 255)
        first = (number & 63) * 4
        self.host, self.client = base + str(first + 1), base + str(first + 2)
        self.name = "ktns%dx%d" % (os.getpid(), number)
        self.inner, self.outer = "kti%d" % number, "kto%d" % number
        bench.cleanups.append(self.remove)
        atexit.register(self.remove)  # also when somebody presses Ctrl-C
        for words in (
                ("netns", "add", self.name),
                ("link", "add", self.outer, "type", "veth", "peer", "name", self.inner),
                ("link", "set", self.inner, "netns", self.name),
                ("addr", "add", self.host + "/30", "dev", self.outer),
                ("link", "set", self.outer, "up"),
                ("-n", self.name, "addr", "add", self.client + "/30", "dev", self.inner),
                ("-n", self.name, "link", "set", self.inner, "up"),
                ("-n", self.name, "link", "set", "lo", "up")):
            done = _run("ip", *words)
            if done.returncode != 0:
                missing("netns", "ip %s: %s" % (" ".join(words), done.stderr.strip()))

    def remove(self):
        _run("ip", "link", "del", self.outer)  # takes its peer along
        _run("ip", "netns", "del", self.name)

    def send(self, requests, timeout=20):
        """[(port, raw bytes)] one after the other, each on a connection of its own; the Answers."""
        order = {"timeout": timeout * SLOW,
                 "requests": [(self.host, port, base64.b64encode(raw).decode())
                              for port, raw in requests]}
        done = subprocess.run(["ip", "netns", "exec", self.name, sys.executable, "-c", CLIENT],
                              input=json.dumps(order), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure("the client in the namespace: %s" % done.stderr[-500:])
        return [_answer(one, raw) for one, (_, raw) in zip(json.loads(done.stdout), requests)]


def _answer(one, raw):
    if "error" in one:
        raise Failure("%r from outside: %s" % (raw[:80], one["error"]))
    head, _, body = base64.b64decode(one["raw"]).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) < 2 or not words[1].isdigit():
        raise Failure("%r from outside gives no answer: %r" % (raw[:80], head[:200]))
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Answer(int(words[1]), headers, body)
