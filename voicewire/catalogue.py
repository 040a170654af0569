"""Which models and voices there are, and what a client's names for them mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from voicewire.errors import RETRY_MS, BadRequest, Busy, Forbidden, Unspoken
from voicewire.types import Model, Voice

BLEND_MARKS = re.compile(r"[+,(]")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a request asked for, resolved. `voice` is what the engine takes: an id, or a blend of ids."""

    model: Model
    voice: str
    language: str


def require_model(allowed: frozenset[str] | None, model: str) -> None:
    """Raise `Forbidden` unless `model` is one of those that a plan has; None: it has all."""
    if allowed is not None and model not in allowed:
        raise Forbidden(problem=f"its plan does not have the model {model}")


class Names(Protocol):
    """Knows what a client's names for models and voices mean."""

    def resolve(self, model_id: str, voice: str, language: str) -> Choice:
        """Find what a client asked for; raises `BadRequest` for an unknown model or voice."""
        ...


class Current:
    """What names mean at the moment that they are used, by whatever catalogue `now` returns."""

    def __init__(self, now: Callable[[], Names]) -> None:
        self._now = now

    def resolve(self, model_id: str, voice: str, language: str) -> Choice:
        """See `Names`."""
        return self._now().resolve(model_id, voice, language)


class Catalogue:
    """Models and their voices, by id and by friendly name, in any case of letters.

    The first model is the default where there is none of that name: its workers may be on their way.
    `hidden` are voices that engines have and nobody here may use, not even in a blend: pairs of model and id.
    """

    def __init__(
        self,
        models: Iterable[tuple[Model, Sequence[Voice]]],
        default_model: str,
        hidden: Collection[tuple[str, str]] = (),
    ) -> None:
        self._models: dict[str, Model] = {}
        self._voices: dict[str, Mapping[str, Voice]] = {}
        self._listed: dict[str, tuple[Voice, ...]] = {}  # each once
        self._hidden = frozenset((model, voice.casefold()) for model, voice in hidden)
        for model, voices in models:
            self._models[model.id] = model
            by_name = {voice.name.casefold(): voice for voice in voices}
            self._voices[model.id] = by_name | {voice.id.casefold(): voice for voice in voices}
            self._listed[model.id] = tuple(dict.fromkeys(self._voices[model.id].values()))
        self._default = self._models.get(default_model) or next(iter(self._models.values()), None)

    def models(self) -> list[Model]:
        """Every model, the default first."""
        return sorted(self._models.values(), key=lambda model: model is not self._default)

    def model(self, model_id: str) -> Model:
        """Return a model, the default for an empty id; raises `BadRequest("unknown_model")`, or `Busy` without any."""
        if not model_id:
            if self._default is None:
                raise Busy(retry_after_ms=RETRY_MS)
            return self._default
        if model_id not in self._models:
            raise BadRequest("unknown_model", model=model_id)
        return self._models[model_id]

    def voices(self, model_id: str = "") -> list[Voice]:
        """Every voice of one model, or of all."""
        chosen = [self.model(model_id)] if model_id else self.models()
        return [voice for model in chosen for voice in self._listed[model.id]]

    def voice(self, voice_id: str) -> Voice:
        """Return a voice of any model, by id or name; raises `BadRequest("unknown_voice")`."""
        if voice := self._find_anywhere(voice_id):
            return voice
        raise BadRequest("unknown_voice", voice=voice_id)

    def resolve(self, model_id: str, voice: str, language: str) -> Choice:
        """Find what a client asked for; raises `BadRequest` for an unknown model or voice.

        Without a model, the model that has the voice; without a voice, one that speaks the language.
        """
        model = self.model(model_id)
        if not voice:
            return Choice(model, self._speaks(model, language), language)
        known = self._find(model, voice) if model_id else self._find_anywhere(voice)
        if known:
            return Choice(self._models[known.model], known.id, language or known.language)
        blending = next((each for each in ([model] if model_id else self.models()) if each.blends), None)
        if blending and self._may_blend(blending, voice):  # the engine checks its parts
            return Choice(blending, voice, language)
        raise BadRequest("unknown_voice", voice=voice)

    def _find(self, model: Model, voice: str) -> Voice | None:
        return self._voices[model.id].get(voice.casefold())

    def _find_anywhere(self, voice: str) -> Voice | None:
        return next((known for model in self.models() if (known := self._find(model, voice))), None)

    def _may_blend(self, model: Model, voice: str) -> bool:
        parts = BLEND_MARKS.split(voice)
        return len(parts) > 1 and not any((model.id, part.strip().casefold()) in self._hidden for part in parts)

    def _speaks(self, model: Model, language: str) -> str:
        """The model's default voice, or its first of the language, or of the language's family."""
        default, voices = self._find(model, model.default_voice), self._listed[model.id]
        if default and (not language or default.language.casefold() == language.casefold()):
            return default.id
        if not voices:
            raise BadRequest("unknown_voice", voice=model.default_voice)
        wanted = (language or voices[0].language).casefold()
        exact = (voice.id for voice in voices if voice.language.casefold() == wanted)
        family = (voice.id for voice in voices if voice.language.casefold().split("-")[0] == wanted.split("-")[0])
        found = next(exact, None) or next(family, None)
        if found is None:
            raise Unspoken(voice=language)
        return found
