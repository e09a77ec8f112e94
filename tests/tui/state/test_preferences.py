"""What the deck remembers, and what it makes of what was looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.core.text.status_glyphs import BAD
from app.tui.state import saved_views
from app.tui.state.preferences import Memory
from app.tui.state.read_marks import MOST, Seen
from app.tui.state.saved_views import SavedView
from tests.tui import boards


def test_what_is_put_is_there_for_the_next_deck_and_private(tmp_path: Path):
    Memory(tmp_path).put("zoomed", "work")
    assert Memory(tmp_path).get("zoomed", "") == "work"
    assert os.stat(tmp_path / "deck.json").st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["deck.json"]


def test_a_deck_that_changes_nothing_knows_what_was_put_and_puts_nothing_there(tmp_path: Path):
    Memory(tmp_path).put("failures_seen", 7.0)
    before = (tmp_path / "deck.json").read_bytes()
    memory = Memory(tmp_path, read_only=True)
    memory.put("zoomed", "work")
    memory.change("opened", [], lambda known: [*known, "a"])
    memory.change("opened", [], lambda known: [*known, "b"])
    assert (memory.get("failures_seen", 0.0), memory.get("zoomed", ""), memory.latest("opened", [])) == (7.0, "work", ["a", "b"])
    assert (tmp_path / "deck.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["deck.json"]


def test_two_decks_of_a_home_do_not_forget_what_the_other_put(tmp_path: Path):
    one, other = Memory(tmp_path), Memory(tmp_path)
    one.put("a", 1)
    other.put("b", 2)
    one.put("c", 3)
    found = Memory(tmp_path)
    assert [found.get(name, 0) for name in "abc"] == [1, 2, 3]


def test_two_decks_of_a_home_save_views_beside_each_other(tmp_path: Path):
    one, other = Memory(tmp_path), Memory(tmp_path)
    saved_views.save(one, SavedView("va", "queue:a"))
    saved_views.save(other, SavedView("vb", "queue:b"))
    assert [view.name for view in saved_views.saved(one)[-2:]] == ["va", "vb"]

    assert saved_views.forget(one, "vb") and not saved_views.forget(other, "vb")
    assert [view.name for view in saved_views.saved(Memory(tmp_path))] == [*(view.name for view in saved_views.OURS), "va"]


def test_failures_seen_at_one_deck_stay_seen_when_another_sees_more(tmp_path: Path):
    one, other = Seen(Memory(tmp_path)), Seen(Memory(tmp_path))
    one.opened("a", 1.0)
    other.opened("b", 2.0)
    assert Memory(tmp_path).get("opened_at", {}) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"zoomed": 7}', "\x00\xff", "[" * 100_000], ids=repr)
def test_a_file_that_makes_no_sense_counts_as_none(tmp_path: Path, text: str):
    (tmp_path / "deck.json").write_text(text, encoding="latin-1")
    memory = Memory(tmp_path)
    assert memory.get("zoomed", "usual") == "usual"
    memory.put("zoomed", "pools")
    assert Memory(tmp_path).get("zoomed", "") == "pools"


def test_a_home_that_cannot_be_written_to_is_no_trouble(tmp_path: Path):
    memory = Memory(tmp_path / "not there")
    memory.put("zoomed", "work")
    assert memory.get("zoomed", "") == "work"
    assert not (tmp_path / "not there").exists()


def test_a_deck_of_root_leaves_nothing_in_the_home_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    Memory(tmp_path).put("layout", "wide")

    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_failures_stay_until_they_are_looked_at():
    board, seen = boards.busy(), Seen(Memory(), lambda: boards.NOW)
    failed = next(line for line in board.ended if line.status == "failed")
    old = board._replace(ended=tuple(line._replace(ended_at=boards.NOW - 9_000) for line in board.ended))
    assert seen.unseen(old) == 3
    assert [line.status for line in seen.left(old.ended, boards.NOW, 3600)] == ["failed", "timed_out"]
    seen.opened(failed.uuid, boards.NOW - 9_000)
    assert seen.unseen(board) == 3, "it has failed once more since"
    assert seen.unseen(old) == 2
    assert [line.status for line in seen.left(old.ended, boards.NOW, 3600)] == ["timed_out"]
    seen.all(boards.NOW)
    assert (seen.unseen(old), seen.left(old.ended, boards.NOW, 3600)) == (0, ())
    assert seen.asked() == {"seen": boards.NOW}


def test_what_ended_a_moment_ago_stays_whatever_was_seen():
    board, seen = boards.busy(), Seen(Memory(), lambda: boards.NOW)
    seen.all(boards.NOW)
    assert seen.left(board.ended, boards.NOW, 3600) == board.ended


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -1e300, boards.NOW + 3600.0], ids=repr)
def test_a_time_that_cannot_be_counts_as_none(at: float):
    memory = Memory()
    memory.put("failures_seen", at)
    memory.put("looked", at)
    seen = Seen(memory, lambda: boards.NOW)
    assert (seen.asked(), seen.last_look, seen.unseen(boards.busy())) == ({}, None, 3)


def test_failures_opened_one_by_one_are_not_remembered_without_end():
    memory = Memory()
    seen = Seen(memory, lambda: boards.NOW)
    for number in range(MOST + 5):
        seen.opened(str(number), 1.0 + number)
    assert list(memory.get("opened_at", {})) == [str(number) for number in range(5, MOST + 5)]


def test_failures_that_the_board_has_no_row_for_count_as_seen_when_they_were_opened():
    """You should see the header's count fall for each, and not for one that the count never had: it ended before all was seen."""
    board, seen = boards.busy(), Seen(Memory(), lambda: boards.NOW)
    shown = min(line.ended_at for line in board.ended if line.status in BAD)
    seen.all(shown - 100)
    many = board._replace(failed=5)
    seen.opened("before that", shown - 101)
    assert seen.unseen(many) == 5
    seen.opened("beyond the rows", shown - 50)
    assert seen.unseen(many) == 4
    assert seen.unseen(board._replace(failed=2)) == 2, "it was deleted: what is counted are the two rows"
    seen.all(boards.NOW - 20 * 86400)
    seen.opened("of which no board tells any more", boards.NOW - 9 * 86400)
    assert seen.unseen(many) == 5
