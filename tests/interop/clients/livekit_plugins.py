"""LiveKit agents as they are: plugins of four vendors, and ours; streams, aligned transcripts, interruption, a key."""

from __future__ import annotations

import asyncio
import json
import sys

from guard import stay_here
from handing import handed

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

import aiohttp  # noqa: E402 - behind the guard
from livekit.agents import APIConnectOptions, APIError, tokenize, tts  # noqa: E402 - behind the guard
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT  # noqa: E402 - behind the guard
from livekit.plugins import cartesia, deepgram, elevenlabs, openai  # noqa: E402 - behind the guard

from voicewire.integrations import livekit as ours  # noqa: E402 - behind the guard

PIECES = ("Hello there, ", "friend. ", "It costs ", "$4.50 today. ", "How are ", "you?")
LONG = "This is a long sentence that goes on and on, and that nobody will hear to its end. " * 6
ONCE = APIConnectOptions(max_retry=0, timeout=20)


def plugin(name: str, url: str, key: str, session: aiohttp.ClientSession) -> tts.TTS:
    if name == "voicewire":
        return ours.TTS(url=url, api_key=key)
    if name == "openai":
        vendors = openai.TTS(api_key=key, base_url=f"{url}/v1", voice="nova")
        return tts.StreamAdapter(tts=vendors, sentence_tokenizer=tokenize.basic.SentenceTokenizer())
    if name == "elevenlabs":
        settings = {"base_url": f"{url}/v1", "voice_id": "21m00Tcm4TlvDq8ikWAM", "encoding": "pcm_24000"}
        return elevenlabs.TTS(api_key=key, http_session=session, sync_alignment=True, **settings)
    if name == "cartesia":
        voice = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
        return cartesia.TTS(api_key=key, base_url=url, voice=voice, http_session=session)
    if name == "flux":
        return deepgram.TTSv2(api_key=key, base_url=f"{url}/v2/speak", http_session=session)
    return deepgram.TTS(api_key=key, base_url=f"{url}/v1/speak", http_session=session)


async def turn(speaker: tts.TTS) -> dict[str, object]:
    duration, words, audio, rate_hz = 0.0, [], [], 0
    async with speaker.stream(conn_options=ONCE) as stream:
        for piece in PIECES:
            stream.push_text(piece)
        stream.end_input()
        async for event in stream:
            duration += event.frame.duration
            audio.append(bytes(event.frame.data))
            rate_hz = event.frame.sample_rate
            words += event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
    said = {"text": "".join(words), "starts": [word.start_time for word in words]}
    return {**said, "duration": duration, "audio": handed(audio), "rate_hz": rate_hz}


async def cut(speaker: tts.TTS) -> None:
    """Leave a stream with its first frame: the next begins at once, with nothing of it."""
    async with speaker.stream(conn_options=ONCE) as stream:
        stream.push_text(LONG)
        stream.end_input()
        await anext(stream)


async def main(url: str, key: str, name: str) -> dict[str, object]:
    told: dict[str, object] = {"version": version("livekit-agents")}
    async with aiohttp.ClientSession() as session:
        speaker = plugin(name, url, key, session)
        told["aligned"] = speaker.capabilities.aligned_transcript
        told["turn"] = await turn(speaker)
        await cut(speaker)
        told["after"] = await turn(speaker)
        async with speaker.synthesize("Hello there.", conn_options=ONCE) as whole:
            told["whole"] = (await whole.collect()).duration
        await speaker.aclose()
        wrong = plugin(name, url, "vw_live_wrong", session)
        try:
            await turn(wrong)
        except APIError as error:
            told["wrong"] = [type(error).__name__, getattr(error, "status_code", None)]
        await wrong.aclose()
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
