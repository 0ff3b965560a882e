# SPDX-License-Identifier: GPL-2.0
"""Compare what the selftests say on our kernel and on others.

Reads DIR/KERNEL/RUN/ as harness/do reference leaves them. The first kernel named is
ours. A test of must-match rules that passes there has to pass on the others too,
unless reference.tsv says why not; and what it says has to be so. Tests of our own
rules may fail on the others: that is counted. The last line counts the tests.
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

# A test that ran more than once ended as its worst run did; only a skip is made good by another run.
# "none" is a test without a result: its program, or the guest, came to an end before.
WORST = ("fail", "none", "pass", "skip")

VERSION = re.compile(r"Linux version (\S+) (?:.* (Debian \S+) \([\d-]+\))?")
FLOOD = re.compile(r"# # +D9 flood of (.*): (\d+) calls, (\d+) lost, (\d+) other")


class Kernel:
    """What the runs of one kernel say."""

    def __init__(self, name, directory):
        self.name, self.version = name, ""
        self.runs = {}          # run -> test -> result
        self.results = {}       # test -> result
        self.floods = []        # (program, what, calls, lost, others)
        self.failures = {}      # test -> [lines that explain]
        self.problems = []      # what went wrong besides tests
        for path in sorted(glob.glob(os.path.join(directory, name, "*", "nonce"))):
            self.read(os.path.dirname(path))
        if not self.runs:
            raise core.Error(f"{directory}/{name} has no runs. Run: make reference")

    def read(self, path):
        run, report = os.path.basename(path), judge.Report()
        nonce, = judge.read_lines(os.path.join(path, "nonce"), "the nonce")[:1]
        verdict = judge.read_lines(os.path.join(path, "verdict.log"), "the verdict")
        for line in judge.read_lines(os.path.join(path, "console.log"), "the console"):
            match = VERSION.search(line)
            if match:
                self.version = ", ".join(filter(None, match.groups()))
                break
        judge.judge_verdict(verdict[:-1], nonce, report)
        self.runs[run] = {name: result for name, result, _ in report.results}
        failed = {name for name, result in self.runs[run].items() if result == "fail"}
        for what, lines in report.failures:
            name = re.sub(r"^(\S+): (\S+) failed$", r"\1:\2", what)
            if name in failed:
                self.failures.setdefault(name, lines)
            else:
                self.problems.append(f"{run}: {what}")
        program = ""
        for line in verdict:
            if line.startswith("# selftests: "):
                program = line.split()[-1]
            match = FLOOD.match(line)
            if match:
                self.floods.append((program, *match.groups()))

    def merge(self, ours):
        """The results of all runs, by test. What ran on ours was due here, too."""
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
        for text in self.ours.problems:
            self.failures.append((f"{self.ours.name}: {text}", []))
        for test, result in self.ours.results.items():
            self.counts[self.ours.name][result] += 1
            if result in ("fail", "none"):
                self.failures.append((f"{self.ours.name}: {test}: {result}", self.ours.failures.get(test, [])))
        for kernel in self.others:
            for test in kernel.results:
                self.compare(kernel, test)
        self.judge_rows()

    def compare(self, kernel, test):
        names = judge.rule_of(test).split()
        mine, theirs = self.ours.results[test], kernel.results[test]
        counts = self.counts[kernel.name]
        if mine != "pass":
            counts["not passed by ours"] += 1
            return
        if self.own.intersection(names):
            if theirs == "pass":
                counts["own rules kept"] += 1
            else:
                counts["own rules not kept"] += 1
                what = "lacks" if theirs == "skip" else "breaks"
                self.unkept[kernel.name].update((what, rule) for rule in self.own.intersection(names))
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
        for row, results in self.used.items():
            if not results:
                self.failures.append((f"{row[0]} {row[1]} is listed, but there is no such must-match test", []))

    def header(self):
        for kernel in (self.ours, *self.others):
            yield f"# {kernel.name}: Linux {kernel.version}"

    def table(self):
        yield from self.header()
        yield "\t".join(("rule", "test", self.ours.name, *(k.name for k in self.others)))
        for test in sorted(self.ours.results):
            yield "\t".join((judge.rule_of(test), test, *(k.results[test] for k in (self.ours, *self.others))))

    def floods(self):
        yield from self.header()
        yield "\t".join(("kernel", "program", "flood of", "calls", "lost", "other SIGSYS"))
        for kernel in (self.ours, *self.others):
            for flood in kernel.floods:
                yield "\t".join((kernel.name, *flood))

    def summary(self):
        for kernel in (self.ours, *self.others):
            print(f"{kernel.name} ({kernel.version}):",
                  ", ".join(f"{count} {what}" for what, count in sorted(self.counts[kernel.name].items())))
            for program, what, calls, lost, others in kernel.floods:
                print(f"    {program}, flood of {what}: {lost} of {calls} dispatches lost, {others} other SIGSYS")
            if kernel is self.ours:
                continue
            for what in ("breaks", "lacks"):
                rows = [f"{rule} ({count} tests)" for (verb, rule), count
                        in sorted(self.unkept[kernel.name].items()) if verb == what]
                if rows:
                    print(f"    {what} of our own rules:", ", ".join(rows))
            for row, results in self.used.items():
                if fnmatch.fnmatchcase(kernel.name, row[0]):
                    print(f"    known to differ: {row[1]}: {self.known[row]}")
            for text in kernel.problems:
                print(f"    {text}")
        for what, lines in self.failures:
            print(f"FAILED: {what}")
            for line in filter(None, lines[-20:]):
                print(f"    {line}")


def write(path, how, lines):
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"# {how}\n")
        f.writelines(line + "\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description="Compare what the selftests say on our kernel and on others.")
    parser.add_argument("kernels", nargs="+", metavar="KERNEL", help="the first is ours")
    parser.add_argument("--runs", required=True, metavar="DIR", help="with the runs: build/reference")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the tables go")
    parser.add_argument("--guide", action="append", metavar="FILE", help="a document with rules")
    parser.add_argument("--known", default=os.path.join(HERE, "reference.tsv"), metavar="FILE")
    options = parser.parse_args()

    own = {name for name, rule in rules.read_rules(options.guide or rules.GUIDES).items() if rule.kind == "ours"}
    known = {(kernel, test): reason for _, (kernel, test, reason) in rules.read_rows(options.known, 3, 3)}
    comparison = Comparison([Kernel(name, options.runs) for name in options.kernels], known, own)

    write(os.path.join(options.out, "reference.tsv"),
          "Made by make reference: the same programs on our kernel and on Debian's.", comparison.table())
    write(os.path.join(options.out, "lost-dispatches.tsv"),
          "Made by make reference: dispatched calls, while SIGSYS came from elsewhere, too.", comparison.floods())
    comparison.summary()
    counts = collections.Counter()
    for kernel in comparison.others:
        counts.update(comparison.counts[kernel.name])
    print(f"{counts['as ours'] + counts['own rules kept']} passed, {len(comparison.failures)} failed, "
          f"{counts['known to differ'] + counts['own rules not kept'] + counts['not passed by ours']} skipped")
    return 1 if comparison.failures else 0
