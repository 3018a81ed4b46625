# SPDX-License-Identifier: MIT
"""What operators ask of a cluster, and what nodes without etcd ask of the others."""

from cluster import Node, check, equal, test


@test
def detach_makes_a_member_a_cluster_of_its_own(bench):
    cluster = bench.cluster(slaves=1, gateway=False)
    cluster.master.save(records=[{"subject": "s1", "time": 1, "data": {"x": 1}}])
    cluster.wait_level()
    slave = cluster.slaves[0]
    before = slave.info()
    slave.terminate()

    slave.environment["KAMAITACHI_ETCD_ENDPOINTS"] = cluster.etcd.addr
    slave.flags = ["-detach"]
    slave.expected_log = [r" error "]
    slave.launch()
    equal(slave.wait_exit(), 1, "status of -detach with etcd")
    check("[etcd] endpoints" in slave.log(), "the log does not say why: %s", slave.log()[-600:])

    slave.environment["KAMAITACHI_ETCD_ENDPOINTS"] = ""
    slave.environment["KAMAITACHI_CLUSTER_EXPECT"] = "1"
    slave.start()
    alone = slave.info()
    check(alone["node_id"] != before["node_id"], "the node has kept its id")
    check(alone["cluster"] != before["cluster"], "the node is still of its cluster")
    equal((alone["standalone"], alone["is_leader"]), (True, True), "standalone, is_leader")
    slave.save(records=[{"subject": "s2", "time": 1, "data": {"x": 2}}])
    equal(slave.snapshot(ids="x")["total"], 2, "subjects")

    # The flag may stay: a second start changes nothing, and without it neither.
    for flags in (["-detach"], []):
        slave.terminate()
        slave.flags = flags
        slave.start()
        equal(slave.info()["cluster"], alone["cluster"], "cluster after a restart")
        equal(slave.info()["node_id"], alone["node_id"], "node after a restart")

    # The old cluster does not take it back, and goes on.
    slave.terminate()
    slave.environment["KAMAITACHI_ETCD_ENDPOINTS"] = cluster.etcd.addr
    slave.launch()
    slave.wait_answers()
    cluster.master.save(records=[{"subject": "s3", "time": 1, "data": {"x": 3}}])
    equal(cluster.master.snapshot(ids="x")["total"], 2, "subjects of the old cluster")
    equal(slave.snapshot(ids="x")["total"], 2, "subjects of the detached node")
    check(slave.info()["cluster"] == alone["cluster"], "it has joined the old cluster")
