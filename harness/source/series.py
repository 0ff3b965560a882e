# SPDX-License-Identifier: GPL-2.0
"""Make patches/NAME/ from series/NAME/*.msg and the files that they list, for every series.

Usage: harness/do series             write patches/
       harness/do series --check     fail if patches/ differs from what would be written
       harness/do series --mbox NAME print that series as mails in one thread, after a cover letter

A message file is the subject, an empty line, the body, a line "---", then the
paths that the commit carries, one a line: a new file at its kernel path, or
<file>.patch or <file>.<commit>.patch for an edit to <file>. The files of a
series for a newer base are in a directory whose name comes first in the path:
7.2/kernel/signal.c.ahead.patch edits kernel/signal.c.

series/NAME/on has the name of the series that this one stands on, if there is
one. series/NAME/like has the name of a series whose messages this one takes as
they are. It differs in those files that stand below NAME/: 5.10-rt/fs/exec.c.patch
takes the place of fs/exec.c.patch. series/NAME/cover.txt is the cover letter: its subject, an empty line, the
body. The list of the commits and the diffstat are added to it.

SIGNOFF="Name <address>" in the environment adds a Signed-off-by line. Such a
series is written to build/series/NAME/, because the committed one has none.

It needs neither kernel source nor git.
"""

import datetime
import os
import re
import sys

from harness import core

ROOT = core.ROOT
SERIES = ROOT / "series"
PATCHES = ROOT / "patches"

# The author's date of the first patch. Each following patch is dated one minute later.
FIRST_DATE = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.timezone.utc)

# The top-level directories of the kernel that belong to the series here. The
# kernel's samples/ is not among them, because samples/ is this repository's own.
KERNEL_DIRS = """arch block certs crypto Documentation drivers fs include init
    io_uring ipc kernel lib LICENSES mm net scripts security sound tools usr
    virt""".split()

# At such a line in a message, git am would end the message or the mail.
ENDS_MESSAGE = re.compile(r"---|diff -|Index: |From ")

HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def kernel_path(listed):
    """The path in the kernel of a path in the repository: without the directory of a newer base."""
    first, _, rest = listed.partition("/")
    return listed if first in KERNEL_DIRS or not rest else rest


class Change:
    """The change that one commit makes to one kernel file.

    LISTED is the line of the .msg that names its file. TARGET is the kernel file, DIFF the text in the patch, ADDED and
    REMOVED are numbers of lines. A missing or malformed file raises an Error.
    """

    def __init__(self, listed):
        self.listed = listed
        self.source = ROOT / listed
        self.is_edit = listed.endswith(".patch")
        if not self.source.is_file():
            raise core.Error(f"{listed} is listed but does not exist")
        try:
            self.text = self.source.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise core.Error(f"{listed}: not UTF-8 text ({error})") from None
        if self.text and not self.text.endswith("\n"):
            raise core.Error(f"{listed}: no newline at the end")
        self.added = self.removed = 0
        if self.is_edit:
            self.read_edit()
        else:
            self.read_new_file()

    def read_new_file(self):
        """Make the diff that adds the file."""
        self.target = kernel_path(self.listed)
        self.mode = "100755" if os.access(self.source, os.X_OK) else "100644"
        lines = self.text.split("\n")[:-1]
        self.added = len(lines)
        body = ""
        if lines:
            count = "1" if len(lines) == 1 else f"1,{len(lines)}"
            body = (f"--- /dev/null\n+++ b/{self.target}\n"
                    f"@@ -0,0 +{count} @@\n" + "".join(f"+{l}\n" for l in lines))
        # No "index" line: the ids in it would differ from base to base.
        self.diff = (f"diff --git a/{self.target} b/{self.target}\n"
                     f"new file mode {self.mode}\n{body}")

    def read_edit(self):
        """Make the diff of a .patch. Lines before it, and the rest of its headers, are left out."""
        lines = self.text.split("\n")[:-1]
        start = next((i for i, l in enumerate(lines) if l.startswith("--- ")), None)
        if start is None or not lines[start + 1:] or not lines[start + 1].startswith("+++ "):
            raise core.Error(f"{self.listed}: no '---' and '+++' lines, so not a diff")
        self.target = self.edit_target(lines[start + 1][4:].split("\t")[0])
        hunks = lines[start + 2:]
        self.check_hunks(hunks, start + 3)
        self.diff = (f"diff --git a/{self.target} b/{self.target}\n"
                     f"--- a/{self.target}\n+++ b/{self.target}\n"
                     + "".join(f"{l}\n" for l in hunks))

    def edit_target(self, header):
        """The path of the edited file, from the diff's HEADER: the name of the .patch may contain that of a commit."""
        name = kernel_path(self.listed)[:-len(".patch")]
        candidates = {name, name.rpartition(".")[0]}
        for path in (header, header.partition("/")[2]):
            if path and path in candidates:
                return path
        raise core.Error(f"{self.listed}: its diff is for '{header}', which is not what its name says")

    def check_hunks(self, lines, number):
        """Check the lines of the hunks, and count those added and removed. NUMBER is the first line's in the file."""
        old = new = 0
        for number, line in enumerate(lines, number):
            head = HUNK.match(line)
            if old == 0 and new == 0 and line.startswith("\\"):
                continue
            if old == 0 and new == 0:
                if not head:
                    raise core.Error(f"{self.listed}:{number}: expected '@@', found '{line}'"
                                     " (a .patch edits one file, and has nothing after the last hunk)")
                old, new = (int(n) if n else 1 for n in head.groups())
                continue
            kind = line[:1] or " "
            if kind not in " +-\\":
                raise core.Error(f"{self.listed}:{number}: not a line of a diff: '{line}'")
            old -= kind in " -"
            new -= kind in " +"
            self.added += kind == "+"
            self.removed += kind == "-"
            if old < 0 or new < 0:
                raise core.Error(f"{self.listed}:{number}: the hunk is longer than its '@@' line says")
        if old or new:
            raise core.Error(f"{self.listed}: the last hunk is shorter than its '@@' line says")
        if not lines:
            raise core.Error(f"{self.listed}: has no hunks")


class Commit:
    """One .msg file of a series."""

    def __init__(self, path, variants=None):
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        lines = path.read_text(encoding="utf-8").splitlines()
        if "---" not in lines:
            raise core.Error(f"{self.name}: no line '---' before the list of paths")
        cut = lines.index("---")
        message, paths = lines[:cut], lines[cut + 1:]
        while message and not message[-1]:
            message.pop()
        if len(message) < 3 or not message[0] or message[1]:
            raise core.Error(f"{self.name}: a subject, an empty line and a body must come first")
        if not message[0].isascii():
            raise core.Error(f"{self.name}: the subject is not plain ASCII")
        for line in message:
            if ENDS_MESSAGE.match(line):
                raise core.Error(f"{self.name}: git am would end the message at '{line}'")
            if line != line.rstrip():
                raise core.Error(f"{self.name}: white space at the end of '{line}'")
        self.subject, self.body = message[0], "\n".join(message[2:])
        self.listed = [p.strip() for p in paths if p.strip()]
        # The files that this series shares with another one: all but those that have a variant in that directory.
        self.shared = set()
        if variants:
            self.listed = [f"{variants}/{p}" if (ROOT / variants / p).is_file() else p for p in self.listed]
            self.shared = {p for p in self.listed if not p.startswith(f"{variants}/")}
        if not self.listed:
            raise core.Error(f"{self.name}: lists no paths")

    def read_changes(self):
        """Read the listed files. Raises an Error if one is malformed, or if two are for one kernel file."""
        self.changes = sorted((Change(p) for p in self.listed), key=lambda c: c.target)
        targets = [c.target for c in self.changes]
        for target in targets:
            if targets.count(target) > 1:
                raise core.Error(f"{self.name}: lists {target} twice")

    def file_name(self, number):
        """The name that git format-patch would give the patch."""
        slug = re.sub(r"[^A-Za-z0-9._]+", "-", self.subject)
        slug = re.sub(r"\.+", ".", slug).strip("-").rstrip(".-")
        return f"{number:04}-{slug}"[:57] + ".patch"


def names():
    """The names of all series, each after the one that it is on top of."""
    found = sorted(path.name for path in SERIES.iterdir() if path.is_dir())
    return sorted(found, key=lambda name: len(stack(name)))


def stack(name):
    """The names of the series below NAME, the lowest first, and then NAME."""
    if not (SERIES / name).is_dir():
        known = sorted(path.name for path in SERIES.iterdir() if path.is_dir())
        raise core.Error(f"there is no series {name}; known: {' '.join(known)}")
    on = SERIES / name / "on"
    return [*(stack(on.read_text(encoding="utf-8").strip()) if on.exists() else []), name]


def applied(name):
    """The names of the series in the patched tree: the base's own series NAME, and those on top of it."""
    return [other for other in names() if name in stack(other)]


def original(name):
    """The name of the series that has the messages of the series NAME: NAME itself, or the one that it is like."""
    like = SERIES / name / "like"
    return like.read_text(encoding="utf-8").strip() if like.exists() else name


def read_series(name):
    """All commits of a series, in order, without their changes."""
    variants = None if original(name) == name else stack(name)[0]
    commits = [Commit(p, variants) for p in sorted((SERIES / original(name)).glob("[0-9]*.msg"))]
    if not commits:
        raise core.Error(f"no series/{name}/*.msg")
    return commits


def check_owners(stacked):
    """Check that each path belongs to one commit. STACKED has the commits of a series and of those below it."""
    owner = {}
    for commit in stacked:
        for listed in commit.listed:
            if listed in owner:
                raise core.Error(f"{listed} is listed by {owner[listed]} and by {commit.name}:"
                                 " a path belongs to one commit")
            owner[listed] = commit.name


def check_all_listed(commits):
    """Check that the commits list each file in the kernel's directories of this repository."""
    listed = {path for commit in commits for path in commit.listed}
    found = set(ROOT.glob("*.patch"))
    tops = {""} | {path.partition("/")[0] + "/" for path in listed if kernel_path(path) != path}
    for top in (top + directory for top in tops for directory in KERNEL_DIRS):
        found |= {p for p in (ROOT / top).rglob("*") if not p.is_dir()}
    here = {p.relative_to(ROOT).as_posix() for p in found if not is_leftover(p.name)}
    stray = sorted(here - listed)
    if stray:
        raise core.Error("no .msg of series/ lists\n  " + "\n  ".join(stray)
                         + "\nlist it in the commit that it belongs to, or remove it")


def is_leftover(name):
    """Whether a file is an editor's backup or hidden, so not of the series."""
    return name.endswith("~") or (name.startswith(".") and not name.startswith(".gitignore"))


def check_order(commits):
    """Check that no file is edited before the commit that adds it."""
    edited = {}
    for commit in commits:
        for change in commit.changes:
            if change.is_edit:
                edited.setdefault(change.target, commit.name)
            elif change.target in edited:
                raise core.Error(f"{commit.name} adds {change.target}, but an earlier commit edits it:"
                                 f" {edited[change.target]}")


def diffstat(changes):
    """The diffstat in git's format, 80 columns wide. It is not made by git, because its versions differ."""
    counts = {}
    for c in changes:
        added, removed = counts.get(c.target, (0, 0))
        counts[c.target] = added + c.added, removed + c.removed
    most = max(sum(n) for n in counts.values())
    width, digits = max(map(len, counts)), len(str(most))
    room = max(80 - width - digits - 6, 10)

    def scale(n):
        return n if most <= room or n == 0 else 1 + n * (room - 2) // most

    out = []
    for target, (added, removed) in sorted(counts.items()):
        graph = "+" * scale(added) + "-" * scale(removed)
        out.append(f" {target:{width}} | {added + removed:{digits}} {graph}".rstrip())
    added, removed = (sum(n) for n in zip(*counts.values()))
    total = f" {len(counts)} file{'s' * (len(counts) != 1)} changed"
    if added or not removed:
        total += f", {added} insertion{'s' * (added != 1)}(+)"
    if removed or not added:
        total += f", {removed} deletion{'s' * (removed != 1)}(-)"
    out.append(total)
    out += [f" create mode {c.mode} {c.target}" for c in changes if not c.is_edit]
    return "\n".join(out) + "\n"


def head(author, number, total, date, subject, body, thread=""):
    """The head of one mail. THREAD has further header lines."""
    width = len(str(total))
    mime = "" if body.isascii() else ("MIME-Version: 1.0\n"
                                      "Content-Type: text/plain; charset=UTF-8\n"
                                      "Content-Transfer-Encoding: 8bit\n")
    return (f"From {'0' * 40} Mon Sep 17 00:00:00 2001\n"
            f"From: {author}\n"
            f"Date: {date.strftime('%a, %d %b %Y %H:%M:%S %z')}\n"
            f"{thread}"
            f"Subject: [PATCH {number:0{width}}/{total}] {subject}\n{mime}\n")


def message_id(author, name, number):
    """The Message-ID of one mail of the thread. It is unique, and the same each time."""
    domain = author.rpartition("@")[2].rstrip(">")
    return f"<syscall-user-dispatch-{name}-{FIRST_DATE:%Y%m%d%H%M}-{number}@{domain}>"


def with_signoff(body, signoff):
    """The body of a message with the sign-off, unless that is "". An existing block of trailers is continued."""
    if not signoff:
        return body
    last = body.split("\n")[-1]
    gap = "\n" if re.match(r"[A-Z][A-Za-z-]+: ", last) else "\n\n"
    return f"{body}{gap}Signed-off-by: {signoff}"


def read_author():
    """The author of the series, "Name <address>"."""
    return (SERIES / "author").read_text(encoding="utf-8").strip()


class Series:
    """The patches of one series, checked together with the series below it."""

    def __init__(self, name, signoff=""):
        self.name, self.signoff, self.author = name, signoff, read_author()
        below = [commit for lower in stack(name)[:-1] for commit in read_series(lower)]
        self.commits = read_series(name)
        # Its dates come after those of the series below.
        self.begin = FIRST_DATE + datetime.timedelta(minutes=len(below))
        check_owners(below + self.commits)
        for commit in below + self.commits:
            commit.read_changes()
        check_order(below + self.commits)

    def patch(self, number, thread=""):
        """The text of one patch, a mail. NUMBER counts from 1."""
        commit = self.commits[number - 1]
        body = with_signoff(commit.body, self.signoff)
        date = self.begin + datetime.timedelta(minutes=number - 1)
        return (head(self.author, number, len(self.commits), date, commit.subject, body, thread)
                + f"{body}\n---\n{diffstat(commit.changes)}\n"
                + "".join(c.diff for c in commit.changes))

    def files(self):
        """{file name: text} of the series' directory."""
        files = {c.file_name(n): self.patch(n) for n, c in enumerate(self.commits, 1)}
        files["series"] = ("# In the order in which they apply; each is a mail for git am.\n"
                           + "".join(f"{name}\n" for name in files))
        return files

    def cover_letter(self, thread):
        """The text of the cover letter, a mail. THREAD has further header lines."""
        cover = SERIES / self.name / "cover.txt"
        if not cover.exists():
            raise core.Error(f"{core.shown(cover)} is missing: mails need a cover letter")
        subject, _, body = cover.read_text(encoding="utf-8").strip().partition("\n")
        if not body.startswith("\n") or not subject.isascii():
            raise core.Error(f"{core.shown(cover)}: must have a subject in plain ASCII, an empty line and a body")
        subjects = "\n".join(f"  {c.subject}" for c in self.commits)
        changes = sorted((ch for c in self.commits for ch in c.changes), key=lambda c: c.target)
        return (head(self.author, 0, len(self.commits), self.begin, subject, body, thread)
                + f"{body.strip()}\n\n{subjects}\n\n{diffstat(changes)}")

    def mbox(self):
        """The text of all mails: the cover letter, and the patches as replies to it."""
        first = message_id(self.author, self.name, 0)
        mails = [self.cover_letter(f"Message-ID: {first}\n")]
        for number in range(1, len(self.commits) + 1):
            thread = (f"Message-ID: {message_id(self.author, self.name, number)}\n"
                      f"In-Reply-To: {first}\nReferences: {first}\n")
            mails.append(self.patch(number, thread))
        return "\n".join(mails)


def write(directory, files):
    """Make a directory contain exactly these files. Files that are the same are not written."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        if old.name not in files:
            old.unlink()
    for name, text in files.items():
        path = directory / name
        data = text.encode()
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)


def differences(name, files):
    """The differences between patches/NAME and the generated files."""
    directory = PATCHES / name
    there = {p.name: p.read_bytes() for p in directory.iterdir()} if directory.is_dir() else {}
    return ([f"{name}/{n} is missing" for n in sorted(files.keys() - there.keys())]
            + [f"{name}/{n} does not belong to the series" for n in sorted(there.keys() - files.keys())]
            + [f"{name}/{n} differs" for n in sorted(files.keys() & there.keys()) if files[n].encode() != there[n]])


def read_all(signoff=""):
    """All series, checked. Raises an Error also if no .msg lists a file."""
    found = [Series(name, signoff) for name in names()]
    check_all_listed([commit for series in found for commit in series.commits])
    return found


def patches(name):
    """The paths of the patches of the series NAME and of those on top of it, in order."""
    found = []
    for each in applied(name):
        order = PATCHES / each / "series"
        if not order.is_file():
            raise core.Error(f"{core.shown(order)} is missing; run: make series")
        lines = order.read_text(encoding="utf-8").splitlines()
        found += [order.with_name(line) for line in lines if not line.startswith("#")]
    return found


def touched(name):
    """The kernel files that these patches edit. They include new files of the series that a later patch edits."""
    found = set()
    for patch in patches(name):
        found.update(re.findall(r"^--- a/(.*)$", patch.read_text(encoding="utf-8"), re.M))
    return sorted(found)


def main():
    arguments = sys.argv[1:]
    signoff = os.environ.get("SIGNOFF", "")
    if signoff and not re.fullmatch(r"[^<>]+ <[^<>\s]+@[^<>\s]+>", signoff):
        raise core.Error(f"SIGNOFF='{signoff}' is not of the form 'Name <address>'")
    if arguments == ["--check"]:
        wrong = [line for series in read_all() for line in differences(series.name, series.files())]
        wrong += [f"{p.name} does not belong to any series" for p in sorted(PATCHES.iterdir()) if p.name not in names()]
        if wrong:
            raise core.Error("patches/ is not what series/ and the files that it lists generate:\n  "
                             + "\n  ".join(wrong) + "\nrun: make series")
    elif len(arguments) == 2 and arguments[0] == "--mbox":
        sys.stdout.reconfigure(encoding="utf-8")
        print(Series(arguments[1], signoff).mbox(), end="")
    elif arguments:
        raise core.Error("usage: harness/do series [--check|--mbox NAME]")
    else:
        place = core.BUILD / "series" if signoff else PATCHES
        for series in read_all(signoff):
            write(place / series.name, series.files())
            core.say(f"{core.shown(place)}/{series.name}: {len(series.commits)} patches"
                     + (f", signed off by {signoff}" if signoff else ""))
        if signoff:
            core.say("patches/ carries no sign-off and stays as it is")
