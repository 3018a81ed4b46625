#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the cluster tests: real etcd, real executables.

usage: run.py [--bin DIR] [--slow FACTOR] [--quick] [--list] [WORD…]

Only tests whose module or name contains one of the words run. --quick leaves out those that their
module names in SLOW_TESTS. Each test prints ok, FAIL or skip; the last line is the sum.
"""

import argparse
import importlib
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin")
    parser.add_argument("--slow", default="1")
    parser.add_argument("--quick", action="store_true")
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


def main():
    options = parse_arguments()
    if options.bin:
        os.environ["KT_TEST_BIN"] = options.bin
    os.environ["KT_TEST_SLOW"] = options.slow
    sys.stdout.reconfigure(line_buffering=True)
    import cluster
    slow = set()
    for file in sorted(os.listdir(HERE)):
        if file.startswith("test_") and file.endswith(".py"):
            slow |= set(getattr(importlib.import_module(file[:-3]), "SLOW_TESTS", ()))
    runner = Runner(cluster)
    groups = {}
    order = []
    for module, name, function, cls in cluster.TESTS:
        if options.quick and (name in slow or (cls and cls.__name__ in slow)):
            continue
        if options.words and not any(word in module + "." + name for word in options.words) and not (
                cls and any(word in cls.__name__ for word in options.words)):
            continue
        if cls is None:
            order.append((name, function, None))
        elif cls in groups:
            groups[cls].append((name, function))
        else:
            groups[cls] = [(name, function)]
            order.append((None, None, cls))
    for name, function, cls in order:
        if options.list:
            print("\n".join(n for n, _ in groups[cls]) if cls else name)
        elif cls:
            runner.run_group(cls, groups[cls])
        else:
            runner.run_single(name, function)
    print("%d passed, %d failed%s" % (runner.passed, runner.failed,
                                      ", %d skipped" % runner.skipped if runner.skipped else ""))
    return 1 if runner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
