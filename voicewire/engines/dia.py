"""Dia by Nari Labs: lively English speech that follows the manner of a sample, through its package `nari-tts`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from voicewire.engines.cloning import Cast, CloningEngine, Wave
from voicewire.engines.consent import Sample
from voicewire.errors import EngineFailed
from voicewire.types import Model, Utterance, WordTimes

RATE_HZ = 44_100
MAX_CHARS = 250  # with that of a sample about 30 s, which is what the network was trained for
TEXT_BYTES_MAX = 1_024  # that the network reads, the sample's text among them
LANGUAGE = "en"
REPO = "nari-labs/Dia-1.6B"
TAG = re.compile(r"\[S\d\]")  # turns to another speaker, and would be another voice than was asked for


class Dia:
    """The model."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def make(self, text: str, utterance: Utterance, sample: Sample | None) -> Wave:
        """Speak `text` in the voice of `sample`; raises `RuntimeError`, `Refused` or `EngineFailed`."""
        import torch

        torch.manual_seed(utterance.seed or 0)
        if sample is None:
            wave = self._network.generate(_script(text))
        else:
            with sample.verified() as path:
                wave = self._network.generate(_script(sample.consent.text, text), audio_prompt=str(path))
        if wave is None:
            raise EngineFailed(problem="the model made nothing of this text")
        return np.asarray(wave)


def open_engine(
    path: str = "", device: str = "cpu", precision: str = "float32", samples: str = "", model_id: str = "dia"
) -> CloningEngine:
    """Open the model in the folder `path`, or else that of the hub; `samples` is a folder of voices to follow.

    `precision` is `float32`, `float16` or `bfloat16`. Raises `ModuleNotFoundError` where the package is not installed.
    """
    import torch
    from dia.model import Dia as Network

    network = Network.from_pretrained(path or REPO, compute_dtype=precision, device=torch.device(device))
    cast = Cast(model_id, LANGUAGE, samples, own=True)
    about = Model(
        id=model_id,
        name="Dia",
        rate_hz=RATE_HZ,
        default_voice=cast.voices[0].id,
        description="Dia by Nari Labs: English speech in the manner of a sample; word times are estimates.",
        max_chars=MAX_CHARS,
        words=WordTimes.ESTIMATED,
        languages=(LANGUAGE,),
        version=f"{path or REPO} {precision}",
    )
    return CloningEngine(about, cast, Dia(network).make)


def _script(*parts: str) -> str:
    """What is to be said by one speaker: the text of the sample first, which is heard already."""
    script = "[S1] " + " ".join(" ".join(TAG.sub(" ", part).split()) for part in parts)
    if len(script.encode()) > TEXT_BYTES_MAX:
        raise EngineFailed(problem=f"the text, with that of the sample, is longer than {TEXT_BYTES_MAX} bytes")
    return script
