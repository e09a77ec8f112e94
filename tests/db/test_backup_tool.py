"""restore.py in the folder of the backups: alone with Python, it lists, checks and restores."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from db.backup import restore_tool as tool
from db.backup.store import Backup, Store
from db.backup.taking import Rules, compress, take
from tests.backup import trials, writing


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A folder of a full backup and an increment, copied to another place."""
    live, folder = tmp_path / "live.db", tmp_path / "backups"
    writing.make(live, 300)
    take(live, folder, Rules())
    writing.on(live, 50)
    take(live, folder, Rules())
    return Path(shutil.copytree(folder, tmp_path / "away"))


def restore(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", "-S", folder / "restore.py", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")


def taken(folder: Path) -> list[Backup]:
    return Store(folder).backups()


def test_it_lists_what_there_is_oldest_first(away: Path):
    done = restore(away, "list")

    assert [line.split()[0] for line in done.stdout.splitlines()] == [one.id for one in taken(away)] and done.returncode == 0


def test_it_restores_a_backup_by_its_id(away: Path, tmp_path: Path):
    full, _ = taken(away)

    done = restore(away, "restore", full.id, tmp_path / "restored.db")

    assert done.returncode == 0, done.stderr
    assert writing.assert_exact(tmp_path / "restored.db") == 300
    assert {path.name for path in tmp_path.glob("restored*")} == {"restored.db"}


def test_it_restores_the_newest_of_a_time(away: Path, tmp_path: Path):
    _, increment = taken(away)

    assert restore(away, "restore", "--at", increment.at, tmp_path / "restored.db").returncode == 0
    assert writing.assert_exact(tmp_path / "restored.db") == 350
    early = restore(away, "restore", "--at", "2020-01-01T00:00", tmp_path / "early.db")
    assert early.returncode == 1 and "no good backup of 20" in early.stderr and not (tmp_path / "early.db").exists()


def test_it_overwrites_nothing(away: Path, tmp_path: Path):
    (tmp_path / "mine").write_text("mine")

    done = restore(away, "restore", taken(away)[0].id, tmp_path / "mine")

    assert done.returncode == 1 and "exists" in done.stderr.lower() and (tmp_path / "mine").read_text() == "mine"


def test_it_says_which_backup_is_bad_and_restores_none_that_is(away: Path, tmp_path: Path):
    assert restore(away, "verify").stdout == "2 checked, all well\n"
    full, increment = taken(away)
    trials.flip(full.path, Random(3))

    all_, one = restore(away, "verify"), restore(away, "verify", increment.id)
    restored = restore(away, "restore", increment.id, tmp_path / "restored.db")

    assert (all_.returncode, one.returncode, restored.returncode) == (5, 5, 5)
    assert f"{full.id}: its checksum is wrong" in all_.stdout and full.id in one.stdout and full.id in restored.stderr
    assert not (tmp_path / "restored.db").exists()


def test_every_way_to_read_zstd_reads_the_same():
    data = writing.text(7).encode() * 4000
    frame = compress(data)
    ways = [way for way in (tool._by_module(), tool._by_library(), tool._by_program()) if way is not None]

    assert ways and all(way(frame, len(data)) == data for way in ways)
    for way in ways:
        with pytest.raises(ValueError):
            way(b"no zstd at all", 10)


def test_without_any_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tool, "_reader", [])
    for way in ("_by_module", "_by_library", "_by_program"):
        monkeypatch.setattr(tool, way, lambda: None)

    with pytest.raises(tool.Unknown, match="libzstd1 or zstd"):
        tool.decompress(b"", 0)
