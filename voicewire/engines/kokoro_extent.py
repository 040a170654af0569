"""How far each row of a padded batch goes, and what must be done so that its padding never matters.

The invariant of every layer of the batched network: behind a row's end there are zeros. Then a convolution sees at
the end what it sees at the end of a tensor, and a sum is the row's own. Whatever writes there is followed by `blank`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch


class Extent:
    """Along the last axis of `size` steps, row `n` fills the first `counts[n]`.

    `whole` promises that every row fills all of it: nothing is masked then.
    """

    def __init__(self, counts: Any, size: int, *, whole: bool) -> None:
        self.counts = counts
        self.size = size
        self.whole = whole

    def times(self, factor: int, more: int = 0) -> Extent:
        """The extent behind a layer that makes `factor` steps of one, and `more` for each row besides."""
        if factor == 1 and not more:
            return self
        return Extent(self.counts * factor + more, self.size * factor + more, whole=self.whole)

    @cached_property
    def steps(self) -> Any:
        """0, 1, … for every step, shape `(1, size)`."""
        return torch.arange(self.size, device=self.counts.device)[None]

    @cached_property
    def outside(self) -> Any:
        """Where there is padding, shape `(rows, 1, size)`."""
        return (self.steps >= self.counts[:, None])[:, None]

    @cached_property
    def mirror(self) -> Any:
        """For every step, the one that stands there when each row is turned around, shape `(rows, size)`."""
        counts = self.counts[:, None]
        return torch.where(self.steps < counts, counts - 1 - self.steps, self.steps)

    def blank(self, x: Any) -> Any:
        """Set the padding of `x`, shape `(rows, channels, size)`, to zero, in place."""
        return x if self.whole else x.masked_fill_(self.outside, 0)

    def centred(self, x: Any) -> tuple[Any, Any]:
        """Return `x` less each channel's mean over the row's own steps, and the variance there; both new.

        `x` is zero in its padding, and so is what is returned. Sums are taken in float32 at least.
        """
        wide = torch.promote_types(x.dtype, torch.float32)
        counts = self.counts[:, None, None].to(wide)
        mean = x.sum(-1, keepdim=True, dtype=wide) / counts
        centre = self.blank((x - mean).to(x.dtype))
        # torch.var_mean takes one look where this takes two, and on a processor longer
        deviation = torch.linalg.vector_norm(centre, dim=-1, keepdim=True, dtype=wide)
        return centre, deviation.square_() / counts
