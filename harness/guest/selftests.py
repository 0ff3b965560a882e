# SPDX-License-Identifier: GPL-2.0
"""Build the selftests that guests run, in build/<base>/x86_64/kselftest.

Newer kernels have selftests of their own in that directory. Their guests run the programs of another base, which the
key selftests in base/NAME names.

A program that is not built for every ABI is an error, because its tests would be missing without a message.

Usage: harness/do selftests
"""

import os
import re

from harness import core
from harness.build.kernel import Kernel
from harness.source import base

ABIS = ("64", "32", "x32")


def main():
    if base.tester():
        core.run("selftests", env={**os.environ, "BASE": base.tester()})
        return
    os.environ["TARGETS"] = "syscall_user_dispatch seccomp"
    kernel = Kernel("x86_64")
    core.lock("kernel-selftests")
    kernel.selftests()
    built = re.findall(r"^syscall_user_dispatch:(.*)_(64|32|x32)$", (base.selftests() / "kselftest-list.txt").read_text(encoding="utf-8"), re.M)
    if not built:
        raise core.Error("no selftest was built")
    missing = [f"{name}_{abi}" for name in sorted({name for name, _ in built}) for abi in ABIS if (name, abi) not in built]
    if missing:
        raise core.Error(f"{', '.join(missing)}: not built; see {core.shown(kernel.out)}/kselftest.log,"
                         " and try: harness/do setup --abis")
