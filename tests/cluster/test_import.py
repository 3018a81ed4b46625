# SPDX-License-Identifier: MIT
"""CSV as it comes from the wild, through the gateway and at a node."""

import gzip

from cluster import check, equal, group

HEAD = "k,t,a,b\n"
MAP = "subject=k&time=t"


@group
class Import:
    def setup(self, bench):
        self.cluster = bench.cluster(slaves=0)
        self.node = self.cluster.master
        self.servers = [self.node, self.cluster.gateway]
        self.count = 0

    def _bring(self, body, query=MAP, headers=None):
        """The same at both; the report, which must be alike but for the revision."""
        reports = [server.bring(query, body, headers) for server in self.servers]
        for report in reports:
            report.pop("revision")
        equal(reports[1], reports[0], "the gateway's report")
        return reports[0]

    def _refused(self, body, status, word, query=MAP, headers=None, code="bad_value"):
        before = self.node.revision()
        for server in self.servers:
            answer = server.data_post("import?" + query, body, headers)
            said = answer.body.decode(errors="replace").lower()
            equal([answer.status, answer.error().get("code")], [status, code],
                  "%s: status and code of %s" % (server.name, said[:200]))
            check(word.lower() in said, "%s: %r is not in %s", server.name, word, said[:300])
        equal(self.node.revision(), before, "the revision after a refused import")

    def _row(self, subject):
        rows = self.node.snapshot(subjects=[subject])["data"]
        return rows[0] if rows else None

    def lines_with_wrong_column_counts_are_rejected_by_number(self):
        report = self._bring(HEAD + "w1,2020,1,2\nw2,2020,1\nw3,2020,1,2,3\nw4,2020,3,4\n\n")
        equal([report["records"], report["rejected"]], [2, 2], "records and rejected")
        equal([e["line"] for e in report["errors"]], [3, 4], "lines")
        check(all(e["reason"] for e in report["errors"]), "each has a reason")
        equal(self._row("w2"), None, "the rejected subject")

    def quotes_hold_commas_quotes_and_line_ends(self):
        report = self._bring(HEAD + '"q,1",2020,"1","2"\n"q""2",2020,3,4\n"q3",2021,5,6\n',
                             MAP + "&name==literal:n")
        equal([report["records"], report["rejected"]], [3, 0], "records and rejected")
        equal(self._row("q,1")["data"], {"a": 1, "b": 2}, "data of q,1")
        equal(self._row('q"2')["data"], {"a": 3, "b": 4}, 'data of q"2')

    def a_line_number_counts_line_ends_in_quotes(self):
        report = self._bring('k,t,n,a\nl1,2020,"x\ny",1\nl2,2020,z,bad\n', MAP + "&skip=n")
        equal([report["records"], [e["line"] for e in report["errors"]]], [1, [4]],
              "records and the line of the bad one")

    def an_open_quote_at_the_end_rejects_its_line(self):
        report = self._bring(HEAD + 'o1,2020,1,2\n"o2,2020,1,2\n')
        equal([report["records"], report["rejected"]], [1, 1], "records and rejected")

    def crlf_and_a_byte_order_mark_are_read(self):
        report = self._bring(b"\xef\xbb\xbfk,t,a,b\r\nc1,2020,1,2\r\nc2,2020,,4\r\n")
        equal([report["records"], report["values"], report["rejected"]], [2, 3, 0], "the report")
        equal(self._row("c2")["data"], {"b": 4}, "data of c2")

    def a_last_line_without_an_end_counts(self):
        report = self._bring(HEAD + "e1,2020,1,2")
        equal(report["records"], 1, "records")

    def a_field_of_a_megabyte_is_rejected_and_the_rest_goes_on(self):
        big = "x" * (1 << 20)
        report = self._bring(HEAD + "m1,2020,1,2\n%s,2020,1,2\nm2,2020,%s,2\n\"%s\",2020,1,1\n"
                             "m3,2020,5,6\n" % (big, big, big))
        equal([report["records"], report["rejected"]], [2, 3], "records and rejected")
        check(all(len(e["reason"]) < 400 for e in report["errors"]), "reasons are short")
        equal(self._row("m3")["data"], {"a": 5, "b": 6}, "data of m3")

    def bad_numbers_and_times_are_rejected(self):
        bad = ["abc", "NaN", "Infinity", "1e999", "0x10", "1,5", "--1", "1 2"]
        report = self._bring(HEAD + "".join('b,2020,"%s",1\n' % text for text in bad) +
                             "b,soon,1,1\nb,2020-01-01,1,1\n,2020,1,1\nb2,2021,1,1\n")
        equal([report["records"], report["rejected"]], [1, len(bad) + 3], "records and rejected")

    def the_first_line_decides_the_form_of_times(self):
        report = self._bring("k,t,a\nd1,2020-02-29,1\nd2,2021-02-29,1\nd3,2020,1\n")
        equal([report["records"], [e["line"] for e in report["errors"]]], [1, [3, 4]], "dates")
        report = self._bring("k,t,a\ns1,86400,1\ns2,-86400,1\n", MAP)
        equal(report["records"], 2, "seconds")
        equal([self._row("s1")["end_date"], self._row("s2")["end_date"]],
              ["1970-01-02", "1969-12-31"], "end_date")
        report = self._bring("k,t,a\ny1,1751,1\n", MAP + "&time_format=year")
        equal(self._row("y1")["end_date"], "1751-01-01", "a year")

    def indicator_names_are_made_of_the_header(self):
        self._bring("k,t,Net Profit (CNY),ÄRGER,_x_\nh1,2020,1,2,3\n")
        # Only ASCII is lower-cased; other letters stay as they are.
        equal(self._row("h1")["data"], {"net_profit_cny": 1, "Ärger": 2, "x": 3}, "data")

    def mappings_name_columns_or_literals(self):
        report = self._bring("k,t,who,kind,p,known,a\ng1,2020-12-31,Alpha,c1,Q4,2021-03-01,1\n"
                             "g1,2020-12-31,Beta,c2,Q4,2021-03-01,1\n",
                             MAP + "&name=who&category=kind&period=p&declare_date=known&"
                             "status==literal:listed&topic==literal:pool")
        equal(report["records"], 2, "records")
        row = self.node.snapshot(topic="pool")["data"][0]
        equal([row["subject"]["name"], row["subject"]["category"], row["subject"]["status"],
               row["period"], row["declare_date"]],
              ["Beta", "c2", "listed", "Q4", "2021-03-01"], "the row")

    def gzip_is_read_and_broken_gzip_refused(self):
        packed = gzip.compress((HEAD + "z1,2020,1,2\n").encode())
        report = self._bring(packed, headers={"Content-Encoding": "gzip"})
        equal(report["records"], 1, "records")
        self._refused(packed[:-6], 400, "gzip", headers={"Content-Encoding": "gzip"},
                      code="bad_request")
        self._refused(b"no gzip at all", 400, "gzip", headers={"Content-Encoding": "gzip"},
                      code="bad_request")
        self._refused(packed, 415, "Content-Encoding", headers={"Content-Encoding": "br"},
                      code="media_type")

    def headers_that_do_not_fit_are_refused_before_a_byte_is_stored(self):
        self._refused("k,t,a\nf,2020,1\n", 400, "nowhere", "subject=nowhere&time=t")
        self._refused("k,t,a\nf,2020,1\n", 400, "period", MAP + "&period=p")
        self._refused("k,t,A b,a_b\nf,2020,1,2\n", 400, "a_b")
        self._refused("k,t,a,a\nf,2020,1,2\n", 400, "a")
        self._refused("k,t,end_date\nf,2020,1\n", 400, "end_date")
        self._refused("k,t,!!\nf,2020,1\n", 400, "!!")
        self._refused("k,t,a\n", 400, "time", "subject=k")
        self._refused("k,t,a\n", 400, "subject", "time=t")

    def unknown_and_unbuilt_parameters_are_refused(self):
        self._refused(HEAD, 400, "colour", MAP + "&colour=red", code="unknown_field")
        self._refused(HEAD, 400, "format", MAP + "&format=xml")
        self._refused(HEAD, 400, "subject", MAP + "&format=ndjson")
        self._refused(HEAD, 400, "atomic", MAP + "&atomic=yes")
        self._refused(HEAD, 400, "time_format", MAP + "&time_format=roman")
        self._refused(HEAD, 400, "on_error", MAP + "&on_error=shrug")
        self._refused(HEAD, 400, "subject", "subject=k&subject=t&time=t")

    def abort_stops_at_the_first_bad_line(self):
        body = HEAD + "x1,2020,1,2\nx2,bad,1,2\nx3,2020,1,2\n"
        for server in self.servers:
            answer = server.data_post("import?" + MAP + "&on_error=abort", body)
            check(answer.status in (200, 400), "status %d", answer.status)
            check(b'"line":3' in answer.body or b"line 3" in answer.body, "names line 3: %s",
                  answer.body[:300])
        equal(self._row("x3"), None, "the line after the bad one")

    def a_body_in_chunks_is_read(self):
        import http.client
        for server in self.servers:
            host, port = server.addr.split(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            pieces = [HEAD.encode()] + [b"ch%d,2020,1,2\n" % i for i in range(200)]
            connection.request("POST", server.data_prefix + "/kamaitachi/api/data/v1/import?" + MAP,
                               iter(pieces), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            check(answer.status == 200 and b'"records":200' in body, "%s: %d %s", server.name,
                  answer.status, body[:200])

    def an_empty_body_is_refused(self):
        self._refused("", 400, "header")
