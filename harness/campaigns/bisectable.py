# SPDX-License-Identifier: GPL-2.0
"""Check that every prefix of the series builds and boots, and that the feature is either absent or works.

The kernels and selftests of the commits are built one after another in one directory. The selftests of the whole series
then run on each. A test must pass, or be skipped as skips.tsv says for a kernel without the feature. A test about a later
commit (bisectable.tsv) must not pass. The last line counts the tests.

A commit that was built is not built again. A kernel and an initramfs that were booted are not booted again.
build/<base>/bisectable/ keeps everything. The table goes to results/.
"""

import argparse
import fnmatch
import hashlib
import os
import pathlib
import re
import shutil
import time

from harness import core
from harness.build import configurations
from harness.campaigns import campaign
from harness.judge import judge
from harness.source.git import git, work_tree

LATER = core.HARNESS / "campaigns" / "bisectable.tsv"
OUT = core.built("bisectable")
COMMITS = OUT / "commits"
CONFIGURATION = "x86_64"


class Prefix:
    """One of the kernels: its build, and the results of its tests."""

    def __init__(self, number, feature, run, seconds, subject):
        self.number, self.feature, self.run = number, feature, run
        self.seconds, self.subject = int(seconds), subject
        self.booted = False
        self.report = judge.Report()
        self.later = 0          # tests of later commits

    def judge(self, runs, present, later, skips, splats):
        """PRESENT: the subjects up to this commit. LATER: (subject, pattern) of the tests of later commits. The lists are paths."""
        if self.run == "-":
            self.report.fail("it does not build")
            return
        path = runs / self.run
        lacks = judge.lacks_of(CONFIGURATION) | (set() if self.feature == "yes" else {"feature"})
        nonce, = judge.read_lines(path / "nonce", "the nonce")[:1]
        verdict = judge.read_lines(path / "verdict.log", "the verdict")
        seconds, = judge.read_lines(path / "seconds", "the time")[:1]
        self.seconds += int(seconds)
        self.booted = f"guest: begin {nonce}" in verdict
        judge.judge_verdict(verdict[:-1], nonce, self.report)
        aside = self.set_later_aside([pattern for subject, pattern in later if subject not in present])
        listed = {pattern: reason for pattern, reason in judge.read_table(skips, lacks).items()
                  if not any(fnmatch.fnmatchcase(name, pattern) for name in aside)}
        judge.judge_skips(listed, self.report)
        judge.judge_console(judge.read_lines(path / "console.log", "the console"),
                            judge.read_splats(splats, lacks), self.report)

    def set_later_aside(self, patterns):
        """Remove the tests of later commits, which must not pass, from the report. Returns their names."""
        kept, aside = [], set()
        for name, result, reason in self.report.results:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                aside.add(name)
                if result == "pass":
                    self.report.fail(f"{name} passed, but it tests a later commit of the series")
            else:
                kept.append((name, result, reason))
        self.report.results = kept
        self.later = len(aside)
        self.report.failures = [(failure, lines) for failure, lines in self.report.failures
                                if self.report.tests.get(failure) not in aside]
        return aside

    def row(self):
        """Its row of the table."""
        return (self.number, self.subject, "no" if self.run == "-" else "yes", "yes" if self.booted else "no",
                *map(str, (self.report.count("pass"), len(self.report.failures), self.report.count("skip"),
                           self.later, self.seconds)))


def judge_prefixes(directory, later_path, skips, splats):
    """Judge the runs that DIRECTORY/prefixes lists, write bisectable.tsv beside it, and print the failures. Returns the exit status.

    A row of prefixes: number, whether it has the feature, its run, seconds of building, subject."""
    rows = core.rows(directory / "prefixes", "number", "feature", "run", "seconds", "subject")
    prefixes = [Prefix(*fields) for _, fields in rows]
    later = {}
    for where, (subject, pattern, _) in core.rows(later_path, "subject", "test", "reason"):
        if not any(prefix.subject == subject for prefix in prefixes):
            raise core.Error(f"{where}: no commit of the series has this subject: {subject}")
        later[subject, pattern] = where
    present = set()
    for prefix in prefixes:
        present.add(prefix.subject)
        prefix.judge(directory / "runs", present, later, skips, splats)
    head = ("number", "subject", "built", "booted", "passed", "failed", "skipped", "not yet", "seconds")
    campaign.write(directory / "bisectable.tsv",
                   "# Made by make bisectable: every prefix of the series, and the selftests of the whole on it.",
                   *map(campaign.row, (head, *(prefix.row() for prefix in prefixes))))
    for prefix in prefixes:
        print(f"{prefix.number}: {prefix.subject}:", ", ".join(
            f"{value} {column}" for value, column in zip(prefix.row()[4:], head[4:])))
        campaign.tell((f"{prefix.number}: {failure}", lines) for failure, lines in prefix.report.failures)
    print(f"{sum(p.report.count('pass') for p in prefixes)} passed, "
          f"{sum(len(p.report.failures) for p in prefixes)} failed, "
          f"{sum(p.report.count('skip') + p.later for p in prefixes)} skipped")
    return 1 if any(prefix.report.failures for prefix in prefixes) else 0


def subject_of(commit):
    return git("log", "-1", "--format=%s", commit)


def digest(*parts):
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def build(commit, image):
    """Build the commit's kernel to IMAGE, and the selftests that it adds to the base or edits."""
    work_tree(OUT / "tree", commit, 3000, "a second tree and its kernels")
    built = core.output("kernel", "--in", OUT, "--image", CONFIGURATION)
    changed = git("diff", "--name-only", "base", commit, "--", "tools/testing/selftests")
    targets = sorted(set(re.findall(r"^tools/testing/selftests/([^/]+)/", changed, re.MULTILINE)))
    if targets:
        core.run("kernel", "--in", OUT, "--selftests", CONFIGURATION, env={**os.environ, "TARGETS": " ".join(targets)})
    shutil.copy(built, image)


def build_all(commits):
    """Build every commit: COMMITS/ID/bzImage, and in COMMITS/ID/seconds how long it took.

    If a commit does not build, there is no bzImage, and the next commit is built."""
    inputs = [path.read_bytes() for path in (core.HARNESS / "build" / "kernel.py", *configurations.stack(CONFIGURATION))]
    for number, commit in enumerate(commits, 1):
        directory = COMMITS / commit
        key = directory / "key"
        now = digest(commit.encode(), *inputs)
        if key.exists() and key.read_text(encoding="utf-8") == now:
            continue
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        core.say(f"== {number}: {subject_of(commit)}")
        start = time.monotonic()
        try:
            build(commit, directory / "bzImage")
            key.write_text(now, encoding="utf-8")
        except core.Error as problem:
            core.say(f"error: {problem}")
            (directory / "bzImage").unlink(missing_ok=True)
        (directory / "seconds").write_text(str(round(time.monotonic() - start)), encoding="utf-8")


def run(number, commit):
    """Boot the commit's kernel, unless these bytes were booted before. Returns the run's name, a directory in OUT/runs."""
    image, initrd, start = COMMITS / commit / "bzImage", OUT / "initrd.cpio", time.monotonic()
    name = digest(image.read_bytes(), initrd.read_bytes())[:16]
    directory = OUT / "runs" / name
    if not (directory / "seconds").exists():
        directory.mkdir(parents=True, exist_ok=True)
        with core.step(f"Running the selftests on {number}: {subject_of(commit)}"):
            campaign.guest(image, initrd, "check", directory, 3600)
        (directory / "seconds").write_text(str(round(time.monotonic() - start)), encoding="utf-8")
    return name


def run_all(commits):
    """Boot all kernels that build; writes OUT/prefixes."""
    core.run("selftests")
    campaign.select(campaign.TESTS, OUT / "tests")
    core.run("pack", "--out", OUT / "initrd.cpio", "--tree", f"{campaign.KSELFTEST}:/kselftest",
             "--file", f"{OUT / 'tests'}:/guest/tests")
    rows = []
    for number, commit in enumerate(commits, 1):
        feature = git("grep", "-q", "^\tselect ARCH_SUPPORTS_SYSCALL_USER_DISPATCH$", commit, "--", "arch/x86/Kconfig", check=False) is not None
        name = run(number, commit) if (COMMITS / commit / "bzImage").exists() else "-"
        seconds = (COMMITS / commit / "seconds").read_text(encoding="utf-8")
        rows.append((number, "yes" if feature else "no", name, seconds, subject_of(commit)))
    campaign.write(OUT / "prefixes", *map(campaign.row, rows))


def main():
    parser = argparse.ArgumentParser(prog="harness/do bisectable", description="Build and test every prefix of the series.")
    parser.add_argument("--build", action="store_true", help="only build")
    parser.add_argument("--runs", type=pathlib.Path, metavar="DIR", help="only judge the prefixes and runs there")
    parser.add_argument("--later", default=LATER, metavar="FILE", help="with --runs: the tests of later commits")
    parser.add_argument("--skips", default=judge.SKIP_LIST, metavar="FILE")
    parser.add_argument("--splats", default=judge.SPLAT_LIST, metavar="FILE")
    options = parser.parse_args()
    if not options.runs:
        campaign.begin("bisectable")
        core.run("setup", "--abis")
        core.run("tree")
        commits = git("rev-list", "--reverse", "base..sud").splitlines()
        build_all(commits)
        if options.build:
            return 0
        run_all(commits)
    status = judge_prefixes(options.runs or OUT, options.later, options.skips, options.splats)
    if not (status or options.runs):
        shutil.copy(OUT / "bisectable.tsv", campaign.RESULTS)
    return status
