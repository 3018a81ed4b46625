# SPDX-License-Identifier: MIT
"""scripts/start_cluster.sh, as a user runs it (but for the build)."""

import json
import os
import re
import shlex
import socket
import subprocess

from cluster import (BIN, ROOT, Skip, check, equal, free_ports, group, measured, missing, request,
                     test)

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
        done = subprocess.run(["/bin/bash", "-c", script, "names", ROOT], capture_output=True,
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
        with measured("the second run", 5):
            run = Run(*self.flags)
        equal(run.status, 0, "exit status (%s)" % run.all)
        equal(self._pids(), self.pids, "processes")
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
        equal(Run("--clean", "--data-dir", self.dir).status, 0, "exit status of --clean")
        check(not os.path.exists(self.dir), "the directory is still there")
        for pid in self.pids.values():
            check(not os.path.exists("/proc/%d" % pid), "process %d still runs", pid)
