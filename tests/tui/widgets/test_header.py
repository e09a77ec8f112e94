"""Header: runtime, counters, ages of the newest backup and of the replica, and problems."""

from __future__ import annotations

import pytest

from app.core.board import BackupFacts, ReplicaFacts
from app.core.text.sanitize import measure_width as cells_of
from app.tui.style import Look
from app.tui.widgets.header import HeaderContext, build_header
from tests.tui import boards
from tests.tui.boards import NOW

pytestmark = pytest.mark.unit


def render_first_line(
    width: int, backup: BackupFacts | None, replica: ReplicaFacts | None = None
) -> str:
    board = boards.busy()._replace(backup=backup, replica=replica)
    line = "".join(text for text, _ in build_header(board, HeaderContext(), NOW, Look(), width)[0])
    assert len(line) <= width
    return line


@pytest.mark.parametrize(
    ("width", "backup", "says"),
    [
        (120, BackupFacts(NOW - 41 * 60), "  backup 41m  "),
        (120, BackupFacts(), "  no backup yet  "),
        (80, BackupFacts(NOW - 3 * 86400, late=True), "  backup 3d00h!  "),
        (80, BackupFacts(None, late=True), "  no backup!  "),
        (120, BackupFacts(None, late=True), "  no backup!  "),
        (120, BackupFacts(NOW + 5), "  backup 0s  "),
    ],
)
def test_the_header_shows_the_age_of_the_newest_backup(width: int, backup: BackupFacts, says: str):
    assert says.replace("3d00h", "3d") in render_first_line(width, backup).replace("3d00h", "3d")


@pytest.mark.parametrize(
    ("width", "backup"), [(80, BackupFacts(NOW - 60)), (109, BackupFacts()), (120, None)]
)
def test_no_backup_age_without_space_or_data(width: int, backup: BackupFacts | None):
    assert "backup" not in render_first_line(width, backup)


def test_the_replica_is_shown_only_when_late():
    assert "replica" not in render_first_line(120, None, ReplicaFacts(30.0))
    assert "  replica 5m!  " in render_first_line(80, None, ReplicaFacts(300.0, late=True))
    assert "  no replica!  " in render_first_line(80, None, ReplicaFacts(None, late=True))


@pytest.mark.parametrize("bearings", [
    HeaderContext(), HeaderContext(title="Deck › #1042 resnet50-sweep-06"),
    HeaderContext(read_only=True),
    HeaderContext(tab="3", places=(("2", ""), ("3", ""))),
], ids=["deck", "title", "read-only", "one pane"])  # fmt: skip
@pytest.mark.parametrize("cells", [60, 80, 100])
@pytest.mark.parametrize("lag", [0.003, 3.2], ids=["quiet", "late"])
def test_problems_and_location_fit_the_header_at_every_width(
    bearings: HeaderContext, cells: int, lag: float
):
    board = boards.halted()
    board = board._replace(runtime=board.runtime._replace(tick_lag=lag))
    line = "".join(text for text, _ in build_header(board, bearings, boards.NOW, Look(), cells)[0])

    assert cells_of(line) == cells and "NOTHING STARTS" in line and "db DISK FULL" in line
    assert ("TICK 3.2s!" in line) is (lag > 1)
    if bearings.title:
        assert line.startswith(" Deck › ") and "eep-06  " in line
    elif not (bearings.read_only and cells == 60 and lag > 1):
        assert "render01" in line
    assert not bearings.read_only or line.startswith(" READ ONLY  ")
    assert not bearings.tab or "[3]" in line


@pytest.mark.parametrize(("cells", "shown"), [(80, "● ok  10:42 "), (120, "● runtime ok  db ok  ")])
@pytest.mark.parametrize("lag", [0.003, 3.2])
def test_process_id_and_tick_are_shown_only_when_the_runtime_is_slow(
    cells: int, shown: str, lag: float
):
    board = boards.busy()
    board = board._replace(runtime=board.runtime._replace(tick_lag=lag))
    line = "".join(text for text, _ in build_header(board, HeaderContext(), NOW, Look(), cells)[0])

    assert ("4120" in line and "TICK 3.2s!" in line) is (lag > 1)
    assert (shown in line and "tick" not in line) is (lag < 1)


@pytest.mark.parametrize(("cells", "counters"), [
    (80, "7 running, 22 waiting, 9 later, 3 failed "),
    (120, "7 running, 22 waiting, 3 blocked, 2 held, 4 scheduled, 3 failed "),
])  # fmt: skip
def test_counters_are_separated(cells: int, counters: str):
    lines = build_header(boards.busy(), HeaderContext(failures=3), NOW, Look(), cells)
    assert counters in "".join(text for text, _ in lines[-1])


def test_counters_of_one_kind_have_its_name_at_80_columns():
    board = boards.busy()._replace(counts={"running": 7, "queued": 22, "held": 2})
    line = build_header(board, HeaderContext(failures=3), NOW, Look(), 80)[0]
    assert "7 running, 22 waiting, 2 held, 3 failed " in "".join(text for text, _ in line)


@pytest.mark.parametrize(("load", "style"), [(3.0, "dim"), (15.0, "busy"), (80.0, "over")])
def test_the_load_of_the_machine_has_a_colour(load: float, style: str):
    board = boards.busy()
    board = board._replace(host=board.host._replace(load=load))
    spans = build_header(board, HeaderContext(), NOW, Look(), 120)[0]
    mark = "!" if style == "over" else ""
    assert (f"  load {load}/16{mark}", style) in spans
