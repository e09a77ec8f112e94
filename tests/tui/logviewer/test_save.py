"""Saving a log: exact bytes, whole or not at all, nothing overwritten unasked; folders completed."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.tui.logviewer import save as logviewer_save
from app.tui.logviewer.save import Stopped, completed, place, save, suggested
from app.tui.logviewer.source import FileSource, TextSource

RAW = b"\x1b[31mred\x1b[0m\r\n\x00\xff\xfe no newline"


def always() -> bool:
    return True


def a_source(folder: Path, data: bytes = RAW) -> FileSource:
    (folder / "source").write_bytes(data)
    return FileSource(str(folder / "source"))


def test_a_saved_log_is_what_was_written_to_the_byte(tmp_path: Path) -> None:
    assert save(a_source(tmp_path), tmp_path / "x.log", replace=False, wanted=always) == len(RAW)

    assert (tmp_path / "x.log").read_bytes() == RAW


def test_a_file_that_is_there_is_replaced_only_when_told_so(tmp_path: Path) -> None:
    target = tmp_path / "x.log"
    target.write_text("precious")
    with pytest.raises(FileExistsError):
        save(a_source(tmp_path), target, replace=False, wanted=always)
    assert target.read_text() == "precious"

    save(a_source(tmp_path), target, replace=True, wanted=always)
    assert target.read_bytes() == RAW
    assert sorted(os.listdir(tmp_path)) == ["source", "x.log"]


def test_what_is_no_file_is_never_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("/nowhere/at/all")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "dangling", Path("/dev/null")):
        for replace in (False, True):
            with pytest.raises(OSError, match="not a file"):
                save(TextSource("x"), path, replace=replace, wanted=always)


@pytest.fixture
def small_files() -> Iterator[None]:
    """Nothing may be written beyond 64 KiB of a file: the kernel refuses, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("replace", [False, True])
def test_where_there_is_no_room_nothing_is_left_behind_and_nothing_lost(
    replace: bool, tmp_path: Path, small_files: None
) -> None:
    if replace:
        (tmp_path / "x.log").write_text("precious")
    with pytest.raises(OSError, match="File too large"):
        save(TextSource("x" * 200_000), tmp_path / "x.log", replace=replace, wanted=always)

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.log", "precious")] * replace


def test_a_copy_that_nobody_wants_any_longer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logviewer_save, "_PIECE", 10)
    wanted = iter([True, True, False])
    with pytest.raises(Stopped):
        save(TextSource("x" * 100), tmp_path / "x.log", replace=False, wanted=lambda: next(wanted))

    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_cut_meanwhile_is_saved_as_far_as_it_goes(tmp_path: Path) -> None:
    source = a_source(tmp_path, b"x" * 100)
    (tmp_path / "source").write_bytes(b"x" * 10)

    assert save(source, tmp_path / "x.log", replace=False, wanted=always) == 10


def test_a_typed_path_means_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert place("~/x.log", "n") == place("x.log", "n") == place("./a/../x.log", "n") == tmp_path / "x.log"
    assert place("~", "n.log") == tmp_path / "n.log"
    assert place("not-there/", "n.log") == tmp_path / "not-there" / "n.log"


@pytest.mark.parametrize(
    ("name", "attempt", "file"),
    [("resnet50-sweep-06", 1, "7-resnet50-sweep-06.log"), ("夜间 备份", 2, "7-夜间-备份-attempt2.log"), ("../[red]$(x)", 1, "7-red-x.log"),
     ("…", 1, "7.log"), ("x" * 300, 1, f"7-{'x' * 80}.log")],
)  # fmt: skip
def test_the_name_that_is_offered_needs_no_quoting(name: str, attempt: int, file: str) -> None:
    assert suggested(7, name, attempt) == file


def test_folders_are_completed_as_far_as_they_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("alpha", "alpine", "beta", ".hidden", "bad\x1b]52;c;x\x07", "gamma/delta"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "afile").touch()
    monkeypatch.chdir(tmp_path)

    assert completed("al") == ("alp", ["alpha", "alpine"])
    assert completed("be") == ("beta/", ["beta"])
    assert completed(f"{tmp_path}/gamma/") == (f"{tmp_path}/gamma/delta/", ["delta"])
    assert completed(".h") == (".hidden/", [".hidden"])
    assert completed("")[1] == ["alpha", "alpine", "beta", "gamma"]
    for typed in ("afile", "nowhere/x", "bad", "\0", "~nobody-by-that-name/"):
        assert completed(typed) == (typed, [])
