"""Short run of the state machine over schedules, which must find some injected faults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.schedules.fire_plan import find_next_fire
from app.service.schedules import firing
from db.queries import schedules
from tests.long.schedules.schedule_machine import run_machine


def test_each_fire_time_is_handled_exactly_once(fresh_database: Path):
    assert run_machine(fresh_database, steps=1000) > 50


Replace = Callable[[Any], Any]


def _move_to_the_time_after(original: Any) -> Any:
    def plan(rules: Any, next_fire: Any, now: Any) -> Any:
        found = original(rules, next_fire, now)
        return found if found.next_fire is None else found._replace(
            next_fire=find_next_fire(rules, found.next_fire)
        )  # fmt: skip

    return plan


def _record_nothing_missed(original: Any) -> Any:
    return lambda *args: original(*args)._replace(missed=())


def _shift_fire_time(original: Any) -> Any:
    return lambda c, row, at, *rest: original(c, row, at + timedelta(seconds=1), *rest)


def _record_in_another_transaction(original: Any) -> Any:
    def record(c: Any, name: str, rows: Any) -> None:
        original(c, name, [row for row in rows if row[1] != "submitted"])

    return record


FAULTS: dict[str, tuple[Any, str, Replace]] = {
    "a fire time is left out": (firing, "plan_fires", _move_to_the_time_after),
    "missed fire times are not recorded": (firing, "plan_fires", _record_nothing_missed),
    "a task gets another fire time": (firing, "submit_one", _shift_fire_time),
    "a submitted fire time has no row": (schedules, "record_fires", _record_in_another_transaction),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_an_injected_fault_is_found(
    fault: str, fresh_database: Path, monkeypatch: pytest.MonkeyPatch
):
    place, name, replace = FAULTS[fault]
    monkeypatch.setattr(place, name, replace(getattr(place, name)))

    with pytest.raises((AssertionError, ExceptionGroup)):
        run_machine(fresh_database, steps=5_000)
