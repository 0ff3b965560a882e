# SPDX-License-Identifier: GPL-2.0
"""Judge where a Windows program's own system calls arrived, under Wine in the guest.

Reads DIR/RUN/console.log for each named run. Its expectation is one of: RUN=ntdll,
every call reached Wine's ntdll.so; RUN=signal, they did so by SIGSYS; RUN=direct,
they did so without SIGSYS; RUN=linux, every call reached the Linux kernel. Calls by
the exports must work in every run. Otherwise the set-up is broken, and nothing else
is judged. If the program ran several times in one boot, RUN=signal,direct has an
expectation for each, and the times are printed side by side. The last line counts
the subjects: calls, exceptions, threads, the end.
"""

import argparse
import errno
import os
import re

from harness import core
from harness.judge import judge


# What samples/wine/raw.c calls, and what else it looks at, in the order in which it prints.
EXPORTS = ("NtWriteFile", "NtAllocateVirtualMemory", "NtQueryPerformanceCounter")
SUBJECTS = (*EXPORTS, "none", "exceptions", "threads")
LAST = "NtTerminateProcess"
# Its exit status: a raw NtTerminateProcess gives the one, an ordinary exit after that call the other.
BY_RAW_CALL, BY_EXPORT = 42, 43

TALLY = re.compile(r"raw: (raw|export) (\w+) ntdll (\d+) linux (\d+) wrong (\d+) first (?:0x)?([0-9a-f]+)"
                   r"(?: ticks (\d+) (\d+) (\d+))?$")
NUMBER = re.compile(r"raw: number (\w+) (0x[0-9a-f]+|0)$")
FILE = re.compile(r"raw: file (-?\d+) of (\d+)$")
CAME_BACK = re.compile(rf"raw: raw {LAST} came back (?:0x)?([0-9a-f]+)$")
STATUS = re.compile(r"wine: ended with status (\d+)$")
VERSION = re.compile(r"wine: kernel (\S+)$")
BEGIN = re.compile(r"wine: begin \S+$")
# Each tells of its first, with samples/wine/ntdll-direct.patch.
SIGSYS = re.compile(r"wine: processes with SIGSYS (\d+)$")

# What may be expected: in other words.
EXPECTED = {"ntdll": "ntdll.so", "signal": "ntdll.so, by SIGSYS", "direct": "ntdll.so, without a SIGSYS", "linux": "Linux"}


class Broken(Exception):
    """The set-up does not work, so the run cannot be judged."""


def answer(result):
    """A result as text."""
    if result >= 1 << 63 and (1 << 64) - result < 4096:
        number = (1 << 64) - result
        return f"-{errno.errorcode.get(number, number)}"
    return f"{result:#x}"


def read_runs(path, count):
    """A guest's output, in a part for each run of the program. The first part begins with the boot."""
    lines = judge.read_lines(os.path.join(path, "console.log"), "the console")
    begins = [i for i, line in enumerate(lines) if BEGIN.match(line)][1:]
    parts = [lines[i:j] for i, j in zip([0, *begins], [*begins, len(lines)])]
    return parts + [[]] * (count - len(parts))


class Run:
    """A guest's output in one run of the program."""

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
        return next((m for m in map(pattern.match, self.lines) if m), None)

    def check_setup(self):
        """Check that there is a Wine and that Windows programs run in it."""
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

    def result(self, what, good, why):
        if good:
            self.passed += 1
        else:
            self.failures.append(f"{what}: {why}")

    def check_calls(self):
        """Check that each raw call reached the expected server, in the expected way."""
        server = self.server
        for subject in SUBJECTS:
            match = self.tallies.get(("raw", subject))
            if not match:
                self.result(subject, False, "no result")
                continue
            ntdll, linux, wrong = (int(match[i]) for i in (3, 4, 5))
            self.result(subject, wrong == 0 and (ntdll > 0) == (server == "ntdll") and (linux > 0) == (server == "linux"),
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
        self.result("the guest", "wine: done" in self.lines, "it did not come to its end")

    def table(self):
        """The table of the calls, the servers that they reached, and their times."""
        yield (f"{'call':26} {'number':>7} {'calls':>6} {'ntdll':>6} {'Linux':>6}  {'answer':12}"
               f" {'ticks':>9} {'(least, most)':>18} {'by export':>9}")
        for subject in SUBJECTS:
            match = self.tallies.get(("raw", subject))
            if not match:
                continue
            counts = [int(match[i]) for i in (3, 4, 5)]
            number = {"none": 0xfff}.get(subject, self.numbers.get(subject))
            export = self.tallies.get(("export", subject))
            yield (f"{subject:26} {'' if number is None else hex(number):>7} {sum(counts):6} {counts[0]:6} {counts[1]:6}"
                   f"  {answer(int(match[6], 16)):12} {match[7] or '':>9} {f'({match[8]}, {match[9]})' if match[8] else '':>18}"
                   f" {export[7] if export else '':>9}").rstrip()
        match, back = self.found(STATUS), self.found(CAME_BACK)
        if match:
            by_raw_call = match[1] == str(BY_RAW_CALL)
            what = answer(int(back[1], 16)) if back else "the end" if by_raw_call else "none"
            yield (f"{LAST:26} {hex(self.numbers.get(LAST, 0)):>7} {1:6} {int(by_raw_call):6} {int(bool(back)):6}  {what}")

    def excerpt(self):
        """The end of the output, which helps to find the cause."""
        said = [line for line in self.lines if line.strip()]
        return said[-15:]


def side_by_side(runs):
    """The ticks of the CPU's counter that the calls took in each run of one boot: median, least and most."""
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
    """Judge the runs in a directory, {run: [expectation of each run of the program]}. Returns the exit status."""
    passed = failed = 0
    for name, ways in expected.items():
        good, bad = verdict_of(directory, name, ways, splats)
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def verdict_of(directory, run_name, ways, splats):
    """Judge one run; returns how many subjects passed and failed."""
    passed = failed = 0
    parts = read_runs(os.path.join(directory, run_name), len(ways))
    if len(parts) > len(ways):
        raise core.Error(f"{run_name}: the program ran {len(parts)} times, and {len(ways)} were to be")
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
            print(f"BROKEN: {name}: {why}. The set-up does not work; that says nothing of the feature.",
                  *(f"The kernel: {what}" for what, _ in run.splats),
                  f"The end of {directory}/{run_name}/console.log:", *run.excerpt(), sep="\n    ")
            continue
        run.check_calls()
        for line in run.failures:
            print(f"FAILED: {name}: {line}")
        if not run.failures:
            print(f"as it should be: {run.passed} subjects")
        passed, failed = passed + run.passed, failed + len(run.failures)
        runs.append(run)
    head, *rows = side_by_side(runs)
    if len(runs) > 1 and rows:
        print(f"== {run_name}: side by side", head, *rows, sep="\n")
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description="Judge what a Windows program's own system calls came to.")
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
            parser.error(f"{word}: what is to be expected, {', '.join(EXPECTED)}?")
    return verdict(options.runs, expected, options.splats)
