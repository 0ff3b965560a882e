# SPDX-License-Identifier: GPL-2.0
"""Build the HTML of the kernel's administrator's guide, by the kernel's own "make htmldocs".

It fails if Sphinx warns about a file of the series. (Sphinx is newer than the
kernel and also warns about other files.) Only the guide's directory is built, so
Sphinx cannot resolve references to documents elsewhere. htmldocs.py checks that
these exist.

The result is build/<base>/htmldocs/Documentation/output/admin-guide/.

Usage: harness/do htmldocs
"""

import re
import subprocess

from harness import core
from harness.source import base as bases
from harness.source import series

OUT = core.built("htmldocs")
OUTPUT = OUT / "Documentation/output"
LOG = OUT / "log"
TREE = core.built("tree")
# In conf.py, older kernels set style sheets in a way that makes a newer Sphinx drop those of the theme.
CONFIGURATION = """tags.add("subproject")
html_context = {}
html_css_files = ["theme_overrides.css"]
"""
UNKNOWN = re.compile(r"WARNING: unknown document: '?/([^']*?)'?$")


def build(documents):
    """Run Sphinx; raises an Error if it fails. It must read these documents again to warn about them."""
    for document in documents:
        (OUTPUT / ".doctrees" / document).with_suffix(".doctree").unlink(missing_ok=True)
    (OUT / "conf.py").write_text(CONFIGURATION, encoding="utf-8")
    with open(LOG, "wb") as log:
        # The kernel's makefiles call "python" by default. SPHINX_CONF is relative to the guide's directory.
        done = subprocess.run(["make", "-C", TREE, f"O={OUT}", "PYTHON=python3", "SPHINXDIRS=admin-guide",
                               "SPHINX_CONF=../../../htmldocs/conf.py", "htmldocs"],
                              stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        core.say(*LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        raise core.Error(f"make htmldocs failed; see the end of {core.shown(LOG)} above")


def problems(document, log):
    """The errors in a document. DOCUMENT is a path below Documentation/, LOG the lines of Sphinx's log."""
    found = []
    for line in log:
        if f"/Documentation/{document}:" not in line:
            continue
        unknown = UNKNOWN.search(line)
        if not unknown or not (TREE / "Documentation" / f"{unknown[1]}.rst").is_file():
            found.append(line)
    if not (OUTPUT / document).with_suffix(".html").is_file():
        found.append("Sphinx made no page of it")
    return found


def main():
    core.need_command("sphinx-build")
    core.run("tree")
    OUT.mkdir(parents=True, exist_ok=True)
    core.lock("htmldocs")
    core.need_space(OUT, 200, "the HTML of the documentation")
    text = "".join(patch.read_text(encoding="utf-8") for patch in series.patches(bases.find().series))
    documents = sorted(set(re.findall(r"^\+\+\+ b/Documentation/(.*\.rst)$", text, re.M)))
    if not documents:
        raise core.Error("the series has no document")
    with core.step(f"Building the documentation (log: {core.shown(LOG)})"):
        build(documents)
    log = LOG.read_text(encoding="utf-8", errors="replace").splitlines()
    results = {f"Documentation/{document}": problems(document, log) for document in documents}
    # Sphinx does not report a path that it cannot turn into a link.
    lines = "\n".join(re.findall(r"^\+(?!\+\+)(.*)$", text, re.M))
    named = set(re.findall(r"Documentation/[A-Za-z0-9_./-]+\.rst", lines))
    results["the documents that the series refers to"] = [f"{name} does not exist" for name in sorted(named)
                                                          if not (TREE / name).is_file()]
    for name, found in results.items():
        print(f"NOT OK: {name}" if found else f"ok: {name}", *found, sep="\n")
    failed = sum(map(bool, results.values()))
    core.say(f"The pages are in {core.shown(OUTPUT)}/admin-guide/")
    print(f"{len(results) - failed} passed, {failed} failed")
    return failed > 0
