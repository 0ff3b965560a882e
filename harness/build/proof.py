# SPDX-License-Identifier: GPL-2.0
"""The programs of proof/: the fuzzer with its model, and the soak, each for every ABI."""

import subprocess

from harness import core


def path(program):
    """The path of a program such as fuzz_64, as it is built."""
    return core.BUILD / "proof" / program


def build(*programs):
    """Build these programs, if they are older than their sources."""
    done = subprocess.run(["make", "-s", "-C", core.ROOT / "proof", f"OUT={path('')}", *map(path, programs)],
                          stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise core.Error("the programs of proof/ do not build; the compiler's message stands above")
