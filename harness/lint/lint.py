# SPDX-License-Identifier: GPL-2.0
"""Run the checks of "make lint": tools for the series and for this repository.

If a tool also has messages about the base, only additional ones count.

Usage: harness/do lint [CHECK...]     all of them, or these:

  shell         shellcheck on the harness and the samples
  python        pyflakes on the harness
  man           mandoc's lint on the manual pages
  spelling      codespell on all that people read
  spdx          each file names its licence, and the kernel's spdxcheck.py knows it
  messages      the commit messages' form
  tables        results/README.md has the matrix of results/matrix.tsv, and docs/maintainers.md lists patches/5.10
  figures       the figures in the texts are those of the tables, as harness/lint/figures.tsv says
  checkpatch    checkpatch.pl --strict, but for what harness/lint/checkpatch.tsv lists
  quilt         the patches apply by quilt, to each base, as they do by git am
  maintainers   get_maintainer.pl finds our section; MAINTAINERS stays as sorted as it was
  kernel-doc    scripts/kernel-doc, and no global function of a new file without it
  uapi          the headers for user space, each alone, in C and C++, and the ABI's numbers
  sparse        on each object whose source the series touches
  gcc           the same by the compiler, with W=1
  objtool       on these objects, and in the log of the kernel's build
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
            status = subprocess.run([core.HARNESS / "lint/checks" / name], cwd=core.ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=subprocess.STDOUT, check=False).returncode
            log.seek(0)
            text = log.read()
        if status:
            failed += 1
            print(f"{text}NOT OK: {name} (again: harness/do lint {name})", flush=True)
        else:
            passed += 1
            core.say(f"  nothing to say ({round(time.monotonic() - begin)} s)")
    LOG.unlink()
    print(f"{passed} passed, {failed} failed")
    return failed > 0
