# SPDX-License-Identifier: GPL-2.0
"""Judge where a Windows program's own system calls arrived, under Wine in the guest.

Usage: harness/do wine-verdict --runs DIR RUN=EXPECTED[,EXPECTED]...

It reads DIR/RUN/console.log of each run. An expectation is one of:
  ntdll    every call reached Wine's ntdll.so
  signal   every call reached ntdll.so, by SIGSYS
  direct   every call reached ntdll.so, without SIGSYS
  linux    every call reached the Linux kernel

Calls by the exports must work in every run. Otherwise the set-up is broken, and
nothing else is judged. If the program ran several times in one boot, each run has
an expectation, as in RUN=signal,direct, and the times are printed side by side. The
last line counts the subjects: calls, exceptions, threads, the end.
"""

import argparse
import errno
import os
import re

from harness import core
from harness.judge import judge


# The calls that samples/wine/raw.c makes, and the other subjects that it tests, in the order of its output.
EXPORTS = ("NtWriteFile", "NtAllocateVirtualMemory", "NtQueryPerformanceCounter")
SUBJECTS = (*EXPORTS, "none", "exceptions", "threads")
LAST = "NtTerminateProcess"
# Its exit status: by a raw NtTerminateProcess that ended it, or by an ordinary exit after that call failed.
BY_RAW_CALL, BY_EXPORT = 42, 43

TALLY = re.compile(r"raw: (raw|export) (\w+) ntdll (\d+) linux (\d+) wrong (\d+) first (?:0x)?([0-9a-f]+)"
                   r"(?: ticks (\d+) (\d+) (\d+))?$")
NUMBER = re.compile(r"raw: number (\w+) (0x[0-9a-f]+|0)$")
FILE = re.compile(r"raw: file (-?\d+) of (\d+)$")
CAME_BACK = re.compile(rf"raw: raw {LAST} came back (?:0x)?([0-9a-f]+)$")
STATUS = re.compile(r"wine: ended with status (\d+)$")
VERSION = re.compile(r"wine: kernel (\S+)$")
BEGIN = re.compile(r"wine: begin \S+$")
# With samples/wine/ntdll-direct.patch, each process reports its first SIGSYS.
SIGSYS = re.compile(r"wine: processes with SIGSYS (\d+)$")

# The expectations, and how messages describe them.
EXPECTED = {"ntdll": "ntdll.so", "signal": "ntdll.so, by SIGSYS", "direct": "ntdll.so, without a SIGSYS",
            "linux": "Linux"}


class Broken(Exception):
    """The set-up does not work, so the run cannot be judged."""


def answer(result):
    """A result as text: -ERROR for an error of Linux, otherwise a hexadecimal number."""
    if result >= 1 << 63 and (1 << 64) - result < 4096:
        number = (1 << 64) - result
        return f"-{errno.errorcode.get(number, number)}"
    return f"{result:#x}"


def read_runs(path, count):
    """The lines of a guest's output: at least COUNT lists, one for each run of the program. The first has the boot."""
    lines = judge.read_lines(os.path.join(path, "console.log"), "the console")
    begins = [i for i, line in enumerate(lines) if BEGIN.match(line)][1:]
    parts = [lines[i:j] for i, j in zip([0, *begins], [*begins, len(lines)])]
    return parts + [[]] * (count - len(parts))


class Run:
    """One run of the program: the LINES of its output, how it is EXPECTED to end, and the results."""

    def __init__(self, name, expected, lines, splats):
        self.name, self.expected, self.lines = name, expected, lines
        self.server = "linux" if expected == "linux" else "ntdll"
        self.tallies, self.numbers, self.failures, self.passed = {}, {}, [], 0
        for line in self.lines:
            match = TALLY.match(line)
            if match:
                self.tallies.setdefault((match[1], match[2]), match)
            match = NUMBER.match(line)
            if match:
                self.numbers[match[1]] = int(match[2], 16)
        report = judge.Report()
        judge.judge_console(self.lines, judge.read_splats(splats, ()), report)
        self.splats = report.failures

    def found(self, pattern):
        """The first line that matches a pattern, as a match, or None."""
        return next((m for m in map(pattern.match, self.lines) if m), None)

    def check_setup(self):
        """Raise Broken unless the program started, and its calls by the exports work."""
        if "raw: begin" not in self.lines:
            raise Broken("the Windows program did not start")
        for line in self.lines:
            if line.startswith("raw: broken: "):
                raise Broken(line[len("raw: broken: "):])
        for name in EXPORTS:
            match = self.tallies.get(("export", name))
            if not match:
                raise Broken(f"{name} by way of the export: no result")
            if int(match[3]) == 0 or int(match[4]) or int(match[5]):
                raise Broken(f"{name} by way of the export does not work: {match[0]}")
        if "raw: exports end" not in self.lines:
            raise Broken("the calls by way of the exports have no end")

    def result(self, subject, good, reason):
        """Count a subject as passed, or add it to the failures with the reason."""
        if good:
            self.passed += 1
        else:
            self.failures.append(f"{subject}: {reason}")

    def check_calls(self):
        """Check that each raw call reached the expected server, in the expected way."""
        server = self.server
        for subject in SUBJECTS:
            match = self.tallies.get(("raw", subject))
            if not match:
                self.result(subject, False, "no result")
                continue
            ntdll, linux, wrong = (int(match[i]) for i in (3, 4, 5))
            arrived = (ntdll > 0) == (server == "ntdll") and (linux > 0) == (server == "linux")
            self.result(subject, arrived and wrong == 0,
                        f"{ntdll} calls reached ntdll, {linux} Linux, and {wrong} went wrong in ntdll")
        match = self.found(FILE)
        self.result("the file", match and match[1] == match[2] and match[1] != "0",
                    match[0] if match else "no result")
        match, back = self.found(STATUS), self.found(CAME_BACK)
        status = int(match[1]) if match else None
        if server == "ntdll":
            self.result(LAST, status == BY_RAW_CALL and not back,
                        f"it came back ({answer(int(back[1], 16))})" if back
                        else f"the exit status is {status}, not {BY_RAW_CALL}")
        else:
            self.result(LAST, status == BY_EXPORT and back,
                        f"it did not come back, and the exit status is {status}, not {BY_EXPORT}")
        if self.expected in ("signal", "direct"):
            match = self.found(SIGSYS)
            self.result("the way", match and (match[1] != "0") == (self.expected == "signal"),
                        f"processes that were sent a SIGSYS: {match[1]}" if match else "no result")
        self.result("the kernel", not self.splats, self.splats and self.splats[0][0])
        self.result("the guest", "wine: done" in self.lines, "it did not end")

    def table(self):
        """Yield the lines of a table: the calls, how many reached ntdll and Linux, and their times."""
        yield (f"{'call':26} {'number':>7} {'calls':>6} {'ntdll':>6} {'Linux':>6}  {'answer':12}"
               f" {'ticks':>9} {'(least, most)':>18} {'by export':>9}")
        for subject in SUBJECTS:
            match = self.tallies.get(("raw", subject))
            if not match:
                continue
            counts = [int(match[i]) for i in (3, 4, 5)]
            number = {"none": 0xfff}.get(subject, self.numbers.get(subject))
            export = self.tallies.get(("export", subject))
            spread = f"({match[8]}, {match[9]})" if match[8] else ""
            yield (f"{subject:26} {'' if number is None else hex(number):>7} {sum(counts):6} {counts[0]:6}"
                   f" {counts[1]:6}  {answer(int(match[6], 16)):12} {match[7] or '':>9} {spread:>18}"
                   f" {export[7] if export else '':>9}").rstrip()
        match, back = self.found(STATUS), self.found(CAME_BACK)
        if match:
            by_raw_call = match[1] == str(BY_RAW_CALL)
            result = answer(int(back[1], 16)) if back else "the end" if by_raw_call else "none"
            yield (f"{LAST:26} {hex(self.numbers.get(LAST, 0)):>7} {1:6} {int(by_raw_call):6} {int(bool(back)):6}"
                   f"  {result}")

    def excerpt(self):
        """The last 15 lines of the output that are not empty, which help to find the cause."""
        return [line for line in self.lines if line.strip()][-15:]


def side_by_side(runs):
    """Yield the lines of a table: the TSC ticks of the calls in each run of one boot, as median, least and most."""
    yield (f"{'ticks a call':26}" + "".join(f" {'by ' + run.expected:>9} {'(least, most)':>18}" for run in runs)
           + f" {'by export':>9}")
    for subject in SUBJECTS:
        matches = [run.tallies.get(("raw", subject)) for run in runs]
        if not all(match and match[7] for match in matches):
            continue
        exports = [run.tallies.get(("export", subject)) for run in runs]
        yield (f"{subject:26}" + "".join(f" {m[7]:>9} {f'({m[8]}, {m[9]})':>18}" for m in matches)
               + f" {' '.join(e[7] for e in exports if e):>9}").rstrip()


def verdict(directory, expected, splats=judge.SPLAT_LIST):
    """Judge the runs in a directory: {run: [expectation of each run of the program]}. Returns the exit status."""
    passed = failed = 0
    for name, ways in expected.items():
        good, bad = verdict_of(directory, name, ways, splats)
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def verdict_of(directory, run_name, ways, splats):
    """Judge one run with the expectations WAYS; returns (passed, failed), numbers of subjects."""
    passed = failed = 0
    parts = read_runs(os.path.join(directory, run_name), len(ways))
    if len(parts) > len(ways):
        raise core.Error(f"{run_name}: the program ran {len(parts)} times instead of {len(ways)}")
    version = next((m[1] for m in map(VERSION.match, parts[0]) if m), "?")
    runs = []
    for way, lines in zip(ways, parts):
        name = run_name if len(ways) == 1 else f"{run_name}, {way}"
        run = Run(name, way, lines, splats)
        print(f"== {name}: Linux {version}; every raw call should reach {EXPECTED[way]}")
        try:
            run.check_setup()
            print("\n".join(run.table()))
        except Broken as why:
            failed += 1
            print(f"BROKEN: {name}: {why}. The set-up does not work, so the feature was not judged.",
                  *(f"The kernel: {splat}" for splat, _ in run.splats),
                  f"The end of {directory}/{run_name}/console.log:", *run.excerpt(), sep="\n    ")
            continue
        run.check_calls()
        for line in run.failures:
            print(f"FAILED: {name}: {line}")
        if not run.failures:
            print(f"as expected: {run.passed} subjects")
        passed, failed = passed + run.passed, failed + len(run.failures)
        runs.append(run)
    head, *rows = side_by_side(runs)
    if len(runs) > 1 and rows:
        print(f"== {run_name}: side by side", head, *rows, sep="\n")
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description="Judge where a Windows program's own system calls arrived.")
    parser.add_argument("--runs", required=True, metavar="DIR")
    parser.add_argument("--splats", default=judge.SPLAT_LIST, metavar="FILE")
    parser.add_argument("runs_named", nargs="+", metavar="RUN=EXPECTED[,EXPECTED]...",
                        help="expected: " + ", ".join(EXPECTED))
    options = parser.parse_args()
    expected = {}
    for word in options.runs_named:
        name, _, several = word.partition("=")
        expected[name] = several.split(",")
        if not set(expected[name]) <= set(EXPECTED):
            parser.error(f"{word}: an expectation must be one of {', '.join(EXPECTED)}")
    return verdict(options.runs, expected, options.splats)
