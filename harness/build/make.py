# SPDX-License-Identifier: GPL-2.0
"""The kernel's make: its environment, its log, how far it is, and the cause of a failure."""

import os
import re
import subprocess

from harness import core

CACHE_SIZE = "10G"


def kernel_make(*arguments, log=None):
    """Run make with these arguments, its output to the file LOG; returns its exit status.

    Nothing of the caller's environment gets to it, which may carry variables that mean something else to the
    kernel's Makefiles. Fixed names and dates make the same bytes, and ccache hits. ccache learns from the compiler
    which files an object includes: to preprocess it first makes a first build a fifth slower, and would find no
    more, as configurations differ in task_struct; harness/build/ccache minds what it overlooks then. LOCALVERSION=
    keeps git out of the version.
    """
    environment = {
        "PATH": f"{core.HARNESS}/build/ccache:/usr/lib/ccache:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"), "TERM": os.environ.get("TERM", "dumb"), "LC_ALL": "C",
        "CCACHE_DIR": str(core.BUILD / "ccache"), "CCACHE_MAXSIZE": CACHE_SIZE, "CCACHE_BASEDIR": str(core.BUILD),
        "CCACHE_DEPEND": "1", **{name: value for name, value in os.environ.items() if name.startswith("CCACHE_")},
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970", "KBUILD_BUILD_USER": "sud", "KBUILD_BUILD_HOST": "harness"}
    return subprocess.run(["make", f"-j{len(os.sched_getaffinity(0))}", "LOCALVERSION=", *arguments], env=environment,
                          stdin=subprocess.DEVNULL, stdout=log, stderr=log and subprocess.STDOUT, check=False).returncode


def failure(log, message):
    """An Error with that message. The lines of the log that tell the cause are said."""
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    cause = re.compile(r"error:|Error [0-9]+|No rule to make|undefined reference|Unmet build dep|No space left")
    found = [f"{number}:{line}" for number, line in enumerate(text, 1) if cause.search(line)] or text
    core.say(f"---- {core.shown(log)} says:", *found[-20:], "----")
    return core.Error(message)


def logged_build(log, total, build, message):
    """Call build(file), which writes to LOG and returns an exit status.

    Now and then it is said how many files are compiled, of about TOTAL, if that is known. A failure is an Error.
    """
    def report():
        count = len(re.findall(rb"^ +(?:CC|AS) ", log.read_bytes(), re.M))
        core.say(f"    {count} files compiled" + (f" of about {total}" if total else ""))

    with open(log, "wb") as file, core.every(report):
        status = build(file)
    if status:
        raise failure(log, message)
