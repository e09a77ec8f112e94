"""Acceptance tests of `taskdeck db cleanup` under the rules of config.toml."""

from __future__ import annotations

import json

from tests.acceptance.acceptance_home import AcceptanceHome


def write_config(house: AcceptanceHome, text: str) -> None:
    folder = house.home.parent / "config" / "taskdeck"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text)


def test_a_dry_run_lists_what_the_cleanup_then_deletes(shared_home: AcceptanceHome):
    house = shared_home
    write_config(house, '[retention.queue.default]\nkeep = "0.001s"\n')
    numbers = [
        house.submit("--name", name, "--", "sh", "-c", f"echo {name}; exit {code}")
        for name, code in (("a", 0), ("b", 3), ("c", 4))
    ]
    house.run_cli("wait", *numbers)
    logs = [path for path in house.home.glob("runs/*/*.log") if path.is_file()]

    told = json.loads(house.run_ok("db", "cleanup", "--dry-run", "--json"))
    assert len(house.run_json("ls")) == len(logs) == 3
    said = house.run_ok("db", "cleanup", "--dry-run")
    done = json.loads(house.run_ok("db", "cleanup", "--json"))

    assert (told["dry_run"], told["runs"], told["tasks"]) == (True, 2, 2)
    assert said.splitlines()[0].split() == ["RULE", "BECAUSE", "RUNS", "TASKS", "LOGS", "ROWS"]
    assert "would remove 2 runs and 2 tasks" in said
    assert [done[name] for name in ("runs", "tasks", "logs", "rules")] == [
        told[name] for name in ("runs", "tasks", "logs", "rules")
    ]
    assert [str(row["number"]) for row in house.run_json("ls")] == numbers[:1]
    assert sum(path.exists() for path in logs) == 1
    assert house.run_ok("db", "cleanup", "--dry-run").splitlines() == [
        "nothing is old enough to remove",
        "kept: 1 last success, the newest per task name and template",
        (
            "in config.toml [retention.queue.default] keeps only 0.001 seconds (s is seconds, d is"
            " days)"
        ),
    ]
    assert house.run_json("operations")[0]["verb"] == "db cleanup"


def test_a_dry_run_starts_no_runtime_and_typos_suspend_cleanup(shared_home: AcceptanceHome):
    house = shared_home
    write_config(house, "")
    house.run_cli("wait", house.submit("--name", "typo", "--", "sh", "-c", "exit 3"))
    there = house.map_statuses()
    house.run_ok("stop")
    write_config(house, '[retention.queue.default]\nkeep = "0.001s"\n')
    told = json.loads(house.run_ok("db", "cleanup", "--dry-run", "--json"))
    assert (told["runs"], told["tasks"], told["rules"][0]["why"]) == (1, 1, "age")
    assert house.call_verb("status")["runtime"]["state"] == "stopped"

    write_config(house, '[retention.queue.default]\nkeep = "0.001s"\n[bakup]\nkeep = "9d"\n')
    dry = house.run_cli("db", "cleanup", "--dry-run")
    house.run_ok("serve", "--detach")
    real = house.run_cli("db", "cleanup")

    for done, undone in ((dry, "Nothing is removed."), (real, "Nothing was removed.")):
        assert (
            done.returncode == 2
            and 'config.toml, line 3: there is no setting "bakup". Nearest: backup.' in done.stderr
        )
        assert undone in done.stderr and "Correct the file" in done.stderr
        assert done.stderr.count("line 3") == 1
    assert "Ignored; nothing is removed until it is fixed." in house.run_cli("ls").stderr
    assert house.map_statuses() == there

    write_config(
        house, '[retention.queue.default]\nkeep = "0.001s"\n[retention.queue.nosuch]\nkeep = "9d"\n'
    )
    said = house.run_ok("db", "cleanup")
    assert (
        "removed 1 run and 1 task, about" in said
        and "[retention.queue.nosuch]: there is no queue nosuch" in said
    )
    assert "ignored" not in house.run_cli("ls").stderr
