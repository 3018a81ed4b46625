# SPDX-License-Identifier: MIT
"""Load generators, alike to use: pressure_test when it is built, wrk, hey.

run(url, bodies, connections, seconds) sends the bodies in turn as POSTs of JSON and gives a Sample.
An answer that is not 2xx makes it fail: a rate of refusals is no rate.
"""

import json
import os
import re
import resource
import shutil
import subprocess

from host import cores

# Beyond what was asked for, to start, connect and print.
GRACE_S = 20


class LoadError(Exception):
    """The generator failed, or what it got was not right."""


class Sample(dict):
    """rate, p50_us, p90_us, p99_us, max_us, requests, errors, client_cpu_us."""


# One body: wrk sends it without asking Lua for each request, which is the quickest that it can.
LUA_ONE = r"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
for line in io.lines("@BODIES@") do
  wrk.body = line
end
"""
LUA_MANY = r"""
local bodies, next_one, threads = {}, 0, 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  for line in io.lines("@BODIES@") do
    bodies[#bodies + 1] = wrk.format("POST", nil, headers, line)
  end
  next_one = math.floor(number * #bodies / @THREADS@)
end
function request()
  next_one = next_one % #bodies + 1
  return bodies[next_one]
end
"""
LUA_DONE = r"""
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('KT {"requests":%d,"us":%d,"connect":%d,"read":%d,"write":%d,' ..
    '"status":%d,"timeout":%d,"p50":%.1f,"p90":%.1f,"p99":%.1f,"max":%.1f}\n', summary.requests,
    summary.duration, e.connect, e.read, e.write, e.status, e.timeout, latency:percentile(50),
    latency:percentile(90), latency:percentile(99), latency.max))
end
"""


def run_program(command, seconds):
    """Runs a generator; (its output, the CPU seconds that it used)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=seconds + GRACE_S,
                              check=False)
    except subprocess.TimeoutExpired:
        raise LoadError("%s did not end within %d s" % (
            os.path.basename(command[0]), seconds + GRACE_S)) from None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != 0:
        raise LoadError("%s ended with status %d: %s" % (
            os.path.basename(command[0]), done.returncode,
            (done.stdout + done.stderr).strip()[-400:]))
    return done.stdout, cpu


def json_of(command, seconds):
    """Runs a program that prints one JSON text; (what it says, the CPU seconds that it used)."""
    output, cpu = run_program(command, seconds)
    try:
        return json.loads(output), cpu
    except ValueError:
        raise LoadError("%s printed no JSON: %s" % (
            os.path.basename(command[0]), output.strip()[-300:])) from None


class Wrk:
    name = "wrk"

    def __init__(self, folder, _tools=None):
        self.folder = folder

    @staticmethod
    def available(_tools=None):
        return shutil.which("wrk") is not None

    def command(self, url, bodies, connections, seconds):
        threads = max(1, min(cores(), connections))
        body_file = os.path.join(self.folder, "wrk.bodies")
        script = os.path.join(self.folder, "wrk.lua")
        with open(body_file, "w", encoding="utf-8") as file:
            file.write("".join(body + "\n" for body in bodies))
        with open(script, "w", encoding="utf-8") as file:
            text = (LUA_MANY if len(bodies) > 1 else LUA_ONE) + LUA_DONE
            file.write(text.replace("@BODIES@", body_file).replace("@THREADS@", str(threads)))
        return ["wrk", "-t%d" % threads, "-c%d" % connections, "-d%gs" % seconds, "--timeout", "5s",
                "-s", script, url]

    def run(self, url, bodies, connections, seconds):
        # wrk takes whole seconds only.
        seconds = max(1, round(seconds))
        output, cpu = run_program(self.command(url, bodies, connections, seconds), seconds)
        return self.parse(output, cpu)

    @staticmethod
    def parse(output, cpu=0.0):
        found = re.search(r"^KT (\{.*\})$", output, re.MULTILINE)
        if not found:
            raise LoadError("wrk printed no figures: " + output.strip()[-300:])
        said = json.loads(found.group(1))
        if said["requests"] == 0:
            raise LoadError("wrk got no answer at all (connect errors: %d, timeouts: %d)" % (
                said["connect"], said["timeout"]))
        if said["status"]:
            raise LoadError("%d of %d answers were no success" % (said["status"], said["requests"]))
        errors = said["connect"] + said["read"] + said["write"] + said["timeout"]
        return Sample(tool="wrk", rate=said["requests"] / (said["us"] / 1e6),
                      p50_us=said["p50"], p90_us=said["p90"], p99_us=said["p99"],
                      max_us=said["max"], requests=said["requests"], errors=errors,
                      client_cpu_us=cpu * 1e6 / said["requests"])


class Hey:
    """Sends one body only: the first."""
    name = "hey"

    def __init__(self, folder, _tools=None):
        self.folder = folder

    @staticmethod
    def available(_tools=None):
        return shutil.which("hey") is not None

    def command(self, url, bodies, connections, seconds):
        body_file = os.path.join(self.folder, "hey.body")
        with open(body_file, "w", encoding="utf-8") as file:
            file.write(bodies[0])
        return ["hey", "-z", "%gs" % seconds, "-c", str(connections), "-cpus", str(cores()), "-m",
                "POST", "-T", "application/json", "-D", body_file, url]

    def run(self, url, bodies, connections, seconds):
        output, cpu = run_program(self.command(url, bodies, connections, seconds), seconds)
        return self.parse(output, cpu)

    @staticmethod
    def parse(output, cpu=0.0):
        statuses = {int(code): int(count) for code, count in
                    re.findall(r"^\s*\[(\d{3})\]\s+(\d+) responses", output, re.MULTILINE)}
        rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
        total = sum(statuses.values())
        if not rate or not total:
            raise LoadError("hey printed no figures: " + output.strip()[-300:])
        bad = sum(count for code, count in statuses.items() if not 200 <= code < 300)
        if bad:
            raise LoadError("%d of %d answers were no success" % (bad, total))
        # 50% in 0.0010 secs (2.6 writes "50%%")
        at = {int(p): float(s) * 1e6 for p, s in
              re.findall(r"^\s*(\d+)%%? in ([\d.]+) secs", output, re.MULTILINE)}
        slowest = re.search(r"Slowest:\s+([\d.]+) secs", output)
        errors = sum(int(count) for count in re.findall(
            r"^\s*\[(\d+)\]\s+(?!\d+ responses)\S", output.partition("Error distribution")[2],
            re.MULTILINE))
        return Sample(tool="hey", rate=float(rate.group(1)), p50_us=at.get(50), p90_us=at.get(90),
                      p99_us=at.get(99),
                      max_us=float(slowest.group(1)) * 1e6 if slowest else None, requests=total,
                      errors=errors, client_cpu_us=cpu * 1e6 / total)


class Background:
    """A pressure_test that runs meanwhile. Wrong answers do not make it fail: they are counted."""

    def __init__(self, command, result_file, seconds):
        self.command, self.result_file, self.seconds = command, result_file, seconds
        self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)

    def finish(self):
        """Its account (runs[0] of its JSON), once it has ended of itself."""
        try:
            output, _ = self.popen.communicate(timeout=self.seconds + 2 * GRACE_S)
        except subprocess.TimeoutExpired:
            self.abandon()
            raise LoadError("pressure_test did not end within %d s" % (
                self.seconds + 2 * GRACE_S)) from None
        try:
            with open(self.result_file, encoding="utf-8") as file:
                return json.load(file)["runs"][0]
        except (OSError, ValueError, LookupError):
            raise LoadError("pressure_test wrote no figures: %s" % output.strip()[-400:]) from None

    def abandon(self):
        """Ends it if it still runs."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


class PressureTest:
    """Our own tool; a wrong answer of any kind makes its exit status 1."""
    name = "pressure_test"

    def __init__(self, folder, tools):
        self.folder, self.tools = folder, tools

    @staticmethod
    def available(tools):
        return os.access(os.path.join(tools, "pressure_test"), os.X_OK)

    def command(self, url, bodies, connections, seconds, rate=None):
        """Requests by plan, `rate` a second, when it is given."""
        scheme, _, rest = url.partition("://")
        addr, _, path = rest.partition("/")
        request_file = os.path.join(self.folder, "pressure_test.requests")
        with open(request_file, "w", encoding="utf-8") as file:
            file.write("".join('{"method":"POST","path":"/%s","status":200,"body":%s}\n' % (
                path, body) for body in bodies))
        command = [os.path.join(self.tools, "pressure_test"), "-target",
                   "%s://%s" % (scheme, addr), "-scenario", "file", "-requests-file", request_file,
                   "-concurrent", str(connections), "-duration", "%g" % seconds, "-threads",
                   str(cores()), "-quiet", "-json", os.path.join(self.folder, "pressure_test.json")]
        return command + (["-rate", "%g" % rate] if rate else [])

    def start(self, addr, scenario, connections, seconds, rate, verify=None):
        """One of its own scenarios through a gateway, in the background; finish() ends it. With
        verify (a gateway too) every acknowledged write is read back there afterwards."""
        result_file = os.path.join(self.folder, "pressure_test.%s.json" % scenario)
        if os.path.exists(result_file):
            os.unlink(result_file)
        command = [os.path.join(self.tools, "pressure_test"), "-target", "http://%s/data" % addr,
                   "-scenario", scenario, "-concurrent", str(connections), "-duration",
                   "%g" % seconds, "-rate", "%g" % rate, "-threads", "1", "-quiet", "-timeout", "30",
                   "-give-up", "30", "-json", result_file]
        command += ["-verify", "http://%s/data" % verify] if verify else []
        return Background(command, result_file, seconds)

    def run(self, url, bodies, connections, seconds, rate=None):
        command = self.command(url, bodies, connections, seconds, rate)
        result_file = command[command.index("-json") + 1]
        if os.path.exists(result_file):
            os.unlink(result_file)
        _, cpu = run_program(command, seconds)
        try:
            with open(result_file, encoding="utf-8") as file:
                said = json.load(file)
        except (OSError, ValueError) as error:
            raise LoadError("pressure_test wrote no figures: %s" % error) from None
        return self.parse(said, cpu)

    @staticmethod
    def parse(said, cpu=0.0):
        run = said["runs"][0]
        wrong = sum(run["wrong"].values())
        if wrong or not run["right"]:
            raise LoadError("%d of %d answers were wrong: %s" % (
                wrong, run["requests"], "; ".join(run["examples"].values())[:300]))
        latency = run["latency_us"]
        return Sample(tool="pressure_test", rate=run["rate"], p50_us=latency["p50"],
                      p90_us=latency["p90"], p99_us=latency["p99"], max_us=latency["max"],
                      requests=run["right"], errors=run["unsent"] + run["abandoned"],
                      client_cpu_us=cpu * 1e6 / run["right"])


GENERATORS = [Wrk, PressureTest, Hey]


def chosen(folder, tools, name=None):
    """The generator that drives every line; by itself wrk, which is nobody's own."""
    for kind in GENERATORS:
        if name in (None, kind.name) and kind.available(tools):
            return kind(folder, tools)
    return None
