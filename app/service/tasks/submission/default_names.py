"""Names of tasks that were submitted without one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.core.task_spec import TaskSpec
from app.core.text.sanitize import find_name_error, sanitize, truncate

_PATH = re.compile(r"[^\s;|&$<>()`'\"*?]{1,300}|[^\t\r\n;|&$<>()`'\"*?]{1,300}\.\w{1,8}")
"""Likely file names: no shell syntax or globs, and spaces only before a file extension."""


def make_default_name(spec: TaskSpec, launch: dict[str, Any]) -> str:
    """Return a name for a task: `ffmpeg a.mp4`, `sleep 30`.

    The name is the template, or the program with its last path-like argument, else with its last
    plain word.
    """
    if spec.template is not None:
        return spec.template
    return make_launch_name(launch)


def make_launch_name(launch: Mapping[str, Any]) -> str:
    """Return the name of a task without a template."""
    if "script" in launch:
        return make_valid_name(launch["script"].strip().splitlines()[0])
    return make_name(launch["argv"])


def make_name(argv: Sequence[str]) -> str:
    """Return a name from the program and its last path-like argument."""
    plain = [word for word in argv[1:] if word[:1] not in ("-", "") and _PATH.fullmatch(word)]
    paths = [word for word in plain if set(word) & {".", "/"}] or [
        word for word in plain if len(word) <= 40
    ]
    return make_valid_name(
        " ".join(
            [
                os.path.basename(argv[0]),
                *(os.path.basename(word.rstrip("/")) for word in paths[-1:]),
            ]
        )
    )


_FOLDER_PARTS = re.compile(
    r"""(?:(?<![^\s<>=:;|&(])|(?<=["'])(?=[/~.$]))   # a word begins, or a quoted path
        (?:\w+:(?=//))?(?:[^\s<>=:;|&()"'/]*/)+      # https:, and all up to the last slash
        (?=[^\s<>=:;|&()"'/])                        # before the name itself""",
    re.VERBOSE,
)


def make_valid_name(text: str) -> str:
    """Convert text to a valid name, shortening paths: `sort passwd | uniq`."""
    safe = sanitize(text)
    words = (_FOLDER_PARTS.sub("", safe).replace("/", " ") if "/" in safe else safe).split()
    name = truncate(" ".join(words).lstrip(". "), 60)
    return name if not find_name_error(name) else "task"
