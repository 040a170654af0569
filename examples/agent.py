"""A language model, spoken while it writes, and interrupted: VOICEWIRE_URL and VOICEWIRE_KEY say where."""

import asyncio
import os

from voicewire.client import connect
from voicewire.frames import Cancelled, FormatRequest
from voicewire.script import Audio
from voicewire.types import Codec


async def language_model():  # stands for yours: any asynchronous iterator of text
    for token in ("Well, ", "let me ", "tell you ", "a long story. ", *["And then it went on. "] * 40):
        yield token
        await asyncio.sleep(0.02)


async def speak(url: str, key: str, played_ms: float = 0) -> None:
    pcm = FormatRequest(Codec.PCM_S16LE)
    async with connect(url, key) as client, client.speak(language_model(), format=pcm, lead_ms=1_000) as speech:
        async for event in speech:
            if isinstance(event, Audio):
                played_ms += sum(map(len, event.packets)) / 48  # your loudspeaker's clock
                if played_ms >= 2_000:
                    await speech.cancel(played_ms)  # somebody spoke up
            elif isinstance(event, Cancelled):
                print("heard:", speech.text_of(event.heard))


asyncio.run(speak(os.environ["VOICEWIRE_URL"], os.environ["VOICEWIRE_KEY"]))
