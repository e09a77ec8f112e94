"""Tests that the wheel has every file, and works as users install it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app.version import VERSION
from tests.foreign_modules import ForeignProject
from tests.long.packaging.builds import ROOT, build_wheel, copy_source, install, install_tool, run

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
        (Path("taskdeck") / path.relative_to(top)).as_posix()
        for top, names in ((ROOT, ("app", "db")), (ROOT / ".wheel/taskdeck", (".",)))
        for name in names
        for path in (top / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".po"
    }

    metadata = f"taskdeck-{VERSION}.dist-info/"
    assert {name for name in packed if not name.startswith(metadata)} == wanted
    assert {"taskdeck/app/py.typed", "taskdeck/db/py.typed"} <= packed


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_a_session_imports_no_module_of_another_project(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
):
    words = (
        ["-e", copy_source(tmp_path)] if kind == "editable" else [request.getfixturevalue("wheel")]
    )
    programs = install(tmp_path, *words)

    for name, program in (
        ("script", [programs / "taskdeck"]),
        ("module", [programs / "python", "-m", "taskdeck"]),
    ):
        root = tmp_path / name
        root.mkdir()
        ForeignProject(root).run_session(program)


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
