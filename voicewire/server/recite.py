"""A whole text spoken over HTTP, in any kind of file: made while it is taken, paid block by block."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from starlette.requests import Request

from voicewire.auth.principal import Principal
from voicewire.catalogue import Choice, Names
from voicewire.codecs.base import FileEncoder, FileKind, content_type, file_rate_hz, open_file_encoder
from voicewire.errors import RETRY_MS, Busy, VoicewireError
from voicewire.pipeline import Pipeline
from voicewire.recital import Recital, SpeechOrder
from voicewire.server.bill import Bill
from voicewire.server.limits import Limiter
from voicewire.server.metering import Meter
from voicewire.server.metrics import Metrics
from voicewire.server.spoken import Spoken
from voicewire.tab import Tab
from voicewire.timeline import Run
from voicewire.timing import Positions
from voicewire.types import Codec, Format, Offsets, Pcm

FRAME_MS = 20
STREAM_BYTES = 12
AHEAD_MS = 10_000  # made before it is taken by the client
INLINE = frozenset({FileKind.WAV, FileKind.PCM})  # so cheap that a thread would cost more


@dataclass(slots=True)
class Transcript:
    """The words and phonemes of an answer while it is made."""

    rate_hz: int
    positions: Positions
    words: list[tuple[int, int, int, int]]
    samples: int = 0
    phonemes: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, run: Run, frame: int) -> None:
        at = self.positions.convert
        for start, stop, begins, ends in run.words:
            self.words.append((at(start), at(stop), self.ms(begins), self.ms(ends)))
        self.phonemes += [(symbol, self.ms(begins), self.ms(ends)) for symbol, begins, ends in run.phonemes]
        self.samples += len(run.packets) * frame

    def ms(self, samples: int) -> int:
        return samples * 1000 // self.rate_hz


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be said, and how. `rate_hz` and `bitrate` are chosen where they are None."""

    text: str
    choice: Choice
    kind: FileKind
    speed: float = 1.0
    seed: int | None = None
    rate_hz: int | None = None
    bitrate: int | None = None
    offsets: Offsets = Offsets.CODEPOINT
    phonemes: bool = False


@dataclass(frozen=True, slots=True)
class Recitation:
    """A text being spoken. `parts` are the file's bytes; who begins must close them, else nobody ends the bill."""

    parts: AsyncGenerator[bytes, None]
    media_type: str
    rate_hz: int
    transcript: Transcript


Ending = Callable[[Transcript], Awaitable[None]]
"""Called when everything was spoken, before the file's last bytes."""


@dataclass(frozen=True, slots=True)
class Reciter:
    """Begins recitations. `catalogue` is asked for a tenant."""

    pipeline: Pipeline
    meter: Meter
    limiter: Limiter
    metrics: Metrics
    catalogue: Callable[[str], Names]
    draining: Callable[[], bool]

    async def begin(
        self, request: Request, principal: Principal, wish: Wish, ending: Ending | None = None
    ) -> Recitation:
        """Begin, and wait for the first sound: what fails before can be answered with a status."""
        if self.draining():
            raise Busy("draining", retry_after_ms=RETRY_MS)
        choice = wish.choice
        rate_hz = wish.rate_hz or file_rate_hz(wish.kind, choice.model.rate_hz)
        encoder = open_file_encoder(wish.kind, rate_hz, wish.bitrate)
        format = Format(Codec.PCM_S16LE, rate_hz, FRAME_MS)
        weight = principal.limits.weight
        manner = (choice, wish.speed, wish.seed, format)
        order = SpeechOrder(principal.tenant, *manner, weight=weight, phonemes=wish.phonemes)
        spoken = Spoken(principal, f"h_{secrets.token_urlsafe(STREAM_BYTES)}", choice.model.id, choice.voice)
        await self.limiter.speech(request, principal, spoken.stream, len(wish.text), spoken.model)
        with ExitStack() as unheard:
            unheard.callback(self.limiter.leave, spoken.stream)
            bill = self.meter.open(spoken, Tab(format.frame_samples, rate_hz), counted=True)
            recital = Recital(self.pipeline, order, wish.text, AHEAD_MS, bill)
            transcript = Transcript(rate_hz, Positions(wish.offsets), [])
            transcript.positions.push(wish.text)
            parts = self._parts(recital, bill, encoder, wish.kind, transcript, ending)
            try:
                first = await begun(request, parts)
            except asyncio.CancelledError:
                if not self.draining():
                    raise
                raise Busy("draining", retry_after_ms=RETRY_MS) from None  # uvicorn waits no longer
            unheard.pop_all()
        return Recitation(_after(first, parts), content_type(wish.kind, rate_hz), rate_hz, transcript)

    async def _parts(
        self,
        recital: Recital,
        bill: Bill,
        encoder: FileEncoder,
        kind: FileKind,
        transcript: Transcript,
        ending: Ending | None,
    ) -> AsyncGenerator[bytes, None]:
        inline = kind in INLINE
        frame = transcript.rate_hz * FRAME_MS // 1000
        runs = recital.runs()
        try:
            async for run in runs:
                transcript.add(run, frame)
                pcm = _pcm(run)
                data = encoder.encode(pcm) if inline else await asyncio.to_thread(encoder.encode, pcm)
                if data:
                    yield data
                bill.handed()
        finally:
            await runs.aclose()
            self.limiter.leave(bill.spoken.stream)
            self.meter.start(bill.finish())
            self.metrics.audio_s.labels("http").inc(transcript.samples / transcript.rate_hz)
        if ending:
            await ending(transcript)
        yield encoder.finish() if inline else await asyncio.to_thread(encoder.finish)


async def begun(request: Request, parts: AsyncGenerator[bytes, None]) -> bytes:
    """Return the first bytes, or close `parts` when whoever asked is gone: until it is answered nobody else looks.

    Raises `VoicewireError` then, which nobody hears, and what `parts` raises.
    """
    first = asyncio.ensure_future(anext(parts))
    left = asyncio.create_task(_left(request), name="whether anybody waits for the first sound")
    try:
        await asyncio.wait({first, left}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            raise VoicewireError("slow_consumer")
        return first.result()
    finally:
        for task in (first, left):
            task.cancel()
        await asyncio.wait({first, left})


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _pcm(run: Run) -> Pcm:
    return np.frombuffer(b"".join(run.packets), dtype="<i2")


async def _after(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for part in rest:
            yield part
    finally:
        await rest.aclose()
