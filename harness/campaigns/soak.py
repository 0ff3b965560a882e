# SPDX-License-Identifier: GPL-2.0
"""Run the soak programs, for each ABI, on a kernel that checks itself.

First all programs run at the same time with little memory, then with allocations that fail, then beside some stressors of
stress-ng. At the end the kernel looks for leaks. With --quick they run on the kernel of make run, without failing
allocations and leaks, and nothing goes to results/. With --latency, cyclictest runs first alone and then beside all of them, with
a real-time priority. Its times are printed. They hold for this machine and its load only.

The results come from the verdict, which harness/guest/inside/soak writes to the second serial port. The console is only
searched for errors that the kernel reports. A run without an end, a missing or wrong total, and a missing search for leaks
count as failures. build/<base>/soak/ keeps the guest's output.

Environment: SOAK_SECONDS (60), the run time of each program; SOAK_SEED (the current time), the random seed;
KERNEL_IMAGE, an existing kernel.
"""

import argparse
import os
import pathlib
import re
import shutil
import time

from harness import core
from harness.build import proof
from harness.campaigns import campaign
from harness.judge import judge

SOAK = [f"soak_{abi}" for abi in campaign.ABIS]
OUT = core.built("soak")

# The stressors of stress-ng for system-call entry, signals, and the begin and end of threads and processes. Its
# stressor exec refuses to run as root; the soak's workers call exec instead.
STRESSORS = ("prctl seccomp ptrace clone fork vfork kill sigabrt sigchld sigfd sigpending sigq sigrt sigsegv "
             "sigsuspend sigtrap").split()
# The program takes all memory that the kernel says is available: a larger watermark leaves some for the kernel. The
# judge needs warnings on the console. RCU must not warn about a CPU that a busy host keeps waiting. Without slab
# merging, each kind of object can be counted.
WORDS = "sysctl.vm.watermark_scale_factor=200 loglevel=7 slab_nomerge rcupdate.rcu_cpu_stall_timeout=180"
# Little memory, so that pages are swapped out.
MEMORY = {"plain": "256M", "faults": "512M"}

# Totals that must be 0 in each mode, and totals that may be 0. All others must not be 0.
ZERO = {"plain": {"lost", "doubled", "wrong", "without-siginfo", "sigsys-without-siginfo"},
        "faults": {"lost", "doubled", "wrong"}}
MAY_BE_ZERO = {"interrupted", "failed"}

# The runs of cyclictest.
LATENCY = ("latency alone", "latency beside the load")

# The columns of the table, and the totals that they show.
COLUMNS = (("threads", "threads"), ("calls", "made"), ("dispatched", "dispatched"), ("lost", "lost"), ("doubled", "doubled"),
           ("without siginfo", "without-siginfo"), ("swapped out", "swapped"), ("killed", "killed"),
           ("traced", "traced"), ("exec'ed", "exec-self"))
TOTALS = ("threads", "made", "dispatched", "ran", "without-siginfo", "interrupted", "lost", "doubled", "exempt", "swapped",
          "rearmed", "fork", "vfork", "clone", "thread", "exec-child", "exec-self", "flooded",
          "sigsys-without-siginfo", "sigusr1", "killed", "traced", "ptrace-get", "ptrace-set", "syscall-stops",
          "failed", "wrong")


class Run:
    """The output of one program."""

    def __init__(self, name):
        self.name = name
        self.status = None
        self.lines = []

    def totals(self):
        """{total: its text} of the output."""
        found = {}
        for line in self.lines:
            match = re.fullmatch(r"([a-z0-9-]+)\t(\d+|ok|failed)", line)
            if match:
                found[match[1]] = match[2]
        return found


def split(lines, nonce, report):
    """({name: run}, lines outside of the runs). Each run must have an end."""
    runs, outside, run = {}, [], None
    for line in lines:
        begin = re.fullmatch(r"soak: begin (.+)", line)
        end = re.fullmatch(r"soak: end (.+) (\d+)", line)
        if begin:
            run = runs[begin[1]] = Run(begin[1])
        elif end and run and end[1] == run.name:
            run.status, run = int(end[2]), None
        elif run:
            run.lines.append(line)
        else:
            outside.append(line)
    if f"guest: begin {nonce}" not in outside:
        report.fail("the verdict has no begin: the guest did not come up")
    if f"guest: end {nonce} status 0" not in outside:
        report.fail("the verdict has no end with status 0: the guest hung, or failed", lines[-20:])
    return runs, outside


def judge_totals(run, mode, report):
    """Check that each total is there and correct. Returns {total: value}."""
    totals = run.totals()
    if run.status != 0 or totals.get("result") != "ok":
        report.fail(f"{run.name}: status {run.status}, result {totals.get('result', 'missing')}", run.lines)
    values = {}
    for name in TOTALS:
        if not totals.get(name, "").isdigit():
            report.fail(f"{run.name}: no total of {name}", run.lines)
            continue
        value = values[name] = int(totals[name])
        if name in MAY_BE_ZERO or (value == 0) == (name in ZERO[mode]):
            report.add(f"{run.name}: {name}", "pass")
        else:
            report.fail(f"{run.name}: {name} is {value}", run.lines)
    if len(values) == len(TOTALS):
        accounted = sum(values[n] for n in ("dispatched", "ran", "without-siginfo", "interrupted", "lost"))
        if values["made"] + values["doubled"] != accounted:
            report.fail(f"{run.name}: {values['made']} calls were made, {accounted} are accounted for")
        else:
            report.add(f"{run.name}: balance", "pass")
    return values


def judge_leaks(outside, report):
    """The number of leaks, or None if there was no search."""
    slabs = [re.fullmatch(r"soak: slab (\S+) (\d+) (\d+) (\d+)", line) for line in outside]
    slabs = {m[1]: (int(m[2]), int(m[3]), int(m[4])) for m in slabs if m}
    leaks = 0
    for cache in ("sigqueue", "task_struct", "mm_struct"):
        if cache not in slabs:
            report.fail(f"{cache} was not counted", outside[-20:])
            leaks = None
            continue
        before, after, slack = slabs[cache]
        if after > before + slack:
            report.fail(f"{cache}: {before} objects before, {after} after, {slack} more are allowed")
            if leaks is not None:
                leaks += after - before - slack
        else:
            report.add(f"slab {cache}", "pass")
    found = [m for m in (re.fullmatch(r"soak: unreferenced (\d+)", line) for line in outside) if m]
    if not found:
        report.fail("kmemleak made no scan")
        return None
    if found[0][1] != "0":
        report.fail(f"kmemleak found {found[0][1]} objects", [l for l in outside if not l.startswith(("soak", "guest"))])
    else:
        report.add("kmemleak", "pass")
    return None if leaks is None else leaks + int(found[0][1])


def judge_stress(runs, stressors, report):
    """Check that each stressor ran and succeeded."""
    for stressor in stressors:
        run = runs.get(f"stress {stressor}")
        if run is None or run.status is None:
            report.fail(f"stress-ng --{stressor} has no end", run.lines if run else ())
        elif run.status:
            report.fail(f"stress-ng --{stressor} ended with status {run.status}", run.lines)
        elif not any("successful run completed" in line for line in run.lines):
            # stress-ng exits with status 0 if it skips a stressor.
            report.fail(f"stress-ng --{stressor} did nothing", run.lines)
        else:
            report.add(f"stress {stressor}", "pass")


def judge_latency(runs, report):
    """Print how late cyclictest's threads woke up, alone and beside the load."""
    for name in LATENCY:
        run = runs.get(name)
        rows = [re.search(r"^T: *(\d+) .* C: *(\d+) Min: *(\d+) .*Avg: *(\d+) Max: *(\d+)", line) for line in run.lines] if run else []
        rows = [match.groups() for match in rows if match]
        if not rows or run.status or any(cycles == "0" for _, cycles, *_ in rows):
            report.fail(f"{name}: cyclictest failed", run.lines if run else ())
            continue
        report.add(name, "pass")
        for number, cycles, least, average, most in rows:
            print(f"{name}, thread {number}: {cycles} wake-ups, late by {least} us at least, {average} on average, {most} at most")


def judge_soak(directory, configuration, faults, seconds, stressors, latency):
    """Judge the guest's output in DIRECTORY, write soak.tsv there, and print the errors. Returns the exit status."""
    report = judge.Report()
    nonce, = judge.read_lines(directory / "nonce", "the nonce")[:1]
    verdict = judge.read_lines(directory / "verdict.log", "the verdict")
    console = judge.read_lines(directory / "console.log", "the console")
    runs, outside = split(verdict, nonce, report)
    leaks = judge_leaks(outside, report) if faults else None
    rows = []
    for mode in ("plain", "faults") if faults else ("plain",):
        for abi in campaign.ABIS:
            run = runs.get(f"{mode} {abi}")
            if run is None or run.status is None:
                report.fail(f"{mode} {abi} has no end", run.lines if run else ())
                continue
            values = judge_totals(run, mode, report)
            rows.append((configuration, abi, mode, seconds, *(values.get(total, "-") for _, total in COLUMNS),
                         "-" if leaks is None else leaks))
    judge_stress(runs, stressors, report)
    if latency:
        judge_latency(runs, report)
    judge.judge_console(console, judge.read_splats(judge.SPLAT_LIST, judge.lacks_of(configuration)), report)

    head = ("kernel", "abi", "mode", "seconds", *(c for c, _ in COLUMNS), "leaks")
    campaign.write(directory / "soak.tsv", "# Made by: make soak", f"# {campaign.row(head)}", *map(campaign.row, rows))
    campaign.tell(report.failures, 40)
    print(f"{report.count('pass')} passed, {len(report.failures)} failed")
    return 1 if report.failures or not report.results else 0


def soak(configuration, mode, seconds, seed, latency):
    """Run all of it in one guest."""
    campaign.begin("soak")
    core.run("setup", "--soak", *(["--latency"] if latency else []))
    core.run("setup", "--abis")
    kernel = os.environ.get("KERNEL_IMAGE") or campaign.image(configuration)
    proof.build(*SOAK)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    # The script runs cyclictest if it finds it.
    programs = [core.HARNESS / "guest" / "inside" / "soak", shutil.which("stress-ng"), *([shutil.which("cyclictest")] if latency else []),
                *map(proof.path, SOAK)]
    core.run("pack", "--out", OUT / "initrd.cpio.gz", *(word for program in programs for word in ("--prog", program)),
             "--", "./soak", seconds, seed, mode, *STRESSORS)
    with core.step(f"Soaking {configuration}, seed {seed}: {seconds} s for each program"):
        campaign.guest(kernel, OUT / "initrd.cpio.gz", "run", OUT, 1800 + int(seconds) * 40, WORDS, MEM=MEMORY[mode])


def main():
    parser = argparse.ArgumentParser(prog="harness/do soak", description="Soak a kernel, and look for leaks.")
    parser.add_argument("--quick", action="store_true", help="on the kernel of make run, without faults and leaks")
    parser.add_argument("--latency", action="store_true", help="run cyclictest beside them")
    parser.add_argument("--runs", type=pathlib.Path, metavar="DIR", help="only judge what a guest left there")
    parser.add_argument("--stressors", default=" ".join(STRESSORS), help="for these: of stress-ng, with blanks")
    options = parser.parse_args()
    configuration, mode = ("x86_64", "plain") if options.quick else ("lockdep", "faults")
    seconds, seed = os.environ.get("SOAK_SECONDS") or "60", os.environ.get("SOAK_SEED") or str(int(time.time()))
    if not re.fullmatch(r"[1-9][0-9]{0,4}", seconds):
        raise core.Error(f"SOAK_SECONDS={seconds} is not a number of seconds from 1 to 99999")
    if not re.fullmatch(r"[0-9]+", seed):
        raise core.Error(f"SOAK_SEED={seed} is not a number")
    if not options.runs:
        soak(configuration, mode, seconds, seed, options.latency)
    status = judge_soak(options.runs or OUT, configuration, not options.quick, seconds, options.stressors.split(), options.latency)
    if not (status or options.runs or options.quick):
        shutil.copy(OUT / "soak.tsv", campaign.RESULTS)
    return status
