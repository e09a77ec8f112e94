"""Rows of a schema form: layout of fields, errors and headings for the current texts.

A row is a heading, a field with its errors, or a line that represents hidden fields. `build_lines`
converts rows to lines, of which only visible ones are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.core.schema.form_fields import (
    SECRET_PREFIXES,
    FieldGroup,
    FieldPath,
    FormField,
    FormOutline,
)
from app.core.schema.parameters import ParameterFinding
from app.core.text import units
from app.core.text.sanitize import measure_width, pad, sanitize
from app.translation import tr, tr_n, tr_noop
from app.tui.style import Look, Span
from app.tui.widgets.document import wrap_text

MIN_NAME_CELLS, HINT_CELLS, NUMBER_CELLS = 14, 22, 8
"""Cells: minimum for names, reserved for hints, of a number field."""
MAX_FAULT_LINES = 2
_KIND_WORDS = {
    "string": tr_noop("text"),
    "integer": tr_noop("whole number"),
    "array": tr_noop("JSON list"),
    "object": tr_noop("JSON object"),
    "null": "null",
}
_LISTED = {
    "string": tr_noop("texts"),
    "integer": tr_noop("whole numbers"),
    "number": tr_noop("numbers"),
    "boolean": tr_noop("true or false"),
}
HeadingStates = Mapping[str, bool]
"""Headings opened (True) or closed (False) by the user, by key."""


@dataclass(frozen=True, slots=True)
class HeadingRow:
    """The title of a group, or the line for its hidden fields; `open` is True if fields follow."""

    key: str
    title: str
    count: int
    open: bool
    hidden: bool = False
    faults: tuple[ParameterFinding, ...] = ()
    about: str = ""
    fault_count: int = 0
    """Number of errors of the fields in the group."""


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field: its text, if it was typed, and the errors to report."""

    field: FormField
    text: str
    typed: bool
    faults: tuple[ParameterFinding, ...] = ()
    has_fault: bool = False
    """Set if the field has any error, reported or not."""


SchemaRow = HeadingRow | FieldRow
SchemaLine = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class FormState:
    """State of a form: texts other than defaults, errors, closed headings, search."""

    outline: FormOutline
    texts: Mapping[FieldPath, str] = field(default_factory=dict)
    faults: Mapping[FieldPath, Sequence[ParameterFinding]] = field(default_factory=dict)
    folds: HeadingStates = field(default_factory=dict)
    query: str = ""
    quiet: frozenset[FieldPath] = frozenset()
    """Fields and objects missing from the start and not visited yet: no error is reported."""

    def list_shown_faults(self, path: FieldPath) -> tuple[ParameterFinding, ...]:
        """Return the errors of a field or object that are reported."""
        return tuple(fault for fault in self.faults.get(path, ()) if self.is_shown(path, fault))

    def is_shown(self, path: FieldPath, fault: ParameterFinding) -> bool:
        """Return True if an error is reported."""
        return not fault.missing or path not in self.quiet

    def mark_visited(self, path: FieldPath) -> FormState:
        """Return the state after a field was left, so its missing values are reported.

        Objects that contain the field count as left, too.
        """
        return replace(self, quiet=frozenset(one for one in self.quiet if path[: len(one)] != one))


def build_rows(filling: FormState) -> list[SchemaRow]:
    """Return the visible rows: search matches, or rows under open headings."""
    groups = enumerate(filling.outline.groups)
    if filling.query:
        found = [
            found
            for _, group in groups
            for found in group.fields
            if matches_query(found, filling.query)
        ]
        found.sort(key=lambda one: _rank_match(one, filling.query))
        return [_make_field_row(filling, one) for one in found if not _is_unused_rest(filling, one)]
    return [row for number, group in groups for row in _build_group_rows(filling, number, group)]


def open_headings(filling: FormState, path: FieldPath) -> FormState:
    """Return the state with the headings of a field open."""
    number = next(
        (
            n
            for n, group in enumerate(filling.outline.groups)
            if any(f.path == path for f in group.fields)
        ),
        -1,
    )
    return replace(
        filling, folds={**filling.folds, f"group {number}": True, f"hidden {number}": True}
    )


def matches_query(found: FormField, query: str) -> bool:
    """Return True if every search word occurs in the name, title or description."""
    title, description = (found.schema.get(name, "") for name in ("title", "description"))
    text = f"{found.name} {title} {description}".casefold()
    return all(word in text for word in query.casefold().split())


def _rank_match(found: FormField, query: str) -> int:
    """Return the rank of a match: the exact name, the exact last name, then all others."""
    names = [found.name.casefold(), found.path[-1].casefold()]
    return names.index(query.casefold()) if query.casefold() in names else len(names)


def _build_group_rows(filling: FormState, number: int, group: FieldGroup) -> Iterator[SchemaRow]:
    fields = [found for found in group.fields if not _is_unused_rest(filling, found)]
    rows = [_make_field_row(filling, found) for found in fields]
    wrong = bool(group.path and filling.faults.get(group.path))
    if not fields and not wrong:
        return
    plain, hidden = (
        [slot for slot in rows if not _is_collapsible(slot)],
        [slot for slot in rows if _is_collapsible(slot)],
    )
    is_open = filling.folds.get(f"group {number}", bool(plain or wrong))
    if group.title or group.path:
        faults = filling.list_shown_faults(group.path) if group.path else ()
        count = sum(len(slot.faults) for slot in rows)
        yield HeadingRow(
            f"group {number}",
            _format_group_title(group),
            len(rows),
            is_open,
            faults=faults,
            about=group.about,
            fault_count=count,
        )
    if is_open:
        yield from plain
        yield from _build_hidden_rows(filling, number, hidden, bool(plain))


def _build_hidden_rows(
    filling: FormState, number: int, hidden: Sequence[FieldRow], has_other_rows: bool
) -> Iterator[SchemaRow]:
    """Yield hidden fields behind a line of their own.

    If a group has only hidden fields, its heading is that line.
    """
    shown = filling.folds.get(f"hidden {number}", not has_other_rows)
    if hidden and has_other_rows:
        yield HeadingRow(f"hidden {number}", "", len(hidden), shown, hidden=True)
    if shown:
        yield from hidden


def _is_collapsible(slot: FieldRow) -> bool:
    return slot.field.is_hidden and not slot.typed and not slot.has_fault


def _is_unused_rest(filling: FormState, found: FormField) -> bool:
    return found.is_rest and found.is_hidden and not filling.texts.get(found.path)


def _format_group_title(group: FieldGroup) -> str:
    name = ".".join(group.path)
    return f"{group.title} ({name})" if group.title and name else group.title or name


def _make_field_row(filling: FormState, found: FormField) -> FieldRow:
    typed = filling.texts.get(found.path, "")
    wrong = bool(filling.faults.get(found.path))
    return FieldRow(
        found,
        typed or get_default(filling, found),
        bool(typed),
        filling.list_shown_faults(found.path),
        wrong,
    )


def get_default(filling: FormState, found: FormField) -> str:
    """Return the default text if it applies: inside an object only if the object exists."""
    return (
        found.default
        if found.default and filling.outline.is_present(found.path, filling.texts)
        else ""
    )


# -- drawing --


@dataclass(frozen=True, slots=True)
class LineMeasures:
    """Cells of a line: total, names, text fields."""

    room: int
    names: int
    text: int

    def get_box_cells(self, found: FormField) -> int:
        """Return the cells between a field's brackets."""
        if found.choices and not found.is_switch:
            return min(
                self.text,
                max(measure_width(get_choice_label(choice)) for choice in found.choices) + 2,
            )
        if found.is_switch:
            return 1
        return (
            min(self.text, NUMBER_CELLS)
            if found.kinds and found.kinds <= {"integer", "number"}
            else self.text
        )


def compute_measures(outline: FormOutline, room: int) -> LineMeasures:
    """Compute the cells of names (at most a third of the line) and texts."""
    longest = max(
        (
            measure_width(sanitize(get_field_name(found)))
            for found in outline.fields.values()
            if not found.is_hidden
        ),
        default=0,
    )
    names = min(max(MIN_NAME_CELLS, longest + 2), max(MIN_NAME_CELLS, room // 3))
    return LineMeasures(room, names, max(6, min(60, room - names - 3 - HINT_CELLS)))


def get_field_name(found: FormField) -> str:
    """Return the name shown before a field, relative to its group."""
    return tr("(others)") if found.is_rest else found.path[-1]


def get_choice_label(choice: tuple[str, object, str]) -> str:
    """Return the label of a choice: its title, else its text."""
    return sanitize(choice[2] or choice[0])


def build_lines(
    row: SchemaRow, of: LineMeasures, look: Look, *, whole: bool = False, here: bool = False
) -> list[SchemaLine]:
    """Return the lines of a row.

    `whole` adds the names of enclosing objects; `here` marks the current row.
    """
    if isinstance(row, HeadingRow):
        return [_build_heading(row, of, look, here), *build_fault_lines(row.faults, of, look)]
    return [_build_field_line(row, of, look, whole, here), *build_fault_lines(row.faults, of, look)]


def _build_heading(row: HeadingRow, of: LineMeasures, look: Look, here: bool) -> SchemaLine:
    sign = {(True, True): "v", (True, False): ">", (False, True): "▾", (False, False): "▸"}[
        look.ascii, row.open
    ]
    if row.hidden:
        fold_text = tr("hidden, shown") if row.open else tr("more, hidden")
        return ((f"{sign} {row.count} {fold_text}", "cursor" if here else "dim"),)
    tail = (
        tr("{count}, {faults} to fix", count=units.format_count(row.count), faults=row.fault_count)
        if row.fault_count and not row.open
        else units.format_count(row.count)
    )
    title = look.cut(f"{sign} {look.sanitize(row.title)}", of.room - measure_width(tail) - 10)
    return ((look.draw_rule(of.room, [(2, title)], tail, here), "title" if here else "dim"),)


def _build_field_line(
    row: FieldRow, of: LineMeasures, look: Look, whole: bool, here: bool
) -> SchemaLine:
    star = "*" if row.field.required else ""
    name = look.cut(
        look.sanitize(row.field.name if whole else get_field_name(row.field)),
        of.names - 1 - len(star),
        "middle",
    )
    cells = of.get_box_cells(row.field)
    spans = [
        (pad(name + star, of.names), "bold" if row.faults else ""),
        ("[", "dim"),
        *_build_content(row, cells, look, here),
    ]
    left = of.room - of.names - cells - 3
    return (*spans, ("] ", "dim"), *_build_hint(row, left, look))


def _build_content(row: FieldRow, cells: int, look: Look, here: bool) -> list[Span]:
    style = "cursor" if here else ""
    if row.field.is_switch:
        return [("x" if row.text == "true" else " ", style)]
    if row.field.choices:
        shown = next(
            (get_choice_label(choice) for choice in row.field.choices if choice[0] == row.text),
            look.sanitize(row.text),
        )
        return [
            (pad(look.cut(shown, cells - 2), cells - 2), style),
            (" v" if look.ascii else " ▾", "dim"),
        ]
    return [(pad(look.cut(_format_text(row, look), cells), cells), style)]


def _format_text(row: FieldRow, look: Look) -> str:
    """Return the text of a field not being edited, masking secrets except references."""
    return (
        look.sanitize(row.text)
        if not is_masked(row.field, row.text)
        else ("*" if look.ascii else "•") * min(len(row.text), 8)
    )


def is_masked(found: FormField, text: str) -> bool:
    """Return True if a text is a secret, not a reference to one."""
    return found.is_secret and not any(
        text.startswith(of) or of.startswith(text) for of in SECRET_PREFIXES
    )


def _build_hint(row: FieldRow, room: int, look: Look) -> list[Span]:
    """Return the hint behind a field, and its default if the value differs."""
    hint = look.sanitize(format_hint(row.field))
    default = row.field.default
    text = (
        tr("default {default}", default=look.sanitize(default))
        if default and row.text != default and not row.field.is_secret
        else ""
    )
    if text and measure_width(hint) + measure_width(text) + 2 <= room:
        return [(pad(hint, room - measure_width(text)), "dim"), (text, "dim")]
    return [(look.cut(text or hint, max(0, room)), "dim")]


def build_fault_lines(
    faults: Sequence[ParameterFinding], of: LineMeasures, look: Look
) -> list[SchemaLine]:
    """Return the error lines of a row: at most two, one if values are only missing."""
    text, room = look.sanitize("; ".join(fault.text for fault in faults)), of.room - MIN_NAME_CELLS
    most = 1 if all(fault.missing for fault in faults) else MAX_FAULT_LINES
    lines = wrap_text(text, room) if text else []
    shown = lines[:most]
    if len(lines) > most:
        shown[-1] = look.cut(f"{shown[-1]} {lines[most]}", room)
    signs = [look.adapt_text("✗"), *[""] * len(shown)]
    return [
        ((pad(sign, MIN_NAME_CELLS), "broken"), (line, "broken"))
        for sign, line in zip(signs, shown, strict=False)
    ]


# -- texts --


def format_hint(found: FormField) -> str:
    """Describe a field: bounds and description, else its type."""
    description = sanitize(str(found.schema.get("description") or found.schema.get("title") or ""))
    parts = [part for part in (format_bounds(found.schema), description) if part]
    return "  ".join(parts or [name_type(found)])


def name_type(found: FormField) -> str:
    """Name the accepted types."""
    if found.is_switch:
        return tr("on or off")
    if found.choices:
        return tr("one of {count}", count=len(found.choices))
    if found.is_list and found.items is not None:
        return tr("{types}, with commas", types=_join_types(found.items, _LISTED))
    return _join_types(found.kinds) if found.kinds else tr("text")


def _join_types(kinds: Iterable[str], words: Mapping[str, str] = _KIND_WORDS) -> str:
    return (
        tr(" or ").join(sorted(tr(words.get(kind, kind)) for kind in kinds if kind != "null"))
        or "null"
    )


def format_bounds(schema: Mapping[str, object]) -> str:
    """Format the bounds: `0 to 51`, `more than 0`, `a multiple of 5`."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return tr("{low} to {high}", low=low, high=high)
    bounds = [
        (low, tr("at least")),
        (high, tr("at most")),
        (schema.get("exclusiveMinimum"), tr("more than")),
    ]
    bounds += [
        (schema.get("exclusiveMaximum"), tr("less than")),
        (schema.get("multipleOf"), tr("a multiple of")),
    ]
    return ", ".join(
        f"{words} {number}"
        for number, words in bounds
        if number is not None and not isinstance(number, bool)
    )


def describe_row(row: SchemaRow | None) -> str:
    """Describe the current row in full, unsanitized."""
    if row is None:
        return ""
    if isinstance(row, HeadingRow):
        keys = tr("enter hides them") if row.open else tr("enter shows them")
        count = tr_n(row.count, "{n} parameter", "{n} parameters")
        return f"{row.title or tr('Hidden')}: {count}, {keys}. {row.about}".strip()
    return f"{row.field.name}: {' '.join(_list_facts(row.field))}"


def _list_facts(found: FormField) -> Iterator[str]:
    schema = found.schema
    yield (
        ", ".join(
            part for part in (name_type(found), format_bounds(schema), *_list_rules(schema)) if part
        )
        + "."
    )
    if found.is_secret:
        yield tr("env:NAME or file:PATH refers to the secret and keeps it out of the database.")
    if found.default and not found.is_secret:
        yield tr("Default {default}.", default=found.default)
    for word in ("description", "help_text", "$comment"):
        if isinstance(schema.get(word), str):
            yield " ".join(str(schema[word]).split())


def _list_rules(schema: Mapping[str, object]) -> Iterator[str]:
    for word, said in (
        ("minLength", tr("at least {} long")),
        ("maxLength", tr("at most {} long")),
        ("pattern", tr("like {}")),
    ):
        if word in schema:
            yield said.format(schema[word])
    if isinstance(schema.get("format"), str):
        yield str(schema["format"])
    if schema.get("deprecated") is True:
        yield tr("deprecated")
