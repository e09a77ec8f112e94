"""Screen of alerts and SLA rules."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from textual.pilot import Pilot

from app.core.board import AlertEntry
from app.errors import NotFound, Remote
from app.tui.actions import rules as action_rules
from app.tui.actions.tasks import NotApplicableError
from app.tui.app import TaskdeckApp
from app.tui.data.list_rows import RuleRow
from app.tui.pages.rule import build_rule_lines
from app.tui.rows.alerts import make_narrow_cells
from app.tui.rows.rules import make_alert_line, make_rule_row, make_rule_state_cell
from app.tui.screens.alerts import AlertsScreen, RuleDetail
from app.tui.screens.definitions.definition_editor import EditorScreen
from app.tui.screens.definitions.edit_form import EditScreen
from app.tui.screens.definitions.rule_form import AcknowledgeScreen, SilenceScreen, make_rule_screen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.tasks.task import TaskScreen
from app.tui.style import Look
from tests.tui import fake_home
from tests.tui.boards import NOW
from tests.tui.fake_runtime import UUID, FakeRuntime, make_deck, read_screen_line, wait_until
from tests.tui.screen_text import read_screen_lines, read_screen_text
from tests.tui.screens.tasks.test_task import HOSTILE_TEXT, find_control_characters

MINUTE, HOUR = 60.0, 3600.0


def format_timestamp(ago: float) -> str:
    return datetime.fromtimestamp(NOW - ago, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def make_alert_row(
    id: int, rule: str, severity: str = "warning", task: int | None = 1039, **more: Any
) -> dict[str, Any]:
    """Return a row of `alert.ls`."""
    row: dict[str, Any] = {
        "id": id, "sla": rule, "sla_id": id, "severity": severity, "status": "firing",
        "task_number": task, "task_name": "encode",
        "object": f"#{task} encode S02E04.mkv", "task_uuid": UUID.format(task) if task else None,
        "text": "running 57m, allowed 45m", "short": "57m > 45m",
        "since": format_timestamp(12 * MINUTE), "value": 57 * MINUTE,
        "limit": 45 * MINUTE, "acknowledged_by": None, "acknowledged_at": None,
        "silenced_until": None, "silenced_by": None,
        "silence_reason": None, "resolved_at": None, "created_at": format_timestamp(HOUR),
        "updated_at": format_timestamp(HOUR),
    }  # fmt: skip
    return row | more


def make_rule_answer(
    name: str, severity: str = "warning", match: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Return a row of `sla.ls`."""
    conditions: dict[str, Any] = {"preset": "finishes-within", "value": "45m"} | (
        {"match": match} if match else {}
    )
    template = f", template {match['template']}" if match and "template" in match else ""
    row: dict[str, Any] = {
        "id": 1, "name": name, "conditions": conditions, "actions": {}, "priority": 2,
        "enabled": True, "severity": severity,
        "words": f"finishes within 45m{template}",
        "limit": 45 * MINUTE, "open": {}, "silence": None, "late": 0, "last_late": None,
        "state": "ok",
        "created_at": format_timestamp(HOUR),
        "updated_at": format_timestamp(HOUR),
    }  # fmt: skip
    return row | more


SILENCED_UNTIL = format_timestamp(-5 * HOUR)
ALERTS = [
    make_alert_row(1, "encode-on-time", "critical"),
    make_alert_row(2, "gpu-wait", task=1049, status="acknowledged", acknowledged_by="ann",
    acknowledged_at=format_timestamp(MINUTE), short="2h12m > 30m",
          object="#1049 resnet50-sweep-08"),
    make_alert_row(4, "nothing-starts", "critical", task=None, sla_id=None, object="taskdeck",
    text="disk full since 10:31", short="disk full"),
    make_alert_row(3, "etl-late", status="silenced", silenced_until=SILENCED_UNTIL,
    silenced_by="bob", silence_reason="disk move"),
]  # fmt: skip
RULES = [
    make_rule_answer("encode-on-time", "critical", {"template": "encode"}, open={"firing": 1}),
    make_rule_answer(
        "etl-late",
        open={"firing": 1},
        silence={"until": SILENCED_UNTIL, "by": "bob", "reason": "disk move"},
    ),
    make_rule_answer(
        "gpu-wait", open={"acknowledged": 1}, late=3, last_late=format_timestamp(9 * HOUR)
    ),
    make_rule_answer("old-rule", "info", enabled=False),
]
RUNS = [
    {
        "number": n,
        "name": "encode",
        "status": "succeeded",
        "at": format_timestamp(24 * HOUR - n * HOUR),
        "value": took * MINUTE,
        "late": took > 45,
    }
    for n, took in enumerate((20, 30, 50, 25))
]
DONE: dict[str, Any] = {"done": [{"id": 1, "sla": "encode-on-time"}], "refused": [], "notes": []}


def answer_alert_show(args: dict[str, Any]) -> dict[str, Any]:
    row = next(row for row in ALERTS if row["id"] == args["id"])
    rule = next((rule for rule in RULES if rule["name"] == row["sla"]), None)
    task = {
        "status": "running",
        "created_at": format_timestamp(58 * MINUTE),
        "not_before": None,
        "first_start": format_timestamp(57 * MINUTE),
        "ended_at": None,
    }
    return row | {
        "rule": rule,
        "task": task if row["task_uuid"] else None,
        "runs": RUNS if rule else [],
    }


def make_runtime(**table: Any) -> FakeRuntime:
    usual: dict[str, Any] = {
        "alert_ls": ALERTS, "sla_ls": RULES, "alert_show": answer_alert_show, "alert_silences": [],
        "sla_history": {"runs": RUNS, "limit": 2700.0}, "sla_set": {},
        "alert_ack": DONE, "alert_unack": DONE, "alert_silence": DONE, "alert_unsilence": DONE,
        "sla_rm": {}, "sla_create": {},
        "template_ls": [{"name": "encode"}], "queue_ls": [{"name": "gpu"}],
    }  # fmt: skip
    return FakeRuntime(**(usual | table))


async def open_alerts_screen(pilot: Pilot[Any], app: TaskdeckApp) -> AlertsScreen:
    app.open_rules()
    await wait_until(
        pilot,
        lambda: (
            isinstance(app.screen, AlertsScreen) and app.screen._loaded and app.screen._details_key
        ),
    )
    screen = app.screen
    assert isinstance(screen, AlertsScreen)
    await wait_until(pilot, lambda: is_detail_high_enough(screen))
    return screen


def is_detail_high_enough(screen: AlertsScreen) -> bool:
    """Return True once the box of details has the height that its lines need."""
    box = screen.query_one(RuleDetail)
    return not box.display or str(box.styles.height) == str(box.size.height)


async def test_a_key_before_the_rules_are_loaded_gets_a_message():
    read = Event()

    def slowly(args: dict[str, Any]) -> list[dict[str, Any]]:
        assert read.wait(10)
        return RULES

    app = make_deck(make_runtime(sla_ls=slowly))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7", "s")
        await wait_until(
            pilot, lambda: "Nothing was read yet. Press the key again." in read_screen_text(app)
        )
        read.set()


async def test_alerts_and_rules_share_one_list_with_their_states():
    app = make_deck(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_alerts_screen(pilot, app)
        assert "7 Alerts and rules" in read_screen_line(app, 0)
        assert (
            read_screen_line(app, 1) == " 2 firing  1 acknowledged  1 silenced     rules 4, 1 off"
        )
        assert read_screen_line(app, 3).startswith("› ▲ CRIT  encode-on-time #1039 encode S02E04.m")
        assert read_screen_line(app, 3).endswith("57m > 45m        12m firing")
        assert read_screen_line(app, 4).endswith("acked ann") and read_screen_line(
            app, 6
        ).startswith("  ▽ warn  etl-late")
        assert read_screen_line(app, 6).endswith("silenced 5h")
        assert [row.rsplit("  ", 1)[1] for row in read_screen_lines(app)[8:12]] == [
            "firing 1",
            "silenced 5h",
            "acked 1",
            "off",
        ]
        assert "Rules 4" in read_screen_line(app, 7)


async def test_the_detail_shows_the_rule_runs_and_timeline_of_an_alert():
    app = make_deck(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_alerts_screen(pilot, app)
        await wait_until(pilot, lambda: "57m now" in read_screen_text(app))
        assert "─ encode-on-time ─" in read_screen_text(app) and "critical ─" in read_screen_text(
            app
        )
        assert "rule: finishes within 45m, template encode" in read_screen_text(app)
        chart = [row for row in read_screen_lines(app) if "│" in row]
        assert [sum(row.count(mark) for row in chart) for mark in "●○"] == [2, 3]
        assert (
            "45m │" in read_screen_text(app)
            and "limit 45m" in read_screen_text(app)
            and "4 runs" in read_screen_text(app)
        )
        assert (
            "submitted" in read_screen_text(app)
            and "started" in read_screen_text(app)
            and "limit reached, fires" in read_screen_text(app)
        )


async def test_the_detail_shows_the_silence_of_a_rule():
    app = make_deck(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("rule:etl-late")
        await wait_until(pilot, lambda: screen._details_key == "rule:etl-late")
        await wait_until(pilot, lambda: is_detail_high_enough(screen))
        assert "silenced 5h, until 15:42, by bob: disk move" in read_screen_text(app).replace(
            "Wed ", ""
        )


LAG_RULE = make_rule_answer(
    "replica-fresh", "critical", conditions={"preset": "stays-below", "metric": "replica-lag",
    "value": "5m"}, limit=300.0,
    words="replica-lag stays below 5m", metric="replica-lag", unit="seconds", now=420.0,
    stands="replica 7m old", open={"firing": 1},
)  # fmt: skip
LAG_ALERT = make_alert_row(
    9, "replica-fresh", "critical", task=None, object="taskdeck", text="replica 7m old, allowed 5m",
    short="7m > 5m", metric="replica-lag",
    value=420.0, limit=300.0, since=format_timestamp(2 * MINUTE),
)  # fmt: skip
EARLIER_VIOLATIONS = [
    {"since": format_timestamp(9 * HOUR), "until": format_timestamp(9 * HOUR - 5 * MINUTE)},
    {"since": format_timestamp(2 * HOUR), "until": format_timestamp(2 * HOUR)},
]


def make_lag_runtime(**more: Any) -> FakeRuntime:
    """Return a runtime with one rule, on the replica's age, which is violated."""
    shown_late = LAG_ALERT | {"rule": LAG_RULE, "task": None, "runs": [], "was": EARLIER_VIOLATIONS}
    history = {
        "name": "replica-fresh",
        "limit": 300.0,
        "metric": "replica-lag",
        "stands": "replica 8m old",
        "runs": [],
        "was": EARLIER_VIOLATIONS,
    }
    return make_runtime(
        **{
            "alert_ls": [LAG_ALERT],
            "sla_ls": [LAG_RULE],
            "alert_show": shown_late,
            "sla_history": history,
        }
        | more
    )


async def test_a_metric_rule_without_a_value_says_so():
    app = make_deck(
        make_runtime(alert_ls=[], sla_ls=[LAG_RULE | {"open": {}, "now": None, "state": "no data"}])
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7")
        await wait_until(
            pilot,
            lambda: any(
                "replica-fresh" in row and row.rstrip().endswith("no data")
                for row in read_screen_lines(app)
            ),
        )


async def test_the_detail_of_a_metric_alert_shows_its_rule_and_history():
    app = make_deck(make_lag_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_alerts_screen(pilot, app)
        await wait_until(pilot, lambda: "limit reached, fires" in read_screen_text(app))
        assert read_screen_line(app, 3).startswith(
            "› ▲ CRIT  replica-fresh  taskdeck"
        ) and "7m > 5m" in read_screen_line(app, 3)
        assert "taskdeck: replica 7m old, allowed 5m" in read_screen_text(app)
        assert "rule: replica-lag stays below 5m\n" in "\n".join(
            row.rstrip() for row in read_screen_lines(app)
        )
        assert "too high 08:42   too high 01:42 to 01:47" in read_screen_text(app)


async def test_the_detail_of_a_metric_rule_shows_current_value_and_violations():
    found = make_lag_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("rule:replica-fresh")
        await wait_until(pilot, lambda: "now: replica 8m old" in read_screen_text(app))
        assert "replica-lag stays below 5m" in read_screen_text(
            app
        ) and "every task" not in read_screen_text(app)
        await wait_until(pilot, lambda: "  too high 01:42 to 01:47" in read_screen_text(app))
        assert "too high 08:42\n" in read_screen_text(app)
        await pilot.press("question_mark")
        await wait_until(pilot, lambda: app.screen is not screen)
        before = len(found.list_args("sla.history"))
        # The screen keeps refreshing below a dialog.
        await wait_until(pilot, lambda: len(found.list_args("sla.history")) > before)
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is screen)
        await pilot.press("enter")
        await wait_until(
            pilot, lambda: "replica-fresh is about Taskdeck itself" in read_screen_text(app)
        )
        assert "its tasks" not in read_screen_text(app)


async def test_a_metric_rule_is_silenced_and_its_deletion_is_undone():
    found = make_lag_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await pilot.press("s")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("h")
        await wait_until(
            pilot,
            lambda: found.list_args("alert.silence") == [{"sla": "replica-fresh", "until": "1h"}],
        )
        screen.table.go_to_row("rule:replica-fresh")
        await pilot.press("D")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: app.undo_stack.can_undo and found.list_args("sla.rm"))
        await pilot.press("u")
        made = {
            "name": "replica-fresh",
            "preset": "stays-below",
            "metric": "replica-lag",
            "value": "5m",
            "severity": "critical",
        }
        await wait_until(pilot, lambda: found.list_args("sla.create") == [made])


async def test_acknowledging_an_alert_can_be_undone():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_alerts_screen(pilot, app)
        await pilot.press("a")
        await wait_until(pilot, lambda: found.list_args("alert.ack") == [{"ids": [1]}])
        await wait_until(pilot, lambda: app.undo_stack.can_undo)
        await pilot.press("u")
        await wait_until(pilot, lambda: found.list_args("alert.unack") == [{"ids": [1]}])


async def test_s_asks_for_a_duration_and_u_undoes_the_silence():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await pilot.press("s")
        await wait_until(
            pilot,
            lambda: (
                isinstance(app.screen, ChoiceScreen)
                and "Silence encode-on-time?" in read_screen_text(app)
            ),
        )
        assert "critical ones too" in read_screen_text(
            app
        ) and "hear it again" not in read_screen_text(app)
        await pilot.press("f")
        await wait_until(
            pilot,
            lambda: found.list_args("alert.silence") == [{"sla": "encode-on-time", "until": "5h"}],
        )
        await wait_until(pilot, lambda: app.undo_stack.can_undo and app.screen is screen)
        await pilot.press("u")
        await wait_until(
            pilot, lambda: found.list_args("alert.unsilence") == [{"sla": "encode-on-time"}]
        )


async def test_unsilencing_a_rule_can_be_undone():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("alert:3")
        await pilot.press("s")
        await wait_until(pilot, lambda: "end the silence now" in read_screen_text(app))
        await pilot.press("e")
        await wait_until(pilot, lambda: found.list_args("alert.unsilence") == [{"sla": "etl-late"}])
        await wait_until(pilot, lambda: app.undo_stack.can_undo and app.screen is screen)
        await pilot.press("u")
        await wait_until(pilot, lambda: found.list_args("alert.silence"))
        assert found.list_args("alert.silence") == [
            {"sla": "etl-late", "until": SILENCED_UNTIL, "reason": "disk move"}
        ]


async def test_a_silence_takes_another_time_and_a_reason():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_alerts_screen(pilot, app)
        await pilot.press("s")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("o")
        await wait_until(
            pilot,
            lambda: isinstance(app.screen, SilenceScreen) and "Until " in read_screen_text(app),
        )
        await pilot.press(*"soon")
        await wait_until(pilot, lambda: "✗ Until must be a time" in read_screen_text(app))
        await pilot.press(*["backspace"] * 4, *"90m", "tab", *"disk move")
        await wait_until(pilot, lambda: "for 1h30m." in read_screen_text(app))
        assert (
            "taskdeck alert silence encode-on-time --until 90m --reason 'disk move'"
            in read_screen_text(app)
        )
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: found.list_args("alert.silence"))
        assert found.list_args("alert.silence") == [
            {"sla": "encode-on-time", "until": "90m", "reason": "disk move"}
        ]


async def test_an_alert_without_a_rule_cannot_be_edited():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("alert:4")
        for key in ("e", "D", "p"):
            await pilot.press(key)
            await wait_until(
                pilot, lambda: "nothing-starts is about Taskdeck itself" in read_screen_text(app)
            )
            assert app.screen is screen
        await pilot.press("enter")
        await wait_until(
            pilot, lambda: "The alert nothing-starts is about no task" in read_screen_text(app)
        )


async def test_p_turns_a_rule_off_and_on():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("rule:gpu-wait")
        await pilot.press("p")
        await wait_until(
            pilot, lambda: found.list_args("sla.set") == [{"name": "gpu-wait", "enabled": False}]
        )
        screen.table.go_to_row("rule:old-rule")
        await wait_until(pilot, lambda: "p turn on" in read_screen_line(app, 23))
        await pilot.press("p")
        await wait_until(
            pilot, lambda: found.list_args("sla.set")[1:] == [{"name": "old-rule", "enabled": True}]
        )


async def test_deleting_a_rule_asks_first_and_can_be_undone():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("rule:encode-on-time")
        await pilot.press("D")
        await wait_until(
            pilot,
            lambda: (
                isinstance(app.screen, ChoiceScreen)
                and "1 open alert closes." in read_screen_text(app)
            ),
        )
        await pilot.press("n")
        await wait_until(pilot, lambda: app.screen is screen)
        assert not found.list_args("sla.rm")
        await pilot.press("D")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: found.list_args("sla.rm") == [{"name": "encode-on-time"}])
        await wait_until(pilot, lambda: app.undo_stack.can_undo and app.screen is screen)
        await pilot.press("u")
        made = {
            "name": "encode-on-time",
            "preset": "finishes-within",
            "value": "45m",
            "template": "encode",
            "severity": "critical",
        }
        await wait_until(pilot, lambda: found.list_args("sla.create") == [made])


async def test_n_creates_a_rule_and_e_edits_the_rule_of_an_alert():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await pilot.press("e")
        await wait_until(
            pilot,
            lambda: (
                isinstance(app.screen, EditScreen)
                and "Edit rule encode-on-time" in read_screen_text(app)
            ),
        )
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is screen)
        await pilot.press("n")
        await wait_until(
            pilot,
            lambda: isinstance(app.screen, EditScreen) and "New rule" in read_screen_text(app),
        )
        await pilot.press(*"zz")
        await wait_until(
            pilot,
            lambda: isinstance(app.screen, EditScreen) and app.screen.created_key == "rule:zz",
        )
        found.table["sla.ls"] = [*RULES, make_rule_answer("zz")]
        app.screen.dismiss(True)
        await wait_until(pilot, lambda: app.screen is screen and screen.table.cursor == "rule:zz")


async def test_f_toggles_resolved_alerts():
    over = make_alert_row(
        9, "encode-on-time", status="resolved", resolved_at=format_timestamp(3 * MINUTE)
    )
    found = make_runtime(alert_ls=lambda args: [*ALERTS, over] if args.get("since") else ALERTS)
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_alerts_screen(pilot, app)
        await pilot.press("f")
        await wait_until(
            pilot,
            lambda: (
                "resolved 3m" in read_screen_text(app)
                and "1 resolved in 24h" in read_screen_line(app, 1)
            ),
        )
        await pilot.press("f")
        await wait_until(pilot, lambda: "resolved 3m" not in read_screen_text(app))
        assert found.list_args("alert.ls")[-1] == {"limit": 500}


async def test_enter_opens_the_tasks_of_an_alert_or_rule(monkeypatch: pytest.MonkeyPatch):
    app = make_deck(make_runtime())
    words: list[str] = []
    monkeypatch.setattr(app, "open_tasks", lambda text, returns: words.append(text))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("rule:encode-on-time")
        await pilot.press("enter")
        await wait_until(pilot, lambda: words == ["template:encode"])
        screen.table.go_to_row("alert:1")
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_the_filter_matches_rules_severities_states_and_objects():
    app = make_deck(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        for words, keys in (
            ("severity:critical", ["alert:1", "alert:4", "rule:encode-on-time"]),
            ("on:resnet", ["alert:2"]),
            ("status:silenced", ["alert:3", "rule:etl-late"]),
            ("!rule:e", []),
        ):
            screen.filter_by(words)
            found = [row.key for view in screen.table.views for row in view.rows]
            assert found == keys or (
                not keys and all("e" not in key.split(":")[1] for key in found)
            )


async def test_a_home_without_rules_explains_how_to_create_one():
    app = make_deck(make_runtime(alert_ls=[], sla_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_rules()
        await wait_until(pilot, lambda: "No rules yet: n creates a rule" in read_screen_text(app))
        assert (
            "There are no alerts, because there are no rules. n creates a rule."
            in read_screen_text(app)
        )
        for key in ("a", "s", "e", "p", "D", "l", "w", "y", "enter"):
            await pilot.press(key)
        assert isinstance(app.screen, AlertsScreen) and app.failure is None


async def test_an_alert_deleted_meanwhile_causes_no_failure():
    app = make_deck(
        make_runtime(
            alert_show=lambda args: NotFound("no alert"),
            sla_history=lambda args: NotFound("no sla"),
        )
    )
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_rules()
        await wait_until(
            pilot,
            lambda: (
                "asked" not in read_screen_text(app)
                and "#1039 encode S02E04.mkv: running 57m" in read_screen_text(app)
            ),
        )
        assert app.failure is None


async def test_a_failed_read_keeps_the_rows():
    broken = [False]
    found = make_runtime(
        alert_ls=lambda args: Remote("the database is locked.") if broken[0] else ALERTS
    )
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        broken[0] = True
        screen.reread()
        await wait_until(pilot, lambda: "the database is locked." in read_screen_text(app))
        assert "encode-on-time" in read_screen_line(app, 3) and " old" in read_screen_line(app, 2)


async def test_counts_include_alerts_that_are_not_listed():
    rules = [make_rule_answer("many", open={"firing": 700})]
    app = make_deck(
        make_runtime(
            alert_ls=[make_alert_row(n, "many") for n in range(500)],
            sla_ls=rules,
            alert_show=lambda args: NotFound("none"),
        )
    )
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_rules()
        await wait_until(pilot, lambda: "Alerts 500+" in read_screen_text(app))
        assert read_screen_line(app, 1).startswith(" 700 firing")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (200, 50)])
async def test_ascii_without_colour_shows_everything_at_every_size(size: tuple[int, int]):
    app = make_deck(make_runtime(), look=Look(ascii=True, colour=False, utf8=False))
    async with app.run_test(size=size) as pilot:
        await open_alerts_screen(pilot, app)
        assert read_screen_text(app).isascii()
        assert "encode-on-time" in read_screen_line(
            app, 4 if size[0] >= 100 else 3
        ) and "old-rule" in read_screen_text(app)
        assert read_screen_line(app, size[1] - 1).endswith("? help  q back")
        assert ("rule:" in read_screen_text(app)) is (size[1] > 16)


async def test_alerts_name_their_task_on_a_small_terminal():
    app = make_deck(make_runtime())
    async with app.run_test(size=(60, 16)) as pilot:
        await open_alerts_screen(pilot, app)
        assert read_screen_line(app, 3).startswith("› ▲ CRIT  encode-on-time #1039")


async def test_hostile_names_reasons_and_texts_are_shown_harmlessly():
    rows = [
        make_alert_row(
            1,
            HOSTILE_TEXT,
            object=HOSTILE_TEXT,
            text=HOSTILE_TEXT,
            short=HOSTILE_TEXT,
            acknowledged_by=HOSTILE_TEXT,
            status="acknowledged",
        )
    ]
    rules = [
        make_rule_answer(
            HOSTILE_TEXT,
            words=HOSTILE_TEXT,
            open={"acknowledged": 1},
            silence={"until": SILENCED_UNTIL, "by": HOSTILE_TEXT, "reason": HOSTILE_TEXT},
        )
    ]
    detail = rows[0] | {
        "rule": rules[0], "task": None, "runs": RUNS, "acknowledged_at": format_timestamp(1),
        "silenced_until": SILENCED_UNTIL, "silenced_by": HOSTILE_TEXT,
        "silence_reason": HOSTILE_TEXT,
    }  # fmt: skip
    app = make_deck(make_runtime(alert_ls=rows, sla_ls=rules, alert_show=detail))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        assert not find_control_characters(app)
        for key in ("s", "D", "e"):
            await pilot.press(key)
            await wait_until(pilot, lambda: app.screen is not screen)
            await pilot.pause()
            assert not find_control_characters(app)
            await pilot.press("escape")
            await wait_until(pilot, lambda: app.screen is screen)
        await pilot.press("j", "p")
        await pilot.pause()
        assert not find_control_characters(app) and app.failure is None


# --- pure


def test_marked_alerts_silence_each_of_their_rules_once():
    rules = {name: RuleRow(name, "", "info", True) for name in ("a", "b")}
    rows = [
        AlertEntry(n, name, "info", "firing", "", "", "", 0.0, "u") for n, name in enumerate("aab")
    ]
    assert [rule.name for rule in action_rules.find_rules(rows, rules)] == ["a", "b"]
    with pytest.raises(NotApplicableError, match="was deleted"):
        action_rules.find_rules(
            [AlertEntry(9, "c", "info", "resolved", "", "", "", 0.0, "u")], rules
        )


def test_undoing_a_deletion_restores_a_disabled_rule_as_disabled():
    (deed,) = action_rules.delete_rules([make_rule_row(RULES[3])])
    assert [(back.verb, back.args) for back in deed.undo][1] == (
        "sla.set",
        {"name": "old-rule", "enabled": False},
    )


def test_the_task_filter_of_a_rule_uses_all_its_conditions():
    row = make_rule_row(
        make_rule_answer("a", match={"queue": "big box", "task": "nightly", "tag": {"env": "prod"}})
    )
    assert (
        action_rules.make_task_filter(row, {"a": row})
        == 'queue:"big box" name:nightly tag:env=prod'
    )


@pytest.mark.parametrize(
    ("conditions", "called", "words"),
    [
        ({"scope": "task"}, "nightly etl", 'name:"nightly etl"'),
        ({"scope": "queue"}, "queue gpu", "queue:gpu"),
        ({"scope": "instance", "for_each": "template"}, "template encode", "template:encode"),
        ({"scope": "task", "for_each": "rule", "match": {"queue": "gpu"}}, "all", "queue:gpu"),
    ],
)
def test_an_alert_of_conditions_selects_the_tasks_it_is_about(
    conditions: dict[str, Any], called: str, words: str
):
    rules = {"a": make_rule_row(make_rule_answer("a", conditions=conditions))}
    row = AlertEntry(1, "a", "warning", "firing", called, "3 failures", "", NOW)
    assert action_rules.make_alert_filter(row, rules) == words


def test_an_alert_about_no_tasks_says_so():
    rules = {"a": make_rule_row(make_rule_answer("a", conditions={"scope": "host"}))}
    row = AlertEntry(1, "a", "warning", "firing", "the host", "memory 95%", "", NOW)
    with pytest.raises(NotApplicableError, match="about the host"):
        action_rules.make_alert_filter(row, rules)
    with pytest.raises(NotApplicableError, match="memory 95%"):
        action_rules.make_alert_filter(row, {})


@pytest.mark.parametrize(
    ("until", "said"),
    [("1h", "for an hour"), ("2h", "for 2h"), ("1h30m", "for 1h30m"), ("08:00", "until 08:00")],
)
def test_a_silence_says_how_long_or_until_when(until: str, said: str):
    (request,) = action_rules.silence_rules([make_rule_row(make_rule_answer("a"))], until)
    assert request.result_text == f"Silenced {said}:"


def test_marked_rules_turn_off_unless_all_are_off():
    on, off = (
        make_rule_row(make_rule_answer("a")),
        make_rule_row(make_rule_answer("b", enabled=False)),
    )
    assert [deed.args for deed in action_rules.toggle_rules([on, off])] == [
        {"name": "a", "enabled": False}
    ]
    assert [deed.args for deed in action_rules.toggle_rules([off])] == [
        {"name": "b", "enabled": True}
    ]


def test_the_pane_shows_the_remaining_silence():
    row = AlertEntry(1, "a", "critical", "silenced", "", "", "", NOW, until=NOW + 5 * HOUR - 20)
    assert make_narrow_cells(row, Look(), NOW)[-1].text == "silenced 5h"


async def test_the_footer_offers_actions_for_the_marks() -> None:
    app = make_deck(make_runtime())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await pilot.press("space", "space")
        await wait_until(
            pilot,
            lambda: "a ack 1 marked  s silence 2 marked  esc unmark" in read_screen_lines(app)[-1],
        )
        await pilot.press("space")  # An alert about Taskdeck itself has no rule.
        await wait_until(
            pilot,
            lambda: "a ack 2 marked  s silence 3 marked  esc unmark" in read_screen_lines(app)[-1],
        )
        await pilot.press("escape")
        for rule in ("rule:old-rule", "rule:etl-late"):
            assert screen.table.go_to_row(
                next(
                    row.key
                    for row in screen.table.find_view("rules").rows
                    if rule.endswith(row.name)
                )
            )
            await pilot.press("space")
        await wait_until(
            pilot, lambda: "s silence 2 marked  p turn off 1 marked" in read_screen_lines(app)[-1]
        )


async def test_only_one_rule_can_be_edited_at_a_time():
    app = make_deck(make_runtime())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        for rule in screen.table.find_view("rules").rows[:2]:
            assert screen.table.go_to_row(rule.key)
            await pilot.press("space")
        await pilot.press("e")
        await wait_until(pilot, lambda: "e edits one rule; 2 are marked." in read_screen_text(app))
        assert isinstance(app.screen, AlertsScreen)


@pytest.mark.parametrize("key", "senDpa")
async def test_read_only_mode_refuses_every_change(key: str):
    app = make_deck(make_runtime(), read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_alerts_screen(pilot, app)
        await pilot.press(key)
        await wait_until(
            pilot, lambda: "Read only: this deck changes nothing." in read_screen_text(app)
        )
        assert isinstance(app.screen, AlertsScreen)


# --- rules of the general form


def make_general_deck(folder: Path, **table: Any) -> tuple[FakeRuntime, TaskdeckApp]:
    found = fake_home.make_rules_home(folder, **table)
    return found, make_deck(found)


async def go_to_rule(pilot: Pilot[Any], screen: AlertsScreen, name: str) -> None:
    screen.table.go_to_row(f"rule:{name}")
    await wait_until(pilot, lambda: screen._details_key == f"rule:{name}")
    await wait_until(pilot, lambda: is_detail_high_enough(screen))


async def test_a_rule_of_conditions_shows_its_value_against_the_limit(tmp_path: Path):
    _, app = make_general_deck(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await go_to_rule(pilot, screen, "media-long")
        text = read_screen_text(app)
        assert "143 / 100" in text
        assert "rule: queue media: queued tasks over 100 for 1m" in text
        assert "now: queued tasks 143, limit 100, queue media" in text
        assert "limit 100" in text and "143 now" in text
        assert "fired 04:42 to 05:42" in text
        assert "too high" not in text and "every task" not in screen_detail(app)


def screen_detail(app: TaskdeckApp) -> str:
    """Return the lines of the detail box."""
    lines = read_screen_lines(app)
    first = max(n for n, line in enumerate(lines) if line.startswith("─ "))
    return "\n".join(lines[first:])


LEFT_OUT = "has 500 alerts and leaves out 7 more: narrow its match"


def test_a_row_of_a_rule_says_that_something_is_left_out():
    for found, words in (({"firing": 500}, "firing 500, not all"), ({}, "ok, not all")):
        row = make_rule_row(make_rule_answer("r", open=found, left_out=LEFT_OUT))
        assert make_rule_state_cell(row, Look(), NOW).text == words


def test_a_rule_tells_what_is_due_next_and_when():
    rule = make_rule_answer("on-time", created_at=format_timestamp(HOUR), limit=2700.0)
    due = {"at": format_timestamp(-HOUR), "object": HOSTILE_TEXT, "more": 4}
    history = {"due": due, "left_out": LEFT_OUT}
    rule["updated_at"] = rule["created_at"]
    lines = build_rule_lines(rule, history, 118, 20, NOW, Look())
    text = "\n".join("".join(words for words, _ in line) for line in lines)
    assert f"not all: {LEFT_OUT}" in text
    assert "next due 11:42: " in text and ", then 4 more" in text
    assert not any(c in text for c in "\x1b\x9b\u202e\u2066\u200b")


async def test_a_rule_shows_its_actions_and_latest_deliveries(tmp_path: Path):
    _, app = make_general_deck(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await go_to_rule(pilot, screen, "media-long")
        text = read_screen_text(app)
        assert "does firing: notify ops   firing: notify chat, after 10m, every 1h" in text
        assert "firing: chat failing, attempt 3, next 10:52: HTTP 503" in text
        assert "resolved: ops sent after 2 attempts" in text
        assert "firing: ops given up after 9 attempts: no such host" in text


async def test_an_alert_shows_its_note_and_deliveries(tmp_path: Path):
    _, app = make_general_deck(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_alerts_screen(pilot, app)
        await wait_until(pilot, lambda: "the encoder is being replaced" in read_screen_text(app))
        text = read_screen_text(app)
        assert "10:33 acknowledged by ann: the encoder is being replaced" in text
        assert "now: queued tasks 143, limit 100" in text
        assert "HTTP 503   3 earlier" in text


async def test_enter_lists_the_tasks_of_a_rule_by_its_patterns(tmp_path: Path):
    _, app = make_general_deck(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await go_to_rule(pilot, screen, "disk-low")
        assert "its tasks" not in read_screen_text(app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: "disk-low is about the host" in read_screen_text(app))
        await go_to_rule(pilot, screen, "etl-by-six")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "name:nightly-*" in read_screen_text(app))


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"match": {"queue": ["gpu", "cpu*"]}}, "queue:gpu,cpu*"),
        ({"match": {"tags": ["team=ml", {"host": "big one"}]}}, 'tag:team=ml tag:"host=big one"'),
        ({"match": {"task": ["a", "b"]}}, None),
        ({"match": {"task": "[ab]c"}}, None),
        ({"scope": "pool"}, None),
        ({"match": {"schedule": "nightly"}}, None),
    ],
)
def test_a_filter_selects_the_tasks_of_a_rule_or_is_refused(conditions: Any, words: str | None):
    row = make_rule_row(make_rule_answer("r", conditions={"scope": "instance", **conditions}))
    if words is None:
        with pytest.raises(NotApplicableError):
            action_rules.make_task_filter(row, {"r": row})
    else:
        assert action_rules.make_task_filter(row, {"r": row}) == words


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "now: unknown until a runtime evaluates it"),
        ({"active_time": "sat"}, "now: not judged outside of its hours"),
    ],
)
def test_a_rule_without_values_says_why(more: dict[str, Any], text: str):
    rule = fake_home.GENERAL_RULES[1]
    rule = {**rule, "conditions": rule["conditions"] | more, "levels": []}
    found = build_rule_lines(rule, {"levels": []}, 80, 9, NOW, Look())
    assert text in "".join(words for line in found for words, _ in line)


def test_deleting_a_rule_of_conditions_is_undone_with_its_actions():
    conditions = {"scope": "queue", "when": {"metric": "queue.depth", "op": ">", "value": 1}}
    does = [{"on": "firing", "notify": "ops"}]
    row = make_rule_row(make_rule_answer("r", conditions=conditions, actions=does, limit=None))
    (request,) = action_rules.delete_rules([row])
    (undo,) = request.undo
    assert undo.args == {
        "name": "r", "conditions": conditions, "actions": does, "severity": "warning",
    }  # fmt: skip


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 17)])
async def test_hostile_names_and_errors_stay_text(tmp_path: Path, size: tuple[int, int]):
    bad = HOSTILE_TEXT
    rule = fake_home.GENERAL_RULES[0] | {"words": bad, "does": [bad, bad]}
    level = fake_home._LEVEL | {"object": bad, "metric": bad, "text": bad, "brief": bad}
    sent = [fake_home.DELIVERIES[0] | {"target": bad, "last_error": bad, "event": bad}]
    history = {"name": "", "levels": [level], "trail": [], "runs": [], "deliveries": sent}
    alert = fake_home.GENERAL_ALERTS[0] | {"object": bad, "text": bad, "note": bad, "brief": bad}
    _, app = make_general_deck(
        tmp_path, sla_ls=[rule | {"levels": [level]}], sla_history=history, alert_ls=[alert],
        alert_show=alert | {"rule": rule, "task": None, "deliveries": sent},
    )  # fmt: skip
    async with app.run_test(size=size) as pilot:
        screen = await open_alerts_screen(pilot, app)
        assert not find_control_characters(app)
        await go_to_rule(pilot, screen, "media-long")
        assert not find_control_characters(app)


async def test_e_and_t_open_the_text_of_a_rule_of_conditions(tmp_path: Path):
    _, app = make_general_deck(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        for key in ("e", "t"):
            await go_to_rule(pilot, screen, "media-long")
            await pilot.press(key)
            await wait_until(pilot, lambda: isinstance(app.screen, EditorScreen))
            assert "media-long" in read_screen_line(app, 0)
            await pilot.press("escape")
            await wait_until(pilot, lambda: app.screen is screen)


async def test_t_opens_the_text_of_a_rule_with_a_form_too(tmp_path: Path):
    _, app = make_general_deck(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await go_to_rule(pilot, screen, "gpu-wait")
        await pilot.press("t")
        await wait_until(pilot, lambda: isinstance(app.screen, EditorScreen))


async def test_the_form_of_a_rule_of_conditions_gives_way_to_its_text(tmp_path: Path):
    _, app = make_general_deck(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(make_rule_screen(app.client_factory, "media-long"))
        await wait_until(pilot, lambda: isinstance(app.screen, EditorScreen))
        assert len(app.screen_stack) == 2


async def test_a_new_rule_can_be_a_preset_or_text(tmp_path: Path):
    found, app = make_general_deck(tmp_path, sla_create={}, template_ls=[], schedule_ls=[])
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await pilot.press("n")
        await wait_until(pilot, lambda: isinstance(app.screen, EditScreen))
        await pilot.press(*"late", "tab", *"queue", "minus", "l")
        await wait_until(pilot, lambda: "a queue is too long" in read_screen_text(app))
        await pilot.press("ctrl+j")
        conditions = {
            "scope": "queue",
            "when": {"metric": "queue.depth", "op": ">", "value": "100"},
        }
        await wait_until(
            pilot,
            lambda: (
                found.list_args("sla.create")
                == [{"name": "late", "severity": "warning",
                     "conditions": conditions | {"for": "1m"}}]
            ),
        )  # fmt: skip
        await wait_until(pilot, lambda: app.screen is screen)
        await pilot.press("N")
        await wait_until(pilot, lambda: "when = {metric" in read_screen_text(app))


async def test_an_alert_is_acknowledged_with_a_note():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        await pilot.press("A")
        await wait_until(pilot, lambda: isinstance(app.screen, AcknowledgeScreen))
        await pilot.press(*"on it")
        await wait_until(
            pilot, lambda: "taskdeck alert ack 1 --note 'on it'" in read_screen_text(app)
        )
        await pilot.press("ctrl+j")
        await wait_until(
            pilot, lambda: found.list_args("alert.ack") == [{"ids": [1], "note": "on it"}]
        )
        await wait_until(pilot, lambda: app.screen is screen)


async def test_a_note_needs_an_alert_that_fires():
    app = make_deck(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("alert:2")
        await pilot.press("A")
        await wait_until(
            pilot, lambda: "Only a firing alert can be acknowledged" in read_screen_text(app)
        )


SILENCES = [
    {"id": "s3", "sla": None, "matchers": {"rule": ["gpu-*"], "queue": ["gpu"]},
     "words": "rule gpu-*, queue gpu", "by": "bob", "reason": "disk move", "alerts": 2,
     "until": format_timestamp(-90 * MINUTE), "created_at": format_timestamp(MINUTE)},
    {"id": "s4", "sla": "etl-late", "matchers": None, "words": "rule etl-late", "by": "ann",
     "reason": None, "alerts": 1, "until": SILENCED_UNTIL, "created_at": format_timestamp(MINUTE)},
]  # fmt: skip


async def test_silences_are_listed_with_a_countdown_and_end():
    found = make_runtime(alert_silences=SILENCES)
    app = make_deck(found)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        text = read_screen_text(app)
        assert "Silences 2" in text and "disk move" in text and "silenced 1h30m" in text
        screen.table.go_to_row("silence:s3")
        await wait_until(pilot, lambda: "2 open alerts now" in read_screen_text(app))
        await pilot.press("D")
        await wait_until(pilot, lambda: found.list_args("alert.unsilence") == [{"ids": ["s3"]}])
        await pilot.press("s")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("d")
        match = {"match": SILENCES[0]["matchers"], "reason": "disk move", "until": "1d"}
        await wait_until(pilot, lambda: found.list_args("alert.silence") == [match])


async def test_the_silence_of_a_rule_gets_another_end():
    found = make_runtime(alert_silences=SILENCES)
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("silence:s4")
        await pilot.press("s")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("h")
        asked = [{"sla": "etl-late", "until": "1h"}]
        await wait_until(pilot, lambda: found.list_args("alert.silence") == asked)


async def test_a_new_silence_begins_with_the_names_of_the_alert():
    labels = {"rule": "encode-on-time", "severity": "critical", "task": "encode [1]", "queue": "q",
              "tag": "env=dev, n=1"}  # fmt: skip
    found = make_runtime(alert_show=lambda args: answer_alert_show(args) | {"labels": labels})
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_alerts_screen(pilot, app)
        await pilot.press("m")
        await wait_until(pilot, lambda: "New silence" in read_screen_text(app))
        shown = read_screen_text(app)
        assert "of this alert: critical" in shown and "of this alert: env=dev, n=1" in shown
        assert "--rule encode-on-time --task 'encode [[]1]' --until 2h" in shown
        await pilot.press("ctrl+j")
        match = {"rule": ["encode-on-time"], "task": ["encode [[]1]"]}
        asked = [{"match": match, "until": "2h"}]
        await wait_until(pilot, lambda: found.list_args("alert.silence") == asked)


async def test_an_alert_of_taskdeck_itself_is_silenced_by_its_name():
    found = make_runtime()
    app = make_deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_alerts_screen(pilot, app)
        screen.table.go_to_row("alert:4")
        await pilot.press("s")
        await wait_until(pilot, lambda: "Silence nothing-starts?" in read_screen_text(app))
        assert "All alerts of this name are silenced" in read_screen_text(app)
        await pilot.press("h")
        asked = [{"ids": ["nothing-starts"], "until": "1h"}]
        await wait_until(pilot, lambda: found.list_args("alert.silence") == asked)
        await pilot.press("m", "ctrl+j")
        asked += [{"match": {"rule": ["nothing-starts"]}, "until": "2h"}]
        await wait_until(pilot, lambda: found.list_args("alert.silence") == asked)


def test_a_mix_of_rules_and_names_is_silenced_and_heard_again():
    rules = {row.name: row for row in map(make_rule_row, RULES)}
    rows = [make_alert_line(row | {"silenced_until": SILENCED_UNTIL}) for row in ALERTS]

    found = action_rules.find_silenceable(rows, rules)
    requests = action_rules.silence_rules(found, "1h")
    ends = action_rules.unsilence_rules(found)

    assert requests[-1].args == {"ids": ["nothing-starts"], "until": "1h"}
    assert requests[-1].undo and {"sla": "gpu-wait", "until": "1h"} in [
        request.args for request in requests
    ]
    assert [request.args for request in ends] == [{"sla": "etl-late"}, {"ids": ["nothing-starts"]}]
    with pytest.raises(NotApplicableError, match="No rule is under the cursor"):
        action_rules.find_silenceable([], rules)


async def test_a_silence_must_match_something():
    app = make_deck(make_runtime(alert_ls=[], sla_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_rules()
        await wait_until(pilot, lambda: isinstance(app.screen, AlertsScreen) and app.screen._loaded)
        await pilot.press("m")
        await wait_until(pilot, lambda: "New silence" in read_screen_text(app))
        await pilot.press("3", "h", "ctrl+j")
        await wait_until(pilot, lambda: "Say what to silence" in read_screen_text(app))
