"""Demo workload: definitions and an endless stream of submissions, reproducible by seed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random
    from typing import Any

    Spec = dict[str, Any]

DEFINITIONS = r"""
[pools.demo]
total_cpu = 2
total_memory = "512M"

[queues.media]
pool = "demo"
capacity = 2
priority = 10
description = "compressing"

[queues.etl]
pool = "demo"
capacity = 2
priority = 5
description = "extract, transform, load"

[queues.default]
pool = "demo"
capacity = 4

[queues.backup]
pool = "demo"
capacity = 1
priority = -5

[templates.compress]
engine = "exec"
queue = "media"
cpu = 0.25
memory = "96M"
timeout = "40s"
description = "compress blocks of noise"
schema.argv = ["python3", "-c", '''
import os, sys, time, zlib
blocks = int(sys.argv[2])
for n in range(blocks):
    small = sum(len(zlib.compress(os.urandom(30000) + bytes(70000))) for _ in range(3))
    print(f"\x1b[36m{sys.argv[1]}\x1b[0m block {n + 1} of {blocks}, {small / 3000:.1f}% left",
          flush=True)
    time.sleep(0.2)
''', "{{ file }}", "{{ blocks }}"]
[templates.compress.parameters]
type = "object"
required = ["file"]
properties.file = { type = "string", description = "what to compress" }
properties.blocks = { type = "integer", minimum = 1, maximum = 200, default = 20 }

[templates.hash]
engine = "exec"
cpu = 0.2
memory = "64M"
timeout = "20s"
description = "hash some noise"
schema.argv = ["python3", "-c", '''
import hashlib, os, sys, time
total = hashlib.sha256()
for n in range(int(sys.argv[1])):
    for _ in range(20):
        total.update(os.urandom(65536))
    print(f"{n + 1:>3} {total.hexdigest()[:32]}", end="\r", flush=True)
    time.sleep(0.15)
print(total.hexdigest())
''', "{{ rounds }}"]
[templates.hash.parameters]
type = "object"
properties.rounds = { type = "integer", minimum = 1, maximum = 200, default = 10 }

[templates.load]
engine = "shell"
queue = "etl"
cpu = 0.1
memory = "32M"
timeout = "30s"
description = "load rows, a thousand at a time"
schema.script = '''
i=0
while [ $i -lt "$PARAM_steps" ]; do
    i=$((i + 1))
    echo "loaded ${i}000 of ${PARAM_steps}000 rows"
    sleep 0.25
done'''
[templates.load.parameters]
type = "object"
properties.steps = { type = "integer", minimum = 1, maximum = 100, default = 12 }

[templates.fetch]
engine = "shell"
cpu = 0.1
timeout = "10s"
retries = 2
description = "succeed on the third attempt at the latest"
schema.script = '''
sleep 0.4
if [ "$TASKDECK_ATTEMPT" -lt "$PARAM_works_at" ]; then echo "connection refused" >&2; exit 75; fi
echo "200 OK"'''
[templates.fetch.parameters]
type = "object"
properties.works_at = { type = "integer", minimum = 1, maximum = 9, default = 2 }

[slas.starts-at-once]
conditions = { preset = "starts-within", value = "1s", match = { queue = "media" } }

[slas.load-on-time]
conditions = { preset = "finishes-within", value = "4s", match = { template = "load" } }
severity = "critical"
"""

SCHEDULES: tuple[Spec, ...] = (
    {
        "name": "poll-rates",
        "every": "20s",
        "template": "fetch",
        "parameters": {"works_at": 1},
        "description": "asks a service for its rates",
    },
    {
        "name": "nightly-load",
        "cron": "0 2 * * *",
        "template": "load",
        "parameters": {"steps": 20},
        "missed_within": "6h",
    },
    {
        "name": "report",
        "rrule": "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=8;BYMINUTE=30;BYSECOND=0",
        "script": "echo the report of the month; sleep 2",
        "jitter": "5m",
        "description": "on the last Friday of the month",
    },
)
"""Schedules as `schedule.create` takes them."""

FILES = ("holiday", "concert", "lecture", "interview", "trailer", "夜间备份", "crossing", "harbour")


def make_opening_tasks() -> list[Spec]:
    """Return the first tasks: something in every pane and soon in every state."""
    return [
        *(_make_compress(f"{name}.mkv", 30 + 5 * at) for at, name in enumerate(FILES[:5])),
        _make_hanging("crawl shop-a", "1.5s"),
        _make_failing("thumbs S02"),
        _make_ping("ping gateway", 0.3),
        _make_fetch("fetch rates", 3),
        _make_load("nightly-etl", 30),
        {
            "argv": ["true"],
            "name": "etl-report",
            "queue": "etl",
            "cpu": 0.1,
            "after": ["nightly-etl"],
        },
        {
            "argv": ["sleep", "5"],
            "name": "vacuum archive",
            "queue": "backup",
            "cpu": 0.1,
            "at": "3m",
        },
        {
            "argv": ["sleep", "20"],
            "name": "reindex (ask ann first)",
            "queue": "backup",
            "cpu": 0.1,
            "hold": True,
        },
        _make_sweep("resnet50-sweep-01", 25),
    ]


def generate_stream(random: Random) -> Iterator[tuple[float, Spec]]:
    """Yield pairs of seconds to wait and submission, endlessly."""
    number = 1
    while True:
        number += 1
        yield random.uniform(0.2, 1.1), _make_random_task(random, number)


def _make_random_task(random: Random, number: int) -> Spec:
    kind = random.choices(list(_MAKERS), _WEIGHTS)[0]
    return {
        **_MAKERS[kind](random, number),
        "priority": random.choice((0, 0, 0, 5)),
        "tags": {"demo": kind},
    }


def _make_compress(name: str, blocks: int) -> Spec:
    return {
        "template": "compress",
        "name": f"encode {name}",
        "parameters": {"file": name, "blocks": blocks},
    }


def _make_load(name: str, steps: int) -> Spec:
    return {"template": "load", "name": name, "parameters": {"steps": steps}}


def _make_fetch(name: str, works_at: int) -> Spec:
    return {
        "template": "fetch",
        "name": name,
        "parameters": {"works_at": works_at},
        "retry_delay": "1s",
    }


def _make_failing(name: str) -> Spec:
    script = (
        'echo "reading /srv/in"; sleep 0.2; echo "No such file: /srv/in/S02E09.mkv" >&2; exit 1'
    )
    return {"script": script, "name": name, "cpu": 0.1, "queue": "default"}


def _make_hanging(name: str, limit: str) -> Spec:
    return {
        "script": "echo waiting for an answer; exec sleep 3600",
        "name": name,
        "cpu": 0.1,
        "timeout": limit,
        "grace": "1s",
    }


def _make_sweep(name: str, seconds: int) -> Spec:
    limit = f"{seconds + 15}s"
    return {
        "argv": ["sleep", str(seconds)],
        "name": name,
        "cpu": 1.2,
        "memory": "300M",
        "timeout": limit,
    }


def _make_hash(name: str, rounds: int) -> Spec:
    return {"template": "hash", "name": name, "parameters": {"rounds": rounds}}


def _make_ping(name: str, seconds: float) -> Spec:
    return {"argv": ["sleep", f"{seconds:.2f}"], "name": name, "cpu": 0.05}


_MAKERS: dict[str, Callable[[Random, int], Spec]] = {
    "hash": lambda random, n: _make_hash(f"sha256 photos {n:03}", random.randint(4, 24)),
    "ping": lambda random, n: _make_ping(f"ping host-{n:03}", random.uniform(0.05, 0.6)),
    "compress": lambda random, n: _make_compress(
        f"{random.choice(FILES)} {n:03}.mkv", random.randint(10, 40)
    ),
    "load": lambda random, n: _make_load(f"hourly-etl {n:03}", random.randint(4, 24)),
    "fetch": lambda random, n: _make_fetch(f"fetch rates {n:03}", random.randint(1, 4)),
    "fails": lambda random, n: _make_failing(f"thumbs {n:03}"),
    "hang": lambda random, n: _make_hanging(f"crawl shop-{n:03}", "2s"),
    "sweep": lambda random, n: _make_sweep(f"resnet50-sweep-{n:03}", random.randint(10, 25)),
}
_WEIGHTS = (27, 25, 20, 8, 8, 7, 4, 1)
