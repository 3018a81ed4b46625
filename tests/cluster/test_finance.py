# SPDX-License-Identifier: MIT
"""The SQLite file of the first program, as it was written and as somebody may have made it."""

import gzip
import os
import sqlite3
import struct

from cluster import Node, check, equal, group, test

COLUMNS = ("stock_code,market_code,subject_key,stock_name,report_date,end_date,year,period,"
           "operating_income,parent_holder_net_profit,category,topic")
TABLE = "CREATE TABLE finance_data(id INTEGER PRIMARY KEY," + COLUMNS + ")"
ROW = ("000001", "33", "33:000001", "Ping An", 1703980800, "2023-12-31", "2023", "596001", 1.5,
       0.1, "stock", "pool")


def database(folder, rows=(ROW,), table=TABLE, more=(), pragmas=()):
    """The bytes of a database file."""
    path = os.path.join(folder, "made.db")
    if os.path.exists(path):
        os.remove(path)
    connection = sqlite3.connect(path)
    for pragma in pragmas:
        connection.execute(pragma)
    connection.execute(table)
    if rows:
        connection.executemany("INSERT INTO finance_data(%s) VALUES(%s)" % (
            COLUMNS, ",".join("?" * 12)), rows)
    for statement in more:
        connection.execute(statement)
    connection.commit()
    connection.close()
    with open(path, "rb") as file:
        return file.read()


def left_over(node):
    return [name for name in os.listdir(node.dir) if "spool" in name]


@group
class Finance:
    def setup(self, bench):
        self.bench = bench
        self.node = Node(bench, "master", None, limits_import_spool_bytes=8 << 20).start()

    def _make(self, *args, **kwargs):
        return database(self.bench.dir, *args, **kwargs)

    def _bring(self, body, headers=None):
        report = self.node.bring("format=finance_sqlite", body, headers)
        equal(left_over(self.node), [], "temporary files")
        return report

    def _refused(self, body, word, status=400, code="bad_value", field="body", headers=None):
        before = self.node.revision()
        answer = self.node.data_post("import?format=finance_sqlite", body, headers)
        said = answer.body.decode()
        equal([answer.status, answer.error().get("code"), answer.error().get("field")],
              [status, code, field], said[:300])
        check(word in said, "%r is not in %s", word, said[:300])
        equal(answer.headers.get("x-kamaitachi-outcome"), "none", "the outcome")
        equal(self.node.revision(), before, "the revision after a refused import")
        equal(left_over(self.node), [], "temporary files")

    def rows_become_subjects_and_records(self):
        rows = [ROW,
                ("000002", "33", None, "Vanke", "2022-12-31", "", None, "Q4", None, "12.25",
                 None, None),
                ("000003", "33", "", None, None, "2021-06-30", 2021, "", 7, "", "", "")]
        report = self._bring(self._make(rows))
        equal([report[k] for k in ("records", "subjects", "values", "rejected")], [3, 3, 4, 0],
              "the report")
        rows = self.node.snapshot(topic="*", field="subject", order=1, limit=10)["data"]
        equal([row["subject"]["subject"] for row in rows],
              ["33:000001", "33:000002", "33:000003"], "subjects")
        equal([rows[0][k] for k in ("report_date", "end_date", "period", "data")],
              [1703980800, "2023-12-31", "596001",
               {"operating_income": 1.5, "parent_holder_net_profit": 0.1}], "the first")
        equal([rows[0]["subject"][k] for k in ("name", "category")], ["Ping An", "stock"], "names")
        equal([rows[1][k] for k in ("end_date", "data")],
              ["2022-12-31", {"parent_holder_net_profit": 12.25}], "the second")
        equal([rows[2][k] for k in ("end_date", "data")], ["2021-06-30", {"operating_income": 7}],
              "the third, whose time is its end_date")
        answer = self.node.period(topic="pool")["data"][0]["data"]
        equal([answer[0][k] for k in ("combine", "year")], ["33:000001:2023_596001", "2023"],
              "period of the pool's member")

    def bad_rows_are_rejected_by_number(self):
        bad = [ROW[:2] + ("",) + ROW[3:], ("", "", "") + ROW[3:], ROW[:4] + ("soon",) + ROW[5:],
               ROW[:8] + ("much",) + ROW[9:], ROW[:8] + (float("inf"),) + ROW[9:],
               ROW[:3] + ("x" * 129,) + ROW[4:], ROW[:11] + ("*",), ROW[:3] + (b"\xff\xfe",) + ROW[4:],
               ROW[:4] + (1.5,) + ROW[5:], ROW]
        report = self._bring(self._make(bad))
        equal([report["records"], report["rejected"]], [2, 8], "records and rejected")
        equal([e["line"] for e in report["errors"]], [2, 3, 4, 5, 6, 7, 8, 9], "rows")
        check("report_date" in report["errors"][1]["reason"], "the reason: %s", report["errors"][1])

    def gzip_wal_and_utf16_files_are_read(self):
        for pragma in ("PRAGMA journal_mode=WAL", "PRAGMA encoding='UTF-16'",
                       "PRAGMA page_size=512"):
            body = self._make(pragmas=[pragma])
            equal(self._bring(body)["records"], 1, pragma)
            equal(self._bring(gzip.compress(body), {"Content-Encoding": "gzip"})["records"], 1,
                  pragma + " as gzip")

    def what_is_no_such_database_is_refused(self):
        self._refused(b"", "finance_data")
        self._refused(b"subject,time\na,1\n", "SQLite")
        self._refused(b"SQLite format 3\0" + b"\0" * 4000, "SQLite")
        self._refused(self._make((), "CREATE TABLE other(a)"), "ordinary table")
        self._refused(self._make((), "CREATE TABLE finance_data(stock_code)"), "market_code")
        good = self._make()
        self._refused(good[:len(good) - 1000], "SQLite")
        self._refused(gzip.compress(good)[:-20], "gzip", 400, "bad_request", "",
                      {"Content-Encoding": "gzip"})

    def what_would_run_is_refused(self):
        names = COLUMNS.split(",")
        self._refused(self._make((), "CREATE TABLE t(%s)" % COLUMNS, [
            "CREATE VIEW finance_data AS SELECT * FROM t"]), "ordinary table")
        self._refused(self._make((), "CREATE TABLE finance_data(%s,x AS (1))" % ",".join(
            n if n != "topic" else "topic AS (hex(zeroblob(100000000)))" for n in names)), "topic")
        self._refused(self._make((), "CREATE TABLE finance_data(%s,PRIMARY KEY(stock_code)) "
                                 "WITHOUT ROWID" % COLUMNS), "ordinary table")
        self._refused(self._make((), "CREATE TABLE finance_data(rowid,oid,_rowid_,%s)" % COLUMNS),
                      "rowid")
        self._refused(self._make((), "CREATE VIRTUAL TABLE finance_data USING fts5(%s)" % COLUMNS),
                      "ordinary table")

    def a_huge_schema_and_huge_cells_are_refused(self):
        many = ["CREATE TABLE t%d(a)" % i for i in range(1000)]
        equal(self._bring(self._make(more=many))["records"], 1, "a thousand other tables")
        self._refused(self._make(rows=[ROW[:3] + ("x" * 2000000,) + ROW[4:]]), "big")

    def more_than_the_bound_is_413_also_packed(self):
        bomb = gzip.compress(b"\0" * (64 << 20))
        self._refused(bomb, "import_spool_bytes", 413, "too_large", "body",
                      {"Content-Encoding": "gzip"})
        self._refused(b"x" * (9 << 20), "import_spool_bytes", 413, "too_large", "body")

    def pages_that_lead_back_are_an_end(self):
        body = bytearray(self._make([ROW] * 400, pragmas=["PRAGMA page_size=512"]))
        pages = len(body) // 512
        interior = [n for n in range(1, pages) if body[n * 512] == 5]
        check(interior, "there is an interior page")
        for n in interior:  # every child is the first one
            base = n * 512
            count, = struct.unpack_from(">H", body, base + 3)
            cells = [struct.unpack_from(">H", body, base + 12 + 2 * i)[0] for i in range(count)]
            first = body[base + cells[0]:base + cells[0] + 4]
            for cell in cells:
                body[base + cell:base + cell + 4] = first
            body[base + 8:base + 12] = first
        answer = self.node.data_post("import?format=finance_sqlite", bytes(body))
        equal(answer.status, 400, "status: %s" % answer.body[:300])
        equal(left_over(self.node), [], "temporary files")

    def damaged_files_never_end_worse_than_refused(self):
        import random
        rng = random.Random(7)
        good = self._make([ROW] * 100, pragmas=["PRAGMA page_size=512"])
        for _ in range(60):
            body = bytearray(good)
            for _ in range(rng.choice((1, 5, 50))):
                body[rng.randrange(len(body))] = rng.randrange(256)
            answer = self.node.data_post("import?format=finance_sqlite", bytes(body))
            check(answer.status in (200, 400), "status %s: %s", answer.status, answer.body[:300])
        equal(left_over(self.node), [], "temporary files")


@test
def what_a_killed_process_left_is_removed_at_the_start(bench):
    node = Node(bench, "master", None).start()
    node.kill()
    for name in ("node.db.spool-0", "node.db.spool-7", "node.db.spool-3-journal"):
        with open(os.path.join(node.dir, name), "wb") as file:
            file.write(b"x")
    node.start()
    equal(left_over(node), [], "temporary files")
    report = node.bring("format=finance_sqlite", database(bench.dir))
    equal(report["records"], 1, "records")
