# SPDX-License-Identifier: GPL-2.0
"""Make the table and the chart of what harness/do bench measured, and hold it to limits.

Reads DIR/unpatched-NUMBER.tsv and DIR/patched-NUMBER.tsv, one file a boot, as the selftests' benchmark prints
it. A figure is the median of the boots' medians. What it is compared with is the
unpatched kernel's: an unarmed call made the same way, or the same measure for
those that have nothing to do with a call.

What only direct dispatch can do is measured on a kernel of its own, DIR/direct-NUMBER.tsv, if there is one, which has
limits of its own.
"""

import argparse
import collections
import glob
import os
import re
import statistics

from harness import core

UNPATCHED, PATCHED, DIRECT = "unpatched", "patched", "direct"

# Nobody can be armed on the unpatched kernel. All the rest is compared with itself.
AGAINST = {"exempt": "unarmed", "allow": "unarmed", "sigsys": "unarmed", "direct": "unarmed", "direct-save": "unarmed",
           "fork-armed": "fork", "exec-armed": "exec"}

# Whose limits there are, in the order of the columns of limits.tsv.
KERNELS = ("bench", "bench-direct", "x86_64", "direct")

# The allowance for a figure: nothing is rounded, but a timer may tick.
SLACK = 1

# The chart: panel, measure, kernel, label. By the syscall instruction.
BARS = (
    ("a call that is run", "unarmed", UNPATCHED, "kernel without the series"),
    ("a call that is run", "unarmed", PATCHED, "thread not armed"),
    ("a call that is run", "exempt", PATCHED, "armed, exempt address"),
    ("a call that is run", "allow", PATCHED, "armed, selector ALLOW"),
    ("a call that is run", "seccomp-allow", PATCHED, "seccomp filter that allows"),
    ("a call that is intercepted", "direct", PATCHED, "direct dispatch, empty handler"),
    ("a call that is intercepted", "direct-save", PATCHED, "direct dispatch, saving by XSAVE"),
    ("a call that is intercepted", "sigsys", PATCHED, "SIGSYS by dispatch"),
    ("a call that is intercepted", "seccomp-trap", PATCHED, "SIGSYS by seccomp"),
    ("a call that is intercepted", "seccomp-notify", PATCHED, "seccomp notification, a thread"),
    ("a call that is intercepted", "ptrace-sysemu", PATCHED, "PTRACE_SYSEMU, a tracer"),
    ("to switch", "flip", PATCHED, "the selector byte"),
    ("to switch", "prctl", PATCHED, "a prctl() instead"),
)

Figure = collections.namedtuple("Figure", "value spread boots calls unit")


def read_runs(directory, kernel):
    """{(abi, entry, measure): Figure} of one kernel."""
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
        """What goes to bench.tsv."""
        yield "# Made by make bench. Spread: from the least first quartile to the greatest third, of all boots."
        yield "\t".join(("abi", "entry", "measure", "unit", "unpatched", "ours", "difference",
                         "against", "spread", "boots", "calls"))
        for key, figure in self.patched.items():
            base, difference = self.unpatched.get(key), self.difference(key, self.patched)
            yield "\t".join((*key, figure.unit, f"{base.value:.1f}" if base else "-", f"{figure.value:.1f}",
                             "-" if difference is None else f"{difference:+.1f}",
                             "-" if difference is None else AGAINST.get(key[2], key[2]),
                             f"{figure.spread:.1f}", str(figure.boots), str(figure.calls)))

    def chart(self):
        """gnuplot's data: a block a panel; value, label, how often it was run."""
        panel = None
        for name, measure, kernel, label in BARS:
            if name != panel:
                if panel:
                    yield "\n"
                yield f'"{name}"'
                panel = name
            figures = self.unpatched if kernel == UNPATCHED else self.patched
            figure = figures.get(("64", "syscall", measure))
            if not figure:
                raise core.Error(f"{measure} was not measured on {kernel}, and the chart needs it")
            yield f'{figure.value:.1f}\t"{label}"\t"{figure.value:,.0f}  ({figure.calls:,} calls)"'

    def judge(self, figures, limits, where=""):
        """[what is wrong with FIGURES], and how many are right."""
        wrong, right = [], 0
        for key, limit in limits.items():
            name = " ".join(key) + where
            difference = self.difference(key, figures) if key in figures else None
            if difference is None:
                wrong.append(f"{name}: not measured, and limits.tsv has it")
            elif difference > limit + SLACK:
                wrong.append(f"{name}: {difference:+.1f} instructions, and the limit is {limit:+g}")
            else:
                right += 1
        return wrong, right


def read_limits(path, kernel):
    """{(abi, entry, measure): limit} of limits.tsv, whose last columns are the kernels'; "-" is none."""
    limits = {}
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.rstrip("\n").split("\t")
            if len(fields) != 3 + len(KERNELS):
                raise core.Error(f"{path}:{number}: wanted are abi, entry, measure and the limits on "
                              f"{' and '.join(KERNELS)}, between tabs")
            limit = fields[3 + KERNELS.index(kernel)]
            if limit == "-":
                continue
            try:
                limits[tuple(fields[:3])] = float(limit)
            except ValueError:
                raise core.Error(f"{path}:{number}: a limit that is no number: {line.strip()}") from None
    if not limits:
        raise core.Error(f"{path} has no limits")
    return limits


def write(path, lines):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(line + "\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description="Make the table and the chart of what harness/do bench measured.")
    parser.add_argument("--runs", required=True, metavar="DIR", help="with the runs: build/bench-runs")
    parser.add_argument("--table", metavar="FILE", help="write the table")
    parser.add_argument("--chart", metavar="FILE", help="write the chart's data, for harness/campaigns/bench.gnuplot")
    parser.add_argument("--limits", metavar="FILE", help="fail if a figure is greater than it says")
    parser.add_argument("--of", choices=KERNELS, default=KERNELS[0], help="for which kernel it says so (%(default)s)")
    options = parser.parse_args()

    bench = Bench(options.runs)
    table = list(bench.table())
    if options.table:
        write(options.table, table)
    if options.chart:
        write(options.chart, bench.chart())
    if not options.limits:
        return 0
    print("\n".join(table))
    wrong, right = bench.judge(bench.patched, read_limits(options.limits, options.of))
    if bench.direct:
        more, those = bench.judge(bench.direct, read_limits(options.limits, "bench-direct"), ", with direct dispatch")
        wrong, right = wrong + more, right + those
    for text in wrong:
        print(f"FAILED: {text}")
    print(f"{right} passed, {len(wrong)} failed")
    return 1 if wrong else 0
