"""Tests of recognizing Taskdeck's processes by their command lines."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.health import procfs
from app.health.procfs import is_outdated, parse_command_line


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("python3.11|-P|-m|taskdeck|--home|/a b|serve|--ready-fd|3", ("runtime", "/a b")),
        ("python3.11|-P|-m|app|--home|/a b|serve|--ready-fd|3", ("runtime", "/a b")),
        ("python3|-m|taskdeck|serve", ("runtime", "")),
        ("/v/bin/python|/v/bin/taskdeck|--home|/x|serve|--replace", ("runtime", "/x")),
        ("/v/bin/python3|/v/bin/taskdeck|serve|--home=/x", ("runtime", "/x")),
        ("/v/bin/python3|/v/bin/taskdeck|serve", ("runtime", "")),
        ("/usr/bin/python3|-I|-S|/v/lib/app/keeper/keeper.py|/x", ("keeper", "/x")),
        ("/v/bin/python3|/v/bin/taskdeck|serve|--detach", None),
        ("/v/bin/python3|/v/bin/taskdeck|submit|--|echo|x", None),
        ("grep|taskdeck|serve", None),
        ("vim|keeper.py", None),
        ("", None),
    ],
)
def test_a_command_line_is_a_runtimes_a_keepers_or_foreign(line: str, kind: tuple[str, str] | None):
    assert parse_command_line(line.split("|") if line else []) == kind


def test_a_process_is_outdated_once_files_are_newer_than_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "version.py"
    monkeypatch.setattr(procfs, "_VERSION_FILE", str(file))
    assert not is_outdated(os.getpid())

    file.write_text("")
    boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    for age, is_old in ((0.0, False), (60.0, True)):
        monkeypatch.setattr(procfs, "read_stat", lambda _, age=age: (1, boot - age))
        assert is_outdated(os.getpid()) is is_old
    monkeypatch.setattr(procfs, "read_stat", lambda _: None)
    assert not is_outdated(os.getpid())
