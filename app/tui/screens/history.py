"""History screen: a chart of one metric over time, above a table of its groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from app.core import time_buckets
from app.core.board import Board, RuntimeFacts
from app.core.text import units
from app.core.text.joining import append_clause
from app.core.text.sanitize import measure_width
from app.translation import tr, tr_noop
from app.tui.forms.resource_field import has_named_resources
from app.tui.rows.history import (
    METRICS,
    HistoryRow,
    format_figure,
    format_tick,
    get_row_name,
    get_section,
    make_rows,
)
from app.tui.screens.base_page import PageScreen, TextLine
from app.tui.style import Span, measure_spans
from app.tui.time_format import format_wall_time
from app.tui.widgets import chart
from app.tui.widgets.chart import Plot, PlotArea
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.header import Header
from app.tui.widgets.modal import is_visible_under_modal
from app.tui.widgets.strips import StripWidget
from app.tui.widgets.table import Table

if TYPE_CHECKING:
    from app.client import Client

SPANS = {"hour": tr_noop("last hour"), "day": tr_noop("last day"), "week": tr_noop("last week")}
SPAN_SECONDS = {"hour": 3600, "day": 86_400}
"""Lengths of the spans from which the first one is chosen, shortest first."""
MIN_BUCKETS = 12
"""Buckets that a chart shows at least, however short the history is."""
CHART_DELAY = 0.04
"""Seconds before the chart follows the cursor."""
STRIDE = 6
"""Buckets that ctrl+left and ctrl+right skip."""
MIN_CHART_LINES, MIN_TABLE_LINES = 5, 3
"""Minimum heights in lines; a lower chart is hidden."""
GROUPS = {
    "all": tr_noop("all together"), "queue": tr_noop("by queue"), "pool": tr_noop("by pool"),
    "template": tr_noop("by template"),
    "resource": tr_noop("by resource"),
}  # fmt: skip


class ChoiceBar(TextLine):
    """Line of words with the chosen one in brackets; a click chooses another."""

    class WordClicked(Message):
        """Click on a word."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, words: Mapping[str, str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._words = words
        self._chosen = ""
        self._ends: list[tuple[int, str]] = []

    def choose(self, chosen: str) -> None:
        words = {name: tr(word) for name, word in self._words.items()}
        gap = (
            " " if sum(measure_width(word) + 2 for word in words.values()) < self.size.width else ""
        )
        spans: list[Span] = [(" ", "")]
        self._ends, self._chosen = [], chosen
        for name, word in words.items():
            here = name == chosen
            before, after = ("[", "]") if here else (gap, gap)
            spans += [
                (before, "bold"),
                (word, "bold" if here else ""),
                (after if gap else f"{after} ", "bold"),
            ]
            self._ends.append((measure_spans(spans), name))
        self.show(spans)

    def on_resize(self) -> None:
        self.choose(self._chosen)

    def on_click(self, event: events.Click) -> None:
        name = next((name for end, name in self._ends if event.x < end), None)
        if name is not None and event.x:
            self.post_message(self.WordClicked(name))


class Chart(StripWidget):
    """Chart of one row over time, with the moment under the cursor."""

    class MomentClicked(Message):
        """Click on a moment."""

        def __init__(self, bucket: int) -> None:
            super().__init__()
            self.bucket = bucket

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._plot: Plot | None = None
        self._state: object = None
        self._drawn: tuple[list[list[Span]], PlotArea] = ([], PlotArea(0, 1))
        self._moment: int | None = None

    def plot(self, shown: Plot | None, moment: int | None) -> None:
        """Show a chart, or nothing; its lines are computed again only if they changed."""
        self._plot, self._moment = shown, moment
        state = (shown, self.size, self.look)
        if shown and self.size.height >= MIN_CHART_LINES and state != self._state:
            self._drawn = chart.draw_chart(shown, self.size.width - 2, self.size.height, self.look)
        self._state = state
        self._draw_overlay()

    def _draw_overlay(self) -> None:
        rows, canvas = self._drawn
        shown = self._plot
        lines = chart.overlay_marks(rows, canvas, shown, self._moment, self.look) if shown else []
        self.draw(
            [
                self.look.strip([(" ", ""), *spans], self.size.width)
                for spans in lines[: self.size.height]
            ]
        )

    def on_resize(self) -> None:
        self.plot(self._plot, self._moment)

    def on_click(self, event: events.Click) -> None:
        if self._plot:
            self.post_message(
                self.MomentClicked(self._drawn[1].find_bucket(event.x - 1, self._plot.last))
            )


class HistoryScreen(PageScreen):
    """Metrics over the last hour, day or week."""

    PLACE = "9"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "metric(1)", "Next metric", id="history.next-metric"),
        Binding("shift+tab", "metric(-1)", "Previous metric", id="history.previous-metric"),
        Binding("f", "group", "All, by queue, by pool, by template", id="history.group"),
        Binding("o", "span", "Last hour, day, week", id="history.span"),
        # Priority: the arrow keys of the table would scroll its columns.
        Binding("left", "moment(-1)", "A moment earlier", id="history.earlier", priority=True),
        Binding("right", "moment(1)", "A moment later", id="history.later", priority=True),
        Binding(
            "ctrl+left",
            f"moment(-{STRIDE})",
            "Far earlier",
            id="history.far-earlier",
            priority=True,
        ),
        Binding(
            "ctrl+right", f"moment({STRIDE})", "Far later", id="history.far-later", priority=True
        ),
        Binding("b", "board", "The deck as of that moment", id="history.board"),
        Binding(
            "escape", "back", "Leave the moment, the group, then the screen", id="history.back"
        ),
        Binding("q", "leave", "Back", id="page.back", show=False),
    ]
    DEFAULT_CSS = """
    HistoryScreen {
        Chart { width: 1fr; overflow: hidden; }
        Table { height: 1fr; width: 1fr; overflow: hidden; }
    }
    """

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self.metric, self.span = "throughput", "day"
        self._fits_span = True
        """True until a span is chosen: the shortest one that holds the whole history is shown."""
        self._by = "queue"
        self._path: list[tuple[str, str, str]] = []
        """Entered groups: kind, name, and the previous grouping."""
        self._answer: dict[str, Any] | None = None
        self._moment: int | None = None
        """Index of the bucket under the cursor, or None."""
        self._chart_pending = False
        self._minute = 0
        """Minute of the last reading, in UNIX minutes."""

    def compose_body(self) -> Iterable[Widget]:
        yield ChoiceBar({name: METRICS[name].word for name in self._list_metrics()}, id="metrics")
        yield TextLine(id="chart-rule")
        yield Chart(id="chart")
        yield TextLine(id="figures")
        yield Table([get_section("throughput")], id="list", marks=False)

    def _list_metrics(self) -> list[str]:
        """Return the metrics, without named resources while no pool has any."""
        has_named = has_named_resources(self.deck.board)
        return [name for name in METRICS if name != "resources" or has_named]

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    def on_mount(self) -> None:
        self.set_focus(self.table)
        self.draw()

    def make_heading(self) -> str:
        steps = [
            f"{tr(kind)} {self.look.sanitize(name) or tr('(none)')}"
            for kind, name in self.within.items()
        ]
        return self.look.adapt_text(" › ".join([tr("9 History"), *steps]))

    @property
    def breadcrumb(self) -> str:
        return tr("History")

    def list_hints(self) -> list[KeyHint]:
        look = [
            KeyHint("← →", "moment", "left", 2),
            KeyHint("tab", "metric", "tab", 1),
            KeyHint("o", "span", "o", 3),
            KeyHint("f", "group by", "f", 4),
        ]
        then = [KeyHint("b", "the deck then", "b", 1)] if self._has_known_moment else []
        row = self.table.item
        return [
            *then,
            *look,
            *([KeyHint("↵", "open", "enter", 5)] if row and self._can_enter(row) else []),
        ]

    # Request

    @property
    def within(self) -> dict[str, str]:
        """Entered groups, as far as the metric is recorded by them."""
        return {
            kind: name
            for kind, name, _ in self._path
            if kind in time_buckets.get_restrictions(self.metric)
        }

    @property
    def groupings(self) -> list[str]:
        """Groupings of the metric that are available here."""
        return [by for by in time_buckets.METRICS[self.metric] if by not in self.within]

    @property
    def by(self) -> str:
        """Current grouping: the requested one, or the nearest available."""
        known = self.groupings
        return self._by if self._by in known else known[min(1, len(known) - 1)]

    def _make_args(self) -> dict[str, Any]:
        return {"span": self.span, "metric": self.metric, "by": self.by, "within": self.within}

    def reread(self) -> None:
        args, self._minute = self._make_args(), int(self.now // 60)
        self.read(lambda client: client.call("history", args), self._apply_answer)

    def handle_board_change(self) -> None:
        """Update the header.

        The board changes often, but the figures are reread once a minute and on request.
        """
        self.refresh_chrome()

    def refresh_each_second(self) -> None:
        super().refresh_each_second()
        if is_visible_under_modal(self):
            self.refresh_freshness()
            if int(self.now // 60) != self._minute:
                self.reread()

    def _apply_answer(self, answer: dict[str, Any]) -> None:
        if any(answer[name] != value for name, value in self._make_args().items()):
            self.reread()
            return
        if self._fits_span and (span := find_span(answer, self.now)) != self.span:
            self.span = span
            self.reread()
            return
        self._fits_span = False
        answer = drop_unrecorded(answer)
        if self._answer is not None and self._moment is not None:
            # The moment was chosen on another span; keep its distance from the end.
            self._moment = max(0, self._moment + len(answer["at"]) - len(self._answer["at"]))
        self._answer = answer
        self.draw()

    def refresh_freshness(self) -> None:
        self.table.note = self.freshness
        self.table.redraw()

    # Drawing

    def draw(self) -> None:
        """Draw the last answer."""
        self.query_one(ChoiceBar).choose(self.metric)
        self.refresh_chrome()
        if (answer := self._answer) is None:
            self._divide_height(0)
            return
        rows, view = make_rows(answer), self.table.views[0]
        if view.part is not get_section(answer["metric"]):
            view.part, view.rule = get_section(answer["metric"]), None
            view.clear_cache()
        more = tr("{more} more are not shown", more=answer["more"]) if answer["more"] else ""
        view.title, view.tail = tr(GROUPS[answer["by"]]).capitalize(), more
        self._divide_height(len(rows))
        self.table.show({"groups": rows})
        self._draw_chart()

    def _divide_height(self, rows: int) -> None:
        """Divide the height between chart and table.

        The table gets the lines it needs, at most half. A chart with too few lines is hidden.
        A plain look hides every chart, and shows the figures only.
        """
        rest = self.app.size.height - self.query_one(Header).size.height - 5
        table = max(MIN_TABLE_LINES, min(rows + 1, rest // 2))
        height = rest - table if rest - table >= MIN_CHART_LINES and not self.look.plain else 0
        drawn = self.query_one(Chart)
        drawn.display = self.query_one("#chart-rule").display = height > 0
        self.query_one("#figures").display = height > 0 or self.look.plain
        drawn.styles.height = height

    def _draw_chart(self) -> None:
        """Draw the chart of the current row, its title and the figures of the moment."""
        answer, row = self._answer, self.table.item
        if answer is None or row is None:
            return
        self.query_one("#figures", TextLine).show(self._make_figures(answer, row))
        if not self.query_one(Chart).display:
            return
        self.query_one("#chart-rule", TextLine).show(self._make_title(answer, row))
        drawn = self.query_one(Chart)
        height = int(drawn.styles.height.value) if drawn.styles.height else 0
        drawn.plot(make_plot(answer, row, self.app.size.width, height), self._moment)

    def _make_title(self, answer: Mapping[str, Any], row: HistoryRow) -> list[Span]:
        legend = [
            span
            for line in row.lines
            for span in ((f" {self._make_legend_mark(line)} ", line.style), (f"{line.word} ", ""))
        ]
        room = self.app.size.width - measure_spans(legend)
        step = tr("minute") if answer["step"] == 60 else units.format_age(answer["step"])
        whose = "" if row.name is None else f", {get_row_name(row, self.look)}"
        span = format_span(answer, self.now)
        title = append_clause(tr(METRICS[row.metric].title, step=step), f"{span}{whose}")
        if measure_spans([(title, "")]) > room - 4:
            title = tr("per {step}, {span}{whose}", step=step, span=span, whose=whose)
        return [
            (self.look.draw_rule(room, [(2, self.look.cut(title, room - 4, "middle"))]), "dim"),
            *legend,
        ]

    def _make_legend_mark(self, line: chart.Series) -> str:
        return line.letter if self.look.ascii or not self.look.colour else "━"

    def _make_figures(self, answer: Mapping[str, Any], row: HistoryRow) -> list[Span]:
        """Return the figures of the moment under the cursor."""
        if not any(answer["known"]):
            return [(f"  {format_unsampled(self.board, self.now)}", "warn")]
        if (at := self._moment) is None:
            if little := format_short_history(answer, self.now):
                return [
                    (f"  {little}", ""),
                    (
                        self.look.adapt_text(tr("; ← → looks at a moment, b shows the deck then.")),
                        "dim",
                    ),
                ]
            return [
                (
                    self.look.adapt_text(
                        tr("  ← → looks at a moment; b there shows the whole deck as it was.")
                    ),
                    "dim",
                )
            ]
        spans: list[Span] = [(f"  {self._format_moment(answer, at)}", "bold")]
        if not answer["known"][at] and all(line.values[at] is None for line in row.lines):
            return [*spans, (tr("   not known: no runtime was running"), "warn")]
        for line in row.lines:
            value = format_figure(
                line.values[at] if at < len(line.values) else None, METRICS[row.metric].unit
            )
            spans += [(f"   {line.word} ", line.style), (self.look.adapt_text(value), "")]
        return spans

    def _format_moment(self, answer: Mapping[str, Any], at: int) -> str:
        begin = answer["at"][at]
        first, last, now = (
            datetime.fromtimestamp(t, UTC) for t in (begin, begin + answer["step"], self.now)
        )
        text = self.look.adapt_text(
            units.format_clock_time(first, now)
            if answer["step"] == 60
            else units.format_time_range(first, last, now)
        )
        return tr("{time} so far", time=text) if begin + answer["step"] > self.now else text

    @on(Table.Moved)
    def _handle_row_change(self) -> None:
        """Draw the cursor now, and the chart once the cursor rests."""
        self.refresh_chrome()
        if not self._chart_pending:
            self._chart_pending = True
            self.set_timer(CHART_DELAY, self._draw_pending_chart)

    def _draw_pending_chart(self) -> None:
        self._chart_pending = False
        self._draw_chart()

    def on_resize(self) -> None:
        super().on_resize()
        self.call_after_refresh(self.draw)

    # Actions

    def _reload(self) -> None:
        """Show the new selection and read its figures."""
        self.draw()
        self.reread()

    def _reload_all(self) -> None:
        """Read other groups, with the cursor on the row that every answer has."""
        self.table.go_to_row("all")
        self._reload()

    def action_metric(self, by: int) -> None:
        names = self._list_metrics()
        self.metric = names[(names.index(self.metric) + by) % len(names)]
        self._reload()

    @on(ChoiceBar.WordClicked)
    def _handle_metric_click(self, message: ChoiceBar.WordClicked) -> None:
        self.metric = message.name
        self._reload()

    def action_group(self) -> None:
        known = self.groupings
        self._by = known[(known.index(self.by) + 1) % len(known)]
        self._reload_all()

    def action_span(self) -> None:
        names = list(SPANS)
        self.span = names[(names.index(self.span) + 1) % len(names)]
        self._fits_span = False
        self._moment = None
        self._reload()

    def action_moment(self, by: int) -> None:
        """Move the moment under the cursor, starting at the latest one."""
        if self._answer:
            last = len(self._answer["at"]) - 1
            self._moment = last if self._moment is None else max(0, min(last, self._moment + by))
            self._show_moment()

    @on(Chart.MomentClicked)
    def _handle_moment_click(self, message: Chart.MomentClicked) -> None:
        self._moment = message.bucket
        self._show_moment()

    def _show_moment(self) -> None:
        self._draw_chart()
        self.refresh_chrome()

    def _can_enter(self, row: HistoryRow) -> bool:
        """Return True if the row can be split by another grouping."""
        return (
            row.name is not None
            and bool(set(self.groupings) - {"all", row.by})
            and row.by in time_buckets.get_restrictions(self.metric)
        )

    @on(Table.Opened)
    def _handle_open(self, message: Table.Opened) -> None:
        row = message.item
        if not self._can_enter(row):
            total = tr("This row is the total; f groups it.")
            nothing = tr("This group cannot be split further.") if row.name is not None else total
            self.show_message(nothing, "warn")
            return
        self._path.append((row.by, row.name, self._by))
        self._by = next(by for by in ("template", "queue") if by != row.by)
        self._reload_all()

    def action_board(self) -> None:
        """Show the deck as of the moment under the cursor."""
        if self._answer is None or self._moment is None:
            self.show_message(self.look.adapt_text("First choose a moment with ← →."), "warn")
            return
        if not self._has_known_moment:
            self.show_message(
                tr("Nothing is known of that moment: no runtime was running."), "warn"
            )
            return
        at = max(self._answer["at"][self._moment], self._answer.get("since") or 0)
        self.deck.action_place(0)
        self.deck.time_travel.go_to(at)

    @property
    def _has_known_moment(self) -> bool:
        """True if a runtime was running at the moment under the cursor."""
        return (
            self._answer is not None
            and self._moment is not None
            and self._answer["known"][self._moment]
        )

    def action_back(self) -> None:
        """Clear the moment, else leave the group, else close the screen."""
        if self._moment is not None:
            self._moment = None
            self._show_moment()
        elif self._path:
            self._by = self._path.pop()[2]
            self._reload_all()
        else:
            self.dismiss(None)


def format_unsampled(board: Board | None, now: float) -> str:
    """Return the notice that nothing was sampled yet, and when the first figure appears.

    A runtime samples every minute; the screen reads the sample during the next one.
    """
    runtime = board.runtime if board else RuntimeFacts()
    if board and runtime.state != "running":
        return tr("No data yet: no runtime is running.")
    first = None if runtime.since is None else (runtime.since // 60 + 2) * 60
    when = (
        tr("at {time}", time=format_wall_time(first, now))
        if first is not None and first > now
        else tr("in a minute or two")
    )
    return tr("No data yet. First point {when}.", when=when)


def find_span(answer: Mapping[str, Any], now: float) -> str:
    """Return the shortest span that holds the whole history, at most a day."""
    since = answer.get("since")
    return next(
        (
            span
            for span, seconds in SPAN_SECONDS.items()
            if since is not None and now - since <= seconds
        ),
        "day",
    )


def drop_unrecorded(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer without the time before the history began, as far as charts allow."""
    since, begins = answer.get("since"), answer["at"]
    if since is None:
        return answer
    before = sum(begin + answer["step"] <= since for begin in begins)
    first = max(0, min(before, len(begins) - MIN_BUCKETS))
    if not first:
        return answer
    rows = [
        row | {"series": {name: values[first:] for name, values in row["series"].items()}}
        for row in answer["rows"]
    ]
    return answer | {"at": begins[first:], "known": answer["known"][first:], "rows": rows}


def format_span(answer: Mapping[str, Any], now: float) -> str:
    """Return `last day`, or the length of what is shown of it."""
    shown = now - answer["at"][0]
    seconds = {**SPAN_SECONDS, "week": 7 * 86_400}[answer["span"]]
    if shown > seconds - answer["step"] * MIN_BUCKETS:
        return tr(SPANS[answer["span"]])
    return tr("last {age}", age=units.format_age(shown))


def format_short_history(answer: Mapping[str, Any], now: float) -> str:
    """Return the length of a history that fills less than half the chart, else "".

    The notice prevents the rest from being taken for idle time.
    """
    since, begins = answer.get("since"), answer["at"]
    if since is None or since < begins[len(begins) // 2]:
        return ""
    return tr("{age} of history so far", age=units.format_age(max(60.0, now - since)))


def make_plot(answer: Mapping[str, Any], row: HistoryRow, width: int, height: int) -> Plot:
    """Return the plot of a row for a width and a height in cells."""
    unit = METRICS[row.metric].unit
    values = [value for line in row.lines for value in line.values if value is not None]
    kind = {"mean": "cores"}.get(unit, unit)
    most = max(1, min(4, (height - 3) // 2))
    ticks = chart.make_ticks(
        max(values, default=0.0), most, kind, lambda value: format_tick(value, unit)
    )
    return Plot(
        row.lines,
        tuple(answer["known"]),
        ticks,
        chart.make_time_labels(answer["at"], answer["step"], width),
    )
