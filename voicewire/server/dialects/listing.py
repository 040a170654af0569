"""Voices as vendors' clients ask for them: those that fit, in an order, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from voicewire.errors import BadRequest
from voicewire.server.dialects.wishes import number
from voicewire.types import Voice

PAGE_MAX = 100


class Page(NamedTuple):
    """Some voices of a list, and whether it goes on."""

    voices: Sequence[Voice]
    more: bool


def each_once(voices: Iterable[Voice]) -> list[Voice]:
    """Return the voices by whose ids they are found: two models may have one of a name, and a page ends at an id."""
    found: dict[str, Voice] = {}
    for voice in voices:
        found.setdefault(voice.id.casefold(), voice)
    return [*found.values()]


def page(voices: Sequence[Voice], size: int | None, after: str = "", before: str = "") -> Page:
    """Return what follows `after`, or else comes before `before`, both ids: all of it without a size."""
    if before and not after:
        rest = voices[: _place(voices, before, 0)]
        begin = max(0, len(rest) - size) if size else 0
        return Page(rest[begin:], more=begin > 0)
    rest = voices[_place(voices, after, len(voices) - 1) + 1 :] if after else voices
    return Page(rest[:size], more=size is not None and len(rest) > size)


def _place(voices: Sequence[Voice], id: str, gone: int) -> int:
    """Where a voice stands; beside one that is gone there is nothing, and a client that goes on comes to its end."""
    return next((at for at, voice in enumerate(voices) if voice.id == id), gone)


def wanted_size(query: Mapping[str, str], name: str) -> int | None:
    """Return how many are asked for at once, PAGE_MAX at most. Raises `BadRequest`."""
    size = number(query, name)
    if size == 0:
        raise BadRequest(problem=f"{name} is 0", field=name)
    return size and min(size, PAGE_MAX)


def fits(voice: Voice, search: str) -> bool:
    """Whether what somebody searches for stands anywhere in what is said of a voice."""
    said = (voice.id, voice.name, voice.description, voice.language, voice.gender)
    return any(search.casefold() in each.casefold() for each in said)


def speaks(voice: Voice, languages: Sequence[str]) -> bool:
    """Whether it speaks one of the languages, `en` or `en-US`."""
    spoken = f"{voice.language.casefold()}-"
    return any(spoken.startswith(f"{language.casefold()}-") for language in languages)
