# SPDX-License-Identifier: GPL-2.0
"""One run at a time does a thing: lock() of lib.sh, for what is written in Python."""

import fcntl
import os
import sys

HELD = []


def lock(build, name):
    """Wait until no other run holds the lock of that name in the directory BUILD. It ends with this process."""
    os.makedirs(build, exist_ok=True)
    # Not for the processes that are started.
    held = open(os.path.join(build, f".lock-{name}"), "w", encoding="utf-8")
    HELD.append(held)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"* Waiting for another run that is at work on {build} ({name})", file=sys.stderr, flush=True)
        fcntl.flock(held, fcntl.LOCK_EX)
