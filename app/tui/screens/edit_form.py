"""The form that changes things: tasks, a queue, a pool, a rule; or makes a new queue, pool or rule.

It reads what is stored, shows it, and sends only what was changed. What others change meanwhile appears in the fields that were not
touched; in one that was, it is told before anything is saved over it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from app.core.board import AlertLine, Board, EndedLine, NextLine, PoolLine, QueueLine, RunningLine
from app.tui.actions.shell_command import quoted
from app.tui.actions.tasks import Deed, Unfit, plain
from app.tui.forms import edit_model
from app.tui.forms.edit_model import Kind, Sheet, Slot
from app.tui.forms.edit_preview import hint, outlook
from app.tui.forms.edit_source import Found, Source
from app.tui.forms.fields import Field, Pick, Words, entry
from app.tui.panes.pools import PoolRow
from app.tui.screens.base_page import Line, PageScreen
from app.tui.screens.shellline import CopiesShellLine
from app.tui.style import Span
from app.tui.widgets.footer import Hint

if TYPE_CHECKING:
    from app.client import Client

SHOWN = 3
MOST = 200
"""Tasks that are edited as one."""
FEW = 10
"""So many tasks are read again whenever something changes; more only before they are saved."""
COLUMN = 12
_KEYS = [
    Hint("ctrl+j", "save", "ctrl+j", 0),
    Hint("tab", "next", "tab", 3),
    Hint("ctrl+y", "copy line", "ctrl+y", 1),
    Hint("esc", "leave, kept", "escape", 0),
]


class Kept(NamedTuple):
    """What was typed into a form: its texts, what the fields held then (nothing where that was not read yet), and whether it was left with
    nothing asked of the runtime."""

    texts: Mapping[str, str]
    was: Mapping[str, str]
    left: bool


class EditScreen(CopiesShellLine, PageScreen, ModalScreen[bool]):
    """Fields over what is stored. Dismisses with whether anything was asked of the runtime."""

    ABOUT_ONE = True
    AUTO_FOCUS = ""
    """None: what is typed early would land in it, and not where the cursor is going to be."""
    DEFAULT_CSS = """
    EditScreen {
        background: $background;
        #fields { height: 1fr; padding: 1 1 0 2; scrollbar-size-vertical: 1; }
        #verdict { height: 3; padding: 0 1 0 2; }
        #equal { height: 2; padding: 0 1 0 2; }
        #equal-rule { height: 1; }
        Field { height: 1; width: 1fr; }
        Words { height: 1; width: 1fr; }
        Words.bracket { width: 1; }
        Words.hint { width: 1fr; padding: 0 0 0 1; }
        Pick { height: 1; }
        Input { background: transparent; border: none; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,ctrl+enter", "save", "Save", id="form.submit", show=False, priority=True),
        Binding("ctrl+r", "last", "What was typed here before", id="form.last", show=False, priority=True),
        Binding("ctrl+y", "copy", "Copy the line", id="form.copy", show=False),
        # With priority, so that what follows in one burst lands in the next field.
        Binding("tab", "app.focus_next", "Next field", id="form.next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "Previous field", id="form.previous", show=False, priority=True),
        Binding("escape", "leave", "Leave; what was typed is kept", id="form.leave", show=False),
        Binding("f1", "app.show_keys", "The keys of this form", id="form.help", show=False),
    ]

    def __init__(self, client_factory: Callable[[], Client], source: Source, first: str = "") -> None:
        """`first` names the field that the cursor begins in; in a pool's form that is the one by which a task there waits, if one does."""
        super().__init__(client_factory)
        self.source = source
        self._sheet = Sheet(source.kind, ())
        self._loaded = source.new
        self._taken: frozenset[str] = frozenset()
        self._meanwhile: dict[str, str] = {}
        """Touched fields that somebody else has changed: what they held before."""
        self._first = first or source.kind.first
        self._saving = False

    # -- the form -------------------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        yield VerticalScroll(*map(_field, self._slots), id="fields", can_focus=False)
        yield Words(id="verdict", most=SHOWN)
        yield Line(id="equal-rule")
        yield Words(id="equal", most=2)

    @property
    def kind(self) -> Kind:
        """What is edited."""
        return self.source.kind

    @property
    def _slots(self) -> tuple[Slot, ...]:
        several = len(self.source.idents) > 1
        return tuple(slot for slot in self.kind.slots if not (slot.alone and several))

    def on_mount(self) -> None:
        # The blocks of a scroll bar are no ASCII; what has the focus is scrolled into view without it.
        self.query_one("#fields").styles.scrollbar_size_vertical = 0 if self.look.ascii else 1
        self._offer({})
        if self.kind is edit_model.POOL and self.board:
            self._first = lacking(self.source.idents[0], self.board) or self._first
        if self.source.new:
            kept = self._memory.get(self.source.key)
            self._put({slot.name: self._sheet.begins(slot) for slot in self._slots} | dict(kept.texts if kept and kept.left else {}))
            self._tell_kept()
        self.set_focus(self.query_one(f"#{self._first}"))

    def _tell_kept(self) -> None:
        """Say that there is something to bring back, or that it stands there already."""
        self.refresh_keys()
        if any(self._kept.values()):
            there = self.source.new and self._memory[self.source.key].left
            self.say("This was typed here before." if there else "ctrl+r brings back what you typed here before.", stays=False)

    def _select_first(self) -> None:
        """What the cursor begins in is replaced by typing."""
        for field in self.query(f"#{self._first}").results(Input):
            field.select_all()

    def heading(self) -> str:
        return self.look.own(self.look.theirs(self.source.title))

    def keys(self) -> list[Hint]:
        last = [Hint("ctrl+r", "as typed before", "ctrl+r", 2)] if self._kept else []
        return [*_KEYS[:2], *last, *_KEYS[2:]]

    def on_resize(self) -> None:
        super().on_resize()
        self.call_after_refresh(self._show)

    def on_key(self, event: events.Key) -> None:
        """A letter that was typed before the first field had the focus belongs into it."""
        field = self.focused
        if event.is_printable and event.character and isinstance(field, Input):
            event.stop()
            field.replace(event.character, *field.selection)

    # -- what is stored -------------------------------------------------------------------------------------------

    def reread(self) -> None:
        if len(self.source.idents) <= FEW or not self._loaded:
            self.read(self.source.read, self._have)

    def missing(self, text: str) -> None:
        """It is gone. A form that one may be typing in stays: what is typed next would be verbs on what lies below."""
        self._saving = False
        if self.app.screen is self:
            if not self._loaded:
                self.dismiss(False)
            self.say(self.look.theirs(text), "warn")

    def _have(self, found: Found) -> None:
        """What is stored now, under what was typed."""
        self._offer(found.options)
        self._taken = found.taken
        if not self.source.new:
            self._take(found.rows)
        self._show()

    def _take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            self.missing(f"There is no {self.source.word} {self.source.idents[0]} any more.")
            return
        before, typed = self._sheet, self._typed()
        old = replace_texts(before, typed) if self._loaded else Sheet(self.kind, (), {k: v for k, v in typed.items() if v})
        new = Sheet(self.kind, tuple(rows), {})
        texts = {}
        for slot in self._slots:
            begins = new.begins(slot)
            kept = old.touched(slot) if self._loaded else bool(typed[slot.name])
            texts[slot.name] = typed[slot.name] if kept else begins
            if kept and self._loaded and before.begins(slot) != begins:
                self._meanwhile.setdefault(slot.name, before.begins(slot))
        untouched = not self._loaded and not typed[self._first]
        self._sheet, self._loaded = replace_texts(new, texts), True
        self._put(texts)
        if untouched:
            self._select_first()
        if not old.stored:
            self._tell_kept()

    def _offer(self, options: Mapping[str, Sequence[str]]) -> None:
        """What each list offers."""
        fixed = {"status": edit_model.STATES, "preset": edit_model.PRESETS, "severity": edit_model.SEVERITIES, "enabled": edit_model.SWITCH}
        for slot in self._slots:
            if slot.of != "entry":
                pairs = fixed.get(slot.name) or [(value, self.look.theirs(value)) for value in options.get(slot.name, ())]
                self._pick(slot).offer([*([("", "any")] if slot.blank else []), *pairs])

    def _put(self, texts: Mapping[str, str]) -> None:
        """Write these texts into the fields that hold others."""
        for slot in self._slots:
            word = texts.get(slot.name, "")
            if slot.of != "entry":
                self._pick(slot).choose(word)
            elif self._entry(slot).value != word:
                self._entry(slot).value = word

    def _typed(self) -> dict[str, str]:
        """What stands in the fields."""
        return {slot.name: self._pick(slot).value if slot.of != "entry" else self._entry(slot).value for slot in self._slots}

    def _pick(self, slot: Slot) -> Pick:
        return self.query_one(f"#{slot.name}", Pick)

    def _entry(self, slot: Slot) -> Input:
        return self.query_one(f"#{slot.name}", Input)

    # -- what follows from it -------------------------------------------------------------------------------------

    @on(Input.Changed)
    @on(Pick.Changed)
    def _changed(self, event: Message) -> None:
        event.stop()
        self._show()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_next()

    def board_changed(self) -> None:
        super().board_changed()
        self._show()

    def freshened(self) -> None:
        self._show_verdict()

    def _show(self) -> None:
        """Draw what follows from the fields."""
        if not self.is_mounted:
            return
        if self._loaded:
            self._sheet = replace_texts(self._sheet, self._typed())
        for slot in self._slots:
            self._hint(slot)
        self._show_verdict()
        rule = self.look.rule(self.app.size.width, [(2, "The same from a shell (ctrl+y or a click copies it)")])
        self.query_one("#equal-rule", Line).show([(rule, "dim")])
        self.query_one("#equal", Words).show(*[(self.look.theirs(quoted(words)), "") for words in self._equal()])

    def _hint(self, slot: Slot) -> None:
        field = self.query_one(f"#{slot.name}").parent
        if isinstance(field, Field):
            field.hint.show(self._beside(slot))

    def _beside(self, slot: Slot) -> Span:
        """What stands behind a field: what it held, what others made of it, what there is to know."""
        sheet, look = self._sheet, self.look
        known = hint(sheet, slot.name, self.board) if self._loaded else ""
        parts = [part for part in (slot.hint, look.theirs(known)) if part]
        if self._loaded and not sheet.new:
            now = look.theirs(sheet.begins(slot)) or "empty"
            if slot.name in self._meanwhile and sheet.touched(slot):
                return f"others made it {now} meanwhile", "warn"
            if sheet.differ(slot):
                parts.insert(0, "they differ" if not sheet.touched(slot) else "all of them")
            elif sheet.touched(slot):
                parts.insert(0, f"was {now}")
        return "; ".join(parts), "dim"

    def _show_verdict(self) -> None:
        self.wrong(self._missing_faults())
        for words in self.query("#verdict").results(Words):
            words.show(*self._verdict())

    def _verdict(self) -> list[Span]:
        if not self._loaded:
            return [(self.freshness, "dim")]
        look, sheet = self.look, self._sheet
        if faults := self._faults():
            shown = [(look.own("✗ ") + look.theirs(fault), "broken") for fault in faults[:SHOWN]]
            return shown if len(faults) <= SHOWN else [*shown[:-1], (f"{shown[-1][0]} (and {len(faults) - SHOWN} more)", "broken")]
        if not sheet.changes():
            return [("", "") if sheet.new else ("Nothing is changed yet.", "dim")]
        told = [(f"{sheet.slot(name).label} was {self._was(name)} when you came: saving overwrites what others made of it.", "warn")
                for name in self._meanwhile if sheet.touched(sheet.slot(name))]  # fmt: skip
        return (told + [(look.theirs(look.own(text)), "") for text in self.outlook(sheet)])[:SHOWN]

    def outlook(self, sheet: Sheet) -> list[str]:
        """What saving would bring, in sentences of ours."""
        return outlook(sheet, self.board)

    def deeds(self, sheet: Sheet) -> Sequence[Deed]:
        """What saving asks of the runtime."""
        return edit_model.deeds(sheet)

    def equal(self, sheet: Sheet) -> list[list[str]]:
        """The words of the command lines that do the same."""
        return edit_model.equal(sheet)

    def _was(self, name: str) -> str:
        return self.look.theirs(self._meanwhile[name]) or "empty"

    def _faults(self) -> list[str]:
        found = self._sheet.faults()
        called = self._typed().get("name", "").strip()
        if self.source.new and called in self._taken:
            found.append(f"There is a {self.source.word} {called} already.")
        # What a new thing lacks is told once something was typed.
        return found if not self.source.new or any(self._sheet.touched(slot) for slot in self._slots) else []

    def _equal(self) -> list[list[str]]:
        return self.equal(self._sheet) if self._loaded and not self._faults() else []

    # -- keys -----------------------------------------------------------------------------------------------------

    def action_save(self) -> None:
        """Save what was changed, once all that was typed before this key has reached its field."""
        (self.focused or self).call_later(self.call_later, self._save)

    def _save(self) -> None:
        self._show()
        if not self._loaded or self._saving:
            self.say("What is stored is still being read.", stays=False)
        elif bool(getattr(self.app, "read_only", False)):
            self.say("Read only: nothing is changed from here.", "warn")
        elif faults := self._missing_faults():
            self._to_fault()
            self.not_done("Not saved", faults[0])
        elif not self._sheet.changes():
            self.say("Nothing is changed yet; esc leaves.", stays=False)
        else:
            self._saving = True
            self.ask(self.source.read, self._checked)

    def _to_fault(self) -> None:
        """Put the cursor on the first field that something is wrong with."""
        called = self.source.new and self._typed().get("name", "").strip() in self._taken
        faulty = next((slot.name for slot in self._slots if self._sheet.fault(slot) or (called and slot.name == "name")), "")
        if faulty:
            self.set_focus(self.query_one(f"#{faulty}"))

    def _missing_faults(self) -> list[str]:
        return self._faults() or self._sheet.faults()

    def refused(self, text: str) -> None:
        self._saving = False
        super().refused(text)

    @property
    def made(self) -> str:
        """The key of the row of what this form makes."""
        return f"{self.source.word}:{self._sheet.changes().get('name', '')}"

    def _checked(self, found: Found) -> None:
        """What is stored was read once more: save over it, unless it is not what was seen."""
        self._saving = False
        seen = dict(self._meanwhile)
        self._have(found)
        if self.app.screen is not self or not (found.rows or self.source.new):
            return
        if self._meanwhile.keys() - seen.keys():
            self.say("Not saved: somebody changed the same meanwhile. ctrl+j saves all the same.", "warn")
        elif faults := self._missing_faults():
            self._to_fault()
            self.not_done("Not saved", faults[0])
        else:
            self._send()

    def _send(self) -> None:
        deeds = self.deeds(self._sheet)
        if not deeds:
            self.say("It is so already; esc leaves.", stays=False)
            return
        self._keep(left=False)
        cast(Any, self.app).do(deeds)
        self.dismiss(True)

    def action_copy(self) -> None:
        """Copy the command lines that do the same."""
        if found := self._equal():
            self.app.copy_to_clipboard("\n".join(shlex.join(words) for words in found))
            self.say("Copied the line." if len(found) == 1 else f"Copied {len(found)} lines.")
        else:
            self.say("There is no line to copy: nothing is changed yet, or no command line does this.", stays=False)

    def action_last(self) -> None:
        """What was typed here before, in the fields it was typed into."""
        if not self._kept:
            self.say("Nothing was typed here before.", stays=False)
            return
        self._put(self._typed() | self._kept)
        self._show()

    def action_leave(self) -> None:
        """Leave; nothing is changed, and what was typed is kept."""
        self._keep(left=True)
        self.dismiss(False)

    @property
    def _memory(self) -> dict[str, Kept]:
        """What was typed into forms, by what they were about."""
        if not hasattr(self.app, "kept_edits"):
            cast(Any, self.app).kept_edits = {}
        return cast(Any, self.app).kept_edits

    @property
    def _kept(self) -> dict[str, str]:
        """What was typed here before, of the fields that hold what they held then."""
        kept = self._memory.get(self.source.key)
        if kept is None or not self._loaded:
            return {}
        begins = {slot.name: self._sheet.begins(slot) for slot in self._slots}
        return {name: text for name, text in kept.texts.items() if kept.was.get(name, begins.get(name)) == begins.get(name)}

    def _keep(self, *, left: bool) -> None:
        sheet = replace_texts(self._sheet, self._typed())
        # Of what was not read yet it is not known what the fields hold.
        touched = [slot for slot in self._slots if sheet.touched(slot) and (self._loaded or sheet.text(slot))]
        if touched:
            typed, was = ({slot.name: read(slot) for slot in touched} for read in (sheet.text, sheet.begins))
            self._memory[self.source.key] = Kept(typed, was if self._loaded else {}, left)
        elif self.source.new:
            self._memory.pop(self.source.key, None)


def replace_texts(sheet: Sheet, texts: Mapping[str, str]) -> Sheet:
    """The same stored values under other texts."""
    return Sheet(sheet.kind, sheet.stored, dict(texts))


def _field(slot: Slot) -> Field:
    inner = _entry(slot.name) if slot.of == "entry" else Pick([], id=slot.name)
    size = slot.size if slot.of == "entry" or slot.size > 8 else 18
    return Field(slot.label, inner, slot.hint, size=size, column=COLUMN)


def _entry(name: str) -> Widget:
    """A field whose text is replaced by typing when one comes to it."""
    inner = entry(name)
    inner.select_on_focus = True
    return inner


# --- ways in ----------------------------------------------------------------------------------------------------------


def edit_screen(client_factory: Callable[[], Client], rows: Sequence[Any]) -> EditScreen:
    """The form for rows of the deck: tasks together, one queue, one pool, the rule of one alert.

    Raises Unfit for others.
    """
    lines = [plain(row) for row in rows]
    tasks = [line for line in lines if isinstance(line, (RunningLine, NextLine))]
    if tasks:
        return _edit_tasks(client_factory, tasks)
    if any(isinstance(line, EndedLine) for line in lines):
        raise Unfit("It has ended: nothing of it can be changed. R runs one like it.")
    line = lines[0] if len(lines) == 1 else None
    if isinstance(line, PoolRow):
        return EditScreen(client_factory, Source(edit_model.POOL, (line.pool.name,)), "memory" if line.memory else "cpu")
    for of, kind, name in _PLACES:
        if isinstance(line, of):
            return EditScreen(client_factory, Source(kind, (getattr(line, name),)))
    raise Unfit("e edits tasks that have not ended, one queue, one pool, or one rule.")


_PLACES = ((QueueLine, edit_model.QUEUE, "name"), (PoolLine, edit_model.POOL, "name"), (AlertLine, edit_model.RULE, "sla"))


def _edit_tasks(client_factory: Callable[[], Client], tasks: Sequence[RunningLine | NextLine]) -> EditScreen:
    if len(tasks) > MOST:
        raise Unfit(f"At most {MOST} tasks are edited as one; {len(tasks):,} are marked.")
    title = f"#{tasks[0].number} {tasks[0].name}" if len(tasks) == 1 else f"{len(tasks)} tasks"
    source = Source(edit_model.TASK, tuple(task.uuid for task in tasks), title)
    return EditScreen(client_factory, source, wanted(tasks))


def wanted(tasks: Sequence[RunningLine | NextLine]) -> str:
    """The field that is most likely to be changed: what keeps the first of them waiting, or what it will run out of."""
    first = tasks[0]
    if isinstance(first, RunningLine):
        return "timeout" if first.left is not None and first.left < 0 else "memory"
    return _stuck(first, _WAITS) or "memory"


def lacking(pool: str, board: Board) -> str:
    """The field by which the first task that has no room in a pool waits; "" where none is stuck by that."""
    queues = {queue.name for queue in board.queues if queue.pool == pool}
    return next((name for line in board.next if line.queue in queues and (name := _stuck(line, _NO_ROOM))), "")


def _stuck(line: NextLine, waits: Sequence[tuple[str, str]]) -> str:
    """The field of the reason that is told first, of these; "" where none is told."""
    found = {line.why.index(words): name for words, name in waits if words in line.why}
    return found[min(found)] if found else ""


_NO_ROOM = ((" memory of pool", "memory"), (" memory, but pool", "memory"), (" cpu of pool", "cpu"), (" cpu, but pool", "cpu"))
_WAITS = (
    *_NO_ROOM,
    (" is full (", "queue"), (" is paused", "queue"), (" is draining", "queue"), ("behind #", "priority"), (" in queue ", "priority"),
)  # fmt: skip
"""What the reasons why a task waits say, and the field that would help."""


def new_queue_screen(client_factory: Callable[[], Client]) -> EditScreen:
    """The form for a new queue."""
    return EditScreen(client_factory, Source(edit_model.NEW_QUEUE))


def new_pool_screen(client_factory: Callable[[], Client]) -> EditScreen:
    """The form for a new pool."""
    return EditScreen(client_factory, Source(edit_model.NEW_POOL))
