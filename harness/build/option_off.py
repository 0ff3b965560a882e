# SPDX-License-Identifier: GPL-2.0
"""Check that an option that is off costs nothing.

The files that the series edits must compile to the same objects as without the patch. In kernel/entry and
arch/x86/entry, where it adds files, no additional object may be linked.

Usage: harness/do option-off feature | direct
  feature   CONFIG_SYSCALL_USER_DISPATCH, with the configuration off. The kernel is compared with the patches before
            the one that adds the feature. Code and its relocations must be the same. Data may differ, because it
            contains line numbers. No object may have a symbol of the feature.
  direct    direct dispatch, on the kernel of x86_64, which must be built: the objects must be the same, byte by byte.
"""

import re
import subprocess
import sys

from harness import core
from harness.build.kernel import Kernel
from harness.source.git import git, work_tree

OBJECTS = ["kernel/entry/", *(f"kernel/{name}.o" for name in ("sys", "fork", "ptrace", "signal", "sysctl")),
           "fs/exec.o", "arch/x86/entry/",
           *(f"arch/x86/kernel/{name}.o" for name in ("signal", "signal_compat", "ptrace"))]
COMPARED = ("kernel", "fs", "arch/x86/entry", "arch/x86/kernel")
# If fewer objects are compared, the build went wrong.
FEWEST = 20


def output(*command):
    """The output of a command, which must succeed."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def code(path):
    """The instructions of an object, without the labels between them."""
    text = output("objdump", "-dr", "--no-show-raw-insn", path).partition("\nDisassembly")[2]
    return "\n".join(line for line in text.splitlines()[1:] if line and not re.fullmatch(r"[0-9a-f]+ <.*>:", line))


def same_feature(old, new):
    """Whether two objects have the same code. None if they have no code."""
    before, after = code(old), code(new)
    if before != after or "syscall_user_dispatch" in output("nm", "--quiet", new):
        return False
    return True if before else None


def same_direct(old, new):
    """Whether two objects have the same bytes."""
    return old.read_bytes() == new.read_bytes()


def linked(directory):
    """The names of the objects in a directory's archive."""
    return sorted(line.rpartition("/")[2] for line in output("ar", "t", directory / "built-in.a").splitlines())


def make_objects(kernel):
    """Configure a kernel and build OBJECTS. Raises an Error if that fails."""
    kernel.configure()
    if kernel.make(*OBJECTS):
        raise core.Error(f"the objects of {core.shown(kernel.out)} do not build; see the compiler's message above")


def before_feature(kernel):
    """Build the kernel's objects; returns the commit before the feature."""
    commit = git("log", "--diff-filter=A", "--format=%H^", "base..HEAD", "--", "kernel/entry/syscall_user_dispatch.c")
    if not commit:
        raise core.Error(f"no commit of {core.shown(kernel.tree())} adds the feature; run: make tree")
    make_objects(kernel)
    return git("rev-parse", commit)


def before_direct(kernel):
    """The commit before direct dispatch. Raises an Error if the kernel is not built, or has direct dispatch."""
    commit = git("rev-parse", "HEAD~1")
    if "kernel/entry/syscall_user_dispatch_direct.c" not in git("diff", "--name-only", commit, "HEAD").splitlines():
        raise core.Error(f"the last commit of {core.shown(kernel.tree())} is not direct dispatch; run: make tree")
    if not (kernel.out / "vmlinux").exists():
        raise core.Error(f"{core.shown(kernel.out)} is not built; run: make kernel CONFIG={kernel.name}")
    if "CONFIG_SYSCALL_USER_DISPATCH_DIRECT=y" in (kernel.out / ".config").read_text(encoding="utf-8").splitlines():
        raise core.Error(f"{core.shown(kernel.out)} has direct dispatch")
    return commit


def main():
    if sys.argv[1:] not in (["feature"], ["direct"]):
        raise core.Error("usage: harness/do option-off feature | direct")
    for tool in ("objdump", "nm", "ar"):
        core.need_command(tool)
    core.lock("option-off")
    feature = sys.argv[1] == "feature"
    kernel = Kernel("off" if feature else "x86_64")
    kernel.tree()
    commit = (before_feature if feature else before_direct)(kernel)
    same = same_feature if feature else same_direct
    out = core.built("option-off")
    out.mkdir(exist_ok=True)
    work_tree(out / "tree", commit, 1800, "a second tree and some objects")
    before = Kernel(kernel.name, out)
    make_objects(before)
    for place in ("kernel/entry", "arch/x86/entry"):
        more = set(linked(kernel.out / place)) ^ set(linked(before.out / place))
        if more:
            raise core.Error(f"{place}: {' '.join(sorted(more))}: linked only with the patch or only without it,"
                             " although the option is off")
    results = {True: 0, False: 0, None: 0}
    for place in COMPARED:
        for path in sorted((before.out / place).rglob("*.o")):
            if path.name.startswith(".") or "purgatory" in path.parts:
                continue
            name = path.relative_to(before.out)
            result = same(path, kernel.out / name)
            results[result] += 1
            if result is False:
                core.say(f"error: {name} differs with the patch, although the option is off")
    if results[True] + results[False] < FEWEST:
        raise core.Error(f"only {results[True] + results[False]} objects were compared; see {core.shown(before.out)}")
    print(f"{results[True]} passed, {results[False]} failed")
    return results[False] > 0
