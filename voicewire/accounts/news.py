"""What changed, told to every gateway at once over Redis, so that caches may be warm and revocations quick."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.storage.channel import leave_if_cancelled, messages
from voicewire.types import KEY_PREFIX

NEWS_KEY = "news"
"""Redis, channel: what changed, as `topic:id`; an empty id stands for everything of the topic."""

AGAIN_S = 0.5
UNTOLD_MAX = 1_000

_log = logging.getLogger(__name__)

Hearer = Callable[[str], None]


class News:
    """Tells and hears. `live` says whether what others tell is heard: then caches may keep things for long.

    After a break every topic is heard as a whole, since nobody knows what was missed.
    """

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self.live = False
        self._redis = redis
        self._channel = prefix + NEWS_KEY
        self._hearers: dict[str, list[Hearer]] = {}
        self._untold: deque[str] = deque(maxlen=UNTOLD_MAX)

    def on(self, topic: str, hear: Hearer) -> None:
        """Have `hear` called with the id of whatever changes of `topic`, here or elsewhere."""
        self._hearers.setdefault(topic, []).append(hear)

    async def tell(self, topic: str, id: str = "") -> None:
        """Say that `id` changed. Who is here hears it now; the others, while Redis is away, as soon as it is back."""
        line = f"{topic}:{id}"
        self._hear(line)
        try:
            await self._redis.publish(self._channel, line)
        except (RedisError, OSError):
            self._untold.append(line)

    async def run(self) -> None:
        """Hear until cancelled; a Redis that is away is asked again and again."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                if self.live:
                    _log.warning("the news are not heard: %s", type(error).__name__)
                self.live = False
            leave_if_cancelled()
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        try:
            async with aclosing(messages(self._redis, self._channel)) as heard:
                async for message in heard:
                    await self._take(message)
        finally:
            self.live = False

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            self._hear(message["data"].decode())
        elif message["type"] == "subscribe":
            for topic in self._hearers:
                self._hear(f"{topic}:")
            self.live = True
        while self._untold:
            await self._redis.publish(self._channel, self._untold[0])
            self._untold.popleft()

    def _hear(self, line: str) -> None:
        topic, _, id = line.partition(":")
        for hear in self._hearers.get(topic, ()):
            hear(id)
