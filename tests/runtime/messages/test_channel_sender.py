"""Tests of messages that a runtime sends to real servers."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from app.core.notifications.messages import Message
from app.runtime.config_watcher import ConfigWatcher
from app.runtime.messages import sender, sender_client
from app.runtime.messages.channel_sender import ChannelSender
from tests.foreign_modules import ForeignProject
from tests.message_servers import HttpReceiver, SmtpReceiver, receive_http, receive_mail

MESSAGE = Message("[critical] deep: queue media is 143 long", "body äöü\n\nkey-1", "critical")


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with receive_http() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[SmtpReceiver]:
    with receive_mail() as receiver:
        yield receiver


@pytest.fixture
async def make_sender(tmp_path: Path) -> AsyncIterator[Callable[[str], ChannelSender]]:
    made: list[ChannelSender] = []

    def make(text: str) -> ChannelSender:
        (tmp_path / "config.toml").write_text(text)
        made.append(ChannelSender(ConfigWatcher(os.fspath(tmp_path / "config.toml"))))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_a_message_reaches_http_and_mail(make_sender, http: HttpReceiver, mail: SmtpReceiver):
    channels = make_sender(
        f'[channels.ops]\nurls = ["json://127.0.0.1:{http.port}/hook", "{mail.url}"]'
    )

    result = await channels.send("ops", MESSAGE, "key-1", {})

    assert result.error is None and len(result.reached) == 2
    received = json.loads(http.bodies[0])
    assert (received["title"], received["message"]) == (MESSAGE.subject, MESSAGE.body)
    assert received["type"] == "failure"
    assert mail.messages[0]["Subject"] == MESSAGE.subject
    assert mail.texts[0].splitlines()[:3] == MESSAGE.body.split("\n")


async def test_the_sender_imports_no_module_of_another_project(
    make_sender, http: HttpReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = ForeignProject(tmp_path)
    monkeypatch.setenv("PYTHONPATH", project.env["PYTHONPATH"])
    channels = make_sender(f'[channels.ops]\nurl = "json://127.0.0.1:{http.port}/hook"')

    result = await channels.send("ops", MESSAGE, "key-1", {})

    assert (result.error, len(http.requests), project.list_imports()) == (None, 1, [])


async def test_a_repeat_leaves_out_what_was_reached(make_sender, http: HttpReceiver):
    channels = make_sender(
        f'[channels.ops]\nurls = ["json://127.0.0.1:{http.port}/a", "json://127.0.0.1:1/b"]'
    )

    first = await channels.send("ops", MESSAGE, "k", {})
    second = await channels.send("ops", MESSAGE, "k", {}, first.reached)

    assert first.error and first.error.endswith("Connection refused")
    assert (second.error, second.reached, len(http.requests)) == (first.error, first.reached, 1)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("slak://x/y/z", "there is no service slak://; nearest: slack://"),
        ("slack://s3cret", "the URL is not complete for slack://"),
        ("json://127.0.0.1:1/s3cret", "Connection refused"),
        ("json://{env:TD_GONE}", "the variable TD_GONE is not set where the runtime was started"),
        ("json://{file:/gone}", "/gone cannot be read: no such file or directory"),
        ("mailto://127.0.0.1:1?from=a@b.cc&to=c@d.ee&mode=insecure", "Connection refused"),
    ],
)
async def test_the_reason_of_a_failure_is_told_without_secrets(make_sender, url: str, says: str):
    result = await make_sender(f'[channels.ops]\nurl = "{url}"').send("ops", MESSAGE, "k", {})

    assert says in str(result.error) and "s3cret" not in str(result.error)


async def test_a_refusal_of_the_server_is_told(make_sender, http: HttpReceiver):
    http.status = 503
    channels = make_sender(f'[channels.ops]\nurl = "json://127.0.0.1:{http.port}/"')

    assert "error=503" in str((await channels.send("ops", MESSAGE, "k", {})).error)


async def test_an_unknown_channel_is_an_error_with_the_nearest(make_sender):
    result = await make_sender('[channels.ops]\nurl = "json://x"').send("opss", MESSAGE, "k", {})

    assert result.error == 'there is no channel "opss" in config.toml. Nearest: ops.'


async def test_a_webhook_is_signed_and_keeps_its_key(
    make_sender, http: HttpReceiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TD_HOOK", "s3cret")
    channels = make_sender(
        f'[channels.h]\nwebhook = "http://127.0.0.1:{http.port}/in?a=1"\nsecret = "{{env:TD_HOOK}}"'
        '\n[actions]\nallow_private = ["127.0.0.1"]'
    )

    assert (await channels.send("h", MESSAGE, "key-1", {"event": "firing"})).error is None

    (request,) = http.requests
    signed = f"{request.headers['X-Taskdeck-Timestamp']}.".encode() + request.body
    expected = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert request.path == "/in?a=1" and json.loads(request.body) == {"event": "firing"}
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["X-Taskdeck-Signature"] == f"sha256={expected}"
    assert request.headers["Host"] == f"127.0.0.1:{http.port}"


async def test_a_webhook_reaches_no_private_address(make_sender, http: HttpReceiver):
    channels = make_sender(f'[channels.h]\nwebhook = "http://localhost:{http.port}/"')

    error = str((await channels.send("h", MESSAGE, "k", {})).error)

    assert "localhost has the private address" in error and "[actions] allow_private" in error
    assert http.requests == []


@pytest.mark.parametrize(
    "url", ["https://ann:top/secret@host/x", "https://[::1/secret", "https://h:65536/secret"]
)
def test_a_wrong_url_is_not_repeated_in_the_reason(url: str):
    request = {"id": 1, "kind": "webhook", "url": url, "secret": "", "key": "k", "body": "{}"}

    error = sender.answer_request({**request, "allow_private": []})["error"]

    assert "the URL of the webhook is not valid" in error and "%2F for /" in error
    assert not any(word in error for word in ("top", "secret", "Error"))


def test_the_address_to_allow_is_the_one_that_counts():
    with pytest.raises(sender.SendError, match=r'allow_private = \["127\.0\.0\.1"\]'):
        list(sender._find_addresses("::ffff:127.0.0.1", 80, []))

    assert list(sender._find_addresses("::ffff:127.0.0.1", 80, ["127.0.0.1/32"]))


async def test_a_webhook_follows_no_redirect(make_sender, http: HttpReceiver):
    http.status, http.location = 302, f"http://127.0.0.1:{http.port}/other"
    channels = make_sender(
        f'[channels.h]\nwebhook = "http://127.0.0.1:{http.port}/"\n'
        '[actions]\nallow_private = ["127.0.0.0/8"]'
    )

    error = (await channels.send("h", MESSAGE, "k", {})).error

    assert error == "the answer was 302 Found; redirects are not followed"
    assert len(http.requests) == 1


async def test_a_killed_sender_is_started_again(make_sender, http: HttpReceiver):
    channels = make_sender(f'[channels.ops]\nurl = "json://127.0.0.1:{http.port}/"')
    await channels.send("ops", MESSAGE, "k", {})
    process = channels._client._process
    assert process is not None
    process.kill()
    await process.wait()

    errors = [(await channels.send("ops", MESSAGE, "k", {})).error for _ in range(2)]

    assert errors[-1] is None


@pytest.mark.parametrize("outdated", [True, False])
def test_a_sender_that_ends_after_an_upgrade_names_the_command(
    monkeypatch: pytest.MonkeyPatch, outdated: bool
):
    monkeypatch.setattr(sender_client, "is_outdated", lambda pid: outdated)

    said = sender_client._describe_no_answer()

    assert said.startswith("the sender ended without an answer")
    assert said.endswith("taskdeck serve --replace --detach") is outdated
