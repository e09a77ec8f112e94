"""What the header says of backups and of the copy on another disk: their age where there is room, and always when they are late."""

from __future__ import annotations

import pytest

from app.core.board import BackupFacts, ReplicaFacts
from app.core.text.sanitize import width as cells_of
from app.tui.style import Look
from app.tui.widgets.header import Bearings, header_lines
from tests.tui import boards
from tests.tui.boards import NOW


def first_line(width: int, backup: BackupFacts | None, replica: ReplicaFacts | None = None) -> str:
    board = boards.busy()._replace(backup=backup, replica=replica)
    line = "".join(text for text, _ in header_lines(board, Bearings(), NOW, Look(), width)[0])
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
def test_the_age_of_the_newest_backup_is_told(width: int, backup: BackupFacts, says: str):
    assert says.replace("3d00h", "3d") in first_line(width, backup).replace("3d00h", "3d")


@pytest.mark.parametrize(("width", "backup"), [(80, BackupFacts(NOW - 60)), (109, BackupFacts()), (120, None)])
def test_where_there_is_no_room_or_nothing_to_tell_nothing_is_told(width: int, backup: BackupFacts | None):
    assert "backup" not in first_line(width, backup)


def test_the_copy_is_told_only_when_it_is_late():
    assert "replica" not in first_line(120, None, ReplicaFacts(30.0))
    assert "  replica 5m!  " in first_line(80, None, ReplicaFacts(300.0, late=True))
    assert "  no replica!  " in first_line(80, None, ReplicaFacts(None, late=True))


@pytest.mark.parametrize("bearings", [
    Bearings(), Bearings(title="Deck › #1042 resnet50-sweep-06"), Bearings(read_only=True),
    Bearings(tab="3", places=(("2", ""), ("3", ""))),
], ids=["deck", "title", "read-only", "one pane"])  # fmt: skip
@pytest.mark.parametrize("cells", [60, 80, 100])
@pytest.mark.parametrize("lag", [0.003, 3.2], ids=["quiet", "late"])
def test_whatever_is_in_trouble_one_sees_where_one_is_and_nothing_is_cut_off(bearings: Bearings, cells: int, lag: float):
    board = boards.halted()
    board = board._replace(runtime=board.runtime._replace(tick_lag=lag))
    line = "".join(text for text, _ in header_lines(board, bearings, boards.NOW, Look(), cells)[0])

    assert cells_of(line) == cells and "NOTHING STARTS" in line and "db DISK FULL" in line
    if bearings.title:
        assert line.startswith(" Deck › ") and "eep-06  " in line
    elif not (bearings.read_only and cells == 60 and lag > 1):
        assert "render01" in line
    assert not bearings.read_only or line.startswith(" READ ONLY  ")
    assert not bearings.tab or "[3]" in line
