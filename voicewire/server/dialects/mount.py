"""Which dialects a gateway speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter
from starlette.routing import BaseRoute, WebSocketRoute

from voicewire import frames
from voicewire.auth.authenticate import Authenticator
from voicewire.catalogue import Catalogue
from voicewire.config import Config
from voicewire.server.callers import Callers
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.dialects.cartesia import CartesiaDoors
from voicewire.server.dialects.cartesia_socket import Cartesia
from voicewire.server.dialects.deepgram import DeepgramDoors
from voicewire.server.dialects.deepgram_socket import Deepgram
from voicewire.server.dialects.deepgram_turns import DeepgramTurns
from voicewire.server.dialects.elevenlabs import SPEECH, ElevenLabsDoors
from voicewire.server.dialects.elevenlabs_forms import introduced
from voicewire.server.dialects.elevenlabs_socket import ElevenLabs
from voicewire.server.dialects.openai import OpenAiDoors
from voicewire.server.dialects.socket import DialectEndpoint, Introductions, Line, Tongue
from voicewire.server.live.sessions import Sessions
from voicewire.server.metrics import Metrics
from voicewire.server.recite import Reciter
from voicewire.server.strangers import Strangers


@dataclass(frozen=True, slots=True)
class Dialects:
    """What all dialects stand on. `catalogue` is asked for a tenant."""

    config: Config
    reciter: Reciter
    callers: Callers
    authenticator: Authenticator
    sessions: Sessions
    catalogue: Callable[[str], Catalogue]
    aliases: Aliases
    metrics: Metrics

    def doors(self) -> list[APIRouter]:
        """Return what is asked over HTTP."""
        common = self.reciter, self.callers, self.catalogue, self.aliases
        doors = OpenAiDoors(*common), CartesiaDoors(*common), DeepgramDoors(*common), ElevenLabsDoors(*common)
        return [each.router() for each in doors]

    def sockets(self) -> list[BaseRoute]:
        """Return the WebSockets."""
        config, aliases = self.config, self.aliases
        strangers = Strangers(config.connections_unauthenticated_max, config.address_unauthenticated_max)
        first_messages = Introductions(introduced, strangers, config.hello_s)
        return [
            WebSocketRoute("/tts/websocket", self._socket(partial(Cartesia, aliases=aliases)).serve),
            WebSocketRoute("/v1/speak", self._socket(partial(Deepgram, aliases=aliases)).serve),
            WebSocketRoute("/v2/speak", self._socket(partial(DeepgramTurns, aliases=aliases)).serve),
            *(
                WebSocketRoute(
                    f"{SPEECH}/{name}",
                    self._socket(partial(ElevenLabs, aliases=aliases, several=several), first_messages).serve,
                )
                for name, several in (("stream-input", False), ("multi-stream-input", True))
            ),
        ]

    def _socket(self, speaks: Callable[[Line], Tongue], introductions: Introductions | None = None) -> DialectEndpoint:
        config = self.config
        return DialectEndpoint(
            speaks,
            self.sessions,
            self.authenticator,
            self.catalogue,
            self.metrics,
            frames.Parser(),
            self.callers.origins,
            idle_s=config.idle_s,
            messages_max=config.messages_max,
            lead_ms=config.dialect_lead_ms,
            introductions=introductions,
        )
