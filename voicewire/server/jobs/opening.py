"""Jobs as a gateway has them: built, kept going, and their doors."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.routing import WebSocketRoute

from voicewire.auth.authenticate import Authenticator
from voicewire.catalogue import Names
from voicewire.config import Config, ConfigError
from voicewire.engines.pooling import Pool
from voicewire.pipeline import Pipeline
from voicewire.server.callers import Callers
from voicewire.server.doors.jobs import JobDoors
from voicewire.server.jobs.hearing import JobStream
from voicewire.server.jobs.outward import Outward
from voicewire.server.jobs.runner import Runner
from voicewire.server.jobs.shelf import Shelf
from voicewire.server.jobs.speaking import Speaker
from voicewire.server.jobs.store import JobStore
from voicewire.server.jobs.sweep import Sweep
from voicewire.server.jobs.webhooks import Sender
from voicewire.server.jobs.work import LEASE_S, Work
from voicewire.server.limits import Limiter
from voicewire.server.live.stream import StreamEndpoint
from voicewire.server.metering import Meter
from voicewire.server.metrics import Metrics
from voicewire.server.storage import Storage
from voicewire.server.tasks import supervise
from voicewire.storage.ledger import Ledger

FOLDER = "jobs"
SENDERS = 4


@dataclass(frozen=True, slots=True)
class Needs:
    """What jobs need of the other parts of a gateway."""

    storage: Storage
    pools: Mapping[str, Pool]
    pipeline: Pipeline
    meter: Meter
    ledger: Ledger
    limiter: Limiter
    authenticator: Authenticator
    catalogue: Callable[[str], Names]
    pepper: bytes
    metrics: Metrics
    draining: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Jobs:
    """The parts."""

    config: Config
    needs: Needs
    store: JobStore
    shelf: Shelf
    outward: Outward
    runner: Runner
    sender: Sender
    sweep: Sweep

    def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Do jobs and tell of them, until `stack` is unwound. Raises `ConfigError` for a folder that cannot be used."""
        try:
            self.shelf.prepare()
        except OSError as error:
            raise ConfigError(f"the folder of jobs cannot be used: {error}") from error
        stack.push_async_callback(self.outward.aclose)
        supervise(stack, "old jobs", self._migrated(self.sweep.run))
        for number in range(SENDERS):
            supervise(stack, f"webhooks-{number}", self._migrated(self.sender.run))
        for number in range(self.config.jobs_at_once):
            supervise(stack, f"jobs-{number}", self._migrated(self.runner.slot))

    def _migrated(self, run: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def wait_and_run() -> None:
            await self.needs.storage.migrated.wait()
            await run()

        return wait_and_run

    def router(self, callers: Callers) -> APIRouter:
        """Return the routes over HTTP."""
        needs = self.needs
        doors = JobDoors(
            self.store,
            self.shelf,
            self.outward,
            callers,
            needs.limiter,
            needs.meter.paces,
            needs.catalogue,
            needs.pepper,
            self.config.public_url,
            self.runner.wake,
            needs.draining,
        )
        return doors.router()

    def stream(self, endpoint: StreamEndpoint) -> WebSocketRoute:
        """Return the route over WebSocket."""
        return WebSocketRoute("/v1/jobs/{job_id}/stream", JobStream(endpoint, self.store).serve)


def build_jobs(config: Config, needs: Needs) -> Jobs:
    """Build the parts; nothing is done before `start`."""
    shelf = Shelf(Path(config.jobs_dir) if config.jobs_dir else config.data_dir / FOLDER)
    store, outward = JobStore(needs.storage.store, config.jobs_keep_s), Outward(private=config.webhook_private)
    work = Work(needs.storage.store, needs.pools, config.jobs_keep_s, LEASE_S)
    speaker = Speaker(
        work,
        shelf,
        needs.pipeline,
        needs.meter,
        needs.ledger,
        needs.catalogue,
        needs.authenticator.confirm,
        needs.metrics.audio_s.labels("job").inc,
    )
    return Jobs(
        config,
        needs,
        store,
        shelf,
        outward,
        Runner(work, speaker, needs.metrics.count_job_text, needs.draining),
        Sender(needs.storage.store, store, outward, needs.pepper, needs.metrics.count_webhook),
        Sweep(needs.storage.store, shelf, config.jobs_bytes_max),
    )
