"""Real peers with tasks that append their names to a file, and a stand-in for pueue's daemon."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

from app.cli.imports.pueue import Pueue
from app.cli.imports.take_over import Peer
from app.cli.imports.task_spooler import TaskSpooler
from tests.runtime_process import wait_until

NAMES = ("a", "b", "c")


class PeerHome:
    """Folder with a peer whose tasks wait until it is let go."""

    name = ""
    can_overtake = True
    """True if the peer may be let go during an import."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.output = folder, folder / "output"

    def make_peer(self) -> Peer:
        raise NotImplementedError

    def let_go(self) -> None:
        """Let the peer run what it has."""
        raise NotImplementedError

    def wait_until_idle(self) -> None:
        """Wait until the peer has run what it had."""

    def close(self) -> None:
        """End the peer."""

    def make_line(self, name: str) -> list[str]:
        """Return the command that appends a name."""
        return ["sh", "-c", f'echo "$0" >> {self.output}', name]

    def count_runs(self) -> Counter[str]:
        return Counter(self.output.read_text().split() if self.output.exists() else [])


class PueueHome(PeerHome):
    """State file of pueue, and its daemon: a loop over the tasks in the file."""

    name = "pueue"
    can_overtake = False  # an import ends if it sees the daemon, which this one does not show

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "state.json"
        tasks = {str(n): self._make_task(n, name) for n, name in enumerate(NAMES)}
        tasks["1"]["dependencies"] = [0]
        self.path.write_text(json.dumps({"tasks": tasks, "groups": {}}))

    def _make_task(self, number: int, name: str):
        return {
            "id": number, "created_at": "2026-03-01T10:00:00+01:00", "path": "/",
            "command": f"echo {name} >> {self.output}", "envs": {"PATH": os.defpath},
            "group": "default", "dependencies": [], "priority": 0, "label": None,
            "status": {"Queued": {"enqueued_at": "2026-03-01T10:00:00+01:00"}},
        }  # fmt: skip

    def make_peer(self) -> Peer:
        return Pueue(os.fspath(self.path))

    def let_go(self) -> None:
        state = json.loads(self.path.read_text())
        for task in state["tasks"].values():
            if "Queued" in task["status"]:
                subprocess.run(["sh", "-c", task["command"]], check=True)
                task["status"] = {"Done": {"result": "Success"}}
        self.path.write_text(json.dumps(state))


class SpoolerHome(PeerHome):
    """Server of task-spooler whose first job keeps the others waiting."""

    name = "task-spooler"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = folder / "gate"
        os.mkfifo(self.gate)
        self.env = {**os.environ, "TS_SOCKET": str(folder / "socket"), "TMPDIR": str(folder)}
        self.run("sh", "-c", f"read x < {self.gate}")
        first = self.run(*self.make_line("a")).strip()
        self.run("-D", first, *self.make_line("b"))
        self.run("-L", "third", *self.make_line("c"))

    def run(self, *words: str) -> str:
        done = subprocess.run(
            ["tsp", *words], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
        return done.stdout.decode()

    def make_peer(self) -> Peer:
        os.environ["TS_SOCKET"] = self.env["TS_SOCKET"]
        return TaskSpooler()

    def let_go(self) -> None:
        try:
            fd = os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # no job waits at the gate any more
            return
        os.write(fd, b"x\n")
        os.close(fd)

    def wait_until_idle(self) -> None:
        wait_until(lambda: "running" not in (said := self.run("-l")) and "queued" not in said)

    def close(self) -> None:
        self.run("-K")


KINDS = {kind.name: kind for kind in (PueueHome, SpoolerHome)}
