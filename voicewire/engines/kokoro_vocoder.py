"""The second half of the network, in steps of frames: from what was read to what is heard."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from voicewire.engines.kokoro_extent import Extent
from voicewire.engines.kokoro_layers import TwoWay, residual, waves
from voicewire.engines.kokoro_rhythm import STYLE, Read
from voicewire.engines.kokoro_source import analyse, harmonics, synthesize

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stretched(NamedTuple):
    """What the vocoder speaks: every tensor's second axis has a step for each frame of 25 ms."""

    melody: Any  # (rows, frames, channels)
    sounds: Any  # (rows, frames, channels)
    counts: Any  # (rows,): the frames of each row
    style: Any  # (rows, 256)
    noise: Any  # (rows, frames * 600), normal


def stretch(read: Read, frames: int, noise: Any) -> Stretched:
    """Repeat every phoneme for as many frames as it lasts, to `frames` in all, with zeros behind each row's end."""
    ends = read.durations.cumsum(1)
    counts = ends[:, -1].contiguous()
    steps = torch.arange(frames, device=ends.device).expand(len(ends), -1).contiguous()
    at = torch.searchsorted(ends, steps, right=True).clamp_(max=ends.shape[1] - 1)[..., None]
    outside = (steps >= counts[:, None])[..., None]
    melody, sounds = (
        each.gather(1, at.expand(-1, -1, each.shape[-1])).masked_fill_(outside, 0)
        for each in (read.melody, read.sounds)
    )
    return Stretched(melody, sounds, counts, read.style, noise)


class Vocoder:
    """Pitch and loudness, the decoder, and the generator, whose convolutions may run in half precision.

    The sine source, the norms' statistics and both Fourier transforms stay as they are: a phase has no precision to
    spare. Durations and pitch are made before, and do not change.
    """

    def __init__(self, net: Any, precision: str = "fp32") -> None:
        self._shared, self._predictor, self._decoder = TwoWay(net.predictor.shared), net.predictor, net.decoder
        self._generator = net.decoder.generator
        self._samples = int(self._generator.f0_upsamp.scale_factor)  # for each half of a frame
        self.frame_samples = 2 * self._samples
        self._half = HALVES.get(precision)
        stft = self._generator.stft
        stft.window = stft.window.to(net.decoder.F0_conv.weight)  # no copy to the device while a graph is captured
        if self._half:
            _halve(self._generator, self._half)

    def __call__(self, given: Stretched, *, whole: bool) -> Any:
        """Return the audio, `(rows, frames * 600)`; behind a row's end it is not defined."""
        extent = Extent(given.counts, given.melody.shape[1], whole=whole)
        style, rhythm = given.style[:, :STYLE], given.style[:, STYLE:]
        pitch, loudness = self._curves(given.melody, rhythm, extent)
        body, extent = self._body(given.sounds.transpose(1, 2), pitch, loudness, style, extent)
        return self._spoken(body, pitch, given.noise, style, extent)

    def _curves(self, melody: Any, rhythm: Any, extent: Extent) -> tuple[Any, Any]:
        shared = self._shared(melody, extent).transpose(1, 2).contiguous()
        shared, predictor = extent.blank(shared), self._predictor
        return (
            _curve(predictor.F0, predictor.F0_proj, shared, rhythm, extent),
            _curve(predictor.N, predictor.N_proj, shared, rhythm, extent),
        )

    def _body(self, sounds: Any, pitch: Any, loudness: Any, style: Any, extent: Extent) -> tuple[Any, Extent]:
        decoder = self._decoder
        curves = [extent.blank(decoder.F0_conv(pitch)), extent.blank(decoder.N_conv(loudness))]
        beside = [extent.blank(decoder.asr_res(sounds)), *curves]
        x, _ = residual(decoder.encode, torch.cat([sounds, *curves], 1), style, extent)
        for block in decoder.decode:  # the last one upsamples
            x, extent = residual(block, torch.cat([x, *beside], 1), style, extent)
        return x, extent

    def _spoken(self, x: Any, pitch: Any, noise: Any, style: Any, extent: Extent) -> Any:
        net = self._generator
        source = harmonics(net.m_source, pitch[:, 0], noise, extent, self._samples)
        tones, _ = analyse(net.stft, source, extent.times(self._samples))
        x, tones = x.to(self._half or x.dtype), tones.to(self._half or tones.dtype)
        for nth, rise in enumerate(net.ups):
            x, extent = self._risen(rise, functional.leaky_relu(x, 0.1), extent, last=nth == len(net.ups) - 1)
            heard = extent.blank(net.noise_convs[nth](tones))
            x = x + waves(net.noise_res[nth], heard, style, extent)
            blocks = net.resblocks[nth * net.num_kernels : (nth + 1) * net.num_kernels]
            x = torch.stack([waves(block, x, style, extent) for block in blocks]).mean(0)
        x = net.conv_post(functional.leaky_relu(x)).to(noise.dtype)
        bins = net.post_n_fft // 2 + 1
        return synthesize(net.stft, x[:, :bins].exp(), x[:, bins:].sin(), extent)

    def _risen(self, rise: Any, x: Any, extent: Extent, *, last: bool) -> tuple[Any, Extent]:
        x, extent = rise(x), extent.times(rise.stride[0])
        if last:  # a Fourier transform of n hops has n + 1 frames
            x, extent = self._generator.reflection_pad(x), extent.times(1, 1)
        return extent.blank(x), extent


def _curve(blocks: Any, last: Any, x: Any, style: Any, extent: Extent) -> Any:
    for block in blocks:
        x, extent = residual(block, x, style, extent)
    return extent.blank(last(x))


def _halve(generator: Any, half: Any) -> None:
    for module in generator.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.to(half)
