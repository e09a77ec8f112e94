"""Collection of the translatable texts into the catalogues of `app/locale/`, and their compilation.

Run `python -m tests.catalogues` after texts have changed, translate the new entries in the .po
files, and run it again: the product reads the compiled catalogue only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from string import Formatter

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
LOCALE = ROOT / "app" / "locale" / "zh_CN"
COMPILED = LOCALE / "LC_MESSAGES" / "taskdeck.mo"
AREAS = {
    "cli": ("app/cli/",),
    "tui": ("app/tui/",),
    "service": ("app/core/", "app/engines/", "app/service/"),
    "base": ("",),
}
"""Folders of each .po file; a module belongs to the first area that has its folder."""
MARKS = {"tr", "tr_noop"}
"""Functions whose first argument is translated."""
TRANSLATED_KEYWORDS = {"help", "description"}
"""Keywords whose constant value the parser of a command translates."""
SHOWN_ARGUMENTS: dict[str, tuple[int | str, ...]] = {
    "Binding": (2,),
    "KeyHint": (1,),
    "TableColumn": (0,),
    "ColumnChoice": (1,),
    "HistoryMetric": (0, 1),
    "KeyGroup": (0,),
    "EditField": (1, "hint", "blank_label"),
    "SavedView": (0,),
    "Command": (0,),
    "Column": (0,),
    "add_argument_group": (0,),
    "add_row_options": (1,),
    "add_task_ids": (1,),
    "make_name_command": (2, 3),
    "read_stdin": (0,),
    "open_stdin": (0,),
    "add_resource_options": (1, 2),
    "_add_context": (1,),
}
"""Arguments of classes and functions that are translated where they are shown."""
UNTRANSLATED = (
    "app/agents/",
    "app/keeper/",
    "db/migrations/",
    "db/schema.py",
    "app/outer/job_program",
    "db/backup/restore_tool",
)
"""Modules whose texts only logs or agents read, and the schema, whose names are no texts."""

DATE = datetime(2026, 1, 1, tzinfo=UTC)
Text = str | tuple[str, str]


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text())


@cache
def list_calls(path: Path) -> list[ast.Call]:
    """Return the calls in a module, in the order of its lines."""
    calls = [node for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


@cache
def find_error_classes() -> set[str]:
    """Return the names of `Problem` and its subclasses, which translate their arguments."""
    parents: dict[str, set[str]] = {}
    for path in list_sources(ROOT / "app") + list_sources(ROOT / "db"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                parents[node.name] = {b.id for b in node.bases if isinstance(b, ast.Name)}
    found = {"Problem"}
    while more := {name for name, bases in parents.items() if bases & found} - found:
        found |= more
    return found


def list_sources(folder: Path) -> list[Path]:
    """Return the modules below a folder, in order."""
    return sorted(
        path
        for path in folder.rglob("*.py")
        if not path.relative_to(ROOT).as_posix().startswith(UNTRANSLATED)
    )


def find_texts(path: Path, errors: set[str]) -> Iterator[Text]:
    """Yield the translatable texts of a module, in the order of its lines."""
    for call in list_calls(path):
        name = get_called_name(call)
        if name in MARKS:
            yield from iterate_constants(call.args[:1])
        elif name == "tr_n":
            yield tuple(iterate_constants(call.args[1:3]))  # type: ignore[misc]
        elif name in errors:
            yield from iterate_constants(call.args[:2])
        elif name in SHOWN_ARGUMENTS:
            yield from iterate_constants(get_arguments(call, SHOWN_ARGUMENTS[name]))
        helps = [k.value for k in call.keywords if k.arg in TRANSLATED_KEYWORDS]
        yield from (text.replace("%%", "%") for text in iterate_constants(helps))


def get_arguments(call: ast.Call, wanted: tuple[int | str, ...]) -> list[ast.expr]:
    """Return the arguments of a call at these positions or with these names."""
    return [
        *(node for at, node in enumerate(call.args) if at in wanted),
        *(keyword.value for keyword in call.keywords if keyword.arg in wanted),
    ]


def get_called_name(call: ast.Call) -> str:
    """Return the last name of the called function."""
    func = call.func
    return func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")


def iterate_constants(nodes: list[ast.expr]) -> Iterator[str]:
    """Yield the constant texts among `nodes`; both sides of a condition count."""
    for node in nodes:
        if isinstance(node, ast.IfExp):
            yield from iterate_constants([node.body, node.orelse])
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search("[A-Za-z]{2}", node.value)
        ):
            yield node.value


def collect_texts() -> dict[str, dict[Text, list[str]]]:
    """Return the texts of each area, each with the modules where it occurs."""
    errors = find_error_classes()
    found: dict[str, dict[Text, list[str]]] = {area: {} for area in AREAS}
    for path in list_sources(ROOT / "db") + list_sources(ROOT / "app"):
        module = path.relative_to(ROOT).as_posix()
        area = next(name for name, folders in AREAS.items() if module.startswith(folders))
        for text in find_texts(path, errors):
            places = found[area].setdefault(text, [])
            if module not in places:
                places.append(module)
    return found


def get_key(text: Text) -> str:
    """Return the id of a text in a catalogue."""
    return text if isinstance(text, str) else text[0]


def read_catalogue(area: str) -> Catalog:
    """Return the catalogue of an area as it is stored."""
    path = LOCALE / f"{area}.po"
    if not path.exists():
        return make_catalogue()
    with path.open("rb") as file:
        return read_po(file, locale="zh_Hans_CN")


def list_messages(catalogue: Catalog) -> list[Message]:
    """Return the messages of a catalogue without its header."""
    return [message for message in catalogue if message.id]


def update_catalogues() -> int:
    """Store the texts of the sources with the known translations. Return how many are missing."""
    known = {
        get_key(message.id): message.string
        for area in AREAS
        for message in list_messages(read_catalogue(area))
        if is_translated(message)
    }
    missing = 0
    for area, texts in collect_texts().items():
        catalogue = make_catalogue()
        for text, places in texts.items():
            string = known.get(get_key(text), "")
            if not isinstance(text, str):
                string = (string,) if isinstance(string, str) else string
            missing += not string or not all(string)
            catalogue.add(text, string, locations=[(place, None) for place in places])
        write_catalogue(area, catalogue)
    compile_catalogues()
    return missing


def is_translated(message: Message) -> bool:
    """Return True if each form of a message has a translation."""
    forms = (message.string,) if isinstance(message.string, str) else message.string
    return bool(forms) and all(forms)


def make_catalogue() -> Catalog:
    """Return an empty catalogue without dates of its own, so that equal texts give equal files."""
    return Catalog(
        "zh_Hans_CN",
        header_comment="# Simplified Chinese texts of Taskdeck.",
        project="Taskdeck",
        version="1",
        msgid_bugs_address="https://taskdeck.example/issues",
        last_translator="The Taskdeck authors",
        language_team="The Taskdeck authors",
        creation_date=DATE,
        revision_date=DATE,
        charset="utf-8",
        fuzzy=False,
    )


def write_catalogue(area: str, catalogue: Catalog) -> None:
    """Store the catalogue of an area."""
    LOCALE.mkdir(parents=True, exist_ok=True)
    with (LOCALE / f"{area}.po").open("wb") as file:
        write_po(file, catalogue, width=100, include_lineno=False, ignore_obsolete=True)


def join_catalogues() -> Catalog:
    """Return one catalogue with the translations of all areas."""
    together = make_catalogue()
    for area in AREAS:
        for message in list_messages(read_catalogue(area)):
            if is_translated(message):
                together.add(message.id, message.string)
    return together


def compile_catalogues() -> None:
    """Write the catalogue that the product reads."""
    COMPILED.parent.mkdir(parents=True, exist_ok=True)
    with COMPILED.open("wb") as file:
        write_mo(file, join_catalogues())


def has_same_placeholders(message: Message) -> bool:
    """Return True if each form of the translation has the placeholders of the text."""
    one, *many = [message.id] if isinstance(message.id, str) else message.id
    forms = [message.string] if isinstance(message.string, str) else message.string
    expected = find_placeholders(many[0] if many else one)
    return all(find_placeholders(form) == expected for form in forms)


def find_placeholders(text: str) -> list[str]:
    """Return the placeholders of a text, sorted; none if it is not a format."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return []
    return sorted(
        f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"
        for _, name, spec, conversion in parts
        if name
    )


if __name__ == "__main__":
    missing = update_catalogues()
    print(f"{missing} texts without a translation" if missing else "every text is translated")
