# SPDX-License-Identifier: GPL-2.0
"""Compare the kernel's own selftests of other users of the system-call entry, without and with the series.

They are built from the unpatched tree. They run on the unpatched and on the patched kernel of one configuration, several
times in turns. Each result with the series must also occur in a run without it, or neighbours.tsv has the reason. A test
is a name in a line of TAP, or after [OK], [FAIL] or [SKIP]. Each program counts as a test, too.

build/<base>/neighbours/KERNEL-NUMBER/ keeps the guests' output. A run is reused until its kernel or its tests change. The
table goes to results/. The last line counts.
"""

import argparse
import collections
import fnmatch
import os
import pathlib
import re
import shutil

from harness import core
from harness.campaigns import campaign
from harness.judge import judge

KNOWN = core.HARNESS / "campaigns" / "neighbours.tsv"
OUT = core.built("neighbours")
SELFTESTS = core.built("x86_64-unpatched") / "kselftest"
KERNELS = ("x86_64-unpatched", "x86_64")
BOOTS = 3
# SMAP is off, because QEMU 7.2 emulates it wrongly: it takes a test's far return to 32-bit code for a read of user
# memory by the kernel.
CPU = "max,smap=off"
TARGETS = "seccomp ptrace x86 rseq sigaltstack breakpoints"
# The time limit of a program, in seconds. Under emulation, the tests' own limits are too short, or there is none.
LIMIT = 120
# Left out: a benchmark; a script that runs other programs of its directory again for an hour; a test of suspend,
# which the configuration lacks.
LEFT_OUT = re.compile(r":(seccomp_benchmark|run_param_test\.sh|step_after_suspend_test)$")

TAP = re.compile(r"(not )?ok \d+ ?(?:- )?(.*?)(?: ?# ?(SKIP|XFAIL|TODO)\b.*)?$", re.IGNORECASE)
PLAIN = re.compile(r"\s*\[(OK|FAIL|SKIP)\]\s*(.*)$")
RESULTS = {"OK": "pass", "FAIL": "fail", "SKIP": "skip"}
# Addresses, times and counts differ from run to run.
NUMBER = re.compile(r"\b(?:0x)+[0-9a-fA-F]+\b|-?\b\d+(?:\.\d+)?\b|\b[0-9a-f]{8,16}\b")


def inner(line):
    """(name, result) if a program's line has a result, else None."""
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
    """{test: set of results} of the run in the directory PATH. Raises an Error if it did not come to its end."""
    results = collections.defaultdict(set)
    nonce, = judge.read_lines(path / "nonce", "the nonce")[:1]
    lines = judge.read_lines(path / "verdict.log", "the verdict")
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
    """{test: set of results} over all runs. A run without a result gives "none"."""
    runs = [read_run(path.parent) for path in sorted(directory.glob(f"{kernel}-[0-9]*/nonce"))]
    if not runs:
        raise core.Error(f"{directory} has no run of {kernel}. Run: make neighbours")
    tests = sorted(set().union(*runs))
    return {test: set().union(*(run.get(test, {"none"}) for run in runs)) for test in tests}


def cell(results):
    """The text of a set of results in the table."""
    return ",".join(sorted(results))


def compare(directory, kernels, known_path):
    """Compare the runs of two kernels, and print the differences. Returns the exit status.

    The table is written to neighbours.tsv in the directory of the runs."""
    known = {pattern: reason for _, (pattern, reason) in core.rows(known_path, "test", "reason")}
    unpatched, patched = (read_kernel(directory, kernel) for kernel in kernels)
    counts, used, failures, rows = collections.Counter(), set(), [], []
    for program in filter(None, judge.read_lines(directory / "tests", "the list of programs")):
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
    campaign.write(directory / "neighbours.tsv",
                   "# Made by make neighbours: the kernel's own selftests without and with the series.",
                   *map(campaign.row, (("test", "unpatched", "patched"), *rows)))
    campaign.tell((failure, ()) for failure in failures)
    print(f"{counts['equal']} passed, {len(failures)} failed, {counts['known to differ']} skipped")
    return 1 if failures else 0


def boot(configuration, number):
    """Do one run. Its output goes to OUT/CONFIGURATION-NUMBER/, and is judged later."""
    out, kernel, initrd = OUT / f"{configuration}-{number}", campaign.image(configuration), OUT / "initrd.cpio"
    campaign.unless_run(out, kernel, initrd, CPU, lambda: not campaign.guest(
        kernel, initrd, "check", out, 7200, QEMU_CPU=CPU).returncode)


def run_all():
    campaign.begin("neighbours")
    # The header adapts the selftests to a newer C library.
    os.environ.update(TARGETS=TARGETS, SELFTESTS_CC=f"gcc -include {core.HARNESS / 'campaigns' / 'neighbours.h'}")
    core.run("setup", "--abis")
    OUT.mkdir(parents=True, exist_ok=True)
    for configuration in KERNELS:
        core.run("kernel", configuration)
    core.run("kernel", "--selftests", KERNELS[0])
    listed = (SELFTESTS / "kselftest-list.txt").read_text(encoding="utf-8").splitlines()
    for target in TARGETS.split():
        if not any(test.startswith(f"{target}:") for test in listed):
            raise core.Error(f"no selftest of {target} was built")
        (SELFTESTS / target / "settings").write_text(f"timeout={LIMIT}\n", encoding="utf-8")
    campaign.write(OUT / "tests", *(test for test in listed if not LEFT_OUT.search(test)))
    # The tests of rseq look for their library in the current directory.
    core.run("pack", "--out", OUT / "initrd.cpio", "--tree", f"{SELFTESTS}:/kselftest",
             "--file", f"{OUT / 'tests'}:/guest/tests", cwd=SELFTESTS / "rseq")
    for number in range(1, BOOTS + 1):
        for configuration in KERNELS:
            with core.step(f"Running the kernel's own selftests on {configuration} ({number} of {BOOTS})"):
                boot(configuration, number)


def main():
    parser = argparse.ArgumentParser(prog="harness/do neighbours",
                                     description="Compare the results of the kernel's own selftests without and with the series.")
    parser.add_argument("--runs", type=pathlib.Path, metavar="DIR", help="only compare the runs there")
    parser.add_argument("--known", default=KNOWN, metavar="FILE", help="differences that have a reason")
    options = parser.parse_args()
    if options.runs:
        return compare(options.runs, KERNELS, options.known)
    run_all()
    status = compare(OUT, KERNELS, options.known)
    if not status:
        shutil.copy(OUT / "neighbours.tsv", campaign.RESULTS)
    return status
