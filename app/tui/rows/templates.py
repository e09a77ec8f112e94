"""Rows of the template list, and the details of one template."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.core.notifications.notices import describe_default_notice
from app.core.scheduling.resources import format_named
from app.core.schema.secrets import is_secret_property, mask_record
from app.core.text import units
from app.core.text.sanitize import pad, sanitize_lines
from app.translation import tr
from app.tui.style import Look, Span
from app.tui.time_format import format_age_ago
from app.tui.widgets.document import wrap_text
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection

MAX_COUNTED = 10_000
"""Number of uses at which the service stops counting."""


@dataclass(frozen=True, slots=True)
class TemplateEntry:
    """Template of the list.

    `parameters` and `required` are counts, `median` is in seconds and `last` in UNIX seconds;
    `facts` is the row of `template.ls`.
    """

    name: str
    engine: str
    queue: str | None = None
    description: str = ""
    parameters: int = 0
    required: int = 0
    used: int = 0
    active: int = 0
    last: float | None = None
    median: float | None = None
    retired: bool = False
    requests: tuple[float | None, ...] = (None, None, None)
    """CPU, memory and timeout of its tasks."""
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        return self.name


def make_template(row: Mapping[str, Any]) -> TemplateEntry:
    """Return the row of an answer of `template.ls` with usage."""
    schema = row.get("parameters") or {}
    named = list(_collect_properties(schema))
    needed = {name for part in _find_groups(schema) for name in part.get("required") or ()}
    last = row.get("last_used")
    return TemplateEntry(
        row["name"], row["engine"], row.get("queue"), row.get("description") or "", len(named),
        len(needed & {*named}),
        row.get("used") or 0, row.get("active") or 0,
        datetime.fromisoformat(last).timestamp() if last else None, row.get("median"),
        bool(row.get("retired_at")), (row.get("cpu"), row.get("memory"), row.get("timeout")), row,
    )  # fmt: skip


def _find_groups(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and the schemas it is composed of.

    The groups of nf-core schemas are parts of an `allOf` that refer to definitions.
    """
    yield schema
    for part in schema.get("allOf") or ():
        if isinstance(part, Mapping):
            found = _resolve_pointer(schema, str(part["$ref"])) if "$ref" in part else part
            yield from [found] if isinstance(found, Mapping) else []


def _resolve_pointer(schema: Any, pointer: str) -> Any:
    for step in pointer.removeprefix("#/").split("/"):
        schema = schema.get(step) if isinstance(schema, Mapping) else None
    return schema


def _collect_properties(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the top-level parameters by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for part in _find_groups(schema):
        named = part.get("properties")
        if isinstance(named, Mapping):
            found |= {
                str(name): inner if isinstance(inner, Mapping) else {}
                for name, inner in named.items()
            }
    return found


_WIDE = (
    TableColumn("NAME", 16, 48, gap=0, fits=True, grow=1, floor=12, cut="middle"),
    TableColumn("ENGINE", 6),
    TableColumn("QUEUE", 10, 14, drop=4, cut="middle"),
    TableColumn("PARAMETERS", 18, 18, drop=3, gap=2),
    TableColumn("USED", 6, right=True),
    TableColumn("LAST", 10, gap=2),
    TableColumn("USUALLY", 7, right=True, drop=2),
    TableColumn("WHAT FOR", 14, grow=2, floor=8, gap=2),
)
_NARROW = (
    TableColumn("NAME", 14, 40, gap=0, fits=True, grow=1, floor=10, cut="middle"),
    TableColumn("ENGINE", 6, drop=3),
    TableColumn("PARAMETERS", 10, 18, drop=2, fits=True),
    TableColumn("USED", 5, 7, right=True, fits=True),
    TableColumn("LAST", 8, 10, fits=True),
    TableColumn("USUALLY", 7, right=True, drop=1),
    TableColumn("WHAT FOR", 10, grow=2, floor=6, gap=2),
)


def _make_cells(row: TemplateEntry, look: Look, now: float) -> Cells:
    quiet = "dim" if row.retired else ""
    name, engine = Cell(look.sanitize(row.name), quiet), Cell(look.sanitize(row.engine), quiet)
    return (
        name,
        engine,
        Cell(_format_queue(row, look), quiet),
        *_make_common_cells(row, look, now),
    )


def _make_narrow_cells(row: TemplateEntry, look: Look, now: float) -> Cells:
    quiet = "dim" if row.retired else ""
    return (
        Cell(look.sanitize(row.name), quiet),
        Cell(look.sanitize(row.engine), quiet),
        *_make_common_cells(row, look, now),
    )


def _format_queue(row: TemplateEntry, look: Look) -> str:
    return look.sanitize(row.queue) if row.queue else look.adapt_text(units.MISSING)


def _make_common_cells(row: TemplateEntry, look: Look, now: float) -> Cells:
    quiet = "dim" if row.retired else ""
    usually = look.adapt_text(
        units.format_duration(row.median) if row.median is not None else units.MISSING
    )
    return (
        Cell(look.adapt_text(format_parameters(row)), quiet), Cell(format_used(row), quiet),
        Cell(look.adapt_text(_format_last_use(row, now)), quiet), Cell(usually, quiet),
        Cell((tr("retired") + "  " if row.retired else "") + look.sanitize(row.description), quiet),
    )  # fmt: skip


def format_parameters(row: TemplateEntry) -> str:
    """Return the number of parameters, such as `5 (2 required)`."""
    if not row.parameters:
        return units.MISSING
    return (
        tr("{parameters} ({required} required)", parameters=row.parameters, required=row.required)
        if row.required
        else str(row.parameters)
    )


def format_used(row: TemplateEntry) -> str:
    """Return the number of uses; large numbers are not exact."""
    return "10k+" if row.used >= MAX_COUNTED else f"{row.used:,}"


def _format_last_use(row: TemplateEntry, now: float) -> str:
    if row.active:
        return tr("now")
    return format_age_ago(row.last, now) if row.last is not None else units.MISSING


TEMPLATES = TableSection(
    "templates", TableGrid(_WIDE, _make_cells), TableGrid(_NARROW, _make_narrow_cells)
)


# Details


def make_details(row: TemplateEntry, room: int, look: Look) -> list[list[Span]]:
    """Return the details: what the template runs, its resources and its parameters."""
    lines: list[list[Span]] = []
    if row.description:
        lines += [
            [(f"  {line}", "")] for line in wrap_text(look.sanitize(row.description), room - 3)
        ]
    lines += _make_labelled_lines(tr("runs"), _list_command_lines(row, look), look)
    lines.append(_make_line(tr("requests"), _format_request(row), look))
    if told := describe_default_notice(row.facts.get("notify"), row.facts.get("notify_on")):
        lines.append(_make_line(tr("tells"), told, look))
    for name, schema in _collect_properties(row.facts.get("parameters") or {}).items():
        lines.append(_make_parameter_line(name, schema, row, room, look))
    return lines


def _make_labelled_lines(label: str, texts: Sequence[str], look: Look) -> Iterator[list[Span]]:
    for n, text in enumerate(texts):
        yield _make_line("" if n else label, text, look)


def _make_line(label: str, text: str, look: Look) -> list[Span]:
    return [(f"  {pad(label, 10)}", "dim"), (look.adapt_text(text), "")]


def _list_command_lines(row: TemplateEntry, look: Look) -> list[str]:
    """Return the command or the script as safe lines."""
    schema = row.facts.get("schema") or {}
    if isinstance(schema.get("argv"), list):
        return [look.sanitize(shlex.join(map(str, schema["argv"])))]
    text = str(schema.get("script") or schema.get("callable") or "")
    return [look.sanitize(line) for line in sanitize_lines(text.rstrip()).split("\n")]


def _format_request(row: TemplateEntry) -> str:
    cpu, memory, timeout = row.requests
    parts = [
        tr("{count} cpu", count=units.format_number(1.0 if cpu is None else cpu)),
        tr("{memory} memory", memory=units.format_memory(memory)) if memory else tr("no memory"),
        *([named] if (named := format_named(row.facts.get("resources"))) else []),
    ]
    return ", ".join(
        [
            *parts,
            (
                tr("at most {timeout}", timeout=units.format_duration_setting(timeout))
                if timeout is not None
                else tr("no limit")
            ),
        ]
    )


def _make_parameter_line(
    name: str, schema: Mapping[str, Any], row: TemplateEntry, room: int, look: Look
) -> list[Span]:
    needed = any(
        name in (part.get("required") or ())
        for part in _find_groups(row.facts.get("parameters") or {})
    )
    kind = schema.get("type", "any")
    kind = kind if isinstance(kind, str) else "any"
    words = [kind, *([tr("required")] if needed else [])]
    if "default" in schema:
        default = mask_record(schema, is_secret_property(name, schema))["default"]
        words.append(tr("default {default}", default=look.cut(look.sanitize(str(default)), 20)))
    description = look.sanitize(f"{', '.join(words)}  {schema.get('description') or ''}".rstrip())
    shown = pad(look.cut(look.sanitize(name), 20, "middle"), 20)
    return [
        (f"  {shown} ", "bold" if needed else ""),
        (look.cut(description, max(1, room - 24)), "dim"),
    ]
