"""Sockets that listen: modes, stale and live unix sockets, ports in use."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from app.core.http_settings import ListenAddress, parse_address
from app.errors import Conflict
from app.http.listener import get_bound_address, open_listener, probe_address, remove_socket


def test_only_the_owner_may_use_a_unix_socket(home: Path):
    path = str(home / "s")

    with open_listener(ListenAddress(path=path)):
        assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_stale_unix_socket_is_replaced_but_a_live_one_refused(home: Path):
    address = ListenAddress(path=str(home / "s"))
    open_listener(address).close()

    with open_listener(address), pytest.raises(Conflict, match="is in use by another program"):
        open_listener(address)


def test_a_probe_leaves_nothing_and_tells_of_a_live_socket(home: Path):
    address = ListenAddress(path=str(home / "s"))
    probe_address(address)
    assert not (home / "s").exists()

    with open_listener(address), pytest.raises(Conflict, match="is in use"):
        probe_address(address)


def test_a_file_at_the_place_of_the_socket_is_kept(home: Path):
    (home / "s").write_text("data")

    with pytest.raises(Conflict, match="exists and is no socket"):
        open_listener(ListenAddress(path=str(home / "s")))

    assert (home / "s").read_text() == "data"


def test_the_socket_of_a_successor_is_not_removed(home: Path):
    path = home / "s"
    path.touch()

    remove_socket(str(path), path.stat().st_ino + 1)
    assert path.exists()

    remove_socket(str(path), path.stat().st_ino)
    assert not path.exists()


def test_a_port_in_use_is_named_with_the_way_to_find_its_program():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = ListenAddress("127.0.0.1", other.getsockname()[1])

        with pytest.raises(Conflict, match=f":{address.port} is in use by another program") as told:
            open_listener(address)

    assert f"sport = :{address.port}" in told.value.hint


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(Conflict, match="cannot be served at 192.0.2.1:8650: cannot assign"):
        open_listener(parse_address("192.0.2.1:8650"))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_port_0_becomes_the_port_that_the_kernel_chose(host: str):
    address = parse_address(f"{host}:0")
    try:
        sock = open_listener(address)
    except Conflict:
        pytest.skip("this machine has no IPv6")

    with sock:
        assert sock.proto == socket.IPPROTO_TCP  # else asyncio leaves Nagle's algorithm on
        assert get_bound_address(sock, address).port == sock.getsockname()[1] > 0
