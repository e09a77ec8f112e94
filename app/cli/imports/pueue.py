"""Pueue: its state file, from which waiting tasks are removed while its daemon is stopped.

The daemon reads the file at its start, and overwrites the file while it runs. So a task that has
left the file is never run by pueue.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from app.cli.imports.journal import LEFT, TAKEN, ImportJournal, JournalEntry, sync_folder
from app.core.imports import pueue_state
from app.core.imports.items import PeerItem, PeerPhase, PeerState
from app.core.json_types import is_dict
from app.core.text.sanitize import sanitize, truncate
from app.errors import Conflict, NotFound, Problem, Usage
from app.paths import open_regular
from app.translation import tr

DAEMON = "pueued"
_MAX_SETTINGS = 1024 * 1024


class Pueue:
    """State file of pueue; `file` is None for the usual one."""

    name = "pueue"

    def __init__(self, file: str | None) -> None:
        self.path = os.path.abspath(file) if file is not None else _find_state_file()

    def read(self) -> PeerState:
        state = pueue_state.load_state(self._read_bytes(), self.path)
        return pueue_state.parse_state(state, self.path)

    def prepare(self) -> None:
        if pid := find_daemon():
            raise Conflict(
                "the daemon of pueue runs (pid {pid}), and would run these tasks, too. Nothing was"
                " changed.",
                "Once its running tasks have ended, stop it: pueue shutdown. Then repeat the"
                " import. To start nothing more there until then: pueue pause --wait --all",
                pid=pid,
            )

    def recover(self) -> None:
        """Do nothing: the file is replaced in one step."""

    def withdraw(
        self, items: Sequence[PeerItem], journal: ImportJournal
    ) -> Iterator[tuple[PeerItem, str]]:
        data = self._read_bytes()
        state = pueue_state.load_state(data, self.path)
        found = {item.key: item for item in pueue_state.parse_state(state, self.path).items}
        wanted = {item.key for item in items}
        waiting = {key for key in wanted & found.keys() if found[key].phase is PeerPhase.WAITING}
        if waiting != wanted:
            yield from self._leave(items)
            return
        numbers = {item.id for item in items}
        state["tasks"] = {
            name: task for name, task in state["tasks"].items() if task["id"] not in numbers
        }
        new = json.dumps(state, indent=2).encode()
        journal.set_proof(_make_proof(new))
        self._replace(data, new)
        for item in items:
            yield item, TAKEN

    def has_given_up(self, entry: JournalEntry, proof: str | None) -> bool:
        try:
            return proof is not None and _make_proof(self._read_bytes()) == proof
        except Problem:
            return False

    def _leave(self, items: Sequence[PeerItem]) -> Iterator[tuple[PeerItem, str]]:
        for item in items:
            item.obstacle = tr("the state of pueue has just changed: repeat the import")
            yield item, LEFT

    def _read_bytes(self) -> bytes:
        shown = truncate(sanitize(self.path), 200)
        try:
            with open_regular(self.path) as file:
                return file.read(pueue_state.MAX_BYTES + 1)
        except FileNotFoundError:
            raise NotFound(
                "{file} does not exist. Nothing was changed.",
                "Name the state file of pueue: taskdeck import pueue FILE",
                file=shown,
            ) from None
        except (OSError, ValueError) as error:
            raise Usage(
                "{file} cannot be read: {why}. Nothing was changed.",
                file=shown,
                why=_explain(error),
            ) from None

    def _replace(self, old: bytes, new: bytes) -> None:
        """Replace the file if it still is `old`, which stays beside it as a backup."""
        moment = f"{datetime.now():%Y%m%dT%H%M%S.%f}"
        part = f"{self.path}.taskdeck-{moment}"
        try:
            mode = os.stat(self.path).st_mode & 0o777
            _write(f"{self.path}.before-taskdeck-{moment}", old, mode)
            _write(part, new, mode)
            _refuse_started_daemon()
            if self._read_bytes() != old:
                raise Conflict("pueue has just changed its state, which stays. Repeat the import.")
            os.replace(part, self.path)
            sync_folder(os.path.dirname(self.path))
        except OSError as error:
            raise Problem(
                "{file} cannot be written: {why}. Its tasks are held here until the import is"
                " repeated.",
                file=sanitize(self.path),
                why=(error.strerror or "unknown").lower(),
            ) from None
        finally:
            with contextlib.suppress(OSError):
                os.unlink(part)
        _refuse_started_daemon()


def _refuse_started_daemon() -> None:
    """Raise Conflict if a daemon runs, since it may have read the file before it changed."""
    if pid := find_daemon():
        raise Conflict(
            "the daemon of pueue has started meanwhile (pid {pid}), so nothing was released.",
            "Stop it (pueue shutdown), then repeat the import.",
            pid=pid,
        )


def find_daemon() -> int | None:
    """Return the pid of a daemon of pueue that this user runs, or None."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.stat(f"/proc/{name}").st_uid != os.geteuid():
                continue
            with open(f"/proc/{name}/comm", "rb") as file:
                if file.read().strip() == DAEMON.encode():
                    return int(name)
        except OSError:  # the process has ended
            continue
    return None


def _find_state_file() -> str:
    """Return the path of the state file by the settings of pueue."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    folder = _read_directory() or os.path.join(data, "pueue")
    return os.path.join(os.path.expanduser(folder), "state.json")


def _read_directory() -> str | None:
    """Return `pueue_directory` of the settings, None if pueue has none."""
    import yaml

    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = os.environ.get("PUEUE_CONFIG_PATH") or os.path.join(config, "pueue", "pueue.yml")
    try:
        with open_regular(os.path.realpath(path)) as file:
            data = file.read(_MAX_SETTINGS)
        found: Any = yaml.safe_load(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        raise Usage(
            "{file} cannot be read. Nothing was changed.",
            "Name the state file of pueue: taskdeck import pueue FILE",
            file=truncate(sanitize(path), 200),
        ) from None
    shared = found.get("shared") if is_dict(found) else None
    folder = shared.get("pueue_directory") if is_dict(shared) else None
    return folder if isinstance(folder, str) and folder else None


def _explain(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return tr("it is a link, or no regular file")
    return (getattr(error, "strerror", None) or tr("invalid file name")).lower()


def _make_proof(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: str, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
