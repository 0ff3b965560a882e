# SPDX-License-Identifier: GPL-2.0
"""Shared by all rooms of the harness: places, errors, locks, steps, and commands.

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
    from harness.source import base    # it needs this module
    return base.built() / name


class Error(Exception):
    """An error that ends the command: a message that names the cause and the remedy, and the exit status."""

    def __init__(self, message, status=2):
        super().__init__(message)
        self.status = status


def say(*lines):
    """Print a message to stderr."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text):
    """Print the beginning of a step, and at its end the seconds that it took."""
    begin = time.monotonic()
    say(f"* {text}")
    yield
    say(f"  done in {round(time.monotonic() - begin)} s")


@contextlib.contextmanager
def every(report):
    """Call report(), which prints the progress of a step, from time to time."""
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
    """Check for disk space before a step, because the errors of a full disk are misleading."""
    os.makedirs(directory, exist_ok=True)
    free = shutil.disk_usage(directory).free >> 20
    if free < megabytes:
        raise Error(f"no space on the disk of {directory}: {purpose} needs {megabytes} MB, {free} MB are free. "
                    "Make room, or put the build directory elsewhere: BUILD=<directory>")


def lock(name):
    """Wait until no other run holds the lock of that name in the build directory. It ends with this process."""
    if name in HELD:
        return
    os.makedirs(BUILD, exist_ok=True)
    # Child processes do not inherit it.
    HELD[name] = open(os.path.join(BUILD, f".lock-{name}"), "w", encoding="utf-8")
    try:
        fcntl.flock(HELD[name], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"* Waiting for another run that uses {BUILD} ({name})")
        fcntl.flock(HELD[name], fcntl.LOCK_EX)


@contextlib.contextmanager
def locked(name):
    """Hold that lock for a while, unless this process holds it already."""
    mine = name not in HELD
    lock(name)
    try:
        yield
    finally:
        if mine:
            HELD.pop(name).close()


def rows(path, *fields):
    """(place, row) of each row of a table between tabs, without comments. If FIELDS are named, a row must have as many."""
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
            raise Error(f"{path.name}:{number}: a row has {len(fields)} fields between tabs: {', '.join(fields)}")
        yield f"{path.name}:{number}", row


def run(*command, **options):
    """Run a command of the harness, harness/do COMMAND; its status is checked unless check=False says not to."""
    options.setdefault("check", True)
    try:
        return subprocess.run([HARNESS / "do", *command], **options)
    except subprocess.CalledProcessError as failed:
        # The command has printed the cause.
        raise Error(f"harness/do {' '.join(map(str, command))} failed", failed.returncode) from None


def output(*command, **options):
    """The output of such a command, without the newline at the end."""
    return run(*command, stdout=subprocess.PIPE, text=True, **options).stdout.rstrip("\n")


def git_environment():
    """The environment for git in a tree of the build directory, without the user's configuration and make's directory."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0"}


def shown(path):
    """A path for messages: relative to the repository."""
    path = pathlib.Path(path)
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def need_command(command):
    """Raise an Error if a command is missing. It names the word of harness/do setup for its package."""
    if shutil.which(command):
        return
    word = ""
    for line in (HARNESS / "packages" / "packages.list").read_text(encoding="utf-8").splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 4 and fields[1] == command:
            word = f" --{fields[2].split()[0]}"
            break
    raise Error(f"{command} is missing; run: harness/do setup{word}")
