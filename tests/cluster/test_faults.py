# SPDX-License-Identifier: MIT
"""What must go on while something fails: reads without etcd, reads across epochs."""

import contextlib
import socket
import threading
import time

from cluster import Load, Node, check, equal, free_ports, test, wait_until

SLOW_TESTS = ["reads_go_on_without_etcd_when_the_lease_has_run_out",
              "a_new_epoch_costs_readers_nothing",
              "a_new_epoch_of_the_same_leader_costs_readers_nothing"]
TTL = 3  # as the harness sets it


def save(server, subject, value=1):
    return server.save(records=[{"subject": subject, "time": "2024-01-01",
                                 "data": {"x": value}}])["revision"]


@test
def reads_go_on_without_etcd_when_the_lease_has_run_out(bench):
    """The only node: nobody else could answer."""
    cluster = bench.cluster(slaves=0)
    save(cluster.gateway, "s")
    cluster.etcd.terminate()
    cluster.master.expected_log = cluster.gateway.expected_log = []
    wait_until(lambda: not cluster.master.info()["is_leader"], "the master steps down", 2 * TTL)
    end = time.monotonic() + 1.5  # longer than the gateway needs to look at its node twice

    def still_answers():
        equal(cluster.gateway.snapshot(ids="x")["total"], 1, "total without etcd")
        check(cluster.master.is_well(), "the master takes reads")
        return time.monotonic() > end
    wait_until(still_answers, "reads go on")
    answer = cluster.gateway.data_post("save", {"records": []}, {"X-Kamaitachi-Timeout-Ms": "500"})
    equal([answer.status, answer.headers.get("x-kamaitachi-outcome")], [503, "none"],
          "status and outcome of a write")
    check("etcd" in cluster.master.health()["waiting_for"], "/health says what it waits for")
    cluster.etcd.start()
    wait_until(lambda: cluster.gateway.data_post("save", {"records": [
        {"subject": "t", "time": 1, "data": {"x": 1}}]}).status == 200, "a write is taken", 4 * TTL)


def epochs_under_reads(cluster, same):
    """All nodes change their leader at one moment, and none of them may go out of service."""
    save(cluster.gateway, "s")
    cluster.wait_level()
    with Load(cluster.gateway, 300, {"ids": "x"}) as load:
        for _ in range(3):
            cluster.wait_in_sync(cluster.nodes[:1 if same else 2])
            leader = cluster.leader()
            epoch = leader.health()["epoch"]
            cluster.etcd.revoke(cluster.etcd.lease_of(leader.addr))
            wait_until(lambda before=epoch: all(node.health()["epoch"] > before
                                                for node in cluster.nodes), "a new epoch", 3 * TTL)
            equal(cluster.leader() is leader, same, "the same one leads")
            wait_until(lambda: cluster.gateway.data_post("save", {"records": [
                {"subject": "t", "time": 1, "data": {"x": 1}}]}).status == 200,
                "a write is taken", 3 * TTL)
    equal(load.failures[:3], [], "%d of %d reads failed" % (load.failed, load.done))


@test
def a_new_epoch_costs_readers_nothing(bench):
    epochs_under_reads(bench.cluster(slaves=1), same=False)


@test
def a_new_epoch_of_the_same_leader_costs_readers_nothing(bench):
    epochs_under_reads(bench.cluster(slaves=1, slaves_lead=False), same=True)


class SlowWire:
    """A port that leads to a server's, over which its answers come so many bytes a second."""

    def __init__(self, bench, port, rate):
        self.target, self.rate = port, rate
        self.ending = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", free_ports(1)))
        self.addr = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        bench.cleanups.append(self.end)

    def end(self):
        """Nothing new comes; what is on its way comes at once."""
        self.ending.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while not self.ending.is_set():
            with contextlib.suppress(OSError):
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                for pair in ((client, server, None), (server, client, self.rate)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source, to, rate):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if rate:
                    self.ending.wait(len(data) / rate)
                to.sendall(data)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@test
def a_large_entry_gets_through_a_slow_wire(bench):
    """It takes longer than a fetch may be silent, and can't be asked for in parts."""
    etcd = bench.etcd()
    port = free_ports(1)
    wire = SlowWire(bench, port, 3 << 20)
    master = Node(bench, "master", etcd, port=port, server_service_addr=wire.addr)
    slave = Node(bench, "slave", etcd)
    master.start()
    slave.start()
    lines = b"".join(b"s%d,%d,%d.25,%d.75\n" % (i % 1000, 1000000 + i, i, i * 7)
                     for i in range(450000))
    answer = master.data_post("import?atomic=1", b"subject,time,a,b\n" + lines)
    equal(answer.status, 200, "status of the import")
    slave.wait_revision(answer.data()["revision"], 60)
