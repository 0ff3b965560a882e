# SPDX-License-Identifier: GPL-2.0
"""Make build/<base>/tree, a git repository of the patched kernel.

The tag "base" is the unpatched kernel. The branch "sud" has one commit a patch, made by git am.

Usage: harness/do tree
       harness/do tree --unpatched         make build/<base>/unpatched, the base's own files, too
       harness/do tree --apply-only [BASE...]   only check that the series applies to these bases
                                           (default: all bases of the series)
       harness/do tree --newest            print which versions the mirror serves, and whether the
                                           series apply to the newest
       harness/do tree --edited            succeed if the user has edited a tree

Edits in the tree are never overwritten without FORCE=1. In .git, the ref refs/harness/built is the
last result, and the file harness-stamp has its inputs. The file harness-moving exists while the files
are changed to a new result.
"""

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess

from harness import core
from harness.source import base as bases
from harness.source import fetch, series
from harness.source.git import environment, git

# A fixed date for the commit of the base, so that the same files give the same commit.
EPOCH = {"GIT_AUTHOR_DATE": "@0 +0000", "GIT_COMMITTER_DATE": "@0 +0000"}


class Tree:
    """The repository in build/<base>/tree."""

    def __init__(self, place=None):
        self.place = place or core.built("tree")
        self.dot = self.place / ".git"
        self.stamp, self.moving = self.dot / "harness-stamp", self.dot / "harness-moving"
        self.scratch = self.place.with_name("apply.tmp")
        self.shown = core.shown(self.place)

    def git(self, *arguments, **options):
        """Run git in this tree; see harness.source.git."""
        options.setdefault("tree", self.place)
        return git(*arguments, **options)

    def line(self):
        """The name of the series for the base that the tree was made of."""
        return line_of(fetch.SOURCES / self.stamp.read_text(encoding="utf-8").split()[0])

    def is_edited(self):
        """Whether the user changed files or the branch. An interrupted move() does not count."""
        if not self.stamp.exists() or self.moving.exists():
            return False
        head = self.git("rev-parse", "-q", "--verify", "HEAD", check=False)
        return (head != self.git("rev-parse", "refs/harness/built") or bool(self.git("status", "--porcelain", "-uno"))
                or bool(self.git("ls-files", "--others")))

    def commit_base(self, source, name):
        """Commit all files of SOURCE as refs/harness/base/NAME, with -f, because Debian's .gitignore hides them."""
        index = self.dot / "index.base"
        for left in (index, index.with_name("index.base.lock"), *self.dot.glob("objects/pack/tmp_*")):
            left.unlink(missing_ok=True)
        # A threshold of 1 byte makes git write one pack instead of 70000 files.
        self.git("-c", "core.bigFileThreshold=1", "-c", "core.autocrlf=false", f"--work-tree={source}",
                 "add", "-f", "-A", ".", env={"GIT_INDEX_FILE": str(index)})
        files = self.git("write-tree", env={"GIT_INDEX_FILE": str(index)})
        index.unlink()
        commit = self.git("commit-tree", "-m", f"Linux {name}", files, env=EPOCH)
        self.git("update-ref", f"refs/harness/base/{name}", commit)

    def apply_aside(self, name, line):
        """Apply the series of LINE to the base NAME, and return the commit. The files in the tree do not change."""
        self.drop_scratch()
        self.git("worktree", "add", "-q", "-f", "--detach", "--no-checkout", self.scratch, f"refs/harness/base/{name}")
        git("read-tree", "HEAD", tree=self.scratch)
        git("checkout-index", "-q", "--stdin", tree=self.scratch, check=False,
            input="\n".join(series.touched(line)).encode())
        apply(self.scratch, name, series.patches(line))
        result = git("rev-parse", "HEAD", tree=self.scratch)
        self.drop_scratch()
        return result

    def drop_scratch(self):
        """Remove the work tree of apply_aside(), or its remains."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.rmtree(self.dot / "worktrees" / self.scratch.name, ignore_errors=True)

    def move(self, how, commit):
        """Set the branch to a commit. HOW is an option of git reset: --hard writes the files too, --mixed does not."""
        (self.dot / "index.lock").unlink(missing_ok=True)
        self.git("symbolic-ref", "HEAD", "refs/heads/sud")
        self.git("reset", "-q", how, commit)

    def has_files_of(self, commit):
        """Whether the files in the directory are those of a commit. git's index is not used."""
        index = self.dot / "index.same"
        shutil.copy(self.dot / "index", index)
        self.git("add", "-f", "-A", ".", env={"GIT_INDEX_FILE": str(index)})
        files = self.git("write-tree", env={"GIT_INDEX_FILE": str(index)})
        index.unlink()
        return files == self.git("rev-parse", f"{commit}^{{tree}}")

    def drop_edits(self):
        """Drop the user's edits; a message says how to get them back."""
        self.git("rebase", "--quit", check=False)
        self.git("stash", "push", "-q", "--all", "-m", "dropped by make tree FORCE=1", check=False)
        core.say(f"  The edits in {self.shown} are dropped. To get them back:"
                 " 'git stash list' there has the files, 'git reflog' the commits")

    def make(self):
        """Make the tree from the patches, unless it is up to date. Raises an Error rather than overwrite edits."""
        wrong = core.run("series", "--check", check=False).returncode
        if wrong:
            core.say(f"({self.shown} is made from patches/ as they are)")
        source = fetch.fetch()
        name, line = source.name, line_of(source)
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in series.patches(line))).hexdigest()
        stamp = f"{name} {digest}\n"
        edited = self.is_edited()
        if self.stamp.exists() and self.stamp.read_text(encoding="utf-8") == stamp and not self.moving.exists():
            if not edited:
                return
            if not os.environ.get("FORCE"):
                core.say(f"{self.shown} has edits of yours and is used as it is"
                         " ('make refresh' keeps them, 'make tree FORCE=1' drops them)")
                return
        core.need_space(core.BUILD, 600, "the kernel's repository")
        self.place.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", self.place)
        if not self.git("rev-parse", "-q", "--verify", f"refs/harness/base/{name}", check=False):
            with core.step(f"Making the base commit {name}"):
                self.commit_base(source, name)
        core.say(f"* Applying the series to {name}")
        result = self.apply_aside(name, line)
        if edited and self.has_files_of(result):
            # The patches now contain the edits, so the files stay as they are.
            self.moving.touch()
            self.move("--mixed", result)
        else:
            if edited:
                if not os.environ.get("FORCE"):
                    raise core.Error(f"{self.shown} has edits of yours, and the patches or the base have changed since."
                                     " 'make refresh' writes the edits into the repository's files;"
                                     " 'make tree FORCE=1' drops them")
                self.drop_edits()
            if not self.stamp.exists():
                core.need_space(core.BUILD, 1800, "the patched kernel")
            self.moving.touch()
            with core.step(f"Writing the files of {self.shown}"):
                self.move("--hard", result)
        self.git("tag", "-f", "base", f"refs/harness/base/{name}")
        self.git("update-ref", "refs/harness/built", result)
        self.stamp.write_text(stamp, encoding="utf-8")
        self.moving.unlink()
        core.say(f"  {self.shown}: {self.git('log', '--format=%h', '-n', '1')},"
                 f" {self.git('rev-list', '--count', 'base..sud')} commits on {name}")

    def make_unpatched(self):
        """Make the tree, and a work tree of the unpatched kernel. Raises an Error if that has edits."""
        self.make()
        place, stamp = self.place.with_name("unpatched"), self.place.with_name("unpatched.stamp")
        wanted = self.git("rev-parse", "base^{commit}")
        if (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and (place / ".git").exists()
                and self.git("rev-parse", "HEAD", tree=place, check=False) == wanted):
            if self.git("status", "--porcelain", "-uno", tree=place):
                raise core.Error(f"{core.shown(place)} has edits, but must be the unpatched kernel; remove it")
            return
        core.need_space(core.BUILD, 1800, "the unpatched kernel")
        for left in (place, self.dot / "worktrees" / "unpatched"):
            shutil.rmtree(left, ignore_errors=True)
        with core.step(f"Writing the files of {core.shown(place)}"):
            self.git("worktree", "add", "-q", "-f", "--detach", place, wanted)
        stamp.write_text(wanted, encoding="utf-8")


def line_of(source):
    """The name of the series for the kernel in a directory of build/src/."""
    if source.name in bases.known():
        return bases.known()[source.name].series
    return fetch.nearest(source)[0].series


def debian_base():
    """The base whose Debian packages fit the tree. With KERNEL_SRC, it is the newest base of its series."""
    if not os.environ.get("KERNEL_SRC"):
        return bases.find()
    tree = Tree()
    with core.locked("tree"):
        tree.make()
    return bases.find(tree.line())


def apply(directory, name, patches):
    """Apply the patches to a repository by git am, without fuzz or merge. NAME is its base, for messages."""
    done = subprocess.run(["git", "-C", directory, "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "am", "-q",
                           "--no-3way", "--no-gpg-sign", "--committer-date-is-author-date", *patches],
                          env=environment(), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not done.returncode:
        return
    failed = re.search(r"^Patch failed at (\d+) ", done.stdout, re.M)
    if not failed:
        core.say(done.stdout)
        raise core.Error("git am failed; see its message above")
    patch = patches[int(failed[1]) - 1]
    core.say(f"{core.shown(patch)} does not apply to {name}:")
    # git apply says more than git am: the file, the line of the hunk, and the expected text.
    more = subprocess.run(["git", "-C", directory, "apply", "--check", "--verbose", patch], env=environment(),
                          check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    core.say(*[text for text in more.splitlines() if not text.startswith("Checking patch")][:40])
    raise core.Error(f"the series does not apply to {name} (nothing was changed)")


def apply_to_files(files, name, line):
    """Check that the series of LINE applies to the files in a directory. NAME is their kernel, for messages."""
    scratch = core.BUILD / f"apply-{name}.tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        for path in series.touched(line):
            if (files / path).is_file():
                (scratch / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(files / path, scratch / path)
        git("init", "-q", tree=scratch)
        git("add", "-f", "-A", tree=scratch)
        git("commit", "-q", "-m", name, tree=scratch)
        apply(scratch, name, series.patches(line))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def apply_only(name):
    """Check that the series applies to a base, in a repository of only the files that it edits."""
    base = bases.find(name)
    apply_to_files(fetch.fetch_touched(base), base.name, base.series)
    core.say(f"the series applies to {base.name}")


def newest_files(base, version):
    """A directory with the files that the series edits, of the newest VERSION of a base's package. Names the files that differ."""
    if version == base["version"]:
        return fetch.fetch_touched(base)
    files, names = core.BUILD / f"newest-{base.series}.tmp", {*series.touched(base.series), *fetch.hashes(base)}
    shutil.rmtree(files, ignore_errors=True)
    fetch.unpack_some(fetch.version_part(base, "tar", version), names, files)
    fetch.patch(base, files, names, version)
    changed = fetch.differing(files, base)
    print(*(f"  {path}: differs" for path in changed), sep="\n", end="\n" if changed else "")
    return files


def newest():
    """Print which versions the mirror serves, and whether each series applies to the newest; returns the status."""
    wrong = 0
    for line in dict.fromkeys(base.series for base in bases.known().values()):
        base = bases.find(line)
        versions = fetch.served(base)
        if not versions:
            print(f"{line}: the mirror has no package {base['package']} ({base['suite']})")
            wrong += 1
            continue
        pinned = base["version"] in versions
        print(f"{line}: base/{base.name} names {base['package']} {base['version']}, which the mirror"
              f" {'has' if pinned else 'no longer has'}; its newest version is {versions[0]}")
        try:
            files = newest_files(base, versions[0])
            apply_to_files(files, versions[0], line)
            print(f"  the series applies to {versions[0]}")
        except core.Error as error:
            print(f"  {error}")
            wrong += 1
    return 1 if wrong else 0


def edited_trees():
    """Yield the directory of each base's tree that the user has edited."""
    with contextlib.suppress(FileNotFoundError):
        for place in sorted(core.BUILD.glob("*/tree")):
            if Tree(place).is_edited():
                yield place


def main():
    parser = argparse.ArgumentParser(description="Make the repository of the patched kernel.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--unpatched", action="store_true", help="make a tree of the base's own files, too")
    action.add_argument("--apply-only", nargs="*", metavar="BASE",
                        help="only check that the series applies to these bases (default: all of the series)")
    action.add_argument("--newest", action="store_true",
                        help="print whether the series apply to the newest versions that the mirror serves")
    action.add_argument("--edited", action="store_true", help="succeed if the user has edited a tree")
    options = parser.parse_args()
    if options.edited:
        return not any(edited_trees())
    core.lock("tree")
    if options.apply_only is not None:
        for name in options.apply_only or [base.name for base in bases.siblings()]:
            apply_only(name)
    elif options.newest:
        return newest()
    elif options.unpatched:
        Tree().make_unpatched()
    else:
        Tree().make()
    return 0
