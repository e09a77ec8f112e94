"""Programs of a peer, run by an import."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from app.core.text.sanitize import sanitize, truncate
from app.errors import NotFound, Problem
from app.translation import tr

TIMEOUT = 60.0
"""Seconds until a program that hangs is ended."""


def run_program(
    command: Sequence[str], env: Mapping[str, str], package: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a program without input. Raise NotFound if it is not installed, with its package."""
    shown = sanitize(" ".join(command))
    try:
        return subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TIMEOUT,
            env={**os.environ, "LC_ALL": "C", **env},
        )
    except FileNotFoundError:
        raise NotFound(
            "there is no program {program} here, of the package {package}.",
            program=sanitize(command[0]),
            package=package,
        ) from None
    except subprocess.TimeoutExpired:
        raise Problem(
            "{command} has not answered for {seconds} s. Repeat the import.",
            command=shown,
            seconds=int(TIMEOUT),
        ) from None
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise Problem("{command} cannot be run: {why}.", command=shown, why=why) from None


def describe_failure(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what a program said on its error output, or its exit code."""
    said = os.fsdecode(done.stderr).strip().partition("\n")[0]
    return truncate(sanitize(said), 200) or tr("exit code {code}", code=done.returncode)
