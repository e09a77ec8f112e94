"""Every bound key on every screen, pressed on a real terminal of 80x24.

The home has running, waiting, held and failed tasks. The keys are read from the bindings. After
each key the deck must draw its screen again: ctrl+l follows the key, or a size report where a
dialog takes all keys. Questions are answered with escape.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, NamedTuple

import pytest
from pyte.screens import Char
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input, TextArea

from app.client import Client
from app.core.ids import make_uuid7
from app.tui.app import TaskdeckApp
from app.tui.forms.fields import CheckBox, Choice, DropDown, FormEntry, PickScreen
from app.tui.forms.schema_fields import ParameterFields
from app.tui.keymap import merge_bindings
from app.tui.logviewer.prompt import PromptInput
from app.tui.logviewer.widget import LogView
from app.tui.screens.alerts import AlertsScreen
from app.tui.screens.database import DatabaseScreen
from app.tui.screens.deck.screen import DeckScreen
from app.tui.screens.definitions.definition_editor import EditorScreen, ReviewScreen
from app.tui.screens.definitions.edit_form import EditScreen
from app.tui.screens.definitions.rule_form import AcknowledgeScreen, SilenceScreen
from app.tui.screens.definitions.schedule import ScheduleScreen
from app.tui.screens.definitions.schedule_form import ScheduleForm
from app.tui.screens.definitions.schedules import SchedulesScreen
from app.tui.screens.definitions.templates import TemplatesScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.item_list import ItemListScreen
from app.tui.screens.dialogs.keys import HelpScreen
from app.tui.screens.dialogs.palette import PaletteScreen
from app.tui.screens.dialogs.text_prompt import TextPromptScreen
from app.tui.screens.dialogs.topics import TopicListScreen, TopicScreen
from app.tui.screens.dialogs.why import WhyScreen
from app.tui.screens.history import HistoryScreen
from app.tui.screens.operations import OperationScreen, OperationsScreen
from app.tui.screens.submission.submit_form import SubmitScreen
from app.tui.screens.tasks.flow import FlowScreen
from app.tui.screens.tasks.log import LogScreen
from app.tui.screens.tasks.task import TaskScreen
from app.tui.screens.tasks.tasks import TasksScreen
from app.tui.screens.usage import UsageScreen
from app.tui.screens.what_if import WhatIfScreen
from app.tui.widgets.document import DocumentView
from app.tui.widgets.filter_input import FilterInput
from app.tui.widgets.table import Table
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.acceptance.conftest import open_home
from tests.acceptance.terminal import Terminal
from tests.acceptance.test_three_keys import DEFINITIONS, FAILING_SCRIPT, RUNNING_SCRIPT

COLUMNS, ROWS = 80, 24
CTRL_C_WINDOW = 2.2
"""Seconds within which a second ctrl+c quits."""
BLANK = "\0"
NOT_DRAWN = Char(BLANK)
"""A cell that was not drawn since the last key."""
MOVING_ACTIONS = re.compile(
    r"move|edge|page|sideways|turn|start|end|home|go\(-?\d|scroll|cursor|delete|select|cut|paste|undo$|redo$"
)
"""Names of actions that only move, mark or edit."""
FOCUS_REPORT = "\x1b[I"
"""Report that the window gained focus; after an escape, it marks the end of the key."""
EXCLUDED_KEYS = {"ctrl+q", "S"}
"""Keys that quit the deck or start a runtime."""
SLOW_KEYS = frozenset({"x", "R", "s"})
"""Keys whose question may wait for the runtime's answer."""
LAST_KEYS = (
    "f",
    "F",
    "z",
    "comma",
    "semicolon",
    "tab",
    "shift+tab",
    "down",
    "up",
    "enter",
    "ctrl+enter",
    "ctrl+j",
    "D",
    "x",
    "p",
)
"""Keys pressed last, when the field or row that they act on exists."""

_KEY_BYTES = {
    "escape": "\x1b", "enter": "\r", "tab": "\t", "shift+tab": "\x1b[Z", "space": " ",
    "backspace": "\x7f", "delete": "\x1b[3~",
    "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[H",
    "end": "\x1b[F", "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~", "f1": "\x1bOP", "f6": "\x1b[17~", "f7": "\x1b[18~",
    "question_mark": "?", "colon": ":", "slash": "/", "plus": "+",
    "equals_sign": "=", "minus": "-", "asterisk": "*", "comma": ",", "full_stop": ".",
    "semicolon": ";", "greater_than_sign": ">",
    "less_than_sign": "<", "fullwidth_solidus": "／", "fullwidth_question_mark": "？",
    "fullwidth_colon": "：",
}  # fmt: skip
_MODIFIERS = {"shift": 1, "alt": 2, "ctrl": 4, "super": 8}
_MODIFIED_KEYS = {"up": "1{}A", "down": "1{}B", "right": "1{}C", "left": "1{}D", "end": "1{}F",
"home": "1{}H",
           "delete": "3{}~", "pageup": "5{}~", "pagedown": "6{}~"}  # fmt: skip
_KEY_CODES = {"enter": 13, "backspace": 127}


def encode_key(key: str) -> str:
    """Return the bytes of a key as terminals send it.

    Keys that only the kitty protocol knows are encoded in that form.
    """
    if key in _KEY_BYTES or len(key) == 1:
        return _KEY_BYTES.get(key, key)
    *held, bare = key.split("+")
    holding = 1 + sum(_MODIFIERS[name] for name in held)
    if bare in _MODIFIED_KEYS:
        return f"\x1b[{_MODIFIED_KEYS[bare].format(f';{holding}')}"
    if held == ["ctrl"] and len(bare) == 1:
        return chr(ord(bare) & 0x1F)
    return f"\x1b[{_KEY_CODES.get(bare) or ord(bare)};{holding}u"


def format_size_report(columns: int) -> str:
    """Return an in-band size report."""
    return f"\x1b[48;{ROWS};{columns};0;0t"


class Visit(NamedTuple):
    """Place in the deck: its screen, its focused widget and the keys that lead there."""

    name: str
    screen: type[Screen]
    focus: type[Widget] | None
    way: tuple[tuple[str, str], ...]

    @property
    def is_modal(self) -> bool:
        return issubclass(self.screen, ModalScreen)

    @property
    def last_text(self) -> str:
        return next(shows for _, shows in reversed(self.way) if shows)

    def find_bindings(self) -> dict[str, str]:
        """Return the actions of the keys bound here, by key.

        Bindings of the app are included only at the first visit of a screen.
        """
        first = next(visit for visit in VISITS if visit.screen is self.screen) == self
        nodes: list[type[DOMNode]] = [self.screen, *([self.focus] if self.focus else [])]
        nodes += [TaskdeckApp] if first and not self.is_modal else []
        found = {binding.key: binding.action for node in nodes for binding in merge_bindings(node)}
        return {
            key: action
            for key, action in found.items()
            if key not in EXCLUDED_KEYS and action != "app.leave"
        }

    def group_keys(self, once: bool = False) -> list[list[str]]:
        """Return the keys in pressing order: moving keys in one burst, the others alone.

        With `once`, only one of several keys of an action is pressed.
        """
        bound = self.find_bindings()
        if once:
            of = {action: key for key, action in reversed(bound.items())}
            bound = {key: action for key, action in bound.items() if of[action] == key}
        typed = (
            {key for key in bound if len(encode_key(key)) == 1 and encode_key(key).isprintable()}
            if self._is_text_input
            else set()
        )
        quiet = [
            key
            for key, action in bound.items()
            if key not in LAST_KEYS and (key in typed or MOVING_ACTIONS.match(action))
        ]
        alone = [key for key in bound if key not in quiet]
        return [
            *([quiet] if quiet else []),
            *(
                [key]
                for key in sorted(
                    alone, key=lambda key: LAST_KEYS.index(key) if key in LAST_KEYS else -1
                )
            ),
        ]

    @property
    def _is_text_input(self) -> bool:
        return self.focus is not None and issubclass(self.focus, (Input, TextArea))


QUEUES = ("1", "▌1 Queues")
RUNNING = (QUEUES, ("3", "▌3 Running"))
WAITING = (QUEUES, ("W", "▌W Next"))
TASKS = ("5", r"(?s)\A *5 Tasks.*▌")
TYPED = ("/", r"\A[^▌]*↵ keep[^▌]*\Z")
SCHEDULES = ("8", r"(?s)\A *8 Schedules [12].*▌.*FIRES.*greeting")
TEMPLATES = ("6", r"(?s)\A *6 Templates.*▌")
# "following" is cut where a key obeyed late has paused the run
LOG = (*RUNNING, ("l", "at the end, fol"))
FORM = ("n", "Deck › New task")
EDIT = (*WAITING, ("e", r"(?s)Edit #.*cores"))
EDITOR = (TEMPLATES, ("e", "greet › definition"))
EDIT_KEYS = (("\x1b[B\x1b[B\x1b[B", ""), ("\x1b[F", ""), ("\x1b[D", ""), ("x", "would change"))
ALERT = (("7", r"(?s)▌Alerts.*encode one.*s silence"),)
OWN_TASKS = frozenset(
    {"thumbs S02", "sweep-06", "encode one", "encode more", "encode again", "report", "later"}
)
"""Names of the tasks that belong here; others come from forms."""
VISITS = (
    Visit("the work", DeckScreen, Table, RUNNING),
    Visit("the queues", DeckScreen, Table, (QUEUES,)),
    Visit("the pools", DeckScreen, Table, (("2", "▌2 Pools"),)),
    Visit("the alerts of the deck", DeckScreen, Table, (("4", "▌4 SLA"),)),
    Visit("the filter of the deck", DeckScreen, FilterInput, (QUEUES, TYPED)),
    Visit("all tasks", TasksScreen, Table, (TASKS,)),
    Visit("the filter of all tasks", TasksScreen, FilterInput, (TASKS, TYPED)),
    Visit("the order", ChoiceScreen, None, (TASKS, ("o", "┌─ Order"))),
    Visit("the columns", ChoiceScreen, None, (TASKS, ("i", "┌─ Columns"))),
    Visit("the views", ChoiceScreen, None, (TASKS, ("V", "┌─ Views"))),
    Visit(
        "the name of a view",
        TextPromptScreen,
        Input,
        (TASKS, ("V", "┌─ Views"), ("s", "┌─ Save this view")),
    ),
    Visit(
        "a task that runs", TaskScreen, DocumentView, (*RUNNING, ("\r", r"Deck › #.*\n ● running"))
    ),
    Visit(
        "a task that waits",
        TaskScreen,
        DocumentView,
        (*WAITING, ("\r", r"(?s)Deck › #.*Why it waits")),
    ),
    Visit(
        "a task that ended",
        TaskScreen,
        DocumentView,
        (("F", r"(?m)^› .*✗"), ("\r", r"(?s)Deck › #.*How it ended")),
    ),
    Visit("the log of what runs", LogScreen, LogView, LOG),
    Visit(
        "the log of what failed", LogScreen, LogView, (("F", r"(?m)^› .*✗"), ("l", "no such file"))
    ),
    Visit("the search in a log", LogScreen, PromptInput, (*LOG, ("/", "esc close"))),
    Visit("the input of a task", LogScreen, PromptInput, (*LOG, ("i", "send the line"))),
    Visit("the path of a log", LogScreen, PromptInput, (*LOG, ("s", "Save as:"))),
    Visit("why it waits", WhyScreen, DocumentView, (*WAITING, ("w", "open the task"))),
    Visit("a new task", SubmitScreen, Input, (*RUNNING, FORM)),
    Visit("what a new task runs", SubmitScreen, Choice, (*RUNNING, FORM, ("\x1b[Z", ""))),
    Visit("the queue of a new task", SubmitScreen, DropDown, (*RUNNING, FORM, ("\t\t\t", ""))),
    Visit("the hold of a new task", SubmitScreen, CheckBox, (*RUNNING, FORM, ("\x1b[Z\x1b[Z", ""))),
    Visit(
        "a new task of a template",
        SubmitScreen,
        ParameterFields,
        (TEMPLATES, ("\r", "▌Parameters")),
    ),
    Visit("the templates", TemplatesScreen, Table, (TEMPLATES,)),
    Visit(
        "the review of a text",
        ReviewScreen,
        DocumentView,
        (TEMPLATES, ("e", "engine ="), *EDIT_KEYS, ("\n", "▌Save template")),
    ),
    Visit("the text of a template", EditorScreen, TextArea, EDITOR),
    Visit("alerts and rules", AlertsScreen, Table, (("7", "7 Alerts and rules"),)),
    Visit("the rules", AlertsScreen, Table, (("7", "7 Alerts and rules"), ("\t", ""))),
    Visit("a new rule", EditScreen, FormEntry, (("7", "7 Alerts and rules"), ("n", "New rule"))),
    Visit(
        "the silence of a rule",
        ChoiceScreen,
        None,
        (("7", r"(?s)▌Alerts.*s silence"), ("s", "┌─ Silence")),
    ),
    Visit(
        "a new silence", EditScreen, FormEntry, (("7", "7 Alerts and rules"), ("m", "New silence"))
    ),
    Visit(
        "the end of a silence",
        SilenceScreen,
        FormEntry,
        (*ALERT, ("s", "┌─ Silence"), ("o", "Until")),
    ),
    Visit("a note of an alert", AcknowledgeScreen, FormEntry, (*ALERT, ("A", "Acknowledge .*"))),
    Visit("the text of a rule", EditorScreen, TextArea, (*ALERT, ("t", "encode-in-time › def"))),
    Visit("the text of a new rule", EditorScreen, TextArea, (*ALERT, ("N", "New rule › def"))),
    Visit("a task that is edited", EditScreen, FormEntry, EDIT),
    Visit("the pool of a queue", EditScreen, DropDown, (QUEUES, ("e", "Edit queue"), ("\t", ""))),
    Visit(
        "the list of pools",
        PickScreen,
        None,
        (QUEUES, ("e", "Edit queue"), ("\t", ""), ("\r", "┌")),
    ),
    Visit("a new queue", EditScreen, FormEntry, (QUEUES, ("n", "New queue"))),
    Visit("the schedules", SchedulesScreen, Table, (SCHEDULES,)),
    Visit(
        "a timeline of schedules",
        SchedulesScreen,
        FilterInput,
        (SCHEDULES, ("t", r"(?s)\A *8 Sched.*──\d\d──"), TYPED),
    ),
    Visit("a schedule", ScheduleScreen, DocumentView, (SCHEDULES, ("\r", "▌Latest fires"))),
    Visit("a new schedule", ScheduleForm, FormEntry, (SCHEDULES, ("n", "New schedule"))),
    Visit("the removal of a schedule", ChoiceScreen, None, (SCHEDULES, ("x", "┌─ Remove"))),
    Visit("history", HistoryScreen, Table, (("9", "▌By"),)),
    Visit(
        "the database",
        DatabaseScreen,
        DocumentView,
        ((":", "a command, a queue"), ("database\r", "Slow statements")),
    ),
    Visit("a flow", FlowScreen, Table, (*RUNNING, ("C", r"(?s)\A *Flow .*▌"))),
    Visit("usage", UsageScreen, DocumentView, (("U", r"(?s)Usage.*By queue"),)),
    Visit("what if", WhatIfScreen, DocumentView, (("I", r"(?s)What if.*Before and after"),)),
    Visit("operations", OperationsScreen, Table, (("O", r"(?s)\A *O Operations.*▌"),)),
    Visit(
        "an operation",
        OperationScreen,
        DocumentView,
        (("O", r"(?s)\A *O Operations.*▌"), ("\r", "Operations › ")),
    ),
    Visit("the keys", HelpScreen, None, (QUEUES, ("?", "┌─ Keys"))),
    Visit(
        "a help topic",
        TopicScreen,
        None,
        (QUEUES, (":", "┌─ Commands"), ("help tmux\r", "┌─ Help: tmux")),
    ),
    Visit(
        "the help topics",
        TopicListScreen,
        Input,
        (QUEUES, ("?", "┌─ Keys"), ("h", "┌─ Help topics")),
    ),
    Visit("the palette", PaletteScreen, Input, (QUEUES, (":", "┌─ Commands"))),
    Visit(
        "what was said",
        ItemListScreen,
        None,
        (QUEUES, (":", "┌─ Commands"), ("messages\r", "┌─ Recent messages")),
    ),
    Visit("the themes", ChoiceScreen, None, (QUEUES, ("T", "┌─ Theme"))),
    Visit("what is copied", ChoiceScreen, None, (*RUNNING, ("y", "┌─ Copy"))),
    Visit("the signals", ChoiceScreen, None, (*RUNNING, ("X", "┌─ Signal"))),
    Visit("the question before a cancel", ChoiceScreen, None, (*RUNNING, ("x", "┌─ Cancel"))),
)


POOL_DEFINITION = """
[pools.default]
total_cpu = 64
total_memory = "64G"
"""


class DeckDriver:
    """Deck on a terminal, and a client that keeps its home interesting."""

    def __init__(self, house: AcceptanceHome, client: Client, shown: Terminal) -> None:
        self.house, self.client, self.shown = house, client, shown
        self._broke_at = float("-inf")

    # Position

    @property
    def lines(self) -> list[str]:
        """Lines of the screen; cells not drawn since the last key are blank."""
        return [line.replace(BLANK, " ").rstrip() for line in self._read_cells(COLUMNS)]

    def _read_cells(self, columns: int, lines: Sequence[int] = range(ROWS)) -> list[str]:
        rows = (self.shown.screen.buffer[y] for y in lines)
        return ["".join(row[x].data for x in range(columns)) for row in rows]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def is_at(self, visit: Visit) -> bool:
        """Return true if the screen shows the place and no foreign dialog."""
        return re.search(visit.last_text, self.text) is not None and (
            visit.is_modal or "┌" not in self.text
        )

    def return_to(self, visit: Visit) -> None:
        """Return to a place from anywhere."""
        if not self.is_at(visit) and self._is_dialog_open():
            self._escape(visit)
        if (
            not self.is_at(visit)
            and len(visit.way) == 1
            and "▌" in self.text
            and not self._is_dialog_open()
        ):
            self._step(*visit.way[0])
        elif not self.is_at(visit):
            self._go_to(visit)

    def _escape(self, visit: Visit) -> None:
        """Close what takes all keys; later checks notice a failure."""
        self.shown.type(f"{encode_key('escape')}{FOCUS_REPORT}")
        with suppress(AssertionError):
            self.shown.wait(lambda _: self.is_at(visit) or not self._is_dialog_open(), 1)

    def _go_to(self, visit: Visit) -> None:
        """Go to a place from the deck; retry once if the row has changed its state on the way."""
        try:
            self._walk(visit, 2)
        except AssertionError:
            self._walk(visit, 5)

    def _walk(self, visit: Visit, patience: float) -> None:
        for _ in range(12):
            if self._is_plain_deck():
                break
            if self._is_dialog_open() or "▌" not in self.text or self._is_on_deck():
                self.press(["escape"], modal=True)
            else:
                self.shown.type("0").wait(lambda _: self._is_on_deck() or self._is_dialog_open(), 5)
        self.shown.type("0").wait(
            lambda _: self._is_plain_deck() and re.search(r"(?s)2 Pools.*▌(3|W|E) ", self.text), 5
        )
        for keys, shows in visit.way:
            self._step(keys, shows, patience)

    def _step(self, keys: str, shows: str, patience: float = 5) -> None:
        if shows:
            self.shown.type(keys).wait(lambda _: re.search(shows, self.text), patience)
        else:
            self._press_and_resize(keys)

    def _is_on_deck(self) -> bool:
        return self.lines[-1].endswith("q quit") and "┌" not in self.text

    def _is_plain_deck(self) -> bool:
        """Return true if the deck is on top with all rows and no open field."""
        return self._is_on_deck() and "▌" in self.text and not re.search(r"3 [A-Z].* /", self.text)

    # Keys

    def press(self, keys: Sequence[str], modal: bool) -> None:
        """Press keys and wait for the redraw."""
        if "ctrl+c" in keys and not modal:
            with suppress(AssertionError):
                self.shown.wait(
                    lambda _: False, max(0.0, self._broke_at + CTRL_C_WINDOW - time.monotonic())
                )
            self._broke_at = time.monotonic()
        typed = "".join(map(encode_key, keys))
        self._press_and_resize(typed) if modal else self._press_and_redraw(typed)

    def _press_and_redraw(self, keys: str) -> None:
        """Press keys and ctrl+l, which clears the terminal first.

        A focus report ends an escape before ctrl+l.
        """
        self.shown.wait(lambda _: self._is_intact(COLUMNS), 5)
        at = len(self.shown.raw)
        self.shown.type(f"{keys}{FOCUS_REPORT}\x0c")
        self.shown.wait(
            lambda t: (
                (b"\x1b[2J" in t.raw[at:] and self._is_within_width() or self._is_dialog_open())
                and self._is_intact(COLUMNS)
            ),
            5,
        )

    def _is_dialog_open(self) -> bool:
        """Return true if a dialog or form is open, which ignores ctrl+l."""
        return "┌" in self.text or re.search("ctrl.j s|y save", self.lines[-1]) is not None

    def _press_and_resize(self, keys: str) -> None:
        """Press keys and report one more column, which redraws everything; then undo the resize."""
        self.shown.wait(lambda _: self._is_intact(COLUMNS), 5)
        for row in map(self.shown.screen.buffer.__getitem__, range(ROWS)):
            row.update(dict.fromkeys(range(COLUMNS + 1), NOT_DRAWN))
        self.shown.type(f"{keys}{format_size_report(COLUMNS + 1)}")
        self.shown.wait(
            lambda _: (
                not any(BLANK in line for line in self._read_cells(COLUMNS + 1))
                and self._is_intact(COLUMNS + 1)
            ),
            5,
        )
        self.shown.type(format_size_report(COLUMNS))

    def await_question(self, visit: Visit) -> None:
        """Wait briefly for the question, or its refusal, that a slow key opens."""
        before = self.lines[-2]
        with suppress(AssertionError):
            self.shown.wait(
                lambda _: "┌" in self.text or not self.is_at(visit) or self.lines[-2] != before, 0.3
            )

    # Checks

    def _is_intact(self, columns: int) -> bool:
        """Return true if the first line ends with the clock and the last line shows the keys."""
        first, last = (
            line.rstrip(f"{BLANK} ") for line in self._read_cells(COLUMNS + 1, (0, ROWS - 1))
        )
        ends = len(first) == columns - 1 and re.search(r"\d\d:\d\d$", first)
        return bool(ends) and re.search("help|esc|quit|back", last) is not None

    def _is_within_width(self) -> bool:
        """Return true if nothing was drawn beyond the width since the last clear."""
        return not any(row[COLUMNS:].strip(f"{BLANK} ") for row in self._read_cells(COLUMNS + 1))

    def check_alive(self) -> None:
        """Check that the deck runs, logged no error and wrote no traceback."""
        assert not self.shown.is_ended_unread(0), self.text
        assert b"Traceback" not in self.shown.raw, self.text
        log = self.house.home / "run" / "deck.log"
        assert not log.exists() or not log.read_text(), log.read_text()

    # The home

    def restore_home(self) -> None:
        """Resume what keys have paused or disabled, and make sure that a task waits."""
        board = self.client.call("board", {})
        for kind in ("queue", "pool"):
            for line in board[f"{kind}s"]:
                if line["status"] != "active":
                    self.client.call(f"{kind}.resume", {"name": line["name"]})
        if paused := [line["uuid"] for line in board["running"] if line["status"] == "paused"]:
            self.client.call("resume", {"ids": paused})
        if sum(line["status"] == "queued" for line in board["next"]) < 2:
            submit_script(self.client, "encode more", RUNNING_SCRIPT, queue="media")
            submit_script(self.client, "encode again", RUNNING_SCRIPT, queue="media")
        others = [
            line["uuid"]
            for line in (*board["running"], *board["next"])
            if line["name"] not in OWN_TASKS
        ]
        if others:
            self.client.call("cancel", {"ids": others})
        if not any(line["status"] == "failed" for line in board["ended"]):
            submit_failing(self.client)
        self.client.call("template.retire", {"name": "greet", "back": True})
        self.client.call("sla.set", {"name": "encode-in-time", "enabled": True})
        restore_schedule(self.client)


def restore_schedule(client: Client) -> None:
    """Create or resume the schedule, and make sure that it has a task to show."""
    found = {row["name"]: row for row in client.call("schedule.ls")}
    if "greeting" not in found:
        args = {"name": "greeting", "cron": "0 0 1 1 *", "argv": ["true"], "env": {}}
        client.call("schedule.create", args)
    if not found.get("greeting", {}).get("fires"):
        client.call("schedule.run", {"name": "greeting"})
    client.call("schedule.resume", {"name": "greeting"})


def set_up_home(house: AcceptanceHome, client: Client) -> None:
    """Create a template, a rule, and tasks in several states."""
    house.run_ok("apply", "-f", "-", input=DEFINITIONS + POOL_DEFINITION)
    submit_failing(client)
    submit_script(client, "sweep-06", RUNNING_SCRIPT, queue="gpu", memory=600, stdin=True)
    submit_script(client, "encode one", RUNNING_SCRIPT, queue="media", stdin=True)
    submit_script(client, "report", "true", after=[2])
    submit_script(client, "later", "true", hold=True)
    restore_schedule(client)


def submit_failing(client: Client) -> None:
    """Submit a task that fails, and wait for its end."""
    number = submit_script(client, "thumbs S02", FAILING_SCRIPT, queue="night")
    client.call("wait", {"ids": [number], "timeout": 20.0})


def submit_script(client: Client, name: str, script: str, **more: Any) -> str:
    """Submit a task that runs a script and return its number."""
    task = {"argv": ["sh", "-c", script], "name": name, **more}
    env = {"PATH": "/usr/bin:/bin"}
    done = client.call(
        "submit", {"tasks": [task], "uuid": make_uuid7(), "cwd": "/", "umask": 0o022, "env": env}
    )
    return str(done[0]["number"])


@pytest.fixture(scope="module")
def deck() -> Iterator[DeckDriver]:
    """Yield one deck for all keys."""
    with open_deck() as found:
        yield found


@contextmanager
def open_deck() -> Iterator[DeckDriver]:
    """Open a home with a firing alert and a deck on it."""
    with open_home() as house, closing(Client(house.home)) as client:
        set_up_home(house, client)
        with house.open_terminal(columns=COLUMNS, rows=ROWS) as shown:
            shown.screen.resize(ROWS, COLUMNS + 1)
            shown.wait("encode one").wait("firing")
            yield DeckDriver(house, client, shown)


@contextmanager
def add_failure_note(what: str) -> Iterator[None]:
    """Add a note to a failed assertion."""
    try:
        yield
    except AssertionError as error:
        error.add_note(what)
        raise


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.name.replace(" ", "-"))
def test_every_key_keeps_the_deck_alive_and_its_screen_intact(deck: DeckDriver, visit: Visit):
    press_all(deck, visit)


EFFECTS = (
    *((ALERT, *pair) for pair in (
        ("A", "Acknowledge .*encode"), ("s", "┌─ Silence"), ("m", "New silence"),
        ("f", "resolved"), ("l", "frame"), ("w", "encode one"), ("n", "New rule"),
        ("N", "New rule › def"), ("e", "Edit rule encode-in-time"), ("t", "encode-in-time › def"),
        ("D", "┌─ Delete"), ("y", "Copied the line"), ("enter", "Deck › #|Alerts.* › #"),
        ("a", "acked"), ("p", " off"),
    )),
    *(((SCHEDULES,), *pair) for pair in (
        ("t", r"──\d\d──"), ("p", "paused"), ("n", "New schedule"), ("e", "Edit schedule greeting"),
        ("x", "┌─ Remove"), ("s", "Skips"), ("r", "Submitted a task"), ("enter", "▌Latest fires"),
    )),
)  # fmt: skip
"""(way, key, pattern) of the keys of alerts, rules and schedules that the topic `keys` explains."""


@pytest.mark.parametrize(
    ("way", "key", "shows"), EFFECTS, ids=lambda part: part if isinstance(part, str) else ""
)
def test_a_key_does_what_its_help_says(
    deck: DeckDriver, way: tuple[tuple[str, str], ...], key: str, shows: str
):
    screen = AlertsScreen if way is ALERT else SchedulesScreen
    deck.restore_home()
    with add_failure_note(f"after {key} on {screen.__name__}, which is to show {shows}"):
        deck.return_to(Visit("", screen, Table, way))
        before = deck.text
        deck.shown.type(encode_key(key))
        deck.shown.wait(lambda _: deck.text != before and re.search(shows, deck.text), 10)
        deck.check_alive()


def press_all(deck: DeckDriver, visit: Visit, once: bool = False) -> None:
    """Press every key of a place, each from a fresh visit, and check the deck after each."""
    deck.restore_home()
    for keys in visit.group_keys(once):
        with add_failure_note(
            f"after {' '.join(keys)} on {visit.name}, which is in {visit.screen.__name__}"
        ):
            deck.return_to(visit)
            deck.press(keys, visit.is_modal)
            if keys[0] in SLOW_KEYS:
                deck.await_question(visit)
            deck.check_alive()
