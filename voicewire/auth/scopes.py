"""Every scope, in one table, with what it lets a caller do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "speak": "turn text into speech, over the socket and over HTTP",
        "voices:read": "list models and voices",
        "jobs:read": "list the jobs of the tenant",
        "tickets:create": "make one-time tickets that let a browser open the socket",
        "account:read": "see the person, the plan and the balance",
        "account:write": "change the person, accept terms, choose a plan",
        "keys:read": "list the keys of the tenant",
        "keys:write": "make, change, rotate and revoke keys of the tenant",
        "usage:read": "see what was used, and the transactions",
        "metrics:read": "read the server's metrics",
        "admin": "see and change everything of every tenant",
    }
)

ALL_SCOPES = frozenset(SCOPES)
CLIENT_SCOPES = frozenset({"speak", "voices:read", "tickets:create"})
"""What a program that speaks needs, and a browser on the same machine gets."""

PERSON_SCOPES = CLIENT_SCOPES | {"jobs:read", "account:read", "account:write", "keys:read", "keys:write", "usage:read"}
"""What a person who is logged in may do; an admin may do everything."""


def unknown_scopes(scopes: Iterable[str]) -> list[str]:
    """Return those of `scopes` that are not in the table, sorted."""
    return sorted(set(scopes) - ALL_SCOPES)
