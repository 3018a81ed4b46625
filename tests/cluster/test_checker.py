# SPDX-License-Identifier: MIT
"""The history checker itself: what is right passes, and every wrong history is found."""

import itertools
import os
import random
import sqlite3

import faults
import history
from cluster import Failure, check, equal, test
from history import NONE, OK, UNKNOWN, Account, Op

PLAIN_TESTS = True  # no process of ours runs


def write(value, begin, end, outcome=OK, key="k", client="w", revision=None):
    return Op(client, "write", key, value, begin, end, outcome, revision)


def read(value, begin, end, key="k", client="r", revision=None, level="linearizable"):
    return Op(client, "read", key, value, begin, end, OK, revision, level)


def complaint(wrong, word):
    """Exactly what was planted is found."""
    check(wrong and all(word in sentence for sentence in wrong), "%r is not found: %s", word, wrong)


# --- registers -----------------------------------------------------------------------------------

def has_an_order(ops):
    """The definition itself: tries all orders that respect real time. Only for a handful."""
    sure = [op for op in ops if op.kind == "read" or op.outcome == OK]
    maybe = [op for op in ops if op.kind == "write" and op.outcome == UNKNOWN]
    return any(_ordered(sure + list(some), None)
               for count in range(len(maybe) + 1)
               for some in itertools.combinations(maybe, count))


def _ordered(left, value):
    if not left:
        return True
    first_end = min(op.end if op.outcome == OK else history.FOREVER for op in left)
    for i, op in enumerate(left):
        if op.begin <= first_end and (op.kind == "write" or op.value == value):
            if _ordered(left[:i] + left[i + 1:], op.value):
                return True
    return False


def some_history(rng):
    """Mostly plausible: reads tend to give what was written around them."""
    ops, values = [], [None]
    times = rng.sample(range(40), 14)
    for i in range(rng.randrange(2, 7)):
        begin, end = sorted(times[2 * i:2 * i + 2])
        if rng.random() < 0.5:
            outcome = rng.choice([OK, OK, OK, UNKNOWN, NONE])
            ops.append(write(i, begin, end, outcome))
            if outcome != NONE:
                values.append(i)
        else:
            ops.append(read(rng.choice(values[-3:]), begin, end))
    rng.shuffle(ops)
    return ops


@test
def zones_say_the_same_as_all_orders_tried(_bench):
    rng = random.Random(7)
    good = bad = 0
    for _ in range(20000):
        ops = some_history(rng)
        expected = has_an_order([op for op in ops if op.outcome != NONE])
        wrong = history.registers_linearizable(ops)
        check(expected == (not wrong), "expected %s, got %s: %s", expected, wrong, ops)
        good, bad = good + expected, bad + (not expected)
    check(good > 2000 and bad > 2000, "%d good and %d bad histories", good, bad)


@test
def what_is_wrong_with_a_register_is_named(_bench):
    complaint(history.registers_linearizable([write(1, 0, 1), read(2, 2, 3)]), "never written")
    complaint(history.registers_linearizable([write(1, 0, 1, NONE), read(1, 2, 3)]),
              "never written")
    complaint(history.registers_linearizable([read(1, 0, 1), write(1, 2, 3)]), "before it was")
    complaint(history.registers_linearizable([write(1, 0, 1), read(None, 2, 3)]), "no place")
    complaint(history.registers_linearizable(
        [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)]), "no place")
    complaint(history.registers_linearizable(
        [write(1, 0, 1), write(2, 0, 9), read(2, 2, 3), read(1, 4, 5), read(2, 6, 7)]),
        "both be the value")
    complaint(history.registers_linearizable([write(1, 0, 1), write(1, 2, 3)]), "twice")
    # A write of unknown outcome that was seen can't be unseen.
    complaint(history.registers_linearizable(
        [write(1, 0, 1), write(2, 2, 3, UNKNOWN), read(2, 4, 5), read(1, 6, 7)]), "no place")
    # Right: it takes effect long after its client gave up, or never.
    equal(history.registers_linearizable(
        [write(1, 0, 1), write(2, 2, 3, UNKNOWN), read(1, 4, 5), read(2, 6, 7)]), [], "late")
    equal(history.registers_linearizable(
        [write(1, 0, 1), write(2, 2, 3, UNKNOWN), read(1, 4, 5)]), [], "never")
    # Reads at other levels are not asked for this.
    equal(history.registers_linearizable(
        [write(1, 0, 1), read(None, 2, 3, level="any")]), [], "any")


@test
def keys_are_registers_of_their_own(_bench):
    ops = [write(1, 0, 1, key="a"), write(2, 0, 1, key="b"), read(1, 2, 3, key="a"),
           read(2, 2, 3, key="b")]
    equal(history.registers_linearizable(ops), [], "two keys")
    ops.append(read(1, 4, 5, key="b"))
    complaint(history.registers_linearizable(ops), "b: read, but never")


@test
def a_long_history_is_judged_quickly(_bench):
    """200,000 requests of 100 clients on 20 keys, as a correct register gives them."""
    rng = random.Random(3)
    ops, state, now = [], {}, 0
    for i in range(200000):
        key, now = "k%d" % rng.randrange(20), now + rng.randrange(1, 50)
        begin, end = now - rng.randrange(0, 400), now + rng.randrange(0, 400)
        if i % 2:
            state[key] = i
            ops.append(write(i, begin, end, key=key, revision=i))
        else:
            ops.append(read(state.get(key), begin, end, key=key, revision=i))
    equal(history.registers_linearizable(ops), [], "registers")
    equal(history.revisions_follow_time(ops), [], "revisions")
    reads = [op for op in ops if op.kind == "read"]
    reads[50000].value = reads[30000].value
    reads[50000].key = reads[30000].key
    check(history.registers_linearizable(ops), "one stale read among 100000")


# --- revisions, sessions, the account ------------------------------------------------------------

@test
def revisions_that_go_back_in_real_time_are_found(_bench):
    equal(history.revisions_follow_time(
        [write(1, 0, 3, revision=6), write(2, 1, 4, revision=5), write(3, 5, 6, revision=7),
         read(3, 7, 8, revision=7), read(3, 9, 10, revision=7)]), [], "a good one")
    complaint(history.revisions_follow_time(
        [write(1, 0, 1, revision=6), write(2, 2, 3, revision=5)]), "no greater revision")
    complaint(history.revisions_follow_time(
        [write(1, 0, 1, revision=6), read(1, 2, 3, revision=5)]), "older than what")
    complaint(history.revisions_follow_time(
        [read(1, 0, 1, revision=6), read(1, 2, 3, revision=5)]), "older than what")
    complaint(history.revisions_follow_time(
        [read(1, 0, 1, revision=6), write(1, 2, 3, revision=6)]), "before it began")
    complaint(history.revisions_follow_time(
        [write(1, 0, 1, revision=6), Op("c", "raise", "c", 1, 2, 3, OK, 6)]), "no greater")


@test
def sessions_that_go_back_are_found(_bench):
    mine = write(1, 0, 1, client="s", revision=5)
    equal(history.sessions_hold([mine, read(1, 2, 3, client="s", revision=5, level="session"),
                                 read(None, 4, 5, client="t", revision=4, level="session")]),
          [], "two sessions")
    complaint(history.sessions_hold(
        [mine, read(None, 2, 3, client="s", revision=4, level="session")]), "went back")
    complaint(history.sessions_hold(
        [read(1, 0, 1, client="s", revision=9, level="session"),
         read(1, 2, 3, client="s", revision=8, level="session")]), "went back")
    equal(history.sessions_hold(
        [mine, read(None, 2, 3, client="s", revision=4, level="any")]), [], "level any")


@test
def reads_of_what_is_not_in_the_account_are_found(_bench):
    account = Account({"k": [(3, 1), (7, 2)]})
    equal(history.reads_are_exact(
        [read(None, 0, 1, revision=2, level="any"), read(1, 0, 1, revision=6, level="any"),
         read(2, 0, 1, revision=7, level="any"), read(None, 0, 1, key="z", revision=9)],
        account), [], "a good one")
    complaint(history.reads_are_exact([read(9, 0, 1, revision=7)], account), "not there in the end")
    complaint(history.reads_are_exact([read(1, 0, 1, revision=7)], account), "the account has 2")
    complaint(history.reads_are_exact([read(2, 0, 1, revision=6)], account), "the account has 1")


@test
def lost_doubled_and_undead_writes_are_found(_bench):
    account = Account({"k": [(3, 1), (7, 2)]})
    both = [write(1, 0, 1, revision=3), write(2, 0, 1, UNKNOWN), write(8, 0, 1, UNKNOWN)]
    equal(history.writes_are_there_once(both + [write(9, 0, 1, NONE)], account), [], "a good one")
    complaint(history.writes_are_there_once(both + [write(9, 0, 1, revision=8)], account), "lost")
    complaint(history.writes_are_there_once(both[1:] + [write(1, 0, 1, revision=4)], account),
              "another revision")
    complaint(history.writes_are_there_once(both[:1] + [write(2, 0, 1, NONE)], account),
              "refused and done")
    complaint(history.writes_are_there_once(both[:1], account), "never written")
    complaint(history.writes_are_there_once(both, Account({"k": [(3, 1), (5, 1), (7, 2)]})),
              "done 2 times")


@test
def counters_that_miscount_are_found(_bench):
    def up(value, revision, outcome=OK):
        return Op("c", "raise", "c", value, 0, 1, outcome, revision)

    def wrong(versions, *ops):
        return history.counters_count(ops, Account({"c": versions}), ["c"])
    equal(wrong([(2, 1), (5, 2)], up(1, 2), up(2, None, UNKNOWN), up(1, None, NONE)), [], "good")
    complaint(wrong([(2, 1), (5, 3)], up(1, 2), up(3, 5)), "not the versions")
    complaint(wrong([(2, 1), (5, 1)], up(1, 2), up(1, None, UNKNOWN)), "not the versions")
    check(any("two have raised" in why for why in
              wrong([(2, 1)], up(1, 2), up(1, 2))), "two raises to one value")
    check(any("raised and not there" in why for why in
              wrong([(2, 1)], up(1, 2), up(2, 5))), "a lost raise")
    complaint(wrong([(2, 1), (3, 2)], up(1, 2), up(2, None, NONE)), "stands at 2")


@test
def a_history_with_one_fault_in_a_thousand_is_not_passed(_bench):
    """What a correct cluster shows, made by a model; then one thing is changed, and it is found."""
    def model(seed):
        rng = random.Random(seed)
        ops, versions, now, revision = [], {}, 0, 0
        for i in range(1000):
            now += 10
            key = "k%d" % rng.randrange(5)
            its = versions.setdefault(key, [])
            if rng.random() < 0.5:
                outcome = rng.choice([OK] * 8 + [UNKNOWN, NONE])
                if outcome == OK or (outcome == UNKNOWN and rng.random() < 0.5):
                    revision += 1
                    its.append((revision, i))
                ops.append(write(i, now, now + 5, outcome, key, "c%d" % (i % 7),
                                 revision if outcome == OK else None))
            else:
                ops.append(read(its[-1][1] if its else None, now, now + 5, key, "c%d" % (i % 7),
                                revision, rng.choice(["session", "linearizable", "any"])))
        return rng, ops, versions

    def lose(rng, ops, versions):
        op = rng.choice([op for op in ops if op.kind == "write" and op.outcome == OK])
        versions[op.key].remove((op.revision, op.value))

    def double(rng, _ops, versions):
        its = rng.choice(list(versions.values()))
        its.append((its[-1][0] + 1000, its[0][1]))

    def undead(rng, ops, versions):
        op = rng.choice([op for op in ops if op.kind == "write" and op.outcome == NONE])
        versions[op.key].append((5000, op.value))

    def stale(rng, ops, versions):
        its = [op for op in ops if op.kind == "read" and op.value is not None and
               versions[op.key][0][1] != op.value]
        op = rng.choice(its)
        op.value = versions[op.key][0][1]
    for seed in range(20):
        _, ops, versions = model(seed)
        equal(history.all_wrong(ops, versions), [], "what a model shows")
        for plant in (lose, double, undead, stale):
            rng, ops, versions = model(seed)
            plant(rng, ops, versions)
            check(history.all_wrong(ops, versions), "seed %d: %s is found", seed, plant.__name__)


# --- tables --------------------------------------------------------------------------------------

class PaperNode:
    """The two files of a node, without a node."""

    def __init__(self, bench, name):
        self.name = name
        path = os.path.join(bench.dir, name + ".db")
        self.environment = {"KAMAITACHI_STORE_DB": path}
        self.data = sqlite3.connect(path)
        self.log = sqlite3.connect(faults.log_file(path))
        self.data.executescript("CREATE TABLE meta(name, value); CREATE TABLE version(a, b);"
                                "CREATE TABLE touched(seq, subjects);")
        self.log.executescript("CREATE TABLE entry(seq, epoch, body);")
        self.run("INSERT INTO meta VALUES('node_id', '%s')" % name)
        for i in range(1, 10):
            self.run("INSERT INTO version VALUES(%d, 'x')" % (i * 7 % 10))
            self.run("INSERT INTO touched VALUES(%d, '[]')" % i)
            self.run("INSERT INTO entry VALUES(%d, 1, x'00')" % i, self.log)

    def run(self, sql, db=None):
        db = db or self.data
        db.execute(sql)
        db.commit()


@test
def tables_that_differ_are_found(bench):
    field = faults.Field.__new__(faults.Field)
    field.nodes = [PaperNode(bench, "one"), PaperNode(bench, "two")]
    one, two = field.nodes
    field.compare_tables(0)
    # The front of a log may be cut at each node's own time, not its end.
    one.run("DELETE FROM entry WHERE seq < 4", one.log)
    two.run("DELETE FROM touched WHERE seq < 6")
    field.compare_tables(0)

    def differs(table, sql, db=None, undo=None):
        two.run(sql, db)
        try:
            field.compare_tables(0)
        except Failure as failure:
            check(table in str(failure), "%s is named: %s", table, failure)
        else:
            raise Failure("%s: not found" % sql)
        two.run(undo, db)
        field.compare_tables(0)
    differs("data.version", "UPDATE version SET b = 'y' WHERE a = 3", None,
            "UPDATE version SET b = 'x' WHERE a = 3")
    differs("data.version", "INSERT INTO version VALUES(3, 'x')", None,
            "DELETE FROM version WHERE rowid = (SELECT max(rowid) FROM version)")
    differs("log.entry", "UPDATE entry SET epoch = 2 WHERE seq = 9", two.log,
            "UPDATE entry SET epoch = 1 WHERE seq = 9")
    differs("log.entry", "DELETE FROM entry WHERE seq = 9", two.log,
            "INSERT INTO entry VALUES(9, 1, x'00')")
    differs("data.touched", "DELETE FROM touched WHERE seq = 7", None,
            "INSERT INTO touched VALUES(7, '[]')")
    differs("tables", "CREATE TABLE more(x)", None, "DROP TABLE more")
