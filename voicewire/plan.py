"""What a context was granted, and what it takes to continue it elsewhere: values that go through a journal."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from voicewire.blocks import FIRST_CHARS
from voicewire.tab import TabState
from voicewire.timeline import Run
from voicewire.types import Block, Format, Offsets, WordTimes

AHEAD_MS = 1_000  # who is so far ahead is written to seldom: writing to the socket costs most
GROUP_PART = 6  # a sixth of the lead may be missing before it is made up in one write …
GROUP_MS = 500  # … and never more …
FAR_MS, FAR_GROUP_MS = 3_000, 1_000  # … but for who is so far ahead as most are; of a second the ledger is told at once


class Plan(Struct, frozen=True, array_like=True):
    """What a context was granted when it was opened."""

    name: str
    channel: int
    model: str
    voice: str
    language: str
    speed: float
    seed: int | None
    format: Format
    words: bool
    offsets: Offsets
    lead_ms: int
    prefetch_ms: int
    first_wait_ms: int
    block_chars: int
    text_chars: int  # at most, in all
    number: int = 0  # of the session's contexts, for the ledger: channels come again after 65,536
    word_times: WordTimes = WordTimes.MEASURED
    first_chars: int = FIRST_CHARS  # of the first block at most: kept, so that blocks depend on plan and text alone
    phonemes: bool = False  # asked for, of a model that knows them

    @property
    def group_frames(self) -> int:
        """How many frames are let gather before they are sent."""
        return gathered_frames(self.format, self.lead_ms)


def gathered_frames(format: Format, lead_ms: int) -> int:
    """Return how many frames go out in one write: for who is far ahead, those of several messages."""
    if lead_ms < AHEAD_MS:
        return format.bundle
    group_ms = FAR_GROUP_MS if lead_ms >= FAR_MS else min(GROUP_MS, lead_ms // GROUP_PART)
    return max(1, group_ms // (format.bundle * format.frame_ms)) * format.bundle


@dataclass(slots=True)
class Changes:
    """What is new in a context since the last time a journal asked."""

    blocks: list[Block]
    runs: list[Run]


class State(Struct, array_like=True):
    """What it takes, beside the plan, the blocks and the runs, to continue a context elsewhere."""

    pending: str  # text that is in no block yet …
    place: str  # … what it begins inside of, and whether it is the first that can be heard: `Splitter.resume`
    first: bool
    ended: bool
    seq: int  # frames laid
    made: int  # samples laid
    blocks: int  # cut from the text …
    settled: int  # … and laid whole
    begins: int  # first sample of the block being laid, -1 when none is
    skip: int  # frames of it that were laid
    tab: TabState  # what was handed over, and what of it is paid
    paused: bool
    heard: int  # where the listener was …
    heard_at: float  # … at this time of day, in seconds: gateways share no other clock
    first_audio_ms: int | None
    final: bytes
