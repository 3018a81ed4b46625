#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the cluster tests: real etcd, real executables.

usage: run.py [--bin DIR] [--slow FACTOR] [--quick] [--sanitized] [--lanes N] [--list] [WORD…]

Only tests whose module or name contains one of the words run. --quick leaves out those that their
module names in SLOW_TESTS, --sanitized those in PLAIN_TESTS (True: all of it), which under a
sanitizer would run none of our code that others do not run. --lanes N runs N tests (or groups) side
by side, each in a process of its own: most of them wait most of the time. Those that their module
names in ALONE_TESTS, for they hold something against a time, come afterwards, one by one. Each test
prints ok, FAIL or skip; the last line is the sum.
"""

import argparse
import importlib
import os
import re
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin")
    parser.add_argument("--slow", default="1")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sanitized", action="store_true")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("words", nargs="*")
    return parser.parse_args()


class Runner:
    def __init__(self, cluster):
        self.cluster = cluster
        self.passed = self.failed = self.skipped = 0

    def report(self, verdict, name, start, why=None):
        print("%s - %s (%.1f s)" % (verdict, name, time.monotonic() - start))
        if why:
            print("  " + why.replace("\n", "\n  "))
        if verdict == "ok":
            self.passed += 1
        elif verdict == "skip":
            self.skipped += 1
        else:
            self.failed += 1

    def attempt(self, name, function, *args):
        """Runs one test; False when it failed."""
        start = time.monotonic()
        try:
            function(*args)
        except self.cluster.Skip as why:
            self.report("skip", name, start, str(why))
        except Exception as error:  # pylint: disable=broad-except
            self.report("FAIL", name, start, self.cluster.explain(error))
            return False
        else:
            self.report("ok", name, start)
        return True

    def run_single(self, name, function):
        bench = self.cluster.Bench(name)

        def whole():
            try:
                function(bench)
            finally:
                self.ending = bench.finish()
            if self.ending:
                raise self.cluster.Failure("\n".join(self.ending))
        self.ending = []
        if not self.attempt(name, whole):
            if self.ending:
                print("  at the end: " + "\n  ".join(self.ending))
            bench.print_logs()
        bench.remove()

    def run_group(self, cls, tests):
        bench = self.cluster.Bench(cls.__name__)
        shared = cls()
        start = time.monotonic()
        good = True
        try:
            shared.setup(bench)
        except self.cluster.Skip as why:
            for name, _ in tests:
                self.report("skip", name, start, str(why))
            tests = []
        except Exception as error:  # pylint: disable=broad-except
            self.report("FAIL", "%s is set up" % cls.__name__, start, self.cluster.explain(error))
            good, tests = False, []
        for name, method in tests:
            good = self.attempt(name, method, shared) and good
        start = time.monotonic()
        faults = bench.finish()
        if faults:
            good = False
            self.report("FAIL", "%s_ends_cleanly" % cls.__name__, start, "\n".join(faults))
        if not good:
            bench.print_logs()
        bench.remove()


    def run(self, unit):
        """One test, or one group of them."""
        cls, tests = unit
        if cls:
            self.run_group(cls, tests)
        else:
            self.run_single(*tests[0])

    def summary(self):
        return "%d passed, %d failed%s" % (
            self.passed, self.failed, ", %d skipped" % self.skipped if self.skipped else "")


class Lanes:
    """Units side by side, each in a forked process whose output is shown when it has ended."""

    def __init__(self, runner, count):
        self.runner, self.count = runner, count
        self.running = {}  # pid -> (unit, file of its output)

    def run(self, units):
        waiting = list(units)
        try:
            while waiting or self.running:
                while waiting and len(self.running) < self.count:
                    self._fork(waiting.pop(0))
                self._wait()
        except BaseException:
            for pid in self.running:
                os.kill(pid, signal.SIGINT)
            while self.running:
                self._wait()
            raise

    def _fork(self, unit):
        output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            self.running[pid] = (unit, output)
            return
        self.running.clear()  # they are the parent's
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        runner = Runner(self.runner.cluster)
        runner.run(unit)
        print(runner.summary())
        sys.exit(0)  # through the whole stack, so that what was registered with atexit runs

    def _wait(self):
        pid, status = os.wait()
        unit, output = self.running.pop(pid)
        output.seek(0)
        text = output.read()
        output.close()
        found = re.search(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\n\Z", text, re.MULTILINE)
        sys.stdout.write(text[:found.start()] if found else text)
        if found:
            passed, failed, skipped = (int(number or 0) for number in found.groups())
            self.runner.passed += passed
            self.runner.failed += failed
            self.runner.skipped += skipped
        else:
            print("FAIL - %s: its process ended with wait status %d" % (names_of(unit)[0], status))
            self.runner.failed += 1


def names_of(unit):
    cls, tests = unit
    return ([cls.__name__] if cls else []) + [name for name, _ in tests]


def chosen_units(cluster, options, left_out):
    """What is to run, in order: (None, [(name, function)]) or (class, [(name, method), …])."""
    groups, units = {}, []
    for module, name, function, cls in cluster.TESTS:
        if left_out & {module, name, cls and cls.__name__}:
            continue
        if options.words and not any(word in module + "." + name for word in options.words) and not (
                cls and any(word in cls.__name__ for word in options.words)):
            continue
        if cls is None:
            units.append((None, [(name, function)]))
        elif cls in groups:
            groups[cls].append((name, function))
        else:
            groups[cls] = [(name, function)]
            units.append((cls, groups[cls]))
    return units


def main():
    options = parse_arguments()
    if options.bin:
        os.environ["KT_TEST_BIN"] = options.bin
    os.environ["KT_TEST_SLOW"] = options.slow
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    import cluster
    slow, alone, plain = set(), set(), set()
    for file in sorted(os.listdir(HERE)):
        if file.startswith("test_") and file.endswith(".py"):
            module = importlib.import_module(file[:-3])
            slow |= set(getattr(module, "SLOW_TESTS", ()))
            alone |= set(getattr(module, "ALONE_TESTS", ()))
            names = getattr(module, "PLAIN_TESTS", ())
            plain |= {module.__name__} if names is True else set(names)
    units = chosen_units(cluster, options, (slow if options.quick else set()) |
                         (plain if options.sanitized else set()))
    if options.list:
        for cls, tests in units:
            print("\n".join(name for name, _ in tests))
        return 0
    runner = Runner(cluster)
    if options.lanes > 1:
        # The long ones first: at the end no lane waits for one of them.
        beside = [unit for unit in units if not alone.intersection(names_of(unit))]
        Lanes(runner, options.lanes).run(
            sorted(beside, key=lambda unit: not slow.intersection(names_of(unit))))
        units = [unit for unit in units if unit not in beside]
    for unit in units:
        runner.run(unit)
    print(runner.summary())
    return 1 if runner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
