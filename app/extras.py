"""Extras: packages that a plain install leaves out.

Most installs have an environment of their own, which a plain `pip install` would miss.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from shlex import quote


def make_install_command(extra: str) -> str:
    """Return the command that adds an extra to the environment of this process."""
    wanted = quote(f"taskdeck[{extra}]")
    if os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json")):
        return f"pipx runpip {quote(os.path.basename(sys.prefix))} install {wanted}"
    python = quote(sys.executable)
    if find_spec("pip"):
        return f"{python} -m pip install {wanted}"
    return f"uv pip install --python {python} {wanted}"
