"""Acceptance tests of `taskdeck notify`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.message_servers import HttpReceiver, receive_http
from tests.runtime_process import wait_until


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with receive_http() as receiver:
        yield receiver


def write_config(house: AcceptanceHome, text: str) -> None:
    folder = house.home.parent / "config" / "taskdeck"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text)


def test_notify_test_sends_and_prints_the_outcome(
    acceptance_home: AcceptanceHome, http: HttpReceiver
):
    house = acceptance_home
    write_config(house, f'[channels.ops]\nurl = "json://127.0.0.1:{http.port}/"')

    assert house.run_ok("notify", "test", "ops") == "ops: sent\n"
    assert json.loads(http.bodies[0])["title"] == "[test] ops: a message of Taskdeck"

    write_config(house, '[channels.ops]\nurl = "json://127.0.0.1:1/s3cret"\n[channels.bad]\nurl=1')
    failed = house.run_cli("notify", "test", "ops")
    unknown = house.run_cli("notify", "test", "opps")
    listed = house.run_ok("notify", "ls")

    assert failed.returncode == 1
    assert "\ntaskdeck: ops: " in failed.stderr and "Connection refused." in failed.stderr
    assert (unknown.returncode, "Nearest: ops. Nothing was sent." in unknown.stderr) == (3, True)
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [
        ["bad", "a"],
        ["ops", "json://•••"],
    ]
    assert "s3cret" not in failed.stderr + listed and "channels.bad.url: must be" in failed.stderr


def test_channels_are_listed_without_a_runtime(acceptance_home: AcceptanceHome):
    empty = acceptance_home.run_cli("--read-only", "notify", "ls")
    write_config(
        acceptance_home, '[channels.ops]\nurl = "ntfy://x"\n[notifications]\ndefault="ops"'
    )
    listed = acceptance_home.run_ok("--read-only", "notify", "ls")

    assert (empty.returncode, "there are no channels yet" in empty.stderr) == (0, True)
    assert listed.splitlines()[1].split() == ["ops", "ntfy://•••", "default", "for", "tasks"]


def test_alerts_of_a_rule_are_sent_with_their_end(
    acceptance_home: AcceptanceHome, http: HttpReceiver
):
    house = acceptance_home
    write_config(house, f'[channels.ops]\nurl = "json://127.0.0.1:{http.port}/"')
    unknown = house.run_cli("sla", "create", "ok", "--finishes-within", "1h", "--notify", "opps")
    house.run_ok("sla", "create", "ok", "--finishes-within", "1h", "--notify", "ops")
    house.run_cli("wait", house.submit("-n", "etl", "--", "false"))
    wait_until(lambda: http.requests, "the message about the failure")
    house.run_ok("rm", "1")
    wait_until(lambda: len(http.requests) > 1, "the message about the end")

    assert (unknown.returncode, "Nearest: ops. Nothing was changed." in unknown.stderr) == (3, True)
    titles = [json.loads(body)["title"] for body in http.bodies]
    assert titles == [
        "[warning] ok: #1 etl failed: exit 1; must succeed within 1h",
        "[resolved] ok: #1 etl failed: exit 1; must succeed within 1h",
    ]
    shown = house.run_ok("sla", "show", "ok")
    assert "firing: notify ops\n" in shown and "resolved: notify ops\n" in shown
    assert '{on = "resolved", notify = "ops"}' in house.run_ok("export").replace("{ ", "{")
    sent = wait_until(
        lambda: [d for d in house.run_json("notify", "ls")["deliveries"] if d["status"] == "sent"]
    )
    assert sent[0]["about"] == "ok: #1 etl"
    house.run_ok("sla", "set", "ok", "--notify", "")
    assert house.run_json("sla", "show", "ok")["actions"] == {}


def test_a_file_with_commands_is_applied_with_a_note_if_they_are_off(
    acceptance_home: AcceptanceHome,
):
    text = (
        '[slas.ok]\nconditions = { preset = "starts-within", value = "30m" }\n'
        'actions = [{ command = ["true"] }]\n'
    )

    (acceptance_home.work / "rules.toml").write_text(text)

    done = acceptance_home.run_cli("apply", "-f", "rules.toml")

    assert done.returncode == 0
    assert "slas.ok: commands are off; to allow them: [actions] command = true" in done.stderr


def test_tasks_tell_their_end_without_a_rule(acceptance_home: AcceptanceHome, http: HttpReceiver):
    house = acceptance_home
    channels = "".join(
        f'[channels.{name}]\nurl = "json://127.0.0.1:{http.port}/{name}"\n'
        for name in ("ops", "all")
    )
    write_config(house, channels)
    unknown = house.run_cli("submit", "--notify", "opps", "--", "true")
    lacking = house.run_cli("submit", "--notify-on", "failed", "--", "true")
    first = house.submit("-n", "etl", "--notify", "ops", "--", "true")
    quiet = house.submit("--notify", "ops", "--notify-on", "failed", "--", "true")
    house.run_ok("wait", first, quiet)
    wait_until(lambda: http.requests, "the message about the first task")
    write_config(house, channels + '[notifications]\ndefault = "all"\n')
    broken = house.submit("-n", "bad", "--", "false")
    house.run_cli("wait", broken)
    wait_until(lambda: len(http.requests) > 1, "the message about the failure")

    assert (unknown.returncode, "Nearest: ops. Nothing was submitted." in unknown.stderr) == (
        3,
        True,
    )
    assert lacking.returncode == 2 and "--notify-on needs a channel" in lacking.stderr
    assert [one.path for one in http.requests] == ["/ops", "/all"]
    titles = [json.loads(body)["title"] for body in http.bodies]
    assert titles == ["[succeeded] #1 etl succeeded", "[failed] #3 bad failed: exit 1"]
    shown = [house.run_ok("show", number) for number in (first, quiet, broken)]
    assert "  tells      ops when it ends\n" in shown[0]
    assert "  tells      ops if it fails\n" in shown[1]
    assert "  tells      all if it fails, by default\n" in shown[2]


def test_a_rule_about_a_queue_is_sent_and_resolved(
    acceptance_home: AcceptanceHome, http: HttpReceiver
):
    house = acceptance_home
    write_config(house, f'[channels.ops]\nurl = "json://127.0.0.1:{http.port}/"')
    (house.work / "rules.toml").write_text(
        '[slas.deep]\nseverity = "critical"\n'
        'conditions = { scope = "queue", match = { queue = "default" },'
        ' when = { metric = "queue.depth", op = ">", value = 1 } }\n'
        'actions = [{ on = "firing", notify = "ops" }, { on = "resolved", notify = "ops" }]\n'
    )
    house.run_ok("apply", "-f", "rules.toml")
    house.run_ok("queue", "pause", "default")
    numbers = [house.submit("--", "true") for _ in range(3)]
    wait_until(lambda: http.requests, "the message about the queue")
    house.run_ok("cancel", *numbers)
    wait_until(lambda: len(http.requests) > 1, "the message about the end")

    titles = [json.loads(body)["title"] for body in http.bodies]
    assert titles[0].startswith("[critical] deep: ") and "default" in titles[0]
    assert titles[1].startswith("[resolved] deep: ")
