# SPDX-License-Identifier: MIT
"""What clients saw, and whether a cluster that keeps its promises can have shown it to them.

An Op is one request as its client saw it: when it began and ended, by one monotonic clock for all,
and what came of it. What a write came to is `ok`, `none` (refused: certainly not done) or
`unknown`; every write carries a value that no other has, so that a read names the write that it
saw.

The nodes' own account, all versions of every key in the order of their revisions (`versions`: {key:
[(revision, value), …]}), is read when all is healed. Both are judged together:

- registers_linearizable: each key is one register to those who read linearizably. By the zones of
  Gibbons and Korach, "Testing Shared Memories", SIAM J. Comput. 26(4), 1997: a write and its reads
  are a cluster; its zone reaches from the first end to the last begin among them. With unique
  values a history is linearizable if and only if no two zones in which these lie in this order
  (forward) overlap, none of the others (backward) lies within a forward one, and no read ends
  before its write begins. O(n log n), and it needs no account of the nodes.
- revisions_follow_time: revisions of writes, and of linearizable reads, never go back in real time.
- reads_are_exact: what any read at any level saw at revision r is what the account has at r: nobody
  ever reads what vanishes later.
- sessions_hold: within a session revisions do not go back, neither behind its own writes.
- writes_are_there_once: acknowledged ones once, at the revision they were told; refused ones never;
  unknown ones at most once.
- counters_count: a counter that is only ever raised by compare-and-set has the versions 1, 2, 3, …

Each gives a list of sentences about what is wrong; empty is good.
"""

import bisect
import json

OK, NONE, UNKNOWN = "ok", "none", "unknown"
FOREVER = float("inf")


class Op:
    """One request. Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine
    share."""
    __slots__ = ("client", "kind", "level", "key", "value", "revision", "begin", "end", "outcome",
                 "status", "why", "server")

    def __init__(self, client, kind, key, value, begin, end, outcome=OK, revision=None,
                 level="", status=200, why="", server=""):
        self.client, self.kind, self.level = client, kind, level
        self.key, self.value, self.revision = key, value, revision
        self.begin, self.end, self.outcome = begin, end, outcome
        self.status, self.why, self.server = status, why, server

    def line(self):
        return json.dumps([getattr(self, name) for name in self.__slots__])

    @classmethod
    def parse(cls, line):
        op = cls.__new__(cls)
        for name, value in zip(cls.__slots__, json.loads(line)):
            setattr(op, name, value)
        return op

    @property
    def took(self):
        """Seconds."""
        return (self.end - self.begin) / 1e9

    def __repr__(self):
        return "%s %s %s=%s r%s %s %s %.3f..%.3f %s %s" % (
            self.client, self.kind, self.key, self.value, self.revision, self.level, self.outcome,
            self.begin / 1e9, self.end / 1e9, self.status, self.why[:120])


class _Zone:
    """What is known of one value of one key."""
    __slots__ = ("write", "first_end", "last_begin")

    def __init__(self, write):
        self.write = write
        self.first_end = FOREVER
        self.last_begin = -FOREVER

    def take(self, begin, end):
        self.first_end = min(self.first_end, end)
        self.last_begin = max(self.last_begin, begin)


def registers_linearizable(ops, counters=()):
    keys = {}
    for op in ops:
        if op.key not in counters and (
                op.kind == "write" or (op.level == "linearizable" and op.outcome == OK)):
            keys.setdefault(op.key, []).append(op)
    wrong = []
    for key, its in keys.items():
        wrong += _register_linearizable(key, its)
    return wrong


def _register_linearizable(key, ops):
    wrong = []
    zones = {None: _Zone(None)}  # the register is empty before the first write
    zones[None].take(-FOREVER, -FOREVER)
    for op in ops:
        if op.kind == "write" and op.outcome != NONE:
            if op.value in zones:
                return ["%s: the value %s is written twice: %s" % (key, op.value, op)]
            zones[op.value] = _Zone(op)
            zones[op.value].take(op.begin, op.end if op.outcome == OK else FOREVER)
    seen = set()
    for op in ops:
        if op.kind == "write":
            continue
        zone = zones.get(op.value)
        if zone is None:
            wrong.append("%s: read, but never written: %s" % (key, op))
            continue
        if zone.write is not None and op.end < zone.write.begin:
            wrong.append("%s: read before it was written: %s; %s" % (key, op, zone.write))
            continue
        seen.add(op.value)
        zone.take(op.begin, op.end)
    # A write that nobody saw and whose outcome nobody knows can be thought of as done last.
    standing = [(value, zone) for value, zone in zones.items()
                if value in seen or zone.write is None or zone.write.outcome == OK]
    return wrong + _zones_conflict(key, standing)


def _zones_conflict(key, zones):
    wrong = []
    forward = sorted(((zone.first_end, zone.last_begin, value) for value, zone in zones
                      if zone.first_end < zone.last_begin), key=lambda entry: entry[:2])
    last = None
    for entry in forward:
        if last is not None and entry[0] < last[1]:
            wrong.append("%s: %s and %s must both be the value at one time (%s, %s)" % (
                key, last[2], entry[2], _span(last), _span(entry)))
        if last is None or entry[1] > last[1]:
            last = entry
    begins = [entry[0] for entry in forward]
    for value, zone in zones:
        if zone.first_end < zone.last_begin:
            continue
        at = bisect.bisect_left(begins, zone.last_begin) - 1
        if at >= 0 and zone.first_end < forward[at][1]:
            wrong.append("%s: %s (%s) has no place within %s (%s)" % (
                key, value, _span((zone.last_begin, zone.first_end)), forward[at][2],
                _span(forward[at])))
    return wrong


def _span(entry):
    return "%.6f..%.6f" % (entry[0] / 1e9, entry[1] / 1e9)


def revisions_follow_time(ops):
    """Who begins after a write has been acknowledged gets a greater revision (a write) or none that
    is smaller (a linearizable read); after a linearizable read none is smaller than what it saw."""
    events = []
    for op in ops:
        if op.outcome == OK and op.revision is not None and (
                op.kind != "read" or op.level == "linearizable"):
            events.append((op.begin, 1, op))
            events.append((op.end, 0, op))
    events.sort(key=lambda event: (event[0], event[1]))
    wrong, written, seen = [], None, None
    floors = {}
    for _, begins, op in events:
        if begins:
            floors[id(op)] = (written, seen)
            continue
        written_before, seen_before = floors.pop(id(op), (None, None))
        if op.kind != "read":
            if written_before and op.revision <= written_before.revision:
                wrong.append("a write got no greater revision than one before it: %s; %s" % (
                    op, written_before))
            elif seen_before and op.revision <= seen_before.revision:
                wrong.append("a write got a revision that was read before it began: %s; %s" % (
                    op, seen_before))
            if written is None or op.revision > written.revision:
                written = op
        else:
            for before in (written_before, seen_before):
                if before and op.revision < before.revision:
                    wrong.append("a linearizable read is older than what was before it: %s; %s" % (
                        op, before))
            if seen is None or op.revision > seen.revision:
                seen = op
    return wrong


class Account:
    """The versions of all keys, as the nodes have them."""

    def __init__(self, versions):
        self.versions = {key: sorted(its) for key, its in versions.items()}
        self.revisions = {key: [revision for revision, _ in its]
                          for key, its in self.versions.items()}
        self.places = {}  # (key, value) -> revisions at which it stands
        for key, its in self.versions.items():
            for revision, value in its:
                self.places.setdefault((key, value), []).append(revision)

    def at(self, key, revision):
        """The value of a key at a revision; None when it had none."""
        at = bisect.bisect_right(self.revisions.get(key, []), revision) - 1
        return self.versions[key][at][1] if at >= 0 else None


def reads_are_exact(ops, account):
    wrong = []
    for op in ops:
        if op.kind != "read" or op.outcome != OK:
            continue
        if op.value is not None and (op.key, op.value) not in account.places:
            wrong.append("read, and not there in the end: %s" % op)
        elif account.at(op.key, op.revision) != op.value:
            wrong.append("the account has %s at this revision: %s" % (
                account.at(op.key, op.revision), op))
    return wrong


def sessions_hold(ops):
    """Of each client: reads at level session are not older than anything the client has seen, its
    own writes included."""
    wrong, newest = [], {}
    for op in sorted(ops, key=lambda op: op.begin):
        if op.outcome != OK or op.revision is None:
            continue
        before = newest.get(op.client)
        if op.level == "session" and op.kind == "read" and before and (
                op.revision < before.revision):
            wrong.append("a session went back: %s after %s" % (op, before))
        if before is None or op.revision > before.revision:
            newest[op.client] = op
    return wrong


def writes_are_there_once(ops, account):
    wrong, known = [], set()
    for op in ops:
        if op.kind != "write":
            continue
        known.add((op.key, op.value))
        at = account.places.get((op.key, op.value), [])
        if op.outcome == OK and not at:
            wrong.append("acknowledged and lost: %s" % op)
        elif op.outcome == OK and op.revision is not None and op.revision not in at:
            wrong.append("acknowledged at another revision than %s: %s" % (at, op))
        elif op.outcome == NONE and at:
            wrong.append("refused and done (%s): %s" % (at, op))
        if len(at) > 1:
            wrong.append("done %d times (%s): %s" % (len(at), at, op))
    for key, value in account.places:
        if (key, value) not in known:
            wrong.append("there and never written: %s=%s" % (key, value))
    return wrong


def counters_count(ops, account, keys):
    wrong = []
    for key in keys:
        values = [value for _, value in account.versions.get(key, [])]
        if values != list(range(1, len(values) + 1)):
            at = next(i for i, value in enumerate(values) if value != i + 1)
            wrong.append("%s has not the versions 1, 2, 3, …: %s" % (
                key, account.versions[key][max(0, at - 2):at + 3]))
        raised = {}
        for op in ops:
            if op.key == key and op.kind == "raise" and op.outcome == OK:
                if op.value in raised:
                    wrong.append("two have raised %s to one value: %s; %s" % (
                        key, op, raised[op.value]))
                raised[op.value] = op
                at = account.places.get((key, op.value), [])
                if op.revision not in at:
                    wrong.append("raised and not there (%s): %s" % (at, op))
        unknown = sum(1 for op in ops
                      if op.key == key and op.kind == "raise" and op.outcome == UNKNOWN)
        if not len(raised) <= len(values) <= len(raised) + unknown:
            wrong.append("%s stands at %d after %d raises and %d of unknown outcome" % (
                key, len(values), len(raised), unknown))
    return wrong


def all_wrong(ops, versions, counters=()):
    """Everything that can be said against a history and the account that was found in the end."""
    account = Account(versions)
    registers = Account({key: its for key, its in versions.items() if key not in counters})
    return (registers_linearizable(ops, counters) + revisions_follow_time(ops) +
            sessions_hold(ops) + reads_are_exact(ops, account) + writes_are_there_once(ops, registers) +
            counters_count(ops, account, counters))
