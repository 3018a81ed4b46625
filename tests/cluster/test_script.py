# SPDX-License-Identifier: MIT
"""scripts/start_cluster.sh, as a user runs it (but for the build)."""

import http.server
import json
import os
import re
import shlex
import socket
import subprocess
import threading
import time

from cluster import (BIN, ROOT, SLOW, Skip, check, equal, free_ports, group, missing,
                     request, test, wait_until)

SCRIPT = os.path.join(ROOT, "scripts", "start_cluster.sh")


class Run:
    def __init__(self, *arguments, env=None):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KAMAITACHI_")}
        # Nothing answers there: the script must start an etcd of its own.
        environment["KAMAITACHI_ETCD_ENDPOINTS"] = "127.0.0.1:1"
        environment.update(env or {})
        done = subprocess.run([SCRIPT] + list(arguments), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=environment, timeout=300, check=False)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.all = self.out + self.err


class Started:
    """What the bench asks of a process: whatever the tests left is stopped with their group."""
    name = "start_cluster"

    def __init__(self, folder):
        self.dir = folder

    def terminate(self):
        Run("--stop", "--data-dir", self.dir)

    def faults_in_log(self):
        return []

    def log(self):
        return ""


def needs_bin():
    if os.path.realpath(BIN) != os.path.realpath(os.path.join(ROOT, "bin")):
        raise Skip("only with the executables in bin/")


def pids_of(folder):
    """{name: pid} of what a data directory remembers."""
    folder = os.path.join(folder, "pids")
    pids = {}
    for name in sorted(os.listdir(folder) if os.path.isdir(folder) else []):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            pids[name] = int(file.read().split()[0])
    return pids


@test
def an_etcd_that_answers_is_used_and_its_prefix_cleaned(bench):
    needs_bin()
    etcd = bench.etcd()
    etcd.put("/kamaitachi2/other", "kept")
    folder = os.path.join(bench.dir, "data")
    bench.processes.append(Started(folder))
    env = {"KAMAITACHI_ETCD_ENDPOINTS": etcd.addr}
    run = Run("--no-build", "--no-sample", "-n", "1", "--data-dir", folder, "--base-port",
              str(free_ports(70)), env=env)
    equal(run.status, 0, "exit status (%s)" % run.all)
    equal(sorted(pids_of(folder)), ["gateway.pid", "master.pid", "slave.pid"], "processes")
    equal(len(etcd.config()["members"]), 2, "members")
    equal(Run("--clean", "--data-dir", folder).status, 0, "exit status of --clean")
    equal(etcd.get_prefix("/kamaitachi"), {"/kamaitachi2/other": ("kept", 0)}, "what is left")


@test
def three_etcd_members_are_started_and_one_may_die(bench):
    needs_bin()
    folder = os.path.join(bench.dir, "data")
    bench.processes.append(Started(folder))
    flags = ["--no-build", "--no-sample", "-n", "1", "--data-dir", folder]
    run = Run(*flags, "--etcd", "3", "--base-port", str(free_ports(70)))
    equal(run.status, 0, "exit status (%s)" % run.all)
    pids = pids_of(folder)
    equal(len(pids), 6, "processes")
    os.kill(pids["etcd2.pid"], 9)
    run = Run(*flags)
    equal(run.status, 0, "exit status (%s)" % run.all)
    again = pids_of(folder)
    equal([name for name in pids if pids[name] != again[name]], ["etcd2.pid"], "restarted")


@test
def a_start_that_fails_shows_the_log_and_leaves_nothing_running(bench):
    needs_bin()
    folder = os.path.join(bench.dir, "data")
    # A directory stands where the slave's database should.
    os.makedirs(os.path.join(folder, "nodes", "slave", "slave.db"))
    with open(os.path.join(folder, ".kamaitachi-cluster"), "w", encoding="utf-8"):
        pass
    bench.processes.append(Started(folder))
    run = Run("--no-build", "--data-dir", folder, "--base-port", str(free_ports(70)))
    equal(run.status, 1, "exit status (%s)" % run.all)
    check("slave.log" in run.err and "slave.db" in run.err, "the log's tail: %s", run.err)
    equal(pids_of(folder), {}, "what is left running")


@test
def packages_go_by_the_names_of_the_system(_bench):
    wanted = {
        "dnf": "dnf -q -y --setopt=install_weak_deps=False install gcc glibc-devel sqlite-devel "
               "xxhash-devel inih-devel etcd",
        "pacman": "pacman -S --needed --noconfirm --noprogressbar gcc glibc sqlite xxhash libinih "
                  "etcd",
    }
    for manager, command in wanted.items():
        # Nothing is there, and the manager only says what it was asked for.
        script = """
            root=$1; . "$root/scripts/lib/common.sh"; . "$root/scripts/lib/install.sh"
            package_manager() { printf '%%s' %(manager)s; }
            is_installed() { return 1; }
            id() { printf 0; }
            %(manager)s() { printf '%%s %%s\n' %(manager)s "$*" >&3; }
            exec 3>&1; PATH=/nowhere
            mktemp() { printf /dev/null; }; rm() { :; }; tail() { :; }
            install_packages gcc libc6-dev libsqlite3-dev libxxhash-dev libinih-dev etcd-client \
                etcd-server
        """ % {"manager": manager}
        # With a compiler of one's own, CC, no other is installed.
        env = {name: value for name, value in os.environ.items() if name != "CC"}
        done = subprocess.run(["/bin/bash", "-c", script, "names", ROOT], capture_output=True, env=env,
                              text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        equal(done.returncode, 0, "exit status (%s)" % done.stderr)
        equal(done.stdout.splitlines()[-1], command, "what %s is asked for" % manager)


@test
def files_of_a_configuration_directory_come_first(bench):
    needs_bin()
    folder, config = os.path.join(bench.dir, "data"), os.path.join(bench.dir, "my conf")
    bench.processes.append(Started(folder))
    os.mkdir(config)
    flags = ["--no-build", "--no-sample", "--data-dir", folder, "--base-port", str(free_ports(70))]

    run = Run(*flags, "--config-dir", config)
    equal(run.status, 2, "exit status with an empty directory (%s)" % run.all)
    check("holds no master.ini" in run.err, "it says %s", run.err)
    equal(Run(*flags, "--config-dir", config + "x").status, 2, "exit status without a directory")

    slave = os.path.join(config, "slave.ini")
    with open(slave, "w", encoding="utf-8") as file:
        file.write("[server]\nport = 1\nservice_name = mine\n[limits]\nsubject = 3\n")
    run = Run(*flags, "--config-dir", config)
    equal(run.status, 1, "exit status with an unknown key (%s)" % run.all)
    check("slave.ini:5" in run.err, "file and line of the mistake: %s", run.err)
    equal(pids_of(folder), {}, "what was started")

    with open(slave, "w", encoding="utf-8") as file:
        file.write("[server]\nport = 1\n[limits]\nsubjects = 3\n")
    run = Run(*flags, "--config-dir", config)
    equal(run.status, 0, "exit status (%s)" % run.all)
    base = int(flags[-1])
    body = {"subjects": ["a", "b", "c", "d"]}
    for port, status in ((base + 1, 200), (base + 2, 413), (base + 3, 413)):
        equal(request("127.0.0.1:%d" % port, "POST", "/kamaitachi/api/data/v1/snapshot",
                      body).status, status, "status at %d" % port)
    # The directory is remembered, and forgotten when told so.
    equal(Run("--restart", *flags).status, 0, "exit status of --restart")
    equal(request("127.0.0.1:%d" % (base + 2), "POST", "/kamaitachi/api/data/v1/snapshot",
                  body).status, 413, "status after a restart")
    equal(Run("--restart", *flags, "--config-dir", "").status, 0, "exit status of --restart")
    equal(request("127.0.0.1:%d" % (base + 2), "POST", "/kamaitachi/api/data/v1/snapshot",
                  body).status, 200, "status with conf/ again")


class Stub:
    """Two data nodes and a gateway of one process (this one), as far as --promote asks them."""

    def __init__(self, bench, settings=""):
        self.base = free_ports(3)
        self.dir = os.path.join(bench.dir, "stub")
        self.leader = self.base + 1
        self.asked = []  # (port, body, Authorization) of each /cluster/failover
        self.refusal = None
        os.makedirs(os.path.join(self.dir, "pids"))
        config = os.path.join(self.dir, "my")
        os.mkdir(config)
        for name in ("gateway", "master", "slave"):
            with open(os.path.join(config, name + ".ini"), "w", encoding="utf-8") as file:
                file.write(settings)
        with open("/proc/self/stat", encoding="utf-8") as file:
            started = file.read().rpartition(")")[2].split()[19]
        for name in ("gateway", "master", "slave"):
            with open(os.path.join(self.dir, "pids", name + ".pid"), "w", encoding="utf-8") as file:
                file.write("%d %s\n" % (os.getpid(), started))
        with open(os.path.join(self.dir, ".kamaitachi-cluster"), "w", encoding="utf-8"):
            pass
        with open(os.path.join(self.dir, "cluster.env"), "w", encoding="utf-8") as file:
            file.write("masters=1\nslaves=1\nbase_port=%d\netcd_kind=external\netcd_count=1\n"
                       "etcd_endpoints=127.0.0.1:1\nprefix=/x\nconfig_dir=%s\n" % (
                           self.base, config))
        self.servers = []
        for port in range(self.base, self.base + 3):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers.append(server)
        bench.cleanups.append(self.stop)

    def stop(self, *ports):
        for server in self.servers:
            if not ports or server.server_address[1] in ports:
                server.shutdown()
                server.server_close()

    def _handler(self):
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, data):
                body = json.dumps({"status_code": 0 if status == 200 else status,
                                   "status_msg": "success" if status == 200 else data,
                                   "data": data}, separators=(",", ":")).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer(200, {"address": "127.0.0.1:%d" % stub.leader,
                                  "leader": "127.0.0.1:%d" % stub.leader,
                                  "is_leader": self.server.server_address[1] == stub.leader})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.asked.append((self.server.server_address[1], body,
                                   self.headers["Authorization"]))
                if stub.refusal:
                    self.answer(409, stub.refusal)
                else:
                    stub.leader = int(body["to"].rpartition(":")[2])
                    self.answer(200, {})

            def log_message(self, *_):
                pass

        return Handler


@test
def a_promotion_is_asked_of_the_gateway_else_of_the_leader(bench):
    stub = Stub(bench, "[auth]\nadmin_token = operators-only-0123456789\n")
    bearer = "Bearer operators-only-0123456789"
    base, to_slave = stub.base, {"to": "127.0.0.1:%d" % (stub.base + 2)}

    run = Run("--promote", "slave", "--data-dir", stub.dir)
    equal(run.status, 0, "exit status (%s)" % run.all)
    check(re.search(r"^slave leads now, after \d+ ms \(before: master\)$", run.out, re.M),
          "it says %s", run.out)
    equal(stub.asked, [(base, to_slave, bearer)], "what the gateway was asked")
    check(not os.path.exists(os.path.join(stub.dir, "auth.header")), "the token is left behind")
    run = Run("--promote", "127.0.0.1:%d" % (base + 2), "--data-dir", stub.dir)
    equal((run.status, run.out), (0, "slave leads already\n"), "who leads already")

    stub.refusal = "master is not in sync"
    run = Run("--promote", "master1", "--data-dir", stub.dir)
    equal(run.status, 1, "exit status of a refusal (%s)" % run.all)
    equal(run.err, "error: gateway refused: master is not in sync\n", "what it says")

    stub.refusal = None
    stub.stop(base)
    del stub.asked[:]
    run = Run("--promote", "master", "--data-dir", stub.dir)
    equal(run.status, 0, "exit status without the gateway (%s)" % run.all)
    equal(stub.asked, [(base + 2, {"to": "127.0.0.1:%d" % (base + 1)}, bearer)],
          "what the leader was asked")


@group
class StartCluster:
    def setup(self, bench):
        needs_bin()
        if not os.access("/usr/bin/setsid", os.X_OK):
            missing("script", "no setsid")
        self.base = free_ports(70)
        self.dir = os.path.join(bench.dir, "data dir")
        self.flags = ["--no-build", "--data-dir", self.dir, "--base-port", str(self.base)]
        bench.processes.append(Started(self.dir))

    def _pids(self):
        return pids_of(self.dir)

    def a_port_held_by_a_stranger_is_named_and_nothing_is_left(self):
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", self.base + 2))
            stranger.listen()
            run = Run(*self.flags)
        equal(run.status, 1, "exit status (%s)" % run.all)
        check("process %d" % os.getpid() in run.err and str(self.base + 2) in run.err,
              "it says %s", run.err)
        equal(Run("--status", "--data-dir", self.dir).status, 1, "exit status of --status")

    def one_command_starts_everything_with_data(self):
        run = Run(*self.flags)
        equal(run.status, 0, "exit status (%s)" % run.all)
        commands = re.findall(r"^ +(curl .*)$", run.out, re.M)
        equal(len(commands), 2, "curl lines")
        answers = [json.loads(subprocess.run(shlex.split(line), capture_output=True, check=True,
                                             timeout=60).stdout) for line in commands]
        equal([a["status_code"] for a in answers], [0, 0], "status codes")
        equal(answers[0]["total"], 5000, "total")
        equal(len(answers[1]["data"]), 2, "subjects in the second answer")
        self.pids = self._pids()
        equal(sorted(self.pids), ["etcd1.pid", "gateway.pid", "master.pid", "slave.pid",
                                  "slave2.pid"], "processes")

    def the_second_run_is_quick_and_starts_nothing(self):
        for _ in range(3):  # a busy machine gets three tries
            start = time.monotonic()
            run = Run(*self.flags)
            took = time.monotonic() - start
            equal(run.status, 0, "exit status (%s)" % run.all)
            equal(self._pids(), self.pids, "processes")
            if took <= 5:
                break
        check(took <= 5 * SLOW, "the third further run took %.2f s", took)
        equal(Run("--status", "--data-dir", self.dir).status, 0, "exit status of --status")

    def the_pressure_test_finds_every_answer_right(self):
        script = os.path.join(ROOT, "scripts", "pressure_test.sh")
        done = subprocess.run(
            [script, "--no-build", "-requests", "500", "-concurrent", "20", "-target",
             "http://127.0.0.1:%d/data" % self.base], capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=120, check=False)
        equal(done.returncode, 0, "exit status (%s)" % (done.stdout + done.stderr))
        equal(re.findall(r"^(\w+) +500 ", done.stdout, re.M),
              ["multi", "newest", "paged", "at_date"], "scenarios in the table")

    def another_clusters_prefix_is_refused_and_named(self):
        other = self.dir + "2"
        run = Run("--no-build", "--data-dir", other, "--base-port", str(free_ports(70)),
                  "--etcd-endpoints", "127.0.0.1:%d" % (self.base + 51))
        equal(run.status, 1, "exit status (%s)" % run.all)
        with open(os.path.join(self.dir, "cluster.id"), encoding="utf-8") as file:
            check(file.read().strip() in run.err, "it says %s", run.err)

    def a_node_that_died_is_started_again(self):
        os.kill(self.pids["slave2.pid"], 9)
        run = Run(*self.flags)
        equal(run.status, 0, "exit status (%s)" % run.all)
        pids = self._pids()
        changed = [name for name in pids if pids[name] != self.pids[name]]
        equal(changed, ["slave2.pid"], "restarted processes")

    def one_process_is_killed_and_started_again(self):
        before = self._pids()
        for name, port in (("slave", 2), ("gateway", 0), ("etcd1", 51)):
            run = Run("--kill", name, "--data-dir", self.dir)
            equal(run.status, 0, "exit status of --kill (%s)" % run.all)
            check("killed %s (process %d, 127.0.0.1:%d)\n" % (
                name, before[name + ".pid"], self.base + port) in run.out, "it says %s", run.out)
            check("--start " + name in run.out, "how to go on: %s", run.out)
            wait_until(lambda name=name: not os.path.exists("/proc/%d" % before[name + ".pid"]),
                       "%s is gone" % name)
            run = Run("--status", "--data-dir", self.dir)
            equal(run.status, 1, "exit status of --status (%s)" % run.all)
            check(re.search(r"^%s +\S+ +- .* not running$" % name, run.out, re.M),
                  "--status says %s", run.out)
            equal(Run("--kill", name, "--data-dir", self.dir).status, 1, "killed twice")
            run = Run("--start", "127.0.0.1:%d" % (self.base + port), "--data-dir", self.dir)
            equal(run.status, 0, "exit status of --start (%s)" % run.all)
        after = self._pids()
        equal(sorted(name for name in before if before[name] != after[name]),
              ["etcd1.pid", "gateway.pid", "slave.pid"], "new processes")
        run = Run("--start", "slave", "--data-dir", self.dir)
        equal((run.status, run.out), (0, "slave runs already\n"), "started twice")

    def wrong_nodes_are_refused(self):
        for words, said in ((("--kill", "slave3"), "but etcd1 master slave slave2 gateway"),
                            (("--promote", "gateway"), "but master slave slave2"),
                            (("--start", "127.0.0.1:1"), "there is no '127.0.0.1:1' here"),
                            (("--kill",), "--kill wants a value"),
                            (("--kill", ""), "--kill wants the name")):
            run = Run("--data-dir", self.dir, *words)
            equal(run.status, 2, "exit status of %s (%s)" % (" ".join(words), run.all))
            check(said in run.err, "it says %s", run.err)
        other = self.dir + "4"
        run = Run("--kill", "master", "--data-dir", other)
        equal((run.status, run.out), (1, "no cluster in %s\n" % other), "without a cluster")

    def the_status_shows_who_leads_and_how_far_everyone_is(self):
        nodes = ("master", "slave", "slave2")

        def level():
            leader = request("127.0.0.1:%d" % self.base, "GET", "/cluster/leader").data()
            run = Run("--status", "--data-dir", self.dir)
            rows = {row[0]: row for row in map(str.split, run.out.splitlines()) if len(row) > 3}
            equal(len({rows[name][5] for name in nodes}), 1, "revisions in %s" % run.out)
            roles = {rows[name][1]: rows[name][3] for name in nodes}
            equal({addr: role for addr, role in roles.items() if role == "leader"},
                  {leader["address"]: "leader"}, "leaders in %s" % run.out)
            check("leader: %s, epoch %d, " % (leader["address"], leader["epoch"]) in run.out,
                  "the leader's line: %s", run.out)
            return run.status == 0
        wait_until(level, "all are well and level", 20)

    def _leader(self):
        """The name of who leads, as the status says it, and who else there is, once all is well."""
        names = {"127.0.0.1:%d" % (self.base + port): name
                 for port, name in ((1, "master"), (2, "slave"), (3, "slave2"))}

        def settled():
            run = Run("--status", "--data-dir", self.dir)
            found = re.search(r"^leader: (\S+), epoch \d+, 3 of 3 in sync$", run.out, re.M)
            return run.status == 0 and found and names[found.group(1)]
        leader = wait_until(settled, "three nodes are well and in sync", 40)
        return leader, [name for name in names.values() if name != leader]

    def _save(self):
        """A write through the gateway; its revision."""
        return request("127.0.0.1:%d" % self.base, "POST", "/data/kamaitachi/api/data/v1/save",
                       {"records": [{"subject": "script", "time": "2026-01-01",
                                     "data": {"n": 1}}]}, timeout=30 * SLOW).data()["revision"]

    def the_lead_is_handed_over_also_past_a_node_of_higher_priority(self):
        # The master, of higher priority, once took the lead that slave handed to slave2.
        for to in ("slave", "slave2"):
            before, others = self._leader()
            if to not in others:
                continue
            run = Run("--promote", to, "--data-dir", self.dir)
            equal(run.status, 0, "exit status of --promote (%s)" % run.all)
            check(re.search(r"^%s leads now, after \d+ ms \(before: %s\)$" % (to, before), run.out,
                            re.M), "it says %s", run.out)
            equal(self._leader()[0], to, "who leads")
            self._save()

    def another_node_leads_when_the_leader_is_killed(self):
        before, others = self._leader()
        revision = self._save()
        run = Run("--kill", before, "--data-dir", self.dir)
        equal(run.status, 0, "exit status of --kill (%s)" % run.all)
        check("It led." in run.out, "it says %s", run.out)
        check(self._save() > revision, "the write after the failover has no later revision")
        equal(Run("--start", before, "--data-dir", self.dir).status, 0, "exit status of --start")
        check(self._leader()[0] in others, "%s leads again by itself", before)

    def restart_keeps_the_data(self):
        equal(Run("--restart", *self.flags).status, 0, "exit status of --restart")
        answer = request("127.0.0.1:%d" % self.base, "POST",
                         "/data/kamaitachi/api/data/v1/snapshot", {"topic": "stock_a_listing_pool"})
        equal(answer.json()["total"], 5000, "total")

    def a_third_slave_joins_at_the_next_start(self):
        equal(Run("--stop", "--data-dir", self.dir).status, 0, "exit status of --stop")
        run = Run(*self.flags, "-n", "3")
        equal(run.status, 0, "exit status (%s)" % run.all)
        answer = request("127.0.0.1:%d" % (self.base + 4), "POST",
                         "/kamaitachi/api/data/v1/snapshot", {"topic": "stock_a_listing_pool"})
        equal(answer.json()["total"], 5000, "total at the third slave")

    def clean_removes_what_is_ours_alone(self):
        other = self.dir + "3"
        os.mkdir(other)
        with open(os.path.join(other, "mine"), "w", encoding="utf-8"):
            pass
        equal(Run("--clean", "--data-dir", other).status, 1, "exit status without a marker")
        check(os.path.exists(os.path.join(other, "mine")), "a stranger's directory was removed")
        pids = self._pids()
        equal(Run("--clean", "--data-dir", self.dir).status, 0, "exit status of --clean")
        check(not os.path.exists(self.dir), "the directory is still there")
        for pid in pids.values():
            wait_until(lambda pid=pid: not os.path.exists("/proc/%d" % pid),
                       "process %d is gone" % pid)
