# SPDX-License-Identifier: MIT
"""Bad questions, by path: the query fields, selections, batches, listings, changes, export."""

from bad_rows import (ALL, API, BROKEN_JSON, CURSOR, FOREIGN_CURSOR, LONG, MANY, ORDERS, RECORDED,
                      SELECTION, group, lists, numbers, times)

SNAPSHOT = (
    group("POST", API + "/snapshot", *BROKEN_JSON, where=ALL) +
    group(
        "POST", API + "/snapshot",
        *lists("ids"), *lists("subjects"),
        ({"ids": MANY}, "413 too_large ids"),
        ({"subjects": MANY}, "413 too_large subjects"),
        ({"subjects": ",".join(MANY)}, "413 too_large subjects"),
        ({"subjects": "a", "topic": "b"}, "400 bad_value topic"),
        ({"subjects": ["a"], "topic": "*"}, "400 bad_value topic"),
        ({"topic": 1}, "400 bad_value topic"),
        ({"topic": ["a"]}, "400 bad_value topic"),
        ({"topic": ""}, "400 bad_value topic"),
        ({"topic": LONG}, "400 bad_value topic"),
        ({"topic": "a\u0000b"}, "400 bad_value"),
        ({"periods": 1}, "400 bad_value periods"),
        ({"periods": [1]}, "400 bad_value periods"),
        ({"periods": {}}, "400 bad_value periods"),
        ({"periods": [LONG]}, "400 bad_value periods"),
        ({"field": "x; DROP TABLE"}, "400 bad_value field"),
        ({"field": "unknown_indicator"}, "400 bad_value field"),
        ({"field": "end_date"}, "400 bad_value field"),
        ({"field": ""}, "400 bad_value field"),
        ({"field": 3}, "400 bad_value field"),
        ({"field": ["x"]}, "400 bad_value field"),
        *[({"order": order}, "400 bad_value order") for order in ORDERS],
        *numbers("limit", 10000), *numbers("offset", 2 ** 53 + 2),
        *times("timestamp"), *times("as_of"),
        *[({"recorded_by": value}, "400 bad_value recorded_by") for value in RECORDED],
        ({"method": 5}, "400 bad_value method"),
        ({"method": ["market:code"]}, "400 bad_value method"),
        ({"fill": "last"}, "400 bad_value fill"),
        ({"fill": ""}, "400 bad_value fill"),
        ({"fill": 1}, "400 bad_value fill"),
        ({"max_age": -1}, "400 bad_value max_age"),
        ({"max_age": 1.5}, "400 bad_value max_age"),
        ({"max_age": "10"}, "400 bad_value max_age"),
        ({"max_age": 1e300}, "400 bad_value max_age"),
        ({"cursor": ""}, "400 bad_value cursor"),
        ({"cursor": "abc"}, "400 bad_value cursor"),
        ({"cursor": "A" * 5000}, "400 bad_value cursor"),
        ({"cursor": 7}, "400 bad_value cursor"),
        ({"cursor": ["abc"]}, "400 bad_value cursor"),
        ({"cursor": CURSOR + "A", "limit": 1}, "400 bad_value cursor"),
        ({"cursor": CURSOR, "limit": 1, "offset": 1}, "400 bad_value cursor"),
        ({"cursor": CURSOR, "limit": 1, "order": 1}, "400 bad_value cursor"),
        ({"cursor": CURSOR, "limit": 1, "topic": "t"}, "400 bad_value cursor"),
        ({"cursor": CURSOR, "limit": 1, "ids": "x"}, "400 bad_value cursor"),
        ({"cursor": FOREIGN_CURSOR, "limit": 1}, "410 gone cursor"),
        ({"nonsense": 1}, "400 unknown_field nonsense"),
        ({"Limit": 1}, "400 unknown_field Limit"),
        ({"": 1}, "400 unknown_field"),
        ({"from": 5}, "400 unknown_field from"),
        ({"interval": "1d"}, "400 unknown_field interval"),
        ({"selection": {"topic": "t"}}, "400 unknown_field selection"),
        (b'{"x":"' + b"y" * 20000000 + b'"}', "413 too_large"),
        ({}, "400 unknown_field limit", {"query": "limit=1"})) +
    group(
        "GET", API + "/snapshot",
        ("limit=-1", "400 bad_value limit"),
        ("limit=ten", "400 bad_value limit"),
        ("limit=1.5", "400 bad_value limit"),
        ("limit=10001", "400 bad_value limit"),
        ("limit=", "400 bad_value limit"),
        ("limit=1&limit=2", "400 bad_value limit"),
        ("offset=x", "400 bad_value offset"),
        ("max_age=x", "400 bad_value max_age"),
        ("order=up", "400 bad_value order"),
        ("topic=%ff", "400 bad_value topic"),
        ("topic=%zz", "400 bad_value topic"),
        ("topic=a%", "400 bad_value topic"),
        ("topic=a%00b", "400 bad_value topic"),
        ("subjects=" + LONG, "400 bad_value subjects"),
        ("subjects=a%0ab", "400 bad_value subjects"),
        ("subjects=a&topic=t", "400 bad_value topic"),
        ("timestamp=never", "400 bad_value timestamp"),
        ("as_of=2024-02-30", "400 bad_value as_of"),
        ("recorded_by=999999999", "400 bad_value recorded_by"),
        ("cursor=x", "400 bad_value cursor"),
        ("cursor=" + FOREIGN_CURSOR, "410 gone cursor"),
        ("fill=all", "400 bad_value fill"),
        ("nonsense=1", "400 unknown_field nonsense"),
        ("%6eonsense=1", "400 unknown_field nonsense"),
        ("limit", "400 bad_value limit"),
        ("selection.topic=t", "400 unknown_field selection"), where=ALL))

PERIOD = (
    group("POST", API + "/period", *BROKEN_JSON[:16]) +
    group(
        "POST", API + "/period",
        ({}, "400 bad_value subjects"),
        (None, "400 bad_value subjects"),
        (b"", "400 bad_value subjects"),
        ({"subjects": []}, "400 bad_value subjects"),
        ({"subjects": ""}, "400 bad_value subjects"),
        *lists("subjects"),
        ({"subjects": MANY}, "413 too_large subjects"),
        ({"subjects": "a", "topic": "b"}, "400 bad_value topic"),
        ({"topic": ""}, "400 bad_value topic"),
        ({"subjects": "a", "ids": 1}, "400 bad_value ids"),
        ({"subjects": "a", "ids": [LONG]}, "400 bad_value ids"),
        ({"subjects": "a", "periods": [5]}, "400 bad_value periods"),
        ({"subjects": "a", "from": "2024-01-02", "to": "2024-01-01"}, "400 bad_value from"),
        ({"subjects": "a", "from": 2, "to": 1}, "400 bad_value from"),
        *times("from", subjects="a"), *times("to", subjects="a"), *times("as_of", subjects="a"),
        *[({"subjects": "a", "order": order}, "400 bad_value order") for order in ORDERS],
        *numbers("limit", 10000, subjects="a"), *numbers("offset", 2 ** 53 + 2, subjects="a"),
        *[({"subjects": "a", "recorded_by": value}, "400 bad_value recorded_by")
          for value in RECORDED],
        ({"subjects": "a", "method": 1}, "400 bad_value method"),
        *[({"subjects": "a", "interval": value}, "400 bad_value interval")
          for value in ("1x", "", "2d", "1D", "1y", "1", 1, ["1d"])],
        *[({"subjects": "a", "interval": "1d", "agg": value}, "400 bad_value agg")
          for value in ("mean", "", "SUM", 1, ["sum"])],
        ({"subjects": "a", "agg": "sum"}, "400 bad_value agg"),
        ({"subjects": "a", "timestamp": 5}, "400 unknown_field timestamp"),
        ({"subjects": "a", "field": "x"}, "400 unknown_field field"),
        ({"subjects": "a", "fill": "none"}, "400 unknown_field fill"),
        ({"subjects": "a", "max_age": 1}, "400 unknown_field max_age"),
        ({"subjects": "a", "cursor": "x"}, "400 unknown_field cursor")) +
    group(
        "GET", API + "/period",
        ("", "400 bad_value subjects"),
        ("topic=t&from=x", "400 bad_value from"),
        ("topic=t&from=2&to=1", "400 bad_value from"),
        ("topic=t&topic=t", "400 bad_value topic"),
        ("topic=t&interval=1h", "400 bad_value interval"),
        ("topic=t&agg=sum", "400 bad_value agg"),
        ("topic=t&limit=-1", "400 bad_value limit"),
        ("topic=t&cursor=x", "400 unknown_field cursor"), where=ALL))


def selections():
    return [
        ({}, "400 bad_value selection"),
        ({"selection": {}}, "400 bad_value selection"),
        ({"selection": []}, "400 bad_value selection"),
        ({"selection": "t"}, "400 bad_value selection"),
        ({"selection": {"topic": 1}}, "400 bad_value selection.topic"),
        ({"selection": {"topic": ""}}, "400 bad_value selection.topic"),
        ({"selection": {"topic": LONG}}, "400 bad_value selection.topic"),
        ({"selection": {"id": ["concept"]}}, "400 bad_value selection.id"),
        ({"selection": {"id": "concept", "keyword": ""}}, "400 bad_value selection.keyword"),
        ({"selection": {"id": "concept", "keyword": 7}}, "400 bad_value selection.keyword"),
        ({"selection": {"keyword": "a\tb"}}, "400 bad_value selection.keyword"),
        ({"selection": {"subject": ["s"]}}, "400 bad_value selection.subject"),
        ({"selection": {"subject": "s", "topic": "t"}}, "400 bad_value selection.topic"),
        ({"selection": {"subject": "s", "id": "concept"}}, "400 bad_value selection.id"),
        ({"selection": {"tag": "x"}}, "400 unknown_field selection.tag"),
        ({"selection": {"topic": "t"}, "subjects": "a"}, "400 bad_value subjects"),
        ({"selection": {"topic": "t"}, "topic": "t"}, "400 bad_value topic"),
        ({"selection": {"topic": "t"}, "field": "unknown_indicator"}, "400 bad_value field"),
        ({"selection": {"topic": "t"}, "order": "up"}, "400 bad_value order"),
        ({"selection": {"topic": "t"}, "limit": 10001}, "400 bad_value limit"),
        ({"selection": {"topic": "t"}, "nonsense": 1}, "400 unknown_field nonsense"),
    ]


SELECTIONS = (
    group("POST", SELECTION + "/snapshot", *BROKEN_JSON[:8], *selections(),
          ({"selection": {"topic": "t"}, "cursor": "x"}, "400 bad_value cursor"),
          ({"selection": {"topic": "t"}, "timestamp": "x"}, "400 bad_value timestamp"),
          ({"selection": {"topic": "t"}, "interval": "1d"}, "400 unknown_field interval")) +
    group("POST", SELECTION + "/period", *BROKEN_JSON[:8], *selections(),
          ({"selection": {"topic": "t"}, "from": 2, "to": 1}, "400 bad_value from"),
          ({"selection": {"topic": "t"}, "agg": "sum"}, "400 bad_value agg"),
          ({"selection": {"topic": "t"}, "cursor": "x"}, "400 unknown_field cursor")) +
    group("GET", SELECTION + "/snapshot",
          ("", "400 bad_value selection"),
          ("selection=t", "400 bad_value selection"),
          ("selection.topic=", "400 bad_value selection.topic"),
          ("selection.topic=t&selection.topic=t", "400 bad_value topic"),
          ("selection.tag=t", "400 unknown_field selection.tag"),
          ("selection.topic=t&limit=x", "400 bad_value limit")) +
    group("GET", SELECTION + "/period",
          ("topic=t", "400 bad_value selection"),
          ("selection.topic=%ff", "400 bad_value selection.topic")))


def batch(*entries):
    return {"queries": list(entries)}


ENTRY = {"id": "a", "op": "snapshot", "body": {}}
BATCH = (
    group(
        "POST", API + "/batch", *BROKEN_JSON[:8],
        ({}, "400 bad_value queries"),
        (None, "400 bad_value queries"),
        ({"queries": {}}, "400 bad_value queries"),
        ({"queries": []}, "400 bad_value queries"),
        ({"queries": "a"}, "400 bad_value queries"),
        (batch(*[{"id": str(i), "op": "snapshot"} for i in range(101)]), "413 too_large queries"),
        (batch(1), "400 bad_value queries[0]"),
        (batch(ENTRY, None), "400 bad_value queries[1]"),
        (batch({"op": "snapshot"}), "400 bad_value queries[0].id"),
        (batch(dict(ENTRY, id=1)), "400 bad_value queries[0].id"),
        (batch(dict(ENTRY, id="")), "400 bad_value queries[0].id"),
        (batch(dict(ENTRY, id=LONG)), "400 bad_value queries[0].id"),
        (batch(ENTRY, ENTRY), "400 bad_value queries[1].id"),
        (batch({"id": "a"}), "400 bad_value queries[0].op"),
        (batch(dict(ENTRY, op="save")), "400 bad_value queries[0].op"),
        (batch(dict(ENTRY, op="batch")), "400 bad_value queries[0].op"),
        (batch(dict(ENTRY, op=1)), "400 bad_value queries[0].op"),
        (batch(dict(ENTRY, body=[])), "400 bad_value queries[0].body"),
        (batch(dict(ENTRY, body="{}")), "400 bad_value queries[0].body"),
        (batch(dict(ENTRY, method="GET")), "400 unknown_field queries[0].method"),
        (dict(batch(ENTRY), limit=1), "400 unknown_field limit"),
        (batch(*[{"id": str(i), "op": "snapshot", "body": {"subjects": MANY[:200]}}
                 for i in range(60)]), "413 too_large queries"),
        (batch(ENTRY), "400 unknown_field limit", {"query": "limit=1"})))

# An answer of 200 whose entries are errors: (query, "status code field") each.
BATCH_ENTRIES = [
    ({"op": "snapshot", "body": {"limit": -1}}, "400 bad_value limit"),
    ({"op": "snapshot", "body": {"field": "unknown_indicator"}}, "400 bad_value field"),
    ({"op": "snapshot", "body": {"nonsense": 1}}, "400 unknown_field nonsense"),
    ({"op": "snapshot", "body": {"recorded_by": 10 ** 9}}, "400 bad_value recorded_by"),
    ({"op": "snapshot", "body": {"subjects": MANY}}, "413 too_large subjects"),
    ({"op": "snapshot", "body": {"cursor": FOREIGN_CURSOR}}, "410 gone cursor"),
    ({"op": "period", "body": {}}, "400 bad_value subjects"),
    ({"op": "period"}, "400 bad_value subjects"),
    ({"op": "period", "body": {"topic": "t", "from": 2, "to": 1}}, "400 bad_value from"),
    ({"op": "selection_snapshot", "body": {}}, "400 bad_value selection"),
    ({"op": "selection_period", "body": {"selection": {"tag": "x"}}},
     "400 unknown_field selection.tag"),
]

LISTINGS = [row for name in ("subjects", "topics", "indicators") for row in group(
    "GET", API + "/" + name,
    ("limit=1001", "400 bad_value limit"),
    ("limit=-1", "400 bad_value limit"),
    ("limit=x", "400 bad_value limit"),
    ("topic=", "400 bad_value topic"),
    ("topic=" + LONG, "400 bad_value topic"),
    ("prefix=" + LONG, "400 bad_value prefix"),
    ("prefix=a%0a", "400 bad_value prefix"),
    ("q=%ff", "400 bad_value q"),
    ("q=a&q=b", "400 bad_value q"),
    ("cursor=x", "400 bad_value cursor"),
    ("cursor=" + CURSOR, "400 bad_value cursor"),
    ("cursor=" + FOREIGN_CURSOR, "410 gone cursor"),
    ("offset=1", "400 unknown_field offset"), where=ALL)] + group(
        "POST", API + "/subjects", *BROKEN_JSON[:6],
        ({"limit": "5"}, "400 bad_value limit"),
        ({"topic": 1}, "400 bad_value topic"),
        ({"q": ["a"]}, "400 bad_value q"),
        ({"prefix": {}}, "400 bad_value prefix"))

CHANGES = group(
    "GET", API + "/changes",
    ("", "400 bad_value after"),
    ("after=", "400 bad_value after"),
    ("after=x", "400 bad_value after"),
    ("after=-1", "400 bad_value after"),
    ("after=1.5", "400 bad_value after"),
    ("after=99999999999999999999", "400 bad_value after"),
    ("after=999999999&wait_ms=0", "400 bad_value after"),
    ("after=1&after=1", "400 bad_value after"),
    ("after=1&wait_ms=30001", "400 bad_value wait_ms"),
    ("after=1&wait_ms=-1", "400 bad_value wait_ms"),
    ("after=1&wait_ms=soon", "400 bad_value wait_ms"),
    ("after=1&limit=10001", "400 bad_value limit"),
    ("after=1&limit=x", "400 bad_value limit"),
    ("after=1&topic=t", "400 unknown_field topic"), where=ALL)

EXPORT = group(
    "GET", API + "/export",
    ("format=xml", "400 bad_value format"),
    ("format=", "400 bad_value format"),
    ("format=csv&format=csv", "400 bad_value format"),
    ("format=finance_sqlite", "400 bad_value format"),
    ("versions=2", "400 bad_value versions"),
    ("versions=yes", "400 bad_value versions"),
    ("format=csv&versions=1", "400 bad_value versions"),
    ("topic=", "400 bad_value topic"),
    ("topic=" + LONG, "400 bad_value topic"),
    ("topic=t&subjects=kept", "400 bad_value topic"),
    ("subjects=a,,b", "400 bad_value subjects"),
    ("subjects=" + LONG, "400 bad_value subjects"),
    ("ids=a%01b", "400 bad_value ids"),
    ("from=x", "400 bad_value from"),
    ("to=2024-02-30", "400 bad_value to"),
    ("from=2&to=1", "400 bad_value from"),
    ("limit=5", "400 unknown_field limit"),
    ("as_of=5", "400 unknown_field as_of"), where=ALL)
