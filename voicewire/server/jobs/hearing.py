"""A job's text over the live protocol: an ordinary session, in which the server opens the first utterance by itself."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from starlette.websockets import WebSocket

from voicewire.frames import Speak
from voicewire.server.jobs.store import JobStore
from voicewire.server.live.live import Live
from voicewire.server.live.stream import StreamEndpoint


@dataclass(frozen=True, slots=True)
class JobStream:
    """The endpoint. The utterance has the job's id for a name, and costs what an utterance costs."""

    endpoint: StreamEndpoint
    jobs: JobStore

    async def serve(self, websocket: WebSocket) -> None:
        id: str = websocket.path_params["job_id"]

        async def begin(live: Live) -> None:
            script = await self.jobs.script(live.principal.tenant, id)
            manner = script.manner
            speak = Speak(
                context=id,
                text=script.text,
                model=script.model,
                voice=manner.voice,
                language=manner.language,
                speed=manner.speed,
                seed=manner.seed,
                offsets=manner.offsets,
            )
            live.receive(msgspec.json.encode(speak).decode())

        await self.endpoint.serve(websocket, begin)
