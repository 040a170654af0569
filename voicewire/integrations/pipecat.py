"""voicewire as a text-to-speech service of pipecat: `pip install voicewire[pipecat]`.

tts = VoicewireTTSService(url="http://127.0.0.1:8080", api_key=key, settings=VoicewireTTSService.Settings(voice="…"))

A turn of the bot is one utterance. Words come with their times; an interruption cancels the utterance, and a
connection that breaks is mended without a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from pipecat.frames.frames import CancelFrame, EndFrame, ErrorFrame, Frame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from voicewire.dial import ServerError, Unreachable
from voicewire.frames import FormatRequest, Words
from voicewire.integrations.connection import Connection
from voicewire.integrations.punctuated import Punctuated
from voicewire.script import Audio
from voicewire.types import Codec
from voicewire.utterance import Event, Speech

TROUBLE = (ServerError, Unreachable)


class VoicewireTTSService(TTSService):
    """Speaks over one session with the server at `url`; `settings` choose model, voice and language."""

    Settings = TTSSettings

    def __init__(
        self, *, url: str, api_key: str, speed: float = 1.0, settings: TTSSettings | None = None, **options: Any
    ) -> None:
        chosen = TTSSettings(model=None, voice=None, language=None)
        if settings is not None:
            chosen.apply_update(settings)
        own = {"push_text_frames": False, "push_start_frame": True, "pause_frame_processing": False}
        super().__init__(settings=chosen, **(own | options))
        self._connection = Connection(url, api_key)
        self._speed = speed
        self._speeches: dict[str, Speech] = {}
        self._pumps: dict[str, asyncio.Task[None]] = {}

    def can_generate_metrics(self) -> bool:
        return True

    @property
    def supports_processing_metrics(self) -> bool:
        return False  # `run_tts` says the text and returns; its audio comes later

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Connect before the first word is there."""
        await super().setup(setup)
        try:
            await self._connection.client()
        except TROUBLE as error:
            await self.push_error(error_msg=f"voicewire: {error}", exception=error)

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._disconnect()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._disconnect()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._disconnect()

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Say more of a turn; what is heard of it comes by `_listen`."""
        try:
            speech = await self._speech(context_id)
            await speech.write(text if self._is_streaming_tokens else f"{text.rstrip()} ")
            await self.start_tts_usage_metrics(text)
        except TROUBLE as error:
            yield ErrorFrame(error=f"voicewire: {error}")
            yield TTSStoppedFrame(context_id=context_id)
            return
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        """End the turn: there is no more text of it."""
        speech = self._speeches.get(context_id or self.get_active_audio_context_id() or "")
        if speech:
            await speech.end()

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Stop the utterance: nothing more of it is made, or paid."""
        await self.stop_all_metrics()
        if speech := self._speeches.get(context_id):
            await speech.cancel()
        await super().on_audio_context_interrupted(context_id)

    async def _disconnect(self) -> None:
        for pump in list(self._pumps.values()):
            await self.cancel_task(pump)
        await self._connection.aclose()

    async def _speech(self, context_id: str) -> Speech:
        if context_id in self._speeches:
            return self._speeches[context_id]
        speech = (await self._connection.client()).open(**self._opening())
        await speech.start()
        self._speeches[context_id] = speech
        self._pumps[context_id] = self.create_task(self._listen(speech, context_id), f"voicewire-{context_id}")
        return speech

    def _opening(self) -> dict[str, Any]:
        chosen = {"model": self._settings.model, "voice": self._settings.voice, "language": self._settings.language}
        options = {name: str(value) for name, value in chosen.items() if value}
        return {**options, "speed": self._speed, "format": FormatRequest(Codec.PCM_S16LE, self.sample_rate, bundle=2)}

    async def _listen(self, speech: Speech, context_id: str) -> None:
        spoken = Punctuated()
        try:
            async for event in speech:
                await self._hear(event, speech, spoken, context_id)
        except TROUBLE as error:
            await self.push_error(error_msg=f"voicewire: {error}", exception=error)
        finally:
            self._speeches.pop(context_id, None)
            self._pumps.pop(context_id, None)
            await speech.close()
        if self.audio_context_available(context_id):
            await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
            await self.remove_audio_context(context_id)

    async def _hear(self, event: Event, speech: Speech, spoken: Punctuated, context_id: str) -> None:
        if not self.audio_context_available(context_id):
            return  # it was interrupted
        if isinstance(event, Audio):
            await self.stop_ttfb_metrics()
            frame = TTSAudioRawFrame(b"".join(event.packets), self.sample_rate, 1, context_id=context_id)
            await self.append_to_audio_context(context_id, frame)
        elif isinstance(event, Words):
            tokens = spoken.take(speech.text, event)
            await self.add_word_timestamps([(token.text.strip(), token.start_s) for token in tokens], context_id)
