"""Tells of jobs that are over: signed, at least once, again and again for a day and a half, and then no more."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from voicewire.errors import BadRequest, Busy
from voicewire.server.jobs.outward import Outward, Refused
from voicewire.server.jobs.records import STATES, Job
from voicewire.server.jobs.signing import headers, secret_for
from voicewire.server.jobs.store import JobStore
from voicewire.storage.store import Row, Store

LOGGER = logging.getLogger(__name__)

POLL_S = 2.0
SENDING_S = 60.0  # until somebody else may send it: longer than one try can take
WAITS_S = (5.0, 60.0, 600.0, 3_600.0, 4 * 3_600.0, 12 * 3_600.0, 18 * 3_600.0)  # between tries
JITTER = 0.25  # of a wait, more or less
GONE = 410  # the receiver wants no more of it
TOLD: Mapping[bool, str] = {True: "delivered", False: "given_up"}
RETRIED = "again"

CLAIM = """
UPDATE webhooks SET tries = tries + 1, due = now() + $2 * interval '1 second' WHERE id = (
    SELECT id FROM webhooks WHERE state = 'due' AND due <= now() AND tenant <> ALL($1)
    ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, job, tenant, url, tries
"""
OVER = "UPDATE webhooks SET state = $3, status = $4 WHERE id = $1 AND tries = $2 AND state = 'due'"
AGAIN = """
UPDATE webhooks SET due = now() + $3 * interval '1 second', status = $4 WHERE id = $1 AND tries = $2 AND state = 'due'
"""


class Told(Struct, frozen=True):
    """What a receiver is told: which job, and how it ended; the rest it may ask for."""

    job_id: str
    kind: str
    state: str
    seconds_done: float
    items: dict[str, int]
    error: str | None

    @classmethod
    def of(cls, job: Job) -> Told:
        counts: dict[str, int] = {state: job.counts[state] for state in STATES}
        return cls(job.id, job.kind, job.state, job.done_ms / 1000, counts, job.error or None)


def body_of(job: Job) -> bytes:
    """Return the message: always the same for a job that is over."""
    assert job.finished is not None
    return msgspec.json.encode({"type": f"job.{job.state}", "timestamp": job.finished, "data": Told.of(job)})


def wait_s(tries: int) -> float | None:
    """Return how long to wait after so many tries; None: it was tried often enough."""
    if tries > len(WAITS_S):
        return None
    return WAITS_S[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - so that many do not come at once


class Sender:
    """Sends what is due, one at a time for each tenant: a receiver that hangs holds up its own."""

    def __init__(
        self, store: Store, jobs: JobStore, outward: Outward, pepper: bytes, count: Callable[[str], None]
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._outward = outward
        self._pepper = pepper
        self._count = count
        self._claiming = asyncio.Lock()
        self._busy: set[str] = set()

    async def run(self) -> None:
        """Send what is due, for ever. Several may run."""
        while True:
            row = await self._claim()
            if row is None:
                await asyncio.sleep(POLL_S * (0.5 + random.random()))  # noqa: S311 - so that gateways do not ask at once
                continue
            try:
                await self._send(row)
            except (Busy, BadRequest) as error:  # nobody can be asked, or the job was forgotten meanwhile
                LOGGER.info("a webhook waits: %s", error)
            finally:
                self._busy.discard(row["tenant"])

    async def _claim(self) -> Row | None:
        """Take what is due, of a tenant to whom nothing is being sent."""
        async with self._claiming:
            try:
                row = await self._store.fetchrow(CLAIM, sorted(self._busy), SENDING_S)
            except Busy:
                return None
            if row is not None:
                self._busy.add(row["tenant"])
            return row

    async def _send(self, row: Row) -> None:
        job = await self._jobs.get(row["tenant"], row["job"])
        body = body_of(job)
        secret = secret_for(self._pepper, row["tenant"], row["url"])
        status, final = 0, False
        try:
            status = await self._outward.post(row["url"], headers(secret, row["id"], int(time.time()), body), body)
        except Refused as error:
            final = True
            LOGGER.warning("a webhook is not sent: %s", error, extra={"job": job.id})
        except OSError as error:
            LOGGER.info("a webhook was not taken: %s", error or type(error).__name__, extra={"job": job.id})
        await self._note(row, status, final=final or status == GONE)

    async def _note(self, row: Row, status: int, *, final: bool) -> None:
        delivered = 200 <= status < 300
        wait = None if delivered or final else wait_s(row["tries"])
        key = (row["id"], row["tries"])
        self._count(TOLD[delivered] if wait is None else RETRIED)
        if wait is None:
            await self._store.execute(OVER, *key, TOLD[delivered], status)
        else:
            await self._store.execute(AGAIN, *key, wait, status)
