# SPDX-License-Identifier: GPL-2.0
"""The configurations of kernels: the fragments harness/build/configs/CONFIG.config, and the directives in their heads.

A fragment inherits the directives that it lacks from the fragment that it is over, except with, plant and original. The
directives are:

  # arch: x86_64         what to build for
  # compiler: clang      and LLVM's other tools, rather than gcc
  # cross: PREFIX-       the prefix of the tools' names, for another architecture
  # base: allnoconfig    the configuration target that it stands on
  # over: NAME           the fragment NAME.config goes first
  # with: PATH           and this file of the repository, such as a selftest's config
  # tree: unpatched      build the base, without the series
  # plant: PATH          build the fragment that it is over, then again with this patch of one file
  # original: PATH       the same, with this file as it is in the base
  # profile: PATH.o ...  compile these for gcov
  # lacks: x32 seccomp   properties that the kernel lacks; harness/judge/skips.tsv lists the selftests to skip for each
  # objects: 1170        about how many files are compiled, for the progress line
"""

import re

from harness import core
from harness.source import base

DIRECTORY = core.HARNESS / "build" / "configs"


def names():
    """All configurations, sorted."""
    return sorted(path.stem for path in DIRECTORY.glob("*.config"))


def fragment(config):
    """The path of a configuration's own fragment. Raises an error if there is none."""
    path = DIRECTORY / f"{config}.config"
    if "/" in config or not path.is_file():
        raise core.Error(f"unknown CONFIG '{config}'; known: {' '.join(names())}")
    return path


def own(config, name):
    """The value of a directive of the fragment itself, "" if it has none."""
    match = re.search(rf"^# {re.escape(name)}: *(.*)$", fragment(config).read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else ""


def chain(config):
    """The configuration, and those that it is over, in turn."""
    while config:
        yield config
        config = own(config, "over")


def directive(config, name):
    """The value of a directive, from the first fragment of the chain that has it; "" if none has it."""
    return next(filter(None, (own(one, name) for one in chain(config))), "")


def stack(config):
    """The paths of the files that make up a configuration. A later file overrides an earlier one."""
    paths = []
    for one in chain(config):
        also = own(one, "with")
        paths = [*([core.ROOT / also] if also else []), fragment(one), *paths]
    return paths


def lacks(config):
    """The properties that the kernels of a configuration lack: "# lacks:", a set of the words of skips.tsv."""
    return set(directive(config, "lacks").split())


def wanted(config):
    """{CONFIG_SYMBOL: value} of all that the fragments of a configuration set; a later line overrides.

    Symbols have the names that they have in the kernel that is built.
    """
    values, renamed = {}, base.symbols()
    for path in stack(config):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.match(r"(CONFIG_\w+)=(.*)|# (CONFIG_\w+) is not set$", line)
            if match:
                symbol = match[1] or match[3]
                values[renamed.get(symbol, symbol)] = match[2] if match[1] else "n"
    values.pop("-", None)
    return dict(sorted(values.items()))
