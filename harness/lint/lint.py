# SPDX-License-Identifier: GPL-2.0
"""Run the checks of "make lint": tools for the series and for this repository.

If a tool also has messages about the base, only additional ones count.

Usage: harness/do lint [CHECK...]     run these checks; without CHECK, all:

  shell         shellcheck on the harness and the samples
  python        pyflakes on the harness
  man           mandoc's lint on the manual pages
  spelling      codespell on all files of the repository that are not generated
  spdx          each file names its licence, and the kernel's spdxcheck.py knows it
  messages      the form of the commit messages
  tables        results/README.md has the matrix of results/matrix.tsv, and docs/maintainers.md lists patches/5.10
  figures       the figures in the texts that harness/lint/figures.tsv lists are those of the tables
  checkpatch    checkpatch.pl --strict, without the messages that harness/lint/checkpatch.tsv accepts
  quilt         the patches apply to each base by quilt, with the result of git am
  maintainers   get_maintainer.pl finds our section; the series leaves MAINTAINERS sorted
  kernel-doc    scripts/kernel-doc; each global function of a new file has documentation
  uapi          each header for user space compiles alone in C and C++, with the ABI's numbers
  sparse        sparse on each object whose source the series touches
  gcc           gcc with W=1 on these objects
  objtool       objtool on these objects, and its messages in the log of the kernel's build
  coccinelle    scripts/coccinelle in report mode

A check is the program harness/lint/checks/CHECK. It fails if it prints a message.
checkpatch and the checks after it work on the patched tree as it is, with your edits.
"""

import re
import subprocess
import sys
import time

from harness import core

LOG = core.built("lint.log")


def main():
    known = re.findall(r"^  ([a-z-]+)  ", __doc__, re.M)
    for name in sys.argv[1:]:
        if name not in known:
            raise core.Error(f"unknown check '{name}'; known: {' '.join(known)}")
    LOG.parent.mkdir(parents=True, exist_ok=True)
    core.lock("lint")
    passed = failed = 0
    for name in sys.argv[1:] or known:
        begin = time.monotonic()
        core.say(f"* {name}")
        with open(LOG, "w+", encoding="utf-8", errors="replace") as log:
            status = subprocess.run([core.HARNESS / "lint/checks" / name], cwd=core.ROOT, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=subprocess.STDOUT, check=False).returncode
            log.seek(0)
            text = log.read()
        if status:
            failed += 1
            print(f"{text}NOT OK: {name} (again: harness/do lint {name})", flush=True)
        else:
            passed += 1
            core.say(f"  no messages ({round(time.monotonic() - begin)} s)")
    LOG.unlink()
    print(f"{passed} passed, {failed} failed")
    return failed > 0
