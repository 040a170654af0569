"""Every scope, in one table, with what it lets a caller do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "speak": "turn text into speech, over the socket and over HTTP",
        "voices:read": "list models and voices",
        "tickets:create": "make one-time tickets that let a browser open the socket",
        "metrics:read": "read the server's metrics",
        "admin": "create, list and revoke keys",
    }
)

ALL_SCOPES = frozenset(SCOPES)
CLIENT_SCOPES = frozenset({"speak", "voices:read", "tickets:create"})
"""What a program that speaks needs, and a browser on the same machine gets."""


def unknown_scopes(scopes: Iterable[str]) -> list[str]:
    """Return those of `scopes` that are not in the table, sorted."""
    return sorted(set(scopes) - ALL_SCOPES)
