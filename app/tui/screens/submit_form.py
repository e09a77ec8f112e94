"""The form for a new task: a command, shell text or a template; checked by the runtime while it is typed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, TextArea

from app.core.board import QueueLine
from app.core.ids import uuid7
from app.core.schema import parameters
from app.core.schema.form_fields import Path
from app.core.schema.form_outline import outline
from app.core.schema.parameters import Finding
from app.core.text import units
from app.core.text.sanitize import MASK
from app.tui.actions.shell_command import quoted, submit_words
from app.tui.forms import submit_calls
from app.tui.forms.fields import Choice, Field, Pick, Rule, Script, Slot, Tick, Words, slot
from app.tui.forms.schema_fields import ParameterFields
from app.tui.forms.submit_calls import all_templates, last_of, submitted, verdict
from app.tui.forms.submit_draft import KINDS, Draft, draft_of, faults, shell_signs, shell_word, spec, without, words
from app.tui.key_queue import KeysInOrder
from app.tui.message_fit import in_room
from app.tui.screens.base_page import PageScreen
from app.tui.screens.shellline import CopiesShellLine
from app.tui.style import Span
from app.tui.widgets.footer import Hint
from app.tui.widgets.header import WIDE
from app.tui.widgets.paste import pasted


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


if TYPE_CHECKING:
    from app.client import Client

CHECK_AFTER = 0.15
"""Seconds without a change after which the runtime is asked whether it would take the task."""
SHOWN_FAULTS = 3
KEPT = 20
"""Forms of which is kept what was typed."""
BEGINNING = 30
"""Characters that are told at least of why something was not submitted."""
NARROW = 72
"""Cells of a terminal below which small fields stand under each other."""
LOW = 20
"""Lines of a terminal below which only one is spent on each part beside the form."""
_INVITES = {"command": "Type a command.", "shell": "Type shell text.", "template": "Pick a template."}
_CHANGES = (Choice.Changed, Input.Changed, Pick.Changed, TextArea.Changed, Tick.Changed)
_FIRST = {"command": "#command", "shell": "#script", "template": "#template"}
"""The first field to fill in."""
_ENTRIES = ("cwd", "name", "priority", "cpu", "memory", "timeout", "retries", "retry_delay", "after", "at")
_KEYS = [
    Hint("ctrl+j", "submit", "ctrl+j", 0),
    Hint("tab", "next", "tab", 3),
    Hint("ctrl+r", "last", "ctrl+r", 2),
    Hint("ctrl+y", "copy line", "ctrl+y", 1),
    Hint("esc", "leave, kept", "escape", 0),
]
_FIND = Hint("ctrl+f", "find", "ctrl+f", 4)
_EMPTY = Hint("ctrl+n", "empty", "ctrl+n", 5)


class SubmitScreen(KeysInOrder, CopiesShellLine, PageScreen, ModalScreen[Any]):
    """A new task. Dismisses with its number, or None when it was left; what was typed is kept on the app.

    With `template` the form is that template's; with `task`, a row as the verb `show` answers it, it is filled with what
    that task was, and submits another.
    """

    CSS_PATH: ClassVar = ["../styles/page.tcss", "../styles/form.tcss"]
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,ctrl+enter", "submit", "Submit", id="form.submit", show=False),
        Binding("tab", "step(1)", "Next field", id="form.next", show=False),
        Binding("shift+tab", "step(-1)", "Field before", id="form.previous", show=False),
        Binding("ctrl+f", "find", "Find a parameter", id="form.find", show=False),
        Binding("ctrl+r", "last", "Last values", id="form.last", show=False),
        Binding("ctrl+n", "clear", "Empty the form; again as it was", id="form.clear", show=False),
        Binding("ctrl+y", "copy", "Copy the line", id="form.copy", show=False),
        Binding("escape", "leave", "Leave, kept", id="form.leave", show=False),
        Binding("f1", "app.show_keys", "The keys of this form", id="form.help", show=False),
    ]

    def __init__(
        self, client_factory: Callable[[], Client], template: str | None = None, task: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(client_factory)
        self.draft = Draft()
        self._template = template
        self._again = task
        self._origin = submit_calls.here() | ({"umask": task["umask"]} if task else {})
        self._templates: dict[str, Mapping[str, Any]] = {}
        self._asked_templates = False
        self._begun_with: Draft | None = None
        """What was kept, and brought back."""
        self._opened_with: Draft | None = None
        self._put_away: Draft | None = None
        """What stood there when the form was emptied."""
        self._timer: Timer | None = None
        self._asked = 0
        self._uuid = uuid7()
        self._sending = False
        self._refusal = ""
        self._accepted = False
        self._default_name = ""
        self._shown_kind = ""
        self._begun = False

    # -- the form -------------------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        # Classes are set before there is much to style anew for each.
        self.set_class(self.app.size.width >= WIDE, "-wide")
        self._fit()
        self.set_class(self._first_draft().kind == "template", "-template")
        yield VerticalScroll(*task_fields(), id="form", can_focus=False)
        yield Words(id="about", most=2)
        yield Words(id="verdict", most=SHOWN_FAULTS)
        yield Rule("The same from a shell (ctrl+y or a click copies it)", id="equal-rule")
        yield Words(id="equal", most=2)

    def on_mount(self) -> None:
        self._offer_queues([{"name": line.name} for line in self._queues])
        self._begun_with = self._kept if self._again is None else None
        self._fill(self._first_draft())
        if self._again is not None and self._kept:
            self.say("ctrl+r brings back what you typed here before.", stays=False)
        elif self._begun_with is not None:
            self.say("This is as you left it; ctrl+n empties the form.", stays=False)
        # The blocks of a scroll bar are no ASCII; what has the focus is scrolled into view without it.
        self.query_one("#form").styles.scrollbar_size_vertical = 0 if self.look.ascii else 1
        self.query_one("#command", Slot).takes_lines = self._take_lines
        self.call("queue.ls", {}, self._offer_queues)
        self.ask(all_templates, self._offer_templates)
        if self._again is not None and not self._again.get("template"):
            self._ask_usual_name(self._again)
        self.call_later(self._begin)

    def _first_draft(self) -> Draft:
        """What the form begins with: the task that is run again, what was kept, or nothing."""
        return self._blank if self._again is not None else self._kept or self._blank

    @property
    def _blank(self) -> Draft:
        """The form with nothing typed into it."""
        if self._again is not None:
            return draft_of(self._again)
        return Draft(kind="template", template=self._template) if self._template else Draft()

    @property
    def _form(self) -> str:
        """Which form this is of those that keep what was typed in them."""
        return f"#{self._again['number']}" if self._again is not None else self._template or ""

    @property
    def _kept_drafts(self) -> Mapping[str, Draft]:
        """What was typed in forms and not submitted, the latest last."""
        return cast(Mapping[str, Draft], getattr(self.app, "kept_drafts", {}))

    @property
    def _kept(self) -> Draft | None:
        """What was typed in this form; where that is nothing, what was typed last in any, if it is for this one too."""
        own, last = self._kept_drafts.get(self._form), next(reversed([*self._kept_drafts.values()]), None)
        if own or last is None or self._again is not None:
            return own
        return last if self._template in (None, last.kind == "template" and last.template) else None

    def _keep(self, typed: Draft | None) -> None:
        """This is what is kept of this form."""
        drafts = {form: draft for form, draft in self._kept_drafts.items() if form != self._form and draft is not self._begun_with}
        cast(Any, self.app).kept_drafts = dict([*drafts.items(), *([(self._form, typed)] if typed else [])][-KEPT:])

    def _begin(self) -> None:
        """Give the focus to the first field, when it stands there, and to it what was typed ahead of it."""
        if not self._begun and not self._awaits_fields:
            self._begun = True
            self._opened_with = self._typed()
            self._focus_first()
        self.post_message(self.Waiting())

    @property
    def _awaits_fields(self) -> bool:
        """Whether the first field is one of a template's, and those do not stand there yet."""
        if self.draft.kind != "template" or not (self._template or self._again):
            return False
        fields = self._parameter_fields
        return not fields.ready if fields else not self._asked_templates or self.draft.template in self._templates

    def _focus_first(self) -> None:
        fields = self._parameter_fields
        if self.draft.kind == "template" and fields is not None and (self._template or self._again):
            fields.enter(1)
        else:
            self.set_focus(self.query_one(_FIRST[self.draft.kind]))

    @property
    def takes_keys(self) -> bool:
        """Whether there is a field to type in; what is typed before is kept for it."""
        return self._begun and not (isinstance(self.focused, ParameterFields) and not self.focused.ready)

    def on_resize(self) -> None:
        self._fit()
        self.call_after_refresh(self._show_equal)

    def _fit(self) -> None:
        self.set_class(self.app.size.height < LOW, "-low")
        self.set_class(self.app.size.width < NARROW, "-narrow")

    def heading(self) -> str:
        if self._again is not None:
            name = self.look.theirs(str(self._again["name"]))
            return self.look.own(f"#{self._again['number']} {self.look.cut(name, 24)} › Run again")
        if self._template is not None:
            return self.look.own(f"Templates › {self.look.cut(self.look.theirs(self._template), 24)} › New task")
        return self.look.own(f"{self.opened_from} › New task")

    def keys(self) -> list[Hint]:
        fields = self._parameter_fields if self.draft.kind == "template" else None
        keys = [*_KEYS[:2], _FIND, *_KEYS[2:]] if fields and fields.findable else _KEYS
        return [*keys[:2], _EMPTY, *keys[2:]] if self._begun_with is not None and self._again is None else keys

    @property
    def _queues(self) -> Sequence[QueueLine]:
        return self.board.queues if self.board else ()

    @property
    def _parameter_fields(self) -> ParameterFields | None:
        """The fields of the template that was picked, when they stand there."""
        shown = [fields for fields in self.query(ParameterFields) if fields.template == self.draft.template]
        return shown[-1] if shown else None

    def _offer_queues(self, rows: Sequence[Mapping[str, Any]]) -> None:
        names = [str(row["name"]) for row in rows]
        self.query_one("#queue", Pick).offer([("", "(not set)"), *((name, self.look.theirs(name)) for name in names)])

    def _offer_templates(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._templates = {str(row["name"]): row for row in rows if not row.get("retired_at")}
        self.query_one("#template", Pick).offer([(name, self.look.theirs(name)) for name in self._templates])
        self._asked_templates = True
        self._show_template()
        self._show_verdict()
        self._begin()

    def _ask_usual_name(self, task: Mapping[str, Any]) -> None:
        """A name that the task was given because it had none is not kept: it follows the command."""
        nameless = {name: value for name, value in spec(self.draft).items() if name != "name"}
        args = {"tasks": [nameless], **self._origin, "dry_run": True}
        self.ask(lambda client: verdict(client, args, "")[1], lambda usual: self._unname(task, usual))

    def _unname(self, task: Mapping[str, Any], usual: str) -> None:
        name = self.query_one("#name", Input)
        if usual == name.value == task["name"]:
            name.value = ""

    def _fill(self, draft: Draft) -> None:
        """Put a draft into the fields."""
        self.draft = draft
        with self.prevent(*_CHANGES):
            self.query_one("#kind", Choice).choose(draft.kind)
            self.query_one("#command", Input).value = draft.command
            self.query_one("#script", TextArea).text = draft.script
            self.query_one("#template", Pick).choose(draft.template)
            self.query_one("#queue", Pick).choose(draft.value("queue"))
            self.query_one("#hold", Tick).turn(draft.hold)
            for name in _ENTRIES:
                self.query_one(f"#{name}", Input).value = draft.values.get(name, "")
        if fields := self._parameter_fields:
            fields.fill(draft.parameters.get(fields.template, {}))
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
            also=self.draft.also,
        )

    def _parameters(self) -> dict[str, Mapping[Path, str]]:
        """The texts of the parameters of every template that was looked at."""
        for fields in self.query(ParameterFields):
            fields.commit()
        return {**self.draft.parameters, **{fields.template: fields.texts for fields in self.query(ParameterFields)}}

    def _show_template(self) -> None:
        """The fields of the template that was picked."""
        name, holder = self.query_one("#template", Pick).value, self.query_one("#parameters", Vertical)
        shown = [fields.template for fields in self.query(ParameterFields)]
        if name not in self._templates or shown == [name]:
            return
        holder.remove_children()
        row = self._templates[name]
        schema = row.get("parameters") or {}
        holder.mount(ParameterFields(name, schema, self._given(name, schema)))
        self.query_one("#facts", Words).show((self._template_words(row), "dim"))
        self.refresh_chrome()

    def _given(self, name: str, schema: Mapping[str, Any]) -> Mapping[Path, str]:
        """The texts that the fields of a template begin with: what was typed, else what the task had that is run again."""
        if name in self.draft.parameters or self._again is None or self._again.get("template") != name:
            return self.draft.parameters.get(name, {})
        had = self._again.get("parameters") or {}
        found = outline(schema).given(had)
        if lost := had.keys() - outline(schema).values(outline(schema).texts(had)).keys():
            said = f"Not taken over, masked or no parameter any more: {', '.join(sorted(lost))}."
            self.say(self.look.theirs(said), "warn")
        return found

    def _template_words(self, row: Mapping[str, Any]) -> str:
        """What a template is, and what its tasks get unless they ask for something else."""
        asks = [f"queue {self.look.theirs(row['queue'])}"] if row.get("queue") else []
        asks += [f"cpu {units.plain(row['cpu'])}"] if row.get("cpu") is not None else []
        asks += [f"memory {units.memory(row['memory'])}"] if row.get("memory") is not None else []
        asks += [f"limit {units.duration(row['timeout'])}"] if row.get("timeout") is not None else []
        named = f"{row['name']}: " if self._template or self._again else ""
        return "  ".join([self.look.theirs(f"{named}{row.get('description') or row['engine']}"), *asks])

    # -- what changed ---------------------------------------------------------------------------------------------

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Tick.Changed)
    @on(Pick.Changed)
    @on(Choice.Changed)
    @on(ParameterFields.Changed)
    def _changed(self, event: Message) -> None:
        event.stop()
        self._take_in()
        self._begin()

    def _take_in(self) -> None:
        """What stands in the fields is the draft."""
        before, self.draft = self.draft, self._typed()
        self._uuid = uuid7()
        if self.draft.kind == "shell" != before.kind:
            self._take_along()
        if self.draft.template != before.template:
            self._show_template()
        self._show()

    def _take_along(self) -> None:
        """A command that turns out to be shell text need not be typed again."""
        script, command = self.query_one("#script", TextArea), self.draft.command
        if not script.text and (shell_word(command) or shell_signs(command)):
            script.text = command
            script.move_cursor(script.document.end)
            self.draft = self._typed()

    def _take_lines(self, text: str) -> None:
        """Several lines that are pasted as a command are shell text, behind what was typed there."""
        script = self.query_one("#script", TextArea)
        script.text = "\n".join(filter(None, (script.text.rstrip("\n"), self.query_one("#command", Input).value + pasted(text))))
        script.move_cursor(script.document.end)
        self.query_one("#kind", Choice).choose("shell")
        self._take_in()
        self.say("Several lines were pasted: they are taken as shell text.")

    @on(ParameterFields.Moved)
    def _tell_about(self, event: ParameterFields.Moved) -> None:
        event.stop()
        self.query_one("#about", Words).show((self.look.theirs(event.about), "dim"))

    @on(ParameterFields.Left)
    def _field_left(self, event: ParameterFields.Left) -> None:
        event.stop()
        self._show_verdict()

    def _show(self) -> None:
        """Draw what follows from the draft, and ask the runtime about it soon."""
        if self.draft.kind != self._shown_kind:
            self._show_kind(self.draft.kind)
        self.query_one("#words", Words).show(self._words())
        self._asked += 1  # what is answered from now on is about another draft
        self._accepted, self._refusal = False, ""
        self._show_verdict()
        self._show_equal()
        self._check_soon()

    def _keep_focus(self, kind: str) -> None:
        """Whoever typed on into a field that has just gone types into what stands there now."""
        if self.focused is not None and not all(node.display for node in self.focused.ancestors_with_self):
            self.set_focus(self.query_one(_FIRST[kind]))

    def _show_kind(self, kind: str) -> None:
        """The fields that this kind of task has; what was chosen before the form was opened is not asked again."""
        self._shown_kind = kind
        bound = kind == "template" and bool(self._template or self._again)
        shown = {f"#of-{of}": kind == of for of in KINDS} | {"#run": not bound, "#template-field": not bound}
        for name, is_shown in {**shown, "#about": kind == "template", "#task-rule": kind == "template"}.items():
            self.query_one(name).display = is_shown
        self.set_class(kind == "template", "-template")
        self.query_one("#facts").set_class(not bound, "under")
        self.refresh_chrome()
        self._keep_focus(kind)

    def _words(self) -> Span:
        """The command as it will be run, and a warning when it looks as if a shell should run it."""
        try:
            found = words(self.draft.command)
        except ValueError:
            return ("", "")
        if word := shell_word(self.draft.command):
            return (
                f"no shell here (Run: shell text): {self.look.theirs(word)} is a word of the shell.",
                "warn",
            )
        if signs := shell_signs(self.draft.command):
            return (f"no shell here (Run: shell text): {' '.join(signs)} is plain text.", "warn")
        shown = self.look.own(" │ ").join(self.look.theirs(word) for word in found)
        return (f"{len(found)} word{'' if len(found) == 1 else 's'}, no shell: {shown}" if found else "", "dim")

    def _faulty(self) -> dict[str, str]:
        """What is wrong with the fields that every task has, by field."""
        return faults(self.draft, self._origin["cwd"], datetime.fromtimestamp(self.now, UTC))

    def _faults(self) -> list[str]:
        """All that is wrong, a sentence each."""
        fields = self._parameter_fields if self.draft.kind == "template" else None
        found = list(self._faulty().values())
        gone = self.draft.template and self._asked_templates and self.draft.template not in self._templates
        if self.draft.kind == "template" and gone:
            found.append(f"There is no template {self.look.theirs(self.draft.template)} any more.")
        return found + [finding.text for finding in (fields.findings if fields else ())]

    def _show_verdict(self) -> None:
        faults = self._faults()
        self.wrong(faults)
        found = faults + ([self._refusal] if self._refusal else [])
        if not found or self._untouched():
            self.query_one("#verdict", Words).show((self._outlook(), "dim"))
        elif self.draft.kind == "template" and self._parameter_fields is not None and not self._refusal:
            self.query_one("#verdict", Words).show(*self._to_mend(found, self._parameter_fields))
        else:
            self.query_one("#verdict", Words).show(*self._listed(found))

    def _listed(self, found: Sequence[str]) -> list[Span]:
        shown = [(f"✗ {self.look.theirs(text)}", "broken") for text in found[:SHOWN_FAULTS]]
        if len(found) > SHOWN_FAULTS:
            shown[-1] = (f"{shown[-1][0]} (and {len(found) - SHOWN_FAULTS} more)", "broken")
        return shown

    def _to_mend(self, found: Sequence[str], fields: ParameterFields) -> list[Span]:
        """How many things are wrong, and where: what is wrong with a parameter stands beside it. What only was not come to yet is not
        wrong."""
        told = fields.told
        others = found[: len(found) - len(fields.findings)]
        count = len(others) + len(told)
        where = "; ".join(filter(None, [*others, _named(told)]))
        things = "1 thing" if count == 1 else f"{count} things"
        mend = self.look.theirs(f"{things} to mend before it can be submitted: {where}")
        fill = self.look.theirs(f"Still to fill in: {_named([finding for finding in fields.findings if finding not in told])}.")
        return [*([(mend, "broken")] if count else []), *([(fill, "dim")] if len(told) < len(fields.findings) else [])]

    def _untouched(self) -> bool:
        """Whether there is nothing yet to find fault with."""
        draft = self.draft
        return not {"command": draft.command, "shell": draft.script, "template": draft.template}[draft.kind].strip()

    def _outlook(self) -> str:
        """What would become of it, as far as the board tells."""
        if self._untouched():
            return _INVITES[self.draft.kind]
        if self.board and self.board.database == "disk full":
            return "Nothing is taken while the disk is full: a task must be on disk to be accepted."
        if not self._accepted:
            return ""
        name = self.draft.value("queue") or self._usual.get("queue") or "default"
        line = next((line for line in self._queues if line.name == name), None)
        if line is None:
            return "It can be submitted."
        state = f"Queue {self.look.theirs(name)}: {line.word}, {line.load} of {line.capacity} running"
        return f"It can be submitted. {state}, {units.count(line.waiting)} waiting."

    def _show_equal(self) -> None:
        self.query_one("#equal", Words).show((self.look.theirs(" ".join([quoted(self._equal()), *self._gaps()])), ""))
        name = self._default_name
        self._hint("#name", f"empty: {self.look.theirs(name)}" if name and not self.draft.value("name") else "")
        queue = next((line for line in self._queues if line.name == self.draft.value("queue")), None)
        self._hint("#queue", f"{queue.load} of {queue.capacity} running, {queue.waiting:,} waiting" if queue else self._usual_queue())
        limit = self._usual.get("timeout")
        self._hint("#timeout", "empty: no limit" if limit is None else f"empty: {units.duration(limit)}")

    def _usual_queue(self) -> str:
        usual = self._usual.get("queue")
        return f"not set: {self.look.theirs(usual)}, as the template" if usual and not self.draft.value("queue") else ""

    @property
    def _usual(self) -> Mapping[str, Any]:
        """The template that was picked, whose values a task has where it asks for no others."""
        return self._templates.get(self.draft.template, {}) if self.draft.kind == "template" else {}

    def _hint(self, of: str, text: str) -> None:
        """What stands behind a field."""
        field = self.query_one(of).parent
        if isinstance(field, Field):
            field.hint.show((text, "dim"))

    def _equal(self) -> list[str]:
        """The words of the command line that does the same."""
        try:
            return submit_words(self._spec(shown=True))
        except ValueError:
            return []

    def _gaps(self) -> list[str]:
        """What the line still lacks, as a reader would fill it in."""
        fields = self._parameter_fields if self.draft.kind == "template" else None
        missing = [finding.path for finding in fields.findings if finding.missing] if fields else []
        return [self.look.own(f"-p {self.look.theirs(str(path[0]))}=…") for path in missing if len(path) == 1]

    def _spec(self, shown: bool = False, faulty: Collection[str] = ()) -> dict[str, Any]:
        """The specification of the task, its parameters as texts where `-p` would read the same from them.

        `shown`: for the eye, with secrets masked. `faulty`: fields that are left out.
        """
        draft = without(self.draft, faulty)
        fields = self._parameter_fields if draft.kind == "template" else None
        if fields is None:
            return spec(draft)
        texts, values = parameters.texts(fields.shown_values if shown else fields.values, fields.schema)
        given = ({"parameter_texts": texts} if texts else {}) | ({"parameters": values} if values else {})
        return spec(draft, given)

    # -- asking the runtime ---------------------------------------------------------------------------------------

    def _check_soon(self) -> None:
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_AFTER, self._check)

    def _check(self) -> None:
        """Ask whether the runtime would take it; of one that is plainly wrong, whether it would take the rest."""
        self._asked += 1
        if self.draft.kind == "template" and not self._asked_templates:
            return  # its parameters are not known yet; it is looked at again when they are
        faulty = self._faulty()
        if len(faulty) == len(self._faults()):
            asked, args = self._asked, self._submission(faulty) | {"dry_run": True}
            home = self._home
            self.ask(lambda client: verdict(client, args, home), lambda said: self._judged(asked, not faulty, said))

    def _judged(self, asked: int, whole: bool, verdict: tuple[str, str]) -> None:
        if asked == self._asked:
            self._refusal, name = verdict
            self._default_name = name if whole else self._default_name
            self._accepted = whole and not self._refusal
            self._show_verdict()
            self._show_equal()

    @property
    def _home(self) -> str:
        return self.board.home if self.board else "the home"

    def _submission(self, faulty: Collection[str] = ()) -> dict[str, Any]:
        return {"tasks": [self._spec(faulty=faulty)], **self._origin}

    def action_submit(self) -> None:
        """Submit, unless something is plainly wrong. The same draft sent twice is one task."""
        self.draft = self._typed()
        if self._faults():
            if fields := self._parameter_fields:
                fields.tell_all()
            self._show_verdict()
            self._to_fault()
            self.not_done("Not submitted", self._faults()[0])
        elif getattr(self.app, "read_only", False):
            self.say("Read only: nothing is submitted from here.", "warn")
        elif self.draft.kind == "template" and self._parameter_fields is None:
            self.say("Not submitted: the template is being read.", "warn")
        elif not self._sending:
            self._sending = True
            args, home = self._submission() | {"uuid": self._uuid}, self._home
            self.ask(lambda client: submitted(client, args, home), self._submitted)

    def _to_fault(self) -> None:
        """Put the cursor on the first field that something is wrong with."""
        if faulty := next(iter(self._faulty()), ""):
            self.set_focus(self.query_one(_FIRST[self.draft.kind] if faulty == "command" else f"#{faulty}"))
        elif fields := self._parameter_fields:
            fields.to_fault()

    def _submitted(self, answer: Sequence[Mapping[str, Any]]) -> None:
        app = cast(Any, self.app)
        app.last_drafts = {**getattr(app, "last_drafts", {}), self.draft.template or self.draft.kind: self.draft}
        app.last_draft = self.draft
        self._keep(None)
        self.dismiss(answer[0]["number"])

    def refused(self, text: str) -> None:
        sent, self._sending, self._asked_templates = self._sending, False, True
        if sent:
            # What a check before it found out is not so any more.
            self._asked += 1
            self._accepted, self._refusal = False, text
            self._show_verdict()
        super().refused(self._not_submitted(text) if sent else text)
        self._begin()

    def _not_submitted(self, text: str) -> str:
        """All of it stands above: where there is too little room to begin with why, what to do about it is left out here."""
        whole = f"Not submitted: {text}"
        begins = in_room(whole, self.size.width - 1, self.look).startswith(whole[:BEGINNING])
        return whole if begins else f"{whole.split('. ')[0].rstrip('.')}."

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_step(self, by: int) -> None:
        """To the next field, or the one before, of those that are there with what was chosen this very moment."""
        if (self.query_one("#kind", Choice).value, self.query_one("#template", Pick).value) != (
            self.draft.kind,
            self.draft.template,
        ):
            self._take_in()
        fields = self._parameter_fields
        if fields is not None and fields.has_focus_within:
            if not fields.step(by):
                fields.leave(by)
            return
        (self.focus_next if by > 0 else self.focus_previous)()
        if fields is not None and self.focused is fields and fields.ready:
            fields.enter(by)

    def action_find(self) -> None:
        """Find a parameter by its name or description."""
        if self.draft.kind == "template" and (fields := self._parameter_fields) and fields.ready:
            fields.action_find()
            if not fields.findable:
                self.say("This template has no parameters.", stays=False)

    def action_last(self) -> None:
        """What was submitted last, of this template when it is one's form, in every field; first what was typed and left where the form is
        filled with a task."""
        drafts = getattr(self.app, "last_drafts", {})
        fields = self._parameter_fields if self.draft.kind == "template" else None
        last = drafts.get(self.draft.template) if fields else getattr(self.app, "last_draft", None)
        if self._again is not None and self._kept:
            last = self._begun_with = self._kept
        if last is not None:
            self._fill(last)
        elif fields:
            self.ask(lambda client: last_of(client, fields.template), lambda task: self._refill(fields, task))
        else:
            self.say("Nothing was submitted from here yet.", stays=False)

    def _refill(self, fields: ParameterFields, task: Mapping[str, Any] | None) -> None:
        """The parameters that the last task of the template had, whoever submitted it."""
        if task is None:
            self.say("Nothing was submitted from this template yet.", stays=False)
        elif fields is self._parameter_fields:
            fields.fill(outline(fields.schema).given(task.get("parameters") or {}))
            self.say(f"Filled in as in #{task['number']}.")

    def action_clear(self) -> None:
        """The form as if nothing had been typed into it; again what stood there."""
        typed, put_away = self._typed(), self._put_away
        self._fill(self._blank)
        self._put_away = typed if self._typed() != typed else None
        self._focus_first()
        if self._put_away is not None:
            self._keep(None)
            self._opened_with = self._typed()
            self.say("Emptied; ctrl+n again brings back what stood here.", stays=False)
        elif put_away is not None:
            self._fill(put_away)
            self.say("As it was before.", stays=False)

    def action_copy(self) -> None:
        """Copy the command line that does the same."""
        if found := self._equal():
            self.app.copy_to_clipboard(shlex.join(found))
            self.say(
                "Copied the line; secrets are masked in it."
                if any(MASK in word for word in found)
                else "Copied the line."
            )

    def action_leave(self) -> None:
        """Leave, and keep what was typed; while a parameter is looked for, back to all of them."""
        fields = self._parameter_fields
        if self.draft.kind == "template" and fields is not None and fields.clear_find():
            return
        typed = self._typed()
        if typed != self._opened_with:
            self._keep(typed)
        self.dismiss(None)


def _named(findings: Sequence[Finding]) -> str:
    """The parameters that findings are about."""
    return ", ".join(dict.fromkeys(finding.name or "all together" for finding in findings))
