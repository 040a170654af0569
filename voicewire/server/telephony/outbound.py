"""What goes out to a carrier: audio, and among it marks, by which it says how far it has played."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

from voicewire import frames
from voicewire.context import Wire
from voicewire.server.telephony.carriers import Carrier, Started, media_type
from voicewire.server.telephony.playout import Mark, Playout
from voicewire.server.telephony.utterance import Utterance

FRAME_MS = 20


class Outbound:
    """A carrier's stream. `say` writes to it at once; what is yielded here its caller writes."""

    def __init__(self, carrier: Carrier, started: Started, say: Callable[[Wire], None]) -> None:
        self.format = started.format
        self._carrier, self._stream, self._say = carrier, started.stream, say
        self._media_type = media_type(started.format)
        self._rate_hz = started.format.grant().rate_hz
        self._playout = Playout()

    @property
    def ahead_s(self) -> float:
        """Seconds of audio that the carrier has still to play."""
        return self._playout.ahead_s(time.monotonic())

    def played_ms(self, utterance: Utterance) -> int:
        """How much of an utterance was heard."""
        return self._playout.played_ms(utterance.track, time.monotonic())

    def marked(self, name: str) -> Mark | None:
        """A mark came back; see `Playout.marked`."""
        return self._playout.marked(name)

    def clear(self) -> None:
        """Have the carrier forget what it has not played."""
        self._say(self._carrier.clear(self._stream))
        self._playout.clear(time.monotonic())

    def sound(self, utterance: Utterance, audio: frames.AudioFrames) -> Iterator[Wire]:
        """Hand over more of an utterance, with the marks that are due in it."""
        at_ms, now = audio.pts * 1000 // self._rate_hz, time.monotonic()
        due = utterance.marks_due
        for packet in audio.packets:
            if due and due[0] <= at_ms:
                yield from self._marks(utterance, at_ms, now)
            yield self._carrier.media(self._stream, packet, self._media_type)
            self._playout.sent(utterance.track, FRAME_MS, now)
            at_ms += FRAME_MS

    def end(self, utterance: Utterance) -> Iterator[Wire]:
        """Mark the end of an utterance, behind all of it."""
        now = time.monotonic()
        yield from self._marks(utterance, math.inf, now)
        if name := self._playout.mark(utterance.track, utterance.track.sent_ms, now, last=True):
            yield self._carrier.mark(self._stream, name)

    def _marks(self, utterance: Utterance, until_ms: float, now: float) -> Iterator[Wire]:
        due = utterance.marks_due
        while due and due[0] <= until_ms:
            if name := self._playout.mark(utterance.track, due.popleft(), now):
                yield self._carrier.mark(self._stream, name)
