"""A carrier's stream, as who means no good speaks it: before its start, and in a call that goes on."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect

from tests.fuzz import judges
from tests.fuzz.attackers import BURST_MAX, OPTIONS, WAIT_S, exchange, http_client
from tests.fuzz.gateway import Watched
from tests.fuzz.mutations import Message, burst

STOP: Message = {"event": "stop", "stop": {"callSid": "CA1"}}


@dataclass(frozen=True)
class Carrier:
    """Media streams as Twilio has them."""

    path: str
    seeds: Sequence[Message]

    async def attack(self, server: Watched, chance: random.Random, most: int) -> Counter[str]:
        """A call that is never heard of, or one that has begun."""
        messages = burst(chance, self.seeds, chance.randint(1, min(most, BURST_MAX // 4)))
        async with connect(server.socket_url + self.path, **OPTIONS) as socket:
            if chance.random() < 0.7:
                for message in await started(server):
                    await socket.send(json.dumps(message))
            return await exchange(socket, messages, [STOP], judges.carrier, lambda _: False)

    async def speak(self, server: Watched) -> bytes:
        """An application speaks into a call."""
        first = await started(server)
        call = first[-1]["start"]["callSid"]
        headers = {"Authorization": f"Bearer {server.key}"}
        audio = b""
        async with (
            asyncio.timeout(WAIT_S),
            connect(server.socket_url + self.path, **OPTIONS) as phone,
            connect(f"{server.socket_url}/v1/stream", additional_headers=headers, **OPTIONS) as app,
        ):
            for message in first:
                await phone.send(json.dumps(message))
            await _speak_into(app, call)
            while (said := json.loads(await phone.recv()))["event"] != "mark":
                audio += base64.b64decode(said["media"]["payload"])
        return audio


async def _speak_into(app: ClientConnection, call: str) -> None:
    """Speak into a call as soon as it is known."""
    for context in map(str, itertools.count()):
        await app.send(json.dumps({"type": "speak", "context": context, "to": f"call:{call}", "text": "Well."}))
        while (said := json.loads(await app.recv())).get("context") != context:
            pass
        if said["type"] == "opened":
            return
        assert said["code"] == "unknown_call", said
        await asyncio.sleep(0.05)


async def started(server: Watched) -> list[Message]:
    """The first messages of a call of this server's."""
    call = f"CA{secrets.token_hex(16)}"
    async with http_client(server) as http:
        answer = await http.post("/v1/calls", json={"call": call})
        assert answer.status_code == 200, answer.text
    start = {
        "callSid": call,
        "streamSid": f"MZ{call[2:]}",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": answer.json()["token"]},
    }
    return [
        {"event": "connected", "protocol": "Call"},
        {"event": "start", "start": start, "streamSid": f"MZ{call[2:]}"},
    ]
