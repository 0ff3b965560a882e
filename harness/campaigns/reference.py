# SPDX-License-Identifier: GPL-2.0
"""Compare the results of the same selftest programs on our kernels and on Debian's stock kernels.

A test that passes on our kernel of the default base must pass on our kernels of newer bases. If it tests a rule of
the shared interface, it must also pass on Debian's, unless reference.tsv gives a reason. A test that is listed there
must not pass. Tests of our own rules may fail on Debian's; they are counted. The last line counts the tests.

If every difference has a reason, the tables go to results/. build/reference/ always has them, and the guests' output in
KERNEL/RUN/. A run is reused until its kernel or its tests change.

Debian's kernels come as packages from the machine's own mirror: the newest of each series, or an earlier download if the
mirror cannot be reached.
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
from harness.judge import rules
from harness.packages import debian_kernel
from harness.source import base as bases

KNOWN = core.HARNESS / "campaigns" / "reference.tsv"
OUT = core.BUILD / "reference"
# Our kernels: that of the default base, and ours-SERIES for each newer series.
OURS = "ours"
# Debian's kernels: name, suite, the begin of the version. The security suites have
# the latest kernel of a release, and short package lists.
KERNELS = (("6.1", "bookworm-security", "6.1."), ("6.12", "trixie-security", "6.12."), ("newest", "sid", ""))
# The runs of each kernel: name, CPU, vsyscall page, pattern for the programs. 32-bit
# programs enter by sysenter on an Intel CPU and by syscall on an AMD one.
RUNS = (("all", "max", "xonly", "^syscall_user_dispatch:|:seccomp_tsync_ptrace$"),
        ("intel", "Skylake-Client", "emulate", ":(entry_32|vdso_.*)$"),
        ("amd", "EPYC", "none", ":(entry_32|vdso_.*)$"))

# The worst result of a test counts. A test counts as skipped only if every run skipped it.
# "none" is a test without a result: its program or the guest ended before it.
WORST = ("fail", "none", "pass", "skip")

VERSION = re.compile(r"Linux version (\S+) (?:.* (Debian \S+) \([\d-]+\))?")
FLOOD = re.compile(r"# # +D9 flood of (.*): (\d+) calls, (\d+) lost, (\d+) other")


class Kernel:
    """The results of the runs of one kernel."""

    def __init__(self, name, directory):
        self.name, self.version = name, ""
        self.runs = {}          # run -> test -> result
        self.results = {}       # test -> result
        self.floods = []        # (program, signal, calls, lost, others)
        self.failures = {}      # test -> [lines that explain]
        self.problems = []      # failures that are not of a test
        for path in sorted((directory / name).glob("*/nonce")):
            self.read(path.parent)
        if not self.runs:
            raise core.Error(f"{directory}/{name} has no runs. Run: make reference")

    def read(self, path):
        """Add the results of the run in this directory."""
        run, report = path.name, judge.Report()
        nonce, = judge.read_lines(path / "nonce", "the nonce")[:1]
        verdict = judge.read_lines(path / "verdict.log", "the verdict")
        for line in judge.read_lines(path / "console.log", "the console"):
            match = VERSION.search(line)
            if match:
                self.version = ", ".join(filter(None, match.groups()))
                break
        judge.judge_verdict(verdict[:-1], nonce, report)
        self.runs[run] = {name: result for name, result, _ in report.results}
        failed = {name for name, result in self.runs[run].items() if result == "fail"}
        for failure, lines in report.failures:
            if report.tests.get(failure) in failed:
                self.failures.setdefault(report.tests[failure], lines)
            else:
                self.problems.append(f"{run}: {failure}")
        program = ""
        for line in verdict:
            if line.startswith("# selftests: "):
                program = line.split()[-1]
            match = FLOOD.match(line)
            if match:
                self.floods.append((program, *match.groups()))

    def merge(self, ours):
        """Fill in the results of all runs, by test. A test that ran only on our kernel OURS has the result "none"."""
        for run, tests in ours.runs.items():
            here = self.runs.get(run, {})
            for test in tests:
                results = (self.results.get(test, "skip"), here.get(test, "none"))
                self.results[test] = min(results, key=WORST.index)


class Comparison:
    """Our kernel and the others, test by test."""

    def __init__(self, kernels, known, own):
        self.ours, *self.others = kernels
        self.known, self.own = known, own       # rows of reference.tsv; names of our own rules
        self.failures = []
        self.counts = {k.name: collections.Counter() for k in kernels}
        self.unkept = {k.name: collections.Counter() for k in self.others}
        self.used = {row: collections.Counter() for row in known}
        for kernel in kernels:
            kernel.merge(self.ours)
        for kernel in kernels:
            if kernel.name.startswith(OURS):
                self.failures += [(f"{kernel.name}: {text}", []) for text in kernel.problems]
        for test, result in self.ours.results.items():
            self.counts[self.ours.name][result] += 1
            if result in ("fail", "none"):
                self.failures.append((f"{self.ours.name}: {test}: {result}", self.ours.failures.get(test, [])))
        for kernel in self.others:
            for test in kernel.results:
                self.compare(kernel, test)
        self.judge_rows()

    def compare(self, kernel, test):
        """Compare the result of a test with that of our kernel."""
        names = judge.rule_of(test).split()
        mine, theirs = self.ours.results[test], kernel.results[test]
        counts = self.counts[kernel.name]
        if mine != "pass":
            counts["not passed by ours"] += 1
            return
        if kernel.name.startswith(OURS):
            counts["as ours" if theirs == "pass" else "unexplained"] += 1
            if theirs != "pass":
                self.failures.append((f"{kernel.name}: {test}: {theirs}, and passed on ours", kernel.failures.get(test, [])))
            return
        if self.own.intersection(names):
            if theirs == "pass":
                counts["own rules kept"] += 1
            else:
                counts["own rules not kept"] += 1
                verb = "lacks" if theirs == "skip" else "breaks"
                self.unkept[kernel.name].update((verb, rule) for rule in self.own.intersection(names))
            return
        rows = [row for row in self.known
                if fnmatch.fnmatchcase(kernel.name, row[0]) and fnmatch.fnmatchcase(test, row[1])]
        for row in rows:
            self.used[row][theirs] += 1
        if theirs == "pass":
            counts["as ours"] += 1
        elif rows:
            counts["known to differ"] += 1
        else:
            counts["unexplained"] += 1
            self.failures.append((f"{kernel.name}: {test}: {theirs}, and passed on ours",
                                  kernel.failures.get(test, [])))
        if theirs == "pass" and rows:
            self.failures.append((f"{kernel.name}: {test} is listed as failing ({rows[0][1]}), but it passed", []))

    def judge_rows(self):
        """Report the rows of reference.tsv that match no test."""
        for row, results in self.used.items():
            if not results:
                self.failures.append((f"{row[0]} {row[1]} is listed, but there is no such must-match test", []))

    def header(self):
        """The head of both tables: the kernels and their versions."""
        for kernel in (self.ours, *self.others):
            yield f"# {kernel.name}: Linux {kernel.version}"

    def table(self):
        """The lines of reference.tsv."""
        yield from self.header()
        yield "\t".join(("rule", "test", self.ours.name, *(k.name for k in self.others)))
        for test in sorted(self.ours.results):
            yield "\t".join((judge.rule_of(test), test, *(k.results[test] for k in (self.ours, *self.others))))

    def floods(self):
        """The lines of lost-dispatches.tsv."""
        yield from self.header()
        yield "\t".join(("kernel", "program", "flood of", "calls", "lost", "other SIGSYS"))
        for kernel in (self.ours, *self.others):
            for flood in kernel.floods:
                yield "\t".join((kernel.name, *flood))

    def summary(self):
        """Print the counts of each kernel, then the failures."""
        for kernel in (self.ours, *self.others):
            print(f"{kernel.name} ({kernel.version}):",
                  ", ".join(f"{count} {what}" for what, count in sorted(self.counts[kernel.name].items())))
            for program, signal, calls, lost, others in kernel.floods:
                print(f"    {program}, flood of {signal}: {lost} of {calls} dispatches lost, {others} other SIGSYS")
            if kernel is self.ours:
                continue
            for verb in ("breaks", "lacks"):
                rows = [f"{rule} ({count} tests)" for (how, rule), count
                        in sorted(self.unkept[kernel.name].items()) if how == verb]
                if rows:
                    print(f"    {verb} of our own rules:", ", ".join(rows))
            for row, results in self.used.items():
                if fnmatch.fnmatchcase(kernel.name, row[0]):
                    print(f"    known to differ: {row[1]}: {self.known[row]}")
            for text in kernel.problems:
                print(f"    {text}")
        campaign.tell(self.failures)


def compare(directory, names, known_path, guides):
    """Compare the runs of these kernels, ours first, and write the tables beside them. Returns the exit status."""
    own = {name for name, rule in rules.read_rules(guides).items() if rule.kind == "ours"}
    known = {(kernel, test): reason for _, (kernel, test, reason) in core.rows(known_path, "kernel", "test", "reason")}
    comparison = Comparison([Kernel(name, directory) for name in names], known, own)
    campaign.write(directory / "reference.tsv",
                   "# Made by make reference: the same programs on our kernel and on Debian's.", *comparison.table())
    campaign.write(directory / "lost-dispatches.tsv",
                   "# Made by make reference: dispatched calls, while SIGSYS came from elsewhere, too.", *comparison.floods())
    comparison.summary()
    counts = collections.Counter()
    for kernel in comparison.others:
        counts.update(comparison.counts[kernel.name])
    print(f"{counts['as ours'] + counts['own rules kept']} passed, {len(comparison.failures)} failed, "
          f"{counts['known to differ'] + counts['own rules not kept'] + counts['not passed by ours']} skipped")
    return 1 if comparison.failures else 0


def boot(name, run, cpu, page, tests):
    """One run, to OUT/NAME/RUN/. The comparison judges its output, even an empty one."""
    out, words, modules = OUT / name / run, f"syscall.x32=y vsyscall={page}", []
    if name.startswith(OURS):
        kernel = campaign.image("x86_64", name.removeprefix(OURS).removeprefix("-"))
    else:
        kernel = OUT / name / "vmlinuz"
        modules = ["--file", f"{OUT / name / 'loop.ko'}:/lib/modules/"]
        # A warning must not stop a kernel that is not ours.
        words += " panic_on_warn=0"
    campaign.select(tests, out / "tests")
    core.run("pack", "--out", out / "initrd.cpio", "--tree", f"{campaign.KSELFTEST}:/kselftest",
             "--file", f"{out / 'tests'}:/guest/tests", *modules)

    def attempt():
        for number in range(1, 4):
            if not campaign.guest(kernel, out / "initrd.cpio", "check", out, 3600, words, QEMU_CPU=cpu).returncode:
                return True
            # A kernel that patches its own code can run into its temporary int3 under QEMU's emulation of two CPUs.
            if "int3: 0000" not in (out / "console.log").read_text(encoding="utf-8", errors="replace"):
                return False
            core.say(f"  The kernel ran into a breakpoint of its own (try {number} of 3).")
        return False

    campaign.unless_run(out, kernel, out / "initrd.cpio", f"{cpu} {words}", attempt)
    (out / "initrd.cpio").unlink()


def all_kernels():
    """The names of all kernels, ours first."""
    newer = [series for series in bases.newer_series() if not os.environ.get("KERNEL_SRC")]
    return [OURS, *(f"{OURS}-{series}" for series in newer), *(name for name, _, _ in KERNELS)]


def run_all():
    campaign.begin("reference")
    core.run("setup", "--abis")
    OUT.mkdir(parents=True, exist_ok=True)
    for name, suite, version in KERNELS:
        debian_kernel.fetch(OUT / name, suite, "linux-image-amd64", version, "loop")
    core.run("selftests")
    for name in all_kernels():
        for run, cpu, page, tests in RUNS:
            with core.step(f"Running the selftests on {name} ({run}: CPU {cpu}, vsyscall={page})"):
                boot(name, run, cpu, page, tests)


def main():
    parser = argparse.ArgumentParser(prog="harness/do reference",
                                     description="Compare the results of the selftests on our kernel and on others.")
    parser.add_argument("--runs", type=pathlib.Path, metavar="DIR", help="only compare the runs there")
    parser.add_argument("--guide", action="append", metavar="FILE", help="with --runs: a document with rules")
    parser.add_argument("--known", default=KNOWN, metavar="FILE", help="differences that have a reason")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="the kernels to compare; the first is ours")
    options = parser.parse_args()
    names, guides = options.kernels or all_kernels(), options.guide or rules.GUIDES
    if options.runs:
        return compare(options.runs, names, options.known, guides)
    run_all()
    status = compare(OUT, names, options.known, guides)
    if not status:
        for name in ("reference.tsv", "lost-dispatches.tsv"):
            shutil.copy(OUT / name, campaign.RESULTS)
    return status
