"""Submit form: a command, a shell script or a template, checked while it is typed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, TextArea

from app.core.board import QueueEntry
from app.core.ids import make_uuid7
from app.core.schema import parameters
from app.core.schema.form_fields import FieldPath
from app.core.schema.form_outline import build_outline
from app.core.text import units
from app.core.text.sanitize import MASK, sanitize_paste
from app.translation import tr
from app.tui.actions.shell_command import build_submit_words, quote_words
from app.tui.forms import notice_model, resource_field, submit_calls
from app.tui.forms.fields import (
    CheckBox,
    Choice,
    DropDown,
    Field,
    FormEntry,
    TitleRule,
    WrappedText,
)
from app.tui.forms.schema_fields import ParameterFields
from app.tui.forms.submit_calls import (
    check_submission,
    find_last_task,
    read_queues_and_channels,
    read_templates,
    submit,
)
from app.tui.forms.submit_draft import (
    KINDS,
    SubmitDraft,
    build_spec,
    drop_fields,
    find_faults,
    find_shell_operators,
    find_shell_word,
)
from app.tui.key_queue import KeyQueueScreen
from app.tui.screens.base_page import PageScreen
from app.tui.screens.copy_command import CommandCopy
from app.tui.screens.submission.fields import (
    DEFAULT_HINTS,
    FIRST_FIELDS,
    build_fields,
    fill_fields,
    read_fields,
)
from app.tui.screens.submission.kept_drafts import KeptDrafts
from app.tui.screens.submission.texts import (
    INVITATIONS,
    SHOWN_FAULTS,
    describe_accepted,
    describe_command,
    describe_template,
    format_faults,
    format_submit_error,
    format_template_faults,
)
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.header import WIDE_CELLS

if TYPE_CHECKING:
    from app.client import Client

CHECK_DELAY = 0.15
"""Seconds without a change before the runtime checks the task."""
NARROW = 72
"""Terminal width in cells below which small fields are stacked."""
LOW = 20
"""Terminal height in lines below which each part around the form gets one line."""
_KEYS = [
    KeyHint("ctrl+j", "submit", "ctrl+j", 0),
    KeyHint("tab", "next", "tab", 3),
    KeyHint("ctrl+r", "last", "ctrl+r", 2),
    KeyHint("ctrl+y", "copy line", "ctrl+y", 1),
    KeyHint("esc", "close, keep draft", "escape", 0),
]
_FIND = KeyHint("ctrl+f", "find", "ctrl+f", 4)
_EMPTY = KeyHint("ctrl+n", "empty", "ctrl+n", 5)


class SubmitScreen(KeyQueueScreen, CommandCopy, PageScreen, ModalScreen[Any]):
    """Form for a new task.

    Dismisses with the submitted task, or None if the form was left; unsubmitted text is kept on the
    app. With `template` the form is for that template. With `task`, an answer of the verb `show`,
    the form is filled to submit another such task.
    """

    CSS_PATH: ClassVar = ["../../styles/page.tcss", "../../styles/form.tcss"]
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,ctrl+enter", "submit", "Submit", id="form.submit", show=False),
        Binding("tab", "step(1)", "Next field", id="form.next", show=False),
        Binding("shift+tab", "step(-1)", "Field before", id="form.previous", show=False),
        Binding("ctrl+f", "find", "Find a parameter", id="form.find", show=False),
        Binding("ctrl+r", "last", "Last values", id="form.last", show=False),
        Binding("ctrl+n", "clear", "Empty the form; again as it was", id="form.clear", show=False),
        Binding("ctrl+y", "copy", "Copy the line", id="form.copy", show=False),
        Binding("escape", "leave", "Close, keep draft", id="form.leave", show=False),
        Binding("f1", "app.show_keys", "The keys of this form", id="form.help", show=False),
    ]

    def __init__(
        self,
        client_factory: Callable[[], Client],
        template: str | None = None,
        task: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(client_factory)
        self.draft = SubmitDraft()
        self._template = template
        self._source_task = task
        self._origin = submit_calls.capture_context() | ({"umask": task["umask"]} if task else {})
        self._templates: dict[str, Mapping[str, Any]] = {}
        self._asked_templates = False
        self._initial_draft: SubmitDraft | None = None
        self._cleared_draft: SubmitDraft | None = None
        """Draft that the form held when it was cleared."""
        self._timer: Timer | None = None
        self._check_number = 0
        self._uuid = make_uuid7()
        self._sending = False
        self._refusal = ""
        self._accepted = False
        self._default_name = ""
        self._shown_kind = ""
        self._has_input = False

    @cached_property
    def _drafts(self) -> KeptDrafts:
        return KeptDrafts(self.deck.drafts, self._template, self._source_task)

    # Fields

    def compose_body(self) -> Iterable[Widget]:
        # Set the classes first: each change restyles all mounted widgets.
        self.set_class(self.app.size.width >= WIDE_CELLS, "-wide")
        self._set_size_classes()
        self.set_class(self._drafts.first.kind == "template", "-template")
        yield VerticalScroll(*build_fields(), id="form", can_focus=False)
        yield WrappedText(id="about", most=2)
        yield WrappedText(id="verdict", most=SHOWN_FAULTS)
        yield TitleRule(tr("The same from a shell (ctrl+y or a click copies it)"), id="equal-rule")
        yield WrappedText(id="equal", most=2)

    def on_mount(self) -> None:
        self._offer_queues([{"name": line.name} for line in self._queues])
        self._drafts.restored = self._drafts.kept if self._source_task is None else None
        self._fill_fields(self._drafts.first)
        if self._source_task is not None and self._drafts.kept:
            self.show_message(tr("ctrl+r restores what you typed here before."), stays=False)
        elif self._drafts.restored is not None:
            self.show_message(
                tr("The form is as you left it; ctrl+n empties the form."), stays=False
            )
        # A scroll bar is not ASCII; the focused field scrolls into view without one.
        self.query_one("#form").styles.scrollbar_size_vertical = 0 if self.look.ascii else 1
        self.query_one("#command", FormEntry).on_multiline_paste = self._paste_lines
        self.ask(read_queues_and_channels, self._offer_choices)
        self.ask(read_templates, self._offer_templates)
        if self._source_task is not None and not self._source_task.get("template"):
            self._check_default_name(self._source_task)
        self.call_later(self._start_typing)

    def _start_typing(self) -> None:
        """Focus the first field once it exists, and replay keys typed ahead."""
        if not self._has_input and not self._is_awaiting_fields:
            self._has_input = True
            self._initial_draft = self._read_draft()
            self._focus_first()
        self.post_message(self.Waiting())

    @property
    def _is_awaiting_fields(self) -> bool:
        """True while the first field belongs to a template whose fields do not exist yet."""
        if self.draft.kind != "template" or not (self._template or self._source_task):
            return False
        fields = self._parameter_fields
        return (
            not fields.ready
            if fields
            else not self._asked_templates or self.draft.template in self._templates
        )

    def _focus_first(self) -> None:
        fields = self._parameter_fields
        if (
            self.draft.kind == "template"
            and fields is not None
            and (self._template or self._source_task)
        ):
            fields.focus_end(1)
        else:
            self.set_focus(self.query_one(FIRST_FIELDS[self.draft.kind]))

    @property
    def takes_keys(self) -> bool:
        """True if a field can take keys. Earlier keys are kept."""
        return self._has_input and not (
            isinstance(self.focused, ParameterFields) and not self.focused.ready
        )

    def on_resize(self) -> None:
        self._set_size_classes()
        self.call_after_refresh(self._show_command)

    def _set_size_classes(self) -> None:
        self.set_class(self.app.size.height < LOW, "-low")
        self.set_class(self.app.size.width < NARROW, "-narrow")

    def make_heading(self) -> str:
        if self._source_task is not None:
            name = self.look.sanitize(str(self._source_task["name"]))
            return self.look.adapt_text(
                f"#{self._source_task['number']} {self.look.cut(name, 24)} › {tr('Retry')}"
            )
        if self._template is not None:
            name = self.look.cut(self.look.sanitize(self._template), 24)
            return self.look.adapt_text(f"{tr('Templates')} › {name} › {tr('New task')}")
        return self.look.adapt_text(f"{self.opened_from} › {tr('New task')}")

    def list_keys(self) -> list[KeyHint]:
        fields = self._parameter_fields if self.draft.kind == "template" else None
        keys = [*_KEYS[:2], _FIND, *_KEYS[2:]] if fields and fields.findable else _KEYS
        return (
            [*keys[:2], _EMPTY, *keys[2:]]
            if self._drafts.restored is not None and self._source_task is None
            else keys
        )

    @property
    def _queues(self) -> Sequence[QueueEntry]:
        return self.board.queues if self.board else ()

    @property
    def _parameter_fields(self) -> ParameterFields | None:
        """Fields of the chosen template, or None if they do not exist yet."""
        shown = [
            fields
            for fields in self.query(ParameterFields)
            if fields.template == self.draft.template
        ]
        return shown[-1] if shown else None

    def _offer_queues(self, rows: Sequence[Mapping[str, Any]]) -> None:
        names = [str(row["name"]) for row in rows]
        self.query_one("#queue", DropDown).set_options(
            [("", tr("(not set)")), *((name, self.look.sanitize(name)) for name in names)]
        )

    def _offer_choices(self, found: tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        queues, answer = found
        self._offer_queues(queues)
        field = self.query_one("#notify", DropDown)
        names = notice_model.list_channels(answer)
        options = notice_model.list_notice_options(names, [field.value])
        field.set_options([("", tr("default")), *options])

    def _offer_templates(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._templates = {str(row["name"]): row for row in rows if not row.get("retired_at")}
        self.query_one("#template", DropDown).set_options(
            [(name, self.look.sanitize(name)) for name in self._templates]
        )
        self._asked_templates = True
        self._show_template()
        self._show_verdict()
        self._start_typing()

    def _check_default_name(self, task: Mapping[str, Any]) -> None:
        """Check for a name derived from the command, which must follow the command."""
        nameless = {name: value for name, value in build_spec(self.draft).items() if name != "name"}
        args = {"tasks": [nameless], **self._origin, "dry_run": True}
        self.ask(
            lambda client: check_submission(client, args, "")[1],
            lambda usual: self._clear_default_name(task, usual),
        )

    def _clear_default_name(self, task: Mapping[str, Any], usual: str) -> None:
        name = self.query_one("#name", Input)
        if usual == name.value == task["name"]:
            name.value = ""

    def _fill_fields(self, draft: SubmitDraft) -> None:
        """Fill the fields from a draft."""
        self.draft = draft
        fill_fields(self, draft)
        if fields := self._parameter_fields:
            fields.set_texts(draft.parameters.get(fields.template, {}))
        self._show_template()
        self._refresh_form()

    def _read_draft(self) -> SubmitDraft:
        return read_fields(self, self.draft)

    def _show_template(self) -> None:
        """Show the fields of the chosen template."""
        name, holder = (
            self.query_one("#template", DropDown).value,
            self.query_one("#parameters", Vertical),
        )
        shown = [fields.template for fields in self.query(ParameterFields)]
        if name not in self._templates or shown == [name]:
            return
        holder.remove_children()
        row = self._templates[name]
        schema = row.get("parameters") or {}
        holder.mount(ParameterFields(name, schema, self._get_initial_texts(name, schema)))
        self.query_one("#facts", WrappedText).show(
            (describe_template(self.look, row, bool(self._template or self._source_task)), "dim")
        )
        self.refresh_chrome()

    def _get_initial_texts(self, name: str, schema: Mapping[str, Any]) -> Mapping[FieldPath, str]:
        """Return the initial parameter texts: typed before, else those of the repeated task."""
        if (
            name in self.draft.parameters
            or self._source_task is None
            or self._source_task.get("template") != name
        ):
            return self.draft.parameters.get(name, {})
        had = self._source_task.get("parameters") or {}
        found = build_outline(schema).format_given_values(had)
        if (
            dropped_names := had.keys()
            - build_outline(schema).parse_texts(build_outline(schema).format_values(had)).keys()
        ):
            notice = tr(
                "Not copied, masked or no longer a parameter: {dropped_names}.",
                dropped_names=", ".join(sorted(dropped_names)),
            )
            self.show_message(self.look.sanitize(notice), "warn")
        return found

    # Changes

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(CheckBox.Changed)
    @on(DropDown.Changed)
    @on(Choice.Changed)
    @on(ParameterFields.Changed)
    def _handle_change(self, event: Message) -> None:
        event.stop()
        self._update_draft()
        self._start_typing()

    def _update_draft(self) -> None:
        """Read the draft from the fields, and draw what depends on the draft."""
        before, self.draft = self.draft, self._read_draft()
        self._uuid = make_uuid7()
        if self.draft.kind == "shell" != before.kind:
            self._copy_command_to_script()
        if self.draft.template != before.template:
            self._show_template()
        self._refresh_form()

    def _copy_command_to_script(self) -> None:
        """Copy a command that looks like shell text into the empty script field."""
        script, command = self.query_one("#script", TextArea), self.draft.command
        if not script.text and (find_shell_word(command) or find_shell_operators(command)):
            script.text = command
            script.move_cursor(script.document.end)
            self.draft = self._read_draft()

    def _paste_lines(self, text: str) -> None:
        """Append the command and the lines pasted into it to the shell text."""
        script = self.query_one("#script", TextArea)
        script.text = "\n".join(
            filter(
                None,
                (
                    script.text.rstrip("\n"),
                    self.query_one("#command", Input).value + sanitize_paste(text),
                ),
            )
        )
        script.move_cursor(script.document.end)
        self.query_one("#kind", Choice).choose("shell")
        self._update_draft()
        self.show_message(tr("Several lines were pasted: they are taken as shell text."))

    @on(ParameterFields.Moved)
    def _show_parameter_help(self, event: ParameterFields.Moved) -> None:
        event.stop()
        self.query_one("#about", WrappedText).show((self.look.sanitize(event.about), "dim"))

    @on(ParameterFields.Left)
    def _handle_field_left(self, event: ParameterFields.Left) -> None:
        event.stop()
        self._show_verdict()

    def _refresh_form(self) -> None:
        """Draw what depends on the draft, and check the draft soon."""
        if self.draft.kind != self._shown_kind:
            self._show_kind(self.draft.kind)
        self.query_one("#words", WrappedText).show(describe_command(self.look, self.draft.command))
        self._check_number += 1  # pending answers are about an older draft
        self._accepted, self._refusal = False, ""
        self._show_verdict()
        self._show_command()
        self._schedule_check()

    def _restore_focus(self, kind: str) -> None:
        """Move the focus from a hidden field to the first visible one."""
        if self.focused is not None and not all(
            node.display for node in self.focused.ancestors_with_self
        ):
            self.set_focus(self.query_one(FIRST_FIELDS[kind]))

    def _show_kind(self, kind: str) -> None:
        """Show the fields of a kind of task.

        A template that was chosen before the form opened is not offered again.
        """
        self._shown_kind = kind
        bound = kind == "template" and bool(self._template or self._source_task)
        shown = {f"#of-{of}": kind == of for of in KINDS} | {
            "#run": not bound,
            "#template-field": not bound,
        }
        for name, is_shown in {
            **shown,
            "#about": kind == "template",
            "#task-rule": kind == "template",
        }.items():
            self.query_one(name).display = is_shown
        self.set_class(kind == "template", "-template")
        self.query_one("#facts").set_class(not bound, "under")
        self.refresh_chrome()
        self._restore_focus(kind)

    def _find_field_faults(self) -> dict[str, str]:
        """Return the faults of the fields that every task has, by field."""
        return find_faults(self.draft, self._origin["cwd"], datetime.fromtimestamp(self.now, UTC))

    def _find_faults(self) -> list[str]:
        """Return all faults, a sentence each."""
        fields = self._parameter_fields if self.draft.kind == "template" else None
        found = list(self._find_field_faults().values())
        missing_template = (
            self.draft.template
            and self._asked_templates
            and self.draft.template not in self._templates
        )
        if self.draft.kind == "template" and missing_template:
            found.append(
                tr(
                    "There is no template {template} any more.",
                    template=self.look.sanitize(self.draft.template),
                )
            )
        return found + [finding.text for finding in (fields.findings if fields else ())]

    def _show_verdict(self) -> None:
        faults = self._find_faults()
        self.update_faults(faults)
        found = faults + ([self._refusal] if self._refusal else [])
        fields = self._parameter_fields if self.draft.kind == "template" else None
        verdict = self.query_one("#verdict", WrappedText)
        if not found or self._is_untouched():
            verdict.show((self._describe_outlook(), "dim"))
        elif fields is not None and not self._refusal:
            others = found[: len(found) - len(fields.findings)]
            verdict.show(
                *format_template_faults(self.look, others, fields.findings, fields.shown_findings)
            )
        else:
            verdict.show(*format_faults(self.look, found))

    def _is_untouched(self) -> bool:
        """Return True if nothing was entered that could be faulty."""
        draft = self.draft
        return not {"command": draft.command, "shell": draft.script, "template": draft.template}[
            draft.kind
        ].strip()

    def _describe_outlook(self) -> str:
        """Return if the task can be submitted, and the state of its queue on the board."""
        if self._is_untouched():
            return tr(INVITATIONS[self.draft.kind])
        if self.board and self.board.database == "disk full":
            return tr("The disk is full: no task is accepted, since it must be on disk first.")
        return describe_accepted(self.look, self._find_queue()) if self._accepted else ""

    def _find_queue(self) -> QueueEntry | None:
        """Return the queue of the draft, or the default one, as on the board."""
        name = self.draft.get_text("queue") or self._defaults.get("queue") or "default"
        return next((line for line in self._queues if line.name == name), None)

    def _show_command(self) -> None:
        self.query_one("#equal", WrappedText).show(
            (
                self.look.sanitize(
                    " ".join([quote_words(self._make_command()), *self._list_missing_options()])
                ),
                "",
            )
        )
        name = self._default_name
        self.query_one("#name", Input).placeholder = (
            tr("empty: {name}", name=self.look.sanitize(name)) if name else ""
        )
        queue = next(
            (line for line in self._queues if line.name == self.draft.get_text("queue")), None
        )
        self._show_hint(
            "#queue",
            (
                tr(
                    "{load} of {capacity} running, {waiting:,} waiting",
                    load=queue.load,
                    capacity=queue.capacity,
                    waiting=queue.waiting,
                )
                if queue
                else self._format_default_queue()
            ),
        )
        self._show_resources()
        limit = self._defaults.get("timeout")
        self._show_hint(
            "#timeout",
            tr("empty: no limit")
            if limit is None
            else tr("empty: {limit}", limit=units.format_duration(limit)),
        )
        for name, hint in DEFAULT_HINTS.items():
            usual = self._defaults.get(name)
            self._show_hint(f"#{name}", tr("empty: {usual}", usual=usual) if usual else hint)

    def _show_resources(self) -> None:
        """Show what is free of named resources; hide the field if no pool has any."""
        field = self.query_one("#resources").parent
        if isinstance(field, Field):
            has_text = bool(self.draft.get_text("resources"))
            field.display = has_text or resource_field.has_named_resources(self.board)
        queue = self._find_queue()
        pools = self.board.pools if self.board else ()
        pool = next((one for one in pools if queue and one.name == queue.pool), None)
        free = resource_field.describe_free(self.board, pool) if self.board and pool else ""
        self._show_hint("#resources", free or resource_field.EXAMPLE)

    def _format_default_queue(self) -> str:
        usual = self._defaults.get("queue")
        return (
            tr("not set: {usual}, as the template", usual=self.look.sanitize(usual))
            if usual and not self.draft.get_text("queue")
            else ""
        )

    @property
    def _defaults(self) -> Mapping[str, Any]:
        """Chosen template, whose values a task has by default."""
        return self._templates.get(self.draft.template, {}) if self.draft.kind == "template" else {}

    def _show_hint(self, of: str, text: str) -> None:
        field = self.query_one(of).parent
        if isinstance(field, Field):
            field.hint.show((text, "dim"))

    def _make_command(self) -> list[str]:
        """Return the words of the equivalent command line."""
        try:
            return build_submit_words(self._make_spec(shown=True))
        except ValueError:
            return []

    def _list_missing_options(self) -> list[str]:
        """Return the `-p` options that the command line still lacks."""
        fields = self._parameter_fields if self.draft.kind == "template" else None
        missing = [finding.path for finding in fields.findings if finding.missing] if fields else []
        return [
            self.look.adapt_text(f"-p {self.look.sanitize(str(path[0]))}=…")
            for path in missing
            if len(path) == 1
        ]

    def _make_spec(self, shown: bool = False, faulty: Collection[str] = ()) -> dict[str, Any]:
        """Return the specification of the task.

        Parameters are texts where `-p` would read the same value from them. `shown` masks secrets
        for display; `faulty` names fields to leave out.
        """
        draft = drop_fields(self.draft, faulty)
        fields = self._parameter_fields if draft.kind == "template" else None
        if fields is None:
            return build_spec(draft)
        texts, values = parameters.split_texts(
            fields.shown_values if shown else fields.values, fields.schema
        )
        parameter_args = ({"parameter_texts": texts} if texts else {}) | (
            {"parameters": values} if values else {}
        )
        return build_spec(draft, parameter_args)

    # Requests to the runtime

    def _schedule_check(self) -> None:
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_DELAY, self._check_draft)

    def _check_draft(self) -> None:
        """Ask the runtime if it would accept the draft, without the faulty fields."""
        self._check_number += 1
        if self.draft.kind == "template" and not self._asked_templates:
            return  # the template is still being read; the draft is checked again after that
        faulty = self._find_field_faults()
        if len(faulty) == len(self._find_faults()):
            check_number, args = (
                self._check_number,
                self._make_submission(faulty) | {"dry_run": True},
            )
            home = self._home
            self.ask(
                lambda client: check_submission(client, args, home),
                lambda said: self._apply_verdict(check_number, not faulty, said),
            )

    def _apply_verdict(self, check_number: int, whole: bool, verdict: tuple[str, str]) -> None:
        if check_number == self._check_number:
            self._refusal, name = verdict
            self._default_name = name if whole else self._default_name
            self._accepted = whole and not self._refusal
            self._show_verdict()
            self._show_command()

    @property
    def _home(self) -> str:
        return self.board.home if self.board else tr("the home")

    def _make_submission(self, faulty: Collection[str] = ()) -> dict[str, Any]:
        return {"tasks": [self._make_spec(faulty=faulty)], **self._origin}

    def action_submit(self) -> None:
        """Submit the draft unless it has faults.

        A draft sent twice has the same uuid, so it becomes one task.
        """
        self.draft = self._read_draft()
        if self._find_faults():
            if fields := self._parameter_fields:
                fields.report_missing()
            self._show_verdict()
            self._focus_fault()
            self.report_fault(tr("Not submitted"), self._find_faults()[0])
        elif self.deck.read_only:
            self.show_message(tr("Read only: this deck submits nothing."), "warn")
        elif self.draft.kind == "template" and self._parameter_fields is None:
            self.show_message(tr("Not submitted: the template is being read."), "warn")
        elif not self._sending:
            self._sending = True
            args, home = self._make_submission() | {"uuid": self._uuid}, self._home
            self.ask(lambda client: submit(client, args, home), self._handle_submitted)

    def _focus_fault(self) -> None:
        """Focus the first faulty field."""
        if faulty := next(iter(self._find_field_faults()), ""):
            self.set_focus(
                self.query_one(
                    FIRST_FIELDS[self.draft.kind] if faulty == "command" else f"#{faulty}"
                )
            )
        elif fields := self._parameter_fields:
            fields.go_to_fault()

    def _handle_submitted(self, answer: Sequence[Mapping[str, Any]]) -> None:
        drafts = self.deck.drafts
        drafts.submitted[self.draft.template or self.draft.kind] = self.draft
        drafts.last_submitted = self.draft
        self._drafts.keep(None)
        self.dismiss(answer[0])

    def show_refusal(self, text: str) -> None:
        sent, self._sending, self._asked_templates = self._sending, False, True
        if sent:
            # The refusal overrules the result of earlier checks.
            self._check_number += 1
            self._accepted, self._refusal = False, text
            self._show_verdict()
        message = format_submit_error(self.look, text, self.size.width - 1) if sent else text
        super().show_refusal(message)
        self._start_typing()

    # Actions

    def action_step(self, by: int) -> None:
        """Focus the next or the previous field, after applying a choice made just now."""
        if (self.query_one("#kind", Choice).value, self.query_one("#template", DropDown).value) != (
            self.draft.kind,
            self.draft.template,
        ):
            self._update_draft()
        fields = self._parameter_fields
        if fields is not None and fields.has_focus_within:
            if not fields.step(by):
                fields.leave(by)
            return
        (self.focus_next if by > 0 else self.focus_previous)()
        if fields is not None and self.focused is fields and fields.ready:
            fields.focus_end(by)

    def action_find(self) -> None:
        if self.draft.kind == "template" and (fields := self._parameter_fields) and fields.ready:
            fields.action_find()
            if not fields.findable:
                self.show_message(tr("This template has no parameters."), stays=False)

    def action_last(self) -> None:
        """Fill the form from the last submission, or the template's last task.

        A form filled from a task first restores kept text.
        """
        drafts = self.deck.drafts
        fields = self._parameter_fields if self.draft.kind == "template" else None
        last = drafts.submitted.get(self.draft.template) if fields else drafts.last_submitted
        if self._source_task is not None and self._drafts.kept:
            last = self._drafts.restored = self._drafts.kept
        if last is not None:
            self._fill_fields(last)
        elif fields:
            self.ask(
                lambda client: find_last_task(client, fields.template),
                lambda task: self._fill_parameters(fields, task),
            )
        else:
            self.show_message(tr("Nothing was submitted from here yet."), stays=False)

    def _fill_parameters(self, fields: ParameterFields, task: Mapping[str, Any] | None) -> None:
        """Fill the parameters from the template's last task, submitted by any user."""
        if task is None:
            self.show_message(tr("Nothing was submitted from this template yet."), stays=False)
        elif fields is self._parameter_fields:
            fields.set_texts(
                build_outline(fields.schema).format_given_values(task.get("parameters") or {})
            )
            self.show_message(tr("Filled in as in #{number}.", number=task["number"]))

    def action_clear(self) -> None:
        """Clear the form; again restores the text."""
        typed, cleared_draft = self._read_draft(), self._cleared_draft
        self._fill_fields(self._drafts.blank)
        self._cleared_draft = typed if self._read_draft() != typed else None
        self._focus_first()
        if self._cleared_draft is not None:
            self._drafts.keep(None)
            self._initial_draft = self._read_draft()
            self.show_message(tr("The form is empty; ctrl+n again restores the text."), stays=False)
        elif cleared_draft is not None:
            self._fill_fields(cleared_draft)
            self.show_message(tr("As it was before."), stays=False)

    def action_copy(self) -> None:
        if found := self._make_command():
            self.app.copy_to_clipboard(shlex.join(found))
            self.show_message(
                tr("Copied the line; secrets are masked in it.")
                if any(MASK in word for word in found)
                else tr("Copied the line.")
            )

    def action_leave(self) -> None:
        """Close the form and keep the text; during a parameter search, end the search."""
        fields = self._parameter_fields
        if self.draft.kind == "template" and fields is not None and fields.clear_find():
            return
        typed = self._read_draft()
        if typed != self._initial_draft:
            self._drafts.keep(typed)
        self.dismiss(None)
