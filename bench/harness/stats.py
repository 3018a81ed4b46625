# SPDX-License-Identifier: MIT
"""The few statistics that a comparison rests on.

Contenders are measured in turn, round by round, so that what the machine does meanwhile meets all of
them alike. A ratio is taken inside a round and the median of these ratios is what counts: a round
that was disturbed moves it by one rank and not by its size.
"""

import math


def median(values):
    """The middle one; of an even number the mean of the two in the middle."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values, percent):
    """The smallest value that at least `percent` of all are not above (nearest rank)."""
    if not values:
        raise ValueError("no values")
    if not 0 <= percent <= 100:
        raise ValueError("percent must be in 0..100")
    ordered = sorted(values)
    rank = max(1, math.ceil(percent / 100 * len(ordered) - 1e-9))
    return ordered[rank - 1]


def ratios(ours, theirs):
    """ours/theirs round by round; rounds in which either is missing (None) do not count."""
    if len(ours) != len(theirs):
        raise ValueError("%d rounds against %d" % (len(ours), len(theirs)))
    return [a / b for a, b in zip(ours, theirs) if a is not None and b]


def spread(values):
    """(max - min) / median: how far the rounds lie apart; 0 of one round."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def summary(values):
    """Percentiles of many single measurements, as the report shows them."""
    return {"count": len(values), "min": min(values), "p50": percentile(values, 50),
            "p90": percentile(values, 90), "p95": percentile(values, 95),
            "p99": percentile(values, 99), "max": max(values)}


def reached(value, bar):
    """Does a value hold against a bar? bar: (">=" or "<=", number)."""
    sign, number = bar
    if sign not in (">=", "<="):
        raise ValueError("a bar is >= or <=, not %r" % sign)
    return value >= number if sign == ">=" else value <= number


def shown(value):
    """A number for people: three significant digits, thousands apart."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return "{:,.0f}".format(value)
    digits = max(0, 2 - math.floor(math.log10(size) + 1e-12))
    return "%.*f" % (digits, value)
