"""Offline restore of a backup, in place of the database or into a new file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app import paths
from app.errors import Conflict, NotFound, Storage
from app.home.database_presence import is_unused_since
from app.home.lock import hold_stopped_home, is_held
from app.offline.backup_picker import BackupChoice, choose_backup
from app.offline.home_errors import translate_os_errors
from app.paths import get_user_name
from app.service.database import integrity, journal, outer_journal
from app.service.tasks.submission import number_file
from app.translation import tr
from db.queries.history.operations import Actor
from db.restore import swap
from db.restore.adopt_runs import ObservedRun
from db.sqlite_files import SIDE_SUFFIXES

UNCHANGED = "Nothing was restored."
RestoreChanges = dict[str, Any]
"""Changes of a restore: backup, before, after, carried, present, restored, kept."""


def restore_home(
    home: str,
    ident: str | None,
    at: str | None,
    confirm: Callable[[RestoreChanges], bool],
    is_dry_run: bool = False,
    is_interactive: bool = False,
) -> RestoreChanges:
    """Replace the database by a backup if `confirm` accepts the changes.

    `ident` selects the backup (see `choose_backup`); without it, the newest good one at or before
    the stored time `at` is used. With `is_dry_run`, nothing changes. With `is_interactive`, the
    home stays usable while a person decides. Raise RuntimeExists while a runtime is running, except
    for a dry run; Conflict if the changes differ after the decision; BadBackup, NoBackup and
    Storage.
    """
    home_path = Path(home)
    with translate_os_errors(home):
        choice, numbers = choose_backup(home_path, ident, at), number_file.read_numbers(home_path)
        paths.make_home(home_path)
        if is_interactive:
            _refuse_while_held(home_path)
        if is_dry_run or is_interactive:
            with _prepare_restore(home_path, choice, numbers, is_dry_run=True) as (_, changes):
                shown_changes = changes
            if not confirm(shown_changes) or is_dry_run:
                return shown_changes
            confirm = _make_unchanged_check(shown_changes)
        with (
            hold_stopped_home(home_path, UNCHANGED),
            _prepare_restore(home_path, choice, numbers) as (ready, changes),
        ):
            if not confirm(changes):
                return changes
            number_file.skip_numbers(home_path, ready.carried.next - 1, ready.carried.passed_over)
            kept = swap.swap_in(ready, paths.get_database_path(home_path))
        return changes | {"restored": True, "kept": None if kept is None else str(kept)}


def _refuse_while_held(home: Path) -> None:
    """Raise RuntimeExists if a runtime is running, before the user is asked."""
    if is_held(home):
        with hold_stopped_home(home, UNCHANGED):
            pass


def _make_unchanged_check(shown_changes: RestoreChanges) -> Callable[[RestoreChanges], bool]:
    """Return a function that accepts only the changes shown before."""

    def agree(changes: RestoreChanges) -> bool:
        if changes != shown_changes:
            raise Conflict(
                "the changes differ from those you confirmed. Nothing was restored.",
                "Preview: taskdeck db restore --dry-run",
            )
        return True

    return agree


def _list_observed(home: Path) -> list[ObservedRun]:
    """Return the runs that keeper, logs and spool know. The spool knows most of its own."""
    outer = {run.runid: run for run in outer_journal.list_outer_runs(home)}
    return [*outer.values(), *(run for run in journal.list_runs(home) if run.runid not in outer)]


@contextmanager
def _prepare_restore(
    home: Path, choice: BackupChoice, numbers: number_file.TaskNumbers, is_dry_run: bool = False
) -> Iterator[tuple[swap.PreparedRestore, RestoreChanges]]:
    """Prepare the new database and yield it with the changes."""
    with swap.prepare_restore(
        choice.rebuild,
        paths.get_database_path(home),
        choice.size,
        lambda: _list_observed(home),
        max(numbers.highest, choice.highest_number),
        Actor(get_user_name(os.getuid())),
        choice.label,
        is_dry_run,
        is_unused_since(home, choice.last_own_id),
        lambda path: (
            not (is_dry_run and is_held(home)) and bool(integrity.find_lost_writes(home, path))
        ),
        numbers.passed,
        choice.summary["id"] == choice.last_own_id,
    ) as ready:
        yield ready, {"backup": choice.summary, **ready.to_json(), "restored": False, "kept": None}


def restore_to_file(home: str, ident: str | None, at: str | None, target: str) -> dict[str, Any]:
    """Restore a backup into a new file, at any time.

    Raise Conflict if the file exists, NotFound if its folder does not.
    """
    with translate_os_errors(home):
        # SQLite would apply an existing log to the new file
        for there in (target, *(f"{target}{ending}" for ending in SIDE_SUFFIXES)):
            if os.path.lexists(there):
                raise Conflict(
                    "{there} already exists. Nothing was restored.",
                    "Choose another name: --to FILE",
                    there=there,
                )
        where = os.path.dirname(target)
        if not os.path.isdir(where):
            raise NotFound(
                "folder {where} does not exist. Nothing was restored.",
                "Create it, or choose another: --to FILE",
                where=where,
            )
        if (
            os.path.basename(target) in paths.DATABASES
            or Path(home).resolve() in Path(where).resolve().parents
        ):
            said = tr(
                "{target} would become a file of a home. Nothing was restored.", target=target
            )
            raise Conflict(
                said,
                "To replace the database: taskdeck db restore. To keep both: --to FILE, "
                "outside the home.",
            )
        if not os.access(where, os.W_OK):
            raise Storage(
                "{where} is not writable. Nothing was restored.",
                "Choose another folder: --to FILE",
                where=where,
            )
        choice = choose_backup(Path(home), ident, at, any_home=True)
        stand = swap.build_image(choice.rebuild, Path(target), choice.size, choice.label)
    return {"backup": choice.summary, "to": target, "after": asdict(stand)}
