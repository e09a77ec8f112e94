"""Health checks of backups and the replica: all that is left if the database is lost."""

from __future__ import annotations

import os

from app import config
from app.core.text import units
from app.core.text.replica_text import format_age_and_missed
from app.core.text.sanitize import sanitize, truncate
from app.health.finding import Finding, make_command, make_edit_command, quote_word
from app.paths import get_config_path
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def check_backups(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check the age and place of the newest backup.

    `status` comes from the verb `status`; None means that backups are off.
    """
    if status is None:
        text = "turned off in config.toml"
        yield Finding("backups", text, "hint", make_edit_command())
        return
    folder = sanitize(status["folder"])
    take = make_command(home, "db backup")
    why, cure = _find_obstacle(status["folder"])
    if why:
        have = (
            "none yet, and none"
            if status["at"] is None
            else tr("the newest is {age} old, and no other", age=_format_age(status["at"]))
        )
        yield Finding("backups", f"{have} can be taken: {why}", "broken", cure)
    elif status["gone"]:
        what = "none" if "folder" in status["gone"] else "the newest is lost"
        yield Finding("backups", f"{what}: {sanitize(status['gone'])}: {folder}", "broken", take)
    elif status["at"] is None:
        yield Finding(
            "backups",
            tr(
                "{folder} has no backup yet; a runtime takes the first backup within two minutes",
                folder=folder,
            ),
        )
    else:
        text = tr(
            "the newest is {age} old, in {folder}", age=_format_age(status["at"]), folder=folder
        )
        yield (
            Finding("backups", tr("{said}: late", said=text), "hint", take)
            if status["late"]
            else Finding("backups", tr("{said}, restored and checked", said=text))
        )


def _find_obstacle(folder: str) -> tuple[str, str]:
    """Return why the backup folder cannot be used, and a fix.

    The home's own folder is covered by the check of the home.
    """
    named = config.read(get_config_path()).maintenance.backup.folder
    if named is None:
        return "", ""
    named = named.rstrip("/") or "/"
    above = os.path.dirname(named)
    if not os.path.lexists(named) and not os.path.isdir(above):
        why = tr(
            "folder {above}, which should hold {named}, does not exist; is its disk mounted?",
            above=sanitize(above),
            named=sanitize(os.path.basename(named)),
        )
        another = make_edit_command()
        return why, (
            tr(
                "mount the disk, or set another folder: {another}; if no disk is expected: mkdir"
                " -p {above}",
                another=another,
                above=quote_word(above),
            )
        )
    place = next(one for one in (folder, named, above) if os.path.lexists(one))
    if not os.path.isdir(place):
        return tr("{place} is not a folder", place=sanitize(place)), f"ls -ld {quote_word(place)}"
    if not os.access(place, os.W_OK | os.X_OK):
        return tr("{place} is not writable", place=sanitize(place)), f"ls -ld {quote_word(place)}"
    return "", ""


def check_replica(home: str, found: dict[str, Any]) -> Iterator[Finding]:
    """Check the age of the replica, if there is one. `found` comes from `db replica --json`."""
    if found["target"] is None:
        return
    text = f"{sanitize(found['target'])}, {format_age_and_missed(found)}"
    if found["problem"]:
        problem = truncate(sanitize(found["problem"]), 200)
        cure = (
            make_command(home, "db replica off")
            if found["promoted"]
            else make_command(home, "db replica")
        )
        yield Finding("replica", f"{text}: {problem}", "broken" if found["late"] else "hint", cure)
    elif found["late"]:
        yield Finding(
            "replica",
            tr("{said}, late: is a runtime running?", said=text),
            "hint",
            make_command(home, "db replica"),
        )
    else:
        yield Finding("replica", text)


def _format_age(at: str) -> str:
    from datetime import UTC, datetime

    return units.format_age(
        max(0.0, (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
    )
