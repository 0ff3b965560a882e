# SPDX-License-Identifier: GPL-2.0
"""Which of the lines and branches that the series adds were reached.

Every run has a directory with what the guest's kernel counted (.gcda) beside what the
compiler noted for gcov (.gcno); a line or branch is reached if one of the runs did. What
is not has to be in coverage.tsv, and what is there must not be reached. A table is
written, with a column for every run; the failures, and a last line that counts, are
printed.
"""

import argparse
import collections
import json
import os
import re
import subprocess

from harness import core
from harness.judge import rules


HERE = os.path.dirname(os.path.abspath(__file__))

# Code of the kernel: neither user space's, nor of programs that build it.
CODE = re.compile(r"(?!tools/|samples/|scripts/|Documentation/).*\.[ch]$")
HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def run(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise core.Error(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise core.Error(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def added_lines(tree, series):
    """{file: {number: text}} of what the series adds to the kernel's code."""
    files, path, number = {}, None, 0
    for line in run("git", "-C", tree, "diff", "--no-ext-diff", "--unified=0", series).splitlines():
        hunk = HUNK.match(line)
        if line.startswith("+++ "):
            path = line[6:] if CODE.match(line[6:]) else None
            files.update({path: {}} if path else {})
        elif hunk:
            number = int(hunk[1])
        elif line.startswith("+") and path:
            files[path][number] = line[1:].strip()
            number += 1
    return files


class Line:
    """A line that has code: how often it was run, and each way out of it was taken."""

    def __init__(self):
        self.count = 0
        self.branches = collections.Counter()   # (index, of how many) -> count

    def add(self, line):
        self.count += line["count"]
        total = len(line["branches"])
        for index, branch in enumerate(line["branches"], 1):
            self.branches[index, total] += branch["count"]

    def merge(self, other):
        self.count += other.count
        for key, count in other.branches.items():
            self.branches[key] += count

    def unreached(self):
        """What was not reached: of a line that was never run, not each branch."""
        if not self.count:
            return ["line"]
        return [f"branch {index}/{total}" for (index, total), count in self.branches.items() if not count]


def count_lines(tree, counts):
    """({file: {number: Line}}, the source files that were compiled for gcov)."""
    files, compiled = collections.defaultdict(lambda: collections.defaultdict(Line)), set()
    for folder, _, names in os.walk(counts):
        for name in sorted(names):
            if not name.endswith(".gcda"):
                continue
            path = os.path.join(folder, name)
            if not os.path.exists(path[:-4] + "gcno"):
                raise core.Error(f"{path} has no .gcno beside it")
            report = json.loads(run("gcov", "--json-format", "--stdout", "--branch-probabilities", path))
            compiled.add(os.path.relpath(path, counts)[:-4] + "c")
            for source in report["files"]:
                where = os.path.join(report["current_working_directory"], source["file"])
                where = os.path.relpath(os.path.normpath(where), tree)
                for line in source["lines"]:
                    files[where][line["line_number"]].add(line)
    return files, compiled


def merge(runs):
    """All runs' counts as if they were of one."""
    files = collections.defaultdict(lambda: collections.defaultdict(Line))
    for counted in runs:
        for path, lines in counted.items():
            for number, line in lines.items():
                files[path][number].merge(line)
    return files


class Coverage:
    """The series' lines against each run's counts and the list of exceptions."""

    def __init__(self, added, runs, compiled, accepted):
        self.failures = []
        self.runs = list(runs)
        self.totals = {}            # file -> [lines, branches], and for all together and each run [lines, branches]
        self.missed = []            # (file, number, what, text, reason)
        used = set()
        counted = merge(runs.values())
        for path, lines in sorted(added.items()):
            if path.endswith(".c") and path not in compiled:
                self.miss(path, 0, "file", "-", accepted, used)
                continue
            code = {number: counted[path][number] for number in lines if number in counted[path]}
            self.totals[path] = [len(code), sum(len(line.branches) for line in code.values())]
            for which in (counted, *runs.values()):
                self.totals[path] += self.reached(which[path], code)
            for number, line in code.items():
                for what in line.unreached():
                    self.miss(path, number, what, lines[number], accepted, used)
        for row in accepted.keys() - used:
            self.failures.append(f"coverage.tsv has what was reached, or is not there: {' '.join(row)}")

    @staticmethod
    def reached(lines, numbers):
        """[lines, branches] of these numbers that were reached."""
        found = [lines[number] for number in numbers if number in lines and lines[number].count]
        return [len(found), sum(bool(count) for line in found for count in line.branches.values())]

    def miss(self, path, number, what, text, accepted, used):
        row = (path, what, text)
        # A row excuses one place, not all that read the same.
        excused = row in accepted and row not in used
        used.add(row)
        if not excused:
            self.failures.append(f"{path}:{number}: {what} not reached: {text}" if number else
                                 f"{path} was not compiled for gcov; see '# profile:' in harness/build/configs/gcov.config")
        self.missed.append((path, number, what, text, accepted[row] if excused else "not explained"))

    def table(self):
        rows = [(path, *totals) for path, totals in self.totals.items() if totals[0]]
        rows.append(("all", *map(sum, zip(*(row[1:] for row in rows)))))
        yield " " * 45 + "".join(f"{run:>20}" for run in ["all", *self.runs])
        yield f"{'file':45}" + f"{'lines':>10}{'branches':>10}" * (1 + len(self.runs))
        for path, lines, branches, *reached in rows:
            yield f"{path:45}" + "".join(f"{f'{count}/{(lines, branches)[index % 2]}':>10}"
                                         for index, count in enumerate(reached))
        yield ""
        yield "Not reached:"
        for path, number, what, text, reason in self.missed:
            yield f"{path}:{number}: {what}: {text}" if number else f"{path}: not compiled for gcov"
            yield f"    {reason}"

    def counts(self):
        reached = sum(totals[2] + totals[3] for totals in self.totals.values())
        return f"{reached} passed, {len(self.failures)} failed, {len(self.missed)} skipped"


def a_run(text):
    name, equals, counts = text.partition("=")
    if not (name and equals and counts):
        raise argparse.ArgumentTypeError(f"not RUN=DIR: {text}")
    return name, counts


def main():
    parser = argparse.ArgumentParser(description="Which of the lines and branches that the series adds were reached.")
    parser.add_argument("--tree", required=True, metavar="DIR", help="the patched kernel's repository")
    parser.add_argument("--series", default="base..sud", metavar="RANGE", help="its commits, for git")
    parser.add_argument("--counts", required=True, action="append", type=a_run, metavar="RUN=DIR",
                        help="a run's .gcda and .gcno files; may be given several times")
    parser.add_argument("--accepted", default=os.path.join(HERE, "coverage.tsv"), metavar="FILE")
    parser.add_argument("--table", required=True, metavar="FILE", help="to be written")
    options = parser.parse_args()

    accepted = {}
    for number, (path, what, text, reason) in rules.read_rows(options.accepted, 4, 4):
        if (path, what, text) in accepted:
            raise core.Error(f"{options.accepted}:{number}: the same as an earlier row")
        accepted[path, what, text] = reason
    tree = os.path.realpath(options.tree)
    runs, compiled = {}, set()
    for run_name, counts in options.counts:
        runs[run_name], files = count_lines(tree, counts)
        if not files:
            raise core.Error(f"the {run_name} counted nothing: no .gcda file below {counts}")
        compiled |= files
    coverage = Coverage(added_lines(tree, options.series), runs, compiled, accepted)
    with open(options.table, "w", encoding="utf-8") as f:
        f.write("# Made by make coverage: what is reached of the code that the series adds, by all and by each.\n")
        f.writelines(line + "\n" for line in coverage.table())
    print("\n".join(coverage.table()))
    for failure in coverage.failures:
        print(f"FAILED: {failure}")
    print(coverage.counts())
    return 1 if coverage.failures else 0
