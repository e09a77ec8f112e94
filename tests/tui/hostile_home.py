"""A home in which everything that comes from outside is hostile, with a runtime that serves it."""

from __future__ import annotations

from tests.acceptance.hostile_text import EVERYTHING, MARKUP
from tests.runtime_process import Living

NAME = "[|red] [bold]夜间 {0} %s é" + "\u0301" * 20 + " 👍🏽❤️🇩🇪 שלום 한글 ☁︎"
"""As hostile as a name may be: printable, and without a slash."""
LONG = "x" * 200
"""A name without a blank, as long as names may be."""
WRITES = "printf '%s\\n%s\\r%s' \"$1\" 50% 100%; "


def fill(home: Living) -> None:
    """Queues, a template, a rule and tasks: running, waiting for one another, failed, and one that cannot start."""
    home.call("queue.create", name=NAME, capacity=1)
    home.call("pool.create", name=LONG, cpu=1.0, memory=100.0)
    home.call("queue.create", name=LONG, capacity=1, pool=LONG, description=EVERYTHING)
    home.call("sla.create", name=NAME, preset="finishes-within", value="0.1s", severity="critical")
    parameters = {"properties": {"word": {"type": "string", "description": EVERYTHING, "default": EVERYTHING}}}
    schema = {"script": f"echo '{EVERYTHING}'"}
    home.call("template.create", name=NAME, engine="shell", schema=schema, parameters=parameters, description=EVERYTHING)
    tags = {"k[red]": EVERYTHING, LONG[:60]: MARKUP}
    first = home.submit("sh", "-c", WRITES + "sleep 600", "sh", EVERYTHING, name=NAME, queue=NAME, tags=tags)
    home.submit("echo", EVERYTHING, name=LONG, queue=NAME, after=[first], tags=tags)
    home.submit("echo", EVERYTHING, name=NAME, queue=LONG, hold=True, memory="64M")
    failed = home.submit("sh", "-c", WRITES + "exit 3", "sh", EVERYTHING, name=NAME)
    unfit = home.submit("no such program " + EVERYTHING)
    home.ended(failed, unfit)
    home.reach(first, "running")
