"""Faults that the state machine must find, each as a patch of the product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

from app.core.schedules.fire_plan import find_next_fire
from app.service.schedules import changes, firing, verbs
from app.service.schedules import rules as schedule_rules
from db import schema, timestamps
from db.queries import schedules

Replace = Callable[[Any], Any]
Fault = tuple[Any, str, Replace]


class _WithoutPass:
    """The module `firing`, but for its pass."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Any:
        return _do_nothing if name == "fire_due" else getattr(self.module, name)


async def _do_nothing(*_: object) -> None:
    return None


def _move_to_the_time_after(original: Any) -> Any:
    def plan(rules: Any, next_fire: Any, now: Any) -> Any:
        found = original(rules, next_fire, now)
        return found if found.next_fire is None else found._replace(
            next_fire=find_next_fire(rules, found.next_fire)
        )  # fmt: skip

    return plan


def _count_from_now(original: Any) -> Any:
    def plan(rules: Any, next_fire: Any, now: Any) -> Any:
        return original(rules, next_fire, now)._replace(next_fire=find_next_fire(rules, now))

    return plan


def _record_nothing_missed(original: Any) -> Any:
    return lambda *args: original(*args)._replace(missed=())


def _shift_fire_time(original: Any) -> Any:
    return lambda c, row, at, *rest: original(c, row, at + timedelta(seconds=1), *rest)


def _record_no_submitted(original: Any) -> Any:
    def record(c: Any, name: str, rows: Any) -> None:
        original(c, name, [row for row in rows if row[1] != "submitted"])

    return record


def _move_in_any_case(original: Any) -> Any:
    def move(c: Any, row: Any, next_fire: Any, due_at: Any, **values: Any) -> bool:
        table = schema.schedules
        c.execute(
            table.update().where(table.c.name == row.name)
            .values(next_fire=next_fire, due_at=due_at, updated_at=timestamps.now(), **values)
        )  # fmt: skip
        return True

    return move


def _settle_from_now(original: Any) -> Any:
    def settle(c: Any, name: str, changed: Any, now: Any, must_fire: bool = False) -> None:
        original(c, name, {*changed, "status"}, now, must_fire)

    return settle


def _count_all_as_changed(original: Any) -> Any:
    def find(c: Any, moment: str) -> list[str]:
        rows = schedules.list_all(c)
        return [row.name for row in rows if row.next_fire and row.updated_at > moment]

    return find


FAULTS: Mapping[str, Fault] = {
    "handled fire times are not looked up": (
        firing, "_settle_handled", lambda _: lambda *args: set[str]()
    ),
    "a clock set back is not noticed": (
        schedules, "list_changed_after", lambda _: lambda c, moment: list[str]()
    ),
    "what is due is dropped by a change": (verbs, "firing", _WithoutPass),
    "a fire time is left out": (firing, "plan_fires", _move_to_the_time_after),
    "a submitted fire time has no row": (schedules, "record_fires", _record_no_submitted),
    "a task gets another fire time": (firing, "submit_one", _shift_fire_time),
    "missed fire times are not recorded": (firing, "plan_fires", _record_nothing_missed),
    "a delayed fire time is left out": (firing, "plan_fires", _count_from_now),
    "a change during a pass is overwritten": (schedules, "move_next", _move_in_any_case),
    "a change of rules counts from now": (changes, "settle_next", _settle_from_now),
    "a pause that ended is ended again": (
        schedule_rules, "is_paused", lambda _: lambda row, now: row.status == "paused"
    ),
    "a boot counts twice": (
        schedules, "list_boot", lambda was: lambda c, boot_id: was(c, "no such boot")
    ),
    "a clock set back drops what is delayed": (
        schedules, "list_changed_after", _count_all_as_changed
    ),
}  # fmt: skip
QUICK = list(FAULTS)[:7]
"""Faults that are found within few steps."""


@contextmanager
def inject_fault(name: str) -> Iterator[None]:
    """Patch the product in the block."""
    module, attribute, replace = FAULTS[name]
    with mock.patch.object(module, attribute, replace(getattr(module, attribute))):
        yield
