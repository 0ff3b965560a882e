# SPDX-License-Identifier: GPL-2.0
"""Make Debian trixie's Wine in build/wine, from the mirror of Debian that this machine uses.

build/wine/root is a root file system with Wine and its libraries.
build/wine/ntdll.so is built with the patches of samples/wine. A step is
repeated only if its inputs changed.

Usage: harness/do wine-build
"""

import hashlib
import os
import re
import shutil
import sys

from harness import core
from harness.packages import apt
from harness.wine.host import PLACE, Wine, logged, once

SUITE = "trixie"
# The patches are for this version.
WANTED = "10.0~repack-"
# Wine, and the libraries that it and its ntdll.so are linked with. zlib1.dll is a Windows library.
PACKAGES = ("wine64", "libwine", "libc6", "libgcc-s1", "libunwind8", "liblzma5", "libz-mingw-w64")
REMEDY = f"Wine comes from Debian's {SUITE}. Another way: make wine WINE=<installation of Wine 11.5 or later>"
# They apply in this order.
PATCHES = [core.ROOT / "samples/wine" / name for name in ("ntdll.patch", "ntdll-direct.patch")]
MODULES = "/usr/lib/x86_64-linux-gnu/wine"
# The paths of Debian's package. Wine derives from them where its other files are.
CONFIGURE = ["--bindir=/usr/lib/wine", f"--libdir={MODULES}", "--datarootdir=/usr/share/wine", "--enable-win64",
             "--disable-tests", "--without-mingw", "--without-x", "--without-freetype"]
ROOT, DOWNLOAD, SOURCE, NTDLL = PLACE / "root", PLACE / "download", PLACE / "src", PLACE / "ntdll.so"
DOWNLOADED = PLACE / "downloaded"


def versions():
    """{package: version} in the suite. If the mirror does not answer, those of the earlier download, or an Error."""
    try:
        apt.lists(SUITE, "amd64", REMEDY, sources=True)
    except core.Error as error:
        if not DOWNLOADED.is_file():
            raise
        core.say(f"* {error}", f"* Using the Wine in {PLACE}; a newer one may exist.")
        return dict(line.split("=", 1) for line in DOWNLOADED.read_text(encoding="utf-8").splitlines())
    found = {package: apt.show(SUITE, "amd64", package).get("Version") for package in PACKAGES}
    for package, version in found.items():
        if not version:
            raise core.Error(f"{SUITE} has no package {package}. {REMEDY}")
    return found


def download(packages):
    """Download Wine, its libraries and its source. PACKAGES is {package: version}."""
    core.need_space(PLACE, 4000, "Wine, its source and a prefix")
    version = packages["libwine"]
    with core.step(f"Downloading Debian's Wine {version} and its source (150 MB)"):
        shutil.rmtree(DOWNLOAD, ignore_errors=True)
        apt.download(SUITE, "amd64", DOWNLOAD, REMEDY, *(f"{name}={number}" for name, number in packages.items()))
        # Binary packages that were rebuilt (+bN) have the source of the version without +bN.
        apt.download_source(SUITE, "amd64", DOWNLOAD, REMEDY, f"wine={version.partition('+b')[0]}")


def unpack():
    """Make the root file system ROOT from the packages."""
    shutil.rmtree(ROOT, ignore_errors=True)
    for name in ("proc", "dev", "tmp", "root", "prefix", "usr/bin"):
        (ROOT / name).mkdir(parents=True)
    for deb in sorted(DOWNLOAD.glob("*.deb")):
        apt.unpack(deb, ROOT)
    # These links are in Debian's base-files, which is not downloaded.
    for name in ("bin", "lib", "lib64"):
        if not os.path.lexists(ROOT / name):
            (ROOT / name).symlink_to(f"usr/{name}")


def placeholders():
    """Make empty files for the sources that Debian's package leaves out.

    ntdll.so does not need them, but Wine's makedep reads all sources.
    """
    def text(name):
        return (SOURCE / name).read_text(encoding="utf-8", errors="replace")

    excluded = re.search(r"^Files-Excluded:.*?^[A-Z][A-Za-z-]*: ", text("debian/copyright"), re.M | re.S)
    names = re.findall(r"^ ([^*\n]*)$", excluded[0], re.M) if excluded else []
    names += ["include/wine/wgl.h", "include/wine/wgl_driver.h"]
    names += [f"nls/{name}" for name in re.findall(r"[a-z0-9_]+\.nls", text("nls/Makefile.in"))]
    # debian/rules makes these pictures, as links to others.
    names += re.findall(r"^\tln -sf .*\.svg (.*\.svg)$", text("debian/rules"), re.M)
    for name in names:
        if not (SOURCE / name).exists():
            (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
            (SOURCE / name).touch()


def configure():
    """Yield the commands that unpack and configure the source."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    yield ["dpkg-source", "--no-copy", "-x", next(DOWNLOAD.glob("wine_*.dsc")), SOURCE]
    inside = ["env", "-C", SOURCE]
    yield [*inside, "./tools/make_requests"]
    yield [*inside, "./tools/make_specfiles"]
    yield ["ln", "-sf", "/usr/share/misc/config.sub", "/usr/share/misc/config.guess", SOURCE / "tools"]
    yield [*inside, "autoconf"]
    yield [*inside, "autoheader"]
    placeholders()
    yield [*inside, "./configure", *CONFIGURE]


def compile_ntdll():
    """Yield the commands that patch the source and build ntdll.so. They drop any other edit of the patched files."""
    text = "".join(patch.read_text(encoding="utf-8") for patch in PATCHES)
    for name in set(re.findall(r"^\+\+\+ b/(.*)$", text, re.M)):
        file, pristine = SOURCE / name, SOURCE / f"{name}.pristine"
        if not pristine.exists():
            shutil.copy2(file, pristine)
        shutil.copy(pristine, file)
    for patch in PATCHES:
        yield ["patch", "-d", SOURCE, "-p1", "--fuzz=0", "--no-backup-if-mismatch", "-i", patch]
    yield ["make", "-C", SOURCE, f"-j{len(os.sched_getaffinity(0))}", "dlls/ntdll/ntdll.so"]
    yield ["install", SOURCE / "dlls/ntdll/ntdll.so", f"{NTDLL}.tmp"]
    yield ["mv", f"{NTDLL}.tmp", NTDLL]


def step(text, name, message, commands):
    """Run the commands of a step, with the log PLACE/NAME.log. A failure raises an Error with MESSAGE."""
    log = PLACE / f"{name}.log"
    with core.step(f"{text} (log: {log})"):
        logged(log, message, commands())


def build():
    """Make all of it, unless it is up to date. Returns Debian's Wine, without the patches."""
    with core.locked("wine-build"):
        PLACE.mkdir(parents=True, exist_ok=True)
        packages = versions()
        version = packages["libwine"]
        if not version.startswith(WANTED):
            raise core.Error(f"{SUITE} has Wine {version}; the patches of samples/wine are for {WANTED}*. {REMEDY}")
        listed = "".join(f"{package}={number}\n" for package, number in packages.items())
        once(DOWNLOADED, listed, lambda: download(packages))

        def unpacked():
            with core.step("Unpacking Wine"):
                unpack()

        once(PLACE / "unpacked", listed, unpacked)
        once(PLACE / "configured", f"{version}\n", lambda: step(
            "Configuring Wine's source", "configure", f"the source of Wine {version} cannot be configured", configure))
        digest = hashlib.sha256(b"\n".join([version.encode(), *(patch.read_bytes() for patch in PATCHES)])).hexdigest()
        once(PLACE / "built", digest, lambda: step(
            "Building ntdll.so with the patches of samples/wine", "compile",
            f"ntdll.so of Wine {version} does not build with the patches of samples/wine", compile_ntdll))
    return Wine(f"Debian's Wine {version}", ROOT, "/usr/lib/wine/wine64", "/usr/lib/wine/wineserver64",
                f"{MODULES}/x86_64-unix", "/usr/share/wine", "/prefix", PLACE / "debian")


def main():
    if sys.argv[1:]:
        raise core.Error("usage: harness/do wine-build")
    build()
