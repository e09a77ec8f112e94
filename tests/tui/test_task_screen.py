"""The task screen: waiting, running and ended, its verbs, and hostile texts in every field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.app import App

from app.errors import NotFound
from app.tui.look import Look
from app.tui.screens.log import LogScreen
from app.tui.screens.task import TaskScreen
from app.tui.screens.why import WhyScreen
from tests.tui.answers import BOARD, UUID, WHY, Answers, deck, line, log_answer, run, task, until
from tests.tui.boards import NOW
from tests.tui.screen_text import screen_segments, screen_text

EVIL = "[/red]\x1b]52;c;eA==\x07\x9b2J\u202etxt\u2066 保存\x00\n\t\u200b"


def waiting(**values: Any) -> Answers:
    return Answers(show=task(**values), why=[WHY])


def failed(tmp_path: Path, **values: Any) -> Answers:
    path = tmp_path / "x.log"
    path.write_text('Traceback:\n  File "thumbs.py", line 41\n\nFileNotFoundError: \x1b[31mNo such file\x1b[0m\n\n')
    ends: Any = {"status": "failed", "exit_code": 1, "path": str(path), "log_bytes": 2150, "number": 1048}
    runs = [
        run(attempt=1, runid="a", reason="exit 1, retried after 5m", start_time="2026-11-25T10:35:00.000000Z",
            end_time="2026-11-25T10:35:03.000000Z", run_seconds=3.0, **ends),
        run(attempt=2, runid="b", reason="exit 1", start_time="2026-11-25T10:40:01.000000Z",
            end_time="2026-11-25T10:40:04.000000Z", run_seconds=3.2, **ends),
    ]  # fmt: skip
    row = task(
        number=1048, name="thumbs S02", status="failed", template="thumbs", queue="media", cwd="/srv/media", priority=0,
        parameters={"input": "/srv/in/S02E09.mkv", "width": 320, "api_token": "s3cr3t"}, memory=512.0, cpu=1.0,
        timeout=600.0, launch={"argv": ["/usr/bin/python3", "thumbs.py", "/srv/in/S02E09.mkv"]}, reason="exit 1",
        ended_at="2026-11-25T10:40:04.000000Z", instances=runs,
        children=[{"number": 1061, "name": "contact-sheet", "status": "cancelled", "kind": "success"}],
    )  # fmt: skip
    return Answers(show=row | values, log=log_answer(row, *runs))


def running(path: Path, **values: Any) -> Answers:
    path.write_text("".join(f"epoch {n}/50\n" for n in range(42)))
    one = run(path=str(path), runid="r1042", number=1042)
    row = task(status="running", number=1042, name="resnet50-sweep-06", instances=[one]) | values
    return Answers(show=row, log=log_answer(row, one))


async def test_a_waiting_task_tells_its_reasons_and_who_holds_what(tmp_path: Path) -> None:
    """You should see two numbered reasons, the two runs that hold pool gpu, what does not hold it back, and its command."""
    app = deck(waiting())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await until(pilot, lambda: "starts" in line(app, 1))
        lines = screen_text(app)

        assert lines[0].startswith(" Deck › #1049 resnet50-sweep-08")
        assert lines[1].startswith(" ○ queued   in gpu for 2h11m   priority 5   by ann   starts 10:43–10:55 (~7m)")
        assert lines[2].startswith("━▌Why it waits ━")
        assert lines[3] == "  1 needs 12.0G memory of pool gpu, 2.0G free; #1042 frees 12.0G in ~6m"
        assert lines[4].split() == ["›", "held", "by", "#1042", "resnet50-sweep-06", "12.0G", "ends", "in", "~6m"]
        assert "  ✓ not held   ✓ no dependencies   ✓ queue open (2 of 4)   ✓ time is not set" in lines
        assert "  command   python train.py --lr 0.01 --seed 8" in lines
        assert lines[23] == " ↵ open  p hold  x cancel  t to front  + - priority  y copy  ? help  q back"


async def test_enter_on_a_holder_opens_its_screen() -> None:
    answers = waiting()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await until(pilot, lambda: "#1042" in line(app, 4))
        await pilot.press("enter")
        await until(pilot, lambda: {"id": UUID.format(1042)} in answers.asked("show"))


async def test_a_running_task_shows_its_use_and_its_log_live(tmp_path: Path) -> None:
    """You should see bars for cpu, memory and time, the end of the log below them, and the one attempt with its pid."""
    path = tmp_path / "x.log"
    app = deck(running(path))
    async with app.run_test(size=(80, 30)) as pilot:
        app.open_task("1042")
        await until(pilot, lambda: any("epoch 41/50" in line for line in screen_text(app)))
        lines = screen_text(app)
        assert lines[1].startswith(" ● running   3h18m of 4h (82%)   ends 10:48 (~6m)   attempt 1 of 2")
        assert lines[3].startswith("  cpu    ███████▒▒▒ 2.9")
        assert lines[4].startswith("  memory █████████▒ 11.8G       11.8G       12.0G")
        assert lines[6] == "  ! memory is at 98% of what it asked; it is warned, not stopped."
        assert any("1 ● running   07:23:51     3h18m   pid 41877" in line for line in lines)
        with path.open("a") as file:
            file.write("epoch 42/50\n")
        await until(pilot, lambda: any("epoch 42/50" in line for line in screen_text(app)))


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (200, 50)])
async def test_log_message_line_and_keys_have_their_place_at_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    app = deck(running(tmp_path / "x.log"))
    async with app.run_test(size=size) as pilot:
        app.open_task("1042")
        await until(pilot, lambda: any("epoch 41/50" in text for text in screen_text(app)))
        await until(pilot, lambda: line(app, size[1] - 1).endswith("? help  q back"))
        assert app.screen.max_scroll_y == 0


async def test_an_ended_task_tells_how_with_the_last_lines_of_its_log(tmp_path: Path) -> None:
    """You should see exit 1, the last lines without colours, both attempts, who waited for it, and the line to run it again."""
    app = deck(failed(tmp_path))
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1048")
        await until(pilot, lambda: "failed" in line(app, 1))
        lines = screen_text(app)

        assert lines[1] == " ✗ failed   exit 1 after 3.2s, 2m ago (10:40:04)   attempt 2 of 2, the last"
        assert lines[3] == "  thumbs failed: exit 1. Last lines of the log:"
        assert lines[4:7] == [
            "    Traceback:",
            '      File "thumbs.py", line 41',
            "    FileNotFoundError: No such file",
        ]
        assert lines[7] == "  cpu 2.9s   peak memory 84M of 512M asked   no signal"
        assert any(line.startswith("› 2 ✗ failed    10:40:01     3.2s    exit 1") for line in lines)
        assert any("1061 ⊘ contact-sheet" in line and "only after a success" in line for line in lines)
        assert any("taskdeck submit thumbs -q media -t 10m --memory 512M" in line for line in lines)
        assert "s3cr3t" not in "\n".join(lines)


async def test_enter_on_an_attempt_opens_that_attempts_log(tmp_path: Path) -> None:
    app = deck(failed(tmp_path))
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1048")
        await until(pilot, lambda: "failed" in line(app, 1))
        await pilot.press("j", "enter")
        await until(pilot, lambda: "attempt 1 of 2" in line(app, 1))
        assert isinstance(app.screen, LogScreen)


@pytest.mark.parametrize(
    ("key", "verb", "args"),
    [
        ("p", "hold", {"ids": [UUID.format(1049)]}),
        ("x", "cancel", {"ids": [UUID.format(1049)]}),
        ("t", "front", {"ids": [UUID.format(1049)], "value": None}),
        ("plus", "set", {"ids": [UUID.format(1049)], "fields": {"priority": 6}}),
        ("minus", "set", {"ids": [UUID.format(1049)], "fields": {"priority": 4}}),
    ],
)
async def test_keys_on_a_waiting_task_ask_its_verbs(key: str, verb: str, args: dict[str, Any]) -> None:
    answers = waiting()
    answers.table[verb] = {"done": [{"number": 1049, "name": "resnet50-sweep-08"}], "refused": [], "notes": []}
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await until(pilot, lambda: "queued" in line(app, 1))
        await pilot.press(key)
        await until(pilot, lambda: "#1049" in line(app, 22))
        assert answers.asked(verb) == [args]


async def test_r_runs_an_ended_task_again_and_d_asks_before_it_deletes(tmp_path: Path) -> None:
    answers = failed(tmp_path)
    done = {"done": [{"number": 1048, "name": "thumbs S02"}], "refused": [], "notes": []}
    answers.table |= {"retry": done, "rm": done}
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1048")
        await until(pilot, lambda: "failed" in line(app, 1))
        await pilot.press("r")
        await until(pilot, lambda: answers.asked("retry") == [{"ids": [UUID.format(1048)], "again": True}])
        await pilot.press("D")
        await until(pilot, lambda: any("Delete 1 task" in line for line in screen_text(app)))
        assert answers.asked("rm") == []
        await pilot.press("y")
        await until(pilot, lambda: answers.asked("rm") == [{"ids": [UUID.format(1048)]}])


async def test_l_opens_the_log_w_says_why_and_q_goes_back(tmp_path: Path) -> None:
    app = deck(running(tmp_path / "x.log"))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1042")
        await until(pilot, lambda: "running" in line(app, 1))
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, LogScreen))
        await pilot.press("q", "w")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, TaskScreen))
        await pilot.press("q")
        await until(pilot, lambda: app.screen is app.deck)


async def test_a_task_that_starts_changes_its_screen_by_itself(tmp_path: Path) -> None:
    answers = waiting()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await until(pilot, lambda: "queued" in line(app, 1))
        one = run(path=str(tmp_path / "none.log"), logs="hello\n")
        row = task(status="running", instances=[one])
        answers.table |= {"show": row, "log": log_answer(row, one)}
        app.board = replace(BOARD, at=BOARD.at + 1)
        await until(pilot, lambda: "running" in line(app, 1))
        await until(pilot, lambda: "  hello" in screen_text(app))


async def test_a_task_that_ends_turns_into_its_report_and_keeps_the_keys(tmp_path: Path) -> None:
    """You should see how it ended, who cancelled it, and a history that tells each thing once."""
    answers = running(tmp_path / "x.log")
    app = deck(answers)
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_task("1042")
        await until(pilot, lambda: any("epoch 41/50" in line for line in screen_text(app)))
        one = run(path=str(tmp_path / "x.log"), runid="r1042", number=1042, status="cancelled", reason="cancelled by ann",
                  end_time="2026-11-25T10:42:06.000000Z", run_seconds=11_895.0)  # fmt: skip
        end = {"status": "cancelled", "at": "2026-11-25T10:42:06.500000Z", "note": None}
        events = [{**end, "by": "taskdeck", "runid": "r1042"}, {**end, "by": "taskdeck", "runid": None}]
        row = task(status="cancelled", number=1042, reason="cancelled by ann", instances=[one], events=events,
                   ended_at="2026-11-25T10:42:06.000000Z")  # fmt: skip
        answers.table |= {"show": row, "log": log_answer(row, one)}
        app.board = replace(BOARD, at=BOARD.at + 1)
        await until(pilot, lambda: "⊘ cancelled   by ann after 3h18m, 1s ago" in line(app, 1))
        assert "  python was cancelled by ann. Last lines of the log:" in screen_text(app)
        await until(pilot, lambda: "  10:42:06  attempt 1 cancelled" in screen_text(app))
        assert sum(text.startswith("  10:42:06") for text in screen_text(app)) == 1
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LogScreen))


async def test_an_unknown_task_is_said_in_the_message_line() -> None:
    app = deck(Answers())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("77")
        await until(pilot, lambda: "no answer for show" in line(app, 22))
        await pilot.press("x", "p", "l", "w", "enter", "j")
        assert app.failure is None


def escapes(app: App[Any]) -> list[str]:
    text = "".join(segment.text for line in screen_segments(app) for segment in line)
    return [c for c in text if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066\u200b"]


PLAIN = Look(ascii=True, colour=False, utf8=False)


@pytest.mark.parametrize(("size", "look"), [((80, 24), Look()), ((200, 50), PLAIN), ((40, 10), Look())])
@pytest.mark.parametrize("status", ["queued", "failed", "running"])
async def test_hostile_texts_in_every_field_are_only_shown(
    status: str, size: tuple[int, int], look: Look, tmp_path: Path
) -> None:
    path = tmp_path / "x.log"
    path.write_text(EVIL * 3)
    one = run(status=status, path=str(path), reason=EVIL, end_time="2026-11-25T10:40:04.000000Z", run_seconds=3.0)
    other = {"number": 7, "name": EVIL, "status": EVIL, "kind": EVIL}
    row = task(
        status=status, name=EVIL, queue=EVIL, template=EVIL, parameters={EVIL: EVIL}, cwd=EVIL, submitted_by=EVIL,
        reason=EVIL, tags={EVIL: EVIL}, launch={"argv": [EVIL, EVIL]}, parents=[other], children=[other],
        instances=[one] if status != "queued" else [],
        events=[{"at": "2026-11-25T08:30:11.000000Z", "status": EVIL, "by": EVIL, "note": EVIL}],
    )  # fmt: skip
    why = {**WHY, "reasons": [{"code": EVIL, "text": EVIL, "short": EVIL}]}
    app = deck(Answers(show=row, why=[why], log=log_answer(row, one)), look=look)
    async with app.run_test(size=size) as pilot:
        app.open_task("1049")
        await until(pilot, lambda: any("[/red]" in line for line in screen_text(app)[1:]))
        await pilot.press("G")
        await pilot.pause()

        assert escapes(app) == []
        assert app.failure is None
        if look.ascii:
            assert "".join(screen_text(app)).isascii()


async def test_a_task_that_was_deleted_has_no_screen_any_more() -> None:
    answers = waiting()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        await until(pilot, lambda: "#1049 resnet50" in line(app, 0))
        answers.table["show"] = NotFound('no task "1049".')
        app.board = replace(answers.board, at=NOW + 1)
        await until(pilot, lambda: app.screen is app.deck)
        await until(pilot, lambda: "#1049 was deleted." in line(app, 22))


async def test_a_number_that_no_task_has_leads_back_to_where_one_was() -> None:
    app = deck(Answers(show=NotFound("no task #9. List: taskdeck ls")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("9")
        await until(pilot, lambda: "no task #9." in line(app, 22))
        assert app.screen is app.deck


async def test_what_is_said_while_a_screen_opens_is_shown_when_it_is_there() -> None:
    app = deck(waiting())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_task("1049")
        app.say("Paused #1049.")
        await until(pilot, lambda: "Paused #1049." in line(app, 22))
        assert app.failure is None
