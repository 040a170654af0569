"""Jobs in PostgreSQL, as their owners see them: asked for, looked at, cancelled, forgotten."""

from __future__ import annotations

import msgspec

from voicewire.errors import BadRequest, OverQuota
from voicewire.server.jobs.records import ACTIVE, Asked, ItemState, Job, Manner, Script, new_job_id, new_message_id
from voicewire.storage.store import Conflict, Session, Store

WAITING_MAX = 10_000  # texts of a tenant that are not spoken yet
WAITING_RETRY_MS = 60_000
UNSPOKEN_S = 7 * 24 * 3_600  # a job that is not over by then is forgotten

JOB = """
SELECT id, kind, state, created, started, finished, expires,
    (SELECT json_object_agg(state, n) FROM (
        SELECT state, count(*) AS n FROM job_items WHERE job = jobs.id GROUP BY state) AS each) AS counts,
    sums.done_ms, sums.total_ms, sums.files,
    coalesce(failure.error, '') AS error, coalesce(failure.reason, '') AS reason,
    (SELECT json_build_object('url', url, 'state', state, 'tries', tries, 'status', status)
     FROM webhooks WHERE job = jobs.id) AS webhook
FROM jobs CROSS JOIN LATERAL (
    SELECT sum(done_ms)::bigint AS done_ms, count(*) FILTER (WHERE size_bytes > 0) AS files,
        sum(CASE WHEN state = 'done' THEN done_ms ELSE greatest(done_ms, estimate_ms) END)::bigint AS total_ms
    FROM job_items WHERE job = jobs.id) AS sums
LEFT JOIN LATERAL (
    SELECT error, reason FROM job_items WHERE job = jobs.id AND error <> '' ORDER BY number LIMIT 1) AS failure ON true
"""
GET = JOB + "WHERE id = $1 AND tenant = $2"
PAGE = f"""
{JOB}
WHERE tenant = $1 AND ($2 = '' OR (created, id) < (SELECT created, id FROM jobs WHERE id = $2 AND tenant = $1))
ORDER BY created DESC, id DESC LIMIT $3
"""  # noqa: S608 - constants
ITEMS = """
SELECT number, name, state, estimate_ms, done_ms, size_bytes, sha256, error, reason, manner FROM job_items
WHERE job = $1 AND tenant = $2 AND number > $3 ORDER BY number LIMIT $4
"""
SCRIPT = """
SELECT text, model, manner FROM job_items JOIN jobs ON jobs.id = job
WHERE job = $1 AND jobs.tenant = $2 AND kind = 'speech'
"""
KIND = "SELECT kind FROM jobs WHERE id = $1 AND tenant = $2"

ASKED = "SELECT id, asked FROM jobs WHERE tenant = $1 AND once = $2"
WAITING = "SELECT count(*) FROM job_items WHERE tenant = $1 AND state IN ('queued', 'running')"
ADD_JOB = """
INSERT INTO jobs (id, tenant, kind, caller, once, asked, expires)
VALUES ($1, $2, $3, $4, nullif($5, ''), $6, now() + $7 * interval '1 second')
"""
ADD_ITEM = """
INSERT INTO job_items (job, number, tenant, name, model, manner, text, estimate_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
ADD_WEBHOOK = "INSERT INTO webhooks (id, job, tenant, url) VALUES ($1, $2, $3, $4)"

LOCK = "SELECT state FROM jobs WHERE id = $1 AND tenant = $2 FOR UPDATE"
CANCEL_ITEMS = "UPDATE job_items SET state = 'cancelled' WHERE job = $1 AND state IN ('queued', 'running')"
CANCEL = """
UPDATE jobs SET state = 'cancelled', finished = now(), expires = now() + $2 * interval '1 second' WHERE id = $1
"""
TELL = "UPDATE webhooks SET state = 'due', due = now() WHERE job = $1 AND state = 'waiting'"
FORGET = "DELETE FROM jobs WHERE id = $1"


class JobStore:
    """What callers do with their jobs. `keep_s`: how long one is kept when it is over. Raises `Busy`, too."""

    def __init__(self, store: Store, keep_s: float) -> None:
        self._store = store
        self._keep_s = keep_s

    async def ask(self, asked: Asked) -> str:
        """Keep a job, once for each `asked.once`; return its id.

        Raises `BadRequest("conflict")` where another was asked for by that name, `OverQuota` where too much waits.
        """
        if asked.once and (known := await self._known(asked)):
            return known
        try:
            return await self._add(asked)
        except Conflict:  # asked at the same time
            if known := await self._known(asked):
                return known
            raise

    async def _known(self, asked: Asked) -> str:
        row = await self._store.fetchrow(ASKED, asked.caller.tenant, asked.once)
        if row is not None and row["asked"] != asked.sha256:
            raise BadRequest("conflict")
        return "" if row is None else str(row["id"])

    async def _add(self, asked: Asked) -> str:
        id, tenant = new_job_id(), asked.caller.tenant
        rows = [
            (id, number, tenant, each.name, each.model, msgspec.to_builtins(each.manner), each.text, each.estimate_ms)
            for number, each in enumerate(asked.wishes)
        ]
        async with self._store.transaction() as session:
            waiting = await session.fetchval(WAITING, tenant)
            if waiting + len(rows) > WAITING_MAX:
                raise OverQuota(retry_after_ms=WAITING_RETRY_MS)
            caller = msgspec.to_builtins(asked.caller)
            await session.execute(ADD_JOB, id, tenant, asked.kind, caller, asked.once, asked.sha256, UNSPOKEN_S)
            await session.executemany(ADD_ITEM, rows)
            if asked.webhook:
                await session.execute(ADD_WEBHOOK, new_message_id(), id, tenant, asked.webhook)
        return id

    async def get(self, tenant: str, id: str) -> Job:
        """Return a job. Raises `BadRequest("not_found")`."""
        row = await self._store.fetchrow(GET, id, tenant)
        if row is None:
            raise BadRequest("not_found")
        return Job.of(row)

    async def page(self, tenant: str, before: str, limit: int) -> list[Job]:
        """Return jobs, the latest first, those made before `before` where that is given."""
        return [Job.of(row) for row in await self._store.fetch(PAGE, tenant, before, limit)]

    async def items(self, tenant: str, id: str, after: int, limit: int) -> list[ItemState]:
        """Return the texts of a job behind number `after`. Raises `BadRequest("not_found")`."""
        rows = await self._store.fetch(ITEMS, id, tenant, after, limit)
        if not rows and await self._store.fetchval(KIND, id, tenant) is None:
            raise BadRequest("not_found")
        return [ItemState.of(row) for row in rows]

    async def item(self, tenant: str, id: str, number: int) -> ItemState:
        """Return one text. Raises `BadRequest("not_found")`."""
        for found in await self.items(tenant, id, number - 1, 1):
            if found.number == number:
                return found
        raise BadRequest("not_found")

    async def script(self, tenant: str, id: str) -> Script:
        """Return the text of a job of one text, as it would be heard. Raises `BadRequest("not_found")`."""
        row = await self._store.fetchrow(SCRIPT, id, tenant)
        if row is None:
            raise BadRequest("not_found")
        return Script(row["text"], row["model"], msgspec.convert(row["manner"], Manner))

    async def cancel(self, tenant: str, id: str) -> tuple[Job, bool]:
        """Stop a job, or forget one that is over; return it as it was left, and whether it was forgotten.

        Raises `BadRequest("not_found")`.
        """
        async with self._store.transaction() as session:
            state = await session.fetchval(LOCK, id, tenant)
            if state in ACTIVE:
                await self._stop(session, id)
            row = await session.fetchrow(GET, id, tenant)
            if row is not None and state not in ACTIVE:
                await session.execute(FORGET, id)
        if row is None:
            raise BadRequest("not_found")
        return Job.of(row), state not in ACTIVE

    async def _stop(self, session: Session, id: str) -> None:
        await session.execute(CANCEL_ITEMS, id)
        await session.execute(CANCEL, id, self._keep_s)
        await session.execute(TELL, id)
