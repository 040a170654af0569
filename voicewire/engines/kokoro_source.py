"""What the generator starts from and ends in: a voice's harmonics, and the Fourier transforms of padded rows."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from voicewire.engines.kokoro_extent import Extent

SILENT = 1e-11  # of the windows' sum, below which a sample has none


def harmonics(source: Any, f0: Any, noise: Any, extent: Extent, samples: int) -> Any:
    """Return the excitation, `(rows, steps * samples)`, of the pitch `f0` in Hz, `(rows, steps)`.

    `noise` is of standard normal distribution and of the result's shape. The package adds noise to every harmonic
    and then takes a weighted sum of them: a sum of normal noises is normal, so one is enough.

    The phase is summed up in steps of the pitch: the package's own sum, sample by sample, is read there only.
    """
    sines, weight = source.l_sin_gen, source.l_linear.weight[0]
    multiples = torch.arange(1, sines.dim + 1, device=f0.device, dtype=f0.dtype)[:, None]
    turns = (f0[:, None] * multiples / sines.sampling_rate) % 1
    phase = _held(torch.cumsum(turns, 2) * (2 * math.pi * samples), extent)
    phase = functional.interpolate(phase, scale_factor=samples, mode="linear")
    tone = torch.einsum("h,rhs->rs", weight, phase.sin_()) * sines.sine_amp
    voiced = (f0 > sines.voiced_threshold).to(f0.dtype).repeat_interleave(samples, 1)
    hiss = voiced * sines.noise_std + (1 - voiced) * (sines.sine_amp / 3)
    made = torch.tanh(tone * voiced + hiss * noise * weight.norm() + source.l_linear.bias)
    return extent.times(samples).blank(made[:, None])[:, 0]


def _held(phase: Any, extent: Extent) -> Any:
    """Hold each row's last phase behind its end, as interpolation does at the end of a tensor."""
    if extent.whole:
        return phase
    last = torch.minimum(extent.steps, extent.counts[:, None] - 1)[:, None]
    return phase.gather(2, last.expand_as(phase))


def analyse(stft: Any, audio: Any, extent: Extent) -> tuple[Any, Extent]:
    """Return magnitudes and, below them, phases, `(rows, size + 2, frames)`, and the frames' extent."""
    size, hop = stft.filter_length, stft.hop_length
    assert size % (2 * hop) == 0
    audio = _reflected(audio, extent, size // 2)
    spectrum = torch.stft(audio, size, hop, size, stft.window, center=False, return_complex=True)
    frames = Extent(extent.counts // hop + 1, extent.size // hop + 1, whole=extent.whole)
    return frames.blank(torch.cat([spectrum.abs(), spectrum.angle()], 1)), frames


def _reflected(audio: Any, extent: Extent, edge: int) -> Any:
    """Lengthen both ends of each row by its own reflection."""
    at = torch.arange(-edge, extent.size + edge, device=audio.device)[None].abs()
    last = extent.counts[:, None] - 1
    at = torch.where(at > last, 2 * last - at, at).clamp_(min=0)
    return audio.gather(1, at)


def synthesize(stft: Any, magnitude: Any, phase: Any, frames: Extent) -> Any:
    """Return the audio, `(rows, samples)`, of a spectrum; behind a row's end it is not defined."""
    size, hop = stft.filter_length, stft.hop_length
    window = stft.window
    pieces = torch.fft.irfft(torch.polar(frames.blank(magnitude), phase), n=size, dim=1) * window[:, None]
    covered = (window * window)[None, :, None].expand(len(magnitude), -1, frames.size)
    if not frames.whole:
        covered = covered.masked_fill(frames.outside, 0)
    audio, weight = (_overlapped(each, size, hop) for each in (pieces, covered))
    audio = torch.where(weight > SILENT, audio / weight.clamp(min=SILENT), 0)
    return audio[:, size // 2 : -(size // 2)]


def _overlapped(pieces: Any, size: int, hop: int) -> Any:
    samples = (pieces.shape[-1] - 1) * hop + size
    return functional.fold(pieces, (1, samples), (1, size), stride=(1, hop))[:, 0, 0]
