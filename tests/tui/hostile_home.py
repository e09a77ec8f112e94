"""A home with hostile text in everything that comes from outside, served by a real runtime."""

from __future__ import annotations

from tests.acceptance.hostile_text import ALL_TEXT, MARKUP
from tests.runtime_process import RuntimeProcess

NAME = "[|red] [bold]夜间 {0} %s é" + "\u0301" * 20 + " 👍🏽❤️🇩🇪 שלום 한글 ☁︎"
"""A name as hostile as allowed: printable and without a slash."""
LONG_NAME = "x" * 200
"""A name of maximum length, without a blank."""
PRINT_HOSTILE = "printf '%s\\n%s\\r%s' \"$1\" 50% 100%; "


def fill_home(home: RuntimeProcess) -> None:
    """Create queues, a pool, a template, a rule and tasks.

    The tasks run, wait for each other, have failed, or cannot start.
    """
    home.call("queue.create", name=NAME, capacity=1)
    home.call("pool.create", name=LONG_NAME, cpu=1.0, memory=100.0)
    home.call("queue.create", name=LONG_NAME, capacity=1, pool=LONG_NAME, description=ALL_TEXT)
    home.call("sla.create", name=NAME, preset="finishes-within", value="0.1s", severity="critical")
    parameters = {
        "properties": {"word": {"type": "string", "description": ALL_TEXT, "default": ALL_TEXT}}
    }
    schema = {"script": f"echo '{ALL_TEXT}'"}
    home.call(
        "template.create",
        name=NAME,
        engine="shell",
        schema=schema,
        parameters=parameters,
        description=ALL_TEXT,
    )
    tags = {"k[red]": ALL_TEXT, LONG_NAME[:60]: MARKUP}
    first = home.submit(
        "sh", "-c", PRINT_HOSTILE + "sleep 600", "sh", ALL_TEXT, name=NAME, queue=NAME, tags=tags
    )
    home.submit("echo", ALL_TEXT, name=LONG_NAME, queue=NAME, after=[first], tags=tags)
    home.submit("echo", ALL_TEXT, name=NAME, queue=LONG_NAME, hold=True, memory="64M")
    failed = home.submit("sh", "-c", PRINT_HOSTILE + "exit 3", "sh", ALL_TEXT, name=NAME)
    unfit = home.submit("no such program " + ALL_TEXT)
    home.wait_for_end(failed, unfit)
    home.wait_for_status(first, "running")
