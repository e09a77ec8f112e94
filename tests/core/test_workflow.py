"""Workflows in TOML: tasks with their needs, placeholders, defaults, and faults with lines."""

from __future__ import annotations

import json

import pytest

from app.core.workflow import parse_workflow
from app.errors import Usage

TEXT = """\
[parameters]
sample = "a b"
lr = 0.1
fast = true

[defaults]
queue = "night"
env = { LANG = "C" }

[tasks.align]
command = "bwa {sample} > {smaple} $HOME ${lr}"
needs = ["fetch"]
cpu = 4
env = { LR = "{lr}", N = 3 }

[tasks.fetch]
command = ["curl", "{sample}", "--fast={fast}"]

[tasks.mail]
template = "mail"
parameters = { to = "ann", list = ["{lr}"] }
needs = [{ task = "align", on = "failure" }, { task = "fetch" }, 12]
gpu = 1
"""


def test_tasks_come_after_their_needs_with_values_and_defaults():
    found = parse_workflow(TEXT, {"lr": "3"})

    assert found.tasks == [
        {
            "queue": "night", "env": {"LANG": "C"}, "name": "fetch",
            "argv": ["curl", "a b", "--fast=true"],
        },
        {
            "queue": "night", "env": {"LANG": "C", "LR": "3", "N": "3"}, "cpu": 4,
            "name": "align", "after": ["fetch"],
            "script": "bwa 'a b' > {smaple} $HOME ${lr}",
        },
        {
            "queue": "night", "env": {"LANG": "C"}, "name": "mail", "template": "mail",
            "parameters": {"to": "ann", "list": ["3"]}, "resources": {"gpu": 1},
            "after_failure": ["align"], "after": ["fetch", "12"],
        },
    ]  # fmt: skip
    assert found.notes == ["align: {smaple} is no parameter and stays. Nearest: sample"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('["fetch"]', '["fech"]', 'line 12: tasks.align.needs: there is no task "fech". Nearest:'),
        ("cpu = 4", "cpus = 4", 'line 13: tasks.align: unknown key "cpus". Nearest: cpu.'),
        ("cpu = 4", 'cpu = "x"', "line 13: tasks.align.cpu: cpu must be a number of cores"),
        ("[tasks.mail]", "[tasks.7]", "line 19: tasks.7: must not be named by a number."),
        ('["curl",', "[[],", "line 17: tasks.fetch.command: command.0 must be text"),
        ("gpu = 1", 'command = "x"', "line 19: tasks.mail: needs either a command or a template."),
        ("[defaults]", "[defalts]", 'line 6: defalts: unknown table "defalts". Nearest: defaults'),
        ('"failure"', '"fail"', "line 22: tasks.mail.needs: on must be one of success, any, "),
        ("lr = 0.1", "lr = []", "line 3: parameters.lr: must be text, a number, true or false."),
        ("lr = 0.1", "l-r = 0.1", "line 3: parameters.l-r: is no name: letters, digits and _."),
        ("[tasks.mail]", "[tasks.align]", "line 19: Cannot declare ('tasks', 'align') twice"),
        ("gpu = 1", "env = 3", "line 23: tasks.mail.env: env must be a table"),
        ("gpu = 1", 'gpu = "many"', "line 23: tasks.mail.gpu: "),
        ('queue = "night"', 'command = "x"', 'line 7: defaults: unknown key "command".'),
        ("[tasks.fetch]", '[tasks.fetch]\nneeds = "align"', "a cycle: align → fetch → align."),
    ],
)  # fmt: skip
def test_a_fault_names_its_line_and_what_was_meant(old: str, new: str, fault: str):
    with pytest.raises(Usage) as caught:
        parse_workflow(TEXT.replace(old, new, 1), {})

    assert fault in caught.value.message and caught.value.message.endswith("Nothing was submitted.")


def test_only_parameters_of_the_file_can_be_given():
    with pytest.raises(Usage, match='-p smple: unknown parameter "smple". Nearest: sample'):
        parse_workflow(TEXT, {"smple": "x"})


def test_a_file_without_tasks_is_refused():
    with pytest.raises(Usage, match=r"holds no task: write \[tasks.NAME\]"):
        parse_workflow("[defaults]\ncpu = 2\n", {})


@pytest.mark.parametrize("command", ["echo '{x}'", 'echo "{x}"', "cat <<E\n{x}\nE"])
def test_a_value_is_never_read_as_shell_syntax(command: str):
    text = f"[parameters]\nx = 1\n[tasks.t]\ncommand = {json.dumps(command)}\n"

    with pytest.raises(Usage, match=r"^line 4: tasks.t.command: \{x\} must stand without quotes"):
        parse_workflow(text, {"x": "$(touch gone)"})
    assert parse_workflow(text, {"x": "s2"}).tasks[0]["script"] == command.replace("{x}", "s2")
