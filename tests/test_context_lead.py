"""However little ahead a listener asks to be, and in whatever bundles, all comes, and in time."""

from __future__ import annotations

import math

import pytest

from tests.made import slices
from voicewire.context import Context
from voicewire.frames import BINARY_OPCODE
from voicewire.plan import Plan
from voicewire.types import Format, Offsets

TEXT = "One two three four five six seven eight nine ten. " * 3
TICK_S = 0.005


def lasts_s(lead_ms: int, bundle: int) -> tuple[float, float, int]:
    """Return how long a text's sending lasts, how long it sounds, and the most frames that came at once."""
    format = Format(bundle=bundle)
    plan = Plan("c", 3, "m", "v", "en", 1.0, None, format, False, Offsets.UTF16, lead_ms, 2_000, 400, 200, 10_000)
    context, now, most = Context(plan), 0.0, 0
    context.text(TEXT, now)
    context.end()
    while not context.over:
        for making in context.wanted(now):
            for slice in slices(making.block, format):
                context.rendered(making.index, slice, cached=False)
        sent = context.sent
        wires = context.take(now, 50)
        assert wires or context.over or context.due_at(now) < math.inf
        most = max(most, context.sent - sent if any(opcode == BINARY_OPCODE for opcode, _ in wires) else 0)
        now = max(now + TICK_S, context.due_at(now) if context.due_at(now) < math.inf else now)
        assert now < 600, "nothing is due any more"
    return now, context.sent / format.rate_hz, most // format.frame_samples


@pytest.mark.parametrize("bundle", [1, 5, 50])
@pytest.mark.parametrize("lead_ms", [0, 10, 20, 100, 500, 1_000, 3_000])
def test_it_ends_about_when_it_was_heard(lead_ms: int, bundle: int) -> None:
    sending_s, sound_s, most = lasts_s(lead_ms, bundle)
    assert sending_s <= sound_s * 1.3  # ticks are as long as a quarter of a frame
    assert most <= max(2, lead_ms // Format().frame_ms)
