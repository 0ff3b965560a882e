# SPDX-License-Identifier: GPL-2.0
"""The programs of proof/, built for each ABI: the fuzzer with its model, and the soak."""

import subprocess

from harness import core


def path(program):
    """The path at which a program such as fuzz_64 is built."""
    return core.BUILD / "proof" / program


def build(*programs):
    """Build these programs, if they are missing or older than their sources. Raises an Error if that fails."""
    done = subprocess.run(["make", "-s", "-C", core.ROOT / "proof", f"OUT={path('')}", *map(path, programs)],
                          stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise core.Error("the programs of proof/ do not build; see the compiler's message above")
