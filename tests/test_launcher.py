"""Tests of the package `taskdeck`: its modules meet none of another project.

The long tests of packaging do the same with a wheel.
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

import pytest

from app.version import VERSION
from tests.acceptance.acceptance_home import PROGRAM
from tests.foreign_modules import ForeignProject

PROGRAMS = {"script": [PROGRAM], "module": [sys.executable, "-m", "taskdeck"]}
VERSION_LINE = f"taskdeck {VERSION}\n"


@pytest.fixture
def project(tmp_path: Path) -> ForeignProject:
    return ForeignProject(tmp_path)


def test_a_session_imports_no_module_of_another_project(project: ForeignProject):
    project.run_session(PROGRAMS["script"])


def test_an_installation_that_python_path_names_too_still_works(project: ForeignProject):
    named = [project.folder, *site.getsitepackages(), Path(__file__).parents[1]]

    done = project.run(PROGRAM, "db", "migrate", PYTHONPATH=os.pathsep.join(map(str, named)))

    assert done.stdout.startswith("created at ") and project.list_imports() == []


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("path", [".:..", ""])
def test_the_current_folder_is_no_source_of_modules(
    project: ForeignProject, program: str, path: str
):
    done = project.run(*PROGRAMS[program], "status", PYTHONPATH=path)

    assert project.env["TASKDECK_HOME"] in done.stdout and project.list_imports() == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_removed_current_folder_is_no_error(project: ForeignProject, program: str):
    gone = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'

    done = project.run("sh", "-c", gone, "sh", *PROGRAMS[program], "--version")

    assert done.stdout == VERSION_LINE and project.list_imports() == []


def test_a_foreign_module_that_is_loaded_already_is_named(project: ForeignProject):
    (project.folder / "sitecustomize.py").write_text("import db\n")

    done = project.run(PROGRAM, "--version", code=1)

    path = project.folder / "db" / "__init__.py"
    assert done.stderr == (
        f"taskdeck: the module \"db\" of another project is loaded already: '{path}'."
        " Nothing was done. Install Taskdeck in its own environment: pipx install taskdeck\n"
    )


def test_own_modules_that_are_loaded_already_are_kept(project: ForeignProject):
    code = "import sys, app.cli, db, taskdeck; sys.argv = ['', '--version']; taskdeck.main()"

    done = project.run(sys.executable, "-P", "-c", code, PYTHONPATH="")

    assert done.stdout == VERSION_LINE
