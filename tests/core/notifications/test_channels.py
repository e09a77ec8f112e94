"""Tests of the settings of notifications."""

from __future__ import annotations

import tomllib

import pytest

from app.core.notifications.channels import (
    NotificationSettings,
    explain_missing,
    mask_secrets,
    parse_notifications,
    resolve_references,
)


def parse(text: str) -> tuple[NotificationSettings, list[str]]:
    settings, faults = parse_notifications(tomllib.loads(text))
    return settings, [f"{one.message} {one.advice}".strip() for one in faults]


def test_channels_and_limits_are_read():
    settings, faults = parse(
        """
        [channels.ops]
        urls = ["mailto://u:{env:MAIL}@example.com", "slack://{file:/etc/slack}"]
        [channels.hook]
        webhook = "https://example.com/x"
        secret = "{env:HOOK}"
        [notifications]
        default = "ops"
        on = "ended"
        problems = "hook"
        [actions]
        command = true
        allow_private = ["10.1.0.0/16", "127.0.0.1"]
        """
    )

    assert faults == []
    assert settings.channels["ops"].kinds == ["mailto", "slack"]
    assert settings.channels["ops"].masked == ["mailto://•••", "slack://•••"]
    assert (settings.channels["hook"].kinds, settings.channels["hook"].masked) == (
        ["webhook"],
        ["https://•••"],
    )
    assert (settings.default, settings.on, settings.allow_command) == ("ops", "ended", True)
    assert settings.problems == "hook"
    assert [str(one) for one in settings.allow_private] == ["10.1.0.0/16", "127.0.0.1/32"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("channels = 3", "channels: must be tables, such as [channels.ops]."),
        ("[channels]\nops = 3", "channels.ops: must be a table."),
        ("[channels.ops]", "channels.ops: needs one of url, urls and webhook."),
        ('[channels.ops]\nurl = "a://b"\nwebhook = "https://x"', "channels.ops: needs one of"),
        (
            '[channels.ops]\nurll = "a://b"',
            'channels.ops.urll: there is no setting "urll". Nearest:',
        ),
        ("[channels.ops]\nurl = 3", "channels.ops.url: must be a URL such as"),
        ('[channels.ops]\nurl = "example.com"', "channels.ops.url: must be a URL such as"),
        ("[channels.ops]\nurls = []", "channels.ops.urls: must be a list of URLs."),
        ('[channels.ops]\nurls = "a://b"', "channels.ops.urls: must be a list of URLs."),
        ("[channels.ops]\nurls = [3]", "channels.ops.urls: must be a URL such as"),
        ('[channels.ops]\nurl = "a://{evn:X}"', "channels.ops.url: has an unknown reference {evn:"),
        ('[channels.ops]\nurl = "a://{env:X"', "channels.ops.url: has a { without its }."),
        ('[channels.ops]\nurl = "a://{env:X Y}"', "channels.ops.url: must name a variable in"),
        ('[channels.ops]\nurl = "a://{file:x}"', "channels.ops.url: must give an absolute path"),
        ('[channels.ops]\nurl = "a://b\\n"', "channels.ops.url: must not contain control"),
        ('[channels.ops]\nwebhook = "ftp://x"', "channels.ops.webhook: must begin with https://"),
        ('[channels.ops]\nurl = "a://b"\nsecret = "x"', "channels.ops.secret: goes with webhook"),
        ('[channels.none]\nurl = "json://b"', 'channels.none: the name "none" has a meaning'),
        ('[channels."a/b"]\nurl = "a://b"', "channels.a/b: the name must not contain"),
        ("notifications = 3", "notifications: must be a table."),
        ('[notifications]\ndefualt = "x"', "notifications.defualt: there is no setting"),
        ('[notifications]\ndefault = "x"', 'notifications.default: there is no channel "x".'),
        ('[notifications]\nproblems = "x"', 'notifications.problems: there is no channel "x".'),
        ('[notifications]\non = "success"', "notifications.on: must be failed or ended."),
        ("[actions]\ncommand = 1", "actions.command: must be true or false."),
        ('[actions]\nallow_private = ["x"]', "actions.allow_private: must be a list of networks"),
        ("[actions]\nallow_private = [3]", "actions.allow_private: must be a list of networks"),
    ],
)
def test_each_mistake_names_its_key(text: str, says: str):
    settings, faults = parse(text)

    assert [one for one in faults if one.startswith(says)], faults
    assert settings.channels == {}


def test_a_mistake_never_shows_the_value():
    text = '[channels.ops]\nurl = "s3cret"\n[channels.b]\nwebhook = "ftp://s3cret"\nsecret = 3'

    assert "s3cret" not in str(parse(text)[1])


def test_a_faulty_channel_is_told_from_an_unknown_one():
    settings, _ = parse('[channels.ops]\nurl = "a://b"\n[channels.bad]\nurl = 3')

    assert explain_missing(settings, "bad") == 'the channel "bad" has a mistake in config.toml.'
    assert explain_missing(settings, "opss").endswith('"opss" in config.toml. Nearest: ops.')


def test_secrets_are_encoded_inside_a_url_only():
    variables = {"P": "a/b@c", "URL": "json://u:p@h/x"}

    def resolve(text: str, in_url: bool = True) -> str:
        return resolve_references(text, variables.get, lambda path: "from file\n", in_url)[0]

    assert resolve("mailto://u:{env:P}@h") == "mailto://u:a%2Fb%40c@h"
    assert resolve("{env:URL}") == "json://u:p@h/x"
    assert resolve("{env:P}", in_url=False) == "a/b@c"
    assert resolve("x://{file:/f}") == "x://from%20file"


def test_a_secret_that_cannot_be_read_is_named():
    def fail(path: str) -> str:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(ValueError, match="variable GONE is not set where the runtime was started"):
        resolve_references("{env:GONE}", {}.get, fail)
    with pytest.raises(ValueError, match="/f cannot be read: permission denied"):
        resolve_references("{file:/f}", {}.get, fail)
    with pytest.raises(ValueError, match="/f is empty"):
        resolve_references("{file:/f}", {}.get, lambda path: "\n")


def test_secrets_are_masked_in_errors():
    _, secrets = resolve_references("x://{env:P}", {"P": "a b"}.get, str, in_url=True)

    assert mask_secrets("no x://a%20b or a b", secrets) == "no x://••• or •••"
