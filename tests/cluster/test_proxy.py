# SPDX-License-Identifier: MIT
"""The proxy that cuts links, itself: what each state of a link lets through."""

import os
import subprocess
import sys
import time

from cluster import check, equal, free_ports, test, wait_until
from proxy import NO_ANSWERS, NO_REQUESTS, OPEN, RESET, SILENT, Wires

SERVER = r"""
import socket, sys, threading
def serve(link):
    try:
        while True:
            piece = link.recv(100)
            if not piece:
                break
            print(piece.decode(), end="", flush=True)
            link.sendall(piece.upper())
    except OSError:
        pass
    link.close()
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print("up", flush=True)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

# Lines "port text": a connection each time when the text begins with +, else the last one.
CLIENT = r"""
import socket, sys
link = None
for line in sys.stdin:
    port, text = line.split()
    try:
        if text[0] == "+":
            link = socket.create_connection(("127.0.0.1", int(port)), 30)
        link.settimeout(30)
        link.sendall(text.encode())
        print(link.recv(100).decode() or "end", flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""

PLAIN_TESTS = True  # no process of ours runs


class Program:
    """A child with a directory of its own, after which the proxy names it; what it says."""

    def __init__(self, bench, name, code, *words):
        folder = os.path.join(bench.dir, name)
        os.makedirs(folder)
        self.path = os.path.join(folder, "out")
        with open(self.path, "wb") as out:
            self.popen = subprocess.Popen([sys.executable, "-c", code, *words], cwd=folder,
                                          stdin=subprocess.PIPE, stdout=out)
        bench.cleanups.append(self.end)

    def end(self):
        self.popen.stdin.close()
        self.popen.kill()
        self.popen.wait()

    def said(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def tell(self, text):
        self.popen.stdin.write(text.encode() + b"\n")
        self.popen.stdin.flush()

    def wait(self, text):
        wait_until(lambda: self.said() == text, "it says %r, %r so far" % (text, self.said()))


def server_behind_a_front(bench):
    """The wires, the server, the front's port."""
    wires = Wires(bench)
    target = free_ports(2)
    port = target + 1
    server = Program(bench, "server", SERVER, str(target))
    server.wait("up\n")
    wires.front("server", port, target)
    return wires, server, port


@test
def a_link_is_cut_for_one_and_not_for_the_other(bench):
    wires, server, port = server_behind_a_front(bench)
    one, two = (Program(bench, name, CLIENT) for name in ("one", "two"))
    one.tell("%d +a" % port)
    one.wait("+A\n")
    wires.set("one", "server", RESET)
    one.tell("%d b" % port)
    one.tell("%d +c" % port)
    wait_until(lambda: one.said().count("\n") == 3, "both have broken")
    equal(server.said(), "up\n+a", "what came through")
    two.tell("%d +d" % port)
    two.wait("+D\n")
    wires.heal()
    one.tell("%d +e" % port)
    wait_until(lambda: one.said().endswith("+E\n"), "it is healed")
    equal(server.said(), "up\n+a+d+e", "what the server got")


@test
def a_silent_link_delivers_late_and_one_way_silence_lets_requests_through(bench):
    wires, server, port = server_behind_a_front(bench)
    client = Program(bench, "client", CLIENT)
    client.tell("%d +a" % port)
    client.wait("+A\n")
    wires.set("client", "server", NO_ANSWERS)
    client.tell("%d b" % port)
    server.wait("up\n+ab")  # the request is there, its answer is not
    equal(client.said(), "+A\n", "what the client has got")
    wires.set("client", "server", OPEN)
    client.wait("+A\nB\n")
    for state in (SILENT, NO_REQUESTS):
        before, got = client.said(), server.said()
        wires.set("client", "server", state)
        client.tell("%d c" % port)
        other = Program(bench, "other" + state, CLIENT)
        other.tell("%d +x" % port)
        other.wait("+X\n")  # so long nothing of the other has come
        equal([client.said(), server.said()], [before, got + "+x"], "what came through")
        wires.heal()
        client.wait(before + "C\n")


@test
def a_delay_is_kept(bench):
    wires, _, port = server_behind_a_front(bench)
    client = Program(bench, "client", CLIENT)
    wires.set("client", "server", OPEN, delay=0.2)
    begin = time.monotonic()
    client.tell("%d +a" % port)
    client.wait("+A\n")
    check(time.monotonic() - begin >= 0.4, "there and back took %.2f s", time.monotonic() - begin)
