# SPDX-License-Identifier: GPL-2.0
"""Make the initramfs of the test guest.

It holds busybox, our init, the files and trees that are named, and for every
dynamic ELF file among them its loader and libraries, at the paths where the
loader looks for them. The same input gives the same bytes.
"""

import argparse
import gzip
import os
import posixpath
import re
import shlex
import shutil
import stat
import struct
import subprocess

from harness import core

HERE = os.path.dirname(os.path.abspath(__file__))

# The destination of --file without a path; init starts programs there.
HOME = "/root"

# The guest's /usr is merged, as Debian's is: whatever the host's layout,
# /lib/x and /usr/lib/x are one file in the guest.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

# init mounts file systems here, which hide the archive's files.
MOUNTED = ("dev", "proc", "sys")

# e_machine to the usual name.
MACHINES = {
    2: "SPARC", 3: "i386", 8: "MIPS", 20: "PowerPC", 21: "64-bit PowerPC", 22: "S/390",
    40: "32-bit ARM", 43: "64-bit SPARC", 50: "Itanium", 62: "x86-64",
    183: "64-bit ARM (aarch64)", 243: "RISC-V", 258: "LoongArch",
}
EM_386, EM_X86_64 = 3, 62
ET_EXEC, ET_DYN = 2, 3
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29


class Elf:
    """The properties of one ELF file that packing needs."""

    def __init__(self, path, data):
        self.path = path
        self.bits = {1: 32, 2: 64}.get(data[4], 0)
        self.order = {1: "<", 2: ">"}.get(data[5], "<")
        try:
            self.parse(data)
        except (struct.error, IndexError, ValueError) as error:
            raise core.Error(f"{path}: damaged ELF file") from error

    def parse(self, data):
        self.type, self.machine = struct.unpack_from(self.order + "HH", data, 16)
        self.interp, self.needed, self.rpath, self.runpath = None, [], [], []
        if not self.is_x86():
            return
        if self.bits == 64:
            phoff, = struct.unpack_from("<Q", data, 32)
            phentsize, phnum = struct.unpack_from("<HH", data, 54)
        else:
            phoff, = struct.unpack_from("<I", data, 28)
            phentsize, phnum = struct.unpack_from("<HH", data, 42)
        loads, dynamic = [], None
        for i in range(phnum):
            at = phoff + i * phentsize
            kind, = struct.unpack_from("<I", data, at)
            if self.bits == 64:
                offset, vaddr, _, size = struct.unpack_from("<QQQQ", data, at + 8)
            else:
                offset, vaddr, _, size = struct.unpack_from("<IIII", data, at + 4)
            if kind == PT_LOAD:
                loads.append((vaddr, offset, size))
            elif kind == PT_DYNAMIC:
                dynamic = (offset, size)
            elif kind == PT_INTERP:
                self.interp = data[offset:offset + size].rstrip(b"\0").decode()
        if dynamic:
            self.parse_dynamic(data, loads, *dynamic)

    def parse_dynamic(self, data, loads, offset, size):
        entry = "<qQ" if self.bits == 64 else "<iI"
        tags = [t for t in struct.iter_unpack(
            entry, data[offset:offset + size - size % struct.calcsize(entry)])]
        strtab = next((v for t, v in tags if t == DT_STRTAB), None)
        base = next((off + strtab - va for va, off, length in loads
                     if strtab is not None and va <= strtab < va + length), None)
        if base is None:
            return

        def text(value):
            return data[base + value:data.index(b"\0", base + value)].decode()

        for tag, value in tags:
            if tag == 0:
                break
            if tag == DT_NEEDED:
                self.needed.append(text(value))
            elif tag == DT_RPATH:
                self.rpath = text(value).split(":")
            elif tag == DT_RUNPATH:
                self.runpath = text(value).split(":")

    def is_x86(self):
        return self.order == "<" and self.machine in (EM_386, EM_X86_64)

    def kind(self):
        return (self.bits, self.machine)

    def architecture(self):
        name = MACHINES.get(self.machine, f"machine number {self.machine}")
        if self.machine == EM_X86_64 and self.bits == 32:
            name = "x32"
        return name


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError as error:
        raise core.Error(f"{path}: no such file") from error
    except OSError as error:
        raise core.Error(f"{path}: {error.strerror}") from error


def elf_of(path, data=None):
    """The Elf of a file, or None if it is something else."""
    if data is None:
        data = read(path)
    return Elf(path, data) if data[:4] == b"\x7fELF" and len(data) >= 52 else None


class Libraries:
    """Where the host's loader would find a library, by ELF class and machine."""

    DEFAULT = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/i386-linux-gnu",
               "/usr/lib/i386-linux-gnu", "/lib64", "/usr/lib64", "/lib32", "/usr/lib32",
               "/libx32", "/usr/libx32", "/lib", "/usr/lib")

    def __init__(self):
        self.cache = None
        self.kinds = {}

    def load_cache(self):
        self.cache = {}
        ldconfig = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
        if not ldconfig:
            return
        listing = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False)
        for line in listing.stdout.splitlines():
            # A variant for newer CPUs is no use: the guest's CPU is another one.
            match = re.match(r"\s+(\S+) \(([^)]*)\) => (\S+)", line)
            if match and "hwcap" not in match[2]:
                self.cache.setdefault(match[1], []).append(match[3])

    def fits(self, path, kind):
        if path not in self.kinds:
            elf = elf_of(path) if os.path.isfile(path) else None
            self.kinds[path] = elf.kind() if elf else None
        return self.kinds[path] == kind

    def find(self, name, kind):
        if self.cache is None:
            self.load_cache()
        places = self.cache.get(name, []) + [f"{d}/{name}" for d in self.DEFAULT]
        return next((p for p in places if self.fits(p, kind)), None)


class Archive:
    """The guest's root file system, written as a newc cpio archive."""

    def __init__(self):
        self.entries = {}       # path in the guest -> (mode, data, (major, minor))
        self.origin = {}        # path in the guest -> file on the host
        self.libraries = Libraries()
        for name in MERGED:
            self.put(f"/{name}", stat.S_IFLNK | 0o777, f"usr/{name}".encode())
            self.directory(f"/usr/{name}")

    @staticmethod
    def place(path):
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
        path = self.place(path)
        parent = posixpath.dirname(path)
        if parent != "/":
            self.directory(parent)
        self.entries[path] = (mode, data, device)

    def directory(self, path, mode=0o755):
        if self.place(path) not in self.entries:
            self.put(path, stat.S_IFDIR | mode)

    def add(self, source, path, in_tree=False):
        """Take a file, and for an ELF file or a script what it needs to run."""
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
        if elf and elf.is_x86():
            self.add_needs(elf, path, [])
        elif data[:2] == b"#!" and os.access(source, os.X_OK):
            self.add_interpreter(source, data, in_tree)

    def add_needs(self, elf, path, inherited):
        if elf.interp:
            if not os.path.exists(elf.interp):
                raise core.Error(f"{elf.path}: built for {elf.architecture()}, and its loader {elf.interp} "
                              "is not on this machine; install that architecture's C library, "
                              "or link the program with -static")
            self.add(elf.interp, elf.interp)
        # The loader's rule: DT_RUNPATH replaces DT_RPATH; only the latter is inherited.
        search = elf.runpath or elf.rpath + inherited
        for name in elf.needed:
            source, target = self.find(elf, name, path, search)
            if self.place(target) in self.origin:
                continue
            self.add_library(source, target, [] if elf.runpath else search)
            # libpthread loads this one by itself when a thread is cancelled or exits.
            if name == "libc.so.6":
                extra = self.libraries.find("libgcc_s.so.1", elf.kind())
                if extra:
                    self.add_library(extra, extra, [])

    def add_library(self, source, target, inherited):
        self.check_place(source, target)
        data = read(source)
        self.origin[self.place(target)] = os.path.realpath(source)
        self.put(target, stat.S_IFREG | 0o755, data)
        # Directories from ld.so.conf, such as /lib32, are known to the loader by this file.
        if os.path.exists("/etc/ld.so.cache"):
            self.put("/etc/ld.so.cache", stat.S_IFREG | 0o644, read("/etc/ld.so.cache"))
        self.add_needs(elf_of(source, data), target, inherited)

    def find(self, elf, name, path, search):
        """A library's path on the host, and the one where the guest's loader will look."""
        if "/" in name:
            if self.libraries.fits(name, elf.kind()):
                return name, name
        else:
            for item in filter(None, search):
                host, guest = (
                    re.sub(r"\$\{?ORIGIN\}?", lambda _, o=origin: posixpath.dirname(o), item) + "/" + name
                    for origin in (os.path.realpath(elf.path), path))
                if self.libraries.fits(host, elf.kind()):
                    return host, guest
            found = self.libraries.find(name, elf.kind())
            if found:
                return found, found
        raise core.Error(f"{elf.path}: needs the {elf.architecture()} library {name}, which this machine's "
                      "loader does not find; install it, or link the program with -static")

    def add_interpreter(self, script, data, in_tree):
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
        # perl or python is of no use without its library, and kselftest's runner, which
        # looks for perl, knows how to do without: a tree brings only shells along.
        if in_tree and not name.endswith("sh"):
            return
        if not interpreter or not os.path.isfile(interpreter):
            raise core.Error(f"{script}: its interpreter {name or '(none named)'} is not on this machine; install it")
        self.add(interpreter, interpreter)

    def add_tree(self, source, path):
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
        busybox = shutil.which("busybox") or "/bin/busybox"
        if not os.path.exists(busybox):
            raise core.Error("busybox is not on this machine; install the package busybox-static")
        # Its list of names comes from the machine's own, which can be run here.
        self.add(f"{base}/bin/busybox" if base else busybox, "/bin/busybox")
        listing = subprocess.run([busybox, "--list-full"], capture_output=True, text=True, check=True)
        self.applets = {posixpath.basename(name) for name in listing.stdout.split()}
        for name in listing.stdout.split():
            if self.place(name) not in self.entries:
                self.put(name, stat.S_IFLNK | 0o777, b"/usr/bin/busybox")
        # kselftest's runner asks for `timeout --foreground` and the status 124:
        # busybox has neither, coreutils is on every Debian machine.
        for source in (f"{base}/usr/bin/timeout", f"{base}/bin/timeout"):
            if os.path.exists(source):
                self.add(source, "/usr/bin/timeout")
                break
        self.add(os.path.join(HERE, "inside", "init"), "/init")
        for name, mode in (("/dev", 0o755), ("/proc", 0o555), ("/sys", 0o555), ("/tmp", 0o1777),
                           ("/run", 0o755), ("/var", 0o755), ("/guest", 0o755), (HOME, 0o700)):
            self.directory(name, mode)
        # The kernel opens it for init before init can mount anything.
        self.put("/dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        self.put("/etc/passwd", stat.S_IFREG | 0o644,
                 b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        self.put("/etc/group", stat.S_IFREG | 0o644, b"root:x:0:\nnogroup:x:65534:\n")

    def write(self, stream):
        inode = 0

        def member(path, mode, data, device, links):
            name = path.encode() + b"\0"
            header = "070701" + "".join(f"{field:08x}" for field in (
                inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(name), 0))
            for part in (header.encode() + name, data):
                stream.write(part + b"\0" * (-len(part) % 4))

        for path, (mode, data, device) in sorted(self.entries.items()):
            inode += 1
            member(path[1:], mode, data, device, 2 if stat.S_ISDIR(mode) else 1)
        inode = 0
        member("TRAILER!!!", 0, b"", (0, 0), 1)


def check_program(path):
    """Refuse early, with a better message, a program that the guest's kernel would refuse."""
    if not os.path.exists(path):
        hint = shutil.which(path) if "/" not in path else None
        raise core.Error(f"{path}: no such file" + (f"; did you mean {hint}?" if hint else ""))
    if not os.path.isfile(path):
        raise core.Error(f"{path}: not a file that can be run")
    data = read(path)
    elf = elf_of(path, data)
    if elf:
        if not elf.is_x86():
            raise core.Error(f"{path}: built for {elf.architecture()}; the guest runs x86-64, x32 and i386 programs")
        if elf.type not in (ET_EXEC, ET_DYN):
            raise core.Error(f"{path}: an ELF file that is not linked (an object or a core file), so it cannot be run")
    elif data[:2] != b"#!":
        raise core.Error(f"{path}: neither an ELF program nor a script that begins with #!")
    if not os.access(path, os.X_OK):
        raise core.Error(f"{path}: not executable; chmod +x {shlex.quote(path)}")


def destination(source, path):
    if not path:
        path = HOME + "/"
    if not path.startswith("/"):
        raise core.Error(f"{source}:{path}: the place in the guest must be an absolute path")
    return path + os.path.basename(os.path.abspath(source)) if path.endswith("/") else path


def main():
    parser = argparse.ArgumentParser(
        description="Make the initramfs of the test guest.",
        epilog=f"SRC without a path goes to {HOME}, where programs start; a path ending in / is a directory. "
               "What follows -- is the command line for the guest's mode run.")
    parser.add_argument("--out", required=True, metavar="FILE", help="written whole or not at all; .gz compresses")
    parser.add_argument("--prog", metavar="SRC[:PATH]", action="append", default=[],
                        help="a file that must be a program which the guest can run")
    parser.add_argument("--file", metavar="SRC[:PATH]", action="append", default=[], help="a file or a directory")
    parser.add_argument("--tree", metavar="DIR:PATH", action="append", default=[], help="a directory's content")
    parser.add_argument("--base", metavar="DIR", default="",
                        help="take busybox and timeout from DIR, where they are as on /: of another architecture")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="the program that the guest's mode run starts")
    options = parser.parse_args()

    archive = Archive()
    if options.base and not os.path.isfile(f"{options.base}/bin/busybox"):
        raise core.Error(f"--base {options.base}: there is no bin/busybox in it")
    archive.add_base(options.base)
    for item in options.prog:
        source, _, path = item.partition(":")
        check_program(source)
        archive.add(source, destination(source, path))
    for item in options.file:
        source, _, path = item.partition(":")
        take = archive.add_tree if os.path.isdir(source) else archive.add
        take(source, destination(source, path))
    for item in options.tree:
        source, _, path = item.partition(":")
        if not path:
            raise core.Error(f"--tree {item}: name the place in the guest too, as in DIR:/path")
        archive.add_tree(source, path)
    if options.command:
        # Quoted for the shell, so that blanks, quotes and newlines arrive as they are.
        archive.put("/guest/cmd", stat.S_IFREG | 0o644, (shlex.join(options.command) + "\n").encode())

    partial = f"{options.out}.{os.getpid()}.part"
    try:
        with open(partial, "wb") as raw:
            if options.out.endswith(".gz"):
                with gzip.GzipFile("", "wb", 1, raw, 0) as packed:
                    archive.write(packed)
            else:
                archive.write(raw)
        os.replace(partial, options.out)
    except OSError as error:
        raise core.Error(f"{options.out}: {error.strerror}") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
