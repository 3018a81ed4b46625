# SPDX-License-Identifier: MIT
"""The documents say what is true.

docs/API.md: its examples are one session. They are sent in order to a gateway of a fresh cluster, and
the answers compared. An example is a block marked `http` (a request line, header lines, an empty
line, a body), directly followed by a block with the answer: `json` or `text`, with a status behind
it when that is not 200; or `http` again, which begins with a status line and names headers too.

In an answer … stands for anything: as a text of its own for any value, within a text for any part of
it, as a member's name for further members, as an array's last item for further items. In a request
NEXT_CURSOR stands for the next_cursor of the newest answer that had one.

What the documents name (paths, error codes, settings, log events, tests) is compared with the source.
"""

import glob
import json
import os
import re

from cluster import ROOT, Failure, check, equal, group, request, test

BLOCK = re.compile(r"^```(http|json|text|ndjson|csv)(?: (\d{3}))?\n(.*?)^```$", re.M | re.S)
API = "/kamaitachi/api/data/v1"


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as file:
        return file.read()


def document(name):
    return read("docs", name)


# --- examples ------------------------------------------------------------------------------------

def split_head(text):
    """The first line, the headers and the body of an http block."""
    head, _, body = text.partition("\n\n")
    lines = head.strip().split("\n")
    return lines[0], dict(header.split(": ", 1) for header in lines[1:]), body.strip("\n")


class Example:
    def __init__(self, line, text):
        self.line = line
        first, self.headers, self.body = split_head(text)
        self.method, self.target = first.split(" ", 1)
        self.status, self.answer_headers, self.kind, self.answer = 200, {}, "", ""

    def __str__(self):
        return "API.md:%d: %s %s" % (self.line, self.method, self.target)

    def expect(self, kind, status, content):
        self.kind, self.status, self.answer = kind, int(status or 200), content.strip("\n")
        if kind == "http":
            first, self.answer_headers, self.answer = split_head(content)
            self.status = int(first.split(" ")[1])
            self.kind = "json" if self.answer.startswith("{") else "text"

    def send(self, addr, cursor):
        headers = dict(self.headers)
        if self.body and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        return request(addr, self.method, self.target.replace("NEXT_CURSOR", cursor),
                       self.body.replace("NEXT_CURSOR", cursor).encode() or None, headers)

    def compare(self, answer):
        equal(answer.status, self.status, "status")
        for name, pattern in self.answer_headers.items():
            fits(pattern, answer.headers.get(name.lower()), name)
        if self.kind == "json":
            fits(json.loads(self.answer), answer.json())
        else:
            check(text_fits(self.answer, answer.body.decode().strip("\n")), "the answer differs")


def examples(text):
    """Every request with the answer that stands behind it."""
    found, waiting = [], None
    for block in BLOCK.finditer(text):
        kind, status, content = block.groups()
        if waiting:
            waiting.expect(kind, status, content)
            found.append(waiting)
            waiting = None
        elif kind == "http":
            waiting = Example(text.count("\n", 0, block.start()) + 1, content)
    check(waiting is None, "%s has no answer", waiting)
    return found


def text_fits(pattern, text):
    parts = [re.escape(part) for part in pattern.split("…")]
    return re.fullmatch(".*".join(parts), text, re.S) is not None


def fits(pattern, value, where="answer"):
    """A Failure that names the place where they differ."""
    if isinstance(pattern, str) and "…" in pattern:
        check(pattern == "…" or (isinstance(value, str) and text_fits(pattern, value)),
              "%s is %r, expected %s", where, value, pattern)
    elif isinstance(pattern, dict):
        check(isinstance(value, dict), "%s is %r, expected an object", where, value)
        for name, part in pattern.items():
            if name != "…":
                check(name in value, "%s has no %s: %r", where, name, value)
                fits(part, value[name], where + "." + name)
        extra = set(value) - set(pattern)
        check("…" in pattern or not extra, "%s also has %s", where, ", ".join(sorted(extra)))
    elif isinstance(pattern, list):
        check(isinstance(value, list), "%s is %r, expected an array", where, value)
        is_open = bool(pattern) and pattern[-1] == "…"
        wanted = pattern[:-1] if is_open else pattern
        check(len(value) >= len(wanted) if is_open else len(value) == len(wanted),
              "%s has %d items, expected %d: %r", where, len(value), len(wanted), value)
        for index, part in enumerate(wanted):
            fits(part, value[index], "%s[%d]" % (where, index))
    else:
        equal(value, pattern, where)


@group
class ApiExamples:
    def setup(self, bench):
        self.examples = examples(document("API.md"))
        # An epoch more, for want of a lease in time, would shift every revision.
        self.cluster = bench.cluster(slaves=1, etcd_ttl=20)

    def every_example_answers_as_it_stands_there(self):
        wrong, cursor = [], ""
        for example in self.examples:
            answer = example.send(self.cluster.gateway.addr, cursor)
            try:
                example.compare(answer)
            except (Failure, ValueError) as failure:
                wrong.append("%s: %s\n%d %r\n%s" % (example, failure, answer.status, answer.headers,
                                                    answer.body.decode()))
            try:
                cursor = json.loads(answer.body).get("next_cursor", cursor)
            except ValueError:
                pass
            # Later examples read what earlier ones wrote, from whatever node.
            self.cluster.wait_level()
        check(not wrong, "%d examples of %d differ:\n%s", len(wrong), len(self.examples),
              "\n".join(wrong))

    def every_path_has_an_example(self):
        sent = {re.sub(r"\?.*", "", example.target) for example in self.examples}
        for _, path in sorted(routes("common/node/routes.c") | routes("gateway/own_routes.c")):
            pattern = re.sub(r"\\\{[a-z]+\\\}", "[^/]+", re.escape(path))
            check(any(re.fullmatch("(/data)?" + pattern, target) for target in sent),
                  "%s has no example", path)


# --- what is named exists, and what exists is named ----------------------------------------------

def routes(source):
    """(method, path) of each row of a table of routes."""
    text = read(source)
    defines = dict(re.findall(r'^#define (\w+) "([^"]*)"', text, re.M))
    found = set()
    for methods, prefix, path in re.findall(
            r'\{((?:KT_HTTP_\w+(?: \| )?)+),\s*(\w+ )?"([^"]*)",', text):
        for method in re.findall(r"KT_HTTP_(\w+)", methods):
            found.add((method, defines.get(prefix.strip(), "") + path))
    check(found, "no routes in %s", source)
    return found


def named_paths(text):
    """(method, path) of each heading: ### N G `GET, POST …/path`."""
    found = set()
    for methods, path in re.findall(r"^### [NG ]+`((?:[A-Z]+(?:, )?)+) ([…/][^`?]*)", text, re.M):
        for method in methods.split(", "):
            found.add((method, path.replace("…", API)))
    return found


@test
def every_path_is_in_the_documents_and_no_other(_bench):
    served = routes("common/node/routes.c") | routes("gateway/own_routes.c")
    named = named_paths(document("API.md"))
    equal(sorted(served - named), [], "paths that API.md does not name")
    equal(sorted(named - served), [], "paths of API.md that nobody serves")


@test
def every_error_code_is_in_the_documents_and_no_other(_bench):
    table = re.findall(r'X\(\w+, "(\w+)", (\d+), "(\w+)"\)', read("common/base/status.h"))
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (\w+) \|", document("API.md"), re.M)
    equal(sorted((int(status), code, retry) for status, code, retry in rows),
          sorted((int(status), code, retry) for code, status, retry in table if code != "ok"),
          "the table of codes in API.md")


@test
def every_setting_that_a_document_names_exists(_bench):
    sections, section = {}, ""
    for line in document("CONFIG.md").split("\n"):
        heading = re.match(r"### \w+ `\[(\w+)\]`", line)
        key = re.match(r"\| `(\w+)` \|", line)
        section = heading.group(1) if heading else section
        if key:
            sections.setdefault(section, set()).add(key.group(1))
    for path in glob.glob(os.path.join(ROOT, "docs", "*.md")) + [
            os.path.join(ROOT, name) for name in ("README.md", "CHANGELOG.md")]:
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"\s+", " ", file.read())
        for section, key in re.findall(r"`\[(\w+)\] ?(\w*)", text):
            check(section in sections, "%s: there is no section [%s]", path, section)
            check(not key or key in sections[section], "%s: there is no setting [%s] %s", path,
                  section, key)


def sources():
    paths = []
    for folder in ("common", "gateway", "master", "slave"):
        paths += glob.glob(os.path.join(ROOT, folder, "**", "*.[ch]"), recursive=True)
    return paths


@test
def every_log_event_that_operations_quotes_exists(_bench):
    text = document("OPERATIONS.md")
    texts = [read(path) for path in sources()]
    quoted = set(re.findall(r"^(?:debug|info|warn|error) +\S+ (\w+) (\w+)", text, re.M))
    quoted |= set(re.findall(
        r"`(program|store|node|replica|coord|health|http|gateway|import|export)\s([a-z]\w+)[ `]",
        text))
    check(len(quoted) > 10, "OPERATIONS.md quotes only %d events", len(quoted))
    for area, event in sorted(quoted):
        check(any('"%s"' % area in one and '"%s"' % event in one for one in texts),
              "nothing logs %s %s", area, event)


@test
def every_thread_and_lock_is_in_threads(_bench):
    text, names = document("THREADS.md"), set()
    for path in sources():
        names |= set(re.findall(
            r'kt_(?:thread_start|mutex_init)\(&[^,]+,\s*"([^"]+)"', read(path)))
    check(len(names) > 20, "only %d threads and locks in the source", len(names))
    missing = [name for name in sorted(names) if not re.search(r"\b%s\b" % re.escape(name), text)]
    equal(missing, [], "threads and locks that THREADS.md does not name")


@test
def every_cluster_test_is_in_testing(_bench):
    files = {os.path.basename(path)[:-3]
             for path in glob.glob(os.path.join(ROOT, "tests", "cluster", "test_*.py"))}
    named = set(re.findall(r"^\| (test_\w+) \|", document("TESTING.md"), re.M))
    equal(sorted(files - named), [], "cluster tests that TESTING.md does not name")
    equal(sorted(named - files), [], "cluster tests of TESTING.md that are not there")


def slug(text):
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def simulated():
    """Known bugs that the simulator can plant, and its scenarios."""
    plants = re.findall(r"^ +X\((\w+)\)", read("common/replica/machine_plants.h"), re.M)
    scenarios = re.search(r"scenario_names\[\w+\] = \{(.*?)\};", read("tests/sim/plan.c"), re.S)
    names = re.findall(r'"([^"]+)"', scenarios.group(1))
    check(len(plants) > 40 and len(names) > 15, "%d plants, %d scenarios", len(plants), len(names))
    return {"sim/" + slug(name) for name in plants + names}


@test
def every_guarantee_names_tests_that_exist(_bench):
    import cluster
    units = set()
    for path in glob.glob(os.path.join(ROOT, "tests", "unit", "*", "meson.build")):
        with open(path, encoding="utf-8") as file:
            units |= {"unit/" + name for name in re.findall(r"^ +'(\w+)': files", file.read(), re.M)}
    known = simulated() | units | {name for _, name, _, _ in cluster.TESTS}
    text = document("ARCHITECTURE.md").partition("\n## Guarantees\n")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:sim|unit)/\w+|[a-z0-9_]{24,})`", text)
    check(len(named) > 50, "only %d tests are named", len(named))
    equal(sorted(set(named) - known), [], "tests of the Guarantees that are not there")
    bullets = re.findall(r"^- (.*?)(?=\n- |\n\n)", text + "\n\n", re.M | re.S)
    equal([bullet[:60] for bullet in bullets if not any("`%s`" % name in bullet for name in known)],
          [], "guarantees that nothing shows")


@test
def every_link_in_the_documents_leads_somewhere(_bench):
    for path in glob.glob(os.path.join(ROOT, "docs", "*.md")) + [
            os.path.join(ROOT, name) for name in ("README.md", "CHANGELOG.md")]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            check(os.path.exists(os.path.join(os.path.dirname(path), target)),
                  "%s: %s is not there", path, target)
