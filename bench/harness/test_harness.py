#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the benchmarks' figures rest on: statistics, parsers, the book, the report."""

import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import failover  # noqa: E402
import host  # noqa: E402
import lines as table  # noqa: E402
import loads  # noqa: E402
import main  # noqa: E402
import report  # noqa: E402
import stats  # noqa: E402

HEY = """
Summary:
  Total:\t2.0032 secs
  Slowest:\t0.0561 secs
  Fastest:\t0.0002 secs
  Average:\t0.0043 secs
  Requests/sec:\t22996.1234

Latency distribution:
  10%% in 0.0010 secs
  50%% in 0.0035 secs
  90%% in 0.0090 secs
  99%% in 0.0184 secs

Status code distribution:
  [200]\t46066 responses
"""


class Statistics(unittest.TestCase):
    def test_the_median_of_an_even_number_is_the_mean_of_the_middle(self):
        self.assertEqual(stats.median([4, 1, 3]), 3)
        self.assertEqual(stats.median([4, 1, 3, 2]), 2.5)
        self.assertRaises(ValueError, stats.median, [])

    def test_percentiles_are_values_that_occurred(self):
        values = list(range(1, 101))
        self.assertEqual([stats.percentile(values, p) for p in (0, 50, 90, 99, 99.5, 100)],
                         [1, 50, 90, 99, 100, 100])
        self.assertEqual(stats.percentile([7], 50), 7)
        self.assertEqual(stats.percentile([1, 2], 50), 1)
        self.assertRaises(ValueError, stats.percentile, [], 50)
        self.assertRaises(ValueError, stats.percentile, [1], 101)

    def test_ratios_are_taken_inside_a_round(self):
        # A machine that was half as quick in round two moves both contenders, not their ratio.
        self.assertEqual(stats.ratios([10, 5, 12], [20, 10, 24]), [0.5, 0.5, 0.5])

    def test_a_round_that_failed_does_not_count(self):
        self.assertEqual(stats.ratios([10, None, 12], [20, 10, 24]), [0.5, 0.5])
        self.assertEqual(stats.ratios([10, 5], [None, 0]), [])
        self.assertRaises(ValueError, stats.ratios, [1], [1, 2])

    def test_a_bar_is_reached_when_it_is_met_exactly(self):
        self.assertTrue(stats.reached(0.95, (">=", 0.95)))
        self.assertFalse(stats.reached(0.949, (">=", 0.95)))
        self.assertTrue(stats.reached(16, ("<=", 16)))
        self.assertFalse(stats.reached(16.1, ("<=", 16)))
        self.assertRaises(ValueError, stats.reached, 1, ("<", 2))

    def test_the_spread_is_in_units_of_the_median(self):
        self.assertEqual(stats.spread([90, 100, 110]), 0.2)
        self.assertEqual(stats.spread([5]), 0)

    def test_numbers_are_shown_with_three_digits(self):
        self.assertEqual([stats.shown(v) for v in (0, 0.7268, 1, 16.54, 99.96, 446, 12345.6, None)],
                         ["0", "0.727", "1.00", "16.5", "100.0", "446", "12,346", "-"])


class Parsers(unittest.TestCase):
    def test_wrk_is_read(self):
        said = {"requests": 1000, "us": 500000, "connect": 0, "read": 1, "write": 0, "status": 0,
                "timeout": 2, "p50": 10.0, "p90": 20.0, "p99": 30.0, "max": 40.0}
        sample = loads.Wrk.parse("Running 1s test\n  noise\nKT %s\n" % json.dumps(said), 0.25)
        self.assertEqual(sample["rate"], 2000)
        self.assertEqual(sample["errors"], 3)
        self.assertEqual(sample["client_cpu_us"], 250)

    def test_refusals_are_no_rate(self):
        said = {"requests": 10, "us": 5, "connect": 0, "read": 0, "write": 0, "status": 4,
                "timeout": 0, "p50": 1, "p90": 1, "p99": 1, "max": 1}
        with self.assertRaisesRegex(loads.LoadError, "4 of 10"):
            loads.Wrk.parse("KT " + json.dumps(said))
        said.update(requests=0, connect=100)
        with self.assertRaisesRegex(loads.LoadError, "connect errors: 100"):
            loads.Wrk.parse("KT " + json.dumps(said))
        with self.assertRaisesRegex(loads.LoadError, "no figures"):
            loads.Wrk.parse("unable to connect")
        with self.assertRaisesRegex(loads.LoadError, "3 of 46069"):
            loads.Hey.parse(HEY + "  [503]\t3 responses\n")

    def test_hey_is_read(self):
        sample = loads.Hey.parse(HEY, 1.0)
        self.assertEqual((sample["rate"], sample["p50_us"], sample["p99_us"], sample["requests"]),
                         (22996.1234, 3500, 18400, 46066))
        self.assertEqual(sample["errors"], 0)

    def test_pressure_test_is_read_and_wrong_answers_are_no_rate(self):
        run = {"requests": 100, "right": 100, "rate": 50.5, "wrong": {}, "examples": {}, "unsent": 1,
               "abandoned": 2, "latency_us": {"p50": 10, "p90": 20, "p99": 30, "max": 40}}
        sample = loads.PressureTest.parse({"runs": [run]}, 0.1)
        self.assertEqual((sample["rate"], sample["p99_us"], sample["errors"]), (50.5, 30, 3))
        run.update(wrong={"status": 4}, right=96, examples={"status": "503 for …"})
        with self.assertRaisesRegex(loads.LoadError, "4 of 100 answers were wrong: 503"):
            loads.PressureTest.parse({"runs": [run]})

    def test_a_generator_that_hangs_is_ended(self):
        grace, loads.GRACE_S = loads.GRACE_S, 0.2
        try:
            with self.assertRaisesRegex(loads.LoadError, "did not end"):
                loads.run_program(["sleep", "60"], 0.1)
        finally:
            loads.GRACE_S = grace

    def test_bytes_of_connections_are_counted_for_the_processes_that_are_meant(self):
        text = ('0 0 127.0.0.1:4000 127.0.0.1:8080 users:(("slave",pid=12,fd=7))\n'
                '\t cubic bytes_sent:100 bytes_acked:101 bytes_received:1000 segs_out:9\n'
                '0 0 127.0.0.1:4001 127.0.0.1:8080 users:(("wrk",pid=13,fd=7))\n'
                '\t cubic bytes_sent:5000 bytes_received:6000\n'
                '0 0 127.0.0.1:4002 127.0.0.1:8080 users:(("slave",pid=14,fd=1),("x",pid=12,fd=2))\n'
                '\t cubic bytes_received:7\n')
        before = host.parse_ss(text, [12])
        self.assertEqual(before, {"127.0.0.1:4000": 1100, "127.0.0.1:4002": 7})
        after = {"127.0.0.1:4000": 1150, "127.0.0.1:5000": 20}  # 4002 was closed
        self.assertEqual(host.bytes_between(before, after), 70)
        self.assertEqual(host.parse_ss("", [12]), {})

    def test_the_name_of_a_process_may_hold_anything(self):
        self.assertEqual(host.stat_fields("12 (a ) b (c) R 1 2 3")[:3], ["R", "1", "2"])

    def test_cpu_time_of_this_process_rises(self):
        before = host.cpu_seconds([os.getpid()])
        end = before + 0.05
        while host.cpu_seconds([os.getpid()]) < end:
            sum(range(10000))
        self.assertEqual(host.cpu_seconds([]), 0)

    def test_the_disk_is_probed_and_nothing_stays(self):
        with tempfile.TemporaryDirectory() as folder:
            probe = host.fsync_probe(folder, 5)
            self.assertEqual(probe["count"], 5)
            self.assertGreaterEqual(probe["max"], probe["p50"])
            self.assertEqual(os.listdir(folder), [])


def line_result(name="gateway_100", ours=(10, 20), theirs=(10, 10), bar=(">=", 1.0)):
    result = {"name": name, "what": "a gateway", "bar": ">= 1.0 x", "status": "measured",
              "mode": "full", "rounds": 2, "seconds": 4, "run": 0, "load": [0.1, 0.2],
              "contenders": {"gateway": {"rounds": [{"rate": rate, "cpu_us": 5} for rate in ours]},
                             "haproxy": {"rounds": [{"rate": rate} for rate in theirs]}},
              "ratios": [], "facts": [], "notes": ["a note"], "commands": ["wrk -c100"]}
    table.compare(result, "gateway", "haproxy", "rate", bar)
    table.compare(result, "gateway", "haproxy", "cpu_us")
    table.compare(result, "gateway", "nobody", "rate", bar)
    return result


RUN = {"command": "bench/run_benchmarks.sh", "when": "2026-01-01 00:00 UTC", "took_s": 5,
       "machine": {"cpu": "a CPU", "cores": 2, "memory_gib": 4.0, "system": "Debian", "kernel": "6",
                   "arch": "x86_64", "file_system": "ext4", "hypervisor": True},
       "versions": {"kamaitachi": "master 0.1.0", "commit": "abc"},
       "fsync_ms": {"count": 5, "min": 0.1, "p50": 0.2, "p90": 0.2, "p95": 0.2, "p99": 0.3, "max": 1},
       "subjects": 5000, "load": "wrk", "load_average": 0.1, "busy": False}


class Reports(unittest.TestCase):
    def test_the_median_ratio_is_held_against_the_bar(self):
        result = line_result()
        self.assertEqual(len(result["ratios"]), 1)  # haproxy's CPU was not measured
        self.assertEqual(result["ratios"][0]["median"], 1.5)
        self.assertTrue(result["ratios"][0]["reached"])
        self.assertFalse(line_result(ours=(8, 9))["ratios"][0]["reached"])

    def test_a_report_shows_every_round_and_what_was_not_built(self):
        waiting = main.not_built(table.Line("near_cache_hit", "a hit", ">= 2 x", None, built=False))
        text = report.document({"runs": [RUN], "lines": [line_result(), waiting]})
        self.assertIn("| gateway_100 | a gateway | >= 1.0 x | 1.50 × haproxy | reached |", text)
        self.assertIn("| near_cache_hit | a hit | >= 2 x |  | not built |", text)
        self.assertIn("| gateway | 2 | 20.0 |", text)
        self.assertNotIn("busy", text)

    def test_a_report_says_that_the_machine_was_busy_or_the_run_quick(self):
        quick = dict(line_result(), mode="quick")
        text = report.document({"runs": [dict(RUN, busy=True, load_average=9)], "lines": [quick]})
        self.assertIn("busy with other work", text)
        self.assertIn("gateway_100 *(quick)*", text)

    def test_a_failed_line_has_its_reason(self):
        failed = dict(line_result(), status="failed", reason="haproxy ended")
        text = report.document({"runs": [RUN], "lines": [failed]})
        self.assertIn("| haproxy ended | failed |", text)
        self.assertIn("Failed: haproxy ended", text)


def account(latency_max=5000, right=100, **wrong):
    return {"requests": right + sum(wrong.values()), "right": right, "rate": 50.0, "unsent": 0,
            "abandoned": 0, "wrong": wrong, "examples": {name: name + " for …" for name in wrong},
            "latency_us": {"p50": 10, "p90": 20, "p99": 30, "max": latency_max}}


class StubNode:
    """A data node as far as a handover asks it."""

    def __init__(self, whole, number):
        self.whole, self.name, self.addr = whole, "node%d" % number, "127.0.0.1:%d" % (9001 + number)

    def info(self):
        return {"is_leader": self.whole.leading is self, "epoch": self.whole.epoch}

    def kill(self):
        self.whole.dead.append(self)
        if self.whole.another:
            self.whole.leading = next(node for node in self.whole.nodes if node is not self)
            self.whole.epoch += 1

    def is_running(self):
        return self not in self.whole.dead

    def start(self, _deadline):
        self.whole.dead.remove(self)


class StubCluster:
    """Three nodes and a gateway, which hands over as it is asked to."""

    def __init__(self, status=200):
        self.nodes = [StubNode(self, number) for number in range(3)]
        self.leading, self.asked, self.status = self.nodes[2], [], status
        self.epoch, self.dead, self.another = 7, [], True
        self.gateway = self

    def leader(self):
        return self.leading

    wait_in_sync = wait_leader = leader

    def post(self, path, body, timeout):
        self.asked.append((path, body["to"], timeout > 0))
        if self.status == 200:
            self.leading = next(node for node in self.nodes if node.addr == body["to"])
        return type("Answer", (), {"status": self.status, "body": b"told"})


class Failovers(unittest.TestCase):
    def setUp(self):
        self.before, failover.PAUSE_S = failover.under_load, 0
        failover.under_load = lambda run, whole, seconds, meanwhile: (
            account(150000, status=2, wrong_value=3), account(90000, timeout=1), meanwhile())

    def tearDown(self):
        failover.under_load, failover.PAUSE_S = self.before, 1

    def test_the_lead_goes_round_and_what_was_wrong_is_told_apart(self):
        whole = StubCluster()
        sample = failover.hand_over(None, whole)
        self.assertEqual([to for _, to, _ in whole.asked],
                         ["127.0.0.1:%d" % port for port in (9001, 9002, 9003, 9001)])
        self.assertEqual(whole.asked[0][0], "/cluster/failover")
        self.assertEqual((sample["failed_writes"], sample["failed_reads"], sample["lost"]), (2, 1, 3))
        self.assertEqual((sample["max_us"], sample["read_max_us"]), (150000, 90000))

    def test_a_handover_that_is_refused_fails_the_round(self):
        with self.assertRaisesRegex(failover.cluster.Failure, "was answered 409: b'told'"):
            failover.hand_over(None, StubCluster(409))

    def test_who_was_killed_comes_back_whatever_the_round_came_to(self):
        run = type("Run", (), {"quick": True})
        whole = StubCluster()
        sample = failover.kill_leader(run, whole)
        self.assertEqual((whole.leading, whole.dead), (whole.nodes[0], []))
        self.assertGreaterEqual(sample["leaderless_us"], 0)
        whole.another = False
        ttl_of, failover.ttl_of = failover.ttl_of, lambda _run: -10
        try:
            with self.assertRaisesRegex(failover.cluster.Failure, "another node leads: not within"):
                failover.kill_leader(run, whole)
        finally:
            failover.ttl_of = ttl_of
        self.assertEqual(whole.dead, [])

    def test_the_worst_round_counts(self):
        result = line_result()
        rounds = [failover.sample_of(account(150000), account()),
                  failover.sample_of(account(210000), account(7000)), {"error": "a round that failed"},
                  failover.sample_of(account(20000, status=1), account())]
        result.update(contenders={"x": {"rounds": rounds}}, ratios=[])
        failover.tell(result, "x", 200)
        told = {fact["name"]: (fact["value"], fact["reached"]) for fact in result["facts"]}
        self.assertEqual(told, {
            "longest wait of a write": (210.0, False), "longest wait of a read": (7.0, None),
            "failed writes": (1, False), "failed reads": (0, True),
            "acknowledged writes that are gone": (0, True)})
        self.assertIn("an answer that was wrong: status for …", result["notes"])
        self.assertEqual(report.verdict_of(result), "**not reached**")


class Books(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = os.path.join(self.folder.name, "x.md")
        self.lines = [table.Line(name, "what", "-", lambda run, result: None)
                      for name in ("first", "second")]

    def tearDown(self):
        self.folder.cleanup()

    def book(self, *arguments):
        return main.Book(main.parse_arguments(["--out", self.out] + list(arguments)), self.lines)

    def fill(self, book, names, commit="abc"):
        book.begin(dict(RUN, versions={"commit": commit}))
        for name in names:
            book.put(dict(line_result(name), run=book.number))
        book.finish(1)

    def test_only_replaces_its_line_and_keeps_the_others(self):
        self.fill(self.book(), ["second", "first"], "old")
        self.fill(self.book("--only", "second"), ["second"], "new")
        results = main.read_results(self.book().path)
        self.assertEqual([line["name"] for line in results["lines"]], ["first", "second"])
        commits = [results["runs"][line["run"]]["versions"]["commit"] for line in results["lines"]]
        self.assertEqual(commits, ["old", "new"])

    def test_runs_that_nothing_speaks_of_are_dropped(self):
        for commit in ("a", "b", "c"):
            self.fill(self.book("--only", "first"), ["first"], commit)
        results = main.read_results(self.book().path)
        self.assertEqual([run["versions"]["commit"] for run in results["runs"]], ["c"])

    def test_resume_leaves_out_what_this_commit_has_measured(self):
        self.fill(self.book(), ["first"])
        book = self.book("--resume")
        self.assertTrue(book.done_already("first", "abc", "full"))
        self.assertFalse(book.done_already("first", "abc", "quick"))
        self.assertFalse(book.done_already("first", "def", "full"))
        self.assertFalse(book.done_already("second", "abc", "full"))

    def test_a_damaged_file_is_begun_anew(self):
        with open(self.book().path, "w", encoding="utf-8") as file:
            file.write("{")
        self.fill(self.book("--only", "first"), ["first"])
        self.assertEqual(len(main.read_results(self.book().path)["lines"]), 1)

    def test_only_takes_beginnings_and_prefers_whole_names(self):
        names = [line.name for line in main.chosen_lines(table.LINES, ["gateway"])]
        self.assertEqual(names, ["gateway_16", "gateway_100"])
        names = [line.name for line in main.chosen_lines(table.LINES, ["micro", "memory"])]
        self.assertEqual(names, ["memory", "micro"])
        self.assertRaises(SystemExit, main.chosen_lines, table.LINES, ["no_such_line"])

    def test_every_line_of_the_table_is_complete(self):
        names = [line.name for line in table.LINES]
        self.assertEqual(len(names), len(set(names)))
        for line in table.LINES:
            self.assertTrue(line.what and line.bar)
            self.assertTrue(line.measure or not line.built, line.name)


if __name__ == "__main__":
    unittest.main(verbosity=1)
