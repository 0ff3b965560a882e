# SPDX-License-Identifier: GPL-2.0
"""Write edits in build/<base>/tree back into the repository.

Usage: harness/do refresh

Each file that the .msg files of the base's series list is written from the
tree: a new file whole, an edit of an existing file as a .patch at its path. If
several commits edit one file, the states between them come from the commits on
the branch. The files in the directory, committed or not, are the state after
the last commit. A series that is like another one (series/NAME/like) writes only
the files below its own directory; an edit of any other file is an error. Then patches/ is generated, and the tree is made from it again,
which changes none of its files.
"""

import os
import re
import sys

from harness import core
from harness.source import series
from harness.source.git import git
from harness.source.tree import Tree


def targets(commit, tree):
    """{kernel file: listed path} of one .msg. The tree must have the kernel files; the listed files may be missing."""
    found = {}
    for listed in commit.listed:
        target = series.kernel_path(listed)
        if listed.endswith(".patch"):
            name = target[:-len(".patch")]
            # If the tree has no file of this name, its end is the short name of a commit.
            target = name if (tree.place / name).is_file() else name.rpartition(".")[0]
        if not (tree.place / target).is_file():
            raise core.Error(f"{commit.name} lists {listed}, but {tree.shown} has no {target}")
        found[target] = listed
    return found


def match_commits(messages, tree):
    """{name of the .msg: commit id} of the commits in the tree, found by their subjects.

    The commits must be in the order of the series. A .msg may have no commit yet. Otherwise raises an Error.
    """
    ids, left = {}, list(messages)
    for line in git("log", "--reverse", "--format=%H %P%x00%s", "base..HEAD").splitlines():
        hashes, _, subject = line.partition("\0")
        commit, *parents = hashes.split()
        if len(parents) != 1:
            raise core.Error(f"{tree.shown}: {commit[:12]} '{subject}' is a merge; a series cannot contain one")
        while left and left[0].subject != subject:
            left.pop(0)
        if not left:
            raise core.Error(f"{tree.shown}: no .msg of the series is left for commit {commit[:12]} '{subject}'.\n"
                             "Write one (subject, body, ---, paths), or squash the commit into another:\n"
                             f"  git -C {tree.shown} rebase -i --autosquash base")
        ids[left.pop(0).name] = commit
    return ids


def edit(before, after, target, listed):
    """The text of a .patch for the kernel file TARGET. AFTER is a commit, or None for the files in the directory."""
    out = git("diff", "-U3", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
              "--diff-algorithm=myers", "--indent-heuristic", "--src-prefix=a/", "--dst-prefix=b/",
              before, *([after] if after else []), "--", target, strip=False)
    start = out.find("\n--- ") + 1
    if not start:
        raise core.Error(f"{listed}: the tree no longer edits {target}; remove the file, and its line in the .msg")
    return out[start:]


def texts_of(messages, commits, carried, last, tree):
    """{listed path: (text, whether it is executable; None for a .patch)}.

    COMMITS is the result of match_commits(), CARRIED[.msg] that of targets(). LAST[kernel file] is the last .msg that
    carries the file.
    """
    texts, state = {}, {}
    for message in messages:
        for target, listed in carried[message.name].items():
            after = None if last[target] == message.name else commits.get(message.name)
            if after is None and last[target] != message.name:
                raise core.Error(f"{message.name} has no commit in {tree.shown}, and a later one edits {target} too:"
                                 " commit its part there")
            if listed.endswith(".patch"):
                texts[listed] = edit(state.get(target, "base"), after, target, listed), None
            elif after:
                mode = git("ls-tree", after, "--", target).split()[0]
                texts[listed] = git("show", f"{after}:{target}", strip=False), mode == "100755"
            else:
                path = tree.place / target
                texts[listed] = path.read_text(encoding="utf-8"), os.access(path, os.X_OK)
            state[target] = after
    return texts


def check_shared(messages, texts, tree):
    """Check that the tree does not edit the files that its series shares with another one. The numbers of lines may differ."""
    def content(text):
        return re.sub(r"^@@ .*", "@@", text, flags=re.M)

    shared = [listed for message in messages for listed in message.shared]
    wrong = sorted(listed for listed in shared if content(texts[listed][0]) != content((core.ROOT / listed).read_text(encoding="utf-8")))
    if wrong:
        raise core.Error(f"{tree.shown} has edits to files that another base shares:\n  " + "\n  ".join(wrong)
                         + f"\nEdit them in the tree of that base. If they are for this base only, copy each file to {tree.line()}/ first.")
    return {listed: text for listed, text in texts.items() if listed not in shared}


def write(texts):
    """Write the texts that differ from the files of the repository; returns their number."""
    written = 0
    for listed, (text, executable) in texts.items():
        path = core.ROOT / listed
        if not path.exists() or path.read_bytes() != text.encode():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
            core.say(f"  {listed}")
            written += 1
        if executable is not None and os.access(path, os.X_OK) != executable:
            path.chmod(0o755 if executable else 0o644)
    return written


def main():
    if len(sys.argv) > 1:
        raise core.Error("usage: harness/do refresh")
    tree = Tree()
    if not tree.stamp.exists() or tree.moving.exists():
        raise core.Error(f"{tree.shown} does not exist or is not complete; run: make tree")
    messages = [commit for name in series.applied(tree.line()) for commit in series.read_series(name)]
    commits = match_commits(messages, tree)
    carried = {message.name: targets(message, tree) for message in messages}
    last = {target: message.name for message in messages for target in carried[message.name]}

    changed = set(git("diff", "--name-only", "--no-renames", "base").splitlines())
    changed |= set(git("ls-files", "--others").splitlines())
    stray = sorted(changed - last.keys())
    if stray:
        raise core.Error(f"{tree.shown} has edits to files that no .msg of the series lists:\n  " + "\n  ".join(stray)
                         + "\nList <file>.patch (a new file: its path) in the .msg of the commit it belongs to,"
                         " or undo the edit")
    # All texts first, so that an error leaves the repository as it was.
    written = write(check_shared(messages, texts_of(messages, commits, carried, last, tree), tree))
    core.say(f"{written} files of the series are refreshed")
    for command in ("series", "tree"):
        core.run(command, env={name: value for name, value in os.environ.items() if name != "SIGNOFF"})
