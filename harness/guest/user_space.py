# SPDX-License-Identifier: GPL-2.0
"""The guest's user space for a 32-bit kernel, which cannot run this machine's own programs.

busybox and timeout for i386 come from Debian's packages, into build/download/guest-i386.
"""

import os
import shutil

from harness import core

# Older than any machine that the harness runs on, so that its programs run with the machine's 32-bit C library.
SUITE = "bullseye"
DIRECTORY = core.BUILD / "download" / "guest-i386"
PROGRAMS = {"busybox-static": "bin/busybox", "coreutils": "usr/bin/timeout"}
REMEDY = (f"Another way: put a static i386 busybox at {DIRECTORY}/bin/busybox,"
          f" and GNU's timeout for i386 at {DIRECTORY}/usr/bin/timeout.")


def fetch():
    """Download the programs into DIRECTORY."""
    from harness.packages import apt
    tmp = DIRECTORY.with_suffix(".tmp")
    shutil.rmtree(tmp, ignore_errors=True)
    core.need_space(core.BUILD, 60, "the guest's 32-bit user space")
    apt.lists(SUITE, "i386", REMEDY)
    apt.download(SUITE, "i386", tmp, REMEDY, *PROGRAMS)
    for package, program in PROGRAMS.items():
        apt.unpack(next(tmp.glob(f"{package}_*.deb")), DIRECTORY, f"./{program}")
    shutil.rmtree(tmp)


def of(config):
    """The directory for pack --base for a configuration whose kernel is built; "" for a 64-bit kernel."""
    path = core.built(config) / ".config"
    if not path.is_file():
        raise core.Error(f"{core.shown(path.parent)} has no kernel; run: make kernel CONFIG={config}")
    if "CONFIG_X86_32=y" not in path.read_text(encoding="utf-8").splitlines():
        return ""
    core.lock("guest-i386")
    if not all(os.access(DIRECTORY / program, os.X_OK) for program in PROGRAMS.values()):
        with core.step("Downloading the guest's 32-bit user space (4 MB)"):
            fetch()
    return str(DIRECTORY)
