"""The fields of the form for a new task, in their order: what to run, then what every task has."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from app.tui.draft import KINDS
from app.tui.form import Choice, Field, Pick, Rule, Script, Tick, Words, slot


def task_fields() -> Iterable[Widget]:
    """All of them; those that a kind of task does not have are hidden by the form."""
    kinds = list(zip(KINDS, _KINDS, strict=True))
    yield Horizontal(Words("Run", classes="label run"), Choice(kinds, "command", id="kind"), id="run")
    yield Vertical(Field("Command", slot("command")), Words(id="words", classes="under"), id="of-command")
    script = Script(id="script")
    script.cursor_blink = False
    yield Vertical(Field("Shell text", script), id="of-shell")
    yield Vertical(
        Horizontal(Field("Template", Pick([], id="template"), size=30), id="template-field"),
        Words(id="facts", classes="under"),
        Vertical(id="parameters"),
        id="of-template",
    )
    yield Rule("Task", id="task-rule")
    directory = slot("cwd")
    directory.placeholder = "the directory; empty: where the deck started"
    yield Field("In", directory)
    yield Field("Name", slot("name"), size=30)
    yield Field("Queue", Pick([], id="queue"), size=20)
    yield _line(_small("Priority", "priority", "higher first"), ("CPU", "cpu"), ("Memory", "memory"))
    yield _line(_small("Timeout", "timeout", "empty: no limit"), ("Retries", "retries"), ("every", "retry_delay"))
    yield Field("After", slot("after"), "#numbers, or empty", size=30)
    yield Field("Start at", slot("at"), "23:30, tomorrow 02:00, 2h", size=30)
    yield Tick("hold (do not start until released)", id="hold")


_KINDS = ("a command", "shell text", "a template")


def _small(label: str, id: str, hint: str) -> Field:
    return Field(label, slot(id), hint, size=6, fixed=True)


def _line(first: Field, *others: tuple[str, str]) -> Horizontal:
    """Small fields that stand beside each other where there is room."""
    beside = [Field(label, slot(id), size=6, column=0, fixed=True) for label, id in others]
    return Horizontal(first, *beside, classes="beside")
