"""Speech made faster or slower at its own pitch, for engines of one speed: WSOLA (Verhelst and Roelands, 1993)."""

from __future__ import annotations

import numpy as np

from voicewire.types import Pcm

HOP_MS = 20  # between windows of twice the length: a few periods of a voice
REACH_MS = 10  # how far a window may move to fit what came before it


def stretch(pcm: Pcm, speed: float, rate_hz: int) -> Pcm:
    """Return `pcm` at `speed` times its speed; at 1 the very same array."""
    if speed == 1.0 or not len(pcm):
        return pcm
    hop, reach = HOP_MS * rate_hz // 1000, REACH_MS * rate_hz // 1000
    total = round(len(pcm) / speed)
    before = reach + round(hop * speed)
    source = np.pad(pcm.astype(np.float32), (before, 4 * hop + 2 * reach + before))
    out = np.zeros(total + 3 * hop, np.float32)
    window = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop)).astype(np.float32) ** 2
    taken = before - round(hop * speed)
    for begin in range(0, total + hop, hop):
        ideal = before + round((begin - hop) * speed)
        if begin:
            taken = ideal - reach + _best(source, taken + hop, ideal - reach, hop, reach)
        out[begin : begin + 2 * hop] += window * source[taken : taken + 2 * hop]
    fitted: Pcm = np.clip(np.rint(out[hop : hop + total]), -32768, 32767).astype(np.int16)
    return fitted


def _best(source: np.ndarray[tuple[int], np.dtype[np.float32]], follows: int, first: int, hop: int, reach: int) -> int:
    """How far behind `first` a window lies that goes on best from what `follows`."""
    wanted = source[follows : follows + 2 * hop]
    region = source[first : first + 2 * (hop + reach)]
    fit = np.correlate(region, wanted, "valid")
    energy = np.convolve(region * region, np.ones(2 * hop, np.float32), "valid")
    return int(np.argmax(fit / np.sqrt(np.maximum(energy, 1.0))))
