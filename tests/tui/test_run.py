"""Start and exit of the deck: terminal probe, settings, signals and the last line for the shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from textual.strip import Strip

from app.core.board import Board
from app.tui import app
from app.tui import run as tui_run
from app.tui.data.board_feed import BoardFeed
from app.tui.panes.work import WorkPane
from app.tui.screens.deck.screen import DeckScreen
from tests.tui import boards, fake_home
from tests.tui.pty_process import PtyProcess
from tests.tui.recording_runtime import is_fed, make_recorded_deck, wait_for

ROOT = Path(__file__).parents[2]
FORM_MODULE = "app.tui.screens.submission.submit_form"


@pytest.mark.parametrize(
    ("column", "lang", "says"),
    [
        (2, "C.UTF-8", "ascii=False utf8=True"),
        (3, "C.UTF-8", "ascii=True utf8=True"),
        (4, "C.UTF-8", "ascii=True utf8=False"),
        (0, "C.UTF-8", "ascii=False utf8=True"),
    ],
    ids=["one cell", "wide", "not utf-8", "no answer"],
)
def test_the_probe_measures_the_width_of_a_line_character(column: int, lang: str, says: str):
    program = (
        "from app.tui.terminal import capabilities; a, u = capabilities.detect_characters(0, 2);"
        " print(f'ascii={a} utf8={u}')"
    )
    env = {"PATH": os.environ["PATH"], "TERM": "xterm", "LC_ALL": lang, "PYTHONPATH": str(ROOT)}
    with PtyProcess([sys.executable, "-c", program], env=env, cwd=ROOT, column=column) as run:
        assert run.finish() == 0
    assert says in run.output.decode()


def test_a_known_plain_terminal_is_not_probed():
    program = (
        "from app.tui.terminal import capabilities;"
        " print(capabilities.detect_characters(0, 2), capabilities.can_use_colour())"
    )
    env = {
        "PATH": os.environ["PATH"],
        "TERM": "linux",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    with PtyProcess([sys.executable, "-c", program], env=env, cwd=ROOT) as run:
        assert run.finish() == 0
    assert b"\x1b[6n" not in run.output and b"(True, True) False" in run.output


def test_the_farewell_says_what_continues_and_how_to_return():
    assert (
        tui_run.format_farewell(boards.busy())
        == "7 jobs continue. 31 tasks wait. The runtime stays up (pid 4120). Back: taskdeck"
        "   Stop the runtime: taskdeck stop"
    )
    one = boards.trouble()._replace(running=boards.RUNNING[:1])
    assert (
        tui_run.format_farewell(one)
        == "1 job continues. 31 tasks wait. No runtime is running. Back: taskdeck"
    )
    assert tui_run.format_farewell(None) == "Back: taskdeck"
    assert (
        tui_run.format_farewell(Board())
        == "No task is running or waiting. No runtime is running. Back: taskdeck"
    )


def test_the_farewell_wraps_at_spaces_on_a_narrow_terminal():
    program = (
        "from app.tui.run import print_wrapped;"
        " print_wrapped('Back: taskdeck   Stop it: taskdeck stop', 20)"
    )
    env = {
        "PATH": os.environ["PATH"],
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    with PtyProcess([sys.executable, "-c", program], env=env, cwd=ROOT) as run:
        assert run.finish() == 0
    assert run.output.decode().split("\r\n") == ["Back: taskdeck", "Stop it: taskdeck", "stop", ""]


def test_the_farewell_of_a_demo_mentions_no_jobs():
    demo = boards.busy()._replace(runtime=boards.busy().runtime._replace(demo=True))
    assert tui_run.format_farewell(demo) == ""
    assert (
        tui_run.format_farewell(demo, ValueError("x"))
        == "The deck failed (ValueError). See run/deck.log in the home."
    )


def test_a_failure_is_reported_without_a_traceback():
    said = tui_run.format_farewell(boards.busy(), ValueError("x"))
    assert said.startswith(
        "The deck failed (ValueError). See run/deck.log in the home. 7 jobs continue"
    )


def test_the_deck_opens_without_a_runtime_and_a_database(tmp_path: Path):
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    program = (
        "import sys; from pathlib import Path; from app.tui.run import run_deck;"
        f"sys.exit(run_deck(Path({str(tmp_path)!r}), read_only=True))"
    )
    with PtyProcess([sys.executable, "-c", program], env=env, cwd=ROOT) as run:
        run.wait_for("q quit")
        run.send(b"q")
        assert run.finish() == 0
    assert "READ ONLY" in run.output.decode()


@pytest.mark.parametrize(
    ("text", "said", "shown"),
    [
        ('[keys]\n"task.cancl" = "c"\n"app.help" = "f2"\n',
        'no action "task.cancl". Nearest: task.cancel; ignored.', b"f2"),
        ('[keys.commands.v]\nname = "x"\nargv = ["true"]\n', "v is already tasks.range", b"help"),
        ('[keys]\n"task.cancel" = "q"\n', "q would be both task.cancel and page.back", b"help"),
        (
            'theme = "quiett"\n[retention]\nkep = "3d"\n',
            'config.toml, line 3 (and 1 more: taskdeck doctor): retention: there', b"help",
        ),
    ],
)  # fmt: skip
def test_the_deck_opens_with_invalid_settings_and_reports_them(
    tmp_path: Path, text: str, said: str, shown: bytes
):
    config = tmp_path / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(text)
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    env["XDG_CONFIG_HOME"] = str(config.parents[1])
    program = (
        "import sys; from pathlib import Path; from app.tui.run import run_deck;"
        f"sys.exit(run_deck(Path({str(tmp_path)!r}), read_only=True))"
    )
    with PtyProcess([sys.executable, "-c", program], env=env, cwd=ROOT) as run:
        run.wait_for(said)
        run.send(b"q")
        assert run.finish() == 0
    assert shown in run.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_deck_and_restores_the_terminal(number: signal.Signals):
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    with PtyProcess([sys.executable, "-m", "tests.tui.run_deck", "busy"], env=env, cwd=ROOT) as run:
        run.wait_for("q quit")
        run.kill(number)
        assert run.finish() == 128 + number
    assert b"\x1b[?1049l" in run.output and b"7 jobs continue" in run.output


def test_a_deck_without_its_terminal_ends_even_without_a_signal():
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    with PtyProcess([sys.executable, "-m", "tests.tui.run_deck", "busy"], env=env, cwd=ROOT) as run:
        run.wait_for("q quit")
        assert run.hang_up() == 129


def test_a_real_mouse_click_moves_the_cursor():
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    with PtyProcess(
        [sys.executable, "-m", "tests.tui.run_deck", "busy"], env=env, cwd=ROOT, size=(120, 40)
    ) as run:
        run.wait_for("encode S02E04.mkv")
        run.send(b"\x1b[<0;12;14M\x1b[<0;12;14m")
        run.wait_for("› 1039 ● encode S02E04.mkv")
        run.send(b"\x11")
        assert run.finish() == 0


def test_a_fatal_failure_ends_with_one_line_and_no_traceback(tmp_path: Path):
    (tmp_path / "run").mkdir()
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    program = (
        "import sys; from pathlib import Path; from app.tui.run import run_deck;from"
        " app.tui.screens.deck.screen import DeckScreen; DeckScreen.on_mount = lambda self: 1 /"
        f" 0;sys.exit(run_deck(Path({str(tmp_path)!r}), read_only=True))"
    )
    with PtyProcess([sys.executable, "-c", program], env=env, cwd=ROOT) as run:
        assert run.finish() == 1
    assert b"Traceback" not in run.output
    assert b"The deck failed (ZeroDivisionError)" in run.output
    assert "ZeroDivisionError: division by zero" in (tmp_path / "run" / "deck.log").read_text()


def test_the_first_drawing_imports_no_forms():
    late = {"textual.widgets._text_area", "app.tui.screens.dialogs.item_list", FORM_MODULE}
    program = (
        "import sys, app.tui.app, app.tui.screens.deck.screen, app.tui.terminal.driver;"
        f" print({late!r} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


async def test_a_deck_draws_its_first_board_before_requesting_another(
    monkeypatch: pytest.MonkeyPatch,
):
    did: list[str] = []
    monkeypatch.setattr(app, "FEED_DELAY", 2.0)
    monkeypatch.setattr(BoardFeed, "start", lambda _feed: did.append("asked"))
    monkeypatch.setattr(
        WorkPane, "render_line", lambda _pane, y: did.append("drawn") or Strip.blank(120)
    )
    deck, _ = make_recorded_deck()

    async with deck.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: bool(did))

    assert "asked" not in did


async def test_an_early_key_does_not_delay_the_first_board():
    deck, _ = make_recorded_deck()
    async with deck.run_test(size=(120, 40)) as pilot:
        await pilot.press("5")
        await wait_for(pilot, lambda: is_fed(deck))


async def test_a_wide_deck_is_styled_only_once(monkeypatch: pytest.MonkeyPatch):
    styled: list[bool] = []
    update = DeckScreen.update_node_styles
    monkeypatch.setattr(
        DeckScreen,
        "update_node_styles",
        lambda deck, **how: (styled.append(bool(deck.children)), update(deck, **how))[1],
    )
    deck, _ = make_recorded_deck()

    async with deck.run_test(size=(120, 40)):
        assert deck.screen.has_class("-wide")

    assert styled.count(True) == 1  # Textual styles the screen once when it comes up.


async def test_the_form_is_imported_in_advance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(app, "IMPORT_DELAY", 0.001)
    monkeypatch.delitem(sys.modules, FORM_MODULE, raising=False)
    deck = app.TaskdeckApp(fake_home.make_busy_home(tmp_path), now=lambda: boards.NOW)
    async with deck.run_test() as pilot:
        for _ in range(1000):
            await pilot.pause(0.002)
            if FORM_MODULE in sys.modules:
                break

    assert FORM_MODULE in sys.modules
