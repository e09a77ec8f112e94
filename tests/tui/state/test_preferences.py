"""Preferences file of the deck, and the read marks stored in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.core.text.status_glyphs import FAILED_STATES
from app.tui.state import saved_views
from app.tui.state.preferences import Preferences
from app.tui.state.read_marks import MAX_VIEWED, ReadMarks
from app.tui.state.saved_views import SavedView
from tests.tui import boards

pytestmark = pytest.mark.unit


def test_preferences_persist_in_a_private_file(tmp_path: Path):
    Preferences(tmp_path).put("zoomed", "work")
    assert Preferences(tmp_path).get("zoomed", "") == "work"
    assert os.stat(tmp_path / "deck.json").st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["deck.json"]


def test_a_read_only_deck_reads_preferences_and_writes_none(tmp_path: Path):
    Preferences(tmp_path).put("failures_seen", 7.0)
    before = (tmp_path / "deck.json").read_bytes()
    memory = Preferences(tmp_path, read_only=True)
    memory.put("zoomed", "work")
    memory.update("opened", [], lambda known: [*known, "a"])
    memory.update("opened", [], lambda known: [*known, "b"])
    assert (
        memory.get("failures_seen", 0.0),
        memory.get("zoomed", ""),
        memory.get_latest("opened", []),
    ) == (7.0, "work", ["a", "b"])
    assert (tmp_path / "deck.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["deck.json"]


def test_two_decks_keep_each_other_s_preferences(tmp_path: Path):
    one, other = Preferences(tmp_path), Preferences(tmp_path)
    one.put("a", 1)
    other.put("b", 2)
    one.put("c", 3)
    found = Preferences(tmp_path)
    assert [found.get(name, 0) for name in "abc"] == [1, 2, 3]


def test_two_decks_keep_each_other_s_saved_views(tmp_path: Path):
    one, other = Preferences(tmp_path), Preferences(tmp_path)
    saved_views.save_view(one, SavedView("va", "queue:a"))
    saved_views.save_view(other, SavedView("vb", "queue:b"))
    assert [view.name for view in saved_views.list_views(one)[-2:]] == ["va", "vb"]

    assert saved_views.delete_view(one, "vb") and not saved_views.delete_view(other, "vb")
    assert [view.name for view in saved_views.list_views(Preferences(tmp_path))] == [
        *(view.name for view in saved_views.PREDEFINED),
        "va",
    ]


def test_two_decks_keep_each_other_s_seen_failures(tmp_path: Path):
    one, other = ReadMarks(Preferences(tmp_path)), ReadMarks(Preferences(tmp_path))
    one.mark_viewed("a", 1.0)
    other.mark_viewed("b", 2.0)
    assert Preferences(tmp_path).get("opened_at", {}) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"zoomed": 7}', "\x00\xff", "[" * 100_000], ids=repr
)
def test_an_invalid_file_counts_as_missing(tmp_path: Path, text: str):
    (tmp_path / "deck.json").write_text(text, encoding="latin-1")
    memory = Preferences(tmp_path)
    assert memory.get("zoomed", "usual") == "usual"
    memory.put("zoomed", "pools")
    assert Preferences(tmp_path).get("zoomed", "") == "pools"


def test_an_unwritable_home_causes_no_failure(tmp_path: Path):
    memory = Preferences(tmp_path / "not there")
    memory.put("zoomed", "work")
    assert memory.get("zoomed", "") == "work"
    assert not (tmp_path / "not there").exists()


def test_a_deck_of_root_writes_nothing_to_another_user_s_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    Preferences(tmp_path).put("layout", "wide")

    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_failures_stay_unseen_until_viewed():
    board, seen = boards.busy(), ReadMarks(Preferences(), lambda: boards.NOW)
    failed = next(line for line in board.ended if line.status == "failed")
    old = board._replace(
        ended=tuple(line._replace(ended_at=boards.NOW - 9_000) for line in board.ended)
    )
    assert seen.count_unseen(old) == 3
    assert [line.status for line in seen.list_shown_ended(old.ended, boards.NOW, 3600)] == [
        "failed",
        "timed_out",
    ]
    seen.mark_viewed(failed.uuid, boards.NOW - 9_000)
    assert seen.count_unseen(board) == 3, "it has failed once more since"
    assert seen.count_unseen(old) == 2
    assert [line.status for line in seen.list_shown_ended(old.ended, boards.NOW, 3600)] == [
        "timed_out"
    ]
    seen.mark_all_viewed(boards.NOW)
    assert (seen.count_unseen(old), seen.list_shown_ended(old.ended, boards.NOW, 3600)) == (0, ())
    assert seen.make_board_args() == {"seen": boards.NOW}


def test_recently_ended_rows_stay_visible():
    board, seen = boards.busy(), ReadMarks(Preferences(), lambda: boards.NOW)
    seen.mark_all_viewed(boards.NOW)
    assert seen.list_shown_ended(board.ended, boards.NOW, 3600) == board.ended


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -1e300, boards.NOW + 3600.0], ids=repr)
def test_an_impossible_time_counts_as_missing(at: float):
    memory = Preferences()
    memory.put("failures_seen", at)
    memory.put("looked", at)
    seen = ReadMarks(memory, lambda: boards.NOW)
    assert (seen.make_board_args(), seen.last_view, seen.count_unseen(boards.busy())) == (
        {},
        None,
        3,
    )


def test_the_number_of_remembered_failures_is_bounded():
    memory = Preferences()
    seen = ReadMarks(memory, lambda: boards.NOW)
    for number in range(MAX_VIEWED + 5):
        seen.mark_viewed(str(number), 1.0 + number)
    assert list(memory.get("opened_at", {})) == [str(number) for number in range(5, MAX_VIEWED + 5)]


def test_opened_failures_without_a_row_count_as_seen():
    """Lower the count for each failure it included, but not for one that ended earlier."""
    board, seen = boards.busy(), ReadMarks(Preferences(), lambda: boards.NOW)
    shown = min(line.ended_at for line in board.ended if line.status in FAILED_STATES)
    seen.mark_all_viewed(shown - 100)
    many = board._replace(failed=5)
    seen.mark_viewed("before that", shown - 101)
    assert seen.count_unseen(many) == 5
    seen.mark_viewed("beyond the rows", shown - 50)
    assert seen.count_unseen(many) == 4
    assert seen.count_unseen(board._replace(failed=2)) == 2, (
        "it was deleted: what is counted are the two rows"
    )
    seen.mark_all_viewed(boards.NOW - 20 * 86400)
    seen.mark_viewed("of which no board tells any more", boards.NOW - 9 * 86400)
    assert seen.count_unseen(many) == 5
