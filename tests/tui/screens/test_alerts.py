"""The screen of alerts and the rules behind them."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest
from textual.pilot import Pilot

from app.core.board import AlertLine
from app.errors import NotFound, Remote
from app.tui.actions import rules as action_rules
from app.tui.actions.tasks import Unfit
from app.tui.app import TaskdeckApp
from app.tui.panes import alerts as alerts_pane
from app.tui.rows.rules import RuleRow, rule_row
from app.tui.screens.alerts import AlertsScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.edit_form import EditScreen
from app.tui.screens.rule_form import SilenceScreen
from app.tui.screens.task import TaskScreen
from app.tui.style import Look
from tests.tui.boards import NOW
from tests.tui.fake_runtime import UUID, Answers, deck, line, until
from tests.tui.screen_text import screen_text
from tests.tui.screens.test_task import EVIL, escapes

MINUTE, HOUR = 60.0, 3600.0


def stamp(ago: float) -> str:
    return datetime.fromtimestamp(NOW - ago, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def alert(id: int, sla: str, severity: str = "warning", task: int | None = 1039, **more: Any) -> dict[str, Any]:
    """A row of `alert.ls`."""
    row: dict[str, Any] = {
        "id": id, "sla": sla, "sla_id": id, "severity": severity, "status": "firing", "task_number": task, "task_name": "encode",
        "object": f"#{task} encode S02E04.mkv", "task_uuid": UUID.format(task) if task else None,
        "text": "running 57m, allowed 45m", "short": "57m > 45m", "since": stamp(12 * MINUTE), "value": 57 * MINUTE,
        "limit": 45 * MINUTE, "acknowledged_by": None, "acknowledged_at": None, "silenced_until": None, "silenced_by": None,
        "silence_reason": None, "resolved_at": None, "created_at": stamp(HOUR), "updated_at": stamp(HOUR),
    }  # fmt: skip
    return row | more


def sla(name: str, severity: str = "warning", match: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A row of `sla.ls`."""
    conditions: dict[str, Any] = {"preset": "finishes-within", "value": "45m"} | ({"match": match} if match else {})
    row: dict[str, Any] = {
        "id": 1, "name": name, "conditions": conditions, "actions": {}, "priority": 2, "enabled": True, "severity": severity,
        "words": "finishes within 45m" + (f", template {match['template']}" if match and "template" in match else ""),
        "limit": 45 * MINUTE, "open": {}, "silence": None, "late": 0, "last_late": None, "created_at": stamp(HOUR),
        "updated_at": stamp(HOUR),
    }  # fmt: skip
    return row | more


UNTIL = stamp(-5 * HOUR)
ALERTS = [
    alert(1, "encode-on-time", "critical"),
    alert(2, "gpu-wait", task=1049, status="acknowledged", acknowledged_by="ann", acknowledged_at=stamp(MINUTE), short="2h12m > 30m",
          object="#1049 resnet50-sweep-08"),
    alert(4, "nothing-starts", "critical", task=None, sla_id=None, object="taskdeck", text="disk full since 10:31", short="disk full"),
    alert(3, "etl-late", status="silenced", silenced_until=UNTIL, silenced_by="bob", silence_reason="disk move"),
]  # fmt: skip
RULES = [
    sla("encode-on-time", "critical", {"template": "encode"}, open={"firing": 1}),
    sla("etl-late", open={"firing": 1}, silence={"until": UNTIL, "by": "bob", "reason": "disk move"}),
    sla("gpu-wait", open={"acknowledged": 1}, late=3, last_late=stamp(9 * HOUR)),
    sla("old-rule", "info", enabled=False),
]
RUNS = [
    {"number": n, "name": "encode", "status": "succeeded", "at": stamp(24 * HOUR - n * HOUR), "value": took * MINUTE, "late": took > 45}
    for n, took in enumerate((20, 30, 50, 25))
]
DONE: dict[str, Any] = {"done": [{"id": 1, "sla": "encode-on-time"}], "refused": [], "notes": []}


def shown(args: dict[str, Any]) -> dict[str, Any]:
    row = next(row for row in ALERTS if row["id"] == args["id"])
    rule = next((rule for rule in RULES if rule["name"] == row["sla"]), None)
    task = {"status": "running", "created_at": stamp(58 * MINUTE), "not_before": None, "first_start": stamp(57 * MINUTE), "ended_at": None}
    return row | {"rule": rule, "task": task if row["task_uuid"] else None, "runs": RUNS if rule else []}


def answers(**table: Any) -> Answers:
    usual: dict[str, Any] = {
        "alert_ls": ALERTS, "sla_ls": RULES, "alert_show": shown, "sla_history": {"runs": RUNS, "limit": 2700.0}, "sla_set": {},
        "alert_ack": DONE, "alert_unack": DONE, "alert_silence": DONE, "alert_unsilence": DONE, "sla_rm": {}, "sla_create": {},
        "template_ls": [{"name": "encode"}], "queue_ls": [{"name": "gpu"}],
    }  # fmt: skip
    return Answers(**(usual | table))


async def opened(pilot: Pilot[Any], app: TaskdeckApp) -> AlertsScreen:
    app.open_rules()
    await until(pilot, lambda: isinstance(app.screen, AlertsScreen) and app.screen._loaded and app.screen._about_key)
    screen = app.screen
    assert isinstance(screen, AlertsScreen)
    return screen


def text(app: TaskdeckApp) -> str:
    return "\n".join(screen_text(app))


async def test_a_key_that_comes_before_the_rules_are_read_is_told_so():
    read = Event()

    def slowly(args: dict[str, Any]) -> list[dict[str, Any]]:
        assert read.wait(10)
        return RULES

    app = deck(answers(sla_ls=slowly))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7", "s")
        await until(pilot, lambda: "Nothing was read yet when that key came: press it again." in text(app))
        read.set()


async def test_alerts_and_rules_stand_in_one_list_and_say_how_they_stand():
    app = deck(answers())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        assert "7 Alerts and SLAs" in line(app, 0)
        assert line(app, 1) == " 2 firing  1 acknowledged  1 silenced     rules 4, 1 off"
        assert line(app, 3).startswith("› ▲ CRIT  encode-on-time 1039 encode S02E04.mkv")
        assert line(app, 3).endswith("57m > 45m        12m firing")
        assert line(app, 4).endswith("acked ann") and line(app, 6).startswith("  ▽ warn  etl-late")
        assert line(app, 6).endswith("quiet 5h")
        assert [row.rsplit("  ", 1)[1] for row in screen_text(app)[8:12]] == ["firing 1", "quiet 5h", "acked 1", "off"]
        assert "Rules 4" in line(app, 7)


async def test_the_alert_under_the_cursor_is_told_with_its_rule_its_runs_and_what_happened():
    app = deck(answers())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: "57m now" in text(app))
        assert "─ encode-on-time ─" in text(app) and "critical ─" in text(app)
        assert "asked: finishes within 45m, template encode" in text(app)
        chart = [row for row in screen_text(app) if "│" in row]
        assert [sum(row.count(mark) for row in chart) for mark in "●○"] == [2, 3]
        assert "45m │" in text(app) and "limit 45m" in text(app) and "4 runs" in text(app)
        assert "submitted" in text(app) and "started" in text(app) and "limit reached, fires" in text(app)


async def test_the_rule_under_the_cursor_is_told_with_its_silence():
    app = deck(answers())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        screen.table.go("rule:etl-late")
        await until(pilot, lambda: screen._about_key == "rule:etl-late")
        assert "quiet 5h, until 15:42, by bob: disk move" in text(app).replace("Wed ", "")


LAG = sla(
    "replica-fresh", "critical", conditions={"preset": "stays-below", "metric": "replica-lag", "value": "5m"}, limit=300.0,
    words="replica-lag stays below 5m", metric="replica-lag", unit="seconds", now=420.0, stands="replica 7m old", open={"firing": 1},
)  # fmt: skip
LATE = alert(
    9, "replica-fresh", "critical", task=None, object="taskdeck", text="replica 7m old, allowed 5m", short="7m > 5m", metric="replica-lag",
    value=420.0, limit=300.0, since=stamp(2 * MINUTE),
)  # fmt: skip
WAS = [{"since": stamp(9 * HOUR), "until": stamp(9 * HOUR - 5 * MINUTE)}, {"since": stamp(2 * HOUR), "until": stamp(2 * HOUR)}]


def about_lag(**more: Any) -> Answers:
    """A home with one rule, on the age of its replica, which is late."""
    shown_late = LATE | {"rule": LAG, "task": None, "runs": [], "was": WAS}
    history = {"name": "replica-fresh", "limit": 300.0, "metric": "replica-lag", "stands": "replica 8m old", "runs": [], "was": WAS}
    return answers(**{"alert_ls": [LATE], "sla_ls": [LAG], "alert_show": shown_late, "sla_history": history} | more)


async def test_a_rule_on_a_figure_that_there_is_not_says_so_and_not_that_all_is_well():
    app = deck(answers(alert_ls=[], sla_ls=[LAG | {"open": {}, "now": None, "stands": "no replica"}]))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7")
        await until(pilot, lambda: any("replica-fresh" in row and row.rstrip().endswith("no replica") for row in screen_text(app)))


async def test_an_alert_of_a_figure_is_told_with_its_rule_and_what_was():
    app = deck(about_lag())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: "limit reached, fires" in text(app))
        assert line(app, 3).startswith("› ▲ CRIT  replica-fresh  taskdeck") and "7m > 5m" in line(app, 3)
        assert "taskdeck: replica 7m old, allowed 5m" in text(app)
        assert "asked: replica-lag stays below 5m\n" in "\n".join(row.rstrip() for row in screen_text(app))
        assert "too high 08:42   too high 01:42 to 01:47" in text(app)


async def test_a_rule_on_a_figure_says_what_that_is_now_and_when_it_was_too_high():
    found = about_lag()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        screen.table.go("rule:replica-fresh")
        await until(pilot, lambda: "now: replica 8m old" in text(app))
        assert "replica-lag stays below 5m" in text(app) and "every task" not in text(app)
        assert "too high 08:42\n" in text(app) and "  too high 01:42 to 01:47" in text(app)
        await pilot.press("question_mark")
        await until(pilot, lambda: app.screen is not screen)
        before = len(found.asked("sla.history"))
        await until(pilot, lambda: len(found.asked("sla.history")) > before)  # on it goes, below a box too
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("enter")
        await until(pilot, lambda: "replica-fresh is about Taskdeck itself, and no task." in text(app))
        assert "its tasks" not in text(app)


async def test_a_rule_on_a_figure_is_silenced_by_its_alert_and_deleted_with_a_way_back():
    found = about_lag()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("h")
        await until(pilot, lambda: found.asked("alert.silence") == [{"sla": "replica-fresh", "until": "1h"}])
        screen.table.go("rule:replica-fresh")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("y")
        await until(pilot, lambda: app.can_undo and found.asked("sla.rm"))
        await pilot.press("u")
        made = {"name": "replica-fresh", "preset": "stays-below", "metric": "replica-lag", "value": "5m", "severity": "critical"}
        await until(pilot, lambda: found.asked("sla.create") == [made])


async def test_an_alert_is_acknowledged_and_u_takes_that_back():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("a")
        await until(pilot, lambda: found.asked("alert.ack") == [{"ids": [1]}])
        await until(pilot, lambda: app.can_undo)
        await pilot.press("u")
        await until(pilot, lambda: found.asked("alert.unack") == [{"ids": [1]}])


async def test_s_asks_how_long_and_u_brings_back_how_it_was():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen) and "Silence encode-on-time?" in text(app))
        assert "critical ones too" in text(app) and "hear it again" not in text(app)
        await pilot.press("f")
        await until(pilot, lambda: found.asked("alert.silence") == [{"sla": "encode-on-time", "until": "5h"}])
        await until(pilot, lambda: app.can_undo and app.screen is screen)
        await pilot.press("u")
        await until(pilot, lambda: found.asked("alert.unsilence") == [{"sla": "encode-on-time"}])


async def test_a_silenced_rule_is_heard_again_and_u_silences_it_as_before():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        screen.table.go("alert:3")
        await pilot.press("s")
        await until(pilot, lambda: "hear it again now" in text(app))
        await pilot.press("e")
        await until(pilot, lambda: found.asked("alert.unsilence") == [{"sla": "etl-late"}])
        await until(pilot, lambda: app.can_undo and app.screen is screen)
        await pilot.press("u")
        await until(pilot, lambda: found.asked("alert.silence"))
        assert found.asked("alert.silence") == [{"sla": "etl-late", "until": UNTIL, "reason": "disk move"}]


async def test_a_silence_until_another_time_with_its_reason():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, SilenceScreen) and "Until " in text(app))
        await pilot.press(*"soon")
        await until(pilot, lambda: "✗ Until must be a time" in text(app))
        await pilot.press(*["backspace"] * 4, *"90m", "tab", *"disk move")
        await until(pilot, lambda: "for 1h30m." in text(app))
        assert "taskdeck alert silence encode-on-time --until 90m --reason 'disk move'" in text(app)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: found.asked("alert.silence"))
        assert found.asked("alert.silence") == [{"sla": "encode-on-time", "until": "90m", "reason": "disk move"}]


async def test_what_has_no_rule_is_not_silenced_nor_edited():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        screen.table.go("alert:4")
        for key in ("s", "e", "D", "p"):
            await pilot.press(key)
            await until(pilot, lambda: "nothing-starts is about Taskdeck itself: there is no rule t… a acknowledges it." in text(app))
            assert app.screen is screen
        await pilot.press("enter")
        await until(pilot, lambda: "taskdeck doctor tells more" in text(app))


async def test_p_turns_a_rule_off_and_on():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        screen.table.go("rule:gpu-wait")
        await pilot.press("p")
        await until(pilot, lambda: found.asked("sla.set") == [{"name": "gpu-wait", "enabled": False}])
        screen.table.go("rule:old-rule")
        await until(pilot, lambda: "p turn on" in line(app, 23))
        await pilot.press("p")
        await until(pilot, lambda: found.asked("sla.set")[1:] == [{"name": "old-rule", "enabled": True}])


async def test_a_rule_is_deleted_after_a_question_and_u_makes_it_again():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        screen.table.go("rule:encode-on-time")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen) and "1 open alert closes." in text(app))
        await pilot.press("n")
        await until(pilot, lambda: app.screen is screen)
        assert not found.asked("sla.rm")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("y")
        await until(pilot, lambda: found.asked("sla.rm") == [{"name": "encode-on-time"}])
        await until(pilot, lambda: app.can_undo and app.screen is screen)
        await pilot.press("u")
        made = {"name": "encode-on-time", "preset": "finishes-within", "value": "45m", "template": "encode", "severity": "critical"}
        await until(pilot, lambda: found.asked("sla.create") == [made])


async def test_n_makes_a_rule_and_e_edits_the_one_behind_an_alert():
    found = answers()
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EditScreen) and "Edit rule encode-on-time" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, EditScreen) and "New rule" in text(app))
        await pilot.press(*"zz")
        await until(pilot, lambda: isinstance(app.screen, EditScreen) and app.screen.made == "rule:zz")
        found.table["sla.ls"] = [*RULES, sla("zz")]
        app.screen.dismiss(True)
        await until(pilot, lambda: app.screen is screen and screen.table.cursor == "rule:zz")


async def test_f_shows_those_that_are_over_and_not_again():
    over = alert(9, "encode-on-time", status="resolved", resolved_at=stamp(3 * MINUTE))
    found = answers(alert_ls=lambda args: [*ALERTS, over] if args.get("since") else ALERTS)
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("f")
        await until(pilot, lambda: "resolved 3m" in text(app) and "1 resolved in 24h" in line(app, 1))
        await pilot.press("f")
        await until(pilot, lambda: "resolved 3m" not in text(app))
        assert found.asked("alert.ls")[-1] == {"limit": 500}


async def test_enter_opens_the_task_of_an_alert_and_the_tasks_of_a_rule(monkeypatch: pytest.MonkeyPatch):
    app = deck(answers())
    words: list[str] = []
    monkeypatch.setattr(app, "open_tasks", words.append)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        screen.table.go("rule:encode-on-time")
        await pilot.press("enter")
        await until(pilot, lambda: words == ["template:encode"])
        screen.table.go("alert:1")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_the_filter_looks_at_rules_severities_states_and_objects():
    app = deck(answers())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        for words, keys in (
            ("severity:critical", ["alert:1", "alert:4", "rule:encode-on-time"]),
            ("on:resnet", ["alert:2"]),
            ("status:silenced", ["alert:3", "rule:etl-late"]),
            ("!rule:e", []),
        ):
            screen.filter_by(words)
            found = [row.key for view in screen.table.views for row in view.rows]
            assert found == keys or (not keys and all("e" not in key.split(":")[1] for key in found))


async def test_a_home_without_rules_says_how_to_make_the_first():
    app = deck(answers(alert_ls=[], sla_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_rules()
        await until(pilot, lambda: "No rules yet: n makes the first, say:" in text(app))
        assert "Nothing is late, and nothing would be: there is no rule." in text(app)
        for key in ("a", "s", "e", "p", "D", "l", "w", "y", "enter"):
            await pilot.press(key)
        assert isinstance(app.screen, AlertsScreen) and app.failure is None


async def test_an_alert_that_went_meanwhile_is_no_failure():
    app = deck(answers(alert_show=lambda args: NotFound("no alert"), sla_history=lambda args: NotFound("no sla")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_rules()
        await until(pilot, lambda: "asked" not in text(app) and "#1039 encode S02E04.mkv: running 57m" in text(app))
        assert app.failure is None


async def test_what_cannot_be_read_keeps_what_is_shown():
    broken = [False]
    found = answers(alert_ls=lambda args: Remote("the database is locked.") if broken[0] else ALERTS)
    app = deck(found)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        broken[0] = True
        screen.reread()
        await until(pilot, lambda: "the database is locked." in text(app))
        assert "encode-on-time" in line(app, 3) and " old" in line(app, 2)


async def test_counts_are_of_all_alerts_also_of_those_that_are_not_listed():
    rules = [sla("many", open={"firing": 700})]
    app = deck(answers(alert_ls=[alert(n, "many") for n in range(500)], sla_ls=rules, alert_show=lambda args: NotFound("none")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_rules()
        await until(pilot, lambda: "Alerts 500+" in text(app))
        assert line(app, 1).startswith(" 700 firing")


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (200, 50)])
async def test_at_every_size_in_ascii_and_without_colour_all_is_there(size: tuple[int, int]):
    app = deck(answers(), look=Look(ascii=True, colour=False, utf8=False))
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app)
        assert text(app).isascii()
        assert "encode-on-time" in line(app, 4 if size[0] >= 100 else 3) and "old-rule" in text(app)
        assert line(app, size[1] - 1).endswith("? help  q back")
        assert ("asked:" in text(app)) is (size[1] > 16)


async def test_on_a_small_terminal_alerts_say_which_task_they_are_of():
    app = deck(answers())
    async with app.run_test(size=(60, 16)) as pilot:
        await opened(pilot, app)
        assert line(app, 3).startswith("› ▲ CRIT  encode-on-time 1039 ")


async def test_hostile_names_reasons_and_texts_are_shown_harmlessly():
    rows = [alert(1, EVIL, object=EVIL, text=EVIL, short=EVIL, acknowledged_by=EVIL, status="acknowledged")]
    rules = [sla(EVIL, words=EVIL, open={"acknowledged": 1}, silence={"until": UNTIL, "by": EVIL, "reason": EVIL})]
    detail = rows[0] | {
        "rule": rules[0], "task": None, "runs": RUNS, "acknowledged_at": stamp(1), "silenced_until": UNTIL, "silenced_by": EVIL,
        "silence_reason": EVIL,
    }  # fmt: skip
    app = deck(answers(alert_ls=rows, sla_ls=rules, alert_show=detail))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        assert not escapes(app)
        for key in ("s", "D", "e"):
            await pilot.press(key)
            await until(pilot, lambda: app.screen is not screen)
            await pilot.pause()
            assert not escapes(app)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
        await pilot.press("j", "p")
        await pilot.pause()
        assert not escapes(app) and app.failure is None


# --- pure -----------------------------------------------------------------------------------------------------------


def test_marked_alerts_are_silenced_by_their_rules_each_once():
    rules = {name: RuleRow(name, "", "info", True) for name in ("a", "b")}
    rows = [AlertLine(n, name, "info", "firing", "", "", "", 0.0, "u") for n, name in enumerate("aab")]
    assert [rule.name for rule in action_rules.rules_of(rows, rules)] == ["a", "b"]
    with pytest.raises(Unfit, match="a rule that is gone"):
        action_rules.rules_of([AlertLine(9, "c", "info", "resolved", "", "", "", 0.0, "u")], rules)


def test_a_rule_that_was_off_is_made_again_as_off():
    (deed,) = action_rules.delete([rule_row(RULES[3])])
    assert [(back.verb, back.args) for back in deed.undo][1] == ("sla.set", {"name": "old-rule", "enabled": False})


def test_the_tasks_of_a_rule_are_found_by_its_parts():
    row = rule_row(sla("a", match={"queue": "big box", "task": "nightly", "tag": {"env": "prod"}}))
    assert action_rules.tasks_words(row, {"a": row}) == 'queue:"big box" name:nightly tag:env=prod'


def test_rules_are_turned_off_together_and_on_where_all_of_them_are_off():
    on, off = rule_row(sla("a")), rule_row(sla("b", enabled=False))
    assert [deed.args for deed in action_rules.switch([on, off])] == [{"name": "a", "enabled": False}]
    assert [deed.args for deed in action_rules.switch([off])] == [{"name": "b", "enabled": True}]


def test_the_deck_s_pane_shows_how_long_a_silence_lasts_yet():
    row = AlertLine(1, "a", "critical", "silenced", "", "", "", NOW, until=NOW + 5 * HOUR - 20)
    assert alerts_pane.narrow_cells(row, Look(), NOW)[-1].text == "quiet 5h"


async def test_the_footer_tells_what_can_be_done_with_the_marks() -> None:
    app = deck(answers())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("space", "space")
        await until(pilot, lambda: "a ack 1 marked  s silence 2 marked  esc unmark" in screen_text(app)[-1])
        await pilot.press("space")  # about Taskdeck itself: there is no rule to be silenced
        await until(pilot, lambda: "a ack 2 marked  esc unmark" in screen_text(app)[-1])
        await pilot.press("escape")
        for rule in ("rule:old-rule", "rule:etl-late"):
            assert screen.table.go(next(row.key for row in screen.table.view("rules").rows if rule.endswith(row.name)))
            await pilot.press("space")
        await until(pilot, lambda: "s silence 2 marked  p turn off 1 marked" in screen_text(app)[-1])


async def test_one_rule_is_edited_at_a_time():
    app = deck(answers())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, app)
        for rule in screen.table.view("rules").rows[:2]:
            assert screen.table.go(rule.key)
            await pilot.press("space")
        await pilot.press("e")
        await until(pilot, lambda: "e edits one rule; 2 are marked." in text(app))
        assert isinstance(app.screen, AlertsScreen)


@pytest.mark.parametrize("key", "senDpa")
async def test_reading_only_nothing_is_asked_that_would_change_something(key: str):
    app = deck(answers(), read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press(key)
        await until(pilot, lambda: "Read only: nothing is changed from here." in text(app))
        assert isinstance(app.screen, AlertsScreen)
