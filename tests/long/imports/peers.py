"""Real peers with tasks that append their names to a file, and a stand-in for pueue's daemon."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from app.cli.imports.gflow import Gflow
from app.cli.imports.pueue import Pueue
from app.cli.imports.take_over import Peer
from app.cli.imports.task_spooler import TaskSpooler
from tests.runtime_process import wait_until

NAMES = ("a", "b", "c")


class PeerHome:
    """Folder with a peer whose tasks wait for `run_waiting`."""

    name = ""
    can_overtake = True
    """True if the peer may run its tasks during an import."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.output = folder, folder / "output"
        self.sockets = tempfile.TemporaryDirectory(prefix="td-")
        """Folder with a short path, since those of sockets are limited to 107 bytes."""

    def make_peer(self) -> Peer:
        raise NotImplementedError

    def run_waiting(self) -> None:
        """Let the peer run its tasks."""
        raise NotImplementedError

    def wait_until_idle(self) -> None:
        """Wait until the peer has run its tasks."""

    def close(self) -> None:
        """End the peer."""
        self.sockets.cleanup()

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

    def run_waiting(self) -> None:
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
        self.env = {**os.environ, "TS_SOCKET": f"{self.sockets.name}/socket", "TMPDIR": str(folder)}
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

    def run_waiting(self) -> None:
        open_gate(self.gate)

    def wait_until_idle(self) -> None:
        def is_idle() -> bool:
            self.run_waiting()  # the shell of the first job may not have opened the gate before
            return not any(word in self.run("-l") for word in ("running", "queued"))

        wait_until(is_idle, "the end of its jobs")

    def close(self) -> None:
        self.run("-K")
        super().close()


class GflowHome(PeerHome):
    """Daemon of gflow that runs one job at once; the first one keeps the others waiting."""

    name = "gflow"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = folder / "gate"
        os.mkfifo(self.gate)
        for name in (".bash_profile", ".bashrc"):  # /etc/profile sets another PATH
            (folder / name).write_text(f"export PATH={os.environ['PATH']}\n")
        config = folder / "gflow" / "gflow.toml"
        config.parent.mkdir()
        outer = ("TMUX", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
        self.env = {name: value for name, value in os.environ.items() if name not in outer}
        self.env |= {"HOME": str(folder), "TMUX_TMPDIR": self.sockets.name}
        self.env |= {"XDG_CONFIG_HOME": str(folder)}
        self.daemon = self._start(config)
        try:
            self._add_jobs()
        except BaseException:
            self.close()
            raise

    def _add_jobs(self) -> None:
        self.run("gctl", "quota", "set", "--default-user", "--max-running-jobs", "1")
        self.run("gbatch", "bash", "-c", f"read x < {self.gate}")
        wait_until(lambda: "Running" in self.list_states(), "the first job")
        self.run("gbatch", *self.make_line("a"))
        self.run("gbatch", "-d", "2", *self.make_line("b"))
        self.run("gbatch", "-n", "c", *self.make_line("c"))

    def _start(self, config: Path) -> subprocess.Popen[bytes]:
        """Start the daemon on a free port; on another one if that was taken meanwhile."""
        while True:
            with socket.socket() as line:
                line.bind(("127.0.0.1", 0))
                config.write_text(f"[daemon]\nport = {line.getsockname()[1]}\n")
            daemon = subprocess.Popen(
                ["gflowd"], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            if wait_until(partial(self._find_outcome, daemon), "the daemon of gflow") == "up":
                return daemon

    def _find_outcome(self, daemon: subprocess.Popen[bytes]) -> str | None:
        if daemon.poll() is not None:
            return "ended"
        return "up" if self.run("gqueue", check=False) is not None else None

    def run(self, *command: str, check: bool = True) -> str | None:
        done = subprocess.run(
            command, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
            check=check,
        )  # fmt: skip
        return None if done.returncode else done.stdout.decode()

    def list_states(self) -> list[str]:
        found = json.loads(self.run("gqueue", "-a", "-u", "all", "-o", "json") or "{}")
        return [job["state"] for job in found["jobs"]]

    def make_peer(self) -> Peer:
        os.environ.update(self.env)
        return Gflow()

    def run_waiting(self) -> None:
        open_gate(self.gate)

    def wait_until_idle(self) -> None:
        def is_idle() -> bool:
            self.run_waiting()  # the shell of the first job may not have opened the gate before
            return not {"Running", "Queued"}.intersection(self.list_states())

        wait_until(is_idle, "the end of its jobs")

    def close(self) -> None:
        self.daemon.kill()
        self.daemon.wait()
        self.run("tmux", "kill-server", check=False)
        super().close()


def open_gate(gate: Path) -> None:
    """Let the job that waits at a gate continue, if there is one."""
    try:
        fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    os.write(fd, b"x\n")
    os.close(fd)


KINDS = {kind.name: kind for kind in (PueueHome, SpoolerHome, GflowHome)}
