"""Edit form for tasks, a queue, a pool or a rule, also for a new queue, pool or rule.

The form reads the stored values and sends only changed fields. Changes by others appear in
untouched fields; for a touched field the form warns before it overwrites them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from app.core.board import (
    AlertEntry,
    Board,
    ComingEntry,
    EndedEntry,
    NextEntry,
    PoolEntry,
    QueueEntry,
    RunningEntry,
)
from app.translation import tr
from app.tui.actions.shell_command import quote_words
from app.tui.actions.tasks import NotApplicableError, Request, get_underlying_row
from app.tui.data.list_rows import PoolTableRow
from app.tui.forms import edit_model, resource_field
from app.tui.forms.blocking_reason import find_blocking_field, find_lack
from app.tui.forms.edit_model import EditField, EditKind, EditSheet
from app.tui.forms.edit_preview import get_hint, preview_edit
from app.tui.forms.edit_source import EditRows, EditSource, Options, is_rule_of_conditions
from app.tui.forms.fields import DropDown, Field, WrappedText, make_entry
from app.tui.screens.base_page import PageScreen, TextLine
from app.tui.screens.copy_command import CommandCopy
from app.tui.style import Span
from app.tui.widgets.footer import KeyHint

if TYPE_CHECKING:
    from app.client import Client

SHOWN_FAULTS = 3
MAX_TASKS = 200
"""Maximum number of tasks edited together."""
MAX_REREAD_TASKS = 10
"""Maximum number of tasks reread on every change; more are reread only before saving."""
COLUMN = 12
_KEYS = [
    KeyHint("ctrl+j", "save", "ctrl+j", 0),
    KeyHint("tab", "next", "tab", 3),
    KeyHint("ctrl+y", "copy line", "ctrl+y", 1),
    KeyHint("esc", "close, keep draft", "escape", 0),
]


class KeptInput(NamedTuple):
    """Text typed into a form and kept for later.

    `stored_texts` holds the fields' stored values at that time, empty if they had not been read.
    `was_left` is True if the form was left without a request.
    """

    texts: Mapping[str, str]
    stored_texts: Mapping[str, str]
    was_left: bool


class EditScreen(CommandCopy, PageScreen, ModalScreen[bool]):
    """Form over stored values.

    Dismisses with True if it sent a request.
    """

    SINGLE_SUBJECT = True
    AUTO_FOCUS = ""
    """Empty, since keys typed early would land in the field that Textual chooses."""
    DEFAULT_CSS = """
    EditScreen {
        background: $background;
        #fields { height: 1fr; padding: 1 1 0 2; scrollbar-size-vertical: 1; }
        #verdict { height: 3; padding: 0 1 0 2; }
        #equal { height: 2; padding: 0 1 0 2; }
        #equal-rule { height: 1; }
        Field { height: 1; width: 1fr; }
        WrappedText { height: 1; width: 1fr; }
        WrappedText.bracket { width: 1; }
        WrappedText.hint { width: 1fr; padding: 0 0 0 1; }
        DropDown { height: 1; }
        Input { background: transparent; border: none; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,ctrl+enter", "save", "Save", id="form.submit", show=False, priority=True),
        Binding(
            "ctrl+r",
            "last",
            "What was typed here before",
            id="form.last",
            show=False,
            priority=True,
        ),
        Binding("ctrl+y", "copy", "Copy the line", id="form.copy", show=False),
        # Priority, so that keys of the same burst land in the next field.
        Binding("tab", "app.focus_next", "Next field", id="form.next", show=False, priority=True),
        Binding(
            "shift+tab",
            "app.focus_previous",
            "Previous field",
            id="form.previous",
            show=False,
            priority=True,
        ),
        Binding("escape", "leave", "Close, keep draft", id="form.leave", show=False),
        Binding("f1", "app.show_keys", "The keys of this form", id="form.help", show=False),
    ]

    def __init__(
        self, client_factory: Callable[[], Client], source: EditSource, first: str = ""
    ) -> None:
        """Create the form with the cursor in the field `first`.

        In a pool's form the cursor starts in the resource that a waiting task lacks, if there is
        one.
        """
        super().__init__(client_factory)
        self.source = source
        self._sheet = EditSheet(source.kind, ())
        self._loaded = source.is_new
        self._taken: frozenset[str] = frozenset()
        self._meanwhile: dict[str, str] = {}
        """Touched fields that somebody else changed, with their values before that."""
        self._first = first or source.kind.first
        self._saving = False

    # Fields

    def compose_body(self) -> Iterable[Widget]:
        yield VerticalScroll(*map(_make_field, self._slots), id="fields", can_focus=False)
        yield WrappedText(id="verdict", most=SHOWN_FAULTS)
        yield TextLine(id="equal-rule")
        yield WrappedText(id="equal", most=2)

    @property
    def kind(self) -> EditKind:
        return self.source.kind

    @property
    def _slots(self) -> tuple[EditField, ...]:
        several = len(self.source.idents) > 1
        return tuple(
            slot
            for slot in self.kind.slots
            if not (slot.single_only and several)
            and (self._has_resources or slot is not edit_model.RESOURCES)
        )

    @cached_property
    def _has_resources(self) -> bool:
        """False for tasks while no pool has named resources."""
        return (
            self.kind.word not in ("task", "retry")
            or self._first == "resources"
            or resource_field.has_named_resources(self.board)
        )

    def on_mount(self) -> None:
        # A scroll bar is not ASCII; the focused field scrolls into view without one.
        self.query_one("#fields").styles.scrollbar_size_vertical = 0 if self.look.ascii else 1
        self._set_options({})
        if self.kind is edit_model.POOL and self.board:
            self._first = find_lacking_field(self.source.idents[0], self.board) or self._first
        if self.source.is_new:
            kept_input = self._kept_inputs.get(self.source.key)
            self._fill_fields(
                {slot.name: self._sheet.get_initial_text(slot) for slot in self._slots}
                | dict(kept_input.texts if kept_input and kept_input.was_left else {})
            )
            self._announce_kept()
        self.set_focus(self.query_one(f"#{self._first}"))

    def _announce_kept(self) -> None:
        """Show that kept text was restored, or that it can be restored."""
        self.refresh_keys()
        if any(self._kept_texts.values()):
            there = self.source.is_new and self._kept_inputs[self.source.key].was_left
            self.show_message(
                (
                    tr("This was typed here before.")
                    if there
                    else tr("ctrl+r restores what you typed here before.")
                ),
                stays=False,
            )

    def _select_first(self) -> None:
        """Select the text of the first field, so that typing replaces it."""
        for field in self.query(f"#{self._first}").results(Input):
            field.select_all()

    def make_heading(self) -> str:
        return self.look.adapt_text(self.look.sanitize(self.source.title))

    def list_keys(self) -> list[KeyHint]:
        last = [KeyHint("ctrl+r", "as typed before", "ctrl+r", 2)] if self._kept_texts else []
        return [*_KEYS[:2], *last, *_KEYS[2:]]

    def on_resize(self) -> None:
        super().on_resize()
        self.call_after_refresh(self._refresh_form)

    def on_key(self, event: events.Key) -> None:
        """Insert a letter that was typed before the first field had the focus."""
        field = self.focused
        if event.is_printable and event.character and isinstance(field, Input):
            event.stop()
            field.replace(event.character, *field.selection)

    # Stored values

    def reread(self) -> None:
        if len(self.source.idents) <= MAX_REREAD_TASKS or not self._loaded:
            self.read(self.source.read_rows, self._apply_found)

    def handle_missing(self, text: str) -> None:
        """Report that the edited object is gone.

        A form in use stays open: further keys would act on the screen below.
        """
        self._saving = False
        if self.app.screen is self:
            if not self._loaded:
                self.dismiss(False)
            self.show_message(self.look.sanitize(text), "warn")

    def _apply_found(self, found: EditRows) -> None:
        """Show the stored values under the typed ones.

        A rule of conditions has no form: the editor of its text opens in its place.
        """
        if self.kind is edit_model.RULE and any(map(is_rule_of_conditions, found.rows)):
            if self.app.screen is self:
                self.dismiss(False)
                self.deck.open_editor("slas", self.source.idents[0])
            return
        self._set_options(found.options)
        self._taken = found.names_in_use
        if not self.source.is_new:
            self._merge_rows(found.rows)
        self._refresh_form()

    def _merge_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            self.handle_missing(
                tr(
                    "There is no {kind} {name} any more.",
                    kind=tr(self.source.word),
                    name=self.source.idents[0],
                )
            )
            return
        before, typed = self._sheet, self._read_fields()
        old = (
            replace_texts(before, typed)
            if self._loaded
            else EditSheet(self.kind, (), {k: v for k, v in typed.items() if v})
        )
        new = EditSheet(self.kind, tuple(rows), {})
        texts = {}
        for slot in self._slots:
            begins = new.get_initial_text(slot)
            kept_input = old.is_touched(slot) if self._loaded else bool(typed[slot.name])
            texts[slot.name] = typed[slot.name] if kept_input else begins
            if kept_input and self._loaded and before.get_initial_text(slot) != begins:
                self._meanwhile.setdefault(slot.name, before.get_initial_text(slot))
        untouched = not self._loaded and not typed[self._first]
        self._sheet, self._loaded = replace_texts(new, texts), True
        self._fill_fields(texts)
        if untouched:
            self._select_first()
        if not old.stored:
            self._announce_kept()

    def _set_options(self, options: Mapping[str, Options]) -> None:
        """Set the options of each list."""
        for slot in self._slots:
            if slot.widget != "entry":
                pairs = slot.list_choices() or [
                    (value, self.look.sanitize(value)) if isinstance(value, str) else value
                    for value in options.get(slot.name, ())
                ]
                self._get_pick(slot).set_options(
                    [*([("", tr(slot.blank_label))] if slot.blank else []), *pairs]
                )

    def _fill_fields(self, texts: Mapping[str, str]) -> None:
        """Write the texts into the fields that differ."""
        for slot in self._slots:
            word = texts.get(slot.name, "")
            if slot.widget != "entry":
                self._get_pick(slot).choose(word)
            elif self._get_entry(slot).value != word:
                self._get_entry(slot).value = word

    def _read_fields(self) -> dict[str, str]:
        return {
            slot.name: (
                self._get_pick(slot).value
                if slot.widget != "entry"
                else self._get_entry(slot).value
            )
            for slot in self._slots
        }

    def _get_pick(self, slot: EditField) -> DropDown:
        return self.query_one(f"#{slot.name}", DropDown)

    def _get_entry(self, slot: EditField) -> Input:
        return self.query_one(f"#{slot.name}", Input)

    # Derived output

    @on(Input.Changed)
    @on(DropDown.Changed)
    def _handle_change(self, event: Message) -> None:
        event.stop()
        self._refresh_form()

    @on(Input.Submitted)
    def _handle_submit(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_next()

    def handle_board_change(self) -> None:
        super().handle_board_change()
        self._refresh_form()

    def refresh_freshness(self) -> None:
        self._show_verdict()

    def _refresh_form(self) -> None:
        """Draw everything that follows from the fields."""
        if not self.is_mounted:
            return
        if self._loaded:
            self._sheet = replace_texts(self._sheet, self._read_fields())
        for slot in self._slots:
            self._show_hint(slot)
        self._show_verdict()
        rule = self.look.draw_rule(
            self.app.size.width, [(2, tr("The same from a shell (ctrl+y or a click copies it)"))]
        )
        self.query_one("#equal-rule", TextLine).show([(rule, "dim")])
        self.query_one("#equal", WrappedText).show(
            *[(self.look.sanitize(quote_words(words)), "") for words in self._make_commands()]
        )

    def _show_hint(self, slot: EditField) -> None:
        field = self.query_one(f"#{slot.name}").parent
        if isinstance(field, Field):
            field.hint.show(self._make_hint(slot))

    def _make_hint(self, slot: EditField) -> Span:
        """Return the note behind a field: its old value, changes by others, or a hint."""
        sheet, look = self._sheet, self.look
        known = get_hint(sheet, slot.name, self.board) if self._loaded else ""
        parts = [part for part in (tr(slot.hint), look.sanitize(known)) if part]
        if self._loaded and not sheet.is_new:
            now = look.sanitize(sheet.get_initial_text(slot)) or tr("empty")
            if slot.name in self._meanwhile and sheet.is_touched(slot):
                return tr("changed by others to {now}", now=now), "warn"
            if sheet.has_differences(slot):
                parts.insert(
                    0, tr("they differ") if not sheet.is_touched(slot) else tr("all of them")
                )
            elif sheet.is_touched(slot):
                parts.insert(0, tr("was {now}", now=now))
        return "; ".join(parts), "dim"

    def _show_verdict(self) -> None:
        self.update_faults(self._find_all_faults())
        for words in self.query("#verdict").results(WrappedText):
            words.show(*self._make_verdict())

    def _make_verdict(self) -> list[Span]:
        if not self._loaded:
            return [(self.freshness, "dim")]
        look, sheet = self.look, self._sheet
        if faults := self._find_faults():
            shown = [
                (look.adapt_text("✗ ") + look.sanitize(fault), "broken")
                for fault in faults[:SHOWN_FAULTS]
            ]
            return (
                shown
                if len(faults) <= SHOWN_FAULTS
                else [
                    *shown[:-1],
                    (
                        tr(
                            "{fault} (and {more} more)",
                            fault=shown[-1][0],
                            more=len(faults) - SHOWN_FAULTS,
                        ),
                        "broken",
                    ),
                ]
            )
        if not sheet.find_changes() and not self.kind.saves_unchanged:
            return [("", "") if sheet.is_new else (tr("Nothing is changed yet."), "dim")]
        lines = [
            (
                tr(
                    "{label} was {previous} when the form opened: saving overwrites the change.",
                    label=sheet.find_field(name).shown_label,
                    previous=self._format_previous(name),
                ),
                "warn",
            )
            for name in self._meanwhile
            if sheet.is_touched(sheet.find_field(name))
        ]
        return (
            lines
            + [(look.sanitize(look.adapt_text(text)), "") for text in self.describe_effect(sheet)]
        )[:SHOWN_FAULTS]

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        """Return sentences about the effect of saving."""
        return preview_edit(sheet, self.board)

    def make_requests(self, sheet: EditSheet) -> Sequence[Request]:
        """Return the requests that save the changes."""
        return edit_model.build_save_requests(sheet)

    def make_commands(self, sheet: EditSheet) -> list[list[str]]:
        """Return the equivalent command lines as words."""
        return edit_model.build_commands(sheet)

    def _format_previous(self, name: str) -> str:
        return self.look.sanitize(self._meanwhile[name]) or tr("empty")

    def _find_faults(self) -> list[str]:
        found = self._sheet.find_faults()
        called = self._read_fields().get("name", "").strip()
        if self.source.is_new and called in self._taken:
            found.append(
                tr("There is a {kind} {name} already.", kind=tr(self.source.word), name=called)
            )
        # A new object's missing fields are reported once something was typed.
        return (
            found
            if not self.source.is_new or any(self._sheet.is_touched(slot) for slot in self._slots)
            else []
        )

    def _make_commands(self) -> list[list[str]]:
        return self.make_commands(self._sheet) if self._loaded and not self._find_faults() else []

    # Actions

    def action_save(self) -> None:
        """Save the changes once all earlier keys have reached their fields."""
        (self.focused or self).call_later(self.call_later, self._save)

    def _save(self) -> None:
        self._refresh_form()
        if not self._loaded or self._saving:
            self.show_message(tr("The stored values are still being read."), stays=False)
        elif self.deck.read_only:
            self.show_message(tr("Read only: this deck changes nothing."), "warn")
        elif faults := self._find_all_faults():
            self._focus_fault()
            self.report_fault(tr("Not saved"), faults[0])
        elif not self._sheet.find_changes() and not self.kind.saves_unchanged:
            self.show_message(tr("No changes yet. Press esc to close."), stays=False)
        else:
            self._saving = True
            self.ask(self.source.read_rows, self._save_if_unchanged)

    def _focus_fault(self) -> None:
        """Focus the first faulty field."""
        called = self.source.is_new and self._read_fields().get("name", "").strip() in self._taken
        faulty = next(
            (
                slot.name
                for slot in self._slots
                if self._sheet.find_fault(slot) or (called and slot.name == "name")
            ),
            "",
        )
        if faulty:
            self.set_focus(self.query_one(f"#{faulty}"))

    def _find_all_faults(self) -> list[str]:
        return self._find_faults() or self._sheet.find_faults()

    def show_refusal(self, text: str) -> None:
        self._saving = False
        super().show_refusal(text)

    @property
    def created_key(self) -> str:
        """Key of the row that the form creates."""
        return f"{self.source.word}:{self._sheet.find_changes().get('name', '')}"

    def _save_if_unchanged(self, found: EditRows) -> None:
        """Save over the values just read, unless they differ from those shown."""
        self._saving = False
        seen = dict(self._meanwhile)
        self._apply_found(found)
        if self.app.screen is not self or not (found.rows or self.source.is_new):
            return
        if self._meanwhile.keys() - seen.keys():
            self.show_message(
                tr("Not saved: somebody changed the same field. ctrl+j saves anyway."), "warn"
            )
        elif faults := self._find_all_faults():
            self._focus_fault()
            self.report_fault(tr("Not saved"), faults[0])
        else:
            self._send()

    def _send(self) -> None:
        requests = self.make_requests(self._sheet)
        if not requests:
            self.show_message(tr("No changes. Press esc to close."), stays=False)
            return
        self._keep_input(left=False)
        self.deck.requests.send(requests)
        self.dismiss(True)

    def action_copy(self) -> None:
        if found := self._make_commands():
            self.app.copy_to_clipboard("\n".join(shlex.join(words) for words in found))
            self.show_message(
                tr("Copied the line.")
                if len(found) == 1
                else tr("Copied {count} lines.", count=len(found))
            )
        else:
            self.show_message(
                tr("Nothing to copy: nothing is changed, or no command does this."), stays=False
            )

    def action_last(self) -> None:
        """Restore the text typed here before."""
        if not self._kept_texts:
            self.show_message(tr("Nothing was typed here before."), stays=False)
            return
        self._fill_fields(self._read_fields() | self._kept_texts)
        self._refresh_form()

    def action_leave(self) -> None:
        """Close without saving, and keep the text."""
        self._keep_input(left=True)
        self.dismiss(False)

    @property
    def _kept_inputs(self) -> dict[str, KeptInput]:
        """Kept text of all forms, by form key."""
        return self.deck.drafts.edits

    @property
    def _kept_texts(self) -> dict[str, str]:
        """Kept text of this form, for fields whose stored value has not changed."""
        kept_input = self._kept_inputs.get(self.source.key)
        if kept_input is None or not self._loaded:
            return {}
        begins = {slot.name: self._sheet.get_initial_text(slot) for slot in self._slots}
        return {
            name: text
            for name, text in kept_input.texts.items()
            if kept_input.stored_texts.get(name, begins.get(name)) == begins.get(name)
        }

    def _keep_input(self, *, left: bool) -> None:
        sheet = replace_texts(self._sheet, self._read_fields())
        # Before the first reading the stored values are unknown.
        touched = [
            slot
            for slot in self._slots
            if sheet.is_touched(slot) and (self._loaded or sheet.get_text(slot))
        ]
        if touched:
            typed, was = (
                {slot.name: read(slot) for slot in touched}
                for read in (sheet.get_text, sheet.get_initial_text)
            )
            self._kept_inputs[self.source.key] = KeptInput(typed, was if self._loaded else {}, left)
        elif self.source.is_new:
            self._kept_inputs.pop(self.source.key, None)


def replace_texts(sheet: EditSheet, texts: Mapping[str, str]) -> EditSheet:
    """Return a sheet with the same stored values and other texts."""
    return EditSheet(sheet.kind, sheet.stored, dict(texts))


def _make_field(slot: EditField) -> Field:
    inner = _make_entry(slot.name) if slot.widget == "entry" else DropDown([], id=slot.name)
    size = slot.size if slot.widget == "entry" or slot.size > 8 else 18
    return Field(slot.shown_label, inner, tr(slot.hint), size=size, column=COLUMN)


def _make_entry(name: str) -> Widget:
    """Return a field whose text is selected on focus."""
    inner = make_entry(name)
    inner.select_on_focus = True
    return inner


# Factories


def make_edit_screen(client_factory: Callable[[], Client], rows: Sequence[Any]) -> EditScreen:
    """Return the form for rows of the deck: tasks together, one queue, one pool or one rule.

    Raise NotApplicableError for other rows.
    """
    lines = [get_underlying_row(row) for row in rows]
    tasks = [line for line in lines if isinstance(line, (RunningEntry, NextEntry))]
    if tasks:
        return _make_tasks_screen(client_factory, tasks)
    if any(isinstance(line, EndedEntry) for line in lines):
        raise NotApplicableError(tr("The task has ended and cannot be edited. R runs one like it."))
    line = lines[0] if len(lines) == 1 else None
    pool = line.pool if isinstance(line, PoolTableRow) else line
    if isinstance(pool, PoolEntry) and pool.outer:
        return EditScreen(client_factory, EditSource(edit_model.SLURM_POOL, (pool.name,)))
    if isinstance(line, PoolTableRow):
        return EditScreen(
            client_factory,
            EditSource(edit_model.POOL, (line.pool.name,)),
            "resources" if line.resource else "memory" if line.memory else "cpu",
        )
    if isinstance(line, ComingEntry):
        from app.tui.screens.definitions.schedule_form import ScheduleForm

        return ScheduleForm(client_factory, line.name)
    for of, kind, name in _PLACES:
        if isinstance(line, of):
            return EditScreen(client_factory, EditSource(kind, (getattr(line, name),)))
    raise NotApplicableError(
        tr("e edits tasks that have not ended, one queue, one pool, or one rule.")
    )


_PLACES = (
    (QueueEntry, edit_model.QUEUE, "name"),
    (PoolEntry, edit_model.POOL, "name"),
    (AlertEntry, edit_model.RULE, "sla"),
)


def _make_tasks_screen(
    client_factory: Callable[[], Client], tasks: Sequence[RunningEntry | NextEntry]
) -> EditScreen:
    if len(tasks) > MAX_TASKS:
        raise NotApplicableError(
            tr(
                "At most {max_tasks} tasks can be edited together; {count:,} are marked.",
                max_tasks=MAX_TASKS,
                count=len(tasks),
            )
        )
    title = (
        f"#{tasks[0].number} {tasks[0].name}"
        if len(tasks) == 1
        else tr("{count} tasks", count=len(tasks))
    )
    source = EditSource(edit_model.TASK, tuple(task.uuid for task in tasks), title)
    return EditScreen(client_factory, source, guess_field(tasks))


def guess_field(tasks: Sequence[RunningEntry | NextEntry]) -> str:
    """Return the field most likely to be changed: what blocks or limits the first task."""
    first = tasks[0]
    if isinstance(first, RunningEntry):
        return "timeout" if first.left is not None and first.left < 0 else "memory"
    return find_blocking_field(first.why) or "memory"


def find_lacking_field(pool: str, board: Board) -> str:
    """Return the field that keeps the first waiting task out of a pool, or ""."""
    queues = {queue.name for queue in board.queues if queue.pool == pool}
    return next(
        (name for line in board.next if line.queue in queues and (name := find_lack(line.why))), ""
    )


def make_new_queue_screen(client_factory: Callable[[], Client]) -> EditScreen:
    """Return the form for a new queue."""
    return EditScreen(client_factory, EditSource(edit_model.NEW_QUEUE))


def make_new_pool_screen(client_factory: Callable[[], Client]) -> EditScreen:
    """Return the form for a new pool."""
    return EditScreen(client_factory, EditSource(edit_model.NEW_POOL))
