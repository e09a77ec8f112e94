"""Tests of `.ci/release` on a repository of its own; each release builds everything twice."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.long.packaging.builds import ROOT, run

CHANGES = "# Changelog\n\n## [Unreleased]\n\n- Tasks run.\n\n## [0.0.9] - 2020-01-01\n\n- Old.\n"
SMALL_PACKAGE = (
    ".ci/release", ".gitignore", ".wheel/taskdeck/__init__.py", "LICENSE", "README.md",
    "app/version.py", "pyproject.toml",
)  # fmt: skip
UNEVEN_BUILD = """
import time
from hatchling.metadata.plugin.interface import MetadataHookInterface
class BuildTime(MetadataHookInterface):
    def update(self, metadata):
        metadata["description"] = f"built at {time.time_ns()}"
"""


def git(folder: Path, *words: str) -> str:
    done = run("git", "-c", "safe.directory=*", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository with the files of this checkout that a build needs."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    unneeded = ("", "screenshots", "tests", "shared")
    names = [name for name in listed.split("\0") if name.partition("/")[0] not in unneeded]
    return make_repository(tmp_path / "checkout", names)


@pytest.fixture
def small_checkout(tmp_path: Path) -> Path:
    """Return a repository with one module, for a release that is refused."""
    return make_repository(tmp_path / "checkout", SMALL_PACKAGE)


def make_repository(folder: Path, names: Sequence[str]) -> Path:
    """Return a repository with files of this checkout and one release."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "CHANGELOG.md").write_text(CHANGES)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "A tester")
    git(folder, "config", "user.email", "tester@taskdeck.example")
    commit(folder)
    git(folder, "tag", "v0.0.9")
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "Change files")


def release(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(folder / ".ci/release", *words, cwd=folder)


def test_a_release_has_version_date_tag_and_files_with_the_printed_sums(checkout: Path):
    done = release(checkout, "0.2.0")

    assert done.returncode == 0, done.stderr
    assert git(checkout, "status", "--porcelain") == ""
    assert git(checkout, "log", "-1", "--format=%s") == "Release 0.2.0"
    assert git(checkout, "cat-file", "-t", "v0.2.0") == "tag"
    assert git(checkout, "rev-parse", "v0.2.0^{commit}") == git(checkout, "rev-parse", "HEAD")
    assert 'VERSION = "0.2.0"' in (checkout / "app/version.py").read_text()
    date = git(checkout, "show", "-s", "--format=%cs")
    dated = f"## [Unreleased]\n\n## [0.2.0] - {date}\n\n- Tasks run.\n"
    assert dated in (checkout / "CHANGELOG.md").read_text()
    sums = dict(reversed(line.split()) for line in done.stdout.splitlines())
    assert {"taskdeck-0.2.0.tar.gz", "taskdeck-0.2.0-py3-none-any.whl"} == sums.keys()
    for name, digest in sums.items():
        assert hashlib.sha256((checkout / "dist" / name).read_bytes()).hexdigest() == digest
    with tarfile.open(checkout / "dist/taskdeck-0.2.0.tar.gz") as sdist:
        members = sdist.getmembers()
    assert {(one.uid, one.gid, one.uname) for one in members} == {(0, 0, "")}
    assert {int(one.mtime) for one in members} == {int(git(checkout, "show", "-s", "--format=%ct"))}


def test_builds_that_differ_are_refused_and_change_nothing(small_checkout: Path):
    (small_checkout / "hatch_build.py").write_text(UNEVEN_BUILD)
    toml = (small_checkout / "pyproject.toml").read_text()
    lines = [line for line in toml.splitlines() if not line.startswith("description = ")]
    uneven = "\n".join(lines).replace(
        'dynamic = ["version"]', 'dynamic = ["version", "description"]'
    )
    uneven += "\n[tool.hatch.metadata.hooks.custom]\n"
    (small_checkout / "pyproject.toml").write_text(uneven)
    commit(small_checkout)
    before = list_state(small_checkout)

    done = release(small_checkout, "0.2.0")

    assert done.returncode == 1 and "two builds of one commit differ" in done.stderr
    assert list_state(small_checkout) == before


def add_file(folder: Path) -> None:
    (folder / "new").touch()


def leave_main(folder: Path) -> None:
    git(folder, "switch", "-qc", "other")


def clear_changes(folder: Path) -> None:
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## [0.0.9]\n\n- Old.\n")
    commit(folder)


def list_state(folder: Path) -> list[str]:
    """Return what a refused release leaves as it is."""
    return [
        git(folder, *words.split())
        for words in ("rev-parse HEAD", "status --porcelain", "tag", "worktree list")
    ] + [str((folder / "dist").exists())]


@pytest.mark.parametrize(
    ("version", "prepare", "reason"),
    [
        ("0.2", None, '"0.2" is no version'),
        ("", None, '"" is no version'),
        ("0.2.0; true", None, "is no version"),
        ("0.0.9", None, "0.0.9 is released"),
        ("0.0.8", None, "0.0.8 is not greater than 0.0.9"),
        ("0.2.0", add_file, "the checkout has changes"),
        ("0.2.0", leave_main, 'the checkout is on "other"'),
        ("0.2.0", clear_changes, 'nothing under "## [Unreleased]"'),
    ],
)
def test_a_release_that_cannot_be_made_is_refused_at_once(
    small_checkout: Path, version: str, prepare: Callable[[Path], None] | None, reason: str
):
    if prepare is not None:
        prepare(small_checkout)
    before = list_state(small_checkout)

    done = release(small_checkout, version)

    assert done.returncode == 1 and reason in done.stderr and "Nothing was changed" in done.stderr
    assert list_state(small_checkout) == before
