"""Spool: a folder, shared with other hosts, through which runs start there and report their ends.

Each run has up to four files, `runs/HH/RUN.*`; HH are the last two characters of its id:

* `order`: what to run, written before the run is handed over. Secrets lie here alone.
* `started`: the gate, made by link(2), which is atomic on NFS too. Who comes second runs nothing.
  The job touches the gate while it runs: the beat. A gate that says `refused` lets nobody through.
* `ask`: a stop or an early signal for the job.
* `ended`: the end, as the keeper reports it.

The file `identity` tells the spool from another folder at its path, such as a bare mount point. In
such a folder no run has begun, and each run would begin again.

Every method may wait for a file server, so the event loop calls them in threads. Each raises
OSError if the spool cannot be reached. A missing file of a run is no error.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import paths

RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{1,99}", re.ASCII)
HOST_NAME = re.compile(r"[\w.+-]{1,255}", re.ASCII)
ORDER_KEYS = ("run", "argv", "cwd", "env", "umask", "log", "timeout", "grace", "early", "beat")
UNSUPPORTED = {"input": "--stdin", "errors": "--split or --error"}
"""Options whose orders need a process beside the run, by the key of the order."""
LONGEST_ORDER = 16 * 1024 * 1024
"""Bytes of an order that is read again."""
LONGEST_REPORT = 64 * 1024
"""Bytes of a gate or an end; real ones have some hundred."""
PROGRAM = Path(__file__).with_name("job_program.py")


@dataclass(frozen=True)
class Gate:
    """Gate of a run: who started it, or that nobody ever will. `started_at` is UNIX time."""

    refused: bool
    job: str
    node: str
    started_at: float


class Spool:
    """Files of the runs that another engine runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._program = PROGRAM.read_bytes()
        digest = hashlib.sha256(self._program).hexdigest()[:16]
        self._program_path = root / f"job-program-{digest}.py"
        self._identity_path = os.fspath(root / "identity")

    def prepare(self) -> str:
        """Create the folders, and put the job program there; return the identity of the spool.

        The program is named by its content. The parent must exist: it may be a mount point without
        its file system. Raise OSError, also if another user owns the spool or the file system has
        no hard links.
        """
        for folder in (self.root, self.root / "runs"):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                raise PermissionError(1, "not a folder of your own", str(folder))
            folder.chmod(0o700)
        temporary = _write_temporary(os.fspath(self._program_path), self._program)
        try:
            link(temporary, f"{temporary}.link")
            os.unlink(f"{temporary}.link")
            os.rename(temporary, self._program_path)
        except BaseException:
            os.unlink(temporary)
            raise
        return self._make_identity()

    def read_identity(self) -> str:
        """Return the identity of the spool; "" if none is there. Raise OSError."""
        try:
            with paths.open_regular(self._identity_path) as file:
                return _match_name(file.read(64).decode("ascii", "replace"))
        except FileNotFoundError:
            return ""

    def _make_identity(self) -> str:
        if not (found := self.read_identity()):
            temporary = _write_temporary(self._identity_path, os.urandom(16).hex().encode())
            with suppress(FileExistsError):
                link(temporary, self._identity_path)
            os.unlink(temporary)
            found = self.read_identity()
        return found

    def build_command(self, runid: str) -> list[str]:
        """Return what the job of a run executes."""
        self._get_path(runid, "order")
        program = os.fspath(self._program_path)
        return ["python3", "-I", "-S", program, os.fspath(self.root), runid]

    def write_order(self, runid: str, order: dict[str, Any]) -> None:
        """Store the order of a run durably. Raise OSError, or ValueError if it is not possible.

        The order is that of the keeper; `beat` may give the seconds between two touches of the
        gate. The folder of the log is made here: other hosts might make theirs elsewhere.
        """
        if unsupported := find_unsupported(order):
            raise ValueError(f"{' and '.join(unsupported)} cannot be used on other hosts")
        os.makedirs(os.path.dirname(order["log"]), 0o700, exist_ok=True)
        kept = {key: order[key] for key in ORDER_KEYS if key in order}
        self._write(runid, "order", kept)

    def has_order(self, runid: str) -> bool:
        """Return True if a run was ordered and is not forgotten."""
        return self._read(runid, "order", 0) is not None

    def read_order(self, runid: str) -> dict[str, Any] | None:
        """Return the order of a run, empty if it is damaged, or None without one."""
        found = self._read(runid, "order", LONGEST_ORDER)
        return None if found is None else _parse(found[0])

    def read_gate(self, runid: str) -> Gate | None:
        """Return who started a run, or None if nobody has."""
        if (found := self._read(runid, "started")) is None:
            return None
        text, changed_at = found
        facts = _parse(text)
        return Gate(
            refused=facts.get("refused") is True,
            job=_match_name(facts.get("job")),
            node=_match_name(facts.get("node")),
            started_at=_match_number(facts.get("at")) or changed_at,
        )

    def refuse(self, runid: str) -> bool:
        """Refuse a run. Return True if it never starts, False if it has started."""
        path = self._get_path(runid, "started")
        _make_folder(os.path.dirname(path))
        temporary = _write_temporary(path, json.dumps({"refused": True}).encode())
        try:
            link(temporary, path)
        except FileExistsError:
            gate = self.read_gate(runid)
            return gate is not None and gate.refused
        finally:
            os.unlink(temporary)
        return True

    def read_beat(self, runid: str) -> float | None:
        """Return the time of the last touch of the gate, by the clock of the file server.

        The clocks of hosts differ: compare it only with an earlier answer.
        """
        found = self._read(runid, "started", 0)
        return None if found is None else found[1]

    def ask_stop(self, runid: str, reason: str, grace: float) -> None:
        """Ask the job to stop its run: TERM, then KILL after the grace.

        The job looks at each beat, and at once after SIGUSR1 to the job program alone.
        """
        self._write(runid, "ask", {"stop": reason, "grace": grace})

    def ask_early(self, runid: str) -> None:
        """Ask the job for the signal before the timeout, which a run gets once."""
        self._write(runid, "ask", {"early": True})

    def read_end(self, runid: str) -> dict[str, Any] | None:
        """Return the end of a run as the keeper reports ends, or None.

        The times are those of the other host's clock.
        """
        if (found := self._read(runid, "ended")) is None:
            return None
        text, changed_at = found
        return _check_end(runid, _parse(text), changed_at)

    def forget(self, runids: Iterable[str]) -> None:
        """Remove all files of runs. A job that starts later finds no order, and runs nothing."""
        folders: dict[str, set[str]] = {}
        for runid in runids:
            folders.setdefault(os.path.dirname(self._get_path(runid, "order")), set()).add(runid)
        for folder, wanted in folders.items():
            names = [name for name in _list_folder(folder) if name.partition(".")[0] in wanted]
            for name in sorted(names, key=_get_forget_rank):
                with suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")

    def list_runs(self) -> set[str]:
        """Return the runs that have a file."""
        runs = os.fspath(self.root / "runs")
        names = (name for folder in os.listdir(runs) for name in _list_folder(f"{runs}/{folder}"))
        return {runid for name in names if RUN_ID.fullmatch(runid := name.partition(".")[0])}

    def _get_path(self, runid: str, kind: str) -> str:
        if not RUN_ID.fullmatch(runid):
            raise ValueError("no run id")
        return f"{self.root}/runs/{runid[-2:]}/{runid}.{kind}"

    def _write(self, runid: str, kind: str, content: dict[str, Any]) -> None:
        """Replace a file of a run durably, or leave it unchanged."""
        path = self._get_path(runid, kind)
        _make_folder(os.path.dirname(path))
        temporary = _write_temporary(path, json.dumps(content).encode("ascii"))
        try:
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _flush_folder(os.path.dirname(path))

    def _read(
        self, runid: str, kind: str, most: int = LONGEST_REPORT
    ) -> tuple[bytes, float] | None:
        """Return the content and the time of a file, or None without one.

        NFS asks the server when the folder is opened; what it knows of a path may be minutes old.
        """
        path = self._get_path(runid, kind)
        try:
            try:
                file = paths.open_regular(path)
            except FileNotFoundError:
                os.close(os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC))
                file = paths.open_regular(path)
        except FileNotFoundError:
            os.stat(self.root / "runs")
            return None
        except OSError as error:
            if error.errno in paths.NOT_REGULAR_ERRORS:
                return b"", 0.0  # a job put something else there
            raise
        with file:
            return file.read(most), os.fstat(file.fileno()).st_mtime


def link(old: str, new: str) -> None:
    """Make a hard link. Raise OSError.

    NFS reports a failure if the first answer of the server was lost; the number of links tells.
    """
    try:
        os.link(old, new)
    except OSError:
        if os.stat(old).st_nlink < 2:
            raise


def find_unsupported(order: dict[str, Any]) -> list[str]:
    """Return the options of an order that only the keeper can follow."""
    return [option for key, option in UNSUPPORTED.items() if order.get(key)]


def _make_folder(path: str) -> None:
    """Make the folder of some runs. Raise OSError if the spool is gone."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _write_temporary(path: str, content: bytes) -> str:
    """Write a new file beside `path`, for the user alone, and return its path."""
    temporary = f"{path}.{os.urandom(8).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _list_folder(folder: str) -> Collection[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _get_forget_rank(name: str) -> int:
    """Return the place of a file in a removal: the order first and the gate last.

    A job that takes the gate in between finds no order.
    """
    kind = name.split(".")[1]
    return {"order": 0, "started": 2}.get(kind, 1)


def _flush_folder(folder: str) -> None:
    """Make a rename durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _parse(text: bytes) -> dict[str, Any]:
    """Return the object in a report, empty if it is damaged."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _match_name(value: Any) -> str:
    return value if isinstance(value, str) and HOST_NAME.fullmatch(value) else ""


def _match_number(value: Any, most: float = 1e15) -> float | None:
    """Return a number that is not negative, or None."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
    return value if fits else None


def _match_text(value: Any) -> str | None:
    return value[:1000] if isinstance(value, str) else None


def _check_end(runid: str, facts: dict[str, Any], changed_at: float) -> dict[str, Any]:
    """Return the end that a job reported, without values of a wrong kind.

    Jobs can write to the spool, and the disk may have lost a part.
    """
    code, number = _match_exit(facts.get("code"), 255), _match_exit(facts.get("signal"), 127)
    is_known = facts.get("run") == runid and (code is None) != (number is None)
    return {
        "is": "ended",
        "run": runid,
        "code": code if is_known else None,
        "signal": number if is_known else None,
        "reason": _match_text(facts.get("reason")) if is_known else "its end cannot be read",
        "stop": _match_text(facts.get("stop")),
        "lost": not is_known,
        "again": True,
        "started_at": _match_number(facts.get("started_at"), 1e11),
        "at": _match_number(facts.get("at"), 1e11) or changed_at,
        "run_seconds": _match_number(facts.get("run_seconds")),
        "cpu": _match_number(facts.get("cpu")),
        "maxrss": _match_number(facts.get("maxrss")),
        "pid": _match_exit(facts.get("pid"), 1 << 31) or None,
        "left": _match_exit(facts.get("left"), 1 << 31) or 0,
    }


def _match_exit(value: Any, most: int) -> int | None:
    """Return a small whole number, or None."""
    return value if type(value) is int and 0 <= value <= most else None
