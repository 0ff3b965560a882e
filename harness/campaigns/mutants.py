# SPDX-License-Identifier: GPL-2.0
"""Break the patched kernel in one place at a time, and see the selftests tell.

Every file in harness/campaigns/mutations/ is a small diff against build/tree, and one
mutant. Its head says, in lines before the diff,

  what it breaks, in a sentence;
  rules: R1 R3       of which rules a test must fail ("-": of a test named
                     after none; "panic", "hang": the kernel may do that)
  tests: region_64   which programs to run first, as these should tell

The mutant is built and booted, and the selftests run in it until one that tests
a named rule fails: it is killed. Otherwise it survived: no test told; or it went
astray: only tests of other rules told, or the kernel broke down. The kernel
without a mutation goes first, and must survive, or failures would mean nothing.

With --fuzz, the fuzzer of proof/ runs in every mutant as well, from one
seed, to see which of them random operations find. What it does not find is no
failure.

The mutants are built in build/mutants/, in a work tree of the last commit in
build/tree, one ahead of the guest. The verdicts are kept there, and one stands
until the kernel, the mutation, or the programs that it is based on change: an
interrupted run goes on where it stopped. When all are killed, the table goes to
results/mutants.tsv.

The last line counts. The exit status is 0 if all that were asked for are killed.
"""

import argparse
import atexit
import glob
import hashlib
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

from harness import core
from harness.build import proof
from harness.judge import judge

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = core.ROOT

BUILD = core.BUILD
WORK = os.path.join(BUILD, "mutants")
TREE = os.path.join(WORK, "tree")
CONFIG = "direct"      # it has every line of the series
KSELFTEST = os.path.join(WORK, CONFIG, "kselftest")
DO = core.HARNESS / "do"
MUTATIONS = os.path.join(HERE, "mutations")
CONTROL = "none"
HEAD = ("mutant", "verdict", "breaks", "rules", "failed", "killer", "seconds", "fuzzer")

# The runner in the guest gives a program 600 seconds, and hands on what it
# says when it is through with it.
SILENCE = 700
# What a program that told has left for its other tests.
GRACE = 20
LIMIT = 5400

# What the fuzzer does: the same in every mutant, and on a kernel without a mutation nothing differs.
FUZZ_PROGRAMS = ("fuzz_64", "fuzz_32", "fuzz_x32")
PROOF = [*FUZZ_PROGRAMS, "probe_64", "probe_32", "probe_x32"]
FUZZ = "-s 1 -n 20000 -k 1"
FUZZ_LIMIT = 900

UNHEARD = re.compile(r"(\S+): (\S+) has no result$")
STOPPED = re.compile(r"(\S+): stopped in (\S+), the runner has no result for it$")
SKIPPED = re.compile(r"(\S+:\S+) was skipped and is not listed: ")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Mutation:
    """One file of harness/campaigns/mutations/, or the control: a kernel without a mutation."""

    def __init__(self, path=None):
        self.path = path
        self.name, self.breaks, self.diff = CONTROL, "nothing", ""
        self.rules, self.tests, self.files = set(), [], []
        if path:
            self.name = os.path.basename(path)[:-len(".patch")]
            self.read()

    def read(self):
        with open(self.path, encoding="utf-8") as f:
            head, mark, rest = f.read().partition("\n--- ")
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
        return any(self.rules & set(rules_of(test)) for test in failed)


def rules_of(test):
    return judge.rule_of(test).split()


def run(*command, **options):
    """A command of ours that must succeed; its output, unless that goes elsewhere."""
    options.setdefault("stdout", subprocess.PIPE)
    result = subprocess.run(command, stdin=subprocess.DEVNULL, text=True, check=False, **options)
    if result.returncode:
        raise core.Error(f"{shlex.join(command)} failed; what it said stands above")
    return result.stdout


def git(*words, tree=TREE, **options):
    """git without the user's own configuration, and wherever make was called from."""
    return run("git", "-C", tree, "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", *words,
               env=core.git_environment(), **options)


def around(variable):
    """Words that the user wants in front of a command."""
    return shlex.split(os.environ.get(variable, ""))


# ---- sources, builds ----

def prepare_tree():
    """A work tree of what is committed in build/tree, and nothing else in it."""
    source = os.path.join(BUILD, "tree")
    run(DO, "tree", stdout=sys.stderr)
    if git("status", "--porcelain", "-uno", tree=source):
        raise core.Error("build/tree has edits that are in no commit, and would not be in the mutants. "
                      "Commit them there, or take them over into the repository: make refresh")
    commit = git("rev-parse", "HEAD", tree=source).strip()
    os.makedirs(WORK, exist_ok=True)
    if not os.path.exists(os.path.join(TREE, ".git")):
        say("* Writing the files of build/mutants/tree")
        shutil.rmtree(TREE, ignore_errors=True)
        git("worktree", "prune", tree=source)
        git("worktree", "add", "-q", "-f", "--detach", TREE, commit, tree=source)
    lock = git("rev-parse", "--path-format=absolute", "--git-path", "index.lock").strip()
    if os.path.exists(lock):
        os.unlink(lock)
    # What an interrupted run left is gone with this, too.
    git("reset", "-q", "--hard", commit)


class Builder:
    """Builds the mutants one after the other, ahead of the guest."""

    def __init__(self, mutations):
        self.images = os.path.join(WORK, "images")
        self.process, self.stopped = None, False
        self.numbers = {}       # image -> its number, as the kernel says it
        self.queue = queue.Queue(1)
        shutil.rmtree(self.images, ignore_errors=True)
        os.makedirs(self.images)
        os.makedirs(os.path.join(WORK, "logs"), exist_ok=True)
        atexit.register(self.stop)
        threading.Thread(target=self.work, args=(mutations,), daemon=True).start()

    def work(self, mutations):
        for mutation in mutations:
            try:
                self.queue.put(self.build(mutation))
            except core.Error as problem:
                self.queue.put(problem)

    def build(self, mutation):
        """Returns the image, or None if there is none, and how long that took."""
        start, image = time.monotonic(), os.path.join(self.images, mutation.name)
        with open(log_of(mutation), "w", encoding="utf-8") as log:
            if mutation.files:
                git("apply", "--whitespace=nowarn", mutation.path, stderr=log)
            if self.stopped:
                raise core.Error("told to stop")
            # The configuration stands; nothing but make need look at what there is.
            self.process = subprocess.Popen(
                [*around("AROUND_BUILD"), DO, "kernel", "--in", WORK, "--make", CONFIG, "bzImage"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            self.process.wait()
            if self.process.returncode == 0:
                shutil.copyfile(os.path.join(WORK, CONFIG, "arch", "x86", "boot", "bzImage"), image)
                self.numbers[image] = number_of_build()
            if mutation.files and not self.stopped:
                git("checkout", "-q", "HEAD", "--", *mutation.files)
        return image if self.process.returncode == 0 else None, time.monotonic() - start

    def next(self):
        got = self.queue.get()
        if isinstance(got, core.Error):
            raise got
        return got

    def stop(self):
        self.stopped = True
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()
        # It may have been at work on any of them.
        git("reset", "-q", "--hard")


def number_of_build():
    """Builds are numbered, and "#7 " in its first line tells which one booted."""
    path = os.path.join(WORK, CONFIG, ".version")
    return f"#{read(path).decode().strip()} " if os.path.exists(path) else ""


def check_number(number, console):
    """A verdict on another kernel than the mutant's would be worse than none."""
    booted = [line for line in judge.read_lines(console, "the console") if line.startswith("Linux version ")]
    if number and booted and number not in booted[0]:
        raise core.Error(f"the guest booted another kernel than {number}, which was built for it: {booted[0]}\n"
                      "Is something else at work in build/mutants, or is the disk at fault? Run it again")


def log_of(mutation):
    return os.path.join(WORK, "logs", mutation.name + ".log")


def digest(*parts):
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else part.encode())
        total.update(b"\0")
    return total.hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Programs:
    """The selftests as they are installed."""

    def __init__(self):
        with open(os.path.join(KSELFTEST, "kselftest-list.txt"), encoding="utf-8") as f:
            listed = f.read().split()
        self.paths = {item.partition(":")[2]: item for item in listed
                      if re.match(r"syscall_user_dispatch:|seccomp:seccomp_(tsync_ptrace|trap_pending)$", item)}
        self.digests = {name: digest(read(os.path.join(KSELFTEST, *item.split(":"))))
                        for name, item in self.paths.items()}
        # Programs that tests execute, the runner and its settings belong to all.
        alone = {os.path.join(KSELFTEST, *item.split(":")) for item in listed}
        alone.update(glob.glob(f"{KSELFTEST}/*/bench_*"), glob.glob(f"{KSELFTEST}/kselftest-list.txt"))
        self.common = digest(*(read(path) for path in sorted(glob.glob(f"{KSELFTEST}/**", recursive=True))
                               if os.path.isfile(path) and path not in alone))
        self.fuzz = digest(FUZZ, *(read(proof.path(name)) for name in PROOF))

    def ordered(self, first):
        """As collection:program; FIRST, then those of 64 bits, as most mutants die there."""
        for name in first:
            if name not in self.paths:
                raise core.Error(f"there is no test program {name}")
        rest = sorted((name for name in self.paths if name not in first),
                      key=lambda name: (name.endswith("32"), name.startswith("seccomp")))
        return [self.paths[name] for name in [*first, *rest]]

    def digest(self, names):
        return digest(self.common, *(self.digests.get(name, "gone") for name in sorted(names)))


# ---- the guest ----

class Guest:
    """One boot of a mutant."""

    def __init__(self, image, log, pack, boot):
        self.dir = os.path.join(WORK, "guest")
        self.verdict, self.console = (os.path.join(self.dir, name) for name in ("verdict.log", "console.log"))
        for path in (self.verdict, self.console):
            if os.path.exists(path):
                os.unlink(path)
        initrd = os.path.join(self.dir, "initrd.cpio")
        run(DO, "pack", "--out", initrd, "--tree", f"{KSELFTEST}:/kselftest", *pack, stderr=log)
        self.process = subprocess.Popen(
            [*around("AROUND_BOOT"), DO, "boot", "--kernel", image, "--initrd", initrd,
             "--out", self.dir, *boot],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        atexit.register(self.stop)

    def stop(self):
        """boot ends QEMU when it is told to end. It may be waiting behind what stands around it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()
        atexit.unregister(self.stop)


class Tests(Guest):
    """The selftests, until a failure tells, or all of them."""

    def __init__(self, image, tests, log):
        os.makedirs(os.path.join(WORK, "guest"), exist_ok=True)
        listed = os.path.join(WORK, "guest", "tests")
        with open(listed, "w", encoding="utf-8") as f:
            f.write("\n".join(tests) + "\n")
        self.skips = judge.read_table(judge.SKIP_LIST, judge.lacks_of(CONFIG))
        self.splats = judge.read_splats(judge.SPLAT_LIST, judge.lacks_of(CONFIG))
        super().__init__(image, log, ["--file", f"{listed}:/guest/tests"], ["--mode", "check", "--timeout", str(LIMIT)])

    def report(self, whole):
        """What the verdict says so far, through the judge. Returns failed tests, and other failures."""
        lines = judge.read_lines(self.verdict, "the verdict")
        lines.pop()
        with open(os.path.join(self.dir, "nonce"), encoding="utf-8") as f:
            nonce = f.read().strip()
        report = judge.Report()
        judge.judge_verdict(lines, nonce, report)
        judge.judge_skips(self.skips, report)
        judge.judge_console(judge.read_lines(self.console, "the console"), self.splats, report)
        failed = [name for name, result, _ in report.results if result == "fail"]
        others = []
        for what, _ in report.failures:
            unheard, stopped, skipped = UNHEARD.match(what), STOPPED.match(what), SKIPPED.match(what)
            if unheard or stopped and whole:
                failed.append(":".join((unheard or stopped).groups()))
            elif skipped:
                failed.append(skipped[1])
            else:
                others.append(what)
        return failed, others

    def watch(self, told):
        """Wait until the guest ends, or what failed has TOLD. Returns what report() does, and how it ended."""
        size, heard, deadline, seen = -1, time.monotonic(), None, 0
        while True:
            ended = self.process.poll() is not None
            now = time.monotonic()
            if not os.path.exists(self.verdict):
                # Not started yet: it may wait for something around it.
                heard = now
            elif os.path.getsize(self.verdict) != size:
                size, heard = os.path.getsize(self.verdict), now
                failed, others = self.report(False)
                if told(failed):
                    deadline = min(deadline or now + GRACE, now + GRACE)
                    done = sum(1 for line in judge.read_lines(self.verdict, "") if judge.OUTER.match(line))
                    if done > seen:
                        self.stop()
                        return failed, others, "told"
                else:
                    seen = sum(1 for line in judge.read_lines(self.verdict, "") if judge.OUTER.match(line))
            if ended:
                return *self.report(True), "ended" if self.process.returncode == 0 else "panic"
            if deadline and now > deadline:
                self.stop()
                return *self.report(False), "told"
            if now - heard > SILENCE:
                self.stop()
                return *self.report(True), "hang"
            time.sleep(0.5)


class Fuzz(Guest):
    """The fuzzer, of each ABI, until something differs."""

    def __init__(self, image, log):
        os.makedirs(os.path.join(WORK, "guest"), exist_ok=True)
        programs = " && ".join(f"./{name} {FUZZ}" for name in FUZZ_PROGRAMS)
        pack = [word for name in PROOF for word in ("--prog", proof.path(name))]
        super().__init__(image, log, [*pack, "--", "sh", "-c", programs],
                         ["--mode", "run", "--timeout", str(FUZZ_LIMIT)])

    def found(self):
        """The rule that differed, or "-" if none did; or how the guest broke down."""
        self.process.wait()
        self.stop()
        lines = judge.read_lines(self.console, "the console")
        rules = [match[1] for match in map(re.compile(r"# .*difference by rule (\S+?):").match, lines) if match]
        if self.process.returncode:
            return {124: "hang", 125: "panic"}.get(self.process.returncode, "broken")
        with open(os.path.join(self.dir, "nonce"), encoding="utf-8") as f:
            end = f"guest: end {f.read().strip()} status 0"
        if end in judge.read_lines(self.verdict, "the verdict"):
            return "-"
        return rules[-1] if rules else "broken"


# ---- verdicts ----

class Verdicts:
    """What is known of the mutants: a file for each, and one for what the fuzzer made of it."""

    def __init__(self, kernel, programs):
        self.dir = os.path.join(WORK, "verdicts")
        self.kernel, self.programs = kernel, programs
        os.makedirs(self.dir, exist_ok=True)

    def basis(self, mutation, verdict):
        """What a verdict is based on: a kill needs nothing but its killer."""
        names = {verdict["killer"].partition(":")[0]} if verdict["verdict"] == "killed" else self.programs.paths
        return digest(self.kernel, mutation.diff, self.programs.digest(names))

    def fuzz_basis(self, mutation):
        return digest(self.kernel, mutation.diff, self.programs.fuzz)

    def read(self, name):
        try:
            with open(os.path.join(self.dir, name), encoding="utf-8") as f:
                return json.load(f)
        except FileNotFoundError:
            return None

    def write(self, name, verdict, basis):
        path = os.path.join(self.dir, name)
        with open(path + ".part", "w", encoding="utf-8") as f:
            json.dump({**verdict, "basis": basis}, f, indent=1)
        os.replace(path + ".part", path)

    def load(self, mutation):
        """The verdict, if it stands: one that says nothing of the mutant is no verdict."""
        verdict = self.read(mutation.name + ".json")
        if not verdict or verdict["verdict"] not in ("killed", "survived"):
            return None
        if verdict["verdict"] == "killed" and not mutation.rules & {*verdict["rules"], verdict["end"]}:
            return None
        return verdict if verdict["basis"] == self.basis(mutation, verdict) else None

    def save(self, mutation, verdict):
        self.write(mutation.name + ".json", verdict, self.basis(mutation, verdict))

    def load_fuzz(self, mutation):
        """What the fuzzer found, "-" for nothing; None if it was not asked."""
        verdict = self.read(mutation.name + ".fuzz.json")
        return verdict["found"] if verdict and verdict["basis"] == self.fuzz_basis(mutation) else None

    def save_fuzz(self, mutation, found):
        self.write(mutation.name + ".fuzz.json", {"found": found}, self.fuzz_basis(mutation))


def judge_mutant(mutation, programs, image, log):
    start = time.monotonic()
    guest = Tests(image, programs.ordered(mutation.tests), log)
    try:
        failed, others, end = guest.watch(mutation.told)
    finally:
        guest.stop()
    for text in [f"{test} failed" for test in failed] + others:
        print(text, file=log)

    killers = [test for test in failed if mutation.told([test])]
    if killers:
        verdict = "killed"
    elif end in ("panic", "hang"):
        verdict = "killed" if end in mutation.rules else "astray"
    else:
        verdict = "astray" if failed or others else "survived"
    rules = sorted({rule for test in failed for rule in rules_of(test)},
                   key=lambda rule: (rule[:1], int(rule[1:] or 0)))
    return {"verdict": verdict, "rules": rules, "failed": len(failed), "end": end,
            "killer": (killers or failed or [end if others else "-"])[0],
            "seconds": round(time.monotonic() - start)}


def told_how(verdict):
    text = verdict["verdict"]
    if verdict["killer"] != "-":
        text += f" by {verdict['killer']}"
    if verdict["failed"] > 1:
        text += f" and {verdict['failed'] - 1} more"
    if verdict["end"] in ("panic", "hang"):
        text += f" ({verdict['end']})"
    return text


def write_table(path, rows):
    with open(path + ".part", "w", encoding="utf-8") as f:
        for row in [HEAD, *rows]:
            f.write("\t".join(map(str, row)) + "\n")
    os.replace(path + ".part", path)


def choose(names):
    paths = glob.glob(os.path.join(MUTATIONS, "*.patch"))
    every = [Mutation(path) for path in sorted(paths, key=lambda p: int(os.path.basename(p).partition("-")[0]))]
    numbers = [m.name.partition("-")[0] for m in every]
    twice = [m.name for m, number in zip(every, numbers) if numbers.count(number) > 1]
    if twice:
        raise core.Error(f"mutations of the same number in harness/campaigns/mutations/: {' '.join(twice)}")
    if not names:
        return every, every
    chosen = []
    for name in names:
        found = [m for m in every if name in (m.name, m.name.partition("-")[2], m.name.partition("-")[0])]
        if not found:
            raise core.Error(f"there is no mutation {name} in harness/campaigns/mutations/")
        chosen += found
    return chosen, every


class Campaign:
    """The mutants that were asked for, with the control before them."""

    def __init__(self, mutations, verdicts, fuzz):
        self.mutations = [Mutation(), *mutations]
        self.verdicts, self.fuzz = verdicts, fuzz
        self.builder = Builder([m for m in self.mutations if any(self.wanting(m))])
        self.width = max(len(m.name) for m in mutations)

    def wanting(self, mutation):
        """What is not known of it."""
        tests = self.verdicts.load(mutation) is None
        return tests, self.fuzz and self.verdicts.load_fuzz(mutation) is None

    def run(self):
        for mutation in self.mutations:
            wanting = self.wanting(mutation)
            if any(wanting):
                self.examine(mutation, *wanting)
            self.tell(mutation, "" if any(wanting) else " (as before)")

    def examine(self, mutation, tests, fuzz):
        image, seconds = self.builder.next()
        number, console = self.builder.numbers.get(image), os.path.join(WORK, "guest", "console.log")
        with open(log_of(mutation), "a", encoding="utf-8") as log:
            if not image:
                self.verdicts.save(mutation, {"verdict": "unbuilt", "rules": [], "failed": 0, "killer": "-",
                                              "end": "-", "seconds": round(seconds)})
                return
            if tests:
                verdict = judge_mutant(mutation, self.verdicts.programs, image, log)
                check_number(number, console)
                verdict["seconds"] += round(seconds)
                self.verdicts.save(mutation, verdict)
            if fuzz:
                found = Fuzz(image, log).found()
                check_number(number, console)
                self.verdicts.save_fuzz(mutation, found)
        os.unlink(image)

    def tell(self, mutation, remark):
        verdict = self.verdicts.read(mutation.name + ".json")
        found = self.verdicts.load_fuzz(mutation) if self.fuzz else None
        fuzz = {None: "", "-": "; not found by the fuzzer"}.get(found, f"; found by the fuzzer ({found})")
        print(f"{mutation.name:{self.width}}  {told_how(verdict)}{fuzz}{remark}", flush=True)
        if mutation.path:
            return
        if verdict["verdict"] != "survived":
            raise core.Error("the kernel without a mutation does not pass its selftests, so what fails in a mutant "
                          "would mean nothing; see build/mutants/logs/none.log")
        if found not in (None, "-"):
            raise core.Error("the fuzzer finds something in the kernel without a mutation, so what it finds in a mutant "
                          "would mean nothing; see build/mutants/logs/none.log")

    def sum(self):
        """Print the last lines; are all killed?"""
        counts = dict.fromkeys(("killed", "survived", "astray", "unbuilt"), 0)
        mutants = self.mutations[1:]
        for mutation in mutants:
            counts[self.verdicts.read(mutation.name + ".json")["verdict"]] += 1
        if self.fuzz:
            found = sum(1 for m in mutants if self.verdicts.load_fuzz(m) not in (None, "-"))
            print(f"the fuzzer found {found} of {len(mutants)}")
        print(", ".join(f"{count} {what}" for what, count in counts.items()
                        if count or what in ("killed", "survived")))
        return counts["killed"] == len(mutants)


def check(mutations):
    """Does each of them still apply? The last line counts."""
    failed = 0
    run(DO, "tree", stdout=sys.stderr)
    for mutation in mutations:
        try:
            git("apply", "--check", mutation.path, tree=os.path.join(BUILD, "tree"))
        except core.Error:
            print(f"FAILED: {mutation.name} does not apply to build/tree")
            failed += 1
    print(f"{len(mutations) - failed} passed, {failed} failed")
    return 1 if failed else 0


def make_table(mutations, verdicts):
    rows = []
    for mutation in mutations:
        verdict = verdicts.load(mutation)
        if verdict:
            rows.append((mutation.name, verdict["verdict"], mutation.breaks, " ".join(verdict["rules"]) or "-",
                         verdict["failed"], verdict["killer"], verdict["seconds"],
                         {None: "", "-": "no"}.get(found := verdicts.load_fuzz(mutation), f"yes: {found}")))
    table = os.path.join(WORK, "mutants.tsv")
    write_table(table, rows)
    if len(rows) == len(mutations) and all(row[1] == "killed" for row in rows):
        shutil.copyfile(table, os.path.join(ROOT, "results", "mutants.tsv"))


def main():
    parser = argparse.ArgumentParser(
        description="Break the patched kernel in one place at a time, and see the selftests tell.",
        epilog="AROUND_BUILD and AROUND_BOOT in the environment are words that go in front of the commands "
               "which build a kernel and boot a guest, such as: nice -n 19")
    parser.add_argument("--check", action="store_true", help="only see whether the mutations apply")
    parser.add_argument("--fuzz", action="store_true", help="see what the fuzzer finds, too")
    parser.add_argument("names", metavar="NAME", nargs="*",
                        help="a mutation: 07-selector-no-sleep, selector-no-sleep or 07 (all)")
    options = parser.parse_args()

    chosen, every = choose(options.names)
    if options.check:
        return check(chosen)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    core.lock("mutants")
    # The guests are what stands here, whatever the caller's environment has.
    for variable in ("QEMU_CPU", "QEMU_ARGS", "APPEND", "MEM", "SMP", "ACCEL"):
        os.environ.pop(variable, None)
    os.environ["TARGETS"] = "syscall_user_dispatch seccomp"
    run(DO, "setup", "--abis", stdout=sys.stderr)
    prepare_tree()
    run(DO, "kernel", "--in", WORK, "--selftests", CONFIG, stdout=sys.stderr)
    proof.build(*PROOF)
    run(*around("AROUND_BUILD"), DO, "kernel", "--in", WORK, CONFIG, stdout=sys.stderr)

    programs = Programs()
    for mutation in every:
        programs.ordered(mutation.tests)
    # All of the sources that a kernel is built from, and how.
    sources = [line for line in (git("ls-tree", "HEAD") + git("ls-tree", "HEAD", "tools/")).splitlines()
               if line.partition("\t")[2] not in ("tools", "tools/testing", "Documentation", "MAINTAINERS")]
    verdicts = Verdicts(digest(*sources, read(os.path.join(WORK, CONFIG, ".config"))), programs)

    campaign = Campaign(chosen, verdicts, options.fuzz)
    campaign.run()
    make_table(every, verdicts)
    return 0 if campaign.sum() else 1
