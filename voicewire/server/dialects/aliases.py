"""What other vendors' names for models and voices mean here. `aliases.toml` in the data folder says otherwise.

    [models]
    "tts-1" = "kokoro"            # one of ours; "" is the server's default
    [voices]
    "alloy" = "af_heart"          # an id or a name; "" is the model's default
    "21m00Tcm4TlvDq8ikWAM" = "female"  # or a gender: the first such voice of the language

Names may hold the wildcards `*`, `?` and `[…]`. The operator's rows come first, then what the catalogue has by that
name, then the rows below: clients have vendors' names built in, so those mean something in every house.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct, ValidationError, convert

from voicewire.catalogue import Catalogue, Choice
from voicewire.config import ConfigError
from voicewire.errors import BadRequest
from voicewire.types import Model, Voice

FILE = "aliases.toml"
GENDERS = frozenset({"female", "male"})
LANGUAGE = "en"  # where neither the client nor the voice's name says one
DEEPGRAM = re.compile(r"(?:aura|flux)(?:-\d+)?-[a-z]+-([a-z]{2}(?:-[a-z]{2})?)", re.IGNORECASE)

MODELS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("tts-1*", "gpt-*-tts*", "sonic*", "eleven_*", "aura*", "flux*"), "")
)
BUILT_IN = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # that OpenAI's clients look for in a list
WILDCARDS = frozenset("*?[")
VOICES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("alloy", "coral", "nova", "sage", "shimmer", "marin"), "female"),
        **dict.fromkeys(("ash", "ballad", "echo", "fable", "onyx", "verse", "cedar"), "male"),
        **dict.fromkeys(("aura*", "flux*"), "female"),
        "????????-????-????-????-????????????": "",  # Cartesia's
        "[A-Za-z0-9]" * 20: "",  # ElevenLabs'
    }
)


class _File(Struct, forbid_unknown_fields=True):
    models: dict[str, str] = {}
    voices: dict[str, str] = {}


class Aliases:
    """The two tables. `models` and `voices` are the operator's rows."""

    def __init__(self, models: Mapping[str, str] | None = None, voices: Mapping[str, str] | None = None) -> None:
        self._models = dict(models or {})
        self._voices = dict(voices or {})

    @classmethod
    def read(cls, folder: Path) -> Aliases:
        """Return what the file in `folder` says, if there is one. Raises `ConfigError` when it is not understood."""
        try:
            file = convert(tomllib.loads((folder / FILE).read_text(encoding="utf-8")), _File)
        except FileNotFoundError:
            return cls()
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
            raise ConfigError(f"{FILE}: {error}") from error
        return cls(file.models, file.voices)

    def take(self, others: Aliases) -> bool:
        """Have the rows of `others` from now on; return whether they differ."""
        before = self._models, self._voices
        self._models, self._voices = others._models, others._voices
        return before != (self._models, self._voices)

    def vain(self, names: Catalogue) -> list[str]:
        """Return the operator's rows that mean what is not there now, as one would say it."""
        models = {model.id for model in names.models()}
        if not models:  # workers are on their way
            return []
        lost_models = [(name, meant) for name, meant in self._models.items() if meant and meant not in models]
        lost_voices = [(name, meant) for name, meant in self._voices.items() if not _means_voice(names, meant)]
        return [
            *(f"{name} means the model {meant}" for name, meant in lost_models),
            *(f"{name} means the voice {meant}" for name, meant in lost_voices),
        ]

    def resolve(self, names: Catalogue, model: str, voice: str, language: str = "") -> Choice:
        """Find what a foreign client asked for. Raises `BadRequest` for what nobody has, and no row names."""
        spoken = DEEPGRAM.fullmatch(voice)
        language = language or (spoken[1] if spoken else "")
        model_id = self._model(names, model)
        named = _row(self._voices, voice)
        if named is None:
            if known := _known(names, model_id, voice, language):
                return known
            named = _row(VOICES, voice) if voice else ""
            if named is None:
                return names.resolve(model_id, voice, language)  # which says that there is none
        if named in GENDERS:
            named = _of_gender(names, model_id, named, language or LANGUAGE)
        if named:
            return names.resolve(model_id, named, language)
        # clients send a language with everything
        return _known(names, model_id, "", language) or names.resolve(model_id, "", "")

    def voice(self, names: Catalogue, name: str) -> Voice:
        """Return the voice that a foreign client hears by a name, under that name. Raises as `resolve`."""
        choice = self.resolve(names, "", name)
        made = Voice(choice.voice, choice.voice, choice.model.id, choice.language)  # a blend stands in no list
        voice = next((each for each in names.voices(choice.model.id) if each.id == choice.voice), made)
        return voice if name.casefold() in {voice.id.casefold(), voice.name.casefold()} else replace(voice, id=name)

    def model(self, names: Catalogue, name: str) -> Model:
        """Return the model that a foreign name means, under that name. Raises `BadRequest`."""
        return replace(names.model(self._model(names, name)), id=name)

    def models(self, names: Catalogue) -> list[str]:
        """Return the names without wildcards that mean a model, beside the catalogue's own."""
        known = {model.id for model in names.models()}
        if not known:
            return []
        foreign = (name for name in (*self._models, *BUILT_IN) if not WILDCARDS & {*name})
        return [
            name for name in dict.fromkeys(foreign) if name not in known and self._model(names, name) in {"", *known}
        ]

    def _model(self, names: Catalogue, model: str) -> str:
        named = _row(self._models, model)
        if named is not None:
            return named
        if model in {each.id for each in names.models()}:
            return model
        named = _row(MODELS, model)
        return model if named is None else named


def _known(names: Catalogue, model_id: str, voice: str, language: str) -> Choice | None:
    """What the catalogue has by these names; None where it has no such voice. Raises `BadRequest` for the model."""
    try:
        return names.resolve(model_id, voice, language)
    except BadRequest as error:
        if error.row_code != "unknown_voice":
            raise
        return None


def _means_voice(names: Catalogue, meant: str) -> bool:
    return not meant or meant in GENDERS or _known(names, "", meant, "") is not None


def _row(rows: Mapping[str, str], name: str) -> str | None:
    """The row for `name`: by its very name, else the first whose wildcards take it."""
    if name in rows:
        return rows[name]
    return next((meant for pattern, meant in rows.items() if fnmatchcase(name, pattern)), None)


def _of_gender(names: Catalogue, model_id: str, gender: str, language: str) -> str:
    """The first voice of a gender that speaks the language or its family; else none: the default."""
    family = language.casefold().split("-")[0]
    fitting = [
        voice
        for voice in names.voices(names.model(model_id).id)
        if voice.gender == gender and voice.language.casefold().split("-")[0] == family
    ]
    exact = [voice for voice in fitting if voice.language.casefold() == language.casefold()]
    return next((voice.id for voice in (*exact, *fitting)), "")
