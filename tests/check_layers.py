#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Greps the include lines for the rules that keep the layers apart.

1. Layers: a file of common/X includes from X or an earlier layer only; the executables include
   from common/ and from themselves.
2. Libraries: each third-party header is included by the .c files of one place, never by a header.
3. Platform: what Windows lacks is included and called in common/base and common/http only (and in
   bench/peers, which is not built there); everybody else uses the wrappers of common/base.

Prints one line per offence, path:line first; exit status 1 if there are any.

usage: check_layers.py [ROOT]           check a source tree
       check_layers.py --self-test      plant offences in copies and see each of them found
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

LAYERS = ["base", "json", "conf", "http", "etcd", "series", "store", "cache", "query", "coord",
          "replica", "node"]
PROGRAMS = ["master", "slave", "gateway", "bench"]

# Header (a regular expression) -> where .c files may include it.
LIBRARIES = [
    (r"sqlite3\.h", ["common/store", "bench/raw_sqlite"]),
    (r"curl/.*", ["common/http"]),
    (r"civetweb\.h", ["common/http", "bench/peers"]),
    (r"(cjson/)?cJSON\.h", ["common/json"]),
    (r"ini\.h", ["common/conf"]),
    (r"uv\.h", ["gateway", "bench"]),
    (r"openssl/.*", ["common/base/hash", "common/http"]),
    (r"xxhash\.h", ["common/base"]),
    (r"zlib\.h", ["common/http", "common/node", "gateway", "tests"]),
]

PLATFORM_HEADERS = """
threads.h sys/socket.h netinet/in.h netinet/tcp.h arpa/inet.h netdb.h net/if.h poll.h sys/select.h
sys/wait.h sys/mman.h sys/resource.h sys/random.h sys/uio.h sys/un.h sys/ioctl.h sys/epoll.h
sys/eventfd.h sys/signalfd.h sys/timerfd.h sys/utsname.h sys/syscall.h sys/file.h sys/prctl.h
termios.h syslog.h dlfcn.h spawn.h pwd.h grp.h regex.h fnmatch.h glob.h err.h sched.h
windows.h winsock2.h ws2tcpip.h io.h direct.h process.h
""".split()

PLATFORM_CALLS = """
strndup strsep strcasestr stpcpy strlcpy memmem getline open_memstream fmemopen dprintf timegm
strptime setenv unsetenv mkdtemp realpath fsync fdatasync pread pwrite readlink symlink fork
sigaction rand_r getrandom sysconf strerror_r mmap timespec_get aligned_alloc posix_memalign
localtime_r gmtime_r
""".split()

PLATFORM_PLACES = ["common/base", "common/http", "bench/peers"]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(PLATFORM_CALLS))
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                             re.DOTALL)


def below(path, place):
    """Is `path` in the directory `place`, or one of its files place*.c?"""
    return path.startswith(place + "/") or os.path.dirname(path) + "/" + os.path.splitext(
        os.path.basename(path))[0] == place


def owner_of(path):
    """The place whose rules a file has: a unit test has those of the module that it tests."""
    parts = path.split("/")
    if parts[:2] == ["tests", "unit"] and len(parts) > 3:
        module = parts[2]
        return "/".join([module if module in PROGRAMS else "common/" + module] + parts[3:])
    return path


def check_layer(path, header):
    parts = path.split("/")
    target = header.split("/")[0]
    if parts[0] == "common" and len(parts) > 2:
        if target in PROGRAMS:
            return "common/ includes %s, which is built upon it" % header
        if target in LAYERS and LAYERS.index(target) > LAYERS.index(parts[1]):
            return "layer %s includes %s of the later layer %s" % (parts[1], header, target)
    if parts[0] in PROGRAMS and target in PROGRAMS and target != parts[0]:
        return "%s includes %s of another program" % (parts[0], header)
    return None


def check_spelling(path, header):
    # Unit tests may reach for their frame.
    if (header.startswith("../") or "/../" in header) and not path.startswith("tests/"):
        return "includes %s: name the directory instead of .." % header
    return None


def check_library(path, header, file):
    for pattern, places in LIBRARIES:
        if re.fullmatch(pattern, header):
            if path.endswith(".h"):
                return "a header includes %s; only .c files of %s may" % (
                    header, " and ".join(places))
            if not any(below(path, place) or below(file, place) for place in places):
                return "includes %s; only %s may" % (header, " and ".join(places))
    return None


def check_platform(path, header):
    if header not in PLATFORM_HEADERS or any(below(path, place) for place in PLATFORM_PLACES):
        return None
    return "includes %s, which not every platform has; only %s may" % (
        header, ", ".join(PLATFORM_PLACES))


def check_calls(path, text):
    if any(below(path, place) for place in PLATFORM_PLACES):
        return
    blank = COMMENT_OR_TEXT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for number, line in enumerate(blank.split("\n"), 1):
        for match in CALL.finditer(line):
            yield number, "calls %s, which not every platform has; use the wrappers of %s" % (
                match.group(1), PLATFORM_PLACES[0])


def check_file(path, text):
    """Yields (line, offence) for one file; `path` is relative to the root."""
    is_test = path.startswith("tests/")
    owned = owner_of(path)
    for number, line in enumerate(text.split("\n"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(2)
        for offence in (check_layer(owned, header), check_library(owned, header, path),
                        check_platform(owned, header), check_spelling(path, header)):
            if offence:
                yield number, offence
    if not is_test:
        yield from check_calls(path, text)


def sources(root):
    for top in ["common", "tests"] + PROGRAMS:
        for folder, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith((".c", ".h", ".h.in")):
                    yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def check_tree(root):
    count, offences = 0, 0
    for path in sources(root):
        count += 1
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        # tests/unit's own frame makes temporary directories and belongs to no module.
        if path.startswith("tests/unit/kt_test."):
            continue
        for line, offence in check_file(path, text):
            offences += 1
            print("%s:%d: %s" % (path, line, offence))
    if count == 0:
        print("no sources below %s" % root)
        return 1
    print("%d files checked, %d offences" % (count, offences))
    return 1 if offences else 0


# What is planted: file, text, what the report must say (None = nothing).
PLANTED = [
    ("common/json/planted.c", '#include "store/store.h"\n', "later layer store"),
    ("common/base/planted.h", '#include "json/read.h"\n', "later layer json"),
    ("common/node/planted.c", '#include "gateway/front.h"\n', "built upon it"),
    ("master/planted.c", '#include "gateway/front.h"\n', "another program"),
    ("common/query/planted.c", "#include <sqlite3.h>\n", "only common/store and bench/raw_sqlite may"),
    ("common/store/planted.h", "#include <sqlite3.h>\n", "a header includes"),
    ("common/base/planted.c", "#include <openssl/evp.h>\n", "only common/base/hash"),
    ("gateway/planted.c", "#include <curl/curl.h>\n", "only common/http may"),
    ("common/node/planted.c", "#include <sys/socket.h>\n", "not every platform"),
    ("gateway/planted.c", " # include <sys/socket.h>\n", "not every platform"),
    ("bench/planted.c", "#include <sys/mman.h>\n", "not every platform"),
    ("common/store/planted.c", "int f(void)\n{\n    return fsync(3);\n}\n", "calls fsync"),
    ("common/base/planted.c", "#include <sys/socket.h>\nint f(void) { return fsync(3); }\n", None),
    ("common/http/planted.c", "#include <sys/socket.h>\n#include <openssl/ssl.h>\n", None),
    ("bench/peers/planted.c", "#include <sys/socket.h>\n#include <civetweb.h>\n", None),
    ("bench/planted.c", "#include <civetweb.h>\n", "only common/http and bench/peers may"),
    ("common/base/hash.c", "#include <openssl/evp.h>\n", None),
    ("tests/unit/store/planted.c", '#include <sqlite3.h>\n#include "node/save.h"\n',
     "later layer node"),
    ("common/node/planted.c", '#include "../store/store.h"\n', "instead of .."),
    ("common/node/planted.c", '/* fork(2) and "fsync(" */\nchar *f = "setenv(x)";\n', None),
]


def self_test():
    failed = 0
    for path, text, expected in PLANTED:
        root = tempfile.mkdtemp(prefix="kt_layers.")
        try:
            target = os.path.join(root, path)
            os.makedirs(os.path.dirname(target))
            with open(target, "w", encoding="utf-8") as file:
                file.write(text)
            done = subprocess.run([sys.executable, os.path.abspath(__file__), root],
                                  stdout=subprocess.PIPE, text=True, check=False)
            right = (done.returncode == 0) if expected is None else (
                done.returncode == 1 and expected in done.stdout)
        finally:
            shutil.rmtree(root)
        what = "%s %s" % (path, "passes" if expected is None else "is refused: " + expected)
        print("%s - %s" % ("ok" if right else "FAIL", what))
        if not right:
            failed += 1
            print("  it printed: " + done.stdout.strip())
    print("%d passed, %d failed" % (len(PLANTED) - failed, failed))
    return 1 if failed else 0


def main(args):
    if args == ["--self-test"]:
        return self_test()
    if len(args) > 1 or (args and args[0].startswith("-")):
        sys.stderr.write(__doc__)
        return 2
    here = os.path.dirname(os.path.abspath(__file__))
    return check_tree(args[0] if args else os.path.dirname(here))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
