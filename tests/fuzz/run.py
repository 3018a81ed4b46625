#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hunts with libFuzzer: every target of a build with -Dfuzz=true for some seconds.

A target starts from its seeds, its corpus, its regressions, and what fuzz_seeds makes. It fails when
it crashes, hangs for 10 s on one input, or takes more than 2 GB; the input is then shown and kept.
The last line is the sum: N passed, N failed.

usage: run.py [--seconds N] [--jobs N] [--keep-corpus] BUILD-DIR [NAME…]
  --seconds N     for each target (10)
  --jobs N        how many at a time (as many as there are cores)
  --keep-corpus   merge what was found into tests/fuzz/corpus, smallest inputs first, at most 64 KB
                  for each target
"""

import base64
import concurrent.futures
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from inputs import HERE, corpus_of, files_of

CORPUS_BYTES_MAX = 64 * 1024
INPUT_BYTES_MAX = 4096


def unpack(path):
    with open(path, "rb") as file:
        data = file.read()
    pos, inputs = 0, []
    while pos < len(data):
        (size,) = struct.unpack_from("<I", data, pos)
        inputs.append(data[pos + 4:pos + 4 + size])
        pos += 4 + size
    return inputs


def pack(path, inputs):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        for data in sorted(inputs):
            file.write(struct.pack("<I", len(data)) + data)


def fill(folder, build, name):
    """Everything that the hunt may start from."""
    for file in files_of(name):
        shutil.copy(file, folder)
    if os.path.exists(corpus_of(name)):
        for number, data in enumerate(unpack(corpus_of(name))):
            with open(os.path.join(folder, "kept-%d" % number), "wb") as file:
                file.write(data)
    subprocess.run([os.path.join(build, "tests", "fuzz", "fuzz_seeds"), name, folder], check=True)


def environment():
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:allocator_may_return_null=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    return env


def keep(program, folder, name):
    """The smallest inputs that together reach what all of them reach; says what it kept."""
    with tempfile.TemporaryDirectory() as merged:
        subprocess.run([program, "-merge=1", merged, folder], env=environment(), check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        inputs, total = [], 0
        for file in sorted(os.listdir(merged), key=lambda f: os.path.getsize(
                os.path.join(merged, f))):
            with open(os.path.join(merged, file), "rb") as source:
                data = source.read()
            if total + len(data) + 4 > CORPUS_BYTES_MAX:
                break
            total += len(data) + 4
            inputs.append(data)
        pack(corpus_of(name), inputs)
        return "    kept %d inputs, %d bytes\n" % (len(inputs), total)


def show_failure(work, name, text):
    """The end of what the target said, and its input, kept outside `work`."""
    shown = "\n".join(text.splitlines()[-60:]) + "\n"
    for file in sorted(os.listdir(work)):
        if file == "corpus":
            continue
        path = os.path.join(tempfile.gettempdir(), "fuzz-%s-%s" % (name, file))
        shutil.copy(os.path.join(work, file), path)
        with open(path, "rb") as source:
            shown += "    the input, kept in %s: base64 %s\n" % (
                path, base64.b64encode(source.read()).decode())
    return shown


def hunt(build, name, seconds, keep_corpus):
    """(is it good, executions, what to print)"""
    program = os.path.join(build, "tests", "fuzz", "fuzz_" + name)
    with tempfile.TemporaryDirectory() as work:
        folder = os.path.join(work, "corpus")
        os.mkdir(folder)
        fill(folder, build, name)
        done = subprocess.run(
            [program, "-max_total_time=%d" % seconds, "-print_final_stats=1", "-timeout=10",
             "-rss_limit_mb=2048", "-max_len=%d" % INPUT_BYTES_MAX, "-artifact_prefix=%s/" % work,
             folder], env=environment(), capture_output=True, check=False, timeout=seconds + 300)
        text = done.stderr.decode("utf-8", "replace")
        executed = re.search(r"stat::number_of_executed_units:\s+(\d+)", text)
        count = int(executed.group(1)) if executed else 0
        good = done.returncode == 0 and count > 0
        shown = "%s - %s (%d executions)\n" % ("ok" if good else "FAIL", name, count)
        if not good:
            shown += show_failure(work, name, text)
        elif keep_corpus:
            shown += keep(program, folder, name)
        return good, count, shown


def parse_arguments():
    numbers, keep_corpus, rest = {"--seconds": 10, "--jobs": os.cpu_count() or 1}, False, []
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        if argument in numbers:
            numbers[argument] = int(next(arguments))
        elif argument == "--keep-corpus":
            keep_corpus = True
        elif argument.startswith("-"):
            sys.exit(__doc__)
        else:
            rest.append(argument)
    if not rest:
        sys.exit(__doc__)
    return numbers["--seconds"], numbers["--jobs"], keep_corpus, rest[0], rest[1:]


def main():
    seconds, jobs, keep_corpus, build, names = parse_arguments()
    if not names:
        names = sorted(file[5:] for file in os.listdir(os.path.join(build, "tests", "fuzz"))
                       if re.fullmatch(r"fuzz_(?!seeds)[a-z0-9_]+", file))
    passed = executions = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for good, count, shown in pool.map(
                lambda name: hunt(build, name, seconds, keep_corpus), names):
            sys.stdout.write(shown)
            sys.stdout.flush()
            passed += good
            executions += count
    print("%d executions" % executions)
    print("%d passed, %d failed" % (passed, len(names) - passed))
    sys.exit(0 if names and passed == len(names) else 1)


if __name__ == "__main__":
    main()
