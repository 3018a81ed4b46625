# SPDX-License-Identifier: MIT
"""What must go on while something fails: reads without etcd, reads across epochs."""

import time

from cluster import Load, check, equal, test, wait_until

SLOW_TESTS = ["reads_go_on_without_etcd_when_the_lease_has_run_out",
              "a_new_epoch_costs_readers_nothing"]
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
    equal(cluster.gateway.data_post("save", {"records": []}).status, 503, "status of a write")
    check("lease" in cluster.master.health()["waiting_for"], "/health says what it waits for")
    cluster.etcd.start()
    wait_until(lambda: cluster.gateway.data_post("save", {"records": [
        {"subject": "t", "time": 1, "data": {"x": 1}}]}).status == 200, "a write is taken", 4 * TTL)


@test
def a_new_epoch_costs_readers_nothing(bench):
    """All nodes change their leader at one moment, and none of them may go out of service."""
    cluster = bench.cluster(slaves=1)
    save(cluster.gateway, "s")
    cluster.wait_level()
    with Load(cluster.gateway, 300, {"ids": "x"}) as load:
        for _ in range(3):
            epoch = cluster.master.health()["epoch"]
            cluster.etcd.revoke(cluster.etcd.lease_of(cluster.master.addr))
            wait_until(lambda: cluster.master.health()["epoch"] > epoch and
                       cluster.slaves[0].health()["epoch"] > epoch, "a new epoch", 3 * TTL)
            wait_until(lambda: cluster.gateway.data_post("save", {"records": [
                {"subject": "t", "time": 1, "data": {"x": 1}}]}).status == 200,
                "a write is taken", 3 * TTL)
    equal(load.failures[:3], [], "%d of %d reads failed" % (load.failed, load.done))
