"""The form for a new task: a command, shell text or a template; checked by the runtime while it is typed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, TextArea

from app.core import amounts
from app.core.board import QueueLine
from app.core.ids import uuid7
from app.errors import Problem
from app.tui import origin
from app.tui.draft import KINDS, Draft, faults, shell_signs, spec, words
from app.tui.equal import quoted, submit_words
from app.tui.footer import Hint
from app.tui.form import Choice, Field, Pick, Script, Tick, Words, entry
from app.tui.look import Span
from app.tui.parameterfields import ParameterFields
from app.tui.screens.page import Line, PageScreen

if TYPE_CHECKING:
    from app.client import Client

CHECK_AFTER = 0.15
"""Seconds without a change after which the runtime is asked whether it would take the task."""
SHOWN_FAULTS = 3
_INVITES = {"command": "Type a command.", "shell": "Type shell text.", "template": "Pick a template."}
_ENTRIES = ("cwd", "name", "priority", "cpu", "memory", "timeout", "retries", "retry_delay", "after", "at")
_KEYS = [
    Hint("ctrl+j", "submit", "ctrl+j", 0),
    Hint("tab", "next", "tab", 3),
    Hint("ctrl+r", "last", "ctrl+r", 2),
    Hint("ctrl+y", "copy line", "ctrl+y", 1),
    Hint("esc", "leave, kept", "escape", 0),
]


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
        self._uuid = uuid7()
        self._sending = False
        self._refusal = ""
        self._accepted = False
        self._default_name = ""

    # -- the form -------------------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        yield VerticalScroll(*_fields(), id="form", can_focus=False)
        yield Words(id="verdict", most=SHOWN_FAULTS)
        yield Line(id="equal-rule")
        yield Words(id="equal", most=2)

    def on_mount(self) -> None:
        self._offer_queues([{"name": line.name} for line in self._queues])
        self._fill(cast(Draft | None, getattr(self.app, "kept_draft", None)) or Draft())
        self.query_one("#command" if self.draft.kind == "command" else "#kind").focus()
        # The blocks of a scroll bar are no ASCII; what has the focus is scrolled into view without it.
        self.query_one("#form").styles.scrollbar_size_vertical = 0 if self.look.ascii else 1
        self.call("queue.ls", {}, self._offer_queues)
        self.call("template.ls", {}, self._offer_templates)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_equal)

    def heading(self) -> str:
        return self.look.own("Deck › New task")

    def keys(self) -> list[Hint]:
        return _KEYS

    @property
    def _queues(self) -> Sequence[QueueLine]:
        return self.board.queues if self.board else ()

    def _offer_queues(self, rows: Sequence[Mapping[str, Any]]) -> None:
        names = [str(row["name"]) for row in rows]
        self.query_one("#queue", Pick).offer([("", "(not set)"), *((name, self.look.theirs(name)) for name in names)])

    def _offer_templates(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._templates = {str(row["name"]): row for row in rows if not row.get("retired_at")}
        self.query_one("#template", Pick).offer([(name, self.look.theirs(name)) for name in self._templates])
        self._show_template()

    def _fill(self, draft: Draft) -> None:
        """Put a draft into the fields."""
        self.draft = draft
        self.query_one("#kind", Choice).choose(draft.kind)
        self.query_one("#command", Input).value = draft.command
        self.query_one("#script", TextArea).text = draft.script
        self.query_one("#template", Pick).choose(draft.template)
        self.query_one("#queue", Pick).choose(draft.value("queue"))
        self.query_one("#hold", Tick).turn(draft.hold)
        for name in _ENTRIES:
            self.query_one(f"#{name}", Input).value = draft.values.get(name, "")
        self._show_template()
        self._show()

    def _typed(self) -> Draft:
        """What stands in the fields."""
        values = {name: self.query_one(f"#{name}", Input).value for name in _ENTRIES}
        return Draft(
            kind=self.query_one("#kind", Choice).value,
            command=self.query_one("#command", Input).value,
            script=self.query_one("#script", TextArea).text,
            template=self.query_one("#template", Pick).value,
            values=values | {"queue": self.query_one("#queue", Pick).value},
            hold=self.query_one("#hold", Tick).value,
            parameters=self._parameters(),
        )

    def _parameters(self) -> dict[str, Mapping[str, str]]:
        """The texts of the parameters of every template that was looked at."""
        own = {fields.template: fields.texts() for fields in self.query(ParameterFields) if fields.filled}
        return {**self.draft.parameters, **own}

    def _show_template(self) -> None:
        """The fields of the template that was picked."""
        name, holder = self.query_one("#template", Pick).value, self.query_one("#parameters", Vertical)
        shown = [fields.template for fields in self.query(ParameterFields)]
        if name not in self._templates or shown == [name]:
            return
        holder.remove_children()
        row = self._templates[name]
        holder.mount(ParameterFields(name, row.get("parameters") or {}, self.draft.parameters.get(name, {})))
        self.query_one("#facts", Words).show((self._template_words(row), "dim"))

    def _template_words(self, row: Mapping[str, Any]) -> str:
        asks = [f"queue {self.look.theirs(row['queue'])}"] if row.get("queue") else []
        asks += [f"cpu {amounts.plain(row['cpu'])}"] if row.get("cpu") is not None else []
        asks += [f"memory {amounts.memory(row['memory'])}"] if row.get("memory") is not None else []
        asks += [f"timeout {amounts.duration(row['timeout'])}"] if row.get("timeout") is not None else []
        return "   ".join([self.look.theirs(row.get("description") or row["engine"]), *asks])

    # -- what changed ---------------------------------------------------------------------------------------------

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Tick.Changed)
    @on(Pick.Changed)
    @on(Choice.Changed)
    @on(ParameterFields.Filled)
    def _changed(self, event: Message) -> None:
        event.stop()
        self.draft = self._typed()
        self._uuid = uuid7()
        if isinstance(event, Pick.Changed) and event.pick.id == "template":
            self._show_template()
        self._show()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_next()

    def _show(self) -> None:
        """Draw what follows from the draft, and ask the runtime about it soon."""
        kind = self.draft.kind
        for name, of in (("#of-command", "command"), ("#of-shell", "shell"), ("#of-template", "template")):
            self.query_one(name).display = kind == of
        self.query_one("#words", Words).show(self._words())
        self._accepted, self._refusal = False, ""
        self._show_verdict()
        self._show_equal()
        self._check_soon()

    def _words(self) -> Span:
        """The command as it will be run, and a warning when it looks as if a shell should run it."""
        try:
            found = words(self.draft.command)
        except ValueError:
            return ("", "")
        if signs := shell_signs(self.draft.command):
            return (f"{' '.join(signs)} is plain text here: no shell runs a command (Run: shell text).", "warn")
        shown = self.look.own(" │ ").join(self.look.theirs(word) for word in found)
        return (f"{len(found)} word{'' if len(found) == 1 else 's'}, no shell: {shown}" if found else "", "dim")

    def _faults(self) -> list[str]:
        return faults(self.draft, self._origin["cwd"], datetime.fromtimestamp(self.now, UTC))

    def _show_verdict(self) -> None:
        found = self._faults() + ([self._refusal] if self._refusal else [])
        if not found or self._untouched():
            self.query_one("#verdict", Words).show((self._outlook(), "dim"))
            return
        shown = [(f"✗ {self.look.theirs(text)}", "broken") for text in found[:SHOWN_FAULTS]]
        if len(found) > SHOWN_FAULTS:
            shown[-1] = (f"{shown[-1][0]} (and {len(found) - SHOWN_FAULTS} more)", "broken")
        self.query_one("#verdict", Words).show(*shown)

    def _untouched(self) -> bool:
        """Whether there is nothing yet to find fault with."""
        draft = self.draft
        return not {"command": draft.command, "shell": draft.script, "template": draft.template}[draft.kind].strip()

    def _outlook(self) -> str:
        """What would become of it, as far as the board tells."""
        if self._untouched():
            return _INVITES[self.draft.kind]
        if not self._accepted:
            return ""
        name = self.draft.value("queue") or (self._templates.get(self.draft.template) or {}).get("queue") or "default"
        line = next((line for line in self._queues if line.name == name), None)
        if line is None:
            return "It can be submitted."
        state = f"Queue {self.look.theirs(name)} is {line.word}: {line.load} of {line.capacity} running"
        return f"It can be submitted. {state}, {amounts.count(line.waiting)} waiting."

    def _show_equal(self) -> None:
        rule = self.query_one("#equal-rule", Line)
        text = self.look.rule(self.app.size.width, [(2, "The same from a shell (ctrl+y or a click copies it)")])
        rule.show([(text, "dim")])
        self.query_one("#equal", Words).show((self.look.theirs(quoted(self._equal())), ""))
        name = self._default_name
        self._hint("#name", f"empty: {self.look.theirs(name)}" if name else "")
        queue = next((line for line in self._queues if line.name == self.draft.value("queue")), None)
        self._hint("#queue", f"{queue.load} of {queue.capacity} running, {queue.waiting:,} waiting" if queue else "")

    def _hint(self, of: str, text: str) -> None:
        """What stands behind a field."""
        field = self.query_one(of).parent
        if isinstance(field, Field):
            field.hint.show((text, "dim"))

    def _equal(self) -> list[str]:
        """The words of the command line that does the same."""
        try:
            return submit_words(spec(self.draft))
        except ValueError:
            return []

    # -- asking the runtime ---------------------------------------------------------------------------------------

    def _check_soon(self) -> None:
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_AFTER, self._check)

    def _check(self) -> None:
        """Ask whether the runtime would take it, unless it is plain that it would not."""
        self._asked += 1
        if not self._faults():
            asked, args = self._asked, self._submission() | {"dry_run": True}
            self.ask(lambda client: _verdict(client, args), lambda verdict: self._judged(asked, verdict))

    def _judged(self, asked: int, verdict: tuple[str, str]) -> None:
        if asked == self._asked:
            self._refusal, self._default_name = verdict
            self._accepted = not self._refusal
            self._show_verdict()
            self._show_equal()

    def _submission(self) -> dict[str, Any]:
        return {"tasks": [spec(self.draft)], **self._origin}

    def action_submit(self) -> None:
        """Submit, unless something is plainly wrong. The same draft sent twice is one task."""
        self.draft = self._typed()
        if self._faults():
            self._show_verdict()
            self.say("Not submitted: " + self.look.theirs(self._faults()[0]), "warn")
        elif getattr(self.app, "read_only", False):
            self.say("Read only: nothing is submitted from here.", "warn")
        elif not self._sending:
            self._sending = True
            self.call("submit", self._submission() | {"uuid": self._uuid}, self._submitted)

    def _submitted(self, answer: Sequence[Mapping[str, Any]]) -> None:
        cast(Any, self.app).last_draft = self.draft
        cast(Any, self.app).kept_draft = None
        self.dismiss(answer[0]["number"])

    def refused(self, text: str) -> None:
        self._sending = False
        super().refused(text)

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_last(self) -> None:
        """What was submitted last, in every field."""
        last = getattr(self.app, "last_draft", None)
        if last is None:
            self.say("Nothing was submitted from here yet.")
        else:
            self.query(ParameterFields).remove()
            self._fill(last)

    def action_copy(self) -> None:
        """Copy the command line that does the same."""
        if found := self._equal():
            self.app.copy_to_clipboard(shlex.join(found))
            self.say("Copied the line.")

    @on(events.Click)
    def _clicked(self, event: events.Click) -> None:
        if event.widget is not None and (event.widget.id or "").startswith("equal"):
            self.action_copy()

    def action_leave(self) -> None:
        """Leave, and keep what was typed."""
        cast(Any, self.app).kept_draft = self._typed()
        self.dismiss(None)


def _fields() -> Iterable[Widget]:
    kinds = list(zip(KINDS, _KINDS, strict=True))
    yield Horizontal(Words("Run", classes="label run"), Choice(kinds, "command", id="kind"))
    yield Vertical(Field("Command", entry("command")), Words(id="words", classes="under"), id="of-command")
    script = Script(id="script", compact=True)
    script.cursor_blink = False
    yield Vertical(Field("Shell text", script), id="of-shell")
    yield Vertical(
        Field("Template", Pick([], id="template"), size=30),
        Words(id="facts", classes="under", most=2),
        Vertical(id="parameters"),
        id="of-template",
    )
    yield Field("In", entry("cwd"))
    yield Field("Name", entry("name"), size=30)
    yield Field("Queue", Pick([], id="queue"), size=20)
    yield Horizontal(_small("Priority", "priority", "higher first"), *_beside(("CPU", "cpu"), ("Memory", "memory")))
    yield Horizontal(
        _small("Timeout", "timeout", "empty: no limit"), *_beside(("Retries", "retries"), ("every", "retry_delay"))
    )
    yield Field("After", entry("after"), "#numbers, or empty", size=30)
    yield Field("Start at", entry("at"), "23:30, tomorrow 02:00, 2h", size=30)
    yield Tick("hold (do not start until released)", id="hold")


_KINDS = ("a command", "shell text", "a template")


def _small(label: str, id: str, hint: str) -> Field:
    return Field(label, entry(id), hint, size=6, fixed=True)


def _beside(*fields: tuple[str, str]) -> Iterable[Field]:
    """Small fields that stand beside others."""
    return [Field(label, entry(id), size=6, column=0, fixed=True) for label, id in fields]


def _verdict(client: Client, args: Mapping[str, Any]) -> tuple[str, str]:
    """Why the runtime would refuse this submission ("" when it would not), and the name that the task would have."""
    try:
        return "", str(client.call("submit", dict(args))[0]["name"])
    except Problem as problem:
        return getattr(problem, "message", str(problem)), ""
