"""Chatterbox by Resemble AI: clones voices, in English or in 23 languages, through its package `chatterbox-tts`.

The package pins versions of torch and NumPy that are not ours: its worker runs in an environment of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from voicewire.engines.cloning import Cast, CloningEngine, Wave
from voicewire.engines.consent import Sample
from voicewire.types import Model, Utterance, WordTimes

MAX_CHARS = 300  # beyond, it hurries or breaks off
LANGUAGE = "en"
KEPT = 64  # voices that are ready to speak


class Chatterbox:
    """The model. What it makes of a sample, its conditionals, is kept for the next time."""

    def __init__(self, network: Any, *, multilingual: bool) -> None:
        self._network = network
        self._multilingual = multilingual
        self._own = network.conds
        self._known: OrderedDict[str, Any] = OrderedDict()  # by the sample's SHA-256

    @property
    def has_voice(self) -> bool:
        """Whether it can speak without a sample."""
        return self._own is not None

    def make(self, text: str, utterance: Utterance, sample: Sample | None) -> Wave:
        """Speak `text`; raises `RuntimeError` when the network does, and `Refused`."""
        import torch

        self._network.conds = self._conditionals(sample) if sample else self._own
        torch.manual_seed(utterance.seed or 0)
        language = {"language_id": _language_id(utterance.language)} if self._multilingual else {}
        return np.asarray(self._network.generate(text, **language).squeeze(0).cpu().numpy())

    def _conditionals(self, sample: Sample) -> Any:
        key = sample.consent.sha256
        if key not in self._known:
            with sample.verified() as path:
                self._network.prepare_conditionals(str(path))
            self._known[key] = self._network.conds
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


def open_engine(
    path: str = "", device: str = "cpu", multilingual: bool = False, samples: str = "", model_id: str = "chatterbox"
) -> CloningEngine:
    """Open the model in the folder `path`, or else that of the hub; `samples` is a folder of voices to clone.

    Raises `ModuleNotFoundError` where the package is not installed, and `FileNotFoundError` without files or voices.
    """
    kind = _kind(multilingual)
    network = kind.from_local(Path(path), device) if path else kind.from_pretrained(device)
    speaker = Chatterbox(network, multilingual=multilingual)
    cast = Cast(model_id, LANGUAGE, samples, own=speaker.has_voice)
    languages = tuple(kind.get_supported_languages()) if multilingual else (LANGUAGE,)
    about = Model(
        id=model_id,
        name="Chatterbox Multilingual" if multilingual else "Chatterbox",
        rate_hz=network.sr,
        default_voice=cast.voices[0].id,
        description="Chatterbox by Resemble AI: cloned voices, with an inaudible watermark; word times are estimates.",
        max_chars=MAX_CHARS,
        words=WordTimes.ESTIMATED,
        languages=languages,
        version=kind.__name__,
    )
    return CloningEngine(about, cast, speaker.make)


def _kind(multilingual: bool) -> Any:
    if multilingual:
        from chatterbox.mtl_tts import ChatterboxMultilingualTTS

        return ChatterboxMultilingualTTS
    from chatterbox.tts import ChatterboxTTS

    return ChatterboxTTS


def _language_id(language: str) -> str:
    primary = language.lower().partition("-")[0]
    return {"": LANGUAGE, "cmn": "zh", "nb": "no", "nn": "no"}.get(primary, primary)
