# SPDX-License-Identifier: GPL-2.0
"""Judge the kernels of the series' prefixes, as harness/do bisectable built and booted them.

The selftests of the whole series ran on each. A test must pass, unless it is to be
skipped (skips.tsv: as on the kernel "off" where the feature is not there yet, as on
"x86_64" elsewhere), or is about a commit that is not there yet (bisectable.tsv): then
it must not pass. The last line printed counts the tests.
"""

import argparse
import fnmatch
import os
import re

from harness import core
from harness.judge import judge
from harness.judge import rules


HERE = os.path.dirname(os.path.abspath(__file__))


class Prefix:
    """One of the kernels: what was done with it, and what the tests said."""

    def __init__(self, number, feature, run, seconds, subject):
        self.number, self.feature, self.run = number, feature, run
        self.seconds, self.subject = int(seconds), subject
        self.booted = False
        self.report = judge.Report()
        self.later = 0          # tests of what is not there yet

    def judge(self, runs, present, later, skips, splats):
        """PRESENT: the subjects so far. LATER: (subject, pattern) of tests. Of the lists, the paths."""
        if self.run == "-":
            self.report.fail("it does not build")
            return
        path = os.path.join(runs, self.run)
        lacks = judge.lacks_of("x86_64") | (set() if self.feature == "yes" else {"feature"})
        nonce, = judge.read_lines(os.path.join(path, "nonce"), "the nonce")[:1]
        verdict = judge.read_lines(os.path.join(path, "verdict.log"), "the verdict")
        seconds, = judge.read_lines(os.path.join(path, "seconds"), "the time")[:1]
        self.seconds += int(seconds)
        self.booted = f"guest: begin {nonce}" in verdict
        judge.judge_verdict(verdict[:-1], nonce, self.report)
        aside = self.set_later_aside([pattern for subject, pattern in later if subject not in present])
        listed = {pattern: reason for pattern, reason in judge.read_table(skips, lacks).items()
                  if not any(fnmatch.fnmatchcase(name, pattern) for name in aside)}
        judge.judge_skips(listed, self.report)
        judge.judge_console(judge.read_lines(os.path.join(path, "console.log"), "the console"),
                            judge.read_splats(splats, lacks), self.report)

    def set_later_aside(self, patterns):
        """Takes the tests of what is not there yet out of the report, and returns their names; they must not pass."""
        kept, aside = [], set()
        for name, result, reason in self.report.results:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                aside.add(name)
                if result == "pass":
                    self.report.fail(f"{name} passed, but what it tests comes later in the series")
            else:
                kept.append((name, result, reason))
        self.report.results = kept
        self.later = len(aside)
        self.report.failures = [(what, lines) for what, lines in self.report.failures
                                if re.sub(r"^(\S+): (\S+) failed$", r"\1:\2", what) not in aside]
        return aside

    def row(self):
        return (self.number, self.subject, "no" if self.run == "-" else "yes", "yes" if self.booted else "no",
                *map(str, (self.report.count("pass"), len(self.report.failures), self.report.count("skip"),
                           self.later, self.seconds)))


def main():
    parser = argparse.ArgumentParser(description="Judge the kernels of the series' prefixes.")
    parser.add_argument("--prefixes", required=True, metavar="FILE",
                        help="number, whether it has the feature, run, seconds of building, subject")
    parser.add_argument("--runs", required=True, metavar="DIR", help="with what the guests said")
    parser.add_argument("--later", default=os.path.join(HERE, "bisectable.tsv"), metavar="FILE")
    parser.add_argument("--skips", default=judge.SKIP_LIST, metavar="FILE")
    parser.add_argument("--splats", default=judge.SPLAT_LIST, metavar="FILE")
    parser.add_argument("--table", required=True, metavar="FILE", help="to be written")
    options = parser.parse_args()

    prefixes = [Prefix(*fields) for _, fields in rules.read_rows(options.prefixes, 5, 5)]
    later = {}
    for where, (subject, pattern, _) in rules.read_rows(options.later, 3, 3):
        if not any(prefix.subject == subject for prefix in prefixes):
            raise core.Error(f"{where}: no commit of the series has this subject: {subject}")
        later[subject, pattern] = where
    present = set()
    for prefix in prefixes:
        present.add(prefix.subject)
        prefix.judge(options.runs, present, later, options.skips, options.splats)
    head = ("number", "subject", "built", "booted", "passed", "failed", "skipped", "not yet", "seconds")
    with open(options.table, "w", encoding="utf-8") as f:
        f.write("# Made by make bisectable: every prefix of the series, and the selftests of the whole on it.\n")
        f.writelines("\t".join(row) + "\n" for row in (head, *(prefix.row() for prefix in prefixes)))
    for prefix in prefixes:
        print(f"{prefix.number}: {prefix.subject}:", ", ".join(
            f"{value} {what}" for value, what in zip(prefix.row()[4:], head[4:])))
        for what, lines in prefix.report.failures:
            print(f"FAILED: {prefix.number}: {what}")
            for line in filter(None, lines[-20:]):
                print(f"    {line}")
    print(f"{sum(p.report.count('pass') for p in prefixes)} passed, "
          f"{sum(len(p.report.failures) for p in prefixes)} failed, "
          f"{sum(p.report.count('skip') + p.later for p in prefixes)} skipped")
    return 1 if any(prefix.report.failures for prefix in prefixes) else 0
