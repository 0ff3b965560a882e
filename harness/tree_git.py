# SPDX-License-Identifier: GPL-2.0
"""The environment of tree_git() of lib.sh, for what is written in Python."""

import os


def environment():
    """For git in build/tree: without the user's own configuration, and wherever make was called from."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0"}
