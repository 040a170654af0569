"""Connections that have not yet said who they are: how many there may be, in all and from one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network, ip_address

from voicewire.errors import RETRY_MS, Busy, OverQuota

NETWORK_BITS = 64  # of IPv6: what one subscriber has, RFC 6177


class Strangers:
    """Counts them while they last."""

    def __init__(self, total_max: int, address_max: int) -> None:
        self._total_max = total_max
        self._address_max = address_max
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._by_address.total()

    @contextmanager
    def counted(self, address: str) -> Iterator[None]:
        """Count one in for as long as the block lasts. Raises `Busy` or `OverQuota` where there are too many."""
        group = group_of(address)
        if len(self) >= self._total_max:
            raise Busy(retry_after_ms=RETRY_MS)
        if self._by_address[group] >= self._address_max:
            raise OverQuota(retry_after_ms=RETRY_MS)
        self._by_address[group] += 1
        try:
            yield
        finally:
            self._by_address[group] -= 1
            if not self._by_address[group]:
                del self._by_address[group]


def group_of(address: str) -> str:
    """Return what `address` counts as: itself, or the network of its subscriber where that has many."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, NETWORK_BITS), strict=False))
