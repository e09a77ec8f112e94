"""Flow screen: the tasks of a group, or those around a task, as a tree with the critical path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.rows.flow import CRITICAL_MARK, FlowListRow, fold_rows, make_section
from app.tui.screens.base_list import ListScreen
from app.tui.screens.base_page import TextLine
from app.tui.screens.base_task import make_task_row
from app.tui.screens.tasks.task_actions import TaskActions
from app.tui.state.row_changes import RowChanges
from app.tui.style import FIRES, STATES, UNKNOWN, Span
from app.tui.widgets.footer import KeyHint, list_row_hints
from app.tui.widgets.mark_hints import list_marked_hints
from app.tui.widgets.table_parts import TableSection
from db.states import ACTIVE, FAILED, WAITING

if TYPE_CHECKING:
    from app.client import Client

MANY_TASKS = 500
"""Number of tasks from which a flow is read less often."""
SLOW_INTERVAL = 3.0
"""Seconds between two readings of a flow with many tasks; one takes up to a tenth of a second."""
FILTERS = ("", "path:critical", "state:active", "state:waiting", "state:failed")
"""Filters that `f` goes through."""


class FlowScreen(ListScreen, TaskActions):
    """Tree of tasks that wait for one another; keys act on the task under the cursor."""

    TITLE_TEXT = tr_noop("Flow")
    SINGLE_SUBJECT = True
    QUALIFIERS = ("state:", "path:")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "states", "All, critical path, active, waiting, failed", id="flow.states"),
        Binding("m", "fold", "Fold and unfold the tasks below", id="flow.fold"),
    ]
    DEFAULT_CSS = """
    FlowScreen #summary { height: 1; width: 1fr; padding: 0 1; }
    """

    def __init__(self, client_factory: Callable[[], Client], ident: str) -> None:
        """Create the screen for a group such as `g12`, or for a task by its uuid or number."""
        super().__init__(client_factory)
        self.changes = RowChanges()
        self._ident = ident
        self._found: Mapping[str, Any] | None = None
        self._rows: tuple[FlowListRow, ...] = ()
        self._folded = frozenset[str]()

    def compose_body(self) -> Iterable[Widget]:
        yield TextLine(id="summary")
        yield from super().compose_body()

    def list_sections(self) -> Sequence[TableSection]:
        return [make_section()]

    def list_values(self) -> Mapping[str, Sequence[str]]:
        return {"state": ("active", "waiting", "failed"), "path": ("critical",)}

    def collect_facts(self, row: FlowListRow) -> Mapping[str, Any]:
        return {
            "name": f"#{row.number} {row.facts['name']}",
            "state": f"{row.status.replace('_', '-')} {_classify(row)}",
            "path": "critical" if row.facts["critical"] else "",
        }

    @property
    def reread_interval(self) -> float:
        return SLOW_INTERVAL if len(self._rows) > MANY_TASKS else super().reread_interval

    def reread(self) -> None:
        self.read(lambda client: client.call("flow", {"id": self._ident}), self._show)

    def _show(self, found: Mapping[str, Any]) -> None:
        is_first, self._found = self._found is None, found
        running = {row.uuid: row for row in self.board.running} if self.board else {}
        self._rows = tuple(
            FlowListRow(task, running.get(task["uuid"]) or make_task_row(task, None))
            for task in found["tasks"]
        )
        self.changes.record_states([(row.key, row.status) for row in self._rows], self.ticks)
        self._show_rows()
        if is_first:
            self.table.go_to_row(self._ident)

    def _show_rows(self) -> None:
        # A filter searches folded tasks, too.
        rows = self._rows if self.words else fold_rows(self._rows, self._folded)
        if self._found:
            self.table.views[0].title = self.look.sanitize(self._describe(self._found))
        self.table.show({"tasks": rows})
        self._draw_summary()
        self.refresh_chrome()

    def _describe(self, found: Mapping[str, Any]) -> str:
        shown = "" if found["is_complete"] else tr(", first {count:,} shown", count=len(self._rows))
        name = " ".join(filter(None, (found["group"], found["name"])))
        return tr("Flow {name}{shown}", name=name, shown=shown)

    def apply_filter(self) -> None:
        super().apply_filter()
        self._show_rows()

    def handle_missing(self, text: str) -> None:
        """Close the screen: its tasks were deleted or never existed."""
        if self.app.screen is self:
            self.dismiss(None)
            gone = tr("The tasks of the flow were deleted.")
            self.deck.show_message(gone if self._rows else self.look.sanitize(text), "warn")

    # Summary

    def refresh_each_second(self) -> None:
        super().refresh_each_second()
        self._draw_summary()

    def _draw_summary(self) -> None:
        for line in self.query("#summary").results(TextLine):
            line.show(self._build_summary())

    def _build_summary(self) -> list[Span]:
        found = self._found
        if found is None:
            return []
        spans: list[Span] = []
        if found["critical_seconds"]:
            took = units.format_duration(found["critical_seconds"])
            left = found["left_seconds"]
            more = tr(", at least {left} left", left=units.format_duration(left)) if left else ""
            text = tr("{sign} critical path {took}{more}", sign=CRITICAL_MARK, took=took, more=more)
            spans.append((self.look.adapt_text(text), "busy"))
        elif not any(task["after"] for task in found["tasks"]):
            spans.append((tr("No task here waits for another."), "dim"))
        counts = found["statuses"]
        for status, count in sorted(counts.items(), key=lambda one: _rank_status(one[0])):
            sign = STATES.get(status) or FIRES.get(status, UNKNOWN)
            spans.append((f"{'  ' if spans else ''}{count:,} {sign.word}", sign.style))
        return spans

    # Keys

    def list_row_hints(self) -> list[KeyHint]:
        if marked := self.table.list_marked():
            return list_marked_hints(marked)
        row = self.table.item
        fold = [KeyHint("m", "unfold" if row.folded else "fold", "m", 10)] if row else []
        return [*list_row_hints(row), *fold, KeyHint("f", "critical path", "f", 9)]

    def action_states(self) -> None:
        """Show the next filter of states."""
        at = FILTERS.index(self.words) + 1 if self.words in FILTERS else 0
        self.filter_by(FILTERS[at % len(FILTERS)])

    def action_fold(self) -> None:
        """Fold the tasks below the row, or unfold them; on a row without any, fold its parent."""
        if self.words:
            self.show_message(
                tr("With a filter no rows can be folded. Press esc to end the filter, then m."),
                stays=False,
            )
            return
        row = self.table.item
        if row is None:
            return
        key = self._find_foldable(row)
        if key is None:
            self.show_message(tr("Nothing is below this task."), stays=False)
            return
        self._folded ^= {key}
        self._show_rows()
        self.table.go_to_row(key)
        self.refresh_chrome()

    def _find_foldable(self, row: FlowListRow) -> str | None:
        """Return the key of the row, or of its parent if nothing is below the row."""
        at = next(n for n, other in enumerate(self._rows) if other.key == row.key)
        depth = row.facts["depth"]
        if at + 1 < len(self._rows) and self._rows[at + 1].facts["depth"] > depth:
            return row.key
        above = reversed(self._rows[:at])
        return next((other.key for other in above if other.facts["depth"] < depth), None)


def _rank_status(status: str) -> int:
    """Return the place of a status in the summary: what failed first, successes last."""
    if status in FAILED:
        return 0
    return 1 if status in ACTIVE else 2 if status in WAITING else 3


def _classify(row: FlowListRow) -> str:
    """Return the word of `f` for a state: active, waiting, failed or nothing."""
    if row.status in ACTIVE:
        return "active"
    if row.status in WAITING:
        return "waiting"
    return "failed" if row.status in FAILED else ""
