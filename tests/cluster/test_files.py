# SPDX-License-Identifier: MIT
"""The files of a data node: damaged ones, and what is left beside them."""

import glob
import os
import shutil

from cluster import check, equal, test, wait_until


def save(server, subject, value=1):
    return server.save(records=[{"subject": subject, "time": 86400, "data": {"v": value}}])


def beside(node, pattern):
    return glob.glob(os.path.join(node.dir, pattern))


@test
def a_damaged_database_is_refused_and_with_rejoin_copied_anew(bench):
    """The node stays who it was; what was damaged is kept; the copy leaves nothing else."""
    cluster = bench.cluster(slaves=1, gateway=False)
    cluster.hand_to(cluster.master)
    save(cluster.master, "s:1")
    cluster.wait_level()
    slave = cluster.slaves[0]
    mine = [one["id"] for one in cluster.etcd.config()["members"] if one["addr"] == slave.addr]
    slave.terminate()
    with open(slave.environment["KAMAITACHI_STORE_DB"], "r+b") as data:
        data.write(b"?" * 4096)
    slave.expected_log = [" error "]
    slave.launch()
    check(slave.wait_exit(20) != 0, "it does not start")
    check("node.db" in slave.log() and "not a database" in slave.log(), "it says which file: %s",
          slave.log()[-500:])
    equal(beside(slave, "*.diverged-*"), [], "nothing is put aside unasked")
    save(cluster.master, "s:2")

    slave.flags = ["-rejoin"]
    slave.launch()
    slave.wait_well(60)
    cluster.wait_level(60)
    check("as -rejoin asks for" in slave.log(), "it says what it did")
    equal(len(beside(slave, "node.db.diverged-*")), 1, "the damaged file is kept")
    equal(len(beside(slave, "node.log.db.diverged-*")), 1, "and its log")
    equal(beside(slave, "*.copy"), [], "nothing else of the copy is left")
    wait_until(lambda: [one["id"] for one in cluster.etcd.config()["members"]
                        if one["addr"] == slave.addr] == mine, "it is the same member")
    wait_until(lambda: mine[0] in cluster.etcd.config()["in_sync"], "it is in sync again", 30)
    cluster.ask_all("snapshot", {"subjects": ["s:1", "s:2"], "ids": ["v"]})
    # The flag does nothing where nothing is wrong.
    slave.terminate()
    slave.start()
    equal(len(beside(slave, "node.db.diverged-*")), 1, "one file is kept, as before")


@test
def a_node_without_its_log_says_that_it_must_start_empty(bench):
    """Who it is stands in the log: without it even -rejoin can't help."""
    cluster = bench.cluster(slaves=1, gateway=False)
    cluster.hand_to(cluster.master)
    save(cluster.master, "s:1")
    cluster.wait_level()
    slave = cluster.slaves[0]
    slave.terminate()
    os.remove(os.path.join(slave.dir, "node.log.db"))
    slave.expected_log = [" error "]
    slave.flags = ["-rejoin"]
    slave.launch()
    check(slave.wait_exit(20) != 0, "it does not start")
    check("start it with an empty database" in slave.log(), "it says what to do: %s",
          slave.log()[-500:])
    shutil.rmtree(slave.dir)
    os.makedirs(slave.dir)
    slave.launch()
    slave.wait_well(60)
    cluster.wait_level(60)
    cluster.ask_all("snapshot", {"subjects": ["s:1"], "ids": ["v"]})
