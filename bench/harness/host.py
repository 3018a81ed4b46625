# SPDX-License-Identifier: MIT
"""The machine: what it is, how its disk syncs, what a process has used of it. Linux (/proc)."""

import os
import platform
import re
import shutil
import subprocess
import time

from stats import summary

TICK = os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def field_of(text, name):
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def load_average():
    return round(os.getloadavg()[0], 2)


def cores():
    return len(os.sched_getaffinity(0))


def file_system_of(folder):
    """Type of the file system that holds a directory: the longest mount point above it."""
    folder = os.path.realpath(folder)
    best, kind = "", "unknown"
    for line in read("/proc/self/mounts").splitlines():
        parts = line.split()
        if len(parts) < 3:
            continue
        point = parts[1].replace("\\040", " ")
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind


def machine(folder):
    memory = field_of(read("/proc/meminfo"), "MemTotal").split()
    return {
        "cpu": field_of(read("/proc/cpuinfo"), "model name") or platform.processor() or "unknown",
        "cores": cores(),
        "memory_gib": round(int(memory[0]) / 1024 / 1024, 1) if memory else None,
        "system": field_of(read("/etc/os-release").replace("=", ":"), "PRETTY_NAME").strip('"'),
        "kernel": platform.release(),
        "arch": platform.machine(),
        "file_system": file_system_of(folder),
        "hypervisor": "hypervisor" in field_of(read("/proc/cpuinfo"), "flags").split(),
    }


def fsync_probe(folder, count=200, limit_s=3.0):
    """Appends of 4 KB, each followed by fdatasync: milliseconds. What a durable write costs here at
    least; it moves by a factor of ten from hour to hour on shared machines."""
    path = os.path.join(folder, "fsync.probe")
    took, end = [], time.monotonic() + limit_s
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            start = time.monotonic()
            os.write(file, b"x" * 4096)
            os.fdatasync(file)
            took.append((time.monotonic() - start) * 1000)
            if time.monotonic() > end:
                break
    finally:
        os.close(file)
        os.unlink(path)
    return {name: value if name == "count" else round(value, 3)
            for name, value in summary(took).items()}


def stat_fields(text):
    """The fields of a /proc/PID/stat behind the command (which may hold blanks and parentheses)."""
    return text[text.rindex(")") + 2:].split()


def children_of(pid):
    """Pids of all processes whose parent is `pid`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            text = read("/proc/%s/stat" % name)
            if ")" in text and int(stat_fields(text)[1]) == pid:
                found.append(int(name))
    return found


def cpu_seconds(pids):
    """User and system time that these processes have used so far, all threads."""
    total = 0
    for pid in pids:
        text = read("/proc/%d/stat" % pid)
        if ")" in text:
            fields = stat_fields(text)
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def tcp_bytes(port, pids):
    """{socket: bytes sent and received} of the connections that these processes have to a port, by
    the kernel's own count, heads and all; None without `ss` (iproute2)."""
    program = shutil.which("ss") or shutil.which("ss", path="/usr/sbin:/sbin")
    if not program:
        return None
    done = subprocess.run([program, "-Htinp", "state", "established", "( dport = :%d )" % port],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=10,
                          check=False)
    return parse_ss(done.stdout, pids) if done.returncode == 0 else None


def parse_ss(text, pids):
    found, socket = {}, None
    for line in text.splitlines():
        if line[:1].isspace():
            if socket:
                found[socket] = sum(int(count) for count in re.findall(
                    r"\bbytes_(?:sent|received):(\d+)", line))
            continue
        owners = {int(pid) for pid in re.findall(r"\bpid=(\d+)", line)}
        socket = line.split()[2] if owners & set(pids) else None
    return found


def bytes_between(before, after):
    """What went over sockets since; one that was not there before counts whole."""
    return sum(count - before.get(socket, 0) for socket, count in after.items())


def first_line(command):
    """The first line that a program prints of itself, or None."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[0] if lines else None


def package_version(name):
    line = first_line(["dpkg-query", "-W", "-f", "${Version}\n", name])
    return line if line and "no packages found" not in line else None


def versions(bin_dir, root):
    """{what: version} of everything that takes part; what is missing is left out."""
    found = {
        "kamaitachi": first_line([os.path.join(bin_dir, "master"), "-version"]),
        "commit": first_line(["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12"]),
        "compiler": first_line(["cc", "--version"]),
        "haproxy": first_line(["haproxy", "-v"]),
        "nginx": first_line(["nginx", "-v"]),
        "etcd": first_line(["etcd", "--version"]),
        "redis": first_line(["redis-server", "--version"]),
        "wrk": first_line(["wrk", "-v"]),
        "hey": package_version("hey"),
        "valgrind": first_line(["valgrind", "--version"]),
        "civetweb": package_version("libcivetweb1"),
        "sqlite": package_version("libsqlite3-0"),
        "libcurl": package_version("libcurl4"),
        "libuv": package_version("libuv1"),
        "python": platform.python_version(),
    }
    return {name: text for name, text in found.items() if text}
