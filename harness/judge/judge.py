# SPDX-License-Identifier: GPL-2.0
"""Judge one run of the kselftests in the guest.

The results come from the verdict, which the guest writes to its second serial
port. The console is only searched for errors that the kernel reports. A test
without a result, a plan that is not met and a missing end count as failures.

The properties that a run lacks decide which tests must be skipped, and which lines on the console
are no errors. They are in the head of its configuration ("# lacks:") and, by CPU model, in cpus.tsv.
"""

import argparse
import fnmatch
import re

from harness import core
from harness.build import configurations

SKIP_LIST = core.HARNESS / "judge" / "skips.tsv"
SPLAT_LIST = core.HARNESS / "judge" / "splats.tsv"
CPU_LIST = core.HARNESS / "judge" / "cpus.tsv"

# Console lines with which a kernel reports an error. The exceptions are in splats.tsv.
SPLATS = re.compile(
    r"WARNING:|BUG:|\bBUG at\b|\bOops\b|kernel BUG|Kernel panic|general protection|"
    r"Call Trace:|unable to handle|UBSAN:|KASAN:|KCSAN:|KMSAN:|KFENCE:|kmemleak: (?!Kernel memory leak detector initialized)|"
    r"INFO: .*(stall|blocked for more|lockdep|suspicious|possible|inconsistent)|"
    r"possible (circular|recursive|irq lock inversion)|suspicious RCU|rcu: .*(stall|detected)|"
    r"inconsistent lock state|bad unlock balance|held lock freed|lock held when returning|"
    r"sleeping function called|scheduling while atomic|soft lockup|hard LOCKUP|"
    r"refcount_t:|stack-protector:|double fault|invalid opcode|divide error|"
    r"Out of memory:|list_(add|del) corruption|Bad page state|nobody cared|------------\[ cut here")

OUTER = re.compile(r"(not )?ok (\d+) selftests: (\S+): (\S+)(?: # (.*))?$")
INNER = re.compile(r"(not )?ok (\d+)(?: (?!#)(.*?))?(?: ?# ?(SKIP|XFAIL|TODO|error)\b ?(.*))?$", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(\d+)(?: # ?SKIP ?(.*))?$")
RUN = re.compile(r"#  RUN {11}(\S+) \.\.\.$")
RULES = re.compile(r"(?:[A-Z]\d+_)+")


class Report:
    """The results of the tests, and the failures with the lines that explain them."""

    def __init__(self):
        self.results = []       # (program:test, "pass" | "fail" | "skip", reason)
        self.failures = []      # (failure, [lines that explain])
        self.tests = {}         # failure -> program:test, if the failure is of a test

    def add(self, name, result, reason=""):
        """Add the result of a test. NAME is program:test, RESULT pass, fail or skip, REASON that of a skip."""
        self.results.append((name, result, reason))

    def fail(self, failure, lines=(), test=None):
        """Add a failure: its text, the lines that explain it, and program:test if it is of a test."""
        self.failures.append((failure, list(lines)))
        if test:
            self.tests[failure] = test

    def count(self, result):
        """The number of tests with this result."""
        return sum(1 for r in self.results if r[1] == result)


class Program:
    """The TAP output of one test program: feed() gets each line, finish() the runner's result."""

    def __init__(self, name, report):
        self.name, self.report = name, report
        self.plan = self.running = None
        self.number = 0
        self.bad = False
        self.lines = []         # printed since the last result: they explain a failure

    def fail(self, failure, lines=(), test=None):
        self.bad = True
        self.report.fail(f"{self.name}: {failure}", lines, test and f"{self.name}:{test}")

    def result(self, test, result, reason=""):
        self.report.add(f"{self.name}:{test}", result, reason)

    def feed(self, line):
        """Judge a line that the program printed."""
        plan = PLAN.match(line)
        run = RUN.match(line)
        if plan:
            if self.plan is not None:
                self.fail("the program printed a second plan")
            self.plan = int(plan[1])
            if plan[2] is not None and self.plan == 0:
                self.report.add(self.name, "skip", plan[2] or "unknown")
            elif self.plan == 0:
                self.fail("the program planned no tests")
        elif line.startswith("Bail out!"):
            self.fail(line, self.lines)
        elif run:
            if self.running is not None:
                self.fail(f"{self.running} has no result", self.lines, self.running)
            self.running, self.lines = run[1], []
        elif re.match(r"(not )?ok\b", line):
            self.test(line)
        else:
            self.lines.append(line)

    def test(self, line):
        """Judge a line with the result of a test."""
        match = INNER.match(line)
        if not match:
            self.fail(f"a result is not readable: {line}")
            return
        failed, number, name, directive, reason = match.groups()
        self.number += 1
        if int(number) != self.number:
            self.fail(f"expected result {self.number}, but got: {line}")
            self.number = int(number)
        # 5.10's kselftest_harness.h names a skipped test only in the RUN line before it.
        test = self.running or name or reason or f"test {number}"
        if self.running and name and name != self.running:
            self.fail(f"{self.running} was running, but the result is for {name}")
        if failed:
            self.result(test, "fail")
            self.fail(f"{test} failed", self.lines, test)
        elif directive and directive.upper() == "SKIP":
            self.result(test, "skip", reason or "unknown")
        elif directive:
            self.result(test, "fail")
            self.fail(f"{test}: {directive} does not count as passed", self.lines, test)
        else:
            self.result(test, "pass")
        self.running, self.lines = None, []

    def cut_off(self):
        """The program has no result of the runner: the verdict continues with another program, or ends."""
        where = f" in {self.running}" if self.running else ""
        self.fail(f"stopped{where}, the runner has no result for it", self.lines, self.running)

    def finish(self, failed, remark):
        """Judge the runner's own result for the program. REMARK is the text after its #."""
        if self.running is not None:
            self.fail(f"{self.running} has no result", self.lines, self.running)
        if self.plan is None:
            self.fail("the program printed no plan", self.lines)
        elif self.number != self.plan:
            self.fail(f"{self.plan} tests were planned, but there are {self.number} results")
        if failed and (not self.bad or not re.match(r"exit=1$", remark or "")):
            self.fail(f"the program failed ({explain(remark)})", self.lines)
        elif not failed and remark and remark != "SKIP":
            self.fail(f"the runner added an unknown remark: {remark}")
        elif not failed and remark and self.plan != 0:
            self.fail("the runner reports a skip, but the program did not skip")


def explain(remark):
    """The runner's remark about a failed program, with the signal that killed it."""
    match = re.match(r"exit=(\d+)$", remark or "")
    status = int(match[1]) if match else 0
    return f"{remark}: killed by signal {status - 128}" if status > 128 else remark or "no reason given"


def judge_verdict(lines, nonce, report):
    """Split the verdict into collections and programs. Every line must belong to one."""
    begin, end = f"guest: begin {nonce}", f"guest: end {nonce} status "
    state, program, planned, done = "before", None, None, 0
    programs, outside = 0, []

    def close_collection():
        if program is not None:
            program.cut_off()
        if state != "inside":
            return
        if planned is None:
            report.fail("the runner printed no plan")
        elif planned == 0:
            report.fail("the runner planned no tests")
        elif done != planned:
            report.fail(f"the runner planned {planned} programs, but there are {done} results")

    for line in lines:
        outer = OUTER.match(line)
        if line.startswith("guest: "):
            if line == begin and state == "before":
                state = "begun"
            elif line.startswith(end) and state in ("begun", "inside"):
                close_collection()
                program, state = None, "ended"
                if line != end + "0":
                    report.fail(f"the runner ended with status {line[len(end):]}")
            else:
                report.fail(f"the verdict has a forged or misplaced line: {line}")
        elif state in ("before", "ended"):
            outside.append(line)
        elif line == "TAP version 13":
            close_collection()
            program, planned, done, state = None, None, 0, "inside"
        elif PLAN.match(line):
            if planned is not None:
                report.fail("the runner printed a second plan")
            planned = int(PLAN.match(line)[1])
        elif re.match(r"# selftests: \S+: \S+$", line):
            if program is not None:
                program.cut_off()
            program = Program(line.split()[-1], report)
        elif outer:
            failed, number, _, name, remark = outer.groups()
            done += 1
            programs += 1
            if int(number) != done:
                report.fail(f"expected the runner's result {done}, but got: {line}")
            if program is None or program.name != name:
                report.fail(f"the runner has a result for a program that it did not start: {line}")
            else:
                program.finish(bool(failed), remark)
            program = None
        elif line.startswith("#") and program is not None:
            program.feed(line[2:])
        else:
            report.fail(f"the verdict has a line that is not TAP: {line}")
    if outside:
        report.fail(f"the verdict has {len(outside)} lines before its begin or after its end; "
                    f"the first is: {outside[0]}")
    if state == "before":
        report.fail("the verdict has no begin: the guest did not come up")
    elif state != "ended":
        close_collection()
        report.fail("the verdict has no end: the guest hung, its kernel crashed, "
                    "or a process that a test left running blocked the runner")
    if not programs:
        report.fail("no program has a result")


def judge_console(lines, exceptions, report):
    """Report the first line with which the kernel reports an error, unless it matches one of the exceptions."""
    for number, line in enumerate(lines):
        if SPLATS.search(line) and not any(e.search(line) for e in exceptions):
            report.fail(f"console: {line.strip()}", (text.strip() for text in lines[number + 1:number + 6]))
            return      # the lines after a splat belong to it


def judge_skips(listed, report):
    """Check the skips against LISTED, {pattern: reason}. Returns a line of text for each pattern that was used."""
    counts = {}
    ran = {name.split(":")[0] for name, _, _ in report.results}
    for name, result, reason in report.results:
        rows = [pattern for pattern in listed if fnmatch.fnmatchcase(name, pattern)]
        if result == "skip" and not rows:
            report.fail(f"{name} was skipped and is not listed: {reason}", test=name)
        elif result != "skip" and rows:
            report.fail(f"{name} is listed as skipped ({rows[0]}), but it ran")
        elif rows:
            counts[rows[0]] = counts.get(rows[0], 0) + 1
    for pattern in listed:
        program = pattern.split(":")[0]
        if any(fnmatch.fnmatchcase(name, program) for name in ran) and \
           not any(fnmatch.fnmatchcase(name, pattern) for name, _, _ in report.results):
            report.fail(f"{pattern} is listed as skipped, but there is no such test")
    return [f"skipped: {count} of {pattern}: {listed[pattern]}" for pattern, count in counts.items()]


def read_lines(path, name):
    """The lines of an output of the guest, without CR. NAME is what an error calls the file."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as f:
            return f.read().replace("\r", "").split("\n")
    except OSError as error:
        raise core.Error(f"cannot read {name} {path}: {error.strerror}") from error


def lacks_of(configuration="", cpu=""):
    """The set of properties that a run lacks, by the name of its configuration and QEMU's name of its CPU."""
    lacks = configurations.lacks(configuration) if configuration else set()
    for _, (model, properties) in core.rows(CPU_LIST, "CPU", "properties"):
        if model == cpu.partition(",")[0]:
            lacks.update(properties.split())
    return lacks


def read_table(path, lacks):
    """{pattern: reason} of the rows for a run that lacks these properties. A row with "-" is for every run."""
    return {pattern: reason for _, (name, pattern, reason) in core.rows(path, "property", "pattern", "reason")
            if name in {"-", *lacks}}


def read_splats(path, lacks):
    """The patterns of console lines that are no error in a run that lacks these properties."""
    try:
        return [re.compile(pattern) for pattern in read_table(path, lacks)]
    except re.error as error:
        raise core.Error(f"{path}: {error.pattern}: {error}") from error


def rule_of(name):
    """The rules in a test's name: "A1 A2" for args_64:global.A1_A2_refused."""
    match = RULES.match(name.rsplit(".", 1)[-1].rsplit(":", 1)[-1])
    return match[0].strip("_").replace("_", " ") if match else "-"


def main():
    parser = argparse.ArgumentParser(description="Judge one run of the kselftests in the guest.")
    parser.add_argument("--configuration", default="", metavar="NAME", help="the kernel's configuration")
    parser.add_argument("--cpu", default="", metavar="MODEL", help="the CPU model, as QEMU names it")
    parser.add_argument("--lacks", default="", metavar="WORDS", help="more properties that the run lacks")
    parser.add_argument("--verdict", required=True, metavar="FILE")
    parser.add_argument("--console", required=True, metavar="FILE")
    parser.add_argument("--nonce", required=True)
    parser.add_argument("--skips", default=SKIP_LIST, metavar="FILE")
    parser.add_argument("--splats", default=SPLAT_LIST, metavar="FILE")
    parser.add_argument("--says", metavar="TEXT",
                        help="fail unless a line of the verdict ends in TEXT")
    parser.add_argument("--tests", metavar="FILE", help="write a line of rules, test and result for every test")
    options = parser.parse_args()
    if not re.fullmatch(r"\S+", options.nonce):
        raise core.Error("the nonce is empty or has blanks")

    report = Report()
    lacks = lacks_of(options.configuration, options.cpu).union(options.lacks.split())
    skips, exceptions = read_table(options.skips, lacks), read_splats(options.splats, lacks)
    verdict = read_lines(options.verdict, "the verdict")
    rest = verdict.pop()
    judge_verdict(verdict, options.nonce, report)
    if rest:
        report.fail(f"the verdict stops in the middle of a line: {rest}")
    if options.says and not any(line.endswith(options.says) for line in verdict):
        report.fail(f"no line of the verdict ends in: {options.says}")
    skipped = judge_skips(skips, report)
    judge_console(read_lines(options.console, "the console"), exceptions, report)

    if options.tests:
        with open(options.tests, "w", encoding="utf-8") as f:
            for name, result, _ in report.results:
                f.write(f"{rule_of(name)}\t{name}\t{result}\n")

    print("\n".join(skipped), end="\n" if skipped else "")
    for failure, lines in report.failures:
        print(f"FAILED: {failure}")
        for line in filter(None, lines[-20:]):
            print(f"    {line}")
    print(f"{report.count('pass')} passed, {len(report.failures)} failed, {report.count('skip')} skipped")
    return 1 if report.failures or not report.results else 0
