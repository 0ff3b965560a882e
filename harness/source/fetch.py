# SPDX-License-Identifier: GPL-2.0
"""Fetch a base's kernel source.

Usage: harness/do fetch [BASE]           print the directory of the pristine tree, build/src/<name>
       harness/do fetch --or-skip BASE   for make check: print the counts of a test; a base that the mirror does not
                                         serve is skipped
       harness/do fetch --touched BASE   only the files that the series edits (quick)
       harness/do fetch --check          only check BASE and KERNEL_SRC

A base names one version of its package. If the mirror no longer has that version, its newest version is taken, provided
that the kernel code that the series edits is the same there. A message names that version.

A base may name a patch in its package. It is applied to the source, or to those files, first.

A directory in build/src/ is always complete. KERNEL_SRC is a tree or tarball of the user's; it is never written to. BASE=try
takes one that is no known base.
"""

import argparse
import contextlib
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from harness import core
from harness.source import base as bases
from harness.source import series

DOWNLOAD = core.BUILD / "download"
SOURCES = core.BUILD / "src"
OTHER_SOURCE = "Another way: KERNEL_SRC=<tree or tarball of such a kernel>"


def sha256(path):
    """The SHA-256 hash of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_good(path, expected):
    """Whether the file has that hash. A damaged file is reported and removed."""
    if not path.is_file():
        return False
    found = sha256(path)
    if found != expected:
        core.say(f"  {path} is damaged and is removed. Its sha256 is", f"  {found}, expected is", f"  {expected}")
        path.unlink()
    return found == expected


class NotServed(core.Error):
    """The mirror serves neither the version of a base nor another one with the same kernel code."""


def served(base):
    """The versions of a base's package that the mirror serves, the newest first; an empty list if apt finds none."""
    from harness.packages import apt
    apt.lists(base["suite"], "amd64", OTHER_SOURCE)
    return apt.versions(base["suite"], "amd64", base["package"])


def download(base, version):
    """Download a version of the package of a base; returns the path of the package."""
    from harness.packages import apt
    core.need_space(DOWNLOAD, 300, "the download")
    partial = DOWNLOAD / "partial"
    apt.download(base["suite"], "amd64", partial, OTHER_SOURCE, f"{base['package']}={version}")
    package = DOWNLOAD / f"{base.name}.deb"
    next(partial.glob(f"{base['package']}_*.deb")).rename(package)
    return package


def extract(name, package, to):
    """Write the file of that name in a package to a file."""
    with open(to, "wb") as file, subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as content:
        subprocess.run(["tar", "xO", f"./{name}"], stdin=content.stdout, stdout=file, check=False)
        content.stdout.close()


def place(base, kind, version=""):
    """The file in the download directory with the tarball ("tar") or the patch of a base, or of that version of its package."""
    return DOWNLOAD / f"{base.name}{f'-as-{version}' if version else ''}.{kind}.xz"


def parts(base, version=""):
    """{file: (name in the package, hash)} of what is taken from the package of a base, for it and the bases over it."""
    found = {place(base, "tar", version): (base["tarball"], base["tarball-sha256"])}
    for other in bases.known().values():
        if other.stock.name == base.name and "patch" in other.values:
            found[place(other, "patch", version)] = other["patch"], other["patch-sha256"]
    return found


def part(base, wanted):
    """Download WANTED, one of the parts of a base, if it is not there and good. Returns "", or the newest version that the mirror
    serves if it lacks the base's."""
    package = DOWNLOAD / f"{base.name}.deb"
    if is_good(wanted, parts(base)[wanted][1]):
        return ""
    for again in ("", " once more"):
        if is_good(package, base["deb-sha256"]):
            break
        versions = served(base)
        if versions and base["version"] not in versions:
            return versions[0]
        with core.step(f"Downloading the kernel source {base.name}{again} (about 140 MB)"):
            download(base, base["version"])
    else:
        if not is_good(package, base["deb-sha256"]):
            raise core.Error(f"the hash of the mirror's package is not the one of base/{base.name}. {OTHER_SOURCE}")
    for file, (name, digest) in parts(base).items():
        if is_good(file, digest):
            continue
        extract(name, package, file.with_suffix(".part"))
        if not is_good(file.with_suffix(".part"), digest):
            raise core.Error(f"{name} in {package} is not the one that base/ names for {file.name}")
        file.with_suffix(".part").rename(file)
    package.unlink()
    return ""


def tarball(base):
    """The tarball of a base, downloaded if it is not there, and good; or of another version that the mirror serves instead."""
    tar = place(base.stock, "tar")
    other = part(base.stock, tar)
    return other_tarball(base.stock, other) if other else tar


def version_part(base, kind, version):
    """The tarball or the patch of any version of a base's package, downloaded if it is not there. apt has checked its signature."""
    wanted = place(base.stock if kind == "tar" else base, kind, version)
    if not wanted.is_file():
        with core.step(f"Downloading the kernel source {base['package']} {version} (about 140 MB)"):
            package = download(base.stock, version)
        for file, (name, _) in parts(base.stock, version).items():
            extract(name, package, file.with_suffix(".part"))
            file.with_suffix(".part").rename(file)
        package.unlink()
    return wanted


def other_tarball(base, version):
    """The tarball of another version of the package, if the kernel code that the series edits is the same in it."""
    tar = version_part(base, "tar", version)
    with tempfile.TemporaryDirectory(dir=core.BUILD) as scratch:
        unpack_some(tar, hashes(base), pathlib.Path(scratch))
        files = differing(pathlib.Path(scratch), base)
    if files or not hashes(base):
        raise NotServed(f"the mirror serves {base['package']} {version} instead of {base['version']}, and these files"
                        f" differ: {' '.join(files)}. {OTHER_SOURCE}")
    core.say(f"  The mirror no longer has {base['package']} {base['version']}. {version} is taken:"
             " the kernel code that the series edits is the same there.")
    return tar


@contextlib.contextmanager
def whole(directory):
    """Give the body an empty directory, which becomes DIRECTORY if the body succeeds.

    The remains of an interrupted run are removed.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    for left in directory.parent.glob(f"{directory.name}.tmp*"):
        shutil.rmtree(left)
    tmp = directory.with_name(directory.name + ".tmp")
    tmp.mkdir()
    try:
        yield tmp
        if directory.exists():
            shutil.rmtree(directory)
        tmp.rename(directory)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def unpack(tar, directory):
    """Unpack a tarball into DIRECTORY, without its leading directory. Raises an Error if tar fails."""
    with open(core.BUILD / "unpack.log", "w+", encoding="utf-8") as log:
        status = subprocess.run(["tar", "xf", tar, "-C", directory, "--strip-components=1", "--no-same-owner"],
                                stderr=log, check=False).returncode
        log.seek(0)
        if status:
            raise core.Error(f"tar cannot unpack {tar}: {log.read().strip()[-500:]}")


def patch(base, directory, names=(), version=""):
    """Apply the patch that a base names, if it names one, to the source in a directory: all of it, or only to these files.

    It comes from the base's version of the package, or from another VERSION. If the mirror has only another one, the result must
    be the same kernel code."""
    if "patch" not in base.values:
        return
    other = "" if version else part(base.stock, place(base, "patch"))
    file = version_part(base, "patch", version or other) if version or other else place(base, "patch")
    # Outside of a repository, as in one git leaves out the files that are not below the current directory.
    done = subprocess.run(["git", "apply", "-p1", *(f"--include={name}" for name in names), "-"], cwd=directory,
                          input=lzma.decompress(file.read_bytes()), check=False, stderr=subprocess.PIPE,
                          env=core.git_environment() | {"GIT_CEILING_DIRECTORIES": str(directory.parent)})
    if other and (done.returncode or not hashes(base) or differing(directory, base)):
        raise NotServed(f"the mirror serves {base['package']} {other} instead of {base['version']}, and its {base['patch']} does not"
                        f" make the kernel code of {base.name}. {OTHER_SOURCE}")
    if done.returncode:
        raise core.Error(f"{base['patch']} does not apply to {version or base.stock.name}: {done.stderr.decode().strip()[-500:]}")


def fetch_base(base):
    """The directory of the pristine tree of a base, downloaded and unpacked if missing."""
    directory = SOURCES / base.name
    if not directory.is_dir():
        tar = tarball(base)
        core.need_space(core.BUILD, 1800, "the kernel source")
        with whole(directory) as tmp, core.step(f"Unpacking the kernel source {base.name}"):
            unpack(tar, tmp)
            patch(base, tmp)
    return directory


def fetch_touched(base):
    """A directory with the files of a base that the series edits. A missing file is left out; git am reports it."""
    with core.locked("fetch"):
        directory, names = SOURCES / base.name, series.touched(base.series)
        if directory.is_dir():
            return directory
        directory = SOURCES / f"{base.name}.touched-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:12]}"
        if not directory.is_dir():
            tar = tarball(base)
            with whole(directory) as tmp, core.step(f"Unpacking the files of {base.name} that the series edits"):
                unpack_some(tar, names, tmp)
                patch(base, tmp, names)
        return directory


def unpack_some(tar, names, directory):
    """Unpack these files of a tarball, without its leading directory. Files that it lacks are left out."""
    wanted = set(names)
    with tarfile.open(tar) as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            if name in wanted and member.isfile():
                path = directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())
                wanted.remove(name)
            if not wanted:
                break


# ---- KERNEL_SRC ----

def given():
    """KERNEL_SRC, as the user wrote it."""
    return os.environ["KERNEL_SRC"]


def hashes(base):
    """{file: its hash} of a base's kernel code that the series edits; empty if there is no list yet."""
    lines = base.files.read_text(encoding="utf-8").splitlines() if base.files.is_file() else []
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def differing(directory, base):
    """The files of a directory that differ from the base's hashes, or are missing."""
    return [name for name, digest in hashes(base).items()
            if not (directory / name).is_file() or sha256(directory / name) != digest]


def version(directory):
    """The version of the kernel in a directory, such as 5.10.1."""
    makefile = (directory / "Makefile").read_text(encoding="utf-8")
    return ".".join(re.findall(r"^(?:VERSION|PATCHLEVEL|SUBLEVEL) = (.*)$", makefile, re.M)[:3])


def nearest(directory):
    """The base of the same version that a kernel tree is most like, and the files in which it differs."""
    wanted = bases.series_of(version(directory))
    # A tree has the version of its base, with or without that base's patch.
    return min(((base, differing(directory, base)) for base in bases.known().values() if base.stock.series == wanted),
               key=lambda found: len(found[1]))


def check_tree(directory):
    """The name of the base that a kernel tree is by its files, or "try" with BASE=try. Otherwise raises an Error."""
    for name in ("Makefile", "Kconfig", "arch/x86"):
        if not (directory / name).exists():
            raise core.Error(f"KERNEL_SRC={given()} is not a kernel tree: it lacks {name}")
    number, (base, files) = version(directory), nearest(directory)
    if not files:
        return base.name
    if os.environ.get("BASE") != bases.TRY:
        core.say("The kernel code that the series edits is not that of any base in base/.",
                 f"The nearest base is {base.name}; these files differ:", *(f"  {name}" for name in files))
        raise core.Error(f"KERNEL_SRC={given()} ({number}) is an unknown base. To try it nevertheless: BASE=try")
    core.say(f"BASE=try: KERNEL_SRC={given()} ({number}) is no known base. The series was not tested on it.")
    return bases.TRY


def check_own():
    """The path of KERNEL_SRC. Raises an Error if it is missing, or a tree that check_tree() does not accept."""
    source = pathlib.Path(given())
    if not source.exists():
        raise core.Error(f"KERNEL_SRC={given()} does not exist")
    source = source.resolve()
    if not os.access(source, os.R_OK):
        raise core.Error(f"KERNEL_SRC={given()} cannot be read")
    if source.is_dir():
        check_tree(source)
    elif not source.is_file():
        raise core.Error(f"KERNEL_SRC={given()} is neither a directory nor a tarball")
    return source


def identity(source):
    """A hash of the names, sizes and dates of the source's files. Their contents are not read."""
    digest = hashlib.sha256()
    found = os.walk(source) if source.is_dir() else [(source.parent, [], [source.name])]
    for directory, subdirectories, files in found:
        subdirectories[:] = sorted(set(subdirectories) - {".git"})
        for name in sorted(files):
            path = os.path.join(directory, name)
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(path)
                digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def copy_tree(source, directory):
    """Copy a kernel tree, without untracked files. If it is no git repository, the copy is cleaned by make mrproper."""
    if (source / ".git").exists():
        names = subprocess.run(["git", "-c", f"safe.directory={source}", "-C", source, "ls-files", "-z"],
                               env=core.git_environment(), stdout=subprocess.PIPE, check=True).stdout.decode()
        for name in filter(None, names.split("\0")):
            if not os.path.lexists(source / name):
                continue
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, directory / name, follow_symlinks=False)
        return
    shutil.copytree(source, directory, symlinks=True, dirs_exist_ok=True)
    if (directory / ".config").exists() or (directory / "include/generated").is_dir():
        subprocess.run(["make", "-s", "-C", directory, "mrproper"], env={"PATH": os.environ["PATH"]}, check=True)


def fetch_own():
    """The directory of a copy of KERNEL_SRC. It is made if it is missing or KERNEL_SRC has changed."""
    source = check_own()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", source.name)
    directory = SOURCES / f"{bases.OWN}-{name}-{identity(source)}"
    if directory.is_dir():
        check_tree(directory)
        return directory
    core.need_space(core.BUILD, 1800, "a copy of KERNEL_SRC")
    with whole(directory) as tmp:
        if source.is_dir():
            with core.step(f"Copying {given()}"):
                copy_tree(source, tmp)
        else:
            if subprocess.run(["tar", "tf", source], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode:
                raise core.Error(f"KERNEL_SRC={given()} is neither a directory nor a tarball that tar can read")
            with core.step(f"Unpacking {given()}"):
                unpack(source, tmp)
        check_tree(tmp)
    return directory


def fetch(name=None):
    """The directory of the pristine tree: of KERNEL_SRC if it is set, otherwise of the base NAME or of BASE."""
    with core.locked("fetch"):
        return fetch_own() if os.environ.get("KERNEL_SRC") else fetch_base(bases.find(name))


def check():
    """Raise an Error if BASE or KERNEL_SRC is wrong."""
    if os.environ.get("KERNEL_SRC"):
        check_own()
    else:
        bases.find()


def main():
    parser = argparse.ArgumentParser(description="Fetch a base's kernel source.")
    parser.add_argument("base", nargs="?")
    parser.add_argument("--touched", action="store_true", help="only the files that the series edits")
    parser.add_argument("--or-skip", action="store_true", help="count a base that the mirror does not serve as skipped")
    parser.add_argument("--check", action="store_true", help="only check BASE and KERNEL_SRC")
    options = parser.parse_args()
    if options.check:
        check()
    elif options.touched:
        print(fetch_touched(bases.find(options.base)))
    elif options.or_skip:
        try:
            fetch(options.base)
            print("1 passed, 0 failed, 0 skipped")
        except NotServed as missing:
            print(f"skipped: {options.base}: {missing}", "0 passed, 0 failed, 1 skipped", sep="\n")
    else:
        print(fetch(options.base))
