"""What a client received, on its way to a process that has decoders."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable


def handed(data: bytes | Iterable[bytes]) -> str:
    """Return audio, or its parts in their order, as text."""
    return b64encode(data if isinstance(data, bytes) else b"".join(data)).decode()
