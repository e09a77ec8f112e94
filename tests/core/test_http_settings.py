"""The section `http` of config.toml, and addresses."""

from __future__ import annotations

import pytest

from app.core.http_settings import HttpSettings, ListenAddress, parse_address, parse_http


@pytest.mark.parametrize(
    ("text", "shown", "is_local"),
    [
        ("127.0.0.1:8650", "http://127.0.0.1:8650", True),
        ("localhost:0", "http://127.0.0.1:0", True),
        ("[::1]:8650", "http://[::1]:8650", True),
        ("0.0.0.0:80", "http://0.0.0.0:80", False),
        ("[::]:80", "http://[::]:80", False),
        ("unix:/run/td.sock", "unix:/run/td.sock", True),
    ],
)
def test_an_address_is_parsed_and_shown_again(text: str, shown: str, is_local: bool):
    address = parse_address(text)

    assert (address.url, address.is_local) == (shown, is_local)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("8650", "must be HOST:PORT or unix:PATH, such as 127.0.0.1:8650"),
        (":8650", "must be HOST:PORT or unix:PATH, such as 127.0.0.1:8650"),
        ("127.0.0.1:65536", "must be HOST:PORT or unix:PATH, such as 127.0.0.1:8650"),
        ("deck.example:8650", "must name the host as an IP address, such as 127.0.0.1:8650"),
        ("::1:8650", "must put an IPv6 address in brackets, such as [::1]:8650"),
        ("unix:td.sock", "must name the socket as an absolute path, such as"),
        ("unix:/" + "x" * 107, "must name a path of at most 107 bytes"),
    ],
)
def test_a_faulty_address_is_explained(text: str, fault: str):
    with pytest.raises(ValueError, match=fault.replace("[", r"\[")):
        parse_address(text)


def test_a_server_with_the_same_port_has_the_place():
    address = parse_address("0.0.0.0:8650")

    assert address.is_taken_by("http://127.0.0.1:8650")
    assert not address.is_taken_by("http://127.0.0.1:18650")
    assert not address.is_taken_by("unix:/s") and parse_address("unix:/s").is_taken_by("unix:/s")


def test_address_token_and_hosts_are_read():
    given = {"listen": "127.0.0.1:1", "token_file": "/t", "hosts": ["Deck.example"]}

    assert parse_http(given) == (
        HttpSettings(ListenAddress("127.0.0.1", 1), "/t", ("deck.example",)),
        [],
    )


def test_faulty_settings_are_told_and_have_their_defaults():
    settings, faults = parse_http({"listen": 8650, "token_file": "t", "hosts": ["a b"], "tls": 1})

    assert settings == HttpSettings()
    assert [one.message for one in faults] == [
        'http.listen: must be an address in quotes, such as "127.0.0.1:8650".',
        "http.token_file: must be an absolute path in quotes.",
        'http.hosts: has a name that is no host: "a b".',
        'http: there is no setting "tls". There are: listen, token_file, hosts.',
    ]
    assert parse_http("x")[1][0].message == "http: must be a table."
    assert parse_http({"hosts": "x"})[1][0].message.startswith("http.hosts: must be a list")
