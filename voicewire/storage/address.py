"""Addresses of servers, as they may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

HIDDEN = "***"


def without_password(url: str) -> str:
    """The address with what is secret in it hidden: the password, and what stands behind a question mark."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        return HIDDEN
    user = f"{parts.username}:{HIDDEN}@" if parts.password else f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, user + place, parts.path, HIDDEN if parts.query else "", ""))
