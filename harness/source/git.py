# SPDX-License-Identifier: GPL-2.0
"""git in the repository of the patched kernel, build/<base>/tree, and its work trees.

It runs without the user's configuration (hooks, signing, autocrlf). The project
is the author and the committer.
"""

import contextlib
import re
import shutil
import subprocess

from harness import core


def author():
    """Name and address of the series' author."""
    name, address = re.fullmatch(r"(.*) <(.*)>", (core.ROOT / "series" / "author").read_text(encoding="utf-8").strip()).groups()
    return name, address


def environment():
    """The environment of git, whatever hook or rebase the harness runs under."""
    name, address = author()
    return core.git_environment() | {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": address,
                                     "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": address, "LC_ALL": "C"}


def git(*arguments, tree=None, env=(), check=True, strip=True, **options):
    """Run git in TREE (the patched tree). Returns its output, without the newline at the end unless STRIP is False.

    A failure is an Error, unless check is False: then the result is None.
    """
    command = ["git", "-C", tree or core.built("tree"), "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0",
               "-c", "core.compression=1", "-c", "core.quotePath=false", "-c", "advice.detachedHead=false", *arguments]
    options.setdefault("stdout", subprocess.PIPE)
    if not check:
        options.setdefault("stderr", subprocess.DEVNULL)
    done = subprocess.run(command, env=environment() | dict(env), check=False, **options)
    if done.returncode:
        if not check:
            return None
        raise core.Error(f"git {arguments[0]} failed in {core.shown(tree or core.built('tree'))}; its message stands above")
    text = (done.stdout or b"").decode()
    return text.rstrip("\n") if strip else text


def work_tree(directory, commit, megabytes, purpose):
    """Make DIRECTORY a work tree of COMMIT of the patched tree, and drop any edits there.

    Only the files that differ are written, so make compiles only what changed. A new DIRECTORY needs that many MEGABYTES.
    """
    if not directory.is_dir() or git("rev-parse", "--show-toplevel", tree=directory, check=False) != str(directory):
        core.need_space(core.BUILD, megabytes, purpose)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(directory)
        git("worktree", "prune")
        git("worktree", "add", "-q", "-f", "--detach", directory, commit)
    git("checkout", "-q", "--force", "--detach", commit, tree=directory)
