# SPDX-License-Identifier: GPL-2.0
"""Break the patched kernel in one place at a time, and check that the selftests fail.

Every patch in harness/campaigns/mutations/SERIES/ is a mutant: a small diff against the patched tree of the base that
BASE names. Its head says, in lines before the diff,

  a sentence: the fault;
  rules: R1 R3       a test of one of these rules must fail ("-": a test
                     without a rule; "panic", "hang": the kernel may do that)
  tests: region_64   the programs to run first, as these should fail

The mutant is built and booted, and the selftests run in it until one that tests a named rule fails: it is killed.
Otherwise it survived (no test failed), or it went astray: only tests of other rules failed, or the kernel broke down. The
kernel without a mutation goes first, as the control, and must survive, or failures would mean nothing.

With --fuzz, the fuzzer of proof/ runs in every mutant as well, from one seed, to see which of them random operations find. What
it does not find is no failure.

The mutants are built in build/<base>/mutants/, in a work tree of the last commit of the patched tree, one ahead of the guest.
verdicts.json there has what is known; a verdict stands until the patched tree, the judge or the mutation changes, so an
interrupted campaign goes on where it stopped. FORCE=1 runs all again. When all are killed, the table goes to results/,
or to results/SERIES/ if it is not the series of the default base.

The last line counts. The exit status is 0 if all that were asked for are killed.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

from harness import core
from harness.build import proof
from harness.campaigns import campaign
from harness.judge import judge
from harness.source import base
from harness.source.git import git, work_tree

DO = core.HARNESS / "do"
MUTATIONS = core.HARNESS / "campaigns" / "mutations" / base.line()
WORK = core.built("mutants")
TREE = WORK / "tree"
CONFIG = "direct"      # it has every line of the series
VERDICTS = WORK / "verdicts.json"
CONTROL = "none"
HEAD = ("mutant", "verdict", "breaks", "rules", "failed", "killer", "seconds", "fuzzer")

# Seconds. The runner in the guest gives a program 600, and prints its output at its end.
SILENCE = 700
# The time that a program with a failure has for its other tests.
GRACE = 20
LIMIT = 5400

# The same operations in every mutant. On a kernel without a mutation they find no difference.
FUZZ_PROGRAMS = [f"fuzz_{abi}" for abi in campaign.ABIS]
PROOF = [*FUZZ_PROGRAMS, *(f"probe_{abi}" for abi in campaign.ABIS)]
FUZZ = "-s 1 -n 20000 -k 1"
FUZZ_LIMIT = 900

# The processes that run: they end with the campaign.
RUNNING = set()


class Mutation:
    """One mutation, or the control: a kernel without a mutation."""

    def __init__(self, path=None):
        self.path = path
        self.name, self.breaks, self.diff = CONTROL, "nothing", ""
        self.rules, self.tests, self.files = set(), [], []
        if path:
            self.name = path.stem
            self.read()

    def read(self):
        head, mark, rest = self.path.read_text(encoding="utf-8").partition("\n--- ")
        self.diff = mark + rest
        self.files = re.findall(r"^\+\+\+ b/(.*)$", self.diff, re.MULTILINE)
        words, fields = [], {}
        for line in head.splitlines():
            key, colon, value = line.partition(": ")
            if colon and key in ("rules", "tests"):
                fields[key] = value.split()
            else:
                words.append(line.strip())
        self.breaks = " ".join(filter(None, words))
        self.rules, self.tests = set(fields.get("rules", ())), fields.get("tests", [])
        if not (mark and self.breaks and self.rules and self.tests):
            raise core.Error(f"{self.path}: it needs a line that says what it breaks, "
                          "a line 'rules: ...', a line 'tests: ...', then the diff")

    def told(self, failed):
        """Do these failures prove that the mutation was noticed?"""
        return any(self.rules & set(judge.rule_of(test).split()) for test in failed)


def rules_of(test):
    return judge.rule_of(test).split()


def choose(names):
    """The mutations of these names, numbers or names without the number, and all that there are."""
    every = [Mutation(path) for path in sorted(MUTATIONS.glob("*.patch"), key=lambda path: int(path.name.partition("-")[0]))]
    numbers = [mutation.name.partition("-")[0] for mutation in every]
    twice = [mutation.name for mutation, number in zip(every, numbers) if numbers.count(number) > 1]
    if twice:
        raise core.Error(f"mutations of the same number in {core.shown(MUTATIONS)}: {' '.join(twice)}")
    chosen = []
    for name in names:
        found = [m for m in every if name in (m.name, m.name.partition("-")[2], m.name.partition("-")[0])]
        if not found:
            raise core.Error(f"there is no mutation {name} in {core.shown(MUTATIONS)}")
        chosen += found
    return chosen or every, every


def log_of(mutation):
    return WORK / "logs" / f"{mutation.name}.log"


# ---- processes ----

def start(variable, log, *command):
    """A command of the harness, after the words that the user wants in front of it; its output goes to the log."""
    process = subprocess.Popen([*shlex.split(os.environ.get(variable, "")), DO, *command], stdin=subprocess.DEVNULL,
                               stdout=log, stderr=log, start_new_session=True)
    RUNNING.add(process)
    return process


def stop(process):
    """End a process, and what it has started; harness/do boot ends QEMU when it is told to end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    RUNNING.discard(process)


# ---- builds ----

def prepare():
    """A work tree of what is committed in the patched tree, and nothing else in it; the hash of that tree."""
    core.run("tree")
    if git("status", "--porcelain", "-uno"):
        raise core.Error("the patched tree has edits that are in no commit, and would not be in the mutants. "
                         "Commit them there, or take them over into the repository: make refresh")
    WORK.mkdir(parents=True, exist_ok=True)
    if TREE.exists():
        # A campaign that was killed may have left it.
        lock = git("rev-parse", "--path-format=absolute", "--git-path", "index.lock", tree=TREE)
        if os.path.exists(lock):
            os.unlink(lock)
    work_tree(TREE, git("rev-parse", "HEAD"), 3000, "a second tree and its kernel")
    return git("rev-parse", "HEAD^{tree}")


def build(mutation):
    """Returns the image, or None if it does not build; its number, as the kernel says it; and the seconds that it took."""
    begin, image = time.monotonic(), WORK / "images" / mutation.name
    with open(log_of(mutation), "w", encoding="utf-8") as log:
        if mutation.files:
            git("apply", "--whitespace=nowarn", mutation.path, tree=TREE)
        # The configuration stands; nothing but make need look at what there is.
        process = start("AROUND_BUILD", log, "kernel", "--in", WORK, "--make", CONFIG, "bzImage")
        process.wait()
        RUNNING.discard(process)
        if mutation.files:
            git("checkout", "-q", "HEAD", "--", *mutation.files, tree=TREE)
        if process.returncode:
            return None, "", time.monotonic() - begin
        shutil.copyfile(WORK / CONFIG / "arch/x86/boot/bzImage", image)
        number = (WORK / CONFIG / ".version").read_text(encoding="utf-8").strip()
        return image, f"#{number} ", time.monotonic() - begin


# ---- the guest ----

class Guest:
    """One boot of a mutant, with the options of harness/do pack and harness/do boot."""

    def __init__(self, image, number, log, pack, boot):
        self.dir, self.number = WORK / "guest", number
        self.verdict, self.console = self.dir / "verdict.log", self.dir / "console.log"
        for path in (self.verdict, self.console):
            path.unlink(missing_ok=True)
        initrd = self.dir / "initrd.cpio"
        core.run("pack", "--out", initrd, "--tree", f"{campaign.KSELFTEST}:/kselftest", *pack, stderr=log)
        self.process = start("AROUND_BOOT", log, "boot", "--kernel", image, "--initrd", initrd, "--out", self.dir, *boot)

    def check_number(self):
        """A verdict on another kernel than the mutant's would be worse than none."""
        booted = [line for line in judge.read_lines(self.console, "the console") if line.startswith("Linux version ")]
        if booted and self.number not in booted[0]:
            raise core.Error(f"the guest booted another kernel than {self.number}, which was built for it: {booted[0]}\n"
                             f"Is something else at work in {core.shown(WORK)}, or is the disk at fault? Run it again")

    def nonce(self):
        return (self.dir / "nonce").read_text(encoding="utf-8").strip()


def report(guest, whole):
    """The tests that failed so far, and other failures; of the WHOLE verdict, or of one that goes on."""
    found, lacks = judge.Report(), judge.lacks_of(CONFIG)
    judge.judge_verdict(judge.read_lines(guest.verdict, "the verdict")[:-1], guest.nonce(), found)
    judge.judge_skips(judge.read_table(judge.SKIP_LIST, lacks), found)
    judge.judge_console(judge.read_lines(guest.console, "the console"), judge.read_splats(judge.SPLAT_LIST, lacks), found)
    failures = [what for what, _ in found.failures if whole or ": stopped" not in what]
    return ([found.tests[what] for what in failures if what in found.tests],
            [what for what in failures if what not in found.tests])


def watch(guest, told):
    """Wait until the guest ends, or what failed has TOLD. Returns what report() does, and how it ended."""
    size, heard, deadline = -1, time.monotonic(), None
    while guest.process.poll() is None:
        now = time.monotonic()
        if not guest.verdict.exists():
            # Not started yet: it may wait for something around it.
            heard = now
        elif guest.verdict.stat().st_size != size:
            size, heard = guest.verdict.stat().st_size, now
            if told(report(guest, False)[0]):
                lines = judge.read_lines(guest.verdict, "the verdict")
                # The program is through with its tests, or has some time left for the others.
                deadline = now if judge.OUTER.match(lines[-2]) else deadline or now + GRACE
        if deadline and now >= deadline:
            stop(guest.process)
            return *report(guest, False), "told"
        if now - heard > SILENCE:
            stop(guest.process)
            return *report(guest, True), "hang"
        time.sleep(0.5)
    stop(guest.process)
    return *report(guest, True), "ended" if guest.process.returncode == 0 else "panic"


def judge_tests(mutation, tests, image, number, log):
    """Run the selftests in the mutant; the verdict."""
    begin = time.monotonic()
    campaign.write(WORK / "guest" / "tests", *tests)
    guest = Guest(image, number, log, ["--file", f"{WORK / 'guest' / 'tests'}:/guest/tests"],
                  ["--mode", "check", "--timeout", str(LIMIT)])
    failed, others, end = watch(guest, mutation.told)
    guest.check_number()
    print(*(f"{test} failed" for test in failed), *others, sep="\n", file=log)
    killers = [test for test in failed if mutation.told([test])]
    if killers or end in mutation.rules:
        verdict = "killed"
    elif end in ("panic", "hang") or failed or others:
        verdict = "astray"
    else:
        verdict = "survived"
    rules = sorted({rule for test in failed for rule in judge.rule_of(test).split()},
                   key=lambda rule: (rule[:1], int(rule[1:] or 0)))
    return {"verdict": verdict, "rules": rules, "failed": len(failed), "end": end,
            "killer": (killers or failed or [end if others else "-"])[0], "seconds": round(time.monotonic() - begin)}


def judge_fuzz(image, number, log):
    """Run the fuzzer of each ABI until something differs: the rule that did, "-" if none, or how the guest broke down."""
    programs = " && ".join(f"./{name} {FUZZ}" for name in FUZZ_PROGRAMS)
    pack = [word for name in PROOF for word in ("--prog", proof.path(name))]
    guest = Guest(image, number, log, [*pack, "--", "sh", "-c", programs], ["--mode", "run", "--timeout", str(FUZZ_LIMIT)])
    guest.process.wait()
    stop(guest.process)
    guest.check_number()
    if guest.process.returncode:
        return {124: "hang", 125: "panic"}.get(guest.process.returncode, "broken")
    if f"guest: end {guest.nonce()} status 0" in judge.read_lines(guest.verdict, "the verdict"):
        return "-"
    rules = re.findall(r"# .*difference by rule (\S+?):", guest.console.read_text(encoding="utf-8", errors="replace"))
    return rules[-1] if rules else "broken"


# ---- the campaign ----

class Campaign:
    """The mutants that were asked for, with the control before them."""

    def __init__(self, mutations, every, tree, fuzz):
        self.mutations, self.every, self.tree, self.fuzz = [Mutation(), *mutations], every, tree, fuzz
        listed = (campaign.KSELFTEST / "kselftest-list.txt").read_text(encoding="utf-8").split()
        self.programs = {test.partition(":")[2]: test for test in listed if re.search(campaign.TESTS, test)}
        for mutation in every:
            self.ordered(mutation)
        self.known = json.loads(VERDICTS.read_text(encoding="utf-8")) if VERDICTS.exists() else {}
        self.done = set()       # what ran now

    def ordered(self, mutation):
        """The tests as collection:program; the mutation's first, then those of 64 bits, as most mutants die there."""
        for name in mutation.tests:
            if name not in self.programs:
                raise core.Error(f"there is no test program {name}")
        rest = sorted((name for name in self.programs if name not in mutation.tests),
                      key=lambda name: (name.endswith("32"), name.startswith("seccomp")))
        return [self.programs[name] for name in [*mutation.tests, *rest]]

    def basis(self, mutation):
        """A hash of what a verdict is based on."""
        judged = (path.read_text(encoding="utf-8") for path in (core.HARNESS / "judge" / "judge.py", judge.SKIP_LIST))
        parts = (self.tree, mutation.diff, *sorted(mutation.rules), *judged)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def verdict(self, mutation):
        """Its verdict, {} if there is none of the same inputs."""
        known = self.known.get(mutation.name, {})
        return known if known.get("basis") == self.basis(mutation) else {}

    def todo(self, mutation):
        """Whether the tests, and whether the fuzzer, have to run."""
        known = self.verdict(mutation) if mutation.name in self.done or not os.environ.get("FORCE") else {}
        return known.get("verdict") not in ("killed", "survived"), self.fuzz and "fuzzer" not in known

    def save(self, mutation, **known):
        self.known[mutation.name] = {**self.verdict(mutation), **known, "basis": self.basis(mutation)}
        self.done.add(mutation.name)
        campaign.write(f"{VERDICTS}.new", json.dumps(self.known, indent=1))
        os.replace(f"{VERDICTS}.new", VERDICTS)

    def run(self):
        todo = [mutation for mutation in self.mutations if any(self.todo(mutation))]
        with concurrent.futures.ThreadPoolExecutor(1) as builder:
            try:
                ahead = builder.submit(build, todo[0]) if todo else None
                for mutation in self.mutations:
                    if todo and mutation is todo[0]:
                        built = ahead.result()
                        todo.pop(0)
                        ahead = builder.submit(build, todo[0]) if todo else None
                        self.examine(mutation, *built)
                    self.tell(mutation)
            finally:
                for process in list(RUNNING):
                    stop(process)

    def examine(self, mutation, image, number, seconds):
        tests, fuzz = self.todo(mutation)
        if not image:
            self.save(mutation, verdict="unbuilt", rules=[], failed=0, killer="-", end="-", seconds=round(seconds))
            return
        with open(log_of(mutation), "a", encoding="utf-8") as log:
            if tests:
                verdict = judge_tests(mutation, self.ordered(mutation), image, number, log)
                verdict["seconds"] += round(seconds)
                self.save(mutation, **verdict)
            if fuzz:
                self.save(mutation, fuzzer=judge_fuzz(image, number, log))
        image.unlink()

    def tell(self, mutation):
        known = self.verdict(mutation)
        text = known["verdict"] + (f" by {known['killer']}" if known["killer"] != "-" else "")
        text += f" and {known['failed'] - 1} more" if known["failed"] > 1 else ""
        text += f" ({known['end']})" if known["end"] in ("panic", "hang") else ""
        found = known.get("fuzzer") if self.fuzz else None
        text += {None: "", "-": "; not found by the fuzzer"}.get(found, f"; found by the fuzzer ({found})")
        text += "" if mutation.name in self.done else " (as before)"
        print(f"{mutation.name:{max(len(m.name) for m in self.mutations)}}  {text}", flush=True)
        wrong = ("does not pass its selftests, so what fails" if known["verdict"] != "survived" else
                 "differs from the fuzzer's model, so what the fuzzer finds" if found not in (None, "-") else "")
        if wrong and not mutation.path:
            raise core.Error(f"the kernel without a mutation {wrong} in a mutant would mean nothing; "
                             f"see {core.shown(WORK)}/logs/none.log", 1)

    def table(self):
        """Write the table; if all there are are killed, it is a result."""
        rows = [(m, self.verdict(m)) for m in self.every if self.verdict(m)]
        fuzzer = {None: "", "-": "no"}
        campaign.write(WORK / "mutants.tsv", *map(campaign.row, (HEAD, *(
            (m.name, known["verdict"], m.breaks, " ".join(known["rules"]) or "-", known["failed"], known["killer"],
             known["seconds"], fuzzer.get(known.get("fuzzer"), f"yes: {known.get('fuzzer')}")) for m, known in rows))))
        if len(rows) == len(self.every) and all(known["verdict"] == "killed" for _, known in rows):
            shutil.copyfile(WORK / "mutants.tsv", campaign.RESULTS / "mutants.tsv")

    def sum(self):
        """Print the last lines; the exit status."""
        mutants = self.mutations[1:]
        verdicts = [self.verdict(mutation)["verdict"] for mutation in mutants]
        if self.fuzz:
            found = sum(self.verdict(mutation).get("fuzzer", "-") != "-" for mutation in mutants)
            print(f"the fuzzer found {found} of {len(mutants)}")
        print(", ".join(f"{verdicts.count(what)} {what}" for what in ("killed", "survived", "astray", "unbuilt")
                        if what in verdicts or what in ("killed", "survived")))
        return 0 if verdicts.count("killed") == len(mutants) else 1


def check(mutations):
    """Does each of them still apply? The last line counts."""
    core.run("tree")
    failed = [mutation for mutation in mutations if git("apply", "--check", mutation.path, check=False) is None]
    campaign.tell((f"{mutation.name} does not apply to the patched tree", ()) for mutation in failed)
    print(f"{len(mutations) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(
        prog="harness/do mutants",
        description="Break the patched kernel in one place at a time, and check that the selftests fail.",
        epilog="AROUND_BUILD and AROUND_BOOT in the environment are words that go in front of the commands "
               "which build a kernel and boot a guest, such as: nice -n 19. FORCE=1 runs what has a verdict, too.")
    parser.add_argument("--check", action="store_true", help="only see whether the mutations apply")
    parser.add_argument("--fuzz", action="store_true", help="also run the fuzzer in every mutant")
    parser.add_argument("names", metavar="NAME", nargs="*",
                        help="a mutation: 07-selector-no-sleep, selector-no-sleep or 07 (all)")
    options = parser.parse_args()
    chosen, every = choose(options.names)
    if options.check:
        return check(chosen)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    campaign.begin("mutants")
    core.run("setup", "--abis")
    tree = prepare()
    shutil.rmtree(WORK / "images", ignore_errors=True)
    for name in ("images", "logs", "guest"):
        (WORK / name).mkdir(exist_ok=True)
    core.run("selftests")
    if options.fuzz:
        proof.build(*PROOF)
    core.run("kernel", "--in", WORK, CONFIG)
    mutants = Campaign(chosen, every, tree, options.fuzz)
    mutants.run()
    mutants.table()
    return mutants.sum()
