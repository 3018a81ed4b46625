# SPDX-License-Identifier: MIT
"""What measures are made of: contenders that take turns, ratios and facts against their bars."""

import os
import subprocess

import host
import stats
from loads import LoadError
from servers import Missing, Peer, Replicas, cluster, program, raw_answer


class Contender:
    """One of those that are measured in turn: sample() gives a Sample; pids() whose CPU counts."""

    def __init__(self, name, sample, pids=None):
        self.name, self.sample, self.pids = name, sample, pids


def take_turns(run, result, contenders, probe_disk=False):
    """A B C A B C …: fills result["contenders"] with the raw samples of every round."""
    for contender in contenders:
        result["contenders"].setdefault(contender.name, {"rounds": []})
    for number in range(run.rounds):
        if probe_disk:
            result.setdefault("fsync_ms", []).append(host.fsync_probe(run.folder, 50, 1.0)["p50"])
        for contender in contenders:
            run.progress(result, number, contender.name)
            try:
                sample = measure_one(contender)
            except (LoadError, cluster.Failure, OSError, subprocess.SubprocessError) as error:
                sample = {"error": str(error)}
                run.say("    %s, round %d: %s" % (contender.name, number + 1, error))
            result["contenders"][contender.name]["rounds"].append(sample)
    for name in [c.name for c in contenders]:
        rounds = result["contenders"][name]["rounds"]
        if all("error" in sample for sample in rounds):
            raise LoadError("%s failed in every round: %s" % (name, rounds[0]["error"]))


def measure_one(contender):
    pids = contender.pids() if contender.pids else []
    before = host.cpu_seconds(pids)
    sample = contender.sample()
    if pids and sample.get("requests"):
        sample["cpu_us"] = (host.cpu_seconds(pids) - before) * 1e6 / sample["requests"]
    return {name: round(value, 3) if isinstance(value, float) else value
            for name, value in sample.items()}


def compare(result, ours, theirs, what="rate", bar=None):
    """Adds the ratio ours/theirs of `what`, round by round, if both took part."""
    contenders = result["contenders"]
    if ours not in contenders or theirs not in contenders:
        return
    rounds = stats.ratios([s.get(what) for s in contenders[ours]["rounds"]],
                          [s.get(what) for s in contenders[theirs]["rounds"]])
    if not rounds:
        return
    middle = stats.median(rounds)
    result["ratios"].append({
        "ours": ours, "theirs": theirs, "what": what, "rounds": [round(r, 4) for r in rounds],
        "median": round(middle, 4), "bar": list(bar) if bar else None,
        "reached": stats.reached(middle, bar) if bar else None})


def fact(result, name, value, unit, bar=None):
    result["facts"].append({
        "name": name, "value": value, "unit": unit, "bar": list(bar) if bar else None,
        "reached": stats.reached(value, bar) if bar and value is not None else None})


def median_of(result, contender, what):
    values = [s[what] for s in result["contenders"][contender]["rounds"]
              if s.get(what) is not None]
    return stats.median(values) if values else None


def driven(run, result, name, addr, path, bodies, connections, pids=None):
    """A contender that the load generator drives; checked with one request and warmed up."""
    url = "http://%s%s" % (addr, path)
    if not run.load:
        raise Missing("there is no load generator")
    raw_answer(addr, path, bodies[0])  # fails when the answer is not right
    run.load.run(url, bodies, connections, 1)
    result["commands"].append("%s: %s" % (name, run.shorten(
        run.load.command(url, bodies, connections, run.seconds), addr)))
    return Contender(name, lambda: run.load.run(url, bodies, connections, run.seconds), pids)


def optional(run, result, make):
    """A contender, or None with a note when its program is missing."""
    try:
        return make()
    except Missing as why:
        if run.strict:
            raise
        result["notes"].append("left out: %s" % why)
        return None


# Settings of data nodes that keep answers from being remembered whole, for the lines that measure how
# they are made. Nothing remembers them yet: who builds the response cache names its switch here.
NO_RESPONSE_CACHE = {}


def replicas(run, nodes):
    """A cluster of so many nodes, shared by all lines that change nothing about it."""
    return run.fixtures.get("cluster%d" % nodes, lambda bench: Replicas(
        bench, run.market, nodes, **NO_RESPONSE_CACHE))


def bare_server(run, name, answer, kind="bare_civetweb"):
    """bench/peers with this answer."""
    path = os.path.join(run.folder, name + ".answer")
    with open(path, "wb") as file:
        file.write(answer)
    command = [program(kind, os.path.join(run.tools, "peers")), "-port", "@PORT@", "-answer", path]
    return run.fixtures.get(name, lambda bench: Peer(bench, name, command).start())
