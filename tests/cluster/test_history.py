# SPDX-License-Identifier: MIT
"""A cluster's whole history, exported and brought into an empty one: recorded_by as a time answers
there as it did at home."""

import gzip
import http.client
import json
import random
import threading
import time

from cluster import Node, check, data_file, equal, test, wait_until

SP500 = "subject=symbol&time=date&name=name&category=sector&topic==literal:sp500"
CO2 = "subject=Country&time=Year"
BRING = "format=ndjson"

SLOW_TESTS = ("both_data_sets_come_back_with_their_history",)


def fresh(bench, name, **settings):
    return Node(bench, name, None, **settings).start()


def history(server):
    answer = server.data_get("export?versions=1")
    equal(answer.status, 200, "status of an export: %s" % answer.body[:200])
    return answer.body


def by_rank(body):
    """The lines, with the recorded revisions counted from 1: numbers differ, their order does not."""
    lines = [json.loads(line) for line in body.decode().splitlines()]
    known = sorted({line["recorded"]["revision"] for line in lines})
    rank = {revision: i + 1 for i, revision in enumerate(known)}
    for line in lines:
        line["recorded"]["revision"] = rank[line["recorded"]["revision"]]
    return lines


def bring_history(server, body, headers=None):
    return server.bring(BRING, gzip.compress(body), dict(headers or {}, **{
        "Content-Encoding": "gzip"}))


def next_second():
    now = int(time.time())
    wait_until(lambda: int(time.time()) > now, "the second is over", 3)
    return now


def alike(one, other, name, body, what):
    answers = [server.data_post(name, body) for server in (one, other)]
    equal(answers[0].status, 200, what + ": status")
    check(answers[0].body == answers[1].body, "%s: %s at home, %s there", what,
          answers[0].body[:400], answers[1].body[:400])


def random_record(rng, subjects):
    record = {"subject": rng.choice(subjects), "time": rng.randrange(0, 6) * 86400 * 365,
              "data": {rng.choice("xyz"): rng.choice((None, 1, 2.5, -3)) for _ in range(2)}}
    if rng.random() < 0.6:
        record["declare_date"] = rng.randrange(0, 12) * 86400 * 200
    if rng.random() < 0.3:
        record["period"] = rng.choice(("Q1", "Q4"))
    if rng.random() < 0.2:
        record["year"] = rng.choice((None, "FY"))
    return record


@test
def both_data_sets_come_back_with_their_history(bench):
    home, there = fresh(bench, "master1"), fresh(bench, "master2")
    seconds = [int(time.time()) - 10]
    for query, file in ((SP500, "sp500-fundamentals.csv.gz"), (CO2, "co2-by-nation.csv.gz")):
        with open(data_file(file), "rb") as data:
            home.bring(query, data.read(), {"Content-Encoding": "gzip"})
        seconds.append(next_second())
    body = history(home)
    report = bring_history(there, body)
    equal([report["records"], report["subjects"], report["rejected"]], [44450 + 18769, 767 + 259, 0],
          "the report")
    check(by_rank(history(there)) == by_rank(body), "the histories differ")
    equal(there.data_get("export").body == home.data_get("export").body, True, "the exports agree")
    for second in seconds + [second - 1 for second in seconds]:
        for as_of in (0, "1990-12-31", "2020-06-30"):
            alike(home, there, "snapshot", {
                "topic": "*", "recorded_by": "@%d" % second, "as_of": as_of, "limit": 10000,
                "field": "subject"}, "snapshot as_of %s recorded_by @%d" % (as_of, second))
    alike(home, there, "period", {"subjects": ["AAPL", "MSFT", "UNITED KINGDOM"],
                                  "recorded_by": "@%d" % seconds[1]}, "period")


@test
def declare_times_agree_at_every_second(bench):
    home = fresh(bench, "master9")
    rng = random.Random(11)
    subjects = ["s%d" % i for i in range(8)]
    seconds = [int(time.time()) - 1]
    for _ in range(3):
        for _ in range(25):
            home.save(records=[random_record(rng, subjects) for _ in range(rng.randrange(1, 12))])
        home.save(subjects=[{"subject": rng.choice(subjects), "name": "n%d" % rng.randrange(9),
                             "topics": ["pool"], "tags": {"t": ["a"]}},
                            {"subject": "alone", "category": "c"}])
        # Deletes erase for every bound: their history is what is left.
        answer = home.data_post("delete", {"subjects": [rng.choice(subjects)], "to": 86400 * 400})
        equal(answer.status, 200, "status of a delete")
        home.save(records=[random_record(rng, subjects) for _ in range(10)])
        seconds.append(next_second())
    body = history(home)
    cluster = bench.cluster(slaves=1)
    report = bring_history(cluster.gateway, body, {"Idempotency-Key": "history"})
    equal(report["rejected"], 0, "rejected")
    equal(bring_history(cluster.gateway, body, {"Idempotency-Key": "history"}), report,
          "the report of a repetition")
    cluster.wait_level()
    for there in cluster.nodes:
        check(by_rank(history(there)) == by_rank(body), "the history at %s differs", there.name)
        alike(home, there, "snapshot", {"topic": "*", "recorded_by": "@%d" % seconds[1]},
              "a snapshot at " + there.name)
    # From now on a node need not ask whether more of long ago is coming.
    cluster.gateway.save(records=[{"subject": "later", "time": 1}])
    cluster.wait_level()
    for there in cluster.nodes:
        for second in seconds:
            for as_of in [0] + [86400 * 200 * i for i in range(12)]:
                for name, more in (("snapshot", {"topic": "*", "field": "subject"}),
                                   ("period", {"topic": "pool"})):
                    alike(home, there, name, dict(more, as_of=as_of, recorded_by="@%d" % second),
                          "%s as_of %s recorded_by @%d at %s" % (name, as_of, second, there.name))
    # Where nothing lies between, the numbers agree too.
    there = fresh(bench, "master3")
    bring_history(there, body)
    again = fresh(bench, "master4")
    bring_history(again, history(there))
    check(history(again) == history(there), "a second copy differs from the first")
    # A restart in the middle of everything else changes none of it.
    there.terminate()
    there.start()
    alike(home, there, "snapshot", {"topic": "*", "recorded_by": "@%d" % seconds[1]},
          "after a restart")
    there.save(records=[{"subject": "new", "time": 1}])
    alike(home, there, "snapshot", {"topic": "*", "recorded_by": "@%d" % seconds[-1]},
          "after a write")


@test
def a_history_that_a_killed_node_broke_goes_on_with_its_key(bench):
    home, there = fresh(bench, "master1"), fresh(bench, "master2")
    rng = random.Random(4)
    for _ in range(600):
        home.save(records=[random_record(rng, ["a", "b", "c"])])
    body = history(home)
    key = {"Idempotency-Key": "broken"}
    outcome = []

    def bring():
        try:
            outcome.append(there.data_post("import?" + BRING, body, key).status)
        except (OSError, http.client.HTTPException) as error:
            outcome.append(repr(error))
    importer = threading.Thread(target=bring, daemon=True)
    importer.start()
    wait_until(lambda: there.revision() > 20, "the history comes in")
    there.kill()
    importer.join(30)
    there.start()
    before = there.revision()
    equal(bring_history(there, body, key)["records"], 600, "records")
    print("  killed at revision %d, the import said %s" % (before, outcome))
    check(by_rank(history(there)) == by_rank(body), "the histories differ")
    for second in range(int(time.time()) - 4, int(time.time())):
        alike(home, there, "snapshot", {"topic": "*", "recorded_by": "@%d" % second},
              "a snapshot @%d" % second)


@test
def only_an_empty_cluster_takes_a_history(bench):
    home = fresh(bench, "master1")
    for i in range(3):
        home.save(records=[{"subject": "s", "time": i, "data": {"x": i}}])
    body = history(home)
    there = fresh(bench, "master2")
    there.save(records=[{"subject": "t", "time": 1}])
    before = there.data_get("export?versions=1").body
    answer = there.data_post("import?" + BRING, body)
    equal([answer.status, answer.error().get("field"), answer.headers["x-kamaitachi-outcome"]],
          [400, "recorded", "none"], "into one that is not empty")
    check(b"not empty" in answer.body, "it is said: %s", answer.body)
    check(there.data_get("export?versions=1").body == before, "nothing of it was stored")
    lines = [json.loads(line) for line in body.decode().splitlines()]
    for line in lines:
        if line["recorded"]["revision"] == lines[-1]["recorded"]["revision"]:
            line["recorded"]["wall_ms"] -= 100000
    empty = fresh(bench, "master3")
    for wrong, word in (("\n".join(json.dumps(line) for line in lines), "backwards"),
                        (body.decode() + '{"record":{"subject":"s","time":9}}', "line 5")):
        answer = empty.data_post("import?" + BRING, wrong)
        equal([answer.status, answer.error().get("field")], [400, "recorded"], word)
        check(word in answer.body.decode(), "%r is said: %s", word, answer.body)
        equal(empty.stats()["subjects"], 0, "subjects")
    answer = empty.data_post("import?atomic=1&" + BRING, body)
    equal([answer.status, answer.error().get("field")], [400, "atomic"], "atomic")
    equal(bring_history(empty, body)["records"], 3, "records")
    answer = empty.data_post("import?" + BRING, body)
    equal([answer.status, answer.error().get("field")], [400, "recorded"], "a second time")
    equal(len(history(empty).splitlines()), 4, "lines of the history")
