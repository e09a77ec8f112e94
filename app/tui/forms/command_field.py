"""A command in one field of a form: words as in a shell, or a script if it needs a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from app.translation import tr
from app.tui.forms.submit_draft import find_shell_operators, find_shell_word


def parse_command(word: str) -> str:
    """Check that a command without shell operators can be split, and return it as typed."""
    if not find_shell_operators(word):
        try:
            shlex.split(word)
        except ValueError:
            raise ValueError(tr("has an open quote")) from None
    return word


def find_shell_reason(command: str) -> str:
    """Return what in a command needs a shell, such as `|` or `cd`, else ""."""
    return next(iter(find_shell_operators(command)), "") or find_shell_word(command)


def make_work(command: str) -> dict[str, Any]:
    """Return a command as a verb takes it: words, or a script if it needs a shell."""
    if find_shell_reason(command):
        return {"script": command}
    return {"argv": shlex.split(command)}


def format_work(work: Mapping[str, Any]) -> str:
    """Return stored work as the field shows it."""
    return work.get("script") or shlex.join(work.get("argv") or ())


def pick_work(launch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored launch as a verb takes it."""
    return {key: launch[key] for key in ("script", "argv") if key in launch and launch[key]}
