"""Finding of a health check, and the one command that fixes the problem."""

from __future__ import annotations

import os
import shlex

from app.core.text.sanitize import sanitize
from app.paths import get_config_path, resolve_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


OTHER_HOME_COMMAND = 'taskdeck --home "$HOME/taskdeck" doctor'
"""Command for a user who needs a home in another place."""


class Finding:
    """Result of one check.

    `state` is well, hint or broken; `cure` is the command to type, "" if nothing is wrong.
    """

    __slots__ = ("check", "cure", "state", "text")

    def __init__(self, check: str, text: str, state: str = "well", cure: str = "") -> None:
        self.check, self.text, self.state, self.cure = check, text, state, cure

    def to_dict(self) -> dict[str, Any]:
        """Return the finding for --json; `ok` is false only for broken."""
        return {
            "check": self.check,
            "ok": self.state != "broken",
            "hint": self.state == "hint",
            "text": self.text,
            "cure": self.cure or None,
        }


def quote_word(word: str) -> str:
    """Quote a word for a shell, with control characters escaped for the terminal."""
    if sanitize(word) == word:
        return shlex.quote(word)
    inside = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{inside}'"


def make_command(home: str, words: str) -> str:
    """Return a taskdeck command for `home`."""
    usual = not os.environ.get("TASKDECK_HOME") and home == resolve_home(None)
    return f"taskdeck {words}" if usual else f"taskdeck --home {quote_word(home)} {words}"


def make_edit_command() -> str:
    """Return the command that edits config.toml."""
    return f'"${{EDITOR:-vi}}" {quote_word(get_config_path())}'


def make_restart_command(home: str) -> str:
    """Return the command that restarts runtime and keeper when nothing runs."""
    return f"{make_command(home, 'stop --drain')} && {make_command(home, 'serve --detach')}"


def make_root_command(command: str) -> str:
    """Return the command, with sudo unless run by root."""
    return command if os.geteuid() == 0 else f"sudo {command}"
