#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judge what the fuzzer said in the guest.

Every ABI must have made its operations with each seed, found no difference and
ended well, and the kernel must have had no complaint. What is not said counts
as failed. The last line counts: one for each run, and one for the kernel.
"""

import argparse
import re
import sys

import judge

# What a run begins with, and ends with.
SEED = re.compile(r"# fuzz\S*: (seed \d+), ")
SUM = re.compile(r"(\d+) operations, (\d+) differences$")


def main():
    parser = argparse.ArgumentParser(description="Judge what the fuzzer said in the guest.")
    parser.add_argument("--console", required=True, metavar="FILE")
    parser.add_argument("--kernel", default="x86_64", help="as in the list of splats")
    parser.add_argument("--splats", default=judge.os.path.join(judge.HERE, "splats.tsv"), metavar="FILE")
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
        sums = [match for match in map(SUM.match, said) if match]
        seeds = [match[1] for match in map(SEED.match, said) if match]
        ends = [line for line in said if line.startswith("ended with status ")]
        for run in range(options.seeds):
            seed = seeds[run] if run < len(seeds) else "no seed"
            if run >= len(sums) or run >= len(ends):
                report.fail(f"{abi}: run {run + 1} has no end ({seed})", said[-10:])
            elif int(sums[run][2]) or ends[run] != "ended with status 0":
                report.fail(f"{abi}: {sums[run][0]}, {ends[run]} ({seed})")
            elif int(sums[run][1]) < options.each:
                report.fail(f"{abi}: {sums[run][1]} operations instead of {options.each} ({seed})")
            else:
                passed += 1
    found = len(report.failures)
    exceptions = [re.compile(p) for p in judge.read_table(options.splats, options.kernel)]
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


if __name__ == "__main__":
    try:
        sys.exit(main())
    except judge.Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
