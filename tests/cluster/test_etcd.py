# SPDX-License-Identifier: MIT
"""etcd as operators run it: several endpoints, users and passwords, https with certificates."""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import time

from cluster import (ROOT, SLOW, Answer, Etcd, Gateway, Node, b64, check, equal, free_ports, missing,
                     test, wait_until)

SLOW_TESTS = ["a_cluster_over_https_with_client_certificates"]
PASSWORD = "pa55-w\"ord\\of kt"


class SecuredEtcd(Etcd):
    """Asks with a token and over TLS, as far as they are set."""

    def __init__(self, bench, certs=None):
        super().__init__(bench)
        self.certs, self.user = certs, None

    @property
    def endpoint(self):
        return ("https://" if self.certs else "") + self.addr

    def command(self):
        command = super().command() + ["--bcrypt-cost", "4"]  # 10 costs a busy machine seconds
        if self.certs:
            command = [part.replace("http://" + self.addr, "https://" + self.addr)
                       for part in command]
            command += ["--cert-file", self.certs + "/server.pem", "--key-file",
                        self.certs + "/server.key", "--trusted-ca-file", self.certs + "/ca.pem",
                        "--client-cert-auth"]
        return command

    def ask(self, method, path, body=None, headers=None):
        if self.certs:
            context = ssl.create_default_context(cafile=self.certs + "/ca.pem")
            context.load_cert_chain(self.certs + "/client.pem", self.certs + "/client.key")
            connection = http.client.HTTPSConnection(self.addr, timeout=10 * SLOW, context=context)
        else:
            connection = http.client.HTTPConnection(self.addr, timeout=10 * SLOW)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {}, answer.read())
        finally:
            connection.close()

    def is_healthy(self):
        check(self.is_running(), "etcd has ended")
        # With users, /health asks for one too: what it answers then is healthy enough.
        body = self.ask("GET", "/health").body
        return b"true" in body or (self.user and body)

    def call(self, path, body):
        headers = {}
        if self.user:
            login = self.ask("POST", "/v3/auth/authenticate",
                             {"name": self.user[0], "password": self.user[1]})
            headers["Authorization"] = login.json()["token"]
        return self.ask("POST", "/v3" + path, body, headers).json()

    def good(self, path, body):
        answer = self.call(path, body)
        check("error" not in answer, "%s: %s", path, answer)

    def use_users(self):
        """root, and kt with its rights below /kamaitachi/ alone."""
        self.good("/auth/role/add", {"name": "root"})
        self.good("/auth/user/add", {"name": "root", "password": "root"})
        self.good("/auth/user/grant", {"user": "root", "role": "root"})
        self.good("/auth/role/add", {"name": "kt"})
        self.good("/auth/role/grant", {"name": "kt", "perm": {
            "permType": "READWRITE", "key": b64("/kamaitachi/"), "range_end": b64("/kamaitachi0")}})
        self.good("/auth/user/add", {"name": "kt", "password": PASSWORD})
        self.good("/auth/user/grant", {"user": "kt", "role": "kt"})
        self.good("/auth/enable", {})
        self.user = ("root", "root")


def make_certs(bench):
    if not shutil.which("openssl"):
        missing("openssl", "no openssl in PATH")
    path = os.path.join(bench.dir, "certs")
    os.mkdir(path)
    subprocess.run([os.path.join(ROOT, "tests", "certs.sh"), path], check=True)
    return path


def start_all(bench, endpoints, **settings):
    """master, slave and gateway, well."""
    nodes = [Node(bench, name, endpoints, cluster_expect=2, **settings)
             for name in ("master", "slave")]
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_well()
    gateway = Gateway(bench, "gateway", endpoints, **settings).start()
    gateway.wait_nodes(nodes)
    return nodes, gateway


def takes_writes(gateway, subject):
    def saved():
        return gateway.data_post("save", {"records": [
            {"subject": subject, "time": 1, "data": {"x": 1}}]}).status == 200
    wait_until(saved, "a write is taken", 15)


@test
def the_first_of_two_endpoints_is_dead(bench):
    etcd = bench.etcd()
    dead = "127.0.0.1:%d" % free_ports(1)
    nodes, gateway = start_all(bench, "%s,http://%s/" % (dead, etcd.addr))
    takes_writes(gateway, "s")
    for node in nodes + [gateway]:
        check("etcd_unreachable" not in node.log(), "%s noticed", node.name)
    equal(nodes[0].get("/version").data()["etcd"], gateway.get("/version").data()["etcd"],
          "etcd's version")


@test
def a_cluster_over_an_etcd_with_users(bench):
    etcd = SecuredEtcd(bench)
    etcd.start()
    etcd.use_users()
    nodes, gateway = start_all(bench, etcd.endpoint, etcd_user="kt", etcd_password=PASSWORD)
    takes_writes(gateway, "before")
    # A restarted etcd knows no token any more.
    epoch = nodes[0].health()["epoch"]
    etcd.kill()
    etcd.start()
    takes_writes(gateway, "after")
    gateway.wait_nodes(nodes, 15)
    check(nodes[0].health()["epoch"] >= epoch, "the epoch")
    for node in nodes + [gateway]:
        check(PASSWORD not in node.log() and "pa55" not in node.log(),
              "the log of %s holds the password", node.name)
    nodes[0].terminate()
    equal(etcd.service_key(nodes[0].addr), None, "the master's key after its stop")
    nodes[0].start()


@test
def a_wrong_password_is_told_until_it_is_right(bench):
    etcd = SecuredEtcd(bench)
    etcd.start()
    etcd.use_users()
    nodes = [Node(bench, "master", etcd.endpoint, etcd_user="kt", etcd_password="pa55-new"),
             Node(bench, "slave", etcd.endpoint),
             Gateway(bench, "gateway", etcd.endpoint, etcd_user="other", etcd_password="pa55-new")]
    says = ["refuses user 'kt': etcdserver: authentication failed",
            "set [etcd] user and password", "refuses user 'other'"]
    for node in nodes:
        node.launch()
    for node, text in zip(nodes, says):
        node.wait_answers()
        equal(node.get("/health").status, 503, "health of %s" % node.name)
        wait_until(lambda n=node, t=text: t in n.log() and "[etcd] user and password" in n.log(),
                   "%s says %s" % (node.name, text))
        check("pa55" not in node.log(), "the log of %s holds the password", node.name)
    # Repeated for as long as it lasts, but said once.
    def lines():
        return [[node.log().count(event + " ") for event in
                 ("etcd_unreachable", "registration_refused", "etcd_reachable")] for node in nodes]
    once = [[1, 1, 0]] * 3
    wait_until(lambda: lines() == once, "each says that it can neither read nor register")
    seen = time.monotonic()
    wait_until(lambda: time.monotonic() - seen > 3, "some retries")
    equal(lines(), once, "lines about it")
    etcd.good("/auth/user/changepw", {"name": "kt", "password": "pa55-new"})
    wait_until(lambda: etcd.service_key(nodes[0].addr), "the master is registered", 15)
    wait_until(lambda: "coord etcd_reachable" in nodes[0].log(), "the master says that it is in")
    nodes[0].wait_well()


@test
def a_cluster_over_https_with_client_certificates(bench):
    certs = make_certs(bench)
    etcd = SecuredEtcd(bench, certs)
    etcd.start()
    etcd.use_users()
    settings = {"etcd_ca_file": certs + "/ca.pem", "etcd_cert_file": certs + "/client.pem",
                "etcd_key_file": certs + "/client.key", "etcd_user": "kt",
                "etcd_password": PASSWORD}
    nodes, gateway = start_all(bench, etcd.endpoint, **settings)
    takes_writes(gateway, "s")
    # Who trusts another authority says so, and does not come in.
    settings["etcd_ca_file"] = certs + "/other_ca.pem"
    stranger = Node(bench, "slave2", etcd.endpoint, **settings)
    stranger.launch()
    stranger.wait_answers()
    wait_until(lambda: "check [etcd] ca_file" in stranger.log() and
               "certificate" in stranger.log(), "the stranger says why")
    equal(etcd.service_key(stranger.addr), None, "the stranger's key")
    settings.update(etcd_ca_file=certs + "/ca.pem", etcd_cert_file=certs + "/named.pem",
                    etcd_key_file=certs + "/named.key")
    named = Node(bench, "slave3", etcd.endpoint, **settings)
    named.launch()
    wait_until(lambda: "without common name (CN)" in named.log(), "etcd wants no common name")
    equal(stranger.get("/health").status, 503, "the stranger's health")
    equal(len(gateway.nodes()), len(nodes), "nodes")
