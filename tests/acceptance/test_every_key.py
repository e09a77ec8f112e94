"""Every key that is bound on every screen, pressed on a real terminal of 80x24 in a home where something runs, waits, is held and failed.

The keys are read from the bindings. After each of them the deck has to have drawn again what is there: ctrl+l is obeyed behind the
key, or, where a dialog takes all keys, a size that the terminal reports behind it. Questions are answered with escape.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any, NamedTuple

import pytest
from textual._xterm_parser import XTermParser
from textual.dom import DOMNode
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input, TextArea

from app.client import Client
from app.core.ids import uuid7
from app.tui.app import TaskdeckApp
from app.tui.doc import Doc
from app.tui.filterline import FilterLine
from app.tui.form import Choice, Pick, PickScreen, Slot, Tick
from app.tui.keymap import all_nodes, merged
from app.tui.logline import TypedLine
from app.tui.logview import LogView
from app.tui.parameterfields import ParameterFields
from app.tui.screens.alerts import AlertsScreen
from app.tui.screens.ask import AskScreen
from app.tui.screens.choice import ChoiceScreen
from app.tui.screens.deck import DeckScreen
from app.tui.screens.edit import EditScreen
from app.tui.screens.editor import EditorScreen, ReviewScreen
from app.tui.screens.help import HelpScreen
from app.tui.screens.history import HistoryScreen
from app.tui.screens.log import LogScreen
from app.tui.screens.operations import OperationScreen, OperationsScreen
from app.tui.screens.palette import PaletteScreen
from app.tui.screens.submit import SubmitScreen
from app.tui.screens.task import TaskScreen
from app.tui.screens.tasks import TasksScreen
from app.tui.screens.templates import TemplatesScreen
from app.tui.screens.why import WhyScreen
from app.tui.table import Table
from tests.acceptance.conftest import opened
from tests.acceptance.house import House
from tests.acceptance.terminal import Terminal
from tests.acceptance.test_jobs import DEFINITIONS, FAILS, RUNS

COLUMNS, ROWS = 80, 24
TWICE = 2.2
"""Seconds after which a second ctrl+c does not leave."""
BLANK = "\0"
"""What a cell holds that was not drawn since the last key."""
FOCUS = "\x1b[I"
"""What a terminal reports when its window is looked at; behind an escape it says that the key is over."""
NOT_PRESSED = {"ctrl+q", "S"}
"""What leaves the deck, and what starts a runtime."""
LATE = frozenset({"x", "R", "s"})
"""Keys whose question may wait for the runtime's answer."""
LAST = ("tab", "shift+tab", "down", "up", "enter", "ctrl+enter", "ctrl+j", "D", "p", "x")
"""Pressed after the others, which then have the field or the row that they are for."""

_NAMED = {
    "escape": "\x1b", "enter": "\r", "tab": "\t", "shift+tab": "\x1b[Z", "space": " ", "backspace": "\x7f", "delete": "\x1b[3~",
    "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[H", "end": "\x1b[F", "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~", "f1": "\x1bOP", "f6": "\x1b[17~", "f7": "\x1b[18~",
    "question_mark": "?", "colon": ":", "slash": "/", "plus": "+",
    "equals_sign": "=", "minus": "-", "asterisk": "*", "comma": ",", "full_stop": ".", "semicolon": ";", "greater_than_sign": ">",
    "less_than_sign": "<", "fullwidth_solidus": "／", "fullwidth_question_mark": "？", "fullwidth_colon": "：",
}  # fmt: skip
_HELD = {"shift": 1, "alt": 2, "ctrl": 4, "super": 8}
_ARROWS = {"up": "1{}A", "down": "1{}B", "right": "1{}C", "left": "1{}D", "end": "1{}F", "home": "1{}H",
           "delete": "3{}~", "pageup": "5{}~", "pagedown": "6{}~"}  # fmt: skip
_CODES = {"enter": 13, "backspace": 127}


def sent(key: str) -> str:
    """The bytes of a key, as terminals send it; those that only the newer protocol knows in its form."""
    if key in _NAMED or len(key) == 1:
        return _NAMED.get(key, key)
    *held, bare = key.split("+")
    holding = 1 + sum(_HELD[name] for name in held)
    if bare in _ARROWS:
        return f"\x1b[{_ARROWS[bare].format(f';{holding}')}"
    if held == ["ctrl"] and len(bare) == 1:
        return chr(ord(bare) & 0x1F)
    return f"\x1b[{_CODES.get(bare) or ord(bare)};{holding}u"


class Visit(NamedTuple):
    """A place: its name, its screen, what has the focus there, and the way to it from the deck: keys, and what each then shows."""

    name: str
    screen: type[Screen]
    focus: type[Widget] | None
    way: tuple[tuple[str, str], ...]

    @property
    def modal(self) -> bool:
        """Whether it keeps all keys for itself."""
        return issubclass(self.screen, ModalScreen)

    @property
    def shows(self) -> str:
        """What its last step shows."""
        return next(shows for _, shows in reversed(self.way) if shows)

    def bound(self) -> list[str]:
        """All keys that are bound here, each once."""
        nodes: list[type[DOMNode]] = [self.screen, *([self.focus] if self.focus else []), *([] if self.modal else [TaskdeckApp])]
        found = dict.fromkeys(binding.key for node in nodes for binding in merged(node))
        pressed = [key for key in found if key not in NOT_PRESSED and not (key == "q" and self.screen is DeckScreen)]
        return sorted(pressed, key=lambda key: LAST.index(key) if key in LAST else -1)


QUEUES = ("1", "▌1 Queues")
RUNNING = (QUEUES, ("3", "▌(3|Next|Just)"), ("g", "▌3 Running"))
WAITING = (*RUNNING, ("3", "▌Next"))
TASKS = ("5", "▌Tasks")
TYPED = ("/", r"\A[^▌]*\Z")
TEMPLATES = ("6", "▌Templates")
LOG = (*RUNNING, ("l", "following"))
FORM = ("n", r"Command +\[")
EDIT = (*WAITING, ("e", r"(?s)Edit #.*cores"))
EDITOR = (TEMPLATES, ("e", r"(?s)greet › definition.*engine ="))
VISITS = (
    Visit("the work", DeckScreen, Table, RUNNING),
    Visit("the queues", DeckScreen, Table, (QUEUES,)),
    Visit("the pools", DeckScreen, Table, (("2", "▌2 Pools"),)),
    Visit("the alerts of the deck", DeckScreen, Table, (("4", "▌4 SLA"),)),
    Visit("the filter of the deck", DeckScreen, FilterLine, (QUEUES, TYPED)),
    Visit("all tasks", TasksScreen, Table, (TASKS,)),
    Visit("the filter of all tasks", TasksScreen, FilterLine, (TASKS, TYPED)),
    Visit("the order", ChoiceScreen, None, (TASKS, ("o", "┌ Order"))),
    Visit("the columns", ChoiceScreen, None, (TASKS, ("i", "┌ Columns"))),
    Visit("the views", ChoiceScreen, None, (TASKS, ("V", "┌ Views"))),
    Visit("the name of a view", AskScreen, Input, (TASKS, ("V", "┌ Views"), ("s", "┌─ Save this view"))),
    Visit("a task that runs", TaskScreen, Doc, (*RUNNING, ("\r", r"(?s)Deck › #.*━▌Now"))),
    Visit("a task that waits", TaskScreen, Doc, (*WAITING, ("\r", r"(?s)Deck › #.*Why it waits"))),
    Visit("a task that ended", TaskScreen, Doc, (("F", r"(?m)^› .*✗"), ("\r", r"(?s)Deck › #.*How it ended"))),
    Visit("the log of what runs", LogScreen, LogView, LOG),
    Visit("the log of what failed", LogScreen, LogView, (("F", r"(?m)^› .*✗"), ("l", "no such file"))),
    Visit("the search in a log", LogScreen, TypedLine, (*LOG, ("/", "esc as before"))),
    Visit("the path of a log", LogScreen, TypedLine, (*LOG, ("s", "Save as:"))),
    Visit("why it waits", WhyScreen, Doc, (*WAITING, ("w", "opens the task"))),
    Visit("a new task", SubmitScreen, Input, (*RUNNING, FORM)),
    Visit("what a new task runs", SubmitScreen, Choice, (*RUNNING, FORM, ("\x1b[Z", ""))),
    Visit("the queue of a new task", SubmitScreen, Pick, (*RUNNING, FORM, ("\t\t\t", ""))),
    Visit("the hold of a new task", SubmitScreen, Tick, (*RUNNING, FORM, ("\x1b[Z\x1b[Z", ""))),
    Visit("a new task of a template", SubmitScreen, ParameterFields, (TEMPLATES, ("\r", "▌Parameters"))),
    Visit("the templates", TemplatesScreen, Table, (TEMPLATES,)),
    Visit("the text of a template", EditorScreen, TextArea, EDITOR),
    Visit("the review of a text", ReviewScreen, Doc, (*EDITOR, ("\x1b[B\x1b[B\x1b[B", ""), ("\x1b[F\x1b[Dx", r'x"'), ("\n", "┌"))),
    Visit("alerts and rules", AlertsScreen, Table, (("7", "7 Alerts and SLAs"),)),
    Visit("the rules", AlertsScreen, Table, (("7", "7 Alerts and SLAs"), ("\t", ""))),
    Visit("a new rule", EditScreen, Slot, (("7", "7 Alerts and SLAs"), ("n", "New rule"))),
    Visit("the silence of a rule", ChoiceScreen, None, (("7", "7 Alerts and SLAs"), ("s", "┌ Silence"))),
    Visit("a task that is edited", EditScreen, Slot, EDIT),
    Visit("the choice of a queue", EditScreen, Pick, (*EDIT, ("\t", ""))),
    Visit("the list of queues", PickScreen, None, (*EDIT, ("\t", ""), ("\r", "┌"))),
    Visit("a new queue", EditScreen, Slot, (QUEUES, ("n", "New queue"))),
    Visit("history", HistoryScreen, Table, (("9", "▌By"),)),
    Visit("operations", OperationsScreen, Table, (("O", "▌Operations"),)),
    Visit("an operation", OperationScreen, Doc, (("O", "▌Operations"), ("\r", "Operations › "))),
    Visit("the keys", HelpScreen, None, (QUEUES, ("?", "Digits go places"))),
    Visit("the palette", PaletteScreen, Input, (QUEUES, (":", "▌Commands"))),
    Visit("the themes", ChoiceScreen, None, (QUEUES, ("T", "┌ Theme"))),
    Visit("what is copied", ChoiceScreen, None, (*RUNNING, ("y", "┌ Copy"))),
    Visit("the signals", ChoiceScreen, None, (*RUNNING, ("X", "┌ Signal"))),
    Visit("the question before a cancel", ChoiceScreen, None, (*RUNNING, ("x", "┌ Cancel"))),
)  # fmt: skip


class Deck:
    """The deck on a terminal, and the client that keeps what it shows worth pressing keys on."""

    def __init__(self, house: House, client: Client, shown: Terminal) -> None:
        self.house, self.client, self.shown = house, client, shown
        self.columns = COLUMNS
        self._broke_at = float("-inf")

    # Where one is

    @property
    def lines(self) -> list[str]:
        """The screen as wide as the deck takes it to be, what was not drawn since the last key as blanks."""
        return [line[: self.columns].replace(BLANK, " ").rstrip() for line in self.shown.lines]

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines)

    def is_at(self, visit: Visit) -> bool:
        """Whether the screen shows what the way to a place ends with, and no box that is not its own."""
        return re.search(visit.shows, self.text) is not None and (visit.modal or "┌" not in self.text)

    def come_back(self, visit: Visit) -> None:
        """From wherever a key has led to."""
        if not self.is_at(visit):
            self.press("escape", modal=True)
        if not self.is_at(visit):
            self._go(visit)

    def _go(self, visit: Visit) -> None:
        for _ in range(12):
            if not self._whole():
                self.press("escape", modal=True)
        self.shown.type("0").wait(lambda _: self._whole() and "2 Pools" in self.text, 5)
        for keys, shows in visit.way:
            self._step(keys, shows)

    def _step(self, keys: str, shows: str) -> None:
        if shows:
            self.shown.type(keys).wait(lambda _: re.search(shows, self.text), 5)
        else:
            self._draw_at_another_size(keys)

    def _whole(self) -> bool:
        """Whether the deck is on top, as of now and with all its rows."""
        return self.lines[-1].endswith("q quit") and "▌" in self.text and "┌" not in self.text and not re.search(r"3 [A-Z].* /", self.text)

    # Keys

    def press(self, key: str, modal: bool) -> None:
        """A key, obeyed, and what is then drawn."""
        if key == "ctrl+c" and not modal:
            with suppress(AssertionError):
                self.shown.wait(lambda _: False, max(0.0, self._broke_at + TWICE - time.monotonic()))
            self._broke_at = time.monotonic()
        if modal:
            self._draw_at_another_size(sent(key))
        else:
            self._draw_again(sent(key))

    def _draw_again(self, keys: str) -> None:
        """Press keys and ctrl+l, which clears the terminal first; a focus report ends an escape before it."""
        at = len(self.shown.raw)
        self.shown.type(f"{keys}{FOCUS}\x0c")
        self.shown.wait(lambda t: (b"\x1b[2J" in t.raw[at:] and self._is_within() or self._takes_all()) and self._is_intact(), 5)

    def _takes_all(self) -> bool:
        """Whether a dialog or a form is open, which hears no ctrl+l."""
        return "┌" in self.text or "ctrl+j s" in self.lines[-1]

    def _draw_at_another_size(self, keys: str) -> None:
        """Press keys and report another size: all is drawn anew."""
        self.columns = 2 * COLUMNS + 1 - self.columns
        for y in range(ROWS):
            row = self.shown.screen.buffer[y]
            for x in range(COLUMNS + 1):
                row[x] = row[x]._replace(data=BLANK)
        self.shown.type(f"{keys}\x1b[48;{ROWS};{self.columns};0;0t")
        self.shown.wait(lambda t: not any(BLANK in line[: self.columns] for line in t.lines) and self._is_intact(), 5)

    def await_question(self, visit: Visit) -> None:
        """A key of `LATE` may open a question, or say why it does not, a moment later."""
        before = self.lines[-2]
        with suppress(AssertionError):
            self.shown.wait(lambda _: "┌" in self.text or not self.is_at(visit) or self.lines[-2] != before, 0.3)

    # What must hold

    def _is_intact(self) -> bool:
        """The header, which ends with the clock, in the first line, the keys in the last."""
        first, *_, last = self.lines
        return re.search(r"\d\d:\d\d$", first) is not None and re.search(r"help|esc|quit|back", last) is not None

    def _is_within(self) -> bool:
        """Whether nothing stands beyond the width, since the terminal was cleared."""
        return all(len(line) <= self.columns for line in self.shown.lines)

    def check(self) -> None:
        """The deck lives, nothing failed in it, and no traceback reached the terminal."""
        assert os.waitid(os.P_PID, self.shown.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None, self.text
        assert b"Traceback" not in self.shown.raw, self.text
        log = self.house.home / "run" / "deck.log"
        assert not log.exists() or not log.read_text(), log.read_text()

    # The home

    def mend(self) -> None:
        """What keys have paused or switched off goes on, and something waits."""
        board = self.client.call("board", {})
        for kind in ("queue", "pool"):
            for line in board[f"{kind}s"]:
                if line["status"] != "active":
                    self.client.call(f"{kind}.resume", {"name": line["name"]})
        if paused := [line["uuid"] for line in board["running"] if line["status"] == "paused"]:
            self.client.call("resume", {"ids": paused})
        if sum(line["status"] == "queued" for line in board["next"]) < 2:
            submit(self.client, "encode more", RUNS, queue="media")
            submit(self.client, "encode again", RUNS, queue="media")
        self.client.call("sla.set", {"name": "encode-in-time", "enabled": True})


def furnish(house: House, client: Client) -> None:
    """A template, a rule, and tasks: one failed, two run, one waits for another, one is held."""
    house.ok("apply", "-f", "-", input=DEFINITIONS)
    submit(client, "thumbs S02", FAILS, queue="night")
    client.call("wait", {"ids": ["1"], "timeout": 20.0})
    submit(client, "sweep-06", RUNS, queue="gpu", memory=600)
    submit(client, "encode one", RUNS, queue="media")
    submit(client, "report", "true", after=[2])
    submit(client, "later", "true", hold=True)


def submit(client: Client, name: str, script: str, **more: Any) -> None:
    """A new task that runs a script."""
    task = {"argv": ["sh", "-c", script], "name": name, **more}
    env = {"PATH": "/usr/bin:/bin"}
    client.call("submit", {"tasks": [task], "uuid": uuid7(), "cwd": "/", "umask": 0o022, "env": env})


@pytest.fixture(scope="module")
def deck() -> Iterator[Deck]:
    """One home and one deck for all keys; the alert fires."""
    with opened() as house, closing(Client(house.home)) as client:
        furnish(house, client)
        with house.terminal(columns=COLUMNS, rows=ROWS) as shown:
            shown.screen.resize(ROWS, COLUMNS + 1)
            shown.wait("encode one").wait("firing")
            yield Deck(house, client, shown)


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.name.replace(" ", "-"))
def test_every_key_of_a_screen_leaves_the_deck_alive_and_the_screen_whole(deck: Deck, visit: Visit):
    deck.mend()
    for key in visit.bound():
        deck.come_back(visit)
        deck.press(key, visit.modal)
        if key in LATE:
            deck.await_question(visit)
        deck.check()


def test_no_screen_with_keys_is_left_out():
    visited = {node for visit in VISITS for node in (visit.screen, visit.focus)}
    inner = {base for node in visited if node for base in node.__mro__[1:]}

    left_out = {node.__name__ for node in all_nodes() if node not in visited | inner | {TaskdeckApp}}

    assert left_out == {"AwayScreen"}  # nothing but a new start leads there


@pytest.mark.parametrize("key", sorted({key for visit in VISITS for key in visit.bound()}))
def test_a_key_is_sent_as_the_deck_reads_it(key: str):
    read = [event for event in XTermParser().feed(sent(key) + FOCUS) if isinstance(event, Key)]

    assert [event.key for event in read] == [key] or key in read[0].aliases
