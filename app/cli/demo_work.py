"""What the demo does all day: its definitions, and an endless stream of submissions that a seed makes the same each
time."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
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
description = "one thing after another"

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
cpu = 0.5
memory = "96M"
timeout = "40s"
description = "compress blocks of noise"
schema.argv = ["python3", "-c", '''
import os, sys, time, zlib
blocks = int(sys.argv[2])
for n in range(blocks):
    small = sum(len(zlib.compress(os.urandom(30000) + bytes(70000))) for _ in range(3))
    print(f"\x1b[36m{sys.argv[1]}\x1b[0m block {n + 1} of {blocks}, {small / 3000:.1f}% left", flush=True)
    time.sleep(0.2)
''', "{{ file }}", "{{ blocks }}"]
[templates.compress.parameters]
type = "object"
required = ["file"]
properties.file = { type = "string", description = "what to compress" }
properties.blocks = { type = "integer", minimum = 1, maximum = 200, default = 20 }

[templates.hash]
engine = "exec"
cpu = 0.5
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
cpu = 0.25
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
description = "works at the third attempt at the latest"
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
actions = { severity = "critical" }
"""

FILES = ("holiday", "concert", "lecture", "interview", "trailer", "夜间备份", "crossing", "harbour")


def opening() -> list[Spec]:
    """What is there when the deck opens: something in every pane, and in every state soon."""
    return [
        *(_compress(f"{name}.mkv", 30 + 5 * at) for at, name in enumerate(FILES[:5])),
        _hang("crawl shop-a", "1.5s"),
        _fails("thumbs S02"),
        {"argv": ["sleep", "0.3"], "name": "ping gateway", "cpu": 0.1},
        _fetch("fetch rates", 3),
        _load("nightly-etl", 30),
        {"argv": ["true"], "name": "etl-report", "queue": "etl", "cpu": 0.1, "after": ["nightly-etl"]},
        {"argv": ["sleep", "5"], "name": "vacuum archive", "queue": "backup", "cpu": 0.1, "at": "3m"},
        {"argv": ["sleep", "20"], "name": "reindex (ask ann first)", "queue": "backup", "cpu": 0.1, "hold": True},
        {"argv": ["sleep", "60"], "name": "resnet50-sweep-01", "cpu": 2, "memory": "400M", "timeout": "70s"},
    ]


def stream(random: Random) -> Iterator[tuple[float, Spec]]:
    """Endless (seconds to rest before it, submission)."""
    number = 1
    while True:
        number += 1
        yield random.uniform(0.2, 1.1), _one(random, number)


def _one(random: Random, number: int) -> Spec:
    kind = random.choices(("hash", "quick", "compress", "load", "fetch", "fails", "hang"), (30, 30, 12, 8, 8, 8, 4))[0]
    makers = {
        "hash": lambda: {
            "template": "hash",
            "name": f"sha256 photos {number:03}",
            "parameters": {"rounds": random.randint(2, 14)},
        },
        "quick": lambda: {
            "argv": ["sleep", f"{random.uniform(0.05, 0.6):.2f}"],
            "name": f"ping host-{number:03}",
            "cpu": 0.1,
        },
        "compress": lambda: _compress(f"{random.choice(FILES)} {number:03}.mkv", random.randint(5, 30)),
        "load": lambda: _load(f"hourly-etl {number:03}", random.randint(4, 20)),
        "fetch": lambda: _fetch(f"fetch rates {number:03}", random.randint(1, 4)),
        "fails": lambda: _fails(f"thumbs {number:03}"),
        "hang": lambda: _hang(f"crawl shop-{number:03}", "2s"),
    }
    return {**makers[kind](), "priority": random.choice((0, 0, 0, 5)), "tags": {"demo": kind}}


def _compress(name: str, blocks: int) -> Spec:
    return {"template": "compress", "name": f"encode {name}", "parameters": {"file": name, "blocks": blocks}}


def _load(name: str, steps: int) -> Spec:
    return {"template": "load", "name": name, "parameters": {"steps": steps}}


def _fetch(name: str, works_at: int) -> Spec:
    return {"template": "fetch", "name": name, "parameters": {"works_at": works_at}, "retry_delay": "1s"}


def _fails(name: str) -> Spec:
    script = 'echo "reading /srv/in"; sleep 0.2; echo "No such file: /srv/in/S02E09.mkv" >&2; exit 1'
    return {"script": script, "name": name, "cpu": 0.1, "queue": "default"}


def _hang(name: str, limit: str) -> Spec:
    return {
        "script": "echo waiting for an answer; exec sleep 3600",
        "name": name,
        "cpu": 0.1,
        "timeout": limit,
        "grace": "1s",
    }
