# SPDX-License-Identifier: GPL-2.0
"""Take edits made in build/tree over into the repository.

Usage: refresh

Every file that series/*.msg lists is written anew from build/tree: a new file
whole, an edit to an existing file as the .patch beside where it would be.
Where several commits edit one file, the state between them is that of the
commits on the branch; what is in the directory, committed or not, belongs to
the last of them. patches/5.10/ is then generated, and build/tree made to be
its result, which changes none of its files.
"""

import os
import subprocess
import sys

from harness import core
from harness.source import series


TREE = series.BUILD / "tree"

# As harness/lib.sh has it: the user's own configuration must not shape the diffs.
GIT = ["git", "-C", str(TREE), "-c", "core.quotePath=false"]
ENV = core.git_environment() | {"LC_ALL": "C"}


def git(*args):
    done = subprocess.run(GIT + list(args), env=ENV, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise core.Error(f"git {args[0]} failed in build/tree; its message stands above")
    return done.stdout.decode()


def targets(commit):
    """{kernel file: path listed} of one .msg. What is listed need not exist yet."""
    found = {}
    for listed in commit.listed:
        target = listed
        if listed.endswith(".patch"):
            name = listed[:-len(".patch")]
            without_topic = name.rpartition(".")[0]
            # A topic is known by the file being there without it.
            target = name if (TREE / name).is_file() else without_topic
        if not (TREE / target).is_file():
            raise core.Error(f"{commit.name} lists {listed}, but build/tree has no {target}")
        found[target] = listed
    return found


def match_commits(messages):
    """{name of the .msg: commit id}, by subject, in order."""
    ids = {}
    left = list(messages)
    for line in git("log", "--reverse", "--format=%H %P%x00%s", "base..HEAD").splitlines():
        name, _, subject = line.partition("\0")
        commit, *parents = name.split()
        if len(parents) != 1:
            raise core.Error(f"build/tree: {commit[:12]} '{subject}' is a merge; the series has none")
        while left and left[0].subject != subject:
            left.pop(0)
        if not left:
            raise core.Error(f"build/tree: no series/*.msg is left for commit {commit[:12]} '{subject}'.\n"
                        "Write one (subject, body, ---, paths), or squash the commit into another:\n"
                        "  git -C build/tree rebase -i --autosquash base")
        ids[left.pop(0).name] = commit
    return ids


def edit(before, after, target, listed):
    """The text of a .patch. AFTER is a commit, or None for what is in the directory."""
    out = git("diff", "-U3", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
              "--diff-algorithm=myers", "--indent-heuristic", "--src-prefix=a/", "--dst-prefix=b/",
              before, *([after] if after else []), "--", target)
    start = out.find("\n--- ") + 1
    if not start:
        raise core.Error(f"{listed}: in build/tree nothing of {target} is changed there any more;"
                    " take it off its series/*.msg and remove it")
    return out[start:]


def main():
    if len(sys.argv) > 1:
        sys.exit(__doc__.split("\n\n")[1])
    if not (TREE / ".git" / "harness-stamp").exists() or (TREE / ".git" / "harness-moving").exists():
        raise core.Error("build/tree is not made, or half made; run: make tree")
    messages = series.read_series()
    commits = match_commits(messages)
    carried = {m.name: targets(m) for m in messages}
    last = {t: m.name for m in messages for t in carried[m.name]}

    changed = set(git("diff", "--name-only", "--no-renames", "base").splitlines())
    changed |= set(git("ls-files", "--others").splitlines())
    stray = sorted(changed - last.keys())
    if stray:
        raise core.Error("build/tree has edits to files that no series/*.msg lists:\n  " + "\n  ".join(stray)
                    + "\nList <file>.patch (a new file: its path) in the .msg of the commit it belongs to,"
                    " or undo the edit")

    # All texts first, so that an error leaves the repository as it was.
    texts = {}
    state = {}
    for message in messages:
        for target, listed in carried[message.name].items():
            after = None if last[target] == message.name else commits.get(message.name)
            if after is None and last[target] != message.name:
                raise core.Error(f"{message.name} has no commit in build/tree, and a later one edits {target} too:"
                            " commit its part there")
            if listed.endswith(".patch"):
                texts[listed] = edit(state.get(target, "base"), after, target, listed), None
            elif after:
                mode = git("ls-tree", after, "--", target).split()[0]
                texts[listed] = git("show", f"{after}:{target}"), mode == "100755"
            else:
                path = TREE / target
                texts[listed] = path.read_text(encoding="utf-8"), os.access(path, os.X_OK)
            state[target] = after

    written = 0
    for listed, (text, executable) in texts.items():
        path = series.ROOT / listed
        old = path.read_bytes() if path.exists() else None
        if old != text.encode():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
            print(f"  {listed}", file=sys.stderr)
            written += 1
        if executable is not None and os.access(path, os.X_OK) != executable:
            path.chmod(0o755 if executable else 0o644)
    print(f"{written} files of the series are refreshed", file=sys.stderr)

    for step in ("series", "tree"):
        core.run(step, env={k: v for k, v in os.environ.items() if k != "SIGNOFF"})
