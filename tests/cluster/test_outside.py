# SPDX-License-Identifier: MIT
"""Who may, seen from another address than loopback: operators' and processes' paths refuse whoever
asks without a token, however the request is dressed up."""

from cluster import API, Gateway, check, equal, group
from netns import Namespace

ADMIN = [
    ("POST", API + "/cache/reset"),
    ("POST", API + "/cache/reset?clear=1"),
    ("POST", API + "/cache/snapshot"),
    ("POST", "/cluster/failover"),
    ("POST", "/cluster/recover"),
    ("POST", "/cluster/forget"),
    ("POST", "/cluster/register"),
    ("POST", "/cluster/deregister"),
    ("POST", "/cluster/heartbeat"),
    ("POST", "/api/admin/reload"),
    ("POST", "/api/admin/sync/push"),
    ("POST", "/api/admin/sync/request"),
    ("POST", "/api/sync/resolve"),
    ("GET", "/api/sync/conflicts"),
    ("GET", "/api"),
    ("DELETE", "/api/anything"),
    ("GET", "/cluster/failover"),
    # The same paths in other spellings.
    ("POST", "/cluster/failover/"),
    ("POST", "/cluster/%66ailover"),
    ("POST", "/%63luster/failover"),
    ("POST", "/%61pi/admin/reload"),
    ("POST", "/kamaitachi/api/data/v1/%63ache/reset"),
]
PROCESSES = [
    ("POST", "/replication/v1/fetch"),
    ("GET", "/replication"),
    ("POST", "/%72eplication/v1/fetch"),
    ("POST", "/replication/v1/fetch/"),
]
# What a client may put on to look like somebody else.
DRESSES = [
    "",
    "Via: 1.1 kamaitachi-gateway\r\n",
    "Forwarded: for=127.0.0.1\r\n",
    "X-Forwarded-For: 127.0.0.1\r\n",
    "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-Host: localhost\r\n",
    "Connection: close, via, forwarded, x-forwarded-for\r\n",
    "Authorization: Bearer \r\n",
    "Authorization: Bearer x\r\n",
    "X-Kamaitachi-Auth: v1 time=1 nonce=0123456789abcdef mac=" + "0" * 64 + "\r\n",
    "Origin: http://127.0.0.1\r\n",
]


def raw(method, target, headers="", host="127.0.0.1", body=b"{}"):
    head = ("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s%s"
            "Content-Length: %d\r\n\r\n" % (
                method, target, host, headers,
                "" if "Connection:" in headers else "Connection: close\r\n", len(body)))
    return head.encode() + body


@group
class FromAnotherAddress:
    def setup(self, bench):
        self.outside = Namespace(bench)
        self.cluster = bench.cluster(slaves=1, gateway=False, server_listen="0.0.0.0")
        self.gateway = Gateway(bench, "gateway", self.cluster.etcd,
                               server_listen="0.0.0.0").start()
        self.gateway.wait_nodes(self.cluster.nodes)
        self.guarded = Gateway(bench, "gateway2", self.cluster.etcd, server_listen="0.0.0.0",
                               auth_admin_token="boss").start()
        self.guarded.wait_nodes(self.cluster.nodes)

    def _ways(self):
        """(port, what a path begins with)"""
        return [(node.port, "") for node in self.cluster.nodes] + [
            (self.gateway.port, ""), (self.gateway.port, "/data"),
            (self.guarded.port, ""), (self.guarded.port, "/data")]

    def _all_refused(self, paths, dress):
        requests = [(port, raw(method, prefix + path, dress))
                    for port, prefix in self._ways() for method, path in paths]
        for (port, sent), answer in zip(requests, self.outside.send(requests)):
            line = sent.split(b"\r\n")[0].decode()
            check(answer.status in (401, 403), "%s at port %d with %r gives %d: %s", line, port,
                  dress, answer.status, answer.body[:200])
            equal(answer.json()["status_code"], answer.status, "status_code of " + line)
            equal(answer.headers.get("content-type"), "application/json", "type of " + line)

    def everyone_is_served_what_is_public(self):
        for port, prefix in self._ways():
            save, ask = self.outside.send([
                (port, raw("POST", prefix + API + "/save",
                           body=b'{"records":[{"subject":"s","time":0,"data":{"x":1}}]}')),
                (port, raw("POST", prefix + API + "/snapshot"))])
            if prefix or port in (self.gateway.port, self.guarded.port):
                leads = prefix == "/data"
                equal(ask.status, 200 if leads else 404, "a query at port %d" % port)
                equal(save.status, 200 if leads else 404, "a save at port %d" % port)
            else:
                equal(ask.status, 200, "a query at port %d" % port)
                check(save.status in (200, 421), "a save at port %d: %d", port, save.status)

    def every_operators_path_refuses(self):
        for dress in DRESSES:
            self._all_refused(ADMIN, dress)

    def every_path_of_processes_refuses(self):
        for dress in DRESSES:
            self._all_refused(PROCESSES, dress)

    def absolute_targets_are_judged_by_their_path(self):
        host = "127.0.0.1:%d" % self.cluster.master.port
        requests = [(gateway.port, raw("POST", "http://%s%s%s" % (host, prefix, path), host=host))
                    for gateway in (self.gateway, self.guarded) for prefix in ("", "/data")
                    for path in ("/cluster/failover", "/api/admin/reload", "/replication/v1/fetch")]
        for (_, sent), answer in zip(requests, self.outside.send(requests)):
            check(answer.status in (401, 403), "%r gives %d", sent[:80], answer.status)

    def paths_that_can_be_read_in_two_ways_are_400(self):
        for path in ("//cluster/failover", "/./cluster/failover", "/x/../cluster/failover",
                     "/cluster%2ffailover", "/cluster/failover%00", "/%2e%2e/cluster/failover",
                     "/data//cluster/failover", "/data/x/../cluster/failover",
                     "/data/cluster%2Ffailover", "/data/%2e/cluster/failover"):
            requests = [(port, raw("POST", path)) for port, _ in self._ways()]
            for (port, _), answer in zip(requests, self.outside.send(requests)):
                equal(answer.status, 400, "%s at port %d" % (path, port))

    def data_is_stripped_once(self):
        """What is left then is a path that no node knows, and no operator's."""
        paths = ("/data/data/cluster/failover", "/%64ata/cluster/failover",
                 "/data/DATA/cluster/failover", "/data/Cluster/failover")
        requests = [(self.gateway.port, raw("POST", path)) for path in paths]
        for (_, sent), answer in zip(requests, self.outside.send(requests)):
            check(answer.status in (404, 405), "%r gives %d", sent[:80], answer.status)

    def the_token_opens_what_it_is_for(self):
        boss = "Authorization: Bearer boss\r\n"
        own, passed = self.outside.send([
            (self.guarded.port, raw("POST", "/api/admin/reload", boss)),
            (self.guarded.port, raw("POST", "/data/api/admin/reload", boss))])
        # Not built yet, on either: judged first, then looked for.
        equal(own.status, 404, "the gateway's own path")
        equal(passed.status, 404, "a node's path, asked in the gateway's own name")
        processes = self.outside.send([
            (self.guarded.port, raw("POST", prefix + "/replication/v1/fetch", boss))
            for prefix in ("", "/data")])
        for answer in processes:
            equal(answer.status, 403, "processes' paths with an operator's token")

    def loopback_may_unless_it_passes_something_on(self):
        for server in self.cluster.nodes + [self.gateway]:
            for prefix in ("", "/data") if server is self.gateway else ("",):
                answer = server.post(prefix + "/api/admin/reload", {})
                equal(answer.status, 404, "%s%s from loopback" % (server.name, prefix))
                for name in ("Via", "Forwarded", "X-Forwarded-For"):
                    answer = server.post(prefix + "/api/admin/reload", {}, {name: "1.1 x"})
                    equal(answer.status, 403, "%s%s with %s" % (server.name, prefix, name))
