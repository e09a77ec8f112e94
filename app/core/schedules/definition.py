"""Definition of a schedule and of a calendar, as in a definitions file and as stored.

A schedule names one of `cron`, `every`, `at`, `rrule` and `at_boot`. The other keys are its rules,
and the keys of a task: what it submits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    model_validator,
)

from app.core.json_types import is_array
from app.core.schedules.fire_plan import MISSED_RULES, ON_TIME, OVERLAP_RULES, RUN_ONCE
from app.core.schedules.recurrence import Recurrence, parse_recurrence
from app.core.schedules.recurrence_rule import check_rule
from app.core.schedules.zones import get_local_zone_name, get_zone
from app.core.task_spec import Duration, NameStr, TaskSpec, Timeout, describe_error
from app.core.text.joining import join_and
from app.core.text.units import format_exact_duration, parse_time, quote
from app.translation import tr

KEYS = {"cron": "cron", "every": "every", "at": "at", "rrule": "rrule", "at_boot": "boot"}
"""Kinds of recurrence by the key of the file."""
TASK_KEYS = (
    "argv", "script", "template", "parameters", "name", "queue", "priority", "timeout", "cpu",
    "memory", "resources", "retries", "retry_delay", "grace", "tags", "env", "log_limit",
    "signal", "output", "error", "retry_on_oom",
    "notify", "notify_on",
)  # fmt: skip
_DURATION_KEYS = ("timeout", "retry_delay", "grace")
_SIZE_KEYS = ("memory", "log_limit")
MAX_DATES = 10_000
"""Dates of one calendar."""
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_OTHER_TIME = datetime(2027, 1, 2, tzinfo=UTC)


def _check_zone(value: str) -> str:
    get_zone(value)
    return value


def _check_date(value: Any) -> str:
    try:
        return date.fromisoformat(
            value if isinstance(value, str) else value.isoformat()
        ).isoformat()
    except (ValueError, AttributeError):
        raise ValueError(
            tr("must be dates such as 2026-12-25, not {value}", value=quote(str(value)))
        ) from None


def _check_directory(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(
            tr("must be a whole path such as /srv/media, not {value}", value=quote(value))
        )
    return value


def _check_choice(*words: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in words:
            raise ValueError(
                tr(
                    "must be {words} or {last}, not {value}",
                    words=", ".join(words[:-1]),
                    last=words[-1],
                    value=quote(value),
                )
            )
        return value

    return AfterValidator(check)


def _to_text(value: Any) -> Any:
    """Return a number of seconds as text; other values as they are."""
    return str(value) if type(value) is int else value


def check_names(values: Any) -> None:
    """Raise ValueError unless the value is a list of texts."""
    if not is_array(values) or not all(isinstance(name, str) for name in values):
        raise ValueError(tr("must be a list of names"))


def check_stored_dates(values: Any) -> None:
    """Raise ValueError unless the value is a list of ISO dates, which may be empty."""
    check_names(values)
    for value in values:
        date.fromisoformat(value)


def _check_dates(values: Any) -> list[str]:
    """Return the sorted dates of a calendar. Raise ValueError."""
    if not is_array(values) or not values or len(values) > MAX_DATES:
        raise ValueError(
            tr("must be a list of 1 to {max_dates:,} dates such as 2026-12-25", max_dates=MAX_DATES)
        )
    return sorted({_check_date(value) for value in values})


class CalendarDefinition(BaseModel):
    """A named list of dates on which schedules do not fire."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    dates: Annotated[list[str], BeforeValidator(_check_dates)]
    description: str | None = None


MIN_MISSED_WITHIN = ON_TIME.total_seconds()
"""Seconds for which the newest fire time counts as on time."""


class ScheduleDefinition(BaseModel):
    """A schedule, validated but for what only the database knows: queues and templates."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    cron: str | None = None
    every: Annotated[str | None, BeforeValidator(_to_text)] = None
    at: str | None = None
    rrule: str | None = None
    at_boot: bool = False
    timezone: Annotated[str, AfterValidator(_check_zone)] | None = None
    overlap: Annotated[str, _check_choice(*OVERLAP_RULES)] = "skip"
    missed: Annotated[str, _check_choice(*MISSED_RULES)] = RUN_ONCE
    missed_within: Timeout | None = None
    jitter: Duration = 0.0
    until: str | None = None
    exclude: list[NameStr] = []
    description: str | None = None
    argv: Any = None
    script: Any = None
    template: Any = None
    parameters: Any = None
    name: Any = None
    queue: Any = None
    priority: Any = None
    timeout: Any = None
    cpu: Any = None
    memory: Any = None
    resources: Any = None
    retries: Any = None
    retry_delay: Any = None
    grace: Any = None
    tags: Any = None
    env: Any = None
    cwd: Annotated[str, AfterValidator(_check_directory)] | None = None
    log_limit: Any = None
    signal: Any = None
    output: Any = None
    error: Any = None
    retry_on_oom: Any = None
    notify: Any = None
    notify_on: Any = None

    @model_validator(mode="after")
    def _check(self) -> ScheduleDefinition:
        named = [key for key in KEYS if getattr(self, key)]
        if len(named) != 1:
            given = tr(", not {named}", named=join_and(named)) if named else ""
            raise ValueError(tr("needs one of {keys}{given}", keys=", ".join(KEYS), given=given))
        if self.missed_within is not None and self.missed_within < MIN_MISSED_WITHIN:
            raise ValueError(tr("missed_within must be at least 1m: before that no time is missed"))
        if self.rrule is None:
            self.make_recurrence(_ANY_TIME)
        else:  # whether it fires depends on its first day
            check_rule(self.rrule, "rrule ")
        self.make_task()
        self.get_until(_ANY_TIME)
        return self

    def make_recurrence(self, start: datetime) -> Recurrence:
        """Return the recurrence that counts from `start`. Raise ValueError."""
        key = next(key for key in KEYS if getattr(self, key))
        value = getattr(self, key)
        try:
            return parse_recurrence(
                KEYS[key], "" if value is True else str(value), self.get_zone_name(), start
            )
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None

    def make_task(self) -> dict[str, Any]:
        """Return the task to submit, with units resolved. Raise ValueError."""
        given = {key: getattr(self, key) for key in TASK_KEYS if getattr(self, key) is not None}
        try:
            spec = TaskSpec.model_validate(given)
        except ValidationError as error:
            raise ValueError(describe_error(error)) from None
        return spec.model_dump(mode="json", include=set(given))

    def get_zone_name(self) -> str:
        return self.timezone or get_local_zone_name()

    def get_until(self, now: datetime) -> datetime | None:
        """Return the last moment at which the schedule may fire. Raise ValueError."""
        if self.until is None:
            return None
        try:
            return parse_time(self.until, now, get_zone(self.get_zone_name()))
        except ValueError as error:
            raise ValueError(tr("until {error}", error=error)) from None


class FiledSchedule(ScheduleDefinition):
    """A schedule of a definitions file, which is applied again and again."""

    @model_validator(mode="after")
    def _check_until(self) -> FiledSchedule:
        if self.until is not None and self.get_until(_ANY_TIME) != self.get_until(_OTHER_TIME):
            raise ValueError(
                tr(
                    "until must be a date in a file, such as 2026-12-31T18:00, not {until},"
                    " which each apply would count from its own time",
                    until=quote(self.until),
                )
            )
        return self


def build_source(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a stored schedule, without defaults and the directory."""
    key = next(key for key, kind in KEYS.items() if kind == row["kind"])
    value = row["expression"]
    if key == "every":
        value = format_exact_duration(float(value))
    source: dict[str, Any] = {key: value or True, "timezone": row["zone"]}
    for name in ("overlap", "missed", "exclude", "description"):
        if row[name] != ScheduleDefinition.model_fields[name].default:
            source[name] = row[name]
    for name in ("missed_within", "jitter"):
        if row[name]:
            source[name] = format_exact_duration(row[name])
    if row["until"]:
        source["until"] = row["until"]
    task = row["task"]
    return source | {key: _format_value(key, task[key]) for key in TASK_KEYS if key in task}


def _format_value(key: str, value: Any) -> Any:
    """Return a value of a task as people type it: `2h`, `512M`."""
    if key in _DURATION_KEYS:
        return format_exact_duration(value)
    if key in _SIZE_KEYS and value % 1 == 0:
        return f"{value / 1024:.0f}G" if value and value % 1024 == 0 else f"{value:.0f}M"
    return int(value) if key == "cpu" and value % 1 == 0 else value
