"""What a fresh process loads: a command must start light, and the house's walls must be real at run time too."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import app.core
from tests.runtime_process import Living

HEAVY = {
    "aiosqlite", "alembic", "apscheduler", "jsonschema", "psutil", "pydantic", "regex", "rich", "sqlalchemy", "sqlite3",
    "textual", "tomlkit", "yaml",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """The top-level modules, and ours in full, that a fresh interpreter has after one statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name if name.startswith(("app.", "db.")) else name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def loaded_to_do(words: Sequence[str], home: os.PathLike[str]) -> set[str]:
    """The same after a command that has done what it was asked for in `home`."""
    run = f"code = run({['--home', os.fspath(home), *words]}, deck=None, serve=None, keys=None); assert code == 0, code"
    return loaded_by(f"from app.cli.main import run; {run}; print()")


def test_the_command_line_starts_without_anything_heavy():
    assert loaded_by("import app.__main__, app.cli.main").isdisjoint(HEAVY)


@pytest.mark.parametrize("verb", ["submit", "status", "ls", "wait", "cancel", "logs"])
def test_the_usual_verbs_are_loaded_without_anything_heavy(verb):
    loaded = loaded_by(f"import app.cli.main; from app.cli import registry as words; words.commands({verb!r})")

    assert "app.cli.main" in loaded
    assert loaded.isdisjoint(HEAVY)
    assert not [m for m in loaded if m.startswith(("app.service", "app.runtime", "app.tui", "app.engines"))]


ASKED = (
    ("db", "backup", "--full"), ("db", "check", "--repair"), ("db", "cleanup"), ("db", "cleanup", "--dry-run"), ("db", "replica"),
    ("db", "slow"), ("db", "stats"),
)  # fmt: skip
"""Commands that ask the runtime, where one is up."""
OF_FILES = ("db", "backups"), ("db", "verify")
"""Commands that look at the files of the backups, whether a runtime is up or not."""


def test_what_the_runtime_does_or_is_told_by_files_is_done_without_what_reads_the_database(
    runtime: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))

    for words in ASKED:
        assert loaded_to_do(words, runtime.home).isdisjoint(HEAVY), words
    for words in OF_FILES:
        loaded = loaded_to_do(words, runtime.home)
        assert loaded.isdisjoint(HEAVY - {"sqlite3"}) and "app.service.database.backups" not in loaded, words


def test_the_half_of_sqlalchemy_that_maps_objects_is_never_read():
    """It would take a tenth of what the start of a runtime takes."""
    loaded_by("import app.runtime.serve, app.offline.maintenance; assert 'sqlalchemy.orm' not in sys.modules")


def test_the_client_knows_nothing_of_the_database():
    loaded = loaded_by("import app.client")

    assert loaded.isdisjoint(HEAVY)
    assert {m for m in loaded if m.partition(".")[0] == "db"} <= {"db", "db.errors"}


def test_the_keeper_is_the_standard_library_alone():
    loaded = loaded_by("import app.keeper.keeper") - loaded_by("pass")
    ours = {m for m in loaded if m.partition(".")[0] in ("app", "db")}

    assert ours == {"app", "app.keeper", "app.keeper.keeper"}
    assert loaded - ours - sys.stdlib_module_names == set()


def test_the_deck_reaches_the_runtime_through_the_client_only():
    loaded = loaded_by("import app.tui.app, app.client")

    assert "textual" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "apscheduler", "alembic", "pydantic", "aiosqlite"})
    assert {m for m in loaded if m.partition(".")[0] == "db"} <= {"db", "db.errors", "db.states"}


def test_the_states_are_the_standard_library_alone():
    loaded = loaded_by("import db.states") - loaded_by("import __future__, collections.abc, enum")

    assert loaded == {"db", "db.states"}


def test_the_core_draws_stores_and_waits_for_nothing():
    every = ", ".join(f"app.core.{found.name}" for found in pkgutil.iter_modules(app.core.__path__))

    assert loaded_by(f"import {every}").isdisjoint(HEAVY - {"pydantic", "jsonschema", "tomlkit", "yaml"})
