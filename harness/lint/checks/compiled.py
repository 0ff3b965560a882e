# SPDX-License-Identifier: GPL-2.0
"""Run a tool with a compiler's options on each object whose source the series touches, and again on the base's version.

As a program, it is the kernel build's CHECK, which the build calls with the options of each compilation:
compiled.py <directory for the output> <tool> <option>... <file>
"""

import os
import pathlib
import re
import shlex
import shutil
import sys

from changes import BASE, OBJECTS, OUT, ROOT, TREE, added, changes, core, is_kernel, make_base, output, run


def sources():
    """(kernel, host): the C sources for the kernel, and those for the host programs of its build."""
    all_c = [p for p in changes() if p.endswith(".c") and is_kernel(p)]
    host = [p for p in all_c if not (OBJECTS / p).with_suffix(".o").exists() and host_command(p).exists()]
    return [p for p in all_c if p not in host], host


def host_command(source):
    """The file in which the kernel build stores the command that compiles a host program."""
    path = OBJECTS / source
    return path.with_name(f".{path.stem}.cmd")


def objects():
    """The objects of the kernel sources."""
    return [re.sub(r"c$", "o", p) for p in sources()[0]]


def kernel_make(*arguments):
    """Run the kernel's make as make kernel does; returns its output. Raises an Error if it fails."""
    if not (OBJECTS / ".config").exists():
        raise core.Error(f"no kernel in {OBJECTS}; run: make kernel CONFIG=direct")
    return output(ROOT / "harness/do", "kernel", "--make", "direct", *arguments)


def said(tool, *options):
    """The messages of TOOL that the series causes. OPTIONS are more arguments for make."""
    core.need_command(tool)
    make_base()
    directory = OUT / tool
    shutil.rmtree(directory, ignore_errors=True)
    kernel, host = sources()
    # The kernel's make gets no variables from the environment, so BUILD is part of the command.
    me = shlex.join(["env", f"BUILD={core.BUILD}", sys.executable, str(pathlib.Path(__file__).resolve()),
                     str(directory), tool])
    log = kernel_make("W=1", "C=2", f"CHECK={me}", *options, *objects())
    for source in host:
        words = shlex.split(host_command(source).read_text().splitlines()[0].partition(":= ")[2])
        place = words.index("-o")
        # The build does not call CHECK for host programs.
        run(*shlex.split(me), *words[1:place], "-Wextra", "-Wno-unused-parameter", *words[place + 2:], cwd=OBJECTS)
    lines = []
    for source in kernel + host:
        after, before = directory / f"{source}.after", directory / f"{source}.before"
        if not after.exists():
            raise core.Error(f"the build did not run {tool} on {source}; its output:\n{log}")
        lines += added(before.read_text() if before.exists() else "", after.read_text())
    return lines


def stand_in(directory, tool, *words):
    """Write the tool's output for the file and for the base's version to <file>.after and <file>.before."""
    source = words[-1]
    # This option would overwrite the build's list of headers.
    options = [w for w in words[:-1] if not w.startswith("-Wp,-MMD,")]
    if tool == "gcc":
        options += ["-c", "-o", "/dev/null", "-fno-diagnostics-show-caret"]
    relative = os.path.relpath(os.path.realpath(source), TREE)
    of_base = []
    for option in options:
        # The compiler finds the base's version of a header before the patched one.
        if option.startswith(f"-I{TREE}/"):
            of_base.append(option.replace(f"-I{TREE}/", f"-I{BASE}/"))
        of_base.append(option)
    write(f"{directory}/{relative}.after", tool, *options, source)
    if (BASE / relative).exists():
        # The compiler finds headers beside a source without an option, but the base's copy lacks those not edited.
        write(f"{directory}/{relative}.before", tool, *of_base, "-I", os.path.dirname(source), BASE / relative)


def write(path, *command):
    """Write the output of a command to a file. A failure adds a line."""
    done = run(*command)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(done.stdout)
        if done.returncode:
            file.write(f"error: {command[0]} ended with status {done.returncode}\n")


if __name__ == "__main__":
    stand_in(*sys.argv[1:])
