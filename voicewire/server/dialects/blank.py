"""A text in which nothing stands: vendors refuse it over HTTP, where we answer with a file without sound."""

from __future__ import annotations

from voicewire.errors import BadRequest


def require_text(text: str, field: str) -> None:
    """Raise `BadRequest`, with the name of the `field`, when `text` is empty or blank."""
    if not text.strip():
        raise BadRequest(problem=f"{field} is empty", field=field)
