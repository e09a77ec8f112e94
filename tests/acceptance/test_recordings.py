"""Output that real programs and terminal authors' tests wrote: safe on a terminal, in the log view, exact through a pipe."""

from __future__ import annotations

import gzip

import pytest

from tests.acceptance.escape_sequences import faults
from tests.core.scheduling.trace_files import CASES

EMOJI = b"# emoji-test.txt"
HEAD, TAIL = "first line of the recordings", "last line of the recordings"


def recordings():
    """Every recording, one after the other: escapes of all kinds, naughty strings, progress bars, binary files."""
    assert CASES is not None
    for path in sorted((CASES / "terminal").rglob("*")):
        if path.is_file() and not path.name.endswith((".json", ".md", "NOTES")):
            yield gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def thinned(recording: bytes) -> bytes:
    """Every 21st line of the list of emoji, whose 5,000 lines make a third of all pages and repeat themselves; the others whole."""
    return b"".join(recording.splitlines(keepends=True)[::21]) if recording.startswith(EMOJI) else recording


def written_by_a_task(house, name, texts):
    """One task writes them all, between two lines that are known."""
    (house.work / name).write_bytes(b"\n".join([HEAD.encode(), *texts, TAIL.encode()]))
    assert house.td("submit", "--wait", "-n", name, "--", "cat", name).returncode == 0


@pytest.fixture(scope="module")
def recorded(shared_house):
    """A home in which one task wrote them all, #1, and one all lines of a kind, #2."""
    written_by_a_task(shared_house, "recordings", recordings())
    written_by_a_task(shared_house, "pages", map(thinned, recordings()))
    return shared_house


def test_through_a_pipe_they_are_exact(recorded):
    assert recorded.shell("taskdeck logs 1 | cmp - recordings").returncode == 0


def test_on_a_terminal_nothing_of_them_drives_it(recorded):
    with recorded.terminal("logs", "2") as terminal:
        assert terminal.end(60) == 0

    assert TAIL in terminal.text
    assert faults(bytes(terminal.raw)) == []


def test_every_page_of_the_log_view_shows_text_and_known_sequences_only(recorded):
    with recorded.terminal(columns=100, rows=200) as deck:
        deck.wait("✓ pages").type("l").wait(TAIL)
        for key, end in (("b", HEAD), (" ", TAIL)):
            while end not in deck.text:
                shown = deck.text
                deck.type(key).wait(lambda t, shown=shown: t.text != shown)
        deck.type("q").wait("Next to start").type("q")
        assert deck.end() == 0

    assert faults(bytes(deck.raw)) == []
