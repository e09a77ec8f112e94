"""Session of one client: its name and limits, and the calls of verbs for its tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app import config, paths
from app.client import Client
from app.core.agent_clients import CLIENT_TAG, AgentSettings
from app.core.shell_context import read_context
from app.core.text.sanitize import sanitize, truncate
from app.errors import Conflict, Usage

MAX_TEXT = 400
"""Longest text of a name or reason in an answer, in cells."""
MAX_NOTES = 20


@dataclass(frozen=True)
class AgentSession:
    """A client of the server, and the home that it works with.

    `context` is the directory, umask and environment of its tasks.
    """

    home: str
    name: str
    read_only: bool = False
    autostart: bool = True
    context: Mapping[str, Any] = field(default_factory=read_context)

    def load_settings(self) -> AgentSettings:
        """Return the limits of the client, as config.toml has them now.

        Raise Usage while a mistake in the file may lift a limit.
        """
        found = config.read(paths.get_config_path())
        if found.mcp_fault:
            raise Usage(
                f"{found.mcp_fault} The limits of clients are therefore unknown. Nothing was done.",
                "Fix the file, then try again.",
            )
        return found.mcp.get_client(self.name)

    def is_read_only(self) -> bool:
        """Return True if the client gets only the tools that change nothing."""
        return self.read_only or self.load_settings().read_only


class ToolCall:
    """One call of a tool. Each has a connection of its own, since several run at once."""

    def __init__(
        self, session: AgentSession, report: Callable[[float, float, str], None] | None = None
    ) -> None:
        self.session = session
        self.report = report or (lambda done, total, text: None)
        """Tells the caller the progress, if the caller asked for progress."""
        self.notes: list[str] = []
        self.is_cancelled = False
        self._client = Client(
            session.home,
            autostart=session.autostart and not session.read_only,
            origin=f"mcp {session.name}",
        )

    def call(self, verb: str, /, **args: Any) -> Any:
        """Return the answer of a verb, and collect its notes. Raise Problem."""
        return self._client.call(verb, args, self.add_note)

    def add_note(self, text: str) -> None:
        """Keep a note of the runtime for the answer, once."""
        if (note := clean(text)) not in self.notes and len(self.notes) < MAX_NOTES:
            self.notes.append(note)

    def read_bounds(self) -> dict[str, Any]:
        """Return what the runtime checks for a change by this client. Raise Conflict."""
        settings = self.session.load_settings()
        if self.session.read_only or settings.read_only:
            raise Conflict(f"client {self.session.name} is read-only. Nothing was done.")
        amounts = {
            "cpu": settings.cpu,
            "memory": settings.memory,
            "running": settings.running,
            "tasks": settings.tasks,
        }
        given = {name: amount for name, amount in amounts.items() if amount is not None}
        return {"name": self.session.name, **given}

    def is_own(self, tags: Mapping[str, str]) -> bool:
        """Return True if a task with these tags belongs to this client."""
        return tags.get(CLIENT_TAG) == self.session.name

    def close(self) -> None:
        """End the call, also while another thread waits for an answer."""
        self.is_cancelled = True
        self._client.close()


def clean(text: object, most: int = MAX_TEXT) -> str:
    """Return text from outside without control characters, and not too long."""
    return truncate(sanitize(str(text)), most)
