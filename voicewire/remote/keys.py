"""The keys of the queue between gateways and workers. Those of one model share a slot of a cluster.

The Lua files beside this make the others of a model from the key of its jobs, by the same endings.
"""

from __future__ import annotations

from voicewire.types import KEY_PREFIX

JOBS_KEY = "{{work:{model}}}:jobs"
"""Redis, hash with expiry: each block in the queue → its entry, deadline and gateway, who holds it, by which token."""

QUEUE_KEY = "{{work:{model}}}:queue:{rung}"
"""Redis, stream with expiry and the group `workers`: the blocks of one rung of `RUNGS`, gone from it when they end."""

ANSWERS_KEY = "{{work:{model}}}:answers:{gateway}"
"""Redis, capped stream with expiry: what a gateway's blocks became, message by message."""

ORDERS_KEY = "{{work:{model}}}:orders:{worker}"
"""Redis, capped stream with expiry: what a worker is to do with blocks that it holds."""

ALIVE_KEY = "{{work:{model}}}:alive:{gateway}"
"""Redis, string with expiry: there as long as somebody waits for the gateway's blocks."""

DEAD_KEY = "{{work:{model}}}:dead"
"""Redis, capped stream: blocks that were given up, without their text."""

SEEN_KEY = "{fleet}:seen"
"""Redis, sorted set with expiry: gateways and workers, by when they last said that they live, in milliseconds."""

SAID_KEY = "{fleet}:said"
"""Redis, hash with expiry: what each of them says of itself, as MessagePack of `presence.Beat`."""

GROUP = "workers"
RUNGS = ("due", "live", "interactive", "prefetch", "batch")
"""The queues of a model, in the order in which they are read. `due`: somebody hears nothing until it is made."""


class Keys:
    """The keys of one model."""

    def __init__(self, model: str, prefix: str = KEY_PREFIX) -> None:
        self._model = model
        self._prefix = prefix
        self.jobs = prefix + JOBS_KEY.format(model=model)
        self.dead = prefix + DEAD_KEY.format(model=model)

    def queue(self, rung: str) -> str:
        return self._prefix + QUEUE_KEY.format(model=self._model, rung=rung)

    def answers(self, gateway: str) -> str:
        return self._prefix + ANSWERS_KEY.format(model=self._model, gateway=gateway)

    def orders(self, worker: str) -> str:
        return self._prefix + ORDERS_KEY.format(model=self._model, worker=worker)

    def alive(self, gateway: str) -> str:
        return self._prefix + ALIVE_KEY.format(model=self._model, gateway=gateway)
