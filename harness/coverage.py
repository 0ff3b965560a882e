#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Which of the lines and branches that the series adds were reached.

DIR/ has what the guest's kernel counted (.gcda) beside what the compiler noted for
gcov (.gcno); a line or branch is reached if one of them says so. What is not has to be
in coverage.tsv, and what is there must not be reached. A table is written; the
failures, and a last line that counts, are printed.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys

import rules

HERE = os.path.dirname(os.path.abspath(__file__))

# Code of the kernel: neither user space's, nor of programs that build it.
CODE = re.compile(r"(?!tools/|samples/|scripts/|Documentation/).*\.[ch]$")
HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def run(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise rules.Problem(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise rules.Problem(f"{' '.join(command)} failed: {done.stderr.strip()}")
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
                raise rules.Problem(f"{path} has no .gcno beside it")
            report = json.loads(run("gcov", "--json-format", "--stdout", "--branch-probabilities", path))
            compiled.add(os.path.relpath(path, counts)[:-4] + "c")
            for source in report["files"]:
                where = os.path.join(report["current_working_directory"], source["file"])
                where = os.path.relpath(os.path.normpath(where), tree)
                for line in source["lines"]:
                    files[where][line["line_number"]].add(line)
    return files, compiled


class Coverage:
    """The series' lines against the counts and the list of exceptions."""

    def __init__(self, added, counted, compiled, accepted):
        self.failures = []
        self.totals = {}            # file -> [lines, reached, branches, reached]
        self.missed = []            # (file, number, what, text, reason)
        used = set()
        for path, lines in sorted(added.items()):
            if path.endswith(".c") and path not in compiled:
                self.miss(path, 0, "file", "-", accepted, used)
                continue
            totals = self.totals[path] = [0, 0, 0, 0]
            for number, text in lines.items():
                if number not in counted[path]:
                    continue
                line = counted[path][number]
                totals[0] += 1
                totals[1] += bool(line.count)
                totals[2] += len(line.branches)
                totals[3] += sum(map(bool, line.branches.values()))
                for what in line.unreached():
                    self.miss(path, number, what, text, accepted, used)
        for row in accepted.keys() - used:
            self.failures.append(f"coverage.tsv has what was reached, or is not there: {' '.join(row)}")

    def miss(self, path, number, what, text, accepted, used):
        row = (path, what, text)
        # A row excuses one place, not all that read the same.
        excused = row in accepted and row not in used
        used.add(row)
        if not excused:
            self.failures.append(f"{path}:{number}: {what} not reached: {text}" if number else
                                 f"{path} was not compiled for gcov; see '# profile:' in harness/configs/gcov.config")
        self.missed.append((path, number, what, text, accepted[row] if excused else "not explained"))

    def table(self):
        rows = [(path, *totals) for path, totals in self.totals.items() if totals[0]]
        rows.append(("all", *(sum(row[column] for row in rows) for column in range(1, 5))))
        yield f"{'file':40}{'lines':>12}{'branches':>12}"
        for path, lines, lines_reached, branches, branches_reached in rows:
            yield f"{path:40}{f'{lines_reached}/{lines}':>12}{f'{branches_reached}/{branches}':>12}"
        yield ""
        yield "Not reached:"
        for path, number, what, text, reason in self.missed:
            yield f"{path}:{number}: {what}: {text}" if number else f"{path}: not compiled for gcov"
            yield f"    {reason}"

    def counts(self):
        reached = sum(totals[1] + totals[3] for totals in self.totals.values())
        return f"{reached} passed, {len(self.failures)} failed, {len(self.missed)} skipped"


def main():
    parser = argparse.ArgumentParser(description="Which of the lines and branches that the series adds were reached.")
    parser.add_argument("--tree", required=True, metavar="DIR", help="the patched kernel's repository")
    parser.add_argument("--series", default="base..sud", metavar="RANGE", help="its commits, for git")
    parser.add_argument("--counts", required=True, metavar="DIR", help="with .gcda and .gcno files")
    parser.add_argument("--accepted", default=os.path.join(HERE, "coverage.tsv"), metavar="FILE")
    parser.add_argument("--table", required=True, metavar="FILE", help="to be written")
    options = parser.parse_args()

    accepted = {}
    for number, (path, what, text, reason) in rules.read_rows(options.accepted, 4, 4):
        if (path, what, text) in accepted:
            raise rules.Problem(f"{options.accepted}:{number}: the same as an earlier row")
        accepted[path, what, text] = reason
    tree = os.path.realpath(options.tree)
    counted, compiled = count_lines(tree, options.counts)
    coverage = Coverage(added_lines(tree, options.series), counted, compiled, accepted)
    with open(options.table, "w", encoding="utf-8") as f:
        f.write("# Made by make coverage: what the selftests reach of the code that the series adds.\n")
        f.writelines(line + "\n" for line in coverage.table())
    print("\n".join(coverage.table()))
    for failure in coverage.failures:
        print(f"FAILED: {failure}")
    print(coverage.counts())
    return 1 if coverage.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except rules.Problem as problem:
        sys.exit(f"error: {problem}")
