"""`voicewire say`: speak a text, or what is typed, into a file or aloud."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from voicewire.client import StreamClient, connect
from voicewire.commands.players import find_player, open_player
from voicewire.commands.problems import Exit, Problem
from voicewire.commands.progress import Progress
from voicewire.commands.sinks import FileSink, Sink, audio_rate_hz
from voicewire.commands.source import Utterances, once, typed
from voicewire.commands.target import Target
from voicewire.commands.terminal import printable
from voicewire.frames import Cancelled, Done, FormatRequest, Words
from voicewire.script import Audio
from voicewire.types import Codec
from voicewire.utterance import Event, Speech

BUNDLE = 10  # frames in a message: whoever plays has a second in hand
TICK_S = 0.04
REPORT_MS = 500  # between two reports of where the listener is
LEAD_MS = 5_000  # 240 KB of PCM: less than a server holds for a peer that is slow to read
HEARD_CHARS = 60


@dataclass(frozen=True)
class Wish:
    """What a person asked for. `text` None is standard input; `options` are fields of `open`."""

    text: str | None
    output: Path | None = None
    play: bool = False
    verbose: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    input_descriptor: int = 0


async def say(wish: Wish, target: Target, out: TextIO) -> Exit:
    """Speak; progress and the figures go to `out`. Raises `Problem`, `ServerError` or `Unreachable`."""
    rate_hz = audio_rate_hz(wish.output)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(target.url, target.key))
        sinks = await _open_sinks(wish, rate_hz, stack)
        saying = Saying(client, wish, sinks, rate_hz, Progress(out, verbose=wish.verbose))
        async with _interruptible(saying):
            await saying.run()
        out.write(saying.summary() + "\n")
    return Exit.INTERRUPTED if saying.interrupted else Exit.OK


async def _open_sinks(wish: Wish, rate_hz: int, stack: AsyncExitStack) -> list[Sink]:
    sinks: list[Sink] = []
    if wish.output:
        sinks.append(FileSink(wish.output, rate_hz))
        stack.push_async_callback(sinks[-1].discard)
    if wish.play or not wish.output:
        player = find_player()
        if player is None:
            raise Problem(Exit.OUTPUT, "no program here can play audio; save it with -o speech.wav")
        sinks.append(await open_player(player, rate_hz))
        stack.push_async_callback(sinks[-1].discard)
    return sinks


class Saying:
    """One run of the command: utterance after utterance, all of them on one timeline of audio."""

    def __init__(self, client: StreamClient, wish: Wish, sinks: list[Sink], rate_hz: int, progress: Progress) -> None:
        assert client.ready
        pieces = typed(wish.input_descriptor) if wish.text is None else once(wish.text)
        self._utterances = Utterances(pieces, client.ready.limits.text_chars)
        self._client = client
        self._options = wish.options | {"lead_ms": LEAD_MS, "format": _format(rate_hz)}
        self._output = wish.output
        self._sinks = sinks
        self._rate_hz = rate_hz
        self._progress = progress
        self._speech: Speech | None = None
        self._base_ms = 0.0  # where the utterance begins
        self._received_ms = 0.0
        self._reported_ms = 0.0
        self._billed_ms = 0
        self._asked_s: float | None = None
        self._first_audio_s: float | None = None
        self._heard = ""
        self.interrupted = False

    async def run(self) -> None:
        """Speak everything, and wait until it was heard."""
        async with _beside(self._follow()):
            while not (self._utterances.exhausted or self.interrupted):
                await self._speak_one()
            await asyncio.gather(*(sink.finish() for sink in self._sinks))
        self._progress.show(self._heard_ms())
        self._progress.clear()

    async def interrupt(self) -> None:
        """Stop now, as far as it was heard."""
        self.interrupted = True
        self._progress.show(self._heard_ms())
        self._heard = self._progress.heard_text()
        if self._speech and not self._speech.over:
            await self._speech.cancel(max(0.0, self._heard_ms() - self._base_ms))
        for sink in self._sinks:
            if sink.heard_ms() is not None:
                await sink.discard()

    def summary(self) -> str:
        """One line: what was made, what it cost, how soon it began."""
        parts = [f"{self._received_ms / 1000:.2f} s of audio", f"{self._billed_ms / 1000:.2f} s billed"]
        if self._first_audio_s is not None:
            parts.append(f"first audio after {self._first_audio_s * 1000:.0f} ms")
        if not self._received_ms and not self.interrupted:
            parts.append("nothing in the text can be spoken")
        if self._output:
            parts.append(f"written to {self._output}")
        if self.interrupted:
            heard = printable(self._heard)
            tail = heard if len(heard) <= HEARD_CHARS else f"…{heard[-HEARD_CHARS:]}"
            parts.append(f"stopped; heard “{tail}”" if heard else "stopped before a word was heard")
        return " · ".join(parts)

    async def _speak_one(self) -> None:
        self._base_ms = self._reported_ms = self._received_ms
        self._progress.begin()
        async with self._client.speak(self._text(), **self._options) as speech:
            self._speech = speech
            async for event in speech:
                await self._take(event, speech)

    async def _text(self) -> AsyncIterator[str]:
        async for piece in self._utterances.following():
            if self._asked_s is None and not piece.isspace():
                self._asked_s = time.monotonic()
            yield piece

    async def _take(self, event: Event, speech: Speech) -> None:
        match event:
            case Words():
                self._progress.add(self._utterances.text, event.words, self._base_ms)
            case Audio():
                await self._play(event, speech)
            case Done():
                self._billed_ms += event.billed_ms
            case Cancelled():
                self._billed_ms += event.billed_ms

    async def _play(self, audio: Audio, speech: Speech) -> None:
        if self._first_audio_s is None and self._asked_s is not None:
            self._first_audio_s = time.monotonic() - self._asked_s
        pcm = np.frombuffer(b"".join(audio.packets), "<i2")
        self._received_ms = self._base_ms + (audio.pts + len(pcm)) / self._rate_hz * 1000
        for sink in self._sinks:
            await sink.write(pcm)
        if not self._paced:
            await self._report(speech, self._received_ms)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._progress.show(self._heard_ms())
            if self._speech and self._paced:
                await self._report(self._speech, self._heard_ms())

    async def _report(self, speech: Speech, heard_ms: float) -> None:
        if not speech.over and heard_ms - self._reported_ms >= REPORT_MS:
            self._reported_ms = heard_ms
            await speech.playhead(heard_ms - self._base_ms)

    @property
    def _paced(self) -> bool:
        return any(sink.paced for sink in self._sinks)

    def _heard_ms(self) -> float:
        """Where the listener is; where there is none, what came counts as heard."""
        heard = [ms for sink in self._sinks if (ms := sink.heard_ms()) is not None]
        return min(heard) if heard else self._received_ms


def _format(rate_hz: int) -> FormatRequest:
    return FormatRequest(Codec.PCM_S16LE, rate_hz, bundle=BUNDLE)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _interruptible(saying: Saying) -> AsyncIterator[None]:
    """The first Ctrl-C ends the speech; the second, should that take long, ends the program."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    def first() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        tasks.append(loop.create_task(saying.interrupt()))

    loop.add_signal_handler(signal.SIGINT, first)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        await asyncio.gather(*tasks)
