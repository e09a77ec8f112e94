"""Group screen: progress, and each task with its parameters, those that failed first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from app.core.board import GroupEntry
from app.core.task_groups import format_group
from app.core.text import units
from app.core.times import to_unix_or_none
from app.translation import tr, tr_noop
from app.tui.rows import groups as row_groups
from app.tui.rows.tasks import TaskListRow, make_rows
from app.tui.screens.base_list import ListScreen
from app.tui.screens.tasks.filter_actions import make_group_filter
from app.tui.screens.tasks.task_actions import TaskActions
from app.tui.state.row_changes import RowChanges
from app.tui.widgets.footer import KeyHint, list_row_hints
from app.tui.widgets.mark_hints import list_marked_hints
from app.tui.widgets.table_parts import TableSection

if TYPE_CHECKING:
    from app.client import Client

MAX_TASKS = 500
"""Maximum number of tasks on the screen; the list of tasks pages through all."""
OUTCOME = "outcome"
COLUMNS = ("state", "time", "result")
_LETTERS = "123456789"


class GroupScreen(ListScreen, TaskActions):
    """Tasks of a group below its own row, on which keys act on all of them."""

    TITLE_TEXT = tr_noop("Group")
    ORDERS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("f", OUTCOME, tr_noop("failed ones first")),
        ("i", "number", tr_noop("number")),
        ("t", "time", tr_noop("time that they ran")),
    )
    SINGLE_SUBJECT = True

    def __init__(self, client_factory: Callable[[], Client], number: int) -> None:
        super().__init__(client_factory)
        self.changes = RowChanges()
        self.number = number
        self._names: Sequence[str] = ()
        self._group: row_groups.GroupListRow | None = None
        self._tasks: tuple[TaskListRow, ...] = ()

    def list_sections(self) -> Sequence[TableSection]:
        return [row_groups.make_section(COLUMNS)]

    def list_orders(self) -> Sequence[tuple[str, str, str]]:
        return [
            *self.ORDERS,
            *((key, name, name) for key, name in zip(_LETTERS, self._names, strict=False)),
        ]

    def collect_facts(self, row: Any) -> Mapping[str, Any]:
        swept = row.facts.get("sweep") or {}
        values = (f"{name}={value}" for name, value in swept.items())
        return {"name": " ".join((row.facts["name"], row.status, *values))}

    def reread(self) -> None:
        args = {"id": format_group(self.number), "limit": MAX_TASKS}
        self.read(lambda client: client.call("group.tasks", args), self._show_group)

    def _show_group(self, found: Mapping[str, Any]) -> None:
        self._group = row_groups.make_group_row(found["group"] | {"rows": None}, ())
        self._tasks = make_rows(found["columns"], found["rows"])
        if found["names"] != self._names:
            self._names = found["names"]
            self.table.set_section(row_groups.make_section(COLUMNS, self._names))
        self.changes.record_states([(row.key, row.status) for row in self._tasks], self.ticks)
        self._show_rows()

    def _show_rows(self) -> None:
        group = self._group
        if group is None:
            return
        rows = self._tasks
        if self.order != OUTCOME:
            rows = row_groups.sort_members(rows, self.order, self.down, self.now)
        self.table.views[0].title = self.look.sanitize(self._describe(group))
        self.table.show({"tasks": [group, *rows]})
        self.refresh_chrome()

    def _describe(self, group: row_groups.GroupListRow) -> str:
        facts, line = group.facts, group.line
        at = to_unix_or_none(facts["created_at"]) or self.now
        most = tr(", at most {count} at once", count=line.max_running) if line.max_running else ""
        hidden = tr(", first {count:,} shown", count=MAX_TASKS) if line.total > MAX_TASKS else ""
        age = units.format_age(self.now - at)
        return tr(
            "{group} {name}  {total:,} tasks by {who} {age} ago{most}{hidden}",
            group=format_group(line.number),
            name=line.name,
            total=line.total,
            who=facts["submitted_by"],
            age=age,
            most=most,
            hidden=hidden,
        )

    def apply_order(self) -> None:
        self._show_rows()

    def list_row_hints(self) -> list[KeyHint]:
        marked = self.table.list_marked()
        hints = list_marked_hints(marked) if marked else list_row_hints(self.table.item)
        failed = self._group.line.failed if self._group else 0
        rest = [KeyHint("R", tr("retry {count:,} failed", count=failed), "R", 8)] if failed else []
        return [*hints, *(rest if self.table.item is not self._group else ())]

    def action_edit_again(self) -> None:
        """Ask how the tasks that failed run again."""
        if self._group:
            self.ask_how_to_retry_group(self._group.line)

    def open_group(self, group: GroupEntry) -> None:
        """Open the list of all tasks of the group."""
        self.deck.open_tasks(make_group_filter([group]), returns=True)
