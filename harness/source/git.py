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
    """(name, address) of the series' author."""
    return re.fullmatch(r"(.*) <(.*)>", (core.ROOT / "series" / "author").read_text(encoding="utf-8").strip()).groups()


def environment():
    """The environment for git, the same if a git hook or rebase calls the harness."""
    name, address = author()
    return core.git_environment() | {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": address,
                                     "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": address, "LC_ALL": "C"}


def git(*arguments, tree=None, env=(), check=True, strip=True, **options):
    """Run git in TREE, by default the patched tree. Returns its output, without the newline at the end if STRIP.

    ENV is added to the environment. A failure raises an Error; with check=False, the result is None.
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
        raise core.Error(f"git {arguments[0]} failed in {core.shown(command[2])}; see its message above")
    text = (done.stdout or b"").decode()
    return text.rstrip("\n") if strip else text


def work_tree(directory, commit, megabytes, purpose):
    """Make DIRECTORY a work tree of COMMIT of the patched tree, and drop any edits there.

    Only files that differ are written, so make compiles only what changed. For a new DIRECTORY, MEGABYTES must be free;
    the Error about missing space names PURPOSE.
    """
    if not directory.is_dir() or git("rev-parse", "--show-toplevel", tree=directory, check=False) != str(directory):
        core.need_space(core.BUILD, megabytes, purpose)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(directory)
        git("worktree", "prune")
        git("worktree", "add", "-q", "-f", "--detach", directory, commit)
    git("checkout", "-q", "--force", "--detach", commit, tree=directory)
