# SPDX-License-Identifier: GPL-2.0
"""Run a program, or a shell, in a guest with our kernel: make run and make shell.

Usage: harness/do run program    PROG= with ARGS=, or the sample; the exit status is the program's
       harness/do run shell      an interactive shell, with the selftests if they are built
       harness/do run check      only check that the files of PROG= and FILES= exist

Under emulation, the sample counts instructions, because times would be misleading.

Environment: CONFIG (x86_64), PROG, ARGS, FILES, TIMEOUT, the variables of harness/do boot, OUT: the directory of
the guest's files (build/<base>/run), and KERNEL_IMAGE: a kernel that exists already, instead of CONFIG's.
"""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys

from harness import core
from harness.build.kernel import Kernel
from harness.guest.boot import Guest

NEXT = """
What to try next:
  make run CONFIG=direct        the foreign program's calls are served without a signal
  make run PROG=./a.out         your own program; also ARGS='-v file' FILES='file'
  make shell                    a shell in the guest
  make help                     everything else"""


def words(variable):
    """The words of a variable; quotes and backslashes as in a shell, but nothing is expanded."""
    text = os.environ.get(variable, "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise core.Error(f"{variable}: a quote does not end: {text}") from error


def configuration():
    """The name of the configuration to boot."""
    return os.environ.get("CONFIG") or "x86_64"


def check_files():
    """Raise an Error if PROG, FILES or KERNEL_IMAGE names a missing file. pack checks that the guest can run PROG."""
    prog, arguments, image = os.environ.get("PROG"), words("ARGS"), os.environ.get("KERNEL_IMAGE")
    if arguments and not prog:
        raise core.Error("ARGS is for your own program: name it by PROG=path")
    for file in ([prog] if prog else []) + words("FILES"):
        # A colon is followed by the place in the guest.
        path = file.partition(":")[0]
        if not os.path.exists(path):
            other = shutil.which(path)
            raise core.Error(f"{path}: no such file" + (f"; did you mean {other}?" if other else ""))
    if image and not os.path.isfile(image):
        raise core.Error(f"there is no kernel image {image}")


def pack(initrd, *options):
    """Make the initramfs, with FILES. OPTIONS are more options of harness/do pack."""
    files = [option for file in words("FILES") for option in ("--file", file)]
    core.run("pack", "--out", initrd, *files, *options)


def image():
    """The path of the kernel: KERNEL_IMAGE, or that of the configuration, which is built if necessary."""
    given = os.environ.get("KERNEL_IMAGE")
    if given:
        return given
    kernel = Kernel(configuration())
    kernel.build()
    return kernel.image()


def sample():
    """Build the samples; returns the path of the one for the configuration."""
    core.need_command(os.environ.get("CC") or "cc")
    place = core.built("samples")
    subprocess.run(["make", "-s", "-C", core.ROOT / "samples", f"OUT={place}"], check=True)
    return str(place / ("direct-layer" if configuration() == "direct" else "compat-layer"))


def program(out):
    """Run PROG or the sample and return its exit status. OUT is the directory for the guest's files."""
    given = os.environ.get("PROG")
    prog = given or sample()
    name, initrd = os.path.basename(prog), out / "initramfs.cpio"
    # Packing comes first: it refuses an unusable program before a kernel is built.
    pack(initrd, "--prog", prog, "--", f"./{name}", *words("ARGS"))
    kernel = image()
    core.say(f"* Running {name} in the guest")
    timeout = os.environ.get("TIMEOUT")
    guest = Guest(kernel, initrd, "run", out, timeout=int(timeout) if timeout else None, count=not given)
    status = guest.boot()
    if status:
        return status
    said = guest.verdict.read_text(encoding="utf-8", errors="replace")
    status = int(re.search(r"^guest: end \S+ status (\d+)", said, re.M)[1])
    killer = re.search(r"^guest: signal (\d+)", said, re.M)
    if killer:
        core.say(f"{name} was killed by signal {killer[1]} ({signal.Signals(int(killer[1])).name}).")
    elif status:
        core.say(f"{name} exited with status {status}.")
    elif not given:
        core.say(*[line for line in NEXT.split("\n") if f"CONFIG={configuration()} " not in line])
    return status


def shell(out):
    """Run a shell in the guest and return the exit status of harness/do boot."""
    if not sys.stdin.isatty():
        raise core.Error("a shell needs a terminal; for one command: make run PROG=path ARGS='...'")
    selftests, prog = core.built(configuration()) / "kselftest", os.environ.get("PROG")
    options = ["--prog", prog] if prog else []
    if selftests.is_dir():
        options += ["--tree", f"{selftests}:/kselftest"]
    else:
        core.say(f"The selftests of CONFIG={configuration()} are not built; make check builds them.")
    pack(out / "initramfs.cpio", *options)
    return Guest(image(), out / "initramfs.cpio", "shell", out).boot()


def main():
    actions = {"program": program, "shell": shell}
    if len(sys.argv) != 2 or sys.argv[1] not in ("check", *actions):
        raise core.Error("usage: harness/do run program|shell|check")
    check_files()
    if sys.argv[1] == "check":
        return 0
    out = pathlib.Path(os.environ.get("OUT") or core.built("run"))
    out.mkdir(parents=True, exist_ok=True)
    core.lock("run")
    return actions[sys.argv[1]](out)
