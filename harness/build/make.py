# SPDX-License-Identifier: GPL-2.0
"""The kernel's make: its environment, its log, its progress, and the cause of a failure."""

import os
import re
import subprocess

from harness import core

CACHE_SIZE = "10G"


def kernel_make(*arguments, log=None):
    """Run make with these arguments; returns its exit status. Its output goes to the open file LOG, if there is one.

    The caller's environment is not passed on, because its variables can have another meaning in the kernel's
    Makefiles. Names and dates are fixed, so the same sources give the same bytes, and ccache finds them.

    CCACHE_DEPEND: ccache learns the included files from the compiler. If it preprocessed first, the first build would
    take a fifth longer, without more hits, because task_struct differs between configurations. harness/build/ccache
    handles the changes that this mode misses. LOCALVERSION= keeps git's state out of the version.
    """
    environment = {
        "PATH": f"{core.HARNESS}/build/ccache:/usr/lib/ccache:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"), "TERM": os.environ.get("TERM", "dumb"), "LC_ALL": "C",
        "CCACHE_DIR": str(core.BUILD / "ccache"), "CCACHE_MAXSIZE": CACHE_SIZE, "CCACHE_BASEDIR": str(core.BUILD),
        "CCACHE_DEPEND": "1", **{name: value for name, value in os.environ.items() if name.startswith("CCACHE_")},
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970", "KBUILD_BUILD_USER": "sud",
        "KBUILD_BUILD_HOST": "harness"}
    return subprocess.run(["make", f"-j{len(os.sched_getaffinity(0))}", "LOCALVERSION=", *arguments], env=environment,
                          stdin=subprocess.DEVNULL, stdout=log, stderr=log and subprocess.STDOUT,
                          check=False).returncode


def failure(log, message):
    """Print the last lines of the file LOG that show a cause, or its end; returns an Error with that message."""
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    cause = re.compile(r"error:|Error [0-9]+|No rule to make|undefined reference|Unmet build dep|No space left")
    found = [f"{number}:{line}" for number, line in enumerate(text, 1) if cause.search(line)] or text
    core.say(f"---- {core.shown(log)} says:", *found[-20:], "----")
    return core.Error(message)


def logged_build(log, total, build, message):
    """Call build(file), which writes to the file LOG and returns an exit status. Raises an Error if that is not 0.

    Meanwhile, print the number of compiled files from time to time, and TOTAL, their expected number, unless it is "".
    """
    def report():
        count = len(re.findall(rb"^ +(?:CC|AS) ", log.read_bytes(), re.M))
        core.say(f"    {count} files compiled" + (f" of about {total}" if total else ""))

    with open(log, "wb") as file, core.every(report):
        status = build(file)
    if status:
        raise failure(log, message)
