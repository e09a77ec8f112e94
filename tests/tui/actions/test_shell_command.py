"""Shell commands that submit a task again."""

from __future__ import annotations

import pytest

from app.tui.actions import shell_command
from tests.tui.fake_runtime import make_task_row


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retries": 2, "retry_delay": 10.0}, "--retries 2 --retry-delay 10s"),
        ({"grace": 90.0}, "--grace 90s"),
        ({"log_limit": 4096.0}, "--log-limit 4G"),
        (
            {
                "parents": [
                    {"number": 3, "name": "a", "status": "succeeded", "kind": "success"},
                    {"number": 4, "name": "b", "status": "failed", "kind": "any"},
                    {"number": 5, "name": "c", "status": "failed", "kind": "failure"},
                    {"number": 6, "name": "d", "status": "running", "kind": "start"},
                ]
            },
            "--after 3 --after-any 4 --after-failure 5 --after-start 6",
        ),
    ],
)
def test_the_command_that_submits_again_has_all_settings(
    changes: dict[str, object], words: str
) -> None:
    plain = shell_command.build_repeat_words(make_task_row(retries=0, grace=5.0, parents=[]))
    changed = shell_command.build_repeat_words(
        make_task_row(**{"retries": 0, "grace": 5.0, "parents": [], **changes})
    )

    assert words in shell_command.quote_words(changed)
    assert set(plain) <= set(changed)
