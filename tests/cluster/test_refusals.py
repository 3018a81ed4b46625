# SPDX-License-Identifier: MIT
"""Bad input, at a node and through the gateway: status, code, and a message that names the fault.
Nothing of a refused request is stored."""

import json

from cluster import API, Failure, equal, group, request

DEEP = b"[" * 100000 + b"]" * 100000


def record(**fields):
    return {"records": [dict({"subject": "s", "time": 0, "data": {"x": 1}}, **fields)]}


# path, body, status, code, what the message holds (any case)
BROKEN_JSON = [
    (b"{", 400, "bad_value", "byte"),
    (b"{} x", 400, "bad_value", "byte"),
    (b"[]", 400, "bad_value", "object"),
    (b"null", 400, "bad_value", "object"),
    (b"\xef\xbb\xbf{}", 400, "bad_value", ""),
    (DEEP, 400, "bad_value", "deep"),
    (b'{"topic":"a","topic":"b"}', 400, "bad_value", "topic"),
    (b'{"topic":"\xff\xfe"}', 400, "bad_value", "utf-8"),
    (b'{"topic":"\\ud800"}', 400, "bad_value", ""),
    (b'{"topic":"a\x01b"}', 400, "bad_value", ""),
    (b'{"limit":NaN}', 400, "bad_value", "byte"),
    (b'{"limit":Infinity}', 400, "bad_value", "byte"),
    (b'{"limit":-Infinity}', 400, "bad_value", "byte"),
    (b'{"limit":1e999}', 400, "bad_value", ""),
    (b'{"limit":01}', 400, "bad_value", "byte"),
    (b"{'limit':1}", 400, "bad_value", "byte"),
    (b'{"limit":1,}', 400, "bad_value", "byte"),
]

SNAPSHOT = [
    ({"nonsense": 1}, "unknown_field", "nonsense"),
    ({"ids": 5}, "bad_value", "ids"),
    ({"ids": [5]}, "bad_value", "ids"),
    ({"ids": {}}, "bad_value", "ids"),
    ({"ids": ["x" * 129]}, "bad_value", "ids"),
    ({"subjects": 7}, "bad_value", "subjects"),
    ({"subjects": [["a"]]}, "bad_value", "subjects"),
    ({"subjects": ["a\nb"]}, "bad_value", "subjects"),
    ({"subjects": ["k%d" % i for i in range(10001)]}, "too_large", "subjects", 413),
    ({"subjects": "a", "topic": "b"}, "bad_value", "topic"),
    ({"topic": 1}, "bad_value", "topic"),
    ({"topic": ["a"]}, "bad_value", "topic"),
    ({"periods": 1}, "bad_value", "periods"),
    ({"field": "x; DROP TABLE"}, "bad_value", "field"),
    ({"field": "unknown_indicator"}, "bad_value", "field"),
    ({"field": 3}, "bad_value", "field"),
    ({"order": 2}, "bad_value", "order"),
    ({"order": "up"}, "bad_value", "order"),
    ({"order": []}, "bad_value", "order"),
    ({"order": 0}, "bad_value", "order"),
    ({"limit": -1}, "bad_value", "limit"),
    ({"limit": 10001}, "bad_value", "limit"),
    ({"limit": 1e300}, "bad_value", "limit"),
    ({"limit": 1.5}, "bad_value", "limit"),
    ({"limit": True}, "bad_value", "limit"),
    ({"limit": [1]}, "bad_value", "limit"),
    ({"offset": -1}, "bad_value", "offset"),
    ({"offset": 1e300}, "bad_value", "offset"),
    ({"offset": {}}, "bad_value", "offset"),
    ({"timestamp": "yesterday"}, "bad_value", "timestamp"),
    ({"timestamp": "2024-02-30"}, "bad_value", "timestamp"),
    ({"timestamp": "2024-1-1"}, "bad_value", "timestamp"),
    ({"timestamp": "0000-01-01"}, "bad_value", "timestamp"),
    ({"timestamp": 1e300}, "bad_value", "timestamp"),
    ({"timestamp": 0.5}, "bad_value", "timestamp"),
    ({"timestamp": 253402300800}, "bad_value", "timestamp"),
    ({"timestamp": -62135596801}, "bad_value", "timestamp"),
    ({"timestamp": True}, "bad_value", "timestamp"),
    ({"as_of": "soon"}, "bad_value", "as_of"),
    ({"as_of": []}, "bad_value", "as_of"),
    ({"recorded_by": "2024-13-01"}, "bad_value", "recorded_by"),
    ({"recorded_by": "@x"}, "bad_value", "recorded_by"),
    ({"recorded_by": -1}, "bad_value", "recorded_by"),
    ({"recorded_by": 10 ** 15}, "bad_value", "recorded_by"),
    ({"method": 5}, "bad_value", "method"),
    ({"cursor": "abc"}, "bad_value", "cursor"),
    ({"cursor": ""}, "bad_value", "cursor"),
    ({"cursor": ["abc"]}, "bad_value", "cursor"),
    ({"fill": "last"}, "bad_value", "fill"),
    ({"fill": 1}, "bad_value", "fill"),
    ({"max_age": -1}, "bad_value", "max_age"),
    ({"max_age": "10"}, "bad_value", "max_age"),
]

PERIOD = [
    ({}, "bad_value", "subjects"),
    ({"subjects": []}, "bad_value", "subjects"),
    ({"subjects": "a", "topic": "b"}, "bad_value", "topic"),
    ({"subjects": "a", "from": "2024-01-02", "to": "2024-01-01"}, "bad_value", "from"),
    ({"subjects": "a", "from": 2, "to": 1}, "bad_value", "from"),
    ({"subjects": "a", "from": "x"}, "bad_value", "from"),
    ({"subjects": "a", "to": 1e99}, "bad_value", "to"),
    ({"subjects": "a", "order": "sideways"}, "bad_value", "order"),
    ({"subjects": "a", "limit": -5}, "bad_value", "limit"),
    ({"subjects": "a", "limit": 10001}, "bad_value", "limit"),
    ({"subjects": "a", "offset": -1}, "bad_value", "offset"),
    ({"subjects": "a", "timestamp": 5}, "unknown_field", "timestamp"),
    ({"subjects": "a", "field": "x"}, "unknown_field", "field"),
    ({"subjects": "a", "interval": "1x"}, "bad_value", "interval"),
    ({"subjects": "a", "agg": "sum"}, "bad_value", "agg"),
]

SAVE = [
    ({"record": []}, "unknown_field", "record"),
    ({"records": {}}, "bad_value", "records"),
    ({"records": [5]}, "bad_value", "records[0]"),
    ({"records": [{"time": 0, "data": {"x": 1}}]}, "bad_value", "subject"),
    ({"records": [{"subject": "s", "data": {"x": 1}}]}, "bad_value", "time"),
    (record(subject=5), "bad_value", "subject"),
    (record(subject=""), "bad_value", "subject"),
    (record(subject="x" * 129), "bad_value", "subject"),
    (record(subject="a\tb"), "bad_value", "subject"),
    (record(time="x"), "bad_value", "time"),
    (record(time=1e20), "bad_value", "time"),
    (record(time=None), "bad_value", "time"),
    (record(period=5), "bad_value", "period"),
    (record(period="a\nb"), "bad_value", "period"),
    (record(declare_date="2024-02-30"), "bad_value", "declare_date"),
    (record(end_date=5), "bad_value", "end_date"),
    (record(data=[]), "bad_value", "data"),
    (record(data={"x": "1"}), "bad_value", "x"),
    (record(data={"x": True}), "bad_value", "x"),
    (record(data={"x": [1]}), "bad_value", "x"),
    (record(data={"subject": 1}), "bad_value", "subject"),
    (record(data={"combine": 1}), "bad_value", "combine"),
    (record(data={"": 1}), "bad_value", "data"),
    (record(data={"y" * 129: 1}), "bad_value", "data"),
    (record(mystery=1), "unknown_field", "mystery"),
    ({"subjects": [{"name": "n"}]}, "bad_value", "subject"),
    ({"subjects": [{"subject": "s", "name": 5}]}, "bad_value", "name"),
    ({"subjects": [{"subject": "s", "topics": "p"}]}, "bad_value", "topics"),
    ({"subjects": [{"subject": "s", "topics": [5]}]}, "bad_value", "topics"),
    ({"subjects": [{"subject": "s", "topics": [{"topic": "p", "from": 5, "to": 1}]}]},
     "bad_value", "from"),
    ({"subjects": [{"subject": "s", "tags": ["x"]}]}, "bad_value", "tags"),
    ({"subjects": [{"subject": "s", "topics_add": "p"}]}, "bad_value", "topics_add"),
    ({"subjects": [{"subject": "s", "topics_remove": [{"topic": "p"}]}]}, "bad_value",
     "topics_remove"),
    ({"subjects": [{"subject": "s", "topics": ["q"], "topics_add": ["p"]}]}, "bad_value",
     "topics_add"),
    ({"records": [], "if_revision": 1}, "bad_value", "records"),
    ({"subjects": [{"subject": "s"}], "if_revision": "1"}, "bad_value", "if_revision"),
    ({"subjects": [{"subject": "s"}], "if_revision": -1}, "bad_value", "if_revision"),
    # The second record is at fault: the first must not be stored either.
    ({"records": [{"subject": "half", "time": 0, "data": {"x": 1}},
                  {"subject": "half", "time": "no", "data": {"x": 1}}]}, "bad_value", "records[1]"),
]

DELETE = [
    ({}, "bad_value", "subjects"),
    ({"all": True}, "bad_value", "subjects"),
    ({"subjects": [], "all": True}, "bad_value", "subjects"),
    ({"subjects": ["*"], "all": True}, "bad_value", "subjects"),
    ({"subjects": "*", "from": 1}, "bad_value", "subjects"),
    ({"subjects": ["kept"]}, "bad_value", "all"),
    ({"subjects": ["kept"], "all": False}, "bad_value", "all"),
    ({"subjects": ["kept"], "dry_run": True}, "bad_value", "all"),
    ({"subjects": ["kept"], "periods": []}, "bad_value", "all"),
    ({"subjects": ["kept"], "from": 0}, "bad_value", "all"),
    ({"subjects": ["kept"], "all": True, "to": 5}, "bad_value", "all"),
    ({"subjects": ["kept"], "all": 1}, "bad_value", "all"),
    ({"subjects": ["kept"], "from": 6, "to": 5}, "bad_value", "from"),
    ({"subjects": ["kept"], "from": "then"}, "bad_value", "from"),
    ({"subjects": ["kept"], "to": "2024-13-01"}, "bad_value", "to"),
    ({"subjects": ["kept"], "periods": [4]}, "bad_value", "periods"),
    ({"subjects": ["kept"], "all": True, "dry_run": "yes"}, "bad_value", "dry_run"),
    ({"subjects": ["kept"], "all": True, "if_revision": 0.5}, "bad_value", "if_revision"),
    ({"subjects": ["kept"], "all": True, "topic": "t"}, "unknown_field", "topic"),
    ({"subjects": ["s%d" % i for i in range(10001)], "all": True}, "too_large", "subjects", 413),
]

# method, path below the API (or absolute), headers, body, status, code, message
REQUESTS = [
    ("POST", "snapshot", {"X-Kamaitachi-Min-Revision": "new"}, b"{}", 400, "bad_value",
     "min-revision"),
    ("POST", "snapshot", {"X-Kamaitachi-Consistency": "linearizable"}, b"{}", 400, "not_supported",
     "consistency"),
    ("POST", "snapshot", {"X-Kamaitachi-Consistency": "best"}, b"{}", 400, "bad_value",
     "consistency"),
    ("POST", "snapshot", {"X-Kamaitachi-Timeout-Ms": "0"}, b"{}", 400, "bad_value",
     "timeout-ms"),
    ("POST", "save", {"Idempotency-Key": "two words"}, b'{"records":[]}', 400, "bad_value",
     "idempotency-key"),
    ("POST", "save", {"Idempotency-Key": "k" * 129}, b'{"records":[]}', 400, "bad_value",
     "idempotency-key"),
    ("POST", "delete", {"Idempotency-Key": ""}, b'{"subjects":["kept"],"all":true}', 400,
     "bad_value", "idempotency-key"),
    ("GET", "save", {}, None, 405, "method_not_allowed", ""),
    ("GET", "delete", {}, None, 405, "method_not_allowed", ""),
    ("POST", "delete?all=1", {}, b'{"subjects":["kept"],"all":true}', 400, "unknown_field", "all"),
    ("DELETE", "snapshot", {}, None, 405, "method_not_allowed", ""),
    ("POST", "nothing_of_that_name", {}, b"{}", 404, "not_found", ""),
    ("GET", "/kamaitachi/nowhere", {}, None, 404, "not_found", ""),
]

# Hostile paths and who may: beneath the root, the same on both.
PATHS = [
    ("GET", "//health", {}, 400, "bad_request"),
    ("GET", "/./health", {}, 400, "bad_request"),
    ("GET", "/a/../health", {}, 400, "bad_request"),
    ("GET", "/a%2fb", {}, 400, "bad_request"),
    ("GET", "/a%00", {}, 400, "bad_request"),
    ("GET", "/a%zz", {}, 400, "bad_request"),
    ("GET", "/a%", {}, 400, "bad_request"),
    ("GET", "/%ff", {}, 400, "bad_request"),
    ("POST", "/api/admin/reload", {"X-Forwarded-For": "1.2.3.4",
                                   "Content-Type": "application/json"}, 403, "forbidden"),
    ("POST", "/api/admin/reload", {"Via": "1.1 x", "Content-Type": "application/json"},
     403, "forbidden"),
    ("POST", "/api/admin/reload", {"Origin": "http://evil.example",
                                   "Content-Type": "application/json"}, 403, "forbidden"),
    ("POST", "/api/admin/reload", {"Content-Type": "text/plain"}, 415, "media_type"),
    ("POST", "/api/admin/reload", {"Content-Type": "application/json"}, 404, "not_found"),
    ("GET", "/api/anything", {"Forwarded": "for=1.2.3.4"}, 403, "forbidden"),
]


@group
class Refusals:
    """Every table against the master and through the gateway."""

    def setup(self, bench):
        self.cluster = bench.cluster(slaves=1)
        self.servers = [self.cluster.master, self.cluster.gateway]
        self.cluster.master.save(
            subjects=[{"subject": "kept", "name": "Kept", "topics": ["t"]}],
            records=[{"subject": "kept", "time": "2024-01-01", "data": {"x": 1}}])
        self.cluster.wait_level()
        self.before = self._facts()

    def _facts(self):
        stats = self.cluster.master.stats()
        return [stats[key] for key in ("total_records", "subjects", "indicators", "revision")]

    def _refused(self, what, answer, status, code, message):
        """One fault as text, or None."""
        try:
            envelope = answer.json()
        except Failure as failure:
            return "%s: %d, %s" % (what, answer.status, failure)
        if not isinstance(envelope, dict):
            return "%s: the body is %s" % (what, answer.body[:100])
        error = envelope.get("error") or {}
        faults = []
        if answer.status != status or envelope.get("status_code") != status:
            faults.append("status %d (%s)" % (answer.status, envelope.get("status_code")))
        if error.get("code") != code:
            faults.append("code %s" % error.get("code"))
        if envelope.get("data", 1) is not None:
            faults.append("data is not null")
        if error.get("retry") not in ("no", "same", "later"):
            faults.append("retry %s" % error.get("retry"))
        said = (str(envelope.get("status_msg")) + " " + str(error.get("field"))).lower()
        if message.lower() not in said:
            faults.append("message %r" % envelope.get("status_msg"))
        if not faults:
            return None
        return "%s gives %s; expected %d %s with %r" % (what, ", ".join(faults), status, code,
                                                        message)

    def _run(self, rows):
        """rows: (what, server, method, path, body, headers, status, code, message)"""
        wrong = []
        for what, server, method, path, body, headers, status, code, message in rows:
            try:
                answer = request(server.addr, method, path, body, headers)
            except Exception as error:  # pylint: disable=broad-except
                wrong.append("%s: %s: %r" % (server.name, what, error))
                continue
            fault = self._refused("%s: %s" % (server.name, what), answer, status, code, message)
            if fault:
                wrong.append(fault)
        equal(self._facts(), self.before, "what is stored after refused requests")
        if wrong:
            raise Failure("%d of %d:\n%s" % (len(wrong), len(rows), "\n".join(wrong[:40])))

    def _each(self, name, table):
        rows = []
        for server in self.servers:
            for row in table:
                if isinstance(row[0], bytes):
                    body, status, code, message = row
                else:
                    fields, code, message = row[:3]
                    body, status = json.dumps(fields).encode(), (row[3:] or (400,))[0]
                rows.append(("%s %s" % (name, body[:90]), server, "POST",
                             server.data_prefix + API + "/" + name, body,
                             {"Content-Type": "application/json"}, status, code, message))
        self._run(rows)

    def broken_json_is_refused_by_snapshot(self):
        self._each("snapshot", BROKEN_JSON)

    def broken_json_is_refused_by_period(self):
        self._each("period", BROKEN_JSON)

    def broken_json_is_refused_by_save(self):
        self._each("save", BROKEN_JSON)

    def wrong_fields_are_refused_by_snapshot(self):
        self._each("snapshot", SNAPSHOT)

    def wrong_fields_are_refused_by_period(self):
        self._each("period", PERIOD)

    def wrong_fields_are_refused_by_save(self):
        self._each("save", SAVE)

    def broken_json_is_refused_by_delete(self):
        self._each("delete", BROKEN_JSON)

    def wrong_fields_are_refused_by_delete(self):
        self._each("delete", DELETE)

    def numbers_that_are_none_are_refused_by_save(self):
        self._each("save", [
            (b'{"records":[{"subject":"s","time":0,"data":{"x":%s}}]}' % text, 400, "bad_value", "")
            for text in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"0x10", b"+1",
                         b".5", b"1.", b"--1")])

    def what_is_not_built_or_not_there_is_refused(self):
        rows = []
        for server in self.servers:
            for method, path, headers, body, status, code, message in REQUESTS:
                full = path if path.startswith("/") else API + "/" + path
                rows.append(("%s %s %s" % (method, path, headers), server, method,
                             server.data_prefix + full, body, headers, status, code, message))
        self._run(rows)

    def hostile_paths_and_strangers_are_refused(self):
        self._run([("%s %s %s" % (method, path, headers), server, method, server.data_prefix + path,
                    b"{}" if method == "POST" else None, headers, status, code, "")
                   for server in self.servers for method, path, headers, status, code in PATHS])

    def a_wrong_method_names_the_right_ones(self):
        for server in self.servers:
            answer = server.data_get("save")
            equal([answer.status, answer.headers.get("allow")], [405, "POST"],
                  "status and Allow at %s" % server.name)

    def a_huge_body_is_refused(self):
        self._run([("%s of 20 MB" % name, server, "POST", server.data_prefix + API + "/" + name,
                    b'{"x":"' + b"y" * 20000000 + b'"}', {"Content-Type": "application/json"},
                    413, "too_large", "")
                   for server in self.servers for name in ("snapshot", "save")])

    def every_answer_carries_its_headers(self):
        for server in self.servers:
            for answer in (server.data_post("snapshot", {}), server.data_post("snapshot", {"a": 1})):
                for header in ("x-request-id", "date", "x-kamaitachi-revision", "x-kamaitachi-epoch",
                               "x-kamaitachi-node", "x-kamaitachi-role", "x-kamaitachi-lag-ms"):
                    if header not in answer.headers:
                        raise Failure("%s: no %s in %s" % (server.name, header, answer.headers))
            answer = server.data_post("snapshot", {}, {"X-Request-Id": "abc-123"})
            equal(answer.headers["x-request-id"], "abc-123", "X-Request-Id given")

    def all_is_still_well(self):
        for server in self.cluster.everyone():
            equal(server.is_well(), True, "%s is well" % server.name)
        self.cluster.ask_all("snapshot", {"topic": "t"})
