"""What ends is gone at once, without the garbage collector: a look at everything would stop all streams."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import httpx
from websockets.asyncio.client import connect

from tests.conftest import Served, started

LOOKS = 40
TEXT = "This is made, and heard, to its end. And this is another block of it, which is there to be made as well."


async def speak(served: Served, *, cancelled: bool) -> None:
    headers = {"X-API-Key": served.key}
    async with connect(f"{served.url.replace('http', 'ws')}/v1/stream", additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "speak", "context": "c", "model": "tone", "text": TEXT}))
        async for data in socket:
            if isinstance(data, bytes) and cancelled:
                await socket.send(json.dumps({"type": "cancel", "context": "c", "played_ms": 20}))
                cancelled = False
            if isinstance(data, str) and json.loads(data)["type"] in {"done", "cancelled"}:
                return


async def left(served: Served) -> dict[str, int]:
    """What is alive of sessions: nothing, or what is after many looks."""
    path, alive = served.data_dir / "alive.json", {"not looked": 1}
    for _ in range(LOOKS):
        path.unlink(missing_ok=True)
        os.kill(served.process, signal.SIGUSR1)
        async with asyncio.timeout(60):
            while not path.exists():
                await asyncio.sleep(0.05)
        alive = json.loads(path.read_text())
        if not alive:
            break
        await asyncio.sleep(0.5)
    return alive


async def test_a_session_leaves_nothing_to_be_collected() -> None:
    with started({}, module="tests.server.uncollected") as served:
        await asyncio.gather(*(speak(served, cancelled=number % 2 == 0) for number in range(6)))
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            body = {"text": "Said over HTTP, and gone.", "model": "tone", "format": "wav"}
            answer = await http.post(f"{served.url}/v1/tts", json=body, headers={"X-API-Key": served.key})
            assert answer.status_code == 200
        assert await left(served) == {}
