"""Tests of recognizing Taskdeck's processes by their command lines."""

from __future__ import annotations

import pytest

from app.health.procfs import parse_command_line


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("python3.11|-P|-m|app|--home|/a b|serve|--ready-fd|3", ("runtime", "/a b")),
        ("/v/bin/python|/v/bin/taskdeck|--home|/x|serve|--replace", ("runtime", "/x")),
        ("/v/bin/python3|/v/bin/taskdeck|serve|--home=/x", ("runtime", "/x")),
        ("/v/bin/python3|/v/bin/taskdeck|serve", ("runtime", "")),
        ("/usr/bin/python3|-I|-S|/v/lib/app/keeper/keeper.py|/x", ("keeper", "/x")),
        ("/v/bin/python3|/v/bin/taskdeck|serve|--detach", None),
        ("/v/bin/python3|/v/bin/taskdeck|submit|--|echo|x", None),
        ("grep|taskdeck|serve", None),
        ("vim|keeper.py", None),
        ("", None),
    ],
)
def test_a_command_line_is_a_runtimes_a_keepers_or_foreign(line: str, kind: tuple[str, str] | None):
    assert parse_command_line(line.split("|") if line else []) == kind
