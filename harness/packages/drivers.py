# SPDX-License-Identifier: GPL-2.0
"""The drivers that this machine uses, and which of them a kernel's configuration lacks."""

import os
import pathlib
import re

from harness.source.git import git

SYSFS = pathlib.Path("/sys")
# Kinds of devices, by the directory in /sys/class.
KINDS = {"graphics": "drm", "sound": "sound", "disk": "block", "network": "net", "input": "input"}


def in_use():
    """{driver: kind} of the drivers of this machine's devices, and of the buses and controllers that lead to these.

    A driver has the name of its module, or its own name if it is built in.
    """
    found = {}
    for kind, directory in KINDS.items():
        for entry in sorted((SYSFS / "class" / directory).glob("*")):
            place = pathlib.Path(os.path.realpath(entry))
            while SYSFS / "devices" in place.parents:
                driver = place / "driver"
                if driver.is_symlink():
                    module = driver / "module"
                    found.setdefault(os.path.basename(os.path.realpath(module if module.exists() else driver)), kind)
                place = place.parent
    return found


def symbols_of(tree):
    """{object's name: {CONFIG_SYMBOL}} of the kernel in a tree, by the lines obj-$(CONFIG_...) += of its Makefiles.

    A dash counts as an underscore, as in the name of a module.
    """
    found = {}
    lines = git("grep", "-hE", r"^obj-\$\(CONFIG_[A-Z0-9_]+\)", "--", "*/Makefile", tree=tree, check=False) or ""
    for symbol, objects in re.findall(r"^obj-\$\((CONFIG_\w+)\)\s*[+:]?=(.*)$", lines, re.M):
        for name in re.findall(r"([\w-]+)\.o\b", objects):
            found.setdefault(name.replace("-", "_"), set()).add(symbol)
    return found


def lacking(tree, configuration):
    """[(driver, kind, [CONFIG_SYMBOL])] of the drivers in use that CONFIGURATION, {CONFIG_SYMBOL: value}, lacks.

    A driver that no Makefile of the tree names is left out: it may belong to another kernel.
    """
    known = symbols_of(tree)
    return [(driver, kind, sorted(known[name])) for driver, kind in sorted(in_use().items())
            if (name := driver.replace("-", "_")) in known
            and not any(configuration.get(symbol) in ("y", "m") for symbol in known[name])]
