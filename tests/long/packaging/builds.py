"""Builds of the package from a copy, so that the working tree stays as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[3]
TIMEOUT = 600.0
COPIED = (".wheel", "app", "db", "README.md", "LICENSE", "pyproject.toml")


def run(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the variables of a home; `env` adds variables."""
    kept = {name: value for name, value in os.environ.items() if not _is_of_a_user(name)}
    return subprocess.run(
        [os.fspath(word) for word in words],
        cwd=cwd,
        env=kept | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def _is_of_a_user(name: str) -> bool:
    return name.startswith(("TASKDECK_", "XDG_", "PYTHON", "VIRTUAL_ENV", "GIT_"))


def copy_source(folder: Path) -> Path:
    """Copy the files that a build needs below a folder, and return the folder of the copy."""
    source = folder / "source"
    source.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.pyc"))
        else:
            shutil.copy(ROOT / name, source)
    return source


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout below a folder and return its path."""
    source = copy_source(folder)
    done = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, ".", cwd=source)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(folder: Path, *words: str | Path) -> Path:
    """Install Taskdeck into a new environment, and return the environment's programs.

    Its dependencies are those of this environment.
    """
    done = run(sys.executable, "-m", "venv", folder / "environment", cwd=folder)
    assert done.returncode == 0, done.stderr
    programs = folder / "environment" / "bin"
    done = run(programs / "pip", "install", "-q", "--no-deps", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("environment/lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return programs


def install_tool(folder: Path, name: str) -> Path | None:
    """Install a tool into an environment of its own; return its program, or None without it."""
    done = run(sys.executable, "-m", "venv", folder / name, cwd=folder)
    assert done.returncode == 0, done.stderr
    installed = run(folder / name / "bin/pip", "install", "-q", name, cwd=folder)
    return folder / name / "bin" / name if installed.returncode == 0 else None
