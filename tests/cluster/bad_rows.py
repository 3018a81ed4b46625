# SPDX-License-Identifier: MIT
"""How tables of bad requests are written: one row for each, and the answer that is right.

A table is made of groups, one for each path: group(method, path, case…). A case is
(input, expected) or (input, expected, {more}…):

input     a str is a query string (without its "?"), anything else a body: bytes as they are, the
          rest as JSON; None is no body
expected  "status code field"; the field is absent where none is to blame
more      headers   a dict; a list as value sends the header several times
          query, body, method, path   what the case has beside its input, or instead of the group's
          where     NODE (the leader), GATEWAY (the node's path behind /data), OWN (the path as it
                    is, at the gateway), FOLLOWER; BOTH = NODE and GATEWAY, ALL = BOTH and FOLLOWER
          revision  True: refused when it is applied, which takes a revision
          length    False: a body without Content-Length (there is none then)
          missing   so many bytes of the body never come

In bodies and queries, CURSOR stands for a cursor of the cluster, FOREIGN_CURSOR for one of another
cluster. USED_KEY is an Idempotency-Key that was used for a save.
"""

import json
import re

API = "/kamaitachi/api/data/v1"
SELECTION = "/kamaitachi/api/selection/v1"
OLD = "/data/v1"
NODE, GATEWAY, OWN, FOLLOWER = "node", "gateway", "gateway's own", "follower"
BOTH, ALL = (NODE, GATEWAY), (NODE, GATEWAY, FOLLOWER)
CURSOR, FOREIGN_CURSOR, USED_KEY = "@CURSOR@", "@FOREIGN@", "used-already"
LEVEL = "X-Kamaitachi-Consistency"
REVISION = "X-Kamaitachi-Min-Revision"
TIMEOUT = "X-Kamaitachi-Timeout-Ms"
JSON_TYPE = {"Content-Type": "application/json"}
GZIP = {"headers": {"Content-Encoding": "gzip"}}
LONG = "k" * 129  # of a name, one byte too many
MANY = ["k%d" % i for i in range(10001)]


class Row:
    """One bad request and the answer that is right."""

    def __init__(self, method, path, expected, more):
        self.method, self.path = more.get("method", method), more.get("path", path)
        parts = expected.split(" ", 2) + [""]
        self.status, self.code, self.field = int(parts[0]), parts[1], parts[2]
        self.query, self.body = more.get("query", ""), more.get("body")
        self.headers = more.get("headers", {})
        self.where = more["where"]
        if isinstance(self.where, str):
            self.where = (self.where,)
        self.revision, self.length = more.get("revision", False), more.get("length", True)
        self.missing = more.get("missing", 0)

    def payload(self):
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body, ensure_ascii=False).encode()

    def writes(self):
        return bool(re.search(r"/(save|import|delete)\b", self.path))

    def name(self):
        body = self.payload()
        return "%s %s%s%s%s -> %d %s %s" % (
            self.method, self.path, "?" + self.query[:80] if self.query else "",
            " " + ascii(body[:90].decode("utf-8", "replace")) if body is not None else "",
            " " + str(self.headers)[:100] if self.headers else "",
            self.status, self.code, self.field)


def group(method, path, *cases, **common):
    """The rows of one path; `common` stands for what its cases do not say."""
    rows = []
    for given, expected, *rest in cases:
        more = dict({"where": BOTH}, **common)
        if isinstance(given, str):
            more["query"] = given
        elif given is not None:
            more["body"] = given
        for extra in rest:
            more.update(extra)
        rows.append(Row(method, path, expected, more))
    return rows


def at(*where):
    return {"where": where}



def header(name, value):
    return {"headers": {name: value}}


# --- what all queries and all JSON bodies have in common ----------------------------------------- 

BROKEN_JSON = [
    (b"{", "400 bad_value"),
    (b"{} x", "400 bad_value"),
    (b"{}\0", "400 bad_value"),
    (b"{}{}", "400 bad_value"),
    (b"[]", "400 bad_value"),
    (b"null", "400 bad_value"),
    (b"7", "400 bad_value"),
    (b'"text"', "400 bad_value"),
    (b"\xef\xbb\xbf{}", "400 bad_value"),
    (b"\xff\xfe{\0}\0", "400 bad_value"),
    (b"[" * 100000 + b"]" * 100000, "400 bad_value"),
    (b'{"a":' * 17 + b"1" + b"}" * 17, "400 bad_value"),
    (b'{"subjects":[],"subjects":[]}', "400 bad_value subjects"),
    (b'{"subjects":[],"sub\\u006aects":[]}', "400 bad_value subjects"),
    (b'{"subjects":"\xff\xfe"}', "400 bad_value"),
    (b'{"subjects":"\xc0\xaf"}', "400 bad_value"),
    (b'{"subjects":"\xed\xa0\x80"}', "400 bad_value"),
    (b'{"subjects":"\\ud800"}', "400 bad_value"),
    (b'{"subjects":"\\udc00\\ud800"}', "400 bad_value"),
    (b'{"subjects":"\\x41"}', "400 bad_value"),
    (b'{"subjects":"\\u12"}', "400 bad_value"),
    (b'{"subjects":"a\nb"}', "400 bad_value"),
    (b'{"subjects":"a', "400 bad_value"),
    (b'{"subjects":NaN}', "400 bad_value"),
    (b'{"subjects":Infinity}', "400 bad_value"),
    (b'{"subjects":-Infinity}', "400 bad_value"),
    (b'{"subjects":1e999}', "400 bad_value"),
    (b'{"subjects":-1e999}', "400 bad_value"),
    (b'{"subjects":01}', "400 bad_value"),
    (b'{"subjects":+1}', "400 bad_value"),
    (b'{"subjects":.5}', "400 bad_value"),
    (b'{"subjects":1.}', "400 bad_value"),
    (b'{"subjects":0x10}', "400 bad_value"),
    (b'{"subjects":tru}', "400 bad_value"),
    (b"{'subjects':1}", "400 bad_value"),
    (b'{"subjects":[1,]}', "400 bad_value"),
    (b'{"subjects":[],}', "400 bad_value"),
    (b'{"subjects":[] /* all */}', "400 bad_value"),
    (b"subjects=a", "400 bad_value"),
    (b"<subjects/>", "400 bad_value"),
]


def lists(name):
    """A list of keys."""
    return [
        ({name: 5}, "400 bad_value " + name),
        ({name: True}, "400 bad_value " + name),
        ({name: {}}, "400 bad_value " + name),
        ({name: [5]}, "400 bad_value " + name),
        ({name: [None]}, "400 bad_value " + name),
        ({name: [["a"]]}, "400 bad_value " + name),
        ({name: [""]}, "400 bad_value " + name),
        ({name: [LONG]}, "400 bad_value " + name),
        ({name: ["a\nb"]}, "400 bad_value " + name),
        ({name: ["a\x7fb"]}, "400 bad_value " + name),
        ({name: "a,,b"}, "400 bad_value " + name),
        ({name: "a,"}, "400 bad_value " + name),
    ]


def times(name, **beside):
    """A time as a bound."""
    return [(dict({name: value}, **beside), "400 bad_value " + name) for value in (
        "yesterday", "", "2024-02-30", "2024-1-1", "2024-13-01", "0000-01-01", "10000-01-01",
        "2024-01-01T00:00:00Z", "1.5", 0.5, 1e300, 253402300800, -62135596801, True, [], {})]


def numbers(name, most, **beside):
    """A whole number of 0 to most."""
    return [(dict({name: value}, **beside), "400 bad_value " + name) for value in (
        -1, most + 1, 1.5, 1e300, "ten", True, [1], {})]


ORDERS = [0, 2, -2, 1.5, "up", "ASC", "", True, [], {}]
RECORDED = ["soon", "", "2024-13-01", "@", "@x", "@1e3", "@99999999999999", -1, 1.5, 10 ** 15, True,
            [], {}]
