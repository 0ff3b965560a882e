# SPDX-License-Identifier: GPL-2.0
"""Kernels that Debian built, as packages from the mirror that this machine uses."""

import re
import shutil
import subprocess

from harness import core
from harness.packages import apt


def fetch(directory, suite, metapackage, version, *modules):
    """Fetch the newest kernel of a suite: DIRECTORY/vmlinuz, its name in DIRECTORY/package, and MODULE.ko of each module.

    Its version must begin with VERSION. If the mirror cannot be reached, an earlier download is used. Raises an Error
    if there is none, or if the suite has another version.
    """
    remedy = (f"The kernel '{directory.name}' comes from {suite}."
              " If a key is missing, install a newer debian-archive-keyring.")
    name = directory / "package"
    there = name.read_text(encoding="utf-8").strip() if name.is_file() else ""
    try:
        apt.lists(suite, "amd64", remedy)
    except core.Error as error:
        if not there:
            raise
        core.say(f"* {error}", f"* Using the earlier download {there}, although there may be a newer one.")
        return
    # The metapackage depends on the image of the suite's own kernel. A newer kernel is split into three packages.
    meta = apt.show(suite, "amd64", metapackage)
    image = re.search(r"linux-image-\d[^ ,]*", meta.get("Depends", ""))
    found = meta.get("Version", "")
    if not image or not found.startswith(version):
        raise core.Error(f"{suite} has {metapackage} {found or '(none)'}, but {version or '(any)'} is needed")
    package = f"{image[0]}_{found}"
    if there == package:
        return
    parts = re.findall(r"linux-(?:binary|modules)-[^ ,]+", apt.show(suite, "amd64", image[0]).get("Depends", ""))
    core.need_space(core.BUILD, 400, "a kernel of Debian's")
    download = directory.with_name(directory.name + ".download")
    with core.step(f"Downloading Debian's kernel {package} (about 100 MB at most)"):
        apt.download(suite, "amd64", download / package, remedy, image[0], *parts)
    with core.step("Unpacking it"):
        unpack(directory, package, download / package, modules)
    shutil.rmtree(download)


def unpack(directory, package, packages, modules):
    """Unpack the kernel and its modules from the files in the directory PACKAGES."""
    tmp = directory.with_name(directory.name + ".tmp")
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    # The path depends on the version: newer packages have /usr/lib/modules/VERSION/vmlinuz.
    wanted = re.compile("/(vmlinuz[^/]*|(%s)\\.ko(\\.xz)?)$" % "|".join(map(re.escape, modules)))
    for deb in packages.glob("*.deb"):
        names = [name for name in apt.members(deb) if wanted.search(name)]
        if names:
            apt.unpack(deb, tmp, *names, strip=True)
    for image in tmp.glob("vmlinuz-*"):
        image.rename(tmp / "vmlinuz")
    for file in tmp.glob("*.ko.xz"):
        subprocess.run(["xz", "-d", file], check=True)
    for file in ("vmlinuz", *(f"{module}.ko" for module in modules)):
        if not (tmp / file).is_file():
            raise core.Error(f"{package} has no {file}")
    (tmp / "package").write_text(f"{package}\n", encoding="utf-8")
    shutil.rmtree(directory, ignore_errors=True)
    tmp.rename(directory)
