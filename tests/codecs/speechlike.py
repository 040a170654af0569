"""A signal with the shape of speech, and how near a decoded one comes to it."""

from __future__ import annotations

import numpy as np

from voicewire.types import Pcm

_PITCH_HZ = 130
_SYLLABLES_HZ = 4


def speechlike(rate_hz: int, samples: int) -> Pcm:
    """A gliding pitch with harmonics that fall towards half the rate, in syllables, over a breath of noise."""
    time = np.arange(samples) / rate_hz
    phase = 2 * np.pi * _PITCH_HZ * (time + 0.02 * np.sin(2 * np.pi * time))
    harmonics = range(1, int(min(rate_hz, 8_000) * 0.4 / _PITCH_HZ))
    voice = sum((np.sin(n * phase) / n**1.2 for n in harmonics), np.zeros(samples))
    breath = np.random.default_rng(7).normal(0, 0.005, samples)
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * _SYLLABLES_HZ * time)
    return (6_000 * syllables * (voice + breath)).astype(np.int16)


def snr_db(sent: Pcm, heard: Pcm) -> float:
    """Signal to noise over the samples that both have; 120 when they are equal."""
    count = min(sent.size, heard.size)
    signal = sent[:count].astype(float)
    noise = np.mean((signal - heard[:count]) ** 2)
    return float(10 * np.log10(np.mean(signal**2) / noise)) if noise else 120.0


def cut(pcm: Pcm, cuts: list[int]) -> list[Pcm]:
    """Cut `pcm` into pieces of the lengths in `cuts`, again and again; a length of 0 gives an empty piece."""
    pieces, at, turn = [], 0, 0
    while at < pcm.size:
        length = cuts[turn % len(cuts)] if turn < 2 * len(cuts) else pcm.size
        pieces.append(pcm[at : at + length])
        at, turn = at + length, turn + 1
    return pieces
