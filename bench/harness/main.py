#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures every line of the table in lines.py and writes the report; see run_benchmarks.sh."""

import argparse
import datetime
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
ROOT = os.path.dirname(os.path.dirname(HERE))
FORMAT = 1  # of the JSON


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/run_benchmarks.sh", description="Measures Kamaitachi beside its peers, on "
        "private ports and in temporary directories, and writes docs/BENCHMARKS.md.")
    parser.add_argument("--quick", action="store_true",
                        help="every line once, for a second: below three minutes in all")
    parser.add_argument("--only", metavar="NAME", action="append", default=[],
                        help="only this line (or those whose names begin so); the report keeps the "
                        "others as they were. May be repeated")
    parser.add_argument("--rounds", type=int, metavar="N", help="1..99; 5, with --quick 1")
    parser.add_argument("--seconds", type=float, metavar="S", help="of one sample; 4, with --quick 1")
    parser.add_argument("--resume", action="store_true",
                        help="leave out what an interrupted run of this commit and kind has measured")
    parser.add_argument("--load", choices=["wrk", "pressure_test", "hey"],
                        help="the load generator that drives the lines (wrk, if it is there)")
    parser.add_argument("--out", metavar="FILE", default=os.path.join(ROOT, "docs", "BENCHMARKS.md"),
                        help="the report; the JSON behind it stands beside it")
    parser.add_argument("--dir", metavar="DIR", help="where databases are made (default: TMPDIR)")
    parser.add_argument("--bin", metavar="DIR", default=os.path.join(ROOT, "bin"))
    parser.add_argument("--tools", metavar="DIR", default=os.path.join(ROOT, "build", "bench"))
    parser.add_argument("--list", action="store_true", help="the lines, and what is not built yet")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds if options.rounds is not None else 1 if options.quick else 5
    options.dir = os.path.abspath(options.dir) if options.dir else None
    options.seconds = options.seconds if options.seconds is not None else 1 if options.quick else 4
    if not 1 <= options.rounds <= 99:
        parser.error("--rounds wants 1..99")
    if not 1 <= options.seconds <= 600:
        parser.error("--seconds wants 1..600")
    if not options.out.endswith(".md"):
        parser.error("--out wants a name that ends in .md")
    if options.dir and not os.path.isdir(options.dir):
        parser.error("--dir: %s is no directory" % options.dir)
    return options


class Run:
    """What every measure may use."""

    def __init__(self, options, servers, loads):
        self.quick, self.rounds, self.seconds = options.quick, options.rounds, options.seconds
        self.root, self.bin, self.tools = ROOT, options.bin, options.tools
        self.strict = "bench" in os.environ.get("KAMAITACHI_REQUIRE", "").split(",")
        self.folder = tempfile.mkdtemp(prefix="kt_benchmarks.", dir=options.dir)
        self.servers = servers
        self.fixtures = servers.Fixtures(self.folder)
        self.load = loads.chosen(self.folder, self.tools, options.load)
        self.subjects = 1000 if self.quick else 5000  # of what the nodes hold
        self._markets = {}

    @property
    def market(self):
        return self._market_of(self.subjects)

    @property
    def import_market(self):
        """What bulk import is measured with: long enough for a rate."""
        return self._market_of(5000 if self.quick else 20000)

    def _market_of(self, subjects):
        if subjects not in self._markets:
            self._markets[subjects] = self.servers.Market(self.folder, self.bin, subjects)
        return self._markets[subjects]

    @staticmethod
    def say(text):
        print(text, flush=True)

    def progress(self, line, number, contender):
        if sys.stdout.isatty():
            print("\r\033[K    round %d of %d: %s" % (number + 1, self.rounds, contender), end="",
                  flush=True)

    def shorten(self, command, _addr=None):
        """A command as a person would type it: without the directories and ports of this run."""
        text = " ".join(shlex.quote(word) for word in command)
        for path, name in ((self.folder, "DIR"), (self.tools, "build/bench"), (self.bin, "bin"),
                           (ROOT + "/", ""), (ROOT, ".")):
            text = text.replace(path, name)
        return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)

    def close(self):
        self.fixtures.stop_all()
        shutil.rmtree(self.folder, ignore_errors=True)


def chosen_lines(lines, only):
    if not only:
        return list(lines)
    unknown = [name for name in only if not any(line.name.startswith(name) for line in lines)]
    if unknown:
        sys.exit("run_benchmarks.sh: no line begins with %s; there are: %s" % (
            ", ".join(unknown), " ".join(line.name for line in lines)))
    exact = {line.name for line in lines} & set(only)
    return [line for line in lines if line.name in exact or any(
        name not in exact and line.name.startswith(name) for name in only)]


def measure(run, line, number, servers, loads):
    """One line's result, whatever happens but an interrupt."""
    import host
    result = {"name": line.name, "what": line.what, "bar": line.bar, "status": "measured",
              "mode": "quick" if run.quick else "full", "rounds": run.rounds,
              "seconds": run.seconds, "run": number, "load": [host.load_average(), None],
              "contenders": {}, "ratios": [], "facts": [], "notes": [], "commands": []}
    try:
        line.measure(run, result)
    except servers.Missing as why:
        result.update(status="failed" if run.strict else "skipped", reason=str(why))
    except servers.cluster.Skip as why:
        result.update(status="skipped", reason=str(why))
    except (servers.cluster.Failure, loads.LoadError) as why:
        result.update(status="failed", reason=str(why))
    except Exception as error:  # pylint: disable=broad-except
        # One line's fault, even in its own code, must not take the others with it.
        result.update(status="failed", reason=servers.cluster.explain(error))
    result["load"][1] = host.load_average()
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    return result


def not_built(line):
    return {"name": line.name, "what": line.what, "bar": line.bar, "status": "not built",
            "contenders": {}, "ratios": [], "facts": [], "notes": [], "commands": []}


def read_results(path):
    """What an earlier run has left, if this program can read it."""
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except (OSError, ValueError):
        return {"format": FORMAT, "runs": [], "lines": []}
    if results.get("format") != FORMAT:
        return {"format": FORMAT, "runs": [], "lines": []}
    return results


def write_file(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def keep_used_runs(results):
    """Drops runs that no line speaks of any more, but for the last one."""
    used = sorted({line["run"] for line in results["lines"] if line.get("run") is not None} |
                  {len(results["runs"]) - 1})
    renumbered = {old: new for new, old in enumerate(used)}
    for line in results["lines"]:
        if line.get("run") is not None:
            line["run"] = renumbered[line["run"]]
    results["runs"] = [results["runs"][old] for old in used]


class Book:
    """The results so far, and the two files that they go to."""

    def __init__(self, options, lines):
        self.report = options.out
        folder, name = os.path.split(os.path.abspath(options.out))
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "benchmarks.json" if name == "BENCHMARKS.md"
                                 else name[:-3] + ".json")
        before = read_results(self.path)
        keep = bool(options.only or options.resume)
        self.results = before if keep else {"format": FORMAT, "runs": [], "lines": []}
        self.order = [line.name for line in lines]
        self.number = None

    def begin(self, run):
        self.results["runs"].append(run)
        self.number = len(self.results["runs"]) - 1

    def done_already(self, name, commit, mode):
        for line in self.results["lines"]:
            if line["name"] == name and line["status"] == "measured" and line["mode"] == mode:
                return self.results["runs"][line["run"]]["versions"].get("commit") == commit
        return False

    def put(self, result):
        lines = [line for line in self.results["lines"]
                 if line["name"] != result["name"] and line["name"] in self.order] + [result]
        self.results["lines"] = sorted(lines, key=lambda line: self.order.index(line["name"]))
        self.write_numbers()

    def write_numbers(self):
        write_file(self.path, json.dumps(self.results, indent=1, ensure_ascii=False) + "\n")

    def finish(self, took_s):
        import report
        self.results["runs"][self.number]["took_s"] = took_s
        keep_used_runs(self.results)
        self.write_numbers()
        write_file(self.report, report.document(self.results))


def describe(run, options, host):
    words = ["bench/run_benchmarks.sh"] + (["--quick"] if options.quick else [])
    words += [word for name in options.only for word in ("--only", name)]
    words += ["--rounds", str(options.rounds), "--seconds", "%g" % options.seconds]
    load = host.load_average()
    return {"command": " ".join(words), "when": datetime.datetime.now(
        datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "machine": host.machine(run.folder),
            "versions": host.versions(options.bin, ROOT), "fsync_ms": host.fsync_probe(run.folder),
            "subjects": run.subjects, "load": run.load.name if run.load else "none",
            "load_average": load, "busy": load > 0.5 * host.cores(), "took_s": None}


def measure_all(run, book, lines, all_lines, servers, loads):
    """True when no line failed."""
    import report
    good = True
    waiting = [line for line in lines if line.built and line.measure]
    print("%d lines, about %d s" % (len(lines), sum(line.seconds(run) for line in waiting)),
          flush=True)
    for position, line in enumerate(lines, 1):
        where = "[%2d/%d] %s" % (position, len(lines), line.name)
        if line not in waiting:
            run.say("%s: not built" % where)
            book.put(not_built(line))
            continue
        run.say("%s: %s (about %d s)" % (where, line.what, line.seconds(run)))
        start = time.monotonic()
        result = measure(run, line, book.number, servers, loads)
        result["took_s"] = round(time.monotonic() - start, 1)
        book.put(result)
        if result["status"] == "measured":
            run.say(report.short(result))
        else:
            run.say("    %s: %s" % (result["status"], result["reason"]))
            good = good and result["status"] != "failed"
        later = {name for other in lines[position:] if other in waiting for name in other.uses}
        for name in [name for name in run.fixtures.running if name not in later]:
            run.fixtures.stop(name)
    return good


def interrupt(number, _frame):
    raise KeyboardInterrupt(signal.Signals(number).name)


def main():
    options = parse_arguments(sys.argv[1:])
    os.environ["KT_TEST_BIN"] = os.path.abspath(options.bin)
    os.environ.setdefault("KT_TEST_SLOW", "3")  # deadlines of starts and stops, not of samples
    for name in [name for name in os.environ if name.startswith(("KAMAITACHI_", "ETCD_"))]:
        if name != "KAMAITACHI_REQUIRE":
            del os.environ[name]
    import host
    import lines as table
    import loads
    import servers
    if options.list:
        for line in table.LINES:
            print("%-20s %s%s" % (line.name, "" if line.built and line.measure else "(not built) ",
                                  line.what))
        return 0
    lines = chosen_lines(table.LINES, options.only)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupt)
    start = time.monotonic()
    run = Run(options, servers, loads)
    book = Book(options, table.LINES)
    good, interrupted = False, None
    try:
        about = describe(run, options, host)
        commit = about["versions"].get("commit")
        if options.resume:
            lines = [line for line in lines if not book.done_already(
                line.name, commit, "quick" if options.quick else "full")]
        book.begin(about)
        if about["busy"]:
            run.say("the machine is busy (load average %s): figures will be poor" %
                    about["load_average"])
        if not run.load:
            run.say("%s is not there: lines that it drives are skipped" % (
                options.load or "no load generator"))
        good = measure_all(run, book, lines, table.LINES, servers, loads)
    except KeyboardInterrupt as why:
        interrupted = str(why) or "SIGINT"
        print("\n%s: ending what runs; --resume goes on" % interrupted, flush=True)
    finally:
        run.close()
    if book.number is not None:
        book.finish(None if interrupted else round(time.monotonic() - start))
        print("%s after %d s: %s and %s" % (
            "interrupted" if interrupted else "done", time.monotonic() - start,
            os.path.relpath(book.report), os.path.relpath(book.path)))
    return 130 if interrupted else 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
