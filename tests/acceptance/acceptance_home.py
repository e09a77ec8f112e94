"""A home of Taskdeck for one test, driven as a user does: commands as processes, decks on terminals."""

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
from app.cli.commands.demo_teardown import end_all
from app.client import Client
from app.home.setup import mark_clean_shutdown
from app.service.context import Call
from db.engine import open_database
from tests import fork_server
from tests.acceptance.terminal import Terminal

PROGRAM = Path(sys.executable).with_name("taskdeck")


class AcceptanceHome:
    """A folder with a home that need not exist yet, a place to work in, and an environment of its own."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.work = root / "work"
        self.work.mkdir()
        self.env = {
            "PATH": f"{PROGRAM.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}", "HOME": str(root), "LANG": "C.UTF-8",
            "TERM": "xterm-256color", "TASKDECK_HOME": str(self.home), "XDG_CONFIG_HOME": str(root / "config"),
        }  # fmt: skip

    def run_cli(self, *args: object, input: str | None = None, cwd: Path | None = None, **env: str) -> Any:
        """One command, finished: returncode, stdout, stderr."""
        if not env and (done := fork_server.run([*map(str, args)], self.home, self.env, cwd or self.work, input or "")):
            return done
        feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        return subprocess.run(
            [PROGRAM, *map(str, args)], cwd=cwd or self.work, env=self.env | env, capture_output=True, text=True, timeout=60, **feed
        )  # fmt: skip

    def run_ok(self, *args: object, **more: Any) -> str:
        """One command that must succeed; what it printed."""
        done = self.run_cli(*args, **more)
        assert done.returncode == 0, f"{args} exited {done.returncode}: {done.stderr}"
        return done.stdout

    def run_json(self, *args: object) -> Any:
        """What a reading command says with --json."""
        return json.loads(self.run_ok(*args, "--json"))

    def submit(self, *args: object, **more: Any) -> str:
        """The number of one new task."""
        return self.run_ok("submit", *args, **more).strip()

    def run_shell(self, script: str, **env: str) -> Any:
        """A script of the user's shell, with taskdeck on its PATH, finished."""
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

    def open_terminal(self, *args: object, columns: int = 120, rows: int = 40, **env: str) -> Terminal:
        """A command on a terminal of its own; without words, the deck."""
        return Terminal([PROGRAM, *map(str, args)], self.env | env, self.work, columns, rows)

    def run_offline(self, do: Callable[[Call], Coroutine[Any, Any, Any]]) -> Any:
        """What a runtime would do, done in this process while none is up, where that costs a test less than to start one."""

        async def done() -> Any:
            async with open_database(paths.database_path(self.home), writable=True) as db:
                return await do(Call(db, "ann", self.home))

        with mock.patch.dict(os.environ, self.env), mark_clean_shutdown(self.home, []):
            return asyncio.run(done())

    def call_verb(self, verb: str, **args: Any) -> Any:
        """What a verb answers, asked in this process, which costs a test less than a command, above all while no runtime is up."""
        with mock.patch.dict(os.environ, self.env), closing(Client(self.home, autostart=False)) as client:
            return client.call(verb, args)

    def map_statuses(self) -> dict[int, str]:
        """How the tasks stand, by number."""
        return {row["number"]: row["status"] for row in self.call_verb("ls")["tasks"]}

    def close(self) -> None:
        """End everything that belongs to the home."""
        if self.home.exists():
            end_all(str(self.home))
