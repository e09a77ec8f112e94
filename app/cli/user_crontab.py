"""Crontab of the user who runs the command: read and replaced by the program crontab.

A replaced crontab stays as a file of the home.
"""

from __future__ import annotations

import os
import subprocess

from app.core.text.sanitize import sanitize, truncate
from app.errors import Conflict, NotFound, Problem
from app.translation import tr

UNCHANGED = "Nothing was changed."
_NOT_INSTALLED = 127


def read() -> bytes:
    """Return the crontab, as `crontab -l` prints it. Raise NotFound if there is none."""
    done = _run("-l")
    if done.returncode == _NOT_INSTALLED:
        raise NotFound(
            "there is no program crontab here. {unchanged}",
            "Import a file: taskdeck import crontab FILE",
            unchanged=tr(UNCHANGED),
        )
    if done.returncode:
        raise NotFound(
            "crontab -l: {answer}. {unchanged}", answer=_describe(done), unchanged=tr(UNCHANGED)
        )
    return done.stdout


def replace(old: bytes, new: bytes, home: str, name: str) -> str:
    """Replace the crontab if it still is `old`; return the file of the home that keeps `old`.

    Raise Problem if the crontab was not replaced.
    """
    path = os.path.join(home, name)
    try:
        _save(path, old)
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise Problem(
            "{path} cannot be written: {why}. The crontab stays.", path=sanitize(path), why=why
        ) from None
    if read() != old:
        raise Conflict("the crontab has just been changed, so it stays. Repeat the command.")
    done = _run("-", new)
    if done.returncode:
        raise Problem("crontab -: {answer}. The crontab stays.", answer=_describe(done))
    return path


def _save(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _run(argument: str, text: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = ["crontab", argument]
    try:
        return subprocess.run(
            command,
            input=b"" if text is None else text,
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, _NOT_INSTALLED, b"", b"not installed")
    except OSError as error:
        raise Problem(
            "crontab cannot be run: {reason}. {unchanged}",
            reason=error.strerror,
            unchanged=tr(UNCHANGED),
        ) from None


def _describe(done: subprocess.CompletedProcess[bytes]) -> str:
    said = sanitize(os.fsdecode(done.stderr).strip()) or tr(
        "exit code {code}", code=done.returncode
    )
    return truncate(said, 300)
