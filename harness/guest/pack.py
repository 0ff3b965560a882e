# SPDX-License-Identifier: GPL-2.0
"""Make the initramfs of the test guest.

It has busybox, our init, and the files and trees that the options name. The loader and the libraries of each dynamic
ELF file are added at the paths where the loader looks for them. The same input gives the same bytes.
"""

import argparse
import functools
import gzip
import os
import pathlib
import posixpath
import re
import shlex
import shutil
import stat
import subprocess

from harness import core

INIT = core.HARNESS / "guest" / "inside" / "init"

# The destination of --file without a path; init starts programs there.
HOME = "/root"

# The guest's /usr is merged, as Debian's is: /lib/x and /usr/lib/x are one file, whatever the host's layout.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

# init mounts file systems here, which hide the archive's files.
MOUNTED = ("dev", "proc", "sys")

# The ABIs that the guest runs, by readelf's names of the machine and the class.
ABIS = {("Advanced Micro Devices X86-64", "ELF64"): "x86-64", ("Advanced Micro Devices X86-64", "ELF32"): "x32",
        ("Intel 80386", "ELF32"): "i386"}

# The loader's directories, for all ABIs.
LIBRARIES = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/i386-linux-gnu", "/usr/lib/i386-linux-gnu", "/lib64",
             "/usr/lib64", "/lib32", "/usr/lib32", "/libx32", "/usr/libx32", "/lib", "/usr/lib")


class Elf:
    """The output of readelf about an ELF file. The abi is None if the guest cannot run it."""

    def __init__(self, path):
        self.path = path
        done = subprocess.run(["readelf", "-hldW", "--", path], env=os.environ | {"LC_ALL": "C"}, capture_output=True,
                              text=True, errors="replace", check=False)
        error = re.search(r"Error: (.*)", done.stderr)
        if error:
            raise core.Error(f"{path}: damaged ELF file. readelf says: {error[1]}")

        def values(pattern):
            return re.findall(pattern, done.stdout, re.M)

        self.machine, = values(r"^  Machine: +(.*)")
        self.abi = ABIS.get((self.machine, *values(r"^  Class: +(.*)")))
        self.linked = values(r"^  Type: +(EXEC|DYN)\b") != []
        self.loader = next(iter(values(r"\[Requesting program interpreter: (.*)\]$")), None)
        self.needed = values(r"\(NEEDED\) +Shared library: \[(.*)\]$")
        self.rpath, self.runpath = (list(filter(None, ":".join(values(rf"\({tag}\) +Library {tag.lower()}: \[(.*)\]$")).split(":")))
                                    for tag in ("RPATH", "RUNPATH"))


def read(path):
    """The bytes of a file. Raises an Error if it cannot be read."""
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise core.Error(f"{path}: no such file") from None
    except OSError as error:
        raise core.Error(f"{path}: {error.strerror}") from error


def elf_of(path, data):
    """The Elf of a file with this content, or None if it is something else."""
    return Elf(path) if data[:4] == b"\x7fELF" else None


@functools.cache
def loader_cache():
    """{library: [its paths]} of the host's ld.so.cache."""
    paths = {}
    ldconfig = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    if ldconfig:
        listing = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
        for name, kind, path in re.findall(r"^\s+(\S+) \(([^)]*)\) => (\S+)", listing, re.M):
            # The guest's CPU may lack what a variant for newer CPUs needs.
            if "hwcap" not in kind:
                paths.setdefault(name, []).append(path)
    return paths


@functools.cache
def fits(path, abi):
    """Whether there is an ELF file of this ABI."""
    elf = elf_of(path, read(path)) if os.path.isfile(path) else None
    return elf is not None and elf.abi == abi


def find_library(name, abi):
    """Where the host's loader finds a library by default."""
    places = loader_cache().get(name, []) + [f"{directory}/{name}" for directory in LIBRARIES]
    return next((path for path in places if fits(path, abi)), None)


class Archive:
    """The guest's root file system, written as a newc cpio archive."""

    def __init__(self):
        self.entries = {}       # path in the guest -> (mode, data, (major, minor))
        self.origin = {}        # path in the guest -> file on the host
        for name in MERGED:
            self.put(f"/{name}", stat.S_IFLNK | 0o777, f"usr/{name}".encode())
            self.directory(f"/usr/{name}")

    @staticmethod
    def place(path):
        """The path at which a file of the guest is stored: normalised, and below /usr if its directory is merged."""
        path = posixpath.normpath("/" + path.lstrip("/"))
        top, _, rest = path[1:].partition("/")
        return f"/usr/{top}/{rest}" if top in MERGED and rest else path

    def check_place(self, source, path):
        """Refuse a place where the guest would not find the file, or where it replaces a directory."""
        path = self.place(path)
        top = path[1:].partition("/")[0]
        if top in MOUNTED:
            raise core.Error(f"{source}: it would be {path} in the guest, but the guest mounts a file system over /{top}. "
                             "Choose another place, as in FILE:/opt/; if a program looks for a library there, move it")
        if stat.S_ISDIR(self.entries.get(path, (0,))[0]):
            raise core.Error(f"{source}: {path} is a directory in the guest; to put the file into it: {path}/")
        above = posixpath.dirname(path)
        while above not in self.entries and above != "/":
            above = posixpath.dirname(above)
        if stat.S_ISREG(self.entries.get(above, (0,))[0]):
            raise core.Error(f"{source}: {path} cannot be in the guest, as {above} is a file there; give one another place")

    def put(self, path, mode, data=b"", device=(0, 0)):
        """Add an entry and the directories above it. MODE has the file's type, DEVICE is (major, minor)."""
        path = self.place(path)
        parent = posixpath.dirname(path)
        if parent != "/":
            self.directory(parent)
        self.entries[path] = (mode, data, device)

    def directory(self, path, mode=0o755):
        """Add a directory unless it exists."""
        if self.place(path) not in self.entries:
            self.put(path, stat.S_IFDIR | mode)

    def add(self, source, path, in_tree=False, inherited=()):
        """Add the file SOURCE as PATH of the guest, with the libraries or the interpreter that it needs.

        IN_TREE: it comes from a directory tree. INHERITED: the DT_RPATH directories of the program that needs it.
        """
        path = self.place(path)
        real = os.path.realpath(source)
        if path in self.origin:
            if self.origin[path] != real:
                raise core.Error(f"{source} and {self.origin[path]} would both be {path} in the guest; "
                                 "give one another place, as in FILE:/where")
            return
        self.check_place(source, path)
        data = read(source)
        self.origin[path] = real
        self.put(path, stat.S_IFREG | stat.S_IMODE(os.stat(source).st_mode), data)
        elf = elf_of(source, data)
        if elf and elf.abi:
            self.add_needs(elf, path, inherited)
        elif data[:2] == b"#!" and os.access(source, os.X_OK):
            self.add_interpreter(source, data, in_tree)

    def add_needs(self, elf, path, inherited):
        """Add the loader and the libraries of an ELF file."""
        if elf.loader:
            if not os.path.exists(elf.loader):
                raise core.Error(f"{elf.path}: built for {elf.abi}, and its loader {elf.loader} is not on this machine; "
                                 "install that architecture's C library, or link the program with -static")
            self.add(elf.loader, elf.loader)
        # The loader knows directories from ld.so.conf, such as /lib32, by this file.
        if elf.needed and os.path.exists("/etc/ld.so.cache"):
            self.put("/etc/ld.so.cache", stat.S_IFREG | 0o644, read("/etc/ld.so.cache"))
        # The loader's rule: DT_RUNPATH replaces DT_RPATH; only DT_RPATH is inherited.
        search = elf.runpath or [*elf.rpath, *inherited]
        for name in elf.needed:
            source, target = self.find(elf, name, path, search)
            if self.place(target) not in self.origin:
                self.add(source, target, inherited=() if elf.runpath else search)
            # libpthread itself loads this library when a thread is cancelled or exits.
            extra = find_library("libgcc_s.so.1", elf.abi) if name == "libc.so.6" else None
            if extra:
                self.add(extra, extra)

    def find(self, elf, name, path, search):
        """A library's path on the host, and the path where the guest's loader will look."""
        if "/" in name:
            if fits(name, elf.abi):
                return name, name
        else:
            for item in search:
                host, guest = (re.sub(r"\$\{?ORIGIN\}?", lambda _, o=origin: posixpath.dirname(o), item) + "/" + name
                               for origin in (os.path.realpath(elf.path), path))
                if fits(host, elf.abi):
                    return host, guest
            found = find_library(name, elf.abi)
            if found:
                return found, found
        raise core.Error(f"{elf.path}: needs the {elf.abi} library {name}, which this machine's loader does not find; "
                         "install it, or link the program with -static")

    def add_interpreter(self, script, data, in_tree):
        """Add the interpreter that the first line of a script names."""
        words = data[2:].split(b"\n", 1)[0].decode(errors="replace").split()
        if words and posixpath.basename(words[0]) == "env" and len(words) > 1:
            name = words[-1]
            if name in self.applets:
                return
            interpreter = shutil.which(name)
        else:
            interpreter = words[0] if words else ""
            if self.place(interpreter) in self.entries:
                return
            name = interpreter
        # Of the interpreters for a tree, only shells are added: perl and python would need their own files, too.
        # kselftest's runner uses perl only if it finds it.
        if in_tree and not name.endswith("sh"):
            return
        if not interpreter or not os.path.isfile(interpreter):
            raise core.Error(f"{script}: its interpreter {name or '(none named)'} is not on this machine; install it")
        self.add(interpreter, interpreter)

    def add_tree(self, source, path):
        """Add the content of the directory SOURCE below PATH of the guest."""
        if not os.path.isdir(source):
            raise core.Error(f"{source}: no such directory")
        self.directory(path)
        for folder, names, files in os.walk(source):
            names.sort()
            inside = posixpath.join(path, os.path.relpath(folder, source))
            for name in sorted(names + files):
                full, where = os.path.join(folder, name), posixpath.join(inside, name)
                if os.path.islink(full):
                    self.put(where, stat.S_IFLNK | 0o777, os.fsencode(os.readlink(full)))
                elif os.path.isdir(full):
                    self.directory(where)
                elif os.path.isfile(full):
                    self.add(full, where, in_tree=True)

    def add_base(self, base):
        """Add what each guest has: busybox and its names, timeout, init, and a few files and directories."""
        busybox = shutil.which("busybox") or "/bin/busybox"
        if not os.path.exists(busybox):
            raise core.Error("busybox is not on this machine; install the package busybox-static")
        self.add(f"{base}/bin/busybox" if base else busybox, "/bin/busybox")
        # The names come from the machine's own busybox: another architecture's cannot run here.
        names = subprocess.run([busybox, "--list-full"], capture_output=True, text=True, check=True).stdout.split()
        self.applets = {posixpath.basename(name) for name in names}
        for name in names:
            if self.place(name) not in self.entries:
                self.put(name, stat.S_IFLNK | 0o777, b"/usr/bin/busybox")
        # kselftest's runner needs `timeout --foreground` and its exit status 124. busybox has neither, coreutils has both.
        timeout = next(filter(os.path.exists, (f"{base}/usr/bin/timeout", f"{base}/bin/timeout")), None)
        if timeout:
            self.add(timeout, "/usr/bin/timeout")
        self.add(INIT, "/init")
        for name, mode in (("/dev", 0o755), ("/proc", 0o555), ("/sys", 0o555), ("/tmp", 0o1777),
                           ("/run", 0o755), ("/var", 0o755), ("/guest", 0o755), (HOME, 0o700)):
            self.directory(name, mode)
        # The kernel opens it for init before init can mount anything.
        self.put("/dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        self.put("/etc/passwd", stat.S_IFREG | 0o644,
                 b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        self.put("/etc/group", stat.S_IFREG | 0o644, b"root:x:0:\nnogroup:x:65534:\n")

    def cpio(self):
        """The archive's bytes. The program cpio would need root's rights for the device, gen_init_cpio a kernel tree."""
        parts = []

        def member(inode, path, mode, data, device, links):
            name = path.encode() + b"\0"
            header = "070701" + "".join(f"{field:08x}" for field in (
                inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(name), 0))
            for part in (header.encode() + name, data):
                parts.append(part + b"\0" * (-len(part) % 4))

        for inode, (path, (mode, data, device)) in enumerate(sorted(self.entries.items()), 1):
            member(inode, path[1:], mode, data, device, 2 if stat.S_ISDIR(mode) else 1)
        member(0, "TRAILER!!!", 0, b"", (0, 0), 1)
        return b"".join(parts)


def check_program(path):
    """Refuse a program that the guest's kernel would refuse, and say why."""
    if not os.path.exists(path):
        hint = shutil.which(path) if "/" not in path else None
        raise core.Error(f"{path}: no such file" + (f"; did you mean {hint}?" if hint else ""))
    if not os.path.isfile(path):
        raise core.Error(f"{path}: not a file that can be run")
    data = read(path)
    elf = elf_of(path, data)
    if elf:
        if not elf.abi:
            raise core.Error(f"{path}: built for {elf.machine}; the guest runs x86-64, x32 and i386 programs")
        if not elf.linked:
            raise core.Error(f"{path}: an ELF file that is not linked (an object or a core file), so it cannot be run")
    elif data[:2] != b"#!":
        raise core.Error(f"{path}: neither an ELF program nor a script that begins with #!")
    if not os.access(path, os.X_OK):
        raise core.Error(f"{path}: not executable; chmod +x {shlex.quote(path)}")


def destination(item):
    """SRC and PATH of SRC[:PATH]."""
    source, _, path = item.partition(":")
    path = path or HOME + "/"
    if not path.startswith("/"):
        raise core.Error(f"{item}: the place in the guest must be an absolute path")
    return source, path + os.path.basename(os.path.abspath(source)) if path.endswith("/") else path


def main():
    parser = argparse.ArgumentParser(
        description="Make the initramfs of the test guest.",
        epilog=f"SRC without a path goes to {HOME}, where programs start; a path that ends in / is a directory. "
               "The command after -- is the program that the guest runs in the mode run.")
    parser.add_argument("--out", required=True, metavar="FILE", help="the archive, compressed if the name ends in .gz. It is not written if there is an error")
    parser.add_argument("--prog", metavar="SRC[:PATH]", action="append", default=[],
                        help="a program; an error if the guest cannot run it")
    parser.add_argument("--file", metavar="SRC[:PATH]", action="append", default=[], help="a file or a directory")
    parser.add_argument("--tree", metavar="DIR:PATH", action="append", default=[], help="a directory's content")
    parser.add_argument("--base", metavar="DIR", default="",
                        help="take DIR/bin/busybox and DIR/usr/bin/timeout, which may be of another architecture")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="the program and its arguments")
    options = parser.parse_args()
    core.need_command("readelf")

    archive = Archive()
    if options.base and not os.path.isfile(f"{options.base}/bin/busybox"):
        raise core.Error(f"--base {options.base}: there is no bin/busybox in it")
    archive.add_base(options.base)
    for item in options.prog:
        check_program(item.partition(":")[0])
        archive.add(*destination(item))
    for item in options.file:
        source, path = destination(item)
        (archive.add_tree if os.path.isdir(source) else archive.add)(source, path)
    for item in options.tree:
        source, _, path = item.partition(":")
        if not path:
            raise core.Error(f"--tree {item}: name the place in the guest too, as in DIR:/path")
        archive.add_tree(source, path)
    if options.command:
        # Quoted for the shell, so that blanks, quotes and newlines arrive as they are.
        archive.put("/guest/cmd", stat.S_IFREG | 0o644, (shlex.join(options.command) + "\n").encode())

    content = archive.cpio()
    if options.out.endswith(".gz"):
        content = gzip.compress(content, 1, mtime=0)
    partial = pathlib.Path(f"{options.out}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        partial.replace(options.out)
    except OSError as error:
        raise core.Error(f"{options.out}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
