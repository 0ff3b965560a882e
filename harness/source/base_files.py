# SPDX-License-Identifier: GPL-2.0
"""Write base/<name>.files for every base of the series: the hashes of the kernel code that the series edits.

A tree with these hashes counts as that base.

Usage: harness/do base-files           write the lists
       harness/do base-files --check   fail if a list is out of date
"""

import sys

from harness import core
from harness.source import base as bases
from harness.source import fetch, series


def hashes(base):
    """The text of a base's list. A file that the base lacks is left out; git am reports it."""
    files = fetch.fetch_touched(base)
    return "".join(f"{fetch.sha256(files / name)}  {name}\n" for name in series.touched(base.series)
                   if not bases.NO_CODE.match(name) and (files / name).is_file())


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        raise core.Error("usage: harness/do base-files [--check]")
    for base in bases.siblings():
        text = hashes(base)
        if not sys.argv[1:]:
            base.files.write_text(text, encoding="utf-8")
            core.say(f"{core.shown(base.files)}: {text.count(chr(10))} files")
        elif not base.files.is_file() or base.files.read_text(encoding="utf-8") != text:
            raise core.Error(f"{core.shown(base.files)} is out of date; run: make base-files")
