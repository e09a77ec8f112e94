"""Tests of the addresses that webhooks may reach."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from app.core.notifications.addresses import find_refused_address, is_allowed


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("93.184.216.34", True), ("10.0.0.1", False), ("127.0.0.1", False),
        ("169.254.169.254", False), ("::1", False), ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False), ("fe80::1%eth0", False), ("100.64.0.1", False),
        ("224.0.0.1", False), ("0.0.0.0", False), ("2606:4700::1111", True), ("10.1.2.3", True),
        ("2002:7f00:1::", False),
    ],
)  # fmt: skip
def test_only_public_and_listed_addresses_are_allowed(address: str, may: bool):
    assert is_allowed(address, [ip_network("10.1.0.0/16")]) is may


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:9/x", "127.0.0.1"), ("https://localhost/x", "127.0.0.1"),
        ("http://[::1]/", "::1"), ("http://10.1.2.3/", ""), ("https://example.com/", ""),
        ("https://{env:HOST}/x", ""), ("http://[::1", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_refused_address_of_a_url_is_found(url: str, address: str):
    assert find_refused_address(url, [ip_network("10.1.0.0/16")]) == address
