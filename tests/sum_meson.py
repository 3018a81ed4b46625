#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts single tests in a meson-logs/testlog.json: what each program says in its last line
`N passed, N failed`, or one for a program that says nothing of the kind.

usage: sum_meson.py TESTLOG
"""

import json
import re
import sys


def count(entry):
    """(passed, failed, skipped) of one program."""
    good = entry["result"] in ("OK", "EXPECTEDFAIL")
    if entry["result"] == "SKIP":
        return 0, 0, 1
    sums = re.findall(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", entry.get("stdout", ""),
                      re.M)
    if not sums:
        return (1, 0, 0) if good else (0, 1, 0)
    passed, failed, skipped = (int(n or 0) for n in sums[-1])
    if not good and failed == 0:
        failed = 1  # it said all is well and then fell: a leak, a crash at the end, a timeout
    return passed, failed, skipped


def main(path):
    total = [0, 0, 0]
    with open(path, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            numbers = count(entry)
            total = [a + b for a, b in zip(total, numbers)]
            if numbers[1]:
                print("FAIL - %s (%s)" % (entry["name"], entry["result"]))
    print("%d passed, %d failed%s" % (total[0], total[1],
                                      ", %d skipped" % total[2] if total[2] else ""))
    return 1 if total[1] else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
