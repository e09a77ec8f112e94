"""Tests of the channels that take the place of MAILTO."""

from __future__ import annotations

import pytest

from app.core.notifications.channels import Channel, parse_notifications
from app.core.schedules.crontab_mail import find_channel, make_channel, make_notice


@pytest.mark.parametrize(
    ("url", "mailto"),
    [
        ("mailto://u:pw@example.org", "u@example.org"),
        ("mailtos://u:{env:PW}@example.org", "U@Example.org"),
        ("mailtos://u:{file:/etc/pw}@smtp.a.org?to=ops@b.org", "ops@b.org"),
        ("mailto://h?to=a@b.org&cc=c@d.org", "c@d.org,a@b.org"),
        ("mailto://h/a@b.org/c%40d.org", "a@b.org c@d.org"),
        ("mailto://localhost?to=root@localhost", "root"),
        ("mailto://localhost?to=root@srv", "root@srv"),
    ],
)
def test_a_channel_is_found_by_its_recipients(url: str, mailto: str):
    channels = {"chat": Channel("chat", ("ntfy://x",)), "ops": Channel("ops", (url,))}

    assert find_channel(channels, mailto, "srv") == "ops"
    assert find_channel(channels, f"{mailto},other@b.org", "srv") is None


@pytest.mark.parametrize(
    "urls",
    [
        ("{env:URL}",), ("mailto://h?to={env:TO}",), ("mailto://[",), (),
        ("mailto://h?to=a@b.org", "ntfy://x"), ("mailto://h?to=a@b.org,c@d.org",),
    ],
)  # fmt: skip
def test_a_channel_that_tells_others_is_not_taken(urls: tuple[str, ...]):
    assert find_channel({"ops": Channel("ops", urls)}, "a@b.org", "srv") is None


@pytest.mark.parametrize(
    ("mailto", "name"),
    [
        ("ops@example.org", "mail-ops-2"),
        ("root", "mail-root"),
        ("$ADMIN", "mail-admin"),
        ("&", "mail"),
    ],
)
def test_a_channel_to_add_is_valid_and_found(mailto: str, name: str):
    import tomllib

    found, lines = make_channel(mailto, {"mail-ops"}, "srv")

    settings, faults = parse_notifications(tomllib.loads("\n".join(lines)))
    assert found == name and not faults
    assert find_channel(settings.channels, mailto, "srv") == name


def test_mail_to_nobody_silences_the_default_channel():
    assert make_notice("", "ops") == {"notify_on": "never"}
    assert make_notice(None, None) == make_notice("ops", None) == {}
