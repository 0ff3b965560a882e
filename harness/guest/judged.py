# SPDX-License-Identifier: GPL-2.0
"""Boot the kernel of a configuration, run selftests that harness/do selftests has built, and judge them.

Usage: harness/do judged RUN CONFIG TESTS [WORD...]

RUN is the run's name, TESTS a regular expression for the list of selftests. The words go on the kernel's command
line. CONFIG and QEMU_CPU decide which tests must be skipped. Output and exit status are those of harness/do judge.

Environment: the variables of harness/do boot, and
  OUT     the directory of consoles and verdicts (build/<base>/RUN)
  SAYS    a text; a line of the verdict must end with it
  SLOW    the factor for the guest's time limits, a whole number
"""

import os
import pathlib
import re
import sys

from harness import core
from harness.build.kernel import Kernel
from harness.guest import user_space
from harness.guest.boot import TIMEOUTS, Guest
from harness.source import base


def main():
    if len(sys.argv) < 4:
        raise core.Error("usage: harness/do judged RUN CONFIG TESTS [WORD...]")
    run, config, tests, *words = sys.argv[1:]
    out, slow = pathlib.Path(os.environ.get("OUT") or core.built(run)), os.environ.get("SLOW")
    installed = base.selftests() / "kselftest-list.txt"
    if not installed.is_file():
        raise core.Error("the selftests are not built; run: harness/do selftests")
    out.mkdir(parents=True, exist_ok=True)
    # Results of an earlier run must not count for this one.
    for name in ("verdict.log", "console.log", "tests.tsv"):
        (out / name).unlink(missing_ok=True)
    chosen = [line for line in installed.read_text(encoding="utf-8").splitlines() if re.search(tests, line)]
    if not chosen:
        raise core.Error(f"no selftest matches {tests}")
    (out / "tests").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    kernel = Kernel(config)
    kernel.build()
    initrd = out / "initrd.cpio.gz"
    core.run("pack", "--out", initrd, "--base", user_space.of(config), "--tree", f"{installed.parent}:/kselftest",
             "--file", f"{out}/tests:/guest/tests")
    guest = Guest(kernel.image(), initrd, "check", out, timeout=TIMEOUTS["check"] * int(slow or 1),
                  append=" ".join(([f"guest.slow={slow}"] if slow else []) + words))
    # A guest that fails has no verdict, and the judge reports that.
    guest.boot()
    return core.run("judge", "--configuration", config, "--cpu", os.environ.get("QEMU_CPU") or "max",
                    "--verdict", guest.verdict, "--console", guest.console, "--nonce", guest.nonce,
                    "--says", os.environ.get("SAYS", ""), "--tests", out / "tests.tsv", check=False).returncode
