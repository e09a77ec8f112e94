"""Tests of the doctor's checks of a home's owner and permissions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from app.health import home as looked_at


def run_checks(path: Path):
    """Return the findings of a home, by check."""
    return {one.check: one for one in looked_at.check_home(str(path))}


@pytest.mark.process
def test_a_file_readable_by_others_is_a_hint_with_a_fix(home: Path):
    spaced = home / "run" / "my lock"
    spaced.touch()
    spaced.chmod(0o644)
    (home / "runs" / "ab").mkdir(mode=0o755)

    modes = run_checks(home)["modes"]

    assert modes.state == "hint" and modes.text.endswith("and 1 more are not private to you")
    subprocess.run(["sh", "-c", modes.cure], check=True)
    assert run_checks(home)["modes"].state == "well" and spaced.stat().st_mode & 0o777 == 0o600


def test_a_file_of_another_user_is_broken(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "run" / "runtime.lock").touch()
    real, mine = os.lstat, os.geteuid()

    def lstat(path: str):
        seen = real(path)
        return (
            seen
            if not str(path).endswith(".lock")
            else os.stat_result((seen.st_mode, 0, 0, 1, mine + 1, 0, 0, 0, 0, 0))
        )

    monkeypatch.setattr(os, "lstat", lstat)

    owner = run_checks(home)["owner"]

    assert (
        owner.state == "broken"
        and owner.text.startswith("run/runtime.lock is not yours")
        and owner.cure.endswith(str(home))
    )


def test_a_home_writable_by_others_is_broken(home: Path):
    home.chmod(0o777)

    assert (run_checks(home)["home"].state, run_checks(home)["home"].cure) == (
        "broken",
        f"chmod 700 {home}",
    )


def test_foreign_files_in_the_home_are_ignored(home: Path):
    (home / "notes.txt").touch()
    (home / "notes.txt").chmod(0o644)

    assert run_checks(home)["modes"].state == "well"


def test_an_outdated_sqlite_is_broken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 37, 2))

    (versions,) = looked_at.check_versions()

    assert versions.state == "broken" and versions.cure
