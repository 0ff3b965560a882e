# SPDX-License-Identifier: GPL-2.0
"""Build the kernel of harness/build/configs/CONFIG.config into build/<base>/CONFIG/.

Usage: harness/do kernel [CONFIG]              default: x86_64
       harness/do kernel --image [CONFIG]      the same, then print the image's path
       harness/do kernel --selftests [CONFIG]  install the kernel's selftests of TARGETS
                                               (syscall_user_dispatch) in CONFIG/kselftest,
                                               compiled by SELFTESTS_CC (gcc)
       harness/do kernel --config [CONFIG]     configure only, print the path of the .config
       harness/do kernel --make CONFIG ARG...  the kernel's make, as the build calls it
       harness/do kernel --in DIR ...          any of these, with the sources DIR/tree, which are
                                               not changed; it builds in DIR/CONFIG/

configurations.py lists the directives in the head of a fragment.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

from harness import core
from harness.build import configurations
from harness.build.configurations import directive
from harness.build.make import failure, kernel_make, logged_build
from harness.source.git import git
from harness.source.tree import Tree

# Neither the kernel nor its tools are built from these directories.
NOT_BUILT = re.compile(r"\t(Documentation|tools/testing)$")
# Atomic counts: gcov computes the counts of some branches from others, so one lost count makes them wrong.
GCOV = "-fprofile-arcs -ftest-coverage -fno-tree-loop-im -Wno-maybe-uninitialized -fprofile-update=atomic"
# The symbols of the series. An unpatched tree has none of them. With a part of the series, some are missing, or no
# architecture selects them.
OURS = re.compile(r"CONFIG_SYSCALL_USER_DISPATCH")


class Kernel:
    """The kernel of the configuration NAME, built in OUT.

    OUT is WORK/NAME, with the sources in WORK/tree. Without WORK, both are in the directory of the base.
    """

    def __init__(self, name, work=None):
        configurations.fragment(name)
        self.name, self.work = name, work
        self.out = work / name if work else core.built(name)
        self.source = None

    def tree(self):
        """The directory of the sources. Without WORK, it is made first unless it is up to date."""
        if not self.source:
            if self.work:
                self.source = self.work / "tree"
                if not self.source.is_dir():
                    raise core.Error(f"there are no sources in {self.source}")
            else:
                unpatched, tree = directive(self.name, "tree") == "unpatched", Tree()
                with core.locked("tree"):
                    if unpatched:
                        tree.make_unpatched()
                    else:
                        tree.make()
                self.source = core.built("unpatched" if unpatched else "tree")
        return self.source

    def image(self):
        """The path of the kernel image, for x86."""
        return self.out / "arch/x86/boot/bzImage"

    # ---- make ----

    def compiler(self):
        """The C compiler, and the arguments by which make uses it. Raises an Error if a tool is missing."""
        compiler, cross = directive(self.name, "compiler"), directive(self.name, "cross")
        if compiler == "clang":
            for tool in ("clang", "ld.lld", "llvm-objcopy"):
                core.need_command(tool)
            return "clang", ["LLVM=1"]
        if compiler not in ("", "gcc"):
            raise core.Error(f"harness/build/configs/{self.name}.config: '# compiler: {compiler}' is neither gcc nor"
                             " clang")
        core.need_command(f"{cross}gcc")
        return f"{cross}gcc", [f"CROSS_COMPILE={cross}"] if cross else []

    def profiling(self):
        """make's arguments for the objects that are compiled for gcov. Kbuild expands GCOV_PROFILE for each object."""
        objects = directive(self.name, "profile")
        return [f"GCOV_PROFILE=$(filter {objects},$@)", f"CFLAGS_GCOV={GCOV}"] if objects else []

    def make(self, *arguments, log=None):
        """The kernel's make for this configuration; returns its exit status."""
        return kernel_make("-C", self.tree(), f"O={self.out}", f"ARCH={directive(self.name, 'arch')}",
                           *self.compiler()[1], *self.profiling(), *arguments, log=log)

    # ---- configuration ----

    def configure(self):
        """Make OUT/.config. Raises an Error if it lacks a value that the fragments set."""
        self.out.mkdir(parents=True, exist_ok=True)
        wanted = configurations.wanted(self.name)
        fragment = self.out / "fragment"
        fragment.write_text("".join(f"{symbol}={value}\n" for symbol, value in wanted.items()), encoding="utf-8")
        target = directive(self.name, "base")
        with open(self.out / "config.log", "wb") as log:
            if target in ("allnoconfig", "alldefconfig", "allmodconfig"):
                status = self.make(f"KCONFIG_ALLCONFIG={fragment}", target, log=log)
            elif re.fullmatch(r"(\w+_)?defconfig|tinyconfig", target):
                status = self.make(target, log=log)
                if not status:
                    with open(self.out / ".config", "a", encoding="utf-8") as config:
                        config.write(fragment.read_text(encoding="utf-8"))
                    status = self.make("olddefconfig", log=log)
            else:
                raise core.Error(f"harness/build/configs/{self.name}.config: '# base: {target}' is not a known target")
        if status:
            core.say(*(self.out / "config.log").read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
            raise core.Error(f"the configuration of {self.name} cannot be made;"
                             f" see the end of {core.shown(self.out)}/config.log above")
        self.check_configuration(wanted)

    def check_configuration(self, wanted):
        """Raise an Error if .config does not have the WANTED values.

        Kconfig silently drops unknown symbols, and symbols with unmet dependencies.
        """
        path = self.out / ".config"
        found = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", path.read_text(encoding="utf-8"), re.M))
        # The symbols of the series that an architecture in this tree selects; None for the tree of the whole series.
        known = None
        if self.tree() != core.built("tree"):
            selected = (re.findall(r"select ARCH_SUPPORTS_(SYSCALL_USER_DISPATCH\w*)", path.read_text(encoding="utf-8"))
                        for path in self.tree().glob("arch/*/Kconfig"))
            known = {f"CONFIG_{name}" for names in selected for name in names}
        wrong = [f"  {symbol} is {found.get(symbol, 'n')}, should be {value}" for symbol, value in wanted.items()
                 if found.get(symbol, "n") != value
                 and not (known is not None and OURS.match(symbol) and symbol not in known)]
        if wrong:
            core.say(*wrong)
            path.unlink()
            raise core.Error("the kernel's configuration is not what harness/build/configs/"
                             f"{self.name}.config asks for; see the list above. (This kernel lacks the symbol, or a"
                             " symbol that it depends on is off.)")

    # ---- build ----

    def inputs(self):
        """A hash of all inputs of the build. None if the sources have edits: then make decides what to compile."""
        tree = self.tree()
        if git("status", "--porcelain", "-uno", tree=tree):
            return None
        listing = git("ls-tree", "HEAD", ".", "tools/", tree=tree).splitlines()
        parts = [line for line in listing if not NOT_BUILT.search(line)]
        parts += [f"{symbol} {value}" for symbol, value in configurations.wanted(self.name).items()]
        parts += [directive(self.name, key) for key in ("base", "arch")] + self.profiling()
        plant = configurations.own(self.name, "plant")
        if plant:
            parts.append((core.ROOT / plant).read_text(encoding="utf-8"))
        parts.append(configurations.own(self.name, "original"))
        parts.append(subprocess.run([self.compiler()[0], "--version"], stdout=subprocess.PIPE, text=True,
                                    check=True).stdout)
        parts += [(core.HARNESS / "build" / name).read_text(encoding="utf-8") for name in ("kernel.py", "make.py")]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def replaced(self):
        """The path of the source file that is compiled in another version; "" if there is none."""
        plant = configurations.own(self.name, "plant")
        if plant:
            return re.search(r"^\+\+\+ b/(.*)$", (core.ROOT / plant).read_text(encoding="utf-8"), re.M)[1]
        return configurations.own(self.name, "original")

    def replace(self, file):
        """Make OUT a copy of the build of the configuration below, and put the other version of FILE into it.

        make looks for sources in OUT first, so only FILE is compiled again. But "make prepare" builds objtool again,
        because its rules contain the directory of the build. Its new date would make all objects that it checks be
        compiled again, so the tools get their old dates back.
        """
        plant = configurations.own(self.name, "plant")
        below = Kernel(configurations.own(self.name, "over"), self.work)
        below.build()
        core.need_space(core.BUILD, 1500, f"a copy of {core.shown(below.out)}")
        shutil.rmtree(self.out, ignore_errors=True)
        subprocess.run(["cp", "-a", below.out, self.out], check=True)
        (self.out / "stamp").unlink(missing_ok=True)
        with open(self.out / "build.log", "wb") as log:
            status = self.make("prepare", log=log)
        if status:
            raise failure(self.out / "build.log", f"the kernel of {self.name} does not build")
        subprocess.run(["cp", "-a", "--attributes-only", f"{below.out}/tools/.", self.out / "tools"], check=True)
        if not plant:
            (self.out / file).write_text(git("show", f"base:{file}", tree=self.tree(), strip=False), encoding="utf-8")
            return
        shutil.copy(self.tree() / file, self.out / file)
        done = subprocess.run(["git", "-C", self.out, "apply", core.ROOT / plant], check=False,
                              env=core.git_environment() | {"GIT_CEILING_DIRECTORIES": str(self.out.parent)})
        if done.returncode:
            raise core.Error(f"{plant} does not apply to {file}")

    def build(self):
        """Build the kernel, unless OUT has one that was built of the same inputs."""
        core.lock(f"kernel-{self.out.parent.name}-{self.name}")
        now, stamp = self.inputs(), self.out / "stamp"
        if now and self.image().exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == now:
            return
        core.need_space(core.BUILD, 1500, f"building the kernel of {self.name}")
        file = self.replaced()
        if file:
            self.replace(file)
        self.out.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        self.configure()
        total = directive(self.name, "objects") if not (self.out / "vmlinux").exists() else ""
        log = self.out / "build.log"
        with core.step(f"Building the kernel of {self.name} (log: {core.shown(log)})"):
            logged_build(log, total, lambda file: self.make("bzImage", log=file),
                         f"the kernel of {self.name} does not build")
        if now:
            stamp.write_text(now, encoding="utf-8")

    def selftests(self):
        """Install the selftests in OUT/kselftest. Objects and headers go to OUT too, so the source stays clean."""
        (self.out / "kselftest-build").mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.out / "kselftest", ignore_errors=True)
        log, makefile = self.out / "kselftest.log", self.tree() / "tools/testing/selftests/Makefile"
        compiler = os.environ.get("SELFTESTS_CC")
        # 5.10's selftests install the kernel's headers themselves. Newer ones look for them in the source tree.
        headers, newer = self.out / "usr/include", "KHDR_INCLUDES" in makefile.read_text(encoding="utf-8")
        with core.step(f"Building the selftests (log: {core.shown(log)})"):
            with open(log, "wb") as file:
                status = self.make("headers", log=file) if newer else 0
                status = status or kernel_make(
                    "-C", makefile.parent, f"O={self.out}/kselftest-build",
                    f"TARGETS={os.environ.get('TARGETS') or 'syscall_user_dispatch'}", "FORCE_TARGETS=1",
                    *([f"CC={compiler}"] if compiler else []),
                    *([f"KHDR_INCLUDES=-isystem {headers}", f"LINUX_HDR_PATH={headers}"] if newer else []),
                    f"KSFT_INSTALL_PATH={self.out}/kselftest", "install", log=file)
            if status:
                raise failure(log, "the selftests do not build")


def main():
    arguments, work, action = sys.argv[1:], None, "--build"
    if arguments[:1] == ["--in"]:
        if len(arguments) < 2:
            raise core.Error("--in needs a directory")
        work = pathlib.Path(arguments[1]).resolve()
        arguments = arguments[2:]
    if arguments and arguments[0].startswith("-"):
        action = arguments.pop(0)
        if action not in ("--image", "--config", "--selftests", "--make"):
            raise core.Error("usage: harness/do kernel [--in DIR] [--image|--config|--selftests|--make] [CONFIG]")
    kernel = Kernel(arguments.pop(0) if arguments else "x86_64", work)
    if action in ("--build", "--image"):
        kernel.build()
        if action == "--image":
            print(kernel.image())
        return 0
    core.lock(f"kernel-{kernel.out.parent.name}-{kernel.name}")
    if action == "--config":
        kernel.configure()
        print(kernel.out / ".config")
    elif action == "--selftests":
        kernel.selftests()
    else:
        return kernel.make(*arguments)
    return 0
