# SPDX-License-Identifier: GPL-2.0
"""Shared by the checks of "make lint": the files that the series changes, and the messages of a tool that it causes.

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
from harness import core     # noqa: E402, needs the path above
TREE = core.built("tree")
OUT = core.BUILD / "lint"
# The base's versions of the files that the series edits.
BASE = OUT / "base"
# The kernel in which every line of the series is compiled.
OBJECTS = core.built("direct")


def run(*command, **options):
    """Run a command; returns the finished process, whose stdout has its output and errors."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([str(c) for c in command],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          encoding="utf-8", errors="replace", **options)


def output(*command, **options):
    """The output of a command. Raises an Error if it fails."""
    done = run(*command, **options)
    if done.returncode:
        raise core.Error(f"{shlex.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def git(*arguments):
    """Run git in build/<base>/tree; returns its output, bytes. Raises an Error if it fails."""
    if not (TREE / ".git").exists():
        raise core.Error(f"no kernel tree in {TREE}; run: make tree")
    done = subprocess.run(["git", "-C", TREE, *arguments], env=core.git_environment(), check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise core.Error(f"git {shlex.join(arguments)} failed in {TREE}: {done.stderr.decode()}")
    return done.stdout


@functools.lru_cache
def changes():
    """{path: True for a new file, False for an edited one} of all files that the series changes."""
    fields = git("diff", "-z", "--name-status", "--no-renames", "base", "--").decode().split("\0")
    return {path: status == "A" for status, path in zip(fields[::2], fields[1::2]) if status != "D"}


def new_files():
    """The paths of the files that the series adds."""
    return [path for path, new in changes().items() if new]


def edited_files():
    """The paths of the base's files that the series edits."""
    return [path for path, new in changes().items() if not new]


def is_kernel(path):
    """Whether a file belongs to the kernel, and not to a program for user space."""
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
    """[((file, message), line)] for each line of output that names a line of a file that the series touches.

    The series does not cause messages about other files, such as headers of the base. MESSAGE has no line numbers.
    A line without a place counts if it has the word "error".
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
            # Messages can contain line numbers, which differ from the base's.
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
    """Run a check, a function that returns a list of messages. Print them; exit with status 1 if there are any."""
    try:
        said = check()
    except core.Error as error:
        sys.exit(f"error: {error}")
    for line in said:
        print(line)
    sys.exit(bool(said))


def tool(command, *arguments):
    """Run a check that is one tool, in ROOT. The exit status is the tool's."""
    def check():
        core.need_command(command)
        sys.exit(subprocess.run([command, *arguments], cwd=ROOT, check=False).returncode)

    main(check)


def programs(interpreter, suffix=None):
    """Yield the paths below ROOT of our programs: those with this suffix, or whose first line names the interpreter."""
    tops = (".ci", "harness", "samples")
    for path in sorted(path for top in tops for path in (ROOT / top).rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            first = file.readline().decode(errors="replace")
        if path.suffix == suffix or re.match(f"#!.*{interpreter}", first):
            yield path.relative_to(ROOT)
