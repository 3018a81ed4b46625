# SPDX-License-Identifier: MIT
"""What a process refuses at its start, and what it is without a cluster."""

import os
import socket
import subprocess

from cluster import BIN, Node, Gateway, check, equal, free_ports, test, wait_until


def refused_start(node, *words):
    """Starts a node that must end with status 1, its last words holding these."""
    node.expected_log = [r" error "]
    node.launch()
    status = node.wait_exit()
    log = node.log()
    equal(status, 1, "exit status (%s)" % log[-600:])
    for word in words:
        check(word in log, "the log says nothing of %r: %s", word, log[-600:])


@test
def a_second_process_on_one_database_names_the_holder(bench):
    first = Node(bench, "master", None).start()
    db = first.environment["KAMAITACHI_STORE_DB"]
    second = Node(bench, "slave", None, store_db=db)
    refused_start(second, str(first.popen.pid), db)
    equal(first.is_well(), True, "the first is well")


@test
def a_port_that_is_taken_is_named(bench):
    with socket.socket() as stranger:
        port = free_ports(1)
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        refused_start(Node(bench, "master", None, port=port), str(port))
        etcd = bench.etcd()
        refused_start(Gateway(bench, "gateway", etcd, port=port), str(port))


@test
def standalone_answers_and_survives_kill(bench):
    node = Node(bench, "master", None).start()
    equal(node.info()["standalone"], True, "standalone")
    for i in range(5):
        node.save(records=[{"subject": "s%d" % i, "time": i, "data": {"x": i}}])
    before = node.data_post("snapshot", {"ids": "x"})
    node.kill()
    node.start()
    after = node.data_post("snapshot", {"ids": "x"})
    equal(after.body, before.body, "the answer after a kill")
    node.save(records=[{"subject": "s9", "time": 1, "data": {"x": 1}}])
    equal(node.snapshot(ids="x")["total"], 6, "total")


@test
def standalone_waits_for_nobody_whatever_is_set_for_clusters(bench):
    node = Node(bench, "master", None, cluster_expect=3, cluster_electable="false").start()
    equal(node.info()["is_leader"], True, "is_leader")
    node.save(records=[{"subject": "s", "time": 1, "data": {"x": 1}}])


@test
def a_database_of_a_cluster_does_not_start_standalone(bench):
    cluster = bench.cluster(slaves=0, gateway=False)
    cluster.master.save(records=[{"subject": "s", "time": 1, "data": {"x": 1}}])
    cluster.master.terminate()
    db = cluster.master.environment["KAMAITACHI_STORE_DB"]
    alone = Node(bench, "master2", None, store_db=db)
    refused_start(alone, "standalone")
    cluster.master.start()


@test
def a_database_of_another_cluster_is_refused(bench):
    cluster = bench.cluster(slaves=0, gateway=False)
    own = cluster.etcd.config()["cluster"]
    cluster.master.terminate()
    db = cluster.master.environment["KAMAITACHI_STORE_DB"]
    etcd = type(cluster.etcd)(bench, "etcd2").start()
    second = Node(bench, "master2", etcd).start()
    theirs = etcd.config()["cluster"]
    check(own != theirs, "two clusters have two ids")
    stranger = Node(bench, "slave", etcd, store_db=db)
    stranger.expected_log = [r" error "]
    stranger.launch()

    def says_so():
        log = stranger.log()
        return own in log and theirs in log
    wait_until(says_so, "the log names both clusters")
    if stranger.is_running():
        check(not stranger.is_well(), "it must not answer as a member")
        stranger.terminate()
    else:
        stranger.wait_exit()
    equal(second.is_well(), True, "the second cluster is well")
    equal([m["addr"] for m in etcd.config()["members"]], [second.addr], "members")


@test
def a_standalone_database_may_found_a_cluster_and_keeps_its_data(bench):
    node = Node(bench, "master", None).start()
    node.save(records=[{"subject": "s", "time": 1, "data": {"x": 1}}])
    node.terminate()
    etcd = bench.etcd()
    founder = Node(bench, "master2", etcd,
                   store_db=node.environment["KAMAITACHI_STORE_DB"]).start()
    slave = Node(bench, "slave", etcd).start()
    slave.wait_revision(founder.revision())
    equal(slave.snapshot(ids="x")["total"], 1, "total at the slave")


@test
def a_torn_database_is_refused_and_named(bench):
    node = Node(bench, "master", None).start()
    node.save(records=[{"subject": "s", "time": 1, "data": {"x": 1}}])
    node.terminate()
    db = node.environment["KAMAITACHI_STORE_DB"]
    other = Node(bench, "master2", None).start()
    other.terminate()
    # The log of another node beside this one's data: identities differ.
    os.replace(other.environment["KAMAITACHI_STORE_DB"][:-3] + ".log.db", db[:-3] + ".log.db")
    refused_start(Node(bench, "master3", None, store_db=db), "node.db", "node.log.db")


@test
def an_interrupt_from_the_keyboard_stops_cleanly(bench):
    import signal
    node = Node(bench, "master", None).start()
    node.signal(signal.SIGINT)
    equal(node.wait_exit(), 0, "exit status")


@test
def the_sample_market_is_the_same_everywhere(_bench):
    def market(*flags):
        return subprocess.run([os.path.join(BIN, "sample_data")] + list(flags), check=True,
                              capture_output=True, text=True).stdout
    lines = market().split("\n")
    equal(lines[0].split(",")[7:], [
        "operating_income", "parent_holder_net_profit", "total_operating_cost", "net_profit",
        "operating_profit", "total_profit"], "indicators")
    rows = [line.split(",") for line in lines[1:] if line]
    equal(len({row[0] for row in rows}), 5000, "subjects")
    equal(len({row[4] for row in rows}), 16, "quarters")
    keys = {row[0] for row in rows}
    for i in range(9, 17):
        check("33:%08d" % i in keys, "33:%08d is not there", i)
    check(any("\u4e00" <= c <= "\u9fff" for row in rows for c in row[1]), "no Chinese name")
    check(any(cell.startswith("-") for row in rows for cell in row[7:]), "no losses")
    check(any(cell == "" for row in rows for cell in row[7:]), "no gaps in a row")
    check(len(rows) < 80000, "no missing reports")
    equal(market(), "\n".join(lines), "a second run")
    few = market("-subjects", "3")
    check("\n".join(lines).startswith(few.rstrip("\n")), "a smaller market is not the beginning")
    check(market("-format", "ndjson", "-subjects", "1").startswith('{"subject":{'), "ndjson")
