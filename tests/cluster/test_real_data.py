# SPDX-License-Identifier: MIT
"""Two real data sets, imported through the gateway, asked of every node, killed and asked again."""

import gzip
import threading

from cluster import check, data_file, equal, group, test, wait_until

SP500 = ("subject=symbol&time=date&name=name&category=sector&topic==literal:sp500")
CO2 = "subject=Country&time=Year"


def names(answer, count=3):
    return [row["subject"]["subject"] for row in answer["data"][:count]]


def figures(answer, indicator, count=3):
    return [row["data"].get(indicator) for row in answer["data"][:count]]


@group
class RealData:
    """One cluster for all of them; the last ones change what the first ones read."""

    def setup(self, bench):
        self.sp500 = data_file("sp500-fundamentals.csv.gz")
        self.co2 = data_file("co2-by-nation.csv.gz")
        self.cluster = bench.cluster(slaves=2)
        self.gateway = self.cluster.gateway

    def sp500_is_imported_through_the_gateway(self):
        with gzip.open(self.sp500) as file:
            report = self.gateway.bring(SP500, file.read())
        equal([report[k] for k in ("records", "subjects", "values", "rejected")],
              [44450, 767, 447267, 0], "records, subjects, values, rejected")
        equal(report["errors"], [], "errors")
        self.cluster.wait_level()
        equal(self.cluster.master.stats()["total_records"], 44450, "total_records")

    def newest_by_market_cap_is_nvidia_and_twice_google(self):
        answer = self.cluster.ask_all("snapshot", {
            "topic": "sp500", "ids": ["market_cap"], "field": "market_cap", "order": -1, "limit": 3})
        equal(names(answer), ["NVDA", "GOOGL", "GOOG"], "the first three")
        equal(answer["data"][0]["data"]["market_cap"], 4722368446464, "NVDA's market_cap")
        equal([row["end_date"] for row in answer["data"]], ["2026-06-30"] * 3, "end_date")
        check(b"4722368446464" in self.gateway.data_post("snapshot", {
            "subjects": "NVDA", "ids": "market_cap"}).body, "4722368446464 is written in full")

    def at_the_end_of_2016_apple_leads_606(self):
        answer = self.cluster.ask_all("snapshot", {
            "topic": "sp500", "ids": "market_cap", "field": "market_cap", "limit": 3,
            "timestamp": "2016-12-31"})
        equal(names(answer), ["AAPL", "GOOGL", "GOOG"], "the first three")
        equal(figures(answer, "market_cap"), [529.56, 492.8, 484.45], "market_cap")
        equal([row["end_date"] for row in answer["data"]][2], "2016-07-10", "GOOG's end_date")
        equal(answer["total"], 606, "total")

    def ascending_by_price_earnings_begins_with_nov_and_ends_with_78_without(self):
        body = {"topic": "sp500", "ids": ["price_earnings"], "field": "price_earnings",
                "order": "asc", "limit": 1000}
        answer = self.cluster.ask_all("snapshot", body)
        equal(names(answer, 1), ["NOV"], "the first")
        equal(figures(answer, "price_earnings", 1), [-77.71], "its price_earnings")
        without = [row["subject"]["subject"] for row in answer["data"] if not row["data"]]
        equal(len(without), 78, "subjects without a value")
        equal(without, sorted(without, key=str.encode), "their order")
        check(all(not row["data"] for row in answer["data"][-78:]), "they come last")
        equal(answer["total"], 767, "total")

    def pages_put_together_are_the_whole(self):
        body = {"topic": "sp500", "ids": ["price_earnings"], "field": "price_earnings",
                "order": "asc"}
        whole = self.cluster.ask_all("snapshot", dict(body, limit=1000))["data"]
        pages = []
        for offset in range(0, 800, 100):
            page = self.gateway.snapshot(**dict(body, limit=100, offset=offset))
            equal(page["total"], 767, "total of a page")
            pages += page["data"]
        check(pages == whole, "eight pages differ from the whole")

    def a_period_of_one_subject_is_alike_everywhere(self):
        answer = self.cluster.ask_all("period", {
            "subjects": "AAPL,MSFT", "ids": "price,market_cap", "from": "2016-01-01",
            "to": "2016-12-31", "order": 1})
        equal([s["subject"]["subject"] for s in answer["data"]], ["AAPL", "MSFT"], "subjects")
        dates = [row["end_date"] for row in answer["data"][0]["data"]]
        check(dates and dates == sorted(dates), "dates ascend: %s", dates)
        check(all("2016-01-01" <= d <= "2016-12-31" for d in dates), "within bounds: %s", dates)

    def co2_is_imported_through_the_gateway_as_gzip(self):
        with open(self.co2, "rb") as file:
            report = self.gateway.bring(CO2, file.read(), {"Content-Encoding": "gzip"})
        equal([report[k] for k in ("records", "subjects", "rejected")], [18769, 259, 0],
              "records, subjects, rejected")
        self.cluster.wait_level()

    def times_before_1970_are_right_to_the_day(self):
        answer = self.cluster.ask_all("period", {
            "subjects": ["UNITED KINGDOM"], "ids": ["total"], "order": 1, "limit": 2})
        rows = answer["data"][0]["data"]
        equal([row["end_date"] for row in rows], ["1751-01-01", "1752-01-01"], "end_date")
        equal([row["year"] for row in rows], ["1751", "1752"], "year")
        equal([row["total"] for row in rows], [2552, 2553], "total")
        answer = self.cluster.ask_all("snapshot", {
            "subjects": ["UNITED KINGDOM"], "timestamp": "1751-12-31", "ids": "total"})
        equal(answer["data"][0]["report_date"], -6910963200, "report_date")

    def a_subject_with_commas_is_asked_for_as_an_array(self):
        answer = self.cluster.ask_all("snapshot", {
            "subjects": ["BONAIRE, SAINT EUSTATIUS, AND SABA"], "ids": ["total"]})
        equal(names(answer), ["BONAIRE, SAINT EUSTATIUS, AND SABA"], "the subject")

    def the_date_1970_is_a_moment_and_the_number_0_the_newest(self):
        body = {"topic": "*", "ids": ["total", "solid_fuel"], "field": "total", "limit": 10000}
        answer = self.cluster.ask_all("snapshot", dict(body, timestamp="1970-01-01"))
        equal(answer["total"], 210, "total at 1970-01-01")
        equal(sum(row["end_date"] == "1970-01-01" for row in answer["data"]), 188,
              "rows of 1970-01-01")
        newest = self.cluster.ask_all("snapshot", body)
        equal(newest["total"], 767 + 259, "total of the newest")
        equal(self.cluster.ask_all("snapshot", dict(body, timestamp=0)), newest, "timestamp 0")

    def a_slave_that_missed_ten_records_fetches_little(self):
        slave = self.cluster.slaves[1]
        slave.terminate()
        self.gateway.wait_nodes(self.cluster.nodes[:2])
        for i in range(10):
            self.gateway.save(records=[{"subject": "MISSED", "time": "2026-0%d-01" % (i % 9 + 1),
                                        "period": str(i), "data": {"price": i + 0.5}}])
        slave.start()
        self.cluster.wait_level()
        fetched = slave.stats()["replication"]["fetched_bytes"]
        check(0 < fetched < 65536, "the slave fetched %s bytes", fetched)
        answer = self.cluster.ask_all("period", {"subjects": "MISSED"})
        equal(len(answer["data"][0]["data"]), 10, "records that were missed")

    def everything_killed_100_ms_after_the_last_acknowledgement_is_there_again(self):
        questions = [
            ("snapshot", {"topic": "sp500", "ids": ["market_cap", "price"], "limit": 1000}),
            ("snapshot", {"topic": "*", "ids": ["total"], "field": "total", "limit": 10000}),
            ("period", {"subjects": "AAPL,MISSED,LAST"})]
        for i in range(20):
            self.gateway.save(records=[{"subject": "LAST", "time": 1000000 + i,
                                        "data": {"price": i}}])
        revision = self.gateway.save(records=[{"subject": "LAST", "time": 2000000,
                                               "data": {"price": 7}}])["revision"]
        threading.Event().wait(0.1)  # the 100 ms of the requirement
        for process in self.cluster.everyone():
            process.kill()
        for process in self.cluster.everyone():
            process.launch()
        for process in self.cluster.everyone():
            process.wait_well(60)
        for node in self.cluster.nodes:
            node.wait_revision(revision)
        self.cluster.wait_level()
        answers = [self.cluster.ask_all(name, body) for name, body in questions]
        rows = answers[2]["data"]
        equal([len(s["data"]) for s in rows][1:], [10, 21], "records of MISSED and LAST")
        equal(answers[0]["total"], 767, "total of sp500")
        equal(answers[1]["total"], 767 + 259 + 2, "total of everything")
        self.gateway.wait_nodes(self.cluster.nodes)
        self.gateway.save(records=[{"subject": "AFTER", "time": 1, "data": {"price": 1}}])


@test
def a_new_slave_gets_everything_from_the_first_entry_on(bench):
    from cluster import Node
    cluster = bench.cluster(slaves=1, gateway=False)
    cluster.master.bring(
        "subject=s&time=t", "s,t,a\n" + "".join("k%d,%d,%d\n" % (i % 50, 1900 + i, i)
                                               for i in range(100)))
    late = Node(bench, "slave2", cluster.etcd).start()
    cluster.slaves.append(late)
    cluster.nodes.append(late)
    cluster.wait_level()
    answer = cluster.ask_all("snapshot", {"ids": "a", "limit": 100})
    equal(answer["total"], 50, "total")
    wait_until(lambda: len(cluster.etcd.config()["members"]) == 3, "three members")
