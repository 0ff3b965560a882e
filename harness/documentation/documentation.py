# SPDX-License-Identifier: GPL-2.0
"""Build the programs of the documentation, run them in the guest, and compare their
output with the output that the text shows.

Usage: harness/do documentation            all of the above
       harness/do documentation --build    only build them
       harness/do documentation --direct   all, for the document of direct dispatch, in
                                           the kernel of the configuration "direct"

They are built for each ABI, also statically, and with musl, another C library.
This uses the machine's headers, which may be older than the feature. They are
also compiled with the headers of the series. The sources and programs stay in
build/<base>/documentation/. Environment: DOCS_ROOT is another directory with the
texts, KERNEL_IMAGE an existing kernel.
"""

import os
import pathlib
import re
import subprocess
import sys

from harness import core

ROOT = core.ROOT
BUILD = core.BUILD
TEXTS = pathlib.Path(os.environ.get("DOCS_ROOT") or ROOT)
OUT = core.built("documentation")
HEADERS = OUT / "include"

CFLAGS = ["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]

# The compiler of each build. None is the machine's, CC. Debian has musl for the 64-bit ABI only.
BUILDS = {
    "64": (None, "-m64"), "64_static": (None, "-m64", "-static"),
    "x32": (None, "-mx32"), "x32_static": (None, "-mx32", "-static"),
    "32": (None, "-m32"), "32_static": (None, "-m32", "-static"),
    "musl": ("musl-gcc",), "musl_static": ("musl-gcc", "-static"),
}
X86_64 = ("64", "64_static", "musl", "musl_static")
# The guest has no loader of musl.
NOT_RUN = ("musl",)

# The line before the output of each program begins with this.
MARK = "documentation:"

# The roff escapes that programs need, and their characters.
ESCAPES = {r"\-": "-", r"\[rs]": "\\", r"\[aq]": "'", r"\[dq]": '"',
           r"\[ti]": "~", r"\[ha]": "^", r"\[ga]": "`", r"\&": "", r"\~": " "}


def pieces_of_rst(text, caption):
    """The text of all code blocks with this caption, joined by empty lines; "" if there is none."""
    lines = text.expandtabs(8).split("\n")
    raw = text.split("\n")
    found, at = [], 0
    while at < len(lines):
        at += 1
        if not lines[at - 1].startswith(".. code-block::"):
            continue
        if lines[at].strip() != f":caption: {caption}":
            continue
        end = at + 1
        while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
            end += 1
        body = raw[at + 1:end]
        if any(line and not line.startswith("\t") for line in body):
            raise core.Error(f"a block of {caption} is not indented by a tab")
        found.append("\n".join(line[1:] for line in body).strip("\n"))
        at = end
    return "\n\n".join(found)


def pieces_of_markdown(text, name):
    """(program, output): the block of C after the sentence that names it, and the output in that sentence."""
    match = re.search(rf"\b{re.escape(name)}\b[^\n]*? prints (\S+) [^\n]*\n\n```c\n(.*?)\n```$", text, re.M | re.S)
    return (match[2], match[1]) if match else ("", "")


def unescape(match):
    """The character that a roff escape stands for. Raises an Error if it is unknown."""
    if match[0] not in ESCAPES:
        raise core.Error(f"unknown roff escape: {match[0]}")
    return ESCAPES[match[0]]


def pieces_of_man(text, kind, name):
    """The text between .\\" KIND BEGIN (name) and .\\" KIND END; "" if there is none. KIND is SRC or OUTPUT."""
    match = re.search(rf'^\.\\" {kind} BEGIN \({re.escape(name)}\)\n(.*?)^\.\\" {kind} END$',
                      text, re.M | re.S)
    if not match:
        return ""
    lines = []
    for line in match[1].splitlines():
        # The command that produces the output.
        if line.startswith(".RB $"):
            continue
        if line.startswith("."):
            if line not in (".EX", ".EE"):
                raise core.Error(f"{name}: unexpected request: {line}")
            continue
        if re.search(r"(?<!\\)-", line) and kind == "SRC":
            raise core.Error(f"{name}: '-' would be shown as a hyphen; write \\-: {line}")
        lines.append(re.sub(r"\\(\[\w+\]|.)", unescape, line))
    return "\n".join(lines).strip("\n")


class Program:
    """A program in the file TEXT, and the output that TEXT shows. Raises an Error if TEXT lacks one of them."""

    def __init__(self, text, name, builds):
        self.text, self.name, self.builds = text, name, builds
        try:
            content = (TEXTS / text).read_text(encoding="utf-8")
        except OSError as error:
            raise core.Error(f"{text}: {error.strerror}") from None
        if text.endswith(".rst"):
            self.source = pieces_of_rst(content, name)
            self.output = pieces_of_rst(content, f"output of {name}")
        elif text.endswith(".md"):
            self.source, self.output = pieces_of_markdown(content, name)
        else:
            self.source = pieces_of_man(content, "SRC", name)
            self.output = pieces_of_man(content, "OUTPUT", name)
        if not self.source:
            raise core.Error(f"{text} has no program {name}")
        if not self.output:
            raise core.Error(f"{text} does not show the output of {name}")
        self.path = OUT / name
        self.path.write_text(self.source + "\n", encoding="utf-8")

    def binary(self, build):
        """The path of the program of a build."""
        return OUT / f"{self.path.stem}_{build}"

    def compile(self, build):
        """Compile with the machine's headers, then with the series'. Returns the compiler's messages."""
        compiler, *options = BUILDS[build]
        compiler = compiler or os.environ.get("CC") or "gcc"
        for more in (["-o", self.binary(build)], ["-fsyntax-only", "-isystem", HEADERS]):
            done = subprocess.run([compiler, *options, *CFLAGS, *more, self.path], capture_output=True, text=True,
                                  check=False)
            if done.returncode:
                return done.stderr
        return ""


def programs(direct):
    """All programs, or with DIRECT those of direct dispatch's document, and the ABIs that each is built for."""
    guide = "Documentation/admin-guide/syscall-user-dispatch{}.rst"
    man = "man/{}.2const"
    if direct:
        return [Program(guide.format("-direct"), "forward.c", X86_64)]
    return [
        Program("README.md", "answer.c", (*X86_64, "x32")),
        Program(guide.format(""), "catch.c", tuple(BUILDS)),
        Program(man.format("PR_SET_SYSCALL_USER_DISPATCH"), "refuse.c", (*X86_64, "x32")),
        # musl-tools has no <linux/ptrace.h>.
        Program(man.format("PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG"), "config.c",
                ("64", "x32", "32", "64_static")),
    ]


def install_headers():
    """Copy the headers that the series edits to HEADERS, under the names by which programs include them."""
    for name in ("linux/prctl.h", "linux/ptrace.h"):
        header = core.built("tree") / "include" / "uapi" / name
        if not header.is_file():
            raise core.Error(f"{header} is missing; run: make tree")
        (HEADERS / name).parent.mkdir(parents=True, exist_ok=True)
        (HEADERS / name).write_bytes(header.read_bytes())


def run(binaries, more):
    """Run all programs in one guest; returns {name: (exit status, output)}. MORE is added to the environment."""
    script = OUT / "all"
    script.write_text("#!/bin/sh\n" + "".join(
        f"echo '{MARK} {b.name}'\n./{b.name}\necho '{MARK} status' $?\n" for b in binaries))
    script.chmod(0o755)
    done = subprocess.run([ROOT / "harness" / "do", "run", "program"], check=False,
                          stdout=subprocess.PIPE, text=True, errors="replace",
                          env={**os.environ, **more, "PROG": str(script), "ARGS": "",
                               "FILES": " ".join(str(b) for b in binaries)})
    console = done.stdout.replace("\r", "")
    return {m[1]: (int(m[3]), m[2].rstrip("\n")) for m in re.finditer(
        rf"^{MARK} (\w+)\n(.*?)^{MARK} status (\d+)$", console, re.M | re.S)}


def main():
    if sys.argv[1:] not in ([], ["--build"], ["--direct"]):
        raise core.Error("usage: harness/do documentation [--build | --direct]")
    direct = sys.argv[1:] == ["--direct"]
    OUT.mkdir(parents=True, exist_ok=True)
    passed, failed, built = 0, 0, {}
    shown = programs(direct)
    core.need_command("musl-gcc")
    install_headers()

    def result(ok, claim, reason=""):
        nonlocal passed, failed
        passed, failed = passed + ok, failed + (not ok)
        print(f"{'ok' if ok else 'NOT OK'}: {claim}")
        for line in reason.splitlines():
            print(f"    {line}")

    for program in shown:
        for build in program.builds:
            errors = program.compile(build)
            result(not errors, f"{program.name} of {program.text} builds for {build}", errors)
            if not errors and build not in NOT_RUN:
                built[program.binary(build)] = program

    if sys.argv[1:] != ["--build"]:
        seen = run(list(built), {"CONFIG": "direct"} if direct else {}) if built else {}
        for binary, program in built.items():
            status, output = seen.get(binary.name, (None, ""))
            reason = ""
            if status != 0 or output != program.output:
                reason = (f"exit status {status}; printed:\n{output}\n"
                          f"{program.text} says:\n{program.output}")
            result(not reason, f"{binary.name} prints the output that {program.text} shows", reason)

    print(f"{passed} passed, {failed} failed")
    return failed != 0
