"""Modules of another project with the names of Taskdeck's modules, and a session among them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.version import VERSION
from tests.acceptance.terminal import Terminal

FOREIGN_FILES = ("app/__init__.py", "db/__init__.py", "textual/__init__.py", "json.py",
                 "sqlalchemy.py")  # fmt: skip
FOREIGN_MODULE = """
with open({path!r}, "a") as file:
    file.write(__name__ + "\\n")
print(__name__, "of another project")
"""
TASK = ("sh", "-c", 'pwd; echo "$PYTHONPATH"; python3 -c "import app"')


class ForeignProject:
    """Folder with modules that note their import, which is `PYTHONPATH` and the current folder."""

    def __init__(self, root: Path) -> None:
        self.folder, self._imports = root / "project", root / "imports"
        for name in FOREIGN_FILES:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(FOREIGN_MODULE.format(path=os.fspath(self._imports)))
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.fspath(root), "LANG": "C.UTF-8", "TERM": "xterm-256color",
            "TASKDECK_HOME": os.fspath(root / "home"), "PYTHONPATH": os.fspath(self.folder),
        }  # fmt: skip

    def list_imports(self) -> list[str]:
        """Return the names of the foreign modules that any process has imported."""
        return self._imports.read_text().split() if self._imports.exists() else []

    def run(
        self, *words: str | Path, code: int = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project, and check its exit code."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.env | env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done

    def run_session(self, program: Sequence[str | Path]) -> None:
        """Check that `program` imports no foreign module from a first task to the stop."""
        assert self.run(*program, "--version").stdout == f"taskdeck {VERSION}\n"
        try:
            self.run(*program, "submit", "--wait", "--", *TASK)
            said = self.run(*program, "logs", "1").stdout
            self.run(*program, "serve", "--replace", "--detach")
            with Terminal(program, self.env, self.folder, 100, 30) as deck:
                deck.wait("succeeded").type("q")
                assert deck.end() == 0
            doctor = self.run(*program, "doctor").stdout
        finally:
            self.run(*program, "stop")
        assert said == f"{self.folder}\n{self.folder}\napp of another project\n"
        assert "✓ runtime" in doctor and "✓ keeper" in doctor
        assert self.list_imports() == ["app"], "one import, which is the task's"
