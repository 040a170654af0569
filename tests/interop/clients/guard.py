"""Nothing but this machine is called: some packages ignore the address that they are given."""

from __future__ import annotations

import socket
from typing import Any

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_connect = socket.socket.connect
_lookup = socket.getaddrinfo


def _connect_here(self: socket.socket, address: Any) -> None:
    if self.family != socket.AF_UNIX and address[0] not in LOOPBACK:
        raise AssertionError(f"it calls {address}")
    _connect(self, address)


def _lookup_here(host: Any, *args: Any, **options: Any) -> Any:
    if (host.decode() if isinstance(host, bytes) else host) not in {*LOOPBACK, None}:
        raise AssertionError(f"it looks {host!r} up")
    return _lookup(host, *args, **options)


def stay_here() -> None:
    """From now on, fail for any address but loopback."""
    socket.socket.connect = _connect_here  # type: ignore[assignment,method-assign]  # what packages call
    socket.getaddrinfo = _lookup_here
