#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Print the table of rules, what tests each, where these ran and how they ended.

The rules stand in rules.tsv, the results in DIR as the last "make check" left
them: guest-RUN/tests.tsv for every run of the guest, results.tsv for the steps.
A rule without proof fails, as does a test named after a rule that is not there.
The last line counts the rules.
"""

import argparse
import collections
import glob
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ("must-match", "ours")
RESULTS = ("pass", "fail", "skip")


class Problem(Exception):
    """An error of usage or of an input file."""


class Rule:
    """One row of rules.tsv, and what is known of it."""

    def __init__(self, name, kind, steps, untested):
        self.name, self.kind = name, kind
        self.steps, self.untested = steps, untested
        self.programs = collections.defaultdict(set)    # program -> its tests
        self.runs = collections.defaultdict(set)        # run -> ABIs that were not skipped
        self.counts = collections.Counter()             # result -> how often
        self.problems = []

    def add(self, run, test, result):
        program, _, name = test.partition(":")
        program, _, abi = program.rpartition("_")
        self.programs[program].add(name)
        self.counts[result] += 1
        if result != "skip":
            self.runs[run].add(abi)
        if result == "fail":
            self.problems.append(f"{test} failed in {run}")

    def judge(self, steps):
        """Say what its proof lacks; STEPS has those of the check, as name to success."""
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


def read_rows(path, least, most):
    """The rows of a table between tabs, without its comments."""
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if not least <= len(fields) <= most or not all(field.strip() for field in fields):
            raise Problem(f"{path}:{number}: a row has {least}{f' or {most}' if most > least else ''} "
                          "fields between tabs")
        yield f"{path}:{number}", fields


def read_rules(path):
    rules = {}
    for where, (name, kind, _, *other) in read_rows(path, 3, 4):
        steps, untested = [], ""
        what, _, text = other[0].partition(": ") if other else ("", "", "")
        if what == "steps" and text.split():
            steps = text.split()
        elif what == "untested" and text.strip():
            untested = text
        elif other:
            raise Problem(f"{where}: the fourth field is 'steps: NAME...' or 'untested: REASON'")
        if kind not in KINDS:
            raise Problem(f"{where}: '{kind}' is none of {', '.join(KINDS)}")
        if name in rules:
            raise Problem(f"{where}: a second row for {name}")
        rules[name] = Rule(name, kind, steps, untested)
    return rules


def read_results(rules, directory):
    """Hands every test to its rules. Returns tests of no rule, and of rules that are not known."""
    nameless, unknown = collections.Counter(), []
    found = sorted(glob.glob(os.path.join(directory, "guest-*", "tests.tsv")))
    if not found:
        raise Problem(f"{directory} has no results of tests. Run: make check")
    for path in found:
        run = os.path.basename(os.path.dirname(path))[len("guest-"):]
        for where, (names, test, result) in read_rows(path, 3, 3):
            if result not in RESULTS:
                raise Problem(f"{where}: '{result}' is none of {', '.join(RESULTS)}")
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


def main():
    parser = argparse.ArgumentParser(description="Print the table of rules, their tests and results.")
    parser.add_argument("directory", metavar="DIR", help="where make check leaves its results: build/check")
    parser.add_argument("--rules", default=os.path.join(HERE, "rules.tsv"), metavar="FILE")
    options = parser.parse_args()

    rules = read_rules(options.rules)
    nameless, unknown = read_results(rules, options.directory)
    steps = {row[0]: row[2] == "0"
             for _, row in read_rows(os.path.join(options.directory, "results.tsv"), 5, 5)}
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


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(f"error: {problem}")
