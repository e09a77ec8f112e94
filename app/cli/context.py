"""Command context: the home, the client of the runtime and the injected functions."""

from __future__ import annotations

import os

from app.cli import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.client import Client
    from app.config import LoadedConfig


class CommandContext:
    """Context of one command.

    `deck(home, …)`, `serve(home, …)`, `keys(chosen, path)` and `agents(home, …)` are injected,
    since the command line imports none of them. With `read_only`, no runtime is started. `plain`
    asks for output that suits a screen reader.
    """

    def __init__(
        self,
        home: str | None,
        deck: Callable[..., int],
        serve: Callable[..., int],
        keys: Callable[..., list[str]],
        agents: Callable[..., int],
        read_only: bool = False,
        plain: bool = False,
    ) -> None:
        self.read_only = read_only
        self.plain = plain
        self.set_home(home)
        self._client: Client | None = None
        self.deck = deck
        self.serve = serve
        self.keys = keys
        self.agents = agents

    @property
    def home(self) -> str:
        """Home given by option, else the default."""
        from app.paths import resolve_home

        return resolve_home(self._home_option)

    @property
    def client(self) -> Client:
        """Client of the runtime, created on first use."""
        if self._client is None:
            from app.client import Client

            self._client = Client(self.home, autostart=_read_autostart() and not self.read_only)
        return self._client

    def call(self, verb: str, /, **args: Any) -> Any:
        """Return the answer of a verb. Raise Problem."""
        return self.client.call(verb, args, output.print_note)

    def set_home(self, home: str | None) -> None:
        """Set the home given by option."""
        self._home_option = home
        output.set_home_option(home)

    def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            self._client.close()


def read_language() -> str | None:
    """Return the language chosen in config.toml, or None."""
    found = _read_config()
    return found.settings.language if found else None


def _read_autostart() -> bool:
    found = _read_config()
    if found is None:
        return True
    if found.faults:  # a misspelt colour must not cost a submission
        output.print_note(found.ignored_notice)
    return found.settings.autostart


_configs: dict[str, LoadedConfig] = {}


def _read_config() -> LoadedConfig | None:
    """Return the settings, read once; None without a file, which most users do not have."""
    from app.paths import get_config_path

    path = get_config_path()
    if path not in _configs:
        if not os.path.exists(path):
            return None
        from app.config import read

        _configs[path] = read(path)
    return _configs[path]
