# SPDX-License-Identifier: GPL-2.0
"""Wine on this machine: find its files, run its programs, and make its prefix."""

import os
import pathlib
import re
import shutil
import subprocess

from harness import core

# The build of Wine and its archives. They are the same for every base.
PLACE = core.BUILD / "wine"
LINKER = "/lib64/ld-linux-x86-64.so.2"
# No .NET, browser or desktop menus: Wine runs without them.
OVERRIDES = "mscoree,mshtml,winemenubuilder.exe="
WANTED = ("WINE= must name the directory that contains bin/wine, of Wine 11.5 or later for x86-64."
          " Without WINE=, Debian's Wine is used.")
# The first Wine with Syscall User Dispatch.
OLDEST = (11, 5)
EM_X86_64 = 62
# Run a program in the root file system $1. Wait for the program, then for Wine's server $2.
IN_ROOT = """root=$1 server=$2
shift 2
mount -t proc proc "${root%/}/proc" || exit
[ "$root" = / ] || mount --rbind /dev "$root/dev" || exit
chroot "$root" "$@" </dev/null
status=$?
chroot "$root" "$server" -w 2>/dev/null
exit "$status"
"""


def once(stamp, inputs, make):
    """Call make(), unless the file STAMP shows that it succeeded with the same INPUTS, a string."""
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == inputs:
        return
    stamp.unlink(missing_ok=True)
    make()
    stamp.write_text(inputs, encoding="utf-8")


def logged(log, message, commands):
    """Run commands one after the other; their output goes to the file LOG.

    If one fails, print the end of the log and raise an Error with MESSAGE.
    """
    with open(log, "wb") as file:
        status = any(subprocess.run(command, env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL, stdout=file,
                                    stderr=subprocess.STDOUT, check=False).returncode for command in commands)
    if status:
        core.say(*log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        raise core.Error(f"{message}; see the end of {log} above")


def first(*paths):
    """The first of these paths that exists, or None."""
    return next((path for path in paths if os.path.exists(path)), None)


class Wine:
    """A Wine that can be run here.

    NAME is for messages. ROOT is the root file system that it runs in. These are paths in ROOT: the programs LOADER and
    SERVER, the directory UNIX of the Linux modules, the directory SHARE of data, and the prefix PREFIX. WINDOWS, the
    directory of the Windows modules, is derived from UNIX. WORK is the directory for files made from this Wine.
    """

    def __init__(self, name, root, loader, server, unix, share, prefix, work):
        self.name, self.root, self.loader, self.server = name, str(root), str(loader), str(server)
        self.unix, self.share, self.prefix, self.work = str(unix), str(share), str(prefix), work
        self.windows = self.unix.removesuffix("-unix") + "-windows"

    def here(self, path):
        """The path on this machine of a path in ROOT."""
        return pathlib.Path(self.root) / str(path).lstrip("/")

    def settings(self, prefix, path="/usr/bin"):
        """Wine's environment, here and in the guest: a list of NAME=VALUE. PREFIX and PATH are paths in ROOT."""
        return [f"HOME={prefix}", "USER=root", f"PATH={path}", "LC_ALL=C", "WINEARCH=win64",
                f"WINESERVER={self.server}", f"WINEDLLOVERRIDES={OVERRIDES}", f"WINEPREFIX={prefix}"]

    def command(self, debug, *words):
        """The command that runs WORDS in ROOT, with DEBUG as WINEDEBUG.

        It has a PID namespace of its own, so that none of its processes survives it.
        """
        user = ["--user", "--map-root-user"] if os.getuid() else []
        return ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child", "env", "-i",
                *self.settings(self.prefix, "/usr/bin:/bin:/usr/sbin:/sbin"), f"WINEDEBUG={debug}",
                "sh", "-c", IN_ROOT, "sh", self.root, self.server, *words]

    def check_namespaces(self):
        """Raise an Error if Wine's programs cannot run in namespaces here."""
        done = subprocess.run(self.command("-all", self.server, "--version"), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        if done.returncode:
            said = done.stdout.strip().rpartition("\n")[2]
            raise core.Error(f"Wine cannot be run here in namespaces of its own: {said}. Run it as root, or allow user"
                             " namespaces (sysctl kernel.unprivileged_userns_clone=1)")

    def make_prefix(self):
        """Make a new prefix. It needs no display. Raises an Error if that fails."""
        prefix = self.here(self.prefix)
        shutil.rmtree(prefix, ignore_errors=True)
        system = prefix / "drive_c/windows/system32"
        system.mkdir(parents=True)
        # Debian's user32.dll needs it, but it is not in the directory where Wine looks for it.
        zlib = self.here("/usr/x86_64-w64-mingw32/lib/zlib1.dll")
        if zlib.is_file():
            shutil.copy(zlib, system)
        logged(self.work / "wineboot.log", "Wine cannot make a prefix",
               [self.command("fixme-all", self.loader, "wineboot", "--init")])

    def modules(self, program):
        """Run the sample once in the prefix, with calls by the exports only. Returns the modules that Wine loads.

        They are paths below the prefix's windows/, in lower case. Raises an Error if the sample fails.
        """
        log = self.work / "exports.log"
        shutil.copy(program, self.here(self.prefix) / "drive_c")
        logged(log, "the Windows program does not run here, even without raw calls",
               [self.command("fixme-all,+loaddll", self.loader, f"C:\\{program.name}", "exports")])
        found = re.findall(r':loaddll:.* Loaded L"[A-Za-z]:\\\\windows\\\\(.*)" at ',
                           log.read_text(encoding="utf-8", errors="replace"), re.I)
        modules = {module.lower().replace("\\\\", "/") for module in found}
        if "system32/kernel32.dll" not in modules:
            raise core.Error(f"Wine does not log which modules it loads; see {log}")
        return modules

    def libraries(self, *files):
        """The libraries that the loader finds for these files. Libraries that it does not find are optional."""
        found = {LINKER}
        for file in files:
            text = subprocess.run(self.command("-all", LINKER, "--list", file), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True, check=False).stdout
            found.update(re.findall(r"^\s*(?:.* => )?(/\S+) \(0x", text, re.M))
        gcc = [f"{top}/lib/x86_64-linux-gnu/libgcc_s.so.1" for top in ("/usr", "")]
        found.update([path for path in gcc if self.here(path).exists()][:1])
        return found


def own(given):
    """The user's Wine in the directory GIVEN, the value of WINE. Raises an Error if it cannot be used."""
    wrong = f"WINE={given}"
    if not os.path.exists(given):
        raise core.Error(f"{wrong} does not exist. {WANTED}")
    place = pathlib.Path(given).resolve()
    if not place.is_dir():
        raise core.Error(f"{wrong} is not a directory. {WANTED}")
    loader = first(place / "bin/wine", place / "bin/wine64")
    server = first(place / "bin/wineserver", place / "bin/wineserver64")
    if not loader or not server:
        raise core.Error(f"{wrong} is no Wine: it has no bin/wine, or no bin/wineserver. {WANTED}")
    unix = first(*(place / library / "wine/x86_64-unix" for library in ("lib", "lib64", "lib/x86_64-linux-gnu")))
    if not unix or not (unix / "ntdll.so").is_file():
        others = {path.name for depth in ("", "*/", "*/*/") for path in place.glob(f"lib*/{depth}*-unix")}
        raise core.Error(f"{wrong} is not for x86-64: it has no lib/wine/x86_64-unix/ntdll.so"
                         f" (it has: {' '.join(sorted(others)) or 'no such directory'}). {WANTED}")
    with open(unix / "ntdll.so", "rb") as file:
        machine = int.from_bytes(file.read(20)[18:], "little")
    if machine != EM_X86_64:
        raise core.Error(f"{wrong}: its ntdll.so is for another architecture (ELF machine {machine}). {WANTED}")
    wine = Wine(None, "/", loader, server, unix, place / "share/wine", PLACE / "own/prefix", PLACE / "own")
    for file in (f"{wine.share}/wine.inf", f"{wine.windows}/ntdll.dll"):
        if not os.path.isfile(file):
            raise core.Error(f"{wrong} is not complete: {os.path.relpath(file, place)} is missing. {WANTED}")
    wine.name = f"{version(wine, wrong)} of {given}"
    return wine


def version(wine, wrong):
    """The version that a Wine prints. Raises an Error that begins with WRONG if it is too old."""
    try:
        done = subprocess.run([wine.loader, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)
        said, failed = done.stdout.strip(), done.returncode
    except OSError as error:
        said, failed = error.strerror, True
    if failed:
        raise core.Error(f"{wrong}: {wine.loader} --version fails: {said or 'it prints nothing'}")
    number = re.search(r"^wine-(\d+)(?:\.(\d+))?", said, re.M)
    if not number:
        raise core.Error(f"{wrong}: {wine.loader} --version prints '{said}', which is no version of Wine. {WANTED}")
    if tuple(int(part or 0) for part in number.groups()) < OLDEST:
        raise core.Error(f"{wrong} is Wine {number[0].removeprefix('wine-')}, too old:"
                         f" Syscall User Dispatch came with {'.'.join(map(str, OLDEST))}. {WANTED}")
    return said
