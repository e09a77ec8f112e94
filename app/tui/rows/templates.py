"""The rows of the list of templates: what `template.ls` answers, how it becomes cells, and all there is to know about one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.core.schema.secrets import masked
from app.core.text import units
from app.core.text.sanitize import clean_lines, is_secret_name, pad
from app.tui.style import Look, Span
from app.tui.time_format import ago
from app.tui.widgets.document import wrap
from app.tui.widgets.table_columns import Cell, Cells, Column
from app.tui.widgets.table_parts import Grid, Part

COUNTED = 10_000
"""The service counts no more uses than this."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template. `parameters` and `required` are how many there are, `median` seconds, `last` UNIX seconds; `facts` is the row of
    `template.ls`."""

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
    asks: tuple[float | None, ...] = (None, None, None)
    """cpu, memory, timeout of its tasks."""
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        return self.name


def template(row: Mapping[str, Any]) -> Template:
    """A row of `template.ls` with its usage."""
    schema = row.get("parameters") or {}
    named = list(_properties(schema))
    needed = {name for part in _groups(schema) for name in part.get("required") or ()}
    last = row.get("last_used")
    return Template(
        row["name"], row["engine"], row.get("queue"), row.get("description") or "", len(named), len(needed & {*named}),
        row.get("used") or 0, row.get("active") or 0, datetime.fromisoformat(last).timestamp() if last else None, row.get("median"),
        bool(row.get("retired_at")), (row.get("cpu"), row.get("memory"), row.get("timeout")), row,
    )  # fmt: skip


def _groups(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema and what it is put together from: nf-core's groups are parts of an `allOf` that point at definitions."""
    yield schema
    for part in schema.get("allOf") or ():
        if isinstance(part, Mapping):
            found = _pointed(schema, str(part["$ref"])) if "$ref" in part else part
            yield from [found] if isinstance(found, Mapping) else []


def _pointed(schema: Any, pointer: str) -> Any:
    for step in pointer.removeprefix("#/").split("/"):
        schema = schema.get(step) if isinstance(schema, Mapping) else None
    return schema


def _properties(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The parameters at the top, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for part in _groups(schema):
        named = part.get("properties")
        if isinstance(named, Mapping):
            found |= {str(name): inner if isinstance(inner, Mapping) else {} for name, inner in named.items()}
    return found


_WIDE = (
    Column("", 16, 32, gap=0, grow=2, floor=12, cut="middle"),
    Column("ENGINE", 6),
    Column("QUEUE", 10, 14, drop=4, cut="middle"),
    Column("PARAMETERS", 18, 18, drop=3, gap=2),
    Column("USED", 6, right=True),
    Column("LAST", 10, gap=2),
    Column("USUALLY", 7, right=True, drop=2),
    Column("WHAT FOR", 14, grow=1, floor=8, gap=2),
)
_NARROW = (
    Column("", 14, 24, gap=0, grow=2, floor=10, cut="middle"),
    Column("ENGINE", 6, drop=3),
    Column("PARAMETERS", 10, 18, drop=2, fits=True),
    Column("USED", 5, 7, right=True, fits=True),
    Column("LAST", 8, 10, fits=True),
    Column("USUALLY", 7, right=True, drop=1),
    Column("WHAT FOR", 10, grow=1, floor=6, gap=2),
)


def _cells(row: Template, look: Look, now: float) -> Cells:
    quiet = "dim" if row.retired else ""
    name, engine = Cell(look.theirs(row.name), quiet), Cell(look.theirs(row.engine), quiet)
    return (name, engine, Cell(_queue(row, look), quiet), *_rest(row, look, now))


def _narrow_cells(row: Template, look: Look, now: float) -> Cells:
    quiet = "dim" if row.retired else ""
    return (Cell(look.theirs(row.name), quiet), Cell(look.theirs(row.engine), quiet), *_rest(row, look, now))


def _queue(row: Template, look: Look) -> str:
    return look.theirs(row.queue) if row.queue else look.own(units.MISSING)


def _rest(row: Template, look: Look, now: float) -> Cells:
    quiet = "dim" if row.retired else ""
    usually = look.own(units.duration(row.median) if row.median is not None else units.MISSING)
    return (
        Cell(look.own(parameters(row)), quiet), Cell(used(row), quiet), Cell(look.own(_last(row, now)), quiet), Cell(usually, quiet),
        Cell(("retired  " if row.retired else "") + look.theirs(row.description), quiet),
    )  # fmt: skip


def parameters(row: Template) -> str:
    """`5, 2 to fill in`."""
    if not row.parameters:
        return units.MISSING
    return f"{row.parameters}, {row.required} to fill in" if row.required else str(row.parameters)


def used(row: Template) -> str:
    """How often; of very many only that they are."""
    return "10k+" if row.used >= COUNTED else f"{row.used:,}"


def _last(row: Template, now: float) -> str:
    if row.active:
        return "now"
    return ago(row.last, now) if row.last is not None else units.MISSING


TEMPLATES = Part("templates", Grid(_WIDE, _cells), Grid(_NARROW, _narrow_cells))


# --- all about one ----------------------------------------------------------------------------------------------------------------------


def about(row: Template, room: int, look: Look) -> list[list[Span]]:
    """What it runs, what its tasks ask for, what may be filled in."""
    lines: list[list[Span]] = []
    if row.description:
        lines += [[(f"  {line}", "")] for line in wrap(look.theirs(row.description), room - 3)]
    lines += _labelled("runs", _command(row, look), look)
    lines.append(_line("asks for", _asks(row), look))
    for name, schema in _properties(row.facts.get("parameters") or {}).items():
        lines.append(_parameter(name, schema, row, room, look))
    return lines


def _labelled(label: str, texts: Sequence[str], look: Look) -> Iterator[list[Span]]:
    for n, text in enumerate(texts):
        yield _line("" if n else label, text, look)


def _line(label: str, text: str, look: Look) -> list[Span]:
    return [(f"  {pad(label, 10)}", "dim"), (look.own(text), "")]


def _command(row: Template, look: Look) -> list[str]:
    """Its command or script, line by line, safe."""
    schema = row.facts.get("schema") or {}
    if isinstance(schema.get("argv"), list):
        return [look.theirs(shlex.join(map(str, schema["argv"])))]
    text = str(schema.get("script") or schema.get("callable") or "")
    return [look.theirs(line) for line in clean_lines(text.rstrip()).split("\n")]


def _asks(row: Template) -> str:
    cpu, memory, timeout = row.asks
    asked = [f"{units.plain(1.0 if cpu is None else cpu)} cpu", f"{units.memory(memory)} memory" if memory else "no memory"]
    return ", ".join([*asked, f"at most {units.setting(timeout)}" if timeout is not None else "no limit"])


def _parameter(name: str, schema: Mapping[str, Any], row: Template, room: int, look: Look) -> list[Span]:
    needed = any(name in (part.get("required") or ()) for part in _groups(row.facts.get("parameters") or {}))
    kind = schema.get("type", "any")
    words = [str(kind) if isinstance(kind, str) else "any", *(["to fill in"] if needed else [])]
    if "default" in schema:
        default = masked(schema, is_secret_name(name))["default"]
        words.append(f"usually {look.cut(look.theirs(str(default)), 20)}")
    said = look.theirs(f"{', '.join(words)}  {schema.get('description') or ''}".rstrip())
    shown = pad(look.cut(look.theirs(name), 20, "middle"), 20)
    return [(f"  {shown} ", "bold" if needed else ""), (look.cut(said, max(1, room - 24)), "dim")]
