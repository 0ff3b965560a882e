# SPDX-License-Identifier: GPL-2.0
"""Test the packages of "make deb" in a Debian guest.

The packages are installed in a root file system of Debian. A guest boots it from
a virtio disk, with the kernel and the initramfs that the installation put into
/boot; QEMU loads these. In the guest, systemd starts the selftests. A program and
a module are compiled with the installed headers (harness/guest/inside/debian/).
The judge reads the output of the second serial port.

Usage: harness/do deb-test            as root
       harness/do deb-test --check    only check the machine and KCONFIG, as far as that is quick

Environment: KCONFIG as in harness/do deb, but deb-test, a small configuration, by
default; the variables of harness/do boot; TIMEOUT, the seconds after which a guest
counts as hung.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from harness import core
from harness.build import configurations
from harness.guest.boot import Guest
from harness.packages import apt, deb
from harness.source import base

OUT = core.built("deb-test")
ROOT = OUT / "root"
BARE = OUT / "base"
STAMP = OUT / "base.stamp"
DISK = "disk.img"
TIMEOUT = 5400
# The packages that a minimal Debian lacks, for the installation, the selftests and the compiler.
PACKAGES = "systemd-sysv,udev,kmod,initramfs-tools,gcc,libc6-dev,libc6-i386,libc6-x32,lib32gcc-s1,libelf1,make"
# Devices of a PC besides the virtio disk with Debian, and the symbols of their drivers.
# harness/guest/inside/debian/hardware tests them. Each of the two disks begins with its own name.
DISKS = ("ahci", "nvme")
HARDWARE = ("-device ahci,id=ahci -drive file=ahci,format=raw,if=none,id=on-ahci -device ide-hd,bus=ahci.0,drive=on-ahci "
            "-drive file=nvme,format=raw,if=none,id=on-nvme -device nvme,serial=1,drive=on-nvme "
            "-netdev user,id=net,restrict=on -device e1000e,netdev=net -device virtio-gpu-pci "
            "-audiodev none,id=audio -device intel-hda -device hda-duplex,audiodev=audio")
DRIVERS = ("SATA_AHCI", "BLK_DEV_SD", "BLK_DEV_NVME", "E1000E", "DRM_VIRTIO_GPU", "SND_HDA_INTEL", "SND_HDA_GENERIC")
INSTALL = """mount -t proc proc "$1/proc" && exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \
DEBIAN_FRONTEND=noninteractive chroot "$1" sh -c "dpkg -i /packages/*.deb" """


def release_here():
    """The codename of this machine's Debian.

    The root file system has the same release, because the selftests are linked with this machine's C library.
    """
    path = pathlib.Path("/etc/os-release")
    values = dict(re.findall(r"^(\w+)=(.*)$", path.read_text(encoding="utf-8") if path.exists() else "", re.M))
    name, codename = values.get("ID", "unknown"), values.get("VERSION_CODENAME", "")
    if name != "debian" or not codename:
        raise core.Error(f"make deb-test needs a machine with a release of Debian, and this one has {name} {codename}:"
                         " the selftests are linked with its C library, and run in Debian. make deb needs no Debian")
    return codename


def remove(directory):
    """Remove a directory, but no file system that is mounted in it."""
    subprocess.run(["rm", "-rf", "--one-file-system", directory], check=True)


def logged(log, lines, message, *command):
    """Run a command in a mount namespace of its own. If it fails, print LINES of its log and raise an Error."""
    path = OUT / log
    with open(path, "wb") as file:
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", *command], stdout=file,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        core.say(*path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        raise core.Error(message)


def make_bare(suite):
    """Make the bare root file system, unless an earlier run left it."""
    wanted = f"{suite} {PACKAGES}\n"
    if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    uri = apt.repository(suite)
    if not uri:
        raise core.Error("apt's configuration on this machine names no mirror of Debian;"
                         f" the root file system ({suite}) is made from one")
    remove(BARE)
    with core.step(f"Making a root file system of Debian {suite} (log: {core.shown(OUT)}/debootstrap.log)"):
        logged("debootstrap.log", 10, f"debootstrap cannot make a root file system of {suite} from {apt.shown(uri)}; the end of"
               " its log stands above. No network, or the mirror does not carry this release",
               "debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, BARE, uri)
        for package in (BARE / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
    STAMP.write_text(wanted, encoding="utf-8")


def install(packages):
    """Install packages into a new copy of the bare root file system, with its own dpkg."""
    remove(ROOT)
    subprocess.run(["cp", "-a", "--reflink=auto", BARE, ROOT], check=True)
    (ROOT / "packages").mkdir()
    for package in packages:
        shutil.copy(package, ROOT / "packages")
    (ROOT / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n", encoding="utf-8")
    logged("install.log", 20, f"the packages cannot be installed; the end of {OUT}/install.log stands above",
           "sh", "-c", INSTALL, "-", ROOT)
    shutil.rmtree(ROOT / "packages")


def boot_file(name, release):
    """The path of a file that the installation left in /boot. Raises an Error if it is missing."""
    path = ROOT / "boot" / f"{name}-{release}"
    if not path.is_file():
        raise core.Error(f"installing the packages left no /boot/{path.name}; see {OUT}/install.log")
    return path


def equip(config):
    """Add the selftests, and the unit that runs them when the system is up. CONFIG has the lines of the kernel's configuration."""
    selftests, inside, units = base.selftests(), ROOT / "kselftest/debian", ROOT / "etc/systemd/system"
    shutil.copytree(selftests, ROOT / "kselftest", symlinks=True)
    shutil.copytree(core.HARNESS / "guest/inside/debian", inside)
    (inside / "settings").write_text("timeout=900\n", encoding="utf-8")
    # The programs of the ABIs that the kernel has.
    abis = ["64", *(abi for abi, symbol in (("32", "IA32_EMULATION"), ("x32", "X86_X32"), ("x32", "X86_X32_ABI"))
                     if f"CONFIG_{symbol}=y" in config)]
    hardware = all({f"CONFIG_{symbol}=m", f"CONFIG_{symbol}=y"} & set(config) for symbol in DRIVERS)
    programs = ["debian:installed", "debian:compiled", *(["debian:hardware"] if hardware else []),
                *(selftests / "kselftest-list.txt").read_text(encoding="utf-8").splitlines()]
    (ROOT / "kselftest/kselftest-list.txt").write_text("\n".join(programs) + "\n", encoding="utf-8")
    chosen = [program for program in programs if re.fullmatch(rf"debian:.*|syscall_user_dispatch:.*_({'|'.join(abis)})", program)]
    (ROOT / "kselftest/tests").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    (units / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    (inside / "selftests.service").rename(units / "selftests.service")
    (units / "multi-user.target.wants/selftests.service").symlink_to("../selftests.service")
    # Debian asks for 4 million process ids. A small kernel does not have so many.
    if {"CONFIG_BASE_SMALL=1", "CONFIG_BASE_SMALL=y"} & set(config):
        (ROOT / "etc/sysctl.d/50-pid-max.conf").symlink_to("/dev/null")
    subprocess.run(["chown", "-R", "0:0", ROOT / "kselftest", units], check=True)


def make_disk():
    """Make the disk from the root file system, with a gigabyte of free space."""
    size = int(subprocess.run(["du", "-sm", ROOT], stdout=subprocess.PIPE, check=True).stdout.split()[0])
    (OUT / DISK).unlink(missing_ok=True)
    with open(OUT / DISK, "wb") as file:
        file.truncate(size + 1024 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", ROOT, OUT / DISK], check=True)
    for name in DISKS:
        (OUT / name).write_bytes(name.encode().ljust(1 << 20, b"\0"))


def boot(kernel, initrd):
    """Boot from the disk; returns the guest. A guest that fails leaves no verdict, which the judge reports."""
    for name in ("verdict.log", "console.log", "tests.tsv"):
        (OUT / name).unlink(missing_ok=True)
    # A relative name: QEMU_ARGS is split at blanks, which the directory's name may have.
    os.chdir(OUT)
    os.environ["QEMU_ARGS"] = f"-drive file={DISK},format=raw,if=virtio {HARDWARE} {os.environ.get('QEMU_ARGS', '')}"
    guest = Guest(kernel, initrd, "check", OUT, append="root=/dev/vda rw", timeout=int(os.environ.get("TIMEOUT") or TIMEOUT))
    guest.boot()
    for name in (DISK, *DISKS):
        (OUT / name).unlink()
    return guest


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        raise core.Error("usage: harness/do deb-test [--check]")
    if int(subprocess.run(["id", "-u"], stdout=subprocess.PIPE, check=True).stdout):
        raise core.Error("making a root file system of Debian and installing packages in it needs root's rights;"
                         " run it as root")
    suite = release_here()
    os.environ["KCONFIG"] = os.environ.get("KCONFIG") or "deb-test"
    if sys.argv[1:]:
        deb.check()
        return 0
    core.lock("deb-test-root")
    OUT.mkdir(parents=True, exist_ok=True)
    core.need_command("debootstrap")
    core.need_command("mke2fs")
    # Before the long build, so that a missing mirror is reported early.
    core.need_space(core.BUILD, 4000, "a root file system of Debian, and its disk image")
    make_bare(suite)
    packages = core.output("deb").splitlines()
    release = re.search(r"/linux-image-([^_/]*)_", packages[0])[1]
    core.run("selftests")
    with core.step(f"Installing the packages in it (log: {core.shown(OUT)}/install.log)"):
        install(packages)
    kernel, initrd = boot_file("vmlinuz", release), boot_file("initrd.img", release)
    equip(boot_file("config", release).read_text(encoding="utf-8").splitlines())
    with core.step("Making the disk"):
        make_disk()
    with core.step(f"Booting {release} from it, and running the selftests there"):
        guest = boot(kernel, initrd)
    # What Debian's or the user's configuration lacks is not known. The head of deb.config stands for it.
    configuration = release.partition("-sud-")[2]
    if configuration not in configurations.names():
        configuration = deb.ON_TOP
    return core.run("judge", "--configuration", configuration, "--verdict", guest.verdict, "--console", guest.console,
                    "--nonce", guest.nonce, "--says", "client: a call was dispatched", "--tests", OUT / "tests.tsv",
                    check=False).returncode
