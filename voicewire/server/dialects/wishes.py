"""What clients of several vendors ask for alike: a text, a speed, a whole number in an address."""

from __future__ import annotations

from collections.abc import Mapping

from voicewire.errors import BadRequest

SLOWEST, FASTEST = 0.5, 2.0  # as in `frames.Open`
DIGITS_MAX = 8


def require_text(text: str, field: str) -> None:
    """Raise `BadRequest`, with the name of the `field`, when `text` is empty or blank.

    Vendors refuse it over HTTP, where we answer with a file without sound.
    """
    if not text.strip():
        raise BadRequest(problem=f"{field} is empty", field=field)


def spoken_speed(speed: float) -> float:
    """Return the speed that we have next to `speed`: vendors take more. Raises `BadRequest` for NaN."""
    if speed != speed:
        raise BadRequest(problem="speed is no number", field="speed")
    return min(max(speed, SLOWEST), FASTEST)


def number(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number of the address, None where it is not there. Raises `BadRequest`."""
    text = query.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise BadRequest(problem=f"{name} is no number", field=name)
    return int(text)
