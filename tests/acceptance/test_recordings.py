"""Acceptance tests with recorded program output: safe on a terminal, exact in a pipe."""

from __future__ import annotations

import gzip

import pytest

from tests.acceptance.escape_sequences import find_faults
from tests.core.scheduling.trace_files import CASES

EMOJI = b"# emoji-test.txt"
FIRST_LINE, LAST_LINE = "first line of the recordings", "last line of the recordings"


def read_recordings():
    """Yield every recording: escape sequences, naughty strings, progress bars, binary files."""
    assert CASES is not None
    for path in sorted((CASES / "terminal").rglob("*")):
        if path.is_file() and not path.name.endswith((".json", ".md", "NOTES")):
            yield gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def thin_out(recording: bytes) -> bytes:
    """Return every 21st line of the emoji list, or the whole text.

    The emoji list makes up a third of all pages.
    """
    return (
        b"".join(recording.splitlines(keepends=True)[::21])
        if recording.startswith(EMOJI)
        else recording
    )


def run_writer(house, name, texts):
    """Run one task that writes all texts between two known lines."""
    (house.work / name).write_bytes(b"\n".join([FIRST_LINE.encode(), *texts, LAST_LINE.encode()]))
    assert house.run_cli("submit", "--wait", "-n", name, "--", "cat", name).returncode == 0


@pytest.fixture(scope="module")
def recorded_home(shared_home):
    """Return a home with task #1 of all recordings and task #2 of one page of each kind."""
    run_writer(shared_home, "recordings", read_recordings())
    run_writer(shared_home, "pages", map(thin_out, read_recordings()))
    return shared_home


def test_piped_recordings_are_exact(recorded_home):
    assert recorded_home.run_shell("taskdeck logs 1 | cmp - recordings").returncode == 0


def test_recordings_do_not_drive_a_terminal(recorded_home):
    with recorded_home.open_terminal("logs", "2") as terminal:
        assert terminal.end(60) == 0

    assert LAST_LINE in terminal.text
    assert find_faults(bytes(terminal.raw)) == []


def test_every_log_page_shows_only_text_and_known_sequences(recorded_home):
    with recorded_home.open_terminal(columns=100, rows=200) as deck:
        deck.wait("✓ pages").type("l").wait(LAST_LINE)
        for key, end in (("b", FIRST_LINE), (" ", LAST_LINE)):
            while end not in deck.text:
                shown = deck.text
                deck.type(key).wait(lambda t, shown=shown: t.text != shown)
        deck.type("q").wait("Next to start").type("q")
        assert deck.end() == 0

    assert find_faults(bytes(deck.raw)) == []
