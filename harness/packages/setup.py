# SPDX-License-Identifier: GPL-2.0
"""Install the packages of packages.list that are missing. Prints nothing if all are there.

Usage: harness/do setup            the packages that make check needs
       harness/do setup --WORD...  the packages with one of these words in the third column of the list
       harness/do setup --abis     only check that the compiler builds for all ABIs of the tests
"""

import collections
import os
import platform
import re
import shutil
import subprocess
import sys

from harness import core

LIST = core.HARNESS / "packages" / "packages.list"
LOG = core.BUILD / "setup.log"
DEFAULT = ("tree", "kernel", "guest", "tests", "lint", "check")
# How long to wait for another program that uses apt, in seconds.
PATIENCE = 3600

# A row of the list. SHOWN is a command or file of the package, by which a machine without dpkg is checked, or "-".
Package = collections.namedtuple("Package", "name shown words purpose")


def packages(words):
    """The packages that have one of these words."""
    fields = [[field.strip() for field in line.split("|")] for line in LIST.read_text(encoding="utf-8").splitlines()
              if not line.startswith("#")]
    listed = [Package(name, shown, needed.split(), purpose) for name, shown, needed, purpose in fields]
    return [package for package in listed if set(words) & set(package.words)]


def check_abis():
    """Raise an Error unless programs for every ABI compile and link.

    Even if the packages are installed, another compiler may be in use, or a library may be missing.
    """
    missing = []
    for abi in ("-m64", "-m32", "-mx32"):
        done = subprocess.run(["gcc", abi, "-pthread", "-x", "c", "-o", "/dev/null", "-"], text=True,
                              input='#include <stdio.h>\nint main(void) { return puts(""); }\n',
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            core.say(f"gcc {abi} cannot build a program:", *(f"  {line}" for line in done.stdout.splitlines()[:5]))
            missing.append(abi)
    if missing:
        raise core.Error(f"the selftests are built for 64-bit, i386 and x32, but gcc lacks {' '.join(missing)}. On Debian:\n"
                         "  apt-get install --reinstall gcc-multilib libc6-dev libc6-dev-i386 libc6-dev-x32")


def check_elsewhere(wanted):
    """On a machine without Debian's tools, raise an Error if commands or files of the packages are missing."""
    missing = []
    for package in wanted:
        if package.shown.startswith("/"):
            if not os.path.exists(package.shown):
                missing.append(f"  {package.name}: {package.shown} ({package.purpose})")
        elif package.shown != "-" and not shutil.which(package.shown):
            missing.append(f"  {package.name}: the command {package.shown} ({package.purpose})")
    if missing:
        core.say("This is not a Debian machine (no dpkg or apt-get), and these are missing; Debian calls their packages:", *missing)
        raise core.Error("install them, and name a kernel source: KERNEL_SRC=<tree or tarball of a kernel>")


def missing_of(wanted):
    """The packages that are not installed."""
    # The status is not checked: dpkg-query fails if it does not know a package, but prints the others.
    text = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *(package.name for package in wanted)],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    installed = re.findall(r"^installed (.*)$", text, re.M)
    return [package for package in wanted if package.name not in installed]


class Apt:
    """apt-get with root's rights, to install packages."""

    def __init__(self, names):
        self.names = names
        self.install = ["apt-get", "install", "-y", "--no-install-recommends", *names]
        self.by_hand = f"apt-get update && {' '.join(self.install)}"
        self.root = ["env", "DEBIAN_FRONTEND=noninteractive"]
        if int(subprocess.run(["id", "-u"], stdout=subprocess.PIPE, check=True).stdout):
            if not shutil.which("sudo") or not sys.stdin.isatty() and subprocess.run(
                    ["sudo", "-n", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
                raise core.Error(f"installing them needs root's rights. As root, run:\n  {self.by_hand}")
            self.root[0] = "sudo"

    def run(self, *command):
        """Run a command, and repeat it while another program has apt's lock; returns whether it succeeded.

        apt-get itself can wait for only one of its locks (DPkg::Lock::Timeout).
        """
        waited = 0
        while True:
            done = subprocess.run([*self.root, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  errors="replace", env=os.environ | {"LC_ALL": "C"}, check=False)
            with open(LOG, "a", encoding="utf-8") as log:
                log.write(done.stdout)
            busy = re.search(r"^E: (Could not get lock.*)$", done.stdout, re.M)
            if not done.returncode or not busy:
                return not done.returncode
            if not waited:
                core.say(f"  Waiting for another program that uses apt: {busy[1]}")
            if waited >= PATIENCE:
                raise core.Error(f"apt is still busy after {PATIENCE // 60} minutes."
                                 " Wait for the program that has its lock, or end it, and try again")
            subprocess.run(["sleep", "5"], check=True)
            waited += 5

    def known(self):
        """Whether the machine's package lists have all of these packages."""
        text = subprocess.run(["apt-cache", "policy", *self.names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=os.environ | {"LC_ALL": "C"}, check=False).stdout
        return len(re.findall(r"^  Candidate: [^(]", text, re.M)) == len(self.names)

    def install_all(self):
        """Install the packages. Raises an Error if that fails."""
        if not self.known():
            self.run("apt-get", "update")
        # Outdated lists name versions that the mirror no longer has.
        if self.run(*self.install) or self.run("apt-get", "update") and self.run(*self.install):
            return
        core.say(*LOG.read_text(encoding="utf-8").splitlines()[-15:])
        raise core.Error(f"apt-get cannot install them; the end of {LOG} stands above. By hand:\n  {self.by_hand}")


def main():
    machine = platform.machine()
    if machine != "x86_64":
        raise core.Error(f"this machine is {machine}; the harness builds x86-64 kernels with the machine's own compiler")
    if sys.argv[1:] == ["--abis"]:
        check_abis()
        return
    words = []
    for argument in sys.argv[1:]:
        words.append(argument.removeprefix("--"))
        if words[-1] == argument or not packages(words[-1:]):
            raise core.Error("usage: harness/do setup [--abis|--WORD...];"
                             f" nothing in harness/packages/packages.list is for '{argument}'")
    wanted = packages(words or DEFAULT)
    if not shutil.which("dpkg-query") or not shutil.which("apt-get"):
        check_elsewhere(wanted)
        return
    missing = missing_of(wanted)
    if missing:
        core.say("These Debian packages are missing:", *(f"  {package.name:<16} {package.purpose}" for package in missing))
        apt = Apt([package.name for package in missing])
        core.BUILD.mkdir(parents=True, exist_ok=True)
        LOG.write_text("", encoding="utf-8")
        with core.step(f"Installing them with apt-get (log: {LOG})"):
            apt.install_all()
