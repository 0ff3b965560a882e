# SPDX-License-Identifier: GPL-2.0
"""Judge what harness/guest/inside/soak reported, and make the table of it.

The results come from the verdict, which the guest writes to its second serial
port. The console is only searched for errors that the kernel reports. A run
without an end, a total that is missing or does not add up, and a search for
leaks that was not made count as failures.
"""

import argparse
import re
import sys

from harness import core
from harness.judge import judge


ABIS = ("64", "32", "x32")

# Totals that may be 0; where faults are injected, and where not.
MAY_BE_NONE = {"lost", "doubled", "wrong", "interrupted", "failed"}
NONE_BY_MODE = {"plain": {"without-siginfo", "sigsys-without-siginfo"}, "faults": set()}

# The columns of the table, and the totals that they show.
COLUMNS = (("threads", "threads"), ("calls", "made"), ("dispatched", "dispatched"), ("lost", "lost"), ("doubled", "doubled"),
           ("without siginfo", "without-siginfo"), ("swapped out", "swapped"), ("killed", "killed"),
           ("traced", "traced"), ("exec'ed", "exec-self"))
TOTALS = ("threads", "made", "dispatched", "ran", "without-siginfo", "interrupted", "lost", "doubled", "exempt", "swapped",
          "rearmed", "fork", "vfork", "clone", "thread", "exec-child", "exec-self", "flooded",
          "sigsys-without-siginfo", "sigusr1", "killed", "traced", "ptrace-get", "ptrace-set", "syscall-stops",
          "failed", "wrong")


class Run:
    """What one program printed."""

    def __init__(self, name):
        self.name = name
        self.status = None
        self.lines = []

    def totals(self):
        found = {}
        for line in self.lines:
            match = re.fullmatch(r"([a-z0-9-]+)\t(\d+|ok|failed)", line)
            if match:
                found[match[1]] = match[2]
        return found


def split(lines, nonce, report):
    """(runs by name, lines outside of them); every run has to have an end."""
    runs, outside, run = {}, [], None
    for line in lines:
        begin = re.fullmatch(r"soak: begin (.+)", line)
        end = re.fullmatch(r"soak: end (.+) (\d+)", line)
        if begin:
            run = runs[begin[1]] = Run(begin[1])
        elif end and run and end[1] == run.name:
            run.status, run = int(end[2]), None
        elif run:
            run.lines.append(line)
        else:
            outside.append(line)
    if f"guest: begin {nonce}" not in outside:
        report.fail("the verdict has no begin: the guest did not come up")
    if f"guest: end {nonce} status 0" not in outside:
        report.fail("the verdict has no good end: the guest hung, or its kernel died", lines[-20:])
    return runs, outside


def judge_totals(run, mode, report):
    """One test a total: it is there, it is what it has to be."""
    totals = run.totals()
    if run.status != 0 or totals.get("result") != "ok":
        report.fail(f"{run.name}: status {run.status}, result {totals.get('result', 'missing')}", run.lines)
    values = {}
    for name in TOTALS:
        if not totals.get(name, "").isdigit():
            report.fail(f"{run.name}: no total of {name}", run.lines)
            continue
        value = values[name] = int(totals[name])
        if name in ("lost", "doubled", "wrong") or name in NONE_BY_MODE[mode]:
            good = value == 0
        else:
            good = value > 0 or name in MAY_BE_NONE
        if good:
            report.add(f"{run.name}: {name}", "pass")
        else:
            report.fail(f"{run.name}: {name} is {value}", run.lines)
    if len(values) == len(TOTALS):
        accounted = sum(values[n] for n in ("dispatched", "ran", "without-siginfo", "interrupted", "lost"))
        if values["made"] + values["doubled"] != accounted:
            report.fail(f"{run.name}: {values['made']} calls were made, {accounted} are accounted for")
        else:
            report.add(f"{run.name}: balance", "pass")
    return values


def judge_leaks(outside, report):
    """The number of leaks, or None if nobody looked."""
    slabs = [re.fullmatch(r"soak: slab (\S+) (\d+) (\d+) (\d+)", line) for line in outside]
    slabs = {m[1]: (int(m[2]), int(m[3]), int(m[4])) for m in slabs if m}
    leaks = 0
    for cache in ("sigqueue", "task_struct", "mm_struct"):
        if cache not in slabs:
            report.fail(f"{cache} was not counted", outside[-20:])
            leaks = None
            continue
        before, after, slack = slabs[cache]
        if after > before + slack:
            report.fail(f"{cache}: {before} objects before, {after} after, {slack} more are allowed")
            if leaks is not None:
                leaks += after - before - slack
        else:
            report.add(f"slab {cache}", "pass")
    found = [m for m in (re.fullmatch(r"soak: unreferenced (\d+)", line) for line in outside) if m]
    if not found:
        report.fail("kmemleak was not asked")
        return None
    if found[0][1] != "0":
        report.fail(f"kmemleak found {found[0][1]} objects", [l for l in outside if not l.startswith(("soak", "guest"))])
    else:
        report.add("kmemleak", "pass")
    return None if leaks is None else leaks + int(found[0][1])


def judge_stress(runs, stressors, report):
    for stressor in stressors:
        run = runs.get(f"stress {stressor}")
        if run is None or run.status is None:
            report.fail(f"stress-ng --{stressor} has no end", run.lines if run else ())
        elif run.status:
            report.fail(f"stress-ng --{stressor} ended with status {run.status}", run.lines)
        elif not any("successful run completed" in line for line in run.lines):
            # It calls it a success when it declines to run a stressor.
            report.fail(f"stress-ng --{stressor} did nothing", run.lines)
        else:
            report.add(f"stress {stressor}", "pass")


def main():
    parser = argparse.ArgumentParser(description="Judge a soak, and make the table of it.")
    parser.add_argument("--kernel", required=True, metavar="NAME", help="as in the list of splats")
    parser.add_argument("--verdict", required=True, metavar="FILE")
    parser.add_argument("--console", required=True, metavar="FILE")
    parser.add_argument("--nonce", required=True)
    parser.add_argument("--seconds", required=True)
    parser.add_argument("--faults", action="store_true", help="faults were to be injected, and leaks looked for")
    parser.add_argument("--stressors", default="", help="of stress-ng, with blanks")
    parser.add_argument("--table", metavar="FILE")
    options = parser.parse_args()

    report = judge.Report()
    try:
        splats = judge.read_splats(judge.SPLAT_LIST, ())
        verdict = judge.read_lines(options.verdict, "the verdict")
        console = judge.read_lines(options.console, "the console")
    except core.Error as problem:
        sys.exit(f"error: {problem}")
    runs, outside = split(verdict, options.nonce, report)
    leaks = judge_leaks(outside, report) if options.faults else None
    rows = []
    for mode in ("plain", "faults") if options.faults else ("plain",):
        for abi in ABIS:
            run = runs.get(f"{mode} {abi}")
            if run is None or run.status is None:
                report.fail(f"{mode} {abi} has no end", run.lines if run else ())
                continue
            values = judge_totals(run, mode, report)
            rows.append((options.kernel, abi, mode, options.seconds,
                         *(str(values.get(total, "-")) for _, total in COLUMNS),
                         "-" if leaks is None else str(leaks)))
    judge_stress(runs, options.stressors.split(), report)
    judge.judge_console(console, splats, report)

    if options.table:
        with open(options.table, "w", encoding="utf-8") as f:
            f.write("# Made by: make soak\n# " + "\t".join(
                ("kernel", "abi", "mode", "seconds", *(c for c, _ in COLUMNS), "leaks")) + "\n")
            f.writelines("\t".join(row) + "\n" for row in rows)
    for what, lines in report.failures:
        print(f"FAILED: {what}")
        for line in list(filter(None, lines))[-40:]:
            print(f"    {line}")
    print(f"{report.count('pass')} passed, {len(report.failures)} failed")
    return 1 if report.failures or not report.results else 0
