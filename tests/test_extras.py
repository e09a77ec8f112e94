"""The command that installs an extra goes to the environment of the process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app import extras


def test_an_environment_with_pip_uses_its_own_pip(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/opt/my deck/bin/python")

    command = extras.make_install_command("http")

    assert command == "'/opt/my deck/bin/python' -m pip install 'taskdeck[http]'"


def test_an_environment_without_pip_uses_uv(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/opt/deck/bin/python")
    monkeypatch.setattr(extras, "find_spec", lambda _: None)

    command = extras.make_install_command("mcp")

    assert command == "uv pip install --python /opt/deck/bin/python 'taskdeck[mcp]'"


def test_an_environment_of_pipx_uses_pipx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "pipx_metadata.json").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    command = extras.make_install_command("http")

    assert command == f"pipx runpip {tmp_path.name} install 'taskdeck[http]'"
