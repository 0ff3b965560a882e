# SPDX-License-Identifier: GPL-2.0
"""Shared by all rooms of the harness: paths, errors, locks, steps, tables, and commands.

Results go to stdout. Messages go to stderr.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

HARNESS = pathlib.Path(__file__).resolve().parent
ROOT = HARNESS.parent
BUILD = pathlib.Path(os.path.realpath(os.environ.get("BUILD") or ROOT / "build"))

# The locks that this process holds: {name: file}.
HELD = {}


def built(name):
    """The directory of a build of the base: the patched tree, or a configuration's kernel."""
    from harness.source import base    # here, because base imports this module
    return base.built() / name


class Error(Exception):
    """An error that ends the command. MESSAGE names the cause and the remedy; STATUS is the exit status."""

    def __init__(self, message, status=2):
        super().__init__(message)
        self.status = status


def say(*lines):
    """Print a message to stderr."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text):
    """Print TEXT when a step begins, and how many seconds it took when it has succeeded."""
    begin = time.monotonic()
    say(f"* {text}")
    yield
    say(f"  done in {round(time.monotonic() - begin)} s")


@contextlib.contextmanager
def every(report):
    """Call report(), which prints the progress of a step, every 5 s on a terminal and every 30 s elsewhere."""
    pause = 5 if sys.stderr.isatty() else 30
    ended = threading.Event()

    def watch():
        while not ended.wait(pause):
            report()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def need_space(directory, megabytes, purpose):
    """Raise an Error if the disk of DIRECTORY has less free space than a step needs. Make DIRECTORY if it is missing.

    Without this check, the errors of a full disk are misleading.
    """
    os.makedirs(directory, exist_ok=True)
    free = shutil.disk_usage(directory).free >> 20
    if free < megabytes:
        raise Error(f"no space on the disk of {directory}: {purpose} needs {megabytes} MB, {free} MB are free. "
                    "Make room, or put the build directory elsewhere: BUILD=<directory>")


def lock(name):
    """Take a lock of the build directory; wait while another process holds it. It lasts until this process ends."""
    if name in HELD:
        return
    os.makedirs(BUILD, exist_ok=True)
    # Child processes do not inherit this file.
    HELD[name] = open(os.path.join(BUILD, f".lock-{name}"), "w", encoding="utf-8")
    try:
        fcntl.flock(HELD[name], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"* Waiting for another run that uses {BUILD} ({name})")
        fcntl.flock(HELD[name], fcntl.LOCK_EX)


@contextlib.contextmanager
def locked(name):
    """Hold the lock NAME during the body. If this process holds it already, it stays held."""
    taken_here = name not in HELD
    lock(name)
    try:
        yield
    finally:
        if taken_here:
            HELD.pop(name).close()


def rows(path, *fields):
    """Yield (place, row) for each row of a table: "FILE:LINE", and the list of its fields, which tabs separate.

    Comments and empty lines are left out. If FIELDS are named, a row with more or fewer fields, or with a blank one,
    raises an Error.
    """
    path = pathlib.Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Error(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        row = line.split("\t")
        if fields and (len(row) != len(fields) or not all(map(str.strip, row))):
            raise Error(f"{path.name}:{number}: a row has {len(fields)} fields, separated by tabs: {', '.join(fields)}")
        yield f"{path.name}:{number}", row


def run(*command, **options):
    """Run harness/do COMMAND; returns the finished process. A failure raises an Error, unless check=False."""
    options.setdefault("check", True)
    try:
        return subprocess.run([HARNESS / "do", *command], **options)
    except subprocess.CalledProcessError as failed:
        # The command has printed the cause.
        raise Error(f"harness/do {' '.join(map(str, command))} failed", failed.returncode) from None


def output(*command, **options):
    """The output of harness/do COMMAND, without the newline at the end. Raises an Error if the command fails."""
    return run(*command, stdout=subprocess.PIPE, text=True, **options).stdout.rstrip("\n")


def git_environment():
    """The environment for git, without the user's configuration and without variables that name another repository."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0"}


def shown(path):
    """A path for messages. If it is in the repository, it is relative to the repository."""
    path = pathlib.Path(path)
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def need_command(command):
    """Raise an Error if a command is missing. The message names the option of harness/do setup that installs it."""
    if shutil.which(command):
        return
    option = ""
    for line in (HARNESS / "packages" / "packages.list").read_text(encoding="utf-8").splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 4 and fields[1] == command:
            option = f" --{fields[2].split()[0]}"
            break
    raise Error(f"{command} is missing; run: harness/do setup{option}")
