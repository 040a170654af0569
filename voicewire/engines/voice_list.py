"""Voices as an operator writes them, and as others list them: each with an id and a name of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from voicewire.types import Voice

GENDERS = ("", "female", "male")


def parse_voices(listed: str, model: str, language: str) -> tuple[Voice, ...]:
    """Read `id:name:language:gender, …`, of which all but the id may be left out; raises `ValueError`."""
    return tuple(_voice(entry.strip(), model, language) for entry in listed.split(",") if entry.strip())


def _voice(entry: str, model: str, language: str) -> Voice:
    id, name, spoken, gender, *rest = (*map(str.strip, entry.split(":")), "", "", "")
    if not id or any(rest) or gender not in GENDERS:
        raise ValueError(f"a voice is id:name:language:gender, with a gender of female or male, not {entry!r}")
    return Voice(id, name or friendly(id), model, spoken or language, gender)


def friendly(id: str) -> str:
    """A name made of an id where there is no other: "en_calm-woman" is "En calm woman"."""
    return re.sub(r"[\W_]+", " ", id).strip().capitalize() or id


def distinct(voices: Sequence[Voice]) -> tuple[Voice, ...]:
    """The voices with a name and id of their own; of those that share a name, the later take their id for it."""
    kept: dict[str, Voice] = {}
    names: set[str] = set()
    for voice in voices:
        name = voice.id if voice.name.casefold() in names else voice.name
        if voice.id not in kept and name.casefold() not in names:
            kept[voice.id] = replace(voice, name=name)
            names.add(name.casefold())
    return tuple(kept.values())


def common(lists: Iterable[Sequence[Voice]]) -> tuple[Voice, ...]:
    """The voices that are in every list, as the first has them: a cloned one by the same consent."""
    first, *others = [*lists] or [()]
    for each in others:
        there = told_apart(each)
        first = [voice for voice in first if (voice.id, voice.consent) in there]
    return tuple(first)


def told_apart(voices: Iterable[Voice]) -> frozenset[tuple[str, str]]:
    """What a list has: a voice made by another consent is another voice."""
    return frozenset((voice.id, voice.consent) for voice in voices)
