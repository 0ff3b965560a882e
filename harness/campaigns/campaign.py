# SPDX-License-Identifier: GPL-2.0
"""Shared by the campaigns: guests, their selftests, reports and tables."""

import hashlib
import os
import pathlib
import re
import subprocess

from harness import core
from harness.source import base

ABIS = ("64", "32", "x32")
# The selftests as they are installed, and the directory of the feature's programs.
KSELFTEST = base.selftests()
PROGRAMS = KSELFTEST / "syscall_user_dispatch"
# The tests of the feature, and those that the fixes before it add to seccomp's.
TESTS = r"^syscall_user_dispatch:|:seccomp_(tsync_ptrace|trap_pending)$"
RESULTS = base.results()
# The caller's variables that would change a guest.
GUEST = ("QEMU_CPU", "QEMU_ARGS", "APPEND", "MEM", "SMP", "ACCEL", "SLOW", "SAYS", "OUT")


def begin(name, keep=()):
    """Take the campaign's lock, and unset the caller's variables that would change its guests, except those to KEEP."""
    os.chdir(core.ROOT)
    RESULTS.mkdir(exist_ok=True)
    core.lock(name)
    for variable in set(GUEST).difference(keep):
        os.environ.pop(variable, None)


def image(configuration, name=""):
    """The path of a configuration's kernel, of the base NAME or BASE. It is built if it is missing or old."""
    return core.output("kernel", "--image", configuration, env={**os.environ, **({"BASE": name} if name else {})})


def select(pattern, path):
    """Write the installed selftests that match the pattern to the file, a line each."""
    listed = (KSELFTEST / "kselftest-list.txt").read_text(encoding="utf-8").splitlines()
    tests = [test for test in listed if re.search(pattern, test)]
    if not tests:
        raise core.Error(f"no selftest that was built matches {pattern}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(tests) + "\n", encoding="utf-8")


def guest(kernel, initrd, mode, out, timeout, append="", stderr=None, **environment):
    """Boot a guest in that mode of harness/do boot; its files go to OUT. Returns the finished process. TIMEOUT is in seconds.

    The status is not checked: the judge decides whether the guest came to its end."""
    return core.run("boot", "--kernel", kernel, "--initrd", initrd, "--mode", mode, "--out", out,
                    "--timeout", str(timeout), "--append", append, env={**os.environ, **environment},
                    stdout=subprocess.DEVNULL, stderr=stderr, text=True, check=False)


def unless_run(out, kernel, initrd, words, boot):
    """Call BOOT, unless an earlier call for the same kernel, initramfs and words returned True. OUT/inputs keeps their hash."""
    digest = hashlib.sha256(words.encode())
    for path in (kernel, initrd):
        digest.update(pathlib.Path(path).read_bytes())
    known = out / "inputs"
    if known.exists() and known.read_text(encoding="utf-8") == digest.hexdigest():
        core.say("  an earlier run is reused: nothing has changed")
        return
    out.mkdir(parents=True, exist_ok=True)
    known.unlink(missing_ok=True)
    if boot():
        known.write_text(digest.hexdigest(), encoding="utf-8")


def tell(failures, lines=20):
    """Print the failures (name, [explaining lines]), each with the last LINES of its lines."""
    for failure, explanation in failures:
        print(f"FAILED: {failure}")
        for line in list(filter(None, explanation))[-lines:]:
            print(f"    {line}")


def write(path, *lines):
    """Write a table or a text, line by line."""
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(line + "\n" for line in lines)


def row(fields):
    """The row of a table."""
    return "\t".join(map(str, fields))
