"""The verbs of the deck: keys on the row that was drawn under the cursor, or on the marks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.binding import Binding, BindingType
from textual.screen import Screen

from app.core.board import AlertLine, Board, EndedLine, NextLine, PoolLine, QueueLine, RunningLine
from app.core.text import units
from app.core.text.sanitize import middle
from app.tui.actions import queues_pools
from app.tui.actions import tasks as action_tasks
from app.tui.actions.confirmations import ask_again, ask_cancel, ask_delete, dependants, left_out
from app.tui.actions.tasks import Deed, TaskRow, Unfit
from app.tui.data.call_queue import VerbClient
from app.tui.panes.pools import PoolRow
from app.tui.screens.dialogs.choice import Answer, ChoiceScreen, Question
from app.tui.state.row_changes import FRESH, Changes
from app.tui.style import STATES, STRANGE, Span
from app.tui.widgets.banner import needs_room
from app.tui.widgets.table import Table

if TYPE_CHECKING:
    from app.tui.app import TaskdeckApp

SIGNALS = (
    ("t", "TERM", "ask it to end"),
    ("k", "KILL", "end it at once; work is lost"),
    ("i", "INT", "as ctrl+c would"),
    ("h", "HUP", "often: read the configuration again"),
    ("1", "USR1", "whatever it means to the program"),
    ("2", "USR2", "whatever it means to the program"),
    ("s", "STOP", "stand still"),
    ("c", "CONT", "go on"),
)


class DeckVerbs(Screen[None]):
    """What the deck screen does with rows. The screen gives `table`, `changes` and `deck`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "Log", id="task.log"),
        Binding("w", "why", "Why it waits, or ended so", id="task.why"),
        Binding("x", "cancel", "Cancel", id="task.cancel"),
        Binding("X", "signal", "Choose a signal", id="task.signal"),
        Binding("p", "pause", "Pause, continue, hold, release; queues too", id="task.pause"),
        Binding("r", "again", "Run again", id="task.again"),
        Binding("R", "edit_again", "The filled form, to run it again", id="task.edit-again"),
        Binding("e", "edit", "Edit: queue, cpu, memory, timeout, …", id="task.edit"),
        Binding("t", "front", "To the front of its queue", id="task.front"),
        Binding("plus,equals_sign", "priority(1)", "Priority up", id="task.priority-up"),
        Binding("minus", "priority(-1)", "Priority down", id="task.priority-down"),
        Binding("y", "copy", "Copy: number, command, log", id="task.copy"),
        Binding("D", "delete", "Delete what has ended", id="task.delete"),
        Binding("a", "acknowledge", "Acknowledge", id="alert.acknowledge"),
        Binding("s", "silence", "Silence the rule of an alert", id="alert.silence"),
        Binding("u", "app.undo", "Undo the last thing", id="deck.undo"),
    ]
    changes: Changes
    _told: tuple[str, Span | None] | None = None
    """What was said of a queue or pool, behind its key."""

    @property
    def deck(self) -> TaskdeckApp:
        """The app."""
        return cast("TaskdeckApp", self.app)

    @property
    def table(self) -> Table:
        """The pane that has the focus."""
        raise NotImplementedError

    # The rows a key means

    def _rows(self) -> list[Any]:
        """The marks or the row under the cursor; raises Unfit when one changed its state a moment ago, or nothing may be changed."""
        if refusal := self.deck.refusal:
            raise Unfit(refusal)
        now, table = self.deck.ticks(), self.table
        rows = table.chosen()
        if not table.marks and now - table.jumped_at < FRESH:
            raise Unfit("The row under the cursor went away just now. Look, and press again.")
        for row in rows:
            if state := self.changes.just_now(row.key, now):
                sign = STATES.get(state, STRANGE)
                word = sign.word if state in STATES else state
                raise Unfit(f"{_short_name(row)} has changed just now ({word}). Look, and press again.")
        return rows

    def _do(self, make: Callable[[], Sequence[Deed]], again: bool = False) -> None:
        """Do it. The marks are for one verb, but for one that is given `again` and again."""
        try:
            self.deck.do(make())
        except Unfit as unfit:
            self.deck.unfit(unfit)
        else:
            # The runtime may have answered behind the screen's back.
            for table in () if again else self.query(Table):
                table.clear_marks()

    def _ask(self, make: Callable[[], Question | None], act: Callable[[str], None]) -> None:
        """Open a dialog when there is a question; `act` gets the letter of any answer but the safe one. None opens over another
        screen."""
        if self.app.screen is not self:
            self.deck.say("The answer came late, so nothing was done. Press again.", "warn")
            return
        if self.deck.refuses():
            return
        try:
            question = make()
        except Unfit as unfit:
            self.deck.unfit(unfit)
            return
        if question is None:
            act("y")
        else:
            self.app.push_screen(ChoiceScreen(question), lambda key: act(key) if key else None)

    # Verbs that ask nothing

    def action_pause(self) -> None:
        """Pause, hold, or undo that."""
        self._do(lambda: action_tasks.pause(self._rows()))

    def action_front(self) -> None:
        """To the front."""
        self._do(lambda: action_tasks.front(action_tasks.task_rows(self._rows())))

    def action_priority(self, by: int) -> None:
        """Up or down by one."""
        self._do(lambda: self._other_priority(self._rows(), by), again=True)

    def _other_priority(self, rows: Sequence[Any], by: int) -> list[Deed]:
        asked = self.deck.asked_priorities
        if places := queues_pools.places(rows):
            return queues_pools.priority(places, by, asked)
        return action_tasks.priority(action_tasks.task_rows(rows), by, asked)

    def action_acknowledge(self) -> None:
        """Acknowledge alerts."""
        self._do(lambda: action_tasks.acknowledge(self._rows()))

    def action_silence(self) -> None:
        """Ask how long not to hear of the rule behind the alert."""
        line = self.table.item
        if not isinstance(line, AlertLine):
            self.deck.say("s silences the rule of an alert; there is none under the cursor.", "warn")
            return
        self._read_first(lambda client: client.call("sla.show", {"name": line.sla}), self._ask_silence)

    def _read_first(self, work: Callable[[VerbClient], Any], opens: Callable[[Any, Exception | None], None]) -> None:
        """Read what a screen is opened with, by `opens`; what is typed meanwhile is for that screen."""

        def have(found: Any, error: Exception | None) -> None:
            if came.is_set():  # it was waited for in vain
                return
            came.set()
            opens(found, error)
            if self.app.screen is self:
                self.deck.nothing_comes()

        came = self.deck.coming = asyncio.Event()
        self.deck.questions.run_with(work, lambda found, error: self.call_later(have, found, error))

    def _ask_silence(self, found: Mapping[str, Any] | None, error: Exception | None) -> None:
        if error or found is None:
            self.deck.say(self.deck.look.theirs(str(error)), "warn")
            return
        from app.tui.actions import rules
        from app.tui.rows.rules import rule_row
        from app.tui.screens.rule_form import SilenceScreen

        rule = rule_row(found)

        def act(key: str) -> None:
            if key == "o":
                self.app.push_screen(SilenceScreen(self.deck.client_factory, rule))
            else:
                self._do(lambda: rules.unsilence([rule]) if key == "e" else rules.silence([rule], rules.SPANS[key]))

        self._ask(lambda: rules.ask_silence([rule], self.deck.look), act)

    # Verbs that ask

    def action_cancel(self) -> None:
        """Cancel; what runs, or what others depend on, only after a question that names it and them."""
        try:
            rows = action_tasks.task_rows(self._rows())
            action_tasks.cancel(rows)
        except Unfit as unfit:
            self.deck.unfit(unfit)
            return
        active = [row for row in rows if isinstance(row, (RunningLine, NextLine))]
        self.deck.details([row.uuid for row in active], lambda found: self._ask_cancel(active, found))

    def _ask_cancel(self, rows: Sequence[TaskRow], details: Sequence[Mapping[str, Any]]) -> None:
        if not any(isinstance(row, RunningLine) for row in rows) and not dependants(rows, details):
            self._do(lambda: action_tasks.cancel(rows))
            return

        def act(key: str) -> None:
            chosen = [row for row in rows if isinstance(row, NextLine)] if key == "e" else rows
            self._do(lambda: action_tasks.cancel(chosen))

        self._ask(lambda: ask_cancel(rows, details, self.deck.now(), self.deck.look), act)

    def action_again(self) -> None:
        """Run again; what succeeded asks, and more than one."""
        self._settled(lambda rows: action_tasks.again(rows, self.deck.ends_asked_again), ask_again, self._asked_again)

    def _asked_again(self, rows: Sequence[TaskRow]) -> None:
        self.deck.asked_again |= {row.uuid: (row.ended_at, inf) for row in rows if isinstance(row, EndedLine)}

    def action_delete(self) -> None:
        """Delete, asks always."""
        if queues_pools.places(self.table.chosen()):
            self._delete_places()
            return
        self._settled(action_tasks.delete, ask_delete)

    def _delete_places(self) -> None:
        places: list[queues_pools.Place] = []

        def make() -> Question:
            places.extend(queues_pools.places(self._rows()))
            return queues_pools.ask_delete(places, self.deck.look)

        self._ask(make, lambda key: self._do(lambda: queues_pools.delete(places)))

    def _settled(
        self,
        verb: Callable[[Sequence[TaskRow]], list[Deed]],
        ask: Callable[..., Question | None],
        note: Callable[[Sequence[TaskRow]], None] = lambda rows: None,
    ) -> None:
        """Ask, where there is a question, and do it; `note` is told of the rows when it is done."""

        def make() -> Question | None:
            rows.extend(action_tasks.task_rows(self._rows()))
            verb(rows)
            return ask(rows, self.deck.look)

        def act(key: str) -> None:
            self._do(lambda: verb(rows))
            note(rows)

        rows: list[TaskRow] = []
        self._ask(make, act)

    def action_signal(self) -> None:
        """Choose a signal for the running ones."""
        rows: list[TaskRow] = []

        def make() -> Question:
            rows.extend(action_tasks.task_rows(self._rows()))
            action_tasks.signal(rows, int(signal.SIGTERM), "TERM")
            answers = [*(Answer(key, f"{name:5} {does}") for key, name, does in SIGNALS), Answer("n", "nothing")]
            running = [row for row in rows if isinstance(row, RunningLine)]
            left = left_out(len(rows) - len(running), "not running")
            body = [[(f"Send a signal to {_names(running, self.deck.look.theirs)}", "")], *left]
            return Question("Signal", body, answers, safe="n", column=True)

        def act(key: str) -> None:
            name = next(name for letter, name, _ in SIGNALS if letter == key)
            self._do(lambda: action_tasks.signal(rows, int(getattr(signal, f"SIG{name}")), name))

        self._ask(make, act)

    def action_edit(self) -> None:
        """The form for the row, or for the marked tasks together."""
        from app.tui.screens.edit_form import edit_screen

        if self.deck.refuses():
            return
        try:
            self.app.push_screen(edit_screen(self.deck.client_factory, self._rows()))
        except Unfit as unfit:
            self.deck.unfit(unfit)

    def action_edit_again(self) -> None:
        """The form for a new task, filled with this one."""
        rows = action_tasks.task_rows([self.table.item])
        if self.deck.refuses():
            return
        if not rows:
            self.deck.say("R fills the form with a task; there is none under the cursor.", "warn")
            return
        self._read_first(lambda client: client.call("show", {"id": rows[0].uuid}), self._open_form)

    def _open_form(self, task: Mapping[str, Any] | None, error: Exception | None) -> None:
        if error or task is None:
            self.deck.say(self.deck.look.theirs(str(error)), "warn")
        elif self.app.screen is self:
            self.deck.open_form(task=task)

    def action_copy(self) -> None:
        """Copy something about the row to the clipboard."""
        from app.tui.actions import clipboard

        if rows := action_tasks.task_rows([self.table.item]):
            question = clipboard.question(rows[0], self.deck.look)
            self.app.push_screen(ChoiceScreen(question), lambda key: self.deck.copy(rows[0].uuid, key) if key else None)
        elif places := queues_pools.places([self.table.item]):
            place, question = places[0], queues_pools.ask_copy(places[0], self.deck.look)
            self.app.push_screen(ChoiceScreen(question), lambda key: self.deck.copy_text(queues_pools.copied(place, key)) if key else None)
        else:
            self.deck.say("y copies of a task; there is none under the cursor.", "warn")

    # Going somewhere

    @on(Table.Opened)
    def _opened(self, event: Table.Opened) -> None:
        if isinstance(event.item, QueueLine):
            self.deck.show_queue(event.item)
        elif isinstance(event.item, PoolRow):
            self._open_pool(event.item.pool)
        elif uuid := _uuid(event.item):
            self.deck.open_task(uuid)
        elif self.deck.board and needs_room(self.deck.board):
            self.deck.open_database()

    def _open_pool(self, pool: PoolLine) -> None:
        """The tasks of all queues that draw from a pool."""
        if names := queues_pools.queues_of(pool, self.deck.board or Board()):
            self.deck.open_tasks(queues_pools.tasks_of(names))
        else:
            self.deck.say(self.deck.look.theirs(f"No queue draws from pool {pool.name}."), "warn")

    def action_log(self) -> None:
        """The log of the row."""
        if uuid := self._uuid_for("l shows the log"):
            self.deck.open_log(uuid)

    def action_why(self) -> None:
        """Why it waits, or ended so; of a queue or a pool why it starts nothing. All of it is of now, and never told under another time."""
        if self.deck.past.active and self is self.deck.deck:
            self.deck.say("w tells why it is so now, and this is the past: 0 returns to now.", "warn")
            return
        if places := queues_pools.places([self.table.item]):
            self._why_place(places[0])
        elif uuid := self._uuid_for("w tells why"):
            self.deck.open_why(uuid)

    def _why_place(self, place: queues_pools.Place) -> None:
        """Why the first in line there waits; where nothing does, how it stands."""
        board = self.deck.board or Board()
        names = queues_pools.queues_of(place, board)
        if first := queues_pools.first_in_line(names, board):
            self.deck.open_why(first.uuid)
        else:
            self.deck.questions.send(
                "queue.line", {"names": names}, lambda found, error: self.app.call_later(self._why_first, place, found, error)
            )

    def _why_first(self, place: queues_pools.Place, found: Mapping[str, Any] | None, error: Exception | None) -> None:
        if error or not found:
            self.deck.say(self.deck.look.theirs(str(error)), "warn")
        elif self.app.screen is self and self._stands_on(place.key):
            if found["first"]:
                self.deck.open_why(found["first"])
            else:
                self.deck.say(queues_pools.standing(place, found["waiting"], self.deck.look))
                self._told = place.key, self.deck.said()

    def _stands_on(self, key: str) -> bool:
        """Whether the cursor is on this queue or pool."""
        return any(place.key == key for place in queues_pools.places([self.table.item]))

    @on(Table.Moved)
    def _left_row(self) -> None:
        """What was said of a row goes with the cursor."""
        if self._told and not self._stands_on(self._told[0]):
            self.deck.unsay(self._told[1])
            self._told = None

    def _uuid_for(self, what: str) -> str | None:
        """The uuid of the task that the row is about; on another row None, and it is said what the key is for."""
        uuid = _uuid(self.table.item)
        if uuid is None:
            self.deck.say(f"{what} of a task; there is none under the cursor.", "warn")
        return uuid

    def action_new(self) -> None:
        """The form for a new task; on the queues, the pools and the alerts for a new queue, pool or rule."""
        if self.deck.refuses():
            return
        if self.table.id not in ("queues", "pools", "alerts"):
            self.deck.open_form()
            return
        from app.tui.screens.edit_form import new_pool_screen, new_queue_screen
        from app.tui.screens.rule_form import rule_screen

        new = {"queues": new_queue_screen, "pools": new_pool_screen, "alerts": rule_screen}[self.table.id]
        form, table = new(self.deck.client_factory), self.table
        self.app.push_screen(form, lambda sent: table.lead_to(form.made) if sent else None)


def leads(row: Any) -> bool:
    """Whether the row can be opened."""
    return isinstance(row, (QueueLine, PoolRow)) or _uuid(row) is not None


def _uuid(row: Any) -> str | None:
    if isinstance(row, AlertLine):
        return row.uuid
    tasks = action_tasks.task_rows([row])
    return tasks[0].uuid if tasks else None


def _short_name(row: Any) -> str:
    number = getattr(row, "number", None) or getattr(getattr(row, "was", None), "number", None)
    return f"#{number}" if number else str(getattr(row, "name", "It"))


def _names(rows: Sequence[TaskRow], clean: Callable[[str], str]) -> str:
    if len(rows) == 1:
        return f"#{rows[0].number} {middle(clean(rows[0].name), action_tasks.NAME)}?"
    return f"{units.count(len(rows))} tasks?"
