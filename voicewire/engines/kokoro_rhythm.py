"""The first half of the network, in steps of phonemes: how long each sounds, and what is known of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn import functional

from voicewire.engines.kokoro_extent import Extent
from voicewire.engines.kokoro_layers import TwoWay

STYLE = 128  # of a voice's 256 numbers, the first say how it sounds, the others its rhythm


class Read(NamedTuple):
    """What a batch of phonemes becomes. One step for each phoneme, and one at either end of a row."""

    durations: Any  # in frames of 25 ms, (rows, steps); 0 in the padding
    melody: Any  # (rows, steps, channels): what pitch and loudness are made from
    sounds: Any  # (rows, steps, channels): what the decoder speaks
    style: Any  # (rows, 256): of the voices


class Rhythm:
    """BERT, the predictor of durations, and the encoder of sounds."""

    def __init__(self, net: Any) -> None:
        self._bert, self._narrow = net.bert, net.bert_encoder
        predictor, sounds = net.predictor, net.text_encoder
        layers = list(predictor.text_encoder.lstms)
        self._layers = [(TwoWay(lstm), norm) for lstm, norm in zip(layers[::2], layers[1::2], strict=True)]
        self._last, self._bins = TwoWay(predictor.lstm), predictor.duration_proj
        self._embedding, self._convolutions = sounds.embedding, sounds.cnn
        self._sounds = TwoWay(sounds.lstm)

    def __call__(self, ids: Any, extent: Extent, style: Any, speeds: Any) -> Read:
        """Read `ids`, `(rows, steps)`, padded with any; `style` is `(rows, 256)`, `speeds` is `(rows,)`."""
        melody = self._melody(ids, extent, style[:, STYLE:])
        chances = torch.sigmoid(self._bins(self._last(melody, extent))).sum(-1)
        durations = torch.round(chances / speeds[:, None]).clamp_(min=1).long()
        if not extent.whole:
            durations.masked_fill_(extent.outside[:, 0], 0)
        return Read(durations, melody, self._heard(ids, extent), style)

    def _melody(self, ids: Any, extent: Extent, style: Any) -> Any:
        inside = (extent.steps < extent.counts[:, None]).int()
        x = self._narrow(self._bert(ids, attention_mask=inside))
        styles = style[:, None].expand(-1, x.shape[1], -1)
        x = _blank(torch.cat([x, styles], -1), extent)
        for lstm, norm in self._layers:
            gain, bias = norm.fc(style)[:, None].chunk(2, -1)
            x = functional.layer_norm(lstm(x, extent), (norm.channels,), eps=norm.eps)
            x = _blank(torch.cat([(1 + gain) * x + bias, styles], -1), extent)
        return x

    def _heard(self, ids: Any, extent: Extent) -> Any:
        x = extent.blank(self._embedding(ids).transpose(1, 2))
        for convolution in self._convolutions:
            x = extent.blank(convolution(x))
        return _blank(self._sounds(x.transpose(1, 2), extent), extent)


def _blank(x: Any, extent: Extent) -> Any:
    """As `Extent.blank`, of a tensor whose steps are its second axis."""
    return extent.blank(x.transpose(1, 2)).transpose(1, 2)
