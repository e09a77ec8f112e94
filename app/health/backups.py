"""What is left when the database is lost: the newest backup, and the copy on another disk or host."""

from __future__ import annotations

import os

from app import config
from app.core.text import units
from app.core.text.sanitize import clean, cut
from app.health.finding import Finding, quote, taskdeck
from app.paths import config_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def backups(home: str, found: dict[str, Any] | None) -> Iterator[Finding]:
    """How old the newest is, and where it lies; `found` as `status` tells it, None where none are taken."""
    if found is None:
        text = "none are taken as config.toml stands"
        yield Finding("backups", text, "hint", f'"${{EDITOR:-vi}}" {quote(config_file())}')
        return
    folder = clean(found["folder"])
    take = taskdeck(home, "db backup")
    why, cure = _in_the_way(found["folder"])
    if why:
        have = "none, and none" if found["at"] is None else f"the newest {_age(found['at'])} old, and no other"
        yield Finding("backups", f"{have} can be taken: {why}", "broken", cure)
    elif found["gone"]:
        what = "none" if "folder" in found["gone"] else "the newest is lost"
        yield Finding("backups", f"{what}: {clean(found['gone'])}: {folder}", "broken", take)
    elif found["at"] is None:
        yield Finding("backups", f"none yet in {folder}; a runtime takes the first within a minute or two")
    else:
        text = f"the newest {_age(found['at'])} old, in {folder}"
        yield Finding("backups", f"{text}: late", "hint", take) if found["late"] else Finding("backups", f"{text}, restored and checked")


def _in_the_way(folder: str) -> tuple[str, str]:
    """Why no backup can be put into the home's folder within that of the settings, and the cure; without one it is told of the home."""
    named = config.read(config_file()).upkeep.backup.folder
    if named is None:
        return "", ""
    named = named.rstrip("/") or "/"
    above = os.path.dirname(named)
    if not os.path.lexists(named) and not os.path.isdir(above):
        why = f"there is no folder {clean(above)}, in which {clean(os.path.basename(named))} is to be made; is its disk mounted?"
        another = f'"${{EDITOR:-vi}}" {quote(config_file())}'
        return why, f"mount its disk, or name another folder: {another}; where there is to be no disk: mkdir -p {quote(above)}"
    place = next(one for one in (folder, named, above) if os.path.lexists(one))
    if not os.path.isdir(place):
        return f"{clean(place)} is no folder", f"ls -ld {quote(place)}"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{clean(place)} cannot be written to", f"ls -ld {quote(place)}"
    return "", ""


def replica(home: str, found: dict[str, Any]) -> Iterator[Finding]:
    """How old the copy is; nothing where there is none to be. `found` as `db replica --json` tells it."""
    if found["target"] is None:
        return
    age = f"{units.age(found['lag'])} old" if found["lag"] is not None else "never copied yet"
    text = f"{clean(found['target'])}, {age}"
    if found["problem"]:
        said = cut(clean(found["problem"]), 200)
        cure = taskdeck(home, "db replica off") if found["promoted"] else taskdeck(home, "db replica")
        yield Finding("replica", f"{text}: {said}", "broken" if found["late"] else "hint", cure)
    elif found["late"]:
        yield Finding("replica", f"{text}, late: is a runtime up?", "hint", taskdeck(home, "db replica"))
    else:
        yield Finding("replica", text)


def _age(at: str) -> str:
    from datetime import UTC, datetime

    return units.age(max(0.0, (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()))
