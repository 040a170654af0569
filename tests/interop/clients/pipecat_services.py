"""pipecat as it is, in its own harness: its services of four vendors, and ours; turns, times of words, interruption."""

from __future__ import annotations

import asyncio
import json
import sys

from guard import stay_here
from handing import handed

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

from loguru import logger  # noqa: E402 - behind the guard
from pipecat.frames.frames import (  # noqa: E402 - behind the guard
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.worker import PipelineParams  # noqa: E402 - behind the guard
from pipecat.services.cartesia.tts import CartesiaTTSService  # noqa: E402 - behind the guard
from pipecat.services.deepgram.flux.tts import DeepgramFluxTTSService  # noqa: E402 - behind the guard
from pipecat.services.deepgram.tts import DeepgramTTSService  # noqa: E402 - behind the guard
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService  # noqa: E402 - behind the guard
from pipecat.services.openai.tts import OpenAITTSService  # noqa: E402 - behind the guard
from pipecat.services.tts_service import TTSService  # noqa: E402 - behind the guard
from pipecat.tests.utils import SleepFrame, run_test  # noqa: E402 - behind the guard

from voicewire.integrations.pipecat import VoicewireTTSService  # noqa: E402 - behind the guard

RATE_HZ = 24_000
TURN = ("Hello there, ", "friend. ", "It costs ", "$4.50 today. ", "How are ", "you?")
LONG = "This is a long sentence that goes on and on, and that nobody will hear to its end. " * 6
TURN_S, CUT_S = 5.0, 0.6  # to be heard; before it is interrupted


def service(name: str, url: str, key: str) -> TTSService:
    socket = url.replace("http", "ws")
    if name == "voicewire":
        return VoicewireTTSService(url=url, api_key=key)
    if name == "openai":
        return OpenAITTSService(api_key=key, base_url=f"{url}/v1", settings=OpenAITTSService.Settings(voice="nova"))
    if name == "elevenlabs":
        settings = ElevenLabsTTSService.Settings(voice="21m00Tcm4TlvDq8ikWAM")
        return ElevenLabsTTSService(api_key=key, url=socket, settings=settings)
    if name == "cartesia":
        settings = CartesiaTTSService.Settings(voice="f786b574-daa5-4673-aa0c-cbe3e8534c02")
        return CartesiaTTSService(api_key=key, url=f"{socket}/tts/websocket", settings=settings)
    if name == "flux":
        return DeepgramFluxTTSService(api_key=key, url=f"{socket}/v2/speak")
    return DeepgramTTSService(
        api_key=key, base_url=socket, settings=DeepgramTTSService.Settings(voice="aura-2-thalia-en")
    )


async def heard(tts: TTSService, frames: list[Frame]) -> dict[str, object]:
    params = PipelineParams(audio_out_sample_rate=RATE_HZ)
    down, up = await run_test(tts, pipeline_params=params, start_timeout=20, frames_to_send=frames)
    words = [frame for frame in down if isinstance(frame, TTSTextFrame)]
    cut = next((at for at, frame in enumerate(down) if isinstance(frame, InterruptionFrame)), 0)
    return {
        "started": sum(isinstance(frame, TTSStartedFrame) for frame in down),
        "stopped": sum(isinstance(frame, TTSStoppedFrame) for frame in down),
        "audio": handed(frame.audio for frame in down if isinstance(frame, TTSAudioRawFrame)),
        "bytes": sum(len(frame.audio) for frame in down if isinstance(frame, TTSAudioRawFrame)),
        "bytes_cut": sum(len(frame.audio) for frame in down[:cut] if isinstance(frame, TTSAudioRawFrame)),
        "words": [frame.text for frame in words],
        "words_after": [frame.text for frame in down[cut:] if isinstance(frame, TTSTextFrame)],
        "ascending": [frame.pts for frame in words] == sorted(frame.pts or 0 for frame in words),
        "errors": [str(frame) for frame in [*down, *up] if isinstance(frame, ErrorFrame)],
    }


def turn() -> list[Frame]:
    tokens = [LLMTextFrame(text) for text in TURN]
    return [LLMFullResponseStartFrame(), *tokens, LLMFullResponseEndFrame(), SleepFrame(TURN_S)]


def barge_in() -> list[Frame]:
    cut = [TTSSpeakFrame(LONG), SleepFrame(CUT_S), InterruptionFrame(), SleepFrame(CUT_S)]
    return [*cut, TTSSpeakFrame("After that."), SleepFrame(TURN_S / 2)]


async def main(url: str, key: str, name: str) -> dict[str, object]:
    return {
        "version": version("pipecat-ai"),
        "turn": await heard(service(name, url, key), turn()),
        "cut": await heard(service(name, url, key), barge_in()),
        "wrong": await heard(service(name, url, "vw_live_wrong"), [TTSSpeakFrame("No."), SleepFrame(1)]),
    }


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
