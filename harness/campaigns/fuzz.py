# SPDX-License-Identifier: GPL-2.0
"""Compare random operations in the guest with a model of the contract, for all ABIs at the same time.

Every ABI must finish its operations with each seed and find no difference. The kernel must report no error. A missing
line counts as a failure. The last line counts the runs of the program, and one more for the kernel. build/<base>/fuzz/
keeps the guest's output.
"""

import argparse
import os
import pathlib
import re
import shutil

from harness import core
from harness.build import proof
from harness.guest import user_space
from harness.campaigns import campaign
from harness.judge import judge
from harness.judge import rules


SEED = re.compile(r"# fuzz\S*: (seed \d+), ")
SUM = re.compile(r"(\d+) operations, (\d+) differences$")
END = "ended with status "


def split(said):
    """The runs of one program. The shell's line with the status ends each."""
    runs = [[]]
    for line in said:
        runs[-1].append(line)
        if line.startswith(END):
            runs.append([])
    return runs


def parts(run):
    """A run's line about its seed, the match of its sum, and its end. The last two may be missing."""
    seed = next((match[1] for match in map(SEED.match, run) if match), "no seed")
    total = next((match for match in map(SUM.match, run) if match), None)
    return seed, total, run[-1] if run and run[-1].startswith(END) else None


def judge_console(console, abis, seeds, each, lacks):
    """Print the programs' output and the errors in it. Returns the exit status.

    Each of the ABIs ran SEEDS times with EACH operations, on a kernel that LACKS these properties."""
    lines = judge.read_lines(console, "the console")
    report = judge.Report()
    passed = 0
    for abi in abis:
        said = [line[len(abi) + 2:] for line in lines if line.startswith(f"{abi}: ")]
        print("\n".join(f"{abi}: {line}" for line in said))
        runs = split(said) + [[]] * seeds
        for number, run in enumerate(runs[:seeds], 1):
            seed, total, end = parts(run)
            if not total or not end:
                report.fail(f"{abi}: run {number} has no end ({seed})", run[-10:])
            elif int(total[2]) or end != "ended with status 0":
                report.fail(f"{abi}: {total[0]}, {end} ({seed})")
            elif int(total[1]) < each:
                report.fail(f"{abi}: {total[1]} operations instead of {each} ({seed})")
            else:
                passed += 1
    found = len(report.failures)
    judge.judge_console(lines, judge.read_splats(judge.SPLAT_LIST, lacks), report)
    if "fuzz: done" not in lines:
        report.fail("the guest did not come to its end", lines[-10:])
    passed += found == len(report.failures)
    campaign.tell(report.failures)
    print(f"{passed} passed, {len(report.failures)} failed")
    return 1 if report.failures else 0


def command(abis, seeds, each, excuse):
    """The guest's command: for every seed, all ABIs at the same time. Each line begins with its ABI."""
    def run(abi, seed):
        return f'{{ ./fuzz_{abi} -s {seed} -n {each} {excuse} -v; echo "{END}$?"; }} 2>&1 | sed "s/^/{abi}: /" & '
    return "".join("".join(run(abi, seed) for abi in abis) + "wait; " for seed in seeds) + "echo fuzz: done"


def a_seed(text):
    """The argument of --seed; random makes a number."""
    if text == "random":
        return str(int.from_bytes(os.urandom(4), "little"))
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"the seed '{text}' is neither a number nor random")
    return text


def a_number(text):
    if not re.fullmatch(r"[1-9][0-9]{0,11}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of operations")
    return int(text)


def a_file(text):
    if not os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return os.path.realpath(text)


def main():
    parser = argparse.ArgumentParser(prog="harness/do fuzz",
                                     description="Compare random operations in the guest with a model.")
    parser.add_argument("--kernel", default="x86_64", metavar="CONFIG", help="the kernel's configuration (%(default)s)")
    parser.add_argument("--image", type=a_file, metavar="FILE", help="an existing kernel instead")
    parser.add_argument("--others", action="store_true",
                        help="the kernel lacks the series: differences by rules that only the series keeps are "
                             "no failures, and warnings do not stop the guest")
    parser.add_argument("--operations", type=a_number, default=1000000, metavar="N", help="in all runs (%(default)s)")
    parser.add_argument("--seed", action="append", type=a_seed, metavar="S",
                        help="a number, or random, which is the default; may be given several times")
    parser.add_argument("--out", type=pathlib.Path, default=core.built("fuzz"), metavar="DIR", help="instead of build/<base>/fuzz")
    parser.add_argument("--after", type=a_file, metavar="FILE",
                        help="a script that the guest runs at the end; its output goes to the third serial port")
    parser.add_argument("--console", metavar="FILE", help="only judge this console")
    parser.add_argument("abis", nargs="*", metavar="64|32|x32", help="default: all that the kernel runs")
    options = parser.parse_args()
    if set(options.abis).difference(campaign.ABIS):
        parser.error(f"{' '.join(options.abis)}: an ABI is one of 64, 32, x32")
    seeds = options.seed or [a_seed("random")]

    out = options.out.resolve()
    if not options.console:
        # The caller may set the guest's variables.
        campaign.begin("fuzz", keep=campaign.GUEST)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
    lacks, base = set() if options.image else judge.lacks_of(options.kernel), ""
    abis = options.abis or [abi for abi in campaign.ABIS if not lacks & {abi, f"{abi}-programs"}]
    each = -(-options.operations // (len(abis) * len(seeds)))
    if options.console:
        return judge_console(options.console, abis, len(seeds), each, lacks)

    if options.image:
        core.run("tree")
        image = options.image
    else:
        image, base = campaign.image(options.kernel), user_space.of(options.kernel)
    core.run("setup", "--abis")
    programs = [f"{name}_{abi}" for abi in abis for name in ("fuzz", "probe")]
    proof.build(*programs)
    own = [name for name, rule in rules.read_rules(rules.GUIDES).items() if rule.kind == "ours"] if options.others else []
    packed = [word for program in programs for word in ("--prog", proof.path(program))]
    after = ["--file", f"{options.after}:/guest/after"] if options.after else []
    core.run("pack", "--out", out / "initrd.cpio", "--base", base, *after, *packed, "--", "sh", "-c",
             command(abis, seeds, each, f"-u {','.join(own)}" if own else ""))
    core.say(f"* {options.operations} operations, by {' '.join(abis)}; seeds: {' '.join(seeds)}")
    campaign.guest(image, out / "initrd.cpio", "run", out, 600 + options.operations // 200,
                   "syscall.x32=y panic_on_warn=0" if options.others else "")
    return judge_console(out / "console.log", abis, len(seeds), each, lacks)
