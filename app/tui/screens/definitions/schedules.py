"""Schedules screen (key `8`): schedules with their next fire time, or as a timeline.

The timeline replaces the columns of the table, so cursor, marks and keys stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.translation import tr, tr_noop
from app.tui.data.schedule_rows import ScheduleEntry, Timeline, make_schedule, make_timeline
from app.tui.pages.schedule import build_detail_lines
from app.tui.rows import schedules as row_schedules
from app.tui.rows.schedules import DAY, WEEK, TimeRange
from app.tui.screens.base_list import ListScreen
from app.tui.screens.definitions.schedule_actions import ScheduleActions
from app.tui.screens.definitions.schedule_form import ScheduleForm
from app.tui.widgets.detail import DetailBox, DetailContent
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.modal import is_visible_under_modal
from app.tui.widgets.table import Table
from app.tui.widgets.table_parts import TableSection

if TYPE_CHECKING:
    from app.client import Client

FLAT, TALL = 16, 30
"""Heights in lines: up to FLAT no detail box, from TALL a tall one."""
NEXT_VIEWS = {"": DAY, DAY: WEEK, WEEK: ""}
"""What `t` shows after the list, the day and the week."""
MANY, MANY_INTERVAL = 1000, 10.0
"""Number of schedules from which they are read less often, every so many seconds.

Reading 10,000 takes the runtime half a second.
"""
MAX_TIMELINES = 100
"""Schedules whose timelines are read: those around the cursor."""
_LAST = float("inf")
_ORDERS: Mapping[str, Callable[[ScheduleEntry], Any]] = {
    "next": lambda row: (_LAST if row.next_at is None else row.next_at + row.delay, row.name),
    "name": lambda row: row.name.casefold(),
    "last": lambda row: -(row.fires[0].at if row.fires else 0.0),
    "usual": lambda row: -(row.run_seconds or 0.0),
}


class ScheduleReading(NamedTuple):
    """Schedules, and the timelines of some of them in the range that was shown."""

    rows: tuple[ScheduleEntry, ...]
    timelines: dict[str, Timeline]
    shown: TimeRange | None


class SchedulesScreen(ListScreen, ScheduleActions):
    """All schedules; what fires first comes first."""

    TITLE_TEXT = tr_noop("8 Schedules")
    PLACE = "8"
    ORDERS = (
        ("e", "next", tr_noop("what fires next")),
        ("a", "name", tr_noop("name")),
        ("l", "last", tr_noop("when it last fired")),
        ("r", "usual", tr_noop("how long it usually runs")),
    )
    QUALIFIERS = ("status:", "queue:", "template:", "last:")
    DEFAULT_CSS = """
    SchedulesScreen {
        #detail { height: 6; width: 1fr; }
        &.-tall #detail { height: 8; }
        &.-flat #detail { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New schedule", id="schedule.new"),
        Binding("t", "timeline", "Timeline: day, week, back to the list", id="schedule.timeline"),
        *ScheduleActions.BINDINGS,
    ]

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self.rows: tuple[ScheduleEntry, ...] = ()
        self.view = ""
        """The list (""), or the timeline of a day or a week."""
        self._timelines: dict[str, Timeline] = {}
        self._range: TimeRange | None = None

    # Widgets

    def list_sections(self) -> Sequence[TableSection]:
        return (row_schedules.SCHEDULES_SECTION,)

    def compose_below(self) -> Iterable[Widget]:
        yield DetailBox("enter")

    def on_resize(self) -> None:
        height = self.app.size.height
        self.set_class(height <= FLAT, "-flat")
        self.set_class(height >= TALL, "-tall")
        super().on_resize()
        if self.view:
            self._show_timeline()
            self.reread()

    def collect_facts(self, row: Any) -> Mapping[str, Any]:
        task = row.facts.get("task") or {}
        return {
            "name": row.name,
            "status": row.state,
            "queue": task.get("queue") or "",
            "template": task.get("template") or "",
            "last": row.fires[0].sign.word if row.fires else "",
            "words": row.words,
            "work": row.work,
            "description": row.facts.get("description") or "",
        }

    def list_values(self) -> Mapping[str, Sequence[str]]:
        found = [self.collect_facts(row) for row in self.rows]
        known = {
            name: list(dict.fromkeys(facts[name] for facts in found if facts[name]))
            for name in ("queue", "template", "last")
        }
        return {"status": ("active", "paused", "ended"), **known}

    def list_row_hints(self) -> list[KeyHint]:
        row, new = self.table.item, KeyHint("n", "new", "n", 2)
        turn = KeyHint("t", _VIEW_LABELS[self.view], "t", 4)
        if not isinstance(row, ScheduleEntry):
            return [new]
        return [KeyHint("↵", "open", "enter", 1), *self.list_schedule_hints(row), new, turn]

    # Reading

    @property
    def reread_interval(self) -> float:
        return MANY_INTERVAL if len(self.rows) > MANY else super().reread_interval

    def reread(self) -> None:
        self.read(self._read_all, self._apply_answer)

    def _read_all(self, client: Client) -> ScheduleReading:
        """Read the schedules, and the timelines of those near the cursor if they are shown."""
        rows = tuple(map(make_schedule, client.call("schedule.ls")))
        shown = self._range if self.view else None
        if shown is None or not rows:
            return ScheduleReading(rows, {}, shown)
        known = {row.name for row in rows}
        names = [name for name in self._list_near_names() if name in known]
        args = {"since": shown.since, "step": shown.step, "cells": shown.cells}
        found = client.call("schedule.timeline", {"names": names, **args})
        return ScheduleReading(rows, {row["name"]: make_timeline(row) for row in found}, shown)

    def _list_near_names(self) -> list[str]:
        """Return the names of the schedules around the cursor, in the order of the list."""
        listed = list(self.table.views[0].rows)
        at = next((n for n, row in enumerate(listed) if row.key == self.table.cursor), 0)
        first = max(0, min(at - MAX_TIMELINES // 2, len(listed) - MAX_TIMELINES))
        return [row.name for row in listed[first : first + MAX_TIMELINES]]

    def _apply_answer(self, found: ScheduleReading) -> None:
        self.rows = found.rows
        wanted = self._range if self.view else None
        if found.shown == wanted:
            self._timelines = found.timelines
        self._show_rows()
        if found.shown != wanted and wanted is not None:  # the view changed during the reading
            self.reread()

    def _show_rows(self) -> None:
        ordered = sorted(self.rows, key=_ORDERS[self.order], reverse=not self.down)
        view = self.table.find_view("schedules")
        view.title = tr("Schedules {count:,}", count=len(self.rows))
        paused = sum(row.state == "paused" for row in self.rows)
        view.tail = tr("{paused:,} paused", paused=paused) if paused else ""
        view.empty = [[(f"  {line}", "dim")] for line in map(tr, _EMPTY_TEXT)]
        if self.view:
            self._show_timeline()
        self.table.show({"schedules": tuple(ordered)})
        self.refresh_chrome()
        self.show_detail()

    def apply_order(self) -> None:
        self._show_rows()

    @on(Table.Moved)
    def _handle_row_change(self) -> None:
        self.show_detail()
        row = self.table.item
        if self.view and row is not None and row.name not in self._timelines:
            self.handle_board_change()

    def detail(self, room: int, height: int) -> DetailContent:
        row = self.table.item
        if not isinstance(row, ScheduleEntry):
            return "", "", []
        title = self.look.cut(self.look.sanitize(row.name), room - 20, "middle")
        lines = build_detail_lines(row, room, self.now, self.look)[:height]
        return title, row.sign.word, lines

    def refresh_each_second(self) -> None:
        """Let the countdowns tick; read again when a schedule is due or the hour changes."""
        super().refresh_each_second()
        if not is_visible_under_modal(self) or self.deck.resting:
            return
        self.show_detail()
        if self.view and self._range != self._make_range():
            self._show_timeline()
            self.handle_board_change()
        elif any(row.due_at is not None and row.due_at < self.now for row in self.rows):
            self.handle_board_change()

    # Timeline

    def _make_range(self) -> TimeRange:
        return row_schedules.make_range(self.view, self.now, self.app.size.width)

    def _show_timeline(self) -> None:
        self._range = self._make_range()
        self.table.set_section(
            row_schedules.make_timeline_section(self._range, self._timelines, self.look)
        )

    def action_timeline(self) -> None:
        """Show the day, then the week, then the list again."""
        self.view = NEXT_VIEWS[self.view]
        self._timelines = {}
        if self.view:
            self._show_timeline()
            self.show_message(self.look.adapt_text(tr(_LEGENDS[self.view])), stays=False)
            self.reread()
        else:
            self.table.set_section(row_schedules.SCHEDULES_SECTION)
        self.refresh_chrome()

    # Actions

    def list_schedules(self) -> list[ScheduleEntry]:
        return self.table.list_selected()

    def finish_action(self) -> None:
        self.table.clear_marks()

    @on(Table.Opened)
    def _handle_open(self, event: Table.Opened) -> None:
        event.stop()
        self.deck.open_schedule(event.item.name)

    def action_new(self) -> None:
        if not self.deck.refuse_changes():
            form, table = ScheduleForm(self.client_factory), self.table
            self.app.push_screen(
                form, lambda sent: table.go_when_listed(form.created_key) if sent else None
            )


_EMPTY_TEXT = (
    tr_noop("No schedules yet. A schedule submits tasks by itself, as cron does:"),
    tr_noop("n creates a schedule. From a shell: taskdeck schedule create --help"),
)
_VIEW_LABELS = {"": tr_noop("day"), DAY: tr_noop("week"), WEEK: tr_noop("list")}
"""Labels of `t` in each view."""
_LEGENDS = {
    DAY: tr_noop("Day: ■ ran, □ expected run, - skipped, m missed, │ now.  t shows the week."),
    WEEK: tr_noop("Week: ■ ran, □ expected run, - skipped, m missed, │ now.  t shows the list."),
}
