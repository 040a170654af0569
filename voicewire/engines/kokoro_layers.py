"""The layers that Kokoro's parts are made of, over padded rows: the package's modules hold the weights.

`x` is `(rows, channels, steps)` and zero behind each row's end, `style` is `(rows, 128)`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from voicewire.engines.kokoro_extent import Extent

HALF = 0.5**0.5


class TwoWay:
    """A recurrent layer that reads in both directions, each row from its own end."""

    def __init__(self, lstm: Any) -> None:
        assert lstm.bidirectional
        assert lstm.num_layers == 1
        self._both = lstm
        self._onward = _one_way(lstm, "")
        self._back = _one_way(lstm, "_reverse")

    def __call__(self, x: Any, extent: Extent) -> Any:
        """Return the states of both directions, shape `(rows, steps, 2 * hidden)`; `x` is `(rows, steps, channels)`.

        A row's beginning does not know what follows it, so one direction can be run over the padding, and the other
        over rows that are turned around: no lengths are needed outside the device, as packed sequences need them.
        """
        if extent.whole:
            return self._both(x)[0]
        turned = extent.mirror[..., None]
        onward = self._onward(x)[0]
        back = self._back(x.gather(1, turned.expand_as(x)))[0]
        return torch.cat([onward, back.gather(1, turned.expand_as(back))], -1)


def _one_way(lstm: Any, suffix: str) -> Any:
    kind = lstm.weight_hh_l0
    layer = nn.LSTM(lstm.input_size, lstm.hidden_size, batch_first=True, device=kind.device, dtype=kind.dtype)
    weights = lstm.state_dict()
    layer.load_state_dict({name: weights[name + suffix] for name in layer.state_dict()})
    return layer.eval().requires_grad_(False)


def adain(module: Any, x: Any, style: Any, extent: Extent) -> Any:
    """Normalize each channel over the row's own steps, and give it the style's mean and width."""
    gain, bias = module.fc(style)[:, :, None].chunk(2, 1)
    norm = module.norm
    centre, variance = extent.centred(x)
    scale = (1 + gain) * norm.weight[:, None] * torch.rsqrt(variance + norm.eps)
    shift = (1 + gain) * norm.bias[:, None] + bias
    return extent.blank(centre.mul_(scale.to(x.dtype)).add_(shift.to(x.dtype)))


def residual(block: Any, x: Any, style: Any, extent: Extent) -> tuple[Any, Extent]:
    """The block of prosody and decoder; one that upsamples doubles the steps."""
    wider = extent.times(1 if block.upsample_type == "none" else 2)
    inner = block.actv(adain(block.norm1, x, style, extent))
    inner = wider.blank(block.conv1(wider.blank(block.pool(inner))))
    inner = block.actv(adain(block.norm2, inner, style, wider))
    inner = wider.blank(block.conv2(inner))
    if wider is not extent:
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
    if block.learned_sc:
        x = block.conv1x1(x)
    return (inner + x) * HALF, wider


def waves(block: Any, x: Any, style: Any, extent: Extent) -> Any:
    """The generator's block: pairs of dilated convolutions, each behind a norm and a Snake."""
    pairs = zip(block.adain1, block.alpha1, block.convs1, block.adain2, block.alpha2, block.convs2, strict=True)
    for norm, alpha, conv, norm_2, alpha_2, conv_2 in pairs:
        inner = extent.blank(conv(snake(adain(norm, x, style, extent), alpha)))
        inner = extent.blank(conv_2(snake(adain(norm_2, inner, style, extent), alpha_2)))
        x = inner + x
    return x


def snake(x: Any, alpha: Any) -> Any:
    """`x + sin²(alpha x) / alpha`, elementwise; zero stays zero."""
    alpha = alpha.to(x.dtype)
    ripple = (x * alpha).sin_().square_()
    return torch.addcdiv(x, ripple, alpha)
