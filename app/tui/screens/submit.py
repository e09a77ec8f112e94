"""The form for a new task: a command, shell text or a template; checked by the runtime while it is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Checkbox, Input, TextArea

from app.core.ids import uuid7
from app.errors import Problem
from app.tui import origin
from app.tui.draft import KINDS, Draft, faults, shell_signs, spec, words
from app.tui.equal import quoted, submit_words
from app.tui.footer import Hint
from app.tui.form import Choice, Field, Options, Pick, Words, entry
from app.tui.look import Span
from app.tui.parameterfields import ParameterFields
from app.tui.screens.page import Line, PageScreen

if TYPE_CHECKING:
    from app.client import Client

CHECK_AFTER = 0.15
"""Seconds without a change after which the runtime is asked whether it would take the task."""
SHOWN_FAULTS = 3
_ENTRIES = ("cwd", "name", "priority", "cpu", "memory", "timeout", "retries", "retry_delay", "after", "at")
_HINTS = [
    Hint("ctrl+j", "submit", "ctrl+j", 0), Hint("tab", "next", "tab", 3), Hint("ctrl+r", "last values", "ctrl+r", 2),
    Hint("ctrl+y", "copy line", "ctrl+y", 1), Hint("esc", "leave, kept", "escape", 0),
]  # fmt: skip


class SubmitScreen(PageScreen, ModalScreen[Any]):
    """A new task. Dismisses with its number, or None when it was left; what was typed is kept on the app."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,ctrl+enter", "submit", "Submit", id="form.submit", show=False, priority=True),
        Binding("ctrl+r", "last", "Last values", id="form.last", show=False, priority=True),
        Binding("ctrl+y", "copy", "Copy the line", id="form.copy", show=False),
        Binding("escape", "leave", "Leave, kept", id="form.leave", show=False),
    ]

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self.draft = Draft()
        self._origin = origin.here()
        self._templates: dict[str, Mapping[str, Any]] = {}
        self._timer: Timer | None = None
        self._asked = 0
        self._sending = False
        self._refusal = ""
        self._default_name = ""

    # -- the form -------------------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        kinds = zip(KINDS, ("a command", "shell text", "a template"), strict=True)
        yield VerticalScroll(
            Horizontal(Words("Run", classes="label run"), Choice(list(kinds), "command", id="kind")),
            Vertical(Field("Command", entry("command")), Words(id="words", classes="under"), id="of-command"),
            Vertical(Field("Shell text", TextArea(id="script", compact=True)), id="of-shell"),
            Vertical(Field("Template", Pick([], id="template"), size=26), Words(id="facts", classes="under", most=2),
                     Vertical(id="parameters"), id="of-template"),
            Field("In", entry("cwd")),
            Field("Name", entry("name"), size=30),
            Field("Queue", Pick([], id="queue"), size=20),
            Horizontal(Field("Priority", entry("priority"), "higher first", size=6), *_narrow(("CPU", "cpu"), ("Memory", "memory"))),
            Horizontal(Field("Timeout", entry("timeout"), "empty: no limit", size=6), *_narrow(("Retries", "retries"), ("every", "retry_delay"))),
            Field("After", entry("after"), "#numbers, or empty", size=30),
            Field("Start at", entry("at"), "23:30, tomorrow 02:00, 2h", size=30),
            Checkbox("hold (do not start until released)", compact=True, id="hold"),
            id="form", can_focus=False,
        )  # fmt: skip
        yield Words(id="verdict", most=SHOWN_FAULTS)
        yield Line(id="equal-rule")
        yield Words(id="equal", most=2)

    def on_mount(self) -> None:
        self._fill(cast(Draft | None, getattr(self.app, "kept_draft", None)) or Draft())
        self.query_one("#command" if self.draft.kind == "command" else "#kind").focus()
        self.call("queue.ls", {}, self._offer_queues)
        self.call("template.ls", {}, self._offer_templates)

    def heading(self) -> str:
        return self.look.own("Deck › New task")

    def keys(self) -> list[Hint]:
        return _HINTS

    def _fill(self, draft: Draft) -> None:
        """Put a draft into the fields."""
        self.draft = draft
        self.query_one("#kind", Choice).choose(draft.kind)
        self.query_one("#command", Input).value = draft.command
        self.query_one("#script", TextArea).text = draft.script
        self.query_one("#template", Pick).choose(draft.template)
        self.query_one("#queue", Pick).choose(draft.value("queue"))
        self.query_one("#hold", Checkbox).value = draft.hold
        for name in _ENTRIES:
            self.query_one(f"#{name}", Input).value = draft.values.get(name, "")
        self._show_kind()
        self._show_template()
        self._changed()

    def _typed(self) -> Draft:
        """What stands in the fields."""
        values = {name: self.query_one(f"#{name}", Input).value for name in _ENTRIES}
        draft = Draft(
            kind=self.query_one("#kind", Choice).value,
            command=self.query_one("#command", Input).value,
            script=self.query_one("#script", TextArea).text,
            template=self.query_one("#template", Pick).value,
            values=values | {"queue": self.query_one("#queue", Pick).value},
            hold=self.query_one("#hold", Checkbox).value,
            parameters=self.draft.parameters,
        )
        fields = list(self.query(ParameterFields))
        own = {fields[0].id: fields[0].texts()} if fields and fields[0].is_mounted else {}
        return draft
