"""Network addresses as callers are told apart by them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


def network_of(address: str) -> str:
    """Whoever has one IPv6 address has all of its /64, so they count as one; what is no address stays as it is."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return address
    mapped = known.ipv4_mapped
    return str(mapped) if mapped else str(IPv6Address(int(known) >> 64 << 64))
