"""Ports for servers that are told theirs before they start."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port of this machine on which nobody listens yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
