"""An agent on the telephone: speaks into a call while a language model writes, and is interrupted by a key.

VOICEWIRE_URL and VOICEWIRE_KEY say where; the argument is the call's SID, which Twilio tells whoever makes the call.
"""

import asyncio
import os
import sys

from voicewire.client import connect
from voicewire.frames import Call, Cancelled
from voicewire.types import CallEvent


async def language_model():  # stands for yours: any asynchronous iterator of text
    for token in ("Well, ", "let me ", "tell you ", "a long story. ", *["And then it went on. "] * 40):
        yield token
        await asyncio.sleep(0.02)


async def speak(url: str, key: str, call: str) -> None:
    async with connect(url, key) as client, client.speak(language_model(), to=f"call:{call}") as speech:
        async for event in speech:
            if isinstance(event, Call) and event.event is CallEvent.DIGIT:
                await speech.cancel()  # or whatever the key stands for
            elif isinstance(event, Cancelled):
                print("heard:", speech.text_of(event.heard))


asyncio.run(speak(os.environ["VOICEWIRE_URL"], os.environ["VOICEWIRE_KEY"], sys.argv[1]))
