"""Definition editor: the text of one template, queue, pool or rule.

The text is checked while it is typed, and the user reviews the changes before they are
saved. Unsaved text is kept until the deck exits. Changes by others are never overwritten unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import TextArea

from app.core.text import diff
from app.core.text.joining import end_sentence
from app.errors import NotFound
from app.translation import tr, tr_noop
from app.tui.actions.definitions import (
    DefinitionSubject,
    SaveResult,
    check_definition,
    save_definition,
)
from app.tui.actions.tasks import Request
from app.tui.forms.fields import WrappedText
from app.tui.forms.script_input import ScriptInput
from app.tui.key_queue import KeyInput, KeyQueueScreen
from app.tui.rows.operations import make_difference_lines
from app.tui.screens.base_page import PageScreen
from app.tui.screens.base_polling import LOADING_DELAY
from app.tui.style import Span
from app.tui.widgets.document import DocRow, DocumentView, Section
from app.tui.widgets.footer import KeyHint

if TYPE_CHECKING:
    from app.client import Client

CHECK_DELAY = 0.15
"""Seconds without a change before the text is checked."""
SHOWN_FAULTS = 3
PLACEHOLDER = "NAME"
"""Name in the text of a new definition until the user replaces it."""

_NEW = {
    "templates": """[templates.NAME]
engine = "shell"
description = "says hello"
# and: queue = "default", timeout = "30m", cpu = 1, memory = "512M"
# and: notify = "ops", notify_on = "failed"
schema = {script = 'echo "hello $PARAM_who"'}
parameters = {type = "object", required = ["who"], properties = {who = {type = "string"}}}
""",
    "queues": """[queues.NAME]
pool = "default"
capacity = 2
priority = 0
""",
    "pools": """[pools.NAME]
total_cpu = 4
total_memory = "8G"
""",
    "slas": """[slas.NAME]
severity = "warning"
# metrics and more: taskdeck help sla
[slas.NAME.conditions]
scope = "queue"
match = {queue = "default"}
when = {metric = "queue.depth", op = ">", value = 100}
for = "1m"
# [[slas.NAME.actions]]
# notify = "ops"
""",
}
_WORDS = {
    "templates": tr_noop("template"), "queues": tr_noop("queue"), "pools": tr_noop("pool"),
    "slas": tr_noop("rule"),
}  # fmt: skip
_TITLES = {
    "templates": tr_noop("Templates"), "queues": tr_noop("Queues"), "pools": tr_noop("Pools"),
    "slas": tr_noop("Rules"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DefinitionDraft:
    """Unsaved text, and the stored text it started from (None for a new definition)."""

    text: str
    base_text: str | None
    format: str = "toml"


class EditorScreen(KeyQueueScreen, PageScreen, ModalScreen[str | None]):
    """Editor of one definition, stored or new.

    Dismisses with the name of the saved definition.
    """

    DEFAULT_CSS = """
    EditorScreen {
        background: $background;
        TextArea { height: 1fr; background: transparent; border: none; padding: 0 1 0 1; }
        #verdict { height: 3; padding: 0 1 0 2; }
    }
    """
    AUTO_FOCUS = "#text"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+j,ctrl+enter",
            "save",
            "Save, after a review of the changes",
            id="form.submit",
            show=False,
        ),
        Binding("ctrl+g", "fault", "Go to the first fault", id="editor.fault", show=False),
        Binding(
            "ctrl+r",
            "stored",
            "The stored text, or the typed one again",
            id="form.last",
            show=False,
        ),
        Binding("escape", "leave", "Close, keep draft", id="form.leave", show=False),
        Binding("f1", "app.show_keys", "The keys of this form", id="form.help", show=False),
    ]

    def __init__(
        self, client_factory: Callable[[], Client], kind: str, name: str | None = None
    ) -> None:
        super().__init__(client_factory)
        self.kind, self.edited = kind, name
        self._start: DefinitionDraft | None = None
        """Text the editor started with: the stored one, or the skeleton of a new definition."""
        self._base_text: str | None = None
        self._format = "toml"
        self._timer: Timer | None = None
        self._check_number = 0
        self._check_result: Mapping[str, Any] | None = None
        """Result of the last check, or None if the text has changed since."""
        self._checked_text: str | None = None
        """Text that was checked; the last keys may not be in the widget's messages yet."""
        self._wants_to_save = False
        self._previous_draft: DefinitionDraft | None = None
        self._notice = ""
        self._unreadable = False

    # Widgets

    def compose_body(self) -> Iterable[Widget]:
        area = ScriptInput(
            id="text", show_line_numbers=True, soft_wrap=True, highlight_cursor_line=False
        )
        area.cursor_blink = False
        yield area
        yield WrappedText(id="verdict", most=SHOWN_FAULTS)

    def on_mount(self) -> None:
        self.area.styles.scrollbar_size_vertical = 0 if self.look.ascii else 1
        if self.edited is None:
            self._start_editing(DefinitionDraft(_NEW[self.kind], None))
        else:
            self._load()

    @property
    def area(self) -> ScriptInput:
        return self.query_one("#text", ScriptInput)

    @property
    def subject(self) -> str:
        """Kind and name as safe text, such as `template encode`."""
        return f"{tr(_WORDS[self.kind])} {self.look.sanitize(self.edited or '')}".strip()

    def make_heading(self) -> str:
        what = (
            self.look.sanitize(self.edited)
            if self.edited is not None
            else tr("New {kind}", kind=tr(_WORDS[self.kind]))
        )
        return self.look.adapt_text(
            tr("{place} › {name} › definition", place=tr(_TITLES[self.kind]), name=what)
        )

    def list_keys(self) -> list[KeyHint]:
        faulty = (
            [KeyHint("ctrl+g", "to the fault", "ctrl+g", 1)]
            if self._check_result and self._check_result["faults"]
            else []
        )
        words = (
            tr("read again")
            if self._unreadable
            else tr("as stored")
            if self.is_modified
            else tr("as typed before")
        )
        last = (
            [KeyHint("ctrl+r", words, "ctrl+r", 2)]
            if self._unreadable or self.is_modified or self._previous_draft
            else []
        )
        return [
            KeyHint("ctrl+j", "save", "ctrl+j", 0),
            *faulty,
            *last,
            KeyHint("esc", "close, keep draft", "escape", 0),
        ]

    # Loading

    def _load(self) -> None:
        self.area.read_only, self._unreadable = True, False
        self.set_timer(LOADING_DELAY, self._show_loading)
        self.call(
            "definition.show", {"kind": self.kind, "name": self.edited}, self._apply_definition
        )

    def _show_loading(self) -> None:
        if not (self._has_text or self._unreadable):
            self.query_one("#verdict", WrappedText).show(
                (tr("loading; typed text is inserted afterwards"), "dim")
            )

    @property
    def _has_text(self) -> bool:
        return self._start is not None

    @property
    def takes_keys(self) -> bool:
        """True once the text has arrived, or cannot arrive. Earlier keys are kept."""
        return self._has_text or self._unreadable

    def queue_input(self, event: KeyInput) -> None:
        """Handle a key; leaving works before the text has arrived."""
        if isinstance(event, events.Key) and not self._has_text and self._is_leave_key(event.key):
            self.action_leave()
        else:
            super().queue_input(event)

    def _is_leave_key(self, key: str) -> bool:
        found = self.active_bindings.get(key)
        return found is not None and found.binding.action == "leave"

    def _apply_definition(self, answer: Mapping[str, Any]) -> None:
        self.area.read_only = self.deck.read_only
        self._start_editing(DefinitionDraft(answer["text"], answer["text"], answer["format"]))

    def _start_editing(self, start: DefinitionDraft) -> None:
        """Show the stored text or the kept one, then replay keys typed ahead."""
        self._start = start
        self.query_one("#verdict", WrappedText).show()
        self.post_message(self.Waiting())
        draft = self._drafts.get(self._key)
        if draft is None or draft.text == start.text:
            self._load_draft(start)
            return
        meanwhile = (
            tr(", and somebody changed the stored text")
            if draft.base_text != start.base_text
            else ""
        )
        self._notice = tr(
            "You typed this before{meanwhile}; ctrl+r shows the stored text.", meanwhile=meanwhile
        )
        self._load_draft(draft)

    def _load_draft(self, draft: DefinitionDraft) -> None:
        text, self._base_text, self._format = draft.text, draft.base_text, draft.format
        self.area.load_text(text)
        start = text.find(PLACEHOLDER) if self.edited is None else -1
        if start >= 0:
            line, column = text.count("\n", 0, start), start - (text.rfind("\n", 0, start) + 1)
            self.area.move_cursor((line, column))
            self.area.move_cursor((line, column + len(PLACEHOLDER)), select=True)
        self._schedule_check()

    def handle_missing(self, text: str) -> None:
        """Close the editor: the definition is gone."""
        if self.app.screen is self:
            self.dismiss(None)
            self.show_message(self.look.sanitize(text), "warn")

    @property
    def _drafts(self) -> dict[tuple[str, str], DefinitionDraft]:
        """Unsaved texts of all definitions, kept as long as the deck runs."""
        return self.deck.drafts.definitions

    @property
    def _key(self) -> tuple[str, str]:
        return self.kind, self.edited or ""

    @property
    def is_modified(self) -> bool:
        """True if the text differs from the text the editor started with."""
        return self._start is not None and self.area.text != self._start.text

    # Checking

    @on(TextArea.Changed)
    def _handle_text_change(self, event: TextArea.Changed) -> None:
        event.stop()
        self._schedule_check()

    def _schedule_check(self) -> None:
        if not self._has_text:
            return
        self._check_result = None
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_DELAY, self._check_text)

    def _check_text(self) -> None:
        self._check_number += 1
        text = self.area.text
        self.ask(
            partial(check_definition, self._get_subject(), text),
            partial(self._apply_check, self._check_number, text),
        )

    def _get_subject(self) -> DefinitionSubject:
        return DefinitionSubject(self.kind, self.edited, self._format)

    def _apply_check(self, check_number: int, text: str, found: Mapping[str, Any]) -> None:
        if check_number != self._check_number or text != self.area.text:
            return
        self._check_result, self._checked_text = found, text
        if found["name"] == PLACEHOLDER and not found["faults"]:
            said = {
                "line": 1,
                "column": 1,
                "message": tr("give it a name in place of {placeholder}", placeholder=PLACEHOLDER),
            }
            self._check_result = {**found, "faults": [said]}
        self.query_one("#verdict", WrappedText).show(*self._make_verdict())
        self.update_faults(list(map(_format_fault, self._check_result["faults"])))
        self.refresh_chrome()
        if self._wants_to_save:
            self.action_save()

    def _make_verdict(self) -> list[Span]:
        check_result = self._check_result or {}
        faults = check_result.get("faults", ())
        if faults:
            shown = [
                (
                    self.look.adapt_text(
                        f"✗ {_format_location(fault)}{self.look.sanitize(fault['message'])}"
                    ),
                    "late",
                )
                for fault in faults
            ]
            more = len(shown) - SHOWN_FAULTS
            return (
                shown
                if more <= 0
                else [*shown[: SHOWN_FAULTS - 1], (tr("  and {more} more", more=more + 1), "late")]
            )
        notice = [(self.look.adapt_text(self._notice), "warn")] if self._notice else []
        return [(self.look.adapt_text(f"✓ {self._describe_save(check_result)}"), "well"), *notice]

    def _describe_save(self, check_result: Mapping[str, Any]) -> str:
        """Return what saving would do, as a phrase."""
        if self._base_text is None:
            return tr(
                "creates {kind} {name}",
                kind=tr(_WORDS[self.kind]),
                name=self.look.sanitize(str(check_result["name"])),
            )
        changed = [
            diff.format_change(diff.ChangedField(key, *pair))
            for key, pair in check_result["fields"].items()
        ]
        return (
            tr("would change ") + self.look.sanitize(", ".join(changed))
            if changed
            else tr("same as stored")
        )

    def show_refusal(self, text: str) -> None:
        self._wants_to_save = False
        super().show_refusal(text)
        if not self._has_text:
            self._keys.clear()
            self._unreadable = True
            self.query_one("#verdict", WrappedText).show(
                (
                    self.look.adapt_text(
                        tr("✗ the definition could not be read; ctrl+r reads it again")
                    ),
                    "late",
                )
            )
            self.refresh_chrome()

    def action_fault(self) -> None:
        """Move the cursor to the first fault."""
        faults = self._check_result["faults"] if self._check_result else ()
        if not faults:
            self.show_message(tr("No faults found."), stays=False)
            return
        line, column = faults[0]["line"] or 1, faults[0]["column"] or 1
        self.area.move_cursor((line - 1, column - 1))

    # Saving

    def action_save(self) -> None:
        """Review the changes, then save the text."""
        if self.deck.read_only:
            self.show_message(tr("Read only: this deck changes nothing."), "warn")
            return
        if not self._has_text:
            self.show_message(
                tr("There is nothing to save: it could not be read."), "warn", stays=False
            )
            return
        if self._check_result is None or self._checked_text != self.area.text:
            self._wants_to_save = True
            return
        self._wants_to_save = False
        if self._check_result["faults"]:
            self.action_fault()
            self.report_fault(tr("Not saved"), _format_fault(self._check_result["faults"][0]))
        elif self._base_text is not None and not self._check_result["fields"]:
            self.show_message(tr("No changes to save."), stays=False)
        else:
            self._open_review(
                tr("Save {subject}?", subject=self.subject),
                self._check_result["before"],
                partial(self._save_reviewed, self._base_text),
            )

    def _open_review(
        self, title: str, before: str, then: Callable[[str | None], None], theirs: bool = False
    ) -> None:
        comments = any(line.lstrip().startswith("#") for line in self.area.text.split("\n"))
        after = str((self._check_result or {}).get("after", ""))
        self.app.push_screen(
            ReviewScreen(
                self.client_factory, title, before, after, theirs=theirs, comments=comments
            ),
            then,
        )

    def _save_reviewed(self, was: str | None, answer: str | None) -> None:
        if answer == "save":
            work = partial(save_definition, self._get_subject(), self.area.text, was)
            self.ask(work, self._handle_save)

    def _handle_save(self, found: SaveResult) -> None:
        if found.problem is None:
            self._finish(found.answer)
        elif found.problem.exit_code == NotFound.exit_code:
            self._open_review(self.look.sanitize(found.problem.message), "", self._recreate)
        elif (
            found.stored_definition is not None
            and found.stored_definition["text"] != self._base_text
        ):
            self._open_review(
                self.look.sanitize(found.problem.message),
                found.stored_definition["text"],
                partial(self._resolve_conflict, found.stored_definition),
                theirs=True,
            )
        else:
            self.show_message(self.look.sanitize(str(found.problem)), "warn")

    def _resolve_conflict(self, theirs: Mapping[str, Any], answer: str | None) -> None:
        """Keep this text, or take the version that somebody else saved meanwhile."""
        if answer == "save":
            self._save_reviewed(theirs["text"], "save")
        elif answer == "theirs":
            self._start = DefinitionDraft(theirs["text"], theirs["text"], theirs["format"])
            self._load_draft(self._start)

    def _recreate(self, answer: str | None) -> None:
        """Save as a new definition: the stored one was removed meanwhile."""
        if answer == "save":
            self.edited, self._base_text = None, None
            self._save_reviewed(None, "save")

    def _finish(self, answer: Mapping[str, Any]) -> None:
        self._drafts.pop(self._key, None)
        name = str(answer["name"])
        kind = tr(_WORDS[self.kind])
        message = self.look.sanitize(tr("Saved {kind} {name}.", kind=kind, name=name))
        if ids := answer.get("operations"):
            self.deck.undo_stack.push(message, [Request("undo", {"ids": list(ids)}, tr("Undone:"))])
        self.dismiss(name)
        self.show_message(tr("{message}  u undo", message=message))

    # Leaving

    def action_stored(self) -> None:
        """Show the stored text; again restores the typed one."""
        self._notice = ""
        if not self._has_text:
            self._load()
        elif self._start is not None and self.is_modified:
            self._previous_draft = DefinitionDraft(self.area.text, self._base_text, self._format)
            self._load_draft(self._start)
        elif self._previous_draft is not None:
            self._load_draft(self._previous_draft)
            self._previous_draft = None

    def action_leave(self) -> None:
        """Close the editor and keep unsaved text."""
        if self.is_modified:
            self._drafts[self._key] = DefinitionDraft(self.area.text, self._base_text, self._format)
            again = self.subject if self.edited else tr("a new one")
            self.show_message(
                tr("Your text is kept for the next time you edit {again}.", again=again)
            )
        else:
            self._drafts.pop(self._key, None)
        self.dismiss(None)


def _format_fault(fault: Mapping[str, Any]) -> str:
    return end_sentence(fault["message"])


def _format_location(fault: Mapping[str, Any]) -> str:
    """Return the location of a fault, such as `line 4, 11: `."""
    return (
        tr("line {line}, {column}: ", line=fault["line"], column=fault["column"])
        if fault["line"] and not fault["message"].startswith("line ")
        else ""
    )


class ReviewScreen(PageScreen, ModalScreen[str | None]):
    """Line-by-line comparison of the stored and the new text.

    Dismisses with `save`, `theirs`, or None to return to the text.
    """

    DEFAULT_CSS = "ReviewScreen { background: $background; DocumentView { height: 1fr; } }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,y,ctrl+enter", "take('save')", "Save", id="review.save", priority=True),
        Binding("t", "take('theirs')", "Take the other version", id="review.theirs"),
        Binding("enter,escape,q,n", "leave", "Back to the text", id="review.leave", priority=True),
    ]

    def __init__(
        self,
        client_factory: Callable[[], Client],
        title: str,
        before: str,
        after: str,
        *,
        theirs: bool = False,
        comments: bool = False,
    ) -> None:
        """Create the comparison; `title` is safe.

        `theirs` means that `before` is another user's version, which may be taken.
        """
        super().__init__(client_factory)
        self._title, self._before, self._after = title, before, after
        self._theirs, self._comments = theirs, comments

    def compose_body(self) -> Iterable[Widget]:
        yield DocumentView(id="difference")

    def on_mount(self) -> None:
        self.query_one(DocumentView).show(self._make_sections())
        self.query_one(DocumentView).focus()

    def _make_sections(self) -> Sequence[Section]:
        lines = list(make_difference_lines(self._before, self._after, self.look))
        rows = [DocRow(tuple(line)) for line in lines] or [
            DocRow(((tr("The texts are identical."), "dim"),))
        ]
        notes = [tr("- is their text, + is yours.")] if self._theirs else []
        notes += (
            [tr("Comments are not kept: a definition is stored, not its text.")]
            if self._comments
            else []
        )
        return [
            Section(self._title, (*(DocRow(((note, "dim"),)) for note in notes), DocRow(), *rows))
        ]

    def make_heading(self) -> str:
        return self.look.adapt_text(tr("Definition › what saving changes"))

    def list_keys(self) -> list[KeyHint]:
        theirs = [KeyHint("t", "take theirs", "t", 0)] if self._theirs else []
        save = KeyHint("y ctrl+j", tr("save mine over it") if self._theirs else tr("save"), "y", 0)
        return [save, *theirs, KeyHint("↵ esc", "back to the text", "escape", 0)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable taking the other version if there is none."""
        return not (action == "take" and parameters == ("theirs",)) or self._theirs

    def action_take(self, answer: str) -> None:
        self.dismiss(answer)
