"""First audio through each dialect beside `voicewire.v1`: the same text, the same voice, the same samples, in turns.

The text is one message; the clock stops at the first message with audio in it. One client library for all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.harness import KEY, SENTENCES, percentile, report, served

RATE_HZ = 24_000
ROUNDS = 25  # a connection for each: a round is shorter than what a server is ahead, or its pace is measured
PAUSE_S = 0.03

Ask = Callable[[int, str], Awaitable[float]]


@contextlib.asynccontextmanager
async def opened(port: int, path: str) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with connect(
        f"ws://127.0.0.1:{port}{path}", additional_headers=headers, proxy=None, compression=None, max_size=None
    ) as socket:
        yield socket


async def timed(socket: ClientConnection, message: dict[str, object], audio: str, end: str) -> float:
    """Send a message; return the seconds until audio came, once the utterance is over."""
    began, first = time.perf_counter(), 0.0
    await socket.send(json.dumps(message))
    while True:
        data = await socket.recv()
        is_text = isinstance(data, str)
        if not first and (not is_text or audio in str(data)[:400]):
            first = time.perf_counter() - began
        if is_text and end in str(data)[:400]:
            return first


def own(socket: ClientConnection) -> Ask:
    async def ask(number: int, text: str) -> float:
        format = {"codec": "pcm_s16le", "rate": RATE_HZ}
        message = {"type": "speak", "context": f"c{number}", "text": text, "format": format, "lead_ms": 600_000}
        return await timed(socket, message, "\0", '"type":"done"')

    return ask


def cartesia(socket: ClientConnection) -> Ask:
    output = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE_HZ}

    async def ask(number: int, text: str) -> float:
        message: dict[str, object] = {
            "context_id": f"c{number}",
            "model_id": "sonic-3",
            "voice": "alloy",
            "output_format": output,
        }
        message |= {"transcript": text, "continue": False, "add_timestamps": True}
        return await timed(socket, message, '"type":"chunk"', '"type":"done"')

    return ask


def elevenlabs(socket: ClientConnection) -> Ask:
    async def ask(number: int, text: str) -> float:
        name = f"c{number}"
        first = asyncio.create_task(
            timed(socket, {"text": text, "context_id": name, "flush": True}, '"audio":"', '"isFinal":true')
        )
        await asyncio.sleep(0)
        await socket.send(json.dumps({"context_id": name, "close_context": True}))
        return await first

    return ask


def deepgram(socket: ClientConnection, end: str = "Flushed") -> Ask:
    async def ask(_number: int, text: str) -> float:  # it has no names
        first = asyncio.create_task(timed(socket, {"type": "Speak", "text": text}, "\0", f'"type":"{end}"'))
        await asyncio.sleep(0)
        await socket.send('{"type":"Flush"}')
        return await first

    return ask


def deepgram_turns(socket: ClientConnection) -> Ask:
    return deepgram(socket, "SpeechMetadata")


LINEAR = f"model=alloy&encoding=linear16&sample_rate={RATE_HZ}"
SPEECH = "/v1/text-to-speech/alloy/multi-stream-input"
DIALECTS: dict[str, tuple[str, Callable[[ClientConnection], Ask]]] = {
    "voicewire": ("/v1/stream", own),
    "cartesia": ("/tts/websocket", cartesia),
    "elevenlabs": (f"{SPEECH}?output_format=pcm_{RATE_HZ}", elevenlabs),
    "deepgram": (f"/v1/speak?{LINEAR}", deepgram),
    "deepgram_turns": (f"/v2/speak?{LINEAR}", deepgram_turns),
}


async def measure(port: int, asks: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in DIALECTS}
    number = 0
    for _ in range(ROUNDS):
        for name in random.sample(list(DIALECTS), len(DIALECTS)):
            path, speaks = DIALECTS[name]
            async with opened(port, path) as socket:
                ask = speaks(socket)
                for _ in range(asks // ROUNDS):
                    number += 1
                    seconds[name].append(await ask(number, SENTENCES[number % 3]))
                    await asyncio.sleep(PAUSE_S)
    return {name: each[asks // ROUNDS :] for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=100)
    options = parser.parse_args()
    with served(cache_bytes=0, cache="noop", dialect_lead_ms=30_000) as server:
        seconds = uvloop.run(measure(server.port, options.asks))
    p50 = {name: 1000 * percentile(each, 0.5) for name, each in seconds.items()}
    reference = p50.pop("voicewire")
    report(
        name="dialects",
        reference="voicewire.v1",
        reference_p50_ms=reference,
        **{f"{name}_p50_ms": each for name, each in p50.items()},
        more_p50_ms=max(p50.values()) - reference,
        targets={"more_p50_ms": 2},
    )


if __name__ == "__main__":
    main()
