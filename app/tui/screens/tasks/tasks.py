"""Task list screen: a window on any number of tasks, filtered and ordered by the runtime."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType

from app.core import filter_query
from app.core.text import units
from app.translation import ENGLISH, get_language, tr, tr_n, tr_noop
from app.tui.actions.bulk import list_commands
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import NotApplicableError
from app.tui.rows import groups as row_groups
from app.tui.rows import tasks as row_tasks
from app.tui.screens.base_list import ListScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.text_prompt import TextPromptScreen
from app.tui.screens.tasks.task_actions import TaskActions
from app.tui.state import saved_views
from app.tui.state.row_changes import RowChanges
from app.tui.widgets.filter_input import FilterInput
from app.tui.widgets.footer import KeyHint, list_row_hints
from app.tui.widgets.header import COUNTER_FILTERS
from app.tui.widgets.mark_hints import list_filter_hints, list_marked_hints
from app.tui.widgets.paged_table import PagedTable
from app.tui.widgets.table_parts import SectionView, TableSection
from app.tui.widgets.table_title import Wordings

if TYPE_CHECKING:
    from app.client import Client

PAGE_SIZE = 120
"""Rows read at a time."""
MAX_ROWS = 800
"""Maximum number of rows held."""
_NAMES = (("template", "template"), ("by", "submitted_by"))
FAILED = COUNTER_FILTERS["failed"]
ALL_MARKED_NOTICE = tr_noop(
    "All matching tasks are marked: x p r t D act on them; esc unmarks them."
)
STATE_FILTERS = ("", "status:active", "status:waiting", FAILED)
"""Filters that `f` goes through."""


RESET_WAYS = ("first", "last", "here")
"""Kinds of reading that replace the rows; `here` begins at the row under the cursor."""


# Textual styles a screen by the name of its first base only, so the list comes first.
class TasksScreen(ListScreen, TaskActions):
    """All tasks; `words` is the initial filter."""

    PLACE = "5"
    TITLE_TEXT = tr_noop("5 Tasks")
    ORDERS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("i", "number", tr_noop("number")),
        ("a", "name", tr_noop("name")),
        ("s", "status", tr_noop("state")),
        ("u", "queue", tr_noop("queue")),
        ("t", "template", tr_noop("template")),
        ("p", "priority", tr_noop("priority")),
        ("b", "started", tr_noop("when they began")),
        ("e", "ended", tr_noop("when they ended")),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New task", id="deck.new"),
        Binding("f", "states", "All, active, waiting, failed", id="tasks.states"),
        Binding(
            "F", "failed", "Failed tasks, the latest first; again: all tasks", id="tasks.failed"
        ),
        Binding("i", "columns", "Choose the columns", id="tasks.columns"),
        Binding("V", "views", "Saved views: filter, order, columns by a name", id="tasks.views"),
        Binding("asterisk", "mark_all", "Mark all that the filter shows", id="tasks.mark-all"),
        Binding("v", "mark_range", "Mark from the last mark to here", id="tasks.range"),
        Binding("m", "members", "Members of a group: unfold, fold", id="tasks.members"),
    ]

    def __init__(
        self,
        client_factory: Callable[[], Client],
        words: str = "",
        order: str = "number",
        returns: bool = False,
    ) -> None:
        super().__init__(client_factory)
        self.order = order
        self.changes = RowChanges()
        self.words = words
        self._closing_words = words if returns else ""
        """Filter with which escape closes the screen at once."""
        self.total: int | None = None
        self._current_read: tuple[str, str] | None = None
        """Kind of the current reading and its filter, or None."""
        self._next_way: str | None = None
        self._total_tasks = 0
        """Number of all tasks."""
        self._is_complete = True
        self._order_before: tuple[str, bool] | None = (
            None if order == "number" else ("number", True)
        )
        """Order to restore when the filter that brought the current order is cleared."""
        self._shown_order = ""
        self._shown_words = words
        self._unfolded: dict[int, None] = {}
        """Numbers of the unfolded groups."""
        self._narrowed = False
        """True if the filter changed since the marks were last compared with the rows."""

    # Table

    @property
    def chosen_columns(self) -> Sequence[str]:
        """Names of the columns shown."""
        names = self.deck.memory.get("tasks.columns", list(row_tasks.DEFAULT_COLUMNS))
        return [name for name in names if isinstance(name, str) and name in row_tasks.COLUMNS]

    def list_sections(self) -> Sequence[TableSection]:
        return [row_groups.make_section(self.chosen_columns)]

    def make_table(self) -> PagedTable:
        return PagedTable(row_groups.make_section(self.chosen_columns), id="list")

    @property
    def all_marked(self) -> bool:
        """True if all matching tasks are marked, read or not."""
        return self.paged.all_marked

    @all_marked.setter
    def all_marked(self, all_of_it: bool) -> None:
        self.paged.all_marked = all_of_it

    @property
    def paged(self) -> PagedTable:
        return self.query_one(PagedTable)

    def find_completions(self, text: str) -> Sequence[str]:
        rows = self._list_tasks()
        known = {
            name: sorted({str(row.facts[fact]) for row in rows if row.facts[fact]})
            for name, fact in _NAMES
        }
        queues = [line.name for line in self.board.queues] if self.board else []
        return filter_query.find_completions(
            text,
            {
                **known,
                "queue": queues,
                "tag": sorted({key for row in rows for key in row.facts["tags"] or ()}),
            },
        )

    def _list_tasks(self) -> list[row_tasks.TaskListRow]:
        """Return the tasks that were read, without groups."""
        return [row for row in self.paged.rows if isinstance(row, row_tasks.TaskListRow)]

    def list_row_hints(self) -> list[KeyHint]:
        """Return the deck's hints and those of the list."""
        item = self.table.item
        mark = (
            [KeyHint("space", "mark", "space", 10)]
            if item is not None and not self.all_marked
            else []
        )
        mark += [KeyHint("*", "mark all", "asterisk", 10)] if mark and self.words.strip() else []
        if isinstance(item, row_groups.GroupListRow):
            mark.insert(0, KeyHint("m", "unfold" if item.tasks is None else "fold", "m", 3))
        elif isinstance(item, row_tasks.TaskListRow) and item.is_member:
            mark.insert(0, KeyHint("m", "fold", "m", 9))
        rest = [
            KeyHint("n", "new", "n", 3),
            *mark,
            KeyHint("V", "views", "V", 8),
            KeyHint("i", "columns", "i", 13),
        ]
        if self.all_marked:
            return [*list_filter_hints(list_commands(self._find_matching_states())), *rest]
        rows = self.paged.list_marked()
        return [*(list_marked_hints(rows) if rows else list_row_hints(item)), *rest]

    def _find_matching_states(self) -> Collection[str]:
        """Return the states of the matching tasks if all are held, else their possible states."""
        table = self.paged
        if not (table.more_before or table.more_after):
            return {row.facts["status"] for row in self._list_tasks()}
        return filter_query.find_possible_states(
            filter_query.parse_query(self.words, datetime.fromtimestamp(self.now, UTC))
        )

    # Reading

    def select_submitted(self, uuid: str, number: int) -> None:
        """Read the first rows again, where a new task is."""
        super().select_submitted(uuid, number)
        self._request_rows("first")

    def reread(self) -> None:
        self._request_rows("again")

    def apply_order(self) -> None:
        self._order_before = None
        self._request_rows("first")

    def apply_filter(self) -> None:
        self.all_marked, self.total = False, None
        if self._order_before and not self.words.startswith(FAILED):
            (self.order, self.down), self._order_before = self._order_before, None
        if fault := self._find_filter_fault():
            self.show_message(self.look.sanitize(fault), "warn")
        else:
            self.deck.clear_message()
            # Without a filter the current row is still in the list.
            self._request_rows("first" if self.words else "here")

    def _find_filter_fault(self) -> str:
        try:
            filter_query.parse_query(self.words, datetime.fromtimestamp(self.now, UTC))
        except filter_query.QueryError as error:
            return str(error)
        return ""

    @on(PagedTable.Wanted)
    def _handle_wanted(self, event: PagedTable.Wanted) -> None:
        # After a failed reading wait for the next change: every redraw would send the request
        # again.
        if event.way in ("first", "last") or (self._current_read is None and not self._failed):
            self._request_rows(event.way)

    def _request_rows(self, direction: str) -> None:
        """Read rows; during a reading, remember only the latest request."""
        if direction in RESET_WAYS:
            self.settled.clear()
        if self._current_read is not None:
            self._next_way = (
                direction if direction in RESET_WAYS or self._next_way is None else self._next_way
            )
        elif self._find_filter_fault():
            self.settled.set()
        else:
            self._current_read = (direction, self.words)
            args = self._make_args(direction)
            self.read(lambda client: client.call("browse", args), self._apply_answer)

    def _make_args(self, direction: str) -> dict[str, Any]:
        rows = row_groups.list_folded(self.paged.rows)
        args: dict[str, Any] = {
            "filter": self.words,
            "order": self.order,
            "down": self.down,
            "limit": PAGE_SIZE,
        }
        if not self.words.strip() and self.order == "number":
            args |= {"fold": True, "unfold": [*self._unfolded]}
        if direction == "last":
            return args | {"way": "before"}
        if direction == "here" and (at := self._find_cursor_position()):
            return args | {"way": "from", "at": at}
        if direction in ("first", "here") or not rows:
            return args
        if direction == "again":
            at = {"way": "from", "at": _get_position(rows[0])} if self.paged.more_before else {}
            return args | at | {"limit": max(PAGE_SIZE, len(rows))}
        return args | {
            "way": direction,
            "at": _get_position(rows[0 if direction == "before" else -1]),
        }

    def _find_cursor_position(self) -> list[Any] | None:
        """Return the position of the current row in the requested order, or None if unknown."""
        row = self.paged.item
        if row is None or self.order not in ("number", self._shown_order):
            return None
        if not self.words.strip() and row.facts.get("group_number") is not None:
            return None  # the task is behind the row of its group
        return [row.number, row.number] if self.order == "number" else _get_position(row)

    def _apply_answer(self, answer: Mapping[str, Any]) -> None:
        direction, words = self._current_read or ("again", self.words)
        self._current_read = None
        if words == self.words:
            self._show_rows(direction, answer)
            self._unmark_hidden()
        self._send_next_request()

    def show_read_error(self, text: str) -> None:
        """Show why a reading failed, unless the filter has changed since.

        The remembered request is sent in either case.
        """
        words, self._current_read = (
            self._current_read[1] if self._current_read else self.words,
            None,
        )
        if words == self.words:
            super().show_read_error(text)
        self._send_next_request()

    def _send_next_request(self) -> None:
        wanted, self._next_way = self._next_way, None
        if wanted is not None:
            self._request_rows(wanted)

    def settle(self) -> None:
        if self._current_read is None or self._current_read[0] not in RESET_WAYS:
            super().settle()

    def _show_rows(self, direction: str, answer: Mapping[str, Any]) -> None:
        table = self.paged
        rows, known = (
            row_groups.make_list_rows(answer, self.down),
            row_groups.list_folded(table.rows),
        )
        before, after = answer["more_before"], answer["more_after"]
        if direction == "before":
            rows, after = (*rows, *known), table.more_after
        elif direction == "after":
            rows, before = (*known, *rows), table.more_before
        if direction in RESET_WAYS and (
            direction != "here" or table.cursor not in [row.key for row in rows]
        ):
            table.cursor, table.jumped_at = None, self.ticks
            table.views[0].offset = 0
        self._shown_order = self.order
        self._narrowed = self._narrowed or self._shown_words != self.words
        self._shown_words = self.words
        if len(rows) > MAX_ROWS:
            rows, before, after = (
                (rows[:MAX_ROWS], before, True)
                if direction == "before"
                else (rows[-MAX_ROWS:], True, after)
            )
        rows = row_groups.list_shown(rows)
        self.total, self._is_complete = answer["total"], answer["complete"]
        tasks = [row for row in rows if isinstance(row, row_tasks.TaskListRow)]
        self.deck.pending.drop_applied_priorities({row.key: row.line.priority for row in tasks})
        self.changes.record_states([(row.key, row.status) for row in tasks], self.ticks)
        self._update_title(answer["of"])
        table.show_rows(rows, before, after, at_end=direction == "last")
        self.refresh_chrome()

    def _update_title(self, of: int) -> None:
        view = self.paged.views[0]
        some = tr("more") if self.total is None else units.format_count(self.total)
        self._total_tasks = of
        view.title = (
            tr("Tasks {of:,}", of=of)
            if not self.words
            else tr("Tasks {some} of {of:,}", some=some, of=of)
        ) + self._format_order_note()
        self.paged.keep_text = self.look.sanitize(self.words)
        view.tail = self._make_tail
        nothing = (
            tr("No task was submitted yet. Press n to submit a task.")
            if not of
            else tr("No task matches the filter; esc goes back.")
            if self.words == self._closing_words
            else tr("No task matches the filter; esc shows all.")
        )
        view.empty = [[("  " + nothing, "dim")]]

    def _make_tail(self, view: SectionView) -> list[Wordings]:
        """Return the number of rows that arrived above the view, and whether the search is done."""
        newer = self.paged.count_newer()
        return [
            *([(self.look.adapt_text(tr("↑ {count:,} newer (g)", count=newer)),)] if newer else []),
            *([] if self._is_complete else [(tr("search incomplete"),)]),
        ]

    def _format_order_note(self) -> str:
        if self.order == "number" and self.down:
            return ""
        word = {name: words for _, name, words in self.ORDERS}.get(self.order, self.order)
        order = self.order if get_language() == ENGLISH else tr(word)
        sign = self.look.adapt_text("↓" if self.down else "↑")
        return tr(" by {order} {sign}", order=order, sign=sign)

    # Actions

    def action_new(self) -> None:
        if not self.deck.refuse_changes():
            self.deck.open_form()

    def action_states(self) -> None:
        at = STATE_FILTERS.index(self.words) if self.words in STATE_FILTERS else 0
        self.filter_by(STATE_FILTERS[(at + 1) % len(STATE_FILTERS)])

    def action_failed(self) -> None:
        """Show failures, the latest first; again shows all tasks."""
        on = self.words != FAILED
        if on:
            self._order_before, self.order, self.down = (self.order, self.down), "ended", True
        self.filter_by(FAILED if on else "")

    def show_counted(self, words: str) -> None:
        """Show the tasks that a counter of the header counts."""
        self.set_focus(self.paged)  # close an open filter line, which would apply its own words
        if words != FAILED:
            self.filter_by(words)
        elif self.words != FAILED:
            self.action_failed()

    def action_columns(self) -> None:
        """Ask for a column to show or to hide."""
        shown = self.chosen_columns
        tick = self.look.adapt_text("✓")
        answers = [
            Answer(choice.letter, f"{tick if name in shown else ' '} {tr(choice.words)}")
            for name, choice in row_tasks.COLUMNS.items()
        ]
        answers += [Answer("n", tr("close")), Answer("0", tr("reset to default"))]
        question = Question(tr("Columns"), [], answers, safe="n", column=True, confirm_delay=0.0)
        self.app.push_screen(ChoiceScreen(question), self._apply_column_choice)

    def _apply_column_choice(self, letter: str | None) -> None:
        if letter is None:
            return
        shown = [] if letter == "0" else list(self.chosen_columns)
        name = next(
            (name for name, choice in row_tasks.COLUMNS.items() if choice.letter == letter), None
        )
        if name in shown:
            shown.remove(name)
        elif name is not None:
            shown.append(name)
        order = list(row_tasks.COLUMNS)
        self._set_columns(
            sorted(shown, key=order.index) if letter != "0" else list(row_tasks.DEFAULT_COLUMNS)
        )
        if letter != "0" and self.app.screen is self:
            self.action_columns()

    def _set_columns(self, names: Sequence[str]) -> None:
        self.deck.memory.put("tasks.columns", list(names))
        self.paged.set_section(row_groups.make_section(names))

    # Saved views

    def action_views(self) -> None:
        saved = saved_views.list_views(self.deck.memory)
        answers = [
            Answer(letter, self.look.sanitize(f"{tr(view.name)}   {view.words or tr('all')}"))
            for letter, view in saved_views.assign_letters(saved)
        ]
        answers += [
            Answer("s", tr("save what is shown now under a name")),
            Answer("D", tr("forget a saved view")),
            Answer("n", tr("none")),
        ]
        self.app.push_screen(
            ChoiceScreen(
                Question(tr("Views"), [], answers, safe="n", column=True, confirm_delay=0.0)
            ),
            self._apply_view_choice,
        )

    def _apply_view_choice(self, letter: str | None) -> None:
        if letter == "s":
            prompt = tr("A name for this filter, order and columns; enter saves")
            self.app.push_screen(
                TextPromptScreen(tr("Save this view"), prompt, fault=saved_views.check_view_name),
                self._save_view,
            )
        elif letter == "D":
            self.app.push_screen(
                TextPromptScreen(tr("Forget a view"), tr("The name of the view to forget")),
                self._forget_view,
            )
        elif letter is not None:
            view = dict(saved_views.assign_letters(saved_views.list_views(self.deck.memory)))[
                letter
            ]
            self.order, self.down = (
                view.order if view.order in [name for _, name, _ in self.ORDERS] else "number",
                view.down,
            )
            self._order_before = None
            if view.columns:
                self._set_columns(view.columns)
            self.filter_by(view.words)

    def _save_view(self, name: str | None) -> None:
        if name and len(saved_views.list_views(self.deck.memory)) >= len(saved_views.LETTERS):
            self.show_message(
                tr("There is no letter left for another view: forget one first (V, then D)."),
                "warn",
            )
        elif name:
            saved_views.save_view(
                self.deck.memory,
                saved_views.SavedView(
                    name, self.words, self.order, self.down, tuple(self.chosen_columns)
                ),
            )
            self.show_message(self.look.sanitize(tr("Saved as {name}: V has it.", name=name)))

    def _forget_view(self, name: str | None) -> None:
        if name:
            was_deleted = saved_views.delete_view(self.deck.memory, name)
            self.show_message(
                self.look.sanitize(
                    tr("Forgot {name}.", name=name)
                    if was_deleted
                    else tr("There is no view {name} of yours.", name=name)
                ),
                "" if was_deleted else "warn",
            )

    # Marks

    def action_mark_all(self) -> None:
        """Mark all matching tasks, read or not; again unmarks them."""
        if not self.words.strip():
            self.show_message(
                tr("Filter first (/ or f): * marks all matching tasks, never simply every task."),
                "warn",
            )
            return
        if fault := self._find_filter_fault():
            self.show_message(self.look.sanitize(fault), "warn")
            return
        self.all_marked = not self.all_marked
        if not self.all_marked:
            self.show_message(tr("The marks are cleared."), stays=False)
        else:
            self.paged.clear_marks()
            self.show_message(
                tr("All matches marked. The next action asks first. Esc unmarks."), stays=False
            )
        self._refresh_title()

    def action_mark_range(self) -> None:
        """Mark the rows between the last mark and the cursor."""
        table = self.paged
        rows = list(table.rows)
        keys = [row.key for row in rows]
        last = next((key for key in reversed(table.marked) if key in keys), None)
        if last is None or table.cursor not in keys:
            self.show_message(tr("Mark one end with space first, go to the other, then v."), "warn")
            return
        low, high = sorted((keys.index(last), keys.index(table.cursor)))
        for row in rows[low : high + 1]:
            table.marked[row.key] = row
            table.marks.add(row.key)
        self._refresh_title()
        table.redraw()

    # Groups

    def action_members(self) -> None:
        """Unfold the group under the cursor, or fold the group of the task there."""
        row = self.table.item
        if isinstance(row, row_tasks.TaskListRow) and row.is_member:
            number = row.facts["group_number"]
            self.paged.go_to_row(f"group:{number}")
        elif isinstance(row, row_groups.GroupListRow):
            number = row.line.number
        else:
            self.show_message(
                tr("m shows the tasks of a group, but no group is under the cursor."), "warn"
            )
            return
        if number in self._unfolded:
            del self._unfolded[number]
        else:
            self._unfolded[number] = None
        self._request_rows("again")

    def _refresh_title(self) -> None:
        self._update_title(self._total_tasks)
        self.paged.redraw()
        self.refresh_chrome()

    @on(FilterInput.Left)
    def _handle_filter_kept(self, event: FilterInput.Left) -> None:
        if event.keep:
            self._unmark_hidden()

    def _unmark_hidden(self) -> None:
        """Remove marks from rows that the filter hides.

        A filter that is still being typed removes none.
        """
        if self.query_one(FilterInput).is_open or self._shown_words != self.words:
            return
        narrowed, self._narrowed = self._narrowed and bool(self.words.strip()), False
        if self.words.strip() and (hidden := self.paged.list_hidden_marks(narrowed)):
            self.paged.unmark(hidden)
            self._refresh_title()
            self.show_message(
                tr_n(
                    len(hidden),
                    "Unmarked a task hidden by the filter.",
                    "Unmarked {n:,} tasks hidden by the filter.",
                ),
                "warn",
            )

    def action_clear(self) -> None:
        if self.all_marked:
            self.all_marked = False
            self._refresh_title()
            self.show_message(tr("The marks are cleared."), stays=False)
        elif self.words and self.words == self._closing_words and not self.table.list_marked():
            self.dismiss(None)
        else:
            super().action_clear()

    # Actions on all matching tasks

    def _get_rows(self) -> list[Any]:
        """Return the target rows.

        Raise NotApplicableError while other rows are being read, or if all matching tasks are
        marked.
        """
        if self.all_marked:
            raise NotApplicableError(tr(ALL_MARKED_NOTICE))
        if self._current_read is not None and self._current_read[0] in RESET_WAYS:
            raise NotApplicableError(
                tr("The matching tasks are being read. Look, and press again.")
            )
        return super()._get_rows()

    def action_copy(self) -> None:
        self._act_on_one_row(super().action_copy)

    def action_edit_again(self) -> None:
        self._act_on_one_row(super().action_edit_again)

    def _act_on_one_row(self, act: Callable[[], None]) -> None:
        if self.all_marked:
            self.show_message(tr(ALL_MARKED_NOTICE), "warn")
        else:
            act()

    def action_cancel(self) -> None:
        self.review_filter("cancel", self.words) if self.all_marked else super().action_cancel()

    def action_again(self) -> None:
        self.review_filter("retry", self.words) if self.all_marked else super().action_again()

    def action_delete(self) -> None:
        self.review_filter("rm", self.words) if self.all_marked else super().action_delete()

    def action_pause(self) -> None:
        self.review_filter("hold", self.words) if self.all_marked else super().action_pause()

    def action_front(self) -> None:
        self.review_filter("front", self.words) if self.all_marked else super().action_front()

    def send_for_filter(self, verb: str, words: str, found: Mapping[str, Any]) -> None:
        self.all_marked = False
        self.paged.clear_marks()
        super().send_for_filter(verb, words, found)
        self._refresh_title()


def _get_position(row: row_groups.ListRow) -> list[Any]:
    """Return the position of a page that begins with this row."""
    return [row.facts["at"], row.number]
