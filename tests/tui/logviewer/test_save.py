"""Saving a log: exact bytes, atomically, without overwriting unasked; and path completion."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.tui.logviewer import save
from app.tui.logviewer.save import (
    SaveCancelledError,
    complete_path,
    resolve_path,
    save_log,
    suggest_name,
)
from app.tui.logviewer.source import FileSource, TextSource

pytestmark = pytest.mark.unit

RAW_LOG = b"\x1b[31mred\x1b[0m\r\n\x00\xff\xfe no newline"


def is_wanted() -> bool:
    return True


def make_source(folder: Path, data: bytes = RAW_LOG) -> FileSource:
    (folder / "source").write_bytes(data)
    return FileSource(str(folder / "source"))


def test_a_saved_log_is_identical_to_the_byte(tmp_path: Path) -> None:
    assert save_log(
        make_source(tmp_path), tmp_path / "x.log", replace=False, wanted=is_wanted
    ) == len(RAW_LOG)

    assert (tmp_path / "x.log").read_bytes() == RAW_LOG


def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    target = tmp_path / "x.log"
    target.write_text("precious")
    with pytest.raises(FileExistsError):
        save_log(make_source(tmp_path), target, replace=False, wanted=is_wanted)
    assert target.read_text() == "precious"

    save_log(make_source(tmp_path), target, replace=True, wanted=is_wanted)
    assert target.read_bytes() == RAW_LOG
    assert sorted(os.listdir(tmp_path)) == ["source", "x.log"]


def test_only_regular_files_are_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("/nowhere/at/all")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "dangling", Path("/dev/null")):
        for replace in (False, True):
            with pytest.raises(OSError, match="not a regular file"):
                save_log(TextSource("x"), path, replace=replace, wanted=is_wanted)


@pytest.fixture
def file_size_limit() -> Iterator[None]:
    """Limit files to 64 KiB: the kernel then refuses writes as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("replace", [False, True])
def test_a_full_disk_leaves_nothing_behind_and_loses_nothing(
    replace: bool, tmp_path: Path, file_size_limit: None
) -> None:
    if replace:
        (tmp_path / "x.log").write_text("precious")
    with pytest.raises(OSError, match="File too large"):
        save_log(TextSource("x" * 200_000), tmp_path / "x.log", replace=replace, wanted=is_wanted)

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [
        ("x.log", "precious")
    ] * replace


def test_a_cancelled_save_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(save, "_CHUNK", 10)
    wanted = iter([True, True, False])
    with pytest.raises(SaveCancelledError):
        save_log(
            TextSource("x" * 100), tmp_path / "x.log", replace=False, wanted=lambda: next(wanted)
        )

    assert list(tmp_path.iterdir()) == []


def test_a_log_truncated_meanwhile_is_saved_up_to_its_end(tmp_path: Path) -> None:
    source = make_source(tmp_path, b"x" * 100)
    (tmp_path / "source").write_bytes(b"x" * 10)

    assert save_log(source, tmp_path / "x.log", replace=False, wanted=is_wanted) == 10


def test_a_typed_path_is_resolved_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert (
        resolve_path("~/x.log", "n")
        == resolve_path("x.log", "n")
        == resolve_path("./a/../x.log", "n")
        == tmp_path / "x.log"
    )
    assert resolve_path("~", "n.log") == tmp_path / "n.log"
    assert resolve_path("not-there/", "n.log") == tmp_path / "not-there" / "n.log"


@pytest.mark.parametrize(
    ("name", "attempt", "file"),
    [("resnet50-sweep-06", 1, "7-resnet50-sweep-06.log"),
    ("夜间 备份", 2, "7-夜间-备份-attempt2.log"),
    ("../[red]$(x)", 1, "7-red-x.log"),
     ("…", 1, "7.log"), ("x" * 300, 1, f"7-{'x' * 80}.log")],
)  # fmt: skip
def test_the_suggested_file_name_needs_no_quoting(name: str, attempt: int, file: str) -> None:
    assert suggest_name(7, name, attempt) == file


def test_folders_are_completed_to_their_common_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("alpha", "alpine", "beta", ".hidden", "bad\x1b]52;c;x\x07", "gamma/delta"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "afile").touch()
    monkeypatch.chdir(tmp_path)

    assert complete_path("al") == ("alp", ["alpha", "alpine"])
    assert complete_path("be") == ("beta/", ["beta"])
    assert complete_path(f"{tmp_path}/gamma/") == (f"{tmp_path}/gamma/delta/", ["delta"])
    assert complete_path(".h") == (".hidden/", [".hidden"])
    assert complete_path("")[1] == ["alpha", "alpine", "beta", "gamma"]
    for typed in ("afile", "nowhere/x", "bad", "\0", "~nobody-by-that-name/"):
        assert complete_path(typed) == (typed, [])
