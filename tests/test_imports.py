"""Tests of what a new process imports: light commands and layer boundaries at run time."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

import app.core
import app.keeper
import db
from tests.runtime_process import RuntimeProcess

HEAVY_MODULES = {
    "aiosqlite", "alembic", "apprise", "apscheduler", "httpx", "jsonschema", "mcp", "mcp_types",
    "psutil", "pynvml",
    "prometheus_client", "pydantic", "regex", "rich", "sqlalchemy", "sqlite3", "starlette",
    "textual", "tomlkit", "uvicorn", "yaml",
}  # fmt: skip


def list_loaded_modules(statement: str) -> set[str]:
    """Return the modules loaded by a statement in a new interpreter.

    Modules of app and db appear with their full names, others with their top-level names.
    """
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {
        name if name.startswith(("app.", "db.")) else name.partition(".")[0]
        for name in done.stdout.splitlines()[-1].split()
    }


def list_modules_of_command(words: Sequence[str], home: os.PathLike[str]) -> set[str]:
    """Return the modules loaded by a command that succeeded in `home`."""
    run = (
        f"code = run({['--home', os.fspath(home), *words]}, deck=None, serve=None, keys=None,"
        " agents=None); assert code == 0, code"
    )
    return list_loaded_modules(f"from app.cli.main import run; {run}; print()")


def test_the_command_line_starts_without_heavy_imports():
    assert list_loaded_modules("import app.__main__, app.cli.main").isdisjoint(HEAVY_MODULES)


@pytest.mark.parametrize("verb", ["submit", "status", "ls", "wait", "cancel", "logs"])
def test_common_verbs_need_no_heavy_imports(verb):
    loaded = list_loaded_modules(
        f"import app.cli.main; from app.cli import registry; registry.load_commands({verb!r})"
    )

    assert "app.cli.main" in loaded
    assert loaded.isdisjoint(HEAVY_MODULES)
    assert not [
        m for m in loaded if m.startswith(("app.service", "app.runtime", "app.tui", "app.engines"))
    ]


def test_a_status_without_alerts_loads_only_what_it_shows(lazy_runtime: RuntimeProcess):
    lazy_runtime.start()
    loaded = list_modules_of_command(["status"], lazy_runtime.home)

    assert loaded.isdisjoint(
        {"shutil", "app.cli.commands.definitions.alerts", "app.cli.commands.tasks.task_actions"}
    )


RUNTIME_COMMANDS = (
    ("db", "backup", "--full"), ("db", "check", "--repair"), ("db", "cleanup"),
    ("db", "cleanup", "--dry-run"), ("db", "replica"),
    ("db", "slow"), ("db", "stats"),
)  # fmt: skip
"""Commands that ask the runtime if it is running."""
FILE_COMMANDS = ("db", "backups"), ("db", "verify")
"""Commands that read backup files, with or without a runtime."""


def test_runtime_and_file_commands_do_not_import_database_libraries(
    runtime: RuntimeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))

    for words in RUNTIME_COMMANDS:
        assert list_modules_of_command(words, runtime.home).isdisjoint(HEAVY_MODULES), words
    for words in FILE_COMMANDS:
        loaded = list_modules_of_command(words, runtime.home)
        assert (
            loaded.isdisjoint(HEAVY_MODULES - {"sqlite3"})
            and "app.service.database.backups" not in loaded
        ), words


def test_the_sqlalchemy_orm_is_never_imported():
    """Check that the ORM stays unloaded: its import would take a tenth of the start."""
    list_loaded_modules(
        "import app.runtime.serve, app.offline.maintenance; assert 'sqlalchemy.orm' not in"
        " sys.modules"
    )


def test_a_runtime_loads_the_framework_of_http_only_to_serve_it():
    loaded = list_loaded_modules("import app.runtime.serve, app.runtime.embedded")

    assert "app.http.server" in loaded
    assert loaded.isdisjoint({"starlette", "uvicorn", "h11", "prometheus_client"})


def test_only_the_sender_imports_what_sends():
    loaded = list_loaded_modules(
        "import app.runtime.serve, app.runtime.messages.sender, app.service.registry"
    )

    assert loaded.isdisjoint({"apprise", "httpx", "requests"})


def test_the_client_does_not_import_the_database():
    loaded = list_loaded_modules("import app.client")

    assert loaded.isdisjoint(HEAVY_MODULES)
    assert {m for m in loaded if m.partition(".")[0] == "db"} <= {"db", "db.errors"}


def test_the_keeper_imports_all_its_modules_and_the_standard_library():
    loaded = list_loaded_modules("import app.keeper.keeper") - list_loaded_modules("pass")
    ours = {m for m in loaded if m.partition(".")[0] in ("app", "db")}

    neighbours = {
        f"app.keeper.{module.name}" for module in pkgutil.iter_modules(app.keeper.__path__)
    }
    assert ours == {"app", "app.keeper", *neighbours}
    assert loaded - ours - sys.stdlib_module_names == set()


def test_the_deck_reaches_the_runtime_through_the_client_only():
    loaded = list_loaded_modules("import app.tui.app, app.client")

    assert "textual" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "apscheduler", "alembic", "pydantic", "aiosqlite"})
    assert {m for m in loaded if m.partition(".")[0] == "db"} <= {"db", "db.errors", "db.states"}


def test_the_states_are_the_standard_library_alone():
    loaded = list_loaded_modules("import db.states") - list_loaded_modules(
        "import __future__, collections.abc, enum"
    )

    assert loaded == {"db", "db.states"}


def test_the_core_imports_no_io_libraries():
    every = ", ".join(f"app.core.{found.name}" for found in pkgutil.iter_modules(app.core.__path__))

    assert list_loaded_modules(f"import {every}").isdisjoint(
        HEAVY_MODULES - {"pydantic", "jsonschema", "tomlkit", "yaml"}
    )


@pytest.mark.parametrize(
    ("contract", "allowed"), [("front-ends", {"states"}), ("core", {"errors", "states"})]
)
def test_the_contracts_list_every_module_of_the_database(contract: str, allowed: set[str]):
    settings = tomllib.loads(Path(db.__path__[0], "..", "pyproject.toml").read_text())
    contracts = {one["id"]: one for one in settings["tool"]["importlinter"]["contracts"]}
    modules = {found.name for found in pkgutil.iter_modules(db.__path__)} - allowed

    listed = set(contracts[contract]["forbidden_modules"])
    assert {name for name in listed if name.startswith("db")} == {f"db.{name}" for name in modules}


@pytest.mark.parametrize("words", [["submit", "--", "true"], ["status"], ["ls"]])
def test_common_commands_read_no_catalogue_in_english(
    lazy_runtime: RuntimeProcess, words: list[str], monkeypatch: pytest.MonkeyPatch
):
    lazy_runtime.start()
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    run = (
        f"run({['--home', os.fspath(lazy_runtime.home), *words]}, deck=None, serve=None, keys=None,"
        " agents=None)"
    )
    loaded = list_loaded_modules(
        f"from app.cli.main import run; from app import translation; {run};"
        " assert not translation._catalogues; print()"
    )

    assert "babel" not in loaded
