"""Where an edit form reads what is stored, as rows by the names of its fields, and what its lists offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.core import metrics
from app.tui.forms.edit_model import NEW_POOL, NEW_QUEUE, NEW_RULE, SILENCE, TASK, EditKind, format_duration

if TYPE_CHECKING:
    from app.client import Client

SourceRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EditRows:
    """The rows that are edited, what each list offers, the names that are taken."""

    rows: tuple[SourceRow, ...] = ()
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EditSource:
    """What is edited: a kind of thing, and which of them (none: a new one)."""

    kind: EditKind
    idents: tuple[str, ...] = ()
    called: str = ""

    @property
    def is_new(self) -> bool:
        """Whether the form makes something."""
        return self.kind in (NEW_QUEUE, NEW_POOL, NEW_RULE, SILENCE)

    @property
    def word(self) -> str:
        """`queue`, `rule`."""
        return "rule" if self.kind.word == "sla" else self.kind.word

    @property
    def title(self) -> str:
        """`Edit queue media`, `New rule`."""
        if self.kind is SILENCE:
            return f"Silence {self.idents[0]}"
        if self.is_new:
            return f"New {self.word}"
        return f"Edit {self.called or f'{self.word} {self.idents[0]}'}"

    @property
    def key(self) -> str:
        """What tells this form's contents from another's."""
        return "\n".join((self.kind.word, *self.idents))

    def read_rows(self, client: Client) -> EditRows:
        """Ask the runtime. Raises NotFound for a task that is gone; other things that are gone are no rows."""
        if self.kind is SILENCE:
            return EditRows()
        if self.kind is TASK:
            rows = tuple(_convert_task(client.call("show", {"id": ident})) for ident in self.idents)
            return EditRows(rows, {"queue": _read_names(client, "queue")})
        rows = [_convert_row(row) for row in client.call(f"{self.kind.word}.ls")]
        taken = frozenset(row["name"] for row in rows)
        return EditRows(tuple(row for row in rows if row["name"] in self.idents), self._read_options(client), taken)

    def _read_options(self, client: Client) -> dict[str, Sequence[str]]:
        if self.kind.word == "queue":
            return {"pool": _read_names(client, "pool")}
        if self.kind.word == "sla":
            return {"template": _read_names(client, "template"), "queue": _read_names(client, "queue")}
        return {}


def _read_names(client: Client, kind: str) -> list[str]:
    return [str(row["name"]) for row in client.call(f"{kind}.ls") if not row.get("retired_at")]


def _convert_task(row: SourceRow) -> SourceRow:
    return {**row, "at": row["not_before"] or ""}


def _convert_row(row: SourceRow) -> dict[str, Any]:
    """A row of any kind by the names of the fields."""
    if "total_cpu" in row:
        return {**row, "cpu": row["total_cpu"], "memory": row["total_memory"]}
    return convert_rule(row) if "conditions" in row else dict(row)


def convert_rule(row: SourceRow) -> dict[str, Any]:
    """A rule of `sla.ls` by the names of the form's fields; a metric stands in the place of its preset."""
    conditions, match = row["conditions"], row["conditions"].get("match") or {}
    own = {name: match.get(name) or "" for name in ("template", "queue", "task")}
    metric = conditions.get("metric")
    timed = not metric or metrics.get_unit(metric) == metrics.SECONDS
    limit = format_duration(row["limit"]) if timed else str(conditions["value"])
    more = {"preset": metric or conditions["preset"], "value": limit, "tag": match.get("tag") or {}, "enabled": bool(row["enabled"])}
    return {**row, **own, **more}
