"""A Redis that cannot be reached costs what needs it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.faults.serving import KEY, serving
from tests.faults.test_resume import hear, speak

NOBODY = "redis://127.0.0.1:1"


async def test_what_needs_redis_is_busy_and_streams_go_on(tmp_path: Path) -> None:
    async with serving(tmp_path, redis_url=NOBODY) as server:
        heard = await hear(server.url, [speak(text="One two three.")])
        assert heard.told["c1"].end is not None
        assert heard.told["c1"].end["type"] == "done"
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as client:
            for answer in (await client.get("/v1/words/any"), await client.post("/v1/tickets", json={})):
                assert answer.status_code == 503
                assert answer.json()["error"]["code"] == "busy"
                assert int(answer.headers["retry-after"]) > 0
