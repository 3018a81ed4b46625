#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Links between processes that can be cut: one TCP proxy in a process of its own.

Every server that others reach over a link has a *front*: a port whose connections are carried to
the server's own. A node announces its front (`[server] service_addr`) and listens at its port;
nodes and gateways are given etcd's front as endpoint. Who has opened a connection is seen from the
kernel's tables (the owner of the socket among the children of the process that tests, by its
working directory), so that one front serves all and each pair of processes has links of its own, in
both directions, also after restarts. Linux only, but neither root nor namespaces.

A link (from who connects, to whose front) is in one of these states:

- open
- reset: connections break with RST, new ones too
- silent: nothing is carried any more, as with a firewall that drops. What was sent waits in the
  buffers and arrives when the link is opened again, as TCP would repeat it: late, and from who may
  have ended since.
- no_answers, no_requests: the same in one direction. The request arrives and is done, its answer
  not.

and may have a delay in seconds for each piece, either way.
"""

import collections
import contextlib
import errno
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import time

OPEN, RESET, SILENT, NO_ANSWERS, NO_REQUESTS = (
    "open", "reset", "silent", "no_answers", "no_requests")
_STOPS_REQUESTS = (SILENT, NO_REQUESTS)
_STOPS_ANSWERS = (SILENT, NO_ANSWERS)
HELD = 1 << 20  # bytes that one direction of a connection holds at most


# --- inside the proxy's process ------------------------------------------------------------------

class _Owners:
    """Who has opened a connection: the name of the directory in which a child of `parent` runs."""

    def __init__(self, parent):
        self.parent = parent
        self.children = []  # as they were last looked at
        try:
            self.diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)  # NETLINK_SOCK_DIAG
            self.diag.settimeout(1)
        except OSError:
            self.diag = None

    def of(self, port, peer_port):
        inode = self._inode(port, peer_port)
        if not inode:
            return None
        name = "socket:[%d]" % inode
        found = self._find(name)
        if found is None:
            self.children = _children(self.parent)
            found = self._find(name)
        return found

    def _find(self, name):
        for pid in self.children:
            folder = "/proc/%d/fd/" % pid
            with contextlib.suppress(OSError):
                for number in os.listdir(folder):
                    with contextlib.suppress(OSError):
                        if os.readlink(folder + number) == name:
                            return os.path.basename(os.readlink("/proc/%d/cwd" % pid))
        return None

    def _inode(self, port, peer_port):
        """Of the socket at the other end, by sock_diag(7): one look-up. The table in /proc is read
        where there is none; it holds what lingers of other people's connections too, and may be
        long."""
        if self.diag:
            try:
                return self._ask_diag(port, peer_port)
            except OSError:
                self.diag = None
        with open("/proc/net/tcp", encoding="ascii") as table:
            local, remote = ":%04X" % port, ":%04X" % peer_port
            for line in table:
                words = line.split()
                if words[1].endswith(local) and words[2].endswith(remote):
                    return int(words[9])
        return 0

    def _ask_diag(self, port, peer_port):
        here = socket.inet_aton("127.0.0.1") + bytes(12)
        body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xffffffff)
        body += struct.pack("!HH", port, peer_port) + here + here
        body += struct.pack("=III", 0, 0xffffffff, 0xffffffff)
        self.diag.send(struct.pack("=IHHII", 16 + len(body), 20, 1, 0, 0) + body)
        answer = self.diag.recv(4096)
        kind = struct.unpack_from("=H", answer, 4)[0]
        if kind == 20:  # SOCK_DIAG_BY_FAMILY; the inode ends struct inet_diag_msg
            return struct.unpack_from("=I", answer, 16 + 68)[0]
        error = -struct.unpack_from("=i", answer, 16)[0]
        if error == errno.ENOENT:
            return 0
        raise OSError(error, "sock_diag")


def _children(parent):
    pids = []
    try:
        for task in os.listdir("/proc/%d/task" % parent):
            with open("/proc/%d/task/%s/children" % (parent, task), encoding="ascii") as file:
                pids += [int(word) for word in file.read().split()]
    except OSError:
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                with open("/proc/%d/stat" % int(entry), encoding="latin-1") as file:
                    if int(file.read().rsplit(")", 1)[1].split()[1]) == parent:
                        pids.append(int(entry))
    return pids


class _Link:
    def __init__(self):
        self.state, self.delay = OPEN, 0.0
        self.carriers = set()


class _Way:
    """One direction of a connection."""

    def __init__(self, source, target, stops):
        self.source, self.target, self.stops = source, target, stops
        self.held = collections.deque()  # (due, bytes)
        self.size = 0
        self.ended = False  # the source has ended its side
        self.passed_on = False  # and the target was told


class _Carrier:
    """A connection through a front."""

    def __init__(self, proxy, link, client, server):
        self.proxy, self.link = proxy, link
        self.sockets = (client, server)
        self.connected = False
        self.ways = (_Way(client, server, _STOPS_REQUESTS), _Way(server, client, _STOPS_ANSWERS))
        link.carriers.add(self)
        proxy.carriers.add(self)

    def watch(self):
        """Asks the selector for what can be done now."""
        now = time.monotonic()
        for sock in self.sockets:
            events = 0
            for way in self.ways:
                flows = self.link.state not in way.stops
                if way.source is sock and flows and not way.ended and way.size < HELD:
                    events |= selectors.EVENT_READ
                if way.target is sock and flows and way.held and way.held[0][0] <= now:
                    events |= selectors.EVENT_WRITE
            if sock is self.sockets[1] and not self.connected:
                events = selectors.EVENT_WRITE
            elif not self.connected:
                events = 0
            self.proxy.watch(sock, events, self)

    def act(self, sock, events):
        try:
            if not self.connected:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return self.close(reset=True)
                self.connected = True
            for way in self.ways:
                if way.source is sock and events & selectors.EVENT_READ:
                    self._read(way)
                if way.target is sock and events & selectors.EVENT_WRITE:
                    self._write(way)
            if all(way.passed_on for way in self.ways):
                return self.close()
        except BlockingIOError:
            pass
        except OSError:
            return self.close(reset=True)
        return self.watch()

    def _read(self, way):
        piece = way.source.recv(65536)
        if piece:
            way.held.append((time.monotonic() + self.link.delay, piece))
            way.size += len(piece)
        else:
            way.ended = True
        if not self.link.delay:
            self._write(way)

    def _write(self, way):
        now = time.monotonic()
        while way.held and way.held[0][0] <= now:
            due, piece = way.held.popleft()
            try:
                sent = way.target.send(piece)
            except BlockingIOError:
                sent = 0
            way.size -= sent
            if sent < len(piece):
                way.held.appendleft((due, piece[sent:]))
                break
        if way.ended and not way.held and not way.passed_on:
            way.passed_on = True
            way.target.shutdown(socket.SHUT_WR)

    def next_due(self):
        return min((way.held[0][0] for way in self.ways
                    if way.held and self.link.state not in way.stops), default=None)

    def close(self, reset=False):
        for sock in self.sockets:
            self.proxy.watch(sock, 0, self)
            if reset:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.link.carriers.discard(self)
        self.proxy.carriers.discard(self)


class _Proxy:
    def __init__(self, parent):
        self.owners = _Owners(parent)
        self.selector = selectors.DefaultSelector()
        self.links = collections.defaultdict(_Link)  # (from, to) -> its state
        self.carriers = set()
        self.rest = b""

    def watch(self, sock, events, data):
        try:
            key = self.selector.get_key(sock)
        except (KeyError, ValueError):
            if events:
                self.selector.register(sock, events, data)
            return
        if not events:
            self.selector.unregister(sock)
        elif key.events != events:
            self.selector.modify(sock, events, data)

    def run(self):
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, None)
        while True:
            dues = [due for due in (carrier.next_due() for carrier in self.carriers
                                    if carrier.link.delay) if due is not None]
            pause = max(0.0, min(dues) - time.monotonic()) if dues else 60.0
            for key, events in self.selector.select(pause):
                if key.data is None:
                    if not self._orders():
                        return
                elif isinstance(key.data, _Carrier):
                    if key.data in self.carriers:
                        key.data.act(key.fileobj, events)
                else:
                    self._accept(key.fileobj, *key.data)
            for carrier in [one for one in self.carriers if one.link.delay]:
                carrier.watch()

    def _orders(self):
        piece = os.read(0, 65536)
        if not piece:
            return False
        lines = (self.rest + piece).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            order = json.loads(line)
            if "front" in order:
                listener = socket.create_server(("127.0.0.1", order["port"]), backlog=256)
                listener.setblocking(False)
                self.selector.register(listener, selectors.EVENT_READ,
                                       (order["front"], order["port"], order["target"]))
            else:
                self._set(order)
            os.write(1, b"\n")
        return True

    def _set(self, order):
        link = self.links[order["from"], order["to"]]
        link.state, link.delay = order["state"], order["delay"]
        for carrier in list(link.carriers):
            if link.state == RESET:
                carrier.close(reset=True)
            else:
                carrier.watch()

    def _accept(self, listener, name, port, target):
        try:
            client, (_, client_port) = listener.accept()
        except OSError:
            return
        link = self.links[self.owners.of(client_port, port), name]
        server = socket.socket()
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.connect_ex(("127.0.0.1", target))
        carrier = _Carrier(self, link, client, server)
        if link.state == RESET:
            carrier.close(reset=True)
        else:
            carrier.watch()


# --- in the process that tests -------------------------------------------------------------------

class Wires:
    """The proxy and what is cut. Who connects and whose front it is are named by processes'
    names."""

    def __init__(self, bench):
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.changed = set()
        bench.cleanups.append(self.end)

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _order(self, **order):
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != b"\n":
            raise OSError("the proxy has ended with status %s" % self.process.wait(10))

    def front(self, name, port, target):
        """Connections to port go to target; the front's address."""
        self._order(front=name, port=port, target=target)
        return "127.0.0.1:%d" % port

    def set(self, source, to, state, delay=0.0):
        """One link; it has the state when this returns."""
        self._order(**{"from": source, "to": to, "state": state, "delay": delay})
        if state == OPEN and not delay:
            self.changed.discard((source, to))
        else:
            self.changed.add((source, to))

    def cut(self, ones, others, state=SILENT):
        """Every link between one of these and one of those, whoever connects."""
        for one in ones:
            for other in others:
                self.set(one, other, state)
                self.set(other, one, state)

    def heal(self):
        for source, to in sorted(self.changed):
            self.set(source, to, OPEN)


if __name__ == "__main__":
    _Proxy(int(sys.argv[1])).run()
