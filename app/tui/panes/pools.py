"""Pools pane (2): the reserved and the used part of each pool, and the resources they share.

On wide terminals the host is below them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from textual.strip import Strip

from app.core.board import (
    Board,
    BookingEntry,
    DeviceEntry,
    HostFacts,
    OuterUse,
    PoolEntry,
    ResourceUse,
)
from app.core.scheduling.resources import format_use
from app.core.text import units
from app.translation import tr
from app.tui.data.list_rows import PoolTableRow
from app.tui.style import Look, Span, get_load_style, measure_spans
from app.tui.time_format import format_time_and_age, format_wall_time
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
    TableColumn("", 3, 14, fits=True, cut="middle"),
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
    TableColumn("", 3, 4, fits=True, gap=2),
    TableColumn("", 11, drop=3),
    TableColumn("", 8, 11, right=True, fits=True, gap=0),
    TableColumn("", 3, drop=2),
    TableColumn("", 5, 6, right=True, fits=True, drop=2),
)
_NARROW_NAMED = (
    *_NARROW[:2],
    TableColumn("", 6, 11, drop=4, grow=2),
    *_NARROW[3:7],
    TableColumn("", 6, 11, drop=3, grow=3),
    *_NARROW[8:],
    TableColumn("", 7, 24, fits=True, gap=2),
)
"""Columns if a pool has named resources: shorter bars."""


def _make_bar_cell(used: float | None, reserved: float | None, total: float) -> Cell:
    tones = TwoToneBar(used or 0.0, reserved or 0.0, total)
    return Cell(tones, tones.load)


def _make_name_cell(pool: PoolEntry, look: Look) -> Cell:
    return Cell(look.sanitize(pool.name), "" if pool.status == "active" else "warn")


def make_wide_cells(row: PoolTableRow, look: Look, now: float) -> Cells:
    """Return the cells for the CPU, the memory or a named resource of a pool."""
    pool = row.pool
    if pool.outer:
        return _make_outer_cells(pool, pool.outer, look)
    if row.resource:
        return _make_resource_cells(row.resource, look)
    if row.memory:
        bar = _make_bar_cell(pool.measured_memory, pool.used_memory, pool.total_memory)
        pair, used = (
            units.format_memory_pair(pool.used_memory, pool.total_memory),
            units.format_memory(pool.measured_memory),
        )
        return (
            Cell(""),
            Cell(tr("mem"), "dim"),
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


def _make_outer_cells(pool: PoolEntry, use: OuterUse, look: Look) -> Cells:
    """Return the cells of a Slurm pool: what runs and waits there, and the usable nodes."""
    text, style = _format_nodes(use)
    nodes = Cell(look.adapt_text(f" · {text}") if text else "", style)
    count = Cell(tr("{running} run {waiting} wait", running=use.running, waiting=use.waiting))
    return _make_name_cell(pool, look), Cell("slurm", "dim"), count, nodes, Cell(""), Cell("")


def _format_nodes(use: OuterUse) -> tuple[str, str]:
    """Return the usable nodes with their style; a cluster in trouble takes nothing."""
    if use.trouble:
        return tr("no Slurm"), "warn"
    if not use.nodes:
        return "", ""
    return tr(
        "{usable}/{nodes} nodes", usable=use.usable, nodes=use.nodes
    ), "" if use.usable == use.nodes else "warn"


def _make_resource_cells(one: ResourceUse, look: Look) -> Cells:
    bar = _make_bar_cell(None, one.used, one.total)
    name, pair = look.sanitize(one.name), f"{one.used}/{one.total}"
    return Cell(""), Cell(name, "dim"), bar, Cell(pair), Cell(""), Cell("")


def _make_history_cell(shares: Sequence[float], look: Look) -> Cell:
    """Return the use over half an hour; in a plain look its mean."""
    if look.plain:
        return Cell(
            tr("{share:.0%} mean", share=sum(shares) / len(shares)) if shares else "", "dim"
        )
    load = get_load_style(shares[-1], 1.0) if shares else ""
    return Cell(look.draw_sparkline(shares, 8, top=1.0), load)


def make_narrow_cells(row: PoolTableRow, look: Look, now: float) -> Cells:
    """Return the cells of a whole pool.

    In a plain look words replace the bars; the figures follow them in any case.
    """
    pool, reserved, blank = row.pool, Cell(tr("reserved"), "dim"), Cell("")
    if pool.outer:
        return (
            _make_name_cell(pool, look), blank, Cell("slurm", "dim"),
            Cell(tr("{running} run", running=pool.outer.running)), blank, blank, blank,
            Cell(tr("{waiting} wait", waiting=pool.outer.waiting)),
            Cell(*_format_nodes(pool.outer)), blank, blank,
        )  # fmt: skip
    return (
        _make_name_cell(pool, look),
        Cell("cpu", "dim"),
        reserved
        if look.plain
        else _make_bar_cell(pool.measured_cpu, pool.used_cpu, pool.total_cpu),
        Cell(look.adapt_text(units.format_cpu_pair(pool.used_cpu, pool.total_cpu))),
        Cell(tr("use"), "dim"),
        Cell(look.adapt_text(units.format_cpu(pool.measured_cpu))),
        Cell(tr("mem"), "dim"),
        reserved
        if look.plain
        else _make_bar_cell(pool.measured_memory, pool.used_memory, pool.total_memory),
        Cell(look.adapt_text(units.format_memory_pair(pool.used_memory, pool.total_memory))),
        Cell(tr("use"), "dim"),
        Cell(look.adapt_text(units.format_memory(pool.measured_memory))),
    )


def _make_narrow_named_cells(row: PoolTableRow, look: Look, now: float) -> Cells:
    """Return the cells of a whole pool, with its named resources in the last one."""
    cells = make_narrow_cells(row, look, now)
    if look.plain:  # the bars leave no room for words
        cells = tuple(Cell("") if i in (2, 7) else cell for i, cell in enumerate(cells))
    return *cells, Cell(_join_uses(row.pool.resources))


def _join_uses(found: Sequence[ResourceUse]) -> str:
    return ", ".join(format_use(one.name, one.used, one.total) for one in found)


POOL_SECTION = TableSection(
    "pools", TableGrid(_WIDE, make_wide_cells), TableGrid(_NARROW, make_narrow_cells)
)
NAMED_SECTION = POOL_SECTION._replace(narrow=TableGrid(_NARROW_NAMED, _make_narrow_named_cells))
"""The section while a pool has named resources."""


class PoolsPane(Table):
    """Every pool, and the host they share."""

    def __init__(self) -> None:
        super().__init__((POOL_SECTION,), id="pools")
        self._host = HostFacts()
        self._shared: Sequence[ResourceUse] = ()
        self._devices: Sequence[DeviceEntry] = ()
        self._bookings: Sequence[BookingEntry] = ()
        self._names: Mapping[int, str] = {}
        self._legend = ""

    def show_board(self, board: Board) -> None:
        self._host, self._shared, self._devices = board.host, board.resources, board.devices
        self._bookings = board.bookings
        self._names = {run.number: run.name for run in board.running} if self._devices else {}
        view = self.views[0]
        part = NAMED_SECTION if any(pool.resources for pool in board.pools) else POOL_SECTION
        if view.part is not part:
            self.set_section(part)
        measured = self._format_measured_at(board)
        # On a wide terminal the column headings leave no room at the right end: the time of the
        # measurements follows the title, and the tail hides headings.
        view.title = (
            tr("2 Pools")
            if self.is_narrow or not measured
            else tr("2 Pools  {measured}", measured=measured)
        )
        legend = "" if self.look.plain else tr("█ used ▒ reserved · free")  # words need no legend
        self._legend = self.look.adapt_text(measured or legend) if self.is_narrow else ""
        view.tail, view.tail_first = self._make_tail, True
        view.empty = [[(f"  {tr(NO_MATCH)}", "dim")]] if self.keep else ()
        lines = [self._list_lines(pool) for pool in board.pools]
        view.together = max(map(len, lines), default=1)
        self.show({"pools": [row for rows in lines for row in rows]})

    def _list_lines(self, pool: PoolEntry) -> list[PoolTableRow]:
        if self.is_narrow:
            return [PoolTableRow(pool)]
        if pool.outer:
            return [PoolTableRow(pool)]
        named = [PoolTableRow(pool, resource=one) for one in pool.resources]
        return [PoolTableRow(pool), PoolTableRow(pool, memory=True), *named]

    def _make_tail(self, view: SectionView) -> list[Wordings]:
        """Return the legend of the bars, and the number of hidden pools."""
        wordings: list[Wordings] = [(self._legend,)] if self._legend else []
        shown, every = self._count_whole(view), sum(row.is_first for row in view.rows)
        if shown >= every:
            return wordings
        if view.offset:
            return [
                *wordings,
                (
                    tr("these {shown} of {every:,}", shown=shown, every=every),
                    tr("{shown} of {every:,}", shown=shown, every=every),
                ),
            ]
        return [*wordings, (tr("+{more:,} more", more=every - shown), f"+{every - shown:,}")]

    def _count_whole(self, view: SectionView) -> int:
        """Return the number of pools of which all lines are visible."""
        lines = Counter(row.pool for row in view.list_visible())
        return sum(count == len(self._list_lines(pool)) for pool, count in lines.items())

    def go_to_row(self, key: str) -> bool:
        """Put the cursor on the line that has the pool's name."""
        return super().go_to_row(key.partition("/")[0])

    def action_move(self, by: int) -> None:
        """Move by pools, which have one line or several."""
        super().action_move(self._count_lines_to_next(by) if abs(by) == 1 else by)

    def _count_lines_to_next(self, by: int) -> int:
        """Return the lines to the first one of the next pool in a direction; 0 without one."""
        rows, here = self.views[0].rows, self._find_position(self.cursor) or 0
        step = range(here + 1, len(rows)) if by > 0 else range(here - 1, -1, -1)
        found = (i for i in step if rows[i].is_first and rows[i].pool != rows[here].pool)
        return next(found, here) - here

    def _format_measured_at(self, board: Board) -> str:
        """Return the time of the measurements if they are old, else ""."""
        at = board.measured_at or board.at
        late = board.measured_at is not None or self.now - at > STALE_AFTER
        return (
            tr("measured {time_and_age}", time_and_age=format_time_and_age(at, self.now))
            if at and late
            else ""
        )

    def draw(self, strips: Sequence[Strip]) -> None:
        """Draw what pools share, and on a wide terminal the host, on lines that no pool needs."""
        width, free = self.size.width, len(strips) - len(self.views[0].rows) - 1
        below = [make_shared_line(self._shared, self.look)] if self._shared and free > 0 else []
        room = free - len(below)
        below += [make_booking_line(b, self.look, self.now) for b in self._bookings[:room]]
        below += make_device_lines(self._devices, self._names, self.look, free - len(below))
        if not self.is_narrow and free > len(below):
            below.append(make_host_line(self._host, self.look, width))
        kept = strips[: len(strips) - len(below)]
        super().draw([*kept, *(self.look.strip(spans, width) for spans in below)])


def make_device_lines(
    devices: Sequence[DeviceEntry], names: Mapping[int, str], look: Look, room: int
) -> list[list[Span]]:
    """Return a line for each GPU, or one for all if there is no room for each."""
    if not devices or room < 1:
        return []
    if len(devices) > room:
        held, lost = sum(d.run is not None for d in devices), sum(bool(d.trouble) for d in devices)
        drained: list[Span] = [(tr("  {lost} not given", lost=lost), "warn")] if lost else []
        return [
            [
                (tr("  gpus  "), "dim"),
                (tr("{held} of {count} held", held=held, count=len(devices)), ""),
                *drained,
            ]
        ]
    return [_make_device_line(device, names, look) for device in devices]


def _make_device_line(device: DeviceEntry, names: Mapping[int, str], look: Look) -> list[Span]:
    """Return a line such as `gpu 0   62%   40.0/80G  61°C  #1042 resnet`.

    Without a driver nothing is measured.
    """
    use = units.MISSING if device.use is None else f"{device.use:.0%}"
    heat = "" if device.temperature is None else f"{device.temperature:.0f}°C"
    memory = ""
    if device.used_memory is not None and device.total_memory is not None:
        memory = units.format_memory_pair(device.used_memory, device.total_memory)
    is_measured = memory or heat or device.use is not None
    figures = look.adapt_text(f"{use:>5} {memory:>10} {heat:>5}  ") if is_measured else ""
    who = "" if device.run is None else f"#{device.run} {names.get(device.run, '')}".rstrip()
    trouble = (device.trouble or "").removeprefix(f"GPU {device.number} is ")
    state = "  ".join(filter(None, (who, trouble))) or tr("free")
    style = "warn" if device.trouble else "" if who else "dim"
    return [
        (tr("  gpu {number} ", number=device.number), "dim"),
        (figures, ""),
        (look.sanitize(state), style),
    ]


def make_booking_line(booking: BookingEntry, look: Look, now: float) -> list[Span]:
    """Return a line such as `kept  4 gpu of pool gpu for team=a until Fri 18:00`."""
    times = tr("until {time}", time=format_wall_time(booking.ends_at, now))
    if booking.begins_at > now:
        times = tr("from {time}", time=format_wall_time(booking.begins_at, now))
    text = tr(
        "{amounts} of pool {pool} for {tag} {times}",
        amounts=booking.amounts,
        pool=booking.pool,
        tag=booking.tag,
        times=times,
    )
    return [(tr("  kept  "), "dim"), (look.sanitize(text), "")]


def make_shared_line(shared: Sequence[ResourceUse], look: Look) -> list[Span]:
    """Return a line such as `shared  license.matlab 1/2, tape 0/1`."""
    return [(tr("  shared  "), "dim"), (look.adapt_text(_join_uses(shared)), "")]


def make_host_line(host: HostFacts, look: Look, room: int) -> list[Span]:
    """Return a line such as `host   cpu 11.2 of 16   mem 41.0 of 64G   disk 212G`.

    Unknown values, and values that do not fit, are left out.
    """
    spans: list[Span] = [(tr("  host  "), "dim")]
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
        yield (
            "cpu",
            tr("{cpu_used:.1f} of {cores}", cpu_used=host.cpu_used, cores=host.cores),
            _style_load(host.cpu_used, host.cores),
        )
    if host.memory_used is not None and host.memory_total is not None:
        yield (
            tr("mem"),
            units.format_memory_pair(host.memory_used, host.memory_total).replace("/", tr(" of ")),
            _style_load(host.memory_used, host.memory_total),
        )
    if host.disk_free is not None:
        low = host.disk_free < LOW_DISK
        yield (
            tr("disk"),
            units.format_bytes(host.disk_free) + ("!" if low else ""),
            "broken" if low else "",
        )
