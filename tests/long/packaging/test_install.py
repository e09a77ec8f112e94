"""Tests that the wheel has every file, and works as users install it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app.version import VERSION
from tests.long.packaging.builds import ROOT, build_wheel, install_tool, run

INSTALLATIONS = {
    "pipx": ("a home with spaces", ["install", "{wheel}"]),
    "uv": ("home", ["tool", "install", "--python", sys.executable, "{wheel}"]),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_every_file_of_both_packages_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for name in ("app", "db")
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".po"
    }

    assert {name for name in packed if ".dist-info/" not in name} == wanted
    assert {"app/py.typed", "db/py.typed"} <= packed


@pytest.mark.parametrize("tool", INSTALLATIONS)
def test_an_installation_with_a_tool_runs_a_task(wheel: Path, tmp_path: Path, tool: str):
    program = install_tool(tmp_path, tool)
    if program is None:
        pytest.skip(f"{tool} cannot be installed here")
    folder, words = INSTALLATIONS[tool]
    home = tmp_path / folder
    home.mkdir()

    words = [word.format(wheel=wheel) for word in words]
    installed = run(program, *words, cwd=home, HOME=str(home))

    assert installed.returncode == 0, installed.stderr
    check_installation(home / ".local/bin/taskdeck", home)


def check_installation(taskdeck: Path, home: Path) -> None:
    """Run a task as the first command of a user, and stop the runtime."""

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return run(taskdeck, *words, cwd=home, HOME=str(home))

    assert call("--version").stdout == f"taskdeck {VERSION}\n"
    try:
        done = call("submit", "--wait", "--", "sh", "-c", "exit 7")
        assert (done.returncode, done.stdout) == (7, "1\n"), done.stderr
        assert (home / ".local/share/taskdeck/taskdeck.db").is_file()
    finally:
        stopped = call("stop")
    assert stopped.returncode == 0, stopped.stderr
