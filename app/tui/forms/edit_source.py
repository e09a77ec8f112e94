"""Edit source: reads the stored rows of an edit form and the options of its lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.core import metrics
from app.translation import tr
from app.tui.forms import notice_model
from app.tui.forms.command_field import format_work
from app.tui.forms.edit_model import (
    ACKNOWLEDGE,
    NEW_POOL,
    NEW_QUEUE,
    NEW_RULE,
    SILENCE,
    TASK,
    EditKind,
    format_duration,
)
from app.tui.forms.schedule_model import NEW_SCHEDULE, convert_schedule

if TYPE_CHECKING:
    from app.client import Client

SourceRow = Mapping[str, Any]
Options = Sequence[str] | Sequence[tuple[str, str]]
"""Values of a list, or values with labels."""


@dataclass(frozen=True, slots=True)
class EditRows:
    """Rows being edited, options of each list, names in use."""

    rows: tuple[SourceRow, ...] = ()
    options: Mapping[str, Options] = field(default_factory=dict)
    names_in_use: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EditSource:
    """Objects being edited: their kind and ids (none for a new object)."""

    kind: EditKind
    idents: tuple[str, ...] = ()
    called: str = ""

    @property
    def is_new(self) -> bool:
        """True if the form creates an object."""
        made = (NEW_QUEUE, NEW_POOL, NEW_RULE, NEW_SCHEDULE)
        return self.kind in made or not self.kind.has_rows

    @property
    def word(self) -> str:
        """Word for the kind: `queue`, `rule`."""
        return "rule" if self.kind.word == "sla" else self.kind.word

    @property
    def title(self) -> str:
        """Title: `Edit queue media`, `New rule`."""
        if self.kind is SILENCE:
            return tr("Silence {name}", name=self.idents[0])
        if self.kind is ACKNOWLEDGE:
            return tr("Acknowledge {name}", name=self.called)
        if self.kind.title:
            return f"{tr(self.kind.title)} {self.called}"
        if self.is_new:
            return tr("New {kind}", kind=tr(self.word))
        return tr("Edit {name}", name=self.called or f"{tr(self.word)} {self.idents[0]}")

    @property
    def key(self) -> str:
        """Unique key of the form's contents."""
        return "\n".join((self.kind.word, *self.idents))

    def read_rows(self, client: Client) -> EditRows:
        """Read the rows from the runtime.

        Raise NotFound for a missing task; other missing objects yield no rows.
        """
        if not self.kind.has_rows:
            return EditRows()
        if self.kind.word == "retry":
            return EditRows(tuple(client.call("show", {"id": ident}) for ident in self.idents))
        if self.kind is TASK:
            rows = tuple(_convert_task(client.call("show", {"id": ident})) for ident in self.idents)
            return EditRows(
                rows, {"queue": _read_names(client, "queue"), "notify": _read_notices(client, rows)}
            )
        rows = [_convert_row(row) for row in client.call(f"{self.kind.word}.ls")]
        taken = frozenset(row["name"] for row in rows)
        return EditRows(
            tuple(row for row in rows if row["name"] in self.idents),
            self._read_options(client, [row for row in rows if row["name"] in self.idents]),
            taken,
        )

    def _read_options(self, client: Client, rows: Sequence[SourceRow]) -> dict[str, Options]:
        if self.kind.word == "queue":
            return {"pool": _read_names(client, "pool")}
        if self.kind.word in ("sla", "schedule"):
            more = ("pool", "schedule") if self.kind is NEW_RULE else ()
            found: dict[str, Options] = {
                kind: _read_names(client, kind) for kind in ("template", "queue", *more)
            }
            if self.kind is NEW_RULE:
                found["channel"] = notice_model.list_channels(client.call("notify.ls"))
            if self.kind.word == "schedule":
                found["notify"] = _read_notices(client, rows)
            return found
        return {}


def _read_names(client: Client, kind: str) -> list[str]:
    return [str(row["name"]) for row in client.call(f"{kind}.ls") if not row.get("retired_at")]


def _read_notices(client: Client, rows: Sequence[SourceRow]) -> list[tuple[str, str]]:
    """Return who may hear of the end of a task, and who does."""
    channels = notice_model.list_channels(client.call("notify.ls"))
    return notice_model.list_notice_options(channels, [row["notify"] for row in rows])


def _convert_task(row: SourceRow) -> SourceRow:
    told = notice_model.read_recipient(row.get("notify"))
    command = format_work(row["launch"])
    return {**row, "at": row["not_before"] or "", "notify": told, "command": command}


def _convert_row(row: SourceRow) -> dict[str, Any]:
    """Return a row of any kind, keyed by the form's field names."""
    if "total_cpu" in row:
        return {**row, "cpu": row["total_cpu"], "memory": row["total_memory"]}
    if "expression" in row:
        return convert_schedule(row)
    return convert_rule(row) if "conditions" in row else dict(row)


def convert_rule(row: SourceRow) -> dict[str, Any]:
    """Return a rule of `sla.ls`, keyed by the form's field names.

    A metric replaces the preset. A rule of conditions keeps only what all rules have.
    """
    if is_rule_of_conditions(row):
        return {**row, "enabled": bool(row["enabled"])}
    conditions, match = row["conditions"], row["conditions"].get("match") or {}
    own = {name: match.get(name) or "" for name in ("template", "queue", "task")}
    metric = conditions.get("metric")
    timed = not metric or metrics.get_unit(metric) == metrics.SECONDS
    limit = format_duration(row["limit"]) if timed else str(conditions.get("value", ""))
    more = {
        "preset": metric or conditions.get("preset", ""),
        "value": limit,
        "tag": match.get("tag") or {},
        "enabled": bool(row["enabled"]),
    }
    return {**row, **own, **more}


def is_rule_of_conditions(row: SourceRow) -> bool:
    """Return whether a row is a rule of the general form, which only the editor shows."""
    return "when" in (row.get("conditions") or {})
