# SPDX-License-Identifier: MIT
"""Real processes for tests: etcd, data nodes, gateways, each with a directory and ports of its own.

wait_until is the only wait. When a test ends, every process that still runs gets SIGTERM, must end
with status 0, and its log must hold no error, no assertion and no sanitizer's report, except what
the test said it expects.
"""

import base64
import contextlib
import fcntl
import http.client
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Everything takes longer under a sanitizer, and every deadline is stretched by this.
SLOW = float(os.environ.get("KT_TEST_SLOW") or 1)
BIN = os.path.abspath(os.environ.get("KT_TEST_BIN") or os.path.join(ROOT, "bin"))

API = "/kamaitachi/api/data/v1"
BAD_LOG = re.compile(
    r"^\S+ error |[Aa]ssert|ERROR: \w*Sanitizer|SUMMARY: \w*Sanitizer|runtime error:|"
    r"WARNING: ThreadSanitizer|double free|stack smashing")


class Failure(Exception):
    """A test's expectation did not hold."""


class Skip(Exception):
    """Something that the test wants is missing."""


def missing(what, why):
    """Skips at a desk, fails where KAMAITACHI_REQUIRE names it."""
    if what in os.environ.get("KAMAITACHI_REQUIRE", "").split(","):
        raise Failure("%s is required: %s" % (what, why))
    raise Skip("%s: %s" % (what, why))


def data_file(name):
    folder = os.environ.get("KT_DATA_DIR") or os.path.join(ROOT, "..", "shared", "data")
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        missing("data", "%s is not in %s (KT_DATA_DIR)" % (name, folder))
    return path


def check(condition, what, *args):
    if not condition:
        raise Failure(what % args if args else what)


def equal(actual, expected, what):
    if actual != expected:
        raise Failure("%s is %s, expected %s" % (what, shorten(actual), shorten(expected)))


def shorten(value):
    text = repr(value)
    return text if len(text) < 600 else text[:400] + " … " + text[-150:]


_never = threading.Event()  # whose wait() is the poll's pause


def wait_until(condition, what, deadline=10.0):
    """Polls until condition() is true and returns what it gave; a Failure in it means: not yet."""
    end = time.monotonic() + deadline * SLOW
    last = None
    while True:
        try:
            result = condition()
            if result:
                return result
            last = None
        except (Failure, OSError, http.client.HTTPException) as failure:
            last = failure
        if time.monotonic() >= end:
            raise Failure("%s: not within %.1f s%s" % (
                what, deadline * SLOW, " (%s)" % last if last else ""))
        _never.wait(0.02)


# --- ports ---------------------------------------------------------------------------------------

# Below the range from which the kernel takes ports for outgoing connections. A lock file per port
# keeps tests that run at the same time apart; it is held until this process ends.
PORTS = range(11000, 31000)
_port_locks = []


def free_ports(count):
    """`count` neighbouring ports that nobody listens on; the first of them."""
    folder = os.path.join(tempfile.gettempdir(), "kt_ports.%d" % os.getuid())
    os.makedirs(folder, exist_ok=True)
    while True:
        first = random.choice(PORTS)
        locks = []
        for port in range(first, first + count):
            lock = _lock_port(folder, port)
            if lock is None:
                break
            locks.append(lock)
        if len(locks) == count:
            _port_locks.extend(locks)
            return first
        for lock in locks:
            lock.close()


def _lock_port(folder, port):
    import socket
    lock = open(os.path.join(folder, str(port)), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
        return lock
    except OSError:
        lock.close()
        return None


# --- HTTP ----------------------------------------------------------------------------------------

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Failure("not JSON (%s): %s" % (error, shorten(self.body))) from None

    def data(self):
        """The envelope's data of a 200."""
        envelope = self.json()
        check(self.status == 200 and envelope.get("status_code") == 0,
              "status %s: %s", self.status, shorten(self.body))
        return envelope["data"]

    def error(self):
        return self.json().get("error") or {}


def request(addr, method, path, body=None, headers=None, timeout=None):
    """One request on a connection of its own. A dict or list is sent as JSON."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body, ensure_ascii=False).encode()
        headers.setdefault("Content-Type", "application/json")
    elif isinstance(body, str):
        body = body.encode()
    host, port = addr.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout or 60 * SLOW)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class Server:
    """What answers HTTP: a data node, or a gateway (whose data paths begin with /data)."""
    addr = None
    data_prefix = ""

    def get(self, path, headers=None, timeout=None):
        return request(self.addr, "GET", path, None, headers, timeout)

    def post(self, path, body=None, headers=None, timeout=None):
        return request(self.addr, "POST", path, b"" if body is None else body, headers, timeout)

    def data_get(self, name, headers=None):
        return self.get(self.data_prefix + API + "/" + name, headers)

    def data_post(self, name, body=None, headers=None, timeout=None):
        return self.post(self.data_prefix + API + "/" + name, body, headers, timeout)

    def snapshot(self, **fields):
        answer = self.data_post("snapshot", fields)
        answer.data()
        return answer.json()

    def period(self, **fields):
        answer = self.data_post("period", fields)
        answer.data()
        return answer.json()

    def save(self, **fields):
        return self.data_post("save", fields).data()

    def bring(self, query, body, headers=None):
        """An import; its report."""
        return self.data_post("import?" + query, body, headers, timeout=300 * SLOW).data()

    def stats(self):
        return self.data_get("stats").data()

    def health(self):
        return self.get("/health", timeout=5 * SLOW).json()

    def is_well(self):
        answer = self.get("/health", timeout=5 * SLOW)
        return answer.status == 200 and answer.json()["status"] == "ok"

    def info(self):
        return self.get("/cluster/info", timeout=5 * SLOW).data()


# --- processes -----------------------------------------------------------------------------------

@contextlib.contextmanager
def undisturbed():
    """Signals that end this program wait until the block is left: a process started within it is
    known to who has to end it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread only
        return
    came, before = [], {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            before[number] = signal.signal(number, lambda got, _frame: came.append(got))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


class Process:
    """One program with a directory and a log; may be started again after it ended."""

    def __init__(self, bench, name):
        self.bench, self.name = bench, name
        self.dir = os.path.join(bench.dir, name)
        os.makedirs(self.dir, exist_ok=True)
        self.log_path = os.path.join(bench.dir, name + ".log")
        self.popen = None
        self.expected_log = []  # regular expressions of log lines that are no fault
        self.environment = {}
        bench.processes.append(self)

    def command(self):
        raise NotImplementedError

    def launch(self):
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(("KAMAITACHI_", "ETCD_"))}
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99")
        environment.setdefault("TSAN_OPTIONS", "exitcode=99:halt_on_error=0")
        environment.update(self.environment)
        with open(self.log_path, "ab") as log, undisturbed():
            self.popen = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, cwd=self.dir, env=environment)

    def is_running(self):
        return self.popen is not None and self.popen.poll() is None

    def ended(self):
        return self.popen.poll() is not None

    def signal(self, number):
        check(self.is_running(), "%s does not run any more", self.name)
        self.popen.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()
        self.popen = None

    def terminate(self, deadline=20.0):
        """SIGTERM; the exit status must be 0."""
        if self.popen is None:
            return
        if self.is_running():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.send_signal(signal.SIGTERM)
        try:
            wait_until(self.ended, "%s ends after SIGTERM" % self.name, deadline)
        except Failure:
            self.popen.kill()
            self.popen.wait()
            self.popen = None
            raise
        status, self.popen = self.popen.returncode, None
        equal(status, self.good_exit(status), "exit status of %s" % self.name)

    def good_exit(self, _status):
        return 0

    def wait_exit(self, deadline=10.0):
        """Waits for it to end of itself and gives its exit status."""
        wait_until(self.ended, "%s ends" % self.name, deadline)
        status, self.popen = self.popen.returncode, None
        return status

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def faults_in_log(self):
        expected = [re.compile(pattern) for pattern in self.expected_log]
        return [line for line in self.log().split("\n")
                if BAD_LOG.search(line) and not any(p.search(line) for p in expected)]


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Etcd(Process):
    def __init__(self, bench, name="etcd"):
        super().__init__(bench, name)
        if not shutil.which("etcd"):
            missing("etcd", "no etcd in PATH")
        self.port = free_ports(2)
        self.addr = "127.0.0.1:%d" % self.port
        self.environment = {"ETCD_UNSUPPORTED_ARCH": "arm64"}

    def command(self):
        peer = "http://127.0.0.1:%d" % (self.port + 1)
        client = "http://" + self.addr
        return ["etcd", "--name", "e", "--data-dir", os.path.join(self.dir, "data"),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", "e=" + peer, "--logger", "zap", "--log-level", "error"]

    def start(self):
        self.launch()
        wait_until(self.is_healthy, "etcd is healthy", 20)
        return self

    def is_healthy(self):
        check(self.is_running(), "etcd has ended")
        return b"true" in request(self.addr, "GET", "/health", timeout=2 * SLOW).body

    def faults_in_log(self):
        return []  # etcd's log is its own business

    def good_exit(self, status):
        return status  # so is its exit status

    def call(self, path, body):
        return request(self.addr, "POST", "/v3" + path, body, timeout=10 * SLOW).json()

    def get_prefix(self, prefix="/kamaitachi/"):
        """{key: (value, lease)} below the prefix."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = self.call("/kv/range", {"key": b64(prefix), "range_end": b64(end)})
        return {base64.b64decode(kv["key"]).decode():
                (base64.b64decode(kv.get("value", "")).decode(), int(kv.get("lease", 0)))
                for kv in answer.get("kvs", [])}

    def get(self, key):
        value = self.get_prefix(key).get(key)
        return value[0] if value else None

    def service_key(self, addr):
        """The service key of the process at addr, or None."""
        for key in self.get_prefix("/kamaitachi/services/"):
            if key.endswith("/" + addr):
                return key
        return None

    def lease_of(self, addr):
        for key, (_, lease) in self.get_prefix("/kamaitachi/services/").items():
            if key.endswith("/" + addr):
                return lease
        return 0

    def put(self, key, value):
        return self.call("/kv/put", {"key": b64(key), "value": b64(value)})

    def delete(self, key):
        answer = self.call("/kv/deleterange", {"key": b64(key)})
        equal(int(answer.get("deleted", 0)), 1, "keys deleted at " + key)

    def revoke(self, lease):
        self.call("/lease/revoke", {"ID": str(lease)})

    def config(self):
        text = self.get("/kamaitachi/cluster/config")
        return json.loads(text) if text else None


class Daemon(Process, Server):
    """One of our servers."""
    program = None

    def __init__(self, bench, name, etcd, port=None, flags=(), **settings):
        super().__init__(bench, name)
        path = os.path.join(BIN, self.program)
        check(os.access(path, os.X_OK), "%s is not built", path)
        self.port = port or free_ports(1)
        self.addr = "127.0.0.1:%d" % self.port
        self.flags = list(flags)
        self.environment = {
            "KAMAITACHI_SERVER_PORT": str(self.port),
            "KAMAITACHI_SERVER_SERVICE_ADDR": "127.0.0.1",
            "KAMAITACHI_ETCD_ENDPOINTS": etcd.addr if isinstance(etcd, Etcd) else etcd or "",
            "KAMAITACHI_ETCD_TTL": "3",
        }
        for key, value in settings.items():  # server_port=…, etcd_prefix=…
            self.environment["KAMAITACHI_" + key.upper()] = str(value)

    def command(self):
        return [os.path.join(BIN, self.program)] + self.flags

    def start(self, deadline=20.0):
        """Starts it and waits until /health says ok."""
        self.launch()
        return self.wait_well(deadline)

    def wait_well(self, deadline=20.0):
        def well():
            check(self.popen is not None, "%s was not started", self.name)
            if self.popen.poll() is not None:
                raise SystemError("%s ended with status %d:\n%s" % (
                    self.name, self.popen.returncode, self.log()[-2000:]))
            return self.is_well()
        try:
            wait_until(well, "%s is well" % self.name, deadline)
        except SystemError as error:
            raise Failure(str(error)) from None
        return self

    def wait_answers(self, deadline=20.0):
        """Until it answers at all, well or not."""
        wait_until(lambda: self.get("/health", timeout=2 * SLOW).status,
                   "%s answers" % self.name, deadline)
        return self


class Node(Daemon):
    def __init__(self, bench, name, etcd, **settings):
        self.program = re.sub(r"\d.*", "", name)
        super().__init__(bench, name, etcd, **settings)
        self.environment.setdefault("KAMAITACHI_STORE_DB", os.path.join(self.dir, "node.db"))

    def wait_written(self):
        """Until the data file holds all that the node shows: killed now, it still knows all of that."""
        revision = int(self.get("/health").headers["x-kamaitachi-revision"])

        def written():
            base = sqlite3.connect("file:%s?mode=ro" % self.environment["KAMAITACHI_STORE_DB"],
                                   uri=True, timeout=10)
            try:
                row = base.execute("SELECT value FROM meta WHERE name='applied_seq'").fetchone()
            finally:
                base.close()
            return row and int(row[0]) >= revision
        wait_until(written, "the data file has revision %d" % revision, 10)

    def revision(self):
        return self.health()["revision"]

    def wait_revision(self, revision, deadline=20.0):
        wait_until(lambda: self.revision() >= revision,
                   "%s reaches revision %d" % (self.name, revision), deadline)


class Gateway(Daemon):
    program = "gateway"
    data_prefix = "/data"

    def __init__(self, bench, name, etcd, **settings):
        settings.setdefault("health_interval_ms", 500)
        super().__init__(bench, name, etcd, **settings)

    def nodes(self):
        """Addresses of the data nodes on its list."""
        return sorted(node["address"] for node in self.info()["nodes"])

    def wait_nodes(self, nodes, deadline=10.0, what=None):
        """Until these are on its list and its own probes found them well."""
        wanted = sorted(node.addr for node in nodes)
        wait_until(lambda: self.nodes() == wanted and self.health()["count"] == len(wanted),
                   what or "the gateway lists %d nodes" % len(wanted), deadline)


class Bench:
    """What one test (or one group of tests) has started, in one temporary directory."""

    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix="kt_%s." % re.sub(r"\W", "", name)[:24])
        self.processes = []
        self.cleanups = []  # called at the end, whatever came of the test

    def etcd(self):
        return Etcd(self).start()

    def cluster(self, slaves=2, gateway=True, slaves_lead=True, **settings):
        """slaves_lead=False: only the master can be elected."""
        return Cluster(self, slaves, gateway, settings, slaves_lead)

    def finish(self):
        """Ends everything; a list of what was not right."""
        faults = []
        # The gateway first, etcd last: each needs the next one to say goodbye.
        order = {"gateway": 0, "slave": 1, "master": 2, "etcd": 3}
        for process in sorted(self.processes, key=lambda p: order.get(
                getattr(p, "program", None) or "etcd", 3)):
            try:
                process.terminate()
            except Failure as failure:
                faults.append(str(failure))
        while self.cleanups:
            self.cleanups.pop()()
        for process in self.processes:
            lines = process.faults_in_log()
            if lines:
                faults.append("the log of %s holds:\n    %s" % (
                    process.name, "\n    ".join(lines[:12])))
        return faults

    def print_logs(self):
        for process in self.processes:
            text = process.log()
            if text and not isinstance(process, Etcd):
                print("  --- %s (%s), the last 60 lines" % (process.name, process.log_path))
                print("\n".join("  | " + line for line in text.rstrip().split("\n")[-60:]))

    def remove(self):
        if not os.environ.get("KT_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


class Cluster:
    """etcd, a master, slaves, a gateway: started and well."""

    def __init__(self, bench, slaves, gateway, settings, slaves_lead=True):
        self.bench = bench
        self.etcd = bench.etcd()
        settings = dict(settings, cluster_expect=1 + slaves)
        self.master = Node(bench, "master", self.etcd, **settings)
        if not slaves_lead:
            settings["cluster_electable"] = "false"
        self.slaves = [Node(bench, "slave" if i == 0 else "slave%d" % (i + 1), self.etcd, **settings)
                       for i in range(slaves)]
        self.nodes = [self.master] + self.slaves
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_well()
        self.gateway = None
        if gateway:
            self.gateway = Gateway(bench, "gateway", self.etcd).start()
            self.gateway.wait_nodes(self.nodes)

    def everyone(self):
        return self.nodes + ([self.gateway] if self.gateway else [])

    def leader(self, deadline=20.0, besides=None):
        """The node (but for `besides`) that leads; the master at first, another one when it was
        away."""
        def who():
            for node in self.nodes:
                if node is not besides and node.is_running() and node.info()["is_leader"]:
                    return node
            return None
        return wait_until(who, "a node leads", deadline)

    def follower(self):
        """One that runs and does not lead."""
        leader = self.leader()
        return next(node for node in self.nodes if node is not leader and node.is_running())

    def wait_in_sync(self, nodes, deadline=20.0):
        """Until these, and no others, are in sync."""
        wanted = sorted(node.addr for node in nodes)

        def in_sync():
            config = self.etcd.config()
            return sorted(member["addr"] for member in config["members"]
                          if member["id"] in config["in_sync"]) == wanted
        wait_until(in_sync, "%d nodes are in sync" % len(wanted), deadline)

    def hand_to(self, node, deadline=20.0):
        """Until that node leads, by a planned handover if need be."""
        def leads():
            leader = self.leader()
            if leader is not node:
                leader.post("/cluster/failover", {"to": node.addr}).data()
            return node.info()["is_leader"]
        wait_until(leads, "%s leads" % node.name, deadline)

    def wait_level(self, deadline=30.0):
        """Until every node has applied what the leader has."""
        leader = self.leader(deadline)
        revision = leader.revision()
        for node in self.nodes:
            if node is not leader:
                node.wait_revision(revision, deadline)
        return revision

    def ask_all(self, name, body):
        """The same question to every node and the gateway: one answer, byte for byte."""
        answers = [(server, server.data_post(name, body)) for server in self.everyone()]
        first = answers[0][1]
        for server, answer in answers:
            equal(answer.status, 200, "%s at %s: status" % (name, server.name))
            check(answer.body == first.body, "%s answers %s, the master %s", server.name,
                  shorten(answer.body), shorten(first.body))
        return first.json()


class Load:
    """Readers at a steady rate; counts what failed."""

    def __init__(self, server, rate, body, threads=8):
        self.server, self.body, self.rate, self.threads = server, body, rate, threads
        self.done, self.failed, self.failures = 0, 0, []
        self.lock = threading.Lock()
        self.stopping = threading.Event()

    def __enter__(self):
        self.workers = [threading.Thread(target=self._run, args=(i,), daemon=True)
                        for i in range(self.threads)]
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for worker in self.workers:
            worker.join(60 * SLOW)

    def _run(self, number):
        host, port = self.server.addr.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30 * SLOW)
        pause = self.threads / self.rate
        due = time.monotonic() + pause * number / self.threads
        payload = json.dumps(self.body).encode()
        while not self.stopping.is_set():
            self.stopping.wait(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic() - 1.0)
            why = None
            try:
                connection.request("POST", self.server.data_prefix + API + "/snapshot", payload,
                                   {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    why = "%d %s" % (answer.status, shorten(body))
            except (OSError, http.client.HTTPException) as error:
                why = repr(error)
                connection.close()
            with self.lock:
                self.done += 1
                if why:
                    self.failed += 1
                    self.failures.append(why)
        connection.close()


@contextlib.contextmanager
def measured(what, limit):
    """What happens inside must take at most `limit` seconds (stretched under sanitizers)."""
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    check(took <= limit * SLOW, "%s took %.2f s, allowed are %.2f s", what, took, limit * SLOW)


# --- the tests -----------------------------------------------------------------------------------

TESTS = []  # (module, sentence, function or (class, method))


def test(function):
    """Marks a function of one Bench as a test; its name is a sentence."""
    TESTS.append((function.__module__, function.__name__, function, None))
    return function


def group(cls):
    """Marks a class whose setup(bench) starts something that its tests share, in their order. Its
    methods without an underscore, but for setup, are the tests."""
    for name, method in list(vars(cls).items()):
        if callable(method) and name != "setup" and not name.startswith("_"):
            TESTS.append((cls.__module__, name, method, cls))
    return cls


def explain(error):
    if isinstance(error, Failure):
        where = error.__traceback__
        lines = []
        while where is not None:
            code = where.tb_frame.f_code
            if os.path.basename(code.co_filename) not in ("cluster.py", "run.py"):
                lines.append("%s:%d" % (os.path.basename(code.co_filename), where.tb_lineno))
            where = where.tb_next
        return "%s: %s" % (lines[-1] if lines else "?", error)
    import traceback
    return "".join(traceback.format_exception(error)).rstrip()


if sys.version_info < (3, 9):
    sys.exit("Python 3.9 or newer is needed")
