"""Retry with other requests: the fields of its form, its requests and its command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.core.board import EndedEntry, GroupEntry
from app.core.task_groups import format_group
from app.translation import tr, tr_noop
from app.tui.actions.tasks import Request, select_ended
from app.tui.forms import edit_model, resource_field
from app.tui.forms.edit_model import EditField, EditKind, EditSheet

_NO = "no"
DEPENDENTS = EditField(
    "dependents",
    "Dependents",
    lambda word: word != _NO,
    lambda value: "yes" if value else _NO,
    widget="choice",
    size=42,
    options=(
        (_NO, tr_noop("stay cancelled")),
        ("yes", tr_noop("those cancelled with it wait for it again")),
    ),
)
RETRY = EditKind(
    "retry",
    (edit_model.CPU, edit_model.MEMORY, edit_model.RESOURCES, edit_model.TIMEOUT, DEPENDENTS),
    ident="uuid",
    first="memory",
    title=tr_noop("Retry"),
    saves_unchanged=True,
)
RETRY_GROUP = replace(
    RETRY,
    slots=(
        *(replace(slot, hint="empty: as they were") for slot in RETRY.slots[:2]),
        edit_model.RESOURCES,
        replace(edit_model.TIMEOUT, hint="empty: as they were; none: no limit"),
        DEPENDENTS,
    ),
    initial={"dependents": _NO},
    has_rows=False,
)


def retry_ended(rows: Sequence[EndedEntry], sheet: EditSheet) -> Request:
    """Return the request that runs ended tasks again with the changes of a form."""
    return _make_request(select_ended(rows), sheet, again=has_again(sheet))


def retry_group(group: GroupEntry, sheet: EditSheet) -> Request:
    """Return the request that runs the failed tasks of a group again with these changes."""
    select = {"ids": [format_group(group.number)], "failed": True}
    return _make_request(select, sheet, again=False)


def has_again(sheet: EditSheet) -> bool:
    """Return True if tasks that succeeded run again: not if only dependents are brought back."""
    return bool(_list_fields(sheet)) or not _has_dependents(sheet)


def _make_request(select: Mapping[str, Any], sheet: EditSheet, again: bool) -> Request:
    more: dict[str, Any] = {"with_dependents": True} if _has_dependents(sheet) else {}
    changed = {"fields": fields} if (fields := _list_fields(sheet)) else {}
    return Request("retry", {**select, "again": again, **changed, **more}, tr("Retrying"))


def list_command(idents: Sequence[str], sheet: EditSheet) -> list[str]:
    """Return the words of the equivalent command; `idents` begin with its options."""
    more = ["--with-dependents"] if _has_dependents(sheet) else []
    return ["taskdeck", "retry", *idents, *edit_model.list_options(sheet), *more]


def describe_retry(sheet: EditSheet) -> list[str]:
    """Return sentences about the effect of the retry."""
    fields = [name for name in _list_fields(sheet)]
    names = [sheet.find_field(name).shown_label for name in fields]
    if names:
        first = tr("Runs again with other {fields}.", fields=_join(names))
    elif has_again(sheet):
        first = tr("Runs again as it was.")
    else:
        first = tr("Runs again as it was, unless it succeeded.")
    more = tr("The tasks that were cancelled because of it wait for it again.")
    return [first, *([more] if _has_dependents(sheet) else [])]


def _join(labels: Sequence[str]) -> str:
    words = [label if label.isupper() else label.lower() for label in labels]
    return tr(" and ").join(filter(None, (", ".join(words[:-1]), words[-1])))


def _has_dependents(sheet: EditSheet) -> bool:
    return bool(sheet.find_changes().get("dependents"))


def _list_fields(sheet: EditSheet) -> dict[str, Any]:
    """Return the changed requests as the verb takes them."""
    fields = {name: value for name, value in sheet.find_changes().items() if name != "dependents"}
    if "resources" in fields:
        olds = [row.get("resources") for row in sheet.stored]
        fields["resources"] = resource_field.make_change(fields["resources"], *olds)
    return fields
