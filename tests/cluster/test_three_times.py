# SPDX-License-Identifier: MIT
"""What was it about, when did the world know, when did this cluster know: a table of answers."""

import time

from cluster import Node, equal, group, wait_until

ABSENT = "absent"    # no row: the record does not exist within the bounds
CLEARED = "cleared"  # a row without the value

# The record of 2024-03-31 is told five times. W is the order in which the cluster hears of it.
STORY = [
    {"declare_date": "2024-04-30", "data": {"x": 1}},            # W1: the first report
    {"declare_date": "2024-08-30", "data": {"x": 2}},            # W2: restated
    {"declare_date": "2024-04-30", "data": {"x": 1.5}},          # W3: the first one was mistyped
    {"data": {"y": 7}},                                          # W4: declared as the newest before
    {"declare_date": "2024-10-01", "data": {"x": None, "z": 0}}, # W5: withdrawn
]

# as_of: x as recorded by W1, W2, W3, W4, W5
X = {
    "2024-04-29": [ABSENT, ABSENT, ABSENT, ABSENT, ABSENT],
    "2024-04-30": [1, 1, 1.5, 1.5, 1.5],
    "2024-05-01": [1, 1, 1.5, 1.5, 1.5],
    "2024-08-29": [1, 1, 1.5, 1.5, 1.5],
    "2024-08-30": [1, 2, 2, 2, 2],
    "2024-09-30": [1, 2, 2, 2, 2],
    "2024-10-01": [1, 2, 2, 2, CLEARED],
    None:         [1, 2, 2, 2, CLEARED],
}
Y = {
    "2024-08-29": [CLEARED] * 5,
    "2024-08-30": [CLEARED, CLEARED, CLEARED, 7, 7],
    None:         [CLEARED, CLEARED, CLEARED, 7, 7],
}
DECLARED = {
    "2024-05-01": ["2024-04-30"] * 5,
    "2024-08-30": ["2024-04-30", "2024-08-30", "2024-08-30", "2024-08-30", "2024-08-30"],
    None:         ["2024-04-30", "2024-08-30", "2024-08-30", "2024-08-30", "2024-10-01"],
}


@group
class ThreeTimes:
    def setup(self, bench):
        # Standalone: what is asked here does not depend on who replicates.
        self.node = Node(bench, "master", None).start()
        self.revisions = []
        self.seconds = []
        for version in STORY:
            record = dict({"subject": "s", "time": "2024-03-31", "period": "Q1"}, **version)
            self.revisions.append(self.node.save(records=[record])["revision"])
            self.seconds.append(int(time.time()))
            # recorded_by counts in seconds: the next version is of another one.
            wait_until(lambda: int(time.time()) > self.seconds[-1], "the second is over", 3)

    def _row(self, as_of, recorded_by, ids=None):
        body = {"subjects": ["s"]}
        if ids:
            body["ids"] = ids
        if as_of is not None:
            body["as_of"] = as_of
        if recorded_by is not None:
            body["recorded_by"] = recorded_by
        answer = self.node.snapshot(**body)
        equal(answer["total"], len(answer["data"]), "total")
        series = self.node.period(**body)["data"]
        equal(len(series), 1, "subjects in period")
        rows = series[0]["data"]
        equal(len(rows), len(answer["data"]), "records in period for %s" % body)
        if not rows:
            return None
        row = answer["data"][0]
        for key in ("x", "y", "z"):
            equal(rows[0].get(key), row["data"].get(key), "%s in period for %s" % (key, body))
        equal(rows[0]["declare_date"], row["declare_date"], "declare_date in period")
        return row

    def _compare(self, table, what, pick):
        wrong = []
        for as_of, expected in table.items():
            for i, value in enumerate(expected):
                row = self._row(as_of, self.revisions[i])
                actual = ABSENT if row is None else pick(row)
                if actual != value:
                    wrong.append("%s as of %s recorded by W%d is %s, expected %s" % (
                        what, as_of, i + 1, actual, value))
        equal(wrong, [], "the wrong ones")

    def forty_answers_about_x(self):
        self._compare(X, "x", lambda row: row["data"].get("x", CLEARED))

    def a_version_without_a_declare_date_has_the_greatest_so_far(self):
        self._compare(Y, "y", lambda row: row["data"].get("y", CLEARED))

    def declare_date_is_the_greatest_given_within_the_bounds(self):
        self._compare(DECLARED, "declare_date", lambda row: row["declare_date"])

    def restated_figures_as_the_world_knew_them(self):
        """As in the requirement: declared 2024-04-30, restated 2024-08-30."""
        self.node.save(records=[{"subject": "r", "time": "2024-03-31", "period": "Q1",
                                 "declare_date": "2024-04-30", "data": {"x": 10}}])
        before = self.node.revision()
        self.node.save(records=[{"subject": "r", "time": "2024-03-31", "period": "Q1",
                                 "declare_date": "2024-08-30", "data": {"x": 11}}])

        def x(**body):
            return self.node.snapshot(subjects="r", **body)["data"][0]["data"]["x"]
        equal(x(as_of="2024-05-01"), 10, "as_of 2024-05-01")
        equal(x(), 11, "now")
        equal(x(recorded_by=before), 10, "recorded_by the revision before")
        self.node.save(records=[{"subject": "r", "time": "2024-03-31", "period": "Q1",
                                 "declare_date": "2024-04-30", "data": {"x": 12}}])
        equal(x(as_of="2024-05-01"), 12, "as_of alone changes when an old fact comes late")
        equal(x(recorded_by=before), 10, "recorded_by does not")
        equal(x(as_of="2024-05-01", recorded_by=before), 10, "nor both")

    def recorded_by_takes_revisions_as_text_and_moments(self):
        for i, revision in enumerate(self.revisions):
            expected = X[None][i]
            for recorded_by in (revision, str(revision), "@%d" % self.seconds[i]):
                row = self._row(None, recorded_by)
                equal(row["data"].get("x", CLEARED), expected, "x recorded by %s" % recorded_by)
        equal(self._row(None, time.strftime("%Y-%m-%d", time.gmtime()))["data"].get("x", CLEARED),
              CLEARED, "x recorded by today")
        equal(self._row(None, "2020-01-01"), None, "the row recorded by 2020")
        equal(self._row("2024-05-01", 0)["data"]["x"], 1.5, "recorded_by 0 is everything")

    def a_revision_that_is_yet_to_come_is_refused(self):
        for name in ("snapshot", "period"):
            answer = self.node.data_post(name, {"subjects": "s", "recorded_by": 1000000})
            equal([answer.status, answer.error().get("field")], [400, "recorded_by"], "refusal")

    def within_one_revision_the_later_line_wins(self):
        self.node.save(records=[
            {"subject": "w", "time": 0, "declare_date": "2024-01-01", "data": {"x": 1, "y": 1}},
            {"subject": "w", "time": 0, "declare_date": "2024-01-01", "data": {"x": 2}}])
        equal(self.node.snapshot(subjects="w")["data"][0]["data"], {"x": 2, "y": 1}, "data")

    def a_record_may_exist_without_a_value(self):
        self.node.save(records=[{"subject": "e", "time": "2024-01-01", "data": {}},
                                {"subject": "e", "time": "2023-01-01", "data": {"x": 5}}])
        answer = self.node.snapshot(subjects="e", ids="x")
        equal([answer["data"][0]["end_date"], answer["data"][0]["data"]], ["2024-01-01", {}],
              "the newest record counts although it has none of the ids")

    def without_any_declare_date_the_records_own_time_is_it(self):
        self.node.save(records=[{"subject": "d", "time": "2024-03-31", "data": {"x": 1}}])
        equal(self.node.snapshot(subjects="d", as_of="2024-03-30")["total"], 0, "the day before")
        row = self.node.snapshot(subjects="d", as_of="2024-03-31")["data"][0]
        equal([row["data"]["x"], row["declare_date"]], [1, ""], "x and declare_date on the day")
