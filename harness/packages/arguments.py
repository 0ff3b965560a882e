# SPDX-License-Identifier: GPL-2.0
"""Check make's command line before anything is installed, downloaded or built.

A variable that the target does not know is an error. So is a wrong value, if it
can be checked quickly.

Usage: harness/do arguments "TARGET..." VARIABLE...    the variables that the command line sets
"""

import os
import re
import sys

from harness import core

# Variables of targets that build from the kernel's source.
SOURCE = "KERNEL_SRC BASE FORCE"
# Variables of targets whose guest the user can configure.
GUEST = "QEMU_CPU QEMU_ARGS APPEND MEM SMP ACCEL"

# The variables that a target knows, besides BUILD.
KNOWN = {
    "run": f"CONFIG PROG ARGS FILES TIMEOUT KERNEL_IMAGE CC CFLAGS {GUEST} {SOURCE}",
    "shell": f"CONFIG PROG FILES KERNEL_IMAGE {GUEST} {SOURCE}",
    "host": f"BENCH {SOURCE}",
    "check": f"QUICK STEP {SOURCE}",
    "wine": f"EXE ARGS FILES TIMEOUT WINE CONFIG KERNEL_IMAGE DIRECT_IMAGE {SOURCE}",
    "matrix": f"CELLS {SOURCE}",
    "bench": f"ACCEL {SOURCE}",
    "soak": f"QUICK SOAK_SECONDS SOAK_SEED KERNEL_IMAGE {SOURCE}",
    "fuzz": f"OPERATIONS SEED {SOURCE}",
    "mutants": f"FUZZ MUTANT {SOURCE}",
    "deb": f"KCONFIG LOCALMODCONFIG {SOURCE}",
    "deb-test": f"KCONFIG TIMEOUT {GUEST} {SOURCE}",
    "kernel": f"CONFIG {SOURCE}",
    "kernel-image": f"CONFIG {SOURCE}",
    "selftests": f"CONFIG TARGETS SELFTESTS_CC {SOURCE}",
    **dict.fromkeys("lint reference coverage bisectable neighbours htmldocs tree refresh".split(), SOURCE),
    "series": "SIGNOFF",
    "clean": "FORCE",
    "distclean": "FORCE",
    "rules": f"RULE {SOURCE}",
    **dict.fromkeys("help setup dist man bases base-files".split(), ""),
}


def known(target):
    """The variables that a target knows."""
    if target.startswith("matrix-"):
        return SOURCE.split()
    if target not in KNOWN:
        raise core.Error(f"there is no target {target}; make help lists them")
    return KNOWN[target].split()


# The checks of values import their modules when they run, because a command line needs few of them.

def check_number(variable, value):
    if not re.fullmatch(r"[0-9]+", value):
        raise core.Error(f"{variable}={value} is not a number")


def check_seed(variable, value):
    if value != "random":
        check_number(variable, value)


def check_config(_, value):
    from harness.build import configurations
    configurations.fragment(value)


def check_cells(_, value):
    from harness.campaigns import matrix
    cells = matrix.read_cells()
    for name in value.split():
        if name not in cells:
            raise core.Error(f"there is no cell {name} in harness/campaigns/matrix.tsv; harness/do matrix --list lists them")


def check_steps(_, value):
    from harness.judge import check
    if value.split() != ["list"]:
        check.choose(check.read_steps(core.HARNESS / "judge" / "steps.tsv"), value.split(), {})


def check_mutants(_, value):
    from harness.campaigns import mutants
    mutants.choose(value.split())


VALUES = {"CONFIG": check_config, "SEED": check_seed, "CELLS": check_cells, "STEP": check_steps, "MUTANT": check_mutants,
          **dict.fromkeys("OPERATIONS SOAK_SECONDS SOAK_SEED TIMEOUT".split(), check_number)}


def check_target(target):
    """Raise an Error if a variable that the target knows has a wrong value."""
    if target in ("run", "shell"):
        from harness.guest import run
        run.check_files()
    elif target in ("wine", "deb", "deb-test"):
        if core.run(target, "--check", check=False).returncode:
            # The command has printed the reason.
            sys.exit(2)
    elif target.startswith("matrix-"):
        check_cells(None, target.removeprefix("matrix-"))
    for variable in known(target):
        value = os.environ.get(variable)
        if variable == "ACCEL":
            from harness.guest import boot
            boot.check_environment()
        elif variable == "BASE":
            from harness.source import fetch
            fetch.check()
        elif value and variable in VALUES:
            VALUES[variable](variable, value)


def main():
    targets, given = sys.argv[1].split(), sys.argv[2:]
    variables = {"BUILD", *(variable for target in targets for variable in known(target))}
    for name in given:
        # The variables of ccache are passed on to it.
        if name not in variables and not (name.startswith("CCACHE_") and "BASE" in variables):
            raise core.Error(f"make {' '.join(targets)} knows no variable {name}. It knows: {' '.join(sorted(variables))};"
                             " make help says what they are")
    for target in targets:
        check_target(target)
