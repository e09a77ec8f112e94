"""A home driven as a user does: commands as processes, decks on terminals."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

from app import paths
from app.cli.demo.teardown import end_all
from app.client import Client
from app.home.setup import mark_clean_shutdown
from app.service.context import Call
from db.engine import open_database
from tests import fork_server
from tests.acceptance.terminal import Terminal

PROGRAM = Path(sys.executable).with_name("taskdeck")


class AcceptanceHome:
    """Folder for a home, a working directory, and an environment of its own."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.work = root / "work"
        self.work.mkdir()
        self.env = {
            "PATH": f"{PROGRAM.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(root), "LANG": "C.UTF-8",
            "TERM": "xterm-256color", "TASKDECK_HOME": str(self.home),
            "XDG_CONFIG_HOME": str(root / "config"),
        }  # fmt: skip

    def run_cli(
        self, *args: object, input: str | None = None, cwd: Path | None = None, **env: str
    ) -> Any:
        """Run a command and return its completed process."""
        if not env and (
            done := fork_server.run(
                [*map(str, args)], self.home, self.env, cwd or self.work, input or ""
            )
        ):
            return done
        feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        return subprocess.run(
            [PROGRAM, *map(str, args)], cwd=cwd or self.work, env=self.env | env,
            capture_output=True, text=True, timeout=60, **feed
        )  # fmt: skip

    def run_ok(self, *args: object, **more: Any) -> str:
        """Run a command that must succeed and return its output."""
        done = self.run_cli(*args, **more)
        assert done.returncode == 0, f"{args} exited {done.returncode}: {done.stderr}"
        return done.stdout

    def run_json(self, *args: object) -> Any:
        """Return the parsed --json output of a command."""
        return json.loads(self.run_ok(*args, "--json"))

    def submit(self, *args: object, **more: Any) -> str:
        """Submit one task and return its number."""
        return self.run_ok("submit", *args, **more).strip()

    def run_shell(self, script: str, **env: str) -> Any:
        """Run a script in the user's shell, with taskdeck on its PATH."""
        line = ["/bin/sh", "-euc", script]
        return subprocess.run(
            line,
            cwd=self.work,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def open_terminal(
        self, *args: object, columns: int = 120, rows: int = 40, **env: str
    ) -> Terminal:
        """Run a command on its own terminal; without arguments, the deck."""
        return Terminal([PROGRAM, *map(str, args)], self.env | env, self.work, columns, rows)

    def run_offline(self, do: Callable[[Call], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine on the database in this process, while no runtime is running.

        Starting a runtime would cost the test more.
        """

        async def done() -> Any:
            async with open_database(paths.get_database_path(self.home), writable=True) as db:
                return await do(Call(db, "ann", self.home))

        with mock.patch.dict(os.environ, self.env), mark_clean_shutdown(self.home, []):
            return asyncio.run(done())

    def call_verb(self, verb: str, **args: Any) -> Any:
        """Call a verb in this process, which is faster than a command."""
        with (
            mock.patch.dict(os.environ, self.env),
            closing(Client(self.home, autostart=False)) as client,
        ):
            return client.call(verb, args)

    def map_statuses(self) -> dict[int, str]:
        """Return the status of each task, by number."""
        return {row["number"]: row["status"] for row in self.call_verb("ls")["tasks"]}

    def close(self) -> None:
        """End every process of the home."""
        if self.home.exists():
            end_all(str(self.home))
