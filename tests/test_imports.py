"""What a fresh process loads: a command must start light, and the house's walls must be real at run time too."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import app.core

HEAVY = {
    "aiosqlite", "alembic", "apscheduler", "jsonschema", "psutil", "pydantic", "regex", "rich", "sqlalchemy", "sqlite3",
    "textual", "yaml",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """The top-level modules, and ours in full, that a fresh interpreter has after one statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name if name.startswith(("app.", "db.")) else name.partition(".")[0] for name in done.stdout.split()}


def test_the_command_line_starts_without_anything_heavy():
    assert loaded_by("import app.__main__, app.cli.main").isdisjoint(HEAVY)


@pytest.mark.parametrize("verb", ["submit", "status", "ls", "wait", "cancel", "logs"])
def test_the_usual_verbs_are_loaded_without_anything_heavy(verb):
    loaded = loaded_by(f"import app.cli.main; from app.cli import words; words.commands({verb!r})")

    assert "app.cli.main" in loaded
    assert loaded.isdisjoint(HEAVY)
    assert not [m for m in loaded if m.startswith(("app.service", "app.runtime", "app.tui", "app.engines"))]


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


def test_the_core_draws_stores_and_waits_for_nothing():
    every = ", ".join(f"app.core.{found.name}" for found in pkgutil.iter_modules(app.core.__path__))

    assert loaded_by(f"import {every}").isdisjoint(HEAVY - {"pydantic", "jsonschema", "yaml"})
