"""Tasks that depend on a cancelled one: shown by --dry-run, and asked for on a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.commands.tasks.test_task_actions import make_bulk_answer

PREVIEW: dict[str, Any] = {
    "tasks": [{"number": 12, "name": "etl", "status": "running", "grace": 5.0}],
    "dependents": [{"number": 13, "name": "load"}, {"number": 14, "name": "mail"}],
    "refused": [],
}


def answer_on_terminal(monkeypatch: pytest.MonkeyPatch, answer: bool) -> list[str]:
    """Pretend that a person answers questions; return the questions."""
    asked: list[str] = []
    monkeypatch.setattr("app.cli.output.is_stdin_terminal", lambda: True)
    monkeypatch.setattr("app.cli.output.is_stderr_terminal", lambda: True)
    monkeypatch.setattr("app.cli.output.ask_yes_no", lambda text: asked.append(text) or answer)
    return asked


def test_a_dry_run_lists_the_dependents_and_changes_nothing(fake_runtime, cli):
    runtime = fake_runtime(cancel__preview=PREVIEW)

    said = cli("cancel", "--dry-run", "12")

    assert said.code == 0 and said.out.splitlines() == [
        "#12 etl: running",
        "#13 load: depends on them",
        "#14 mail: depends on them",
    ]
    assert "1 task and 2 that depend on them would be cancelled. Nothing was changed" in said.err
    assert runtime.get_last_args("cancel.preview") == {"ids": ["12"]}


def test_a_dry_run_of_filters_is_one_document_of_json(fake_runtime, cli):
    ended = {"number": 11, "name": "old", "status": "failed", "grace": 5.0}
    runtime = fake_runtime(
        cancel__preview={**PREVIEW, "tasks": [*PREVIEW["tasks"], ended], "dependents": []}
    )

    said = cli("cancel", "--dry-run", "--queue", "media", "--json")

    assert json.loads(said.out) == {
        "tasks": [{"number": 12, "name": "etl", "status": "running"}],
        "dependents": [],
    }
    assert runtime.get_last_args("cancel.preview")["select"]["queue"] == "media"


def test_a_dry_run_of_an_unknown_task_fails_like_the_cancel(fake_runtime, cli):
    refusal = {"id": "9", "number": None, "exit_code": 3, "message": 'there is no task "9".'}
    fake_runtime(cancel__preview={"tasks": [], "dependents": [], "refused": [refusal]})

    assert cli("cancel", "--dry-run", "9")[::2] == (3, (
        "taskdeck: dry run: 0 tasks would be cancelled. Nothing was changed.\n"
        'taskdeck: there is no task "9".\n'
    ))  # fmt: skip
    assert cli("cancel", "--dry-run").code == cli("cancel", "--dry-run", "-s", "INT", "9").code == 2


def test_a_person_is_asked_before_dependents_are_cancelled(fake_runtime, cli, monkeypatch):
    runtime = fake_runtime(cancel__preview=PREVIEW, cancel=make_bulk_answer(12))
    asked = answer_on_terminal(monkeypatch, answer=False)

    said = cli("cancel", "12")

    assert said.code == 2 and "nothing was changed" in said.err
    assert asked == [
        "Cancel #12 etl? 2 tasks depend on it, to be cancelled too: #13 load, #14 mail."
    ]
    assert cli("cancel", "--yes", "12").out == "#12 x: cancelled\n" and len(asked) == 1
    assert runtime.get_last_args("cancel")["ids"] == ["12"]


def test_no_question_without_dependents_or_terminal(fake_runtime, cli, monkeypatch):
    fake_runtime(cancel__preview={**PREVIEW, "dependents": []}, cancel=make_bulk_answer(12))
    assert cli("cancel", "12").code == 0

    asked = answer_on_terminal(monkeypatch, answer=False)

    assert cli("cancel", "12").code == 0 and asked == []


def test_the_question_for_filters_names_dependents(fake_runtime, cli, monkeypatch):
    task = {"number": 12, "name": "etl", "status": "queued"}
    fake_runtime(
        cancel__preview=PREVIEW,
        ls={"tasks": [task], "total": 1, "as_of": 7},
        cancel={"done": [], "refused": [], "notes": []},
    )
    asked = answer_on_terminal(monkeypatch, answer=True)

    cli("cancel", "--status", "queued")

    assert asked == [
        "Cancel 1 queued task: #12 etl; 2 tasks that depend on them are cancelled too:"
        " #13 load, #14 mail?"
    ]
