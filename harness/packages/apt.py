# SPDX-License-Identifier: GPL-2.0
"""Debian's packages of any suite and architecture, from the mirror that this machine uses.

The package lists are private, in build/apt/SUITE-ARCHITECTURE: the machine's own apt
stays as it is. The argument REMEDY ends an error message: it tells users without such
a mirror what to do instead.
"""

import functools
import os
import re
import shutil
import subprocess

from harness import core

KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"


@functools.cache
def repositories():
    """The repositories of Debian that this machine uses: [(kind, URI)], where the kind is archive or security.

    Without package lists on the machine, indextargets prints nothing. Then the URIs of an update are used.
    """
    def printed(*command):
        return subprocess.run(["apt-get", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=os.environ | {"LC_ALL": "C"}, check=False).stdout

    found = []
    for line in printed("indextargets", "--format", "$(ORIGIN) $(RELEASE) $(REPO_URI)", "Created-By: Packages").splitlines():
        origin, *rest = line.split()
        if origin == "Debian" and len(rest) == 2:
            found.append(rest)
    for match in re.finditer(r"^'([^']*/debian[^/']*/)dists/([^']*)/InRelease'", printed("update", "--print-uris"), re.M):
        found.append((match[2], match[1]))
    return list(dict.fromkeys(("security" if re.search(r"security|/updates$", suite) else "archive", uri) for suite, uri in found
                              if not re.search(r"backports|proposed", suite) and not re.match(r"(cdrom|copy):", uri)))


def repository(suite):
    """The URI of the repository with a suite, "" if there is none.

    A mirror of Debian commonly has the security archive next to the main one.
    """
    def first(kind):
        return next((uri for one, uri in repositories() if one == kind), "")

    archive = first("archive")
    if not suite.endswith("-security"):
        return archive
    return first("security") or archive and archive.removesuffix("/debian/") + "/debian-security/"


def shown(uri):
    """A URI without the password that apt's configuration may have in it."""
    return re.sub("//[^/]*@", "//", uri)


def private(suite, architecture, command, *arguments, **options):
    """Run apt-get or apt-cache on the private lists of a suite; returns the finished process.

    Some suites are old: their Release files may have expired.
    """
    place = core.BUILD / "apt" / f"{suite}-{architecture}"
    return subprocess.run(
        [command, "-q=2", "-o", f"Dir::Etc::SourceList={place}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
         "-o", f"Dir::State::Lists={place}/lists", "-o", "Dir::State::status=/dev/null", "-o", f"Dir::Cache={place}/cache",
         "-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures={architecture}",
         "-o", f"APT::Architectures::={architecture}", "-o", "Acquire::Check-Valid-Until=false",
         "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=5", "-o", "APT::Sandbox::User=root", *arguments],
        env=os.environ | {"LC_ALL": "C"}, check=False, **options)


def lists(suite, architecture, remedy, sources=False):
    """Read the package lists of a suite, with SOURCES also those of source packages. Raises an Error if it fails."""
    if not shutil.which("apt-get"):
        raise core.Error(f"this machine has no apt-get to fetch Debian's packages with. {remedy}")
    uri = repository(suite)
    if not uri:
        raise core.Error(f"apt's configuration on this machine names no mirror of Debian ({suite}). {remedy}")
    place = core.BUILD / "apt" / f"{suite}-{architecture}"
    for name in ("lists", "cache/archives"):
        (place / name / "partial").mkdir(parents=True, exist_ok=True)
    (place / "sources.list").write_text("".join(
        f"{kind} [arch={architecture} signed-by={KEY}] {uri} {suite} main\n" for kind in ("deb", "deb-src")[:1 + sources]),
        encoding="utf-8")
    if private(suite, architecture, "apt-get", "update", "-o", "APT::Update::Error-Mode=any", stdout=2).returncode:
        raise core.Error(f"the package lists of {suite} ({architecture}) cannot be read from {shown(uri)}; apt's message stands"
                         f" above. No network, or the mirror does not carry this suite. {remedy}")


def show(suite, architecture, package):
    """The fields of the newest version of a package in the lists: {name: text}, empty if there is none."""
    text = private(suite, architecture, "apt-cache", "show", "--no-all-versions", package,
                   stdout=subprocess.PIPE, text=True).stdout
    return dict(re.findall(r"^([A-Za-z-]+): (.*)$", text, re.M))


def versions(suite, architecture, package):
    """The versions of a package in the lists, the newest first."""
    text = private(suite, architecture, "apt-cache", "show", package, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return re.findall(r"^Version: (.*)$", text, re.M)


def fetch(suite, architecture, directory, remedy, name, *arguments):
    """Run apt-get with these arguments in a directory. NAME is what the Error calls the download."""
    directory.mkdir(parents=True, exist_ok=True)
    if private(suite, architecture, "apt-get", *arguments, cwd=directory, stdout=2).returncode:
        raise core.Error(f"{name} cannot be downloaded from the mirror of {suite}; apt's message stands above."
                         f" {remedy}")


def download(suite, architecture, directory, remedy, *packages):
    """Download packages (PACKAGE or PACKAGE=VERSION) into a directory, by the lists that lists() read."""
    fetch(suite, architecture, directory, remedy, " ".join(packages), "download", *packages)


def download_source(suite, architecture, directory, remedy, package):
    """Download the source of PACKAGE=VERSION into a directory, without unpacking it."""
    fetch(suite, architecture, directory, remedy, f"the source of {package}", "source", "--download-only", package)


def unpack(package, directory, *names, strip=False):
    """Unpack the files NAMES of a package file into a directory; without names, all files.

    STRIP: without their directories. Raises an Error if the package lacks one of the files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    command = ["tar", "x", "-C", directory, *(["--transform", "s,.*/,,"] if strip else []), *names]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as content:
        if subprocess.run(command, stdin=content.stdout, stderr=subprocess.DEVNULL, check=False).returncode:
            raise core.Error(f"{package.name} cannot be unpacked, or lacks {' '.join(names)}")


def members(package):
    """The names of the files in a package file, as unpack() takes them."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as content:
        return subprocess.run(["tar", "t"], stdin=content.stdout, stdout=subprocess.PIPE, text=True,
                              check=True).stdout.splitlines()
