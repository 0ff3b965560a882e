# SPDX-License-Identifier: GPL-2.0
"""Build Debian packages of the patched kernel by its own bindeb-pkg.

linux-image, linux-headers and linux-libc-dev go to build/<base>/deb/; their
paths are printed. The objects stay in build/<base>/deb/NAME/, so that an
interrupted build can continue.

Usage: harness/do deb
       harness/do deb --config    configure only, print the path of the .config
       harness/do deb --check     only check KCONFIG, as far as that is quick

Environment: KCONFIG is one of
  a kernel's configuration file
  a name in harness/build/configs/
  amd64 (the default), cloud-amd64
             the configuration of Debian's own kernel of that name, from the package
             linux-config-<version>
  running    the configuration of the kernel that runs here
harness/build/configs/deb.config is added to it. The name, without config- and
.config, becomes part of the kernel's version, such as <version>-sud-amd64.
LOCALMODCONFIG=1 leaves out the modules that are not loaded here now.

A warning names the drivers of this machine that the configuration lacks.
"""

import gzip
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys

from harness import core
from harness.build import configurations
from harness.build.kernel import Kernel
from harness.build.make import logged_build
from harness.packages import apt, drivers
from harness.source.git import git
from harness.source.tree import debian_base

DEB = core.built("deb")
# Debian's configurations: for any machine (the default), and for virtual machines.
DEBIAN = ("amd64", "cloud-amd64")
RUNNING = "running"
# Compiled files for each symbol that is set: 5287 with 2822 symbols of 5.10's cloud-amd64.
FILES_PER_SYMBOL = 1.87
# The fragment that is added to every configuration.
ON_TOP = "deb"
# The longest version that a kernel can have, in characters.
LONGEST = 64


def debian_configuration(name):
    """The path of Debian's configuration of that name, which is fetched if it is not there."""
    base = debian_base()
    package = base["package"].replace("-source-", "-config-")
    inside = f"usr/src/{package}/config.amd64_none_{name}.xz"
    directory = core.BUILD / "download" / f"{package}_{base['version']}"
    remedy = "Another way: KCONFIG=<a kernel's configuration file>, such as /boot/config-<version>"
    path = directory / f"config-{name}"
    if not path.is_file():
        core.say(f"* Fetching Debian's configuration {name} ({base['version']})")
        apt.lists(base["suite"], "amd64", remedy)
        apt.download(base["suite"], "amd64", directory, remedy, f"{package}={base['version']}")
        deb = next(directory.glob("*.deb"))
        try:
            apt.unpack(deb, directory, f"./{inside}", strip=True)
        except core.Error:
            raise core.Error(f"Debian's {package} {base['version']} has no {inside}. {remedy}") from None
        finally:
            deb.unlink()
        path.write_bytes(lzma.decompress((directory / os.path.basename(inside)).read_bytes()))
    return path


def running_configuration():
    """The path of the configuration of the kernel that runs here."""
    release = os.uname().release
    path, packed = pathlib.Path(f"/boot/config-{release}"), pathlib.Path("/proc/config.gz")
    if path.is_file():
        return path
    if not packed.is_file():
        raise core.Error(f"KCONFIG=running: this machine has neither {path} nor {packed}; name a kernel's configuration file instead")
    copy = core.BUILD / "download" / f"config-{release}"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(gzip.decompress(packed.read_bytes()))
    return copy


def check_kconfig(path):
    """Raise an Error if a file is not the configuration of a 64-bit x86 kernel."""
    if not path.exists():
        raise core.Error(f"KCONFIG={path} does not exist; name a kernel's configuration file, such as /boot/config-<version>,"
                         " or one of harness/build/configs/")
    if not path.is_file():
        raise core.Error(f"KCONFIG={path} is not a file")
    if not os.access(path, os.R_OK):
        raise core.Error(f"KCONFIG={path} cannot be read")
    text = path.read_text(encoding="utf-8", errors="replace")
    if not re.search(r"^CONFIG_\w+=", text, re.M):
        raise core.Error(f"KCONFIG={path} is not a kernel's configuration: no line of it sets a CONFIG_ symbol")
    if not re.search(r"^CONFIG_X86_64=y$", text, re.M):
        machine = re.search(r"^# Linux/(\S+) .* Kernel Configuration$", text, re.M)
        machine = {"x86": "32-bit x86"}.get(machine[1], machine[1]) if machine else "another machine"
        raise core.Error(f"KCONFIG={path} is for {machine} (it lacks CONFIG_X86_64=y); the packages are built for x86-64 (amd64)")


def name_of(path):
    """The name for the kernel of a configuration file, without characters that a version may not have."""
    name = path.parent.name if path.name == ".config" else path.name
    name = name.removeprefix("config-").removesuffix(".config").lower().replace("_", "-")
    return re.sub(r"[^a-z0-9.+-]", "", name).lstrip(".+-")


def given():
    """The value of KCONFIG, or the default."""
    return os.environ.get("KCONFIG") or DEBIAN[0]


def is_ours(name):
    """Whether a value of KCONFIG is a name in harness/build/configs/."""
    return "/" not in name and (configurations.DIRECTORY / f"{name}.config").is_file()


def check():
    """Raise an Error if KCONFIG or LOCALMODCONFIG is wrong."""
    if given() == RUNNING:
        check_kconfig(running_configuration())
    elif given() not in DEBIAN and not is_ours(given()):
        check_kconfig(pathlib.Path(given()))
    if os.environ.get("LOCALMODCONFIG"):
        loaded_modules()


def loaded_modules():
    """lsmod's list of the modules that are loaded here. Raises an Error if there are none."""
    if not shutil.which("lsmod"):
        raise core.Error("LOCALMODCONFIG=1 asks lsmod which modules are loaded, and this machine has no lsmod."
                         " On Debian: apt-get install kmod. Without LOCALMODCONFIG, all modules are built")
    text = subprocess.run(["lsmod"], stdout=subprocess.PIPE, text=True, check=False).stdout
    if len(text.splitlines()) < 2:
        raise core.Error("LOCALMODCONFIG=1 leaves out the modules that are not loaded, and lsmod shows that none is loaded here."
                         " Build on the machine that the kernel is for, or without LOCALMODCONFIG")
    return text


class Packages:
    """The packages of one configuration."""

    def __init__(self):
        # make gets the architecture and the compiler of this configuration.
        self.kernel = Kernel(given() if is_ours(given()) else ON_TOP)
        if given() in DEBIAN:
            path = debian_configuration(given())
        elif given() == RUNNING:
            path = running_configuration()
        elif is_ours(given()):
            path = pathlib.Path(core.output("kernel", "--config", given()))
        else:
            path = pathlib.Path(given())
        check_kconfig(path)
        self.kconfig = path.resolve()
        self.name = name_of(self.kconfig)
        if not self.name:
            raise core.Error(f"KCONFIG={path}: the name becomes part of the kernel's version, but has no character"
                             " that a version may have")
        self.modules = loaded_modules() if os.environ.get("LOCALMODCONFIG") else ""
        if self.modules:
            self.name += "-local"
        self.out = DEB / self.name
        core.lock(f"deb-{self.name}")

    def make(self, *arguments, log=None):
        """The kernel's make with these arguments; returns its exit status."""
        return self.kernel.make(f"O={self.out}", *arguments, log=log)

    def configure(self):
        """Make OUT/.config. Kconfig silently drops unknown symbols, so the result is compared with the input."""
        self.out.mkdir(parents=True, exist_ok=True)
        config, log = self.out / ".config", self.out / "config.log"
        on_top = "".join(f"{symbol}={value}\n" for symbol, value in configurations.wanted(ON_TOP).items())
        config.write_text(self.kconfig.read_text(encoding="utf-8") + on_top, encoding="utf-8")
        with open(log, "wb") as file:
            status = self.make("olddefconfig", log=file)
            if self.modules and not status:
                (self.out / "lsmod").write_text(self.modules, encoding="utf-8")
                status = self.make(f"LSMOD={self.out / 'lsmod'}", "localmodconfig", log=file)
        if status:
            core.say(*log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            raise core.Error(f"the kernel's configuration cannot be made from {self.kconfig};"
                             f" the end of {log} stands above")
        found = self.symbols()
        wrong = [f"  {symbol} is {found.get(symbol, 'off')}, should be {value}"
                 for symbol, value in configurations.wanted(ON_TOP).items()
                 if found.get(symbol, "off") not in (value, *(["off"] if value in ("n", '""') else []))]
        if wrong:
            core.say(*wrong)
            raise core.Error(f"the configuration made from {self.kconfig} lacks settings of"
                             f" harness/build/configs/{ON_TOP}.config; they are listed above")

    def warn(self):
        """Name the drivers of this machine's devices that the configuration lacks."""
        lacking = drivers.lacking(self.kernel.tree(), self.symbols())
        if lacking:
            core.say("WARNING: the configuration lacks drivers that this machine uses now:",
                     *(f"  {kind}: {driver} ({' or '.join(symbols)})" for driver, kind, symbols in lacking),
                     "  If the kernel is for this machine, take its own configuration: KCONFIG=running")

    def symbols(self):
        """{CONFIG_SYMBOL: value} of OUT/.config."""
        return dict(re.findall(r"^(CONFIG_\w+)=(.*)$", (self.out / ".config").read_text(encoding="utf-8"), re.M))

    def kernel_version(self):
        """The version of the kernel in the tree, without a suffix."""
        path = self.out / "version"
        with open(path, "wb") as file:
            self.make("-s", "kernelversion", log=file)
        return path.read_text(encoding="utf-8").split()[-1]

    def version(self):
        """The version of the packages: the base's name, then the commit of the series. Edits of the tree change it."""
        names = git("for-each-ref", "--points-at", "base", "--format", "%(refname:lstrip=3)", "refs/harness/base").splitlines()
        name = names[0] if names and names[0][0].isdigit() else f"{self.kernel_version()}-1"
        edited = ".edited" if git("status", "--porcelain", "-uno") else ""
        return f"{name}+sud{git('rev-list', '--count', 'base..HEAD')}.{git('rev-parse', '--short=9', 'HEAD')}{edited}"

    def build(self):
        """Build the packages; returns their paths."""
        suffix, version = f"-sud-{self.name}", self.version()
        release = self.kernel_version() + suffix
        if len(release) > LONGEST:
            raise core.Error(f"the version {release} is longer than the {LONGEST} characters that a kernel can have;"
                             f" rename {self.kconfig}")
        log = self.out / "build.log"
        author = (core.ROOT / "series" / "author").read_text(encoding="utf-8").strip()
        with core.step(f"Building the packages of {release}, {version} (log: {core.shown(log)})"):
            # DEBEMAIL is the author that Debian's changelog names.
            logged_build(log, str(round(FILES_PER_SYMBOL * len(self.symbols()), -2)).removesuffix(".0"), lambda file: self.make(
                f"LOCALVERSION={suffix}", f"KDEB_PKGVERSION={version}", "KDEB_SOURCENAME=linux-sud",
                "KDEB_CHANGELOG_DIST=unstable", f"DEBEMAIL={author}", "bindeb-pkg", log=file), "the packages cannot be built")
        names = [f"linux-image-{release}", "linux-libc-dev"]
        if self.symbols().get("CONFIG_MODULES") == "y":
            names.append(f"linux-headers-{release}")
        paths = [DEB / f"{name}_{version}_amd64.deb" for name in names]
        for path in paths:
            if not path.is_file():
                raise core.Error(f"bindeb-pkg succeeded, but there is no {path}; see {log}")
        return paths


def main():
    if sys.argv[1:] not in ([], ["--config"], ["--check"]):
        raise core.Error("usage: harness/do deb [--config|--check]")
    if sys.argv[1:] == ["--check"]:
        check()
        return
    packages = Packages()
    core.run("tree")
    # The space for objects and packages, and for each module: a large configuration has thousands of them.
    modules = 0 if packages.modules else len(re.findall(r"=m$", packages.kconfig.read_text(encoding="utf-8"), re.M))
    core.need_space(core.BUILD, 1500 + 2 * modules, f"building the packages of {packages.name}")
    packages.configure()
    packages.warn()
    if sys.argv[1:]:
        print(packages.out / ".config")
    else:
        print(*packages.build(), sep="\n")
