# SPDX-License-Identifier: GPL-2.0
"""Make the files of a release in build/dist/, from the commit that is checked out.

  syscall-user-dispatch-VERSION.tar.xz        the repository: the series, the guide, the harness
  syscall-user-dispatch-SERIES-VERSION.mbox   each series as mails in one thread, with a cover
                                              letter: git am --empty=drop, or b4 am -m
  SHA256SUMS                                  the hashes of these files

The same commit gives the same bytes. VERSION is the first one in CHANGELOG.md.

Usage: harness/do dist
"""

import re
import shutil
import subprocess

from harness import core
from harness.source import fetch, series


def git(*arguments):
    """The output of git in the repository; None if git fails."""
    done = subprocess.run(["git", "-C", core.ROOT, *arguments], env=core.git_environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    return None if done.returncode else done.stdout.decode().strip()


def main():
    if git("rev-parse", "-q", "--verify", "HEAD") is None:
        raise core.Error("this is not a git repository; make dist packs a commit, so it needs a clone")
    changed = git("status", "--porcelain")
    if changed:
        raise core.Error(f"uncommitted changes would be left out; commit or stash them: {changed}")
    core.run("series", "--check")
    version = re.search(r"^## ([0-9.]+)", (core.ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    if not version:
        raise core.Error("CHANGELOG.md has no '## VERSION'")
    out, name = core.BUILD / "dist", f"syscall-user-dispatch-{version[1]}"
    core.need_space(core.BUILD, 20, "the tarball")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with open(out / f"{name}.tar.xz", "wb") as file, \
            subprocess.Popen(["git", "-C", core.ROOT, "archive", f"--prefix={name}/", "HEAD"],
                             env=core.git_environment(), stdout=subprocess.PIPE) as archive:
        subprocess.run(["xz", "-9"], stdin=archive.stdout, stdout=file, check=True)
    for each in series.names():
        mails = series.Series(each).mbox()
        (out / f"syscall-user-dispatch-{each}-{version[1]}.mbox").write_text(mails, encoding="utf-8")
    sums = "".join(f"{fetch.sha256(path)}  {path.name}\n" for path in sorted(out.iterdir()))
    (out / "SHA256SUMS").write_text(sums, encoding="utf-8")
    core.say(f"{core.shown(out)}/ has the tarball and the mails of {name}, commit {git('describe', '--always')}")
