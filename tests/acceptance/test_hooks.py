"""Acceptance test of hooks: from the settings to the record of a failure."""

from __future__ import annotations

import json

from tests.runtime_process import wait_until


def test_a_hook_gets_the_first_task_and_its_failure_is_told(acceptance_home):
    home = acceptance_home
    path = home.work.parent / "config" / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True)
    out = home.work / "events"
    path.write_text(
        '[hooks.keep]\non = ["start", "end"]\n'
        f'argv = ["sh", "-c", "cat >> {out}; echo >> {out}"]\n'
        '[hooks.bad]\non = ["end"]\nargv = ["sh", "-c", "echo no route >&2; exit 3"]\n'
    )
    number = home.submit("-n", "first", "--", "true")

    wait_until(lambda: out.exists() and len(out.read_text().splitlines()) == 2, "both events")
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(one["event"], str(one["task"]["number"])) for one in events] == [
        ("start", number), ("end", number),
    ]  # fmt: skip
    wait_until(lambda: "no route" in home.run_ok("notify", "ls"), "the record of the failure")
    doctor = home.run_cli("doctor")
    assert "hook bad failed once since its last success: sh ended with 3: no route" in (
        " ".join(doctor.stdout.split())
    )
