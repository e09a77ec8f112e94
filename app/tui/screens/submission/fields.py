"""Fields of the submit form, and the draft that they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, TextArea

from app.core.schema.form_fields import FieldPath
from app.translation import tr, tr_noop
from app.tui.forms import notice_model, resource_field
from app.tui.forms.fields import (
    CheckBox,
    Choice,
    DropDown,
    Field,
    TitleRule,
    WrappedText,
    make_form_entry,
)
from app.tui.forms.schema_fields import ParameterFields
from app.tui.forms.script_input import ScriptInput
from app.tui.forms.submit_draft import KINDS, SubmitDraft

FIRST_FIELDS = {"command": "#command", "shell": "#script", "template": "#template"}
"""First field to fill in, by kind of task."""
DEFAULT_HINTS = {"signal": "USR1@5m, early", "retry_on_oom": "1.5,max=64G"}
"""Hints of fields whose template gives no value."""
_KIND_LABELS = (tr_noop("a command"), tr_noop("shell text"), tr_noop("a template"))
_CHANGES = (Choice.Changed, Input.Changed, DropDown.Changed, TextArea.Changed, CheckBox.Changed)
_ENTRIES = (
    "cwd",
    "name",
    "priority",
    "cpu",
    "memory",
    "resources",
    "timeout",
    "retries",
    "retry_delay",
    "signal",
    "retry_on_oom",
    "after",
    "at",
)


def build_fields() -> Iterable[Widget]:
    """Yield all fields; the form hides those of other kinds of tasks."""
    kinds = list(zip(KINDS, map(tr, _KIND_LABELS), strict=True))
    yield Horizontal(
        WrappedText(tr("Run"), classes="label run"), Choice(kinds, "command", id="kind"), id="run"
    )
    yield Vertical(
        Field(tr("Command"), make_form_entry("command")),
        WrappedText(id="words", classes="under"),
        id="of-command",
    )
    script = ScriptInput(id="script")
    script.cursor_blink = False
    yield Vertical(Field(tr("Shell text"), script), id="of-shell")
    yield Vertical(
        Horizontal(
            Field(tr("Template"), DropDown([], id="template"), size=30), id="template-field"
        ),
        WrappedText(id="facts", classes="under"),
        Vertical(id="parameters"),
        id="of-template",
    )
    yield TitleRule(tr("Task"), id="task-rule")
    directory = make_form_entry("cwd")
    directory.placeholder = tr("the directory; empty: where the deck started")
    yield Field(tr("In"), directory)
    yield Field(tr("Name"), make_form_entry("name"))
    yield Field(tr("Queue"), DropDown([], id="queue"), size=20)
    yield _make_field_row(
        _make_small_field(tr("Priority"), "priority", tr("higher first")),
        ("CPU", "cpu"),
        (tr("Memory"), "memory"),
    )
    yield Field(tr("Resources"), make_form_entry("resources"), resource_field.EXAMPLE, size=30)
    yield _make_field_row(
        _make_small_field(tr("Timeout"), "timeout", tr("empty: no limit")),
        (tr("Retries"), "retries"),
        (tr("every"), "retry_delay"),
    )
    yield Horizontal(
        Field(tr("Signal"), make_form_entry("signal"), DEFAULT_HINTS["signal"], size=8, fixed=True),
        Field(
            tr("On OOM"),
            make_form_entry("retry_on_oom"),
            DEFAULT_HINTS["retry_on_oom"],
            size=11,
            column=0,
        ),
        classes="beside pair",
    )
    yield Field(tr("After"), make_form_entry("after"), tr("#4, any:5, failure:6, start:7"), size=30)
    yield Field(tr("Start at"), make_form_entry("at"), tr("23:30, tomorrow 02:00, 2h"), size=30)
    yield Field(tr("Notify"), DropDown([], id="notify"), tr(notice_model.HINT), size=30)
    yield CheckBox(tr("hold (do not start until released)"), id="hold")


def _make_small_field(label: str, id: str, hint: str) -> Field:
    return Field(label, make_form_entry(id), hint, size=6, fixed=True)


def _make_field_row(first: Field, *others: tuple[str, str]) -> Horizontal:
    """Return small fields side by side."""
    beside = [
        Field(label, make_form_entry(id), size=6, column=0, fixed=True) for label, id in others
    ]
    return Horizontal(first, *beside, classes="beside")


def fill_fields(form: Screen[object], draft: SubmitDraft) -> None:
    """Fill the fields from a draft, all but the parameters, without messages of changes."""
    with form.prevent(*_CHANGES):
        form.query_one("#kind", Choice).choose(draft.kind)
        form.query_one("#command", Input).value = draft.command
        form.query_one("#script", TextArea).text = draft.script
        form.query_one("#template", DropDown).choose(draft.template)
        form.query_one("#queue", DropDown).choose(draft.get_text("queue"))
        form.query_one("#notify", DropDown).choose(draft.values.get("notify", ""))
        form.query_one("#hold", CheckBox).set_value(draft.hold)
        for name in _ENTRIES:
            form.query_one(f"#{name}", Input).value = draft.values.get(name, "")


def read_fields(form: Screen[object], before: SubmitDraft) -> SubmitDraft:
    """Return the draft that the fields hold; `before` gives what no field shows."""
    values = {name: form.query_one(f"#{name}", Input).value for name in _ENTRIES}
    return SubmitDraft(
        kind=form.query_one("#kind", Choice).value,
        command=form.query_one("#command", Input).value,
        script=form.query_one("#script", TextArea).text,
        template=form.query_one("#template", DropDown).value,
        values=values
        | {name: form.query_one(f"#{name}", DropDown).value for name in ("queue", "notify")},
        hold=form.query_one("#hold", CheckBox).value,
        parameters={**before.parameters, **_collect_parameters(form)},
        other_options=before.other_options,
    )


def _collect_parameters(form: Screen[object]) -> dict[str, Mapping[FieldPath, str]]:
    """Return the parameter texts of every template shown so far."""
    for fields in form.query(ParameterFields):
        fields.commit()
    return {fields.template: fields.texts for fields in form.query(ParameterFields)}
