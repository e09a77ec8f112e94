"""Tests of the verbs that change tasks: requests, messages and exit codes."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime, timedelta

import pytest

from app.core import filter_query
from tests.cli.builders import make_list_answer, make_task
from tests.cli.fake_control_server import AnswerSequence
from tests.cli.terminal_command import run_on_terminal


def make_bulk_answer(*numbers, refused=(), notes=(), **changes):
    """Build the answer of a verb on several tasks; `changes` are pairs of values by field."""
    more = {"changes": changes} if changes else {}
    rows = [
        {"number": n, "uuid": f"u{n}", "name": "x", "status": "cancelled", **more} for n in numbers
    ]
    return {"done": rows, "refused": list(refused), "notes": list(notes)}


def make_refusal(code, message):
    return {"id": "9", "number": None, "code": "x", "exit_code": code, "message": message}


def test_a_group_gets_another_limit_by_set(fake_runtime, cli):
    group = {"group": "g12", "name": "grid", "was": None, "max_running": 4}
    runtime = fake_runtime(group__set=group)

    assert cli("set", "g12", "--max-running", "4").out == "g12 grid: at once any → 4\n"
    assert runtime.get_last_args("group.set") == {"id": "g12", "max_running": 4}
    for words in (["42"], ["g12", "--priority", "5"], [], ["--named", "x", "--yes"]):
        said = cli("set", *words, "--max-running", "4")
        assert said.code == 2 and "--max-running goes with groups" in said.err


def test_each_task_gets_a_line(fake_runtime, cli):
    runtime = fake_runtime(cancel=make_bulk_answer(1, 2))

    assert cli("cancel", "1", "#2") == (0, "#1 x: cancelled\n#2 x: cancelled\n", "")
    assert runtime.get_last_args("cancel") == {"ids": ["1", "#2"], "signal": None, "grace": None}


def test_a_filtered_cancel_asks_for_counts_except_with_json(fake_runtime, cli):
    row = {"status": "cancelled", "run": None, "grace": 5.0, "changes": {}, "count": 200_000}
    runtime = fake_runtime(cancel={"done": [row], "refused": [], "notes": []})

    said = cli("cancel", "--queue", "q", "--yes")

    assert said.out == "200,000 tasks: cancelled\n"
    assert runtime.get_last_args("cancel")["brief"] is True
    cli("cancel", "--queue", "q", "--yes", "--json")
    assert "brief" not in runtime.get_last_args("cancel")


def test_an_empty_result_is_reported(fake_runtime, cli):
    fake_runtime(alert__ack=make_bulk_answer())

    assert cli("alert", "ack", "late") == (0, "", "taskdeck: nothing to do.\n")


def test_many_tasks_get_twenty_lines_and_a_count(fake_runtime, cli):
    fake_runtime(hold=make_bulk_answer(*range(1000)))

    lines = cli("hold", *map(str, range(1000))).out.splitlines()

    assert len(lines) == 21 and lines[-1] == "and 980 more"


def test_filtered_tasks_are_counted_by_result(fake_runtime, cli):
    answer = make_bulk_answer(
        *range(1, 1204), notes=[f"#{n} has ended (failed); nothing to cancel." for n in range(5)]
    )
    answer["done"][0] |= {"run": "stopping", "grace": 5.0}
    fake_runtime(cancel=answer)

    said = cli("cancel", "--queue", "q", "--yes")

    assert said.out == "1 task: stopping (TERM sent, KILL after 5s)\n1,202 tasks: cancelled\n"
    assert said.err.splitlines()[2:] == [
        "taskdeck: #2 has ended (failed); nothing to cancel.",
        "taskdeck: and 2 more.",
    ]


@pytest.mark.parametrize(
    ("verb", "told"), [("set", "changed"), ("front", "moved to the front"), ("hold", "cancelled")]
)
def test_the_verb_names_results_that_the_state_does_not(fake_runtime, cli, verb, told):
    fake_runtime(**{verb: make_bulk_answer(1, 2)})

    more = ("--priority", "5", "--in-queue", "q") if verb == "set" else ("--queue", "q")

    assert cli(verb, *more, "--yes").out == f"2 tasks: {told}\n"


def test_a_partly_refused_filter_exits_1_and_lists_the_first(fake_runtime, cli):
    fake_runtime(rm=make_bulk_answer(1, refused=[make_refusal(4, f"#{n} runs") for n in range(10)]))

    said = cli("rm", "--queue", "q", "--yes")

    assert (said.code, said.out) == (1, "1 task: cancelled\n")
    assert said.err.splitlines()[-1] == "taskdeck: and 7 more."


WAITING_STATES = ["queued", "scheduled", "blocked", "held", "retrying"]


@pytest.mark.parametrize(
    ("typed", "states"),
    [
        ("cancel", ["running", *WAITING_STATES]),
        ("cancel -s INT", ["running"]),
        ("hold", ["queued", "scheduled", "blocked", "retrying"]),
        ("release", ["held"]),
        ("retry", ["failed", "timed_out", "lost"]),
        ("retry --again", ["failed", "timed_out", "lost", "succeeded"]),
        ("rm", ["succeeded", "failed", "timed_out", "cancelled", "lost"]),
        ("front", WAITING_STATES),
        ("set --cpu 2", ["running", *WAITING_STATES]),
    ],
)
def test_a_verb_defaults_to_the_states_it_applies_to(fake_runtime, cli, typed, states):
    verb = typed.split()[0]
    runtime = fake_runtime(**{verb: make_bulk_answer(1)})

    cli(*typed.split(), "--tag", "env=prod", "--yes")
    assert runtime.get_last_args(verb)["select"] == {"tag": {"env": "prod"}, "status": states}
    cli(*typed.split(), "--status", "lost", "--yes")
    assert runtime.get_last_args(verb)["select"] == {"status": ["lost"]}


@pytest.mark.parametrize("verb", ["cancel", "hold", "release", "retry", "rm", "front", "set"])
@pytest.mark.parametrize(
    ("given", "select"),
    [
        (("--queue", "q"), {"queue": "q"}),
        (("--name", "n"), {"name": "n"}),
        (("--tag", "a=b", "--tag", "c=d"), {"tag": {"a": "b", "c": "d"}}),
        (("--since", "2h"), {"since": 7200}),
        (("--status", "held"), {}),
        (("g12", "g13"), {"group": ["g12", "g13"]}),
    ],
)
def test_every_bulk_verb_accepts_every_filter(fake_runtime, cli, verb, given, select):
    runtime = fake_runtime(**{verb: make_bulk_answer(1)})
    theirs = {"--queue": "--in-queue", "--name": "--named"} if verb == "set" else {}
    more = ("--priority", "1") if verb == "set" else ()

    assert (
        cli(
            verb, *(theirs.get(word, word) for word in given), *more, "--status", "held", "--yes"
        ).code
        == 0
    )
    chosen = runtime.get_last_args(verb)["select"]
    assert set(chosen.pop("status")) == {"held"} and chosen == select


@pytest.mark.parametrize("verb", ["cancel", "hold", "release", "retry", "rm", "front"])
def test_no_tasks_and_no_filters_never_means_all(fake_runtime, cli, verb):
    runtime = fake_runtime()

    for words in ((), ("--yes",)):
        said = cli(verb, *words)
        assert said.code == 2 and "which task?" in said.err and runtime.asked == []


def test_set_names_the_filter_that_is_not_a_new_value(fake_runtime, cli):
    said = cli("set", "--queue", "media", "--priority", "3", "--yes")

    assert (said.code, said.out) == (2, "")
    assert "set which task? Give a number, or filters such as --in-queue or --status." in said.err


@pytest.mark.parametrize(
    ("words", "name", "line"),
    [
        (("hold", "--name"), "encode S0*", """'name:"encode S0"*'"""),
        (("ls", "--name"), "enc?de*", "'name:enc?de*'"),
        (("set", "--pin", "--named"), "*:x", """'name:*":x"'"""),
    ],
)
def test_a_wildcard_in_a_name_is_literal_and_the_pattern_form_suggested(
    fake_runtime, cli, words, name, line
):
    fake_runtime(
        ls=make_list_answer([], 0, 0), **{words[0]: make_bulk_answer()} if words[0] != "ls" else {}
    )

    said = cli(*words, name, *(["--yes"] if words[0] != "ls" else []))

    assert f"* and ? are literal in --name. To match a pattern: --filter {line}" in said.err
    (found,) = filter_query.parse_query(shlex.split(line)[0], datetime.now(UTC)).terms
    assert found.kind == "name"


def test_retry_sends_and_prints_changed_requests(fake_runtime, cli):
    changes = {"memory": [0.0, 300.0], "resources": [None, '{"gpu":2}']}
    row = {"number": 7, "name": "a", "status": "queued", "changes": changes}
    runtime = fake_runtime(retry=make_bulk_answer() | {"done": [row]})

    said = cli("retry", "7", "--memory", "300M", "--timeout", "none", "--gpu", "2")

    assert said.out == "#7 a: queued, memory none → 300M, resources none → gpu 2\n"
    fields = {"memory": 300.0, "timeout": None, "resources": {"gpu": 2}}
    assert runtime.get_last_args("retry")["fields"] == fields


def test_filters_without_a_match_say_what_they_searched(fake_runtime, cli):
    fake_runtime(retry=make_bulk_answer())

    said = cli("retry", "--queue", "q", "--yes")

    assert (said.code, said.out) == (0, "")
    assert said.err == (
        "taskdeck: nothing to retry: no matching task is failed, timed out or lost. "
        "Others: --status STATE\n"
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (make_bulk_answer(1), 0),
        (make_bulk_answer(notes=["#1 has ended (succeeded, 3h ago); nothing to cancel."]), 0),
        (make_bulk_answer(refused=[make_refusal(3, "no task 9")]), 3),
        (make_bulk_answer(refused=[make_refusal(3, "no task 9"), make_refusal(3, "no task 8")]), 3),
        (make_bulk_answer(refused=[make_refusal(3, "no task 9"), make_refusal(4, "it runs")]), 1),
        (make_bulk_answer(1, refused=[make_refusal(3, "no task 9")]), 1),
    ],
)
def test_the_exit_code_tells_if_everything_succeeded(fake_runtime, cli, answer, code):
    fake_runtime(cancel=answer)

    said = cli("cancel", "1")

    told = [*answer["notes"], *(one["message"] for one in answer["refused"])]
    assert said.code == code and said.err == "".join(f"taskdeck: {text}\n" for text in told)


def test_the_whole_answer_is_available_as_json(fake_runtime, cli):
    fake_runtime(rm=make_bulk_answer(1, refused=[make_refusal(4, "it runs")]))

    said = cli("rm", "1", "2", "--json")

    assert said.code == 1 and json.loads(said.out)["refused"][0]["message"] == "it runs"


def test_filters_that_match_nothing_need_no_yes(fake_runtime, cli):
    fake_runtime(ls={"tasks": [], "total": 0, "of": 99, "as_of": 70})

    said = cli("cancel", "--queue", "media", "--status", "queued")

    assert said.code == 0 and said.err.startswith("taskdeck: nothing to cancel")


def test_filters_in_a_pipe_require_yes(fake_runtime, cli):
    runtime = fake_runtime(
        ls={"tasks": [], "total": 14, "of": 99, "as_of": 70}, cancel=make_bulk_answer(1)
    )

    said = cli("cancel", "--queue", "media", "--status", "queued")
    text = "taskdeck: this would cancel 14 queued tasks. Nothing was changed. Confirm: --yes\n"
    assert (said.code, said.err) == (2, text)
    assert [verb for verb, _ in runtime.asked] == ["ls"]

    assert cli("cancel", "--queue", "media", "--status", "queued", "--yes").code == 0
    assert runtime.get_last_args("cancel")["select"] == {"status": ["queued"], "queue": "media"}


def test_filters_and_ids_are_exclusive(fake_runtime, cli):
    fake_runtime()

    for ids in (["1"], ["g12", "1"]):
        said = cli("retry", *ids, "--status", "failed")
        assert said.code == 2 and "not both" in said.err
        assert said.err.endswith("taskdeck retry g12 --status STATE\n")


def test_a_text_filter_goes_with_groups(fake_runtime, cli):
    runtime = fake_runtime(cancel=make_bulk_answer(1))

    cli("cancel", "g12", "g13", "--filter", "status:held enc", "--yes")

    assert runtime.get_last_args("cancel")["select"] == {"filter": "group:g12,g13 status:held enc"}


def test_set_sends_only_new_values(fake_runtime, cli):
    runtime = fake_runtime(set=make_bulk_answer(1))

    cli(
        "set",
        "1",
        "--priority",
        "-3",
        "--memory",
        "11G",
        "--retry-delay",
        "1m",
        "--in-queue",
        "gpu",
    )
    assert runtime.asked == []
    cli("set", "1", "--priority", "-3", "--memory", "11G", "--retry-delay", "1m")
    assert runtime.get_last_args("set") == {
        "ids": ["1"],
        "fields": {"priority": -3, "memory": 11264, "retry_delay": 60},
    }
    cli("set", "--in-queue", "gpu", "--queue", "media", "--status", "held", "--yes")
    assert runtime.get_last_args("set") == {
        "select": {"queue": "gpu", "status": ["held"]},
        "fields": {"queue": "media"},
    }


def test_a_start_time_is_sent_and_echoed(fake_runtime, cli):
    soon = (datetime.now(UTC) + timedelta(hours=23, minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    runtime = fake_runtime(set=make_bulk_answer(1, not_before=[None, soon]))

    assert re.search(
        r": not before (\w{3} )?\d\d:\d\d \(in 23h\w*\)\n$", cli("set", "1", "--at", "23h").out
    )
    assert runtime.get_last_args("set")["fields"]["at"].endswith("+00:00")
    cli("set", "1", "--at", "now")
    assert runtime.get_last_args("set") == {"ids": ["1"], "fields": {"at": "now"}}
    cli("set", "--in-queue", "gpu", "--at", "now", "--yes")
    assert runtime.get_last_args("set")["select"] == {
        "queue": "gpu",
        "status": ["queued", "scheduled", "blocked", "held", "retrying"],
    }
    assert cli("set", "1", "--at", "soon").code == 2


def test_none_removes_a_timeout(fake_runtime, cli):
    runtime = fake_runtime(set=make_bulk_answer(1))

    cli("set", "1", "--timeout", "none")

    assert runtime.get_last_args("set") == {"ids": ["1"], "fields": {"timeout": None}}
    assert "--timeout must be above 0" in cli("set", "1", "--timeout", "0").err


def test_set_changes_the_signal_before_the_timeout(fake_runtime, cli):
    runtime = fake_runtime(set=make_bulk_answer(1, early_signal=[None, "USR1@5m"]))

    assert cli("set", "1", "--signal", "usr1@300").out == "#1 x: signal none → USR1@5m\n"
    assert runtime.get_last_args("set")["fields"] == {"signal": "USR1@5m"}
    cli("set", "1", "--signal", "none")
    assert runtime.get_last_args("set")["fields"] == {"signal": None}
    assert "--signal must be SIGNAL@TIME" in cli("set", "1", "--signal", "USR7@5m").err


def test_set_changes_who_hears_of_the_end(fake_runtime, cli):
    runtime = fake_runtime(set=make_bulk_answer(1, notify=[None, "failed ops"]))

    assert cli("set", "1", "--notify", "ops", "--notify-on", "failed").out == (
        "#1 x: tells default → ops if it fails\n"
    )
    fields = {"notify": "ops", "notify_on": "failed"}
    assert runtime.get_last_args("set") == {"ids": ["1"], "fields": fields}


def test_set_changes_what_a_waiting_task_runs(fake_runtime, cli):
    launches = [{"argv": ["a"]}, {"argv": ["train", "x y"]}]
    changes = {"launch": launches, "env": [{}, {"LR": "•••"}]}
    runtime = fake_runtime(set=make_bulk_answer(1, **changes))

    done = cli("set", "1", "--env", "LR=0.1", "--cwd", "/tmp", "--", "train", "x y")
    assert done.out == "#1 x: command a → train 'x y', variables LR\n"
    assert runtime.get_last_args("set")["fields"] == {
        "argv": ["train", "x y"],
        "cwd": "/tmp",
        "env": {"LR": "0.1"},
    }
    cli("set", "1", "-c", "a | b")
    assert runtime.get_last_args("set")["fields"] == {"script": "a | b"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-c", "a", "--", "b"], "give only one of -- COMMAND and -c. Nothing was changed."),
        (["--"], "missing command after --. Nothing was changed."),
        (["--", "a | b"], "As a shell script: taskdeck set ID -c 'a | b'"),
        (["--cwd", "/no-such-folder"], "does not exist on"),
    ],
)
def test_set_refuses_work_that_cannot_run(fake_runtime, cli, words, said):
    runtime = fake_runtime()

    found = cli("set", "1", *words)

    assert found.code == 2 and said in found.err and runtime.asked == []


def test_set_and_front_name_the_change(fake_runtime, cli):
    fake_runtime(
        set=make_bulk_answer(1, priority=[0, 10], timeout=[None, 3600.0], queue=["a", "b"]),
        front=make_bulk_answer(1, front=[0, 1]),
    )

    assert cli("set", "1", "-P", "10").out == (
        "#1 x: priority 0 → 10, timeout none → 1h, queue a → b\n"
    )
    assert cli("front", "1").out == "#1 x: moved to the front\n"
    fake_runtime(set=make_bulk_answer(1))
    assert cli("set", "1", "-P", "10").out == "#1 x: unchanged\n"


@pytest.mark.parametrize(
    ("option", "pinned", "said"),
    [("--pin", True, "pinned"), ("--unpin", False, "no longer pinned")],
)
def test_a_task_is_pinned_and_unpinned(fake_runtime, cli, option, pinned, said):
    runtime = fake_runtime(set=make_bulk_answer(1, pinned=[not pinned, pinned]))

    assert cli("set", "1", option).out.endswith(f": {said}\n")

    assert runtime.get_last_args("set") == {"ids": ["1"], "fields": {"pinned": pinned}}
    assert cli("set", "--status", "failed", option, "--yes").out == f"1 task: {said}\n"


def test_contradicting_pin_options_are_refused(fake_runtime, cli):
    runtime = fake_runtime(set=make_bulk_answer(1))
    refused = cli("set", "1", "--pin", "--unpin")
    assert (refused.code, refused.err) == (
        2,
        "taskdeck: --unpin and --pin cannot be combined.\n",
    ) and not runtime.asked


@pytest.mark.parametrize(
    ("typed", "number"), [("KILL", 9), ("SIGTERM", 15), ("usr1", 10), ("2", 2)]
)
def test_a_signal_is_a_name_or_a_number(fake_runtime, cli, typed, number):
    runtime = fake_runtime(cancel=make_bulk_answer(1))

    cli("cancel", "-s", typed, "1")

    assert runtime.get_last_args("cancel")["signal"] == number


def test_retry_again_is_sent_for_succeeded_tasks(fake_runtime, cli):
    runtime = fake_runtime(retry=make_bulk_answer(1))

    cli("retry", "--again", "1")

    assert runtime.get_last_args("retry") == {"ids": ["1"], "again": True}


def test_wait_exits_with_the_first_nonzero_code_in_order(fake_runtime, cli):
    ends = [
        {
            "number": n,
            "name": "x",
            "status": "failed",
            "exit_code": c,
            "signal": None,
            "reason": None,
            "code": c,
        }
        for n, c in ((1, 0), (2, 9), (3, 7))
    ]
    runtime = fake_runtime(wait=ends)

    assert cli("wait", "1", "2", "3", "--timeout", "2h").code == 9
    assert runtime.get_last_args("wait") == {"ids": ["1", "2", "3"], "timeout": 7200}


@pytest.mark.process
def test_a_question_is_answered_on_the_terminal(fake_runtime, home):
    total = {
        state: {"tasks": [], "total": 1 if state == "held" else 0, "of": 9, "as_of": 70}
        for state in WAITING_STATES
    }
    counted = {
        "tasks": [make_task(7, "night \x1b[2J", "queued"), make_task(5, "x", "held")],
        "total": 2,
        "of": 9,
        "as_of": 70,
    }
    queued = {"tasks": [], "total": 1, "of": 9, "as_of": 70}
    runtime = fake_runtime(
        ls=AnswerSequence([counted, queued, *[total[s] for s in WAITING_STATES[1:]]]),
        front=make_bulk_answer(1, 2),
    )

    out = run_on_terminal(home, "front", "--queue", "media", typed=b"n\n", columns=200).decode()
    assert (
        "Front 2 tasks (1 queued, 1 held): #7 night ␛[2J, #5 x? [y/N]" in out
        and "nothing was changed" in out
    )

    fake_runtime(
        ls={
            "tasks": [make_task(n, "x", "held") for n in (9, 8, 7)],
            "total": 40,
            "of": 99,
            "as_of": 70,
        }
    )
    asked = run_on_terminal(home, "front", "--status", "held", typed=b"y\n", columns=200).decode()
    assert "Front 40 held tasks: #9 x, #8 x, #7 x, …? [y/N]" in asked
    assert runtime.get_last_args("front") == {"select": {"status": ["held"], "as_of": 70}}
    assert "38 of the 40 have changed since the question; nothing was done to them." in asked


@pytest.mark.process
def test_a_question_names_the_new_values(fake_runtime, home):
    fake_runtime(ls={"tasks": [make_task(1, "x", "held")], "total": 1, "of": 1, "as_of": 70})
    words = ("set", "--status", "held", "--memory", "11G", "--retry-delay", "90", "--queue", "gpu")

    out = run_on_terminal(home, *words, typed=b"\n", columns=200).decode()

    assert "Set queue gpu, memory 11.0G, retry-delay 1m30s on 1 held task: #1 x? [y/N]" in out


@pytest.mark.process
def test_no_question_is_asked_without_a_match(fake_runtime, home):
    fake_runtime(ls={"tasks": [], "total": 0, "of": 0, "as_of": 70})

    out = run_on_terminal(home, "rm", "--status", "lost", columns=200).decode()

    assert out == "taskdeck: nothing to rm: no matching task is lost. Others: --status STATE\r\n"


def test_a_filter_query_selects_in_the_verbs_default_states(fake_runtime, cli):
    runtime = fake_runtime(
        retry=make_bulk_answer(1),
        review={
            "total": 3,
            "statuses": {"failed": 2, "lost": 1},
            "first": [],
            "dependents": 0,
            "as_of": 70,
        },
    )

    said = cli("retry", "--filter", "queue:gpu since:2h")
    assert "this would retry 3 tasks (2 failed, 1 lost). Nothing was changed." in said.err
    cli("retry", "--filter", "queue:gpu", "--yes")
    assert runtime.get_last_args("retry")["select"] == {
        "filter": "queue:gpu status:failed,timed_out,lost"
    }
    cli("retry", "--filter", "status:cancelled", "--yes")
    assert runtime.get_last_args("retry")["select"] == {"filter": "status:cancelled"}
