# SPDX-License-Identifier: MIT
"""docs/BENCHMARKS.md from the numbers, and nothing that is not in them."""

from stats import median, shown, spread

SIGNS = {">=": "≥", "<=": "≤"}
VERDICTS = {True: "reached", False: "**not reached**"}
COLUMNS = [("rate", "rate"), ("p50_us", "p50 µs"), ("p90_us", "p90 µs"), ("p99_us", "p99 µs"),
           ("max_us", "max µs"), ("cpu_us", "CPU µs each"), ("client_cpu_us", "client CPU µs each"),
           ("seconds", "seconds"), ("everywhere_s", "everywhere after s"), ("batch", "a batch"),
           ("wire_bytes", "wire bytes each"), ("errors", "errors")]


def bar_text(bar):
    return "%s %s" % (SIGNS[bar[0]], shown(bar[1])) if bar else ""


def verdict_of(line):
    """reached / not reached / a word for what was not measured."""
    if line["status"] != "measured":
        return line["status"]
    judged = [x["reached"] for x in line["ratios"] + line["facts"] if x["reached"] is not None]
    if not judged:
        return "-"
    return VERDICTS[all(judged)]


def headline(line):
    """What was measured, in one cell."""
    if line["status"] != "measured":
        return line.get("reason") or ""
    parts = []
    several = len({ratio["ours"] for ratio in line["ratios"]}) > 1
    for ratio in line["ratios"]:
        ours = ratio["ours"] + ": " if several else ""
        what = {"rate": "", "cpu_us": "CPU ", "p50_us": "p50 "}.get(ratio["what"], ratio["what"])
        parts.append("%s%s%s × %s" % (ours, what, shown(ratio["median"]), ratio["theirs"]))
    barred = [fact for fact in line["facts"] if fact["bar"]] or line["facts"]
    parts += ["%s %s %s" % (fact["name"], shown(fact["value"]), fact["unit"]) for fact in barred]
    if line.get("operations"):
        parts = ["%d operations, below" % len(line["operations"]["operations"])]
    if not parts:
        for name, contender in line["contenders"].items():
            rates = [s["rate"] for s in contender["rounds"] if s.get("rate")]
            if rates:
                parts.append("%s %s" % (name, shown(median(rates))))
    return "; ".join(parts)


def table(head, rows):
    text = "| " + " | ".join(head) + " |\n|" + "---|" * len(head) + "\n"
    return text + "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n"
                          for row in rows)


def contenders_table(line):
    """Medians over the rounds, and how far the rates lie apart."""
    used = [(key, name) for key, name in COLUMNS if any(
        sample.get(key) is not None for contender in line["contenders"].values()
        for sample in contender["rounds"]) and key not in ("errors", "max_us", "p90_us")]
    rows = []
    for name, contender in line["contenders"].items():
        row = [name]
        for key, _ in used:
            values = [s[key] for s in contender["rounds"] if s.get(key) is not None]
            row.append(shown(median(values)) if values else "-")
        rates = [s["rate"] for s in contender["rounds"] if s.get("rate")]
        row.append("%.0f %%" % (spread(rates) * 100) if len(rates) > 1 else "-")
        rows.append(row)
    head = [line.get("unit", "requests/s") if key == "rate" else name for key, name in used]
    return table(["median of the rounds"] + head + ["rates apart"], rows)


def raw_table(line):
    """Every sample."""
    rows = []
    for name, contender in line["contenders"].items():
        for number, sample in enumerate(contender["rounds"], 1):
            if "error" in sample:
                rows.append([name, str(number), sample["error"]] + [""] * (len(COLUMNS) - 1))
            else:
                rows.append([name, str(number)] + [
                    shown(sample[key]) if sample.get(key) is not None else "" for key, _ in COLUMNS])
    used = [i for i in range(len(COLUMNS)) if any(row[2 + i] for row in rows)]
    head = ["contender", "round"] + [COLUMNS[i][1] for i in used]
    return table(head, [row[:2] + [row[2 + i] for i in used] for row in rows])


def operations_table(operations):
    keys = [key for key in ("ns", "instructions", "bytes", "allocations", "iterations")
            if any(op.get(key) is not None for op in operations)]
    names = {"ns": "ns per operation", "instructions": "instructions per operation",
             "bytes": "bytes per operation", "allocations": "allocations per operation"}
    return table(["operation", "what"] + [names.get(key, key) for key in keys], [
        [op["name"], op.get("what", "")] + [
            shown(op[key]) if op.get(key) is not None else "-" for key in keys]
        for op in operations])


def section(line):
    text = "### %s\n\n%s. Bar: %s.\n\n" % (
        line["name"], line["what"][0].upper() + line["what"][1:],
        line["bar"] if line["bar"] != "-" else "none")
    if line["status"] != "measured":
        return text + "%s%s\n\n" % (line["status"].capitalize(),
                                    ": " + line["reason"] if line.get("reason") else ".")
    text += "%s run (%d × %g s), load average %s before and %s after.\n\n" % (
        line["mode"], line["rounds"], line["seconds"], line["load"][0], line["load"][1])
    if line["contenders"]:
        text += contenders_table(line) + "\n"
    if line["ratios"]:
        text += table(["ratio", "of", "median", "bar", "", "every round"], [
            ["%s / %s" % (r["ours"], r["theirs"]),
             {"rate": "rate", "cpu_us": "CPU each", "p50_us": "p50"}.get(r["what"], r["what"]),
             shown(r["median"]), bar_text(r["bar"]), VERDICTS.get(r["reached"], ""),
             " ".join(shown(x) for x in r["rounds"])] for r in line["ratios"]]) + "\n"
    if line["facts"]:
        text += table(["fact", "value", "bar", ""], [
            [f["name"], "%s %s" % (shown(f["value"]), f["unit"]), bar_text(f["bar"]),
             VERDICTS.get(f["reached"], "")] for f in line["facts"]]) + "\n"
    if line.get("operations"):
        text += operations_table(line["operations"]["operations"]) + "\n"
    if line.get("fsync_ms"):
        text += "Disk beside it, 4 KB appended and synced, p50 of each round in ms: %s.\n\n" % (
            " ".join(shown(ms) for ms in line["fsync_ms"]))
    for note in line["notes"]:
        text += "Note: %s.\n" % note
    if line["notes"]:
        text += "\n"
    if line["commands"]:
        text += "```\n" + "\n".join(line["commands"]) + "\n```\n\n"
    if line["contenders"]:
        text += "<details><summary>Every round</summary>\n\n%s\n</details>\n\n" % raw_table(line)
    return text


def run_text(run):
    machine, probe = run["machine"], run["fsync_ms"]
    text = table(["", ""], [
        ["made by", "`%s`" % run["command"]],
        ["when", "%s, %s" % (run["when"], "took %d s" % run["took_s"] if run.get("took_s")
                             else "was interrupted")],
        ["CPU", "%s, %d cores%s" % (machine["cpu"], machine["cores"],
                                    ", virtual machine" if machine["hypervisor"] else "")],
        ["memory", "%s GiB" % machine["memory_gib"]],
        ["system", "%s, kernel %s, %s" % (machine["system"], machine["kernel"], machine["arch"])],
        ["disk", "%s; 4 KB appended and synced: p50 %s ms, p99 %s ms, max %s ms" % (
            machine["file_system"], shown(probe["p50"]), shown(probe["p99"]), shown(probe["max"]))],
        ["data", "%d subjects, 16 quarters of 6 indicators (`sample_data`)" % run["subjects"]],
        ["load generator", "%s, on the same machine" % run["load"]],
    ] + [[name, text] for name, text in run["versions"].items()])
    if run["busy"]:
        text += ("\n**The machine was busy with other work** (load average %s at the start, %d "
                 "cores): ratios of one round say little, absolute figures nothing.\n" % (
                     run["load_average"], machine["cores"]))
    return text


def document(results):
    lines, runs = results["lines"], results["runs"]
    last = runs[-1]
    text = """# Benchmarks

Written by `bench/run_benchmarks.sh`, with docs/benchmarks.json behind it; not by hand. Contenders are
measured in turn, A B C A B C …, with everything (servers and load generator) on one machine; ratios
are taken inside each round and their median counts. Absolute figures move with the machine.

"""
    if any(line.get("mode") == "quick" for line in lines):
        text += ("Lines marked *quick* were measured once, for a second or two: they show that the "
                 "line works, not how fast we are. `bench/run_benchmarks.sh` without `--quick` "
                 "measures in earnest.\n\n")
    text += "## Summary\n\n" + table(["line", "what", "bar", "measured", ""], [
        [line["name"] + (" *(quick)*" if line.get("mode") == "quick" else ""), line["what"],
         line["bar"], headline(line), verdict_of(line)] for line in lines])
    text += "\n## The machine\n\n" + run_text(last)
    others = sorted({line["run"] for line in lines if line.get("run") is not None} -
                    {len(runs) - 1})
    for number in others:
        names = [line["name"] for line in lines if line.get("run") == number]
        text += "\nAn earlier run measured %s:\n\n%s" % (", ".join(names), run_text(runs[number]))
    text += "\n## Lines\n\n" + "".join(section(line) for line in lines)
    return text.rstrip() + "\n"


def short(line):
    """A few lines for the terminal."""
    out = []
    for name, contender in line["contenders"].items():
        values = {key: [s[key] for s in contender["rounds"] if s.get(key) is not None]
                  for key in ("rate", "p50_us", "p99_us", "cpu_us")}
        parts = ["%s %s" % (shown(median(values["rate"])), line.get("unit", "requests/s"))
                 ] if values["rate"] else []
        parts += ["%s %s µs" % (label, shown(median(values[key]))) for key, label in (
            ("p50_us", "p50"), ("p99_us", "p99"), ("cpu_us", "CPU")) if values[key]]
        out.append("    %-28s %s" % (name, ", ".join(parts)))
    for ratio in line["ratios"]:
        out.append("    %s: %s / %s = %s %s" % (
            ratio["what"], ratio["ours"], ratio["theirs"], shown(ratio["median"]),
            "(bar %s: %s)" % (bar_text(ratio["bar"]), VERDICTS[ratio["reached"]].strip("*"))
            if ratio["bar"] else ""))
    for fact in line["facts"]:
        out.append("    %s: %s %s %s" % (
            fact["name"], shown(fact["value"]), fact["unit"],
            "(bar %s: %s)" % (bar_text(fact["bar"]), VERDICTS[fact["reached"]].strip("*"))
            if fact["bar"] else ""))
    for op in (line.get("operations") or {}).get("operations", []):
        out.append("    %-24s %s" % (op["name"], ", ".join(
            "%s %s" % (shown(op[key]), key) for key in ("ns", "instructions", "bytes", "allocations")
            if op.get(key) is not None)))
    return "\n".join(line.rstrip() for line in out)
