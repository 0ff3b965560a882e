# SPDX-License-Identifier: GPL-2.0
"""The cost of a system call: the selftests' benchmark without and with the series, and with direct dispatch.

Without an option, the configurations bench-unpatched, bench and bench-direct are booted in turns, three times each.
The table, the chart and the comparison of the code go to results/. With --guard, KERNEL (x86_64 by default) and a
kernel without the series are booted once each. The latter is x86_64-original, or x86_64-unpatched for newer bases,
where part of the entry code is in headers. A figure above its limit in limits.tsv of the base is a failure.

QEMU counts the guest's instructions (-icount), so the figures are the same on every machine. With ACCEL=kvm they are
nanoseconds, which hold for this machine only, and nothing goes to results/.

build/<base>/bench-runs/ keeps the output of each boot, KIND-NUMBER.tsv; with --guard
build/<base>/bench-guard-KERNEL/. A figure is the median of the boots' medians. A call is compared with an unarmed
call of the unpatched kernel by the same entry. Other measures are compared with the same measure of the unpatched
kernel. Direct dispatch is measured on a kernel of its own, with limits of its own.
"""

import argparse
import collections
import difflib
import glob
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile

from harness import core
from harness.campaigns import campaign
from harness.source import base

UNPATCHED, PATCHED, DIRECT = "unpatched", "patched", "direct"
CALLS = ("unarmed", "exempt", "allow", "sigsys")
# Measures of direct dispatch, which supports only the syscall instruction.
DIRECT_CALLS = ("direct", "direct-save")
# Boots of each kernel.
BOOTS = 3
LIMITS = campaign.RESULTS / "limits.tsv"

# The functions on the path of all system calls of an x86-64 kernel: by syscall, int 0x80, and sysenter or AMD's
# syscall.
FUNCTIONS = ("syscall_enter_from_user_mode", "syscall_enter_from_user_mode_prepare", "syscall_enter_from_user_mode_work",
             "syscall_exit_to_user_mode", "do_syscall_64", "do_int80_syscall_32", "do_fast_syscall_32")

# No thread can be armed on the unpatched kernel. Other measures are compared with the same measure there.
AGAINST = {"exempt": "unarmed", "allow": "unarmed", "sigsys": "unarmed", "direct": "unarmed", "direct-save": "unarmed",
           "fork-armed": "fork", "exec-armed": "exec"}

# The kernels with limits, in the order of the columns of limits.tsv.
KERNELS = ("bench", "bench-direct", "x86_64", "direct")

# Instructions by which a figure may exceed its limit: a timer interrupt may add some.
SLACK = 1

# The panels of the chart: measure, label, and whether each base has a bar, or only the default.
PANELS = (
    (("unarmed", "not armed", True), ("exempt", "exempt address", True), ("allow", "selector ALLOW", True),
     ("seccomp-allow", "seccomp filter that allows", False)),
    (("direct", "direct dispatch, empty handler", True), ("direct-save", "direct dispatch, saving by XSAVE", True),
     ("sigsys", "SIGSYS by dispatch", True), ("seccomp-trap", "SIGSYS by seccomp", False),
     ("seccomp-notify", "seccomp notification, a thread", False), ("ptrace-sysemu", "PTRACE_SYSEMU, a tracer", False)),
    (("flip", "the selector byte", False), ("prctl", "a prctl() instead", False)),
)

Figure = collections.namedtuple("Figure", "value spread boots calls unit")


def read_runs(directory, kernel):
    """{(abi, entry, measure): Figure} of the runs of one kernel in a directory. Raises an Error if there are none."""
    found = collections.defaultdict(list)
    paths = sorted(glob.glob(os.path.join(directory, f"{kernel}-[0-9]*.tsv")))
    if not paths:
        raise core.Error(f"{directory} has no runs of the {kernel} kernel. Run: make bench")
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in f:
                match = re.fullmatch(r"(64|32|x32)\t(\w+)\t([\w-]+)\t(ticks|ns)\t(\d+)\t(\d+)"
                                     r"\t([\d.]+)\t([\d.]+)\t([\d.]+)\s*", line)
                if match:
                    found[match.groups()[:3]].append(match.groups()[3:])
    figures = {}
    for key, rows in found.items():
        medians = [float(row[4]) for row in rows]
        spread = max(float(row[5]) for row in rows) - min(float(row[3]) for row in rows)
        calls = sum(int(row[1]) * int(row[2]) for row in rows)
        unit = "instructions" if rows[0][0] == "ticks" else "ns"
        figures[key] = Figure(statistics.median(medians), spread, len(rows), calls, unit)
    return figures


class Bench:
    """The figures of the kernels."""

    def __init__(self, directory):
        self.unpatched = read_runs(directory, UNPATCHED)
        self.patched = read_runs(directory, PATCHED)
        self.direct = {}
        if glob.glob(os.path.join(directory, f"{DIRECT}-[0-9]*.tsv")):
            self.direct = read_runs(directory, DIRECT)
        self.patched = {**self.direct, **self.patched}

    def difference(self, key, figures):
        """Ours minus the unpatched kernel's, or None if there is nothing to compare with."""
        base = self.unpatched.get((*key[:2], AGAINST.get(key[2], key[2])))
        return figures[key].value - base.value if base else None

    def table(self):
        """The lines of bench.tsv."""
        yield "# Made by make bench. Spread: from the least first quartile to the greatest third, of all boots."
        yield "\t".join(("abi", "entry", "measure", "unit", "unpatched", "ours", "difference",
                         "against", "spread", "boots", "calls"))
        for key, figure in self.patched.items():
            base, difference = self.unpatched.get(key), self.difference(key, self.patched)
            yield "\t".join((*key, figure.unit, f"{base.value:.1f}" if base else "-", f"{figure.value:.1f}",
                             "-" if difference is None else f"{difference:+.1f}",
                             "-" if difference is None else AGAINST.get(key[2], key[2]),
                             f"{figure.spread:.1f}", str(figure.boots), str(figure.calls)))

    def judge(self, figures, limits, where=""):
        """[errors in FIGURES], and the number of correct figures."""
        wrong, right = [], 0
        for key, limit in limits.items():
            name = " ".join(key) + where
            difference = self.difference(key, figures) if key in figures else None
            if difference is None:
                wrong.append(f"{name}: not measured, but limits.tsv has a limit for it")
            elif difference > limit + SLACK:
                wrong.append(f"{name}: {difference:+.1f} instructions, but the limit is {limit:+g}")
            else:
                right += 1
        return wrong, right


def chart():
    """gnuplot's data from the tables in results/, a block for each panel: figure without the series, figure with it, label.

    All figures are of the 64-bit syscall instruction. "-" is a missing figure. A base without a table has no bars."""
    tables = {}
    for name in (base.find(base.default()).series, *base.newer_series()):
        path = base.results(name) / "bench.tsv"
        if path.exists():
            tables[name] = {row[2]: row[4:6] for _, row in core.rows(path) if row[:2] == ["64", "syscall"]}
    for panel in PANELS:
        for measure, label, everywhere in panel:
            for name in tables if everywhere else list(tables)[:1]:
                if measure not in tables[name]:
                    raise core.Error(f"results/ has no {measure} of {name}, and the chart needs it. Run: make bench BASE={name}")
                yield campaign.row((*tables[name][measure], f'"{name}: {label}"'))
        yield "\n"


def draw(out):
    """Draw the chart into results/; OUT is a directory for the data."""
    campaign.write(out / "bench.dat", *chart())
    for kind in ("svg", "png"):
        printed("gnuplot", "-c", core.HARNESS / "campaigns/bench.gnuplot", kind, out / "bench.dat", core.ROOT / f"results/bench.{kind}")


def read_limits(path, kernel):
    """{(abi, entry, measure): limit} from the kernel's column of limits.tsv, without the rows that have "-" there."""
    limits = {}
    for where, fields in core.rows(path, "abi", "entry", "measure", *(f"limit on {name}" for name in KERNELS)):
        limit = fields[3 + KERNELS.index(kernel)]
        try:
            limits.update({} if limit == "-" else {tuple(fields[:3]): float(limit)})
        except ValueError:
            raise core.Error(f"{where}: a limit that is no number: {limit}") from None
    if not limits:
        raise core.Error(f"{path} has no limits")
    return limits


def judge(runs, limits, of):
    """Print the table, and the figures that exceed the limits of the kernel OF; returns the exit status."""
    bench = Bench(runs)
    print("\n".join(bench.table()))
    wrong, right = bench.judge(bench.patched, read_limits(limits, of))
    if bench.direct:
        more, those = bench.judge(bench.direct, read_limits(limits, "bench-direct"), ", with direct dispatch")
        wrong, right = wrong + more, right + those
    campaign.tell((text, ()) for text in wrong)
    print(f"{right} passed, {len(wrong)} failed")
    return 1 if wrong else 0


# ---- The code ----

def printed(*command):
    """The output of an external command."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def code(configuration, function):
    """A function's instructions, without addresses. The target of a jump is a function and an offset."""
    text = printed("objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", core.built(configuration) / "vmlinux")
    lines = re.findall(r"^ *[0-9a-f]+:\t(.*?) *$", text, re.MULTILINE)
    for pattern, word in ((r"[0-9a-f]{16} (<.*>)$", r"\1"), (r"# [0-9a-f]{16} ", "# "),
                          (r"-?0x[0-9a-f]+\(%rip\)", "(%rip)")):
        lines = [re.sub(pattern, word, line, count=1) for line in lines]
    return lines


def compare_code():
    """The effect of the series on the path of every system call, and on the kernel's size; lines of text."""
    for configuration in ("bench-unpatched", "bench"):
        if not (core.built(configuration) / "vmlinux").exists():
            raise core.Error(f"the kernel {configuration} is not built; run: make bench")
    yield from (f"# Made by make bench: {printed('gcc', '--version').splitlines()[0]}", "")
    yield "The paths of all system calls, without the series (-) and with it (+):"
    for function in FUNCTIONS:
        before, after = code("bench-unpatched", function), code("bench", function)
        yield f"== {function}: {len(before)} instructions, {len(after)} with the series"
        yield from (line.rstrip("\n") for line in list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:])
    yield from ("", "The size of the code and the data, by scripts/bloat-o-meter, in bytes:")
    meter = core.built("tree") / "scripts" / "bloat-o-meter"
    yield printed(meter, core.built("bench-unpatched") / "vmlinux", core.built("bench") / "vmlinux").rstrip("\n")


# ---- The campaign ----

class Campaign:
    """The guests of a benchmark, in the directory OUT. KINDS: {kind: (configuration, measures)}.

    Without measures, all are measured. CLOCK: the options of the benchmark that choose the clock.
    """

    def __init__(self, out, kinds, clock):
        self.out, self.kinds, self.clock = out, kinds, clock

    def command(self, measures):
        """The command that runs all three programs, and prints a last line if they succeeded.

        Only the 64-bit program measures more than calls. Other measures do not depend on the ABI, and 32-bit threads
        need a futex() that the configuration lacks.
        """
        calls = measures or CALLS
        chosen = {"64": measures, "32": [call for call in calls if call not in DIRECT_CALLS], "x32": calls}
        programs = [" ".join((f"./bench_{abi}", *self.clock, *chosen[abi])) for abi in campaign.ABIS]
        return " && ".join((*programs, "echo bench: done"))

    def pack(self):
        """Make an initramfs for each kind."""
        programs = [word for abi in campaign.ABIS for word in ("--prog", campaign.PROGRAMS / f"bench_{abi}")]
        for kind, (_, measures) in self.kinds.items():
            core.run("pack", "--out", self.out / f"{kind}.cpio", *programs, "--", "sh", "-c", self.command(measures))

    def boot(self, configuration, initrd, name):
        """Boot a guest, whose files go to OUT/NAME. Raises an Error if it fails, or falls back to emulation."""
        done = campaign.guest(campaign.image(configuration), self.out / f"{initrd}.cpio", "run", self.out / name, 1200,
                              stderr=subprocess.PIPE)
        if done.returncode:
            raise core.Error(f"{done.stderr}the guest with the kernel {configuration} failed", 1)
        if "emulating instead" in done.stderr:
            raise core.Error("there is no KVM to measure with here; without ACCEL=kvm, instructions are counted", 1)

    def run(self, boots):
        """Boot each kind so many times, in turns. Their output goes to OUT/KIND-NUMBER.tsv."""
        texts = {UNPATCHED: "without the series", PATCHED: "with it", DIRECT: "direct dispatch"}
        for number in range(1, boots + 1):
            for kind, (configuration, _) in self.kinds.items():
                with core.step(f"Measuring {texts[kind]} ({number} of {boots})"):
                    self.boot(configuration, kind, f"{kind}-{number}")
                console = (self.out / f"{kind}-{number}" / "console.log").read_text(encoding="utf-8", errors="replace")
                if not re.search("^bench: done", console, re.MULTILINE):
                    core.say(*console.splitlines()[-20:])
                    raise core.Error(f"the benchmark failed on the kernel {configuration}; its output is above", 1)
                (self.out / f"{kind}-{number}.tsv").write_text(console, encoding="utf-8")


def measure(guarded):
    """Boot the guests and judge the figures. GUARDED is the kernel to measure once, or None for the whole campaign."""
    campaign.begin("bench-runs", keep=("ACCEL",))
    os.environ["SMP"] = "1"
    out = core.built(f"bench-guard-{guarded}" if guarded else "bench-runs")
    accel = "" if guarded or os.environ.get("ACCEL", "tcg") == "tcg" else os.environ["ACCEL"]
    if not accel:
        os.environ.pop("ACCEL", None)
        os.environ["QEMU_ARGS"] = "-icount shift=0,sleep=off"
    if guarded:
        calls = CALLS + (DIRECT_CALLS if guarded == "direct" else ())
        # x86_64-original dispatches nothing, although arming succeeds: only unarmed calls are measured there.
        before = ("x86_64-original", ("unarmed",)) if base.line() == base.find(base.default()).series else ("x86_64-unpatched", CALLS)
        kinds = {UNPATCHED: before, PATCHED: (guarded, calls)}
    else:
        kinds = {UNPATCHED: ("bench-unpatched", ()), PATCHED: ("bench", ()), DIRECT: ("bench-direct", CALLS + DIRECT_CALLS)}
        core.run("setup", "--bench")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    core.run("setup", "--abis")
    for configuration, _ in kinds.values():
        core.run("kernel", configuration)
    guests = Campaign(out, kinds, ("-n", "50") if accel else ("-t",))
    if accel:
        # Boot a short guest first: without KVM, the benchmark would be emulated, which takes long.
        core.run("pack", "--out", out / "probe.cpio", "--", "true")
        guests.boot("bench", "probe", "probe")
    # In make check, an earlier step has built them.
    if not guarded or not (campaign.PROGRAMS / "bench_x32").exists():
        core.run("selftests")
    guests.pack()
    guests.run(1 if guarded else BOOTS)
    if guarded:
        return judge(out, LIMITS, "direct" if guarded == "direct" else "x86_64")
    bench = Bench(out)
    campaign.write(out / "bench.tsv", *bench.table())
    if accel:
        model = re.search(r"^model name\s*: (.*)", open("/proc/cpuinfo", encoding="utf-8").read(), re.MULTILINE)
        core.say(f"Nanoseconds on this machine's {model[1] if model else 'CPU'}; they hold for this machine only:")
        print("\n".join(bench.table()))
        return 0
    if judge(out, LIMITS, "bench"):
        return 1
    campaign.write(out / "bench-code.txt", *compare_code())
    for name in ("bench.tsv", "bench-code.txt"):
        shutil.copy(out / name, campaign.RESULTS)
    draw(out)
    return 0


def main():
    parser = argparse.ArgumentParser(prog="harness/do bench", description="Measure the cost of a system call.")
    parser.add_argument("--guard", nargs="?", const="x86_64", metavar="KERNEL", help="measure once, on KERNEL (x86_64)")
    parser.add_argument("--code", action="store_true", help="only compare the code of kernels that are already built")
    parser.add_argument("--chart", action="store_true", help="only draw the chart of the tables in results/")
    parser.add_argument("--runs", metavar="DIR", help="only judge the runs there")
    parser.add_argument("--limits", default=LIMITS, metavar="FILE", help="the limits for these runs")
    parser.add_argument("--of", choices=KERNELS, default=KERNELS[0], help="the kernel whose limits apply (%(default)s)")
    options = parser.parse_args()
    if options.code:
        print("\n".join(compare_code()))
        return 0
    if options.chart:
        core.run("setup", "--bench")
        with tempfile.TemporaryDirectory() as out:
            draw(pathlib.Path(out))
        return 0
    return judge(options.runs, options.limits, options.of) if options.runs else measure(options.guard)
