"""Tests of the commands for queues, pools, templates, SLAs, alerts, apply and export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.core.text.sanitize import MASK
from app.errors import NotFound, Usage
from app.paths import get_config_path
from tests.cli.builders import make_past_time

TIMESTAMPS = {"created_at": make_past_time(60), "updated_at": make_past_time(60)}
QUEUE = {"name": "media", "capacity": 2, "current_load": 1, "status": "active", "word": "open",
"priority": 10, "pool": "default",
         "description": "films", "waiting": 14, "oldest_at": make_past_time(65),
         **TIMESTAMPS}  # fmt: skip
POOL = {
    "resources": {"gpu": 2},
    "used_resources": {"gpu": 1},
    "name": "gpu",
    "total_cpu": 8.0,
    "total_memory": 32768.0,
    "used_cpu": 6.0,
    "used_memory": 30720.0,
    "status": "active",
    "sla": None,
    **TIMESTAMPS,
}
TEMPLATE = {
    "name": "encode", "type": "shell", "engine": "shell", "schema": {"script": "ffmpeg\n-i"},
    "queue": "media", "cpu": 2.0,
    "memory": 512.0, "timeout": 1800.0, "retries": None, "description": "films",
    "parameters": {
        "required": ["input"],
        "properties": {"input": {"type": "string", "description": "the film"},
        "crf": {"type": "integer", "default": 23}},
    },
    **TIMESTAMPS,
}  # fmt: skip
SLA = {"id": 1, "name": "on-time", "conditions": {"preset": "finishes-within", "value": "45m",
"match": {"template": "encode"}},
       "actions": {}, "priority": 3, "enabled": True, "open": {}, "silence": None, "state": "ok",
       "words": "finishes within 45m", **TIMESTAMPS}  # fmt: skip
ALERT = {"id": 4, "sla": "on-time", "severity": "critical", "status": "acknowledged",
"object": "#7 film",
         "text": "running 57m, allowed 45m",
         "short": "57m > 45m", "since": make_past_time(725), "acknowledged_by": "ann",
         "task_number": 7}  # fmt: skip


def test_queue_create_sends_only_given_values(fake_runtime, cli):
    runtime = fake_runtime(queue__create=QUEUE)

    said = cli("queue", "create", "media", "--capacity", "2", "--priority", "-10")

    assert runtime.get_last_args("queue.create") == {
        "name": "media",
        "capacity": 2,
        "priority": -10,
    }
    assert said == (0, "queue media created: 2 at once, pool default\n", "")


def test_pools_show_their_reservations(fake_runtime, cli):
    now = {"name": "r1", "tag": "team=a", "needs": {"gpu": 4.0, "cpu": 2.0},
           "begins_at": make_past_time(60), "ends_at": make_past_time(-3600)}  # fmt: skip
    later = now | {"begins_at": make_past_time(-1800)}
    pool = POOL | {"reservations": [now, later], "used_resources": {"license.matlab": 1}}
    fake_runtime(pool__ls=[pool], pool__show=pool)

    listed, shown = cli("pool", "ls").out, cli("pool", "show", "gpu").out

    assert "\npool gpu: 2 cpu, 4 gpu kept for team=a until " in listed
    assert "\npool gpu: 2 cpu, 4 gpu kept for team=a from " in listed
    assert "  reservation  2 cpu, 4 gpu kept for team=a until " in shown
    assert "  license.matlab 1 reserved\n" in shown


def test_pool_create_parses_amounts(fake_runtime, cli):
    runtime = fake_runtime(pool__create=POOL)

    assert (
        cli("pool", "create", "gpu", "--cpu", "8", "--memory", "32G").out
        == "pool gpu created: cpu 8, memory 32.0G, gpu 2\n"
    )
    assert runtime.get_last_args("pool.create") == {"name": "gpu", "cpu": 8.0, "memory": 32768.0}


def test_a_change_reports_the_new_values(fake_runtime, cli):
    fake_runtime(pool__set={**POOL, "total_cpu": 4.0, "sla": "quick"}, queue__set=QUEUE)

    assert cli("pool", "set", "gpu", "--cpu", "4", "--sla", "quick") == (
        0,
        "pool gpu changed: cpu 4, rule quick\n",
        "",
    )
    said = cli(
        "queue", "set", "media", "--capacity", "2", "--priority", "10", "--description", "films"
    )
    assert said == (0, 'queue media changed: 2 at once, priority 10, description "films"\n', "")


def test_a_change_that_stops_new_starts_is_reported(fake_runtime, cli):
    shut = {**QUEUE, "capacity": 0}
    fake_runtime(
        pool__set={**POOL, "total_cpu": 0.0},
        pool__create={**POOL, "total_memory": 0.0},
        queue__set=shut,
        queue__create=shut,
    )

    assert (
        "tasks that request CPU cannot start in pool gpu"
        in cli("pool", "set", "gpu", "--cpu", "0").err
    )
    assert (
        "tasks that request memory cannot start in pool gpu"
        in cli("pool", "create", "gpu", "--cpu", "8", "--memory", "0").err
    )
    for verb in ("set", "create"):
        said = cli("queue", verb, "media", "--capacity", "0")
        assert (
            said.code == 0
            and "tasks in queue media cannot start" in said.err
            and "queue set media --capacity 1" in said.err
        )


@pytest.mark.parametrize("kind", ["queue", "pool", "template", "sla"])
@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "a\x1bb", "x" * 5000])
def test_an_invalid_name_is_refused_before_any_request(fake_runtime, cli, kind, name):
    runtime = fake_runtime()

    said = cli(kind, "create", name)

    word = "rule" if kind == "sla" else kind
    assert said.code == 2 and f"the name of a {word} must" in said.err and runtime.asked == []


@pytest.mark.parametrize(("words", "option"), [
    (("queue", "create", "q", "--capacity=-1"), "--capacity"),
    (("queue", "create", "q", "--capacity=nan"), "--capacity"),
    (("pool", "create", "p", "--cpu=1e999", "--memory", "1G"), "--cpu"),
    (("pool", "set", "p", "--memory=-1G"), "--memory"),
])  # fmt: skip
def test_an_invalid_number_is_refused_with_its_option(cli, words, option):
    said = cli(*words)

    assert said.code == 2 and f"{option} must" in said.err


def test_verbs_on_a_queue_take_its_name(fake_runtime, cli):
    runtime = fake_runtime(
        queue__pause=QUEUE,
        queue__rm={"name": "media"},
        queue__resume=NotFound('there is no queue "meda". Nearest: media.'),
    )

    assert cli("queue", "pause", "media").out == "queue media paused\n"
    assert cli("queue", "rm", "media").out == "queue media removed\n"
    assert cli("queue", "resume", "meda") == (
        3,
        "",
        'taskdeck: there is no queue "meda". Nearest: media.\n',
    )
    assert runtime.get_last_args("queue.pause") == {"name": "media"}


def test_reopening_a_closed_queue_is_reported(fake_runtime, cli):
    def became(verb: str, was: str, now: str) -> str:
        fake_runtime(**{f"queue__{verb}": {**QUEUE, "status": now, "before": {"status": was}}})
        return cli("queue", verb, "media").out

    assert became("pause", "active", "paused") == "queue media paused\n"
    assert became("pause", "paused", "paused") == "queue media is paused already\n"
    assert became("drain", "paused", "draining") == "queue media draining (was paused)\n"
    assert "as a paused one does" in cli("queue", "drain", "media").err
    assert became("resume", "draining", "active") == "queue media resumed\n"
    assert became("resume", "active", "active") == "queue media is open already\n"


def test_definitions_are_listed_as_tables(fake_runtime, cli):
    fake_runtime(
        queue__ls=[QUEUE],
        pool__ls=[POOL],
        template__ls=[TEMPLATE],
        sla__ls=[SLA],
        alert__ls=[ALERT],
    )

    rows = {
        kind: cli(kind, "ls").out.splitlines()[1].split()
        for kind in ("queue", "pool", "template", "sla", "alert")
    }

    assert rows == {
        "queue": ["media", "1/2", "14", "1m", "10", "open", "default"],
        "pool": ["gpu", "6.0/8", "30.0/32G", "gpu", "1/2", "priority", "open", "–"],
        "template": ["encode", "shell", "media", "30m", "2", "512M", "films"],
        "sla": ["on-time", "finishes", "within", "45m", "template", "encode", "CRIT", "ok"],
        "alert": [
            "4",
            "▲",
            "CRIT",
            "on-time",
            "#7",
            "film",
            "12m",
            "acked",
            "ann",
            "57m",
            ">",
            "45m",
        ],
    }


@pytest.mark.parametrize(
    ("kind", "found", "name"),
    [
        ("queue", QUEUE, "media"),
        ("pool", POOL, "gpu"),
        ("template", TEMPLATE, "encode"),
        ("sla", SLA, "on-time"),
        ("alert", ALERT, "4"),
    ],
)
def test_every_list_has_machine_readable_output(fake_runtime, cli, kind, found, name):
    fake_runtime(**{f"{kind}__ls": [found]})

    assert cli(kind, "ls", "-o", "name") == (0, f"{name}\n", "")
    header, row = cli(kind, "ls", "-o", "tsv").out.splitlines()
    told = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert header.split("\t")[0] in ("name", "id") and row.split("\t")[0] == name
    assert len(json.loads(cli(kind, "ls", "-o", "json").out)) == 1 and set(told) & set(found)


def test_an_empty_list_is_reported_on_stderr(fake_runtime, cli):
    fake_runtime(sla__ls=[], alert__ls=[])

    assert cli("sla", "ls") == (0, "", "no rules yet\n")
    assert cli("alert", "ls") == (0, "", "no firing alerts\n")
    assert cli("alert", "ls", "--json").out == "[]\n"


def test_a_template_is_shown_with_its_parameters(fake_runtime, cli):
    runtime = fake_runtime(template__show=TEMPLATE)

    out = cli("template", "show", "encode").out

    for text in (
        "encode\n",
        "  script       ffmpeg\n               -i\n",
        "input (string, required): the film\n",
        "crf (integer, default 23)\n",
        "30m\n",
    ):
        assert text in out
    assert json.loads(cli("template", "show", "encode", "--json").out) == runtime.told[-1]


def test_the_channel_of_a_template_is_sent_and_shown(fake_runtime, cli):
    notice = {"notify": "ops", "notify_on": "failed"}
    runtime = fake_runtime(template__set=TEMPLATE, template__show=TEMPLATE | notice)

    cli("template", "set", "encode", "--notify", "ops", "--notify-on", "failed")

    assert runtime.get_last_args("template.set") == {"name": "encode", **notice}
    assert "tells" in (shown := cli("template", "show", "encode").out)
    assert "ops if it fails" in shown


@pytest.mark.parametrize(
    "words",
    [["show", "encode"], ["show", "encode", "--json"], ["ls", "--json"], ["ls", "-o", "tsv"]],
)
def test_the_default_of_a_secret_parameter_is_not_shown(fake_runtime, cli, words):
    properties = {
        "pin": {"type": "string", "writeOnly": True, "default": "pp9"},
        "api_token": {"type": "string", "default": "pp9"},
    }
    template = TEMPLATE | {"parameters": {"type": "object", "properties": properties}}
    fake_runtime(template__show=template, template__ls=[template])

    out = cli("template", *words).out

    assert "pp9" not in out
    assert ("--json" in words or "tsv" in words) or f'pin (string, default "{MASK}")' in out


@pytest.mark.parametrize(
    ("words", "engine", "schema"),
    [
        (("--", "convert", "{{ input }}"), "exec", {"argv": ["convert", "{{ input }}"]}),
        (
            ("--script", "echo $PARAM_x", "--shell", "/bin/bash"),
            "shell",
            {"script": "echo $PARAM_x", "shell": "/bin/bash"},
        ),
        (("--engine", "python", "--script", "print(x)"), "python", {"script": "print(x)"}),
        (
            ("--callable", "a:b", "--python", "/opt/py"),
            "python",
            {"callable": "a:b", "python": "/opt/py"},
        ),
    ],
)
def test_a_template_sends_its_engine_and_schema(fake_runtime, cli, words, engine, schema):
    runtime = fake_runtime(template__create=TEMPLATE)

    cli("template", "create", "t", "--timeout", "30m", "--parameters", '{"type": "object"}', *words)

    args = runtime.get_last_args("template.create")
    assert (args["engine"], args["schema"]) == (engine, schema)
    assert (args["timeout"], args["parameters"]) == (1800, {"type": "object"})


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ((), "needs exactly one of --script"),
        (("--script", "x", "--", "y"), "needs exactly one of --script"),
        (("--engine", "exec", "--script", "x"), "--engine must be shell or python"),
        (("--parameters", "{", "--", "x"), "--parameters must be a JSON Schema"),
        (("--parameters", "@no-such-file", "--", "x"), "no-such-file does not exist"),
    ],
)
def test_an_invalid_template_is_refused(fake_runtime, cli, words, answer):
    runtime = fake_runtime()

    said = cli("template", "create", "t", *words)

    assert said.code in (2, 3) and answer in said.err and runtime.asked == []


def test_an_sla_is_created_from_limit_and_filter(fake_runtime, cli):
    runtime = fake_runtime(sla__create=SLA)

    assert (
        cli(
            "sla",
            "create",
            "on-time",
            "--finishes-within",
            "45m",
            "--template",
            "encode",
            "--severity",
            "critical",
        ).code
        == 0
    )
    assert runtime.get_last_args("sla.create") == {
        "name": "on-time",
        "preset": "finishes-within",
        "value": 2700,
        "template": "encode",
        "severity": "critical",
    }


ON_LAG = SLA | {"conditions": {"preset": "stays-below", "metric": "replica-lag", "value": "5m"},
"metric": "replica-lag",
                "now": 420.0, "stands": "replica 7m old"}  # fmt: skip


def test_a_preset_is_sent_with_its_options_and_channels(fake_runtime, cli):
    runtime = fake_runtime(sla__create=SLA, sla__set=SLA)
    given = {"preset": "queue-wait", "value": "30m", "wait": "2m", "queue": "gpu"}
    typed = ("--preset", "queue-wait", "--value", "30m", "--for", "2m", "--queue", "gpu")

    for verb in ("create", "set"):
        assert cli("sla", verb, "gpu-wait", *typed, "--notify", "ops").code == 0
        sent = {"name": "gpu-wait", **given, "notify": ["ops"]}
        assert runtime.get_last_args(f"sla.{verb}") == sent


def test_conditions_are_sent_with_channels(fake_runtime, cli):
    runtime = fake_runtime(sla__create=SLA)

    assert cli("sla", "create", "x", "--conditions", "{}", "--notify", "ops").code == 0
    assert runtime.get_last_args("sla.create") == {"name": "x", "conditions": {}, "notify": ["ops"]}
    said = cli("sla", "create", "x", "--conditions", "{}", "--preset", "queue-wait")
    assert (said.code, "exclude each other" in said.err) == (2, True)


@pytest.mark.parametrize("form", [["--preset", "restarts"], ["--conditions", '{"scope": "host"}']])
def test_a_rule_in_conditions_tells_its_channels(fake_runtime, cli, form: list[str]):
    runtime = fake_runtime(sla__create=SLA | {"words": ""}, sla__set=SLA)

    assert cli("sla", "create", "x", *form, "--notify", "ops").code == 0
    assert runtime.get_last_args("sla.create")["notify"] == ["ops"]
    assert cli("sla", "set", "x", *form, "--notify", "").code == 0
    assert runtime.get_last_args("sla.set")["notify"] == [""]


def test_an_sla_is_created_on_a_metric(fake_runtime, cli):
    runtime = fake_runtime(sla__create=ON_LAG)

    assert (
        cli(
            "sla",
            "create",
            "fresh",
            "--metric",
            "replica-lag",
            "--stays-below",
            "5m",
            "--severity",
            "critical",
        ).code
        == 0
    )
    given = {
        "name": "fresh",
        "preset": "stays-below",
        "metric": "replica-lag",
        "value": "5m",
        "severity": "critical",
    }
    assert runtime.get_last_args("sla.create") == given


def test_a_metric_sla_shows_its_limit_and_current_value(fake_runtime, cli):
    none = ON_LAG | {"now": None, "stands": "no replica"}
    quick = ON_LAG | {
        "conditions": {"preset": "stays-below", "metric": "slow-queries", "value": 20},
        "stands": "slow: 3",
    }
    fake_runtime(sla__ls=[ON_LAG, none, quick], sla__show=ON_LAG)

    rows = [line.split("  ") for line in cli("sla", "ls", "--wide").out.splitlines()[1:]]
    assert [[cell.strip() for cell in row if cell][1:3] for row in rows] == [
        ["replica-lag stays below 5m", "replica 7m old"],
        ["replica-lag stays below 5m", "no replica"],
        ["slow-queries stays below 20", "slow: 3"],
    ]  # fmt: skip
    shown = cli("sla", "show", "on-time").out
    assert (
        "condition    replica-lag stays below 5m" in shown
        and "now          replica 7m old" in shown
        and "  of " not in shown
    )


def test_each_rule_shows_its_current_state(fake_runtime, cli):
    late = SLA | {"open": {"firing": 2, "pending": 1}}
    quiet = SLA | {"silence": {"until": "2026-01-31T08:00:00.000000Z", "by": "ann", "reason": None}}
    unknown = SLA | {"state": "no data"}
    fake_runtime(sla__ls=[SLA, late, quiet, late | {"enabled": False}, unknown], sla__show=late)

    rows = cli("sla", "ls").out.splitlines()[1:]
    stands = [row.split("CRIT")[1].partition("until")[0].strip() for row in rows]
    assert stands == ["ok", "2 firing, 1 pending", "silenced", "off", "no data"]
    assert "state        2 firing, 1 pending" in cli("sla", "show", "on-time").out


DELIVERY = {"id": 1, "key": "k", "event": "firing", "target": "ops", "about": "", "attempts": 3,
            "status": "pending", "next_at": "2026-01-31T08:00:00.000000Z", "last_error": "HTTP 503",
            "log": [], **TIMESTAMPS}  # fmt: skip
LEVEL = {"value": 143.0, "limit": 100.0, "op": ">", "unit": "count", "metric": "queued tasks",
         "object": "queue media", "text": "queued tasks 143, limit 100, queue media",
         "is_below": False}  # fmt: skip


def test_sla_show_has_the_value_and_the_deliveries_of_a_rule(fake_runtime, cli):
    rule = SLA | {
        "conditions": {"scope": "queue", "when": {}},
        "words": "queue media: queued tasks over 100",
        "levels": [LEVEL, LEVEL | {"text": "longest wait 4m, limit 30m"}],
        "does": ["firing: notify ops"],
        "left_out": "has 500 alerts and leaves out 7 more: narrow its match",
        "due": {"at": DELIVERY["next_at"], "object": "#7 film", "more": 2},
        "deliveries": [DELIVERY, DELIVERY | {"status": "sent", "attempts": 1}],
    }
    fake_runtime(sla__show=rule)
    shown = cli("sla", "show", "on-time").out
    assert "now          queued tasks 143, limit 100, queue media\n" in shown
    assert "             longest wait 4m, limit 30m\n" in shown
    assert "does         firing: notify ops" in shown
    assert "left out     has 500 alerts and leaves out 7 more: narrow its match" in shown
    assert ": #7 film, then 2 more\n" in shown and "due          next " in shown
    assert "firing: ops failing, attempt 3, next" in shown and "HTTP 503" in shown
    assert shown.count("firing: ops sent\n") == 1


def test_alert_show_has_the_note_and_the_deliveries_of_an_alert(fake_runtime, cli):
    at = "2026-01-31T08:00:00.000000Z"
    alert = ALERT | {
        "acknowledged_at": at, "note": "the encoder \x1b[31m is being replaced", "rule": SLA,
        "silenced_until": None, "silenced_by": None, "silence_reason": None, "resolved_at": None,
        "deliveries": [DELIVERY],
    }  # fmt: skip
    runtime = fake_runtime(alert__show=alert)
    shown = cli("alert", "show", "4").out
    assert runtime.get_last_args("alert.show") == {"id": "4"}
    assert shown.startswith("alert 4 on-time: #7 film\n")
    assert "by ann: the encoder" in shown and "\x1b[31m" not in shown
    assert "firing: ops failing, attempt 3" in shown
    assert "silenced" not in shown
    assert cli("alert", "show").code == 2


def test_an_alert_prints_its_snapshot(fake_runtime, cli):
    taken = {
        "at": make_past_time(60),
        "queues": [{"name": "gpu\x1b", "status": "active", "current_load": 2}],
        "processes": [{"pid": 7, "name": "ffmpeg", "cpu_seconds": 0.98765, "run": None}],
    }
    sent = {**DELIVERY, "snapshot": taken}
    empty = ("acknowledged_at", "silenced_until", "silenced_by", "silence_reason", "resolved_at")
    fake_runtime(alert__show={**ALERT, **dict.fromkeys(empty), "deliveries": [sent]})

    shown = cli("alert", "show", "4").out

    assert "queue gpu" in shown and "status active, current_load 2" in shown
    assert "process ffmpeg: pid 7, cpu_seconds 0.9877\n" in shown and "\x1b" not in shown


def test_an_alert_is_acknowledged_by_id_or_sla(fake_runtime, cli):
    runtime = fake_runtime(alert__ack={"done": [ALERT], "refused": [], "notes": []})

    assert cli("alert", "ack", "on-time", "4").out == "alert 4 on-time: acked\n"
    assert runtime.get_last_args("alert.ack") == {"ids": ["on-time", "4"]}


def test_a_rule_is_silenced_and_unsilenced(fake_runtime, cli):
    row = {
        "sla": "on-time",
        "status": "silenced",
        "until": make_past_time(-3600),
        "reason": "backups",
        "alerts": 1,
    }
    none = {"refused": [], "notes": []}
    heard = {"done": [{**row, "status": "heard", "until": None}], **none}
    runtime = fake_runtime(
        alert__silence={"done": [row], **none},
        alert__unack={"done": [ALERT], **none},
        alert__unsilence=heard,
    )

    said = cli("alert", "silence", "on-time", "--until", "2096-01-31T08:00Z", "--reason", "backups")
    assert said.out.startswith("rule on-time: silenced until ")
    assert runtime.get_last_args("alert.silence") == {
        "ids": ["on-time"],
        "until": "2096-01-31T08:00:00+00:00",
        "reason": "backups",
    }
    assert cli("alert", "unsilence", "on-time").out == "rule on-time: not silenced\n"
    assert cli("alert", "unack", "4").out == "alert 4 on-time: acked\n"
    for words in (("silence", "on-time"), ("silence", "--until", "8h"), ("unsilence",), ("unack",)):
        assert cli("alert", *words).code == 2
    assert (
        cli("alert", "silence", "on-time").err
        == "taskdeck: silence on-time until when? Add: --until 8h\n"
    )
    assert cli("alert", "silence", "--until", "8h").err.startswith(
        "taskdeck: silence which rule? Example: "
    )


def test_channels_of_an_unreadable_file_are_not_called_missing(fake_runtime, cli):
    fake_runtime(notify__ls={"channels": [], "deliveries": []})
    assert "there are no channels yet" in cli("notify", "ls").err
    path = Path(get_config_path())
    path.parent.mkdir(parents=True)
    path.write_text("[channels")

    assert cli("notify", "ls").err.endswith("no channels: config.toml cannot be read\n")


def test_failures_of_hooks_have_a_table_of_their_own(fake_runtime, cli):
    row = {
        "event": "end", "about": "#3 etl", "status": "given_up", "attempts": 1, "next_at": None,
        "last_error": "/bin/false ended with 1", "created_at": "2026-11-25T10:00:00.000000Z",
    }  # fmt: skip
    hook, mail = row | {"target": "hook tell"}, row | {"target": "ops"}
    fake_runtime(notify__ls={"channels": [], "deliveries": [hook, mail, hook]})

    said = cli("notify", "ls")

    assert said.err == ""
    messages, hooks = said.out.split("\n\n")
    assert " TO " in messages and " ops " in messages and "tell" not in messages
    assert " HOOK " in hooks and hooks.count(" tell ") == 2 and "ops" not in hooks


def test_set_changes_only_given_sla_values(fake_runtime, cli):
    runtime = fake_runtime(sla__set=SLA)

    cli("sla", "set", "on-time", "--starts-within", "1h", "--off", "--tag", "env=prod")
    limit = {"preset": "starts-within", "value": 3600}
    assert runtime.get_last_args("sla.set") == {
        "name": "on-time",
        **limit,
        "enabled": False,
        "tag": {"env": "prod"},
    }
    assert cli("sla", "set", "on-time", "--severity", "critical").out == (
        "rule on-time changed: severity critical\n"
    )
    off = cli("sla", "set", "on-time", "--off", "--notify", "", "--value", "45m").out
    assert off == "rule on-time changed: turned off, nobody is notified, finishes within 45m\n"
    cli("sla", "set", "on-time", "--metric", "wal-size", "--stays-below", "64M")
    assert runtime.get_last_args("sla.set") == {
        "name": "on-time",
        "preset": "stays-below",
        "metric": "wal-size",
        "value": "64M",
    }
    two = (
        ("--starts-within", "1h", "--finishes-within", "1h"),
        ("--starts-within", "1h", "--stays-below", "1"),
    )
    for words in ((), ("--on", "--off"), *two):
        assert cli("sla", "set", "on-time", *words).code == 2


CHANGES = {"changes": [
    {"kind": "queue", "name": "media", "change": "update", "fields": {"capacity": [2, 4]}},
    {"kind": "template", "name": "encode", "change": "create",
    "fields": {"engine": [None, "shell"]}},
    {"kind": "pool", "name": "gpu", "change": "same", "fields": {}},
]}  # fmt: skip


def test_apply_lists_its_changes(fake_runtime, cli, tmp_path):
    (tmp_path / "deck.toml").write_text("[queues.a]\ncapacity = 1\n")
    runtime = fake_runtime(apply=CHANGES)

    said = cli("apply", "-f", str(tmp_path / "deck.toml"))

    assert said == (0, "update queue media: capacity 2 → 4\ncreate template encode\n", "")
    tables = {"queues": {"a": {"capacity": 1}}}
    assert runtime.get_last_args("apply") == {"tables": tables, "dry_run": False}


def test_apply_tells_which_settings_the_file_leaves_out(fake_runtime, cli, tmp_path):
    fields = {"pool": ["gpu", "default"], "open": [None, "22:00-06:00"], "capacity": [8, 2]}
    change = {"kind": "queue", "name": "a", "change": "update", "fields": fields}
    fake_runtime(apply={"changes": [change]})
    (tmp_path / "deck.toml").write_text('[queues.a]\nopen = "22:00-06:00"\n')

    said = cli("apply", "--dry-run", "-f", str(tmp_path / "deck.toml"))

    assert "pool gpu → default, open null → 22:00-06:00, capacity 8 → 2" in said.out
    assert "queue a: the file leaves out pool, capacity, which get their default." in said.err


def test_yaml_is_recognized_by_file_name_or_option(fake_runtime, cli, tmp_path):
    (tmp_path / "deck.yml").write_text("queues: {a: {}}\n")
    runtime = fake_runtime(apply={"changes": []})

    cli("apply", "--dry-run", "-f", str(tmp_path / "deck.yml"))
    assert runtime.get_last_args("apply") == {"tables": {"queues": {"a": {}}}, "dry_run": True}
    cli("apply", "-f", "-", "--format", "yaml", feed=b"queues: {b: {}}\n")
    assert runtime.get_last_args("apply")["tables"] == {"queues": {"b": {}}}


def test_an_invalid_file_is_refused_before_any_request(fake_runtime, cli, tmp_path):
    (tmp_path / "latin").write_bytes(b"\xff")
    runtime = fake_runtime()
    date = b'[templates.a]\nengine = "shell"\n[templates.a.schema]\nscript = 2026-01-01\n'

    assert "line 2" in cli("apply", "-f", "-", feed=b"[queues.a]\ncapacity = \n").err
    assert "64 levels" in cli("apply", "-f", "-", feed=b"a" + b".a" * 40_000 + b"=1").err
    assert "Nearest: capacity" in cli("apply", "-f", "-", feed=b"[queues.a]\ncapacty = 1\n").err
    assert "Put dates and times in quotes" in cli("apply", "-f", "-", feed=date).err
    assert cli("apply", "-f", "no-such-file").code == 3
    assert "is not UTF-8 text" in cli("apply", "-f", str(tmp_path / "latin")).err
    assert "is a directory" in cli("apply", "-f", str(tmp_path)).err
    assert runtime.asked == []


def test_export_prints_only_the_text(fake_runtime, cli):
    runtime = fake_runtime(export="[queues.media]\ncapacity = 2\n")

    assert cli("export") == (0, "[queues.media]\ncapacity = 2\n", "")
    cli("export", "--format", "yaml")
    assert runtime.get_last_args("export") == {"format": "yaml"}


SILENCE = {"id": "s3", "sla": None, "matchers": {"queue": ["gpu*"]}, "words": "queue gpu*",
           "by": "ann", "reason": "disk \x1b[31mmove", "until": make_past_time(-7260), "alerts": 2,
           **TIMESTAMPS}  # fmt: skip


def test_alerts_that_match_are_silenced(fake_runtime, cli):
    runtime = fake_runtime(alert__silence={"done": [SILENCE], "refused": [], "notes": ["no more"]})

    said = cli("alert", "silence", "--queue", "gpu*", "--queue", "etl", "--severity", "warning",
               "--until", "2096-01-31T08:00Z", "--note", "disk move")  # fmt: skip

    assert runtime.get_last_args("alert.silence") == {
        "match": {"severity": ["warning"], "queue": ["gpu*", "etl"]},
        "until": "2096-01-31T08:00:00+00:00",
        "reason": "disk move",
    }
    assert said.out.startswith("silence s3, queue gpu*: silenced until ")
    assert said.out.endswith(", 2 alerts now\n") and "no more" in said.err
    cli("alert", "silence", "--rule", "a", "--tag", "env=dev", "--for", "2h")
    assert runtime.get_last_args("alert.silence")["match"] == {"rule": ["a"], "tag": ["env=dev"]}


def test_a_wrong_matcher_names_its_option(fake_runtime, cli):
    fake_runtime(alert__silence=Usage("tag must be NAME=VALUE."))

    said = cli("alert", "silence", "--tag", "env", "--for", "2h")

    assert said.err == "taskdeck: --tag must be NAME=VALUE.\n"


def test_a_message_that_waits_says_until_when(fake_runtime, cli):
    row = {"created_at": make_past_time(60), "target": "ops", "event": "firing", "about": "late",
           "status": "pending", "attempts": 0, "last_error": None}  # fmt: skip
    times = (make_past_time(-7260), make_past_time(5), None)
    deliveries = [row | {"next_at": at} for at in times]
    fake_runtime(notify__ls={"channels": [], "deliveries": deliveries})

    shown = [line for line in cli("notify", "ls").out.splitlines() if "firing" in line]

    assert ["(in 2h" in line for line in shown] == [True, False, False]


def test_a_wrong_silence_says_what_to_type(fake_runtime, cli):
    fake_runtime()
    for words, says in (
        (("--rule", "a"), "until when? Add: --until 8h"),
        (("b", "--rule", "a", "--for", "2h"), "not both"),
        (("--rule", "a", "--for", "2h", "--until", "3h"), "--for and --until say the same"),
        (("--rule", "a", "--for", "tomorrow"), "--for"),
    ):
        said = cli("alert", "silence", *words)
        assert said.code == 2 and says in said.err, words


def test_check_ins_are_listed_with_the_rules_that_watch_them(fake_runtime, cli):
    row = {"at": make_past_time(180), "by": "bob", "note": "ok\x1b[31m"}
    fake_runtime(sla__checkins=[row | {"name": "dump", "rules": ["late", "old"]},
                              row | {"name": "dmup", "rules": [], "note": None}])  # fmt: skip

    head, first, second = cli("sla", "checkins").out.splitlines()

    assert head.split() == ["NAME", "LAST", "BY", "WATCHED", "BY", "NOTE"]
    assert first.split()[:6] == ["dump", "3m", "ago", "bob", "late,", "old"]
    assert "\x1b[31m" not in first and second.endswith("no rule")
    assert cli("sla", "checkins", "-o", "name").out == "dump\ndmup\n"
    assert "List: taskdeck sla checkins" in cli("checkin").err


@pytest.mark.parametrize(
    "words",
    [
        ("sla", "create", "x", "--conditions", '{"match": {"task": "a", "task": "b"}}'),
        ("template", "create", "x", "--parameters", '{"task": 1, "task": 2}', "--", "true"),
        ("submit", "x", "-p", 'y:={"task": 1, "task": 2}'),
    ],
)
def test_a_key_that_json_has_twice_is_refused(fake_runtime, cli, words):
    fake_runtime()

    said = cli(*words)

    assert said.code == 2 and '"task" appears twice in one object.' in said.err


def test_the_schema_of_conditions_is_indented(cli):
    said = cli("sla", "schema").out

    assert said.startswith("{\n  ") and json.loads(said)["$defs"]


def test_silences_are_listed_with_the_time_left(fake_runtime, cli):
    fake_runtime(alert__silences=[SILENCE])

    head, row = cli("alert", "silences").out.splitlines()

    assert head.split() == ["ID", "SILENCED", "ALERTS", "UNTIL", "BY", "NOTE"]
    assert row.startswith("s3  queue gpu*  ") and "(in 2h" in row and " ann " in row
    assert "\x1b[31m" not in row
    assert cli("alert", "silences", "-o", "name").out == "s3\n"
