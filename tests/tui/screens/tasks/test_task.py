"""Task screen: waiting, running and ended tasks, its verbs, and hostile text in every field."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.app import App

from app.errors import NotFound
from app.tui.pages.task import build_attempts, build_slurm_section
from app.tui.pages.task_facts import TaskContext, build_headline, format_attempt
from app.tui.pages.timeline import build_timeline
from app.tui.screens.dialogs.why import WhyScreen
from app.tui.screens.tasks.log import LogScreen
from app.tui.screens.tasks.task import TaskScreen
from app.tui.style import Look
from app.tui.widgets.document import DocumentView
from db import timestamps
from tests.tui.boards import NOW
from tests.tui.fake_runtime import (
    BOARD,
    UUID,
    WHY,
    FakeRuntime,
    make_deck,
    make_log_answer,
    make_run_row,
    make_task_row,
    read_screen_line,
    wait_until,
)
from tests.tui.screen_text import is_shown, read_screen_lines, read_screen_segments

HOSTILE_TEXT = "[/red]\x1b]52;c;eA==\x07\x9b2J\u202etxt\u2066 保存\x00\n\t\u200b"


def make_waiting_runtime(**values: Any) -> FakeRuntime:
    return FakeRuntime(show=make_task_row(**values), why=[WHY])


def make_failed_runtime(tmp_path: Path, **values: Any) -> FakeRuntime:
    path = tmp_path / "x.log"
    path.write_text(
        'Traceback:\n  File "thumbs.py", line 41\n\nFileNotFoundError: \x1b[31mNo such'
        " file\x1b[0m\n\n"
    )
    ends: Any = {
        "status": "failed",
        "exit_code": 1,
        "path": str(path),
        "log_bytes": 2150,
        "number": 1048,
    }
    runs = [
        make_run_row(attempt=1, runid="a", reason="exit 1, retried after 5m",
        start_time="2026-11-25T10:35:00.000000Z",
            end_time="2026-11-25T10:35:03.000000Z", run_seconds=3.0, **ends),
        make_run_row(attempt=2, runid="b", reason="exit 1",
        start_time="2026-11-25T10:40:01.000000Z",
            end_time="2026-11-25T10:40:04.000000Z", run_seconds=3.2, **ends),
    ]  # fmt: skip
    row = make_task_row(
        number=1048, name="thumbs S02", status="failed", template="thumbs", queue="media",
        cwd="/srv/media", priority=0,
        parameters={"input": "/srv/in/S02E09.mkv", "width": 320, "api_token": "•••"},
        memory=512.0, cpu=1.0, failures=1,
        timeout=600.0, launch={"argv": ["/usr/bin/python3", "thumbs.py", "/srv/in/S02E09.mkv"]},
        reason="exit 1",
        ended_at="2026-11-25T10:40:04.000000Z", instances=runs,
        children=[{"number": 1061, "name": "contact-sheet", "status": "cancelled",
        "kind": "success"}],
    )  # fmt: skip
    return FakeRuntime(show=row | values, log=make_log_answer(row, *runs))


def make_running_runtime(path: Path, **values: Any) -> FakeRuntime:
    path.write_text("".join(f"epoch {n}/50\n" for n in range(42)))
    one = make_run_row(path=str(path), runid="r1042", number=1042)
    row = (
        make_task_row(status="running", number=1042, name="resnet50-sweep-06", instances=[one])
        | values
    )
    return FakeRuntime(show=row, log=make_log_answer(row, one))


async def test_a_pinned_task_says_so(tmp_path: Path) -> None:
    """Show `pinned` with its meaning."""
    more = {"output": "t-{number}.log", "early_signal": "USR1@5m", "timeout": 3600.0}
    app = make_deck(make_failed_runtime(tmp_path, pinned=True, **more))
    async with app.run_test(size=(120, 50)) as pilot:
        app.open_task("1048")
        await wait_until(
            pilot,
            lambda: any(
                "  pinned    no cleanup deletes it" in text for text in read_screen_lines(app)
            ),
        )
        shown = "\n".join(read_screen_lines(app))
        assert "  output    t-{number}.log" in shown and "timeout 1h (USR1@5m)" in shown


async def test_a_waiting_task_with_only_limits_known_starts_by_a_time() -> None:
    """Show `starts by 10:55` without an estimate, and no likely miss of a rule."""
    rule = {"name": "soon", "severity": "critical", "preset": "starts-within", "due": NOW + 60,
    "done": None, "took": 1.0,
            "late": False, "text": "", "short": ""}  # fmt: skip
    app = make_deck(
        FakeRuntime(
            about=make_about_answer(
                make_task_row(), slas=[rule], why=WHY | {"expected_in": [0.0, 780.0]}
            )
        )
    )
    async with app.run_test(size=(80, 50)) as pilot:
        app.open_task("1049")
        await wait_until(
            pilot,
            lambda: (
                "starts" in read_screen_line(app, 1)
                and any("─ Rules ─" in text for text in read_screen_lines(app))
            ),
        )

        assert read_screen_line(app, 1).rstrip().endswith("by ann   starts by 10:55")
        assert any(
            "soon               must start by 10:43   on time, 1m to spare" in text
            for text in read_screen_lines(app)
        )


async def test_a_waiting_task_shows_its_reasons_and_the_holders(tmp_path: Path) -> None:
    """Show two numbered reasons, the two holders of pool gpu, and the command."""
    app = make_deck(make_waiting_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "starts" in read_screen_line(app, 1))
        lines = read_screen_lines(app)

        assert lines[0].startswith(" Deck › #1049 resnet50-sweep-08")
        assert lines[1].startswith(
            " ○ queued   in gpu for 2h11m   priority 5   by ann   starts 10:43–10:55 (1–13m)"
        )
        assert lines[2].startswith("━▌Why it waits ━")
        assert lines[3] == "  1 needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m"
        assert lines[4].split() == [
            "›",
            "held",
            "by",
            "#1042",
            "resnet50-sweep-06",
            "12.0G",
            "ends",
            "in",
            "~6m",
        ]
        assert (
            "  ✓ not held   ✓ no dependencies   ✓ queue open (2 of 4)   ✓ time is not set" in lines
        )
        assert "  command   python train.py --lr 0.01 --seed 8" in lines
        assert (
            lines[23]
            == " ↵ open  p hold  x cancel  t to front  + - priority  y copy  ? help  q back"
        )


async def test_enter_on_a_holder_opens_its_task() -> None:
    answers = make_waiting_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "#1042" in read_screen_line(app, 4))
        await pilot.press("enter")
        await wait_until(pilot, lambda: {"id": UUID.format(1042)} in answers.list_args("show"))


async def test_a_running_task_shows_live_usage_and_log(tmp_path: Path) -> None:
    """Show bars for CPU, memory and time, the end of the log, and the attempt with its pid."""
    path = tmp_path / "x.log"
    app = make_deck(make_running_runtime(path))
    async with app.run_test(size=(80, 30)) as pilot:
        app.open_task("1042")
        await wait_until(
            pilot, lambda: any("epoch 41/50" in line for line in read_screen_lines(app))
        )
        lines = read_screen_lines(app)
        assert lines[1].startswith(
            " ● running   3h18m of 4h (82%)   ends 10:48 (~6m)   attempt 1 of 2"
        )
        assert lines[3].startswith("  cpu    ███████▒▒▒ 2.9")
        assert lines[4].startswith("  memory █████████▒ 11.8G       11.8G       12.0G")
        assert lines[6] == "  ! memory is at 98% of the request; the job is not stopped."
        assert any("1 ● running   07:23:51     3h18m   pid 41877" in line for line in lines)
        with path.open("a") as file:
            file.write("epoch 42/50\n")
        await wait_until(
            pilot, lambda: any("epoch 42/50" in line for line in read_screen_lines(app))
        )


def use_limit_only(answers: FakeRuntime) -> FakeRuntime:
    """Make the first run's end known by its limit only."""
    first, *others = answers.board.running
    answers.board = answers.board._replace(running=(first._replace(at_most=True), *others))
    return answers


async def test_a_run_without_history_ends_by_its_limit(tmp_path: Path) -> None:
    app = make_deck(use_limit_only(make_running_runtime(tmp_path / "x.log")))
    async with app.run_test(size=(80, 30)) as pilot:
        app.open_task("1042")
        await wait_until(pilot, lambda: "ends by 10:48 (at most 6m)" in read_screen_line(app, 1))


async def test_a_holder_without_history_ends_within_its_limit() -> None:
    app = make_deck(use_limit_only(make_waiting_runtime()))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: read_screen_line(app, 4).endswith("ends within 6m"))


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (200, 50)])
async def test_log_message_line_and_keys_fit_at_any_size(
    size: tuple[int, int], tmp_path: Path
) -> None:
    app = make_deck(make_running_runtime(tmp_path / "x.log"))
    async with app.run_test(size=size) as pilot:
        app.open_task("1042")
        await wait_until(
            pilot, lambda: any("epoch 41/50" in text for text in read_screen_lines(app))
        )
        await wait_until(
            pilot, lambda: read_screen_line(app, size[1] - 1).endswith("? help  q back")
        )
        assert app.screen.max_scroll_y == 0


async def test_an_ended_task_shows_its_result_and_the_end_of_its_log(tmp_path: Path) -> None:
    """Show exit 1, the last lines without colours, attempts, dependents and the retry command."""
    app = make_deck(make_failed_runtime(tmp_path))
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1048")
        await wait_until(pilot, lambda: "failed" in read_screen_line(app, 1))
        lines = read_screen_lines(app)

        assert (
            lines[1]
            == " ✗ failed   exit 1 after 3.2s, 2m ago (10:40:04)   attempt 2 of 2, the last"
        )
        assert lines[3] == "  thumbs failed: exit 1. Last lines of the log:"
        assert lines[4:7] == [
            "    Traceback:",
            '      File "thumbs.py", line 41',
            "    FileNotFoundError: No such file",
        ]
        assert lines[7] == "  cpu 2.9s   peak memory 84M of 512M requested   no signal"
        assert any(line.startswith("› 2 ✗ failed    10:40:01     3.2s    exit 1") for line in lines)
        assert any(
            "1061 ⊘ contact-sheet" in line and "only after a success" in line for line in lines
        )
        assert any(
            "taskdeck submit thumbs -n 'thumbs S02' -q media -t 10m --memory" in line
            for line in lines
        )
        assert "api_token=•••" in "\n".join(lines)


async def test_enter_on_an_attempt_opens_its_log(tmp_path: Path) -> None:
    app = make_deck(make_failed_runtime(tmp_path))
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1048")
        await wait_until(pilot, lambda: "failed" in read_screen_line(app, 1))
        await pilot.press("j", "enter")
        await wait_until(pilot, lambda: "attempt 1 of 2" in read_screen_line(app, 1))
        assert isinstance(app.screen, LogScreen)


@pytest.mark.parametrize(
    ("key", "verb", "args"),
    [
        ("p", "hold", {"ids": [UUID.format(1049)]}),
        ("x", "cancel", {"ids": [UUID.format(1049)], "waiting": True}),
        ("t", "front", {"ids": [UUID.format(1049)], "value": None}),
        ("plus", "set", {"ids": [UUID.format(1049)], "fields": {"priority": 6}}),
        ("minus", "set", {"ids": [UUID.format(1049)], "fields": {"priority": 4}}),
    ],
)
async def test_keys_on_a_waiting_task_call_its_verbs(
    key: str, verb: str, args: dict[str, Any]
) -> None:
    answers = make_waiting_runtime()
    answers.table[verb] = {
        "done": [{"number": 1049, "name": "resnet50-sweep-08"}],
        "refused": [],
        "notes": [],
    }
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "queued" in read_screen_line(app, 1))
        await pilot.press(key)
        await wait_until(pilot, lambda: "#1049" in read_screen_line(app, 22))
        assert answers.list_args(verb) == [args]


async def test_r_retries_an_ended_task_and_d_asks_before_deleting(tmp_path: Path) -> None:
    answers = make_failed_runtime(tmp_path)
    done = {"done": [{"number": 1048, "name": "thumbs S02"}], "refused": [], "notes": []}
    answers.table |= {"retry": done, "rm": done}
    app, ended = make_deck(answers), datetime.fromisoformat("2026-11-25T10:40:04Z").timestamp()
    meant = {"ids": [UUID.format(1048)], "ends": {UUID.format(1048): ended}}
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1048")
        await wait_until(pilot, lambda: "failed" in read_screen_line(app, 1))
        await pilot.press("r")
        await wait_until(pilot, lambda: answers.list_args("retry") == [meant | {"again": True}])
        await pilot.press("D")
        await wait_until(
            pilot, lambda: any("Delete #1048" in line for line in read_screen_lines(app))
        )
        assert answers.list_args("rm") == []
        await pilot.press("y")
        await wait_until(pilot, lambda: answers.list_args("rm") == [meant])


async def test_r_asks_before_retrying_a_succeeded_task(tmp_path: Path) -> None:
    answers = make_failed_runtime(tmp_path)
    answers.table["show"] = {**answers.table["show"], "status": "succeeded"}
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1048")
        await wait_until(pilot, lambda: "succeeded" in read_screen_line(app, 1))
        await pilot.press("r")
        await wait_until(
            pilot,
            lambda: any(
                "The task succeeded; a retry runs it again" in text
                for text in read_screen_lines(app)
            ),
        )
        assert answers.list_args("retry") == []


async def test_l_opens_the_log_w_explains_and_q_returns(tmp_path: Path) -> None:
    app = make_deck(make_running_runtime(tmp_path / "x.log"))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1042")
        await wait_until(pilot, lambda: "running" in read_screen_line(app, 1))
        await pilot.press("l")
        await wait_until(pilot, lambda: isinstance(app.screen, LogScreen))
        await pilot.press("q", "w")
        await wait_until(pilot, lambda: "Running, attempt 1." in read_screen_line(app, 22))
        assert isinstance(app.screen, TaskScreen)
        await pilot.press("q")
        await wait_until(pilot, lambda: app.screen is app.deck)


async def test_the_screen_updates_when_the_task_starts(tmp_path: Path) -> None:
    answers = make_waiting_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "queued" in read_screen_line(app, 1))
        one = make_run_row(path=str(tmp_path / "none.log"), logs="hello\n")
        one["devices"] = ["0", "3"]
        row = make_task_row(status="running", instances=[one])
        answers.table |= {"show": row, "log": make_log_answer(row, one)}
        app.board = BOARD._replace(at=BOARD.at + 1)
        await wait_until(pilot, lambda: "running" in read_screen_line(app, 1))
        await wait_until(pilot, lambda: "  hello" in read_screen_lines(app))
        assert any("GPU 0,3   pid 41877" in line for line in read_screen_lines(app))


async def test_the_screen_of_an_ending_task_becomes_its_report(tmp_path: Path) -> None:
    """Show the result, who cancelled the task, and a history without repetitions."""
    answers = make_running_runtime(tmp_path / "x.log")
    app = make_deck(answers)
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1042")
        await wait_until(
            pilot, lambda: any("epoch 41/50" in line for line in read_screen_lines(app))
        )
        one = make_run_row(path=str(tmp_path / "x.log"), runid="r1042", number=1042,
        status="cancelled", reason="cancelled by ann",
                  end_time="2026-11-25T10:42:06.000000Z", run_seconds=11_895.0)  # fmt: skip
        end = {"status": "cancelled", "at": "2026-11-25T10:42:06.500000Z", "note": None}
        events = [
            {**end, "by": "taskdeck", "runid": "r1042"},
            {**end, "by": "taskdeck", "runid": None},
        ]
        row = make_task_row(status="cancelled", number=1042, reason="cancelled by ann",
        instances=[one], events=events,
                   ended_at="2026-11-25T10:42:06.000000Z")  # fmt: skip
        answers.table |= {"show": row, "log": make_log_answer(row, one)}
        app.board = BOARD._replace(at=BOARD.at + 1)
        await wait_until(
            pilot, lambda: "⊘ cancelled   by ann after 3h18m, 1s ago" in read_screen_line(app, 1)
        )
        assert "  python was cancelled by ann. Last lines of the log:" in read_screen_lines(app)
        await wait_until(pilot, lambda: "  10:42:06  attempt 1 cancelled" in read_screen_lines(app))
        assert sum(text.startswith("  10:42:06") for text in read_screen_lines(app)) == 1
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, LogScreen))


async def test_an_unknown_task_is_reported_in_the_message_line() -> None:
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("77")
        await wait_until(pilot, lambda: "no answer for show" in read_screen_line(app, 22))
        await pilot.press("x", "p", "l", "w", "enter", "j")
        assert app.failure is None


def find_control_characters(app: App[Any]) -> list[str]:
    text = "".join(segment.text for line in read_screen_segments(app) for segment in line)
    return [c for c in text if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066\u200b"]


PLAIN = Look(ascii=True, colour=False, utf8=False)


@pytest.mark.parametrize(
    ("size", "look"), [((80, 24), Look()), ((200, 50), PLAIN), ((40, 10), Look())]
)
@pytest.mark.parametrize("status", ["queued", "failed", "running"])
async def test_hostile_text_in_every_field_is_plain_text(
    status: str, size: tuple[int, int], look: Look, tmp_path: Path
) -> None:
    path = tmp_path / "x.log"
    path.write_text(HOSTILE_TEXT * 3)
    one = make_run_row(
        status=status,
        path=str(path),
        reason=HOSTILE_TEXT,
        end_time="2026-11-25T10:40:04.000000Z",
        run_seconds=3.0,
    )
    other = {"number": 7, "name": HOSTILE_TEXT, "status": HOSTILE_TEXT, "kind": HOSTILE_TEXT}
    row = make_task_row(
        status=status, name=HOSTILE_TEXT, queue=HOSTILE_TEXT, template=HOSTILE_TEXT,
        parameters={HOSTILE_TEXT: HOSTILE_TEXT}, cwd=HOSTILE_TEXT, submitted_by=HOSTILE_TEXT,
        reason=HOSTILE_TEXT, tags={HOSTILE_TEXT: HOSTILE_TEXT},
        launch={"argv": [HOSTILE_TEXT, HOSTILE_TEXT]}, parents=[other], children=[other],
        instances=[one] if status != "queued" else [],
        events=[{"at": "2026-11-25T08:30:11.000000Z", "status": HOSTILE_TEXT, "by": HOSTILE_TEXT,
        "note": HOSTILE_TEXT}],
    )  # fmt: skip
    why = {**WHY, "reasons": [{"code": HOSTILE_TEXT, "text": HOSTILE_TEXT, "short": HOSTILE_TEXT}]}
    app = make_deck(FakeRuntime(show=row, why=[why], log=make_log_answer(row, one)), look=look)
    async with app.run_test(size=size) as pilot:
        app.open_task("1049")
        await wait_until(
            pilot, lambda: any("[/red]" in line for line in read_screen_lines(app)[1:])
        )
        await pilot.press("G")
        await pilot.pause()

        assert find_control_characters(app) == []
        assert app.failure is None
        if look.ascii:
            assert "".join(read_screen_lines(app)).isascii()


async def test_deleting_a_task_closes_its_screen() -> None:
    answers = make_waiting_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "#1049 resnet50" in read_screen_line(app, 0))
        answers.table["show"] = NotFound('no task "1049".')
        app.board = answers.board._replace(at=NOW + 1)
        await wait_until(pilot, lambda: app.screen is app.deck)
        await wait_until(pilot, lambda: "#1049 was deleted." in read_screen_line(app, 22))


async def test_an_unknown_number_returns_to_the_previous_screen() -> None:
    app = make_deck(FakeRuntime(show=NotFound("no task #9. List: taskdeck ls")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("9")
        await wait_until(pilot, lambda: "no task #9." in read_screen_line(app, 22))
        assert app.screen is app.deck


async def test_a_message_sent_while_a_screen_opens_is_shown_there() -> None:
    app = make_deck(make_waiting_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        app.show_message("Paused #1049.")
        await wait_until(pilot, lambda: "Paused #1049." in read_screen_line(app, 22))
        assert app.failure is None


# --- suggestions


def make_suggestion(name: str, text: str, gain: str, **more: Any) -> dict[str, Any]:
    """Return a suggestion as in the answer of `why`."""
    told: dict[str, Any] = {"name": name, "text": text, "gain": gain, "verb": "", "args": {},
    "command": [], "said": "", "undo": [],
                            "object": "", "asks": None, "worth": 4}  # fmt: skip
    return told | more


LESS_MEMORY = make_suggestion(
    "less", "ask for less memory",
    "12 past runs used at most 9.1G; 11G is p95 + 20%; no sooner: needs 11.0G, 2.0G free",
    verb="set", args={"ids": [UUID.format(1049)], "fields": {"memory": 11264.0}},
    said="Memory 12G → 11G:",
    undo=[{"verb": "set", "args": {"ids": [UUID.format(1049)], "fields": {"memory": 12288.0}},
    "said": "Memory 12G again:"}],
)  # fmt: skip
CANCEL_HOLDER = make_suggestion("cancel-1042", "cancel #1042 resnet50-sweep-06",
"frees 12.0G now; its 3h18m are lost; it starts at once",
              verb="cancel", args={"ids": [1042]}, asks=1042)  # fmt: skip
LARGER_POOL = make_suggestion("pool", "pool gpu: memory 32G → 48G", "it starts at once",
verb="pool.set", args={"name": "gpu", "memory": "49152M"},
            said="Memory 32G → 48G:", object="pool gpu",
            undo=[{"verb": "pool.set", "args": {"name": "gpu", "memory": "32768M"},
            "said": "As it was:"}])  # fmt: skip
MOVE_TO_FRONT = make_suggestion("front", "to the front (t)", "it is first already")
DONE = {"done": [{"number": 1049, "name": "resnet50-sweep-08"}], "refused": [], "notes": []}


def make_suggestion_runtime(*cures: dict[str, Any]) -> FakeRuntime:
    return FakeRuntime(
        show=make_task_row(),
        why=[{**WHY, "cures": list(cures or (LESS_MEMORY, CANCEL_HOLDER, MOVE_TO_FRONT))}],
        set=DONE,
    )


async def test_suggestions_follow_the_reasons_with_the_cursor_on_the_first() -> None:
    """Show each suggestion with its gain, dim ones without an action, and `↵ do it`."""
    app = make_deck(make_suggestion_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(
            pilot, lambda: any("What you can do" in text for text in read_screen_lines(app))
        )
        lines = read_screen_lines(app)
        at = next(n for n, text in enumerate(lines) if "What you can do" in text)

        assert lines[at].startswith("━▌What you can do ━")
        assert (
            lines[at + 1]
            == "› ask for less memory           12 past runs used at most 9.1G; 11G is p95 +"
        )
        assert lines[at + 2].strip() == "20%; no sooner: needs 11.0G, 2.0G free"
        assert lines[at + 3].startswith(
            "  cancel #1042                  frees 12.0G now; its 3h18m are lost; it starts"
        )
        assert lines[at + 4].startswith("  resnet50-sweep-06             ")
        assert lines[at + 5] == "  to the front (t)              it is first already"
        assert lines[23].startswith(" ↵ do it  p hold  x cancel  t to front")


async def test_enter_applies_a_suggestion_and_u_undoes_it() -> None:
    answers = make_suggestion_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "do it" in read_screen_line(app, 23))
        await pilot.press("enter")
        await wait_until(
            pilot,
            lambda: (
                "Memory 12G → 11G: #1049 resnet50-sweep-08.  u undo" in read_screen_line(app, 22)
            ),
        )
        await pilot.press("u")
        await wait_until(
            pilot, lambda: "Memory 12G again: #1049 resnet50-sweep-08." in read_screen_line(app, 22)
        )
        assert [args["fields"] for args in answers.list_args("set")] == [
            {"memory": 11264.0},
            {"memory": 12288.0},
        ]


@asynccontextmanager
async def open_suggestions(answers: FakeRuntime) -> AsyncIterator[tuple[Any, Any]]:
    """Open the screen of a waiting task with a stopped clock."""
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.ticks = lambda: 1000.0
        app.open_task("1049")
        await wait_until(pilot, lambda: "do it" in read_screen_line(app, 23))
        yield app, pilot


async def press_enter_twice(app: Any, pilot: Any, answers: FakeRuntime) -> None:
    """Press enter before the suggestion counts as seen, and again half a second later."""
    await pilot.press("enter")
    await wait_until(pilot, lambda: "Look, and press again." in read_screen_line(app, 22))
    app.ticks = lambda: 1000.5
    await pilot.press("enter")
    await wait_until(pilot, lambda: len(answers.list_args("set")) == 1)


async def test_a_double_enter_applies_no_suggestion() -> None:
    answers = make_suggestion_runtime()
    async with open_suggestions(answers) as (app, pilot):
        await press_enter_twice(app, pilot, answers)


async def test_a_suggestion_that_loses_work_asks_first() -> None:
    answers = make_suggestion_runtime()
    answers.table["cancel"] = {
        "done": [{"number": 1042, "name": "resnet50-sweep-06"}],
        "refused": [],
        "notes": [],
    }
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "do it" in read_screen_line(app, 23))
        answers.table["show"] = make_task_row(
            number=1042,
            name="resnet50-sweep-06",
            status="running",
            instances=[make_run_row(number=1042)],
        )
        await pilot.press("j", "enter")
        await wait_until(
            pilot,
            lambda: any(
                "1042 resnet50-sweep-06" in text and "work lost" in text
                for text in read_screen_lines(app)
            ),
        )
        assert answers.list_args("cancel") == []
        await pilot.press("y")
        await wait_until(
            pilot,
            lambda: (
                answers.list_args("cancel")
                == [{"ids": [UUID.format(1042)], "attempts": {UUID.format(1042): 1}}]
            ),
        )


async def test_a_suggestion_for_a_pool_names_it_and_can_be_undone() -> None:
    answers = make_suggestion_runtime(LARGER_POOL)
    answers.table["pool.set"] = {"name": "gpu"}
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "do it" in read_screen_line(app, 23))
        await pilot.press("enter")
        await wait_until(pilot, lambda: "to all tasks there" in "\n".join(read_screen_lines(app)))
        app.ticks = lambda: 1e9  # The dialog ignores y at first.
        await pilot.press("y")
        await wait_until(
            pilot, lambda: "Memory 32G → 48G: pool gpu.  u undo" in read_screen_line(app, 22)
        )


async def test_read_only_mode_applies_no_suggestion() -> None:
    answers = make_suggestion_runtime()
    app = make_deck(answers, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "do it" in read_screen_line(app, 23))
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Read only" in read_screen_line(app, 22))
        assert answers.list_args("set") == []


# --- requested and used resources

PAST_RUNS = {"of": "template", "n": 12, "usual": {"median": 12120.0, "p95": 12540.0, "n": 12},
"cpu_most": 2.9, "cpu_p95": 2.9,
        "memory_most": 9318.4, "memory_p95": 9318.4}  # fmt: skip


def make_about_answer(row: dict[str, Any], *runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the answer of `about` for a task; `more` replaces the unknown parts."""
    waits = row["status"] in ("queued", "held", "blocked", "scheduled", "retrying")
    known: dict[str, Any] = {
        "task": row, "why": WHY if waits else None,
        "log": None if waits else make_log_answer(row, *runs), "past": None,
        "fit": {"cpu": None, "memory": None}, "ends_in": None, "use": None,
        "tree": {"parents": [], "children": []}, "slas": [],
        "acts": [],
    }  # fmt: skip
    return known | more


RIGHT_SIZE = {"cpu": 3.5, "memory": 11264.0}


async def test_m_sets_the_request_to_the_usage_and_u_undoes_it() -> None:
    """Show past usage and the resulting request, and after m both amounts."""
    answers = FakeRuntime(
        about=make_about_answer(make_task_row(template="sweep"), past=PAST_RUNS, fit=RIGHT_SIZE),
        set=DONE,
    )
    app = make_deck(answers)
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1049")
        await wait_until(
            pilot,
            lambda: any(
                "peak of 12 past runs of this template" in text for text in read_screen_lines(app)
            ),
        )
        assert (
            "            m requests what runs used: memory 12.0G → 11.0G, cpu 4 → 3.5"
            in read_screen_lines(app)
        )
        assert "m as used" in read_screen_line(app, 39)
        await pilot.press("m")
        await wait_until(
            pilot,
            lambda: (
                "Memory 12.0G → 11.0G, cpu 4 → 3.5: #1049 resnet50-sweep-08.  u undo"
                in read_screen_line(app, 38)
            ),
        )
        await pilot.press("u")
        await wait_until(pilot, lambda: len(answers.list_args("set")) == 2)
        assert [args["fields"] for args in answers.list_args("set")] == [
            {"memory": 11264.0, "cpu": 3.5},
            {"memory": 12288.0, "cpu": 4.0},
        ]


async def test_shift_m_sets_the_template_s_defaults_after_a_question() -> None:
    template = {"name": "sweep", "cpu": 4.0, "memory": None}
    answers = FakeRuntime(
        about=make_about_answer(make_task_row(template="sweep"), past=PAST_RUNS, fit=RIGHT_SIZE),
        template_show=template,
        template_set=template,
    )
    app = make_deck(answers)
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "m as used" in read_screen_line(app, 39))
        await pilot.press("M")
        await wait_until(
            pilot, lambda: any("memory none → 11.0G" in text for text in read_screen_lines(app))
        )
        assert answers.list_args("template.set") == []
        await pilot.press("y")
        await wait_until(
            pilot,
            lambda: (
                answers.list_args("template.set")
                == [{"name": "sweep", "memory": 11264.0, "cpu": 3.5}]
            ),
        )


@pytest.mark.parametrize(
    ("row", "fit", "words"),
    [
        (
            make_task_row(),
            {"cpu": None, "memory": None},
            "Not enough data: needs three successful runs like this one.",
        ),
        (make_task_row(), {"cpu": 4.0, "memory": 12288.0}, "#1049 already requests what it used."),
        (
            make_task_row(status="failed", template="sweep"),
            RIGHT_SIZE,
            "#1049 has ended. Suggested for the next run: memory 12.0G → 11.0G, cpu",
        ),
    ],
)
async def test_m_says_why_it_changes_nothing(
    row: dict[str, Any], fit: dict[str, Any], words: str
) -> None:
    app = make_deck(FakeRuntime(about=make_about_answer(row, fit=fit)))
    async with app.run_test(size=(120, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "#1049 resnet50" in read_screen_line(app, 0))
        await pilot.press("m")
        await wait_until(pilot, lambda: words in read_screen_line(app, 22))


async def test_a_running_task_shows_usage_history_and_expected_end(tmp_path: Path) -> None:
    """Show half an hour of CPU and memory, the peak, the processes, and the expected end."""
    path = tmp_path / "x.log"
    path.write_text("x\n")
    one = make_run_row(path=str(path), runid="r1042", number=1042)
    use = {"cpu": 2.9, "memory": 12083.2, "processes": 5, "most_cpu": 3.8, "most_memory": 12185.6,
    "cell": 180.0,
           "cpu_cells": [1.0, 2.0, 2.9], "memory_cells": [4096.0, 8192.0, 12083.2]}  # fmt: skip
    row = make_task_row(status="running", number=1042, name="resnet50-sweep-06", instances=[one])
    app = make_deck(
        FakeRuntime(
            about=make_about_answer(row, one, use=use, past=PAST_RUNS, ends_in=[240.0, 660.0])
        )
    )
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1042")
        await wait_until(pilot, lambda: "running" in read_screen_line(app, 1))
        lines = read_screen_lines(app)
        assert (
            lines[1] == " ● running   3h18m of 4h (82%)   ends 10:46–10:53 (4–11m)   attempt 1 of 2"
        )
        assert lines[2].startswith(
            "─ Now ───────────── NOW ─────── PEAK ────── REQUEST ─── LAST 30m ─"
        )
        assert lines[3] == "  cpu    ███████▒▒▒ 2.9         3.8         4                  ▃▅▆"
        assert lines[4] == "  memory █████████▒ 11.8G       11.9G       12.0G     !        ▃▆█"
        assert (
            lines[5] == "  time   ████████·· 3h18m       usual 3h22m 4h          12 runs, p95 3h29m"
        )
        await wait_until(
            pilot, lambda: any("pid 41877, 5 processes" in text for text in read_screen_lines(app))
        )


# --- dependencies, parameters, rules, timeline


async def test_dependencies_form_a_tree_that_opens_tasks() -> None:
    """Show a child, a grandchild, and the number of hidden ones."""
    kin = {"depth": 0, "uuid": UUID.format(1061), "number": 1061, "name": "contact-sheet",
    "status": "blocked", "kind": "success",
           "again": False, "more": 0}  # fmt: skip
    tree = {"parents": [], "children": [
        kin, {**kin, "depth": 1, "number": 1064, "uuid": UUID.format(1064), "name": "upload",
        "kind": "any"}, {"depth": 0, "more": 37},
    ]}  # fmt: skip
    answers = FakeRuntime(about=make_about_answer(make_task_row(), tree=tree))
    app = make_deck(answers)
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1049")
        await wait_until(
            pilot, lambda: any("Waiting for it 38" in text for text in read_screen_lines(app))
        )
        lines = read_screen_lines(app)
        at = next(n for n, text in enumerate(lines) if "Waiting for it 38" in text)
        assert lines[at + 1].startswith("   1061 ↳ contact-sheet") and lines[at + 1].endswith(
            "only after a success"
        )
        assert lines[at + 2].startswith("     └─ 1064 ↳ upload") and lines[at + 2].endswith(
            "however it ends"
        )
        assert lines[at + 3] == "        … and 37 more"
        await pilot.press("G", "enter")
        await wait_until(pilot, lambda: {"id": UUID.format(1064)} in answers.list_args("about"))


async def test_nested_parameters_are_readable_and_masked_only_by_the_runtime() -> None:
    given = {"input": "/srv/in", "options": {"codec": {"name": "h264", "profile": "high",
    "level": [4, 1]}, "password": "•••",
             "long": "x" * 40}, "token": "declared plain"}  # fmt: skip
    app = make_deck(FakeRuntime(about=make_about_answer(make_task_row(parameters=given))))
    async with app.run_test(size=(80, 50)) as pilot:
        app.open_task("1049")
        await wait_until(
            pilot, lambda: any("Parameters 3" in text for text in read_screen_lines(app))
        )
        text = "\n".join(read_screen_lines(app))
        assert "  input     /srv/in\n  options   {\n" in text
        assert '"codec": {"name": "h264", "profile": "high", "level": [4, 1]}' in text
        assert '"password": "•••"' in text and "token     declared plain" in text


async def test_rules_show_the_remaining_time_and_a_likely_miss() -> None:
    rule = {"name": "gpu-finish", "severity": "critical", "preset": "finishes-within",
    "due": NOW + 2400, "done": None, "took": 1.0,
            "late": False, "text": "", "short": ""}  # fmt: skip
    rules = [rule, {**rule, "name": "soon", "due": NOW + 60, "preset": "starts-within"},
    {**rule, "name": "late", "due": NOW - 120},
             {**rule, "name": "kept", "done": NOW, "due": NOW + 60}]  # fmt: skip
    app = make_deck(FakeRuntime(about=make_about_answer(make_task_row(), slas=rules)))
    async with app.run_test(size=(80, 50)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: any("─ Rules ─" in text for text in read_screen_lines(app)))
        text = "\n".join(read_screen_lines(app))
        assert "gpu-finish         must end by 11:22   on time, 40m to spare" in text
        assert "soon               must start by 10:43   may be late" in text
        assert "late               must end by 10:40   2m late" in text
        assert "kept               ended in time, 1m to spare" in text


@pytest.mark.parametrize(
    ("status", "attempt", "failures", "text"),
    [
        ("running", 1, 0, "attempt 1 of 4"),
        ("running", 7, 1, "attempt 7 of 9"),
        ("failed", 4, 3, "attempt 4 of 4"),
        ("cancelled", 7, 2, "attempt 7"),
    ],
)
def test_an_attempt_tells_how_many_may_follow(
    status: str, attempt: int, failures: int, text: str
) -> None:
    task = {"status": status, "retries": 3, "failures": failures}
    facts: Any = SimpleNamespace(task=task)
    assert format_attempt(facts, {"attempt": attempt}) == text


async def test_a_task_that_failed_in_time_did_not_meet_its_rule(tmp_path: Path) -> None:
    rule = {"name": "on-time", "severity": "critical", "preset": "finishes-within",
    "due": NOW + 2640, "done": None, "took": 1.0, "late": True, "since": NOW,
            "text": "failed: exit 1; must succeed within 45m", "short": "failed"}  # fmt: skip
    row = make_failed_runtime(tmp_path).table["show"]
    app = make_deck(
        FakeRuntime(
            about=make_about_answer(
                row,
                *row["instances"],
                slas=[rule, {**rule, "name": "soon", "preset": "starts-within", "done": NOW}],
            )
        )
    )
    async with app.run_test(size=(80, 50)) as pilot:
        app.open_task("1048")
        await wait_until(pilot, lambda: any("─ Rules ─" in text for text in read_screen_lines(app)))
        text = "\n".join(read_screen_lines(app))
        assert "on-time            failed: exit 1; must succeed within 45m" in text
        assert "soon               started in time, 44m to spare" in text


async def test_timeline_and_history_show_phases_and_changes(tmp_path: Path) -> None:
    """Show a bar of waiting and running, its phases in words, and a priority change by ann."""
    answers = make_failed_runtime(tmp_path)
    moves = (("queued", "10:30:00", "submitted"), ("running", "10:35:00", None),
    ("retrying", "10:35:03", None),
             ("running", "10:40:00", None), ("failed", "10:40:04", None))  # fmt: skip
    events = [{"at": f"2026-11-25T{at}.000000Z", "status": status,
    "by": "ann" if note else "taskdeck", "note": note, "runid": None}
              for status, at, note in moves]  # fmt: skip
    row = answers.table["show"] | {"events": events}
    acts = [
        {
            "at": f"2026-11-25T10:3{n}:00.000000Z",
            "by": by,
            "verb": verb,
            "before": {name: 0},
            "after": {name: 5},
        }
        for n, by, verb, name in (
            (1, "ann", "set priority", "priority"),
            (2, "bob", "pause", "status"),
        )
    ]
    app = make_deck(FakeRuntime(about=make_about_answer(row, *row["instances"], acts=acts)))
    async with app.run_test(size=(80, 50)) as pilot:
        app.open_task("1048")
        await wait_until(
            pilot, lambda: any("─ Timeline ─" in text for text in read_screen_lines(app))
        )
        lines = read_screen_lines(app)
        at = next(n for n, text in enumerate(lines) if "─ Timeline ─" in text)
        assert lines[at].endswith("─ 10m in all ─")
        assert set(lines[at + 1].strip()) == {"·", "█"} and len(lines[at + 1]) == 78
        assert lines[at + 2] == "  queued 5m › ran 3.0s › retrying 4m57s › ran 4.0s › failed"
        assert (
            lines[at + 4]
            == "  10:30:00  submitted by ann            10:31:00  priority 0 → 5 by ann"
        )
        assert not any("bob" in text for text in lines)


# --- updates


async def test_a_failed_refresh_keeps_the_screen_and_shows_its_age() -> None:
    answers = make_waiting_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "queued" in read_screen_line(app, 1))
        answers.table["show"] = OSError("the runtime is gone")
        app.board = answers.board._replace(at=NOW + 1)
        await wait_until(pilot, lambda: " old   in gpu for" in read_screen_line(app, 1))
        assert "the runtime is gone" in read_screen_line(app, 22)
        answers.table["show"] = make_task_row()
        app.board = answers.board._replace(at=NOW + 2)
        await wait_until(pilot, lambda: " old   in gpu" not in read_screen_line(app, 1))


async def test_cursor_and_view_stay_when_lines_are_inserted_above() -> None:
    answers = make_suggestion_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 16)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "do it" in read_screen_line(app, 15))
        await pilot.press("j", "j", "j")
        await pilot.pause()
        before = next(
            n for n, text in enumerate(read_screen_lines(app)) if text.startswith("› cancel #1042")
        )
        more = [{"code": "not-before", "text": f"reason {n}", "short": "x"} for n in range(3)]
        answers.table["why"] = [
            {
                **WHY,
                "reasons": [*more, *WHY["reasons"]],
                "cures": [LESS_MEMORY, CANCEL_HOLDER, MOVE_TO_FRONT],
            }
        ]
        app.board = answers.board._replace(at=NOW + 1)
        await wait_until(
            pilot,
            lambda: len(answers.list_args("why")) > 1 and app.screen.query_one("#main").height > 20,
        )
        await pilot.pause()
        after = next(
            n for n, text in enumerate(read_screen_lines(app)) if text.startswith("› cancel #1042")
        )
        assert after == before


async def test_a_failure_report_can_be_copied(tmp_path: Path) -> None:
    from app.tui.actions.clipboard import read_text

    text = read_text("r", "x", make_failed_runtime(tmp_path)())

    assert text.startswith(
        "#1048 thumbs S02: failed, exit 1\ncommand: /usr/bin/python3 thumbs.py /srv/in/S02E09.mkv\n"
    )
    assert "attempt 2: failed, exit 1 after 3.2s; started 2026-11-25T10:40:01" in text
    assert text.endswith("No such file␛[0m\n")
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("size", "look"), [((80, 60), Look()), ((200, 50), PLAIN), ((60, 60), Look())]
)
async def test_hostile_text_in_further_details_is_plain_text(
    size: tuple[int, int], look: Look
) -> None:
    kin = {
        "depth": 1,
        "uuid": HOSTILE_TEXT,
        "number": 7,
        "name": HOSTILE_TEXT,
        "status": HOSTILE_TEXT,
        "kind": HOSTILE_TEXT,
        "again": False,
        "more": 0,
    }
    rule = {
        "name": HOSTILE_TEXT,
        "severity": HOSTILE_TEXT,
        "preset": HOSTILE_TEXT,
        "due": NOW + 60,
        "done": None,
        "took": 1.0,
        "late": False,
    }
    act = {
        "at": "2026-11-25T10:31:00.000000Z",
        "by": HOSTILE_TEXT,
        "verb": HOSTILE_TEXT,
        "before": {"queue": HOSTILE_TEXT},
        "after": {"queue": HOSTILE_TEXT * 2},
    }
    offered = make_suggestion(
        HOSTILE_TEXT,
        HOSTILE_TEXT,
        HOSTILE_TEXT,
        verb=HOSTILE_TEXT,
        said=HOSTILE_TEXT,
        object=HOSTILE_TEXT,
    )
    row = make_task_row(
        name=HOSTILE_TEXT,
        parameters={
            HOSTILE_TEXT: {HOSTILE_TEXT: [HOSTILE_TEXT] * 9},
            f"{HOSTILE_TEXT}2": HOSTILE_TEXT * 40,
        },
    )
    why = {**WHY, "cures": [offered, {**offered, "verb": ""}]}
    app = make_deck(
        FakeRuntime(
            about=make_about_answer(
                row, why=why, tree={"parents": [kin], "children": [kin]}, slas=[rule], acts=[act]
            )
        ),
        look=look,
    )
    async with app.run_test(size=size) as pilot:
        app.open_task("1049")
        await wait_until(
            pilot, lambda: any("[/red]" in text for text in read_screen_lines(app)[1:])
        )
        for key in ("G", "g"):
            await pilot.press(key)
            await pilot.pause()
            assert find_control_characters(app) == []
            assert {
                sum(segment.cell_length for segment in text) for text in read_screen_segments(app)
            } == {size[0]}
            assert not look.ascii or "".join(read_screen_lines(app)).isascii()
        await pilot.press("w")
        await wait_until(pilot, lambda: "It waits: " in read_screen_line(app, size[1] - 2))
        assert find_control_characters(app) == []
        app.open_why("1049")
        await wait_until(pilot, lambda: isinstance(app.screen, WhyScreen))
        await pilot.pause()
        assert find_control_characters(app) == []
        assert app.failure is None


async def test_enter_on_the_template_opens_it(tmp_path: Path) -> None:
    app = make_deck(make_failed_runtime(tmp_path))
    opened: list[tuple[str, str | None]] = []
    app.open_editor = lambda kind, name=None: opened.append((kind, name))  # type: ignore[method-assign]
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1048")
        await wait_until(pilot, lambda: "failed" in read_screen_line(app, 1))
        await pilot.press("G")
        await wait_until(pilot, lambda: "↵ template" in read_screen_line(app, 39))
        await pilot.press("enter")
        await wait_until(pilot, lambda: opened == [("templates", "thumbs")])


async def test_each_plus_raises_the_priority_even_on_a_stale_screen() -> None:
    """Lose no press made before the screen refreshes, and start from changes made elsewhere."""
    answers = make_waiting_runtime()
    answers.table["set"] = {
        "done": [{"number": 1049, "name": "resnet50-sweep-08"}],
        "refused": [],
        "notes": [],
    }
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await wait_until(pilot, lambda: "priority 5" in read_screen_line(app, 1))

        def asked() -> list[int]:
            return [args["fields"]["priority"] for args in answers.list_args("set")]

        await pilot.press("+")
        app.connection._apply_board(
            BOARD._replace(
                next=tuple(
                    row._replace(priority=6) if row.number == 1049 else row for row in BOARD.next
                )
            )
        )
        await pilot.press("+")
        await wait_until(pilot, lambda: asked() == [6, 7])
        for seen in (7, 2):
            answers.table["show"] = make_task_row(priority=seen)
            app.screen.reread()
            await wait_until(
                pilot, lambda seen=seen: f"priority {seen}" in read_screen_line(app, 1)
            )
        await pilot.press("+")
        await wait_until(pilot, lambda: asked() == [6, 7, 3])


def make_failed_board_runtime(tmp_path: Path) -> FakeRuntime:
    """Return a runtime with a failure that has a row on the deck."""
    answers = make_failed_runtime(tmp_path)
    ended_at = datetime.fromisoformat(answers.table["show"]["ended_at"]).timestamp()
    ended = tuple(
        row._replace(ended_at=ended_at) if row.number == 1048 else row
        for row in answers.board.ended
    )
    answers.board = answers.board._replace(ended=ended)
    return answers


@pytest.mark.parametrize("ident", ["1048", UUID.format(1048)], ids=["by its number", "by its row"])
async def test_opening_a_failure_s_screen_marks_it_as_seen(tmp_path: Path, ident: str) -> None:
    """Lower the header's `failed` count, however the screen was opened."""
    app = make_deck(make_failed_board_runtime(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: "3 failed" in read_screen_line(app, 1))
        app.open_task(ident)
        await wait_until(pilot, lambda: app.read_marks.count_unseen(app.board or BOARD) == 2)
        await pilot.press("q")
        await wait_until(pilot, lambda: "2 failed" in read_screen_line(app, 1))


@pytest.mark.parametrize("open_with", ["open_log", "open_why"])
async def test_opening_a_failure_s_log_or_why_marks_it_as_seen(
    tmp_path: Path, open_with: str
) -> None:
    app = make_deck(make_failed_board_runtime(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        getattr(app, open_with)(UUID.format(1048))
        await wait_until(pilot, lambda: app.read_marks.count_unseen(app.board or BOARD) == 2)


@pytest.mark.parametrize(
    "size", [(80, 24), (80, 30), (120, 40)], ids=lambda size: "x".join(map(str, size))
)
async def test_an_empty_log_has_its_section(tmp_path: Path, size: tuple[int, int]) -> None:
    """Show the title `Log` and a note at once."""
    answers = make_running_runtime(tmp_path / "x.log")
    (tmp_path / "x.log").write_text("")
    app = make_deck(answers)
    async with app.run_test(size=size) as pilot:
        app.open_task("1042")
        await wait_until(pilot, lambda: "  No output yet." in read_screen_lines(app))
        lines = read_screen_lines(app)
        assert "▌Log  0B" in lines[lines.index("  No output yet.") - 1]


async def test_w_moves_to_the_suggestions_and_shows_the_reason() -> None:
    """Move the cursor to the first suggestion, and open no dialog that repeats the screen."""
    answers = make_suggestion_runtime()
    async with open_suggestions(answers) as (app, pilot):
        await pilot.press("g")
        assert not app.screen.query_one("#main", DocumentView).cursor.startswith("cure:")
        await pilot.press("w")
        await wait_until(
            pilot,
            lambda: read_screen_line(app, 22).startswith(
                " It waits: needs 12.0G memory of pool gpu, 2.0G free; #1042"
            ),
        )
        assert (
            app.screen.query_one("#main", DocumentView).cursor,
            isinstance(app.screen, TaskScreen),
        ) == ("cure:less", True)
        await press_enter_twice(app, pilot, answers)


async def test_w_on_an_ended_task_shows_its_result(tmp_path: Path) -> None:
    app = make_deck(make_failed_runtime(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1048")
        await wait_until(pilot, lambda: "failed" in read_screen_line(app, 1))
        await pilot.press("w")
        await wait_until(
            pilot,
            lambda: read_screen_line(app, 22).startswith(" ✗ failed: exit 1 after 3.2s, 2m ago"),
        )


def test_the_wait_in_slurm_is_a_phase_of_its_own():
    events = [
        {"at": timestamps.from_unix(at), "status": status, "runid": runid}
        for at, status, runid in (
            (0.0, "queued", None), (1.0, "running", None), (1.0, "starting", "r1"),
            (61.0, "running", "r1"),
        )
    ]  # fmt: skip
    run = {"runid": "r1", "attempt": 1, "status": "running", "outer_job": "7"}
    task = {"uuid": "t", "status": "running", "events": events, "instances": [run]}
    (section,) = build_timeline(TaskContext({"task": task}, Look(plain=True), 181.0, 80))

    assert section.rows[0].spans[0][0] == "queued 1.0s › in Slurm 1m › ran 2m"


def test_a_task_that_waits_in_slurm_is_not_starting():
    run = make_run_row(number=1, status="starting", start_time=None)
    row = make_task_row(status="running", instances=[run | {"outer_job": ""}])
    context = TaskContext(make_about_answer(row) | {"ends_in": []}, Look(), 181.0, 80)
    assert build_headline(context)[0][0].strip() == "◇ in Slurm"
    assert "in Slurm" in build_attempts(context).rows[0].spans[0][0]


def test_a_task_in_slurm_shows_the_reason_and_the_command_that_helps():
    text = "job 812 in Slurm; held in Slurm by you: scontrol release 812"
    row = make_task_row(status="running", instances=[make_run_row(number=1, status="starting")])
    about = make_about_answer(row) | {"why": {"reasons": [{"code": "running", "text": text}]}}

    (section,) = build_slurm_section(TaskContext(about, Look(), 181.0, 40))

    assert section.title == "In Slurm"
    assert " ".join(row.spans[0][0] for row in section.rows) == text
    assert not [*build_slurm_section(TaskContext(make_about_answer(row), Look(), 181.0, 40))]


async def test_r_submits_a_changed_copy_and_opens_its_page() -> None:
    """Submit from the form that `R` fills on a task's page; no list is there for a cursor."""

    def show(args: dict[str, Any]) -> dict[str, Any]:
        is_new = args["id"] != UUID.format(1049)
        return make_task_row(uuid=args["id"], number=1063, name="copy") if is_new else original

    def accept(args: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"number": 1063, "name": "copy", "uuid": args.get("uuid")}]

    original = make_task_row(cwd="/")
    answers = FakeRuntime(show=show, why=[WHY], submit=accept, queue_ls=[], template_ls=[])
    app = make_deck(answers)
    async with app.run_test(size=(100, 40)) as pilot:
        app.open_task(UUID.format(1049))
        await wait_until(pilot, lambda: "#1049" in read_screen_line(app, 0))
        await pilot.press("R")
        await wait_until(pilot, lambda: is_shown(app, "It can be submitted."))
        await pilot.press("9", "ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "Submitted #1063."))
        await wait_until(pilot, lambda: "#1063 copy" in read_screen_line(app, 0))
        await pilot.press("escape")
        await wait_until(pilot, lambda: "#1049" in read_screen_line(app, 0))
    assert app.return_code in (None, 0)
