"""Bad inputs that the record gives to every face: typing errors, wrong values, torn requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COMMAND_LINES = Path(__file__).with_name("bad_commands.txt").read_text("utf-8").splitlines()
"""Command lines with a fault, one a line."""

SETTINGS = (
    "nosuch = 1",
    "autostart = 1",
    "theme = 'pink'",
    "glyphs = 'none'",
    "mouse = true",
    "language = 'xx'",
    "[",
    "a = 1\na = 2",
    "[keys]\n'task.nosuch' = 'c'",
    "[keys]\n'task.cancel' = 'nosuchkey'",
    "[keys.commands.x]\nkey = 'L'",
    "[keys.commands.x]\nkey = 'L'\nargv = 'less'",
    "[channels.ops]",
    "[channels.ops]\nurl = 'nosuch://x'",
    "[channels.ops]\nwebhook = 'ftp://x'",
    "[channels.'bad name']\nurl = 'ntfy://x'",
    "[notifications]\nproblems = 'nosuch'",
    "[notifications]\nnosuch = 1",
    "[actions]\nallow_private = ['x']",
    "[hooks.x]\non = ['never']\nargv = ['true']",
    "[hooks.x]\non = ['end']",
    "[hooks.x]\non = ['end']\nargv = ['true']\ntimeout = '1h'",
    "[backup]\nkeep = 'x'",
    "[backup]\nnosuch = 1",
    "[backup]\nfolder = 5",
    "[retention]\nage = '-1d'",
    "[retention]\nnosuch = '1d'",
    "[retention.queues.media]\nage = 'x'",
    "[slow]\nthreshold = 'x'",
    "[http]\nlisten = 'x'",
    "[http]\nlisten = '0.0.0.0:80'",
    "[mcp.clients.a]\ncpu = -1",
    "[mcp.clients.a]\nnosuch = 1",
    "[mcp.defaults]\ntasks = 'x'",
    "[slurm]\nspool = 'relative'",
)
"""Contents of config.toml with a fault; `doctor` and `notify ls` are asked about each."""

SOCKET_LINES: tuple[bytes, ...] = (
    b"\n",
    b"{\n",
    b'{"verb": "ls"\n',
    b"[]\n",
    b"5\n",
    b'"ls"\n',
    b"\xff\xfe\n",
    b"[" * 100_000 + b"\n",
    b"{}\n",
    b'{"verb": 5}\n',
    b'{"verb": "nosuch"}\n',
    b'{"verb": "queue.lss"}\n',
    b'{"verb": "ls", "args": 5}\n',
    b'{"verb": "ls", "args": []}\n',
    b'{"verb": "ls", "args": {"nosuch": 1}}\n',
    b'{"verb": "show", "args": {}}\n',
    b'{"verb": "show", "args": {"id": "a\\u0000b"}}\n',
    b'{"verb": "show", "args": {"id": "\\ud800"}}\n',
    b'{"verb": "show", "args": {"id": 1e400}}\n',
    b'{"verb": "queue.ls", "from": 5}\n',
    b'{"verb": "queue.show", "args": {"name": "media"}, "from": {"language": "xx"}}\n',
)
"""Lines sent to the control socket, each over a connection of its own."""

HTTP_REQUESTS: tuple[tuple[str, str], ...] = (
    ("GET", "/"),
    ("GET", "/api/v1"),
    ("GET", "/api/v1/nosuch"),
    ("GET", "/api/v2/tasks"),
    ("POST", "/api/v1/tasks"),
    ("DELETE", "/api/v1/tasks/1"),
    ("HEAD", "/api/v1/status"),
    ("OPTIONS", "/api/v1/tasks"),
    ("GET", "/api/v1/tasks/"),
    ("GET", "/api/v1/tasks/0"),
    ("GET", "/api/v1/tasks/x"),
    ("GET", "/api/v1/tasks/999999"),
    ("GET", "/api/v1/tasks/99999999999999999999"),
    ("GET", "/api/v1/tasks?limit=0"),
    ("GET", "/api/v1/tasks?limit=x"),
    ("GET", "/api/v1/tasks?limit=1001"),
    ("GET", "/api/v1/tasks?nosuch=1"),
    ("GET", "/api/v1/tasks?status=nosuch"),
    ("GET", "/api/v1/tasks?order=nosuch"),
    ("GET", "/api/v1/tasks?direction=up"),
    ("GET", "/api/v1/tasks?filter=status%3A"),
    ("GET", "/api/v1/tasks?after=x"),
    ("GET", "/api/v1/tasks?tag=x"),
    ("GET", "/api/v1/tasks?limit=1&limit=2"),
    ("GET", "/api/v1/tasks?queue=%ff"),
    ("GET", "/api/v1/tasks/1/log?offset=x"),
    ("GET", "/api/v1/tasks/1/log?attempt=9"),
    ("GET", "/api/v1/tasks/1/log?format=xml"),
    ("GET", "/api/v1/queues/nosuch"),
    ("GET", "/api/v1/groups/g99"),
    ("GET", "/api/v1/alerts?all=maybe"),
    ("GET", "/api/v1/tasks/%2e%2e"),
)
"""Requests with a fault."""

TOOL_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("nosuch", {}),
    ("submit", {}),
    ("submit", {"argv": []}),
    ("submit", {"argv": "true"}),
    ("submit", {"argv": ["true"], "nosuch": 1}),
    ("submit", {"argv": ["true"], "cpu": -1}),
    ("submit", {"argv": ["true"], "cpu": 100}),
    ("submit", {"argv": ["true"], "memory": "x"}),
    ("submit", {"argv": ["true"], "queue": "media"}),
    ("submit", {"argv": ["true"], "tags": {"client": "b"}}),
    ("submit", {"argv": ["true"], "timeout": "x"}),
    ("wait", {}),
    ("wait", {"numbers": ["x"]}),
    ("wait", {"numbers": [999999], "seconds": 0}),
    ("logs", {"number": 1}),
    ("logs", {"number": 999999}),
    ("list", {"status": "nosuch"}),
    ("cancel", {"numbers": [1]}),
    ("cancel", {"numbers": [999999]}),
    ("show", {"number": "x"}),
    ("why", {"number": 999999}),
)
"""Calls of tools with a fault."""

WRONG_VALUES: tuple[Any, ...] = ({"x": [1]}, "no such\x00\u202e", -1)
"""Values that each argument of each verb gets in turn."""
