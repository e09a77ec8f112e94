"""Result of a reconciliation."""

from __future__ import annotations

from dataclasses import dataclass, field

VERB = "db restore"
"""Verb in the operation log."""
BY = "restore"
"""Author of holds on tasks that may have run."""
PASSED_OVER = "passed_over"
"""Key in the operation for the first and last skipped number."""


@dataclass(slots=True)
class ReconcileResult:
    """Result of a reconciliation.

    `tasks`: numbers of tasks submitted after the backup. `renumbered`: (old, new) numbers of tasks
    whose number the backup gave to another task. `runs`: runs that began or ended after the backup.
    `ended`: numbers of tasks restored as ended. `cancelled`, `deleted`, `stay_held`, `released`:
    tasks that keep a user's later decision. `alive`: active runs. `adopted`: numbers of tasks
    created for active runs. `held`: tasks held because they may have run. `unknown`: runs of
    unknown tasks. `lost`: used numbers whose tasks are gone, an upper bound if `at_most`.
    `unreadable`: numbers of new tasks left out as unreadable.
    `passed_over`: first and last skipped number. `whole`: the present database was readable to the
    end. `next`: the next number. Not restored: `dropped`, names of new definitions by kind;
    `undone`, reverted changes by verb; `operations`, their total.
    """

    tasks: list[int] = field(default_factory=list)
    renumbered: list[tuple[int, int]] = field(default_factory=list)
    cancelled: int = 0
    deleted: int = 0
    stay_held: int = 0
    released: int = 0
    runs: int = 0
    ended: list[int] = field(default_factory=list)
    alive: int = 0
    adopted: list[int] = field(default_factory=list)
    held: int = 0
    unknown: int = 0
    lost: list[int] = field(default_factory=list)
    at_most: bool = False
    unreadable: list[int] = field(default_factory=list)
    passed_over: list[int] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    undone: dict[str, int] = field(default_factory=dict)
    operations: int = 0
    whole: bool = False
    next: int = 1
