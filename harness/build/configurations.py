# SPDX-License-Identifier: GPL-2.0
"""The configurations of kernels: the fragments harness/build/configs/CONFIG.config, and the directives in their heads.

If a fragment lacks a directive, it has that of the fragment that it is over, except for with, plant and original. The
directives are:

  # arch: x86_64         the architecture, as make's ARCH
  # compiler: clang      use clang and LLVM's other tools; without this, gcc
  # cross: PREFIX-       the prefix of the names of the tools for another architecture
  # base: allnoconfig    the target of the kernel's make that makes the first configuration
  # over: NAME           add this fragment to NAME.config
  # with: PATH           also add this file of the repository, such as a selftest's config; the fragment overrides it
  # tree: unpatched      build the base, without the series
  # plant: PATH          copy the build of the fragment that this one is over; compile one file again, with this patch
  # original: PATH       the same; compile this file again, as it is in the base
  # profile: PATH.o ...  compile these objects for gcov
  # lacks: x32 seccomp   properties that the kernel lacks; harness/judge/skips.tsv lists the selftests to skip for each
  # objects: 1170        approximate number of compiled files, for the progress line
"""

import re

from harness import core
from harness.source import base

DIRECTORY = core.HARNESS / "build" / "configs"


def names():
    """All configurations, sorted."""
    return sorted(path.stem for path in DIRECTORY.glob("*.config"))


def fragment(config):
    """The path of a configuration's own fragment. Raises an Error if there is none."""
    path = DIRECTORY / f"{config}.config"
    if "/" in config or not path.is_file():
        raise core.Error(f"unknown CONFIG '{config}'; known: {' '.join(names())}")
    return path


def own(config, name):
    """The value of a directive in the configuration's own fragment; "" if it has none."""
    match = re.search(rf"^# {re.escape(name)}: *(.*)$", fragment(config).read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else ""


def chain(config):
    """Yield the configuration, then the one that it is over, and so on."""
    while config:
        yield config
        config = own(config, "over")


def directive(config, name):
    """The value of a directive, from the first fragment of the chain that has it; "" if none has it."""
    return next(filter(None, (own(one, name) for one in chain(config))), "")


def stack(config):
    """The paths of the files that make up a configuration. A later file overrides an earlier one; the base's is the last."""
    paths = base.data("config")
    for one in chain(config):
        also = own(one, "with")
        paths = [*([core.ROOT / also] if also else []), fragment(one), *paths]
    return paths


def lacks(config):
    """The properties that the kernel of a configuration lacks, by "# lacks:": a set of words of skips.tsv."""
    return set(directive(config, "lacks").split())


def wanted(config):
    """{CONFIG_SYMBOL: value} of all symbols that the fragments of a configuration set. A later line overrides.

    The names are those of the kernel that BASE and KERNEL_SRC select.
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
