"""Data model of the database: the help topic `data-model` and its picture, drawn from `db.schema`.

Run `python -m tests.data_model` to write both after a change of the schema. The command also puts
the diagram into the Chinese topic, whose list of tables is written by hand.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from xml.sax.saxutils import escape

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Integer, LargeBinary, Table

from db.schema import metadata

ROOT = Path(__file__).parent.parent
TOPIC, PICTURE = ROOT / "app/help/data-model.md", ROOT / "screenshots/data-model.svg"
CHINESE_TOPIC = ROOT / "app/help/zh_CN/data-model.md"
TABLES: Sequence[Table] = tuple(metadata.tables.values())
TYPES = {JSON: "json", Boolean: "bool", Float: "float", Integer: "int", LargeBinary: "blob"}
"""Names of column types; all others are text."""


def _name_type(column: Column) -> str:
    found = next((name for kind, name in TYPES.items() if isinstance(column.type, kind)), "text")
    return "time" if found == "text" and getattr(column.type, "length", 0) == 27 else found


def _name_key(column: Column) -> str:
    """Return `PK`, `FK`, both or nothing."""
    return " ".join([*["PK"] * column.primary_key, *["FK"] * bool(column.foreign_keys)])


def _list_references() -> Iterator[tuple[Table, Table, ForeignKey]]:
    """Yield each foreign key with its parent and its child table."""
    for child in TABLES:
        for column in child.columns:
            for key in column.foreign_keys:
                yield key.column.table, child, key


# --- help topic


def make_topic() -> str:
    """Return the text of the help topic."""
    purposes = [
        textwrap.fill(f"- `{table.name}`: {table.comment}", 78, subsequent_indent="  ")
        for table in TABLES
    ]
    return _TOPIC.format(purposes="\n".join(purposes), diagram="\n".join(_make_mermaid()))


def put_diagram(topic: str) -> str:
    """Return a translated topic with the present diagram."""
    diagram = "\n".join(["```mermaid", *_make_mermaid(), "```"])
    return re.sub(r"```mermaid\n.*?```", diagram, topic, flags=re.DOTALL)


_TOPIC = """\
# Data model

Tables of the database and their relations.

## Tables

What a row of each table is:

{purposes}

## Times of creation and change

Every table has `created_at` and `updated_at`. Both are UTC, as text of 27
characters whose order is the order of time. Triggers of the database move
`updated_at` in the transaction that changes the row, even if another program
makes the change.

## Revisions

A new version of Taskdeck upgrades the database when it starts, after a copy
into `backups/`. To use an older version again, downgrade first. A downgrade
takes a copy, too, and happens entirely or not at all:

```text
taskdeck stop
taskdeck db migrate --to 0001
```

`sqlite3 ~/.local/share/taskdeck/taskdeck.db 'SELECT * FROM alembic_version'`
prints the revision of a database.

## Diagram

In the notation of Mermaid, which GitHub and other programs draw. A picture of
it is `screenshots/data-model.svg` in the source; a dashed line is optional.

```mermaid
{diagram}
```
"""


def _make_mermaid() -> Iterator[str]:
    """Yield the lines of a Mermaid diagram of entities and relations."""
    yield "erDiagram"
    for parent, child, key in _list_references():
        one = "|o" if key.parent.nullable else "||"
        yield f"  {parent.name} {one}--o{{ {child.name} : {key.parent.name}"
    for table in TABLES:
        yield f"  {table.name} {{"
        for column in table.columns:
            keys = _name_key(column).replace(" ", ", ")
            yield f"    {_name_type(column)} {column.name} {keys}".rstrip()
        yield "  }"


# --- picture

WIDTH, LINE, GAP, MARGIN = 230, 17, 90, 24
"""Width of a table, height of a line, space between tables and around them, in pixels."""
GROUND, INK = "#14181d", "#d8dee4"
FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
LANE = 9
"""Distance of parallel lines."""
SHEET = (
    f"text {{ font: 13px {FONTS}; fill: {INK}; }} .name {{ font-weight: bold; }}"
    " .dim { opacity: 0.62; } .end { text-anchor: end; }"
    " path { fill: none; stroke: #6c9fef; stroke-width: 1.3; }"
)


@dataclass(frozen=True)
class Box:
    """Place of a table in the picture."""

    table: Table
    x: float
    y: float

    @property
    def bottom(self) -> float:
        return self.y + LINE * (len(self.table.columns) + 1) + 10

    def get_line(self, column: Column) -> float:
        """Return the middle of a column's line."""
        at = list(self.table.columns).index(column)
        return self.y + LINE * (at + 1) + 14


def make_picture() -> str:
    """Return the diagram as SVG: related tables by layers, the other tables below."""
    boxes = _place_tables()
    layers = 1 + max(round((box.x - MARGIN) / (WIDTH + GAP)) for box in boxes.values())
    wide = 2 * MARGIN + layers * WIDTH + (layers - 1) * GAP
    high = max(box.bottom for box in boxes.values()) + MARGIN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}">',
        "<title>Tables of the database and their relations</title>",
        f"<style>{SHEET}</style>",
        f'<rect width="{wide:g}" height="{high:g}" rx="6" fill="{GROUND}"/>',
        *_draw_references(boxes),
        *(line for box in boxes.values() for line in _draw_box(box)),
        "</svg>\n",
    ])  # fmt: skip


def _find_layers() -> dict[str, int]:
    """Return the layer of each related table: below its children, above its parents."""
    references = [(p.name, c.name) for p, c, _ in _list_references() if p is not c]
    related = {name for pair in references for name in pair}
    layers = dict.fromkeys(related, 0)
    for _ in related:
        for parent, child in references:
            layers[child] = max(layers[child], layers[parent] + 1)
    for name in related - {child for _, child in references}:
        layers[name] = min(layers[child] for parent, child in references if parent == name) - 1
    return layers


def _place_tables() -> dict[str, Box]:
    """Place related tables in a column for each layer, and the other tables below."""
    layers = _find_layers()
    lanes = sum(
        layers[child.name] - layers[parent.name] > 1
        for parent, child, _ in _list_references()
        if parent is not child
    )
    columns = 1 + max(layers.values())
    bottoms = [float(MARGIN + LANE * (lanes + 1))] * columns
    boxes: dict[str, Box] = {}

    def place(table: Table, layer: int) -> None:
        box = Box(table, MARGIN + layer * (WIDTH + GAP), bottoms[layer])
        boxes[table.name] = box
        bottoms[layer] = box.bottom + MARGIN

    for table in TABLES:
        if table.name in layers:
            place(table, layers[table.name])
    for table in sorted(TABLES, key=lambda one: -len(one.columns)):
        if table.name not in layers:
            place(table, bottoms.index(min(bottoms)))
    return boxes


def _draw_references(boxes: dict[str, Box]) -> Iterator[str]:
    """Yield a line for each foreign key, from the key of the parent to the column of the child.

    A line past other layers runs above all tables.
    """
    tracks = {box.x: count(1) for box in boxes.values()}
    lanes = count(1)
    for parent, child, key in _list_references():
        start, end = boxes[parent.name], boxes[child.name]
        first, last = start.get_line(key.column), end.get_line(key.parent)
        if start is end:
            side = start.x + WIDTH
            yield _draw_path(f"M{side:g} {first:g} h14 V{last:g} h-14", key)
            continue
        turn = end.x - GAP + 24 + LANE * (next(tracks[end.x]) % 6)
        way = f"M{start.x + WIDTH:g} {first:g} "
        if end.x - start.x > WIDTH + GAP + 1:
            near = start.x + WIDTH + GAP
            rise = near - GAP + 24 + LANE * (next(tracks[near]) % 6)
            way += f"H{rise:g} V{MARGIN + LANE * (next(lanes) - 1):g} "
        yield _draw_path(f"{way}H{turn:g} V{last:g} H{end.x:g}", key)
        yield _draw_path(f"M{end.x - 9:g} {last:g} l9 -5 m-9 5 l9 5", key)


def _draw_path(way: str, key: ForeignKey) -> str:
    dashes = ' stroke-dasharray="5 3"' if key.parent.nullable else ""
    return f'<path d="{way}"{dashes}/>'


def _draw_box(box: Box) -> Iterator[str]:
    yield (
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{WIDTH}" height="{box.bottom - box.y:g}"'
        f' rx="4" fill="#1c2229" stroke="#6b7580"/>'
    )
    yield (
        f'<text class="name" x="{box.x + 8:g}" y="{box.y + 15:g}">{escape(box.table.name)}</text>'
    )
    for column in box.table.columns:
        y = box.get_line(column) + 4
        yield f'<text x="{box.x + 8:g}" y="{y:g}">{escape(column.name)}</text>'
        notes = f"{_name_key(column)} {_name_type(column)}".strip()
        yield f'<text class="dim end" x="{box.x + WIDTH - 8:g}" y="{y:g}">{notes}</text>'


if __name__ == "__main__":
    TOPIC.write_text(make_topic(), "utf-8")
    CHINESE_TOPIC.write_text(put_diagram(CHINESE_TOPIC.read_text("utf-8")), "utf-8")
    PICTURE.write_text(make_picture(), "utf-8")
