"""Header: age of the newest backup and of the replica, and problems."""

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
    if bearings.title:
        assert line.startswith(" Deck › ") and "eep-06  " in line
    elif not (bearings.read_only and cells == 60 and lag > 1):
        assert "render01" in line
    assert not bearings.read_only or line.startswith(" READ ONLY  ")
    assert not bearings.tab or "[3]" in line
