"""`taskdeck submit --from FILE.toml`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import NotFound, Refused

FLOW = """\
[parameters]
sample = "a"

[defaults]
queue = "night"

[tasks.align]
command = "bwa {sample}"
needs = ["fetch"]

[tasks.fetch]
command = ["curl", "{sample}"]
"""
STORED = [
    {"uuid": f"u{n}", "number": n, "name": name, "queue": "night", "status": "queued",
     "group": "g3", "launch": {"argv": [name]}}
    for n, name in ((7, "fetch"), (8, "align"))
]  # fmt: skip


@pytest.fixture
def flow(tmp_path: Path) -> str:
    path = tmp_path / "flow.toml"
    path.write_text(FLOW)
    return str(path)


def test_a_workflow_is_one_submission_and_one_group(fake_runtime, cli, flow):
    runtime = fake_runtime(submit=STORED)

    said = cli("submit", "--from", flow, "-p", "sample=b")

    sent = runtime.get_last_args("submit")
    assert (said.code, said.out, said.err) == (0, "7\n8\n", "g3: 2 tasks\n")
    assert sent["group"] == {"name": "flow"}
    assert sent["tasks"] == [
        {"queue": "night", "argv": ["curl", "b"], "name": "fetch"},
        {"queue": "night", "script": "bwa b", "name": "align", "after": ["fetch"]},
    ]
    assert [row["number"] for row in json.loads(cli("submit", "--from", flow, "--json").out)] == [
        7,
        8,
    ]


def test_a_dry_run_shows_what_each_task_waits_for(fake_runtime, cli, flow):
    runtime = fake_runtime(submit=STORED)

    said = cli("submit", "--from", flow, "--dry-run")

    assert said.out.splitlines() == [
        "fetch  queue night  fetch",
        "align  after fetch  queue night  align",
    ]
    assert said.err == "taskdeck: dry run: 2 tasks. Nothing was submitted.\n"
    assert runtime.get_last_args("submit")["dry_run"] is True
    assert json.loads(cli("submit", "--from", flow, "--dry-run", "--json").out)[1]["after"] == [
        "fetch"
    ]


def test_problems_name_the_file_and_the_line(fake_runtime, cli, flow, tmp_path):
    fake_runtime(submit=NotFound('there is no queue "night". Nearest: light'))
    assert f'{flow} line 5: there is no queue "night".' in " ".join(
        cli("submit", "--from", flow).err.split()
    )

    fake_runtime(submit=Refused('"align" needs 20 gpu, but pool default has 8 in all.'))
    assert f'{flow} line 7: "align" needs 20 gpu' in " ".join(
        cli("submit", "--from", flow).err.split()
    )

    Path(flow).write_text(FLOW.replace('"fetch"', '"fech"'))
    said = cli("submit", "--from", flow)
    assert said.code == 2 and f"{flow} line 9: tasks.align.needs:" in " ".join(said.err.split())
    assert cli("submit", "--from", str(tmp_path / "none.toml")).code == 3
    Path(flow).write_bytes(b"\xff")
    assert "is not UTF-8. Nothing was submitted" in " ".join(
        cli("submit", "--from", flow).err.split()
    )


def test_options_of_a_single_task_do_not_go_with_a_workflow(fake_runtime, cli, flow):
    fake_runtime(submit=STORED)

    assert cli("submit", "--from", flow, "--cpu", "2").code == 2
    assert "leave out --keep-going" in cli("submit", "--from", flow, "--keep-going").err
    assert cli("submit", "--from", flow, "-p", "smple=b").code == 2
