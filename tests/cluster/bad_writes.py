# SPDX-License-Identifier: MIT
"""Bad writes, by path: save, delete, import, and the generic series with what reads them."""

from bad_rows import (API, BROKEN_JSON, FOLLOWER, GATEWAY, GZIP, LONG, MANY, NODE, OLD, OWN,
                      TIMEOUT, USED_KEY, group, header, lists, times)

def record(**fields):
    return {"records": [dict({"subject": "s", "time": 0, "data": {"x": 1}}, **fields)]}


def subject(**fields):
    return {"subjects": [dict({"subject": "s"}, **fields)]}


def in_record(name, values, code="bad_value", field=None):
    return [(record(**{name: value}), "400 %s records[0].%s" % (code, field or name))
            for value in values]


def in_subject(name, values, field=None):
    return [(subject(**{name: value}), "400 bad_value subjects[0].%s" % (field or name))
            for value in values]


WRONG_TIMES = ["x", "", None, True, [], 0.5, 1e20, "2024-02-30", 253402300800, -62135596801]
WRONG_TEXTS = [5, True, [], {}, LONG, "a\nb"]
WRONG_KEYS = [None, 5, "", [], {}, LONG, "a\tb"]
RESERVED = ["subject", "name", "time", "report_date", "end_date", "year", "period", "declare_date",
            "combine"]
GOOD_SAVE = record()

SAVE = (
    group("POST", API + "/save", *BROKEN_JSON) +
    group(
        "POST", API + "/save",
        (b"", "400 bad_value"),
        ({}, "400 bad_value records"),
        ({"records": [], "subjects": []}, "400 bad_value records"),
        ({"records": [], "if_revision": 1}, "400 bad_value records"),
        ({"records": {}}, "400 bad_value records"),
        ({"records": "s"}, "400 bad_value records"),
        ({"records": [5]}, "400 bad_value records[0]"),
        ({"records": [[]]}, "400 bad_value records[0]"),
        ({"records": [None]}, "400 bad_value records[0]"),
        ({"records": [{"time": 0, "data": {"x": 1}}]}, "400 bad_value records[0].subject"),
        ({"records": [{"subject": "s", "data": {"x": 1}}]}, "400 bad_value records[0].time"),
        *in_record("subject", WRONG_KEYS),
        *in_record("time", WRONG_TIMES),
        *in_record("declare_date", [value for value in WRONG_TIMES if value is not None]),
        *in_record("period", WRONG_TEXTS),
        *in_record("end_date", WRONG_TEXTS),
        *in_record("year", WRONG_TEXTS),
        *in_record("data", [5, [], "x", True]),
        *in_record("data", [{name: 1} for name in RESERVED]),
        *in_record("data", [{"": 1}, {LONG: 1}, {"a\nb": 1}]),
        *in_record("data", [{"x": value} for value in ("1", True, [1], {})], field="data.x"),
        *in_record("mystery", [1], "unknown_field"),
        *in_record("recorded", [{"revision": 1, "wall_ms": 1}], "unknown_field"),
        *[(b'{"records":[{"subject":"s","time":0,"data":{"x":%s}}]}' % text, "400 bad_value")
          for text in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"0x10", b"+1",
                       b".5", b"1.", b"--1")],
        (b'{"records":[{"subject":"s","time":0,"data":{"x":1,"x":2}}]}', "400 bad_value x"),
        # The second record is at fault: the first must not be stored either.
        ({"records": [{"subject": "half", "time": 0, "data": {"x": 1}},
                      {"subject": "half", "time": "no", "data": {"x": 1}}]},
         "400 bad_value records[1].time"),
        ({"records": GOOD_SAVE["records"], "subjects": [{"subject": ""}]},
         "400 bad_value subjects[0].subject"),
        ({"subjects": {}}, "400 bad_value subjects"),
        ({"subjects": ["s"]}, "400 bad_value subjects[0]"),
        ({"subjects": [{"name": "n"}]}, "400 bad_value subjects[0].subject"),
        *in_subject("subject", WRONG_KEYS),
        *in_subject("name", WRONG_TEXTS), *in_subject("status", WRONG_TEXTS),
        *in_subject("listing_date", WRONG_TEXTS), *in_subject("category", WRONG_TEXTS),
        *in_subject("topics", ["p", 5, {}]),
        *in_subject("topics", [[5], [""], ["*"], [LONG], [["p"]]], "topics[0]"),
        *in_subject("topics", [[{"topic": value}] for value in (5, "", "*", LONG)],
                    "topics[0].topic"),
        *in_subject("topics", [[{}]], "topics[0].topic"),
        *in_subject("topics", [[{"topic": "p", "from": 5, "to": 1}]], "topics[0].from"),
        *in_subject("topics", [[{"topic": "p", "from": "x"}]], "topics[0].from"),
        *in_subject("topics", [[{"topic": "p", "to": []}]], "topics[0].to"),
        *in_subject("topics", [["p%d" % i for i in range(1001)]]),
        (subject(topics=[{"topic": "p", "until": 1}]),
         "400 unknown_field subjects[0].topics[0].until"),
        *in_subject("topics_add", ["p", 5, {}]),
        *in_subject("topics_add", [[5], [""], ["*"]], "topics_add[0]"),
        *in_subject("topics_add", [[{"topic": "p", "from": 5, "to": 1}]], "topics_add[0].from"),
        *in_subject("topics_remove", ["p", [5], [""], ["*"], [{"topic": "p"}]]),
        (subject(topics=[], topics_add=["p"]), "400 bad_value subjects[0].topics_add"),
        (subject(topics=[], topics_remove=["p"]), "400 bad_value subjects[0].topics_remove"),
        *in_subject("tags", [["x"], "x", 5]),
        *in_subject("tags", [{"": ["x"]}, {LONG: ["x"]}]),
        *in_subject("tags", [{"concept": value} for value in ("x", 5, {}, [5], [""], [LONG])],
                    "tags.concept"),
        (subject(mystery=1), "400 unknown_field subjects[0].mystery"),
        ({"record": []}, "400 unknown_field record"),
        (dict(GOOD_SAVE, dry_run=True), "400 unknown_field dry_run"),
        *[(dict(GOOD_SAVE, if_revision=value), "400 bad_value if_revision")
          for value in (-1, 1.5, "1", True, [], 1e300)],
        (dict(record(subject="kept"), if_revision=0), "409 changed if_revision",
         {"revision": True}),
        ({"subjects": [{"subject": key} for key in MANY]}, "413 too_large subjects"),
        (b'{"x":"' + b"y" * 20000000 + b'"}', "413 too_large"),
        (GOOD_SAVE, "400 unknown_field id", {"query": "id=1"}),
        (GOOD_SAVE, "400 bad_value Idempotency-Key", header("Idempotency-Key", "two words")),
        (GOOD_SAVE, "400 bad_value Idempotency-Key", header("Idempotency-Key", "")),
        (GOOD_SAVE, "400 bad_value Idempotency-Key", header("Idempotency-Key", LONG)),
        (GOOD_SAVE, "400 bad_value Idempotency-Key", header("Idempotency-Key", "schl\u00fcssel")),
        (GOOD_SAVE, "400 bad_value Idempotency-Key", header("Idempotency-Key", ["a", "b"])),
        (GOOD_SAVE, "409 idempotency_mismatch Idempotency-Key",
         header("Idempotency-Key", USED_KEY)),
        (None, "411 length_required Content-Length", {"length": False}),
        (GOOD_SAVE, "415 media_type Content-Encoding", header("Content-Encoding", "gzip")),
        (GOOD_SAVE, "415 media_type Content-Encoding", header("Content-Encoding", "br"))) +
    group("POST", API + "/save", (GOOD_SAVE, "421 not_leader"), ({}, "421 not_leader"),
          where=FOLLOWER))

DELETE = (
    group("POST", API + "/delete", *BROKEN_JSON[:16]) +
    group(
        "POST", API + "/delete",
        (b"", "400 bad_value"),
        ({}, "400 bad_value subjects"),
        ({"all": True}, "400 bad_value subjects"),
        ({"subjects": [], "all": True}, "400 bad_value subjects"),
        *[(dict(body, all=True), expected) for body, expected in lists("subjects")],
        ({"subjects": "*", "all": True}, "400 bad_value subjects"),
        ({"subjects": ["kept", "*"], "all": True}, "400 bad_value subjects"),
        ({"subjects": MANY, "all": True}, "413 too_large subjects"),
        ({"subjects": "kept"}, "400 bad_value all"),
        ({"subjects": "kept", "all": False}, "400 bad_value all"),
        ({"subjects": "kept", "dry_run": True}, "400 bad_value all"),
        ({"subjects": "kept", "from": 0, "to": 0}, "400 bad_value all"),
        ({"subjects": "kept", "periods": []}, "400 bad_value all"),
        ({"subjects": "kept", "all": True, "from": 5}, "400 bad_value all"),
        ({"subjects": "kept", "all": True, "periods": "Q1"}, "400 bad_value all"),
        *[({"subjects": "kept", "all": value}, "400 bad_value all")
          for value in (1, "true", [], {})],
        *[({"subjects": "kept", "all": True, "dry_run": value}, "400 bad_value dry_run")
          for value in (1, "true", [], {})],
        *times("from", subjects="kept"), *times("to", subjects="kept"),
        ({"subjects": "kept", "from": 2, "to": 1}, "400 bad_value from"),
        ({"subjects": "kept", "periods": 1}, "400 bad_value periods"),
        ({"subjects": "kept", "periods": [1]}, "400 bad_value periods"),
        ({"subjects": "kept", "periods": [LONG]}, "400 bad_value periods"),
        *[({"subjects": "kept", "all": True, "if_revision": value}, "400 bad_value if_revision")
          for value in (-1, 1.5, "1", True)],
        ({"subjects": "kept", "all": True, "if_revision": 0}, "409 changed if_revision",
         {"revision": True}),
        ({"subjects": "kept", "all": True}, "409 idempotency_mismatch Idempotency-Key",
         header("Idempotency-Key", USED_KEY)),
        ({"subjects": "kept", "topic": "t"}, "400 unknown_field topic"),
        ({"subjects": "kept", "all": True, "nonsense": 1}, "400 unknown_field nonsense"),
        ({"subjects": "kept", "all": True}, "400 unknown_field dry_run", {"query": "dry_run=1"}),
        ({"subjects": "kept", "all": True}, "400 bad_value Idempotency-Key",
         header("Idempotency-Key", "a b")),
        (None, "411 length_required Content-Length", {"length": False}),
        ({"subjects": "kept", "all": True}, "415 media_type Content-Encoding",
         header("Content-Encoding", "gzip")),
        (None, "405 method_not_allowed", {"method": "GET"}),
        (None, "405 method_not_allowed", {"method": "DELETE"})) +
    group("POST", API + "/delete", ({"subjects": "kept", "all": True}, "421 not_leader"),
          where=FOLLOWER))

GOOD_CSV = b"subject,time,x\ns,2024-01-01,1\n"
BASE = "subject=subject&time=time"


def imports(*cases):
    """(query, body or None, expected, more…)"""
    return [(query, expected, {"body": GOOD_CSV if body is None else body}, *rest)
            for query, body, expected, *rest in cases]


IMPORT = (
    group(
        "POST", API + "/import",
        *imports(
            ("format=xml", None, "400 bad_value format"),
            ("format=", None, "400 bad_value format"),
            ("on_error=stop", None, "400 bad_value on_error"),
            ("atomic=yes", None, "400 bad_value atomic"),
            ("time_format=iso", None, "400 bad_value time_format"),
            ("time_format=", None, "400 bad_value time_format"),
            ("format=CSV", None, "400 bad_value format"),
            ("subject==LITERAL:a", None, "400 bad_value subject"),
            ("subject=", None, "400 bad_value subject"),
            ("subject=nobody", None, "400 bad_value subject"),
            ("subject==literal:", None, "400 bad_value subject"),
            ("subject==literal:" + LONG, None, "400 bad_value subject"),
            ("subject==literal:a%0ab", None, "400 bad_value subject"),
            ("subject=%ff", None, "400 bad_value subject"),
            ("time=nothing", None, "400 bad_value time"),
            ("subject=s&time==literal:soon", None, "400 bad_value time"),
            ("time==literal:", None, "400 bad_value time"),
            ("time==literal:2024&time_format=date", None, "400 bad_value time"),
            ("declare_date==literal:2024-02-30", None, "400 bad_value declare_date"),
            ("name=nothing", None, "400 bad_value name"),
            ("status=nothing", None, "400 bad_value status"),
            ("category=nothing", None, "400 bad_value category"),
            ("period==literal:" + LONG, None, "400 bad_value period"),
            ("topic==literal:*", None, "400 bad_value topic"),
            ("topic=nothing", None, "400 bad_value topic"),
            ("skip=nothing", None, "400 bad_value skip"),
            ("subject=subject&subject=subject", None, "400 bad_value subject"),
            ("nonsense=1", None, "400 unknown_field nonsense"),
            ("%ff=1", None, "400 bad_value %ff"),
            (BASE, b"", "400 bad_value header"),
            (BASE, b"\xef\xbb\xbf", "400 bad_value header"),
            (BASE, b"subject,time\0,x\n", "400 bad_value time"),
            (BASE, b"a,b\n1,2\n", "400 bad_value subject"),
            (BASE, b"subject,subject,time\na,b,1\n", "400 bad_value subject"),
            (BASE, b"subject,time,x,X\ns,1,1,1\n", "400 bad_value skip"),
            (BASE, b"subject,time,a b,a_b\ns,1,1,1\n", "400 bad_value skip"),
            (BASE, b"subject,time,year\ns,1,2024\n", "400 bad_value skip"),
            (BASE, b"subject,time,--\ns,1,1\n", "400 bad_value skip"),
            (BASE, b"subject,time," + LONG.encode() + b"\ns,1,1\n", "400 bad_value skip"),
            (BASE, b"subject,time,\xff\xfe\ns,1,1\n", "400 bad_value skip"),
            (BASE, b'subject,time,"x\ns,1,1\n', "400 bad_value header"),
            (BASE + "&on_error=abort&atomic=1", b"subject,time,x\ns,soon,1\n",
             "400 bad_value body"),
            (BASE + "&on_error=abort", b"subject,time,x\ns,1\n", "400 bad_value body"),
            (BASE + "&on_error=abort", b"subject,time,x\n,1,1\n", "400 bad_value body"),
            (BASE + "&on_error=abort", b"subject,time,x\ns,1,many\n", "400 bad_value body"),
            (BASE + "&on_error=abort", b"subject,time,x\ns,1,1e999\n", "400 bad_value body"),
            (BASE + "&on_error=abort", b"subject,time,x\ns,1,nan\n", "400 bad_value body"),
            (BASE + "&on_error=abort", b"subject,time,x\n\xff,1,1\n", "400 bad_value body"),
            ("format=ndjson&subject=s", b"", "400 bad_value subject"),
            ("format=ndjson&time_format=date", b"", "400 bad_value time_format"),
            ("format=ndjson&skip=x", b"", "400 bad_value skip"),
            ("format=ndjson&on_error=abort", b"{\n", "400 bad_value body"),
            ("format=ndjson&on_error=abort", b'{"record":{}}\n', "400 bad_value body"),
            ("format=ndjson&on_error=abort", b'{"subject":{"subject":""}}\n', "400 bad_value body"),
            ("format=ndjson&on_error=abort", b'{"series":{}}\n', "400 bad_value body"),
            ("format=ndjson&on_error=abort&atomic=1",
             b'{"record":{"subject":"s","time":0,"data":{"x":1}}}\n[]\n', "400 bad_value body"),
            *[("format=ndjson&on_error=abort", line, "400 bad_value body") for line in (
                b"null\n", b"\xef\xbb\xbf{}\n", b"[" * 100000 + b"\n", b'{"subject":{}}',
                b'{"record":{"subject":"s","time":0},"subject":{"subject":"s"}}\n',
                b'{"recorded":{"revision":1,"wall_ms":1}}\n',
                b'{"subject":{"subject":"s"},"recorded":{"revision":1}}\n',
                b'{"record":{"subject":"s","time":0},"recorded":{"revision":"1","wall_ms":1}}\n')],
            ("format=finance_sqlite", b"", "400 bad_value body"),
            ("format=finance_sqlite", b"not a database, but longer than its head " * 40,
             "400 bad_value body"),
            ("format=finance_sqlite&topic==literal:t", b"", "400 bad_value topic"),
            (BASE, None, "415 media_type Content-Encoding", header("Content-Encoding", "br")),
            (BASE, None, "415 media_type Content-Encoding",
             header("Content-Encoding", "gzip, gzip")),
            (BASE, None, "400 bad_request", GZIP),
            (BASE, b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "400 bad_request", GZIP),
            (BASE, b"", "400 bad_request", GZIP),
            (BASE, None, "400 bad_value Idempotency-Key", header("Idempotency-Key", "a b")),
            (BASE, None, "400 bad_value " + TIMEOUT, header(TIMEOUT, "soon"))),
        (BASE, "411 length_required Content-Length", {"length": False})) +
    group("POST", API + "/import", *imports((BASE, None, "421 not_leader")), where=FOLLOWER))

GENERIC_SAVE = {"id": "x", "data": {"1": [1]}}
OLD_PLACES = (NODE, OWN)


def in_generic(name, values, code="bad_value", field=None):
    return [(dict(GENERIC_SAVE, **{name: value}), "400 %s %s" % (code, field or name),
             {"query": "id=1"}) for value in values]


GENERIC = (
    group("POST", OLD + "/save", *[(body, expected, {"query": "id=1"})
                                   for body, expected in BROKEN_JSON[:16]], where=OLD_PLACES) +
    group(
        "POST", OLD + "/save",
        *[(GENERIC_SAVE, "400 bad_value id", {"query": query})
          for query in ("", "id=", "id=0", "id=4", "id=stock", "id=%ff", "id=1&id=1", "id=01",
                        "id=%2B1", "id=1.0", "id=1%20", "id=STOCK_DATA")],
        (GENERIC_SAVE, "400 unknown_field tableId", {"query": "tableId=1"}),
        (GENERIC_SAVE, "400 unknown_field x", {"query": "id=1&x=1"}),
        (b"", "400 bad_value", {"query": "id=1"}),
        ({"data": {}}, "400 bad_value id", {"query": "id=1"}),
        ({"id": "x"}, "400 bad_value data", {"query": "id=1"}),
        *in_generic("id", [5, None, "", "a/b", LONG, "a\nb"]),
        *in_generic("data", [5, "x", [1]]),
        *in_generic("data", [{"y": [1]}], field="data.y"),
        *in_generic("data", [{"": [1]}], field="data."),
        *in_generic("data", [{"1": value} for value in (1, "1", {}, [], ["1"], [None], [[1]],
                                                        [0] * 257)], field="data.1"),
        *in_generic("data", [{"253402300800": [1]}], field="data.253402300800"),
        *in_generic("data", [{"0": [1], "1970-01-01": [2]}]),
        *in_generic("createTime", ["x", 1.5, [], True]),
        *in_generic("updateTime", ["x", 1.5, [], True]),
        *in_generic("more", [1], "unknown_field"),
        ({"id": "x", "data": {str(i): [0] for i in range(100001)}}, "413 too_large data",
         {"query": "id=1"}),
        (GENERIC_SAVE, "400 bad_value Idempotency-Key", {"query": "id=1"},
         header("Idempotency-Key", "a b")),
        (GENERIC_SAVE, "409 idempotency_mismatch Idempotency-Key",
         {"query": "id=1"}, header("Idempotency-Key", USED_KEY)),
        (GENERIC_SAVE, "415 media_type Content-Encoding", {"query": "id=1"}, GZIP),
        ("id=1", "411 length_required Content-Length", {"length": False}),
        ("id=1", "405 method_not_allowed", {"method": "GET"}),
        ("id=1", "405 method_not_allowed", {"method": "DELETE"}), where=OLD_PLACES) +
    group(
        "GET", OLD + "/get/x",
        ("", "400 bad_value tableId"),
        ("tableId=0", "400 bad_value tableId"),
        ("tableId=1&tableId=1", "400 bad_value tableId"),
        ("tableId=1&from=1", "400 unknown_field from"),
        ("tableId=1", "404 not_found id"),
        ("tableId=1", "404 not_found id", {"method": "HEAD"}),
        ("tableId=1", "400 bad_value id", {"path": OLD + "/get/" + LONG}),
        ("tableId=1", "400 bad_request path", {"path": OLD + "/get/a%0ab"}),
        ("tableId=1", "400 bad_request path", {"path": OLD + "/get/a%2fb"}),
        ("tableId=1", "400 bad_request path", {"path": OLD + "/get/%ff"}),
        ("tableId=1", "404 not_found", {"path": OLD + "/get/a/b"}),
        ("tableId=1", "404 not_found", {"path": OLD + "/get"}),
        ("tableId=1", "405 method_not_allowed", {"method": "POST"}),
        ("tableId=1", "405 method_not_allowed", {"method": "PUT"}),
        where=(NODE, OWN, FOLLOWER)) +
    group("GET", OLD + "/get/x", ("tableId=1", "404 not_found id"),
          ("tableId=9", "400 bad_value tableId"), where=GATEWAY) +
    group(
        "DELETE", OLD + "/delete/x",
        ("", "400 bad_value tableId"),
        ("tableId=7", "400 bad_value tableId"),
        ("tableId=1&y=", "400 unknown_field y"),
        ("tableId=1", "400 bad_value id", {"path": OLD + "/delete/" + LONG}),
        ("tableId=1", "404 not_found", {"path": OLD + "/delete"}),
        ("tableId=1", "404 not_found id", {"revision": True}),
        ("tableId=1", "400 bad_value Idempotency-Key", header("Idempotency-Key", "a b")),
        ("tableId=1", "405 method_not_allowed", {"method": "GET"}), where=OLD_PLACES) +
    group(
        "POST", OLD + "/search", *BROKEN_JSON[:8],
        ({"table": 1}, "400 unknown_field table"),
        ({"tableId": 0}, "400 bad_value tableId"),
        ({"tableId": "stock"}, "400 bad_value tableId"),
        ({"tableId": []}, "400 bad_value tableId"),
        ({"id": 5}, "400 bad_value id"),
        ({"id": ""}, "400 bad_value id"),
        ({"ids": 5}, "400 bad_value ids"),
        ({"ids": MANY}, "413 too_large ids"),
        ({"id": "a", "ids": "b"}, "400 bad_value ids"),
        ({"id": "a", "prefix": "b"}, "400 bad_value prefix"),
        ({"prefix": LONG}, "400 bad_value prefix"),
        ({"from": 2, "to": 1}, "400 bad_value from"),
        ({"from": "x"}, "400 bad_value from"),
        ({"to": []}, "400 bad_value to"),
        ({"offset": 100001}, "400 bad_value offset"),
        ({"limit": 10001}, "400 bad_value limit"),
        ({"limit": -1}, "400 bad_value limit"),
        ({}, "400 unknown_field tableId", {"query": "tableId=1"}), where=(NODE, OWN, FOLLOWER)) +
    group("POST", OLD + "/save", (GENERIC_SAVE, "421 not_leader", {"query": "id=1"}),
          where=FOLLOWER) +
    group("DELETE", OLD + "/delete/x", ("tableId=1", "421 not_leader"), where=FOLLOWER))
