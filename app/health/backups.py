"""What is left when the database is lost: the newest backup, and the copy on another disk or host."""

from __future__ import annotations

from app.core import amounts
from app.core.clean import clean, cut
from app.health.finding import Finding, quote, taskdeck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def backups(home: str, found: dict[str, Any] | None) -> Iterator[Finding]:
    """How old the newest is, and where it lies; `found` as `status` tells it, None where none are taken."""
    if found is None:
        from app.paths import config_file

        text = "none are taken as config.toml stands"
        yield Finding("backups", text, "hint", f'"${{EDITOR:-vi}}" {quote(config_file())}')
        return
    folder = clean(found["folder"])
    take = taskdeck(home, "db backup")
    if found["gone"]:
        what = "none" if "folder" in found["gone"] else "the newest is lost"
        yield Finding("backups", f"{what}: {clean(found['gone'])}: {folder}", "broken", take)
    elif found["at"] is None:
        yield Finding("backups", f"none yet in {folder}; a runtime takes the first within a minute or two")
    else:
        text = f"the newest {_age(found['at'])} old, in {folder}"
        yield Finding("backups", f"{text}: late", "hint", take) if found["late"] else Finding("backups", f"{text}, restored and checked")


def replica(home: str, found: dict[str, Any]) -> Iterator[Finding]:
    """How old the copy is; nothing where there is none to be. `found` as `db replica --json` tells it."""
    if found["target"] is None:
        return
    age = f"{amounts.age(found['lag'])} old" if found["lag"] is not None else "never copied yet"
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

    return amounts.age(max(0.0, (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()))
