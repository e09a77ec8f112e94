"""Tests of `db migrate`: to this version, and to a given revision after a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.maintenance import migrate

pytestmark = pytest.mark.database
FIRST = migrate.REVISIONS[0]


def test_a_database_goes_down_and_up_after_a_copy(cli, home: Path, database_path: Path):
    down = cli("db", "migrate", "--to", FIRST)

    assert (down.code, migrate.read_version(database_path)) == (0, FIRST)
    copied, changed = down.out.splitlines()
    assert changed == f"downgraded from {migrate.HEAD} to {FIRST}"
    assert migrate.read_version(Path(copied.removeprefix("backed up to "))) == migrate.HEAD
    assert "upgrades to its own revision" in down.err
    assert cli("db", "migrate", "--to", FIRST).out == (
        f"the database is at revision {FIRST} already\n"
    )

    assert f"upgraded from {FIRST} to {migrate.HEAD}\n" in cli("db", "migrate").out
    assert len(list((home / "backups").glob("before-*.db"))) == 2


def test_an_unknown_revision_is_refused_with_the_known_ones(cli, database_path: Path):
    refused = cli("db", "migrate", "--to", "head")

    assert (refused.code, refused.out) == (3, "")
    assert f'no revision "head". Known: {", ".join(migrate.REVISIONS)}.' in refused.err
    assert f"taskdeck db migrate --to {migrate.HEAD}" in refused.err
    assert migrate.read_version(database_path) == migrate.HEAD


def test_a_home_without_a_database_is_not_created(cli, home: Path):
    refused = cli("db", "migrate", "--to", FIRST)

    assert refused.code == 3 and "there is no database" in refused.err
    assert not (home / "taskdeck.db").exists()
