# SPDX-License-Identifier: GPL-2.0
"""Judge what the fuzzer said in the guest.

Every ABI must have made its operations with each seed, found no difference and
ended well, and the kernel must have had no complaint. What is not said counts
as failed. The last line counts: one for each run, and one for the kernel.
"""

import argparse
import re

from harness.judge import judge


SEED = re.compile(r"# fuzz\S*: (seed \d+), ")
SUM = re.compile(r"(\d+) operations, (\d+) differences$")
END = "ended with status "


def split(said):
    """The runs of one program: each is ended by the shell's word about its status."""
    runs = [[]]
    for line in said:
        runs[-1].append(line)
        if line.startswith(END):
            runs.append([])
    return runs


def parts(run):
    """What a run says of its seed, the match of its sum, and its end; the latter two may be missing."""
    seed = next((match[1] for match in map(SEED.match, run) if match), "no seed")
    total = next((match for match in map(SUM.match, run) if match), None)
    return seed, total, run[-1] if run and run[-1].startswith(END) else None


def main():
    parser = argparse.ArgumentParser(description="Judge what the fuzzer said in the guest.")
    parser.add_argument("--console", required=True, metavar="FILE")
    parser.add_argument("--kernel", default="x86_64", help="as in the list of splats")
    parser.add_argument("--splats", default=judge.SPLAT_LIST, metavar="FILE")
    parser.add_argument("--seeds", type=int, required=True, help="how often each ABI ran")
    parser.add_argument("--each", type=int, required=True, help="how many operations each time")
    parser.add_argument("abis", nargs="+")
    options = parser.parse_args()

    lines = judge.read_lines(options.console, "the console")
    report = judge.Report()
    passed = 0
    for abi in options.abis:
        said = [line[len(abi) + 2:] for line in lines if line.startswith(f"{abi}: ")]
        print("\n".join(f"{abi}: {line}" for line in said))
        runs = split(said) + [[]] * options.seeds
        for number, run in enumerate(runs[:options.seeds], 1):
            seed, total, end = parts(run)
            if not total or not end:
                report.fail(f"{abi}: run {number} has no end ({seed})", run[-10:])
            elif int(total[2]) or end != "ended with status 0":
                report.fail(f"{abi}: {total[0]}, {end} ({seed})")
            elif int(total[1]) < options.each:
                report.fail(f"{abi}: {total[1]} operations instead of {options.each} ({seed})")
            else:
                passed += 1
    found = len(report.failures)
    exceptions = judge.read_splats(options.splats, ())
    judge.judge_console(lines, exceptions, report)
    if "fuzz: done" not in lines:
        report.fail("the guest did not come to its end", lines[-10:])
    passed += found == len(report.failures)

    for what, about in report.failures:
        print(f"FAILED: {what}")
        for line in about:
            print(f"    {line}")
    print(f"{passed} passed, {len(report.failures)} failed")
    return 1 if report.failures else 0
