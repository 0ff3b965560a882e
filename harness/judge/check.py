# SPDX-License-Identifier: GPL-2.0
"""Run the steps of harness/judge/steps.tsv: the full proof, or only the steps that are named.

Without a name, every step runs; with QUICK=1, the quick ones. With names, only
these steps and the steps that they need run; the results of other steps stay.
"list" prints the steps. If a step fails, only the steps that need it do not run.

If the last line of a step's output is "N passed, N failed[, N skipped]", these
are its figures. Otherwise the step counts as one passed or failed. If the command
fails, at least one failure is counted. If everything in a step is skipped, the
steps that need it are skipped as well. build/<base>/check/ has

  results.tsv   step, passed, failed, skipped, seconds
  STEP.log      the output
  STEP/         the files of the step's guests, with QEMU's command in qemu.sh

build/<base>/check-seconds.tsv has how long each step took when it last ran. The last
line of the output is the sum of all steps that ran.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

from harness import core

ROOT = core.ROOT

BUILD = core.BUILD
OUT = core.built("check")
RESULTS = OUT / "results.tsv"
SECONDS = core.built("check-seconds.tsv")

GROUPS = ("kernel", "guests", "documentation", "harness")
# The lanes of a phase run at the same time.
PHASES = (("first",), ("build", "run"), ("last",))
LANES = sum(PHASES, ())

SUM = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")
SKIP = re.compile(r"(?:untested: \S+|skipped: (?:(\d+) of \S+|.*)): (.*)")
FAILURE = re.compile(r"FAILED|NOT OK:|error:")
# Lines by which long steps report their progress.
PROGRESS = re.compile(r"\* |    \d")

# The caller's variables that a step must not see: only the table configures its guests.
HIDDEN = set("QEMU_CPU QEMU_ARGS APPEND MEM SMP ACCEL SLOW PROG ARGS FILES CONFIG SAYS OUT TIMEOUT QUICK STEP".split())


class Step:
    """One row of the table, and its results: COUNTS are the passed, failed and skipped, None before it has ended.

    CULPRIT is the name of the failed step that keeps it from running.
    """

    def __init__(self, name, group, lane, when, needs, command):
        self.name, self.group, self.lane, self.quick = name, group, lane, when == "quick"
        self.needs = [] if needs == "-" else needs.split()
        self.command = command
        self.log = OUT / f"{name}.log"
        self.began = self.counts = self.culprit = None
        self.ended = False

    def failed(self):
        return not self.counts or self.counts[1] > 0

    def skipped(self):
        return bool(self.counts) and self.counts[:2] == (0, 0) and self.counts[2] > 0

    def output(self):
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    def again(self):
        """The command that repeats the step, on the same sources."""
        same = [f"{name}={os.environ[name]}" for name in ("BASE", "KERNEL_SRC", "BUILD") if os.environ.get(name)]
        return "again: " + shlex.join(["make", "check", f"STEP={self.name}", *same])


def read_steps(path):
    """{name: Step} of a table of steps, in its order. Raises an Error if a row makes no sense."""
    steps = {}
    for where, fields in core.rows(path, "name", "group", "lane", "when", "needs", "command"):
        step = Step(*fields)
        for field, known in ((step.group, GROUPS), (step.lane, LANES), (fields[3], ("quick", "full"))):
            if field not in known:
                raise core.Error(f"{where}: '{field}' is none of {', '.join(known)}")
        for name in step.needs:
            if name not in steps or LANES.index(steps[name].lane) > LANES.index(step.lane):
                raise core.Error(f"{where}: {step.name} needs {name}, which is not above it, or in a later lane")
            if step.quick and not steps[name].quick:
                raise core.Error(f"{where}: {step.name} is quick, but needs {name}, which is not")
        if step.name in steps:
            raise core.Error(f"{where}: a second row for {step.name}")
        steps[step.name] = step
    return steps


def read_numbers(path):
    """{first field: the other fields} of a table that an earlier check has written."""
    return {row[0]: [int(field) for field in row[1:]] for _, row in core.rows(path)} if path.exists() else {}


def write_numbers(path, table):
    path.write_text("".join("\t".join(map(str, (name, *row))) + "\n" for name, row in table.items()), encoding="utf-8")


def duration(seconds):
    """The text for a number of seconds."""
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"


def list_steps(steps, seconds):
    """The table that "list" prints. SECONDS: {name: [the seconds that it took the last time]}."""
    lines = [f"{'step':<30} {'group':<14} {'QUICK=1':<8} last time"]
    lines += [f"{s.name:<30} {s.group:<14} {'yes' if s.quick else 'no':<8} "
              f"{duration(*seconds[s.name]) if s.name in seconds else '-'}" for s in steps.values()]
    return "\n".join(lines)


def choose(steps, names, seconds):
    """The steps to run, in the order of the table. Raises an Error if a name is unknown."""
    if not names:
        return [s for s in steps.values() if s.quick or not os.environ.get("QUICK")]
    unknown = [name for name in names if name not in steps]
    if unknown:
        raise core.Error(f"unknown step {', '.join(unknown)}. These are the steps:\n{list_steps(steps, seconds)}")
    wanted = set(names)
    for step in reversed(steps.values()):
        if step.name in wanted:
            wanted.update(step.needs)
    return [s for s in steps.values() if s.name in wanted]


class Check:
    """The steps that run, and their progress."""

    def __init__(self, steps, results, seconds):
        self.steps, self.results, self.seconds = steps, results, seconds
        self.named = {s.name: s for s in steps}
        self.started, self.running = 0, set()
        self.changed = threading.Condition()    # it also guards the output and the tables

    def left(self):
        """A text with the time left, if every step takes as long as the last time."""
        now, ends = time.monotonic(), {}
        for lanes in PHASES:
            free = dict.fromkeys(lanes, max(ends.values(), default=0))
            for step in (s for s in self.steps if s.lane in lanes):
                rest = 0 if step.ended else self.seconds.get(step.name, [0])[0]
                if step.began:
                    rest = max(0, rest - (now - step.began))
                free[step.lane] = ends[step.name] = rest + max(free[step.lane], *(ends[n] for n in step.needs), 0)
        left = round(max(ends.values()))
        known = all(s.ended or s.name in self.seconds for s in self.steps)
        return f" ({'about' if known else 'at least'} {duration(left)} left)" if left else ""

    def say(self, step, text, count=""):
        """Print a line about a step, with its lane."""
        with self.changed:
            print(f"{count:>7} {step.lane:<5}  {text}", flush=True)

    def walk(self, lane):
        """Run the steps of a lane, each after the steps that it needs have ended."""
        mine = [s for s in self.steps if s.lane == lane]
        try:
            for step in mine:
                needs = [self.named[name] for name in step.needs]
                with self.changed:
                    self.changed.wait_for(lambda: all(n.ended for n in needs))
                    self.started += 1
                    count = f"[{self.started}/{len(self.steps)}]"
                    step.culprit = next((n.culprit or n.name for n in needs if n.failed()), None)
                    missing = next((n for n in needs if n.skipped()), None)
                    if step.culprit:
                        self.say(step, f"{step.name}: not run, as {step.culprit} failed", count)
                    elif missing:
                        self.say(step, f"{step.name}: skipped, as {missing.name} was", count)
                        self.skip(step, missing)
                    else:
                        self.say(step, step.name + self.left(), count)
                if not step.culprit and not missing:
                    self.run(step)
                with self.changed:
                    step.ended = True
                    self.changed.notify_all()
        finally:
            # If this lane fails, the others must not wait for its steps.
            with self.changed:
                for step in mine:
                    step.ended = True
                self.changed.notify_all()

    def skip(self, step, missing):
        """Count a step as skipped, for the reason of a step that it needs."""
        step.log.write_text("\n".join([line for line in missing.output() if SKIP.fullmatch(line)][:1]) + "\n", encoding="utf-8")
        step.counts = (0, 0, 1)
        self.results[step.name] = [*step.counts, 0]
        write_numbers(RESULTS, self.results)

    def run(self, step):
        """Run the command of a step, and record its figures and its time."""
        nice = ["nice", "-n", "10"] if step.lane == "build" else []
        env = {name: value for name, value in os.environ.items() if name not in HIDDEN}
        with self.changed:
            step.began = time.monotonic()
            shell = subprocess.Popen(
                [*nice, "bash", "-euo", "pipefail", "-c", f"LOGS=$0; {step.command}", OUT / step.name],
                cwd=ROOT, env={**env, "BUILD": str(BUILD)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True)
            self.running.add(shell)
        with open(step.log, "wb", buffering=0) as log:
            for line in shell.stdout:
                log.write(line)
                text = line.decode(errors="replace").rstrip()
                if PROGRESS.match(text):
                    self.say(step, f"  {text}")
        status = shell.wait()
        took = round(time.monotonic() - step.began)
        lines = step.output()
        counted = SUM.fullmatch(lines[-1] if lines else "")
        passed, failed, skipped = (int(n or 0) for n in (counted.groups() if counted else (status == 0, 0, 0)))
        if status and not failed:
            failed = 1
        with self.changed:
            self.running.remove(shell)
            step.counts = (passed, failed, skipped)
            self.results[step.name] = [*step.counts, took]
            self.seconds[step.name] = [took]
            write_numbers(RESULTS, self.results)
            write_numbers(SECONDS, self.seconds)
            self.say(step, f"{step.name}: {passed} passed, {failed} failed, {skipped} skipped ({duration(took)})")
            if failed:
                print(f"--- the end of {core.shown(step.log)}:", *lines[-40:], "---", sep="\n")
                self.say(step, step.again())
                for command in sorted((OUT / step.name).glob("**/qemu.sh")):
                    self.say(step, f"QEMU's command: {core.shown(command)}")

    def all(self):
        """Run the steps, phase by phase. If this is interrupted, end the steps that run."""
        try:
            for lanes in PHASES:
                threads = [threading.Thread(target=self.walk, args=(lane,), daemon=True) for lane in lanes]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        finally:
            # Held until the end, so that no lane starts another step.
            self.changed.acquire()
            for shell in self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGTERM)

    def tell_failures(self):
        """Print the first failures of each step, because often only the end of a long output is read."""
        for step in self.steps:
            if not step.counts:
                print(f"NOT RUN: {step.name}" + (f", as {step.culprit} failed" if step.culprit else ""))
            elif step.failed():
                print(f"FAILED in {step.name} ({core.shown(step.log)}; {step.again()}):")
                for line in [text for text in step.output() if FAILURE.match(text)][:5] or step.output()[-3:]:
                    print(f"    {line}")

    def tell_skips(self):
        """Print the reasons of the skips, and how often each occurred."""
        reasons = collections.Counter()
        for step in (s for s in self.steps if s.counts and s.counts[2]):
            told = collections.Counter()
            for match in filter(None, map(SKIP.fullmatch, step.output())):
                told[match[2]] += int(match[1] or 1)
            reasons += told
            reasons["no reason given"] += max(0, step.counts[2] - told.total())
        for reason, count in (+reasons).most_common():
            print(f"{count:>7} skipped: {reason}")

    def summary(self):
        """Print the table by group; returns the sums [passed, failed, skipped]."""
        def row(name, *groups):
            steps = [s for s in self.steps if s.counts and s.group in groups]
            counts = [sum(s.counts[i] for s in steps) for i in range(3)]
            print("{:<20} {:>6} {:>7} {:>7} {:>8}".format(name, len(steps), *counts))
            return counts

        print("\n{:<20} {:>6} {:>7} {:>7} {:>8}".format("", "steps", "passed", "failed", "skipped"))
        for group in GROUPS[:-1]:
            row(group, group)
        row("without the harness", *GROUPS[:-1])
        row(GROUPS[-1], GROUPS[-1])
        return row("all", *GROUPS)


def clear(path):
    """Remove a file or a directory, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description="Run the steps of the proof.")
    parser.add_argument("names", nargs="*", metavar="STEP", help="run only these, and their needs; or: list")
    parser.add_argument("--steps", type=pathlib.Path, default=ROOT / "harness/judge/steps.tsv", metavar="FILE")
    options = parser.parse_args()
    begin = time.monotonic()
    steps, seconds = read_steps(options.steps), read_numbers(SECONDS)
    if options.names == ["list"]:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        print(list_steps(steps, seconds))
        return 0
    chosen = choose(steps, options.names, seconds)

    core.lock("check")
    # Results of an earlier run must not count for this one.
    if not options.names:
        clear(OUT)
    OUT.mkdir(parents=True, exist_ok=True)
    results = read_numbers(RESULTS)
    for step in chosen:
        results.pop(step.name, None)
        clear(step.log)
        clear(OUT / step.name)
    write_numbers(RESULTS, results)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A signal that the caller ignores stays ignored; nohup, for instance, ignores SIGHUP.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    check = Check(chosen, results, seconds)
    check.all()
    check.tell_failures()
    counts = check.summary()
    check.tell_skips()
    failed = any(s.failed() for s in chosen)
    print(f"\n{core.shown(RESULTS)} has the figures. The check took {duration(round(time.monotonic() - begin))}.")
    print(f"{'FAIL' if failed else 'PASS'} ({len(chosen)} of {len(steps)} steps)")
    print("{} passed, {} failed, {} skipped".format(*counts))
    return failed
