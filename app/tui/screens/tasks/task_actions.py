"""Task actions: what keys do to the row under the cursor, or to the marked rows."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

from textual import on
from textual.binding import Binding, BindingType
from textual.screen import Screen

from app.core.board import (
    AlertEntry,
    Board,
    ComingEntry,
    EndedEntry,
    GroupEntry,
    NextEntry,
    PoolEntry,
    QueueEntry,
    RunningEntry,
)
from app.core.task_groups import format_group
from app.core.text import units
from app.core.text.sanitize import truncate_middle
from app.errors import NotFound
from app.translation import tr, tr_noop
from app.tui.actions import queues_pools
from app.tui.actions import tasks as action_tasks
from app.tui.actions.bulk import MAX_REVIEWED
from app.tui.actions.confirmations import (
    ask_how_to_retry,
    confirm_cancel,
    confirm_delete,
    confirm_retry,
    format_excluded,
)
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import NotApplicableError, Request, TaskRow
from app.tui.data.list_rows import EndedMembers, PoolTableRow, WaitingGroup, has_subject
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.tasks.filter_actions import FilterActions, list_groups, make_group_filter
from app.tui.state.row_changes import RECENT, RowChanges
from app.tui.style import STATES, UNKNOWN, Span
from app.tui.widgets.banner import needs_room
from app.tui.widgets.table import Table

SIGNALS = (
    ("t", "TERM", tr_noop("ask it to end")),
    ("k", "KILL", tr_noop("end it at once; work is lost")),
    ("i", "INT", tr_noop("as ctrl+c would")),
    ("h", "HUP", tr_noop("usually: reload the configuration")),
    ("1", "USR1", tr_noop("whatever it means to the program")),
    ("2", "USR2", tr_noop("whatever it means to the program")),
    ("s", "STOP", tr_noop("pause it")),
    ("c", "CONT", tr_noop("continue it")),
)

SUBMITTED_DELAY = 1.0
"""Seconds after which a submitted task that is not listed is reported as such."""


class Rows(Protocol):
    """Rows that keys act on: those of a table, or the one task of a screen."""

    jumped_at: float
    marks: set[str]

    @property
    def item(self) -> Any: ...

    def list_selected(self) -> list[Any]: ...

    def list_marked(self) -> list[Any]: ...


class TaskActions(FilterActions, Screen[None]):
    """Base of screens with actions on rows.

    The screen provides `table` and `changes`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "log", "Log", id="task.log"),
        Binding("w", "why", "Why it waits, or how it ended", id="task.why"),
        Binding("C", "flow", "Chain: tree of dependencies, critical path", id="task.flow"),
        Binding("x", "cancel", "Cancel", id="task.cancel"),
        Binding("X", "signal", "Choose a signal", id="task.signal"),
        Binding("p", "pause", "Pause, resume, hold, release; queues too", id="task.pause"),
        Binding("r", "again", "Retry", id="task.again"),
        Binding(
            "R",
            "edit_again",
            "Retry with other requests or dependents, or edit",
            id="task.edit-again",
        ),
        Binding("e", "edit", "Edit: queue, cpu, memory, timeout, …", id="task.edit"),
        Binding("t", "front", "To the front of its queue", id="task.front"),
        Binding("plus,equals_sign", "priority(1)", "Priority up", id="task.priority-up"),
        Binding("minus", "priority(-1)", "Priority down", id="task.priority-down"),
        Binding("y", "copy", "Copy: number, command, log", id="task.copy"),
        Binding("D", "delete", "Delete what has ended", id="task.delete"),
        Binding("a", "acknowledge", "Acknowledge", id="alert.acknowledge"),
        Binding("s", "silence", "Silence the alerts of a rule", id="alert.silence"),
        Binding("u", "app.undo", "Undo the last thing", id="deck.undo"),
    ]
    changes: RowChanges
    _place_message: tuple[str, Span | None] | None = None
    """Key of the queue or pool that the last message is about, and that message."""

    @property
    def table(self) -> Rows:
        """Rows with the focus."""
        raise NotImplementedError

    # Submitted tasks

    def select_submitted(self, uuid: str, number: int) -> None:
        """Put the cursor on a new task once it is listed; say so if it is not."""
        table = self.get_task_table()
        table.go_when_listed(uuid)
        self.set_timer(SUBMITTED_DELAY, lambda: self._report_unlisted(table, uuid, number))

    def get_task_table(self) -> Table:
        """Return the table that lists tasks."""
        return self.query(Table).first()

    def _report_unlisted(self, table: Table, uuid: str, number: int) -> None:
        if table.find_row(uuid) is None and self.app.screen is self:
            self.deck.show_message(
                tr(
                    "Submitted #{number}. It is behind the filter: 5 lists all tasks.",
                    number=number,
                )
                if table.keep_text
                else tr(
                    "Submitted #{number}. It is not among the rows shown: 5 lists all tasks.",
                    number=number,
                )
            )

    # Target rows

    def _get_rows(self) -> list[Any]:
        """Return the marked rows, else the row under the cursor.

        Raise NotApplicableError if nothing may be changed, or if a row has just changed its state.
        """
        if refusal := self.deck.refusal:
            raise NotApplicableError(refusal)
        now, table = self.deck.ticks(), self.table
        rows = table.list_selected()
        if not table.marks and now - table.jumped_at < RECENT:
            raise NotApplicableError(
                tr("The row under the cursor went away just now. Look, and press again.")
            )
        for row in rows:
            if state := self.changes.find_recent_change(row.key, now):
                sign = STATES.get(state, UNKNOWN)
                word = sign.word if state in STATES else state
                raise NotApplicableError(
                    tr(
                        "{name} has changed just now ({word}). Look, and press again.",
                        name=_format_short_name(row),
                        word=word,
                    )
                )
        return rows

    def _perform(self, make: Callable[[], Sequence[Request]], again: bool = False) -> None:
        """Send the requests and clear the marks.

        `again` keeps the marks, for actions that are repeated.
        """
        try:
            self.deck.requests.send(make())
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
        else:
            # The answer may have come already and closed this screen.
            for table in () if again else self.query(Table):
                table.clear_marks()

    def _open_question(
        self, make: Callable[[], Question | None], act: Callable[[str], None]
    ) -> None:
        """Open a dialog for the question of `make`; without a question, act at once.

        `act` gets the letter of any answer but the safe one. Do nothing if another screen is on
        top.
        """
        if self.app.screen is not self:
            self.deck.show_message(
                tr("The answer came late, so nothing was done. Press again."), "warn"
            )
            return
        if self.deck.refuse_changes():
            return
        try:
            question = make()
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
            return
        if question is None:
            act("y")
        else:
            self.app.push_screen(ChoiceScreen(question), lambda key: act(key) if key else None)

    # Actions without a question

    def action_pause(self) -> None:
        """Pause, continue, hold or release, whichever applies to the rows."""
        if self.act_on_groups("hold", self.table.list_selected()):
            return
        self._perform(lambda: action_tasks.toggle_rows(self._get_rows()))

    def action_front(self) -> None:
        if self.act_on_groups("front", self.table.list_selected()):
            return
        self._perform(
            lambda: action_tasks.move_to_front(action_tasks.list_task_rows(self._get_rows()))
        )

    def action_priority(self, by: int) -> None:
        self._perform(lambda: self._change_priority(self._get_rows(), by), again=True)

    def _change_priority(self, rows: Sequence[Any], by: int) -> list[Request]:
        pending = self.deck.pending.priorities
        if places := queues_pools.list_places(rows):
            return queues_pools.change_place_priority(places, by, pending)
        return action_tasks.change_priority(action_tasks.list_task_rows(rows), by, pending)

    def action_acknowledge(self) -> None:
        self._perform(lambda: action_tasks.acknowledge_rows(self._get_rows()))

    def action_silence(self) -> None:
        """Silence the rule of the alert, after asking for how long."""
        line = self.table.item
        if not isinstance(line, AlertEntry):
            self.deck.show_message(
                tr("s silences the alerts of a rule; there is no alert under the cursor."), "warn"
            )
            return
        self.read_then_open(
            lambda client: client.call("sla.show", {"name": line.sla}),
            partial(self._ask_silence, line),
        )

    def _ask_silence(
        self, line: AlertEntry, found: Mapping[str, Any] | None, error: Exception | None
    ) -> None:
        if found is None and getattr(error, "code", "") != NotFound.code:
            self.deck.show_message(self.deck.look.sanitize(str(error)), "warn")
            return
        from app.tui.actions import rules
        from app.tui.rows.rules import make_rule_row
        from app.tui.screens.definitions.rule_form import SilenceScreen

        rule = rules.name_alert(line) if found is None else make_rule_row(found)

        def act(key: str) -> None:
            if key == "o":
                self.app.push_screen(SilenceScreen(self.deck.client_factory, rule))
            else:
                self._perform(
                    lambda: (
                        rules.unsilence_rules([rule])
                        if key == "e"
                        else rules.silence_rules([rule], rules.SILENCE_ENDS[key])
                    )
                )

        self._open_question(lambda: rules.ask_silence([rule], self.deck.look), act)

    # Actions with a question

    def action_cancel(self) -> None:
        """Cancel tasks; ask first if one is running or other tasks depend on one."""
        if self.act_on_groups("cancel", self.table.list_selected()):
            return
        try:
            rows = action_tasks.list_unfinished(action_tasks.list_task_rows(self._get_rows()))
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
            return
        self.deck.requests.preview_cancel(
            [row.uuid for row in rows], lambda preview: self._ask_cancel(rows, preview)
        )

    def _ask_cancel(self, rows: Sequence[TaskRow], preview: Mapping[str, Any]) -> None:
        if not any(isinstance(row, RunningEntry) for row in rows) and not preview["dependents"]:
            self._perform(lambda: action_tasks.cancel_tasks(rows))
            return

        def act(key: str) -> None:
            chosen = [row for row in rows if isinstance(row, NextEntry)] if key == "e" else rows
            self._perform(lambda: action_tasks.cancel_tasks(chosen))

        self._open_question(
            lambda: confirm_cancel(rows, preview, self.deck.now(), self.deck.look), act
        )

    def action_again(self) -> None:
        """Run tasks again; ask first for succeeded tasks and for more than one.

        Of a group, those that failed run again.
        """
        if self.act_on_groups("retry", self.table.list_selected()):
            return
        self._confirm_and_perform(
            lambda rows: action_tasks.retry_tasks(rows, self.deck.pending.retries),
            confirm_retry,
            self._note_retries,
        )

    def _note_retries(self, rows: Sequence[TaskRow]) -> None:
        self.deck.pending.add_retries(
            {row.uuid: row.ended_at for row in rows if isinstance(row, EndedEntry)}
        )

    def action_delete(self) -> None:
        if queues_pools.list_places(self.table.list_selected()):
            self._delete_places()
            return
        if self.act_on_groups("rm", self.table.list_selected()):
            return
        self._confirm_and_perform(action_tasks.delete_tasks, confirm_delete)

    def _delete_places(self) -> None:
        places: list[queues_pools.QueueOrPool] = []

        def make() -> Question:
            places.extend(queues_pools.list_places(self._get_rows()))
            return queues_pools.confirm_delete_places(places, self.deck.look)

        self._open_question(
            make, lambda key: self._perform(lambda: queues_pools.delete_places(places))
        )

    def _confirm_and_perform(
        self,
        verb: Callable[[Sequence[TaskRow]], list[Request]],
        ask: Callable[..., Question | None],
        note: Callable[[Sequence[TaskRow]], None] = lambda rows: None,
    ) -> None:
        """Ask if there is a question, then perform `verb`; `note` gets the rows afterwards."""

        def make() -> Question | None:
            rows.extend(action_tasks.list_task_rows(self._get_rows()))
            verb(rows)
            return ask(rows, self.deck.look)

        def act(key: str) -> None:
            self._perform(lambda: verb(rows))
            note(rows)

        rows: list[TaskRow] = []
        self._open_question(make, act)

    def action_signal(self) -> None:
        rows: list[TaskRow] = []

        def make() -> Question:
            rows.extend(action_tasks.list_task_rows(self._get_rows()))
            action_tasks.signal_tasks(rows, int(signal.SIGTERM), "TERM")
            answers = [
                *(Answer(key, f"{name:5} {tr(does)}") for key, name, does in SIGNALS),
                Answer("n", tr("nothing")),
            ]
            running = [row for row in rows if isinstance(row, RunningEntry)]
            left = format_excluded(len(rows) - len(running), tr("not running"))
            body = [
                [
                    (
                        tr(
                            "Send a signal to {targets}?",
                            targets=_format_targets(running, self.deck.look.sanitize),
                        ),
                        "",
                    )
                ],
                *left,
            ]
            return Question(tr("Signal"), body, answers, safe="n", column=True)

        def act(key: str) -> None:
            name = next(name for letter, name, _ in SIGNALS if letter == key)
            self._perform(
                lambda: action_tasks.signal_tasks(rows, int(getattr(signal, f"SIG{name}")), name)
            )

        self._open_question(make, act)

    def action_edit(self) -> None:
        from app.tui.screens.definitions.edit_form import make_edit_screen

        if self.deck.refuse_changes():
            return
        if groups := list_groups(self.table.list_selected()):
            self.edit_groups(groups)
            return
        try:
            self.app.push_screen(make_edit_screen(self.deck.client_factory, self._get_rows()))
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)

    def action_edit_again(self) -> None:
        """Ask how to retry a group or ended tasks; fill the submit form from any other task."""
        if groups := list_groups([self.table.item]):
            self.ask_how_to_retry_group(groups[0])
            return
        selected = action_tasks.list_task_rows(self.table.list_selected())
        if any(isinstance(row, EndedEntry) for row in selected):
            self._ask_how_to_retry()
            return
        rows = action_tasks.list_task_rows([self.table.item])
        if self.deck.refuse_changes():
            return
        if not rows:
            self.deck.show_message(
                tr("R fills the form with a task, but no task is under the cursor."), "warn"
            )
            return
        self._fill_form(rows[0])

    def _ask_how_to_retry(self) -> None:
        """Ask whether ended tasks run with other requests, dependents, or as a new task."""
        rows: list[EndedEntry] = []

        def make() -> Question:
            selected = action_tasks.list_task_rows(self._get_rows())
            rows.extend(row for row in selected if isinstance(row, EndedEntry))
            action_tasks.retry_tasks(rows, self.deck.pending.retries)
            return ask_how_to_retry(rows, self.deck.look)

        def act(key: str) -> None:
            if key == "e":
                self._fill_form(rows[0])
            elif key == "d":
                self._perform(lambda: [action_tasks.retry_with_dependents(rows)])
                self._note_retries(rows)
            else:
                self._open_retry_form(rows)

        self._open_question(make, act)

    def _open_retry_form(self, rows: Sequence[EndedEntry]) -> None:
        from app.tui.screens.tasks.retry_form import RetryScreen

        if len(rows) > MAX_REVIEWED:
            self.deck.show_message(
                tr(
                    "At most {max_reviewed} tasks can be retried in a form; {count:,} are marked.",
                    max_reviewed=MAX_REVIEWED,
                    count=len(rows),
                ),
                "warn",
            )
            return
        self.app.push_screen(
            RetryScreen(self.deck.client_factory, rows),
            lambda sent: self._note_retries(rows) if sent else None,
        )

    def _fill_form(self, row: TaskRow) -> None:
        self.read_then_open(lambda client: client.call("show", {"id": row.uuid}), self._open_form)

    def _open_form(self, task: Mapping[str, Any] | None, error: Exception | None) -> None:
        if error or task is None:
            self.deck.show_message(self.deck.look.sanitize(str(error)), "warn")
        elif self.app.screen is self:
            self.deck.open_form(task=task)

    def action_copy(self) -> None:
        from app.tui.actions import clipboard

        if rows := action_tasks.list_task_rows([self.table.item]):
            question = clipboard.ask_copy(rows[0], self.deck.look)
            self.app.push_screen(
                ChoiceScreen(question),
                lambda key: self.deck.background.copy_task(rows[0].uuid, key) if key else None,
            )
        elif places := queues_pools.list_places([self.table.item]):
            place, question = places[0], queues_pools.ask_copy_place(places[0], self.deck.look)
            self.app.push_screen(
                ChoiceScreen(question),
                lambda key: (
                    self.deck.background.copy_text(queues_pools.read_place_text(place, key))
                    if key
                    else None
                ),
            )
        else:
            self.deck.show_message(
                tr("y copies from a task, queue or pool, but no such row is under the cursor."),
                "warn",
            )

    # Navigation

    @on(Table.Opened)
    def _handle_open(self, event: Table.Opened) -> None:
        if isinstance(event.item, QueueEntry):
            self.deck.show_queue(event.item)
        elif isinstance(event.item, PoolTableRow):
            self._open_pool(event.item.pool)
        elif isinstance(event.item, ComingEntry):
            self.deck.open_schedule(event.item.name)
        elif isinstance(event.item, EndedMembers):
            words = make_group_filter([event.item.group])
            state = event.item.status.replace("_", "-")
            self.deck.open_tasks(f"{words} status:{state}", returns=True)
        elif groups := list_groups([event.item]):
            self.open_group(groups[0])
        elif _is_openable(event.item):
            self.open_alert(event.item)
        elif uuid := _find_task_uuid(event.item):
            self.deck.open_task(uuid)
        elif self.deck.board and needs_room(self.deck.board):
            self.deck.open_database()
        elif isinstance(event.item, AlertEntry):
            self.open_alert(event.item)

    def open_group(self, group: GroupEntry) -> None:
        """Open a group from its row."""
        self.deck.open_group(group.number)

    def _open_pool(self, pool: PoolEntry) -> None:
        """Open the list of tasks of all queues that draw from a pool."""
        if names := queues_pools.list_queue_names(pool, self.deck.board or Board()):
            self.deck.open_tasks(queues_pools.make_queue_filter(names))
        else:
            self.deck.show_message(
                self.deck.look.sanitize(tr("No queue draws from pool {name}.", name=pool.name)),
                "warn",
            )

    def action_log(self) -> None:
        if _is_openable(self.table.item):
            self.open_alert(self.table.item, "l")
        elif groups := list_groups([self.table.item]):
            self.open_group_log(groups[0])
        elif uuid := self._require_task_uuid(
            tr("l shows the log of a task, but no task is under the cursor.")
        ):
            self.deck.open_log(uuid)

    def action_flow(self) -> None:
        """Show the tasks of a group, or those that wait for a task or it for them, as a tree."""
        if groups := list_groups([self.table.item]):
            self.deck.open_flow(format_group(groups[0].number))
        elif uuid := self._require_task_uuid(
            tr("C shows the tree of a task, but no task is under the cursor.")
        ):
            self.deck.open_flow(uuid)

    def action_why(self) -> None:
        """Explain why a task waits or how it ended, or why a queue or pool starts nothing.

        The explanation is about the present, so it is refused while the deck shows the past.
        """
        if self.deck.time_travel.is_active and self.SHOWS_PAST:
            self.deck.show_message(
                tr("w explains the present, but the deck shows the past. 0 returns to live."),
                "warn",
            )
            return
        if _is_openable(self.table.item):
            self.open_alert(self.table.item, "w")
        elif places := queues_pools.list_places([self.table.item]):
            self._explain_place(places[0])
        elif isinstance(self.table.item, WaitingGroup):
            self.deck.open_why(self.table.item.first.uuid)
        elif uuid := self._require_task_uuid(
            tr("w explains the state of a task, but no task is under the cursor.")
        ):
            self.deck.open_why(uuid)

    def _explain_place(self, place: queues_pools.QueueOrPool) -> None:
        """Explain the first waiting task of a queue or pool; if none waits, show its state."""
        board = self.deck.board or Board()
        names = queues_pools.list_queue_names(place, board)
        if first := queues_pools.find_first_queued(names, board):
            self.deck.open_why(first.uuid)
        else:
            self.deck.read_queue.send(
                "queue.line",
                {"names": names},
                lambda found, error: self.app.call_later(
                    self._show_place_answer, place, found, error
                ),
            )

    def _show_place_answer(
        self,
        place: queues_pools.QueueOrPool,
        found: Mapping[str, Any] | None,
        error: Exception | None,
    ) -> None:
        if error or not found:
            self.deck.show_message(self.deck.look.sanitize(str(error)), "warn")
        elif self.app.screen is self and self._is_cursor_on(place.key):
            if found["first"]:
                self.deck.open_why(found["first"])
            else:
                self.deck.show_message(
                    queues_pools.describe_idle(place, found["waiting"], self.deck.look)
                )
                self._place_message = place.key, self.deck.get_message()

    def _is_cursor_on(self, key: str) -> bool:
        return any(place.key == key for place in queues_pools.list_places([self.table.item]))

    @on(Table.Moved)
    def _clear_place_message(self) -> None:
        """Clear the message about a queue or pool when the cursor leaves its row."""
        if self._place_message and not self._is_cursor_on(self._place_message[0]):
            self.deck.retract_message(self._place_message[1])
            self._place_message = None

    def find_task_under_cursor(self, command: str) -> TaskRow | None:
        """Return the task under the cursor for a user command; without one, say so."""
        if self.deck.ticks() - self.table.jumped_at < RECENT:
            self.deck.show_message(
                tr("The row under the cursor went away just now. Look, and press again."), "warn"
            )
            return None
        rows = action_tasks.list_task_rows([self.table.item])
        if not rows:
            text = tr("{command} runs on a task, but no task is under the cursor.", command=command)
            self.deck.show_message(self.deck.look.sanitize(text), "warn")
        return rows[0] if rows else None

    def _require_task_uuid(self, text: str) -> str | None:
        """Return the uuid of the row's task; without a task, show `text`."""
        uuid = _find_task_uuid(self.table.item)
        if uuid is None:
            self.deck.show_message(text, "warn")
        return uuid


def can_open(row: Any) -> bool:
    """Return True if the row can be opened."""
    return (
        isinstance(row, (QueueEntry, PoolTableRow, ComingEntry))
        or _is_openable(row)
        or bool(list_groups([row]))
        or _find_task_uuid(row) is not None
    )


def _is_openable(row: Any) -> bool:
    return isinstance(row, AlertEntry) and has_subject(row)


def _find_task_uuid(row: Any) -> str | None:
    tasks = action_tasks.list_task_rows([row])
    return tasks[0].uuid if tasks else None


def _format_short_name(row: Any) -> str:
    number = getattr(row, "number", None) or getattr(getattr(row, "running", None), "number", None)
    return f"#{number}" if number else str(getattr(row, "name", tr("It")))


def _format_targets(rows: Sequence[TaskRow], clean: Callable[[str], str]) -> str:
    if len(rows) == 1:
        return f"#{rows[0].number} {truncate_middle(clean(rows[0].name), action_tasks.NAME_CELLS)}"
    return tr("{count} tasks", count=units.format_count(len(rows)))
