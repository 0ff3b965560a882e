# SPDX-License-Identifier: GPL-2.0
"""Run a Windows program with system calls of its own (samples/wine/raw.c) in a real Wine in the guest.

The question is whether the calls reach ntdll or Linux. There are two controls. On Debian's own kernel, without the
series, the calls must reach Linux if the kernel lacks the feature (5.10), and ntdll by SIGSYS if it has it (newer
kernels). With a Wine that does not use the feature, they must reach Linux. On our kernel with direct dispatch, the
program runs twice in one boot: with SIGSYS, then without. wine_verdict.py judges. build/<base>/wine/ keeps all output.

The Wine is Debian's with a patched ntdll.so (harness/do wine-build), or an installation that WINE names. Such an
installation does not use direct dispatch.

With EXE=, the program that it names runs in that Wine instead. Its output is printed, and its exit status returned.

Usage: harness/do wine
       harness/do wine --check    only check the environment

Environment: WINE: an installation of 11.5 or later
             EXE: a 64-bit Windows program for the console; ARGS: its arguments; FILES: the files beside it;
             CONFIG (x86_64): the kernel's configuration; TIMEOUT (900): seconds after which the guest counts as hung
             KERNEL_IMAGE: an existing kernel, used instead of the one of make kernel
             DIRECT_IMAGE: an existing kernel, used instead of the one of make kernel CONFIG=direct
"""

import collections
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

from harness import core
from harness.campaigns import campaign
from harness.guest.boot import Guest
from harness.guest.run import words
from harness.packages import debian_kernel
from harness.packages.arguments import check_number
from harness.source import base as bases
from harness.source.tree import debian_base
from harness.wine import guest, host, wine_build, wine_verdict

OUT = core.built("wine")
# Wine returns to Windows code by iretq. With SMAP, QEMU 7.2 takes this for a kernel access to user memory.
CPU = "max,smap=off"
MEMORY = "2048M"
# Seconds.
TIMEOUT = 900
COMPILER = "x86_64-w64-mingw32-gcc"
SAMPLE = host.PLACE / "raw.exe"
# Values in the header of a Windows program: the machine numbers of x86-64 and of 32-bit x86, and the flag of a DLL.
AMD64, I386, DLL = 0x8664, 0x014c, 0x2000

# One boot: its name, the text of the step, the kernel's path, the value of WINE_SYSCALL_DISPATCH in each run of the
# program, the archives of Wine, the expectation of each run (wine_verdict.py), and more settings of the guest.
Boot = collections.namedtuple("Boot", "name text kernel ways archives expected extra")


# ---- what the environment names ----

def check_program(path):
    """Raise an Error if a file is no Windows program that this Wine can run."""
    wanted = "EXE= must name a 64-bit Windows program (x86-64)"
    if not os.path.exists(path):
        raise core.Error(f"EXE={path} does not exist. {wanted}")
    if not os.path.isfile(path):
        raise core.Error(f"EXE={path} is not a file. {wanted}")
    if not os.access(path, os.R_OK):
        raise core.Error(f"EXE={path} cannot be read")
    with open(path, "rb") as file:
        start = file.read(64)
        file.seek(int.from_bytes(start[60:], "little"))
        header = file.read(24)
    if start[:2] != b"MZ" or header[:4] != b"PE\0\0":
        raise core.Error(f"EXE={path} is no Windows program. {wanted}")
    machine = int.from_bytes(header[4:6], "little")
    if machine == I386:
        raise core.Error(f"EXE={path} is a 32-bit Windows program; this Wine has no 32-bit part. {wanted}")
    if machine != AMD64:
        raise core.Error(f"EXE={path} is for another machine (number {machine:#06x}). {wanted}")
    if int.from_bytes(header[22:], "little") & DLL:
        raise core.Error(f"EXE={path} is a DLL. {wanted}")


def check_environment():
    """Raise an Error if the environment names missing files, or variables that exclude each other."""
    program, image = os.environ.get("EXE"), os.environ.get("KERNEL_IMAGE")
    if program is None:
        for name in ("ARGS", "FILES", "CONFIG", "TIMEOUT"):
            if os.environ.get(name):
                raise core.Error(f"{name} is for a program of yours: name it by EXE=path.exe")
        return
    check_program(program)
    words("ARGS")
    for file in words("FILES"):
        if not os.path.isfile(file):
            raise core.Error(f"FILES: {file} does not exist, or is not a file")
    check_number("TIMEOUT", os.environ.get("TIMEOUT") or str(TIMEOUT))
    check_image(image)


def check_image(path):
    """Raise an Error if PATH, a kernel image, is named but missing."""
    if path and not os.path.isfile(path):
        raise core.Error(f"there is no kernel image {path}")


def image(variable, configuration):
    """The path of the kernel that VARIABLE names, or of the configuration's kernel, which is built if necessary."""
    path = os.environ.get(variable) or campaign.image(configuration)
    check_image(path)
    return path


# ---- the archives of Wine ----

def archives(wine, work, inputs, make):
    """The paths of the archives of a Wine, in the order in which the guest unpacks them.

    The first one is in the directory WORK. If it was not made with the same INPUTS, a list of bytes, it is made:
    MAKE(directory) fills the directory with its files. Debian's Wine has a second one, with the patched ntdll.so.
    """
    work.mkdir(parents=True, exist_ok=True)
    tree, archive = work / "tree", work / "wine.cpio"

    def make_archive():
        with core.step(f"Making a prefix with {wine.name}"):
            wine.make_prefix()
        with core.step("Packing Wine"):
            make(tree / "wine")
            guest.archive(tree, archive)
        shutil.rmtree(wine.here(wine.prefix))
        shutil.rmtree(tree)

    parts = [pathlib.Path(module.__file__).read_bytes() for module in (guest, host)]
    parts += [wine.here(f"{wine.unix}/ntdll.so").read_bytes(), wine.name.encode(), *inputs]
    host.once(work / "ready", hashlib.sha256(b"\n".join(parts)).hexdigest(), make_archive)
    if is_own():
        return [archive]
    patched = host.PLACE / "ntdll"
    guest.install(wine_build.NTDLL, patched / f"tree/wine{wine.unix}/ntdll.so")
    guest.archive(patched / "tree", patched / "wine.cpio")
    return [archive, patched / "wine.cpio"]


def is_own():
    """Whether the Wine is the user's installation, which WINE names."""
    return "WINE" in os.environ


# ---- the program that EXE names ----

def run_program(wine, program, files, arguments):
    """Run a program in the guest. Returns its exit status, or that of harness/do boot if the guest does not end."""
    kernel = image("KERNEL_IMAGE", os.environ.get("CONFIG") or "x86_64")
    wine.work = wine.work.with_name(f"{wine.work.name}-all")
    parts = archives(wine, wine.work, [], lambda tree: guest.gather_all(wine, tree))
    out = OUT / "exe"
    shutil.rmtree(out, ignore_errors=True)
    place = out / "tree/wine/prefix/drive_c/run"
    place.mkdir(parents=True)
    for file in (program, *files):
        shutil.copy(file, place)
    guest.archive(out / "tree", out / "wine.cpio")
    initrd = out / "initrd.cpio"
    guest.initramfs(initrd, guest.program_script(wine, program.name, arguments), *parts, out / "wine.cpio")
    core.say(f"* Running {program.name} in the guest, by {wine.name}")
    # The archive and the files unpacked from it need memory at the same time. The root file system may use half of the
    # memory.
    os.environ["MEM"] = f"{1024 + 3 * (initrd.stat().st_size >> 20)}M"
    run = Guest(kernel, initrd, "run", out, timeout=int(os.environ.get("TIMEOUT") or TIMEOUT))
    status = run.boot()
    initrd.unlink()
    if status:
        return status
    verdict = run.verdict.read_text(encoding="utf-8", errors="replace")
    status = int(re.search(r"^guest: end \S+ status (\d+)", verdict, re.M)[1])
    core.say(f"{program.name} exited with status {status}. (Linux keeps only the lowest 8 bits.)")
    return status


# ---- the sample ----

def compile_sample():
    """Compile samples/wine/raw.c to SAMPLE."""
    core.need_command(COMPILER)
    subprocess.run([COMPILER, "-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror",
                    "-D__USE_MINGW_ANSI_STDIO=1", "-s", "-Wl,--no-insert-timestamp", "-o", SAMPLE,
                    core.ROOT / "samples/wine/raw.c"], check=True)


def boots(wine):
    """Yield the boots of the sample. Kernels, archives and the sample are made first."""
    wine.work.mkdir(parents=True, exist_ok=True)
    compile_sample()
    ours, stock = image("KERNEL_IMAGE", "x86_64"), OUT / "stock"
    direct = None if is_own() else image("DIRECT_IMAGE", "direct")
    # Debian's newest kernel for this series.
    base = bases.find(debian_base().series)
    debian_kernel.fetch(stock, base.values.get("images", base["suite"]), "linux-image-cloud-amd64", f"{base.series}.")
    parts = archives(wine, wine.work, [SAMPLE.read_bytes()],
                     lambda tree: guest.gather(wine, tree, SAMPLE, wine.modules(SAMPLE)))
    version = (stock / "package").read_text(encoding="utf-8").strip().partition("_")[2]
    # Debian's patched Wine uses SIGSYS by default, and reports it. The user's installation does not report it.
    way = "ntdll" if is_own() else "signal"
    yield Boot("ours", f"Running {wine.name}, CPU model {CPU}, on our kernel", ours, ["default"], parts,
               [way], {})
    # A warning of Debian's kernel is no failure. It has one CPU: it patches its code more often than QEMU's emulation
    # can handle with two CPUs.
    yield Boot("stock", f"The same on Debian's own {version}, without the series", stock / "vmlinuz", ["default"],
               parts, [way if base.series in bases.newer_series() else "linux"],
               {"append": "panic_on_warn=0", "SMP": "1"})
    if not is_own():
        yield Boot("unpatched-wine", "Debian's own Wine, without the patches, on our kernel", ours, ["default"],
                   parts[:1], ["linux"], {})
        yield Boot("direct", "The patched one on our kernel with direct dispatch, by SIGSYS, then without", direct,
                   ["signal", "direct"], parts, ["signal", "direct"], {})


def run_boot(wine, boot):
    """Boot a guest that runs the sample. The output of an earlier run is removed first, so that it is never judged."""
    out = OUT / boot.name
    out.mkdir(parents=True, exist_ok=True)
    initrd = out / "initrd.cpio"
    guest.initramfs(initrd, guest.sample_script(wine, boot.ways), *boot.archives)
    (out / "console.log").unlink(missing_ok=True)
    campaign.guest(boot.kernel, initrd, "run", out, TIMEOUT, **boot.extra)
    initrd.unlink()


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        raise core.Error("usage: harness/do wine [--check]")
    check_environment()
    wine = host.own(os.environ["WINE"]) if is_own() else None
    if sys.argv[1:]:
        return 0
    program, files = os.environ.get("EXE"), [os.path.realpath(file) for file in words("FILES")]
    program = program and pathlib.Path(program).absolute()
    for variable in ("KERNEL_IMAGE", "DIRECT_IMAGE"):
        if os.environ.get(variable):
            os.environ[variable] = os.path.realpath(os.environ[variable])
    # The guests do not depend on the caller's environment, except for ACCEL.
    campaign.begin("wine", keep=["ACCEL"])
    os.environ.update(QEMU_CPU=CPU, MEM=MEMORY, SMP="2")
    for place in (OUT, host.PLACE):
        place.mkdir(parents=True, exist_ok=True)
    if not wine:
        wine = wine_build.build()
    wine.check_namespaces()
    if program:
        return run_program(wine, program, files, words("ARGS"))
    expected = {}
    for boot in boots(wine):
        with core.step(boot.text):
            run_boot(wine, boot)
        expected[boot.name] = boot.expected
    core.say("")
    return wine_verdict.verdict(OUT, expected)
