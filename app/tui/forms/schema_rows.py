"""The lines of a form that is made from a JSON Schema: what stands where for a set of texts, faults and folds. Pure.

A row is a heading, a field with its faults under it, or the line that stands for fields folded away. Rows become lines
(`lines_of`), of which only those in sight are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.core.schema.form_fields import REFERENCES, Field, Group, Outline, Path
from app.core.schema.parameters import Finding
from app.core.text import units
from app.core.text.sanitize import clean, pad, width
from app.tui.style import Look, Span
from app.tui.widgets.document import wrap

NARROWEST, HINT, NUMBER = 14, 22, 8
"""Cells: the least for names, what is left for hints, a number's field."""
FAULT_LINES = 2
_KIND_WORDS = {
    "string": "text",
    "integer": "whole number",
    "array": "JSON list",
    "object": "JSON object",
    "null": "null",
}
_LISTED = {"string": "texts", "integer": "whole numbers", "number": "numbers", "boolean": "true or false"}
Folds = Mapping[str, bool]
"""What was opened (True) or folded (False) by hand, by the key of a heading."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The rule of a group, or the line for its hidden fields; `open` says whether its fields follow."""

    key: str
    title: str
    count: int
    open: bool
    hidden: bool = False
    faults: tuple[Finding, ...] = ()
    about: str = ""
    wrong: int = 0
    """Faults of the fields in it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A field: the text that stands in it, whether that text was typed, and what is told to be wrong with it."""

    field: Field
    text: str
    typed: bool
    faults: tuple[Finding, ...] = ()
    wrong: bool = False
    """Whether anything is wrong with it, told or not."""


Row = Heading | Slot
Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Filling:
    """What is in a form: the texts that are not just defaults, what is wrong with them, and what is folded or looked for."""

    outline: Outline
    texts: Mapping[Path, str] = field(default_factory=dict)
    faults: Mapping[Path, Sequence[Finding]] = field(default_factory=dict)
    folds: Folds = field(default_factory=dict)
    query: str = ""
    quiet: frozenset[Path] = frozenset()
    """What was missing from the beginning and nobody has come to yet: that it is missing is not told."""

    def told(self, path: Path) -> tuple[Finding, ...]:
        """What is wrong with a field, or an object, as far as it is told."""
        return tuple(fault for fault in self.faults.get(path, ()) if self.tells(path, fault))

    def tells(self, path: Path, fault: Finding) -> bool:
        """Whether it is told that this is wrong with a field, or an object."""
        return not fault.missing or path not in self.quiet

    def left(self, path: Path) -> Filling:
        """The same when a field was left: its want is told, and that of the objects around it."""
        return replace(self, quiet=frozenset(one for one in self.quiet if path[: len(one)] != one))


def rows_of(filling: Filling) -> list[Row]:
    """The rows that are to be seen: all that the words looked for occur in, or those that are not folded away."""
    groups = enumerate(filling.outline.groups)
    if filling.query:
        found = [found for _, group in groups for found in group.fields if matches(found, filling.query)]
        return [_slot(filling, one) for one in found if not _is_unused_rest(filling, one)]
    return [row for number, group in groups for row in _group_rows(filling, number, group)]


def unfolded(filling: Filling, path: Path) -> Filling:
    """The same with the field in sight."""
    number = next(
        (n for n, group in enumerate(filling.outline.groups) if any(f.path == path for f in group.fields)), -1
    )
    return replace(filling, folds={**filling.folds, f"group {number}": True, f"hidden {number}": True})


def matches(found: Field, query: str) -> bool:
    """Whether every word of the query stands in its name, title or description."""
    text = f"{found.name} {found.schema.get('title', '')} {found.schema.get('description', '')}".casefold()
    return all(word in text for word in query.casefold().split())


def _group_rows(filling: Filling, number: int, group: Group) -> Iterator[Row]:
    fields = [found for found in group.fields if not _is_unused_rest(filling, found)]
    told = [_slot(filling, found) for found in fields]
    wrong = bool(group.path and filling.faults.get(group.path))
    if not fields and not wrong:
        return
    plain, hidden = [slot for slot in told if not _folds_away(slot)], [slot for slot in told if _folds_away(slot)]
    is_open = filling.folds.get(f"group {number}", bool(plain or wrong))
    if group.title or group.path:
        faults = filling.told(group.path) if group.path else ()
        count = sum(len(slot.faults) for slot in told)
        yield Heading(f"group {number}", _title(group), len(told), is_open, faults=faults, about=group.about, wrong=count)
    if is_open:
        yield from plain
        yield from _hidden_rows(filling, number, hidden, bool(plain))


def _hidden_rows(filling: Filling, number: int, hidden: Sequence[Slot], beside: bool) -> Iterator[Row]:
    """Hidden fields behind a line of their own; in a group of nothing else the group's heading is that line."""
    shown = filling.folds.get(f"hidden {number}", not beside)
    if hidden and beside:
        yield Heading(f"hidden {number}", "", len(hidden), shown, hidden=True)
    if shown:
        yield from hidden


def _folds_away(slot: Slot) -> bool:
    return slot.field.hidden and not slot.typed and not slot.wrong


def _is_unused_rest(filling: Filling, found: Field) -> bool:
    return found.is_rest and found.hidden and not filling.texts.get(found.path)


def _title(group: Group) -> str:
    name = ".".join(group.path)
    return f"{group.title} ({name})" if group.title and name else group.title or name


def _slot(filling: Filling, found: Field) -> Slot:
    typed = filling.texts.get(found.path, "")
    wrong = bool(filling.faults.get(found.path))
    return Slot(found, typed or default_of(filling, found), bool(typed), filling.told(found.path), wrong)


def default_of(filling: Filling, found: Field) -> str:
    """The text of its default, where that counts: inside an object only when the object is there."""
    return found.default if found.default and filling.outline.present(found.path, filling.texts) else ""


# -- drawing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measures:
    """The cells of a line: all of them, those of the names, those of a field of text."""

    room: int
    names: int
    text: int

    def box(self, found: Field) -> int:
        """The cells between the brackets of a field."""
        if found.choices and not found.is_switch:
            return min(self.text, max(width(label(choice)) for choice in found.choices) + 2)
        if found.is_switch:
            return 1
        return min(self.text, NUMBER) if found.kinds and found.kinds <= {"integer", "number"} else self.text


def measures(outline: Outline, room: int) -> Measures:
    """The cells for names (a third of the line at most) and for texts."""
    longest = max((width(clean(name_of(found))) for found in outline.fields.values() if not found.hidden), default=0)
    names = min(max(NARROWEST, longest + 2), max(NARROWEST, room // 3))
    return Measures(room, names, max(6, min(60, room - names - 3 - HINT)))


def name_of(found: Field) -> str:
    """What stands before the field: its own name, under the heading of its group."""
    return "(others)" if found.is_rest else found.path[-1]


def label(choice: tuple[str, object, str]) -> str:
    """What stands for a choice: its title, else its text."""
    return clean(choice[2] or choice[0])


def lines_of(row: Row, of: Measures, look: Look, *, whole: bool = False, here: bool = False) -> list[Line]:
    """The lines of a row; `whole`: with the names of the objects around it; `here`: the keys act on it."""
    if isinstance(row, Heading):
        return [_heading(row, of, look, here), *fault_lines(row.faults, of, look)]
    return [_field_line(row, of, look, whole, here), *fault_lines(row.faults, of, look)]


def _heading(row: Heading, of: Measures, look: Look, here: bool) -> Line:
    sign = {(True, True): "v", (True, False): ">", (False, True): "▾", (False, False): "▸"}[look.ascii, row.open]
    if row.hidden:
        said = "hidden, shown" if row.open else "more, hidden"
        return ((f"{sign} {row.count} {said}", "cursor" if here else "dim"),)
    tail = (
        f"{units.count(row.count)}, {row.wrong} to mend" if row.wrong and not row.open else units.count(row.count)
    )
    title = look.cut(f"{sign} {look.theirs(row.title)}", of.room - len(tail) - 10)
    return ((look.rule(of.room, [(2, title)], tail, here), "title" if here else "dim"),)


def _field_line(row: Slot, of: Measures, look: Look, whole: bool, here: bool) -> Line:
    star = "*" if row.field.required else ""
    name = look.cut(look.theirs(row.field.name if whole else name_of(row.field)), of.names - 1 - len(star), "middle")
    cells = of.box(row.field)
    spans = [
        (pad(name + star, of.names), "bold" if row.faults else ""),
        ("[", "dim"),
        *_content(row, cells, look, here),
    ]
    left = of.room - of.names - cells - 3
    return (*spans, ("] ", "dim"), *_tail(row, left, look))


def _content(row: Slot, cells: int, look: Look, here: bool) -> list[Span]:
    style = "cursor" if here else ""
    if row.field.is_switch:
        return [("x" if row.text == "true" else " ", style)]
    if row.field.choices:
        shown = next((label(choice) for choice in row.field.choices if choice[0] == row.text), look.theirs(row.text))
        return [(pad(look.cut(shown, cells - 2), cells - 2), style), (" v" if look.ascii else " ▾", "dim")]
    return [(pad(look.cut(_shown(row, look), cells), cells), style)]


def _shown(row: Slot, look: Look) -> str:
    """The text of a field that is not written in; a secret only as far as it says where the secret is."""
    return (
        look.theirs(row.text)
        if not masked(row.field, row.text)
        else ("*" if look.ascii else "•") * min(len(row.text), 8)
    )


def masked(found: Field, text: str) -> bool:
    """Whether a text is a secret itself."""
    return found.secret and not any(text.startswith(of) or of.startswith(text) for of in REFERENCES)


def _tail(row: Slot, room: int, look: Look) -> list[Span]:
    """What stands behind a field: what it is, and its default at the end of the line when that is not what it holds."""
    hint = look.theirs(hint_of(row.field))
    default = row.field.default
    said = f"default {look.theirs(default)}" if default and row.text != default and not row.field.secret else ""
    if said and width(hint) + width(said) + 2 <= room:
        return [(pad(hint, room - width(said)), "dim"), (said, "dim")]
    return [(look.cut(said or hint, max(0, room)), "dim")]


def fault_lines(faults: Sequence[Finding], of: Measures, look: Look) -> list[Line]:
    """What is wrong, under what it is wrong with: two lines at most, one when it is only missing."""
    text, room = look.theirs("; ".join(fault.text for fault in faults)), of.room - NARROWEST
    most = 1 if all(fault.missing for fault in faults) else FAULT_LINES
    lines = wrap(text, room) if text else []
    shown = lines[:most]
    if len(lines) > most:
        shown[-1] = look.cut(f"{shown[-1]} {lines[most]}", room)
    signs = [look.own("✗"), *[""] * len(shown)]
    return [((pad(sign, NARROWEST), "broken"), (line, "broken")) for sign, line in zip(signs, shown, strict=False)]


# -- words ------------------------------------------------------------------------------------------------------------


def hint_of(found: Field) -> str:
    """What a field is, in a few words: its bounds, its description; without those its type."""
    said = clean(str(found.schema.get("description") or found.schema.get("title") or ""))
    parts = [part for part in (bounds_of(found.schema), said) if part]
    return "  ".join(parts or [kind_of(found)])


def kind_of(found: Field) -> str:
    """The types it takes, in words."""
    if found.is_switch:
        return "on or off"
    if found.choices:
        return f"one of {len(found.choices)}"
    if found.is_list and found.items is not None:
        return f"{_kinds(found.items, _LISTED)}, with commas"
    return _kinds(found.kinds) if found.kinds else "text"


def _kinds(kinds: Iterable[str], words: Mapping[str, str] = _KIND_WORDS) -> str:
    return " or ".join(sorted(words.get(kind, kind) for kind in kinds if kind != "null")) or "null"


def bounds_of(schema: Mapping[str, object]) -> str:
    """`0 to 51`, `more than 0`, `a multiple of 5`."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    said = [(low, "at least"), (high, "at most"), (schema.get("exclusiveMinimum"), "more than")]
    said += [(schema.get("exclusiveMaximum"), "less than"), (schema.get("multipleOf"), "a multiple of")]
    return ", ".join(
        f"{words} {number}" for number, words in said if number is not None and not isinstance(number, bool)
    )


def about(row: Row | None) -> str:
    """All there is to say about what the cursor is on; not cleaned yet."""
    if row is None:
        return ""
    if isinstance(row, Heading):
        keys = "enter folds them" if row.open else "enter shows them"
        count = "1 parameter" if row.count == 1 else f"{row.count} parameters"
        return f"{row.title or 'Hidden'}: {count}, {keys}. {row.about}".strip()
    return f"{row.field.name}: {' '.join(_facts(row.field))}"


def _facts(found: Field) -> Iterator[str]:
    schema = found.schema
    yield ", ".join(part for part in (kind_of(found), bounds_of(schema), *_rules(schema)) if part) + "."
    if found.secret:
        yield "env:NAME or file:PATH says where it is, and keeps it out of the database."
    if found.default and not found.secret:
        yield f"Default {found.default}."
    for word in ("description", "help_text", "$comment"):
        if isinstance(schema.get(word), str):
            yield " ".join(str(schema[word]).split())


def _rules(schema: Mapping[str, object]) -> Iterator[str]:
    for word, said in (("minLength", "at least {} long"), ("maxLength", "at most {} long"), ("pattern", "like {}")):
        if word in schema:
            yield said.format(schema[word])
    if isinstance(schema.get("format"), str):
        yield str(schema["format"])
    if schema.get("deprecated") is True:
        yield "deprecated"
