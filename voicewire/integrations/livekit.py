"""voicewire as a text-to-speech of LiveKit agents: `pip install voicewire[livekit]`.

session = AgentSession(tts=TTS(url="http://127.0.0.1:8080", api_key=key, voice="…"), use_tts_aligned_transcript=True)

Tokens go to the server as they come, which finds the sentences; words come back with their times. To close a stream
cancels its utterance, and a connection that breaks is mended without a gap.
"""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, TimedString

from voicewire.dial import ServerError, Unreachable
from voicewire.errors import TABLE
from voicewire.frames import FormatRequest, Words
from voicewire.integrations.connection import Connection
from voicewire.integrations.punctuated import Punctuated
from voicewire.script import Audio
from voicewire.types import Codec
from voicewire.utterance import Speech

RATE_HZ = 24_000


class TTS(tts.TTS):
    """Speaks over one session with the server at `url`; `options` are the fields of `open`: model, voice, speed, …."""

    def __init__(self, *, url: str, api_key: str, sample_rate: int = RATE_HZ, **options: Any) -> None:
        capable = tts.TTSCapabilities(streaming=True, aligned_transcript=True)
        super().__init__(capabilities=capable, sample_rate=sample_rate, num_channels=1)
        self._connection = Connection(url, api_key)
        self._options = {**options, "format": FormatRequest(Codec.PCM_S16LE, sample_rate, bundle=2)}

    @property
    def model(self) -> str:
        return str(self._options.get("model", "default"))

    @property
    def provider(self) -> str:
        return "voicewire"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a whole text."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> SynthesizeStream:
        """Speak a text as it comes."""
        return SynthesizeStream(tts=self, conn_options=conn_options)

    async def speech(self) -> Speech:
        """Begin an utterance, over the connection that is there. Raises `Unreachable` or `ServerError`."""
        return (await self._connection.client()).open(**self._options)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.aclose()


class SynthesizeStream(tts.SynthesizeStream):
    """One utterance."""

    _tts: TTS

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        try:
            async with await self._tts.speech() as speech:
                await self._speak(speech, output_emitter)
        except ServerError as error:
            raise APIStatusError(
                error.message, status_code=_status(error), body={"code": error.code}, retryable=error.retryable
            ) from error
        except Unreachable as error:
            raise APIConnectionError(str(error)) from error

    async def _speak(self, speech: Speech, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=self._tts.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        output_emitter.start_segment(segment_id=speech.context)
        writing = asyncio.create_task(self._write(speech))
        try:
            await self._listen(speech, output_emitter)
            await writing
        finally:
            await utils.aio.gracefully_cancel(writing)
        output_emitter.end_segment()

    async def _write(self, speech: Speech) -> None:
        async for data in self._input_ch:
            if isinstance(data, str):
                self._mark_started()
                await speech.write(data)
            else:
                await speech.flush()
        await speech.end()

    async def _listen(self, speech: Speech, output_emitter: tts.AudioEmitter) -> None:
        spoken = Punctuated()
        async for event in speech:
            if isinstance(event, Audio):
                output_emitter.push(b"".join(event.packets))
            elif isinstance(event, Words):
                for token in spoken.take(speech.text, event):
                    output_emitter.push_timed_transcript(
                        TimedString(token.text, start_time=token.start_s, end_time=token.end_s)
                    )


def _status(error: ServerError) -> int:
    row = TABLE.get(error.code)
    return row.status if row else 500
