# SPDX-License-Identifier: GPL-2.0
"""Print the table of rules: the tests of each, their runs and their results.

The rules are those of the administrator's guide and of the document of direct dispatch. A
rule is a line with its name, followed by "*(ours)*" if newer kernels do not keep it, then
the indented text. No newer kernel keeps a rule of direct dispatch (X).

The results are in DIR, where "make check" leaves them: guest-RUN/tests.tsv for each run of
a guest, results.tsv for the steps. A rule without proof is a failure, and so is a test that
is named after an unknown rule. proof.tsv lists the rules that are not proven by tests of
their name. The last line counts the rules.

With --rule, print the text of one rule, and its tests with their results.
With --list, print the name and the kind of each rule.
"""

import argparse
import collections
import glob
import itertools
import os
import pathlib
import re
import sys

from harness import core

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = core.ROOT
GUIDES = [os.path.join(ROOT, "Documentation", "admin-guide", name)
          for name in ("syscall-user-dispatch.rst", "syscall-user-dispatch-direct.rst")]
HEAD = re.compile(r"([A-Z]\d+)( \*\(ours\)\*)?$")
RESULTS = ("pass", "fail", "skip")


class Rule:
    """A rule of the guide, with its tests and results."""

    def __init__(self, name, kind, text):
        self.name, self.kind, self.text = name, kind, text
        self.steps, self.untested = [], ""
        self.programs = collections.defaultdict(set)    # program -> its tests
        self.runs = collections.defaultdict(set)        # run -> ABIs that were not skipped
        self.counts = collections.Counter()             # result -> how often
        self.problems = []

    def add(self, run, test, result):
        """Add the result of a test, program_ABI:name, in a run."""
        program, _, name = test.partition(":")
        program, _, abi = program.rpartition("_")
        self.programs[program].add(name)
        self.counts[result] += 1
        if result != "skip":
            self.runs[run].add(abi)
        if result == "fail":
            self.problems.append(f"{test} failed in {run}")

    def judge(self, steps):
        """Add the defects of its proof to PROBLEMS. STEPS: {step of the check: whether it passed}."""
        if self.untested and self.counts:
            self.problems.append("it is listed as untested, but there are tests")
        elif not (self.untested or self.steps or self.counts):
            self.problems.append("no test has its name")
        elif self.counts and not self.runs:
            self.problems.append("all of its tests were skipped")
        for step in self.steps:
            if step not in steps:
                self.problems.append(f"the step {step} did not run")
            elif not steps[step]:
                self.problems.append(f"the step {step} failed")

    def row(self):
        """Its row of the table."""
        programs = [f"{name} {len(tests)}" for name, tests in sorted(self.programs.items())]
        runs = [f"{run}({','.join(sorted(abis))})" for run, abis in sorted(self.runs.items())]
        runs += [f"{step}(step)" for step in self.steps]
        result = ", ".join(f"{self.counts[r]} {r}" for r in RESULTS if self.counts[r])
        if self.untested:
            result = "untested"
        elif not result:
            result = "-" if self.problems else "pass"
        return (self.name, self.kind, str(sum(map(len, self.programs.values()))),
                ", ".join(programs) or "-", " ".join(runs) or "-", result)


def read_text(path):
    """The lines of a document."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise core.Error(f"{path}: {error.strerror}") from error


def read_rules(paths):
    """{name: Rule} of these documents."""
    rules = {}
    for path in paths:
        lines = read_text(path)
        for number, line in enumerate(lines):
            head = HEAD.match(line)
            if not head or not lines[number + 1:] or not lines[number + 1].startswith("\t"):
                continue
            name, ours = head.groups()
            if name in rules:
                raise core.Error(f"{path}: there are two rules {name}")
            text = itertools.takewhile(lambda row: row.startswith("\t") or not row, lines[number + 1:])
            kind = "ours" if ours or name.startswith("X") else "must-match"
            rules[name] = Rule(name, kind, "\n".join(row[1:] for row in text).rstrip())
    if not rules:
        raise core.Error(f"there is no rule in {' '.join(paths)}")
    return rules


def read_other_proof(path, rules):
    """Read the rules' other proofs: steps, or the reason why a rule is untested."""
    for where, (name, proof) in core.rows(path, "rule", "proof"):
        kind, _, text = proof.partition(": ")
        if name not in rules:
            raise core.Error(f"{where}: {name} is no rule of the guide")
        if kind == "steps" and text.split():
            rules[name].steps = text.split()
        elif kind == "untested" and text.strip():
            rules[name].untested = text
        else:
            raise core.Error(f"{where}: the second field is 'steps: NAME...' or 'untested: REASON'")


def read_results(rules, directory):
    """Add every test to its rules. Returns {program: tests without a rule}, and the errors about unknown rules."""
    nameless, unknown = collections.Counter(), []
    found = sorted(glob.glob(os.path.join(directory, "guest-*", "tests.tsv")))
    if not found:
        raise core.Error(f"{directory} has no results of tests. Run: make check")
    for path in found:
        run = os.path.basename(os.path.dirname(path))[len("guest-"):]
        for where, (names, test, result) in core.rows(path, "rules", "test", "result"):
            if result not in RESULTS:
                raise core.Error(f"{where}: '{result}' is none of {', '.join(RESULTS)}")
            if names == "-":
                nameless[test.partition(":")[0]] += 1
                continue
            for name in names.split():
                if name in rules:
                    rules[name].add(run, test, result)
                else:
                    unknown.append(f"{test} ({run}) is named after {name}, which is no rule")
    return nameless, unknown


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def print_text(rule):
    kind = "not kept by newer kernels" if rule.kind == "ours" else "kept by newer kernels"
    print(f"{rule.name} ({kind})\n")
    print("\n".join(f"    {line}".rstrip() for line in rule.text.splitlines()), end="\n\n")


def print_proof(rule):
    for program, tests in sorted(rule.programs.items()):
        for test in sorted(tests):
            print(f"    {program}: {test}")
    for run, abis in sorted(rule.runs.items()):
        print(f"    passed or failed in {run}: {', '.join(sorted(abis))}")
    for step in rule.steps:
        print(f"    proven by the step {step}")
    print("    results:", rule.row()[-1])


def main():
    parser = argparse.ArgumentParser(description="Print the table of rules, their tests and results.")
    parser.add_argument("directory", metavar="DIR", nargs="?", default=core.built("check"),
                        help="where make check leaves its results (build/<base>/check)")
    parser.add_argument("--guide", action="append", metavar="FILE", help="a document with rules")
    parser.add_argument("--proof", default=os.path.join(HERE, "proof.tsv"), metavar="FILE")
    parser.add_argument("--rule", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()

    rules = read_rules(options.guide or GUIDES)
    if options.list:
        for rule in rules.values():
            print(f"{rule.name}\t{rule.kind}")
        return 0
    if options.rule and options.rule not in rules:
        raise core.Error(f"there is no rule '{options.rule}'; the rules are: {' '.join(rules)}")
    read_other_proof(options.proof, rules)
    if options.rule:
        print_text(rules[options.rule])
        sys.stdout.flush()
    nameless, unknown = read_results(rules, options.directory)
    if options.rule:
        print_proof(rules[options.rule])
        return 0
    steps = {row[0]: row[2] == "0"
             for _, row in core.rows(os.path.join(options.directory, "results.tsv"))}
    for rule in rules.values():
        rule.judge(steps)

    print_table([("rule", "kind", "tests", "by program", "ran on", "results")] +
                [rule.row() for rule in rules.values()])
    for rule in rules.values():
        if rule.untested:
            print(f"untested: {rule.name}: {rule.untested}")
    if nameless:
        print("tests of no rule:", ", ".join(f"{name} {count}" for name, count in sorted(nameless.items())))
    for text in unknown:
        print(f"FAILED: {text}")
    for rule in rules.values():
        for text in rule.problems:
            print(f"FAILED: {rule.name}: {text}")

    failed = sum(1 for rule in rules.values() if rule.problems)
    untested = sum(1 for rule in rules.values() if rule.untested and not rule.problems)
    print(f"{len(rules) - failed - untested} passed, {failed + len(unknown)} failed, {untested} skipped")
    return 1 if failed or unknown else 0
