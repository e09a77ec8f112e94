"""Pools pane (2): the reserved and the used part of each pool; on wide terminals the host below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.strip import Strip

from app.core.board import Board, HostFacts, PoolEntry
from app.core.text import units
from app.tui.data.list_rows import MEMORY_SUFFIX, PoolTableRow
from app.tui.style import Look, Span, get_load_style, measure_spans
from app.tui.time_format import format_time_and_age
from app.tui.widgets.table import NO_MATCH, Table
from app.tui.widgets.table_columns import Cell, Cells, TableColumn, TwoToneBar
from app.tui.widgets.table_parts import SectionView, TableGrid, TableSection
from app.tui.widgets.table_title import Wordings

STALE_AFTER = 30.0
"""Age in seconds from which measurements are called old."""
LOW_DISK = 1024**3
"""Free bytes below which the disk is marked."""

_WIDE = (
    TableColumn("", 8, 24, fits=True, grow=1, floor=8, gap=0, cut="middle"),
    TableColumn("", 3),
    TableColumn("█USED▒RESVD", 14, 27, drop=3, gap=2, grow=2, floor=12),
    TableColumn("RESERVED ", 9, 14, right=True, fits=True, gap=0),
    TableColumn("USED", 6, 8, right=True, fits=True, drop=2),
    TableColumn("30m", 9, drop=1),
)
_NARROW = (
    TableColumn("", 10, 20, fits=True, floor=10, grow=1, gap=0, cut="middle"),
    TableColumn("", 3),
    TableColumn("", 11, drop=4),
    TableColumn("", 6, 10, right=True, fits=True, gap=0),
    TableColumn("", 3, drop=1),
    TableColumn("", 4, 6, right=True, fits=True, drop=1),
    TableColumn("", 3, gap=2),
    TableColumn("", 11, drop=3),
    TableColumn("", 8, 11, right=True, fits=True, gap=0),
    TableColumn("", 3, drop=2),
    TableColumn("", 5, 6, right=True, fits=True, drop=2),
)


def _make_bar_cell(used: float | None, reserved: float | None, total: float) -> Cell:
    tones = TwoToneBar(used or 0.0, reserved or 0.0, total)
    return Cell(tones, tones.load)


def _make_name_cell(pool: PoolEntry, look: Look) -> Cell:
    return Cell(look.sanitize(pool.name), "" if pool.status == "active" else "warn")


def make_wide_cells(row: PoolTableRow, look: Look, now: float) -> Cells:
    """Return the cells for the CPU or the memory of a pool."""
    pool = row.pool
    if row.memory:
        bar = _make_bar_cell(pool.measured_memory, pool.used_memory, pool.total_memory)
        pair, used = (
            units.format_memory_pair(pool.used_memory, pool.total_memory),
            units.format_memory(pool.measured_memory),
        )
        return (
            Cell(""),
            Cell("mem", "dim"),
            bar,
            Cell(look.adapt_text(pair)),
            Cell(look.adapt_text(used)),
            _make_history_cell(pool.memory_history, look),
        )
    bar = _make_bar_cell(pool.measured_cpu, pool.used_cpu, pool.total_cpu)
    pair, used = (
        units.format_cpu_pair(pool.used_cpu, pool.total_cpu),
        units.format_cpu(pool.measured_cpu),
    )
    return (
        _make_name_cell(pool, look),
        Cell("cpu", "dim"),
        bar,
        Cell(look.adapt_text(pair)),
        Cell(look.adapt_text(used)),
        _make_history_cell(pool.cpu_history, look),
    )


def _make_history_cell(shares: Sequence[float], look: Look) -> Cell:
    """Return the use over half an hour; in a plain look its mean."""
    if look.plain:
        return Cell(f"{sum(shares) / len(shares):.0%} mean" if shares else "", "dim")
    load = get_load_style(shares[-1], 1.0) if shares else ""
    return Cell(look.draw_sparkline(shares, 8, top=1.0), load)


def make_narrow_cells(row: PoolTableRow, look: Look, now: float) -> Cells:
    """Return the cells of a whole pool.

    In a plain look words replace the bars; the figures follow them in any case.
    """
    pool, reserved = row.pool, Cell("reserved", "dim")
    return (
        _make_name_cell(pool, look),
        Cell("cpu", "dim"),
        reserved
        if look.plain
        else _make_bar_cell(pool.measured_cpu, pool.used_cpu, pool.total_cpu),
        Cell(look.adapt_text(units.format_cpu_pair(pool.used_cpu, pool.total_cpu))),
        Cell("use", "dim"),
        Cell(look.adapt_text(units.format_cpu(pool.measured_cpu))),
        Cell("mem", "dim"),
        reserved
        if look.plain
        else _make_bar_cell(pool.measured_memory, pool.used_memory, pool.total_memory),
        Cell(look.adapt_text(units.format_memory_pair(pool.used_memory, pool.total_memory))),
        Cell("use", "dim"),
        Cell(look.adapt_text(units.format_memory(pool.measured_memory))),
    )


POOL_SECTION = TableSection(
    "pools", TableGrid(_WIDE, make_wide_cells), TableGrid(_NARROW, make_narrow_cells)
)


class PoolsPane(Table):
    """Every pool, and the host they share."""

    def __init__(self) -> None:
        super().__init__((POOL_SECTION,), id="pools")
        self._host = HostFacts()
        self._legend = ""

    def show_board(self, board: Board) -> None:
        self._host = board.host
        view = self.views[0]
        measured = self._format_measured_at(board)
        # On a wide terminal the column headings leave no room at the right end: the time of the
        # measurements follows the title, and the tail hides headings.
        view.title = "2 Pools" if self.is_narrow or not measured else f"2 Pools  {measured}"
        legend = "" if self.look.plain else "█ used ▒ reserved · free"  # words need no legend
        self._legend = self.look.adapt_text(measured or legend) if self.is_narrow else ""
        view.tail, view.tail_first = self._make_tail, True
        view.empty = [[(f"  {NO_MATCH}", "dim")]] if self.keep else ()
        kinds = (False,) if self.is_narrow else (False, True)
        view.together = len(kinds)
        self.show(
            {"pools": [PoolTableRow(pool, memory) for pool in board.pools for memory in kinds]}
        )

    def _make_tail(self, view: SectionView) -> list[Wordings]:
        """Return the legend of the bars, and the number of hidden pools."""
        wordings: list[Wordings] = [(self._legend,)] if self._legend else []
        shown, every = len(view.list_visible()) // view.together, len(view.rows) // view.together
        if shown >= every:
            return wordings
        if view.offset:
            return [*wordings, (f"these {shown} of {every:,}", f"{shown} of {every:,}")]
        return [*wordings, (f"+{every - shown:,} more", f"+{every - shown:,}")]

    def go_to_row(self, key: str) -> bool:
        """Put the cursor on the line that has the pool's name."""
        return super().go_to_row(key.removesuffix(MEMORY_SUFFIX))

    def action_move(self, by: int) -> None:
        """Move by pools, which have one or two lines."""
        super().action_move(by * self.views[0].together if abs(by) == 1 else by)

    def _format_measured_at(self, board: Board) -> str:
        """Return the time of the measurements if they are old, else ""."""
        at = board.measured_at or board.at
        late = board.measured_at is not None or self.now - at > STALE_AFTER
        return f"measured {format_time_and_age(at, self.now)}" if at and late else ""

    def draw(self, strips: Sequence[Strip]) -> None:
        """Draw the host on the last line of a wide terminal if no pool needs the line."""
        if not self.is_narrow and len(strips) > len(self.views[0].rows) + 1:
            strips = [
                *strips[:-1],
                self.look.strip(
                    make_host_line(self._host, self.look, self.size.width), self.size.width
                ),
            ]
        super().draw(strips)


def make_host_line(host: HostFacts, look: Look, room: int) -> list[Span]:
    """Return a line such as `host   cpu 11.2 of 16   mem 41.0 of 64G   disk 212G`.

    Unknown values, and values that do not fit, are left out.
    """
    spans: list[Span] = [("  host  ", "dim")]
    for word, text, style in _list_host_values(host):
        more: list[Span] = [(f" {word} ", "dim"), (text, style), ("  ", "")]
        if measure_spans([*spans, *more[:2]]) <= room:
            spans += more
    return spans if len(spans) > 1 else []


def _style_load(part: float, whole: float) -> str:
    """Return the style of a figure: a calm one has no colour."""
    return get_load_style(part, whole).replace("calm", "")


def _list_host_values(host: HostFacts) -> Iterator[tuple[str, str, str]]:
    if host.cpu_used is not None:
        yield "cpu", f"{host.cpu_used:.1f} of {host.cores}", _style_load(host.cpu_used, host.cores)
    if host.memory_used is not None and host.memory_total is not None:
        yield (
            "mem",
            units.format_memory_pair(host.memory_used, host.memory_total).replace("/", " of "),
            _style_load(host.memory_used, host.memory_total),
        )
    if host.disk_free is not None:
        low = host.disk_free < LOW_DISK
        yield (
            "disk",
            units.format_bytes(host.disk_free) + ("!" if low else ""),
            "broken" if low else "",
        )
