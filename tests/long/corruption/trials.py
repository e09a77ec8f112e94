"""One home damaged in one random way: started, explained, restored."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import paths
from app.home.lock import hold_lock
from app.home.setup import prepare_apart
from app.offline import restore as offline_restore
from app.runtime.serve import in_words
from db.backup.create import Rules, take
from db.engine import write_engine
from db.errors import DamagedDatabase
from db.maintenance import integrity, migrate
from db.restore import swap
from tests.db.builders import Made

PAGE = 4096


def furnish(home: Path, tasks: int) -> None:
    """Give a home a database with so many tasks, a third of which ran, and a backup of it."""
    path = paths.database(home)
    migrate.migrate(path)
    engine = write_engine(path)
    with engine.begin() as c:
        from db.defaults import seed

        seed(c)
        made = Made(c)
        for at in range(tasks):
            uuid = made.task(name=f"work {at} " + "x" * (at % 40), hold=at % 3 == 1)
            if at % 3 == 0:
                made.ran(uuid, at % 2)
    engine.dispose()
    take(path, home / "backups", Rules(), full=True)


def zeros(path: Path, dice: random.Random) -> str:
    """A page that was never written out."""
    return _over(path, _page(path, dice), bytes(PAGE), "zeros in page")


def noise(path: Path, dice: random.Random) -> str:
    """A page of random bytes."""
    return _over(path, _page(path, dice), dice.randbytes(PAGE), "noise in page")


def spoiled_tree(path: Path, dice: random.Random) -> str:
    """Random bytes where a page says what is in it."""
    return _over(path, _page(path, dice), dice.randbytes(64), "noise at the head of page")


def header(path: Path, dice: random.Random) -> str:
    """The first bytes of the file."""
    return _over(path, 0, dice.randbytes(100), "noise in the header, page")


def cut(path: Path, dice: random.Random) -> str:
    """The end is missing."""
    size = dice.randrange(0, path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"cut to {size} bytes"


KINDS: tuple[Callable[[Path, random.Random], str], ...] = (zeros, noise, spoiled_tree, header, cut)


def _page(path: Path, dice: random.Random) -> int:
    return dice.randrange(1, path.stat().st_size // PAGE)


def _over(path: Path, page: int, data: bytes, said: str) -> str:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(data)
    return f"{said} {page + 1}"


def start(home: Path) -> DamagedDatabase | None:
    """What a runtime says before it opens the database; None when it would come up."""
    try:
        with in_words(home), hold_lock(home):
            prepare_apart(home)
    except DamagedDatabase as damage:
        return damage
    return None


def trial(model: Path, home: Path, dice: random.Random) -> str:
    """Damage a copy of the home `model` at `home`, until it is damage that SQLite can know of; what was done to it."""
    while True:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(model, home)
        path = paths.database(home)
        said = dice.choice(KINDS)(path, dice)
        if path.stat().st_size == 0 or not swap.is_sound(path):
            break
    before = _files(home)
    damage = start(home)
    assert damage is not None, f"{said}: not noticed"
    assert damage.exit_code == 5 and "It was not written to. Newest good backup: " in damage.message, f"{said}: {damage}"
    assert damage.hint == "See what would change: taskdeck db restore --dry-run", f"{said}: {damage}"
    assert _files(home) == before, f"{said}: written to"
    _bring_back(home, before["taskdeck.db"], said)
    return said


def _bring_back(home: Path, damaged: bytes, said: str) -> None:
    told: list[dict[str, Any]] = []
    done = offline_restore.restore_home(str(home), None, None, lambda found: not told.append(found))
    assert done["restored"] and Path(done["kept"]).read_bytes() == damaged, f"{said}: the damaged file was not kept as it was"
    assert integrity.check(paths.database(home)) == [], f"{said}: restored, and not well"
    assert done["after"]["newest"] is not None and start(home) is None, f"{said}: restored, and does not start"


def _files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.glob("taskdeck.db*")}
