# SPDX-License-Identifier: GPL-2.0
"""The guest's files: a Wine as a cpio archive, and the scripts that run Windows programs.

The guest's kernel unpacks the archive after its initramfs. /wine is then the root file system of Wine.
"""

import filecmp
import os
import shlex
import shutil
import subprocess

from harness import core

# Wine loads these modules before it can log it, so its log never names them.
EARLY = {"system32/ntdll.dll", "system32/apisetschema.dll"}
# The path of the prefix in /wine.
PREFIX = "/prefix"


def install(source, target):
    """Copy a file to TARGET, make it executable, and make the directories above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)


def link(source, target):
    """Make TARGET a hard link to the file SOURCE."""
    target.unlink(missing_ok=True)
    os.link(source, target)


def files_below(path):
    """All regular files below a directory. If PATH is a file, only that."""
    found = [path] if path.is_file() else path.rglob("*")
    return [file for file in found if file.is_file() and not file.is_symlink()]


def gather_unix(wine, tree, *shared):
    """Fill TREE with Wine's Linux programs, the SHARED files and directories, and a prefix without modules."""
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("proc", "dev", "tmp", "root", "lib64", "prefix/drive_c/windows", "prefix/dosdevices"):
        (tree / name).mkdir(parents=True)
    files = {wine.loader, wine.server, *wine.libraries(
        wine.loader, wine.server, *(f"{wine.unix}/{name}.so" for name in ("ntdll", "win32u", "ws2_32")))}
    files.update(f"{wine.unix}/{file.name}" for file in wine.here(wine.unix).iterdir() if file.is_file())
    for directory in shared:
        place = wine.here(directory)
        files.update(os.path.normpath(f"{directory}/{file.relative_to(place)}") for file in files_below(place))
    for file in files:
        install(wine.here(file), tree / file.lstrip("/"))
    (tree / "prefix/dosdevices/c:").symlink_to("../drive_c")
    (tree / "prefix/dosdevices/z:").symlink_to("/")
    prefix = wine.here(wine.prefix)
    for file in (prefix / ".update-timestamp", *prefix.glob("*.reg")):
        shutil.copy2(file, tree / "prefix")
    # wineboot updates the prefix unless this file has the date that .update-timestamp records.
    inf = f"{wine.share}/wine.inf"
    date = wine.here(inf).stat().st_mtime_ns
    os.utime(tree / inf.lstrip("/"), ns=(date, date))


def gather(wine, tree, program, modules):
    """Fill TREE with the program, and a Wine that has only these modules. Raises an Error if the prefix lacks one."""
    gather_unix(wine, tree, f"{wine.share}/wine.inf", f"{wine.share}/nls")
    shutil.copy(program, tree / "prefix/drive_c")
    # Wine looks for a module in the prefix, but loads the file from its own directory.
    windows = wine.here(wine.prefix) / "drive_c/windows"
    there = {str(file.relative_to(windows)).lower(): file for file in windows.rglob("*")}
    for module in sorted(EARLY | modules):
        if module not in there:
            raise core.Error(f"Wine loads windows/{module}, but its prefix lacks it")
        name = there[module].relative_to(windows)
        copy, other = tree / "prefix/drive_c/windows" / name, tree / wine.windows.lstrip("/") / name.name.lower()
        install(there[module], copy)
        if wine.here(f"{wine.windows}/{other.name}").is_file():
            other.parent.mkdir(parents=True, exist_ok=True)
            link(copy, other)


def gather_all(wine, tree):
    """Fill TREE with a whole Wine, for a program whose modules are not known.

    The files take up the guest's memory. So debug information is removed, and equal files of the prefix are hard links.
    """
    gather_unix(wine, tree, wine.share, wine.windows)
    modules = tree / wine.windows.lstrip("/")
    subprocess.run(["x86_64-w64-mingw32-strip", *files_below(modules)], stderr=subprocess.DEVNULL, check=False)
    prefix = tree / "prefix/drive_c"
    shutil.copytree(wine.here(wine.prefix) / "drive_c", prefix, symlinks=True, dirs_exist_ok=True)
    for file in files_below(prefix / "windows"):
        original = wine.here(f"{wine.windows}/{file.name}")
        if original.is_file() and filecmp.cmp(file, original, shallow=False):
            link(modules / file.name, file)


def archive(tree, path):
    """Write the tree as a cpio archive to the file PATH. Every file belongs to root."""
    names = sorted(str(file.relative_to(tree)) for file in tree.rglob("*"))
    with open(path, "wb") as file:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input="\n".join(names) + "\n", text=True,
                       cwd=tree, stdout=file, check=True)


def initramfs(path, script, *archives):
    """Make the initramfs PATH of a guest that runs the shell script SCRIPT. It contains the archives at its end."""
    program = path.with_name("run-wine")
    program.write_text(script, encoding="utf-8")
    program.chmod(0o755)
    core.run("pack", "--out", path, "--prog", program, "--", "./run-wine")
    with open(path, "ab") as whole:
        for part in archives:
            with open(part, "rb") as file:
                shutil.copyfileobj(file, whole)


def sample_script(wine, ways):
    """The guest's script that runs the sample program once with each of WAYS in WINE_SYSCALL_DISPATCH."""
    return f"""#!/bin/sh
echo "wine: kernel $(uname -r)"
mount -t proc proc /wine/proc && mount --bind /dev /wine/dev || exit 125
in_wine() {{
	env -i {shlex.join(wine.settings(PREFIX))} WINEDEBUG=fixme-all,warn+seh \\
		WINE_SYSCALL_DISPATCH="$way" timeout -s KILL 300 /usr/bin/busybox chroot /wine "$@" </dev/null
}}
for way in {" ".join(ways)}; do
	echo "wine: begin $way"
	in_wine {wine.loader} 'C:\\raw.exe' >/tmp/out 2>/tmp/err
	echo "wine: ended with status $?" >>/tmp/out
	cat /tmp/out
	echo "wine: processes with SIGSYS $(grep -c ':sigsys_handler system calls come by SIGSYS' /tmp/err)"
	grep -v 'warn:seh:dispatch_exception' /tmp/err | head -n 100 | sed 's/^/stderr: /'
	echo "wine: done"
	# Each program starts with a new wineserver.
	in_wine {wine.server} -k 2>/dev/null
done
"""


def program_script(wine, name, arguments):
    """The guest's script that runs a user's program in C:\\run.

    Its output goes through a pipe, because on a terminal Wine prints control sequences. Busybox changes the directory,
    because chroot does not. The messages of Wine's own services are left out; they report devices that the guest lacks.
    """
    command = shlex.join([wine.loader, f"C:\\run\\{name}", *arguments])
    return f"""#!/bin/sh
mount -t proc proc /wine/proc && mount --bind /dev /wine/dev && cp /usr/bin/busybox /wine/ || exit 125
in_wine() {{
	env -i {shlex.join(wine.settings(PREFIX))} \\
		WINEDEBUG=fixme-all,warn+seh,err-wineboot,err-ntoskrnl,err-wineusb /usr/bin/busybox chroot /wine "$@"
}}
{{
	in_wine /busybox sh -c 'cd {PREFIX}/drive_c/run && exec "$@"' - {command} \\
		</dev/null 2>/tmp/err
	echo $? >/tmp/status
}} | cat
grep -v 'warn:seh:' /tmp/err
count=$(grep -c ':sigsys_handler system calls come by SIGSYS' /tmp/err)
[ "$count" = 0 ] || echo "wine: processes whose own system calls came back by SIGSYS: $count"
exit "$(cat /tmp/status)"
"""
