# SPDX-License-Identifier: GPL-2.0
"""Compare what the kernel's own selftests say without and with the series.

Reads DIR/KERNEL-NUMBER/ as harness/do neighbours leaves them. These programs are not all of
one kind: a test is what one of them names in a line of TAP or behind [OK], [FAIL] or [SKIP],
and each program, as the runner found it, is one as well. What a test says with the series
it must have said without it, in one run or another, or neighbours.tsv says why it
did not. A table is written; the last line printed counts.
"""

import argparse
import collections
import fnmatch
import glob
import os
import re

from harness import core
from harness.judge import judge
from harness.judge import rules


HERE = os.path.dirname(os.path.abspath(__file__))

TAP = re.compile(r"(not )?ok \d+ ?(?:- )?(.*?)(?: ?# ?(SKIP|XFAIL|TODO)\b.*)?$", re.IGNORECASE)
PLAIN = re.compile(r"\s*\[(OK|FAIL|SKIP)\]\s*(.*)$")
RESULTS = {"OK": "pass", "FAIL": "fail", "SKIP": "skip"}
# Addresses, times and counts differ from run to run.
NUMBER = re.compile(r"\b(?:0x)+[0-9a-fA-F]+\b|-?\b\d+(?:\.\d+)?\b|\b[0-9a-f]{8,16}\b")


def inner(line):
    """(name, result) of a line of a program, if it is one."""
    match = TAP.match(line)
    if match:
        failed, name, directive = match.groups()
        result = "fail" if failed else "skip" if directive else "pass"
        return NUMBER.sub("N", name.strip()), result
    match = PLAIN.match(line)
    if match:
        return NUMBER.sub("N", match[2].strip()), RESULTS[match[1]]
    return None


def read_run(path):
    """{test: set of results} of one run, which has come to its end."""
    results = collections.defaultdict(set)
    nonce, = judge.read_lines(os.path.join(path, "nonce"), "the nonce")[:1]
    lines = judge.read_lines(os.path.join(path, "verdict.log"), "the verdict")
    if not any(line.startswith(f"guest: end {nonce} status ") for line in lines):
        raise core.Error(f"{path}: the guest did not come to its end; see console.log there")
    program = ""
    for line in lines:
        outer = judge.OUTER.match(line)
        if line.startswith("# selftests: "):
            _, _, directory, name = line.split()
            program = directory + name
        elif outer:
            failed, _, directory, name, remark = outer.groups()
            result = "skip" if remark == "SKIP" else "fail" if failed else "pass"
            if remark and remark.startswith("TIMEOUT"):
                result = "timeout"
            results[f"{directory}:{name}"].add(result)
        elif line.startswith("# "):
            found = inner(line[2:])
            if found and found[0]:
                results[f"{program}: {found[0]}"].add(found[1])
    return results


def read_kernel(directory, kernel):
    """{test: set of results} over all runs; "none" in a run that has no result."""
    paths = sorted(glob.glob(os.path.join(glob.escape(directory), f"{glob.escape(kernel)}-[0-9]*", "nonce")))
    runs = [read_run(os.path.dirname(path)) for path in paths]
    if not runs:
        raise core.Error(f"{directory} has no run of {kernel}. Run: make neighbours")
    tests = sorted(set().union(*runs))
    return {test: set().union(*(run.get(test, {"none"}) for run in runs)) for test in tests}


def cell(results):
    return ",".join(sorted(results))


def main():
    parser = argparse.ArgumentParser(description="Compare what the kernel's own selftests say without and "
                                                 "with the series.")
    parser.add_argument("unpatched", metavar="UNPATCHED", help="a kernel's name")
    parser.add_argument("patched", metavar="PATCHED", help="the other's")
    parser.add_argument("--runs", required=True, metavar="DIR", help="build/neighbours")
    parser.add_argument("--tests", required=True, metavar="FILE", help="which programs were due, as directory:program")
    parser.add_argument("--known", default=os.path.join(HERE, "neighbours.tsv"), metavar="FILE")
    parser.add_argument("--table", required=True, metavar="FILE", help="to be written")
    options = parser.parse_args()

    known = {pattern: reason for _, (pattern, reason) in rules.read_rows(options.known, 2, 2)}
    unpatched = read_kernel(options.runs, options.unpatched)
    patched = read_kernel(options.runs, options.patched)
    counts, used, failures, rows = collections.Counter(), set(), [], []
    for program in filter(None, judge.read_lines(options.tests, "the list of programs")):
        if program not in patched or program not in unpatched:
            failures.append(f"{program} has no result")
    for test in sorted(unpatched.keys() | patched.keys()):
        before, after = unpatched.get(test, {"none"}), patched.get(test, {"none"})
        rows.append((test, cell(before), cell(after)))
        if after <= before:
            counts["equal"] += 1
            continue
        patterns = [pattern for pattern in known if fnmatch.fnmatchcase(test, pattern)]
        used.update(patterns)
        if patterns:
            counts["known to differ"] += 1
        else:
            failures.append(f"{test}: {cell(before)} without the series, {cell(after)} with it")
    failures += [f"neighbours.tsv lists {pattern}, but it does not differ" for pattern in known if pattern not in used]

    with open(options.table, "w", encoding="utf-8") as f:
        f.write("# Made by make neighbours: the kernel's own selftests without and with the series.\n")
        f.writelines("\t".join(row) + "\n" for row in (("test", "unpatched", "patched"), *rows))
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"{counts['equal']} passed, {len(failures)} failed, {counts['known to differ']} skipped")
    return 1 if failures else 0
