# SPDX-License-Identifier: MIT
"""Every key of every table: file < environment < flag; out of range ends with exit status 2, file
and line. The documents made from the tables are those in the tree."""

import os
import re
import subprocess

from cluster import BIN, Failure, ROOT, check, equal, test

SLOW_TESTS = ["every_key_of_the_%s_is_file_then_environment_then_flag" % program
              for program in ("slave", "gateway")]
PLAIN_TESTS = SLOW_TESTS  # the same code over other tables, in hundreds of processes
PROGRAMS = ["master", "slave", "gateway"]
FLAGS = {("server", "port"): "-port", ("store", "db"): "-db", ("log", "level"): "-log-level"}
# Texts with a grammar of their own: two good ones, and one that is refused.
TEXTS = {
    ("server", "service_name"): ("one", "two", "a/b"),
    ("server", "service_addr"): ("one.example", "two.example:77", "a b"),
    ("server", "listen"): ("127.0.0.2", "127.0.0.3", None),
    ("etcd", "endpoints"): ("10.0.0.1:2379", "10.0.0.2:2379,10.0.0.3:1", "host:port:x"),
    ("etcd", "prefix"): ("/one", "/two/three", "no-slash"),
    ("cluster", "allow"): ("10.0.0.0/8", "::1, 10.1.2.3", "10.0.0.0/33"),
    ("cluster", "register_with"): ("10.0.0.1:1", "one:1, two:2", "one:1, two"),
}
# Files that must be there, in PEM; and what else must be set beside a key.
PEM_FILES = {("etcd", "ca_file"), ("etcd", "cert_file"), ("etcd", "key_file")}
HTTPS = {"KAMAITACHI_ETCD_ENDPOINTS": "https://10.0.0.1:2379"}
BESIDE = {
    ("etcd", "user"): {"KAMAITACHI_ETCD_PASSWORD": "x"},
    ("etcd", "password"): {"KAMAITACHI_ETCD_USER": "x"},
    ("etcd", "ca_file"): HTTPS,
    ("etcd", "cert_file"): HTTPS,
    ("etcd", "key_file"): HTTPS,  # and cert_file, see Loop
    ("cluster", "register_with"): {"KAMAITACHI_ETCD_ENDPOINTS": ""},
    ("replication", "min_in_sync"): {"KAMAITACHI_REPLICATION_MAX_IN_SYNC": "64"},
}


def run(program, *arguments, env=None, cwd=None):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KAMAITACHI_")}
    environment.update(env or {})
    done = subprocess.run([os.path.join(BIN, program)] + list(arguments), capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, env=environment, cwd=cwd or "/",
                          timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


class Key:
    def __init__(self, section, name, preset, allowed):
        self.section, self.name, self.preset, self.allowed = section, name, preset, allowed
        self.variable = "KAMAITACHI_%s_%s" % (section.upper(), name.upper())
        self.is_secret = False

    def __str__(self):
        return "[%s] %s" % (self.section, self.name)


def table_of(program):
    """The keys as -print-config-ini and -print-config-md tell them; both must agree."""
    status, ini, _ = run(program, "-print-config-ini")
    equal(status, 0, "exit status of -print-config-ini")
    keys, section, about = [], None, None
    for line in ini.split("\n"):
        head = re.fullmatch(r"\[(\w+)\]", line)
        note = re.fullmatch(r"# Default: (.*?)\. Allowed: (.*?)(\. Unit: .*)?\.", line)
        value = re.fullmatch(r"(\w+) =(?: (.*))?", line)
        if head:
            section = head.group(1)
        elif note:
            about = note
        elif value:
            check(about is not None, "%s: %s has no comment", program, line)
            keys.append(Key(section, value.group(1), value.group(2) or "", about.group(2)))
            about = None
    status, text, _ = run(program, "-print-config-md")
    equal(status, 0, "exit status of -print-config-md")
    rows = []
    for line in text.split("\n"):
        head = re.fullmatch(r"### \w+ `\[(\w+)\]`", line)
        row = re.match(r"\| `(\w+)` \| (?:`(.*?)`|\(empty\)) \| (.*?) \| (.*?) \| (.*) \|$", line)
        if head:
            section = head.group(1)
        elif row:
            rows.append((section, row.group(1), row.group(2) or "", row.group(3)))
            if "Secret: shown as" in row.group(5):
                keys[len(rows) - 1].is_secret = True
    equal(rows, [(k.section, k.name, k.preset, k.allowed) for k in keys],
          "the rows of -print-config-md of %s" % program)
    check(len(keys) > 10, "%s has only %d keys", program, len(keys))
    return keys


def values_of(key):
    """Two good values and the bad ones."""
    spot = (key.section, key.name)
    if spot in TEXTS:
        first, second, bad = TEXTS[spot]
        return first, second, [bad] if bad else []
    if key.allowed == "true, false":
        return "true", "false", ["maybe", "2"]
    text = re.fullmatch(r"(\d+)\.\.(\d+) bytes", key.allowed)
    if text:
        low, high = int(text.group(1)), int(text.group(2))
        bad = ["x" * (high + 1)] + ([""] if low > 0 else [])
        return "x" * max(low, 1), "yy" * max(low, 1), bad
    span = re.fullmatch(r"(-?\d+)([kmgt]?)\.\.(-?\d+)([kmgt]?)", key.allowed)
    if span:
        unit = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
        low = int(span.group(1)) * unit[span.group(2)]
        high = int(span.group(3)) * unit[span.group(4)]
        return str(low), str(high), [str(low - 1), str(high + 1), "12x", "1.5", "99" * 12]
    choices = key.allowed.split(", ")
    return choices[0], choices[-1], [choices[0] + "x"]


def number(text):
    """Bytes are printed shortest: 1048576 as 1m."""
    match = re.fullmatch(r"(-?\d+)([kmgt])", text)
    if not match:
        return text
    return str(int(match.group(1)) << {"k": 10, "m": 20, "g": 30, "t": 40}[match.group(2)])


def shown(output, key):
    """(value, source) of a key in the output of -check-config."""
    for line in output.split("\n"):
        match = re.fullmatch(r"\[(\w+)\] (\w+) = (.*?) *# (.*)", line)
        if match and (match.group(1), match.group(2)) == (key.section, key.name):
            return number(match.group(3)), match.group(4)
    raise Failure("%s is not in the output of -check-config" % key)


class Loop:
    """One key of one program against file, environment and flag."""

    def __init__(self, bench, program, key):
        self.program, self.key = program, key
        self.path = os.path.join(bench.dir, "x.ini")
        self.beside = dict(BESIDE.get((key.section, key.name), {}))
        self.files = [os.path.join(bench.dir, name) for name in ("one.pem", "two.pem")]
        for path in self.files if (key.section, key.name) in PEM_FILES else []:
            with open(path, "w", encoding="utf-8") as file:
                file.write("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
        if key.name == "key_file":
            self.beside["KAMAITACHI_ETCD_CERT_FILE"] = self.files[0]
        self.wrong = []

    def write(self, value):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("; a comment\n[%s]\n%s = %s\n" % (self.key.section, self.key.name, value))

    def good(self, expected, source, env=None, flags=()):
        status, out, err = run(self.program, "-config", self.path, "-check-config", *flags,
                               env={**self.beside, **(env or {})})
        if status != 0:
            self.wrong.append("%s from %s: exit %d: %s" % (self.key, source, status, err.strip()))
            return
        expected = "***" if self.key.is_secret and expected else expected
        value, where = shown(out, self.key)
        if (value, where) != (expected, source):
            self.wrong.append("%s is %s from %s, expected %s from %s" % (
                self.key, value, where, expected, source))

    def bad(self, value, names, env=None, flags=()):
        status, _, err = run(self.program, "-config", self.path, "-check-config", *flags,
                             env={**self.beside, **(env or {})})
        if status != 2 or any(name not in err for name in names):
            self.wrong.append("%s = %.40s: exit %d: %s; expected 2 and %s" % (
                self.key, value, status, err.strip()[:300], names))

    def run(self):
        key = self.key
        first, second, bad = values_of(key)
        if (key.section, key.name) in PEM_FILES:
            first, second = self.files
        flag = FLAGS.get((key.section, key.name))
        self.write(first)
        self.good(first, "%s:3" % self.path)
        self.good(second, "environment", {key.variable: second})
        if flag:
            self.good(first, "flag", {key.variable: second}, (flag, first))
            self.good(first, "flag", {key.variable: second}, ("-" + flag + "=" + first,))
        # How a refusal tells what is allowed: as the table does, but for words.
        allowed = [] if (key.section, key.name) in TEXTS else [
            key.allowed.replace("true, false", "true or false")]
        for value in bad:
            self.write(first)
            if value:  # an empty variable unsets
                self.bad(value, [key.variable], {key.variable: value})
            if flag:
                self.bad(value, [flag], None, (flag, value))
            self.write(value)
            self.bad(value, ["%s:3" % self.path, key.name] + allowed)
        return self.wrong


def loop_over(bench, program):
    wrong = []
    for key in table_of(program):
        wrong += Loop(bench, program, key).run()
    if wrong:
        raise Failure("%d faults:\n%s" % (len(wrong), "\n".join(wrong[:40])))


@test
def every_key_of_the_master_is_file_then_environment_then_flag(bench):
    loop_over(bench, "master")


@test
def every_key_of_the_slave_is_file_then_environment_then_flag(bench):
    loop_over(bench, "slave")


@test
def every_key_of_the_gateway_is_file_then_environment_then_flag(bench):
    loop_over(bench, "gateway")


@test
def what_is_no_key_is_refused_with_its_line(bench):
    path = os.path.join(bench.dir, "x.ini")
    for text, line, word in [
            ("[server]\nport = 1\ncolour = red\n", 3, "colour"),
            ("[nonsense]\nport = 1\n", 1, "nonsense"),
            ("[server]\nport = 80\n\nport = 81\n", 4, "port"),
            ("port = 1\n", 1, "section"),
            ("[server]\nwhat is this\n", 2, ""),
            ("[server\nport = 1\n", 1, ""),
            ("[server]\nport = 80 81\n", 2, "port")]:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        for program in PROGRAMS:
            status, _, err = run(program, "-config", path, "-check-config")
            equal(status, 2, "exit status of %s for %r" % (program, text))
            # inih tells of a section without a key only at its first key.
            check(re.search(r"x\.ini:(%d|%d):" % (line, line + 1), err) and word in err,
                  "%s says of %r: %s", program, text, err)


@test
def marks_line_ends_and_comments_are_read(bench):
    path = os.path.join(bench.dir, "x.ini")
    with open(path, "wb") as file:
        file.write(b"\xef\xbb\xbf[server]\r\nport = 4711 # mine\r\n[log]\r\nlevel = warn ; quiet\r\n")
    for program in PROGRAMS:
        status, out, err = run(program, "-config", path, "-check-config")
        equal([status, err], [0, ""], "exit status and message of %s" % program)
        check("[server] port = 4711" in out and "[log] level = warn" in out, "it prints %s", out)


@test
def without_config_the_programs_own_file_is_read(bench):
    os.mkdir(os.path.join(bench.dir, "conf"))
    for program in PROGRAMS:
        with open(os.path.join(bench.dir, "conf", program + ".ini"), "w", encoding="utf-8") as file:
            file.write("[server]\nport = 12345\n")
        status, out, _ = run(program, "-check-config", cwd=bench.dir)
        equal(status, 0, "exit status")
        check("[server] port = 12345   # conf/%s.ini:2" % program in out, "%s prints %s", program,
              out[:200])


@test
def flags_that_are_none_end_with_2(bench):
    for program in PROGRAMS:
        for flags in (["-nonsense"], ["-port"], ["stray"], ["-port", "1", "-port", "2"],
                      ["-config", os.path.join(bench.dir, "absent.ini"), "-check-config"]):
            status, _, err = run(program, *flags)
            equal(status, 2, "exit status of %s %s" % (program, flags))
            check(err.startswith(program + ": "), "%s says %s", program, err)
    equal(run("gateway", "-db", "x")[0], 2, "exit status of gateway -db")
    for program in PROGRAMS:
        for dashes in ("-", "--"):
            status, out, _ = run(program, dashes + "help")
            check(status == 0 and "-check-config" in out, "%s %shelp: %d %s", program, dashes, status,
                  out)
            status, out, _ = run(program, dashes + "version")
            check(status == 0 and out.startswith(program + " "), "%s %sversion: %d %s", program,
                  dashes, status, out)


@test
def what_does_not_go_together_is_refused(bench):
    text = os.path.join(bench.dir, "text")
    with open(text, "w", encoding="utf-8") as file:
        file.write("no certificate\n")
    for program in PROGRAMS:
        for settings, says in [
                ({"USER": "u"}, "[etcd] user is set, but not [etcd] password"),
                ({"PASSWORD": "hush"}, "[etcd] password is set, but not [etcd] user"),
                ({"CA_FILE": text}, "no endpoint begins with https://"),
                ({"ENDPOINTS": "https://a", "KEY_FILE": text}, "but not [etcd] cert_file"),
                ({"ENDPOINTS": "https://a", "CA_FILE": text}, "[etcd] ca_file: "),
                ({"ENDPOINTS": "https://a", "CERT_FILE": text + "x"}, "[etcd] cert_file: ")]:
            env = {"KAMAITACHI_ETCD_" + key: value for key, value in settings.items()}
            status, _, err = run(program, "-check-config", env=env)
            check(status == 2 and says in err and "hush" not in err, "%s with %s: %d %s", program,
                  settings, status, err)


@test
def secrets_are_never_shown(_bench):
    for program in PROGRAMS:
        env = {key.variable: "hush-hush" for key in table_of(program) if key.is_secret}
        env["KAMAITACHI_ETCD_USER"] = "someone"
        check(env, "%s has no secrets", program)
        status, out, err = run(program, "-check-config", env=env)
        equal(status, 0, "exit status")
        check("hush" not in out + err and "***" in out, "%s shows %s", program, out)


@test
def documents_made_from_the_tables_are_those_in_the_tree(_bench):
    done = subprocess.run([os.path.join(ROOT, "scripts", "dev", "config_docs.sh"), "--check", BIN],
                          capture_output=True, text=True, check=False)
    check(done.returncode == 0, "%s%s", done.stdout, done.stderr)
