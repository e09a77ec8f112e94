"""A home whose keeper a test drives over its socket and kills."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.keeper import journal, keeper, wire
from app.keeper.cgroups import RUN
from tests.runtime_process import TIMEOUT, is_alive, list_processes, wait_until

NO_LIMITS = {"memory": None, "cpu": None}
GATED_SCRIPT = "while [ ! -e {0} ]; do sleep 0.01; done; exit {1}"


class KeeperHome:
    """Home with its keeper, and a connection to the keeper."""

    def __init__(self, path: Path) -> None:
        self.path, self.sock = path, socket.socket(socket.AF_UNIX)
        self.buffer, self.hello = b"", {}
        self.runs: list[str] = []

    def start_keeper(self) -> int:
        """Start keeper and guard; return the exit code of the command."""
        command = [sys.executable, "-I", "-S", keeper.__file__, self.path]
        return subprocess.run(command, stdin=subprocess.DEVNULL, cwd="/", check=False).returncode

    def greet(self) -> dict[str, Any]:
        """Connect again and return the hello of a complete pair."""
        return wait_until(self.try_to_greet, "a keeper and a guard that both live")

    def try_to_greet(self) -> dict[str, Any]:
        self.sock.close()
        self.sock, self.buffer = socket.socket(socket.AF_UNIX), b""
        self.sock.settimeout(TIMEOUT)
        folder = os.open(self.path / "run", os.O_RDONLY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self.socket.name}")
            self.send("hello", protocol=wire.PROTOCOL, version="0.1.0")
            self.hello = self.read_event()
        except (OSError, EOFError):
            return {}
        finally:
            os.close(folder)
        return self.hello if is_alive(self.hello["pid"]) and is_alive(self.hello["guard"]) else {}

    def send(self, do: str, **more: Any) -> None:
        self.sock.sendall(json.dumps({"do": do, **more}).encode() + b"\n")

    def read_event(self) -> dict[str, Any]:
        """Return the next event."""
        while b"\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError("the keeper closed the line")
            self.buffer += data
        text, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(text)

    def wait_for_event(self, what: str, run: str) -> dict[str, Any]:
        """Return the run's next event of that kind, ignoring others."""
        while True:
            event = self.read_event()
            if event["is"] == what and event.get("run") == run:
                return event

    def spawn(self, *argv: str, wait: bool = True, **more: Any) -> str:
        """Start a run and return its id, by default once it runs."""
        run = more.pop("run", str(uuid.uuid4()))
        env = {"PATH": os.environ["PATH"], "TASKDECK_RUNID": run, **more.pop("env", {})}
        ask = {
            "run": run,
            "argv": argv,
            "cwd": "/",
            "env": env,
            "umask": 0o022,
            "log": str(self.get_log_path(run)),
        }
        self.runs.append(run)
        self.send("spawn", **(ask | {"timeout": None, "grace": 1.0} | more))
        if wait:
            self.wait_for_event("started", run)
        return run

    def run_to_end(self, *argv: str, **more: Any) -> dict[str, Any]:
        """Start a run and return its end event."""
        return self.wait_for_event("ended", self.spawn(*argv, wait=False, **more))

    def drain(self) -> None:
        """Wait until earlier requests are done. An invalid request is answered in order."""
        self.send("nothing")
        while self.read_event().get("code") != "bad-request":
            pass

    def get_log_path(self, run: str) -> Path:
        return self.path / "runs" / run[:2] / f"{run}.log"

    def find_known(self, run: str) -> dict[str, Any] | None:
        """Return the last hello's entry of a run."""
        return next((event for event in self.hello["runs"] if event["run"] == run), None)

    def kill_one(self, who: str) -> dict[str, Any]:
        """Kill the `pid` or the `guard`; return the hello of the restored pair."""
        os.kill(self.hello[who], signal.SIGKILL)
        wait_until(lambda: not is_alive(self.hello[who]), "the killed process is gone")
        return self.greet()

    def kill_both(self) -> None:
        """Kill both; they are stopped first, so that neither can restart the other."""
        pids = self.hello["pid"], self.hello["guard"]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, number)
        wait_until(lambda: not any(map(is_alive, pids)), "both are gone")

    def restart(self) -> dict[str, Any]:
        """Start a new pair and return its hello."""
        assert self.start_keeper() == 0
        return self.greet()

    @property
    def socket(self) -> Path:
        return self.path / "run" / wire.SOCKET

    @property
    def journal(self) -> Path:
        return self.path / "run" / journal.JOURNAL

    def list_segments(self) -> list[str]:
        return sorted(os.listdir(self.journal))

    def list_processes(self) -> Iterator[int]:
        """Yield the keepers, guards and runs of the home."""
        marks = {os.fsencode(self.path), *(f"TASKDECK_RUNID={run}".encode() for run in self.runs)}
        return list_processes(marks)

    def kill_all(self) -> None:
        """Kill every process of the home.

        The processes are stopped first, so that no survivor starts another.
        """
        self.sock.close()
        while found := [pid for pid in self.list_processes() if is_alive(pid)]:
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in found:
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)


class CgroupKeeperHome(KeeperHome):
    """Home whose keeper divides a folder of the kernel's tree of cgroups."""

    place: Path

    def start_keeper(self) -> int:
        words = [sys.executable, "-I", "-S", keeper.__file__, self.path, "1024", self.place]
        return subprocess.run(words, stdin=subprocess.DEVNULL, cwd="/", check=False).returncode

    @property
    def root(self) -> Path:
        return Path(self.hello["cgroups"]["root"])

    def list_folders(self) -> list[str]:
        return sorted(path.name for path in self.root.glob(f"{RUN}*"))

    def forget(self, run: str) -> None:
        """Let the keeper forget a run, and wait until its folder is gone."""
        self.send("forget", runs=[run])
        wait_until(lambda: RUN + run not in self.list_folders(), "the folder of the run is gone")


def spawn_gated(keeper_home: KeeperHome, tmp_path: Path, name: str, code: int) -> str:
    """Start a run that ends with the code once the file exists."""
    return keeper_home.spawn("sh", "-c", GATED_SCRIPT.format(tmp_path / name, code))
