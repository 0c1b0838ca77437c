"""Network addresses as callers are told apart by them, and the made-up e-mail addresses of service accounts."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

SERVICE_DOMAIN = "service.invalid"
"""No mail ever gets there (RFC 2606), and nobody can own an address in it."""


def service_address(key: str) -> str:
    """The address that stands for a service account where an account needs one."""
    return f"{key}@{SERVICE_DOMAIN}"


def is_service(email: str | None) -> bool:
    """Is this such an address?"""
    return (email or "").lower().endswith(f"@{SERVICE_DOMAIN}")


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
