# SPDX-License-Identifier: MIT
"""Bad requests by headers, methods and paths, and who may. With those of bad_queries.py and
bad_writes.py they are TABLE. Behind it, tables for clusters that are set up to refuse."""

from bad_rows import (ALL, API, BOTH, FOLLOWER, FOREIGN_CURSOR, GATEWAY, GZIP, JSON_TYPE, LEVEL,
                      LONG, MANY, NODE, OLD, OWN, REVISION, SELECTION, TIMEOUT, at, group, header)
from bad_queries import (BATCH, CHANGES, EXPORT, LISTINGS, PERIOD, SELECTIONS, SNAPSHOT, batch)
from bad_writes import (BASE, DELETE, GENERIC, GENERIC_SAVE, GOOD_CSV, GOOD_SAVE, IMPORT,
                        OLD_PLACES, SAVE, imports, record)

QUERY = {"subjects": "kept"}
HEADERS = (
    group(
        "POST", API + "/snapshot",
        (QUERY, "400 bad_value X-Request-Id", header("X-Request-Id", "two words")),
        (QUERY, "400 bad_value X-Request-Id", header("X-Request-Id", "")),
        (QUERY, "400 bad_value X-Request-Id", header("X-Request-Id", LONG)),
        (QUERY, "400 bad_value X-Request-Id", header("X-Request-Id", "\u00e9")),
        (QUERY, "400 bad_value " + LEVEL, header(LEVEL, "best")),
        (QUERY, "400 bad_value " + LEVEL, header(LEVEL, "")),
        (QUERY, "400 bad_value " + LEVEL, header(LEVEL, "Leader")),
        (QUERY, "400 bad_value " + LEVEL, header(LEVEL, ["any", "any"])),
        (QUERY, "400 bad_value " + REVISION, header(REVISION, "new")),
        (QUERY, "400 bad_value " + REVISION, header(REVISION, "-1")),
        (QUERY, "400 bad_value " + REVISION, header(REVISION, "+1")),
        (QUERY, "400 bad_value " + REVISION, header(REVISION, "")),
        (QUERY, "400 bad_value " + REVISION, header(REVISION, "1.5")),
        (QUERY, "400 bad_value " + REVISION, header(REVISION, "99999999999999999999")),
        (QUERY, "400 bad_value " + REVISION, header(REVISION, ["1", "1"])),
        (QUERY, "503 unavailable " + REVISION, at(NODE, FOLLOWER),
         {"headers": {REVISION: "999999999", TIMEOUT: "300"}}),
        (QUERY, "503 unavailable " + REVISION,  # long enough for the node's word to come first
         {"headers": {REVISION: "999999999", TIMEOUT: "2500", LEVEL: "session"}}),
        *[(QUERY, "400 bad_value " + TIMEOUT, header(TIMEOUT, value))
          for value in ("0", "-1", "60001", "soon", "", "1.5", "1e3", "+500", ["5", "5"])],
        (QUERY, "415 media_type Content-Encoding", GZIP),
        (QUERY, "415 media_type Content-Encoding", header("Content-Encoding", "deflate")),
        (QUERY, "415 media_type Content-Encoding", header("Content-Encoding", "identity, gzip")),
        (QUERY, "400 bad_value Expect", header("Expect", "a miracle"), at(NODE, FOLLOWER)),
        (QUERY, "400 bad_request", header("Expect", "a miracle"), at(GATEWAY)),
        (QUERY, "431 head_too_large", {"headers": {"X-%d" % i: "y" for i in range(70)}}),
        (QUERY, "431 head_too_large", header("X-Large", "y" * 33000)), where=ALL) +
    group("POST", API + "/snapshot", (QUERY, "421 not_leader " + LEVEL, header(LEVEL, "leader")),
          (QUERY, "421 not_leader " + LEVEL, header(LEVEL, "linearizable")), where=FOLLOWER) +
    group("GET", API + "/changes",
          ("after=0", "400 bad_value " + LEVEL, header(LEVEL, "best")),
          ("after=0", "400 bad_value " + REVISION, header(REVISION, "x"))) +
    [row for path in ("/export", "/stats") for row in group(
        "GET", API + path, ("", "400 bad_value " + TIMEOUT, header(TIMEOUT, "0")),
        ("", "400 bad_value X-Request-Id", header("X-Request-Id", "a b")), where=ALL)] +
    group("GET", "/health", ("", "400 bad_value X-Request-Id", header("X-Request-Id", "a b")),
          ("", "400 bad_value " + TIMEOUT, header(TIMEOUT, "x")), where=(NODE, OWN, FOLLOWER)))


def wrong_methods(path, methods, where):
    return [row for method in methods for row in group(
        method, path, (None, "405 method_not_allowed"), where=where)]


METHODS = (
    [row for name in ("snapshot", "period", "subjects", "topics", "indicators")
     for row in wrong_methods(API + "/" + name, ("PUT", "DELETE", "PATCH", "OPTIONS"), BOTH)] +
    [row for name in ("snapshot", "period")
     for row in wrong_methods(SELECTION + "/" + name, ("PUT", "DELETE"), BOTH)] +
    [row for name in ("save", "import", "batch")
     for row in wrong_methods(API + "/" + name, ("GET", "HEAD", "PUT", "DELETE"), BOTH)] +
    [row for name in ("export", "changes", "stats")
     for row in wrong_methods(API + "/" + name, ("POST", "PUT", "DELETE"), BOTH)] +
    wrong_methods(OLD + "/search", ("GET", "DELETE"), OLD_PLACES) +
    [row for path in ("/health", "/health/live", "/health/ready", "/version", "/cluster/info",
                      "/cluster/leader", "/cluster/events")
     for row in wrong_methods(path, ("POST", "DELETE"), (NODE, OWN, FOLLOWER))])

# Operators' paths, with what stands against a body that none of them takes.
ADMIN = [("POST", API + "/cache/reset", "404 not_found"),
         ("POST", API + "/cache/snapshot", "404 not_found"),
         ("POST", "/cluster/register", "400 bad_value node_id"),
         ("POST", "/cluster/deregister", "400 bad_value node_id"),
         ("POST", "/cluster/heartbeat", "400 bad_value node_id"),
         ("POST", "/cluster/failover", "400 bad_value to"),
         ("POST", "/cluster/recover", "400 bad_value accept_loss"),
         ("POST", "/cluster/forget", "400 bad_value id"),
         ("POST", "/api/admin/reload", "404 not_found"),
         ("POST", "/api/admin/sync/push", "404 not_found"),
         ("POST", "/api/admin/sync/request", "404 not_found"),
         ("POST", "/api/sync/resolve", "404 not_found")]
EVERYWHERE = (NODE, GATEWAY, OWN, FOLLOWER)

WHO_MAY = (
    [row for method, path, refusal in ADMIN for row in group(
        method, path,
        ({"to": ""}, refusal, {"headers": JSON_TYPE}),
        ({}, "415 media_type Content-Type"),
        ({}, "415 media_type Content-Type", header("Content-Type", "text/plain")),
        ({}, "403 forbidden Origin",
         {"headers": dict(JSON_TYPE, Origin="http://evil.example")}),
        ({}, "403 forbidden", {"headers": dict(JSON_TYPE, Via="1.1 proxy")}), where=EVERYWHERE)] +
    group(
        "GET", "/api/sync/conflicts",
        (None, "404 not_found"),
        (None, "403 forbidden", header("X-Forwarded-For", "192.0.2.1")),
        (None, "403 forbidden", header("Forwarded", "for=192.0.2.1")),
        (None, "403 forbidden Origin", header("Origin", "null")),
        (None, "404 not_found", {"path": "/api/anything/else"}),
        (None, "403 forbidden", {"path": "/api/anything/else"}, header("Via", "1.1 proxy")),
        (None, "403 forbidden", {"path": "/%61pi/x"}, header("Via", "1.1 proxy")),
        where=EVERYWHERE) +
    group(
        "POST", "/replication/v1/fetch",
        (b"", "403 forbidden", header("Via", "1.1 proxy"), at(NODE, FOLLOWER)),
        (b"", "403 forbidden", at(GATEWAY)),
        (b"", "403 forbidden", {"path": "/replication/v2/x"}, at(GATEWAY)),
        (b"", "404 not_found", {"path": "/replication/v2/x"}, at(NODE, FOLLOWER))))

UNBUILT = [row for path in ("/monitor/circuitbreaker", "/",
                            "/nothing", "/kamaitachi", "/kamaitachi/api",
                            "/kamaitachi/api/data/v2/snapshot", API, API + "/nothing",
                            API + "/snapshot/x", API + "/snapshot%3Flimit=1", API + "/snapshot;x=1",
                            "/KAMAITACHI/api/data/v1/snapshot", "/health/x")
           for row in group("GET", path, (None, "404 not_found"), where=EVERYWHERE)] + [
               row for row in group("GET", "/monitor/status", (None, "404 not_found"),
                                    where=ALL)] + group(
               "POST", API + "/nothing", ({}, "404 not_found"), where=ALL) + group(
                   "POST", "/nothing", ({}, "404 not_found"), where=OWN) + group(
                       "GET", "/datax", (None, "404 not_found"), where=OWN)

PATHS = group(
    "GET", "/",
    *[(None, "400 bad_request path", {"path": path}) for path in (
        "//health", "/./health", "/a/../health", "/health/..", "/.", "/a%2fb", "/a%2Fb", "/a%00",
        "/a%zz", "/a%", "/a%4", "/%ff", "/%c0%af", "/a//b", "/%2e%2e/health", "/kamaitachi//api",
        "/" + "a" * 2000)], where=EVERYWHERE)

NO_PARAMETERS = [row for path in ("/health", "/health/live", "/health/ready", "/version",
                                  "/cluster/info", "/cluster/leader", "/metrics",
                                  API + "/stats")
                 for row in group("GET", path, ("pretty=1", "400 unknown_field pretty"),
                                  ("a%zz=1", "400 bad_value a%zz"),
                                  where=(NODE, OWN, FOLLOWER))] + [
                     row for row in group("GET", "/monitor/status",
                                          ("pretty=1", "400 unknown_field pretty"), where=OWN)]

TABLE = (SNAPSHOT + PERIOD + SELECTIONS + BATCH + LISTINGS + CHANGES + EXPORT + SAVE + DELETE +
         IMPORT + GENERIC + HEADERS + METHODS + WHO_MAY + UNBUILT + PATHS + NO_PARAMETERS)

# --- on clusters of their own --------------------------------------------------------------------

WRONG_TOKENS = [None, "", "Bearer", "Bearer ", "Bearer wrong", "Bearer write-token2", "write-token",
                "Basic d3JpdGU=", "Token write-token", ["Bearer write-token", "Bearer x"]]
WRITES = [("POST", API + "/save", GOOD_SAVE, ""),
          ("POST", API + "/delete", {"subjects": "kept", "all": True}, ""),
          ("POST", API + "/import", GOOD_CSV, BASE),
          ("POST", OLD + "/save", GENERIC_SAVE, "id=1"),
          ("DELETE", OLD + "/delete/x", None, "tableId=1")]


def to_write(expected, **more):
    """A good request to each path that writes."""
    rows = []
    for method, path, body, query in WRITES:
        where = (NODE, OWN) if path.startswith(OLD) else BOTH
        rows += group(method, path, (body, expected, {"query": query}, more), where=where)
    return rows


# [auth] admin_token=admin-token write_token=write-token
TOKENS = [row for token in WRONG_TOKENS for row in to_write(
    "401 unauthorized Authorization",
    headers={} if token is None else {"Authorization": token})] + [
        row for token in WRONG_TOKENS + ["Bearer write-token"]
        for method, path, _ in ADMIN[::4] for row in group(
            method, path, ({}, "401 unauthorized Authorization", {
                "headers": dict(JSON_TYPE, **({} if token is None else {"Authorization": token}))}),
            where=(NODE, GATEWAY, OWN))] + group(
                "POST", "/api/admin/reload",
                ({}, "415 media_type Content-Type", {"headers": {
                    "Authorization": "Bearer admin-token", "Content-Type": "text/plain"}}),
                ({}, "403 forbidden Origin", {"headers": {
                    "Authorization": "Bearer admin-token", "Content-Type": "application/json",
                    "Origin": "http://evil.example"}}),
                ({}, "404 not_found", {"headers": {
                    "Authorization": "Bearer admin-token", "Content-Type": "application/json"}}),
                where=(NODE, GATEWAY, OWN))

# [cluster] secret=…: who asks in the cluster's name must sign.
SIGNATURES = group(
    "POST", "/replication/v1/fetch",
    (b"", "401 unauthorized X-Kamaitachi-Auth"),
    *[(b"", "401 unauthorized X-Kamaitachi-Auth", header("X-Kamaitachi-Auth", value)) for value in (
        "", "v1", "v2 time=1 nonce=0123456789abcdef mac=" + "0" * 64,
        "v1 time=x nonce=0123456789abcdef mac=" + "0" * 64,
        "v1 time=1 nonce=0123456789abcdef mac=" + "0" * 64,
        "v1 time=1 nonce=0123456789abcdef mac=" + "0" * 63,
        "v1 time=1 nonce=0123456789abcdef mac=" + "0" * 64 + " more=1")],
    where=NODE) + group(
        "GET", "/api/anything",
        (None, "401 unauthorized X-Kamaitachi-Auth",
         header("X-Kamaitachi-Auth", "v1 time=1 nonce=0123456789abcdef mac=" + "0" * 64)),
        where=(NODE, OWN, GATEWAY))

# Nobody leads: what is asked of the leader is certainly not done.
NO_LEADER = (
    to_write("503 unavailable") +
    group("GET", "/cluster/leader", (None, "503 unavailable"), where=(NODE, OWN)) +
    group("POST", API + "/snapshot", (QUERY, "503 unavailable"),
          (QUERY, "503 unavailable", header(LEVEL, "leader")),
          (QUERY, "503 unavailable", header(LEVEL, "linearizable")), where=GATEWAY))

# Not in time: questions that take long, and bodies of which the rest does not come. One import has
# committed its first batches by then.
HASTE = header(TIMEOUT, "1")
UNFINISHED = dict(header(TIMEOUT, "700"), missing=100)
LATE = (
    group("POST", API + "/period", ({"topic": "*"}, "504 timeout", HASTE)) +
    group("POST", API + "/snapshot", ({"topic": "*", "field": "x"}, "504 timeout", HASTE)) +
    group("POST", SELECTION + "/period", ({"selection": {"topic": "*"}}, "504 timeout", HASTE)) +
    group("POST", API + "/import", *imports(
        (BASE, b"subject,time,x\nlate,1,1\nlate,2,2\nlate,3", "504 outcome_unknown",
         at(NODE, GATEWAY), UNFINISHED, header(TIMEOUT, "4000")),
        (BASE, b"subject,time,x\nnever,1,1\nnever,2,2\nnev", "503 unavailable",
         at(GATEWAY), UNFINISHED, header(TIMEOUT, "300")),  # before it is passed on
        (BASE, b"subject,ti", "503 unavailable", UNFINISHED, header(TIMEOUT, "3000")))) +
    group("POST", API + "/save",
          (b'{"records":[', "400 bad_request", at(NODE), UNFINISHED),
          (b'{"records":[', "503 unavailable", at(GATEWAY), UNFINISHED)))

# [limits] of a small cluster; see test_bad_requests.py.
LIMITS = group(
    "POST", API + "/snapshot",
    ({"subjects": MANY[:6]}, "413 too_large subjects"),
    ({"ids": MANY[:6]}, "413 too_large ids"),
    ({"limit": 100}, "413 too_large"),
    ({"subjects": [name + "y" * 100 for name in MANY[:50]]}, "413 too_large")) + group(
        "POST", API + "/period",
        ({"topic": "*"}, "413 too_large")) + group(
            "POST", SELECTION + "/period",
            ({"selection": {"topic": "*"}}, "413 too_large")) + group(
                "POST", API + "/batch",
                (batch(*[{"id": name, "op": "snapshot", "body": {"subjects": name}}
                         for name in MANY[:6]]), "413 too_large queries")) + group(
                    "POST", API + "/save",
                    ({"subjects": [{"subject": name} for name in MANY[:6]]},
                     "413 too_large subjects"),
                    ({"records": [{"subject": "s", "time": i} for i in range(11)]},
                     "413 too_large records"),
                    (record(data={"x": 1, "new_one": 1}), "400 bad_value indicators",
                     {"revision": True}),
                    (record(data={"y" * 100 + name: 1 for name in MANY[:40]}), "413 too_large")
                ) + group(
                    "POST", API + "/import",
                    *imports(
                        (BASE + "&on_error=abort", b"subject,time,x\ns,1," + b" " * 5000 + b"1\n",
                         "400 bad_value body"),
                        (BASE, b"subject,time,x," + b"y" * 5000 + b"\n", "400 bad_value header"),
                        (BASE + "&atomic=1",
                         b"subject,time,x\n" + b"".join(b"s,%d,1\n" % i for i in range(19000)),
                         "413 too_large atomic"),
                        (BASE + "&on_error=abort", b"subject,time,x,new_one\ns,1,1,1\n",
                         "400 bad_value indicators", {"revision": True})))

# The node's database was damaged while it was down.
DAMAGED = (
    [row for name in ("snapshot", "period") for row in group(
        "POST", API + "/" + name, ({"subjects": "kept"}, "500 corrupt"), where=BOTH)] +
    group("POST", SELECTION + "/period", ({"selection": {"topic": "t"}}, "500 corrupt")) +
    group("GET", API + "/subjects", ("", "500 corrupt")) +
    group("GET", API + "/export", ("", "500 corrupt")) +
    group("GET", API + "/changes", ("after=0", "500 corrupt")) +
    group("GET", OLD + "/get/kept", ("tableId=1", "500 corrupt"), where=OLD_PLACES) +
    group("POST", OLD + "/search", ({"id": "kept"}, "500 corrupt"), where=OLD_PLACES))

# A node in name only, behind a gateway; "mode" is for it to read: see FakeNode.
FAKE = (
    [row for mode in ("noise", "nothing", "half_a_head", "two_lengths", "bad_length", "old_version",
                      "no_status", "large_head", "bad_chunks_at_once")
     for row in group("GET", API + "/snapshot", ("mode=" + mode, "502 bad_gateway"),
                      where=GATEWAY)] +
    group("GET", API + "/snapshot",
          ("mode=silence", "504 timeout", header(TIMEOUT, "400")), where=GATEWAY) +
    [row for mode in ("noise", "nothing", "half_a_head", "two_lengths", "no_status")
     for row in group("POST", API + "/save",
                      (GOOD_SAVE, "504 outcome_unknown", {"query": "mode=" + mode}),
                      where=GATEWAY)] +
    group("POST", API + "/save", (GOOD_SAVE, "504 outcome_unknown",
                                  {"query": "mode=silence"}, header(TIMEOUT, "400")),
          where=GATEWAY))

# The log no longer reaches back; the cluster has another key for its cursors.
GONE = group("GET", API + "/changes", ("after=0&wait_ms=0", "410 gone after")) + group(
    "POST", API + "/snapshot", ({"cursor": FOREIGN_CURSOR}, "410 gone cursor"))

OF_OWN_CLUSTERS = TOKENS + SIGNATURES + NO_LEADER + LATE + LIMITS + DAMAGED + FAKE + GONE
