# SPDX-License-Identifier: GPL-2.0
"""Run the selftests on the kernel that runs here now, and print which rules of the contract it keeps.

Usage: harness/do host

No guest and no kernel is built. The tests change no setting of the machine: they run without privileges, as "nobody" if
this command runs as root. Tests that need privileges are skipped, and counted with their reasons. A kernel without the
series may break the rules that the guide marks as ours. If it breaks another rule, or a program hangs or stops early,
the exit status is 1.

BENCH=1 in the environment measures instead, in nanoseconds: calls of a thread that is not armed, exempt calls, allowed
calls, and each way to intercept a call. The program stays on one CPU, and runs a batch of each measure in turn. The
table has the median and the quartiles of all batches.
"""

import collections
import concurrent.futures
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import core
from harness.judge import judge, rules
from harness.source import base

PR_SET_SYSCALL_USER_DISPATCH = 59
# The time limit of one program, in seconds.
LIMIT = 120
MEASURES = {"unarmed": "a call of a thread that is not armed", "exempt": "an exempt call", "allow": "a call, selector at ALLOW",
            "sigsys": "a dispatched call, by SIGSYS", "direct": "a dispatched call, without a signal",
            "seccomp-allow": "a call, seccomp allows it", "seccomp-trap": "a call intercepted by SECCOMP_RET_TRAP",
            "seccomp-notify": "by SECCOMP_RET_USER_NOTIF", "ptrace-sysemu": "by PTRACE_SYSEMU"}
# Batches of each measure.
TURNS = 50
NOBODY = 65534
# The exit status of a kselftest that skips everything.
SKIPPED = 4


def has_feature():
    """Whether this kernel has Syscall User Dispatch: only then can it be turned off, even if it is off."""
    return ctypes.CDLL(None).prctl(PR_SET_SYSCALL_USER_DISPATCH, *[ctypes.c_long(0)] * 4) == 0


def run(path, report):
    """Run a test program, and add its results to a report; returns False if this kernel cannot execute it."""
    program, user = judge.Program(path.name, report), {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    try:
        done = subprocess.run([path], cwd=path.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=LIMIT, check=False, start_new_session=True, **user)
    except OSError:
        return False
    except subprocess.TimeoutExpired as expired:
        for line in (expired.stdout or b"").decode(errors="replace").splitlines():
            program.feed(line.removeprefix("TAP version 13"))
        program.cut_off()
        return True
    for line in done.stdout.splitlines():
        if line != "TAP version 13":
            program.feed(line)
    if done.returncode == SKIPPED:
        program.finish(False, "SKIP")
    else:
        program.finish(done.returncode != 0, f"exit={done.returncode % 256}" if done.returncode else None)
    return True


def judge_rules(known, report):
    """Print which rules are kept, and the unexpected failures; returns the exit status.

    KNOWN is {name: Rule}, REPORT a judge.Report.
    """
    results = collections.defaultdict(collections.Counter)
    for name, result, _ in report.results:
        names = [rule for rule in judge.rule_of(name).split() if rule in known]
        mine = [rule for rule in names if known[rule].kind == "ours"]
        # If a test of several rules fails, only our own rules count as broken.
        for rule in mine if result == "fail" and mine else names:
            # Other tests of direct dispatch pass on a kernel without it: they test that it is refused.
            if not rule.startswith("X") or name.startswith("direct_"):
                results[rule][result] += 1
    kept = [rule for rule in known if results[rule]["pass"] and not results[rule]["fail"]]
    broken = [rule for rule in known if results[rule]["fail"]]
    ours = [rule for rule in broken if known[rule].kind == "ours"]
    unexpected = [rule for rule in broken if known[rule].kind != "ours"]
    untried = [rule for rule in known if not results[rule]["pass"] and not results[rule]["fail"]]
    for text, names in (("kept", kept), ("not kept, and kept by our series only", ours), ("not kept, unexpectedly", unexpected),
                        ("not tried", untried)):
        print(f"{text} ({len(names)}): {' '.join(names) or '-'}")
    for reason, count in collections.Counter(reason for _, result, reason in report.results if result == "skip").most_common():
        print(f"{count:5} tests skipped: {reason}")
    others = [failure for failure in report.failures
              if not set(judge.rule_of(report.tests.get(failure[0], failure[0])).split()) & set(ours)]
    for failure, lines in others:
        print(f"UNEXPECTED: {failure}", *(f"    {line}" for line in list(filter(None, lines))[-5:]), sep="\n")
    print(f"{report.count('pass')} passed, {report.count('fail')} failed, {report.count('skip')} skipped"
          f" on Linux {os.uname().release}")
    return 1 if unexpected or others else 0


def bench(path):
    """Run the benchmark program at PATH and print its table, in nanoseconds. Raises an Error if it fails."""
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    with core.step(f"Measuring on CPU {cpu}"):
        done = subprocess.run([path, "-n", str(TURNS), *MEASURES], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("64\tsyscall\t")]
    if done.returncode or not rows:
        raise core.Error(f"the benchmark failed:\n{done.stdout.strip()}", 1)
    plain = float(rows[0][7])
    print(f"Nanoseconds on Linux {os.uname().release}, by the syscall instruction; they hold for this machine only.")
    print(f"{'':44} {'median':>8} {'quartiles':>18} {'difference':>10}")
    for _, _, measure, _, _, _, low, median, high in rows:
        print(f"{MEASURES[measure]:44} {float(median):8.0f} {f'{float(low):.0f} to {float(high):.0f}':>18} {float(median) - plain:+10.0f}")
    return 0


def main():
    if not has_feature():
        raise core.Error(f"the kernel that runs here ({os.uname().release}) lacks Syscall User Dispatch, or a sandbox denies its"
                         " prctl(). Linux has it from 5.11 on. To test the kernel of this repository: make check QUICK=1")
    built = base.selftests()
    if not (built / "kselftest-list.txt").is_file():
        raise core.Error("the selftests are not built; run: harness/do selftests")
    if os.environ.get("BENCH"):
        return bench(built / "syscall_user_dispatch/bench_64")
    names = sorted(name for _, _, name in (line.partition(":") for line in (built / "kselftest-list.txt").read_text(
        encoding="utf-8").splitlines() if line.startswith("syscall_user_dispatch:")))
    known, report, missing = rules.read_rules(rules.GUIDES), judge.Report(), []
    with tempfile.TemporaryDirectory() as scratch, core.step(f"Running {len(names)} programs on Linux {os.uname().release}"):
        # The user nobody must be able to read the programs.
        place = pathlib.Path(shutil.copytree(built / "syscall_user_dispatch", os.path.join(scratch, "tests")))
        os.chmod(scratch, 0o755)
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for name, ran in zip(names, pool.map(lambda name: run(place / name, report), names)):
                if not ran:
                    missing.append(name)
    if missing:
        print(f"programs that this kernel cannot execute ({len(missing)}): {' '.join(missing)}")
    return judge_rules(known, report)
