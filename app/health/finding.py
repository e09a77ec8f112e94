"""What one look at this machine found, and the one command that cures it."""

from __future__ import annotations

import os
import shlex

from app.core.text.sanitize import clean
from app.paths import home_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Finding:
    """One thing that was looked at. `state` is well, hint or broken; `cure` is what to type, "" when nothing is
    wrong."""

    __slots__ = ("check", "cure", "state", "text")

    def __init__(self, check: str, text: str, state: str = "well", cure: str = "") -> None:
        self.check, self.text, self.state, self.cure = check, text, state, cure

    def as_dict(self) -> dict[str, Any]:
        """For --json: `ok` is false only for what is broken."""
        return {
            "check": self.check,
            "ok": self.state != "broken",
            "hint": self.state == "hint",
            "text": self.text,
            "cure": self.cure or None,
        }


def quote(word: str) -> str:
    """A word as a shell reads it back, whatever is in it, and as a terminal may show it."""
    if clean(word) == word:
        return shlex.quote(word)
    inside = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(word)
    )
    return f"$'{inside}'"


def taskdeck(home: str, words: str) -> str:
    """A command of ours for that home."""
    usual = not os.environ.get("TASKDECK_HOME") and home == home_from(None)
    return f"taskdeck {words}" if usual else f"taskdeck --home {quote(home)} {words}"


def restart(home: str) -> str:
    """The command that ends runtime and keeper once nothing runs, and begins both anew."""
    return f"{taskdeck(home, 'stop --drain')} && {taskdeck(home, 'serve --detach')}"


def sudo(command: str) -> str:
    """A command that only root may run."""
    return command if os.geteuid() == 0 else f"sudo {command}"
