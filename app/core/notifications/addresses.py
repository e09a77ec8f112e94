"""Addresses that webhooks may reach: public ones, and those that config.toml allows."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
_NAT64 = ip_network("64:ff9b::/96")


def is_allowed(address: str, networks: Sequence[Network]) -> bool:
    """Return True if an address is public, or in one of the networks."""
    real = find_real_address(address)
    return any(real.version == one.version and real in one for one in networks) or (
        real.is_global and not real.is_multicast
    )


def find_real_address(address: str) -> IPv4Address | IPv6Address:
    """Return the address that a packet reaches in the end: an IPv6 address may contain IPv4."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return found
    if found in _NAT64:
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or (found.teredo or (0, found))[1]


def find_refused_address(url: str, networks: Sequence[Network]) -> str:
    """Return the address in a URL that may not be reached, or "". No name is looked up."""
    try:
        host = urlsplit(url).hostname or ""
        address = "127.0.0.1" if host == "localhost" else host
        return "" if is_allowed(address, networks) else str(find_real_address(address))
    except ValueError:  # a name, or a reference to a secret
        return ""
