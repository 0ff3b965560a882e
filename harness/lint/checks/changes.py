# SPDX-License-Identifier: GPL-2.0
"""Shared by the checks of "make lint": the files that the series changes, and the messages of a tool that are due to it.

The patched tree, with edits that are not committed, is compared with its tag "base". A message counts only if the tool
does not print it for the base as well.
"""

import collections
import functools
import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT))
from harness import core     # noqa: E402: it is found only now
TREE = core.built("tree")
OUT = core.BUILD / "lint"
BASE = OUT / "base"         # the base's versions of what the series edits
OBJECTS = core.built("direct")     # it has every line of the series


def run(*command, **options):
    """The finished process, its output and errors as one text."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([str(c) for c in command],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          encoding="utf-8", errors="replace", **options)


def output(*command, **options):
    """The output of a command that must succeed."""
    done = run(*command, **options)
    if done.returncode:
        raise core.Error(f"{shlex.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def git(*arguments):
    """git in build/<base>/tree, without the user's configuration."""
    if not (TREE / ".git").exists():
        raise core.Error(f"no kernel tree in {TREE}; run: make tree")
    done = subprocess.run(["git", "-C", TREE, *arguments], env=core.git_environment(), check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise core.Error(f"git {shlex.join(arguments)} failed in {TREE}: {done.stderr.decode()}")
    return done.stdout


@functools.lru_cache
def changes():
    """{path: True for a new file, False for an edited one}"""
    fields = git("diff", "-z", "--name-status", "--no-renames", "base", "--").decode().split("\0")
    return {path: status == "A" for status, path in zip(fields[::2], fields[1::2]) if status != "D"}


def new_files():
    return [path for path, new in changes().items() if new]


def edited_files():
    return [path for path, new in changes().items() if not new]


def is_kernel(path):
    """Whether it is a file of the kernel, and not of a program for user space."""
    return path.split("/")[0] not in ("tools", "samples", "Documentation")


def make_base():
    """Write the base's versions of the changed files to BASE."""
    shutil.rmtree(BASE, ignore_errors=True)
    BASE.mkdir(parents=True)
    edited = edited_files()
    if edited:
        with tarfile.open(fileobj=io.BytesIO(git("archive", "base", "--", *edited))) as archive:
            archive.extractall(BASE)


LOCATED = re.compile(r"(\S+?):(\d+)(?::\d+)?(?:-\d+)?:\s*(.*)")


def findings(text):
    """(file, message) of each line of output that names a line of a file that the series touches; then the whole line.

    Messages about other files, such as headers of the base, are not due to the series.
    """
    touched = changes()
    found = []
    for line in text.splitlines():
        match = LOCATED.match(line)
        if match:
            path = os.path.normpath(OBJECTS / match[1])
            for top in (BASE, TREE):
                if path.startswith(f"{top}/"):
                    path = path[len(f"{top}/"):]
            # A message may name another line.
            message = re.sub(r"\b(line |:)\d+", r"\1N", match[3])
            if path in touched and not message.startswith("note:"):
                found.append(((path, message), f"{path}:{match[2]}: {match[3]}"))
        elif re.search(r"\berror\b", line, re.IGNORECASE):
            found.append((("", line), line))
    return found


def added(before, after):
    """The lines that a tool prints for the patched files, but not for the base's."""
    known = collections.Counter(key for key, _ in findings(before))
    new = []
    for key, line in findings(after):
        if known[key]:
            known[key] -= 1
        else:
            new.append(line)
    return new


def main(check):
    """Run a check: a function that returns its messages, line by line."""
    try:
        said = check()
    except core.Error as error:
        sys.exit(f"error: {error}")
    for line in said:
        print(line)
    sys.exit(bool(said))


def tool(command, *arguments):
    """Run a check that is one tool, in ROOT. It fails if the tool does."""
    def check():
        core.need_command(command)
        sys.exit(subprocess.run([command, *arguments], cwd=ROOT, check=False).returncode)

    main(check)


def programs(interpreter, suffix=None):
    """The paths below ROOT of the repository's own programs: those whose first line names it, or with that suffix."""
    for path in sorted(path for top in (".ci", "harness", "samples") for path in (ROOT / top).rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            first = file.readline().decode(errors="replace")
        if path.suffix == suffix or re.match(f"#!.*{interpreter}", first):
            yield path.relative_to(ROOT)
