# SPDX-License-Identifier: GPL-2.0
"""Which lines and branches that the series adds the selftests and the fuzzer reach.

Both run on a kernel that counts (harness/build/configs/gcov.config), each in a boot of its own. A line or branch is
reached if one of the two reached it. What is not reached has to be in coverage.tsv, and what is there must not be
reached. The table, with a column for each, goes to results/; build/<base>/coverage/ has all that the guests said: in
counts/selftests and counts/fuzzer what the kernel counted (.gcda) beside what the compiler noted for gcov (.gcno).
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import tarfile

from harness import core
from harness.campaigns import campaign

ACCEPTED = core.HARNESS / "campaigns" / "coverage.tsv"
CONFIGURATION = "gcov"
OUT = core.built("coverage")
# The last action of a guest: it sends its counts.
AFTER = core.HARNESS / "guest" / "inside" / "gcov"
# As many as each mutant gets.
FUZZ = ("--operations", "60000", "--seed", "1")

# Code of the kernel: neither user space's, nor of programs that build it.
CODE = re.compile(r"(?!tools/|samples/|scripts/|Documentation/).*\.[ch]$")
HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def printed(*command):
    """The output of an external command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise core.Error(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise core.Error(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def added_lines(tree, series):
    """{file: {number: text}} of the lines that the series adds to the kernel's code."""
    files, path, number = {}, None, 0
    for line in printed("git", "-C", tree, "diff", "--no-ext-diff", "--unified=0", series).splitlines():
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
        """The lines and branches that were not reached; of a line that never ran, only the line."""
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
            report = json.loads(printed("gcov", "--json-format", "--stdout", "--branch-probabilities", path))
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


def judge(tree, series, runs, accepted_path, table):
    """Count the directories of RUNS, {name: directory}, write the table, and print the lines not reached; the exit status."""
    accepted = {}
    for where, (path, what, text, reason) in core.rows(accepted_path, "file", "what", "text", "reason"):
        if (path, what, text) in accepted:
            raise core.Error(f"{where}: the same as an earlier row")
        accepted[path, what, text] = reason
    tree, counted, compiled = os.path.realpath(tree), {}, set()
    for name, directory in runs.items():
        counted[name], files = count_lines(tree, directory)
        if not files:
            raise core.Error(f"the {name} counted nothing: no .gcda file below {directory}")
        compiled |= files
    coverage = Coverage(added_lines(tree, series), counted, compiled, accepted)
    lines = list(coverage.table())
    campaign.write(table, "# Made by make coverage: what is reached of the code that the series adds, by all and by each.",
                   *lines)
    print("\n".join(lines))
    campaign.tell((failure, ()) for failure in coverage.failures)
    print(coverage.counts())
    return 1 if coverage.failures else 0


def unpack(name):
    """Put a run's counts to OUT/counts/NAME, and beside them what the compiler noted; the directory."""
    sent, built, counts = OUT / f"{name}.tar.gz", core.built(CONFIGURATION), OUT / "counts" / name
    if not sent.exists() or not sent.stat().st_size:
        raise core.Error(f"the guest of the {name} sent no counts; see {OUT / name / 'console.log'}")
    try:
        with tarfile.open(sent) as archive:
            archive.extractall(OUT / "unpacked")
    except (tarfile.TarError, EOFError, OSError) as problem:
        raise core.Error(f"the guest's archive of counts is broken: {sent}: {problem}") from None
    # There they have the path of the build directory.
    unpacked = OUT / "unpacked" / built.relative_to("/")
    if not unpacked.is_dir():
        raise core.Error(f"the guest of the {name} counted nothing")
    counts.parent.mkdir(exist_ok=True)
    unpacked.rename(counts)
    shutil.rmtree(OUT / "unpacked")
    for path in counts.rglob("*.gcda"):
        notes = path.relative_to(counts).with_suffix(".gcno")
        shutil.copy(built / notes, counts / notes)
    return counts


def run_selftests():
    """Run them in the guest; whether all is well, as the judge says."""
    out = OUT / "selftests"
    campaign.select(campaign.TESTS, out / "tests")
    core.run("pack", "--out", out / "initrd.cpio", "--tree", f"{campaign.KSELFTEST}:/kselftest",
             "--file", f"{out / 'tests'}:/guest/tests", "--file", f"{AFTER}:/guest/after")
    campaign.guest(campaign.image(CONFIGURATION), out / "initrd.cpio", "check", out, 3600,
                   QEMU_ARGS=f"-serial file:{out}.tar.gz")
    (out / "initrd.cpio").unlink()
    return not core.run("judge", "--configuration", CONFIGURATION, "--verdict", out / "verdict.log", "--console",
                        out / "console.log", "--nonce", (out / "nonce").read_text().strip(), check=False).returncode


def measure():
    campaign.begin("coverage")
    core.need_command("gcov")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    core.run("setup", "--abis")
    core.run("kernel", CONFIGURATION)
    core.run("selftests")
    # A failure does not prevent the report of the coverage.
    with core.step("Running the selftests on a kernel that counts"):
        good = run_selftests()
    good &= not core.run("fuzz", "--kernel", CONFIGURATION, *FUZZ, "--out", OUT / "fuzzer", "--after", AFTER, check=False,
                         env={**os.environ, "QEMU_ARGS": f"-serial file:{OUT}/fuzzer.tar.gz"}).returncode
    runs = {name: unpack(name) for name in ("selftests", "fuzzer")}
    good &= not judge(core.built("tree"), "base..sud", runs, ACCEPTED, OUT / "coverage.txt")
    if good:
        shutil.copy(OUT / "coverage.txt", campaign.RESULTS)
    return 0 if good else 1


def a_run(text):
    name, equals, counts = text.partition("=")
    if not (name and equals and counts):
        raise argparse.ArgumentTypeError(f"not RUN=DIR: {text}")
    return name, counts


def main():
    parser = argparse.ArgumentParser(prog="harness/do coverage",
                                     description="Which of the lines and branches that the series adds are reached.")
    parser.add_argument("--counts", action="append", type=a_run, metavar="RUN=DIR",
                        help="only judge a run's .gcda and .gcno files; may be given several times")
    parser.add_argument("--tree", metavar="DIR", help="for these: the patched kernel's repository")
    parser.add_argument("--series", default="base..sud", metavar="RANGE", help="its commits, for git")
    parser.add_argument("--accepted", default=ACCEPTED, metavar="FILE", help="what need not be reached")
    parser.add_argument("--table", default=OUT / "coverage.txt", metavar="FILE", help="to be written")
    options = parser.parse_args()
    if not options.counts:
        return measure()
    return judge(options.tree or core.built("tree"), options.series, dict(options.counts), options.accepted, options.table)
