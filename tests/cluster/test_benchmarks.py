# SPDX-License-Identifier: MIT
"""The tools in bench/ and the harness that compares, run briefly: that they work and what they count,
never how fast anything is."""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys

from cluster import BIN, ROOT, Skip, check, equal, group, request, test, wait_until, SLOW

SLOW_TESTS = ["measures_lines_and_writes_the_report", "an_interrupted_run_leaves_nothing_running"]
PLAIN_TESTS = SLOW_TESTS  # Python's business

HARNESS = os.path.join(ROOT, "bench", "harness", "main.py")


def tools():
    """Where bench's programs are: beside the executables' build directory."""
    build = os.path.join(ROOT, "build") if BIN == os.path.join(ROOT, "bin") else os.path.dirname(BIN)
    return os.path.join(build, "bench")


def tool(name):
    path = os.path.join(tools(), name)
    if not os.access(path, os.X_OK):
        raise Skip("%s is not built" % path)
    return path


def run(command, status=0):
    """Its output; its exit status must be that."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120 * SLOW, check=False)
    check(done.returncode == status, "%s ended with %d: %s", os.path.basename(command[0]),
          done.returncode, (done.stdout + done.stderr)[-600:])
    return done.stdout


@group
class SyncLatency:
    def setup(self, bench):
        self.dir = bench.dir
        self.path = tool("sync_latency")
        self.cluster = bench.cluster(slaves=2, gateway=False)

    def _measure(self, *flags, status=0):
        return run([self.path, "-leader", self.cluster.master.addr, "-slaves",
                    ",".join(slave.addr for slave in self.cluster.slaves), "-probe-dir", self.dir,
                    "-writes", "150", "-rate", "500"] + list(flags), status)

    def _check(self, said):
        equal((said["writes"], said["acked"], said["failed"], said["lost"]), (150, 150, 0, 0),
              "writes, acknowledged, failed, lost")
        equal([slave["addr"] for slave in said["slaves"]],
              [slave.addr for slave in self.cluster.slaves], "the slaves")
        everywhere = said["all"]["from_send_ms"]
        equal(everywhere["count"], 150, "writes seen on every slave")
        for slave in said["slaves"]:
            times = slave["from_send_ms"]
            equal(times["count"], 150, "writes seen on one slave")
            check(0 < times["min"] <= times["p50"] <= times["p90"] <= times["p95"] <= times["p99"]
                  <= times["max"] <= everywhere["max"], "times out of order: %s", times)
            check(slave["after_ack_ms"]["max"] <= times["max"], "after ack is later than from send")

    def sees_every_write_by_its_value(self):
        before = self.cluster.master.stats()["total_records"]
        self._check(json.loads(self._measure("-json", "-")))
        self.cluster.wait_level()
        equal(self.cluster.master.stats()["total_records"], before, "records that stay")

    def sees_every_write_by_revision_and_keeps_what_it_wrote_if_told(self):
        before = self.cluster.master.stats()["total_records"]
        out = os.path.join(self.dir, "sync.json")
        text = self._measure("-by", "revision", "-keep", "-json", out)
        check("on every slave, after ack" in text, "no table: %s", text)
        with open(out, encoding="utf-8") as file:
            self._check(json.load(file))
        equal(self.cluster.master.stats()["total_records"], before + 150, "records")
        equal(sorted(os.listdir(self.dir + "/slave")).count("sync.json"), 0, "stray files")

    def refuses_flags_that_it_does_not_know_and_says_what_it_wants(self):
        for flags in (["-writes", "0"], ["-rate", "x"], ["-by", "luck"], ["-nonsense", "1"]):
            self._measure(*flags, status=2)
        run([self.path], status=2)
        check("usage" in run([self.path, "-help"]), "no help")

    def a_slave_that_is_gone_has_lost_the_writes(self):
        gone = self.cluster.slaves[1]
        gone.kill()
        said = json.loads(self._measure("-json", "-", "-wait", "1", status=1))
        equal([slave["lost"] for slave in said["slaves"]], [0, 150], "lost")
        equal(said["acked"], 150, "acknowledged")
        equal(said["all"]["from_send_ms"]["count"], 0, "seen everywhere")
        gone.start()


@test
def the_bare_servers_send_the_file_that_they_are_given(bench):
    tool("peers/bare_civetweb")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Mine: yes\r\n\r\n{\"a\":1}"
    path = os.path.join(bench.dir, "answer")
    with open(path, "wb") as file:
        file.write(answer)
    for name in ("bare_civetweb", "bare_epoll"):
        program = os.path.join(tools(), "peers", name)
        with subprocess.Popen([program, "-port", "0", "-answer", path], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True) as process:
            try:
                addr = process.stdout.readline().split()[-1]
                for body in (b"", b"x" * 10, b"y" * 100000):
                    got = request(addr, "POST", "/any", body)
                    equal((got.status, got.headers.get("x-mine"), got.body),
                          (200, "yes", b"{\"a\":1}"), "the answer of " + name)
                process.send_signal(signal.SIGTERM)
                equal(process.wait(10 * SLOW), 0, "exit status of " + name)
            finally:
                process.kill()


@test
def raw_sqlite_writes_what_an_import_would(bench):
    path = os.path.join(bench.dir, "market.csv")
    with open(path, "wb") as file:
        subprocess.run([os.path.join(BIN, "sample_data"), "-subjects", "50"], stdout=file,
                       check=True, timeout=60)
    database = os.path.join(bench.dir, "raw.db")
    said = json.loads(run([tool("raw_sqlite"), "-csv", path, "-db", database]))
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(",") for line in file][1:]
    equal(said["records"], len(rows), "records")
    equal(said["values"], sum(cell != "" for row in rows for cell in row[7:]), "values")
    import sqlite3
    connection = sqlite3.connect(database)
    equal(connection.execute("SELECT count(*) FROM version").fetchone()[0], len(rows), "rows")
    equal(connection.execute("SELECT count(*) FROM subject").fetchone()[0], 50, "subjects")
    data, = connection.execute("SELECT data FROM version WHERE subject=1 ORDER BY time").fetchone()
    equal(json.loads(data)["operating_income"], float(rows[0][7]), "the first value")
    connection.close()


@test
def microbench_measures_every_operation_and_leaves_nothing(bench):
    folder = os.path.join(bench.dir, "micro")
    said = json.loads(run([tool("microbench"), "-quick", "-json", "-subjects", "100", "-dir", folder]))
    names = [line.split()[0] for line in run([tool("microbench"), "-list"]).splitlines()]
    equal([op["name"] for op in said["operations"]], names, "operations")
    for op in said["operations"]:
        check(op["ns"] > 0 and op["iterations"] > 0, "not measured: %s", op)
    equal(os.listdir(folder), [], "what is left")
    run([tool("microbench"), "-op", "nonsense"], status=2)


@test
def instructions_are_counted_alike_twice(bench):
    if not shutil.which("valgrind"):
        raise Skip("no valgrind in PATH")
    if os.path.realpath(BIN) != os.path.realpath(os.path.join(ROOT, "bin")):
        raise Skip("valgrind does not run what a sanitizer was built into")
    tool("microbench")
    counts = []
    for _ in range(2):
        said = json.loads(run([os.path.join(ROOT, "bench", "instructions.sh"), "--json", "--quick",
                               "--op", "request_hash", "--tools", tools(), "--dir", bench.dir]))
        equal([op["name"] for op in said["operations"]], ["request_hash"], "operations")
        counts.append(said["operations"][0]["instructions"])
    check(counts[0] > 10 and counts[0] == counts[1], "counted %s", counts)
    equal(glob.glob(os.path.join(bench.dir, "kt_instructions.*")), [], "what is left")


def harness(bench, *flags):
    return [sys.executable, HARNESS, "--bin", BIN, "--tools", tools(), "--dir", bench.dir, "--out",
            os.path.join(bench.dir, "out", "report.md")] + list(flags)


@test
def measures_lines_and_writes_the_report(bench):
    for name in ("raw_sqlite", "sync_latency", "peers/bare_civetweb"):
        tool(name)
    lines = ["memory", "bulk_import", "visible", "near_cache_hit"] + (
        ["snapshot_small"] if shutil.which("wrk") else [])
    flags = [word for line in lines for word in ("--only", line)]
    text = run(harness(bench, "--quick", *flags))
    with open(os.path.join(bench.dir, "out", "report.json"), encoding="utf-8") as file:
        results = json.load(file)
    measured = {line["name"]: line for line in results["lines"]}
    equal(sorted(measured), sorted(lines), "lines")
    built = [name for name in lines if name != "near_cache_hit"]
    for name in built:
        equal(measured[name]["status"], "measured", "%s: %s" % (name, measured[name].get("reason")))
    equal(measured["near_cache_hit"]["status"], "not built", "near_cache_hit")
    imported = measured["bulk_import"]["contenders"]
    values = {sample["requests"] for who in imported.values() for sample in who["rounds"]}
    equal(len(values), 1, "numbers of values that were imported")
    equal(measured["visible"]["contenders"]["visible on both slaves"]["rounds"][0]["lost"], 0, "lost")
    with open(os.path.join(bench.dir, "out", "report.md"), encoding="utf-8") as file:
        report = file.read()
    for name in lines:
        check("### %s\n" % name in report, "%s is not in the report", name)
    check(bench.dir not in report and ROOT + "/" not in report, "the report names this machine's paths")
    check("done after" in text, "it printed %s", text)
    equal(sorted(os.listdir(bench.dir)), ["out"], "what is left")

    # --only leaves the other lines as they were.
    run(harness(bench, "--quick", "--only", "memory"))
    with open(os.path.join(bench.dir, "out", "report.json"), encoding="utf-8") as file:
        again = {line["name"]: line for line in json.load(file)["lines"]}
    equal(sorted(again), sorted(lines), "lines after --only")
    equal(again["bulk_import"]["contenders"], imported, "the line that was not measured again")


@test
def a_line_that_fails_says_why_and_does_not_stop_the_rest(bench):
    tool("microbench")
    flags = harness(bench, "--quick", "--only", "memory", "--only", "micro")
    flags[flags.index("--bin") + 1] = bench.dir  # no executables there
    text = run(flags, status=1)
    check("failed: " in text and "master is not built" in text, "it printed %s", text)
    with open(os.path.join(bench.dir, "out", "report.json"), encoding="utf-8") as file:
        states = {line["name"]: line["status"] for line in json.load(file)["lines"]}
    equal(states, {"memory": "failed", "micro": "measured"}, "states")


def processes_in(folder):
    """Pids of processes whose working directory lies below a directory."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cwd"):
        try:
            if os.readlink(path).startswith(folder + "/"):
                found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


@test
def an_interrupted_run_leaves_nothing_running(bench):
    tool("sync_latency")
    for number in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(harness(bench, "--rounds", "50", "--only", "visible"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as process:
            try:
                wait_until(lambda: len(processes_in(bench.dir)) >= 4, "a cluster runs", 60)
                process.send_signal(number)
                text, _ = process.communicate(timeout=90 * SLOW)
            finally:
                process.kill()
        equal(process.returncode, 130, "exit status: %s" % text)
        check("interrupted after" in text, "it printed %s", text)
        equal(processes_in(bench.dir), [], "processes that still run")
        equal(sorted(os.listdir(bench.dir)), ["out"], "what is left")
