# SPDX-License-Identifier: MIT
"""bench/pressure_test: counts what happened, calls wrong what is wrong, and always ends."""

import csv
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading

from cluster import BIN, SLOW, Gateway, check, equal, free_ports, group, missing, test, wait_until

PROGRAM = os.path.join(BIN, "pressure_test")
SNAPSHOT = {"method": "POST", "path": "/kamaitachi/api/data/v1/snapshot", "body": {"limit": 1}}


class Run:
    """The program with a JSON report; runs to its end unless `wait` is False."""

    def __init__(self, bench, *arguments, wait=True):
        if not os.access(PROGRAM, os.X_OK):
            missing("pressure_test", "%s is not built" % PROGRAM)
        self.path = os.path.join(bench.dir, "report%d.json" % free_ports(1))
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:exitcode=99",
                           UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:exitcode=99")
        # pylint: disable=consider-using-with
        self.popen = subprocess.Popen(
            [PROGRAM, "-json", self.path] + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        bench.cleanups.append(self.kill)
        if wait:
            self.finish()

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()

    def finish(self, deadline=60):
        self.out, self.err = self.popen.communicate(timeout=deadline * SLOW)
        self.status = self.popen.returncode
        try:
            with open(self.path, encoding="utf-8") as file:
                self.report = json.load(file)
        except FileNotFoundError:
            self.report = None
        return self

    def only(self):
        check(self.report is not None, "no report; %s", self.err)
        equal(len(self.report["runs"]), 1, "scenarios in the report")
        return self.report["runs"][0]


def file_of(bench, *requests):
    path = os.path.join(bench.dir, "requests%d.ndjson" % free_ports(1))
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(request) + "\n" for request in requests)
    return path


# --- servers that answer wrongly -----------------------------------------------------------------

def answer(body, status="200 OK", more=""):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return ("HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n" % (
        status, len(body), more)).encode() + body


RIGHT = {"status_code": 0, "status_msg": "success", "data": [], "total": 0}


class FakeServer:
    """Gives reply(n) to its nth request: bytes, or None for silence; `then` says what comes of the
    connection: keep, close, reset."""

    def __init__(self, bench, reply, then="keep"):
        self.reply, self.then = reply, then
        self.count = 0
        self.lock = threading.Lock()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = free_ports(1)
        self.socket.bind(("127.0.0.1", self.port))
        self.socket.listen(200)
        self.url = "http://127.0.0.1:%d" % self.port
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()
        bench.cleanups.append(self.stop)

    def stop(self):
        for one in [self.socket] + self.open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            while self._read(connection):
                with self.lock:
                    self.count += 1
                    number = self.count
                reply = self.reply(number)
                if reply is None:
                    continue
                connection.sendall(reply)
                if self.then == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                          struct.pack("ii", 1, 0))
                if self.then != "keep":
                    connection.close()
                    return
        except OSError:
            pass

    @staticmethod
    def _read(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return False
            data += piece
        head, body = data.split(b"\r\n\r\n", 1)
        length = re.search(rb"Content-Length: (\d+)", head)
        left = int(length.group(1)) - len(body) if length else 0
        while left > 0:
            left -= len(connection.recv(left))
        return True


def expect_wrong(bench, kind, reply, then="keep", *arguments):
    server = FakeServer(bench, lambda _: reply, then)
    run = Run(bench, "-target", server.url, "-requests-file", file_of(bench, SNAPSHOT),
              "-requests", 20, "-concurrent", 4, *arguments)
    result = run.only()
    equal(run.status, 1, "exit status (%s)" % run.err)
    equal(result["wrong"], {kind: 20}, "wrong answers (%s)" % result["examples"])
    equal((result["requests"], result["right"]), (20, 0), "requests and right ones")
    check("/snapshot" in result["examples"][kind], "the example is %s", result["examples"])
    check("e.g. POST" in run.out, "the report shows an example: %s", run.out)
    return result


@test
def each_wrong_answer_is_counted_as_what_it_is(bench):
    whole = answer(RIGHT)
    expect_wrong(bench, "reset", b"", "close")
    expect_wrong(bench, "reset", b"", "reset")
    expect_wrong(bench, "half", whole[:-5], "close")
    expect_wrong(bench, "half", whole[:30], "close")
    expect_wrong(bench, "half", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close")
    expect_wrong(bench, "bad_http", b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    expect_wrong(bench, "bad_http", whole + b"x")
    expect_wrong(bench, "status_4xx", answer(RIGHT, "404 Not Found"))
    expect_wrong(bench, "status_5xx", answer(RIGHT, "503 Service Unavailable"))
    expect_wrong(bench, "status_other", answer(RIGHT, "302 Found"))
    expect_wrong(bench, "not_json", answer(b'{"status_code":0,"data":[01]}'))
    expect_wrong(bench, "not_json", answer(b'{"status_code":0,"data":[]'))
    expect_wrong(bench, "status_code", answer(dict(RIGHT, status_code=500)))


@test
def a_silent_server_runs_into_the_timeout(bench):
    result = expect_wrong(bench, "timeout", None, "keep", "-timeout", 0.2)
    check(result["latency_us"]["min"] >= 200000, "waited for %s", result["latency_us"])
    half = expect_wrong(bench, "timeout", answer(RIGHT)[:-5], "keep", "-timeout", 0.2)
    check("did not end" in half["examples"]["timeout"], "it says %s", half["examples"])


@test
def nobody_there_is_refused_and_given_up(bench):
    run = Run(bench, "-target", "http://127.0.0.1:%d" % free_ports(1), "-requests-file",
              file_of(bench, SNAPSHOT), "-requests", 100000, "-give-up", 1)
    result = run.only()
    equal(run.status, 1, "exit status")
    check(result["gave_up"] and result["wrong"]["refused"] == result["requests"] > 0,
          "the report is %s", result["wrong"])
    check(result["elapsed_s"] < 10 * SLOW, "it took %s s", result["elapsed_s"])


def row(subject, value):
    return {"subject": {"subject": subject, "name": "", "status": "", "listing_date": "",
                        "category": ""},
            "data": {"x": value}, "report_date": 0, "end_date": "1970-01-01", "period": "",
            "declare_date": ""}


NAMED = ("-scenario", "newest", "-subjects", "s:1", "-ids", "x", "-requests", 20, "-concurrent", 4)


@test
def an_answer_about_another_subject_has_the_wrong_shape(bench):
    server = FakeServer(bench, lambda _: answer(dict(RIGHT, data=[row("s:2", 1)], total=1)))
    run = Run(bench, "-target", server.url, *NAMED)
    equal(run.status, 1, "exit status")
    equal(run.only()["wrong"], {"wrong_shape": 20}, "wrong answers")


@test
def values_that_a_second_source_has_otherwise_are_wrong(bench):
    def giving(value):
        return FakeServer(bench, lambda _: answer(dict(RIGHT, data=[row("s:1", value)], total=1),
                                                  more="X-Kamaitachi-Revision: 7\r\n")).url
    first = giving(1.5)
    run = Run(bench, "-target", first, "-verify", giving(1.5), *NAMED)
    equal(run.status, 0, "exit status (%s)" % run.out)
    equal(run.only()["verified"], {"answers": 20, "bodies": run.only()["verified"]["bodies"],
                                   "writes": 0, "skipped": 0}, "what was compared")
    run = Run(bench, "-target", first, "-verify", giving(1.25), *NAMED)
    equal(run.status, 1, "exit status")
    equal(run.only()["wrong"], {"wrong_value": 20}, "wrong answers")
    equal(run.only()["right"], 0, "right answers")
    check("data[0].data.x" in run.only()["examples"]["wrong_value"], "it says %s",
          run.only()["examples"])


@test
def a_connection_closed_after_each_answer_is_no_failure(bench):
    server = FakeServer(bench, lambda _: answer(RIGHT, more="Connection: close\r\n"), "close")
    run = Run(bench, "-target", server.url, "-requests-file", file_of(bench, SNAPSHOT),
              "-requests", 50, "-concurrent", 5)
    equal(run.status, 0, "exit status (%s)" % run.out)
    check(run.only()["connections"] >= 50, "connections made: %s", run.only()["connections"])


@test
def an_answer_that_was_right_once_is_read_again_when_it_changes(bench):
    broken = answer(dict(RIGHT, data=[row("s:2", 1)], total=1))
    right = answer(dict(RIGHT, data=[row("s:1", 1)], total=1))
    server = FakeServer(bench, lambda number: broken if number % 4 == 0 else right)
    run = Run(bench, "-target", server.url, *NAMED[:-2], "-concurrent", 1)
    equal(run.only()["wrong"], {"wrong_shape": 5}, "wrong answers")
    equal(run.only()["right"], 15, "right answers")


@test
def by_plan_a_stall_is_paid_by_all_that_waited_for_it(bench):
    never = threading.Event()

    def reply(number):
        if number == 50:
            never.wait(1.0)
        return answer(RIGHT)
    flags = ("-requests-file", file_of(bench, SNAPSHOT), "-concurrent", 1, "-timeout", 30)
    planned = Run(bench, "-target", FakeServer(bench, reply).url, "-rate", 100, "-requests", 200,
                  *flags).only()
    closed = Run(bench, "-target", FakeServer(bench, reply).url, "-requests", 200, *flags).only()
    equal((planned["right"], closed["right"]), (200, 200), "right answers")
    # One in two hundred saw the stall; a hundred were due within it, half of them early in it.
    check(planned["latency_us"]["p90"] > 400000, "by plan: %s", planned["latency_us"])
    check(closed["latency_us"]["max"] > 900000, "closed loop: %s", closed["latency_us"])
    if SLOW == 1:
        check(closed["latency_us"]["p95"] < 400000, "closed loop: %s", closed["latency_us"])


@test
def bad_flags_are_refused_by_name(bench):
    for arguments, word in ((["-requests", "many"], "-requests"), (["-scenario", "x"], "-scenario"),
                            (["-requests-file", "/nowhere"], "/nowhere"), (["-what"], "-what")):
        run = Run(bench, *arguments)
        equal(run.status, 1 if "nowhere" in word else 2, "exit status of %s" % arguments)
        check(word in run.err, "it says %s", run.err)


# --- a live cluster ------------------------------------------------------------------------------

def csv_of_market(subjects=80, quarters=8):
    lines = ["subject,name,date,period,topic,alpha,beta,gamma,delta"]
    for s in range(subjects):
        for q in range(s % 3, quarters):
            lines.append("m:%03d,Name %d,%d-%02d-28,Q%d,pool,%d.5,%d,%d.25,%d" % (
                s, s, 2020 + q // 4, q % 4 * 3 + 3, q % 4 + 1, s * 7 % 50, q, s + q, s * q))
    return "\n".join(lines) + "\n"


@group
class LiveCluster:
    def setup(self, bench):
        self.bench = bench
        self.cluster = bench.cluster(slaves=2)
        self.gateway = self.cluster.gateway
        self.gateway.bring("format=csv&subject=subject&name=name&time=date&period=period"
                           "&topic=topic", csv_of_market())
        self.cluster.wait_level()
        self.url = "http://%s/data" % self.gateway.addr

    def _run(self, *arguments, **keywords):
        return Run(self.bench, "-target", self.url, *arguments, **keywords)

    def _counters(self):
        stats = self.gateway.get("/kamaitachi/api/data/v1/stats").data()
        return ({n["node"]: n["http"]["requests"] for n in stats["per_node"]},
                stats["gateway"]["reads"], stats["gateway"]["writes"])

    def _scenario(self, name, writes=False):
        nodes, reads, written = self._counters()
        run = self._run("-scenario", name, "-duration", 1, "-concurrent", 8, "-repeat", 60)
        equal(run.status, 0, "exit status (%s)" % (run.out + run.err))
        result = run.only()
        after, reads_after, written_after = self._counters()
        equal(result["right"], result["requests"], "right answers")
        check(result["requests"] > 10, "%s requests in a second", result["requests"])
        equal(sum(node["right"] for node in result["nodes"]), result["right"], "sum of the nodes")
        for node in result["nodes"]:
            check(after[node["node"]] - nodes[node["node"]] >= node["right"],
                  "node %s counted %d, we %d", node["node"],
                  after[node["node"]] - nodes[node["node"]], node["right"])
        # Beside the load: three listings to learn from, one delete at the end.
        if not writes:
            equal((reads_after - reads, written_after - written), (result["requests"] + 3, 0),
                  "what the gateway passed on")
        else:
            sent = reads_after - reads + written_after - written
            equal(sent, result["requests"] + 4, "what the gateway passed on")
            check(written_after - written > 1, "no writes")
            check("note" not in result, "the note says %s", result.get("note"))
        return result

    def several_subjects_are_asked_for(self):
        result = self._scenario("multi")
        equal((result["number"], result["target"]), (1, 300), "number and target")
        equal(result["passed"], result["rate"] >= 300, "verdict")

    def newest_values_are_asked_for(self):
        self._scenario("2")

    def pages_are_asked_for(self):
        equal(self._scenario("paged")["target"], 10000, "target")

    def a_date_is_asked_for(self):
        self._scenario("at_date")

    def periods_are_asked_for(self):
        self._scenario("period")

    def a_topic_is_asked_for(self):
        self._scenario("topic")

    def records_are_written_and_taken_away_again(self):
        def held():
            stats = self.cluster.master.stats()
            return stats["total_records"], stats["subjects"], stats["indicators"]
        before = held()
        self._scenario("writes", True)
        equal(held(), before, "records, subjects and indicators on the master")

    def reads_and_writes_are_mixed(self):
        self._scenario("mixed", True)

    def a_file_of_requests_is_sent(self):
        path = file_of(self.bench, SNAPSHOT, {"path": "/health"},
                       {"path": "/kamaitachi/api/data/v1/nothing", "status": 404},
                       {"path": "/kamaitachi/api/data/v1/stats", "method": "HEAD"},
                       {"path": "/kamaitachi/api/data/v1/export?format=ndjson"})
        _, reads, _ = self._counters()
        run = self._run("-requests-file", path, "-requests", 200, "-concurrent", 8)
        equal(run.status, 0, "exit status (%s)" % run.out)
        equal((run.only()["requests"], run.only()["distinct"]), (200, 5), "requests, distinct")
        equal(self._counters()[1] - reads, 200, "what the gateway passed on")

    def a_number_of_requests_is_kept_to(self):
        csv_path, html = (os.path.join(self.bench.dir, "r." + e) for e in ("csv", "html"))
        run = self._run("-requests", 333, "-concurrent", 7, "-warmup", 0.3, "-csv", csv_path,
                        "-html", html, "-zipf", 0.99)
        equal(run.status, 0, "exit status (%s)" % run.err)
        equal([r["scenario"] for r in run.report["runs"]], ["multi", "newest", "paged", "at_date"],
              "scenarios")
        equal([r["requests"] for r in run.report["runs"]], [333] * 4, "requests")
        check(all(r["warmup_requests"] > 0 for r in run.report["runs"]), "no warm-up")
        for result in run.report["runs"]:
            verdict = "PASSED" if result["passed"] else "NOT YET"
            check(re.search(r"^%s +333 .* %s$" % (result["scenario"], verdict), run.out, re.M),
                  "the table: %s", run.out)
            latency = [result["latency_us"][p] for p in
                       ("min", "p50", "p90", "p95", "p99", "p99.9", "max")]
            equal(latency, sorted(latency), "percentiles")
        with open(csv_path, encoding="utf-8", newline="") as file:
            equal([(r["scenario"], r["requests"], r["wrong"]) for r in csv.DictReader(file)],
                  [(n, "333", "0") for n in ("multi", "newest", "paged", "at_date")], "the CSV")
        with open(html, encoding="utf-8") as file:
            page = file.read()
        check(page.count("<svg") >= 4 and "<script" not in page, "the page's curves")
        check(not re.search(r"(src|href|url)\s*[=(]", page), "the page fetches something")

    def a_rate_is_kept(self):
        result = self._run("-scenario", "newest", "-rate", 200, "-duration", 2).only()
        equal(result["requests"] + result["unsent"], 400, "planned requests")
        if SLOW == 1:
            equal(result["unsent"], 0, "requests that were never sent")

    def values_are_those_of_another_node_also_while_it_is_written_to(self):
        second = "http://" + self.cluster.slaves[0].addr
        run = self._run("-scenario", "multi,period,mixed", "-requests", 500, "-verify", second)
        equal(run.status, 0, "exit status (%s)" % run.out)
        for result in run.report["runs"]:
            verified = result["verified"]
            equal(verified["skipped"], 0, "answers not compared (%s)" % verified)
            check(verified["answers"] + verified["writes"] > 0, "compared: %s", verified)
        equal(run.report["runs"][2]["verified"]["writes"], 25, "writes read back")

    def an_idempotency_key_goes_along(self):
        run = self._run("-scenario", "writes", "-requests", 100, "-idempotent", "-repeat", 10)
        equal(run.status, 0, "exit status (%s)" % run.out)
        equal(run.only()["right"], 100, "right answers")

    def an_old_report_is_compared_with(self):
        old = self._run("-scenario", "newest", "-requests", 50)
        run = self._run("-scenario", "newest,multi", "-requests", 50, "-compare", old.path)
        equal(run.status, 0, "exit status (%s)" % run.err)
        check(re.search(r"rate +\d+/s -> \d+/s .* (same|better|worse)$", run.out, re.M) and
              re.search(r"^  verdict: ", run.out, re.M) and "is not in it" in run.out,
              "it says %s", run.out)
        run = self._run("-scenario", "newest", "-requests", 50, "-compare", PROGRAM)
        equal(run.status, 1, "exit status with something else to compare with")

    def interrupted_it_reports_what_it_has(self):
        run = self._run("-scenario", "multi,newest", "-duration", 600, wait=False)
        start = self._counters()[1]
        wait_until(lambda: self._counters()[1] > start + 100, "requests arrive", 20)
        run.popen.send_signal(signal.SIGINT)
        run.finish(20)
        equal(run.status, 130, "exit status (%s)" % run.err)
        result = run.only()
        check(result["stopped"] and result["right"] == result["requests"] > 0, "the report: %s",
              run.out)
        check(re.search(r"right of \d+", run.out), "the report: %s", run.out)

    def a_gateway_that_dies_and_comes_back_is_counted(self):
        gateway = Gateway(self.bench, "gateway2", self.cluster.etcd).start()
        gateway.wait_nodes(self.cluster.nodes)
        run = Run(self.bench, "-target", "http://%s/data" % gateway.addr, "-scenario", "newest",
                  "-duration", 600, "-give-up", 600, "-concurrent", 20, wait=False)

        def passed_on():
            return gateway.get("/kamaitachi/api/data/v1/stats").data()["gateway"]["reads"]
        wait_until(lambda: passed_on() > 200, "requests arrive", 20)
        gateway.kill()
        gateway.start()
        wait_until(lambda: passed_on() > 200, "they arrive again", 20)
        run.popen.send_signal(signal.SIGINT)
        result = run.finish(20).only()
        wrong = result["wrong"]
        # With the gateway the connections broke, each within its request or before its next.
        check(sum(wrong.values()) > 0 and set(wrong) <= {"reset", "half", "refused", "status_5xx"},
              "wrong answers: %s", wrong)
        equal(result["right"] + sum(wrong.values()), result["requests"], "outcomes")
        check(result["connections"] > 20, "connections made: %s", result["connections"])

    def a_gateway_that_stays_away_ends_the_run(self):
        gateway = Gateway(self.bench, "gateway3", self.cluster.etcd).start()
        gateway.wait_nodes(self.cluster.nodes)
        run = Run(self.bench, "-target", "http://%s/data" % gateway.addr, "-scenario", "newest",
                  "-duration", 600, "-give-up", 1, "-concurrent", 20, wait=False)
        wait_until(lambda: gateway.get("/kamaitachi/api/data/v1/stats").data()["gateway"]["reads"]
                   > 200, "requests arrive", 20)
        gateway.kill()
        result = run.finish(30).only()
        equal(run.status, 1, "exit status")
        check(result["gave_up"] and result["right"] > 0 and result["wrong"]["refused"] > 0,
              "the report: %s", result["wrong"])
        check("given up" in run.out, "it says %s", run.out)

    def a_node_that_dies_is_no_reason_to_hang(self):
        run = self._run("-scenario", "multi", "-duration", 600, wait=False)
        start = self._counters()[1]
        wait_until(lambda: self._counters()[1] > start + 200, "requests arrive", 20)
        self.cluster.slaves[1].kill()
        self.gateway.wait_nodes(self.cluster.nodes[:2], 20)
        start = self._counters()[1]
        wait_until(lambda: self._counters()[1] > start + 200, "requests still arrive", 20)
        run.popen.send_signal(signal.SIGINT)
        result = run.finish(20).only()
        equal(result["right"] + sum(result["wrong"].values()), result["requests"], "outcomes")
        check(len(result["nodes"]) == 3, "nodes: %s", result["nodes"])
        self.cluster.slaves[1].start()
