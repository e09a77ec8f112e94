"""Corruption trials: a home is damaged at random, then started, diagnosed and restored."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import paths
from app.home.lock import hold_lock
from app.home.setup import prepare_in_subprocess
from app.offline import restore as offline_restore
from app.runtime.serve import translate_errors
from db.backup.create import BackupRules, take_backup
from db.engine import create_write_engine
from db.errors import DamagedDatabase
from db.maintenance import integrity, migrate
from db.restore import swap
from tests.db.builders import TaskBuilder

PAGE_SIZE = 4096


def fill_home(home: Path, tasks: int) -> None:
    """Create a database with tasks, a third of which have run, and a backup."""
    path = paths.get_database_path(home)
    migrate.migrate(path)
    engine = create_write_engine(path)
    with engine.begin() as c:
        from db.defaults import create_defaults

        create_defaults(c)
        builder = TaskBuilder(c)
        for at in range(tasks):
            uuid = builder.submit_task(name=f"work {at} " + "x" * (at % 40), hold=at % 3 == 1)
            if at % 3 == 0:
                builder.complete_run(uuid, at % 2)
    engine.dispose()
    take_backup(path, home / "backups", BackupRules(), full=True)


def write_zeros(path: Path, dice: random.Random) -> str:
    """Overwrite a page with zeros, as if it was never written."""
    return _overwrite(path, _choose_page(path, dice), bytes(PAGE_SIZE), "zeros in page")


def write_noise(path: Path, dice: random.Random) -> str:
    """Overwrite a page with random bytes."""
    return _overwrite(path, _choose_page(path, dice), dice.randbytes(PAGE_SIZE), "noise in page")


def write_page_header(path: Path, dice: random.Random) -> str:
    """Overwrite a page's header with random bytes."""
    return _overwrite(
        path, _choose_page(path, dice), dice.randbytes(64), "noise at the head of page"
    )


def write_file_header(path: Path, dice: random.Random) -> str:
    """Overwrite the file's header with random bytes."""
    return _overwrite(path, 0, dice.randbytes(100), "noise in the header, page")


def truncate_file(path: Path, dice: random.Random) -> str:
    """Cut off the end of the file."""
    size = dice.randrange(0, path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"cut to {size} bytes"


DAMAGE_KINDS: tuple[Callable[[Path, random.Random], str], ...] = (
    write_zeros,
    write_noise,
    write_page_header,
    write_file_header,
    truncate_file,
)


def _choose_page(path: Path, dice: random.Random) -> int:
    return dice.randrange(1, path.stat().st_size // PAGE_SIZE)


def _overwrite(path: Path, page: int, data: bytes, damage: str) -> str:
    with path.open("r+b") as file:
        file.seek(page * PAGE_SIZE)
        file.write(data)
    return f"{damage} {page + 1}"


def check_start(home: Path) -> DamagedDatabase | None:
    """Return the error that keeps a runtime from opening the database, or None."""
    try:
        with translate_errors(home), hold_lock(home):
            prepare_in_subprocess(home)
    except DamagedDatabase as damage:
        return damage
    return None


def run_trial(model: Path, home: Path, dice: random.Random) -> str:
    """Damage a copy of the model home until SQLite can notice; return the damage's description."""
    while True:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(model, home)
        path = paths.get_database_path(home)
        said = dice.choice(DAMAGE_KINDS)(path, dice)
        if path.stat().st_size == 0 or not swap.is_intact(path):
            break
    before = _read_files(home)
    damage = check_start(home)
    assert damage is not None, f"{said}: not noticed"
    assert (
        damage.exit_code == 5 and "It was not written to. Newest good backup: " in damage.message
    ), f"{said}: {damage}"
    assert damage.hint == "See what would change: taskdeck db restore --dry-run", (
        f"{said}: {damage}"
    )
    assert _read_files(home) == before, f"{said}: written to"
    _restore_and_check(home, before["taskdeck.db"], said)
    return said


def _restore_and_check(home: Path, damaged: bytes, damage: str) -> None:
    problems: list[dict[str, Any]] = []
    done = offline_restore.restore_home(
        str(home), None, None, lambda found: not problems.append(found)
    )
    assert done["restored"] and Path(done["kept"]).read_bytes() == damaged, (
        f"{damage}: the damaged file was not kept as it was"
    )
    assert integrity.check_database(paths.get_database_path(home)) == [], (
        f"{damage}: restored, and not well"
    )
    assert done["after"]["newest"] is not None and check_start(home) is None, (
        f"{damage}: restored, and does not start"
    )


def _read_files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.glob("taskdeck.db*")}
