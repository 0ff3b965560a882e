# SPDX-License-Identifier: GPL-2.0
"""Remove what was built, but not what was downloaded; with --all, everything.

Usage: harness/do clean [--all]        FORCE=1: also if a tree has edits
"""

import os
import shutil
import sys

from harness import core
from harness.source.tree import edited_trees


def main():
    if sys.argv[1:] not in ([], ["--all"]):
        raise core.Error("usage: harness/do clean [--all]")
    keep = [] if sys.argv[1:] else ["download", "ccache"]
    edited = [] if os.environ.get("FORCE") else [str(core.shown(place)) for place in edited_trees()]
    if edited:
        raise core.Error(f"{' and '.join(edited)} has edits of yours. 'make refresh' writes them into the"
                         " repository; FORCE=1 removes them with the rest")
    if not core.BUILD.is_dir():
        return
    for path in core.BUILD.iterdir():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not keep:
        core.BUILD.rmdir()
