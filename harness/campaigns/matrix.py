# SPDX-License-Identifier: GPL-2.0
"""Build, boot and judge every kernel of matrix.tsv, and write results/matrix.tsv.

If a cell fails, the next one runs. The table has a hash of the inputs of each verdict: the patched kernel's tree, the
programs that build, boot and judge, the configuration and the tools. A cell with the same hash is not run again, so an
interrupted campaign continues where it stopped. FORCE=1 runs all cells.

build/<base>/matrix/CELL/ keeps a cell's consoles, its verdict, and its output (log).
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import time

from harness import core
from harness.build import configurations
from harness.campaigns import campaign
from harness.judge import judge
from harness.source.git import git

CELLS = core.HARNESS / "campaigns" / "matrix.tsv"
OUT = core.built("matrix")
RESULTS = campaign.RESULTS / "matrix.tsv"

KINDS = ("boot", "planted", "build")
FIELDS = ("name", "kind", "config", "cpu", "smp", "mem", "slow", "words", "tests", "says")
COLUMNS = ("cell", "verdict", "kernel", "configuration", "CPU", "CPUs", "words", "passed", "failed", "skipped",
           "skips", "splats", "seconds", "inputs")
SUM = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


class Cell:
    """One row of matrix.tsv, and its verdict."""

    def __init__(self, fields):
        for name, value in zip(FIELDS, fields):
            setattr(self, name, "" if value == "-" else value)
        if self.kind not in KINDS:
            raise core.Error(f"its kind is none of {', '.join(KINDS)}: {self.kind}")
        if self.slow and not re.fullmatch(r"[1-9][0-9]*", self.slow):
            raise core.Error(f"slow is not a whole number: {self.slow}")
        if self.kind != "build" and not self.tests:
            raise core.Error("it has no tests")
        if self.kind == "planted" and not self.says:
            raise core.Error("it has no pattern for the kernel's report")
        configurations.fragment(self.config)
        self.row = campaign.row(fields)
        self.dir = OUT / self.name
        self.inputs = "-"
        self.known = {}     # its row of results/matrix.tsv
        self.ran = False    # in this call

    def verdict(self):
        """"passed" or "failed" by a run with the inputs of now, else ""."""
        return self.known["verdict"] if self.inputs != "-" and self.known.get("inputs") == self.inputs else ""

    def result(self, **figures):
        """The cell's row of the table, with these figures."""
        where = ("-", "-") if self.kind == "build" else (self.cpu or "max", self.smp or "2")
        return {**dict.fromkeys(COLUMNS, "-"), "cell": self.name, "verdict": "not run", "kernel": self.config,
                "CPU": where[0], "CPUs": where[1], "words": self.words or "-",
                **{name: str(value) or "-" for name, value in figures.items()}}


def read_cells():
    """{name: Cell} of matrix.tsv."""
    cells = {}
    for where, fields in core.rows(CELLS, *FIELDS):
        try:
            if fields[0] in cells:
                raise core.Error(f"a second cell of the name {fields[0]}")
            cells[fields[0]] = Cell(fields)
        except core.Error as problem:
            raise core.Error(f"{where}: {problem}") from None
    return cells


def find_inputs(cells, tools):
    """Give each cell the hash of its inputs, or "-" if the sources have edits that are not committed."""
    core.run("tree")
    if git("status", "--porcelain", "-uno"):
        return
    shared = "\n".join((git("rev-parse", "HEAD^{tree}"), *tools)).encode()
    files = [*core.HARNESS.glob("build/*.*"), *core.HARNESS.glob("guest/*"), *core.HARNESS.glob("guest/inside/*"),
             *core.HARNESS.glob("build/plants/*"), core.HARNESS / "judge" / "judge.py",
             judge.SKIP_LIST, judge.SPLAT_LIST, judge.CPU_LIST]
    for path in sorted(filter(os.path.isfile, files)):
        shared += path.read_bytes()
    for cell in cells:
        own = b"".join(path.read_bytes() for path in configurations.stack(cell.config))
        cell.inputs = hashlib.sha256(shared + own + cell.row.encode()).hexdigest()[:16]


# ---- Building objects ----

def touched():
    """The kernel's C files that the series touches."""
    return [path for path in git("diff", "--name-only", "base", "HEAD").splitlines()
            if path.endswith(".c") and not path.startswith(("tools/", "samples/"))]


def read_configuration(path):
    """The architecture of a .config file, and {symbol: value}."""
    text = path.read_text(encoding="utf-8")
    return re.search(r"^# Linux/(\S+)", text, re.MULTILINE)[1], dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.MULTILINE))


def objects(path):
    """The objects of these sources that a configuration compiles, by the Makefiles of their directories."""
    found, (arch, values) = [], read_configuration(path)
    for source in touched():
        folder, name = os.path.split(source[:-2] + ".o")
        if source.startswith("arch/") and not (arch in ("x86", "x86_64", "i386") and source.startswith("arch/x86/")):
            continue
        text = (core.built("tree") / folder / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
        for when, names in re.findall(r"^obj-(\S+?)\s*[:+]?=(.*)$", text, re.MULTILINE):
            symbol = re.fullmatch(r"\$\((CONFIG_\w+)\)", when)
            if name in names.split() and (when == "y" or symbol and values.get(symbol[1]) in ("y", "m")):
                found.append(f"{folder}/{name}")
    return found


def build_objects(cell, log):
    """Build the objects whose sources the series touches. Returns how many passed and failed."""
    with open(log, "w", encoding="utf-8") as f:
        if core.run("kernel", "--config", cell.config, stdout=f, stderr=f, check=False).returncode:
            return 0, 1
        built = core.built(cell.config)
        names = objects(built / ".config")
        if not names:
            f.write("no object of the series is compiled\n")
            return 0, 1
        # The series also edits sources of the vDSO's images, which are made in this directory.
        more = ["arch/x86/entry/vdso/"] if "arch/x86/entry/vdso/vma.o" in names else []
        f.flush()
        status = core.run("kernel", "--make", cell.config, *names, *more, stdout=f, stderr=f, check=False).returncode
    ours = "syscall_user_dispatch|" + "|".join(map(re.escape, touched()))
    missing = [f"{name} was not built" for name in names if not (built / name).exists()]
    warned = [line for line in read_log(log) if re.search(r"\b(warning|error):", line) and re.search(ours, line)]
    core.say(*(f"    {line}" for line in missing + warned))
    return len(names) - len(missing), len(missing) + len(warned) or int(status != 0)


# ---- Cells ----

def read_log(path):
    """The lines of a file that a guest or a compiler wrote. No lines if it is missing."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def boot(cell, log):
    """Boot and judge the cell's guest. Returns the figures of its row."""
    guest = {"QEMU_CPU": cell.cpu, "SMP": cell.smp, "MEM": cell.mem, "SLOW": cell.slow, "OUT": str(cell.dir),
             "SAYS": "" if cell.kind == "planted" else cell.says}
    with open(log, "w", encoding="utf-8") as f:
        status = core.run("judged", cell.name, cell.config, campaign.TESTS if cell.tests == "all" else cell.tests,
                          *cell.words.split(), stdout=f, stderr=f, stdin=subprocess.DEVNULL, check=False,
                          env={**os.environ, **{name: value for name, value in guest.items() if value}}).returncode
    lines = read_log(log)
    if cell.kind == "planted":
        # Only the kernel's report counts here, not the tests' results.
        said = any(re.search(cell.says, line) for line in read_log(cell.dir / "console.log"))
        return {"passed": int(said), "failed": int(not said), "skipped": 0, "splats": int(said)}
    counts = SUM.fullmatch(lines[-1] if lines else "")
    passed, failed, skipped = map(int, counts.groups()) if counts else (0, 1, 0)
    skips = (re.match(r"skipped: (\d+) of (\S+): ", line) for line in lines)
    return {"passed": passed, "failed": failed or int(status != 0), "skipped": skipped,
            "skips": "; ".join(f"{m[1]} {m[2]}" for m in skips if m),
            "splats": sum(line.startswith("FAILED: console: ") for line in lines)}


def run(cell):
    """Run a cell. Returns its row of the table."""
    shutil.rmtree(cell.dir, ignore_errors=True)
    cell.dir.mkdir(parents=True)
    log = cell.dir / "log"
    print(f"== {cell.name}", flush=True)
    start = time.monotonic()
    if cell.kind == "build":
        passed, failed = build_objects(cell, log)
        figures = {"passed": passed, "failed": failed, "skipped": 0, "splats": 0}
    elif core.run("kernel", cell.config, check=False).returncode:
        log.write_text(f"the kernel of {cell.config} does not build\n", encoding="utf-8")
        figures = {"passed": 0, "failed": 1, "skipped": 0, "splats": 0}
    else:
        # The time of a guest is counted without the build.
        start = time.monotonic()
        figures = boot(cell, log)
    made = core.built(cell.config) / ".config"
    row = cell.result(**figures, verdict="failed" if figures["failed"] else "passed", inputs=cell.inputs,
                      seconds=int(time.monotonic() - start),
                      configuration=hashlib.sha256(made.read_bytes()).hexdigest()[:12] if made.exists() else "-")
    print(f"   {row['passed']} passed, {row['failed']} failed, {row['skipped']} skipped ({row['seconds']} s)", flush=True)
    if figures["failed"]:
        print(f"--- the end of {core.shown(log)}:", *read_log(log)[-40:], "---", sep="\n", flush=True)
    return row


# ---- Tables ----

def version(*command):
    """The first line that a command prints, "" if it is not installed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.split("\n")[0].strip()


def write_results(cells, tools):
    """Write results/matrix.tsv. A cell without a verdict for the inputs of now is "not run"."""
    lines = ["# SPDX-License-Identifier: GPL-2.0",
             "# Generated by make matrix from the sources here; results/README.md explains the columns. The tools:",
             *(f"# {tool}" for tool in tools if tool), campaign.row(COLUMNS)]
    rows = [cell.known if cell.ran or cell.verdict() else cell.result() for cell in cells]
    campaign.write(f"{RESULTS}.new", *lines, *(campaign.row(row[name] for name in COLUMNS) for row in rows))
    os.replace(f"{RESULTS}.new", RESULTS)


def read_results():
    """The rows of results/matrix.tsv, {column: text} each."""
    if not RESULTS.exists():
        raise core.Error("there is no results/matrix.tsv; run: make matrix")
    head, *rows = (fields for _, fields in core.rows(RESULTS))
    return [dict(zip(head, row)) for row in rows]


def summary():
    """A Markdown table with a line for each kernel, then the names of the cells without a verdict."""
    rows = [row for row in read_results() if row["verdict"] != "not run"]
    print("| cell | kernel | boot | passed | failed | skipped | splats |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        words = [row["CPU"], row["CPUs"] + (" CPU" if row["CPUs"] == "1" else " CPUs"), f"`{row['words']}`"]
        words = [w for w, plain in zip(words, ("max", "2 CPUs", "`-`")) if w != plain and not w.startswith("-")]
        print(f"| {row['cell']} | `{row['kernel']}` | {', '.join(words)} | {row['passed']} | {row['failed']} | "
              f"{row['skipped']} | {row['splats']} |")
    missing = [row["cell"] for row in read_results() if row["verdict"] == "not run"]
    print(f"\n{len(rows)} cells, {sum(row['verdict'] == 'failed' for row in rows)} failed." +
          (f" Not run: {', '.join(missing)}." if missing else ""))


def main():
    parser = argparse.ArgumentParser(
        description="Build, boot and judge the kernels of harness/campaigns/matrix.tsv.",
        epilog="Environment: CELLS, the cells to run if none is named; FORCE=1 also runs cells that have a verdict.")
    parser.add_argument("cells", nargs="*", metavar="CELL", help="all, if none is named")
    parser.add_argument("--list", action="store_true", help="list the cells")
    parser.add_argument("--summary", action="store_true", help="print results/matrix.tsv in Markdown")
    options = parser.parse_args()
    cells = read_cells()
    if options.list:
        for cell in cells.values():
            print("\t".join((cell.name, cell.kind, cell.config)))
        return 0
    if options.summary:
        summary()
        return 0

    names = options.cells or (os.environ.get("CELLS") or "").split() or list(cells)
    unknown = [name for name in names if name not in cells]
    if unknown:
        raise core.Error(f"no such cell: {' '.join(unknown)}; harness/do matrix --list lists them")
    campaign.begin("matrix")
    tools = [version("gcc", "--version"), version("clang", "--version"), version("qemu-system-x86_64", "--version")]
    find_inputs(cells.values(), tools)
    if RESULTS.exists():
        for row in read_results():
            if row["cell"] in cells:
                cells[row["cell"]].known = row
    chosen = [cell for cell in cells.values() if cell.name in names]
    todo = [cell for cell in chosen if os.environ.get("FORCE") or not cell.verdict()]
    start = time.monotonic()
    if any(cell.kind != "build" for cell in todo):
        core.run("selftests")
    for cell in todo:
        cell.known, cell.ran = run(cell), True
        write_results(cells.values(), tools)
    if not todo:
        write_results(cells.values(), tools)

    failed = [cell.name for cell in chosen if cell.known["verdict"] == "failed"]
    for title, some in (("ran", [cell.name for cell in todo]),
                        ("not run again, had a verdict", [cell.name for cell in chosen if cell not in todo]),
                        ("not asked for", [cell.name for cell in cells.values() if cell not in chosen]),
                        ("failed", failed)):
        if some:
            print(f"{title}: {' '.join(some)}")
    print(f"results/matrix.tsv has the figures. The campaign took {int(time.monotonic() - start) // 60} min.")
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0
