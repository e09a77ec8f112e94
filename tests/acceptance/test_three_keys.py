"""Acceptance tests of everyday actions, each at most three keys from the deck.

The deck runs in a real tmux at two sizes. The cursor is on the first running row. `3` pressed in
the work goes to its next part. A text typed into a field counts as one key together with its enter
or ctrl+j.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from app.client import Client
from app.core.ids import make_uuid7
from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome
from tests.acceptance.conftest import open_home
from tests.acceptance.terminal import Terminal
from tests.acceptance.tmux import Tmux

SUBMIT_KEY = "\n"
"""ctrl+j."""
ENTER, ESCAPE = "\r", "\x1b"
SIZES = ((80, 24), (120, 40))

DEFINITIONS = """
[pools.gpu]
total_cpu = 4
total_memory = "1G"
[queues.gpu]
pool = "gpu"
capacity = 4
[queues.media]
capacity = 1
[queues.night]
capacity = 1
[templates.greet]
engine = "exec"
description = "says hello to somebody"
schema.argv = ["echo", "hello", "{{ whom }}"]
[templates.greet.parameters]
type = "object"
required = ["whom"]
properties.whom = { type = "string", description = "who is greeted" }
[slas.encode-in-time]
conditions = { preset = "finishes-within", value = "1s", match = { queue = "media" } }
"""
FAILING_SCRIPT = 'echo "frame 1"; echo "frame 2"; echo "Error: no such file: in.mkv" >&2; exit 3'
RUNNING_SCRIPT = (
    'echo "frame 1"; echo "Error: a frame was dropped"; n=1; while :; do n=$((n+1)); echo "frame'
    ' $n"; sleep 0.5; done'
)


class DeckSession(NamedTuple):
    """The home, a client of its runtime, and the shown terminal."""

    house: AcceptanceHome
    client: Client
    shown: Tmux | Terminal

    def show(self, number: int) -> dict[str, Any]:
        return self.client.call("show", {"id": number})


class UserAction(NamedTuple):
    """User action: its keys, and the resulting screen and runtime state."""

    title: str
    keys: Sequence[str]
    shows: str
    holds: Callable[[DeckSession], object] = lambda desk: True


FAILED, SWEEP, ENCODE, BIG, SECOND, THIRD = range(1, 7)
"""Numbers of the tasks that `furnish` submits."""


def _list_queue_values(desk: DeckSession, what: str) -> list[Any]:
    return [row[what] for row in desk.client.call("queue.ls", {})]


def _list_waiting_values(desk: DeckSession, what: str) -> list[Any]:
    """Return a value of each task that waited at first."""
    return [desk.show(number)[what] for number in (BIG, SECOND, THIRD)]


def _get_run_status(desk: DeckSession, number: int) -> str:
    return desk.show(number)["instances"][-1]["status"]


def _list_alert_statuses(desk: DeckSession) -> list[str]:
    return [row["status"] for row in desk.client.call("alert.ls", {})]


def _list_schedules(desk: DeckSession) -> list[dict[str, Any]]:
    return desk.client.call("schedule.ls", {})


def _is_submitted(desk: DeckSession, name: str) -> bool:
    return any(row[2] == name for row in desk.client.call("browse", {"limit": 50})["rows"])


OPENED_TEXTS = {
    "1": "▌1 Queues", "W": "▌W Next", "4": "▌4 SLA", "5": "WHY / RESULT", "6": "says hello",
    "8": "yearly",
    "9": "last ",
    "O": "Operations", "F": "/failed",
    "n": "Command", "l": "attempt 1", "e": "a shell", "V": "┌", "s": "┌", "y": "┌",
    "x": "┌─ Cancel",
}  # fmt: skip
"""Text that appears before the next key is pressed, by key."""

USER_ACTIONS = (
    UserAction("see why the first waiting task waits", ("W", "w"), "needs 900M memory of pool gpu"),
    UserAction("read the log of what failed", ("F", "l"), "no such file: in.mkv"),
    UserAction("see how it ended, and why", ("F", "w"), "exit 3"),
    UserAction("ask for less memory", ("W", "e", f"300M{SUBMIT_KEY}"), "Memory 900M → 300M",
    lambda d: d.show(BIG)["memory"] == 300),
    UserAction("move a task to the front of its queue", ("W", "j", "t"), "To the front",
    lambda d: any(_list_waiting_values(d, "front"))),
    UserAction("give a queue more places", ("1", "e", f"7{SUBMIT_KEY}"), "/7",
    lambda d: 7 in _list_queue_values(d, "capacity")),
    UserAction("pause a queue for the night", ("1", "p"), "‖ paused",
    lambda d: "paused" in _list_queue_values(d, "status")),
    UserAction("let the queue go on in the morning", ("1", "p"), "Resumed queue",
    lambda d: "paused" not in _list_queue_values(d, "status")),
    UserAction("let a running task stand still", ("p",), "‖ sweep-06",
    lambda d: _get_run_status(d, SWEEP) == "paused"),
    UserAction("let it go on", ("p",), "● sweep-06",
    lambda d: _get_run_status(d, SWEEP) == "running"),
    UserAction("hold what waits", ("W", "p"), "⊟",
    lambda d: "held" in _list_waiting_values(d, "status")),
    UserAction("take back what was just done", ("u",), "Undone: hold",
    lambda d: "held" not in _list_waiting_values(d, "status")),
    UserAction("raise the priority of what waits", ("W", "+"), "riority 0 → 1",
    lambda d: 1 in _list_waiting_values(d, "priority")),
    UserAction("follow the log of what runs", ("l",), "following"),
    UserAction("find the next error in a log", ("l", "e"), "Error: a frame"),
    UserAction("submit a command", ("n", f"echo from-the-form{SUBMIT_KEY}"), "Submitted #",
    lambda d: _is_submitted(d, "echo from-the-form")),
    UserAction("find a task by its name among all", ("5", "/", f"encode three{ENTER}"),
    "Tasks 1 of", lambda d: "encode two" not in d.shown.text),
    UserAction("list what failed, the latest first", ("5", "V", "a"), "thumbs S02",
    lambda d: "status:failed" in d.shown.text),
    UserAction("submit from a template", ("6", ENTER, f"world{SUBMIT_KEY}"), "Submitted #",
    lambda d: _is_submitted(d, "greet")),
    UserAction("acknowledge an alert", ("4", "a"), "acked",
    lambda d: "acknowledged" in _list_alert_statuses(d)),
    UserAction("silence a rule for an hour", ("4", "s", "h"), "silenced",
    lambda d: "silenced" in _list_alert_statuses(d)),
    UserAction("see the last week", ("9", "o", "o"), "Throughput"),
    UserAction("run a schedule at once", ("8", "r"), "Submitted a task of yearly: #",
    lambda d: len(_list_schedules(d)[0]["fires"]) == 1),
    UserAction("see the next fire times of a schedule", ("8", ENTER), "Next fires"),
    UserAction("see the day of all schedules", ("8", "t"), "│ now",
    lambda d: "yearly" in d.shown.text),
    UserAction("keep a schedule from firing", ("8", "p"), "Paused schedule yearly",
    lambda d: _list_schedules(d)[0]["state"] == "paused"),
    UserAction("see who did what", ("O",), "queue pause", lambda d: "encode" in d.shown.text),
    UserAction("give one pane the whole screen", ("z",), "E Just ended",
    lambda d: "1 Queues" not in d.shown.text),
    UserAction("copy the command of a task", ("y", "c"), "Copied",
    lambda d: not isinstance(d.shown, Tmux) or "frame" in d.shown.read_clipboard()),
    UserAction("see a task with its use and its log", (ENTER,), "Attempts 1"),
    UserAction("run a failed one again", ("F", "r"), "Retrying",
    lambda d: len(d.show(FAILED)["instances"]) > 1),
    UserAction("cancel what runs", ("x", "y"), "ancelled",
    lambda d: d.show(SWEEP)["status"] == "cancelled"),
)  # fmt: skip
"""Everyday acts, each with its keys, the text to wait for or the proof that it worked."""


def set_up_home(house: AcceptanceHome) -> Client:
    """Set up a home with a failed, two running and three waiting tasks; return its client."""
    house.run_ok("apply", "-f", "-", input=DEFINITIONS)
    client = Client(house.home)
    _submit_task(client, ["sh", "-c", FAILING_SCRIPT], "thumbs S02", queue="night")
    _submit_task(client, ["sh", "-c", RUNNING_SCRIPT], "sweep-06", queue="gpu", memory=600)
    _submit_task(client, ["sh", "-c", RUNNING_SCRIPT], "encode one", queue="media")
    _submit_task(client, ["sh", "-c", RUNNING_SCRIPT], "sweep-07", queue="gpu", memory=900)
    _submit_task(client, ["sh", "-c", RUNNING_SCRIPT], "encode two", queue="media")
    _submit_task(client, ["sh", "-c", RUNNING_SCRIPT], "encode three", queue="media")
    client.call("wait", {"ids": ["1"], "timeout": 20.0})
    yearly = {"name": "yearly", "cron": "0 0 1 1 *", "argv": ["true"], "env": {}}
    client.call("schedule.create", yearly)
    return client


def _submit_task(client: Client, argv: list[str], name: str, **more: Any) -> None:
    env = {"PATH": "/usr/bin:/bin"}
    client.call(
        "submit",
        {
            "tasks": [{"argv": argv, "name": name, **more}],
            "uuid": make_uuid7(),
            "cwd": "/",
            "umask": 0o022,
            "env": env,
        },
    )


def open_terminal(house: AcceptanceHome, columns: int, rows: int) -> Tmux | Terminal:
    """Open the deck in tmux, or on a pty where tmux is missing."""
    if shutil.which("tmux"):
        return Tmux([PROGRAM], house.env, house.work, columns, rows)
    return house.open_terminal(columns=columns, rows=rows)


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def deck_session(request: pytest.FixtureRequest) -> Iterator[DeckSession]:
    """Yield one home and one deck for all actions at a size, with a firing alert."""
    with open_home() as house:
        client = set_up_home(house)
        with open_terminal(house, *request.param) as shown:
            shown.wait("encode one").wait("firing")
            yield DeckSession(house, client, shown)
        client.close()


@pytest.mark.parametrize("job", USER_ACTIONS, ids=lambda job: job.title.replace(" ", "-"))
def test_each_action_takes_at_most_three_keys(deck_session: DeckSession, job: UserAction):
    assert len(job.keys) <= 3
    return_to_start(deck_session.shown)

    for key in job.keys[:-1]:
        press_key(deck_session.shown, key, OPENED_TEXTS.get(key))
    press_key(deck_session.shown, job.keys[-1])
    repeat_if_too_soon(deck_session.shown, job)

    deck_session.shown.wait(lambda t: job.shows in t.text and job.holds(deck_session), seconds=5)


def return_to_start(shown: Tmux | Terminal) -> None:
    """Return to the whole deck with the cursor on the first running row.

    A dialog that an earlier key opens late is closed.
    """
    for _ in range(4):
        _close_dialogs(shown)
        shown.type("0")
        with suppress(AssertionError):  # a dialog that opened meanwhile has taken a key
            if " /" in shown.find_line("3 Running"):
                shown.type(ESCAPE).wait(lambda t: " /" not in t.find_line("3 Running"), seconds=1)
            shown.type("g").wait(lambda t: _is_cursor_first(t.lines), seconds=1)
            return
    raise AssertionError(f"not back at the start:\n{shown.text}")


def _close_dialogs(shown: Tmux | Terminal) -> None:
    """Close everything above the deck with Escape. A late `q` would end the deck itself."""
    for _ in range(8):
        if not _is_on_deck(before := shown.lines):
            with suppress(AssertionError):
                shown.type(ESCAPE).wait(
                    lambda t, before=before: _is_other_screen(before, t.lines), seconds=1
                )


def _is_on_deck(lines: list[str]) -> bool:
    return lines[-1].endswith("q quit") and not _is_dialog_open(lines)


def _is_dialog_open(lines: list[str]) -> bool:
    return any("┌" in line for line in lines)


def _is_other_screen(before: list[str], now: list[str]) -> bool:
    return before[-1] != now[-1] or _is_dialog_open(before) != _is_dialog_open(now)


def _is_cursor_first(lines: list[str]) -> bool:
    """Return true if the cursor is on the row below the title of the running tasks."""
    rule = next((at for at, line in enumerate(lines) if line[1:].startswith("▌3 Running")), None)
    return (
        rule is not None
        and lines[rule + 1].startswith("›")
        and any("1 Queues" in line for line in lines)
    )


def press_key(shown: Tmux | Terminal, key: str, opens: str | None = None) -> None:
    """Press a key and wait until it has an effect, or for a moment.

    A text is typed at once; the key that closes its field follows once the text is shown.
    """
    if len(key) > 1:
        shown.type(key[:-1]).wait(key[:-1], seconds=5)
    if opens:
        _press_until_open(shown, key, opens)
    else:
        before = _read_without_digits(shown)
        with suppress(AssertionError):
            shown.type(key[-1]).wait(lambda t: _read_without_digits(t) != before, seconds=0.3)


def _press_until_open(shown: Tmux | Terminal, key: str, opens: str) -> None:
    """Press a key that opens something; repeat once if the row refuses after a change."""
    try:
        shown.type(key).wait(lambda t: opens in t.text or "press again" in t.text, seconds=5)
        shown.wait(opens, seconds=0.5)
    except AssertionError:
        shown.type(key).wait(opens, seconds=5)


def _read_without_digits(shown: Tmux | Terminal) -> str:
    """Return the screen without digits, because times change by themselves."""
    return re.sub(r"\d", "", shown.text)


def repeat_if_too_soon(shown: Tmux | Terminal, job: UserAction) -> None:
    """Repeat the last key if it came too soon.

    A row that has just changed refuses an action, a form waits for stored values, and a new dialog
    ignores letters.
    """
    too_soon = ("press again", "still being read", "┌")
    for _ in range(5):
        try:
            shown.wait(job.shows, seconds=0.5)
            return
        except AssertionError:
            if any(words in shown.text for words in too_soon):
                press_key(shown, job.keys[-1][-1])


def test_there_are_at_least_twenty_actions_with_distinct_names():
    assert len({job.title for job in USER_ACTIONS}) == len(USER_ACTIONS) >= 20
