"""Home Assistant's own provider of speech over Wyoming: its voices, one text, a text while it is written, an end."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import wave
from collections.abc import AsyncIterator
from types import SimpleNamespace

from guard import stay_here
from handing import handed

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

from homeassistant.components import tts  # noqa: E402 - behind the guard
from homeassistant.components.wyoming.data import WyomingService  # noqa: E402 - behind the guard
from homeassistant.components.wyoming.tts import WyomingTtsProvider  # noqa: E402 - behind the guard

PIECES = ("Hello there, ", "friend. ", "It costs ", "$4.50 today. ", "How are ", "you?")
TEXT = "".join(PIECES)
LONG = ("This is a long sentence that goes on and on, and that nobody will hear to its end. ",) * 6


def english(provider: WyomingTtsProvider) -> str:
    """Whose texts these are: what the provider takes where nothing is said is another language each time."""
    return min(each for each in provider.supported_languages if each.lower().startswith("en"))


def begin(_: object, work: object, name: str) -> asyncio.Task[None]:
    """What an entry of Home Assistant's configuration does for its parts."""
    return asyncio.create_task(work, name=name)


async def written(pieces: tuple[str, ...]) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0.01)


async def stream(provider: WyomingTtsProvider, pieces: tuple[str, ...], most: int = sys.maxsize) -> bytes:
    """Speak what is being written; leave when so many bytes came."""
    request = tts.TTSAudioRequest(english(provider), {}, written(pieces))
    answer = await provider.async_stream_tts_audio(request)
    heard = b""
    async for data in answer.data_gen:
        heard += data
        if len(heard) > most:
            await answer.data_gen.aclose()
            break
    return heard


def described(wav: bytes) -> dict[str, object]:
    with wave.open(io.BytesIO(wav)) as file:
        rate_hz, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
    # a stream's header does not know how long it will be
    return {"rate_hz": rate_hz, "width": width, "channels": channels, "seconds": (len(wav) - 44) / rate_hz / width}


async def main(host: str, port: str) -> dict[str, object]:
    service = await WyomingService.create(host, int(port))
    assert service is not None
    entry = SimpleNamespace(entry_id="entry", async_create_background_task=begin)
    provider = WyomingTtsProvider(entry, service)
    provider.hass = None
    language = english(provider)
    voices = provider.async_get_supported_voices(language)
    kind, whole = await provider.async_get_tts_audio(TEXT, language, {tts.ATTR_VOICE: voices[0].voice_id})
    told = {
        "version": version("homeassistant"),
        "platforms": [str(each) for each in service.platforms],
        "languages": provider.supported_languages,
        "voices": len(voices),
        "streaming": provider.async_supports_streaming_input(),
        "kind": kind,
        "whole": described(whole),
        "audio": handed(whole),
        "streamed": described(await stream(provider, PIECES)),
        "cut": len(await stream(provider, LONG, 10_000)),
        "after": described(await stream(provider, PIECES)),
        "nothing": await provider.async_get_tts_audio("", language, {}),
        "unknown": await provider.async_get_tts_audio(TEXT, language, {tts.ATTR_VOICE: "nobody"}),
    }
    told["nothing"] = [told["nothing"][0], len(told["nothing"][1])]
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
