"""Which consents are in force: sound in a cloned voice is kept under the consent that it rests on, and ends with it."""

from __future__ import annotations

from collections.abc import Mapping

from voicewire.engines.pooling import Pool
from voicewire.types import Voice

UNLISTED = "unlisted"  # in place of a consent: what is made with such a voice all the same is kept nowhere


class Consents:
    """As the pools list their voices at this moment."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools
        self._known: dict[
            str, tuple[tuple[Voice, ...], dict[str, str]]
        ] = {}  # by model: its voices, what was read there

    def of(self, model: str, voice: str) -> str:
        """Return the consent that a voice rests on: none where it is not cloned, `UNLISTED` where it is not there."""
        pool = self._pools.get(model)
        return self._of(model).get(voice, "" if pool and pool.model.blends else UNLISTED)

    def hold(self, consent: str) -> bool:
        """Whether what rests on `consent` may be heard: a voice that rests on it, if it needs one, is listed."""
        return not consent or any(consent in self._of(model).values() for model in self._pools)

    def _of(self, model: str) -> Mapping[str, str]:
        pool = self._pools.get(model)
        if pool is None:
            self._known.pop(model, None)
            return {}
        voices, found = self._known.get(model, ((), {}))
        if voices is not pool.voices:
            found = {voice.id: voice.consent for voice in pool.voices}
            self._known[model] = pool.voices, found
        return found
