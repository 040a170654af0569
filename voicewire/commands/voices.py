"""`voicewire voices`: a table of what a server can speak with."""

from __future__ import annotations

from typing import TextIO

import msgspec

from voicewire.commands.problems import Exit, Problem
from voicewire.commands.table import write_table
from voicewire.commands.target import Target, get
from voicewire.dial import ServerError

HEADS = ("voice", "model", "language", "gender", "id", "description")


class _Voice(msgspec.Struct):
    id: str
    name: str
    model: str
    language: str
    gender: str | None = ""
    description: str | None = ""


class _Voices(msgspec.Struct):
    voices: list[_Voice]


def list_voices(target: Target, model: str, language: str, out: TextIO) -> None:
    """Write the voices, of `model` and of `language` (which "en" is for "en-GB" too) where these are not empty.

    Raises `Problem` when there is none.
    """
    try:
        voices = msgspec.json.decode(get(target, "/v1/voices"), type=_Voices).voices
    except msgspec.DecodeError:
        raise ServerError("internal", f"{target.url} does not list voices as voicewire does") from None
    rows = [_row(voice) for voice in voices if model in {"", voice.model} and _speaks(voice, language)]
    if not rows:
        wanted = [f"of the model {model!r}"] * bool(model) + [f"for the language {language!r}"] * bool(language)
        raise Problem(Exit.FAILED, " ".join(["there is no voice", *wanted]))
    write_table(HEADS, rows, out)


def _speaks(voice: _Voice, language: str) -> bool:
    has, wanted = voice.language.lower(), language.lower()
    return not wanted or has == wanted or has.startswith(f"{wanted}-")


def _row(voice: _Voice) -> tuple[str, ...]:
    return voice.name, voice.model, voice.language, voice.gender or "", voice.id, voice.description or ""
