# SPDX-License-Identifier: GPL-2.0
"""Build, boot and judge every kernel of matrix.tsv, and write results/matrix.tsv.

A cell that fails does not keep the others from running. A cell that has a
verdict, and nothing of what it depends on has changed since, is not run again,
so an interrupted run goes on where it stopped. The table has a hash of that for
every verdict: another machine with the same tools takes these for its own, and
several can share the cells.

build/matrix/CELL/ has a cell's consoles and verdict, its output in log.
"""

import argparse
import fnmatch
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

from harness import core

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = core.ROOT

BUILD = core.BUILD
OUT = os.path.join(BUILD, "matrix")
RESULTS = os.path.join(ROOT, "results", "matrix.tsv")

SELFTESTS = os.path.join(BUILD, "tree", "tools", "testing", "selftests")
OURS = "syscall_user_dispatch"

KINDS = ("boot", "planted", "build")
FIELDS = ("name", "kind", "config", "cpu", "smp", "mem", "slow", "words", "tests", "says")
ALL = r"^syscall_user_dispatch:|:seccomp_(tsync_ptrace|trap_pending)$"
# A guest is what its row says, whatever the caller's environment has.
GUEST = ("QEMU_CPU", "QEMU_ARGS", "APPEND", "MEM", "SMP", "ACCEL", "SLOW", "SAYS", "OUT")
COLUMNS = ("cell", "verdict", "kernel", "configuration", "CPU", "CPUs", "words", "passed", "failed", "skipped",
           "skips", "splats", "seconds", "inputs")


class Cell:
    """One row of matrix.tsv, and what is known of it."""

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
            raise core.Error("it does not say what the kernel must say")
        if not os.path.isfile(os.path.join(core.HARNESS, "build", "configs", f"{self.config}.config")):
            raise core.Error(f"there is no harness/build/configs/{self.config}.config")
        self.row = "\t".join(fields)
        self.dir = os.path.join(OUT, self.name)
        self.inputs = None
        self.published = {}     # its row of results/matrix.tsv

    def verdict(self):
        """What is known of the last run, here or elsewhere, if that was of what is here now."""
        try:
            with open(os.path.join(self.dir, "verdict.json"), encoding="utf-8") as f:
                here = json.load(f)
        except (OSError, ValueError):
            here = {}
        return next((known for known in (here, self.published)
                     if self.inputs and known.get("inputs") == self.inputs), None)


def read_cells():
    path = os.path.join(HERE, "matrix.tsv")
    cells = {}
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            fields = line.rstrip("\n").split("\t")
            if line.startswith("#") or not line.strip():
                continue
            try:
                if len(fields) != len(FIELDS) or not all(fields):
                    raise core.Error(f"a row has {len(FIELDS)} fields between tabs, '-' for none")
                if fields[0] in cells:
                    raise core.Error(f"a second cell of the name {fields[0]}")
                cells[fields[0]] = Cell(fields)
            except core.Error as problem:
                raise core.Error(f"harness/campaigns/matrix.tsv:{number}: {problem}") from None
    return cells


def environment(**guest):
    env = {name: value for name, value in os.environ.items() if name not in GUEST}
    env.update({name: value for name, value in guest.items() if value})
    return env


def harness(*command, env=None):
    """What a script of the harness prints; its own words go where ours do."""
    done = subprocess.run([core.HARNESS / "do", *command], stdout=subprocess.PIPE, text=True,
                          env=env or environment(), check=False)
    if done.returncode:
        raise core.Error(f"harness/{' '.join(command)} failed; see above")
    return done.stdout.strip()


def contents(*paths):
    for path in paths:
        with open(path, "rb") as f:
            yield f.read()


def rows_for(name, path):
    """The rows of a list that concern a cell."""
    with open(path, encoding="utf-8") as f:
        return [line for line in f if not line.startswith("#") and fnmatch.fnmatchcase(name, line.split("\t")[0])]


def inputs_of(configs):
    """A hash of what each kernel is built from; nothing where the sources have edits."""
    lines = harness("kernel", "--inputs", *sorted(configs)).split("\n")
    return {name: rest.strip() for name, _, rest in (line.partition(" ") for line in lines)}


def objects_of(*paths):
    """What git has of these parts of the patched kernel."""
    done = subprocess.run(["git", "-C", os.path.join(BUILD, "tree"), "ls-tree", "HEAD", "--", *paths],
                          stdout=subprocess.PIPE, env=core.git_environment(), check=False)
    if done.returncode:
        raise core.Error("git has nothing of build/tree; see above")
    return done.stdout


def test_sources():
    """What the selftests that guests run are built from; the Makefile has others, which no cell runs."""
    folder = os.path.join(SELFTESTS, OURS)
    listed = objects_of(os.path.relpath(folder, os.path.join(BUILD, "tree")) + "/").decode().splitlines()
    files = {name: next(contents(os.path.join(folder, name))).decode() for name in
             (os.path.basename(line.split("\t")[1]) for line in listed)}
    others = re.search(r"^OTHERS\s*:=(.*)$", files.get("Makefile", ""), re.MULTILINE)
    if not others:
        raise core.Error(f"{folder}/Makefile does not say what is no test, as OTHERS")
    others = others[1].split()
    todo = sorted(name for name in files if not name.endswith(".h") and os.path.splitext(name)[0] not in others)
    wanted = set(todo)
    while todo:
        for name in re.findall(r'^#\s*include "([^"]+)"', files[todo.pop()], re.MULTILINE):
            if name in files and name not in wanted:
                wanted.add(name)
                todo.append(name)
    yield from (f"{name}\n{files[name]}".encode() for name in sorted(wanted))
    # The runner, what all tests include, and the one test of another's.
    yield objects_of(*(f"tools/testing/selftests/{name}" for name in (
        "Makefile", "lib.mk", "kselftest", "kselftest.h", "kselftest_harness.h", "run_kselftest.sh",
        "kselftest_install.sh", "gen_kselftest_tar.sh", "seccomp")))


def find_inputs(cells, qemu):
    """Give each cell a hash of all that its verdict depends on."""
    builds = inputs_of({cell.config for cell in cells})
    tests = list(test_sources())
    # A directory there is for the guests of others: harness/guest/inside/debian for make deb-test.
    scripts = filter(os.path.isfile, sorted(glob.glob(os.path.join(core.HARNESS, "guest", "*"))))
    guest = list(contents(*scripts, os.path.join(core.HARNESS, "judge", "judge.py")))
    for cell in cells:
        if not builds[cell.config]:
            continue            # build/tree has edits: nothing is known of it
        what = hashlib.sha256()
        for text in (builds[cell.config], cell.row):
            what.update(text.encode())
        if cell.kind != "build":
            for data in guest + tests:
                what.update(data)
            for text in (qemu, *rows_for(cell.name, os.path.join(core.HARNESS, "judge", "skips.tsv")),
                         *rows_for(cell.name, os.path.join(core.HARNESS, "judge", "splats.tsv"))):
                what.update(text.encode())
        cell.inputs = what.hexdigest()[:16]


def ensure_selftests():
    """They are built once for all guests, and anew when the series has changed, or others have built them."""
    built = os.path.join(BUILD, "x86_64", "kselftest")
    stamp = os.path.join(built, ".matrix")
    now = inputs_of(["x86_64"])["x86_64"]
    now = now and now + objects_of("tools/testing/selftests").decode()
    try:
        with open(stamp, encoding="utf-8") as f:
            known = f.read()
    except OSError:
        known = ""
    if not now or known != now:
        harness("guest/selftests")
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(now)


def hash_of(config):
    """The configuration's, as a short word."""
    try:
        return hashlib.sha256(b"".join(contents(os.path.join(BUILD, config, ".config")))).hexdigest()[:12]
    except OSError:
        return "-"


# ---- Building objects ----

def touched():
    """The kernel's C files that the series touches."""
    paths = set()
    for patch in glob.glob(os.path.join(ROOT, "patches", "5.10", "*.patch")):
        with open(patch, encoding="utf-8") as f:
            paths.update(re.findall(r"^\+\+\+ b/(\S+\.c)$", f.read(), re.MULTILINE))
    return sorted(path for path in paths if not path.startswith("tools/"))


def objects(tree, config):
    """Those of them that this configuration compiles, as their directory's Makefile says."""
    found = []
    for path in touched():
        folder, name = os.path.split(path[:-2] + ".o")
        makefile = os.path.join(tree, folder, "Makefile")
        with open(makefile, encoding="utf-8") as f:
            text = f.read().replace("\\\n", " ")
        for when, names in re.findall(r"^obj-(\S+?)\s*[:+]?=(.*)$", text, re.MULTILINE):
            if name not in names.split():
                continue
            symbol = re.fullmatch(r"\$\((CONFIG_\w+)\)", when)
            if when == "y" or symbol and config.get(symbol[1]) in ("y", "m"):
                found.append(f"{folder}/{name}")
    return found


def read_config(path):
    with open(path, encoding="utf-8") as f:
        return dict(re.findall(r"^(CONFIG_\w+)=(.*)$", f.read(), re.MULTILINE))


def build_objects(cell, log):
    """Returns passed, failed and what was built."""
    with open(log, "w", encoding="utf-8") as f:
        done = subprocess.run([core.HARNESS / "do", "kernel", "--config", cell.config], stdout=subprocess.PIPE,
                              stderr=f, text=True, env=environment(), check=False)
        if done.returncode:
            return 0, 1
        path = done.stdout.strip()
        config = read_config(path)
        arch = re.search(r"^# Linux/(\S+)", open(path, encoding="utf-8").read(), re.MULTILINE)[1]
        names = [name for name in objects(os.path.join(BUILD, "tree"), config)
                 if not name.startswith("arch/") or arch in ("x86", "x86_64", "i386") and name.startswith("arch/x86/")]
        if not names:
            f.write("no object of the series is compiled\n")
            return 0, 1
        # The vDSO's images are made in its directory, of what the series touches there too.
        wanted = names + (["arch/x86/entry/vdso/"] if "arch/x86/entry/vdso/vma.o" in names else [])
        f.flush()
        done = subprocess.run([core.HARNESS / "do", "kernel", "--make", cell.config, *wanted], stdout=f,
                              stderr=subprocess.STDOUT, env=environment(), check=False)
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    missing = [name for name in names if not os.path.exists(os.path.join(BUILD, cell.config, name))]
    warned = [line for line in text.splitlines() if re.search(r"\b(warning|error):", line) and
              re.search("syscall_user_dispatch|" + "|".join(re.escape(path) for path in touched()), line)]
    for line in [f"{name} was not built" for name in missing] + warned:
        print(f"    {line}", file=sys.stderr)
    failed = len(missing) + len(warned) or int(done.returncode != 0)
    return len(names) - len(missing), failed


# ---- Cells ----

def last_line(log):
    with open(log, encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    match = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", lines[-1] if lines else "")
    skips = [f"{m[1]} {m[2]}" for m in (re.match(r"skipped: (\d+) of (\S+): ", line) for line in lines) if m]
    splats = sum(line.startswith("FAILED: console: ") for line in lines)
    return [int(n) for n in match.groups()] if match else None, skips, splats


def boot(cell, log):
    with open(log, "w", encoding="utf-8") as f:
        done = subprocess.run(
            [core.HARNESS / "do", "judged", cell.name, cell.config,
             ALL if cell.tests == "all" else cell.tests, *cell.words.split()],
            stdout=f, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
            env=environment(QEMU_CPU=cell.cpu, SMP=cell.smp, MEM=cell.mem, SLOW=cell.slow, OUT=cell.dir,
                            SAYS="" if cell.kind == "planted" else cell.says))
    counts, skips, splats = last_line(log)
    passed, failed, skipped = counts or (0, 1, 0)
    if cell.kind == "planted":
        # What the tests say is of no interest; that the kernel does is all.
        try:
            with open(os.path.join(cell.dir, "console.log"), encoding="utf-8", errors="replace") as f:
                said = re.search(cell.says, f.read())
        except OSError:
            said = None
        return (1, 0, 0, [], 1) if said else (0, 1, 0, [], splats)
    if done.returncode and not failed:
        failed = 1
    return passed, failed, skipped, skips, splats


def run(cell):
    start = time.monotonic()
    shutil.rmtree(cell.dir, ignore_errors=True)
    os.makedirs(cell.dir)
    log = os.path.join(cell.dir, "log")
    skipped, skips, splats = 0, [], 0
    print(f"== {cell.name}", flush=True)
    if cell.kind == "build":
        passed, failed = build_objects(cell, log)
    else:
        try:
            # Before the time is taken, so that it is the guest's.
            harness("kernel", cell.config)
            # After it, as that takes long enough for others to build something else.
            ensure_selftests()
            start = time.monotonic()
            passed, failed, skipped, skips, splats = boot(cell, log)
        except core.Error as problem:
            with open(log, "w", encoding="utf-8") as f:
                f.write(f"{problem}\n")
            passed, failed = 0, 1
    seconds = int(time.monotonic() - start)
    known = {
        "inputs": cell.inputs, "verdict": "failed" if failed else "passed", "configuration": hash_of(cell.config),
        "passed": passed, "failed": failed, "skipped": skipped, "skips": "; ".join(skips), "splats": splats,
        "seconds": seconds,
    }
    with open(os.path.join(cell.dir, "verdict.json"), "w", encoding="utf-8") as f:
        json.dump(known, f, indent=1)
    print(f"   {passed} passed, {failed} failed, {skipped} skipped ({seconds} s)", flush=True)
    if failed:
        with open(log, encoding="utf-8", errors="replace") as f:
            tail = f.read().splitlines()[-40:]
        print(f"--- the end of {os.path.relpath(log)}:", *tail, "---", sep="\n", flush=True)
    return known


# ---- Tables ----

def version(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.split("\n")[0].strip()


def write_results(cells, tools):
    rows = []
    for cell in cells:
        known = cell.verdict() or {}
        rows.append([cell.name, known.get("verdict", "not run"), cell.config, known.get("configuration", "-"),
                     cell.cpu or ("-" if cell.kind == "build" else "max"),
                     cell.smp or ("-" if cell.kind == "build" else "2"), cell.words or "-"] +
                    [str(known.get(name, "-")) or "-" for name in COLUMNS[7:]])
    lines = ["# SPDX-License-Identifier: GPL-2.0",
             "# Generated by make matrix; results/README.md says what the columns are. Of the sources here, nothing "
             "else; made by", *(f"# {tool}" for tool in tools if tool), "\t".join(COLUMNS)]
    lines += ["\t".join(row) for row in rows]
    with open(RESULTS + ".new", "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    os.replace(RESULTS + ".new", RESULTS)


def read_results():
    try:
        with open(RESULTS, encoding="utf-8") as f:
            rows = [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]
    except OSError as error:
        raise core.Error("there is no results/matrix.tsv; run: make matrix") from error
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def summary():
    """A Markdown table, a line a kernel; its cells without a verdict are named below."""
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
        epilog="Environment: CELLS, what to run, if no cell is named; FORCE=1 runs what has a verdict too.")
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
    core.lock("matrix")
    os.makedirs(OUT, exist_ok=True)
    tools = [version("gcc", "--version"), version("clang", "--version"), version("qemu-system-x86_64", "--version")]
    find_inputs(cells.values(), tools[2])
    if os.path.exists(RESULTS):
        for row in read_results():
            if row["cell"] in cells:
                cells[row["cell"]].published = row
    chosen = [cell for cell in cells.values() if cell.name in names]
    force = bool(os.environ.get("FORCE"))
    todo = [cell for cell in chosen if force or not cell.verdict()]
    start = time.monotonic()
    verdicts = {}
    for cell in todo:
        verdicts[cell.name] = run(cell)["verdict"]
        write_results(cells.values(), tools)
    if not todo:
        write_results(cells.values(), tools)

    kept = {cell.name: cell.verdict()["verdict"] for cell in chosen if cell not in todo}
    failed = [name for name, verdict in {**verdicts, **kept}.items() if verdict == "failed"]
    for what, some in (("ran", verdicts), ("not run again, had a verdict", kept),
                       ("not asked for", [cell.name for cell in cells.values() if cell not in chosen]),
                       ("failed", failed)):
        if some:
            print(f"{what}: {' '.join(some)}")
    print(f"results/matrix.tsv has the figures; it took {int(time.monotonic() - start) // 60} min")
    print(f"{len(verdicts) + len(kept) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0
