# SPDX-License-Identifier: GPL-2.0
"""Build the selftests that guests run, in build/<base>/x86_64/kselftest.

The compiler must have made each program for each ABI: a program that is not built would go untested unseen.

Usage: harness/do selftests
"""

import os
import re

from harness import core
from harness.build.kernel import Kernel

LIST = "x86_64/kselftest/kselftest-list.txt"
ABIS = ("64", "32", "x32")


def main():
    os.environ["TARGETS"] = "syscall_user_dispatch seccomp"
    kernel = Kernel("x86_64")
    core.lock("kernel-selftests")
    kernel.selftests()
    built = re.findall(r"^syscall_user_dispatch:(.*)_(64|32|x32)$", core.built(LIST).read_text(encoding="utf-8"), re.M)
    if not built:
        raise core.Error("no selftest was built")
    missing = [f"{name}_{abi}" for name in sorted({name for name, _ in built}) for abi in ABIS if (name, abi) not in built]
    if missing:
        raise core.Error(f"{', '.join(missing)}: not built; see {core.shown(kernel.out)}/kselftest.log,"
                         " and try: harness/do setup --abis")
