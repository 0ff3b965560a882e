# SPDX-License-Identifier: GPL-2.0
"""The bases: the kernels that the series are for.

base/NAME names the source of one kernel, and its series. base/NAME.files has the hashes of the kernel code that the series
edits: every tree with the same files counts as that base. base/default has the name of the base that is used without BASE.
base/SERIES.symbols lists configuration symbols that have another name in these kernels, or that are gone ("-").
base/SERIES.config is a fragment that goes on top of every configuration of these kernels.

The keys are package, version, suite, deb-sha256, tarball and tarball-sha256 of the source package; upstream, the tag of the
version; series; lts, the end of a long-term kernel; images, the suite of Debian's own kernels, if it is another one;
selftests, the base that the selftests are built with, if it is another one; over, the base whose keys this one takes where
it has none of its own; patch and patch-sha256, a patch in the package that is applied to the source first, xz-compressed.

BASE is the name of a base, or the name of a series, which means the newest base of that series.

Usage: harness/do base             print the name of the base that BASE names
       harness/do base --built     print the build directory for BASE and KERNEL_SRC
       harness/do base --list      print the values that BASE may have, in one line
       harness/do base --lts       print the name of the newest series with a long-term kernel
"""

import functools
import os
import re
import sys

from harness import core

DIRECTORY = core.ROOT / "base"
OWN = "own"
TRY = "try"
# Files that the series edit, but that are not kernel code. Vendors change them, so no base is known by them.
NO_CODE = re.compile(r"Documentation/|tools/|samples/|scripts/|MAINTAINERS$|CREDITS$")


class Base:
    """The file base/NAME. Each line has a key and its value, base[key]."""

    def __init__(self, name):
        self.name, self.stock = name, self
        self.values = {}
        for line in (DIRECTORY / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                key, value = line.split(None, 1)
                self.values[key] = value
        if "over" in self.values:
            # The base that this one is a variant of: the two share a package.
            self.stock = Base(self["over"])
            self.values = self.stock.values | self.values

    def __getitem__(self, key):
        if key not in self.values:
            raise core.Error(f"base/{self.name} has no line '{key}'")
        return self.values[key]

    @property
    def series(self):
        """The name of the series for this base: a directory in series/."""
        return self["series"]

    @property
    def files(self):
        """The path of the file with the hashes."""
        return DIRECTORY / f"{self.name}.files"


def version_order(name):
    """The sort key that orders names by version."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


@functools.cache
def known():
    """All bases, {name: Base}, the newest first."""
    names = [path.name for path in DIRECTORY.iterdir() if path.suffix not in (".files", ".symbols", ".config") and path.name != "default"]
    return {name: Base(name) for name in sorted(names, key=version_order, reverse=True)}


def default():
    """The name of the base that is used without BASE."""
    return (DIRECTORY / "default").read_text(encoding="utf-8").strip()


def find(name=None):
    """The base NAME, or the newest base of the series NAME. Without NAME, BASE or the default is taken.

    Raises an Error if there is none.
    """
    name = name or os.environ.get("BASE") or default()
    if name == TRY:
        raise core.Error("BASE=try goes with KERNEL_SRC=<tree or tarball>")
    bases = known()
    if name in bases:
        return bases[name]
    for base in bases.values():
        if base.series == name:
            return base
    names = [*bases, *dict.fromkeys(base.series for base in bases.values())]
    raise core.Error(f"unknown base '{name}'; known: {' '.join(names)}. Another source: KERNEL_SRC=<tree or tarball>")


def data(suffix):
    """The files base/SERIES.SUFFIX for the kernel that BASE and KERNEL_SRC name; before its own, that of the base that it is over."""
    lines = dict.fromkeys((find(line()).stock.series, line()))
    return [path for path in (DIRECTORY / f"{name}.{suffix}" for name in lines) if path.exists()]


def symbols():
    """{CONFIG_OLD: CONFIG_NEW or "-"} for the kernel that BASE and KERNEL_SRC name."""
    return {f"CONFIG_{old}": new if new == "-" else f"CONFIG_{new}" for path in data("symbols") for _, (old, new) in core.rows(path)}


def line():
    """The name of the series for the kernel that BASE and KERNEL_SRC name."""
    if not os.environ.get("KERNEL_SRC"):
        return find().series
    from harness.source import fetch    # here, because fetch imports this module
    source = fetch.check_own()
    return fetch.nearest(source)[0].series if source.is_dir() else find().series


def siblings():
    """All bases of the series of BASE or the default base."""
    series = find().series
    return [base for base in known().values() if base.series == series]


def newer_series():
    """The names of the series for newer bases than the default, the oldest first; not those for variants of a base."""
    names = sorted({base.series for base in known().values() if base.stock is base}, key=version_order)
    return names[names.index(find(default()).series) + 1:]


def series_of(version):
    """The name of the series for KERNEL_SRC's version, such as 5.10.1. Raises an Error if there is none."""
    names = list(dict.fromkeys(base.series for base in known().values()))
    for name in names:
        if version == name or version.startswith(name + "."):
            return name
    raise core.Error(f"KERNEL_SRC={os.environ['KERNEL_SRC']} is Linux {version};"
                     f" there is a series for {', '.join(names)}")


def built():
    """The directory of all builds of the base that BASE and KERNEL_SRC name."""
    if os.environ.get("KERNEL_SRC"):
        return core.BUILD / OWN
    base = find()
    return core.BUILD / (base.series if base is find(base.series) else base.name)


def results(series=""):
    """The directory for the tables of campaigns: results/SERIES/, or results/ for the series of the default base.

    Without SERIES, it is the series that BASE and KERNEL_SRC name.
    """
    place, series = core.ROOT / "results", series or line()
    return place if series == find(default()).series else place / series


def tester():
    """The name of the base that the selftests are built with, if it is not the one that BASE names; or None."""
    return None if os.environ.get("KERNEL_SRC") else find().values.get("selftests")


def selftests():
    """The directory where the selftests are installed."""
    return (core.BUILD / tester() if tester() else built()) / "x86_64" / "kselftest"


def main():
    if sys.argv[1:] == ["--list"]:
        lines = dict.fromkeys(base.series for base in known().values())
        print(", ".join(f"{name} (default)" if find(name) is find(default()) else name for name in lines)
              + "; or " + ", ".join(known()))
        return
    if sys.argv[1:] == ["--lts"]:
        print(next(base.series for base in known().values() if "lts" in base.values))
        return
    if sys.argv[1:] not in ([], ["--built"]):
        raise core.Error("usage: harness/do base [--built|--list|--lts]")
    print(built() if sys.argv[1:] else find().name)
