# SPDX-License-Identifier: MIT
"""Data in and out: what an export says, and that an import reads it back as it was."""

import gzip
import http.client
import json
import random
import socket
import threading
import time as clock

from cluster import API, SLOW, Node, check, data_file, equal, group, test, wait_until

SP500 = "subject=symbol&time=date&name=name&category=sector&topic==literal:sp500"
CO2 = "subject=Country&time=Year"

SLOW_TESTS = ("both_data_sets_come_back_as_they_were",
              "an_export_under_a_thousand_writes_a_second_is_the_state_at_its_revision",
              "an_atomic_import_as_large_as_may_be_reaches_the_followers")


def lines_of(answer):
    return [json.loads(line) for line in answer.body.decode().splitlines()]


def export(server, query=""):
    answer = server.data_get("export" + ("?" + query if query else ""))
    equal(answer.status, 200, "status of an export: %s" % answer.body[:200])
    return answer


def fresh(bench, name, **settings):
    return Node(bench, name, None, **settings).start()


def bring_gzip(server, query, path):
    with open(path, "rb") as file:
        return server.bring(query, file.read(), {"Content-Encoding": "gzip"})


def save_everything(node):
    """A little of everything; the newest revision."""
    node.save(subjects=[
        {"subject": "b", "name": "Bé, \"b\"", "status": "on", "listing_date": "2001-02-03",
         "category": "stock", "topics": ["z", {"topic": "a", "from": "1970-01-01",
                                               "to": "1999-12-31"}],
         "tags": {"concept": ["y", "x"], "area": ["n"]}},
        {"subject": "a", "topics": ["z"]}, {"subject": "c"}])
    node.save(records=[
        {"subject": "b", "time": "2020-01-01", "period": "Q4", "declare_date": "2021-03-01",
         "year": "FY20", "data": {"y": 1, "x": 2.5}},
        {"subject": "b", "time": "2020-01-01", "data": {}},
        {"subject": "a", "time": 0, "data": {"x": -0.1}},
        {"subject": "a", "time": "1960-01-01", "end_date": "1960-06-30", "data": {"z": 1e21}}])
    return node.save(records=[
        {"subject": "b", "time": "2020-01-01", "period": "Q4", "declare_date": "2021-02-01",
         "year": None, "data": {"y": None, "x": 3}}])["revision"]


@group
class Export:
    """One node with a little of everything."""

    def setup(self, bench):
        self.node = fresh(bench, "master", limits_exports=2)
        self.revision = save_everything(self.node)

    def ndjson_has_subjects_then_records_in_byte_order_with_newest_values(self):
        answer = export(self.node)
        equal(answer.headers["content-type"], "application/x-ndjson", "content type")
        equal(answer.headers["x-kamaitachi-revision"], str(self.revision), "revision")
        equal(answer.body.decode().splitlines(), [
            '{"subject":{"subject":"a","topics":["z"]}}',
            '{"subject":{"subject":"b","name":"Bé, \\"b\\"","status":"on",'
            '"listing_date":"2001-02-03","category":"stock","topics":[{"topic":"a",'
            '"from":"1970-01-01","to":946684799},"z"],"tags":{"area":["n"],"concept":["x","y"]}}}',
            '{"subject":{"subject":"c"}}',
            '{"record":{"subject":"a","time":-315619200,"end_date":"1960-06-30",'
            '"data":{"z":1e+21}}}',
            '{"record":{"subject":"a","time":0,"data":{"x":-0.1}}}',
            '{"record":{"subject":"b","time":1577836800,"data":{}}}',
            '{"record":{"subject":"b","time":1577836800,"period":"Q4","declare_date":1614556800,'
            '"year":"FY20","data":{"x":2.5,"y":1}}}'], "lines")

    def versions_are_lines_of_their_own_with_what_was_recorded(self):
        lines = lines_of(export(self.node, "versions=1&subjects=b"))
        equal([line["recorded"]["revision"] for line in lines],
              [self.revision, self.revision - 1, self.revision, self.revision - 1], "revisions")
        check(all(line["recorded"]["wall_ms"] > 1e12 for line in lines), "stamps: %s", lines)
        equal(lines[2]["record"], {
            "subject": "b", "time": 1577836800, "period": "Q4", "declare_date": 1612137600,
            "year": None, "data": {"x": 3, "y": None}}, "the older declared version")

    def csv_has_the_columns_of_import(self):
        answer = export(self.node, "format=csv")
        equal(answer.headers["content-type"], "text/csv; charset=utf-8", "content type")
        equal(answer.body.decode().splitlines(), [
            "subject,time,name,status,category,period,declare_date,topic,x,y,z",
            "a,-315619200,,,,,,z,,,1e+21",
            "a,0,,,,,,z,-0.1,,",
            'b,1577836800,"Bé, ""b""",on,stock,,,z,,,',
            'b,1577836800,"Bé, ""b""",on,stock,Q4,1614556800,z,2.5,1,'], "lines")

    def filters_leave_out_what_was_not_asked_for(self):
        def keys(query):
            return [line["record"]["subject"] for line in lines_of(export(self.node, query))
                    if "record" in line]
        equal(keys("subjects=b,nobody,b"), ["b", "b"], "one subject")
        equal(keys("topic=a"), ["b", "b"], "a topic's member")
        equal(keys("topic=a&from=2000-01-01"), [], "a topic that it had left by then")
        equal(keys("topic=z"), ["a", "a", "b", "b"], "the members of z")
        equal(keys("topic=nowhere"), [], "an unknown topic")
        equal(keys("from=1970-01-01&to=1970-01-01"), ["a"], "one day")
        data = [line["record"]["data"] for line in lines_of(export(self.node, "ids=y,nothing"))
                if "record" in line]
        equal(data, [{}, {}, {}, {"y": 1}], "data of one indicator")
        equal(export(self.node, "format=csv&ids=z,x&subjects=a").body.decode().splitlines(),
              ["subject,time,name,status,category,period,declare_date,topic,x,z",
               "a,-315619200,,,,,,z,,1e+21", "a,0,,,,,,z,-0.1,"], "csv of two indicators")

    def a_first_time_of_few_digits_is_not_read_back_as_a_year(self):
        equal(export(self.node, "format=csv&from=1970-01-01&ids=x&subjects=a").body,
              b"subject,time,name,status,category,period,declare_date,topic,x\n"
              b"a,00000,,,,,,z,-0.1\n", "the line")

    def bad_parameters_are_refused_by_name(self):
        for query, field, code in (
                ("format=xml", "format", "bad_value"), ("format=", "format", "bad_value"),
                ("versions=2", "versions", "bad_value"),
                ("versions=1&format=csv", "versions", "bad_value"),
                ("topic=", "topic", "bad_value"), ("topic=z&subjects=a", "topic", "bad_value"),
                ("from=yesterday", "from", "bad_value"), ("to=1e3", "to", "bad_value"),
                ("from=2&to=1", "from", "bad_value"), ("subjects=a,,b", "subjects", "bad_value"),
                ("ids=%01", "ids", "bad_value"), ("limit=1", "limit", "unknown_field"),
                ("format=csv&format=csv", "format", "bad_value"),
                ("atomic=1", "atomic", "unknown_field")):
            answer = self.node.data_get("export?" + query)
            equal([answer.status, answer.error().get("field"), answer.error().get("code")],
                  [400, field, code], query)
        equal(self.node.data_post("export").status, 405, "status of a POST")

    def a_column_that_import_would_rename_is_refused(self):
        self.node.save(records=[{"subject": "odd", "time": 0, "data": {"Total Sum": 1}}])
        answer = self.node.data_get("export?format=csv")
        equal([answer.status, answer.error().get("field")], [400, "ids"], "status and field")
        equal(self.node.data_get("export?format=csv&ids=x").status, 200, "without it")
        equal(self.node.data_get("export").status, 200, "ndjson")

    def only_so_many_go_on_at_once_and_a_silent_reader_is_cut_off(self):
        rows = "".join("k%d,%d,%d\n" % (i % 50, 2000 + i, i) for i in range(200000))
        self.node.bring("subject=k&time=t&time_format=seconds", "k,t,v\n" + rows)
        host, port = self.node.addr.rsplit(":", 1)
        silent = []
        for _ in range(2):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host, int(port)))
            connection.sendall(b"GET %s/export HTTP/1.1\r\nHost: x\r\n\r\n" % API.encode())
            check(connection.recv(1), "the answer begins")
            silent.append(connection)
        answer = self.node.data_get("export")
        equal([answer.status, answer.error().get("code"), "retry-after" in answer.headers],
              [503, "busy", True], "a third export")
        for connection in silent:
            connection.close()
        wait_until(lambda: self.node.data_get("export?subjects=a").status == 200,
                   "places are free again")


@test
def both_data_sets_come_back_as_they_were(bench):
    for name, query, file in (("sp500", SP500, "sp500-fundamentals.csv.gz"),
                              ("co2", CO2, "co2-by-nation.csv.gz")):
        source = fresh(bench, "master1" + name)
        report = bring_gzip(source, query, data_file(file))
        counts = [report[k] for k in ("records", "subjects", "values", "rejected")]
        csv, ndjson = export(source, "format=csv").body, export(source).body
        equal(csv.count(b"\n"), report["records"] + 1, "lines of the csv of " + name)
        equal(ndjson.count(b"\n"), report["records"] + report["subjects"], "lines of " + name)
        for way, body in (("csv", csv), ("ndjson", ndjson)):
            copy = fresh(bench, "master2" + name + way)
            brought = copy.bring("format=" + way, gzip.compress(body),
                                 {"Content-Encoding": "gzip"})
            equal([brought[k] for k in ("records", "subjects", "values", "rejected")], counts,
                  "the report of the %s of %s" % (way, name))
            check(export(copy, "format=csv").body == csv, "the csv of %s differs", name)
            check(export(copy).body == ndjson, "the ndjson of %s differs", name)
            copy.terminate()
        source.terminate()


@test
def an_export_comes_through_the_gateway_whole_or_broken(bench):
    cluster = bench.cluster(slaves=1)
    rows = "".join("k%d,%d,%d\n" % (i % 50, 2000 + i, i) for i in range(200000))
    cluster.gateway.bring("subject=k&time=t&time_format=seconds", "k,t,v\n" + rows)
    revision = cluster.wait_level()
    wanted = export(cluster.master)
    for server in (cluster.slaves[0], cluster.gateway):
        answer = export(server)
        equal(answer.headers["x-kamaitachi-revision"], str(revision), "revision of " + server.name)
        check(answer.body == wanted.body, "%s differs", server.name)
    packed = cluster.gateway.data_get("export?format=csv", {"Accept-Encoding": "gzip"})
    equal(packed.headers.get("content-encoding"), "gzip", "encoding")
    equal(gzip.decompress(packed.body), export(cluster.master, "format=csv").body, "the csv")
    # A node that dies under an export must not make a part of it look whole.
    cluster.slaves[0].terminate()
    cluster.gateway.wait_nodes([cluster.master])
    host, port = cluster.gateway.addr.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=30 * SLOW)
    connection.request("GET", "/data" + API + "/export")
    answer = connection.getresponse()
    check(answer.read(1000), "it begins")
    cluster.master.kill()
    try:
        rest = answer.read()
        check(len(rest) + 1000 == len(wanted.body), "a part of %d bytes passed as the whole",
              len(rest))
    except (http.client.HTTPException, OSError):
        pass  # broken off, as it should be


@test
def a_little_of_everything_comes_back_as_it_was(bench):
    source, copy = fresh(bench, "master1"), fresh(bench, "master2")
    save_everything(source)
    body = export(source).body
    report = copy.bring("format=ndjson", body)
    equal([report["records"], report["subjects"], report["rejected"]], [4, 3, 0], "the report")
    check(export(copy).body == body, "%s differs from %s", export(copy).body, body)
    csv = fresh(bench, "master3")
    report = csv.bring("", export(source, "format=csv").body)
    equal([report["records"], report["rejected"]], [4, 0], "the report of the csv")
    check(export(csv, "format=csv").body == export(source, "format=csv").body, "the csv differs")
    equal(copy.period(subjects="a,b,c")["data"], source.period(subjects="a,b,c")["data"],
          "the answers")


@test
def an_atomic_import_as_large_as_may_be_reaches_the_followers(bench):
    cluster = bench.cluster(slaves=1)
    row = ",".join("%d.123456" % i for i in range(60))
    body = "k,t," + ",".join("v%d" % i for i in range(60)) + "\n" + "".join(
        "k%d,%d,%s\n" % (i // 20, 2000 + i % 20, row) for i in range(40000))
    query = "subject=k&time=t&time_format=year&atomic=1"
    before = cluster.master.revision()
    report = cluster.gateway.bring(query, body)
    equal([report["records"], report["revision"]], [40000, before + 1], "the report")
    cluster.wait_level(60)
    check(export(cluster.slaves[0]).body == export(cluster.master).body, "the exports differ")
    answer = cluster.gateway.data_post("import?" + query, body + body[body.index("\n") + 1:])
    equal([answer.status, answer.error().get("field")], [413, "atomic"], "twice as much")
    equal(cluster.master.revision(), before + 1, "the revision after that")


@test
def atomic_imports_are_one_revision_or_nothing(bench):
    node = fresh(bench, "master", limits_import_atomic_bytes=65536)
    before = node.revision()
    rows = "".join("k%d,2020,%d\n" % (i, i) for i in range(2500))
    node.bring("subject=k&time=t&atomic=1", "k,t,v\n" + rows)
    equal([node.revision(), node.stats()["total_records"]], [before + 1, 2500], "one revision")
    for body, query, status in (("k,t,v\n" + rows + "bad\n", "&on_error=abort", 400),
                                ("k,t,v\n" + rows * 3, "", 413)):
        answer = node.data_post("import?subject=k&time=t&atomic=1" + query, body)
        equal([answer.status, answer.headers["x-kamaitachi-outcome"]], [status, "none"], "status")
        equal(node.revision(), before + 1, "the revision after")


class Writers:
    """Clients that save and delete at about 1,000 requests a second in total; what each revision
    did."""

    def __init__(self, server, threads=6, rate=1000):
        self.server, self.rate, self.count = server, rate, threads
        self.changes, self.failures = [], []
        self.stopping, self.lock = threading.Event(), threading.Lock()

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True)
                        for i in range(self.count)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60 * SLOW)

    def _change(self, rng):
        """A name of what is done, its path, its body."""
        subject = "s%02d" % rng.randrange(40)
        if rng.random() < 0.02:
            return ("delete", subject), "delete", {"subjects": [subject], "to": 20}
        if rng.random() < 0.01:
            return ("drop", subject), "delete", {"subjects": [subject], "all": True}
        time, data = rng.randrange(1, 40), {rng.choice("xyz"): rng.choice((None, rng.random()))}
        return (("save", subject, time, data), "save",
                {"records": [{"subject": subject, "time": time, "data": data}]})

    def _run(self, number):
        rng = random.Random(number)
        host, port = self.server.addr.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=60 * SLOW)
        due = clock.monotonic()
        try:
            while not self.stopping.is_set():
                what, path, body = self._change(rng)
                connection.request("POST", self.server.data_prefix + API + "/" + path,
                                   json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
                with self.lock:
                    if answer.status == 200:
                        self.changes.append((said["data"]["revision"], what))
                    else:
                        self.failures.append(said)
                due = max(due + self.count / self.rate, clock.monotonic() - 1)
                self.stopping.wait(max(0.0, due - clock.monotonic()))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.failures.append(repr(error))
        connection.close()

    def state_at(self, revision):
        """What the changes up to a revision come to, as an export says it."""
        subjects, records = set(), {}
        for at, what in sorted(self.changes, key=lambda change: change[0]):
            if at > revision:
                break
            if what[0] == "save":
                subjects.add(what[1])
                records.setdefault((what[1], what[2]), {}).update(what[3])
            else:
                for key in [k for k in records
                            if k[0] == what[1] and (what[0] == "drop" or k[1] <= 20)]:
                    del records[key]
                if what[0] == "drop":
                    subjects.discard(what[1])
        return ([{"subject": {"subject": key}} for key in sorted(subjects)] +
                [{"record": {"subject": key[0], "time": key[1], "data": {
                    name: value for name, value in sorted(data.items()) if value is not None}}}
                 for key, data in sorted(records.items())])


@test
def an_export_under_a_thousand_writes_a_second_is_the_state_at_its_revision(bench):
    node = fresh(bench, "master")
    # What an export says first, so that writes land while it is on its way.
    node.bring("subject=k&time=t&time_format=seconds",
               "k,t,v\n" + "".join("b%d,%d,%d\n" % (i % 200, i, i) for i in range(40000)))
    exports = []
    with Writers(node) as writers:
        begun = clock.monotonic()
        while len(exports) < 10 or len(writers.changes) < 3000:
            count = len(writers.changes)
            wait_until(lambda c=count: len(writers.changes) > c + 100, "writes land", 30)
            exports.append(export(node))
            check(clock.monotonic() < begun + 120 * SLOW, "so many writes in two minutes")
        took = clock.monotonic() - begun
    equal(writers.failures, [], "failed writes")
    print("  %d writes in %.1f s, %d exports" % (len(writers.changes), took, len(exports)))
    for answer in exports:
        revision = int(answer.headers["x-kamaitachi-revision"])
        lines = lines_of(answer)
        base = [line for line in lines if next(iter(line.values()))["subject"][0] == "b"]
        equal(len(base), 200 + 40000, "lines that nobody changes")
        lines = [line for line in lines if next(iter(line.values()))["subject"][0] == "s"]
        wanted = writers.state_at(revision)
        check(lines == wanted, "the export at %d has %s, not %s", revision,
              [line for line in lines if line not in wanted][:5],
              [line for line in wanted if line not in lines][:5])
